"""Indicators: their published definitions, by pandas and by hand."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.features.indicators import MOMENTUM_REACH, REACH, indicators, momentum, returns


def columns(n=240):
    random = np.random.default_rng(2)
    close = 50 * np.exp(random.normal(0, 0.02, n).cumsum())
    start = close * np.exp(random.normal(0, 0.01, n))
    return {
        "open": start,
        "high": np.maximum(start, close) * (1 + random.random(n) / 50),
        "low": np.minimum(start, close) * (1 - random.random(n) / 50),
        "close": close,
        "volume": random.integers(100, 10_000, n).astype(float),
    }


def found(make, c):
    with np.errstate(all="ignore"):
        return dict(make(c))


C = columns()
OURS = found(indicators, C)
HIGH, LOW, CLOSE, VOLUME = (pd.Series(C[name]) for name in ("high", "low", "close", "volume"))
BEFORE = CLOSE.shift()
TRUE_RANGE = pd.concat([HIGH - LOW, (HIGH - BEFORE).abs(), (LOW - BEFORE).abs()], axis=1).max(
    axis=1
)
TRUE_RANGE[0] = np.nan


def wilder(values, cut=81):
    """Return Wilder's mean of the last 81 values at each bar, by pandas."""

    def last(window):
        return window.ewm(alpha=1 / 14).mean().iloc[-1]

    return pd.Series(values).rolling(cut).apply(last, raw=False)


def ema(values, span):
    def last(window):
        return window.ewm(span=span).mean().iloc[-1]

    return pd.Series(values).rolling(3 * span).apply(last, raw=False)


def assert_is(name, expected):
    expected = np.asarray(expected)
    both = ~np.isnan(expected)
    assert both.sum() > 50
    np.testing.assert_allclose(OURS[name][both], expected[both], rtol=1e-9, atol=1e-12)
    assert np.isnan(OURS[name][~both]).all()


def test_averages():
    for n in (10, 20, 50):
        assert_is(f"SMA{n}", CLOSE / CLOSE.rolling(n).mean() - 1)
    for n in (12, 26):
        assert_is(f"EMA{n}", CLOSE / ema(CLOSE, n) - 1)
    assert_is("ROC10", CLOSE.pct_change(10))


def test_macd():
    line = ema(CLOSE, 12) - ema(CLOSE, 26)
    assert_is("MACD", line / CLOSE)
    assert_is("MACD_SIGNAL", ema(line, 9) / CLOSE)
    assert_is("MACD_HIST", (line - ema(line, 9)) / CLOSE)


def test_rsi():
    change = CLOSE.diff()
    strength = wilder(change.clip(lower=0)) / wilder((-change).clip(lower=0))
    assert_is("RSI14", 1 - 1 / (1 + strength))


def test_bollinger_bands():
    middle, spread = CLOSE.rolling(20).mean(), CLOSE.rolling(20).std(ddof=0)
    assert_is("BOLLINGER_B", (CLOSE - (middle - 2 * spread)) / (4 * spread))
    assert_is("BOLLINGER_WIDTH", 4 * spread / middle)


def test_true_range_stochastic_and_williams():
    assert_is("ATR14", wilder(TRUE_RANGE) / CLOSE)
    top, bottom = HIGH.rolling(14).max(), LOW.rolling(14).min()
    k = (CLOSE - bottom) / (top - bottom)
    assert_is("STOCHASTIC_K", k)
    assert_is("STOCHASTIC_D", k.rolling(3).mean())
    assert_is("WILLIAMS_R", (CLOSE - top) / (top - bottom))


def test_cci_money_flow_and_on_balance_volume():
    typical = (HIGH + LOW + CLOSE) / 3
    window = typical.rolling(20)
    away = window.apply(lambda w: np.abs(w - w.mean()).mean(), raw=True)
    assert_is("CCI20", (typical - window.mean()) / (0.015 * away) / 100)
    flow, moved = typical * VOLUME, typical.diff()
    into = flow.where(moved > 0, 0).where(moved.notna()).rolling(14).sum()
    out_of = flow.where(moved < 0, 0).where(moved.notna()).rolling(14).sum()
    assert_is("MFI14", into / (into + out_of))
    on_balance = (np.sign(CLOSE.diff()) * VOLUME).fillna(0).cumsum()
    change = on_balance - on_balance.shift(20)
    assert_is("OBV20", change / VOLUME.rolling(20).sum())


def test_directional_movement():
    up, down = HIGH.diff(), -LOW.diff()
    plus = up.where((up > down) & (up > 0), 0).where(up.notna())
    minus = down.where((down > up) & (down > 0), 0).where(up.notna())
    plus, minus = wilder(plus) / wilder(TRUE_RANGE), wilder(minus) / wilder(TRUE_RANGE)
    assert_is("PLUS_DI14", plus)
    assert_is("MINUS_DI14", minus)
    assert_is("ADX14", wilder((plus - minus).abs() / (plus + minus)))


def test_a_steady_rise_is_a_trend_without_doubt():
    close = np.linspace(100, 200, 200)
    rise = {"high": close + 1, "low": close - 1, "close": close, "volume": np.ones(200)}
    last = {name: values[-1] for name, values in found(indicators, rise).items()}
    assert last["ADX14"] == pytest.approx(1)
    assert last["MINUS_DI14"] == 0
    assert last["RSI14"] == last["MFI14"] == 1
    assert last["OBV20"] == pytest.approx(1)
    assert last["MACD"] > 0


def test_where_nothing_moves_all_is_neutral():
    flat = {name: np.full(200, 0.1) for name in ("high", "low", "close", "volume")}
    last = {name: values[-1] for name, values in found(indicators, flat).items()}
    assert not any(np.isnan(list(last.values())))
    half = {name for name, value in last.items() if value == 0.5}
    assert half == {"RSI14", "BOLLINGER_B", "STOCHASTIC_K", "STOCHASTIC_D", "MFI14"}
    assert last["CCI20"] == last["OBV20"] == last["ADX14"] == 0
    assert {n: v for n, v in found(returns, flat).items() if v[-1] != 0} == {}


def test_momentum_leaves_out_the_last_month():
    c = columns(300)
    ours = found(momentum, c)
    close = c["close"]
    assert ours["MOM12_1"][299] == close[278] / close[47] - 1
    assert ours["MOM1"][299] == close[299] / close[278] - 1
    assert ours["MOM6"][299] == close[299] / close[173] - 1
    assert ours["HIGH12"][299] == close[299] / close[48:].max()


def test_returns_are_scaled_by_the_volatility_of_60_bars():
    logs = np.log(C["close"])
    sigma = np.sqrt(np.mean(np.diff(logs)[-60:] ** 2))
    ours = found(returns, C)
    assert ours["RETURN_5"][-1] == pytest.approx((logs[-1] - logs[-6]) / sigma / np.sqrt(5))
    short = np.sqrt(np.mean(np.diff(logs)[-10:] ** 2))
    assert ours["SIGMA_RATIO"][-1] == pytest.approx(np.log(short / sigma))


@pytest.mark.parametrize(
    ("make", "reach"), [(indicators, REACH), (momentum, MOMENTUM_REACH), (returns, 61)]
)
def test_no_indicator_looks_further_back_than_it_says(make, reach):
    c = columns(400)
    whole = found(make, c)
    part = found(make, {name: values[400 - reach :] for name, values in c.items()})
    shorter = found(make, {name: values[401 - reach :] for name, values in c.items()})
    assert all(part[name][-1].tobytes() == whole[name][-1].tobytes() for name in whole)
    assert any(np.isnan(shorter[name][-1]) for name in whole)  # the bound is not too wide
    for values in whole.values():
        assert not np.isnan(values[reach - 1 :]).any()


def test_the_unit_of_price_and_volume_is_no_matter():
    other = {name: values * (16.0 if name == "volume" else 8.0) for name, values in C.items()}
    for name, values in found(indicators, other).items():
        assert values.tobytes() == OURS[name].tobytes(), name
