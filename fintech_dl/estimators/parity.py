"""The proof that a graph gives its model's own scores, on rows made to break it."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from sklearn.calibration import _CalibratedClassifier

from fintech_dl.estimators.base import NeuralEstimator
from fintech_dl.estimators.graph import parts, rebuilt
from fintech_dl.estimators.scorer import TARGET, Scorer, shifted
from fintech_dl.networks.backend import keras
from fintech_dl.sealed import FORMAT

ROWS = 10_000
SEED = 2026
TOLERANCE = 1e-5
OF = {
    "classifier": "probabilities",
    "regressor": "predictions in standard deviations of the target, relative where above 1",
    "log": "logarithms of predictions, relative where above 1",
    "detector": "anomaly scores, relative where above 1",
    "encoder": "codes, relative where above 1",
}
LIBRARIES = ("fintech-dl", "numpy", "keras", "tensorflow", "onnx", "tf2onnx", "onnxruntime")
LARGEST = float(np.finfo(np.float32).max)
LEAST = float(np.finfo(np.float32).smallest_subnormal)
IN_SCALES = (1e3, -1e3)
AS_THEY_ARE = (1e30, -1e30, LARGEST, -LARGEST, 0.0, -0.0, LEAST, -LEAST, np.nan)


def prove(model: Any, scorer: Scorer, rows: int = ROWS) -> dict[str, Any]:
    """Compare a graph with the model that it was made of.

    Parameters
    ----------
    model : fitted estimator or Pipeline that ends in a neural estimator
    scorer : Scorer
        Of the model's graph.
    rows : int
        How many of `hard_rows` to compare on.

    Returns
    -------
    dict
        JSON-plain. ``rows``; ``of``, what is compared: what the model is asked for, that is
        probabilities (calibrated, and before an isotonic calibration), predictions in standard
        deviations of the target, logarithms of variances, anomaly scores or codes; ``max_rel``, the
        largest difference, divided by the number where that is above 1, and ``max_abs``, undivided;
        None where an output is not finite. ``tolerance``: what ``max_rel`` may be, on every row.
        ``flips``: rows whose class or alert differs by more than such a difference. ``passed``:
        everything is finite, ``max_rel`` is within the tolerance, and nothing flips.
    """
    found = parts(model)
    assert found is not None
    estimator, _, calibration = found
    matrix = hard_rows(estimator, rows)
    ours, own = scorer.outputs(matrix), _own_outputs(estimator, matrix)
    logs = bool(scorer.record.get("log"))
    finite = bool(np.isfinite(ours).all() and np.isfinite(own).all())
    if scorer.record["kind"] == "classifier":
        own = _own_probabilities(estimator, calibration, matrix, ours)
        ours = _all_probabilities(scorer, ours)
    elif logs:
        with np.errstate(divide="ignore", invalid="ignore"):
            ours, own = np.log(ours), np.log(own)
        finite = bool(np.isfinite(ours).all() and np.isfinite(own).all())
    elif scorer.record["kind"] == "regressor":
        mean, scale = (np.atleast_2d(scorer.record[name]).mean(axis=0) for name in TARGET)
        ours, own = (ours - mean) / scale, (own - mean) / scale
    flips = _flips(scorer, ours, own)
    max_abs = float(np.abs(ours - own).max()) if finite else None
    max_rel = float(_relative(ours, own).max()) if finite else None
    return {
        "format": FORMAT,
        "passed": max_rel is not None and max_rel <= TOLERANCE and flips == 0,
        "rows": len(matrix),
        "of": OF["log" if logs else scorer.record["kind"]],
        "tolerance": TOLERANCE,
        "max_rel": max_rel,
        "max_abs": max_abs,
        "flips": flips,
        "seed": SEED,
        "backend": keras().backend.backend(),
        "versions": _versions(),
    }


def hard_rows(estimator: NeuralEstimator, n: int = ROWS, seed: int = SEED) -> np.ndarray:
    """Return rows made of the fitted state alone, many of them as no data would have them.

    A half is drawn around each column's mean, with heavy tails and missing values; the others have
    one column, or all, at an extreme of float32, a thousand standard deviations off, or missing;
    some are all zeros. Every category appears. Windows have padded steps.

    Returns
    -------
    float32 array of shape (n, n_columns)
    """
    rng = np.random.default_rng(seed)
    mean, scale = _centre(estimator)
    columns = estimator.columns_
    width = len(columns)
    tails = rng.choice([0.0, 1.0], size=(n, 1)) * rng.standard_t(3, size=(n, width))
    rows = mean + scale * (rng.normal(size=(n, width)) + tails)
    extremes = np.vstack(
        [
            *(mean + scale * times for times in IN_SCALES),
            *(np.full(width, value) for value in AS_THEY_ARE),
        ]
    )
    rows[n // 4 : n // 4 + len(extremes)] = extremes
    odd = np.arange(n // 2, n)
    which = rng.permutation(np.arange(len(odd)) % extremes.size)
    at = which % width
    rows[odd, at] = extremes[which // width, at]
    rows[n // 8 : n // 4][rng.random((n // 4 - n // 8, width)) < 0.2] = np.nan
    rows[:2] = 0.0
    for i, column in enumerate(columns):
        if column["kind"] == "category":
            rows[:, i] = rng.permutation(np.arange(n) % (len(column["categories"]) + 1))
    names = [column["name"].rpartition("@-") for column in columns]
    present = [i for i, (channel, _, _) in enumerate(names) if channel == "present"]
    if present:  # oldest first: the first steps are padding
        step = np.searchsorted(present, np.arange(width))
        padded = step[None] < rng.integers(0, len(present), size=(n, 1))
        rows[padded] = 0.0
        rows[:, present] = ~padded[:, present]
    with np.errstate(over="ignore"):
        return np.clip(rows, -LARGEST, LARGEST).astype(np.float32)


def _centre(estimator: NeuralEstimator) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale of each column, as the network's first layer learned them."""
    width = len(estimator.columns_)
    layer = rebuilt(estimator).get_layer("encoding")
    mean, scale = np.zeros(width), np.ones(width)
    if not hasattr(layer, "mean") or not hasattr(layer, "scale"):
        return mean, scale
    at = getattr(layer, "numbers", np.arange(width))
    for target, values in ((mean, layer.mean), (scale, layer.scale)):
        learned = np.asarray(values, dtype=np.float64)
        if len(learned) and len(at) % len(learned) == 0:
            target[at] = np.tile(learned, len(at) // len(learned))
    return mean, scale


def _twin(estimator: NeuralEstimator) -> Any:
    """Return the estimator over again, with the same live model, but taking encoded rows."""
    estimator._live()
    twin = object.__new__(type(estimator))
    twin.__dict__.update(estimator.__dict__, _rows=lambda X, reset=False: X)
    return twin


def _own_outputs(estimator: NeuralEstimator, matrix: np.ndarray) -> np.ndarray:
    """Return what the estimator itself gives for encoded rows, as (n_rows, width)."""
    twin = _twin(estimator)
    methods = "anomaly_score decision_function transform predict_quantiles predict"
    for method in methods.split():
        if hasattr(twin, method):
            found = np.asarray(getattr(twin, method)(matrix), dtype=np.float64)
            return found.reshape(len(matrix), -1)
    raise TypeError(type(estimator).__name__)


def _own_probabilities(
    estimator: NeuralEstimator, calibration: Any, matrix: np.ndarray, outputs: np.ndarray
) -> np.ndarray:
    """Return the probabilities that the model itself gives for encoded rows.

    An isotonic calibration has steps, where no difference of its input is small enough; it is
    applied to the graph's own outputs, beside the probabilities before it.
    """
    if calibration is None:
        return np.asarray(_twin(estimator).predict_proba(matrix), dtype=np.float64)
    (fitted,) = calibration.calibrated_classifiers_
    if calibration.method == "isotonic":
        p = np.asarray(fitted.calibrators[0].predict(outputs[:, 0]), dtype=np.float64)
        p = shifted(p, getattr(calibration, "shift_", 0.0))
        before = _own_probabilities(estimator, None, matrix, outputs)
        return np.column_stack([1.0 - p, p, before])
    again = copy(calibration)
    again.calibrated_classifiers_ = [
        _CalibratedClassifier(
            _twin(estimator), fitted.calibrators, classes=fitted.classes, method=fitted.method
        )
    ]
    return np.asarray(again.predict_proba(matrix), dtype=np.float64)


def _all_probabilities(scorer: Scorer, outputs: np.ndarray) -> np.ndarray:
    """Return the probabilities that a graph's outputs mean, as `_own_probabilities` has them."""
    found = scorer.probabilities(outputs)
    if (scorer.record["calibration"] or {}).get("method") != "isotonic":
        return found
    plain = replace(scorer, record={**scorer.record, "calibration": None})
    return np.hstack([found, plain.probabilities(outputs)])


def _flips(scorer: Scorer, ours: np.ndarray, own: np.ndarray) -> int:
    """Count the rows with another class or alert, but not those at the cut itself."""
    kind = scorer.record["kind"]
    if kind == "classifier":
        n = len(scorer.record["classes"])
        ours, own = ours[:, :n], own[:, :n]
        gap, own_gap = (np.diff(np.sort(p, axis=1)[:, -2:], axis=1)[:, 0] for p in (ours, own))
        differ = ours.argmax(axis=1) != own.argmax(axis=1)
        at_the_cut = np.maximum(gap, own_gap) <= 2 * TOLERANCE
    elif kind == "detector" and scorer.record["offset"] is not None:
        cut = -scorer.record["offset"]
        differ = (ours[:, 0] > cut) != (own[:, 0] > cut)
        at_the_cut = _relative(np.full_like(own, cut), own)[:, 0] <= TOLERANCE
    else:
        return 0
    return int((differ & ~at_the_cut).sum())


def _relative(ours: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(ours - own) / np.maximum(1.0, np.abs(own)))


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
