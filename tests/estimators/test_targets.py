"""Several targets, some of them missing: what is there is learned, what is not pulls nowhere."""

import keras
import numpy as np
import pytest

from fintech_dl import MLP, NeuralQuantileRegressor, NeuralRegressor, TabM
from fintech_dl.estimators.outputs import LOSSES, of_known

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3))
Y = np.column_stack([100 + 5 * X[:, 0], X[:, 1] - X[:, 2]])
GAPS = Y.copy()
GAPS[X[:, 0] > 0, 0] = np.nan
GAPS[:200, 1] = np.nan
GAPS = GAPS[~np.isnan(GAPS).all(axis=1)]
ROWS = X[~((X[:, 0] > 0) & (np.arange(len(X)) < 200))]
FAST = {"epochs": 60, "learning_rate": 0.02, "batch_size": 64, "random_state": 0}


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "huber", "qlike"])
def test_a_missing_target_adds_nothing_to_the_loss(name):
    target, output = np.array([[1.0, np.nan]]), np.array([[1.5, 7.0]])
    half = keras.ops.convert_to_numpy(of_known(LOSSES[name])(target, output))
    alone = keras.ops.convert_to_numpy(LOSSES[name](target[:, :1], output[:, :1]))
    assert half == pytest.approx(alone / 2)


@pytest.mark.parametrize(
    "model",
    [
        NeuralRegressor(network=MLP(units=32), **FAST),
        NeuralRegressor(network=TabM(k=2, units=32), loss="absolute_error", n_members=2, **FAST),
        NeuralQuantileRegressor(network=MLP(units=32), quantiles=(0.1, 0.5, 0.9), **FAST),
    ],
)
def test_each_target_is_learned_from_its_own_rows(model):
    found = model.fit(ROWS, GAPS).predict(X)
    for j, column in enumerate(GAPS.T):
        known = ~np.isnan(column)
        truth, own = column[known], model.predict(ROWS)[known, j]
        assert 1 - np.var(truth - own) / np.var(truth) > 0.9
    assert np.isfinite(found).all()
    assert model.target_mean_[0] == pytest.approx(np.nanmean(GAPS[:, 0]))


def test_early_stopping_looks_at_what_is_known():
    model = NeuralRegressor(network=MLP(units=32), **FAST, monitor="r2")
    model.fit(ROWS, GAPS, X_val=ROWS, y_val=GAPS)
    assert 0.9 < model.history_["monitor"][-1] <= 1
    assert np.isfinite(model.history_["validation_loss"]).all()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((slice(3, 5), slice(None)), "in 2 of 600 rows every target is missing, .* row 3 "),
        ((slice(None), 1), r"target 1 \(by position\) is missing in every training row"),
    ],
)
def test_targets_of_which_nothing_is_known_are_refused(rows, told):
    y = Y.copy()
    y[rows] = np.nan
    with pytest.raises(ValueError, match=told):
        NeuralRegressor(network=MLP(units=4), epochs=1).fit(X, y)


def test_a_single_target_may_not_be_missing():
    y = np.where(X[:, 0] > 0, np.nan, Y[:, 0])
    for given in (y, y[:, None]):
        with pytest.raises(ValueError, match="contains NaN"):
            NeuralRegressor(network=MLP(units=4), epochs=1).fit(X, given)
