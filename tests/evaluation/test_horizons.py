"""What a model is worth at each of several horizons: each against its own best rival."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.evaluation.forecast_evidence import advantage, verdict
from fintech_dl.evaluation.horizons import by_horizon
from fintech_dl.evaluation.outcomes import Outcome


def told(size, horizon, n=150, seed=0):
    """Return forecasts whose errors are of that size."""
    random = np.random.default_rng(seed)
    y, when = random.normal(size=n), pd.bdate_range("2024-01-01", periods=n)
    error = size * np.random.default_rng(seed + 1 + int(100 * size)).normal(size=n)
    return Outcome(y=y, score=y + error, when=when, numbers=True, horizon=horizon)


def at(horizon, own, **rivals):
    return {"MLP": told(own, horizon), **{k: told(size, horizon) for k, size in rivals.items()}}


def test_each_horizon_has_its_best_rival_and_its_verdict():
    horizons = [
        at(1, 0.1, last=1.0, har=0.5),
        at(5, 0.5, last=0.2, har=1.0),
        at(22, 1.0, last=1.01),
    ]
    good, bad, same = by_horizon(horizons, "mse")
    assert [line["horizon"] for line in (good, bad, same)] == [1, 5, 22]
    assert [line["rival_title"] for line in (good, bad, same)] == ["har", "last", "last"]
    assert [line["outcome"] for line in (good, bad, same)] == ["beats", "worse", "same"]
    for line, outcomes in zip((good, bad, same), horizons, strict=True):
        test = advantage(outcomes["MLP"], outcomes[line["rival_title"]], "mse")
        assert (line["dm"], line["p_value"]) == (test.t, test.p_value)
        assert line["outcome"] == verdict(outcomes, "mse")["outcome"]
        assert line["skill"] == pytest.approx(1 - line["model"] / line["rival"])


def test_without_rivals_or_enough_dates_there_is_a_loss_and_no_claim():
    (alone,) = by_horizon([{"MLP": told(0.1, 5)}], "mae")
    assert alone.keys() == {"horizon", "n", "model"}
    few = {name: told(size, 5, n=6) for name, size in {"MLP": 0.1, "last": 9.0}.items()}
    (line,) = by_horizon([few], "mae")
    assert (line["dm"], line["p_value"], line["outcome"]) == (None, None, "same")
    assert by_horizon([], "mae") == []
