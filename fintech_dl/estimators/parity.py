"""The proof that a graph gives its model's own scores, on rows made to break it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from sklearn.calibration import _CalibratedClassifier

from fintech_dl.estimators.base import NeuralEstimator
from fintech_dl.estimators.graph import parts, rebuilt
from fintech_dl.estimators.scorer import TARGET, Scorer
from fintech_dl.networks.base import keras
from fintech_dl.sealed import FORMAT

ROWS = 10_000
SEED = 2026
FAR = 10.0  # standard deviations; further off, sums of large numbers cost float32 its last digits
TOLERANCE, TOLERANCE_FAR = 1e-5, 1e-3
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
        JSON-plain. Of the rows within 10 standard deviations of the training rows: ``rows``,
        ``tolerance``, ``max_abs`` and ``max_rel``, the largest difference of a final number
        (probability, anomaly score, code, prediction in standard deviations of the target), as it
        is, and divided by the number where that is above 1; ``max_rel_outputs``, that of the raw
        outputs; None where one is not finite. ``far``: the same of the rows further off.
        ``flips``: rows whose class or alert differs by more than such a difference. ``passed``:
        everything is finite, no relative difference is above its tolerance, and nothing flips.
    """
    found = parts(model)
    assert found is not None
    estimator, _, calibration = found
    matrix = hard_rows(estimator, rows)
    outputs, own = scorer.outputs(matrix), _own_outputs(estimator, matrix)
    finals, own_finals = outputs, own
    if scorer.record["kind"] == "classifier":
        finals = scorer.probabilities(outputs)
        own_finals = _own_probabilities(estimator, calibration, matrix, outputs)
    elif scorer.record["kind"] == "regressor":
        mean, scale = (np.atleast_2d(scorer.record[name]).mean(axis=0) for name in TARGET)
        outputs, own = (outputs - mean) / scale, (own - mean) / scale
        finals, own_finals = outputs, own
    far = _distance(estimator, matrix) > FAR
    compared = (finals, own_finals, outputs, own)
    near = _differences(~far, TOLERANCE, *compared)
    beyond = _differences(far, TOLERANCE_FAR, *compared)
    flips = _flips(scorer, finals, own_finals)
    return {
        "format": FORMAT,
        "passed": _is_close(near) and _is_close(beyond) and flips == 0,
        "flips": flips,
        **near,
        "far": beyond,
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
    for method in ("anomaly_score", "decision_function", "transform", "predict"):
        if hasattr(twin, method):
            found = np.asarray(getattr(twin, method)(matrix), dtype=np.float64)
            return found[:, None] if found.ndim == 1 else found
    raise TypeError(type(estimator).__name__)


def _own_probabilities(
    estimator: NeuralEstimator, calibration: Any, matrix: np.ndarray, outputs: np.ndarray
) -> np.ndarray:
    """Return the probabilities that the model itself gives for encoded rows.

    An isotonic calibration has steps, where no difference of its input is small enough; it is
    applied to the graph's own outputs, which are compared before it.
    """
    if calibration is None:
        return np.asarray(_twin(estimator).predict_proba(matrix), dtype=np.float64)
    (fitted,) = calibration.calibrated_classifiers_
    if calibration.method == "isotonic":
        p = np.asarray(fitted.calibrators[0].predict(outputs[:, 0]), dtype=np.float64)
        return np.column_stack([1.0 - p, p])
    again = _CalibratedClassifier(
        _twin(estimator), fitted.calibrators, classes=fitted.classes, method=fitted.method
    )
    return np.asarray(again.predict_proba(matrix), dtype=np.float64)


def _distance(estimator: NeuralEstimator, matrix: np.ndarray) -> np.ndarray:
    """Return how many standard deviations each row is off, in its furthest column."""
    mean, scale = _centre(estimator)
    numbers = np.array([column["kind"] == "number" for column in estimator.columns_])
    off = np.abs((matrix.astype(np.float64) - mean) / scale)[:, numbers]
    return np.asarray(np.nan_to_num(off).max(axis=1, initial=0.0))


def _flips(scorer: Scorer, ours: np.ndarray, own: np.ndarray) -> int:
    """Count the rows with another class or alert, but not those at the cut itself."""
    kind = scorer.record["kind"]
    if kind == "classifier":
        gap, own_gap = (np.diff(np.sort(p, axis=1)[:, -2:], axis=1)[:, 0] for p in (ours, own))
        differ = ours.argmax(axis=1) != own.argmax(axis=1)
        at_the_cut = np.maximum(gap, own_gap) <= 2 * TOLERANCE
    elif kind == "detector":
        cut = -scorer.record["offset"]
        differ = (ours[:, 0] > cut) != (own[:, 0] > cut)
        at_the_cut = _relative(np.full_like(own, cut), own)[:, 0] <= TOLERANCE
    else:
        return 0
    return int((differ & ~at_the_cut).sum())


def _differences(
    at: np.ndarray,
    tolerance: float,
    finals: np.ndarray,
    own_finals: np.ndarray,
    outputs: np.ndarray,
    own: np.ndarray,
) -> dict[str, Any]:
    with np.errstate(invalid="ignore"):  # of infinity and infinity
        return {
            "rows": int(at.sum()),
            "tolerance": tolerance,
            "max_abs": _largest(np.abs(finals - own_finals)[at]),
            "max_rel": _largest(_relative(finals, own_finals)[at]),
            "max_rel_outputs": _largest(_relative(outputs, own)[at]),
        }


def _is_close(found: dict[str, Any]) -> bool:
    differences = (found["max_rel"], found["max_rel_outputs"])
    return all(d is not None and d <= found["tolerance"] for d in differences)


def _relative(ours: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(ours - own) / np.maximum(1.0, np.abs(own)))


def _largest(differences: np.ndarray) -> float | None:
    """Return the largest number, 0 of none; None where one is not finite, as JSON has it."""
    largest = float(differences.max(initial=0.0))
    return largest if np.isfinite(largest) else None


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
