"""Networks that learn what noise does to normal rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters
from fintech_dl.networks.dense import MLP
from fintech_dl.networks.pace import pace
from fintech_dl.networks.parameters import Activation, Share, Width, Widths, Within, shown


@hyperparameters
class DiffusionAutoencoder(Network):
    """Diffusion autoencoder (DDAE): learns to rebuild rows from noisy copies, at many levels.

    The first detector to try where the training rows are normal, or nearly all of them: in a
    :class:`~fintech_dl.NeuralDetector` a row's score is the distance between the row and what is
    rebuilt of it. Rows far from the training rows look noisy, and are moved further.

    Parameters
    ----------
    units : int or sequence of int, default=(512, 512)
        Width of each layer.
    activation : str, default="leaky_relu"
        Any Keras activation.
    dropout : float, default=0.0
        Share of units dropped after each layer while training, in [0, 1).
    levels : int, default=100
        Levels of noise; at level t the row is multiplied by the root of what is left of it, and
        normal noise is added so that the variance of a standardised column stays 1.
    noise : float, default=0.02
        Variance that the last level adds, above 0 and below 1; with 100 levels the noise is then
        four fifths of the last.
    draws : int, default=0
        Fixed draws of noise, at levels evenly spread, that a score is averaged over, as published.
        With 0 the row itself is rebuilt, in one pass: that found more anomalies, above all in few
        columns, where noise hides what is close.

    Notes
    -----
    Unlike the published network this one is not told the level of noise.

    References
    ----------
    Sattarov, Schreyer & Borth (2025), Diffusion denoising autoencoders for anomaly detection
    (arXiv 2508.00758).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import DiffusionAutoencoder, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> X = np.column_stack([X, X[:, 0] + X[:, 1]])
    >>> network = DiffusionAutoencoder(units=32)
    >>> model = NeuralDetector(network=network, epochs=40, random_state=0).fit(X)
    >>> score = model.anomaly_score([[1.0, 1.0, 2.0], [1.0, 1.0, -2.0]])
    >>> bool(score[1] > score[0])
    True
    """

    units: Widths = (512, 512)
    activation: Activation = "leaky_relu"
    dropout: Share = 0.0
    levels: Width = 100
    noise: Share = 0.02
    draws: Annotated[int, Within(0)] = 0

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        _check_levels(self, "draws", self.draws)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last layer's outputs for rows without noise, of shape (rows, units[-1])."""
        from fintech_dl.networks.noise import LeveledNoise, nested, shares

        layer = LeveledNoise(*shares(self.levels, self.noise), self.draws, name="noise")
        mlp = MLP(units=self.units, activation=self.activation, dropout=self.dropout)
        return nested(mlp, layer(inputs), "denoiser")

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild the encoded inputs from the features."""
        return keras().layers.Dense(inputs.shape[-1], name="rebuilt")(features)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {**super().training(n_rows), **pace(n_rows, epochs=100)}

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of rebuilding each row from a noisy copy; with ``y`` the usual loss."""
        if y is not None:
            return super().objective(model, x, y, loss)
        rows = model.get_layer("encoding")(x)
        noisy, _ = model.get_layer("noise")(rows, noisy=True)
        return loss(rows, model.get_layer("decoder")(model.get_layer("denoiser")(noisy)))

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return the distance between each row and what is rebuilt of it, or of noisy copies."""
        from fintech_dl.networks.noise import length

        noise, rows = model.get_layer("noise"), model.get_layer("encoding")(x)
        denoiser, decoder = model.get_layer("denoiser"), model.get_layer("decoder")
        if not self.draws:
            return length(rows - decoder(denoiser(rows)))
        total = 0.0
        for draw in range(self.draws):
            level = 1 + int((draw + 0.5) * self.levels / self.draws)
            total += length(rows - decoder(denoiser(noise.fixed(rows, draw, level))))
        return total / self.draws


@hyperparameters
class DiffusionTime(Network):
    """Diffusion time estimation (DTE): guesses how much noise was added to a row.

    In a :class:`~fintech_dl.NeuralDetector` a row's score is the level of noise that it seems to
    have, from 0 to ``classes - 1``. One pass per score: use it where many rows have to be scored.
    Far from the training rows all scores are nearly the same.

    Parameters
    ----------
    units : int or sequence of int, default=(256, 512, 256)
        Width of each layer.
    activation : str, default="relu"
        Any Keras activation.
    dropout : float, default=0.5
        Share of units dropped after each layer while training, in [0, 1).
    levels : int, default=400
        Levels of noise, which is added to rows that stay as they are.
    noise : float, default=0.01
        Variance that the last level adds, above 0 and below 1.
    classes : int, default=7
        Classes of levels to tell apart, at most ``levels``.

    References
    ----------
    Livernoche, Jain, Hezaveh & Ravanbakhsh (2024), On diffusion modeling for anomaly detection.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import DiffusionTime, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> X = np.column_stack([X, X[:, 0] + X[:, 1]])
    >>> network = DiffusionTime(units=32, dropout=0.0)
    >>> model = NeuralDetector(network=network, epochs=40, learning_rate=0.01, random_state=0)
    >>> score = model.fit(X).anomaly_score([[1.0, 1.0, 2.0], [1.0, 1.0, -2.0]])
    >>> bool(score[1] > score[0])
    True
    """

    units: Widths = (256, 512, 256)
    activation: Activation = "relu"
    dropout: Share = 0.5
    levels: Width = 400
    noise: Share = 0.01
    classes: Width = 7

    block_rows: ClassVar[tuple[int, ...]] = (256,)

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        _check_levels(self, "classes", self.classes)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last layer's outputs, of shape (rows, units[-1])."""
        from fintech_dl.networks.noise import LeveledNoise, nested, shares

        _, noise = shares(self.levels, self.noise)
        x = LeveledNoise(np.ones_like(noise), noise, name="noise")(inputs)
        mlp = MLP(units=self.units, activation=self.activation, dropout=self.dropout)
        return nested(mlp, x, "reader")

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild the encoded inputs from features that are learned for the levels alone."""
        from fintech_dl.networks.noise import Beside

        return Beside(self.classes, inputs.shape[-1], name="beside")(features)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {
            **super().training(n_rows),
            **pace(n_rows, epochs=200, batch_size=128),
            "learning_rate": 5e-4,
            "schedule": "cosine",
        }

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the cross-entropy of each row's class of noise, and the loss of rebuilding it.

        The features are not trained to rebuild. With ``y`` it is the usual loss.
        """
        if y is not None:
            return super().objective(model, x, y, loss)
        ops, decoder = keras().ops, model.get_layer("decoder")
        rows = model.get_layer("encoding")(x)
        noisy, level = model.get_layer("noise")(rows, noisy=True)
        features = model.get_layer("reader")(noisy)
        logits = decoder.get_layer("beside").outputs(features)
        target = (level - 1) * self.classes // self.levels
        guess = ops.sparse_categorical_crossentropy(target, logits, from_logits=True)
        return guess + loss(rows, decoder(features))

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return the class of noise that each row seems to have, on average."""
        ops = keras().ops
        features = model.get_layer("reader")(model.get_layer("encoding")(x))
        logits = model.get_layer("decoder").get_layer("beside").outputs(features)
        steps = np.arange(self.classes, dtype=np.float32)[:, None]
        return ops.matmul(ops.softmax(logits), steps)[:, 0]


def _check_levels(network: Any, name: str, value: int) -> None:
    """Raise ValueError unless there is noise, layers, and a level for each of so many things."""
    if not as_tuple(network.units):
        raise ValueError(f"units={shown(network.units)}; allowed: one width or more")
    if not network.noise:
        raise ValueError(f"noise={shown(network.noise)}; allowed: float above 0 and below 1")
    if value > network.levels:
        raise ValueError(f"{name}={value}; allowed: at most levels, {network.levels}")
