"""The numbers of a model validation report, against direct computation."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fintech_dl import load_table
from fintech_dl.cards import Validation, pipeline_card
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.fidelity import reason_fidelity
from fintech_dl.evaluation.metrics import ks
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.splits import Fold, folds
from fintech_dl.evaluation.stability import csi, psi
from fintech_dl.evaluation.validation import validate
from fintech_dl.runs import run_pipeline
from fintech_dl.table import Table


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr("fintech_dl.evaluation.evidence.RESAMPLES", 50)


@pytest.fixture(scope="module")
def found(credit_run):
    return json.loads((credit_run.folder / "validation.json").read_text())["validation"]


@pytest.fixture(scope="module")
def tested(credit_run):
    return pd.read_parquet(credit_run.folder / "predictions.parquet")


@pytest.fixture(scope="module")
def table():
    return load_table(pipeline_card("credit", dataset="synthetic_credit_book_small"))


def test_ranking_and_cut_off(found, tested):
    own, rival = found["discrimination"]["models"]
    auc = roc_auc_score(tested["y"], tested["score"])
    assert own["roc_auc"]["value"] == pytest.approx(auc)
    assert own["gini"]["value"] == pytest.approx(2 * auc - 1)
    assert own["ks"]["value"] == pytest.approx(ks(tested["y"], tested["score"]).value)
    assert own["delong"][0]["value"] == pytest.approx(auc)
    assert own["delong"][0]["low"] < auc < own["delong"][0]["high"]
    assert own["delong_difference"] == []
    difference = rival["delong_difference"][0]["value"]
    assert difference == pytest.approx(auc - rival["roc_auc"]["value"])
    chosen = found["cutoff"]["chosen"][0]
    inside = tested["score"] < chosen["cutoff"]
    assert 0.79 < chosen["approval_rate"] <= 0.8
    assert chosen["approval_rate"] == pytest.approx(inside.mean())
    assert chosen["bad_rate_approved"] == pytest.approx(tested["y"][inside].mean())
    lost = 0.49 * (tested["y"] * tested["ead"])[inside].sum()
    assert chosen["loss"] == pytest.approx(lost)
    expected = 0.49 * (tested["score"] * tested["ead"])[inside].sum()
    assert chosen["expected_loss"] == pytest.approx(expected)
    swapped = {cell["cell"]: cell for cell in found["challenger"]["cells"]}
    assert found["challenger"]["name"] == "Logistic regression"
    assert sum(cell["rows"] for cell in swapped.values()) == len(tested)
    approved = swapped["in/in"]["rows"] + swapped["in/out"]["rows"]
    assert approved == inside.sum()


def test_calibration_and_grades(found, tested):
    whole = found["calibration"]["portfolio"][0]
    assert whole["observed"] == pytest.approx(tested["y"].mean())
    assert whole["mean_pd"] == pytest.approx(tested["score"].mean())
    brier = found["calibration"]["brier"]
    assert brier["brier"] == pytest.approx(((tested["score"] - tested["y"]) ** 2).mean())
    grades = found["calibration"]["grades"]
    assert len(grades) == 10
    assert sum(line["rows"] for line in grades) == len(tested)
    assert found["calibration"]["hosmer_lemeshow"]["df"] == 10


def test_groups_segments_and_vintages(found, tested):
    inside = tested["score"] < found["cutoff"]["chosen"][0]["cutoff"]
    for line in found["fairness"]:
        at = tested[line["sensitive_feature"]].astype(str) == line["group"]
        assert line["count"] == at.sum()
        assert line["selection_rate"] == pytest.approx(inside[at].mean())
        assert line["adverse_impact_ratio"] is not None or line["count"] < 30
    reference = {line["group"] for line in found["fairness"] if line["is_reference"]}
    assert reference == {"male", "36-50"}
    assert list(found["segments"]) == ["region", "home", "purpose", "amount"]
    quarters = [line["segment"] for line in found["segments"]["amount"]]
    assert len(quarters) == 5
    assert quarters[1].startswith("below ")
    months = tested["when"].dt.to_period("M").astype(str)
    assert {v["segment"]: v["rows"] for v in found["vintages"][1:]} == dict(months.value_counts())
    for vintage in found["vintages"][1:]:
        at = months == vintage["segment"]
        assert vintage["rate"] == pytest.approx(tested["y"][at].mean())
    assert [line["period"] for line in found["ranks"]] == sorted(months.unique())


def test_stability_and_triggers(found, tested, table, credit_run):
    fold = folds(table, pipeline_card("credit").split)[0]
    assert fold.test.tolist() == tested["row"].tolist()
    expected = csi(table.X.iloc[fold.train], table.X.iloc[fold.test])
    got = {line["feature"]: line["psi"] for line in found["stability"]["features"]}
    assert got == pytest.approx(dict(zip(expected["feature"], expected["psi"], strict=True)))
    learned = score_rows(credit_run.model, table.X.iloc[fold.train])
    score = psi(learned, tested["score"])
    assert found["stability"]["score"]["psi"] == pytest.approx(score.psi, rel=1e-3)
    assert found["stability"]["score"]["chance_95"] == pytest.approx(score.chance_95)
    month = tested["when"].dt.to_period("M").astype(str)
    first = found["stability"]["vintages"][0]
    at = month == first["vintage"]
    assert first["psi"] == pytest.approx(psi(learned, tested["score"][at]).psi, rel=1e-3)
    plan = {line["measure"]: line for line in found["triggers"]}
    gini = found["discrimination"]["models"][0]["gini"]
    assert plan["gini"]["watch"] == gini["low"]
    assert plan["gini"]["act"] < plan["gini"]["watch"] < plan["gini"]["normal"]
    assert (plan["score_psi"]["watch"], plan["score_psi"]["act"]) == (0.10, 0.25)
    assert plan["approval_rate"]["act"] >= 0.05


def test_what_the_model_itself_was_asked(found, tested, table, credit_run):
    lines = {(d["feature"], d["change"]): d for d in found["sensitivity"]}
    rows = table.X.iloc[tested["row"]]
    moved = score_rows(credit_run.model, rows.assign(income=rows["income"] * 1.1))
    assert lines["income", "+10%"]["auc"] == pytest.approx(roc_auc_score(tested["y"], moved))
    reasons = found["reasons"]
    assert reasons["complete"]
    assert reasons["completeness"] < 1e-3
    assert reasons["rows"] <= 100
    assert reasons["protected"] == []
    assert {one["feature"] for one in reasons["first"]} <= set(table.X)
    assert 0 < reasons["between_references"]["rank_biased"] <= 1
    assert reasons["between_halves"]["rank_biased"] > 0.5


def test_the_artefact_and_its_proof(found, credit_run):
    artefact = credit_run.folder / "artefact"
    assert found["parity"] == json.loads((artefact / "parity.json").read_text())
    assert found["artefact"] == json.loads((artefact / "MANIFEST.json").read_text())["files"]


def plain_case(weight=None, when=None, score=None, n=600):
    """Return what `validate` takes, of a linear model on a table made here."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"debt": rng.normal(size=n), "home": rng.choice(["own", "rent"], n)})
    y = pd.Series((X["debt"] + rng.normal(size=n) > 1).astype(int))
    aside = pd.DataFrame({"sex": np.where(np.arange(n) < n - 8, "f", "m")})
    weights = None if weight is None else pd.Series(np.full(n, weight))
    table = Table(X=X, y=y, aside=aside, weight=weights, when=when)
    model = with_preprocessing(LogisticRegression()).fit(X, y)
    parts = [Fold(f"fold {i + 1}", *at) for i, at in enumerate(_halves(n))]
    p = score_rows(model, X) if score is None else np.full(n, score)

    def outcome(at):
        w = None if weights is None else weights.iloc[at]
        times = None if when is None else when.iloc[at]
        return Outcome(y=y.iloc[at], score=p[at], weight=w, when=times)

    own = Scored(
        "model", "Linear", False, [outcome(f.test) for f in parts], outcome(parts[0].train)
    )
    return [own], model, table, parts, {}


def _halves(n):
    rows = np.arange(n)
    return [(rows[rows % 2 == i], rows[rows % 2 != i]) for i in (0, 1)]


def test_rows_without_times_folds_weights_or_rivals():
    scored, model, table, parts, record = plain_case()
    found = validate(Validation(protected=["sex"]), scored, model, table, parts, record)
    json.dumps(found, allow_nan=False)
    assert found["rows"] == 600  # both folds together
    assert found["vintages"] is found["ranks"] is found["challenger"] is None
    assert found["stability"]["vintages"] == []
    assert found["leakage"]["trained_before"] is None
    assert "gradients" in found["reasons"]["reason"]
    groups = {line["group"]: line for line in found["fairness"]}
    assert "fewer than 30" in groups["m"]["note"]
    assert groups["m"]["adverse_impact_ratio"] is None
    assert len(found["discrimination"]["models"][0]["delong"]) == 2
    bare = validate(Validation(), scored, model, table, parts, record)
    assert bare["fairness"] is None
    assert bare["segments"] == {}


def test_weights_count():
    plain = validate(Validation(), *plain_case())
    found = validate(Validation(), *plain_case(weight=3.0))
    assert found["calibration"]["hosmer_lemeshow"] is None
    assert found["discrimination"]["models"][0]["delong"] == []
    chosen = [one["cutoff"]["chosen"][0] for one in (plain, found)]
    assert chosen[0] == pytest.approx(chosen[1])


def test_nobody_can_be_declined():
    with pytest.raises(DataError, match=r"approval_rate = 0.8: .* all rows have the same score"):
        validate(Validation(), *plain_case(score=0.1))


def test_scores_that_are_no_probabilities():
    [own], *rest = plain_case()
    bare = Scored(own.name, own.title, False, own.outcomes, own.train, probabilities=False)
    with pytest.raises(UsageError, match="needs probabilities of default, which Linear"):
        validate(Validation(), [bare], *rest)


def test_a_card_that_does_not_fit_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("fintech_dl.runs.fit_and_score", None)  # would be an error of another kind
    changes = {"validation.protected": ["home"], "validation.reference": {}}
    card = pipeline_card("credit", changes, dataset="synthetic_credit_book_small")
    with pytest.raises(Exception, match="'home' is among the features") as told:
        run_pipeline(card, tmp_path / "run")
    assert told.type.__name__ == "CardError"
    assert not (tmp_path / "run").exists()


def test_reasons_need_declined_rows_and_a_network():
    _, model, table, *_ = plain_case()
    nobody = np.zeros(600, dtype=bool)
    told = {"reason": "0 of 600 rows are declined"}
    assert reason_fidelity(model, table.X, nobody) == told
    nobody[:3] = True
    assert "gradients" in reason_fidelity(model, table.X, nobody)["reason"]
