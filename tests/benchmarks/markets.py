"""Markets: simple forecasts, ours, and noise, by the protocols of published comparisons.

Run in the repository with FINTECH_DL_DATA set:

    python tests/benchmarks/markets.py                 # every job that is not done yet
    python tests/benchmarks/markets.py sp500-rv noise  # of these parts
    python tests/benchmarks/markets.py ranking --methods "ridge; MLP, IC" --seeds 0,1
    python tests/benchmarks/markets.py --plan          # jobs left, and the minutes they will take
    python tests/benchmarks/markets.py --table         # write the dated results of what is done

A job is one method at one horizon with one seed, or one of the fits by which it moves through time.
What is done is kept in ``reports/benchmarks/markets/``, so that a second start goes on where the
first was stopped.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from types import ModuleType

import markets_exchange
import markets_noise
import markets_ranking
import markets_state
import markets_table
import markets_variance
from markets_state import STATE, Job
from progress import told

PARTS: dict[str, ModuleType] = {
    "sp500-rv": markets_variance,
    "indices": markets_variance,
    "exchange": markets_exchange,
    "ranking": markets_ranking,
    "noise": markets_noise,
}


def jobs(
    parts: Sequence[str] = (), methods: Sequence[str] = (), seeds: Sequence[int] = ()
) -> Iterator[Job]:
    """Yield the selected jobs; nothing given selects everything."""
    for part in parts or PARTS:
        for job in PARTS[part].jobs(part):
            if (not methods or job.method in methods) and (not seeds or job.seed in seeds):
                yield job


def left(asked: Sequence[Job], folder: Path) -> list[Job]:
    """Return the jobs that are not done yet."""
    done = {part: markets_state.done(part, folder) for part in {job.part for job in asked}}
    return [job for job in asked if job not in done[job.part]]


def plan(todo: Sequence[Job], folder: Path) -> list[str]:
    """Return what is left per part and method, and the minutes it will take.

    A job takes as long as those of its method and horizon did, or else of its method.
    """
    took: dict[tuple[str, str, int | None], list[float]] = {}
    for part in PARTS:
        for job, line in markets_state.done(part, folder).items():
            for horizon in (job.horizon, None):
                took.setdefault((part, job.method, horizon), []).append(line["seconds"])
    groups: dict[tuple[str, str], list[float | None]] = {}
    for job in todo:
        keys = [(job.part, job.method, horizon) for horizon in (job.horizon, None)]
        known = next((mean(took[key]) for key in keys if key in took), None)
        groups.setdefault((job.part, job.method), []).append(known)
    lines = [f"{part}, {method}: {told(several)}" for (part, method), several in groups.items()]
    return [*lines, f"in all {told([s for several in groups.values() for s in several])}"]


def run(todo: Sequence[Job], folder: Path, hours: float = float("inf")) -> None:
    """Run jobs and keep what they measure; none starts after ``hours``."""
    began = time.perf_counter()
    for number, job in enumerate(todo, 1):
        if time.perf_counter() - began > hours * 3600:
            print(f"{hours:g} h are over; {len(todo) - number + 1} jobs are left")
            break
        print(f"[{number}/{len(todo)}] {job}: ", end="", flush=True)
        load, started = os.getloadavg()[0], time.perf_counter()
        line = PARTS[job.part].measure(job)
        took = round(time.perf_counter() - started, 2)
        markets_state.keep(job, {**line, "seconds": took, "load": round(load, 2)}, folder)
        print(f"{took} s", flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = {job.method for job in jobs()}

    def part(text: str) -> str:
        if text not in PARTS:
            raise argparse.ArgumentTypeError(f"{text}: allowed are {', '.join(PARTS)}")
        return text

    def several(text: str) -> list[str]:
        names = [name.strip() for name in text.split(";")]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(
                f"{'; '.join(unknown)}: allowed are {'; '.join(sorted(known))}"
            )
        return names

    parser.add_argument("parts", nargs="*", type=part, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--methods", type=several, default=[], help="titles, with ; between them")
    parser.add_argument(
        "--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[]
    )
    parser.add_argument("--hours", type=float, default=float("inf"), help="start no job after")
    parser.add_argument("--again", action="store_true", help="selected jobs anew")
    parser.add_argument("--plan", action="store_true", help="tell what is left, and run nothing")
    parser.add_argument("--table", action="store_true", help="write the results of what is done")
    parser.add_argument("--state", type=Path, default=STATE, help="folder of what is done")
    return parser.parse_args(words)


def main() -> None:
    given = arguments()
    asked = list(jobs(given.parts, given.methods, given.seeds))
    todo = asked if given.again else left(asked, given.state)
    if given.plan:
        print("\n".join(plan(todo, given.state)))
    elif given.table:
        for path in markets_table.write(given.parts or list(PARTS), given.state):
            print(path)
    else:
        run(todo, given.state, given.hours)


if __name__ == "__main__":
    main()
