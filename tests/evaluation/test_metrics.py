"""Metrics equal scikit-learn, hand constants and loops; ties and weights included."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn import metrics as sk

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation import metrics
from fintech_dl.evaluation.alerts import day_of


def scored(n=500, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.15).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * y - 1)))
    if ties:
        score = np.round(score, 1)
    return y, score, rng.integers(0, 4, n).astype(float)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_equal_to_scikit_learn(ties, weighted):
    y, score, w = scored(ties=ties)
    given = {"weight": w} if weighted else {}
    theirs = {"sample_weight": w} if weighted else {}
    for mine, other in [
        (metrics.average_precision, sk.average_precision_score),
        (metrics.roc_auc, sk.roc_auc_score),
        (metrics.brier, sk.brier_score_loss),
        (metrics.log_loss, sk.log_loss),
    ]:
        assert mine(y, score, **given) == pytest.approx(other(y, score, **theirs), abs=1e-12)


def test_integer_weights_equal_repeated_rows():
    y, score, w = scored()
    at = np.repeat(np.arange(len(y)), w.astype(int))
    for measure in (
        metrics.average_precision,
        metrics.roc_auc,
        metrics.gini,
        lambda *a, **k: metrics.ks(*a, **k).value,
        metrics.brier,
        metrics.log_loss,
        metrics.ece,
        lambda *a, **k: metrics.recall_at_fpr(*a, 0.05, **k),
        lambda *a, **k: metrics.precision_at_k(*a, 60, **k),
    ):
        assert measure(y, score, weight=w) == pytest.approx(measure(y[at], score[at]), abs=1e-12)


def test_hand_constants():
    y, score = [1, 0, 1, 0, 0], [0.9, 0.8, 0.8, 0.3, 0.1]
    assert metrics.average_precision(y, score) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert metrics.roc_auc(y, score) == pytest.approx((3 + 2.5) / 6)
    assert metrics.recall_at_fpr(y, score, 0.3) == 0.5
    assert metrics.recall_at_fpr(y, score, 1 / 3) == 1.0
    assert metrics.precision_at_k(y, score, 1) == 1.0
    assert metrics.precision_at_k(y, score, 2) == pytest.approx(1.5 / 2)
    assert metrics.precision_at_k(y, score, 10) == pytest.approx(2 / 10)
    assert metrics.brier([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert metrics.log_loss([1, 0], [0.5, 0.75]) == pytest.approx(np.log(2) * 1.5)
    assert metrics.log_loss([1], [0.0]) == pytest.approx(-np.log(np.finfo(float).eps))


def test_recall_at_fpr_equals_a_loop_over_thresholds():
    y, score, w = scored()
    for fpr in (0.0, 0.01, 0.1, 0.5, 1.0):
        best = 0.0
        for threshold in [*np.unique(score), np.inf]:
            alert = score >= threshold
            if w[alert & (y == 0)].sum() <= fpr * w[y == 0].sum():
                best = max(best, w[alert & (y == 1)].sum() / w[y == 1].sum())
        assert metrics.recall_at_fpr(y, score, fpr, weight=w) == pytest.approx(best)


@pytest.mark.parametrize("ties", [True, False])
def test_ks_equals_scipy_and_says_where(ties):
    y, score, w = scored(ties=ties)
    found = metrics.ks(y, score)
    theirs = ks_2samp(score[y == 1], score[y == 0])
    assert found.value == pytest.approx(theirs.statistic)
    high = score >= found.score
    assert high[y == 1].mean() - high[y == 0].mean() == pytest.approx(found.value)
    weighted = metrics.ks(y, score, weight=w)
    high = score >= weighted.score
    caught = np.average(high[y == 1], weights=w[y == 1])
    assert caught - np.average(high[y == 0], weights=w[y == 0]) == pytest.approx(weighted.value)


def test_scores_upside_down_have_no_ks_and_a_gini_below_0():
    y, score, _ = scored(ties=False)
    assert metrics.ks([0, 0, 1, 1], [4, 3, 2, 1]) == (0.0, np.inf)
    assert metrics.gini(y, -score) == pytest.approx(-metrics.gini(y, score))
    assert metrics.gini([0, 1], [1, 2]) == metrics.ks([0, 1], [1, 2]).value == 1


def test_precision_at_k_is_the_mean_over_orders_of_ties():
    y, score, _ = scored(60)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(4000):
        order = np.lexsort((rng.random(len(y)), -score))
        drawn.append(y[order[:20]].mean())
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert error > 0
    assert abs(metrics.precision_at_k(y, score, 20) - np.mean(drawn)) < 4 * error


def test_ece_of_two_bins_by_hand():
    y, p = [0, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    expected = 3 / 6 * abs(0.2 - 1 / 3) + 3 / 6 * abs(0.7 - 2 / 3)
    assert metrics.ece(y, p, bins=2) == pytest.approx(expected)
    assert metrics.ece([0, 1], [0.5, 0.5]) == 0


def test_bins_hold_equal_weight_and_never_part_ties():
    rng = np.random.default_rng(0)
    at = metrics.equal_mass_bins(rng.random(1000), 10)
    assert np.bincount(at).tolist() == [100] * 10
    score = rng.integers(0, 7, 1000)
    at = metrics.equal_mass_bins(score, 10)
    assert pd.Series(at).groupby(score).nunique().max() == 1
    weighted = metrics.equal_mass_bins([1, 2, 3, 4], 2, weight=[3, 1, 1, 1])
    assert weighted.tolist() == [0, 1, 1, 1]


def card_loop(frame, k):
    """Card precision day by day, with plain sets and dicts."""
    blocked, values = set(), []
    for _, day in frame.groupby("day"):
        best, fraud = {}, {}
        for row in day.itertuples():
            if row.who not in blocked:
                best[row.who] = max(best.get(row.who, -np.inf), row.score)
                fraud[row.who] = fraud.get(row.who, 0) or row.y
        top = sorted(best, key=lambda card: (-best[card], card))[:k]
        found = [card for card in top if fraud[card]]
        blocked.update(found)
        values.append(len(found) / k)
    return values


@pytest.mark.parametrize("k", [1, 5, 50])
def test_card_precision_equals_a_loop(k):
    y, score, _ = scored(2000, seed=3)
    rng = np.random.default_rng(4)
    when = pd.Timestamp("2024-03-01") + pd.to_timedelta(
        np.sort(rng.integers(0, 6 * 86_400, 2000)), unit="s"
    )
    who = rng.integers(0, 80, 2000)
    frame = pd.DataFrame({"y": y, "score": score, "who": who, "day": when.normalize()})
    found = metrics.card_precision_by_day(y, score, who, when, k)
    assert found.tolist() == pytest.approx(card_loop(frame, k))
    assert metrics.card_precision_at_k(y, score, who, when, k) == pytest.approx(found.mean())


def test_a_found_card_is_blocked_on_later_days_only():
    when = pd.to_datetime(["2024-01-01 08:00", "2024-01-01 09:00"] + ["2024-01-02 08:00"] * 2)
    found = metrics.card_precision_by_day([0, 1, 1, 0], [0.9, 0.1, 0.9, 0.2], list("aaab"), when, 1)
    assert found.tolist() == [1.0, 0.0]


def test_costs_by_hand():
    y, alerts, amount = [1, 1, 0, 0, 1], [1, 0, 1, 0, 0], [100.0, 30.0, 20.0, 10.0, 5.0]
    assert metrics.cost(y, alerts, amount, 4.0) == 30 + 5 + 4
    assert metrics.cost(y, alerts, amount, 4.0, weight=[1, 2, 3, 1, 0]) == 60 + 12
    assert metrics.savings(y, alerts, amount, 4.0) == pytest.approx(1 - 39 / 8)
    assert metrics.savings(y, alerts, amount, 100.0) == pytest.approx(1 - 135 / 135)
    assert metrics.savings(y, y, amount, 4.0) == 1


def test_effective_rows():
    w = np.random.default_rng(0).random(50)
    for n in (1, 50):
        assert metrics.effective_rows(np.full(n, 0.5)) == n
    n = metrics.effective_rows(w)
    assert 1 < n < 50
    assert metrics.effective_rows(4 * w) == n
    assert metrics.effective_rows(np.append(w, np.zeros(9))) == pytest.approx(n, rel=1e-12)
    assert metrics.effective_rows(np.zeros(3)) == metrics.effective_rows(np.zeros(0)) == 0


def test_days_are_those_of_the_wall_clock():
    when = pd.date_range("2024-01-01 23:30", periods=2, freq="h", tz="Europe/Brussels")
    assert day_of(when).astype(str).tolist()[0].startswith("2024-01-01")
    assert len(set(day_of(when))) == 2


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: metrics.roc_auc([0, 0], [1, 2]), DataError, "0 positive and 2 negative"),
        (lambda: metrics.roc_auc([0, 1], [1, 2], weight=[1, 0]), DataError, "weights 0 and 1"),
        (lambda: metrics.ks([0, 0], [1, 2]), DataError, "0 positive and 2 negative"),
        (lambda: metrics.average_precision([1, 1], [1, 2]), DataError, "2 positive and 0"),
        (lambda: metrics.brier([0, 1], [-1, 2]), UsageError, "run from -1 to 2"),
        (lambda: metrics.log_loss([0, 1], [0, 37.2]), UsageError, r"add \[calibration\]"),
        (lambda: metrics.savings([0, 0], [0, 0], [1, 1], 5), DataError, "costs nothing already"),
        (
            lambda: metrics.card_precision_by_day([0], [1], [1], ["2024-01-01"], 0),
            UsageError,
            "k = 0",
        ),
    ],
)
def test_what_cannot_be_measured_is_said(call, error, text):
    with pytest.raises(error, match=text):
        call()
