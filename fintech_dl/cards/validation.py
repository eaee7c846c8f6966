"""What a pipeline card asks of a model validation report, and what people say in it."""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from fintech_dl.errors import CardError
from fintech_dl.records import nearest

STATEMENTS = {
    "inventory_id": "Number in the model inventory",
    "owner": "Owner",
    "tier": "Tier, materiality (exposure and purpose)",
    "intended_use": "Intended use",
    "prohibited_use": "Prohibited use",
    "target_definition": "Why this target: definition of default and its window",
    "representativeness": "Why these data stand for the population to be scored",
    "assumptions": "Assumptions, and alternatives that were considered",
    "less_discriminatory_alternatives": "Less discriminatory alternatives that were looked for",
    "monitoring": "Who monitors, how often, and what happens at a trigger",
    "fallback": "What is used if the model must be switched off",
    "overrides": "Overrides: who may, how often, with what result",
    "overlays": "Overlays on the model's result",
    "effective_challenge": "Effective challenge: comments and answers",
    "change_log": "Changes since the last validation",
    "sign_off": "Sign-off: names, dates, decision",
}


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A model validation report beside the report of a run: what to test, and what people say.

    ``protected``: attributes kept ``aside``, to measure fairness by; ``reference``: the group of
    each to compare with, default the largest. ``segments``: columns, aside or features, to look
    into; ``bands``: bounds by which a numeric one of either is cut, default its quarters.
    ``vintage``: length of a period of ``when``. ``grades``: how many rating grades, or the bounds
    of their probabilities. ``approval_rate``: share of rows approved; it sets the cut-off.
    ``lgd``: share of the exposure that a default loses, and ``ead``: the exposure, an aside column;
    together they give losses. ``statements``: what people say; the report is a draft while one is
    missing. Keys: inventory_id, owner, tier, intended_use, prohibited_use, target_definition,
    representativeness, assumptions, less_discriminatory_alternatives, monitoring, fallback,
    overrides, overlays, effective_challenge, change_log, sign_off.
    """

    protected: list[str] = field(default_factory=list)
    reference: dict[str, str] = field(default_factory=dict)
    segments: list[str] = field(default_factory=list)
    bands: dict[str, list[float]] = field(default_factory=dict)
    vintage: Literal["month", "quarter"] = "month"
    grades: int | list[float] = 10
    approval_rate: float = 0.8
    lgd: float | None = None
    ead: str = ""
    statements: dict[str, str] = field(default_factory=dict)


def check_validation(validation: Validation, where: str) -> None:
    """Refuse a ``[validation]`` whose numbers, statements or names make no sense."""
    if not 0 < validation.approval_rate < 1:
        raise CardError(
            f"{where}.approval_rate: got {validation.approval_rate:g}, expected a share above 0 "
            "and below 1"
        )
    if (validation.lgd is None) == bool(validation.ead):
        raise CardError(
            f"{where}: losses need both lgd (a share of the exposure) and ead (the aside column of "
            f"exposures); got lgd = {validation.lgd}, ead = {validation.ead!r}"
        )
    if validation.lgd is not None and not 0 <= validation.lgd <= 1:
        raise CardError(f"{where}.lgd: got {validation.lgd:g}, expected a share from 0 to 1")
    _check_grades(validation.grades, f"{where}.grades")
    for name, bounds in validation.bands.items():
        if name not in [*validation.protected, *validation.segments]:
            raise CardError(f"{where}.bands: {name!r} is neither in protected nor in segments")
        if not bounds or not _rise(bounds):
            raise CardError(f"{where}.bands.{name}: got {bounds}, expected rising numbers")
    for name in validation.reference:
        if name not in validation.protected:
            raise CardError(
                f"{where}.reference: {name!r} is no protected attribute; "
                f"{nearest(name, validation.protected)}"
            )
    for key in validation.statements:
        if key not in STATEMENTS:
            raise CardError(
                f"{where}.statements: unknown key {key!r}; {nearest(key, list(STATEMENTS))}"
            )


def _check_grades(grades: int | list[float], where: str) -> None:
    if isinstance(grades, int):
        if grades < 2:
            raise CardError(f"{where}: got {grades}, expected 2 or more, or a list of bounds")
    elif len(grades) < 3 or not _rise(grades) or grades[0] < 0 or grades[-1] > 1:
        raise CardError(
            f"{where}: got bounds {grades}, expected three or more rising probabilities from 0 to "
            "1, one more than there are grades"
        )


def _rise(numbers: list[float]) -> bool:
    return all(map(math.isfinite, numbers)) and all(a < b for a, b in pairwise(numbers))
