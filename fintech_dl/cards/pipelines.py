"""Pipeline cards: the question, and everything that is done to answer it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fintech_dl.cards.credit import Points, Reasons, check_points, check_reasons
from fintech_dl.cards.forecast import Forecast, check_forecast
from fintech_dl.cards.splits import Split, check_length, check_split
from fintech_dl.cards.validation import Validation, check_validation
from fintech_dl.errors import CardError
from fintech_dl.records import build


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How a score becomes a decision; money in the unit of the amounts.

    ``cost``: alert where the expected loss exceeds the cost of a ``false_alarm``; a miss costs the
    row's ``amount`` column (of ``aside``), or ``miss``. ``capacity``: the ``per_day`` highest
    scores of a day. ``threshold``: scores at or above ``threshold``.
    """

    rule: Literal["cost", "capacity", "threshold"]
    false_alarm: float = 1.0
    miss: float | None = None
    amount: str = ""
    per_day: int = 100
    threshold: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How scores become probabilities, fitted on the latest ``fraction`` of the training rows.

    ``prior``: central tendency, such as the long-run rate of default; a shift of all log odds makes
    the mean probability of these rows equal to it. ``"training"``: the share of positives among all
    training rows, which sets right what a model with ``class_weight`` says too high.
    """

    method: Literal["temperature", "sigmoid", "isotonic", "beta"]
    fraction: float = 0.2
    prior: float | str | None = None


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones if both (and ``step``) are whole.

    ``log``: equal chances for 1 to 10 and for 10 to 100. ``step``: only ``low``, ``low + step``,
    and so on.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which parameters to try before a run, on rows from before every test.

    ``space``: scikit-learn address to a list of values (numbers, texts, ``{ use = ... }``) or a
    range like ``{ low = 1e-4, high = 1e-2, log = true }``. ``grid`` tries every combination,
    ``random`` tries ``n_iter`` of them, ``halving`` begins with ``n_iter`` on few rows and keeps
    the best third on three times as many, ``optuna`` chooses ``n_iter`` by what it has seen.
    ``metric``: default the first of the card. ``n_jobs``: processes, -1 for one per core.
    ``time_limit``: seconds after which no further trial begins. ``wait = false``: between training
    and validation no gap for labels, where these come too late to wait twice.
    """

    method: Literal["random", "grid", "halving", "optuna"] = "random"
    n_iter: int = 20
    space: dict[str, list[Any] | Range] = field(default_factory=dict)
    folds: int = 3
    metric: str = ""
    n_jobs: int = 1
    time_limit: float | None = None
    wait: bool = True


@dataclass(frozen=True, kw_only=True)
class Test:
    """How the test suite runs the card: small data, few epochs, other keys of table and split."""

    dataset: str
    epochs: int | None = None
    table: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineCard:
    """A pipeline: the question, and everything that is done to answer it.

    ``words`` says what the report calls a ``row``, ``rows``, a ``positive`` and ``positives``.
    ``kinds``: column of ``aside`` that names the kind of each positive (fraud scenario, attack
    type); a detector's report tells how many of each kind are caught.
    """

    title: str
    question: str
    dataset: str
    table: dict[str, Any]
    split: Split
    step: list[dict[str, Any]]
    metrics: list[str] = field(default_factory=list)
    baseline: list[dict[str, Any]] = field(default_factory=list)
    forecast: Forecast | None = None
    calibration: Calibration | None = None
    decision: Decision | None = None
    reasons: Reasons | None = None
    points: Points | None = None
    search: Search | None = None
    validation: Validation | None = None
    history: str = ""
    kinds: str = ""
    limits: list[str] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    test: Test | None = None
    name: str = ""
    folder: Path = Path()


def check_pipeline(card: PipelineCard, where: str) -> None:
    """Refuse a pipeline card whose keys contradict each other."""
    check_split(card.split, where)
    if card.test:
        split = {"kind": card.split.kind, "column": card.split.column, **card.test.split}
        check_split(build(Split, split, f"{where}: test.split"), f"{where}: test")
    if card.history:
        check_length(card.history, f"{where}: history")
    if card.forecast:
        check_forecast(card.forecast, card.metrics, f"{where}: forecast")
        _refuse_classes(card, where)
    if card.calibration:
        _check_shares(card.calibration, f"{where}: calibration")
    if card.search:
        _check_search(card.search, f"{where}: search")
    if card.validation:
        check_validation(card.validation, f"{where}: validation")
    if card.reasons:
        check_reasons(card.reasons, f"{where}: reasons")
    if card.points:
        check_points(card.points, f"{where}: points")
    _check_told(card, where)
    for part, tables in (("table", [card.table]), ("step", card.step), ("baseline", card.baseline)):
        for table in tables:
            if not isinstance(table.get("use"), str):
                raise CardError(f"{where}: {part}: the key 'use' is missing: what to use here")
    steps = [step.get("name") for step in card.step]
    if not steps or steps[-1] != "model" or len(set(steps)) < len(steps):
        raise CardError(f'{where}: each [[step]] needs its own name, the last one "model": {steps}')


def forecasts_numbers(card: PipelineCard) -> bool:
    """Tell whether a card forecasts numbers; else it tells classes apart, such as up and down."""
    return card.forecast is not None and card.forecast.kind != "direction"


def _refuse_classes(card: PipelineCard, where: str) -> None:
    """Refuse what only makes sense where rows are positives or negatives."""
    kind = card.forecast.kind if card.forecast else ""
    keys = ("decision", "validation", "reasons", "points")
    given: dict[str, object] = {key: getattr(card, key) for key in keys}
    if forecasts_numbers(card):
        given["calibration"] = card.calibration
    for key, value in given.items():
        if value is not None:
            raise CardError(f"{where}: {key} is of no use in a {kind} forecast; remove it")
    if card.split.remove_known:
        raise CardError(f"{where}: split.remove_known is of no use in a forecast; remove it")


def _check_told(card: PipelineCard, where: str) -> None:
    """Refuse reasons and points of what they cannot be told of."""
    for key in ("reasons", "points"):
        if getattr(card, key) is not None and len(card.step) > 1:
            raise CardError(
                f"{where}: {key} are told of the table's own columns, and the steps before the "
                "model make others; let the model be the only step (it takes columns as they are)"
            )
    if card.reasons and not card.decision:
        raise CardError(
            f"{where}: reasons tell why rows are declined, and nothing declines any; add a "
            "[decision]"
        )
    if card.points and card.calibration:
        raise CardError(
            f"{where}: points say the odds of the scorecard itself, which a calibration would "
            "change; remove calibration, or points"
        )


def _check_shares(calibration: Calibration, where: str) -> None:
    for key in ("fraction", "prior"):
        value = getattr(calibration, key)
        if value is None or (key, value) == ("prior", "training"):
            continue
        if isinstance(value, str):
            raise CardError(
                f'{where}.{key}: got {value!r}, expected "training", or a share above 0, below 1'
            )
        if not 0 < value < 1:
            raise CardError(f"{where}.{key}: got {value:g}, expected more than 0 and less than 1")


def _check_search(search: Search, where: str) -> None:
    for key in ("n_iter", "folds", "time_limit"):
        value = getattr(search, key)
        if value is not None and not 0 < value < math.inf:
            raise CardError(f"{where}.{key}: got {value:g}, expected more than 0")
    if search.n_jobs < 1 and search.n_jobs != -1:
        raise CardError(
            f"{where}.n_jobs: got {search.n_jobs}, expected a number of processes, or -1 for one "
            "per core"
        )
    if not search.space:
        raise CardError(
            f"{where}.space: names nothing to try; write addresses and values, for example "
            "space = { model__learning_rate = [0.001, 0.01] }"
        )
    for address, values in search.space.items():
        _check_values(values, search.method, f"{where}.space.{address}")


def _check_values(values: list[Any] | Range, method: str, where: str) -> None:
    if isinstance(values, list):
        if not values:
            raise CardError(f"{where}: an empty list; name at least one value")
        return
    if not -math.inf < values.low < values.high < math.inf:
        raise CardError(
            f"{where}: low = {values.low:g}, high = {values.high:g}: low must lie below high"
        )
    if values.log and values.step is not None:
        raise CardError(f"{where}: log and step exclude each other; write a list of values")
    if values.log and values.low <= 0:
        raise CardError(f"{where}: log needs low above 0, got {values.low:g}")
    if values.step is not None and not 0 < values.step <= values.high - values.low:
        raise CardError(
            f"{where}: step = {values.step:g}: allowed: above 0, up to high - low = "
            f"{values.high - values.low:g}"
        )
    whole = isinstance(values.low, int) and isinstance(values.high, int) and not values.log
    if method == "grid" and values.step is None and not whole:
        raise CardError(f'{where}: method = "grid" needs a list of values, or a range with a step')
