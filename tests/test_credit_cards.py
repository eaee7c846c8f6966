"""Credit cards: the blend, the search, a prior after class weights, and real accounts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fintech_dl import NeuralClassifier, load, load_table, run_pipeline
from fintech_dl.artefact import read_files, scorer
from fintech_dl.cards import names, pipeline_card
from fintech_dl.errors import CardError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.cuts import validation_cut
from fintech_dl.evaluation.earlier import earlier_folds
from fintech_dl.evaluation.splits import folds
from fintech_dl.fitting import fit
from fintech_dl.pipelines import build_pipeline, make
from fintech_dl.search import check_search

RIVAL = {"use": "sklearn.linear_model.LogisticRegression", "title": "Logistic regression"}
PLAIN = {"baseline": [RIVAL], "metrics": ["roc_auc", "log_loss"]}
CREDIT = [name for name in names("pipelines") if name.startswith("credit")]


@pytest.fixture(autouse=True)
def _few_resamples(few_draws):
    with few_draws(100):
        yield


def quick(name, changes=None, dataset=None):
    """Return a card on small data with one rival, and no reports beside the first."""
    data = dataset or pipeline_card(name).test.dataset
    card = pipeline_card(name, {**PLAIN, **(changes or {})}, dataset=data)
    return replace(card, validation=None, reasons=None)


@pytest.mark.usefixtures("unreported")
def test_a_blend_is_saved_loaded_and_scored_to_the_bit(tmp_path):
    card = quick("credit-blend")
    fewer = {"model__network__epochs": 1, "model__boosting__n_estimators": 20, "model__cv": 2}
    run = run_pipeline(card, tmp_path / "run", set_params=fewer)
    told = pd.read_parquet(run.folder / "predictions.parquet")
    rows = load_table(card).rows(told["row"]).X
    folder = run.folder / "artefact"
    loaded = load(folder)
    for again in (score_rows(loaded, rows), scorer(read_files(folder))(rows)):
        assert again.tobytes() == told["score"].to_numpy().tobytes()
    stack = loaded.estimator.estimator[-1]
    parts = [type(part).__name__ for part in stack.estimators_]
    assert parts == ["NeuralClassifier", "LGBMClassifier"]
    assert stack.final_estimator_[-1].coef_.shape == (1, 2)  # one weight for each part
    alone = score_rows(loaded, rows.iloc[7:8])  # scikit-learn promises no more than nearly
    assert alone == pytest.approx(told["score"].to_numpy()[7:8], rel=1e-12)


def test_weights_of_a_blend_come_from_rows_that_its_parts_have_not_seen():
    """A part that knows its training rows by heart, and nothing else, gets no weight."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"noise": rng.normal(size=600), "signal": rng.normal(size=600)})
    y = (X["signal"] + rng.normal(size=600) > 0).astype(int)
    by_heart = {"use": "sklearn.tree.DecisionTreeClassifier"}
    fair = {"use": "fintech_dl.NeuralClassifier", "epochs": 20, "random_state": 0}
    step = {**pipeline_card("credit-blend").step[-1], "estimators": [["a", by_heart], ["b", fair]]}
    spec = {key: value for key, value in step.items() if key != "name"}
    found = make(spec, "here").fit(X, y)
    seen = [part.predict_proba(X)[:, 1] for part in found.estimators_]
    assert found.estimators_[0].score(X, y) == 1
    move = np.quantile(seen[1], [0.25, 0.75])  # of the network; the other one says no or yes
    told = found.final_estimator_.predict_proba([[0, move[0]], [0, move[1]], [1, move[0]]])[:, 1]
    assert told[1] - told[0] > 2 * abs(told[2] - told[0])


@pytest.mark.parametrize("library", ["xgboost.XGBClassifier", "catboost.CatBoostClassifier"])
def test_models_that_an_artefact_does_not_trust_are_baselines_only(library, tmp_path):
    root = library.partition(".")[0]
    pytest.importorskip(root)
    inside = pipeline_card("credit-blend").step[-1]
    stacked = {**inside, "estimators": [*inside["estimators"], ["third", {"use": library}]]}
    for step in ({"name": "model", "use": library}, stacked):
        with pytest.raises(CardError, match=rf"model\S* is of {root}; .*\[\[baseline\]\] only"):
            run_pipeline(quick("credit", {"step": [step]}), tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in CREDIT if pipeline_card(name).search])
def test_the_search_of_a_credit_card_has_rows_to_search_on(name):
    kind = {} if pipeline_card(name).split.kind == "holdout" else {"split.kind": "holdout"}
    card = quick(name, kind)
    search = check_search(card, build_pipeline(card), {})
    table = load_table(card)
    parts = folds(table, card.split)
    found = earlier_folds(table, card.split, parts, search.folds, wait=search.wait)
    assert len(found) == search.folds
    for fold in found:
        assert not np.intersect1d(parts[0].test, [*fold.train, *fold.test]).size
        assert table.y.iloc[fold.train].sum() > 5 < table.y.iloc[fold.test].sum()


@pytest.mark.usefixtures("unreported")
def test_credit_is_searched(tmp_path):
    card = quick("credit", {"search.n_iter": 2, "search.space.model__network__k": [2, 4]})
    run = run_pipeline(card, tmp_path / "run", search=True, set_params={"model__epochs": 1})
    found = run.record["search"]
    assert (found["tried"], found["metric"]) == (2, "log_loss")  # beside the card as it is
    assert not any(trial["reason"] for trial in found["log"])
    settings = {tuple(sorted(map(str, trial["params"].items()))) for trial in found["log"]}
    assert len(settings) == 3
    best = run.model.estimator.estimator[-1]
    assert all(
        str(best.get_params()[key.removeprefix("model__")]) == str(value)
        for key, value in found["best"]["params"].items()
    )


def test_a_prior_of_training_sets_right_what_class_weights_tilt():
    found = {}
    for prior in ({}, {"prior": "training"}):
        card = quick("credit", {"calibration": {"method": "temperature", **prior}})
        table = load_table(card)
        (fold,) = folds(table, card.split)
        model = build_pipeline(card).set_params(
            model__epochs=8, model__class_weight="balanced", model__random_state=0
        )
        fitted = fit(model, card, table, fold.train, own=True)
        _, late = validation_cut(table, fold.train, 0.2, purge=False)
        for name, rows in (("latest", late), ("test", fold.test)):
            p = fitted.predict_proba(table.X.iloc[rows])[:, 1]
            found[name, *prior] = p.mean()
    rate = table.y.iloc[fold.train].mean()
    assert found["test",] > 2 * rate
    assert found["latest", "prior"] == pytest.approx(rate)
    assert found["test", "prior"] == pytest.approx(rate, rel=0.35)


def test_apart_is_of_a_holdout_with_a_length():
    for wrong in ({"split.kind": "prequential"}, {"split.test": ""}, {"split.apart": "soon"}):
        with pytest.raises(CardError, match=r"split\.apart"):
            pipeline_card("credit-lending-club", wrong)


@pytest.mark.needs_data("taiwan_default.parquet")
@pytest.mark.usefixtures("unreported")
def test_real_accounts_of_taiwan_end_to_end(tmp_path):
    few = {"split.kind": "holdout", "split.test_fraction": 0.1}
    card = quick("credit-taiwan", few, dataset="taiwan_default")
    tiny = {"model__epochs": 2, "model__network__units": [32], "model__network__k": 2}
    run = run_pipeline(card, tmp_path / "run", set_params=tiny)
    own = run.record["models"][0]["metrics"]
    assert own["roc_auc"]["value"] > 0.7
    told = pd.read_parquet(run.folder / "predictions.parquet")
    assert len(told) == 3_000
    model = load(run.folder / "artefact")
    inner = model.estimator.estimator[-1]
    assert isinstance(inner, NeuralClassifier)
    seen = set(inner.feature_names_in_)
    assert not seen & {"sex", "age", "marriage", "account_id", "defaulted"}
    assert {"limit", "status_1", "utilisation_1", "worst_status"} <= seen
    rows = load_table(card).rows(told["row"].iloc[:500]).X
    again = scorer(read_files(run.folder / "artefact"))(rows)
    assert again.tobytes() == told["score"].to_numpy()[:500].tobytes()
