"""The lock of a folder of scores: who writes there now? Standard library only."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fintech_dl.errors import LockedError, not_written

LOCK = ".lock"
ADVICE = "choose another folder with -o"


@contextmanager
def locked(folder: Path, attempts: int = 10) -> Iterator[bool]:
    """Make a folder and hold its lock, which the kernel frees however the process ends.

    For politeness only: what is written is exact without it. At the end a folder that holds nothing
    else is removed again, and so are those above that were made for it.

    Parameters
    ----------
    folder : Path
    attempts : int
        Several, because `is_locked` of another process may hold it for a moment.

    Yields
    ------
    bool
        Whether the lock is held: a file system may know none.

    Raises
    ------
    LockedError
        Another process that is alive has it.
    OutputError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fintech_dl.scoring.lock import is_locked, locked
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with locked(Path(folder) / "scores"):
    ...         print(is_locked(Path(folder) / "scores"))
    ...     (Path(folder) / "scores").exists()
    True
    False
    """
    new = [above for above in (folder, *folder.absolute().parents) if not above.exists()]
    held, is_held = _take(folder, attempts)
    try:
        yield is_held
    finally:
        with suppress(OSError):
            if os.listdir(folder) == [LOCK]:
                (folder / LOCK).unlink()
        os.close(held)
        for above in new:  # those that hold nothing
            with suppress(OSError):
                above.rmdir()


def is_locked(folder: Path) -> bool:
    """Return whether a living process holds the folder's lock."""
    try:
        held = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(held)
    return False


def _take(folder: Path, attempts: int) -> tuple[int, bool]:
    for attempt in range(attempts):
        time.sleep(0.03 * min(attempt, 1))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError as error:  # its last owner has just removed the folder
            if attempt == attempts - 1:
                raise not_written(str(folder), error, ADVICE) from error
            continue
        except OSError as error:
            raise not_written(str(folder), error, ADVICE) from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(held), os.stat(folder / LOCK)):
                    return held, True
        except BlockingIOError:
            pass
        except OSError:  # this file system knows no locks
            return held, False
        os.close(held)
    raise LockedError(
        f"{folder}: another process is writing it now; wait until it is done (fintech-dl status "
        f"tells), or {ADVICE}"
    )
