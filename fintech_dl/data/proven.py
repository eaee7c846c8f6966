"""Parquet files whose every row keeps the contract, proven at once: NumPy and pyarrow, no pandas.

The usual case of a night job. On any doubt nothing is returned, and whoever asked reads the file
through `frames.read_file`, which knows every type and sets broken rows aside with reasons.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fintech_dl.cards import Column, DatasetCard
from fintech_dl.data.files import verify
from fintech_dl.data.rules import EXACT, find_columns, integer_dtype, reading_facts

WHEN = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?", re.ASCII)
NUMBERS: dict[Any, np.dtype[Any]] = {
    getattr(pa, name)(): np.dtype(name)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
}
FLOATS: dict[Any, np.dtype[Any]] = {
    pa.float32(): np.dtype("float32"),
    pa.float64(): np.dtype("float64"),
}
TEXTS = (pa.string(), pa.large_string())
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
YEARS = (np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-31", "us"))


class Doubt(Exception):
    """Something that has to be looked at row by row."""


class Proven(NamedTuple):
    """Rows that keep the contract, by column of the card, and the facts for the record.

    Numbers are float64, NaN where empty; integers of the dtype that the contract gives them;
    categories and text are objects, None where empty; times are datetime64[us].
    """

    columns: dict[str, NDArray[Any]]
    facts: dict[str, Any]


def read_proven(path: Path, card: DatasetCard, *, as_of: Any = None) -> Proven | None:
    """Return the rows to score of a Parquet file, None unless every one plainly keeps the contract.

    Parameters
    ----------
    path : Path
    card : DatasetCard
    as_of : str, optional
        As for `frames.read_file`.
    """
    try:
        return _read(path, card, as_of)
    except Exception:  # whatever it is, the full reading finds it again and says it well
        return None


def _read(path: Path, card: DatasetCard, as_of: Any) -> Proven:
    if path.suffix != ".parquet" or card.contract.asset or card.source.constants:
        raise Doubt
    contract, columns, missing = card.contract, {}, {}
    at = _moment(as_of, card)
    with path.open("rb") as stream:  # one handle: what was hashed is what is read
        digest = verify(stream, "", str(path))
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        have = file.schema_arrow.names
        _refuse_named_index(file.schema_arrow)
        found = find_columns(have, card, True, str(path))
        wanted = list(dict.fromkeys(source for source, _ in found.values()))
        table = file.read(columns=wanted)
    n = len(table)
    for name, (source, rule) in found.items():
        values, empty = _column(table.column(source).combine_chunks(), rule)
        if (empty.any() and not rule.nullable) or rule.empty:
            raise Doubt
        if name == contract.key and len(set(values.tolist())) < n:
            raise Doubt
        if name == contract.time and not (values[1:] >= values[:-1]).all():
            raise Doubt
        if name == contract.time and at is not None and (values > np.datetime64(at, "us")).any():
            raise Doubt
        columns[name], missing[name] = values, float(empty.mean())
    if not n or not columns:
        raise Doubt
    used = {source for source, _ in found.values()}
    facts = reading_facts(
        card,
        {name: rule for name, (_, rule) in found.items()},
        missing,
        path=path,
        digest=digest,
        as_of=at,
        rows_read=n,
        rows_used=n,
        ignored=[column for column in have if column not in used],
    )
    return Proven(columns, facts)


def _moment(as_of: Any, card: DatasetCard) -> datetime | None:
    """Return the moment of the data on the clock of the contract's time, None if it has none."""
    rule = card.columns.get(card.contract.time)
    if rule is None or rule.type != "datetime":
        return None
    if as_of is None:
        zone = UTC if rule.timezone == "UTC" else ZoneInfo(rule.timezone)
        return datetime.now(zone).replace(tzinfo=None)
    if not isinstance(as_of, str) or not WHEN.fullmatch(as_of):
        raise Doubt
    return datetime.fromisoformat(as_of)


def _refuse_named_index(schema: Any) -> None:
    """Doubt an index that pandas kept as start, stop and step: to others it is a column."""
    kept = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    if any(isinstance(i, dict) and i["name"] is not None for i in kept.get("index_columns", [])):
        raise Doubt


def _column(cells: Any, rule: Column) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values of one column, as the contract has them, and which cells are empty."""
    if not isinstance(cells, pa.Array):
        raise Doubt
    if rule.type in ("category", "text"):
        return _texts(cells, rule)
    empty = _empty(cells)
    if rule.type == "boolean":
        if cells.type != pa.bool_() or empty.any():
            raise Doubt
        return _bits(cells.buffers()[1], cells), empty
    if rule.type == "datetime":
        if not pa.types.is_timestamp(cells.type) or cells.type.tz or empty.any():
            raise Doubt
        times = _microseconds(_buffer(cells, np.dtype("int64")), cells.type.unit)
        if not ((times >= YEARS[0]) & (times < YEARS[1])).all():
            raise Doubt
        return times, empty
    kinds = NUMBERS if rule.type == "integer" else {**NUMBERS, **FLOATS}
    raw = _buffer(cells, kinds[cells.type])
    values: NDArray[Any]
    if rule.type == "integer":
        whole = np.where(empty, 0, raw).astype(np.int64)
        _check(whole[~empty], rule)
        if not empty.any():
            return whole.astype(integer_dtype(whole, rule)), empty
        if np.abs(whole).max(initial=0) > EXACT:
            raise Doubt
        return np.where(empty, np.nan, whole), empty
    values = np.where(empty, np.nan, raw.astype(np.float64))
    empty = np.isnan(values)
    if np.isinf(values).any():
        raise Doubt
    _check(values[~empty], rule)
    return values, empty


def _microseconds(whole: NDArray[np.int64], unit: str) -> NDArray[np.datetime64]:
    if unit == "ns":
        if (whole % 1000).any():
            raise Doubt
        return (whole // 1000).view("datetime64[us]")
    most = np.iinfo(np.int64).max // UNITS[unit]
    if ((whole > most) | (whole < -most)).any():
        raise Doubt
    return (whole * UNITS[unit]).view("datetime64[us]")


def _texts(cells: Any, rule: Column) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return text, or the whole numbers that are categories where the card lists such."""
    numbers = rule.type == "category" and bool(rule.allowed) and isinstance(rule.allowed[0], int)
    if numbers:
        empty = _empty(cells)
        codes = _buffer(cells, NUMBERS[cells.type])
        if empty.any():
            raise Doubt
        _check(codes, rule)
        return codes.astype(object), empty
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if cells.type not in TEXTS:
        raise Doubt
    coded = cells.dictionary_encode()
    empty = _empty(coded.indices)
    labels = coded.dictionary.to_pylist()
    if rule.allowed and not set(labels) <= set(rule.allowed):
        raise Doubt
    at = np.where(empty, len(labels), _buffer(coded.indices, np.dtype("int32")))
    return np.array([*labels, None], dtype=object)[at], empty


def _check(values: NDArray[Any], rule: Column) -> None:
    """Doubt values beyond the card's bounds, or that it does not list."""
    below = rule.min is not None and (values < rule.min).any()
    above = rule.max is not None and (values > rule.max).any()
    if below or above or (rule.allowed and not np.isin(values, rule.allowed).all()):
        raise Doubt


def _buffer(cells: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array's numbers without a copy; pyarrow's own ``to_numpy`` imports pandas."""
    data = cells.buffers()[1]
    if data is None:
        return np.zeros(len(cells), dtype)
    return np.frombuffer(data, dtype, count=cells.offset + len(cells))[cells.offset :]


def _empty(cells: Any) -> NDArray[np.bool_]:
    if not cells.null_count:
        return np.zeros(len(cells), dtype=bool)
    return ~_bits(cells.buffers()[0], cells)


def _bits(buffer: Any, cells: Any) -> NDArray[np.bool_]:
    bits = np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little")
    return bits[cells.offset : cells.offset + len(cells)].astype(bool)
