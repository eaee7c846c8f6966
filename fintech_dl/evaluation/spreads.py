"""The spread expected of a row's outcome: a column as it is, or several, weighted as errors say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.linear_model import GammaRegressor
from sklearn.utils.validation import _num_samples

from fintech_dl.errors import DataError
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.features.columns import need_columns

Scale = str | int | Sequence[str | int] | None


def _names(scale: Scale) -> list[Any]:
    return list(scale) if isinstance(scale, Sequence) and not isinstance(scale, str) else [scale]


def columns_of(X: Any, scale: Scale) -> Floats:
    """Return the columns that the spread is made of, one per column; NaN stays.

    Raises
    ------
    DataError
        There is none such.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.spreads import columns_of
    >>> columns_of(pd.DataFrame({"week": [1.0, 2.0], "month": [3.0, 4.0]}), ["month"]).tolist()
    [[3.0], [4.0]]
    """
    names = _names(scale)
    if isinstance(X, pd.DataFrame):
        need_columns(X, names, f"scale={scale!r}")
        return np.asarray(X[names], dtype=float, order="C")
    table = np.asarray(X)
    for name in names:
        if not isinstance(name, int) or table.ndim != 2 or name >= table.shape[1]:
            raise DataError(
                f"scale={name!r} is no column of an array of shape {table.shape}; give its "
                "position, or a DataFrame"
            )
    return np.asarray(table[:, names], dtype=float, order="C")


def spread_of(X: Any, scale: Scale, weights: Floats | None = None) -> Floats:
    """Return the expected spread of each row, 1 without a scale.

    Parameters
    ----------
    X : DataFrame or array of shape (n_rows, n_columns)
    scale : str, int or list of these, optional
        Columns.
    weights : array of shape (1 + n,), optional
        What `weights_of` learnt of a list of n columns.

    Raises
    ------
    DataError
        No such column, or a value that is missing or not above 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.spreads import spread_of
    >>> spread_of(pd.DataFrame({"volatility": [1.0, 0.0]}), "volatility")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: scale: row 1: volatility is 0.0; 1 of 2 values are not above 0 ...
    """
    if scale is None:
        return np.ones(_num_samples(X))
    values = _checked(X, scale)
    if weights is None:
        return values[:, 0]
    # summed row by row: a row's bits must not depend on the others
    return np.asarray(np.exp(weights[0] + (np.log(values) * weights[1:]).sum(axis=1)))


def weights_of(X: Any, scale: Scale, errors: ArrayLike) -> Floats:
    """Learn by a log-linear regression how large errors are, given several volatilities.

    With volatilities of the last day, week and month it is a log-HAR model of squared errors,
    fitted by the gamma deviance (QLIKE), which errors near 0 do not disturb.

    Parameters
    ----------
    X : DataFrame or array of shape (n_rows, n_columns)
    scale : list of str or int
        Columns, above 0.
    errors : array of shape (n_rows,) or (n_rows, n_targets)
        Of several targets the mean square counts.

    Returns
    -------
    float64 array of shape (1 + n_columns,)
        Constant, then the exponent of each column.

    Raises
    ------
    DataError
        As `spread_of`.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.spreads import weights_of
    >>> X = np.exp(np.random.default_rng(0).normal(size=(2000, 2)))
    >>> weights_of(X, [0, 1], X[:, 0] ** 0.7 * X[:, 1] ** 0.2)[1:].round(2)
    array([0.7, 0.2])
    """
    found = np.asarray(errors, dtype=float)
    squares = np.square(found.reshape(len(found), -1)).mean(axis=1)
    least = 1e-9 * squares.mean() or 1.0  # the gamma distribution knows no 0
    model = GammaRegressor(alpha=1e-8, solver="newton-cholesky", max_iter=1000)
    model.fit(np.log(_checked(X, scale)), np.maximum(squares, least) / (squares.mean() or 1.0))
    constant = (model.intercept_ + np.log(squares.mean() or 1.0)) / 2
    return np.append(constant, model.coef_ / 2)


def _checked(X: Any, scale: Scale) -> Floats:
    values = columns_of(X, scale)
    bad = ~((values > 0) & np.isfinite(values))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"scale: row {row}: {_names(scale)[column]} is {values[row, column]}; "
            f"{int(bad.sum())} of {bad.size} values are not above 0 or not finite; leave these "
            "rows out, or set a floor first"
        )
    return values
