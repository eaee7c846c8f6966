"""Autoencoder with regression: rebuilds the middle of a window and foretells both of its ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import hyperparameters
from fintech_dl.networks.parameters import Share, Width
from fintech_dl.networks.sequence import WindowNetwork

MOST_STEPS = 20_000


@hyperparameters
class AER(WindowNetwork):
    """Autoencoder with regression (AER): a window without its ends, rebuilt with both of them.

    A two-way LSTM reads all steps but the first and the last; another one rebuilds these and
    foretells the two that it was not shown. Use it in a :class:`~fintech_dl.SeriesDetector` of
    ``mode="both"`` for anomalies of level and of shape, or in a :class:`~fintech_dl.NeuralDetector`
    on windows, where the score is the weighted error of the whole window. It trains slowly: for
    single odd values a forecast by a :class:`~fintech_dl.CNN` is as good. A window of one or two
    steps has nothing between its ends, and is rebuilt as it is.

    Parameters
    ----------
    units : int, default=30
        Size of the state of each direction.
    ends : float, default=0.5
        Share of the loss on the two ends, half each, in [0, 1); the rest is on the steps between.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    References
    ----------
    Wong, Liu, Berti-Equille & Veeramachaneni (2022), AER: Auto-encoder with regression for time
    series anomaly detection.

    Examples
    --------
    >>> from fintech_dl import AER
    >>> AER(units=16)
    AER(units=16)
    """

    units: Width = 30
    ends: Share = 0.5

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last states of both directions, of shape (rows, 2 x units)."""
        layers = keras().layers
        between = inputs[:, 1:-1] if inputs.shape[1] > 2 else inputs
        return layers.Bidirectional(layers.LSTM(self.units))(between)

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild all steps of the window from the features."""
        layers = keras().layers
        x = layers.RepeatVector(inputs.shape[1])(features)
        x = layers.Bidirectional(layers.LSTM(self.units, return_sequences=True))(x)
        return layers.Dense(inputs.shape[-1], name="rebuilt")(x)

    def _shares(self, model: Any) -> np.ndarray:
        """Return the share of each column of the window in the loss; they sum to 1."""
        encoding = model.get_layer("encoding")
        steps, channels = encoding.steps, encoding.n_channels
        shares = np.full(steps, 1 / steps)
        if steps > 2:
            shares[1:-1] = (1 - self.ends) / (steps - 2)
            shares[[0, -1]] = self.ends / 2
        return np.repeat(shares / channels, channels).astype(np.float32)

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of each row: its ends and the steps between, weighted by ``ends``."""
        if y is not None:
            return super().objective(model, x, y, loss)
        parts, shares = model(x), self._shares(model)
        root = np.sqrt(shares * len(shares))
        return loss(parts["inputs"] * root, parts["outputs"] * root)

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return the weighted mean squared error of each window."""
        parts, ops = model(x), keras().ops
        error = ops.square(parts["inputs"] - parts["outputs"])
        return ops.matmul(error, self._shares(model)[:, None])[:, 0]

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings: 35 epochs, at most 20,000 steps."""
        batch = 64
        epochs = max(min(35, MOST_STEPS * batch // max(n_rows, 1)), 1)
        return {**super().training(n_rows), "epochs": epochs, "batch_size": batch, "patience": 10}
