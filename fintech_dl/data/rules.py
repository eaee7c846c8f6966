"""The rules of a dataset card for the columns of a file, and the facts of a reading."""

import re
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintech_dl.cards import Column, DatasetCard
from fintech_dl.errors import DataError

EXACT = 2**53  # above it a float no longer holds every whole number


def find_columns(
    have: list[str], card: DatasetCard, scoring: bool, where: str
) -> dict[str, tuple[str, Column]]:
    """Return name -> (column of the file, rule), patterns resolved.

    Raises
    ------
    DataError
        A column is missing, or there are two of one name.

    Examples
    --------
    >>> from fintech_dl.cards import Column, DatasetCard, Source
    >>> from fintech_dl.data.rules import find_columns
    >>> columns = {"V*": Column(type="number"), "paid": Column(type="number", source="Amount")}
    >>> source = Source(kind="file", path="a.csv")
    >>> card = DatasetCard(title="", licence="", source=source, columns=columns)
    >>> found = find_columns(["V10", "V9", "Amount"], card, False, "a.csv")
    >>> {name: column for name, (column, _) in found.items()}
    {'V9': 'V9', 'V10': 'V10', 'paid': 'Amount'}
    """
    if twice := sorted({column for column in have if have.count(column) > 1}):
        raise DataError(f"{where}: the file has several columns named {', '.join(twice)}")
    declared = {rule.source or name for name, rule in card.columns.items() if "*" not in name}
    rules, missing = {}, []
    for name, rule in card.columns.items():
        label = name in card.contract.labels
        rule = replace(rule, nullable=True) if label and scoring else rule
        if "*" in name:
            matching = [c for c in have if fnmatchcase(c, name) and c not in declared]
            rules.update({c: (c, rule) for c in sorted(matching, key=_natural)})
            missing += [] if matching else [name]
        elif (source := rule.source or name) in have:
            rules[name] = (source, rule)
        elif not (label and scoring):
            missing.append(source)
    if missing:
        hints = [get_close_matches(name, have, n=1, cutoff=0.5) for name in missing]
        told = [
            f"{name!r}" + (f" (did you mean {hint[0]!r}?)" if hint else "")
            for name, hint in zip(missing, hints, strict=True)
        ]
        shown = ", ".join(have[:30]) + (", ..." if len(have) > 30 else "")
        raise DataError(
            f"{where}: missing column {', '.join(told)}; the file has: {shown}. "
            "Correct the file, or name the column of the file as 'source' in the dataset card"
        )
    return rules


def _natural(name: str) -> list[tuple[str, int]]:
    """Sort V2 before V10, whatever the order in the file."""
    return [(word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", name)]


def integer_dtype(values: NDArray[np.int64], rule: Column) -> Any:
    """Return the dtype of the declared bounds, else 32 bits where the values fit, else 64."""
    bounds: list[Any] = rule.allowed or [rule.min, rule.max]
    smallest: list[Any] = [np.int8, np.int16, np.int32]
    if None in bounds:
        bounds, smallest = ([values.min(), values.max()] if len(values) else [0]), [np.int32]
    for dtype in smallest:
        if np.iinfo(dtype).min <= min(bounds) and max(bounds) <= np.iinfo(dtype).max:
            return dtype
    return np.int64


def reading_facts(
    card: DatasetCard,
    rules: dict[str, Column],
    missing: dict[str, float],
    *,
    path: Path | None,
    digest: str,
    as_of: Any,
    rows_read: int,
    rows_used: int,
    ignored: list[str],
    reasons: dict[str, int] | None = None,
    examples: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the record says of a reading: origin, file, rows, reasons, columns.

    ``missing`` is the share of empty cells per column, ``as_of`` the moment of the data or None.
    """
    arguments = ", ".join(f"{name}={value!s}" for name, value in card.source.parameters.items())
    if card.source.query:
        arguments = f"SHA-256 of the query: {sha256(card.source.query.encode()).hexdigest()}"
    return {
        "name": card.name,
        "title": card.title,
        "origin": card.origin,
        "licence": card.licence,
        "limits": card.limits,
        "path": path.name if path else None,
        "generator": None if path else f"{card.source.use or card.source.kind}({arguments})",
        "sha256": digest or None,
        "rows_read": rows_read,
        "rows_used": rows_used,
        "rows_quarantined": rows_read - rows_used,
        "quarantine_reasons": reasons or {},
        "quarantine_examples": examples or {},
        "ignored_columns": ignored,
        "as_of": as_of.isoformat() if as_of else None,
        "columns": [
            {"name": name, "type": rule.type, "unit": rule.unit, "missing_share": missing[name]}
            for name, rule in rules.items()
        ],
    }
