"""Anomalies in series: five groups of the Numenta Anomaly Benchmark, one configuration per method.

Run in the repository with FINTECH_DL_DATA set:

    python tests/benchmarks/anomaly_series.py                    # every job that is not done yet
    python tests/benchmarks/anomaly_series.py artificial tweets  # of these groups
    python tests/benchmarks/anomaly_series.py --methods "AER; Sub-PCA" --seeds 0,1
    python tests/benchmarks/anomaly_series.py --plan             # jobs left, and the minutes left
    python tests/benchmarks/anomaly_series.py --table            # write the dated result

A job is one series, one method and one seed; what is done is kept in
``reports/benchmarks/anomaly_series/``, so that a second start goes on where the first was stopped;
the scores of rows, of which NAB's score is made, are kept in ``--scores``.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import progress
from anomaly_series_scores import (
    SEPARATION,
    WAY_OF,
    LinearEnds,
    as_published,
    keep_scores,
    nab,
)
from progress import told
from results import FOLDER, write_result
from sklearn.ensemble import IsolationForest

from fintech_dl import (
    AER,
    CNN,
    LSTM,
    Autoencoder,
    NeuralDetector,
    NeuralRegressor,
    SeriesDetector,
    SpectralResidual,
    SubPCA,
    load_frame,
)
from fintech_dl.evaluation.series_events import (
    EventCounts,
    alarm_delays,
    event_counts,
    event_f1,
    events,
    find_events,
)
from fintech_dl.evaluation.series_scores import vus_pr
from fintech_dl.features.series import period, regular_steps
from fintech_dl.folders import cache

STATE = FOLDER / "anomaly_series"
FURTHER = {"sum": "{}, sum", "ends": "{}, ends alone"}  # a fit, scored in further ways
WAYS = {
    name: {way: title.format(name) for way, title in FURTHER.items()} for name in ("AER", "linear")
}
GRADED = "{}, scored as published"  # each group in its way
GROUPS = {
    "artificial": "artificialWithAnomaly",
    "aws": "realAWSCloudwatch",
    "exchange": "realAdExchange",
    "traffic": "realTraffic",
    "tweets": "realTweets",
}
PUBLISHED = {"artificial": 0.75, "aws": 0.70, "exchange": 0.73, "traffic": 0.61, "tweets": 0.61}
SEEDS = (0, 1, 2)
STEP = pd.Timedelta("10min")  # the shortest, as in the published configuration
STOP = {"validation_fraction": 0.2, "temporal": True}
Line = dict[str, Any]
Floats = np.ndarray


class Job(NamedTuple):
    """One series, method and seed; a method that draws nothing has the seed 0 alone."""

    group: str
    series: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.series}, {self.method}, seed {self.seed}"


def aer(seed: int, length: int) -> SeriesDetector:
    inner = NeuralDetector(network=AER(), random_state=seed, **STOP)
    return SeriesDetector(estimator=inner, mode="both", window=100)


def linear(seed: int, length: int) -> Any:
    return LinearEnds()


def forecast(network: Any) -> Callable[[int, int], SeriesDetector]:
    def make(seed: int, length: int) -> SeriesDetector:
        settings = {"learning_rate": 8e-4, "epochs": 50, "batch_size": 128, "patience": 3, **STOP}
        inner = NeuralRegressor(network=network, random_state=seed, **settings)
        return SeriesDetector(estimator=inner, window=50)

    return make


def rebuild(seed: int, length: int) -> SeriesDetector:
    network = Autoencoder(kind="cnn", units=(32, 16), code=8)
    inner = NeuralDetector(network=network, random_state=seed, batch_size=64, patience=5, **STOP)
    return SeriesDetector(estimator=inner, window=min(length, 100))


def forest(seed: int, length: int) -> SeriesDetector:
    inner = IsolationForest(n_estimators=100, random_state=seed)
    return SeriesDetector(estimator=inner, window=length, at="middle")


METHODS: dict[str, tuple[Callable[[int, int], Any], Sequence[int]]] = {
    "AER": (aer, SEEDS),
    "linear": (linear, (0,)),
    "forecast, CNN": (
        forecast(CNN(filters=(32, 40), hidden=(40,), dropout=0.25)),
        SEEDS,
    ),
    "forecast, LSTM": (forecast(LSTM(units=32)), SEEDS[:1]),
    "rebuild, CNN": (rebuild, SEEDS),
    "Sub-PCA": (
        lambda seed, length: SeriesDetector(estimator=SubPCA(), window=length, at="middle"),
        (0,),
    ),
    "spectral residual, whole series": (
        lambda seed, length: SeriesDetector(estimator=SpectralResidual(smooth=100), mode="whole"),
        (0,),
    ),
    "spectral residual, as time passes": (
        lambda seed, length: SeriesDetector(estimator=SpectralResidual(), window=128),
        (0,),
    ),
    "IsolationForest": (forest, SEEDS),
}


def read() -> dict[str, dict[str, tuple[Floats, Floats]]]:
    """Return values and labels of each series of each group, on steps of equal length."""
    frame = load_frame("nab")
    found: dict[str, dict[str, tuple[Floats, Floats]]] = {group: {} for group in GROUPS}
    folder = frame["series"].str.partition("/")[0]
    for group, name in GROUPS.items():
        for series, rows in frame[folder == name].groupby("series"):
            own = rows["time"].sort_values().diff().median()
            plain = rows[["time", "value", "anomaly"]]
            steps = regular_steps(plain, time="time", every=str(max(own, STEP)))
            labels = (steps["anomaly"] > 0).to_numpy(float)
            found[group][str(series)] = steps["value"].to_numpy(), labels
    return found


def jobs(names: dict[str, list[str]], given: argparse.Namespace) -> Iterator[Job]:
    """Yield the selected jobs, the quick methods last; nothing given selects everything."""
    for group in given.groups or GROUPS:
        for method, (_, seeds) in METHODS.items():
            for seed in seeds:
                wanted = not given.methods or method in given.methods
                if wanted and (not given.seeds or seed in given.seeds):
                    yield from (Job(group, name, method, seed) for name in names[group])


def measure(values: Floats, labels: Floats, method: str, seed: int) -> tuple[Line, dict[str, Any]]:
    """Return what a method finds in a series, fitted on the very series without its labels.

    And the scores of its rows, by the name of the method or way.
    """
    length = min(period(values), (len(values) - 2) // 3)
    began = time.perf_counter()
    model = METHODS[method][0](seed, length).fit(values[:, None])
    scores = {method: model.anomaly_score(values[:, None])}
    seconds = time.perf_counter() - began
    line = {**judged(scores[method], labels, length), "seconds": round(seconds, 2)}
    for way, name in WAYS.get(method, {}).items():
        scores[name] = model.set_params(combine=way).anomaly_score(values[:, None])
        line.setdefault("also", {})[name] = judged(scores[name], labels, length)
    if method in WAYS:
        ends, total = (scores[WAYS[method][way]] for way in ("ends", "sum"))
        line["published"] = {
            way: judged(as_published(ends, total, way), labels, length, SEPARATION)
            for way in ("product", "sum", "ends")
        }
    return line, scores


def judged(score: Floats, labels: Floats, length: int, separation: float = 0.1) -> Line:
    """Return what the scores of a series are worth."""
    true, alarms = events(labels), find_events(score, separation=separation)
    flags = np.zeros(len(score), dtype=bool)
    for start, stop in alarms:
        flags[start:stop] = True
    delays = alarm_delays(flags, true)
    return {
        "rows": len(score),
        **event_counts(alarms, true)._asdict(),
        "vus_pr": round(vus_pr(labels, score, buffer=length), 5) if true else None,
        "delays": [int(delay) for delay in delays[~np.isnan(delays)]],
    }


def done(folder: Path) -> dict[Job, Line]:
    """Return what was measured, the last line of each job."""
    found: dict[Job, Line] = {}
    for group in GROUPS:
        found |= progress.done(Job, group, folder)
    return found


def run(todo: Sequence[Job], data: Any, folder: Path, scores: Path, hours: float) -> None:
    """Run jobs and keep what they measure; none starts after ``hours``."""
    began = time.perf_counter()
    for number, job in enumerate(todo, 1):
        if time.perf_counter() - began > hours * 3600:
            print(f"{hours:g} h are over; {len(todo) - number + 1} jobs are left")
            break
        values, labels = data[job.group][job.series]
        line, found = measure(values, labels, job.method, job.seed)
        keep_scores(job, found, labels, scores)
        progress.keep(job, line, folder)
        print(f"[{number}/{len(todo)}] {job}: {line['seconds']} s", flush=True)
    print(f"{sum(line['seconds'] for line in done(folder).values()) / 3600:.2f} h in all")


def with_ways(found: dict[Job, Line]) -> dict[Job, Line]:
    """Return what was measured, and under names of their own the further ways of each fit."""
    out = dict(found)
    for job, line in found.items():
        ways = dict(line.get("also", {}))
        if "published" in line:
            ways[GRADED.format(job.method)] = line["published"][WAY_OF[job.group]]
        out |= {job._replace(method=name): {**own, "seconds": 0.0} for name, own in ways.items()}
    return out


def rows_of(found: dict[Job, Line], scores: Path) -> list[Line]:
    """Return a line per method: VUS-PR and F1 of each group and over the groups, NAB's score."""
    rows = []
    fits, found = found, with_ways(found)
    owner = {name: one for one in METHODS for name in (one, *WAYS.get(one, {}).values())}
    owner |= {GRADED.format(one): one for one in WAYS}
    for method, one in sorted(owner.items(), key=lambda item: list(METHODS).index(item[1])):
        row: Line = {"method": method}
        means: dict[str, list[float]] = {"VUS-PR": [], "F1": []}
        for group in GROUPS:
            own = {j: line for j, line in found.items() if (j.group, j.method) == (group, method)}
            areas = [line["vus_pr"] for line in own.values() if line["vus_pr"] is not None]
            seeds = sorted({job.seed for job in own})
            f1 = [
                event_f1(counts(line) for job, line in own.items() if job.seed == seed)
                for seed in seeds
            ]
            for name, values in (("VUS-PR", areas), ("F1", f1)):
                row[f"{name} {group}"] = round(float(np.mean(values)), 3) if values else ""
                means[name] += [float(np.mean(values))] if values else []
        for name, values in means.items():
            row[f"{name} mean"] = round(float(np.mean(values)), 3) if values else ""
        mine = [line for job, line in found.items() if job.method == method]
        value = nab([job for job in fits if job.method == one], method, scores)
        row["NAB"] = "" if value is None else round(value, 1)
        row["minutes"] = round(sum(line["seconds"] for line in mine) / 60, 1)
        row["series x seeds"] = len(mine)
        rows += [row] if mine else []
    published = {f"F1 {group}": value for group, value in PUBLISHED.items()}
    mean = round(float(np.mean(list(PUBLISHED.values()))), 3)
    return [*rows, {"method": "AER as published (its way by group)", **published, "F1 mean": mean}]


def counts(line: Line) -> EventCounts:
    return EventCounts(*(line[name] for name in EventCounts._fields))


def write(folder: Path, scores: Path, to: Path = FOLDER) -> Path:
    """Write the dated result of what is done."""
    found = done(folder)
    seconds = sum(line["seconds"] for line in found.values())
    notes = [
        "Each series on equal steps of ten minutes, or its own if longer, gaps filled with the "
        "last value; fitted on itself without labels and scored (transductive), as in Orion and "
        "TSB-AD.",
        "F1: events of a threshold that moves along (a third of the series, 4 deviations, 50 "
        "steps of padding), found if one step overlaps; counts of a group's series added up, "
        "mean of seeds. VUS-PR: mean of series and seeds, buffer the series' period.",
        "The published AER chooses how its scores are combined by group: ends alone (artificial, "
        "traffic), sum (AWS, exchange), product (tweets), writes the error between the ends five "
        "steps late and parts events at 13 %; so do the rows *scored as published*, the others are "
        "one way for all, in time, at 10 %. Its exchange group lacks one of the six series. Eleven "
        "releases ran it once each: F1 .47 to .80 (artificial), .68 to .75 (AWS), .67 to .76 "
        "(exchange), .60 to .70 (traffic), .56 to .64 (tweets).",
        "linear: ridge foretells the ends of a window and five principal components rebuild it, "
        "scored as AER is: what AER adds to it is the network's.",
        "NAB: the benchmark's standard score over all these series on their steps, one threshold "
        "for all, the best for these, mean of seeds; fits saw the whole series, so not for NAB's "
        "own list. Empty where scores of rows were not kept yet (`--again` makes them).",
        f"{seconds / 3600:.2f} h of measuring in all.",
    ]
    command = "python tests/benchmarks/anomaly_series.py --table"
    return write_result(
        "anomaly_series", rows_of(found, scores), notes, command, to, seconds=seconds
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])

    def of(allowed: Sequence[str]) -> Callable[[str], list[str]]:
        def several(text: str) -> list[str]:
            names = [name.strip() for name in text.split(";")]
            if unknown := [name for name in names if name not in allowed]:
                raise argparse.ArgumentTypeError(
                    f"{'; '.join(unknown)}: allowed are {'; '.join(allowed)}"
                )
            return names

        return several

    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--methods", type=of(list(METHODS)), default=[], help="with ; between")
    parser.add_argument(
        "--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[]
    )
    parser.add_argument("--hours", type=float, default=float("inf"), help="start no job after")
    parser.add_argument("--again", action="store_true", help="selected jobs anew")
    parser.add_argument("--plan", action="store_true", help="tell what is left, and run nothing")
    parser.add_argument("--table", action="store_true", help="write the result of what is done")
    parser.add_argument("--state", type=Path, default=STATE, help="folder of what is done")
    parser.add_argument(
        "--scores", type=Path, default=cache() / "benchmarks" / "anomaly_series", metavar="FOLDER"
    )
    given = parser.parse_args(words)
    if unknown := set(given.groups) - set(GROUPS):
        parser.error(f"{', '.join(sorted(unknown))}: allowed are {', '.join(GROUPS)}")
    return given


def main() -> None:
    given = arguments()
    if given.table:
        print(write(given.state, given.scores))
        return
    data, before = read(), done(given.state)
    asked = list(jobs({group: list(own) for group, own in data.items()}, given))
    todo = [job for job in asked if given.again or job not in before]
    if given.plan:
        pace: dict[str, list[float]] = {}
        for job, line in before.items():
            pace.setdefault(job.method, []).append(line["seconds"] / line["rows"])
        size = {name: len(own[0]) for group in data.values() for name, own in group.items()}
        known = [
            float(np.mean(pace[job.method])) * size[job.series] if job.method in pace else None
            for job in todo
        ]
        print(told(known))
    else:
        run(todo, data, given.state, given.scores, given.hours)


if __name__ == "__main__":
    main()
