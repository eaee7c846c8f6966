"""The neural regressor."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from fintech_dl.estimators.supervised import SupervisedEstimator
from fintech_dl.networks.base import Network, hyperparameters


@hyperparameters
class NeuralRegressor(RegressorMixin, SupervisedEstimator):
    """Regressor around any network: one target, or several (horizons) at once.

    Targets are standardised inside, so that their unit does not matter.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber"}, optional
        Loss of a row, in standard deviations of the target.
    monitor : {"loss", "r2"}, optional
        What early stopping watches on the validation rows, computed exactly.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        Mean and standard deviation of the training targets.

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
        return self._fit(X, self._checked(X, y), sample_weight, resume=True, epochs=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions of shape (n_rows,) or (n_rows, n_targets), in the target's unit."""
        view = self._view("outputs")
        outputs = self._infer(view, self._rows(X)).astype(np.float64)
        predictions = outputs * self.target_scale_ + self.target_mean_
        return predictions if self._many else predictions[:, 0]

    @property
    def _many(self) -> bool:
        return bool(self.n_targets_)

    def _checked(self, X: Any, y: Any) -> np.ndarray:
        y = check_array(self._given(y), ensure_2d=False, dtype=np.float64, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        return np.asarray(y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _shape(self) -> int:
        return len(self.target_mean_)

    def _outputs(self, network: Network, features: Any, inputs: Any) -> Any:
        return network.head(features, len(self.target_mean_))

    def _learn_target(self, y: Any, sample_weight: np.ndarray, classes: Any) -> None:
        self.n_targets_ = y.shape[1] if y.ndim == 2 else 0  # 0: one target, given as one dimension
        columns = y if y.ndim == 2 else y[:, None]
        self.target_mean_ = np.average(columns, axis=0, weights=sample_weight)
        variance = np.average((columns - self.target_mean_) ** 2, axis=0, weights=sample_weight)
        self.target_scale_ = np.where(variance > 0, np.sqrt(variance), 1.0)

    def _target(self, y: Any) -> np.ndarray:
        columns = y if y.ndim == 2 else y[:, None]
        return ((columns - self.target_mean_) / self.target_scale_).astype(np.float32)

    def _monitored(self, X: np.ndarray, y: Any, weight: np.ndarray, loss: float) -> float:
        if self.monitor in (None, "loss"):
            return -loss
        target = self._target(y)
        error = target - self._infer(self._view("outputs"), X)
        spread = target - np.average(target, axis=0, weights=weight)
        shares = [np.average(e**2, axis=0, weights=weight) for e in (error, spread)]
        return float(np.mean(1 - shares[0] / shares[1]))
