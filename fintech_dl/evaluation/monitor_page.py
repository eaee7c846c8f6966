"""The page of a monitored run: one self-contained HTML file, made of its record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fintech_dl.evaluation.figures import Figure, calibration_figure
from fintech_dl.evaluation.reading import Record
from fintech_dl.evaluation.report import filled, write_page
from fintech_dl.evaluation.stability import LEVEL
from fintech_dl.evaluation.svg import COLOURS, box, surface
from fintech_dl.evaluation.tables import Table, listed, table
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    decimals,
    interval,
    is_number,
    metric,
    moment,
    number,
    p_value,
    percent,
)

PAGE = "monitor.html"
CURVE = ("predicted", "observed", "low", "high", "rows")
MOST_BINS = 12  # of a chart; the JSON has all
MOST_CHARTS = 8
MOST_LINES = 25  # of the table that is open


def render_monitor(record: Record) -> str:
    """Return the page of a monitored run: escaped, without scripts, the same for the same record.

    Parameters
    ----------
    record : dict
        Of ``scoring.monitor.monitor``. Names of columns, categories and files may be hostile.

    Raises
    ------
    NotInstalledError
        If matplotlib or jinja2 is not installed.

    Examples
    --------
    >>> from fintech_dl.evaluation.monitor_page import render_monitor
    >>> page = render_monitor({"verdict": {"outcome": "quiet", "text": "No alarm."}})
    >>> "No alarm." in page, "<script" in page
    (True, False)
    """
    found = record.get("drift") or {}
    given = {"against": "the reference", **(record.get("against") or {})}
    return filled(
        "monitor.html",
        record=record,
        outcome={"alarm": "worse", "quiet": "beats"}.get(record["verdict"]["outcome"], "same"),
        verdict=clean(record["verdict"]["text"], 2000),
        facts=_facts(record),
        against=clean(given["against"], 200),
        score=_score_figures(found),
        alerts=_alerts(found.get("alerts") or {}),
        features=_features(found),
        quarantine=_quarantine(found),
        parts=_parts(found),
        labels=_labels(record.get("labels") or {}),
    )


def write_monitor(record: Record, folder: str | os.PathLike[str]) -> Path:
    """Write the page to ``folder/monitor.html``, whole or not at all; returns its path.

    Raises
    ------
    OutputError
        If the folder cannot be written; nothing is left behind.
    NotInstalledError
        If matplotlib or jinja2 is not installed.
    """
    return write_page(render_monitor(record), Path(folder) / PAGE)


def _facts(record: Record) -> list[tuple[str, str, str]]:
    """Return the numbers that a reader in a hurry takes along."""
    totals, found = record.get("totals") or {}, record.get("drift") or {}
    facts = []
    if totals:
        facts.append(("Rows", count(totals["rows"]), f"{count(totals['scored'])} scored"))
    if not found:
        return facts
    score, aside, alerts = found["score"], found["quarantine"], found["alerts"]
    changed = sum(one["alarm"] for one in found["features"])
    facts += [
        ("PSI of the score", number(score["psi"], 3), _by_chance(score)),
        ("Features changed", count(changed), f"of {count(len(found['features']))}"),
        ("Set aside", percent(aside["actual"]), f"before: {percent(aside['expected'])}"),
    ]
    if alerts:
        before = f"before: {percent(alerts['expected'])}"
        facts.append(("Alerts", percent(alerts["actual"]), before))
    return facts


def _by_chance(one: Record) -> str:
    return f"by chance up to {_chance(one)}"


def _chance(one: Record) -> str:
    return number(one["chance_95"], 3 if one["chance_95"] >= 0.01 else 4)


def _score_figures(found: Record) -> list[Figure]:
    return [_bins_figure("The score", found["score"])] if found else []


def _alerts(one: Record) -> str:
    if not one:
        return ""
    shares = f"{percent(one['actual'])} of the scored rows, {percent(one['expected'])} before"
    return f"Alerts: {shares}: {_said(one)}."


def _features(found: Record) -> Record:
    """Return the charts of the features that changed, and a line for every feature."""
    lines = found.get("features") or []
    alarms = [one for one in lines if one["alarm"]]
    shown = (alarms or lines[:3])[:MOST_CHARTS]
    head = ["feature", "PSI", "by chance", "rule of thumb", "p", "missing", "unseen", "verdict"]
    rows = [
        [
            clean(one["name"], 80),
            number(one["psi"], 3),
            _chance(one),
            one["rule_of_thumb"],
            p_value(one["p_adjusted"]),
            {
                "text": percent(one["missing_actual"]),
                "sub": f"before {percent(one['missing_expected'])}",
            },
            percent(one["unseen"]),
            _said(one),
        ]
        for one in lines
    ]
    right = (1, 2, 4, 5, 6)
    rest = rows[MOST_LINES:]
    if not lines:
        return {}
    return {
        "figures": [_bins_figure(one["name"], one) for one in shown],
        "table": table("Features, the most changed first", head, rows[:MOST_LINES], right),
        "rest": table("The other features", head, rest, right) if rest else None,
        "n_rest": len(rest),
    }


def _said(one: Record) -> str:
    if one["alarm"]:
        return "alarm"
    return "beyond chance, but small" if one["beyond_chance"] else "within chance"


def _quarantine(found: Record) -> Record:
    given = found.get("quarantine") or {}
    lines = [one for one in given.get("reasons") or [] if one["rows"] or one["expected"]]
    rows = [
        [clean(one["reason"], 80), count(one["rows"]), percent(one["actual"]), _before(one)]
        for one in lines[:50]
    ]
    head = ["reason", "rows", "share", "before"]
    return given and {
        "said": _said(given),
        "share": percent(given["actual"]),
        "before": percent(given["expected"]),
        "table": table("Why rows were set aside", head, rows) if rows else None,
    }


def _before(one: Record) -> str:
    return percent(one["expected"]) if is_number(one["expected"]) else MISSING


def _parts(found: Record) -> Table | None:
    head = ["part of the input", "rows", "set aside", "PSI of score", "most changed", "PSI"]
    head.append("by chance")
    rows = [
        [
            clean(one["part"], 120),
            count(one["rows"]),
            percent(one["quarantined"]),
            number(one["score_psi"], 3),
            clean(one["most_changed"], 80),
            number(one["psi"], 3),
            _chance(one),
        ]
        for one in found.get("parts") or []
    ]
    title = "Where the rows differ most: PSI against the reference, part by part"
    return table(title, head, rows, (1, 2, 3, 5, 6)) if rows else None


def _labels(given: Record) -> Record:
    """Return how good the scores were: metrics against the run's own test, and calibration."""
    if not given:
        return {}
    rows = []
    for one in given["checks"]:
        known = metric(one["name"])
        values = [one["value"], one["test"]["value"]]
        places = decimals(values)
        rows.append(
            [
                known.short,
                _with_ends({**one, "value": values[0]}, places),
                _with_ends(one["test"], places),
                p_value(one["p_adjusted"]),
                _judged(one),
            ]
        )
    curve = given.get("curve") or []
    groups = [
        [
            count(one["rows"]),
            percent(one["predicted"]),
            percent(one["observed"]),
            _ends(one["low"], one["high"]),
        ]
        for one in curve
    ]
    days = [
        [moment(one["day"]), count(one["scored"]), percent(one["share"])] for one in given["by_day"]
    ]
    head = ["metric", "these rows", "test of the run", "p", "verdict"]
    return {
        "figures": _curves(curve, given.get("test_curve") or []),
        "texts": [clean(text, 600) for text in given["texts"]],
        "table": table("These rows against the test of the run", head, rows, (1, 2, 3)),
        "curve": table(
            "Groups of similar scores",
            ["rows", "predicted", "happened", "95% interval"],
            groups,
            range(4),
        )
        if groups
        else None,
        "days": table("Labels by day, the latest days", ["day", "scored", "labelled"], days)
        if days
        else None,
    }


def _curves(now: list[Record], before: list[Record]) -> list[Figure]:
    """Return the calibration curve of these rows, that of the run's test beside it."""
    models = [
        {
            "name": title,
            "title": title,
            "is_baseline": i > 0,
            "curves": {"calibration": {key: [one[key] for one in lines] for key in CURVE}},
        }
        for i, (title, lines) in enumerate((("these rows", now), ("test of the run", before)))
        if lines
    ]
    return listed(calibration_figure({"models": models})) if now else []


def _judged(one: Record) -> str:
    if one["worse"]:
        return "alarm" if one["alarm"] else "worse, but little"
    return "better" if one["p_adjusted"] < LEVEL else "as before"


def _with_ends(one: Record, places: int) -> Record:
    return {
        "text": number(one.get("value"), places),
        "sub": interval(one.get("low"), one.get("high"), places),
    }


def _ends(low: Any, high: Any) -> str:
    return f"{percent(low)} to {percent(high)}" if is_number(low) and is_number(high) else MISSING


def _bins_figure(title: str, one: Record) -> Figure:
    """Return the shares of the bins, before and now; of many bins the largest."""
    bins = one["bins"]
    lines = list(zip(bins["bin"], bins["expected"], bins["actual"], strict=True))
    if len(lines) > MOST_BINS:
        kept = sorted(lines, key=lambda line: -max(line[1:]))[:MOST_BINS]
        lines = [line for line in lines if line in kept]
    names, old, new = zip(*lines, strict=True)
    return {
        "title": clean(title, 60),
        "svg": _pairs(names, old, new, f"{clean(title, 60)}: shares of rows, before and now"),
        "read": f"PSI {number(one['psi'], 3)}, {_by_chance(one)}: {_said(one)}.",
        "legend": [(box("soft"), "before"), (box("s0"), "now")],
    }


def _pairs(names: Sequence[str], old: Sequence[float], new: Sequence[float], alt: str) -> str:
    def draw(ax: Any) -> None:
        for values, shift, colour in ((old, -0.2, "soft"), (new, 0.2, "s0")):
            at = [i + shift for i in range(len(names))]
            ax.barh(at, values, height=0.38, color=COLOURS[colour], linewidth=0)
        ax.set_yticks(range(len(names)), [clean(name, 26) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        ax.locator_params(axis="x", nbins=5)
        ax.set_xlabel("share of rows")
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x")

    return surface(draw, alt, height=62 + 24 * len(names))
