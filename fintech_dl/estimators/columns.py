"""Raw frames and arrays to one float32 matrix: numbers as they are, categories as codes.

Pandas is imported only where a frame comes in: scoring with a saved graph does without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from fintech_dl.networks.parameters import shown

if TYPE_CHECKING:
    import pandas as pd

Columns = list[dict[str, Any]]
TIMES = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period")
LARGEST_INTEGER = 2**24  # float32 holds every whole number up to here


def fit_columns(
    X: pd.DataFrame | np.ndarray,
    categorical: Sequence[Any] | None = None,
    special_codes: Mapping[Any, Sequence[float]] | None = None,
    min_frequency: float | None = None,
) -> Columns:
    """Describe each column of the training rows as plain data.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
    categorical : sequence of column names or positions, optional
        Columns to treat as categories although they hold numbers. In a DataFrame, text and
        ``category`` columns are categories anyway.
    special_codes : mapping of column name or position to sequence of numbers, optional
        Numbers that are no amounts.
    min_frequency : int or float, optional
        Rows, or share of the rows, that a category needs to be one of its own.

    Returns
    -------
    list of dict
        ``name``, ``kind`` (``"number"`` or ``"category"``), ``categories``, ``has_missing``; where
        there are any, ``special_codes``; ``whole`` where all numbers are whole.

    Raises
    ------
    ValueError
        A name in ``categorical`` or ``special_codes`` is no column; a special code is no number
        that its column can hold; there is no column; or a column holds what is
        neither numbers nor categories: dates, lists, complex numbers, numbers as objects.
    """
    import pandas as pd

    if not isinstance(X, pd.DataFrame):
        X = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    if not X.shape[1]:
        raise ValueError(f"X has 0 feature(s) (shape={X.shape}); a minimum of 1 is required")
    names = list(X.columns)
    chosen = set(positions(names, [] if categorical is None else categorical, "categorical"))
    coded = special_codes or {}
    codes_at = dict(
        zip(positions(names, list(coded), "special_codes"), coded.values(), strict=True)
    )
    least = min_frequency or 0
    least = least * len(X) if isinstance(least, float) else least
    columns: Columns = []
    for i, name in enumerate(X.columns):
        series = X.iloc[:, i]
        is_category = i in chosen or not _is_number(series.dtype)
        _refuse_times(series, name)
        if is_category:
            _check_categories(series, name, chosen=i in chosen)
        columns.append(
            {
                "name": str(name),
                "kind": "category" if is_category else "number",
                "categories": _categories(series, least) if is_category else [],
                "has_missing": bool(series.isna().any()),
            }
        )
        if not is_category and _is_whole(series):
            columns[-1]["whole"] = True
        if i in codes_at:
            columns[-1]["special_codes"] = _special(codes_at[i], series, name, is_category)
    return columns


def encode_columns(X: pd.DataFrame | np.ndarray, columns: Columns) -> np.ndarray:
    """Return the rows as a C-ordered float32 matrix of shape (n_rows, n_columns).

    Missing numbers stay NaN, masked ones become it; categories become 1, 2, ... in the order of
    ``columns``, and 0 where missing or unseen. Columns are read by position.

    Raises
    ------
    ValueError
        Infinity, a date or time, a number that is text, or a whole number above 2**24; numbers
        where there was text, or text where there were numbers; columns of other names than in
        training. The text names the column.
    """
    X = unmasked(X)
    if isinstance(X, np.ndarray) and all(column["kind"] == "number" for column in columns):
        check_numbers(X, columns)
        return np.ascontiguousarray(X, dtype=np.float32)
    parts: list[Any]
    if isinstance(X, np.ndarray):
        parts = list(X.T)
    else:
        _check_names([str(name) for name in X.columns], columns)
        parts = [X.iloc[:, i] for i in range(len(columns))]
    out = np.empty((len(parts[0]) if parts else len(X), len(columns)), dtype=np.float32)
    for i, (cells, column) in enumerate(zip(parts, columns, strict=True)):
        out[:, i] = encode_cells(cells, column)
    return out


def encode_cells(cells: Any, column: dict[str, Any]) -> Any:
    """Return the cells of one column, an array or a Series, as numbers still to become float32.

    Raises
    ------
    ValueError
        As `encode_columns`.
    """
    _refuse_times(cells, column["name"])
    if column["kind"] == "category":
        return codes_of(cells, column)
    if not _is_number(cells.dtype):
        if _first_odd(cells, lambda cell: False) is None:
            return np.nan
        odd = _first_odd(cells, lambda cell: isinstance(cell, Number))
        raise ValueError(
            f"column {column['name']!r} held numbers in training and is {cells.dtype} now"
            f"{f', row {odd[0]}: {odd[1]}' if odd else ''}. Convert it with pandas.to_numeric"
        )
    if cells.dtype.kind == "c":
        raise ValueError(_complex(column["name"]))
    values = _floats(cells)
    check_numbers(values[:, None], [column], cells.dtype)
    return values


def unmasked(X: Any) -> Any:
    """Return a masked array as one whose masked cells are missing; anything else as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.estimators.columns import unmasked
    >>> unmasked(np.ma.array([1, -999], mask=[False, True])).tolist()
    [1.0, nan]
    """
    if not np.ma.isMaskedArray(X):
        return X
    if not np.ma.is_masked(X) or X.dtype.kind in "mMV":  # times and records are refused anyway
        return X.data
    if X.dtype.kind in "biufc":
        kind = X.dtype if X.dtype.kind in "fc" else np.float64
        return np.ma.filled(X.astype(kind), np.nan)
    return np.ma.filled(X.astype(object), None)


def check_numbers(values: np.ndarray, columns: Columns, dtype: Any = None) -> None:
    """Raise ValueError for numbers that float32 cannot hold, naming the column."""
    kind = np.dtype(values.dtype).kind if dtype is None else ("i" if _is_integer(dtype) else "f")
    limit = LARGEST_INTEGER if kind in "iu" else float(np.finfo(np.float32).max)
    if not values.size:
        return
    with np.errstate(invalid="ignore"):  # the extremes first: millions of rows are usually fine
        if (
            np.fmax.reduce(values, axis=None) <= limit
            and np.fmin.reduce(values, axis=None) >= -limit
        ):
            return
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


def _floats(cells: Any) -> np.ndarray:
    """Return the numbers of an array or a Series as float64, NaN where missing."""
    with np.errstate(over="ignore"):  # what is too large becomes infinity, which is refused
        if isinstance(cells, np.ndarray):
            return cells.astype(np.float64)
        return np.asarray(cells.to_numpy(dtype=np.float64, na_value=np.nan))


def _is_number(dtype: Any) -> bool:
    if isinstance(dtype, np.dtype):
        return dtype.kind in "biufc"
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        return False
    return bool(pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype))


def _is_integer(dtype: Any) -> bool:
    if isinstance(dtype, np.dtype):
        return dtype.kind in "iu"
    import pandas as pd

    return bool(pd.api.types.is_integer_dtype(dtype))


def _is_whole(series: pd.Series[Any]) -> bool:
    """Return whether all numbers that are there are whole; the first rows mostly tell."""
    if series.dtype.kind in "biu":
        return True
    parts = (part.dropna() for part in (series.iloc[:1000], series))
    return all(bool((part == part.round()).all()) for part in parts)


def _refuse_times(cells: Any, name: Any) -> None:
    if cells.dtype.kind in "mM" or str(cells.dtype).startswith("period"):
        raise ValueError(
            f"column {name!r} is of type {cells.dtype}; dates and times are no numbers. "
            "Turn it into numbers first (hour, days since ...)"
        )


def _check_categories(series: pd.Series[Any], name: Any, *, chosen: bool) -> None:
    """Refuse training cells that are no categories: they would become as many as there are rows."""
    import pandas as pd

    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype):
        _refuse_times(series.cat.categories, name)
        return
    if isinstance(kind, pd.StringDtype) or _is_number(kind):
        return
    found = pd.api.types.infer_dtype(series, skipna=True)
    where = f"column {str(name)!r}"
    if found in TIMES and (odd := _first_odd(series, lambda cell: False)):
        raise ValueError(
            f"{where}, row {odd[0]}: {odd[1]}; dates and times are no numbers. "
            "Turn it into numbers first (hour, days since ...)"
        )
    if found == "complex":
        raise ValueError(_complex(name))
    if odd := _first_odd(series, _is_hashable):
        raise ValueError(
            f"{where}, row {odd[0]}: {odd[1]} is neither a number nor a category. Turn it into "
            "numbers or text, or drop the column"
        )
    if found in ("string", "boolean", "empty", "bytes") or chosen:
        return
    numbers = sum(isinstance(cell, Number) for cell in series)
    rare = 2 * numbers <= len(series)
    odd = _first_odd(series, lambda cell: isinstance(cell, Number) is not rare)
    told = f" and others, row {odd[0]}: {odd[1]}" if odd else ""
    raise ValueError(
        f"{where} is of type {kind} and holds {'numbers' if numbers else 'objects'}{told}. Convert "
        "it with pandas.to_numeric, or to text; or name it in categorical=[...] if its values are "
        "categories"
    )


def _complex(name: Any) -> str:
    return f"Complex data not supported: column {str(name)!r}. Take real numbers of it"


def _is_hashable(cell: Any) -> bool:
    try:
        hash(cell)
    except TypeError:
        return False
    return True


def _first_odd(cells: Any, fits: Callable[[Any], bool]) -> tuple[int, str] | None:
    """Return row and text of the first cell that is there and does not fit, None if all do."""
    values = (cells if isinstance(cells, np.ndarray) else cells.astype(object)).tolist()
    for row, cell in enumerate(values):
        if not fits(cell) and not _is_missing(cell):
            return row, shown(cell)
    return None


def _is_missing(cell: Any) -> bool:
    return cell is None or type(cell).__name__ == "NAType" or (_is_hashable(cell) and cell != cell)


def _check_names(came: list[str], columns: Columns) -> None:
    """Refuse columns under other names; scikit-learn looks only where every name is text."""
    names = [column["name"] for column in columns]
    if came != names and names != [f"x{i}" for i in range(len(names))]:
        odd = [name for name in came if name not in names]
        lacking = [name for name in names if name not in came]
        raise ValueError(
            "The feature names should match those of the training rows, in their order; "
            f"new: {odd}, missing: {lacking}"
        )


def positions(names: list[Any], columns: Sequence[Any], parameter: str) -> list[int]:
    """Return the positions of columns given by name or position; ValueError for one not there."""
    found = []
    for wanted in columns:
        if wanted in names:
            found.append(names.index(wanted))
        elif isinstance(wanted, int) and 0 <= wanted < len(names):
            found.append(wanted)
        else:
            raise ValueError(f"{parameter} names {wanted!r}, which is no column of X: {names}")
    return found


def _special(codes: Any, series: pd.Series[Any], name: Any, is_category: bool) -> list[float]:
    """Return the special codes of a column of numbers, or say why they cannot be."""
    where = f"special_codes[{str(name)!r}]={shown(codes)}"
    if is_category:
        raise ValueError(f"{where}: the column is a category, where each code is one already")
    if isinstance(codes, str | bytes | Mapping) or not hasattr(codes, "__len__"):
        raise ValueError(f"{where}; allowed: a sequence of numbers, such as [-9, -8]")
    for code in codes:
        number = isinstance(code, Number) and not isinstance(code, bool | np.bool_ | complex)
        if not number or not abs(code) <= np.finfo(np.float32).max:
            raise ValueError(f"{where}: {shown(code)} is no number; allowed: numbers")
        if _is_integer(series.dtype) and code != round(code):
            raise ValueError(f"{where}: {code} is no whole number; allowed: {series.dtype}")
    return sorted({float(code) for code in codes})


def _categories(series: pd.Series[Any], least: float = 0) -> list[Any]:
    """Return the categories of at least so many training rows as plain sorted values."""
    import pandas as pd

    counts = series.dropna().value_counts(sort=False)
    present = counts.index[(counts >= max(least, 1)).to_numpy()]
    values = pd.Series(present).astype(object).tolist()
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def codes_of(cells: Any, column: Mapping[str, Any]) -> list[int]:
    """Return the code of each cell; what is missing equals no category.

    A column of numbers where training had text, or the reverse, would be unseen as a whole: that
    is a fault of the file and no new category.
    """
    categories = column["categories"]
    codes = {category: code for code, category in enumerate(categories, 1)}
    values = (cells if isinstance(cells, np.ndarray) else cells.astype(object)).tolist()
    try:
        found = [codes.get(value, 0) for value in values]
    except TypeError:
        row, value = _first_odd(cells, _is_hashable) or (0, "it")
        raise ValueError(
            f"column {column['name']!r}, row {row}: {value} is no category. Turn it into text"
        ) from None
    if categories and not any(found):
        texts = {isinstance(category, str) for category in categories}
        now = {True} if _is_text(cells.dtype) else {False} if _is_number(cells.dtype) else set()
        odd = _first_odd(cells, lambda cell: False)
        if now and not now & texts and odd:
            was, is_ = ("text", "numbers") if True in texts else ("numbers", "text")
            raise ValueError(
                f"column {column['name']!r} held {was} in training and holds {is_} now, "
                f"row {odd[0]}: {odd[1]}. Read it as in training"
            )
    return found


def _is_text(dtype: Any) -> bool:
    if isinstance(dtype, np.dtype):
        return dtype.kind == "U"
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(dtype))
