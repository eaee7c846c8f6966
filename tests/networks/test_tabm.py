"""TabM and its embeddings of numbers: published counts, and what makes them work."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from fintech_dl import MLP, NeuralClassifier, NeuralRegressor, TabM
from fintech_dl.networks.backend import keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def built(network, n_columns, n_outputs):
    """Return a Keras model of a network on numbers alone."""
    k = keras()
    columns = [
        {"name": f"x{i}", "kind": "number", "categories": [], "has_missing": False}
        for i in range(n_columns)
    ]
    x = k.Input((n_columns,))
    encoding = network.encoding(columns, True)
    encoding.name = "encoding"
    return k.Model(x, network.head(network(encoding(x)), n_outputs))


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({"units": (64, 64), "embedding": None}, 19_456),
        ({"units": (1008, 1008), "bins": 9, "embedding_units": 32}, 1_578_240),
    ],
)
def test_it_has_the_published_number_of_parameters(parameters, count):
    assert trainable(built(TabM(k=32, **parameters), 10, 2)) == count


@pytest.mark.parametrize("mini", [False, True])
def test_at_first_members_differ_by_the_first_scale_and_the_head_alone(mini):
    model = built(TabM(k=3, units=(8, 8), mini=mini), 4, 1)
    hidden = keras().Model(model.input, model.layers[-2].output)
    scale = model.get_layer("members").scale
    before = np.asarray(hidden(X[:5]))
    assert not np.allclose(before[:, 0], before[:, 1])
    scale.assign(np.repeat(np.asarray(scale)[:1], 3, axis=0))
    after = np.asarray(hidden(X[:5]))
    np.testing.assert_array_equal(after[:, 0], after[:, 1])


def test_members_in_another_order_predict_in_that_order():
    model = built(TabM(k=4, units=(8, 8)), 4, 1)
    before, order = np.asarray(model(X[:7])), [2, 0, 3, 1]
    for layer in model.layers[1:]:
        for v in layer.weights:
            if v.shape[0] == 4 and layer.name != "encoding" and v.name != "kernel":
                v.assign(np.asarray(v)[order])
    head = model.get_layer("head").kernel
    head.assign(np.asarray(head)[order])
    np.testing.assert_allclose(np.asarray(model(X[:7])), before[:, order], atol=1e-6)


def test_one_member_with_scales_of_one_is_an_mlp():
    tabm = built(TabM(k=1, units=(8, 6), embedding=None), 4, 1)
    tabm.get_layer("members").scale.assign(np.ones((1, 4)))
    mlp = built(MLP(units=(8, 6)), 4, 1)
    shared = [layer for layer in tabm.layers if hasattr(layer, "outwards")]
    dense = [layer for layer in mlp.layers if layer.__class__.__name__ == "Dense"]
    for a, b in zip([*shared, tabm.get_layer("head")], dense, strict=True):
        kernel = np.asarray(a.kernel)
        b.kernel.assign(kernel.reshape(kernel.shape[-2:]))
        b.bias.assign(np.asarray(a.bias)[0])
    np.testing.assert_allclose(np.asarray(tabm(X))[:, 0], np.asarray(mlp(X)), atol=1e-6)


def test_each_member_has_a_loss_of_its_own_and_probabilities_are_averaged():
    network = TabM(k=3, units=8, dropout=0.0)
    model = NeuralClassifier(network=network, epochs=1, random_state=0).fit(X, Y)
    live = model._live()
    logits = keras().Model(live.model.input, live.model.get_layer("log_odds").output)(X)
    p = (1 / (1 + np.exp(-np.asarray(logits, dtype=float)))).squeeze(2)
    assert p.shape == (300, 3)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], p.mean(axis=1), atol=1e-6)

    def loss(training):
        return np.asarray(live.trainer.objective((X, Y[:, None]), training=training))

    hit = np.where(Y[:, None], p, 1 - p)
    np.testing.assert_allclose(loss(True), -np.log(hit).mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(loss(False), -np.log(hit.mean(axis=1)), rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_three_classes_and_numbers_too(classes):
    target = RNG.integers(0, classes, 300)
    network = TabM(k=3, units=8)
    p = NeuralClassifier(network=network, epochs=1).fit(X, target).predict_proba(X)
    assert p.shape == (300, classes)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    two = np.column_stack([X[:, 0], X[:, 1]])
    assert NeuralRegressor(network=network, epochs=1).fit(X, two).predict(X).shape == (300, 2)


def quantiles(values, bins, weight=None):
    from fintech_dl.networks.embeddings import Quantiles

    values = np.asarray(values, dtype=np.float32).reshape(len(values), -1)
    layer = Quantiles(values.shape[1], bins)
    layer.build(None)
    layer.adapt(values, np.ones(len(values)) if weight is None else weight)
    return layer


def test_bins_hold_equal_shares_of_the_training_rows():
    values = np.exp(RNG.normal(size=10_000))
    layer = quantiles(values, 8)
    places = np.asarray(layer(values[:, None].astype(np.float32)))[:, 0]
    full = (places == 1).sum(axis=1)
    assert np.bincount(full, minlength=9)[:8] == pytest.approx(1250, abs=20)
    score = np.asarray(layer.normal(places[:, None]))[:, 0]
    true = norm.ppf((np.argsort(np.argsort(values)) + 0.5) / len(values))
    assert np.abs(score - true)[np.abs(true) < 1].max() < 0.1


def test_beyond_the_training_rows_a_number_counts_as_the_outermost():
    layer = quantiles(np.arange(100.0), 4)
    ends = np.array([[-1e30], [0.0], [99.0], [1e30]], dtype=np.float32)
    places = np.asarray(layer(ends))
    np.testing.assert_array_equal(places[0], places[1])
    np.testing.assert_array_equal(places[2], places[3])


@pytest.mark.parametrize(
    "values",
    [np.zeros(50), np.r_[np.zeros(49), 1.0], np.full(50, np.nan), np.r_[1.0, 1 + 1e-7, 5.0]],
    ids=["constant", "nearly", "missing", "one step apart"],
)
def test_columns_of_few_values_stay_finite(values):
    layer = quantiles(values, 8)
    seen = np.array([[-1e30], [0.0], [0.5], [1e30], [np.nan]], dtype=np.float32)
    assert np.isfinite(np.asarray(layer.normal(layer(seen)))).all()
    assert (np.asarray(layer.slope) < 1e7).all()


def test_rows_of_no_weight_do_not_move_the_bins():
    values = RNG.normal(size=(200, 1))
    weight = np.r_[np.ones(100), np.zeros(100)]
    one, other = (
        quantiles(values[:100], 8),
        quantiles(np.r_[values[:100], values[100:] + 9], 8, weight),
    )
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-6)


@pytest.mark.parametrize(("embedding", "width"), [("piecewise_linear", 5), ("both", 10)])
def test_parts_of_a_row_that_belong_together_are_scaled_as_one(embedding, width):
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame.loc[::3, "a"] = np.nan
    frame["home"] = np.where(X[:, 2] > 0, "own", "rent")
    frame["branch"] = RNG.integers(0, 40, 300).astype(str)
    model = NeuralClassifier(
        network=TabM(k=3, units=8, embedding=embedding, embedding_units=5), epochs=1
    )
    model.fit(frame, Y)
    fresh = model._build(model._network(), 0)
    widths = fresh.get_layer("encoding").widths
    assert widths[:7] == [*[width] * 4, 1, 2, widths[6]]
    assert sum(widths) == fresh.get_layer("members").scale.shape[1]
    model.network.adapt(fresh, X)
    scale = np.asarray(fresh.get_layer("members").scale)
    assert len({tuple(scale[:, i]) for i in range(width)}) == 1
    assert not np.allclose(scale[:, width - 1], scale[:, width])
