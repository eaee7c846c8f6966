"""TSMixer: dense layers along the steps and along the channels of a window, in turn."""

from __future__ import annotations

from typing import ClassVar

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.base import hyperparameters
from fintech_dl.networks.own_scale import OwnScaleNetwork
from fintech_dl.networks.parameters import Share, Width


@hyperparameters
class TSMixer(OwnScaleNetwork):
    """TSMixer: blocks that mix the steps of each channel, then the channels of each step.

    For windows of several channels that matter together, where a :class:`~fintech_dl.Transformer`
    is too slow. It is tied to the number of steps and channels. For one channel prefer
    :class:`~fintech_dl.NHiTS`. Padded steps reach it as zeros.

    Parameters
    ----------
    blocks : int, default=2
        Blocks, one after the other.
    units : int, default=64
        Width of the dense layer that mixes channels.
    dropout : float, default=0.3
        Share of units dropped after each dense layer while training, in [0, 1). Published runs
        go up to 0.9.
    normalise : {"window", "last", "volatility"}, optional
        Show each window on its own scale (:class:`~fintech_dl.NLinear` says which), and scale
        predictions back; ``"window"`` is the published recipe. For regressors whose target is in
        the unit of the window's first channel; leave it None for classifiers.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    Notes
    -----
    The paper also normalises over a batch in each block. Here the window is standardised once, so
    that a row's score does not depend on its neighbours.

    References
    ----------
    Chen, Li, Yoder, Arik & Pfister (2023), TSMixer: an all-MLP architecture for time series
    forecasting.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralClassifier, TSMixer
    >>> X = np.random.default_rng(0).normal(size=(300, 8))
    >>> y = (X[:, -1] > X[:, -2]).astype(int)
    >>> network = TSMixer(units=32, dropout=0.0, channels=2)
    >>> model = NeuralClassifier(network=network, epochs=30, batch_size=32, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.8)
    True
    """

    blocks: Width = 2
    units: Width = 64
    dropout: Share = 0.3

    block_rows: ClassVar[tuple[int, ...]] = (256,)  # other sizes differ in the last bit

    def read(self, window: Tensor) -> Tensor:
        """Return the mixed window in a row, of shape (rows, steps x channels)."""
        layers, x = keras().layers, window
        steps, channels = window.shape[1:]

        def dropped(y: Tensor) -> Tensor:
            return layers.Dropout(self.dropout)(y) if self.dropout else y

        for _ in range(self.blocks):
            y = layers.Permute((2, 1))(x)
            y = dropped(layers.Dense(steps, activation="relu")(y))
            x = x + layers.Permute((2, 1))(y)
            y = dropped(layers.Dense(self.units, activation="relu")(x))
            x = x + dropped(layers.Dense(channels)(y))
        return layers.Flatten()(x)
