"""Tests of forecasts against rivals: what the verdict says, and when it keeps quiet."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.evidence import Scored, evidence
from fintech_dl.evaluation.forecast_evidence import (
    advantage,
    best_rival,
    compared,
    joined,
    naive,
    verdict,
)
from fintech_dl.evaluation.forecast_tests import diebold_mariano
from fintech_dl.evaluation.outcomes import Outcome


def forecast(error, days=120, assets=6, seed=0, horizon=1, first="2024-01-01"):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(days, assets))
    noise = np.random.default_rng(seed + 1).normal(size=y.shape)
    return Outcome(
        y=y.ravel(),
        score=(y + error * noise).ravel(),
        when=np.repeat(pd.bdate_range(first, periods=days), assets),
        who=np.tile([f"A{i}" for i in range(assets)], days),
        numbers=True,
        horizon=horizon,
    )


def test_losses_are_compared_by_diebold_mariano_on_dates():
    own, rival = forecast(0.5), forecast(0.6, seed=0)
    test = advantage(own, rival, "mse")
    by_hand = diebold_mariano(
        (rival.y - rival.score) ** 2, (own.y - own.score) ** 2, dates=own.when, horizon=1
    )
    assert test == by_hand
    assert test.n == 120
    assert test.value > 0
    assert advantage(rival, own, "mse").value == -test.value


def test_a_horizon_asks_for_more_lags():
    assert advantage(forecast(1, horizon=22), forecast(2, horizon=22), "mae").lags >= 21


def test_orders_are_compared_by_the_difference_of_their_coefficients():
    own, rival = forecast(0.5), forecast(5.0)
    test = advantage(own, rival, "rank_ic")
    assert test.value > 0.3
    assert test.p_value < 0.001


def test_other_metrics_and_other_rows_are_refused():
    own = forecast(0.5)
    with pytest.raises(UsageError, match="bias is no loss of a row; allowed: qlike"):
        advantage(own, own, "bias")
    with pytest.raises(UsageError, match="needs the same rows"):
        advantage(own, forecast(0.5, first="2024-01-02"), "mse")


@pytest.mark.parametrize(
    ("own", "rivals", "outcome", "text"),
    [
        (0.5, {"a": 2.0, "b": 1.0}, "beats", "MLP beats the best baseline, b, on "),
        (1.0, {"a": 2.0, "b": 0.5}, "worse", "MLP is worse than the best baseline, b, on "),
        (1.0, {"a": 1.001}, "same", "MLP is no better than its only baseline, a, on "),
    ],
)
def test_the_verdict_is_against_the_best_rival(own, rivals, outcome, text):
    outcomes = {"MLP": forecast(own), **{k: forecast(v, seed=0) for k, v in rivals.items()}}
    if outcome == "same":  # another draw of the same noise
        noise = np.random.default_rng(9).normal(size=len(outcomes["a"]))
        object.__setattr__(outcomes["a"], "score", outcomes["a"].y + noise)
    found = verdict(outcomes, "mse")
    assert found["outcome"] == outcome
    assert found["text"].startswith(text)
    assert "120 dates)." in found["text"]
    assert found["rival"] == best_rival(outcomes, "mse")


def book(earned):
    """What trading earned a year, after 5 bp a side."""
    net = {"return_per_year": earned, "sharpe": 10 * earned, "low": -1.0, "high": 2.345}
    return {"cost_bp": 5.0, "net": net}


def test_a_better_order_that_loses_after_cost_beats_nobody():
    outcomes = {"MLP": forecast(0.5), "a": forecast(5.0)}
    paid = verdict(outcomes, "rank_ic", book(0.04))
    assert paid["outcome"] == "beats"
    assert "unpaid" not in paid
    assert paid["text"].endswith("120 dates; Sharpe ratio after cost 0.40 [-1.00, 2.35]).")
    lost = verdict(outcomes, "rank_ic", book(-0.04))
    assert (lost["outcome"], lost["unpaid"]) == ("same", True)
    assert lost["text"].startswith("MLP orders better than its only baseline, a, on rank")
    assert ", but trading on it loses money after 5 bp a side (Newey-West t = +" in lost["text"]
    assert "Sharpe ratio after cost -0.40 [-1.00, 2.35]" in lost["text"]
    assert " beats " not in lost["text"]
    assert "forecasts better than" in verdict(outcomes, "mse", book(0.0))["text"]


@pytest.mark.parametrize(("own", "rival", "outcome"), [(5.0, 0.5, "worse"), (0.5, 0.5, "same")])
def test_what_is_no_better_stays_so_whatever_it_earns(own, rival, outcome):
    outcomes = {"MLP": forecast(own), "a": forecast(rival)}
    for earned in (0.04, -0.04):
        found = verdict(outcomes, "rank_ic", book(earned))
        assert found["outcome"] == outcome
        assert "unpaid" not in found
        assert "Sharpe ratio after cost" in found["text"]
        assert "trading" not in found["text"]


def test_a_book_that_never_moves_has_no_sharpe_ratio():
    still = {"return_per_year": 0.0, "sharpe": None, "low": None, "high": None}
    outcomes = {"MLP": forecast(0.5), "a": forecast(5.0)}
    found = verdict(outcomes, "rank_ic", {"cost_bp": 5.0, "net": still})
    assert found["unpaid"] is True
    assert found["text"].endswith("120 dates).")


def test_the_best_rival_of_orders_is_the_highest():
    outcomes = {"MLP": forecast(0.5), "a": forecast(5.0), "b": forecast(1.0)}
    assert best_rival(outcomes, "rank_ic") == "b"
    with pytest.raises(UsageError, match="no claim without a rival: MLP has no baseline"):
        best_rival({"MLP": outcomes["MLP"]}, "rank_ic")


def test_of_few_dates_nothing_is_claimed():
    outcomes = {"MLP": forecast(0.1, days=6, horizon=5), "a": forecast(9.0, days=6, horizon=5)}
    found = verdict(outcomes, "mse")
    assert found["outcome"] == "same"
    assert "too few dates for a test" in found["text"]
    told = compared(outcomes["MLP"], outcomes["a"], "mse", n=50, seed=0)
    assert told["p_value"] is None
    assert told["difference"] < 0


def test_a_price_forecast_is_told_beside_the_last_price():
    y, when = forecast(0.0).y, forecast(0.0).when
    noise = np.random.default_rng(5).normal(size=len(y))
    good = Outcome(y=y, score=0.5 * y, when=when, numbers=True, horizon=1)
    poor = Outcome(y=y, score=noise, when=when, numbers=True, horizon=1)
    assert naive(good, "mae")["beats"] is True
    assert naive(good, "mae")["text"].startswith("The forecast beats the last price: mean absolute")
    assert naive(poor, "mae")["beats"] is False
    assert "is worse than the last price" in naive(poor, "mae")["text"]


def test_differences_have_the_sign_of_the_metric():
    own, rival = forecast(0.5), forecast(1.0)
    told = compared(own, rival, "mse", n=50, seed=0)
    assert told["difference"] < 0
    assert told["low"] <= told["difference"] <= told["high"] < 0
    order = compared(own, rival, "rank_ic", n=50, seed=0)
    assert 0 < order["low"] <= order["difference"]
    drawn = compared(own, rival, "r2", n=200, seed=0)
    assert "stretches of 5 days" in drawn["test"]
    assert drawn["difference"] > 0


def test_folds_count_together_in_time_order():
    late, early = forecast(0.5, days=30, seed=3, first="2024-06-03"), forecast(0.5, days=30)
    whole = joined([late, early])
    assert (np.diff(whole.when) >= np.timedelta64(0)).all()
    assert whole.y.tolist() == [*early.y, *late.y]
    assert whole.who.tolist() == [*early.who, *late.who]
    assert whole.horizon == 1


def test_evidence_of_forecasts_has_no_curves_but_values_by_fold():
    folds = [forecast(0.5, days=40, first="2024-06-03"), forecast(0.5, days=40)]
    rivals = [forecast(1.5, days=40, first="2024-06-03"), forecast(1.5, days=40)]
    scored = [
        Scored("model", "MLP", False, folds, probabilities=False),
        Scored("a", "a", True, rivals, probabilities=False),
        Scored("b", "b", True, reason="not installed"),
    ]
    found = evidence(scored, ["mse", "r2"], None, forecast={})
    assert found["models"][0]["curves"] == {}
    assert len(found["models"][0]["metrics"]["mse"]["folds"]) == 2
    assert found["verdict"]["outcome"] == "beats"
    loses = evidence(scored, ["mse"], None, forecast={"trading": book(-0.1)})
    assert loses["verdict"]["outcome"] == "same"
    assert [one["metric"] for one in found["comparison"]] == ["mse", "r2"]
