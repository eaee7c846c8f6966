"""NLinear: a linear model of a window relative to its last step."""

from __future__ import annotations

from typing import Literal

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.base import hyperparameters, regularizer
from fintech_dl.networks.own_scale import OwnScaleNetwork
from fintech_dl.networks.parameters import Amount


@hyperparameters
class NLinear(OwnScaleNetwork):
    """NLinear: predictions linear in the window's steps, relative to the last one.

    The rival that a deeper network must beat on series whose level wanders: prices, rates,
    spreads. Of one channel it can be any linear rule; of the other channels it sees only how they
    stand to their own last step. It sees no combinations of columns. It is for regressors whose
    target is in the unit of the window's first channel; for classifiers it is a logistic
    regression. Padded steps count as standing at the last one's level.

    Parameters
    ----------
    normalise : {"last", "window", "volatility"} or None, default="last"
        What the window is relative to: ``"last"`` its last step, ``"window"`` its own mean and
        deviation, ``"volatility"`` its last step and the size of its steps' differences (for
        targets that are changes); None for all channels as they are.
    l1, l2 : float, default=0.0
        Penalties on the absolute and squared weights.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    References
    ----------
    Zeng, Chen, Zhang & Xu (2023), Are transformers effective for time series forecasting?

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralRegressor, NLinear
    >>> X = np.random.default_rng(0).normal(size=(300, 10)).cumsum(axis=1)
    >>> y = X[:, -1] + 0.5 * (X[:, -1] - X[:, -2])
    >>> model = NeuralRegressor(network=NLinear(), learning_rate=0.05, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.99)
    True
    """

    normalise: Literal["window", "last", "volatility"] | None = "last"
    l1: Amount = 0.0
    l2: Amount = 0.0

    def read(self, window: Tensor) -> Tensor:
        """Return the window's numbers in a row."""
        return keras().layers.Flatten()(window)

    def _last(self, features: Tensor, n_outputs: int) -> Tensor:
        penalty = regularizer(self.l1, self.l2)
        return keras().layers.Dense(n_outputs, name="head", kernel_regularizer=penalty)(features)
