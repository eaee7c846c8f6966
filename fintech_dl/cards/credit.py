"""What a pipeline card asks of a lender's model: reasons for declines, and a table of points."""

import math
from dataclasses import dataclass, field
from typing import Literal

from fintech_dl.errors import CardError

MOST = 4  # reasons; more would not help the person who reads them
REFERENCES = {
    "approved": "the approved applicants' usual row",
    "all": "all applicants' usual row",
    "best": "the row of best points",
}


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """Why rows are declined, in the lender's own words; needs a ``[decision]``, which declines.

    ``texts``: a table of feature to text, or a CSV or TOML file of them beside the card (columns
    ``feature``, ``text`` and, for a missing value or a special code, ``condition``). ``reference``:
    what a declined row is compared with: the usual row of the ``approved``, that of ``all``, or the
    row of ``best`` points; each of the newest test rows. Told is what raised the score: a decision
    by cost also weighs what a default would lose. ``excluded``: features that cannot be a
    reason; protected ones never are. ``groups``: columns told as one feature, under its name.
    ``most``: reasons per row, 1 to 4.
    """

    texts: str | dict[str, str]
    reference: Literal["approved", "all", "best"] = "approved"
    excluded: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    most: int = MOST


@dataclass(frozen=True, kw_only=True)
class Points:
    """The table of points of a ``Scorecard``: ``base_score`` at ``base_odds`` good to bad.

    ``pdo``: points that double the odds. ``round_to``: multiples to round points to, 1 for whole
    ones; default: none.
    """

    pdo: float = 20.0
    base_score: float = 600.0
    base_odds: float = 50.0
    round_to: float | None = None


def check_reasons(reasons: Reasons, where: str) -> None:
    """Refuse numbers out of range, and groups of nothing."""
    if not 1 <= reasons.most <= MOST:
        raise CardError(f"{where}.most: got {reasons.most}, expected 1 to {MOST}")
    if not reasons.texts:
        raise CardError(
            f"{where}.texts: is empty; write a text for each feature, or name a CSV file of them"
        )
    for name, columns in reasons.groups.items():
        if not columns:
            raise CardError(f"{where}.groups.{name}: an empty list; name the columns that it joins")


def check_points(points: Points, where: str) -> None:
    """Refuse numbers of which no scale can be made."""
    for key in ("pdo", "base_odds"):
        value = getattr(points, key)
        if not 0 < value < math.inf:
            raise CardError(f"{where}.{key}: got {value:g}, expected more than 0")
    if not math.isfinite(points.base_score):
        raise CardError(f"{where}.base_score: got {points.base_score:g}, expected a number")
    if points.round_to is not None and not 0.01 <= points.round_to < math.inf:
        raise CardError(
            f"{where}.round_to: got {points.round_to:g}, expected 0.01 or more, such as 1 for "
            "whole points; leave it out to round nothing"
        )
