"""Intervals around forecasts that hold what they promise, calibrated on rows not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.conformal import (
    Said,
    dates_of,
    forecast_of,
    interval_of,
    last_step,
    margins_of,
    outcomes,
    risk_of,
    rows_for,
    scores_of,
    tails_of,
    wide,
)
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.spreads import Scale, columns_of, spread_of, weights_of

LEAST_MISSES = 0.001  # adaptive intervals never ask for fewer
CALIBRATED = ("alpha_", "last_", "margins_", "residuals_", "scores_", "steps_")
INSIDE = ("n_features_in_", "feature_names_in_")


class ConformalRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Calibrated intervals around any regressor, for markets that are calm and stormy by turns.

    Use it where an interval of 90 % has to hold nine outcomes of ten: how far off the forecasts of
    rows that training has not seen were, in units of the expected volatility, says how wide the
    intervals of new rows must be. With ``scale`` they are wide when the market is stormy and narrow
    when it is calm; with ``adapt`` they recover after a break. The forecast itself stays as it is.
    What is promised is the share over all rows, if new rows are like those calibrated on: look at
    ``coverage.coverage_by_group`` for each year and each third of volatility.

    Parameters
    ----------
    estimator : regressor
        ``fit`` fits a clone of it. In a ``FrozenEstimator`` it stays as it is.
    coverage : float or sequence of float, default=0.9
        Share of outcomes that an interval is to hold; several for several bands.
    method : {"split", "cqr"}, default="split"
        ``"split"``: the interval lies around the forecast. ``"cqr"``: the model's own interval is
        moved outwards or inwards (conformalised quantile regression); the estimator, or the last
        step of a Pipeline, needs ``predict_interval``, as ``NeuralQuantileRegressor`` has.
    scale : str or int, or a list of them, optional
        Column of ``X`` that holds the spread expected of the row's outcome, above 0, such as its
        volatility; any unit will do. A name, or of an array the position. The model sees it too.
        Of several (volatility of the last day, week and month) ``fit`` learns the weights, as of a
        log-HAR model, from the errors of its rows.
    symmetric : bool, default=True
        Whether both ends lie equally far off. If not, each side misses half of the misses: for
        losses that reach farther than gains. Needs twice as many rows.
    adapt : float, default=0.0
        Speed of adaptive conformal inference: after each date on which too many outcomes were
        missed intervals are widened, otherwise narrowed. 0: never; 0.005 to 0.05 is usual.
    window : int, optional, default=500
        How many of the latest dates ``update`` keeps (rows, if no dates are given). None: all.
    horizon : int, default=1
        Dates from a decision to its outcome. Adaptive intervals judge an outcome by the interval
        that was given so many dates before.
    logs : bool, default=False
        Whether errors are those of logarithms: for variances, whose intervals then stay above 0.

    Attributes
    ----------
    estimator_ : regressor
        The fitted one.
    weights_ : float64 array of shape (1 + n_columns,) or None
        What was learnt of a list of columns as ``scale``.
    residuals_ : float64 array of shape (n_kept, n_targets)
        Outcome minus forecast of the rows calibrated on, over ``scale``; oldest first.
    scores_ : float64 array of shape (n_kept, n_targets, n_coverages, 2)
        How far outcomes lay below and above the ends, over ``scale``; inside below 0.
    steps_ : int64 array of shape (n_kept,)
        The number of the date of each.
    last_ : array of shape (1,) or None
        The last of the dates that ``calibrate`` was given.
    alpha_ : float64 array of shape (n_targets, n_coverages)
        Share of misses that is asked for now.
    margins_ : float64 array of shape (horizon, n_targets, n_coverages, 2)
        By how much both ends are moved, over ``scale``: the latest last.

    See Also
    --------
    fintech_dl.NeuralQuantileRegressor : Intervals that a network learns; not calibrated.

    Notes
    -----
    Vovk, Gammerman and Shafer (2005) for the rank ceil((n + 1) * coverage) of n scores; Romano,
    Patterson and Candes (2019) for ``"cqr"``; Gibbs and Candes (2021) for ``adapt``, whose share of
    misses is held between 0.001 and 0.5 (1.5 times the promised one, if that is more). An adaptive
    interval never becomes infinite: it ends at the largest score that is kept.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.dummy import DummyRegressor
    >>> from fintech_dl import ConformalRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"volatility": rng.uniform(0.5, 3.0, 3000)})
    >>> y = X["volatility"] * rng.standard_normal(3000)
    >>> model = ConformalRegressor(DummyRegressor(), scale="volatility")
    >>> model = model.fit(X[:1000], y[:1000]).calibrate(X[1000:2000], y[1000:2000])
    >>> low, high = model.predict_interval(X[2000:])
    >>> bool(0.88 < ((low <= y[2000:]) & (y[2000:] <= high)).mean() < 0.92)
    True
    """

    logs = False  # of models that were saved before there were these three
    weights_: Floats | None = None
    last_: Any = None

    def __init__(
        self,
        estimator: Any,
        *,
        coverage: float | Sequence[float] = 0.9,
        method: str = "split",
        scale: Scale = None,
        symmetric: bool = True,
        adapt: float = 0.0,
        window: int | None = 500,
        horizon: int = 1,
        logs: bool = False,
    ) -> None:
        self.estimator = estimator
        self.coverage = coverage
        self.method = method
        self.scale = scale
        self.symmetric = symmetric
        self.adapt = adapt
        self.window = window
        self.horizon = horizon
        self.logs = logs

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Fit the estimator; intervals need `calibrate` afterwards, on other rows.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
        y : array of shape (n_rows,) or (n_rows, n_targets)
        **fit_params
            For the estimator's own ``fit``.

        Raises
        ------
        ValueError
            A parameter that is not allowed, no column ``scale`` in ``X``, or an estimator without
            ``predict_interval`` under ``"cqr"``.
        """
        self._check()
        if self.scale is not None:
            columns_of(X, self.scale)
        for name in (*CALIBRATED, *INSIDE):
            self.__dict__.pop(name, None)
        self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        for name in INSIDE:
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        self.weights_ = None
        if isinstance(self.scale, Sequence) and not isinstance(self.scale, str):
            errors, _ = self._scored("fit", X, y, spread=np.ones(len(X)))
            self.weights_ = weights_of(X, self.scale, errors)
        return self

    def calibrate(self, X: Any, y: ArrayLike, when: ArrayLike | None = None) -> Self:
        """Learn from rows that training has not seen how wide intervals must be.

        Called again, it begins anew.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            Later than the training rows by at least the horizon, where time matters.
        y : array of shape (n_rows,) or (n_rows, n_targets)
            Outcomes that are known.
        when : array of shape (n_rows,), optional
            Dates in rising order; default: each row is a date of its own.

        Raises
        ------
        DataError
            Fewer rows than the coverage needs (9 for 90 %, 19 if not symmetric), missing outcomes,
            a ``scale`` that is absent or not above 0, dates out of order.
        """
        check_is_fitted(self, "estimator_")
        residuals, scores = self._scored("calibrate", X, y)
        steps = dates_of("calibrate", when, len(scores))
        self._enough("calibrate", len(scores))
        self.residuals_, self.scores_, self.steps_ = residuals, scores, steps
        dates = np.asarray(when)
        self.last_ = None if dates.dtype.kind == "O" else dates[-1:]  # what can be saved
        self.alpha_ = np.tile(1 - self._coverages(), (scores.shape[1], 1))
        self.margins_ = np.repeat(self._margins(), self.horizon, axis=0)
        return self

    def update(self, X: Any, y: ArrayLike, when: ArrayLike | None = None) -> Self:
        """Learn from rows whose outcomes have become known, and forget the oldest dates.

        Give each row once, in the order in which outcomes become known: a row decided at t belongs
        here at t + ``horizon``, not before. `online.online_intervals` does so for a history.

        Parameters
        ----------
        X, y, when
            As in `calibrate`.

        Raises
        ------
        DataError
            As `calibrate`; and a ``window`` that keeps fewer rows than the coverage needs.
        """
        self._need_calibration()
        residuals, scores = self._scored("update", X, y)
        ends = np.flatnonzero(np.diff(dates_of("update", when, len(scores)))) + 1
        parts = [np.split(part, ends) for part in (residuals, scores)]
        for date in zip(*parts, strict=True):
            self._learn(*date)
        return self

    def predict(self, X: Any) -> Floats:
        """Return the estimator's own forecasts."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))

    def predict_interval(self, X: Any, coverage: float | None = None) -> tuple[Floats, Floats]:
        """Return both ends of each row's interval, in the unit of the outcome.

        It depends on no other row of ``X``.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
        coverage : float, optional
            One of ``coverage``; default: the first.

        Returns
        -------
        low, high : float64 arrays of shape (n_rows,) or (n_rows, n_targets)

        Raises
        ------
        UsageError
            A coverage that the model is not calibrated for.
        DataError
            A ``scale`` that is absent or not above 0.
        """
        self._need_calibration()
        at = self._place(coverage)
        return self._interval(self._forecast(X), at)

    def predict_risk(self, X: Any, level: float = 0.05) -> tuple[Floats, Floats]:
        """Return value at risk and expected shortfall: losses, above 0 where something is lost.

        The forecast minus ``scale`` times what the residuals kept say (filtered historical
        simulation). A hit, for ``risk_tests``, is an outcome below minus the value at risk.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
        level : float, default=0.05
            Chance of a hit: 0.01 for a value at risk at 99 %.

        Returns
        -------
        var, shortfall : float64 arrays of shape (n_rows,) or (n_rows, n_targets)
            In the unit of the outcome, which is a gain if it is above 0. ``shortfall`` is the mean
            loss of those residuals that lie at the value at risk or beyond it.

        Raises
        ------
        UsageError
            A level that is not between 0 and 1, or ``logs``, whose outcomes are no gains.
        DataError
            Fewer residuals than the level needs: 19 for 5 %, 99 for 1 %.
        """
        self._need_calibration()
        if not 0 < level < 1:
            raise UsageError(f"level: got {level!r}, allowed: above 0, below 1")
        if self.logs:
            raise UsageError("predict_risk: logs=True is for variances, which lose nothing")
        return risk_of(self._forecast(X), tails_of(self.residuals_, level))

    def __sklearn_tags__(self) -> Any:
        tags, own = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.input_tags, tags.target_tags = own.input_tags, own.target_tags
        tags.non_deterministic = own.non_deterministic
        return tags

    def _check(self) -> None:
        promised = np.asarray(self.coverage, dtype=float)
        if promised.ndim > 1 or promised.size == 0 or not ((promised > 0) & (promised < 1)).all():
            raise UsageError(
                f"coverage={self.coverage!r}; allowed: above 0 and below 1, one or several"
            )
        if self.method not in ("split", "cqr"):
            raise UsageError(f"method={self.method!r}; allowed: 'split' or 'cqr'")
        if not 0 <= self.adapt < 1:
            raise UsageError(f"adapt={self.adapt!r}; allowed: 0 (never) or more, below 1")
        if self.window is not None and self.window < 1:
            raise UsageError(f"window={self.window!r}; allowed: 1 or more dates, None for all")
        if self.horizon < 1:
            raise UsageError(f"horizon={self.horizon!r}; allowed: 1 or more dates")
        if self.method == "cqr" and not hasattr(last_step(self.estimator)[1], "predict_interval"):
            raise UsageError(
                f"method='cqr': {type(self.estimator).__name__} has no predict_interval; take "
                "NeuralQuantileRegressor, or method='split'"
            )

    def _coverages(self) -> Floats:
        return np.atleast_1d(np.asarray(self.coverage, dtype=float))

    def _place(self, coverage: float | None) -> int:
        """Return which of the coverages is meant."""
        if coverage is None:
            return 0
        near = np.flatnonzero(np.isclose(self._coverages(), coverage, rtol=0, atol=1e-9))
        if not near.size:
            allowed = ", ".join(f"{value:g}" for value in self._coverages())
            raise UsageError(f"coverage={coverage!r}; calibrated for: {allowed}")
        return int(near[0])

    def _forecast(self, X: Any, spread: Floats | None = None) -> Said:
        if spread is None:
            spread = spread_of(X, self.scale, self.weights_)
        own = self.method == "cqr"
        parts = (self.estimator_, X, spread, self._coverages())
        return forecast_of(*parts, own_ends=own, logs=self.logs)

    def _interval(self, forecast: Said, at: int) -> tuple[Floats, Floats]:
        low, high = interval_of(forecast, self.margins_[-1], at)
        return (np.exp(low), np.exp(high)) if self.logs else (low, high)

    def _scored(
        self, what: str, X: Any, y: ArrayLike, spread: Floats | None = None
    ) -> tuple[Floats, Floats]:
        forecast = self._forecast(X, spread)
        truth = outcomes(what, forecast, y, logs=self.logs)
        if (missing := ~np.isfinite(wide(truth)).all(axis=1)).any():
            raise DataError(
                f"{what}: {int(missing.sum())} of {len(truth)} outcomes are missing or infinite "
                f"(first: row {int(missing.argmax())}); leave out rows whose outcome is not known"
            )
        return scores_of(forecast, truth)

    def _enough(self, what: str, n: int) -> None:
        most = self._coverages().max()
        if n < (needed := rows_for((1 - most) / (1 if self.symmetric else 2))):
            sides = "" if self.symmetric else " and symmetric=False"
            raise DataError(
                f"{what}: {n} rows to calibrate on, {needed} are needed for coverage={most:g}"
                f"{sides}; give more rows, or promise less"
            )

    def _learn(self, residuals: Floats, scores: Floats, given: Floats | None = None) -> None:
        """Take in what became known on one date; arrays are replaced, not changed.

        Outcomes are judged by the margins ``given`` them, by default of ``horizon`` dates ago.
        """
        if len(scores):
            last = self.steps_[-1] + 1
            steps = np.append(self.steps_, np.full(len(scores), last))
            keep = steps > (last - self.window if self.window else -1)
            self._enough(f"update: window={self.window}", int(keep.sum()))
            self.steps_ = steps[keep]
            self.residuals_ = np.concatenate([self.residuals_, residuals])[keep]
            self.scores_ = np.concatenate([self.scores_, scores])[keep]
            if self.adapt:
                promised = 1 - self._coverages()
                given = self.margins_[0] if given is None else given
                missed = (scores > given).any(axis=-1).mean(axis=0)
                highest = np.clip(1.5 * promised, 0.5, 1 - LEAST_MISSES)
                moved = self.alpha_ + self.adapt * (promised - missed)
                self.alpha_ = np.clip(moved, LEAST_MISSES, highest)
        self.margins_ = np.concatenate([self.margins_[1:], self._margins()])

    def _margins(self) -> Floats:
        return margins_of(self.scores_, self.alpha_, symmetric=self.symmetric)[None]

    def _need_calibration(self) -> None:
        check_is_fitted(self, "estimator_")
        then = "call calibrate(X, y) on rows that training has not seen"
        check_is_fitted(self, "margins_", msg=f"%(name)s is not calibrated yet; {then}")
