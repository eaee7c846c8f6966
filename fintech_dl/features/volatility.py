"""Tables for forecasts of variance: what the last day, week and month say of the next days."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from fintech_dl.errors import UsageError
from fintech_dl.features.columns import need_columns, numbers, refuse
from fintech_dl.features.forward import forward_mean, of_horizons, target_of
from fintech_dl.features.own_bars import FAULT_BARS, OwnBars, days_of, of_prices, of_series
from fintech_dl.features.steps import kept_rows
from fintech_dl.features.variances import (
    BAR_NEEDS,
    EWMA_BARS,
    LAGS,
    bar_variance,
    ewma_variance,
    leverages,
)
from fintech_dl.features.windows import Features, Floats, checked_lengths, lagged, means
from fintech_dl.table import Table

FORMS = {
    "log": "log_variance",
    "log_mean": "log_mean_variance",
    "root": "volatility",
    "level": "variance",
}
SIGMA_BARS = 22


def har(
    frame: pd.DataFrame,
    *,
    variance: str,
    horizon: int | Sequence[int] = 1,
    lags: Sequence[int] = LAGS,
    forms: Sequence[str] = ("log",),
    market: bool = True,
    leverage: str = "",
    ewma: bool = False,
    exog: Sequence[str] = (),
    floor: float = 0.0,
    asset: bool = False,
    last: int = 1,
    max_gap: int = 5,
    labelled: bool = False,
    aside: Sequence[str] = (),
) -> Table:
    """Make the table of variance forecasts: each asset's HAR terms and the mean variance to come.

    Use it where a realised variance is given for each day, or to be made of prices. A row sees its
    own bar and earlier ones.

    Parameters
    ----------
    frame : DataFrame
        In the order of ``date``, then ``asset``, with the columns that the parameters name.
    variance : str
        The column of variances; or ``"close_to_close"``, ``"parkinson"``, ``"garman_klass"`` or
        ``"rogers_satchell"``: made of the prices of long bars by `variances.bar_variance`.
    horizon : int or list of int, default 1
        Bars whose mean variance is forecast; of several horizons at once the first is the main one.
    lags : sequence of int, default (1, 5, 22)
        Bars in the means: day, week and month.
    forms : sequence of str, default ("log",)
        The means are of logs (``"log"``), of roots (``"root"``), of the variances themselves
        (``"level"``), or of these, then their log is taken (``"log_mean"``).
    market : bool, default True
        Whether to add the same means of the market: the mean log variance of all assets of a date.
    leverage : str
        A column of returns, in the unit whose square the variance has; or ``"close"`` for the
        log returns of the closes. Adds how much the last bars fell.
    ewma : bool, default False
        Whether to add the log of RiskMetrics' forecast, an exponential mean of the last 75 bars'
        variances.
    exog : sequence of str
        Columns above 0 (or missing) whose log is added, for example the VIX of the same evening.
    floor : float, default 0
        Variances below it are raised to it, in their unit. A near-zero day (a holiday in the data)
        otherwise rules every log model. Without one, variances that are not above 0 are faulty.
    asset : bool, default False
        Whether the asset is a feature too (a category).
    last : int, default 1
        Bars per row. With k > 1 the row holds the features of the asset's last k bars.
    max_gap : int, default 5
        Dates that an asset may miss in a row (holidays of its own); nothing reaches across a longer
        gap.
    labelled : bool, default False
        Whether to leave out rows whose label is not known (yet): for training.
    aside : sequence of str
        Further columns to keep beside the features.

    Returns
    -------
    Table
        ``X`` is float32: ``log_variance_1``, ``_5``, ``_22`` (for the other forms
        ``log_mean_variance_``, ``volatility_``, ``variance_``), ``market_log_variance_1``, ...,
        ``leverage_1``, ... (tanh of the mean fall over the volatility of 22 bars),
        ``log_ewma_variance``, ``log_vix``, ..., ``asset``. With ``last`` = k the columns are
        ``channel@-lag``, oldest first, with a channel ``present``.

        ``y`` is the mean variance of the next ``horizon`` bars, of several horizons a DataFrame of
        ``variance_next_1``, ``variance_next_5``, ...; ``until`` is the date of the last of these
        bars, of the longest horizon (both missing where there is none), ``when`` the date, ``who``
        the asset; ``aside`` holds ``row`` (position in the frame), ``variance`` (of the bar
        itself) and ``volatility`` (root of the mean variance of the last 22 bars).

        Rows whose windows touch a faulty bar, or are not full, are left out and counted by reason
        in ``X.attrs["left_out"]``. Faulty: a variance or return that is missing, infinite or (the
        variance) not above 0.

    Raises
    ------
    DataError
        A missing column, rows out of order, a pair of date and asset twice, a single date, a
        horizon longer than the data, no full window, exogenous values that are not above 0.
    UsageError
        A parameter out of range.

    Notes
    -----
    Corsi (2009), A simple approximate long-memory model of realized volatility.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl.features.volatility import har
    >>> frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=30), "asset": "AAA",
    ...                       "rv": np.linspace(1.0, 3.9, 30)})
    >>> table = har(frame, variance="rv", market=False)
    >>> len(table), table.X.attrs["left_out"], round(table.y[0].item(), 6)
    (9, {'too_few_bars': 21}, 3.2)
    """
    lengths = checked_lengths(lags, 1, "lags")
    _check(forms, floor, last)
    need_columns(frame, [*([leverage] if leverage else []), *exog, *aside], "HAR features")
    found = _set_out(frame, variance, leverage, floor, max_gap)
    reach = _reach(lengths, leverage, ewma, variance in frame)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = list(_columns(frame, found, lengths, forms, market, ewma, exog))
    names = [name for name, _ in columns]
    values = np.array([part for _, part in columns], dtype=np.float32)
    label = of_horizons(partial(forward_mean, found, found.columns["variance"]), horizon)

    kept = kept_rows(
        frame,
        found,
        names,
        values,
        reach,
        last=last,
        wanted=label.known if labelled else None,
        asset=asset,
    )
    month = np.sqrt(means(found.columns["variance"], [SIGMA_BARS])[SIGMA_BARS])
    month = np.where(found.complete(SIGMA_BARS), month, np.nan)
    beside = {"row": kept.rows, "variance": found.columns["variance"][kept.place]}
    beside["volatility"] = month[kept.place]
    beside |= {name: frame[name].iloc[kept.rows].to_numpy() for name in aside}
    return Table(
        X=kept.X,
        y=target_of(label.value[kept.place], "variance", horizon),
        when=kept.when,
        until=kept.times(label.until[kept.place]),
        who=kept.who,
        aside=pd.DataFrame(beside),
    )


def har_days(
    *, lags: Sequence[int] = LAGS, leverage: str = "", ewma: bool = False, last: int = 1
) -> int:
    """Return how many days of history ``har`` needs for the same parameters.

    Bars at least this old change no bit of a row's features.

    Examples
    --------
    >>> from fintech_dl.features.volatility import har_days
    >>> har_days()
    160
    """
    reach = _reach(checked_lengths(lags, 1, "lags"), leverage, ewma, given=False)
    return days_of(reach) + days_of(FAULT_BARS) + (days_of(last) if last > 1 else 0)


def _check(forms: Sequence[str], floor: float, last: int) -> None:
    if not forms or len(set(forms)) < len(forms) or not set(forms) <= FORMS.keys():
        raise UsageError(f"forms={forms!r}: must be one or more different of {', '.join(FORMS)}")
    if not 0 <= floor < np.inf:
        raise UsageError(f"floor={floor!r}: must be a variance of 0 or more")
    checked_lengths([last], 1, "last")


def _reach(lengths: Sequence[int], leverage: str, ewma: bool, given: bool) -> int:
    """Return the bars that a row needs: a return, and what is made of one, needs the bar before."""
    bars = max(*lengths, SIGMA_BARS if leverage else 1, EWMA_BARS if ewma else 1)
    return bars if given and not leverage else bars + 1


def _set_out(
    frame: pd.DataFrame, variance: str, leverage: str, floor: float, max_gap: int
) -> OwnBars:
    """Return ``variance``, raised to the floor, and ``change``, asset by asset."""
    made = variance in BAR_NEEDS and variance not in frame
    if made:
        need_columns(frame, BAR_NEEDS[variance], f"variance = {variance!r}")
        raw = of_prices(frame, max_gap=max_gap)
    else:
        need_columns(frame, [variance], "HAR features")
        raw = of_series(frame, {variance: numbers(frame, variance)}, {}, max_gap=max_gap)
    order, faults = raw.order, dict(raw.faults)
    values = bar_variance(raw.columns, variance) if made else raw.columns[variance]
    first = raw.run < (2 if variance == "close_to_close" and made else 1)  # has no return yet
    values = np.where(first, np.nan, np.maximum(values, floor))
    faults["missing:variance"] = order.to_rows(np.isnan(values) & ~first)
    faults["infinite:variance"] = order.to_rows(np.isinf(values))
    faults["not_above_0:variance"] = order.to_rows(values <= 0)
    columns = {"variance": order.to_rows(values)}
    if leverage == "close":
        close = order.to_rows(raw.columns["close"]) if made else numbers(frame, "close")
        faults["not_above_0:close"] = ~(close > 0) & (close < np.inf)
        columns["close"] = np.where(close > 0, close, np.nan)
    elif leverage:
        columns["change"] = numbers(frame, leverage)
        faults["missing:return"] = ~np.isfinite(columns["change"])
    found = of_series(frame, columns, faults, max_gap=max_gap)
    if leverage == "close":
        logs = np.log(found.columns["close"])
        found.columns["change"] = logs - lagged(logs, 1)
    return found


def _columns(
    frame: pd.DataFrame,
    found: OwnBars,
    lengths: Sequence[int],
    forms: Sequence[str],
    market: bool,
    ewma: bool,
    exog: Sequence[str],
) -> Features:
    """Yield name and values of each feature, place by place."""
    variance = found.columns["variance"]
    logs = np.log(variance)
    kinds = {"log": logs, "root": np.sqrt(variance), "level": variance, "log_mean": variance}
    for form in forms:
        for n, mean in means(kinds[form], lengths).items():
            yield f"{FORMS[form]}_{n}", np.log(mean) if form == "log_mean" else mean
    if market:
        for n, mean in means(_of_date(found, logs), lengths).items():
            yield f"market_log_variance_{n}", mean
    if "change" in found.columns:
        sigma = np.sqrt(means(variance, [SIGMA_BARS])[SIGMA_BARS])
        for n, fall in leverages(found.columns["change"], sigma, lengths).items():
            yield f"leverage_{n}", fall
    if ewma:
        yield "log_ewma_variance", np.log(ewma_variance(variance))
    for name in exog:
        values = numbers(frame, name)
        refuse(values <= 0, frame, name, "its log is a feature, so it must be above 0 or missing")
        yield f"log_{name}", np.log(values)[found.order.row]


def _of_date(found: OwnBars, values: Floats) -> Floats:
    """Return the mean of all assets of the date, for each place."""
    date, values = found.order.to_rows(found.date), found.order.to_rows(values)
    known = ~np.isnan(values)
    # added up in the order of rows: the same bits whichever asset came first in the history
    total = np.bincount(date, np.where(known, values, 0))
    count = np.bincount(date, known)
    mean = total / np.where(count > 0, count, np.nan)
    return np.asarray(mean[found.date], dtype=np.float64)
