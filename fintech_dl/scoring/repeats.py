"""Keys that came before, over all files and row by row: exact, whatever their number.

No approximation and no hash: few keys are compared in memory, many by DuckDB, which spills to the
run's folder. Keys that only rise, as those of most exports, are known to be unique at once.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fintech_dl.cards import Column, DatasetCard
from fintech_dl.data.proven import buffer, empty_cells
from fintech_dl.data.rules import find_columns
from fintech_dl.errors import DataError, not_written
from fintech_dl.scoring.landing import LANDED, land
from fintech_dl.scoring.parts import open_parquet
from fintech_dl.scoring.plan import Landed, Source
from fintech_dl.scoring.schema import UNREADABLE, told

IN_MEMORY = 2_000_000  # keys
BATCH = 65_536  # rows
MEMORY = "256MB"  # of DuckDB
SHOWN = 5
NAME = "repeated.parquet"


class Keys(NamedTuple):
    """Some keys of a source, in its order: those that are there, with their data rows."""

    source: int
    rows: NDArray[np.int64]
    values: Any  # an Arrow array


class Repeated(NamedTuple):
    """Rows of which the key came before: position of the source, data row in it, both in order."""

    source: NDArray[np.int32]
    row: NDArray[np.int64]


def find_repeated(run: Path, sources: Sequence[Source], card: DatasetCard) -> Repeated:
    r"""Return every row of a key but the first; empty and unreadable keys repeat none.

    Parameters
    ----------
    run : Path
        The run's folder; relative paths of sources, and what does not fit into memory, are there.
    sources : sequence of Source
        Whose order decides which row comes first.
    card : DatasetCard
        Whose contract names the key.

    Returns
    -------
    Repeated
        Empty where the contract has no key.

    Raises
    ------
    DataError
        A source cannot be read.
    OutputError
        The folder has no room, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.cards import Column, Contract, DatasetCard
    >>> from fintech_dl.cards import Source as From
    >>> from fintech_dl.scoring.inputs import find_inputs
    >>> from fintech_dl.scoring.landing import land_csv
    >>> from fintech_dl.scoring.repeats import find_repeated
    >>> card = DatasetCard(title="", licence="", source=From(kind="file", path="a.csv"),
    ...                    columns={"id": Column(type="integer")}, contract=Contract(key="id"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text("id,b\n7,\n8,\n07,\n")
    ...     source = land_csv(find_inputs([folder])[0], Path(folder), "00000.parquet")
    ...     find_repeated(Path(folder), [source], card).row
    array([3])
    """
    if not card.contract.key:
        return _none()
    held: list[Keys] | None = []
    n, last, rises = 0, None, True
    for keys in _keys(run, sources, card):
        rises = rises and _only_rise(last, keys.values)
        last = keys.values[-1]
        n += len(keys.rows)
        if held is not None:
            held.append(keys)
        if n > IN_MEMORY:
            held = None
            if not rises:
                return _by_duckdb(run, sources, card)
    if rises or held is None:
        return _none()
    return _in_memory(held)


def land_repeated(
    run: Path, sources: Sequence[Source], card: DatasetCard, duplicates: str
) -> Landed | None:
    """Write the rows whose key came before to ``landed/repeated.parquet``.

    Parameters
    ----------
    run, sources, card
        As for `find_repeated`.
    duplicates : {"report", "quarantine", "fail"}

    Returns
    -------
    Landed or None
        The columns ``source`` (position, int32) and ``row`` (int64: data row of the
        original), in order; None where
        no key repeats.

    Raises
    ------
    DataError
        A key repeats and ``duplicates`` is ``"fail"``: the first five keys with their rows.
    """
    found = find_repeated(run, sources, card)
    if not len(found.row):
        return None
    if duplicates == "fail":
        raise _failed(run, sources, card, found)
    table = pa.table({"source": found.source, "row": found.row})
    source = land(run, NAME, table.schema, [table], NAME)
    code = f"duplicate_key:{card.contract.key}"
    return Landed(
        path=source.path,
        bytes=source.bytes,
        sha256=source.sha256,
        rows=len(found.row),
        reasons={code: len(found.row)},
    )


def _none() -> Repeated:
    return Repeated(np.empty(0, np.int32), np.empty(0, np.int64))


def _keys(run: Path, sources: Sequence[Source], card: DatasetCard) -> Iterator[Keys]:
    """Yield the usable keys of all sources, in their types as the contract has them."""
    name = card.contract.key
    only = replace(card, columns={name: card.columns[name]})
    found: dict[tuple[str, ...], tuple[str, Column]] = {}
    for position, source in enumerate(sources):
        if not sum(source.row_groups):
            continue
        row = source.first_row
        try:
            with (
                pa.OSFile(str(run / source.path)) as stream,
                open_parquet(stream) as file,
            ):
                have = tuple(file.schema_arrow.names)
                if have not in found:
                    found[have] = find_columns(list(have), only, True, source.name)[name]
                column, rule = found[have]
                for batch in file.iter_batches(BATCH, columns=[column], use_threads=False):
                    usable, values = _usable(batch.column(0), rule, source)
                    if len(usable):
                        yield Keys(position, usable + row, values)
                    row += len(batch)
        except UNREADABLE as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{source.name}: cannot be read: {told(error)}") from error


def _usable(cells: Any, rule: Column, source: Source) -> tuple[NDArray[np.int64], Any]:
    """Return the positions of the cells that hold a key, and the keys."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells, kind = cells.cast(kind.value_type), kind.value_type
    plain = (
        rule.type == "text" and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
    ) or (rule.type == "integer" and pa.types.is_integer(kind) and kind != pa.uint64())
    if plain and not rule.empty:
        to = pa.int64() if rule.type == "integer" else pa.large_string()
        at = np.flatnonzero(~empty_cells(cells))  # pyarrow's own `to_numpy` imports pandas
        return at, cells.drop_null().cast(to)
    return _cast(cells, rule, source)


def _cast(cells: Any, rule: Column, source: Source) -> tuple[NDArray[np.int64], Any]:
    """Read keys as the contract does: 07 and 7 are the same whole number, not the same text."""
    import pandas as pd

    from fintech_dl.data.casting import cast_column
    from fintech_dl.data.frames import from_arrow

    frame = from_arrow(pa.table({"key": cells}))
    cast = cast_column(frame["key"], rule, source.name, source.text, whole=False)
    missing = cast.missing
    if rule.empty:
        missing = missing | np.isin(np.asarray(cast.values), rule.empty)
    at = np.flatnonzero(~(missing | cast.wrong))
    values = cast.values[at]
    if isinstance(values, pd.Categorical):
        values = np.asarray(values)
    found = pa.array(values, from_pandas=True)
    if pa.types.is_string(found.type):
        found = found.cast(pa.large_string())
    return at, found


def _only_rise(last: Any, values: Any) -> bool:
    """Return whether each key is above the one before it; the last of the batch before counts."""
    if last is not None and not (last.type == values.type and _below(last, values[0])):
        return False
    return bool(pc.all(pc.less(values[:-1], values[1:])).as_py() is not False)


def _below(one: Any, other: Any) -> bool:
    return bool(pc.less(one, other).as_py())


def _in_memory(held: list[Keys]) -> Repeated:
    kind = held[0].values.type
    values = pa.chunked_array([keys.values.cast(kind) for keys in held])
    codes = buffer(values.combine_chunks().dictionary_encode().indices, np.dtype(np.int32))
    order = np.argsort(codes, kind="stable")
    again = np.zeros(len(codes), dtype=bool)
    again[order[1:]] = codes[order][1:] == codes[order][:-1]
    source = np.repeat(
        np.array([keys.source for keys in held], dtype=np.int32), [len(keys.rows) for keys in held]
    )
    return Repeated(source[again], np.concatenate([keys.rows for keys in held])[again])


def _by_duckdb(run: Path, sources: Sequence[Source], card: DatasetCard) -> Repeated:
    """Find them with a bounded memory: what does not fit is spilled to the run's folder."""
    import duckdb

    place = run / LANDED / ".keys"
    faults: list[Exception] = []
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        config = {
            "memory_limit": MEMORY,
            "temp_directory": str(place / "spilled"),
            "preserve_insertion_order": "false",
        }
        with duckdb.connect(str(place / "keys.duckdb"), config=config) as base:  # type: ignore[arg-type]
            return _asked(base, _keys(run, sources, card), faults)
    except (duckdb.Error, OSError) as error:
        if faults:  # of reading the files: DuckDB tells it in words of its own
            raise faults[0] from error
        found = error if isinstance(error, OSError) else OSError(errno.ENOSPC, told(error))
        raise not_written(str(run), found, "choose another folder with -o") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _asked(base: Any, every: Iterator[Keys], faults: list[Exception]) -> Repeated:
    first = next(every)
    schema = pa.schema([("key", first.values.type), ("source", pa.int32()), ("row", pa.int64())])

    def batches() -> Iterator[Any]:
        try:
            for keys in chain([first], every):
                sources = np.full(len(keys.rows), keys.source, dtype=np.int32)
                columns = [keys.values.cast(schema.types[0]), pa.array(sources), keys.rows]
                yield pa.record_batch(columns, schema=schema)
        except Exception as error:
            faults.append(error)
            raise

    base.register("given", pa.RecordBatchReader.from_batches(schema, batches()))
    base.execute("CREATE TABLE keys AS SELECT * FROM given")
    base.execute("CREATE TABLE twice AS SELECT key FROM keys GROUP BY key HAVING count(*) > 1")
    found = base.execute(
        "SELECT source, row FROM (SELECT source, row, row_number() OVER "
        "(PARTITION BY key ORDER BY source, row) AS place FROM keys SEMI JOIN twice USING (key)) "
        "WHERE place > 1 ORDER BY source, row"
    ).fetchnumpy()
    return Repeated(found["source"].astype(np.int32), found["row"].astype(np.int64))


def _failed(run: Path, sources: Sequence[Source], card: DatasetCard, found: Repeated) -> DataError:
    """Return the error of keys that repeat: the first of them, each with its first rows."""
    shown: dict[Any, list[str]] = {}
    for keys in _keys(run, sources, card):
        at = np.isin(keys.rows, found.row[found.source == keys.source][:SHOWN])
        shown |= {keys.values[int(i)].as_py(): [] for i in np.flatnonzero(at)}
        if len(shown) >= SHOWN:
            break
    shown = {key: [] for key in list(shown)[:SHOWN]}
    for keys in _keys(run, sources, card):
        at = pc.is_in(keys.values, pa.array(list(shown), keys.values.type)).to_numpy(False)
        for i in np.flatnonzero(at):
            rows = shown[keys.values[int(i)].as_py()]
            if len(rows) < SHOWN:
                rows.append(f"{sources[keys.source].name}, row {keys.rows[i]}")
    lines = [f"  {key!r} in {'; '.join(rows)}" for key, rows in shown.items()]
    n = len(found.row)
    return DataError(
        f"{n:,} {'rows repeat' if n > 1 else 'row repeats'} a key of column "
        f"{card.contract.key!r} that came before, and duplicates are to fail; the first:\n"
        + "\n".join(lines)
        + "\nCorrect the files, or choose --duplicates quarantine, which sets such rows aside, or "
        "report, which scores them all"
    )
