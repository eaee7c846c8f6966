"""A table's features as Parquet, and back, bit for bit and in their own dtypes.

Parquet alone forgets categories that no row has, and pandas turns NaN into an empty cell: both
would change what a model sees. So categories are stored as their codes, and every field says of
which dtype it was.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

CARRIED = "carried@"  # begins the names of columns that are no features
PLAIN = "biufM"  # kinds of NumPy dtypes that Arrow takes as they are


def pack(frame: pd.DataFrame) -> pa.Table:
    """Return a frame as an Arrow table from which `unpack` makes the very same frame.

    Parameters
    ----------
    frame : DataFrame
        Of any index, which is not kept.

    Returns
    -------
    pyarrow.Table
        Of categories their codes; each field's metadata says of which dtype it was.

    Raises
    ------
    TypeError
        A column holds objects that are no text.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.scoring.snapshot import pack, unpack
    >>> frame = pd.DataFrame({"kind": pd.Categorical(["b"], ["a", "b", "c"]), "x": [float("nan")]})
    >>> unpack(pack(frame))["kind"].cat.categories.tolist()
    ['a', 'b', 'c']
    """
    arrays, fields = [], []
    for name in frame.columns:
        column = frame[name]
        told: dict[str, Any] = {"dtype": str(column.dtype)}
        if isinstance(column.dtype, pd.CategoricalDtype):
            labels = column.dtype.categories
            told |= {"labels": str(labels.dtype), "ordered": bool(column.dtype.ordered)}
            told["categories"] = labels.tolist()
            array = pa.array(column.cat.codes.to_numpy(np.int32))
        elif isinstance(column.dtype, np.dtype) and column.dtype.kind in PLAIN:
            array = pa.array(column.to_numpy())  # NaN stays NaN
        else:
            try:
                array = pa.array(column, from_pandas=True)
            except pa.ArrowException as error:
                raise TypeError(f"feature {name!r}: {error}") from error
        arrays.append(array)
        fields.append(pa.field(str(name), array.type, metadata={"fintech_dl": json.dumps(told)}))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def unpack(table: pa.Table) -> pd.DataFrame:
    """Return the frame that `pack` was given; its index is 0, 1, ...

    Parameters
    ----------
    table : pyarrow.Table or RecordBatch
        With the fields of `pack`, some of them or all, and any rows.

    Returns
    -------
    DataFrame
    """
    columns: dict[str, Any] = {}
    for field, cells in zip(table.schema, table.columns, strict=True):
        told = json.loads((field.metadata or {}).get(b"fintech_dl", b"{}"))
        dtype = told.get("dtype", "")
        if "categories" in told:
            labels = pd.Index(told["categories"], dtype=told["labels"])
            codes = cells.to_numpy() if isinstance(cells, pa.ChunkedArray) else _array(cells)
            columns[field.name] = pd.Categorical.from_codes(
                codes, dtype=pd.CategoricalDtype(labels, ordered=told["ordered"])
            )
        elif pa.types.is_primitive(field.type) and dtype and _is_plain(dtype):
            columns[field.name] = np.asarray(_array(cells)).astype(dtype, copy=False)
        else:
            series = cells.to_pandas(types_mapper=_NULLABLE.get(dtype))
            columns[field.name] = series.astype(dtype) if dtype else series
    return pd.DataFrame(columns, index=range(len(table)), copy=False)


def _array(cells: Any) -> Any:
    if isinstance(cells, pa.ChunkedArray):
        return cells.to_numpy()
    return cells.to_numpy(zero_copy_only=False)


def _is_plain(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in PLAIN
    except TypeError:
        return False


_NULLABLE: dict[str, Any] = {
    name: (lambda kind: lambda _: kind)(pd.api.types.pandas_dtype(name))
    for name in (
        *(f"{sign}nt{bits}" for sign in ("I", "UI") for bits in (8, 16, 32, 64)),
        "boolean",
        "Float32",
        "Float64",
    )
}
