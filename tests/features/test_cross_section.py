"""Ranks and z-scores of a date: those of pandas, and of nobody else's date."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.features import cross_section
from fintech_dl.features.cross_section import ranks_by_date, zscores_by_date


def panel(dtype=np.float64, ties=True):
    random = np.random.default_rng(0)
    date = np.repeat(np.arange(30), random.integers(1, 40, 30))
    values = random.integers(0, 15, len(date)) if ties else random.normal(size=len(date))
    values = values.astype(dtype)
    values[random.random(len(date)) < 0.1] = np.nan
    return values, date


@pytest.mark.parametrize("cells", [1, 200, 2**20])
@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranks_are_those_of_pandas(monkeypatch, cells, ties, dtype):
    monkeypatch.setattr(cross_section, "BLOCK_CELLS", cells)
    values, date = panel(dtype, ties)
    found = ranks_by_date(values, date)
    groups = pd.Series(values.astype(np.float64)).groupby(date)
    count = groups.transform("count").to_numpy()
    expected = (groups.rank().to_numpy() - 1) / np.maximum(count - 1, 1) - np.where(
        count > 1, 0.5, 0
    )
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.nanmin(found) == -0.5
    assert np.nanmax(found) == 0.5


def test_zscores_are_those_of_pandas():
    values, date = panel(ties=False)
    groups = pd.Series(values).groupby(date)
    expected = (values - groups.transform("mean")) / groups.transform("std")
    more = (groups.transform("count") > 1).to_numpy()
    found = zscores_by_date(values, date)
    np.testing.assert_allclose(found[more], expected[more], rtol=1e-10)
    assert (found[~more & ~np.isnan(values)] == 0).all()
    assert (np.isnan(found) == np.isnan(values)).all()


def test_equal_values_have_no_zscore_made_of_rounding():
    assert (zscores_by_date(np.full(7, 0.1), np.zeros(7, dtype=np.int64)) == 0).all()


@pytest.mark.parametrize("compare", [ranks_by_date, zscores_by_date])
def test_other_dates_change_no_bit(compare):
    values, date = panel(ties=False)
    whole = compare(values, date)
    for keep in (date >= 11, date < 11, date == 11):
        assert compare(values[keep], date[keep]).tobytes() == whole[keep].tobytes()


@pytest.mark.parametrize("compare", [ranks_by_date, zscores_by_date])
def test_nothing_of_nothing(compare):
    assert len(compare(np.empty(0), np.empty(0, dtype=np.int64))) == 0
    assert np.isnan(compare(np.array([np.nan, np.nan]), np.array([0, 0]))).all()
