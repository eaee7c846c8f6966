"""Reversible instance normalisation: a window on its own scale, and predictions scaled back."""

from __future__ import annotations

from typing import Literal

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.base import hyperparameters
from fintech_dl.networks.sequence import WindowNetwork

LEAST = 1e-5  # variance, in training rows' own, below which a window counts as flat


@hyperparameters
class OwnScaleNetwork(WindowNetwork):
    """Base of the window networks that can see each row's window on the row's own scale.

    ``read`` turns the window into features of shape (rows, width). With ``normalise``, what was
    taken off the window stands behind them, and the head puts it back on the outputs:

    - ``"window"``: each channel less its own mean, divided by its own standard deviation; outputs
      are multiplied by the deviation of the first channel, and its mean is added back.
    - ``"last"``: each channel less its last step; that of the first channel is added back.
    - ``"volatility"``: each channel less its last step, divided by the root mean square of the
      differences of its steps; outputs are multiplied by that of the first channel.

    So it is for regressors whose target is in the unit of the window's first channel: a level for
    ``"window"`` and ``"last"``, a change for ``"volatility"``. As target and channel are each
    standardised over the training rows, what is added back has a trained slope and offset. Classes
    have no such unit: leave it None for classifiers.

    First steps in which all channels are 0 are padding: they do not count, and stay 0. How many
    there are is no longer seen. A missing value stands at the channel's mean over all training
    rows: fill gaps in levels first.
    """

    normalise: Literal["window", "last", "volatility"] | None = None

    def read(self, window: Tensor) -> Tensor:
        """Turn a window of shape (rows, steps, channels) into features of shape (rows, width)."""
        raise NotImplementedError(f"{type(self).__name__} must define read(self, window)")

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return features of shape (rows, width), then level and scale if ``normalise``."""
        if self.normalise is None:
            return self.read(inputs)
        window, *taken_off = on_own_scale(inputs, self.normalise)
        return keras().layers.Concatenate()([self.read(window), *taken_off])

    def head(self, features: Tensor, n_outputs: int) -> Tensor:
        """Return ``n_outputs`` numbers per row, scaled back if ``normalise``."""
        if self.normalise is None:
            return self._last(features, n_outputs)
        outputs = self._last(features[:, :-2], n_outputs)
        dense = keras().layers.Dense
        level, scale = features[:, -2:-1], features[:, -1:]
        if self.normalise == "volatility":
            return outputs * scale
        begin, biased = "ones", self.normalise == "window"
        slope = dense(n_outputs, kernel_initializer=begin, use_bias=biased, name="head_level")
        return outputs * scale + slope(level)

    def _last(self, features: Tensor, n_outputs: int) -> Tensor:
        return super().head(features, n_outputs)


def on_own_scale(inputs: Tensor, how: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return windows on their own scale, and level and scale of their first channel.

    Parameters
    ----------
    inputs : tensor of shape (rows, steps, channels)
    how : {"window", "last", "volatility"}
        See :class:`OwnScaleNetwork`.

    Returns
    -------
    window : tensor of shape (rows, steps, channels)
    level, scale : tensors of shape (rows, 1)

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.networks.own_scale import on_own_scale
    >>> window, level, scale = on_own_scale(np.array([[[1.0], [3.0], [4.0]]], "float32"), "last")
    >>> np.asarray(window).ravel().tolist(), float(level[0, 0]), float(scale[0, 0])
    ([-3.0, -1.0, 0.0], 4.0, 1.0)
    """
    ops = keras().ops
    # padding is on the left: a step counts from the first one on in which anything is not 0
    size = ops.cumsum(ops.max(ops.abs(inputs), axis=2, keepdims=True), axis=1)
    counts = ops.cast(size > 0, "float32")
    n = ops.maximum(ops.sum(counts, axis=1, keepdims=True), 1.0)
    last = inputs[:, -1:]
    window = (inputs - last) * counts  # exactly 0 where nothing moves
    level, scale = last, ops.ones_like(last)
    if how == "volatility":
        moves = (window[:, 1:] - window[:, :-1]) * counts[:, :-1]
        mean_square = ops.sum(ops.square(moves), axis=1, keepdims=True) / ops.maximum(n - 1, 1.0)
        scale, level = ops.sqrt(mean_square + LEAST), ops.zeros_like(last)
    elif how == "window":
        mean = ops.sum(window, axis=1, keepdims=True) / n
        window, level = (window - mean) * counts, last + mean
        spread = ops.sum(ops.square(window), axis=1, keepdims=True) / n
        scale = ops.sqrt(spread + LEAST)
    return window / scale, level[:, 0, :1], scale[:, 0, :1]
