"""Errors that a user can act on, each with the exit code of the command line.

Every text says what came, what is allowed and what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager


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
