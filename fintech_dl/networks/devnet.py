"""Deviation network: a score that known anomalies must raise far above that of other rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters
from fintech_dl.networks.dense import MLP
from fintech_dl.networks.one_class import supervised
from fintech_dl.networks.pace import pace
from fintech_dl.networks.parameters import Activation, Amount, Share, Widths, shown

ODDEST = 0.6  # of the margin: what the noisiest row has to score


@hyperparameters
class DevNet(Network):
    """Deviation network: known anomalies must score far above all other rows.

    The detector to use where a few anomalies are known, five or more, and there are too few for a
    classifier; unknown anomalies among the training rows do little harm. Rows with noise added
    teach it that what is unlike everything is odd too, so that anomalies of a new kind are not
    overlooked. Labels go to ``fit`` of :class:`~fintech_dl.NeuralDetector`: 1 for a known anomaly,
    0 or -1 for all others.

    Parameters
    ----------
    units : int or sequence of int, default=(64, 20)
        Width of each layer.
    activation : str, default="relu"
        Any Keras activation.
    dropout : float, default=0.0
        Share of units dropped after each layer while training, in [0, 1).
    margin : float, default=5.0
        Score that a known anomaly has to reach; other rows are drawn towards 0.
    jitter : float, default=2.0
        Largest standard deviation of the noise added to known anomalies in training, in those of
        the columns, so that rows near them are found as well; 0 for none.
    noise : float, default=4.0
        Largest standard deviation of the noise added to other rows, which then have to score up to
        3/5 of the margin; 0 for no such rows: the network of the reference.

    References
    ----------
    Pang, Shen & van den Hengel (2019), Deep anomaly detection with deviation networks.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import DevNet, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> known = np.where(np.abs(X - 1).max(axis=1) < 0.3, 1, -1)
    >>> model = NeuralDetector(network=DevNet(units=16), epochs=20, learning_rate=0.01,
    ...                        random_state=0).fit(X, known)
    >>> score = model.anomaly_score([[1.0, 1.0], [-1.0, -1.0]])
    >>> bool(score[0] > score[1])
    True
    """

    units: Widths = (64, 20)
    activation: Activation = "relu"
    dropout: Share = 0.0
    margin: Amount = 5.0
    jitter: Amount = 2.0
    noise: Amount = 4.0

    learns_from_labels: ClassVar[bool] = True

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        if not as_tuple(self.units):
            raise ValueError(f"units={shown(self.units)}; allowed: one width or more")

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last layer's outputs, of shape (rows, units[-1])."""
        from fintech_dl.networks.deviation import ScaledNoise
        from fintech_dl.networks.noise import nested

        x = ScaledNoise(self.noise, name="noise")(ScaledNoise(self.jitter, name="jitter")(inputs))
        mlp = MLP(units=self.units, activation=self.activation, dropout=self.dropout)
        return nested(mlp, x, "reader")

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild the encoded inputs from features that are learned for the score alone."""
        from fintech_dl.networks.noise import Beside

        return Beside(1, inputs.shape[-1], name="beside")(features)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Refuse training rows of which none is a known anomaly."""
        if not supervised(model) and (y is None or not (y == 1).any()):
            raise ValueError(
                "DevNet learns from known anomalies, and there are none: fit a NeuralDetector with "
                "y, 1 for a known anomaly and -1 or 0 for other rows. Without labels take another "
                "network, such as Autoencoder"
            )

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows.

        Half of the rows that an epoch takes are known anomalies.
        """
        paced = pace(2 * n_rows, epochs=10)
        return {**super().training(n_rows), **paced, "schedule": "linear"}

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return how far the scores of each row, and of the row with noise, are from the aim.

        To this comes the loss of rebuilding the row, for which features are not trained.
        """
        if supervised(model):
            return super().objective(model, x, y, loss)
        ops, decoder = keras().ops, model.get_layer("decoder")
        reader, beside = model.get_layer("reader"), decoder.get_layer("beside")
        rows, known = model.get_layer("encoding")(x), ops.equal(ops.reshape(y, (-1, 1)), 1)
        shaken, _ = model.get_layer("jitter")(rows, noisy=True)
        features = reader(ops.where(known, shaken, rows))
        score = beside.outputs(features)
        missed = ops.where(known, ops.relu(self.margin - score), ops.abs(score))
        if self.noise:
            blurred, size = model.get_layer("noise")(rows, noisy=True)
            gap = ops.abs(ODDEST * self.margin * size - beside.outputs(reader(blurred)))
            missed = missed + ops.where(known, 0.0, gap)
        return missed[:, 0] + loss(rows, decoder(features))

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return the score, about 0 for usual rows and ``margin`` for known anomalies."""
        features = model.get_layer("reader")(model.get_layer("encoding")(x))
        return model.get_layer("decoder").get_layer("beside").outputs(features)[:, 0]
