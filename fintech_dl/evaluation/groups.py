"""Who is who in a validation: protected groups, segments and vintages of the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fintech_dl.cards import Validation, nearest
from fintech_dl.errors import CardError
from fintech_dl.evaluation.explanation import feature_groups
from fintech_dl.table import Table

MOST_GROUPS = 10  # distinct numbers; more are cut into quarters


def check_columns(validation: Validation, table: Table, rows: ArrayLike, where: str) -> None:
    """Refuse a ``[validation]`` that does not fit its table, before anything is trained.

    Parameters
    ----------
    validation : cards.Validation
    table : Table
    rows : int array
        Positions of the rows that will be tested.
    where : str
        Begins an error text.

    Raises
    ------
    CardError
        A protected attribute among the features, columns that are not there, exposures that are no
        numbers, a reference group without test rows, or bounds for a column of texts.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Validation
    >>> from fintech_dl.evaluation.groups import check_columns
    >>> from fintech_dl.table import Table
    >>> table = Table(X=pd.DataFrame({"income": [1.0]}), aside=pd.DataFrame({"sex": ["f"]}))
    >>> check_columns(Validation(protected=["sex"]), table, [0], "mine: [validation]")
    """
    beside = table.X.iloc[:, :0] if table.aside is None else table.aside
    features = {*map(str, table.X.columns), *feature_groups(list(table.X.columns))}
    for name in validation.protected:
        if name in features:
            raise CardError(
                f"{where} protected: {name!r} is among the features, where the model sees it; name "
                "it in `protected` (or `drop` and `aside`) of [table]"
            )
    columns = [str(name) for name in beside]
    for key, wanted, known in (
        ("protected", validation.protected, columns),
        ("segments", validation.segments, [*columns, *map(str, table.X.columns)]),
        ("ead", [validation.ead] if validation.ead else [], columns),
    ):
        for name in wanted:
            if name not in known:
                place = "" if key == "segments" else " that [table] sets aside"
                raise CardError(
                    f"{where} {key} = {name!r} is no column{place}; {nearest(name, known)}"
                )
    if validation.ead and not pd.api.types.is_numeric_dtype(beside[validation.ead]):
        raise CardError(
            f"{where} ead = {validation.ead!r} holds {beside[validation.ead].dtype}, "
            "expected numbers"
        )
    for name in (*validation.protected, *validation.segments):
        grouped = groups_of(column_of(table, name), validation.bands.get(name), f"{where} {name}")
        group = validation.reference.get(name)
        known = [
            *map(str, grouped.iloc[np.asarray(rows)].cat.remove_unused_categories().cat.categories)
        ]
        if group is not None and group not in known:
            raise CardError(
                f"{where} reference.{name} = {group!r}: no test row is of that group; "
                f"{nearest(group, known)}"
            )


def groups_of(column: pd.Series[Any], bounds: Sequence[float] | None, where: str) -> pd.Series[Any]:
    """Return a column as ordered groups named by text; numbers are cut by bounds, or in quarters.

    Numbers of which there are at most 10 different ones stay as they are without bounds.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.groups import groups_of
    >>> groups_of(pd.Series([19, 25, 70]), [25, 62], "age").tolist()
    ['below 25', '25 to below 62', '62 and above']
    """
    number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if bounds is not None and not number:
        raise CardError(f"{where}: bands are for numbers; this column holds {column.dtype}")
    values = sorted(column.dropna().unique().tolist())
    if not number or (bounds is None and len(values) <= MOST_GROUPS):
        texts = {value: f"{value:g}" if number else str(value) for value in values}
        names = list(dict.fromkeys(texts.values()))
        return column.astype(object).map(texts).astype(pd.CategoricalDtype(names, ordered=True))
    if bounds is None:
        bounds = np.unique(column.quantile([0.25, 0.5, 0.75])).tolist()
    ends = [f"{bound:.6g}" for bound in bounds]
    between = [f"{a} to below {b}" for a, b in pairwise(ends)]
    labels = [f"below {ends[0]}", *between, f"{ends[-1]} and above"]
    edges = [-np.inf, *bounds, np.inf]
    return pd.cut(column.astype(float), edges, right=False, labels=labels)


def column_of(table: Table, name: str) -> pd.Series[Any]:
    """Return a column that is set aside, else the feature of that name."""
    beside = table.aside
    found: pd.Series[Any] = table.X[name] if beside is None or name not in beside else beside[name]
    return found


def groups_in(validation: Validation, table: Table, name: str) -> pd.Series[Any]:
    """Return the groups of a column of a table, cut by the bands of the validation."""
    return groups_of(column_of(table, name), validation.bands.get(name), name)


def periods(when: pd.Series[Any], length: str) -> NDArray[Any]:
    """Return the month or quarter of each time as text that sorts: ``2024-03``, ``2024Q1``."""
    times = pd.DatetimeIndex(when).tz_localize(None)
    return times.to_period("M" if length == "month" else "Q").astype(str).to_numpy()
