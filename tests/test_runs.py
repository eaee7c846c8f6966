"""Runs: every shipped card end to end, what is in the folder, and what reaches the model."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import roc_auc_score

from fintech_dl import MLP, load, load_table, run_pipeline, runs
from fintech_dl.artefact import read_files, read_record, scorer
from fintech_dl.cards import names, pipeline_card
from fintech_dl.data.frames import read_dataset
from fintech_dl.errors import ArtefactError, CardError, DataError, OutputError, UsageError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.cuts import validation_cut
from fintech_dl.evaluation.splits import folds

SMALL = "synthetic_card_transactions_small"
ONE_EPOCH = {"model__epochs": 1}
VARYING = ("created", "commands", "fit_seconds", "rows_per_second", "peak_memory_mb")


class Spy(ClassifierMixin, BaseEstimator):
    """A classifier that remembers what it is shown."""

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        self.classes_, self.seen_ = np.unique(y), [X]
        self.y_, self.weight_ = y, sample_weight
        self.X_val_, self.y_val_, self.weight_val_ = X_val, y_val, sample_weight_val
        return self

    def predict_proba(self, X):
        self.seen_.append(X)
        p = 1 / (1 + np.exp(-np.linspace(-1, 1, len(X))))
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture
def few_resamples(few_draws):
    """Take intervals and importances from few draws: here they are not what is tested."""
    with few_draws(100):
        yield


@pytest.fixture
def spy(monkeypatch, few_resamples):
    """Let cards name the spy, and give its step."""
    monkeypatch.setattr("sklearn.dummy.Spy", Spy, raising=False)
    monkeypatch.setattr("fintech_dl.fitting.to_files", lambda model: {})
    for unused in ("run_files.save", "run_files.write_report", "runs.write_validated"):
        monkeypatch.setattr(f"fintech_dl.{unused}", lambda *args, **records: None)
    return {"step": [{"name": "model", "use": "sklearn.dummy.Spy"}], "baseline": []}


def as_tested(name, changes=None):
    """Return a shipped card with what its [test] table says of data, table and split."""
    test = pipeline_card(name).test
    parts = {"split": test.split, "table": test.table}
    own = {f"{part}.{key}": value for part, keys in parts.items() for key, value in keys.items()}
    return pipeline_card(name, {**own, **(changes or {})}, dataset=test.dataset)


@pytest.mark.parametrize("name", names("pipelines"))
def test_shipped_cards_run_end_to_end(name, tmp_path, few_resamples):
    card = as_tested(name)
    quick = {"model__epochs": card.test.epochs} if card.test.epochs else {}
    if "n_members" in card.step[-1]:
        quick["model__n_members"] = 2
    run = run_pipeline(card, tmp_path / "run", set_params=quick)
    models = {model["title"]: model for model in run.record["models"]}
    assert len(models) == 1 + len(card.baseline)
    own = run.record["models"][0]["metrics"]
    assert set(own) == set(card.metrics)
    if card.forecast is None:
        assert own["roc_auc"]["low"] > 0.5
    else:
        assert run.record["forecast"]["kind"] == card.forecast.kind
        assert "left_out" in run.record["data"]
    for prior in (m for m in models.values() if m["title"] == "The prior alone"):
        assert (
            own["average_precision"]["value"] > 2 * prior["metrics"]["average_precision"]["value"]
        )
        if name == "fraud":
            assert own["average_precision"]["low"] > prior["metrics"]["average_precision"]["high"]
    assert run.record["verdict"]["text"]
    assert (run.folder / "report.html").stat().st_size > 50_000
    rows = load_table(card).rows(pd.read_parquet(run.folder / "predictions.parquet")["row"])
    found = pd.read_parquet(run.folder / "predictions.parquet")["score"]
    again = scorer(read_files(run.folder / "artefact"))(rows.X)
    assert again.tobytes() == found.to_numpy().tobytes()  # what is shipped is what was evaluated
    assert np.allclose(score_rows(load(run.folder / "artefact"), rows.X), again, atol=1e-5)
    if card.split.apart:
        check_told_apart(run, card)


def check_told_apart(run, card):
    """Rows after the test are scored by all models, and in both reports; in no other number."""
    table = load_table(card)
    (fold,) = folds(table, card.split)
    told = run.record["protocol"]["folds"][0]["apart"]
    assert told["rows"] == len(fold.apart) > 100
    assert told["positives"] == table.y.iloc[fold.apart].sum()
    assert pd.Timestamp(told["from"]) <= table.when.iloc[fold.apart].min()
    p = scorer(read_files(run.folder / "artefact"))(table.X.iloc[fold.apart])
    own, *rivals = (model["apart"] for model in run.record["models"])
    assert own["roc_auc"]["value"] == pytest.approx(roc_auc_score(table.y.iloc[fold.apart], p))
    assert own["roc_auc"]["low"] < own["roc_auc"]["value"] < own["roc_auc"]["high"]
    assert all(own.keys() == rival.keys() == set(card.metrics) for rival in rivals)
    tested = pd.read_parquet(run.folder / "predictions.parquet")["row"]
    assert tested.tolist() == fold.test.tolist()
    page = (run.folder / "report.html").read_text()
    assert f"After the test came {told['rows']:,} loans, from 2018-10-01 to 2019-01-01" in page
    found = json.loads((run.folder / "validation.json").read_text())["validation"]["apart"]
    assert [line["segment"] for line in found] == ["(all)", "2018-10", "2018-11", "2018-12"]
    assert found[0]["rows"] == told["rows"] == sum(line["rows"] for line in found[1:])
    assert "Vintages after the test, told apart" in (run.folder / "validation.html").read_text()


def test_the_artefact_keeps_what_drift_is_told_from(fraud_run):
    kept = read_record(fraud_run.folder / "artefact", "reference")
    fold = fraud_run.record["protocol"]["folds"][0]
    assert (kept["rows"], kept["score"]["rows"]) == (fold["rows_train"], fold["rows_test"])
    assert [one["name"] for one in kept["features"]] == fraud_run.record["features"]
    assert all(sum(one["counts"]) + one["missing"] == kept["rows"] for one in kept["features"])
    assert kept["test"]["positives"] == fold["positives_test"]
    assert 0 < kept["alert_rate"] < 1


def test_what_is_in_the_folder(fraud_run, quick_fraud):
    names = ["artefact", "metrics.json", "predictions.parquet", "report.html"]
    assert sorted(path.name for path in fraud_run.folder.iterdir()) == names
    assert json.loads((fraud_run.folder / "metrics.json").read_text()) == fraud_run.record
    kept = json.loads((fraud_run.folder / "artefact" / "cards.json").read_text())
    assert kept["pipeline"]["name"] == "fraud"
    assert kept["pipeline"]["card"]["dataset"] == kept["dataset"]["name"] == SMALL
    table, card = load_table(quick_fraud()), quick_fraud()
    fold = folds(table, card.split)[0]
    found = pd.read_parquet(fraud_run.folder / "predictions.parquet")
    assert found["row"].tolist() == fold.test.tolist()
    rows = table.rows(fold.test)
    pd.testing.assert_series_equal(found["y"], rows.y, check_names=False)
    pd.testing.assert_series_equal(found["when"], rows.when, check_names=False)
    pd.testing.assert_series_equal(found["who"], rows.who, check_names=False)
    pd.testing.assert_frame_equal(found[list(rows.aside)], rows.aside)
    assert np.allclose(found["score"], score_rows(fraud_run.model, rows.X), atol=1e-6)


def leaves(value):
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)] if type(value) is list else [value]


def test_the_record_is_plain_and_finite(fraud_run):
    found = leaves(fraud_run.record)
    assert all(leaf is None or isinstance(leaf, str | int | float) for leaf in found)
    assert all(math.isfinite(leaf) for leaf in found if isinstance(leaf, float))
    assert len(found) > 1000
    record = fraud_run.record
    assert record["seed"] == 0
    assert record["data"]["rows_read"] == record["data"]["rows_used"] > 20_000
    assert record["protocol"]["folds"][0]["train_from"] == "2018-07-25 00:00:00"
    assert record["training"]["epochs"] == 1
    assert record["decision"]["unit"] == "EUR"
    assert record["environment"]["scikit-learn"]
    assert {one["feature"] for one in record["importance"]} == set(record["features"])


def settled(value):
    """Return a record without what differs from run to run: moments, durations, folders."""
    if isinstance(value, dict):
        return {key: settled(item) for key, item in value.items() if key not in VARYING}
    return [settled(item) for item in value] if isinstance(value, list) else value


def values_at(value, path=""):
    """Yield each plain value of a record with where it stands, so that a difference is told."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        if isinstance(item, dict | list) and item:
            yield from values_at(item, f"{path}/{key}")
        else:
            yield f"{path}/{key}", item


@pytest.mark.usefixtures("unreported")
def test_the_same_seed_gives_the_same_record(fraud_run, quick_fraud, tmp_path):
    again = run_pipeline(quick_fraud(), tmp_path / "again", set_params=ONE_EPOCH)
    found, before = (dict(values_at(settled(run.record))) for run in (again, fraud_run))
    assert {k: (v, before.get(k)) for k, v in found.items() if v != before.get(k)} == {}
    assert found.keys() == before.keys()
    scores = [
        pd.read_parquet(run.folder / "predictions.parquet")["score"].to_numpy().tobytes()
        for run in (again, fraud_run)
    ]
    assert scores[0] == scores[1]
    other = run_pipeline(quick_fraud(), tmp_path / "other", set_params=ONE_EPOCH, seed=1)
    assert settled(other.record)["models"] != settled(fraud_run.record)["models"]


@pytest.mark.usefixtures("unreported")
def test_a_seed_that_the_card_names_stays(quick_fraud, tmp_path):
    own = {**ONE_EPOCH, "model__random_state": 5}
    run = run_pipeline(quick_fraud(), tmp_path / "run", set_params=own, seed=1)
    assert run.model.steps[-1][1].random_state == 5


def test_the_default_folder_is_new_each_time(quick_fraud, spy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = quick_fraud(spy)
    one, two = (run_pipeline(card).folder for _ in range(2))
    assert one != two
    assert one.parent == two.parent == Path("reports/runs")
    assert one.name.startswith("fraud-20")
    assert sorted(p.name for p in one.parent.iterdir()) == sorted([one.name, two.name])


def test_parameters_from_outside(quick_fraud, spy, tmp_path):
    network = {"use": "fintech_dl.MLP", "units": [3]}
    wanted = {**ONE_EPOCH, "model__network": network, "model__network__activation": "tanh"}
    run = run_pipeline(quick_fraud(), tmp_path / "run", set_params=wanted)
    found = run.model.steps[-1][1].network
    assert isinstance(found, MLP)
    assert (found.units, found.activation) == ([3], "tanh")
    assert "units=[3]" in run.record["training"]["settings"]["network"]
    with pytest.raises(UsageError, match=r"has the address 'model__depth'; .*epochs"):
        run_pipeline(quick_fraud(), tmp_path / "new", set_params={"model__depth": 3})
    with pytest.raises(UsageError, match="did you mean 'model__epochs'"):
        run_pipeline(quick_fraud(), tmp_path / "new", set_params={"model__epochs__rate": 3})
    unit = {"model__network": {"use": "fintech_dl.MLP", "unit": 3}}
    with pytest.raises(CardError, match=r"model__network: fintech_dl\.MLP has no parameter 'unit'"):
        run_pipeline(quick_fraud(), tmp_path / "new", set_params=unit)
    assert not (tmp_path / "new").exists()


def test_progress_is_told_in_order(quick_fraud, spy, tmp_path):
    told = []
    run_pipeline(quick_fraud(spy), tmp_path / "run", progress=lambda *words: told.append(words))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert told[0][0] == f"reading {SMALL}"
    assert "fitting Spy" in [text for text, _ in told]


# ---- what reaches the model ------------------------------------------------------------------


def what_it_saw(model):
    """Return what a run's spy was shown, also behind a calibration."""
    while not hasattr(model, "steps"):
        model = model.estimator
    return model.steps[-1][1].seen_


@pytest.mark.parametrize("name", names("pipelines"))
def test_nothing_that_is_set_aside_reaches_the_model(name, spy, tmp_path, monkeypatch):
    from fintech_dl import pipelines

    card = replace(as_tested(name, spy), reasons=None, points=None)  # of a spy there are none
    table = load_table(card)
    offered = {"amount"}  # a feature and the price of a miss
    assert set(table.X) & set(table.aside) <= offered
    run = run_pipeline(card, tmp_path / "run")
    shown = what_it_saw(run.model)
    assert len(shown) > 3
    for X in shown:
        assert list(X.columns) == list(table.X.columns) == run.record["features"]

    def scrambled(spec, frame, **options):
        made = pipelines.make_table(spec, frame, **options)
        random = np.random.default_rng(0)
        for column in set(made.aside) - {card.split.column}:
            made.aside[column] = random.permutation(made.aside[column].to_numpy())
        return made

    monkeypatch.setattr("fintech_dl.runs.make_table", scrambled)
    again = what_it_saw(run_pipeline(card, tmp_path / "again").model)
    assert all(one.equals(two) for one, two in zip(shown, again, strict=True))


@pytest.mark.parametrize("scaled", [True, False])
def test_validation_rows_and_weights_reach_the_model_through_the_steps(scaled, spy, tmp_path):
    scale = {"name": "scale", "use": "sklearn.preprocessing.StandardScaler"}
    own = {**spy, "split.validation_fraction": 0.25, "metrics": ["average_precision"]}
    own["step"] = [scale, *spy["step"]] if scaled else spy["step"]
    card = as_tested("fraud-ulb", own)
    run = run_pipeline(card, tmp_path / "run")
    table = load_table(card)
    fit, held = validation_cut(table, folds(table, card.split)[0].train, 0.25, purge=False)
    assert min(table.when.iloc[held]) >= max(table.when.iloc[fit])
    X, X_val = table.X.iloc[fit], table.X.iloc[held]
    if scaled:
        scaler = run.model.steps[0][1]
        np.testing.assert_allclose(scaler.mean_, X.mean())
        X, X_val = scaler.transform(X), scaler.transform(X_val)
    model = run.model.steps[-1][1]
    np.testing.assert_array_equal(model.seen_[0], X)
    np.testing.assert_array_equal(model.X_val_, X_val)
    assert model.y_.tolist() == table.y.iloc[fit].tolist()
    assert model.y_val_.tolist() == table.y.iloc[held].tolist()
    assert model.weight_.tolist() == table.weight.iloc[fit].tolist()
    assert model.weight_val_.tolist() == table.weight.iloc[held].tolist()


@pytest.mark.usefixtures("unreported")
def test_early_stopping_in_a_card(quick_fraud, tmp_path):
    scale = {"name": "scale", "use": "sklearn.preprocessing.StandardScaler"}
    network = {"use": "fintech_dl.MLP", "units": [8]}
    model = {"name": "model", "use": "fintech_dl.NeuralClassifier", "network": network}
    card = quick_fraud({"step": [scale, model], "split.validation_fraction": 0.2})
    wanted = {"model__epochs": 40, "model__patience": 1, "model__learning_rate": 0.05}
    run = run_pipeline(card, tmp_path / "run", set_params=wanted)
    training = run.record["training"]
    assert training["best_epoch"] < training["epochs"] < 40
    assert len(training["history"]["validation_loss"]) == training["epochs"]
    rows = load_table(card).X.iloc[:50]
    back = load(run.folder / "artefact")
    assert score_rows(back, rows).tobytes() == score_rows(run.model, rows).tobytes()


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic", "beta"])
@pytest.mark.usefixtures("unreported")
def test_calibration_in_a_card(quick_fraud, tmp_path, few_resamples, method):
    wanted = {"calibration": {"method": method, "fraction": 0.3}}
    if method != "temperature":
        scale = {"name": "scale", "use": "sklearn.preprocessing.StandardScaler"}
        model = {"name": "model", "use": "sklearn.linear_model.LogisticRegression"}
        wanted["step"] = [scale, model]
    card = quick_fraud(wanted)
    own = ONE_EPOCH if method == "temperature" else {}
    run = run_pipeline(card, tmp_path / "run", set_params=own)
    assert isinstance(run.model, CalibratedClassifierCV)
    assert ("epochs" in run.record["training"]) == (method == "temperature")
    table = load_table(card)
    _, late = validation_cut(table, folds(table, card.split)[0].train, 0.3, purge=False)
    inner = run.model.estimator.estimator
    plain = inner.predict_proba(table.X.iloc[late])[:, 1]
    found = run.model.predict_proba(table.X.iloc[late])[:, 1]
    assert (np.diff(found[np.argsort(plain, kind="stable")]) >= 0).all()  # the order stays
    y = table.y.iloc[late].to_numpy()
    assert abs(found.mean() - y.mean()) <= abs(plain.mean() - y.mean()) + 1e-9
    assert found.tolist() != plain.tolist()
    rows = table.X.iloc[folds(table, card.split)[0].test]
    if method == "temperature":  # scikit-learn's own models do not promise this
        alone = [score_rows(run.model, rows.iloc[i : i + 1])[0] for i in range(0, 60, 7)]
        assert alone == score_rows(run.model, rows)[:60:7].tolist()
    back = load(run.folder / "artefact")
    assert score_rows(back, rows).tobytes() == score_rows(run.model, rows).tobytes()


def test_a_prior_in_a_card_is_the_mean_of_the_latest_training_rows(quick_fraud, tmp_path):
    scale = {"name": "scale", "use": "sklearn.preprocessing.StandardScaler"}
    model = {"name": "model", "use": "sklearn.linear_model.LogisticRegression"}
    wanted = {"calibration": {"method": "beta", "prior": 0.3}, "step": [scale, model]}
    card = quick_fraud({**wanted, "metrics": ["gini", "ks", "average_precision"]})
    run = run_pipeline(card, tmp_path / "run")
    table = load_table(card)
    _, late = validation_cut(table, folds(table, card.split)[0].train, 0.2, purge=False)
    assert run.model.predict_proba(table.X.iloc[late])[:, 1].mean() == pytest.approx(0.3)
    found = run.record["models"][0]["metrics"]
    assert found["gini"]["low"] < found["gini"]["value"] < found["gini"]["high"]
    assert 0 < found["ks"]["low"] < found["ks"]["high"] < 1
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Gini coefficient" in report
    assert "Kolmogorov-Smirnov distance" in report


def test_calibration_rows_of_one_class_are_refused(quick_fraud, tmp_path):
    model = {"name": "model", "use": "sklearn.dummy.DummyClassifier"}
    wanted = {"calibration": {"method": "beta", "fraction": 1e-5}, "step": [model]}
    with pytest.raises(DataError, match=r"0 positives and \d+ negatives .*two of each"):
        run_pipeline(quick_fraud(wanted), tmp_path / "run")


def test_calibration_respects_weights(spy, tmp_path, monkeypatch):
    asked = {}

    def fit(self, X, y, sample_weight=None):
        asked["weight"], asked["rows"] = sample_weight, len(X)
        return self.estimator.estimator

    monkeypatch.setattr(CalibratedClassifierCV, "fit", fit)
    calibrated = {**spy, "calibration": {"method": "sigmoid"}, "metrics": ["average_precision"]}
    card = as_tested("fraud-ulb", calibrated)
    run_pipeline(card, tmp_path / "run")
    table = load_table(card)
    _, late = validation_cut(table, folds(table, card.split)[0].train, 0.2, purge=False)
    assert asked["rows"] == len(late)
    assert asked["weight"].tolist() == table.weight.iloc[late].tolist()


# ---- what goes wrong -------------------------------------------------------------------------


def test_a_rival_that_is_not_installed_is_named_and_left_out(
    quick_fraud, spy, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    prior = {"use": "sklearn.dummy.DummyClassifier"}
    card = quick_fraud({**spy, "baseline": [{"use": "lightgbm.LGBMClassifier"}, prior]})
    own, absent, there = run_pipeline(card, tmp_path / "run").record["models"]
    assert (own["ran"], absent["ran"], there["ran"]) == (True, False, True)
    assert absent["title"] == "LGBMClassifier"
    assert 'pip install "fintech-dl[baselines]"' in absent["reason"]


def test_two_models_of_one_name_are_refused(quick_fraud, tmp_path):
    twice = {"use": "sklearn.dummy.DummyClassifier"}
    with pytest.raises(CardError, match="two models are called 'DummyClassifier'; give each"):
        run_pipeline(quick_fraud({"baseline": [twice, twice]}), tmp_path / "run")
    own = {**twice, "name": "model"}
    with pytest.raises(CardError, match="two models are called 'model'"):
        run_pipeline(quick_fraud({"baseline": [own]}), tmp_path / "run")


def test_a_model_that_cannot_be_saved_is_refused_before_its_rivals_are_fitted(
    quick_fraud, tmp_path
):
    neighbours = {"use": "sklearn.neighbors.KNeighborsClassifier", "algorithm": "kd_tree"}
    card = quick_fraud({"step": [{"name": "model", **neighbours}]})
    told = []
    with pytest.raises(ArtefactError, match="KDTree"):
        run_pipeline(card, tmp_path / "run", progress=lambda text, share: told.append(text))
    assert told[-1] == "fitting KNeighborsClassifier"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", ["save", "write_quarantine", "write_report"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_run_that_stops_while_writing_leaves_nothing(
    stage, fault, quick_fraud, spy, tmp_path, monkeypatch
):
    def stop(*args, **kwargs):
        assert {path.name[:5] for path in tmp_path.iterdir()} == {".run."}
        raise fault

    monkeypatch.setattr(f"fintech_dl.run_files.{stage}", stop)
    with pytest.raises((KeyboardInterrupt, OutputError)) as told:
        run_pipeline(quick_fraud(spy), tmp_path / "run")
    assert not list(tmp_path.iterdir())
    if isinstance(told.value, OutputError):
        assert "run: cannot be written (No space left on device); choose" in str(told.value)


def test_rows_that_break_the_contract_are_written_beside_the_run(
    quick_fraud, spy, tmp_path, monkeypatch
):
    def broken(card, as_of=None):
        return read_dataset(card, as_of="2018-08-23")

    monkeypatch.setattr("fintech_dl.runs.read_dataset", broken)
    run = run_pipeline(quick_fraud(spy), tmp_path / "run")
    found = pd.read_csv(run.folder / "quarantine.csv")
    assert set(found["reason"]) == {"future_time:time"}
    facts = run.record["data"]
    assert facts["rows_quarantined"] == len(found) > 0
    assert facts["rows_used"] + facts["rows_quarantined"] == facts["rows_read"]


def test_columns_set_aside_may_have_the_names_of_predictions(
    quick_fraud, spy, tmp_path, monkeypatch
):
    from fintech_dl import pipelines

    def renamed(spec, frame, **options):
        made = pipelines.make_table(spec, frame, **options)
        made.aside["score"] = made.aside["row"] = np.arange(len(made))
        return made

    monkeypatch.setattr("fintech_dl.runs.make_table", renamed)
    run = run_pipeline(quick_fraud(spy), tmp_path / "run")
    found = pd.read_parquet(run.folder / "predictions.parquet")
    assert found["row_aside"].tolist() == found["score_aside"].tolist() == found["row"].tolist()


def test_a_label_of_more_than_two_values_is_refused_before_anything_is_fitted(
    quick_fraud, spy, tmp_path, monkeypatch
):
    def three(*args, **settings):
        table = make_table(*args, **settings)
        return replace(table, y=table.y.where(table.y.index > 5, 2))

    make_table = runs.make_table
    monkeypatch.setattr("fintech_dl.runs.make_table", three)
    monkeypatch.setattr(Spy, "fit", None)
    with pytest.raises(DataError, match=r"the label holds 2, 1, 0; allowed: 0 and 1.*Choose what"):
        run_pipeline(quick_fraud(spy), tmp_path / "run")
