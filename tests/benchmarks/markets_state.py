"""What the markets' benchmark has done: one file of JSON lines per part, in the repository."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import progress
from results import FOLDER

STATE = FOLDER / "markets"
Line = dict[str, Any]


class Job(NamedTuple):
    """One method of a part, ``horizon`` bars ahead, with one seed.

    A method that is fitted again as time passes may be cut into blocks, each of them a job.
    """

    part: str
    horizon: int
    method: str
    seed: int = 0
    block: int = 0

    def __str__(self) -> str:
        block = f", block {self.block}" if self.block else ""
        return f"{self.part}, {self.horizon} ahead, {self.method}, seed {self.seed}{block}"


def done(part: str, folder: Path = STATE) -> dict[Job, Line]:
    """Return what was measured of a part, the last line of each job."""
    return progress.done(Job, part, folder)


def keep(job: Job, line: Mapping[str, Any], folder: Path = STATE) -> None:
    """Add a line to the file of the job's part."""
    progress.keep(job, line, folder)


def rounded(values: Sequence[float] | np.ndarray, digits: int = 5) -> list[float | None]:
    """Return numbers short enough to be kept; None for NaN."""
    short = (float(f"{value:.{digits}g}") for value in np.asarray(values, dtype=float))
    return [None if value != value else value for value in short]
