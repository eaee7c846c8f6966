"""How weights of our layers begin. Imports Keras: import it in methods only."""

from __future__ import annotations

import math
from typing import Any

from fintech_dl.networks.backend import keras

keras()

from keras import initializers, layers  # noqa: E402


def uniform(n_inputs: int) -> Any:
    """Return the initializer of weights that add up ``n_inputs`` numbers."""
    bound = 1 / math.sqrt(n_inputs)
    return initializers.RandomUniform(-bound, bound)


def adapted(
    layer: layers.Layer, name: str, shape: tuple[int, ...], initializer: str = "zeros"
) -> Any:
    """Return a new weight that `adapt` sets and training leaves alone."""
    return layer.add_weight(name=name, shape=shape, initializer=initializer, trainable=False)
