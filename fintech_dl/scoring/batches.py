"""The rows of a piece of a source as a stream of batches, each proven clean or divided.

A clean batch of Parquet is proven by NumPy alone; of any other every cell is checked, and the
faulty rows are set aside. What rows are worth does not depend on the way, nor on their neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fintech_dl.cards import DatasetCard
from fintech_dl.data.proven import Doubt, prove_columns
from fintech_dl.data.rules import find_columns
from fintech_dl.errors import DataError, PlanError, TemporaryError
from fintech_dl.estimators.columns import LARGEST_INTEGER
from fintech_dl.scoring.parts import open_parquet
from fintech_dl.scoring.plan import Piece, Source
from fintech_dl.scoring.schema import told
from fintech_dl.scoring.store import digest_of

if TYPE_CHECKING:
    import pandas as pd

BATCH = 65_536  # rows
CELLS = 1 << 23  # of a batch at most: wide rows come fewer at a time
BLOCK = 1_024
BUFFERS = 1 << 25  # bytes read ahead in all
LEAST_BUFFER = 1 << 14
BUFFER = 1 << 18  # bytes read ahead of each column: a row group is never held as a whole
FEW = 100  # rows of which all may have one wrong cell, and the column still be of its type


class Batch(NamedTuple):
    """Rows as read.

    Attributes
    ----------
    table : pyarrow.Table
        One chunk per column.
    first_row : int
        Which data row of the original the first one is.
    row_groups : int32 array of shape (n_rows,)
    """

    table: Any
    first_row: int
    row_groups: NDArray[np.int32]


class Divided(NamedTuple):
    """What the contract makes of a batch.

    Attributes
    ----------
    columns : dict
        Rows that keep the contract, by column of the card: as `data.proven.prove_columns` gives
        them, or the columns of a frame.
    kept : int array or None
        Their positions; None: all.
    aside : int array
        Positions of the other rows.
    codes : object array
        Why they are set aside: codes joined by ``;``.
    reasons : dict of str to int
    examples : dict of str to str
    """

    columns: dict[str, Any] | pd.DataFrame
    kept: NDArray[np.intp] | None
    aside: NDArray[np.intp]
    codes: NDArray[np.object_]
    reasons: dict[str, int]
    examples: dict[str, str]


@dataclass
class Typed:
    """Which columns of a piece had a cell of their type, and the first that was of another."""

    seen: set[str] = field(default_factory=set)
    wrong: dict[str, str] = field(default_factory=dict)


@contextmanager
def unchanged(path: Path, source: Source) -> Iterator[None]:
    """Raise PlanError if a source is not, before and after it is read, what the plan says."""
    before = _stamp(path, source)
    if before[:2] != (source.bytes, source.mtime_ns):
        _refuse_changed(path, source)
        before = _stamp(path, source)
    yield
    if _stamp(path, source) != before:
        _refuse_changed(path, source)


def _stamp(path: Path, source: Source) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _changed(source, f"cannot be read now ({error.strerror})") from error
    return found.st_size, found.st_mtime_ns, found.st_ino


def _refuse_changed(path: Path, source: Source) -> None:
    if _stamp(path, source)[0] != source.bytes or digest_of(path) != source.sha256:
        raise _changed(source, "changed since the plan was made")


def _changed(source: Source, how: str) -> PlanError:
    return PlanError(
        f"{source.name}: {how}; nothing of it is scored. Put the file back and resume, or score "
        "what is there now with --new-run"
    )


def stream(
    path: Path, source: Source, piece: Piece, card: DatasetCard | None, rows: int = BATCH
) -> Iterator[Batch]:
    """Yield the rows of a piece; memory holds one batch, however large a row group is.

    Parameters
    ----------
    path : Path
        Of the source.
    source : Source
    piece : Piece
        Of that source.
    card : DatasetCard or None
        Whose columns are read; None: all.
    rows : int
        Of a batch at most.

    Raises
    ------
    PlanError
        The source is not what the plan was made of.
    DataError
        It is broken, or a column is missing.
    """
    groups = np.repeat(
        np.asarray(piece.row_groups, dtype=np.int32),
        [source.row_groups[group] for group in piece.row_groups],
    )
    at = 0
    with unchanged(path, source):
        try:
            with _open(path) as file:
                schema = file.schema_arrow
                columns = schema.names
                if card is not None:
                    wanted = _sources(card, columns, source.name)
                    columns = [name for name in columns if name in wanted]
                width = len(columns)
                size = max(BLOCK, min(rows, CELLS // max(1, width) // BLOCK * BLOCK))
                for found in file.iter_batches(
                    batch_size=size,
                    row_groups=piece.row_groups,
                    columns=columns,
                    use_threads=False,
                ):
                    table = pa.Table.from_batches([found]).replace_schema_metadata(schema.metadata)
                    yield Batch(table, piece.first_row + at, groups[at : at + len(table)])
                    at += len(table)
        except MemoryError as error:
            raise no_memory(source.name, error) from error
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, PlanError):
                raise
            _stamp(path, source)
            if not isinstance(error, pa.ArrowException) and error.errno is not None:
                raise
            raise _broken(source, piece.first_row + at, told(error)) from error
    if at != piece.rows:
        raise _broken(source, piece.first_row + at, f"{at:,} rows instead of {piece.rows:,}")


def _open(path: Path) -> Any:
    """Open a Parquet file whose row groups are read page by page, with a buffer per column."""
    file = open_parquet(path, buffer_size=BUFFER)
    width = len(file.schema_arrow.names)
    if width * BUFFER <= BUFFERS:
        return file
    with file:
        small = max(LEAST_BUFFER, BUFFERS // width)
        return open_parquet(path, metadata=file.metadata, buffer_size=small)


def no_memory(name: str, error: MemoryError) -> TemporaryError:
    """Return the error of a file that is sound, but for which the memory does not suffice."""
    return TemporaryError(
        f"{name}: there is not enough memory to read it ({told(error)}); give the process more of "
        "it, or use fewer --workers, and run it again"
    )


def _broken(source: Source, row: int, why: str) -> DataError:
    return DataError(
        f"{source.name}: cannot be read from row {row} on: {why}; the file is broken. Copy it "
        "again, and score it with --new-run"
    )


def _sources(card: DatasetCard, have: list[str], where: str) -> set[str]:
    constants = [name for name in card.source.constants if name not in have]
    return {found for found, _ in find_columns([*have, *constants], card, True, where).values()}


def divide(
    batch: Batch,
    source: Source,
    card: DatasetCard,
    as_of: str,
    repeated: NDArray[np.int64],
    typed: Typed,
    *,
    plainly: bool = True,
    numbers: frozenset[str] = frozenset(),
) -> Divided:
    """Divide a batch into rows that keep the contract and rows that do not.

    Parameters
    ----------
    batch : Batch
    source : Source
        Where it comes from.
    card : DatasetCard
    as_of : str
        Rows after this moment are set aside; empty: none are.
    repeated : int64 array
        Rows of the original whose key came before, in rising order.
    typed : Typed
        Of the piece; it is kept up to date.
    plainly : bool
        Try first whether all rows are plainly clean. Else clean rows come as a DataFrame.
    numbers : frozenset of str
        Columns that go into a network as they are: what float32 cannot hold is set aside too.

    Raises
    ------
    DataError
        A column of another type than the card says.
    """
    low, high = np.searchsorted(repeated, [batch.first_row, batch.first_row + len(batch.table)])
    mine = repeated[low:high] - batch.first_row
    if plainly and not (source.text or len(mine) or card.source.constants):
        try:
            return _proven(batch, source, card, as_of, typed)
        except Doubt:
            pass
    return _divided(batch, source, card, as_of, mine, typed, numbers)


def _proven(batch: Batch, source: Source, card: DatasetCard, as_of: str, typed: Typed) -> Divided:
    cells = dict(zip(batch.table.column_names, map(one_chunk, batch.table.columns), strict=True))
    rules = find_columns(list(cells), card, True, source.name)
    latest = {card.contract.time: np.datetime64(as_of, "us")} if as_of else None
    columns = prove_columns(cells, rules, latest)
    typed.seen.update(columns)
    nothing = np.zeros(0, dtype=np.intp)
    return Divided(columns, None, nothing, nothing.astype(object), {}, {})


def one_chunk(column: Any) -> Any:
    """Return a column of a table as one Arrow array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _divided(
    batch: Batch,
    source: Source,
    card: DatasetCard,
    as_of: str,
    repeated: NDArray[np.int64],
    typed: Typed,
    numbers: frozenset[str],
) -> Divided:
    import pandas as pd

    from fintech_dl.data.casting import finish
    from fintech_dl.data.faults import Fault, any_fault, check_cells, codes, example
    from fintech_dl.data.frames import from_arrow
    from fintech_dl.data.shaping import shape

    again = np.zeros(len(batch.table), dtype=bool)
    again[repeated] = True
    frame = shape(from_arrow(batch.table.replace_schema_metadata(None)), card, source.name)
    rules = find_columns(list(frame.columns), card, True, source.name)
    casts, faults = check_cells(
        frame,
        rules,
        card,
        as_of=as_of or None,
        text=source.text,
        where=source.name,
        whole=False,
        again=lambda _: again,
    )
    for name in numbers & casts.keys():
        if (large := _too_large(casts[name])).any():
            faults.append(Fault(f"too_large:{name}", rules[name][0], np.flatnonzero(large)))
    for name, cast in casts.items():
        if not (cast.wrong | cast.missing).all():
            typed.seen.add(name)
    examples = {f.code: example(frame, f, batch.first_row) for f in faults}
    for fault in faults:
        if fault.code.startswith("wrong_type:"):
            typed.wrong.setdefault(fault.code.partition(":")[2], examples[fault.code])
    bad = any_fault(len(frame), faults)
    kept = np.flatnonzero(~bad) if bad.any() else None
    aside = np.flatnonzero(bad)
    columns = {name: finish(casts.pop(name), rule, kept) for name, (_, rule) in rules.items()}
    return Divided(
        pd.DataFrame(columns, copy=False),
        kept,
        aside,
        codes(aside, faults),
        {fault.code: len(fault.rows) for fault in faults},
        {code: f"{source.name}, {told}" for code, told in examples.items()},
    )


def _too_large(cast: Any) -> NDArray[np.bool_]:
    """Return which numbers float32 cannot hold, so that no network can take them."""
    if cast.values.dtype.kind not in "iuf":
        return np.zeros(len(cast.missing), dtype=bool)
    limit = LARGEST_INTEGER if cast.values.dtype.kind in "iu" else float(np.finfo(np.float32).max)
    usable = ~(cast.missing | cast.wrong)
    if cast.values.dtype.kind == "f":
        usable &= np.isfinite(cast.values)
    large: NDArray[np.bool_] = usable & (np.abs(cast.values) > limit)
    return large


def check_types(typed: Typed, source: Source, piece: Piece, card: DatasetCard) -> None:
    """Refuse a column of which every cell of a piece was of another type than the card says.

    Raises
    ------
    DataError
        It names file, column and row.
    """
    if piece.rows < FEW:
        return
    for name, example in typed.wrong.items():
        if name not in typed.seen:
            kind = next((r.type for n, r in card.columns.items() if n == name), "another type")
            raise DataError(
                f"{source.name}: column {name!r}: expected {kind}, and no cell from row "
                f"{piece.first_row} to row {piece.first_row + piece.rows - 1} is: {example}; "
                "correct the file, or the type in the dataset card"
            )
