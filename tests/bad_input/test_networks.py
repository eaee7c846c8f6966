"""Networks of somebody's own that break a promise: the message names class, method, what came."""

import numpy as np
import pytest

from fintech_dl import (
    MLP,
    Network,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralRegressor,
)
from fintech_dl.networks.backend import keras
from fintech_dl.networks.base import hyperparameters

X = np.random.default_rng(0).normal(size=(40, 4))
Y = np.arange(40) % 2


def ops():
    return keras().ops


@hyperparameters
class Sound(Network):
    """A network that keeps its promises; the others break one."""

    def __call__(self, inputs):
        return keras().layers.Dense(2)(inputs)


def broken(method, function):
    return type("Broken", (Sound,), {method: function})()


CALLS = {
    "NumPy": (lambda self, x: np.zeros((3, 2)), r"a NumPy array of shape \(3, 2\)"),
    "None": (lambda self, x: None, "returned None"),
    "list": (lambda self, x: [x], "returned .<KerasTensor"),
    "constant": (lambda self, x: ops().zeros((256, 2)), r"a tensor of shape \(256, 2\)"),
    "one number per row": (lambda self, x: ops().sum(x, axis=1), r"a tensor of shape \(rows,\)"),
    "one number": (lambda self, x: ops().sum(x), r"a tensor of shape \(\)"),
    "no features": (lambda self, x: x[:, :0], r"a tensor of shape \(rows, 0\)"),
    "whole numbers": (lambda self, x: ops().cast(x, "int32"), "and type int32"),
    "text": (lambda self, x: "features", "returned 'features'"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", [NeuralClassifier, NeuralDetector], ids=["labels", "no labels"])
def test_features_of_a_wrong_kind(name, kind):
    function, told = CALLS[name]
    expected = r"; expected a tensor of floats of shape \(rows, features\)"
    with pytest.raises(ValueError, match=told + ".*" + expected) as error:
        kind(network=broken("__call__", function), epochs=1).fit(X, Y)
    assert str(error.value).startswith("Broken.__call__ returned ")


def test_features_that_are_not_made_of_the_input():
    def other(self, x):
        return keras().Input((3,))

    with pytest.raises(ValueError, match=r"^Broken.__call__ returned features that are not made f"):
        NeuralClassifier(network=broken("__call__", other), epochs=1).fit(X, Y)


def test_a_network_without_the_one_method():
    with pytest.raises(NotImplementedError, match=r"must define __call__\(self, inputs\)"):
        Network()(X)
    with pytest.raises(
        ValueError, match=r"Network.__call__ failed: NotImplementedError: Network m"
    ):
        NeuralClassifier(network=Network(), epochs=1).fit(X, Y)


def fails(self, *given):
    raise RuntimeError("out of luck")


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("__call__", NeuralClassifier),
        ("head", NeuralClassifier),
        ("head", NeuralRegressor),
        ("decode", NeuralDetector),
        ("decode", NeuralEncoder),
        ("objective", NeuralClassifier),
        ("objective", NeuralEncoder),
        ("anomaly_score", NeuralDetector),
    ],
)
def test_a_method_that_fails_is_named(method, kind):
    told = f"^Broken.{method} failed: RuntimeError: out of luck$"
    with pytest.raises(ValueError, match=told) as error:
        kind(network=broken(method, fails), epochs=1).fit(X, Y)
    assert isinstance(error.value.__cause__, RuntimeError)


def test_rows_that_go_missing():
    def fewer(self, x):
        return x[1:]

    def mixed(self, x):
        return keras().ops.reshape(x, (-1, 8))

    for function in (fewer, mixed):
        with pytest.raises(ValueError, match=r"^Broken.__call__ .*(for 3 rows|failed)"):
            NeuralClassifier(network=broken("__call__", function), epochs=1).fit(X, Y)


@pytest.mark.parametrize(
    ("kind", "method", "expected"),
    [
        (NeuralClassifier, "head", r"\(rows, 1\)"),
        (NeuralRegressor, "head", r"\(rows, 1\)"),
        (NeuralDetector, "decode", r"\(rows, 4\)"),
        (NeuralEncoder, "decode", r"\(rows, 4\)"),
    ],
)
def test_outputs_of_a_wrong_shape(kind, method, expected):
    for function, came in {
        lambda self, x, n: keras().layers.Dense(3)(x): r"a tensor of shape \(rows, 3\)",
        lambda self, x, n: np.zeros((3, 1)): r"a NumPy array of shape \(3, 1\)",
        lambda self, x, n: None: "None",
        lambda self, x, n: keras().ops.cast(keras().layers.Dense(1)(x), "int32"): "a tensor",
    }.items():
        told = (
            f"^Broken.{method} returned {came}.*; expected a tensor of floats of shape {expected}"
        )
        with pytest.raises(ValueError, match=told):
            kind(network=broken(method, function), epochs=1).fit(X, Y)


NOT_PER_ROW = {
    "a column": lambda r: keras().ops.reshape(r, (-1, 1)),
    "one number": lambda r: keras().ops.mean(r),
    "fewer": lambda r: r[1:],
    "NumPy": lambda r: np.zeros(3),
    "nothing": lambda r: None,
}


@pytest.mark.parametrize("name", NOT_PER_ROW)
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (NeuralClassifier, "objective"),
        (NeuralRegressor, "objective"),
        (NeuralEncoder, "objective"),
        (NeuralDetector, "anomaly_score"),
    ],
)
def test_losses_and_scores_that_are_not_one_per_row(kind, method, name):
    """A column of losses would be multiplied with every weight, and nobody would see it."""
    change = NOT_PER_ROW[name]

    def function(self, *given):
        return change(getattr(Network, method)(self, *given))

    told = rf"^Broken.{method} returned .* for 3 rows; expected a tensor of shape \(3,\), one numb"
    with pytest.raises(ValueError, match=told):
        kind(network=broken(method, function), epochs=1).fit(X, Y)


def test_trying_a_network_leaves_no_trace():
    class Noisy(MLP):
        def objective(self, model, x, y, loss):
            noise = model.get_layer("noise")
            return super().objective(model, noise(x, training=True), y, loss)

        def __call__(self, inputs):
            k = keras()
            return super().__call__(k.layers.GaussianNoise(0.5, seed=3, name="noise")(inputs))

    class Same(Noisy):
        __module__ = "fintech_dl.networks.dense"  # as if it were ours: not tried

    found = [
        NeuralClassifier(network=kind(units=3), epochs=2, random_state=0).fit(X, Y).predict_proba(X)
        for kind in (Noisy, Same)
    ]
    assert found[0].tobytes() == found[1].tobytes()
