"""How a forecast stands: its first line, its losses beside the rivals', warnings and limits."""

from __future__ import annotations

from collections.abc import Sequence

from fintech_dl.evaluation.forecast_figures import ahead, level, unit_of
from fintech_dl.evaluation.forecast_tables import chance
from fintech_dl.evaluation.order_tables import points
from fintech_dl.evaluation.reading import Record, models_of, named, ran
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    interval,
    is_number,
    metric,
    number,
    p_value,
    percent,
    sentence,
)

LIMITS = {
    "volatility": (
        "What came is itself measured with noise, so no forecast can reach a loss of 0.",
        "It says how far prices may move, not which way.",
    ),
    "ranking": (
        "It says which assets may do better than others, not whether the market rises.",
        "Returns after cost assume that every order is filled at the next price: no impact on the "
        "market, no lending fees, no taxes, no limit of size.",
    ),
    "direction": (
        "A direction that is right a little more often than chance need not pay: the size of the "
        "moves and the cost of trading decide.",
    ),
    "price": (
        "A forecast close to the last price has a small error without knowing anything; only the "
        "difference to the last price counts.",
    ),
}
ALWAYS = "Intervals and p-values do not know how many other models were tried on the same data."
CHANGING = (
    "Intervals hold on average over the test; after a break in the market they can be too narrow "
    "for weeks."
)
_TESTS = ("skill", "dm", "p_value")


def with_losses(record: Record) -> Record:
    """Return the record with the losses of its forecast among the metrics of its models."""
    losses = (record.get("forecast") or {}).get("losses") or []
    models = record.get("models") or [
        {"name": one.get("name"), "title": one.get("title"), "is_baseline": i > 0}
        for i, one in enumerate(losses)
    ]
    return record | {"models": [_with_losses(m, losses) for m in models]} if losses else record


def _with_losses(model: Record, losses: Sequence[Record]) -> Record:
    own = named(list(losses), model.get("name")) or {}
    known = model.get("metrics") or {}
    kept = {key: own[key] for key in _TESTS if key in own}
    apart = {"name", "title", *_TESTS, *known}
    further = {key: {"value": value} for key, value in own.items() if key not in apart}
    return model | kept | {"metrics": known | further}


def against_best(record: Record) -> list[tuple[str, list[str]]]:
    """Return further columns of the results, a head and a text per model: skill and its test."""
    if not record.get("forecast"):
        return []
    models = models_of(record)
    columns = [
        ("Skill", [percent(m.get("skill")) for m in models]),
        ("DM", [number(m.get("dm"), 2) for m in models]),
        ("p-value", [p_value(m.get("p_value")) for m in models]),
    ]
    return [(head, texts) for head, texts in columns if set(texts) != {MISSING}]


def glossary(record: Record) -> list[tuple[str, str]]:
    """Return what the columns of ``against_best`` say."""
    loss = metric(str((record.get("forecast") or {}).get("task_loss") or "the task's loss")).short
    said = {
        "Skill": f"share of the {loss} of the best baseline that is saved; below 0 it is worse",
        "DM": "Diebold-Mariano statistic of the difference to the best baseline, with the small-"
        "sample correction of Harvey, Leybourne and Newbold; above 0 is better",
        "p-value": "how often luck alone would give a difference at least as large",
    }
    found = [(head, said[head]) for head, _ in against_best(record)]
    unit = unit_of(record.get("forecast") or {})
    return [*found, ("Unit", f"forecasts and their errors are in {unit}")] if unit else found


def headline(record: Record) -> Record:
    """Return what a reader must know first: whether a forecast of prices beats the last price.

    Of a better order that loses money after cost, that it does.
    """
    naive, given = (record.get("forecast") or {}).get("naive") or {}, record.get("verdict") or {}
    beats, outcome = naive.get("beats"), given.get("outcome")
    if given.get("unpaid") is True:
        return {"words": "Better forecasts, but a loss after cost"}
    if not naive.get("text") or not isinstance(beats, bool):
        return {}
    return {
        "text": clean(naive["text"], 600),
        "outcome": "beats" if beats else "worse" if outcome == "worse" else "same",
        "words": f"{'Better' if beats else 'No better'} than the last price",
    }


def facts(record: Record) -> list[tuple[str, str, str]]:
    """Return what a reader in a hurry takes along of a forecast: name, value, remark."""
    given = record.get("forecast") or {}
    if not given:
        return []
    found = []
    own = next((m for m in ran(record) if m["own"]), {})
    if is_number(own.get("skill")):
        said = [_rival(record), chance(own.get("p_value"))]
        found.append(("Loss saved", percent(own["skill"]), ", ".join(filter(None, said))))
    held = given.get("intervals") or {}
    if is_number(held.get("share")):
        n = f"of {count(held['n'])} outcomes" if is_number(held.get("n")) else "of the outcomes"
        name = f"Held by the {level(held.get('coverage'))} interval"
        found.append((name, percent(held["share"], 1), n))
    book = given.get("trading") or {}
    net, gross = book.get("net") or {}, book.get("gross") or {}
    if is_number(net.get("sharpe")):
        ends = interval(net.get("low"), net.get("high"), 2)
        before = f"before cost {number(gross.get('sharpe'), 2)}"
        remark = f"{ends}; {before}" if ends else before
        found.append(("Sharpe ratio after cost", number(net["sharpe"], 2), remark))
    if is_number(book.get("break_even_bp")):
        remark = f"a side; charged {points(book.get('cost_bp'))}"
        found.append(("Break-even cost", points(book["break_even_bp"]), remark))
    size = [(given.get("assets"), "asset"), (given.get("dates"), "date")]
    sizes = [f"{count(n)} {what}{'' if n == 1 else 's'}" for n, what in size if is_number(n)]
    if is_number(given.get("horizon")):
        found.append(("Horizon", ahead(given).removesuffix(" ahead"), ", ".join(sizes)))
    return found


def _rival(record: Record) -> str:
    found = named(models_of(record), (record.get("verdict") or {}).get("rival"))
    return f"against {found['label']}" if found else ""


def banners(record: Record) -> list[str]:
    """Return the warnings that stand above everything."""
    given = (record.get("forecast") or {}).get("warnings") or []
    return list(dict.fromkeys(sentence(text) for text in given if text))


def limits(record: Record) -> list[str]:
    """Return what a forecast of its kind cannot say."""
    given = record.get("forecast") or {}
    if not given:
        return []
    held = [CHANGING] if given.get("intervals") else []
    return [*LIMITS.get(str(given.get("kind")), ()), *held, ALWAYS]
