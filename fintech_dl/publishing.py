"""Results that appear whole or not at all, made by one process at a time."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fintech_dl.errors import FintechError, LockedError, OutputError, not_written

LOCK = ".lock"


@contextmanager
def alone(place: Path, option: str) -> Iterator[None]:
    """Keep every other process from making ``place``; clear away what killed processes left.

    The lock is a file beside ``place`` that the kernel frees when its process ends, however it
    ends: after a kill the next one goes on at once. Half-made folders of killed processes are
    removed from the folder above.

    Parameters
    ----------
    place : Path
        Folder to make.
    option : str
        What the user gives to choose another one, for the error text.

    Raises
    ------
    LockedError
        Another process that is alive makes the same folder.
    OutputError
        The folder above cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.publishing import alone
    >>> with tempfile.TemporaryDirectory() as folder, alone(Path(folder) / "scores", "-o"):
    ...     print(*(path.name for path in Path(folder).iterdir()))
    .scores.part.lock
    """
    part = _part(place)
    lock = part.with_name(part.name + LOCK)
    new = [folder for folder in part.parents if not folder.exists()]
    try:
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            held = _take(lock, attempts=10)
        except OSError as error:
            advice = f"choose another folder with {option}"
            raise not_written(str(place), error, advice) from error
        if held is None:
            raise LockedError(
                f"{place}: another process is writing it now; wait until it is done, or choose "
                f"another folder with {option}"
            )
        try:
            _remove(part)
            _sweep(part.parent, but=lock)
            yield
        finally:
            _free(lock, held)
    finally:
        for folder in new:  # those that hold nothing
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def publishing(place: Path, option: str) -> Iterator[Path]:
    """Yield a new folder beside ``place``; at the end it becomes ``place`` at once.

    For use inside `alone`. After an error or Ctrl-C nothing is left.

    Parameters
    ----------
    place : Path
        Must not exist yet, or be an empty folder.
    option : str
        What the user gives to choose another one, for the error text.

    Raises
    ------
    OutputError
        Something cannot be written; DiskFullError where a retry is useful.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.publishing import publishing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with publishing(Path(folder) / "scores", "-o") as part:
    ...         _ = (part / "summary.json").write_text("{}")
    ...     print(*(path.name for path in Path(folder).iterdir()))
    scores
    """
    part = _part(place)
    try:
        part.mkdir(parents=True)
        yield part
        for path in (*part.rglob("*"), part):
            _sync(path)
        os.replace(part, place)
        _sync(part.parent)
    except OutputError as error:  # of a part: the folder that was asked for is the one to name
        raise type(error)(str(error).replace(str(part), str(place))) from error
    except FintechError:
        raise
    except OSError as error:
        advice = f"choose another folder with {option}"
        raise not_written(str(place), error, advice) from error
    finally:
        _remove(part)


def _part(place: Path) -> Path:
    return place.absolute().with_name(f".{place.absolute().name}.part")


def _take(lock: Path, attempts: int = 1) -> int | None:
    """Return the handle of a lock file, locked; None if a living process has it.

    Several attempts, because `_sweep` of another process may hold it for a moment.
    """
    for attempt in range(attempts):
        time.sleep(0.05 * min(attempt, 1))
        held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(held), os.stat(lock)):
                    return held
        except BlockingIOError:
            pass
        except BaseException:
            os.close(held)
            raise
        os.close(held)  # another's, or its owner has removed it in between
    return None


def _free(lock: Path, held: int) -> None:
    with suppress(OSError):
        lock.unlink(missing_ok=True)
    os.close(held)


def _sweep(folder: Path, but: Path) -> None:
    """Remove what killed processes left in a folder: their locks are free."""
    for lock in folder.glob(f".*.part{LOCK}"):
        with suppress(OSError):
            if lock != but and (held := _take(lock)) is not None:
                _remove(lock.with_name(lock.name.removesuffix(LOCK)))
                _free(lock, held)


def _remove(part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    """Bring a file or folder to the disk: what is there after a power cut is whole."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
