"""Embeddings of numbers: what lets a network bend, column by column. Imports Keras.

They learn quantiles of the training rows (``adapt``) and keep them as non-trainable weights, so
that a network takes columns as they are: skewed, heavy-tailed, of any unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import norm

from fintech_dl.networks.backend import Columns, Tensor, keras
from fintech_dl.networks.encoding import ColumnEncoding, distinct_edges
from fintech_dl.networks.weights import adapted, uniform

keras()

from keras import initializers, layers, ops  # noqa: E402


class Quantiles(layers.Layer):
    """Numbers as their places between quantiles of the training rows, each bin from 0 to 1.

    A value below the first or above the last edge counts as that edge. ``normal`` gives the normal
    score that a value has among the training rows, linear within a bin.
    """

    def __init__(self, n: int, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n, self.bins = n, bins

    def build(self, shape: Any) -> None:
        """Create the weights."""
        n, bins = self.n, self.bins
        for name, size in (("start", (n, bins)), ("slope", (n, bins)), ("rise", (n, bins))):
            setattr(self, name, adapted(self, name, size))
        self.lowest, self.middle = adapted(self, "lowest", (n,)), adapted(self, "middle", (n,))

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn the edges; columns with fewer distinct values have fewer bins."""
        start, slope, rise = np.zeros((3, self.n, self.bins))
        lowest, middle = np.zeros((2, self.n))
        for j in range(self.n):
            seen = np.isfinite(X[:, j]) & (sample_weight > 0)
            edges, scores, middle[j] = _edges(X[seen, j], sample_weight[seen], self.bins)
            found = len(edges) - 1
            lowest[j] = scores[0]
            start[j, :found], slope[j, :found] = edges[:-1], 1 / np.diff(edges)
            rise[j, :found] = np.diff(scores)
        for name, values in (("start", start), ("slope", slope), ("rise", rise)):
            getattr(self, name).assign(values.astype(np.float32))
        self.lowest.assign(lowest.astype(np.float32))
        self.middle.assign(middle.astype(np.float32))

    def call(self, numbers: Tensor) -> Tensor:
        """Return places of shape (rows, columns, bins); a missing value is at the median."""
        known = ops.where(
            ops.isnan(numbers), ops.broadcast_to(self.middle, ops.shape(numbers)), numbers
        )
        return ops.clip((known[:, :, None] - self.start) * self.slope, 0.0, 1.0)

    def normal(self, places: Tensor) -> Tensor:
        """Return the normal score of each value, of shape (rows, columns)."""
        return ops.sum(places * self.rise, axis=-1) + self.lowest


def _edges(values: np.ndarray, weight: np.ndarray, bins: int) -> tuple[Any, Any, float]:
    """Return increasing edges in float32 steps, their normal scores, and the median."""
    if not len(values):
        return np.zeros(1), np.zeros(1), 0.0
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    share = np.cumsum(weight[order]) / weight.sum()
    at = np.searchsorted(share, np.linspace(0, 1, bins + 1)[1:-1])
    inner = ordered[np.minimum(at, len(ordered) - 1)]
    kept = distinct_edges(np.unique(np.concatenate([ordered[:1], inner, ordered[-1:]])))
    below = np.interp(
        np.searchsorted(ordered, kept, "left") - 1, np.arange(len(share)), share, left=0
    )
    upto = share[np.searchsorted(ordered, kept, "right") - 1]
    scores = norm.ppf(np.clip((below + upto) / 2, 0.25 / bins, 1 - 0.25 / bins))
    return np.array(kept), scores, float(ordered[np.searchsorted(share, 0.5)])


class PiecewiseLinear(layers.Layer):
    """A vector per number that bends at quantiles of the training rows.

    It starts as a straight line of the normal score and learns its kinks.

    References
    ----------
    Gorishniy, Rubachev & Babenko (2022), On embeddings for numerical features in tabular deep
    learning; the version with a linear part is of Gorishniy, Kotelnikov & Babenko (2024), TabM.
    """

    def __init__(self, n: int, units: int, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n, self.units = n, units
        self.quantiles = Quantiles(n, bins, name="quantiles")

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self.quantiles.build(shape)
        bound = uniform(self.units)
        n, units, bins = self.n, self.units, self.quantiles.bins
        self.line = self.add_weight(name="line", shape=(n, units), initializer=bound)
        self.bias = self.add_weight(name="bias", shape=(n, units), initializer=bound)
        self.kinks = self.add_weight(name="kinks", shape=(n, bins, units), initializer="zeros")

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn the quantiles of training rows."""
        self.quantiles.adapt(X, sample_weight)

    def call(self, numbers: Tensor) -> Tensor:
        """Return vectors of shape (rows, columns, units)."""
        q = self.quantiles
        places = ops.transpose(q(numbers), (1, 0, 2))
        steps = self.kinks + q.rise[:, :, None] * self.line[:, None]
        begin = self.bias + q.lowest[:, None] * self.line
        return ops.transpose(ops.matmul(places, steps), (1, 0, 2)) + begin


class Periodic(layers.Layer):
    """A vector per number from sines and cosines of its normal score, learned frequencies.

    References
    ----------
    Gorishniy, Rubachev & Babenko (2022), On embeddings for numerical features in tabular deep
    learning (PLR).
    """

    def __init__(
        self, n: int, units: int, bins: int, frequencies: int, scale: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.n, self.units, self.frequencies, self.spread = n, units, frequencies, scale
        self.quantiles = Quantiles(n, bins, name="quantiles")

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self.quantiles.build(shape)
        n, units, many = self.n, self.units, self.frequencies
        drawn = initializers.TruncatedNormal(stddev=self.spread)
        bound = uniform(2 * many)
        self.frequency = self.add_weight(name="frequency", shape=(n, many), initializer=drawn)
        self.kernel = self.add_weight(name="kernel", shape=(n, 2 * many, units), initializer=bound)
        self.bias = self.add_weight(name="bias", shape=(n, units), initializer=bound)

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn the quantiles of training rows."""
        self.quantiles.adapt(X, sample_weight)

    def call(self, numbers: Tensor) -> Tensor:
        """Return vectors of shape (rows, columns, units)."""
        score = self.quantiles.normal(self.quantiles(numbers))
        angle = 2 * math.pi * score[:, :, None] * self.frequency
        waves = ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=-1)
        mixed = ops.matmul(ops.transpose(waves, (1, 0, 2)), self.kernel)
        return ops.relu(ops.transpose(mixed, (1, 0, 2)) + self.bias)


class LinesAndWaves(layers.Layer):
    """The vectors of both: one that bends at quantiles, and one of waves beside it."""

    def __init__(
        self, n: int, units: int, bins: int, frequencies: int, scale: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.n, self.units = n, 2 * units
        self.lines = PiecewiseLinear(n, units, bins, name="lines")
        self.waves = Periodic(n, units, bins, frequencies, scale, name="waves")

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self.lines.build(shape)
        self.waves.build(shape)

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn the quantiles of training rows."""
        self.lines.adapt(X, sample_weight)
        self.waves.adapt(X, sample_weight)

    def call(self, numbers: Tensor) -> Tensor:
        """Return vectors of shape (rows, columns, 2 x units)."""
        return ops.concatenate([self.lines(numbers), self.waves(numbers)], axis=-1)


class EmbeddedColumns(ColumnEncoding):
    """Columns for a table network: an embedding for each number, categories one-hot or embedded.

    ``widths`` says how many of the outputs belong to each part: a number's vector, an indicator of
    what is missing, a category's columns.
    """

    def __init__(self, columns: Columns, embedding: Callable[[int], Any], **kwargs: Any) -> None:
        super().__init__(columns, embed=True, **kwargs)
        self.embedding: Any = embedding(len(self.numbers)) if self.numbers else None

    @property
    def widths(self) -> list[int]:
        """Return the width of each part, in the order of the outputs."""
        each = [self.embedding.units] * len(self.numbers) if self.embedding else []
        embedded = [size for _, size in sorted(self.embedding_sizes.items())]
        return [*each, *[1] * self.n_indicators, *self.one_hot.values(), *embedded]

    def build(self, shape: Any) -> None:
        """Create the weights."""
        super().build(shape)
        if self.embedding:
            self.embedding.build((None, len(self.numbers)))

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn the quantiles of training rows."""
        super().adapt(X, sample_weight)
        if self.embedding:
            self.embedding.adapt(self.known(X), sample_weight)

    def _from_numbers(self, numbers: Tensor) -> Tensor:
        vectors = self.embedding(numbers)
        return ops.reshape(vectors, (-1, vectors.shape[1] * vectors.shape[2]))
