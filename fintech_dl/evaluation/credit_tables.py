"""What the report tells a lender beside the scores: first reasons, and the table of points."""

from __future__ import annotations

from typing import Any

from fintech_dl.cards.credit import REFERENCES
from fintech_dl.evaluation.reading import Record, words
from fintech_dl.evaluation.tables import table
from fintech_dl.evaluation.wording import clean, count, general, number, percent


def reasons(record: Record) -> dict[str, Any] | None:
    """Return why rows of the newest test were declined: a sentence and a table of first reasons."""
    found = record.get("reasons") or {}
    if not found:
        return None
    if "reason" in found:
        return {"text": f"No reasons were told: {clean(found['reason'], 600)}."}
    w, declined = words(record), found["declined"]
    text = (
        f"{count(declined)} of the newest {count(found['rows'])} test {w['rows']} are declined, "
        f"each compared with {REFERENCES.get(found['reference'], clean(found['reference'], 40))}; "
        "all their reasons are in reasons.csv."
    )
    if (record.get("decision") or {}).get("rule") == "cost":
        text += (
            " They are reasons of the score; the decision also weighs what a default would lose."
        )
    if n := found["unexplained"]:
        text += f" For {count(n)} nothing can be named: a person must look at them."
    lines = [
        [clean(d["feature"], 80), clean(d["text"]), count(d["rows"]), percent(d["rows"] / declined)]
        for d in found["first"][:12]
    ]
    head = ["feature", "told as", "declined", "share"]
    return {"text": text, "table": table("First reasons", head, lines, (2, 3)) if lines else None}


def points(record: Record) -> dict[str, Any] | None:
    """Return the table of points and how far it decides as the model does."""
    found = record.get("points") or {}
    if not found:
        return None
    w = words(record)
    text = (
        f"{general(found['base_score'])} points mean odds of {general(found['base_odds'])} good to "
        f"one bad; {general(found['pdo'])} points more double them. On {count(found['rows'])} test "
        f"{w['rows']} the table is off the model by {number(found['largest_gap'], 2)} points at "
        f"most, {number(found['mean_gap'], 2)} on average"
    )
    flips = found.get("flips")
    if flips is not None:
        text += (
            f"; {count(flips)} decisions differ ({percent(flips / found['rows'], 2)}), "
            f"{count(found['declined_by_points_alone'])} of them declined by the points alone"
        )
    lines = [
        [
            clean(d["feature"], 80),
            {"text": _values(d), "keep": True},
            _points(d["points_from"], d["points_to"]),
        ]
        for d in found["table"]
    ]
    head = ["feature", "value", "points"]
    caption = "A score is the sum of the points of every feature"
    return {"text": f"{text}.", "table": table(caption, head, lines, (2,))}


def _values(line: Record) -> str:
    """Return in words which values a line of the table is for."""
    rule, low, high = line["rule"], line["from"], line["to"]
    if rule == "whole" and high is not None:
        first = "up to" if low is None else f"{general(low)} to"
        return general(high) if low == high else f"{first} {general(high)}"
    if rule in ("range", "whole"):
        if low is None:
            return "any" if high is None else f"below {general(high)}"
        return f"{general(low)} and more" if high is None else f"{general(low)} to {general(high)}"
    if rule == "base":
        return "everybody"
    if rule == "missing":
        return "missing"
    return "missing, rare or unseen" if rule == "other" else clean(line["value"], 80).strip('"')


def _points(first: Any, last: Any) -> str:
    """Return the points at both ends of a line, once if they are the same."""
    one, other = (general(round(end, 1) + 0.0) for end in (first, last))
    return one if one == other else f"{one} to {other}"
