"""What the report tells of a detector: thresholds, kinds, alerts with their reasons, drift.

Cells as in `tables`.
"""

from __future__ import annotations

from typing import Any

from fintech_dl.evaluation import detection_figures as figures
from fintech_dl.evaluation.reading import Record, models_of, named, words
from fintech_dl.evaluation.tables import Table, table
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    decimals,
    general,
    is_number,
    moment,
    number,
    percent,
    upper_first,
)

ALIKE, CHANGED = "as in training", {"watch": "to watch", "shift": "changed"}
NAMES = {"alerts": "alerts", "model": "its own"}


def detection(record: Record) -> dict[str, Any] | None:
    """Return what a detector found: figures, thresholds, kinds, alerts, and drift by period."""
    given = record.get("detection") or {}
    if not given:
        return None
    return {
        "text": _text(record, given),
        "figures": figures.listed(record),
        "beside": [one for one in (_thresholds(record, given), _shared(record, given)) if one],
        "kinds": _kinds(record, given),
        "alerts": _alerts(record, given),
        "reasons": any(a.get("reasons") for a in given.get("alerts") or []),
        "drift": _drift(record, given),
    }


def _text(record: Record, given: Record) -> str:
    w, drift = words(record), given.get("drift") or {}
    text = f"Of the newest {count(given.get('rows'))} test {w['rows']}, "
    text += f"{count(given.get('alerts_raised'))} raise an alert. "
    if not given.get("labelled", True):
        text += (
            f"No label says which {w['rows']} are {w['positives']}: nothing here tells whether the "
            "alerts are right. Look at the first of them; what people find there are the labels "
            "that a test needs. "
        )
    above, rare = drift.get("above"), drift.get("rare")
    if is_number(above) and is_number(rare):
        text += (
            f"A score that {percent(rare, 0)} of the training {w['rows']} exceed is exceeded by "
            f"{percent(above)} of the test {w['rows']}."
        )
    return text.strip()


def _thresholds(record: Record, given: Record) -> Table | None:
    lines = given.get("thresholds") or []
    places = decimals(t.get("score") for t in lines)
    several = {"model": "one per series"} if given.get("series") else {}
    rows = [
        [
            NAMES.get(str(t.get("name")), clean(t.get("name"), 40)),
            number(t.get("score"), places)
            if is_number(t.get("score"))
            else several.get(str(t.get("name")), MISSING),
            percent(t.get("flagged")),
            percent(t.get("false_alarm_rate")),
            percent(t.get("recall")),
        ]
        for t in lines
    ]
    w = words(record)
    head = ["threshold", "score", "flagged", "false alarms", "caught"]
    title = f"Thresholds: share of the newest test {w['rows']} that are flagged"
    if given.get("labelled", True):
        title += f", of those that are no {w['positive']}, and of the {w['positives']}"
    else:
        head, rows = head[:3], [row[:3] for row in rows]
    return table(title, head, rows) if rows else None


def _kinds(record: Record, given: Record) -> Table | None:
    """Return the share caught of each kind of positive, the model beside its rivals."""
    kinds, w, models = given.get("kinds") or [], words(record), models_of(record)
    rivals = [m for m in models if any(m.get("name") in (k.get("rivals") or {}) for k in kinds)]
    rows = []
    for k in kinds:
        caught = [k.get("recall"), *((k.get("rivals") or {}).get(m["name"]) for m in rivals)]
        best = max((v for v in caught if is_number(v)), default=None)
        cells = [{"text": percent(v, 0), "best": v == best and bool(v)} for v in caught]
        cells[0]["sub"] = f"[{percent(k.get('low'), 0)}, {percent(k.get('high'), 0)}]"
        ids = [clean(k.get("kind"), 60), count(k.get("in_training")), count(k.get("rows"))]
        rows.append([*ids, *cells])
    own = next((m["label"] for m in models if m["own"]), "model")
    head = ["kind", "in training", "in the test", own, *(m["label"] for m in rivals)]
    title = f"{upper_first(w['positives'])} caught by kind, with as many alerts for each model"
    return table(title, head, rows) if rows else None


def _shared(record: Record, given: Record) -> Table | None:
    """Return how many of the alerts each rival raises too; where labels are known they say more."""
    if given.get("labelled", True):
        return None
    models = models_of(record)
    rows = []
    for one in given.get("shared") or []:
        m = named(models, one.get("name"))
        rows.append([m["label"] if m else clean(one.get("name"), 60), percent(one.get("share"), 0)])
    title = "Alerts that a simple rival raises too, with as many alerts of its own"
    return table(title, ["rival", "shared"], rows) if rows else None


def _alerts(record: Record, given: Record) -> Table | None:
    """Return the highest alerts, each with its reasons."""
    alerts, w = given.get("alerts") or [], words(record)
    if not alerts:
        return None
    reasons = any(a.get("reasons") for a in alerts)
    labelled = any("y" in a for a in alerts)
    places = decimals(a.get("score") for a in alerts)

    def row(a: Record) -> list[Any]:
        cells: list[Any] = [general(a.get("rank")), {"text": clean(a.get("id"), 40), "keep": True}]
        if "when" in alerts[0]:
            cells.append({"text": moment(a.get("when")), "keep": True})
        if "who" in alerts[0]:
            cells.append(clean(a.get("who"), 40))
        cells.append(number(a.get("score"), places))
        if labelled:
            right = w["positive"] if a.get("y") == 1 else MISSING
            kind = clean(a.get("kind"), 60)
            cells.append(f"{right} ({kind})" if kind and a.get("y") == 1 else right)
        if reasons:
            cells.append("; ".join(_reason(r) for r in a.get("reasons") or []))
        return cells

    head = ["", w["row"], *(k for k in ("when", "who") if k in alerts[0]), "score"]
    head += [*(["was"] if labelled else []), *(["because of"] if reasons else [])]
    right_aligned = {0, head.index("score")}
    title = f"The {len(alerts)} highest alerts of the newest test"
    return table(title, head, [row(a) for a in alerts], right_aligned)


def _reason(reason: Record) -> str:
    value = reason.get("value")
    told = value
    if is_number(value):
        told = count(value) if abs(value) >= 1000 else f"{value:.4g}"
    return f"{clean(reason.get('feature'), 60)} = {clean(told, 40)}"


def _drift(record: Record, given: Record) -> Table | None:
    """Return the drift of the scores, a line for each period."""
    drift, w = given.get("drift") or {}, words(record)
    lines = drift.get("periods") or []
    places = decimals([drift.get("median"), *(p.get("median") for p in lines)])
    rows = [
        [
            {"text": clean(p.get("period"), 10), "keep": True},
            count(p.get("rows")),
            number(p.get("median"), places),
            percent(p.get("above")),
            count(p.get("alerts")),
            number(p.get("psi"), 3),
            number(p.get("chance_95"), 3),
            CHANGED.get(p.get("rule_of_thumb"), ALIKE) if p.get("beyond_chance") else ALIKE,
        ]
        for p in lines
    ]
    head = ["period", w["rows"], "median score", "with a rare score", "alerts", "PSI"]
    head += ["PSI by chance, 95%", "in words"]
    title = (
        f"Scores by period against those of the training {w['rows']}, whose median is "
        f"{number(drift.get('median'), places)}"
    )
    return table(title, head, rows, range(1, 7)) if rows else None
