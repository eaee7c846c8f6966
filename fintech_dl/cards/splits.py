"""How a card divides rows in time: the keys of [split], and lengths of time."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from fintech_dl.errors import CardError

UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """How rows are divided into training and test; lengths of time like ``"7d"`` or ``"12h"``.

    ``gap`` is the time between the end of training and the start of the test, in which labels are
    not yet known. ``start`` is the first training day of the latest fold (default: the latest
    possible). ``apart``, of a ``holdout`` with a length of ``test``, is the time after the test
    whose rows are scored too but told apart, in no verdict: their labels had too little time to
    show. ``expanding`` begins the training of each ``prequential`` fold with the first row
    (walking forward), so that ``train`` only places the test. ``remove_known`` drops from the test
    whoever is known as a fraud case already. ``shuffled_kfold`` shuffles rows without times into
    ``folds`` parts of equal class shares. ``published`` takes the data as they come divided: the
    column ``column`` of the table's ``aside`` says ``train`` or ``test`` of each row.
    """

    kind: Literal["holdout", "prequential", "purged_kfold", "shuffled_kfold", "published"]
    train: str = ""
    gap: str = "0d"
    test: str = ""
    apart: str = ""
    folds: int = 1
    start: str = ""
    embargo: str = "0d"
    test_fraction: float = 0.25
    validation_fraction: float = 0.0
    remove_known: bool = False
    expanding: bool = False
    column: str = ""


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


def check_split(split: Split, where: str) -> None:
    """Refuse lengths, dates, shares and numbers of folds that mean nothing."""
    for key in ("train", "gap", "test", "apart", "embargo"):
        if getattr(split, key):
            check_length(getattr(split, key), f"{where}: split.{key}")
    check_day(split.start, f"{where}: split.start")
    for key in ("test_fraction", "validation_fraction"):
        if not 0 <= getattr(split, key) < 1:
            raise CardError(f"{where}: split.{key}: got {getattr(split, key)}, expected 0 to 1")
    if split.expanding and split.kind != "prequential":
        raise CardError(
            f'{where}: split.expanding is of no use with kind = "{split.kind}"; set kind = '
            '"prequential", or leave it out'
        )
    if split.apart and (split.kind != "holdout" or not split.test):
        raise CardError(
            f'{where}: split.apart is for what follows the test of a "holdout" of some length; set '
            'kind = "holdout" and test, such as "30d", or leave it out'
        )
    if split.kind == "published" and not split.column:
        raise CardError(
            f'{where}: split.column is missing; kind = "published" needs the name of the column '
            "that says train or test"
        )
    if split.folds < 1:
        raise CardError(f"{where}: split.folds: got {split.folds}, expected 1 or more")


def check_length(text: str, where: str) -> None:
    """Refuse what `duration` cannot read, saying where it stands."""
    try:
        duration(text)
    except CardError as error:
        raise CardError(f"{where}: {error}") from error


def check_day(text: str, where: str) -> None:
    """Refuse what is no date; empty is fine."""
    try:
        datetime.fromisoformat(text or "2000-01-01")
    except ValueError as error:
        raise CardError(f'{where}: {text!r} is no date; write it like "2018-07-25"') from error
