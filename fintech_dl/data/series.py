"""Seeded series with planted anomalies: a level that shifts, spikes, another shape."""

from datetime import date

import numpy as np
import pandas as pd

from fintech_dl.errors import UsageError

KINDS = ("level", "spikes", "shape")
QUIET = 0.2  # share of each series at its beginning without anomalies


def planted_series(
    *,
    n_series: int = 6,
    rows: int = 2_000,
    n_events: int = 4,
    length: int = 40,
    every: str = "5min",
    start: str | date = "2024-01-01",
    seed: int = 0,
) -> pd.DataFrame:
    """Make series that repeat a pattern, with noise, and events of known kind and place.

    Each series has a level, a scale, a period of 24 to 72 rows and noise of its own. Its events
    are, in turn: a level 3 to 5 deviations of the pattern away, five spikes of 5 to 8, and the
    pattern run through twice as fast. The first fifth of a series holds none, and no two touch.

    Parameters
    ----------
    n_series, rows, n_events : int
        Series, rows of each, and events of each.
    length : int
        Rows of an event.
    every : str
        Length of a step, as pandas says it.
    start : str or date
    seed : int

    Returns
    -------
    DataFrame
        ``series``, ``time``, ``value``, ``anomaly`` (0 or 1) and ``kind`` ("" where there is none),
        in the order of time.

    Raises
    ------
    UsageError
        A number below 1, or events that do not fit into the rows.

    Examples
    --------
    >>> from fintech_dl.data.series import planted_series
    >>> frame = planted_series(n_series=2, rows=500, n_events=3)
    >>> len(frame), frame["anomaly"].mean().item()
    (1000, 0.24)
    """
    given = {"n_series": n_series, "rows": rows, "n_events": n_events, "length": length}
    if wrong := [name for name, value in given.items() if value < 1]:
        raise UsageError(f"planted_series: {wrong[0]} must be 1 or more, got {given[wrong[0]]}")
    first = int(np.ceil(QUIET * rows))
    room = (rows - first) // n_events
    if room <= length:
        raise UsageError(
            f"planted_series: {n_events} events of {length} rows do not fit into {rows} rows, of "
            "which the first fifth holds none; take more rows"
        )
    rng = np.random.default_rng(seed)
    times = pd.date_range(start, periods=rows, freq=every, unit="us")
    parts = []
    for number in range(n_series):
        level, scale = rng.uniform(50, 150), rng.uniform(2, 20)
        phase = np.arange(rows) * 2 * np.pi / rng.integers(24, 73) + rng.uniform(0, 6)
        pattern = np.sin(phase) + 0.4 * np.sin(2 * phase + 1)
        kind = np.full(rows, "", dtype=object)
        for event in range(n_events):
            name = KINDS[(number + event) % len(KINDS)]
            begin = first + event * room + rng.integers(1, room - length + 1)
            at = np.arange(begin, begin + length)
            kind[at] = name
            sign = rng.choice([-1, 1])
            if name == "level":
                pattern[at] += sign * rng.uniform(3, 5)
            elif name == "spikes":
                pattern[rng.choice(at, min(5, length), replace=False)] += sign * rng.uniform(5, 8)
            else:
                fast = phase[begin] + 2 * (phase[at] - phase[begin])
                pattern[at] = np.sin(fast) + 0.4 * np.sin(2 * fast + 1)
        noise = rng.normal(0, 0.1, rows)
        parts.append(
            pd.DataFrame(
                {
                    "series": f"series {number + 1}",
                    "time": times,
                    "value": level + scale * (pattern + noise),
                    "anomaly": (kind != "").astype(np.int8),
                    "kind": kind.astype(str),
                }
            )
        )
    frame = pd.concat(parts).sort_values("time", kind="stable", ignore_index=True)
    return frame.astype({"series": "str", "kind": "str"})
