"""Coverage of intervals by group."""

import numpy as np
import pytest
from scipy.stats import beta

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.coverage import coverage_by_group, terciles, wilson


def test_coverage_by_tercile_of_volatility():
    """Intervals of one width cover calm days too often and stormy ones too seldom."""
    random = np.random.default_rng(0)
    spread = np.exp(random.normal(0, 0.7, 6000))
    y = spread * random.normal(size=6000)
    width = np.quantile(np.abs(y), 0.9)
    group = terciles(spread)
    flat = coverage_by_group(y, np.full(6000, -width), np.full(6000, width), group, 0.9)
    assert flat.index.tolist() == ["all", "high", "low", "middle"]
    assert flat["kept"].tolist() == [True, False, False, False]
    assert flat.loc["low", "covered"] > 0.95
    assert flat.loc["high", "covered"] < 0.8
    scaled = coverage_by_group(y, -1.645 * spread, 1.645 * spread, group, 0.9)
    assert scaled["kept"].all()
    assert scaled["n"].tolist() == [6000, 2000, 2000, 2000]


def test_one_group_by_hand():
    y = np.array([0.0, 0.5, 2.0, -3.0, 1.0])
    low, high = np.full(5, -1.0), np.array([1.0, 1.0, 1.0, 1.0, 1.0])
    found = coverage_by_group(y, low, high, np.full(5, 2024), 0.9).loc[2024]
    assert (found["n"], found["covered"]) == (5, 0.6)
    assert (found["below"], found["above"], found["width"]) == (0.2, 0.2, 2.0)
    exact = beta.ppf([0.025, 0.975], 3.5, 2.5)
    assert (found["low"], found["high"]) == pytest.approx(tuple(exact))
    found = coverage_by_group(y, low, high, np.full(5, 2024), 0.9, method="wilson").loc[2024]
    assert (found["low"], found["high"]) == pytest.approx(wilson(3, 5))


@pytest.mark.fault(30)
def test_wilson_reference():
    """Brown, Cai and DasGupta's form; 0 of 10 gives z^2 / (n + z^2) above."""
    z = 1.959963984540054
    assert wilson(0, 10) == pytest.approx((0, z**2 / (10 + z**2)))
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=5e-5)


def test_terciles_are_thirds():
    values = np.random.default_rng(0).random(999)
    names, counts = np.unique(terciles(values), return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"high": 333, "low": 333, "middle": 333}
    assert values[terciles(values) == "low"].max() < values[terciles(values) == "middle"].min()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"coverage": 90}, UsageError, "coverage: got 90"),
        ({"method": "wald"}, UsageError, "method: got 'wald'"),
        ({"high": [-9.0, 1.0]}, DataError, "in 1 rows `high` lies below `low`"),
        ({"group": [1.0, np.nan]}, DataError, "1 missing"),
        ({"low": [0.0]}, DataError, r"low has the shape \(1,\)"),
    ],
)
def test_what_cannot_be_counted_is_named(given, error, text):
    whole = {"y": [0.0, 0.0], "low": [-1.0, -1.0], "high": [1.0, 1.0], "group": [1, 1]}
    with pytest.raises(error, match=text):
        coverage_by_group(**({"coverage": 0.9} | whole | given))
