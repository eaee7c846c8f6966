"""From the forecast of a run's record to the tables and sentences of its report, as in `tables`."""

from __future__ import annotations

from typing import Any

from fintech_dl.evaluation import forecast_figures as figures
from fintech_dl.evaluation.forecast_figures import task_metric
from fintech_dl.evaluation.leak_cases import CHECKS
from fintech_dl.evaluation.reading import Record, ran
from fintech_dl.evaluation.tables import Table, listed, table
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    decimals,
    general,
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
    figure = figures.loss_difference(given)
    parts = [part for part in (_by_horizon(given), _by_year(given)) if part]
    texts = (
        *(_calibrated(given), _nested(given), _directions(given), _confidence_set(record)),
        _members(given),
    )
    said = [text for text in texts if text]
    if not (figure or parts or said):
        return {}
    return {"figures": listed(figure), "tables": parts, "texts": said}


def _by_horizon(given: Record) -> Table | None:
    lines = given.get("by_horizon") or []
    known = metric(task_metric(given))
    places = decimals(line.get(key) for line in lines for key in ("model", "rival"))
    rows = [
        [
            count(line.get("horizon")),
            number(line.get("model"), places),
            number(line.get("rival"), places),
            _title(line),
            percent(line.get("skill")),
            number(line.get("dm"), 2),
            p_value(line.get("p_value")),
            {"text": _said(line), "keep": True},
        ]
        for line in lines
    ]
    head = ["bars ahead", "model", "best rival", "rival", "saved", "DM", "p-value", "by the test"]
    return table(f"{known.short} by horizon", head, rows, (0, 1, 2, 4, 5, 6)) if rows else None


def _said(line: Record) -> str:
    words = {"beats": "better", "worse": "worse", "same": "no difference"}
    tested = is_number(line.get("p_value"))
    return words.get(str(line.get("outcome")), MISSING) if tested else MISSING


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


def _nested(given: Record) -> str:
    """Say whether a forecast of prices adds something to the last price, which it contains."""
    p = (given.get("nested") or {}).get("p_value")
    if not is_number(p):
        return ""
    means = "something" if p < _SMALL else "nothing that luck does not explain"
    return (
        "Clark-West, which forgives the forecast what its parameters cost in squared errors: "
        f"{chance(p)}, it adds {means} to the last price."
    )


def _members(given: Record) -> str:
    """Say how much the members of a model, which differ by their seeds, differ in worth."""
    part = given.get("members") or {}
    values = [part.get(key) for key in ("least", "most", "median", "together")]
    if not all(map(is_number, values)) or not part.get("metric"):
        return ""
    least, most, median, together = (number(value, decimals(values)) for value in values)
    return (
        f"By itself, each of the {count(part.get('n'))} networks whose forecasts are averaged has "
        f"{metric(str(part['metric'])).short} {least} to {most} on the latest test, the median "
        f"{median}; together they have {together}."
    )


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
    method = f"Intervals by {clean(part['method'], 200)}. " if part.get("method") else ""
    return f"{method}{sentence(', '.join(shown))} {_frozen(part)}".strip()


def _frozen(part: Record) -> str:
    """Return what learning as days came was worth."""
    then = (part.get("frozen") or {}).get("share")
    if not (is_number(then) and is_number(part.get("share"))):
        return ""
    return (
        f"Updated as days came they held {percent(part['share'], 1)} of the outcomes; left as they "
        f"were calibrated they would have held {percent(then, 1)}."
    )


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
    return found + _risk_of_assets(risk)


def _risk_of_assets(risk: Record) -> list[str]:
    """Return how many of several assets the tests reject."""
    found = []
    for key, test in (
        ("kupiec", "Kupiec (the number is not as promised)"),
        ("christoffersen", "Christoffersen (they come in clusters)"),
        ("shortfall", "Shortfall (the losses beyond are larger than forecast)"),
    ):
        no, n = ((risk.get(part) or {}).get(key) for part in ("rejected", "tested"))
        if is_number(no) and is_number(n) and n:
            found.append(
                f"{test}: rejected at 5% for {count(no)} of {count(n)} assets "
                f"({percent(no / n, 1)}); of a right model about 5%."
            )
    lights = risk.get("traffic_lights") or {}
    if lights:
        shown = ", ".join(f"{count(n)} {clean(zone, 20)}" for zone, n in lights.items())
        found.append(
            f"Basel traffic light, by asset: {shown}. Assets that fall together are hit "
            "together: the counts vary more than those of independent ones."
        )
    return found


def chance(value: Any) -> str:
    """Return ``p = .031`` on one line, or nothing where there is no p-value."""
    if not is_number(value):
        return ""
    sign = "" if value < 0.001 else "= "
    return f"p {sign}{p_value(value)}".replace(" ", "\N{NO-BREAK SPACE}")


def leaks(record: Record) -> Record:
    """Return the checks for leaks: passed or not, what each saw, its number; those not made."""
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
    if not rows:
        return {}
    made, text = {one.get("name") for one in found}, ""
    if left := [name for name in CHECKS if name not in made]:
        card = clean(record.get("pipeline"), 80) or "PIPELINE"
        text = f"Not made in a run: {', '.join(left)}. To make them: fintech-dl check {card}"
    return {"table": table("Checks for leaks of the future", head, rows, (3,)), "text": text}


def _value(value: Any) -> str:
    return general(_short(value)) if is_number(value) else MISSING
