"""What all neural estimators share: building, training, inference in blocks, fitted state."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fintech_dl.estimators.columns import Columns, encode_columns, fit_columns
from fintech_dl.estimators.live import Live, lease, structure
from fintech_dl.estimators.rows import check_weight, hold_out, in_blocks, merge_equal
from fintech_dl.estimators.settings import optimizer_settings, training_settings
from fintech_dl.networks.base import Network, hyperparameters, keras


@hyperparameters
class NeuralEstimator(BaseEstimator):
    """Base of the estimators: gives any network ``fit`` and inference.

    Not used itself; use :class:`~fintech_dl.NeuralClassifier`,
    :class:`~fintech_dl.NeuralRegressor`, :class:`~fintech_dl.NeuralDetector` or
    :class:`~fintech_dl.NeuralEncoder`. Parameters that are None mean what the
    network recommends for the number of rows (``network.training(n_rows)``).

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
    schedule : {"constant", "cosine", "linear", "exponential"}, optional
        Course of the learning rate over all steps; the last two end at 1 % of it.
    loss : str, optional
        Loss of a row; the choices stand at each estimator.
    monitor : str, optional
        What early stopping watches on validation rows; the choices stand at each estimator.
    categorical : sequence of column names or positions, optional
        Columns to treat as categories although they hold numbers.
    validation_fraction : float, default=0.0
        Share of the training rows held out for early stopping.
    patience : int, optional
        Epochs without improvement before training stops; only with validation rows.
    temporal : bool, default=False
        Hold out the last rows instead of random ones.
    warm_start : bool, default=False
        Let ``fit`` continue from the last fit, with the columns and scales of the first.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches and dropout; global random state is left alone.
    verbose : int, default=0
        1 prints a line per epoch.

    Attributes
    ----------
    weights_ : list of ndarray
        All weights of the network; with ``columns_`` the whole fitted state.
    columns_ : list of dict
        Name, kind, categories and missingness of each column.
    training_ : dict
        The training settings that were used.
    history_ : dict of list of float
        Loss per epoch; with validation rows also ``validation_loss`` and ``monitor``.
    n_iter_, best_epoch_ : int
        Epochs trained; epoch whose weights are kept.
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
    validation_fraction: float = 0.0
    patience: int | None = None
    temporal: bool = False
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    verbose: int = 0

    losses: ClassVar[tuple[str, ...]] = ("squared_error",)
    monitors: ClassVar[tuple[str, ...]] = ("loss",)
    embed: ClassVar[bool] = True

    # ---- what each kind of estimator says of itself -------------------------------------------

    def _default_network(self) -> Network:
        """Return the network used when none is given."""
        raise NotImplementedError

    def _check(self) -> None:
        """Raise ValueError for a parameter of this kind of estimator that is out of range."""

    def _outputs(self, network: Network, features: Any, inputs: Any) -> Any:
        """Return the output tensor of the model: by default the inputs rebuilt."""
        k = keras()
        code = k.Input(features.shape[1:])
        return k.Model(code, network.decode(code, inputs), name="decoder")(features)

    def _learn_target(self, y: Any, sample_weight: np.ndarray, classes: Any) -> None:
        """Learn from the training targets: classes (unless given), mean and scale."""

    def _target(self, y: Any) -> np.ndarray | None:
        """Return targets as a float32 or int32 array of shape (n_rows, n_outputs), or None."""
        return None

    def _weighted(self, y: Any, sample_weight: np.ndarray) -> np.ndarray:
        """Return the weights that training uses."""
        return sample_weight

    def _row_loss(self) -> Callable[[Any, Any], Any]:
        """Return the loss of each row as a function of (target, output)."""
        from fintech_dl.estimators.outputs import LOSSES

        return LOSSES[self.loss or self.losses[0]]

    def _monitored(self, X: np.ndarray, y: Any, weight: np.ndarray, loss: float) -> float:
        """Return the watched value on validation rows, higher = better."""
        return -loss

    # ---- input --------------------------------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _rows(self, X: Any, reset: bool = False) -> np.ndarray:
        """Check ``X`` and return it as one float32 matrix; learn the columns if ``reset``."""
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise ValueError(f"X has 0 sample(s) (shape={X.shape}); at least 1 is required.")
        else:
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False)
        if reset:
            self.columns_: Columns = fit_columns(X, self.categorical)
        return encode_columns(X, self.columns_)

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
        kept = weight > 0
        if not kept.all():
            rows, weight = rows[kept], weight[kept]
            y = y[kept] if y is not None else None
        self._check()
        settings = training_settings(self, network.training(len(rows)))
        if epochs is not None:
            settings["epochs"] = epochs
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        if not resume:
            self._learn_target(y, weight, classes)
            self.history_: dict[str, list[float]] = {}
            self.n_iter_ = 0
        validation = None
        if X_val is not None:
            rows_val = self._rows(X_val)
            weight_val = check_weight(rows_val, sample_weight_val)
            validation = (rows_val, y_val, weight_val)
        elif self.validation_fraction:
            fit, held = hold_out(
                len(rows),
                self.validation_fraction,
                temporal=self.temporal,
                strata=self._strata(y),
                seed=seed,
            )
            validation = (rows[held], None if y is None else y[held], weight[held])
            rows, y, weight = rows[fit], None if y is None else y[fit], weight[fit]
        weight = self._weighted(y, weight)
        target = self._target(y)
        if len(rows) <= settings["batch_size"]:
            rows, target, weight = merge_equal(rows, target, weight)
        weight = weight / weight.mean()
        try:
            live = self._start(network, rows, target, weight, seed, settings, resume)
            best = self._train(live, rows, target, weight, seed, settings, validation)
        except BaseException:  # what was fitted before stays, and not half of what was begun
            self.__dict__.pop("_lease", None)
            raise
        self.best_epoch_ = self.n_iter_ + best
        self.n_iter_ = len(self.history_["loss"])
        self.training_ = settings
        self.weights_ = live.model.get_weights()
        return self

    def _train(
        self,
        live: Live,
        rows: np.ndarray,
        target: np.ndarray | None,
        weight: np.ndarray,
        seed: int,
        settings: dict[str, Any],
        validation: tuple[np.ndarray, Any, np.ndarray] | None,
    ) -> int:
        """Train the live model; return the best epoch of this call."""
        from fintech_dl.estimators.training import train

        return train(
            live.trainer,
            (rows,) if target is None else (rows, target),
            weight=weight,
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            rng=np.random.default_rng([seed, self.n_iter_]),
            history=self.history_,
            model=live.model,
            validate=self._validator(validation) if validation is not None else None,
            patience=settings["patience"],
            name=type(self).__name__,
            verbose=self.verbose,
        )

    def _start(
        self,
        network: Network,
        rows: np.ndarray,
        target: np.ndarray | None,
        weight: np.ndarray,
        seed: int,
        settings: dict[str, Any],
        resume: bool,
    ) -> Live:
        """Return the live model, ready to train: fresh and adapted to the rows, or as it was."""
        from fintech_dl.estimators.training import RowFunction, Trainer, make_optimizer

        if not resume:
            self.__dict__.pop("_lease", None)
            live = self._leased(network, seed)
            live.model.get_layer("encoding").adapt(rows, weight)
            network.adapt(live.model, rows, target, weight)
            self._adapt(live.model, target, weight)
        live = self._live()
        steps = settings["epochs"] * math.ceil(len(rows) / settings["batch_size"])
        ends = steps if settings["schedule"] != "constant" else 0
        loss = self._row_loss()
        used = structure([self._loss_key(), optimizer_settings(settings)])
        same = live.trainer is not None and live.used == used and (resume or live.ends == ends)
        if not same:

            def objective(model: Any, x: Any, y: Any = None) -> Any:
                return network.objective(model, x, y, loss)

            optimizer = make_optimizer(settings, steps)
            live.trainer = Trainer(RowFunction(live.model, objective), optimizer)
            live.used, live.ends = used, ends
        return live

    def _loss_key(self) -> list[Any]:
        """Return all that the loss of a row depends on."""
        return [self.loss or self.losses[0]]

    def _adapt(self, model: Any, target: np.ndarray | None, weight: np.ndarray) -> None:
        """Set the estimator's own non-trainable weights from training rows."""

    def _strata(self, y: Any) -> np.ndarray | None:
        """Return the labels to stratify the held-out rows by, or None."""
        return None

    def _validator(self, validation: tuple[np.ndarray, Any, np.ndarray]) -> Any:
        X, y, weight = validation
        weight = self._weighted(y, weight)
        target = self._target(y)

        def validate() -> tuple[float, float]:
            arrays = (X,) if target is None else (X, target)
            losses = self._infer(self._live().trainer.objective, *arrays)
            loss = float(np.average(losses, weights=weight))
            return loss, self._monitored(X, y, weight, loss)

        return validate

    # ---- the model ----------------------------------------------------------------------------

    def _build(self, network: Network) -> Any:
        """Return a fresh Keras model: raw columns to encoded inputs, features and outputs."""
        k = keras()
        x = k.Input((len(self.columns_),), dtype="float32")
        encoding = network.encoding(self.columns_, self.embed)
        encoding.name = "encoding"
        inputs = encoding(x)
        features = network(inputs)
        if getattr(features, "shape", (0,))[:1] != (None,) or len(features.shape) < 2:
            raise ValueError(
                f"{type(network).__name__} returned {features!r}; expected a tensor of shape "
                "(rows, features) made from its input"
            )
        outputs = self._outputs(network, features, inputs)
        parts = {"inputs": inputs, "features": features, "outputs": outputs}
        flat = {n: k.layers.Flatten()(t) if len(t.shape) > 2 else t for n, t in parts.items()}
        return k.Model(x, flat)

    def _network(self) -> Network:
        network = self.network if self.network is not None else self._default_network()
        if not isinstance(network, Network):
            raise ValueError(
                f"network={network!r}; allowed: an instance of a fintech_dl network, "
                "for example MLP(units=64)"
            )
        return network

    def _shape(self) -> int:
        """Return the number of outputs, if the kind of estimator has targets."""
        return 0

    def _leased(self, network: Network, seed: int) -> Live:
        """Lease a live model of this estimator's structure, freshly initialised from the seed."""
        columns = [
            [column["name"], column["kind"], len(column["categories"]), column["has_missing"]]
            for column in self.columns_
        ]
        try:
            key = (type(self), structure([network, columns, self._shape()]))
        except TypeError:
            key = None
        with _seeded(seed):
            self.__dict__["_lease"] = lease(key, lambda: self._build(network))
        return self._live()

    def _live(self) -> Live:
        """Return the live model, rebuilt from the fitted arrays when it is not there."""
        if "_lease" not in self.__dict__:
            check_is_fitted(self, "weights_")
            self._leased(self._network(), 0).model.set_weights(self.weights_)
        live: Live = self.__dict__["_lease"].live
        return live

    def _view(self, name: str, function: Callable[..., Any] | None = None) -> Any:
        """Return the compiled function ``name`` of rows: by default a part of the model."""
        views = self._live().views
        if name not in views:
            from fintech_dl.estimators.training import RowFunction

            part = function or (lambda model, x: model(x)[name])
            views[name] = RowFunction(self._live().model, part)
        return views[name]

    def _infer(self, view: Any, *arrays: np.ndarray) -> np.ndarray:
        """Run rows through a compiled function, block by block."""
        return in_blocks(view.predict_on_batch, arrays, self._network().block_rows)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_lease", None)
        return state


@contextmanager
def _seeded(seed: int) -> Any:
    """Seed what Keras draws its layer seeds from, and put Python's generator back after."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
