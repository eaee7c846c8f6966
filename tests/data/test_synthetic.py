import math
import time
from datetime import date

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import dataset_card
from fintech_dl.data.frames import load_frame
from fintech_dl.data.synthetic import card_components, card_transactions, generate
from fintech_dl.errors import CardError, UsageError

DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def main():
    return load_frame("synthetic_card_transactions")


def simulate(**changes):
    return card_transactions(**{"n_customers": 200, "n_terminals": 300, "days": 40, **changes})


def test_size_span_and_rate_of_the_shipped_dataset(main):
    assert len(main) >= 300_000
    assert main["time"].min().normalize() == pd.Timestamp("2018-06-10")
    assert main["time"].max() < pd.Timestamp("2018-06-10") + 75 * DAY
    assert 0.005 <= main["is_fraud"].mean() <= 0.01
    assert main["customer_id"].nunique() > 2_200


@pytest.mark.parametrize("shift", [0, 7, 14])
def test_every_week_of_training_and_test_holds_enough_fraud(main, shift):
    begin = pd.Timestamp("2018-07-25") + shift * DAY
    week = main[(main["time"] >= begin) & (main["time"] < begin + 7 * DAY)]
    assert week["is_fraud"].sum() >= 150
    assert set(week["fraud_scenario"]) == {0, 1, 2, 3}


def test_the_rate_of_fraud_is_steady_from_the_first_week(main):
    weekly = main.groupby((main["time"] - pd.Timestamp("2018-06-10")) // (7 * DAY))["is_fraud"]
    assert weekly.mean()[:10].between(0.005, 0.0125).all()


def test_the_small_dataset_spans_the_same_days():
    small = load_frame("synthetic_card_transactions_small")
    assert 15_000 <= len(small) <= 25_000
    assert small["time"].max() - small["time"].min() > 74 * DAY
    assert set(small["fraud_scenario"]) == {0, 1, 2, 3}
    begin = pd.Timestamp("2018-07-25")
    for shift in (0, 14):
        at = begin + shift * DAY
        week = small[(small["time"] >= at) & (small["time"] < at + 7 * DAY)]
        assert week["is_fraud"].sum() >= 40


def test_ids_follow_time_and_labels_follow_scenarios(main):
    assert main["transaction_id"].tolist() == list(range(len(main)))
    assert main["time"].is_monotonic_increasing
    assert (main["is_fraud"] == (main["fraud_scenario"] > 0)).all()
    cents = main["amount"] * 100
    assert np.allclose(cents, cents.round(), atol=1e-6)
    assert main["amount"].min() > 0


def test_payments_are_made_by_day(main):
    hours = main["time"].dt.hour
    # a normal curve around noon with a standard deviation of 20,000 s, cut at midnight

    def within(seconds: float) -> float:
        return math.erf(seconds / 20_000 / math.sqrt(2))

    assert abs(hours.between(8, 15).mean() - within(4 * 3600) / within(12 * 3600)) < 0.003
    assert abs((hours >= 20).mean() - (hours < 4).mean()) < 0.005


def test_customers_spend_around_their_own_mean_and_differ(main):
    genuine = main[main["is_fraud"] == 0]
    by_customer = genuine.groupby("customer_id")["amount"].agg(["mean", "std", "count"])
    many = by_customer[by_customer["count"] > 100]
    assert many["mean"].quantile(0.05) < 15
    assert many["mean"].quantile(0.95) > 90
    # the standard deviation is half of the mean, less what the cut at 0 takes away
    assert abs((many["std"] / many["mean"]).median() - 0.48) < 0.03


def test_some_customers_pay_very_rarely(main):
    counts = main["customer_id"].value_counts()
    assert (counts <= 5).sum() >= 15
    assert counts.max() > 250
    assert abs(counts.mean() / 75 - 2 * 0.969) < 0.1


def test_scenario_1_is_every_large_amount_and_nothing_else(main):
    large = main["amount"] > 220
    assert (main.loc[main["fraud_scenario"] == 1, "amount"] > 220).all()
    assert not (large & (main["is_fraud"] == 0)).any()


def test_scenario_2_is_all_payments_of_a_terminal_for_28_days():
    frame = simulate(customers_per_day=0, terminals_per_day=0.2, days=120, seed=1)
    bad = frame[frame["fraud_scenario"] == 2]
    assert 3 < bad["terminal_id"].nunique() < 60
    lengths = []
    for terminal, rows in bad.groupby("terminal_id"):
        days = rows["time"].dt.normalize()
        own = frame[frame["terminal_id"] == terminal]
        between = own["time"].dt.normalize().between(days.min(), days.max())
        lengths.append((days.max() - days.min()).days + 1)
        if lengths[-1] <= 28:
            assert (own.loc[between, "fraud_scenario"] == 2).all()
    assert np.median(lengths) <= 28
    assert max(n for n in lengths if n <= 28) >= 25


def test_scenario_3_is_a_third_of_the_payments_of_a_customer_at_five_times_the_amount():
    quiet = simulate(terminals_per_day=0, customers_per_day=0, seed=3)
    stolen = simulate(terminals_per_day=0, customers_per_day=2, seed=3)
    assert (stolen["time"] == quiet["time"]).all()
    bad = stolen["fraud_scenario"] == 3
    assert np.allclose(stolen.loc[bad, "amount"], 5 * quiet.loc[bad, "amount"])
    assert (stolen.loc[~bad, "amount"] == quiet.loc[~bad, "amount"]).all()
    # 2 x 14 of 200 customers at a time, a third of their payments
    expected = (1 - np.exp(-2 * 14 / 200)) / 3
    assert abs(bad.mean() / expected - 1) < 0.15


def test_compromises_at_each_rate_give_the_expected_share_of_fraud():
    frame = simulate(terminals_per_day=4.0, customers_per_day=0, n_terminals=1_600, days=200)
    expected = 1 - np.exp(-4 * 28 / 1_600)
    assert abs((frame["fraud_scenario"] == 2).mean() / expected - 1) < 0.15


def test_customers_use_the_terminals_within_reach_only():
    near = simulate(radius=3.0).groupby("customer_id")["terminal_id"].nunique()
    far = simulate(radius=1_000.0).groupby("customer_id")["terminal_id"].nunique()
    assert near.max() < 10
    assert far.max() > 40
    assert (simulate(radius=0.0).groupby("customer_id")["terminal_id"].nunique() == 1).all()


def test_the_seed_decides_everything_and_nothing_else_is_touched():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    pd.testing.assert_frame_equal(simulate(seed=4), simulate(seed=4))
    assert (np.random.get_state()[1] == before).all()
    assert len(simulate(seed=4)) != len(simulate(seed=5))


def test_start_may_be_a_date():
    pd.testing.assert_frame_equal(simulate(start=date(2020, 2, 29)), simulate(start="2020-02-29"))


def test_columns_and_types():
    assert {name: str(dtype) for name, dtype in simulate().dtypes.items()} == {
        "transaction_id": "int32",
        "time": "datetime64[us]",
        "customer_id": "int32",
        "terminal_id": "int32",
        "amount": "float64",
        "is_fraud": "int8",
        "fraud_scenario": "int8",
    }


def test_three_hundred_thousand_rows_take_two_seconds():
    parameters = dataset_card("synthetic_card_transactions").source.parameters
    begin = time.process_time()
    generate("card_transactions", parameters)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"n_customers": 0}, "n_customers must be 1 or more, got 0"),
        ({"n_terminals": 0}, "n_terminals must be 1 or more"),
        ({"days": -1}, "days must be 1 or more"),
        ({"radius": -1.0}, "must be 0 or more"),
        ({"customers_per_day": -0.1}, "must be 0 or more"),
        ({"n_customers": 1, "n_terminals": 3, "days": 1, "seed": 1}, "no payment"),
    ],
)
def test_parameters_out_of_range(changes, told):
    with pytest.raises(UsageError, match=told):
        simulate(**changes)


@pytest.mark.parametrize(
    ("use", "parameters", "told"),
    [
        ("card_transaction", {}, "unknown generator 'card_transaction'; did you mean 'card_transa"),
        ("generate", {}, "unknown generator"),
        ("pd.read_pickle", {}, "unknown generator"),
        ("card_transactions", {"n_customer": 5}, "no parameter 'n_customer'; did you mean 'n_cust"),
        ("card_transactions", {"n_customers": 5, "days": 5}, "needs the parameter 'n_terminals'"),
    ],
)
def test_a_card_that_asks_for_what_is_not_there(use, parameters, told):
    with pytest.raises(CardError, match=told):
        generate(use, parameters)


def test_components_have_the_shape_of_the_real_file():
    frame = load_frame("synthetic_card_components")
    real = dataset_card("ulb_creditcard_subset")
    assert len(frame) == 20_000
    assert set(frame) >= {*real.columns} - {"V*"}
    assert frame["is_fraud"].mean() == pytest.approx(0.01, abs=0.003)
    fraud = frame["is_fraud"] == 1
    gap = frame.loc[fraud].mean(numeric_only=True) - frame.loc[~fraud].mean(numeric_only=True)
    assert gap["V1"] < -2
    assert abs(gap["V2"]) < 0.5
    pd.testing.assert_frame_equal(card_components(n_rows=50), card_components(n_rows=50))
    with pytest.raises(UsageError, match=r"fraud_rate=0; allowed"):
        card_components(n_rows=10, fraud_rate=0)
