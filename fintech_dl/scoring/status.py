"""How far the runs in a folder are, and what may be removed from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fintech_dl.errors import DataError
from fintech_dl.scoring.audit import BROKEN, runs_in
from fintech_dl.scoring.commits import COMMITS, FOLDERS, committed, files_of, read_commit
from fintech_dl.scoring.lock import is_locked, locked
from fintech_dl.scoring.manifest import LATEST, MANIFEST, read_manifest
from fintech_dl.scoring.plan import PLAN, read_plan

FAILED = "failed.json"  # of a run: what no further attempt can mend


def status(folder: str | Path) -> dict[str, Any]:
    """Return how far the runs in a folder are; reads plans, commits and manifests only.

    Parameters
    ----------
    folder : str or Path
        What was given to ``fintech-dl score`` with ``-o``.

    Returns
    -------
    dict
        ``lock``: ``"held"`` by a living process or ``"free"``; ``latest``: the run that is read;
        ``runs``, each with its ``state`` (``finished``, ``unfinished``, ``failed`` for good,
        ``not planned`` or ``damaged``), ``shards``, ``done`` and ``left``, ``rows`` of the input,
        ``rows_done`` and ``quarantined``, ``broken``: what is damaged, ``error``: why it failed.

    Raises
    ------
    DataError
        There is no run.

    Examples
    --------
    >>> from fintech_dl.scoring.status import status
    >>> status("scores/2026-11-20")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no run; name the folder that was given \
to fintech-dl score with -o
    """
    folder = Path(folder)
    runs = [_state(run) for run in runs_in(folder)]
    return {
        "folder": str(folder),
        "lock": "held" if is_locked(folder) else "free",
        "latest": published(folder),
        "runs": runs,
    }


def published(folder: Path) -> str | None:
    """Return the name of the run that is read, None if there is none."""
    return _noted(folder / LATEST, "run")


def failed(run: Path) -> str | None:
    """Return why a run failed for good, None if it did not."""
    return None if (run / MANIFEST).exists() else _noted(run / FAILED, "error")


def _noted(path: Path, name: str) -> str | None:
    """Return what a small file of ours says under a name, None where it says nothing."""
    try:
        return str(json.loads(path.read_bytes())[name])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _state(run: Path) -> dict[str, Any]:
    about: dict[str, Any] = {"run": run.name, "state": "not planned", "shards": None, "done": None}
    about |= {"left": None, "rows": None, "rows_done": None, "quarantined": None, "broken": []}
    if not (run / PLAN).exists():
        return about
    try:
        plan = read_plan(run)
        about |= {"shards": len(plan.shards), "rows": plan.rows(), "state": "unfinished"}
        about |= {"pipeline": plan.pipeline, "artefact": plan.artefact_path}
        aside = plan.landed_quarantine.rows if plan.landed_quarantine else 0
        done, rows = 0, aside
        for k in sorted(committed(run)):
            try:
                commit = read_commit(run, k, plan.key)
            except DataError as error:
                about["broken"].append(str(error))
                continue
            done, rows, aside = done + 1, rows + commit.rows_in, aside + commit.quarantined
        about |= {"done": done, "left": len(plan.shards) - done}
        about |= {"rows_done": rows, "quarantined": aside}
        if (run / MANIFEST).exists():
            read_manifest(run)
            about["state"] = "finished"
    except DataError as error:
        about["broken"].append(str(error))
    if about["state"] == "unfinished" and (why := failed(run)) is not None:
        about |= {"state": "failed", "error": why}
    if about["broken"]:
        about["state"] = "damaged"
    return about


def gc(folder: str | Path, *, older_runs: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Remove what killed processes left in finished runs: files that no commit names.

    Only what is older than the run's manifest goes. Runs that are not finished are left as they
    are: they can be resumed.

    Parameters
    ----------
    folder : str or Path
        What was given to ``fintech-dl score`` with ``-o``.
    older_runs : bool
        Also remove finished runs other than the one that is read, and those that failed for good.
    dry_run : bool
        Only tell.

    Returns
    -------
    dict
        ``files``: paths removed; ``bytes``; ``runs``: older runs removed.

    Raises
    ------
    DataError
        There is no run, or a manifest is damaged.
    LockedError
        A process that is alive writes there.

    Examples
    --------
    >>> from fintech_dl.scoring.status import gc
    >>> gc("scores/2026-11-20", dry_run=True)
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no run; name the folder that was given \
to fintech-dl score with -o
    """
    folder = Path(folder)
    runs = runs_in(folder)
    with locked(folder):
        finished = [run for run in runs if (run / MANIFEST).exists()]
        kept = published(folder)
        older = [run for run in finished if older_runs and kept and run.name != kept]
        files = [path for run in finished if run not in older for path in _orphans(run)]
        files += [
            *folder.glob(f".{LATEST}.*.tmp"),
            *folder.glob(".probe-*"),
            *folder.glob("..probe-*"),
        ]
        older += [run for run in runs if older_runs and failed(run) is not None]
        size = sum(path.stat().st_size for path in files)
        for run in older:
            size += sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        if not dry_run:
            for path in files:
                path.unlink(missing_ok=True)
            for run in older:
                (run / MANIFEST).unlink(missing_ok=True)  # first: half of a run is none
                shutil.rmtree(run)
            for run in finished:
                for place in sorted(run.rglob("*/"), reverse=True):
                    if place.name not in FOLDERS:
                        with suppress(OSError):
                            place.rmdir()
    return {
        "files": [str(path) for path in files],
        "bytes": size,
        "runs": [run.name for run in older],
    }


def _orphans(run: Path) -> Iterator[Path]:
    """Yield files of a finished run that it does not name and that are older than its end."""
    manifest, _ = read_manifest(run)
    plan = read_plan(run)
    named = {run / PLAN, *(run / one.path for one in plan.parquet())}
    for k in range(len(manifest["shards"])):
        named.add(run / COMMITS / f"{k:05d}.json")
        named |= {path for path, _ in files_of(run, read_commit(run, k, plan.key))}
    end = (run / MANIFEST).stat().st_mtime_ns
    for path in sorted(run.rglob("*")):
        if not path.is_file() or path in named or path.stat().st_mtime_ns > end:
            continue
        is_ours = path.suffix in (".parquet", ".tmp") or path.name.startswith((BROKEN, ".probe-"))
        if is_ours:
            yield path
