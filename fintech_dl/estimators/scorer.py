"""A fitted estimator as a graph and its record: scores without Keras, scikit-learn and pandas."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from fintech_dl.errors import ArtefactError, UsageError
from fintech_dl.estimators.arrays import encode_arrays
from fintech_dl.estimators.columns import Columns, encode_columns
from fintech_dl.estimators.members import GRID, average
from fintech_dl.estimators.onnx_file import check_onnx
from fintech_dl.sealed import FORMAT, GRAPH, MODEL, ONNX, PARITY

BLOCK = 1024
KINDS = ("classifier", "regressor", "detector", "encoder")
TARGET = ("target_mean", "target_scale")
TARGETS_EACH = ("NeuralRegressor", "NeuralVolatilityRegressor")  # one output each, no quantiles
CALIBRATIONS = {
    "temperature": ("beta",),
    "sigmoid": ("a", "b"),
    "isotonic": ("x", "y"),
    "beta": ("a", "b", "c"),
}
AVERAGES = ("mean", "logit", "probability", "rank")


@dataclass(frozen=True, eq=False)
class Scorer:
    """What a graph and its record compute.

    Attributes
    ----------
    record : dict
        JSON-plain: ``kind``, ``columns``, ``members``, ``width``, ``average`` and ``quantiles`` (as
        of ``members.average``), ``classes``, ``target_mean`` and ``target_scale``, ``log``
        (whether predictions are the exponential of the averaged outputs), ``offset`` (None where no
        threshold is set), ``calibration``, and ``steps``: the class names of the scikit-learn steps
        that come before the network.
    session : onnxruntime.InferenceSession
    """

    record: dict[str, Any]
    session: Any

    @property
    def columns(self) -> Columns:
        """Name, kind and categories of each column of the matrix."""
        columns: Columns = self.record["columns"]
        return columns

    def encode(self, X: Any) -> np.ndarray:
        """Return a frame, an array or a mapping of arrays as the float32 matrix that scores take.

        Raises
        ------
        ValueError
            Other columns than in training, or values that float32 cannot hold.
        """
        names = [column["name"] for column in self.columns]
        if isinstance(X, Mapping) or (self.record["named"] and hasattr(X, "columns")):
            came = list(X) if isinstance(X, Mapping) else [str(name) for name in X.columns]
            if came != names:
                odd = [name for name in came if name not in names]
                lacking = [name for name in names if name not in came]
                raise ValueError(
                    "The feature names should match those of the training rows, in their order; "
                    f"new: {odd}, missing: {lacking}"
                )
        elif X.shape[1] != len(names):
            raise ValueError(f"X has {X.shape[1]} features, but the model expects {len(names)}")
        return (encode_arrays if isinstance(X, Mapping) else encode_columns)(X, self.columns)

    def members(self, matrix: np.ndarray) -> np.ndarray:
        """Return what each member of the network gives: float32 (n_members, n_rows, width).

        Rows run in zero-padded blocks of one size, so that a row's result depends neither on its
        neighbours nor on how many there are.
        """
        (x,) = self.session.get_inputs()
        found = [np.zeros((self.record["members"], 0, self.record["width"]), dtype=np.float32)]
        for start in range(0, len(matrix), BLOCK):
            rows = block = matrix[start : start + BLOCK]
            if len(rows) < BLOCK or not rows.flags.c_contiguous:
                block = np.zeros((BLOCK, matrix.shape[1]), dtype=np.float32)
                block[: len(rows)] = rows
            try:
                (result,) = self.session.run(None, {x.name: block})
            except Exception as error:
                raise ArtefactError(f"{ONNX} cannot be run: {error}") from error
            if result.shape != (self.record["members"], BLOCK, self.record["width"]):
                raise ArtefactError(
                    f"{ONNX} gave {result.shape} for {BLOCK} rows; do not use it, retrain"
                )
            found.append(result[:, : len(rows)])
        return np.concatenate(found, axis=1)

    def outputs(self, matrix: np.ndarray) -> np.ndarray:
        """Return logits, predictions, anomaly scores or codes: float64 (n_rows, width).

        Of several members their average, but all codes side by side.
        """
        found = self.members(matrix).astype(np.float64)
        if self.record["kind"] == "encoder":
            return np.hstack(list(found))
        if self.record["kind"] == "regressor":
            mean, scale = (_of_members(self.record[name]) for name in TARGET)
            found = found * scale + mean
        quantiles = self.record["quantiles"]
        averaged = average(
            found,
            self.record["average"],
            None if quantiles is None else np.asarray(quantiles),
        )
        return np.exp(averaged) if self.record.get("log") else averaged

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probabilities of all classes that a classifier's logits mean, calibrated."""
        calibration = self.record["calibration"]
        if calibration is None:
            return _probabilities(outputs)
        x = outputs[:, 0]
        if calibration["method"] == "temperature":
            p = expit(2.0 * calibration["beta"] * x)
        elif calibration["method"] == "sigmoid":
            p = expit(-(calibration["a"] * x + calibration["b"]))
        elif calibration["method"] == "beta":
            low, high = -np.logaddexp(0.0, -x), np.logaddexp(0.0, x)
            p = expit(calibration["a"] * low + calibration["b"] * high + calibration["c"])
        else:
            p = np.interp(x, calibration["x"], calibration["y"])
        p = shifted(p, calibration.get("shift", 0.0))
        return np.column_stack([1.0 - p, p])

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """Return one score per row: the second class's probability, anomaly score, or prediction.

        Parameters
        ----------
        matrix : float32 array of shape (n_rows, n_columns)
            As ``encode`` returns it.

        Returns
        -------
        float64 array of shape (n_rows,), of several targets (n_rows, n_targets)

        Raises
        ------
        UsageError
            A model that gives more than one number per row, and not one per target.
        """
        if self.record["width"] > 1 and self.record["estimator"] in TARGETS_EACH:
            return self.outputs(matrix)
        if self.record["width"] != 1 or self.record["kind"] == "encoder":
            raise UsageError(
                f"the {self.record['kind']} gives {self.record['width']} numbers per row, not one "
                "score; use `probabilities` or `outputs`"
            )
        found = self.outputs(matrix)
        if self.record["kind"] == "classifier":
            return np.asarray(self.probabilities(found)[:, 1])
        return np.asarray(found[:, 0])


def open_graph(
    files: Mapping[str, bytes], where: str = "the artefact", *, threads: int = 1
) -> Scorer:
    """Return the scorer of an artefact's files ``model.onnx``, ``graph.json``, ``parity.json``.

    Parameters
    ----------
    files : mapping of str to bytes
    where : str
        Begins an error text.
    threads : int, default=1
        Threads of one block; scores are bit-equal on one machine for one number of threads.

    Returns
    -------
    Scorer

    Raises
    ------
    ArtefactError
        A file is missing, is not of this model, or holds what a model of ours never does; or the
        proof that the graph gives the model's own scores is missing or failed.
    """
    for name in (ONNX, GRAPH, PARITY):
        if name not in files:
            raise ArtefactError(f"{where}: holds no {name}; copy the artefact again, or retrain")
    record, parity = (_read(files[name], name, where) for name in (GRAPH, PARITY))
    if parity.get("passed") is not True:
        raise ArtefactError(
            f"{where}: {PARITY} does not say that {ONNX} gives the model's own scores; "
            "do not use it, save the model again"
        )
    for name in (MODEL, ONNX, GRAPH):
        if parity.get("sha256", {}).get(name) != sha256(files.get(name, b"")).hexdigest():
            raise ArtefactError(
                f"{where}: {PARITY} is the proof of another {name}; do not use it, copy the "
                "artefact again or retrain"
            )
    return open_session(files[ONNX], record, where, threads=threads)


def open_session(
    onnx: bytes, record: Mapping[str, Any], where: str = "the graph", *, threads: int = 1
) -> Scorer:
    """Return the scorer of a graph and its record, before there is a proof."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would report over the network
    import onnxruntime

    try:
        check_onnx(onnx)
    except ValueError as error:
        raise ArtefactError(f"{where}: {ONNX} is refused: {error}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtefactError(f"{where}: {ONNX} cannot be used: {error}") from error
    try:
        _check(record, session)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactError(
            f"{where}: {GRAPH} and {ONNX} do not fit together ({error!s}); copy the artefact "
            "again, or retrain"
        ) from error
    return Scorer(dict(record), session)


def expit(x: np.ndarray) -> np.ndarray:
    """Return the logistic function, exact at both ends."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def shifted(p: np.ndarray, shift: float) -> np.ndarray:
    """Return probabilities whose log odds are higher by ``shift``; 0 and 1 stay."""
    if shift == 0:
        return p
    raised = p * np.exp(shift)
    return np.asarray(raised / (1.0 - p + raised))


def _of_members(values: Any) -> np.ndarray:
    """Return numbers per output, or per member and output, as they meet (members, rows, width)."""
    array = np.asarray(values, dtype=np.float64)
    return array if array.ndim == 1 else array[:, None]


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of all classes; one logit means two classes."""
    if logits.shape[-1] == 1:
        p = expit(logits)
        return np.concatenate([1.0 - p, p], axis=-1)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _read(data: bytes, name: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(data)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ValueError(f"expected a record of format {FORMAT}")
    except (ValueError, RecursionError) as error:
        raise ArtefactError(
            f"{where}: {name} cannot be read ({error}); use the version of fintech_dl that saved "
            "it, or retrain"
        ) from error
    return record


def _check(record: Mapping[str, Any], session: Any) -> None:
    """Raise ValueError, KeyError or TypeError unless the record describes this very graph."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(f"the graph has {len(inputs)} inputs and {len(outputs)} outputs")
    if {inputs[0].type, outputs[0].type} != {"tensor(float)"}:
        raise ValueError(f"the graph takes {inputs[0].type} and gives {outputs[0].type}")
    columns = record["columns"]
    if list(inputs[0].shape[1:]) != [len(columns)]:
        raise ValueError(f"the graph takes rows of {inputs[0].shape[1:]}, not {len(columns)}")
    for column in columns:
        if column["kind"] not in ("number", "category") or not isinstance(column["name"], str):
            raise ValueError(f"column {column['name']!r}")
        set(column["categories"])
    members, width, kind = record["members"], record["width"], record["kind"]
    shape = outputs[0].shape
    if len(shape) != 3 or [shape[0], shape[2]] != [members, width]:
        raise ValueError(f"the graph gives {shape}, not {members} members of {width}")
    if kind not in KINDS or record["average"] not in AVERAGES:
        raise ValueError(f"kind {kind!r}, average {record['average']!r}")
    if not isinstance(record["steps"], list) or not isinstance(record["named"], bool):
        raise ValueError("its steps")
    numbers: list[Any] = []
    if record["average"] == "rank" and members > 1:
        quantiles = np.asarray(record["quantiles"], dtype=np.float64)
        if quantiles.shape != (members, len(GRID), width):
            raise ValueError(f"quantiles of shape {quantiles.shape}")
        numbers = quantiles.ravel().tolist()
    if kind == "classifier":
        n = len(record["classes"])
        if n < 2 or width != (1 if n == 2 else n):
            raise ValueError(f"{n} classes, {width} outputs")
    elif kind == "regressor":
        for name in TARGET:
            target = _of_members(record[name])
            if target.shape not in ((width,), (members, 1, width)):
                raise ValueError(f"{name} of shape {target.shape}")
            numbers += target.ravel().tolist()
        if not isinstance(record.get("log", False), bool):
            raise ValueError(f"log {record['log']!r}")
    elif kind == "detector":
        numbers += [] if record["offset"] is None else [record["offset"]]
    if (calibration := record["calibration"]) is not None:
        if kind != "classifier" or width != 1:
            raise ValueError("a calibration of what is no classifier of two classes")
        values = [calibration[part] for part in CALIBRATIONS[calibration["method"]]]
        if calibration["method"] == "isotonic":
            if not 0 < len(values[0]) == len(values[1]) or values[0] != sorted(values[0]):
                raise ValueError("its isotonic calibration")
            values = [*values[0], *values[1]]
        numbers = [*numbers, *values, calibration.get("shift", 0.0)]
    if not np.isfinite(np.asarray(numbers, dtype=np.float64)).all():
        raise ValueError("a number that is none")
