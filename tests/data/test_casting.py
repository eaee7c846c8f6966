import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fintech_dl.cards import Column
from fintech_dl.data.casting import cast_column, finish
from fintech_dl.errors import DataError

BRUSSELS = {"timezone": "Europe/Brussels"}
CEST = dt.timezone(dt.timedelta(hours=2))


def cast(cells, type, text=False, dtype=None, **rule):
    return cast_column(pd.Series(cells, dtype=dtype), Column(type=type, **rule), "x", text)


def finished(cells, type, text=False, dtype=None, **rule):
    return finish(cast(cells, type, text, dtype, **rule), Column(type=type, **rule), None)


def judged(column):
    """Return the cells: their value, None where empty, "wrong" where they cannot be used."""
    cells = list(column.values)
    return [
        "wrong" if wrong else None if missing else cell
        for cell, missing, wrong in zip(cells, column.missing, column.wrong, strict=True)
    ]


CELLS = {
    "number": {
        "1.5": 1.5,
        " 2 ": 2.0,
        "+3": 3.0,
        "-.5": -0.5,
        "5.": 5.0,
        "1e3": 1000.0,
        "2E-2": 0.02,
        "0.1": 0.1,
        "9007199254740993": 9007199254740992.0,
        "inf": np.inf,
        "-Infinity": -np.inf,
        "1e999": np.inf,
        "": None,
        "NA": None,
        "NaN": None,
        "null": None,
        "1,5": "wrong",
        "1_000": "wrong",
        "0x10": "wrong",
        "1 2": "wrong",
        "5 EUR": "wrong",
        "٣": "wrong",
        "--1": "wrong",
        ".": "wrong",
        "\x00": "wrong",
        "🙂": "wrong",
    },
    "integer": {
        "1": 1,
        " -2": -2,
        "+3": 3,
        "007": 7,
        "5.0": 5,
        "6.": 6,
        "123456789012345678": 123456789012345678,
        "": None,
        "none": None,
        "5.5": "wrong",
        "1e3": "wrong",
        "0x1f": "wrong",
        "9223372036854775807": "wrong",
        "-9223372036854775808": "wrong",
        "99999999999999999999": "wrong",
        "inf": "wrong",
    },
    "boolean": {"true": True, "FALSE": False, "1": True, "0": False, "nan": None, "yes": "wrong"},
    "datetime": {
        "2018-07-25": np.datetime64("2018-07-25"),
        "2018-07-25 13:45:01": np.datetime64("2018-07-25T13:45:01"),
        "2018-07-25T13:45:01.123456": np.datetime64("2018-07-25T13:45:01.123456"),
        "1901-01-01": np.datetime64("1901-01-01"),
        "9999-12-31": np.datetime64("9999-12-31"),
        "2020-02-29": np.datetime64("2020-02-29"),
        "": None,
        "NaT": None,
        "25/07/2018": "wrong",
        "2019-02-29": "wrong",
        "2018-13-01": "wrong",
        "soon": "wrong",
    },
}


@pytest.mark.parametrize("type", CELLS)
def test_cells_of_text(type):
    cells = CELLS[type]
    assert judged(cast(list(cells), type, text=True, dtype="str")) == list(cells.values())


@pytest.mark.parametrize(
    ("type", "cell", "value"),
    [(type, cell, v) for type, cells in CELLS.items() for cell, v in cells.items() if v != "wrong"],
)
def test_a_cell_means_the_same_whatever_its_neighbours_are(type, cell, value):
    good = {"number": "1", "integer": "1", "boolean": "1", "datetime": "2000-01-01"}[type]
    assert judged(cast([cell, good], type, text=True, dtype="str"))[0] == value


@pytest.mark.parametrize("type", CELLS)
def test_text_with_no_usable_cell_is_a_column_of_a_wrong_type(type):
    with pytest.raises(DataError, match=f"expected {type}, the file has text such as 'abc'"):
        cast([None, "abc", "def"], type, text=True, dtype="str")


def test_numbers_are_the_nearest_doubles():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500)
    assert cast([repr(x) for x in numbers.tolist()], "number", text=True).values.tolist() == (
        numbers.tolist()
    )


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float32", "Int32", "Float64"])
def test_any_number_becomes_float64(dtype):
    values = finished([1, 2, 3], "number", dtype=dtype)
    assert values.dtype == np.float64
    assert values.tolist() == [1.0, 2.0, 3.0]


def test_decimals_and_arrow_types():
    assert judged(cast([Decimal("1.10"), None], "number")) == [1.1, None]
    arrow = pd.ArrowDtype(pa.decimal128(10, 2))
    assert judged(cast([Decimal("1.10"), None], "number", dtype=arrow)) == [1.1, None]
    assert judged(cast([1, None], "integer", dtype=pd.ArrowDtype(pa.int64()))) == [1, None]
    times = pd.Series([dt.datetime(2018, 1, 1)], dtype=pd.ArrowDtype(pa.timestamp("s")))
    assert judged(cast(times, "datetime")) == [np.datetime64("2018-01-01")]


@pytest.mark.parametrize(
    ("rule", "values", "dtype"),
    [
        ({"allowed": [0, 1]}, [0, 1], "int8"),
        ({"min": 0, "max": 200}, [0, 1], "int16"),
        ({"min": 0, "max": 70_000}, [0, 1], "int32"),
        ({"min": 0, "max": 1e10}, [0, 1], "int64"),
        ({"min": 0}, [0, 1], "int32"),
        ({}, [-(2**31), 2**31 - 1], "int32"),
        ({}, [0, 2**31], "int64"),
    ],
)
def test_integers_take_the_dtype_of_their_bounds_or_32_or_64_bits(rule, values, dtype):
    got = finished(values, "integer", **rule)
    assert got.dtype == dtype
    assert got.tolist() == values


def test_integers_beside_empty_cells_become_floats_unless_digits_would_be_lost():
    got = finished([1, None], "integer", dtype="Int64")
    assert got.dtype == np.float64
    assert got[0] == 1.0
    assert np.isnan(got[1])
    got = finished([2**53 + 1, None], "integer", dtype="Int64")
    assert str(got.dtype) == "Int64"
    assert got[0] == 2**53 + 1


def test_integers_stored_as_decimals():
    column = cast([1.0, 2.5, np.nan, np.inf, 1e300, -0.0], "integer")
    assert judged(column) == [1, "wrong", None, "wrong", "wrong", 0]
    assert judged(cast([2**64 - 1, 5], "integer", dtype="uint64")) == ["wrong", 5]


def test_booleans():
    assert finished([True, False], "boolean").dtype == bool
    got = finished([True, None], "boolean", dtype="boolean")
    assert str(got.dtype) == "boolean"
    with pytest.raises(DataError, match="expected boolean, the file has int64"):
        cast([0, 1], "boolean")


def test_categories_are_the_same_from_every_kind_of_file():
    rule = {"allowed": [3, 1, 2]}
    text = finished(["1", " 2", "NA"], "category", text=True, dtype="str", **rule)
    whole = finished([1, 2, None], "category", dtype="Int8", **rule)
    point = finished([1.0, 2.0, np.nan], "category", **rule)
    labels = finished(pd.Series([1, 2, None], dtype="Int8").astype("category"), "category", **rule)
    for got in (text, whole, point, labels):
        assert got.tolist()[:2] == [1, 2]
        assert got.codes.tolist() == [1, 2, -1]
        assert list(got.categories) == [3, 1, 2]


def test_categories_without_a_list_are_text_in_alphabetical_order():
    for cells, dtype in [(["b", "a", None], "str"), (["b", "a", None], "category")]:
        got = finished(cells, "category", dtype=dtype)
        assert list(got.categories) == ["a", "b"]
        assert got.codes.tolist() == [1, 0, -1]
    assert list(finished([10, 9], "category").categories) == ["10", "9"]
    assert judged(cast(["1", "x"], "category", text=True, dtype="str", allowed=[1, 2])) == [
        1,
        "wrong",
    ]


def test_categories_of_rows_that_were_set_aside_are_gone():
    column = cast(["b", "a", "c"], "category", dtype="str")
    got = finish(column, Column(type="category"), np.array([0, 2]))
    assert list(got.categories) == ["b", "c"]


def test_text_keeps_every_character():
    cells = ["001", " a ", "NA", "=1+1", "é🙂", "x" * 1_000_000, None]
    got = finished(cells, "text", text=True, dtype="str")
    assert list(got[:-1]) == cells[:-1]
    assert pd.isna(got[-1])
    with pytest.raises(DataError, match="expected text, the file has int64"):
        cast([1, 2], "text")
    with pytest.raises(DataError, match="expected text, the file has object"):
        cast([["a"], ["b"]], "text")


@pytest.mark.parametrize("type", ["number", "integer", "boolean", "category", "text", "datetime"])
@pytest.mark.parametrize("dtype", [object, "float64", "str"])
def test_a_column_with_no_cell_filled_is_missing_of_any_type(type, dtype):
    column = cast([None, None], type, dtype=dtype)
    assert column.missing.all()
    assert not column.wrong.any()
    assert pd.isna(pd.Series(finish(column, Column(type=type), None))).all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_become_microseconds(unit):
    times = pd.Series(np.array(["2018-07-25T13:45", "NaT"], dtype=f"datetime64[{unit}]"))
    got = finished(times, "datetime")
    assert got.dtype == "datetime64[us]"
    assert got[0] == np.datetime64("2018-07-25T13:45")


def test_times_that_no_calendar_holds_are_wrong():
    times = pd.Series(np.array(["14259-01-01", "2018-07-25", "-0044-03-15"], dtype="datetime64[s]"))
    assert cast(times, "datetime", **BRUSSELS).wrong.tolist() == [True, False, True]
    for zone in ("UTC", "America/New_York"):
        with pytest.raises(DataError, match="times outside the years 1 to 9999"):
            cast(times.dt.tz_localize("UTC").dt.tz_convert(zone), "datetime", **BRUSSELS)
    ends = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2018-07-25T10:00:00Z"]
    column = cast(ends, "datetime", text=True, dtype="str", **BRUSSELS)
    assert column.wrong.tolist() == [True, True, False]
    assert judged(cast(["9999-12-31 23:59:59"], "datetime", text=True, dtype="str")) == [
        np.datetime64("9999-12-31T23:59:59")
    ]


def test_days_without_a_time():
    assert judged(cast([dt.date(2018, 7, 25), None], "datetime")) == [
        np.datetime64("2018-07-25"),
        None,
    ]


@pytest.mark.parametrize(
    ("cells", "dtype", "rule", "clock"),
    [
        (["2018-07-25T10:00Z"], "str", BRUSSELS, ["2018-07-25T12:00"]),
        (["2018-07-25T10:00:00-0500"], "str", BRUSSELS, ["2018-07-25T17:00"]),
        (["2018-07-25T10:00:00.5+05:30"], "str", {}, ["2018-07-25T04:30:00.5"]),
        (["2018-07-25 10:00"], "str", BRUSSELS, ["2018-07-25T10:00"]),
        (
            ["2018-07-25T10:00+02:00", "2018-12-25T10:00+01:00"],
            "str",
            BRUSSELS,
            ["2018-07-25T10:00", "2018-12-25T10:00"],
        ),
        (["2018-07-25T10:00+01:00", "2018-07-25T10:00+0100"], "str", {}, ["2018-07-25T09:00"] * 2),
        (
            ["2018-07-25T10:00"],
            "datetime64[us, America/New_York]",
            BRUSSELS,
            ["2018-07-25T16:00"],
        ),
        ([dt.datetime(2018, 7, 25, 10, tzinfo=CEST)], object, {}, ["2018-07-25T08:00"]),
    ],
)
def test_times_are_told_by_the_clock_of_the_card(cells, dtype, rule, clock):
    column = cast(cells, "datetime", text=dtype == "str", dtype=dtype, **rule)
    assert column.values.tolist() == np.array(clock, dtype="datetime64[us]").tolist()


@pytest.mark.parametrize(
    ("cells", "dtype", "rule", "zones"),
    [
        (["2018-07-25T10:00+02:00", "2018-07-25T10:00"], "str", BRUSSELS, r"\+02:00, no time zone"),
        (["2018-07-25T10:00+02:00", "2018-07-25T10:00Z"], "str", BRUSSELS, r"\+02:00, Z"),
        (["2018-07-25T10:00+02:00", "2018-07-25T10:00-05"], "str", {}, r"\+02:00, -05"),
        (["2018-07-25T10:00+02:00", "2018-07-25T10:00+01:00"], "str", BRUSSELS, r"\+01:00, \+02"),
        (
            [dt.datetime(2018, 7, 25, tzinfo=CEST), dt.datetime(2018, 7, 25)],
            object,
            {},
            r"\+02:00, no time zone",
        ),
    ],
)
def test_mixed_time_zones_are_named(cells, dtype, rule, zones):
    with pytest.raises(DataError, match=f"x: mixed time zones: {zones}"):
        cast(cells, "datetime", text=dtype == "str", dtype=dtype, **rule)


def test_moments_keep_their_order_over_a_clock_change():
    zone = "Europe/Brussels"
    moments = pd.date_range("2018-10-28 00:30", periods=3, freq="30min", tz="UTC")
    column = cast(moments.tz_convert(zone), "datetime", timezone=zone)
    assert (np.diff(column.order) > 0).all()
    assert [str(t)[11:16] for t in column.values] == ["02:30", "02:00", "02:30"]
