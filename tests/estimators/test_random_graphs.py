"""Family 27: networks of every family, drawn at random, give their own results as graphs."""

import gc
import random

import numpy as np
import pandas as pd
import pytest

import fintech_dl
from fintech_dl import NeuralClassifier, NeuralDetector, NeuralEncoder, NeuralRegressor
from fintech_dl.estimators.graph import describe, export
from fintech_dl.estimators.parity import hard_rows
from fintech_dl.estimators.scorer import open_session
from fintech_dl.networks.backend import keras
from fintech_dl.networks.multi_view import VIEWS
from tests.estimators.test_graph import light_results, results, stirred
from tests.faults.conftest import scaled

ROWS, FITTED = 500, 120  # compared, and fitted on
TOLERANCE = 1e-5
ACTIVATIONS = ["relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh"]


def widths(rng, most=3):
    return tuple(rng.randrange(2, 13) for _ in range(rng.randrange(1, most + 1)))


def layers(rng, most=3):
    return {"units": widths(rng, most), "activation": rng.choice(ACTIVATIONS)}


def normalised(rng):
    return {"normalise": rng.choice([None, "last", "window", "volatility"])}


def attention(rng):
    heads = rng.choice([1, 2, 4])
    return {"heads": heads, "units": heads * 2 * rng.randrange(1, 4), "blocks": rng.randrange(1, 3)}


def recurrent(rng):
    return {"units": widths(rng, 2), "hidden": rng.choice([(), (4,)])}


FLAT = {  # of each family: its parameters
    "MLP": lambda rng: {**layers(rng), "batch_norm": rng.random() < 0.5},
    "Autoencoder": lambda rng: {**layers(rng, 2), "code": rng.randrange(1, 6)},
    "DevNet": layers,
    "TabM": lambda rng: {
        "k": rng.randrange(1, 5),
        "units": widths(rng, 2),
        "mini": rng.random() < 0.5,
        "bins": rng.randrange(2, 12),
        "embedding": rng.choice([None, "piecewise_linear", "periodic"]),
    },
    "Scorecard": lambda rng: {"bins": rng.randrange(2, 12)},
    "RealMLP": lambda rng: {"units": widths(rng), "frequencies": rng.randrange(2, 9)},
    "FTTransformer": lambda rng: {**attention(rng), "bins": rng.randrange(2, 9)},
    "DeepSVDD": lambda rng: {**layers(rng, 2), "code": rng.randrange(1, 6)},
    "DeepSAD": lambda rng: {**layers(rng, 2), "code": rng.randrange(1, 6)},
    "DenoisingAutoencoder": lambda rng: {
        **layers(rng, 2),
        "corruption": rng.choice(["gaussian", "swap"]),
    },
    "VAE": lambda rng: {**layers(rng, 2), "code": rng.randrange(1, 6)},
    "DiffusionAutoencoder": lambda rng: {**layers(rng, 2), "draws": rng.randrange(4)},
    "DiffusionTime": lambda rng: {**layers(rng, 2), "classes": rng.randrange(2, 9)},
    "MultiView": lambda rng: {
        **layers(rng, 2),
        "views": rng.choice([VIEWS, VIEWS[:2], VIEWS[-2:]]),
        "memory": 50,
        "neighbours": rng.randrange(1, 4),
    },
    "ScoreMatching": lambda rng: {"units": rng.randrange(2, 13), "blocks": rng.randrange(1, 3)},
}
WINDOWED = {  # of a family that reads windows, with so many channels
    "CNN": lambda rng: {
        "filters": widths(rng, 1),
        "hidden": widths(rng, 2),
        "kernel_size": rng.randrange(1, 4),
        "activation": rng.choice(ACTIVATIONS),
    },
    "RNN": recurrent,
    "LSTM": recurrent,
    "GRU": recurrent,
    "Autoencoder": lambda rng: {
        "kind": rng.choice(["cnn", "lstm"]),
        "units": rng.randrange(2, 9),
        "code": rng.randrange(1, 6),
    },
    "TCN": lambda rng: {"filters": widths(rng), **normalised(rng)},
    "Transformer": lambda rng: {
        **attention(rng),
        "tokens": rng.choice(["patch", "channel"]),
        "patch": rng.randrange(2, 4),
        "stride": rng.randrange(1, 3),
        **normalised(rng),
    },
    "NLinear": normalised,
    "NHiTS": lambda rng: {
        "pooling": rng.choice([(1,), (2, 1), (3, 2, 1)]),
        "hidden": widths(rng, 2),
        **normalised(rng),
    },
    "TSMixer": lambda rng: {
        "units": rng.randrange(2, 13),
        "blocks": rng.randrange(1, 3),
        **normalised(rng),
    },
}
FAMILIES = [(name, make, False) for name, make in FLAT.items()]
FAMILIES += [(name, make, True) for name, make in WINDOWED.items()]
KINDS = [NeuralClassifier, NeuralRegressor, NeuralDetector, NeuralEncoder]
LABELLED = ("DevNet", "Scorecard")  # learn from labels alone, which an encoder has none of


def drawn(seed):
    """Return an estimator that is not fitted, rows of odd scales and labels."""
    rng, numbers = random.Random(f"graphs {seed}"), np.random.default_rng([27, seed])
    name, make, windowed = FAMILIES[seed % len(FAMILIES)]
    parameters = make(rng)
    channels, steps = rng.randrange(1, 4), rng.randrange(3, 8)
    width = channels * steps if windowed else rng.randrange(2, 9)
    X = numbers.normal(size=(FITTED, width))
    if windowed:
        parameters["channels"] = channels
        X = np.tile(10.0 ** numbers.integers(-3, 5, channels), steps) * X
    else:
        X = X * 10.0 ** numbers.integers(-3, 5, width) + numbers.normal(scale=100.0, size=width)
        if rng.random() < 0.5:
            X = pd.DataFrame(X, columns=[f"x{i}" for i in range(width)])
            X["home"] = pd.Categorical(numbers.choice(["rent", "own", "other"], FITTED))
            X.loc[numbers.random(FITTED) < 0.2, "x0"] = np.nan
    kind = rng.choice(KINDS[:3] if name in LABELLED else KINDS)
    y = numbers.integers(0, rng.choice([2, 4]) if kind is NeuralClassifier else 2, FITTED)
    network = getattr(fintech_dl, name)(**parameters)
    return kind(network=network, epochs=1, batch_size=64, random_state=seed), X, y


def flips(model, ours, own):
    """Count the rows of another class or alert, but not those that lie at the cut itself."""
    if isinstance(model, NeuralClassifier):
        two = np.sort(own, axis=1)[:, -2:]
        clear = two[:, 1] - two[:, 0] > 2 * TOLERANCE
        return int((clear & (ours.argmax(axis=1) != own.argmax(axis=1))).sum())
    if isinstance(model, NeuralDetector):
        cut = model.threshold_
        clear = np.abs(own - cut) > TOLERANCE * np.maximum(1, np.abs(own))
        return int((clear & ((ours > cut) != (own > cut))).sum())
    return 0


def read_back(model, matrix, X):
    """Return rows as they come: of encoded categories their names."""
    rows = matrix.astype(float)
    if not isinstance(X, pd.DataFrame):
        return rows
    frame = pd.DataFrame(rows, columns=X.columns)
    names = np.array([None, *X["home"].cat.categories], dtype=object)
    return frame.assign(home=pd.Categorical(names[matrix[:, -1].astype(int)]))


@pytest.mark.fault(27, drawn=True)
@pytest.mark.parametrize("seed", range(scaled(2, 1_000)))
def test_a_network_drawn_at_random_equals_its_graph(seed):
    model, X, y = drawn(seed)
    model = stirred(model, X, y, seed)
    rows = read_back(model, hard_rows(model, ROWS, seed), X)
    found = open_session(export(model), describe(model))
    ours, own = light_results(found, rows), results(model, rows)
    assert np.isfinite(own).all()
    assert np.isfinite(ours).all()
    difference = np.abs(ours - own) / np.maximum(1, np.abs(own))
    assert difference.max() <= TOLERANCE, (model, difference.max())
    assert flips(model, ours, own) == 0, model
    keras().backend.clear_session()  # a graph is given back to nobody: a night would fill memory
    gc.collect()
