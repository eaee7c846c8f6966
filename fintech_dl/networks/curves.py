"""Layers of an additive network: columns in pieces, and steps that add up. Imports Keras."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from fintech_dl.networks.backend import Columns, Tensor, keras
from fintech_dl.networks.encoding import ColumnEncoding, distinct_edges
from fintech_dl.networks.weights import adapted

keras()

from keras import layers, ops  # noqa: E402


class Pieces(ColumnEncoding):
    """Columns as parts that can be added up: bins of numbers, categories, what is missing.

    A number is the share of each bin that lies below it: 1 for a bin that it has passed. All parts
    are less their mean over the training rows, so that a missing value, which is 0 in all of them,
    counts as the average; it has a part of its own too, as has each special code. Categories that
    are missing, rare or unseen share one part.

    ``direction`` holds +1 or -1 for parts whose step may only go up or down, else 0.
    """

    def __init__(
        self, columns: Columns, bins: int, monotone: Mapping[str, float], **kwargs: Any
    ) -> None:
        super().__init__(columns, embed=False, **kwargs)
        self.bins = bins
        self.indicated = list(range(len(self.numbers)))  # whether or not it was missing in training
        n_other = self.n_indicators + sum(self.one_hot.values()) + len(self.one_hot)
        ways = [monotone.get(columns[i]["name"], 0.0) for i in self.numbers]
        self.direction = np.concatenate([np.repeat(ways, bins), np.zeros(n_other)])

    def build(self, shape: Any) -> None:
        """Create the weights."""
        n, bins = len(self.numbers), self.bins
        self.edges = adapted(self, "edges", (n, bins + 1))
        self.places = adapted(self, "places", (n, bins))
        self.shares = {str(i): adapted(self, f"shares_{i}", (m,)) for i, m in self.one_hot.items()}

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn the edges of the bins, and the mean of each part, from training rows."""
        n, bins = len(self.numbers), self.bins
        edges, places = np.zeros((n, bins + 1), np.float32), np.zeros((n, bins), np.float32)
        for j, column in enumerate(self.known(X).T):
            seen = np.isfinite(column) & (sample_weight > 0)
            if seen.any():
                values, weight = column[seen], sample_weight[seen]
                found = edges_of(values, weight, bins)
                edges[j, : len(found)], edges[j, len(found) :] = found, found[-1]
                for b, (start, stop) in enumerate(pairwise(found)):
                    place = np.clip((values - start) / (stop - start), 0, 1)
                    places[j, b] = np.average(place, weights=weight)
        self.edges.assign(edges)
        self.places.assign(places)
        for i, m in self.one_hot.items():
            count = np.bincount(X[:, i].astype(int), weights=sample_weight, minlength=m + 1)[1:]
            self.shares[str(i)].assign((count / max(count.sum(), 1e-30)).astype(np.float32))

    def neighbours(self) -> np.ndarray:
        """Return 1 for each part that goes on where the part before it ends, else 0."""
        edges = np.asarray(self.edges)
        real = np.diff(edges, axis=1) > 0
        real[:, :1] = False
        rest = np.zeros(len(self.direction) - real.size)
        return np.concatenate([real.ravel(), rest]).astype(np.float32)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the parts of each row."""
        parts = []
        if self.numbers:
            numbers, indicators = self._read(inputs)
            unknown = ops.isnan(numbers)
            start, width = self.edges[:, :-1], self.edges[:, 1:] - self.edges[:, :-1]
            real = width > 0
            above = ops.where(unknown, 0.0, numbers)[:, :, None] - start
            place = ops.clip(above / ops.where(real, width, 1.0), 0.0, 1.0) - self.places
            place = ops.where(ops.logical_or(unknown[:, :, None], ~real), 0.0, place)
            parts = [ops.reshape(place, (-1, len(self.numbers) * self.bins)), *indicators]
        for i, m in self.one_hot.items():
            code = ops.cast(inputs[:, i : i + 1], "int32")
            hot = self._one_hot(code[:, 0], m)
            parts.append(ops.where(code > 0, hot - self.shares[str(i)], 0.0))
            parts.append(ops.cast(ops.equal(code, 0), "float32"))
        return ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


class Steps(layers.Layer):
    """Adds up the step of each part that a row has; some steps may only go up, or down."""

    def __init__(self, n_outputs: int, l2: float, smoothness: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_outputs, self.l2, self.smoothness = n_outputs, l2, smoothness

    def build(self, shape: Any) -> None:
        """Create the weights; until `limit` is called, every step is free."""
        add, width = self.add_weight, shape[-1]
        penalty = self.penalty if self.l2 or self.smoothness else None
        self.direction = adapted(self, "direction", (width,))
        self.follows = adapted(self, "follows", (width,))
        size = (width, self.n_outputs)
        self.step = add(name="step", shape=size, initializer="zeros", regularizer=penalty)
        self.bias = add(name="bias", shape=(self.n_outputs,), initializer="zeros")

    def limit(self, direction: np.ndarray, follows: np.ndarray) -> None:
        """Say which steps may only go up (+1) or down (-1), and which go on from the one before."""
        self.direction.assign(direction.astype(np.float32))
        self.follows.assign(follows)

    def steps(self) -> Tensor:
        """Return the step of each part: one against its direction is 0."""
        step, way = ops.convert_to_tensor(self.step), self.direction[:, None]
        along = step * way
        # the gradient passes a step that is cut to 0, so that it can come back
        kept = along + ops.stop_gradient(ops.relu(along) - along)
        return ops.where(way == 0, step, kept * way)

    def penalty(self, step: Tensor) -> Tensor:
        """Return the penalty on large steps, and on steps unlike their neighbours."""
        steps = self.steps()
        bend = self.follows[1:, None] * (steps[1:] - steps[:-1])
        return self.l2 * ops.sum(ops.square(step)) + self.smoothness * ops.sum(ops.square(bend))

    def call(self, inputs: Tensor) -> Tensor:
        """Return the sums of each row's steps."""
        return ops.matmul(inputs, self.steps()) + self.bias


def edges_of(values: np.ndarray, weight: np.ndarray, bins: int) -> np.ndarray:
    """Return increasing float32 edges of bins that hold about equal shares of the rows.

    No single value counts for more than one bin, so that the few large among many zeros get bins
    too; of few distinct values each is an edge.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.networks.curves import edges_of
    >>> edges_of(np.array([0, 0, 0, 0, 1, 7]), np.ones(6), bins=4)
    array([0., 1., 7.], dtype=float32)
    """
    distinct, at = np.unique(values.astype(np.float32), return_inverse=True)
    if len(distinct) > bins + 1:
        share = np.bincount(at, weights=weight)
        for _ in range(8):
            share = np.minimum(share, share.sum() / bins)
        below = np.cumsum(share) / share.sum()
        inner = np.searchsorted(below, np.linspace(0, 1, bins + 1)[1:-1])
        distinct = np.unique(np.concatenate([distinct[:1], distinct[inner], distinct[-1:]]))
    return distinct_edges(distinct)


def curves(model: Any, columns: Columns) -> list[dict[str, Any]]:
    """Return what each column adds to the output of a Keras model of `Pieces` and `Steps`.

    Parameters
    ----------
    model : keras.Model
        With a single output.
    columns : list of dict

    Returns
    -------
    list of dict
        Of each column ``name``, ``missing`` (what a missing value adds; for a category also what is
        unseen) and for numbers ``edges``, ``heights`` (at the edges; straight between them) and
        ``codes`` (a dict), for categories ``heights`` in their order; as float64.
    """
    pieces, head = model.get_layer("encoding"), model.get_layer("head")
    steps = np.asarray(keras().ops.convert_to_numpy(head.steps()), dtype=np.float64)[:, 0]
    edges, places = (np.asarray(w, dtype=np.float64) for w in (pieces.edges, pieces.places))
    n = len(pieces.numbers)
    end = n * pieces.bins
    rise, missing = steps[:end].reshape(n, pieces.bins), steps[end : end + n]
    codes, rest = np.split(steps[end + n :], [len(pieces.at)])
    found: dict[int, dict[str, Any]] = {}
    for j, i in enumerate(pieces.numbers):
        real = np.diff(edges[j]) > 0
        heights = np.cumsum([-(places[j] * rise[j])[real].sum(), *rise[j][real]])
        own = {
            float(c): float(h)
            for at, c, h in zip(pieces.at, pieces.codes, codes, strict=True)
            if at == j
        }
        kept = edges[j][: real.sum() + 1]
        found[i] = {"edges": kept, "heights": heights, "missing": missing[j], "codes": own}
    for i, m in pieces.one_hot.items():
        own_steps, (other,), rest = np.split(rest, [m, m + 1])
        shares = np.asarray(pieces.shares[str(i)], dtype=np.float64)
        found[i] = {"heights": own_steps - shares @ own_steps, "missing": other}
    nothing = {"heights": np.zeros(0), "missing": 0.0}
    return [{"name": c["name"], **found.get(i, nothing)} for i, c in enumerate(columns)]
