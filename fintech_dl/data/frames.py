"""Datasets and files -> rows that keep the contract, rows set aside, and facts for the record."""

import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fintech_dl.cards import DatasetCard, dataset_card
from fintech_dl.data import synthetic
from fintech_dl.data.casting import floats
from fintech_dl.data.contract import Moment, check_rows, moment
from fintech_dl.data.files import get_file, open_file, verify
from fintech_dl.data.gaps import put_back
from fintech_dl.data.prices import read_prices, told
from fintech_dl.data.rules import reading_facts
from fintech_dl.data.shaping import shape
from fintech_dl.data.sql import read_query
from fintech_dl.errors import DataError, not_written
from fintech_dl.folders import replacing

SUFFIXES = (".parquet", ".csv", ".csv.gz")
UNREADABLE = (
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    csv.Error,
    zlib.error,
)
INTEGERS = {
    arrow: dtype()
    for arrow, dtype in [
        (pa.int8(), pd.Int8Dtype),
        (pa.int16(), pd.Int16Dtype),
        (pa.int32(), pd.Int32Dtype),
        (pa.int64(), pd.Int64Dtype),
        (pa.uint8(), pd.UInt8Dtype),
        (pa.uint16(), pd.UInt16Dtype),
        (pa.uint32(), pd.UInt32Dtype),
        (pa.uint64(), pd.UInt64Dtype),
        (pa.bool_(), pd.BooleanDtype),
    ]
}


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read of a dataset or a file.

    Attributes
    ----------
    frame : DataFrame
        Rows that keep the contract, index 0, 1, ...; the declared columns only.
    quarantined : DataFrame
        The other rows as read, with ``source_row`` and ``reason``.
    facts : dict
        For the record, plain JSON: origin, file and its SHA-256, rows read, used and quarantined,
        reasons, ``as_of``, columns. It holds no row but the first offending cell per reason.
    gaps : DataFrame or None
        Where the contract names assets: day and asset of rows that were set aside.
    rows : int array, optional
        The data row of the source of each row of the frame, the first is 1.
    """

    frame: pd.DataFrame
    quarantined: pd.DataFrame
    facts: dict[str, Any]
    gaps: pd.DataFrame | None = None
    rows: NDArray[np.intp] | None = None

    def whole(self) -> pd.DataFrame:
        """Return the frame with the bars set aside put back, empty: see `gaps.put_back`."""
        return put_back(self.frame, self.gaps)[0]


def load_frame(dataset: str | Path | DatasetCard, *, as_of: Moment | None = None) -> pd.DataFrame:
    """Read a dataset: only the rows that keep its contract, under the card's names and types.

    Use `read_dataset` where the rows set aside and the facts for the record are wanted too.

    Parameters
    ----------
    dataset : str, Path or DatasetCard
        Name of a dataset card, path of a card's file, or a card.
    as_of : str, date or Timestamp, optional
        The moment of the data; see `read_dataset`.

    Returns
    -------
    DataFrame

    Raises
    ------
    CardError
        The card is unknown or wrong.
    DataError
        The data cannot be found or read, are not the bytes of the card's checksum, or break the
        contract as a whole.

    Examples
    --------
    >>> import fintech_dl
    >>> frame = fintech_dl.load_frame("synthetic_card_transactions_small")
    >>> list(frame.columns[:5])
    ['transaction_id', 'time', 'customer_id', 'terminal_id', 'amount']
    """
    return read_dataset(dataset, as_of=as_of).frame


def read_dataset(dataset: str | Path | DatasetCard, *, as_of: Moment | None = None) -> Reading:
    """Read a dataset from where its card says: a file, a download, a generator, a database, Yahoo.

    Files are looked up in ``FINTECH_DL_DATA``, then in the cache, then beside the card.

    Parameters
    ----------
    dataset : str, Path or DatasetCard
    as_of : str, date or Timestamp, optional
        The moment of the data: rows after it are quarantined. Default: the card's ``as_of``, else
        now. The moment that was used is in the facts.

    Returns
    -------
    Reading

    Raises
    ------
    CardError, DataError
        As `load_frame`.

    Examples
    --------
    >>> from fintech_dl.data.frames import read_dataset
    >>> reading = read_dataset("synthetic_card_transactions_small")
    >>> reading.facts["rows_used"] == len(reading.frame)
    True
    """
    card = dataset if isinstance(dataset, DatasetCard) else dataset_card(dataset)
    as_of = as_of or card.contract.as_of or None
    if card.source.kind == "synthetic":
        frame = synthetic.generate(card.source.use, card.source.parameters, f"dataset {card.name}")
        return _reading(frame, card, None, "", as_of=as_of)
    if card.source.kind == "yahoo":
        prices = read_prices(**told(card.source.parameters, f"dataset {card.name}"))
        return _reading(prices.bars, card, None, prices.status["sha256"], as_of=as_of)
    if card.source.kind == "sql":
        frame = from_arrow(read_query(card))
        return _reading(frame, card, None, "", as_of=as_of, text=True)
    return _read(get_file(card), card, as_of=as_of, sha256=card.source.sha256)


def read_file(
    path: str | Path,
    card: str | Path | DatasetCard,
    *,
    as_of: Moment | None = None,
    scoring: bool = False,
) -> Reading:
    """Read another file that follows a dataset's contract: new rows to score, or their history.

    Parameters
    ----------
    path : str or Path
        A file ``.parquet``, ``.csv`` or ``.csv.gz``.
    card : str, Path or DatasetCard
    as_of : str, date or Timestamp, optional
        The moment of the data: rows after it are quarantined. Default: now; the card's ``as_of``
        is that of its own file.
    scoring : bool
        Labels may be absent or empty.

    Returns
    -------
    Reading

    Raises
    ------
    CardError, DataError
        As `load_frame`; the checksum of the card is not asked for.
    """
    card = card if isinstance(card, DatasetCard) else dataset_card(card)
    return _read(Path(path), card, as_of=as_of, scoring=scoring)


def read_rows(
    frame: pd.DataFrame,
    card: DatasetCard,
    *,
    as_of: Moment | None = None,
    text: bool = False,
    where: str = "",
) -> Reading:
    """Divide new rows to score, or their history, by a dataset's contract; labels may be absent.

    Parameters
    ----------
    frame : DataFrame
    card : DatasetCard
    as_of : str, date or Timestamp, optional
        As for `read_file`.
    text : bool
        Cells are text, to be parsed.
    where : str
        Begins error texts; default: the card's name.

    Returns
    -------
    Reading

    Raises
    ------
    DataError
        As `load_frame`.
    """
    return _reading(frame, card, None, "", as_of=as_of, scoring=True, text=text, where=where)


def write_quarantine(quarantined: pd.DataFrame, path: str | Path) -> Path | None:
    """Write the rows set aside to a CSV file, at once; return its path, None if there are none.

    Text that a spreadsheet would take for a formula is written with a leading apostrophe.

    Raises
    ------
    OutputError
        The folder cannot be written.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.data.frames import write_quarantine
    >>> write_quarantine(pd.DataFrame({"source_row": [], "reason": []}), "none.csv") is None
    True
    """
    if quarantined.empty:
        return None
    try:
        with replacing(Path(path)) as part:
            write_csv(quarantined, part)
    except OSError as error:
        raise not_written(str(path), error, "choose another folder") from error
    return Path(path)


def write_csv(frame: pd.DataFrame, path: str | Path, compression: Any = None) -> None:
    """Write a CSV file of which no spreadsheet takes a text for a formula.

    Names and cells of text that begin with =, +, -, @, a tab or a line break, and are no number,
    get an apostrophe in front.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from fintech_dl.data.frames import write_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv(pd.DataFrame({"a": ["=1+1", "-1.5", "x"]}), Path(folder) / "a.csv")
    ...     (Path(folder) / "a.csv").read_text().split()
    ['a', "'=1+1", '-1.5', 'x']
    """
    safe = frame.rename(columns=lambda name: _harmless(pd.Series([str(name)]))[0])
    for name in safe.columns:
        kind = safe[name].dtype
        if kind.kind == "O":  # text, categories, objects
            safe[name] = _harmless(safe[name].astype(object))
    texts = [safe[name] for name in safe.columns if safe[name].dtype.kind == "O"]
    texts.append(safe.columns.to_series())
    returns = any(cells.astype("str").str.contains("\r").any() for cells in texts)
    safe.to_csv(  # Python before 3.13 leaves a lone carriage return, which ends a line, unquoted
        path,
        index=False,
        lineterminator="\n",
        quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL,
        compression=compression,
    )


def _harmless(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    """Put an apostrophe before =, +, -, @, tab and line breaks, unless the cell is a number."""
    text = cells.where(cells.map(lambda cell: isinstance(cell, str)), "").astype("str")
    number = text.str.fullmatch(r"[+-]?\d+\.?\d*([eE][+-]?\d+)?")
    return cells.mask(text.str.match(r"[=+\-@\t\r\n]") & ~number, "'" + text)


def _read(
    path: Path,
    card: DatasetCard,
    *,
    as_of: Moment | None,
    scoring: bool = False,
    sha256: str = "",
) -> Reading:
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: expected a file {', '.join(SUFFIXES)}")
    try:
        with open_file(path) as stream:  # one handle: what was hashed is what is read
            digest = verify(stream, sha256, str(path))
            text = not path.name.endswith(".parquet")
            frame = _read_csv(stream, path) if text else _read_parquet(stream)
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read: {str(error).splitlines()[0] if str(error) else error!r}; "
            "the file is broken or of another kind than its name says"
        ) from error
    return _reading(frame, card, path, digest, as_of=as_of, scoring=scoring, text=text)


def _read_parquet(stream: IO[bytes]) -> pd.DataFrame:
    """Read Parquet: whole numbers stay whole beside empty cells, a named index is a column."""
    return from_arrow(pq.read_table(stream, page_checksum_verification=True))


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """Return a table as the contract takes it: whole numbers stay whole beside empty cells."""
    for i, field in enumerate(table.schema):
        cells = floats(table.column(i))
        cells = cells.cast(pa.timestamp("ms")) if pa.types.is_date(field.type) else cells
        table = table.set_column(i, field.name, cells)
    frame: pd.DataFrame = table.to_pandas(types_mapper=INTEGERS.get, ignore_metadata=True)
    for index in (table.schema.pandas_metadata or {}).get("index_columns", []):
        if isinstance(index, dict) and index["name"] is not None:  # kept as start, stop and step
            frame[index["name"]] = range(index["start"], index["stop"], index["step"])
    return frame


def _read_csv(stream: IO[bytes], path: Path) -> pd.DataFrame:
    """Read CSV (UTF-8, comma) with every cell as text; empty cells are missing."""
    if path.name.endswith(".gz"):
        stream = io.BytesIO(gzip.decompress(stream.read()))
    header = next(csv.reader([stream.readline().decode("utf-8-sig")]), [])
    stream.seek(0)
    table = pacsv.read_csv(
        stream,
        read_options=pacsv.ReadOptions(block_size=1 << 24),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _reading(
    frame: pd.DataFrame,
    card: DatasetCard,
    path: Path | None,
    digest: str,
    *,
    as_of: Moment | None,
    scoring: bool = False,
    text: bool = False,
    where: str = "",
) -> Reading:
    rule = card.columns.get(card.contract.time)
    at = None
    if rule and rule.type == "datetime":
        at = moment(as_of or pd.Timestamp.now("UTC"), rule.timezone)
    where = where or str(path or f"dataset {card.name!r}")
    if not card.contract.asset or card.contract.asset not in frame:  # else it is long already
        frame = shape(frame, card, where)
    checked = check_rows(frame, card, as_of=at, scoring=scoring, text=text, where=where)
    return Reading(
        frame=checked.clean,
        quarantined=checked.quarantined,
        gaps=checked.gaps,
        rows=checked.rows,
        facts=reading_facts(
            card,
            checked.rules,
            {name: float(checked.clean[name].isna().mean()) for name in checked.rules},
            path=path,
            digest=digest,
            as_of=at,
            rows_read=len(frame),
            rows_used=len(checked.clean),
            ignored=checked.ignored,
            reasons=checked.reasons,
            examples=checked.examples,
        ),
    )
