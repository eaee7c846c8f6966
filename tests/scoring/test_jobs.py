"""From files to published scores: every row once, whatever happens on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from fintech_dl.errors import (
    ArtefactError,
    DataError,
    LockedError,
    NothingToDo,
    OutputError,
    PlanError,
    TemporaryError,
    UsageError,
)
from fintech_dl.scoring import engine, plan, store
from fintech_dl.scoring.audit import verify
from fintech_dl.scoring.commits import committed
from fintech_dl.scoring.jobs import plan_scores, resume_scores, score_files
from fintech_dl.scoring.lock import locked
from fintech_dl.scoring.manifest import LATEST, MANIFEST, SUCCESS, read_manifest
from fintech_dl.scoring.reading import read_scores
from fintech_dl.scoring.status import gc, status
from tests.scoring.artefacts import make_artefact, payments, write

WAIT = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An artefact, another one, and two files of rows of which three break the contract."""
    folder = tmp_path_factory.mktemp("made")
    make_artefact(folder / "artefact")
    make_artefact(folder / "other", seed=1)
    write(payments(), folder / "a.parquet")
    bad = payments(600, first=1000)
    bad.loc[[3, 7], "amount"] = -1
    bad.loc[500, "age"] = float("nan")
    write(bad, folder / "b.parquet")
    return folder


@pytest.fixture
def inputs(made, tmp_path):
    """Return copies that a test may change."""
    return [Path(shutil.copy2(made / name, tmp_path)) for name in ("a.parquet", "b.parquet")]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """Eight shards: one per row group."""
    cut = plan.cut_shards
    monkeypatch.setattr("fintech_dl.scoring.planning.cut_shards", lambda all_: cut(all_, 200))


@pytest.fixture
def expected(made, inputs, tmp_path):
    """Return the scores of an uninterrupted run, and its totals."""
    done = score_files(made / "artefact", inputs, tmp_path / "expected")
    return rows_of(done.folder), totals_of(done.folder)


def rows_of(out):
    frame = read_scores(out)
    place = zip(frame["source_file"], frame["source_row"], strict=True)
    found = dict(zip(place, frame["score"].to_numpy().view("int64").tolist(), strict=True))
    assert len(found) == len(frame)
    return found


def totals_of(out):
    manifest, _ = read_manifest(out / json.loads((out / LATEST).read_bytes())["run"])
    return {name: manifest[name] for name in ("totals", "counts")}


def run_of(out):
    (run,) = out.glob("run-*")
    return run


def test_every_row_is_scored_or_set_aside(made, inputs, tmp_path):
    done = score_files(made / "artefact", inputs, tmp_path / "s")
    found = done.summary
    assert (found["rows"], found["scored"], found["quarantined"]) == (1600, 1597, 3)
    assert found["quarantine_reasons"] == {"below_min:amount": 2, "missing:age": 1}
    example = found["quarantine_examples"]["below_min:amount"]
    assert example == f"{inputs[1]}, row 4: amount is '-1.0'"
    assert (found["files"], found["shards"]) == (2, 8)
    frame = read_scores(tmp_path / "s")
    assert found["alerts"] == frame["alert"].sum() > 0
    assert (
        frame["source_file"].astype(str).tolist()
        == [str(inputs[0])] * 1000 + [str(inputs[1])] * 597
    )
    assert frame["source_row"].tolist()[:1000] == list(range(1, 1001))
    assert not {4, 8, 501} & set(frame["source_row"][1000:])
    run = run_of(tmp_path / "s")
    assert sorted(path.name for path in run.iterdir()) == [
        MANIFEST, SUCCESS, "commits", "parts", "plan.json", "quarantine",
    ]  # fmt: skip
    assert verify(tmp_path / "s")["faults"] == []


@pytest.mark.parametrize("after", [0, 3, 7])
def test_a_run_that_ends_anywhere_goes_on_and_ends_the_same(
    made, inputs, tmp_path, expected, monkeypatch, after
):
    whole = engine.score_shard

    def ends(opened, k):
        if k == after:
            raise SystemExit(143)
        return whole(opened, k)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "score_shard", ends)
        with pytest.raises(SystemExit):
            score_files(made / "artefact", inputs, tmp_path / "s")
    assert committed(run_of(tmp_path / "s")) == set(range(after))
    with pytest.raises(DataError, match="holds no finished scores"):
        read_scores(tmp_path / "s")
    resume_scores(tmp_path / "s")
    assert (rows_of(tmp_path / "s"), totals_of(tmp_path / "s")) == expected


@pytest.mark.parametrize(
    "point", ["plan.link", "commit.link", "part.rename", "manifest", "pointer"]
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_step_that_fails_is_made_good_by_the_next_run(
    made, inputs, tmp_path, expected, monkeypatch, point, moment
):
    store._reached.clear()
    monkeypatch.setenv(store.FAILPOINT, f"{point}:{moment}:full")
    with pytest.raises(TemporaryError, match="No space left on device"):
        score_files(made / "artefact", inputs, tmp_path / "s")
    try:
        score_files(made / "artefact", inputs, tmp_path / "s")
    except NothingToDo:
        assert (point, moment) == ("pointer", "after")
    assert (rows_of(tmp_path / "s"), totals_of(tmp_path / "s")) == expected
    assert verify(tmp_path / "s")["faults"] == []


def test_the_same_again_is_nothing_to_do_and_another_run_is_refused(made, inputs, tmp_path):
    out, artefact = tmp_path / "s", made / "artefact"
    score_files(artefact, inputs, out)
    first = read_scores(out)
    with pytest.raises(NothingToDo, match="holds the scores of exactly these inputs"):
        score_files(artefact, inputs, out)
    with pytest.raises(NothingToDo):
        resume_scores(out)
    others = {
        "the artefact": {"artefact": made / "other"},
        "the input": {"inputs": inputs[:1]},
        "as_of": {"as_of": "2030-01-01"},
        "--duplicates": {"duplicates": "report"},
    }
    for name, values in others.items():
        words = {"artefact": artefact, "inputs": inputs, "out": out, **values}
        with pytest.raises(PlanError, match=f"not of the same: {name} differs; .*--new-run"):
            score_files(**words)
    assert read_scores(out).equals(first)
    done = score_files(made / "other", inputs, out, new_run=True)
    assert len(list(out.glob("run-*"))) == 2
    assert not read_scores(out)["score"].equals(first["score"])
    assert json.loads((out / LATEST).read_bytes())["run"] == done.summary["run"]
    with pytest.raises(NothingToDo):
        score_files(made / "other", inputs, out)
    score_files(artefact, inputs, out)  # back to the first: its scores are there
    assert read_scores(out).equals(first)


def test_a_plan_can_be_looked_at_first(made, inputs, tmp_path, expected):
    out = tmp_path / "s"
    run, planned = plan_scores(made / "artefact", inputs, out, dry_run=True)
    assert not out.exists()
    assert (len(planned.shards), planned.rows()) == (8, 1600)
    assert plan_scores(made / "artefact", inputs, out)[0] == run
    assert status(out)["runs"][0]["state"] == "unfinished"
    resume_scores(out)
    assert (rows_of(out), totals_of(out)) == expected


def test_the_moment_of_the_data_stays_that_of_the_plan(made, inputs, tmp_path):
    _, first = plan_scores(made / "artefact", inputs, tmp_path / "s")
    _, second = plan_scores(made / "artefact", inputs, tmp_path / "s")
    assert first == second
    assert first.as_of


def test_damage_before_the_end_is_made_good(made, inputs, tmp_path, expected, caplog):
    out = tmp_path / "s"
    score_files(made / "artefact", inputs, out)
    run = run_of(out)
    for path in (run / MANIFEST, run / SUCCESS, out / LATEST):
        path.unlink()
    (run / "commits" / "00001.json").write_bytes(b"torn")
    (run / "commits" / "00002.json").unlink()
    sorted((run / "parts").iterdir())[3].unlink()
    spoilt = sorted((run / "parts").iterdir())[-1]
    spoilt.write_bytes(spoilt.read_bytes()[:-9])
    resume_scores(out)
    assert (rows_of(out), totals_of(out)) == expected
    assert "files were damaged and are made anew" in caplog.text
    aside = sorted(path.name.split("-")[-1] for path in run.rglob("broken-*"))
    assert "00001.json" in aside
    assert any(path.read_bytes() == b"torn" for path in run.rglob("broken-*"))
    assert verify(out)["faults"] == []


def test_damage_after_the_end_is_told_and_not_touched(made, inputs, tmp_path):
    out = tmp_path / "s"
    score_files(made / "artefact", inputs, out)
    part = sorted((run_of(out) / "parts").iterdir())[2]
    part.write_bytes(b"spoilt")
    for go_on in (lambda: score_files(made / "artefact", inputs, out), lambda: resume_scores(out)):
        with pytest.raises(DataError, match=r"The run is published, .* restore the file from a"):
            go_on()
    assert part.read_bytes() == b"spoilt"
    (run_of(out) / "plan.json").write_bytes(b"{}")
    with pytest.raises(DataError, match=r"plan\.json: changed since it was made"):
        resume_scores(out)


def test_another_model_in_the_same_place_is_refused(made, inputs, tmp_path):
    artefact = shutil.copytree(made / "artefact", tmp_path / "artefact")
    plan_scores(artefact, inputs, tmp_path / "s")
    shutil.rmtree(artefact)
    with pytest.raises(ArtefactError, match="is no artefact"):
        resume_scores(tmp_path / "s")
    shutil.copytree(made / "other", artefact)
    with pytest.raises(PlanError, match="is another model than the one that run-"):
        resume_scores(tmp_path / "s")


def test_an_input_that_is_replaced_is_refused_and_one_that_is_touched_is_not(
    made, inputs, tmp_path
):
    plan_scores(made / "artefact", inputs, tmp_path / "s")
    os.utime(inputs[0])
    write(payments(600, first=5000), inputs[1])
    with pytest.raises(PlanError, match=rf"{inputs[1]}"):
        resume_scores(tmp_path / "s")
    run = run_of(tmp_path / "s")
    assert committed(run) == {0, 1, 2, 3, 4}
    assert not (run / MANIFEST).exists()


def test_a_shard_that_fails_keeps_the_others(made, inputs, tmp_path, expected, monkeypatch):
    whole = engine.score_shard

    def fails(opened, k):
        if k == 5:
            raise RuntimeError("poison")
        return whole(opened, k)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "score_shard", fails)
        with pytest.raises(TemporaryError, match=r"1 of 8 shards failed \(5\); shard 5: .*poison"):
            score_files(made / "artefact", inputs, tmp_path / "s")
    assert committed(run_of(tmp_path / "s")) == {0, 1, 2, 3, 4, 6, 7}
    score_files(made / "artefact", inputs, tmp_path / "s")
    assert (rows_of(tmp_path / "s"), totals_of(tmp_path / "s")) == expected


def test_too_many_broken_rows_publish_nothing(made, tmp_path):
    bad = payments(100)
    bad.loc[:9, "amount"] = -1
    write(bad, tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"10 of 100 rows \(10\.0%\) .*below_min:amount 10 rows"):
        score_files(made / "artefact", tmp_path / "bad.parquet", tmp_path / "s")
    (about,) = status(tmp_path / "s")["runs"]
    assert about["state"] == "failed"
    assert "10 of 100 rows" in about["error"]
    with pytest.raises(DataError, match="holds no finished scores"):
        read_scores(tmp_path / "s")
    with pytest.raises(DataError, match="10 of 100 rows"):
        score_files(made / "artefact", tmp_path / "bad.parquet", tmp_path / "s")
    write(payments(100), tmp_path / "bad.parquet")  # mended: the same command does it
    score_files(made / "artefact", tmp_path / "bad.parquet", tmp_path / "s")
    assert len(read_scores(tmp_path / "s")) == 100
    assert len(gc(tmp_path / "s", older_runs=True)["runs"]) == 1
    assert len(read_scores(tmp_path / "s")) == 100


def test_a_lock_of_a_living_process_is_respected(made, inputs, tmp_path):
    with locked(tmp_path / "s"), pytest.raises(LockedError):
        score_files(made / "artefact", inputs, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_without_locks_runs_at_once_end_with_one_result(made, inputs, tmp_path, expected):
    """The lock is for politeness only: here nobody takes it."""
    code = (
        "import sys, fcntl\n"
        "def no_locks(*_): raise OSError(95, 'no locks here')\n"
        "fcntl.flock = no_locks\n"
        "import fintech_dl.scoring.planning as planning\n"
        "cut = planning.cut_shards\n"
        "planning.cut_shards = lambda sources: cut(sources, 200)\n"
        "from fintech_dl.errors import NothingToDo\n"
        "from fintech_dl.scoring.jobs import score_files\n"
        "try: score_files(sys.argv[1], sys.argv[3:], sys.argv[2], as_of='2027-01-01')\n"
        "except NothingToDo: sys.exit(99)\n"
    )
    csv = tmp_path / "c.csv"
    pd.read_parquet(inputs[1]).to_csv(csv, index=False)
    words = [sys.executable, "-c", code, made / "artefact", tmp_path / "s", inputs[0], csv]
    crowd = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [(process.communicate(timeout=WAIT)[1], process.returncode) for process in crowd]
    assert {code for _, code in ends} <= {0, 99}, ends
    assert verify(tmp_path / "s")["faults"] == []
    found = rows_of(tmp_path / "s")
    named = {(name.replace("c.csv", "b.parquet"), row): bits for (name, row), bits in found.items()}
    assert named == expected[0]


def test_a_kill_between_two_shards_loses_and_doubles_nothing(made, inputs, tmp_path, expected):
    code = (
        "import sys\n"
        "import fintech_dl.scoring.planning as planning\n"
        "cut = planning.cut_shards\n"
        "planning.cut_shards = lambda sources: cut(sources, 200)\n"
        "from fintech_dl.scoring.jobs import score_files\n"
        "score_files(sys.argv[1], sys.argv[3:], sys.argv[2])\n"
    )
    words = [sys.executable, "-c", code, made / "artefact", tmp_path / "s", *inputs]
    env = {**os.environ, store.FAILPOINT: "commit.link:after:kill:3"}
    assert subprocess.run(words, env=env).returncode == -signal.SIGKILL
    assert len(committed(run_of(tmp_path / "s"))) == 3
    score_files(made / "artefact", inputs, tmp_path / "s")
    assert (rows_of(tmp_path / "s"), totals_of(tmp_path / "s")) == expected


def test_places_that_cannot_be_used_are_refused_before_any_work(made, inputs, tmp_path):
    full, file, nowhere = tmp_path / "full", tmp_path / "file", tmp_path / "nowhere"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    file.write_text("mine")
    nowhere.symlink_to(tmp_path / "gone")
    told = {full: "holds other files", file: "is no folder", nowhere: "is a link to nowhere"}
    for out, text in told.items():
        with pytest.raises(OutputError, match=text):
            score_files(made / "artefact", "no-such-file.parquet", out)
    with pytest.raises(OutputError, match="you may not write to"):
        score_files(made / "artefact", inputs, file / "below")
    assert (full / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"duplicates": "drop"}, UsageError, "--duplicates: got 'drop'"),
        ({"reasons": True}, UsageError, "no reasons can be told"),
        ({"workers": 0}, UsageError, "workers: got 0"),
        ({"executor": "spark"}, UsageError, "executor: got 'spark'"),
        ({"inputs": []}, UsageError, "name what to score"),
        ({"as_of": "soon"}, UsageError, "soon"),
    ],
)
def test_arguments_that_cannot_be_used_leave_no_scores(made, inputs, tmp_path, values, error, text):
    words = {"artefact": made / "artefact", "inputs": inputs, "out": tmp_path / "s", **values}
    with pytest.raises(error, match=text):
        score_files(**words)
    assert not (tmp_path / "s").exists()


def test_resume_says_what_there_is_to_resume(made, inputs, tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        resume_scores(tmp_path / "s")
    (tmp_path / "s" / "run-0" / "commits").mkdir(parents=True)
    with pytest.raises(UsageError, match="planning was interrupted"):
        resume_scores(tmp_path / "s")
    plan_scores(made / "artefact", inputs, tmp_path / "s")
    plan_scores(made / "other", inputs, tmp_path / "s", new_run=True)
    with pytest.raises(UsageError, match="2 runs are unfinished"):
        resume_scores(tmp_path / "s")


def test_what_a_killed_planner_left_is_cleared_away(made, inputs, tmp_path):
    run, _ = plan_scores(made / "artefact", inputs, tmp_path / "s", dry_run=True)
    left = run / "landing-00000000" / "landed"
    left.mkdir(parents=True)
    (left / "00000.parquet").write_bytes(b"half")
    score_files(made / "artefact", inputs, tmp_path / "s")
    assert not left.exists()


def test_the_verbs_do_the_same(made, inputs, tmp_path, command):
    out, artefact = tmp_path / "s", made / "artefact"
    done = command("plan", artefact, *inputs, "-o", out)
    assert done.code == 0
    assert "1,600 rows of 2 inputs in 8 shards" in done.out
    assert "next  fintech-dl resume" in done.out
    assert json.loads(command("status", out, "--json").out)["runs"][0]["left"] == 8
    done = command("resume", out)
    assert (done.code, done.err) == (0, "")
    last = done.out.splitlines()[-1]
    alerts = read_scores(out)["alert"].sum()
    assert last == f"1,600 rows read: 1,597 scored, {alerts} alerts, 3 quarantined"
    assert "row 4: amount is '-1.0'" in done.out
    assert command("score", artefact, *inputs, "-o", out).code == 99
    done = command("status", out)
    assert "finished, latest: 8 of 8 shards done, 1,600 of 1,600 rows, 3 quarantined" in done.out
    assert command("verify", out, "-q").out == ""
    assert "0 runs and 0 files" in command("gc", out).out
    part = next((run_of(out) / "parts").iterdir())
    part.write_bytes(b"spoilt")
    done = command("verify", out)
    assert done.code == 4
    assert str(part) in done.err
    done = command("score", artefact, *inputs, "-o", tmp_path / "t", "--strict", "-q")
    assert (done.code, done.out) == (3, f"{tmp_path / 't'}\n")
    assert "finished, but 3 rows were quarantined (--strict)" in done.err
    done = command("score", artefact, *inputs, "-o", tmp_path / "u", "--json", "--workers", 1)
    assert json.loads(done.out)["scored"] == 1597


def test_a_signal_ends_the_command_and_it_goes_on(made, inputs, tmp_path, expected):
    code = (
        "import sys, time\n"
        "import fintech_dl.scoring.planning as planning, fintech_dl.scoring.engine as engine\n"
        "cut = planning.cut_shards\n"
        "planning.cut_shards = lambda sources: cut(sources, 200)\n"
        "whole = engine.score_shard\n"
        "def slow(opened, k): time.sleep(0.2); return whole(opened, k)\n"
        "engine.score_shard = slow\n"
        "from fintech_dl.cli import main; main()\n"
    )
    words = ["score", made / "artefact", *inputs, "-o", tmp_path / "s"]
    line = [sys.executable, "-c", code, *map(str, words)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + WAIT
    while not list((tmp_path).glob("s/run-*/commits/*.json")) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert "stopped" in process.communicate(timeout=WAIT)[1]
    assert process.returncode == 143
    run = run_of(tmp_path / "s")
    assert 0 < len(committed(run)) < 8
    assert not list(run.rglob("*.tmp"))
    score_files(made / "artefact", inputs, tmp_path / "s")
    assert (rows_of(tmp_path / "s"), totals_of(tmp_path / "s")) == expected
