"""Rating grades: probabilities of default to a master scale, and whether each grade comes true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.curves import jeffreys
from fintech_dl.evaluation.metrics import Floats

LEVELS = (0.05, 0.01)  # p-values below which a grade is amber, and red


@dataclass(frozen=True)
class Scale:
    """Grades of a master scale, the best first.

    Attributes
    ----------
    names : tuple of str
        One per grade.
    bounds : tuple of float
        One more than there are grades, rising. A grade holds probabilities from its lower bound,
        included, to its upper bound, excluded; what lies beyond the ends belongs to the first and
        the last grade.
    """

    names: tuple[str, ...]
    bounds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class GradeEvidence:
    """What happened grade by grade.

    Attributes
    ----------
    grades : DataFrame
        One line per grade, those without rows too: see ``grade_table``.
    portfolio : DataFrame
        The same columns for all rows together, in one line.
    herfindahl : float
        Sum of the squared shares of the grades: 1 if all rows are in one grade, 1 / number of
        grades if they are spread evenly.
    monotone : bool or None
        Whether the observed rate never falls from a grade to the next worse one that holds rows;
        None if fewer than two hold rows.
    reversals : tuple of (str, str)
        Neighbouring grades between which it falls.
    """

    grades: pd.DataFrame
    portfolio: pd.DataFrame
    herfindahl: float
    monotone: bool | None
    reversals: tuple[tuple[str, str], ...]


def master_scale(n_grades: int, lowest: float = 0.0003, highest: float = 0.5) -> Scale:
    """Return a master scale of geometric bands: each bound is the same multiple of the one before.

    Parameters
    ----------
    n_grades : int
        2 or more; called ``"1"`` (best) to ``"n"``.
    lowest, highest : float
        Ends of the scale, above 0 and at most 1.

    Raises
    ------
    UsageError
        Fewer than two grades, or ends out of order.

    Examples
    --------
    >>> from fintech_dl.evaluation.grades import master_scale
    >>> [round(bound, 4) for bound in master_scale(3, 0.001, 1.0).bounds]
    [0.001, 0.01, 0.1, 1.0]
    """
    if n_grades < 2:
        raise UsageError(f"master_scale: got n_grades = {n_grades}, allowed: 2 or more")
    if not 0 < lowest < highest <= 1:
        raise UsageError(
            f"master_scale: got lowest = {lowest:g}, highest = {highest:g}, expected "
            "0 < lowest < highest <= 1"
        )
    bounds = np.geomspace(lowest, highest, n_grades + 1)
    return scale_of([float(bound) for bound in bounds])


def scale_of(bounds: Sequence[float], names: Sequence[str] | None = None) -> Scale:
    """Return a master scale of given bounds, one more than there are grades.

    Parameters
    ----------
    bounds : sequence of float
        Rising, from 0 to 1.
    names : sequence of str, optional
        Of the grades, the best first; ``"1"``, ``"2"`` and so on if not given.

    Raises
    ------
    UsageError
        Bounds that do not rise or lie outside 0 to 1, or names that do not fit.

    Examples
    --------
    >>> from fintech_dl.evaluation.grades import scale_of
    >>> scale_of([0, 0.01, 0.1, 1], ["A", "B", "C"]).names
    ('A', 'B', 'C')
    """
    ends = tuple(float(bound) for bound in bounds)
    if len(ends) < 3 or not (np.diff(ends) > 0).all() or ends[0] < 0 or ends[-1] > 1:
        raise UsageError(
            f"master scale: got bounds {list(ends)}, expected three or more rising numbers from 0 "
            "to 1, one more than there are grades"
        )
    titles = tuple(str(i + 1) for i in range(len(ends) - 1)) if names is None else tuple(names)
    if len(titles) != len(ends) - 1 or len(set(titles)) < len(titles):
        raise UsageError(
            f"master scale: got {len(titles)} names for {len(ends) - 1} grades; name each grade "
            "once"
        )
    return Scale(titles, ends)


def grade(p: ArrayLike, scale: Scale) -> NDArray[np.intp]:
    """Return the grade of each probability of default as its place on the scale, 0 the best.

    Parameters
    ----------
    p : array of shape (n_rows,)
        Probabilities of default.
    scale : Scale

    Returns
    -------
    int array of shape (n_rows,)
        ``scale.names[i]`` is the name of grade ``i``.

    Raises
    ------
    DataError
        Values that are missing or outside 0 to 1.

    Examples
    --------
    >>> from fintech_dl.evaluation.grades import grade, scale_of
    >>> grade([0.0, 0.01, 0.05, 1.0], scale_of([0.001, 0.01, 0.1, 0.5]))
    array([0, 1, 1, 2])
    """
    values = np.asarray(p, dtype=float)
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"grade: {bad.sum()} of {len(values)} probabilities of default are missing or outside "
            f"0 to 1, the first in row {first} ({values[first]:g}); score these rows anew, or "
            "leave them out"
        )
    return np.searchsorted(scale.bounds[1:-1], values, side="right")


def grade_table(
    y: ArrayLike,
    p: ArrayLike,
    scale: Scale,
    *,
    weight: ArrayLike | None = None,
    levels: tuple[float, float] = LEVELS,
) -> GradeEvidence:
    """Return for each grade how many defaulted and how many were expected to, with tests.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a default, 0 for none.
    p : array of shape (n_rows,)
        Probabilities of default.
    scale : Scale
    weight : array of shape (n_rows,), optional
        Means and shares count it; intervals and tests take Kish's effective number of rows.
    levels : tuple of float
        The traffic light: ``"green"`` where ``jeffreys_p`` is at least the first, ``"red"`` where
        it is below the second, ``"amber"`` between, ``"none"`` without rows. It warns of
        probabilities that are too low, not of those that are too high.

    Returns
    -------
    GradeEvidence
        Its tables have ``grade``, ``lower`` and ``upper`` (bounds), ``rows`` and ``defaults``
        (counted without weights), ``share`` (of the weight), ``mean_pd``, ``observed`` (rate) with
        its 95 % Jeffreys interval ``low`` to ``high``, ``jeffreys_p`` and ``binomial_p`` (of "the
        mean probability is not too low", one-sided) and ``light``. NaN where a grade has no rows.

    Raises
    ------
    DataError
        Labels other than 0 and 1, no rows, or probabilities as in ``grade``.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.grades import grade_table, scale_of
    >>> y, p = np.repeat([0, 1], [972, 28]), np.full(1000, 0.02)
    >>> found = grade_table(y, p, scale_of([0, 0.01, 0.1, 1], ["A", "B", "C"])).grades
    >>> found[["grade", "rows", "defaults", "jeffreys_p", "light"]].round(4)
      grade  rows  defaults  jeffreys_p  light
    0     A     0         0         NaN   none
    1     B  1000        28       0.041  amber
    2     C     0         0         NaN   none
    """
    truth, pds = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    w = np.ones(len(pds)) if weight is None else np.asarray(weight, dtype=float)
    if len(truth) != len(pds) or len(w) != len(pds) or not np.isin(truth, (0, 1)).all():
        raise DataError(
            f"grade_table: {len(pds)} probabilities, {len(truth)} labels, {len(w)} weights; each "
            f"row needs one of each, labels 0 or 1 (they hold {np.unique(truth)[:5]})"
        )
    at = grade(pds, scale)
    used = w > 0
    if not used.any():
        raise DataError("grade_table: there are no rows with a weight above 0")
    at, truth, pds, w = at[used], truth[used], pds[used], w[used]
    n = len(scale.names)
    places = {"grade": scale.names, "lower": scale.bounds[:-1], "upper": scale.bounds[1:]}
    grades = _lines(places, at, n, truth, pds, w, levels)
    ends = {"grade": ["all"], "lower": [scale.bounds[0]], "upper": [scale.bounds[-1]]}
    held = grades[grades["rows"] > 0]
    falls = np.flatnonzero(np.diff(held["observed"]) < 0)
    names = held["grade"].tolist()
    return GradeEvidence(
        grades=grades,
        portfolio=_lines(ends, np.zeros_like(at), 1, truth, pds, w, levels),
        herfindahl=float((grades["share"] ** 2).sum()),
        monotone=None if len(held) < 2 else not len(falls),
        reversals=tuple((names[i], names[i + 1]) for i in falls),
    )


def jeffreys_test(p: ArrayLike, rows: ArrayLike, defaults: ArrayLike) -> Floats:
    """Return the p-value of "the probability of default is not too low", after Jeffreys.

    Parameters
    ----------
    p : float or array
        Probability of default of the grade.
    rows, defaults : float or array
        Rows of the grade, and how many of them defaulted.

    Returns
    -------
    float array
        Of the shape of the parameters; small where more defaulted than foretold.

    Notes
    -----
    The posterior chance of a default rate at or below the probability, from Jeffreys' prior, as in
    ECB, Instructions for reporting the validation results of internal models (2019).

    Examples
    --------
    >>> from fintech_dl.evaluation.grades import jeffreys_test
    >>> round(float(jeffreys_test(0.02, 1000, 28)), 4)
    0.041
    """
    d, n = np.asarray(defaults, dtype=float), np.asarray(rows, dtype=float)
    return np.asarray(beta.cdf(p, d + 0.5, n - d + 0.5))


def binomial_test(p: ArrayLike, rows: ArrayLike, defaults: ArrayLike) -> Floats:
    """Return the chance of so many defaults or more if the probability of default is right.

    Parameters and result as in ``jeffreys_test``; rows count as independent. Rows and defaults need
    not be whole.

    Examples
    --------
    >>> from fintech_dl.evaluation.grades import binomial_test
    >>> round(float(binomial_test(0.02, 1000, 28)), 4)
    0.0507
    """
    d, n = np.asarray(defaults, dtype=float), np.asarray(rows, dtype=float)
    least = np.where(d > 0, d, 1.0)
    return np.asarray(np.where(d > 0, beta.cdf(p, least, n - least + 1), 1.0))


def _lines(
    places: dict[str, Any],
    at: NDArray[np.intp],
    n: int,
    y: Floats,
    p: Floats,
    w: Floats,
    levels: tuple[float, float],
) -> pd.DataFrame:
    """Return one line per group of rows; all weights are above 0."""
    rows, mass = np.bincount(at, minlength=n), np.bincount(at, w, n)
    held = np.where(rows > 0, mass, np.nan)
    observed = np.bincount(at, w * y, n) / held
    mean_pd = np.bincount(at, w * p, n) / held
    effective = mass * held / np.where(rows > 0, np.bincount(at, w * w, n), np.nan)
    effective = np.minimum(effective, rows)  # Kish; equal but for rounding without weights
    low, high = jeffreys(observed * effective, effective)
    tested = jeffreys_test(mean_pd, effective, observed * effective)
    exceeded = binomial_test(mean_pd, effective, observed * effective)
    empty = rows == 0
    amber, red = levels
    lights = np.select([empty, tested < red, tested < amber], ["none", "red", "amber"], "green")
    return pd.DataFrame(
        {
            **places,
            "rows": rows,
            "defaults": np.bincount(at, y, n).astype(int),
            "share": mass / mass.sum(),
            "mean_pd": mean_pd,
            "observed": observed,
            "low": np.where(empty, np.nan, low),
            "high": np.where(empty, np.nan, high),
            "jeffreys_p": tested,
            "binomial_p": np.where(empty, np.nan, exceeded),
            "light": lights,
        }
    )
