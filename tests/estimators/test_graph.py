"""Graphs: what scores without Keras gives the model's own scores, and refuses everything else."""

import json
import os
import subprocess
import sys
import warnings
from contextlib import suppress
from decimal import Decimal
from functools import partial
from itertools import product

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
    Scorecard,
    ScoreMatching,
    TabM,
    Transformer,
    TSMixer,
    hyperparameters,
)
from fintech_dl.artefact import scorer, to_files
from fintech_dl.errors import ArtefactError, UsageError
from fintech_dl.estimators.graph import describe, export
from fintech_dl.estimators.onnx_file import check_onnx
from fintech_dl.estimators.parity import hard_rows, prove
from fintech_dl.estimators.scorer import BLOCK, open_graph, open_session
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.calibration import CalibratedClassifier
from fintech_dl.networks.backend import keras
from fintech_dl.networks.multi_view import VIEWS

FAST = {"epochs": 2, "batch_size": 64, "random_state": 0}
NETWORKS = [
    MLP(units=(16, 8), activation="gelu", dropout=0.2),
    MLP(units=8, batch_norm=True, l2=0.01),
    CNN(filters=4, hidden=8, channels=2, dropout=0.1),
    RNN(units=4, channels=2),
    LSTM(units=(4, 3), channels=2, dropout=0.1),
    GRU(units=4, channels=2),
    Autoencoder(units=8, code=3, noise=0.1),
    Autoencoder(kind="cnn", units=4, code=3, channels=2),
    Autoencoder(kind="lstm", units=4, code=3, channels=2),
    DevNet(units=8),  # learns from labels alone, which an encoder has none of
    TabM(k=3, units=(8, 8)),
    TabM(k=3, units=8, mini=True, embedding="periodic"),
    Scorecard(bins=4),
    RealMLP(units=(8, 8)),
    FTTransformer(blocks=2, units=8, heads=2),
    TCN(filters=(4, 8), channels=2),
    Transformer(patch=2, stride=1, units=8, heads=2, channels=2),
    Transformer(tokens="channel", blocks=1, units=8, heads=2, channels=2, normalise="window"),
    NLinear(channels=2),
    NHiTS(pooling=(2, 1), hidden=8, channels=2, normalise="volatility"),
    TSMixer(units=8, channels=2),
    DeepSVDD(units=8, code=3),
    DeepSAD(units=8, code=3),
    DenoisingAutoencoder(units=8),
    VAE(units=8, code=3),
    DiffusionAutoencoder(units=8, draws=3),
    DiffusionTime(units=8),
    MultiView(units=8, views=VIEWS, memory=50, neighbours=2),
    ScoreMatching(units=8, blocks=1),
]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)) * [1, 1e-3, 1e4, 1, 1, 1] + [0, 5, -2e4, 0, 0, 0]
Y = (X[:, 0] + 0.5 * X[:, 3] > 0).astype(int)


def mixed(n=400):
    """Return a frame with every kind of column that goes straight in."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"amount": rng.lognormal(size=n), "age": rng.integers(18, 90, n)})
    frame.loc[::5, "amount"] = np.nan
    frame["known"] = rng.random(n) < 0.5
    frame["visits"] = pd.array(rng.integers(0, 9, n), dtype="Int16")
    frame.loc[::7, "visits"] = pd.NA
    frame["country"] = pd.Categorical(rng.choice(["BE", "FR", "NL"], n))
    frame["shop"] = rng.choice([f"shop {i}" for i in range(30)], n)  # above 16: an embedding
    frame.loc[::9, "shop"] = None
    return frame, (rng.random(n) < 0.5).astype(int)


def results(model, rows):
    for method in ("anomaly_score", "predict_proba", "transform", "predict"):
        if hasattr(model, method):
            found = np.asarray(getattr(model, method)(rows), dtype=float)
            return found if found.ndim == 2 else found[:, None]
    raise AssertionError(model)


def light(model):
    """Return the scorer of a model's graph, which must have passed the proof."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_graph(to_files(model))


def light_results(found, rows):
    outputs = found.outputs(found.encode(rows))
    return found.probabilities(outputs) if found.record["kind"] == "classifier" else outputs


KINDS = [NeuralClassifier, NeuralRegressor, NeuralDetector]
CASES = [*product(KINDS, NETWORKS), *product([NeuralEncoder], [NETWORKS[0], *NETWORKS[-16:]])]


def stirred(model, X=X, y=Y, seed=0):
    """Return a model whose weights are shrunk and stirred, as if trained: graphs are of any."""

    def epoch(trainer, *_):
        rng = np.random.default_rng(seed)
        for weights in trainer.trained:
            noise = rng.normal(scale=0.05, size=weights.shape).astype(np.float32)
            weights.assign(weights.numpy() / 2 + noise)
        return np.zeros(trainer.n_members)

    with pytest.MonkeyPatch.context() as patch:  # half of the time goes into compiling steps
        patch.setattr("fintech_dl.estimators.training.Trainer.epoch", epoch)
        return model.fit(X, y)


@pytest.fixture(
    scope="module",
    params=CASES,
    ids=[f"{kind.__name__}-{network!r}" for kind, network in CASES],
)
def graphed(request):
    """A model of each kind and network, and the scorer of its graph, which passed the proof."""
    kind, network = request.param
    model = stirred(kind(network=network, **FAST))
    with pytest.MonkeyPatch.context() as patch:  # rows that are all scored in blocks of one size
        patch.setattr("fintech_dl.estimators.parity.prove", partial(prove, rows=4096))
        return model, light(model)


@pytest.mark.fault(27)
def test_every_network_has_a_graph_that_gives_its_own_results(graphed):
    model, found = graphed
    own = results(model, X)
    assert own.std() > 0
    np.testing.assert_allclose(light_results(found, X), own, rtol=1e-5, atol=1e-5)
    if not isinstance(model, NeuralEncoder):
        np.testing.assert_allclose(
            found.scores(found.encode(X)), score_rows(model, X), rtol=1e-5, atol=1e-6
        )


def test_a_row_has_the_same_bits_alone_in_any_batch_and_at_any_place(graphed):
    model, found = graphed
    rows = hard_rows(model, 3 * BLOCK + 17)
    together = found.members(rows)
    order = RNG.permutation(len(rows))
    assert found.members(rows[order]).tobytes() == together[:, order].tobytes()
    for start in (0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 16):
        alone = found.members(rows[start : start + 1])
        assert alone.tobytes() == together[:, start : start + 1].tobytes()
    assert found.members(rows[:0]).shape == (1, 0, found.record["width"])
    assert np.isfinite(together).all()


@pytest.mark.parametrize("classes", [["no", "yes"], [0.0, 1.0], ["a", "b", "c", "d"]])
def test_missing_values_categories_and_classes_of_any_type(classes):
    frame, y = mixed()
    labels = np.array(classes)[(y + np.arange(len(y))) % len(classes)]
    model = NeuralClassifier(network=MLP(units=8), **FAST).fit(frame, labels)
    found = light(model)
    new = frame.copy()
    new["country"] = new["country"].astype(object).where(np.arange(len(new)) % 4 > 0, "XX")
    new["age"] = new["age"].astype(float).where(np.arange(len(new)) % 3 > 0)
    for rows in (frame, new):
        np.testing.assert_allclose(
            light_results(found, rows), model.predict_proba(rows), rtol=1e-5, atol=1e-6
        )
    assert found.record["classes"] == classes
    assert any(len(column["categories"]) == 30 for column in found.columns)
    if len(classes) > 2:
        with pytest.raises(
            UsageError, match="the classifier gives 4 numbers per row, not one score"
        ):
            found.scores(found.encode(frame))


@pytest.mark.parametrize("prior", [None, 0.02])
@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic", "beta"])
@pytest.mark.parametrize("steps", [False, True], ids=["network alone", "behind a step"])
def test_every_calibration(method, steps, prior):
    model = NeuralClassifier(network=MLP(units=8), **{**FAST, "epochs": 10})
    model = (make_pipeline(StandardScaler(), model) if steps else model).fit(X, Y)
    if prior is None and method != "beta":
        calibrated = CalibratedClassifierCV(FrozenEstimator(model), method=method).fit(X, Y)
    else:
        calibrated = CalibratedClassifier(FrozenEstimator(model), method=method, prior=prior)
        calibrated.fit(X, Y)
    files = to_files(calibrated)
    record = json.loads(files["graph.json"])
    assert record["calibration"]["method"] == method
    assert (record["calibration"]["shift"] < -1) == (prior is not None)
    assert record["steps"] == (["StandardScaler"] if steps else [])
    found, own = scorer(files, model=calibrated)(X), score_rows(calibrated, X)
    np.testing.assert_allclose(scorer(files)(X), found, rtol=0, atol=0)
    tolerance = 1e-5 if method != "isotonic" else 1e-2  # it has steps, where a rounding error tells
    np.testing.assert_allclose(found, own, rtol=0, atol=tolerance)
    assert np.abs(own - score_rows(model, X)).max() > 1e-3  # calibration does something
    outputs = model[-1:].decision_function(model[:-1].transform(X)) if steps else None
    logits = model.decision_function(X) if outputs is None else outputs
    again = open_graph(files).probabilities(logits.astype(float)[:, None])[:, 1]
    np.testing.assert_allclose(again, own, rtol=0, atol=1e-6)  # the calibration itself is exact


def test_several_targets_and_their_units():
    targets = np.column_stack([1e6 + 1e5 * X[:, 0], X[:, 3]])
    model = NeuralRegressor(network=MLP(units=8), **FAST).fit(X, targets)
    np.testing.assert_allclose(
        light_results(light(model), X), model.predict(X), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (NeuralClassifier, {"average": "probability"}),
        (NeuralClassifier, {"average": "logit", "cv": 3}),
        (NeuralClassifier, {"average": "rank"}),
        (NeuralRegressor, {}),
        (NeuralRegressor, {"cv": 3}),
        (NeuralDetector, {"average": "mean"}),
        (NeuralDetector, {"average": "rank"}),
        (NeuralEncoder, {}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_several_members_are_averaged_as_the_model_does(kind, parameters):
    model = kind(network=MLP(units=4), n_members=3, **parameters, **FAST).fit(X, Y)
    found = light(model)
    assert found.record["members"] == 3
    own = results(model, X)
    np.testing.assert_allclose(light_results(found, X), own, rtol=1e-5, atol=1e-6)
    first = found.members(found.encode(X))
    assert len(first) == 3
    assert np.abs(first[0] - first[1]).max() > 1e-3


def test_several_members_and_classes():
    model = NeuralClassifier(network=MLP(units=4), n_members=2, **FAST).fit(X, Y + (X[:, 4] > 0))
    found = light(model)
    np.testing.assert_allclose(light_results(found, X), model.predict_proba(X), atol=1e-6)


def test_a_window_with_padded_steps():
    names = [f"{channel}@-{lag}" for lag in (2, 1, 0) for channel in ("amount", "present")]
    rows = pd.DataFrame(RNG.normal(size=(300, 6)), columns=names, dtype="float32")
    length = RNG.integers(1, 4, size=300)
    for lag in range(3):
        rows[f"present@-{lag}"] = (lag < length).astype("float32")
        rows.loc[lag >= length, f"amount@-{lag}"] = 0.0
    model = NeuralDetector(network=LSTM(units=4), **FAST).fit(rows)
    found = light(model)
    np.testing.assert_allclose(found.scores(found.encode(rows)), score_rows(model, rows), rtol=1e-5)
    hard = hard_rows(model)
    present = hard[:, 1::2]
    assert set(np.unique(present)) == {0.0, 1.0}
    assert (np.diff(present, axis=1) >= 0).all()
    assert (hard[:, ::2][present == 0] == 0).all()


@pytest.mark.parametrize(
    "activation",
    ["relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh"],
)
def test_every_usual_activation(activation):
    model = stirred(NeuralClassifier(network=MLP(units=4, activation=activation), epochs=1))
    assert prove(model, open_session(export(model), describe(model)), rows=500)["passed"]


@hyperparameters
class Noisy(Network):
    """A network whose layers act differently in training."""

    def __call__(self, inputs):
        layers = keras().layers
        x = layers.GaussianNoise(1.0)(layers.Dropout(0.5)(inputs))
        return layers.BatchNormalization()(layers.Dense(4, activation="tanh")(x))


def test_nothing_of_training_is_in_the_graph():
    model = NeuralClassifier(network=Noisy(), **FAST).fit(X, Y)
    proto = onnx.load_from_string(export(model))
    names = {node.op_type for node in proto.graph.node}
    assert names
    assert not [name for name in names if "Random" in name or name == "Dropout"]
    assert prove(model, open_session(export(model), describe(model)), rows=500)["passed"]


def test_exporting_leaves_the_model_and_the_random_state_alone():
    rows = X.astype(np.float32)
    model = NeuralClassifier(network=MLP(units=8, dropout=0.2), **FAST).fit(rows, Y)
    np.random.seed(3)
    state, before = np.random.get_state()[1].copy(), model.decision_function(rows)
    export(model)
    assert np.array_equal(np.random.get_state()[1], state)
    assert np.array_equal(model.decision_function(rows), before)
    again = NeuralClassifier(network=MLP(units=8, dropout=0.2), **FAST).fit(rows, Y)
    assert np.array_equal(again.decision_function(rows), before)


def test_nothing_is_printed(capfd):
    to_files(NeuralClassifier(network=GRU(units=4, channels=2), **FAST).fit(X, Y))
    assert capfd.readouterr() == ("", "")


# ---- the proof --------------------------------------------------------------------------------


def test_the_rows_of_the_proof_are_hard_and_always_the_same():
    frame, y = mixed()
    model = NeuralClassifier(network=MLP(units=4), **FAST).fit(frame, y)
    rows = hard_rows(model)
    assert rows.shape == (10_000, 6)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, hard_rows(model))
    numbers = rows[:, :4]
    largest = np.finfo(np.float32).max
    for i in range(4):
        column = numbers[:, i]
        assert {np.float32(1e30), -np.float32(1e30), largest, -largest, 0.0} <= {*column.tolist()}
        assert np.isnan(column).sum() > 100
        assert (np.abs(column[column != 0]) < 1e-44).any()
        assert np.signbit(column[column == 0]).any()
    assert set(rows[:, 4]) == {0, 1, 2, 3}
    assert set(rows[:, 5]) == set(range(31))
    assert (rows[:, :4] == 0).all(axis=1).any()
    typical = np.abs(numbers[np.isfinite(numbers).all(axis=1)] - frame["age"].mean()) < 100
    assert typical.mean() > 0.3


def test_a_graph_of_other_weights_does_not_pass():
    model = NeuralClassifier(network=MLP(units=4), **FAST).fit(X, Y)
    record = describe(model)
    assert prove(model, open_session(export(model), record))["passed"]
    off = [weights.copy() for weights in model.weights_]
    off[-2] = off[-2] + np.float32(1e-3)
    model_off = NeuralClassifier(network=MLP(units=4), **FAST).fit(X, Y)
    model_off.__setstate__({**model.__getstate__(), "weights_": off})
    proof = prove(model, open_session(export(model_off), record))
    assert not proof["passed"]
    assert proof["max_rel"] > proof["tolerance"] == 1e-5


@pytest.mark.parametrize(
    ("model", "of"),
    [
        (NeuralClassifier(network=MLP(units=64, activation="elu")), "probabilities"),
        (NeuralClassifier(network=MLP(batch_norm=True)), "probabilities"),
        (NeuralClassifier(network=MLP(), n_members=8), "probabilities"),
        (NeuralRegressor(network=MLP()), "predictions in standard deviations of the target"),
        (NeuralRegressor(network=CNN(channels=2)), "predictions in standard deviations"),
        (NeuralDetector(network=Autoencoder()), "anomaly scores"),
        (NeuralEncoder(network=Autoencoder()), "codes"),
    ],
    ids=repr,
)
def test_what_is_scored_is_the_same_to_1e_5_on_every_row(model, of):
    model = model.set_params(epochs=10, batch_size=64, random_state=0).fit(X, Y)
    found = open_session(export(model), describe(model))
    proof = prove(model, found)
    assert (proof["passed"], proof["rows"], proof["tolerance"]) == (True, 10_000, 1e-5)
    assert proof["of"].startswith(of)
    rows = hard_rows(model).astype(float)
    ours, own = light_results(found, rows), results(model, rows)
    difference = np.abs(ours - own) / np.maximum(1, np.abs(own))
    assert difference.max() == pytest.approx(proof["max_rel"], abs=2e-6)
    assert difference.max() <= 1e-5


@pytest.mark.parametrize(
    ("change", "field"),
    [({"offset": -1e-6}, "flips"), ({"offset": 1.0}, "flips")],
)
def test_decisions_that_flip_are_counted(change, field):
    model = NeuralDetector(network=Autoencoder(units=4, code=2), **FAST).fit(X)
    found = open_session(export(model), describe(model))
    assert prove(model, found)[field] == 0
    proof = prove(model, open_session(export(model), {**found.record, **change}))
    assert proof["passed"] is (proof[field] == 0)


def test_a_calibration_that_is_off_does_not_pass():
    model = NeuralClassifier(network=MLP(units=4), **FAST).fit(X, Y)
    found = [("temperature", "beta"), ("sigmoid", "b"), ("beta", "c"), ("beta", "shift")]
    for method, name in found:
        calibrated = CalibratedClassifier(FrozenEstimator(model), method=method, prior=0.3)
        calibrated.fit(X, Y)
        onnx_bytes, record = export(model), describe(calibrated)
        assert prove(calibrated, open_session(onnx_bytes, record))["passed"]
        record["calibration"][name] += 0.01
        assert not prove(calibrated, open_session(onnx_bytes, record))["passed"]


@hyperparameters
class Sorted(Network):
    """A network with an operator that none of ours has."""

    def __call__(self, inputs):
        return keras().ops.linalg.det(keras().ops.reshape(inputs[:, :4], (-1, 2, 2)))[:, None]


def test_an_operator_that_no_graph_may_have_is_found_when_saving():
    model = NeuralClassifier(network=Sorted(), epochs=1).fit(X, Y)
    with pytest.warns(UserWarning, match=r"saved without model\.onnx.* operator b'Det'"):
        files = to_files(model, trust=[f"{Sorted.__module__}.Sorted"])
    assert "model.onnx" not in files


@hyperparameters
class Endless(Network):
    """A network whose outputs leave float32 for rows far off."""

    def __call__(self, inputs):
        return keras().ops.exp(keras().ops.square(inputs))


def test_what_is_not_finite_does_not_pass():
    model = NeuralClassifier(network=Endless(), learning_rate=1e-9, epochs=1).fit(X, Y)
    with pytest.warns(UserWarning, match=r"saved without model\.onnx.*: on 10,000 .* not finite"):
        files = to_files(model, trust=[f"{Endless.__module__}.Endless"])
    parity = json.loads(files["parity.json"])
    assert parity["passed"] is False
    assert parity["max_rel"] is parity["max_abs"] is None
    assert "model.onnx" not in files


# ---- refusals ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    model = NeuralClassifier(network=MLP(units=4), **FAST).fit(X, Y)
    return export(model), describe(model)


def graph(nodes, *, initializers=(), width=6, domains=(), functions=()):
    """Return a small graph in the shape of ours."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, None, 1])
    sets = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    body = helper.make_graph(nodes, "g", [x], [y], initializer=list(initializers))
    return helper.make_model(body, opset_imports=sets, functions=functions, ir_version=8)


def outside(location):
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def hostile():
    plain_node = helper.make_node("ReduceSum", ["x"], ["y"])
    inner = helper.make_graph(
        [helper.make_node("Identity", [], ["c"], value=outside("/etc/passwd"))], "i", [], []
    )
    foreign = helper.make_node("Relu", ["x"], ["y"], domain="com.evil")
    branch = helper.make_node("Relu", ["x"], ["y"], then_branch=inner)
    function = helper.make_function(
        "own", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], []
    )
    return {
        "in another file": graph([plain_node], initializers=[outside("/etc/passwd")]),
        "numbers that are in another file": graph([branch]),
        "an operator of b'com.evil'": graph([foreign], domains=["com.evil"]),
        "an operator of b'com.microsoft'": graph(
            [helper.make_node("Erf", ["x"], ["y"], domain="com.microsoft")],
            domains=["com.microsoft"],
        ),
        "functions of its own": graph([plain_node], functions=[function]),
        "the operator b'If'": graph([helper.make_node("If", ["x"], ["y"], then_branch=inner)]),
        "the operator b'Scan'": graph([helper.make_node("Scan", ["x"], ["y"], body=inner)]),
        "the operator b'RandomNormal'": graph([helper.make_node("RandomNormal", [], ["y"])]),
        "the operator b'Evil'": graph([helper.make_node("Evil", ["x"], ["y"])]),
    }


def loop(steps, *, dims=(), kind=TensorProto.INT64, raw=False, body=None, first="steps", double=()):
    """Return a graph of one loop that ends when it is told to: never before its last step."""
    count = helper.make_tensor("steps", kind, dims, [steps])
    if raw:
        count = numpy_helper.from_array(np.array(steps, dtype=np.int64), "steps")
    info = helper.make_tensor_value_info
    inner = body or helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("go", "on"), ("was", "is"))],
        "step",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("was", TensorProto.FLOAT, None),
        ],
        [info("on", TensorProto.BOOL, []), info("is", TensorProto.FLOAT, None)],
    )
    sure = helper.make_tensor("sure", TensorProto.BOOL, [], [True])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    front = helper.make_tensor("front", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("Shape", ["x"], ["computed"]),
        helper.make_node("Loop", [first, "sure", "x"], ["last"], body=inner),
        helper.make_node("ReduceSum", ["last", "axes"], ["sum"], keepdims=1),
        helper.make_node("Unsqueeze", ["sum", "front"], ["y"]),
    ]
    return graph(nodes, initializers=[count, sure, axes, front, *double])


def test_a_loop_whose_steps_are_written_down_is_run(plain):
    for proto in (loop(3), loop(3, dims=[1]), loop(3, raw=True), loop(10_000, raw=True)):
        found = open_session(proto.SerializeToString(), plain[1])
        np.testing.assert_allclose(found.members(np.ones((2, 6), np.float32)), 6.0)


def endless():
    nested = helper.make_graph(
        [helper.make_node("Loop", ["steps", "", "was"], ["is"], body=loop(3).graph)], "g", [], []
    )
    more = helper.make_tensor("steps", TensorProto.INT64, [], [2**62])
    return {
        "without steps": loop(3, first=""),
        "too many": loop(2**62),
        "too many, as bytes": loop(2**62, raw=True),
        "one too many": loop(10_001),
        "less than none": loop(-1),
        "of another type": loop(3, kind=TensorProto.INT32),
        "computed": loop(3, first="computed"),
        "the input": loop(3, first="x"),
        "written down twice": loop(3, double=[more]),
        "one in another": loop(3, body=nested),
    }


@pytest.mark.parametrize("name", endless())
def test_a_loop_without_an_end_never_reaches_the_runtime(plain, monkeypatch, name):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(ArtefactError, match=r"model\.onnx is refused: it loops in another way"):
        open_session(endless()[name].SerializeToString(), plain[1])


def test_a_hostile_graph_never_reaches_the_runtime(plain, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("it ran"))
    for told, proto in hostile().items():
        with pytest.raises(ArtefactError, match=f"model.onnx is refused: .*{told}"):
            open_session(proto.SerializeToString(), plain[1])


def test_junk_is_no_graph(plain):
    data = plain[0]
    for junk in (b"", b"PK\x03\x04", b"\x80\x04cos\nsystem", b"\xff" * 100, b"\x3a\xff\xff\x03"):
        with pytest.raises(ArtefactError, match=r"model\.onnx is refused: it is no ONNX file"):
            open_session(junk, plain[1])
    check_onnx(data)
    with pytest.raises(ValueError, match="it is no ONNX file"):  # two graphs, which become one
        check_onnx(data + data)
    rng = np.random.default_rng(0)
    for cut in rng.integers(0, len(data), 200):  # either refused, or read, but nothing else
        for broken in (data[:cut], data[:cut] + bytes([data[cut] ^ 0x55]) + data[cut + 1 :]):
            with suppress(ValueError):
                check_onnx(broken)


def test_a_graph_nested_too_deep_or_too_large_is_refused(monkeypatch, plain):
    deep = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [])
    for _ in range(12):
        deep = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"], then_branch=deep)], "g", [], []
        )
    proto = helper.make_model(deep).SerializeToString()
    with pytest.raises(ValueError, match="nested more than 16 deep"):
        check_onnx(proto)
    monkeypatch.setattr("fintech_dl.estimators.onnx_file.LARGEST", 100)
    with pytest.raises(ArtefactError, match=r"refused: it has [\d,]+ bytes, allowed: 100"):
        open_session(*plain)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": []}, "takes rows of"),
        ({"members": 2}, "not 2 members of 1"),
        ({"members": "1"}, "not 1 members of 1"),
        ({"width": 3}, "not 1 members of 3"),
        ({"classes": [0, 1, 2]}, "3 classes, 1 outputs"),
        ({"kind": "regressor"}, "target_mean"),
        ({"kind": "oracle"}, "oracle"),
        ({"average": "median"}, "median"),
        ({"average": None}, "None"),
        ({"steps": True}, "steps"),
        ({"calibration": {"method": "temperature", "beta": float("inf")}}, "a number that is none"),
        ({"calibration": {"method": "temperature"}}, "beta"),
        ({"calibration": {"method": "eval"}}, "eval"),
        ({"calibration": {"method": "beta", "a": 1, "b": 1}}, "c"),
        ({"calibration": {"method": "temperature", "beta": 1, "shift": "x"}}, "x"),
        ({"calibration": {"method": "temperature", "beta": 1, "shift": float("nan")}}, "none"),
        ({"calibration": {"method": "isotonic", "x": [2, 1], "y": [0, 1]}}, "isotonic"),
        ({"calibration": 3}, "not subscriptable"),
    ],
)
def test_a_record_that_does_not_fit_the_graph_is_refused(plain, change, told):
    with pytest.raises(ArtefactError, match=rf"graph\.json and model\.onnx do not fit .*{told}"):
        open_session(plain[0], {**plain[1], **change})


def test_other_columns_than_in_training_are_refused():
    frame, y = mixed()
    found = light(NeuralClassifier(network=MLP(units=4), **FAST).fit(frame, y))
    with pytest.raises(ValueError, match=r"new: \['Age'\], missing: \['age'\]"):
        found.encode(frame.rename(columns={"age": "Age"}))
    with pytest.raises(ValueError, match="in their order"):
        found.encode(frame[frame.columns[::-1]])
    with pytest.raises(ValueError, match="X has 3 features, but the model expects 6"):
        found.encode(np.zeros((2, 3)))


def test_what_has_no_graph_says_why():
    three = NeuralClassifier(network=MLP(units=4), **FAST).fit(X, Y + (X[:, 1] > 5))
    calibrated = CalibratedClassifierCV(FrozenEstimator(three), method="sigmoid").fit(
        X, Y + (X[:, 1] > 5)
    )
    with pytest.warns(UserWarning, match="only a calibration of two classes"):
        files = to_files(calibrated)
    assert json.loads(files["parity.json"])["passed"] is False
    assert "model.onnx" not in files
    prices = pd.DataFrame({"price": [Decimal(1), Decimal(2)] * 20})
    model = NeuralClassifier(network=MLP(units=4), categorical=["price"], **FAST)
    model.fit(prices, [0, 1] * 20)
    with pytest.warns(UserWarning, match="its categories or classes are no plain text or numbers"):
        assert "model.onnx" not in to_files(model, trust=["decimal.Decimal"])


def test_without_the_extra_a_model_is_saved_without_a_graph_and_without_a_warning(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "tf2onnx" else find(n))
    model = NeuralClassifier(network=MLP(units=4), **FAST).fit(X, Y)
    files = to_files(model)
    assert sorted(files) == ["model.skops", "parity.json"]
    assert r'pip install "fintech-dl[export]"' in json.loads(files["parity.json"])["reason"]
    np.testing.assert_array_equal(scorer(files)(X), score_rows(model, X))


def test_a_model_trained_on_jax_has_the_same_kind_of_graph(tmp_path):
    code = (
        "import sys, numpy as np, keras; from fintech_dl import LSTM, NeuralClassifier, save\n"
        "assert keras.backend.backend() == 'jax'\n"
        "X = np.load(sys.argv[1] + '/X.npy'); y = np.load(sys.argv[1] + '/y.npy')\n"
        "m = NeuralClassifier(network=LSTM(units=4, channels=2), epochs=1, random_state=0)\n"
        "m.fit(X, y); save(m, sys.argv[1] + '/model')\n"
        "np.save(sys.argv[1] + '/own.npy', m.predict_proba(X)[:, 1])\n"
    )
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", Y)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    files = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    parity = json.loads(files["parity.json"])
    assert (parity["passed"], parity["backend"]) == (True, "jax")
    own = np.load(tmp_path / "own.npy")
    np.testing.assert_allclose(scorer(files)(X), own, rtol=0, atol=1e-6)
