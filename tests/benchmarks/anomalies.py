"""Anomalies: our detectors beside classic rivals on ADBench's sets, by three protocols.

Run in the repository with FINTECH_DL_DATA set:

    python tests/benchmarks/anomalies.py                  # every job that is not done yet
    python tests/benchmarks/anomalies.py clean --methods kNN,isolation-forest --seeds 0
    python tests/benchmarks/anomalies.py --folder /my/sets --state /my/results  # other sets
    python tests/benchmarks/anomalies.py --plan           # jobs left, and the hours they will take
    python tests/benchmarks/anomalies.py --table          # write the dated result of what is done
    python tests/benchmarks/anomalies.py --alarms         # false alarms of fpr=.01, about 3 minutes
    python tests/benchmarks/anomalies.py --speed          # training and scoring time

``clean`` trains on half of the normal rows, ``contaminated`` on a bootstrap of everything, and
``few-labels`` on 70 % of the rows, of whose anomalies 1 % (at least 5) are labelled.
``clean-published`` and ``contaminated-published`` draw rows as the published tables do, to check
the methods that stand in them. A job is one method on one set with one seed. What is done is kept
in ``reports/benchmarks/anomalies/``, so that a second start goes on where the first was stopped;
the scores of rows, of which averages of methods are made, are kept in ``--scores``.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

import anomalies_bars
import anomalies_data
import anomalies_state
import anomalies_table
import numpy as np
from anomalies_data import AS_PUBLISHED, PROTOCOLS, SEEDS, SEEDS_SMALL, SMALL, Cut
from anomalies_methods import METHODS, MOST_SECONDS, PUBLISHED, absent, within_budget
from anomalies_state import STATE, Job
from progress import slug, told

from fintech_dl import NeuralDetector
from fintech_dl.estimators.members import quantiles_of
from fintech_dl.folders import cache

RANKED_ROWS = 5_000  # training rows whose scores say what an average of ranks compares with


def jobs(
    where: Path,
    protocols: Sequence[str] = (),
    data: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> Iterator[Job]:
    """Yield the selected jobs, small sets first; nothing given selects everything."""
    found = anomalies_data.sets(where)
    for protocol in protocols or PROTOCOLS:
        for name in [name for name in found if not data or name in data]:
            if not anomalies_data.takes_part(protocol, found[name]):
                continue
            small = len(anomalies_data.labels(found[name])) < SMALL
            for method in methods or METHODS:
                own = METHODS[method]
                if (own.labels and protocol != "few-labels") or not (own.everywhere or small):
                    continue
                if protocol in AS_PUBLISHED and (protocol, method) not in PUBLISHED:
                    continue
                for seed in range(SEEDS if own.everywhere or own.labels else SEEDS_SMALL):
                    if not seeds or seed in seeds:
                        yield Job(protocol, name, method, seed)


def left(asked: Sequence[Job], folder: Path) -> list[Job]:
    """Return the jobs that are not done yet and can run here."""
    done = {name: anomalies_state.done(name, folder) for name in {job.protocol for job in asked}}
    return [job for job in asked if job not in done[job.protocol] and not absent(job.method)]


def plan(todo: Sequence[Job], folder: Path) -> list[str]:
    """Return what is left per protocol and method, and the time it will take.

    A job takes as long as those of its method and set did, or else of its method.
    """
    took: dict[tuple[str, str], list[float]] = {}
    for protocol in PROTOCOLS:
        for job, line in anomalies_state.done(protocol, folder).items():
            for name in (job.data, ""):
                took.setdefault((job.method, name), []).append(line["seconds"])
    groups: dict[tuple[str, str], list[float | None]] = {}
    for job in todo:
        keys = [(job.method, name) for name in (job.data, "")]
        known = next((mean(took[key]) for key in keys if key in took), None)
        groups.setdefault((job.protocol, job.method), []).append(known)
    lines = [f"{name}, {method}: {told(several)}" for (name, method), several in groups.items()]
    return [*lines, f"in all {told([s for several in groups.values() for s in several])}"]


def measure(job: Job, cut: Cut, scores: Path) -> dict[str, Any]:
    """Fit a method on the training rows; return what its scores of the test rows are worth."""
    method = METHODS[job.method]
    # networks that are shown anomalies learn from these: nothing else is said of the other rows
    model = method.make(job.seed, job.protocol != "clean" and not method.labels)
    model, cut_from = within_budget(model, len(cut.X))
    started = time.perf_counter()
    model.fit(cut.X, cut.known) if method.labels else model.fit(cut.X)
    fitted = time.perf_counter()
    worse = -np.asarray(model.score_samples(cut.X_test))
    scored = time.perf_counter()
    at = np.random.RandomState(0).permutation(len(cut.X))[:RANKED_ROWS]
    quantiles = quantiles_of(-np.asarray(model.score_samples(cut.X[at]))[None, :, None])
    anomalies_state.keep_scores(job, cut.y_test, worse, quantiles[0], scores)
    line = {
        **anomalies_table.quality(cut.y_test, worse),
        "train_rows": len(cut.X),
        "columns": cut.X.shape[1],
        "fit_seconds": round(fitted - started, 3),
        "score_seconds": round(scored - fitted, 3),
    }
    if isinstance(model, NeuralDetector):
        from keras.utils import clear_session

        clear_session()  # else the graphs of a thousand networks stay in memory
        line["epochs"] = model.training_["epochs"]
    if cut_from is not None:
        line["steps_advised"] = cut_from
    if fitted - started > MOST_SECONDS:
        line["over_time"] = True
    return line


def run(
    todo: Sequence[Job],
    where: Path,
    folder: Path,
    scores: Path,
    hours: float = float("inf"),
) -> None:
    """Run jobs and keep what they measure; none starts after ``hours``."""
    paths, began = anomalies_data.sets(where), time.perf_counter()
    for number, job in enumerate(todo, 1):
        if time.perf_counter() - began > hours * 3600:
            print(f"{hours:g} h are over; {len(todo) - number + 1} jobs are left")
            break
        print(f"[{number}/{len(todo)}] {job}: ", end="", flush=True)
        load, started = os.getloadavg()[0], time.perf_counter()
        cut = PROTOCOLS[job.protocol](paths[job.data], job.seed)
        line = measure(job, cut, scores)
        took = round(time.perf_counter() - started, 2)
        more = {"seconds": took, "load": round(load, 2), "date": date.today().isoformat()}
        anomalies_state.keep(job, {**line, **more}, folder)
        print(f"AUC {line['auc']:.3f}, AP {line['ap']:.3f}, {took} s", flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = {slug(method).replace(",", ""): method for method in METHODS}

    def protocol(text: str) -> str:
        if text not in PROTOCOLS:
            raise argparse.ArgumentTypeError(f"{text}: allowed are {', '.join(PROTOCOLS)}")
        return text

    def several(text: str) -> list[str]:
        keys = [slug(word.strip()) for word in text.split(",")]
        if unknown := [key for key in keys if key not in names]:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown)}: allowed are {', '.join(names)}"
            )
        return [names[key] for key in keys]

    parser.add_argument(
        "protocols", nargs="*", type=protocol, metavar="PROTOCOL", help=", ".join(PROTOCOLS)
    )
    parser.add_argument("--data", type=lambda text: text.split(","), default=[], help="1_ALOI,...")
    parser.add_argument("--methods", type=several, default=[], help=",".join(names))
    parser.add_argument(
        "--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[]
    )
    parser.add_argument("--folder", type=Path, help="of *.npz with X and y, instead of ADBench's")
    parser.add_argument("--hours", type=float, default=float("inf"), help="start no job after")
    parser.add_argument("--again", action="store_true", help="selected jobs anew")
    parser.add_argument("--plan", action="store_true", help="tell what is left, and run nothing")
    parser.add_argument("--table", action="store_true", help="write the result of what is done")
    parser.add_argument("--alarms", action="store_true", help="false alarms of a set threshold")
    parser.add_argument("--speed", action="store_true", help="time of training and scoring")
    parser.add_argument("--state", type=Path, default=STATE, help="folder of what is done")
    parser.add_argument(
        "--scores", type=Path, default=cache() / "benchmarks" / "anomalies", metavar="FOLDER"
    )
    return parser.parse_args(words)


def main() -> None:
    given = arguments()
    if given.alarms or given.speed:
        for name in ("alarms", "speed"):
            if getattr(given, name):
                print(anomalies_bars.write(name))
        return
    where = given.folder or anomalies_data.folder()
    asked = list(jobs(where, given.protocols, given.data, given.methods, given.seeds))
    todo = asked if given.again else left(asked, given.state)
    if given.plan:
        print("\n".join(plan(todo, given.state)))
    elif given.table:
        print(anomalies_table.write(where, given.state, given.scores))
    else:
        run(todo, where, given.state, given.scores, given.hours)


if __name__ == "__main__":
    main()
