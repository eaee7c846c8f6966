"""Networks that read a window of steps in order: convolutional and recurrent.

Every one takes rows of steps x channels columns, step-major, oldest first, named
``channel@-lag``; for unnamed columns ``channels`` says how many columns make a step.
"""

from typing import Any, ClassVar

from fintech_dl.networks.backend import Columns, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters, regularizer
from fintech_dl.networks.parameters import Activation, Amount, Share, Width, Widths


@hyperparameters
class WindowNetwork(Network):
    """Base of the networks that read a window: ``__call__`` takes (rows, steps, channels)."""

    channels: Width | None = None

    def encoding(self, columns: Columns, embed: bool) -> Any:
        """Return the layer that shapes and standardises the window."""
        from fintech_dl.networks.encoding import WindowEncoding

        return WindowEncoding(columns, self.channels)


@hyperparameters
class CNN(WindowNetwork):
    """Convolutional network over the steps of a window.

    Use it for short local patterns: a burst of payments, a change of level. It trains several
    times faster than a recurrent network. Convolutions are causal (padded on the left).

    Parameters
    ----------
    filters : int or sequence of int, default=(64,)
        Filters of each convolution.
    kernel_size : int, default=3
        Steps that one filter sees.
    hidden : int or sequence of int, default=(64,)
        Width of the dense layers after the convolutions; ``()`` for none.
    activation : str, default="relu"
        Any Keras activation.
    dropout : float, default=0.0
        Share of units dropped after each layer while training, in [0, 1).
    l1, l2 : float, default=0.0
        Penalties on the absolute and squared weights of the layers.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    References
    ----------
    LeCun et al. (1998), Gradient-based learning applied to document recognition.

    Examples
    --------
    >>> from fintech_dl import CNN
    >>> CNN(filters=[32, 64], channels=8)
    CNN(channels=8, filters=[32, 64])
    """

    filters: Widths = (64,)
    kernel_size: Width = 3
    hidden: Widths = (64,)
    activation: Activation = "relu"
    dropout: Share = 0.0
    l1: Amount = 0.0
    l2: Amount = 0.0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return features of shape (rows, hidden[-1])."""
        layers, x = keras().layers, inputs
        for n in as_tuple(self.filters):
            x = layers.Conv1D(
                n,
                self.kernel_size,
                padding="causal",
                activation=self.activation,
                kernel_regularizer=regularizer(self.l1, self.l2),
            )(x)
            if self.dropout:
                x = layers.Dropout(self.dropout)(x)
        return _dense(self, layers.Flatten()(x))


@hyperparameters
class RNN(WindowNetwork):
    """Simple recurrent network (Elman network) over the steps of a window.

    The smallest recurrent network; forgets quickly. Prefer :class:`GRU` or :class:`LSTM` when more
    than about ten steps matter.

    Parameters
    ----------
    units : int or sequence of int, default=64
        Size of the state of each recurrent layer.
    hidden : int or sequence of int, default=()
        Width of the dense layers after the last state; ``()`` for none.
    activation : str, default="relu"
        Activation of the dense layers; any Keras activation.
    dropout : float, default=0.0
        Share of units dropped after each layer while training, in [0, 1).
    l1, l2 : float, default=0.0
        Penalties on the absolute and squared weights of the layers.
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1.

    References
    ----------
    Elman (1990), Finding structure in time.

    Examples
    --------
    >>> from fintech_dl import RNN
    >>> RNN(units=32, channels=4)
    RNN(channels=4, units=32)
    """

    units: Widths = 64
    hidden: Widths = ()
    activation: Activation = "relu"
    dropout: Share = 0.0
    l1: Amount = 0.0
    l2: Amount = 0.0
    block_rows: ClassVar[tuple[int, ...]] = (256,)  # other sizes differ in the last bit
    _layer: ClassVar[str] = "SimpleRNN"

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last state, or the last dense layer's outputs: (rows, width)."""
        from fintech_dl.networks.recurrent import InHalves

        layers, x = keras().layers, inputs
        units = as_tuple(self.units)
        for i, width in enumerate(units):
            layer = getattr(layers, self._layer)(
                width,
                return_sequences=i < len(units) - 1,
                kernel_regularizer=regularizer(self.l1, self.l2),
            )
            x = InHalves(layer)(x)
            if self.dropout:
                x = layers.Dropout(self.dropout)(x)
        return _dense(self, x)


@hyperparameters
class LSTM(RNN):
    """Long short-term memory network over the steps of a window.

    Use it when what matters may lie many steps back: a customer's habits, a slow build-up.
    :class:`GRU` is smaller and often as good.

    See Also
    --------
    RNN : The parameters, which are the same.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory.

    Examples
    --------
    >>> from fintech_dl import LSTM
    >>> LSTM(units=32, channels=4)
    LSTM(channels=4, units=32)
    """

    block_rows: ClassVar[tuple[int, ...]] = Network.block_rows
    _layer: ClassVar[str] = "LSTM"


@hyperparameters
class GRU(RNN):
    """Gated recurrent unit network over the steps of a window.

    Use it as :class:`LSTM`; it has a quarter fewer weights and trains faster.

    See Also
    --------
    RNN : The parameters, which are the same.

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder.

    Examples
    --------
    >>> from fintech_dl import GRU
    >>> GRU(units=32, channels=4)
    GRU(channels=4, units=32)
    """

    block_rows: ClassVar[tuple[int, ...]] = Network.block_rows
    _layer: ClassVar[str] = "GRU"


def _dense(network: Any, x: Tensor) -> Tensor:
    """Add a sequence network's dense layers."""
    layers = keras().layers
    for width in as_tuple(network.hidden):
        penalty = regularizer(network.l1, network.l2)
        x = layers.Dense(width, activation=network.activation, kernel_regularizer=penalty)(x)
        if network.dropout:
            x = layers.Dropout(network.dropout)(x)
    return x
