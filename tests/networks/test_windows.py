"""Networks of windows: sizes as published, what each can learn, scales of their own, padding."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from fintech_dl import (
    TCN,
    NeuralClassifier,
    NeuralDetector,
    NeuralRegressor,
    NHiTS,
    NLinear,
    Transformer,
    TSMixer,
)
from fintech_dl.estimators.graph import describe, export
from fintech_dl.estimators.parity import prove
from fintech_dl.estimators.scorer import open_session
from fintech_dl.networks.backend import keras
from fintech_dl.networks.nhits import interpolation
from fintech_dl.networks.own_scale import on_own_scale

RNG = np.random.default_rng(0)
WALKS = RNG.normal(size=(400, 12)).cumsum(axis=1).astype(np.float32)
FAST = {"epochs": 2, "batch_size": 64, "random_state": 0}
PATCHES = Transformer(patch=4, stride=3, blocks=1, units=8, heads=2)
SMALL = [
    TCN(filters=(4, 4)),
    PATCHES,
    Transformer(tokens="channel", blocks=1, units=8, heads=2),
    NLinear(),
    NHiTS(pooling=(4, 1), hidden=8),
    TSMixer(units=8),
]
each_network = pytest.mark.parametrize("network", SMALL, ids=repr)


def built(network, steps, channels, n_outputs=1):
    """Return a Keras model of a network on a window that is encoded already."""
    k = keras()
    x = k.Input((steps, channels))
    return k.Model(x, network.head(network(x), n_outputs))


def size(*arguments):
    variables = built(*arguments).trainable_variables
    return sum(int(np.prod(v.shape)) for v in variables)


def dense(n, m):
    return n * m + m


def test_sizes_are_those_of_the_papers_layers():
    steps, channels, units = 60, 6, 32
    block = 4 * dense(units, units) + 2 * 2 * units
    block += dense(units, 2 * units) + dense(2 * units, units)
    patches = 14  # (60 - 8) / 4 + 1
    embedding = dense(8 * channels, units) + patches * units
    expected = embedding + 2 * block + 2 * units + dense(patches * units, 1)
    assert size(Transformer(), steps, channels) == expected
    inverted = dense(steps, units) + 2 * block + 2 * units + dense(channels * units, 1)
    assert size(Transformer(tokens="channel"), steps, channels) == inverted
    first = 3 * channels * 32 + 32 + dense(channels, 32)
    tcn = first + 7 * (3 * 32 * 32 + 32) + dense(32, 1)
    assert size(TCN(), steps, channels) == tcn
    mixer = dense(steps, steps) + dense(channels, 64) + dense(64, channels)
    assert size(TSMixer(), steps, channels) == 2 * mixer + dense(steps * channels, 1)
    assert size(NLinear(), steps, 1) == dense(steps, 1) + 1  # the last is the level's slope
    stacks = 0
    for knots, last in ((8, False), (15, False), (60, True)):
        stacks += dense(knots * channels, 128) + dense(128, 128) + dense(128, 16)
        stacks += 0 if last else dense(128, knots * channels)
    assert size(NHiTS(), steps, channels) == stacks + dense(16, 1)


def test_tcn_is_the_dilated_network_at_the_last_step():
    k, rows = keras(), RNG.normal(size=(5, 13, 2)).astype(np.float32)
    ours = built(TCN(filters=(4, 4, 4), dropout=0.0), 13, 2)
    for v in ours.trainable_variables:
        v.assign(RNG.normal(size=v.shape) / 2)
    own = ours.layers
    kernels = iter([layer for layer in own if isinstance(layer, k.layers.Conv1D)])
    across = next(layer for layer in own if isinstance(layer, k.layers.Dense))
    x = rows
    for i in range(3):
        y = x
        for _ in range(2):
            layer = k.layers.Conv1D(4, 3, padding="causal", activation="relu", dilation_rate=2**i)
            layer.build(y.shape)
            layer.set_weights(next(kernels).get_weights())
            y = np.asarray(layer(y))
        x = np.maximum(0, y + (np.asarray(across(x)) if i == 0 else x))
    expected = np.asarray(ours.get_layer("head")(x[:, -1]))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(np.asarray(ours(rows)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "first"),
    [(TCN(filters=(4, 4, 4, 4), dropout=0.0), 39), (PATCHES, 0), (NHiTS(hidden=8), 0)],
    ids=repr,
)
def test_how_far_back_it_sees(network, first):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1, 100, 1)).astype(np.float32)
    model = built(network, 100, 1)
    for v in model.trainable_variables:  # weights of one sign: no path is cut by a ReLU
        v.assign(rng.uniform(0.1, 0.5, size=v.shape))
    changed = np.repeat(rows, 100, axis=0)
    changed[np.arange(100), np.arange(100), 0] += 3
    as_it_was = np.repeat(rows, 100, axis=0)  # a block of the same size: the same bits
    told = (np.asarray(model(changed)) != np.asarray(model(as_it_was))).ravel()
    assert not told[:first].any()
    assert told[first : first + 10].any()


@pytest.mark.parametrize(
    "network",
    [
        TCN(filters=(8, 8), dropout=0.0),
        Transformer(patch=1, stride=1, blocks=1, units=8, heads=2, dropout=0.0),
        Transformer(tokens="channel", blocks=1, units=16, heads=2, dropout=0.0),
        NHiTS(pooling=(2, 1), hidden=32),
        TSMixer(units=32, dropout=0.0),
    ],
    ids=repr,
)
def test_it_learns_what_a_linear_model_cannot(network):
    rows = np.random.default_rng(3).normal(size=(1500, 8)).astype(np.float32)
    y = (np.abs(rows[:, -1]) > np.abs(rows[:, -4])).astype(int)  # the larger move, either way
    network.channels = 2
    model = NeuralClassifier(
        network=network, epochs=25, batch_size=64, learning_rate=5e-3, random_state=0
    )
    assert model.fit(rows[:1000], y[:1000]).score(rows[1000:], y[1000:]) > 0.7
    assert LogisticRegression().fit(rows[:1000], y[:1000]).score(rows[1000:], y[1000:]) < 0.6


def test_nlinear_learns_any_linear_rule_of_one_channel():
    rng = np.random.default_rng(4)
    rows, weights = rng.normal(3, 1, size=(400, 6)), rng.normal(size=6)
    y = 100 + rows @ weights
    settings = {"epochs": 60, "batch_size": 16, "learning_rate": 0.02, "schedule": "cosine"}
    model = NeuralRegressor(network=NLinear(), random_state=0, **settings)
    error = model.fit(rows[:300], y[:300]).predict(rows[300:]) - y[300:]
    assert np.abs(error).max() < 0.01 * y.std()


@pytest.mark.parametrize("how", ["last", "window", "volatility"])
def test_own_scale_is_what_it_says(how):
    rows = RNG.normal(3, 2, size=(50, 9, 2)).astype(np.float32)
    window, level, scale = (np.asarray(part) for part in on_own_scale(rows, how))
    if how == "window":
        expected = rows.mean(axis=1), rows.std(axis=1)
    elif how == "last":
        expected = rows[:, -1], np.ones((50, 2))
    else:
        moves = np.sqrt(np.square(np.diff(rows, axis=1)).mean(axis=1))
        expected = rows[:, -1], moves
    np.testing.assert_allclose(
        window, (rows - expected[0][:, None]) / expected[1][:, None], rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(scale, expected[1][:, :1], rtol=1e-3)
    centre = 0 * expected[0] if how == "volatility" else expected[0]
    np.testing.assert_allclose(level, centre[:, :1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["last", "window", "volatility"])
def test_padding_and_still_windows_do_not_count(how):
    rows = RNG.normal(3, 2, size=(50, 9, 2)).astype(np.float32)
    padded = np.concatenate([np.zeros((50, 4, 2), np.float32), rows], axis=1)
    parts = [np.asarray(part) for part in on_own_scale(rows, how)]
    found = [np.asarray(part) for part in on_own_scale(padded, how)]
    assert not found[0][:, :4].any()
    np.testing.assert_allclose(found[0][:, 4:], parts[0], rtol=1e-4, atol=1e-5)
    for one, other in zip(found[1:], parts[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    still = np.full((1, 9, 2), 0.1, np.float32)
    assert not np.asarray(on_own_scale(still, how)[0]).any()
    assert not np.asarray(on_own_scale(0 * still, how)[0]).any()
    assert np.isfinite(np.asarray(on_own_scale(rows[:, :1], how)[0])).all()


@each_network
@pytest.mark.parametrize("how", ["last", "window"])
def test_a_window_at_another_level_is_forecast_at_that_level(network, how):
    y = WALKS[:, -1] + (WALKS[:, -1] - WALKS[:, -2])
    network = type(network)(**{**network.get_params(), "normalise": how})
    model = NeuralRegressor(network=network, **FAST).fit(WALKS, y)
    slope = model.predict(WALKS + 5) - model.predict(WALKS)
    assert np.ptp(slope) < 1e-3  # an offset moves every forecast alike
    assert 3 < slope.mean() < 9


@each_network
def test_by_volatility_a_window_twice_as_wild_is_forecast_twice_as_far(network):
    network = type(network)(**{**network.get_params(), "normalise": "volatility"})
    model = NeuralRegressor(network=network, **FAST).fit(WALKS, WALKS[:, -1] - WALKS[:, 0])
    far = model.predict(10 * WALKS) - model.target_mean_
    near = model.predict(5 * WALKS) - model.target_mean_
    assert np.ptp(near) > 0
    cut = (np.abs(WALKS * 10 / WALKS.std()) > 15).any(axis=1)  # values are cut at 20 deviations
    assert (~cut).sum() > 20
    np.testing.assert_allclose(far[~cut], 2 * near[~cut], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("how", ["last", "window", "volatility"])
def test_a_graph_scales_back_as_the_model_does(how):
    network = NHiTS(pooling=(4, 1), hidden=8, channels=2, normalise=how)
    model = NeuralRegressor(network=network, **FAST).fit(WALKS, WALKS[:, -2])
    proof = prove(model, open_session(export(model), describe(model)), rows=3000)
    assert (proof["passed"], proof["rows"]) == (True, 3000), proof


@each_network
def test_what_stands_in_padded_steps_says_nothing(network):
    names = [f"{channel}@-{lag}" for lag in range(5, -1, -1) for channel in ("price", "present")]
    rows = pd.DataFrame(RNG.normal(5, 1, size=(200, 12)).astype(np.float32), columns=names)
    for lag in range(6):
        rows[f"present@-{lag}"] = (lag < 2 + np.arange(200) % 5).astype(np.float32)
    network = type(network)(**{**network.get_params(), "normalise": "window"})
    model = NeuralRegressor(network=network, **FAST).fit(rows, rows["price@-0"])
    other = rows.assign(**{"price@-4": rows["price@-4"].where(rows["present@-4"] > 0, 99.0)})
    assert not other.equals(rows)
    assert np.array_equal(model.predict(other), model.predict(rows))


def test_a_detector_rebuilds_a_window_at_its_own_level():
    network = NLinear(normalise="last")
    model = NeuralDetector(network=network, epochs=60, learning_rate=0.01, random_state=0)
    model.fit(WALKS)
    broken = WALKS.copy()
    broken[:, 6] += 30
    assert model.anomaly_score(broken).mean() > model.anomaly_score(WALKS).mean()


def test_lines_through_knots_keep_lines():
    for steps, knots in ((60, 8), (5, 5), (7, 1), (1, 1)):
        matrix = interpolation(steps, knots)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
        line = np.linspace(0, 1, knots) if knots > 1 else np.zeros(1)
        expected = np.linspace(0, 1, steps) if knots > 1 else np.zeros(steps)
        np.testing.assert_allclose(matrix @ line, expected, atol=1e-6)


def test_what_does_not_fit_together_is_told():
    for network, told in {
        Transformer(units=10, heads=4): "units=10; allowed: a multiple of heads=4",
        Transformer(patch=4, stride=5): "stride=5; allowed: at most patch=4",
        NHiTS(pooling=()): r"pooling=\(\); allowed: one number of steps or more",
        TCN(normalise="mean"): "normalise='mean'; allowed: 'window', 'last', 'volatility' or None",
    }.items():
        with pytest.raises(ValueError, match=told):
            NeuralRegressor(network=network).fit(WALKS, WALKS[:, 0])


def test_a_forecast_beats_a_linear_one_where_the_largest_counts():
    y = WALKS[:, -6:].max(axis=1)
    network = NHiTS(pooling=(3, 1), hidden=32, normalise="window")
    model = NeuralRegressor(network=network, epochs=60, batch_size=32, random_state=0)
    found = model.fit(WALKS[:300], y[:300]).score(WALKS[300:], y[300:])
    assert found > LinearRegression().fit(WALKS[:300], y[:300]).score(WALKS[300:], y[300:])
