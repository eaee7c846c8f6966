"""What each column adds to a row's score, compared with a reference row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import factorial
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.metrics import Floats

Groups = Mapping[str, Sequence[Hashable]]
Method = Literal["integrated_gradients", "exact"]
MOST_GROUPS = 10
TOLERANCE = 1e-4
QUANTILES = np.linspace(0, 1, 21)


def reference_profile(
    X: pd.DataFrame,
    *,
    categorical: Sequence[Hashable] = (),
    special_codes: Mapping[Hashable, Sequence[float]] | None = None,
) -> pd.DataFrame:
    """Return the usual row: the median of each column of numbers, the commonest category.

    Of the approved applicants it is the reference that reasons for a decline are told against.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
    categorical : sequence of column names
        Columns of numbers that are categories, as the model has them.
    special_codes : dict of column name to sequence of numbers, optional
        Numbers that are no amounts, as the model has them; left out, as missing values are.

    Returns
    -------
    DataFrame of shape (1, n_columns)
        Of several commonest categories the first in order; missing where a column has no value.

    Raises
    ------
    UsageError
        ``X`` is no DataFrame, or has no rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.attribution import reference_profile
    >>> X = pd.DataFrame({"income": [20.0, 30.0, None, 90.0], "home": ["own", "rent", "own", None]})
    >>> reference_profile(X).values.tolist()
    [[30.0, 'own']]
    """
    if not isinstance(X, pd.DataFrame) or not len(X):
        raise UsageError("reference_profile: allowed: a DataFrame of one row or more")
    cells = {}
    for name in X.columns:
        known = _known(X[name], special_codes)
        if not len(known):
            cells[name] = pd.Series([None], dtype=X[name].dtype if _text(X[name]) else float)
        elif _text(X[name]) or name in categorical:
            counts = known.value_counts()
            ties = counts.index[counts == counts.iloc[0]].tolist()
            cells[name] = pd.Series([min(ties, key=lambda v: (str(v), repr(v)))])
            cells[name] = cells[name].astype(X[name].dtype)
        else:
            middle = float(known.astype(float).median())
            whole = pd.api.types.is_integer_dtype(X[name]) and middle == round(middle)
            cells[name] = pd.Series([middle]).astype(X[name].dtype if whole else float)
    return pd.DataFrame(cells).set_axis(["reference"])


def best_profile(
    model: Any,
    X: pd.DataFrame,
    *,
    categorical: Sequence[Hashable] = (),
    special_codes: Mapping[Hashable, Sequence[float]] | None = None,
) -> pd.DataFrame:
    """Return the row of best points: in each column the value with which the score is lowest.

    One column is tried at a time, the others as in ``reference_profile``: for a scorecard, which
    adds points, reasons against it are "points below the maximum".

    Parameters
    ----------
    model : fitted estimator or Pipeline
        A higher score is worse.
    X : DataFrame of shape (n_rows, n_columns)
        Rows from which values are taken: 21 quantiles of a number, every category.
    categorical, special_codes : optional
        As in ``reference_profile``.

    Returns
    -------
    DataFrame of shape (1, n_columns)

    Raises
    ------
    UsageError
        ``X`` is no DataFrame or has no rows; or the model has more than one score per row.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl.evaluation.attribution import best_profile
    >>> X = pd.DataFrame({"debt": [1.0, 2.0, 3.0, 4.0]})
    >>> best_profile(LogisticRegression().fit(X, [0, 0, 1, 1]), X).values.tolist()
    [[1.0]]
    """
    usual = reference_profile(X, categorical=categorical, special_codes=special_codes)
    best = usual.copy()
    for name in X.columns:
        known = _known(X[name], special_codes)
        if _text(X[name]) or name in categorical:
            tried = pd.Series(sorted(known.unique(), key=str)).astype(X[name].dtype)
        else:
            amounts = known.astype(float)
            tried = amounts.quantile(QUANTILES).drop_duplicates() if len(known) else amounts
        tried = pd.concat([usual[name], tried], ignore_index=True)
        rows = usual.iloc[np.zeros(len(tried), dtype=int)].reset_index(drop=True)
        rows[name] = tried
        at = int(np.argmin(np.round(_score(model, rows), 6)))
        best[name] = tried.iloc[[at]].set_axis(best.index)
    return best


def attributions(
    model: Any,
    X: pd.DataFrame,
    reference: pd.DataFrame,
    method: Method = "integrated_gradients",
    *,
    groups: Groups | None = None,
    steps: int = 4096,
) -> pd.DataFrame:
    """Return what each column adds to the score of each row, compared with a reference row.

    A row's columns sum to its score less that of the reference. They say what the model does, not
    what would happen if a person changed. Columns that say the same share what they add by chance:
    put them into one group.

    Parameters
    ----------
    model : fitted estimator or Pipeline
        The score is the log odds of the second class, before calibration if it is calibrated; a
        regressor's prediction; or the anomaly score.
    X : DataFrame of shape (n_rows, n_columns)
    reference : DataFrame of shape (1, n_columns)
        ``reference_profile`` or ``best_profile`` of a declared population.
    method : {"integrated_gradients", "exact"}
        ``"integrated_gradients"`` is for our networks, alone or as the last step of a Pipeline.
        ``"exact"`` is for every model: Shapley values of up to 10 groups, or of any number of
        columns if the model adds them up.
    groups : dict of str to list of columns, optional
        Columns to be judged together; each one alone if not given.
    steps : int
        Points between reference and row at which integrated gradients give up.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns) or (n_rows, n_groups)
        Index as in ``X``. Its ``attrs`` say ``method``; ``of``, the columns judged: ``"X"``, or
        ``"network"`` where earlier steps of a Pipeline make other columns, which are judged then;
        and ``steps``, the most points that a row took, or how often each row was scored.

    Raises
    ------
    UsageError
        Unknown columns or methods, a reference of several rows, more groups than 10, a model
        without gradients or with more than one score per row, or too few ``steps``.

    Notes
    -----
    Sundararajan, Taly and Yan (2017); Shapley values compare with one reference row (Sundararajan
    and Najmi, The many Shapley values for model explanation, 2020).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl.evaluation.attribution import attributions, reference_profile
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 2)), columns=["a", "b"])
    >>> model = LogisticRegression().fit(X, X["a"] > 0)
    >>> found = attributions(model, X, reference_profile(X), method="exact")
    >>> bool(np.allclose(found, (X - X.median()) * model.coef_))
    True
    """
    for name, frame in (("X", X), ("reference", reference)):
        if not isinstance(frame, pd.DataFrame):
            raise UsageError(f"{name} is {type(frame).__name__}; allowed: a DataFrame")
    if len(reference) != 1 or list(reference.columns) != list(X.columns):
        raise UsageError(
            f"reference has {len(reference)} rows and the columns {list(reference.columns)[:5]}; "
            "needed: 1 row with the columns of X, as reference_profile makes it"
        )
    if method not in ("integrated_gradients", "exact"):
        raise UsageError(f'method={method!r}; allowed: "integrated_gradients", "exact"')
    model, seen, base, of = before_network(model, X, reference, method)
    sets = {str(c): [c] for c in seen.columns} if groups is None else groups
    check_groups(sets, seen.columns)
    if method == "exact":
        found, taken = _exact(model, X, reference, sets)
    elif not hasattr(model, "input_gradients"):
        raise UsageError(f'{type(model).__name__} has no gradients; use method="exact"')
    else:
        # names that the network was not fitted with would be a warning
        named = hasattr(model, "feature_names_in_")
        rows, one = (seen, base) if named else (seen.to_numpy(), base.to_numpy())
        added, points = model.input_gradients(rows, one, steps=steps)
        columns = pd.DataFrame(added, columns=seen.columns)
        found = np.column_stack([columns[list(c)].sum(axis=1) for c in sets.values()])
        taken = int(points.max())
    frame = pd.DataFrame(found, index=X.index, columns=list(sets))
    frame.attrs = {"method": method, "of": of, "steps": taken}
    return frame


def before_network(
    model: Any, X: pd.DataFrame, reference: pd.DataFrame, method: Method
) -> tuple[Any, pd.DataFrame, pd.DataFrame, str]:
    """Return the model to attribute, its rows and reference, and of which columns: X or network.

    A calibration around a fitted model is taken off: it keeps the order of the scores. So are
    intervals. Steps before
    a network are gone through, unless ``method`` is ``"exact"``.

    Parameters
    ----------
    model : fitted estimator or Pipeline
    X, reference : DataFrame
    method : {"integrated_gradients", "exact"}

    Returns
    -------
    model : fitted estimator or Pipeline
    seen, base : DataFrame
    of : {"X", "network"}
    """
    model = uncalibrated(model)
    if method == "exact" or not isinstance(model, Pipeline):
        return model, X, reference, "X"
    if len(model) == 1:
        return model[-1], X, reference, "X"
    made = model[:-1].transform(X), model[:-1].transform(reference)
    if isinstance(made[0], pd.DataFrame):
        names = list(made[0].columns)
    else:
        try:
            names = list(model[:-1].get_feature_names_out())
        except (AttributeError, ValueError):  # a step that does not name what it makes
            names = [f"x{i}" for i in range(made[0].shape[1])]
    seen, base = (pd.DataFrame(rows).set_axis(names, axis=1) for rows in made)
    return model[-1], seen.set_axis(X.index), base, "X" if names == list(X.columns) else "network"


def uncalibrated(model: Any) -> Any:
    """Return the fitted model that a calibration or intervals were put around, or the model."""
    around = CalibratedClassifierCV | ConformalRegressor
    while isinstance(model, FrozenEstimator) or (
        isinstance(model, around) and isinstance(model.estimator, FrozenEstimator)
    ):
        model = model.estimator
    return model


def last_step(model: Any) -> Any:
    """Return the estimator that a fitted model ends in, without its calibration."""
    model = uncalibrated(model)
    return model[-1] if isinstance(model, Pipeline) else model


def check_groups(groups: Groups, columns: Sequence[Hashable] | pd.Index[Any]) -> None:
    """Raise UsageError unless each column is in one group exactly.

    Parameters
    ----------
    groups : dict of str to list of columns
    columns : sequence of column names
    """
    named = [column for group in groups.values() for column in group]
    twice = [column for column in dict.fromkeys(named) if named.count(column) > 1]
    unknown = [column for column in named if column not in columns]
    lacking = [column for column in columns if column not in named]
    if twice or unknown or lacking:
        raise UsageError(
            f"groups: columns in two groups: {twice[:5]}, unknown: {unknown[:5]}, in no group: "
            f"{lacking[:5]}; each of {list(columns)[:20]} belongs to one group"
        )


def _exact(
    model: Any, X: pd.DataFrame, reference: pd.DataFrame, groups: Groups
) -> tuple[Floats, int]:
    """Return Shapley values of the groups, or their points where there are many and they add up."""
    base = reference.iloc[np.zeros(len(X), dtype=int)].set_axis(X.index)
    sets, n = list(groups.values()), len(groups)

    def score(chosen: Sequence[int]) -> Floats:
        own = {column for i in chosen for column in sets[i]}
        return _score(model, pd.DataFrame({c: (X if c in own else base)[c] for c in X.columns}))

    if n > MOST_GROUPS:
        start, end = score([]), score(range(n))
        points = np.column_stack([score([i]) - start for i in range(n)])
        gap = np.abs(points.sum(axis=1) - (end - start))
        if (gap > TOLERANCE * np.maximum(1, np.abs(end - start))).any():
            raise UsageError(
                f"the model does not add up its columns, and {n} groups are too many for exact "
                f"Shapley values; allowed: {MOST_GROUPS}. Put columns that say the same into one "
                'group, or use method="integrated_gradients"'
            )
        return points, n + 2
    every = np.arange(2**n)
    values = np.stack([score([i for i in range(n) if mask >> i & 1]) for mask in every])
    sizes = np.array([int(mask).bit_count() for mask in every])
    found = []
    for i in range(n):
        without = every[(every >> i & 1) == 0]
        share = [factorial(s) * factorial(n - s - 1) / factorial(n) for s in sizes[without]]
        found.append(np.array(share) @ (values[without | 1 << i] - values[without]))
    return np.column_stack(found), len(every)


def _score(model: Any, X: pd.DataFrame) -> Floats:
    """Return the score that is attributed: log odds where there are classes; higher = worse."""
    if is_classifier(model):
        if hasattr(model, "decision_function"):
            found = np.asarray(model.decision_function(X), dtype=float)
        else:
            found = logit(np.asarray(model.predict_proba(X), dtype=float)[:, 1:])
            found = found[:, 0] if found.shape[1] == 1 else found
    elif hasattr(model, "anomaly_score"):
        found = np.asarray(model.anomaly_score(X), dtype=float)
    elif hasattr(model, "score_samples"):
        found = -np.asarray(model.score_samples(X), dtype=float)
    else:
        found = np.asarray(model.predict(X), dtype=float)
    if found.shape != (len(X),):
        raise UsageError(
            f"{type(model).__name__} gives scores of shape {found.shape}; one per row is needed: "
            "two classes, or one target"
        )
    if not np.isfinite(found).all():
        raise DataError(
            f"{type(model).__name__} gives probabilities of 0 or 1, whose log odds are infinite; "
            "attribute the model before its calibration"
        )
    return found


def _known(
    cells: pd.Series[Any], special_codes: Mapping[Hashable, Sequence[float]] | None
) -> pd.Series[Any]:
    """Return the values that are neither missing nor a special code."""
    known = cells.dropna()
    return known[~known.isin(list((special_codes or {}).get(cells.name, ())))]


def _text(cells: pd.Series[Any]) -> bool:
    """Tell whether a column holds categories or truth values rather than amounts."""
    return pd.api.types.is_bool_dtype(cells) or not pd.api.types.is_numeric_dtype(cells)
