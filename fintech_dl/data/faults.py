"""What single rows break of a contract: one mask per rule, whatever rows come before or after.

For a whole file (`contract.check_rows`) and for the batches of one that is scored as a stream.
"""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import Column, DatasetCard
from fintech_dl.data.casting import Cast, Mask, cast_column
from fintech_dl.errors import UsageError

Moment = str | date | pd.Timestamp


class Fault(NamedTuple):
    """A broken rule: its code, the column as read, and the positions of the rows."""

    code: str
    column: str
    rows: NDArray[np.intp]


def check_cells(
    frame: pd.DataFrame,
    rules: dict[str, tuple[str, Column]],
    card: DatasetCard,
    *,
    as_of: Moment | None = None,
    text: bool = False,
    where: str = "",
    whole: bool = True,
    again: Callable[[Cast], Mask] | None = None,
) -> tuple[dict[str, Cast], list[Fault]]:
    """Return each column in its declared type, and every rule that cells of it break.

    Parameters
    ----------
    frame : DataFrame
        As read.
    rules : dict
        Of `rules.find_columns`: name -> (column of the frame, rule).
    card : DatasetCard
    as_of : str, date or Timestamp, optional
        The moment of the data: rows after it are faulty. Default: none is.
    text : bool
        All cells were read as text and are parsed.
    where : str
        The file, the begin of an error text.
    whole : bool
        The rows are all of the file: a column of wrong cells alone is an error. Of a part of it
        they are faults like others.
    again : callable, optional
        From the key's column to the mask of the rows whose key came before. Default: those of
        the frame itself.

    Returns
    -------
    casts : dict of str to Cast
    faults : list of Fault
        In the order of the columns.

    Raises
    ------
    DataError
        A column of another type, or with several time zones.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Column, DatasetCard, Source
    >>> from fintech_dl.data.faults import check_cells
    >>> rules = {"amount": ("amount", Column(type="number", min=0))}
    >>> source = Source(kind="file", path="a.csv")
    >>> card = DatasetCard(title="", licence="", source=source, columns={})
    >>> casts, faults = check_cells(pd.DataFrame({"amount": [5.0, -1.0]}), rules, card)
    >>> [(fault.code, fault.rows.tolist()) for fault in faults]
    [('below_min:amount', [1])]
    """
    casts: dict[str, Cast] = {}
    faults: list[Fault] = []
    for name, (source, rule) in rules.items():
        cast = cast_column(frame[source], rule, f"{where}: column {source!r}", text, whole=whole)
        casts[name] = _emptied(cast, rule)
        found = _broken(casts[name], rule)
        if name == card.contract.key:
            found["duplicate_key"] = (again or _repeated)(casts[name])
        if name == card.contract.time and rule.type == "datetime":
            found["future_time"] = _future(casts[name], rule, as_of)
        for code, mask in found.items():
            if mask.any():
                faults.append(Fault(f"{code}:{name}", source, np.flatnonzero(mask)))
    return casts, faults


def any_fault(n_rows: int, faults: list[Fault]) -> Mask:
    """Return which rows have a fault."""
    bad = np.zeros(n_rows, dtype=bool)
    for fault in faults:
        bad[fault.rows] = True
    return bad


def example(frame: pd.DataFrame, fault: Fault, first_row: int = 1) -> str:
    """Return the first offending cell as text; ``first_row`` numbers the rows of the frame."""
    row = int(fault.rows[0])
    cell = frame[fault.column].iloc[row]
    shown = "empty" if pd.api.types.is_scalar(cell) and pd.isna(cell) else repr(str(cell)[:40])
    return f"row {row + first_row}: {fault.column} is {shown}"


def codes(rows: NDArray[np.intp], faults: list[Fault]) -> NDArray[np.object_]:
    """Return for each of some faulty rows, in rising order, its codes joined by ``;``."""
    found = np.full(len(rows), "", dtype=object)
    for fault in faults:
        at = np.searchsorted(rows, fault.rows)
        found[at] = [f"{told};{fault.code}" if told else fault.code for told in found[at]]
    return found


def set_aside(frame: pd.DataFrame, bad: Mask, faults: list[Fault]) -> pd.DataFrame:
    """Return the faulty rows as read, with ``source_row`` and ``reason``."""
    rows = np.flatnonzero(bad)
    taken = frame.iloc[rows].reset_index(drop=True)
    own = ("source_row", "reason")
    taken = taken.rename(columns={c: f"{c}_as_read" for c in own if c in taken.columns})
    reasons = pd.Series(codes(rows, faults), dtype="str")
    return taken.assign(source_row=rows + 1, reason=reasons)


def moment(as_of: Moment, timezone: str) -> pd.Timestamp:
    """Return a moment as naive wall clock of a time zone.

    Raises
    ------
    UsageError
        Text that is no date or time.
    """
    try:
        at = pd.Timestamp(as_of)
    except ValueError as error:
        raise UsageError(f'as_of: {as_of!r} is no time; write it like "2018-07-25"') from error
    return at if at.tzinfo is None else at.tz_convert(timezone).tz_localize(None)


def _emptied(cast: Cast, rule: Column) -> Cast:
    """Take the numbers that mean an empty cell for one."""
    if not rule.empty:
        return cast
    empty = np.isin(cast.values, rule.empty) & ~cast.wrong
    values = np.where(empty, np.nan, cast.values) if rule.type == "number" else cast.values
    return cast._replace(values=values, missing=cast.missing | empty)


def _broken(cast: Cast, rule: Column) -> dict[str, Mask]:
    """Return the mask of each rule that cells of one column can break."""
    usable = ~(cast.missing | cast.wrong)
    found = {"wrong_type": cast.wrong}
    if not rule.nullable:
        found["missing"] = cast.missing
    if rule.type == "number":
        found["infinite"] = np.isinf(cast.values)
        usable &= ~found["infinite"]
    if rule.min is not None:
        found["below_min"] = usable & (cast.values < rule.min)
    if rule.max is not None:
        found["above_max"] = usable & (cast.values > rule.max)
    if rule.allowed and rule.type == "category":
        known = np.append(np.isin(np.asarray(cast.values.categories), rule.allowed), True)
        found["not_allowed"] = usable & ~known[cast.values.codes]
    elif rule.allowed:
        found["not_allowed"] = usable & ~np.asarray(pd.Series(cast.values).isin(rule.allowed))
    return found


def _repeated(cast: Cast) -> Mask:
    """All rows of a key but the first; empty keys are no duplicates of each other."""
    again: Mask = np.zeros(len(cast.missing), dtype=bool)
    usable = np.flatnonzero(~(cast.missing | cast.wrong))
    again[usable] = pd.Series(cast.values[usable]).duplicated()
    return again


def _future(cast: Cast, rule: Column, as_of: Moment | None) -> Mask:
    if not as_of:
        return np.zeros(len(cast.missing), dtype=bool)
    late: Mask = cast.values > moment(as_of, rule.timezone).to_datetime64()
    return late & ~(cast.missing | cast.wrong)
