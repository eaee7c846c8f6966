"""Arithmetic of rows: weights, held-out rows, equal rows, blocks. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_array, check_consistent_length


def refuse_masked(values: Any, name: str) -> None:
    """Raise ValueError for targets or weights of which some are masked: there is none to guess."""
    if np.ma.is_masked(values):
        at = int(np.argwhere(np.ma.getmaskarray(values))[0][0])
        raise ValueError(
            f"{name}: row {at} is masked, that is missing; expected a value for every row. Leave "
            "such rows out"
        )


def check_weight(X: np.ndarray, sample_weight: Any) -> np.ndarray:
    """Return the weight of each row as floats, 1 where none is given."""
    if sample_weight is None:
        return np.ones(len(X))
    refuse_masked(sample_weight, "sample_weight")
    weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D")
    check_consistent_length(X, weight)
    if (weight < 0).any() or not (weight > 0).any():
        raise ValueError("sample_weight must not be negative, and not zero for every row")
    return np.asarray(weight)


def take(rows: Any, at: np.ndarray) -> Any:
    """Return the rows at positions ``at``: not copied if these are all, None if there are none."""
    every = rows is None or (len(at) == len(rows) and bool((at == np.arange(len(at))).all()))
    return rows if every else rows[at]


def hold_out(
    n: int, fraction: float, *, temporal: bool, strata: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to fit on and positions held out.

    The last rows if ``temporal``, else rows at random, stratified where every stratum has enough.
    """
    n_held = math.ceil(fraction * n)
    if n_held >= n:
        raise ValueError(f"validation_fraction={fraction} of {n} rows leaves none to train on")
    if temporal:
        return np.arange(n - n_held), np.arange(n - n_held, n)
    if strata is not None:
        _, counts = np.unique(strata, return_counts=True)
        if counts.min() < 2 or min(n_held, n - n_held) < len(counts):
            strata = None
    fit, held = train_test_split(np.arange(n), test_size=n_held, random_state=seed, stratify=strata)
    return np.sort(fit), np.asarray(held)


def merge_equal(
    rows: np.ndarray, target: np.ndarray | None, at: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of unlike rows among ``at``, in one fixed order, with their summed weights.

    For training with all rows in one batch: the gradient is the same sum, so that weights and
    repeated rows give the same model to the last bit.
    """
    rows = rows[at]
    both = rows if target is None else np.hstack([rows, target[at].astype(np.float32)])
    bits = np.ascontiguousarray(both).view(np.uint32)
    _, first, group = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    return at[first], np.bincount(group.ravel(), weights=weight)


def in_blocks(
    function: Callable[[tuple[np.ndarray, ...]], Any],
    arrays: tuple[np.ndarray, ...],
    sizes: tuple[int, ...],
) -> np.ndarray:
    """Run rows through ``function`` in zero-padded blocks of the given sizes, smallest first.

    A row's result therefore depends neither on its neighbours nor on how many there are.
    """
    n, start, results = len(arrays[0]), 0, []
    while start < n:
        size = max((s for s in sizes if n - start > s // 2), default=sizes[0])
        block = tuple(_padded(a[start : start + size], size) for a in arrays)
        results.append(np.asarray(function(block))[: n - start])
        start += size
    return np.concatenate(results)


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    if len(rows) == size:
        return rows
    block = np.zeros((size, *rows.shape[1:]), dtype=rows.dtype)
    block[: len(rows)] = rows
    return block
