"""Laws of the Ray executor: the commits of one process, whatever befalls the cluster."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fintech_dl import MLP, NeuralClassifier, score
from fintech_dl.errors import DataError, TemporaryError, UsageError
from fintech_dl.scoring import clusters, on_ray
from fintech_dl.scoring.standby import SHARD_BYTES, begin, standby
from fintech_dl.scoring.workers import run_shards
from tests.scoring.artefacts import make_artefact, payments, write
from tests.scoring.shards import STAND_IN, content, met, planned, score_all, use_stand_in

ray = pytest.importorskip("ray", reason="ray is not installed: no test of its executor")

HOME = str(Path(__file__).parents[2])
DRIVER = """
import signal, sys
from pathlib import Path
from fintech_dl.errors import FintechError
from fintech_dl.scoring.plan import read_plan
from fintech_dl.scoring.workers import run_shards
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
run = Path(sys.argv[1])
try:
    print(run_shards(run, read_plan(run), range(4), workers=2, executor="ray"))
except KeyboardInterrupt:
    sys.exit(130)
except FintechError as error:
    print(error)
    sys.exit(error.exit_code)
"""
PLANNER = """
import signal, sys, time
from pathlib import Path
from fintech_dl.scoring import jobs, standby
from fintech_dl.scoring.jobs import score_files
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
standby.SHARD_BYTES = 1
folder = Path(sys.argv[1])
begin = standby.begin
def noted(early, n_bytes):
    begin(early, n_bytes)
    early.joining.crew.result()
    (folder / "joined").touch()
    time.sleep(60)
jobs.begin = noted
score_files(folder / "artefact", folder / "rows.parquet", folder / "out", executor="ray")
"""


SOON = {  # is a node that was killed missed, in milliseconds
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "2",
}


@pytest.fixture(scope="module")
def cluster():
    """Start one cluster of two processors; its workers find the stand-in on their path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(STAND_IN), HOME]))
        for name, value in clusters.QUIET.items():
            patch.setenv(name, value)
        context = ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=clusters.STORE_BYTES,
        )
    yield context.address_info["address"]
    ray.shutdown()


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    use_stand_in(monkeypatch)


def processes(session: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if session in words:
            found.append(words)
    return found


def wait_for(what, seconds: float = 60.0):
    last = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.05)
    return found


def driven(run: Path, **more: str) -> subprocess.Popen:
    """Start a job whose shards 0 and 1 sleep; return it when both are in work."""
    path = os.pathsep.join([str(STAND_IN), HOME])
    env = {**os.environ, "PYTHONPATH": path, "RAY_ADDRESS": "local", **SOON, **more}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(run)], env=env, stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: met(run, 0) and met(run, 1))
    return process


def session_of(process: subprocess.Popen) -> str:
    """Return the name of the session that a driver started; it ends with the driver's number."""
    (name,) = {
        found[0]
        for words in processes(f"_{process.pid}")
        if (found := re.findall(rf"session_[-_0-9]+_{process.pid}\b", words))
    }
    return name


def test_actors_commit_what_one_process_commits(cluster, tmp_path):
    plan, told = planned(tmp_path / "ray", 5), []
    run = tmp_path / "ray"
    assert run_shards(run, plan, range(5), executor="ray", progress=told.append) == {}
    sound = planned(tmp_path / "here", 5)
    run_shards(tmp_path / "here", sound, range(5), workers=1)
    assert content(run, plan) == content(tmp_path / "here", sound)
    assert sorted(one["shard"] for one in told) == [0, 1, 2, 3, 4]
    pids = {one["pid"] for k in range(5) for one in met(run, k)}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert len(met(run, "open")) == 2
    assert met(run, 0)[0]["threads"] == "1"
    assert ray.is_initialized()


def test_ray_publishes_what_one_process_publishes(cluster, tmp_path, monkeypatch):
    monkeypatch.undo()  # the engine itself
    published = {
        executor: score_all(tmp_path, executor, workers, monkeypatch)
        for executor, workers in (("local", 1), ("ray", 2))
    }
    assert published["ray"] == published["local"]


def test_a_search_of_scikit_learn_runs_on_ray(cluster, monkeypatch):
    monkeypatch.undo()
    from ray.util.joblib import register_ray

    register_ray()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)).astype(np.float32)
    model = NeuralClassifier(network=MLP(units=[4]), epochs=2, random_state=0)
    search = GridSearchCV(
        model, {"learning_rate": [1e-4, 0.05]}, cv=2, scoring="roc_auc", refit=False
    )
    alone = clone(search).fit(X, X[:, 0] > 0)
    with joblib.parallel_config(backend="ray", n_jobs=2):
        together = clone(search).fit(X, X[:, 0] > 0)
    for name in ("mean_test_score", "std_test_score"):
        assert np.array_equal(alone.cv_results_[name], together.cv_results_[name])
    assert together.best_index_ == 1


@pytest.mark.fault(25, times=2)
def test_a_killed_actor_is_replaced_and_a_poison_shard_given_up(cluster, tmp_path):
    plan = planned(tmp_path, 5, _0=["kill"], _1=["kill", ""])
    (failed,) = run_shards(tmp_path, plan, range(5), executor="ray").items()
    assert failed[0] == 0
    assert failed[1].startswith("its actor was lost (ActorDiedError: ")
    assert [len(met(tmp_path, k)) for k in range(5)] == [3, 2, 1, 1, 1]
    assert [k for k, *_ in content(tmp_path, plan)] == [1, 2, 3, 4]


@pytest.mark.fault(25)
def test_an_error_that_no_attempt_can_mend_ends_the_job(cluster, tmp_path):
    plan = planned(tmp_path, 4, _1=["DataError new.parquet: row 17"])
    with pytest.raises(DataError, match=r"^new\.parquet: row 17$"):
        run_shards(tmp_path, plan, range(4), executor="ray")
    assert len(met(tmp_path, 1)) == 1


@pytest.mark.fault(25)
def test_more_workers_than_processors_are_refused(cluster, tmp_path):
    plan = planned(tmp_path, 4)
    with pytest.raises(UsageError, match="has 2 processors, 3 are needed; give fewer --workers"):
        run_shards(tmp_path, plan, range(4), workers=3, executor="ray")
    assert not met(tmp_path, "open")


@pytest.mark.fault(25)
def test_a_cluster_that_stands_still_is_told(cluster, tmp_path):
    plan = planned(tmp_path, 3, _0=["compute 4.5"], _2=["sleep 60"])
    started = time.monotonic()
    with pytest.raises(TemporaryError, match=r"for 4 seconds \(shards in work: 2\)"):
        run_shards(tmp_path, plan, range(3), workers=2, executor="ray", stall=4.0)
    assert time.monotonic() - started < 30
    assert [k for k, *_ in content(tmp_path, plan)] == [0, 1]


def test_a_running_cluster_is_joined_and_stays(cluster, tmp_path):
    plan = planned(tmp_path, 4, _0=["sleep 0.1"], _1=["sleep 0.1"])
    process = driven(tmp_path, RAY_ADDRESS=cluster)
    assert (process.communicate(timeout=60)[0], process.returncode) == ("{}\n", 0)
    assert not processes(f"_{process.pid}/")
    assert len(content(tmp_path, plan)) == 4
    assert ray.cluster_resources()["CPU"] == 2.0


@pytest.mark.fault(25)
@pytest.mark.parametrize("what", ["SIGTERM", "driver killed", "raylet killed"])
def test_a_job_on_its_own_cluster_leaves_nothing_behind(tmp_path, what):
    plan = planned(tmp_path, 4, _0=["sleep 90", ""], _1=["sleep 90", ""])
    process = driven(tmp_path)
    session = session_of(process)
    ports = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
    pids = [one["pid"] for one in met(tmp_path, 0)]
    if what == "raylet killed":
        (raylet,) = (
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if f"{session}/sockets/raylet" in (words := path.read_text()) and "/raylet\0" in words
        )
        os.kill(raylet, signal.SIGKILL)
    else:
        process.send_signal(signal.SIGTERM if what == "SIGTERM" else signal.SIGKILL)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == {"SIGTERM": 143, "driver killed": -9, "raylet killed": 75}[what]
    assert ("lost its last node" in out) == (what == "raylet killed")
    wait_for(lambda: not processes(session))
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert Path("/tmp/ray", session).exists() == (what == "driver killed")
    mine = [line for line in ports.splitlines() if re.search(rf"pid={process.pid}\b", line)]
    assert all("127.0.0.1" in line for line in mine)
    assert run_shards(tmp_path, plan, range(4), workers=1) == {}
    assert len(content(tmp_path, plan)) == 4


def test_actors_that_were_early_score_and_end_with_the_job(cluster, tmp_path):
    plan = planned(tmp_path, 5)
    with standby("ray", 2) as early:
        begin(early, SHARD_BYTES)
        assert early.joining is None, "few rows wait for nothing"
        begin(early, 9 * SHARD_BYTES)
        crew = early.joining.crew.result()
        actors = list(crew.idle)
        assert len(actors) == 2
        assert run_shards(tmp_path, plan, range(5), workers=2, executor="ray", early=early) == {}
    assert len(content(tmp_path, plan)) == 5
    assert len(met(tmp_path, "open")) == 2
    assert {*crew.idle} == {*actors}
    for actor in actors:
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(actor.used.remote())


@pytest.mark.fault(25)
def test_what_keeps_actors_from_starting_is_told_where_shards_are_scored(cluster, tmp_path):
    plan = planned(tmp_path, 4)
    with standby("ray", 3) as early:
        begin(early, 9 * SHARD_BYTES)
        with pytest.raises(UsageError, match="has 2 processors, 3 are needed"):
            run_shards(tmp_path, plan, range(4), workers=3, executor="ray", early=early)
    with standby("ray", 3) as early:
        begin(early, 9 * SHARD_BYTES)  # and where no shard is scored nothing is told


@pytest.mark.fault(25)
def test_a_signal_while_the_plan_is_made_ends_the_cluster_of_the_job(tmp_path):
    make_artefact(tmp_path / "artefact")
    write(payments(300), tmp_path / "rows.parquet")
    env = {**os.environ, "PYTHONPATH": HOME, "RAY_ADDRESS": "local"}
    words = [sys.executable, "-c", PLANNER, str(tmp_path)]
    process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
    wait_for((tmp_path / "joined").exists)
    session = session_of(process)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "", "no word of Ray's own handler"
    assert process.returncode == 143
    wait_for(lambda: not processes(session))
    assert not Path("/tmp/ray", session).exists()


def test_batches_are_scored_for_pipelines_of_ray_data(tmp_path, caplog):
    artefact = make_artefact(tmp_path / "artefact")
    rows = payments(300)
    rows.loc[7, "amount"] = -1.0
    scorer = on_ray.BatchScorer(artefact)
    found = scorer({name: rows[name].to_numpy() for name in rows})
    with pytest.warns(UserWarning, match="1 of 300 rows break the contract"):
        expected = score(artefact, rows)
    assert len(expected) == 299
    assert list(found) == list(expected)
    for name in found:
        assert np.array_equal(found[name], expected[name].to_numpy())
    told = "1 rows break the contract, not scored; the first: below_min:amount"
    assert caplog.messages == [told]
    make_artefact(tmp_path / "past", history="2d")
    with pytest.raises(UsageError, match="looks back 2d: give the earlier rows"):
        on_ray.BatchScorer(tmp_path / "past")


@pytest.mark.fault(25)
def test_a_cluster_that_does_not_answer_is_told_at_once(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", gone)
    with pytest.raises(TemporaryError, match=f"at {gone} does not answer .*unset RAY_ADDRESS"):
        run_shards(tmp_path, planned(tmp_path, 1), [0], executor="ray")


@pytest.mark.fault(25)
def test_the_note_of_a_crashed_cluster_is_passed_over(tmp_path, monkeypatch):
    note = tmp_path / "ray" / "ray_current_cluster"
    note.parent.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert clusters._running() == ""
    with socket.create_server(("127.0.0.1", 0)) as server:
        live = f"127.0.0.1:{server.getsockname()[1]}"
        note.write_text(live)
        assert clusters._running() == live
        monkeypatch.setenv("RAY_ADDRESS", "local")
        assert clusters._running() == ""
        monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert clusters._running() == ""
