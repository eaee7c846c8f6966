"""Score files: plan, shards, commits, manifest, pointer. A run that is killed goes on exactly.

What is heavy is imported where it is used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fintech_dl.errors import (
    ArtefactError,
    DataError,
    FintechError,
    OutputError,
    PlanError,
    UsageError,
    not_written,
)
from fintech_dl.scoring.audit import runs_in
from fintech_dl.scoring.commits import committed
from fintech_dl.scoring.completing import How, Scores, Tell, complete
from fintech_dl.scoring.lock import ADVICE, locked
from fintech_dl.scoring.manifest import LATEST, MANIFEST
from fintech_dl.scoring.opened import open_planned
from fintech_dl.scoring.plan import PLAN, Plan, read_plan
from fintech_dl.scoring.planning import Asked, ask, make_plan, run_folder
from fintech_dl.scoring.sinks import check_sink
from fintech_dl.scoring.standby import begin, fill, standby
from fintech_dl.scoring.status import failed, published
from fintech_dl.scoring.store import probe
from fintech_dl.scoring.workers import check_executor


def score_files(
    artefact: str | Path,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    history: str | Path | None = None,
    as_of: Any = None,
    duplicates: str | None = None,
    reasons: bool = False,
    new_run: bool = False,
    workers: int | None = None,
    executor: str = "local",
    sink: Mapping[str, Any] | None = None,
    single_writer: bool = False,
    stall: float | None = None,
    progress: Tell | None = None,
) -> Scores:
    """Score files with a run's artefact: every row is scored, or set aside with a reason.

    For night jobs, as ``fintech-dl score``; for a frame in memory use `score`. Killed at any
    moment, the same call again goes on where it was and ends with the same scores. A warning is
    logged where more than 1 % of the rows were set aside.

    Parameters
    ----------
    artefact : str or Path
        The folder ``artefact`` of a run.
    inputs : str, Path or sequence of those
        Files (``.parquet``, ``.csv``, ``.csv.gz``), folders of such, patterns, or dataset cards
        whose source is ``sql``.
    out : str or Path
        Folder to write; `read_scores` reads it.
    history : str or Path, optional
        File of earlier rows, as for `score`.
    as_of : str, date or Timestamp, optional
        Rows after this moment are set aside; default: now, which a run that goes on keeps.
    duplicates : {"report", "quarantine", "fail"}, optional
        What becomes of rows whose key came before; default: as the dataset's contract says.
    reasons : bool
        Also tell why rows are declined, if the card has ``[reasons]``. This needs Keras.
    new_run : bool
        ``out`` may hold runs of other inputs, models or settings; this one is read when it is
        done.
    workers : int, optional
        Processes; default: one per core, one alone for few rows.
    executor : {"local", "ray"}
    sink : mapping, optional
        Of ``sinks.make_sink``: where the scores go besides.
    single_writer : bool
        You vouch that no other process writes to ``out``: then it may lie on any file system.
    stall : float, optional
        Seconds without any progress after which the job gives up; default: 600.
    progress : callable, optional
        Called with a text and the share that is done.

    Returns
    -------
    Scores

    Raises
    ------
    ArtefactError
        The artefact is incomplete, changed or not trusted, or has no proven graph.
    DataError
        Inputs are broken, columns missing, the history too short, too many rows break the
        contract: nothing is published.
    UsageError
        An argument cannot be used, or a history is missing.
    NothingToDo
        ``out`` holds the scores of exactly these inputs, artefact and settings.
    PlanError
        ``out`` holds another run, or the inputs or the artefact changed meanwhile.
    LockedError
        Another process is writing ``out`` now.
    OutputError, TemporaryError
        ``out`` cannot be written; the disk is full, or shards failed: the same call goes on.

    Examples
    --------
    >>> from fintech_dl.scoring.jobs import score_files
    >>> score_files("reports/runs/none/artefact", "new.parquet", "scores")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.ArtefactError: reports/runs/none/artefact: is no artefact (there is no \
MANIFEST.json); name the folder `artefact` of a run, or one that fintech_dl.save wrote
    """
    check_executor(executor, workers, stall)
    _check_place(Path(out))
    sink = dict(sink or {})
    with standby(executor, workers) as early:
        warm = partial(begin, early)
        asked = ask(artefact, inputs, history, as_of, duplicates, reasons, sink, warm)
        fill(early)
        how = How(workers=workers, executor=executor, stall=stall, tell=progress, early=early)
        check_sink(asked.sink)
        with _writing(Path(out), single_writer) as is_held:
            before = set(Path(out).glob(f"run-*/{PLAN}"))
            run, plan = _planned(Path(out), asked, new_run=new_run, is_held=is_held)
            try:
                return complete(run, plan, asked.opened, how)
            except (ArtefactError, DataError, UsageError):
                if is_held and run / PLAN not in before and not committed(run):
                    shutil.rmtree(run, ignore_errors=True)  # it came to nothing
                raise


def plan_scores(
    artefact: str | Path,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    history: str | Path | None = None,
    as_of: Any = None,
    duplicates: str | None = None,
    reasons: bool = False,
    new_run: bool = False,
    sink: Mapping[str, Any] | None = None,
    single_writer: bool = False,
    dry_run: bool = False,
) -> tuple[Path, Plan]:
    """Make the plan of a run, without scoring.

    To see what a night's job would read, or to have its inputs checked before the night: then
    `resume_scores`, or `score_files` with the same arguments, goes on.

    Parameters
    ----------
    artefact, inputs, out, history, as_of, duplicates, reasons, new_run, sink, single_writer
        As `score_files`.
    dry_run : bool
        Leave nothing behind. Files that have to be landed are landed in a temporary folder.

    Returns
    -------
    run : Path
        The run's folder.
    plan : Plan

    Raises
    ------
    ArtefactError, DataError, UsageError, PlanError, LockedError, OutputError, TemporaryError
        As `score_files`.

    Examples
    --------
    >>> from fintech_dl.scoring.jobs import plan_scores
    >>> plan_scores("reports/runs/none/artefact", "new.parquet", "scores", dry_run=True)
    Traceback (most recent call last):
    ...
    fintech_dl.errors.ArtefactError: reports/runs/none/artefact: is no artefact (there is no \
MANIFEST.json); name the folder `artefact` of a run, or one that fintech_dl.save wrote
    """
    _check_place(Path(out))
    asked = ask(artefact, inputs, history, as_of, duplicates, reasons, dict(sink or {}))
    if dry_run:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="fintech-dl-") as folder:
            return run_folder(Path(out), asked.key()), make_plan(Path(folder), asked)
    check_sink(asked.sink)
    with _writing(Path(out), single_writer) as is_held:
        return _planned(Path(out), asked, new_run=new_run, is_held=is_held)


def resume_scores(
    out: str | Path,
    *,
    workers: int | None = None,
    executor: str = "local",
    single_writer: bool = False,
    stall: float | None = None,
    progress: Tell | None = None,
) -> Scores:
    """Go on with the run in a folder that was planned, killed or failed.

    It goes on as it was planned: shards that are committed stay, and scores are those that the run
    would have given undisturbed.

    Parameters
    ----------
    out : str or Path
        What was given to `score_files` or `plan_scores`.
    workers, executor, single_writer, stall, progress
        As `score_files`.

    Returns
    -------
    Scores

    Raises
    ------
    NothingToDo
        Every run in ``out`` is finished.
    UsageError
        No run was planned, or several are unfinished.
    PlanError
        The inputs or the artefact changed since the plan.
    ArtefactError, DataError, LockedError, OutputError, TemporaryError
        As `score_files`.

    Examples
    --------
    >>> from fintech_dl.scoring.jobs import resume_scores
    >>> resume_scores("scores/2026-11-20")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no run; name the folder that was given \
to fintech-dl score with -o
    """
    out = Path(out)
    check_executor(executor, workers, stall)
    runs_in(out)
    with standby(executor, workers) as early, _writing(out, single_writer):
        run = _to_resume(out)
        plan = read_plan(run)
        other = (
            f"is another model than the one that {run.name} was planned with; put that one back, "
            "or score with this one into a new folder or with --new-run"
        )
        opened = open_planned(plan, other)
        check_sink(plan.sink)
        if not (run / MANIFEST).exists():
            begin(early, sum(one.bytes for one in plan.originals))
            fill(early)
        how = How(workers=workers, executor=executor, stall=stall, tell=progress, early=early)
        return complete(run, plan, opened, how)


def _to_resume(out: Path) -> Path:
    """Return the run that is not finished; of finished ones the published."""
    runs = [run for run in runs_in(out) if (run / PLAN).exists()]
    left = [run for run in runs if not (run / MANIFEST).exists() and failed(run) is None]
    if len(left) > 1:
        raise UsageError(
            f"{out}: {len(left)} runs are unfinished ({', '.join(run.name for run in left)}); run "
            "fintech-dl score again with the arguments of the one that you want"
        )
    if not runs:
        raise UsageError(
            f"{out}: planning was interrupted, there is nothing to resume; run fintech-dl score "
            "again with the same arguments"
        )
    latest = published(out)
    return left[0] if left else next((run for run in runs if run.name == latest), runs[-1])


@contextmanager
def _writing(out: Path, single_writer: bool) -> Iterator[bool]:
    """Hold the folder that is to be written; tell what cannot be written in words of ours."""
    try:
        with locked(out) as is_held:
            _check_place(out)
            probe(out, single_writer)
            yield is_held
    except FintechError:
        raise
    except OSError as error:
        raise not_written(str(out), error, ADVICE) from error


def _check_place(out: Path) -> None:
    """Refuse a place that holds anything but runs."""
    try:
        if out.is_symlink() and not out.exists():
            raise OutputError(f"{out}: is a link to nowhere; {ADVICE}")
        if not out.exists():
            above = next(parent for parent in out.absolute().parents if os.path.exists(parent))
            if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
                raise OutputError(f"{out}: you may not write to {above}; {ADVICE}")
            return
        if not out.is_dir():
            raise OutputError(f"{out}: exists already and is no folder; {ADVICE}")
        names = [path.name for path in out.iterdir()]
    except OutputError:
        raise
    except OSError as error:
        raise not_written(str(out), error, ADVICE) from error
    others = [name for name in names if not name.startswith((".", "run-")) and name != LATEST]
    if others and not any(name.startswith("run-") for name in names):
        raise OutputError(
            f"{out}: exists already and holds other files ({others[0]}); name a new folder with -o"
        )


def _planned(out: Path, asked: Asked, *, new_run: bool, is_held: bool) -> tuple[Path, Plan]:
    """Return the run's folder and its plan, which is made unless it is there."""
    run = run_folder(out, asked.key())
    again = 0
    while new_run and asked.has_queries and (run / MANIFEST).exists():
        again += 1  # the rows of a query may be others by now
        run = run_folder(out, asked.key(again))
    if (run / PLAN).exists():
        plan = read_plan(run)
        if plan.key != asked.key(again):
            raise PlanError(f"{run}: is another run by chance; {ADVICE}")
        return run, plan
    plans = [path for path in out.glob(f"run-*/{PLAN}") if path.parent != run]
    others = [path for path in plans if failed(path.parent) is None]
    if others and not new_run:
        raise PlanError(
            f"{out}: holds a run already, and not of the same: {asked.differs(others[0])}; name a "
            "new folder with -o, or add this run beside it with --new-run"
        )
    if is_held and run.exists():  # what a process left that was killed before its plan was made
        shutil.rmtree(run)
    run.mkdir(exist_ok=True)
    try:
        return run, make_plan(run, asked, again)
    except BaseException:
        if is_held and not (run / PLAN).exists():
            shutil.rmtree(run, ignore_errors=True)
        raise
