"""One column as read -> its declared type, with a mask of the cells that cannot be used.

A column of a wrong type is an error; a single wrong cell is possible only where every cell is text
(CSV) or where whole numbers were stored as decimals.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandas.api.types import (
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_float_dtype,
    is_integer_dtype,
)

from fintech_dl.cards import Column
from fintech_dl.data.rules import EXACT, integer_dtype
from fintech_dl.errors import DataError

Mask = NDArray[np.bool_]

EMPTY = ["", "na", "nan", "-nan", "nat", "none", "null"]
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$"
INFINITE = r"^[+-]?inf(inity)?$"
WHOLE = r"^[+-]?\d{1,18}(\.0*)?$"
ZONE = r":\d{2}(?:\.\d+)? ?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)$"


class Cast(NamedTuple):
    """A column of its declared type; ``values`` means nothing where a mask is true.

    ``order`` are the moments in time (UTC) of a column of times that were read with a time zone.
    """

    values: Any
    missing: Mask
    wrong: Mask
    order: NDArray[np.int64] | None = None


def cast_column(
    column: "pd.Series[Any]", rule: Column, where: str, text: bool = False, *, whole: bool = True
) -> Cast:
    """Return the values of ``column`` in the type that ``rule`` declares.

    Parameters
    ----------
    column : Series
        As read.
    rule : Column
        The card's rule.
    where : str
        File and column, the begin of an error text.
    text : bool
        The cells were read as text and are parsed (CSV).
    whole : bool
        The cells are all of the column, and cannot all be wrong. Those of a part can.

    Raises
    ------
    DataError
        The whole column is of another type, or holds several time zones.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Column
    >>> from fintech_dl.data.casting import cast_column
    >>> cast_column(pd.Series(["12.50", "ten"]), Column(type="number"), "a.csv", text=True).wrong
    array([False,  True])
    """
    column = column.reset_index(drop=True)
    if isinstance(column.dtype, pd.CategoricalDtype) and rule.type != "category":
        column = column.astype(column.cat.categories.dtype)
    if column.dtype == object or isinstance(column.dtype, pd.ArrowDtype):
        column, text = _unpack(column, rule, where, text)
    missing = np.asarray(column.isna(), dtype=bool)
    if missing.all():
        nothing = np.zeros(len(column), dtype=bool)
        return Cast(_nothing(rule, len(column)), missing, nothing)
    parse = text and _is_text(column)
    if rule.type == "text":
        cast = _text(column, missing)
    elif rule.type == "category":
        cast = _category(column, rule, parse)
    elif rule.type == "datetime":
        cast = _times(column, rule, where, parse)
    elif parse:
        cast = _PARSE[rule.type](_cells(column))
    else:
        cast = _TYPED[rule.type](column, missing)
    if cast is None or (whole and cast.wrong.any() and (cast.wrong | cast.missing).all()):
        came = column[~missing].iloc[0]
        kind = "text" if _is_text(column) else str(column.dtype)
        hint = '; write times like "2018-07-25 13:45:00"' if rule.type == "datetime" else ""
        raise DataError(
            f"{where}: expected {rule.type}, the file has {kind} such as {str(came)[:40]!r}{hint}; "
            "correct the file, or the type in the dataset card"
        )
    return cast


def finish(cast: Cast, rule: Column, keep: NDArray[np.intp] | None) -> Any:
    """Return the rows ``keep`` (None: all) in the smallest safe dtype of the declared type.

    Integers take the dtype of their declared bounds, else 32 bits where they fit, else 64; with
    empty cells they become floats (``Int64`` where a float would lose digits). Times are naive
    ``datetime64[us]``, numbers ``float64``.
    """
    values = cast.values if keep is None else cast.values[keep]
    missing = cast.missing if keep is None else cast.missing[keep]
    if rule.type == "category":
        if rule.allowed:
            return values.set_categories(rule.allowed)
        return values.set_categories(sorted(values.remove_unused_categories().categories))
    if not missing.any() or rule.type not in ("integer", "boolean"):
        return values.astype(integer_dtype(values, rule)) if rule.type == "integer" else values
    if rule.type == "boolean":
        return pd.arrays.BooleanArray(values, missing)
    if np.abs(values[~missing]).max(initial=0) > EXACT:
        return pd.arrays.IntegerArray(values, missing)
    return np.where(missing, np.nan, values)


def _unpack(
    column: "pd.Series[Any]", rule: Column, where: str, text: bool
) -> tuple["pd.Series[Any]", bool]:
    """Give a column of Python objects (or of Arrow's types) one of pandas' own dtypes.

    Python's times become text, which keeps the zone of each.
    """
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if rule.type == "datetime" and kind in ("datetime", "date", "datetime64"):
        return column.map(lambda v: v.isoformat(), na_action="ignore").astype("str"), True
    try:
        cells = floats(pa.array(column, from_pandas=True))
    except pa.ArrowException as error:
        raise DataError(f"{where}: expected {rule.type}, the file has {kind} values") from error
    mapper = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get
    return cells.to_pandas(types_mapper=mapper), text


def floats(cells: Any) -> Any:
    """Turn Arrow's decimals into the nearest floats; other cells stay as they are.

    By way of text: Arrow's direct cast makes 3.3000000000000003 of 3.30.
    """
    return cells.cast(pa.string()).cast(pa.float64()) if pa.types.is_decimal(cells.type) else cells


def _nothing(rule: Column, n: int) -> Any:
    if rule.type == "category":
        return pd.Categorical([None] * n, categories=[])
    if rule.type == "text":
        return pd.array([None] * n, dtype="str")
    if rule.type == "datetime":
        return np.full(n, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(n, {"number": np.nan, "integer": 0, "boolean": False}[rule.type])


def _is_text(column: "pd.Series[Any]") -> bool:
    return isinstance(column.dtype, pd.StringDtype)


def _text(column: "pd.Series[Any]", missing: Mask) -> Cast | None:
    if not _is_text(column):
        return None
    return Cast(column.array, missing, np.zeros(len(column), dtype=bool))


def _number(column: "pd.Series[Any]", missing: Mask) -> Cast | None:
    if not (is_integer_dtype(column.dtype) or is_float_dtype(column.dtype)):
        return None
    values = column.to_numpy("float64", na_value=np.nan)
    return Cast(values, missing, np.zeros(len(column), dtype=bool))


def _integer(column: "pd.Series[Any]", missing: Mask) -> Cast | None:
    if is_integer_dtype(column.dtype):
        wrong = np.asarray(column.fillna(0) > np.iinfo(np.int64).max, dtype=bool)
        if missing.any() or wrong.any():
            column = column.where(~(missing | wrong), 0)
        return Cast(column.to_numpy("int64"), missing, wrong)
    if not is_float_dtype(column.dtype):
        return None
    numbers = column.to_numpy("float64", na_value=np.nan)
    usable = (np.abs(numbers) <= EXACT) & (np.floor(numbers) == numbers)
    values = np.where(usable, numbers, 0).astype("int64")
    return Cast(values, missing, ~usable & ~missing)


def _boolean(column: "pd.Series[Any]", missing: Mask) -> Cast | None:
    if not is_bool_dtype(column.dtype):
        return None
    values = column.to_numpy("bool", na_value=False)
    return Cast(values, missing, np.zeros(len(column), dtype=bool))


def _category(column: "pd.Series[Any]", rule: Column, parse: bool) -> Cast | None:
    """Labels are text, or whole numbers where the card's allowed values are."""
    missing = np.asarray(column.isna(), dtype=bool)
    numbers = bool(rule.allowed) and isinstance(rule.allowed[0], int)
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = column.array
    elif _is_text(column) or is_integer_dtype(column.dtype):
        values = pd.Categorical(column)
    elif (cast := _integer(column, missing)) is not None:
        values = pd.Categorical(np.where(missing | cast.wrong, 0, cast.values))
        if cast.wrong.any():
            return Cast(values, missing, cast.wrong)
    else:
        return None
    labels = pd.Series(values.categories)
    if _is_text(labels) and numbers:
        whole = _whole(_cells(labels))
        unreadable, new = whole.wrong | whole.missing, whole.values
        missing = missing | np.append(whole.missing, False)[values.codes]
    elif _is_text(labels) or is_integer_dtype(labels.dtype):
        unreadable = np.zeros(len(labels), dtype=bool)
        new = labels.to_numpy() if numbers else labels.astype("str").to_numpy()
    else:
        return None
    codes = np.where(missing, -1, values.codes)
    wrong = np.append(unreadable, False)[codes]
    kept: Any
    kept, at = np.unique(np.asarray(new)[~unreadable], return_inverse=True)
    target: Any = np.full(len(labels) + 1, -1)
    target[:-1][~unreadable] = at
    return Cast(pd.Categorical.from_codes(target[codes], kept), missing, wrong)


def _arrow(column: "pd.Series[Any]") -> Any:
    cells = pa.array(column, from_pandas=True)
    return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells


def _cells(column: "pd.Series[Any]") -> Any:
    """Cells of text without spaces around them, in lower case, as an Arrow array."""
    return pc.ascii_lower(pc.ascii_trim_whitespace(_arrow(column)))


def _mask(flags: Any) -> Mask:
    return np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False), dtype=bool)


def _parsed(cells: Any, ok: Any, dtype: Any) -> tuple[Any, Mask, Mask]:
    """Parse the cells that are ``ok``; tell the rest apart: empty or wrong."""
    known = _mask(ok)
    missing = ~known & _mask(pc.or_kleene(pc.is_null(cells), pc.is_in(cells, pa.array(EMPTY))))
    fill = "0" if dtype != pa.bool_() else "false"
    values = pc.if_else(pa.array(known), cells, fill).cast(dtype).to_numpy(zero_copy_only=False)
    return values, missing, ~known & ~missing


def _decimal(cells: Any) -> Cast:
    try:  # the usual case, four times as fast: every cell is a number
        numbers = cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return Cast(numbers, np.isnan(numbers), np.zeros(len(numbers), dtype=bool))
    except pa.ArrowInvalid:
        pass
    ok = pc.or_(pc.match_substring_regex(cells, NUMBER), pc.match_substring_regex(cells, INFINITE))
    values, missing, wrong = _parsed(cells, ok, pa.float64())
    return Cast(np.where(missing | wrong, np.nan, values), missing, wrong)


def _whole(cells: Any) -> Cast:
    try:
        if not pc.any(pc.match_substring(cells, "x")).as_py():  # Arrow would read 0x1f
            numbers = cells.cast(pa.int64())
            values = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False)
            if values.min(initial=0) > -(10**18) and values.max(initial=0) < 10**18:
                empty = _mask(pc.is_null(numbers))
                return Cast(values, empty, np.zeros(len(values), dtype=bool))
    except pa.ArrowInvalid:
        pass
    ok = pc.match_substring_regex(cells, WHOLE)
    plain = pc.replace_substring_regex(cells, r"^\+|\.0*$", "")
    return Cast(*_parsed(pc.if_else(ok, plain, cells), ok, pa.int64()))


def _flag(cells: Any) -> Cast:
    ok = pc.is_in(cells, pa.array(["true", "false", "1", "0"]))
    return Cast(*_parsed(cells, ok, pa.bool_()))


def _times(column: "pd.Series[Any]", rule: Column, where: str, parse: bool) -> Cast | None:
    if parse:
        times = _parse_times(column, rule, where)
    elif is_datetime64_any_dtype(column.dtype):
        times = column
    else:
        return None
    known = times.notna()
    times, order = _on_a_clock(times), None
    if not parse and column.dt.tz is not None and not times[known].notna().all():
        # pandas can neither show nor write such cells, so there is no setting them aside
        raise DataError(f"{where}: times outside the years 1 to 9999; is the unit right?")
    if times.dt.tz is not None:
        times = times.dt.tz_convert(rule.timezone)
        order = times.dt.tz_convert("UTC").to_numpy("datetime64[us]").astype(np.int64)
        times = times.dt.tz_localize(None)
    values = times.to_numpy("datetime64[us]")
    empty = column.str.strip().str.lower().isin(EMPTY) if parse else column.isna()
    missing = np.asarray(empty | column.isna(), dtype=bool)
    return Cast(values, missing, np.isnat(values) & ~missing, order)


def _on_a_clock(times: "pd.Series[Any]") -> "pd.Series[Any]":
    """Empty the times outside the years 1 to 9999, less a day where zones are still to change."""
    last = "10000-01-01" if times.dt.tz is None else "9999-12-31"
    moments = times.to_numpy("datetime64[us]")
    inside = (moments >= np.datetime64("0001-01-02")) & (moments < np.datetime64(last))
    return times if inside.all() else times.where(inside)


def _parse_times(column: "pd.Series[Any]", rule: Column, where: str) -> "pd.Series[Any]":
    """Parse ISO 8601; one zone for all, or the changing offsets of the card's own time zone."""
    column = column.str.strip()
    zoned = _mask(pc.match_substring_regex(_arrow(column), ZONE))
    if not zoned.any():
        return pd.to_datetime(column, format="ISO8601", errors="coerce")
    times = _on_a_clock(pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True))
    read = times.notna().to_numpy()
    ends = pc.extract_regex(_arrow(column[zoned & read]), ZONE)
    offsets = ends.field("zone").to_pandas()
    found = {zone: _offset(zone) for zone in offsets.unique()}
    moments = times[zoned & read].dt
    shift = moments.tz_convert(rule.timezone).dt.tz_localize(None) - moments.tz_localize(None)
    one_zone = (
        len(set(found.values())) == 1 or (offsets.map(found).to_numpy() == shift.to_numpy()).all()
    )
    if (read & ~zoned).any() or not one_zone:
        zones = sorted(found) + (["no time zone"] if (read & ~zoned).any() else [])
        raise DataError(
            f"{where}: mixed time zones: {', '.join(zones)}; write all times in one time zone, or "
            "set the column's timezone in the dataset card if all are of that zone"
        )
    return times


def _offset(zone: str) -> pd.Timedelta:
    if zone == "Z":
        return pd.Timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    shift = pd.Timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -shift if zone[0] == "-" else shift


_PARSE = {"number": _decimal, "integer": _whole, "boolean": _flag}
_TYPED = {"number": _number, "integer": _integer, "boolean": _boolean}
