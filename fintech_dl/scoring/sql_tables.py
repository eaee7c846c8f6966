"""The tables that scores are delivered to: names, columns and types, in three databases' words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fintech_dl.errors import OutputError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect

DATABASES = ("postgresql", "sqlite", "duckdb")
TABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,39}\.)?[A-Za-z_][A-Za-z0-9_]{0,39}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ROW = ("source_file", "source_row")  # with the run, what a row is known by
RUNS = {  # one row for each run that is in the table
    "run": "TEXT NOT NULL PRIMARY KEY",
    "number": "INTEGER NOT NULL UNIQUE",  # 1, 2, 3 ...: the order of delivery, by no clock
    "key": "TEXT NOT NULL",
    "manifest_sha256": "TEXT NOT NULL",
    "artefact": "TEXT NOT NULL",
    "pipeline": "TEXT NOT NULL",
    "as_of": "TEXT NOT NULL",
    "rows_in": "BIGINT NOT NULL",
    "scored": "BIGINT NOT NULL",
    "quarantined": "BIGINT NOT NULL",
    "alerts": "BIGINT",
    "delivered_at": "TIMESTAMP DEFAULT CURRENT_TIMESTAMP",  # the database's clock, to be read only
}
SAME = {"character varying": "text", "varchar": "text", "timestamp": "datetime"}


def check_names(sink: Mapping[str, Any]) -> None:
    """Refuse names of which SQL could be made.

    Raises
    ------
    UsageError
        A name is missing or holds anything but letters, digits and ``_``.
    """
    if not VARIABLE.fullmatch(sink["database"]):
        raise UsageError(
            f"--database: got {_hidden(sink['database'])}, expected the name of an environment "
            "variable that holds the address, such as SCORES_DATABASE (so that no password stands "
            "in a command or a plan)"
        )
    if not TABLE.fullmatch(sink["table"]):
        raise UsageError(
            f"--table: got {sink['table']!r}, expected a name of up to 40 letters, digits and _, "
            "such as fraud_scores, or with its schema, risk.fraud_scores"
        )


def _hidden(name: str) -> str:
    """Return a name to show; what may be an address is not shown."""
    return repr(name) if re.fullmatch(r"[\w.\-]*", name) else "something else"


@dataclass(frozen=True, kw_only=True)
class Names:
    """The quoted names of a delivery.

    Attributes
    ----------
    scores, runs, latest : str
        The table, the table of its runs, the view of the run delivered last.
    staging, loaded : str
        Of one run: its rows until they are seen, and the shards that are among them.
    """

    scores: str
    runs: str
    latest: str
    staging: str
    loaded: str

    @classmethod
    def of(cls, table: str, run: str) -> Names:
        """Return the names for a table and a run, ``run-3fa9c1d20b77``."""
        schema, dot, name = table.rpartition(".")
        before = f"{quote(schema)}{dot}" if dot else ""
        which = run.removeprefix("run-")
        return cls(
            scores=before + quote(name),
            runs=before + quote(f"{name}_runs"),
            latest=before + quote(f"{name}_latest"),
            staging=before + quote(f"{name}_staging_{which}"),
            loaded=before + quote(f"{name}_loaded_{which}"),
        )


def column_types(schema: pa.Schema, dialect: Dialect) -> dict[str, str]:
    """Return the type of each column in the database's words, in order.

    Raises
    ------
    OutputError
        A column of a type that no table can hold, or of a name that the table needs itself.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sqlalchemy.dialects import postgresql
    >>> from fintech_dl.scoring.sql_tables import column_types
    >>> column_types(pa.schema({"score": pa.float64()}), postgresql.dialect())
    {'score': 'DOUBLE PRECISION'}
    """
    found = {}
    for field in schema:
        kind = _sql_type(field.type)
        if kind is None or field.name.lower() == "run":
            why = "its table needs this name" if kind else f"no table holds {field.type}"
            raise OutputError(
                f"column {field.name}: cannot be delivered to a database ({why}); rename or cast "
                "it in the input and in the dataset card"
            )
        found[field.name] = str(kind.compile(dialect=dialect))
    return found


def _sql_type(kind: pa.DataType) -> Any:
    """Return the type of SQLAlchemy for a type of Arrow, None if there is none."""
    import sqlalchemy as sql

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind):
        return sql.Numeric(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return sql.DateTime(timezone=kind.tz is not None)
    of = pa.types
    for fits, made in (
        ((of.is_string, of.is_large_string), sql.Text()),
        ((of.is_boolean,), sql.Boolean()),
        ((of.is_int8, of.is_int16, of.is_uint8), sql.SmallInteger()),
        ((of.is_int32, of.is_uint16), sql.Integer()),
        ((of.is_int64, of.is_uint32), sql.BigInteger()),
        ((of.is_uint64,), sql.Numeric(20, 0)),
        ((of.is_float16, of.is_float32, of.is_float64), sql.Double()),
        ((of.is_date,), sql.Date()),
    ):
        if any(one(kind) for one in fits):
            return made
    return None


def run_sql(connection: Connection, statement: str) -> Any:
    """Execute a statement as it stands: per cent signs and colons of names mean nothing."""
    return connection.execution_options(no_parameters=True).exec_driver_sql(statement)


def quote(name: str) -> str:
    """Return a name as all three databases quote it."""
    return '"' + name.replace('"', '""') + '"'


def listed(columns: Iterable[str]) -> str:
    """Return quoted names of columns, joined by commas."""
    return ", ".join(map(quote, columns))


def make_tables(connection: Connection, names: Names, types: Mapping[str, str]) -> None:
    """Make the table of scores, that of its runs and the view of the latest, where absent."""
    dialect = connection.dialect
    if dialect.name == "postgresql":  # two that make the same table at once: one waits
        lock = f"SELECT pg_advisory_xact_lock(hashtext('{names.scores}'))"
        run_sql(connection, lock)
    columns = {"run": "TEXT NOT NULL", **types}
    for name in ROW:
        columns[name] += " NOT NULL"
    parts = [f"{quote(name)} {kind}" for name, kind in columns.items()]
    if dialect.name != "duckdb":  # its keys live in memory; runs and shards are unique without
        parts.append(f"PRIMARY KEY ({listed(['run', *ROW])})")
    run_sql(connection, f"CREATE TABLE IF NOT EXISTS {names.scores} ({', '.join(parts)})")
    runs = ", ".join(f"{quote(name)} {kind}" for name, kind in RUNS.items())
    run_sql(connection, f"CREATE TABLE IF NOT EXISTS {names.runs} ({runs})")
    if not column_kinds(connection, names.latest):
        run_sql(
            connection,
            f"CREATE VIEW {names.latest} AS SELECT * FROM {names.scores} WHERE run = "
            f"(SELECT run FROM {names.runs} ORDER BY number DESC LIMIT 1)",
        )


def make_staging(connection: Connection, names: Names, types: Mapping[str, str]) -> None:
    """Make the tables of a run that is under way, where absent.

    In PostgreSQL they are not logged: quicker, and after a crash both are empty together.
    """
    dialect = connection.dialect
    kind = "UNLOGGED TABLE" if dialect.name == "postgresql" else "TABLE"
    columns = ", ".join(f"{quote(name)} {kind}" for name, kind in types.items())
    run_sql(connection, f"CREATE {kind} IF NOT EXISTS {names.staging} ({columns})")
    key = "shard INTEGER NOT NULL PRIMARY KEY"
    run_sql(connection, f"CREATE {kind} IF NOT EXISTS {names.loaded} ({key})")


def column_kinds(connection: Connection, quoted: str) -> dict[str, str]:
    """Return the declared types of the columns of a table or view, empty where it is absent."""
    schema, _, name = quoted.replace('"', "").rpartition(".")
    if connection.dialect.name == "sqlite":
        inside = f", '{schema}'" if schema else ""
        query = f"SELECT name, type FROM pragma_table_info('{name}'{inside})"
    else:
        inside = f"'{schema}'" if schema else "current_schema()"
        query = (
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_catalog = "
            f"current_database() AND table_schema = {inside} AND table_name = '{name}' "
            "ORDER BY ordinal_position"
        )
    kinds = {name: kind.lower() for name, kind in run_sql(connection, query)}
    return {name: SAME.get(kind, kind) for name, kind in kinds.items()}


def check_columns(connection: Connection, names: Names, table: str) -> None:
    """Refuse a table that was there before and cannot hold these rows as they are.

    Raises
    ------
    OutputError
        A column is missing or of another type.
    """
    there, wanted = (column_kinds(connection, name) for name in (names.scores, names.staging))
    wanted = {"run": "text", **wanted}
    wrong = [f"{name} is missing" for name in wanted if name not in there]
    wrong += [
        f"{name} is {there[name]}, not {kind}"
        for name, kind in wanted.items()
        if name in there and there[name] != kind
    ]
    if wrong:
        raise OutputError(
            f"table {table}: has other columns than the scores: {'; '.join(wrong)}. Name another "
            "table with --table, or alter this one; a table that is absent is made"
        )
