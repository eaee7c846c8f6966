"""Forecasts as they would have been made: the model is fitted again as time passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.panel_splits import PurgedWalkForward


def walk_forward(
    model: Any,
    X: Any,
    y: ArrayLike,
    dates: ArrayLike,
    cv: PurgedWalkForward,
    *,
    until: ArrayLike | None = None,
) -> Floats:
    """Return forecasts of all test rows, each by a model that knew only the past.

    Parameters
    ----------
    model : estimator
        Left as it is; a clone is fitted for each test block.
    X : DataFrame or array of shape (n_rows, n_features)
    y : array of shape (n_rows,) or (n_rows, n_targets)
    dates : array of shape (n_rows,)
    cv : PurgedWalkForward
        How much to train on, and how often to fit again.
    until : array of shape (n_rows,), optional
        When each label is known; default: the horizon of ``cv``.

    Returns
    -------
    float64 array of the shape of y
        As ``baselines.score_rows``: the forecast, or the probability of the second class. NaN for
        rows before the first test.

    Raises
    ------
    UsageError
        A ``cv`` that tests a date twice.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from fintech_dl.evaluation.panel_splits import PurgedWalkForward
    >>> from fintech_dl.evaluation.walk_forward import walk_forward
    >>> y = np.array([1.0, 3.0, 8.0, 0.0, 6.0])
    >>> cv = PurgedWalkForward(train=2, test=1, expanding=True)
    >>> walk_forward(DummyRegressor(), np.zeros((5, 1)), y, np.arange(5), cv)
    array([nan, nan,  2.,  4.,  3.])
    """
    if cv.step is not None and cv.step < cv.test:
        raise UsageError(f"walk_forward: {cv} tests dates twice; set step = test or leave it out")
    truth = np.asarray(y)
    found = np.full(truth.shape, np.nan)
    for train, test in cv.split(groups=dates, until=until):
        fitted = clone(model).fit(_rows(X, train), truth[train])
        found[test] = score_rows(fitted, _rows(X, test))
    return found


def _rows(X: Any, at: Any) -> Any:
    return X.iloc[at] if isinstance(X, pd.DataFrame) else np.asarray(X)[at]
