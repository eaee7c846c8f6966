"""One file of a run's scores, or of the rows that it set aside: by its manifest, in a stream."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from fintech_dl.errors import OutputError, UsageError, not_written
from fintech_dl.folders import replacing
from fintech_dl.scoring.commits import PARTS, QUARANTINE, REASONS
from fintech_dl.scoring.manifest import read_latest
from fintech_dl.scoring.parts import open_parquet
from fintech_dl.scoring.reading import ROWS, batches_of_run, files_of_run

SUFFIXES = (".csv", ".csv.gz", ".parquet")
WHAT = {"scores": PARTS, "quarantine": QUARANTINE, "reasons": REASONS}
FORMULA = r"^[=+\-@\t\r\n]"  # as data.frames.write_csv, which holds all rows in memory
NUMBER = r"^[+-]?\d+\.?\d*([eE][+-]?\d+)?$"


def export_scores(
    folder: str | Path, path: str | Path, *, what: str = "scores", overwrite: bool = False
) -> dict[str, Any]:
    """Write the published scores of a batch run to one file.

    For whatever cannot read a folder by its manifest: a spreadsheet, an upload. A batch is in
    memory at a time. The file appears whole or not at all. In CSV a text that a spreadsheet would
    take for a formula gets an apostrophe in front; Parquet keeps all as it is.

    Parameters
    ----------
    folder : str or Path
        What was given to ``fintech-dl score`` with ``-o``, or one ``run-...`` folder in it.
    path : str or Path
        ``.csv``, ``.csv.gz`` or ``.parquet``.
    what : {"scores", "quarantine", "reasons"}
        Scores; or the rows set aside, as they were read, with their reasons; or, of a run with
        ``--reasons``, why rows were declined.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    dict
        ``path``, ``run``, ``what`` and ``rows``.

    Raises
    ------
    UsageError
        An ending of another kind, or reasons that nobody asked the run for.
    OutputError
        The file exists already or cannot be written; DiskFullError where there is no room.
    DataError
        No run is finished there, or a file of it is missing or changed.

    Examples
    --------
    >>> from fintech_dl.scoring.export import export_scores
    >>> export_scores("scores/2026-11-20", "scores.xlsx")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.UsageError: scores.xlsx: expected a file .csv, .csv.gz, .parquet
    """
    path = Path(path)
    if what not in WHAT:
        raise UsageError(f"what: got {what!r}, allowed: {', '.join(WHAT)}")
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"{path}: expected a file {', '.join(SUFFIXES)}")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path}: exists already; name a new file, or let it be replaced with --overwrite"
        )
    run, manifest, _ = read_latest(folder)
    schema, batches = _opened(run, manifest, what)
    rows = 0
    try:
        with replacing(path) as part, part.open("wb") as file, _writer(path, file, schema) as add:
            for batch in batches:
                add(batch)
                rows += len(batch)
    except OSError as error:
        raise not_written(str(path), error, "choose another file") from error
    return {"path": str(path), "run": run.name, "what": what, "rows": rows}


def _opened(
    run: Path, manifest: Mapping[str, Any], what: str
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the columns, the same for all rows, and the rows."""
    if what == "scores":
        is_empty = not manifest["shards"]
        schema = pa.schema([]) if is_empty else pq.read_schema(next(files_of_run(run, manifest)))
        if manifest["alerts_per_day"] is not None:
            schema = schema.append(pa.field("alert", pa.bool_()))
        return _plain(schema), batches_of_run(run, manifest)
    files = list(files_of_run(run, manifest, WHAT[what]))
    if what == "reasons" and not files and manifest["totals"]["reasons"] is None:
        raise UsageError(f"{run}: was scored without --reasons, so none are known; score with it")
    schema = _united([pq.read_schema(file) for file in files])
    return schema, _rows(files)


def _rows(files: list[Path]) -> Iterator[pa.RecordBatch]:
    for path in files:
        with open_parquet(path) as file:
            yield from file.iter_batches(batch_size=ROWS)


def _united(schemas: list[pa.Schema]) -> pa.Schema:
    """Return the columns of all files; text where the types of one have nothing in common."""
    found: dict[str, Any] = {}
    for schema in map(_plain, schemas):
        for field in schema:
            known = found.setdefault(field.name, field)
            try:
                found[field.name] = pa.unify_schemas(
                    [pa.schema([known]), pa.schema([field])], promote_options="permissive"
                ).field(0)
            except pa.ArrowException:
                found[field.name] = pa.field(field.name, pa.string())
    return pa.schema(list(found.values()))


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return the columns without what pandas noted about them, dictionaries as their values."""
    kinds = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema]
    return pa.schema([pa.field(f.name, kind) for f, kind in zip(schema, kinds, strict=True)])


@contextmanager
def _writer(path: Path, file: IO[bytes], schema: pa.Schema) -> Iterator[Any]:
    """Yield the function that adds a batch to the file."""

    def shaped(batch: pa.RecordBatch) -> pa.Table:
        n = len(batch)
        there = set(batch.schema.names)
        columns = [
            batch.column(f.name).cast(f.type) if f.name in there else pa.nulls(n, f.type)
            for f in schema
        ]
        return pa.Table.from_arrays(columns, schema=schema)

    if path.name.endswith(".parquet"):
        with pq.ParquetWriter(file, schema, write_page_checksum=True) as parquet:
            yield lambda batch: parquet.write_table(shaped(batch))
        return
    names = [_harmless(pa.array([name]))[0].as_py() for name in schema.names]
    if path.name.endswith(".gz"):
        zipped = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
    else:
        zipped = None
    head = pa.csv.WriteOptions(include_header=True)
    rest = pa.csv.WriteOptions(include_header=False)
    stream: Any = zipped or file
    try:
        texts = [_is_text(kind) for kind in schema.types]
        empty = pa.Table.from_arrays([pa.array([], f.type) for f in schema], names=names)
        pa.csv.write_csv(empty, stream, head)

        def add(batch: pa.RecordBatch) -> None:
            table = shaped(batch).rename_columns(names)
            for i, is_text in enumerate(texts):
                if is_text:
                    cells = table.column(i).cast(pa.string())
                    table = table.set_column(i, names[i], _harmless(cells))
            pa.csv.write_csv(table, stream, rest)

        yield add
    finally:
        if zipped is not None:
            zipped.close()


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_of(kind) for is_of in kinds)


def _harmless(cells: Any) -> Any:
    """Put an apostrophe before =, +, -, @, tab and line breaks, unless the cell is a number."""
    risky = pc.match_substring_regex(cells, FORMULA)
    number = pc.match_substring_regex(cells, NUMBER)
    marked = pc.binary_join_element_wise("'", cells, "")
    return pc.if_else(pc.and_not(risky, number), marked, cells)
