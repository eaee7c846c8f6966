"""Whatever the way of a file to its scores: the bits of the model's graph, and nothing heavy."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from fintech_dl import load_frame, save, score
from fintech_dl.artefact import load, read_files, read_record, scorer, to_files
from fintech_dl.errors import ArtefactError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.scoring.jobs import score_files
from fintech_dl.scoring.plan import cut_shards
from fintech_dl.scoring.reading import read_scores

SOURCES = {"seconds": "Time", "amount": "Amount", "is_fraud": "Class"}
LABELS = ["Class", "piece", "weight"]
COMMAND_LINE = "from fintech_dl.cli import main; main()"
HEAVY = {"keras", "tensorflow", "jax", "onnx", "tf2onnx"}


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    """The artefact of a pipeline whose rows need nothing but themselves."""
    from fintech_dl import run_pipeline
    from fintech_dl.cards import pipeline_card

    prior = {"use": "sklearn.dummy.DummyClassifier", "title": "The prior alone"}
    quick = {"baseline": [prior], "metrics": ["average_precision"]}
    card = pipeline_card("fraud-ulb", quick, dataset="synthetic_card_components")
    folder = tmp_path_factory.mktemp("runs") / "ulb"
    return run_pipeline(card, folder, set_params={"model__epochs": 1}).folder / "artefact"


@pytest.fixture(scope="module")
def frame():
    return load_frame("synthetic_card_components").rename(columns=SOURCES)


def test_files_of_every_kind_get_the_scores_of_the_frame(artefact, frame, tmp_path):
    expected = score(artefact, frame)
    model = load(artefact)
    X = frame.rename(columns={"Amount": "amount"})[[*(f"V{i}" for i in range(1, 29)), "amount"]]
    np.testing.assert_allclose(expected["score"], score_rows(model, X), rtol=0, atol=1e-6)
    frame.to_parquet(tmp_path / "whole.parquet", index=False)
    frame.drop(columns=LABELS).to_parquet(tmp_path / "unlabelled.parquet", index=False)
    frame.to_csv(tmp_path / "text.csv", index=False)
    for name in ("whole.parquet", "unlabelled.parquet", "text.csv"):
        score_files(artefact, tmp_path / name, tmp_path / f"{name}.scores")
        found = read_scores(tmp_path / f"{name}.scores")
        assert found["score"].to_numpy().tobytes() == expected["score"].to_numpy().tobytes(), name
        assert found["alert"].tolist() == expected["alert"].tolist()


def changed(artefact, folder, **parts):
    """Save the artefact again with other parts of its pipeline card."""
    cards = read_record(artefact, "cards")
    cards["pipeline"]["card"] = {**cards["pipeline"]["card"], **parts}
    files = {
        name: data
        for name, data in read_files(artefact).items()
        if name in ("model.skops", "model.onnx", "graph.json", "parity.json")
    }
    return save(None, folder, files=files, records={"cards": cards})


@pytest.mark.parametrize(
    "decision",
    [
        {"rule": "threshold", "threshold": 0.01},
        {"rule": "cost", "false_alarm": 1.0, "miss": 90.0},
        {"rule": "capacity", "per_day": 30},  # the time is a number of seconds
    ],
)
def test_every_decision_is_that_of_the_frame(artefact, frame, tmp_path, monkeypatch, decision):
    monkeypatch.setattr(
        "fintech_dl.scoring.planning.cut_shards", lambda all_: cut_shards(all_, 1500)
    )
    folder = changed(artefact, tmp_path / "artefact", decision=decision)
    frame.to_parquet(tmp_path / "new.parquet", index=False, row_group_size=1500)
    done = score_files(folder, tmp_path / "new.parquet", tmp_path / "out")
    alerts = read_scores(tmp_path / "out")["alert"]
    assert done.summary["alerts"] == alerts.sum() > 0
    assert alerts.tolist() == score(folder, frame)["alert"].tolist()


def test_columns_that_no_model_may_see_play_no_part(artefact, frame, tmp_path):
    table = {**read_record(artefact, "cards")["pipeline"]["card"]["table"], "drop": []}
    table |= {"protected": ["piece"], "delay_days": 30, "positive": "fraud"}
    folder = changed(artefact, tmp_path / "artefact", table=table)
    frame[:200].to_parquet(tmp_path / "new.parquet", index=False)
    score_files(folder, tmp_path / "new.parquet", tmp_path / "out")
    found = read_scores(tmp_path / "out")["score"]
    assert found.tolist() == score(artefact, frame[:200])["score"].tolist()


def test_a_graph_that_was_tampered_with_is_refused(artefact, frame, tmp_path, command):
    cards = read_record(artefact, "cards")
    files = {name: data for name, data in read_files(artefact).items() if name != "metrics.json"}
    parity = json.loads(files["parity.json"])
    files["parity.json"] = json.dumps({**parity, "passed": False}).encode()
    del files["cards.json"]
    folder = save(None, tmp_path / "artefact", files=files, records={"cards": cards})
    frame[:50].to_parquet(tmp_path / "new.parquet", index=False)
    done = command("score", folder, tmp_path / "new.parquet", "-o", tmp_path / "out")
    assert done.code == 5
    assert "parity.json does not say that model.onnx gives the model's own scores" in done.err
    assert not list(tmp_path.glob("out/latest.json"))
    with pytest.raises(ArtefactError):
        score(folder, frame)


def imported(code, *words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.M)
    return {name.split(".")[0] for name in found}


def test_a_clean_file_is_scored_without_pandas_scikit_learn_and_keras(artefact, frame, tmp_path):
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    words = ["score", artefact, tmp_path / "new.parquet", "-o", tmp_path / "out"]
    used = imported(COMMAND_LINE, *words)
    assert {"numpy", "pyarrow", "onnxruntime"} <= used
    assert not used & (HEAVY | {"pandas", "sklearn", "scipy", "skops", "duckdb", "sqlalchemy"})
    assert len(read_scores(tmp_path / "out")) == len(frame)


def test_no_way_of_scoring_needs_keras(fraud_run, payments, tmp_path):
    words = ["score", fraud_run.folder / "artefact", payments / "new.csv", "-o", tmp_path / "out"]
    used = imported(COMMAND_LINE, *words, "--history", payments / "history.csv")
    assert "onnxruntime" in used
    assert not used & HEAVY


def test_steps_before_the_network_come_from_scikit_learn(artefact, frame, tmp_path):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from fintech_dl import MLP, NeuralClassifier

    names = [*(f"V{i}" for i in range(1, 29)), "amount"]
    X = frame.rename(columns={"Amount": "amount"})[names]
    last = NeuralClassifier(network=MLP(units=4), epochs=1, random_state=0)
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), last)
    model.fit(X, frame["Class"])
    files = to_files(model)
    cards = read_record(artefact, "cards")
    folder = save(model, tmp_path / "artefact", files=files, records={"cards": cards})
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    used = imported(COMMAND_LINE, "score", folder, tmp_path / "new.parquet", "-o", tmp_path / "out")
    assert "sklearn" in used
    assert not used & HEAVY
    found = read_scores(tmp_path / "out")["score"].to_numpy()
    assert found.tobytes() == scorer(files, model=model)(X).tobytes()
    np.testing.assert_allclose(found, score_rows(model, X), rtol=0, atol=1e-6)
