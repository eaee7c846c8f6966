"""Workers that warm up while inputs are hashed and the plan is made: they begin at once, then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fintech_dl.errors import TemporaryError

if TYPE_CHECKING:
    from fintech_dl.scoring.local import Worker
    from fintech_dl.scoring.on_ray import Joining

# A shard of 30 columns has about so many bytes. Below two, a file is hashed and planned in less
# time than a worker takes to start, and by default one process scores it.
SHARD_BYTES = 32 * 2**20


@dataclass
class Standby:
    """What was started before there is a plan.

    Attributes
    ----------
    executor : {"local", "ray"}
    workers : int or None
        As asked for.
    waiting : list of Worker
        Processes without a run yet; whoever gives one a run takes it out.
    wanted : int
        How many processes are to wait when the plan is there.
    joining : Joining or None
        The connection to Ray, and its actors.
    ends : ExitStack
    """

    executor: str
    workers: int | None
    waiting: list[Worker] = field(default_factory=list)
    wanted: int = 0
    joining: Joining | None = None
    ends: ExitStack = field(default_factory=ExitStack)


@contextmanager
def standby(executor: str, workers: int | None) -> Iterator[Standby]:
    """Yield a place for early workers; whatever happens, none of them outlives it.

    Parameters
    ----------
    executor : {"local", "ray"}
    workers : int or None

    Examples
    --------
    >>> from fintech_dl.scoring.standby import begin, standby
    >>> with standby("local", 2) as early:
    ...     begin(early, 1_000)
    ...     print(early.waiting)
    []
    """
    early = Standby(executor, workers)
    with early.ends:
        yield early


def begin(early: Standby, n_bytes: int) -> None:
    """Start workers, if these bytes of input are worth them; return at once.

    A core is left to what hashes the input: `fill` starts the last one. What keeps them from
    starting is told where shards are scored.

    Parameters
    ----------
    early : Standby
    n_bytes : int
        Of the files that are to be scored.
    """
    shards = n_bytes // SHARD_BYTES
    if shards < 2:
        return
    if early.executor == "ray":
        from fintech_dl.scoring.on_ray import joining

        early.joining = early.ends.enter_context(joining(early.workers, early=shards))
        return
    if early.workers == 1:
        return
    from joblib import cpu_count

    number = min(early.workers or int(cpu_count()), shards)
    if number < 2:
        return
    from fintech_dl.scoring.local import dismiss

    early.wanted = number
    early.ends.callback(dismiss, early.waiting)
    fill(early, max(1, (os.cpu_count() or 1) - 1))


def fill(early: Standby, most: int | None = None) -> None:
    """Start the processes that are wanted and do not wait yet; return at once.

    Parameters
    ----------
    early : Standby
    most : int, optional
        How many may wait.
    """
    number = early.wanted if most is None else min(early.wanted, most)
    if not number:
        return
    from fintech_dl.scoring.local import start_worker

    with suppress(TemporaryError):
        while len(early.waiting) < number:
            early.waiting.append(start_worker())
