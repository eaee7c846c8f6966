"""A fitted neural estimator as an ONNX graph and a plain record: what scores without Keras.

The state is arrays, so the graph is always made on the TensorFlow backend: in this process if that
is the one in use, else in a process of its own.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from fintech_dl.errors import require
from fintech_dl.estimators.base import NeuralEstimator
from fintech_dl.estimators.classifier import NeuralClassifier
from fintech_dl.estimators.detector import NeuralDetector
from fintech_dl.estimators.encoder import NeuralEncoder
from fintech_dl.estimators.regressor import NeuralRegressor
from fintech_dl.estimators.scorer import CALIBRATIONS
from fintech_dl.estimators.volatility import NeuralVolatilityRegressor
from fintech_dl.networks.backend import keras, quietly
from fintech_dl.sealed import FORMAT

OPSET = 18
SECONDS = 600
KINDS: dict[type, str] = {
    NeuralClassifier: "classifier",
    NeuralRegressor: "regressor",
    NeuralDetector: "detector",
    NeuralEncoder: "encoder",
}
CHILD = """
import sys
import skops.io
from fintech_dl.estimators.graph import export
state, out = sys.argv[1:]
model = skops.io.load(state, trusted=skops.io.get_untrusted_types(file=state))
open(out, "wb").write(export(model))
"""


def parts(model: Any) -> tuple[NeuralEstimator, list[Any], Any] | None:
    """Return a model's neural estimator, the steps before it, and the calibration around both.

    None where the model does not end in one of our estimators.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from fintech_dl.estimators.graph import parts
    >>> parts(DummyClassifier()) is None
    True
    """
    model, calibration = _inside(model)
    steps: list[Any] = []
    if isinstance(model, Pipeline):
        steps = [step for _, step in model.steps[:-1] if step not in (None, "passthrough")]
        model = model.steps[-1][1]
    return (model, steps, calibration) if isinstance(model, NeuralEstimator) else None


def before(model: Any) -> Any:
    """Return the part of a model that turns raw rows into what its network takes, if any."""
    model, _ = _inside(model)
    return model[:-1] if isinstance(model, Pipeline) and len(model) > 1 else None


def _inside(model: Any) -> tuple[Any, Any]:
    """Return what a calibration lies around, and the calibration; also without split intervals.

    These leave the forecasts inside as they are.
    """
    kept = getattr(model, "estimator_", None)
    if isinstance(kept, FrozenEstimator) and getattr(model, "method", "") == "split":
        model = kept.estimator
    if isinstance(model, CalibratedClassifierCV) and isinstance(model.estimator, FrozenEstimator):
        return model.estimator.estimator, model
    return model, None


def describe(model: Any) -> dict[str, Any]:
    """Return the record that goes with a model's graph, JSON-plain: see ``scorer.Scorer``.

    Raises
    ------
    ValueError
        Something that a record cannot hold: categories that are no text and no numbers, or a
        calibration of another kind than a pipeline card's.
    """
    found = parts(model)
    if found is None:
        raise ValueError(f"{type(model).__name__} does not end in a neural estimator")
    estimator, steps, calibration = found
    kind = next(name for cls, name in KINDS.items() if isinstance(estimator, cls))
    record: dict[str, Any] = {
        "format": FORMAT,
        "kind": kind,
        "estimator": type(estimator).__name__,
        "network": type(estimator._network()).__name__,
        "columns": estimator.columns_,
        "named": hasattr(estimator, "feature_names_in_"),
        "steps": [type(step).__name__ for step in steps],
        "members": len(estimator.members_),
        **_averaging(estimator),
        "width": _width(estimator),
        "calibration": None if calibration is None else _calibration(calibration),
    }
    if isinstance(estimator, NeuralClassifier):
        record["classes"] = estimator.classes_.tolist()
    elif isinstance(estimator, NeuralRegressor):
        record["target_mean"] = estimator.target_mean_.tolist()
        record["target_scale"] = estimator.target_scale_.tolist()
        record["log"] = isinstance(estimator, NeuralVolatilityRegressor)
    elif isinstance(estimator, NeuralDetector):
        offset = getattr(estimator, "offset_", None)
        record["offset"] = None if offset is None else float(offset)
    try:
        plain: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"its categories or classes are no plain text or numbers: {error}"
        ) from error
    return plain


def rebuilt(estimator: NeuralEstimator, member: int = 0) -> Any:
    """Return a new Keras model of one member, its weights set; what is in use stays untouched."""
    model = estimator._build(estimator._network())
    model.set_weights(estimator._member_weights()[member])
    return model


def export(estimator: NeuralEstimator) -> bytes:
    """Return a fitted neural estimator as an ONNX file.

    It takes the float32 matrix of ``encode_columns`` as ``x`` of shape (n_rows, n_columns), and
    gives, per member of the network, what the estimator makes its results of: logits, standardised
    predictions, anomaly scores or codes, as (n_members, n_rows, width).

    Parameters
    ----------
    estimator : fitted NeuralClassifier, NeuralRegressor, NeuralDetector or NeuralEncoder

    Returns
    -------
    bytes

    Raises
    ------
    NotInstalledError
        TensorFlow or tf2onnx is missing, whatever the backend in use.
    ValueError
        The network computes in another type than float32, or cannot be exported.

    Examples
    --------
    >>> from fintech_dl import MLP, NeuralClassifier
    >>> from fintech_dl.estimators.graph import export
    >>> model = NeuralClassifier(network=MLP(units=4), epochs=1).fit([[0.0], [1.0]], [0, 1])
    >>> len(export(model)) > 500
    True
    """
    require("tf2onnx", "export")
    require("tensorflow", "tensorflow")
    k = keras()
    if k.config.floatx() != "float32" or k.config.dtype_policy().name != "float32":
        raise ValueError(
            f"Keras computes in {k.config.dtype_policy().name}; only float32 is exported. Set "
            'keras.config.set_dtype_policy("float32") and fit again'
        )
    if k.backend.backend() != "tensorflow" or _has_gpu():
        return _export_elsewhere(estimator)
    import tensorflow as tf

    with _silent():
        import onnx
        import tf2onnx

        functions = [
            _function(estimator, rebuilt(estimator, member))
            for member in range(len(estimator.members_))
        ]

        def graph(x: Any) -> Any:
            return tf.stack([function(x) for function in functions])

        shape = tf.TensorSpec((None, len(estimator.columns_)), tf.float32, name="x")
        compiled = tf.function(graph, autograph=False)
        proto, _ = tf2onnx.convert.from_function(
            compiled,
            input_signature=[shape],
            opset=OPSET,
            custom_op_handlers={
                "Erfc": (_one_less, ["Erf", True]),
                "Expm1": (_one_less, ["Exp", False]),
            },
        )
        onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


def _one_less(graph: Any, node: Any, name: str, args: list[Any]) -> None:
    """Write what Keras' GELU and CELU use and ONNX lacks: 1 - erf(x), and exp(x) - 1."""
    known, shapes, types = node.type, node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    one = graph.make_const(f"{name}_one", np.array(1, dtype=np.float32)).output[0]
    value = graph.make_node(known, node.input, shapes=shapes, dtypes=types).output[0]
    inputs = [one, value] if args == [True] else [value, one]
    graph.make_node("Sub", inputs, name=name, outputs=node.output, shapes=shapes, dtypes=types)


def _function(estimator: NeuralEstimator, model: Any) -> Callable[[Any], Any]:
    """Return what one member's model gives for rows: (n_rows, width)."""
    if isinstance(estimator, NeuralDetector):
        network = estimator._network()
        return lambda x: network.anomaly_score(model, x)[:, None]
    part = "features" if isinstance(estimator, NeuralEncoder) else "outputs"
    return lambda x: model(x, training=False)[part]


def _averaging(estimator: NeuralEstimator) -> dict[str, Any]:
    """Return how the outputs of the members become one: see ``members.average``."""
    quantiles = estimator.quantiles_.tolist() if estimator._ranked else None
    return {"average": estimator._how(), "quantiles": quantiles}


def _width(estimator: NeuralEstimator) -> int:
    if isinstance(estimator, NeuralClassifier):
        return 1 if len(estimator.classes_) == 2 else len(estimator.classes_)
    if isinstance(estimator, NeuralRegressor):
        return int(estimator.target_mean_.shape[-1])
    if isinstance(estimator, NeuralEncoder):
        return estimator._n_features_out // len(estimator.members_)
    return 1


def _calibration(model: CalibratedClassifierCV) -> dict[str, Any]:
    """Return the numbers of a calibration of two classes."""
    fitted = model.calibrated_classifiers_
    if len(fitted) != 1 or len(model.classes_) != 2 or len(fitted[0].calibrators) != 1:
        raise ValueError("only a calibration of two classes, fitted once, is exported")
    (calibrator,) = fitted[0].calibrators
    found: dict[str, Any] = {"method": model.method, "shift": getattr(model, "shift_", 0.0)}
    if model.method == "isotonic":
        x, y = calibrator.X_thresholds_, calibrator.y_thresholds_
        return {**found, "x": x.tolist(), "y": y.tolist()}
    names = CALIBRATIONS[model.method]
    return found | {name: float(getattr(calibrator, f"{name}_")) for name in names}


def _has_gpu() -> bool:
    """Tell whether recurrent layers might be traced as operators that only a GPU has."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _export_elsewhere(estimator: NeuralEstimator) -> bytes:
    """Export in a process of its own, on TensorFlow and without a GPU."""
    import skops.io

    settings = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with tempfile.TemporaryDirectory() as folder:
        state, out = Path(folder, "state.skops"), Path(folder, "model.onnx")
        skops.io.dump(estimator, state)
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(state), str(out)],
            env={**os.environ, **settings, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise ValueError(f"exporting in a process of its own failed: {last}")
        return out.read_bytes()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the warnings and log lines of the libraries off the terminal."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with quietly(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
