"""The detector of series: windows, an estimator, and its errors put back on the rows."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, clone, is_regressor
from sklearn.utils.validation import check_is_fitted

from fintech_dl.estimators.detector import NeuralDetector
from fintech_dl.estimators.model import ModelHolder
from fintech_dl.estimators.regressor import NeuralRegressor
from fintech_dl.estimators.series_errors import (
    end_errors,
    in_range,
    mean_over_windows,
    robust_z,
    smoothed,
    warped_error,
)
from fintech_dl.estimators.thresholds import fence_threshold, share_threshold
from fintech_dl.features.series import OneSeries, cut, each_series, period
from fintech_dl.networks.base import hyperparameters
from fintech_dl.networks.parameters import Share, Width, check_parameters, shown
from fintech_dl.networks.sequence import CNN

MODES = ("forecast", "rebuild", "both", "window", "whole")
LEAST_WINDOWS = 2


@hyperparameters
class SeriesDetector(OutlierMixin, BaseEstimator):
    """Detector of anomalies in series: one score per row, from windows through any estimator.

    Rows are equal steps in the order of time, each column of numbers a channel. Several series are
    fitted and scored each apart. Fit it on the series itself, unlabelled, to look back over it; to
    watch it as time passes, fit on its past and score past and new rows together: the scores of
    ``"forecast"`` and of ``"window"`` at its end depend on no later row.

    Parameters
    ----------
    estimator : estimator, optional
        What learns from windows; cloned for each series. By default a forecast by a CNN.
    mode : {"forecast", "rebuild", "both", "window", "whole"}, optional
        What a row's score is made of; by default ``"forecast"`` for a regressor, ``"rebuild"`` for
        a :class:`~fintech_dl.NeuralDetector`, else ``"window"``.

        - ``"forecast"``: the error of the forecast from the window before it, in robust standard
          deviations of the errors before. For prices and returns.
        - ``"rebuild"``: the squared error of rebuilding it, the mean of all windows with it. For
          shapes.
        - ``"both"``: the error at both ends of a window, smoothed, and that of rebuilding the
          steps between, warped in time, as ``combine`` says. For :class:`~fintech_dl.AER`.
        - ``"window"``: the score of its window, of any outlier detector.
        - ``"whole"``: the ``saliency`` of the whole series (:class:`~fintech_dl.SpectralResidual`).
    window : int, optional
        Steps of a window. By default the series' period (``features.series.period``), at least 10,
        at most 100 and a quarter of the rows.
    at : {"end", "middle"}, default="end"
        Of ``mode="window"``: the row that a window's score is of; ``"middle"`` sees the future.
    series, time : str, optional
        Columns that say which series a row belongs to, and when it is; neither is a channel. Times
        that go back or come twice within a series are refused.
    max_windows : int, default=5000
        Most windows of a series that the estimator learns from, evenly spread; all are scored.
    contamination : float or "auto", default="auto"
        Share of the training rows that ``predict`` flags, in (0, 0.5]; "auto" flags scores beyond
        the upper fence of the adjusted boxplot.
    smooth : float, default=0.01
        Of ``mode="both"``: share of the rows over which errors are smoothed, in [0, 1).
    combine : {"product", "sum", "ends"}, default="product"
        Of ``mode="both"``: the product of both errors, each brought from 1 to 2, their mean, each
        brought from 0 to 1, or the error at the ends alone. It changes scores only, not the fit.

    Attributes
    ----------
    fitted_ : list of dict
        Of each series ``name``, ``estimator``, ``window`` and the constants of its scores.
    offset_ : ndarray of shape (n_series,)
        Threshold on ``score_samples``, each series' own.
    n_features_in_ : int

    Raises
    ------
    ValueError
        From ``fit``: a parameter out of range, a series shorter than its window, and what
        ``features.series.each_series`` refuses. From scoring: a series that was not fitted.

    Notes
    -----
    The first rows of a series, and in modes that look at both sides the last ones, have fewer
    windows or none; without any they have the lowest score of the training rows. A missing value
    stands at the last before it. ``"both"`` follows Wong et al. (2022), ``"forecast"`` the CNN of
    TSB-AD (2024), its error on a robust scale.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from fintech_dl import SeriesDetector
    >>> x = np.sin(np.arange(600) / 4) + np.random.default_rng(0).normal(0, 0.1, 600)
    >>> x[400] += 3
    >>> model = SeriesDetector(estimator=Ridge()).fit(x[:, None])
    >>> int(model.anomaly_score(x[:, None]).argmax())
    400
    """

    reads_frames: ClassVar[bool] = True

    estimator: Any = None
    mode: Literal["forecast", "rebuild", "both", "window", "whole"] | None = None
    window: Width | None = None
    at: Literal["end", "middle"] = "end"
    series: str | None = None
    time: str | None = None
    max_windows: Width = 5000
    contamination: float | str = "auto"
    smooth: Share = 0.01
    combine: Literal["product", "sum", "ends"] = "product"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn each series of ``X``, of shape (n_rows, n_channels); ``y`` is ignored.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_channels)
            In the order of time; of several series with the columns ``series`` and ``time``.
        y : ignored

        Returns
        -------
        self
        """
        check_parameters(self)
        share = self.contamination
        if share != "auto" and not (isinstance(share, float) and 0 < share <= 0.5):
            raise ValueError(f'contamination={shown(share)}; allowed: "auto" or (0, 0.5]')
        mode, found = self._mode(), each_series(X, self.series, self.time)
        fitted, offsets = [], []
        for one in found:
            own = self._learned(one, mode)
            scores = self._scored(own, one.values, mode)
            own["low"] = float(scores[np.isfinite(scores)].min(initial=0.0))
            scores, weight = np.nan_to_num(scores, nan=own["low"]), np.ones(len(scores))
            bound = (
                fence_threshold(scores, weight)
                if isinstance(share, str)
                else share_threshold(scores, weight, share)
            )
            fitted.append(own)
            offsets.append(-bound)
        self.n_features_in_ = found[0].values.shape[1]
        self.fitted_, self.offset_ = fitted, np.array(offsets)
        return self

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return one score per row of ``X``, in its order, higher = more anomalous."""
        check_is_fitted(self, "fitted_")
        mode, found = self._mode(), self._known(X)
        out = np.empty(sum(len(one.rows) for one, _ in found))
        for one, number in found:
            own = self.fitted_[number]
            out[one.rows] = np.nan_to_num(self._scored(own, one.values, mode), nan=own["low"])
        return out

    def score_samples(self, X: Any) -> np.ndarray:
        """Return one score per row, lower = more anomalous."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores shifted so that anomalies are negative, by each series' own threshold."""
        scores = self.score_samples(X)
        for one, number in self._known(X):
            scores[one.rows] -= self.offset_[number]
        return scores

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for anomalies and 1 for other rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _known(self, X: Any) -> list[tuple[OneSeries, int]]:
        """Return the series of ``X``, each with its number among those fitted."""
        names = [own["name"] for own in self.fitted_]
        found = each_series(X, self.series, self.time)
        for one in found:
            if one.name not in names:
                raise ValueError(
                    f"series {one.name!r} was not fitted; known: {shown(names)}; fit on its rows"
                )
            if one.values.shape[1] != self.n_features_in_:
                raise ValueError(
                    f"X has {one.values.shape[1]} channels, SeriesDetector was fitted on "
                    f"{self.n_features_in_}"
                )
        return [(one, names.index(one.name)) for one in found]

    def _estimator(self) -> Any:
        return NeuralRegressor(network=CNN()) if self.estimator is None else self.estimator

    def _mode(self) -> str:
        """Return the mode, given or by the kind of estimator, or say what it lacks."""
        estimator = self._estimator()
        usual = "forecast" if is_regressor(estimator) else "window"
        mode = self.mode or ("rebuild" if isinstance(estimator, NeuralDetector) else usual)
        fits = {
            "forecast": (is_regressor(estimator), "a regressor"),
            "rebuild": (isinstance(estimator, NeuralDetector), "a NeuralDetector"),
            "both": (isinstance(estimator, NeuralDetector), "a NeuralDetector"),
            "window": (hasattr(estimator, "score_samples"), "an outlier detector"),
            "whole": (hasattr(estimator, "saliency"), "an estimator with `saliency`"),
        }
        right, wanted = fits[mode]
        if not right:
            raise ValueError(f'mode="{mode}" needs {wanted}; estimator={shown(estimator)}')
        return mode

    def _learned(self, one: OneSeries, mode: str) -> dict[str, Any]:
        """Return what is learned of a series."""
        n, of = len(one.values), "" if one.name is None else f" of series {one.name!r}"
        scale = one.values.std(axis=0)
        own = {
            "name": one.name,
            "estimator": clone(self._estimator()),
            "mean": one.values.mean(axis=0),
            "scale": np.where(scale > 0, scale, 1.0),
            "window": n,
        }
        if mode == "whole":
            return own
        usual = min(max(period(one.values), 10), 100, max(n // 4, 3))
        own["window"] = window = self.window or usual
        least = 3 if mode == "both" else 1
        if not least <= window <= n - LEAST_WINDOWS:
            raise ValueError(
                f"window={window} with the {n} rows{of}; allowed: {least} to the rows less "
                f"{LEAST_WINDOWS}; give more rows, or a smaller window"
            )
        X, target = self._windows(own, one.values, mode)
        some = np.unique(np.linspace(0, len(X) - 1, min(len(X), self.max_windows)).astype(int))
        learner, rows = own["estimator"], X.iloc[some]
        if mode != "forecast":
            learner.fit(rows)
            return own
        learner.fit(rows, target[some])
        error = target - _predicted(learner, X)
        middle = np.median(error, axis=0)
        own["middle"], own["spread"] = middle, np.median(np.abs(error - middle), axis=0)
        return own

    def _windows(
        self, own: dict[str, Any], values: np.ndarray, mode: str
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the windows of a series on its scale, and for forecasts the step after each."""
        window, ahead = own["window"], int(mode == "forecast")
        z = (values - own["mean"]) / own["scale"]
        names = [f"x{i}@-{lag + ahead}" for lag in range(window)[::-1] for i in range(z.shape[1])]
        block = cut(z[:-1] if ahead else z, window)
        target = z[window:]
        return pd.DataFrame(block, columns=names), target[:, 0] if z.shape[1] == 1 else target

    def _scored(self, own: dict[str, Any], values: np.ndarray, mode: str) -> np.ndarray:
        """Return the scores of a series' rows, NaN where there is none."""
        learner, window, n = own["estimator"], own["window"], len(values)
        if mode == "whole":
            return np.asarray(learner.saliency(values.T).max(axis=0))
        out = np.full(n, np.nan)
        if n < window + (mode == "forecast"):
            return out
        X, target = self._windows(own, values, mode)
        if mode == "forecast":
            error = (target - _predicted(learner, X)).reshape(len(X), -1)
            middle, spread = (np.atleast_1d(own[name]) for name in ("middle", "spread"))
            out[window:] = robust_z(error, middle, spread, 10 * window).max(axis=1)
        elif mode == "window":
            first = window - 1 if self.at == "end" else (window - 1) // 2
            out[first : first + len(X)] = -np.asarray(learner.score_samples(X))
        else:
            inputs, outputs = _rebuilt(learner, X, window)
            if mode == "rebuild":
                out[:] = mean_over_windows(np.square(inputs - outputs).mean(axis=2), n)
            else:
                out[:] = self._both(own, inputs, outputs, n)
        return out

    def _both(
        self, own: dict[str, Any], inputs: np.ndarray, outputs: np.ndarray, n: int
    ) -> np.ndarray:
        """Return the errors at the ends and those between as one score, as ``combine`` says."""
        ends = end_errors(np.abs(inputs - outputs)[:, [0, -1]].mean(axis=2), n, self.smooth)
        parts = [
            np.stack([mean_over_windows(part[:, 1:-1, i], n - 2) for i in range(part.shape[2])], 1)
            for part in (inputs, outputs)
        ]
        between = np.zeros(n)
        between[1:-1] = smoothed(warped_error(*parts), self.smooth)
        if "ends" not in own:
            for name, error in (("ends", ends), ("between", between)):
                own[name] = float(error.min()), float(error.max())
        if self.combine == "ends":
            return ends
        one, two = in_range(ends, own["ends"]), in_range(between, own["between"])
        return one * two if self.combine == "product" else (one + two) / 2 - 1


def _predicted(learner: Any, X: pd.DataFrame) -> np.ndarray:
    return np.asarray(learner.predict(X), dtype=np.float64)


def _rebuilt(detector: ModelHolder, X: pd.DataFrame, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return windows as the network sees them, and rebuilt: (n_windows, steps, channels)."""
    rows = detector._rows(X)
    inputs, outputs = (
        detector._infer_members(detector._view(name), rows).mean(axis=0, dtype=np.float64)
        for name in ("inputs", "outputs")
    )
    shape = (len(rows), window, -1)
    return inputs.reshape(shape), outputs.reshape(shape)
