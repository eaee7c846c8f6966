"""Shards scored by Ray actors: on a cluster that runs already, or on one started for the job.

Ray schedules; that no row is lost or doubled is the work of our commits. Only shard numbers and
lines of JSON cross between processes.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fintech_dl.errors import TemporaryError, UsageError
from fintech_dl.scoring.clusters import cluster, heeding
from fintech_dl.scoring.workers import (
    ONE_THREAD,
    Work,
    attempt,
    lost,
    settle,
    stalled,
    told,
    warm_up,
)

TICK = 5.0  # seconds between two looks at the watch
BREATH = 0.5  # seconds within which a signal is heeded
IDLE = 0.02  # seconds of a processor that is no work
log = logging.getLogger("fintech_dl.scoring")


class _ShardScorer:
    """The actor: opens the artefact once, scores one shard after the other."""

    def __init__(self) -> None:
        os.environ.update(ONE_THREAD)
        self.engine: Any = None
        self.thread: int | None = None
        with suppress(Exception):  # told where a shard is to be scored
            warm_up()

    def score(self, run: str, k: int) -> str:
        """Score one shard of a run in storage that every node sees; return a line of JSON."""
        self.thread = threading.get_ident()
        if self.engine is None:
            try:
                self.engine = _open(Path(run))
            except Exception as error:
                return json.dumps({"shard": k, **told(error)})
        return json.dumps(attempt(self.engine, k))

    def used(self) -> float:
        """Return the processor seconds of the thread that scores, while it does."""
        if self.thread is None:
            return 0.0
        return time.clock_gettime(time.pthread_getcpuclockid(self.thread))


class BatchScorer:
    """Score batches with an artefact, for ``ray.data.Dataset.map_batches``.

    For those who own a Ray Data pipeline; it opens the artefact once per actor. Ray may run a batch
    twice when a node dies, so rows can be doubled (at least once), and nothing counts them;
    ``score_files`` with ``executor="ray"`` writes each row exactly once.

    Parameters
    ----------
    artefact : str or Path
        The folder ``artefact`` of a run, on storage that every node sees.

    Raises
    ------
    ArtefactError
        The artefact is incomplete, changed or not trusted.
    UsageError
        Its card needs a history: score such rows with ``score_files``.

    Examples
    --------
    ``dataset.map_batches(BatchScorer, fn_constructor_args=[folder], batch_format="numpy",
    compute=ray.data.ActorPoolStrategy(size=2))``

    >>> from fintech_dl.scoring.on_ray import BatchScorer
    >>> BatchScorer("reports/runs/none/artefact")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.ArtefactError: reports/runs/none/artefact: ...
    """

    def __init__(self, artefact: str | Path) -> None:
        from fintech_dl.scoring.frames import Loaded
        from fintech_dl.scoring.opened import open_artefact

        self.opened = open_artefact(artefact)
        if self.opened.pipeline.history:
            raise self.opened.no_history()
        self.loaded = Loaded(self.opened, False)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the scores of a batch: of each row that keeps the contract, as ``score`` does.

        Parameters
        ----------
        batch : mapping of str to array of shape (n_rows,)
            The columns of the pipeline's dataset.

        Returns
        -------
        dict of str to array
            The columns that ``fintech_dl.score`` gives. Rows that break the contract are left out,
            and counted in the log.

        Raises
        ------
        DataError
            A column is missing, or too many rows break the contract.
        """
        import pandas as pd

        from fintech_dl.data.frames import read_rows

        now = pd.Timestamp.now("UTC")
        rows = read_rows(pd.DataFrame(dict(batch)), self.opened.dataset, as_of=now)
        scores, done = self.loaded.score(rows, None)
        if aside := len(done.quarantined):
            first = done.quarantined["reason"].iloc[0]
            log.warning("%d rows break the contract, not scored; the first: %s", aside, first)
        return {name: scores[name].to_numpy() for name in scores.columns}


@dataclass
class Crew:
    """Actors, what they work on, and when something last moved.

    Attributes
    ----------
    ray : module
        Connected.
    most : int
        Actors that there may be.
    hire : callable
        Creates an actor and returns its handle at once.
    idle : list of actor handles
    busy : dict of reference to (actor handle, int)
        The answer awaited, of whom, on which shard.
    asked : dict of int to reference
        Processor seconds asked for and not told yet, by shard.
    used : dict of int to float
        What was told last.
    moved : float
    """

    ray: Any
    most: int
    hire: Callable[[], Any]
    idle: list[Any] = field(default_factory=list)
    busy: dict[Any, tuple[Any, int]] = field(default_factory=dict)
    asked: dict[int, Any] = field(default_factory=dict)
    used: dict[int, float] = field(default_factory=dict)
    moved: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Joining:
    """A connection that is being made in a thread of its own.

    Attributes
    ----------
    crew : Future of Crew
        Its result raises what has kept it from coming about.
    leave : callable
        Ends actors and connection, also where it is still being made; returns a Future at once.
    """

    crew: Future[Crew]
    leave: Callable[[], Future[None]]


@contextmanager
def joining(workers: int | None, *, shards: int | None = None, early: int = 0) -> Iterator[Joining]:
    """Join or start a cluster in the background; leave it at the end, whatever happens.

    Parameters
    ----------
    workers : int or None
        As `run_on_ray`.
    shards : int or None
        How many there are, if that is known.
    early : int
        Actors that warm up at once, at most.
    """
    with ThreadPoolExecutor(1, "ray") as thread:
        ends = ExitStack()
        joined = thread.submit(lambda: ends.enter_context(_crew(workers, shards, early)))
        joins = Joining(joined, lambda: thread.submit(ends.close))
        try:
            yield joins
        finally:
            with heeding():
                joins.leave().result()


@contextmanager
def _crew(workers: int | None, shards: int | None, early: int) -> Iterator[Crew]:
    with cluster(workers, shards) as (ray, most):
        actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, max_concurrency=2)(
            _ShardScorer
        )
        crew = Crew(ray, most, actor.remote)
        try:
            crew.idle += [crew.hire() for _ in range(min(early, most))]
            yield crew
        finally:
            for one in (*crew.idle, *(one for one, _ in crew.busy.values())):
                with suppress(Exception):
                    ray.kill(one)


def run_on_ray(
    run: Path, work: Work, workers: int | None, stall: float, early: Joining | None
) -> None:
    """Score the shards of a job by actors of one processor each.

    Parameters
    ----------
    run : Path
    work : Work
    workers : int or None
        Actors; None: one per processor, at most one per shard.
    stall : float
        Seconds.
    early : Joining or None
        The connection, where it was begun before the plan was made.

    Raises
    ------
    UsageError
        The cluster has fewer processors, or cannot be used.
    TemporaryError
        The cluster does not answer, cannot be started, has lost every node, or stands still.
    FintechError
        As `run_shards`.
    """
    shards = len(work.todo)
    with nullcontext(early) if early else joining(workers, shards=shards) as joins:
        crew = joins.crew.result()
        try:
            with heeding() as heed:
                _share_out(crew, run, work, stall, heed)
        finally:
            joins.leave()  # while the manifest is written


def _share_out(crew: Crew, run: Path, work: Work, stall: float, heed: Callable[[], None]) -> None:
    most, folder = min(crew.most, len(work.todo)), str(run.absolute())
    crew.moved = looked = time.monotonic()
    while work.todo or crew.busy:
        heed()
        while work.todo and len(crew.busy) < most:
            one = crew.idle.pop() if crew.idle else crew.hire()
            k = work.todo.popleft()
            crew.busy[one.score.remote(folder, k)] = (one, k)
        done, _ = crew.ray.wait(list(crew.busy), timeout=min(BREATH, stall / 8))
        for answer in done:
            _take(crew, answer, work)
        if time.monotonic() - looked > min(TICK, stall / 4):
            _check(crew, stall)
            looked = time.monotonic()


def _open(run: Path) -> Any:
    from fintech_dl.scoring.engine import open_engine
    from fintech_dl.scoring.plan import read_plan

    if not run.is_dir():
        raise UsageError(
            f"{run}: is not there on node {socket.gethostname()}; on a cluster the artefact, the "
            "input and the folder of -o must lie on storage that every node sees"
        )
    return open_engine(run, read_plan(run))


def _take(crew: Crew, answer: Any, work: Work) -> None:
    """Book an answer, or the loss of the actor that owed it: another one takes its place."""
    ray = crew.ray
    one, k = crew.busy.pop(answer)
    crew.asked.pop(k, None)
    crew.moved = time.monotonic()
    try:
        result = json.loads(ray.get(answer))
    except ray.exceptions.RayError as error:
        why = (str(error).strip().splitlines() or [""])[0]
        with suppress(Exception):
            ray.kill(one)
        log.warning("shard %d: its actor was lost: %s", k, why)
        lost(work, k, f"its actor was lost ({type(error).__name__}: {why})")
        return
    crew.idle.append(one)
    settle(work, result)


def _check(crew: Crew, stall: float) -> None:
    """Raise TemporaryError when no actor has worked for too long, or there is no node left."""
    ray = crew.ray
    for one, k in crew.busy.values():
        if k not in crew.asked:
            crew.asked[k] = one.used.remote()
    ready, _ = ray.wait(list(crew.asked.values()), num_returns=len(crew.asked), timeout=0.2)
    for k in [k for k, answer in crew.asked.items() if answer in ready]:
        with suppress(ray.exceptions.RayError):
            used = ray.get(crew.asked.pop(k))
            if abs(used - crew.used.get(k, 0.0)) > IDLE:
                crew.used[k], crew.moved = used, time.monotonic()
    if not ray.cluster_resources().get("CPU"):
        raise TemporaryError(
            "the Ray cluster has lost its last node; run it again: what is committed stays"
        )
    if time.monotonic() - crew.moved > stall:
        raise stalled([k for _, k in crew.busy.values()], stall, "the Ray cluster stands still")
