import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError
from fintech_dl.features.columns import entity_numbers, need_columns, numbers, ordered_times


def frame(**columns):
    return pd.DataFrame(columns)


def test_times_are_microseconds_whatever_the_unit():
    stamps = ["1969-12-31 23:59:59", "2024-05-01 12:00:00"]
    for unit in ("s", "ms", "us", "ns"):
        times = ordered_times(frame(time=np.array(stamps, dtype=f"datetime64[{unit}]")), "time")
        assert times.tolist() == [-1_000_000, 1_714_564_800_000_000]


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (["2024-01-02", "2024-01-03", "2024-01-01"], "row 2: time is 2024-01-01.*sort the rows"),
        (["2024-01-02", None], "row 1: time is NaT"),
    ],
)
def test_bad_times_are_named(times, text):
    with pytest.raises(DataError, match=text):
        ordered_times(frame(time=pd.to_datetime(pd.Series(times))), "time")


def test_other_types_are_no_times():
    for times in (["2024-01-01"], pd.to_datetime(["2024-01-01"], utc=True), [1]):
        with pytest.raises(DataError, match=r"time: the type is .*; must be datetime64 without"):
            ordered_times(frame(time=times), "time")


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 0, np.nan]),
        pd.array([1, 0, None], dtype="Int8"),
        pd.array([True, False, None], dtype="boolean"),
    ],
)
def test_numbers_of_any_kind_become_doubles(values):
    np.testing.assert_array_equal(numbers(frame(x=values), "x"), [1, 0, np.nan])


def test_a_column_without_any_value_is_all_missing():
    assert np.isnan(numbers(frame(x=[None, None]), "x")).all()


def test_text_is_no_number():
    with pytest.raises(DataError, match=r"x: the type is .*; must be a number"):
        numbers(frame(x=["1"]), "x")


def test_entities_are_numbered_as_they_come():
    assert entity_numbers(frame(c=[7, 3, 7]), "c").tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="row 1: c is nan; every row needs one"):
        entity_numbers(frame(c=[7, None]), "c")


def test_missing_column_is_named_with_those_there():
    with pytest.raises(DataError, match=r"an example: the column 'b' is missing; .*there are: a"):
        need_columns(frame(a=[1]), ["a", "b"], "an example")
