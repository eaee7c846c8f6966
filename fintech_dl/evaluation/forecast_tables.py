"""From the forecast of a run's record to the tables and sentences of its report, as in `tables`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fintech_dl.evaluation import forecast_figures as figures
from fintech_dl.evaluation.forecast_figures import task_metric
from fintech_dl.evaluation.reading import Record, models_of, ran
from fintech_dl.evaluation.tables import Table, listed, table
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    decimals,
    general,
    interval,
    is_number,
    metric,
    number,
    p_value,
    percent,
    sentence,
)

_SMALL = 0.05  # p-values below are called unlikely by chance


def over_time(record: Record) -> Record:
    """Return where the model is better: by year, its line of calibration, the loss saved so far."""
    given = record.get("forecast") or {}
    figure, years = figures.loss_difference(given), _by_year(given)
    texts = (_calibrated(given), _directions(given), _confidence_set(record))
    said = [text for text in texts if text]
    if not (figure or years or said):
        return {}
    return {"figures": listed(figure), "tables": listed(years), "texts": said}


def _by_year(given: Record) -> Table | None:
    years = given.get("by_year") or []
    if not years:
        return None
    known = metric(task_metric(given))
    places = decimals(y.get(key) for y in years for key in ("model", "rival"))
    names = list(dict.fromkeys(clean(y.get("rival_title"), 60) for y in years))
    one, rows = len(names) == 1, []
    for y in years:
        ours, theirs = y.get("model"), y.get("rival")
        gain = MISSING
        if is_number(ours) and is_number(theirs):
            if known.higher_is_better:
                gain = number(ours - theirs, places, sign=True)
            elif theirs > 0:
                gain = percent(1 - ours / theirs)
        values = [count(y.get("n")), number(ours, places), number(theirs, places), gain]
        rows.append([clean(y.get("year"), 12) or MISSING, *values, *([] if one else [_title(y)])])
    head = ["year", "forecasts", "model", (one and names[0]) or "best rival"]
    head += ["gained" if known.higher_is_better else "saved", *([] if one else ["rival"])]
    return table(f"{known.short} by year", head, rows, range(1, 5))


def _title(part: Record) -> str:
    return clean(part.get("rival_title"), 60) or MISSING


def _calibrated(given: Record) -> str:
    line = given.get("calibration_line") or {}
    a, b, p = (line.get(key) for key in ("intercept", "slope", "p_value"))
    if not (is_number(a) and is_number(b)):
        return ""
    sign = "+" if b >= 0 else "−"  # noqa: RUF001
    text = (
        f"What came against what was forecast (Mincer-Zarnowitz): outcome = "
        f"{number(a, decimals([a]))} {sign} {number(abs(b), 2)} × forecast. "  # noqa: RUF001
    )
    if not is_number(p):
        return text.strip()
    means = "so the test finds no bias"
    if p < _SMALL:
        slope = "high forecasts are too high and low ones too low"
        if b > 1:
            slope = "high forecasts are not high enough and low ones not low enough"
        means = f"so the forecasts are biased: by the slope, {slope}"
    return f"{text}An unbiased forecast has intercept 0 and slope 1; {chance(p)}, {means}."


def _directions(given: Record) -> str:
    part = given.get("direction") or {}
    if not is_number(part.get("hits")):
        return ""
    p = part.get("p_value")
    means = "more than luck explains" if is_number(p) and p < _SMALL else "luck may explain it"
    test = f" Pesaran-Timmermann: {chance(p)}, {means}." if is_number(p) else ""
    return (
        f"{percent(part['hits'], 1)} of the directions were right; forecasts that know nothing but "
        f"say up and down as often would get {percent(part.get('by_chance'), 1)}.{test}"
    )


def _confidence_set(record: Record) -> str:
    part = (record.get("forecast") or {}).get("confidence_set") or {}
    titles = [clean(t, 60) for t in part.get("titles") or []]
    if not titles:
        return ""
    more = len(ran(record)) > len(titles)
    rest = "The others are worse by more than luck explains" if more else "None can be ruled out"
    at = figures.level(part.get("level"))
    names = ", ".join(titles)
    return f"Models that may be the best (model confidence set, {at}): {names}. {rest}."


def intervals(record: Record) -> Record:
    """Return the forecasts drawn, how often their intervals held, and tests of the risk."""
    given = record.get("forecast") or {}
    part = given.get("intervals") or {}
    rows = _groups(part)
    level = part.get("coverage")
    drawn = [f for f in (figures.fan(given), figures.coverage(rows, level)) if f]
    risk = _risk(part.get("risk") or {})
    if not (drawn or part or risk):
        return {}
    cells = [
        [
            name,
            count(r.get("n")),
            percent(r.get("share"), 1),
            _ends(r),
            {"text": _kept(r, level), "keep": True},
        ]
        for name, r in rows
    ]
    title = (
        f"Outcomes inside the {figures.level(level)} interval" if is_number(level) else "Intervals"
    )
    head = ["group", "forecasts", "inside", "95% interval", "in words"]
    return {
        "figures": drawn,
        "text": _widths(part, given),
        "table": table(title, head, cells, (1, 2, 3)) if cells else None,
        "risk": risk,
    }


def _groups(part: Record) -> list[tuple[str, Record]]:
    """Return the groups whose coverage is known: all, by volatility, by year."""
    found = [("all", part)] if is_number(part.get("share")) else []
    for key, title in (
        ("by_volatility", "volatility that came"),
        ("by_forecast_volatility", "volatility expected"),
    ):
        found += [(f"{title}: {clean(r.get('group'), 20)}", r) for r in part.get(key) or []]
    return found + [(clean(r.get("group"), 20), r) for r in part.get("by_year") or []]


def _ends(row: Record) -> str:
    ends = [percent(row.get(end), 1) for end in ("low", "high")]
    return MISSING if MISSING in ends else f"{ends[0]} to {ends[1]}"


def _kept(row: Record, level: Any) -> str:
    low, high = row.get("low"), row.get("high")
    if not (is_number(low) and is_number(high) and is_number(level)):
        return MISSING
    return "too narrow" if high < level else "too wide" if low > level else "as promised"


def _widths(part: Record, given: Record) -> str:
    unit = figures.unit_of(given)
    values = [("Mean width", part.get("width")), ("interval score (Winkler)", part.get("score"))]
    shown = [f"{name} {general(_short(v))} {unit}".strip() for name, v in values if is_number(v)]
    method = f"Intervals by {clean(part['method'], 80)}. " if part.get("method") else ""
    return f"{method}{sentence(', '.join(shown))}".strip()


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _risk(risk: Record) -> list[str]:
    """Return the tests of value at risk and expected shortfall in words."""
    level, hits, n = (risk.get(key) for key in ("level", "hits", "n"))
    found = []
    if is_number(hits) and is_number(n) and is_number(level):
        found.append(
            f"Value at risk at {figures.level(level)}: {count(hits)} of {count(n)} outcomes were "
            f"worse; {number(level * n, 1)} were to be expected."
        )
    for key, holds, fails in (
        ("kupiec_p", "the number is as promised", "the number is not as promised"),
        (
            "christoffersen_p",
            "they come singly, as they should",
            "they come in clusters: the risk rises before the forecast does",
        ),
        (
            "shortfall_p",
            "the losses beyond are as large as forecast",
            "the losses beyond are larger than forecast",
        ),
    ):
        if is_number(risk.get(key)):
            test = {"kupiec_p": "Kupiec", "christoffersen_p": "Christoffersen"}.get(
                key, "Shortfall"
            )
            found.append(f"{test}: {chance(risk[key])}, {fails if risk[key] < _SMALL else holds}.")
    if risk.get("traffic_light"):
        found.append(f"Basel traffic light: {clean(risk['traffic_light'], 20)}.")
    return found


def chance(value: Any) -> str:
    """Return ``p = .031`` on one line, or nothing where there is no p-value."""
    if not is_number(value):
        return ""
    sign = "" if value < 0.001 else "= "
    return f"p {sign}{p_value(value)}".replace(" ", "\N{NO-BREAK SPACE}")


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
            number(part[key].get("sharpe"), 2),
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
    ]
    figure = figures.equity(part)
    if not (rows or costs or figure or any(said)):
        return {}
    head = ["book", "return a year", "Sharpe ratio", "deepest fall"]
    tables = [
        table("What the book earned", head, rows) if rows else None,
        table("Sharpe ratio by cost", ["cost a side", "Sharpe ratio"], costs) if costs else None,
    ]
    return {
        "figures": listed(figure),
        "tables": [t for t in tables if t],
        "pairs": [pair for pair in said if pair],
    }


def points(value: Any) -> str:
    """Return a cost in basis points."""
    if not is_number(value):
        return MISSING
    places = 0 if round(value, 1) == round(value) else 1
    return f"{number(value, places)} bp"


def leaks(record: Record) -> Table | None:
    """Return the checks for leaks: passed or not, what each saw, and its number."""
    found = (record.get("forecast") or {}).get("leaks") or []
    words = {True: "passed", False: "FAILED"}
    rows = [
        [
            clean(one.get("name"), 60) or MISSING,
            {"text": words.get(one.get("passed"), "not run"), "best": one.get("passed") is False},
            clean(one.get("what"), 400) or MISSING,
            _value(one.get("number")),
        ]
        for one in found
    ]
    head = ["check", "result", "what was seen", "number"]
    return table("Checks for leaks of the future", head, rows, (3,)) if rows else None


def _value(value: Any) -> str:
    return general(_short(value)) if is_number(value) else MISSING
