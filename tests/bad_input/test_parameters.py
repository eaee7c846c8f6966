"""Every parameter of every estimator and network: a value out of range is named, with what may be.

The parameters are those that the classes declare: a new one is tested at once.
"""

import re
from dataclasses import fields
from functools import partial
from typing import Annotated

import numpy as np
import pytest

from fintech_dl import (
    CNN,
    GRU,
    LSTM,
    MLP,
    RNN,
    TCN,
    VAE,
    Autoencoder,
    DeepSAD,
    DeepSVDD,
    DenoisingAutoencoder,
    DevNet,
    DiffusionAutoencoder,
    DiffusionTime,
    FTTransformer,
    MultiView,
    Network,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralRegressor,
    NHiTS,
    NLinear,
    RealMLP,
    ScoreMatching,
    TabM,
    Transformer,
    TSMixer,
    hyperparameters,
)
from fintech_dl.networks.backend import keras
from fintech_dl.networks.parameters import Within, check_parameters

X = np.random.default_rng(0).normal(size=(24, 6))
Y = np.arange(24) % 2
NAN, INF = float("nan"), float("inf")
ESTIMATORS = (NeuralClassifier, NeuralRegressor, NeuralDetector, NeuralEncoder)
NETWORKS = (
    MLP,
    CNN,
    RNN,
    LSTM,
    GRU,
    Autoencoder,
    partial(Autoencoder, kind="cnn"),
    partial(Autoencoder, kind="lstm"),
    TabM,
    RealMLP,
    FTTransformer,
    TCN,
    Transformer,
    NLinear,
    NHiTS,
    TSMixer,
    DenoisingAutoencoder,
    VAE,
    DiffusionAutoencoder,
    DiffusionTime,
    MultiView,
    ScoreMatching,
    DeepSVDD,
    DeepSAD,
    DevNet,
)
WRONG = (-1, NAN, INF, -INF, "unknown", object(), object, b"x", {"a": 1}, {1}, (0,), (NAN,), 3 + 4j)
NO_FLAG = (*WRONG, 0, 1, 0.5, "True", [True])
ZERO = (*WRONG, 0)
COUNTS = ("epochs", "batch_size", "patience", "n_members", "kernel_size", "channels", "code")
COUNTS += ("k", "bins", "embedding_units", "frequencies", "blocks", "heads", "patch", "stride")
COUNTS += ("levels", "classes", "memory", "neighbours")


def wrong_values(name, default):
    if name == "network":
        return ["LSTM", 3, MLP, object()]
    if isinstance(default, bool):
        return [*NO_FLAG, None]
    if name in (
        "loss",
        "monitor",
        "optimizer",
        "schedule",
        "average",
        "kind",
        "activation",
        "embedding",
        "normalise",
        "tokens",
        "corruption",
    ):
        return [*ZERO, True, "", "x" * 10**6]
    if name in ("hidden", "units", "filters", "pooling"):
        return [*ZERO, True, None, 1.5, (3, 0), (3, 1.5), [[3]], "3", [None]]
    if name == "views":
        return [*WRONG, True, None, (), "", "noise", ["noise", "noise"], [["noise"]]]
    if name in COUNTS:
        return [*ZERO, True, 1.5, "3"]
    if name in ("random_state", "verbose"):
        return [*WRONG[1:], 1.5, True, *([-1, 2**32] if name == "random_state" else [])]
    if name == "categorical":
        return [3, "amount", NAN, {"a": 1}, [7], ["no such column"]]
    if name == "special_codes":
        return [3, "amount", {"a": [1]}, {0: ["x"]}, {0: [NAN]}, {0: 3}, {0: "3"}, {0: [True]}]
    if name == "min_frequency":
        return [*ZERO[:-1], True, 1.5, "3"]
    if name == "cv":
        return [-1, 0, 1, NAN, "unknown", [], (0,), {"a": 1}, object, True]
    if name == "class_weight":
        return [-1, "unknown", [], {0: -1.0, 1: 1.0}, {0: NAN, 1: 1.0}, {0: "x", 1: 1.0}]
    return [*WRONG, True, "0.5", [0.5]]


NAMED = ("categorical", "special_codes")


def check(name, value, make):
    with pytest.raises(ValueError, match=name) as error:
        make()
    told = str(error.value)
    assert len(told) < 500
    assert "\x1b" not in told
    shown = repr(value)[:40]
    assert shown in told or (name, type(value)) == ("class_weight", dict) or name in NAMED
    assert "allowed" in told or "must be" in told or "which is no column" in told


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_every_parameter_of_an_estimator(kind):
    names = {field.name: field.default for field in fields(kind)}
    assert len(names) >= 18
    for name, default in names.items():
        for value in wrong_values(name, default):
            given = {"network": MLP(units=2), "epochs": 1, "n_members": 2, name: value}
            if name == "focal_gamma":
                given["loss"] = "focal"
            model = kind(**given)
            check(name, value, lambda model=model: model.fit(X, Y))
            assert not hasattr(model, "weights_")


@pytest.mark.parametrize("kind", NETWORKS, ids=str)
def test_every_parameter_of_a_network(kind):
    names = {field.name: field.default for field in fields(getattr(kind, "func", kind))}
    assert len(names) >= 4
    for name, default in names.items():
        for value in wrong_values(name, default):
            model = NeuralClassifier(network=kind(**{name: value}), epochs=1)
            check(name, value, lambda model=model: model.fit(X, Y))


def test_a_network_of_convolutions_needs_one():
    with pytest.raises(ValueError, match=r"units=\(\); allowed: one width or more"):
        NeuralDetector(network=Autoencoder(kind="cnn", units=()), epochs=1).fit(X)


def test_numbers_of_numpy_and_sequences_of_every_kind_are_fine():
    for units in (np.int64(3), [3, 2], (3,), np.array([3, 2]), range(2, 4), ()):
        network = MLP(units=units, dropout=np.float32(0.5), l1=0, batch_norm=np.True_)
        check_parameters(network)
    NeuralClassifier(network=MLP(units=range(2, 4)), epochs=np.int32(1)).fit(X, Y)


@hyperparameters
class Own(Network):
    """A network of somebody's own, which says no more than types and one bound."""

    size: int = 3
    rate: Annotated[float, Within(0, 1)] = 0.5
    name: str = "tanh"

    def __call__(self, inputs):
        return keras().layers.Dense(self.size, activation=self.name)(inputs)


def test_a_new_network_has_its_annotations_checked():
    NeuralClassifier(network=Own(), epochs=1).fit(X, Y)
    for told, network in {
        "size='3'; allowed: int": Own(size="3"),
        "size=2.0; allowed: int": Own(size=2.0),
        "rate=1.0; allowed: float of at least 0 and below 1": Own(rate=1.0),
        "rate=nan; allowed": Own(rate=NAN),
        "name=3; allowed: str": Own(name=3),
    }.items():
        with pytest.raises(ValueError, match=told):
            NeuralClassifier(network=network, epochs=1).fit(X, Y)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model__network__dropout=1.5", "dropout=1.5; allowed: float of at least 0 and below 1"),
        ("model__network__activation=rleu", "activation='rleu'; allowed: the name of a Keras"),
        ("model__network__units=[8, 0]", r"units=\[8, 0\]; allowed: int of at least 1 or a seq"),
        ("model__network__l2=nan", "l2=nan; allowed: float of at least 0"),
        ("model__temporal=1", "temporal=1; allowed: True or False"),
        ("model__n_members=0", "n_members=0; allowed: int of at least 1"),
        ("model__class_weight=balnced", "'class_weight' .*'balanced'"),
        ("model__cv=1", "cv=1; allowed: None, int of at least 2, a scikit-learn splitter"),
        ("model__learning_rate=inf", "learning_rate=inf; allowed: float"),
    ],
)
def test_on_the_command_line(setting, told, tmp_path, command):
    words = ["run", "fraud", "--dataset", "synthetic_card_transactions_small"]
    done = command(*words, "--set", setting, "--out", tmp_path / "out")
    assert done.code == 2, done.err
    assert re.search(told, done.err), done.err
    assert not (tmp_path / "out").exists()
