"""Autoencoders that learn from spoilt rows, or with a random code."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Literal

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters
from fintech_dl.networks.pace import pace
from fintech_dl.networks.parameters import Activation, Amount, Share, Width, Widths


@hyperparameters
class CodeNetwork(Network):
    """Base of networks with dense layers around a short code: a third of the encoded columns."""

    units: Widths = (128, 64)
    code: Width | None = None
    activation: Activation = "relu"

    def _dense(self, x: Tensor, widths: tuple[int, ...]) -> Tensor:
        for width in widths:
            x = keras().layers.Dense(width, activation=self.activation)(x)
        return x

    def _size(self, inputs: Tensor) -> int:
        return self.code or ceil(inputs.shape[-1] / 3)

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild the encoded inputs from the code, through the layers in reverse."""
        x = self._dense(features, as_tuple(self.units)[::-1])
        return keras().layers.Dense(inputs.shape[-1], name="rebuilt")(x)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {**super().training(n_rows), **pace(n_rows, epochs=100)}


@hyperparameters
class DenoisingAutoencoder(CodeNetwork):
    """Denoising autoencoder: squeezes spoilt rows into a code and rebuilds the whole ones.

    In a :class:`~fintech_dl.NeuralEncoder` its codes keep what columns have in common; in a
    :class:`~fintech_dl.NeuralDetector` the mean squared error of rebuilding is the anomaly score,
    in one pass. :class:`~fintech_dl.DiffusionAutoencoder` finds more anomalies.

    Parameters
    ----------
    units : int or sequence of int, default=(128, 64)
        Width of the encoder's layers; the decoder has them in reverse.
    code : int, optional
        Size of the code; a third of the encoded columns if not given.
    activation : str, default="relu"
        Any Keras activation.
    corruption : {"gaussian", "swap"}, default="gaussian"
        Normal noise added to every cell, or cells swapped with those of other rows.
    noise : float, default=0.3
        Standard deviation of that noise in standardised units, or share of cells that are swapped,
        in [0, 1).

    References
    ----------
    Vincent, Larochelle, Bengio & Manzagol (2008), Extracting and composing robust features with
    denoising autoencoders.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import DenoisingAutoencoder, NeuralEncoder
    >>> X = np.random.default_rng(0).normal(size=(100, 6))
    >>> network = DenoisingAutoencoder(units=16, corruption="swap", noise=0.15)
    >>> NeuralEncoder(network=network, epochs=2, random_state=0).fit_transform(X).shape
    (100, 2)
    """

    corruption: Literal["gaussian", "swap"] = "gaussian"
    noise: Share = 0.3

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the code, of shape (rows, code)."""
        from fintech_dl.networks.noise import Corrupted

        x = Corrupted(self.corruption, self.noise)(inputs)
        x = self._dense(x, as_tuple(self.units))
        return keras().layers.Dense(self._size(inputs), name="code")(x)


@hyperparameters
class VAE(CodeNetwork):
    """Variational autoencoder: a code that is random in training, and near a normal one.

    In a :class:`~fintech_dl.NeuralDetector` the mean squared error of rebuilding a row from the
    mean of its code is the anomaly score: much as PCA finds them. Codes spread evenly around 0.

    Parameters
    ----------
    units : int or sequence of int, default=(128, 64)
        Width of the encoder's layers; the decoder has them in reverse.
    code : int, optional
        Size of the code; a third of the encoded columns if not given.
    activation : str, default="relu"
        Any Keras activation.
    beta : float, default=0.1
        Weight of the codes' distance from standard normal ones; at 1 the loss is the evidence lower
        bound of columns with a noise of variance 1.

    References
    ----------
    Kingma & Welling (2014), Auto-encoding variational Bayes; Higgins et al. (2017), beta-VAE.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import VAE, NeuralEncoder
    >>> X = np.random.default_rng(0).normal(size=(100, 6))
    >>> model = NeuralEncoder(network=VAE(units=16), epochs=2, random_state=0)
    >>> model.fit_transform(X).shape
    (100, 2)
    """

    beta: Amount = 0.1

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the code, of shape (rows, code): its mean, and in training a random one."""
        from fintech_dl.networks.noise import Latent, nested

        x = nested(lambda x: self._dense(x, as_tuple(self.units)), inputs, "encoder")
        return Latent(self._size(inputs), name="code")(x)

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of rebuilding each row, plus that of its code; with ``y`` the usual."""
        if y is not None:
            return super().objective(model, x, y, loss)
        code, rows = model.get_layer("code"), model.get_layer("encoding")(x)
        hidden = model.get_layer("encoder")(rows)
        rebuilt = model.get_layer("decoder")(code(hidden))
        share = self.beta * 2.0 / rows.shape[-1]  # the loss is a mean over columns, of twice theirs
        return loss(rows, rebuilt) + share * code.surplus(hidden)
