"""Credit default: our methods beside tuned rivals, on the same folds of six protocols.

Run in the repository with FINTECH_DL_DATA set; needs the extras ``bench`` and ``search``:

    python tests/benchmarks/credit.py                     # every job that is not done yet
    python tests/benchmarks/credit.py --data taiwan --methods mlp,lightgbm --folds 0 --seeds 0
    python tests/benchmarks/credit.py --plan              # jobs left, and the hours they will take
    python tests/benchmarks/credit.py --table             # the dated result; --readme: its summary

A job is one method on one fold with one seed, or the tuning of a method on the training rows of
fold 0, as ours was tuned; each runs in a process of its own. What is done is kept in
``reports/benchmarks/credit/``, so that a second start goes on where the first was stopped, within a
tuning too. The scores of test rows, which paired tests need, are kept in ``--predictions``;
``--rebuild`` makes those again that are not there. A job whose settings (those of its pipeline
card, and ours) have changed since counts as not done; its old line stays in the file.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from subprocess import PIPE
from tempfile import TemporaryFile
from typing import Any

import credit_state
import credit_table
from credit_data import CARDS, PROTOCOLS, REPEATED, SIZES
from credit_job import libraries, module
from credit_ours import OURS, members
from credit_rivals import ONE_SEED, RIVALS
from credit_state import STATE, Job
from credit_tuning import SPACES, TRIALS
from progress import slug

from fintech_dl.folders import cache

METHODS = [*RIVALS, *SPACES, *OURS]
SEEDS = (0, 1, 2)
THREADS = 2
Done = Mapping[Job, Any]
Take = Callable[[dict[str, Any]], Iterable[dict[str, Any]]]


def jobs(
    data: Sequence[str] = (),
    methods: Sequence[str] = (),
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (),
) -> Iterator[Job]:
    """Yield the selected jobs, small data and fold 0 first; nothing given selects everything.

    No ensemble where the pipeline ships a single network and none was asked for beside it.
    """
    for name in data or PROTOCOLS:
        wanted = seeds or (SEEDS[:1] if name in REPEATED else SEEDS)
        chosen = [fold for fold in folds or range(SIZES[name].folds) if fold < SIZES[name].folds]
        for fold in chosen:
            for method in methods or METHODS:
                if method == "network ensemble" and members(CARDS[name][1]) == 1:
                    continue  # it would be a second row of the single network
                if method in SPACES and fold == chosen[0]:
                    yield tuning_of(Job(name, fold, method, None))
                for seed in wanted:
                    if seed == 0 or method not in ONE_SEED:
                        yield Job(name, fold, method, seed)


def tuning_of(job: Job) -> Job:
    """Return the job in which the settings of a fit are found: on the training rows of fold 0."""
    return job._replace(fold=0, seed=None)


def absent(method: str) -> str:
    """Return why a method cannot run here, "" if it can."""
    missing = [name for name in libraries(method) if find_spec(module(name)) is None]
    return f"{' and '.join(missing)} not installed" if missing else ""


def left(asked: Iterable[Job], folder: Path, again: bool = False) -> list[Job]:
    """Return the jobs that are not done yet and can run here."""
    found = []
    done: dict[str, tuple[Done, Done]] = {}
    for job in asked:
        if job.data not in done:
            done[job.data] = read(job.data, folder)
        results, trials = done[job.data]
        ready = len(trials.get(job, ())) >= TRIALS if job.seed is None else job in results
        if (again and job.seed is not None) or not ready:
            found.append(job)
    return [job for job in found if not absent(job.method)]


def read(data: str, folder: Path) -> tuple[dict[Job, Any], dict[Job, list[Any]]]:
    return credit_state.results(data, folder), credit_state.trials(data, folder)


def estimate(todo: Sequence[Job], folder: Path) -> dict[Job, float | None]:
    """Return the seconds that jobs will take, from those done; None where nothing is known.

    The mean of the same method on the same data, else of the same method on other data by rows.
    """
    known: dict[tuple[str, bool], dict[str, float]] = {}
    trials_done: dict[Job, int] = {}
    for name in PROTOCOLS:
        results, trials = read(name, folder)
        took: dict[tuple[str, bool], list[float]] = {}
        for job, line in results.items():
            took.setdefault((job.method, False), []).append(line["seconds"])
        for job, several in trials.items():
            trials_done[job] = len(several)
            took.setdefault((job.method, True), []).extend(line["seconds"] for line in several)
        for key, seconds in took.items():
            known.setdefault(key, {})[name] = mean(seconds)
    found: dict[Job, float | None] = {}
    for job in todo:
        by_data = known.get((job.method, job.seed is None), {})
        rows = SIZES[job.data].train_rows
        scaled = [s * max(rows / SIZES[name].train_rows, 0.1) for name, s in by_data.items()]
        if not scaled:
            found[job] = None
            continue
        number = TRIALS - trials_done.get(job, 0) if job.seed is None else 1
        found[job] = by_data.get(job.data, mean(scaled)) * number
    return found


def plan(todo: Sequence[Job], folder: Path) -> list[str]:
    """Return what is left per data and method, and the hours it will take."""
    seconds = estimate(todo, folder)
    groups: dict[tuple[str, str, str], list[float | None]] = {}
    for job in todo:
        kind = "tunings" if job.seed is None else "fits"
        groups.setdefault((job.data, job.method, kind), []).append(seconds[job])
    lines = [
        f"{data}, {method}: {len(several)} {kind} left, {told(several)}"
        for (data, method, kind), several in groups.items()
    ]
    lines += [f"absent: {method} ({why})" for method in METHODS if (why := absent(method))]
    return [*lines, f"in all {len(todo)} jobs left, {told(list(seconds.values()))}"]


def told(seconds: Sequence[float | None]) -> str:
    known = [s for s in seconds if s is not None]
    hours = f"{sum(known) / 3600:.2f} h"
    unknown = len(seconds) - len(known)
    if not unknown:
        return hours
    return f"{hours} and {unknown} of unknown length" if known else "of unknown length"


def start(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Run a job in a fresh process, and yield what it prints as it comes."""
    pools = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    env = {**os.environ, **{f"{pool}_THREADS": str(THREADS) for pool in pools}}
    env |= {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_WAIT_POLICY": "PASSIVE"}
    words = [sys.executable, str(Path(__file__).with_name("credit_job.py"))]
    with (
        TemporaryFile("w+") as noise,
        subprocess.Popen(
            words, stdin=PIPE, stdout=PIPE, stderr=noise, text=True, env=env
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
        except BaseException:
            process.kill()
            raise
        if process.wait():
            noise.seek(0)
            raise ChildProcessError(f"exit code {process.returncode}: {noise.read()[-2000:]}")


def run(
    todo: Sequence[Job],
    folder: Path,
    predictions: Path,
    hours: float = float("inf"),
    keep: bool = True,
    take: Take = start,
) -> list[Job]:
    """Run jobs and keep what they measure; return those that failed.

    No job starts after ``hours``. With ``keep`` false only the scores of test rows are kept.
    """
    began, failed = time.perf_counter(), []
    for number, job in enumerate(todo, 1):
        if time.perf_counter() - began > hours * 3600:
            print(f"{hours:g} h are over; {len(todo) - number + 1} jobs are left")
            break
        done = read(job.data, folder)[1].get(tuning_of(job), [])
        if job.method in SPACES and job.seed is not None and len(done) < TRIALS:
            print(f"[{number}/{len(todo)}] {job}: not tuned yet, left out", flush=True)
            failed.append(job)
            continue
        print(f"[{number}/{len(todo)}] {job}: ", end="", flush=True)
        load, started, lines = os.getloadavg()[0], time.perf_counter(), []
        asked = {"job": job._asdict(), "predictions": str(predictions)}
        if job.method in SPACES:
            asked |= {"done": done[:TRIALS] if job.seed is not None else done, "trials": TRIALS}
        try:
            for line in take(asked):
                lines.append(line)
                if job.seed is None:
                    credit_state.keep_trial(job, line, folder)
        except ChildProcessError as error:
            print(f"failed, {error}", flush=True)
            failed.append(job)
            continue
        took = round(time.perf_counter() - started, 2)
        if job.seed is None:
            print(f"{len(lines)} trials, {took} s", flush=True)
            continue
        line = {**lines[-1], "seconds": took, "load": round(load, 2)}
        if keep:
            credit_state.keep_result(job, line, folder)
        print(f"AUC {line['auc']:.4f}, log loss {line['log_loss']:.4f}, {took} s", flush=True)
    return failed


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = {slug(method): method for method in METHODS}

    def several(allowed: Mapping[str, Any]) -> Callable[[str], list[Any]]:
        def read_words(text: str) -> list[Any]:
            keys = [slug(word.strip()) for word in text.split(",")]
            if unknown := [key for key in keys if key not in allowed]:
                raise argparse.ArgumentTypeError(
                    f"{', '.join(unknown)}: allowed are {', '.join(allowed)}"
                )
            return [allowed[key] for key in keys]

        return read_words

    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser.add_argument("--data", type=several({n: n for n in PROTOCOLS}), default=[])
    parser.add_argument("--methods", type=several(names), default=[])
    parser.add_argument("--folds", type=numbers, default=[], help="0,1,...")
    parser.add_argument("--seeds", type=numbers, default=[], help="0,1,...")
    parser.add_argument("--hours", type=float, default=float("inf"), help="start no job after")
    parser.add_argument("--again", action="store_true", help="selected jobs anew, not tunings")
    parser.add_argument("--rebuild", action="store_true", help="scores of test rows not kept")
    parser.add_argument("--plan", action="store_true", help="tell what is left, and run nothing")
    parser.add_argument("--table", action="store_true", help="write the result of what is done")
    parser.add_argument("--readme", action="store_true", help="newest result into the README")
    parser.add_argument("--state", type=Path, default=STATE, help="folder of what is done")
    parser.add_argument(
        "--predictions", type=Path, default=cache() / "benchmarks" / "credit", metavar="FOLDER"
    )
    return parser.parse_args(words)


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the job's process too
    selected = list(jobs(given.data, given.methods, given.folds, given.seeds))
    todo = left(selected, given.state, given.again)
    if given.rebuild:
        todo = [
            job
            for job in selected
            if job in credit_state.results(job.data, given.state)
            and credit_state.scores(job, given.predictions) is None
        ]
    if given.plan:
        print("\n".join(plan(todo, given.state)))
    elif given.table:
        why = {method: text for method in METHODS if (text := absent(method))}
        for path in credit_table.write(selected, given.state, given.predictions, why):
            print(path)
    elif given.readme:
        credit_table.put_readme()
    else:
        failed = run(todo, given.state, given.predictions, given.hours, keep=not given.rebuild)
        if failed:
            raise SystemExit(f"{len(failed)} of {len(todo)} jobs failed or wait for a tuning")


if __name__ == "__main__":
    main()
