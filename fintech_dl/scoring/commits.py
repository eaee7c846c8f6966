"""What a shard came to: its commit, made once by whoever is first. Standard library only."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fintech_dl.errors import CardError, DataError
from fintech_dl.records import build
from fintech_dl.scoring import store

if TYPE_CHECKING:
    from fintech_dl.scoring.plan import Landed, Source

FORMAT = 1
COMMITS, PARTS, QUARANTINE, REASONS = "commits", "parts", "quarantine", "reasons"
FOLDERS = (COMMITS, PARTS, QUARANTINE, REASONS)  # of a run; the last only where they are told


@dataclass(frozen=True, kw_only=True)
class Made:
    """A file that a shard wrote, by its name in its folder.

    Attributes
    ----------
    name : str
    bytes : int
    sha256 : str
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What one shard came to.

    Attributes
    ----------
    format : int
    key : str
        The run's.
    shard : int
    part : Made
        Its scores, in ``parts``.
    quarantine, reasons : Made or None
        Rows set aside, and why rows were declined, in the folders of these names.
    rows_in, scored, quarantined : int
    quarantine_reasons : dict of str to int
        Rows by reason.
    quarantine_examples : dict of str to str
        The first row of each reason, in words.
    alerts : int or None
        None where the card decides nothing, or by the day.
    told : int or None
        Declined rows of which reasons are told; None where nobody asked.
    ids : dict or None
        ``min`` and ``max`` of the keys.
    counts : dict
        As ``counts.count``; empty where the artefact has no reference.
    """

    format: int = FORMAT
    key: str
    shard: int
    part: Made
    quarantine: Made | None
    reasons: Made | None
    rows_in: int
    scored: int
    quarantined: int
    quarantine_reasons: dict[str, int] = field(default_factory=dict)
    quarantine_examples: dict[str, str] = field(default_factory=dict)
    alerts: int | None = None
    told: int | None = None
    ids: dict[str, Any] | None = None
    counts: dict[str, Any] = field(default_factory=dict)


def commit_path(run: Path, k: int) -> Path:
    """Return where the commit of shard ``k`` lies."""
    return run / COMMITS / f"{k:05d}.json"


def part_path(run: Path, folder: str, k: int, attempt: str) -> Path:
    """Return where one attempt at shard ``k`` writes its scores, or its rows set aside.

    Parameters
    ----------
    run : Path
    folder : str
        ``"parts"``, ``"quarantine"`` or ``"reasons"``.
    k : int
    attempt : str
        As ``store.attempt``: the same for all files of one attempt.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.commits import PARTS, part_path
    >>> part_path(Path("run"), PARTS, 3, "0a1b2c3d").as_posix()
    'run/parts/part-00003-0a1b2c3d.parquet'
    """
    return run / folder / f"part-{k:05d}-{attempt}.parquet"


def made(path: Path) -> Made:
    """Return the record of a file that is on the disk.

    Raises
    ------
    OSError
        It cannot be read.
    """
    return Made(**store.facts_of(path))


def write_commit(run: Path, commit: Commit) -> Commit:
    """Commit a shard unless it is committed already; then remove this attempt's own files.

    Parameters
    ----------
    run : Path
    commit : Commit
        Its files are on the disk.

    Returns
    -------
    Commit
        The one that holds: this one, or the one that was first.

    Raises
    ------
    OSError
        The folder cannot be written.
    DataError
        The other one cannot be read.
    """
    path = commit_path(run, commit.shard)
    if store.create(path, store.sealed(asdict(commit)), "commit"):
        return commit
    first = read_commit(run, commit.shard, commit.key)
    kept = {found for found, _ in files_of(run, first)}
    for mine, _ in files_of(run, commit):
        if mine not in kept:
            with suppress(OSError):
                mine.unlink(missing_ok=True)
    return first


def read_commit(run: Path, k: int, key: str) -> Commit:
    """Return the commit of a shard.

    Raises
    ------
    DataError
        There is none, it was changed, or it is of another run or shard.
    """
    return parse_commit(_read(commit_path(run, k)), k, key, commit_path(run, k))


def read_commit_and_digest(run: Path, k: int, key: str) -> tuple[Commit, str]:
    """Return the commit of a shard, and the SHA-256 of its bytes.

    Raises
    ------
    DataError
        As `read_commit`.
    """
    path = commit_path(run, k)
    data = _read(path)
    return parse_commit(data, k, key, path), sha256(data).hexdigest()


def parse_commit(data: bytes, k: int, key: str, path: Path) -> Commit:
    """Return the commit of these bytes; the path is for error texts.

    Raises
    ------
    DataError
        They were changed since they were written, or are of another run or shard.
    """
    try:
        commit = build(Commit, store.unsealed(data), str(path))
        if (commit.format, commit.key, commit.shard) != (FORMAT, key, k):
            raise ValueError(f"it is of shard {commit.shard} of run {commit.key[:12]}")
        for file in (commit.part, commit.quarantine, commit.reasons):
            if file is not None and (Path(file.name).name != file.name or not file.name):
                raise ValueError(f"it names the file {file.name!r}")
        return commit
    except (ValueError, CardError) as error:
        raise DataError(f"{path}: changed since it was written ({error}); {REPAIR}") from error


REPAIR = "run fintech-dl resume: it makes what is broken anew, if the run is not finished"


def files_of(run: Path, commit: Commit) -> list[tuple[Path, Made]]:
    """Return the files of a commit, with what it says of them."""
    named = ((PARTS, commit.part), (QUARANTINE, commit.quarantine), (REASONS, commit.reasons))
    return [(run / folder / file.name, file) for folder, file in named if file is not None]


def committed(run: Path) -> set[int]:
    """Return the numbers of the shards that have a commit, told by file names alone."""
    return {
        int(path.stem)
        for path in (run / COMMITS).glob("*.json")
        if path.stem.isdigit() and not path.name.startswith(".")
    }


def fault_of(path: Path, file: Made | Source | Landed) -> str:
    """Return what is wrong with a file, empty if it is as its commit, or the plan, says."""
    try:
        if (size := path.stat().st_size) != file.bytes:
            return f"{path}: has {size:,} bytes, {file.bytes:,} expected"
        if store.digest_of(path) != file.sha256:
            return f"{path}: changed since it was written (SHA-256 differs)"
    except FileNotFoundError:
        return f"{path}: is missing"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    return ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {REPAIR}") from error
