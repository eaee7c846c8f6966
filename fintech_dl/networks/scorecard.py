"""Scorecard: a curve per column, and nothing but their sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fintech_dl.networks.backend import Columns, Settings, Tensor
from fintech_dl.networks.base import Network, hyperparameters
from fintech_dl.networks.parameters import Amount, Width, shown

DIRECTIONS = {"increasing": 1.0, "decreasing": -1.0}


@hyperparameters
class Scorecard(Network):
    """Additive scorecard: each column has a curve, and the output is the sum of the curves.

    Use it for credit decisions that must be explained and may not contradict common sense: what a
    column adds can be read off, ``monotone`` columns keep their direction whatever the data say,
    and :func:`~fintech_dl.points_table` writes the fitted model as a table of points. Take a
    :class:`~fintech_dl.TabM` where columns must work together.

    A number's curve is continuous, straight within each bin and flat beyond the training rows;
    each category has one value. What is missing, each special code, and the categories that are
    rare or unseen have values of their own; what training never saw counts as the average.

    Parameters
    ----------
    bins : int, default=8
        Straight pieces of a number's curve; fewer where a column has fewer distinct values.
    monotone : dict of column name to {"increasing", "decreasing"}, optional
        Numbers whose curve may only rise or fall with the output: with two classes the risk of
        ``classes_[1]``. What is missing and special codes stand apart from it.
    l2 : float, default=1e-5
        Penalty on squared steps: pulls curves towards the average.
    smoothness : float, default=1e-4
        Penalty on squared differences of neighbouring steps: pulls curves towards straight lines
        over equal shares of the rows.

    Notes
    -----
    Why a monotone curve cannot turn: a number enters as the part of each bin that lies below it,
    which never falls when the number grows. The curve adds up these parts times steps, and each
    step is relu(w) >= 0 times +1 or -1; rounding keeps the order of sums and products.

    References
    ----------
    Hastie & Tibshirani (1986), Generalized additive models. Agarwal et al. (2021), Neural additive
    models: interpretable machine learning with neural nets.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralClassifier, Scorecard
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
    >>> network = Scorecard(bins=8, monotone={"x0": "increasing"})
    >>> model = NeuralClassifier(network=network, learning_rate=0.1, epochs=20, random_state=0)
    >>> model = model.fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    bins: Width = 8
    monotone: Mapping[Any, str] | None = None
    l2: Amount = 1e-5
    smoothness: Amount = 1e-4

    def check(self) -> None:
        """Raise ValueError for a parameter that is out of range."""
        super().check()
        for name, way in (self.monotone or {}).items():
            if not isinstance(way, str) or way not in DIRECTIONS:
                raise ValueError(
                    f"monotone[{name!r}]={shown(way)}; allowed: 'increasing', 'decreasing'"
                )

    def encoding(self, columns: Columns, embed: bool) -> Any:
        """Return the layer that cuts columns into pieces, where they need not be rebuilt."""
        kinds = {column["name"]: column["kind"] for column in columns}
        ways = {str(name): DIRECTIONS[way] for name, way in (self.monotone or {}).items()}
        for name in ways:
            where = f"monotone={shown(self.monotone)} names {name!r}, which is"
            if name not in kinds:
                raise ValueError(f"{where} no column; allowed: columns of numbers, of {[*kinds]}")
            if kinds[name] == "category":
                raise ValueError(
                    f"{where} a category: it has no order; allowed: columns of numbers. "
                    "Turn ordered categories into numbers first"
                )
        if not embed:
            return super().encoding(columns, embed)
        from fintech_dl.networks.curves import Pieces

        return Pieces(columns, self.bins, ways)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the pieces as they are: there is nothing between them and their sum."""
        return inputs

    def head(self, features: Tensor, n_outputs: int) -> Tensor:
        """Return the sums of ``n_outputs`` sets of curves."""
        from fintech_dl.networks.curves import Steps

        if self.monotone and n_outputs > 1:
            raise ValueError(
                f"monotone={shown(self.monotone)} with {n_outputs} outputs; allowed: two classes, "
                "or one target, so that it is clear what rises. Leave monotone out"
            )
        return Steps(n_outputs, self.l2, self.smoothness, name="head")(features)

    def adapt(
        self,
        model: Any,
        X: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Tell the sum which steps have a direction, and which are neighbours."""
        pieces = model.get_layer("encoding")
        if hasattr(pieces, "neighbours"):
            model.get_layer("head").limit(pieces.direction, pieces.neighbours())

    def training(self, n_rows: int) -> Settings:
        """Return the recommended training settings for ``n_rows`` training rows."""
        size = (
            {"batch_size": 512, "epochs": 15}
            if n_rows >= 10_000
            else {"batch_size": 64, "epochs": 100}
        )
        return {**super().training(n_rows), "learning_rate": 3e-3, **size}
