"""Runs of forecasts end to end: purged, told by date, and scored to the same bits later."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from fintech_dl import NeuralVolatilityRegressor, load_frame, load_table, run_pipeline, score
from fintech_dl.artefact import load
from fintech_dl.cards import pipeline_card
from fintech_dl.errors import CardError, UsageError
from fintech_dl.evaluation.forecasts import qlike
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.splits import folds
from fintech_dl.evaluation.volatility_baselines import LogHAR
from fintech_dl.pipelines import make_table, parameter_of
from fintech_dl.scoring.reading import read_quarantine, read_scores

RIDGE = {"use": "sklearn.linear_model.Ridge", "alpha": 100.0}
SCALE = {"name": "scale", "use": "sklearn.preprocessing.StandardScaler"}
STEPS = [{"name": "model", "use": "fintech_dl.evaluation.volatility_baselines.LogHAR"}]
LAST = {
    "use": "fintech_dl.evaluation.volatility_baselines.LastValue",
    "column": "log_variance_1",
    "log": True,
}


@pytest.fixture(scope="module", autouse=True)
def few_resamples(few_draws):
    with few_draws(50):
        yield


def quick(name, dataset, **changes):
    """Return a card without a network, on little data."""
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return pipeline_card(name, keys, dataset=dataset)


def volatility(**changes):
    base = {"step": STEPS, "baseline": [LAST], "table__asset": False, "table__forms": ["log"]}
    base |= {"table__ewma": False, "history": "160d", "forecast": {"kind": "volatility"}}
    return quick("volatility", "synthetic_garch_panel_small", **{**base, **changes})


def price(**changes):
    base = {"step": [SCALE, {"name": "model", **RIDGE}], "split__validation_fraction": 0.0}
    return quick("stock-price", "synthetic_random_walk_small", **{**base, **changes})


@pytest.fixture(scope="module")
def volatility_run(tmp_path_factory):
    return run_pipeline(volatility(), tmp_path_factory.mktemp("runs") / "volatility")


def test_the_record_says_what_was_left_out(volatility_run):
    data = volatility_run.record["data"]
    assert data["rows_in_table"] + sum(data["left_out"].values()) == data["rows_used"]
    assert data["left_out"] == {"too_few_bars": 4 * 21, "unlabelled": 4}
    assert "positives" not in data
    assert "positives_train" not in volatility_run.record["protocol"]["folds"][0]
    assert volatility_run.record["verdict"]["metric"] == "qlike"
    assert "Diebold-Mariano" in volatility_run.record["verdict"]["text"]


def test_a_log_har_beats_the_last_value_by_rule(volatility_run):
    record = volatility_run.record
    assert record["verdict"]["outcome"] == "beats"
    own, last = record["forecast"]["losses"]
    assert own["skill"] > 0.1
    assert own["qlike"] == record["models"][0]["metrics"]["qlike"]["value"]
    assert last["qlike"] == record["models"][1]["metrics"]["qlike"]["value"]
    saved = json.loads((volatility_run.folder / "metrics.json").read_text())
    assert saved["forecast"] == record["forecast"]
    page = (volatility_run.folder / "report.html").read_text()
    assert "QLIKE" in page


def ranking(**changes):
    base = {"step": [SCALE, {"name": "model", **RIDGE}], "table__windows": [5]}
    base |= {"baseline": [{"use": "sklearn.dummy.DummyRegressor"}]}
    return quick("stock-ranking", "synthetic_stocks", **{**base, **changes})


@pytest.mark.usefixtures("unreported")
def test_an_order_that_loses_after_cost_beats_nobody(tmp_path):
    paid = run_pipeline(ranking(forecast__cost_bp=0.0), tmp_path / "paid").record
    assert paid["verdict"]["outcome"] == "beats"
    book = paid["forecast"]["trading"]
    assert book["net"]["low"] < book["net"]["sharpe"] < book["net"]["high"]
    assert f"Sharpe ratio after cost {book['net']['sharpe']:.2f} [" in paid["verdict"]["text"]
    assert (book["luck"]["tried"], "members" in paid["forecast"]) == (1, False)
    search = {"method": "grid", "space": {"model__alpha": [1.0, 10.0]}, "folds": 1}
    card = ranking(forecast__cost_bp=500.0, search=search)
    lost = run_pipeline(card, tmp_path / "lost", search=True).record
    assert lost["verdict"]["outcome"] == "same"
    assert lost["verdict"]["unpaid"] is True
    assert "but trading on it loses money after 500 bp a side" in lost["verdict"]["text"]
    assert lost["forecast"]["trading"]["luck"]["tried"] == 3


@pytest.mark.usefixtures("unreported")
def test_members_of_a_network_are_told(tmp_path):
    network = {"use": "fintech_dl.MLP", "units": [4]}
    step = {"name": "model", "use": "fintech_dl.NeuralRegressor", "network": network}
    card = price(step=[{**step, "epochs": 1, "n_members": 2}])
    record = run_pipeline(card, tmp_path / "run").record
    found = record["forecast"]["members"]
    assert (found["n"], found["metric"]) == (2, "mae")
    assert found["together"] == pytest.approx(record["forecast"]["losses"][0]["mae"])
    assert found["least"] < found["most"]


@pytest.mark.usefixtures("unreported")
def test_labels_that_reach_into_validation_are_purged(monkeypatch, tmp_path):
    from fintech_dl import fitting

    cuts = []
    own = fitting.validation_cut

    def watched(table, train, fraction, **options):
        found = own(table, train, fraction, **options)
        cuts.append((table, *found))
        return found

    monkeypatch.setattr("fintech_dl.fitting.validation_cut", watched)
    asked = {"forecast__intervals": {"fraction": 0.3, "scale": "ewma_94"}}
    run_pipeline(price(**asked), tmp_path / "run")
    [(table, early, late)] = cuts
    assert table.until.iloc[early].max() <= table.when.iloc[late].min()


@pytest.mark.usefixtures("unreported")
def test_intervals_in_a_card(tmp_path):
    card = price(forecast__intervals={"scale": "ewma_94"})
    run = run_pipeline(card, tmp_path / "run")
    assert isinstance(run.model, ConformalRegressor)
    found = run.record["forecast"]["intervals"]
    assert abs(found["share"] - 0.9) < 0.1
    assert found["method"] == "split conformal, scaled by ewma_94"
    assert len(found["by_forecast_volatility"]) == 3
    assert run.record["forecast"]["naive"]["beats"] is False
    assert [band["coverage"] for band in run.record["forecast"]["fan"]["bands"]] == [0.5, 0.9]
    table = load_table(card)
    rows = table.X.iloc[folds(table, card.split)[0].test]
    back = load(run.folder / "artefact")
    for one, two in zip(back.predict_interval(rows), run.model.predict_interval(rows), strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.fixture(scope="module")
def adaptive_run(tmp_path_factory):
    """The card as it is shipped, but for its network."""
    return run_pipeline(price(), tmp_path_factory.mktemp("runs") / "adaptive")


def test_intervals_that_learn_are_told_beside_those_that_do_not(adaptive_run):
    found = adaptive_run.record["forecast"]["intervals"]
    assert found["method"].startswith("split conformal, scaled by range_1, range_5, range_22")
    assert "each side for itself, adaptive (0.01), updated as days came" in found["method"]
    kept = pd.read_parquet(adaptive_run.folder / "predictions.parquet")
    assert found["share"] == kept["y"].between(kept["low"], kept["high"]).mean()
    rows = load_table(price()).X.iloc[kept["row"]]
    low, high = adaptive_run.model.predict_interval(rows)
    assert found["frozen"]["share"] == ((low <= kept["y"]) & (kept["y"] <= high)).mean()
    assert found["frozen"]["width"] == pytest.approx((high - low).mean())
    assert found["frozen"]["width"] != found["width"]
    assert "left as they were calibrated they would" in (
        (adaptive_run.folder / "report.html").read_text()
    )


def test_risk_is_counted_over_assets(adaptive_run):
    risk = adaptive_run.record["forecast"]["intervals"]["risk"]
    assert risk["assets"] == 5 == sum(risk["traffic_lights"].values())
    assert risk["tested"]["kupiec"] == 5
    assert 0 <= risk["rejected"]["kupiec"] <= 5
    page = (adaptive_run.folder / "report.html").read_text()
    assert "of 5 assets" in page
    assert "Basel traffic light, by asset" in page


@pytest.mark.usefixtures("unreported")
def test_quantiles_are_calibrated_in_a_card(tmp_path):
    network = {"use": "fintech_dl.MLP", "units": 4}
    last = {"use": "fintech_dl.NeuralQuantileRegressor", "network": network, "epochs": 2}
    asked = {"method": "cqr", "scale": "ewma_94", "update": True, "window": 60}
    card = price(step=[SCALE, {"name": "model", **last}], forecast__intervals=asked)
    run = run_pipeline(card, tmp_path / "run")
    found = run.record["forecast"]["intervals"]
    assert found["method"] == (
        "conformalised quantiles, scaled by ewma_94, updated as days came, the latest 60 dates kept"
    )
    assert found["share"] == pytest.approx(0.9, abs=0.07)
    kept = pd.read_parquet(run.folder / "predictions.parquet")
    assert (kept["low"] < kept["high"]).all()
    middle = (kept["low"] + kept["high"]) / 2
    assert not np.allclose(middle, kept["score"], atol=1e-6)  # ends of the network's own
    new, past = (
        days_of(load_frame(card.dataset), 240, 249),
        days_of(load_frame(card.dataset), 0, 239),
    )
    found = score(run.folder / "artefact", new, past).merge(
        kept, left_on=["date", "asset"], right_on=["when", "who"], suffixes=("", "_run")
    )
    assert len(found) == 5 * 5
    assert (found["low"] == found["low_run"]).all()


@pytest.mark.usefixtures("unreported")
def test_intervals_of_variances_are_those_of_logarithms(tmp_path):
    asked = {"logs": True, "symmetric": False, "update": True}
    card = volatility(forecast__intervals=asked, table__ewma=True, history="319d")
    run = run_pipeline(card, tmp_path / "run")
    found = run.record["forecast"]["intervals"]
    assert "split conformal, of logarithms, each side for itself" in found["method"]
    assert found["share"] == pytest.approx(0.9, abs=0.05)
    assert len(found["by_volatility"]) == len(found["by_forecast_volatility"]) == 3
    assert "risk" not in found
    kept = pd.read_parquet(run.folder / "predictions.parquet")
    assert (kept["low"] > 0).all()
    below, above = (kept["y"] < kept["low"]).mean(), (kept["y"] > kept["high"]).mean()
    assert abs(below - above) < 0.06
    bands = run.record["forecast"]["fan"]["bands"]
    assert [band["coverage"] for band in bands] == [0.5, 0.9]
    assert min(bands[1]["low"]) > 0


NETWORK = {
    "use": "fintech_dl.NeuralVolatilityRegressor",
    "network": {"use": "fintech_dl.MLP", "units": 8},
    "epochs": 2,
    "n_members": 2,
}
HAR = {"use": "fintech_dl.evaluation.volatility_baselines.LogHAR"}


@pytest.fixture(scope="module")
def horizons_run(tmp_path_factory):
    card = volatility(
        table__horizon=[5, 1], step=[{"name": "model", **NETWORK}], baseline=[LAST, HAR]
    )
    return card, run_pipeline(card, tmp_path_factory.mktemp("runs") / "horizons")


def test_several_horizons_in_one_pass(horizons_run):
    card, run = horizons_run
    lines = run.record["forecast"]["by_horizon"]
    assert [line["horizon"] for line in lines] == [5, 1] == card.table["horizon"]
    own = run.record["models"][0]
    assert lines[0]["model"] == own["metrics"]["qlike"]["value"]  # the first one is the main one
    assert lines[0]["outcome"] == run.record["verdict"]["outcome"]
    table = load_table(card)
    part = folds(table.main(), card.split)[0]
    assert table.until.iloc[part.train].max() <= table.when.iloc[part.test].min()
    y, said = table.y.iloc[part.test].to_numpy(), run.model.predict(table.X.iloc[part.test])
    for line, truth, forecast in zip(lines, y.T, said.T, strict=True):
        assert line["model"] == pytest.approx(qlike(truth, forecast).mean(), rel=1e-4)
        har = LogHAR().fit(table.X.iloc[part.train], table.y[_name(line)].iloc[part.train])
        rival = qlike(truth, har.predict(table.X.iloc[part.test]))
        assert line["rival_title"] == "LogHAR"
        assert line["rival"] == pytest.approx(rival.mean())
    assert "QLIKE by horizon" in (run.folder / "report.html").read_text()


def _name(line):
    return f"variance_next_{line['horizon']}"


def test_new_rows_are_scored_at_every_horizon(horizons_run):
    _, run = horizons_run
    frame = load_frame("synthetic_garch_panel_small")
    past, new = days_of(frame, 250, 419), days_of(frame, 420, 460)
    found = score(run.folder / "artefact", new, past)
    assert list(found.columns) == ["date", "asset", "score", "score_next_1"]
    kept = pd.read_parquet(run.folder / "predictions.parquet")
    kept = kept.rename(columns={"when": "date", "who": "asset"})
    both = found.merge(kept, on=["date", "asset"], validate="1:1")
    assert len(both) == len(new)
    for name in ("score", "score_next_1"):
        assert both[f"{name}_x"].to_numpy().tobytes() == both[f"{name}_y"].to_numpy().tobytes()


@pytest.mark.usefixtures("unreported")
def test_a_search_looks_at_the_main_horizon(tmp_path):
    search = {"n_iter": 2, "folds": 2, "metric": "mse", "space": {"model__alpha": [1.0, 9.0]}}

    def trials(horizon, name):
        card = price(forecast={"kind": "price"}, table__horizon=horizon, search=search)
        run = run_pipeline(card, tmp_path / name, search=True)
        table = pd.read_csv(run.folder / "search.csv").sort_values("model__alpha")
        return run, table["mse"].to_numpy()

    run, both = trials([1, 5], "both")
    assert [line["horizon"] for line in run.record["forecast"]["by_horizon"]] == [1, 5]
    day, week = (trials(horizon, f"{horizon}")[1] for horizon in (1, 5))
    assert len(both) == 3
    assert both == pytest.approx(day, rel=0.3)
    assert (day < 0.5 * week).all()


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (
            quick("stock-ranking", "synthetic_garch_panel_small", table__horizon=[5, 20]),
            "forecasts of volatility and of prices may have several",
        ),
    ],
)
def test_what_has_one_horizon_only_is_refused_before_any_work(card, told, tmp_path):
    with pytest.raises(CardError, match=rf"\[table\] horizon = .*{told}"):
        run_pipeline(card, tmp_path / "run")


@pytest.mark.usefixtures("unreported")
def test_deep_checks_for_leaks_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("fintech_dl.evaluation.forecast_leaks.MARKETS", 2)
    run = run_pipeline(price(forecast__leak_checks=True), tmp_path / "run")
    leaks = {one["name"]: one["passed"] for one in run.record["forecast"]["leaks"]}
    assert leaks["future"] is leaks["truncated history"] is leaks["bars"] is True
    assert {"label ends", "noise", "planted signal", "shuffled labels"} <= set(leaks)


def test_a_metric_of_classes_is_refused_before_any_work(tmp_path):
    card = volatility(metrics=["qlike", "roc_auc"])
    with pytest.raises(UsageError, match="'roc_auc' judges classes, and here numbers"):
        run_pipeline(card, tmp_path / "run")


def test_tables_have_labels_in_runs_and_last_rows_in_scoring():
    card = volatility()
    frame = load_frame(card.dataset)
    assert make_table(card.table, frame, labelled=True).y.notna().all()
    assert make_table(card.table, frame).when.iloc[-1] == frame["date"].iloc[-1]
    assert load_table(card).y.notna().all()
    assert parameter_of(card.table, "horizon") == 1
    assert parameter_of({**card.table, "horizon": 5}, "horizon") == 5
    assert parameter_of(card.table, "lag") is None


# ---- scoring ---------------------------------------------------------------------------------


def days_of(frame, first, last):
    days = np.unique(frame["date"])
    return frame[(frame["date"] >= days[first]) & (frame["date"] <= days[last])]


def test_new_rows_get_the_scores_of_the_run(volatility_run):
    frame = load_frame("synthetic_garch_panel_small")
    past, new = days_of(frame, 250, 419), days_of(frame, 420, 460)
    found = score(volatility_run.folder / "artefact", new, past)
    assert list(found.columns) == ["date", "asset", "score"]
    assert len(found) == len(new)
    run = pd.read_parquet(volatility_run.folder / "predictions.parquet")
    run = run.rename(columns={"when": "date", "who": "asset"})
    both = found.merge(run, on=["date", "asset"], validate="1:1")
    assert len(both) == len(new)
    assert both["score_x"].to_numpy().tobytes() == both["score_y"].to_numpy().tobytes()


def test_rows_without_a_full_window_are_set_aside_with_a_reason(volatility_run, tmp_path, command):
    frame = load_frame("synthetic_garch_panel_small")
    past, new = days_of(frame, 250, 419), days_of(frame, 420, 460).reset_index(drop=True)
    at = new.index[(new["asset"] == "A02")][10]
    new.loc[at, "rv"] = -1.0
    past.to_parquet(tmp_path / "past.parquet")
    new.to_parquet(tmp_path / "new.parquet")
    out = tmp_path / "scores"
    artefact = volatility_run.folder / "artefact"
    words = [tmp_path / "new.parquet", "-o", out, "--history", tmp_path / "past.parquet"]
    done = command("score", artefact, *words, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    scores, aside = read_scores(out), read_quarantine(out)
    assert summary["scored"] + summary["quarantined"] == summary["rows"] == len(new)
    assert len(scores) == summary["scored"]
    own = aside["asset"] == "A02"
    assert own.all()
    counts = aside["reason"].value_counts().to_dict()
    assert counts == {"window:not_full": 21, "below_min:rv": 1}  # 22 bars look at the faulty one
    assert aside["source_row"].tolist()[0] == at + 1
    assert set(aside["source_row"]) == set(new.index[new["asset"] == "A02"][10:32] + 1)
    others = scores[scores["asset"] != "A02"]
    with pytest.warns(UserWarning, match="22 of 164 rows break the contract .* or lack a full"):
        alone = score(artefact, new, past)
    assert alone[alone["asset"] != "A02"]["score"].tolist() == others["score"].tolist()


def test_a_history_that_grows_by_a_day_gives_the_intervals_of_the_run(adaptive_run):
    frame = load_frame("synthetic_random_walk_small")
    run = pd.read_parquet(adaptive_run.folder / "predictions.parquet")
    run = run.rename(columns={"when": "date", "who": "asset"})
    for day in (230, 237, 244):
        new, past = days_of(frame, day, day), days_of(frame, 0, day - 1)
        found = score(adaptive_run.folder / "artefact", new, past)
        assert found.attrs["intervals"]["complete"]
        both = found.merge(run, on=["date", "asset"], validate="1:1")
        assert len(both) == len(new) == 5
        for end in ("low", "high"):
            assert both[f"{end}_x"].to_numpy().tobytes() == both[f"{end}_y"].to_numpy().tobytes()


@pytest.mark.usefixtures("unreported")
def test_intervals_around_a_graph_need_no_keras(tmp_path, monkeypatch):
    asked = {"logs": True, "symmetric": False, "update": True}
    card = volatility(step=[{"name": "model", **NETWORK}], forecast__intervals=asked)
    run = run_pipeline(card, tmp_path / "run")
    kept = pd.read_parquet(run.folder / "predictions.parquet")
    monkeypatch.setattr(NeuralVolatilityRegressor, "predict", None)
    frame = load_frame(card.dataset)
    found = score(run.folder / "artefact", days_of(frame, 420, 424), days_of(frame, 0, 419))
    both = found.merge(kept, left_on=["date", "asset"], right_on=["when", "who"])
    assert len(both) == len(found) == 20
    for name in ("score", "low", "high"):
        assert both[f"{name}_x"].to_numpy().tobytes() == both[f"{name}_y"].to_numpy().tobytes()


@pytest.mark.usefixtures("unreported")
def test_of_several_horizons_the_main_one_has_intervals(tmp_path):
    card = price(table__horizon=[5, 2])
    run = run_pipeline(card, tmp_path / "run")
    kept = pd.read_parquet(run.folder / "predictions.parquet")
    inside = kept["y"].between(kept["low"], kept["high"]).mean()
    assert inside == run.record["forecast"]["intervals"]["share"] == pytest.approx(0.9, abs=0.1)
    frame = load_frame(card.dataset)
    found = score(run.folder / "artefact", days_of(frame, 240, 241), days_of(frame, 0, 239))
    assert list(found.columns) == ["date", "asset", "score", "score_next_2", "low", "high"]
    both = found.merge(kept, left_on=["date", "asset"], right_on=["when", "who"])
    assert len(both) == 10
    assert (both["low_x"] == both["low_y"]).all()


@pytest.mark.usefixtures("unreported")
def test_a_history_that_begins_late_is_told(tmp_path, command):
    asked = {"logs": True, "symmetric": False, "update": True}
    run = run_pipeline(volatility(forecast__intervals=asked), tmp_path / "run")
    frame, artefact = load_frame("synthetic_garch_panel_small"), run.folder / "artefact"
    past, new = days_of(frame, 350, 469), days_of(frame, 470, 471)
    whole = score(artefact, new, days_of(frame, 0, 469))
    last = pd.Timestamp(whole.attrs["intervals"]["calibrated_to"])
    assert whole.attrs["intervals"] == {
        "calibrated_to": str(last),
        "outcomes": int(((frame["date"] > last) & (frame["date"] < new["date"].max())).sum()),
        "updated_to": str(new["date"].max()),
        "complete": True,
    }
    with pytest.warns(UserWarning, match=rf"up to {last}, and of the outcomes .* give rows from"):
        few = score(artefact, new, past)
    assert not few.attrs["intervals"]["complete"]
    assert few["score"].tolist() == whole["score"].tolist()
    assert (few["low"] != whole["low"]).all()
    past.to_parquet(tmp_path / "past.parquet")
    new.to_parquet(tmp_path / "new.parquet")
    words = [
        tmp_path / "new.parquet",
        "-o",
        tmp_path / "out",
        "--history",
        tmp_path / "past.parquet",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = command("score", artefact, *words, "--json")
    assert done.code == 0, done.err
    assert "holds only the latest" in done.err
    summary = json.loads(done.out)
    assert summary["intervals"] == few.attrs["intervals"]


@pytest.mark.usefixtures("unreported")
def test_intervals_are_scored_too(tmp_path):
    run = run_pipeline(price(forecast__intervals={"scale": "ewma_94"}), tmp_path / "run")
    frame = load_frame("synthetic_random_walk_small")
    new, past = days_of(frame, 245, 249), days_of(frame, 0, 244)
    card = pipeline_card("stock-price")
    assert card.history == "319d"
    found = score(run.folder / "artefact", new, past)
    assert list(found.columns) == ["date", "asset", "score", "low", "high"]
    assert len(found) == 25  # the last days too, whose labels nobody knows
    assert (found["low"] < found["score"]).all()
    assert (found["score"] < found["high"]).all()
