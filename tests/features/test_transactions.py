"""Card features as a user meets them: table, labels, history at scoring, memory, errors."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.transactions import card_history, card_history_days

DAY = pd.Timedelta(days=1)


def transactions(n=1_500, days=90, seed=0):
    random = np.random.default_rng(seed)
    hours = np.sort(random.integers(0, days * 24, n))
    fraud = (random.random(n) < 0.2).astype(np.int8)
    return pd.DataFrame(
        {
            "transaction_id": np.arange(n) + 1_000,
            "time": np.datetime64("2024-01-01", "us") + hours * np.timedelta64(1, "h"),
            "customer_id": random.integers(0, 30, n),
            "terminal_id": random.integers(0, 15, n),
            "amount": random.integers(1, 30_000, n) / 100,
            "is_fraud": fraud,
            "fraud_scenario": fraud * random.integers(1, 4, n).astype(np.int8),
        }
    )


def bits(table):
    return table.X.to_numpy().tobytes()


def test_the_handbooks_features_come_first():
    names = list(card_history(transactions(100), extra=False).X)
    expected = ["amount", "weekend", "night"]
    expected += [f"customer_{x}_{w}d" for w in (1, 7, 30) for x in ("count", "mean_amount")]
    expected += [f"terminal_{x}_{w}d" for w in (1, 7, 30) for x in ("count", "risk")]
    assert names == expected
    assert set(card_history(transactions(100)).X) - set(names) == {
        "customer_count_1h",
        "customer_count_6h",
        "customer_hours_since_last",
        "amount_over_mean_30d",
        "amount_zscore_30d",
        "new_terminal",
    }


def test_the_parts_of_the_table():
    frame = transactions()
    frame.index = frame.index[::-1]
    table = card_history(frame, delay_days=3)
    plain = frame.reset_index(drop=True)
    pd.testing.assert_series_equal(table.y, plain["is_fraud"])
    pd.testing.assert_series_equal(table.when, plain["time"])
    assert (table.until - table.when == 3 * DAY).all()
    pd.testing.assert_series_equal(table.who, plain["customer_id"])
    aside = ["transaction_id", "customer_id", "terminal_id", "amount", "fraud_scenario"]
    pd.testing.assert_frame_equal(table.aside, plain[aside])
    assert not {"is_fraud", *aside} & set(table.X) - {"amount"}
    assert list(card_history(frame, aside=["amount"]).aside) == ["amount"]


def test_the_frame_is_left_as_it_was():
    frame = transactions(200)
    before = frame.copy()
    table = card_history(frame, last=2)
    table.X.iloc[:] = 0
    table.aside.iloc[:] = 0
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("parameters", [{}, {"last": 3}, {"rows": range(10, 60)}])
def test_features_are_one_block_of_float32(parameters):
    X = card_history(transactions(200), **parameters).X
    assert (X.dtypes == np.float32).all()
    whole = X.to_numpy()
    assert all(np.shares_memory(whole, X[name].to_numpy()) for name in X)
    assert np.isfinite(whole).all()


def test_night_and_weekend():
    # 2024-03-01 was a Friday
    times = ["2024-03-01 00:00", "2024-03-01 06:59:59", "2024-03-01 07:00", "2024-03-02 23:59"]
    times += ["2024-03-03 12:00", "2024-03-04 00:00"]
    frame = transactions(6).assign(time=pd.to_datetime(times, format="ISO8601"))
    X = card_history(frame).X
    assert X["night"].tolist() == [1, 1, 0, 0, 0, 1]
    assert X["weekend"].tolist() == [0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_unit_of_time_and_type_of_ids_do_not_matter(unit):
    frame = transactions()
    other = frame.astype({"time": f"datetime64[{unit}]", "amount": "Float64", "is_fraud": "Int8"})
    other["customer_id"] = "c" + frame["customer_id"].astype(str)
    other["terminal_id"] = frame["terminal_id"].astype("category")
    assert bits(card_history(other, last=2)) == bits(card_history(frame, last=2))


def test_labels_absent_missing_and_known():
    frame = transactions()
    assert card_history(frame).y.dtype == np.int8
    assert card_history(frame.drop(columns=["is_fraud", "fraud_scenario"])).y is None
    label = frame["is_fraud"].astype("Int8").mask(frame.index >= 1_400)
    table = card_history(frame.assign(is_fraud=label))
    assert table.y.dtype == np.float64
    np.testing.assert_array_equal(table.y[:1_400], frame["is_fraud"][:1_400])
    assert table.y[1_400:].isna().all()
    assert card_history(frame.assign(is_fraud=None)).y.isna().all()


def test_a_missing_label_neither_counts_nor_is_a_fraud():
    frame = transactions()
    unknown = np.random.default_rng(1).random(len(frame)) < 0.5
    label = frame["is_fraud"].astype(float).mask(unknown)
    # as if the terminals of these rows had been others: gone from the terminals' counts and risk
    elsewhere = frame["terminal_id"].mask(unknown, 1_000 + frame.index.to_numpy())
    names = ["terminal_count_7d", "terminal_risk_7d"]
    left = card_history(frame.assign(is_fraud=label)).X[names]
    right = card_history(frame.assign(terminal_id=elsewhere)).X[names]
    pd.testing.assert_frame_equal(left[~unknown], right[~unknown])


@pytest.mark.parametrize("parameters", [{}, {"last": 4}])
def test_new_rows_after_their_history_have_the_bits_of_a_whole_run(parameters):
    frame = transactions()
    first = frame["time"].iloc[-1].normalize() - 3 * DAY
    new = (frame["time"] >= first).to_numpy()
    days = card_history_days(**parameters)
    history = frame[~new & (frame["time"] > first - days * DAY).to_numpy()]
    assert 0 < len(history) < (~new).sum()
    to_score = frame[new].drop(columns=["is_fraud", "fraud_scenario"])
    both = pd.concat([history, to_score], ignore_index=True)
    scored = card_history(both, rows=np.arange(len(history), len(both)), **parameters)
    run = card_history(frame, **parameters).rows(new)
    assert bits(scored) == bits(run)
    assert list(scored.X) == list(run.X)
    assert scored.y.isna().all()
    assert scored.aside["transaction_id"].tolist() == to_score["transaction_id"].tolist()


@pytest.mark.parametrize(
    ("parameters", "days"),
    [
        ({}, 37),
        ({"last": 20}, 67),
        ({"extra": False, "delay_days": 2, "windows": (1, 3)}, 5),
        ({"delay_days": 2, "windows": (1, 3), "horizon_days": 12}, 12),
        ({"delay_days": 2, "windows": (1, 3), "horizon_days": 12, "last": 9}, 24),
        ({"extra": False, "delay_days": 2, "windows": [3], "horizon_days": 12, "last": 9}, 17),
        ({"delay_days": 0, "windows": (0.125,), "horizon_days": 0.125}, 0.25),
    ],
)
def test_declared_history_is_enough_and_no_more(parameters, days):
    assert card_history_days(**parameters) == days
    frame = transactions()
    whole = card_history(frame, **parameters)

    def unchanged(history_days):
        """Say of each of the last rows whether cutting older rows leaves all its bits."""
        out = []
        for at in range(1_100, 1_500, 20):
            oldest = frame["time"].iloc[at] - history_days * DAY
            kept = (frame["time"] > oldest).to_numpy() & (np.arange(len(frame)) <= at)
            cut = card_history(frame[kept], rows=[kept.sum() - 1], **parameters)
            out.append(bits(cut) == bits(whole.rows([at])))
        return out

    assert all(unchanged(days))
    assert not all(unchanged(days * 0.7))


@pytest.mark.parametrize("last", [1, 3])
def test_rows_are_taken_from_the_whole(last):
    frame = transactions()
    whole = card_history(frame, last=last)
    mask = np.random.default_rng(0).random(len(frame)) < 0.1
    for rows in (mask, mask.tolist(), np.flatnonzero(mask), np.flatnonzero(mask).tolist()):
        some = card_history(frame, last=last, rows=rows)
        assert bits(some) == bits(whole.rows(mask))
        assert some.X.index.equals(pd.RangeIndex(mask.sum()))
        pd.testing.assert_series_equal(some.until, whole.rows(mask).until)
    assert len(card_history(frame, last=last, rows=[])) == 0


def test_windows_of_events_cost_little_more_memory_than_they_need():
    frame = transactions(20_000)
    tracemalloc.start()
    X = card_history(frame, last=12).X
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    needed = X.shape[0] * X.shape[1] * 4
    assert needed > 20_000_000
    assert peak < 1.5 * needed


def test_an_empty_frame_makes_an_empty_table():
    frame = transactions(10)
    for last in (1, 2):
        table = card_history(frame[:0], last=last)
        assert len(table) == 0
        assert list(table.X) == list(card_history(frame, last=last).X)


def at_row(frame, row, column, value):
    values = frame[column].astype(object if value is None else type(value)).copy()
    values.iloc[row] = value
    return frame.assign(**{column: values})


@pytest.mark.parametrize("column", ["time", "customer_id", "terminal_id", "amount"])
def test_a_missing_column_is_named(column):
    frame = transactions(10).drop(columns=column)
    with pytest.raises(DataError, match=f"the card features: the column '{column}' is missing"):
        card_history(frame)


def test_a_missing_column_of_aside_is_named_but_labels_may_be_absent():
    frame = transactions(10)
    with pytest.raises(DataError, match="aside: the column 'segment' is missing"):
        card_history(frame, aside=["amount", "segment"])
    with pytest.raises(DataError, match="aside: the column 'transaction_id' is missing"):
        card_history(frame.drop(columns="transaction_id"))
    assert "fraud_scenario" not in card_history(frame.drop(columns="fraud_scenario")).aside


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("amount", np.nan, "row 4: amount is nan; must be a number from 0 to 1e\\+13"),
        ("amount", np.inf, "row 4: amount is inf"),
        ("amount", -0.01, "row 4: amount is -0.01"),
        ("amount", 2e13, "row 4: amount is 2"),
        ("is_fraud", 2, "row 4: is_fraud is 2; must be 0, 1 or missing"),
        ("customer_id", np.nan, "row 4: customer_id is nan; every row needs one"),
        ("terminal_id", np.nan, "row 4: terminal_id is nan; every row needs one"),
    ],
)
def test_a_bad_value_is_named_with_its_row(column, value, text):
    with pytest.raises(DataError, match=text):
        card_history(at_row(transactions(10), 4, column, value))


def test_unsorted_rows_are_refused():
    frame = transactions(10)
    with pytest.raises(DataError, match=r"row 1: time is .*earlier than the row before; sort"):
        card_history(frame[::-1])
    with pytest.raises(DataError, match="datetime64 without a time zone"):
        card_history(frame.assign(time=frame["time"].dt.tz_localize("UTC")))


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"delay_days": -1}, "delay_days=-1: must be from 0"),
        ({"delay_days": float("nan")}, "delay_days=nan"),
        ({"windows": ()}, r"windows=\(\): must be one or more"),
        ({"windows": (7, 7)}, "windows=.*different"),
        ({"windows": (1, 0)}, "windows=.*above 0"),
        ({"horizon_days": 0}, "horizon_days=0: must be above 0"),
        ({"horizon_days": 1e9}, "horizon_days=1000000000.0: .*at most"),
        ({"night_until": 24}, "night_until=24: must be an hour"),
        ({"last": 0}, "last=0: must be a whole number"),
        ({"last": 2.0}, r"last=2\.0"),
        ({"last": True}, "last=True"),
        ({"rows": [3, 2]}, "rows: must be ascending positions from 0 to 9"),
        ({"rows": [2, 2]}, "rows: must be ascending"),
        ({"rows": [-1]}, "rows: must be ascending"),
        ({"rows": [10]}, "rows: must be ascending"),
        ({"rows": [0.5]}, "rows: must be positions or a mask"),
        ({"rows": [True]}, r"rows: a mask of shape \(1,\); the frame has 10 rows"),
    ],
)
def test_parameters_out_of_range_are_named(parameters, text):
    with pytest.raises(UsageError, match=text):
        card_history(transactions(10), **parameters)
