"""What recurrent networks run on. Imports Keras: import it in methods only."""

from __future__ import annotations

from typing import Any

from fintech_dl.networks.backend import Tensor, keras

keras()

from keras import backend, layers, ops  # noqa: E402


class InHalves(layers.Layer):
    """Runs a recurrent layer over both halves of a training batch side by side.

    A loop over steps keeps one core busy; TensorFlow runs two of them on two cores. JAX would not.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, shape: Any) -> None:
        """Create the layer's weights."""
        self.layer.build(shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Return the layer's outputs."""
        if not training or backend.backend() != "tensorflow":
            return self.layer(inputs)
        half = ops.shape(inputs)[0] // 2
        return ops.concatenate([self.layer(inputs[:half]), self.layer(inputs[half:])])

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the layer's output shape."""
        return self.layer.compute_output_shape(shape)
