"""Simple rivals of volatility and price forecasts: the last value, and linear HAR models.

They are scikit-learn regressors on a frame of features that look back: means of the realised
variance over the last 1, 5 and 22 bars, or their logs. How often they are fitted again is decided
by whoever evaluates them, see ``walk_forward``. The mean of the past and the more frequent
direction are scikit-learn's ``DummyRegressor`` and ``DummyClassifier``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.metrics import Floats


class LastValue(RegressorMixin, BaseEstimator):
    """Forecast that all stays as it is: one feature, unchanged, is the forecast.

    The rival that no forecast may be without: the last price of a price, the last realised variance
    of a variance, and with a column of exponential averages RiskMetrics' forecast.

    Parameters
    ----------
    column : str or int, optional
        The feature; default: the first.
    log : bool
        Whether the feature is the logarithm of what is forecast.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.volatility_baselines import LastValue
    >>> X = pd.DataFrame({"close": [10.0, 11.0], "volume": [5.0, 7.0]})
    >>> LastValue("close").fit(X, [11.0, 12.0]).predict(X)
    array([10., 11.])
    """

    reads_frames = True

    def __init__(self, column: Hashable | None = None, log: bool = False) -> None:
        self.column = column
        self.log = log

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Check that the feature is there; nothing is learnt."""
        validate_data(self, _numeric(X, self._columns()), y, y_numeric=True)
        return self

    def predict(self, X: Any) -> Floats:
        """Return the feature, or its exponential if it is a logarithm."""
        check_is_fitted(self, "n_features_in_")
        values = validate_data(self, _numeric(X, self._columns()), reset=False)[:, 0]
        return np.asarray(np.exp(values) if self.log else values, dtype=float)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def _columns(self) -> list[Any] | None:
        return None if self.column is None else [self.column]


class HAR(RegressorMixin, BaseEstimator):
    """Forecast a variance by a regression on its means of the last day, week and month (HAR).

    The model most papers compare with; ``LogHAR`` is harder to beat.

    Parameters
    ----------
    columns : list of str or int, optional
        The features: variances, not their logarithms. Default: all.
    weighted : bool
        Fit a second time with rows weighted by 1 / the first forecast, so that stormy days count
        no more than calm ones.
    by : str or int, optional
        A column of ``X`` that says which asset a row is about: each asset gets its own regression,
        one never seen that of all. Default: one regression for all.
    log : bool
        Whether the features are the logarithms of variances.

    Notes
    -----
    Corsi, A simple approximate long-memory model of realized volatility (2009); weights after
    Patton and Sheppard (2015). Forecasts below the smallest variance seen in training are set to
    it, for a line can go below 0.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.volatility_baselines import HAR
    >>> names = ["day", "week", "month"]
    >>> X = pd.DataFrame(np.random.default_rng(0).random((100, 3)), columns=names)
    >>> HAR().fit(X, 0.1 + X @ [0.3, 0.4, 0.2]).coefficients_.round(3)
    array([[0.1, 0.3, 0.4, 0.2]])
    """

    reads_frames = True

    def __init__(
        self,
        columns: Sequence[Hashable] | None = None,
        weighted: bool = False,
        by: Hashable | None = None,
        log: bool = False,
    ) -> None:
        self.columns = columns
        self.weighted = weighted
        self.by = by
        self.log = log

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit one regression for all rows and, with ``by``, one per asset.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_features)
            Variances without gaps.
        y : array of shape (n_rows,)
            Variances, above 0.
        sample_weight : array of shape (n_rows,), optional
        """
        values, truth, weight = _training(self, X, y, sample_weight)
        values = np.exp(values) if self.log else values
        lines, smallest = [], []
        for rows in _rows_of_lines(self, X, len(values)):
            x, v, own = values[rows], truth[rows], weight[rows]
            beta = _least_squares(x, v, own)
            if self.weighted:
                beta = _least_squares(x, v, own / np.maximum(_predict(x, beta), v.min()))
            lines.append(beta)
            smallest.append(v.min())
        self.coefficients_, self.smallest_ = np.array(lines), np.array(smallest)
        return self

    def predict(self, X: Any) -> Floats:
        """Return the variance forecast of each row."""
        values, line = _lines(self, X)
        values = np.exp(values) if self.log else values
        return np.maximum(_predict(values, self.coefficients_[line]), self.smallest_[line])

    def __sklearn_tags__(self) -> Tags:
        return _positive(super().__sklearn_tags__())


class LogHAR(RegressorMixin, BaseEstimator):
    """Forecast a variance by a regression of its logarithm on log features (log-HAR, log-HAR-X).

    The linear rival to beat. With further features (the log of an implied variance, means over all
    assets) it is the log-HAR-X of the field. Half the variance of the residuals is added before the
    exponential, so that the mean is forecast and not the median.

    Parameters
    ----------
    columns : list of str or int, optional
        The features: logarithms of variances, bounded others. Default: all. Unbounded others let
        forecasts explode in a crash.
    by : str or int, optional
        As in ``HAR``.

    Notes
    -----
    Corsi, A simple approximate long-memory model of realized volatility (2009).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.volatility_baselines import LogHAR
    >>> X = pd.DataFrame({"day": np.random.default_rng(0).normal(size=100)})
    >>> model = LogHAR().fit(X, np.exp(0.1 + 0.5 * X["day"]))
    >>> model.predict(pd.DataFrame({"day": [0.0, 1.0]})).round(3)
    array([1.105, 1.822])
    """

    reads_frames = True

    def __init__(
        self, columns: Sequence[Hashable] | None = None, by: Hashable | None = None
    ) -> None:
        self.columns = columns
        self.by = by

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit one regression for all rows and, with ``by``, one per asset.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_features)
            Logarithms, without gaps.
        y : array of shape (n_rows,)
            Variances themselves, above 0.
        sample_weight : array of shape (n_rows,), optional
        """
        values, truth, weight = _training(self, X, y, sample_weight)
        lines = []
        for rows in _rows_of_lines(self, X, len(values)):
            x, v, own = values[rows], np.log(truth[rows]), weight[rows]
            beta = _least_squares(x, v, own)
            n = int((own > 0).sum())
            spread = np.average((v - _predict(x, beta)) ** 2, weights=own)
            beta[0] += spread * n / max(n - len(beta), 1) / 2
            lines.append(beta)
        self.coefficients_ = np.array(lines)
        return self

    def predict(self, X: Any) -> Floats:
        """Return the variance forecast of each row."""
        values, line = _lines(self, X)
        return np.exp(_predict(values, self.coefficients_[line]))

    def __sklearn_tags__(self) -> Tags:
        return _positive(super().__sklearn_tags__())


def _numeric(X: Any, columns: Sequence[Any] | None, by: Hashable | None = None) -> Any:
    """Return the features, without the column of assets."""
    if columns is None:
        if by is None:
            return X
        frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
        columns = [name for name in frame if name != by]
    if isinstance(X, pd.DataFrame):
        if missing := [name for name in columns if name not in X]:
            raise UsageError(f"column {missing[0]!r} is not in X, which has {list(X.columns)}")
        return X[list(columns)]
    return np.asarray(X)[:, list(columns)]


def _training(
    model: Any, X: Any, y: ArrayLike, weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Return checked features, targets above 0, and weights."""
    values, truth = validate_data(
        model, _numeric(X, model.columns, model.by), y, y_numeric=True, dtype=np.float64
    )
    if (truth <= 0).any():
        raise UsageError(
            f"{type(model).__name__}: {int((truth <= 0).sum())} of {len(truth)} values of y are 0 "
            "or below; variances are above 0: set a floor first"
        )
    weights = _check_sample_weight(
        weight, values, dtype=np.float64, ensure_non_negative=True, allow_all_zero_weights=False
    )
    return values, truth, weights


def _rows_of_lines(model: Any, X: Any, n: int) -> Iterator[NDArray[np.intp]]:
    """Set ``assets_``; yield all rows, then those of each asset."""
    names = _assets(X, model.by)
    model.assets_ = [] if names is None else sorted(set(names))
    yield np.arange(n)
    for asset in model.assets_:
        yield np.flatnonzero(names == asset)


def _lines(model: Any, X: Any) -> tuple[Floats, NDArray[np.intp]]:
    """Return checked features, and which line each row has."""
    check_is_fitted(model, "coefficients_")
    values = validate_data(
        model, _numeric(X, model.columns, model.by), reset=False, dtype=np.float64
    )
    names = _assets(X, model.by)
    if names is None:
        return values, np.zeros(len(values), dtype=np.intp)
    place = {asset: i for i, asset in enumerate(model.assets_, 1)}
    return values, np.array([place.get(name, 0) for name in names], dtype=np.intp)


def _assets(X: Any, by: Hashable | None) -> NDArray[Any] | None:
    """Return the asset of each row as text."""
    if by is None:
        return None
    _numeric(X, [by])
    column = X[by] if isinstance(X, pd.DataFrame) else np.asarray(X)[:, by]  # type: ignore[index]
    return np.asarray([str(name) for name in column], dtype=object)


def _least_squares(X: Floats, y: Floats, weight: Floats) -> Floats:
    root = np.sqrt(weight)
    design = np.column_stack([np.ones(len(X)), X]) * root[:, None]
    return np.asarray(np.linalg.lstsq(design, y * root, rcond=None)[0])


def _predict(X: Floats, beta: Floats) -> Floats:
    return np.asarray(beta[..., 0] + (X * beta[..., 1:]).sum(axis=1))


def _positive(tags: Tags) -> Tags:
    tags.target_tags.positive_only = True
    return tags
