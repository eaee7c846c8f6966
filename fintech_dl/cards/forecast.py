"""Forecasts in a pipeline card: what is forecast, and what the report says of it."""

from dataclasses import dataclass
from typing import Literal

from fintech_dl.errors import CardError
from fintech_dl.records import nearest

# the metrics that may decide the verdict, the usual one first
DECIDING = {
    "volatility": ["qlike", "mse", "mae"],
    "ranking": ["rank_ic", "ic"],
    "direction": ["log_loss", "brier"],
    "price": ["mae", "mse"],
}


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """How intervals around forecasts are made, fitted on the latest ``fraction`` of training rows.

    Of several horizons they are those of the main one.

    ``method``: ``split`` takes the errors of these rows, ``cqr`` corrects the quantiles of a
    quantile regressor. ``scale``: a feature that says how large errors will be, such as volatility;
    or a list of such (of the last day, week and month), whose weights are learnt from the training
    rows. ``symmetric``: whether both ends lie equally far off, or each side misses half. ``logs``:
    errors are those of logarithms, for variances: intervals then stay above 0.

    ``update``: learn from outcomes as they become known, in the test and in ``score``, which takes
    them from the rows of ``--history``. ``adapt``: update, and let the width follow what was missed
    as time passes, so fast; 0 is not at all. ``window``: how many of the latest dates count in an
    update; 0: all.
    """

    method: Literal["split", "cqr"] = "split"
    scale: str | list[str] = ""
    fraction: float = 0.2
    symmetric: bool = True
    logs: bool = False
    update: bool = False
    adapt: float = 0.0
    window: int = 0

    @property
    def updated(self) -> bool:
        """Whether intervals learn from outcomes as these become known."""
        return self.update or self.adapt > 0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A forecast of markets; without it, a card tells classes apart.

    ``kind``: the mean ``volatility`` (a variance) of the next bars, the ``ranking`` of the assets
    of a date by what they will earn, the ``direction`` of the next bars, or the ``price`` (its log
    change). The first of the card's ``metrics`` decides the verdict.

    ``cost_bp``: cost per side of trading, in basis points. ``top``: share of the assets in each leg
    of the portfolio that the report follows. ``bars_per_year`` makes returns annual. ``coverage``:
    what intervals promise. ``ic_limit``: mean rank IC above which the report warns that the result
    is too good to be believed. ``leak_checks``: also run the checks that build the table anew and
    fit the model on noise.
    """

    kind: Literal["volatility", "ranking", "direction", "price"]
    cost_bp: float = 5.0
    top: float = 0.1
    bars_per_year: float = 252
    coverage: float = 0.9
    intervals: Intervals | None = None
    ic_limit: float = 0.1
    leak_checks: bool = False


def check_forecast(forecast: Forecast, metrics: list[str], where: str) -> None:
    """Refuse numbers out of range, and a first metric that cannot decide this kind of forecast."""
    allowed = DECIDING[forecast.kind]
    if not metrics or metrics[0] not in allowed:
        first = metrics[0] if metrics else ""
        raise CardError(
            f"{where}: the first of metrics decides the verdict of a {forecast.kind} forecast: got "
            f"{first!r}; {nearest(first, allowed)}"
        )
    for key, low, high in (
        ("cost_bp", 0.0, 1000.0),
        ("top", 0.001, 0.5),
        ("bars_per_year", 1.0, 1e6),
        ("ic_limit", 0.0, 1.0),
    ):
        _within(key, getattr(forecast, key), low, high, where)
    if not 0 < forecast.coverage < 1:
        raise CardError(
            f"{where}.coverage: got {forecast.coverage:g}, expected more than 0 and less than 1"
        )
    if forecast.intervals is None:
        return
    if forecast.kind in ("ranking", "direction"):
        raise CardError(
            f"{where}.intervals: a {forecast.kind} forecast has none; remove them, or forecast "
            "the volatility or the price"
        )
    _check_intervals(forecast.intervals, forecast.kind, f"{where}.intervals")


def _check_intervals(intervals: Intervals, kind: str, where: str) -> None:
    if not 0 < intervals.fraction < 1:
        raise CardError(
            f"{where}.fraction: got {intervals.fraction:g}, expected more than 0 and less than 1"
        )
    _within("adapt", intervals.adapt, 0.0, 1.0, where)
    _within("window", intervals.window, 0, 1e9, where)
    if intervals.window and not intervals.updated:
        raise CardError(
            f"{where}.window: got {intervals.window}, but nothing is updated; set update = true, "
            "or leave it out"
        )
    if isinstance(intervals.scale, list) and not intervals.scale:
        raise CardError(f"{where}.scale: an empty list; name features, or leave it out")
    if intervals.logs and kind == "price":
        raise CardError(
            f"{where}.logs: log changes of prices may be below 0 and have no logarithm; leave it "
            "out, or forecast the volatility"
        )


def _within(key: str, value: float, low: float, high: float, where: str) -> None:
    if not low <= value <= high:
        raise CardError(f"{where}.{key}: got {value:g}, expected {low:g} to {high:g}")
