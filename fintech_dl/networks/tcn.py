"""Temporal convolutional network: convolutions that see ever farther back."""

from __future__ import annotations

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.base import as_tuple, hyperparameters
from fintech_dl.networks.own_scale import OwnScaleNetwork
from fintech_dl.networks.parameters import Share, Width, Widths


@hyperparameters
class TCN(OwnScaleNetwork):
    """Temporal convolutional network: blocks of causal convolutions, each seeing twice as far.

    Use it for windows of 20 to some hundred steps in which order matters, as a faster rival of
    :class:`~fintech_dl.LSTM`. Four blocks of ``kernel_size=3`` see 61 steps. For short local
    patterns a :class:`~fintech_dl.CNN` is enough. Padded steps reach it as zeros, as its own
    padding does.

    Parameters
    ----------
    filters : int or sequence of int, default=(32, 32, 32, 32)
        Filters of each block; a block has two convolutions.
    kernel_size : int, default=3
        Steps that one filter sees; 1, 2, 4, ... steps apart in the first, second, third block.
    dropout : float, default=0.1
        Share of units dropped after each convolution while training, in [0, 1).
    normalise : {"window", "last", "volatility"}, optional
        Show each window on its own scale (:class:`~fintech_dl.NLinear` says which), and scale
        predictions back. For regressors whose target is in the unit of the window's first channel;
        leave it None for classifiers.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    Notes
    -----
    Without the weight normalisation of the paper.

    References
    ----------
    Bai, Kolter & Koltun (2018), An empirical evaluation of generic convolutional and recurrent
    networks for sequence modeling.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import TCN, NeuralClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 8))
    >>> y = (X[:, -1] * X[:, -2] > 0).astype(int)
    >>> network = TCN(filters=(16, 16), dropout=0.0)
    >>> model = NeuralClassifier(network=network, epochs=30, batch_size=32, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.8)
    True
    """

    filters: Widths = (32, 32, 32, 32)
    kernel_size: Width = 3
    dropout: Share = 0.1

    def read(self, window: Tensor) -> Tensor:
        """Return the last step's vector, of shape (rows, filters[-1])."""
        layers, x = keras().layers, window
        widths = as_tuple(self.filters)
        for i, width in enumerate(widths):
            y = x
            for _ in range(2):
                y = layers.Conv1D(width, self.kernel_size, padding="causal", activation="relu")(y)
                y = layers.Dropout(self.dropout)(y) if self.dropout else y
            same = x.shape[2] == width
            x = layers.Activation("relu")((x if same else layers.Dense(width)(x)) + y)
            # the last step reads only every second step from here on: leaving the others out makes
            # the next block's neighbours twice as far apart
            if i < len(widths) - 1:
                x = x[:, (x.shape[1] - 1) % 2 :: 2]
        return x[:, -1]
