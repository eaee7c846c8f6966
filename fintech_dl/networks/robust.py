"""Layers of RealMLP: robust scales, waves, weights at a pace of their own. Imports Keras.

A weight whose learning rate is ``pace`` times that of others is stored divided by it and multiplied
in use: Adam's steps do not depend on a gradient's size, so this is exact, and any optimizer saves,
clips and stacks it like every other weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fintech_dl.networks.backend import Columns, Tensor, keras
from fintech_dl.networks.encoding import ColumnEncoding

keras()

from keras import activations, initializers, layers, ops  # noqa: E402

SLOW, FAST = 0.1, 6.0  # of biases, activations and waves; of the scale of inputs
NEAR = 5  # training rows around which a unit bends at first


def paced(initializer: Any, pace: float) -> Callable[..., Any]:
    """Return an initializer whose values, times ``pace``, are those of the one given."""
    drawn = initializers.get(initializer)
    return lambda shape, dtype=None: drawn(shape, dtype=dtype) / pace


class Waves(layers.Layer):
    """A vector per scaled number: waves of it, learned and mixed, and the number itself.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart (2024), Better by default (PBLD embeddings); after
    Gorishniy, Rubachev & Babenko (2022), On embeddings for numerical features.
    """

    def __init__(self, units: int, frequencies: int, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.frequencies, self.spread = units, frequencies, scale

    def build(self, shape: Any) -> None:
        """Create the weights."""
        n, many, units = shape[1], self.frequencies, self.units - 1
        bound = 1 / math.sqrt(many)
        for name, size, drawn in (
            ("frequency", (n, many), initializers.RandomNormal(stddev=self.spread)),
            ("phase", (n, many), initializers.RandomUniform(-math.pi, math.pi)),
            ("kernel", (n, many, units), initializers.RandomUniform(-bound, bound)),
            ("bias", (n, units), initializers.RandomUniform(-bound, bound)),
        ):
            weight = self.add_weight(name=name, shape=size, initializer=paced(drawn, SLOW))
            setattr(self, name, weight)

    def call(self, numbers: Tensor) -> Tensor:
        """Return vectors of shape (rows, columns, units)."""
        x = numbers[:, :, None]
        waves = ops.cos(2 * math.pi * SLOW * x * self.frequency + SLOW * self.phase)
        mixed = ops.matmul(ops.transpose(waves, (1, 0, 2)), SLOW * self.kernel)
        return ops.concatenate([ops.transpose(mixed, (1, 0, 2)) + SLOW * self.bias, x], axis=2)


class RobustColumns(ColumnEncoding):
    """Numbers by median and quartiles, then as waves; categories one-hot up to 8, else embedded.

    A category of two values is one column of -1 and +1; missing and unseen are 0.
    """

    one_hot_limit: ClassVar[int] = 8

    def __init__(
        self, columns: Columns, units: int, frequencies: int, scale: float, **kwargs: Any
    ) -> None:
        super().__init__(columns, embed=True, **kwargs)
        self.waves = Waves(units, frequencies, scale) if self.numbers and units > 1 else None

    def embedding_size(self, n: int) -> int:
        """Return the size of the embedding of ``n`` categories."""
        return 8

    def embedding_initializer(self) -> Any:
        """Return what an embedding starts from."""
        return initializers.RandomNormal(stddev=1.0)

    def build(self, shape: Any) -> None:
        """Create the weights."""
        super().build(shape)
        if self.waves:
            self.waves.build((None, len(self.numbers)))

    def adapt(self, X: np.ndarray, sample_weight: np.ndarray) -> None:
        """Learn medians and quartiles from training rows."""
        self._set([_median_range(column, sample_weight) for column in self.known(X).T])

    def _one_hot(self, code: Tensor, n: int) -> Tensor:
        if n != 2:
            return super()._one_hot(code, n)
        sign = ops.where(code > 1, 1.0, ops.where(code > 0, -1.0, 0.0))
        return ops.cast(sign, "float32")[:, None]

    def _from_numbers(self, numbers: Tensor) -> Tensor:
        z = self._standardised(numbers)
        smooth = z / ops.sqrt(1 + ops.square(z / 3))
        if not self.waves:
            return smooth
        return ops.reshape(self.waves(smooth), (-1, len(self.numbers) * self.waves.units))


def _median_range(values: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the weighted median and the range of the middle half; of half of all if that is 0.

    A constant column has the largest range there is, so that it counts as 0 whatever comes later.
    """
    seen = np.isfinite(values) & (weight > 0)
    if not seen.any():
        return 0.0, 1.0
    v = values[seen].astype(np.float64)
    at = (0, 0.25, 0.5, 0.75, 1)
    low, q1, middle, q3, high = np.quantile(v, at, weights=weight[seen], method="inverted_cdf")
    least = 1e-6 * max(abs(middle), 1e-30)
    spreads = [s for s in (q3 - q1, (high - low) / 2) if s > least]
    return float(middle), float((spreads or [np.finfo(np.float32).max])[0])


class Scale(layers.Layer):
    """A trained factor per input, which learns faster than other weights."""

    def build(self, shape: Any) -> None:
        """Create the factors, 1 at first."""
        first = paced("ones", FAST)
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer=first)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs, each times its factor."""
        return inputs * (FAST * self.scale)


class ScaledDense(layers.Layer):
    """A dense layer that divides by the root of its inputs' number, begun from training rows."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: Any) -> None:
        """Create the weights."""
        normal = initializers.RandomNormal(stddev=1.0)
        size = (shape[-1], self.units)
        self.kernel = self.add_weight(name="kernel", shape=size, initializer=normal)
        self.bias = self.add_weight(name="bias", shape=size[1:], initializer="zeros")

    def adapt(self, inputs: np.ndarray, weight: np.ndarray) -> None:
        """Give each unit outputs of standard deviation 1 that change sign amid training rows."""
        kernel = ops.convert_to_numpy(self.kernel)
        outputs = inputs.astype(np.float64) @ kernel / math.sqrt(len(kernel))
        share = weight / weight.sum()
        spread = np.sqrt(share @ (outputs - share @ outputs) ** 2)
        spread = np.where(spread > 1e-6, spread, 1.0)
        # what is drawn here follows from what was drawn for the kernel, and so from its seed
        rng = np.random.default_rng(kernel.view(np.uint32).ravel())
        rows = rng.choice(len(inputs), size=(NEAR, self.units), p=share)
        parts = rng.dirichlet(np.ones(NEAR), size=self.units).T
        middle = (parts * np.take_along_axis(outputs, rows, axis=0)).sum(axis=0) / spread
        self.kernel.assign((kernel / spread).astype(np.float32))
        self.bias.assign((-middle / SLOW).astype(np.float32))

    def call(self, inputs: Tensor) -> Tensor:
        """Return outputs of shape (rows, units)."""
        width = math.sqrt(inputs.shape[-1])
        return ops.matmul(inputs, self.kernel) / width + SLOW * self.bias


class PartialActivation(layers.Layer):
    """An activation of which each unit learns how much it takes: none is a straight line."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = activations.get(name)

    def build(self, shape: Any) -> None:
        """Create the shares, 1 at first."""
        first = paced("ones", SLOW)
        self.share = self.add_weight(name="share", shape=(shape[-1],), initializer=first)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the activated inputs."""
        return inputs + SLOW * self.share * (self.function(inputs) - inputs)
