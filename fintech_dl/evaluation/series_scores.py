"""Measures of scores per row of a series, where an anomaly is an event that lasts.

A row-wise AUC punishes an alarm one row early as it does one a week early; these do not. Labels
never change a score: point adjustment, by which random scores look good, is not here on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.series_events import Event, events, merged
from fintech_dl.evaluation.sums import Blocks, sparse

if TYPE_CHECKING:
    from fintech_dl.evaluation.outcomes import Outcome

PROFILES = {  # weight of a window found, of one missed, of a false alarm
    "standard": (1.0, 1.0, 0.11),
    "low_false_alarms": (1.0, 1.0, 0.22),
    "low_misses": (1.0, 2.0, 0.11),
}
PROBATION, PROBATION_ROWS = 0.15, 5000


class NabScore(NamedTuple):
    """The score, and the threshold at which it was reached."""

    value: float
    threshold: float


def vus_pr(y: ArrayLike, score: ArrayLike, *, buffer: int = 100, thresholds: int = 250) -> float:
    """Return the volume under the surface of precision and recall, over buffers around events.

    The measure to compare detectors of series by: an alarm just before or after an event counts in
    part, every event must be met (recall is multiplied by the share of events with an alarm), and
    no threshold is chosen. Guessing gives about the share of anomalous rows.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 in an event, 0 elsewhere; in the order of time.
    score : float array of shape (n_rows,)
        Higher = more anomalous.
    buffer : int
        The largest buffer, in rows, half on each side: the series' period
        (``features.series.period``), else 100. Areas of 0 to ``buffer`` are averaged.
    thresholds : int
        How many, at equal steps of rank.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        No event, labels other than 0 and 1, scores that are no finite numbers, unequal lengths.
    UsageError
        ``buffer`` below 0 or ``thresholds`` below 2.

    Notes
    -----
    Paparrizos et al., Volume Under the Surface (VLDB 2022), as TSB-AD computes it (2024): equal to
    its ``generate_curve`` of version "opt".

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.series_scores import vus_pr
    >>> y = np.zeros(200)
    >>> y[90:100] = 1
    >>> late = np.zeros(200)
    >>> late[100:104] = 1
    >>> round(vus_pr(y, y, buffer=20), 2), round(vus_pr(y, late, buffer=20), 2)
    (1.0, 0.26)
    """
    label, values = _checked(y, score)
    if buffer < 0 or thresholds < 2:
        raise UsageError(f"buffer={buffer}, thresholds={thresholds}; allowed: from 0, and from 2")
    true, n = events(label), len(label)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    ranks = np.linspace(0, n - 1, thresholds).astype(int)
    called = np.searchsorted(-ranked, -ranked[ranks], side="right")  # rows at or above each
    inside, cut = np.cumsum(label[order])[called - 1], ranked[ranks]
    areas = np.empty(buffer + 1)
    for size in range(buffer + 1):
        extended = _extended(label, true, size)
        caught = np.cumsum(extended[order])[called - 1]
        positives = label.sum() + (caught - inside) / 2
        near = [(max(a - size // 2, 0), min(b + size // 2, n)) for a, b in true]
        peaks = np.array([values[a:b].max() for a, b in merged(near, -1)])
        met = (peaks[:, None] >= cut).mean(axis=0)
        recall = np.minimum(caught / positives, 1) * met
        areas[size] = np.diff(recall, prepend=0.0) @ (caught / called)
    return float(areas.mean())


def vus_sums(outcome: Outcome, block: Blocks, n_blocks: int, buffer: int = 100) -> csr_array:
    """Sum `vus_pr` over the series that hold an event, and count these, for ``outcomes.Metric``.

    A series is the rows about one ``who`` in the order of ``when``; each has thresholds of its own,
    so that scores of several series need no common scale. All counts in the block of the first row.
    """
    if outcome.weight is not None and np.ptp(outcome.weight) > 0:
        raise UsageError("vus_pr follows series row by row and respects no row weights; leave out")
    n = len(outcome)
    if outcome.who is None and outcome.when is not None and len(np.unique(outcome.when)) < n:
        raise UsageError(
            "vus_pr: times occur twice and the table does not say which series a row is of (`who`)"
        )
    order = np.arange(n) if outcome.when is None else np.argsort(outcome.when, kind="stable")
    who = np.zeros(n) if outcome.who is None else outcome.who.astype(str)
    apart = [order[who[order] == name] for name in np.unique(who[outcome.y == 1])]
    areas = [vus_pr(outcome.y[at], outcome.score[at], buffer=buffer) for at in apart]
    row, column = np.full(2, block[0]), np.arange(2)
    return sparse(row, column, np.array([sum(areas), len(areas)], dtype=float), n_blocks, 2)


def _checked(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    label, values = np.asarray(y, dtype=float), np.asarray(score, dtype=float)
    if label.shape != values.shape or label.ndim != 1:
        raise DataError(f"y has shape {label.shape}, score {values.shape}; one number per row each")
    if not np.isin(label, (0, 1)).all() or not label.any():
        raise DataError("y must be 1 in an event and 0 elsewhere, and there must be an event")
    if not np.isfinite(values).all():
        raise DataError(f"score is no finite number in {int((~np.isfinite(values)).sum())} rows")
    return label, values


def _extended(label: Floats, true: Sequence[Event], size: int) -> Floats:
    """Return labels with a ramp of ``size // 2`` rows on each side of each event, at most 1."""
    out = label.copy()
    far = np.arange(1, size // 2 + 1)
    ramp = np.sqrt(1 - far / max(size, 1))
    for start, stop in true:
        after, before = stop - 1 + far, start - far
        for at in (after, before):
            there = (at >= 0) & (at < len(out))
            out[at[there]] += ramp[there]
    return np.minimum(out, 1)


def nab_score(
    scores: Sequence[ArrayLike],
    windows: Sequence[Sequence[Event]],
    *,
    profile: Literal["standard", "low_false_alarms", "low_misses"] = "standard",
    threshold: float | None = None,
) -> NabScore:
    """Return the score of the Numenta Anomaly Benchmark over several series: early alarms pay more.

    100 is an alarm in the first row of every window and none elsewhere, 0 no alarm at all. The
    first alarm of a window counts, more the earlier it is; each row flagged outside counts against,
    less just after a window. The first 15 % of each series (at most 750 rows) count for nothing.

    Parameters
    ----------
    scores : sequence of float array of shape (n_rows,)
        One per series, all on one scale: one threshold holds for all.
    windows : sequence of sequence of (int, int)
        Of each series the windows of rows in which an alarm is right.
    profile : {"standard", "low_false_alarms", "low_misses"}
    threshold : float, optional
        Rows at or above it are flagged. Default: the best for these very series, as the benchmark
        has it, which flatters.

    Returns
    -------
    NabScore
        ``value``, 100 or less, and ``threshold``, infinity where no alarm is best.

    Raises
    ------
    UsageError
        An unknown profile.
    DataError
        No series or no window after the probation, windows outside their series, scores that are no
        finite numbers.

    Notes
    -----
    Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms (2015). Choosing the
    threshold on the test is the benchmark's own way; report ``vus_pr`` beside it.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.series_scores import nab_score
    >>> score = np.zeros(100)
    >>> score[60] = 1.0
    >>> nab_score([score], [[(60, 70)]])
    NabScore(value=100.0, threshold=1.0)
    """
    if profile not in PROFILES:
        raise UsageError(f"profile={profile!r}; allowed: {', '.join(map(repr, PROFILES))}")
    right, missed, wrong = PROFILES[profile]
    if len(scores) != len(windows) or not len(scores):
        raise DataError(f"{len(scores)} series and windows of {len(windows)}; one or more of each")
    levels: list[Floats] = []
    gains: list[Floats] = []
    total = 0
    for score, own in zip(scores, windows, strict=True):
        values = np.asarray(score, dtype=float)
        if not np.isfinite(values).all():
            raise DataError("scores must be finite numbers")
        gain, inside = _gains(len(values), own)
        first = int(min(PROBATION * len(values), PROBATION * PROBATION_ROWS))
        free = np.flatnonzero(inside[first:] < 0) + first
        levels.append(values[free])
        gains.append(gain[free] * wrong)
        for number in np.unique(inside[first:][inside[first:] >= 0]):
            at = np.flatnonzero(inside == number)
            at = at[at >= first]
            at = at[np.argsort(-values[at], kind="stable")]
            best = np.maximum.accumulate(gain[at] * right)  # of the flagged, the earliest counts
            levels.append(values[at])
            gains.append(np.diff(best, prepend=-missed))
            total += 1
    if not total:
        raise DataError("no series has a window after its first 15 %; there is nothing to find")
    level, gain = np.concatenate(levels), np.concatenate(gains)
    order = np.argsort(-level, kind="stable")
    level, sums = level[order], np.cumsum(gain[order]) - missed * total
    lasts = np.append(np.flatnonzero(np.diff(level)), len(level) - 1)  # ties are flagged together
    level = np.append(np.inf, level[lasts])
    sums = np.append(-missed * total, sums[lasts])
    chosen = int(sums.argmax() if threshold is None else (level >= threshold).sum() - 1)
    value = 100 * (sums[chosen] + missed * total) / ((right + missed) * total)
    return NabScore(float(value), float(level[chosen] if threshold is None else threshold))


def _gains(n: int, windows: Sequence[Event]) -> tuple[Floats, NDArray[np.int64]]:
    """Return what an alarm in each row is worth, unweighted, and the number of its window or -1."""
    gain, inside = np.full(n, -1.0), np.full(n, -1)
    last: int | None = None
    width = 0
    ordered = sorted(windows)
    if any(not 0 <= a < b <= n for a, b in ordered) or len(merged(ordered, -1)) < len(ordered):
        raise DataError(f"windows {ordered} of a series of {n} rows; they must lie in it, apart")
    for number, (start, stop) in enumerate([*ordered, (n, n)]):
        if last is not None:
            past = np.arange(last + 1, start) - last
            gain[last + 1 : start] = _sigmoid(past / max(width - 1, 1e-9))
        if start == n:
            break
        width, last = stop - start, stop - 1
        gain[start:stop] = _sigmoid(np.arange(-width, 0) / width) / _sigmoid(np.array(-1.0))
        inside[start:stop] = number
    return gain, inside


def _sigmoid(position: Floats) -> Floats:
    """Return NAB's scaled sigmoid: near 1 at a window's start, 0 at its end, then down to -1."""
    value = 2 / (1 + np.exp(np.minimum(5 * position, 50.0))) - 1
    return np.asarray(np.where(position > 3, -1.0, value))
