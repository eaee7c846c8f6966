"""N-HiTS: a window explained step by step, from its slow movements to its fast ones."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.base import as_tuple, hyperparameters
from fintech_dl.networks.own_scale import OwnScaleNetwork
from fintech_dl.networks.parameters import Activation, Share, Width, Widths, shown


@hyperparameters
class NHiTS(OwnScaleNetwork):
    """N-HiTS: stacks read a window at several rates, each what the ones before left unexplained.

    For windows of levels or volatilities that move slowly and fast at once; it is dense, and
    fast. A stack takes the largest number of every few steps, and gives a forecast and its
    explanation of the window (a line through few knots), which is taken off before the next
    stack reads. Features are the sum of the stacks' forecasts, of which the head is a linear
    function. Padded steps reach it as zeros.

    Parameters
    ----------
    pooling : int or sequence of int, default=(8, 4, 1)
        Steps that each stack takes together, slow stacks first; also the steps between the knots
        of its explanation.
    hidden : int or sequence of int, default=(128, 128)
        Width of the dense layers of each stack. The published 512 takes ten times as long.
    units : int, default=16
        Numbers of which a forecast is made.
    activation : str, default="relu"
        Any Keras activation.
    dropout : float, default=0.0
        Share of units dropped after each dense layer while training, in [0, 1).
    normalise : {"window", "last", "volatility"}, optional
        Show each window on its own scale (:class:`~fintech_dl.NLinear` says which), and scale
        predictions back. For regressors whose target is in the unit of the window's first channel;
        leave it None for classifiers.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    Notes
    -----
    The paper interpolates forecasts over the horizon; here every output has its own weights.

    References
    ----------
    Challu et al. (2023), N-HiTS: neural hierarchical interpolation for time series forecasting.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NHiTS, NeuralRegressor
    >>> X = np.random.default_rng(0).normal(size=(300, 12)).cumsum(axis=1)
    >>> y = X[:, -4:].max(axis=1)
    >>> network = NHiTS(pooling=(4, 1), hidden=32, normalise="window")
    >>> model = NeuralRegressor(network=network, epochs=20, learning_rate=0.01, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    pooling: Widths = (8, 4, 1)
    hidden: Widths = (128, 128)
    units: Width = 16
    activation: Activation = "relu"
    dropout: Share = 0.0

    # JAX adds up the line through the knots in another order in larger blocks
    block_rows: ClassVar[tuple[int, ...]] = (256,)

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        if not as_tuple(self.pooling):
            raise ValueError(f"pooling={shown(self.pooling)}; allowed: one number of steps or more")

    def read(self, window: Tensor) -> Tensor:
        """Return the sum of the stacks' forecasts, of shape (rows, units)."""
        k = keras()
        layers, ops = k.layers, k.ops
        steps, channels = window.shape[1:]
        rates = [min(rate, steps) for rate in as_tuple(self.pooling)]
        forecasts = []
        for i, rate in enumerate(rates):
            knots = -(-steps // rate)
            x = layers.ZeroPadding1D((knots * rate - steps, 0))(window)
            x = ops.max(ops.reshape(x, (-1, knots, rate, channels)), axis=2)
            x = layers.Flatten()(x)
            for width in as_tuple(self.hidden):
                x = layers.Dense(width, activation=self.activation)(x)
                x = layers.Dropout(self.dropout)(x) if self.dropout else x
            forecasts.append(layers.Dense(self.units)(x))
            if i < len(rates) - 1:
                explained = layers.Reshape((knots, channels))(layers.Dense(knots * channels)(x))
                window = window - ops.matmul(interpolation(steps, knots), explained)
        return layers.Add()(forecasts) if len(forecasts) > 1 else forecasts[0]


def interpolation(steps: int, knots: int) -> np.ndarray:
    """Return the matrix that draws lines through knots: (steps, knots), rows sum to 1.

    Examples
    --------
    >>> from fintech_dl.networks.nhits import interpolation
    >>> interpolation(3, 2).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    at = np.linspace(0, knots - 1, steps)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots))).astype(np.float32)
