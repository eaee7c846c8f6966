"""Reading the record of a run: its models in order, its words, its main metric.

The record is a JSON-plain dict of every number of a run; each part of it may be missing.
"""

from __future__ import annotations

from typing import Any

from fintech_dl.evaluation.wording import clean, is_number

Record = dict[str, Any]

WORDS = {"row": "row", "rows": "rows", "positive": "positive", "positives": "positives"}


def words(record: Record) -> dict[str, str]:
    """Return what the report calls a row and a positive: the record's own ``words``, if any."""
    given = record.get("words") or {}
    return WORDS | {k: clean(v, 40) for k, v in given.items() if k in WORDS and v}


def models_of(record: Record) -> list[Record]:
    """Return the models, the run's own first, the baselines last.

    Each has a ``label``, the ``style`` that it keeps in every chart, and whether it is the run's
    ``own``: the one named ``model``, else the first that is no baseline.
    """
    models = sorted(
        record.get("models") or [],
        key=lambda m: (bool(m.get("is_baseline")), m.get("name") != "model"),
    )
    return [
        m
        | {
            "label": clean(m.get("title") or m.get("name"), 60),
            "style": i,
            "own": i == 0 and not m.get("is_baseline"),
        }
        for i, m in enumerate(models)
    ]


def ran(record: Record) -> list[Record]:
    """Return the models that produced scores."""
    return [m for m in models_of(record) if m.get("ran", True)]


def named(models: list[Record], name: Any) -> Record | None:
    """Return the model that a part of the record means, by its name or its title."""
    return next((m for m in models if name and name in (m.get("name"), m.get("title"))), None)


def main_metric(record: Record) -> str | None:
    """Return the metric of the verdict, else the first metric there is."""
    named = (record.get("verdict") or {}).get("metric")
    first = next((k for m in ran(record) for k in m.get("metrics") or {}), None)
    return named or first


def positive_rate(record: Record) -> float | None:
    """Return the share of positives among the test rows, from the folds."""
    folds = (record.get("protocol") or {}).get("folds") or []
    pairs = [(f.get("positives_test"), f.get("rows_test")) for f in folds]
    if not pairs or not all(is_number(v) for pair in pairs for v in pair):
        return None
    rows = sum(n for _, n in pairs)
    return sum(p for p, _ in pairs) / rows if rows else None


def entry(model: Record, name: str | None) -> Record:
    """Return a model's value of one metric with its interval and folds; empty if it has none."""
    return (model.get("metrics") or {}).get(name) or {}


def metric_names(record: Record) -> list[str]:
    """Return the metrics of all models, in the order of first appearance."""
    return list(dict.fromkeys(k for m in ran(record) for k in m.get("metrics") or {}))
