"""The short way from a clean Parquet file to scores: no pandas, no scikit-learn, no Keras."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fintech_dl import artefact
from fintech_dl.data.proven import read_proven
from fintech_dl.evaluation.alerts import decide
from fintech_dl.scoring.opened import Done, Opened

ROLES = ("target", "when", "weight")  # a column each
LISTS = ("drop", "protected")  # columns that are no features
KEYS = {"use", *ROLES, *LISTS, "aside", "positive", "delay_days"}


def score_quickly(opened: Opened, file: str | Path, as_of: Any) -> Done | None:
    """Return the scores of a Parquet file, None where it has to go the long way.

    It may go this way if the artefact has a graph and nothing before it, if the rows of the card
    are taken as they are, and if every row plainly keeps the contract.

    Raises
    ------
    ArtefactError
        The graph is changed, or not proven.
    """
    table, decision = opened.pipeline.table, opened.pipeline.decision
    contract, rules = opened.dataset.contract, opened.dataset.columns
    named = [name for name in (contract.key, contract.time) if name]
    by_the_day = decision is not None and decision.rule == "capacity"
    if table.get("use") != "rows.as_they_are" or set(table) - KEYS or opened.pipeline.history:
        return None
    if any(rules[name].type in ("category", "boolean") for name in named):
        return None
    light = artefact.light_scorer(opened.files, opened.folder)
    if light is None or light.record["steps"]:
        return None
    proven = read_proven(Path(file), opened.dataset, as_of=as_of)
    if proven is None:
        return None
    columns = proven.columns
    hidden = {table.get(role) for role in ROLES}.union(*(table.get(key, []) for key in LISTS))
    when = columns.get(table["when"]) if table.get("when") else None
    amount = None
    try:
        if table.get("when") and (when is None or not (when[1:] >= when[:-1]).all()):
            return None
        if by_the_day and (when is None or when.dtype.kind != "M"):
            return None
        if decision is not None and decision.amount:
            if decision.amount not in table.get("aside", []):
                return None
            amount = columns[decision.amount]
        features = {name: values for name, values in columns.items() if name not in hidden}
        matrix = light.encode(features)
    except (ValueError, KeyError, TypeError):  # the long way says it in its own words
        return None
    found = {name: columns[name] for name in named}
    found["score"] = light.scores(matrix)
    if decision is not None:
        found["alert"] = decide(decision, found["score"], amount, when)
    return Done(
        rows=len(matrix),
        alerts=int(found["alert"].sum()) if "alert" in found else None,
        facts=proven.facts,
        history=None,
        write=partial(_write, found),
    )


def _write(columns: dict[str, np.ndarray], folder: Path) -> None:
    arrays = [_arrow(values) for values in columns.values()]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), folder / "scores.parquet")


def _arrow(values: np.ndarray) -> Any:
    """Return an Arrow array of what a key, a time, scores or alerts are; imports no pandas."""
    n, kind = len(values), values.dtype.kind
    if kind == "O":
        texts = [value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(pa.large_string(), n, buffers)
    if kind == "b":
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(bits)])
    type_ = pa.timestamp("us") if kind == "M" else getattr(pa, values.dtype.name)()
    return pa.Array.from_buffers(type_, n, [None, pa.py_buffer(np.ascontiguousarray(values))])
