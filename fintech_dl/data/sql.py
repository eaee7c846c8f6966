"""Rows of a database, by the query of a dataset card. Passwords are neither kept nor shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from fintech_dl.cards import DatasetCard
from fintech_dl.errors import CardError, DataError, TemporaryError, UsageError, require

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

CHUNK = 50_000  # rows fetched at once
LEVELS = ("REPEATABLE READ", "SNAPSHOT", "SERIALIZABLE")
# what passes by itself, by SQLSTATE: connection, rollback, resources, operator, I/O, locks
PASSING = ("08", "40", "53", "55P03", "57", "58")
SQLITE_PASSING = (5, 6, 10, 13)  # busy, locked, I/O, full
DUCKDB_PASSING = ("IOException", "TransactionException", "OutOfMemoryException")
DENIED = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")
READS = re.compile(r"\s*(?:--[^\n]*\n\s*)*(select|with)\b", re.IGNORECASE)


def read_query(card: DatasetCard) -> pa.Table:
    """Return what the card's query finds, as `stream_query` reads it.

    Needs the extra ``sql`` (SQLAlchemy) and the driver of the database. Order the rows in the query
    where the contract asks for an order.

    Parameters
    ----------
    card : DatasetCard
        Its ``source.url_variable`` names the environment variable that holds the address, such as
        ``postgresql+psycopg://reader:secret@host/prices``.

    Raises
    ------
    NotInstalledError, CardError, UsageError, DataError, TemporaryError
        As `stream_query`.
    """
    try:
        return pa.concat_tables(list(stream_query(card)), promote_options="permissive")
    except pa.ArrowException as error:
        raise several_types(card, error) from None


def stream_query(card: DatasetCard) -> Iterator[pa.Table]:
    """Yield what the card's query finds, in parts of 50,000 rows, all of one moment.

    One transaction that only reads sees the database as it was when it began, whatever others write
    meanwhile (repeatable read); in it the rows are counted by the database too. A connection that
    breaks is an error, never fewer rows. Decimals, whole numbers of 64 bits, dates and times with
    their time zones come as such; a part in which a column is empty has no type for it.

    Parameters
    ----------
    card : DatasetCard

    Yields
    ------
    pyarrow.Table

    Raises
    ------
    NotInstalledError
        SQLAlchemy or the driver is absent.
    CardError
        The query does anything but read.
    UsageError
        The environment variable is not set, or holds no address.
    DataError
        The database refuses the connection or the query, or finds nothing; a column holds what
        Arrow has no type for.
    TemporaryError
        The connection was cut, or the database is busy.
    """
    require("sqlalchemy", "sql")
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    where = f"dataset {card.name!r}"
    if not READS.match(card.source.query):
        raise CardError(f"{where}: source.query: expected a query that begins with SELECT or WITH")
    query = card.source.query.strip().rstrip(";")
    engine, told = open_database(card.source.url_variable, where)
    came = 0
    try:
        with engine.connect() as connection:
            _begin(connection)
            counted = text(f"SELECT count(*) FROM (\n{query}\n) AS counted")
            there = connection.execute(counted).scalar_one()
            streamed = connection.execution_options(stream_results=True, max_row_buffer=CHUNK)
            result = streamed.execute(text(query))
            names = list(result.keys())
            while rows := result.fetchmany(CHUNK):
                came += len(rows)
                columns = zip(names, zip(*rows, strict=True), strict=True)
                yield pa.Table.from_arrays([_array(card, *one) for one in columns], names=names)
    except (SQLAlchemyError, OSError) as error:
        said = told(error)
        if passes(error, said):
            raise TemporaryError(
                f"{where}: the database could not answer to the end: {said}. Run the same again"
            ) from None
        raise DataError(f"{where}: the database refused: {said}") from None
    finally:
        engine.dispose()
    if came != there:
        raise TemporaryError(
            f"{where}: the database counts {there:,} rows and sent {came:,}; run the same again. "
            "If that does not help, the query gives other rows each time: correct it"
        )
    if not came:
        raise DataError(f"{where}: the query found no rows; correct it, or look at the database")


def passes(error: Any, said: str) -> bool:
    """Return whether a database's error may pass by itself: to try again later is useful.

    Parameters
    ----------
    error : Exception
        Of SQLAlchemy, or of the driver.
    said : str
        Its text, as `open_database` tells it.

    Examples
    --------
    >>> import sqlite3
    >>> from fintech_dl.data.sql import passes
    >>> passes(sqlite3.DatabaseError("file is not a database"), "file is not a database")
    False
    """
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or ""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    kind = type(cause).__name__
    lost = not state and not code and kind in ("OperationalError", "InterfaceError")
    return (
        state.startswith(PASSING)
        or code in SQLITE_PASSING
        or kind in DUCKDB_PASSING
        or (lost and not any(words in said for words in DENIED))
    )


def several_types(card: DatasetCard, error: Exception) -> DataError:
    """Return the error of a column whose cells have no type in common."""
    return DataError(
        f"dataset {card.name!r}: a column of the query holds values of several types: {error}; "
        "cast it in the query"
    )


def _begin(connection: Connection) -> None:
    """Begin a transaction that sees one state of the database; in PostgreSQL it may not write."""
    name = connection.dialect.name
    if name == "sqlite":  # whose driver begins none before a SELECT
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("BEGIN")
    elif name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    elif name != "duckdb":  # every transaction of DuckDB sees one state
        levels = connection.dialect.get_isolation_level_values(None)  # type: ignore[arg-type]
        level = next((one for one in LEVELS if one in levels), None)
        if level is not None:
            connection.execution_options(isolation_level=level)


def _array(card: DatasetCard, name: str, cells: Sequence[Any]) -> Any:
    first = next((cell for cell in cells if cell is not None), None)
    if isinstance(first, UUID):
        cells = [None if cell is None else str(cell) for cell in cells]
    elif isinstance(first, dict | list):
        cells = [None if cell is None else json.dumps(cell, default=str) for cell in cells]
    try:
        return pa.array(cells)
    except (pa.ArrowException, OverflowError) as error:
        raise several_types(card, ValueError(f"{name}: {error}")) from None


def open_database(variable: str, where: str) -> tuple[Engine, Callable[[Any], str]]:
    """Return the database of which an environment variable holds the address; nothing is asked yet.

    Parameters
    ----------
    variable : str
        Name of the environment variable.
    where : str
        What the database is for, as error texts begin.

    Returns
    -------
    engine : sqlalchemy.Engine
    told : callable
        Gives the first line of what a driver says, without address, account or statement.

    Raises
    ------
    NotInstalledError
        SQLAlchemy is absent.
    UsageError
        The variable is not set or holds no address; the driver that it names is absent.
    """
    require("sqlalchemy", "sql")
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    address = os.environ.get(variable, "")
    if not address:
        raise UsageError(
            f"{where}: the environment variable {variable} is not set; set it to the address of "
            "the database, such as sqlite:///prices.db"
        )
    try:
        url = make_url(address)
        engine = create_engine(url, poolclass=NullPool)  # what broke is never used again
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise UsageError(  # the address is not shown: it may hold a password
            f"{where}: {variable} holds no address that SQLAlchemy knows; write it like "
            "postgresql+psycopg://user:password@host/database"
        ) from None
    except ImportError as error:
        raise UsageError(f"{where}: the driver named in {variable} is absent: {error}") from None
    secrets = [address, url.password, url.username, url.host, url.database]
    return engine, lambda error: _told(error, secrets)


def _told(error: Any, secrets: list[str | None]) -> str:
    """Return the first line of what a driver says, without address, account or statement."""
    said = str(getattr(error, "orig", None) or type(error).__name__)
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        said = said.replace(secret, "***")
    return said.splitlines()[0][:300] if said else type(error).__name__
