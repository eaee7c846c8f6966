"""Clean Parquet files take the short way: the same scores, without pandas, scikit-learn, Keras."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_frame, save, score
from fintech_dl.artefact import load, read_files, read_record, scorer, to_files
from fintech_dl.errors import ArtefactError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.scoring.score import score_file

SOURCES = {"seconds": "Time", "amount": "Amount", "is_fraud": "Class"}
LABELS = ["Class", "piece", "weight"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A quick run of the pipeline whose rows need nothing but themselves."""
    from fintech_dl import run_pipeline
    from fintech_dl.cards import pipeline_card

    prior = {"use": "sklearn.dummy.DummyClassifier", "title": "The prior alone"}
    quick = {"baseline": [prior], "metrics": ["average_precision"]}
    card = pipeline_card("fraud-ulb", quick, dataset="synthetic_card_components")
    folder = tmp_path_factory.mktemp("runs") / "ulb"
    return run_pipeline(card, folder, set_params={"model__epochs": 1})


@pytest.fixture(scope="module")
def artefact(run):
    return run.folder / "artefact"


@pytest.fixture(scope="module")
def frame():
    return load_frame("synthetic_card_components").rename(columns=SOURCES)


def long_way(monkeypatch):
    """Forbid the short way."""
    monkeypatch.setattr("fintech_dl.scoring.quick.read_proven", lambda *_, **__: None)


def forbid_long_way(monkeypatch):
    monkeypatch.setattr(
        "fintech_dl.scoring.frames.score_at_length", lambda *_: pytest.fail("the long way")
    )


@pytest.mark.parametrize("labels", [True, False])
def test_both_ways_write_the_same(artefact, frame, tmp_path, monkeypatch, labels):
    rows = frame if labels else frame.drop(columns=LABELS)
    rows.to_parquet(tmp_path / "new.parquet", index=False)
    with monkeypatch.context() as patch:
        forbid_long_way(patch)
        score_file(artefact, tmp_path / "new.parquet", tmp_path / "short")
    long_way(monkeypatch)
    score_file(artefact, tmp_path / "new.parquet", tmp_path / "long")
    short, long = (
        pd.read_parquet(tmp_path / name / "scores.parquet") for name in ("short", "long")
    )
    pd.testing.assert_frame_equal(short, long)
    assert list(short) == ["seconds", "score", "alert"]
    assert short["alert"].any()
    summaries = [
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("short", "long")
    ]
    for summary in summaries:
        del summary["created"]
    assert summaries[0] == summaries[1]
    in_python = score(artefact, rows)
    assert in_python["score"].to_numpy().tobytes() == short["score"].to_numpy().tobytes()


def test_the_scores_are_those_of_the_model(artefact, frame):
    scores = score(artefact, frame)["score"].to_numpy()
    features = frame[[f"V{i}" for i in range(1, 29)]].assign(amount=frame["Amount"])
    np.testing.assert_allclose(scores, score_rows(load(artefact), features), rtol=0, atol=1e-6)
    found = scorer(read_files(artefact))(features)
    assert found.tobytes() == scores.tobytes()


def test_a_file_that_is_not_plainly_clean_goes_the_long_way(artefact, frame, tmp_path):
    frame = frame[:300].copy()
    frame.loc[[3, 7], "Amount"] = [-1.0, np.nan]
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    done = score_file(artefact, tmp_path / "new.parquet", tmp_path / "out")
    assert done.summary["rows_scored"] == 298
    assert done.summary["input"]["quarantine_reasons"] == {
        "below_min:amount": 1,
        "missing:amount": 1,
    }
    assert (tmp_path / "out" / "quarantine.csv").is_file()
    clean = frame.drop(index=[3, 7])
    clean.to_parquet(tmp_path / "clean.parquet", index=False)
    score_file(artefact, tmp_path / "clean.parquet", tmp_path / "again")
    mixed, alone = (
        pd.read_parquet(tmp_path / name / "scores.parquet") for name in ("out", "again")
    )
    pd.testing.assert_frame_equal(mixed, alone)


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
    ("decision", "short"),
    [
        ({"rule": "threshold", "threshold": 0.01}, True),
        ({"rule": "cost", "false_alarm": 1.0, "miss": 90.0}, True),
        ({"rule": "capacity", "per_day": 30}, False),  # the time is a number of seconds
    ],
)
def test_every_decision(artefact, frame, tmp_path, monkeypatch, decision, short):
    folder = changed(artefact, tmp_path / "artefact", decision=decision)
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    with monkeypatch.context() as patch:
        if short:
            forbid_long_way(patch)
        done = score_file(folder, tmp_path / "new.parquet", tmp_path / "out")
    alerts = pd.read_parquet(tmp_path / "out" / "scores.parquet")["alert"]
    assert done.summary["alerts"] == alerts.sum() > 0
    assert alerts.tolist() == score(folder, frame)["alert"].tolist()


def test_the_short_way_knows_protected_columns_and_delays(artefact, frame, tmp_path, monkeypatch):
    table = {**read_record(artefact, "cards")["pipeline"]["card"]["table"], "drop": []}
    table |= {"protected": ["piece"], "delay_days": 30, "positive": "fraud"}
    folder = changed(artefact, tmp_path / "artefact", table=table)
    frame[:200].to_parquet(tmp_path / "new.parquet", index=False)
    forbid_long_way(monkeypatch)
    score_file(folder, tmp_path / "new.parquet", tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out" / "scores.parquet")["score"]
    assert found.tolist() == score(artefact, frame[:200])["score"].tolist()


def test_a_graph_that_was_tampered_with_stops_the_short_way_too(artefact, frame, tmp_path, command):
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
    assert not (tmp_path / "out").exists()
    with pytest.raises(ArtefactError):
        score(folder, frame)


def test_a_model_without_a_graph_scores_with_keras(artefact, frame, tmp_path):
    cards = read_record(artefact, "cards")
    model = {"model.skops": read_files(artefact)["model.skops"]}
    folder = save(None, tmp_path / "artefact", files=model, records={"cards": cards})
    frame[:200].to_parquet(tmp_path / "new.parquet", index=False)
    score_file(folder, tmp_path / "new.parquet", tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out" / "scores.parquet")["score"]
    np.testing.assert_allclose(found, score(artefact, frame[:200])["score"], rtol=0, atol=1e-6)


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


COMMAND_LINE = "from fintech_dl.cli import main; main()"
HEAVY = {"keras", "tensorflow", "jax", "onnx", "tf2onnx"}


def test_a_clean_file_is_scored_without_pandas_scikit_learn_and_keras(artefact, frame, tmp_path):
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    words = ["score", artefact, tmp_path / "new.parquet", "-o", tmp_path / "out"]
    used = imported(COMMAND_LINE, *words)
    assert {"numpy", "pyarrow", "onnxruntime"} <= used
    assert not used & (HEAVY | {"pandas", "sklearn", "scipy", "skops"})
    assert len(pd.read_parquet(tmp_path / "out" / "scores.parquet")) == len(frame)


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
    found = pd.read_parquet(tmp_path / "out" / "scores.parquet")["score"].to_numpy()
    assert found.tobytes() == scorer(files, model=model)(X).tobytes()
    np.testing.assert_allclose(found, score_rows(model, X), rtol=0, atol=1e-6)
