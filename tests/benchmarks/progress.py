"""What benchmarks keep of their jobs: files of JSON lines, and how long the rest will take."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Job = TypeVar("Job")


def slug(method: str) -> str:
    return method.lower().replace(" ", "-")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file; what a killed process left of one is passed over."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(dict(json.loads(line)))
        except ValueError:
            continue
    return found


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Write a line at the end of a file, and a line break before it if that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
    with path.open("a+b") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
        if file.read() not in (b"", b"\n"):
            text = "\n" + text
        file.write(text.encode())


def done(kind: Callable[..., Job], first: str, folder: Path) -> dict[Job, dict[str, Any]]:
    """Return what was measured of the jobs in a file, which their first field names.

    The last line of each job counts.
    """
    found = {}
    for line in read_lines(folder / f"{first}.jsonl"):
        job = kind(first, *(line.pop(name) for name in kind._fields[1:]))  # type: ignore[attr-defined]
        found[job] = line
    return found


def keep(job: Any, line: Mapping[str, Any], folder: Path) -> None:
    """Add a line to the file that the first field of a job names."""
    name = dict(list(job._asdict().items())[1:])
    append(folder / f"{job[0]}.jsonl", {**name, **line})


def told(seconds: Sequence[float | None]) -> str:
    """Return how many jobs are left and the minutes they take; None = of unknown length."""
    known = [s for s in seconds if s is not None]
    unknown = len(seconds) - len(known)
    text = f"{len(seconds)} jobs left, {sum(known) / 60:.1f} minutes"
    return f"{text} and {unknown} of unknown length" if unknown else text
