"""From the record of a run to the tables and sentences of its report: plain cells, no markup.

Each function takes the whole record and returns what one section of the page shows; an empty
result means that the record has nothing for it. A cell is a text, or a dict with ``text`` and
``sub`` (small, below), ``best`` (bold), ``own`` (the run's model), ``keep`` (on one line) or
``span`` (over so many columns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fintech_dl.evaluation import figures
from fintech_dl.evaluation.reading import (
    Record,
    entry,
    metric_names,
    models_of,
    named,
    ran,
    words,
)
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    decimals,
    general,
    interval,
    is_number,
    metric,
    moment,
    number,
    percent,
    seconds,
    sentence,
)

Table = dict[str, Any]  # caption; head: list of (text, is_number); rows: lists of cells


def data(record: Record) -> Record:
    """Return the data card: what was read, why rows were set aside, and the columns."""
    given = record.get("data") or {}
    rows = [
        [
            clean(c.get("name"), 80),
            clean(c.get("type"), 40),
            clean(c.get("unit"), 40) or MISSING,
            percent(c.get("missing_share")),
        ]
        for c in given.get("columns") or []
    ]
    head = ["column", "type", "unit", "missing"]
    reasons = given.get("quarantine_reasons") or {}
    return given and {
        "given": given,
        "reasons": [(clean(k, 80), count(v)) for k, v in reasons.items()],
        "left_out": [
            (clean(k, 80).replace("_", " "), count(v))
            for k, v in (given.get("left_out") or {}).items()
        ],
        "columns": table("Columns of the data", head, rows, (3,)) if rows else None,
    }


def protocol(record: Record) -> Record:
    """Return how the run was tested: the picture in time and a line for each fold."""
    given = record.get("protocol") or {}
    folds = given.get("folds") or []
    return given and {
        "given": given,
        "text": sentence(given.get("text")),
        "figures": listed(figures.timeline_figure(record)),
        "removed": any(f.get("removed_known") for f in folds),
        "purged": any(is_number(f.get("purged")) for f in folds),
        "table": folds_table(folds, "Folds", words(record)) if folds else None,
    }


def folds_table(folds: Sequence[Record], caption: str, w: Mapping[str, str]) -> Table:
    """Return a line for each fold: when and how much was learned from and tested on."""

    def span(fold: Record, part: str) -> Any:
        ends = [fold.get(f"{part}_from"), fold.get(f"{part}_to")]
        if not any(ends):
            return MISSING
        return {"text": moment(ends[0]), "sub": f"to {moment(ends[1])}", "keep": True}

    parts: list[tuple[str, bool, Callable[[Record], Any]]] = [
        ("training", False, lambda f: span(f, "train")),
        (f"training {w['rows']}", True, lambda f: count(f.get("rows_train"))),
        (f"training {w['positives']}", True, lambda f: count(f.get("positives_train"))),
        ("test", False, lambda f: span(f, "test")),
        (f"test {w['rows']}", True, lambda f: count(f.get("rows_test"))),
        (f"test {w['positives']}", True, lambda f: count(f.get("positives_test"))),
        ("already known, removed", True, lambda f: count(f.get("removed_known") or None)),
        ("purged", True, lambda f: count(f.get("purged"))),
    ]
    shown = [p for p in parts if any(p[2](f) != MISSING for f in folds)]
    rows = [
        [{"text": clean(f.get("name"), 40), "keep": True}, *(p[2](f) for p in shown)] for f in folds
    ]
    right = [i for i, part in enumerate(shown, 1) if part[1]]
    return table(caption, ["fold", *(p[0] for p in shown)], rows, right)


def search(record: Record) -> Record:
    """Return the search: where it looked, the ten best trials, and the model as it was before."""
    given, w = record.get("search") or {}, words(record)
    log = [trial for trial in given.get("log") or [] if isinstance(trial, dict)]
    known = metric(str(given.get("metric") or "the metric"))
    sign = -1 if known.higher_is_better else 1
    good = [trial for trial in log if is_number(trial.get("mean"))]
    good.sort(key=lambda trial: (-_share(trial), sign * trial["mean"]))
    shown = [t for i, t in enumerate(good) if i < 10 or not t.get("trial")]
    whole = all(_share(trial) == 1 for trial in shown)
    places = decimals(trial["mean"] for trial in shown)
    addresses = list(dict.fromkeys(key for t in shown for key in t.get("params") or {}))
    at = (given.get("best") or {}).get("trial")
    best = next((t for t in shown if at is not None and t.get("trial") == at), None)
    rows = [
        [
            {"text": _trial_name(trial), "own": trial is best, "keep": True},
            *(general((trial.get("params") or {}).get(address)) for address in addresses),
            {
                "text": number(trial["mean"], places),
                "sub": ", ".join(number(v, places) for v in (trial.get("folds") or [])[:10]),
            },
            *([] if whole else [percent(trial.get("share"))]),
            seconds(trial.get("seconds")),
        ]
        for trial in shown
    ]
    n = len(addresses)
    head = ["trial", *(clean(key, 60) for key in addresses), known.short]
    head += [*([] if whole else [f"of the {w['rows']}"]), "time"]
    failed = [trial for trial in log if trial.get("reason")]
    folds = given.get("folds") or []
    return given and {
        "given": given,
        "metric": known.title,
        "time": seconds(given["seconds"]) if given.get("seconds") else "",
        "gain": _gain(given, known.short),
        "figures": listed(figures.search_figure(record)),
        "table": table("The best trials", head, rows, range(n + 1, len(head))) if rows else None,
        "failed": [
            (_trial_name(t), f"{general(t.get('params') or {})}: {clean(t['reason'])}")
            for t in failed[:10]
        ],
        "n_failed": len(failed),
        "folds": folds_table(folds, "Tests of trials, all before the tests of this report", w)
        if folds
        else None,
    }


def _trial_name(trial: Record) -> str:
    return f"trial {general(trial['trial'])}" if trial.get("trial") else "as it was"


def _share(trial: Record) -> float:
    share = trial.get("share")
    return share if is_number(share) else 1.0


def _gain(given: Record, short: str) -> str:
    """Return in words what the search brought."""
    best, default = given.get("best") or {}, given.get("default") or {}
    if not given.get("improved"):
        return "Nothing that was tried is better: the parameters stay as they were."
    ends = [best.get("mean"), default.get("mean")]
    places = decimals(ends)
    before = number(ends[1], places) if is_number(ends[1]) else "none, for it could not be fitted"
    return (
        f"The model of this report has the parameters of {_trial_name(best)}: {short} "
        f"{number(ends[0], places)}; as it was: {before}. The best of many trials looks better "
        "here than it is; the test above says what it is worth."
    )


def decision(record: Record) -> Record:
    """Return the decision: what the chosen threshold catches, costs and saves."""
    given = record.get("decision") or {}
    models, unit = models_of(record), clean(given.get("unit"), 12)
    own = next((m for m in models if m["own"]), None)
    parts = [(own, given), *((named(models, r.get("name")), r) for r in given.get("rivals") or [])]
    rows = [
        [
            name_cell(model) if model else clean(part.get("name"), 60) or "model",
            number(part.get("threshold"), max(decimals([part.get("threshold")]), 3)),
            count(part.get("alerts")),
            rate(part.get("alerts_per_day")),
            count(part.get("true_alerts")),
            percent(part.get("precision"), 0),
            percent(part.get("recall"), 0),
            count(part.get("cost")),
            _saved(part.get("savings") or {}),
        ]
        for model, part in parts
    ]
    head = ["model", "threshold", "alerts", "alerts a day", "right alerts", "precision", "recall"]
    head += [f"cost, {unit}" if unit else "cost", "savings"]
    told = [i for i in range(len(head)) if i < 2 or any(_text(row[i]) != MISSING for row in rows)]
    head, rows = [head[i] for i in told], [[row[i] for i in told] for row in rows]
    cost, trivial = given.get("cost"), given.get("cost_of_best_trivial")
    return given and {
        "given": given,
        "text": sentence(given.get("text")),
        "unit": unit,
        "saved": trivial - cost if is_number(cost) and is_number(trivial) else None,
        "table": table(
            f"What the alerts catch and cost, on test {words(record)['rows']}",
            *_without_constant(head, rows, at=1),
        ),
        "figures": figures.decision_figures(record),
    }


def _text(cell: Any) -> str:
    return str(cell["text"] if isinstance(cell, dict) else cell)


def _saved(savings: Record) -> Record:
    ends = [percent(savings.get(end), 0) for end in ("low", "high")]
    return {
        "text": percent(savings.get("value"), 0),
        "sub": "" if MISSING in ends else f"[{ends[0]}, {ends[1]}]",
    }


def _without_constant(head: list[str], rows: list[Any], at: int) -> tuple[list[str], list[Any]]:
    """Return head and rows without a column that says the same in each of several rows."""
    if len(rows) > 1 and len({row[at] for row in rows}) == 1:
        return [*head[:at], *head[at + 1 :]], [[*r[:at], *r[at + 1 :]] for r in rows]
    return head, rows


def calibration(record: Record) -> Record:
    """Return the calibration curves, and the groups of the run's model in numbers."""
    figure = figures.calibration_figure(record)
    if not figure:
        return {}
    model = next((m for m in ran(record) if m["own"]), None)
    curve = ((model or {}).get("curves") or {}).get("calibration") or {}
    parts = [curve.get(key) or [] for key in ("rows", "predicted", "observed")]
    rows = [
        [count(n), percent(predicted), percent(observed)]
        for n, predicted, observed in zip(*parts, strict=False)
    ]
    head = [words(record)["rows"], "predicted", "happened"]
    title = f"{model['label']}: groups of similar scores" if model else ""
    groups = table(title, head, rows, range(3)) if 0 < len(rows) <= 20 else None
    return {"figures": [figure], "tables": listed(groups)}


def training(record: Record) -> Record:
    """Return the training history, the settings, and each model's gap between training and test."""
    given, w = record.get("training") or {}, words(record)["rows"]
    names, rows = metric_names(record), []
    columns = {name: _gaps(ran(record), name) for name in names}
    names = [name for name in names if any(columns[name])]
    for i, m in enumerate(ran(record)):
        cells = [columns[name][i] for name in names]
        if any(cells):
            rows.append([name_cell(m), *(cell or MISSING for cell in cells)])
    if not given and not rows:
        return {}
    title = f"Gap: on training {w} minus on test {w}"
    head = ["model", *(metric(n).short for n in names)]
    return {
        "given": given,
        "figures": listed(figures.training_figure(record)),
        "gap": table(title, head, rows) if rows else None,
        "settings": [(clean(k, 80), general(v)) for k, v in (given.get("settings") or {}).items()],
    }


def _gaps(models: Sequence[Record], name: str) -> list[Record | None]:
    """Return a metric on training rows minus the same on test rows, both below, a model each."""
    pairs = [
        ((m.get("train_metrics") or {}).get(name), entry(m, name).get("value")) for m in models
    ]
    places = decimals(v for pair in pairs for v in pair)
    return [
        {
            "text": number(learned - tested, places, sign=True),
            "sub": f"{number(learned, places)} to {number(tested, places)}",
        }
        if is_number(learned) and is_number(tested)
        else None
        for learned, tested in pairs
    ]


def speed(record: Record) -> Table | None:
    """Return time to fit, rows scored a second and peak memory of each model."""
    keys = ("fit_seconds", "rows_per_second", "peak_memory_mb")
    models = [m for m in ran(record) if any(is_number(m.get(k)) for k in keys)]
    rows = [
        [name_cell(m), seconds(m.get(keys[0])), count(m.get(keys[1])), count(m.get(keys[2]))]
        for m in models
    ]
    head = ["model", "time to fit", f"{words(record)['rows']} scored a second", "peak memory, MB"]
    return table("Speed and memory", head, rows) if rows else None


def importance(record: Record) -> Record:
    """Return the importance of the columns: the chart of the largest, and all in a table."""
    if not record.get("importance"):
        return {}
    items = [i for i in record.get("importance") or [] if is_number(i.get("mean"))]
    items.sort(key=lambda i: -i["mean"])
    places = decimals(i["mean"] for i in items)
    rows = [
        [
            clean(i.get("feature"), 120),
            number(i["mean"], places, sign=True),
            interval(i.get("low"), i.get("high"), places, sign=True) or MISSING,
        ]
        for i in items
    ]
    every = table("All columns", ["column", "drop", "95% interval"], rows)
    few = 0 < len(rows) <= 20
    return {
        "figures": listed(figures.importance_figure(record)),
        "beside": [every] if few else [],
        "below": None if few else every,
    }


def rate(value: Any) -> str:
    """Return how many a day: whole numbers, with one decimal below ten."""
    return number(value, 1) if is_number(value) and value < 10 else count(value)


def name_cell(model: Record) -> Record:
    """Return the cell that heads a model's row."""
    return {"text": model["label"], "own": model["own"]}


def table(
    caption: str, head: list[str], rows: list[list[Any]], numeric: Iterable[int] | None = None
) -> Table:
    """Return a table; all columns but the first hold numbers unless said otherwise."""
    right = set(range(1, len(head)) if numeric is None else numeric)
    cells = [[c if isinstance(c, dict) else {"text": c} for c in row] for row in rows]
    return {
        "caption": caption,
        "head": [(h, i in right) for i, h in enumerate(head)],
        "rows": cells,
    }


def listed(figure: Any) -> list[Any]:
    """Return a list of one figure, or of none."""
    return [figure] if figure else []
