"""Further ways to score series: AER's as published, a linear rival, and NAB's score."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from progress import slug
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from fintech_dl.estimators.series_errors import (
    end_errors,
    in_range,
    mean_over_windows,
    smoothed,
    warped_error,
)
from fintech_dl.evaluation.series_events import events
from fintech_dl.evaluation.series_scores import nab_score
from fintech_dl.folders import replacing

Floats = np.ndarray
LATE = 5  # steps by which the published code writes the error between behind its row
SEPARATION = 0.13  # of events, the published pipelines' own
WAY_OF = {  # how the published AER combines its errors
    "artificial": "ends",
    "aws": "sum",
    "exchange": "sum",
    "traffic": "ends",
    "tweets": "product",
}
SMOOTH = 0.01


class LinearEnds:
    """AER without a network: ridge foretells the ends of a window, five components rebuild it.

    The errors are smoothed, warped and combined as in ``SeriesDetector(mode="both")``: what is left
    of AER's advantage over it is the network's.
    """

    def __init__(self, window: int = 100, components: int = 5, combine: str = "product") -> None:
        self.window, self.components, self.combine = window, components, combine

    def set_params(self, combine: str) -> Self:
        self.combine = combine
        return self

    def fit(self, values: Floats) -> Self:
        return self  # all is learned of the series that is scored

    def anomaly_score(self, values: Floats) -> Floats:
        """Return a score per row of a series of shape (n_rows, 1)."""
        n, low = len(values), values.min()
        one = (values[:, 0] - low) / (np.ptp(values) or 1.0)
        cuts = np.lib.stride_tricks.sliding_window_view(one, min(self.window, n // 3)).copy()
        middle, outer = cuts[:, 1:-1], cuts[:, [0, -1]]
        ahead = Ridge(alpha=10.0).fit(middle, outer).predict(middle)
        ends = end_errors(np.abs(ahead - outer), n, SMOOTH)
        parts = PCA(min(self.components, middle.shape[1]), random_state=0).fit(middle)
        rebuilt = mean_over_windows(parts.inverse_transform(parts.transform(middle)), n - 2)
        between = np.zeros(n)
        between[1:-1] = smoothed(warped_error(one[1:-1, None], rebuilt[:, None]), SMOOTH)
        return combined(ends, between, self.combine)


def combined(ends: Floats, between: Floats, way: str) -> Floats:
    """Return both errors of rows as one score, as ``SeriesDetector(combine=way)`` does."""
    if way == "ends":
        return ends
    one, two = (in_range(error, (error.min(), error.max())) for error in (ends, between))
    return one * two if way == "product" else (one + two) / 2 - 1


def as_published(ends: Floats, total: Floats, way: str) -> Floats:
    """Return AER's score as the published code has it: the error between stands five steps late.

    ``ends`` and ``total`` are the scores of ``combine="ends"`` and ``combine="sum"``. So the two
    errors of a single odd value do not coincide, which raises fewer false alarms of odd values
    that come regularly; in ``SeriesDetector`` each error stands where it belongs.
    """
    between = 2 * (total + 1) - in_range(ends, (ends.min(), ends.max()))
    late = np.concatenate([np.full(LATE, between.min()), between[:-LATE]])
    return combined(ends, late, way)


def scores_path(job: Any, folder: Path) -> Path:
    series = job.series.replace("/", "_")
    return folder / job.group / series / f"{slug(job.method)}-{job.seed}.npz"


def keep_scores(job: Any, scores: Mapping[str, Floats], labels: Floats, folder: Path) -> None:
    """Keep the scores of a job's rows, by the name of the method or way."""
    arrays = {"labels": labels.astype(np.int8), **scores}
    with replacing(scores_path(job, folder)) as path, path.open("wb") as file:
        np.savez(file, **arrays)


def nab(jobs: Sequence[Any], method: str, folder: Path) -> float | None:
    """Return NAB's standard score of a method over all series, the mean of seeds.

    One threshold for all series, the best for these, as NAB has it. None where the scores of a
    series were not kept.
    """
    values = []
    for seed in sorted({job.seed for job in jobs}):
        scores, windows = [], []
        for job in (job for job in jobs if job.seed == seed):
            path = scores_path(job, folder)
            if not path.exists():
                return None
            with np.load(path) as kept:
                if method not in kept:
                    return None
                scores.append(kept[method])
                windows.append(events(kept["labels"]))
        values.append(nab_score(scores, windows).value)
    return float(np.mean(values)) if values else None
