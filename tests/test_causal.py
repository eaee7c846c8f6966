"""Features look backwards only: no function of fintech_dl.features sees the future.

Every public function there from a frame to a Table is found by introspection and must have samples.
For moments T of a sample, rows decided up to T must keep every bit when the rows after T are cut
off or changed, and when labels that are not known at T are changed.
"""

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import isfunction
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest

from fintech_dl import features
from fintech_dl.data.ledger import ledger
from fintech_dl.data.series import planted_series
from fintech_dl.features.market import market_rows
from fintech_dl.features.transactions import card_history
from fintech_dl.features.volatility import har
from fintech_dl.table import Table

Function = Callable[..., Table]


@dataclass(frozen=True)
class Sample:
    """A frame in time order, its columns of time and of labels, and parameters to call with.

    Values of ``fixed`` columns stay when the future is changed, and its times move ``later`` hours.
    With ``counted`` a label is known after so many bars: when that is, only the future tells.
    """

    frame: Callable[[], pd.DataFrame]
    time: str
    labels: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    later: int = 30
    counted: bool = False


def transactions() -> pd.DataFrame:
    random = np.random.default_rng(0)
    n = 600
    hours = np.sort(random.integers(0, 50 * 24, n))
    fraud = (random.random(n) < 0.3).astype(np.int8)
    return pd.DataFrame(
        {
            "transaction_id": np.arange(n),
            "time": np.datetime64("2024-01-01", "us") + hours * np.timedelta64(1, "h"),
            "customer_id": random.integers(0, 20, n),
            "terminal_id": random.integers(0, 10, n),
            "amount": random.integers(0, 20_000, n) / 100,
            "is_fraud": fraud,
            "fraud_scenario": fraud * random.integers(1, 4, n),
        }
    )


def of_transactions(**parameters: Any) -> Sample:
    return Sample(transactions, "time", ("is_fraud", "fraud_scenario"), parameters)


def independent_rows() -> pd.DataFrame:
    random = np.random.default_rng(1)
    times = np.datetime64("2024-01-01", "us") + np.sort(random.integers(0, 10**6, 300))
    amounts = {"time": times, "amount": random.random(300)}
    return pd.DataFrame({**amounts, "is_fraud": random.integers(0, 2, 300)})


def planted() -> pd.DataFrame:
    """Return series of which one begins late, and some values are missing."""
    frame = planted_series(n_series=3, rows=120, n_events=2, length=10)
    frame.loc[::17, "value"] = np.nan
    late = (frame["series"] == "series 3") & (frame["time"] < frame["time"].iloc[100])
    return frame[~late].reset_index(drop=True)


MONTHS = {name: [f"{name}_{k}" for k in range(1, 5)] for name in ("bills", "payments", "status")}


def statements() -> pd.DataFrame:
    random = np.random.default_rng(2)
    n, columns = 300, [column for names in MONTHS.values() for column in names]
    frame = pd.DataFrame(random.integers(-2, 900, (n, len(columns))), columns=columns)
    days = np.sort(random.integers(0, 50, n)).astype("timedelta64[D]")
    frame["time"] = np.datetime64("2024-01-01", "us") + days
    return frame.assign(limit=random.integers(0, 1000, n), defaulted=random.integers(0, 2, n))


def applicants() -> pd.DataFrame:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.integers(0, 99, (300, 3)), columns=["late_30", "late_90", "lines"])
    frame["time"] = np.datetime64("2024-01-01", "us") + np.sort(random.integers(0, 10**9, 300))
    income = np.where(random.random(300) < 0.2, np.nan, random.random(300) * 5000)
    frame = frame.assign(income=income, ratio=random.random(300), houses=1)
    return frame.assign(defaulted=random.integers(0, 2, 300))


def prices() -> pd.DataFrame:
    """Return bars of five assets: one begins late, some are missing, a few cannot be true."""
    random = np.random.default_rng(4)
    days, assets = pd.bdate_range("2023-01-02", periods=330), list("ABCDE")
    frame = pd.MultiIndex.from_product([days, assets], names=["date", "asset"]).to_frame(
        index=False
    )
    n = len(frame)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, (len(days), len(assets))), axis=0)).ravel()
    frame["close"] = close
    frame["open"] = close * np.exp(random.normal(0, 0.01, n))
    ends = frame[["open", "close"]]
    frame["high"] = ends.max(axis=1) * np.exp(np.abs(random.normal(0, 0.01, n)))
    frame["low"] = ends.min(axis=1) * np.exp(-np.abs(random.normal(0, 0.01, n)))
    frame["volume"] = random.integers(1, 10**6, n).astype(float)
    frame.loc[[700, 1201], "close"] = [np.nan, -5.0]
    gone = (frame["asset"] == "E") & (frame["date"] < days[40])
    gone |= (frame["asset"] == "D") & frame["date"].isin(days[300:309])
    gone |= random.random(n) < 0.002
    return frame[~gone].reset_index(drop=True)


def realised_variances() -> pd.DataFrame:
    frame, random = prices(), np.random.default_rng(5)
    n = len(frame)
    return frame.assign(
        rv=random.gamma(2, 1, n), r=random.normal(0, 1, n), vix=20 + random.random(n)
    )


def of_bars(frame: Callable[[], pd.DataFrame], **parameters: Any) -> Sample:
    return Sample(frame, "date", (), parameters, ("asset",), 48, counted=True)


SAMPLES = {
    "prices.panel": [
        of_bars(prices, label="rank", horizon=2, max_gap=5),
        of_bars(prices, across="rank", windows=[5, 10], last=4, label="direction"),
        of_bars(prices, features=["indicators"], label="price", max_gap=5),
        of_bars(prices, features=["volatility", "ranges"], label="price", max_gap=5),
        of_bars(prices, features=["momentum"], across="zscore", price="close", lag=2, max_gap=5),
        of_bars(prices, features=["bars", "returns"], last=9, label="variance", max_gap=5),
        of_bars(prices, features=["returns"], label="rank", horizon=[2, 5], max_gap=5),
    ],
    "volatility.har": [
        of_bars(realised_variances, variance="rv", horizon=3, leverage="r", exog=["vix"]),
        of_bars(realised_variances, variance="rv", ewma=True, horizon=[5, 1]),
        of_bars(prices, variance="rogers_satchell", floor=1e-5, leverage="close", last=3),
    ],
    "credit.borrowers": [
        Sample(
            applicants,
            "time",
            ("defaulted",),
            {"target": "defaulted", "when": "time", "income": "income", "debt_ratio": "ratio"}
            | {"late": ["late_30", "late_90"], "codes": [98]}
            | {"lines": "lines", "secured_lines": "houses"},
        )
    ],
    "credit.card_statements": [
        Sample(
            statements,
            "time",
            ("defaulted",),
            {"target": "defaulted", "when": "time", "limit": "limit", **MONTHS},
        )
    ],
    "transactions.card_history": [
        of_transactions(),
        of_transactions(extra=False, delay_days=0, windows=[0.5, 3]),
        of_transactions(last=4, horizon_days=10),
    ],
    "bar_checks.daily": [
        Sample(prices, "date", (), parameters, ("asset",), 48)
        for parameters in ({}, {"max_gap": 0})
    ],
    "connections.records": [
        Sample(
            independent_rows,
            "time",
            ("is_fraud",),
            {"target": "is_fraud", "when": "time", "amounts": ["amount"], "drop": []},
        )
    ],
    "journal.lines": [
        Sample(lambda: ledger(days=45, lines_per_day=15, rate=0.1), "time", ("is_planted", "kind")),
        Sample(
            lambda: ledger(days=45, lines_per_day=15, rate=0.1),
            "time",
            ("is_planted", "kind"),
            {"history_days": 9, "limit": 500.0},
        ),
    ],
    "series.windows": [
        Sample(planted, "time", (), {"last": 4, "scale": 20}, ("series",)),
        Sample(planted, "time", (), {"last": 8, "scale": 8, "target": "anomaly"}, ("series",)),
    ],
    "rows.as_they_are": [
        Sample(independent_rows, "time", ("is_fraud",), {"target": "is_fraud", "when": "time"})
    ],
}


def functions() -> Iterator[tuple[str, Function]]:
    """Yield every public function of the package that makes a Table of a frame."""
    for module in pkgutil.iter_modules(features.__path__):
        inside = vars(import_module(f"{features.__name__}.{module.name}"))
        for name, thing in inside.items():
            own = isfunction(thing) and thing.__module__ == inside["__name__"]
            if not own or name.startswith("_"):
                continue
            hints = get_type_hints(thing)
            if hints.get("return") is Table and next(iter(hints.values())) is pd.DataFrame:
                yield f"{module.name}.{name}", thing


def assert_same(before: Table, after: Table, moment: pd.Timestamp, counted: bool = False) -> None:
    """Assert that what is known at a moment has the same bits in both tables."""
    assert before.when is not None
    assert after.when is not None
    one = before.rows(np.asarray(before.when <= moment))
    two = after.rows(np.asarray(after.when <= moment))
    assert list(one.X.columns) == list(two.X.columns)
    for column in one.X:
        bits, others = one.X[column].to_numpy(), two.X[column].to_numpy()
        assert bits.dtype == others.dtype, column
        same = bits.tobytes() == others.tobytes() if bits.dtype != object else [*bits] == [*others]
        assert same, f"{column} sees beyond {moment}"
    if counted:
        one, two = (replace(t, until=t.until.where(t.until <= moment)) for t in (one, two))
    for part in ("when", "until", "who", "weight"):
        left, right = getattr(one, part), getattr(two, part)
        assert (left is None) == (right is None)
        if left is not None:
            pd.testing.assert_series_equal(left, right)
    if one.y is not None and two.y is not None and one.until is not None:
        known = one.until <= moment
        left, right = (pd.DataFrame(table.y[known]) for table in (one, two))
        pd.testing.assert_frame_equal(left, right, check_dtype=False)


def other_values(
    frame: pd.DataFrame, rows: np.ndarray[Any, Any], columns: list[str]
) -> pd.DataFrame:
    """Return the frame with values of random other rows in the given rows, column by column."""
    random = np.random.default_rng(1)
    changed = frame.copy()
    for column in columns:
        values = frame[column].to_numpy().copy()
        values[rows] = random.permutation(values)[: rows.sum()]
        changed[column] = values
    return changed


def check(make: Function, sample: Sample, moments: int = 6) -> None:
    frame = sample.frame()
    whole = make(frame, **sample.parameters)
    assert whole.when is not None
    at = np.linspace(0, len(whole) - 2, moments).astype(int)
    for moment in whole.when.iloc[at]:
        future = (frame[sample.time] > moment).to_numpy()
        assert_same(whole, make(frame[~future], **sample.parameters), moment, sample.counted)

        free = [name for name in frame if name not in (sample.time, *sample.fixed)]
        changed = other_values(frame, future, free)
        later = frame[sample.time] + np.where(future, 1, 0) * pd.Timedelta(hours=sample.later)
        changed[sample.time] = later.astype(frame[sample.time].dtype)
        assert_same(whole, make(changed, **sample.parameters), moment, sample.counted)

        if sample.labels:
            assert len(whole) == len(frame), "labels are tested where rows and frame align"
            never = np.ones(len(frame), dtype=bool)
            unknown = never if whole.until is None else (whole.until > moment).to_numpy()
            changed = other_values(frame, unknown, list(sample.labels))
            assert_same(whole, make(changed, **sample.parameters), moment)


FOUND = dict(functions())


def test_the_functions_are_found():
    assert FOUND["transactions.card_history"] is card_history


@pytest.mark.parametrize("name", FOUND)
def test_changing_or_cutting_the_future_keeps_the_past(name):
    assert name in SAMPLES, f"add a Sample of {name} to tests/test_causal.py"
    for sample in SAMPLES[name]:
        check(FOUND[name], sample)


def test_rows_of_the_whole_market_keep_the_past():
    def make(frame: pd.DataFrame, **parameters: Any) -> Table:
        shared = [f"market_log_variance_{n}" for n in (1, 5, 22)]
        return market_rows(har(frame, **parameters), assets=list("ABCDE"), shared=shared)

    for parameters in ({}, {"last": 3}):
        check(make, of_bars(realised_variances, variance="rv", horizon=3, **parameters))


# The check itself must catch what it is for.


def next_amount(frame: pd.DataFrame) -> Table:
    table = card_history(frame)
    return replace(table, X=table.X.assign(next=frame["amount"].shift(-1, fill_value=0)))


def scaled_by_all_rows(frame: pd.DataFrame) -> Table:
    table = card_history(frame)
    return replace(table, X=table.X / table.X.max().clip(lower=1))


def labels_too_early(frame: pd.DataFrame) -> Table:
    early, honest = card_history(frame, delay_days=3), card_history(frame, delay_days=7)
    return replace(early, until=honest.until)


@pytest.mark.parametrize("leak", [next_amount, scaled_by_all_rows, labels_too_early])
def test_a_leak_is_caught(leak):
    with pytest.raises(AssertionError, match="sees beyond"):
        check(leak, of_transactions())
