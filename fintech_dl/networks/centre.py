"""The layer of one-class networks. Imports Keras: import it in methods only."""

from __future__ import annotations

from typing import Any

import numpy as np

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.weights import adapted

keras()

from keras import layers  # noqa: E402

NEAREST_ZERO = 0.1  # a centre at zero could be reached by weights of zero, whatever the row


class Centre(layers.Layer):
    """Subtracts the mean of the training rows' features, taken before the first epoch."""

    def build(self, shape: Any) -> None:
        """Create the centre, zero until `adapt` sets it."""
        self.centre = adapted(self, "centre", (shape[-1],))

    def adapt(self, features: np.ndarray, weight: np.ndarray) -> None:
        """Learn the centre of features from which nothing has been subtracted yet."""
        mean = np.average(features.astype(np.float64), axis=0, weights=weight)
        side = np.where(mean < 0, -1.0, 1.0)
        self.centre.assign(side * np.maximum(np.abs(mean), NEAREST_ZERO))

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs less the centre."""
        return inputs - self.centre
