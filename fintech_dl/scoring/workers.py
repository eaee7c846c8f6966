"""Shards shared out to workers: who does what, what failed, and the main of a worker process.

``python -m fintech_dl.scoring.workers`` takes lines of JSON: a run's folder, which decides all that
it does, then shard numbers, and answers each with a line. Here nothing heavy is imported before it
is used; a worker imports it while it waits for the run.
"""

from __future__ import annotations

import json
import math
import os
import queue
import select
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fintech_dl import errors
from fintech_dl.errors import (
    NO_ROOM,
    DiskFullError,
    FintechError,
    TemporaryError,
    UsageError,
    not_written,
    require,
)

if TYPE_CHECKING:
    from fintech_dl.scoring.plan import Plan
    from fintech_dl.scoring.standby import Standby

EXECUTORS = ("local", "ray")
ATTEMPTS = 3  # of one shard, whatever ends them
STALL = 600.0  # seconds without a shard done and without work of a processor
FEW_ROWS = 500_000  # below, a second process costs more than it brings
GRACE = 5.0  # seconds that a worker has to clear away its temporary files
POOLS = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
ONE_THREAD = {f"{pool}_THREADS": "1" for pool in POOLS}

Result = dict[str, Any]
Progress = Callable[[Mapping[str, Any]], None]


@dataclass
class Work:
    """The shards of a job: those left, and those given up.

    Attributes
    ----------
    todo : deque of int
    attempts : Counter
        Attempts that failed, by shard.
    failed : dict of int to str
        Shards given up after ``ATTEMPTS``, with what was said last.
    progress : callable
        Called with the result of each shard that is done.
    """

    todo: deque[int]
    attempts: Counter[int] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    progress: Progress = field(default_factory=lambda: lambda result: None)


def run_shards(
    run: Path,
    plan: Plan,
    todo: Sequence[int],
    *,
    workers: int | None = None,
    executor: str = "local",
    progress: Progress | None = None,
    stall: float = STALL,
    early: Standby | None = None,
) -> dict[int, str]:
    """Score shards of a plan, here, in processes of this machine or on Ray.

    Each shard commits by itself: whatever ends this call, what is committed stays, and the same
    call with the rest goes on. The rows and the commits' content do not depend on the executor.

    Parameters
    ----------
    run : Path
        The run folder, with its plan.
    plan : Plan
    todo : sequence of int
        Numbers of the shards without a commit.
    workers : int, optional
        One scores in this process (but on Ray). Default: `default_workers`.
    executor : {"local", "ray"}
    progress : callable, optional
        Called with a dict for each shard done: ``shard``, ``rows_in``, ``scored``, ``quarantined``.
    stall : float
        Seconds after which a job that finishes no shard and uses no processor is given up.
    early : Standby, optional
        Workers that were started before the plan was made; its owner ends those that are left.

    Returns
    -------
    dict of int to str
        The shards that failed three times, with the reason; empty when all are done.

    Raises
    ------
    UsageError
        An unknown executor, a wrong number of workers, or more than the cluster has.
    NotInstalledError
        ``executor="ray"`` without Ray.
    DataError, PlanError, ArtefactError
        What no other attempt can mend: the first such error of any shard.
    DiskFullError, TemporaryError
        No room; workers that cannot start; or a stall, with the shards in work.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.workers import run_shards
    >>> run_shards(Path("scores/run-3fa9c1d20b77"), None, [])
    {}
    """
    check_executor(executor, workers, stall)
    work = Work(deque(todo))
    if progress is not None:
        work.progress = progress
    if not work.todo:
        return {}
    if executor == "ray":
        from fintech_dl.scoring.on_ray import run_on_ray

        run_on_ray(run, work, workers, stall, early.joining if early else None)
        return work.failed
    from fintech_dl.scoring.local import dismiss, run_here, run_in_processes

    waiting = early.waiting if early else []
    workers = min(workers or default_workers(plan), len(work.todo))
    if workers == 1:
        dismiss(waiting)
        run_here(run, plan, work, stall)
    else:
        run_in_processes(run, work, workers, stall, waiting)
    return work.failed


def check_executor(executor: str, workers: int | None, stall: float | None) -> None:
    """Refuse what `run_shards` would refuse, before hours of planning.

    Raises
    ------
    UsageError
        An unknown executor, or a number out of range.
    NotInstalledError
        ``executor="ray"`` without Ray.

    Examples
    --------
    >>> from fintech_dl.scoring.workers import check_executor
    >>> check_executor("local", 2, None)
    """
    if executor not in EXECUTORS:
        raise UsageError(f"executor: got {executor!r}, allowed: {', '.join(EXECUTORS)}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers: got {workers}, expected a number of processes, 1 or more")
    if stall is not None and not 0 < stall < math.inf:
        raise UsageError(f"stall: got {stall}, expected a number of seconds above 0")
    if executor == "ray":
        require("ray", "ray")


def default_workers(plan: Plan) -> int:
    """Return how many processes a plan is worth on this machine: one per core, one for few rows.

    Cores are those that this process may use: its affinity and its container's share count.
    """
    if plan.rows() < FEW_ROWS:
        return 1
    from joblib import cpu_count

    return max(1, min(int(cpu_count()), len(plan.shards)))


def warm_up() -> None:
    """Import what it takes to score shards by a graph."""
    import onnxruntime  # noqa: F401

    import fintech_dl.scoring.engine  # noqa: F401


def attempt(engine: Any, k: int) -> Result:
    """Score one shard; return what came of it as plain data, an error included."""
    from fintech_dl.scoring.engine import score_shard

    try:
        commit = score_shard(engine, k)
    except Exception as error:
        return {"shard": k, **told(error)}
    counts = {"rows_in": commit.rows_in, "scored": commit.scored}
    return {"shard": k, **counts, "quarantined": commit.quarantined}


def settle(work: Work, result: Result) -> None:
    """Book what came of a shard: done, to be tried again, given up; or end the job.

    Raises
    ------
    FintechError
        As it was raised where the shard was scored, if another attempt would end alike.
    """
    if "text" not in result:
        work.progress(result)
        return
    if (error := rebuilt(result)) is not None and (
        isinstance(error, DiskFullError) or not isinstance(error, TemporaryError)
    ):
        raise error
    lost(work, result["shard"], result["text"])


def lost(work: Work, k: int, why: str) -> None:
    """Book an attempt that came to nothing: the shard is tried again after the others."""
    work.attempts[k] += 1
    if work.attempts[k] < ATTEMPTS:
        work.todo.append(k)
    else:
        work.failed[k] = why


def told(error: Exception) -> Result:
    """Return an error as plain data; `rebuilt` makes it again in another process."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        error = not_written("the scores", error, "what is committed stays")
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__]
    if kinds:
        return {"error": kinds[0], "text": str(error)}
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return {"error": "", "text": f"{type(error).__name__}: {error}{where}"}


def rebuilt(result: Result) -> FintechError | None:
    """Return the error that `told` wrote down; None where it is none of ours."""
    kind = getattr(errors, result["error"], None) if result["error"] else None
    return kind(result["text"]) if kind is not None else None


def stalled(shards: Sequence[int], seconds: float, who: str) -> TemporaryError:
    """Return the error of a job that stands still."""
    numbers = ", ".join(map(str, sorted(shards))) or "none was begun"
    return TemporaryError(
        f"{who}: no shard was finished and no processor used for {seconds:g} seconds (shards in "
        f"work: {numbers}); look at the disk, the network and the cluster, then run it again: what "
        "is committed stays"
    )


def main() -> None:
    """Score shards of the run that the parent names on stdin, until it closes it or is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints is no answer
    warnings.showwarning = _warned
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, os.getppid()), daemon=True).start()

    def answer(record: Result) -> None:
        print(json.dumps(record), file=answers, flush=True)

    try:
        warm_up()
        if (order := orders.get()) is None:
            return
        from fintech_dl.scoring.engine import open_engine
        from fintech_dl.scoring.plan import read_plan

        run = Path(order["run"])
        engine = open_engine(run, read_plan(run))
    except Exception as error:
        answer(told(error))
        return
    answer({"ready": os.getpid()})
    while (order := orders.get()) is not None:
        answer(attempt(engine, int(order["shard"])))


def _listen(orders: queue.SimpleQueue[dict[str, Any] | None], parent: int) -> None:
    """Hand on the parent's lines; end this process within seconds of the parent's end."""
    rest = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], 1.0)[0]:
            continue
        if not (data := os.read(0, 65536)):
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            orders.put(json.loads(line))
    orders.put(None)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)  # still at work: clear away what is half written
    time.sleep(GRACE)
    os._exit(143)


def _warned(message: Warning | str, *where: Any, **more: Any) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
