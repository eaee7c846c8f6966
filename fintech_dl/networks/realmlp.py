"""RealMLP: a multi-layer perceptron whose defaults were tuned for tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from fintech_dl.networks.backend import Columns, Settings, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters
from fintech_dl.networks.parameters import Amount, Share, Width, Widths

ROWS = 1024  # of training rows that the first weights are fitted to
STEPS = 16_000


@hyperparameters
class RealMLP(Network):
    """RealMLP: a multi-layer perceptron with robust inputs and defaults tuned on many tables.

    Beside :class:`~fintech_dl.TabM` the strongest network for tables; each captures other things,
    so that their average is often better than both. Its first weights are fitted to training rows,
    and its learning rate of 0.04 rises and falls four times: do not lower it as for other networks.

    The advised training runs a quarter of the published 256 epochs or less, in 16,000 steps at
    most, so that a large table does not train for hours; with validation rows the best epoch is
    kept. Dropout and weight decay are constant, not lowered in the second half, and labels are not
    smoothed, which would spoil probabilities.

    Parameters
    ----------
    units : int or sequence of int, default=(256, 256, 256)
        Width of each layer.
    activation : {"mish", "selu"}, default="mish"
        Of which each unit learns how much it takes. ``"selu"`` is the published one for classes;
        ``"mish"`` is smooth, so that reasons for a score need gradients at fewer points.
    dropout : float, default=0.15
        Share of units dropped after each layer while training, in [0, 1).
    embedding_units : int, default=4
        Size of a number's vector, the number itself included; 1 for that alone.
    frequencies : int, default=16
        Waves per number that its vector is mixed from.
    frequency_scale : float, default=0.1
        Standard deviation of their initial frequencies.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart (2024), Better by default: strong pre-tuned MLPs and boosted
    trees on tabular data.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralClassifier, RealMLP
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> model = NeuralClassifier(network=RealMLP(units=32), epochs=30, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    units: Widths = (256, 256, 256)
    activation: Literal["mish", "selu"] = "mish"
    dropout: Share = 0.15
    embedding_units: Width = 4
    frequencies: Width = 16
    frequency_scale: Amount = 0.1

    def encoding(self, columns: Columns, embed: bool) -> Any:
        """Return the layer that embeds numbers, where they need not be rebuilt."""
        if not embed:
            return super().encoding(columns, embed)
        from fintech_dl.networks.robust import RobustColumns

        return RobustColumns(columns, self.embedding_units, self.frequencies, self.frequency_scale)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last layer's outputs, of shape (rows, units[-1])."""
        from fintech_dl.networks.robust import PartialActivation, Scale, ScaledDense

        layers, x = keras().layers, Scale()(inputs)
        for width in as_tuple(self.units):
            x = PartialActivation(self.activation)(ScaledDense(width)(x))
            if self.dropout:
                x = layers.Dropout(self.dropout)(x)
        return x

    def head(self, features: Tensor, n_outputs: int) -> Tensor:
        """Return ``n_outputs`` numbers per row."""
        from fintech_dl.networks.robust import ScaledDense

        return ScaledDense(n_outputs, name="head")(features)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Fit the first weights of each layer to training rows, one layer after the other."""
        from fintech_dl.networks.robust import ScaledDense

        k = keras()
        at = np.linspace(0, len(X) - 1, min(len(X), ROWS)).astype(int)
        weight = np.ones(len(at)) if sample_weight is None else sample_weight[at]
        x = k.ops.convert_to_tensor(X[at])
        for layer in _one_by_one(model):
            if isinstance(layer, ScaledDense):
                layer.adapt(k.ops.convert_to_numpy(x), weight)
            if layer.name == "head":
                break
            x = layer(x)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        sizes = ((1_000, 64), (8_000, 128), (30_000, 256), (100_000, 512))
        batch_size = next((size for most, size in sizes if n_rows <= most), 1024)
        epochs = min(64, max(1, STEPS * batch_size // max(n_rows, 1)))
        return {
            **super().training(n_rows),
            "optimizer": "adamw",
            "learning_rate": 0.04,
            "beta_2": 0.95,
            "schedule": "coslog4",
            "weight_decay": 0.02,
            "epochs": epochs,
            "batch_size": batch_size,
            "patience": epochs,
        }


def _one_by_one(model: Any) -> Iterator[Any]:
    """Yield the layers of a model in which each takes what the one before it gives."""
    k = keras()
    for layer in model.layers:
        if isinstance(layer, k.Model):
            yield from _one_by_one(layer)
        elif not isinstance(layer, k.layers.InputLayer):
            yield layer
