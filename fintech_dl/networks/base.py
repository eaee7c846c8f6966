"""What every network promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

import numpy as np
from sklearn.base import BaseEstimator

from fintech_dl.networks.backend import Columns, Settings, Tensor, keras
from fintech_dl.networks.parameters import check_parameters

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, eq_default=False)
def hyperparameters(cls: type[T]) -> type[T]:
    """Make the constructor of a scikit-learn estimator from its annotated fields.

    Fields of base classes come first; every parameter is keyword-only, stored as given and left
    unchecked until ``fit``, as scikit-learn's contract asks.

    Parameters
    ----------
    cls : type
        A class with annotated fields and their defaults.

    Returns
    -------
    type
        The same class, with a constructor.

    Examples
    --------
    >>> from fintech_dl import Network, hyperparameters
    >>> @hyperparameters
    ... class Widest(Network):
    ...     units: int = 512
    >>> Widest().get_params()
    {'units': 512}
    """
    return dataclass(kw_only=True, eq=False, repr=False)(cls)


class Network(BaseEstimator):
    """Base of all networks: turns encoded columns into features.

    A new network is a class with :func:`hyperparameters`, fields and ``__call__``; every estimator
    can then hold it. The other methods have defaults that serve most networks.

    Examples
    --------
    >>> from fintech_dl import Network, hyperparameters
    >>> @hyperparameters
    ... class Cube(Network):
    ...     units: int = 16
    ...
    ...     def __call__(self, inputs):
    ...         import keras
    ...         return keras.layers.Dense(self.units, activation="relu")(inputs) ** 3
    >>> Cube(units=8)
    Cube(units=8)
    """

    block_rows: ClassVar[tuple[int, ...]] = (256, 8192)
    """Row counts of inference blocks between which scores are bit-equal."""
    learns_from_labels: ClassVar[bool] = False
    """Whether a detector shows it ``y``: 1 known anomaly, 0 normal, -1 not labelled."""

    def check(self) -> None:
        """Raise ValueError for a parameter that its annotation does not allow; ``fit`` calls it."""
        check_parameters(self)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Turn the encoded input tensor into features."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, inputs)")

    def encoding(self, columns: Columns, embed: bool) -> Any:
        """Return the layer that turns raw columns into the tensor ``__call__`` takes.

        ``embed`` allows trained embeddings of categories, which cannot be rebuilt.
        """
        from fintech_dl.networks.encoding import ColumnEncoding

        return ColumnEncoding(columns, embed)

    def head(self, features: Tensor, n_outputs: int) -> Tensor:
        """Turn features into ``n_outputs`` numbers per row: logits or standardised targets.

        May return several predictions of each row, as (rows, predictions, n_outputs): each is
        trained by a loss of its own, and their average is the estimator's output.
        """
        layers = keras().layers
        if len(features.shape) > 2:
            features = layers.Flatten()(features)
        return layers.Dense(n_outputs, name="head")(features)

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Turn features back into a tensor of the shape of the encoded ``inputs``."""
        k = keras()
        flat = self.head(features, int(np.prod(inputs.shape[1:])))
        return k.layers.Reshape(inputs.shape[1:])(flat)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Set weights from training rows, before the first epoch."""

    def settle(self, model: Any, X: np.ndarray) -> None:
        """Set non-trainable weights from training rows, after the last epoch; detectors only."""

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows.

        A network may add ``beta_2``, how slowly Adam forgets the size of gradients.
        """
        return {
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "schedule": "constant",
            "weight_decay": 0.0,
            "clipnorm": None,
            "epochs": 50,
            "batch_size": 256,
            "patience": 5,
        }

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of each row; without ``y`` the encoded inputs are to be rebuilt.

        Of several predictions of a row, the mean of their losses in training; else the loss of
        their average.
        """
        parts, ops = model(x), keras().ops
        target, outputs = parts["inputs"] if y is None else y, parts["outputs"]
        if len(outputs.shape) < 3:
            return loss(target, outputs)
        many, width = outputs.shape[1:]
        each = loss(ops.repeat(target, many, axis=0), ops.reshape(outputs, (-1, width)))
        return ops.mean(ops.reshape(each, (-1, many)), axis=1)

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return one score per row, higher = more anomalous: the mean squared rebuilding error."""
        parts, ops = model(x), keras().ops
        error = ops.square(parts["inputs"] - parts["outputs"])
        # a product sums every row alike, whatever the block's size; a mean is fused, and does not
        share = ops.full((error.shape[-1], 1), 1.0 / error.shape[-1])
        return ops.matmul(error, share)[:, 0]


def regularizer(l1: float, l2: float) -> Any:
    """Return Keras' L1/L2 penalty, or None when both are 0."""
    return keras().regularizers.L1L2(l1=l1, l2=l2) if l1 or l2 else None


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a parameter that is one number or a sequence of them as a tuple."""
    return tuple(value) if hasattr(value, "__len__") else (value,)
