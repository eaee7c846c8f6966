"""From the numbers of a validation to the figures of its report, as in `figures`."""

from __future__ import annotations

from collections.abc import Sequence

from fintech_dl.evaluation import charts
from fintech_dl.evaluation.charts import Axis, Guide, Line
from fintech_dl.evaluation.figures import Figure
from fintech_dl.evaluation.reading import Record
from fintech_dl.evaluation.svg import DOTTED, swatch
from fintech_dl.evaluation.wording import clean, is_number, number, percent

MOST = 14  # rows of a chart of dots


def cap(models: Sequence[Record]) -> Figure:
    """Return the cumulative accuracy profile of every model."""
    drawn = []
    for i, m in enumerate(models):
        curve = m["cap"]
        low, high = (curve["low"], curve["high"]) if i == 0 else (None, None)
        drawn.append(Line(curve["population"], curve["captured"], low, high, i))
    said = ", ".join(f"{clean(m['name'], 60)} Gini {number(m['gini']['value'], 3)}" for m in models)
    legend = [(swatch(i), clean(m["name"], 60)) for i, m in enumerate(models)]
    return {
        "title": "CAP curve",
        "svg": charts.curves(
            drawn,
            f"Cumulative accuracy profile of {said}",
            Axis("riskiest share of the rows", "share", 0, 1),
            Axis("bads among them", "share", 0, 1.02),
            [Guide("diagonal", text="by chance")],
        ),
        "read": "How many of the bads lie in the riskiest share of the rows. Higher is better; the "
        "Gini is the area above chance, as a share of that of a perfect order.",
        "legend": [*legend, (DOTTED, "by chance")],
    }


def grades(lines: Sequence[Record]) -> Figure | None:
    """Return default rate and mean PD by grade."""
    held = [d for d in lines if d["rows"]]
    places = [i + 1 for i, d in enumerate(lines) if d["rows"]]
    if len(held) < 2:
        return None
    rate, low, high, pd = ([d[k] for d in held] for k in ("observed", "low", "high", "mean_pd"))
    said = ", ".join(f"{clean(d['grade'], 20)} {percent(d['observed'])}" for d in held)
    return {
        "title": "Default rate by grade",
        "svg": charts.curves(
            [Line(places, rate, low, high, 0, True), Line(places, pd, style=1, points=True)],
            f"Default rate by grade: {said}",
            Axis("grade, 1 the best", "count"),
            Axis("share", "share", 0),
        ),
        "read": "The rate should rise from grade to grade, and the mean PD lie in the shaded 95% "
        "interval. Above it the model overstates the risk, below it understates it.",
        "legend": [(swatch(0), "default rate"), (swatch(1), "mean PD")],
    }


def cutoffs(given: Record) -> Figure:
    """Return the bad rate among the approved by approval rate."""
    lines = given["table"]
    chosen = given["chosen"][0]
    return {
        "title": "Bad rate among the approved",
        "svg": charts.curves(
            [Line([d["approval_rate"] for d in lines], [d["bad_rate_approved"] for d in lines])],
            f"Bad rate among the approved by approval rate; {percent(chosen['bad_rate_approved'])} "
            f"at {percent(chosen['approval_rate'])}",
            Axis("approved", "share", 0, 1),
            Axis("bad rate among them", "share", 0),
            [Guide("at", chosen["approval_rate"], "chosen")],
        ),
        "read": "What a stricter or a laxer cut-off would have let in.",
        "legend": [],
    }


def gini_by(lines: Sequence[Record], title: str) -> Figure | None:
    """Return the Gini of segments or vintages, all rows first."""
    held = [d for d in lines if is_number(d["gini"])][:MOST]
    if len(held) < 2:
        return None
    rows = [
        (clean(d["segment"], 60), d["gini"], d["gini_low"], d["gini_high"], min(i, 1))
        for i, d in enumerate(held)
    ]
    said = ", ".join(f"{name} {number(value, 2)}" for name, value, *_ in rows)
    return {
        "title": title,
        "svg": charts.dots(rows, f"{title}: {said}", "Gini"),
        "read": "With 95% intervals; a segment whose bar ends left of the first dot ranks worse "
        "than the whole.",
        "legend": [],
    }


def approvals(lines: Sequence[Record]) -> Figure | None:
    """Return what a change of each feature does to approvals, in percentage points."""
    effects: dict[str, list[float]] = {}
    for d in lines:
        effects.setdefault(clean(d["feature"], 60), []).append(100 * d["approval_change"])
    largest = sorted(effects.items(), key=lambda item: -max(map(abs, item[1])))[:MOST]
    if not largest:
        return None
    ends = {name: (min(v), max(v)) if len(v) > 1 else (None, None) for name, v in largest}
    rows = [(name, max(v, key=abs), *ends[name], 0) for name, v in largest]
    said = ", ".join(f"{name} {number(v, 1, sign=True)}" for name, v, *_ in rows[:5])
    return {
        "title": "Change in approvals",
        "svg": charts.dots(
            rows, f"Largest changes in approvals: {said}", "percentage points", from_zero=True
        ),
        "read": "The largest effect of a change of one feature on the share approved, at the "
        "unchanged cut-off; the line spans both directions.",
        "legend": [],
    }


def impact(lines: Sequence[Record], attribute: str) -> Figure | None:
    """Return the adverse impact ratio of each group of an attribute."""
    held = [d for d in lines if is_number(d["adverse_impact_ratio"]) and not d["is_reference"]]
    if not held:
        return None
    rows = [
        (clean(d["group"], 60), d["adverse_impact_ratio"], d["air_low"], d["air_high"], 0)
        for d in held[:MOST]
    ]
    base = next((clean(d["group"], 60) for d in lines if d["is_reference"]), "")
    said = ", ".join(f"{name} {number(value, 2)}" for name, value, *_ in rows)
    return {
        "title": f"Approvals by {clean(attribute, 60)}, against {base}",
        "svg": charts.dots(rows, f"Adverse impact ratio: {said}", "ratio of approval rates"),
        "read": f"1 is as often as {base}; below 0.8 is the four-fifths rule of thumb. With 95% "
        "intervals.",
        "legend": [],
    }
