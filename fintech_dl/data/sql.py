"""Rows of a database, by the query of a dataset card. Passwords are neither kept nor shown."""

import os
import re
from typing import Any

import pyarrow as pa

from fintech_dl.cards import DatasetCard
from fintech_dl.errors import CardError, DataError, UsageError, require

CHUNK = 50_000  # rows fetched at once
READS = re.compile(r"\s*(?:--[^\n]*\n\s*)*(select|with)\b", re.IGNORECASE)


def read_query(card: DatasetCard) -> pa.Table:
    """Return what the card's query finds, read in parts of 50,000 rows.

    Needs the extra ``sql`` (SQLAlchemy) and the driver of the database. Order the rows in the query
    where the contract asks for an order. A connection that breaks is an error, never a short table.

    Parameters
    ----------
    card : DatasetCard
        Its ``source.url_variable`` names the environment variable that holds the address, such as
        ``postgresql+psycopg://reader:secret@host/prices``.

    Raises
    ------
    NotInstalledError
        SQLAlchemy or the driver is absent.
    CardError
        The query does anything but read.
    UsageError
        The environment variable is not set, or holds no address.
    DataError
        The database refuses the connection or the query, or finds nothing.
    """
    require("sqlalchemy", "sql")
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    where = f"dataset {card.name!r}"
    variable = card.source.url_variable
    if not READS.match(card.source.query):
        raise CardError(f"{where}: source.query: expected a query that begins with SELECT or WITH")
    address = os.environ.get(variable, "")
    if not address:
        raise UsageError(
            f"{where}: the environment variable {variable} is not set; set it to the address of "
            "the database, such as sqlite:///prices.db"
        )
    try:
        url = make_url(address)
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise UsageError(  # the address is not shown: it may hold a password
            f"{where}: {variable} holds no address that SQLAlchemy knows; write it like "
            "postgresql+psycopg://user:password@host/database"
        ) from None
    except ImportError as error:
        raise UsageError(f"{where}: the driver named in {variable} is absent: {error}") from None
    secrets = [address, url.password, url.username, url.host, url.database]
    parts = []
    try:
        with engine.connect() as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=CHUNK)
            result = streamed.execute(text(card.source.query))
            names = list(result.keys())
            while rows := result.fetchmany(CHUNK):
                columns = [pa.array(cells) for cells in zip(*rows, strict=True)]
                parts.append(pa.Table.from_arrays(columns, names=names))
    except SQLAlchemyError as error:
        raise DataError(f"{where}: the database refused: {_told(error, secrets)}") from None
    except pa.ArrowException as error:
        raise DataError(
            f"{where}: a column of the query holds values of several types: {error}; cast it in "
            "the query"
        ) from None
    finally:
        engine.dispose()
    if not parts:
        raise DataError(f"{where}: the query found no rows; correct it, or look at the database")
    return pa.concat_tables(parts, promote_options="permissive")


def _told(error: Any, secrets: list[str | None]) -> str:
    """Return the first line of what a driver says, without address, account or statement."""
    said = str(getattr(error, "orig", None) or type(error).__name__)
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        said = said.replace(secret, "***")
    return said.splitlines()[0][:300] if said else type(error).__name__
