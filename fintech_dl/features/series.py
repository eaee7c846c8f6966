"""Series of numbers: told apart, put on regular steps, cut into windows that look back only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.columns import entity_numbers, need_columns, numbers, ordered_times
from fintech_dl.features.windows import Floats, checked_lengths, deviations
from fintech_dl.table import Table

PERIODS = (3, 300)
USUAL_PERIOD = 125  # where a series has none, as in TSB-AD
FIRST_ROWS = 20_000
LEAST_SCALE = 1e-9  # of a window's largest value: below, the window is flat


class OneSeries(NamedTuple):
    """One series: its name, where its rows stand, and its numbers (n_rows, n_channels)."""

    name: Any
    rows: NDArray[np.int64]
    values: Floats


def each_series(X: Any, series: str | None = None, time: str | None = None) -> list[OneSeries]:
    """Return the series of a frame, each in the order of its rows.

    A missing value stands at the last one before it, the first ones at the first that is known.
    Rows are equal steps: gaps in time are not filled (``regular_steps`` does).

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_channels) or (n_rows,)
    series : str, optional
        Column that says which series a row belongs to. Default: all rows are one.
    time : str, optional
        Column of times, checked and left out of the numbers.

    Returns
    -------
    list of OneSeries
        In order of first appearance.

    Raises
    ------
    ValueError
        No rows, no column of numbers, one that is no number, infinite or missing throughout; times
        that go back or occur twice within a series.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.series import each_series
    >>> frame = pd.DataFrame({"card": ["a", "b", "a"], "spent": [1.0, 5.0, None]})
    >>> [(one.name, one.values.ravel().tolist()) for one in each_series(frame, "card")]
    [('a', [1.0, 1.0]), ('b', [5.0])]
    """
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    if not len(frame):
        raise ValueError("X has 0 rows; a series needs some")
    need_columns(frame, [name for name in (series, time) if name is not None], "series")
    names = [name for name in frame if name not in (series, time)]
    if not names:
        raise ValueError("X has no column of numbers beside the series and the time")
    if wrong := [n for n in names if not pd.api.types.is_numeric_dtype(frame[n].dtype)]:
        raise ValueError(
            f"column {wrong[0]!r} is of type {frame[wrong[0]].dtype}; allowed: numbers"
        )
    values = frame[names].to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(f"column {names[column]!r} is infinite in row {row} (by position)")
    of = np.zeros(len(frame), np.int64) if series is None else entity_numbers(frame, series)
    found = []
    for number in range(of.max() + 1):
        rows = np.flatnonzero(of == number)
        name = None if series is None else frame[series].iloc[rows[0]]
        if time is not None:
            _in_order(frame[time].iloc[rows], name)
        known = pd.DataFrame(values[rows]).ffill().bfill().to_numpy()
        if np.isnan(known).any():
            empty = names[int(np.isnan(known).any(axis=0).argmax())]
            raise ValueError(f"{_of(name)}: column {empty!r} holds no value")
        found.append(OneSeries(name, rows, known))
    return found


def _of(name: Any) -> str:
    return "the series" if name is None else f"series {name!r}"


def _in_order(times: pd.Series[Any], name: Any) -> None:
    """Raise ValueError for a time that is missing, goes back or comes twice."""
    values = times.to_numpy()
    if times.isna().any():
        raise ValueError(f"{_of(name)}: a row has no time, the first after {times.iloc[0]}")
    if (back := values[1:] < values[:-1]).any():
        at = times.iloc[int(back.argmax()) + 1]
        raise ValueError(f"{_of(name)}: {at} is earlier than the row before; sort by time")
    if (twice := values[1:] == values[:-1]).any():
        at = times.iloc[int(twice.argmax())]
        raise ValueError(
            f"{_of(name)}: {at} comes twice; one row per time is needed: "
            "`fintech_dl.features.series.regular_steps` makes one of them"
        )


def regular_steps(
    frame: pd.DataFrame,
    *,
    time: str,
    series: str | None = None,
    every: str | None = None,
) -> pd.DataFrame:
    """Put each series on steps of equal length: the mean of a step's rows, gaps filled.

    Use it before a detector where times are irregular, come twice or are missing. A gap holds the
    last value before it, so that nothing is seen too early.

    Parameters
    ----------
    frame : DataFrame
        Its other columns are numbers.
    time : str
        Column of datetime64.
    series : str, optional
        Column that says which series a row belongs to.
    every : str, optional
        Length of a step as pandas says it, such as ``"5min"``. Default: each series' own, the
        median of the differences of its times.

    Returns
    -------
    DataFrame
        Sorted by series and time, with a column ``filled``: the rows that stand for a gap.

    Raises
    ------
    DataError
        A column is missing, no datetime or no number, or a series has times at one moment only.
    UsageError
        ``every`` is no length of time.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.series import regular_steps
    >>> at = pd.to_datetime(["2024-01-01 00:00", "2024-01-01 00:05", "2024-01-01 00:05",
    ...                      "2024-01-01 00:20"])
    >>> frame = pd.DataFrame({"at": at, "value": [1.0, 2.0, 4.0, 5.0]})
    >>> regular_steps(frame, time="at", every="5min")["value"].tolist()
    [1.0, 3.0, 3.0, 3.0, 5.0]
    """
    need_columns(frame, [name for name in (series, time) if name is not None], "regular_steps")
    if not pd.api.types.is_datetime64_any_dtype(frame[time].dtype):
        raise DataError(f"{time}: the type is {frame[time].dtype}; must be datetime64")
    names = [str(name) for name in frame if name not in (series, time)]
    for name in names:
        numbers(frame, name)
    try:
        step = None if every is None else pd.Timedelta(every)
    except ValueError as error:
        raise UsageError(f'every={every!r}: write a length of time such as "5min"') from error
    parts = []
    groups: Any = [(None, frame)] if series is None else frame.groupby(series, sort=False)
    for name, rows in groups:
        moments = pd.Series(np.sort(rows[time].unique()))
        own: Any = step or moments.diff().median()
        if not own > pd.Timedelta(0):
            raise DataError(f"{_of(name)}: its rows are of one moment; give `every`")
        means = rows.set_index(time)[names].resample(own, origin="start").mean()
        gap = means.isna().all(axis=1)
        part = means.ffill().assign(filled=gap).reset_index()
        if series is not None:
            part.insert(0, series, name)
        parts.append(part)
    out: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return out


def period(values: ArrayLike) -> int:
    """Return how many rows a series' pattern takes: the highest local peak of its autocorrelation.

    From 3 to 300 rows, found in the first 20,000; 125 where there is no such peak. A rule for the
    window of a detector and the buffer of ``vus_pr``, as in TSB-AD.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.series import period
    >>> period(np.sin(np.arange(500) * 2 * np.pi / 24))
    24
    """
    x = np.asarray(values, dtype=float).reshape(len(np.asarray(values)), -1)[:FIRST_ROWS, 0]
    x = x - x.mean()
    longest = min(400, len(x) - 1)
    size = 2 ** int(np.ceil(np.log2(2 * max(len(x), 1))))
    spectrum = np.abs(np.fft.rfft(x, size)) ** 2
    lags = np.fft.irfft(spectrum, size)[: longest + 1]
    peaks = [k for k in range(PERIODS[0] + 1, longest) if lags[k - 1] < lags[k] > lags[k + 1]]
    if not peaks or lags[0] <= 0:
        return USUAL_PERIOD
    best = max(peaks, key=lambda lag: lags[lag])
    return best if best <= PERIODS[1] else USUAL_PERIOD


def cut(values: Floats, window: int) -> NDArray[np.float32]:
    """Return all windows of a series as rows of steps x channels, oldest step first.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.series import cut
    >>> cut(np.array([[1.0], [2.0], [3.0]]), 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    views = sliding_window_view(values, window, axis=0).swapaxes(1, 2)
    return views.reshape(len(views), window * values.shape[1]).astype(np.float32)


def windows(
    frame: pd.DataFrame,
    *,
    value: str | Sequence[str] = "value",
    series: str = "series",
    when: str = "time",
    target: str = "",
    last: int = 64,
    scale: int = 256,
    train_share: float = 0.0,
    aside: Sequence[str] = (),
) -> Table:
    """Make a table of a frame of series: each row with the steps that led to it.

    Every series on its own recent scale, so that one model serves many. Rows are equal steps: gaps
    in time are not filled, and two rows of one time are two (``regular_steps`` mends both). The
    first rows of a series, which lack a window, are left out.

    Parameters
    ----------
    frame : DataFrame
        In the order of time.
    value : str or sequence of str
        Columns of numbers; a missing one stands at the last before it.
    series, when : str
        Columns of the series and of the time.
    target : str
        Column that is 1 in an anomaly, else 0; may be absent when rows are scored.
    last : int
        Steps per row, 2 to 1000, the row's own included.
    scale : int
        Rows, at least ``last``, whose mean and standard deviation a row's window is put on scale
        by; the row itself is the last of them.
    train_share : float
        If above 0, ``aside`` says in ``part`` which rows belong to the first share of their series'
        rows, ``"train"``, and which do not, ``"test"``: for a split of ``kind = "published"``.
    aside : sequence of str
        Columns to keep beside the features, where they exist.

    Returns
    -------
    Table
        ``X`` is float32 with columns ``channel@-lag``, oldest first; ``who`` is the series.

    Raises
    ------
    DataError
        A missing column, times out of order, no series as long as ``scale``.
    UsageError
        ``last``, ``scale`` or ``train_share`` out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.series import windows
    >>> frame = pd.DataFrame({"series": "a", "time": pd.date_range("2024-01-01", periods=5),
    ...                       "value": [1.0, 3.0, 1.0, 3.0, 9.0]})
    >>> windows(frame, last=2, scale=3).X.to_numpy().round(1)
    array([[ 1.2, -0.6],
           [-1.2,  0.6],
           [-0.3,  1.1]], dtype=float32)
    """
    channels = [value] if isinstance(value, str) else list(value)
    need_columns(frame, [*channels, series, when], "windows")
    checked_lengths([last], 2, "last")
    checked_lengths([scale], last, "scale")
    if not 0 <= train_share < 1:
        raise UsageError(f"train_share={train_share}; allowed: from 0, below 1")
    ordered_times(frame, when)
    try:
        found = each_series(frame[[series, *channels]], series)
    except ValueError as error:
        raise DataError(str(error)) from error
    rows = np.concatenate([one.rows[scale - 1 :] for one in found])
    if not len(rows):
        raise DataError(f"no series has {scale} rows; give more rows, or a smaller `scale`")
    block = np.concatenate([_scaled(one.values, last, scale) for one in found])
    order = np.argsort(rows, kind="stable")
    at = rows[order]
    names = [f"{name}@-{lag}" for lag in range(last - 1, -1, -1) for name in channels]
    X = pd.DataFrame(block[order], columns=names)
    X.attrs["left_out"] = {"too_few_rows": len(frame) - len(at)} if len(at) < len(frame) else {}
    kept = frame.iloc[at].reset_index(drop=True)
    beside: dict[str, Any] = {n: kept[n] for n in dict.fromkeys(aside) if n in frame}
    if train_share:
        early = np.zeros(len(frame), dtype=bool)
        for one in found:
            early[one.rows[: int(len(one.rows) * train_share)]] = True
        beside["part"] = np.where(early[at], "train", "test")
    return Table(
        X=X,
        y=kept.get(target),
        when=kept[when],
        who=kept[series],
        aside=pd.DataFrame({"row": at, **beside}),
    )


def _scaled(values: Floats, last: int, scale: int) -> NDArray[np.float32]:
    """Return the windows of the rows that have ``scale`` rows, each less their mean, on scale."""
    if len(values) < scale:
        return np.empty((0, last * values.shape[1]), dtype=np.float32)
    level, spread = np.empty_like(values), np.empty_like(values)
    for channel, column in enumerate(values.T):
        mean, deviation = deviations(np.ascontiguousarray(column), [scale])
        level[:, channel], spread[:, channel] = mean[scale], deviation[scale]
    flat = spread <= LEAST_SCALE * np.abs(level)
    spread = np.where(flat, 1.0, spread)
    steps = sliding_window_view(values, last, axis=0).swapaxes(1, 2)[scale - last :]
    out = (steps - level[scale - 1 :, None]) / spread[scale - 1 :, None]
    return out.reshape(len(out), -1).astype(np.float32)
