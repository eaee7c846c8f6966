"""Watching published runs: counts do not depend on how rows were scored; labels, verb and page."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from typer.testing import CliRunner

from fintech_dl import save
from fintech_dl.artefact import read_record
from fintech_dl.cards import Decision
from fintech_dl.cli import app
from fintech_dl.console import start
from fintech_dl.errors import ArtefactError, DataError, OutputError, PlanError
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.reference import reference_record
from fintech_dl.evaluation.splits import Fold
from fintech_dl.evaluation.stability import psi
from fintech_dl.scoring import plan as plans
from fintech_dl.scoring.audit import verify
from fintech_dl.scoring.engine import open_engine, score_shard
from fintech_dl.scoring.jobs import plan_scores, resume_scores, score_files
from fintech_dl.scoring.manifest import latest, read_manifest
from fintech_dl.scoring.monitor import FILE, PAGE, monitor
from fintech_dl.scoring.status import gc
from fintech_dl.table import Table
from tests.scoring.artefacts import DATASET, PIPELINE, make_artefact, payments, write

COLUMNS = ["amount", "age", "shop"]
DATA = {**DATASET, "columns": {**DATASET["columns"], "shop": {"type": "category"}}}
PAST, TEST = np.arange(2000), np.arange(2000, 3000)


def rows_of(rows, first=0):
    frame = payments(rows, first=first)
    rng = np.random.default_rng(first)
    return frame.assign(shop=rng.choice(["a", "b", "c"], rows))


def fraud(frame, seed=0):
    noise = np.random.default_rng(seed).normal(size=len(frame))
    return (frame["amount"] + 40 * noise > 150).astype(int)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An artefact with a reference, rows like those it learned from, others, and both scored."""
    home = tmp_path_factory.mktemp("made")
    rows, y = rows_of(3000), fraud(rows_of(3000))
    shops = (OneHotEncoder(handle_unknown="ignore"), ["shop"])
    numbers = ("passthrough", ["amount", "age"])
    model = make_pipeline(make_column_transformer(shops, numbers), LogisticRegression(max_iter=500))
    model.fit(rows.loc[PAST, COLUMNS], y[PAST])
    score = model.predict_proba(rows[COLUMNS])[:, 1]
    table = Table(X=rows[COLUMNS].astype({"shop": "category"}))
    scored = Scored("model", "M", False, [Outcome(y=y[TEST], score=score[TEST])])
    facts = {"rows_read": 3000, "rows_quarantined": 0}
    decision = Decision(rule="threshold", threshold=0.5)
    found = reference_record(
        table, Fold(name="all", train=PAST, test=TEST), scored, decision, facts
    )
    cards = {
        "pipeline": {"name": "payments", "card": PIPELINE},
        "dataset": {"name": "payments", "card": DATA},
    }
    save(model, home / "artefact", records={"cards": cards, "reference": found})
    write(rows_of(1500, first=10_000), home / "same.parquet", 300)
    other = rows_of(700, first=30_000).assign(amount=lambda f: 3 * f["amount"])
    other.loc[other.index[::5], "shop"] = "new"
    other.loc[[1, 2], "age"] = -1
    write(other, home / "other.parquet", 300)
    score_files(home / "artefact", home / "same.parquet", home / "quiet")
    cut = plans.cut_shards
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fintech_dl.scoring.planning.cut_shards", lambda all_: cut(all_, 300))
        inputs = [home / "same.parquet", home / "other.parquet"]
        score_files(home / "artefact", inputs, home / "moved")
    return home


@pytest.fixture
def _no_page(monkeypatch):
    """Leave out drawing, which takes longer than all the rest."""
    monkeypatch.setattr("fintech_dl.evaluation.monitor_page.write_monitor", lambda *_: None)


def counts_of(out):
    return read_manifest(latest(out))[0]["counts"]


def test_rows_like_those_of_the_training_are_quiet_and_others_are_named(made):
    run, quiet = monitor(made / "quiet")
    assert quiet["verdict"]["outcome"] == "quiet"
    assert quiet["alarms"] == []
    assert json.loads((run / FILE).read_bytes()) == json.loads(json.dumps(quiet))
    before = (run / FILE).read_bytes(), (run / PAGE).read_bytes()
    monitor(made / "quiet")
    assert before == ((run / FILE).read_bytes(), (run / PAGE).read_bytes())
    run, moved = monitor(made / "moved")
    assert moved["verdict"]["outcome"] == "alarm"
    assert set(moved["alarms"]) == {"score", "alert rate", "amount", "shop"}
    assert [Path(one["part"]).name for one in moved["drift"]["parts"]] == [
        "other.parquet", "same.parquet",
    ]  # fmt: skip
    assert moved["drift"]["quarantine"]["reasons"][0]["reason"] == "below_min:age"
    assert moved["totals"] == {"rows": 2200, "scored": 2198, "quarantined": 2}
    assert verify(made / "moved")["faults"] == []  # what is written beside the manifest is no fault
    gc(made / "moved", older_runs=True)
    assert (run / FILE).exists()
    assert (run / PAGE).exists()


@pytest.mark.usefixtures("_no_page")
def test_the_index_of_counts_is_that_of_the_rows(made):
    _, found = monitor(made / "moved")
    new = pd.concat([pd.read_parquet(made / f"{name}.parquet") for name in ("same", "other")])
    new = new[new["age"] >= 0]
    for one in found["drift"]["features"]:
        expected = psi(rows_of(3000).loc[PAST, one["name"]], new[one["name"]])
        assert one["psi"] == pytest.approx(expected.psi)
        assert one["p_value"] == pytest.approx(expected.p_value)
    shop = next(one for one in found["drift"]["features"] if one["name"] == "shop")
    assert shop["unseen"] == pytest.approx((new["shop"] == "new").mean())


def test_counts_are_the_same_for_other_shards_batches_and_after_a_kill(made, tmp_path, monkeypatch):
    inputs = [made / "same.parquet", made / "other.parquet"]
    expected = counts_of(made / "moved")
    score_files(made / "artefact", inputs, tmp_path / "one")  # one shard; above there were eight
    assert counts_of(tmp_path / "one") == expected
    cut = plans.cut_shards
    monkeypatch.setattr("fintech_dl.scoring.planning.cut_shards", lambda all_: cut(all_, 600))
    monkeypatch.setattr("fintech_dl.scoring.batches.BLOCK", 100)
    monkeypatch.setattr("fintech_dl.scoring.batches.CELLS", 1)
    run, plan = plan_scores(made / "artefact", inputs, tmp_path / "two")
    score_shard(open_engine(run, plan), 2)  # and then the process was killed
    resume_scores(tmp_path / "two")
    assert counts_of(tmp_path / "two") == expected


@pytest.mark.usefixtures("_no_page")
def test_parts_of_the_input_are_named_as_far_as_shards_tell_them_apart(made, tmp_path, monkeypatch):
    def parts(rows, *files):
        cut = plans.cut_shards
        with monkeypatch.context() as patch:
            patch.setattr("fintech_dl.scoring.planning.cut_shards", lambda all_: cut(all_, rows))
            score_files(made / "artefact", [made / name for name in files], tmp_path / str(rows))
        found = monitor(tmp_path / str(rows)).record["drift"]["parts"]
        return sorted(one["part"].replace(f"{made}/", "") for one in found)

    assert parts(300, "other.parquet") == [
        "other.parquet, rows 1 to 300",
        "other.parquet, rows 301 to 600",
        "other.parquet, rows 601 to 700",
    ]
    assert parts(600, "same.parquet", "other.parquet") == [
        "other.parquet",
        "same.parquet",
        "same.parquet to other.parquet (2 files)",
    ]


@pytest.mark.usefixtures("_no_page")
def test_another_run_can_be_compared_with(made, tmp_path):
    _, found = monitor(made / "moved", against=made / "moved")
    assert found["alarms"] == []
    assert found["drift"]["score"]["psi"] == 0.0
    _, found = monitor(made / "moved", against=made / "quiet")
    assert "amount" in found["alarms"]
    make_artefact(tmp_path / "artefact")
    score_files(tmp_path / "artefact", made / "same.parquet", tmp_path / "s")
    with pytest.raises(PlanError, match="was scored with another artefact"):
        monitor(made / "moved", against=tmp_path / "s")


def test_an_artefact_without_reference_scores_and_says_so(made, tmp_path):
    make_artefact(tmp_path / "artefact")
    score_files(tmp_path / "artefact", made / "same.parquet", tmp_path / "s")
    assert counts_of(tmp_path / "s") == {}
    run, found = monitor(tmp_path / "s")
    assert found["verdict"]["outcome"] == "unknown"
    assert "holds no reference.json" in found["verdict"]["text"]
    assert "holds no reference.json" in (run / PAGE).read_text()
    with pytest.raises(PlanError, match="nothing to compare"):
        monitor(tmp_path / "s", against=made / "quiet")


@pytest.mark.usefixtures("_no_page")
def test_a_moved_artefact_is_named_and_another_is_refused(made, tmp_path):
    shutil.copytree(made / "artefact", tmp_path / "new place")
    assert monitor(made / "quiet", artefact=tmp_path / "new place")[1]["alarms"] == []
    make_artefact(tmp_path / "other")
    with pytest.raises(PlanError, match="not the artefact that scored"):
        monitor(made / "quiet", artefact=tmp_path / "other")
    with pytest.raises(ArtefactError, match="name it with --artefact"):
        monitor(made / "quiet", artefact=tmp_path / "nowhere")


def test_without_the_extra_the_numbers_are_written_all_the_same(made, tmp_path, monkeypatch):
    shutil.copytree(made / "quiet", tmp_path / "quiet")
    run = latest(tmp_path / "quiet")
    for name in (FILE, PAGE):
        (run / name).unlink(missing_ok=True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match=r"monitor\.json was written, its page was not"):
        monitor(tmp_path / "quiet")
    assert json.loads((run / FILE).read_bytes())["alarms"] == []
    assert not (run / PAGE).exists()


def test_a_place_that_cannot_be_written_is_told(made, tmp_path):
    shutil.copytree(made / "quiet", tmp_path / "quiet")
    run = latest(tmp_path / "quiet")
    (run / FILE).unlink(missing_ok=True)
    (run / FILE).mkdir()
    with pytest.raises(OutputError, match="let the account that monitors write there"):
        monitor(tmp_path / "quiet")


@pytest.mark.parametrize("kind", ["csv", "parquet", "place"])
def test_labels_tell_how_good_the_scores_were(made, tmp_path, kind):
    rows = pd.read_parquet(made / "same.parquet")
    labels = pd.DataFrame({"id": rows["id"], "fraud": fraud(rows, seed=1)})
    labels["fraud"] = labels["fraud"].astype(float).where(np.arange(len(rows)) % 3 > 0)
    labels.loc[len(labels)] = {"id": 5, "fraud": 1.0}  # a row that was not scored
    if kind == "place":
        name = str(made / "same.parquet")
        labels = labels.assign(source_file=name, source_row=np.arange(1, len(labels) + 1))
        labels = labels.drop(columns="id").rename(columns={"fraud": "label"})
    file = tmp_path / f"labels.{'csv' if kind == 'csv' else 'parquet'}"
    (labels.to_csv if kind == "csv" else labels.to_parquet)(file, index=False)
    run, record = monitor(made / "quiet", labels=file)
    found = record["labels"]
    assert (found["rows_scored"], found["rows_labelled"], found["unmatched"]) == (1500, 1000, 1)
    assert record["alarms"] == []
    checks = {one["name"]: one for one in found["checks"]}
    assert set(checks) == {"roc_auc", "average_precision", "brier", "observed by predicted"}
    test = read_record(made / "artefact", "reference")["test"]["metrics"]["roc_auc"]
    assert checks["roc_auc"]["test"] == test
    assert checks["roc_auc"]["low"] < checks["roc_auc"]["value"] < checks["roc_auc"]["high"]
    page = (run / PAGE).read_text()
    assert "Labels came for 1,000 of 1,500 scored rows (67%)" in page
    assert "What was predicted and what happened" in page


@pytest.mark.usefixtures("_no_page")
def test_labels_that_contradict_the_scores_alarm(made, tmp_path):
    rows = pd.read_parquet(made / "same.parquet")
    y = np.random.default_rng(0).integers(0, 2, len(rows))
    pd.DataFrame({"id": rows["id"], "label": y}).to_csv(tmp_path / "l.csv", index=False)
    _, record = monitor(made / "quiet", labels=tmp_path / "l.csv")
    assert {"labels: roc_auc", "labels: brier", "labels: observed by predicted"} <= set(
        record["alarms"]
    )


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"id": [10_000]}, "needed are id or source_file and source_row"),
        ({"id": [10_000, 10_000], "fraud": [0, 1]}, "1 rows have a label that came before"),
        ({"id": [10_000], "fraud": ["maybe"]}, "row 1 holds 'maybe'; allowed: 0 and 1"),
        ({"id": [10_000, 10_001], "fraud": [0, 2]}, "row 2 holds '2'"),
        ({"id": [7], "fraud": [1]}, "none of its 1 labels is of a scored row"),
        ({"id": ["x"], "fraud": [1]}, "column 'id'"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(made, tmp_path, labels, text):
    pd.DataFrame(labels).to_csv(tmp_path / "l.csv", index=False)
    with pytest.raises(DataError, match=text):
        monitor(made / "quiet", labels=tmp_path / "l.csv")


def test_a_file_of_labels_that_cannot_be_read_is_named(made, tmp_path):
    for name in ("none.csv", "none.parquet", "labels.xlsx"):
        with pytest.raises(DataError, match=name):
            monitor(made / "quiet", labels=tmp_path / name)


def test_the_verb_ends_with_3_on_alarms_only_if_asked_to(made):
    start()
    run = CliRunner().invoke
    assert run(app, ["monitor", str(made / "quiet"), "--strict"]).exit_code == 0
    shown = run(app, ["monitor", str(made / "moved")])
    assert shown.exit_code == 0
    assert "amount  PSI" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("Changed beyond chance")
    asked = run(app, ["monitor", str(made / "moved"), "--strict", "--json"])
    assert asked.exit_code == 3
    assert "amount" in json.loads(asked.stdout)["alarms"]
    assert run(app, ["monitor", str(made)]).exit_code != 0
