"""What the user wants scored: files, folders of files, patterns, queries. Standard library only."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

from fintech_dl.cards import DatasetCard, dataset_card, names
from fintech_dl.errors import CardError, DataError, PlanError, TemporaryError, UsageError
from fintech_dl.records import nearest
from fintech_dl.scoring.plan import Original

SUFFIXES = (".parquet", ".csv", ".csv.gz")
BLOCK = 1 << 20  # bytes hashed at once
THREADS = 4


def find_inputs(
    inputs: Sequence[str | Path], found: Callable[[int], None] | None = None
) -> list[Original]:
    r"""Return the files and queries that are meant, with their digests.

    Parameters
    ----------
    inputs : sequence of str or Path
        Files ``.parquet``, ``.csv`` or ``.csv.gz``; folders, of which all such files are taken, at
        any depth and in order of their paths, but for names that begin with ``.`` or ``_``;
        patterns such as ``"day-*.parquet"``; dataset cards whose source is ``sql``, by name or by
        the path of their file.
    found : callable, optional
        Called with the bytes of all files before the first is hashed.

    Returns
    -------
    list of Original
        In the order in which they were named.

    Raises
    ------
    UsageError
        Nothing is named, a name is no file, folder or card, a card is no query, or a file or card
        comes twice.
    DataError
        A folder or pattern holds no data file; a file is missing, or cannot be read.
    TemporaryError
        A file was being written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.inputs import find_inputs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for day in ("2", "1"):
    ...         _ = (Path(folder) / f"day{day}.csv").write_text("amount\n5\n")
    ...     found = find_inputs([folder])
    >>> [(Path(one.name).name, one.bytes) for one in found]
    [('day1.csv', 9), ('day2.csv', 9)]
    """
    if isinstance(inputs, str | Path):
        inputs = [inputs]
    if not inputs:
        raise UsageError("name what to score: files, folders, patterns or dataset cards")
    named: list[Path | Original] = []
    for given in inputs:
        if (query := _query(str(given))) is not None:
            named.append(query)
        else:
            named += _files(str(given))
    _refuse_twice(named)
    paths = [one for one in named if isinstance(one, Path)]
    if found is not None:
        found(sum(map(_check_file, paths)))
    if len(paths) > 1:
        with ThreadPoolExecutor(THREADS) as pool:
            told = iter(list(pool.map(original_of, paths)))
    else:
        told = iter([original_of(path) for path in paths])
    return [next(told) if isinstance(one, Path) else one for one in named]


def original_of(path: Path) -> Original:
    """Return a file's size, SHA-256 and time of change.

    Raises
    ------
    DataError
        It is missing, no regular file, or cannot be read.
    TemporaryError
        It changed while it was read.
    """
    _check_file(path)
    try:
        with path.open("rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            digest = hashlib.sha256()
            block = memoryview(bytearray(min(BLOCK, before.st_size + 1)))
            while n := stream.readinto(block):
                digest.update(block[:n])
            after = os.fstat(stream.fileno())
    except OSError as error:
        raise _unreadable(path, error) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise TemporaryError(
            f"{path}: is being written; score it when it is whole, best by renaming it into place"
        )
    return Original(
        name=str(path),
        bytes=before.st_size,
        sha256=digest.hexdigest(),
        mtime_ns=before.st_mtime_ns,
    )


def find_history(path: str | Path) -> Original:
    """Return the file of earlier rows, with its digest.

    Raises
    ------
    DataError, TemporaryError
        As `find_inputs`.
    """
    file = _absolute(str(path))
    if not file.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path}: expected a file {', '.join(SUFFIXES)}")
    return original_of(file)


def query_of(original: Original) -> DatasetCard:
    """Return the dataset card of an input that is a query.

    Raises
    ------
    PlanError
        Its query was changed since.
    """
    card = dataset_card(original.name)
    if _of_query(card, original.name) != original:
        raise PlanError(f"{original.name}: its query was changed just now; run the same again")
    return card


def _query(given: str) -> Original | None:
    """Return the query that a card's name or path means, None where it means files."""
    path = Path(given)
    if path.suffix == ".toml":
        given = os.path.abspath(given)
    elif os.path.lexists(given) or path.name != given or given not in names("datasets"):
        return None
    return _of_query(dataset_card(given), given)


def _of_query(card: DatasetCard, name: str) -> Original:
    if card.source.kind != "sql":
        raise UsageError(
            f"{name}: is a dataset card of kind {card.source.kind!r}; to score, name the file "
            'itself, or a card whose source has kind = "sql"'
        )
    digest = hashlib.sha256(card.source.query.encode()).hexdigest()
    return Original(name=name, bytes=0, sha256=digest, mtime_ns=0, query=card.source.url_variable)


def _absolute(given: str) -> Path:
    try:
        given.encode()
    except UnicodeEncodeError:
        raise DataError(f"{given!r}: its name is not UTF-8; rename it") from None
    return Path(os.path.abspath(given))


def _files(given: str) -> list[Path]:
    path = _absolute(given)
    if os.path.lexists(path):
        if path.is_dir():
            return _below(path)
        if not path.name.lower().endswith(SUFFIXES) and path.is_file():
            raise DataError(f"{path}: expected a file {', '.join(SUFFIXES)}, or a folder of such")
        return [path]
    if not glob.has_magic(given):
        raise _nothing(given)
    whole = list(takewhile(lambda part: not glob.has_magic(part), Path(given).parts))
    matches = [
        _absolute(name)
        for name in sorted(glob.glob(given, recursive=True))
        if not any(part.startswith((".", "_")) for part in Path(name).parts[len(whole) :])
    ]
    files = [
        file
        for match in matches
        for file in (_below(match, few=True) if match.is_dir() else [match])
        if file.name.lower().endswith(SUFFIXES)
    ]
    if not files:
        raise DataError(f"{given}: no file {', '.join(SUFFIXES)} matches; is the pattern right?")
    return list(dict.fromkeys(files))  # "**" matches a folder and the files in it


def _nothing(given: str) -> Exception:
    if Path(given).name.lower().endswith(SUFFIXES) or os.sep in given:
        return DataError(f"{given}: there is no such file or folder")
    near = nearest(given, names("datasets"))
    return CardError(f"{given}: there is no such file, folder or dataset card; {near}")


def _below(folder: Path, few: bool = False) -> list[Path]:
    """Return the data files in a folder and below; ``few``: there may be none."""
    found = sorted(_walk(folder, set()))
    if not found and not few:
        raise DataError(f"{folder}: the folder holds no file {', '.join(SUFFIXES)}")
    return found


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        is_at = os.stat(folder)
        if (is_at.st_dev, is_at.st_ino) in seen:  # a link leads back to it
            return
        seen.add((is_at.st_dev, is_at.st_ino))
        with os.scandir(folder) as entries:
            inside = [entry for entry in entries if not entry.name.startswith((".", "_"))]
        for entry in inside:
            if entry.is_dir():
                yield from _walk(Path(entry.path), seen)
            elif entry.name.lower().endswith(SUFFIXES):
                yield _absolute(entry.path)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _check_file(path: Path) -> int:
    """Return its bytes; refuse what is no regular file unopened: to open a pipe is to wait."""
    try:
        told = path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            to = os.readlink(path)
            raise DataError(f"{path}: is a link to {to}, where there is no file") from error
        raise DataError(f"{path}: there is no such file") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(told.st_mode):
        raise DataError(f"{path}: is no regular file; copy its content into one and score that")
    return told.st_size


def _unreadable(path: Path, error: OSError) -> DataError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return DataError(
            f"{path}: you may not read it ({error.strerror}); let the account that runs this read "
            "it"
        )
    return DataError(f"{path}: cannot be read ({error.strerror or error})")


def _refuse_twice(found: Sequence[Path | Original]) -> None:
    seen: dict[object, str] = {}
    for one in found:
        name = one.name if isinstance(one, Original) else str(one)
        key: object = name
        if isinstance(one, Path):
            try:
                is_at = one.stat()
                key = (is_at.st_dev, is_at.st_ino)
            except OSError:
                pass  # told well where it is read
        if key in seen:
            other = f" (as {seen[key]})" if seen[key] != name else ""
            raise UsageError(f"{name}: is named twice{other}; each row is scored once")
        seen[key] = name
