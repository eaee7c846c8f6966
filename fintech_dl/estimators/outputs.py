"""What stands at the end of a model: losses per row, offsets, averages.

Imports Keras: import it in methods only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fintech_dl.networks.backend import keras

keras()

import keras as k  # noqa: E402
from keras import layers, ops  # noqa: E402

from fintech_dl.networks.encoding import Standardise, mean_scale  # noqa: E402
from fintech_dl.networks.weights import adapted  # noqa: E402

ROWS_PER_COLUMN = 10  # below which a category has no line of its own
FURTHEST = 8.0  # log error beyond which a row pulls no harder
Loss = Callable[[Any, Any], Any]


class Offset(layers.Layer):
    """Adds a fixed number per output, learned from the training rows: the log odds of classes."""

    def build(self, shape: Any) -> None:
        """Create the offset, zero until the estimator sets it."""
        self.offset = self.add_weight(
            name="offset", shape=(shape[-1],), initializer="zeros", trainable=False
        )

    def call(self, inputs: Any) -> Any:
        """Return the inputs plus the offset."""
        return inputs + self.offset


class Line(Standardise):
    """Adds a fixed linear forecast of raw columns: line 0, or that of the row's category.

    Least squares on the training rows, of each output by itself: ``own`` says which of the columns
    ``at`` an output is forecast by, all of them if it is None. A missing number stands at its mean;
    a category that is unseen or rare has the line of all rows, which is line 0.
    """

    def __init__(
        self,
        at: list[int],
        by: int | None,
        n_lines: int,
        own: list[list[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.at, self.by, self.n_lines, self.own = at, by, n_lines, own

    def build(self, shape: Any) -> None:
        """Create the weights, zero until `adapt` sets them."""
        self._statistics(len(self.at))
        size = (1 + len(self.at), self.n_lines, shape[0][-1])
        self.coefficients = adapted(self, "coefficients", size)

    def adapt(
        self, rows: np.ndarray, target: np.ndarray, weight: np.ndarray, *, mean: bool
    ) -> None:
        """Learn the lines from raw training rows, each with its targets and weight.

        A missing target is left out of its line. With ``mean``, half the variance of what is left
        over is added: if the target is a logarithm, the exponential then forecasts its mean, else
        its median.
        """
        values = rows[:, self.at]
        self._set([mean_scale(column, weight) for column in values.T])
        x = np.column_stack([np.ones(len(rows)), self._standardised(values)])
        found = np.zeros(self.coefficients.shape)
        for output, aim in enumerate(target.T):
            used = range(len(self.at)) if self.own is None else self.own[output]
            terms, there = [0, *(1 + i for i in used)], ~np.isnan(aim)
            for code in range(self.n_lines):
                own = there & (rows[:, self.by] == code) if code else there
                if code and own.sum() < ROWS_PER_COLUMN * len(used):
                    found[:, code, output] = found[:, 0, output]
                elif own.any():
                    line = _line(x[np.ix_(own, terms)], aim[own], weight[own], mean)
                    found[terms, code, output] = line
        self.coefficients.assign(found.astype(np.float32))

    def call(self, inputs: Any) -> Any:
        """Return outputs plus the line's forecast; ``inputs`` are outputs and raw rows."""
        outputs, rows = inputs
        terms, n_lines, width = self.coefficients.shape
        lines = ops.reshape(self.coefficients, (terms, n_lines * width))
        z = self._standardised(ops.take(rows, self.at, axis=1))
        found = ops.matmul(z, lines[1:]) + lines[0]
        if n_lines > 1:
            of_all = ops.reshape(found, (-1, n_lines, width))
            found = ops.sum(of_all * self._which(rows)[:, :, None], axis=1)
        return outputs + (found[:, None] if len(outputs.shape) == 3 else found)

    def _which(self, rows: Any) -> Any:
        """Return 1 for each row's own line and 0 for the others."""
        codes = rows[:, self.by or 0, None] if self.n_lines > 1 else ops.zeros_like(rows[:, :1])
        return ops.cast(ops.equal(codes, ops.arange(self.n_lines, dtype="float32")), "float32")

    def slopes(self, start: Any, end: Any, t: Any) -> tuple[Any, Any]:
        """Return the forecast, and how each column moves it, at ``t`` between two raw rows.

        Of one output. Numbers and lines both move straight on, and a category moves its line.
        """
        z, lines = [], []
        for rows in (start, end):
            z.append(self._standardised(ops.take(rows, self.at, axis=1)))
            lines.append(ops.matmul(self._which(rows), ops.transpose(self.coefficients[:, :, 0])))
        dz, turn = z[1] - z[0], lines[1] - lines[0]
        here, line = z[0] + t * dz, lines[0] + t * turn
        columns = np.eye(start.shape[1], dtype=np.float32)
        moved = ops.matmul(line[:, 1:] * dz, columns[self.at])
        if self.by is not None:
            own = turn[:, :1] + ops.sum(turn[:, 1:] * here, axis=1, keepdims=True)
            moved = moved + own * columns[self.by]
        return line[:, 0] + ops.sum(line[:, 1:] * here, axis=1), moved


def _line(x: np.ndarray, target: np.ndarray, weight: np.ndarray, mean: bool) -> np.ndarray:
    root = np.sqrt(weight)
    found: np.ndarray = np.linalg.lstsq(x * root[:, None], target * root, rcond=None)[0]
    left_over = np.average((target - x @ found) ** 2, weights=weight)
    n, terms = x.shape
    if mean:
        found[0] += left_over * n / max(n - terms, 1) / 2
    return found


class Average(layers.Layer):
    """Averages several predictions of each row, except in training, where each has its loss.

    Logits are averaged as the probabilities that they stand for.
    """

    def __init__(self, logits: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.logits = logits

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Say what comes out of it, training apart."""
        return k.KerasTensor((inputs.shape[0], inputs.shape[2]), dtype=inputs.dtype)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return (rows, predictions, width) as it is in training, else (rows, width)."""
        if training:
            return inputs
        if not self.logits:
            return ops.mean(inputs, axis=1)
        if inputs.shape[2] > 1:
            return ops.logsumexp(ops.log_softmax(inputs, axis=2), axis=1)
        yes, no = (ops.logsumexp(ops.log_sigmoid(x), axis=1) for x in (inputs, -inputs))
        return yes - no


class Rising(layers.Layer):
    """Makes each group of ``n`` outputs rise: the first stands, each next one adds to it.

    Added one by one, so that no rounding lets them cross.
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape of the inputs."""
        return shape

    def call(self, inputs: Any) -> Any:
        """Return rising groups, in the shape of the inputs."""
        parts: list[Any] = []
        for i in range(inputs.shape[-1]):
            new = inputs[..., i : i + 1]
            parts.append(new if i % self.n == 0 else parts[-1] + ops.softplus(new))
        return ops.concatenate(parts, axis=-1)


def of_known(loss: Loss) -> Loss:
    """Return the loss in which a missing target costs nothing, and so pulls nowhere."""

    def masked(target: Any, output: Any) -> Any:
        return loss(ops.where(ops.isnan(target), output, target), output)

    return masked


def pinball(target: Any, output: Any, quantiles: Sequence[float]) -> Any:
    """Return the mean pinball loss of each row; targets are repeated for each quantile."""
    level = ops.convert_to_tensor([*quantiles] * (output.shape[-1] // len(quantiles)))
    error = target - output
    return ops.mean(ops.maximum(level * error, (level - 1.0) * error), axis=-1)


def squared_error(target: Any, output: Any) -> Any:
    """Return the mean squared error of each row."""
    return ops.mean(ops.square(target - output), axis=-1)


def absolute_error(target: Any, output: Any) -> Any:
    """Return the mean absolute error of each row."""
    return ops.mean(ops.abs(target - output), axis=-1)


def huber(target: Any, output: Any) -> Any:
    """Return Huber's loss of each row: squared up to one standard deviation, then linear."""
    error = ops.abs(target - output)
    return ops.mean(ops.where(error <= 1, 0.5 * ops.square(error), error - 0.5), axis=-1)


def qlike(target: Any, output: Any) -> Any:
    """Return the QLIKE of each row's log variances: y / f - ln(y / f) - 1 of the variances."""
    error = ops.clip(target - output, -FURTHEST, FURTHEST)
    return ops.mean(ops.expm1(error) - error, axis=-1)


def cross_entropy(target: Any, output: Any) -> Any:
    """Return the negative log likelihood of each row's class; outputs are logits."""
    return -_log_likelihood(target, output)


def focal(target: Any, output: Any, gamma: float) -> Any:
    """Return the focal loss: cross entropy, easy rows weighted down by (1 - p)^gamma."""
    log_p = _log_likelihood(target, output)
    return -ops.power(1.0 - ops.exp(log_p), gamma) * log_p


def _log_likelihood(target: Any, output: Any) -> Any:
    if output.shape[-1] == 1:
        sign = 2.0 * ops.cast(target[:, 0], output.dtype) - 1.0
        return ops.log_sigmoid(sign * output[:, 0])
    picked = ops.one_hot(ops.cast(target[:, 0], "int32"), output.shape[-1], dtype=output.dtype)
    return ops.sum(picked * ops.log_softmax(output, axis=-1), axis=-1)


LOSSES: dict[str, Loss] = {
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "qlike": qlike,
    "cross_entropy": cross_entropy,
}
