"""The files that a shard writes: its scores, and the rows it sets aside. No pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fintech_dl.cards import Column
from fintech_dl.data.proven import Labels
from fintech_dl.scoring.store import placing

GROUP = 262_144  # rows of a row group
FILE, GROUP_NO, ROW, REASON = "source_file", "source_row_group", "source_row", "reason"
OWN = (FILE, GROUP_NO, ROW, REASON)
CODED = (pa.float64(), pa.int32(), pa.int64())
KINDS: dict[str, Any] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "datetime": pa.timestamp("us"),
}


def kind_of(rule: Column) -> Any:
    """Return the Arrow type in which a column of the contract is written."""
    if rule.type == "category" and rule.allowed and isinstance(rule.allowed[0], int):
        return pa.int64()
    return KINDS[rule.type]


def where_fields() -> list[Any]:
    """Return the columns that say which row of which file a row is."""
    names = pa.dictionary(pa.int32(), pa.string())
    return [pa.field(FILE, names), pa.field(GROUP_NO, pa.int32()), pa.field(ROW, pa.int64())]


def where_columns(name: Any, groups: NDArray[np.int32], rows: NDArray[np.int64]) -> list[Any]:
    """Return the arrays of `where_fields`; ``name`` is an Arrow array of the one file."""
    codes = arrow(np.zeros(len(rows), dtype=np.int32), pa.int32())
    return [
        pa.DictionaryArray.from_arrays(codes, name),
        arrow(groups, pa.int32()),
        arrow(rows, pa.int64()),
    ]


def arrow(values: Any, kind: Any) -> Any:
    """Return NumPy values, `Labels`, or a column of a frame as an Arrow array of a type.

    Imports no pandas, which ``pyarrow.array`` does.
    """
    if isinstance(values, Labels):
        return _from_labels(values, kind)
    if not isinstance(values, np.ndarray):  # a column of a frame
        found = pa.array(values, from_pandas=True)
        found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        return found.cast(kind)
    n = len(values)
    if pa.types.is_boolean(kind):
        flags = np.packbits(values.astype(bool), bitorder="little")
        return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(flags)])
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]").view(np.int64)
    else:
        values = values.astype(kind.to_pandas_dtype(), copy=False)
    return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(np.ascontiguousarray(values))])


def _from_labels(values: Labels, kind: Any) -> Any:
    known = values.labels[:-1]
    labels = arrow(np.array(known, dtype=np.int64), kind) if kind == pa.int64() else texts(known)
    codes = np.ascontiguousarray(values.codes, dtype=np.int32)
    there = codes < len(known)
    empty = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    coded = pa.Array.from_buffers(pa.int32(), len(codes), [empty, pa.py_buffer(codes)])
    return labels.take(coded)


def texts(values: list[str]) -> Any:
    """Return text as an Arrow array; imports no pandas."""
    cells = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, cells)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(cells))]
    return pa.Array.from_buffers(pa.string(), len(cells), buffers)


def open_parquet(source: Any, **how: Any) -> Any:
    """Return a Parquet file opened to be read page by page, each compared with its checksum.

    A row group is never held as a whole. Use it with ``with``, which closes the file.

    Parameters
    ----------
    source : Path or pyarrow.NativeFile
    **how
        Further arguments of ``pyarrow.parquet.ParquetFile``.

    Returns
    -------
    pyarrow.parquet.ParquetFile

    Raises
    ------
    pyarrow.ArrowException, OSError
        It is no such file, or cannot be read.
    """
    return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False, **how)


@contextmanager
def writing(path: Path, schema: Any, kind: str = "") -> Iterator[Callable[[Any], None]]:
    """Yield the function that adds a table to a new file, which gets its name at the end.

    Rows are held until there are enough for a row group. Page checksums are written.
    """
    with (
        placing(path, kind) as temp,
        pa.OSFile(str(temp), "wb") as file,  # closed though the disk may be full
        _writer(file, schema) as writer,
    ):
        held: list[Any] = []

        def write(n_rows: int) -> None:
            table = pa.concat_tables(held).combine_chunks()
            writer.write_table(table.slice(0, n_rows), row_group_size=GROUP)
            held[:] = [table.slice(n_rows)]

        def add(table: Any) -> None:
            held.append(table)
            rows = sum(map(len, held))
            if rows >= GROUP:
                write(rows // GROUP * GROUP)

        yield add
        if any(map(len, held)):
            write(sum(map(len, held)))


def _writer(file: Any, schema: Any) -> Any:
    named = [
        field.name
        for field in schema
        if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type)
    ]
    coded = {
        field.name: "BYTE_STREAM_SPLIT" if field.type == pa.float64() else "DELTA_BINARY_PACKED"
        for field in schema
        if field.type in CODED or pa.types.is_timestamp(field.type)
    }
    return pq.ParquetWriter(
        file,
        schema,
        compression="snappy",  # with these encodings smaller than zstd without, and twice as fast
        use_dictionary=named or False,
        column_encoding=coded or None,
        write_page_checksum=True,
        write_statistics=False,
    )


def set_aside(table: Any, where: list[Any], reasons: NDArray[np.object_]) -> Any:
    """Return rows as read, with where they are from and why they are set aside."""
    names = [f"{name}_as_read" if name in OWN else name for name in table.column_names]
    told = pa.array(reasons.tolist(), pa.string())
    columns = [*table.columns, where[0].cast(pa.string()), *where[1:], told]
    return pa.table(columns, names=[*names, *OWN])


def unite(tables: list[Any]) -> Any:
    """Return tables of different files as one; a column of several types becomes text.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from fintech_dl.scoring.parts import unite
    >>> unite([pa.table({"a": [1]}), pa.table({"a": ["x"], "b": [2]})]).to_pylist()
    [{'a': '1', 'b': None}, {'a': 'x', 'b': 2}]
    """
    kinds: dict[str, set[Any]] = {}
    for table in tables:
        for field in table.schema:
            kind = field.type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            kinds.setdefault(field.name, set()).add(kind)
    wanted = {
        name: found.pop() if len(found) == 1 else pa.string() for name, found in kinds.items()
    }
    own = [name for name in OWN if name in wanted]
    order = [*(name for name in wanted if name not in own), *own]
    schema = pa.schema([(name, wanted[name]) for name in order])
    return pa.concat_tables([_as(table, schema) for table in tables])


def _as(table: Any, schema: Any) -> Any:
    columns = [
        _cast(table.column(field.name), field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(cells: Any, kind: Any) -> Any:
    if cells.type == kind:
        return cells
    try:
        return cells.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = [None if cell is None else str(cell) for cell in cells.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])


def bounds(cells: Any) -> tuple[Any, Any] | None:
    """Return the least and greatest of an Arrow array as plain JSON values, None of no cells."""
    if not len(cells):
        return None
    found = pc.min_max(cells)
    low, high = (found[end].as_py() for end in ("min", "max"))
    return tuple(v.isoformat() if hasattr(v, "isoformat") else v for v in (low, high))
