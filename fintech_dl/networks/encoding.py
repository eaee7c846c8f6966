"""Layers that turn raw columns into what a network sees. Imports Keras: import it in methods only.

Both learn means and scales from training rows (``adapt``) and keep them as non-trainable weights,
so that a fitted model takes columns as they are: other units, missing values, unseen categories.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np

from fintech_dl.networks.backend import Columns, Tensor, keras
from fintech_dl.networks.weights import adapted

keras()

from keras import layers, ops  # noqa: E402

# Standardised values are cut here: float32 extremes give finite scores, and sums of what is left
# have the digits that a graph's proof compares (estimators/parity.py).
EXTREME = 20.0


def mean_scale(values: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the weighted mean and standard deviation (1 if constant) of the finite values."""
    seen = np.isfinite(values) & (weight > 0)
    if not seen.any():
        return 0.0, 1.0
    v, w = values[seen].astype(np.float64), weight[seen]
    mean = float(np.average(v, weights=w))
    scale = float(np.sqrt(np.average((v - mean) ** 2, weights=w)))
    return mean, scale if scale > 1e-6 * max(abs(mean), 1e-30) else 1.0


def distinct_edges(edges: np.ndarray) -> np.ndarray:
    """Return the increasing edges that float32 tells apart."""
    width = 1e-6 * max(abs(edges[0]), abs(edges[-1]), 1e-30)
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge - kept[-1] > width:
            kept.append(edge)
    return np.array(kept)


def special_codes(column: dict[str, Any]) -> list[float]:
    """Return the numbers that stand for something else than an amount in this column."""
    return list(column.get("special_codes", ()))


class Standardise(layers.Layer):
    """Shared part: ``mean`` and ``scale`` per number, missing values at the mean."""

    def _statistics(self, n: int) -> None:
        self.mean = adapted(self, "mean", (n,))
        self.scale = adapted(self, "scale", (n,), "ones")

    def _set(self, pairs: list[tuple[float, float]]) -> None:
        if pairs:
            mean, scale = np.array(pairs, dtype=np.float32).T
            self.mean.assign(mean)
            self.scale.assign(scale)

    def _standardised(self, numbers: Tensor) -> Tensor:
        z = ops.clip((numbers - self.mean) / self.scale, -EXTREME, EXTREME)
        return ops.where(ops.isnan(numbers), ops.zeros_like(numbers), z)


class ColumnEncoding(Standardise):
    """Numbers standardised, missing values at the mean with an indicator, categories one-hot.

    A special code among the numbers counts as missing and has an indicator of its own. A category
    that is missing or unseen is all zeros. With ``embed``, a column of more than 16 categories
    becomes a trained embedding instead.
    """

    one_hot_limit: ClassVar[int] = 16

    def __init__(self, columns: Columns, embed: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        at = range(len(columns))
        self.numbers = [i for i in at if columns[i]["kind"] == "number"]
        self.indicated = [j for j, i in enumerate(self.numbers) if columns[i]["has_missing"]]
        special = [(j, c) for j, i in enumerate(self.numbers) for c in special_codes(columns[i])]
        self.at = [j for j, _ in special]
        self.codes = np.array([code for _, code in special], dtype=np.float32)
        sizes = {i: len(columns[i]["categories"]) for i in at if i not in set(self.numbers)}
        most = self.one_hot_limit if embed else max(sizes.values(), default=0)
        self.one_hot = {i: n for i, n in sizes.items() if 0 < n <= most}
        self.embedded = {i: n for i, n in sizes.items() if n > most}
        self.embedding_sizes = {i: self.embedding_size(n) for i, n in self.embedded.items()}

    @property
    def n_indicators(self) -> int:
        """Return how many columns say what is missing or a special code."""
        return len(self.indicated) + len(self.at)

    def embedding_size(self, n: int) -> int:
        """Return the size of the embedding of ``n`` categories."""
        return min(32, round(1.6 * n**0.56))

    def embedding_initializer(self) -> Any:
        """Return what an embedding starts from."""
        return "uniform"

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self._statistics(len(self.numbers))
        self.embeddings = {}
        for i, n in self.embedded.items():
            size, drawn = self.embedding_sizes[i], self.embedding_initializer()
            self.embeddings[str(i)] = layers.Embedding(
                n + 1, size, embeddings_initializer=drawn, name=f"embedding_{i}"
            )
            self.embeddings[str(i)].build(None)

    def known(self, X: np.ndarray) -> np.ndarray:
        """Return the numbers of raw rows, NaN where they are a special code."""
        numbers = X[:, self.numbers]
        for j, code in zip(self.at, self.codes, strict=True):
            numbers[numbers[:, j] == code, j] = np.nan
        return np.asarray(numbers)

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn means and scales from training rows."""
        self._set([mean_scale(column, sample_weight) for column in self.known(X).T])

    def _from_numbers(self, numbers: Tensor) -> Tensor:
        """Return what becomes of the numbers, NaN where missing."""
        return self._standardised(numbers)

    def _one_hot(self, code: Tensor, n: int) -> Tensor:
        """Return the columns of a category of ``n`` values, all zeros where missing."""
        return ops.cast(ops.equal(code[:, None], ops.arange(1, n + 1)[None]), "float32")

    def _read(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the numbers, NaN where missing or a special code, and what indicates both."""
        every = len(self.numbers) == inputs.shape[-1]
        numbers = inputs if every else ops.take(inputs, self.numbers, axis=1)
        indicators = []
        if self.indicated:
            missing = ops.cast(ops.isnan(numbers), "float32")
            indicators.append(ops.take(missing, self.indicated, axis=1))
        if self.at:
            flags = ops.cast(ops.equal(ops.take(numbers, self.at, 1), self.codes), "float32")
            is_code = ops.matmul(flags, np.eye(len(self.numbers), dtype=np.float32)[self.at]) > 0
            numbers = ops.where(is_code, float("nan"), numbers)
            indicators.append(flags)
        return numbers, indicators

    def call(self, inputs: Tensor) -> Tensor:
        """Return the encoded rows."""
        parts = []
        if self.numbers:
            numbers, indicators = self._read(inputs)
            parts += [self._from_numbers(numbers), *indicators]
        for i, n in self.one_hot.items():
            parts.append(self._one_hot(ops.cast(inputs[:, i], "int32"), n))
        for i in self.embedded:
            code = ops.cast(inputs[:, i], "int32")
            known = ops.cast(ops.greater(code, 0), "float32")[:, None]
            parts.append(self.embeddings[str(i)](code) * known)
        return ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def decode(self, encoded: np.ndarray, n_columns: int) -> np.ndarray:
        """Turn one-hot encoded rows back into raw columns (categories as codes)."""
        raw = np.zeros((len(encoded), n_columns), dtype=np.float32)
        n = len(self.numbers)
        scale, mean = np.asarray(self.scale), np.asarray(self.mean)
        raw[:, self.numbers] = encoded[:, :n] * scale + mean
        start = n + self.n_indicators
        for i, size in self.one_hot.items():
            raw[:, i] = encoded[:, start : start + size].argmax(axis=1) + 1
            start += size
        return raw


class WindowEncoding(Standardise):
    """Columns of a window as (steps, channels), standardised per channel over present steps.

    Columns are step-major, oldest first, named ``channel@-lag``; a channel named ``present`` says
    with 0 or 1 which steps are not padding, and padded steps are all zeros.
    """

    def __init__(self, columns: Columns, channels: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        names = [column["name"] for column in columns]
        if coded := [column["name"] for column in columns if special_codes(column)]:
            raise ValueError(
                f"a window takes no special codes; make those of {coded[0]!r} missing first"
            )
        if texts := [c["name"] for c in columns if c["kind"] != "number"]:
            raise ValueError(
                f"a window takes numbers only; encode the column {texts[0]!r} as numbers first"
            )
        self.names = window_channels(names, channels)
        self.steps, self.n_channels = len(names) // len(self.names), len(self.names)
        self.present = self.names.index("present") if "present" in self.names else None

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self._statistics(self.n_channels)

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn means and scales from training rows."""
        window = X.reshape(len(X), self.steps, self.n_channels)
        weight = np.repeat(sample_weight[:, None], self.steps, axis=1)
        if self.present is not None:
            weight = weight * (window[:, :, self.present] > 0)
        pairs = [
            mean_scale(window[:, :, c].ravel(), weight.ravel()) for c in range(self.n_channels)
        ]
        if self.present is not None:
            pairs[self.present] = (0.0, 1.0)
        self._set(pairs)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the encoded rows."""
        window = ops.reshape(inputs, (-1, self.steps, self.n_channels))
        z = self._standardised(window)
        if self.present is not None:
            z = z * z[:, :, self.present : self.present + 1]
        return z

    def decode(self, encoded: np.ndarray, n_columns: int) -> np.ndarray:
        """Turn encoded rows back into raw columns."""
        scale, mean = np.asarray(self.scale), np.asarray(self.mean)
        window = encoded.reshape(len(encoded), self.steps, self.n_channels)
        return (window * scale + mean).reshape(len(encoded), n_columns).astype(np.float32)


def window_channels(names: list[str], channels: int | None) -> list[str]:
    """Return the channel names of a window's columns, or say what is wrong with the layout."""
    matches = [re.fullmatch(r"(.+)@-(\d+)", name) for name in names]
    if channels is None and all(matches):
        first = matches[0]
        own = [m[1] for m in matches if m and first and m[2] == first[2]]
        lags = [int(m[2]) for m in matches[:: len(own)] if m]
        expected = [f"{name}@-{lag}" for lag in lags for name in own]
        if expected != names or lags != sorted(lags, reverse=True):
            wrong = next((a for a, b in zip(names, expected, strict=False) if a != b), names[0])
            raise ValueError(
                f"the columns are no window: {wrong!r} is out of place; "
                "expected all channels of the oldest step first, then those of the next step"
            )
        return own
    n = 1 if channels is None else channels
    if n < 1 or len(names) % n:
        raise ValueError(
            f"channels={n} does not divide the {len(names)} columns into steps; "
            "a window has steps x channels columns, step after step"
        )
    return [f"channel{i}" for i in range(n)]
