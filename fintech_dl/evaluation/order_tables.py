"""From what an order of assets is worth, by a run's record, to tables of its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fintech_dl.evaluation import forecast_figures as figures
from fintech_dl.evaluation.reading import Record, models_of
from fintech_dl.evaluation.tables import Table, listed, table
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    general,
    interval,
    is_number,
    number,
    percent,
)


def ranking(record: Record) -> Record:
    """Return how well the assets were ordered: coefficients, rivals, months, horizons, groups."""
    given = record.get("forecast") or {}
    part = given.get("ranking") or {}
    own = part.get("rank_ic") or {}
    beside = [(clean(r.get("title"), 60) or MISSING, r) for r in part.get("rank_ic_rivals") or []]
    model = next((m["label"] for m in models_of(record) if m["own"]), "model")
    rows = [(model, own), *beside] if own else beside
    drawn = [
        figures.by_month(part),
        figures.quantiles(given),
        figures.decay(part),
    ]
    tables = [t for t in (_coefficients(part), _beside(rows) if beside else None) if t]
    shown = [f for f in drawn if f]
    return {"figures": shown, "tables": tables} if shown or tables else {}


def _coefficients(part: Record) -> Table | None:
    rows = [
        [
            title,
            number(one.get("mean"), 4),
            interval(one.get("low"), one.get("high"), 4) or MISSING,
            number(one.get("std"), 3),
            number(one.get("icir"), 3),
            number(one.get("t"), 2),
            percent(one.get("hit_share")),
        ]
        for title, one in (("Rank IC", part.get("rank_ic")), ("IC", part.get("ic")))
        if one
    ]
    head = ["of the dates", "mean", "95% interval", "std. dev.", "ICIR", "t", "above 0"]
    return table("Correlation of score and return, date by date", head, rows) if rows else None


def _beside(rows: Sequence[tuple[str, Record]]) -> Table:
    cells = [
        [
            {"text": name, "own": i == 0},
            number(r.get("mean"), 4),
            interval(r.get("low"), r.get("high"), 4) or MISSING,
            number(r.get("difference"), 4, sign=True),
            interval(r.get("difference_low"), r.get("difference_high"), 4, sign=True) or MISSING,
        ]
        for i, (name, r) in enumerate(rows)
    ]
    head = ["model", "rank IC", "95% interval", "model minus rival", "95% interval"]
    return table("Rank IC beside the rivals, on the same dates", head, cells)


def trading(record: Record) -> Record:
    """Return what the order would have earned: before and after cost, by cost, equal weight."""
    part = (record.get("forecast") or {}).get("trading") or {}
    charged = part.get("cost_bp")
    after = f"after {points(charged)} a side" if is_number(charged) else "after cost"
    books = (("before cost", "gross"), (after, "net"), (figures.EQUAL, "equal_weight"))
    rows = [
        [
            {"text": title, "own": key == "net"},
            percent(part[key].get("return_per_year"), 1),
            {
                "text": number(part[key].get("sharpe"), 2),
                "sub": interval(part[key].get("low"), part[key].get("high"), 2),
            },
            percent(part[key].get("drawdown"), 1),
        ]
        for title, key in books
        if part.get(key)
    ]
    costs = [
        [points(c.get("cost_bp")), number(c.get("sharpe"), 2)] for c in part.get("by_cost") or []
    ]
    said = [
        ("Break-even cost", f"{points(part['break_even_bp'])} a side")
        if is_number(part.get("break_even_bp"))
        else None,
        ("Bought and sold", f"the {percent(part['top'])} at either end of the order")
        if is_number(part.get("top"))
        else None,
        ("Renewed", f"every {count(part['every'])} bars") if is_number(part.get("every")) else None,
        ("Replaced each time", percent(part["turnover"]))
        if is_number(part.get("turnover"))
        else None,
        ("Bars a year", general(part["bars_per_year"])) if part.get("bars_per_year") else None,
        *_luck(part.get("luck") or {}),
    ]
    figure = figures.equity(part)
    if not (rows or costs or figure or any(said)):
        return {}
    head = ["book", "return a year", "Sharpe ratio", "deepest fall"]
    tables = [
        table("What the book earned; Sharpe ratios with 95% intervals", head, rows)
        if rows
        else None,
        table("Sharpe ratio by cost", ["cost a side", "Sharpe ratio"], costs) if costs else None,
    ]
    return {
        "figures": listed(figure),
        "tables": [t for t in tables if t],
        "pairs": [pair for pair in said if pair],
    }


def _luck(part: Record) -> list[tuple[str, str]]:
    """Return how sure a Sharpe ratio above 0 after cost is, and how long it takes to be sure."""
    found, tried = [], part.get("tried")
    if is_number(part.get("deflated_sharpe")):
        said = "one setting" if tried == 1 else f"the best of {count(tried)} settings"
        text = f"{percent(part['deflated_sharpe'], 1)} sure to be above 0 after cost, {said} tried"
        found.append(("Deflated Sharpe ratio", text))
    years, needed = (part.get(key) for key in ("years", "years_needed"))
    if is_number(years):
        text = f"no time is enough: the {number(years, 1)} years here ended with a loss"
        if is_number(needed):
            text = f"{number(needed, 1)} years to be 95% sure; here are {number(years, 1)}"
        found.append(("Track record needed", text))
    return found


def points(value: Any) -> str:
    """Return a cost in basis points."""
    if not is_number(value):
        return MISSING
    places = 0 if round(value, 1) == round(value) else 1
    return f"{number(value, places)} bp"
