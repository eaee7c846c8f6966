"""Files -> Parquet that shards can read: what is no Parquet is landed once, as it is."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fintech_dl.errors import DataError, FintechError, PlanError, not_written
from fintech_dl.scoring.plan import Original, Source
from fintech_dl.scoring.schema import Footer, read_footer, told
from fintech_dl.scoring.store import digest_of, placing, temporary

LANDED = "landed"
GROUP_ROWS = 262_144  # of a row group of what is landed
GROUP_BYTES = 1 << 25
BLOCK = 1 << 22  # bytes of CSV parsed at once; no row may be larger
ROW = re.compile(r"Row #(\d+): (.*)", re.DOTALL)
UNREADABLE = (pa.ArrowException, OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError)


def parquet_source(original: Original) -> tuple[Source, Footer]:
    """Return a Parquet file that the user named as a source: it is read where it is.

    Raises
    ------
    DataError
        It is broken.
    """
    footer = read_footer(Path(original.name))
    source = Source(
        path=original.name,
        bytes=original.bytes,
        sha256=original.sha256,
        mtime_ns=original.mtime_ns,
        row_groups=footer.row_groups,
        name=original.name,
    )
    return source, footer


def land_csv(original: Original, run: Path, name: str, *, sync: bool = True) -> Source:
    r"""Copy a CSV file, plain or compressed, cell by cell as text; memory does not grow with it.

    UTF-8, a comma between cells, line breaks within quotes; an empty cell is a missing one.

    Parameters
    ----------
    original : Original
    run : Path
    name : str
        Of the Parquet file in ``landed``.
    sync : bool
        As for `land`.

    Returns
    -------
    Source
        Its row groups have 262,144 rows, fewer where rows are long.

    Raises
    ------
    DataError
        A row with too few or too many cells, bytes that are no UTF-8, a NUL, a quote that is not
        closed, a broken archive, two columns of one name: with file and data row.
    PlanError
        The file was replaced since its digest was taken.
    OutputError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.inputs import find_inputs
    >>> from fintech_dl.scoring.landing import land_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "new.csv").write_text("amount\n5\n7\n")
    ...     (original,) = find_inputs([folder])
    ...     land_csv(original, Path(folder), "00000.parquet").row_groups
    [2]
    """
    header = _header(original.name)
    if twice := sorted({column for column in header if header.count(column) > 1}):
        raise DataError(f"{original.name}: the file has several columns named {', '.join(twice)}")
    schema = pa.schema([(column, pa.string()) for column in header])
    rows = _cells(original, header)
    return land(run, name, schema, rows, original.name, text=True, sync=sync)


def land(
    run: Path,
    name: str,
    schema: Any,
    batches: Iterable[Any],
    source: str,
    *,
    text: bool = False,
    group_rows: int = GROUP_ROWS,
    sync: bool = True,
) -> Source:
    """Write record batches to a Parquet file in ``landed``, whole or not at all.

    Parameters
    ----------
    run : Path
    name : str
    schema : pyarrow.Schema
    batches : iterable of pyarrow.RecordBatch or pyarrow.Table
        Errors in reading them are the iterable's own business.
    source : str
        What ``source_file`` is to say of its rows.
    text : bool
    group_rows : int
    sync : bool
        Bring the file to the disk at once. Of many small files it is faster to call ``os.sync``
        when all are there.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = run / LANDED / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            placing(path) if sync else _renaming(path) as temp,
            pa.OSFile(str(temp), "wb") as file,  # closed though the disk may be full
            pq.ParquetWriter(
                file, schema, compression="zstd", compression_level=1, write_page_checksum=True
            ) as writer,
        ):
            for group in _groups(batches, group_rows):
                writer.write_table(group, row_group_size=group_rows)
        found = path.stat()
        digest = digest_of(path)
    except OSError as error:
        if isinstance(error, FintechError):
            raise
        raise not_written(str(run), error, "choose another folder with -o") from error
    return Source(
        path=f"{LANDED}/{name}",
        bytes=found.st_size,
        sha256=digest,
        mtime_ns=found.st_mtime_ns,
        row_groups=read_footer(path).row_groups,
        name=source,
        text=text,
    )


@contextmanager
def _renaming(path: Path) -> Iterator[Path]:
    temp = temporary(path)
    try:
        yield temp
        os.replace(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def land_parquet(original: Original, run: Path, name: str) -> Source:
    """Copy a Parquet file of pandas whose index is a column, but only in name.

    Raises
    ------
    DataError
        It cannot be read.
    OutputError
        The folder cannot be written.
    """
    tables = _indexed(original)
    first = next(tables)
    return land(run, name, first.schema, chain([first], tables), original.name)


def _indexed(original: Original) -> Iterator[Any]:
    try:
        with pq.ParquetFile(original.name, page_checksum_verification=True) as file:
            kept = file.schema_arrow.pandas_metadata["index_columns"]
            ranges = [one for one in kept if isinstance(one, dict) and one["name"] is not None]
            at = 0
            for group in range(file.num_row_groups):  # at least one, written by pandas
                table = file.read_row_group(group)
                for one in ranges:
                    first = one["start"] + at * one["step"]
                    stop = first + len(table) * one["step"]
                    numbers = pa.array(range(first, stop, one["step"]), pa.int64())
                    table = table.append_column(str(one["name"]), numbers)
                at += len(table)
                yield table.replace_schema_metadata(None)
    except UNREADABLE as error:
        raise DataError(f"{original.name}: cannot be read: {told(error)}") from error


def _groups(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    """Gather batches to tables of a row group each."""
    held: list[Any] = []
    n = size = 0
    for batch in batches:
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        held.append(table)
        n, size = n + len(table), size + table.nbytes
        while n >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held, n = [whole.slice(rows)], n - rows
            size = held[0].nbytes
        if size >= GROUP_BYTES:
            yield pa.concat_tables(held)
            held, n, size = [], 0, 0
    if n:
        yield pa.concat_tables(held)


class _Raw(io.RawIOBase):
    """The bytes of a file, with their digest and whether a NUL is among them; an end is added."""

    def __init__(self, stream: IO[bytes], end: bytes = b"") -> None:
        self.stream, self.end = stream, io.BytesIO(end)
        self.digest = hashlib.sha256()
        self.has_nul = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        n = self.stream.readinto(view) or 0  # type: ignore[attr-defined]
        if not n:
            return self.end.readinto(buffer)
        self.digest.update(view[:n])
        self.has_nul = self.has_nul or b"\0" in bytes(view[:n])
        return n


def _opened(path: str) -> tuple[_Raw, IO[bytes]]:
    """Return the bytes of a file as they are, and as they are when unpacked."""
    raw = _Raw(open(path, "rb", buffering=0))  # noqa: SIM115
    if not path.lower().endswith(".gz"):
        return raw, raw  # type: ignore[return-value]
    return raw, gzip.GzipFile(fileobj=io.BufferedReader(raw, 1 << 20))  # type: ignore[return-value]


def _header(path: str) -> list[str]:
    try:
        raw, stream = _opened(path)
        with (
            raw.stream,
            io.TextIOWrapper(
                io.BufferedReader(stream),  # type: ignore[type-var]
                "utf-8-sig",
                errors="surrogateescape",  # of rows behind the header too
                newline="",
            ) as text,
        ):
            header = next(csv.reader(text), [])
    except UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read: {told(error)}; the file is broken or of another kind than "
            "its name says"
        ) from error
    if not header:
        raise DataError(f"{path}: the file is empty; expected a header with the columns' names")
    if any("\0" in column for column in header):
        raise DataError(f"{path}: a NUL byte in the header; is it a text file?")
    if any("\udc80" <= letter <= "\udcff" for letter in "".join(header)):
        raise DataError(f"{path}: bytes in the header that are no UTF-8; save the file as UTF-8")
    return header


def _cells(original: Original, header: list[str]) -> Iterator[Any]:
    """Yield the rows of a CSV file; a last row of our own proves that no quote was left open."""
    end, rows = secrets.token_hex(8), 0
    try:
        raw, stream = _opened(original.name)
        last = ("\n" + ",".join([end] * len(header)) + "\n").encode()
        text = _Raw(stream, last)
        with raw.stream, io.BufferedReader(text, 1 << 20) as whole:
            held = None
            block = BLOCK if original.name.lower().endswith(".gz") else original.bytes + 1024
            for batch in _reader(whole, header, min(block, BLOCK)):
                if held is not None:
                    _refuse_nul(text, held, original.name, rows)
                    rows += len(held)
                    yield held
                held = batch
            assert held is not None
            if set(held.slice(len(held) - 1).to_pylist()[0].values()) != {end}:
                raise DataError(
                    f"{original.name}: data row {rows + len(held)}: a quote is opened and never "
                    "closed; correct the file"
                )
            held = held.slice(0, len(held) - 1)
            _refuse_nul(text, held, original.name, rows)
            while raw.read(BLOCK):
                pass  # whatever an archive has behind its end
            if raw.digest.hexdigest() != original.sha256:
                raise PlanError(f"{original.name}: was replaced just now; run the same again")
            if len(held):
                yield held
    except UNREADABLE as error:
        if isinstance(error, PlanError):
            raise
        raise _at_row(original.name, error, rows) from error


def _reader(stream: IO[bytes], header: list[str], block: int) -> Any:
    return pacsv.open_csv(
        stream,
        read_options=pacsv.ReadOptions(block_size=block, use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _refuse_nul(text: _Raw, batch: Any, name: str, rows: int) -> None:
    if not text.has_nul:
        return
    for column, cells in zip(batch.schema.names, batch.columns, strict=True):
        found = pc.index(pc.match_substring(cells, "\0"), True).as_py()
        if found >= 0:
            raise DataError(
                f"{name}: data row {rows + found + 1}: column {column!r}: a NUL byte; correct the "
                "file"
            )


def _at_row(name: str, error: Exception, rows: int) -> DataError:
    """Return the error of a file that cannot be parsed, with the data row where it fails."""
    said = str(error)
    if found := ROW.search(said):  # Arrow counts the header as row 1
        row, what = int(found[1]) - 1, found[2]
        if "UTF8" in what:
            return DataError(
                f"{name}: data row {row}: bytes that are no UTF-8; save the file as UTF-8"
            )
        return DataError(
            f"{name}: data row {row}: {what.splitlines()[0][:120].lower()}; is a comma, or a quote "
            "around a cell, missing or too much?"
        )
    if "straddl" in said:
        return DataError(
            f"{name}: after data row {rows}: a row of more than {BLOCK >> 20} MB; is a quote "
            "opened and never closed?"
        )
    return DataError(
        f"{name}: cannot be read after data row {rows}: {told(error)}; the file is broken or of "
        "another kind than its name says"
    )


def is_parquet(original: Original) -> bool:
    """Return whether an input is a Parquet file, by its name."""
    return not original.query and os.fspath(original.name).lower().endswith(".parquet")
