"""What the credit benchmark measured as tables: every method, and ours against the best rival."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import credit_data
import credit_state
import numpy as np
from credit_data import PROTOCOLS, REPEATED, SIZES
from credit_ours import OURS
from credit_state import Job
from results import FOLDER, hardware, markdown_table, versions
from scipy.stats import t as student
from speed_table import README, put

from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.significance import (
    Difference,
    bootstrap,
    delong_difference,
    paired_difference,
)
from fintech_dl.folders import replacing

MARKS = ("<!-- credit: begin -->", "<!-- credit: end -->")
RESAMPLES = 1000
BUSY = 2.5  # load average above which seconds say little
METRICS = {"auc": "roc_auc", "log_loss": "log_loss"}
TITLES = {"auc": "AUC", "log_loss": "log loss", "brier": "Brier", "ks": "KS"}
NOTES = [
    "Ours: the settings that the pipeline cards ship, tuned inside the training rows of fold 0 and "
    "then used on every fold. Fold 0 and the others are told apart: the others test rows that were "
    "tuned on. `MLP`, `RealMLP`, `FT-Transformer` and the scorecards have settings for tables of "
    "this size, bank marketing those of the pipeline `credit`: neither was tuned on these data.",
    "Columns are those of the source, or made by the pipeline where a title says so. Columns that "
    "the pipeline cards protect (sex, age and marital status in Taiwan; age in Give Me Some "
    "Credit; personal status, age and foreign worker in Germany) are features of every method "
    "here, as in published figures; a run of the pipeline withholds them.",
    "The network ensemble averages five networks where the pipeline ships one (Taiwan, bank "
    "marketing), and as many as the card says elsewhere. The additive scorecard has no direction "
    "declared; the monotone one has those of credit_monotone.py, declared from common sense.",
    "Tuned: 30 trials of Optuna's TPE on the training rows of fold 0 alone (log loss of 20 % held "
    "out, the latest where rows stand in order, with early stopping), then fitted on all training "
    "rows of each fold with each seed. The best rival is the one with the best mean on the same "
    "test rows.",
    "Values are means over folds and seeds. Brackets: 95 % interval, by bootstrap of test "
    "rows; where rows are tested more than once (German credit) or scores were not kept, by the "
    "corrected t over folds. A difference is ours minus the rival's: above 0 is better for "
    "AUC, below 0 for log loss.",
    "Corrected t: over folds, the variance corrected for shared training rows (Nadeau and Bengio, "
    "2003). DeLong: per fold, seed 0; folds where ours is above / below with p < .05.",
    "fit s and predict s: wall clock, two threads, imports not counted, of jobs begun under a "
    "load average of at most 2.5 where there are any; predict s is of all test rows. peak MB is "
    "of the whole process, with data and libraries.",
]
Line = dict[str, Any]
Results = Mapping[Job, Line]
Row = dict[str, str]
Scored = Callable[[Job], Outcome | None]


def corrected_t(differences: Sequence[float], test_to_train: float) -> Difference:
    """Return the mean of differences over folds with interval and p-value, after Nadeau and Bengio.

    The variance is ``(1 / n + test_to_train)`` times that of the folds, with ``n - 1`` degrees of
    freedom: folds that share training rows are not independent.
    """
    d = np.asarray(differences, dtype=float)
    value, freedom = float(d.mean()), len(d) - 1
    if freedom < 1:
        return Difference(value, *[float("nan")] * 3)
    error = float(np.sqrt((1 / len(d) + test_to_train) * d.var(ddof=1)))
    if error == 0:
        return Difference(value, value, value, 1.0 if value == 0 else 0.0)
    half = float(student.ppf(0.975, freedom)) * error
    p = float(2 * student.sf(abs(value) / error, freedom))
    return Difference(value, value - half, value + half, p)


def by_fold(results: Results, method: str, what: str) -> dict[int, float]:
    """Return a measure per fold, the mean over seeds."""
    found: dict[int, list[float]] = {}
    for job, line in results.items():
        if job.method == method:
            found.setdefault(job.fold, []).append(line[what])
    return {fold: float(np.mean(found[fold])) for fold in sorted(found)}


def methods(results: Results) -> list[str]:
    """Return the methods that were measured, rivals first."""
    measured = list(dict.fromkeys(job.method for job in results))
    return sorted(measured, key=lambda method: method in OURS)


def outcomes(
    results: Results, method: str, scored: Scored, folds: Sequence[int], seeds: Sequence[int]
) -> list[Outcome] | None:
    """Return one outcome per fold and seed, None if the scores of any were not kept.

    Seed 0 stands in for a seed that a method without random numbers does not have.
    """
    found = []
    for fold in folds:
        for seed in seeds:
            job = Job(next(iter(results)).data, fold, method, seed)
            outcome = scored(job if job in results else job._replace(seed=0))
            if outcome is None:
                return None
            found.append(outcome)
    return found


def whole_seeds(results: Results, method: str, folds: Sequence[int]) -> list[int]:
    """Return the seeds that a method was measured with on every one of these folds."""
    several = [{job.seed for job in results if job[1:3] == (fold, method)} for fold in folds]
    return sorted(seed for seed in set.intersection(*several) if seed is not None)


def method_rows(results: Results, scored: Scored) -> Iterator[Row]:
    """Yield what each method reached on one data set, fold 0 and the others apart."""
    for method in methods(results):
        lines = [line for job, line in results.items() if job.method == method]
        folds = list(by_fold(results, method, "auc"))
        seeds = whole_seeds(results, method, folds)
        row = {"method": method, "folds x seeds": f"{len(folds)} x {len(seeds)}"}
        scores = outcomes(results, method, scored, folds, seeds)
        ends: dict[str, Any] = {}
        if scores and lines[0]["data"] not in REPEATED:
            ends = bootstrap(scores, list(METRICS.values()), n=RESAMPLES)
        elif len(folds) > 1:
            ratio = lines[0]["test_rows"] / lines[0]["train_rows"]
            for what, name in METRICS.items():
                ends[name] = corrected_t(list(by_fold(results, method, what).values()), ratio)
        for what, name in METRICS.items():
            values = by_fold(results, method, what)
            rest = [value for fold, value in values.items() if fold > 0]
            row[f"{TITLES[what]}, fold 0"] = f"{values[0]:.4f}" if 0 in values else ""
            row[f"{TITLES[what]}, other folds"] = f"{np.mean(rest):.4f}" if rest else ""
            interval = f" [{ends[name].low:.4f}, {ends[name].high:.4f}]" if ends else ""
            row[f"{TITLES[what]}, all"] = f"{np.mean(list(values.values())):.4f}{interval}"
        for what in ("brier", "ks"):
            values = by_fold(results, method, what)
            row[TITLES[what]] = f"{np.mean(list(values.values())):.4f}"
        if late := [line["apart"] for line in lines if "apart" in line]:
            both = (np.mean([part[what] for part in late]) for what in METRICS)
            row["apart: AUC / log loss"] = " / ".join(f"{value:.4f}" for value in both)
        quiet = [line for line in lines if line["load"] <= BUSY] or lines
        row["fit s"] = f"{np.median([line['fit_seconds'] for line in quiet]):.1f}"
        row["predict s"] = f"{np.median([line['predict_seconds'] for line in quiet]):.2f}"
        row["peak MB"] = f"{max(line['peak_mb'] for line in lines):,}"
        yield row


def best_rival(results: Results, what: str, folds: Sequence[int]) -> str | None:
    """Return the rival with the best mean on these folds, of those that have done them all."""
    found = {}
    for method in methods(results):
        values = by_fold(results, method, what)
        if method not in OURS and set(folds) <= values.keys():
            found[method] = np.mean([values[fold] for fold in folds])
    if not found:
        return None
    return (max if what == "auc" else min)(found, key=lambda method: found[method])


def pair_rows(results: Results, scored: Scored) -> Iterator[Row]:
    """Yield each of ours against the best rival, on fold 0 and on the other folds."""
    for method in methods(results):
        done = list(by_fold(results, method, "auc"))
        for folds in ([f for f in done if f == 0], [f for f in done if f > 0]):
            for what in METRICS if method in OURS and folds else ():
                if rival := best_rival(results, what, folds):
                    yield pair(results, method, rival, what, folds, scored)


def pair(
    results: Results, method: str, rival: str, what: str, folds: Sequence[int], scored: Scored
) -> Row:
    """Return one method against another on some folds, by every test that applies."""
    a, b = (by_fold(results, name, what) for name in (method, rival))
    sizes = next(line for job, line in results.items() if job.method == method)
    ratio = sizes["test_rows"] / sizes["train_rows"]
    fold_test = corrected_t([a[fold] - b[fold] for fold in folds], ratio)
    row = {
        "ours": method,
        "best rival": rival,
        "measure": TITLES[what],
        "folds": "0" if list(folds) == [0] else f"{min(folds)} to {max(folds)}",
        "ours / rival": " / ".join(f"{np.mean([v[f] for f in folds]):.4f}" for v in (a, b)),
        "difference": f"{fold_test.value:+.4f}",
        "corrected t": told(fold_test) if len(folds) > 1 else "",
        "bootstrap of rows": "",
        "DeLong": "",
    }
    mine, its = (set(whole_seeds(results, name, folds)) for name in (method, rival))
    seeds = sorted(mine & its if min(len(mine), len(its)) > 1 else mine | its)
    pairs = [outcomes(results, name, scored, folds, seeds) for name in (method, rival)]
    if pairs[0] and pairs[1]:
        if sizes["data"] not in REPEATED:
            found = paired_difference(pairs[0], pairs[1], METRICS[what], n=RESAMPLES)
            row["bootstrap of rows"] = told(found)
        if what == "auc":
            one, other = (outcomes(results, name, scored, folds, [0]) for name in (method, rival))
            tests = [delong_difference(*both) for both in zip(one or [], other or [], strict=True)]
            sure = [test.value for test in tests if test.p_value < 0.05]
            up = sum(value > 0 for value in sure)
            row["DeLong"] = f"{up} / {len(sure) - up} of {len(folds)}"
            if len(tests) == 1:
                row["DeLong"] = told(tests[0])
    return row


def told(found: Difference) -> str:
    if np.isnan(found.p_value):
        return ""
    p = "p < .001" if found.p_value < 0.001 else f"p = {found.p_value:.3f}"
    return f"[{found.low:+.4f}, {found.high:+.4f}], {p}"


def sections(data: str, results: Results, scored: Scored) -> list[str]:
    """Return the tables of one data set."""
    lines = ["", f"## {PROTOCOLS[data]}", "", *markdown_table(list(method_rows(results, scored)))]
    if pairs := list(pair_rows(results, scored)):
        lines += ["", *markdown_table(pairs)]
    return lines


def keeper(data: str, predictions: Path) -> tuple[Scored, list[Job]]:
    """Return a function from a job to its scored test rows, and the list of those not kept."""
    loaded: list[credit_data.Data] = []
    missing: list[Job] = []

    def scored(job: Job) -> Outcome | None:
        score = credit_state.scores(job, predictions)
        if score is None:
            missing.append(job)
            return None
        loaded[:] = loaded or [credit_data.load(data)]
        return Outcome(y=loaded[0].y.iloc[loaded[0].folds[job.fold].test], score=score)

    return scored, missing


def notes(found: Mapping[str, Results], tuning: Sequence[Line], lost: int) -> list[str]:
    """Return what a reader must know: protocol, versions, hardware, hours."""
    lines = [line for results in found.values() for line in results.values()]
    hours = sum(line["seconds"] for line in [*lines, *tuning]) / 3600
    spent = sum(line["seconds"] for line in tuning) / 3600

    def distinct(key: str) -> str:
        return "; ".join(sorted({line[key] for line in lines if key in line}))

    machine = ", ".join(f"{key} {value}" for key, value in hardware().items())
    told_versions = ", ".join(f"{key} {value}" for key, value in versions().items())
    days = sorted(line["date"] for line in lines)
    more = [
        f"{len(lines)} jobs and {len(tuning)} trials took {hours:.2f} h in all, the trials "
        f"{spent:.2f} h; measured {days[0]} to {days[-1]}, load average before a job at most "
        f"{max(line['load'] for line in lines):.2f}.",
        f"Measured on: {distinct('machine')}. Table made on: {machine}.",
        f"Libraries of the methods: {distinct('libraries')}. All: {told_versions}.",
    ]
    if len({line["code"] for line in lines if "code" in line}) > 1:
        more.append(f"Ours were measured with several states of the code: {distinct('code')}.")
    if found_steps := [line["monotone"] for line in lines if "monotone" in line]:
        wrong = sum(one["violations"] for one in found_steps)
        more.append(
            f"Monotone scorecard: {wrong} steps in the wrong direction on grids of "
            f"{found_steps[0]['points']:,} points over each declared column, in {len(found_steps)} "
            "fits."
        )
    if lost:
        more.append(
            f"Scores of the test rows of {lost} jobs were not kept: their intervals and row tests "
            "are left out (`--rebuild`)."
        )
    return [*NOTES, *more]


def write(
    selected: Sequence[Job],
    state: Path,
    predictions: Path,
    absent: Mapping[str, str],
    folder: Path = FOLDER,
) -> list[Path]:
    """Write the dated tables, and every line they were made of; return both paths."""
    found, tuning, text, lost = {}, [], [], 0
    for data in dict.fromkeys(job.data for job in selected):
        done = credit_state.results(data, state)
        if results := {job: done[job] for job in selected if job in done}:
            scored, missing = keeper(data, predictions)
            text += sections(data, results, scored)
            found[data] = results
            lost += len(set(missing))
            trials = credit_state.trials(data, state)
            tuning += [line for job in selected for line in trials.get(job, ())]
    if not found:
        raise SystemExit("nothing of what was selected is measured yet")
    name = f"credit_{date.today().isoformat()}"
    told_notes = notes(found, tuning, lost)
    told_notes += [f"Absent: {method} ({why})." for method, why in absent.items()]
    head = [f"# credit, {date.today().isoformat()}", "", "`python tests/benchmarks/credit.py`"]
    tail = ["", *(f"- {note}" for note in told_notes), ""]
    paths = [folder / f"{name}.md", folder / f"{name}.jsonl"]
    with replacing(paths[0]) as new:
        new.write_text("\n".join([*head, *text, *tail]), encoding="utf-8")
    lines = [line for many in found.values() for line in many.values()]
    facts = {"notes": told_notes, "hardware": hardware(), "versions": versions()}
    with replacing(paths[1]) as new:
        whole = (json.dumps(line, ensure_ascii=False, allow_nan=False) for line in [facts, *lines])
        new.write_text("\n".join(whole) + "\n", encoding="utf-8")
    return paths


def readme_table(folder: Path = FOLDER) -> str:
    """Return AUC / log loss of every method and data set, made of the newest result."""
    paths = sorted(folder.glob("credit_????-??-??.jsonl"))
    lines = credit_state.read_lines(paths[-1])[1:] if paths else []
    rows: dict[str, Row] = {}
    for line in sorted(lines, key=lambda line: line["method"] in OURS):
        rows.setdefault(line["method"], {"AUC / log loss": line["method"]})
    for data in PROTOCOLS:
        results = {credit_state.job_of(line): line for line in lines if line["data"] == data}
        for method in methods(results):
            values = (list(by_fold(results, method, what).values()) for what in METRICS)
            done, whole = len(by_fold(results, method, "auc")), SIZES[data].folds
            told_folds = "" if done == whole else f" ({done} of {whole} folds)"
            rows[method][data] = " / ".join(f"{np.mean(v):.4f}" for v in values) + told_folds
    return "\n".join(markdown_table(list(rows.values())))


def put_readme() -> None:
    README.write_text(put(README.read_text("utf-8"), readme_table(), MARKS), "utf-8")
