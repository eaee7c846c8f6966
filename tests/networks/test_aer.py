"""The autoencoder with regression: what it sees, what its loss weighs, what it finds."""

import numpy as np
import pytest

from fintech_dl import AER, NeuralDetector
from fintech_dl.networks.backend import keras

T = np.arange(600)[:, None] + np.arange(12)
WAVES = np.sin(T * 2 * np.pi / 12).astype(np.float32)
FAST = {"epochs": 25, "batch_size": 64, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return NeuralDetector(network=AER(units=8), **FAST).fit(WAVES)


def test_size_is_that_of_the_papers_layers():
    k, units = keras(), 30
    x = k.Input((100, 1))
    network = AER()
    model = k.Model(x, network.decode(network(x), x))
    lstm = 2 * 4 * (1 * units + units * units + units)
    second = 2 * 4 * (2 * units * units + units * units + units)
    assert model.count_params() == lstm + second + 2 * units + 1


def test_it_does_not_see_the_ends():
    k = keras()
    x = k.Input((6, 2))
    model = k.Model(x, AER(units=3)(x))
    row = np.random.default_rng(0).normal(size=(1, 6, 2)).astype(np.float32)
    for step, seen in ((0, False), (5, False), (1, True), (4, True)):
        other = row.copy()
        other[0, step] += 1
        assert (np.asarray(model(row)) != np.asarray(model(other))).any() == seen


def test_ends_and_middle_weigh_as_asked(fitted):
    rows = np.repeat(WAVES[:1], 3, axis=0)
    inputs, outputs = (
        fitted._infer(fitted._view(name), WAVES[:1])[0] for name in ("inputs", "outputs")
    )
    error = (inputs - outputs) ** 2
    expected = 0.25 * error[0] + 0.5 * error[1:-1].mean() + 0.25 * error[-1]
    np.testing.assert_allclose(fitted.anomaly_score(rows), expected, rtol=1e-4)


def test_training_watches_the_score_it_gives(fitted):
    # the loss of an epoch and the score are the same weighted error
    assert fitted.history_["loss"][-1] == pytest.approx(fitted.anomaly_score(WAVES).mean(), rel=0.5)
    assert fitted.history_["loss"][-1] < 0.2 * fitted.history_["loss"][0]


@pytest.mark.parametrize("step", [0, 6, 11])
def test_an_odd_step_anywhere_scores_high(fitted, step):
    odd = WAVES[:50].copy()
    odd[:, step] += 2
    assert np.median(fitted.anomaly_score(odd)) > 3 * np.median(fitted.anomaly_score(WAVES))


def test_a_window_of_two_steps_is_rebuilt():
    model = NeuralDetector(network=AER(units=2), epochs=1).fit(WAVES[:64, :2])
    assert np.isfinite(model.anomaly_score(WAVES[:5, :2])).all()


def test_steps_are_bounded_by_rule():
    assert AER().training(4000)["epochs"] == 35
    assert AER().training(100_000)["epochs"] == 12
    assert AER().training(10**9)["epochs"] == 1
