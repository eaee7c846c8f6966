import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold

from fintech_dl import (
    LSTM,
    MLP,
    NeuralVolatilityRegressor,
    NLinear,
    RealMLP,
    Scorecard,
    TabM,
    load,
    save,
)
from fintech_dl.estimators.graph import describe, export
from fintech_dl.estimators.outputs import qlike
from fintech_dl.estimators.parity import prove
from fintech_dl.estimators.scorer import open_session
from fintech_dl.evaluation.forecasts import qlike as qlike_of_rows
from fintech_dl.evaluation.volatility_baselines import LogHAR

STILL = {"epochs": 1, "learning_rate": 1e-9, "random_state": 0}
FAST = {"epochs": 30, "learning_rate": 0.03, "random_state": 0}
NAMES = ["log_variance_1", "market_log_variance_1", "leverage_1"]
SLOPES = {"calm": [0.7, 0.1, 0.2], "wild": [0.2, 0.5, 0.4], "rare": [0.4, 0.4, 0.4]}


def panel(seed, n=1500):
    """Return rows of three assets with lines of their own, and variances beside the lines."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=NAMES).astype("float32")
    X["volume"] = rng.normal(size=n).astype("float32")
    X["asset"] = rng.choice([*SLOPES], size=n, p=[0.6, 0.39, 0.01])
    slopes = np.array([SLOPES[name] for name in X["asset"]])
    line = (X[NAMES].to_numpy() * slopes).sum(axis=1)
    return X, np.exp(-9 + line + 0.3 * rng.normal(size=n))


X, Y = panel(0)
FRESH, _ = panel(1, 400)


def bent(seed, n=3000):
    """Return rows whose log variance is far from linear in the first column."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(rng.normal(size=(n, 3)), columns=NAMES).astype("float32")
    mean = np.exp(0.5 * rows["log_variance_1"] + np.abs(rows["log_variance_1"]))
    return rows, (mean * rng.gamma(10, 0.1, size=n)).to_numpy()


def test_the_loss_pulls_towards_the_variance_and_harder_from_below():
    target = np.zeros((5, 1), dtype="float32")
    output = np.array([[-1.0], [-0.01], [0.0], [1.0], [-30.0]], dtype="float32")
    loss = keras.ops.convert_to_numpy(qlike(target, output))
    exact = [qlike_of_rows(np.ones(1), np.exp(row))[0] for row in output[:4].astype(float)]
    assert np.allclose(loss[:4], exact, atol=1e-6)
    assert loss[0] > loss[3] > loss[2] == 0  # too low costs more than too high
    assert loss[4] == pytest.approx(np.expm1(8) - 8)


@pytest.mark.parametrize(
    "network", [MLP(units=8), TabM(k=2, units=8), RealMLP(units=8), Scorecard(bins=4)]
)
def test_before_it_learns_it_is_log_har(network):
    model = NeuralVolatilityRegressor(network=network, **STILL).fit(X, Y)
    rival = LogHAR(columns=NAMES).fit(X, Y)
    assert np.allclose(model.predict(FRESH), rival.predict(FRESH), rtol=1e-4)


def test_weights_and_columns_of_the_line():
    weight = np.random.default_rng(2).uniform(0, 3, len(X)) * (np.arange(len(X)) % 3 > 0)
    columns = ["log_variance_1", 3]
    model = NeuralVolatilityRegressor(network=MLP(units=8), offset_columns=columns, **STILL)
    rival = LogHAR(columns=["log_variance_1", "volume"]).fit(X, Y, sample_weight=weight)
    found = model.fit(X, Y, sample_weight=weight).predict(FRESH)
    assert np.allclose(found, rival.predict(FRESH), rtol=1e-4)


def test_without_such_names_every_number_is_in_the_line():
    plain = X[NAMES].to_numpy()
    model = NeuralVolatilityRegressor(network=MLP(units=8), **STILL).fit(plain, Y)
    rival = LogHAR().fit(plain, Y)
    assert np.allclose(model.predict(plain), rival.predict(plain), rtol=1e-4)


def test_each_asset_has_its_line_and_the_rare_and_unseen_that_of_all():
    model = NeuralVolatilityRegressor(network=MLP(units=8), by="asset", **STILL).fit(X, Y)
    own = LogHAR(columns=NAMES, by="asset").fit(X, Y)
    pooled = LogHAR(columns=NAMES).fit(X, Y)
    found, common = model.predict(FRESH), (FRESH["asset"] != "rare").to_numpy()
    assert np.allclose(found[common], own.predict(FRESH[common]), rtol=1e-4)
    assert np.allclose(found[~common], pooled.predict(FRESH[~common]), rtol=1e-4)
    assert (~common).any()
    assert not np.allclose(own.predict(FRESH[common]), pooled.predict(FRESH[common]), rtol=0.05)
    new = FRESH.assign(asset="new")
    assert np.allclose(model.predict(new), pooled.predict(new), rtol=1e-4)


def test_each_horizon_has_a_line_of_its_own():
    both = np.column_stack([Y, 3 * Y**0.5])
    model = NeuralVolatilityRegressor(network=MLP(units=8), by="asset", **STILL).fit(X, both)
    found, common = model.predict(FRESH), (FRESH["asset"] != "rare").to_numpy()
    for j in range(2):
        rival = LogHAR(columns=NAMES, by="asset").fit(X, both[:, j])
        assert np.allclose(found[common, j], rival.predict(FRESH[common]), rtol=1e-4)


def test_each_target_may_have_columns_of_its_own():
    both = np.column_stack([Y, 3 * Y**0.5])
    lists = [["log_variance_1"], ["leverage_1", 3, "log_variance_1"]]
    model = NeuralVolatilityRegressor(network=MLP(units=8), offset_columns=lists, **STILL)
    found = model.fit(X, both).predict(FRESH)
    for j, columns in enumerate((["log_variance_1"], ["leverage_1", "volume", "log_variance_1"])):
        rival = LogHAR(columns=columns).fit(X, both[:, j])
        assert np.allclose(found[:, j], rival.predict(FRESH), rtol=1e-4)


def test_a_missing_target_is_in_no_line():
    both = np.column_stack([Y, 3 * Y**0.5])
    gaps = both.copy()
    gaps[::3, 0] = np.nan
    gaps[1::3, 1] = np.nan
    still = NeuralVolatilityRegressor(network=MLP(units=8), **STILL).fit(X, gaps)
    for j in range(2):
        known = ~np.isnan(gaps[:, j])
        rival = LogHAR(columns=NAMES).fit(X[known], both[known, j])
        assert np.allclose(still.predict(FRESH)[:, j], rival.predict(FRESH), rtol=1e-4)


def test_what_is_missing_stands_at_the_mean_of_training():
    model = NeuralVolatilityRegressor(network=MLP(units=8), **STILL)
    holes = X.copy()
    holes.loc[::7, "log_variance_1"] = np.nan
    filled = holes.fillna({"log_variance_1": holes["log_variance_1"].mean()})
    gap, mean = (
        FRESH.assign(log_variance_1=np.nan),
        FRESH.assign(log_variance_1=filled["log_variance_1"].mean()),
    )
    rival = LogHAR(columns=NAMES).fit(filled, Y)
    found = model.fit(holes, Y).predict(gap)
    assert np.allclose(found, rival.predict(mean), rtol=1e-4)


def test_of_a_window_the_last_step_is_in_the_line():
    rng = np.random.default_rng(3)
    names = [f"{c}@-{lag}" for lag in (2, 1, 0) for c in ("log_variance_1", "present")]
    window = pd.DataFrame(rng.normal(size=(800, 6)), columns=names)
    window[names[1::2]] = 1.0
    y = np.exp(0.8 * window["log_variance_1@-0"] + 0.1 * rng.normal(size=800))
    rival = LogHAR(columns=["log_variance_1@-0"]).fit(window, y)
    for network, columns in ((LSTM(units=4), None), (NLinear(), ["log_variance_1"])):
        model = NeuralVolatilityRegressor(network=network, offset_columns=columns, **STILL)
        found = model.fit(window, y).predict(window)
        assert np.allclose(found, rival.predict(window), rtol=1e-4)


def test_the_network_corrects_what_is_not_linear():
    rows, y = bent(0)
    fresh, truth = bent(1)
    model = NeuralVolatilityRegressor(network=MLP(units=8), **FAST).fit(rows, y)
    rival = LogHAR().fit(rows, y)
    ours, linear = (qlike_of_rows(truth, m.predict(fresh)).mean() for m in (model, rival))
    alone = clone(model).set_params(offset=None).fit(rows, y)
    assert ours < 0.7 * linear
    assert qlike_of_rows(truth, alone.predict(fresh)).mean() < 0.7 * linear
    assert model.history_["loss"][-1] < 0.7 * model.history_["loss"][0]
    assert model.training_["clipnorm"] == 1.0


def test_squared_errors_of_logs_forecast_medians():
    rng = np.random.default_rng(4)
    y = np.exp(rng.normal(size=len(X)))
    both = [
        NeuralVolatilityRegressor(network=MLP(units=8), loss=loss, **FAST).fit(X, y).predict(X)
        for loss in ("qlike", "squared_error")
    ]
    assert np.log(both[0].mean()) == pytest.approx(0.5, abs=0.15)
    assert np.log(np.median(both[1])) == pytest.approx(0.0, abs=0.15)


def test_members_are_separate_fits_averaged_as_logarithms():
    both = np.column_stack([Y, 100 * Y**1.5])
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    model = NeuralVolatilityRegressor(
        network=MLP(units=8), by="asset", n_members=3, cv=folds, **FAST
    )
    model.set_params(epochs=3).fit(X, both)
    separate = []
    for j, (fit, held) in enumerate(folds):
        state = model.members_[j]["random_state"]
        one = clone(model).set_params(n_members=1, cv=None, random_state=state)
        weight = np.zeros(len(X))
        weight[fit] = 1
        separate.append(np.log(one.fit(X, both, weight).predict(X)))
        assert np.allclose(np.log(model.oof_[held]), separate[j][held], atol=1e-4)
    assert np.allclose(np.log(model.predict(X)), np.mean(separate, axis=0), atol=1e-4)
    assert np.std(separate, axis=0).mean() > 1e-3


@pytest.mark.parametrize("offset", ["har", None])
def test_neither_the_unit_nor_the_neighbours_of_a_row_matter(offset):
    model = NeuralVolatilityRegressor(network=MLP(units=8), offset=offset, by="asset", **FAST)
    model.set_params(epochs=3)
    found = model.fit(X, Y).predict(FRESH)
    assert np.allclose(clone(model).fit(X, 1e8 * Y).predict(FRESH), 1e8 * found, rtol=1e-3)
    many = pd.concat([FRESH] * 100, ignore_index=True)
    assert np.array_equal(model.predict(many)[-len(FRESH) :], found)
    assert np.array_equal(model.predict(FRESH[7:8]), found[7:8])


def test_another_line_is_another_model():
    """Live models are handed on from fit to fit, but only between equal structures."""
    settings = {"network": MLP(units=8), **STILL}
    for by in ("asset", None, "asset"):
        model = NeuralVolatilityRegressor(by=by, **settings).fit(X, Y)
        rival = LogHAR(columns=NAMES, by=by).fit(X, Y)
        common = FRESH[FRESH["asset"] != "rare"]
        assert np.allclose(model.predict(common), rival.predict(common), rtol=1e-4)
        del model


def test_more_rows_leave_the_line_as_it_is():
    model = NeuralVolatilityRegressor(network=MLP(units=8), **STILL)
    before = model.partial_fit(X, Y).predict(FRESH)
    after = model.partial_fit(X, 10 * Y**2).predict(FRESH)
    assert np.allclose(after, before, rtol=1e-4)
    fresh = model.fit(X, 10 * Y**2).predict(FRESH)
    assert not np.allclose(fresh, before, rtol=0.1)


def test_an_artefact_and_its_graph_give_the_same(tmp_path):
    model = NeuralVolatilityRegressor(network=MLP(units=8), by="asset", n_members=2, **FAST)
    model.set_params(epochs=3).fit(X, np.column_stack([Y, 2 * Y]))
    save(model, tmp_path / "artefact")
    assert np.array_equal(load(tmp_path / "artefact").predict(FRESH), model.predict(FRESH))
    scorer = open_session(export(model), describe(model))
    given = scorer.outputs(scorer.encode(FRESH))
    assert np.allclose(given, model.predict(FRESH), rtol=1e-5)
    proof = prove(model, scorer)
    assert proof["passed"]
    assert proof["of"].startswith("logarithms")


def test_columns_add_up_to_the_logarithm_of_the_variance():
    model = NeuralVolatilityRegressor(
        network=MLP(units=8, activation="gelu"), by="asset", n_members=2, **FAST
    )
    model.set_params(epochs=3).fit(X, Y)
    one = X[X["asset"] == "calm"].head(1).assign(log_variance_1=1.0, market_log_variance_1=-1.0)
    rows = X.head(9).assign(log_variance_1=[np.nan, *X["log_variance_1"].head(8)])
    added, _ = model.input_gradients(rows, one)
    moved = np.log(model.predict(rows)) - np.log(model.predict(one))
    assert np.abs(added.sum(axis=1) - moved).max() < 1e-4
    other, _ = model.input_gradients(one.assign(asset="wild"), one)
    assert other[0, list(X).index("asset")] < -0.5  # its line is flat in one, steep in the other
    assert np.abs(np.delete(other[0], list(X).index("asset"))).max() == 0


def test_a_target_that_is_no_variance_is_refused():
    bad = Y.copy()
    bad[[5, 9]] = 0.0, -1.0
    with pytest.raises(
        ValueError, match=r"2 of 1500 rows are 0 or below, the first is row 5 .*0\.0"
    ):
        NeuralVolatilityRegressor(network=MLP(units=8), **STILL).fit(X, bad)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"offset": "garch"}, r"offset='garch'; allowed: 'har' or None"),
        ({"offset_columns": ["nothing"]}, r"offset_columns names 'nothing'"),
        ({"offset_columns": ["asset"]}, r"offset_columns=\['asset'\]; allowed: columns of numbers"),
        ({"offset_columns": []}, r"offset_columns=\[\]; allowed"),
        ({"offset_columns": [["log_variance_1"], ["volume"]]}, r"2 lists, y 1 targets"),
        ({"by": "volume"}, r"by='volume' is a column of numbers"),
        ({"by": "nothing"}, r"by names 'nothing'"),
        ({"loss": "huber"}, r"loss='huber'; allowed: 'qlike', 'squared_error'"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, text):
    with pytest.raises(ValueError, match=text):
        NeuralVolatilityRegressor(network=MLP(units=8), **STILL, **parameters).fit(X, Y)
