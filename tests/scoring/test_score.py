"""Scoring new rows: the very scores of the run, and no row lost."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from fintech_dl import score
from fintech_dl.errors import DataError, UsageError
from fintech_dl.scoring.jobs import score_files
from fintech_dl.scoring.reading import read_scores

WHERE = ["source_file", "source_row_group", "source_row"]


@pytest.fixture(scope="module")
def artefact(fraud_run):
    return fraud_run.folder / "artefact"


@pytest.fixture(scope="module")
def expected(fraud_run):
    """Return the run's own scores by transaction."""
    rows = pd.read_parquet(fraud_run.folder / "predictions.parquet")
    return rows.set_index("transaction_id")["score"]


def same_bits(scores, expected):
    """Every row that the run scored has the same score here, to the last bit."""
    found = scores.set_index("transaction_id")["score"]
    assert set(expected.index) <= set(found.index)
    assert found.loc[expected.index].to_numpy().tobytes() == expected.to_numpy().tobytes()


def read(folder, name):
    return pd.read_parquet(folder / f"{name}.parquet")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_get_the_scores_of_the_run(
    kind, artefact, payments, expected, command, tmp_path, fraud_run
):
    new, history, out = payments / f"new.{kind}", payments / f"history.{kind}", tmp_path / "scores"
    done = command("score", artefact, new, "-o", out, "--history", history, "--json")
    assert (done.code, done.err) == (0, "")
    scores, rows = read_scores(out), read(payments, "new")
    same_bits(scores, expected)
    assert list(scores.columns) == [*WHERE, "transaction_id", "time", "score", "alert"]
    assert scores["transaction_id"].tolist() == rows["transaction_id"].tolist()
    assert scores["time"].tolist() == rows["time"].tolist()
    assert scores["source_row"].tolist() == list(range(1, len(rows) + 1))
    assert set(scores["source_file"]) == {str(new)}
    summary = json.loads(done.out)
    assert summary["folder"] == str(out)
    assert summary["rows"] == summary["scored"] == len(rows)
    assert summary["quarantined"] == 0
    assert summary["alerts"] == scores["alert"].sum() > 0
    manifest = json.loads((artefact / "MANIFEST.json").read_text())
    assert summary["artefact"] == manifest["seal"]


def test_frames_get_the_scores_of_the_run(artefact, payments, expected):
    new, history = read(payments, "new"), read(payments, "history")
    scores = score(artefact, new, history)
    same_bits(scores, expected)
    few = score(artefact, new.iloc[-3:], pd.concat([history, new.iloc[:-3]]))
    assert few["score"].tolist() == scores["score"].iloc[-3:].tolist()


def test_alerts_follow_the_decision_of_the_card(artefact, payments, fraud_run):
    new = read(payments, "new")
    scores = score(artefact, new, read(payments, "history"))
    decision = json.loads((artefact / "cards.json").read_text())["pipeline"]["card"]["decision"]
    loss = scores["score"] * new["amount"].to_numpy()
    assert scores["alert"].tolist() == (loss > decision["false_alarm"]).tolist()


def test_a_file_in_two_halves_gets_the_same_scores(artefact, payments, expected, tmp_path):
    new, history = read(payments, "new"), read(payments, "history")
    middle = len(new) // 2
    parts = [(new[:middle], history), (new[middle:], pd.concat([history, new[:middle]]))]
    found = []
    for i, (rows, past) in enumerate(parts):
        rows.to_csv(tmp_path / f"new{i}.csv", index=False)
        past.to_csv(tmp_path / f"past{i}.csv", index=False)
        past = tmp_path / f"past{i}.csv"
        score_files(artefact, tmp_path / f"new{i}.csv", tmp_path / f"{i}", history=past)
        found.append(read_scores(tmp_path / f"{i}"))
    same_bits(pd.concat(found), expected)


def test_more_history_than_needed_changes_nothing(artefact, payments, expected):
    new, history = read(payments, "new"), read(payments, "history")
    least = history[history["time"] > new["time"].iloc[0] - pd.Timedelta("37D")]
    first = history[history["time"] <= new["time"].iloc[0] - pd.Timedelta("37D")].iloc[-1:]
    same_bits(score(artefact, new, pd.concat([first, least])), expected)


def test_labels_that_are_not_known_yet_may_be_absent(artefact, payments, expected):
    new, history = read(payments, "new"), read(payments, "history")
    labels = ["is_fraud", "fraud_scenario"]
    unlabelled = new.drop(columns=labels)
    same_bits(score(artefact, unlabelled, history), expected)
    same_bits(score(artefact, unlabelled, history.drop(columns="fraud_scenario")), expected)
    same_bits(score(artefact, new.assign(is_fraud=1 - new["is_fraud"]), history), expected)
    day, some = new[new["time"] < "2018-08-09"], history.astype({"is_fraud": "Int8"})
    open_cases = history["time"] > day["time"].iloc[-1] - pd.Timedelta("7D")
    assert open_cases.sum() > 1000
    some.loc[open_cases, "is_fraud"] = pd.NA
    first_day = expected[expected.index.isin(day["transaction_id"])]
    same_bits(score(artefact, day.drop(columns=labels), some), first_day)


def test_labels_that_were_known_by_then_are_asked_for(artefact, payments):
    new, history = read(payments, "new"), read(payments, "history")
    gone = history.astype({"is_fraud": "Int8"})
    gone.iloc[3, gone.columns.get_loc("is_fraud")] = pd.NA
    told = r"history: 1 rows lack a label that was known by 2018-08-14 .* Fill in is_fraud, 0 where"
    with pytest.raises(DataError, match=told):
        score(artefact, new, gone)
    new, history = (f.drop(columns=["is_fraud", "fraud_scenario"]) for f in (new, history))
    with pytest.raises(DataError, match=r"history: 10685 rows lack a label .* of 2018-07-01"):
        score(artefact, new, history)


def test_the_frames_given_are_left_as_they_are(artefact, payments):
    new, history = read(payments, "new"), read(payments, "history")
    before = new.copy(), history.copy()
    score(artefact, new, history)
    pd.testing.assert_frame_equal(new, before[0])
    pd.testing.assert_frame_equal(history, before[1])


def test_broken_rows_are_set_aside_and_the_others_keep_their_scores(artefact, payments, expected):
    new, history = read(payments, "new"), read(payments, "history")
    broken = new.copy()
    broken.loc[broken.index[-2:], "amount"] = [-1.0, np.nan]
    with pytest.warns(UserWarning, match=r"2 of \d+ rows break the contract .* below_min:amount"):
        scores = score(artefact, broken, history)
    assert len(scores) == len(new) - 2
    aside = scores.attrs["quarantined"]
    assert aside["reason"].tolist() == ["below_min:amount", "missing:amount"]
    assert aside["source_row"].tolist() == [len(new) - 1, len(new)]
    whole = score(artefact, new, history)["score"]
    assert scores["score"].tolist() == whole.iloc[:-2].tolist()
    worse = history.copy()
    worse.loc[worse.index[5], "amount"] = np.inf
    with pytest.warns(UserWarning, match="1 of .* left out of the history; the first: infinite:am"):
        score(artefact, new, worse)


def test_a_history_that_does_not_fit_is_refused(artefact, payments):
    new, history = read(payments, "new"), read(payments, "history")
    with pytest.raises(UsageError, match="looks back 37d: give the earlier rows with --history"):
        score(artefact, new)
    with pytest.raises(
        DataError, match=r"history: begins at 2018-08-01 .* give rows from 2018-07-"
    ):
        score(artefact, new, history[history["time"] >= "2018-08-01"])
    with pytest.raises(DataError, match=r"rows are later than the first row to score \(2018-08-08"):
        score(artefact, new, pd.concat([history, new.iloc[:5]]))
    twice = pd.concat([history, new.iloc[:1]])
    with pytest.raises(DataError, match=r"1 rows are also among the rows .* transaction_id = \d+;"):
        score(artefact, new, twice)


def test_rows_of_this_minute_are_not_in_the_future_whatever_the_machine_s_clock_zone(
    artefact, payments, monkeypatch
):
    new, history = read(payments, "new").iloc[:20], read(payments, "history")
    shift = pd.Timestamp.now("UTC").tz_localize(None) - pd.Timedelta("1s") - new["time"].iloc[-1]
    new["time"], history["time"] = new["time"] + shift, history["time"] + shift
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    time.tzset()
    try:
        assert len(score(artefact, new, history)) == len(new)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_fails_before_the_plan_leaves_nothing(
    artefact, payments, tmp_path, monkeypatch, command
):
    out = tmp_path / "scores"
    words = ["score", artefact, payments / "new.csv", "-o", out]
    words += ["--history", payments / "history.csv"]

    def stop(*_):
        assert sorted(p.name for p in out.iterdir() if p.is_file()) == [".lock"]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fintech_dl.scoring.planning.cut_shards", stop)
        done = command(*words)
    assert done == (130, "", "fintech-dl: stopped; nothing was left half-written\n")
    assert not list(tmp_path.iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fintech_dl.scoring.planning.cut_shards", full)
        done = command(*words)
    assert done.code == 75
    assert f"{out}: cannot be written (No space left on device); choose another" in done.err
    assert not list(tmp_path.iterdir())
    out.mkdir()  # an empty folder is as good as none
    assert command(*words).code == 0
    assert len(read_scores(out)) == len(read(payments, "new"))


def test_a_model_without_a_card_cannot_score(tmp_path):
    from sklearn.dummy import DummyClassifier

    from fintech_dl import save
    from fintech_dl.errors import ArtefactError

    model = DummyClassifier().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ArtefactError, match="holds no record 'cards'; it was saved without a pipe"):
        score(save(model, tmp_path / "bare"), pd.DataFrame())
    odd = save(model, tmp_path / "odd", records={"cards": {"pipeline": {"card": {"new_key": 1}}}})
    with pytest.raises(
        ArtefactError, match=r"its pipeline card cannot be used \(pipeline: unknown"
    ):
        score(odd, pd.DataFrame())
