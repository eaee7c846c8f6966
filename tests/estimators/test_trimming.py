"""Training rows that hold anomalies: the worst of each batch are left out."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from fintech_dl import MLP, Autoencoder, NeuralDetector
from fintech_dl.estimators.trimming import Trimming
from fintech_dl.networks.backend import keras

NETWORK = Autoencoder(units=16, code=3)
LONG = {"epochs": 200, "batch_size": 64, "learning_rate": 0.01, "random_state": 0}
SHORT = {**LONG, "epochs": 5}


def planted(seed, rows=400, share=0.1):
    """Return rows on a plane of five columns, a tenth of them far off it and alike, and which."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(rows, 5))
    odd = np.arange(rows) < share * rows
    X[odd] = 3 * rng.normal(size=5) + 0.5 * rng.normal(size=(odd.sum(), 5))
    return X.astype(np.float32), odd


X, ODD = planted(0)


@pytest.fixture(scope="module")
def trimmed():
    return NeuralDetector(network=NETWORK, contaminated=True, **SHORT).fit(X)


def test_trimming_finds_more_of_the_anomalies_it_was_trained_on():
    def found(contaminated):
        scores = []
        for seed in range(5):
            rows, odd = planted(seed)
            model = NeuralDetector(network=NETWORK, contaminated=contaminated, **LONG)
            scores.append(roc_auc_score(odd, model.fit(rows).anomaly_score(rows)))
        return np.mean(scores)

    assert found(True) > found(False) + 0.03


def test_the_rule_is_a_fifth_if_contaminated_and_nothing_else(trimmed):
    def score(**given):
        return NeuralDetector(network=NETWORK, **SHORT, **given).fit(X).anomaly_score(X)

    fifth, plain = trimmed.anomaly_score(X), score()
    assert np.array_equal(score(contaminated=True, trim=0.0), plain)
    assert np.array_equal(score(trim=0.2), fifth)
    assert not np.array_equal(plain, fifth)
    assert not np.array_equal(score(trim=0.1), fifth)


def test_a_refit_is_equal_to_the_bit_and_so_is_one_after_others(trimmed):
    NeuralDetector(network=NETWORK, contaminated=True, **{**SHORT, "random_state": 5}).fit(X * 2)
    again = clone(trimmed).fit(X)
    assert np.array_equal(again.anomaly_score(X), trimmed.anomaly_score(X))
    assert again.history_ == trimmed.history_


def test_the_teacher_is_no_part_of_the_fitted_state(trimmed):
    plain = NeuralDetector(network=NETWORK, **{**SHORT, "epochs": 1}).fit(X)
    assert [w.shape for w in trimmed.weights_] == [w.shape for w in plain.weights_]
    saved = pickle.dumps(trimmed)
    first, second = (
        pickle.loads(saved).set_params(warm_start=True, epochs=2).fit(X) for _ in range(2)
    )
    assert np.array_equal(first.anomaly_score(X), second.anomaly_score(X))
    assert not np.array_equal(first.anomaly_score(X), trimmed.anomaly_score(X))


def test_members_are_trimmed_each_by_its_own_teacher():
    model = NeuralDetector(
        network=NETWORK, contaminated=True, n_members=2, average="mean", **{**SHORT, "epochs": 5}
    ).fit(X)
    alone = [
        clone(model).set_params(n_members=1, random_state=member["random_state"]).fit(X)
        for member in model.members_
    ]
    expected = np.mean([one.anomaly_score(X) for one in alone], axis=0)
    assert np.allclose(model.anomaly_score(X), expected, rtol=1e-3)


def layer(share, score=lambda model, x: x[:, 0]):
    k = keras()
    model, teacher = (
        k.Sequential([k.Input((1,)), k.layers.Dense(2), k.layers.BatchNormalization()])
        for _ in range(2)
    )
    made = Trimming(model, teacher, score, share)
    made.begin(0)
    return made


def kept(made, values, *labels):
    x = np.array(values, dtype=np.float32)[:, None]
    return keras().ops.convert_to_numpy(made((x, *labels), training=False)).tolist()


def test_the_share_grows_from_nothing():
    made = layer(0.4)
    made.begin(40)  # steps, of which the first 4 lead up to the whole share
    values = [5.0, 4.0, 3.0, 2.0, 1.0]
    dropped = [5 - sum(kept(made, values)) for _ in range(6)]
    assert dropped == [0, 0, 1, 1, 2, 2]
    assert kept(made, values) == [0, 0, 1, 1, 1]


def test_equal_rows_and_known_anomalies_are_not_left_out():
    made = layer(0.5)
    kept(made, [1.0])
    assert kept(made, [2.0, 2.0, 2.0, 2.0]) == [1, 1, 1, 1]
    assert kept(made, [4.0, 3.0, 2.0, 1.0]) == [0, 0, 1, 1]
    labels = np.array([[1.0], [-1.0], [0.0], [-1.0]], dtype=np.float32)
    assert kept(made, [4.0, 3.0, 2.0, 1.0], labels) == [1, 0, 1, 1]


def test_the_teacher_begins_as_the_network_and_follows_slowly():
    made = layer(0.2)

    def gaps():
        kept(made, [1.0])
        return np.array([float(np.abs(slow - own).max()) for slow, own in made.pairs()])

    assert not gaps().any()
    for _, own in made.pairs():  # moving means and variances too
        own.assign(own + 1.0)
    first, second = gaps(), gaps()
    assert (first > 0).all()
    assert (first < 1).all()
    assert (second < first).all()


def test_batch_statistics_of_training_do_not_come_from_the_teacher():
    frozen = NeuralDetector(
        network=MLP(units=8, batch_norm=True), epochs=2, learning_rate=0.0, random_state=0
    )
    robust = clone(frozen).set_params(contaminated=True).fit(X)
    for weight, expected in zip(robust.weights_, frozen.fit(X).weights_, strict=True):
        assert np.array_equal(weight, expected)


@pytest.mark.parametrize("trim", [1.0, -0.1, "0.2", float("nan"), True])
def test_a_share_out_of_range_is_refused(trim):
    with pytest.raises(ValueError, match=r"trim=.*allowed: float of at least 0 and below 1"):
        NeuralDetector(trim=trim).fit(X)
