"""Conformal prediction in parts: how far outcomes lay from forecasts, and so how wide to be.

The functions of arrays that ``intervals`` and ``online`` are made of. n rows, t targets, c
coverages.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from fintech_dl.errors import DataError
from fintech_dl.evaluation.metrics import Floats


class Said(NamedTuple):
    """What a model says of rows, before its intervals are calibrated.

    Attributes
    ----------
    value : array of shape (n,) or (n, t)
        The forecast, or its logarithm.
    ends : array of shape (n, t, c, 2)
        Both ends of the intervals to start from; without any the forecast itself, twice.
    spread : array of shape (n,)
        The unit in which distances are told.
    """

    value: Floats
    ends: Floats
    spread: Floats


def forecast_of(
    model: Any, X: Any, spread: Floats, coverages: Floats, *, own_ends: bool, logs: bool
) -> Said:
    """Return forecasts of a fitted model; with ``own_ends`` its own intervals lie beside them.

    Raises
    ------
    DataError
        With ``logs`` a forecast or an end that is not above 0.
    """
    value = _values("forecast", model.predict(X), logs)
    if not own_ends:
        shape = (*wide(value).shape, len(coverages), 2)
        return Said(value, np.broadcast_to(wide(value)[:, :, None, None], shape), spread)
    before, last = last_step(model)
    rows = X if before is None else before.transform(X)
    pairs = [last.predict_interval(rows, coverage=float(c)) for c in coverages]
    ends = [np.stack([wide(end) for end in pair], axis=-1) for pair in pairs]
    return Said(value, _values("end", np.stack(ends, axis=2), logs), spread)


def _values(what: str, given: ArrayLike, logs: bool) -> Floats:
    """Return floats, or their logarithms; NaN stays."""
    values = np.asarray(given, dtype=float)
    if not logs:
        return values
    if (values <= 0).any():
        raise DataError(
            f"logs: {int((values <= 0).sum())} of {values.size} {what}s are 0 or below, and have "
            "no logarithm; raise them to a floor first, or set logs to false"
        )
    return np.log(values)


def last_step(model: Any) -> tuple[Any, Any]:
    """Return the steps before a model's last one, None if there are none, and that one."""
    while isinstance(model, FrozenEstimator):
        model = model.estimator
    if not isinstance(model, Pipeline):
        return None, model
    return (model[:-1] if len(model) > 1 else None), model[-1]


def outcomes(what: str, forecast: Said, y: ArrayLike, *, logs: bool) -> Floats:
    """Return outcomes, or their logarithms, as floats of the forecasts' shape; NaN stays.

    Raises
    ------
    DataError
        Of another shape, or with ``logs`` not above 0.
    """
    truth = _values("outcome", y, logs)
    if truth.shape != forecast.value.shape:
        raise DataError(
            f"{what}: y has the shape {truth.shape}, the forecasts {forecast.value.shape}"
        )
    return truth


def scores_of(forecast: Said, truth: Floats) -> tuple[Floats, Floats]:
    """Return residuals, and how far outcomes lie below and above the ends, in units of the spread.

    Returns
    -------
    residuals : array of shape (n, t)
    scores : array of shape (n, t, c, 2)
        Below 0 inside of the ends.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.conformal import Said, scores_of
    >>> forecast = Said(np.array([1.0]), np.array([[[[0.0, 2.0]]]]), np.array([0.5]))
    >>> [part.tolist() for part in scores_of(forecast, np.array([3.0]))]
    [[[4.0]], [[[[-6.0, 2.0]]]]]
    """
    unit = forecast.spread[:, None]
    outcome = wide(truth)[:, :, None]
    apart = [forecast.ends[..., 0] - outcome, outcome - forecast.ends[..., 1]]
    residuals = (wide(truth) - wide(forecast.value)) / unit
    return residuals, np.stack(apart, axis=-1) / unit[:, :, None, None]


def margins_of(scores: Floats, alpha: Floats, *, symmetric: bool) -> Floats:
    """Return by how much both ends must move so that a share ``alpha`` of rows lies outside.

    The score of rank ceil((n + 1)(1 - alpha)) of n, or the largest if there are too few.

    Parameters
    ----------
    scores : array of shape (n, t, c, 2)
    alpha : array of shape (t, c)
    symmetric : bool
        Whether both ends move alike; else each side misses half of the share.

    Returns
    -------
    array of shape (t, c, 2)

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.conformal import margins_of
    >>> below = np.arange(-4.0, 5.0)  # the residuals, with the opposite sign
    >>> scores = np.stack([below, -below], axis=-1)[:, None, None]
    >>> margins_of(scores, np.array([[0.2]]), symmetric=True).tolist()
    [[[4.0, 4.0]]]
    """
    share, shape = alpha[..., None], scores.shape[1:]
    if symmetric:
        scores = scores.max(axis=-1, keepdims=True)
    else:
        share = np.repeat(share / 2, 2, axis=-1)
    n = len(scores)
    ranks = np.clip(np.ceil((n + 1) * (1 - share) - 1e-9), 1, n).astype(int) - 1
    sorted_there = np.partition(scores, np.unique(ranks), axis=0)
    return np.broadcast_to(np.take_along_axis(sorted_there, ranks[None], axis=0)[0], shape)


def interval_of(forecast: Said, margins: Floats, at: int) -> tuple[Floats, Floats]:
    """Return both ends of the intervals of one coverage, in the shape of the forecast."""
    moved = margins[:, at] * forecast.spread[:, None, None]
    low = forecast.ends[:, :, at, 0] - moved[..., 0]
    high = forecast.ends[:, :, at, 1] + moved[..., 1]
    turned = low > high  # ends that moved inwards may cross: nothing is left between them
    middle, shape = (low + high) / 2, forecast.value.shape
    low, high = np.where(turned, middle, low), np.where(turned, middle, high)
    return low.reshape(shape), high.reshape(shape)


def tails_of(residuals: Floats, level: float) -> Floats:
    """Return the residual that a share ``level`` lies below, and the mean of those up to it.

    Parameters
    ----------
    residuals : array of shape (n, t)
    level : float

    Returns
    -------
    array of shape (2, t)

    Raises
    ------
    DataError
        Fewer residuals than the level needs.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.conformal import tails_of
    >>> tails_of(np.arange(-10.0, 10.0)[:, None], 0.1).tolist()
    [[-9.0], [-9.5]]
    """
    n = len(residuals)
    number = int(np.floor((n + 1) * level + 1e-9))
    if number < 1:
        raise DataError(
            f"predict_risk: level={level:g} needs {rows_for(level)} rows to calibrate on, "
            f"{n} are kept; calibrate on more, or take a higher level"
        )
    worst = np.partition(residuals, number - 1, axis=0)[:number]
    return np.stack([worst.max(axis=0), worst.mean(axis=0)])


def risk_of(forecast: Said, tails: Floats) -> tuple[Floats, Floats]:
    """Return value at risk and expected shortfall, in the shape of the forecast."""
    shape = forecast.value.shape
    var, shortfall = (
        -(wide(forecast.value) + forecast.spread[:, None] * tail).reshape(shape) for tail in tails
    )
    return var, shortfall


def dates_of(what: str, when: ArrayLike | None, n: int) -> NDArray[np.int64]:
    """Return the number of each row's date, from 0; without dates, that of the row.

    Raises
    ------
    DataError
        Dates that are missing, not one per row, or not in rising order.

    Examples
    --------
    >>> from fintech_dl.evaluation.conformal import dates_of
    >>> dates_of("an example", [2023, 2023, 2025], 3)
    array([0, 0, 1])
    """
    if when is None:
        return np.arange(n)
    times = pd.Series(np.asarray(when))
    if len(times) != n or times.isna().any() or not times.is_monotonic_increasing:
        raise DataError(
            f"{what}: `when` has {len(times)} dates for {n} rows, {int(times.isna().sum())} "
            "missing; one per row is needed, in rising order: sort the rows first"
        )
    return np.asarray(times.ne(times.shift()).cumsum(), dtype=np.int64) - 1


def rows_for(share: float) -> int:
    """Return how many rows it takes until one of n + 1 is at most this share.

    Examples
    --------
    >>> from fintech_dl.evaluation.conformal import rows_for
    >>> rows_for(0.1), rows_for(1 - 0.9), rows_for(0.01)
    (9, 9, 99)
    """
    return int(np.ceil(1 / share - 1 - 1e-6))


def wide(values: ArrayLike) -> Floats:
    """Return one column per target."""
    found = np.asarray(values, dtype=float)
    return found[:, None] if found.ndim == 1 else found
