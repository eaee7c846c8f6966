"""How rare a number is among known ones: the arithmetic of conformal p-values. NumPy only."""

from __future__ import annotations

import numpy as np


def tail_share(ranked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of known numbers that are as high, each value counted as one of them.

    Of scores of normal rows this is the conformal p-value: never 0, and 1 for the lowest.

    Parameters
    ----------
    ranked : ndarray of shape (n,)
        Known numbers, rising.
    values : ndarray

    Returns
    -------
    float64 array
        From 1 / (n + 1) to 1; of the shape of ``values``.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.tails import tail_share
    >>> tail_share(np.array([1, 2, 3, 4]), np.array([0, 3, 9])).tolist()
    [1.0, 0.6, 0.2]
    """
    at_least = len(ranked) - np.searchsorted(ranked, values, side="left")
    return np.asarray((1 + at_least) / (len(ranked) + 1))
