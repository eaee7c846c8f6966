"""What the anomaly benchmark has done: lines in the repository, scores of rows elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import progress
from progress import slug
from results import FOLDER

from fintech_dl.folders import replacing

STATE = FOLDER / "anomalies"
Line = dict[str, Any]


class Job(NamedTuple):
    """One method on one set with one seed, by one protocol."""

    protocol: str
    data: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.protocol}, {self.data}, {self.method}, seed {self.seed}"


def done(protocol: str, folder: Path = STATE) -> dict[Job, Line]:
    """Return what was measured of a protocol, the last line of each job."""
    return progress.done(Job, protocol, folder)


def keep(job: Job, line: Mapping[str, Any], folder: Path = STATE) -> None:
    """Add a line to the file of the job's protocol."""
    progress.keep(job, line, folder)


def scores_path(job: Job, folder: Path) -> Path:
    return folder / job.protocol / job.data / f"{slug(job.method)}-{job.seed}.npz"


def keep_scores(job: Job, y: Any, test: Any, quantiles: Any, folder: Path) -> None:
    """Keep labels and scores of the test rows, and quantiles of the scores of training rows."""
    arrays = {"y": np.asarray(y, np.int8), "test": test, "quantiles": quantiles}
    with replacing(scores_path(job, folder)) as path, path.open("wb") as file:
        np.savez(file, **arrays)


def scores(job: Job, folder: Path) -> dict[str, Any] | None:
    """Return ``y``, ``test`` and ``quantiles`` of a job, None where they were not kept."""
    path = scores_path(job, folder)
    if not path.exists():
        return None
    with np.load(path) as data:
        return dict(data)
