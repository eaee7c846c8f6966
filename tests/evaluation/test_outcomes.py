"""The fast metrics equal their definitions, also under resampling weights."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation import metrics
from fintech_dl.evaluation.outcomes import METRICS, Outcome, evaluate, metric

NAMES = [
    "average_precision",
    "roc_auc",
    "gini",
    "ks",
    "recall_at_fpr_0.1",
    "recall_at_fpr_5",
    "brier",
    "log_loss",
    "ece",
    "savings",
]


def outcome(n=800, seed=0, digits=2, weighted=False, days=7):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.1).astype(int)
    score = np.round(1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * y - 1))), digits)
    when = pd.Timestamp("2024-03-01") + pd.to_timedelta(np.sort(rng.random(n)) * days, unit="D")
    return Outcome(
        y=y,
        score=score,
        weight=rng.integers(0, 5, n) * 0.5 if weighted else None,
        when=when,
        who=rng.integers(0, 90, n),
        amount=rng.lognormal(3, 1, n),
        alerts=score > 0.5,
        false_alarm=2.0,
    )


def definition(name, o, w):
    if name == "savings":
        return metrics.savings(o.y, o.alerts, o.amount, o.false_alarm, weight=w)
    if name.startswith("recall_at_fpr_"):
        return metrics.recall_at_fpr(o.y, o.score, float(name.split("_")[-1]) / 100, weight=w)
    if name == "ks":
        return metrics.ks(o.y, o.score, weight=w).value
    return getattr(metrics, name)(o.y, o.score, weight=w)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("digits", [1, 2, 9])
def test_equal_to_the_definitions(weighted, digits):
    o = outcome(weighted=weighted, digits=digits)
    for name, value in evaluate(o, NAMES).items():
        assert value == pytest.approx(definition(name, o, o.weight), abs=1e-12), name


@pytest.mark.parametrize("by_day", [True, False])
def test_sums_of_blocks_equal_weighted_rows(by_day):
    o = outcome(weighted=True)
    block = np.unique(o.days, return_inverse=True)[1] if by_day else np.arange(len(o))
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, (4, block.max() + 1)).astype(float)
    for name in [n for n in NAMES if n != "ece"]:  # its bins stay those of all rows
        found = metric(name)
        values = found.value(counts @ found.sums(o, block, block.max() + 1))
        expected = [definition(name, o, o.weights * c[block]) for c in counts]
        assert values == pytest.approx(expected, abs=1e-12), name


def test_ece_of_resamples_keeps_the_bins_of_all_rows():
    o = outcome()
    bins = metrics.equal_mass_bins(o.score, 10)
    counts = np.random.default_rng(1).integers(0, 3, len(o)).astype(float)
    gaps = np.bincount(bins, counts * (o.score - o.y))
    found = METRICS["ece"]
    value = found.value(counts[None] @ found.sums(o, np.arange(len(o)), len(o)))
    assert value[0] == pytest.approx(np.abs(gaps).sum() / counts.sum())


def test_means_over_days():
    o = outcome()
    found = evaluate(o, ["card_precision_at_10", "precision_at_10"])
    by_day = metrics.card_precision_by_day(o.y, o.score, o.who, o.when, 10)
    assert found["card_precision_at_10"] == pytest.approx(by_day.mean())
    days = [o.days == d for d in np.unique(o.days)]
    mine = [metrics.precision_at_k(o.y[d], o.score[d], 10) for d in days]
    assert found["precision_at_10"] == pytest.approx(np.mean(mine))
    heavy = outcome(weighted=True)
    mine = [
        metrics.precision_at_k(heavy.y[d], heavy.score[d], 10, weight=heavy.weight[d]) for d in days
    ]
    assert evaluate(heavy, ["precision_at_10"])["precision_at_10"] == pytest.approx(np.mean(mine))
    counts = np.array([[2.0, 0, 0, 1, 0, 0, 4]])
    one = metric("card_precision_at_10")
    block = np.unique(o.days, return_inverse=True)[1]
    expected = (counts[0] * by_day).sum() / 7
    assert one.value(counts @ one.sums(o, block, 7))[0] == pytest.approx(expected)


def test_precision_at_k_without_times_ranks_all_rows():
    o = outcome(weighted=True, digits=1)
    bare = Outcome(y=o.y, score=o.score, weight=o.weight)
    expected = metrics.precision_at_k(o.y, o.score, 30, weight=o.weight)
    assert evaluate(bare, ["precision_at_30"])["precision_at_30"] == pytest.approx(expected)


def test_each_metric_knows_its_good_direction():
    o = outcome()
    better = Outcome(y=o.y, score=0.2 * o.score + 0.8 * o.y, when=o.when, who=o.who)
    for name in [*(n for n in NAMES if n != "savings"), "card_precision_at_10", "precision_at_5"]:
        gain = evaluate(better, [name])[name] - evaluate(o, [name])[name]
        assert (gain > 0) == metric(name).higher_is_better, name


def test_parts_become_arrays_and_series_are_welcome():
    o = Outcome(
        y=pd.Series([0, 1, 1], dtype="int8"),
        score=[1, 2, 3],
        when=pd.Series(pd.date_range("2024-01-01", periods=3, tz="Asia/Tokyo")),
        who=pd.Series(["a", "b", "b"]),
    )
    assert o.score.dtype == float
    assert str(o.days[0])[:10] == "2024-01-01"
    assert o.weights.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("average_precison", "did you mean 'average_precision'"),
        ("card_precision_at_1OO", "did you mean 'card_precision_at_100'"),
        ("card_precision_at_0", "card_precision_at_100"),
        ("recall_at_fpr_200", "recall_at_fpr_1"),
        ("precision_at_2.5", "precision_at_100"),
        ("accuracy", "allowed: average_precision"),
    ],
)
def test_unknown_metric_names_the_nearest(name, hint):
    with pytest.raises(UsageError, match=hint):
        metric(name)


@pytest.mark.parametrize(
    ("parts", "name", "error", "text"),
    [
        ({}, "card_precision_at_5", UsageError, "needs a table with who"),
        ({}, "savings", UsageError, r"\[decision\]"),
        ({"score": [1, 2, 3]}, "brier", UsageError, "run from 1 to 3"),
        ({"y": [0, 0, 0]}, "roc_auc", DataError, "undefined on these 3 rows, of which 0 are"),
        (
            {"weight": [1, 2, 3], "who": [1, 2, 3], "when": pd.date_range("2024", periods=3)},
            "card_precision_at_5",
            UsageError,
            "cannot respect row weights",
        ),
    ],
)
def test_what_a_metric_lacks_is_said(parts, name, error, text):
    given = {"y": [0, 1, 1], "score": [0.1, 0.2, 0.3]} | parts
    with pytest.raises(error, match=text):
        evaluate(Outcome(**given), [name])


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"y": [0, 1, 2]}, "allowed: 0 and 1"),
        ({"score": [0.1, 0.2]}, r"score has shape \(2,\), y has 3 rows"),
        ({"score": [0.1, np.nan, 0.2]}, "no finite number in 1 of 3 rows, first row 1"),
        ({"score": [0.1, np.inf, 0.2]}, "no finite number"),
        ({"weight": [1, -1, 1]}, "0 or more"),
        ({"weight": [0, 0, 0]}, "not all of them 0"),
        ({"y": [], "score": []}, "no rows"),
    ],
)
def test_broken_outcomes_are_refused(parts, text):
    given = {"y": [0, 1, 1], "score": [0.1, 0.2, 0.3]} | parts
    with pytest.raises(DataError, match=text):
        Outcome(**given)
