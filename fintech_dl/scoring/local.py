"""Shards scored on this machine: in this process, or in several that speak lines of JSON.

Nothing is pickled. A worker is started afresh (never forked), ends when its parent is gone, and is
replaced when it dies.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fintech_dl
from fintech_dl.errors import TemporaryError
from fintech_dl.scoring.workers import (
    ATTEMPTS,
    GRACE,
    ONE_THREAD,
    Result,
    Work,
    attempt,
    lost,
    rebuilt,
    settle,
    stalled,
)

if TYPE_CHECKING:
    from fintech_dl.scoring.plan import Plan

TICK = 1.0  # seconds between two looks at the watch
IDLE = 0.02  # seconds of a processor that a waiting thread may use meanwhile
LONGEST_LINE = 65_536
KILLED = {signal.SIGKILL: "; if nobody did that, the machine had no memory left"}

log = logging.getLogger("fintech_dl.scoring")


@dataclass(eq=False)
class Worker:
    """A process that scores one shard at a time.

    Attributes
    ----------
    process : Popen
    shard : int or None
        What it works on; None while it opens the artefact, and when it has nothing to do.
    waits : bool
        It was given no run yet.
    ready : bool
    rest : dict of str to bytes
        Of ``answers`` and ``log``, the line that has begun.
    """

    process: subprocess.Popen[bytes]
    shard: int | None = None
    waits: bool = True
    ready: bool = False
    rest: dict[str, bytes] = field(default_factory=lambda: {"answers": b"", "log": b""})


@dataclass
class Watch:
    """When something last moved, and how much processor time was used by then."""

    stall: float
    moved: float = field(default_factory=time.monotonic)
    used: float = 0.0


def run_here(run: Path, plan: Plan, work: Work, stall: float) -> None:
    """Score the shards of a job in this process.

    Raises
    ------
    FintechError
        As `run_shards`.
    """
    from fintech_dl.scoring.engine import open_engine

    engine = open_engine(run, plan)
    at: list[int] = []
    with _watched(at, stall) as moved:
        while work.todo:
            at[:] = [work.todo.popleft()]
            settle(work, attempt(engine, at[0]))
            moved()


def run_in_processes(
    run: Path, work: Work, workers: int, stall: float, waiting: list[Worker]
) -> None:
    """Score the shards of a job in processes of one thread each.

    Parameters
    ----------
    run : Path
    work : Work
    workers : int
    stall : float
        Seconds.
    waiting : list of Worker
        Those that were started before; they are taken out.

    Raises
    ------
    FintechError
        As `run_shards`.
    """
    dismiss(waiting, workers)
    crew: list[Worker] = []
    watch = Watch(stall)
    unready = 0
    with selectors.DefaultSelector() as selector:
        try:
            while work.todo or _in_work(crew):
                while len(crew) < min(workers, len(work.todo) + len(_in_work(crew))):
                    crew.append(_employed(waiting, run, selector))
                for worker in crew:
                    if worker.ready and worker.shard is None and work.todo:
                        _order(worker, work.todo.popleft())
                for key, _ in selector.select(min(TICK, stall / 4)):
                    worker, stream = key.data
                    if worker not in crew or _read(worker, stream, work, watch):
                        continue
                    if stream == "log":
                        selector.unregister(key.fileobj)
                        continue
                    crew.remove(worker)
                    unready = 0 if worker.ready else unready + 1
                    _buried(worker, work, selector, watch)
                    if unready >= ATTEMPTS:  # those that live, if any, do the rest
                        workers = len(crew)
                    if not workers:
                        raise TemporaryError(
                            f"{unready} workers in a row ended before they had opened the artefact "
                            f"(the last {_ended(worker)}); run it again with fewer --workers"
                        )
                _check(watch, sum(map(_used, crew)), _in_work(crew))
        finally:
            _end(crew)
            for worker in crew:
                _close(worker)


def _in_work(crew: Iterable[Worker]) -> list[int]:
    return [worker.shard for worker in crew if worker.shard is not None]


def start_worker() -> Worker:
    """Start a worker that finds the very modules that this process finds; it waits for a run.

    Raises
    ------
    TemporaryError
        The machine has no room for another process.
    """
    home = str(Path(fintech_dl.__file__).parents[1])
    path = [entry or os.getcwd() for entry in sys.path]
    env = {**os.environ, **ONE_THREAD}
    env["PYTHONPATH"] = os.pathsep.join(path if home in path else [*path, home])
    pipe = subprocess.PIPE
    # -P: nothing is imported of the folder that happens to be the current one
    words = [sys.executable, "-P", "-m", "fintech_dl.scoring.workers"]
    try:
        process = subprocess.Popen(words, env=env, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise TemporaryError(
            f"no worker can be started ({error.strerror}); run it again with fewer --workers"
        ) from error
    return Worker(process)


def dismiss(waiting: list[Worker], kept: int = 0) -> None:
    """End workers that wait for a run, but for so many."""
    surplus = waiting[kept:]
    del waiting[kept:]
    _end(surplus)
    for worker in surplus:
        _close(worker)


def _employed(waiting: list[Worker], run: Path, selector: selectors.BaseSelector) -> Worker:
    """Give the run to a worker that waits and lives, else to a new one."""
    while waiting and waiting[-1].process.poll() is not None:
        _close(waiting.pop())
    worker = waiting.pop() if waiting else start_worker()
    for stream, name in ((worker.process.stdout, "answers"), (worker.process.stderr, "log")):
        assert stream is not None
        os.set_blocking(stream.fileno(), False)
        selector.register(stream, selectors.EVENT_READ, (worker, name))
    worker.waits = False
    _send(worker, {"run": str(run.absolute())})
    return worker


def _order(worker: Worker, k: int) -> None:
    worker.shard = k
    _send(worker, {"shard": k})


def _send(worker: Worker, record: Result) -> None:
    assert worker.process.stdin is not None
    with suppress(OSError):  # it is gone: its answers end, too
        worker.process.stdin.write(json.dumps(record).encode() + b"\n")
        worker.process.stdin.flush()


def _read(worker: Worker, stream: str, work: Work, watch: Watch) -> bool:
    """Take what a worker said; False at its end."""
    pipe = worker.process.stdout if stream == "answers" else worker.process.stderr
    assert pipe is not None
    try:
        data = os.read(pipe.fileno(), LONGEST_LINE)
    except BlockingIOError:
        return True
    lines = (worker.rest[stream] + data).split(b"\n")
    worker.rest[stream] = lines.pop() if data else b""
    if stream == "log" and len(worker.rest[stream]) > LONGEST_LINE:
        lines.append(worker.rest[stream])
        worker.rest[stream] = b""
    for line in lines:
        if stream == "log":
            if text := line.decode(errors="replace").strip():
                log.warning("worker %d: %s", worker.process.pid, text)
        elif line:
            _answered(worker, json.loads(line), work, watch)
    return bool(data)


def _answered(worker: Worker, record: Result, work: Work, watch: Watch) -> None:
    watch.moved = time.monotonic()
    if "ready" in record:
        worker.ready = True
    elif "shard" in record:
        worker.shard = None
        settle(work, record)
    elif (error := rebuilt(record)) is not None:  # it could not open the artefact
        raise error
    else:
        log.warning("worker %d: %s", worker.process.pid, record["text"])


def _buried(worker: Worker, work: Work, selector: selectors.BaseSelector, watch: Watch) -> None:
    """See a worker off whose answers have ended, and book the shard that it had."""
    _end([worker])
    for _ in range(100):  # its last words
        if worker.process.stderr not in selector.get_map() or not _read(worker, "log", work, watch):
            break
    for pipe in (worker.process.stdout, worker.process.stderr):
        with suppress(KeyError):
            selector.unregister(pipe)  # type: ignore[arg-type]
    _close(worker)
    if worker.shard is not None:
        log.warning("shard %d: its worker %s", worker.shard, _ended(worker))
        lost(work, worker.shard, f"its worker {_ended(worker)}")


def _ended(worker: Worker) -> str:
    code = worker.process.returncode
    if code is None or code >= 0:
        return f"ended with code {code}"
    return f"was ended by {signal.Signals(-code).name}{KILLED.get(signal.Signals(-code), '')}"


def _end(crew: Iterable[Worker]) -> None:
    """End workers: those at work clear away what is half written; none outlives this call."""
    crew = list(crew)
    for worker in crew:
        if worker.waits or (worker.shard is None and worker.ready):
            worker.process.kill()  # it has done nothing, or what it did is committed
        else:
            worker.process.terminate()
    last = time.monotonic() + GRACE
    for worker in crew:
        try:
            worker.process.wait(max(0.0, last - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel: leave it there
                worker.process.wait(GRACE)


def _close(worker: Worker) -> None:
    for pipe in (worker.process.stdin, worker.process.stdout, worker.process.stderr):
        with suppress(OSError):
            pipe.close()  # type: ignore[union-attr]


def _used(worker: Worker) -> float:
    """Return the processor seconds of a worker's main thread, which scores; other threads wait."""
    pid = worker.process.pid
    try:
        stat = Path(f"/proc/{pid}/task/{pid}/stat").read_text()
    except OSError:
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _check(watch: Watch, used: float, shards: list[int]) -> None:
    """Raise TemporaryError when nothing has moved for too long."""
    now = time.monotonic()
    if abs(used - watch.used) > IDLE:  # less: a worker that had used some is gone
        watch.used, watch.moved = used, now
    if now - watch.moved > watch.stall:
        raise stalled(shards, watch.stall, "the workers stand still")


class _StandsStill(BaseException):
    """Ends a shard that stands still: no handler of errors may take it for the shard's own."""


@contextmanager
def _watched(at: list[int], stall: float) -> Iterator[Callable[[], None]]:
    """Interrupt this thread when it stands still; only a main thread can be.

    An alarm, not a thread: it also ends a system call that waits. Where somebody else uses the
    alarm, nothing is watched.
    """
    watch = Watch(stall)

    def moved() -> None:
        watch.moved = time.monotonic()

    def look(*_: Any) -> None:
        try:
            _check(watch, time.thread_time(), at)
        except TemporaryError:
            raise _StandsStill from None

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield moved
        return
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, stall / 4, stall / 4)
    try:
        yield moved
    except _StandsStill:
        raise stalled(at, stall, "scoring stands still") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
