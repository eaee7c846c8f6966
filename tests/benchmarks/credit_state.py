"""What the credit benchmark has done: files of JSON lines in the repository, scores elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from credit_ours import settings
from progress import append, read_lines, slug
from results import FOLDER

STATE = FOLDER / "credit"
Line = dict[str, Any]


class Job(NamedTuple):
    """One method on one fold with one seed; without a seed, the tuning of the method."""

    data: str
    fold: int
    method: str
    seed: int | None

    def __str__(self) -> str:
        what = "tuning" if self.seed is None else f"seed {self.seed}"
        return f"{self.data}, fold {self.fold}, {self.method}, {what}"


def job_of(line: Mapping[str, Any]) -> Job:
    """Return what a line was measured for."""
    return Job(line["data"], line["fold"], line["method"], line["seed"])


def results(data: str, folder: Path = STATE) -> dict[Job, Line]:
    """Return what was measured with the settings of now, the last line of each job.

    A line without settings is from before these were told apart, and holds.
    """
    lines = read_lines(folder / f"{data}.jsonl")
    now = {method: settings(method, data) for method in {line["method"] for line in lines}}
    return {
        job_of({**line, "data": data}): {**line, "data": data}
        for line in lines
        if line.get("settings", now[line["method"]]) == now[line["method"]]
    }


def trials(data: str, folder: Path = STATE) -> dict[Job, list[Line]]:
    """Return the trials of each tuning, by their number."""
    found: dict[Job, dict[int, Line]] = {}
    for line in read_lines(folder / f"{data}_trials.jsonl"):
        job = Job(data, line["fold"], line["method"], None)
        found.setdefault(job, {})[line["trial"]] = line
    return {job: [several[n] for n in sorted(several)] for job, several in found.items()}


def keep_result(job: Job, line: Mapping[str, Any], folder: Path = STATE) -> None:
    name = {"fold": job.fold, "method": job.method, "seed": job.seed}
    append(folder / f"{job.data}.jsonl", {**name, **line})


def keep_trial(job: Job, line: Mapping[str, Any], folder: Path = STATE) -> None:
    name = {"fold": job.fold, "method": job.method}
    append(folder / f"{job.data}_trials.jsonl", {**name, **line})


def scores_path(job: Job, folder: Path) -> Path:
    return folder / job.data / slug(job.method) / f"{job.fold}-{job.seed}.npy"


def scores(job: Job, folder: Path) -> Any:
    """Return the scores of the test rows of a job, None where they were not kept."""
    path = scores_path(job, folder)
    return np.load(path).astype(float) if path.exists() else None
