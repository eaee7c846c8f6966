"""Integrated gradients: which column moved a network's score away from a reference row's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import log_expit
from sklearn.base import is_classifier, is_regressor

from fintech_dl.errors import UsageError
from fintech_dl.networks.backend import keras
from fintech_dl.networks.encoding import WindowEncoding

ROWS_AT_ONCE = 512  # so that memory is bounded
TOLERANCE = 0.9e-4  # float32 may take the rest of 1e-4
FIRST = np.linspace(0, 1, 17)  # where slopes are taken at first
INSIDE = np.array([0.25, 0.5, 0.75])  # where in a stretch they are taken next
MOST_POINTS = 4096


def integrated_gradients(
    estimator: Any, rows: np.ndarray, reference: np.ndarray, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each column adds to the score on the way from the reference to each row.

    The way is a straight line between the encoded inputs: categories, missing values and special
    codes have no slope of their own, their one-hot columns, vectors and indicators do. What belongs
    to one column is summed. Slopes are taken at more and more points, there where the score bends,
    until the columns together give the difference of the scores.

    Parameters
    ----------
    estimator : fitted NeuralClassifier, NeuralRegressor or NeuralDetector
        With one score per row.
    rows : float32 array of shape (n_rows, n_columns)
        As ``encode_columns`` returns them.
    reference : float32 array of shape (1, n_columns)
    most : int
        Points on the way of a row at which to give up.

    Returns
    -------
    added : float64 array of shape (n_rows, n_columns)
        In the unit of the score: log odds, the target's unit (its logarithm for a
        NeuralVolatilityRegressor), or the anomaly score. A row's sum is
        its score less that of the reference, within 1e-4 (log odds), 1e-4 standard deviations of
        the target, or 1e-4 (above 1 of the difference itself) of an anomaly score.
    points : int array of shape (n_rows,)
        At how many points each row's slopes were taken.

    Raises
    ------
    UsageError
        The estimator has more than one score per row or averages its members by rank, an encoding
        makes one input of several columns, or ``most`` points are not enough.

    Notes
    -----
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks (2017). The trapezoidal rule
    on a grid that is refined where it errs: a network of straight pieces (ReLU) defeats a rule of
    fixed points, of which it needs tens of thousands.
    """
    _check(estimator, most)
    evaluate = _evaluator(estimator, rows, reference)
    parts = [
        _refined(evaluate, estimator, rows[i : i + ROWS_AT_ONCE], most)
        for i in range(0, len(rows), ROWS_AT_ONCE)
    ]
    added, points, gaps = (np.concatenate(found) for found in zip(*parts, strict=True))
    if (gaps > 1).any():
        raise UsageError(
            f"{int((gaps > 1).sum())} of {len(rows)} rows: {most} points do not add up to the "
            f"score, the first is row {int(np.argmax(gaps > 1))} (by position); allow more points, "
            'or use method="exact" with groups of columns'
        )
    return added, points


def _refined(
    evaluate: Callable[..., Any], estimator: Any, rows: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each column adds, points per row, and gap per row in units of what is allowed."""
    n = len(rows)
    at = np.repeat(np.arange(n), len(FIRST))
    t = np.tile(FIRST, n)
    value, slope = evaluate(rows[at], t)
    while True:
        order = np.lexsort((t, at))
        at, t, value, slope = at[order], t[order], value[order], slope[order]
        own = np.flatnonzero(at[1:] == at[:-1])  # the stretch from each point to the next
        row, length, rise = at[own], t[own + 1] - t[own], value[own + 1] - value[own]
        moved = (slope[own + 1] + slope[own]) / 2 * length[:, None]
        gap = rise - moved.sum(axis=1)
        points = np.bincount(at, minlength=n)
        allowed = TOLERANCE * _unit(estimator, np.bincount(row, rise, n))
        # the sum alone may vanish by chance, while columns are still wrong
        both = np.abs(np.bincount(row, gap, n)), np.sqrt(np.bincount(row, gap**2, n))
        wrong = np.maximum(*both) / allowed
        again = (wrong > 1) & (points < most)
        if not again.any():
            added = np.add.reduceat(moved, np.searchsorted(row, np.arange(n)), axis=0)
            return added, points, wrong
        worst = np.zeros(n)
        np.maximum.at(worst, row, np.abs(gap))
        split = again[row] & (np.abs(gap) >= worst[row] / 8)
        more = (t[own][split, None] + INSIDE * length[split, None]).ravel()
        whose = np.repeat(row[split], len(INSIDE))
        new = evaluate(rows[whose], more)
        at, t = np.concatenate([at, whose]), np.concatenate([t, more])
        value, slope = (np.concatenate(pair) for pair in zip((value, slope), new, strict=True))


def _evaluator(
    estimator: Any, every: np.ndarray, reference: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the function of (rows, places on the way) to scores and slopes there.

    Slopes are by column, of shape (n, n_columns), and per whole length of the way.
    """
    function, encoding, line = _slopes(estimator)
    view = estimator._view("slopes", function)
    owners = _owners(estimator, encoding, every, reference)
    if line is not None:
        owners = np.vstack([owners, np.eye(every.shape[1])])

    def evaluate(rows: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = t.astype(np.float32)[:, None]
        outputs = estimator._infer_members(
            view, rows, np.repeat(reference, len(rows), axis=0), places
        ).astype(np.float64)
        values = outputs[:, :, :1]
        shares = _member_slopes(estimator, values[:, :, 0])
        slopes = np.einsum("mn,mnw->nw", shares, outputs[:, :, 1:]) @ owners
        if is_classifier(estimator):
            return estimator._averaged(values)[:, 0], slopes
        if is_regressor(estimator):
            return estimator._in_unit(values, None)[:, 0], slopes
        return estimator._finished(values), slopes

    return evaluate


def _unit(estimator: Any, difference: np.ndarray) -> Any:
    """Return what 1 is on the scale of the score."""
    if is_classifier(estimator):
        return np.ones_like(difference)
    if is_regressor(estimator):
        return np.full_like(difference, estimator.target_scale_.mean())
    return np.maximum(np.abs(difference), 1.0)


def _check(estimator: Any, most: int) -> None:
    name = type(estimator).__name__
    if not isinstance(most, int | np.integer) or most < len(FIRST):
        raise UsageError(f"steps={most!r}; allowed: a whole number, {len(FIRST)} or more")
    if is_classifier(estimator) and len(estimator.classes_) > 2:
        raise UsageError(
            f"the {name} has {len(estimator.classes_)} classes; gradients are of one score, the "
            "log odds of two. Fit one against the rest"
        )
    if is_regressor(estimator) and estimator._shape() > 1:
        raise UsageError(f"the {name} has {estimator._shape()} targets; fit the one to explain")
    if estimator._shape() == 0 and not hasattr(estimator, "anomaly_score"):
        raise UsageError(f"the {name} gives codes and no score, so that there is none to explain")
    if estimator._ranked:
        ways = [f'"{how}"' for how in estimator.averages if how != "rank"]
        raise UsageError(
            "an average by rank has no gradient; average otherwise, which needs no new fit: "
            f".set_params(average={' or '.join(ways)})"
        )


def _slopes(estimator: Any) -> tuple[Callable[..., Any], Any, Any]:
    """Return the function of (model, rows, references, places), and the layers that read raw rows.

    These are the encoding and, if there is one, the linear forecast. Per row the function gives the
    score at that place on the way, how much each encoded input moves it, and each column its line.
    """
    k, network, scored = keras(), estimator._network(), estimator._shape() > 0
    model = estimator._live().model
    encoding = model.get_layer("encoding")
    parts = dict(model.output)
    line = next((layer for layer in model.layers if layer.name == "line"), None)
    if line is not None:
        parts["outputs"] = line.input[0]
    same = [name for name, part in parts.items() if part is encoding.output]
    rest = k.Model(encoding.output, {n: part for n, part in parts.items() if n not in same})
    after = _After(model, lambda z: {**rest(z), **dict.fromkeys(same, z)})

    def score(z: Any) -> Any:
        return after(z)["outputs"][:, 0] if scored else network.anomaly_score(after, z)

    def slopes(model: Any, x: Any, base: Any, t: Any) -> Any:
        ops, begin = k.ops, encoding(base)
        difference = encoding(x) - begin
        place = ops.reshape(t, (-1, *[1] * (len(difference.shape) - 1)))
        value, gradient = _value_and_gradient(score, begin + place * difference)
        moved = ops.reshape(gradient * difference, (-1, int(np.prod(difference.shape[1:]))))
        if line is not None:
            forecast, own = line.slopes(base, x, t)
            value, moved = value + forecast, ops.concatenate([moved, own], axis=1)
        return ops.concatenate([value[:, None], moved], axis=1)

    return slopes, encoding, line


class _After:
    """A model from its encoded inputs on, as a network's score asks for it."""

    def __init__(self, model: Any, parts: Callable[[Any], Any]) -> None:
        self.model, self.parts = model, parts

    def __call__(self, z: Any) -> Any:
        return self.parts(z)

    def get_layer(self, name: str) -> Any:
        """Return a layer of the model; that of the encoding is behind it."""
        return (lambda z: z) if name == "encoding" else self.model.get_layer(name)


def _value_and_gradient(function: Callable[[Any], Any], z: Any) -> tuple[Any, Any]:
    """Return the value of each row and its gradient; no row depends on another."""
    if keras().backend.backend() == "jax":
        import jax

        value, pull = jax.vjp(function, z)
        return value, pull(jax.numpy.ones_like(value))[0]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(z)
        value = function(z)
    return value, tape.gradient(value, z, unconnected_gradients="zero")


def _owners(estimator: Any, encoding: Any, rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return a 0/1 matrix (width, n_columns): which column each encoded input belongs to.

    Found by trying: the reference with the values of one column at a time.
    """
    if isinstance(encoding, WindowEncoding):
        return np.eye(rows.shape[1])
    view = estimator._view("inputs")
    usual = estimator._infer_members(view, reference)
    moved = np.zeros((rows.shape[1], usual.shape[2]), dtype=bool)
    for i, column in enumerate(rows.T):
        values = np.unique(column)
        tried = np.repeat(reference, len(values), axis=0)
        tried[:, i] = values
        changes = np.abs(estimator._infer_members(view, tried) - usual)
        moved[i] = (changes > 1e-6).any(axis=(0, 1))
    if (moved.sum(axis=0) > 1).any():
        raise UsageError(
            f"{type(encoding).__name__} makes one input of several columns, which cannot be told "
            'apart; attribute the score with method="exact"'
        )
    return moved.T.astype(np.float64)


def _member_slopes(estimator: Any, values: np.ndarray) -> np.ndarray:
    """Return by how much the averaged score moves with each member's, shape (n_members, n)."""
    share = np.full(values.shape, 1 / len(values))
    if hasattr(estimator, "target_scale_"):
        return np.asarray(share * estimator.target_scale_.reshape(-1, 1))
    if len(values) > 1 and estimator._how() == "probability":
        yes, no = log_expit(values), log_expit(-values)
        every = [np.logaddexp.reduce(part, axis=0) for part in (yes, no)]
        return np.asarray(np.exp(yes + no - every[0] - every[1] + np.log(len(values))))
    return share
