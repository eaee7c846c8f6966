"""Metrics of forecasts: equal to their definitions, also under resampling of stretches of days."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef, mean_absolute_error, mean_squared_error

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.forecast_metrics import by_date
from fintech_dl.evaluation.forecasts import qlike, r2_out_of_sample
from fintech_dl.evaluation.outcomes import METRICS, Outcome, evaluate, metric
from fintech_dl.evaluation.ranks import information_coefficient
from fintech_dl.evaluation.resampling import _draws, blocks, resample
from fintech_dl.evaluation.significance import bootstrap


def panel(days=60, assets=8, seed=0, horizon=1, memory=0.0):
    """Return variances and forecasts of them whose errors are alike from day to day."""
    rng = np.random.default_rng(seed)
    shocks = np.empty(days)
    shocks[0] = rng.normal()
    for day in range(1, days):
        shocks[day] = memory * shocks[day - 1] + np.sqrt(1 - memory**2) * rng.normal()
    y = np.exp(rng.normal(size=(days, assets)) * 0.3)
    score = y * np.exp(0.3 * rng.normal(size=y.shape) + 0.3 * shocks[:, None])
    return Outcome(
        y=y.ravel(),
        score=score.ravel(),
        when=np.repeat(pd.bdate_range("2024-01-01", periods=days), assets),
        who=np.tile([f"A{i}" for i in range(assets)], days),
        numbers=True,
        horizon=horizon,
    )


def test_values_are_those_of_the_definitions():
    o = panel()
    found = evaluate(o, ["qlike", "mse", "mae", "bias", "r2", "ic", "rank_ic"])
    assert found["qlike"] == pytest.approx(qlike(o.y, o.score).mean())
    assert found["mse"] == pytest.approx(mean_squared_error(o.y, o.score))
    assert found["mae"] == pytest.approx(mean_absolute_error(o.y, o.score))
    assert found["bias"] == pytest.approx((o.score - o.y).mean())
    assert found["r2"] == pytest.approx(r2_out_of_sample(o.y, o.score))
    for name in ("ic", "rank_ic"):
        own = information_coefficient(o.y, o.score, o.when, rank=name == "rank_ic")
        assert found[name] == pytest.approx(own.mean())


def test_weights_count_rows_more_often():
    o = panel()
    weight = np.random.default_rng(1).integers(0, 4, len(o)).astype(float)
    weighted = Outcome(y=o.y, score=o.score, weight=weight, numbers=True)
    many = np.repeat(np.arange(len(o)), weight.astype(int))
    repeated = Outcome(y=o.y[many], score=o.score[many], numbers=True)
    names = ["qlike", "mse", "bias", "r2"]
    assert evaluate(weighted, names) == pytest.approx(evaluate(repeated, names))


def test_orders_are_judged_by_returns_where_there_are_any():
    o = panel()
    returns = np.random.default_rng(2).normal(size=len(o))
    other = Outcome(y=o.y, score=o.score, when=o.when, numbers=True, returns=returns)
    own = information_coefficient(returns, o.score, o.when)
    assert evaluate(other, ["rank_ic"])["rank_ic"] == pytest.approx(own.mean())


def test_a_score_that_orders_nothing_has_a_coefficient_of_0():
    o = panel()
    flat = Outcome(y=o.y, score=np.ones(len(o)), when=o.when, numbers=True)
    assert evaluate(flat, ["rank_ic", "ic"]) == {"rank_ic": 0.0, "ic": 0.0}


def test_days_of_few_assets_do_not_count_in_orders():
    o = panel(days=3)
    few = slice(0, 8 + 8 + 3)  # the last day has three assets
    short = Outcome(y=o.y[few], score=o.score[few], when=o.when[few], numbers=True)
    assert len(by_date(short, "rank_ic")) == 2
    with pytest.raises(DataError, match="no date has 5 assets"):
        evaluate(panel(assets=4), ["rank_ic"])


def test_direction_is_judged_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 300), rng.random(300)
    found = evaluate(Outcome(y=y, score=p), ["mcc"])["mcc"]
    assert found == pytest.approx(matthews_corrcoef(y, p >= 0.5))
    assert evaluate(Outcome(y=y, score=np.full(300, 0.9)), ["mcc"]) == {"mcc": 0.0}


@pytest.mark.parametrize(
    ("name", "numbers", "told"),
    [
        ("qlike", False, "'qlike' judges numbers, and here classes are forecast; allowed: aver"),
        ("roc_auc", True, "'roc_auc' judges classes, and here numbers are forecast; allowed: ql"),
        ("precision_at_10", True, "judges classes"),
    ],
)
def test_a_metric_of_the_other_kind_is_refused(name, numbers, told):
    with pytest.raises(UsageError, match=told):
        metric(name, numbers=numbers)
    with pytest.raises(UsageError, match="judges"):
        evaluate(Outcome(y=[0, 1], score=[0.5, 0.5], numbers=numbers), [name])


def test_numbers_may_be_anything_finite():
    assert Outcome(y=[-0.5, 3.0], score=[1.0, 2.0], numbers=True).y.tolist() == [-0.5, 3.0]
    with pytest.raises(DataError, match="y is no finite number in 1 of 2 rows"):
        Outcome(y=[np.nan, 3.0], score=[1.0, 2.0], numbers=True)
    with pytest.raises(DataError, match="returns has shape"):
        Outcome(y=[1.0, 3.0], score=[1.0, 2.0], numbers=True, returns=[1.0])


@pytest.mark.parametrize("stretch", [1, 3, 7])
def test_stretches_draw_every_day_equally_often_and_neighbours_together(stretch):
    counts = np.concatenate(list(_draws(500, 4000, [0, 0], stretch)))
    assert (counts.sum(axis=1) == 500).all()
    assert np.abs(counts.mean(axis=0) - 1).max() < 0.1
    alike = np.corrcoef(counts[:, 10], counts[:, 11])[0, 1]
    assert alike == pytest.approx((stretch - 1) / stretch, abs=0.1)


def test_stretches_are_two_horizons_long_but_leave_five():
    assert blocks(panel(days=60, horizon=1)).stretch == 4  # the cube root of 60
    assert blocks(panel(days=60, horizon=5)).stretch == 10
    assert blocks(panel(days=60, horizon=22)).stretch == 12
    plain = Outcome(y=[0, 1] * 30, score=[0.5] * 60, when=pd.date_range("2024-01-01", periods=60))
    assert blocks(plain).stretch == 1


def test_intervals_know_that_neighbouring_days_are_alike():
    o = panel(days=400, memory=0.9, horizon=10)
    alone = panel(days=400, memory=0.9, horizon=1)
    object.__setattr__(alone, "horizon", None)  # days drawn one by one
    wide, narrow = (bootstrap(one, ["bias"], n=400)["bias"] for one in (o, alone))
    assert wide.high - wide.low > 1.7 * (narrow.high - narrow.low)


def test_resamples_of_orders_are_means_over_the_drawn_days():
    o = panel(days=30)
    [drawn] = resample([o], [METRICS["rank_ic"]], 200, 0)
    own = by_date(o, "rank_ic")
    assert own.min() < drawn.min()
    assert drawn.max() < own.max()
    assert drawn.mean() == pytest.approx(own.mean(), abs=0.02)
