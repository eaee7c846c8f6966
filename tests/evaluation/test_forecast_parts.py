"""The part ``forecast`` of a record: every number as counted by hand, plain, and for all kinds."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl import MLP, NeuralClassifier, NeuralVolatilityRegressor, load_frame
from fintech_dl.cards import Forecast, Intervals
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.forecast_leaks import deep_leaks, run_leaks, warnings_of
from fintech_dl.evaluation.forecast_record import forecast_record, members_record, told
from fintech_dl.evaluation.forecast_tests import clark_west
from fintech_dl.evaluation.interval_record import Bands, interval_record, stacked_bands
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.leak_cases import Finding
from fintech_dl.evaluation.order_record import trading
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.risk_tests import kupiec, traffic_light
from fintech_dl.evaluation.sharpe_tests import (
    probabilistic_sharpe,
    sharpe_interval,
    track_record_needed,
)
from fintech_dl.evaluation.sharpe_tests import record_of as record_of_returns
from fintech_dl.evaluation.splits import Fold
from fintech_dl.features.prices import panel
from fintech_dl.features.volatility import har

METRIC = {"volatility": "qlike", "ranking": "rank_ic", "direction": "log_loss", "price": "mae"}


def table_of(kind):
    if kind == "volatility":
        frame = load_frame("synthetic_garch_panel_small")
        return har(frame, variance="rv", horizon=5, labelled=True)
    label = {"ranking": "rank"}.get(kind, kind)
    frame = load_frame("synthetic_stocks_small")
    return panel(frame, features=["returns"], label=label, horizon=5, labelled=True)


def parts_of(table, n=2):
    """Return the latest dates as folds of a walk forward, the latest first."""
    days = np.unique(table.when)
    ends = days[[-81, -41, -1]]
    found = []
    for i in reversed(range(n)):
        test = (table.when > ends[i]) & (table.when <= ends[i + 1])
        train = (table.when < ends[i]) & (table.until <= ends[i])
        found.append(Fold(f"fold {n - i}", *(np.flatnonzero(m) for m in (train, test))))
    return found


def scored_of(kind, table, parts, noises=(0.5, 2.0), bands=False):
    """Return a model, and a rival that errs more, scored on each fold."""
    found = []
    for i, noise in enumerate(noises):
        outcomes, ends = [], []
        for k, part in enumerate(parts):
            rows, rng = table.rows(part.test), np.random.default_rng([i, k])
            y = rows.y.to_numpy(dtype=float)
            error = noise * rng.normal(size=len(y))
            if kind == "volatility":
                score = y * np.exp(error)
            elif kind == "direction":
                score = 1 / (1 + np.exp(-(2 * y - 1) / noise + 0.5 * error))
            else:
                score = y + y.std() * error
            returns = rows.aside.get("forward_return")
            numbers = kind != "direction"
            shared = {"when": rows.when, "who": rows.who, "returns": returns, "horizon": 5}
            outcomes.append(Outcome(y=y, score=score, numbers=numbers, **shared))
            spread = rows.aside["volatility"].to_numpy() * 5**0.5 if kind == "price" else None
            if bands:
                at = {c: (score - z * spread, score + z * spread) for c, z in BANDS.items()}
                ends.append(Bands(at, 1.6 * spread - score, 2.1 * spread - score))
        name = "model" if i == 0 else "a"
        title = ("MLP", "Ridge")[i]
        found.append(Scored(name, title, i > 0, outcomes, bands=ends, probabilities=not numbers))
    return found


BANDS = {0.9: 1.8, 0.5: 0.7}


def record_of(kind, **options):
    table = table_of(kind)
    parts = parts_of(table)
    bands = kind == "price"
    scored = scored_of(kind, table, parts, bands=bands, **options)
    asked = Forecast(kind=kind, intervals=Intervals(scale="ewma_94") if bands else None)
    run = told(scored, table, parts, METRIC[kind])
    leaks = run_leaks(asked, scored[0], table, parts[0])
    return forecast_record(asked, run, leaks, lag=1, unit="%^2", price_unit="USD"), run


@pytest.mark.parametrize("kind", METRIC)
def test_the_record_of_every_kind_is_plain_json(kind):
    record, run = record_of(kind)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["kind"], record["horizon"], record["task_loss"]) == (kind, 5, METRIC[kind])
    assert record["dates"] == 80
    assert record["days_drawn_together"] == 10
    assert record["assets"] == len(np.unique(run.own.who))
    gained = record["loss_difference"]
    assert len(gained["date"]) == len(gained["cumulative"]) == 80
    assert gained["date"] == sorted(gained["date"])
    assert gained["cumulative"][-1] > 0  # the model is the better one
    assert sum(year["n"] for year in record["by_year"]) == len(run.own)
    assert [leak["name"] for leak in record["leaks"]][:2] == ["label ends", "asset constants"]
    has = {
        "volatility": {"losses", "calibration_line", "fan"},
        "ranking": {"ranking", "trading"},
        "direction": {"losses", "direction", "ranking", "trading"},
        "price": {"losses", "calibration_line", "naive", "fan", "intervals"},
    }[kind]
    every = {"losses", "calibration_line", "direction", "ranking", "trading", "naive", "fan"}
    assert {key for key in {*every, "intervals"} if key in record} == has


def test_losses_and_skill_are_against_the_best_rival():
    record, run = record_of("volatility")
    own, rival = record["losses"]
    o = run.own
    ratio = o.y / o.score
    assert own["qlike"] == pytest.approx((ratio - np.log(ratio) - 1).mean())
    assert own["skill"] == pytest.approx(1 - own["qlike"] / rival["qlike"])
    assert own["dm"] > 2
    assert own["p_value"] < 0.05
    assert "dm" not in rival
    assert (own["name"], rival["title"]) == ("model", "Ridge")


def test_folds_stand_in_time_order_beside_their_rows():
    record, run = record_of("volatility")
    assert run.rows.when.is_monotonic_increasing
    np.testing.assert_array_equal(run.rows.y, run.own.y)
    np.testing.assert_array_equal(run.rows.who, run.own.who)
    fan = record["fan"]
    own = run.rows.who == fan["asset"]
    assert fan["actual"] == run.rows.y[own].tolist()[-120:]
    assert fan["last"] == run.rows.aside["variance"][own].tolist()[-120:]
    assert fan["date"][-1] == str(run.rows.until[own].iloc[-1].date())
    assert (fan["unit"], fan["bands"]) == ("%^2", [])


def test_the_fan_of_prices_is_in_prices():
    record, run = record_of("price")
    fan, rows = record["fan"], run.rows
    own = (rows.who == fan["asset"]).to_numpy()
    close = rows.aside["close"][own].to_numpy()[-120:]
    np.testing.assert_allclose(fan["actual"], close * np.exp(rows.y[own].to_numpy()[-120:]))
    assert fan["last"] == close.tolist()
    assert fan["unit"] == "USD"
    assert [band["coverage"] for band in fan["bands"]] == [0.5, 0.9]
    inner, outer = fan["bands"]
    assert all(a < b for a, b in zip(outer["low"], inner["low"], strict=True))


def test_the_order_of_assets_is_judged_by_hand_and_code_alike():
    record, run = record_of("ranking")
    own, ranking = run.own, record["ranking"]
    by_hand = [
        spearmanr(own.returns[own.days == day], own.score[own.days == day]).statistic
        for day in np.unique(own.days)
    ]
    assert ranking["rank_ic"]["mean"] == pytest.approx(np.mean(by_hand))
    assert ranking["rank_ic"]["hit_share"] == pytest.approx(np.mean(np.array(by_hand) > 0))
    beside = ranking["rank_ic_rivals"][0]
    assert beside["difference"] == pytest.approx(ranking["rank_ic"]["mean"] - beside["mean"])
    assert beside["difference_low"] > 0
    assert [q["quantile"] for q in ranking["quantiles"]] == [1, 2, 3, 4, 5]
    assert ranking["monotonicity"] == pytest.approx(1.0)
    horizons = {one["horizon"]: one["rank_ic"] for one in ranking["decay"]}
    assert max(horizons, key=horizons.get) == 5  # the horizon that the scores were made for
    assert horizons[5] == pytest.approx(ranking["rank_ic"]["mean"], abs=0.02)


def test_trading_is_net_of_cost_and_never_overlaps():
    record, run = record_of("ranking")
    book = record["trading"]
    assert len(book["curve"]["date"]) == 80 / 5
    assert book["gross"]["return_per_year"] > book["net"]["return_per_year"] > 0
    assert book["curve"]["gross"][-1] > book["curve"]["net"][-1]
    sharpes = [one["sharpe"] for one in book["by_cost"]]
    assert sharpes == sorted(sharpes, reverse=True)
    free = trading(Forecast(kind="ranking", cost_bp=0.0), run.own)
    assert free["net"]["return_per_year"] == pytest.approx(free["gross"]["return_per_year"])
    at = trading(Forecast(kind="ranking", cost_bp=book["break_even_bp"]), run.own)
    assert at["net"]["return_per_year"] == pytest.approx(0, abs=1e-9)
    mean = pd.Series(run.own.returns).groupby(run.own.days).mean()[::5]
    everything = free["curve"]["equal_weight"]
    assert everything[-1] == pytest.approx(mean.sum())


def test_what_a_book_earned_has_an_interval_and_a_chance_of_luck():
    record, run = record_of("ranking")
    book = record["trading"]
    net = np.diff(book["curve"]["net"], prepend=0.0)
    low, high = sharpe_interval(net, 252 / 5)
    assert (book["net"]["low"], book["net"]["high"]) == pytest.approx((low, high))
    assert book["gross"]["low"] < book["gross"]["sharpe"] < book["gross"]["high"]
    luck, alone = book["luck"], record_of_returns(net)
    assert luck["years"] == pytest.approx(16 * 5 / 252)
    assert luck["years_needed"] == pytest.approx(track_record_needed(alone) * 5 / 252)
    assert (luck["tried"], luck["deflated_sharpe"]) == (1, probabilistic_sharpe(alone))
    many = trading(Forecast(kind="ranking"), run.own, 50)["luck"]
    assert many["tried"] == 50
    assert many["deflated_sharpe"] < luck["deflated_sharpe"]


def test_a_book_that_loses_needs_for_ever():
    _, run = record_of("ranking")
    dear = forecast_record(Forecast(kind="ranking", cost_bp=1000.0), run, tried=3)["trading"]
    assert dear["net"]["return_per_year"] < 0
    assert dear["luck"]["years_needed"] is None
    assert dear["luck"]["tried"] == 3


def test_each_member_is_judged_alone():
    """Of a volatility model, in the unit of the variance, behind another step and intervals."""
    table = table_of("volatility")
    train, test = (part[:400] for part in (parts_of(table)[0].train, parts_of(table)[0].test))
    rows = table.rows(train)
    last = NeuralVolatilityRegressor(network=MLP(units=4), epochs=2, n_members=3, random_state=0)
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), last)
    model.fit(rows.X, rows.y)
    X, y = table.X.iloc[test], table.y.iloc[test]
    own = Outcome(y=y, score=model.predict(X), when=table.when.iloc[test], numbers=True)
    found = members_record(ConformalRegressor(FrozenEstimator(model)), X, own, "qlike")
    alone = last.predict_members(model[:-1].transform(X))
    assert alone.shape == (3, len(X))
    losses = sorted(float(np.mean(y / one - np.log(y / one) - 1)) for one in alone)
    assert [found[key] for key in ("least", "median", "most")] == pytest.approx(losses)
    assert losses[0] < losses[2]
    assert (found["n"], found["metric"]) == (3, "qlike")
    assert found["together"] == pytest.approx(np.mean(y / own.score - np.log(y / own.score) - 1))
    for single in (clone(last).set_params(n_members=1), LinearRegression()):
        assert members_record(make_pipeline(single).fit(rows.X, rows.y), X, own, "mse") is None


def test_members_of_a_classifier_say_how_likely_a_rise_is():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    model = NeuralClassifier(network=MLP(units=2), epochs=1, n_members=2, random_state=0).fit(X, y)
    own = Outcome(y=y, score=model.predict_proba(X)[:, 1], when=pd.date_range("2024", periods=60))
    found = members_record(make_pipeline(model), X, own, "brier")
    up = model.predict_members(X)[:, :, 1]
    assert found["most"] == pytest.approx(max(((up - y) ** 2).mean(axis=1)))
    assert up.mean(axis=0) == pytest.approx(own.score, abs=0.05)


def test_what_a_price_forecast_adds_to_the_last_price_is_tested():
    record, run = record_of("price")
    found = clark_west(run.own.y, 0 * run.own.y, run.own.score, horizon=5, dates=run.own.days)
    assert record["nested"] == {"t": found.t, "p_value": found.p_value}
    assert found.p_value < 0.001  # half of what it says is true


def test_a_few_assets_are_not_ranked():
    table = table_of("price")
    few = table.rows(table.who.isin(["S01", "S02"]).to_numpy())
    assert (
        trading(Forecast(kind="ranking"), scored_of("ranking", few, parts_of(few))[0].outcomes[0])
        is None
    )


def test_coverage_by_volatility_and_year():
    record, run = record_of("price")
    found, own = record["intervals"], run.own
    low, high = run.bands.ends[0.9]
    inside = (low <= own.y) & (own.y <= high)
    assert found["share"] == pytest.approx(inside.mean())
    assert found["n"] == len(own)
    assert found["width"] == pytest.approx((high - low).mean())
    assert [one["group"] for one in found["by_volatility"]] == ["low", "middle", "high"]
    assert "by_forecast_volatility" not in found  # no such feature here
    sigma = run.rows.aside["volatility"].to_numpy()
    calm = sigma <= np.quantile(sigma, 1 / 3)
    assert found["by_volatility"][0]["share"] == pytest.approx(inside[calm].mean())


def test_risk_is_tested_asset_by_asset_on_periods_that_do_not_overlap():
    record, run = record_of("price")
    risk, own = record["intervals"]["risk"], run.own
    hits, rejected, zones = 0, 0, []
    for name in np.unique(own.who):
        at = np.flatnonzero(own.who == name)[::5]
        hit = own.y[at] < -run.bands.var[at]
        hits += int(hit.sum())
        rejected += kupiec(hit, 0.05).p_value < 0.05
        zones.append(traffic_light(hit, 0.05).zone)
    assert (risk["level"], risk["hits"], risk["n"]) == (0.05, hits, len(zones) * 16)
    assert risk["assets"] == len(zones) == risk["tested"]["kupiec"] == 20
    assert risk["rejected"]["kupiec"] == rejected
    assert risk["traffic_lights"] == {z: zones.count(z) for z in ("green", "yellow", "red")}


def test_risk_of_one_asset_is_tested_on_periods_that_do_not_overlap():
    _, run = record_of("price")
    at = run.own.who == run.own.who[0]
    own = Outcome(
        y=run.own.y[at], score=run.own.score[at], when=run.own.when[at], numbers=True, horizon=5
    )
    bands = Bands(
        {0.9: tuple(end[at] for end in run.bands.ends[0.9])},
        run.bands.var[at],
        np.maximum(run.bands.shortfall[at], run.bands.var[at]),
    )
    asked = Forecast(kind="price", intervals=Intervals())
    risk = interval_record(asked, own, bands, run.rows.rows(at))["risk"]
    assert risk["n"] == 16
    assert 0 <= risk["kupiec_p"] <= 1
    assert risk["traffic_light"] in ("green", "yellow", "red")


def test_bands_of_folds_are_put_in_the_order_of_rows():
    parts = [
        Bands({0.9: (np.array([low]), np.array([low + 1]))}, np.array([low]), np.array([low]))
        for low in (5.0, 3.0)
    ]
    whole = stacked_bands(parts, np.array([1, 0]))
    assert whole.ends[0.9][0].tolist() == [3.0, 5.0]
    assert whole.var.tolist() == [3.0, 5.0]
    assert stacked_bands([], np.array([])) is None


def test_the_part_that_is_checked_ends_when_most_assets_end(monkeypatch):
    """The longest history is that of an asset whose bars are all faulty at the end."""
    monkeypatch.setattr("fintech_dl.evaluation.forecast_leaks.DATES", 120)
    monkeypatch.setattr("fintech_dl.evaluation.forecast_leaks.MARKETS", 0)
    frame = load_frame("synthetic_garch_panel_small")
    days = np.unique(frame["date"])
    longest = frame["asset"].iloc[0]
    frame = frame[(frame["asset"] == longest) | (frame["date"] <= days[-150])]
    frame.loc[frame["date"] > days[-150], "rv"] = np.nan
    seen = []

    def build(bars):
        seen.append((bars["date"].min(), bars["date"].max(), bars["asset"].nunique()))
        return har(bars, variance="rv", market=False)

    assert deep_leaks(Forecast(kind="volatility"), build, LinearRegression(), frame)
    assert seen[0] == (days[-269], days[-150], 4)


def test_a_result_too_good_to_be_true_is_a_warning():
    table = table_of("ranking")
    parts = parts_of(table)
    scored = scored_of("ranking", table, parts)[0]
    for limit, doubted in ((0.1, True), (1.0, False)):
        last = run_leaks(Forecast(kind="ranking", ic_limit=limit), scored, table, parts[0])[-1]
        assert last.passed is False  # its Sharpe ratio is that of no fund
        assert ("mean rank IC" in last.text) == doubted
        assert warnings_of([last]) == [last.text]
    assert warnings_of([Finding("bars", False, "a jump")]) == []


def test_without_rivals_nothing_is_compared():
    table = table_of("volatility")
    parts = parts_of(table)
    scored = scored_of("volatility", table, parts, noises=(0.5,))
    run = told(scored, table, parts, "qlike")
    found = forecast_record(Forecast(kind="volatility"), run)
    assert "loss_difference" not in found
    assert "confidence_set" not in found
    assert "skill" not in found["losses"][0]
    assert "rival" not in found["by_year"][0]
