"""Whether new rows are like those of a reference population: PSI, and CSI by feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, false_discovery_control

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.binning import (
    MISSING,
    MOST_CATEGORIES,
    OTHER,
    bin_labels,
    frequent,
    quantile_bounds,
)
from fintech_dl.evaluation.metrics import Floats, effective_rows

WATCH, SHIFT = 0.10, 0.25
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Shift:
    """A population stability index, with what it would be by chance alone.

    Attributes
    ----------
    psi : float
    expected_by_chance : float
        Its mean if nothing has changed: (bins - 1) x (1 / n + 1 / m).
    chance_95 : float
        What it stays below 95 times out of 100 if nothing has changed.
    p_value : float
        Of "nothing has changed". With half a row added to every bin, which keeps it honest where
        bins hold few rows.
    rule_of_thumb : str
        ``"stable"`` (below 0.10), ``"watch"`` or ``"shift"`` (0.25 and above): the usual words,
        blind to how many rows there are.
    beyond_chance : bool
        Whether the p-value is below 0.05.
    rows_expected, rows_actual : float
        Rows; with weights, Kish's effective number of them.
    bins : DataFrame
        ``bin``, ``expected`` and ``actual`` (shares), ``part`` (of the index).
    empty : tuple of str
        Bins that are empty on one side, counted there as half a row.
    """

    psi: float
    expected_by_chance: float
    chance_95: float
    p_value: float
    rule_of_thumb: str
    beyond_chance: bool
    rows_expected: float
    rows_actual: float
    bins: pd.DataFrame
    empty: tuple[str, ...]


def psi(
    expected: Any,
    actual: Any,
    bins: int | Sequence[float] = 10,
    *,
    weight_expected: ArrayLike | None = None,
    weight_actual: ArrayLike | None = None,
) -> Shift:
    """Return the population stability index of new values against a reference population.

    Parameters
    ----------
    expected, actual : array or Series of shape (n_rows,), (m_rows,)
        Reference and new values: numbers, or categories (text, truth values, pandas categories).
        Missing values are a bin of their own.
    bins : int or sequence of float
        For numbers: how many bins of equal weight in the reference, or the bounds between bins
        (a value equal to a bound lies below it). Categories each are a bin, beyond the 49 most
        frequent of the reference they are one.
    weight_expected, weight_actual : array, optional

    Returns
    -------
    Shift

    Raises
    ------
    DataError
        No rows, or no weight, on one side; infinite numbers; numbers on one side only.
    UsageError
        Fewer than two bins, or bounds that do not rise.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.stability import psi
    >>> rng = np.random.default_rng(0)
    >>> found = psi(rng.normal(size=100), rng.normal(size=100))  # nothing has changed
    >>> found.rule_of_thumb, found.beyond_chance, round(found.chance_95, 2)
    ('watch', False, 0.34)
    """
    old, new = _values(expected), _values(actual)
    if old.number is not None and new.number is not None and old.number != new.number:
        kinds = ["categories", "numbers"]
        raise DataError(
            f"psi: the reference holds {kinds[old.number]}, the new values {kinds[new.number]}; "
            "bring both to one type"
        )
    sides = [_weights(old, weight_expected, "reference"), _weights(new, weight_actual, "new")]
    if old.number or new.number:
        at, labels = _by_bounds(old, new, bins, sides[0])
    else:
        at, labels = _by_category(old, new, sides[0])
    mass = np.array(
        [np.bincount(a, w, len(labels)) for a, w in zip(at, sides, strict=True)], dtype=float
    )
    n, m = map(effective_rows, sides)
    return psi_of_counts(labels, *mass, rows_expected=n, rows_actual=m)


def psi_of_counts(
    labels: Sequence[str],
    expected: ArrayLike,
    actual: ArrayLike,
    *,
    rows_expected: float | None = None,
    rows_actual: float | None = None,
) -> Shift:
    """Return the population stability index of what was counted in bins, as `psi` does of values.

    Parameters
    ----------
    labels : sequence of str
        Names of the bins.
    expected, actual : array of shape (n_bins,)
        Rows of the reference, and new rows, in each bin; or the sums of their weights.
    rows_expected, rows_actual : float, optional
        Rows, or Kish's effective number of them. Default: the sums of the counts.

    Returns
    -------
    Shift

    Raises
    ------
    DataError
        No rows on one side.

    Examples
    --------
    >>> from fintech_dl.evaluation.stability import psi_of_counts
    >>> psi_of_counts(["young", "old"], [600, 400], [60, 40]).psi
    0.0
    """
    mass = np.array([expected, actual], dtype=np.float64)
    totals = mass.sum(axis=1)
    for which, total in zip(("reference", "new"), totals, strict=True):
        if not total > 0:
            raise DataError(
                f"psi: the {which} population is empty ({total:g} rows counted); there is nothing "
                "to compare"
            )
    n = float(totals[0]) if rows_expected is None else rows_expected
    m = float(totals[1]) if rows_actual is None else rows_actual
    held = mass.sum(axis=0) > 0
    shares = mass[:, held] / totals[:, None]
    names = [label for label, here in zip(labels, held, strict=True) if here]
    rows = np.array([[n], [m]])
    parts = _parts(np.where(shares > 0, shares, 0.5 / rows))
    smooth = _parts((shares * rows + 0.5) / (rows + 0.5 * len(names)))
    per_row, df = 1 / n + 1 / m, len(names) - 1
    p_value = float(chi2.sf(smooth.sum() / per_row, df)) if df else 1.0
    value = float(parts.sum())
    return Shift(
        psi=value,
        expected_by_chance=df * per_row,
        chance_95=float(chi2.ppf(1 - LEVEL, df) * per_row) if df else 0.0,
        p_value=p_value,
        rule_of_thumb="stable" if value < WATCH else "watch" if value < SHIFT else "shift",
        beyond_chance=p_value < LEVEL,
        rows_expected=n,
        rows_actual=m,
        bins=pd.DataFrame(
            {"bin": names, "expected": shares[0], "actual": shares[1], "part": parts}
        ),
        empty=tuple(name for name, few in zip(names, shares.min(axis=0), strict=True) if few == 0),
    )


def csi(
    expected: pd.DataFrame,
    actual: pd.DataFrame,
    bins: int = 10,
    *,
    weight_expected: ArrayLike | None = None,
    weight_actual: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return the stability index of every feature, the most changed first.

    Of many features some look changed by chance; ``p_adjusted`` allows for that.

    Parameters
    ----------
    expected, actual : DataFrame
        Reference and new rows, with the same columns in any order.
    bins, weight_expected, weight_actual
        As in ``psi``.

    Returns
    -------
    DataFrame
        ``feature``, ``psi``, ``chance_95``, ``rule_of_thumb``, ``p_value``, ``p_adjusted``
        (Benjamini-Hochberg), ``beyond_chance`` (adjusted p-value below 0.05),
        ``missing_expected`` and ``missing_actual`` (shares) and ``empty`` (bins counted as half a
        row).

    Raises
    ------
    DataError
        Other columns on one side than on the other; else as ``psi``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.stability import csi
    >>> rng = np.random.default_rng(0)
    >>> old = pd.DataFrame({"age": rng.normal(40, 9, 2000), "income": rng.lognormal(size=2000)})
    >>> new = pd.DataFrame({"age": rng.normal(45, 9, 2000), "income": rng.lognormal(size=2000)})
    >>> csi(old, new)[["feature", "beyond_chance"]]
      feature  beyond_chance
    0     age           True
    1  income          False
    """
    odd = [str(name) for name in expected.columns.symmetric_difference(actual.columns)]
    if odd or not len(expected.columns):
        raise DataError(
            f"csi: these columns are on one side only: {odd[:10]} (the reference has "
            f"{len(expected.columns)} columns, the new rows {len(actual.columns)}); name the same "
            "columns on both sides"
        )
    lines = []
    for name in expected.columns:
        try:
            found = psi(
                expected[name],
                actual[name],
                bins,
                weight_expected=weight_expected,
                weight_actual=weight_actual,
            )
        except DataError as error:
            raise DataError(f"column {name!r}: {error}") from error
        lines.append(
            {
                "feature": name,
                "psi": found.psi,
                "chance_95": found.chance_95,
                "rule_of_thumb": found.rule_of_thumb,
                "p_value": found.p_value,
                "missing_expected": float(expected[name].isna().mean()),
                "missing_actual": float(actual[name].isna().mean()),
                "empty": ", ".join(found.empty),
            }
        )
    table = pd.DataFrame(lines)
    adjusted = false_discovery_control(table["p_value"])
    table.insert(5, "p_adjusted", adjusted)
    table.insert(6, "beyond_chance", adjusted < LEVEL)
    return table.sort_values("psi", ascending=False, kind="stable").reset_index(drop=True)


class _Values(NamedTuple):
    """Numbers, or categories as text; ``number`` is None where all are missing."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    number: bool | None


def _values(given: Any) -> _Values:
    values = given if isinstance(given, pd.Series) else pd.Series(np.asarray(given))
    missing = values.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values):
        raise DataError("psi: got dates; give the age in days, or the month as a category")
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        codes, names = pd.factorize(values)
        text = np.array([*map(str, names), ""], dtype=object)[codes]
        return _Values(text, missing, None if missing.all() else False)
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise DataError(
            f"psi: {np.isinf(numbers).sum()} of {len(numbers)} values are infinite; mend them, or "
            "make them missing"
        )
    return _Values(numbers, missing, None if missing.all() else True)


def _weights(side: _Values, weight: ArrayLike | None, which: str) -> Floats:
    w = np.ones(len(side.values)) if weight is None else np.asarray(weight, dtype=np.float64)
    if len(w) != len(side.values):
        raise DataError(f"psi: {len(side.values)} {which} rows came with {len(w)} weights")
    if not w.sum() > 0:
        raise DataError(
            f"psi: the {which} population is empty ({len(w)} rows, total weight {w.sum():g}); "
            "there is nothing to compare"
        )
    return w


def _by_bounds(
    old: _Values, new: _Values, bins: int | Sequence[float], weight: Floats
) -> tuple[list[NDArray[np.intp]], list[str]]:
    """Return the bin of each value on both sides, and the names of the bins, missing last."""
    if isinstance(bins, int | np.integer):
        if bins < 2:
            raise UsageError(f"psi: got bins = {bins}, allowed: 2 or more, or a list of bounds")
        bounds = quantile_bounds(old.values[~old.missing], weight[~old.missing], int(bins))
    else:
        bounds = np.asarray(bins, dtype=np.float64)
        if not len(bounds) or not (np.diff(bounds) > 0).all():
            raise UsageError(f"psi: got bounds {list(bins)}, expected rising numbers")
    at = [
        np.where(side.missing, len(bounds) + 1, np.searchsorted(bounds, side.values, "left"))
        if side.number
        else np.full(len(side.values), len(bounds) + 1)
        for side in (old, new)
    ]
    return at, [*bin_labels(bounds), MISSING]


def _by_category(
    old: _Values, new: _Values, weight: Floats
) -> tuple[list[NDArray[np.intp]], list[str]]:
    labels = frequent(old.values[~old.missing], weight[~old.missing])[: MOST_CATEGORIES - 1]
    index = pd.Index(labels, dtype=object)
    at = []
    for side in (old, new):
        codes = index.get_indexer(side.values)
        codes = np.where(codes < 0, len(labels), codes)
        at.append(np.where(side.missing, len(labels) + 1, codes))
    return at, [*labels, OTHER, MISSING]


def _parts(shares: Floats) -> Floats:
    return np.asarray((shares[1] - shares[0]) * np.log(shares[1] / shares[0]))
