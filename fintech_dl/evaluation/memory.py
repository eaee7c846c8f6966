"""How much memory a stretch of work takes."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

STATUS = Path("/proc/self/statm")
SECONDS = 0.02


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Yield a list that, at the end, holds the process's peak memory inside the block, in MB.

    Resident memory of this process, looked at fifty times a second; a shorter peak may be missed.
    Without ``/proc`` it is the peak since the process began.

    Examples
    --------
    >>> from fintech_dl.evaluation.memory import peak_memory
    >>> with peak_memory() as peak:
    ...     block = bytearray(50_000_000)
    >>> peak[0] > 50
    True
    """
    found: list[float] = []
    if not STATUS.exists():
        yield found
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    page = os.sysconf("SC_PAGE_SIZE") / 1e6
    highest, done = 0, Event()

    def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, int(STATUS.read_text().split()[1]))
            if done.wait(SECONDS):
                return

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        highest = max(highest, int(STATUS.read_text().split()[1]))
        done.set()
        thread.join()
        found.append(highest * page)
