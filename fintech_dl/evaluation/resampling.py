"""Bootstrap resamples of scored rows: whole days where rows have times, rows otherwise.

Of forecasts, whose errors are alike from day to day, stretches of neighbouring days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from fintech_dl.evaluation.outcomes import Metric, Outcome

FEWEST_DAYS = 5
FEWEST_RESAMPLES = 20
CELLS = 4_000_000


class Blocks(NamedTuple):
    """What is drawn with replacement: the block of each row, how many, whether they are days.

    ``key`` is equal for outcomes about the same days or rows; ``stretch`` is how many neighbouring
    days are drawn together.
    """

    of_row: NDArray[np.intp]
    number: int
    days: bool
    key: bytes
    stretch: int = 1


def blocks(outcome: Outcome) -> Blocks:
    """Return whole days where the rows lie on 5 days or more, else single rows.

    Fewer days say too little about how days differ; rows then count as independent. Of forecasts
    two horizons of days are drawn together, and no fewer than the cube root of all days.
    """
    if outcome.when is not None:
        days, of_row = np.unique(outcome.days, return_inverse=True)
        if len(days) >= FEWEST_DAYS:
            stretch = 1
            if outcome.horizon is not None:
                wanted = max(2 * outcome.horizon, round(len(days) ** (1 / 3)))
                stretch = max(1, min(wanted, len(days) // FEWEST_DAYS))
            return Blocks(of_row, len(days), True, days.tobytes(), stretch)
    return Blocks(np.arange(len(outcome)), len(outcome), False, outcome.y.tobytes())


def resample(
    outcomes: Sequence[Outcome], metrics: Sequence[Metric], n: int, seed: int
) -> list[NDArray[Any]]:
    """Return each metric on ``n`` resamples, averaged over the outcomes.

    The same seed and the same rows give the same resamples, whatever the scores: that is what
    pairs two models. Outcomes about the same days (several seeds of one model) are resampled
    alike, others independently.

    Parameters
    ----------
    outcomes : list of Outcome
        One per fold.
    metrics : list of Metric
    n, seed : int

    Returns
    -------
    list of arrays of shape (n, ...)
        One per metric, of the shape that its ``value`` gives; NaN where undefined, for means over
        days where single rows are resampled, and for metrics of whole series.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.outcomes import METRICS, Outcome
    >>> from fintech_dl.evaluation.resampling import resample
    >>> outcome = Outcome(y=np.tile([0, 1], 50), score=np.linspace(0, 1, 100))
    >>> [drawn] = resample([outcome], [METRICS["roc_auc"]], n=100, seed=0)
    >>> drawn.shape, bool(0.4 < drawn.mean() < 0.6)
    ((100,), True)
    """
    streams: dict[bytes, int] = {}
    folds = []
    for outcome in outcomes:
        found = blocks(outcome)
        stream = streams.setdefault(found.key, len(streams))
        folds.append(_one_fold(outcome, found, metrics, n, [seed, stream]))
    return [np.mean(values, axis=0) for values in zip(*folds, strict=True)]


def limits(drawn: NDArray[Any], outcomes: Sequence[Outcome]) -> tuple[Any, Any]:
    """Return the ends of the 95 % interval of resampled values, along the first axis.

    Percentiles, taken further out the fewer blocks were drawn (Hesterberg, What Teachers Should
    Know about the Bootstrap, 2015): seven days then cover like a t interval with 6 degrees of
    freedom. NaN where fewer than 20 resamples are defined.
    """
    drawn = _defined(drawn)
    if len(drawn) < FEWEST_RESAMPLES:
        nothing = np.full(drawn.shape[1:], np.nan)
        return nothing, nothing
    number, freedom = _freedom(outcomes)
    level = norm.cdf(-np.sqrt(number / freedom) * t.ppf(0.975, freedom))
    low, high = np.quantile(drawn, [level, 1 - level], axis=0)
    return low, high


def p_value(drawn: NDArray[Any], outcomes: Sequence[Outcome]) -> float:
    """Return the two-sided p-value of "it is 0" from resampled values, in step with ``limits``."""
    drawn = _defined(drawn)
    if len(drawn) < FEWEST_RESAMPLES:
        return float("nan")
    number, freedom = _freedom(outcomes)
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    tail = min((beyond + 1) / (len(drawn) + 1), 0.5)
    return float(2 * t.sf(-norm.ppf(tail) * np.sqrt(freedom / number), freedom))


def _one_fold(
    outcome: Outcome, drawn: Blocks, metrics: Sequence[Metric], n: int, seed: list[int]
) -> list[NDArray[Any]]:
    """Return each metric on ``n`` resamples of one outcome; equal sums are added up once."""
    usable = [m for m in metrics if not m.whole and (drawn.days or not m.per_day)]
    tables = {m.sums: m.sums(outcome, drawn.of_row, drawn.number) for m in usable}
    parts: dict[int, list[NDArray[Any]]] = {i: [] for i, m in enumerate(metrics) if m in usable}
    for counts in _draws(drawn.number, n, seed, drawn.stretch):
        for sums, table in tables.items():
            step = max(1, CELLS // table.shape[1])
            for start in range(0, len(counts), step):
                total = counts[start : start + step] @ table
                for i, part in parts.items():
                    if metrics[i].sums is sums:
                        part.append(metrics[i].value(total))
    undefined = np.full(n, np.nan)
    return [np.concatenate(parts[i]) if i in parts else undefined for i in range(len(metrics))]


def _draws(number: int, n: int, seed: list[int], stretch: int = 1) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of ``number`` blocks is drawn, in pieces of (resamples, blocks).

    Stretches run on from the last block to the first, so that all are drawn equally often
    (Politis and Romano, A circular block-resampling procedure for stationary data, 1992).
    """
    rng = np.random.default_rng(seed)
    step = max(1, CELLS // number)
    for start in range(0, n, step):
        rows = min(step, n - start)
        picked = rng.integers(number, size=(rows, -(-number // stretch)))
        if stretch > 1:
            picked = (picked[:, :, None] + np.arange(stretch)).reshape(rows, -1)[:, :number]
            picked %= number
        picked += np.arange(rows)[:, None] * number
        counts = np.bincount(picked.ravel(), minlength=rows * number)
        yield counts.reshape(rows, number).astype(float)


def _defined(drawn: NDArray[Any]) -> NDArray[Any]:
    whole = np.isfinite(drawn).all(axis=tuple(range(1, drawn.ndim)))
    return np.asarray(drawn[whole])


def _freedom(outcomes: Sequence[Outcome]) -> tuple[int, int]:
    """Return the number of blocks, or stretches, of all folds, and that less one per fold."""
    numbers = {found.key: found.number // found.stretch for found in map(blocks, outcomes)}
    total = sum(numbers.values())
    return total, max(total - len(numbers), 1)
