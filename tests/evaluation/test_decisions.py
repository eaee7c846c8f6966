"""Decision rules, what they cost, and the curve they lie on: by hand and by loop."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import Decision
from fintech_dl.errors import UsageError
from fintech_dl.evaluation import metrics
from fintech_dl.evaluation.decisions import by_day, cost_curve, decide, decided, summary
from fintech_dl.evaluation.outcomes import Outcome, evaluate

COST = Decision(rule="cost", false_alarm=5.0, amount="amount")


def outcome(n=600, seed=0, weighted=False, start="2024-03-01", digits=9):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.1).astype(int)
    p = np.round(1 / (1 + np.exp(-(rng.normal(size=n) + 2 * y - 2.5))), digits)
    when = pd.Timestamp(start) + pd.to_timedelta(np.sort(rng.random(n)) * 6, unit="D")
    return Outcome(
        y=y,
        score=p,
        weight=rng.integers(1, 4, n) if weighted else None,
        when=when,
        who=rng.integers(0, 50, n),
        amount=rng.lognormal(3, 1, n),
    )


def test_cost_rule_alerts_where_expected_loss_exceeds_the_alarm():
    o = outcome()
    assert (decide(COST, o.score, o.amount) == (o.score * o.amount > 5)).all()
    fixed = Decision(rule="cost", false_alarm=5.0, miss=50.0)
    assert (decide(fixed, o.score) == (o.score > 0.1)).all()
    edge = Decision(rule="cost", false_alarm=5.0, miss=10.0)
    assert decide(edge, [0.5, 0.5001]).tolist() == [False, True]


def test_cost_rule_is_the_cheapest_threshold_of_true_probabilities():
    rng = np.random.default_rng(0)
    n = 40_000
    p, amount = rng.beta(0.3, 3, n), rng.lognormal(3, 1, n)
    o = Outcome(y=rng.random(n) < p, score=p, amount=amount)
    curve = cost_curve(o, COST)
    cheapest = curve.loc[curve["cost"].idxmin(), "threshold"]
    # an alert on a fraud costs nothing here, so a slightly lower threshold would be cheapest
    assert 1.5 < cheapest < 8
    assert summary(o, COST)["cost"] < 1.03 * curve["cost"].min()


def test_capacity_takes_the_highest_of_each_day_and_the_earlier_of_equals():
    when = pd.to_datetime(["2024-01-01"] * 3 + ["2024-01-02"] * 4)
    rule = Decision(rule="capacity", per_day=2)
    found = decide(rule, [0.1, 0.1, 0.1, 0.2, 0.9, 0.8, 0.8], when=when)
    assert found.tolist() == [True, True, False, False, True, True, False]
    assert decide(Decision(rule="capacity", per_day=9), [0.1] * 7, when=when).all()


def test_threshold_includes_its_own_value():
    rule = Decision(rule="threshold", threshold=0.5)
    assert decide(rule, [0.4, 0.5, 37.0]).tolist() == [False, True, True]


@pytest.mark.parametrize("weighted", [True, False])
def test_summary_equals_sums_over_rows(weighted):
    o = outcome(weighted=weighted)
    w, alert, positive = o.weights, o.score * o.amount > 5, o.y == 1
    found = summary(o, COST)
    price = {
        "own": w[alert & ~positive].sum() * 5 + (w * o.amount)[~alert & positive].sum(),
        "none": (w * o.amount)[positive].sum(),
        "all": w[~positive].sum() * 5,
    }
    trivial = min(price["none"], price["all"])
    assert found == pytest.approx(
        {
            "rule": "cost",
            "text": "alert where probability x amount exceeds 5.00",
            "threshold": 5.0,
            "false_alarm": 5.0,
            "days": 6,
            "alerts": w[alert].sum(),
            "alerts_per_day": w[alert].sum() / 6,
            "true_alerts": w[alert & positive].sum(),
            "precision": w[alert & positive].sum() / w[alert].sum(),
            "recall": w[alert & positive].sum() / w[positive].sum(),
            "cost": price["own"],
            "cost_of_best_trivial": trivial,
            "best_trivial": "none" if price["none"] <= price["all"] else "all",
            "savings": 1 - price["own"] / trivial,
        }
    )
    assert evaluate(decided(o, COST), ["savings"])["savings"] == pytest.approx(found["savings"])
    assert found["savings"] == pytest.approx(
        metrics.savings(o.y, alert, o.amount, 5.0, weight=o.weight)
    )


def test_summary_of_folds_adds_them_up():
    a, b = outcome(), outcome(seed=1, start="2024-04-01")
    one, other, both = summary(a, COST), summary(b, COST), summary([a, b], COST)
    for key in ("alerts", "true_alerts", "cost", "days"):
        assert both[key] == pytest.approx(one[key] + other[key])
    assert both["alerts_per_day"] == pytest.approx(both["alerts"] / 12)


def test_summary_without_prices_or_times_leaves_them_open():
    o = outcome()
    bare = Outcome(y=o.y, score=o.score)
    found = summary(bare, Decision(rule="threshold", threshold=0.3))
    assert found["recall"] > 0
    assert found["alerts_per_day"] is found["cost"] is found["savings"] is None
    assert found["text"] == "alert where the score is 0.3 or more"
    silent = summary(bare, Decision(rule="threshold", threshold=2.0))
    assert (silent["alerts"], silent["precision"], silent["recall"]) == (0, None, 0)


def test_summary_of_capacity_says_the_least_score_alerted():
    o = outcome()
    rule = Decision(rule="capacity", per_day=10, false_alarm=5.0)
    found = summary(o, rule)
    assert found["alerts"] == 60
    assert found["threshold"] == o.score[decide(rule, o.score, when=o.when)].min()
    assert found["text"] == "alert on the 10 highest scores of each day"


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("weighted", [True, False])
def test_cost_curve_equals_a_loop_over_thresholds(weighted, digits):
    o = outcome(weighted=weighted, digits=digits)
    w, positive = o.weights, o.y == 1
    for rule, worth in [
        (COST, o.score * o.amount),
        (Decision(rule="threshold", false_alarm=5.0), o.score),
    ]:
        curve = cost_curve(o, rule, points=50)
        assert 2 < len(curve) <= 50
        assert (np.diff(curve["threshold"]) < 0).all()
        assert curve["threshold"].iloc[0] == worth.max()
        assert curve["threshold"].iloc[-1] == worth.min()
        for at in curve.itertuples():
            alert = worth >= at.threshold
            assert at.alerts == pytest.approx(w[alert].sum())
            assert at.true_alerts == pytest.approx(w[alert & positive].sum())
            assert at.recall == pytest.approx(at.true_alerts / w[positive].sum())
            assert at.precision == pytest.approx(at.true_alerts / at.alerts)
            assert at.alerts_per_day == pytest.approx(at.alerts / 6)
            expected = metrics.cost(o.y, alert, o.amount, 5.0, weight=o.weight)
            assert at.cost == pytest.approx(expected)


def test_cost_curve_without_prices_has_no_cost():
    o = outcome()
    curve = cost_curve(Outcome(y=o.y, score=o.score), Decision(rule="threshold"))
    assert list(curve) == ["threshold", "alerts", "true_alerts", "precision", "recall"]


def test_by_day_adds_up():
    o = outcome()
    found = by_day(o, COST, k=5)
    total = summary(o, COST)
    assert len(found) == 6
    assert found["rows"].sum() == 600
    assert found["positives"].sum() == o.y.sum()
    assert found["alerts"].sum() == total["alerts"]
    assert found["true_alerts"].sum() == total["true_alerts"]
    one = o.days == found["day"][2]
    alert = one & (o.score * o.amount > 5)
    assert found["precision"][2] == pytest.approx(o.y[alert].mean())
    assert found["recall"][2] == pytest.approx(o.y[alert].sum() / o.y[one].sum())
    cards = metrics.card_precision_by_day(o.y, o.score, o.who, o.when, 5)
    assert found["card_precision"].tolist() == cards.tolist()


def test_by_day_leaves_undefined_shares_open():
    when = pd.to_datetime(["2024-01-01", "2024-01-02"])
    o = Outcome(y=[0, 1], score=[0.1, 0.1], when=when)
    found = by_day(o, Decision(rule="threshold", threshold=0.5))
    assert found["precision"].isna().all()
    assert found["recall"].tolist()[1] == 0
    assert np.isnan(found["recall"][0])
    assert "card_precision" not in found


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: decide(COST, [0.1]), "needs what a missed positive costs"),
        (lambda: decide(COST, [7.0], [1.0]), "needs probabilities between 0 and 1"),
        (lambda: decide(Decision(rule="capacity"), [0.1]), "needs the time of each row"),
        (
            lambda: decide(
                Decision(rule="capacity", per_day=0), [0.1], when=pd.to_datetime(["2024-01-01"])
            ),
            "per_day: got 0",
        ),
        (lambda: by_day(Outcome([0, 1], [0, 1]), Decision(rule="threshold")), "time of each row"),
    ],
)
def test_what_a_rule_lacks_is_said(call, text):
    with pytest.raises(UsageError, match=text):
        call()
