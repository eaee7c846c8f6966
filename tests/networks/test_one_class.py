"""Networks that keep normal rows close to a point, or known anomalies far from the others."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from fintech_dl import DeepSAD, DeepSVDD, DevNet, NeuralClassifier, NeuralDetector, NeuralEncoder
from fintech_dl.networks.backend import keras

FAST = {"epochs": 20, "batch_size": 64, "learning_rate": 3e-3, "random_state": 0}
SVDD = DeepSVDD(units=(32, 16), code=8)
SAD = DeepSAD(units=(32, 16), code=8)
DEV = DevNet(units=(32, 16))


def rows_of(n, seed):
    """Return rows of which a tenth are shifted, and which; two columns have wild values in all."""
    rng = np.random.default_rng(seed)
    odd = np.arange(n) % 10 == 0
    X = np.column_stack([rng.normal(size=(n, 6)), 2 * rng.standard_t(2, size=(n, 2))])
    X[odd, :6] += 1.2
    return X.astype(np.float32), odd.astype(int)


X, ODD = rows_of(1000, 0)
FRESH, FRESH_ODD = rows_of(1000, 1)
KNOWN = np.where((np.cumsum(ODD) <= 8) & (ODD == 1), 1, -1)  # 8 of 100 anomalies


def detector(network, **given):
    return NeuralDetector(network=network, **{**FAST, **given})


def found(model):
    return roc_auc_score(FRESH_ODD, model.anomaly_score(FRESH))


@pytest.fixture(scope="module")
def fitted():
    """Return detectors that know eight anomalies, by the name of the network."""
    return {type(n).__name__: detector(n).fit(X, KNOWN) for n in (SVDD, SAD, DEV)}


def test_a_few_known_anomalies_show_where_others_are(fitted):
    assert found(fitted["DevNet"]) > 0.85
    assert found(fitted["DevNet"]) > found(fitted["DeepSVDD"]) + 0.05  # which reads no labels


def test_deep_sad_drives_known_anomalies_away(fitted):
    def apart(name):
        score = fitted[name].anomaly_score(X)
        return np.median(score[KNOWN == 1]) / np.median(score[ODD == 0])

    assert apart("DeepSAD") > 3 * apart("DeepSVDD")


def test_deep_sad_without_labels_is_deep_svdd(fitted):
    unlabelled = detector(SAD).fit(X)
    assert np.array_equal(unlabelled.anomaly_score(X), fitted["DeepSVDD"].anomaly_score(X))


def test_eta_weighs_the_known_anomalies(fitted):
    heavy = detector(clone(SAD).set_params(eta=20.0)).fit(X, KNOWN)
    own = fitted["DeepSAD"].anomaly_score(X[KNOWN == 1])
    assert heavy.anomaly_score(X[KNOWN == 1]).mean() > own.mean()


@pytest.mark.parametrize("network", [SAD, DEV], ids=repr)
def test_normal_and_not_looked_at_are_the_same(fitted, network):
    model = detector(network).fit(X, np.maximum(KNOWN, 0))
    expected = fitted[type(network).__name__].anomaly_score(FRESH)
    assert np.array_equal(model.anomaly_score(FRESH), expected)


def test_deep_svdd_draws_rows_to_a_centre_that_stays():
    rows = X[ODD == 0]
    model = detector(SVDD).fit(rows)
    begun = detector(SVDD, learning_rate=0.0).fit(rows)
    centres = [weight_of(m, "centre") for m in (model, begun)]
    assert np.array_equal(*centres)
    assert np.abs(centres[0]).min() >= 0.1 - 1e-6
    assert model.anomaly_score(rows).mean() < begun.anomaly_score(rows).mean() / 2
    far = model.anomaly_score(rows * 10)
    assert np.median(far) > np.quantile(model.anomaly_score(rows), 0.99)


def test_the_centre_is_the_mean_of_what_the_network_makes_of_training_rows():
    network = clone(SVDD)
    model = detector(network, learning_rate=0.0).fit(X)
    live = model._live().model
    features = keras().ops.convert_to_numpy(live(X, training=False)["features"])
    moved = weight_of(model, "centre") + features.mean(axis=0)
    near = np.abs(moved) < 0.1
    assert np.allclose(features.mean(axis=0)[~near], 0.0, atol=1e-4)


def test_no_layer_of_deep_svdd_has_a_bias():
    live = detector(SVDD, epochs=1).fit(X)._live().model
    zero = X.mean(axis=0, keepdims=True)  # the encoding makes it a row of zeros
    features = keras().ops.convert_to_numpy(live(zero, training=False)["features"])
    centre = next(w for w in live.weights if w.path.endswith("centre"))
    assert np.allclose(features, -keras().ops.convert_to_numpy(centre), atol=1e-5)


def weight_of(model, end):
    paths = [weight.path for weight in model._live().model.weights]
    return model.weights_[next(i for i, path in enumerate(paths) if path.endswith(end))]


def test_devnet_scores_known_anomalies_at_the_margin_and_others_near_zero(fitted):
    score = fitted["DevNet"].anomaly_score(X)
    assert np.median(np.abs(score[ODD == 0])) < 1.0
    assert np.median(score[KNOWN == 1]) > 2.0


def test_noise_makes_devnet_find_anomalies_of_a_new_kind(fitted):
    far = np.vstack([X[ODD == 0][:200], X[ODD == 0][:200] - 4.0])  # known ones lie above
    new = np.arange(400) >= 200
    plain = detector(clone(DEV).set_params(noise=0.0)).fit(X, KNOWN)
    with_noise, without = (
        roc_auc_score(new, model.anomaly_score(far)) for model in (fitted["DevNet"], plain)
    )
    assert with_noise > 0.95
    assert with_noise > without


@pytest.mark.parametrize("y", [None, np.zeros(1000), np.full(1000, -1)])
def test_devnet_says_that_it_needs_known_anomalies(y):
    with pytest.raises(ValueError, match=r"DevNet learns from known anomalies, and there are none"):
        detector(DEV).fit(X, y)


def test_devnet_says_so_in_an_encoder_too():
    with pytest.raises(ValueError, match=r"fit a NeuralDetector with y, 1 for a known anomaly"):
        NeuralEncoder(network=DEV, epochs=1).fit(X)


def test_in_a_classifier_deep_sad_learns_its_classes():
    model = NeuralClassifier(network=SAD, **FAST).fit(X, ODD)
    assert roc_auc_score(FRESH_ODD, model.predict_proba(FRESH)[:, 1]) > 0.9


@pytest.mark.parametrize("name", ["DeepSVDD", "DeepSAD", "DevNet"])
def test_a_row_scores_the_same_in_blocks_of_every_size_and_order(fitted, name):
    model = fitted[name]
    many = np.tile(FRESH, (9, 1))[:8500]
    expected = np.concatenate(
        [model.anomaly_score(FRESH[i : i + 250]) for i in range(0, 1000, 250)]
    )
    assert np.array_equal(model.anomaly_score(many), np.tile(expected, 9)[:8500])
    assert np.array_equal(model.anomaly_score(FRESH[::-1]), expected[::-1])
    assert np.isfinite(model.anomaly_score(np.full((1, 8), 3e38, dtype=np.float32))).all()


def test_members_with_labels_are_as_good_as_one():
    assert found(detector(DEV, n_members=2, epochs=10).fit(X, KNOWN)) > 0.8
