from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _beside_it(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def markets():
    return import_module("markets")


@pytest.fixture
def variance():
    return import_module("markets_variance")


@pytest.fixture
def table():
    return import_module("markets_table")


def task(module, n=60, seed=0):
    rng = np.random.default_rng(seed)
    when = np.repeat(pd.bdate_range("2020-01-01", periods=n).to_numpy(), 2)
    who = np.tile(["A", "B"], n)
    X = pd.DataFrame(rng.normal(size=(2 * n, 3)), columns=module.LOGS)
    X["asset"] = pd.Categorical(who)
    y = np.exp(rng.normal(size=2 * n))
    return module.Task(X, y, when, when, who, when, n // 2)


def test_jobs_are_selected_by_part_method_and_seed(markets):
    found = list(markets.jobs(["ranking"], ["ridge", "MLP, IC"], [0, 1]))
    assert [(job.method, job.seed) for job in found] == [
        ("ridge", 0),
        ("MLP, IC", 0),
        ("MLP, IC", 1),
    ]
    everything = list(markets.jobs())
    assert {job.part for job in everything} == set(markets.PARTS)
    assert len(set(everything)) == len(everything)
    noise = [job for job in everything if job.method == "GBM, price: linear"]
    assert len(noise) * 100 == 1000


def test_what_is_done_is_not_run_again_and_a_plan_knows_how_long_the_rest_takes(
    markets, tmp_path, monkeypatch, capsys
):
    measured = []

    def measure(job):
        measured.append(job)
        return {"mse": 1.0, "mae": 1.0}

    monkeypatch.setattr(markets.markets_exchange, "measure", measure)
    asked = list(markets.jobs(["exchange"], ["last value", "NLinear"]))
    markets.run(asked[:3], tmp_path)
    todo = markets.left(asked, tmp_path)
    assert todo == asked[3:]
    assert markets.plan(todo, tmp_path)[-1] == f"in all {len(todo)} jobs left, 0.0 minutes"
    markets.run(todo, tmp_path)
    assert measured == asked
    markets.run(todo, tmp_path, hours=-1)
    assert f"{len(todo)} jobs are left" in capsys.readouterr().out


def test_command_line_refuses_unknown_parts_and_methods(markets, capsys):
    with pytest.raises(SystemExit):
        markets.arguments(["indexes"])
    assert "indexes: allowed are sp500-rv" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        markets.arguments(["--methods", "ridges"])
    assert "ridges: allowed are" in capsys.readouterr().err


def test_the_lags_of_all_assets_stand_beside_each_row(variance):
    rows = task(variance)
    found = variance.with_others(rows)
    name = variance.LOGS[1]
    own = rows.X[name].to_numpy()
    assert found[f"{name}_of_A"].to_numpy() == pytest.approx(np.repeat(own[::2], 2))
    assert found[f"{name}_of_B"].to_numpy() == pytest.approx(np.repeat(own[1::2], 2))


def test_ridge_learns_from_the_lags_of_the_other_asset(variance):
    rows = task(variance, n=400)
    X = variance.with_others(rows)
    y = np.exp(0.8 * X[f"{variance.LOGS[0]}_of_B"].to_numpy())
    model = variance.CrossRidge().fit(X, y)
    assert np.log(model.predict(X)) == pytest.approx(np.log(y), abs=0.1)


def test_blocks_make_the_forecasts_that_walking_forward_makes(variance):
    rows = task(variance)
    model = variance.LogHAR(variance.LOGS)
    at, whole = variance.forecasts(rows, model, variance.Method(model, every=12), 0)
    parts = [
        variance.forecasts(rows, model, variance.Method(model, every=12, by_block=True), block)
        for block in range(3)
    ]
    assert np.concatenate([part[0] for part in parts]).tolist() == at.tolist()
    assert np.concatenate([part[1] for part in parts]) == pytest.approx(whole)
    first = rows.X.iloc[: at[0]]
    alone = variance.LogHAR(variance.LOGS).fit(first, rows.y[: at[0]])
    assert whole[:2] == pytest.approx(alone.predict(rows.X.iloc[at[:2]]), rel=0.1)


def indices(variance, days=400):
    """Return days on which B does what A did the day before, as rows of the indices' task."""
    rows = task(variance, days)
    for name in variance.MARKET:
        rows.X[name] = rows.X[name.removeprefix("market_")].groupby(rows.when).transform("mean")
    first = rows.X[variance.LOGS[0]].to_numpy()
    follows = np.where(np.tile([False, True], days), np.roll(first, 1), 0.5 * first)
    return variance.Task(
        rows.X, np.exp(follows), rows.when, rows.until, rows.who, rows.day, 3 * days // 4
    )


def test_the_network_of_the_market_sees_what_the_others_did(variance, monkeypatch):
    rows = indices(variance)
    monkeypatch.setattr(variance, "STOPPED", {})
    how = ("MLP", {"units": 16}, {"epochs": 40, "learning_rate": 0.01, "batch_size": 64})
    monkeypatch.setattr(variance, "OF_MARKET", how)
    method = variance.ours("indices")["market network"]
    at, found = variance.forecasts(rows, method.model(0), method)
    assert len(at) == len(rows.y) // 4
    _, own = variance.forecasts(rows, variance.LogHAR(variance.LOGS, by="asset"), method)
    b = rows.who[at] == "B"
    ours, rival = (variance.qlike(rows.y[at][b], f[b]).mean() for f in (found, own))
    assert ours < 0.5 * rival


def test_a_mean_of_two_methods_is_that_of_their_logarithms(variance, monkeypatch):
    rows = indices(variance, 100)
    fits = {
        "low": variance.Method(variance.LogHAR(variance.LOGS)),
        "high": variance.Method(variance.LogHAR(variance.LOGS, by="asset")),
    }
    both = {**fits, "both": variance.Method(None, of=("low", "high"))}
    monkeypatch.setattr(variance, "methods", lambda part, horizon: both)
    job = import_module("markets_state").Job
    at, found = variance.forecasts_of(rows, job("indices", 1, "both"))
    parts = [variance.forecasts_of(rows, job("indices", 1, title)) for title in fits]
    assert (at == parts[0][0]).all()
    assert found == pytest.approx(np.sqrt(parts[0][1] * parts[1][1]))
    assert variance.ours("indices")["MLP and GRU, averaged"].of == ("MLP", "GRU")


def test_blocks_are_joined_by_rows(table):
    early = {"mse": 1.0, "mae": 1.0, "bias": 0.0, "rows": 1, "qlike": [0.1]}
    late = {"mse": 4.0, "mae": 1.0, "bias": 3.0, "rows": 2, "qlike": [0.2, 0.3]}
    found = table.joined(
        [{**early, "years": {"2008": [0.1, 1]}}, {**late, "years": {"2008": [0.25, 2]}}]
    )
    assert (found["mse"], found["bias"], found["qlike"]) == (3.0, 2.0, [0.1, 0.2, 0.3])
    assert found["years"]["2008"] == pytest.approx([0.2, 3])


def test_the_table_says_beats_only_where_the_test_does(table, variance):
    job = import_module("markets_state").Job
    rng = np.random.default_rng(0)
    losses = rng.chisquare(1, 300)

    def line(values):
        years = {"2019": [float(values.mean()), 150], "2020": [2.0, 150]}
        rest = {"mse": 1.0, "mae": 1.0, "bias": 0.0, "rows": 300, "assets": [1.0, 2.0]}
        return {"qlike": values.tolist(), "years": years, **rest}

    results = {
        job("indices", 1, "log-HAR"): line(losses + 0.1),
        job("indices", 1, "log-HAR + global"): line(losses),
        job("indices", 1, "good"): line(0.5 * losses),
        job("indices", 1, "noise"): line(losses + 0.01 * rng.normal(size=300)),
    }
    rows = {row["method"]: row for row in table.variance_rows("indices", results)}
    assert rows["good"]["best simple"] == "beats: log-HAR + global"
    assert rows["noise"]["best simple"] == "no difference: log-HAR + global"
    assert "best simple" not in rows["log-HAR"]
    assert rows["log-HAR + global"]["without 2020"] == f"{losses.mean():.4f}"


def test_a_result_says_how_long_its_jobs_took(table, tmp_path, monkeypatch):
    state = import_module("markets_state")
    line = {"seeds": 100, "beats": 3, "same": 90, "worse": 7, "seconds": 61.5}
    for block in (0, 1, 1):  # the last one was measured anew
        state.keep(state.Job("noise", 1, "x: linear", 0, block), line, tmp_path)
    taken = {}
    monkeypatch.setattr(table, "write_result", lambda *given, **more: taken.update(more))
    list(table.write(["noise"], tmp_path))
    assert taken == {"seconds": 123.0}


@pytest.mark.parametrize("case", ["GBM, price", "GARCH, price"])
def test_noise_of_both_kinds_is_tried_with_the_network_too(markets, case, monkeypatch):
    noise = markets.markets_noise
    (job,) = markets.jobs(["noise"], [f"{case}: network"])
    monkeypatch.setattr(noise, "BLOCK", 1)
    monkeypatch.setattr(noise, "DAYS", 200)
    line = noise.measure(job)
    assert line["seeds"] == line["beats"] + line["same"] + line["worse"] == 1


def test_share_of_beats_has_wilsons_interval(table):
    job = import_module("markets_state").Job
    line = {"seeds": 100, "beats": 3, "same": 90, "worse": 7}
    results = {job("noise", 1, "x: linear", 0, block): line for block in range(10)}
    (row,) = table.noise_rows("noise", results)
    assert (row["seeds"], row["beats"]) == (1000, "3.0% [2.1%, 4.3%]")


def test_windows_of_rates_end_where_their_future_begins():
    exchange = import_module("markets_exchange")
    values = np.arange(2 * 110.0).reshape(110, 2)
    X, y = exchange.windows(values, 5)
    assert X.shape == (2 * 10, exchange.LOOK_BACK)
    assert (y[:, 0] - X[:, -1]).tolist() == [2.0] * 20
    assert X[1, 0] == 1.0


def test_features_are_chosen_by_window():
    ranking = import_module("markets_ranking")
    names = ["KMID", "ROC5", "ROC20", "ROC30", "MA60"]
    assert ranking.of_windows(names, (60,)) == ["KMID", "MA60"]
    assert ranking.of_windows(names, ranking.WINDOWS[0]) == names
