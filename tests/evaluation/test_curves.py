"""Curves pass through the values that loops over thresholds give; bands hold them."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from scipy.stats import beta

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation import metrics
from fintech_dl.evaluation.curves import (
    accuracy_ratio,
    calibration_curve,
    cap_curve,
    jeffreys,
    lift_table,
    precision_recall_curve,
    roc_curve,
)
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.significance import bootstrap


def outcome(n=700, seed=0, weighted=False, digits=2):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.1).astype(int)
    score = np.round(1 / (1 + np.exp(-(rng.normal(size=n) + 2 * y - 2.5))), digits)
    when = pd.Timestamp("2024-03-01") + pd.to_timedelta(np.repeat(np.arange(7), n // 7), unit="D")
    weight = rng.integers(1, 4, n) if weighted else None
    return Outcome(y=y, score=score, weight=weight, when=when)


@pytest.mark.fault(30)
@pytest.mark.parametrize("weighted", [True, False])
def test_curves_equal_loops_over_thresholds(weighted):
    o = outcome(weighted=weighted)
    w = o.weights
    points = []
    for threshold in np.unique(o.score)[::-1]:
        alert = o.score >= threshold
        hits = w[alert & (o.y == 1)].sum()
        points.append((hits / w[o.y == 1].sum(), hits / w[alert].sum()))
    curve = precision_recall_curve(o, n=30)
    for level, precision in zip(curve["recall"], curve["precision"], strict=True):
        reached = [p for r, p in points if r >= level - 1e-9 and r > 0]
        assert precision == pytest.approx(reached[0])
    curve = roc_curve(o, n=30)
    assert len(curve) <= 200
    fpr, tpr, _ = sklearn.metrics.roc_curve(o.y, o.score, sample_weight=o.weight)
    for rate, recall in zip(curve["fpr"], curve["recall"], strict=True):
        reached = metrics.recall_at_fpr(o.y, o.score, rate, weight=o.weight)
        assert recall == pytest.approx(max(reached, np.interp(rate, fpr, tpr)))


def test_equal_scores_give_the_diagonal():
    curve = roc_curve(Outcome(y=[0, 1, 0, 1, 0], score=np.full(5, 0.4)), n=20)
    assert np.allclose(curve["recall"], curve["fpr"])


def test_bands_hold_the_curve_and_agree_with_the_metric():
    o = outcome()
    curve = roc_curve(o, n=400)
    assert (curve["low"] <= curve["recall"] + 1e-9).all()
    assert (curve["high"] >= curve["recall"] - 1e-9).all()
    at = curve[np.isclose(curve["fpr"], 0.01)].iloc[0]
    single = bootstrap(o, ["recall_at_fpr_1"], n=400)["recall_at_fpr_1"]
    assert np.all(np.array([at["recall"], at["low"], at["high"]]) >= np.array(single) - 1e-9)
    assert at["recall"] < single.value + 0.1
    curve = precision_recall_curve(o, n=400)
    inner = curve[(curve["recall"] > 0.1) & (curve["recall"] < 0.9)]
    assert (inner["low"] < inner["high"]).all()


def test_folds_are_averaged():
    a, b = outcome(), outcome(seed=1)
    both = roc_curve([a, b], n=30)["recall"]
    assert np.allclose(both, (roc_curve(a, n=30)["recall"] + roc_curve(b, n=30)["recall"]) / 2)


@pytest.mark.parametrize("weighted", [True, False])
def test_calibration_equals_the_bins(weighted):
    o = outcome(weighted=weighted)
    found = calibration_curve(o, bins=5)
    at = metrics.equal_mass_bins(o.score, 5, weight=o.weight)
    assert found["rows"].tolist() == np.bincount(at).tolist()
    assert found["positives"].sum() == o.y.sum()
    for i, line in found.iterrows():
        inside = at == i
        w = o.weights[inside]
        assert line["predicted"] == pytest.approx(np.average(o.score[inside], weights=w))
        assert line["observed"] == pytest.approx(np.average(o.y[inside], weights=w))
        assert line["low"] <= line["observed"] <= line["high"]
    gap = (found["predicted"] - found["observed"]).abs()
    mass = np.bincount(at, o.weights) / o.weights.sum()
    assert (gap * mass).sum() == pytest.approx(metrics.ece(o.y, o.score, weight=o.weight, bins=5))


def test_weights_that_copy_rows_widen_the_interval_as_fewer_rows_do():
    y, p = np.tile([0, 1, 0, 0], 50), np.full(200, 0.25)
    plain = calibration_curve(Outcome(y, p))
    doubled = calibration_curve(Outcome(y, p, weight=np.full(200, 2.0)))
    assert doubled["low"][0] == pytest.approx(plain["low"][0])
    uneven = calibration_curve(Outcome(y, p, weight=np.repeat([1, 9], 100)))
    assert uneven["high"][0] - uneven["low"][0] > plain["high"][0] - plain["low"][0]


@pytest.mark.fault(30)
def test_jeffreys_constants():
    low, high = jeffreys(np.array([28.0, 0.0, 10.0]), np.array([1000.0, 10.0, 10.0]))
    assert low[0] == pytest.approx(beta.ppf(0.025, 28.5, 972.5))
    assert beta.cdf(0.02, 28.5, 972.5) == pytest.approx(0.0410, abs=5e-5)  # the ECB's test
    assert (low[1], high[2]) == (0, 1)
    assert high[1] == pytest.approx(0.2172, abs=1e-4)


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(UsageError, match="between 0 and 1"):
        calibration_curve(Outcome([0, 1], [0.0, 3.0]))


# ---- CAP and lift -----------------------------------------------------------------------------


@pytest.mark.fault(30)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("digits", [1, 2, 9])
def test_the_accuracy_ratio_is_the_gini_also_with_ties(weighted, digits):
    o = outcome(weighted=weighted, digits=digits)
    assert accuracy_ratio(o) == pytest.approx(metrics.gini(o.y, o.score, weight=o.weight))
    with pytest.raises(DataError, match="both classes"):
        accuracy_ratio(Outcome(y=[1, 1], score=[0, 1]))


@pytest.mark.parametrize("weighted", [True, False])
def test_the_cap_curve_takes_rows_from_the_top(weighted):
    o = outcome(weighted=weighted, digits=9)
    order = np.argsort(-o.score)
    population = np.append(0, np.cumsum(o.weights[order])) / o.weights.sum()
    positives = (o.weights * o.y)[order]
    captured = np.append(0, np.cumsum(positives)) / positives.sum()
    curve = cap_curve(o, n=30)
    np.testing.assert_allclose(
        curve["captured"], np.interp(curve["population"], population, captured), atol=1e-12
    )
    assert (curve["low"] <= curve["captured"] + 1e-9).all()
    assert (curve["high"] >= curve["captured"] - 1e-9).all()
    assert (curve["perfect"] >= curve["captured"] - 1e-9).all()
    assert (curve["perfect"] < 1).sum() == pytest.approx(100 * rate(o), abs=1)
    ideal = Outcome(y=o.y, score=o.y, weight=o.weight)
    same = cap_curve(ideal, n=20)
    np.testing.assert_allclose(same["captured"], same["perfect"], atol=1e-12)


def rate(o):
    return np.average(o.y, weights=o.weights)


def test_equal_scores_give_a_straight_cap_curve():
    curve = cap_curve(Outcome(y=[0, 1, 0, 1, 0], score=np.full(5, 0.4)), n=20)
    np.testing.assert_allclose(curve["captured"], curve["population"])


@pytest.mark.parametrize("weighted", [True, False])
def test_lift_by_decile(weighted):
    o = outcome(weighted=weighted, digits=9)
    table = lift_table(o)
    assert table["bin"].tolist() == list(range(1, 11))
    assert table["rows"].sum() == len(o)
    assert table["positives"].sum() == o.y.sum()
    top = table.iloc[0]
    assert (top["lowest"], top["highest"]) == (
        o.score[o.score >= top["lowest"]].min(),
        o.score.max(),
    )
    at = o.score >= top["lowest"]
    assert top["rows"] == at.sum()
    assert top["rate"] == pytest.approx(np.average(o.y[at], weights=o.weights[at]))
    assert top["lift"] == pytest.approx(top["rate"] / rate(o))
    assert top["low"] < top["rate"] < top["high"]
    np.testing.assert_allclose(table["share"], 0.1, atol=0.01)
    third = table.iloc[2]
    at = o.score >= third["lowest"]
    caught = (o.weights * o.y)[at].sum() / (o.weights * o.y).sum()
    assert third["cumulative_captured"] == pytest.approx(caught)
    assert third["cumulative_lift"] == pytest.approx(
        caught / (o.weights[at].sum() / o.weights.sum())
    )
    assert table["cumulative_lift"].iloc[-1] == pytest.approx(1)


def test_lift_of_tied_scores_and_without_positives():
    table = lift_table(Outcome(y=[0, 1, 0, 1], score=[0.5, 0.5, 0.5, 0.9]), bins=4)
    assert table["rows"].tolist() == [1, 3]
    assert table["captured"].tolist() == [0.5, 0.5]
    with pytest.raises(DataError, match="no positives"):
        lift_table(Outcome(y=[0, 0], score=[0.1, 0.2]))
