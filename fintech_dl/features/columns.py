"""Columns of a frame as arrays, checked; what is wrong is said with column and row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import DataError


def need_columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Raise DataError unless the frame has all columns; ``what`` says who needs them.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.columns import need_columns
    >>> need_columns(pd.DataFrame({"time": [], "amount": []}), ["amount"], "an example")
    """
    if missing := [name for name in names if name not in frame]:
        raise DataError(
            f"{what}: the column {missing[0]!r} is missing; "
            f"needed: {', '.join(names)}; there are: {', '.join(map(str, frame.columns))}"
        )


def refuse(bad: NDArray[np.bool_], frame: pd.DataFrame, column: str, rule: str) -> None:
    """Raise DataError if any row is bad, naming the first (counted from 0) and its value.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.columns import refuse
    >>> frame = pd.DataFrame({"amount": [5.0, -1.0]})
    >>> refuse((frame["amount"] < 0).to_numpy(), frame, "amount", "must be 0 or more")
    Traceback (most recent call last):
    ...
    fintech_dl.errors.DataError: row 1: amount is -1.0; must be 0 or more
    """
    if bad.any():
        at = int(bad.argmax())
        raise DataError(f"row {at}: {column} is {frame[column].iloc[at]}; {rule}")


def ordered_times(frame: pd.DataFrame, column: str) -> NDArray[np.int64]:
    """Return times as microseconds since 1970, ascending.

    Raises
    ------
    DataError
        The type is not datetime64 without a time zone, a time is missing, or one is earlier than
        that of the row before.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.columns import ordered_times
    >>> ordered_times(pd.DataFrame({"time": pd.to_datetime(["1970-01-01 00:00:01"])}), "time")
    array([1000000])
    """
    times = frame[column]
    if not pd.api.types.is_datetime64_dtype(times.dtype):
        raise DataError(
            f"{column}: the type is {times.dtype}; must be datetime64 without a time zone"
        )
    refuse(times.isna().to_numpy(), frame, column, "every row needs a time")
    out = times.to_numpy().astype("datetime64[us]").astype(np.int64)
    back = np.zeros(len(out), dtype=np.bool_)
    back[1:] = out[1:] < out[:-1]
    refuse(back, frame, column, "that is earlier than the row before; sort the rows by time")
    return out


def numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of numbers as float64, missing values as NaN.

    Raises
    ------
    DataError
        The column holds something other than numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.columns import numbers
    >>> numbers(pd.DataFrame({"is_fraud": pd.array([1, None], dtype="Int8")}), "is_fraud")
    array([ 1., nan])
    """
    values = frame[column]
    if not pd.api.types.is_numeric_dtype(values.dtype) and values.notna().any():
        raise DataError(f"{column}: the type is {values.dtype}; must be a number")
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def entity_numbers(frame: pd.DataFrame, column: str) -> NDArray[np.int64]:
    """Return for each row the number of its entity: 0, 1, ... in order of first appearance.

    Raises
    ------
    DataError
        An id is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.features.columns import entity_numbers
    >>> entity_numbers(pd.DataFrame({"customer_id": ["b", "a", "b"]}), "customer_id")
    array([0, 1, 0])
    """
    refuse(frame[column].isna().to_numpy(), frame, column, "every row needs one")
    return pd.factorize(frame[column])[0].astype(np.int64)
