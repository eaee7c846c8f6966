import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import mean_pinball_loss

from fintech_dl import MLP, NeuralQuantileRegressor, NeuralRegressor, TabM, load, save
from fintech_dl.estimators.graph import describe, export
from fintech_dl.estimators.scorer import open_session

FAST = {"epochs": 30, "learning_rate": 0.02, "batch_size": 128, "random_state": 0}


@pytest.fixture(scope="module")
def rows():
    """Return rows whose target spreads as wide as their first column says, and new ones."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(0.5, 3, 2400), rng.normal(size=2400)])
    y = 100 + X[:, 0] * rng.normal(size=2400)
    return X[:1600], y[:1600], X[1600:], y[1600:]


@pytest.fixture(scope="module")
def model(rows):
    return NeuralQuantileRegressor(network=MLP(units=16), **FAST).fit(*rows[:2])


def test_intervals_cover_narrow_and_wide_rows_alike(rows, model):
    X, y = rows[2:]
    low, high = model.predict_interval(X, coverage=0.9)
    inside = (low <= y) & (y <= high)
    for part in (X[:, 0] < 1.5, X[:, 0] > 2):
        assert 0.83 <= inside[part].mean() <= 0.97
    assert np.mean(high - low, where=X[:, 0] > 2.5) > 2 * np.mean(high - low, where=X[:, 0] < 1)


def test_each_quantile_is_better_than_the_one_of_all_rows(rows, model):
    X, y = rows[2:]
    found = model.predict_quantiles(X)
    for i, level in enumerate(model.quantiles):
        usual = np.full(len(y), np.quantile(rows[1], level))
        loss, usual_loss = (mean_pinball_loss(y, q, alpha=level) for q in (found[:, i], usual))
        assert loss < (usual_loss if level != 0.5 else usual_loss * 1.05)


@pytest.mark.parametrize("network", [MLP(units=8), TabM(k=2, units=8)])
def test_quantiles_never_cross(rows, network):
    """Not after one epoch either, nor far away from the training rows."""
    model = NeuralQuantileRegressor(network=network, n_members=2, epochs=1, random_state=0)
    far = np.concatenate([rows[2], rows[2] * 1e4, -rows[2] * 1e6])
    found = model.fit(*rows[:2]).predict_quantiles(far)
    assert (np.diff(found, axis=1) >= 0).all()
    assert (np.diff(found, axis=1) > 0).mean() > 0.99


def test_the_loss_is_the_mean_pinball_loss(rows):
    X, y = rows[:2]
    levels = (0.1, 0.5, 0.8)
    model = NeuralQuantileRegressor(
        network=MLP(units=4), quantiles=levels, epochs=1, random_state=0
    ).fit(X, y, X_val=X, y_val=y)
    found = model.predict_quantiles(X)
    expected = [mean_pinball_loss(y, found[:, i], alpha=q) for i, q in enumerate(levels)]
    assert model.history_["validation_loss"][0] == pytest.approx(np.mean(expected) / y.std(), 1e-4)


def test_several_targets_at_once_and_rows_out_of_fold(rows):
    X, y = rows[:2]
    both = np.column_stack([y, -5 * y])
    model = NeuralQuantileRegressor(network=MLP(units=16), cv=2, **FAST).fit(X, both)
    found = model.predict_quantiles(X)
    assert found.shape == model.oof_.shape == (len(X), 2, 5)
    assert np.array_equal(model.predict(X), found[:, :, 2])
    low, high = model.predict_interval(X, coverage=0.5)
    assert np.array_equal(low, found[:, :, 1])
    for inside in ((low <= both) & (both <= high)).T:
        assert 0.4 <= inside.mean() <= 0.6
    # each target in its own unit: five times as wide
    width = (high - low).mean(axis=0)
    assert 4 < width[1] / width[0] < 6


def test_the_median_is_what_an_absolute_loss_learns(rows, model):
    plain = NeuralRegressor(network=MLP(units=16), loss="absolute_error", **FAST).fit(*rows[:2])
    X, y = rows[2:]
    errors = [np.abs(one.predict(X) - y).mean() for one in (model, plain)]
    assert errors[0] == pytest.approx(errors[1], rel=0.05)


def test_an_artefact_and_its_graph_give_the_same(rows, model, tmp_path):
    save(model, tmp_path / "artefact")
    again = load(tmp_path / "artefact")
    assert np.array_equal(again.predict_quantiles(rows[2]), model.predict_quantiles(rows[2]))
    scorer = open_session(export(model), describe(model))
    given = scorer.outputs(scorer.encode(rows[2].astype(np.float32)))
    assert np.allclose(given, model.predict_quantiles(rows[2]), atol=1e-3)


@pytest.mark.parametrize(
    "quantiles", [(), (0.5, 0.1), (0.1, 0.9), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5), ("a",), 0.5]
)
def test_quantiles_that_cannot_be_are_refused(rows, quantiles):
    model = NeuralQuantileRegressor(network=MLP(units=4), quantiles=quantiles, epochs=1)
    with pytest.raises(ValueError, match=r"quantiles=.*allowed"):
        clone(model).fit(*rows[:2])


def test_an_interval_that_no_quantiles_span_names_those_they_do(rows, model):
    with pytest.raises(ValueError, match=r"coverage=0.8; allowed with .*: 0.9, 0.5"):
        model.predict_interval(rows[2], coverage=0.8)
