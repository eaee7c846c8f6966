"""Raw frames and arrays to one float32 matrix: numbers as they are, categories as codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

Columns = list[dict[str, Any]]
LARGEST_INTEGER = 2**24  # float32 holds every whole number up to here


def fit_columns(X: pd.DataFrame | np.ndarray, categorical: Sequence[Any] | None = None) -> Columns:
    """Describe each column of the training rows as plain data.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
    categorical : sequence of column names or positions, optional
        Columns to treat as categories although they hold numbers. In a DataFrame, text and
        ``category`` columns are categories anyway.

    Returns
    -------
    list of dict
        ``name``, ``kind`` (``"number"`` or ``"category"``), ``categories``, ``has_missing``.

    Raises
    ------
    ValueError
        A name in ``categorical`` is no column.
    """
    if not isinstance(X, pd.DataFrame):
        X = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    chosen = _positions(X, categorical or [])
    columns = []
    for i, name in enumerate(X.columns):
        series = X.iloc[:, i]
        is_category = i in chosen or not pd.api.types.is_numeric_dtype(series.dtype)
        _refuse_times(series, name)
        columns.append(
            {
                "name": str(name),
                "kind": "category" if is_category else "number",
                "categories": _categories(series) if is_category else [],
                "has_missing": bool(series.isna().any()),
            }
        )
    return columns


def encode_columns(X: pd.DataFrame | np.ndarray, columns: Columns) -> np.ndarray:
    """Return the rows as a C-ordered float32 matrix of shape (n_rows, n_columns).

    Missing numbers stay NaN; categories become 1, 2, ... in the order of ``columns``, and 0 where
    missing or unseen.

    Raises
    ------
    ValueError
        Infinity, a date or time, a number that is text, or a whole number above 2**24; the text
        names the column.
    """
    if isinstance(X, np.ndarray) and all(column["kind"] == "number" for column in columns):
        _check_numbers(X, columns)
        return np.ascontiguousarray(X, dtype=np.float32)
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
    out = np.empty((len(frame), len(columns)), dtype=np.float32)
    for i, column in enumerate(columns):
        series = frame.iloc[:, i]
        _refuse_times(series, column["name"])
        if column["kind"] == "category":
            out[:, i] = _codes(series, column["categories"])
            continue
        if not pd.api.types.is_numeric_dtype(series.dtype):
            raise ValueError(
                f"column {column['name']!r} held numbers in training and is {series.dtype} now; "
                f"first value {series.iloc[0]!r}. Convert it to numbers"
            )
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        _check_numbers(values[:, None], [column], series.dtype)
        out[:, i] = values
    return out


def _check_numbers(values: np.ndarray, columns: Columns, dtype: Any = None) -> None:
    """Refuse what float32 cannot hold, naming the column."""
    kind = np.dtype(values.dtype).kind if dtype is None else ("i" if _is_integer(dtype) else "f")
    limit = LARGEST_INTEGER if kind in "iu" else float(np.finfo(np.float32).max)
    with np.errstate(invalid="ignore"):
        wrong = np.abs(values) > limit
    if wrong.any():
        row, i = (int(p) for p in np.argwhere(wrong)[0])
        value = values[row, i]
        name = columns[i]["name"]
        if kind in "iu":
            raise ValueError(
                f"column {name!r}, row {row}: {int(value)} is above 2**24, where float32 no longer "
                "tells whole numbers apart. Drop it if it is an id, or scale it to floats"
            )
        raise ValueError(
            f"Input contains infinity or a value too large for float32: column {name!r}, "
            f"row {row}: {value}. Remove the row or replace the value"
        )


def _is_integer(dtype: Any) -> bool:
    return bool(pd.api.types.is_integer_dtype(dtype))


def _refuse_times(series: pd.Series[Any], name: Any) -> None:
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or series.dtype.kind in "mM":
        raise ValueError(
            f"column {name!r} is of type {series.dtype}; dates and times are no numbers. "
            "Turn it into numbers first (hour, days since ...)"
        )


def _positions(X: pd.DataFrame, categorical: Sequence[Any]) -> set[int]:
    names = list(X.columns)
    positions = set()
    for wanted in categorical:
        if wanted in names:
            positions.add(names.index(wanted))
        elif isinstance(wanted, int) and 0 <= wanted < len(names):
            positions.add(wanted)
        else:
            raise ValueError(f"categorical names {wanted!r}, which is no column of X: {names}")
    return positions


def _categories(series: pd.Series[Any]) -> list[Any]:
    """Return the categories of training rows as plain sorted values."""
    present = series.dropna().unique()
    values = pd.Series(present).astype(object).tolist()
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def _codes(series: pd.Series[Any], categories: list[Any]) -> np.ndarray:
    index = pd.Index(categories, dtype=object)
    return np.asarray(index.get_indexer(pd.Index(series.astype(object)))) + 1
