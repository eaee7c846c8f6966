"""From the detection part of a run's record to the figures of its report, as in `figures`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from fintech_dl.evaluation import charts
from fintech_dl.evaluation.charts import Axis, Guide, Line
from fintech_dl.evaluation.figures import Figure
from fintech_dl.evaluation.reading import Record, models_of, named, words
from fintech_dl.evaluation.svg import swatch
from fintech_dl.evaluation.wording import clean, count, is_number, number, percent, upper_first


def workload(record: Record) -> Figure | None:
    """Return how many positives are caught for so many alerts a day, rivals beside the model."""
    decision, w = record.get("decision") or {}, words(record)
    models = models_of(record)
    parts = [(m, decision.get("curve") or {}) for m in models if m["own"]]
    for rival in decision.get("rivals") or []:
        found = named(models, rival.get("name"))
        parts += [(found, rival.get("curve") or {})] if found else []
    drawn = [(m, c) for m, c in parts if c.get("alerts_per_day") and c.get("recall")]
    if not drawn:
        return None
    day = decision.get("alerts_per_day")
    budget = is_number(day) and day > 0
    lines = []
    for m, c in drawn:
        pairs = [(a, r) for a, r in zip(c["alerts_per_day"], c["recall"], strict=True) if a > 0]
        lines.append(Line([a for a, _ in pairs], [r for _, r in pairs], style=m["style"]))
    names = ", ".join(m["label"] for m, _ in drawn)
    said = f"; the budget is {count(day)} a day" if budget else ""
    return {
        "title": f"{upper_first(w['positives'])} caught for so many alerts a day",
        "svg": charts.curves(
            lines,
            f"{upper_first(w['positives'])} caught against alerts a day for {names}{said}",
            Axis("alerts a day", "log"),
            Axis(f"{w['positives']} caught", "share", 0, 1.02),
            [Guide("at", float(day), "budget")] if is_number(day) and day > 0 else [],
        ),
        "read": "Each point is one threshold for all days; higher curves catch more for the same "
        "work. The upright line is how many alerts the decision raises; each step of the axis is "
        "ten times the work.",
        "legend": [(swatch(m["style"]), m["label"]) for m, _ in drawn],
    }


def distribution(record: Record) -> Figure | None:
    """Return how the scores of training rows, of other rows and of positives are spread."""
    given = record.get("detection") or {}
    part, w = given.get("distribution") or {}, words(record)
    edges = part.get("edges") or []
    kinds = (
        ("test", f"test {w['rows']}", 0),
        ("other", f"other test {w['rows']}", 0),
        ("positives", w["positives"], 1),
        ("training", f"training {w['rows']}", 5),
    )
    shown = [(part[key], name, style) for key, name, style in kinds if part.get(key)]
    if len(edges) < 2 or not shown:
        return None
    log = bool(part.get("log"))
    middle = [(a * b) ** 0.5 if log else (a + b) / 2 for a, b in pairwise(edges)]
    lines = [
        Line(middle, [v or None for v in values], None, None, style, True)
        for values, _, style in shown
    ]
    first: Record = next(
        (t for t in given.get("thresholds") or [] if is_number(t.get("score"))), {}
    )
    at, false = first.get("score"), first.get("false_alarm_rate")
    said = f"; alerts from {number(at, 3)} on" if is_number(at) else ""
    read = f"Each line is the share of its {w['rows']} that have such a score; both axes "
    read += "are logarithmic. " if log else "the upright axis is logarithmic. "
    read = read if log else read.replace("; both axes ", "; ")
    read += f"Right of the upright line {w['rows']} raise an alert"
    read += f", with a false-alarm rate of {percent(false)}. " if is_number(false) else ". "
    read += (
        "Where the test lies right of the training, scores have drifted, or were learned by heart."
    )
    return {
        "title": "How the scores are spread",
        "svg": charts.curves(
            lines,
            f"Distribution of the score: {', '.join(name for _, name, _ in shown)}{said}",
            Axis("anomaly score", "log" if log else "number"),
            Axis("share of its rows", "log"),
            [Guide("at", float(at), "alerts")] if is_number(at) else [],
        ),
        "read": read,
        "legend": [(swatch(style), name) for _, name, style in shown],
    }


def drift(record: Record) -> Figure | None:
    """Return the share of rows, period by period, whose score few training rows reach."""
    given, w = (record.get("detection") or {}).get("drift") or {}, words(record)
    periods = given.get("periods") or []
    days = [p["period"] + ("-01" if len(p["period"]) == 7 else "") for p in periods]
    rare = given.get("rare")
    if len(days) < 2 or not is_number(rare):
        return None
    above = [p.get("above") for p in periods]
    top = max([rare, *(v for v in above if is_number(v))])
    return {
        "title": "Do the scores stay where they were?",
        "svg": charts.curves(
            [Line(days, above, points=True)],
            f"Share of {w['rows']} above the score that {percent(rare, 0)} of the training "
            f"{w['rows']} exceed; at most {percent(top)}",
            Axis("", "day"),
            Axis(f"{w['rows']} with a rare score", "share", 0, 1.1 * top),
            [Guide("level", rare, "as in training")],
        ),
        "read": f"Of the training {w['rows']}, {percent(rare, 0)} have a score as high as the ones "
        "counted here. A line far above the dotted one says that a fixed threshold raises more "
        "alerts than was planned: train again, or set the threshold anew.",
        "legend": [(swatch(0), f"test {w['rows']}")],
    }


def series(record: Record) -> list[Figure]:
    """Return the scores along each series, its positives, and its threshold."""
    given, w = (record.get("detection") or {}).get("series") or [], words(record)
    found: list[Figure] = []
    for one in given:
        at, scores, level = one.get("at") or [], one.get("scores") or [], one.get("score")
        if len(at) < 2 or len(at) != len(scores) or not is_number(level):
            continue
        name = f" of {clean(one.get('name'), 40)}" if one.get("name") else ""
        flags = one.get("positive") or []
        marked = [s if flag else None for s, flag in zip(scores, flags, strict=False)]
        lines = [Line(at, marked, style=1, points=True)] if any(flags) else []
        false, known = one.get("false_alarm_rate"), [s for s in scores if is_number(s)]
        log = min([level, *known]) > 0
        read = f"{percent(one.get('flagged'))} of these {w['rows']} raise an alert, none below the "
        read += (
            f"dotted line, {'a threshold of their own' if one.get('own') else 'the same for all'}"
        )
        read += f", with a false-alarm rate of {percent(false)}" if is_number(false) else ""
        figure: Figure = {
            "title": f"The scores{name} along the test",
            "svg": charts.curves(
                [*lines, Line(at, scores)],
                f"Scores{name} in the order of time, at most {number(max(known), 3)}; flagged "
                f"above {number(level, 3)}",
                Axis("", "day") if isinstance(at[0], str) else Axis(w["rows"], "count"),
                Axis("anomaly score", "log" if log else "number"),
                [Guide("level", float(level), "threshold")],
            ),
            "read": f"{read}. Each point is the highest score of a short stretch.",
            "legend": [(swatch(0), "score"), *([(swatch(1), w["positives"])] if lines else [])],
        }
        found.append(figure)
    return found


def listed(record: Record) -> list[Any]:
    """Return the figures that the record has something for."""
    found = [figure for make in (workload, distribution, drift) if (figure := make(record))]
    return [*found, *series(record)]
