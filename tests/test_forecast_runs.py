"""Runs of forecasts end to end: purged, told by date, and scored to the same bits later."""

import json

import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_frame, load_table, run_pipeline, score
from fintech_dl.artefact import load
from fintech_dl.cards import pipeline_card
from fintech_dl.errors import UsageError
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.splits import folds
from fintech_dl.pipelines import make_table, parameter_of

RIDGE = {"use": "sklearn.linear_model.Ridge", "alpha": 100.0}
SCALE = {"name": "scale", "use": "sklearn.preprocessing.StandardScaler"}
STEPS = [{"name": "model", "use": "fintech_dl.evaluation.volatility_baselines.LogHAR"}]
LAST = {
    "use": "fintech_dl.evaluation.volatility_baselines.LastValue",
    "column": "log_variance_1",
    "log": True,
}


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fintech_dl.evaluation.evidence.RESAMPLES", 50)
        yield


def quick(name, dataset, **changes):
    """Return a card without a network, on little data."""
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return pipeline_card(name, keys, dataset=dataset)


def volatility(**changes):
    base = {"step": STEPS, "baseline": [LAST], "table__asset": False, "table__forms": ["log"]}
    base |= {"table__ewma": False, "history": "160d"}
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


def test_intervals_in_a_card(tmp_path):
    run = run_pipeline(price(), tmp_path / "run")
    assert isinstance(run.model, ConformalRegressor)
    found = run.record["forecast"]["intervals"]
    assert abs(found["share"] - 0.9) < 0.1
    assert found["method"] == "split conformal, scaled by ewma_94"
    assert len(found["by_forecast_volatility"]) == 3
    assert run.record["forecast"]["naive"]["beats"] is False
    assert [band["coverage"] for band in run.record["forecast"]["fan"]["bands"]] == [0.5, 0.9]
    card = price()
    table = load_table(card)
    rows = table.X.iloc[folds(table, card.split)[0].test]
    back = load(run.folder / "artefact")
    for one, two in zip(back.predict_interval(rows), run.model.predict_interval(rows), strict=True):
        assert one.tobytes() == two.tobytes()


def test_adaptive_intervals_walk_through_the_test(tmp_path):
    asked = {"method": "split", "scale": "ewma_94", "adapt": 0.05}
    run = run_pipeline(price(forecast__intervals=asked), tmp_path / "run")
    assert "adaptive (0.05)" in run.record["forecast"]["intervals"]["method"]


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
    assert command("score", artefact, *words, "--json").code == 0
    summary = json.loads((out / "summary.json").read_text())
    scores = pd.read_parquet(out / "scores.parquet")
    aside = pd.read_csv(out / "quarantine.csv")
    assert summary["rows_scored"] + summary["rows_quarantined"] == summary["rows_read"] == len(new)
    assert len(scores) == summary["rows_scored"]
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


def test_intervals_are_scored_too(tmp_path):
    run = run_pipeline(price(), tmp_path / "run")
    frame = load_frame("synthetic_random_walk_small")
    new, past = days_of(frame, 245, 249), days_of(frame, 0, 244)
    card = pipeline_card("stock-price")
    assert card.history == "319d"
    found = score(run.folder / "artefact", new, past)
    assert list(found.columns) == ["date", "asset", "score", "low", "high"]
    assert len(found) == 25  # the last days too, whose labels nobody knows
    assert (found["low"] < found["score"]).all()
    assert (found["score"] < found["high"]).all()
