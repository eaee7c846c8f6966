"""Where scores go besides their folder: nowhere, or to a table of a database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fintech_dl.errors import UsageError

KINDS = ("parquet", "sql")


def make_sink(kind: str = "parquet", database: str = "", table: str = "") -> dict[str, str]:
    """Return the record of a sink, as a plan keeps it; nothing is connected yet.

    Parameters
    ----------
    kind : {"parquet", "sql"}
        The folder of ``-o`` alone, or a table of a database besides.
    database : str
        Name of the environment variable that holds the database's address; never the address.
    table : str
        Name of the table, ``schema.table`` where it is not in the usual schema.

    Returns
    -------
    dict of str to str
        Empty for ``"parquet"``; otherwise ``kind``, ``database`` and ``table``.

    Raises
    ------
    UsageError
        An unknown kind, a name that is none, or one that is missing.

    Examples
    --------
    >>> from fintech_dl.scoring.sinks import make_sink
    >>> make_sink("sql", "SCORES_DATABASE", "fraud_scores")
    {'kind': 'sql', 'database': 'SCORES_DATABASE', 'table': 'fraud_scores'}
    """
    if kind not in KINDS:
        raise UsageError(f"--sink: got {kind!r}, allowed: {', '.join(KINDS)}")
    if kind == "parquet":
        if database or table:
            raise UsageError("--database and --table are for --sink sql; add it, or drop them")
        return {}
    sink = {"kind": kind, "database": database, "table": table}
    from fintech_dl.scoring.sql_tables import check_names

    check_names(sink)
    return sink


def check_sink(sink: Mapping[str, Any]) -> None:
    """Find out whether rows can be delivered, before any work: connection, rights, table.

    Everything is tried inside a transaction that is rolled back.

    Raises
    ------
    NotInstalledError
        SQLAlchemy or the driver is absent.
    UsageError
        No address, or of a database that is not PostgreSQL, SQLite or DuckDB.
    OutputError
        The database refuses for good: no right to write, or a table of other columns.
    TemporaryError
        The database does not answer, or something is locked.
    """
    if sink:
        from fintech_dl.scoring.sql_sink import check

        check(sink)


def deliver(run: Path, manifest: Mapping[str, Any], sink: Mapping[str, Any]) -> dict[str, Any]:
    """Deliver the scores of a finished run, unless they were delivered before.

    Parameters
    ----------
    run : Path
        Folder of the run, ``run-...``; its manifest is published.
    manifest : dict
        Its content.
    sink : dict
        As `make_sink` gives it; empty: nothing to deliver.

    Returns
    -------
    dict
        ``table``, ``rows`` and ``delivered``: whether this call did it; empty for an empty sink.

    Raises
    ------
    NotInstalledError, UsageError, OutputError, TemporaryError
        As `check_sink`. Nothing of the run is seen in the table; to try again goes on from there.
    """
    if not sink:
        return {}
    from fintech_dl.scoring.sql_sink import deliver as deliver_rows

    return deliver_rows(run, manifest, sink)
