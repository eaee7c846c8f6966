"""From the forecast of a run's record to the figures of its report, as in `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fintech_dl.evaluation import charts
from fintech_dl.evaluation.charts import Axis, Guide, Line
from fintech_dl.evaluation.figures import Figure
from fintech_dl.evaluation.reading import Record
from fintech_dl.evaluation.svg import box, swatch
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    decimals,
    is_number,
    metric,
    number,
    percent,
)

EQUAL = "equal weight"

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def loss_difference(given: Record) -> Figure | None:
    """Return the loss saved against the best baseline, added up over dates."""
    part = given.get("loss_difference") or {}
    total = _numbers(part, "cumulative")
    if not total or not part.get("date"):
        return None
    rival = clean(part.get("rival"), 60) or "the best baseline"
    known = metric(task_metric(given))
    name, won = known.short, "gained" if known.higher_is_better else "saved"
    end = number(total[-1], decimals(total), sign=True)
    return {
        "title": f"{name} {won} against {rival}, added up",
        "svg": charts.curves(
            [Line(part["date"], part["cumulative"])],
            f"Cumulative difference of {name} between {rival} and the model; {end} at the end",
            Axis("", "day"),
            Axis(f"{name} {won} so far"),
            [Guide("level", 0.0)],
        ),
        "read": "Where the line rises the model was better, where it falls the rival was; one "
        "steep step means that a single episode carries the result.",
        "legend": [],
    }


def fan(given: Record) -> Figure | None:
    """Return the last forecasts of one asset, their intervals, the naive forecast, what came."""
    part = given.get("fan") or {}
    days = part.get("date") or []
    kinds = (
        ("forecast", "forecast", 0),
        ("actual", "what came", 5),
        ("last", "naive forecast", 1),
    )
    shown = [(key, name, style) for key, name, style in kinds if _numbers(part, key)]
    if not days or not shown:
        return None
    bands = [b for b in part.get("bands") or [] if _numbers(b, "low") and _numbers(b, "high")]
    bands.sort(key=lambda b: -b["coverage"] if is_number(b.get("coverage")) else 0)
    lines = [Line(days, part[key], style=style) for key, _, style in shown]
    if given.get("kind") == "price":
        lines.reverse()  # all lie close together: the dashes of the naive forecast on top
    lines += [Line(days, [None] * len(days), b["low"], b["high"]) for b in bands[::-1]]
    asset, unit = clean(part.get("asset"), 30), unit_of(part) or unit_of(given)
    first, last = clean(days[0], 10), clean(days[-1], 10)
    legend = [(swatch(style), name) for _, name, style in shown]
    legend += [
        (box("s0", round(1 - 0.8 ** (i + 1), 2)), f"{level(b.get('coverage'))} interval")
        for i, b in enumerate(bands)
    ]
    held = "; the shaded intervals should hold what came as often as they say" if bands else ""
    return {
        "title": f"{asset or 'Forecast'}: the last {len(days)} forecasts",
        "svg": charts.curves(
            lines,
            f"Forecasts for {asset or 'one asset'} from {first} to {last}, with what came",
            Axis(f"date that is forecast, {first} to {last}", "day"),
            Axis(unit),
        ),
        "read": f"Each date shows what was forecast for it, {ahead(given)}, and what came{held}.",
        "legend": legend,
    }


def coverage(rows: Sequence[tuple[str, Record]], promised: Any) -> Figure | None:
    """Return the share of outcomes inside the intervals, by group."""
    held = [(name, r) for name, r in rows if is_number(r.get("share"))]
    if len(held) < 2:
        return None
    said = ", ".join(f"{name} {percent(r['share'], 1)}" for name, r in held)
    dots = [
        (name, _hundred(r["share"]), _hundred(r.get("low")), _hundred(r.get("high")), min(i, 1))
        for i, (name, r) in enumerate(held)
    ]
    line = f"The upright line is the promised {level(promised)}; a" if is_number(promised) else "A"
    return {
        "title": "Outcomes inside the interval",
        "svg": charts.dots(
            dots,
            f"Share of outcomes inside the interval: {said}",
            "% of outcomes",
            at=_hundred(promised),
        ),
        "read": f"{line} group whose bar lies left of it has intervals that are too narrow, "
        "right of it too wide.",
        "legend": [],
    }


def by_month(ranking: Record) -> Figure | None:
    """Return the mean rank IC of each month."""
    part = ranking.get("by_month") or {}
    months, values = part.get("month") or [], _numbers(part, "rank_ic")
    if not months or not values:
        return None
    above = sum(v > 0 for v in values)
    return {
        "title": "Rank IC by month",
        "svg": charts.bars(
            [_month(m) for m in months],
            part["rank_ic"],
            f"Mean rank IC of {len(values)} months; {above} are above 0",
            "",
            "rank IC",
        ),
        "read": f"{above} of {len(values)} months are above 0; an order that holds is mostly above "
        "and owes little to a few months.",
        "legend": [],
    }


def decay(ranking: Record) -> Figure | None:
    """Return the rank IC of today's scores with returns of longer and longer horizons."""
    found = [d for d in ranking.get("decay") or [] if is_number(d.get("rank_ic"))]
    if len(found) < 2:
        return None
    values = [d["rank_ic"] for d in found]
    return {
        "title": "Rank IC by horizon",
        "svg": charts.bars(
            [clean(d.get("horizon"), 8) for d in found],
            values,
            f"Rank IC by horizon, from {number(values[0], 4)} to {number(values[-1], 4)}",
            "bars ahead",
            "rank IC",
        ),
        "read": "How much of the order is left when the same scores are held against returns over "
        "more bars.",
        "legend": [],
    }


def quantiles(given: Record) -> Figure | None:
    """Return the mean return of each group of assets by score."""
    ranking = given.get("ranking") or {}
    found = [q for q in ranking.get("quantiles") or [] if is_number(q.get("mean_return"))]
    if len(found) < 2:
        return None
    values = [1e4 * q["mean_return"] for q in found]
    same = ranking.get("monotonicity")
    order = f" (rank correlation {number(same, 2)}; 1 is every step up)" if is_number(same) else ""
    return {
        "title": "Mean return by group of score",
        "svg": charts.bars(
            [clean(q.get("quantile"), 8) for q in found],
            values,
            f"Mean return of {len(found)} groups, from {number(values[0], 1)} to "
            f"{number(values[-1], 1)} basis points",
            f"group, {clean(found[-1].get('quantile'), 8)} the highest scores",
            "mean return, bp",
        ),
        "read": f"Returns {ahead(given)} in basis points, before cost: a good order rises from "
        f"left to right{order}.",
        "legend": [],
    }


def equity(trading: Record) -> Figure | None:
    """Return what a book of the best and the worst has earned, before and after cost."""
    part = trading.get("curve") or {}
    kinds = (("net", "after cost", 0), ("gross", "before cost", 1), ("equal_weight", EQUAL, 5))
    shown = [(key, name, style) for key, name, style in kinds if _numbers(part, key)]
    if not shown or not part.get("date"):
        return None
    said = ", ".join(f"{name} {percent(_numbers(part, key)[-1])}" for key, name, _ in shown)
    return {
        "title": "Return so far, before and after cost",
        "svg": charts.curves(
            [Line(part["date"], part[key], style=style) for key, _, style in shown],
            f"Return at the end: {said}",
            Axis("", "day"),
            Axis("return so far", "share"),
            [Guide("level", 0.0)],
        ),
        "read": "Returns are summed, not compounded; the room between before and after is what "
        "trading costs.",
        "legend": [(swatch(style), name) for _, name, style in shown],
    }


def ahead(given: Record) -> str:
    """Return how far a forecast reaches: ``5 bars ahead``."""
    n = given.get("horizon")
    if not is_number(n):
        return "ahead"
    return f"{n:,.0f} bar{'' if n == 1 else 's'} ahead"


def level(share: Any) -> str:
    """Return what an interval promises, not rounded: ``90%``, ``97.5%``."""
    return f"{100 * share:g}%" if is_number(share) else MISSING


def task_metric(given: Record) -> str:
    """Return the name of what the verdict is about."""
    rank = given.get("kind") == "ranking"
    return str(given.get("task_loss") or ("rank_ic" if rank else "loss"))


def unit_of(part: Record) -> str:
    """Return the unit that a part of the record names."""
    return clean(part.get("unit"), 40).replace("^2", "²")


def _month(value: Any) -> str:
    """Write ``2016-07`` as ``Jul 2016``."""
    year, _, month = clean(value, 7).partition("-")
    at = int(month) if month.isdecimal() else 0
    return f"{_MONTHS[3 * at - 3 : 3 * at]} {year}" if 1 <= at <= 12 else clean(value, 10)


def _hundred(share: Any) -> float | None:
    return 100 * share if is_number(share) else None


def _numbers(part: Record, key: str) -> list[float]:
    """Return the finite numbers of a list in the record."""
    return [v for v in part.get(key) or [] if is_number(v)]
