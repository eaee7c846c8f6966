"""Every card feature against a deliberately plain row-by-row computation, and against pandas."""

import math
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from fintech_dl.features.transactions import card_history, history_columns

HOUR = 3600
DAY = 24 * HOUR
EPOCH = np.datetime64("1970-01-01", "s")


def random_frame(n, n_customers, n_terminals, days, seed=0, unknown=0.0, unit=HOUR):
    """Make transactions on a coarse clock: many rows of the same time, many exact window edges."""
    random = np.random.default_rng(seed)
    # a few customers and terminals are much busier than the others
    customer = (n_customers * random.random(n) ** 2).astype(int)
    terminal = (n_terminals * random.random(n) ** 2).astype(int)
    seconds = np.sort(random.integers(0, days * DAY // unit, n)) * unit
    label = (random.random(n) < 0.2).astype(float)
    label[random.random(n) < unknown] = np.nan
    return pd.DataFrame(
        {
            "transaction_id": np.arange(n),
            "time": np.datetime64("2024-01-01", "s") + seconds.astype("timedelta64[s]"),
            "customer_id": customer * 7 + 100,
            "terminal_id": terminal * 3 + 5,
            "amount": random.integers(0, 50_000, n) / 100,
            "is_fraud": label,
        }
    )


def naive_features(
    frame, delay_days=7, windows=(1, 7, 30), horizon_days=30, night_until=6, extra=True
):
    """Return the features as a list of dicts: loops over rows, no sums carried along."""
    seconds = ((frame["time"].to_numpy() - EPOCH) / np.timedelta64(1, "s")).tolist()
    label = frame["is_fraud"].tolist() if "is_fraud" in frame else [math.nan] * len(frame)
    columns = frame["customer_id"], frame["terminal_id"], frame["amount"], frame["time"]
    rows = list(zip(seconds, label, *(c.tolist() for c in columns), range(len(frame)), strict=True))
    by_customer, by_terminal = defaultdict(list), defaultdict(list)
    for row in rows:
        by_customer[row[2]].append(row)
        by_terminal[row[3]].append(row)
    horizon = horizon_days * DAY

    out = []
    for t, _, customer, terminal, amount, stamp, i in rows:
        f = {
            "amount": amount,
            "weekend": float(stamp.isoweekday() in (6, 7)),
            "night": float(stamp.hour <= night_until),
        }
        seen = [r for r in by_customer[customer] if r[0] < t or r[6] == i]
        for w in windows:
            amounts = [r[4] for r in seen if r[0] > t - w * DAY]
            f[f"customer_count_{w}d"] = len(amounts)
            f[f"customer_mean_amount_{w}d"] = sum(amounts) / len(amounts)
        old = [r for r in by_terminal[terminal] if r[0] <= t - delay_days * DAY and r[0] < t]
        known = [r for r in old if r[1] in (0, 1)]
        for w in windows:
            labels = [r[1] for r in known if r[0] > t - delay_days * DAY - w * DAY]
            f[f"terminal_count_{w}d"] = len(labels)
            f[f"terminal_risk_{w}d"] = sum(labels) / len(labels) if labels else 0
        if extra:
            for hours in (1, 6):
                f[f"customer_count_{hours}h"] = sum(r[0] > t - hours * HOUR for r in seen)
            before = [r for r in seen if r[6] != i and r[0] > t - horizon]
            gap = t - max(r[0] for r in before) if before else horizon
            f["customer_hours_since_last"] = gap / HOUR
            spent = sum(r[4] for r in before)
            ratio = amount / (spent / len(before)) if spent > 0 else 1
            f[f"amount_over_mean_{horizon_days}d"] = ratio
            f[f"amount_zscore_{horizon_days}d"] = 0
            if len(before) > 1:
                logs = [round(math.log(1 + r[4]), 4) for r in before]
                mean = math.fsum(logs) / len(logs)
                spread = math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / (len(logs) - 1))
                z = (round(math.log(1 + amount), 4) - mean) / max(spread, 0.1)
                f[f"amount_zscore_{horizon_days}d"] = z
            f["new_terminal"] = float(terminal not in {r[3] for r in before})
        out.append(f)
    return out


def assert_exact(frame, **parameters):
    expected = pd.DataFrame(naive_features(frame, **parameters))
    actual = dict(history_columns(frame, **parameters))
    assert set(actual) == set(expected)
    for name, values in actual.items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(
            values, expected[name].to_numpy(float), rtol=1e-12, atol=1e-9, err_msg=name
        )
        if "count" in name or name in ("weekend", "night", "new_terminal", "amount"):
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    X = card_history(frame, **parameters).X
    assert list(X) == list(actual)
    for name, values in actual.items():
        np.testing.assert_array_equal(X[name], values.astype(np.float32), err_msg=name)


def test_20_000_rows_with_ties():
    frame = random_frame(20_000, n_customers=900, n_terminals=900, days=80, unknown=0.1)
    assert frame.duplicated(["customer_id", "time"]).sum() > 200
    assert_exact(frame)


@pytest.mark.parametrize(
    "parameters",
    [
        {"delay_days": 0},
        {"delay_days": 0.5, "windows": (0.25, 2), "horizon_days": 3},
        {"delay_days": 20, "windows": [14]},
        {"extra": False, "night_until": -1},
        {"night_until": 23, "horizon_days": 90},
    ],
)
def test_other_parameters(parameters):
    assert_exact(random_frame(700, 20, 12, days=60, seed=1, unknown=0.3), **parameters)


def frame_of(times, customers=7, terminals=3, amounts=None, labels=0.0):
    n = len(times)
    return pd.DataFrame(
        {
            "transaction_id": np.arange(n),
            "time": pd.to_datetime(times, format="ISO8601"),
            "customer_id": customers,
            "terminal_id": terminals,
            "amount": np.arange(1.0, n + 1) if amounts is None else amounts,
            "is_fraud": labels,
        }
    )


SMALL = {
    "one row": frame_of(["2024-02-29 06:59:59"]),
    "all at the same time": frame_of(["2024-03-01"] * 6, terminals=[1, 1, 2, 2, 3, 3]),
    "one customer, one terminal": frame_of(
        pd.date_range("2024-01-01", periods=120, freq="9h"), labels=np.arange(120) % 3 == 0
    ),
    "gaps over the horizon": frame_of(
        ["2020-01-01", "2020-01-30", "2020-01-31", "2020-03-01", "2021-01-01", "2021-02-07"]
    ),
    "window edges, to the second": frame_of(
        ["2024-01-01", "2024-01-24", "2024-01-24 00:00:01", "2024-01-31", "2024-02-07"],
        labels=[1, 1, 1, 0, 0],
    ),
    "labels unknown": frame_of(["2024-01-01", "2024-01-09", "2024-01-20"], labels=np.nan),
    "some labels unknown": frame_of(
        ["2024-01-01", "2024-01-02", "2024-01-09", "2024-01-20"], labels=[1, np.nan, 0, np.nan]
    ),
    "amounts of nothing": frame_of(["2024-01-01", "2024-01-02", "2024-01-03"], amounts=[0, 0, 5.0]),
    "large amounts": frame_of(["2024-01-01", "2024-01-02"], amounts=[1e13, 0.01]),
    "equal amounts": frame_of(pd.date_range("2024-01-01", periods=40), amounts=9.99),
    "before 1970": frame_of(["1965-02-06 05:00", "1965-02-07 07:00", "1965-02-08 06:30"]),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_frames(name):
    assert_exact(SMALL[name])


def test_no_label_column_is_as_all_labels_unknown():
    frame = random_frame(300, 10, 5, days=60, unknown=1.0)
    assert_exact(frame.drop(columns="is_fraud"))
    bare = card_history(frame.drop(columns="is_fraud"))
    pd.testing.assert_frame_equal(bare.X, card_history(frame).X)
    assert not bare.X.filter(like="terminal_count").to_numpy().any()


@pytest.mark.parametrize("parameters", [{}, {"horizon_days": 4, "extra": False}])
@pytest.mark.parametrize("last", [2, 5])
def test_last_events(last, parameters):
    frame = random_frame(1_500, 60, 20, days=50, seed=2, unknown=0.2, unit=6 * HOUR)
    one = card_history(frame, **parameters).X
    names = [*one.columns, "present"]
    expected = np.zeros((len(frame), last, len(names)), dtype=np.float32)
    horizon = pd.Timedelta(days=parameters.get("horizon_days", 30))
    customer, time = frame["customer_id"].tolist(), frame["time"].tolist()
    features = one.to_numpy()
    for i, t in enumerate(time):
        before = [j for j in range(i) if customer[j] == customer[i] and t - horizon < time[j] < t]
        for step, j in enumerate(reversed([*before[1 - last :], i])):
            expected[i, last - 1 - step] = [*features[j], 1]
    X = card_history(frame, last=last, **parameters).X
    assert list(X) == [f"{name}@-{lag}" for lag in reversed(range(last)) for name in names]
    assert X.to_numpy().tobytes() == expected.reshape(len(frame), -1).tobytes()
    assert 0 < expected[:, 0, -1].mean() < 1


def pandas_features(frame, delay=7, windows=(1, 7, 30)):
    """Return the windowed features of pandas' own groupby().rolling(), in the order of the rows."""

    def rolled(entity, days, column):
        place = np.argsort(frame[entity].to_numpy(), kind="stable")
        window = frame.groupby(entity).rolling(f"{days}D", on="time")[column]
        out = np.empty((2, len(frame)))
        out[:, place] = window.count().to_numpy(), window.sum().to_numpy()
        return out

    expected = {}
    not_known = rolled("terminal_id", delay, "is_fraud")
    for w in windows:
        count, total = rolled("customer_id", w, "amount")
        expected[f"customer_count_{w}d"] = count
        expected[f"customer_mean_amount_{w}d"] = total / count
        count, total = rolled("terminal_id", delay + w, "is_fraud") - not_known
        expected[f"terminal_count_{w}d"] = count
        expected[f"terminal_risk_{w}d"] = total / np.maximum(count, 1)
    return expected


def test_equal_to_pandas_where_no_times_tie():
    frame = random_frame(5_000, 100, 50, days=90, seed=3, unit=1)
    tied = frame.duplicated(["customer_id", "time"], keep=False).to_numpy()
    actual = dict(history_columns(frame, extra=False))
    expected = pandas_features(frame)
    assert len(expected) == 12
    for name, values in expected.items():
        np.testing.assert_allclose(actual[name][~tied], values[~tied], rtol=1e-9, atol=1e-12)
