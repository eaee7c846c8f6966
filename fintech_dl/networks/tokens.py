"""Layers of a transformer over columns: a vector ("token") per column, attention. Imports Keras."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fintech_dl.networks.backend import Columns, Tensor, keras
from fintech_dl.networks.embeddings import Quantiles
from fintech_dl.networks.encoding import ColumnEncoding
from fintech_dl.networks.weights import uniform

keras()

from keras import layers, ops  # noqa: E402


class Tokens(layers.Layer):
    """A token per number: a vector times the number, plus a vector."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: Any) -> None:
        """Create the vectors."""
        add, size, drawn = self.add_weight, (shape[-1], self.units), uniform(self.units)
        self.kernel = add(name="kernel", shape=size, initializer=drawn)
        self.bias = add(name="bias", shape=size, initializer=drawn)

    def call(self, inputs: Tensor) -> Tensor:
        """Return tokens of shape (rows, inputs, units)."""
        return inputs[:, :, None] * self.kernel + self.bias


class ColumnTokens(ColumnEncoding):
    """A token per column, of shape (rows, columns, units): first the numbers, then the categories.

    Numbers count by their normal score, and a missing one or a special code has a vector of its
    own; categories are embedded. A missing or unseen category has its column's bias alone.
    """

    def __init__(self, columns: Columns, units: int, bins: int, **kwargs: Any) -> None:
        super().__init__(columns, embed=False, **kwargs)
        self.units = units
        n = len(self.numbers)
        self.quantiles = Quantiles(n, bins, name="quantiles") if n else None
        self.tokens = Tokens(units, name="tokens") if n else None
        of = [*self.indicated, *self.at]  # the number that each indicator is about
        self.owners = np.eye(n, dtype=np.float32)[of].T if of else None
        self.first = np.cumsum([0, *self.one_hot.values()])[:-1].astype(np.int32)

    def build(self, shape: Any) -> None:
        """Create the weights."""
        add, units, drawn = self.add_weight, self.units, uniform(self.units)
        if self.quantiles and self.tokens:
            self.quantiles.build(None)
            self.tokens.build((None, len(self.numbers)))
        if self.owners is not None:
            size = (self.owners.shape[1], units)
            self.indicators = add(name="indicators", shape=size, initializer=drawn)
        if self.one_hot:
            size = (sum(self.one_hot.values()), units)
            self.table = add(name="table", shape=size, initializer=drawn)
            size = (len(self.one_hot), units)
            self.bias = add(name="bias", shape=size, initializer=drawn)

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn the quantiles of training rows."""
        if self.quantiles:
            self.quantiles.adapt(self.known(X), sample_weight)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the tokens."""
        parts = []
        if self.quantiles and self.tokens:
            numbers, flags = self._read(inputs)
            tokens = self.tokens(self.quantiles.normal(self.quantiles(numbers)))
            if self.owners is not None:
                own = ops.concatenate(flags, axis=1)[:, :, None] * self.indicators
                tokens = tokens + ops.matmul(self.owners, own)
            parts.append(tokens)
        if self.one_hot:
            code = ops.cast(ops.take(inputs, list(self.one_hot), axis=1), "int32")
            known = ops.cast(ops.greater(code, 0), "float32")[:, :, None]
            at = ops.maximum(code - 1, 0) + self.first
            parts.append(ops.take(self.table, at, axis=0) * known + self.bias)
        return ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


class WithSummary(layers.Layer):
    """Puts a trained token before those of the columns: in it a row is summed up."""

    def build(self, shape: Any) -> None:
        """Create the token."""
        size, drawn = (1, 1, shape[-1]), uniform(shape[-1])
        self.token = self.add_weight(name="token", shape=size, initializer=drawn)

    def call(self, tokens: Tensor) -> Tensor:
        """Return one token more."""
        first = ops.repeat(self.token, ops.shape(tokens)[0], axis=0)
        return ops.concatenate([first, tokens], axis=1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape with one token more."""
        return (shape[0], shape[1] + 1, shape[2])


class Positions(layers.Layer):
    """Adds a trained vector per place, by which tokens in order are told apart."""

    def build(self, shape: Any) -> None:
        """Create the vectors."""
        drawn = uniform(shape[-1])
        self.places = self.add_weight(name="places", shape=shape[1:], initializer=drawn)

    def call(self, tokens: Tensor) -> Tensor:
        """Return as many tokens."""
        return tokens + self.places


class Attention(layers.Layer):
    """Lets each token, or the first alone, take from all of them by likeness of several kinds."""

    def __init__(self, heads: int, dropout: float, first: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.first = heads, first
        self.dropout = layers.Dropout(dropout) if dropout else None

    def build(self, shape: Any) -> None:
        """Create the projections."""
        self.maps = {
            name: layers.Dense(shape[-1], name=name) for name in ("query", "key", "value", "out")
        }
        for layer in self.maps.values():
            layer.build(shape)

    def _parted(self, name: str, tokens: Tensor) -> Tensor:
        units = tokens.shape[2]
        parts = (-1, tokens.shape[1], self.heads, units // self.heads)
        return ops.transpose(ops.reshape(self.maps[name](tokens), parts), (0, 2, 1, 3))

    def call(self, tokens: Tensor) -> Tensor:
        """Return what is taken: as many tokens, or one."""
        some = tokens[:, :1] if self.first else tokens
        q, k, v = (
            self._parted(name, x)
            for name, x in (("query", some), ("key", tokens), ("value", tokens))
        )
        alike = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / math.sqrt(q.shape[3])
        # a token alone takes all from itself; Keras warns of a softmax of one
        share = ops.softmax(alike, axis=-1) if tokens.shape[1] > 1 else 0 * alike + 1
        share = self.dropout(share) if self.dropout else share
        taken = ops.transpose(ops.matmul(share, v), (0, 2, 1, 3))
        return self.maps["out"](ops.reshape(taken, (-1, *some.shape[1:])))


class GatedUnits(layers.Layer):
    """Multiplies the first half of its inputs by the positive part of the second (ReGLU)."""

    def call(self, inputs: Tensor) -> Tensor:
        """Return half as many units."""
        one, other = ops.split(inputs, 2, axis=-1)
        return one * ops.relu(other)
