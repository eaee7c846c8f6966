"""What stands at the end of a model: losses per row and the offset of the logits.

Imports Keras: import it in methods only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fintech_dl.networks.base import keras

keras()

import keras as k  # noqa: E402
from keras import layers, ops  # noqa: E402

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
    "cross_entropy": cross_entropy,
}
