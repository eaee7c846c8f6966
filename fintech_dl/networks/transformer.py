"""FT-Transformer: attention between the columns of a table."""

from __future__ import annotations

from typing import Any, ClassVar

from fintech_dl.networks.backend import Columns, Settings, Tensor, keras
from fintech_dl.networks.base import Network, hyperparameters
from fintech_dl.networks.parameters import Share, Width, shown


@hyperparameters
class FTTransformer(Network):
    """FT-Transformer: each column is a vector, and attention lets columns read one another.

    For tables whose columns matter in combination. It costs several times as much as
    :class:`~fintech_dl.TabM`, and the square of the number of columns, and is seldom better: try
    that first. Weight decay is on all weights.

    Parameters
    ----------
    blocks : int, default=3
        Blocks of attention and a dense part, one after the other.
    units : int, default=64
        Size of a column's vector, a multiple of ``heads``. The published 192 takes nine times as
        long.
    heads : int, default=8
        Ways in which columns are compared at once.
    attention_dropout : float, default=0.2
        Share of what columns read from one another that is dropped while training, in [0, 1).
    dropout : float, default=0.1
        Share of units dropped in each block's dense part while training, in [0, 1).
    bins : int, default=32
        Quantile bins per number, by which it is turned into its normal score.

    References
    ----------
    Gorishniy, Rubachev, Khrulkov & Babenko (2021), Revisiting deep learning models for tabular
    data.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import FTTransformer, NeuralClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> network = FTTransformer(blocks=1, units=8, heads=2)
    >>> model = NeuralClassifier(network=network, epochs=10, learning_rate=0.02, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.8)
    True
    """

    blocks: Width = 3
    units: Width = 64
    heads: Width = 8
    attention_dropout: Share = 0.2
    dropout: Share = 0.1
    bins: Width = 32

    # attention's memory grows by the square of the columns, so that larger blocks may not fit
    block_rows: ClassVar[tuple[int, ...]] = (256,)

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        check_heads(self.units, self.heads)

    def encoding(self, columns: Columns, embed: bool) -> Any:
        """Return the layer that makes a vector of each column, where they need not be rebuilt."""
        if not embed:
            return super().encoding(columns, embed)
        from fintech_dl.networks.tokens import ColumnTokens

        return ColumnTokens(columns, self.units, self.bins)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the vector that sums up a row, of shape (rows, units)."""
        from fintech_dl.networks.tokens import Attention, GatedUnits, Tokens, WithSummary

        layers = keras().layers
        x = inputs if len(inputs.shape) == 3 else Tokens(self.units, name="tokens")(inputs)
        x = WithSummary(name="summary")(x)
        for i in range(self.blocks):
            last = i == self.blocks - 1  # of which only the summary is used
            tokens = layers.LayerNormalization(epsilon=1e-5)(x) if i else x
            taken = Attention(self.heads, self.attention_dropout, first=last)(tokens)
            x = (x[:, :1] if last else x) + taken
            y = layers.LayerNormalization(epsilon=1e-5)(x)
            y = GatedUnits()(layers.Dense(2 * (self.units * 4 // 3))(y))
            if self.dropout:
                y = layers.Dropout(self.dropout)(y)
            x = x + layers.Dense(self.units)(y)
        x = layers.LayerNormalization(epsilon=1e-5)(x[:, 0])
        return layers.Activation("relu")(x)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {
            **super().training(n_rows),
            "optimizer": "adamw",
            "learning_rate": 5e-4,
            "weight_decay": 1e-5,
            "patience": 16,
        }


def check_heads(units: int, heads: int) -> None:
    """Raise ValueError unless each head gets an equal part of a vector."""
    if units % heads:
        raise ValueError(f"units={shown(units)}; allowed: a multiple of heads={heads}")
