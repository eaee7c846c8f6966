"""Journal lines: counts of what came before, in hand-made ledgers."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl.data.ledger import ledger
from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.journal import lines, lines_days


def book(**columns):
    n = len(next(iter(columns.values())))
    usual = {
        "line_id": range(n),
        "time": pd.date_range("2024-03-04 10:00", periods=n, freq="D"),
        "account": "6000",
        "contra_account": "1800",
        "counterparty_id": 1,
        "user_id": 1,
        "amount": 50.0,
        "text_code": "T1",
        "cost_centre": "C1",
    }
    return pd.DataFrame({**usual, **columns})


def column(frame, name, **parameters):
    return lines(frame, **parameters).X[name].to_numpy()


def test_counts_are_of_strictly_earlier_lines_within_the_history():
    days = pd.to_datetime(["2024-03-01", "2024-03-02", "2024-03-02", "2024-03-09"])
    frame = book(time=days)
    assert np.allclose(column(frame, "seen_accounts", history_days=30), np.log1p([0, 1, 1, 3]))
    assert np.allclose(column(frame, "seen_accounts", history_days=8), np.log1p([0, 1, 1, 2]))
    assert np.allclose(column(frame, "seen_user", history_days=5), np.log1p([0, 1, 1, 0]))


@pytest.mark.parametrize(
    ("changed", "feature"),
    [
        ({"contra_account": ["1800", "1800", "2900"]}, "seen_accounts"),
        ({"counterparty_id": [1, 1, 2]}, "seen_counterparty"),
        ({"user_id": [1, 1, 2]}, "seen_user"),
        ({"text_code": ["T1", "T1", "T2"]}, "seen_text_accounts"),
        ({"account": ["6000", "6000", "6100"]}, "seen_counterparty_accounts"),
        ({"cost_centre": ["C1", "C1", "C2"]}, "seen_counterparty_centre"),
        ({"user_id": [1, 1, 2]}, "seen_counterparty_user"),
    ],
)
def test_what_is_new_was_seen_0_times(changed, feature):
    assert np.allclose(column(book(**changed), feature), np.log1p([0, 1, 0]))


def test_a_repeated_amount_tells_how_long_ago_it_was():
    frame = book(amount=[50.0, 70.0, 50.0, 50.0], counterparty_id=[1, 1, 1, 2])
    assert column(frame, "days_since_same", history_days=60).tolist() == [60, 60, 2, 60]
    assert column(frame, "days_since_same", history_days=1).tolist() == [1, 1, 1, 1]


def test_amounts_are_measured_by_the_counterparty_s_own():
    frame = book(amount=[100.0, 110.0, 90.0, 100.0, 10_000.0])
    z = column(frame, "amount_zscore")
    assert z[:2].tolist() == [0, 0]
    assert abs(z[3]) < 1
    assert z[4] > 20


def test_lines_just_below_the_limit_are_counted_for_a_day():
    times = pd.to_datetime(["2024-03-04 09:00", "2024-03-04 09:05", "2024-03-05 09:04"])
    frame = book(time=times, amount=[950.0, 999.99, 900.0])
    assert column(frame, "near_limit_today", limit=1_000).tolist() == [1, 2, 2]
    exact = column(book(amount=[1_000.0, 899.99, 900.0]), "near_limit", limit=1_000)
    assert exact.tolist() == [0, 0, 1]


def test_hours_nights_weekends_and_round_amounts():
    times = ["2024-03-08 06:59", "2024-03-08 07:00", "2024-03-09 12:30", "2024-03-10 23:00"]
    X = lines(book(time=pd.to_datetime(times), amount=[100.0, 150.0, 0.01, 300.0])).X
    assert X["night"].tolist() == [1, 0, 0, 0]
    assert X["weekend"].tolist() == [0, 0, 1, 1]
    assert X["hour"].tolist() == pytest.approx([6 + 59 / 60, 7, 12.5, 23], abs=1e-4)
    assert X["round"].tolist() == [1, 0, 0, 1]
    assert X["log_amount"].tolist() == pytest.approx(np.log10([100, 150, 0.01, 300]), abs=1e-6)


def test_labels_and_ids_stay_out_of_sight():
    frame = ledger(days=40, lines_per_day=20, rate=0.1)
    table = lines(frame)
    assert not {"counterparty_id", "user_id", "kind", "is_planted", "time"} & set(table.X)
    assert table.y.tolist() == frame["is_planted"].tolist()
    assert list(table.aside) == ["line_id", "counterparty_id", "user_id", "amount", "kind"]
    unlabelled = lines(frame.drop(columns=["is_planted", "kind"]))
    assert unlabelled.y is None
    pd.testing.assert_frame_equal(unlabelled.X, table.X)


def test_each_planted_kind_stands_out_in_its_own_feature():
    frame = ledger(days=150, lines_per_day=80, rate=0.03, seed=2)
    X, kind = lines(frame).X, frame["kind"]
    late = frame["time"] >= frame["time"].iloc[0] + pd.Timedelta(days=60)
    signs = {
        "wrong_amount": X["amount_zscore"].abs() > 2.5,
        "duplicate": X["days_since_same"] <= 7,
        "odd_accounts": X["seen_accounts"] < 2,
        "odd_hour": (X["night"] == 1) & (X["seen_user"] < 1),
        "split": X["near_limit_today"] >= 1,
        "new_counterparty": X["seen_counterparty"] == 0,
    }
    for name, sign in signs.items():
        assert sign[late & (kind == name)].mean() > 0.8, name
        assert sign[late & (kind == "none")].mean() < 0.05, name


def test_as_much_history_as_declared_is_enough():
    frame = ledger(days=120, lines_per_day=40, rate=0.05)
    first = frame["time"].iloc[-1] - pd.Timedelta(days=10)
    start = first - pd.Timedelta(days=lines_days(history_days=30))
    recent = frame[frame["time"] >= start].reset_index(drop=True)
    whole, short = (lines(f, history_days=30) for f in (frame, recent))
    one, two = (t.rows(np.asarray(t.when >= first)).X for t in (whole, short))
    pd.testing.assert_frame_equal(one, two)


def test_what_is_refused():
    with pytest.raises(DataError, match=r"row 1: amount is 0\.0; must be above 0"):
        lines(book(amount=[5.0, 0.0]))
    with pytest.raises(DataError, match="the column 'cost_centre' is missing"):
        lines(book(amount=[5.0]).drop(columns="cost_centre"))
    with pytest.raises(UsageError, match="history_days=0"):
        lines(book(amount=[5.0]), history_days=0)
    with pytest.raises(UsageError, match="night_until=24"):
        lines(book(amount=[5.0]), night_until=24)
