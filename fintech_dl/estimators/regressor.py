"""The neural regressor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from fintech_dl.estimators.supervised import SupervisedEstimator
from fintech_dl.estimators.trial import head
from fintech_dl.networks.base import Network, hyperparameters


@hyperparameters
class NeuralRegressor(RegressorMixin, SupervisedEstimator):
    """Regressor around any network: one target, or several (horizons, assets) at once.

    Targets are standardised inside, so that their unit does not matter. Of several targets some of
    a row may be missing: they add nothing to its loss.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber"}, optional
        Loss of a row, in standard deviations of the target.
    monitor : {"loss", "r2"}, optional
        What early stopping watches on the validation rows, computed exactly.
    cv : int or scikit-learn splitter, optional
        Each member learns from the training rows of one fold: one member per fold, or with
        ``n_members`` a multiple of that. All take the same number of steps, whatever their rows.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        Mean and standard deviation of the training targets; with ``cv`` those of each member, of
        shape (n_members, n_targets).
    oof_ : ndarray of shape (n_rows,) or (n_rows, n_targets)
        With ``cv``: predictions for each training row by the members that have not learned from
        it; NaN where all have.

    See Also
    --------
    NeuralEstimator : All other parameters and fitted attributes.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import MLP, NeuralRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = 1000 + 50 * X[:, 0]
    >>> model = NeuralRegressor(network=MLP(units=16), epochs=30, learning_rate=0.03,
    ...                         random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    losses: ClassVar[tuple[str, ...]] = ("squared_error", "absolute_error", "huber")
    monitors: ClassVar[tuple[str, ...]] = ("loss", "r2")

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one epoch on more rows, with the columns and scales of the first call."""
        return self._once(X, self._checked(X, y), sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions of shape (n_rows,) or (n_rows, n_targets), in the target's unit."""
        check_is_fitted(self, "weights_")
        return self._finished(self._raw(self._rows(X)))

    def _finished(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        predictions = self._in_unit(outputs, members)
        return predictions if self._many else predictions[:, 0]

    def _in_unit(self, outputs: np.ndarray, members: list[int] | None) -> np.ndarray:
        """Return the outputs of all members, or of some, averaged and in the target's unit."""
        own = slice(None) if members is None or self.target_mean_.ndim == 1 else members
        scale, mean = (
            values if values.ndim == 1 else values[own][:, None]
            for values in (self.target_scale_, self.target_mean_)
        )
        return self._averaged(outputs.astype(np.float64) * scale + mean, members)

    @property
    def _many(self) -> bool:
        return bool(self.n_targets_)

    def _checked(self, X: Any, y: Any) -> np.ndarray:
        y = check_array(
            self._given(y),
            ensure_2d=False,
            dtype=np.float64,
            input_name="y",
            ensure_all_finite="allow-nan",
        )
        several = y.ndim == 2 and y.shape[1] > 1
        if not several:
            assert_all_finite(y, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        if several and (empty := np.isnan(y).all(axis=1)).any():
            raise ValueError(
                f"y: in {int(empty.sum())} of {len(y)} rows every target is missing, the first is "
                f"row {int(empty.argmax())} (by position); leave such rows out"
            )
        return np.asarray(y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _shape(self) -> int:
        return int(self.target_mean_.shape[-1])

    def _outputs(self, network: Network, features: Any, inputs: Any) -> Any:
        from fintech_dl.estimators.outputs import Average

        outputs = head(network, features, self._shape())
        return Average(logits=False)(outputs) if len(outputs.shape) == 3 else outputs

    def _learn_target(self, y: Any, weights: list[np.ndarray], classes: Any) -> None:
        self.n_targets_ = y.shape[1] if y.ndim == 2 else 0  # 0: one target, given as one dimension
        columns = y if y.ndim == 2 else y[:, None]
        for w in weights:
            if (empty := np.isnan(columns[w > 0]).all(axis=0)).any():
                raise ValueError(
                    f"y: target {int(empty.argmax())} (by position) is missing in every training "
                    "row; leave it out"
                )
        with np.errstate(over="ignore", invalid="ignore"):
            means = [_average(columns, w) for w in weights]
            spreads = [
                _average((columns - mean) ** 2, w) for mean, w in zip(means, weights, strict=True)
            ]
        if not np.isfinite([means, spreads]).all():
            raise ValueError(
                f"y holds a value too large to be standardised: {np.abs(y).max():g}; write the "
                "target in a larger unit"
            )
        scales = [np.where(spread > 0, np.sqrt(spread), 1.0) for spread in spreads]
        one = len(weights) == 1
        self.target_mean_ = means[0] if one else np.stack(means)
        self.target_scale_ = scales[0] if one else np.stack(scales)

    def _target(self, y: Any, member: int) -> np.ndarray:
        columns = y if y.ndim == 2 else y[:, None]
        own = member if self.target_mean_.ndim == 2 else slice(None)
        return ((columns - self.target_mean_[own]) / self.target_scale_[own]).astype(np.float32)

    def _row_loss(self) -> Callable[[Any, Any], Any]:
        return self._of_known(super()._row_loss())

    def _of_known(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return the loss in which missing ones of several targets count for nothing."""
        from fintech_dl.estimators.outputs import of_known

        return of_known(loss) if self._many else loss

    def _monitored(
        self, X: np.ndarray, y: Any, weight: np.ndarray, loss: float, member: int
    ) -> float:
        if self.monitor in (None, "loss"):
            return -loss
        target = self._target(y, member)
        error = target - self._infer(self._view("outputs"), X)
        spread = target - _average(target, weight)
        shares = [_average(e**2, weight) for e in (error, spread)]
        return float(np.nanmean(1 - shares[0] / shares[1]))


def _average(columns: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted mean of what is known of each column."""
    known = ~np.isnan(columns)
    return np.array(
        [
            np.average(column[there], weights=weight[there]) if there.any() else np.nan
            for column, there in zip(columns.T, known.T, strict=True)
        ]
    )
