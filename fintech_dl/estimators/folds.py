"""Folds of members: each learns from its own part of the rows, and predicts the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import PredefinedSplit, check_cv

Fold = tuple[np.ndarray, np.ndarray]


def member_folds(
    cv: Any,
    n_members: int,
    X: Any,
    y: Any,
    *,
    classifier: bool,
    groups: np.ndarray | None = None,
) -> list[Fold]:
    """Return positions of training and held-out rows of each member; none without ``cv``.

    A single member becomes one per fold. ``groups`` are numbers from 0 on, which no fold tears; an
    int as ``cv`` makes folds of whole groups in order.

    Raises
    ------
    ValueError
        The number of members is no multiple of the number of folds; a fold tears a group, or there
        are fewer groups than folds.
    """
    if cv is None:
        return []
    if groups is None:
        parts = check_cv(cv, y, classifier=classifier).split(X, y)
    else:
        parts = _whole(cv, X, y, groups)
    folds = [(np.asarray(fit), np.asarray(held)) for fit, held in parts]
    if n_members > 1 and n_members % len(folds):
        raise ValueError(
            f"n_members={n_members}: cv makes {len(folds)} folds; allowed: a multiple of it, one "
            "member or more per fold, or 1, which means one per fold"
        )
    return folds * max(n_members // len(folds), 1)


def _whole(cv: Any, X: Any, y: Any, groups: np.ndarray) -> Iterator[Fold]:
    """Yield folds that tear no group."""
    n_groups = int(groups.max()) + 1
    if isinstance(cv, int | np.integer):
        if n_groups < cv:
            raise ValueError(
                f"cv={cv}: folds are of whole groups, of which there are {n_groups}; allowed: at "
                "most as many folds"
            )
        yield from PredefinedSplit(groups * cv // n_groups).split()
        return
    for fit, held in check_cv(cv).split(X, y, groups):
        if len(torn := np.intersect1d(groups[fit], groups[held])):
            raise ValueError(
                f"cv={cv!r} tears {len(torn)} of {n_groups} groups between training and held-out "
                "rows; take an int, or a splitter that keeps groups whole, such as GroupKFold"
            )
        yield fit, held


def out_of_fold(
    folds: list[Fold], outputs: np.ndarray, finish: Callable[[np.ndarray, list[int]], np.ndarray]
) -> np.ndarray:
    """Return for each row what the members say that have not learned from it; NaN if all have.

    Parameters
    ----------
    folds : list of (training positions, held-out positions)
        Of each member.
    outputs : ndarray of shape (n_members, n_rows, ...)
    finish : callable
        Turns outputs of some members, whose numbers it is given, into predictions.
    """
    found = None
    said: dict[bytes, tuple[np.ndarray, list[int]]] = {}
    for j, (_, held) in enumerate(folds):
        said.setdefault(held.tobytes(), (held, []))[1].append(j)
    for held, members in said.values():
        told = finish(outputs[members][:, held], members)
        if found is None:
            found = np.full((outputs.shape[1], *told.shape[1:]), np.nan)
        found[held] = told
    assert found is not None
    return found
