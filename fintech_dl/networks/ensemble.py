"""Layers of many networks in one: most weights shared, some of each one's own. Imports Keras."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.weights import uniform

keras()

from keras import initializers, layers, ops  # noqa: E402


class Members(layers.Layer):
    """Shows a row to each of ``k`` networks, its inputs scaled by each one's own weights."""

    def __init__(self, k: int, normal: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k, self.normal = k, normal

    def build(self, shape: Any) -> None:
        """Create the scales: normal numbers, or signs."""
        drawn = initializers.RandomNormal(stddev=1.0)
        first = drawn if self.normal else lambda s, dtype=None: ops.sign(drawn(s, dtype))
        self.scale = self.add_weight(name="scale", shape=(self.k, shape[-1]), initializer=first)

    def repeat(self, widths: list[int]) -> None:
        """Give inputs that belong together, by their widths, the scale of the first of them."""
        scale = ops.convert_to_numpy(self.scale).copy()
        for start, end in pairwise(np.cumsum([0, *widths])):
            scale[:, start:end] = scale[:, start : start + 1]
        self.scale.assign(scale)

    def call(self, inputs: Tensor) -> Tensor:
        """Return inputs of shape (rows, k, width)."""
        return inputs[:, None, :] * self.scale


class SharedDense(layers.Layer):
    """A dense layer whose kernel all share; with ``own``, each scales inputs and outputs itself."""

    def __init__(self, units: int, own: bool, scale_inputs: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.own, self.scale_inputs = units, own, scale_inputs

    def build(self, shape: Any) -> None:
        """Create the kernel, and what belongs to each network."""
        k, n = shape[1:]
        add, first = self.add_weight, uniform(n)
        self.kernel = add(name="kernel", shape=(n, self.units), initializer=first)
        if not self.own:
            self.bias = add(name="bias", shape=(self.units,), initializer=first)
            return
        if self.scale_inputs:
            self.inwards = add(name="inwards", shape=(k, n), initializer="ones")
        self.outwards = add(name="outwards", shape=(k, self.units), initializer="ones")

        def one_for_all(shape: Any, dtype: Any = None) -> Any:
            return ops.repeat(first((1, self.units), dtype), k, axis=0)

        self.bias = add(name="bias", shape=(k, self.units), initializer=one_for_all)

    def call(self, inputs: Tensor) -> Tensor:
        """Return outputs of shape (rows, k, units)."""
        x = inputs * self.inwards if self.own and self.scale_inputs else inputs
        k, n = x.shape[1:]
        x = ops.reshape(ops.matmul(ops.reshape(x, (-1, n)), self.kernel), (-1, k, self.units))
        return (x * self.outwards if self.own else x) + self.bias


class OwnDense(layers.Layer):
    """A dense layer for each of ``k`` networks."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: Any) -> None:
        """Create the weights."""
        k, n = shape[1:]
        add, first = self.add_weight, uniform(n)
        self.kernel = add(name="kernel", shape=(k, n, self.units), initializer=first)
        self.bias = add(name="bias", shape=(k, self.units), initializer=first)

    def call(self, inputs: Tensor) -> Tensor:
        """Return outputs of shape (rows, k, units)."""
        own = ops.matmul(ops.transpose(inputs, (1, 0, 2)), self.kernel)
        return ops.transpose(own, (1, 0, 2)) + self.bias
