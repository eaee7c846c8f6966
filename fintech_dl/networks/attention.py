"""Transformer over a window: attention between its patches or its channels."""

from __future__ import annotations

from typing import ClassVar, Literal

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import hyperparameters
from fintech_dl.networks.own_scale import OwnScaleNetwork
from fintech_dl.networks.parameters import Share, Width, shown
from fintech_dl.networks.transformer import check_heads


@hyperparameters
class Transformer(OwnScaleNetwork):
    """Transformer: patches of a window (PatchTST) or its channels (iTransformer) read one another.

    ``tokens="patch"`` for long windows in which distant stretches belong together;
    ``tokens="channel"`` for many channels that move together. It needs more rows than a
    :class:`~fintech_dl.TCN` or :class:`~fintech_dl.NHiTS`: try those first. Padded steps reach it
    as zeros.

    Parameters
    ----------
    tokens : {"patch", "channel"}, default="patch"
        What becomes a vector: some steps with all their channels, or all steps of a channel.
    patch : int, default=8
        Steps of a patch, at most those of the window; for ``tokens="patch"``.
    stride : int, default=4
        Steps from one patch to the next, at most ``patch``. The last one ends with the window.
    blocks : int, default=2
        Blocks of attention and a dense part, one after the other.
    units : int, default=32
        Size of a vector, a multiple of ``heads``.
    heads : int, default=4
        Ways in which vectors are compared at once.
    attention_dropout : float, default=0.0
        Share of what vectors read from one another that is dropped while training, in [0, 1).
    dropout : float, default=0.1
        Share of units dropped in each block's dense part while training, in [0, 1).
    normalise : {"window", "last", "volatility"}, optional
        Show each window on its own scale (:class:`~fintech_dl.NLinear` says which), and scale
        predictions back; ``"window"`` is the published recipe. For regressors whose target is in
        the unit of the window's first channel; leave it None for classifiers.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    Notes
    -----
    PatchTST normalises over a batch and reads each channel alone; here it is over each vector, and
    a patch holds all channels: of one channel, both read alike.

    References
    ----------
    Nie et al. (2023), A time series is worth 64 words. Liu et al. (2024), iTransformer: inverted
    transformers are effective for time series forecasting.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralClassifier, Transformer
    >>> X = np.random.default_rng(0).normal(size=(200, 8))
    >>> y = (X[:, -1] > 0).astype(int)
    >>> network = Transformer(patch=2, stride=2, blocks=1, units=8, heads=2)
    >>> model = NeuralClassifier(network=network, epochs=8, learning_rate=0.02, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.8)
    True
    """

    tokens: Literal["patch", "channel"] = "patch"
    patch: Width = 8
    stride: Width = 4
    blocks: Width = 2
    units: Width = 32
    heads: Width = 4
    attention_dropout: Share = 0.0
    dropout: Share = 0.1

    # attention's memory grows by the square of the vectors, so that larger blocks may not fit
    block_rows: ClassVar[tuple[int, ...]] = (256,)

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        check_heads(self.units, self.heads)
        if self.stride > self.patch:
            raise ValueError(f"stride={shown(self.stride)}; allowed: at most patch={self.patch}")

    def read(self, window: Tensor) -> Tensor:
        """Return the vectors in a row, of shape (rows, vectors x units)."""
        from fintech_dl.networks.tokens import Attention, Positions

        layers = keras().layers
        if self.tokens == "channel":
            x = layers.Dense(self.units)(layers.Permute((2, 1))(window))
        else:
            patch = min(self.patch, window.shape[1])
            short = -(window.shape[1] - patch) % self.stride  # filled before the first step
            x = layers.ZeroPadding1D((short, 0))(window) if short else window
            x = Positions()(layers.Conv1D(self.units, patch, strides=self.stride)(x))
        for _ in range(self.blocks):
            y = layers.LayerNormalization(epsilon=1e-5)(x)
            x = x + Attention(self.heads, self.attention_dropout, first=False)(y)
            y = layers.LayerNormalization(epsilon=1e-5)(x)
            y = layers.Dense(2 * self.units, activation="gelu")(y)
            y = layers.Dropout(self.dropout)(y) if self.dropout else y
            x = x + layers.Dense(self.units)(y)
        return layers.Flatten()(layers.LayerNormalization(epsilon=1e-5)(x))

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {
            **super().training(n_rows),
            "optimizer": "adamw",
            "learning_rate": 5e-4,
            "weight_decay": 1e-5,
        }
