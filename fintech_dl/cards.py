"""Cards: pages of TOML that say where data come from and which question a pipeline answers.

Standard library only, so that listing cards needs no heavy import.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from fintech_dl.errors import CardError
from fintech_dl.folders import card_folders
from fintech_dl.records import build, read_toml
from fintech_dl.records import nearest as nearest

ColumnType = Literal["number", "integer", "boolean", "category", "text", "datetime"]
Value = int | float | str | bool
UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the rows of a dataset come from.

    ``file``: ``path`` is looked up in ``FINTECH_DL_DATA``, then in the cache, then beside the card.
    ``url``: the very bytes with this ``sha256`` can be downloaded; a file of the same name found
    first is used. ``synthetic``: ``use`` names a seeded generator of ``fintech_dl.data.synthetic``.
    """

    kind: Literal["file", "url", "synthetic"]
    path: str = ""
    url: str = ""
    sha256: str = ""
    use: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What all rows together must keep.

    ``key`` is unique; ``time`` orders the rows (``sorted``: out of order is an error, else rows are
    sorted on reading); rows after ``as_of``, the moment of the data, are quarantined; ``labels``
    are known only later and may be absent from a file to score; a larger share than
    ``max_quarantined`` fails the run.
    """

    key: str = ""
    time: str = ""
    sorted: bool = True
    as_of: str = ""
    labels: list[str] = field(default_factory=list)
    max_quarantined: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Column:
    """The rule of one column; ``*`` in the name makes it the rule of every column that matches.

    ``source`` is the name in the file, where it is another one. A ``category`` is read as text, or
    as whole numbers where ``allowed`` lists whole numbers. ``min`` and ``max`` are allowed
    themselves. ``nullable``: cells may be empty. Times with a time zone are converted to
    ``timezone``; times without one are in it already.
    """

    type: ColumnType
    source: str = ""
    unit: str = ""
    description: str = ""
    min: float | None = None
    max: float | None = None
    allowed: list[Value] = field(default_factory=list)
    nullable: bool = False
    timezone: str = "UTC"


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """A dataset: origin, licence, columns and contract. ``split`` holds its published split."""

    title: str
    licence: str
    source: Source
    columns: dict[str, Column]
    origin: str = ""
    description: str = ""
    limits: list[str] = field(default_factory=list)
    contract: Contract = field(default_factory=Contract)
    split: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    folder: Path = Path()


@dataclass(frozen=True, kw_only=True)
class Split:
    """How rows are divided into training and test; lengths of time like ``"7d"`` or ``"12h"``.

    ``gap`` is the time between the end of training and the start of the test, in which labels are
    not yet known. ``start`` is the first training day of the latest fold (default: the latest
    possible). ``remove_known`` drops from the test whoever is known as a fraud case already.
    """

    kind: Literal["holdout", "prequential", "purged_kfold"]
    train: str = ""
    gap: str = "0d"
    test: str = ""
    folds: int = 1
    start: str = ""
    embargo: str = "0d"
    test_fraction: float = 0.25
    validation_fraction: float = 0.0
    remove_known: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How a score becomes a decision; money in the unit of the amounts.

    ``cost``: alert where the expected loss exceeds the cost of a ``false_alarm``; a miss costs the
    row's ``amount`` column (of ``aside``), or ``miss``. ``capacity``: the ``per_day`` highest
    scores of a day. ``threshold``: scores at or above ``threshold``.
    """

    rule: Literal["cost", "capacity", "threshold"]
    false_alarm: float = 1.0
    miss: float | None = None
    amount: str = ""
    per_day: int = 100
    threshold: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How scores become probabilities, fitted on the latest training rows."""

    method: Literal["temperature", "sigmoid", "isotonic"]
    fraction: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which parameters to try, on training rows only."""

    method: Literal["random", "grid"] = "random"
    n_iter: int = 20
    space: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Test:
    """How the test suite runs the card: small data, few epochs."""

    dataset: str
    epochs: int | None = None
    split: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineCard:
    """A pipeline: the question, and everything that is done to answer it.

    ``words`` says what the report calls a ``row``, ``rows``, a ``positive`` and ``positives``.
    """

    title: str
    question: str
    dataset: str
    table: dict[str, Any]
    split: Split
    step: list[dict[str, Any]]
    metrics: list[str] = field(default_factory=list)
    baseline: list[dict[str, Any]] = field(default_factory=list)
    calibration: Calibration | None = None
    decision: Decision | None = None
    search: Search | None = None
    history: str = ""
    limits: list[str] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    test: Test | None = None
    name: str = ""
    folder: Path = Path()


def names(kind: str) -> list[str]:
    """Return the names of all cards of a kind (``"datasets"`` or ``"pipelines"``), sorted."""
    paths = [path for folder in card_folders(kind) for path in folder.glob("*.toml")]
    return sorted({path.stem for path in paths if _is_kind(path, kind)})


def dataset_card(name: str | Path) -> DatasetCard:
    """Read a dataset card by its name or by the path of its file.

    Raises
    ------
    CardError
        Unknown name, broken TOML, or a key that is missing, misspelt or of the wrong type.

    Examples
    --------
    >>> from fintech_dl.cards import dataset_card
    >>> dataset_card("synthetic_card_transactions").source.kind
    'synthetic'
    """
    path = _find("datasets", name)
    card = build(DatasetCard, read_toml(path), str(path))
    _check_dataset(card, str(path))
    return replace(card, name=path.stem, folder=path.parent)


def pipeline_card(
    name: str | Path, overrides: dict[str, Any] | None = None, dataset: str | None = None
) -> PipelineCard:
    """Read a pipeline card by its name or by the path of its file.

    Parameters
    ----------
    name : str or Path
    overrides : dict, optional
        Dotted key of the card to value, for example ``{"split.folds": 2}``.
    dataset : str, optional
        Dataset to use instead of the card's own.

    Raises
    ------
    CardError
        As ``dataset_card``.
    """
    path = _find("pipelines", name)
    raw = read_toml(path)
    changes = {**(overrides or {}), **({"dataset": dataset} if dataset else {})}
    if "dataset" in changes:
        raw["dataset"] = changes.pop("dataset")
    if isinstance(raw.get("dataset"), str) and isinstance(raw.get("split"), dict):
        raw["split"] = {**raw["split"], **dataset_card(raw["dataset"]).split}
    for key, value in changes.items():
        *parents, last = key.split(".")
        at: Any = raw
        for parent in parents:
            at = at.setdefault(parent, {}) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            raise CardError(f"{path}: {key!r} is no key of a table of this card")
        at[last] = value
    card = build(PipelineCard, raw, str(path))
    _check_pipeline(card, str(path))
    return replace(card, name=path.stem, folder=path.parent)


def duration(text: str) -> timedelta:
    """Read a length of time: a whole number and a unit, ``min``, ``h``, ``d`` or ``w``.

    Raises
    ------
    CardError
        Anything else, negative lengths included.

    Examples
    --------
    >>> from fintech_dl.cards import duration
    >>> duration("7d") == duration("1w") == duration("168h")
    True
    """
    found = re.fullmatch(r"(\d{1,6}) ?(min|h|d|w)", text, re.ASCII)
    if not found:
        raise CardError(
            f"{text!r} is no length of time; write a whole number and a unit, for example "
            '"30min", "12h", "7d" or "4w"'
        )
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _is_kind(path: Path, kind: str) -> bool:
    """Tell a pipeline card by its question; a card that cannot be read may be either."""
    try:
        return ("question" in read_toml(path)) == (kind == "pipelines")
    except CardError:
        return True


def _find(kind: str, name: str | Path) -> Path:
    if Path(name).suffix == ".toml":
        if not Path(name).is_file():
            raise CardError(f"{name}: there is no such card file")
        return Path(name)
    for folder in card_folders(kind):
        if (path := folder / f"{name}.toml").is_file() and _is_kind(path, kind):
            return path
    looked = ", ".join(map(str, card_folders(kind)))
    raise CardError(
        f"unknown {kind[:-1]} {str(name)!r}; {nearest(str(name), names(kind))} "
        f"(looked in {looked}; FINTECH_DL_CARDS names a folder of your own cards)"
    )


def _check_dataset(card: DatasetCard, where: str) -> None:
    source, contract = card.source, card.contract
    needs = {"file": ["path"], "url": ["url", "sha256"], "synthetic": ["use"]}[source.kind]
    for key in needs:
        if not getattr(source, key):
            raise CardError(f"{where}: source: kind {source.kind!r} needs the key {key!r}")
    if source.url and not source.url.startswith(("https://", "http://")):
        raise CardError(f"{where}: source.url: got {source.url!r}, expected https://...")
    if source.sha256 and not re.fullmatch("[0-9a-f]{64}", source.sha256):
        raise CardError(f"{where}: source.sha256: got {source.sha256!r}, expected 64 hex digits")
    if not card.columns:
        raise CardError(f"{where}: columns: declare at least one column")
    for name, column in card.columns.items():
        _check_column(name, column, f"{where}: columns.{name}")
    for name in [contract.key, contract.time, *contract.labels]:
        if name and name not in card.columns:
            hint = nearest(name, list(card.columns))
            raise CardError(f"{where}: contract: no column {name!r} is declared; {hint}")
    if any(name and card.columns[name].nullable for name in (contract.key, contract.time)):
        raise CardError(f"{where}: contract: the key and the time cannot be nullable")
    if contract.time and card.columns[contract.time].type not in ("datetime", "number", "integer"):
        raise CardError(f"{where}: contract.time: {contract.time!r} is neither time nor number")
    if not 0 <= contract.max_quarantined <= 1:
        raise CardError(f"{where}: contract.max_quarantined is a share from 0 to 1")
    _check_day(contract.as_of, f"{where}: contract.as_of")
    _check_split(build(Split, {"kind": "holdout", **card.split}, f"{where}: split"), where)


def _check_column(name: str, column: Column, where: str) -> None:
    numeric = column.type in ("number", "integer")
    low, high = column.min, column.max
    if (low is not None or high is not None) and not numeric:
        raise CardError(f"{where}: min and max are for numbers and integers, not {column.type}")
    if low is not None and high is not None and low > high:
        raise CardError(f"{where}: min {low:g} is above max {high:g}")
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


def _check_pipeline(card: PipelineCard, where: str) -> None:
    _check_split(card.split, where)
    if card.test:
        split = {"kind": card.split.kind, **card.test.split}
        _check_split(build(Split, split, f"{where}: test.split"), f"{where}: test")
    if card.history:
        _check_length(card.history, f"{where}: history")
    for part, tables in (("table", [card.table]), ("step", card.step), ("baseline", card.baseline)):
        for table in tables:
            if not isinstance(table.get("use"), str):
                raise CardError(f"{where}: {part}: the key 'use' is missing: what to use here")
    steps = [step.get("name") for step in card.step]
    if not steps or steps[-1] != "model" or len(set(steps)) < len(steps):
        raise CardError(f'{where}: each [[step]] needs its own name, the last one "model": {steps}')


def _check_split(split: Split, where: str) -> None:
    for key in ("train", "gap", "test", "embargo"):
        if getattr(split, key):
            _check_length(getattr(split, key), f"{where}: split.{key}")
    _check_day(split.start, f"{where}: split.start")
    for key in ("test_fraction", "validation_fraction"):
        if not 0 <= getattr(split, key) < 1:
            raise CardError(f"{where}: split.{key}: got {getattr(split, key)}, expected 0 to 1")
    if split.folds < 1:
        raise CardError(f"{where}: split.folds: got {split.folds}, expected 1 or more")


def _check_length(text: str, where: str) -> None:
    try:
        duration(text)
    except CardError as error:
        raise CardError(f"{where}: {error}") from error


def _check_day(text: str, where: str) -> None:
    try:
        datetime.fromisoformat(text or "2000-01-01")
    except ValueError as error:
        raise CardError(f'{where}: {text!r} is no date; write it like "2018-07-25"') from error
