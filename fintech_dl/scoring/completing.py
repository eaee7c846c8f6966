"""From a plan to published scores: shards, checks, manifest, pointer, delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fintech_dl.errors import ArtefactError, DataError, NothingToDo, TemporaryError
from fintech_dl.scoring.audit import check_published, repair
from fintech_dl.scoring.manifest import MANIFEST, finish, read_manifest
from fintech_dl.scoring.opened import Opened
from fintech_dl.scoring.plan import Plan
from fintech_dl.scoring.sinks import deliver
from fintech_dl.scoring.status import FAILED, published
from fintech_dl.scoring.store import replace, to_json

if TYPE_CHECKING:
    from fintech_dl.scoring.standby import Standby

Tell = Callable[[str, float], None]
SHOWN = 10  # shards named in an error text
TOTALS: tuple[str, ...] = ("rows", "scored", "quarantined", "alerts", "reasons")
TOTALS += ("quarantine_reasons", "quarantine_examples")
SAME = "run the same again"

log = logging.getLogger("fintech_dl.scoring")


@dataclass(frozen=True)
class Scores:
    """What scoring files came to: the folder, and counts for a night job's log.

    Attributes
    ----------
    folder : Path
        What `read_scores` takes.
    summary : dict
        ``run``, ``rows``, ``scored``, ``quarantined``, ``alerts`` and more, as ``--json`` prints.
    """

    folder: Path
    summary: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class How:
    """How shards are executed; it changes no result.

    Attributes
    ----------
    workers : int or None
    executor : {"local", "ray"}
    stall : float or None
        Seconds without progress after which a job gives up.
    tell : callable or None
        Called with what is done, and the share of the rows.
    early : Standby or None
        Workers that are warm already.
    """

    workers: int | None = None
    executor: str = "local"
    stall: float | None = None
    tell: Tell | None = None
    early: Standby | None = None


def complete(run: Path, plan: Plan, opened: Opened, how: How) -> Scores:
    """Do what is left of a run: shards, manifest, pointer, delivery.

    Parameters
    ----------
    run : Path
        The run's folder; its parent is locked.
    plan : Plan
    opened : Opened
    how : How

    Returns
    -------
    Scores

    Raises
    ------
    NothingToDo
        All of it was done before.
    DataError, PlanError, ArtefactError, TemporaryError, OutputError
        As ``jobs.score_files``.
    OSError
        The folder cannot be written.
    """
    is_new = not (run / MANIFEST).exists()
    was_read = published(run.parent) == run.name
    contract, decision = opened.dataset.contract, opened.pipeline.decision
    if is_new:
        with _told_to_the_next(run):
            _execute(run, plan, how)
            manifest = finish(run, plan, contract.max_quarantined, decision)
    else:
        check_published(run, plan)
        manifest = finish(run, plan, contract.max_quarantined, decision)
    delivered = deliver(run, manifest, plan.sink)
    if not is_new and was_read and not delivered.get("delivered"):
        raise NothingToDo(
            f"nothing to do: {run.parent} holds the scores of exactly these inputs, this artefact "
            "and these settings; remove it to have them made again"
        )
    return Scores(folder=run.parent, summary=summary_of(run, manifest, delivered))


@contextmanager
def _told_to_the_next(run: Path) -> Iterator[None]:
    """Note what no further attempt can mend: such a run keeps nobody from the next one."""
    (run / FAILED).unlink(missing_ok=True)
    try:
        yield
    except (DataError, ArtefactError) as error:
        if not isinstance(error, TemporaryError):
            with suppress(OSError):
                replace(run / FAILED, to_json({"error": str(error)}))
        raise


def _execute(run: Path, plan: Plan, how: How) -> None:
    todo, broken = repair(run, plan)
    if broken:
        told = "%d files were damaged and are made anew; the first was set aside as %s"
        log.warning(told, len(broken), broken[0])
    tell = how.tell or (lambda text, share: None)
    left = dict.fromkeys(todo)
    total = max(1, plan.rows())

    def progress(result: Mapping[str, Any]) -> None:
        left.pop(int(result["shard"]), None)
        done = total - sum(map(plan.rows_of, left))
        shards = len(plan.shards) - len(left)
        tell(
            f"scored {done:,} of {total:,} rows, {shards} of {len(plan.shards)} shards",
            done / total,
        )

    if not todo:
        return
    from fintech_dl.scoring.workers import STALL, run_shards

    failed = run_shards(
        run,
        plan,
        todo,
        workers=how.workers,
        executor=how.executor,
        progress=progress,
        stall=how.stall or STALL,
        early=how.early,
    )
    if failed:
        numbers = sorted(failed)
        listed = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
        raise TemporaryError(
            f"{run}: {len(failed)} of {len(plan.shards)} shards failed ({listed}); shard "
            f"{numbers[0]}: {failed[numbers[0]]}. The others are kept: {SAME}, or fintech-dl "
            f"resume {run.parent}"
        )


def summary_of(
    run: Path, manifest: Mapping[str, Any] | None = None, delivered: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a finished run came to, as ``--json`` prints it.

    Raises
    ------
    DataError
        The manifest is missing or damaged.
    """
    manifest = read_manifest(run)[0] if manifest is None else manifest
    history = manifest["facts"].get("history")
    if history is not None and not isinstance(history, Mapping):
        raise DataError(f"{run / MANIFEST}: its history is {history!r}")
    return {
        "run": run.name,
        **{name: manifest[name] for name in ("pipeline", "artefact", "created", "as_of")},
        "files": len(manifest["inputs"]),
        "shards": len(manifest["shards"]),
        **{name: manifest["totals"][name] for name in TOTALS},
        "duplicates": manifest["duplicates"],
        "history": history,
        "intervals": manifest["facts"].get("intervals"),
        "delivered": dict(delivered or {}),
    }
