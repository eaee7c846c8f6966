"""p-values hold what they promise on normal rows, and alerts by them are rarely false."""

import numpy as np
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.p_values import (
    conformal_p_values,
    false_alarm_rates,
    few_false_alerts,
)


def test_p_values_are_counts_of_calibration_rows():
    rng = np.random.default_rng(0)
    known, new = rng.integers(0, 30, 99), rng.integers(-5, 35, 50)
    plain = [(1 + sum(k >= s for k in known)) / 100 for s in new]
    assert conformal_p_values(known, new).tolist() == plain
    assert conformal_p_values(known, known[::-1]).tolist() == [
        (1 + sum(k >= s for k in known)) / 100 for s in known[::-1]
    ]


def test_normal_rows_have_small_p_values_as_rarely_as_these_say():
    rng = np.random.default_rng(1)
    found = [conformal_p_values(rng.normal(size=99), rng.normal(size=50)) for _ in range(400)]
    for share in (0.01, 0.1, 0.5):
        assert np.mean(np.array(found) <= share) == pytest.approx(share, rel=0.15)


def test_few_alerts_of_a_batch_are_false_and_most_anomalies_are_found():
    rng = np.random.default_rng(2)
    false, missed = [], []
    for _ in range(200):
        known, odd = rng.normal(size=1000), rng.normal(loc=5, size=20)
        p = conformal_p_values(known, np.append(rng.normal(size=380), odd))
        alerts = few_false_alerts(p, 0.1)
        false.append(alerts[:380].sum() / max(alerts.sum(), 1))
        missed.append(1 - alerts[380:].mean())
    assert 0.05 < np.mean(false) < 0.11  # at most 0.1 of 380 / 400
    assert np.mean(missed) < 0.1


def test_a_batch_without_anomalies_rarely_raises_an_alert():
    rng = np.random.default_rng(3)
    raised = [
        few_false_alerts(conformal_p_values(rng.normal(size=999), rng.normal(size=50)), 0.1).any()
        for _ in range(500)
    ]
    assert np.mean(raised) < 0.13


@pytest.mark.parametrize("fpr", [0.01, 0.1])
def test_false_alarm_rates_are_about_what_was_asked(fpr):
    scores = np.random.default_rng(4).exponential(size=40_000)
    rates = false_alarm_rates(scores, fpr)
    assert len(rates) == 20
    assert rates.mean() == pytest.approx(fpr, rel=0.05)
    assert rates.std() > 0
    assert np.array_equal(rates, false_alarm_rates(scores, fpr))


def test_what_cannot_be_told_says_why():
    with pytest.raises(DataError, match="calibration: there are no scores"):
        conformal_p_values([], [1.0])
    with pytest.raises(DataError, match=r"scores: shape \(2,\), 1 not finite"):
        conformal_p_values([1.0], [np.nan, 1.0])
    with pytest.raises(DataError, match="expected one finite number per row"):
        conformal_p_values([[1.0]], [1.0])
    with pytest.raises(DataError, match=r"p runs from 0\.5 to 3; p-values are between 0 and 1"):
        few_false_alerts([0.5, 3.0])
    with pytest.raises(UsageError, match="share=1; allowed: above 0 and below 1"):
        few_false_alerts([0.5], 1)
    with pytest.raises(DataError, match="needs 198 scores or more"):
        false_alarm_rates(np.arange(100.0), 0.01)
    with pytest.raises(UsageError, match="fpr=0; allowed"):
        false_alarm_rates(np.arange(100.0), 0)
    assert conformal_p_values([1.0], []).tolist() == []
    assert few_false_alerts([]).tolist() == []
