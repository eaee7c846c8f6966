"""Families 3, 4 and 5: processes killed at random moments, their parents and workers, signals."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fintech_dl.errors import NothingToDo
from tests.faults.conftest import scaled
from tests.faults.world import (
    alive,
    ended,
    go,
    kill,
    loans,
    process,
    score_again,
    small_shards,
    truth,
    wait_for,
    words_of,
    write,
)

LONGEST = 0.5  # seconds that a run of the small world takes at most, but for its imports
LONG = 6  # files, of ten shards each
PARTS = 4  # of a family, so that several processes share them


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_random_moments(world, place, tally, part):
    rng = random.Random(f"kills {part}")
    killed, wanted, longest, number = 0, scaled(120, 2_000) // PARTS, LONGEST, 0
    while killed < wanted:
        out, number = place / f"out{number}", number + 1
        for _ in range(10):
            with process(*words_of(world.artefact, world.inputs, out)) as started:
                go(started)
                began = time.monotonic()
                time.sleep(rng.random() * longest)
                kill(started)
                code, _, err = ended(started)
            if code != -signal.SIGKILL:
                assert code in (0, 99), err  # 99: killed when all was done
                longest = max(0.05, 0.8 * (time.monotonic() - began))
                break
            killed += 1
            longest = min(LONGEST, longest * 1.1)
        found = score_again(world.artefact, world.inputs, out)
        assert found is None or isinstance(found, NothingToDo), found
        assert truth(out) == world.right, f"run {number} of part {part}"
    tally(3, killed)


@pytest.fixture(scope="module")
def long(world, tmp_path_factory):
    """Return files that take seconds, and what is right."""
    folder = tmp_path_factory.mktemp("long")
    for n in range(LONG):
        write(loans(1_000, n, first=1 + 1_000 * n), folder / "in" / f"day{n}.parquet")
    with small_shards():
        assert score_again(world.artefact, folder / "in", folder / "out") is None
    return folder / "in", truth(folder / "out")


@pytest.mark.parametrize("part", range(2))
def test_parents_workers_and_groups_are_killed(world, long, place, tally, part):
    rng = random.Random(f"processes {part}")
    inputs, right = long
    killed, wanted, number = 0, scaled(30, 300) // 2, 0
    while killed < wanted:
        out, number, pids = place / f"out{number}", number + 1, set()
        code, whom = None, ["worker", "worker", "parent", "worker", "group", "worker"]
        rng.shuffle(whom)
        while code not in (0, 99):
            words = words_of(world.artefact, inputs, out, "--workers", 2)
            with process(*words, start_new_session=True) as started:
                go(started)
                while alive(started.pid):
                    until = commits(out) + rng.randrange(1, 10)
                    wait_for(
                        lambda one=started, to=out, n=until: commits(to) >= n or not alive(one.pid)
                    )
                    pids |= (victims := workers_of(started.pid))
                    if alive(started.pid) and victims and whom:
                        killed += slain(whom.pop(), started.pid, rng.choice(sorted(victims)))
                code, _, err = ended(started)
            assert code in (0, -signal.SIGKILL, 99), err
            wait_for(lambda pids=pids: not any(map(alive, pids)), 30.0)
        assert truth(out) == right
        assert not list(out.glob("run-*/parts/broken-*"))
    tally(4, killed)


def slain(target: str, parent: int, worker: int) -> bool:
    """Kill one of a job's processes, or all; return whether it still lived."""
    with suppress(ProcessLookupError):
        if target == "group":
            os.killpg(parent, signal.SIGKILL)
        else:
            os.kill(parent if target == "parent" else worker, signal.SIGKILL)
        return True
    return False


def workers_of(pid: int) -> set[int]:
    with suppress(OSError):
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return set()


def commits(out: Path) -> int:
    return len(list(out.glob("run-*/commits/[0-9]*.json")))


SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signals(world, place, tally, number):
    rng = random.Random(number.name)
    met = 0
    for i in range(scaled(4, 20)):
        out = place / f"out{i}"
        with process(
            *words_of(world.artefact, world.inputs, out, "--workers", 1 + (i == 3)),
            more={"FAULTS_SHARD": "10"},
        ) as started:
            go(started)
            wanted = rng.randrange(1, 18)
            wait_for(
                lambda out=out, wanted=wanted, one=started: (
                    commits(out) >= wanted or one.poll() is not None
                )
            )
            kill(started, number)
            code, _, err = ended(started)
        assert "Traceback" not in err
        assert code in (SIGNALS[number], 0), (code, err)
        met += code != 0
        assert not list(out.rglob("*.tmp")), "it has time to clear away"
        found = score_again(world.artefact, world.inputs, out)
        assert found is None or isinstance(found, NothingToDo), found
        assert truth(out) == world.right
    assert met
    tally(5, met)
