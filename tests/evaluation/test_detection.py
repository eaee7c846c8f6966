"""Runs of a detector, with labels and without: alerts, reasons, kinds, drift; the report's part."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fintech_dl import run_pipeline
from fintech_dl.cards import pipeline_card
from fintech_dl.errors import CardError, DataError
from fintech_dl.evaluation.detection_labels import is_detector
from fintech_dl.evaluation.detection_record import contributions
from fintech_dl.evaluation.detection_series import along_series
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.rebuild import rebuild_report
from fintech_dl.evaluation.report import render, results_table

N = 1200
DATASET = """
title = "Ledger lines"
licence = "own"
[source]
kind = "file"
path = "{file}"
[contract]
key = "id"
time = "at"
labels = ["wrong"]
[columns]
id = {{ type = "integer" }}
at = {{ type = "datetime" }}
amount = {{ type = "number" }}
hour = {{ type = "number" }}
account = {{ type = "category" }}
flaw = {{ type = "category" }}
wrong = {{ type = "integer", allowed = [0, 1] }}
"""
PIPELINE = """
title = "Ledger"
question = "Which lines should someone look at?"
dataset = "lines"
metrics = ["roc_auc", "average_precision"]
kinds = "flaw"
words = { row = "line", rows = "lines", positive = "error", positives = "errors" }
table = { use = "rows.as_they_are", target = "wrong", when = "at", drop = ["id", "flaw"], aside = ["id", "flaw"] }
split = { kind = "holdout", test = "10d" }
decision = { rule = "capacity", per_day = 5 }
[[step]]
name = "model"
use = "sklearn.dummy.FarFromMean"
[[baseline]]
use = "fintech_dl.HistogramDetector"
title = "HBOS"
max_rows = 500
[[baseline]]
use = "fintech_dl.EmpiricalTailDetector"
title = "ECOD"
"""  # noqa: E501


class FarFromMean(OutlierMixin, BaseEstimator):
    """A detector whose reasons are known: how many standard deviations each number is off."""

    def fit(self, X, y=None):
        numbers = X.select_dtypes("number")
        self.mean_, self.std_ = numbers.mean(), numbers.std()
        self.offset_ = -np.quantile(self.anomaly_score(X), 0.9)
        return self

    def explain(self, X):
        return ((X[self.mean_.index] - self.mean_) / self.std_).abs()

    def anomaly_score(self, X):
        return self.explain(X).sum(axis=1).to_numpy()

    def score_samples(self, X):
        return -self.anomaly_score(X)

    def predict(self, X):
        return np.where(self.anomaly_score(X) > -self.offset_, -1, 1)


def lines():
    """Forty days, thirty lines a day; large amounts and night bookings are wrong."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": np.arange(N) + 100,
            "at": pd.date_range("2024-01-01", periods=N, freq="48min"),
            "amount": rng.normal(100, 10, N),
            "hour": rng.normal(13, 2, N),
            "account": rng.choice(["a", "b"], N),
            "flaw": "",
        }
    )
    for step, (kind, column, value) in enumerate((("large", "amount", 400), ("night", "hour", 3))):
        at = np.arange(20 + step, N, 60)
        frame.loc[at, [column, "flaw"]] = [value, kind]
    frame["wrong"] = (frame["flaw"] != "").astype(int)
    frame["flaw"] = frame["flaw"].replace("", "none")
    return frame


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.dummy.FarFromMean", FarFromMean, raising=False)
        patch.setattr("fintech_dl.evaluation.evidence.RESAMPLES", 50)
        patch.setattr("fintech_dl.fitting.to_files", lambda model: {})
        patch.setattr("fintech_dl.run_files.save", lambda *args, **records: None)
        yield patch


@pytest.fixture(scope="module")
def run_on(patched, tmp_path_factory):
    """Return a function that runs the card, changed as wanted, on a frame."""
    home = tmp_path_factory.mktemp("ledger")
    patched.setenv("FINTECH_DL_CARDS", str(home))

    def run(frame, changes=None, drop=(), decides=True):
        (home / "lines.toml").write_text(DATASET.format(file=home / "lines.csv"))
        (home / "ledger.toml").write_text(PIPELINE)
        text = (home / "lines.toml").read_text().splitlines()
        kept = [line for line in text if not line.startswith(drop)] if drop else text
        (home / "lines.toml").write_text("\n".join(kept))
        frame.drop(columns=[name for name in drop if name in frame]).to_csv(
            home / "lines.csv", index=False
        )
        card = pipeline_card(home / "ledger.toml", changes or {})
        folder = tmp_path_factory.mktemp("run") / "run"
        return run_pipeline(card if decides else replace(card, decision=None), folder)

    return run


@pytest.fixture(scope="module")
def known(run_on):
    return run_on(lines())


@pytest.fixture(scope="module")
def unknown(run_on):
    return run_on(lines(), drop=("wrong", "flaw", "labels"))


def test_alerts_are_the_budget_of_each_day_with_their_reasons(known):
    found = known.record["detection"]
    alerts = pd.read_csv(known.folder / "alerts.csv")
    assert found["alerts_raised"] == len(alerts) == 50
    assert found["rows"] == 300
    assert alerts["score"].is_monotonic_decreasing
    assert (pd.to_datetime(alerts["when"]).dt.date.value_counts() == 5).all()
    first = alerts.iloc[0]
    scores = pd.read_parquet(known.folder / "predictions.parquet")
    assert first["id"] == scores.loc[scores["score"].idxmax(), "id"]
    assert (first["y"], first["kind"], first["feature_1"]) == (1, "large", "amount")
    assert first["value_1"] == 400
    total = alerts[["contribution_1", "contribution_2"]].sum(axis=1)
    assert total.to_numpy() == pytest.approx(alerts["score"])
    assert (alerts["contribution_1"] >= alerts["contribution_2"]).all()
    shown = found["alerts"]
    assert [line["id"] for line in shown] == alerts["id"].head(20).tolist()
    assert shown[0]["reasons"][0]["feature"] == "amount"
    assert alerts.loc[alerts["y"] == 0, "kind"].isna().all()


def test_thresholds_tell_the_false_alarms_they_cost(known):
    scores = pd.read_parquet(known.folder / "predictions.parquet")
    alerts, own = known.record["detection"]["thresholds"]
    limit = -known.model[-1].offset_
    assert own["score"] == limit
    for part, flagged in ((own, scores["score"] > limit), (alerts, None)):
        assert 0 <= part["false_alarm_rate"] <= 1
        if flagged is not None:
            assert part["flagged"] == pytest.approx(flagged.mean())
            assert part["recall"] == pytest.approx(flagged[scores["y"] == 1].mean())
            assert part["false_alarm_rate"] == pytest.approx(flagged[scores["y"] == 0].mean())
    assert alerts["flagged"] == pytest.approx(50 / 300)


def test_recall_is_told_by_kind_beside_the_rivals(known):
    kinds = {line["kind"]: line for line in known.record["detection"]["kinds"]}
    assert kinds.keys() == {"large", "night"}
    assert (kinds["large"]["rows"], kinds["large"]["in_training"]) == (5, 15)
    assert kinds["large"]["recall"] == 1.0
    assert kinds["large"]["low"] < 1.0 == kinds["large"]["high"]
    names = {m["name"] for m in known.record["models"] if m["is_baseline"]}
    assert kinds["night"]["rivals"].keys() == names


@pytest.fixture(scope="module")
def moved(run_on):
    """The same, but towards the end amounts are larger, and errors of another kind."""
    frame = lines()
    late = frame["at"] >= "2024-02-06"
    frame.loc[late, "amount"] += 400
    frame.loc[late, "flaw"] = frame["flaw"].replace("large", "forged")
    return run_on(frame)


def test_a_new_kind_counts_none_in_training(moved):
    kinds = {line["kind"]: line for line in moved.record["detection"]["kinds"]}
    assert kinds["forged"]["in_training"] == 0
    assert kinds["large"]["in_training"] == 15


def test_scores_that_drift_are_told_day_by_day(known, moved):
    calm, found = (run.record["detection"]["drift"] for run in (known, moved))
    assert len(calm["periods"]) == 10
    assert sum(line["rows"] for line in calm["periods"]) == 300
    assert sum(line["alerts"] for line in calm["periods"]) == 50
    assert not calm["beyond_chance"]
    assert found["beyond_chance"]
    assert found["above"] > 3 * calm["above"]
    late = [line["period"] for line in found["periods"] if line["above"] > 0.3]
    assert late
    assert min(late) >= "2024-02-06"


def test_the_distribution_holds_every_row_once(known, unknown):
    for run, sides in (
        (known, ("training", "other", "positives")),
        (unknown, ("training", "test")),
    ):
        found = run.record["detection"]["distribution"]
        assert set(found) == {"log", "edges", *sides}
        assert np.diff(found["edges"]).min() > 0
        for side in sides:
            assert sum(found[side]) == pytest.approx(1)


def test_a_rival_on_fewer_rows_says_so(known):
    titles = [model["title"] for model in known.record["models"]]
    assert titles == ["FarFromMean", "HBOS, 500 training rows", "ECOD"]


def test_without_labels_a_detector_still_runs(unknown, known):
    record = unknown.record
    assert [m["title"] for m in record["models"]] == [m["title"] for m in known.record["models"]]
    assert not any("metrics" in m for m in record["models"])
    assert record["verdict"].keys() == {"text"}
    assert record["comparison"] == []
    shown = [line.strip() for line in results_table(record).splitlines()]
    assert shown == ["model", "FarFromMean", "HBOS, 500 training rows", "ECOD"]
    assert record["decision"]["alerts"] == 50
    assert "precision" not in record["decision"]
    assert "importance" not in record
    assert "positives" not in record["data"]
    assert all("positives_test" not in fold for fold in record["protocol"]["folds"])
    found = record["detection"]
    assert found["labelled"] is False
    assert found["kinds"] == []
    assert {one["name"] for one in found["shared"]} == {m["name"] for m in record["models"][1:]}
    assert all(0 < one["share"] <= 1 for one in found["shared"])
    scores, same = (pd.read_parquet(run.folder / "predictions.parquet") for run in (unknown, known))
    assert "y" not in scores
    assert scores["score"].tolist() == same["score"].tolist()
    alerts = pd.read_csv(unknown.folder / "alerts.csv")
    assert "y" not in alerts
    assert alerts["feature_1"].iloc[0] == "amount"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"step": [{"name": "model", "use": "sklearn.linear_model.LogisticRegression"}]},
            "no labels",
        ),
        ({"validation": {}}, r"holds no labels, which \[validation\] needs"),
    ],
)
def test_what_needs_labels_says_so(run_on, changes, told):
    with pytest.raises(DataError, match=told):
        run_on(lines(), changes, drop=("wrong", "flaw", "labels"))


def test_kinds_must_be_set_aside(run_on):
    with pytest.raises(CardError, match=r"kinds = 'flew' .*did you mean 'flaw'"):
        run_on(lines(), {"kinds": "flew"})


@pytest.mark.parametrize("rows", [1, 2.5, True, "all"])
def test_most_rows_of_a_rival_are_checked(run_on, rows):
    rival = {"use": "fintech_dl.HistogramDetector", "max_rows": rows}
    with pytest.raises(CardError, match=r"baseline 1: max_rows = .*allowed: a whole number of 2"):
        run_on(lines(), {"baseline": [rival]})


def test_without_a_decision_the_detector_decides(run_on):
    run = run_on(lines(), decides=False)
    found = run.record["detection"]
    scores = pd.read_parquet(run.folder / "predictions.parquet")["score"]
    assert found["alerts_raised"] == (scores > -run.model[-1].offset_).sum()
    assert 'id="detection"' in (run.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def by_account(run_on):
    """Two series, each with a threshold of its own, which raises the alerts."""
    ridge = {"use": "sklearn.linear_model.Ridge"}
    model = {"use": "fintech_dl.SeriesDetector", "series": "account", "window": 8}
    changes = {
        "step": [{"name": "model", "estimator": ridge, **model}],
        "baseline": [],
        "table.drop": ["id", "flaw", "hour"],
    }
    return run_on(lines(), changes, decides=False)


def test_each_series_is_told_by_its_own_threshold(by_account):
    found, offsets = by_account.record["detection"], by_account.model[-1].offset_
    scores = pd.read_parquet(by_account.folder / "predictions.parquet")
    scores["account"] = lines().set_index("id").loc[scores["id"], "account"].to_numpy()
    fitted = [own["name"] for own in by_account.model[-1].fitted_]
    assert {one["name"] for one in found["series"]} == set(fitted) == {"a", "b"}
    raised = 0
    for one in found["series"]:
        own = scores[scores["account"] == one["name"]]
        limit = -offsets[fitted.index(one["name"])]
        flagged = own["score"] > limit
        assert one["score"] == pytest.approx(limit)
        assert one["flagged"] == pytest.approx(flagged.mean())
        assert one["false_alarm_rate"] == pytest.approx(flagged[own["y"] == 0].mean())
        assert one["recall"] == pytest.approx(flagged[own["y"] == 1].mean())
        assert max(one["scores"]) == own["score"].max()
        assert sum(one["positive"]) == own["y"].sum()
        raised += int(flagged.sum())
    assert 0 < raised == found["alerts_raised"]
    alerts, own = found["thresholds"]
    assert own["score"] is None
    assert own["flagged"] == alerts["flagged"] == pytest.approx(raised / len(scores))


def test_series_of_the_table_are_drawn_where_they_are_long_enough():
    rng, names = np.random.default_rng(0), np.repeat(["x", "y", "z"], 100)
    when = np.tile(pd.date_range("2026-01-01", periods=100, freq="h").to_numpy(), 3)
    outcome = Outcome(rng.random(300) < 0.1, rng.random(300), when=when, who=names)
    flagged = outcome.score > np.where(names == "y", 0.5, 0.9)
    found = along_series(outcome, names, flagged, None, True)
    assert found[0]["name"] == "y"
    for one in found:
        own = names == one["name"]
        assert one["score"] == outcome.score[flagged].min()
        assert one["flagged"] == pytest.approx(flagged[own].mean())
        assert one["scores"] == pytest.approx(outcome.score[own])
        assert not one["own"]
    mixed = rng.permutation(300)
    shuffled = Outcome(outcome.y[mixed], outcome.score[mixed], when=when[mixed], who=names[mixed])
    assert along_series(shuffled, names[mixed], flagged[mixed], None, True) == found
    short = np.arange(300).astype(str)
    assert along_series(outcome, short, flagged, None, True) == []
    assert along_series(outcome, names, np.zeros(300, bool), None, True) == []


def test_the_report_draws_each_series_with_its_threshold(by_account, known):
    page = (by_account.folder / "report.html").read_text()
    for name in "ab":
        assert f"The scores of {name} along the test" in page
    assert "one per series" in page
    assert "a threshold of their own" in page
    assert known.record["detection"]["series"] == []
    assert "along the test" not in (known.folder / "report.html").read_text()
    hostile = json.loads(json.dumps(by_account.record))
    hostile["detection"]["series"][0]["name"] = "<script>alert(1)</script>"
    assert "<script" not in render(hostile)


def test_the_report_shows_alerts_kinds_and_drift(known, unknown):
    page = (known.folder / "report.html").read_text()
    for words in ("errors caught by kind", "The 20 highest alerts", "How the scores are spread"):
        assert words.lower() in page.lower()
    assert "amount = 400" in page
    assert "caught for so many alerts a day" in page
    plain = (unknown.folder / "report.html").read_text()
    assert "No label says which lines are errors" in plain
    assert "caught" not in plain.split('id="detection"')[1].split("</section>")[0]
    for run in (known, unknown):
        assert rebuild_report(run.folder)["before"] == "same"


@pytest.mark.fault(29)
def test_texts_of_strangers_are_escaped(known):
    record = json.loads(json.dumps(known.record))
    hostile = "<script>alert(1)</script>"
    alert = record["detection"]["alerts"][0]
    alert |= {"id": hostile, "who": hostile, "kind": hostile, "when": hostile}
    alert["reasons"] = [{"feature": hostile, "value": hostile, "contribution": 1.0}]
    record["detection"]["kinds"][0]["kind"] = hostile
    record["detection"]["thresholds"][0]["name"] = hostile
    assert "<script" not in render(record)


def test_reasons_are_told_of_what_the_last_step_sees():
    X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 9.0], "b": [1.0, 1.0, 0.0, 1.0]})
    scale = StandardScaler().set_output(transform="pandas")
    model = make_pipeline(scale, FarFromMean()).fit(X)
    told = contributions(model, X)
    assert told.to_numpy() == pytest.approx(model[-1].explain(scale.transform(X)).to_numpy())
    assert contributions(make_pipeline(IsolationForest(n_estimators=5)).fit(X), X) is None


def test_what_is_a_detector():
    assert is_detector(make_pipeline(StandardScaler(), IsolationForest()))
    assert not is_detector(make_pipeline(LogisticRegression()))
