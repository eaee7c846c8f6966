"""What all neural estimators share: building, training, inference in blocks, fitted state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils import check_random_state

from fintech_dl.estimators.folds import Fold, out_of_fold
from fintech_dl.estimators.live import Live, renew, structure
from fintech_dl.estimators.members import (
    Share,
    average,
    count_steps,
    draw_seeds,
    quantiles_of,
)
from fintech_dl.estimators.model import ModelHolder
from fintech_dl.estimators.rows import check_weight, hold_out, merge_equal, take
from fintech_dl.estimators.settings import optimizer_settings, training_settings
from fintech_dl.networks.base import Network, hyperparameters
from fintech_dl.networks.parameters import Share as Fraction
from fintech_dl.networks.parameters import Width

Rows = tuple[np.ndarray, Any, np.ndarray]  # rows, targets as given, weights


@hyperparameters
class NeuralEstimator(ModelHolder):
    """Base of the estimators: gives any network ``fit`` and inference.

    Not used itself: use one of those whose name begins with ``Neural``. Parameters that are None
    mean what the network recommends for the number of rows (``network.training(n_rows)``).

    Parameters
    ----------
    network : Network, optional
        Turns columns into features; an MLP or an autoencoder if not given.
    epochs, batch_size : int, optional
        Passes over the training rows; rows per step.
    learning_rate : float, optional
        Step size at the start.
    optimizer : {"adam", "adamw", "sgd", "adagrad", "rmsprop"}, optional
        ``"sgd"`` has Nesterov momentum of 0.9.
    weight_decay : float, optional
        Decoupled weight decay; 0 for none. With ``"adamw"`` 0.004 if nothing else is said.
    clipnorm : float, optional
        Largest norm of a weight's gradient.
    schedule : {"constant", "cosine", "linear", "exponential", "coslog4"}, optional
        Course of the learning rate over all steps; ``"linear"`` and ``"exponential"`` end at 1 % of
        it, ``"coslog4"`` rises and falls four times, slower each time.
    loss : str, optional
        Loss of a row; the choices stand at each estimator.
    monitor : str, optional
        What early stopping watches on validation rows; the choices stand at each estimator.
    categorical : sequence of column names or positions, optional
        Columns to treat as categories although they hold numbers.
    special_codes : dict of column name to sequence of numbers, optional
        Numbers that are no amounts (-9 for "no file"): each counts as missing, with an indicator.
    min_frequency : int or float, optional
        Rows, or share of the rows, below which a category counts as unseen.
    validation_fraction : float, default=0.0
        Share of the training rows held out for early stopping.
    patience : int, optional
        Epochs without improvement before training stops; only with validation rows.
    temporal : bool, default=False
        Hold out the last rows instead of random ones.
    n_members : int, default=1
        Copies of the network, each with a seed of its own, trained together in one compiled step
        and averaged: the same as that many separate fits, in a fraction of their time.
    warm_start : bool, default=False
        Let ``fit`` continue from the last fit, with the columns and scales of the first.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches and dropout; global random state is left alone.
    verbose : int, default=0
        1 prints a line per epoch.

    Attributes
    ----------
    weights_ : list of ndarray
        All weights of the network; with ``columns_`` the whole fitted state. Of several members
        each array has one more dimension, the first.
    members_ : list of dict
        Of each member: ``seed``, ``best_epoch``, and per epoch ``loss`` and, with validation rows,
        ``validation_loss`` and ``monitor``; with several members also the ``random_state`` with
        which a fit of its own gives the same network.
    columns_ : list of dict
        Name, kind, categories and missingness of each column.
    training_ : dict
        The training settings that were used.
    history_ : dict of list of float
        Loss per epoch; with validation rows also ``validation_loss`` and ``monitor``; the mean of
        the members.
    n_iter_, best_epoch_ : int
        Epochs trained; epoch whose weights are kept, of several members the latest.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of str
        Their names, when all are text.
    """

    network: Network | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: str | None = None
    weight_decay: float | None = None
    clipnorm: float | None = None
    schedule: str | None = None
    loss: str | None = None
    monitor: str | None = None
    categorical: Sequence[Any] | None = None
    special_codes: Mapping[Any, Sequence[float]] | None = None
    min_frequency: Width | Fraction | None = None
    validation_fraction: float = 0.0
    patience: int | None = None
    temporal: bool = False
    n_members: int = 1
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    losses: ClassVar[tuple[str, ...]] = ("squared_error",)
    monitors: ClassVar[tuple[str, ...]] = ("loss",)
    averages: ClassVar[tuple[str, ...]] = ("mean",)

    # ---- what each kind of estimator says of itself -------------------------------------------

    def _check(self) -> None:
        """Raise ValueError for a parameter of this kind of estimator that is out of range."""

    def _folds(self, X: Any, y: Any) -> list[Fold]:
        """Return positions of training and held-out rows of each member, if they differ."""
        return []

    def _learn_target(self, y: Any, weights: list[np.ndarray], classes: Any) -> None:
        """Learn from the training targets: classes (unless given), mean and scale.

        ``weights`` holds those of each member if they differ, else one array.
        """

    def _target(self, y: Any, member: int) -> np.ndarray | None:
        """Return targets as a float32 or int32 array of shape (n_rows, n_outputs), or None."""
        return None

    def _weighted(self, y: Any, sample_weight: np.ndarray) -> np.ndarray:
        """Return the weights that training uses."""
        return sample_weight

    def _row_loss(self) -> Callable[[Any, Any], Any]:
        """Return the loss of each row as a function of (target, output)."""
        from fintech_dl.estimators.outputs import LOSSES

        return LOSSES[self.loss or self.losses[0]]

    def _monitored(
        self, X: np.ndarray, y: Any, weight: np.ndarray, loss: float, member: int
    ) -> float:
        """Return the watched value on validation rows, higher = better."""
        return -loss

    # ---- training -----------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        *,
        resume: bool = False,
        epochs: int | None = None,
        classes: Any = None,
    ) -> Self:
        resume = resume and hasattr(self, "weights_")
        network = self._network()
        rows = self._rows(X, reset=not resume)
        weight = check_weight(rows, sample_weight)
        self._check()
        settings = training_settings(self, network.training(int((weight > 0).sum())))
        if epochs is not None:
            settings["epochs"] = epochs
        folds, every = self._folds(X, y), rows
        kept = np.flatnonzero(weight > 0)
        own = [np.where(np.isin(np.arange(len(rows)), at), weight, 0.0)[kept] for at, _ in folds]
        own = own or [take(weight, kept)]
        rows, y = take(rows, kept), take(y, kept)
        seeds, states = draw_seeds(
            check_random_state(self.random_state), len(folds) or self.n_members
        )
        if not resume:
            self._learn_target(y, own, classes)
            self.history_: dict[str, list[float]] = {}
            self.n_iter_ = 0
        given = None
        if X_val is not None:
            rows_val = self._rows(X_val)
            given = (rows_val, y_val, check_weight(rows_val, sample_weight_val))
        targets = [self._target(y, j) for j in range(len(own))]
        shares, held = [], []
        for j, seed in enumerate(seeds):
            at = min(j, len(own) - 1)
            share, late = self._share(rows, y, targets[at], own[at], seed, settings, given)
            shares.append(share)
            held.append(late)
        try:
            live = self._start(network, rows, targets, shares, settings, resume)
            members, found = self._train(live, rows, targets, shares, settings, held)
        except BaseException:  # what was fitted before stays, and not half of what was begun
            self.__dict__.pop("_lease", None)
            raise
        from fintech_dl.estimators.training import mean_course

        for member, state in zip(members, states, strict=False):
            member["random_state"] = state
        for name, values in mean_course(members).items():
            self.history_.setdefault(name, []).extend(values)
        self.members_ = members
        self.best_epoch_ = self.n_iter_ + max(member["best_epoch"] for member in members)
        self.n_iter_ = len(self.history_["loss"])
        self.training_ = settings
        self.weights_ = (
            found[0] if len(found) == 1 else [np.stack(w) for w in zip(*found, strict=True)]
        )
        self._fitted(every, weight, folds)
        return self

    def _fitted(self, rows: np.ndarray, weight: np.ndarray, folds: list[Fold]) -> Any:
        """Learn what is learned from the outputs on the training rows; return these, if made."""
        if not folds and not self._ranked:
            return None
        outputs = self._raw(rows)
        if self._ranked:
            self.quantiles_ = quantiles_of(outputs[:, weight > 0], weight[weight > 0])
        if folds:
            self.oof_ = out_of_fold(folds, outputs, self._finished)
        return outputs

    def _raw(self, rows: np.ndarray) -> np.ndarray:
        """Return the outputs of each member for encoded rows: (n_members, n_rows, width)."""
        return self._infer_members(self._view("outputs"), rows)

    def _how(self) -> str:
        """Return how members are averaged."""
        return str(getattr(self, "average", None) or self.averages[0])

    @property
    def _ranked(self) -> bool:
        """Tell whether several members are averaged by rank."""
        return self._how() == "rank" and len(self.members_) > 1

    def _averaged(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        """Return one output per row from those of all members, or of some."""
        quantiles = self.quantiles_ if self._ranked else None
        some = quantiles if quantiles is None or members is None else quantiles[members]
        return average(outputs, self._how(), some)

    def _finished(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        """Return predictions from the outputs of all members, or of some."""
        return self._averaged(outputs, members)

    def _share(
        self,
        rows: np.ndarray,
        y: Any,
        target: np.ndarray | None,
        weight: np.ndarray,
        seed: int,
        settings: dict[str, Any],
        given: Rows | None,
    ) -> tuple[Share, Rows | None]:
        """Return what a member is trained on, and the rows it is validated on, if any."""
        at = np.flatnonzero(weight > 0)
        if given is None and self.validation_fraction:
            fit, late = self._hold_out(take(y, at), len(at), seed)
            late, at = at[late], at[fit]
            given = (rows[late], take(y, late), weight[late])
        weight = self._weighted(take(y, at), weight[at])
        if len(at) <= settings["batch_size"]:
            at, weight = merge_equal(rows, target, at, weight)
        return Share(seed=seed, rows=at, weight=weight / weight.mean()), given

    def _train(
        self,
        live: Live,
        rows: np.ndarray,
        targets: list[np.ndarray | None],
        shares: list[Share],
        settings: dict[str, Any],
        held: list[Rows | None],
    ) -> tuple[list[dict[str, Any]], list[list[np.ndarray]]]:
        """Train the live model; return the record and the weights of each member."""
        from fintech_dl.estimators.training import train

        known = [target for target in targets if target is not None]
        below = None if len(known) < 2 else np.arange(len(known))[:, None] * len(rows)
        if below is not None and shares[0].groups is not None:
            below = below[:, :, None]
        return train(
            live.trainer,
            (rows, np.concatenate(known)) if known else (rows,),
            offsets=(None, below) if known else (None,),
            shares=shares,
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            begun=self.n_iter_,
            model=live.model,
            validate=[self._validator(late, j) for j, late in enumerate(held) if late is not None],
            patience=settings["patience"],
            name=type(self).__name__,
            verbose=self.verbose,
        )

    def _start(
        self,
        network: Network,
        rows: np.ndarray,
        targets: list[np.ndarray | None],
        shares: list[Share],
        settings: dict[str, Any],
        resume: bool,
    ) -> Live:
        """Return the live model, ready to train: fresh and adapted to the rows, or as it was."""
        from fintech_dl.estimators.training import RowFunction, Trainer

        used = structure([self._loss_key(), optimizer_settings(settings), len(shares)])
        if not resume:
            self.__dict__.pop("_lease", None)
            self._leased(network, shares[0].seed, used)
        live = self._live()
        steps = count_steps(shares, settings["batch_size"])
        ends = steps * settings["epochs"] if settings["schedule"] != "constant" else 0
        same = live.trainer is not None and live.used == used and live.ends == ends
        if same and resume and ends:  # a schedule that has run out would leave a rate of nothing
            live.trainer.restart()
        if not same:
            function = RowFunction(live.model, self._objective(network), self._trimming(network))
            live.trainer = Trainer(function, settings, len(shares))
            live.used, live.ends = used, ends
        begins, trimming = [], live.trainer.objective.trimming
        for j, share in enumerate(shares):
            if resume and len(shares) > 1:
                if live.trainer.began:
                    live.trainer.show(j)
                live.model.set_weights(self._member_weights()[j])
            elif not resume:
                if j:
                    renew(live, self._build(network, share.seed))
                target = targets[min(j, len(targets) - 1)]
                seen, aim = take(rows, share.rows), take(target, share.rows)
                live.model.get_layer("encoding").adapt(seen, share.weight)
                network.adapt(live.model, seen, aim, share.weight)
                self._adapt(live.model, seen, aim, share.weight)
            if trimming is not None:
                trimming.begin(steps * settings["epochs"])
            begins.append(live.trainer.read())
        live.trainer.begin(begins, steps * settings["epochs"], settings["learning_rate"])
        return live

    def _objective(self, network: Network) -> Callable[..., Any]:
        """Return the network's loss of each row as a function of (model, rows, targets)."""
        loss = self._row_loss()
        return lambda model, x, y=None: network.objective(model, x, y, loss)

    def _loss_key(self) -> list[Any]:
        """Return all that the loss of a row depends on."""
        return [self.loss or self.losses[0]]

    def _adapt(
        self, model: Any, rows: np.ndarray, target: np.ndarray | None, weight: np.ndarray
    ) -> None:
        """Set the estimator's own non-trainable weights from training rows."""

    def _hold_out(self, y: Any, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions to fit on and positions held out, of ``n`` rows with targets ``y``."""
        late, strata = self.temporal, self._strata(y)
        return hold_out(n, self.validation_fraction, temporal=late, strata=strata, seed=seed)

    def _strata(self, y: Any) -> np.ndarray | None:
        """Return the labels to stratify the held-out rows by, or None."""
        return None

    def _validator(self, validation: Rows, member: int) -> Callable[[], tuple[float, float]]:
        X, y, weight = validation
        weight = self._weighted(y, weight)
        target = self._target(y, member)

        def validate() -> tuple[float, float]:
            arrays = (X,) if target is None else (X, target)
            losses = self._infer(self._live().trainer.objective, *arrays)
            loss = float(np.average(losses, weights=weight))
            return loss, self._monitored(X, y, weight, loss, member)

        return validate
