"""Files that appear whole, once, or not at all. Standard library only.

What is here holds on local disks and on NFS 4: a name is given by a hard link, which only the first
can make, to bytes that are on the disk already. `probe` finds out whether a folder keeps to it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fintech_dl.errors import OutputError, not_written

FAILPOINT = "FINTECH_DL_FAILPOINT"
STEPS = {  # of making a file: its temporary copy, its bytes, its name
    "plan": ("plan.write", "plan.fsync", "plan.link"),
    "commit": ("commit.temp", "commit.fsync", "commit.link"),
    "manifest": ("", "", "manifest"),
    "success": ("", "", "success"),
    "pointer": ("", "", "pointer"),
}
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_reached: Counter[str] = Counter()


def attempt() -> str:
    """Return eight random hex digits: they tell the files of one try from those of another."""
    return secrets.token_hex(4)


def temporary(path: Path) -> Path:
    """Return a new name for a file that is to become ``path``; `gc` knows it by its end."""
    return path.with_name(f".{path.name}.{attempt()}.tmp")


def create(path: Path, data: bytes, kind: str = "") -> bool:
    """Make a file with these bytes unless there is one: of several that try, one makes it.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    data : bytes
    kind : str
        Which steps of the protocol this is, for `failpoint`: a key of ``STEPS``.

    Returns
    -------
    bool
        Whether this call made it. When it returns, the bytes and the name are on the disk.

    Raises
    ------
    OSError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.store import create
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "plan.json"
    ...     create(path, b"mine"), create(path, b"yours"), path.read_bytes()
    (True, False, b'mine')
    """
    if os.path.lexists(path):
        return False
    write, sync, link = STEPS.get(kind, ("", "", ""))
    temp = temporary(path)
    try:
        _write(temp, data, write, sync)
        with failpoint(link):
            made = _link(temp, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temp.unlink(missing_ok=True)
    return made


def replace(path: Path, data: bytes, kind: str = "") -> None:
    """Put a file with these bytes in the place of another; a reader sees the one or the other.

    Raises
    ------
    OSError
        The folder cannot be written; the file is as it was.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.store import replace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "latest.json"
    ...     replace(path, b"old")
    ...     replace(path, b"new")
    ...     path.read_bytes()
    b'new'
    """
    write, sync, link = STEPS.get(kind, ("", "", ""))
    temp = temporary(path)
    try:
        _write(temp, data, write, sync)
        with failpoint(link):
            os.replace(temp, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temp.unlink(missing_ok=True)


@contextmanager
def placing(path: Path, kind: str = "") -> Iterator[Path]:
    """Yield the path of a new file to write; at the end it gets its name, and is on the disk.

    After an error nothing is left; after a kill a file that ends in ``.tmp``, which `gc` removes.

    Parameters
    ----------
    path : Path
        Its folder must exist. A file of this name is replaced.
    kind : str
        ``"part"`` for the scores of a shard: their steps are failpoints.

    Yields
    ------
    Path
        An empty file in the same folder.

    Raises
    ------
    OSError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.store import placing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with placing(Path(folder) / "part.parquet") as temp:
    ...         _ = temp.write_bytes(b"scores")
    ...     [found.name for found in Path(folder).iterdir()]
    ['part.parquet']
    """
    temp = temporary(path)
    point = f"{kind}." if kind else ""
    try:
        with failpoint(point and f"{point}temp"):
            os.close(os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        with failpoint(point and f"{point}write"):
            yield temp
        with failpoint(point and f"{point}fsync"):
            _sync(temp)
        with failpoint(point and f"{point}rename"):
            os.replace(temp, path)
        with failpoint(point and f"{point}sync"):
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temp.unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hex digits.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def facts_of(path: Path) -> dict[str, Any]:
    """Return ``name``, ``bytes`` and ``sha256`` of a file, as commits record them.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest_of(path)}


def to_json(record: Mapping[str, Any]) -> bytes:
    r"""Return a record as bytes, in one way only: keys sorted, no NaN, plain ASCII.

    Examples
    --------
    >>> from fintech_dl.scoring.store import to_json
    >>> to_json({"b": 1, "a": None})
    b'{\n "a": null,\n "b": 1\n}\n'
    """
    return (json.dumps(record, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as bytes that hold their own SHA-256, as ``seal``; `unsealed` checks it.

    Examples
    --------
    >>> from fintech_dl.scoring.store import sealed, unsealed
    >>> unsealed(sealed({"shard": 3}))
    {'shard': 3}
    """
    return to_json({**record, "seal": hashlib.sha256(to_json(record)).hexdigest()})


def unsealed(data: bytes) -> dict[str, Any]:
    """Return the record of `sealed`.

    Raises
    ------
    ValueError
        One of its bytes was changed, or it is something else.
    """
    try:
        record = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(record, dict) or "seal" not in record:
        raise ValueError("it has no seal")
    body = {key: value for key, value in record.items() if key != "seal"}
    if sealed(body) != data:
        raise ValueError("its seal does not fit")
    return body


def probe(folder: Path, single_writer: bool = False) -> None:
    """Refuse a folder in which two processes could both make the same file.

    Parameters
    ----------
    folder : Path
    single_writer : bool
        The user vouches that no other process writes there: then it may be any folder.

    Raises
    ------
    OutputError
        The folder cannot be written, or makes no file exclusively.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.store import probe
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     probe(Path(folder))
    """
    path = folder / f".probe-{attempt()}"
    temps = [temporary(path), temporary(path)]
    advice = "choose another folder with -o"
    try:
        for temp in temps:
            _write(temp, b"probe")
        if single_writer:
            return
        try:
            os.link(temps[0], path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            why = f"hard links do not work there: {os.strerror(error.errno)}"
            raise _unsafe(folder, why) from error
        with suppress(FileExistsError):
            os.link(temps[1], path)
            raise _unsafe(folder, "the same file could be made there twice")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise not_written(str(folder), error, advice) from error
    finally:
        for one in (path, *temps):
            with suppress(OSError):
                one.unlink(missing_ok=True)


def _unsafe(folder: Path, why: str) -> OutputError:
    return OutputError(
        f"{folder}: two processes could both write the same result ({why}); use a local disk or "
        "NFS 4, or give --single-writer if you make sure that only one process ever writes there"
    )


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    _sync(folder)


@contextmanager
def failpoint(name: str) -> Iterator[None]:
    """Mark a step at which tests let a run fail; without their environment variable, nothing.

    ``FINTECH_DL_FAILPOINT = "NAME:before|after:kill|raise|full[:N]"`` kills the process, raises
    RuntimeError or reports a full disk, the N-th time that the process comes by.

    Raises
    ------
    RuntimeError, OSError
        As asked for.

    Examples
    --------
    >>> from fintech_dl.scoring.store import failpoint
    >>> with failpoint("commit.link"):
    ...     pass
    """
    asked = os.environ.get(FAILPOINT, "").split(":") if name else []
    if not asked or asked[0] != name:
        yield
        return
    _, moment, action, *times = asked
    _reached[name] += 1
    acts = _reached[name] == int(times[0] if times else 1)
    if acts and moment == "before":
        _fail(name, action)
    yield
    if acts and moment == "after":
        _fail(name, action)


def _fail(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # the signal is on its way
    if action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    raise RuntimeError(f"failpoint {name}")


def _write(temp: Path, data: bytes, write: str = "", sync: str = "") -> None:
    handle = os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    with open(handle, "wb") as stream:
        with failpoint(write):
            stream.write(data)
            stream.flush()
        with failpoint(sync):
            os.fsync(stream.fileno())


def _link(temp: Path, path: Path) -> bool:
    try:
        os.link(temp, path)
    except FileExistsError:
        return temp.stat().st_nlink == 2  # of NFS: made, but the answer was lost and asked again
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(path):  # --single-writer: `probe` has refused such folders otherwise
            return False
        os.replace(temp, path)
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
