"""Bins to count in: between quantiles, or a category each."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fintech_dl.evaluation.metrics import Floats

MOST_CATEGORIES = 50
OTHER, MISSING = "(other)", "(missing)"


def bin_labels(bounds: ArrayLike) -> list[str]:
    """Return the names of the bins between rising bounds, one more than there are bounds.

    Examples
    --------
    >>> from fintech_dl.evaluation.binning import bin_labels
    >>> bin_labels([18, 65])
    ['up to 18', '18 to 65', 'above 65']
    """
    bounds = np.asarray(bounds, dtype=np.float64)
    texts = [f"{bound:.6g}" for bound in bounds]
    if not texts:
        return ["any"]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    labels = [f"up to {texts[0]}", *between, f"above {texts[-1]}"]
    if len(bounds) > 1 and bounds[0] == np.nextafter(bounds[1], -np.inf):
        labels[:2] = [f"below {texts[1]}", texts[1]]
    return labels


def quantile_bounds(values: Floats, weight: Floats, bins: int = 10) -> Floats:
    """Return the bounds between bins of equal weight, at most ``bins - 1``, or one more.

    Of values without missing ones. Where one value fills the first bin, it has a bin of its own,
    and what is below another.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.binning import quantile_bounds
    >>> quantile_bounds(np.arange(100.0), np.ones(100), 4).tolist()
    [24.0, 49.0, 74.0]
    """
    values, weight = values[weight > 0], weight[weight > 0]
    if not len(values):
        return np.empty(0)
    shares = np.arange(1, bins) / bins
    bounds = np.unique(np.quantile(values, shares, weights=weight, method="inverted_cdf"))
    if bounds[0] == values.min():  # one value fills the first bin; what is below has its own
        bounds = np.append(np.nextafter(bounds[0], -np.inf), bounds)
    return np.asarray(bounds)


def frequent(values: NDArray[Any], weight: Floats) -> list[Any]:
    """Return the categories, those of the most weight first, of equal weight in their own order.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.binning import frequent
    >>> frequent(np.array(["b", "a", "b", "c"], dtype=object), np.ones(4))
    ['b', 'a', 'c']
    """
    codes, names = pd.factorize(values, sort=True)
    mass = np.bincount(codes, weight, len(names))
    found: list[Any] = names[np.argsort(-mass, kind="stable")].tolist()
    return found
