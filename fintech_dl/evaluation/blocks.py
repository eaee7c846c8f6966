"""The parts that a section of a report may have: sentences, pairs, tables, charts, fold-outs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Block = dict[str, Any]


def said(text: Any) -> Block:
    """Return a paragraph; nothing of an empty text."""
    return {"text": text} if text else {}


def pairs(*items: tuple[str, str]) -> Block:
    """Return names and values, those without a value left out."""
    return {"pairs": [(name, value) for name, value in items if value]}


def tabled(given: Any) -> Block:
    """Return a table of `tables.table`; nothing of None."""
    return {"table": given} if given else {}


def charted(given: Sequence[Any] | None) -> Block:
    """Return figures side by side, those that are None left out."""
    found = [figure for figure in given or [] if figure]
    return {"figures": found} if found else {}


def folded(summary: str, tables: Sequence[Any] = (), inside: Sequence[Any] = ()) -> Block:
    """Return tables and pairs behind a summary that unfolds; nothing where there are none."""
    filled = tables or inside
    return {"fold": summary, "tables": list(tables), "inside": list(inside)} if filled else {}
