"""The parts of the Brier score add up, and tests of calibration reject as often as they say."""

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import brier
from fintech_dl.evaluation.reliability import brier_decomposition, hosmer_lemeshow, spiegelhalter


def foretold(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 6, n)
    return (rng.random(n) < p).astype(int), p, rng.integers(0, 4, n).astype(float)


@pytest.mark.fault(30)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bins", [1, 3, 10, 500])
def test_the_parts_add_up_to_the_brier_score(bins, weighted):
    y, p, w = foretold()
    p = np.round(p**1.5, 2)  # ties, and not calibrated
    given = {"weight": w} if weighted else {}
    parts = brier_decomposition(y, p, bins=bins, **given)
    total = parts.reliability - parts.resolution + parts.uncertainty
    total += parts.within_variance - parts.within_covariance
    assert total == pytest.approx(parts.brier, abs=1e-12)
    assert parts.brier == pytest.approx(brier(y, p, **given), abs=1e-12)
    if bins == 1:
        assert parts.resolution == pytest.approx(0, abs=1e-15)
    else:
        assert parts.resolution > 0.001


def test_what_a_bin_hides_is_nothing_where_its_probabilities_are_equal():
    y, p, _ = foretold()
    p = np.where(p > np.median(p), 0.3, 0.1)
    parts = brier_decomposition(y, p, bins=2)
    assert abs(parts.within_variance) + abs(parts.within_covariance) < 1e-15
    low, high = y[p == 0.1].mean(), y[p == 0.3].mean()
    assert parts.reliability == pytest.approx(((0.1 - low) ** 2 + (0.3 - high) ** 2) / 2)
    assert parts.uncertainty == pytest.approx(y.mean() * (1 - y.mean()))


@pytest.mark.fault(30)
def test_hosmer_lemeshow_by_hand():
    y, p = np.repeat([0, 1, 0, 1], [90, 10, 70, 30]), np.repeat([0.1, 0.2], 100)
    found = hosmer_lemeshow(y, p, groups=2)
    assert found.statistic == pytest.approx(0 + (30 - 20) ** 2 / (100 * 0.2 * 0.8))
    assert found.p_value == pytest.approx(chi2.sf(6.25, 2))
    assert hosmer_lemeshow(y, p, groups=4).df == 2  # ties leave two groups that hold rows
    many = np.linspace(0.1, 0.2, 200)
    assert hosmer_lemeshow(y, many, in_sample=True).df == 8
    assert hosmer_lemeshow(y, np.zeros(200)).p_value == 0  # sure, and wrong
    assert hosmer_lemeshow([0, 0], [0.0, 0.0]).p_value == 1
    with pytest.raises(UsageError, match=r"1 groups hold rows .* take more groups"):
        hosmer_lemeshow(y, np.full(200, 0.2), in_sample=True)


@pytest.mark.fault(30)
def test_spiegelhalter_by_hand():
    y, p = np.array([0, 1, 1]), np.array([0.1, 0.2, 0.7])
    above = (0 - 0.1) * 0.8 + (1 - 0.2) * 0.6 + (1 - 0.7) * -0.4
    below = 0.64 * 0.09 + 0.36 * 0.16 + 0.16 * 0.21
    assert spiegelhalter(y, p).statistic == pytest.approx(above / np.sqrt(below))
    with pytest.raises(DataError, match=r"all probabilities are 0, 0\.5 or 1"):
        spiegelhalter([0, 1], [0.5, 0.5])


@pytest.mark.fault(30)
@pytest.mark.parametrize("test", [hosmer_lemeshow, spiegelhalter])
def test_p_values_are_even_where_the_probabilities_are_right(test):
    rng = np.random.default_rng(1)
    p = rng.uniform(0.05, 0.4, 2000)
    right = [test(rng.random(2000) < p, p).p_value for _ in range(400)]
    assert kstest(right, "uniform").pvalue > 0.001
    wrong = [test(rng.random(2000) < 1.5 * p, p).p_value for _ in range(20)]
    assert max(wrong) < 0.05


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(UsageError, match="needs probabilities between 0 and 1"):
        brier_decomposition([0, 1], [0.5, 1.5])
    with pytest.raises(DataError, match="2 labels and 3 probabilities"):
        hosmer_lemeshow([0, 1], [0.1, 0.2, 0.3])
