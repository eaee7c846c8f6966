"""Series told apart, put on regular steps, and cut into windows that see the past alone."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.series import cut, each_series, period, regular_steps, windows

DAYS = pd.date_range("2024-01-01", periods=6)


def frame(**columns):
    return pd.DataFrame({"series": list("ababab"), "time": DAYS, "value": range(6), **columns})


def test_rows_of_each_series_keep_their_place():
    found = each_series(frame(), "series", "time")
    assert [one.name for one in found] == ["a", "b"]
    assert [one.rows.tolist() for one in found] == [[0, 2, 4], [1, 3, 5]]
    assert found[1].values.tolist() == [[1], [3], [5]]


def test_an_array_is_one_series_of_channels():
    [one] = each_series(np.arange(6.0).reshape(3, 2))
    assert one.name is None
    assert one.values.shape == (3, 2)


def test_a_missing_value_stands_at_the_one_before():
    [one] = each_series(pd.DataFrame({"x": [np.nan, 1.0, np.nan, 3.0]}))
    assert one.values.ravel().tolist() == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("X", "given", "message"),
    [
        (pd.DataFrame({"x": []}), {}, "0 rows"),
        (pd.DataFrame({"x": ["a"]}), {}, "of type"),
        (pd.DataFrame({"x": [1.0, np.inf]}), {}, "infinite in row 1"),
        (pd.DataFrame({"x": [np.nan, np.nan]}), {}, "holds no value"),
        (frame()[["series"]], {"series": "series"}, "no column of numbers"),
        (frame(), {"series": "card"}, "'card' is missing"),
        (frame(time=DAYS[::-1]), {"series": "series", "time": "time"}, "earlier than the row"),
        (frame(time=DAYS[0]), {"series": "series", "time": "time"}, "comes twice"),
        (frame(time=[*DAYS[:5], pd.NaT]), {"series": "series", "time": "time"}, "no time"),
    ],
)
def test_what_is_no_series_is_refused(X, given, message):
    with pytest.raises(ValueError, match=message):
        each_series(X, **given)


def test_gaps_and_doubles_become_regular_steps():
    minutes = pd.to_datetime("2024-01-01") + pd.to_timedelta([0, 5, 5, 11, 30], unit="min")
    irregular = pd.DataFrame({"at": minutes, "x": [1.0, 2.0, 4.0, 5.0, 6.0]})
    found = regular_steps(irregular, time="at", every="5min")
    assert found["x"].tolist() == [1, 3, 5, 5, 5, 5, 6]
    assert found["filled"].tolist() == [False, False, False, True, True, True, False]
    assert (found["at"].diff().dropna() == pd.Timedelta("5min")).all()


def test_each_series_has_steps_of_its_own_unless_told():
    two = pd.DataFrame(
        {
            "s": ["h"] * 3 + ["d"] * 3,
            "at": [*pd.date_range("2024-01-01", periods=3, freq="h"), *DAYS[:3]],
            "x": range(6),
        }
    )
    found = regular_steps(two, time="at", series="s")
    assert found["x"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["s"].tolist() == ["h"] * 3 + ["d"] * 3
    assert len(regular_steps(two, time="at", series="s", every="1h")) == 3 + 49


def test_steps_need_times_and_a_length():
    with pytest.raises(DataError, match="must be datetime64"):
        regular_steps(pd.DataFrame({"at": [1, 2], "x": [1, 2]}), time="at")
    with pytest.raises(DataError, match="one moment"):
        regular_steps(frame(time=DAYS[0]).drop(columns="series"), time="time")
    with pytest.raises(UsageError, match="'soon'"):
        regular_steps(frame().drop(columns="series"), time="time", every="soon")


@pytest.mark.parametrize("length", [7, 24, 288])
def test_the_period_is_that_of_the_pattern(length):
    t = np.arange(length * 8)
    noise = np.random.default_rng(0).normal(0, 0.1, len(t))
    assert abs(period(np.sin(t * 2 * np.pi / length) + noise) - length) <= max(1, length // 20)


@pytest.mark.parametrize("values", [np.ones(50), np.arange(50.0), [1.0], np.arange(2.0)])
def test_a_series_without_a_pattern_has_the_usual_period(values):
    assert period(values) == 125


def test_windows_are_step_major_and_oldest_first():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert cut(values, 2).tolist() == [[1, 10, 2, 20], [2, 20, 3, 30]]
    assert cut(values, 2).dtype == np.float32


def series_frame(n=40):
    random = np.random.default_rng(0)
    one = pd.DataFrame({"series": "a", "time": pd.date_range("2024-01-01", periods=n)})
    two = one.assign(series="b")
    both = pd.concat([one, two]).sort_values("time", kind="stable", ignore_index=True)
    both["value"] = random.normal(size=2 * n) + np.where(both["series"] == "a", 1e6, 0)
    return both.assign(anomaly=(random.random(2 * n) < 0.2).astype(int))


def test_rows_of_a_table_are_windows_of_their_own_series_on_scale():
    both = series_frame()
    table = windows(both, target="anomaly", last=4, scale=10)
    assert table.X.columns.tolist() == ["value@-3", "value@-2", "value@-1", "value@-0"]
    assert len(table) == 2 * 31
    assert table.X.attrs["left_out"] == {"too_few_rows": 18}
    at = table.aside["row"].to_numpy()
    assert (table.y.to_numpy() == both["anomaly"].to_numpy()[at]).all()
    for row in (0, 1, 37):
        own = both[both["series"] == table.who.iloc[row]]["value"].to_numpy()
        now = (both["series"].iloc[: at[row]] == table.who.iloc[row]).sum()
        recent = own[now - 9 : now + 1]
        expected = (own[now - 3 : now + 1] - recent.mean()) / recent.std(ddof=1)
        np.testing.assert_allclose(table.X.iloc[row], expected, rtol=1e-4, atol=1e-5)


def test_a_flat_series_gives_zeros_and_a_first_move_a_finite_number():
    flat = pd.DataFrame({"series": "a", "time": pd.date_range("2024-01-01", periods=8)})
    X = windows(flat.assign(value=[5.0] * 7 + [6.0]), last=2, scale=4).X.to_numpy()
    assert (X[:-1] == 0).all()
    assert np.isfinite(X).all()
    assert X[-1, 1] > 1


def test_the_first_part_of_each_series_is_for_training():
    table = windows(series_frame(), last=4, scale=10, train_share=0.5)
    part = table.aside["part"].to_numpy()
    for name in "ab":
        own = part[(table.who == name).to_numpy()]
        assert own.tolist() == ["train"] * 11 + ["test"] * 20
    assert "part" not in windows(series_frame(), last=4, scale=10).aside


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"last": 1}, UsageError, "last"),
        ({"last": 8, "scale": 4}, UsageError, "scale"),
        ({"train_share": 1.0}, UsageError, "train_share"),
        ({"last": 4, "scale": 50}, DataError, "no series has 50 rows"),
        ({"value": "price"}, DataError, "'price' is missing"),
    ],
)
def test_windows_that_cannot_be_made_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        windows(series_frame(), **{"last": 4, "scale": 10, **given})
