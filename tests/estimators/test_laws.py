"""Laws that hold for every network in every estimator."""

import importlib.util
import os
import pickle
import random
import subprocess
import sys
from dataclasses import fields
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest

from fintech_dl import (
    AER,
    CNN,
    GRU,
    LSTM,
    MLP,
    RNN,
    TCN,
    VAE,
    Autoencoder,
    DeepSVDD,
    DenoisingAutoencoder,
    DevNet,
    DiffusionAutoencoder,
    DiffusionTime,
    FTTransformer,
    MultiView,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralQuantileRegressor,
    NeuralRanker,
    NeuralRegressor,
    NeuralVolatilityRegressor,
    NHiTS,
    NLinear,
    RealMLP,
    Scorecard,
    ScoreMatching,
    TabM,
    Transformer,
    TSMixer,
    load,
    save,
)
from fintech_dl.evaluation.memory import peak_memory
from fintech_dl.networks.multi_view import VIEWS

NETWORKS = [
    MLP(units=8),
    CNN(filters=4, hidden=8, channels=2),
    RNN(units=4, channels=2),
    LSTM(units=4, channels=2),
    GRU(units=4, channels=2),
    Autoencoder(units=8, code=3),
    Autoencoder(kind="cnn", units=4, code=3, channels=2),
    Autoencoder(kind="lstm", units=4, code=3, channels=2),
    TabM(k=3, units=(8, 8), bins=4),
    TabM(k=3, units=8, mini=True, embedding="both", frequencies=4),
    Scorecard(bins=4),
    RealMLP(units=(8, 8)),
    FTTransformer(blocks=2, units=8, heads=2),
    TCN(filters=(4, 8), channels=2),
    Transformer(patch=2, stride=1, units=8, heads=2, channels=2),
    Transformer(tokens="channel", blocks=1, units=8, heads=2, channels=2, normalise="window"),
    NLinear(channels=2),
    NHiTS(pooling=(2, 1), hidden=8, channels=2, normalise="volatility"),
    TSMixer(units=8, channels=2),
    AER(units=4, channels=1),
    DenoisingAutoencoder(units=8),
    VAE(units=8, code=3),
    DiffusionAutoencoder(units=8, draws=3),
    DiffusionTime(units=8),
    MultiView(units=8, views=VIEWS, memory=50, neighbours=2),
    ScoreMatching(units=8, blocks=1),
    DeepSVDD(units=8, code=3),
    DevNet(units=8),
]
SOME = [NETWORKS[i] for i in (0, 3, 8, 12, 13)]  # MLP, LSTM, TabM, FTTransformer, TCN
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 6)).astype(np.float32)
Y = (X[:, 0] + 0.5 * X[:, 3] > 0).astype(int)
SHORT = {"epochs": 2, "batch_size": 64, "random_state": 0}

each_estimator = pytest.mark.parametrize(
    "kind",
    [
        NeuralClassifier,
        NeuralRegressor,
        NeuralQuantileRegressor,
        NeuralVolatilityRegressor,
        NeuralRanker,
        NeuralDetector,
        NeuralEncoder,
    ],
    ids=lambda kind: kind.__name__,
)
# scope: the laws of one network follow one another, so that what was compiled for it serves all
each_network = pytest.mark.parametrize("network", NETWORKS, ids=repr, scope="module")


def fit(model, rows):
    if isinstance(model, NeuralRanker):
        return model.fit(rows, Y, groups=np.arange(600) // 20)
    return model.fit(rows, Y + 0.5 if isinstance(model, NeuralVolatilityRegressor) else Y)


def scores(model, rows):
    for method in ("decision_function", "predict", "transform"):
        if hasattr(model, method):
            return getattr(model, method)(rows)
    raise AssertionError(model)


def test_a_fit_is_the_same_whoever_used_the_compiled_network_before():
    def fit(rows, **parameters):
        network = MLP(units=8, dropout=0.3, l2=0.01)
        model = NeuralClassifier(network=network, **{**SHORT, **parameters})
        return model.fit(rows, Y[: len(rows)])

    first = fit(X).decision_function(X)
    fit(X[:300] * 7, random_state=5, learning_rate=0.1)
    assert np.array_equal(fit(X).decision_function(X), first)
    a, b = fit(X), fit(X, random_state=2)  # two at once do not share weights
    assert np.array_equal(a.decision_function(X), first)
    assert not np.array_equal(b.decision_function(X), first)
    assert np.array_equal(fit(X).decision_function(X), first)


def test_the_bits_of_a_fit_do_not_depend_on_the_sizes_of_the_fits_before_it():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 21))
    target = rows[:, 0] > rng.normal(size=4000)

    def fit(n):
        network = MLP(units=[256, 128], activation="gelu", dropout=0.2)
        model = NeuralClassifier(network=network, batch_size=1000, epochs=2, random_state=0)
        return model.fit(rows[:n], target[:n])

    first = fit(4000)  # holds its compiled network, so that the next fit compiles one of its own
    fit(3800)
    after = fit(4000)
    assert all(map(np.array_equal, after.weights_, first.weights_))


def test_of_idle_networks_the_one_that_was_trained_alike_is_taken():
    def fit(loss):
        return NeuralClassifier(network=MLP(units=7), loss=loss, **SHORT).fit(X, Y)

    both = [fit("cross_entropy"), fit("focal")]
    trainers = [model._live().trainer for model in both]
    assert trainers[0] is not trainers[1]
    both.clear()
    assert fit("focal")._live().trainer is trainers[1]


def test_going_on_after_loading_starts_the_optimizer_afresh():
    def begun(seed):
        network = MLP(units=9)
        return NeuralClassifier(network=network, **{**SHORT, "random_state": seed}).fit(X, Y)

    saved = pickle.dumps(begun(0))
    first = pickle.loads(saved).partial_fit(X, Y).decision_function(X)
    begun(1).partial_fit(X[::-1], Y)  # leaves its compiled network, and its moments, behind
    assert np.array_equal(pickle.loads(saved).partial_fit(X, Y).decision_function(X), first)


def test_memory_stays_flat_over_many_fits():
    def peak(n):
        with peak_memory() as found:
            for seed in range(n):
                model = NeuralClassifier(network=MLP(units=8), epochs=1, random_state=seed)
                model.fit(X, Y).predict(X)
        return found[0]

    before = peak(10)
    assert peak(40) < before + 15


@each_network
def test_training_moves_every_trainable_weight(network):
    model = NeuralClassifier(network=network, **SHORT).fit(X, Y)
    kinds = [v.trainable for v in model._live().model.weights]
    trained = model.weights_
    fresh = model.set_params(learning_rate=0.0).fit(X, Y).weights_  # compiled already
    moved = [not np.array_equal(a, b) for a, b in zip(trained, fresh, strict=True)]
    assert all(m for m, trainable in zip(moved, kinds, strict=True) if trainable)
    assert any(kinds)


@pytest.mark.parametrize(("dropout", "same"), [(0.0, True), (0.5, False)])
def test_dropout_acts_in_training_and_only_there(dropout, same):
    network = MLP(units=32, dropout=dropout)
    model = NeuralClassifier(network=network, learning_rate=0.0, epochs=1, batch_size=600)
    p = model.set_params(random_state=0).fit(X, Y).predict_proba(X)
    scored = -np.log(p[np.arange(len(Y)), Y]).mean()
    assert np.isclose(model.history_["loss"][0], scored, rtol=1e-4) == same


def test_batch_normalisation_learns_its_means():
    def means(epochs):
        model = NeuralClassifier(
            network=MLP(units=4, batch_norm=True), **{**SHORT, "epochs": epochs}
        )
        model.fit(X, Y)
        paths = [v.path for v in model._live().model.weights]
        return model.weights_[next(i for i, p in enumerate(paths) if p.endswith("moving_mean"))]

    assert np.abs(means(1)).min() > 0
    assert not np.array_equal(means(1), means(2))


@each_network
def test_a_refit_is_equal_to_the_bit(network):
    model = NeuralClassifier(network=network, **SHORT)
    first = scores(model.fit(X, Y), X)
    assert np.array_equal(scores(model.fit(X, Y), X), first)
    other = model.set_params(random_state=1).fit(X, Y)
    assert not np.array_equal(scores(other, X), first)


@each_network
@pytest.mark.parametrize("kind", [NeuralClassifier, NeuralDetector], ids=lambda k: k.__name__)
def test_a_row_alone_scores_as_in_any_batch(network, kind):
    model = kind(network=network, **SHORT).fit(X, Y)
    many = np.tile(X, (70, 1))[:41_300]  # blocks of 32,768, 8,192 and 256 rows
    together = scores(model, many)
    for start in (0, 600 * 30, 600 * 56, 600 * 68):  # the same rows in blocks of every size
        assert np.array_equal(together[start : start + 300], together[:300])
    alone = np.concatenate([scores(model, many[i : i + 1]) for i in (0, 1, 255, 599)])
    assert np.array_equal(together[[0, 1, 255, 599]], alone)
    small = np.concatenate([scores(model, X[i : i + 200]) for i in range(0, 600, 200)])
    assert np.array_equal(together, np.tile(small, 70)[:41_300])


@each_network
def test_saving_and_pickling_keep_scores_and_leave_keras_out(network, tmp_path, monkeypatch):
    find = importlib.util.find_spec  # the graphs of every network: see test_graph
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "tf2onnx" else find(n))
    model = NeuralClassifier(network=network, **SHORT).fit(X, Y)
    expected = model.decision_function(X)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).decision_function(X), expected)
    assert np.array_equal(load(save(model, tmp_path / "a")).decision_function(X), expected)
    assert "keras" not in str(pickle.dumps(model))


def test_another_backend_gives_the_same_scores(tmp_path):
    other = {"tensorflow": "jax", "jax": "tensorflow"}[BACKEND]
    every = os.environ.get("FINTECH_DL_CONTRACT") == "all"
    for i, network in enumerate(NETWORKS if every else SOME):
        model = NeuralClassifier(network=network, **SHORT).fit(X, Y)
        (tmp_path / f"{i}.pickle").write_bytes(pickle.dumps(model))
        np.save(tmp_path / f"{i}.npy", model.predict_proba(X))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import sys, pathlib, pickle, numpy as np, keras\n"
        # where the numbers of a row are nearly alike, normalising them magnifies the last bit
        "limits = {'FTTransformer': 1e-5, 'Transformer': 1e-5}\n"
        f"assert keras.backend.backend() == {other!r}\n"
        "folder = pathlib.Path(sys.argv[1]); X = np.load(folder / 'X.npy')\n"
        "for path in folder.glob('*.pickle'):\n"
        "    model = pickle.loads(path.read_bytes())\n"
        "    scores = np.load(path.with_suffix('.npy'))\n"
        "    limit = limits.get(type(model.network).__name__, 1e-6)\n"
        "    assert np.abs(model.predict_proba(X) - scores).max() < limit, model\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": other}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@each_estimator
def test_global_random_state_is_left_alone(kind):
    np.random.seed(3)
    random.seed(3)
    before = (np.random.get_state()[1].copy(), random.getstate())
    scores(fit(kind(network=MLP(units=4, dropout=0.1), **SHORT), X), X)
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert random.getstate() == before[1]


# ---- every hyperparameter does something ------------------------------------------------------

CHANGED = {
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 0.02,
    "optimizer": "sgd",
    "weight_decay": 0.1,
    "clipnorm": 0.01,
    "contaminated": True,
    "trim": 0.5,
    "schedule": "cosine",
    "categorical": [5],
    "special_codes": {5: [2]},
    "validation_fraction": 0.3,
    "random_state": 1,
    "n_members": 2,
    "class_weight": {0: 1.0, 1: 20.0},
    "quantiles": (0.1, 0.5, 0.6),
}
LOSS = {
    NeuralClassifier: "focal",
    NeuralRegressor: "huber",
    NeuralRanker: "pairwise listwise squared_error",
    NeuralVolatilityRegressor: "squared_error",
}


def fitted(kind, **parameters):
    rows = X.copy()
    rows[:, 5] = RNG_CATEGORIES
    return scores(fit(kind(**{"network": MLP(units=8), **SHORT, **parameters}), rows), rows)


RNG_CATEGORIES = np.random.default_rng(1).integers(0, 4, 600)


@each_estimator
def test_every_training_parameter_changes_the_scores(kind):
    base = fitted(kind)
    names = {f.name for f in fields(kind)}
    for name, value in CHANGED.items():
        if name in names:
            assert not np.array_equal(fitted(kind, **{name: value}), base), name
    for name in LOSS.get(kind, "").split():
        assert not np.array_equal(fitted(kind, loss=name), base)
    untested = names - {*CHANGED, "network", "loss", "monitor", "patience", "temporal"}
    # see test_members, test_columns, test_volatility
    elsewhere = {"average", "cv", "min_frequency", "offset", "offset_columns", "by"}
    assert untested <= {"warm_start", "verbose", "focal_gamma", "contamination", *elsewhere}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_every_optimizer_learns(optimizer):
    model = NeuralClassifier(
        network=MLP(units=8), optimizer=optimizer, learning_rate=0.05, epochs=30, random_state=0
    ).fit(X, Y)
    assert model.score(X, Y) > 0.85


SCHEDULES = ("constant", "linear", "exponential", "coslog4")


def test_schedules_losses_and_penalties_differ():
    runs = [fitted(NeuralClassifier, schedule=s) for s in SCHEDULES]
    runs += [fitted(NeuralClassifier, loss="focal", focal_gamma=g) for g in (0.5, 3.0)]
    runs += [fitted(NeuralRegressor, loss=name) for name in ("absolute_error", "huber")]
    for i, a in enumerate(runs):
        assert not any(np.array_equal(a, b) for b in runs[i + 1 :])


PERIODIC = partial(TabM, embedding="periodic")
NETWORK_CHANGES = [
    (MLP, {"units": (8, 4)}),
    (MLP, {"activation": "tanh"}),
    (MLP, {"dropout": 0.3}),
    (MLP, {"batch_norm": True}),
    (MLP, {"l1": 0.1}),
    (MLP, {"l2": 0.1}),
    (CNN, {"filters": (4, 4)}),
    (CNN, {"kernel_size": 2}),
    (CNN, {"hidden": ()}),
    (CNN, {"activation": "tanh"}),
    (CNN, {"dropout": 0.3}),
    (CNN, {"l1": 0.1}),
    (CNN, {"l2": 0.1}),
    (CNN, {"channels": 3}),
    (LSTM, {"units": (4, 4)}),
    (LSTM, {"hidden": 8}),
    (LSTM, {"dropout": 0.3}),
    (LSTM, {"l1": 0.1}),
    (LSTM, {"l2": 0.1}),
    (LSTM, {"channels": 3}),
    (Autoencoder, {"kind": "cnn"}),
    (Autoencoder, {"units": 4}),
    (Autoencoder, {"code": 2}),
    (Autoencoder, {"activation": "tanh"}),
    (Autoencoder, {"noise": 0.3}),
    (Autoencoder, {"dropout": 0.3}),
    (Autoencoder, {"l1": 0.1}),
    (Autoencoder, {"l2": 0.1}),
    (DenoisingAutoencoder, {"units": 4}),
    (DenoisingAutoencoder, {"code": 3}),
    (DenoisingAutoencoder, {"activation": "tanh"}),
    (DenoisingAutoencoder, {"corruption": "swap"}),
    (DenoisingAutoencoder, {"noise": 0.1}),
    (VAE, {"units": 4}),
    (VAE, {"code": 3}),
    (VAE, {"activation": "tanh"}),
    (VAE, {"beta": 1.0}),
    (DiffusionAutoencoder, {"units": 4}),
    (DiffusionAutoencoder, {"activation": "tanh"}),
    (DiffusionAutoencoder, {"dropout": 0.5}),
    (DiffusionAutoencoder, {"levels": 50}),
    (DiffusionAutoencoder, {"noise": 0.01}),
    (DiffusionAutoencoder, {"draws": 2}),
    (DiffusionTime, {"units": 4}),
    (DiffusionTime, {"activation": "tanh"}),
    (DiffusionTime, {"dropout": 0.0}),
    (DiffusionTime, {"levels": 50}),
    (DiffusionTime, {"noise": 0.02}),
    (DiffusionTime, {"classes": 5}),
    (MultiView, {"units": 4}),
    (MultiView, {"activation": "tanh"}),
    (MultiView, {"dropout": 0.0}),
    (MultiView, {"levels": 50}),
    (MultiView, {"noise": 0.02}),
    (MultiView, {"classes": 5}),
    (MultiView, {"views": ("noise", "ellipsoid")}),
    (MultiView, {"views": ("noise", "histograms")}),
    (MultiView, {"memory": 50}),
    (MultiView, {"neighbours": 2}),
    (DeepSVDD, {"units": 4}),
    (DeepSVDD, {"code": 3}),
    (DeepSVDD, {"activation": "tanh"}),
    (DeepSVDD, {"rebuild": 0.0}),
    (DevNet, {"units": 4}),
    (DevNet, {"activation": "tanh"}),
    (DevNet, {"dropout": 0.5}),
    (DevNet, {"margin": 2.0}),
    (DevNet, {"jitter": 0.0}),
    (DevNet, {"noise": 0.0}),
    (ScoreMatching, {"units": 4}),
    (ScoreMatching, {"blocks": 2}),
    (ScoreMatching, {"dropout": 0.0}),
    (ScoreMatching, {"noise": 0.3}),
    (TabM, {"k": 2}),
    (TabM, {"units": (4, 4)}),
    (TabM, {"mini": True}),
    (TabM, {"dropout": 0.5}),
    (TabM, {"embedding": None}),
    (TabM, {"embedding_units": 2}),
    (TabM, {"bins": 3}),
    (PERIODIC, {"frequencies": 3}),
    (PERIODIC, {"frequency_scale": 0.5}),
    (RealMLP, {"units": (8, 8)}),
    (RealMLP, {"activation": "selu"}),
    (RealMLP, {"dropout": 0.5}),
    (RealMLP, {"embedding_units": 1}),
    (RealMLP, {"frequencies": 3}),
    (RealMLP, {"frequency_scale": 1.0}),
    (FTTransformer, {"blocks": 2}),
    (FTTransformer, {"units": 16}),
    (FTTransformer, {"heads": 4}),
    (FTTransformer, {"attention_dropout": 0.5}),
    (FTTransformer, {"dropout": 0.5}),
    (FTTransformer, {"bins": 3}),
    (TCN, {"filters": (8, 8)}),
    (TCN, {"kernel_size": 3}),
    (TCN, {"dropout": 0.5}),
    (TCN, {"channels": 3}),
    (TCN, {"normalise": "window"}),
    (Transformer, {"tokens": "channel"}),
    (Transformer, {"patch": 3}),
    (Transformer, {"stride": 1}),
    (Transformer, {"blocks": 2}),
    (Transformer, {"units": 16}),
    (Transformer, {"heads": 4}),
    (Transformer, {"attention_dropout": 0.5}),
    (Transformer, {"dropout": 0.5}),
    (Transformer, {"channels": 3}),
    (Transformer, {"normalise": "volatility"}),
    (NLinear, {"normalise": None}),
    (NLinear, {"l1": 0.1}),
    (NLinear, {"l2": 0.1}),
    (NLinear, {"channels": 3}),
    (NHiTS, {"pooling": (4, 1)}),
    (NHiTS, {"hidden": (8, 8)}),
    (NHiTS, {"units": 8}),
    (NHiTS, {"activation": "tanh"}),
    (NHiTS, {"dropout": 0.5}),
    (NHiTS, {"channels": 3}),
    (NHiTS, {"normalise": "last"}),
    (TSMixer, {"blocks": 1}),
    (TSMixer, {"units": 4}),
    (TSMixer, {"dropout": 0.0}),
    (TSMixer, {"channels": 3}),
    (TSMixer, {"normalise": "last"}),
    (Scorecard, {"bins": 3}),
    (Scorecard, {"monotone": {"x0": "decreasing"}}),
    (Scorecard, {"l2": 0.1}),
    (Scorecard, {"smoothness": 0.1}),
]
SMALL = {
    MLP: {"units": 8},
    CNN: {"filters": 4, "hidden": 8},
    LSTM: {"units": 4},
    Autoencoder: {"units": 8},
    DenoisingAutoencoder: {"units": 8},
    VAE: {"units": 8},
    DiffusionAutoencoder: {"units": 8, "draws": 3},
    DiffusionTime: {"units": 8},
    MultiView: {"units": 8},
    ScoreMatching: {"units": 8, "blocks": 1},
    DeepSVDD: {"units": 8},
    DevNet: {"units": 8},
    TabM: {"k": 4, "units": 8},
    PERIODIC: {"k": 4, "units": 8},
    RealMLP: {"units": 8},
    FTTransformer: {"blocks": 1, "units": 8, "heads": 2},
    TCN: {"filters": (4, 4), "kernel_size": 2},
    Transformer: {"patch": 2, "stride": 2, "blocks": 1, "units": 8, "heads": 2},
    NLinear: {},
    NHiTS: {"pooling": (2, 1), "hidden": 8, "units": 4},
    TSMixer: {"units": 8},
    Scorecard: {},
}
DETECTORS = (
    Autoencoder,
    DenoisingAutoencoder,
    VAE,
    DiffusionAutoencoder,
    DiffusionTime,
    MultiView,
    ScoreMatching,
    DeepSVDD,
    DevNet,
)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="layers are the same on every backend")
@pytest.mark.parametrize(("kind", "change"), NETWORK_CHANGES, ids=str)
def test_every_network_parameter_changes_the_scores(uncompiled, kind, change):
    assert not np.array_equal(of_small(kind), of_network(kind, change))


@pytest.fixture
def uncompiled():
    """Two steps, run as Python: to compile them takes several times as long."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@cache
def of_small(kind):
    return of_network(kind, {})


def of_network(kind, change):
    network = kind(**{**SMALL[kind], **change})
    estimator = NeuralDetector if kind in DETECTORS else NeuralClassifier
    model = estimator(network=network, epochs=1, batch_size=300, random_state=0)
    return scores(model.fit(X, Y), X)


def test_every_network_parameter_is_in_the_list_above():
    kinds = {kind: getattr(kind, "func", kind) for kind in SMALL}
    listed = {(kinds[kind], name) for kind, change in NETWORK_CHANGES for name in change}
    declared = {(kind, f.name) for kind in kinds.values() for f in fields(kind)}
    declared -= {(LSTM, "activation"), (Autoencoder, "channels")}
    assert declared == listed


def test_recurrent_activation_is_that_of_the_dense_layers():
    runs = [
        fitted(NeuralClassifier, network=GRU(units=4, hidden=4, activation=a))
        for a in ("relu", "tanh")
    ]
    assert not np.array_equal(*runs)


def test_names_of_window_columns_give_the_channels():
    names = [f"{channel}@-{lag}" for lag in (2, 1, 0) for channel in ("amount", "gap")]
    frame = pd.DataFrame(X, columns=names)
    named = NeuralClassifier(network=CNN(filters=4), **SHORT).fit(frame, Y)
    given = NeuralClassifier(network=CNN(filters=4, channels=2), **SHORT).fit(X, Y)
    assert np.array_equal(named.decision_function(frame), given.decision_function(X))
    with pytest.raises(ValueError, match=r"out of place"):
        NeuralClassifier(network=CNN(), **SHORT).fit(frame[names[::-1]], Y)
    with pytest.raises(ValueError, match=r"channels=4 does not divide the 6 columns"):
        NeuralClassifier(network=CNN(channels=4), **SHORT).fit(X, Y)


def test_padding_of_a_window_says_nothing():
    names = [f"{channel}@-{lag}" for lag in (1, 0) for channel in ("amount", "present")]
    rows = pd.DataFrame(RNG.normal(5, 1, size=(300, 4)).astype(np.float32), columns=names)
    rows["present@-0"] = 1.0
    rows["present@-1"] = np.arange(300) % 2
    rows.loc[rows["present@-1"] == 0, "amount@-1"] = 0.0
    model = NeuralClassifier(network=LSTM(units=4), **SHORT).fit(rows, Y[:300])
    padded = rows[rows["present@-1"] == 0]
    expected = model.decision_function(padded)
    assert np.array_equal(model.decision_function(padded.assign(**{"amount@-1": 99.0})), expected)
