"""Score matching: a network that points from noisy rows back to normal ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import kurtosis, trimboth

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import Network, hyperparameters
from fintech_dl.networks.pace import pace
from fintech_dl.networks.parameters import Amount, Share, Width

TRIMMED = 0.02  # share of the rows at either end that do not count
LEAST, MOST = 0.1, 3.0
AT_ONCE = 8192


@hyperparameters
class ScoreMatching(Network):
    """Denoising score matching (K-DSM): learns the noise in a row, of a size for each column.

    In a :class:`~fintech_dl.NeuralDetector` a row's score is how strongly the network pulls it
    towards where rows are denser. One pass per score, slower to train than
    :class:`~fintech_dl.DiffusionAutoencoder`: use it beside that one, in an average of detectors.

    Parameters
    ----------
    units : int, default=256
        Width of every layer.
    blocks : int, default=3
        Residual blocks of two layers.
    dropout : float, default=0.2
        Share of units dropped in the middle of a block while training, half of it at its end.
    noise : float, default=0.5
        Standard deviation of the noise in a column whose kurtosis is that of a normal one; heavier
        tails get more, down to 0.1 and up to 3.

    References
    ----------
    K-DSM: kurtosis-scaled denoising score matching (arXiv 2605.06955).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralDetector, ScoreMatching
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> X = np.column_stack([X, X[:, 0] + X[:, 1]])
    >>> network = ScoreMatching(units=32, blocks=1, dropout=0.0)
    >>> model = NeuralDetector(network=network, epochs=40, learning_rate=0.01, random_state=0)
    >>> score = model.fit(X).anomaly_score([[1.0, 1.0, 2.0], [1.0, 1.0, -2.0]])
    >>> bool(score[1] > score[0])
    True
    """

    units: Width = 256
    blocks: Width = 3
    dropout: Share = 0.2
    noise: Amount = 0.5

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last block's outputs, of shape (rows, units)."""
        from fintech_dl.networks.noise import ColumnNoise, nested

        return nested(self._blocks, ColumnNoise(name="noise")(inputs), "reader")

    def _blocks(self, x: Tensor) -> Tensor:
        layers = keras().layers
        x = layers.Dense(self.units)(x)
        for _ in range(self.blocks):
            inner = layers.Dense(self.units, activation="relu")(layers.BatchNormalization()(x))
            inner = layers.Dropout(self.dropout)(inner) if self.dropout else inner
            inner = layers.Dense(self.units)(inner)
            inner = layers.Dropout(self.dropout / 2)(inner) if self.dropout else inner
            x = layers.Add()([x, inner])
        return x

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild the encoded inputs from features that are learned for the noise alone."""
        from fintech_dl.networks.noise import Beside

        width = inputs.shape[-1]
        return Beside(width, width, name="beside")(features)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Set the noise of each encoded column by how heavy its tails are."""
        encoding, k = model.get_layer("encoding"), keras()
        at = np.linspace(0, len(X) - 1, min(len(X), AT_ONCE)).astype(int)
        rows = k.ops.convert_to_numpy(encoding(X[at]))
        model.get_layer("noise").size.assign(noise_sizes(rows, self.noise))

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {
            **super().training(n_rows),
            **pace(n_rows, epochs=200, batch_size=128),
            "learning_rate": 5e-4,
            "weight_decay": 5e-5,
        }

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of guessing the noise in each row, and of rebuilding the row.

        The features are not trained to rebuild. With ``y`` it is the usual loss.
        """
        if y is not None:
            return super().objective(model, x, y, loss)
        rows, decoder = model.get_layer("encoding")(x), model.get_layer("decoder")
        noisy, noise = model.get_layer("noise")(rows, noisy=True)
        features = model.get_layer("reader")(noisy)
        pull = decoder.get_layer("beside").outputs(features)
        return loss(-noise, pull) / 2 + loss(rows, decoder(features))

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return how strongly each row is pulled: the length of the noise guessed in it."""
        from fintech_dl.networks.noise import length

        features = model.get_layer("reader")(model.get_layer("encoding")(x))
        return length(model.get_layer("decoder").get_layer("beside").outputs(features))


def noise_sizes(rows: np.ndarray, normal: float) -> np.ndarray:
    """Return the noise of each encoded column, by its kurtosis; ``normal`` for one of 3, or binary.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.networks.score_matching import noise_sizes
    >>> rng = np.random.default_rng(0)
    >>> rows = np.column_stack([rng.uniform(size=4000), rng.laplace(size=4000), np.ones(4000)])
    >>> noise_sizes(rows, 0.5).round(1)
    array([0.3, 0.5, 0.5], dtype=float32)
    """
    found = np.full(rows.shape[1], normal)
    for j, column in enumerate(rows.T.astype(np.float64)):
        kept = trimboth(column, TRIMMED)
        if len(np.unique(column)) > 2 and np.ptp(kept) > 0:
            found[j] = normal * (1 + 0.33 * (kurtosis(kept)))
    return np.clip(found, LEAST, MOST).astype(np.float32)
