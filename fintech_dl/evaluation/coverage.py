"""Whether intervals hold what they promise, everywhere and not only on average."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.curves import jeffreys
from fintech_dl.evaluation.forecasts import aligned


def coverage_by_group(
    y: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    group: ArrayLike,
    coverage: float,
    method: Literal["jeffreys", "wilson"] = "jeffreys",
) -> pd.DataFrame:
    """Return how many intervals hold what happened, for all rows and for each group.

    Parameters
    ----------
    y, low, high : array of shape (n_rows,)
    group : array of shape (n_rows,)
        Such as ``terciles`` of volatility, or the year.
    coverage : float
        What the intervals promise, such as 0.9.
    method : str
        Of the 95 % interval of the share. Rows count as independent: neighbouring dates, or assets
        of one date, make it too narrow.

    Returns
    -------
    DataFrame
        Indexed by group, ``all`` first: ``n``, ``covered`` (share), its interval ``low`` to
        ``high``, ``kept`` (whether that holds the promise), mean ``width``, and ``below`` and
        ``above``, the shares of rows that lie on that side of their interval.

    Raises
    ------
    UsageError
        A coverage that is not between 0 and 1, or an unknown method.
    DataError
        Parts of unequal length, missing groups, intervals that end before they begin.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.coverage import coverage_by_group
    >>> y = np.linspace(-2, 2, 100)
    >>> year = np.repeat([2023, 2024], 50)
    >>> found = coverage_by_group(y, np.full(100, -1.8), np.full(100, 1.8), year, 0.9)
    >>> found[["n", "covered", "below"]].round(2).to_numpy().tolist()
    [[100.0, 0.9, 0.05], [50.0, 0.9, 0.1], [50.0, 0.9, 0.0]]
    """
    if not 0 < coverage < 1:
        raise UsageError(f"coverage: got {coverage}, allowed: above 0, below 1")
    if method not in ("jeffreys", "wilson"):
        raise UsageError(f"method: got {method!r}, allowed: 'jeffreys' or 'wilson'")
    truth, bottom, top = aligned("coverage_by_group", y=y, low=low, high=high)
    names = np.asarray(group)
    if names.shape != truth.shape or pd.isna(names).any():
        raise DataError(
            f"coverage_by_group: group has the shape {names.shape} with "
            f"{int(pd.isna(names).sum())} missing, y {truth.shape}"
        )
    if (turned := top < bottom).any():
        raise DataError(f"coverage_by_group: in {int(turned.sum())} rows `high` lies below `low`")
    rows = pd.DataFrame({"width": top - bottom, "below": truth < bottom, "above": truth > top})
    rows["covered"] = ~(rows["below"] | rows["above"])
    found: dict[Any, dict[str, Any]] = {}
    for name, part in [("all", rows), *rows.groupby(names)]:
        n, inside = len(part), int(part["covered"].sum())
        if method == "jeffreys":
            low_end, high_end = (
                float(end[0]) for end in jeffreys(np.array([float(inside)]), np.array([float(n)]))
            )
        else:
            low_end, high_end = wilson(inside, n)
        found[name] = {
            "n": n,
            "covered": inside / n,
            "low": low_end,
            "high": high_end,
            "kept": low_end <= coverage <= high_end,
            "width": float(part["width"].mean()),
            "below": float(part["below"].mean()),
            "above": float(part["above"].mean()),
        }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("group")


def wilson(number: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a share after Wilson.

    Examples
    --------
    >>> from fintech_dl.evaluation.coverage import wilson
    >>> [round(end, 4) for end in wilson(90, 100)]
    [0.8256, 0.9448]
    """
    z = float(norm.ppf(0.975))
    share = number / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(middle - half), float(middle + half)


def terciles(values: ArrayLike) -> NDArray[Any]:
    """Return ``low``, ``middle`` or ``high`` for each row, by thirds of the values.

    Examples
    --------
    >>> from fintech_dl.evaluation.coverage import terciles
    >>> terciles([0.1, 0.9, 0.2, 0.8, 0.5, 0.6]).tolist()
    ['low', 'high', 'low', 'high', 'middle', 'middle']
    """
    (found,) = aligned("terciles", values=values)
    cuts = np.quantile(found, [1 / 3, 2 / 3])
    return np.array(["low", "middle", "high"])[np.searchsorted(cuts, found, side="left")]
