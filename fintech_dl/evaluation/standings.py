"""How the models stand: the verdict, the results beside the rivals, fold by fold, and the tests.

Cells as in `tables`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fintech_dl.evaluation import figures
from fintech_dl.evaluation import forecast_standings as forecast
from fintech_dl.evaluation.reading import (
    Record,
    entry,
    main_metric,
    metric_names,
    models_of,
    named,
    ran,
    words,
)
from fintech_dl.evaluation.tables import Table, listed, name_cell, rate, table
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    decimals,
    interval,
    interval_decimals,
    is_number,
    metric,
    moment,
    number,
    p_value,
    percent,
    sentence,
    upper_first,
)

OUTCOMES = {
    "beats": "Better than the best simple rival",
    "same": "No better than the best simple rival",
    "worse": "Worse than the best simple rival",
}


def verdict(record: Record) -> Record:
    """Return the verdict's text, its numbers in brackets apart, and its outcome in words."""
    given = record.get("verdict") or {}
    outcome = str(given.get("outcome"))
    said = OUTCOMES.get(outcome, "")
    text = clean(given.get("text"), 600)
    found = {"text": text, "outcome": outcome if said else "none", "words": said}
    found |= forecast.headline(record)
    bracket = re.fullmatch(r"(.+) \(([^()]+)\)\.?", found["text"])
    numbers = sentence(bracket[2]) if bracket else ""
    if text != found["text"]:
        numbers = f"{numbers} {text}".strip()
    return found | {"text": f"{bracket[1]}." if bracket else found["text"], "numbers": numbers}


def facts(record: Record) -> list[tuple[str, str, str]]:
    """Return what a reader in a hurry takes along, a few numbers: name, value, remark."""
    found = []
    name, models, decided = main_metric(record), ran(record), record.get("decision") or {}
    value = entry(models[0], name).get("value") if models else None
    if name and is_number(value):
        rival = named(models, (record.get("verdict") or {}).get("rival"))
        places = _telling([value, entry(rival or {}, name).get("value")])
        remark = metric(name).short
        if rival:
            remark = f"{rival['label']}: {number(entry(rival, name).get('value'), places)}"
        found.append((upper_first(metric(name).title), number(value, places), remark))
    found += forecast.facts(record)
    saved = decided.get("savings") or {}
    if is_number(saved.get("value")):
        ends = [percent(saved.get(end), 0) for end in ("low", "high")]
        remark = "" if MISSING in ends else f"95% interval {ends[0]} to {ends[1]}"
        found.append(("Cost saved", percent(saved["value"], 0), remark))
    if is_number(decided.get("alerts_per_day")):
        right = decided.get("precision")
        remark = f"{percent(right, 0)} of them right" if is_number(right) else ""
        found.append(("Alerts a day", rate(decided["alerts_per_day"]), remark))
    if is_number(decided.get("recall")):
        caught = f"{upper_first(words(record)['positives'])} caught"
        found.append((caught, percent(decided["recall"], 0), "at the chosen threshold"))
    return found


def results(record: Record) -> Record:
    """Return the results: every model by every metric, by fold, and the paired tests."""
    models, names = models_of(record), metric_names(record)
    if not models or not names:
        return {}
    columns = {name: column(models, name) for name in names}
    against = forecast.against_best(record)
    rows: list[list[Any]] = []
    for i, m in enumerate(models):
        if m.get("ran", True):
            further = [texts[i] for _, texts in against]
            rows.append([name_cell(m), *(columns[n][i] for n in names), *further])
        else:
            said = f"not run: {clean(m.get('reason'))}"
            rows.append([name_cell(m), {"text": said, "span": len(names) + len(against)}])
    main, tests = main_metric(record), record.get("comparison") or []
    folds = [t for n in sorted(names, key=lambda n: n != main) if (t := _by_fold(record, n))]
    return {
        "table": table(
            f"On test {words(record)['rows']}, with 95% intervals; the best of each column is bold",
            ["model", *(metric(n).short for n in names), *(head for head, _ in against)],
            rows,
        ),
        "figures": listed(figures.comparison_figure(record)),
        "glossary": [
            *((metric(n).short, _plain(n, words(record))) for n in names),
            *forecast.glossary(record),
        ],
        "apart": _apart(record, names),
        "folds": folds[:1],
        "more_folds": folds[1:],
        "tests": _tests(record, [t for t in tests if t.get("metric") == main]),
        "more_tests": _tests(record, [t for t in tests if t.get("metric") != main]),
    }


def column(models: Sequence[Record], name: str) -> list[Any]:
    """Return one metric's cells, a model each: value, interval, best or not; None if not run."""
    entries = [entry(m, name) if m.get("ran", True) else {} for m in models]
    values = [e.get("value") for e in entries]
    places = _telling(values)
    ends = interval_decimals(entries, places)
    finite = [v for v in values if is_number(v)]
    best, up = None, metric(name).higher_is_better
    if len(set(finite)) > 1:
        best = min(finite, key=abs) if up is None else max(finite) if up else min(finite)
    return [
        {
            "text": number(e.get("value"), places),
            "sub": interval(e.get("low"), e.get("high"), ends),
            "best": best is not None and e.get("value") == best,
        }
        if m.get("ran", True)
        else None
        for m, e in zip(models, entries, strict=True)
    ]


def _telling(values: Sequence[Any]) -> int:
    """Return the decimals of a column, up to two more where they tell models apart."""
    places, different = decimals(values), {v for v in values if is_number(v)}
    for more in range(3):
        if len({number(v, places + more) for v in different}) == len(different):
            return places + more
    return places


def _apart(record: Record, names: Sequence[str]) -> Record:
    """Return what came after the test and is in no verdict: a sentence, and all models on it."""
    folds, w = (record.get("protocol") or {}).get("folds") or [{}], words(record)
    models = [m | {"metrics": m["apart"]} for m in ran(record) if m.get("apart")]
    late = folds[0].get("apart") or {}
    if not models or not late:
        return {}
    share = ""
    if is_number(late.get("positives")) and late["rows"]:
        share = f", {percent(late['positives'] / late['rows'])} of them {w['positives']}"
    text = (
        f"After the test came {count(late['rows'])} {w['rows']}, from {moment(late['from'])} to "
        f"{moment(late['to'])}{share}. Their labels had less time to show than those of the test, "
        "so that they are told apart: no verdict, interval or decision counts them."
    )
    columns = [column(models, name) for name in names]
    rows = [[name_cell(m), *(cells[i] for cells in columns)] for i, m in enumerate(models)]
    head = ["model", *(metric(n).short for n in names)]
    return {"text": text, "table": table(f"On {w['rows']} after the test", head, rows)}


def _by_fold(record: Record, name: str) -> Table | None:
    models = [m for m in ran(record) if entry(m, name).get("folds")]
    lists = [entry(m, name)["folds"] for m in models]
    n = max(map(len, lists), default=0)
    if n < 2:
        return None
    given = [clean(f.get("name"), 24) for f in (record.get("protocol") or {}).get("folds") or []]
    heads = given if len(given) == n else [f"fold {i + 1}" for i in range(n)]
    places = decimals(v for values in lists for v in values)
    rows = [
        [name_cell(m), *(number(v, places) for v in values), *[MISSING] * (n - len(values))]
        for m, values in zip(models, lists, strict=True)
    ]
    return table(f"{metric(name).short} by fold", ["model", *heads], rows)


def _tests(record: Record, tests: Sequence[Record]) -> Table | None:
    models = models_of(record)
    kinds = list(dict.fromkeys(clean(t.get("test"), 120) for t in tests))

    def row(test: Record) -> list[Any]:
        name = str(test.get("metric"))
        known, rival = metric(name), named(models, test.get("rival"))
        places = decimals(entry(m, name).get("value") for m in models)
        low, high = test.get("low"), test.get("high")
        said = "no clear difference"
        if known.higher_is_better is None:
            said = MISSING
        elif is_number(low) and is_number(high) and low * high > 0:
            said = "model better" if (low > 0) == known.higher_is_better else "rival better"
        return [
            rival["label"] if rival else clean(test.get("rival"), 60),
            known.short,
            number(test.get("difference"), places, sign=True),
            interval(low, high, places, sign=True) or MISSING,
            p_value(test.get("p_value")),
            {"text": said, "keep": True},
            *([clean(test.get("test"), 120)] if len(kinds) > 1 else []),
        ]

    head = ["rival", "metric", "difference", "95% interval", "p-value", "in words", "test"]
    title = f"Model minus rival, on the same test {words(record)['rows']}"
    if len(kinds) == 1 and kinds[0]:
        title += f"; {kinds[0]}"
    rows = [row(t) for t in tests]
    return table(title, head[: len(rows[0])], rows, (2, 3, 4)) if rows else None


def _plain(name: str, w: dict[str, str]) -> str:
    """Return what a metric says, in the record's own words."""
    text = f"{metric(name).title}: {metric(name).text}"
    return text.replace("positives", w["positives"]).replace("positive", w["positive"])
