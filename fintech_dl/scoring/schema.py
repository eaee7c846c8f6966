"""Are the columns of all files those of the contract? Asked before the first row is scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fintech_dl.cards import Column, DatasetCard
from fintech_dl.data.rules import find_columns
from fintech_dl.errors import DataError

SHOWN = 10  # faulty files named in an error
UNREADABLE = (pa.ArrowException, OSError, ValueError)


class Footer(NamedTuple):
    """What a Parquet file says of itself: its columns, and the rows of each row group."""

    schema: Any
    row_groups: list[int]


class Columns(NamedTuple):
    """What `check_columns` found: columns without a rule, and a digest of names and types."""

    ignored: list[str]
    sha256: str


def read_footer(path: Path, name: str = "") -> Footer:
    """Return the columns and row groups of a Parquet file.

    Raises
    ------
    DataError
        It is broken, or no Parquet file.
    """
    try:
        with pa.OSFile(str(path)) as stream, pq.ParquetFile(stream) as file:
            found = file.metadata
            rows = [found.row_group(i).num_rows for i in range(found.num_row_groups)]
            footer = Footer(file.schema_arrow, rows)
            named_index(footer.schema)
            return footer
    except UNREADABLE as error:
        raise DataError(
            f"{name or path}: cannot be read: {told(error)}; the file is broken or of another "
            "kind than its name says"
        ) from error


def check_columns(files: Sequence[tuple[str, Path, Footer, bool]], card: DatasetCard) -> Columns:
    """Refuse files that lack a column of the contract, or have one of another type.

    Parameters
    ----------
    files : sequence of (name, path, footer, text)
        Parquet files; ``text``: cells of text are parsed, row by row.
    card : DatasetCard

    Returns
    -------
    Columns

    Raises
    ------
    DataError
        Of all files the first ten that are at fault, with the column.
    """
    ignored: dict[str, None] = {}
    faults: list[str] = []
    known: dict[Any, tuple[list[str], list[tuple[str, Column]]]] = {}
    digest = hashlib.sha256()
    for name, path, footer, text in files:
        schema = footer.schema
        have = [*schema.names, *named_index(schema)]
        as_text = json.dumps([text, have, [str(kind) for kind in schema.types]])
        digest.update(as_text.encode() + b"\n")
        try:
            if as_text not in known:
                known[as_text] = _unfit(schema, have, card, name, text)
            unused, unfit = known[as_text]
            ignored |= dict.fromkeys(unused)
            for source, rule in unfit if sum(footer.row_groups) else ():
                _look(path, source, rule, name, text)
        except DataError as error:
            faults.append(str(error))
    if faults:
        more = len(faults) - SHOWN
        lines = faults[:SHOWN] + ([f"and {more:,} files more"] if more > 0 else [])
        raise DataError("\n".join(lines))
    return Columns(list(ignored), digest.hexdigest())


def named_index(schema: Any) -> list[str]:
    """Return the columns that pandas has kept as start, stop and step of its index alone."""
    return _named_index((schema.metadata or {}).get(b"pandas", b"{}"))


@lru_cache
def _named_index(metadata: bytes) -> list[str]:
    try:
        columns = json.loads(metadata).get("index_columns", [])
        named = [one["name"] for one in columns if isinstance(one, dict)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"what pandas has written into it is no JSON of its: {error}") from error
    return [str(name) for name in named if name is not None]


def told(error: Exception) -> str:
    """Return the first line of what a library says.

    Examples
    --------
    >>> from fintech_dl.scoring.schema import told
    >>> told(ValueError("no magic bytes"))
    'no magic bytes'
    """
    return str(error).splitlines()[0][:300] if str(error) else repr(error)


def _unfit(
    schema: Any, have: list[str], card: DatasetCard, name: str, text: bool
) -> tuple[list[str], list[tuple[str, Column]]]:
    """Return the columns without a rule, and those whose type does not fit theirs at sight."""
    if card.source.melt is not None:  # the feature stage makes it long first
        return [], []
    constants = [one for one in card.source.constants if one not in have]
    rules = find_columns([*have, *constants], card, True, name)
    used = {source for source, _ in rules.values()}
    unfit = [
        (source, rule)
        for source, rule in rules.values()
        if source in schema.names and not fits(schema.field(source).type, rule, text)
    ]
    return [one for one in have if one not in used], unfit


def fits(kind: Any, rule: Column, text: bool = False) -> bool:
    """Return whether a column of this Arrow type is of the declared type, whatever its cells.

    Parameters
    ----------
    kind : pyarrow.DataType
    rule : Column
    text : bool
        Text is parsed, so that it may hold every type.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from fintech_dl.cards import Column
    >>> from fintech_dl.scoring.schema import fits
    >>> fits(pa.int32(), Column(type="number")), fits(pa.string(), Column(type="number"))
    (True, False)
    """
    types = pa.types
    if types.is_null(kind):
        return True
    if types.is_dictionary(kind):
        return fits(kind.value_type, rule, text)
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return (text and is_text) or {
        "text": is_text,
        "category": is_text or number,
        "number": number,
        "integer": number,
        "boolean": types.is_boolean(kind),
        "datetime": types.is_timestamp(kind) or types.is_date(kind),
    }[rule.type]


def _look(path: Path, source: str, rule: Column, name: str, text: bool) -> None:
    """Judge a column by its cells, as the contract will: one without any is of every type."""
    from fintech_dl.data.casting import cast_column
    from fintech_dl.data.frames import from_arrow

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            frame = from_arrow(file.read(columns=[source]))
    except UNREADABLE as error:
        raise DataError(f"{name}: column {source!r} cannot be read: {told(error)}") from error
    cast_column(frame[source], rule, f"{name}: column {source!r}", text)
