"""From what was asked for to a plan that nothing changes any more."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fintech_dl import sealed
from fintech_dl.errors import DataError, OutputError, UsageError
from fintech_dl.records import nearest
from fintech_dl.scoring import store
from fintech_dl.scoring.commits import FOLDERS, REASONS
from fintech_dl.scoring.inputs import find_history, find_inputs
from fintech_dl.scoring.opened import Opened, open_artefact
from fintech_dl.scoring.plan import (
    PLAN,
    Landed,
    Original,
    Plan,
    Source,
    Stage,
    cut_shards,
    parse_plan,
    read_plan,
    run_key,
    to_bytes,
)

File = TypeVar("File", Source, Landed)
POLICIES = ("report", "quarantine", "fail")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run is made of.

    Attributes
    ----------
    opened : Opened
    originals : list of Original
    history : Original or None
    as_of : str or None
        As it was given.
    duplicates : str
    reasons : bool
    sink : dict
    """

    opened: Opened
    originals: list[Original]
    history: Original | None
    as_of: str | None
    duplicates: Any
    reasons: bool
    sink: dict[str, Any]

    @property
    def has_queries(self) -> bool:
        """Return whether an input is a query, whose rows may be others each time."""
        return any(one.query for one in self.originals)

    def key(self, again: int = 0) -> str:
        """Return the run's key."""
        return run_key(
            self.opened.seal,
            self.originals,
            self.history,
            self.as_of,
            self.duplicates,
            self.reasons,
            self.sink,
            again,
        )

    def differs(self, path: Path) -> str:
        """Return in words in what the plan of another run differs."""
        try:
            other = read_plan(path.parent)
        except DataError:
            return f"{path} is damaged"
        history = (other.history and other.history.sha256, self.history and self.history.sha256)
        pairs = {
            "the artefact": (other.artefact, self.opened.seal),
            "the input": (_bare(other.originals), _bare(self.originals)),
            "the history": history,
            "as_of": (other.as_of_given, self.as_of),
            "--duplicates": (other.duplicates, self.duplicates),
            "--reasons": (other.reasons, self.reasons),
            "the sink": (other.sink, self.sink),
        }
        names = [name for name, (theirs, ours) in pairs.items() if theirs != ours]
        return f"{', '.join(names) or 'its format'} differ{'' if len(names) > 1 else 's'}"


def ask(
    artefact: str | Path,
    inputs: str | Path | Sequence[str | Path],
    history: str | Path | None,
    as_of: Any,
    duplicates: str | None,
    reasons: bool,
    sink: dict[str, Any],
    begin: Callable[[int], None] | None = None,
) -> Asked:
    """Return what is wanted, after the artefact was checked and every input was hashed.

    Parameters
    ----------
    artefact, inputs, history, as_of, duplicates, reasons, sink
        As ``jobs.score_files``.
    begin : callable, optional
        Called with the bytes of all files before the first is hashed; not where features are made
        of all rows first, which takes longer than a worker takes to start.

    Raises
    ------
    ArtefactError, DataError, UsageError, TemporaryError
        As ``jobs.score_files``.
    """
    if duplicates is not None and duplicates not in POLICIES:
        raise UsageError(f"--duplicates: got {duplicates!r}; {nearest(duplicates, list(POLICIES))}")
    opened = open_artefact(artefact)
    if opened.pipeline.history and history is None:
        raise opened.no_history()
    _check_capacity(opened)
    if reasons:
        from fintech_dl.scoring.reasons import check_reasons

        check_reasons(opened)
    named = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    return Asked(
        opened=opened,
        originals=find_inputs(named, begin if stage_of(opened, history) == "rows" else None),
        history=None if history is None else find_history(history),
        as_of=None if as_of is None else str(as_of),
        duplicates=duplicates or opened.dataset.contract.duplicates,
        reasons=reasons,
        sink=sink,
    )


def stage_of(opened: Opened, history: object) -> Stage:
    """Return whether rows can be scored each for itself, or features are made of all of them."""
    card, dataset = opened.pipeline, opened.dataset
    learns = card.forecast is not None and card.forecast.intervals is not None
    alone = (
        card.table.get("use") == "rows.as_they_are"
        and history is None
        and not (card.history or learns or dataset.contract.asset)
        and dataset.source.melt is None
    )
    return "rows" if alone else "features"


def run_folder(out: Path, key: str) -> Path:
    """Return the folder of a run of this key."""
    return out / f"run-{key[:12]}"


def make_plan(run: Path, asked: Asked, again: int = 0) -> Plan:
    """Land what is no Parquet, and write the plan, or read the one that another has made.

    Parameters
    ----------
    run : Path
        The run's folder, which exists.
    asked : Asked
    again : int
        As ``plan.run_key``.

    Returns
    -------
    Plan

    Raises
    ------
    DataError, UsageError, PlanError, TemporaryError, OutputError
        As ``preparing.prepare``.
    OSError
        The folder cannot be written.
    """
    from fintech_dl.scoring.preparing import prepare

    for name in FOLDERS:
        if name != REASONS or asked.reasons:
            (run / name).mkdir(exist_ok=True)
    place = run / f"landing-{store.attempt()}"
    place.mkdir()
    try:
        prepared = prepare(
            asked.opened,
            place,
            asked.originals,
            history=asked.history,
            as_of=asked.as_of,
            duplicates=asked.duplicates,
            reasons=asked.reasons,
        )
        landed = f"landed-{place.name[-8:]}"
        if (place / "landed").exists():
            os.rename(place / "landed", run / landed)
    except OutputError as error:  # the folder that was asked for is the one to name
        raise type(error)(str(error).replace(str(place), str(run.parent))) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sources = [_moved(source, landed) for source in prepared.sources]
    opened = asked.opened
    plan = Plan(
        key=asked.key(again),
        artefact=opened.seal,
        artefact_path=str(Path(opened.folder).absolute()),
        pipeline=opened.pipeline.name,
        dataset=opened.dataset.name,
        originals=asked.originals,
        history=asked.history,
        sources=sources,
        shards=cut_shards(sources),
        stage=prepared.stage,
        as_of=prepared.as_of,
        as_of_given=asked.as_of,
        duplicates=asked.duplicates,
        repeated=prepared.repeated and _moved(prepared.repeated, landed),
        reasons=asked.reasons,
        sink=asked.sink,
        versions={"python": platform.python_version(), **sealed.installed_versions()},
        landed_quarantine=prepared.landed_quarantine and _moved(prepared.landed_quarantine, landed),
        schema_sha256=prepared.schema_sha256,
        ignored_columns=prepared.ignored_columns,
        facts={**prepared.facts, "time": opened.dataset.contract.time},
    )
    store.sync_folder(run)
    store.sync_folder(run.parent)
    data = to_bytes(plan)
    if store.create(run / PLAN, data, "plan"):
        return parse_plan(data, run / PLAN)
    shutil.rmtree(run / landed, ignore_errors=True)  # another process was first
    return read_plan(run)


def _moved(one: File, folder: str) -> File:
    """Return where a file is that was landed; one landing never writes over another's."""
    path = Path(one.path)
    return one if path.is_absolute() else replace(one, path=f"{folder}/{path.name}")


def _check_capacity(opened: Opened) -> None:
    """Refuse a rule by the day whose day the scores do not hold."""
    decision, table = opened.pipeline.decision, opened.pipeline.table
    if decision is None or decision.rule != "capacity":
        return
    time = opened.dataset.contract.time
    if not time or table.get("when", time) != time:
        raise UsageError(
            f'pipeline {opened.pipeline.name!r} has decision.rule = "capacity", which needs the '
            "day of each row: let contract.time of its dataset be the time of its table"
        )


def _bare(originals: list[Original]) -> list[tuple[Any, ...]]:
    return [(one.name, one.bytes, one.sha256, one.query) for one in originals]
