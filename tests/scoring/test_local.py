"""Laws of the local executor: whatever befalls its processes, commits are those of one process."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fintech_dl import errors
from fintech_dl.errors import (
    ArtefactError,
    DataError,
    DiskFullError,
    NotInstalledError,
    PlanError,
    TemporaryError,
    UsageError,
)
from fintech_dl.scoring.workers import default_workers, run_shards
from tests.scoring.shards import (
    STAND_IN,
    content,
    met,
    order,
    plan_of,
    planned,
    score_all,
    use_stand_in,
)

NO_PICKLE = """
import pathlib, pickle
def refuse(*args, **more):
    raise SystemExit("a pickle was read")
pickle.load = pickle.loads = pickle.Unpickler = refuse
(pathlib.Path(__file__).parent / "guarded").touch()
"""
DRIVER = """
import signal, sys
from pathlib import Path
from fintech_dl.scoring.plan import read_plan
from fintech_dl.scoring.workers import run_shards
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
run = Path(sys.argv[1])
try:
    print(run_shards(run, read_plan(run), range(4), workers=2))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    use_stand_in(monkeypatch)


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for(what, seconds: float = 20.0) -> None:
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.02)


# ---- the same from one process and from several ------------------------------------------------


def test_processes_commit_what_one_process_commits(tmp_path):
    done = {}
    for workers in (1, 3):
        run = tmp_path / str(workers)
        plan, told = planned(run, 5), []
        assert run_shards(run, plan, range(5), workers=workers, progress=told.append) == {}
        done[workers] = content(run, plan)
        pids = {one["pid"] for k in range(5) for one in met(run, k)}
        assert (pids == {os.getpid()}) == (workers == 1)
        row = {"rows_in": 10, "scored": 9, "quarantined": 1}
        assert sorted(told, key=lambda one: one["shard"]) == [{"shard": k, **row} for k in range(5)]
        assert len(met(run, "open")) == len(pids)
    assert done[1] == done[3]
    assert len(done[1]) == 5
    assert {one["threads"] for one in met(run, 0)} == {"1"}


def test_processes_publish_what_one_process_publishes_and_read_no_pickle(tmp_path, monkeypatch):
    monkeypatch.undo()  # the engine itself
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(NO_PICKLE)
    monkeypatch.syspath_prepend(tmp_path / "guard")
    one, two = (score_all(tmp_path, "local", workers, monkeypatch) for workers in (1, 2))
    assert two == one
    assert two["totals"]["scored"] == 998
    assert (tmp_path / "guard" / "guarded").exists()


def test_only_the_shards_asked_for_are_scored(tmp_path):
    plan = planned(tmp_path, 4)
    assert run_shards(tmp_path, plan, [2, 0], workers=1) == {}
    assert [k for k, *_ in content(tmp_path, plan)] == [0, 2]


def test_few_rows_need_one_process(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    assert default_workers(plan_of(3, rows=150_000)) == 1
    assert default_workers(plan_of(3, rows=200_000)) == 3
    assert default_workers(plan_of(40, rows=200_000)) == 16


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"workers": 0}, "workers: got 0, expected a number of processes"),
        ({"executor": "spark"}, "executor: got 'spark', allowed: local, ray"),
        ({"stall": 0}, "stall: got 0, expected a number of seconds"),
        ({"stall": float("nan")}, "stall: got nan"),
        ({"executor": "ray"}, r'not installed; install it with: pip install "fintech-dl\[ray\]"'),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, monkeypatch, given, told):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises((UsageError, NotInstalledError), match=told):
        run_shards(tmp_path, None, [0], **given)


# ---- what workers say ---------------------------------------------------------------------------


def test_what_libraries_say_is_a_line_of_the_log(tmp_path, caplog):
    plan = planned(tmp_path, 2, _1=["talk"])
    assert run_shards(tmp_path, plan, range(2), workers=2) == {}
    words = [text.split(": ", 1) for text in caplog.messages]
    (pid,) = {one["pid"] for one in met(tmp_path, 1)}
    told = [[f"worker {pid}", "a library warns"], [f"worker {pid}", "a library prints"]]
    assert sorted(words) == sorted(told)


def test_nothing_is_imported_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise SystemExit('evil')")
    monkeypatch.chdir(tmp_path)
    plan = planned(tmp_path / "run", 2)
    assert run_shards(tmp_path / "run", plan, range(2), workers=2) == {}


# ---- shards that fail ---------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_its_shard_scored_again(tmp_path, caplog):
    plan = planned(tmp_path / "run", 4, _1=["kill", "kill", ""])
    assert run_shards(tmp_path / "run", plan, range(4), workers=2) == {}
    sound = planned(tmp_path / "sound", 4)
    run_shards(tmp_path / "sound", sound, range(4), workers=1)
    assert content(tmp_path / "run", plan) == content(tmp_path / "sound", sound)
    assert len(met(tmp_path / "run", 1)) == 3
    assert [text.split(";")[0] for text in caplog.messages] == [
        "shard 1: its worker was ended by SIGKILL"
    ] * 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_always_fails_is_given_up_and_the_others_go_on(tmp_path, workers):
    fault = "kill" if workers == 2 else "ValueError"
    plan = planned(tmp_path, 4, _0=[fault])
    (failed,) = (found := run_shards(tmp_path, plan, range(4), workers=workers)).items()
    assert failed[0] == 0
    assert len(met(tmp_path, 0)) == 3
    assert [k for k, *_ in content(tmp_path, plan)] == [1, 2, 3]
    if workers == 2:
        assert "was ended by SIGKILL; if nobody did that" in found[0]
    else:
        assert failed[1].startswith("ValueError: it is bad (sitecustomize.py, line ")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_ours_that_may_pass_is_tried_again(tmp_path, workers):
    plan = planned(tmp_path, 2, _1=["TemporaryError", ""])
    assert run_shards(tmp_path, plan, range(2), workers=workers) == {}
    assert len(content(tmp_path, plan)) == 2


@pytest.mark.parametrize(
    ("kind", "workers"), [(DataError, 1), (ArtefactError, 1), (PlanError, 1), (PlanError, 2)]
)
def test_an_error_that_no_attempt_can_mend_ends_the_job(tmp_path, kind, workers):
    plan = planned(tmp_path, 4, _1=[f"{kind.__name__} new.parquet: row 17"])
    with pytest.raises(kind, match=r"^new\.parquet: row 17$") as raised:
        run_shards(tmp_path, plan, range(4), workers=workers)
    assert raised.value.exit_code == kind.exit_code
    assert len(met(tmp_path, 1)) == 1
    assert not list(tmp_path.glob("parts/.*"))


def test_every_error_of_ours_crosses_the_border():
    from fintech_dl.scoring.workers import rebuilt, told

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, errors.FintechError)]
    assert len(kinds) > 10
    for kind in kinds:
        again = rebuilt(told(kind("a, b")))
        assert (type(again), str(again)) == (kind, "a, b")


def test_a_full_disk_ends_the_job_at_once(tmp_path):
    plan = planned(tmp_path, 4, _1=["full"])
    with pytest.raises(DiskFullError, match="No space left on device"):
        run_shards(tmp_path, plan, range(4), workers=1)
    assert len(met(tmp_path, 1)) == 1
    order(tmp_path)
    assert run_shards(tmp_path, plan, [1, 2, 3], workers=1) == {}
    assert len(content(tmp_path, plan)) == 4


def test_an_artefact_that_cannot_be_opened_ends_the_job(tmp_path):
    plan = planned(tmp_path, 4, open=["PlanError another model"])
    for workers in (1, 2):
        with pytest.raises(PlanError, match="another model"):
            run_shards(tmp_path, plan, range(4), workers=workers)


def test_workers_that_never_begin_end_the_job(tmp_path):
    plan = planned(tmp_path, 4, open=["kill"])
    with pytest.raises(TemporaryError, match="workers in a row ended before they had opened"):
        run_shards(tmp_path, plan, range(4), workers=2)


def test_one_worker_goes_on_where_a_second_finds_no_room(tmp_path):
    plan = planned(tmp_path, 4, open=["", "kill"], _0=["compute 1"])
    assert run_shards(tmp_path, plan, range(4), workers=2) == {}
    assert len(content(tmp_path, plan)) == 4


# ---- the watch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_stands_still_is_given_up(tmp_path, workers):
    plan = planned(tmp_path, 4, _2=["sleep 60"])
    started = time.monotonic()
    with pytest.raises(TemporaryError, match=r"for 1 seconds \(shards in work: 2\)") as raised:
        run_shards(tmp_path, plan, range(4), workers=workers, stall=1.0)
    assert raised.value.exit_code == 75
    assert time.monotonic() - started < 20
    assert not any(alive(one["pid"]) for one in met(tmp_path, 2) if workers > 1)
    assert not list(tmp_path.glob("parts/.*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_takes_long_stands_not_still(tmp_path, workers):
    plan = planned(tmp_path, 2, _0=["compute 1.2"], _1=["compute 1.2"])
    assert run_shards(tmp_path, plan, range(2), workers=workers, stall=0.5) == {}


def test_the_watch_leaves_no_alarm(tmp_path):
    plan = planned(tmp_path, 1)
    run_shards(tmp_path, plan, [0], workers=1, stall=1.0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


# ---- the end of the parent ----------------------------------------------------------------------


def driven(run: Path) -> tuple[subprocess.Popen, list[int]]:
    """Start a job of two workers that sleep in their shards; return it and its workers."""
    home = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(STAND_IN), home])}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(run)], env=env, start_new_session=True
    )
    wait_for(lambda: met(run, 0) and met(run, 1))
    return process, [met(run, k)[0]["pid"] for k in (0, 1)]


@pytest.mark.parametrize(
    ("number", "group", "code"),
    [
        (signal.SIGKILL, False, -9),
        (signal.SIGTERM, False, 143),
        (signal.SIGINT, True, 130),
    ],
    ids=["killed", "SIGTERM", "Ctrl-C of a terminal"],
)
def test_no_worker_outlives_its_parent(tmp_path, number, group, code):
    plan = planned(tmp_path, 4, _0=["sleep 60", ""], _1=["sleep 60", ""])
    process, pids = driven(tmp_path)
    (os.killpg if group else os.kill)(process.pid, number)
    assert process.wait(20) == code
    wait_for(lambda: not any(map(alive, pids)), 5.0)
    assert not list(tmp_path.glob("parts/.*")), "a worker has time to clear away its file"
    assert content(tmp_path, plan) == []
    assert run_shards(tmp_path, plan, range(4), workers=1) == {}
    assert len(content(tmp_path, plan)) == 4


def test_the_log_is_of_this_package():
    from fintech_dl.scoring.local import log

    assert log is logging.getLogger("fintech_dl.scoring")
