"""Groups of rows that are ranked against each other, such as the assets of a date. No Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fintech_dl.estimators.members import Share


def group_codes(n_rows: int, groups: Any, name: str = "groups") -> np.ndarray:
    """Return the number of each row's group, from 0, in the order of the labels.

    Parameters
    ----------
    n_rows : int
    groups : array-like of shape (n_rows,) or None
        Labels: dates, numbers or texts. None: all rows are one group.
    name : str
        What the caller calls ``groups``.

    Returns
    -------
    int array of shape (n_rows,)

    Raises
    ------
    ValueError
        Labels that are missing or not one per row.

    Examples
    --------
    >>> from fintech_dl.estimators.groups import group_codes
    >>> group_codes(3, ["2024-01-03", "2024-01-02", "2024-01-03"])
    array([1, 0, 1])
    """
    if groups is None:
        return np.zeros(n_rows, dtype=int)
    labels = groups if hasattr(groups, "shape") else pd.Series(groups)
    if labels.shape != (n_rows,):
        raise ValueError(
            f"{name} has the shape {labels.shape}; allowed: ({n_rows},), one label for each row"
        )
    codes, _ = pd.factorize(pd.Series(labels), sort=True)
    if (codes < 0).any():
        raise ValueError(
            f"{name}: row {int(np.argmin(codes))} has no label; leave such rows out, or say which "
            "date they belong to"
        )
    return np.asarray(codes)


def in_turn(shares: Sequence[Share]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return positions and weights of what each member is trained on: rows, or whole groups.

    Of groups both have the shape (n_groups, rows of the longest group of all members).
    """
    codes = [share.groups for share in shares if share.groups is not None]
    if not codes:
        once = [1 if share.turns is None else share.turns for share in shares]
        return [
            (share.rows.repeat(n), share.weight.repeat(n))
            for share, n in zip(shares, once, strict=True)
        ]
    longest, found = max(int(np.bincount(own).max()) for own in codes), []
    for share, own in zip(shares, codes, strict=True):
        at, weights = whole_groups(own, share.weight, longest)
        found.append((share.rows[at], weights))
    return found


def whole_groups(
    codes: np.ndarray, weight: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return groups side by side: positions of their rows, and weights.

    Parameters
    ----------
    codes : int array of shape (n_rows,)
        The group of each row.
    weight : float array of shape (n_rows,)
    longest : int
        Places per group. Free ones repeat rows of the group in turn, with weight 0.

    Returns
    -------
    positions, weights : int and float32 arrays of shape (n_groups, longest)
        Of the groups that occur; the mean weight over all places is 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.groups import whole_groups
    >>> at, weights = whole_groups(np.array([1, 0, 1]), np.array([0.5, 1.0, 0.5]), longest=3)
    >>> at
    array([[1, 1, 1],
           [0, 2, 0]])
    >>> weights
    array([[3. , 0. , 0. ],
           [1.5, 1.5, 0. ]], dtype=float32)
    """
    order = np.argsort(codes, kind="stable")
    _, first, count = np.unique(codes[order], return_index=True, return_counts=True)
    place = np.arange(longest)
    positions = order[first[:, None] + place % count[:, None]]
    weights = np.where(place < count[:, None], weight[positions], 0.0)
    return positions, (weights / weights.mean()).astype(np.float32)


def usual_weight(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the mean weight of each group's rows, by code; rows of weight 0 are not there."""
    return np.asarray(np.bincount(codes, weight) / np.maximum(np.bincount(codes, weight > 0), 1))


def by_usual_weight(codes: np.ndarray, weight: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return weights that sum to what is usual in each group: of groups, not of rows, alike."""
    found = weight * (usual / np.maximum(np.bincount(codes, weight, len(usual)), 1e-300))[codes]
    return np.asarray(found / found.mean())


def check_order(y: np.ndarray, codes: np.ndarray, name: str) -> None:
    """Raise ValueError if there is nothing to rank: no group whose rows differ in ``y``."""
    spread = pd.Series(y).groupby(codes).agg(["min", "max"])
    if not (spread["max"] > spread["min"]).any():
        raise ValueError(
            f"nothing to rank: {len(y)} sample(s) in {len(spread)} group(s), and y differs within "
            f"none; give as {name} what the rows to be compared have in common, such as their date"
        )


def mean_rank_ic(y: np.ndarray, score: np.ndarray, codes: np.ndarray) -> float:
    """Return the mean over groups of the rank correlation of ``y`` and score.

    A group in which all scores are alike counts 0; one in which ``y`` does not differ is left out,
    and NaN is returned if there is no other.

    Parameters
    ----------
    y, score : array of shape (n_rows,)
    codes : int array of shape (n_rows,)

    Returns
    -------
    float
        -1 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.groups import mean_rank_ic
    >>> y, score, codes = np.array([[1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 3, 2], [0, 0, 0, 1, 1, 1]])
    >>> round(mean_rank_ic(y, score, codes), 9)
    0.75
    """
    ranks = pd.DataFrame({"y": y, "score": score}).groupby(codes).rank()
    centred = ranks - ranks.groupby(codes).transform("mean")
    both = (centred["y"] * centred["score"]).groupby(codes).sum()
    spread = (centred**2).groupby(codes).sum()
    told = spread["y"] > 0
    root = (spread["y"] * spread["score"]) ** 0.5
    return float((both / root.where(root > 0, 1.0))[told].mean())
