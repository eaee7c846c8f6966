"""Simple rivals: any scikit-learn estimator, made fit for a raw frame, and its scores."""

from __future__ import annotations

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
    float64 array of shape (n_rows,)

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
    return np.asarray(found, dtype=float).reshape(len(X))


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
