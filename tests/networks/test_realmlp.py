"""RealMLP: published counts and first weights, and what its inputs make of odd columns."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import NeuralClassifier, NeuralDetector, RealMLP
from fintech_dl.networks.backend import keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def numbers(n):
    return [{"name": f"x{i}", "kind": "number", "categories": [], "has_missing": False}
            for i in range(n)]  # fmt: skip


def category(n):
    return {"name": "c", "kind": "category", "categories": list("abcdefghijkl"[:n])}


def built(network, columns, n_outputs=1):
    """Return a Keras model of a network."""
    k = keras()
    x = k.Input((len(columns),))
    encoding = network.encoding(columns, True)
    encoding.name = "encoding"
    return k.Model(x, network.head(network(encoding(x)), n_outputs))


def encoded(columns, rows, train=None, weight=None, **parameters):
    layer = RealMLP(**{"embedding_units": 1, **parameters}).encoding(columns, True)
    rows = np.asarray(rows, dtype=np.float32)
    layer.build(rows.shape)
    train = rows if train is None else np.asarray(train, dtype=np.float32)
    layer.adapt(train, np.ones(len(train)) if weight is None else weight)
    return np.asarray(layer(rows))


def test_it_has_the_published_number_of_parameters():
    model = built(RealMLP(), numbers(10), n_outputs=3)
    found = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    waves = 10 * (16 + 16 + 16 * 3 + 3)  # frequency, phase, 16 -> 3
    layers = [(4 * 10, 256), (256, 256), (256, 256)]
    dense = sum(n * width + width + width for n, width in layers)  # kernel, bias, activation
    assert found == waves + 40 + dense + 256 * 3 + 3


def test_first_outputs_of_every_layer_have_deviation_1_and_change_sign_amid_the_rows():
    network, k = RealMLP(units=(64, 32)), keras()
    model = built(network, numbers(4), n_outputs=2)
    rows, weight = X * [1, 100, 1e-3, 1] + [5, 0, 0, -9], RNG.uniform(0.5, 2, 400)
    rows = rows.astype(np.float32)
    model.get_layer("encoding").adapt(rows, weight)
    network.adapt(model, rows, None, weight)
    dense = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert [layer.units for layer in dense] == [64, 32, 2]
    for layer in dense:
        z = np.asarray(k.Model(model.input, layer.output)(rows), dtype=float)
        mean = np.average(z, axis=0, weights=weight)
        spread = np.sqrt(np.average((z - mean) ** 2, axis=0, weights=weight))
        np.testing.assert_allclose(spread, 1, rtol=1e-4)
        assert ((z.min(axis=0) < 0) & (z.max(axis=0) > 0)).all()
        assert np.abs(mean).max() > 0.1  # units bend at different places


def test_rows_that_are_all_alike_leave_finite_weights():
    network = RealMLP(units=8)
    model = built(network, numbers(4))
    model.get_layer("encoding").adapt(np.ones((5, 4), dtype=np.float32), np.ones(5))
    network.adapt(model, np.ones((5, 4), dtype=np.float32))
    assert all(np.isfinite(np.asarray(w)).all() for w in model.weights)


def test_each_member_begins_with_first_weights_of_its_own_seed():
    still = {"network": RealMLP(units=8), "epochs": 1, "learning_rate": 0.0}
    both = NeuralClassifier(**still, n_members=2, random_state=0).fit(X, Y)
    for j, member in enumerate(both.members_):
        own = NeuralClassifier(**still, random_state=member["random_state"]).fit(X, Y)
        for together, alone in zip(both.weights_, own.weights_, strict=True):
            np.testing.assert_array_equal(together[j], alone)
    assert not all(np.array_equal(w[0], w[1]) for w in both.weights_)


def plain(kind):
    """Return a layer that does what one of ours does, its weight stored as it is."""
    k = keras()

    class Plain(k.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(name="w", shape=(shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.w if kind == "scale" else x + self.w * (k.activations.selu(x) - x)

    return Plain()


@pytest.mark.parametrize(("kind", "pace"), [("scale", 6.0), ("activation", 0.1)])
def test_a_pace_is_a_learning_rate_times_it(kind, pace):
    from fintech_dl.networks.robust import PartialActivation, Scale

    k, runs = keras(), []
    target = (X * [0.5, 2, -1, 1] - 0.2).astype(np.float32)
    for layer, times in (
        (Scale() if kind == "scale" else PartialActivation("selu"), 1.0),
        (plain(kind), pace),
    ):
        model = k.Sequential([k.Input((4,)), layer])
        adam = k.optimizers.Adam(0.01 * times, epsilon=1e-12)
        model.compile(adam, "mse", jit_compile=False)
        outputs = [np.asarray(model(X))]
        for _ in range(5):
            model.fit(X, target, batch_size=400, epochs=1, verbose=0, shuffle=False)
            outputs.append(np.asarray(model(X)))
        runs.append(outputs)
    assert np.abs(runs[0][5] - runs[0][0]).max() > 1e-3
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_waves_begin_as_published():
    from fintech_dl.networks.robust import SLOW, Waves

    layer = Waves(4, 16, scale=0.1)
    layer.build((None, 500))
    frequency, phase, kernel = (
        SLOW * np.asarray(w) for w in (layer.frequency, layer.phase, layer.kernel)
    )
    assert frequency.std() == pytest.approx(0.1, rel=0.05)
    assert (np.abs(phase).max(), np.abs(kernel).max()) == pytest.approx((np.pi, 0.25), rel=0.01)
    x = RNG.normal(size=(3, 500)).astype(np.float32)
    angle = 2 * np.pi * x[:, :, None] * frequency + phase
    mixed = np.einsum("rnf,nfu->rnu", np.cos(angle), kernel) + SLOW * np.asarray(layer.bias)
    expected = np.concatenate([mixed, x[:, :, None]], axis=2)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-4)


def test_numbers_come_in_by_median_and_quartiles_within_3():
    rows = np.array([[0.0], [1], [2], [3], [4], [1e30], [np.nan]])
    z = encoded([{**numbers(1)[0], "has_missing": True}], rows, train=rows[:5])
    linear = np.array([-1, -0.5, 0, 0.5, 1])
    np.testing.assert_allclose(z[:5, 0], linear / np.sqrt(1 + (linear / 3) ** 2), rtol=1e-6)
    assert 2.9 < z[5, 0] <= 3
    np.testing.assert_array_equal(z[6], [0, 1])


def test_columns_of_few_values():
    mostly = np.r_[np.zeros(90), np.full(10, 6.0)]  # no range in its middle half: half of all
    constant, missing = np.full(100, 7.0), np.full(100, np.nan)
    train = np.column_stack([mostly, constant, missing])
    rows = [[6.0, 7.0, 1.0], [0.0, -1e30, np.nan], [3e38, 3e38, -3e38]]
    z = encoded(numbers(3), rows, train=train)
    assert z[0, 0] == pytest.approx(2 / np.sqrt(1 + 4 / 9))
    assert z[1, 0] == 0
    assert np.abs(z[:2, 1]).max() < 1e-6
    assert np.isfinite(z).all()


def test_rows_of_no_weight_do_not_move_the_scale():
    weight = np.r_[np.ones(200), np.zeros(200)]
    moved = np.r_[X[:200], X[200:] + 9]
    one = encoded(numbers(4), X, train=X[:200])
    np.testing.assert_array_equal(one, encoded(numbers(4), X, train=moved, weight=weight))


def test_categories_are_a_sign_or_one_hot_or_embedded():
    codes = np.arange(4.0)[:, None]
    np.testing.assert_array_equal(encoded([category(2)], codes[:3]), [[0], [-1], [1]])
    np.testing.assert_array_equal(encoded([category(3)], codes)[1:], np.eye(3))
    assert encoded([category(8)], codes).shape == (4, 8)
    vectors = encoded([category(9)], codes)
    assert vectors.shape == (4, 8)
    assert not vectors[0].any()
    assert vectors[1:].std() > 0.5


def test_missing_and_unseen_categories_score_alike_and_missing_numbers_by_their_own():
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["home"] = np.where(RNG.random(400) < 0.5, "own", "rent")
    frame["branch"] = RNG.integers(0, 12, 400).astype(str)
    frame.loc[::5, "a"] = np.nan
    frame.loc[::3, ["home", "branch"]] = np.nan
    label = frame["a"].isna().to_numpy().astype(int)
    model = NeuralClassifier(network=RealMLP(units=16), epochs=20, random_state=0)
    model.fit(frame, label)
    missing, unseen = frame.iloc[1:9].copy(), frame.iloc[1:9].copy()
    missing[["home", "branch"]] = None
    unseen[["home", "branch"]] = "other"
    p = model.predict_proba(missing)[:, 1]
    np.testing.assert_array_equal(p, model.predict_proba(unseen)[:, 1])
    gone = model.predict_proba(missing.assign(a=np.nan))[:, 1]
    assert gone.min() > 0.9 > 0.1 > p[frame["a"].iloc[1:9].notna()].max()


def test_it_learns_a_pairwise_interaction():
    rows = RNG.normal(size=(2500, 6)).astype(np.float32)
    y = (rows[:, 0] * rows[:, 1] > 0).astype(int)
    model = NeuralClassifier(network=RealMLP(units=(64, 64)), epochs=15, random_state=0)
    assert model.fit(rows[:1500], y[:1500]).score(rows[1500:], y[1500:]) > 0.95


def test_a_detector_rebuilds_the_standardised_columns():
    rows = np.column_stack([X[:, 0], X[:, 0] * 3 + 1, -X[:, 0]])
    model = NeuralDetector(network=RealMLP(units=(16, 2), dropout=0.0), epochs=60, random_state=0)
    broken = rows * [1, -1, 1]
    model.fit(rows)
    usual, odd = model.anomaly_score(rows), model.anomaly_score(broken[np.abs(rows[:, 0]) > 1])
    assert np.median(odd) > 20 * np.median(usual)


@pytest.mark.parametrize("n_rows", [1, 50, 1_000, 8_000, 30_000, 150_000, 3_000_000])
def test_the_advice_is_bounded_in_steps(n_rows):
    advice = RealMLP().training(n_rows)
    steps = advice["epochs"] * int(np.ceil(n_rows / advice["batch_size"]))
    assert 1 <= advice["epochs"] <= 64
    assert steps <= 17_000
    assert advice["patience"] == advice["epochs"]
