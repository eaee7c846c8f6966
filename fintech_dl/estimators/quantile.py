"""The neural quantile regressor: what is likely, what is possible, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fintech_dl.estimators.regressor import NeuralRegressor
from fintech_dl.estimators.trial import head
from fintech_dl.networks.base import Network, hyperparameters
from fintech_dl.networks.parameters import shown


@hyperparameters
class NeuralQuantileRegressor(NeuralRegressor):
    """Quantile regressor around any network: median and intervals at once, for several targets too.

    Use it where the spread differs from row to row: returns, volatilities, losses. Its quantiles
    never cross. An interval of 5 % to 95 % need not cover 90 % of new rows; calibrate it on rows
    that training has not seen.

    Parameters
    ----------
    quantiles : sequence of float, default=(0.05, 0.25, 0.5, 0.75, 0.95)
        Rising, between 0 and 1, 0.5 among them: the median is what ``predict`` returns.
    loss : {"pinball"}, optional
        The mean over quantiles, in standard deviations of the target.
    monitor : {"loss"}, optional
        What early stopping watches on the validation rows.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets x n_quantiles,)
        Mean and standard deviation of the training targets, repeated for each quantile; with ``cv``
        with a first dimension of members.
    oof_ : ndarray of shape (n_rows, n_quantiles) or (n_rows, n_targets, n_quantiles)
        With ``cv``: quantiles of each training row by the members that have not learned from it;
        NaN where all have.

    See Also
    --------
    NeuralRegressor : ``cv``, and that targets are standardised inside.
    NeuralEstimator : All other parameters and fitted attributes.

    References
    ----------
    Koenker & Bassett (1978), Regression quantiles.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import MLP, NeuralQuantileRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(1, 3, size=(500, 1))
    >>> y = X[:, 0] * rng.normal(size=500)
    >>> model = NeuralQuantileRegressor(network=MLP(units=16), epochs=30, batch_size=32,
    ...                                 learning_rate=0.02, random_state=0).fit(X, y)
    >>> low, high = model.predict_interval(X, coverage=0.9)
    >>> bool(((low <= y) & (y <= high)).mean() > 0.85)
    True
    """

    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)

    losses: ClassVar[tuple[str, ...]] = ("pinball",)
    monitors: ClassVar[tuple[str, ...]] = ("loss",)

    def predict(self, X: Any) -> np.ndarray:
        """Return the medians, of shape (n_rows,) or (n_rows, n_targets), in the target's unit."""
        return np.asarray(self.predict_quantiles(X)[..., self._at(0.5)])

    def predict_quantiles(self, X: Any) -> np.ndarray:
        """Return the quantiles of each row, in the target's unit, rising along the last axis.

        Of shape (n_rows, n_quantiles), of several targets (n_rows, n_targets, n_quantiles).
        """
        check_is_fitted(self, "weights_")
        return self._finished(self._raw(self._rows(X)))

    def predict_interval(self, X: Any, coverage: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Return both ends of the central interval that is to hold a share of all outcomes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
        coverage : float, default=0.9
            Of which (1 - coverage) / 2 and (1 + coverage) / 2 are among the quantiles.

        Returns
        -------
        low, high : ndarrays of shape (n_rows,) or (n_rows, n_targets)

        Raises
        ------
        ValueError
            The model has no such quantiles.
        """
        ends = [self._at((1 - coverage) / 2), self._at((1 + coverage) / 2)]
        if None in ends:
            pairs = [q for q in self.quantiles if q < 0.5 and self._at(1 - q) is not None]
            allowed = ", ".join(f"{1 - 2 * q:g}" for q in pairs)
            raise ValueError(
                f"coverage={coverage!r}; allowed with quantiles={shown(self.quantiles)}: {allowed}"
            )
        found = self.predict_quantiles(X)
        low, high = (found[..., end] for end in ends)
        return low, high

    def _at(self, level: float) -> int | None:
        """Return the place of a quantile, None if there is none such."""
        near = [i for i, q in enumerate(self.quantiles) if math.isclose(q, level, abs_tol=1e-9)]
        return near[0] if near else None

    def _check(self) -> None:
        super()._check()
        levels = np.asarray(self.quantiles, dtype=float)
        rising = levels.ndim == 1 and (np.diff([0.0, *levels, 1.0]) > 0).all()
        if not rising or self._at(0.5) is None:
            raise ValueError(
                f"quantiles={shown(self.quantiles)}; allowed: numbers above 0 and below 1 that "
                "rise, 0.5 among them"
            )

    def _finished(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        columns = self._in_unit(outputs, members)
        found = columns.reshape(len(columns), -1, len(self.quantiles))
        return found if self._many else found[:, 0]

    def _outputs(self, network: Network, features: Any, inputs: Any) -> Any:
        from fintech_dl.estimators.outputs import Average, Rising

        outputs = Rising(len(self.quantiles))(head(network, features, self._shape()))
        return Average(logits=False)(outputs) if len(outputs.shape) == 3 else outputs

    def _learn_target(self, y: Any, weights: list[np.ndarray], classes: Any) -> None:
        super()._learn_target(y, weights, classes)
        many = len(self.quantiles)
        self.target_mean_ = np.repeat(self.target_mean_, many, axis=-1)
        self.target_scale_ = np.repeat(self.target_scale_, many, axis=-1)

    def _target(self, y: Any, member: int) -> np.ndarray:
        columns = y if y.ndim == 2 else y[:, None]
        return super()._target(np.repeat(columns, len(self.quantiles), axis=1), member)

    def _row_loss(self) -> Callable[[Any, Any], Any]:
        from fintech_dl.estimators.outputs import pinball

        return self._of_known(partial(pinball, quantiles=tuple(self.quantiles)))

    def _loss_key(self) -> list[Any]:
        return [*super()._loss_key(), *self.quantiles]
