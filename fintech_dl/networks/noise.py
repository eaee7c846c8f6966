"""Layers that make rows noisy, and read what a network says of noisy rows. Imports Keras.

Random numbers of training come from a generator that lives in the layer; those of scoring are a
weight, drawn once from a fixed seed: the same for every row, block and member.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.weights import adapted

keras()

import keras as k  # noqa: E402
from keras import initializers, layers, ops  # noqa: E402

SEED = 0
TINY = 1e-12  # under the root


def shares(levels: int, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of signal and noise there is at each level: their squares add up to 1.

    The variance of a step's noise rises evenly from 1e-4 to ``largest``; level 0 is free of noise.

    Examples
    --------
    >>> from fintech_dl.networks.noise import shares
    >>> signal, noise = shares(100, 0.02)
    >>> len(noise), float(noise[0]), round(float(noise[-1]), 2)
    (101, 0.0, 0.8)
    """
    left = np.cumprod(1 - np.linspace(1e-4, largest, levels))
    left = np.concatenate([[1.0], left])
    return np.sqrt(left).astype(np.float32), np.sqrt(1 - left).astype(np.float32)


class Noise(layers.Layer):
    """Makes rows noisy when asked to; in a model it hands them on as they are.

    Outside training the random numbers are the same in every call.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seeds = k.random.SeedGenerator()

    def call(self, inputs: Tensor, noisy: bool = False, training: bool | None = None) -> Any:
        """Return the inputs as they are; or noisy, and what the noise is."""
        return self.blurred(inputs, self.seeds if training else SEED) if noisy else inputs

    def blurred(self, rows: Tensor, seed: Any) -> tuple[Tensor, Tensor]:
        """Return noisy rows, and what the noise is."""
        raise NotImplementedError


class LeveledNoise(Noise):
    """Noise of a random level for each row, which is what is returned with the rows.

    ``signal`` and ``noise`` are what row and normal noise are multiplied by at each level; level 0
    is never drawn. ``draws`` is the number of fixed draws for scoring.
    """

    def __init__(self, signal: np.ndarray, noise: np.ndarray, draws: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.signal, self.noise, self.draws = signal, noise, draws

    def build(self, shape: Any) -> None:
        """Draw the noise of scoring."""
        if self.draws:
            self.drawn = self.add_weight(
                name="drawn",
                shape=(self.draws, shape[-1]),
                initializer=initializers.RandomNormal(stddev=1.0, seed=SEED),
                trainable=False,
            )

    def blurred(self, rows: Tensor, seed: Any) -> tuple[Tensor, Tensor]:
        """Return noisy rows, and the level of each."""
        level = k.random.randint((ops.shape(rows)[0],), 1, len(self.noise), seed=seed)
        signal, noise = (
            ops.take(ops.convert_to_tensor(v), level)[:, None] for v in (self.signal, self.noise)
        )
        return signal * rows + noise * k.random.normal(ops.shape(rows), seed=seed), level

    def fixed(self, rows: Tensor, draw: int, level: int) -> Tensor:
        """Return the rows with the fixed noise of one draw, the same for every row."""
        return float(self.signal[level]) * rows + float(self.noise[level]) * self.drawn[draw]


class ColumnNoise(Noise):
    """Noise of a size of its own for each encoded column; before the size it is normal."""

    def build(self, shape: Any) -> None:
        """Create the sizes, 1 until a network sets them."""
        self.size = adapted(self, "size", (shape[-1],), "ones")

    def blurred(self, rows: Tensor, seed: Any) -> tuple[Tensor, Tensor]:
        """Return noisy rows, and the normal noise in them."""
        normal = k.random.normal(ops.shape(rows), seed=seed)
        return rows + self.size * normal, normal


def nested(function: Callable[[Tensor], Tensor], inputs: Tensor, name: str) -> Tensor:
    """Return a function of the inputs, made as a layer that can be called again by its name."""
    x = k.Input(inputs.shape[1:])
    return k.Model(x, function(x), name=name)(inputs)


def length(rows: Tensor) -> Tensor:
    """Return the Euclidean length of each row; it has a gradient at 0 too."""
    # a product sums every row alike, whatever the block's size; a sum is fused, and does not
    squares = ops.matmul(ops.square(rows), ops.ones((rows.shape[-1], 1)))[:, 0]
    return ops.sqrt(squares + TINY)


class Corrupted(layers.Layer):
    """While training, adds normal noise to rows or swaps some of their cells with other rows'."""

    def __init__(self, kind: str, amount: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind, self.amount = kind, amount
        self.seeds = k.random.SeedGenerator()

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Return the rows, spoilt in training only."""
        if not training or not self.amount:
            return inputs
        shape = ops.shape(inputs)
        if self.kind == "gaussian":
            return inputs + self.amount * k.random.normal(shape, seed=self.seeds)
        swapped = k.random.uniform(shape, seed=self.seeds) < self.amount
        whose = k.random.randint(shape, 0, shape[0], seed=self.seeds)
        return ops.where(swapped, ops.take_along_axis(inputs, whose, axis=0), inputs)


class Latent(layers.Layer):
    """Mean and spread of a code for each row; in training a random code, else the mean."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean, self.log_variance = layers.Dense(size), layers.Dense(size)
        self.seeds = k.random.SeedGenerator()

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self.mean.build(shape)
        self.log_variance.build(shape)

    def spread(self, inputs: Tensor) -> Tensor:
        """Return the logarithm of each code's variance."""
        return ops.clip(self.log_variance(inputs), -20.0, 20.0)

    def surplus(self, inputs: Tensor) -> Tensor:
        """Return how far each row's code is from a standard normal one: the Kullback-Leibler."""
        mean, spread = self.mean(inputs), self.spread(inputs)
        return ops.sum(ops.exp(spread) + ops.square(mean) - 1.0 - spread, axis=1) / 2

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Return a code for each row."""
        mean = self.mean(inputs)
        if not training:
            return mean
        noise = k.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(self.spread(inputs) / 2) * noise


class Beside(layers.Layer):
    """The outputs that a network learns for, beside rows rebuilt without a say in the features.

    ``call`` rebuilds rows, so that whoever asks can see what the features say of them; ``outputs``
    is what the network is trained for.
    """

    def __init__(self, n_outputs: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.outputs, self.rebuilt = layers.Dense(n_outputs), layers.Dense(width)

    def build(self, shape: Any) -> None:
        """Create the weights."""
        self.outputs.build(shape)
        self.rebuilt.build(shape)

    def call(self, features: Tensor) -> Tensor:
        """Return the rows rebuilt from their features."""
        return self.rebuilt(ops.stop_gradient(features))
