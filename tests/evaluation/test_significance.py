"""Intervals and tests: equal to literal resampling, hand constants and brute force."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.outcomes import METRICS, Outcome, evaluate, metric
from fintech_dl.evaluation.resampling import _draws, blocks, limits, p_value, resample
from fintech_dl.evaluation.significance import (
    bootstrap,
    delong,
    delong_difference,
    paired_difference,
    verdict,
)


def fold(seed=0, days=7, per_day=120, signal=1.5, start="2024-03-01", rows=0):
    """A scored week; the same ``rows`` seed gives the same labels under other scores."""
    labels, noise = np.random.default_rng(rows), np.random.default_rng(seed + 100)
    n = days * per_day
    y = (labels.random(n) < 0.1).astype(int)
    who = labels.integers(0, 80, n)
    when = pd.Timestamp(start) + pd.to_timedelta(np.repeat(np.arange(days), per_day), unit="D")
    score = 1 / (1 + np.exp(-np.round(noise.normal(size=n) + signal * y - 1, 1)))
    return Outcome(y=y, score=score, when=when, who=who)


def without_times(o):
    return Outcome(y=o.y, score=o.score, weight=o.weight)


def test_resamples_are_those_of_repeated_days():
    o = fold()
    day = np.unique(o.days, return_inverse=True)[1]
    counts = np.concatenate(list(_draws(7, 20, [3, 0]))).astype(int)
    names = ["average_precision", "roc_auc"]
    drawn = resample([o], [metric(n) for n in names], 20, seed=3)
    assert (counts.sum(axis=1) == 7).all()
    for i, count in enumerate(counts):
        at = np.repeat(np.arange(len(o)), count[day])
        assert drawn[0][i] == pytest.approx(average_precision_score(o.y[at], o.score[at]))
        assert drawn[1][i] == pytest.approx(roc_auc_score(o.y[at], o.score[at]))


def test_resamples_without_times_are_those_of_repeated_rows():
    o = without_times(fold())
    counts = np.concatenate(list(_draws(len(o), 10, [3, 0]))).astype(int)
    [drawn] = resample([o], [METRICS["roc_auc"]], 10, seed=3)
    for i, count in enumerate(counts):
        at = np.repeat(np.arange(len(o)), count)
        assert drawn[i] == pytest.approx(roc_auc_score(o.y[at], o.score[at]))


def test_folds_are_averaged_and_drawn_apart_but_seeds_alike():
    a, b = fold(0), fold(1, start="2024-02-01", rows=1)
    one = [resample([f], [METRICS["roc_auc"]], 50, 0)[0] for f in (a, b)]
    [both] = resample([a, b], [METRICS["roc_auc"]], 50, 0)
    assert not np.allclose(both, np.mean(one, axis=0))
    other_seed = fold(5)
    [seeds] = resample([a, other_seed], [METRICS["roc_auc"]], 50, 0)
    alone = [resample([f], [METRICS["roc_auc"]], 50, 0)[0] for f in (a, other_seed)]
    assert np.allclose(seeds, np.mean(alone, axis=0))
    value = bootstrap([a, b], ["roc_auc"], n=50)["roc_auc"].value
    assert value == pytest.approx(np.mean([evaluate(f, ["roc_auc"])["roc_auc"] for f in (a, b)]))


def test_folds_narrow_the_interval_and_seeds_do_not():
    def width(folds):
        found = bootstrap(folds, ["roc_auc"], n=500)["roc_auc"]
        return found.high - found.low

    starts = ["2024-03-01", "2024-04-01", "2024-05-01", "2024-06-01"]
    four = [fold(i, start=s, rows=i) for i, s in enumerate(starts)]
    assert width(four) < 0.6 * width(four[:1])
    assert width([four[0]] * 4) == pytest.approx(width(four[:1]))


def test_limits_are_those_of_t_for_few_days():
    normal = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    week = [fold()]
    low, high = limits(normal, week)
    assert high == pytest.approx(2.44691 * np.sqrt(7 / 6), abs=0.01)
    assert low == pytest.approx(-high, abs=0.01)
    low, high = limits(normal, [without_times(fold())])
    assert high == pytest.approx(1.96, abs=0.01)
    at_the_edge = normal + 2.44691 * np.sqrt(7 / 6)
    assert p_value(at_the_edge, week) == pytest.approx(0.05, abs=0.002)
    assert p_value(normal, week) == pytest.approx(1, abs=0.01)


@pytest.mark.fault(30)
def test_the_paired_test_errs_in_five_of_a_hundred():
    """Two models equally good, on days that differ: 7 days must not claim too much."""
    rng = np.random.default_rng(0)
    rejected = 0
    for i in range(150):
        y = (rng.random(700) < 0.2).astype(int)
        day = np.repeat(np.arange(7), 100)
        when = pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D")
        models = [
            Outcome(y, y * (1 + rng.normal(size=7)[day] / 2) + rng.normal(size=700), when=when)
            for _ in range(2)
        ]
        rejected += paired_difference(*models, "roc_auc", n=400, seed=i).p_value < 0.05
    assert rejected <= 16  # 5 % of 150 is 7.5; plain percentiles reject 12 %


def test_paired_difference_sees_what_single_intervals_hide():
    good = fold(signal=1.5)
    poor = Outcome(good.y, 0.9 * good.score + 0.1 * fold(9).score, when=good.when, who=good.who)
    shifted = Outcome(good.y, good.score**3, when=good.when, who=good.who)
    same = paired_difference(good, shifted, "roc_auc")
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    there, back = (
        paired_difference(good, poor, "brier"),
        paired_difference(poor, good, "brier"),
    )
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high)
    assert there.p_value == pytest.approx(back.p_value)
    single = bootstrap(good, ["brier"])["brier"]
    assert there.high - there.low < 0.5 * (single.high - single.low)


def test_repeated_calls_are_equal_and_seeds_differ():
    o = fold()
    first = bootstrap(o, ["roc_auc"], n=100, seed=1)
    assert bootstrap(o, ["roc_auc"], n=100, seed=1) == first
    assert bootstrap(o, ["roc_auc"], n=100, seed=2) != first
    assert bootstrap(o, ["brier", "roc_auc"], n=100, seed=1)["roc_auc"] == first["roc_auc"]


def test_global_random_state_is_left_alone():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    bootstrap(fold(), ["roc_auc"], n=50)
    assert (np.random.get_state()[1] == before).all()


def test_few_days_resample_rows_and_leave_means_over_days_open():
    o = fold(days=4)
    assert not blocks(o).days
    assert blocks(fold(days=5)).days
    found = bootstrap(o, ["roc_auc", "card_precision_at_10"], n=100)
    assert found["roc_auc"].low < found["roc_auc"].value < found["roc_auc"].high
    assert found["card_precision_at_10"].value > 0
    assert np.isnan(found["card_precision_at_10"].low)
    against = paired_difference(o, fold(3, days=4), "card_precision_at_10", n=100)
    assert np.isnan(against.p_value)


def test_days_without_positives_are_left_out_of_the_interval():
    o = fold(per_day=40)
    y = o.y * (o.days == o.days[0])
    found = bootstrap(Outcome(y, o.score, when=o.when), ["roc_auc"], n=200)["roc_auc"]
    assert np.isfinite(found).all()


def test_weights_move_value_and_interval():
    o = fold()
    w = np.where(o.y == 1, 1.0, 8.0)
    plain = bootstrap(o, ["average_precision"], n=200)["average_precision"]
    weighted = bootstrap(Outcome(o.y, o.score, weight=w, when=o.when), ["average_precision"], n=200)
    found = weighted["average_precision"]
    expected = average_precision_score(o.y, o.score, sample_weight=w)
    assert found.value == pytest.approx(expected)
    assert found.high < plain.value


def test_verdict_follows_the_test_against_the_best_baseline():
    models = {
        "LSTM": [fold(0, signal=3)],
        "prior": [fold(1, signal=0)],
        "logistic regression": [fold(2, signal=1.5)],
    }
    found = verdict("LSTM", models, "average_precision")
    assert (found.outcome, found.rival) == ("beats", "logistic regression")
    assert found.difference.p_value < 0.05
    assert found.text.startswith(
        "LSTM beats the best baseline, logistic regression, on average precision: "
    )
    worse = verdict("prior", models, "average_precision")
    assert (worse.outcome, worse.rival) == ("is worse than", "LSTM")
    even = {"LSTM": [fold(3)], "prior": [fold(0, signal=0)], "twin": [fold(4)]}
    tied = verdict("LSTM", even, "average_precision")
    assert (tied.outcome, tied.rival) == ("is not distinguishable from", "twin")
    assert "paired test p = " in tied.text


def test_verdict_knows_that_less_can_be_better():
    good = fold(0, signal=3)
    near = Outcome(good.y, 0.9 * good.y + 0.05, when=good.when)
    found = verdict("MLP", {"MLP": near, "prior": fold(1, signal=0)}, "brier")
    assert found.outcome == "beats"
    assert found.difference.value < 0
    assert "its only baseline, prior" in found.text


def test_verdict_claims_nothing_without_a_test():
    models = {"MLP": fold(0, days=3, signal=4), "prior": fold(1, days=3, signal=0)}
    found = verdict("MLP", models, "card_precision_at_5")
    assert found.outcome == "is not distinguishable from"
    assert "too few days for a test" in found.text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: verdict("MLP", {"MLP": fold()}, "roc_auc"), "no claim without a rival"),
        (lambda: verdict("MLP", {"prior": fold()}, "roc_auc"), "there is no 'MLP' among prior"),
        (lambda: paired_difference(fold(), fold(rows=1), "roc_auc"), "they differ in fold 1"),
        (
            lambda: paired_difference(fold(), fold(start="2023-01-01"), "roc_auc"),
            "they differ in fold 1",
        ),
        (lambda: paired_difference([fold()], [fold()] * 2, "roc_auc"), "1 folds of one model, 2"),
        (lambda: bootstrap([], ["roc_auc"]), "no outcome"),
        (lambda: bootstrap(fold(), ["auc"]), "did you mean"),
        (lambda: delong(Outcome([0, 1, 0, 1], [1, 2, 3, 4], weight=[1, 1, 1, 2])), "no row weight"),
        (lambda: delong_difference(fold(), fold(rows=1)), "they differ"),
    ],
)
def test_misuse_is_said(call, text):
    with pytest.raises(UsageError, match=text):
        call()


@pytest.mark.fault(30)
def test_delong_by_hand():
    found = delong(Outcome(y=[0, 0, 1, 1], score=[1, 3, 2, 4]))
    assert found.value == 0.75
    assert found.high - found.value == pytest.approx(1.959964 * np.sqrt(0.125), abs=1e-6)
    with pytest.raises(DataError, match="1 positive, 2 negative"):
        delong(Outcome(y=[0, 0, 1], score=[1, 3, 2]))


@pytest.mark.fault(30)
def test_delong_equals_the_sums_over_all_pairs():
    a, b = fold(0, per_day=30), fold(1, per_day=30)
    placed = []
    for o in (a, b):
        x, z = o.score[o.y == 1][:, None], o.score[o.y == 0][None]
        wins = (x > z) + 0.5 * (x == z)
        placed.append((wins.mean(), wins.mean(axis=1), wins.mean(axis=0)))
    (one, v10a, v01a), (other, v10b, v01b) = placed
    variance = np.var(v10a - v10b, ddof=1) / len(v10a) + np.var(v01a - v01b, ddof=1) / len(v01a)
    found = delong_difference(a, b)
    assert found.value == pytest.approx(one - other)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(one - other) / variance**0.5))
    assert found.high - found.low == pytest.approx(2 * 1.959964 * variance**0.5, rel=1e-5)
    own = np.var(v10a, ddof=1) / len(v10a) + np.var(v01a, ddof=1) / len(v01a)
    assert delong(a).high - delong(a).low == pytest.approx(2 * 1.959964 * own**0.5, rel=1e-5)
    assert delong_difference(a, a).p_value == 1.0


def test_bootstrap_of_rows_agrees_with_delong():
    a, b = (without_times(fold(i, per_day=300)) for i in (0, 1))
    exact, drawn = delong(a), bootstrap(a, ["roc_auc"], n=1000)["roc_auc"]
    assert drawn.high - drawn.low == pytest.approx(exact.high - exact.low, rel=0.1)
    exact, drawn = delong_difference(a, b), paired_difference(a, b, "roc_auc", n=1000)
    assert drawn.low == pytest.approx(exact.low, abs=0.01)
    assert drawn.high == pytest.approx(exact.high, abs=0.01)
