"""From the record of a run to the figures of its report: which curves, beside which rivals.

A figure is a dict: ``title``, ``svg``, ``read`` (one line on how to read it) and ``legend``, a
list of (sample as SVG, name).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from fintech_dl.evaluation import charts
from fintech_dl.evaluation.charts import Axis, Guide, Kind, Line
from fintech_dl.evaluation.reading import (
    Record,
    entry,
    main_metric,
    models_of,
    named,
    positive_rate,
    ran,
    words,
)
from fintech_dl.evaluation.svg import DOTTED, box, swatch
from fintech_dl.evaluation.wording import (
    clean,
    count,
    decimals,
    interval,
    interval_decimals,
    is_number,
    metric,
    number,
    upper_first,
)

Figure = dict[str, Any]
Legend = Sequence[tuple[str, str]]

_FEW = 40  # so many points or fewer are marked on their line


def comparison_figure(record: Record) -> Figure | None:
    """Return the dots of the main metric, every model with its interval."""
    name = main_metric(record)
    found = [m for m in ran(record) if is_number(entry(m, name).get("value"))]
    if not name or len(found) < 2:
        return None
    known = metric(name)
    up = known.higher_is_better
    way = "Nearer to 0" if up is None else f"Further {'right' if up else 'left'}"
    places = decimals(entry(m, name)["value"] for m in found)
    rows, said = [], []
    for m in found:
        e = entry(m, name)
        ends = interval(e.get("low"), e.get("high"), interval_decimals([e], places))
        rows.append((m["label"], e["value"], e.get("low"), e.get("high"), m["style"]))
        said.append(f"{m['label']} {number(e['value'], places)} {ends}".strip())
    return _figure(
        f"{upper_first(known.title)} on test {words(record)['rows']}",
        charts.dots(rows, f"{known.title} by model. {'; '.join(said)}", known.short),
        f"{way} is better. The bar is the interval that holds the true value 95 times in 100; "
        "models whose bars overlap widely may differ by luck alone.",
    )


def curve_figures(record: Record) -> list[Figure]:
    """Return precision against recall, and the ROC curve."""
    w, rate = words(record), positive_rate(record)
    found = [
        _curve(
            record,
            "precision_recall",
            ("recall", "precision"),
            "Precision against recall",
            Axis(f"{w['positives']} caught (recall)", "share", 0, 1.01),
            Axis("alerts that are right (precision)", "share", 0, 1.02),
            [] if rate is None else [Guide("level", rate, "guessing")],
            f"Each point is one possible threshold. Further right, more {w['positives']} are "
            "caught; further up, fewer alerts are false. Higher curves are better. Shaded: the "
            "95% interval of the model.",
            "average_precision",
        ),
        _curve(
            record,
            "roc",
            ("fpr", "recall"),
            "ROC curve",
            Axis(f"other {w['rows']} that raise a false alarm", "share", 0, 1),
            Axis(f"{w['positives']} caught", "share", 0, 1.02),
            [Guide("diagonal", text="guessing")],
            f"How many {w['positives']} are caught for a given share of false alarms. The closer "
            "to the upper left corner the better.",
            "roc_auc",
        ),
    ]
    return [figure for figure in found if figure]


def calibration_figure(record: Record) -> Figure | None:
    """Return observed against predicted frequency."""
    curves = [(m.get("curves") or {}).get("calibration") or {} for m in ran(record)]
    values = [v for c in curves for key in ("predicted", "observed") for v in c.get(key) or []]
    values = sorted(v for v in values if is_number(v))
    if not values:
        return None
    top = min(1.0, values[-1] * 1.08) or 1.0
    kind: Kind = "rare" if values[len(values) // 2] < 0.15 else "share"
    stretched = " Both axes are stretched near 0, where most rows lie." if kind == "rare" else ""
    w = words(record)
    return _curve(
        record,
        "calibration",
        ("predicted", "observed"),
        "What was predicted and what happened",
        Axis("predicted probability", kind, 0, top),
        Axis("what happened", kind, 0, top),
        [Guide("diagonal", text="as predicted")],
        f"Each point is a group of {w['rows']} with similar scores. On the dotted line, of 100 "
        f"{w['rows']} with a predicted 10%, 10 are {w['positives']}; below it the model overstates "
        f"the risk, above it understates it. Shaded: the 95% interval of the model.{stretched}",
        points=True,
    )


def day_figures(record: Record) -> list[Figure]:
    """Return one chart per measure by day: precision, recall, card precision, positives."""
    w, models = words(record), [m for m in ran(record) if _some(m.get("by_day"), "day")]
    named = [n for m in models for n in m.get("metrics") or {} if n.startswith("card_precision_at")]
    known = {
        "precision": ("Precision by day", "Share of the day's alerts that are right."),
        "recall": ("Recall by day", f"Share of the day's {w['positives']} that are caught."),
    }
    if named:  # rows are of cards
        k = clean(named[0].rpartition("_")[2], 8)
        known["card_precision"] = (
            f"Card precision by day, {k} cards",
            f"Of the {k} cards with the day's highest scores, the share truly compromised.",
        )
    figures = []
    for key, (title, read) in known.items():
        shown = [m for m in models if _some(m["by_day"], key)]
        if shown:
            lines = [_days(m["by_day"], key, m["style"]) for m in shown]
            svg = charts.curves(
                lines, f"{title} for {_names(shown)}", Axis("", "day"), Axis("", "share", 0)
            )
            figures.append(_figure(title, svg, read, _legend(shown)))
    counted = [m["by_day"] for m in models if _some(m["by_day"], "positives")]
    if counted and figures:
        title = f"{upper_first(w['positives'])} by day"
        line = _days(counted[0], "positives", 5)
        svg = charts.curves([line], title, Axis("", "day"), Axis("", low=0))
        read = f"How many {w['positives']} each day held: with few, the shares jump by luck."
        figures.append(_figure(title, svg, read))
    return figures


def decision_figures(record: Record) -> list[Figure]:
    """Return cost against threshold, and cost against alerts a day, rivals beside the model."""
    decision = record.get("decision") or {}
    unit, threshold = clean(decision.get("unit"), 12), decision.get("threshold")
    money = Axis(f"cost, {unit}" if unit else "cost", low=0)
    trivial, curve = decision.get("cost_of_best_trivial"), decision.get("curve") or {}
    level = [Guide("level", trivial, "without a model")] if is_number(trivial) else []
    without = [(DOTTED, guide.text) for guide in level]
    figures = []
    if _some(curve, "threshold") and _some(curve, "cost"):
        at = [Guide("at", threshold, "chosen")] if is_number(threshold) else []
        above = [t for t in curve["threshold"] if is_number(t) and t > 0]
        by_loss = decision.get("rule") == "cost"
        chosen = float(threshold) if is_number(threshold) else 0.0
        log = bool(above) and chosen > 0 and (by_loss or chosen < 0.05)
        low = max(min(above), chosen / 1000) if log else None
        what = f"expected loss{f', {unit}' if unit else ''}" if by_loss else "score"
        least = min(c for c in curve["cost"] if is_number(c))
        svg = charts.curves(
            [Line(curve["threshold"], curve["cost"])],
            f"Cost for each threshold, at least {count(least)} {unit}; chosen threshold "
            f"{number(threshold, max(3, decimals([threshold])))}",
            Axis(f"alert from this {what}", "log" if log else "number", low),
            money,
            [*level, *at],
        )
        read = "What the test period costs at each threshold; the upright line is the chosen one. "
        read += "In a flat valley the exact choice matters little."
        figures.append(_figure("Cost against threshold", svg, read, without))
    models = models_of(record)
    drawn = [(m, curve) for m in models if m["own"]]
    for rival in decision.get("rivals") or []:
        drawn += [(m, rival.get("curve")) for m in [named(models, rival.get("name"))] if m]
    drawn = [(m, c) for m, c in drawn if _some(c, "alerts_per_day") and _some(c, "cost")]
    if drawn:
        day = decision.get("alerts_per_day")
        at = [Guide("at", day, "chosen")] if is_number(day) and day > 0 else []
        svg = charts.curves(
            [_worked(c, m["style"]) for m, c in drawn],
            f"Cost against alerts a day for {_names([m for m, _ in drawn])}",
            Axis("alerts a day", "log"),
            money,
            [*level, *at],
        )
        read = "The same cost, by how many alerts a team has to look at each day. Lower is better; "
        read += "each step to the right is ten times the work."
        legend = _legend([m for m, _ in drawn]) if len(drawn) > 1 else []
        figures.append(_figure("Cost against workload", svg, read, [*legend, *without]))
    return figures


def training_figure(record: Record) -> Figure | None:
    """Return the loss by epoch on training and held-out rows."""
    training, w = record.get("training") or {}, words(record)["rows"]
    history, best = training.get("history") or {}, training.get("best_epoch")
    named = (("loss", f"training {w}", 0), ("validation_loss", f"held-out {w}", 1))
    shown = [(history[key], name, style) for key, name, style in named if _some(history, key)]
    if not shown:
        return None
    lines = [
        Line(range(1, len(v) + 1), v, style=style, points=len(v) <= _FEW) for v, _, style in shown
    ]
    return _figure(
        "Training history",
        charts.curves(
            lines,
            f"Loss over {len(shown[0][0])} epochs on {' and '.join(name for _, name, _ in shown)}",
            Axis("epoch (one pass over the training data)", "count"),
            Axis("loss"),
            [Guide("at", best, "kept")] if is_number(best) else [],
        ),
        "The loss is what training makes small. Curves should fall and level off; where that of "
        "held-out data turns up while the other still falls, the model learns by heart.",
        [(swatch(style), name) for _, name, style in shown],
    )


def search_figure(record: Record) -> Figure | None:
    """Return the score of each trial of a search, and the best so far."""
    given = record.get("search") or {}
    log = [t for t in given.get("log") or [] if is_number(t.get("mean")) and t.get("share") == 1]
    log = [t for t in log if is_number(t.get("trial"))]
    if len(log) < 2:
        return None
    known = metric(str(given.get("metric") or "the metric"))
    x, y = [t["trial"] for t in log], [t["mean"] for t in log]
    best = list(accumulate(y, max if known.higher_is_better else min))
    places = decimals(y)
    names = ("best so far", "each trial")
    svg = charts.curves(
        [Line(x, best), Line(x, y, style=1, points=len(y) <= _FEW)],
        f"{upper_first(known.title)} of {len(log)} trials; the first {number(y[0], places)}, the "
        f"best {number(best[-1], places)}",
        Axis("trial", "count"),
        Axis(known.short),
        [Guide("level", y[0], "as it was")] if x[0] == 0 else [],
    )
    legend = [(swatch(style), name) for style, name in enumerate(names)]
    return _figure(
        f"{upper_first(known.title)} by trial",
        svg,
        f"Mean over the folds of the search; trial 0 is the model as it was. "
        f"{'Higher' if known.higher_is_better else 'Lower'} is better. Trials that lie close "
        "together may differ by luck alone.",
        [*legend, *([(DOTTED, "as it was")] if x[0] == 0 else [])],
    )


def importance_figure(record: Record, most: int = 20) -> Figure | None:
    """Return the features by permutation importance, the ``most`` largest first."""
    found = [i for i in record.get("importance") or [] if is_number(i.get("mean"))]
    if not found:
        return None
    found.sort(key=lambda i: -i["mean"])
    drop = metric(str(record.get("importance_metric") or main_metric(record) or "the metric")).short
    rows = [(i.get("feature"), i["mean"], i.get("low"), i.get("high"), 0) for i in found[:most]]
    places = decimals(i["mean"] for i in found[:3])
    top = ", ".join(f"{clean(i.get('feature'), 60)} {number(i['mean'], places)}" for i in found[:3])
    alt = f"Importance of columns, largest: {top}"
    more = len(found) - most
    others = "other one is" if more == 1 else f"other {more:,} are"
    rest = f" The {others} in the table." if more > 0 else ""
    return _figure(
        f"Drop in {drop} when a column is shuffled",
        charts.dots(rows, alt, f"drop in {drop}", from_zero=True),
        "How much worse the model gets on test rows when one column is shuffled, with the 95% "
        "interval over shuffles. Near 0 the model does without the column; columns that say the "
        f"same share their importance.{rest}",
    )


def timeline_figure(record: Record) -> Figure | None:
    """Return the picture of the folds in time."""
    folds = (record.get("protocol") or {}).get("folds") or []
    dated = [
        f for f in folds if charts.is_day(f.get("test_from")) and charts.is_day(f.get("test_to"))
    ]
    if not dated:
        return None
    ends = ("train_from", "train_to", "test_from", "test_to")
    said = []
    for fold in dated[:8]:
        a, b, c, d = (clean(fold.get(end), 10) for end in ends)
        said.append(f"{clean(fold.get('name'), 40)}: train {a} to {b}, test {c} to {d}")
    waits = any(str(f.get("train_to")) < str(f.get("test_from")) for f in dated)
    wait = [(box("gap"), "waiting for labels")] if waits else []
    waiting = ", waits while labels become known," if waits else ""
    return _figure(
        "Training and test in time",
        charts.timeline(dated, f"Folds in time. {'; '.join(said)}"),
        f"Each line is one test: the model learns from the {words(record)['rows']} of its first "
        f"bar{waiting} and is judged on those of the last.",
        [(box("s0"), "training"), *wait, (box("s1"), "test")],
    )


def _figure(title: str, svg: str, read: str, legend: Legend = ()) -> Figure:
    return {"title": title, "svg": svg, "read": read, "legend": list(legend)}


def _curve(
    record: Record,
    key: str,
    names: tuple[str, str],
    title: str,
    x: Axis,
    y: Axis,
    guides: Sequence[Guide],
    read: str,
    metric_name: str | None = None,
    points: bool = False,
) -> Figure | None:
    """Return one kind of curve of every model that has it; None where none has."""
    both = [(m, (m.get("curves") or {}).get(key) or {}) for m in ran(record)]
    drawn = [(m, c) for m, c in both if all(_some(c, name) for name in names)]
    if not drawn:
        return None
    lines = []
    for m, c in drawn:
        band = (c.get("low"), c.get("high")) if m["own"] or len(drawn) == 1 else (None, None)
        lines.append(Line(c[names[0]], c[names[1]], *band, m["style"], points))
    models = [m for m, _ in drawn]
    svg = charts.curves(lines, f"{title} for {_names(models)}", x, y, guides)
    legend = [*_legend(models, metric_name), *((DOTTED, g.text) for g in guides if g.text)]
    return _figure(title, svg, read, legend)


def _legend(models: Sequence[Record], metric_name: str | None = None) -> list[tuple[str, str]]:
    """Return samples and names, with the value of a metric where there is one."""
    values = [entry(m, metric_name).get("value") for m in models]
    worth = [f" {number(v, 3)}" if is_number(v) else "" for v in values]
    return [(swatch(m["style"]), m["label"] + w) for m, w in zip(models, worth, strict=True)]


def _days(by_day: Record, key: str, style: int) -> Line:
    return Line(by_day["day"], by_day[key], style=style, points=len(by_day["day"]) <= _FEW)


def _worked(curve: Record, style: int) -> Line:
    """Cost by alerts a day, where there are any: a logarithmic axis has no 0."""
    pairs = zip(curve["alerts_per_day"], curve["cost"], strict=False)
    kept = [(alerts, cost) for alerts, cost in pairs if is_number(alerts) and alerts > 0]
    return Line([alerts for alerts, _ in kept], [cost for _, cost in kept], style=style)


def _names(models: Sequence[Record]) -> str:
    return ", ".join(m["label"] for m in models)


def _some(part: Any, key: str) -> bool:
    """Return whether a part of the record has values under a name."""
    values = part.get(key) if isinstance(part, dict) else None
    return isinstance(values, list) and any(is_number(v) or isinstance(v, str) for v in values)
