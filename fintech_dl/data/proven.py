"""Cells of Parquet columns that plainly keep the contract: proven by NumPy and pyarrow, no pandas.

The usual case of a night job. On any doubt there is `Doubt`, and whoever asked goes through the
same rows with `faults.check_cells`, which knows every type and names the cells that are broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fintech_dl.cards import Column
from fintech_dl.data.rules import EXACT

INTEGERS: dict[Any, np.dtype[Any]] = {
    getattr(pa, name)(): np.dtype(name)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
}
FLOATS: dict[Any, np.dtype[Any]] = {
    pa.float32(): np.dtype("float32"),
    pa.float64(): np.dtype("float64"),
}
NUMBERS = {**INTEGERS, **FLOATS}
TEXTS = (pa.string(), pa.large_string())
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
YEARS = (np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-31", "us"))


class Doubt(Exception):
    """Something that has to be looked at row by row."""


class Labels(NamedTuple):
    """Texts, each by its place among the different ones; the last of these stands for empty.

    Attributes
    ----------
    codes : int array of shape (n_rows,)
    labels : list
        Text or whole numbers; None at the end.
    """

    codes: NDArray[Any]
    labels: list[Any]

    def objects(self) -> NDArray[np.object_]:
        """Return the text of each row, None where empty."""
        found: NDArray[np.object_] = np.array(self.labels, dtype=object)[self.codes]
        return found


def prove_columns(
    cells: Mapping[str, Any],
    rules: Mapping[str, tuple[str, Column]],
    latest: Mapping[str, np.datetime64] | None = None,
) -> dict[str, Any]:
    """Return the values of rows that all keep the rules of their columns.

    Parameters
    ----------
    cells : mapping of str to pyarrow.Array
        By the names of the file; a record batch's columns.
    rules : mapping
        Of `rules.find_columns`: name -> (column of the file, rule).
    latest : mapping of str to datetime64, optional
        The moment of the data, for the column of times: no row is later.

    Returns
    -------
    dict
        Numbers as they are stored, NaN where empty; times as datetime64[us]; flags as bool;
        categories and text as `Labels`.

    Raises
    ------
    Doubt
        Cells that break a rule, or a type that only `casting` knows.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from fintech_dl.cards import Column
    >>> from fintech_dl.data.proven import prove_columns
    >>> rules = {"amount": ("amount", Column(type="number", min=0))}
    >>> prove_columns({"amount": pa.array([5.0, 7.5])}, rules)["amount"].tolist()
    [5.0, 7.5]
    """
    found: dict[str, Any] = {}
    for name, (source, rule) in rules.items():
        values = _column(cells[source], rule)
        if latest and name in latest and len(values) and values.max() > latest[name]:
            raise Doubt
        found[name] = values
    return found


def _column(cells: Any, rule: Column) -> Any:
    if rule.type in ("category", "text"):
        return _labels(cells, rule)
    if cells.null_count and not rule.nullable:
        raise Doubt
    if rule.type == "boolean":
        if cells.type != pa.bool_() or cells.null_count:
            raise Doubt
        return bits(cells.buffers()[1], cells)
    if rule.type == "datetime":
        return _times(cells, rule)
    kinds = INTEGERS if rule.type == "integer" else NUMBERS
    if cells.type not in kinds:
        raise Doubt
    raw = buffer(cells, kinds[cells.type])
    is_float = raw.dtype.kind == "f"
    if cells.null_count:
        if not is_float and raw.dtype.itemsize == 8 and np.abs(raw).max(initial=0) > EXACT:
            raise Doubt
        dtype = raw.dtype if is_float else np.dtype("float64")
        raw = np.where(empty_cells(cells), dtype.type(np.nan), raw.astype(dtype, copy=False))
    _check(raw, rule)
    return raw


def _check(values: NDArray[Any], rule: Column) -> None:
    """Doubt emptiness, infinity, numbers beyond the bounds, or that the card does not list."""
    if not len(values):
        return
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if np.isnan(low):  # of one empty cell at least
            if not rule.nullable:
                raise Doubt
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        if np.isinf(low) or np.isinf(high):
            raise Doubt
    if rule.min is not None and float(low) < rule.min:
        raise Doubt
    if rule.max is not None and float(high) > rule.max:
        raise Doubt
    if any((values == code).any() for code in rule.empty):
        raise Doubt
    if rule.allowed:
        there = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        if not np.isin(there, rule.allowed).all():
            raise Doubt


def _times(cells: Any, rule: Column) -> NDArray[np.datetime64]:
    kind = cells.type
    if not pa.types.is_timestamp(kind) or cells.null_count:
        raise Doubt
    if kind.tz is not None and (kind.tz, rule.timezone) != ("UTC", "UTC"):
        raise Doubt
    whole = buffer(cells, np.dtype("int64"))
    if kind.unit == "ns":
        if (whole % 1000).any():
            raise Doubt
        times = (whole // 1000).view("datetime64[us]")
    else:
        most = np.iinfo(np.int64).max // UNITS[kind.unit]
        if len(whole) and (whole.max() > most or whole.min() < -most):
            raise Doubt
        times = (whole * UNITS[kind.unit]).view("datetime64[us]")
    if len(times) and not (times.min() >= YEARS[0] and times.max() < YEARS[1]):
        raise Doubt
    return times


def _labels(cells: Any, rule: Column) -> Labels:
    """Return texts, or the whole numbers that are categories where the card lists such."""
    if cells.null_count and not rule.nullable:
        raise Doubt
    if rule.type == "category" and rule.allowed and isinstance(rule.allowed[0], int):
        if cells.null_count or cells.type not in INTEGERS:
            raise Doubt
        labels, codes = np.unique(buffer(cells, INTEGERS[cells.type]), return_inverse=True)
        if not np.isin(labels, rule.allowed).all():
            raise Doubt
        return Labels(codes, [*labels.tolist(), None])
    coded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    if coded.type.value_type not in TEXTS or coded.type.index_type not in INTEGERS:
        raise Doubt
    texts = coded.dictionary.to_pylist()
    if coded.dictionary.null_count or (rule.allowed and not set(texts) <= set(rule.allowed)):
        raise Doubt
    indices = buffer(coded.indices, INTEGERS[coded.type.index_type])
    if coded.indices.null_count:
        indices = np.where(empty_cells(coded.indices), len(texts), indices)
    return Labels(indices, [*texts, None])


def buffer(cells: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array's numbers without a copy; pyarrow's own ``to_numpy`` imports pandas."""
    data = cells.buffers()[1]
    if data is None:
        return np.zeros(len(cells), dtype)
    return np.frombuffer(data, dtype, count=cells.offset + len(cells))[cells.offset :]


def empty_cells(cells: Any) -> NDArray[np.bool_]:
    """Return which cells of an Arrow array are null."""
    if not cells.null_count:
        return np.zeros(len(cells), dtype=bool)
    return ~bits(cells.buffers()[0], cells)


def bits(data: Any, cells: Any) -> NDArray[np.bool_]:
    """Return an Arrow bitmap as bool array."""
    flags = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    return flags[cells.offset : cells.offset + len(cells)].astype(bool)
