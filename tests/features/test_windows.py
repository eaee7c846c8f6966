"""Windows: the numbers of pandas and NumPy, and the same bits whatever stands around a window."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import UsageError
from fintech_dl.features import windows
from fintech_dl.features.windows import (
    checked_lengths,
    correlations,
    deviations,
    exponential,
    highest,
    in_blocks,
    lowest,
    means,
    quantiles,
    ranks,
    sums,
    trends,
    weighted_mean,
)

LENGTHS = (3, 5, 12)
RANDOM = np.random.default_rng(0)
WALK = 100 + RANDOM.normal(size=60).cumsum()
TIES = RANDOM.integers(0, 4, 60).astype(float)
OTHER = RANDOM.normal(size=60)


def line(window):
    t = np.arange(len(window))
    slope, start = np.polyfit(t, window, 1)
    r = np.corrcoef(t, window)[0, 1] if np.ptp(window) else np.nan
    return slope, r * r, window[-1] - start - slope * t[-1]


# name: ours by length, and the same of one window
STATISTICS = {
    "sum": (lambda x: sums(x, LENGTHS), np.sum),
    "mean": (lambda x: means(x, LENGTHS), np.mean),
    "mean of deviations": (lambda x: deviations(x, LENGTHS)[0], np.mean),
    "standard deviation": (lambda x: deviations(x, LENGTHS)[1], lambda w: np.std(w, ddof=1)),
    "slope": (lambda x: trends(x, LENGTHS)[0], lambda w: line(w)[0]),
    "R2": (lambda x: trends(x, LENGTHS)[1], lambda w: line(w)[1]),
    "residual": (lambda x: trends(x, LENGTHS)[2], lambda w: line(w)[2]),
    "highest": (lambda x: highest(x, LENGTHS)[0], np.max),
    "highest ago": (lambda x: highest(x, LENGTHS)[1], lambda w: len(w) - 1 - np.argmax(w)),
    "lowest": (lambda x: lowest(x, LENGTHS)[0], np.min),
    "lowest ago": (lambda x: lowest(x, LENGTHS)[1], lambda w: len(w) - 1 - np.argmin(w)),
    "rank": (lambda x: ranks(x, LENGTHS), lambda w: pd.Series(w).rank(pct=True).iloc[-1]),
    "quantile .8": (lambda x: quantiles(x, LENGTHS, [0.2, 0.8])[1], lambda w: np.quantile(w, 0.8)),
    "quantile .2": (lambda x: quantiles(x, LENGTHS, [0.2, 0.8])[0], lambda w: np.quantile(w, 0.2)),
    "weighted": (
        lambda x: {4: weighted_mean(x, np.array([4.0, 3.0, 2.0, 1.0]))},
        lambda w: np.average(w, weights=[1, 2, 3, 4]),
    ),
}


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("values", [WALK, TIES, np.full(20, 0.1), WALK[:5]])
def test_each_statistic_is_that_of_its_window(name, values):
    ours, of_window = STATISTICS[name]
    for n, found in ours(values).items():
        assert np.isnan(found[: n - 1]).all()
        expected = [of_window(values[i - n + 1 : i + 1]) for i in range(n - 1, len(values))]
        np.testing.assert_allclose(found[n - 1 :], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("values", [WALK, TIES])
def test_correlation(values):
    for n, found in correlations(values, OTHER, LENGTHS).items():
        expected = pd.Series(values).rolling(n).corr(pd.Series(OTHER))
        flat = pd.Series(values).rolling(n).std() == 0
        assert np.isnan(found[flat]).all()
        np.testing.assert_allclose(found[~flat], expected[~flat], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_window_has_the_same_bits_wherever_the_series_begins_and_ends(name):
    ours, _ = STATISTICS[name]
    for n, whole in ours(WALK).items():
        for begin, end in [(1, 60), (7, 41), (20, 20 + n)]:
            part = ours(WALK[begin:end])[n]
            assert part[n - 1 :].tobytes() == whole[begin + n - 1 : end].tobytes()


def test_no_digits_cancel_at_a_high_level():
    level = 2.0**30
    small = np.round(OTHER * 1024) / 1024  # so that adding the level loses nothing
    for ours in (lambda x: deviations(x, LENGTHS)[1], lambda x: trends(x, LENGTHS)[1]):
        for n, found in ours(small + level).items():
            np.testing.assert_array_equal(found, ours(small)[n])
    for n, found in correlations(small + level, OTHER, LENGTHS).items():
        np.testing.assert_array_equal(found, correlations(small, OTHER, LENGTHS)[n])


def test_a_missing_value_is_missing_in_every_sum_that_touches_it():
    values = WALK.copy()
    values[20] = np.nan
    for name in ("sum", "mean", "standard deviation", "slope", "residual", "highest", "lowest"):
        for n, found in STATISTICS[name][0](values).items():
            assert np.flatnonzero(np.isnan(found[n - 1 :])).tolist() == list(
                range(20 - n + 1, 21)
            ), name


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_blocks_change_no_bit(monkeypatch, rows):
    def make(columns):
        yield "spread", deviations(columns["x"], [12])[1][12]
        yield "rank", ranks(columns["x"], [5])[5]

    names, whole = in_blocks(make, {"x": WALK}, 12, dtype=np.float64)
    assert names == ["spread", "rank"]
    assert whole[0].tobytes() == deviations(WALK, [12])[1][12].tobytes()
    monkeypatch.setattr(windows, "BLOCK_ROWS", rows)
    _, blocks = in_blocks(make, {"x": WALK}, 12, dtype=np.float64)
    assert blocks.tobytes() == whole.tobytes()


def test_too_short_a_reach_would_show(monkeypatch):
    """The test above could fail: a block that does not see the bars before gives other numbers."""
    monkeypatch.setattr(windows, "BLOCK_ROWS", 7)
    _, found = in_blocks(lambda c: [("s", sums(c["x"], [12])[12])], {"x": WALK}, reach=6)
    assert np.isnan(found[0, 12:]).any()


def test_an_exponential_mean_is_that_of_pandas_on_the_same_bars():
    found = weighted_mean(WALK, exponential(12, 36))
    for i in (35, 59):
        expected = pd.Series(WALK[i - 35 : i + 1]).ewm(span=12).mean().iloc[-1]
        assert found[i] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("lengths", [[], [5, 5], [2], [5.0], [True], [1001]])
def test_lengths_that_mean_nothing_are_refused(lengths):
    with pytest.raises(UsageError, match=r"windows=.*whole numbers of bars from 3 to 1000"):
        checked_lengths(lengths, 3, "windows")
