"""The neural ranker: scores whose order within a date, or any other group, is what counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from fintech_dl.estimators.base import Rows
from fintech_dl.estimators.folds import Fold, member_folds
from fintech_dl.estimators.groups import (
    by_usual_weight,
    check_order,
    group_codes,
    mean_rank_ic,
    usual_weight,
    whole_groups,
)
from fintech_dl.estimators.members import Share
from fintech_dl.estimators.regressor import NeuralRegressor
from fintech_dl.estimators.rows import hold_out, in_blocks
from fintech_dl.networks.base import Network, hyperparameters

LONGEST = {"ic": 20_000, "pairwise": 5_000, "listwise": 20_000}  # pairs take its square in memory
BLOCK_ROWS = 8192


@hyperparameters
class NeuralRanker(NeuralRegressor):
    """Ranker around any network: learns to order the rows of a group, such as the assets of a date.

    Use it where the order matters and the level cannot be known: what all assets of a date have in
    common is no part of the loss. Groups shape training only: a row is always scored alone, and
    scores of one date can be compared, those of two dates cannot. With fewer than about 50 rows
    per group, ``loss="squared_error"`` on ranks is often as good.

    Parameters
    ----------
    loss : {"ic", "pairwise", "listwise", "squared_error"}, optional
        ``"ic"``: 1 less the correlation of score and target within the group (information
        coefficient). ``"pairwise"``: logistic loss of every pair of rows of a group.
        ``"listwise"``: cross-entropy of the softmax of both, the target standardised within the
        group (ListNet), less the log of the group's size. Of these, a batch is whole groups, about
        ``batch_size`` rows in all, and every group counts alike, or as the mean weight of its rows.
        ``"squared_error"`` is that of `NeuralRegressor`: rows alone, in batches across groups.
    monitor : {"loss", "rank_ic"}, optional
        What early stopping watches on the validation groups, computed exactly: the mean loss, or
        the mean rank correlation. ``validation_fraction`` holds out whole groups; if ``temporal``,
        the last.
    cv : int or scikit-learn splitter, optional
        Each member learns from the training rows of one fold, as in `NeuralRegressor`. An int makes
        folds of whole groups in order; a splitter is given the groups, and must not tear them.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (1,)
        0 and 1: scores have no unit; of ``"squared_error"`` as in `NeuralRegressor`.
    oof_ : ndarray of shape (n_rows,)
        With ``cv``: scores of each training row by the members that have not learned from it; NaN
        where all have.

    See Also
    --------
    NeuralEstimator : All other parameters and fitted attributes.

    References
    ----------
    Burges et al. (2005), Learning to rank using gradient descent; Cao et al. (2007), Learning to
    rank: from pairwise approach to listwise approach.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import MLP, NeuralRanker
    >>> rng = np.random.default_rng(0)
    >>> dates = np.repeat(np.arange(50), 20)
    >>> X = rng.normal(size=(1000, 3))
    >>> y = X[:, 0] + 10 * rng.normal(size=50)[dates]  # the market moves more than assets differ
    >>> model = NeuralRanker(network=MLP(units=16), epochs=10, learning_rate=0.01, random_state=0)
    >>> bool(model.fit(X, y, groups=dates).score(X, y, groups=dates) > 0.9)
    True
    """

    losses: ClassVar[tuple[str, ...]] = ("ic", "pairwise", "listwise", "squared_error")
    monitors: ClassVar[tuple[str, ...]] = ("loss", "rank_ic")

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups_val: Any = None,
    ) -> Self:
        """Train on rows ``X``, to be ordered by ``y`` within each group.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,)
            Higher for what is to be ranked higher: a return ahead, its rank, a relevance.
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each row within its group; their mean is the group's. Rows of 0 are left out.
        groups : array-like of shape (n_rows,), optional
            Label of each row's group, such as its date; rows may stand in any order. None: all rows
            are of one group, 20,000 at most (any number with ``loss="squared_error"``).
        X_val, y_val, sample_weight_val, groups_val : optional
            Rows for early stopping, instead of ``validation_fraction``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A parameter out of range, targets or groups that are missing, no group in which targets
            differ, a group too large to compare its rows, infinity in ``X``.
        """
        y = self._grouped(X, y, groups)
        if y_val is not None:
            if groups is not None and groups_val is None:
                raise ValueError("groups_val is missing: validation rows need their groups too")
            y_val = self._grouped(X_val, y_val, groups_val, "groups_val")
        return self._fit(
            X, y, sample_weight, X_val, y_val, sample_weight_val, resume=self.warm_start
        )

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> Self:
        """Train one epoch on more rows, with the columns of the first call."""
        return self._once(X, self._grouped(X, y, groups), sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return scores of shape (n_rows,), higher = ranked higher within the row's group.

        They have no unit, and their level means nothing. Each row is scored alone.
        """
        return super().predict(X)

    def score(self, X: Any, y: Any, *, groups: Any = None) -> float:
        """Return the mean rank correlation of score and ``y`` within groups (rank IC), -1 to 1.

        Groups in which ``y`` does not differ are left out.
        """
        y = self._checked(X, y)
        return mean_rank_ic(y, self.predict(X), group_codes(len(y), groups))

    @property
    def _alone(self) -> bool:
        """Tell whether the loss of a row is its own."""
        return self.loss == "squared_error"

    def _grouped(self, X: Any, y: Any, groups: Any, name: str = "groups") -> np.ndarray:
        """Return target and number of the group of each row, side by side."""
        y = self._checked(X, y)
        codes = group_codes(len(y), groups, name)
        if not self._alone:
            size = np.bincount(codes)
            most = LONGEST.get(str(self.loss or self.losses[0]), max(LONGEST.values()))
            if size.max() > most:
                one = "all rows are one group" if groups is None else "the largest group"
                raise ValueError(
                    f"{name}: {one}, of {size.max()} rows; allowed with loss="
                    f"{self.loss or self.losses[0]!r}: {most}. Give the date of each row as "
                    f'{name}, or take loss="squared_error", which needs no groups'
                )
            check_order(y, codes, name)
        return np.column_stack([y, codes])

    def _checked(self, X: Any, y: Any) -> np.ndarray:
        y = super()._checked(X, y)
        if y.ndim > 1:
            raise ValueError(f"y has the shape {y.shape}; allowed: one number per row to rank by")
        return y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags

    def _folds(self, X: Any, y: Any) -> list[Fold]:
        groups = _codes(y) if y[:, 1].any() else None  # a single group is divided by rows
        return member_folds(self.cv, self.n_members, X, y[:, 0], classifier=False, groups=groups)

    def _learn_target(self, y: Any, weights: list[np.ndarray], classes: Any) -> None:
        super()._learn_target(y[:, 0], weights, classes)
        if not self._alone:
            self.target_mean_ = np.zeros_like(self.target_mean_)
            self.target_scale_ = np.ones_like(self.target_scale_)

    def _target(self, y: Any, member: int) -> np.ndarray:
        if self._alone:
            return super()._target(y[:, 0], member)
        # before it is cut to float32: what a date's assets have in common may be far larger than
        # what they differ by
        of_group = pd.Series(y[:, 0]).groupby(_codes(y))
        low, high = (of_group.transform(what).to_numpy() for what in ("min", "max"))
        share = (y[:, 0] - low) / np.where(high > low, high - low, 1.0)
        return np.asarray(share[:, None], dtype=np.float32)

    def _row_loss(self) -> Callable[..., Any]:
        from fintech_dl.estimators.group_losses import GROUP_LOSSES

        name = self.loss or self.losses[0]
        return GROUP_LOSSES.get(name) or super()._row_loss()

    def _objective(self, network: Network) -> Callable[..., Any]:
        from fintech_dl.estimators.group_losses import by_group

        return super()._objective(network) if self._alone else by_group(network, self._row_loss())

    def _hold_out(self, y: Any, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        labels, codes = np.unique(y[:, 1], return_inverse=True)
        if len(labels) == 1:
            return super()._hold_out(None, n, seed)
        _, late = hold_out(
            len(labels), self.validation_fraction, temporal=self.temporal, strata=None, seed=seed
        )
        held = np.isin(codes, late)
        return np.flatnonzero(~held), np.flatnonzero(held)

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
        if self._alone:
            return super()._share(rows, y, target, weight, seed, settings, given)
        assert target is not None
        keyed = np.hstack([target, y[:, 1:]])  # equal rows of two groups stay two
        share, given = super()._share(rows, y, keyed, weight, seed, settings, given)
        codes = _codes(y)
        groups, usual = codes[share.rows], usual_weight(codes, weight)
        balanced = by_usual_weight(groups, share.weight, usual)
        return replace(share, weight=balanced, groups=groups), given

    def _validator(self, validation: Rows, member: int) -> Callable[[], tuple[float, float]]:
        X, y, weight = (part[validation[2] > 0] for part in validation)
        codes = _codes(y)
        if not self._alone or self.monitor == "rank_ic":
            check_order(y[:, 0], codes, "groups of the validation rows")
        if self._alone:
            return super()._validator(validation, member)
        target = self._target(y, member)
        longest = int(np.bincount(codes).max())
        balanced = by_usual_weight(codes, weight, usual_weight(codes, weight))
        groups = whole_groups(codes, balanced, longest)
        size = max(1, BLOCK_ROWS // longest)

        def losses(block: tuple[np.ndarray, ...]) -> np.ndarray:
            at, weights = block
            return np.asarray(self._live().trainer.objective.infer((X[at], target[at], weights)))

        def validate() -> tuple[float, float]:
            loss = float(np.average(in_blocks(losses, groups, (size,)), weights=groups[1]))
            return loss, self._monitored(X, y, weight, loss, member)

        return validate

    def _monitored(
        self, X: np.ndarray, y: Any, weight: np.ndarray, loss: float, member: int
    ) -> float:
        if self.monitor in (None, "loss"):
            return -loss
        return mean_rank_ic(y[:, 0], self._infer(self._view("outputs"), X)[:, 0], _codes(y))


def _codes(y: np.ndarray) -> np.ndarray:
    """Return the number of each row's group."""
    return np.asarray(y[:, 1].astype(int))
