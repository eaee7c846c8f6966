"""Errors that a user can act on, each with the exit code of the command line.

Every text says what came, what is allowed and what to do.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FintechError(Exception):
    """Base of all errors that fintech_dl raises on purpose."""

    exit_code = 1


class UsageError(FintechError, ValueError):
    """An argument or a parameter that cannot be used."""

    exit_code = 2


class CardError(UsageError):
    """A dataset or pipeline card that is unknown, incomplete or misspelt."""


class NotInstalledError(FintechError, ImportError):
    """An optional library is missing; the text names the extra that brings it."""

    exit_code = 2


class DataError(FintechError, ValueError):
    """Data that break their contract; nothing is published."""

    exit_code = 4


class ArtefactError(FintechError, ValueError):
    """A saved model that is incomplete, changed or not trusted."""

    exit_code = 5


class OutputError(FintechError, OSError):
    """Results that cannot be written where they were asked for."""

    exit_code = 2


class PlanError(OutputError):
    """A result folder that exists already and was made of other inputs, model or settings."""

    exit_code = 6


class LockedError(OutputError):
    """A result folder that another process, which is alive, is writing."""

    exit_code = 7


class TemporaryError(FintechError):
    """A fault that may pass by itself: to try the same again later is useful."""

    exit_code = 75


class DiskFullError(TemporaryError, OutputError):
    """Results for which the disk has no room, the user no quota, or a file's size is limited."""


class DownloadError(TemporaryError, DataError):
    """Data that the network did not deliver."""


class NothingToDo(FintechError):
    """The result is there already, made of exactly these inputs, model and settings."""

    exit_code = 99


def require(module: str, extra: str) -> None:
    """Raise NotInstalledError, naming the extra, unless ``module`` can be imported.

    Examples
    --------
    >>> from fintech_dl.errors import require
    >>> require("json", "report")
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise NotInstalledError(
            f"this needs the library {module!r}, which is not installed; "
            f'install it with: pip install "fintech-dl[{extra}]"'
        )


def not_written(what: str, error: OSError, advice: str) -> OutputError:
    """Return the error of what cannot be written; DiskFullError where there is no room.

    Examples
    --------
    >>> from fintech_dl.errors import not_written
    >>> not_written("scores", OSError(30, "Read-only file system"), "choose another folder")
    OutputError('scores: cannot be written (Read-only file system); choose another folder')
    """
    if error.errno in NO_ROOM:
        reason = os.strerror(error.errno)  # a library's own text may be longer
        return DiskFullError(
            f"{what}: cannot be written ({reason}); {advice}, or make room and run it again"
        )
    return OutputError(f"{what}: cannot be written ({error.strerror or error}); {advice}")


@contextmanager
def told_as(kind: type[FintechError], where: str) -> Iterator[None]:
    """Tell a library's ValueError or TypeError as an error of ours that says where it arose.

    For calls with what a user gave: scikit-learn, Keras and feature functions check it themselves.

    Examples
    --------
    >>> from fintech_dl.errors import CardError, told_as
    >>> with told_as(CardError, "fraud.toml: step 1"):
    ...     int("many")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.CardError: fraud.toml: step 1: invalid literal for int() with base 10: 'many'
    """
    try:
        yield
    except FintechError:
        raise
    except (ValueError, TypeError) as error:
        raise kind(f"{where}: {error}") from error
