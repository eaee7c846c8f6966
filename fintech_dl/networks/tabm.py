"""TabM: many networks in one, for tables."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from fintech_dl.networks.backend import Columns, Settings, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters
from fintech_dl.networks.parameters import Amount, Share, Width, Widths


@hyperparameters
class TabM(Network):
    """TabM: ``k`` networks that share most of their weights, for tables of numbers and categories.

    The first choice for credit and other tables where boosted trees are strong: each of the ``k``
    predictions of a row has its own loss, and their average is the output. Use an
    :class:`~fintech_dl.MLP` where time to train matters more than the last thousandth of AUC.

    Parameters
    ----------
    k : int, default=32
        Networks in one.
    units : int or sequence of int, default=(256, 256)
        Width of each layer.
    mini : bool, default=False
        Let the networks differ in the first layer's inputs and in the heads only.
    dropout : float, default=0.1
        Share of units dropped after each layer while training, in [0, 1).
    embedding : {"piecewise_linear", "periodic", "both"} or None, default="piecewise_linear"
        How numbers come in: bent at quantiles of the training rows, as waves of their normal score,
        as both side by side, or standardised.
    embedding_units : int, default=16
        Size of a number's vector; with ``"both"`` of each of the two.
    bins : int, default=16
        Quantile bins per number; fewer where a column has fewer distinct values.
    frequencies : int, default=48
        Waves per number, for ``"periodic"`` and ``"both"``.
    frequency_scale : float, default=0.05
        Standard deviation of their initial frequencies; too small is safe, too large is not.

    References
    ----------
    Gorishniy, Kotelnikov & Babenko (2024), TabM: advancing tabular deep learning with
    parameter-efficient ensembling.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralClassifier, TabM
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = (abs(X[:, 0]) > 0.7).astype(int)
    >>> network = TabM(k=4, units=16)
    >>> model = NeuralClassifier(network=network, epochs=20, learning_rate=0.02, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.8)
    True
    """

    k: Width = 32
    units: Widths = (256, 256)
    mini: bool = False
    dropout: Share = 0.1
    embedding: Literal["piecewise_linear", "periodic", "both"] | None = "piecewise_linear"
    embedding_units: Width = 16
    bins: Width = 16
    frequencies: Width = 48
    frequency_scale: Amount = 0.05

    block_rows: ClassVar[tuple[int, ...]] = (256,)

    def encoding(self, columns: Columns, embed: bool) -> Any:
        """Return the layer that embeds numbers, where they need not be rebuilt."""
        if not embed or self.embedding is None:
            return super().encoding(columns, embed)
        from fintech_dl.networks import embeddings

        size: Settings = {"units": self.embedding_units, "bins": self.bins}
        if self.embedding == "piecewise_linear":
            return embeddings.EmbeddedColumns(columns, partial(embeddings.PiecewiseLinear, **size))
        size |= {"frequencies": self.frequencies, "scale": self.frequency_scale}
        kind = embeddings.Periodic if self.embedding == "periodic" else embeddings.LinesAndWaves
        return embeddings.EmbeddedColumns(columns, partial(kind, **size))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last layer's outputs, of shape (rows, k, units[-1])."""
        from fintech_dl.networks.ensemble import Members, SharedDense

        layers = keras().layers
        x = Members(self.k, normal=self.embedding is not None, name="members")(inputs)
        for i, width in enumerate(as_tuple(self.units)):
            x = SharedDense(width, own=not self.mini, scale_inputs=i > 0)(x)
            x = layers.Activation("relu")(x)
            if self.dropout:
                x = layers.Dropout(self.dropout)(x)
        return x

    def head(self, features: Tensor, n_outputs: int) -> Tensor:
        """Return ``k`` predictions of each row, of shape (rows, k, n_outputs)."""
        from fintech_dl.networks.ensemble import OwnDense

        return OwnDense(n_outputs, name="head")(features)

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Return the mean of what each of the ``k`` networks rebuilds."""
        k = keras()
        rebuilt = self.head(features, math.prod(inputs.shape[1:]))
        return k.layers.GlobalAveragePooling1D()(rebuilt)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Let each network scale the vector of a number, or the columns of a category, as one."""
        widths = getattr(model.get_layer("encoding"), "widths", None)
        if widths is not None:
            model.get_layer("members").repeat(widths)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {
            **super().training(n_rows),
            "optimizer": "adamw",
            "learning_rate": 2e-3,
            "weight_decay": 3e-4,
            "clipnorm": 1.0,
            "patience": 16,
        }
