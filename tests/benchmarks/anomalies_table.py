"""What the anomaly benchmark measured as one table: protocols, methods, tests paired over sets."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anomalies_data
import anomalies_state
import numpy as np
from anomalies_data import AS_PUBLISHED, PROTOCOLS, SEEDS, SEEDS_SMALL, SMALL
from anomalies_methods import AVERAGES, METHODS, PUBLISHED, RIVALS
from anomalies_state import Job, Line
from results import write_result
from scipy.stats import ttest_1samp, wilcoxon
from sklearn.metrics import average_precision_score, roc_auc_score

from fintech_dl.estimators.members import average

Row = dict[str, Any]
Results = Mapping[Job, Line]
BARS = {("clean", "auc"): 0.845, ("contaminated", "auc"): 0.765}
TITLES = {"auc": "AUROC", "ap": "AP"}


def quality(y: Any, score: Any) -> dict[str, float]:
    """Return area under the ROC curve and average precision."""
    return {
        "auc": round(float(roc_auc_score(y, score)), 6),
        "ap": round(float(average_precision_score(y, score)), 6),
    }


def averaged(job: Job, of: Sequence[str], kept: Path) -> dict[str, float] | None:
    """Return what the average rank of several methods is worth; None where scores are missing."""
    parts = [anomalies_state.scores(job._replace(method=method), kept) for method in of]
    found = [part for part in parts if part is not None]
    if len(found) < len(of):
        return None
    outputs = np.stack([part["test"][:, None] for part in found])
    score = average(outputs, "rank", np.stack([part["quantiles"] for part in found]))
    return quality(found[0]["y"], score[:, 0])


def with_averages(results: Results, kept: Path) -> dict[Job, Line]:
    """Return the results, and those of each average for which all scores were kept."""
    found = dict(results)
    for title, of in AVERAGES.items():
        for job in results:
            if job.method == of[0] and (line := averaged(job, of, kept)):
                found[job._replace(method=title)] = line
    return found


def by_set(
    results: Results, method: str, names: Sequence[str], seeds: int
) -> dict[str, Any] | None:
    """Return each measure as an array of sets x seeds, None if a set has not been measured."""
    lines = {(job.data, job.seed): line for job, line in results.items() if job.method == method}
    have = [seed for seed in range(seeds) if all((name, seed) in lines for name in names)]
    if not have or not names:
        return None
    return {
        what: np.array([[lines[name, seed][what] for seed in have] for name in names])
        for what in TITLES
    }


def compared(ours: Any, theirs: Any) -> Row:
    """Return the mean difference over sets with its interval, and what a paired test says."""
    difference = ours.mean(axis=1) - theirs.mean(axis=1)
    if len(difference) < 2 or not difference.any():
        return {}
    low, high = ttest_1samp(difference, 0.0).confidence_interval(0.95)
    p = float(wilcoxon(difference).pvalue)
    word = "no difference" if p >= 0.05 else "beats" if difference.mean() > 0 else "is worse"
    row = f"{100 * difference.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return {"difference": row, "p": f"{p:.3f}", "verdict": word}


def group_rows(
    protocol: str, results: Results, names: Sequence[str], seeds: int, which: str
) -> Iterator[Row]:
    """Yield a row per method that was measured on all of these sets, the best first."""
    what = "ap" if protocol == "few-labels" else "auc"
    found = {
        method: values
        for method in [*METHODS, *AVERAGES]
        if (values := by_set(results, method, names, seeds))
    }
    labelled = {method for method, own in METHODS.items() if own.labels}
    others = found.keys() - labelled if protocol == "few-labels" else found.keys() & RIVALS.keys()
    best = max(others, key=lambda method: found[method][what].mean(), default=None)
    spent: dict[str, list[float]] = {}
    for job, line in results.items():
        if "fit_seconds" in line and job.data in names:
            spent.setdefault(job.method, []).append(line["fit_seconds"])
    for method in sorted(found, key=lambda method: -found[method][what].mean()):
        values = found[method]
        row: Row = {"protocol": protocol, "sets": f"{len(names)} {which}", "method": method}
        row["seeds"] = values["auc"].shape[1]
        for key, title in TITLES.items():
            row[title] = f"{100 * values[key].mean():.1f}"
        row["AUROC by seed"] = f"± {100 * values['auc'].mean(axis=0).std():.1f}"
        if best and method != best:
            title = f"{TITLES[what]} to {best}"
            row |= {"to": title, **compared(values[what], found[best][what])}
        if method in spent:
            row["median fit s"] = f"{np.median(spent[method]):.1f}"
        yield row


def notes(protocol: str, results: Results, names: Sequence[str]) -> Iterator[str]:
    """Yield what was to be reached on all sets, and what was."""
    for (name, method), published in PUBLISHED.items():
        values = by_set(results, method, names, SEEDS) if name == protocol else None
        if values:
            mean = values["auc"].mean()
            word = "within" if abs(mean - published) <= 0.01 else "not within"
            yield (
                f"Check of the harness, {protocol}: {method} {100 * mean:.1f}, "
                f"published {100 * published:.1f}, {word} 1 point."
            )
    if (bar := BARS.get((protocol, "auc"))) and (
        values := by_set(results, "shipped default", names, SEEDS)
    ):
        mean = values["auc"].mean()
        word = "reached" if mean >= bar else "not reached"
        yield f"Bar, {protocol}: {100 * bar:.1f} AUROC, {word} ({100 * mean:.1f})."


def write(where: Path, state: Path, kept: Path) -> Path:
    """Write the dated result of what is done."""
    paths = anomalies_data.sets(where)
    rows: list[Row] = []
    said: list[str] = []
    lines: list[Line] = []
    raw: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        done = {job: line for job, line in anomalies_state.done(protocol, state).items()}
        lines += done.values()
        results = with_averages(done, kept)
        names = [name for name in paths if anomalies_data.takes_part(protocol, paths[name])]
        small = [name for name in names if len(anomalies_data.labels(paths[name])) < SMALL]
        rows += group_rows(protocol, results, names, SEEDS, "sets")
        if small != names and protocol not in AS_PUBLISHED:
            rows += group_rows(protocol, results, small, SEEDS_SMALL, "small sets")
        said += notes(protocol, results, names)
        raw[protocol] = {
            name: {
                method: [results[job]["auc"] for job in sorted(own, key=lambda job: job.seed)]
                for method in [*METHODS, *AVERAGES]
                if (own := [j for j in results if (j.data, j.method) == (name, method)])
            }
            for name in names
        }
    late = sum("over_time" in line for line in lines)
    less = sum("steps_advised" in line for line in lines)
    said += [
        "Means over sets of the mean over seeds, in percent; p: Wilcoxon's signed ranks over sets; "
        "the interval of the difference is Student's, over sets. AUROC of each set and seed "
        "stands in the JSON file.",
        "Sets of more than 50,000 rows are cut to a seeded 50,000; rivals see standardised "
        "columns, ours columns as they are; nothing is tuned, and no setting knows the name of a "
        "set.",
        "Protocols that end in -published draw rows as the published code does: sets below 1,000 "
        "rows are filled with copies, and clean training rows are the first of a file. "
        "InternetAds, with fewer than five rows per column, has the covariance of all rows in our "
        "MCD: where training rows are clean, that set alone makes the difference to the published "
        "mean.",
        f"Budget of a fit: 20,000 steps ({less} fits were cut to them) and 4 minutes "
        f"({late} fits took longer).",
        f"{len(lines)} fits, {sum(line['seconds'] for line in lines) / 3600:.1f} hours in all.",
    ]
    command = "python tests/benchmarks/anomalies.py --table"
    seconds = sum(line["seconds"] for line in lines)
    return write_result("anomalies", rows, said, command, raw=raw, seconds=seconds)
