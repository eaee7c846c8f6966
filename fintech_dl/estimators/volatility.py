"""The neural volatility regressor: forecasts of variances that begin at a linear HAR model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from fintech_dl.estimators.columns import positions
from fintech_dl.estimators.regressor import NeuralRegressor
from fintech_dl.networks.base import hyperparameters
from fintech_dl.networks.parameters import shown

LOGS = ("log_", "market_log_", "leverage_")  # how `features.volatility.har` names what is linear
EARLIER = re.compile(r"@-[1-9]\d*$")  # a step of a window, but not its last


@hyperparameters
class NeuralVolatilityRegressor(NeuralRegressor):
    """Regressor of variances around any network, which corrects a linear log-HAR forecast.

    Use it for realised variances, of one horizon or several, best pooled over many assets. A
    linear model of the logarithm of the variance is fitted to the training rows and stays fixed;
    the network, whose head begins at zero, learns what to add to it. Before the first step the
    model therefore *is* log-HAR, and with few rows it stays near it. On a single series expect a
    tie with log-HAR. For other positive numbers, prices among them, take
    :class:`~fintech_dl.NeuralRegressor`.

    Parameters
    ----------
    loss : {"qlike", "squared_error"}, optional
        QLIKE, y / f - ln(y / f) - 1 of variance y and forecast f, asks for the mean and punishes
        forecasts that are too low; ``"squared_error"`` of the logarithms asks for the median.
    monitor : {"loss"}, optional
        What early stopping watches on the validation rows.
    clipnorm : float, default=1.0
        Largest norm of a weight's gradient: QLIKE is steep where a forecast is far too low.
    offset : {"har"} or None, default="har"
        What the network corrects; None to let it learn the logarithm of the variance alone.
    offset_columns : sequence of column names or positions, or a list of lists, optional
        Numbers of which the linear forecast is made, best logarithms of variances and bounded
        others. By default those whose name begins with ``log_``, ``market_log_`` or ``leverage_``;
        if there are none, all. Of a window only the last step, ``channel@-0``, which may be named
        ``channel``. What is missing stands at its mean. Of several targets each has a line of its
        own: of the same columns, or of its own ones if there is a list for each target.
    by : column name or position, optional
        A category, such as the asset, each of which has a linear forecast of its own. That of all
        rows serves where it is unseen, or has fewer than ten training rows per offset column.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        Mean of the logarithms of the training targets, and 1: logarithms need no other scale. With
        ``cv`` with a first dimension of members.

    See Also
    --------
    NeuralRegressor : ``cv`` and ``oof_``.
    NeuralEstimator : All other parameters and fitted attributes.

    Notes
    -----
    Members are averaged as logarithms. Half the variance of what the linear forecast leaves over is
    added to it, so that its exponential forecasts a mean. At zero begin the network's layers whose
    name begins with ``head``; a network of your own with a head of other layers starts elsewhere.
    ``score`` is R2 of the variances, which a few stormy days decide: compare by QLIKE.

    References
    ----------
    Corsi (2009), A simple approximate long-memory model of realized volatility. Patton (2011),
    Volatility forecast comparison using imperfect volatility proxies.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fintech_dl import MLP, NeuralVolatilityRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"log_variance_1": rng.normal(size=300)})
    >>> y = np.exp(0.5 * X["log_variance_1"] + 0.1 * rng.normal(size=300))
    >>> model = NeuralVolatilityRegressor(network=MLP(units=8), epochs=5, random_state=0).fit(X, y)
    >>> bool(abs(model.predict(X.iloc[:1] * 0)[0] - 1) < 0.1)
    True
    """

    clipnorm: float | None = 1.0
    offset: Literal["har"] | None = "har"
    offset_columns: Sequence[Any] | None = None
    by: Any = None

    losses: ClassVar[tuple[str, ...]] = ("qlike", "squared_error")
    monitors: ClassVar[tuple[str, ...]] = ("loss",)

    def predict(self, X: Any) -> np.ndarray:
        """Return variances, of shape (n_rows,) or (n_rows, n_targets), in the target's unit.

        Above 0. Their root is a volatility per bar.
        """
        return super().predict(X)

    def _finished(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        return np.exp(super()._finished(outputs, members))

    def _checked(self, X: Any, y: Any) -> np.ndarray:
        y = super()._checked(X, y)
        wrong = np.flatnonzero((y <= 0).reshape(len(y), -1).any(axis=1))
        if len(wrong):
            raise ValueError(
                f"y: {len(wrong)} of {len(y)} rows are 0 or below, the first is row {wrong[0]} (by "
                f"position): {y[wrong[0]]}; a variance is above 0. Leave such rows out, or raise "
                "them to a floor"
            )
        return y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        tags.target_tags.multi_output = False  # it is; but scikit-learn's check takes negative ones
        return tags

    def _learn_target(self, y: Any, weights: list[np.ndarray], classes: Any) -> None:
        super()._learn_target(np.log(y), weights, classes)
        self.target_scale_ = np.ones_like(self.target_mean_)

    def _target(self, y: Any, member: int) -> np.ndarray:
        return super()._target(np.log(y), member)

    def _structure(self) -> list[Any]:
        return [*super()._structure(), *(self._line() if self.offset else ())]

    def _added(self, outputs: Any, rows: Any) -> Any:
        if self.offset is None:
            return outputs
        from fintech_dl.estimators.outputs import Line

        at, by, own = self._line()
        n_lines = 1 if by is None else 1 + len(self.columns_[by]["categories"])
        return Line(at, by, n_lines, own, name="line")([outputs, rows])

    def _adapt(
        self, model: Any, rows: np.ndarray, target: np.ndarray | None, weight: np.ndarray
    ) -> None:
        if self.offset is None:
            return
        half = self.loss != "squared_error"  # whose forecasts are medians
        model.get_layer("line").adapt(rows, target, weight, mean=half)
        for layer in model.layers:
            if layer.name.startswith("head"):
                for value in layer.trainable_variables:
                    value.assign(np.zeros(value.shape, dtype=np.float32))

    def _line(self) -> tuple[list[int], int | None, list[list[int]] | None]:
        """Return the positions of the linear forecast's numbers, and of its category, if any.

        Then the places among these numbers that each target has, if not all.
        """
        names = [column["name"] for column in self.columns_]
        numbers = [
            i
            for i, column in enumerate(self.columns_)
            if column["kind"] == "number" and not column.get("special_codes")
        ]
        named, lists = self.offset_columns, None
        if named is not None and len(named) and all(isinstance(one, list) for one in named):
            if len(named) != self._shape():
                raise ValueError(
                    f"offset_columns holds {len(named)} lists, y {self._shape()} targets; give a "
                    "list for each target"
                )
            lists, named = named, list(dict.fromkeys(c for one in named for c in one))
        if named is None:
            last = [i for i in numbers if not EARLIER.search(names[i])]
            at = [i for i in last if names[i].startswith(LOGS)] or last
        else:
            ends = {n: f"{n}@-0" if f"{n}@-0" in names else n for n in named}
            at = positions(names, list(ends.values()), "offset_columns")
        if not at or not set(at) <= set(numbers):
            raise ValueError(
                f"offset_columns={shown(self.offset_columns)}; allowed: columns of numbers without "
                f"special codes, one or more of {[names[i] for i in numbers]}; or offset=None"
            )
        own = None
        if lists is not None:
            place = dict(zip(ends, range(len(at)), strict=True))
            own = [[place[name] for name in one] for one in lists]
        if self.by is None:
            return at, None, own
        (by,) = positions(names, [self.by], "by")
        if self.columns_[by]["kind"] != "category":
            raise ValueError(
                f"by={shown(self.by)} is a column of numbers; allowed: a category. Name it in "
                "categorical=[...] if its values are categories"
            )
        return at, by, own
