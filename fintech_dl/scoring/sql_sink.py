"""Scores into a table of a database: staged shard by shard, seen all at once, and once only.

Each shard's rows and the note that they are there come in by one transaction, so a delivery that
was killed or cut goes on where it was. One more transaction inserts the run's row, moves the rows
and drops the staging: whoever reads the table sees all of a run or nothing of it, and of several
that deliver the same run one does. What is unique decides, no clock and no lock of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from fintech_dl.data.sql import open_database, passes
from fintech_dl.errors import FintechError, OutputError, TemporaryError, UsageError
from fintech_dl.scoring.manifest import MANIFEST
from fintech_dl.scoring.reading import batches_of_run, files_of_run
from fintech_dl.scoring.sql_rows import insert_batches
from fintech_dl.scoring.sql_tables import (
    DATABASES,
    Names,
    check_columns,
    check_names,
    column_kinds,
    column_types,
    listed,
    make_staging,
    make_tables,
    run_sql,
)
from fintech_dl.scoring.store import failpoint

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

PATIENCE = 30  # seconds to wait for what another connection has locked
ADDRESS = "postgresql+psycopg://user:password@host/database, sqlite:///scores.db or duckdb:///s.db"
REHEARSAL = pa.schema([("source_file", pa.string()), ("source_row", pa.int64())])


def check(sink: Mapping[str, Any]) -> None:
    """Find out whether a run could be delivered, and leave the database as it was.

    Raises
    ------
    FintechError
        As `sinks.check_sink`.
    """
    with _opened(sink) as engine, engine.connect() as connection, connection.begin() as undo:
        names = Names.of(sink["table"], "run-" + "0" * 12)
        there = column_kinds(connection, names.scores)
        row = ["run", *REHEARSAL.names]
        if there and not set(row) <= there.keys():
            raise OutputError(
                f"{_where(sink)}: has not the columns {', '.join(row)}, so it was not made by "
                "fintech-dl; name another table with --table: one that is absent is made"
            )
        types = column_types(REHEARSAL, engine.dialect)
        make_tables(connection, names, types)
        make_staging(connection, names, types)
        columns = listed(row)
        nothing = f"SELECT {columns} FROM {names.scores} WHERE 1 = 0"
        run_sql(connection, f"INSERT INTO {names.scores} ({columns}) {nothing}")
        undo.rollback()


def deliver(run: Path, manifest: Mapping[str, Any], sink: Mapping[str, Any]) -> dict[str, Any]:
    """Deliver the scores of a finished run, unless they were delivered before.

    Raises
    ------
    FintechError
        As `sinks.deliver`.
    """
    done = {"table": sink["table"], "rows": int(manifest["totals"]["scored"])}
    try:
        with _opened(sink) as engine:
            names = Names.of(sink["table"], run.name)
            if _has(engine, names, run.name):
                return {**done, "delivered": False}
            schema, batches = _rows_of(run, manifest)
            types = column_types(schema, engine.dialect)
            with engine.begin() as connection:
                make_tables(connection, names, types)
                make_staging(connection, names, types)
                check_columns(connection, names, sink["table"])
            columns = listed(types)
            for k, shard in enumerate(manifest["shards"]):
                rows = _taken(batches, shard["commit"]["scored"])
                _stage(engine, names, columns, k, rows)
            return {**done, "delivered": _publish(engine, names, columns, run, manifest)}
    except (OutputError, TemporaryError):
        # another process was first, or the answer to the last commit was lost
        with suppress(FintechError), _opened(sink) as engine:
            if _has(engine, Names.of(sink["table"], run.name), run.name):
                return {**done, "delivered": True}
        raise


def _rows_of(run: Path, manifest: Mapping[str, Any]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    batches = batches_of_run(run, manifest)
    if first := list(islice(batches, 1)):
        return first[0].schema, chain(first, batches)
    schema = pq.read_schema(next(files_of_run(run, manifest)))  # every row was set aside
    if manifest["alerts_per_day"] is not None:
        schema = schema.append(pa.field("alert", pa.bool_()))
    return schema, batches


def _taken(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches of one shard: none of them goes over its end."""
    while rows > 0:
        batch = next(batches)
        rows -= len(batch)
        yield batch


def _stage(
    engine: Engine, names: Names, columns: str, k: int, rows: Iterator[pa.RecordBatch]
) -> None:
    """Add the rows of a shard to the staging table, unless they are there."""
    from sqlalchemy.exc import IntegrityError

    try:
        with engine.begin() as connection:
            if not run_sql(connection, f"SELECT 1 FROM {names.loaded} WHERE shard = {k}").first():
                run_sql(connection, f"INSERT INTO {names.loaded} VALUES ({k})")  # a rival waits
                insert_batches(connection, names.staging, columns, rows)
                with failpoint("sink.stage"):
                    connection.commit()
    except IntegrityError:
        pass  # a rival has loaded it
    for _ in rows:
        pass


def _publish(
    engine: Engine, names: Names, columns: str, run: Path, manifest: Mapping[str, Any]
) -> bool:
    """Let all rows of the run be seen, by one transaction; False where a rival has done it."""
    from sqlalchemy import text

    totals = manifest["totals"]
    facts = {name: manifest[name] for name in ("key", "artefact", "pipeline", "as_of")}
    facts |= {"run": run.name, "rows_in": totals["rows"], "alerts": totals["alerts"]}
    facts |= {name: totals[name] for name in ("scored", "quarantined")}
    facts["manifest_sha256"] = sha256((run / MANIFEST).read_bytes()).hexdigest()
    quoted = listed(["number", *facts])
    values = ", ".join(f":{name}" for name in facts)
    number = f"(SELECT coalesce(max(number), 0) + 1 FROM {names.runs})"
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # one delivers after the other; readers go on
            run_sql(connection, f"LOCK TABLE {names.runs} IN EXCLUSIVE MODE")
        new = not _is_in(connection, names, run.name)
        if new:
            there = run_sql(connection, f"SELECT count(*) FROM {names.staging}").scalar()
            if there != totals["scored"]:
                run_sql(connection, f"DROP TABLE {names.staging}")
                run_sql(connection, f"DROP TABLE {names.loaded}")
                connection.commit()
                raise TemporaryError(
                    f"table {names.staging}: has {there:,} rows instead of {totals['scored']:,}; "
                    "it was changed from outside and is dropped. Run fintech-dl resume"
                )
            insert = f"INSERT INTO {names.runs} ({quoted}) VALUES ({number}, {values})"
            connection.execute(text(insert), facts)
            which = f"SELECT '{run.name}', {columns} FROM {names.staging}"
            run_sql(connection, f"INSERT INTO {names.scores} (run, {columns}) {which}")
        run_sql(connection, f"DROP TABLE IF EXISTS {names.staging}")
        run_sql(connection, f"DROP TABLE IF EXISTS {names.loaded}")
        with failpoint("sink.publish"):
            connection.commit()
    return new


def _has(engine: Engine, names: Names, run: str) -> bool:
    with engine.connect() as connection:
        there = column_kinds(connection, names.runs)
        return bool(there) and _is_in(connection, names, run)


def _is_in(connection: Connection, names: Names, run: str) -> bool:
    query = f"SELECT 1 FROM {names.runs} WHERE run = '{run}'"
    return run_sql(connection, query).first() is not None


def _where(sink: Mapping[str, Any]) -> str:
    return f"table {sink['table']} of {sink['database']}"


@contextmanager
def _opened(sink: Mapping[str, Any]) -> Iterator[Engine]:
    """Yield the database of a sink; its errors become ours and hide its address."""
    from sqlalchemy import event
    from sqlalchemy.exc import SQLAlchemyError

    check_names(sink)
    where = _where(sink)
    engine, told = open_database(sink["database"], where)
    name, file = engine.dialect.name, engine.url.database
    fits = name in DATABASES and (name != "postgresql" or engine.dialect.driver == "psycopg")
    if not fits or (name != "postgresql" and file in (None, "", ":memory:")):
        raise UsageError(
            f"{where}: scores are delivered to PostgreSQL by psycopg, and to files of SQLite and "
            f"DuckDB; write the address like {ADDRESS}"
        )
    event.listen(engine, "connect", _patient(name))
    if name == "sqlite":
        event.listen(engine, "begin", lambda one: one.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        yield engine
    except FintechError:
        raise
    except Exception as error:
        driver = type(getattr(error, "orig", None) or error).__module__.partition(".")[0]
        if not isinstance(error, SQLAlchemyError) and driver not in ("psycopg", "_duckdb"):
            raise
        raise _refused(error, where, told) from None
    finally:
        engine.dispose()


def _patient(database: str) -> Any:
    """Return what a new connection is told: how long to wait for locks."""

    def begin(connection: Any, record: Any) -> None:
        if database == "sqlite":
            connection.isolation_level = None  # transactions are ours, definitions of tables too
            connection.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")
        elif database == "postgresql":
            connection.execute(f"SET lock_timeout = '{PATIENCE}s'")
            connection.commit()

    return begin


def _refused(error: Any, where: str, told: Any) -> FintechError:
    """Return what a database's error means: to be tried again, or to be mended first."""
    cause = getattr(error, "orig", None) or error
    said = told(SimpleNamespace(orig=cause))
    if passes(cause, said):
        return TemporaryError(
            f"{where}: {said}. Nothing of the run is seen in the table; its files are finished. "
            "Run fintech-dl resume, or the same command again: it goes on from there"
        )
    return OutputError(
        f"{where}: the database refused: {said}; mend that, then run fintech-dl resume, or the "
        "same command again"
    )
