"""What is to be scored, fixed before the first row: a run's plan. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from fintech_dl.errors import CardError, DataError
from fintech_dl.records import build
from fintech_dl.scoring.store import sealed, to_json, unsealed

FORMAT = 1
PLAN = "plan.json"
TARGET_ROWS = 262_144  # of a shard

Stage = Literal["rows", "features"]
Duplicates = Literal["report", "quarantine", "fail"]


@dataclass(frozen=True, kw_only=True)
class Original:
    """What the user named: a file, or the query of a dataset card.

    Attributes
    ----------
    name : str
        Absolute path, or the card's name.
    bytes : int
        Its size; of a query 0.
    sha256 : str
        Of the file's bytes, or of the query's text.
    mtime_ns : int
        When it was changed last, as the file system says; of a query 0.
    query : str
        The environment variable of the database; empty for files.
    """

    name: str
    bytes: int
    sha256: str
    mtime_ns: int
    query: str = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Parquet file that shards read.

    Attributes
    ----------
    path : str
        Absolute, or relative to the run folder, as ``landed/00000.parquet``.
    bytes : int
    sha256 : str
    mtime_ns : int
    row_groups : list of int
        The rows of each.
    name : str
        What ``source_file`` says: the path as it was given.
    text : bool
        Whether every cell is text, as CSV is landed; the contract parses it.
    first_row : int
        Which data row of the original the first row here is, counted from 1.
    """

    path: str
    bytes: int
    sha256: str
    mtime_ns: int
    row_groups: list[int]
    name: str
    text: bool = False
    first_row: int = 1


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Row groups of one source that follow each other.

    Attributes
    ----------
    source : int
        Its position among the plan's sources.
    row_groups : list of int
    first_row : int
        Which data row of the *original* the first row is, from 1; ``Source.first_row`` is counted
        in already.
    rows : int
    """

    source: int
    row_groups: list[int]
    first_row: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A Parquet file that was made before the plan, beside the sources.

    Attributes
    ----------
    path : str
        Relative to the run folder.
    bytes : int
    sha256 : str
    rows : int
    reasons : dict of str to int
        Rows by reason; empty for repeated keys.
    examples : dict of str to str
        The first row of each reason, in words.
    """

    path: str
    bytes: int
    sha256: str
    rows: int
    reasons: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's plan: which rows, in which shards, by which artefact and settings.

    Attributes
    ----------
    format : int
    key : str
        SHA-256 of what makes the run: artefact, inputs, settings.
    artefact : str
        Its seal.
    artefact_path : str
        Absolute.
    pipeline, dataset : str
        Names of its cards.
    originals : list of Original
    history : Original or None
    sources : list of Source
    shards : list of list of Piece
    stage : {"rows", "features"}
        What sources hold: rows as they came, or features made of all of them.
    as_of : str
        The moment used, ISO 8601; empty where rows have no time.
    as_of_given : str or None
    duplicates : {"report", "quarantine", "fail"}
    repeated : Landed or None
        Rows whose key came before: source, row.
    reasons : bool
    sink : dict
        Where the scores go besides; empty: nowhere.
    versions : dict of str to str
        Of the packages that made the plan.
    landed_quarantine : Landed or None
        Rows that the feature stage has set aside.
    schema_sha256 : str
        Of the names and types of the sources' columns.
    ignored_columns : list of str
        Columns of the input of which the contract says nothing.
    facts : dict
        What the feature stage tells: ``history``, ``intervals``.
    """

    format: int = FORMAT
    key: str
    artefact: str
    artefact_path: str
    pipeline: str
    dataset: str
    originals: list[Original]
    history: Original | None
    sources: list[Source]
    shards: list[list[Piece]]
    stage: Stage
    as_of: str
    as_of_given: str | None
    duplicates: Duplicates
    repeated: Landed | None
    reasons: bool
    sink: dict[str, Any]
    versions: dict[str, str]
    landed_quarantine: Landed | None
    schema_sha256: str
    ignored_columns: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def rows_of(self, k: int) -> int:
        """Return how many rows shard ``k`` reads."""
        return sum(piece.rows for piece in self.shards[k])

    def rows(self) -> int:
        """Return how many rows the input has, those set aside before the shards included."""
        aside = self.landed_quarantine.rows if self.landed_quarantine else 0
        return aside + sum(map(self.rows_of, range(len(self.shards))))

    def files(self) -> list[str]:
        """Return what ``source_file`` may say, each name once, in the order of the input."""
        named = self.originals if self.stage == "features" else self.sources
        return list(dict.fromkeys(one.name for one in named))

    def parquet(self) -> list[Source | Landed]:
        """Return the Parquet files that were there before the shards, with what is known of them.

        Sources, repeated keys and rows set aside; absolute paths are the user's own files.
        """
        listed = [*self.sources, self.repeated, self.landed_quarantine]
        return [one for one in listed if one is not None]


def run_key(
    artefact: str,
    originals: list[Original],
    history: Original | None,
    as_of: str | None,
    duplicates: str,
    reasons: bool,
    sink: dict[str, Any],
    again: int = 0,
) -> str:
    """Return the key of a run: the same for the same model, inputs and settings.

    Parameters
    ----------
    artefact : str
        Its seal.
    originals : list of Original
    history : Original or None
    as_of : str or None
        As the user gave it.
    duplicates : str
    reasons : bool
    sink : dict
    again : int
        How often the same query was scored before: its rows may have changed since.

    Returns
    -------
    str
        64 hex digits.

    Examples
    --------
    >>> from fintech_dl.scoring.plan import Original, run_key
    >>> rows = Original(name="/data/new.parquet", bytes=4, sha256="ab", mtime_ns=0)
    >>> run_key("5ea1", [rows], None, None, "report", False, {})[:12]
    'dbb661d60157'
    """
    made_of: dict[str, Any] = {
        "artefact": artefact,
        "originals": [_named(one) for one in originals],
        "history": None if history is None else history.sha256,
        "as_of": as_of,
        "duplicates": duplicates,
        "reasons": reasons,
        "sink": sink,
    }
    if again:
        made_of["again"] = again
    return sha256(to_json(made_of)).hexdigest()


def _named(one: Original) -> list[Any]:
    return [one.sha256, one.query] if one.query else [one.name, one.bytes, one.sha256]


def cut_shards(sources: list[Source], target: int = TARGET_ROWS) -> list[list[Piece]]:
    """Return the shards of sources: whole row groups, in order, up to ``target`` rows each.

    A larger row group is a shard of its own; small files share one. The number of workers plays
    no part.

    Examples
    --------
    >>> from fintech_dl.scoring.plan import Source, cut_shards
    >>> file = Source(path="a", bytes=1, sha256="", mtime_ns=0, row_groups=[2, 2, 5], name="a")
    >>> [[piece.row_groups for piece in shard] for shard in cut_shards([file], 4)]
    [[[0, 1]], [[2]]]
    """
    shards: list[list[Piece]] = []
    shard: list[Piece] = []
    held = 0
    for position, source in enumerate(sources):
        first = source.first_row
        for group, rows in enumerate(source.row_groups):
            if not rows:
                continue
            if held and held + rows > target:
                shards.append(shard)
                shard, held = [], 0
            if shard and (last := shard[-1]).source == position and _follows(last, group):
                shard[-1] = Piece(
                    source=position,
                    row_groups=[*last.row_groups, group],
                    first_row=last.first_row,
                    rows=last.rows + rows,
                )
            else:
                shard.append(Piece(source=position, row_groups=[group], first_row=first, rows=rows))
            first += rows
            held += rows
    return [*shards, shard] if shard else shards


def _follows(piece: Piece, group: int) -> bool:
    return piece.row_groups[-1] + 1 == group


def to_bytes(plan: Plan) -> bytes:
    """Return a plan as it is written: JSON under its own seal.

    Raises
    ------
    ValueError
        It holds a number that is not finite.
    """
    return sealed(asdict(plan))


def read_plan(run: Path) -> Plan:
    """Return the plan of a run folder.

    Raises
    ------
    DataError
        There is none, or it was changed since it was made.
    """
    return parse_plan(read_own(run / PLAN), run / PLAN)


def parse_plan(data: bytes, path: Path) -> Plan:
    """Return the plan of these bytes; the path is for error texts.

    Raises
    ------
    DataError
        They were changed since they were written.
    """
    try:
        body = unsealed(data)
        if body.get("format") != FORMAT:
            raise DataError(
                f"{path}: is of format {body.get('format')!r}, this version of fintech_dl reads "
                f"{FORMAT}; finish it with the version that began it"
            )
        return build(Plan, body, str(path))
    except (ValueError, CardError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: changed since it was made ({error}); the run cannot be continued. Remove "
            f"{path.parent} and score again"
        ) from error


def read_own(path: Path) -> bytes:
    """Return the bytes of a file of a run.

    Raises
    ------
    DataError
        It is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); name a folder that fintech-dl score or "
            "fintech-dl plan wrote"
        ) from error
