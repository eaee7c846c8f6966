"""One-class networks: the features of normal rows lie close to one point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import Network, as_tuple, hyperparameters
from fintech_dl.networks.pace import pace
from fintech_dl.networks.parameters import Activation, Amount, Width, Widths

AT_ONCE = 8192
NEAR = 1e-3  # squared distance below which a known anomaly pushes no harder


@hyperparameters
class DeepSVDD(Network):
    """One-class network (Deep SVDD): draws the features of all training rows towards one point.

    A row's score in a :class:`~fintech_dl.NeuralDetector` is its squared distance from that point,
    the centre. Layers have no biases, which could draw every row there, whatever it says. Use it on
    training rows that are normal, beside others: of its kind it is the weakest, and published
    results are mostly below those of nearest neighbours. Anomalies among the training rows are
    drawn to the centre as well: see ``contaminated`` of the detector.

    Parameters
    ----------
    units : int or sequence of int, default=(128, 64)
        Width of each layer.
    code : int, default=32
        Number of features whose distance counts.
    activation : str, default="leaky_relu"
        Any Keras activation; one that is bounded could be saturated to the same features for all.
    rebuild : float, default=0.1
        Weight of the loss of rebuilding rows from their features, which keeps these from losing all
        that tells rows apart; 0 for none, as in the reference, which rebuilds in a first phase.

    References
    ----------
    Ruff et al. (2018), Deep one-class classification.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import DeepSVDD, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 3))
    >>> network = DeepSVDD(units=16, code=4)
    >>> model = NeuralDetector(network=network, epochs=10, random_state=0).fit(X)
    >>> score = model.anomaly_score([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    >>> bool(score[1] > score[0])
    True
    """

    units: Widths = (128, 64)
    code: Width = 32
    activation: Activation = "leaky_relu"
    rebuild: Amount = 0.1

    def _layers(self, x: Tensor, widths: tuple[int, ...]) -> Tensor:
        for width in widths:
            x = keras().layers.Dense(width, activation=self.activation, use_bias=False)(x)
        return x

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the features less the centre, of shape (rows, code)."""
        from fintech_dl.networks.centre import Centre

        x = self._layers(inputs, as_tuple(self.units))
        x = keras().layers.Dense(self.code, use_bias=False, name="code")(x)
        return Centre(name="centre")(x)

    def decode(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Rebuild the encoded inputs, through the layers in reverse."""
        x = self._layers(features, as_tuple(self.units)[::-1])
        return keras().layers.Dense(inputs.shape[-1], name="rebuilt")(x)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Put the centre at the mean of the training rows' features, a little off zero."""
        found = [
            keras().ops.convert_to_numpy(model(X[i : i + AT_ONCE], training=False)["features"])
            for i in range(0, len(X), AT_ONCE)
        ]
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        model.get_layer("centre").adapt(np.concatenate(found), weight)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        return {**super().training(n_rows), **pace(n_rows, epochs=50), "weight_decay": 1e-6}

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the squared distance from the centre, plus ``rebuild`` times the loss of that.

        With a target it is the usual loss.
        """
        if supervised(model):
            return super().objective(model, x, y, loss)
        return self._usual(model(x), loss)

    def _usual(self, parts: Any, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return the loss of each row that is to lie near the centre."""
        return _distance(parts) + self.rebuild * loss(parts["inputs"], parts["outputs"])

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return the squared distance of each row's features from the centre."""
        return _distance(model(x))


@hyperparameters
class DeepSAD(DeepSVDD):
    """One-class network with labels (Deep SAD): known anomalies are driven away from the centre.

    Use it where a few anomalies are known, beside :class:`~fintech_dl.DevNet`, which is mostly
    better. Labels go to ``fit`` of :class:`~fintech_dl.NeuralDetector`: 1 for a known anomaly, 0
    for a row known as normal, -1 for all others. Without labels it is `DeepSVDD`.

    Parameters
    ----------
    units, code, activation, rebuild
        As in `DeepSVDD`; known anomalies are not rebuilt.
    eta : float, default=1.0
        Weight of known anomalies, by the inverse of their squared distance.

    References
    ----------
    Ruff et al. (2020), Deep semi-supervised anomaly detection.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import DeepSAD, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> known = np.where(np.abs(X - 1).max(axis=1) < 0.3, 1, -1)
    >>> network = DeepSAD(units=16, code=4)
    >>> model = NeuralDetector(network=network, epochs=20, learning_rate=0.01, random_state=0)
    >>> score = model.fit(X, known).anomaly_score([[1.0, 1.0], [-1.0, -1.0]])
    >>> bool(score[0] > score[1])
    True
    """

    eta: Amount = 1.0

    learns_from_labels: ClassVar[bool] = True

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows.

        Half of the rows that an epoch takes are known anomalies.
        """
        return super().training(2 * n_rows)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Put the centre at the mean of the features of rows that are no known anomalies."""
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        usual = np.full(len(X), True) if y is None or supervised(model) else y.ravel() != 1
        super().adapt(model, X[usual], None, weight[usual])

    def objective(
        self, model: Any, x: Tensor, y: Tensor | None, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the loss of `DeepSVDD`; of a known anomaly, the inverse of its distance."""
        if y is None or supervised(model):
            return super().objective(model, x, y, loss)
        ops, parts = keras().ops, model(x)
        driven = self.eta / (_distance(parts) + NEAR)
        known = ops.equal(ops.reshape(y, (-1,)), 1)
        return ops.where(known, driven, self._usual(parts, loss))


def supervised(model: Any) -> bool:
    """Tell whether a model predicts targets: it has a head, and no decoder."""
    return all(layer.name != "decoder" for layer in model.layers)


def _distance(parts: Any) -> Tensor:
    # a product sums every row alike, whatever the block's size; a sum is fused, and does not
    ops, features = keras().ops, parts["features"]
    return ops.matmul(ops.square(features), ops.ones((features.shape[-1], 1)))[:, 0]
