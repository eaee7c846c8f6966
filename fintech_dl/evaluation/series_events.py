"""Events of a series: stretches of rows made of flags or of scores, and how well they are found.

An event is a pair of positions (start, stop): rows ``start`` to ``stop - 1``. Nothing here adjusts
flags by labels: a flag counts where it was raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.metrics import Floats

Event = tuple[int, int]


class EventCounts(NamedTuple):
    """Events that happened and were found or missed, and alarms that met none."""

    found: int
    missed: int
    false: int


def events(flags: ArrayLike, *, gap: int = 0, pad: int = 0) -> list[Event]:
    """Return the stretches of flagged rows, so that an operator sees one alarm and not a hundred.

    Parameters
    ----------
    flags : bool array of shape (n_rows,)
        In the order of time.
    gap : int
        Stretches with at most so many rows between them are one event.
    pad : int
        Rows that join each event on either side, first.

    Returns
    -------
    list of (int, int)
        In order, none touching another.

    Raises
    ------
    UsageError
        ``gap`` or ``pad`` below 0, or flags that are no series.

    Examples
    --------
    >>> from fintech_dl.evaluation.series_events import events
    >>> events([0, 1, 1, 0, 0, 1, 0, 0, 0, 1])
    [(1, 3), (5, 6), (9, 10)]
    >>> events([0, 1, 1, 0, 0, 1, 0, 0, 0, 1], gap=2)
    [(1, 6), (9, 10)]
    """
    on = np.asarray(flags, dtype=bool)
    if on.ndim != 1 or min(gap, pad) < 0:
        raise UsageError(
            f"events: flags of shape {on.shape}, gap={gap}, pad={pad}; allowed: one flag per row, "
            "and 0 or more"
        )
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]])))
    pairs = [(max(int(a) - pad, 0), min(int(b) + pad, len(on))) for a, b in edges.reshape(-1, 2)]
    return merged(pairs, gap)


def merged(pairs: Iterable[Event], gap: int = 0) -> list[Event]:
    """Return events in order, those that overlap or have at most ``gap`` rows between them as one.

    Examples
    --------
    >>> from fintech_dl.evaluation.series_events import merged
    >>> merged([(8, 9), (1, 4), (3, 6)])
    [(1, 6), (8, 9)]
    """
    out: list[Event] = []
    for start, stop in sorted(pairs):
        if out and start - out[-1][1] <= gap:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out


def find_events(
    score: ArrayLike,
    *,
    window: float = 0.33,
    step: float = 0.1,
    deviations: float = 4.0,
    pad: int = 50,
    separation: float = 0.1,
) -> list[Event]:
    """Return the events in the scores of a whole series, by a threshold that moves along with it.

    To compare detectors on a series that has ended. It sees all scores at once: an alarm as time
    passes needs a threshold learned before (``contamination``, ``set_threshold``).

    Parameters
    ----------
    score : float array of shape (n_rows,)
        Higher = more anomalous.
    window : float
        Share of the series that has a threshold of its own.
    step : float
        Share of a window by which the next one begins later.
    deviations : float
        The threshold: so many standard deviations above the window's mean.
    pad : int
        Rows that join each event on either side.
    separation : float
        By how large a share an event's highest score must exceed the next lower one, or the highest
        score outside all events of the window; events below the last such step are dropped.

    Returns
    -------
    list of (int, int)

    Raises
    ------
    UsageError
        A share outside (0, 1], no scores, or some that are no finite numbers.

    Notes
    -----
    The rule by which the Orion benchmark grades (Wong et al., AER: Auto-Encoder with Regression for
    Time Series Anomaly Detection, 2022), after Hundman et al. (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.series_events import find_events
    >>> score = np.ones(1000)
    >>> score[400:403] = 9.0
    >>> find_events(score, pad=10)
    [(390, 413)]
    """
    values = np.asarray(score, dtype=float)
    if not 0 < window <= 1 or not 0 < step <= 1:
        raise UsageError(f"find_events: window={window}, step={step}; allowed: above 0, to 1")
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise UsageError("find_events: scores must be finite numbers, one per row, one or more")
    size = int(np.ceil(len(values) * window))
    found: list[Event] = []
    start = end = 0
    while end < len(values):
        end = start + size
        part = values[start:end]
        threshold = part.mean() + deviations * part.std()
        own = _separated(part, events(part > threshold, pad=pad), separation)
        found += [(start + a, start + b) for a, b in own]
        start += int(np.ceil(size * step))
    return merged(found)


def _separated(part: Floats, found: list[Event], separation: float) -> list[Event]:
    """Return the events above the last clear step in the descending order of their peaks."""
    outside = np.ones(len(part), dtype=bool)
    for a, b in found:
        outside[a:b] = False
    ranked = sorted(found, key=lambda event: -part[event[0] : event[1]].max())
    peaks = np.array([part[a:b].max() for a, b in ranked] + [part[outside].max(initial=0.0)])
    clear = np.flatnonzero(peaks[:-1] - peaks[1:] >= separation * peaks[:-1])
    return ranked[: clear[-1] + 1] if len(clear) else []


def event_counts(alarms: Sequence[Event], true: Sequence[Event]) -> EventCounts:
    """Count events that an alarm overlaps, events that none does, and alarms that meet no event.

    One row in common is enough, and several alarms in one event count once.

    Examples
    --------
    >>> from fintech_dl.evaluation.series_events import event_counts
    >>> event_counts([(5, 9), (11, 12), (40, 50)], [(8, 12), (20, 30)])
    EventCounts(found=1, missed=1, false=1)
    """

    def meets(one: Event, others: Sequence[Event]) -> bool:
        return any(one[0] < stop and start < one[1] for start, stop in others)

    found = sum(meets(event, alarms) for event in true)
    return EventCounts(found, len(true) - found, sum(not meets(one, true) for one in alarms))


def event_f1(counts: Iterable[EventCounts]) -> float:
    """Return the F1 of events, counts of several series added up before.

    1 where there was nothing to find and no alarm.

    Examples
    --------
    >>> from fintech_dl.evaluation.series_events import EventCounts, event_f1
    >>> event_f1([EventCounts(1, 1, 1), EventCounts(2, 0, 0)])
    0.75
    """
    found, missed, false = np.sum([EventCounts(0, 0, 0), *counts], axis=0).tolist()
    return 2 * found / (2 * found + missed + false) if found + missed + false else 1.0


def alarm_delays(flags: ArrayLike, true: Sequence[Event]) -> Floats:
    """Return how many rows after its start each event was first flagged; NaN where never.

    Parameters
    ----------
    flags : bool array of shape (n_rows,)
    true : sequence of (int, int)

    Returns
    -------
    float array of shape (n_events,)
        0 where its first row is flagged. A flag before the event does not count.

    Examples
    --------
    >>> from fintech_dl.evaluation.series_events import alarm_delays
    >>> alarm_delays([1, 0, 0, 1, 1, 0], [(1, 5), (5, 6)])
    array([ 2., nan])
    """
    on = np.asarray(flags, dtype=bool)
    firsts: list[Any] = [np.flatnonzero(on[start:stop])[:1] for start, stop in true]
    return np.array([at[0] if len(at) else np.nan for at in firsts], dtype=float)
