"""Several views of a row in one score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fintech_dl.networks.backend import Settings, Tensor, keras
from fintech_dl.networks.base import as_tuple, hyperparameters
from fintech_dl.networks.diffusion import DiffusionTime
from fintech_dl.networks.pace import pace
from fintech_dl.networks.parameters import Width, shown

VIEWS = ("noise", "neighbours", "ellipsoid", "histograms")
WEIGHTS = {"neighbours": 2.0}  # what says most where the training rows are normal
AT_ONCE = 8192
ROWS_SEEN = 1_000_000  # in training: the other views do not wait for the network's last digit
MOST_ROWS = 50_000  # that a view learns from
SUPPOSED = 4.0  # deviation of what the network says, until it has been trained
LEAST = 1e-6  # under a logarithm


@hyperparameters
class MultiView(DiffusionTime):
    """Several views of a row in one score: the detector to begin with.

    Each view finds what others overlook: a network that guesses the noise in a row, where columns
    go together; the nearest training rows, where columns are few; an ellipsoid and histograms of
    the columns, which learn no details, where the training rows hold anomalies themselves.
    Every view is counted in deviations from what is usual among training rows; the score is their
    mean, in which the neighbours count double. With ``"neighbours"`` training rows are kept in the
    fitted state: leave it out where no row of a customer may leave the bank. Distances to kept rows
    jump where a row equals one of them: take ``explain`` for reasons, not integrated gradients.

    Parameters
    ----------
    views : sequence of str, default=("noise", "neighbours")
        Of ``"noise"``, ``"neighbours"``, ``"ellipsoid"`` and ``"histograms"``.
    memory : int, default=4096
        Training rows that are kept, evenly taken from all, for ``"neighbours"``; fewer where
        there are more than 900 columns.
    neighbours : int, default=1
        Nearest kept rows whose distances are averaged. More of them, and a smaller ``memory``, look
        past anomalies that lie close together among the training rows.

    See Also
    --------
    DiffusionTime : All other parameters; it is the view ``"noise"`` alone.

    References
    ----------
    Livernoche, Jain, Hezaveh & Ravanbakhsh (2024), On diffusion modeling for anomaly detection,
    where noise guessed by a network and by neighbours are two estimates of the same. Goldstein &
    Dengel (2012), Histogram-based outlier score. Rousseeuw (1984), Least median of squares
    regression, for ellipsoids around the innermost rows.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import MultiView, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> X = np.column_stack([X, X[:, 0] + X[:, 1]])
    >>> network = MultiView(units=32, dropout=0.0)
    >>> model = NeuralDetector(network=network, epochs=10, random_state=0).fit(X)
    >>> score = model.anomaly_score([[1.0, 1.0, 2.0], [1.0, 1.0, -2.0]])
    >>> bool(score[1] > score[0])
    True
    """

    views: Sequence[str] = ("noise", "neighbours")
    memory: Width = 4096
    neighbours: Width = 1

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        views = () if isinstance(self.views, str) else as_tuple(self.views)
        if not views or len(set(views)) < len(views) or set(views) - set(VIEWS):
            raise ValueError(
                f"views={shown(self.views)}; allowed: one or more of {', '.join(VIEWS)}"
            )

    def _layers(self) -> list[Any]:
        """Return the layers of the views, the network's own first."""
        from fintech_dl.networks.views import Ellipsoid, Histograms, Neighbours, Usual

        made: dict[str, Callable[..., Any]] = {
            "noise": Usual,
            "neighbours": lambda **name: Neighbours(self.memory, self.neighbours, **name),
            "ellipsoid": Ellipsoid,
            "histograms": Histograms,
        }
        return [made[name](name=f"view_{name}") for name in VIEWS if name in self.views]

    def _learned_at_once(self) -> list[str]:
        return [f"view_{name}" for name in VIEWS[1:] if name in self.views]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the last layer's outputs, of shape (rows, units[-1])."""
        for layer in self._layers():
            inputs = layer(inputs)
        return super().__call__(inputs)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Learn all views but the network's own from training rows."""
        at = np.linspace(0, len(X) - 1, min(len(X), MOST_ROWS)).astype(int)
        encode, convert = model.get_layer("encoding"), keras().ops.convert_to_numpy
        rows = np.concatenate(
            [convert(encode(X[at[i : i + AT_ONCE]])) for i in range(0, len(at), AT_ONCE)]
        )
        for name in self._learned_at_once():
            model.get_layer(name).learn(rows)
        if "noise" in self.views:
            model.get_layer("view_noise").suppose(0.0, SUPPOSED)

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        if "noise" not in self.views:  # nothing that an epoch could teach
            return {**super().training(n_rows), "epochs": 1, "batch_size": 8192}
        advice = pace(n_rows, epochs=400, batch_size=128)
        epochs = min(advice["epochs"], max(ROWS_SEEN // max(n_rows, 1), 10))
        more = {"epochs": epochs, "patience": epochs, "learning_rate": 5e-4, "schedule": "cosine"}
        return {**super().training(n_rows), **advice, **more}

    def settle(self, model: Any, X: np.ndarray) -> None:
        """Learn what the network usually says of training rows, when it has been trained."""
        if "noise" in self.views:
            guess = keras().ops.convert_to_numpy(self._guess(model, X))
            model.get_layer("view_noise").suppose(guess.mean(), guess.std())

    def anomaly_score(self, model: Any, x: Tensor) -> Tensor:
        """Return the mean of what all views say, in deviations from what is usual."""
        rows, total, weights = model.get_layer("encoding")(x), 0.0, 0.0
        for view in self.views:
            layer, weight = model.get_layer(f"view_{view}"), WEIGHTS.get(view, 1.0)
            noise = view == "noise"
            said = layer.in_deviations(self._guess(model, x)) if noise else layer.score(rows)
            total, weights = total + weight * said, weights + weight
        return total / weights

    def _guess(self, model: Any, x: Tensor) -> Tensor:
        """Return the log odds of the highest class of noise against none, as rows seem to have."""
        ops = keras().ops
        features = model.get_layer("reader")(model.get_layer("encoding")(x))
        logits = model.get_layer("decoder").get_layer("beside").outputs(features)
        share = ops.exp(logits - ops.max(logits, axis=1, keepdims=True))
        steps = np.arange(self.classes, dtype=np.float32)[:, None]
        up, down = ops.matmul(share, steps), ops.matmul(share, steps[::-1].copy())
        return (ops.log(up + LEAST) - ops.log(down + LEAST))[:, 0]
