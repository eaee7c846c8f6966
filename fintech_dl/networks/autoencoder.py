"""Autoencoders: squeeze a row into a short code and rebuild the row from it."""

from __future__ import annotations

from typing import Any, Literal

from fintech_dl.networks.backend import Columns, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters, regularizer
from fintech_dl.networks.parameters import Activation, Amount, Share, Width, Widths, shown
from fintech_dl.networks.sequence import WindowNetwork


@hyperparameters
class Autoencoder(WindowNetwork):
    """Autoencoder: dense, convolutional or LSTM encoder with a mirrored decoder.

    In a :class:`~fintech_dl.NeuralDetector` the rebuilding error is the anomaly score; in a
    :class:`~fintech_dl.NeuralEncoder` the code is the output. Compare it with PCA of the same size.

    Parameters
    ----------
    kind : {"dense", "cnn", "lstm"}, default="dense"
        Layers of encoder and decoder; ``"cnn"`` and ``"lstm"`` read windows (steps x channels).
    units : int or sequence of int, default=(64,)
        Width of the encoder's layers; the decoder has them in reverse.
    code : int, default=8
        Size of the code.
    activation : str, default="relu"
        Any Keras activation, for the dense and convolutional layers.
    noise : float, default=0.0
        Standard deviation of Gaussian noise added to the standardised inputs while training, in
        [0, 1).
    dropout : float, default=0.0
        Share of units dropped after each layer while training, in [0, 1).
    l1, l2 : float, default=0.0
        Penalties on the absolute and squared weights of the layers.
    channels : int, optional
        Columns that make a step of a window; read from names ``channel@-lag`` when not given.

    References
    ----------
    Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks.

    Examples
    --------
    >>> from fintech_dl import Autoencoder
    >>> Autoencoder(units=(100,), code=20)
    Autoencoder(code=20, units=(100,))
    """

    kind: Literal["dense", "cnn", "lstm"] = "dense"
    units: Widths = (64,)
    code: Width = 8
    activation: Activation = "relu"
    noise: Share = 0.0
    dropout: Share = 0.0
    l1: Amount = 0.0
    l2: Amount = 0.0

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        if self.kind == "cnn" and not as_tuple(self.units):
            raise ValueError(f"units={shown(self.units)}; allowed: one width or more for a CNN")

    def encoding(self, columns: Columns, embed: bool) -> Any:
        """Return the layer that standardises columns, or shapes the window, by ``kind``."""
        return (Network if self.kind == "dense" else WindowNetwork).encoding(self, columns, embed)

    def _layer(self, width: int, x: Tensor) -> Tensor:
        layers = keras().layers
        penalty = regularizer(self.l1, self.l2)
        if self.kind == "lstm":
            x = layers.LSTM(width, return_sequences=True, kernel_regularizer=penalty)(x)
        elif self.kind == "cnn":
            x = layers.Conv1D(
                width, 3, padding="same", activation=self.activation, kernel_regularizer=penalty
            )(x)
        else:
            x = layers.Dense(width, activation=self.activation, kernel_regularizer=penalty)(x)
        return layers.Dropout(self.dropout)(x) if self.dropout else x

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the code, of shape (rows, code)."""
        layers, x = keras().layers, inputs
        if self.noise:
            x = layers.GaussianNoise(self.noise)(x)
        for width in as_tuple(self.units):
            x = self._layer(width, x)
        if self.kind == "lstm":
            x = x[:, -1]
        elif self.kind == "cnn":
            x = layers.Flatten()(x)
        return layers.Dense(self.code, name="code")(x)

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild the encoded inputs from the code, through the encoder's layers in reverse."""
        layers, x = keras().layers, features
        reverse = as_tuple(self.units)[::-1]
        if self.kind == "lstm":
            x = layers.RepeatVector(inputs.shape[1])(x)
        elif self.kind == "cnn":
            width = reverse[0]
            x = layers.Dense(inputs.shape[1] * width, activation=self.activation)(x)
            x = layers.Reshape((inputs.shape[1], width))(x)
        for width in reverse:
            x = self._layer(width, x)
        return layers.Dense(inputs.shape[-1], name="rebuilt")(x)
