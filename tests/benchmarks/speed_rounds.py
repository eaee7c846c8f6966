"""Take times in turns, so that whatever else the machine does meets ours and the rival alike."""

import time
from collections.abc import Callable, Mapping
from typing import Any


def timed(task: Callable[[], Any]) -> float:
    """Return the seconds that a task takes."""
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def in_turns(tasks: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each task gave in each round, run A B A B ..."""
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            found[name].append(task())
    return found


def fastest(tasks: Mapping[str, Callable[[], float]]) -> str:
    """Return the name of the fastest task, the better of two tries each."""
    found = in_turns(tasks, 2)
    return min(found, key=lambda name: min(found[name]))
