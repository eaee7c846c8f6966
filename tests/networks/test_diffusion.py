"""Detectors that rebuild, denoise or guess noise: what their noise is, what they find, odd rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fintech_dl import (
    VAE,
    DenoisingAutoencoder,
    DiffusionAutoencoder,
    DiffusionTime,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    ScoreMatching,
)
from fintech_dl.networks.pace import pace
from fintech_dl.networks.score_matching import noise_sizes

NETWORKS = [
    DenoisingAutoencoder(units=32),
    VAE(units=32, code=3),
    DiffusionAutoencoder(units=64),
    DiffusionTime(units=64, dropout=0.0),
    ScoreMatching(units=32, blocks=1, dropout=0.0),
]
RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(3, 8))
NORMAL = RNG.normal(size=(1500, 3)) @ MIX
ODD = np.column_stack([RNG.permutation(column) for column in NORMAL.T])[:300]
TRAIN, TEST = NORMAL[:1000], np.vstack([NORMAL[1000:], ODD])
IS_ODD = np.repeat([0, 1], [500, 300])

each_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: type(n).__name__)


@pytest.fixture(scope="module")
def fitted():
    """Return each network's detector of rows whose columns do not go together."""
    given = {"epochs": 60, "batch_size": 64, "learning_rate": 3e-3, "random_state": 0}
    return {type(n).__name__: NeuralDetector(network=n, **given).fit(TRAIN) for n in NETWORKS}


@each_network
def test_rows_whose_columns_do_not_go_together_score_high(network, fitted):
    # each column of theirs is usual, so that before training the score knows nothing
    assert roc_auc_score(IS_ODD, fitted[type(network).__name__].anomaly_score(TEST)) > 0.9


@each_network
def test_scores_are_finite_and_draw_nothing_new(network, fitted):
    model = fitted[type(network).__name__]
    rows = np.vstack([TEST[:20], np.full((1, 8), 1e30), np.full((1, 8), np.nan)])
    first = model.anomaly_score(rows)
    assert np.isfinite(first).all()
    assert np.array_equal(model.anomaly_score(rows[::-1]), first[::-1])


@each_network
def test_columns_add_up_to_the_score(network, fitted):
    model = fitted[type(network).__name__]
    added, _ = model.input_gradients(TEST[-3:], TEST[:1])
    difference = model.anomaly_score(TEST[-3:]) - model.anomaly_score(TEST[:1])
    np.testing.assert_allclose(added.sum(axis=1), difference, atol=2e-4, rtol=2e-4)


def test_a_score_of_noisy_copies_has_the_same_noise_for_every_row():
    network = DiffusionAutoencoder(units=64, draws=3)
    model = NeuralDetector(network=network, epochs=30, learning_rate=3e-3, random_state=0)
    found = model.fit(TRAIN).anomaly_score(np.vstack([TEST, TEST[:1], TEST[:1]]))
    assert found[0] == found[-1] == found[-2]
    assert roc_auc_score(IS_ODD, found[:-2]) > 0.8
    k = model._live().model  # as told: three levels, each with a draw of its own
    z, noise = k.get_layer("encoding")(TEST[:1].astype(np.float32)), k.get_layer("noise")
    parts = [z - k.get_layer("decoder")(k.get_layer("denoiser")(noise.fixed(z, i, t)))
             for i, t in enumerate((17, 51, 84))]  # fmt: skip
    np.testing.assert_allclose(found[0], np.mean([np.linalg.norm(p) for p in parts]), rtol=1e-4)


def test_members_are_separate_fits():
    given = {"network": DiffusionAutoencoder(units=4), "epochs": 2, "batch_size": 100}
    both = NeuralDetector(n_members=2, random_state=0, **given).fit(TRAIN[:300])
    alone = NeuralDetector(random_state=both.members_[1]["random_state"], **given)
    for together, own in zip(both.weights_, alone.fit(TRAIN[:300]).weights_, strict=True):
        np.testing.assert_allclose(together[1], own, atol=2e-5)


def test_a_refit_is_equal_to_the_bit_with_rows_held_out_too():
    given = {"epochs": 2, "validation_fraction": 0.2, "random_state": 0}
    model = NeuralDetector(network=DiffusionAutoencoder(units=4), **given)
    first, history = model.fit(TRAIN[:300]).anomaly_score(TEST), model.history_
    assert np.array_equal(model.fit(TRAIN[:300]).anomaly_score(TEST), first)
    assert model.history_ == history


@each_network
def test_rows_with_nothing_to_learn_give_scores(network):
    model = NeuralDetector(network=network, epochs=2, random_state=0).fit([[1.0]])
    assert np.isfinite(model.anomaly_score([[1.0], [0.0], [np.nan]])).all()


@pytest.mark.parametrize("network", [NETWORKS[2], NETWORKS[4]], ids=lambda n: type(n).__name__)
def test_missing_values_and_categories_go_straight_in(network):
    frame = pd.DataFrame(TRAIN[:200, :2], columns=["amount", "age"])
    frame.loc[::5, "age"] = np.nan
    frame["country"] = pd.Categorical(np.tile(["BE", "FR", None, "NL"], 50))
    model = NeuralDetector(network=network, epochs=2, random_state=0).fit(frame)
    new = frame.assign(country="XX")
    assert np.isfinite(model.anomaly_score(new)).all()
    assert not np.array_equal(model.anomaly_score(new), model.anomaly_score(frame))


@pytest.mark.parametrize("network", NETWORKS[3:], ids=lambda n: type(n).__name__)
def test_features_that_are_learned_from_noise_say_what_the_row_was(network):
    model = NeuralEncoder(network=network, epochs=60, learning_rate=3e-3, random_state=0)
    codes = model.fit_transform(TRAIN)
    error = np.square(model.inverse_transform(codes) - TRAIN).sum()
    assert error < 0.3 * np.square(TRAIN - TRAIN.mean(axis=0)).sum()


# ---- noise ------------------------------------------------------------------------------------


def test_levels_of_noise_keep_the_variance_of_a_column():
    from fintech_dl.networks.noise import LeveledNoise, shares

    signal, noise = shares(100, 0.02)
    np.testing.assert_allclose(signal**2 + noise**2, 1, rtol=1e-6)
    assert (signal[0], noise[0]) == (1, 0)
    assert (np.diff(noise) > 0).all()
    layer = LeveledNoise(signal, noise)
    rows = np.ones((40_000, 2), dtype=np.float32)
    assert np.array_equal(np.asarray(layer(rows)), rows)
    noisy, level = map(np.asarray, layer(rows, noisy=True, training=True))
    assert (level.min(), level.max()) == (1, 100)
    assert np.bincount(level)[1:].std() < 40
    drawn = (noisy - signal[level, None]) / noise[level, None]
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.02)
    assert abs(np.corrcoef(np.column_stack([drawn, level]).T) - np.eye(3)).max() < 0.02
    again = np.asarray(layer(rows, noisy=True, training=True)[0])
    assert abs(np.corrcoef(again[:, 0], noisy[:, 0])[0, 1]) < 0.5  # another level, another noise
    held_out = [np.asarray(layer(rows, noisy=True)[0]) for _ in range(2)]
    assert np.array_equal(*held_out)


def test_swapped_cells_come_from_their_own_column():
    from fintech_dl.networks.noise import Corrupted

    rows = np.arange(4000, dtype=np.float32).reshape(4, 1000).T
    layer = Corrupted("swap", 0.25)
    found = np.asarray(layer(rows, training=True))
    for own, column in zip(found.T, rows.T, strict=True):
        assert np.isin(own, column).all()
        assert 0.2 < (own != column).mean() < 0.3
    assert np.array_equal(np.asarray(layer(rows, training=False)), rows)


def test_the_noise_of_a_column_grows_with_its_tails():
    rng = np.random.default_rng(0)
    n = 5000
    columns = [rng.uniform(size=n), rng.normal(size=n), rng.laplace(size=n), rng.standard_t(2, n)]
    sizes = noise_sizes(np.column_stack([*columns, rng.random(n) < 0.01, np.ones(n)]), 0.5)
    assert (np.diff(sizes[:4]) > 0).all()
    assert sizes[4] == sizes[5] == 0.5
    assert ((sizes >= 0.1) & (sizes <= 3)).all()


def test_score_matching_takes_these_sizes_from_the_training_rows():
    X = np.column_stack([TRAIN[:, 0], np.random.default_rng(1).standard_t(2, len(TRAIN))])
    model = NeuralDetector(network=NETWORKS[4], epochs=1, random_state=0).fit(X)
    size = np.asarray(model._live().model.get_layer("noise").size)
    assert size[1] > 1.4 * size[0]


def test_a_random_code_is_for_training_alone_and_its_distance_is_exact():
    from fintech_dl.networks.noise import Latent

    layer, rows = Latent(2), RNG.normal(size=(5, 3)).astype(np.float32)
    layer.build(rows.shape)
    mean, log_variance = (np.asarray(d(rows)) for d in (layer.mean, layer.log_variance))
    assert np.array_equal(np.asarray(layer(rows)), mean)
    many = np.asarray(layer(np.tile(rows, (4000, 1)), training=True)).reshape(4000, 5, 2)
    np.testing.assert_allclose(many.std(axis=0), np.exp(log_variance / 2), rtol=0.06)
    np.testing.assert_allclose(many.mean(axis=0), mean, atol=0.15)
    exact = (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1) / 2
    np.testing.assert_allclose(np.asarray(layer.surplus(rows)), exact, rtol=1e-4)


def test_beta_pulls_codes_together():
    def spread(beta):
        model = NeuralEncoder(network=VAE(units=16, code=2, beta=beta), epochs=20, random_state=0)
        return model.fit_transform(TRAIN).std()

    assert spread(2.0) < 0.7 * spread(0.0)


def test_the_level_of_noise_that_is_guessed_rises_with_the_noise(fitted):
    noise = np.random.default_rng(1).normal(size=(200, 8))
    model = fitted["DiffusionTime"]
    means = [model.anomaly_score(TEST[:200] + size * noise).mean() for size in (0, 0.3, 1, 3)]
    assert (np.diff(means) > 0).all()
    assert 0 <= means[0] < 2 < means[-1] <= 6


# ---- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [type(n)() for n in NETWORKS], ids=lambda n: type(n).__name__)
def test_a_fit_takes_neither_too_few_steps_nor_too_many(network):
    for n in (1, 30, 300, 3_000, 25_000, 50_000, 1_000_000):
        advice = network.training(n)
        steps = advice["epochs"] * -(-n // advice["batch_size"])
        assert 2_000 <= steps <= 20_000 or n == 1_000_000
        assert advice["epochs"] * n <= 10_000_000
    assert pace(10**7, epochs=100)["epochs"] == 10


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (DiffusionAutoencoder(units=()), r"units=\(\); allowed: one width or more"),
        (DiffusionAutoencoder(noise=0.0), r"noise=0\.0; allowed: float above 0 and below 1"),
        (DiffusionAutoencoder(levels=8, draws=16), "draws=16; allowed: at most levels, 8"),
        (DiffusionTime(classes=500), "classes=500; allowed: at most levels, 400"),
    ],
    ids=str,
)
def test_levels_that_cannot_be(network, told):
    with pytest.raises(ValueError, match=told):
        NeuralDetector(network=network).fit(TRAIN)


@pytest.mark.parametrize("network", [NETWORKS[1], NETWORKS[2]], ids=lambda n: type(n).__name__)
def test_in_a_classifier_it_learns_labels(network):
    y = (TRAIN[:, 0] > TRAIN[:, 1]).astype(int)
    model = NeuralClassifier(network=network, epochs=20, learning_rate=0.01, random_state=0)
    assert model.fit(TRAIN, y).score(TRAIN, y) > 0.9
