"""Laws of workers that warm up while the plan is made: of use or not there, and never left over."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fintech_dl.errors import DataError
from fintech_dl.scoring import local, standby
from fintech_dl.scoring.jobs import plan_scores, resume_scores, score_files
from fintech_dl.scoring.local import dismiss, start_worker
from fintech_dl.scoring.standby import SHARD_BYTES, Standby, begin, fill
from fintech_dl.scoring.workers import run_shards
from tests.scoring.artefacts import make_artefact, payments, write
from tests.scoring.shards import content, met, planned, score_all, use_stand_in
from tests.scoring.test_local import alive, wait_for

HOME = str(Path(__file__).parents[2])
DRIVER = """
import signal, sys, time
from pathlib import Path
from fintech_dl.scoring import jobs, local, standby
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
standby.SHARD_BYTES = 1
folder, start = Path(sys.argv[1]), local.start_worker
def noted():
    worker = start()
    (folder / f"pid-{worker.process.pid}").touch()
    return worker
def planning(*_, **__):
    (folder / "planning").touch()
    time.sleep(60)
local.start_worker, jobs.make_plan = noted, planning
try:
    jobs.score_files(folder / "artefact", folder / "rows.parquet", folder / "out", workers=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make_artefact(folder / "artefact")
    write(payments(300), folder / "rows.parquet")
    write(payments(300).drop(columns="amount"), folder / "short.parquet")
    return folder


@pytest.fixture
def started(monkeypatch):
    """Return the early and late workers that this process starts."""
    found = []

    def start():
        found.append(start_worker())
        return found[-1]

    monkeypatch.setattr(local, "start_worker", start)
    yield found
    assert not any(alive(one.process.pid) for one in found)


@pytest.mark.parametrize(
    ("workers", "cores", "n_bytes", "number"),
    [
        (2, 1, 2 * SHARD_BYTES - 1, 0),
        (2, 1, 2 * SHARD_BYTES, 2),
        (8, 1, 3 * SHARD_BYTES, 3),
        (1, 8, 10**12, 0),
        (None, 1, 10**12, 0),
        (None, 8, 10**12, 8),
        (None, 8, 0, 0),
    ],
)
def test_early_workers_are_those_that_will_be_of_use(monkeypatch, workers, cores, n_bytes, number):
    monkeypatch.setattr("joblib.cpu_count", lambda: cores)
    monkeypatch.setattr(local, "start_worker", object)
    early = Standby("local", workers)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    begin(early, n_bytes)
    assert len(early.waiting) == min(number, 3), "a core hashes"
    fill(early)
    assert len(early.waiting) == number


def test_scores_are_the_same_and_by_the_workers_that_were_early(tmp_path, monkeypatch, started):
    one = score_all(tmp_path, "local", 1, monkeypatch)
    assert not started
    monkeypatch.setattr(standby, "SHARD_BYTES", 1)
    assert score_all(tmp_path, "local", 2, monkeypatch) == one
    assert len(started) == 2


def test_small_files_and_features_of_all_rows_start_none(made, tmp_path, monkeypatch, started):
    score_files(made / "artefact", made / "rows.parquet", tmp_path / "small", workers=2)
    monkeypatch.setattr(standby, "SHARD_BYTES", 1)
    monkeypatch.setattr("fintech_dl.scoring.planning.stage_of", lambda *_: "features")
    score_files(made / "artefact", made / "rows.parquet", tmp_path / "all", workers=2)
    assert not started


@pytest.mark.parametrize("name", ["short.parquet", "none.parquet"])
def test_an_error_in_planning_leaves_no_worker(made, tmp_path, monkeypatch, started, name):
    monkeypatch.setattr(standby, "SHARD_BYTES", 1)
    with pytest.raises(DataError):
        score_files(made / "artefact", made / name, tmp_path / "out", workers=2)
    assert len(started) == (2 if name == "short.parquet" else 0), "inputs are there first"


def test_a_run_that_goes_on_has_early_workers(made, tmp_path, monkeypatch, started):
    inputs = [made / "artefact", made / "rows.parquet", tmp_path / "out"]
    plan_scores(*inputs)
    monkeypatch.setattr(standby, "SHARD_BYTES", 1)
    assert resume_scores(tmp_path / "out", workers=2).summary["scored"] == 300
    assert len(started) == 2


@pytest.mark.parametrize(
    ("number", "group", "code"),
    [(signal.SIGKILL, False, -9), (signal.SIGTERM, False, 143), (signal.SIGINT, True, 130)],
    ids=["killed", "SIGTERM", "Ctrl-C of a terminal"],
)
def test_no_worker_outlives_a_parent_that_plans(made, tmp_path, number, group, code):
    for name in ("artefact", "rows.parquet"):
        (tmp_path / name).symlink_to(made / name)
    env = {**os.environ, "PYTHONPATH": HOME}
    words = [sys.executable, "-c", DRIVER, str(tmp_path)]
    with subprocess.Popen(words, env=env, start_new_session=True) as process:
        wait_for((tmp_path / "planning").exists)
        pids = [int(path.name[4:]) for path in tmp_path.glob("pid-*")]
        assert len(pids) == 2
        assert all(map(alive, pids))
        (os.killpg if group else os.kill)(process.pid, number)
        assert process.wait(20) == code
    wait_for(lambda: not any(map(alive, pids)))


# ---- what becomes of those that wait -------------------------------------------------------------


@pytest.fixture
def early(monkeypatch):
    """Return three workers that wait, of which none knows a run."""
    use_stand_in(monkeypatch)
    early = Standby("local", 3, [start_worker() for _ in range(3)])
    pids = [one.process.pid for one in early.waiting]
    yield early
    dismiss(early.waiting)
    assert not any(map(alive, pids))


def test_the_first_line_decides_the_run(early, tmp_path):
    pids = {one.process.pid for one in early.waiting}
    plan = planned(tmp_path / "later", 4)
    other = planned(tmp_path / "other", 4)
    assert run_shards(tmp_path / "later", plan, range(4), workers=3, early=early) == {}
    assert {one["pid"] for one in met(tmp_path / "later", "open")} <= pids
    assert len(content(tmp_path / "later", plan)) == 4
    assert content(tmp_path / "other", other) == []


def test_a_worker_that_died_early_is_replaced(early, tmp_path, caplog):
    for worker in early.waiting:
        worker.process.kill()
        worker.process.wait()
    dead = {one.process.pid for one in early.waiting}
    plan = planned(tmp_path, 4)
    assert run_shards(tmp_path, plan, range(4), workers=3, early=early) == {}
    assert len(content(tmp_path, plan)) == 4
    assert not dead & {one["pid"] for one in met(tmp_path, "open")}
    assert caplog.messages == []


@pytest.mark.parametrize("shards", [1, 2])
def test_those_that_are_not_needed_are_ended_at_once(early, tmp_path, monkeypatch, shards):
    pids = [one.process.pid for one in early.waiting]
    left = []
    plan = planned(tmp_path, shards)
    run_shards(
        tmp_path,
        plan,
        range(shards),
        workers=3,
        early=early,
        progress=lambda _: left.append(sum(map(alive, pids))),
    )
    assert max(left) == (2 if shards == 2 else 0)
    assert early.waiting == []
