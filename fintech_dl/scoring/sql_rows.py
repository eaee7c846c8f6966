"""Batches of rows into a table: COPY of PostgreSQL, Arrow of DuckDB, statements of SQLite."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

if TYPE_CHECKING:
    from sqlalchemy import Connection

AT_ONCE = 5_000  # rows of a statement of SQLite


def insert_batches(
    connection: Connection, table: str, columns: str, batches: Iterable[pa.RecordBatch]
) -> None:
    """Append batches to a table, in the connection's transaction; a batch at a time in memory.

    Scores arrive bit for bit. Moments arrive in microseconds, what these databases keep; in SQLite
    as text, and in UTC where they have a time zone.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To PostgreSQL by psycopg, DuckDB or SQLite.
    table, columns : str
        Quoted names; the columns are those of the batches, in order.
    batches : iterable of RecordBatch
    """
    write = {"postgresql": _copy, "duckdb": _register, "sqlite": _statements}
    plain = (pa.record_batch(list(map(_plain, batch)), batch.schema.names) for batch in batches)
    write[connection.dialect.name](connection, table, columns, plain)


def _plain(column: pa.Array) -> pa.Array:
    """Return a column without dictionary, its moments in microseconds."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    return column


def _copy(connection: Any, table: str, columns: str, batches: Iterable[pa.RecordBatch]) -> None:
    statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')"
    names = pa.csv.WriteOptions(include_header=False)  # texts are quoted, what is absent is not
    with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in batches:
            written = BytesIO()
            pa.csv.write_csv(batch, written, names)
            copy.write(written.getbuffer())


def _register(connection: Any, table: str, columns: str, batches: Iterable[pa.RecordBatch]) -> None:
    database = connection.connection.driver_connection
    for batch in batches:
        database.register("fintech_dl_batch", pa.table(batch))
        connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM fintech_dl_batch")
        database.unregister("fintech_dl_batch")


def _statements(
    connection: Any, table: str, columns: str, batches: Iterable[pa.RecordBatch]
) -> None:
    for batch in batches:
        marks = ", ".join("?" * batch.num_columns)
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        for first in range(0, len(batch), AT_ONCE):
            cells = [_as_sqlite(column).to_pylist() for column in batch.slice(first, AT_ONCE)]
            connection.exec_driver_sql(statement, list(zip(*cells, strict=True)))


def _as_sqlite(column: pa.Array) -> pa.Array:
    """Return a column of what SQLite knows: whole numbers, floats, text."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        if kind.tz:
            column = column.cast(pa.timestamp(kind.unit, "UTC"))
        return pc.strftime(column, "%Y-%m-%d %H:%M:%S")
    if pa.types.is_date(kind):
        return pc.strftime(column, "%Y-%m-%d")
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8())
    if pa.types.is_decimal(kind) or pa.types.is_uint64(kind):
        return column.cast(pa.string())
    return column
