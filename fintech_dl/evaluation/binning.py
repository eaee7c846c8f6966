"""Bins to count in: between quantiles, or a category each."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.wording import number

MOST_CATEGORIES = 50
OTHER, MISSING = "(other)", "(missing)"


def bin_labels(bounds: ArrayLike) -> list[str]:
    """Return the names of the bins between rising bounds, one more than there are bounds.

    Written as reports write numbers: whole ones whole, others by three digits that count, or by as
    many more as tell two neighbours apart.

    Examples
    --------
    >>> from fintech_dl.evaluation.binning import bin_labels
    >>> bin_labels([18, 65])
    ['up to 18', '18 to 65', 'above 65']
    >>> bin_labels([0.0212544, 0.6523, 16200])
    ['up to .0213', '.0213 to .652', '.652 to 16,200', 'above 16,200']
    """
    edges = np.asarray(bounds, dtype=np.float64).tolist()
    if not edges:
        return ["any"]
    alone = len(edges) > 1 and edges[0] == np.nextafter(edges[1], -np.inf)
    texts = _apart(edges[1:] if alone else edges)
    first = [f"below {texts[0]}", texts[0]] if alone else [f"up to {texts[0]}"]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [*first, *between, f"above {texts[-1]}"]


def _apart(edges: list[float]) -> list[str]:
    """Return how rising numbers are written so that no two read the same."""
    digits = [3] * len(edges)
    texts = [_edge(*one) for one in zip(edges, digits, strict=True)]
    while same := [i for i in range(1, len(edges)) if texts[i - 1] == texts[i] and digits[i] < 17]:
        for i in {*same, *(i - 1 for i in same)}:
            digits[i] += 1
            texts[i] = _edge(edges[i], digits[i])
    return texts


def _edge(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return number(value, 0)
    power = math.floor(math.log10(abs(value)))
    if not -5 < power < 15:
        return f"{value:.{digits}g}"
    text = number(value, max(digits - 1 - power, 0))
    return text.rstrip("0").rstrip(".") if "." in text else text


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
