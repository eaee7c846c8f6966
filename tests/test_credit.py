"""Reasons and points of a card: in the run, in its artefact, from the command line."""

import json
import shutil
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fintech_dl import MLP, NeuralClassifier, Scorecard, load, load_frame, load_table, score
from fintech_dl.cards import Decision, Reasons, pipeline_card
from fintech_dl.credit import check_told, tell_lender
from fintech_dl.errors import ArtefactError, CardError, DataError
from fintech_dl.estimators.point_scores import score_points
from fintech_dl.evaluation import credit_tables
from fintech_dl.evaluation.attribution import attributions
from fintech_dl.evaluation.declines import decline_table, reference_row, restored, settle
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.reasons import reason_codes
from fintech_dl.evaluation.report import render
from fintech_dl.runs import run_pipeline
from fintech_dl.scoring.reading import read_reasons
from fintech_dl.sealed import read_files, write_files
from fintech_dl.table import Table

SMALL = "synthetic_credit_book_small"
NETWORK = {"use": "fintech_dl.NeuralClassifier", "name": "model"}
LINEAR = {"use": "sklearn.linear_model.LogisticRegression", "name": "model"}


def read_csv(path):
    return pd.read_csv(path, keep_default_na=False)


@pytest.fixture(scope="module")
def points_run(tmp_path_factory):
    rival = {"use": "sklearn.linear_model.LogisticRegression", "title": "Logistic regression"}
    quick = {"baseline": [rival], "metrics": ["roc_auc", "brier"]}
    card = pipeline_card("credit-scorecard", quick, dataset=SMALL)
    folder = tmp_path_factory.mktemp("runs") / "points"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fintech_dl.evaluation.evidence.RESAMPLES", 100)
        return run_pipeline(card, folder, set_params={"model__epochs": 4})


@pytest.fixture(scope="module")
def declines(credit_run):
    return read_csv(credit_run.folder / "reasons.csv")


@pytest.fixture(scope="module")
def table():
    return load_table(pipeline_card("credit", dataset=SMALL))


@pytest.fixture(scope="module")
def tested(credit_run):
    return pd.read_parquet(credit_run.folder / "predictions.parquet")


# ---- reasons of a run -----------------------------------------------------------------------


def test_every_declined_row_of_the_newest_test_has_a_line(declines, tested, credit_run):
    declined = tested[tested["score"] * tested["loss"] > 500]
    assert 0 < len(declined) < len(tested)
    assert declines["application_id"].tolist() == declined["application_id"].tolist()
    assert np.allclose(declines["score"], declined["score"])
    assert set(declines["decision"]) == {"declined"}
    told = credit_run.record["reasons"]
    assert told["declined"] == len(declines)
    assert told["unexplained"] == (declines["feature_1"] == "").sum()
    assert sum(line["rows"] for line in told["first"]) == len(declines) - told["unexplained"]


def test_lines_are_the_reasons_of_the_function(declines, tested, table, credit_run):
    record = json.loads((credit_run.folder / "artefact" / "reasons.json").read_text())
    rows = table.X.iloc[tested["row"]][(tested["score"] * tested["loss"] > 500).to_numpy()]
    usual = restored(record, rows)
    approved = table.X.iloc[tested["row"]][(tested["score"] * tested["loss"] <= 500).to_numpy()]
    assert usual["income"].item() == approved["income"].median()
    assert usual["home"].item() == approved["home"].mode()[0]
    words = pd.DataFrame(record["texts"])
    found = reason_codes(credit_run.model, rows, usual, words, excluded=["region"])
    first = found[found["rank"] == 1].set_index("row")
    some = declines.set_axis(rows.index)[lambda lines: lines["feature_1"] != ""]
    assert some["feature_1"].tolist() == first["feature"].tolist()
    assert some["text_1"].tolist() == first["text"].tolist()
    added = some["contribution_1"].astype(float)
    assert np.allclose(added, first["contribution"], atol=1e-4)
    every = attributions(credit_run.model, rows, usual)
    inner = credit_run.model.estimator.estimator
    gap = inner.decision_function(rows) - inner.decision_function(usual)
    assert np.abs(every.sum(axis=1) - gap).max() < 1e-4


def test_neither_excluded_nor_protected_features_are_named(declines):
    named = {name for i in range(1, 5) for name in declines[f"feature_{i}"]}
    assert named - {""}
    assert not named & {"region", "sex", "age_group"}


def test_the_reports_tell_the_texts(credit_run, declines):
    page = (credit_run.folder / "report.html").read_text()
    assert "Reasons for declines" in page
    assert declines["text_1"].mode()[0] in page
    given = json.loads((credit_run.folder / "validation.json").read_text())["validation"]["reasons"]
    assert all(line["text"] for line in given["first"])
    assert given["first"][0]["text"] in (credit_run.folder / "validation.html").read_text()
    assert given["between_members"] is None
    assert "a single network has one seed" in (credit_run.folder / "validation.html").read_text()


# ---- reasons of new rows --------------------------------------------------------------------


@pytest.fixture(scope="module")
def moved(credit_run, tmp_path_factory):
    """The artefact alone, away from its run, and the test rows as a file."""
    home = tmp_path_factory.mktemp("moved")
    shutil.copytree(credit_run.folder / "artefact", home / "artefact")
    frame = load_frame(SMALL)
    newest = pd.read_parquet(credit_run.folder / "predictions.parquet")["application_id"]
    frame[frame["application_id"].isin(newest)].to_parquet(home / "new.parquet", index=False)
    return home


def test_new_rows_get_the_reasons_of_the_run(command, moved, credit_run, tmp_path):
    words = ("score", moved / "artefact", moved / "new.parquet", "-o", tmp_path / "scores")
    done = command(*words, "--reasons")
    assert done.code == 0, done.err
    own, told = read_csv(credit_run.folder / "reasons.csv"), read_reasons(tmp_path / "scores")
    told[list(own)].to_csv(tmp_path / "told.csv", index=False)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "told.csv"), own)
    assert f" {len(own)} alerts" in done.out
    assert command(*words, "--reasons").code == 99  # they are there
    refused = command(*words)
    assert refused.code == 6
    assert "--reasons" in refused.err
    told = score(moved / "artefact", pd.read_parquet(moved / "new.parquet"), reasons=True)
    assert (
        told.attrs["reasons"]["text_1"].tolist()
        == read_csv(credit_run.folder / "reasons.csv")["text_1"].tolist()
    )


def test_without_being_asked_nothing_is_told(command, moved, tmp_path):
    done = command("score", moved / "artefact", moved / "new.parquet", "-o", tmp_path / "plain")
    assert done.code == 0
    assert read_reasons(tmp_path / "plain").empty


def test_an_artefact_without_reasons_says_so(command, fraud_run, payments, tmp_path):
    words = ("score", fraud_run.folder / "artefact", payments / "new.parquet", "-o", tmp_path / "s")
    done = command(*words, "--history", payments / "history.parquet", "--reasons")
    assert done.code == 2
    assert "its card has no [reasons]" in done.err
    assert not (tmp_path / "s").exists()


def test_a_changed_text_is_refused(command, moved, tmp_path):
    shutil.copytree(moved / "artefact", tmp_path / "artefact")
    kept = tmp_path / "artefact" / "reasons.json"
    kept.write_text(kept.read_text().replace("Income is low", "Income is lower"))
    done = command(
        *("score", tmp_path / "artefact", moved / "new.parquet", "-o", tmp_path / "scores"),
        "--reasons",
    )
    assert done.code == 5
    assert "changed since it was saved" in done.err


def test_reasons_of_another_make_are_refused(moved, tmp_path):
    files = read_files(moved / "artefact")
    kept = json.loads(files["reasons.json"])
    for at, wrong in enumerate(([], {**kept, "row": {}}, {**kept, "texts": 3})):
        folder = tmp_path / str(at)
        write_files(folder, {**files, "reasons.json": json.dumps(wrong).encode()})
        with pytest.raises(ArtefactError, match=r"reasons.json cannot be used"):
            score(folder, pd.read_parquet(moved / "new.parquet"), reasons=True)


# ---- cards ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("credit", {"reasons.most": 5}, "reasons.most: got 5, expected 1 to 4"),
        ("credit", {"reasons.texts": ""}, "reasons.texts: is empty"),
        ("credit", {"reasons.texts": 3}, "reasons: texts: got 3, expected str or dict"),
        ("credit", {"reasons.reference": "median"}, "allowed: all, approved, best"),
        ("credit", {"reasons.groups": {"money": []}}, "groups.money: an empty list"),
        ("credit", {"points": {}}, "points say the odds .* remove calibration"),
        ("credit-scorecard", {"points.pdo": 0}, "points.pdo: got 0, expected more than 0"),
        ("credit-scorecard", {"points.base_odds": -1}, "base_odds: got -1"),
        ("credit-scorecard", {"points.base_score": float("inf")}, "base_score: got inf"),
        ("credit-scorecard", {"points.round_to": 0}, "round_to: got 0, expected 0.01 or more"),
        ("credit-scorecard", {"points.rounding": 1}, "unknown key 'rounding'"),
        ("volatility", {"points": {}}, "points is of no use in a volatility forecast"),
        (
            "credit-scorecard",
            {"step": [{"use": "sklearn.preprocessing.StandardScaler", "name": "s"}, NETWORK]},
            "reasons are told of the table's own columns",
        ),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(name, changes, told):
    with pytest.raises(CardError, match=told):
        pipeline_card(name, changes)


def test_reasons_need_a_decision(tmp_path):
    card = pipeline_card("credit")
    text = (card.folder / "credit.toml").read_text()
    start, end = text.index("[decision]"), text.index("[reasons]")
    (tmp_path / "mine.toml").write_text(text[:start] + text[end:])
    with pytest.raises(CardError, match=r"nothing declines any; add a \[decision\]"):
        pipeline_card(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("credit", {"reasons.texts": {"income": "Low"}}, r"no text .* \['employment_years'"),
        ("credit", {"reasons.texts": "none.csv"}, "none.csv"),
        ("credit", {"reasons.excluded": ["regoin"]}, r"excluded: \['regoin'\]"),
        ("credit", {"reasons.groups": {"money": ["incme"]}}, r"unknown: \['incme'\]"),
        ("credit", {"step": [LINEAR]}, "LogisticRegression has no gradients"),
        ("credit-scorecard", {"step": [NETWORK]}, "NeuralClassifier is no scorecard"),
        ("credit-scorecard", {"step": [LINEAR]}, "LogisticRegression is no scorecard"),
        (
            "credit-scorecard",
            {"step": [{**NETWORK, "network": {"use": "fintech_dl.TabM"}}]},
            r"\(its network is TabM\): a table of points can be made of .*Scorecard",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_before_training(name, changes, told, tmp_path, monkeypatch):
    monkeypatch.setattr("fintech_dl.runs.fit_and_score", None)  # would be an error of another kind
    card = pipeline_card(name, changes, dataset=SMALL)
    with pytest.raises(CardError, match=told) as refused:
        run_pipeline(card, tmp_path / "run")
    assert name in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_members_of_a_scorecard_are_averaged_by_logit():
    card = pipeline_card("credit-scorecard", dataset=SMALL)
    several = NeuralClassifier(network=Scorecard(), n_members=2)
    with pytest.raises(CardError, match='average="logit"'):
        check_told(card, [several], pd.DataFrame())


def test_columns_of_a_group_are_told_as_one():
    X = pd.DataFrame({"loans": [9.0], "cards": [5.0], "town": ["a"]})
    asked = Reasons(
        texts={"debts": "Debts"}, groups={"debts": ["loans", "cards"]}, excluded=["town"]
    )
    settled = settle(asked, X, ["sex"], "card")
    assert settled["groups"] == {"debts": ["loans", "cards"], "town": ["town"]}
    assert settled["protected"] == ["sex"]
    half = Reasons(texts=asked.texts, groups=asked.groups, excluded=["town", "cards"])
    with pytest.raises(CardError, match="card: groups: 'debts' holds 'cards'"):
        settle(half, X, [], "card")


# ---- told by plain functions ----------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """A network on three columns, and its rows."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"debt": rng.normal(size=200), "home": rng.choice(["own", "=rent"], 200)})
    X["paid"] = rng.random(200) < 0.5
    X.loc[::7, "debt"] = np.nan
    y = pd.Series((X["debt"].fillna(1) + (X["home"] == "=rent") > 0.5).astype(int))
    network = MLP(units=8)
    model = NeuralClassifier(network=network, epochs=8, learning_rate=0.05, random_state=0)
    return model.fit(X, y), Table(X=X, y=y)


def asked_of(small, threshold, **asked):
    """Return what `tell_lender` says of all rows, declined from a score on."""
    model, table = small
    card = SimpleNamespace(
        name="mine", points=None, validation=None, table={}, folder=None,
        decision=Decision(rule="threshold", threshold=threshold),
        reasons=Reasons(texts=dict.fromkeys(table.X, "-because"), **asked),
    )  # fmt: skip
    settled = settle(card.reasons, table.X, [], "mine")
    p = model.predict_proba(table.X)[:, 1]
    outcome = Outcome(y=table.y, score=p)
    return tell_lender(card, settled, model, table, np.arange(len(p)), outcome), p


def test_most_limits_the_reasons_and_rows_are_known_by_their_place(small):
    found, p = asked_of(small, 0.5, most=1)
    lines = found.tables["reasons.csv"]
    names = ["row", "score", "decision", "feature_1", "text_1", "contribution_1"]
    assert list(lines) == names
    assert lines["row"].tolist() == np.flatnonzero(p >= 0.5).tolist()


@pytest.mark.parametrize("reference", ["approved", "all", "best"])
def test_a_reference_survives_json(small, reference):
    found, p = asked_of(small, 0.5, reference=reference)
    kept = json.loads(json.dumps(found.kept["reasons"], allow_nan=False))
    model, table = small
    again = decline_table(kept, model, table.X, pd.DataFrame({"row": range(200)}), p, p >= 0.5)
    assert again.equals(found.tables["reasons.csv"])
    direct = reference_row(reference, model, table.X, p >= 0.5)
    restored_row = restored(kept, table.X)
    assert model.decision_function(restored_row) == model.decision_function(direct)


def test_nobody_left_to_compare_with_costs_the_reasons_alone(small):
    with pytest.warns(UserWarning, match="saved without reasons: .* all 200 rows are declined"):
        found, _ = asked_of(small, 0.0)
    assert found.tables == found.kept == {}
    told = credit_tables.reasons(found.record)
    assert "No reasons were told" in told["text"]
    model, table = small
    with pytest.raises(DataError, match='reference = "all"'):
        reference_row("best", model, table.X, np.ones(200, dtype=bool))


def test_nobody_declined_is_a_file_of_no_lines(small):
    found, _ = asked_of(small, 1.1)
    assert len(found.tables["reasons.csv"]) == 0
    assert "text_4" in found.tables["reasons.csv"]
    assert credit_tables.reasons(found.record)["table"] is None


# ---- points ---------------------------------------------------------------------------------


def test_the_table_of_points_scores_as_the_report_says(points_run):
    lines = pd.read_csv(points_run.folder / "points.csv")
    told = points_run.record["points"]
    assert len(lines) == len(told["table"])
    assert (lines["points_from"] % 2 == 0).all()  # round_to = 2
    tested = pd.read_parquet(points_run.folder / "predictions.parquet")
    X = load_table(pipeline_card("credit-scorecard", dataset=SMALL)).X.iloc[tested["row"]]
    odds = 50 * 2 ** ((score_points(lines, X).to_numpy() - 600) / 20)
    by_points = tested["loss"].to_numpy() / (1 + odds) > 500
    by_model = tested["score"] * tested["loss"] > 500
    assert told["declined"] == by_model.sum() > 0
    assert told["flips"] == (by_points != by_model).sum()
    assert told["declined_by_points_alone"] == (by_points & ~by_model).sum()
    assert 0 < told["largest_gap"] <= 1.0 * (X.shape[1] + 1)
    page = (points_run.folder / "report.html").read_text()
    assert "decisions differ" in page
    assert "A score is the sum of the points of every feature" in page


def test_declared_directions_hold_in_the_table(points_run):
    lines = pd.read_csv(points_run.folder / "points.csv")
    ranges = lines[lines["rule"].isin(["range", "whole"])]
    for name, sign in {
        "income": 1,
        "employment_years": 1,
        "utilisation": -1,
        "enquiries": -1,
    }.items():
        own = ranges[ranges["feature"] == name].sort_values("from")["points_from"]
        assert len(own) > 1
        assert (np.diff(own) * sign >= 0).all(), name


def test_reasons_of_points_are_told_against_the_best_row(points_run):
    lines = read_csv(points_run.folder / "reasons.csv")
    added = [pd.to_numeric(lines[f"contribution_{i}"], errors="coerce") for i in range(1, 5)]
    assert (added[0].dropna() > 0).all()
    assert all((a >= b)[b.notna()].all() for a, b in pairwise(added))
    model = load(points_run.folder / "artefact")
    kept = json.loads((points_run.folder / "artefact" / "reasons.json").read_text())
    X = load_table(pipeline_card("credit-scorecard", dataset=SMALL)).X
    best = model.predict_proba(restored(kept, X))[0, 1]
    assert best <= model.predict_proba(X)[:, 1].min() + 1e-6


def test_seeds_of_a_scorecard_are_compared(points_run):
    given = json.loads((points_run.folder / "validation.json").read_text())["validation"]
    told = given["reasons"]["between_members"]
    assert 0 < told["jaccard"] <= told["overlap"] <= 1
    page = (points_run.folder / "validation.html").read_text()
    assert "Same reasons by each of 3 members" in page
    assert f"all of them {told['overlap']:.0%}" in page


def test_points_in_words():
    line = {"feature": "late", "from": None, "to": None, "value": None, "points_to": 3.0}
    lines = [
        line | {"rule": "range", "to": 2.0, "points_from": 3.0},
        line | {"rule": "range", "from": 2.0, "points_from": 1.24},
        line | {"rule": "whole", "to": 0.0, "points_from": 3.0},
        line | {"rule": "whole", "from": 1.0, "to": 1.0, "points_from": 3.0},
        line | {"rule": "whole", "from": 2.0, "to": 4.0, "points_from": 3.0},
        line | {"rule": "whole", "from": 5.0, "points_from": 3.0},
        line | {"rule": "whole", "points_from": 3.0},
        line | {"rule": "code", "value": "-9", "points_from": 3.0},
        line | {"rule": "category", "value": '"own"', "points_from": 3.0},
        line | {"rule": "other", "points_from": 3.0},
    ]
    scale = {"pdo": 20.0, "base_score": 600.0, "base_odds": 50.0}
    gaps = {"rows": 100, "largest_gap": 1.0, "mean_gap": 0.1, "flips": None}
    told = credit_tables.points({"points": {**scale, **gaps, "table": lines}})
    assert "differ" not in told["text"]
    rows = [(row[1]["text"], row[2]["text"]) for row in told["table"]["rows"]]
    assert rows[:2] == [("below 2", "3"), ("2 and more", "1.2 to 3")]
    assert [name for name, _ in rows[2:7]] == ["up to 0", "1", "2 to 4", "5 and more", "any"]
    assert [name for name, _ in rows[7:]] == ["-9", "own", "missing, rare or unseen"]


def test_hostile_names_stay_texts_in_the_report():
    bad = "<script>alert(1)</script>"
    first = [{"feature": bad, "text": bad, "rows": 3}]
    told = {"rows": 9, "declined": 3, "unexplained": 1, "reference": bad, "first": first}
    line = {"feature": bad, "rule": "code", "from": None, "to": None, "value": bad}
    points = {"pdo": 20.0, "base_score": 600.0, "base_odds": 50.0, "rows": 9, "flips": None}
    points |= {"largest_gap": 1.0, "mean_gap": 0.1}
    points["table"] = [line | {"points_from": 1.0, "points_to": 1.0}]
    page = render({"title": "Credit", "reasons": told, "points": points})
    assert "<script" not in page
    assert page.count("alert(1)") >= 4
    assert "For 1 nothing can be named" in page
