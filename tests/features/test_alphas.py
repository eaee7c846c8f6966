"""The Alpha158-like set: each feature as its published definition says, worked out bar by bar."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.features.alphas import WINDOWS, alphas

N = 90


def columns(n=N):
    random = np.random.default_rng(1)
    close = np.round(50 + random.normal(0, 1, n).cumsum(), 1)
    start = np.round(close + random.normal(0, 0.5, n), 1)
    return {
        "open": start,
        "high": np.maximum(start, close) + np.round(random.random(n), 1),
        "low": np.minimum(start, close) - np.round(random.random(n), 1),
        "close": close,
        "volume": random.integers(100, 10_000, n).astype(float),
    }


def of_window(c, t, d):
    """Return the 29 features of the window of d bars that ends at bar t."""
    w = slice(t - d + 1, t + 1)
    close, high, low, volume = (c[name][w] for name in ("close", "high", "low", "volume"))
    before = c["close"][t - d : t]
    before_volume = c["volume"][t - d : t]
    now, x = c["close"][t], np.arange(d)
    slope, start = np.polyfit(x, close, 1)
    change, more = close - before, volume - before_volume
    paced = np.abs(close / before - 1) * volume
    top, bottom = high.max(), low.min()

    def moves(change):
        up, down = np.maximum(change, 0).sum(), np.maximum(-change, 0).sum()
        return [up / (up + down), down / (up + down), (up - down) / (up + down)]

    return {
        "ROC": c["close"][t - d] / now,
        "MA": close.mean() / now,
        "STD": close.std(ddof=1) / now,
        "BETA": slope / now,
        "RSQR": np.corrcoef(x, close)[0, 1] ** 2,
        "RESI": (now - start - slope * (d - 1)) / now,
        "MAX": top / now,
        "MIN": bottom / now,
        "QTLU": np.quantile(close, 0.8) / now,
        "QTLD": np.quantile(close, 0.2) / now,
        "RANK": pd.Series(close).rank(pct=True).iloc[-1],
        "RSV": (now - bottom) / (top - bottom),
        "IMAX": (np.argmax(high) + 1) / d,
        "IMIN": (np.argmin(low) + 1) / d,
        "IMXD": (np.argmax(high) - np.argmin(low)) / d,
        "CORR": np.corrcoef(close, np.log(volume + 1))[0, 1],
        "CORD": np.corrcoef(close / before, np.log(volume / before_volume + 1))[0, 1],
        "CNTP": (change > 0).mean(),
        "CNTN": (change < 0).mean(),
        "CNTD": (change > 0).mean() - (change < 0).mean(),
        **dict(zip(("SUMP", "SUMN", "SUMD"), moves(change), strict=True)),
        "VMA": volume.mean() / volume[-1],
        "VSTD": volume.std(ddof=1) / volume[-1],
        "WVMA": paced.std(ddof=1) / paced.mean(),
        **dict(zip(("VSUMP", "VSUMN", "VSUMD"), moves(more), strict=True)),
    }


def of_bar(c, t):
    start, high, low, close = (c[name][t] for name in ("open", "high", "low", "close"))
    upper, lower = max(start, close), min(start, close)
    return {
        "KMID": (close - start) / start,
        "KLEN": (high - low) / start,
        "KMID2": (close - start) / (high - low),
        "KUP": (high - upper) / start,
        "KUP2": (high - upper) / (high - low),
        "KLOW": (lower - low) / start,
        "KLOW2": (lower - low) / (high - low),
        "KSFT": (2 * close - high - low) / start,
        "KSFT2": (2 * close - high - low) / (high - low),
        "OPEN0": start / close,
        "HIGH0": high / close,
        "LOW0": low / close,
        "TYP0": (high + low + close) / 3 / close,
    }


def found(c, windows=WINDOWS):
    with np.errstate(all="ignore"):
        return dict(alphas(c, windows))


def test_there_are_158_of_the_usual_names():
    names = list(found(columns()))
    assert len(names) == len(set(names)) == 158
    c = columns()
    assert set(names) == {
        *of_bar(c, 70),
        *(f"{n}{d}" for d in WINDOWS for n in of_window(c, 70, d)),
    }


@pytest.mark.parametrize("t", [60, 73, N - 1])
def test_each_feature_is_as_defined(t):
    c = columns()
    ours = found(c)
    expected = of_bar(c, t)
    for d in WINDOWS:
        expected |= {f"{name}{d}": value for name, value in of_window(c, t, d).items()}
    for name, value in expected.items():
        assert ours[name][t] == pytest.approx(value, rel=1e-9, abs=1e-11), name


def test_windows_that_are_not_full_are_missing():
    for name, values in found(columns(), [20]).items():
        lacking = np.flatnonzero(np.isnan(values))
        assert len(lacking) in ((0,) if not name.endswith("20") else (19, 20)), name


def test_the_unit_of_price_and_volume_is_no_matter():
    c = columns()
    other = {name: values * (16.0 if name == "volume" else 8.0) for name, values in c.items()}
    one, two = found(c), found(other)
    for name in one:
        if not name.startswith("CORR"):  # ln(V + 1) knows the unit of the volume
            assert one[name].tobytes() == two[name].tobytes(), name


def test_where_nothing_moves_shapes_and_moves_are_0_and_the_undefined_is_missing():
    flat = {name: np.full(70, 10.0) for name in columns()}
    last = {name: values[-1] for name, values in found(flat).items()}
    undefined = {name for name, value in last.items() if np.isnan(value)}
    assert undefined == {f"{name}{d}" for name in ("CORR", "CORD", "RSQR") for d in WINDOWS}
    for name in ("KMID2", "KSFT2", "RSV60", "SUMD20", "VSUMP5", "WVMA10", "STD30", "CNTP5"):
        assert last[name] == 0, name
    assert last["RANK5"] == 0.6  # the middle of five equal values


def test_a_day_without_trading_makes_no_infinity():
    c = columns()
    c["volume"][70:75] = 0
    for name, values in found(c).items():
        assert not np.isinf(values).any(), name
