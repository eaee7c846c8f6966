"""Family 25 at night: actors, raylets and drivers of Ray killed at random moments."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from fintech_dl.scoring.commits import committed
from fintech_dl.scoring.workers import run_shards
from tests.faults.conftest import NIGHTLY
from tests.faults.world import alive
from tests.scoring.shards import STAND_IN, content, met, order, planned, use_stand_in
from tests.scoring.test_ray import DRIVER, HOME, SOON, processes, wait_for
from tests.scoring.test_ray import cluster as cluster

pytestmark = pytest.mark.skipif(not NIGHTLY, reason="FINTECH_DL_FAULTS=nightly: it takes minutes")
SHARDS, OF_A_RUN = 8, 2  # kills of a run: a shard whose actor is lost three times is given up
LONGEST = 8.0  # seconds in which a driver starts its cluster and scores


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    use_stand_in(monkeypatch)


def sleeping(run, seconds):
    return planned(run, SHARDS, **{f"_{k}": [f"sleep {seconds}"] for k in range(SHARDS)})


@pytest.fixture
def right(tmp_path):
    run = tmp_path / "right"
    plan = planned(run, SHARDS)
    assert run_shards(run, plan, range(SHARDS), workers=1) == {}
    return content(run, plan)


def finish(run, plan):
    """Score what is left, in this process."""
    order(run)
    left = [k for k in range(SHARDS) if k not in committed(run)]
    assert not left or run_shards(run, plan, left, workers=1) == {}


@pytest.mark.parametrize("part", range(4))
def test_actors_killed_at_random_moments(cluster, tmp_path, right, tally, part):
    rng, killed, number = random.Random(f"actors {part}"), 0, 0
    while killed < 20:
        run, number = tmp_path / f"run{number}", number + 1
        plan, over, hit = sleeping(run, 0.3), threading.Event(), []
        moments = sorted(rng.uniform(0, 1.5) for _ in range(OF_A_RUN))  # after the first shard

        def killer(run=run, over=over, hit=hit, moments=moments):
            while not met(run, "open"):
                if over.wait(0.01):
                    return
            began = time.monotonic()
            for moment in moments:
                if over.wait(max(0.0, began + moment - time.monotonic())):
                    return
                pids = {one["pid"] for k in (*range(SHARDS), "open") for one in met(run, k)}
                working = [pid for pid in sorted(pids) if alive(pid)]
                if working:
                    pid = rng.choice(working)
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        hit.append(pid)

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            assert run_shards(run, plan, range(SHARDS), executor="ray") == {}
        finally:
            over.set()
            thread.join()
        assert content(run, plan) == right
        killed += len(set(hit))
        assert number < 60, "hardly any actor is hit"
    tally(25, killed)


def driver(run):
    """Start a job on a cluster of its own."""
    path = os.pathsep.join([str(STAND_IN), HOME])
    env = {**os.environ, "PYTHONPATH": path, "RAY_ADDRESS": "local", **SOON}
    code = DRIVER.replace("range(4)", f"range({SHARDS})")
    return subprocess.Popen(
        [sys.executable, "-c", code, str(run)], env=env, stdout=subprocess.PIPE, text=True
    )


def raylets(process):
    """Return the raylets of a driver's session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_text()
            if f"_{process.pid}/sockets/raylet" in words and "/raylet\0" in words:
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("whom", ["driver", "raylet"])
def test_drivers_and_raylets_killed_at_random_moments(tmp_path, right, tally, whom, seed):
    rng, run = random.Random(f"{whom} {seed}"), tmp_path / "run"
    plan = sleeping(run, 0.5)
    process = driver(run)
    if whom == "raylet":  # a few while it starts, which Ray sees after half a minute
        begun = partial(raylets, process) if seed < 3 else partial(met, run, 0)
        wait_for(lambda: begun() or process.poll() is not None)
    time.sleep(rng.uniform(0, LONGEST if whom == "driver" else 2.5))
    struck = raylets(process) if whom == "raylet" else [process.pid]
    for pid in struck:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    out = process.communicate(timeout=120)[0]
    codes = {0, 75} if whom == "raylet" else {0, -signal.SIGKILL}
    if whom == "raylet" and not met(run, "open"):
        codes |= {1}  # Ray's own C++ ends a process whose raylet dies while it registers there
    assert process.returncode in codes, out
    wait_for(lambda: not processes(f"_{process.pid}/"))
    assert content(run, plan) == [one for one in right if one[0] in committed(run)]
    finish(run, plan)
    assert content(run, plan) == right
    tally(25, len(struck))
