"""Simple rivals: any scikit-learn estimator, made fit for a raw frame, its fit and its scores."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.utils import get_tags

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.table import Table

MOST_CATEGORIES = 100


def with_preprocessing(estimator: BaseEstimator) -> Pipeline:
    """Return the estimator behind what it needs to be fitted on a raw frame.

    Trees that read missing values as they are (``allow_nan`` among scikit-learn's tags:
    HistGradientBoosting, random forests, LightGBM, XGBoost) get numbers as they are and categories
    as codes. All others, and outlier detectors, get medians for missing numbers with an indicator
    beside them, standard scale, and one column per category. Unseen categories and constant columns
    are fine; columns without any value are left out. An estimator with ``reads_frames = True`` gets
    the frame as it is.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Left as it is; a clone is used.

    Returns
    -------
    Pipeline
        With the steps ``columns`` and ``model``; the latter alone if it reads frames.

    Raises
    ------
    DataError
        From ``fit``: a column that is neither number, truth value, category nor text (a date).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
    >>> X = pd.DataFrame({"amount": [1.0, None, 3.0, 9.0], "country": ["BE", "FR", None, "BE"]})
    >>> model = with_preprocessing(LogisticRegression()).fit(X, [0, 0, 1, 1])
    >>> score_rows(model, pd.DataFrame({"amount": [5.0], "country": ["unseen"]})).round(1)
    array([0.6])
    """
    if getattr(estimator, "reads_frames", False):
        return Pipeline([("model", clone(estimator))])
    tags = get_tags(estimator)
    if tags.input_tags.allow_nan and tags.estimator_type != "outlier_detector":
        numbers: Any = FunctionTransformer(_as_floats)
        categories: Any = make_pipeline(
            FunctionTransformer(_as_text),
            OrdinalEncoder(
                handle_unknown="use_encoded_value",
                unknown_value=np.nan,
                encoded_missing_value=np.nan,
            ),
        )
    else:
        numbers = make_pipeline(
            FunctionTransformer(_as_floats),
            SimpleImputer(strategy="median", add_indicator=True),
            StandardScaler(),
        )
        categories = make_pipeline(
            FunctionTransformer(_as_text),
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                max_categories=MOST_CATEGORIES,
                sparse_output=False,
            ),
        )
    columns = ColumnTransformer(
        [("numbers", numbers, _numbers), ("categories", categories, _categories)]
    )
    model = clone(estimator)
    if type(model).__module__.startswith("lightgbm") and "verbose" not in model.get_params():
        model.set_params(verbose=-1)
    return Pipeline([("columns", columns), ("model", model)])


def fit_rows(model: Any, rows: Table, held: Table | None = None) -> Any:
    """Fit a model on rows of a table and return it; its last step is told what it asks for.

    Steps before the last one see features and labels alone, and validation rows pass them too.

    Parameters
    ----------
    model : estimator or Pipeline
        Fitted in place.
    rows : Table
        With ``y``. ``weight`` is given as ``sample_weight`` and ``when`` as ``groups``, to a
        ``fit`` that has such parameters.
    held : Table, optional
        Rows for early stopping; the last step needs ``X_val``.

    Returns
    -------
    estimator or Pipeline
        The model.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from fintech_dl.evaluation.baselines import fit_rows
    >>> from fintech_dl.table import Table
    >>> rows = Table(X=pd.DataFrame({"a": [0.0, 1.0, 2.0]}), y=pd.Series([0.0, 2.0, 4.0]))
    >>> fit_rows(LinearRegression(), rows).coef_.round(1)
    array([2.])
    """
    head: Any = model[:-1] if isinstance(model, Pipeline) else ()
    last = model[-1] if isinstance(model, Pipeline) else model
    X, X_val = rows.X, None if held is None else held.X
    if len(head):  # step by step, because validation rows have to pass the same steps
        X = head.fit_transform(X, rows.y)
        X_val = head.transform(X_val) if held is not None else None
    extra: dict[str, Any] = {"sample_weight": rows.weight, "groups": rows.when}
    if held is not None:
        extra |= {"X_val": X_val, "y_val": held.y}
        extra |= {"sample_weight_val": held.weight, "groups_val": held.when}
    taken = inspect.signature(last.fit).parameters
    last.fit(X, rows.y, **{k: v for k, v in extra.items() if k in taken and v is not None})
    return model


def score_rows(model: Any, X: Any) -> Floats:
    """Return one score per row, higher for a more likely positive, whatever kind of model it is.

    The probability of the second class where there is one, else ``anomaly_score``, the negative of
    ``score_samples`` (outlier detectors), ``decision_function`` or ``predict``, in this order.

    Parameters
    ----------
    model : fitted estimator or Pipeline
    X : DataFrame of shape (n_rows, n_features)

    Returns
    -------
    float64 array of shape (n_rows,), of several targets (n_rows, n_targets)

    Raises
    ------
    UsageError
        A classifier of one class, or of more than two.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.dummy import DummyClassifier
    >>> from fintech_dl.evaluation.baselines import score_rows
    >>> X = pd.DataFrame({"amount": [1.0, 2.0, 3.0, 4.0]})
    >>> score_rows(DummyClassifier(strategy="prior").fit(X, [0, 0, 0, 1]), X[:2])
    array([0.25, 0.25])
    """
    if hasattr(model, "predict_proba"):
        found = np.asarray(model.predict_proba(X), dtype=float)
        if found.ndim != 2 or found.shape[1] != 2:
            raise UsageError(
                f"score_rows: {model!r} gives probabilities of shape {found.shape}; two classes "
                "are needed"
            )
        return np.asarray(found[:, 1])
    if hasattr(model, "anomaly_score"):
        found = model.anomaly_score(X)
    elif hasattr(model, "score_samples"):
        found = -np.asarray(model.score_samples(X), dtype=float)
    elif hasattr(model, "decision_function"):
        found = model.decision_function(X)
    else:
        found = model.predict(X)
    found = np.asarray(found, dtype=float)
    return found if found.ndim == 2 and found.shape[1] > 1 else found.reshape(len(X))


def _numbers(frame: pd.DataFrame) -> list[Any]:
    """Return the names of numeric and truth-value columns that hold any value."""
    return [c for c, kind in _kinds(frame).items() if kind == "number" and frame[c].notna().any()]


def _categories(frame: pd.DataFrame) -> list[Any]:
    """Return the names of category, text and object columns that hold any value."""
    return [c for c, kind in _kinds(frame).items() if kind == "category" and frame[c].notna().any()]


def _kinds(frame: pd.DataFrame) -> dict[Any, str]:
    kinds = {}
    for name, dtype in frame.dtypes.items():
        if pd.api.types.is_bool_dtype(dtype) or (
            pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
        ):
            kinds[name] = "number"
        elif pd.api.types.is_object_dtype(dtype) or isinstance(
            dtype, pd.CategoricalDtype | pd.StringDtype
        ):
            kinds[name] = "category"
        else:
            raise DataError(
                f"column {name!r} is of type {dtype}; a baseline reads numbers, truth values, "
                "categories and text: turn it into one of them in the table's function"
            )
    return kinds


def _as_floats(frame: pd.DataFrame) -> pd.DataFrame:
    """Return numbers as float64, missing ones as NaN whatever their type."""
    return frame.astype("float64")


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return categories as text, missing ones as NaN, so that types never mix."""
    values = frame.astype(object)
    return values.map(str).where(values.notna(), np.nan)
