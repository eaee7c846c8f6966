"""Integrated gradients add up to the score, on every estimator, encoding and backend."""

import os

import keras
import numpy as np
import pandas as pd
import pytest

from fintech_dl import (
    CNN,
    LSTM,
    MLP,
    Autoencoder,
    FTTransformer,
    Network,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralRegressor,
    RealMLP,
    Scorecard,
    TabM,
    hyperparameters,
)
from fintech_dl.errors import UsageError

SHORT = {"epochs": 4, "batch_size": 64, "learning_rate": 0.01, "random_state": 0}
CODES = {"late": [-9]}
EVERY = os.environ.get("FINTECH_DL_CONTRACT") == "all"
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() == "jax" and not EVERY, reason="as on TensorFlow"
)
RNG = np.random.default_rng(0)


def applicants(n=300):
    """Numbers, missing values, a special code, few categories, many categories, a constant."""
    X = pd.DataFrame(
        {
            "home": RNG.choice(["rent", "own", "other"], n),
            "income": RNG.lognormal(10, 1, n),
            "late": RNG.choice([-9, 0, 1, 2, 3], n).astype(float),
            "city": RNG.choice([f"city {i}" for i in range(30)], n),
            "use": RNG.random(n),
            "constant": 1.0,
        }
    )
    X.loc[RNG.random(n) < 0.1, "income"] = np.nan
    X.loc[RNG.random(n) < 0.1, "home"] = None
    return X


X = applicants()
RISK = X["late"].clip(0) * X["use"] + (X["home"] == "rent") + X["income"].isna() - 1
Y = (RISK > 0).astype(int)
ROWS, ONE = X[:12], X[20:21]


@hyperparameters
class Straight(Network):
    """No layer at all: a logistic regression of the encoded columns."""

    def __call__(self, inputs):
        return inputs


def gap(model, score, rows=ROWS, one=ONE):
    added, points = model.input_gradients(rows, one)
    assert added.shape == rows.shape
    assert (points >= 17).all()
    return np.abs(added.sum(axis=1) - (score(rows) - score(one))).max()


@on_tensorflow
@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (MLP(units=16, activation="gelu", batch_norm=True), {}),
        (TabM(k=4, units=16, embedding="periodic"), {}),
        (MLP(units=(32, 16)), {"n_members": 3}),
        (Scorecard(), {}),
        (RealMLP(units=16), {}),
        (FTTransformer(units=8, heads=2, blocks=1), {}),
        (TabM(k=2, units=8), {"n_members": 2, "average": "logit"}),
    ],
    ids=repr,
)
def test_columns_add_up_to_the_log_odds(network, parameters):
    model = NeuralClassifier(network=network, special_codes=CODES, **SHORT, **parameters).fit(X, Y)
    assert gap(model, model.decision_function) < 1e-4
    added, _ = model.input_gradients(ROWS, ONE)
    assert np.abs(added[:, list(X).index("constant")]).max() < 1e-6


def test_a_straight_network_gives_its_coefficients():
    numbers = X[["income", "late", "use"]].fillna(1e4)
    model = NeuralClassifier(network=Straight(), **SHORT).fit(numbers, Y)
    added, points = model.input_gradients(numbers[:12], numbers[20:21])
    layers = model._live().model
    kernel = np.asarray(layers.get_layer("head").kernel)[:, 0]
    scale = np.asarray(layers.get_layer("encoding").scale)
    expected = (numbers[:12] - numbers.iloc[20]) * (kernel / scale)
    assert np.allclose(added, expected, atol=1e-5)
    assert (points == 17).all()  # nothing bends: no more than the first points


def test_a_category_a_missing_value_and_a_special_code_count_for_their_own_column():
    model = NeuralClassifier(network=TabM(k=4, units=16), special_codes=CODES, **SHORT).fit(X, Y)
    for name, value in {"home": "rent", "city": "city 3", "income": np.nan, "late": -9.0}.items():
        one = X[X["home"].eq("own") & X["income"].notna() & X["late"].gt(0)].head(1)
        one = one[one["city"] != "city 3"] if name == "city" else one
        row = one.assign(**{name: value})
        added, _ = model.input_gradients(row, one)
        moved = model.decision_function(row) - model.decision_function(one)
        assert abs(moved[0]) > 1e-4
        assert added[0, list(X).index(name)] == pytest.approx(moved[0], abs=1e-4)
        assert np.delete(added[0], list(X).index(name)).tolist() == [0] * 5


@on_tensorflow
def test_an_input_made_of_two_columns_is_refused():
    class Mixture(keras.layers.Dense):
        def adapt(self, X, sample_weight):
            pass

    @hyperparameters
    class Mixed(Straight):
        def encoding(self, columns, embed):
            return Mixture(3)

    numbers = X[["late", "use"]]
    model = NeuralClassifier(network=Mixed(), **SHORT)
    with pytest.raises(UsageError, match="Mixture makes one input of several columns"):
        model.fit(numbers, Y).input_gradients(numbers[:3], numbers[20:21])


@on_tensorflow
def test_a_row_does_not_depend_on_its_neighbours():
    model = NeuralClassifier(network=MLP(units=16), **SHORT).fit(X, Y)
    every, points = model.input_gradients(ROWS, ONE)
    alone, own = model.input_gradients(ROWS[5:6], ONE)
    assert np.array_equal(every[5], alone[0])
    assert points[5] == own[0]


@pytest.mark.parametrize("parameters", [{}, {"cv": 2}], ids=repr)
def test_a_regressor_adds_up_in_the_unit_of_its_target(parameters):
    target = 1000 + 500 * X["use"]
    model = NeuralRegressor(network=MLP(units=16), **SHORT, **parameters).fit(X, target)
    assert gap(model, model.predict) < 1e-4 * target.std()
    assert np.abs(model.input_gradients(ROWS, ONE)[0]).max() > 1


@on_tensorflow
@pytest.mark.parametrize("network", [Autoencoder(), TabM(k=2, units=8)], ids=repr)
def test_a_detector_adds_up_to_its_anomaly_score(network):
    model = NeuralDetector(network=network, special_codes=CODES, **SHORT).fit(X)
    assert gap(model, model.anomaly_score) < 1e-4


@on_tensorflow
@pytest.mark.parametrize("network", [LSTM(units=4), CNN(filters=4, hidden=8)], ids=repr)
def test_windows_add_up_step_by_step(network):
    names = [f"{channel}@-{lag}" for lag in (2, 1, 0) for channel in ("amount", "present")]
    windows = pd.DataFrame(RNG.normal(size=(300, 6)), columns=names)
    windows[names[1::2]] = 1.0
    windows.loc[::3, names[:2]] = 0.0
    y = (windows["amount@-0"] > 0).astype(int)
    model = NeuralClassifier(network=network, **SHORT).fit(windows, y)
    assert gap(model, model.decision_function, windows[:9], windows[9:10]) < 1e-4


@on_tensorflow
def test_what_has_no_gradient_says_so():
    ranked = NeuralClassifier(network=MLP(units=4), n_members=2, average="rank", **SHORT).fit(X, Y)
    with pytest.raises(UsageError, match="set_params"):
        ranked.input_gradients(ROWS, ONE)
    ranked.set_params(average="logit")  # as the text says
    assert gap(ranked, ranked.decision_function) < 1e-4
    three = NeuralClassifier(network=MLP(units=4), **SHORT).fit(X, np.arange(len(X)) % 3)
    with pytest.raises(UsageError, match="3 classes"):
        three.input_gradients(ROWS, ONE)
    two = NeuralRegressor(network=MLP(units=4), **SHORT).fit(X, np.column_stack([Y, Y]))
    with pytest.raises(UsageError, match="2 targets"):
        two.input_gradients(ROWS, ONE)
    with pytest.raises(UsageError, match="codes"):
        NeuralEncoder(network=Autoencoder(units=4, code=2), **SHORT).fit(X).input_gradients(X, ONE)


@on_tensorflow
def test_a_reference_of_several_rows_and_too_few_steps_are_refused():
    model = NeuralClassifier(network=MLP(units=32), **SHORT).fit(X, Y)
    with pytest.raises(ValueError, match="reference has 2 rows"):
        model.input_gradients(ROWS, X[:2])
    with pytest.raises(UsageError, match="17 or more"):
        model.input_gradients(ROWS, ONE, steps=5)
    with pytest.raises(UsageError, match="allow more points"):
        model.input_gradients(ROWS, ONE, steps=17)
