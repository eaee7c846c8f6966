"""Read what a run published: by its manifest only, every byte checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fintech_dl.errors import DataError, UsageError
from fintech_dl.records import nearest
from fintech_dl.scoring.commits import PARTS, QUARANTINE, REASONS, Made, fault_of
from fintech_dl.scoring.manifest import read_latest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ROWS = 65_536  # of a batch


def read_scores(folder: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the scores that a batch run published.

    For analyses and for whatever comes after a night job. Where they do not fit into memory, use
    `read_score_batches`, or write one file with ``fintech-dl export``.

    Parameters
    ----------
    folder : str or Path
        What was given to ``fintech-dl score`` with ``-o``: its latest finished run is read. Or one
        ``run-...`` folder in it.
    columns : sequence of str, optional
        Default: all. ``source_file``, ``source_row_group`` and ``source_row`` (the first data row
        is 1) say which row of the input it was; then come key, time and asset, ``score``, and as
        the card has them ``low``, ``high`` and ``alert``.

    Returns
    -------
    DataFrame of shape (n_rows_scored, n_columns)
        In the order of the input's files and rows.

    Raises
    ------
    DataError
        No run is finished, or one of its files is missing or changed.
    UsageError
        There is no such column.

    Examples
    --------
    >>> from fintech_dl.scoring.reading import read_scores
    >>> read_scores("scores/2026-11-20")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no finished scores; see fintech-dl \
status, and name the folder that was given to fintech-dl score with -o
    """
    import pyarrow as pa

    run, manifest, _ = read_latest(folder)
    batches = list(batches_of_run(run, manifest, columns))
    table = pa.Table.from_batches(batches) if batches else pa.table({})
    frame: pd.DataFrame = table.to_pandas()
    return frame


def read_score_batches(
    folder: str | Path, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the scores that a batch run published, up to 65,536 rows at a time.

    For more rows than fit into memory. The parts are those of the manifest, each compared with its
    digest before it is read.

    Parameters
    ----------
    folder : str or Path
        As `read_scores`.
    columns : sequence of str, optional
        Default: all.

    Returns
    -------
    iterator of pyarrow.RecordBatch
        All of one schema.

    Raises
    ------
    DataError, UsageError
        As `read_scores`.

    Examples
    --------
    >>> from fintech_dl.scoring.reading import read_score_batches
    >>> next(read_score_batches("scores/2026-11-20"))
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no finished scores; see fintech-dl \
status, and name the folder that was given to fintech-dl score with -o
    """
    run, manifest, _ = read_latest(folder)
    return batches_of_run(run, manifest, columns)


def read_quarantine(folder: str | Path) -> pd.DataFrame:
    """Read the rows that a batch run set aside.

    To mend them, or to tell whoever sent them.

    Parameters
    ----------
    folder : str or Path
        As `read_scores`.

    Returns
    -------
    DataFrame of shape (n_rows_quarantined, n_columns)
        The columns as they were read, where each row is from (``source_file``,
        ``source_row_group``, ``source_row``) and its ``reason``: codes such as
        ``below_min:amount``, joined by ``;``. Empty where no row was set aside.

    Raises
    ------
    DataError
        As `read_scores`.

    Examples
    --------
    >>> from fintech_dl.scoring.reading import read_quarantine
    >>> read_quarantine("scores/2026-11-20")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no finished scores; see fintech-dl \
status, and name the folder that was given to fintech-dl score with -o
    """
    return _read_beside(folder, QUARANTINE)


def read_reasons(folder: str | Path) -> pd.DataFrame:
    """Read why rows were declined, of a batch run with ``--reasons``.

    For the letters to those whom a decision concerns.

    Parameters
    ----------
    folder : str or Path
        As `read_scores`.

    Returns
    -------
    DataFrame
        A line for each declined row: where it is from (``source_file``, ``source_row_group``,
        ``source_row``), key and score, and up to four reasons, each with its feature, text and
        contribution. Empty where nobody asked for reasons.

    Raises
    ------
    DataError
        As `read_scores`.

    Examples
    --------
    >>> from fintech_dl.scoring.reading import read_reasons
    >>> read_reasons("scores/2026-11-20")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scores/2026-11-20: holds no finished scores; see fintech-dl \
status, and name the folder that was given to fintech-dl score with -o
    """
    return _read_beside(folder, REASONS)


def _read_beside(folder: str | Path, what: str) -> pd.DataFrame:
    """Return the rows of files that may be of several schemas: inputs differ in columns."""
    import pyarrow as pa

    from fintech_dl.scoring.parts import open_parquet

    run, manifest, _ = read_latest(folder)
    tables = []
    for path in files_of_run(run, manifest, what):
        with open_parquet(path) as file:
            tables.append(file.read())
    if not tables:
        tables = [pa.table({})]
    frame: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return frame


def files_of_run(run: Path, manifest: Mapping[str, Any], folder: str = PARTS) -> Iterator[Path]:
    """Yield the files of a published run in the order of its shards, each after its check.

    Parameters
    ----------
    run : Path
    manifest : dict
        Of the run, as `manifest.read_latest` gives both.
    folder : str
        ``"parts"``, ``"quarantine"`` (rows set aside before the shards first) or ``"reasons"``.

    Yields
    ------
    Path

    Raises
    ------
    DataError
        A file is missing or changed.
    """
    before = manifest["landed_quarantine"]
    found = [(run / before["path"], before)] if before and folder == "quarantine" else []
    field = "part" if folder == PARTS else folder
    for shard in manifest["shards"]:
        if (file := shard["commit"][field]) is not None:
            found.append((run / folder / file["name"], file))
    for path, file in found:
        made = Made(name=path.name, bytes=file["bytes"], sha256=file["sha256"])
        if fault := fault_of(path, made):
            raise DataError(f"{fault}. Restore it from a copy, or remove {run} and score again")
        yield path


def batches_of_run(
    run: Path, manifest: Mapping[str, Any], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the scores of a published run, as `read_score_batches` does.

    Parameters
    ----------
    run, manifest
        As for `files_of_run`.
    columns : sequence of str, optional

    Yields
    ------
    pyarrow.RecordBatch

    Raises
    ------
    DataError, UsageError
        As `read_scores`.
    """
    from fintech_dl.scoring.parts import open_parquet

    cuts: dict[str, Any] | None = manifest["alerts_per_day"]
    names: list[str] = manifest["sources"]
    when = str(manifest["facts"].get("time") or "")
    for path in files_of_run(run, manifest):
        with open_parquet(path) as file:
            known = [*file.schema_arrow.names, *(["alert"] if cuts is not None else [])]
            if other := [name for name in columns or () if name not in known]:
                raise UsageError(
                    f"no column {other[0]!r} in the scores; {nearest(other[0], known)}"
                )
            wanted = list(columns) if columns is not None else known
            read = wanted
            if cuts is not None and "alert" in wanted:
                needed = (when, "score", "source_file", "source_row")
                read = [name for name in known if name in (*wanted, *needed) and name != "alert"]
            for batch in file.iter_batches(batch_size=ROWS, columns=read):
                if read is not wanted:
                    from fintech_dl.scoring.capacity import with_alerts

                    batch = with_alerts(batch, cuts or {}, names, when)
                yield batch.select(wanted)
