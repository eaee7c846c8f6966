"""The panel of prices: full, sound windows only, the same bits from a short history."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from fintech_dl.errors import DataError, UsageError
from fintech_dl.features.alphas import alphas
from fintech_dl.features.own_bars import days_of
from fintech_dl.features.prices import SETS, panel, panel_days


def bars(assets="ABCDE", n=420, seed=0):
    random = np.random.default_rng(seed)
    days = pd.bdate_range("2022-01-03", periods=n)
    index = pd.MultiIndex.from_product([days, list(assets)], names=["date", "asset"])
    frame = index.to_frame(index=False)
    close = 50 * np.exp(random.normal(0, 0.02, (n, len(assets))).cumsum(axis=0)).ravel()
    start = close * np.exp(random.normal(0, 0.01, len(frame)))
    return frame.assign(
        open=start,
        high=np.maximum(start, close) * 1.01,
        low=np.minimum(start, close) * 0.99,
        close=close,
        volume=random.integers(100, 10_000, len(frame)).astype(float),
    )


FRAME = bars()
SHORT = partial(panel, windows=[5, 10])


def test_a_row_holds_what_its_asset_has_done():
    table = SHORT(FRAME)
    own = FRAME[FRAME["asset"] == "C"]
    expected = dict(alphas({c: own[c].to_numpy() for c in own.columns[2:]}, [5, 10]))
    mine = (table.who == "C").to_numpy()
    for name in table.X:
        np.testing.assert_array_equal(table.X[name][mine], expected[name][10:].astype(np.float32))
    assert (table.X.dtypes == np.float32).all()
    assert table.X.attrs["left_out"] == {"too_few_bars": 50}
    assert (table.aside["close"] == FRAME["close"].iloc[table.aside["row"]].to_numpy()).all()


PARAMETERS = [
    {"windows": [5, 10]},
    {"windows": [5], "across": "rank", "last": 5},
    {"features": ["indicators"]},
    {"features": ["momentum", "volatility"], "across": "zscore"},
    {"features": ["returns", "bars"], "last": 20},
]


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_bars_before_the_history_that_it_needs_change_no_bit(parameters):
    frame = bars(n=900)
    frame.loc[2500, "volume"] = np.nan  # a fault is a fault from a short history too
    whole = panel(frame, **parameters)
    known = {k: v for k, v in parameters.items() if k != "across"}
    first = frame["date"].iloc[-60]
    begin = first - pd.Timedelta(days=panel_days(**known))
    assert begin > frame["date"].iloc[0]
    cut = panel(frame[frame["date"] >= begin].reset_index(drop=True), **parameters)
    one, two = (table.rows(table.when >= first) for table in (whole, cut))
    assert len(one) == len(two) == 60
    for name in one.X:
        assert one.X[name].to_numpy().tobytes() == two.X[name].to_numpy().tobytes(), name
    shift = len(frame) - (frame["date"] >= begin).sum()
    pd.testing.assert_frame_equal(one.aside, two.aside.assign(row=two.aside["row"] + shift))


def test_every_window_that_touches_a_faulty_bar_is_left_out_and_counted():
    wrong = FRAME.copy()
    wrong.loc[1000, "high"] = wrong.loc[1000, "low"] / 2  # bar 200 of A
    clean, table = SHORT(FRAME), SHORT(wrong)
    assert table.X.attrs["left_out"] == {"faulty": 1, "touches_faulty": 10, "too_few_bars": 50}
    lost = set(clean.aside["row"]) - set(table.aside["row"])
    assert lost == {1000 + 5 * i for i in range(11)}
    kept = clean.rows(~clean.aside["row"].isin(lost))
    assert kept.X.to_numpy().tobytes() == table.X.to_numpy().tobytes()
    unlabelled = table.y.isna() & (table.when < FRAME["date"].iloc[-1] - pd.Timedelta(days=14))
    assert set(table.aside["row"][unlabelled]) == {1000 - 5 * i for i in range(1, 7)}


@pytest.mark.parametrize("last", [1, 4])
def test_no_window_and_no_label_bridges_a_bar_that_was_set_aside_before(last):
    removed = FRAME.drop(index=1000).reset_index(drop=True)
    table = SHORT(removed, last=last)
    clean = SHORT(FRAME, last=last)
    assert table.X.attrs["left_out"] == {"touches_gap": 9 + last, "too_few_bars": 50}
    assert len(clean) - len(table) == 10 + last
    own = table.rows((table.who == "A") & (table.when < FRAME["date"][1000]))
    assert own.y.isna().sum() == 6
    bridged = SHORT(removed, last=last, max_gap=1)
    assert len(clean) - len(bridged) == 1


def test_without_a_single_full_window_it_says_what_is_missing():
    with pytest.raises(DataError, match=r"none has a full window of 11 .*too_few_bars: 50\)"):
        SHORT(FRAME[:50], horizon=1)


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_each_row_is_either_kept_or_counted(parameters):
    wrong = FRAME.copy()
    wrong.loc[[300, 1207], "close"] = np.nan
    wrong = wrong[(wrong["asset"] != "B") | (wrong.index % 700 > 40)].reset_index(drop=True)
    table = panel(wrong, **parameters, labelled=True)
    assert len(table) + sum(table.X.attrs["left_out"].values()) == len(wrong)
    assert not table.y.isna().any()
    assert not table.until.isna().any()


def test_look_back_windows_hold_each_step_as_it_was():
    flat = SHORT(FRAME)
    table = SHORT(FRAME, last=3)
    assert list(table.X.columns[-2:]) == ["VSUMD10@-0", "present@-0"]
    for lag in (0, 1, 2):
        now = table.rows(table.who == "B")
        then = flat.rows(flat.who == "B").X["RANK5"].shift(lag).fillna(0)
        np.testing.assert_array_equal(now.X[f"RANK5@-{lag}"], then)
        there = (np.arange(len(now)) >= lag).astype(np.float32)
        np.testing.assert_array_equal(now.X[f"present@-{lag}"], there)


def test_a_window_is_padded_where_an_asset_is_young_and_left_out_where_a_bar_is_faulty():
    wrong = FRAME.copy()
    wrong.loc[1000, "close"] = np.nan
    table = panel(wrong, features=["bars"], last=4)
    a = table.rows(table.who == "A")
    assert a.X["present@-3"].tolist() == [0, 0, 0] + [1] * (len(a) - 3)
    assert table.X.attrs["left_out"] == {"faulty": 1, "touches_faulty": 3}


def test_steps_older_than_the_history_reaches_are_not_there():
    """Else a row would change with the length of its history."""
    monthly = bars("A", 12).assign(date=pd.date_range("2022-01-03", periods=12, freq="30D"))
    table = panel(monthly, features=["bars"], last=3, horizon=1)
    assert days_of(3) < 30
    assert table.X["present@-1"].tolist() == table.X["close@-1"].tolist() == [0.0] * 12
    assert table.X["present@-0"].tolist() == [1.0] * 12


def test_raw_bars_are_over_the_last_close_and_the_mean_volume():
    table = panel(FRAME, features=["bars"], last=4)
    rows = FRAME[FRAME["asset"] == "A"].iloc[7:11]
    row = table.X.iloc[50]
    for i in range(4):
        then, lag = rows.iloc[i], 3 - i
        for name in ("open", "high", "low", "close"):
            assert row[f"{name}@-{lag}"] == np.float32(then[name] / rows["close"].iloc[-1])
        assert row[f"volume@-{lag}"] == pytest.approx(then["volume"] / rows["volume"].mean())
    closes = panel(FRAME[["date", "asset", "close"]], features=["bars"], last=2, price="close").X
    assert list(closes) == ["close@-1", "present@-1", "close@-0", "present@-0"]


def test_features_across_are_ranks_among_the_rows_of_the_date():
    plain, table = SHORT(FRAME), SHORT(FRAME, across="rank")
    expected = (plain.X["STD10"].groupby(plain.when).rank() - 1) / 4 - 0.5
    np.testing.assert_allclose(table.X["STD10"], expected)
    scores = SHORT(FRAME, across="zscore").X["STD10"].groupby(plain.when)
    np.testing.assert_allclose(scores.std(), 1, rtol=1e-5)


def test_without_a_comparison_other_assets_are_no_matter():
    alone = FRAME[FRAME["asset"] == "C"].reset_index(drop=True)
    table, own = SHORT(FRAME), SHORT(alone)
    assert table.rows(table.who == "C").X.to_numpy().tobytes() == own.X.to_numpy().tobytes()


def test_labels():
    back = SHORT(FRAME, horizon=3)
    np.testing.assert_array_equal(back.y, back.aside["forward_return"])
    a = FRAME[FRAME["asset"] == "A"].reset_index(drop=True)
    assert back.y[0] == a["open"][14] / a["open"][11] - 1
    assert back.until[0] == a["date"][14]
    assert back.aside["entry"][0] == a["open"][11]
    rank = SHORT(FRAME, horizon=3, label="rank")
    expected = (back.y.groupby(back.when).rank() - 1) / 4 - 0.5
    np.testing.assert_allclose(rank.y, expected)
    up = SHORT(FRAME, horizon=3, label="direction")
    assert (up.y.isna() == back.y.isna()).all()
    assert ((up.y == 1) == (back.y > 0)).all()
    assert SHORT(FRAME, label="direction", labelled=True).y.dtype == np.int8
    price = SHORT(FRAME, horizon=3, label="price")
    assert price.y[0] == pytest.approx(np.log(a["close"][13] / a["close"][10]))
    assert price.until[0] == a["date"][13]
    variance = SHORT(FRAME, horizon=3, label="variance")
    moves = np.diff(np.log(a["close"]))
    assert variance.y[0] == pytest.approx(np.mean(moves[10:13] ** 2))
    assert "entry" not in variance.aside


def test_a_rank_waits_for_the_last_asset_of_its_date():
    late = FRAME[(FRAME["asset"] != "E") | ~FRAME["date"].isin(FRAME["date"].unique()[100:103])]
    late = late.reset_index(drop=True)
    table = SHORT(late, label="rank", horizon=1, max_gap=3)
    day = FRAME["date"].unique()[99]
    own = SHORT(late, horizon=1, max_gap=3)
    assert own.until[own.when == day].nunique() == 2
    assert set(table.until[table.when == day]) == {own.until[own.when == day].max()}


def test_the_asset_may_be_a_feature_and_columns_may_be_kept_beside():
    table = SHORT(FRAME.assign(sector="banks"), asset=True, aside=["sector"])
    assert table.X["asset"].dtype == "category"
    assert (table.X["asset"].astype(str) == table.who).all()
    assert set(table.aside["sector"]) == {"banks"}


def test_volatility_beside_is_that_of_22_bars():
    table = panel(FRAME, features=["returns"])
    closes = FRAME["close"][FRAME["asset"] == "A"]
    expected = np.sqrt((np.log(closes).diff() ** 2).rolling(22).mean().iloc[60:])
    np.testing.assert_allclose(table.aside["volatility"][table.who == "A"], expected)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"features": ["beta"]}, r"features=\['beta'\].*alphas, indicators.*bars"),
        ({"features": "alphas"}, "must be a list"),
        ({"features": []}, "one or more"),
        ({"across": "mean"}, "across='mean'"),
        ({"label": "profit"}, "label='profit': must be one of return, rank"),
        ({"windows": [2]}, "windows="),
        ({"last": 0}, "last="),
        ({"label": "variance", "variance": "yang_zhang"}, "variance='yang_zhang'"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(parameters, told):
    with pytest.raises(UsageError, match=told):
        panel(FRAME, **parameters)


@pytest.mark.parametrize("name", SETS)
def test_a_set_says_which_column_it_needs(name):
    needs = SETS[name][1]
    lacking = FRAME.drop(columns=needs[0])
    with pytest.raises(DataError, match=f"'{needs[0]}'"):
        panel(lacking, features=[name])
    rest = FRAME[["date", "asset", *dict.fromkeys([*needs, "close"])]]
    assert len(panel(rest, features=[name], price="close"))


def test_foresight_earns_and_the_label_is_not_among_the_features():
    """A planted signal is found where it stands, one bar before its return."""
    frame = bars(n=300)
    signal = np.random.default_rng(3).normal(0, 0.01, 300)
    first = np.flatnonzero(frame["asset"] == "A")
    close = 50 * np.exp(np.append(0, signal[:-1]).cumsum())
    frame.loc[first, "close"] = close  # the return into bar t + 1 is the signal of bar t
    frame.loc[first, ["open", "high", "low"]] = np.column_stack([close, close * 1.01, close * 0.99])
    frame["signal"] = np.repeat(signal, 5)
    table = panel(frame, features=["returns"], horizon=1, price="close", aside=["signal"])
    a = table.rows((table.who == "A") & table.y.notna())
    ahead = a.aside["signal"].shift(-1).iloc[:-1]  # entered a bar later, so the next signal counts
    assert np.corrcoef(ahead, a.y.iloc[:-1])[0, 1] > 0.999
    assert abs(np.corrcoef(a.aside["signal"], a.y)[0, 1]) < 0.2
    assert a.X.corrwith(a.y).abs().max() < 0.3


@pytest.mark.parametrize("label", ["return", "rank", "price", "variance"])
def test_several_horizons_are_labels_side_by_side(label):
    make = partial(panel, FRAME, features=["returns"], label=label)
    table, short, long = (make(horizon=h) for h in ([2, 10], 2, 10))
    assert table.y.columns.tolist() == [f"{label}_next_2", f"{label}_next_10"]
    known = long.y.notna()
    for column, one in zip(table.y, (short, long), strict=True):
        np.testing.assert_array_equal(table.y[column][known], one.y[known])
    assert (table.y.notna().all(axis=1) == known).all()
    pd.testing.assert_series_equal(table.until, long.until)
    pd.testing.assert_frame_equal(table.aside, short.aside)  # of the main horizon
    assert not make(horizon=[2, 10], labelled=True).y.isna().any(axis=None)


def test_a_direction_has_one_horizon():
    with pytest.raises(UsageError, match=r"horizon=\[1, 5\]: a classifier of directions has one"):
        panel(FRAME, features=["returns"], label="direction", horizon=[1, 5])
