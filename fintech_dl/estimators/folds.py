"""Folds of members: each learns from its own part of the rows, and predicts the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv

Fold = tuple[np.ndarray, np.ndarray]


def member_folds(cv: Any, n_members: int, X: Any, y: Any, *, classifier: bool) -> list[Fold]:
    """Return positions of training and held-out rows of each member; none without ``cv``.

    A single member becomes one per fold.

    Raises
    ------
    ValueError
        The number of members is no multiple of the number of folds.
    """
    if cv is None:
        return []
    splitter = check_cv(cv, y, classifier=classifier)
    folds = [(np.asarray(fit), np.asarray(held)) for fit, held in splitter.split(X, y)]
    if n_members > 1 and n_members % len(folds):
        raise ValueError(
            f"n_members={n_members}: cv makes {len(folds)} folds; allowed: a multiple of it, one "
            "member or more per fold, or 1, which means one per fold"
        )
    return folds * max(n_members // len(folds), 1)


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
