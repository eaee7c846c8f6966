"""Dataset cards: where data come from, which columns they have and what all rows must keep."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fintech_dl.cards.splits import Split, check_day, check_split
from fintech_dl.errors import CardError
from fintech_dl.records import build, nearest

ColumnType = Literal["number", "integer", "boolean", "category", "text", "datetime"]
Value = int | float | str | bool
NEEDS = {
    "file": ["path"],
    "url": ["url", "sha256"],
    "synthetic": ["use"],
    "yahoo": ["parameters"],
    "sql": ["url_variable", "query"],
}


@dataclass(frozen=True, kw_only=True)
class Melt:
    """How a wide file, with a column per asset, becomes long: a row per date and asset.

    Every column of the file but that of the contract's ``time`` is an asset; its name goes into the
    contract's ``asset``, its cells into the column ``value``: as they are, or raised to ``power``,
    multiplied by ``scale`` and then no smaller than ``floor``. ``first_day``: the file has no dates
    and its order is time; its rows get the business days from this one on. A file that is long
    already, with both columns, is taken as it is.
    """

    value: str
    first_day: str = ""
    power: float = 1.0
    scale: float = 1.0
    floor: float | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the rows of a dataset come from.

    ``file``: ``path`` is looked up in ``FINTECH_DL_DATA``, then in the cache, then beside the card.
    ``url``: the very bytes with this ``sha256`` can be downloaded; a file of the same name found
    first is used. ``synthetic``: ``use`` names a seeded generator of ``fintech_dl.data.synthetic``.
    ``yahoo``: ``parameters`` are those of ``fintech_dl.load_prices``; name a vintage to read the
    same rows again. ``sql``: ``query`` is sent to the database whose SQLAlchemy address stands in
    the environment variable ``url_variable``; the address is neither kept nor shown.
    ``constants`` are columns of one value that the source lacks.
    """

    kind: Literal["file", "url", "synthetic", "yahoo", "sql"]
    path: str = ""
    url: str = ""
    sha256: str = ""
    use: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    url_variable: str = ""
    query: str = ""
    melt: Melt | None = None
    constants: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What all rows together must keep.

    ``key`` is unique; ``time`` orders the rows (``sorted``: out of order is an error, else rows are
    sorted on reading); rows after ``as_of``, the moment of the data, are quarantined; ``labels``
    are known only later and may be absent from a file to score; a larger share than
    ``max_quarantined`` fails the run. Rows of a key that came before are set aside
    (``duplicates = "quarantine"``), kept, and counted where they are scored (``"report"``), or a
    file with such rows is refused (``"fail"``).

    ``asset`` names what a row is about where there is one row per day and asset: the pair of
    ``time`` and ``asset`` is unique and in order, ``time`` is a day without hours; a row of a day
    that is not over at the moment of the data is quarantined, and so is a bar (a row with a column
    ``close``) whose prices contradict each other.
    """

    key: str = ""
    time: str = ""
    asset: str = ""
    sorted: bool = True
    as_of: str = ""
    labels: list[str] = field(default_factory=list)
    max_quarantined: float = 0.05
    duplicates: Literal["report", "quarantine", "fail"] = "quarantine"


@dataclass(frozen=True, kw_only=True)
class Column:
    """The rule of one column; ``*`` in the name makes it the rule of every column that matches.

    ``source`` is the name in the file, where it is another one. A ``category`` is read as text, or
    as whole numbers where ``allowed`` lists whole numbers. ``min`` and ``max`` are allowed
    themselves. ``nullable``: cells may be empty; ``empty``: numbers that mean an empty cell. Times
    with a time zone are converted to ``timezone``; times without one are in it already.
    """

    type: ColumnType
    source: str = ""
    unit: str = ""
    description: str = ""
    min: float | None = None
    max: float | None = None
    allowed: list[Value] = field(default_factory=list)
    nullable: bool = False
    empty: list[float] = field(default_factory=list)
    timezone: str = "UTC"


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """A dataset: origin, licence, columns and contract. ``split`` holds its published split.

    ``like`` names another dataset card, whose columns and contract hold where this one has none.
    """

    title: str
    licence: str
    source: Source
    columns: dict[str, Column]
    origin: str = ""
    description: str = ""
    limits: list[str] = field(default_factory=list)
    contract: Contract = field(default_factory=Contract)
    split: dict[str, Any] = field(default_factory=dict)
    like: str = ""
    name: str = ""
    folder: Path = Path()


def check_dataset(card: DatasetCard, where: str) -> None:
    """Refuse a dataset card whose keys contradict each other."""
    source, contract = card.source, card.contract
    for key in NEEDS[source.kind]:
        if not getattr(source, key):
            raise CardError(f"{where}: source: kind {source.kind!r} needs the key {key!r}")
    if source.url and not source.url.startswith(("https://", "http://")):
        raise CardError(f"{where}: source.url: got {source.url!r}, expected https://...")
    stored = source.path or source.url.rsplit("/", 1)[-1]
    if source.kind == "url" and (Path(stored).name != stored or stored in ("", ".", "..")):
        raise CardError(
            f"{where}: source: a download would be stored as {stored!r}; "
            "path must be a plain file name"
        )
    if source.sha256 and not re.fullmatch("[0-9a-f]{64}", source.sha256):
        raise CardError(f"{where}: source.sha256: got {source.sha256!r}, expected 64 hex digits")
    if not card.columns:
        raise CardError(f"{where}: columns: declare at least one column")
    for name, column in card.columns.items():
        _check_column(name, column, f"{where}: columns.{name}")
    for name in [contract.key, contract.time, contract.asset, *contract.labels]:
        if name and name not in card.columns:
            hint = nearest(name, list(card.columns))
            raise CardError(f"{where}: contract: no column {name!r} is declared; {hint}")
    told = (contract.key, contract.time, contract.asset)
    if any(name and card.columns[name].nullable for name in told):
        raise CardError(
            f"{where}: contract: the key and the time cannot be nullable, nor can the asset"
        )
    _check_days(card, where)
    if contract.time and card.columns[contract.time].type not in ("datetime", "number", "integer"):
        raise CardError(f"{where}: contract.time: {contract.time!r} is neither time nor number")
    if not 0 <= contract.max_quarantined <= 1:
        raise CardError(f"{where}: contract.max_quarantined is a share from 0 to 1")
    check_day(contract.as_of, f"{where}: contract.as_of")
    check_split(build(Split, {"kind": "holdout", **card.split}, f"{where}: split"), where)


def _check_days(card: DatasetCard, where: str) -> None:
    """Refuse assets without days, and a melt into columns that the card does not declare."""
    contract, melt = card.contract, card.source.melt
    if contract.asset:
        if not contract.time or card.columns[contract.time].type != "datetime":
            raise CardError(
                f"{where}: contract.asset: needs contract.time, a column of type datetime that "
                "holds days"
            )
        if card.columns[contract.asset].type not in ("text", "category"):
            raise CardError(f"{where}: contract.asset: {contract.asset!r} is no text or category")
    if melt is None:
        return
    if not contract.asset:
        raise CardError(f"{where}: source.melt: name the column of assets as contract.asset")
    if melt.value not in card.columns:
        hint = nearest(melt.value, list(card.columns))
        raise CardError(f"{where}: source.melt: no column {melt.value!r} is declared; {hint}")
    check_day(melt.first_day, f"{where}: source.melt.first_day")


def _check_column(name: str, column: Column, where: str) -> None:
    numeric = column.type in ("number", "integer")
    low, high = column.min, column.max
    if (low is not None or high is not None) and not numeric:
        raise CardError(f"{where}: min and max are for numbers and integers, not {column.type}")
    if low is not None and high is not None and low > high:
        raise CardError(f"{where}: min {low:g} is above max {high:g}")
    if column.empty and not (numeric and column.nullable):
        raise CardError(f"{where}: empty is for numbers and integers that are nullable")
    if column.allowed and column.type in ("boolean", "datetime"):
        raise CardError(f"{where}: a {column.type} takes no list of allowed values")
    kinds = {"number": (int, float), "integer": (int,), "text": (str,)}.get(column.type, (int, str))
    if any(isinstance(v, bool) or not isinstance(v, kinds) for v in column.allowed):
        raise CardError(f"{where}: allowed: {column.allowed} are no values of type {column.type}")
    if len({type(v) for v in column.allowed}) > 1 and column.type == "category":
        raise CardError(f"{where}: allowed: {column.allowed} mixes numbers and text")
    if "*" in name and column.source:
        raise CardError(f"{where}: a rule with * keeps the names of the file; remove 'source'")
    if column.timezone != "UTC":
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(column.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise CardError(
                f'{where}: unknown timezone {column.timezone!r}; write it like "Europe/Brussels"'
            ) from error
