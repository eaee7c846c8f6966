"""What a run of a detector finds: thresholds, the spread and drift of scores, alerts and kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.pipeline import Pipeline

from fintech_dl.cards import PipelineCard
from fintech_dl.evaluation.alerts import decide
from fintech_dl.evaluation.attribution import last_step, uncalibrated
from fintech_dl.evaluation.detection_series import along_series, rates
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.splits import Fold
from fintech_dl.evaluation.stability import psi
from fintech_dl.table import Table

SHOWN = 20  # alerts in the report
LISTED = 1000  # alerts in alerts.csv
REASONS = 3  # features named for each
BINS = 40
RARE = 0.01  # of the training rows score so high; how many of the new ones do tells drift
MOST_DAYS = 62  # a longer test is told by month

Limit = float | Floats


def detection_record(
    card: PipelineCard,
    scored: Sequence[Scored],
    model: Any,
    table: Table,
    parts: Sequence[Fold],
    key: str = "",
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the part ``detection`` of a run's record, and a line for each alert.

    Everything is of the latest test, but ``kinds``, which is of all of them.

    Parameters
    ----------
    card : PipelineCard
    scored : sequence of Scored
        The detector first, then its rivals.
    model : fitted Pipeline
        The detector of the latest fold; ``explain`` of its last step, if it has one, gives reasons.
    table : Table
        Without ``y`` nothing is said of what alerts are worth.
    parts : sequence of Fold
        The latest first.
    key : str
        Column by which rows are known.

    Returns
    -------
    record : dict
        ``labelled``; ``thresholds``: of the alerts and of the model itself, each with ``score``,
        ``flagged`` (share of the test rows), ``false_alarm_rate`` and ``recall``; ``series``: those
        with most alerts, the ``score`` along them and their threshold;
        ``distribution``: ``edges`` of bins and the share of rows in each; ``drift``: of the test
        against the training rows, whole and by ``periods``; ``alerts``: the highest, with reasons;
        ``kinds``: the recall of each kind of positive, and of each rival; ``shared``: which part of
        the alerts each rival raises too.
    alerts : DataFrame
        One line per alert, at most 1,000, the highest score first.
    """
    own, latest, labelled = scored[0], parts[0], table.y is not None
    outcome = own.outcomes[0]
    assert own.train is not None
    limits = _own_thresholds(model, own, table, parts)
    raised = [_raised(card, one, 0, own, limits) for one in scored]
    lines = _lines(card, model, table, latest, outcome, raised[0], key)
    named = {"alerts": (_least(outcome.score, raised[0]), raised[0])}
    limit = limits[0]
    series = _series(model, table.X.iloc[latest.test], outcome, limit, raised[0], labelled)
    if limit is not None:
        only = series[0]["score"] if [s["rows"] for s in series] == [len(outcome)] else None
        named["model"] = (limit if isinstance(limit, float) else only, outcome.score > limit)
    record = {
        "labelled": labelled,
        "rows": len(outcome),
        "alerts_raised": int(raised[0].sum()),
        "thresholds": [
            {"name": name, "score": at, **rates(outcome, flagged, labelled)}
            for name, (at, flagged) in named.items()
        ],
        "series": series,
        "distribution": _distribution(own.train.score, outcome, labelled),
        "drift": _drift(own.train.score, outcome, raised[0]),
        "alerts": _shown(lines, key),
        "kinds": _kinds(card, scored, table, parts, raised, limits)
        if labelled and card.kinds
        else [],
        "shared": [
            {"name": one.name, "share": float(theirs[raised[0]].mean())}
            for one, theirs in zip(scored[1:], raised[1:], strict=True)
            if one.outcomes and raised[0].any()
        ],
    }
    return plain(record), lines


def _own_thresholds(
    model: Any, own: Scored, table: Table, parts: Sequence[Fold]
) -> list[Limit | None]:
    """Return the score above which the detector itself flags rows of each fold, if it says.

    One for all rows, or one for each row where each series has its own.
    """
    offset = getattr(last_step(model), "offset_", None)
    if offset is None or np.ndim(offset) == 0:
        return [None if offset is None else -float(offset)] * len(parts)
    return [
        outcome.score + np.asarray(model.decision_function(table.X.iloc[part.test]), float)
        for outcome, part in zip(own.outcomes, parts, strict=True)
    ]


def _series(
    model: Any,
    X: pd.DataFrame,
    outcome: Outcome,
    limit: Limit | None,
    raised: NDArray[np.bool_],
    labelled: bool,
) -> list[dict[str, Any]]:
    """Return the scores along series: of the detector that knows them, else of the table."""
    if limit is not None and not isinstance(limit, float):
        name = getattr(last_step(model), "series", None)
        names = X[name].astype(str).to_numpy() if name in X else np.full(len(X), "")
        return along_series(outcome, names, outcome.score > limit, limit, labelled)
    if outcome.who is None or outcome.when is None:
        return []
    return along_series(outcome, outcome.who.astype(str), raised, None, labelled)


def _raised(
    card: PipelineCard, one: Scored, fold: int, own: Scored, limits: Sequence[Limit | None]
) -> NDArray[np.bool_]:
    """Return which rows of a fold raise an alert: by the decision, else as many as the detector.

    Of a rival without a decision in the card: as many of its highest scores.
    """
    if not one.outcomes:
        return np.zeros(len(own.outcomes[fold]), bool)
    outcome = one.outcomes[fold]
    if card.decision is not None and card.decision.rule == "capacity":
        return decide(card.decision, outcome.score, outcome.amount, outcome.when)
    first = own.outcomes[fold].score
    if card.decision is not None:
        flagged = decide(card.decision, first, outcome.amount, outcome.when)
    else:
        limit = limits[fold]
        flagged = np.zeros(len(first), bool) if limit is None else first > limit
    if one is own:
        return flagged
    highest = np.argsort(-outcome.score, kind="stable")[: int(flagged.sum())]
    return np.isin(np.arange(len(first)), highest)


def _least(score: Floats, raised: NDArray[np.bool_]) -> float | None:
    return float(score[raised].min()) if raised.any() else None


def _distribution(learned: Floats, outcome: Outcome, labelled: bool) -> dict[str, Any]:
    """Return the share of rows by score; bins of equal width, of logarithms where all are above 0.

    Scores below the lowest thousandth lie in the first bin.
    """
    both = np.concatenate([learned, outcome.score])
    low, high = float(np.quantile(both, 0.001)), float(both.max())
    if not low < high:
        return {}
    log = low > 0
    edges = np.geomspace(low, high, BINS + 1) if log else np.linspace(low, high, BINS + 1)
    sides = {"training": learned, "test": outcome.score}
    if labelled:
        del sides["test"]
        sides |= {
            "other": outcome.score[outcome.y == 0],
            "positives": outcome.score[outcome.y == 1],
        }

    def shares(score: Floats) -> list[float]:
        at = np.searchsorted(edges, score, "right").clip(1, BINS) - 1
        return (np.bincount(at, minlength=BINS) / max(len(score), 1)).tolist()

    return {"log": log, "edges": edges.tolist(), **{k: shares(v) for k, v in sides.items()}}


def _drift(learned: Floats, outcome: Outcome, raised: NDArray[np.bool_]) -> dict[str, Any]:
    """Return how far the scores of the test lie from those of the training rows."""
    high = float(np.quantile(learned, 1 - RARE))

    def line(at: NDArray[Any]) -> dict[str, Any]:
        score = outcome.score[at]
        found = psi(learned, score)
        return {
            "rows": len(score),
            "median": float(np.median(score)),
            "above": float((score > high).mean()),
            "alerts": int(raised[at].sum()),
            "psi": found.psi,
            "chance_95": found.chance_95,
            "beyond_chance": found.beyond_chance,
            "rule_of_thumb": found.rule_of_thumb,
        }

    periods = []
    if outcome.when is not None:
        days = outcome.days
        many = len(np.unique(days)) > MOST_DAYS
        names = days.astype("datetime64[M]" if many else "datetime64[D]").astype(str)
        periods = [{"period": n} | line(np.flatnonzero(names == n)) for n in np.unique(names)]
    return {
        "rare": RARE,
        "high": high,
        "median": float(np.median(learned)),
        **{k: v for k, v in line(np.arange(len(outcome))).items() if k not in ("median", "alerts")},
        "periods": periods,
    }


def _lines(
    card: PipelineCard,
    model: Any,
    table: Table,
    latest: Fold,
    outcome: Outcome,
    raised: NDArray[np.bool_],
    key: str,
) -> pd.DataFrame:
    """Return a line for each alert of the latest test, the highest score first, with reasons."""
    rows = table.rows(latest.test)
    order = np.argsort(-outcome.score, kind="stable")
    at = order[raised[order]][:LISTED]
    X = rows.X.iloc[at].reset_index(drop=True)
    beside = pd.DataFrame(index=rows.X.index) if rows.aside is None else rows.aside
    columns: dict[str, Any] = {key: beside[key]} if key in beside else {"row": latest.test}
    columns |= {"when": rows.when, "who": rows.who, "score": outcome.score}
    if rows.y is not None:
        columns |= {"y": rows.y, "kind": beside[card.kinds] if card.kinds else None}
    known = {name: np.asarray(part)[at] for name, part in columns.items() if part is not None}
    lines = pd.DataFrame({"rank": np.arange(1, len(at) + 1), **known})
    if "kind" in lines:
        lines["kind"] = _texts(lines["kind"]).where(lines["y"] == 1, "")
    told = contributions(model, X) if len(at) else None
    if told is None:
        return lines
    first = np.argsort(-told.to_numpy(), axis=1, kind="stable")[:, :REASONS]
    for n, best in enumerate(first.T, 1):
        worth = told.to_numpy()[np.arange(len(best)), best]
        names: Any = np.where(worth > 0, told.columns.to_numpy(object)[best], None)
        lines[f"feature_{n}"] = names
        lines[f"value_{n}"] = [
            _cell(X[name].iloc[i]) if name in X else None for i, name in enumerate(names)
        ]
        lines[f"contribution_{n}"] = worth
    return lines


def contributions(model: Any, X: pd.DataFrame) -> pd.DataFrame | None:
    """Return what each feature adds to the score of each row; None if the model does not say.

    Parameters
    ----------
    model : fitted Pipeline
        ``explain`` of its last step gives contributions.
    X : DataFrame of shape (n_rows, n_columns)

    Returns
    -------
    DataFrame of shape (n_rows, n_features) or None
    """
    model = uncalibrated(model)
    last = last_step(model)
    if not hasattr(last, "explain"):
        return None
    if isinstance(model, Pipeline) and len(model) > 1:
        X = model[:-1].transform(X)
    return pd.DataFrame(last.explain(X)).reset_index(drop=True)


def _shown(lines: pd.DataFrame, key: str) -> list[dict[str, Any]]:
    """Return the first alerts as the report shows them."""
    known = [name for name in ("rank", "when", "who", "score", "y", "kind") if name in lines]
    several = [n for n in range(1, REASONS + 1) if f"feature_{n}" in lines]
    parts = ("feature", "value", "contribution")
    return [
        {
            "id": _cell(line[key if key in lines else "row"]),
            **{name: _cell(line[name]) for name in known},
            "reasons": [
                {part: _cell(line[f"{part}_{n}"]) for part in parts}
                for n in several
                if not pd.isna(line[f"feature_{n}"])
            ],
        }
        for line in lines.head(SHOWN).to_dict("records")
    ]


def _cell(value: Any) -> Any:
    """Return a value as JSON has it: numbers as they are, anything else as text."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.float32):
        return float(f"{value:.7g}")  # not the digits that float64 makes up
    return value if isinstance(value, int | float | np.number) else str(value)


def _kinds(
    card: PipelineCard,
    scored: Sequence[Scored],
    table: Table,
    parts: Sequence[Fold],
    latest: Sequence[NDArray[np.bool_]],
    limits: Sequence[Limit | None],
) -> list[dict[str, Any]]:
    """Return how many of each kind of positive are caught, by the detector and by each rival.

    ``latest`` says which rows of the latest fold raise an alert, model by model.
    """
    assert table.aside is not None
    assert table.y is not None
    kind = _texts(table.aside[card.kinds]).where(table.y == 1, "").to_numpy()
    ran = [one for one in scored if one.outcomes]
    tested = np.concatenate([kind[part.test] for part in parts])
    caught = {
        one.name: np.concatenate(
            [first, *(_raised(card, one, i, scored[0], limits) for i in range(1, len(parts)))]
        )
        for one, first in zip(scored, latest, strict=True)
        if one.outcomes
    }
    learned = kind[parts[0].train]
    found = []
    for name in sorted(set(tested) - {""}):
        at = tested == name
        own, n = int(caught[ran[0].name][at].sum()), int(at.sum())
        ends = binomtest(own, n).proportion_ci(method="wilson")
        found.append(
            {
                "kind": name,
                "rows": n,
                "in_training": int((learned == name).sum()),
                "recall": own / n,
                "low": float(ends.low),
                "high": float(ends.high),
                "rivals": {one.name: float(caught[one.name][at].mean()) for one in ran[1:]},
            }
        )
    return found


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return names of kinds as text; whole numbers without a decimal point."""
    numbers = pd.api.types.is_numeric_dtype(column)
    return column.map(lambda v: f"{v:g}" if numbers else str(v)).astype(object)
