"""What the data of a card hold, and their clean rows as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from fintech_dl.cards import DatasetCard
from fintech_dl.data.frames import SUFFIXES, Reading, read_dataset, write_csv
from fintech_dl.errors import OutputError, UsageError, not_written
from fintech_dl.folders import replacing


def describe(card: DatasetCard, n_rows: int = 5) -> dict[str, Any]:
    """Read a dataset and return what it holds, JSON-plain.

    Parameters
    ----------
    card : DatasetCard
    n_rows : int
        How many of the first rows to return.

    Returns
    -------
    dict
        The facts of the reading, ``columns`` with name, name in the file, type, unit, description,
        range, number of values and share of missing cells, and ``first_rows``.

    Raises
    ------
    DataError
        As `read_dataset`.

    Examples
    --------
    >>> from fintech_dl.cards import dataset_card
    >>> from fintech_dl.data.describing import describe
    >>> found = describe(dataset_card("synthetic_card_transactions_small"))
    >>> found["columns"][4]["name"], found["columns"][4]["unit"], found["rows_quarantined"]
    ('amount', 'EUR', 0)
    """
    reading = read_dataset(card)
    sources = _sources(card)
    columns = []
    for facts in reading.facts["columns"]:
        name = facts["name"]
        rule, values = card.columns.get(name), reading.frame[name]
        ordered = facts["type"] in ("number", "integer", "datetime")
        low, high = (values.min(), values.max()) if ordered else (None, None)
        columns.append(
            {
                **facts,
                "in_file": sources.get(name, name),
                "description": rule.description if rule else "",
                "min": _plain(low),
                "max": _plain(high),
                "values": int(values.nunique()),
            }
        )
    first = reading.frame.head(n_rows).to_json(orient="records", date_format="iso")
    return {**reading.facts, "columns": columns, "first_rows": json.loads(first)}


def export(card: DatasetCard, path: Path) -> Reading:
    """Write the clean rows of a dataset to a file that its card can read again.

    Columns have the names of the source, so that the file can also be scored. In CSV a text that a
    spreadsheet would take for a formula gets an apostrophe in front; Parquet keeps all as it is.

    Parameters
    ----------
    card : DatasetCard
    path : Path
        Parquet or CSV by its ending; must not exist yet.

    Returns
    -------
    Reading
        What was read.

    Raises
    ------
    UsageError
        An ending of another kind.
    OutputError
        The file exists already, or cannot be written; nothing is left behind.
    DataError
        As `read_dataset`.
    """
    check_new(path)
    reading = read_dataset(card)
    write_frame(reading.frame.rename(columns=_sources(card)), path)
    return reading


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame to a new Parquet or CSV file, at once.

    Parameters
    ----------
    frame : DataFrame
    path : Path
        Parquet or CSV by its ending; must not exist yet.

    Raises
    ------
    UsageError, OutputError
        As `export`.
    """
    check_new(path)
    try:
        with replacing(path) as part:
            if path.name.endswith(".parquet"):
                frame.to_parquet(part, index=False)
            else:
                zipped = {"method": "gzip", "mtime": 0} if path.name.endswith(".gz") else None
                write_csv(frame, part, compression=zipped)
    except OSError as error:
        raise not_written(str(path), error, "choose another file with -o") from error


def check_new(path: Path) -> None:
    """Refuse a file to write that exists already or has another ending: before hours of work.

    Raises
    ------
    UsageError, OutputError
        As `export`.
    """
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"{path}: expected a file {', '.join(SUFFIXES)}; name another one with -o")
    if path.exists():
        raise OutputError(f"{path}: exists already; name a new file with -o")


def _sources(card: DatasetCard) -> dict[str, str]:
    return {name: rule.source for name, rule in card.columns.items() if rule.source}


def _plain(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value.item()
