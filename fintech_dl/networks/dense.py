"""Dense networks."""

from typing import ClassVar

from fintech_dl.networks.backend import Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters, regularizer
from fintech_dl.networks.parameters import Activation, Amount, Share, Widths


@hyperparameters
class MLP(Network):
    """Multi-layer perceptron: dense layers, one after the other.

    The first network to try on tables of numbers and categories; hard to beat when the columns
    already hold the history. Use a sequence network when the order of events matters.

    Parameters
    ----------
    units : int or sequence of int, default=(128, 64)
        Width of each layer.
    activation : str, default="relu"
        Any Keras activation: ``"relu"``, ``"gelu"``, ``"silu"``, ``"selu"``, ``"tanh"``, ...
    dropout : float, default=0.0
        Share of units dropped after each layer while training, in [0, 1).
    batch_norm : bool, default=False
        Normalise each layer's outputs over the batch.
    l1, l2 : float, default=0.0
        Penalties on the absolute and squared weights of the layers.

    References
    ----------
    Rumelhart, Hinton & Williams (1986), Learning representations by back-propagating errors.

    Examples
    --------
    >>> from fintech_dl import MLP
    >>> MLP(units=32)
    MLP(units=32)
    """

    units: Widths = (128, 64)
    activation: Activation = "relu"
    dropout: Share = 0.0
    batch_norm: bool = False
    l1: Amount = 0.0
    l2: Amount = 0.0

    block_rows: ClassVar[tuple[int, ...]] = (256, 8192, 32768)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last layer's outputs, of shape (rows, units[-1])."""
        layers, x = keras().layers, inputs
        for width in as_tuple(self.units):
            penalty = regularizer(self.l1, self.l2)
            x = layers.Dense(width, use_bias=not self.batch_norm, kernel_regularizer=penalty)(x)
            if self.batch_norm:
                x = layers.BatchNormalization()(x)
            x = layers.Activation(self.activation)(x)
            if self.dropout:
                x = layers.Dropout(self.dropout)(x)
        return x
