"""Linear rivals of volatility forecasts: what they compute, and the published numbers they give."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from fintech_dl import load, save
from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
from fintech_dl.evaluation.forecast_tests import diebold_mariano
from fintech_dl.evaluation.forecasts import qlike, squared_error
from fintech_dl.evaluation.panel_splits import PurgedWalkForward
from fintech_dl.evaluation.volatility_baselines import HAR, LastValue, LogHAR
from fintech_dl.evaluation.walk_forward import walk_forward
from fintech_dl.pipelines import make

LEVELS, LOGS = ["rv_1", "rv_5", "rv_22"], ["log_1", "log_5", "log_22"]


def book(n=400, seed=0):
    random = np.random.default_rng(seed)
    X = pd.DataFrame(np.exp(random.normal(size=(n, 3))), columns=LEVELS)
    X[LOGS] = np.log(X[LEVELS])
    X["asset"] = pd.Categorical(np.where(np.arange(n) % 2, "DAX", "FTSE"))
    y = 0.1 + X[LEVELS] @ [0.4, 0.3, 0.2] * np.exp(random.normal(0, 0.3, n))
    return X, y.to_numpy()


@parametrize_with_checks([LastValue(), HAR(), HAR(weighted=True), LogHAR()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_last_value():
    X, y = book()
    assert LastValue("rv_5").fit(X, y).predict(X).tolist() == X["rv_5"].tolist()
    np.testing.assert_allclose(LastValue("log_5", log=True).fit(X, y).predict(X), X["rv_5"])
    assert LastValue().fit(X[LOGS], y).predict(X[LOGS]).tolist() == X["log_1"].tolist()


def test_har_is_least_squares():
    X, y = book()
    line = LinearRegression().fit(X[LEVELS], y)
    expected = np.maximum(line.predict(X[LEVELS]), y.min())
    np.testing.assert_allclose(HAR(LEVELS).fit(X, y).predict(X), expected)
    second = LinearRegression().fit(X[LEVELS], y, sample_weight=1 / expected)
    found = HAR(LEVELS, weighted=True).fit(X, y)
    np.testing.assert_allclose(found.coefficients_[0, 1:], second.coef_)


def test_har_of_logarithms_is_that_of_the_variances():
    X, y = book()
    logs = np.log(X[LEVELS])
    for weighted in (False, True):
        plain = HAR(LEVELS, weighted=weighted).fit(X, y).predict(X)
        found = HAR(LEVELS, weighted=weighted, log=True).fit(logs, y).predict(logs)
        np.testing.assert_allclose(found, plain, rtol=1e-9)


def test_har_forecasts_no_variance_below_those_seen():
    X = pd.DataFrame({"rv_1": [1.0, 2.0, 3.0]})
    model = HAR().fit(X, [1.0, 2.0, 3.0])
    assert model.predict(pd.DataFrame({"rv_1": [-5.0, 0.5, 4.0]})) == pytest.approx([1, 1, 4])


def test_log_har_forecasts_the_mean():
    """Of a lognormal variance: exp(mu + s^2 / 2), not the median exp(mu)."""
    random = np.random.default_rng(0)
    X = pd.DataFrame({"log_1": random.normal(size=200_000)})
    y = np.exp(0.2 + 0.5 * X["log_1"] + random.normal(0, 0.8, len(X)))
    found = LogHAR().fit(X, y).predict(pd.DataFrame({"log_1": [0.0, 1.0]}))
    assert found == pytest.approx(np.exp([0.52, 1.02]), rel=0.01)


@pytest.mark.parametrize("model", [HAR(LEVELS, by="asset"), LogHAR(LOGS, by="asset")])
def test_each_asset_has_its_own_line(model):
    X, y = book()
    y = np.where(X["asset"] == "DAX", 3 * y, y)
    model = clone(model).fit(X, y)
    assert model.assets_ == ["DAX", "FTSE"]
    alone = clone(model).set_params(by=None)
    for asset in model.assets_:
        own = (X["asset"] == asset).to_numpy()
        line = clone(alone).fit(X[own], y[own])
        np.testing.assert_allclose(model.predict(X[own]), line.predict(X[own]))
    unseen = X.assign(asset="HSI")
    np.testing.assert_allclose(model.predict(unseen), clone(alone).fit(X, y).predict(X))


def test_weights_count_rows():
    X, y = book(60)
    weight = np.arange(60) % 3
    repeated = np.repeat(np.arange(60), weight)
    for model in (HAR(LEVELS), HAR(LEVELS, weighted=True), LogHAR(LOGS)):
        one = clone(model).fit(X, y, sample_weight=weight)
        two = clone(model).fit(X.iloc[repeated], y[repeated])
        np.testing.assert_allclose(one.coefficients_[0, 1:], two.coefficients_[0, 1:])


@pytest.mark.parametrize(
    ("model", "y", "error", "text"),
    [
        (HAR(["rv_7"]), 1.0, UsageError, "column 'rv_7' is not in X, which has"),
        (LogHAR(LOGS, by="index"), 1.0, UsageError, "column 'index' is not in X"),
        (LogHAR(LOGS), 0.0, UsageError, "400 of 400 values of y are 0 or below"),
        (LastValue("rv"), 1.0, UsageError, "column 'rv' is not in X"),
    ],
)
def test_what_cannot_be_fitted_is_named(model, y, error, text):
    with pytest.raises(error, match=text):
        model.fit(book()[0], np.full(400, y))


@pytest.mark.parametrize(
    "model", [LastValue("rv_1"), HAR(LEVELS, weighted=True, by="asset"), LogHAR(LOGS, by="asset")]
)
def test_as_a_baseline_of_a_card_it_reads_the_frame_and_can_be_saved(model, tmp_path):
    X, y = book()
    spec = {"use": f"fintech_dl.evaluation.volatility_baselines.{type(model).__name__}"}
    pipeline = with_preprocessing(make(spec | model.get_params(), "a card"))
    pipeline.fit(X, y)
    assert score_rows(pipeline, X).tolist() == clone(model).fit(X, y).predict(X).tolist()
    save(pipeline, tmp_path / "model")
    assert load(tmp_path / "model").predict(X).tolist() == pipeline.predict(X).tolist()


def test_walking_forward_equals_a_loop():
    X, y = book(60)
    cv = PurgedWalkForward(20, 7, horizon=2)
    found = walk_forward(LogHAR(LOGS), X, y, np.arange(60), cv)
    assert np.isnan(found[:20]).all()
    for start in range(20, 60, 7):
        train = np.arange(start - 20, start - 1)  # the label of row start - 1 is not known yet
        model = LogHAR(LOGS).fit(X.iloc[train], y[train])
        at = slice(start, start + 7)
        np.testing.assert_array_equal(found[at], model.predict(X.iloc[at]))
    with pytest.raises(UsageError, match="tests dates twice"):
        walk_forward(LogHAR(LOGS), X, y, np.arange(60), PurgedWalkForward(20, 7, step=3))


def test_walking_forward_at_several_horizons_is_walking_at_each():
    X, y = book(60)
    both, cv = np.column_stack([y, np.sqrt(y)]), PurgedWalkForward(20, 7, horizon=2)
    found = walk_forward(MultiOutputRegressor(LogHAR(LOGS)), X, both, np.arange(60), cv)
    for said, truth in zip(found.T, both.T, strict=True):
        alone = walk_forward(LogHAR(LOGS), X, truth, np.arange(60), cv)
        np.testing.assert_array_equal(said, alone)


def sp500(horizon):
    """Features, target and dates of S&P 500 variance in %^2, and where the test begins."""
    frame = pd.read_parquet(Path(os.environ["FINTECH_DL_DATA"]) / "sp500_rv_vix.parquet")
    frame = frame[frame["rv"].notna()].reset_index(drop=True)
    rv = frame["rv"]
    X = pd.DataFrame({f"rv_{w}": rv.rolling(w).mean() for w in (1, 5, 22)})
    X = X.assign(**{f"log_{w}": np.log(rv).rolling(w).mean() for w in (1, 5, 22)})
    X["implied"] = np.log(frame["vix"] ** 2 / 252)
    X["last"] = rv.rolling(horizon).mean()
    y = rv.rolling(horizon).mean().shift(-horizon)
    whole = X.notna().all(axis=1) & y.notna()
    dates = frame.loc[whole, "date"].to_numpy()
    start = int((dates < np.datetime64("2008-01-01")).sum())
    return X[whole].reset_index(drop=True), y[whole].to_numpy(), dates, start


PUBLISHED = {  # QLIKE, and t of Diebold and Mariano against HAR; refitted every 22 days
    1: {"last": (0.3138, -4.2), "HAR": (0.2568, 0), "WLS": (0.2369, 6.2), "log": (0.2331, 4.0)},
    5: {"last": (0.2551, -1.8), "HAR": (0.2262, 0), "WLS": (0.2036, 4.5), "log": (0.2029, 2.2)},
    22: {"last": (0.3857, -1.4), "HAR": (0.2827, 0), "WLS": (0.2620, 1.7), "log": (0.2607, 0.8)},
}
WITH_VIX = {1: (0.2086, 8.4), 5: (0.1835, 4.6), 22: (0.2564, 0.9)}


@pytest.mark.needs_data("sp500_rv_vix.parquet")
@pytest.mark.parametrize("horizon", [1, 5, 22])
def test_known_numbers_of_sp500_variance(horizon):
    """Test 2008-01 to 2018-04, expanding window: within .002 of an independent computation."""
    X, y, dates, start = sp500(horizon)
    cv = PurgedWalkForward(start, 22, expanding=True, horizon=horizon)
    models = {"HAR": HAR(LEVELS), "last": LastValue("last"), "WLS": HAR(LEVELS, weighted=True)}
    models |= {"log": LogHAR(LOGS), "log and VIX": LogHAR([*LOGS, "implied"])}
    published = PUBLISHED[horizon] | {"log and VIX": WITH_VIX[horizon]}
    losses = {}
    for name, model in models.items():
        forecast = walk_forward(model, X, y, dates, cv)[start:]
        losses[name] = qlike(y[start:], forecast)
        value, t = published[name]
        assert losses[name].mean() == pytest.approx(value, abs=0.002), name
        found = diebold_mariano(losses["HAR"], losses[name], horizon=horizon)
        assert found.t == pytest.approx(t, abs=0.15), name
    assert len(losses["HAR"]) == {1: 2599, 5: 2595, 22: 2578}[horizon]


@pytest.mark.needs_data("sp500_rv_vix.parquet")
def test_known_mean_squared_error_of_sp500_variance():
    X, y, dates, start = sp500(1)
    cv = PurgedWalkForward(start, 22, expanding=True, horizon=1)
    forecast = walk_forward(LogHAR([*LOGS, "implied"]), X, y, dates, cv)[start:]
    assert squared_error(y[start:], forecast).mean() == pytest.approx(4.14, abs=0.01)


@pytest.mark.needs_data("oxford_man_sqrt_rv_24.parquet")
@pytest.mark.parametrize(
    ("horizon", "own", "with_market"),
    [(1, 0.2388, 0.2187), (5, 0.2120, 0.1984), (22, 0.3695, 0.3575)],
)
def test_known_numbers_of_24_indices(horizon, own, with_market):
    """First 70 % of the dates to train, QLIKE of the rest: as computed on their own."""
    frame = pd.read_parquet(Path(os.environ["FINTECH_DL_DATA"]) / "oxford_man_sqrt_rv_24.parquet")
    rv = ((100 * frame.set_index(frame.columns[0])) ** 2).clip(lower=1e-4)
    log = np.log(rv)
    parts = {f"log_{w}": log.rolling(w).mean() for w in (1, 5, 22)}
    for w in (1, 5, 22):
        parts[f"market_{w}"] = log * 0 + log.mean(axis=1).rolling(w).mean().to_numpy()[:, None]
    parts["y"] = rv.rolling(horizon).mean().shift(-horizon)
    rows = pd.DataFrame({name: part.stack() for name, part in parts.items()}).dropna()
    rows = rows.reset_index(names=["date", "asset"])
    begin, known = rv.index[int(0.7 * len(rv))], rv.index[int(0.7 * len(rv)) - horizon]
    train, test = rows[rows["date"] <= known], rows[rows["date"] >= begin]
    for columns, value in (
        (LOGS, own),
        ([*LOGS, *(f"market_{w}" for w in (1, 5, 22))], with_market),
    ):
        model = LogHAR(columns, by="asset").fit(train, train["y"])
        loss = qlike(test["y"], model.predict(test))
        assert loss.mean() == pytest.approx(value, abs=0.0005)
