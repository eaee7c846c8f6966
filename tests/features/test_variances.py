"""Variances: the formulae on bars made by hand, and the truth on simulated Brownian motion."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import UsageError
from fintech_dl.features.variances import (
    BAR_NEEDS,
    bar_variance,
    ewma_variance,
    leverages,
    ranges,
    volatilities,
    window_variances,
)

BARS = {
    "open": np.array([100.0, 102.0, 101.0, 99.0]),
    "high": np.array([103.0, 104.0, 102.0, 105.0]),
    "low": np.array([99.0, 100.0, 98.0, 98.0]),
    "close": np.array([102.0, 101.0, 99.0, 104.0]),
}


@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [
        ("close_to_close", np.log(101 / 102) ** 2),
        ("parkinson", np.log(104 / 100) ** 2 / (4 * np.log(2))),
        (
            "garman_klass",
            0.5 * np.log(104 / 100) ** 2 - (2 * np.log(2) - 1) * np.log(101 / 102) ** 2,
        ),
        (
            "rogers_satchell",
            np.log(104 / 101) * np.log(104 / 102) + np.log(100 / 101) * np.log(100 / 102),
        ),
    ],
)
def test_the_variance_of_a_bar(kind, by_hand):
    assert bar_variance(BARS, kind)[1] == pytest.approx(by_hand, rel=1e-12)
    if kind != "close_to_close":
        mean = np.mean(bar_variance(BARS, kind)[1:])
        assert window_variances(BARS, kind, [3])[3][3] == pytest.approx(mean, rel=1e-12)


def test_close_to_close_of_a_window_is_the_sample_variance():
    expected = np.var(np.diff(np.log(BARS["close"])), ddof=1)
    assert window_variances(BARS, "close_to_close", [3])[3][3] == pytest.approx(expected, rel=1e-12)


def test_yang_zhang_by_hand():
    opens, closes = np.log(BARS["open"]), np.log(BARS["close"])
    night, day = opens[1:] - closes[:-1], (closes - opens)[1:]
    session = bar_variance(BARS, "rogers_satchell")[1:].mean()
    k = 0.34 / (1.34 + 4 / 2)
    expected = night.var(ddof=1) + k * day.var(ddof=1) + (1 - k) * session
    found = window_variances(BARS, "yang_zhang", [3])[3]
    assert found[3] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found[:3]).all()


def brownian(days=600, steps=2000, sigma=0.01, drift=0.0, night=0.0):
    random = np.random.default_rng(7)
    moves = random.normal(drift / steps, sigma / np.sqrt(steps), (days, steps))
    path = np.concatenate([np.zeros((days, 1)), moves.cumsum(axis=1)], axis=1)
    gaps = random.normal(0, night, days) if night else np.zeros(days)
    start = (np.append(0, path[:-1, -1]) + gaps).cumsum()
    path += start[:, None]
    named = {"open": path[:, 0], "high": path.max(1), "low": path.min(1), "close": path[:, -1]}
    return {name: np.exp(values) for name, values in named.items()}


@pytest.mark.parametrize("kind", BAR_NEEDS)
def test_without_drift_all_find_the_variance_of_brownian_motion(kind):
    # 600 days: 6 % for squared returns; a range sampled 2,000 times a day is 3 % too short
    found = np.nanmean(bar_variance(brownian(), kind))
    assert found == pytest.approx(1e-4, rel=0.12 if kind == "close_to_close" else 0.08)


def test_ranges_are_more_precise_than_returns():
    spread = {kind: np.nanstd(bar_variance(brownian(), kind)) for kind in BAR_NEEDS}
    assert spread["close_to_close"] > 1.9 * spread["parkinson"]
    assert spread["parkinson"] > 1.1 * spread["garman_klass"]


def test_with_drift_only_rogers_satchell_stays_right():
    columns = brownian(drift=0.02)
    assert bar_variance(columns, "rogers_satchell").mean() == pytest.approx(1e-4, rel=0.1)
    for kind in ("close_to_close", "parkinson", "garman_klass"):
        assert np.nanmean(bar_variance(columns, kind)) > 1.3e-4


def test_only_estimators_that_see_the_night_find_its_variance():
    columns, n = brownian(night=0.01), 590
    for kind, expected in [("yang_zhang", 2e-4), ("close_to_close", 2e-4), ("parkinson", 1e-4)]:
        assert window_variances(columns, kind, [n])[n][-1] == pytest.approx(expected, rel=0.12)


def test_ewma_is_that_of_pandas_on_the_same_bars():
    values = np.random.default_rng(0).gamma(2, 1, 200)
    found = ewma_variance(values)
    expected = pd.Series(values[-75:]).ewm(alpha=0.06).mean().iloc[-1]
    assert found[-1] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found[:74]).all()
    assert not np.isnan(found[74:]).any()
    with pytest.raises(UsageError, match="decay=1"):
        ewma_variance(values, decay=1)


def test_leverage_is_bounded_and_blind_to_rises():
    change = np.array([0.5, -0.01, -9.0, 0.02])
    found = leverages(change, np.full(4, 0.01), [1, 2])
    np.testing.assert_allclose(found[1], [0, np.tanh(-1), -1, 0], atol=1e-12)
    assert found[2][1] == pytest.approx(np.tanh(-0.5))
    assert (leverages(change, np.zeros(4), [1])[1] == 0).all()


def test_the_set_holds_each_kind_and_window():
    columns = brownian(days=100, steps=50)
    found = dict(volatilities(columns, [5, 22]))
    assert len(found) == 5 * 2 + 1 + 3
    expected = np.sqrt(window_variances(columns, "yang_zhang", [22])[22][-1])
    assert found["yang_zhang_22"][-1] == expected


def test_ranges_are_the_terms_of_a_log_har_model_and_never_0():
    columns = brownian(days=30, steps=50)
    logs = np.log(bar_variance(columns, "parkinson"))
    found = dict(ranges(columns))
    for n in (1, 5, 22):
        assert found[f"range_{n}"][-1] == pytest.approx(np.exp(logs[-n:].mean() / 2))
        assert np.isnan(found[f"range_{n}"][: n - 1]).all()
    still = dict(ranges({"high": np.full(3, 7.0), "low": np.full(3, 7.0)}, [1]))
    assert still["range_1"] == pytest.approx(1e-4)


def test_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="kind='yang_zhang': must be one of close_to_close"):
        bar_variance(BARS, "yang_zhang")
