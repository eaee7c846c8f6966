"""Errors that a user can act on, each with the exit code of the command line.

Every text says what came, what is allowed and what to do.
"""


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
