"""Is every byte of a run as it was written? What is broken is told, or set aside and made anew."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from fintech_dl.errors import DataError
from fintech_dl.scoring import store
from fintech_dl.scoring.commits import (
    commit_path,
    committed,
    fault_of,
    files_of,
    read_commit,
)
from fintech_dl.scoring.manifest import (
    LATEST,
    MANIFEST,
    SUCCESS,
    check_commit,
    latest,
    read_manifest,
)
from fintech_dl.scoring.plan import PLAN, Landed, Plan, Source, read_own, read_plan

BROKEN = "broken-"


def verify(folder: str | Path) -> dict[str, Any]:
    """Check every byte that runs wrote: plan, commits, scores, rows set aside, manifest, pointer.

    Parameters
    ----------
    folder : str or Path
        What was given to ``fintech-dl score`` with ``-o``, or one ``run-...`` folder in it.

    Returns
    -------
    dict
        ``runs``, ``shards``, ``files`` and ``rows`` that were checked, and ``faults``: a line for
        each file that is missing or changed.

    Raises
    ------
    DataError
        There is no run.

    Examples
    --------
    >>> from fintech_dl.scoring.audit import verify
    >>> verify("scores/2026-11-20")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no run; name the folder that was given \
to fintech-dl score with -o
    """
    folder = Path(folder)
    found: dict[str, Any] = {"runs": 0, "shards": 0, "files": 0, "rows": 0, "faults": []}
    is_run = (folder / PLAN).exists() or (folder / MANIFEST).exists()
    for run in [folder] if is_run else runs_in(folder):
        found["runs"] += 1
        _verify_run(run, found)
    if (folder / LATEST).exists():
        _told(found, lambda: latest(folder))
    return found


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders in a folder, by name.

    Raises
    ------
    DataError
        There are none.
    """
    runs = sorted(path for path in folder.glob("run-*") if path.is_dir())
    if not runs:
        raise DataError(
            f"{folder}: holds no run; name the folder that was given to fintech-dl score with -o"
        )
    return runs


def repair(run: Path, plan: Plan) -> tuple[list[int], list[Path]]:
    """Return the shards that are still to be scored, after what is broken was set aside.

    Parameters
    ----------
    run : Path
        Of a run that is not published.
    plan : Plan

    Returns
    -------
    todo : list of int
        Shards without a commit, or whose commit or files were missing or changed.
    broken : list of Path
        What was renamed to a name that begins with ``broken-``; nothing is deleted.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    todo, broken = [], []
    there = committed(run)
    for k in range(len(plan.shards)):
        if k not in there:
            todo.append(k)
            continue
        try:
            check_commit(run, plan, k)
        except DataError:
            broken += _set_aside(run, plan, k)
            todo.append(k)
    return todo, broken


def check_published(run: Path, plan: Plan) -> None:
    """Refuse a run that was published and is damaged since: readers may have used it.

    Raises
    ------
    DataError
        A commit or a file is missing or changed.
    """
    manifest, _ = read_manifest(run)
    for k, shard in enumerate(manifest["shards"]):
        try:
            digest = check_commit(run, plan, k)[1]
            if digest != shard["sha256"]:
                raise DataError(f"{commit_path(run, k)}: is not the one of the manifest")
        except DataError as error:
            raise DataError(
                f"{error}. The run is published, so it is not changed any more: restore the file "
                f"from a copy, or remove {run} and score again"
            ) from error


def _set_aside(run: Path, plan: Plan, k: int) -> list[Path]:
    """Give a commit, and those of its files that are broken, another name; the commit first."""
    paths = [commit_path(run, k)]
    with suppress(DataError):
        files = files_of(run, read_commit(run, k, plan.key))
        paths += [path for path, _ in files if path.exists()]
    mark, moved = store.attempt(), []
    for path in paths:
        to = path.with_name(f"{BROKEN}{mark}-{path.name}")
        os.replace(path, to)
        store.sync_folder(path.parent)
        moved.append(to)
    return moved


def _verify_run(run: Path, found: dict[str, Any]) -> None:
    if not (run / PLAN).exists() and not (run / MANIFEST).exists():
        return  # planning was interrupted: nothing was promised
    plan = _told(found, lambda: read_plan(run))
    manifest = None
    if (run / MANIFEST).exists():
        manifest = _told(found, lambda: read_manifest(run)[0])
    if plan is None:
        return
    for one in plan.parquet():
        if not Path(one.path).is_absolute():
            _check_file(run / one.path, one, found)
    found["rows"] += plan.landed_quarantine.rows if plan.landed_quarantine else 0
    shards: Iterable[int] = sorted(committed(run))
    digests: dict[int, str] = {}
    if manifest is not None:
        shards = range(len(plan.shards))
        digests = {k: shard["sha256"] for k, shard in enumerate(manifest["shards"])}
    for k in shards:
        found["shards"] += 1
        checked = _told(found, lambda k=k: check_commit(run, plan, k))
        if checked is None:
            continue
        commit, digest = checked
        if digest != digests.get(k, digest):
            found["faults"].append(f"{commit_path(run, k)}: is not the one of the manifest")
        found["rows"] += commit.rows_in
        for path, _ in files_of(run, commit):
            found["files"] += 1
            _check_pages(path, found)
    if manifest is not None:
        _check_end(run, plan, manifest, found)


def _check_end(run: Path, plan: Plan, manifest: dict[str, Any], found: dict[str, Any]) -> None:
    if plan.key != manifest["key"]:
        found["faults"].append(f"{run / MANIFEST}: is of another run than {PLAN}")
    if sha256(read_own(run / PLAN)).hexdigest() != manifest["plan_sha256"]:
        found["faults"].append(f"{run / PLAN}: is not the one of the manifest")
    if not (run / SUCCESS).is_file() or (run / SUCCESS).stat().st_size:
        found["faults"].append(f"{run / SUCCESS}: is missing, or not empty")


def _check_file(path: Path, one: Source | Landed, found: dict[str, Any]) -> None:
    found["files"] += 1
    if fault := fault_of(path, one):
        found["faults"].append(fault)


def _check_pages(path: Path, found: dict[str, Any]) -> None:
    """Read every page, so that its checksum is compared."""
    import pyarrow as pa

    from fintech_dl.scoring.parts import open_parquet

    try:
        with open_parquet(path) as file:
            rows = sum(batch.num_rows for batch in file.iter_batches())
            if rows != file.metadata.num_rows:
                found["faults"].append(f"{path}: its footer says {file.metadata.num_rows:,} rows")
    except (pa.ArrowException, OSError) as error:
        found["faults"].append(f"{path}: {error}")


def _told(found: dict[str, Any], look: Any) -> Any:
    """Return what was looked for; None, and a line among the faults, where it is broken."""
    try:
        return look()
    except DataError as error:
        found["faults"].append(str(error))
        return None
