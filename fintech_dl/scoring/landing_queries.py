"""What a query finds, landed as Parquet before anything is scored: a cursor cannot be resumed."""

from __future__ import annotations

import fnmatch
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from fintech_dl.cards import DatasetCard
from fintech_dl.data.sql import several_types, stream_query
from fintech_dl.errors import CardError, FintechError, not_written
from fintech_dl.scoring.landing import LANDED, land
from fintech_dl.scoring.plan import Original, Source
from fintech_dl.scoring.schema import fits

QUOTED = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", re.DOTALL)
GROUP = re.compile(r"\([^()]*\)")
ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)


def land_query(
    original: Original, card: DatasetCard, contract: DatasetCard, run: Path, name: str
) -> Source:
    """Write all rows of a query to ``landed``, in the types of the database.

    They are read as ``data.sql.stream_query`` reads them, part by part, first into files of their
    own: only the last row tells which types all of them have in common.

    Parameters
    ----------
    original : Original
    card : DatasetCard
        Whose query is asked.
    contract : DatasetCard
        Of the artefact. Where it names a key, the query must give its rows an order: their numbers
        are what a row is known by.
    run : Path
    name : str
        Of the Parquet file.

    Returns
    -------
    Source

    Raises
    ------
    CardError
        The query has no order.
    NotInstalledError, UsageError, DataError, TemporaryError
        As ``data.sql.stream_query``; nothing is left behind.
    OutputError
        The folder cannot be written.
    """
    if contract.contract.key and not has_order(card.source.query):
        key = contract.columns[contract.contract.key].source or contract.contract.key
        raise CardError(
            f"dataset {card.name!r}: source.query: its rows come in no order; end it with ORDER BY "
            f"{key}, so that each row has the same number however often it is asked"
        )
    place = run / LANDED / f".{name}.query"
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        paths: list[Path] = []
        schemas: list[Any] = []
        for part in stream_query(card):
            paths.append(place / f"{len(paths):06d}.arrow")
            schemas.append(part.schema)
            with pa.OSFile(str(paths[-1]), "wb") as file, pa.ipc.new_file(file, part.schema) as out:
                out.write_table(part)
        try:
            schema = pa.unify_schemas(schemas, promote_options="permissive")
            source = land(run, name, schema, _parts(paths, schema), original.name)
            return replace(source, text=_has_text_to_parse(schema, contract))
        except pa.ArrowException as error:
            raise several_types(card, error) from None
    except OSError as error:
        if isinstance(error, FintechError):
            raise
        raise not_written(str(run), error, "choose another folder with -o") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def has_order(query: str) -> bool:
    """Return whether the rows of a query, not only those of a part of it, are in an order.

    Examples
    --------
    >>> from fintech_dl.scoring.landing_queries import has_order
    >>> has_order("SELECT id FROM t ORDER BY id"), has_order("SELECT max(id) OVER (ORDER BY a)")
    (True, False)
    """
    plain = QUOTED.sub(" ", query)
    while (inner := GROUP.sub(" ", plain)) != plain:
        plain = inner
    return bool(ORDER.search(plain))


def _has_text_to_parse(schema: Any, contract: DatasetCard) -> bool:
    """Return whether a column holds text that means something else, as SQLite's dates."""
    for name, rule in contract.columns.items():
        for source in fnmatch.filter(schema.names, name) if "*" in name else [rule.source or name]:
            kind = schema.field(source).type if source in schema.names else pa.null()
            if fits(kind, rule, text=True) and not fits(kind, rule):
                return True
    return False


def _parts(paths: list[Path], schema: Any) -> Iterator[Any]:
    for path in paths:
        with pa.memory_map(str(path)) as file:
            yield pa.ipc.open_file(file).read_all().cast(schema)
