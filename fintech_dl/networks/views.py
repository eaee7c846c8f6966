"""Ways to look at rows that are learned from training rows at once. Imports Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import convolve1d
from sklearn.covariance import ledoit_wolf

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.noise import TINY
from fintech_dl.networks.weights import adapted

keras()

from keras import layers, ops  # noqa: E402

LEAST = 1e-3  # under a logarithm
NARROWEST = 0.05  # of the spread of logarithms
AT_ONCE = 1024
FAR = 1e12  # squared distance of a place where no row is kept
MOST_NUMBERS = 4_000_000  # that kept rows may have: 16 MB
SPARE = 4  # rows looked at beyond those wanted: fast distances are not exact enough to choose
SAME = 1e-8  # squared difference per column, in deviations, up to which two rows are one
WIDEST = 2_000  # columns above which an ellipsoid has its axes along them
INNER = 0.5  # share of the rows that an ellipsoid is drawn around
OUTSIDE = 5.0  # most that a value beyond all training values adds


def lengths(squares: Tensor) -> Tensor:
    """Return the sum over the last axis; the same bits for a row in a block of any size."""
    return ops.matmul(squares, ops.ones((squares.shape[-1], 1)))[..., 0]


class Usual(layers.Layer):
    """Counts numbers in deviations from those of training rows; in a model it hands rows on."""

    def build(self, shape: Any) -> None:
        """Create the place for mean and deviation."""
        self.usual = adapted(self, "usual", (2,))
        self.suppose(0.0, 1.0)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs as they are."""
        return inputs

    def suppose(self, mean: float, deviation: float) -> None:
        """Say what is usual."""
        self.usual.assign([mean, max(deviation, NARROWEST)])

    def in_deviations(self, numbers: Tensor) -> Tensor:
        """Return one number per row: 0 is usual, 1 a deviation more."""
        return (numbers - self.usual[0]) / self.usual[1]


class View(Usual):
    """Says how unusual rows are, having learned from all training rows at once."""

    def build(self, shape: Any) -> None:
        """Create the weights."""
        super().build(shape)
        self._create(shape[-1])

    def _create(self, width: int) -> None:
        raise NotImplementedError

    def _learn(self, rows: np.ndarray) -> None:
        raise NotImplementedError

    def _amount(self, rows: Tensor) -> Tensor:
        """Return a number from 0 on for each row, higher = more unusual."""
        raise NotImplementedError

    def learn(self, rows: np.ndarray) -> None:
        """Set the weights from encoded training rows."""
        self._learn(rows)
        found = np.concatenate(
            [
                ops.convert_to_numpy(self._log(ops.convert_to_tensor(rows[i : i + AT_ONCE])))
                for i in range(0, len(rows), AT_ONCE)
            ]
        )
        self.suppose(found.mean(), found.std())

    def score(self, rows: Tensor) -> Tensor:
        """Return how unusual each row is, in deviations of the logarithm."""
        return self.in_deviations(self._log(rows))

    def _log(self, rows: Tensor) -> Tensor:
        return ops.log(self._amount(rows) + LEAST)


class Neighbours(View):
    """Mean distance to the nearest of the training rows that it keeps.

    One kept row that a row equals does not count, so that a training row is scored as a new one.
    """

    def __init__(self, size: int, nearest: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least = nearest + 1 + SPARE
        self.size, self.nearest = max(size, self.least), nearest

    def _create(self, width: int) -> None:
        self.size = max(min(self.size, MOST_NUMBERS // width), self.least)
        self.rows = adapted(self, "rows", (self.size, width))
        self.empty = adapted(self, "empty", (self.size,), "ones")

    def _learn(self, rows: np.ndarray) -> None:
        n = min(max(len(rows), self.least), self.size)
        kept = np.zeros((self.size, rows.shape[1]), np.float32)
        at = np.linspace(0, len(rows) - 1, n).round() if len(rows) > n else np.arange(n) % len(rows)
        kept[:n] = rows[at.astype(int)]
        self.rows.assign(kept)
        self.empty.assign((np.arange(self.size) >= n).astype(np.float32))

    def _amount(self, rows: Tensor) -> Tensor:
        taken = FAR * self.empty
        rough = (
            ops.matmul(rows, ops.transpose(self.rows))
            - (lengths(ops.square(self.rows)) + taken) / 2
        )
        _, at = ops.top_k(rough, self.least)
        gaps = rows[:, None, :] - ops.take(self.rows, at, axis=0)
        exact = lengths(ops.square(gaps)) + ops.take(taken, at)
        nearest = -ops.top_k(-exact, self.nearest + 1)[0]
        same = nearest[:, :1] <= SAME * rows.shape[-1]
        others = ops.where(same, nearest[:, 1:], nearest[:, :-1])
        return lengths(ops.sqrt(others + TINY)) / self.nearest


class Ellipsoid(View):
    """Mahalanobis distance from the half of the training rows that lie closest together."""

    def _create(self, width: int) -> None:
        self.wide = width > WIDEST
        self.centre = adapted(self, "centre", (width,))
        self.turn = adapted(self, "turn", (width,) if self.wide else (width, width), "ones")

    def _learn(self, rows: np.ndarray) -> None:
        kept = rows = rows.astype(np.float64)
        for _ in range(3):
            centre = kept.mean(axis=0)
            if self.wide:
                turn = 1 / np.sqrt(kept.var(axis=0) + LEAST)
            else:
                covariance = ledoit_wolf(kept)[0] if len(kept) > 1 else np.zeros((len(centre),) * 2)
                size, axes = np.linalg.eigh(covariance)
                turn = axes / np.sqrt(np.maximum(size, 1e-6 * size.max() + LEAST**2))
            gaps = rows - centre
            far = np.square(gaps * turn if self.wide else gaps @ turn).sum(axis=1)
            kept = rows[far <= np.quantile(far, INNER)]
        self.centre.assign(centre)
        self.turn.assign(turn)

    def _amount(self, rows: Tensor) -> Tensor:
        gaps = rows - self.centre
        turned = gaps * self.turn if self.wide else ops.matmul(gaps, self.turn)
        return ops.sqrt(lengths(ops.square(turned)) + TINY)


class Histograms(View):
    """How rare the value of each column is by itself, added up over the columns."""

    def __init__(self, bins: int = 20, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    def _create(self, width: int) -> None:
        self.low, self.span = (
            adapted(self, "low", (width,)),
            adapted(self, "span", (width,), "ones"),
        )
        self.rarity = adapted(self, "rarity", (width * self.bins,))

    def _learn(self, rows: np.ndarray) -> None:
        low, span = rows.min(axis=0), np.ptp(rows, axis=0)
        span = np.where(span > 0, span, 1.0)
        at = np.clip((rows - low) / span * self.bins, 0, self.bins - 1).astype(int)
        places = at + self.bins * np.arange(rows.shape[1])
        counts = np.bincount(places.ravel(), minlength=self.bins * rows.shape[1]).astype(float)
        smooth = convolve1d(counts.reshape(-1, self.bins), [0.25, 0.5, 0.25], mode="nearest")
        share = (smooth + 0.5) / (len(rows) + self.bins / 2)
        self.low.assign(low)
        self.span.assign(span)
        self.rarity.assign(-np.log(share).ravel())

    def _amount(self, rows: Tensor) -> Tensor:
        position = (rows - self.low) / self.span * self.bins - 0.5
        inside = ops.clip(position, 0.0, self.bins - 1.0)
        below = ops.floor(ops.minimum(inside, self.bins - 2.0))
        at = ops.cast(below, "int32") + self.bins * np.arange(rows.shape[-1], dtype=np.int32)
        left, right = ops.take(self.rarity, at), ops.take(self.rarity, at + 1)
        beyond = ops.maximum(ops.abs(position - (self.bins - 1) / 2) - self.bins / 2, 0.0)
        each = left + (inside - below) * (right - left) + ops.minimum(beyond, OUTSIDE)
        return lengths(ops.maximum(each, 0.0))
