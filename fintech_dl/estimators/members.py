"""Members: seeded copies of one network, trained together and averaged. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# rank at which a member's outputs on the training rows are kept: denser towards both ends
GRID = 1 / (1 + np.exp(-np.linspace(-12, 12, 1025)))


@dataclass(frozen=True, eq=False)
class Share:
    """What one member is trained on: positions of rows, their weights, and its seed.

    ``groups``, the number of each row's group, is there where batches are of whole groups;
    ``turns``, how often an epoch takes each row, where that is not once.
    """

    seed: int
    rows: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None = None
    turns: np.ndarray | None = None


def turns_of(rare: np.ndarray) -> np.ndarray:
    """Return how often an epoch takes each row, so that rare rows are about half of those taken.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.members import turns_of
    >>> turns_of(np.array([False, True, False, False, False]))
    array([1, 4, 1, 1, 1])
    """
    often = max(1, round(float((~rare).sum() / max(rare.sum(), 1))))
    return np.where(rare, often, 1)


def count_steps(shares: Sequence[Share], batch_size: int) -> int:
    """Return the steps of an epoch, of batches of about so many rows.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.members import Share, count_steps
    >>> count_steps([Share(0, np.arange(1000), np.ones(1000))], batch_size=256)
    4
    """
    found = []
    for share in shares:
        n = len(share.rows if share.groups is None else np.unique(share.groups))
        size = max(1, round(batch_size * n / len(share.rows)))
        if share.turns is not None:
            n, size = int(share.turns.sum()), batch_size
        found.append(math.ceil(n / size))
    return max(found)


def draw_seeds(rng: np.random.RandomState, n_members: int) -> tuple[list[int], list[int]]:
    """Return the seed of each member, and the ``random_state`` that gives a fit of its own it.

    A single network is its own only member: it has a seed and no such number.
    """
    largest = np.iinfo(np.int32).max
    if n_members == 1:
        return [int(rng.randint(largest))], []
    states = [int(state) for state in rng.randint(largest, size=n_members)]
    return [int(np.random.RandomState(state).randint(largest)) for state in states], states


def average(outputs: np.ndarray, how: str, quantiles: np.ndarray | None = None) -> np.ndarray:
    """Return one output per row from those of all members.

    Parameters
    ----------
    outputs : ndarray of shape (n_members, n_rows, width)
    how : {"mean", "logit", "probability", "rank"}
        ``"mean"`` and ``"logit"`` average outputs as they are; ``"probability"`` averages the
        probabilities that the logits stand for and returns logits again; ``"rank"`` averages each
        output's rank among the member's outputs on the training rows, and returns the output that
        has this rank on average.
    quantiles : ndarray of shape (n_members, 1025, width), optional
        What `quantiles_of` found on the training rows; for ``"rank"``.

    Returns
    -------
    ndarray of shape (n_rows, width)
        Of a single member, its outputs untouched.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.members import average
    >>> average(np.array([[[0.0]], [[2.0]]]), "logit")
    array([[1.]])
    >>> average(np.array([[[-800.0]], [[800.0]]]), "probability").round(6)
    array([[0.]])
    """
    if len(outputs) == 1:
        return outputs[0]
    outputs = outputs.astype(np.float64)
    if how == "probability":
        return _mean_probability(outputs)
    if how != "rank":
        return np.asarray(outputs.mean(axis=0))
    assert quantiles is not None
    usual = quantiles.mean(axis=0)
    averaged = np.empty((outputs.shape[1], outputs.shape[2]))
    for i in range(outputs.shape[2]):
        ranks = [
            _read_off(values[:, i], known[:, i], GRID)
            for values, known in zip(outputs, quantiles, strict=True)
        ]
        averaged[:, i] = _read_off(np.mean(ranks, axis=0), GRID, usual[:, i])
    return averaged


def quantiles_of(outputs: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return each member's quantiles of its outputs on the training rows, for averaging by rank.

    A row of weight 2 counts as two equal rows do: ranks are shares of the weight below.

    Parameters
    ----------
    outputs : ndarray of shape (n_members, n_rows, width)
    weight : ndarray of shape (n_rows,), optional
        Above 0.

    Returns
    -------
    ndarray of shape (n_members, 1025, width)
    """
    each = np.ones(outputs.shape[1]) if weight is None else weight
    found = np.empty((len(outputs), len(GRID), outputs.shape[2]))
    for member, quantiles in zip(outputs.astype(np.float64), found, strict=True):
        for i, values in enumerate(member.T):
            known, at = np.unique(values, return_inverse=True)
            own = np.bincount(at, weights=each)
            below = np.cumsum(own) - own
            quantiles[:, i] = np.interp(GRID, below / max(below[-1], 1e-30), known)
    return found


def _mean_probability(logits: np.ndarray) -> np.ndarray:
    """Return the logits of averaged probabilities; one logit per row stands for two classes."""
    if logits.shape[2] == 1:
        positive = np.logaddexp.reduce(-np.logaddexp(0, -logits), axis=0)
        return np.asarray(positive - np.logaddexp.reduce(-np.logaddexp(0, logits), axis=0))
    log_p = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return np.asarray(np.logaddexp.reduce(log_p, axis=0) - np.log(len(logits)))


def _read_off(x: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate, and go on in a straight line beyond both ends, so that order is kept there."""
    slope = (values[-1] - values[0]) / max(known[-1] - known[0], 1e-12)
    inside = np.interp(x, known, values)
    beyond = np.maximum(x - known[-1], 0) + np.minimum(x - known[0], 0)
    return np.asarray(inside + slope * beyond)
