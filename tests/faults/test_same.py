"""Families 16, 24 and 28: clocks, time zones, threads, forks, shards, workers change no bit."""

import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fintech_dl.scoring import batches, engine
from fintech_dl.scoring.audit import verify
from fintech_dl.scoring.jobs import plan_scores, resume_scores, score_files
from fintech_dl.scoring.reading import read_scores
from fintech_dl.scoring.status import gc, status
from tests.faults.conftest import NIGHTLY, scaled
from tests.faults.world import (
    MOMENT,
    environment,
    failing,
    loans,
    run_alone,
    score_again,
    small_shards,
    tried,
    truth,
    words_of,
    write,
)

# ---- 16 -----------------------------------------------------------------------------------------

ZONES = [
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Bad/Zone",
]


@pytest.mark.parametrize("zone", ZONES)
def test_the_machine_s_time_zone(world, place, tally, monkeypatch, zone):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        try:
            assert score_again(world.artefact, world.inputs, place / "out") is None
        finally:
            patch.undo()
            time.tzset()
    assert truth(place / "out") == world.right
    tally(16, 1)


MOMENTS = {  # of the rows' time, and whether they lie after the moment of the data
    "2024-02-29 23:59:59.999999": False,
    "2024-03-31 02:30:00": False,  # an hour that clocks in Berlin never showed
    "2023-10-29 02:30:00": False,  # one that they showed twice
    "1969-12-31 23:59:59": False,
    "1900-02-28": False,
    "2038-01-19 03:14:08": True,
    "2106-02-07 06:28:16": True,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_moments_of_rows(world, place, tally, moment):
    frame = loans(50, seed=3)
    write(frame, place / "a.parquet")
    write(frame.assign(at=pd.Timestamp(moment)), place / "b.parquet")
    found = []
    for name in ("a", "b"):
        out = place / name
        assert score_again(world.artefact, place / f"{name}.parquet", out) is None
        come = truth(out)
        found.append(sorted(row[-2] for row in come.scores))
    late = MOMENTS[moment]
    assert come.totals["quarantined"] == (50 if late else 0)
    assert found[1] == ([] if late else found[0]), "the time is no feature"
    tally(16, 1)


@pytest.mark.parametrize("years", [-40, 0, 40, 80])
def test_the_machine_s_clock_goes_wrong_between_plan_and_end(world, place, tally, years):
    """Files of the run seem to be of another century: nothing is told by the clock."""
    out = place / "out"
    plan_scores(world.artefact, world.inputs, out, as_of=MOMENT)
    with failing("part.temp:before:full:6"):
        assert tried(resume_scores, out).exit_code == 75
    at = int((time.time() + years * 365 * 86_400) * 1e9)
    for path in out.rglob("*"):
        os.utime(path, ns=(at, at))
    assert tried(resume_scores, out) is None
    assert truth(out) == world.right
    for path in out.rglob("*"):
        os.utime(path, ns=(at, at))
    assert verify(out)["faults"] == []
    gc(out)
    assert truth(out) == world.right
    assert status(out)["runs"][0]["state"] == "finished"
    tally(16, 1)


WORLD = sorted(available_timezones() - {*ZONES, "localtime"})


@pytest.mark.parametrize("seed", range(scaled(1, 47)))
def test_clocks_at_random(world, place, tally, monkeypatch, seed):
    """In another zone, rows of the moments when its clocks are turned, and times of files."""
    rng = random.Random(f"clocks {seed}")
    zone = rng.choice(WORLD)
    first = datetime(rng.randrange(1950, 2024), 1, 1, tzinfo=UTC)
    hours = [first + timedelta(hours=n) for n in range(366 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    turned = [i for i in range(1, len(hours)) if offsets[i] != offsets[i - 1]]
    moment = hours[rng.choice(turned or [rng.randrange(len(hours) - 24)])].replace(tzinfo=None)
    frame = loans(50, seed=seed)
    at = pd.Timestamp(moment) + pd.to_timedelta(range(0, 50 * 30, 30), "min")  # of a whole day
    write(frame, place / "sound.parquet")
    write(frame.assign(at=at.astype("datetime64[us]")), place / "new.parquet")
    found = {}
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        try:
            for name in ("sound", "new"):
                path = place / f"{name}.parquet"
                os.utime(path, (rng.randrange(-(2**31), 2**33), rng.randrange(2**33)))
                assert score_again(world.artefact, path, place / name) is None
                found[name] = read_scores(place / name).set_index("loan")["score"]
        finally:
            patch.undo()
            time.tzset()
    assert found["new"].equals(found["sound"]), (zone, moment)
    assert len(found["new"]) == 50
    assert verify(place / "new")["faults"] == []
    tally(16, 1)


# ---- 28 -----------------------------------------------------------------------------------------


def scores_of(out):
    """Return what is right of rows whatever their row groups are."""
    found = truth(out)
    scores = sorted((row[0], *row[2:]) for row in found.scores.elements())
    totals = {key: n for key, n in found.totals.items() if key != "shards"}
    return scores, sorted(found.aside.elements()), totals, found.counts


@pytest.fixture(scope="module")
def right(world):
    return scores_of(world.out)


@pytest.mark.parametrize("rows", [1, 60, 100, 130, 250, 399, 1_000, 262_144])
def test_size_of_shards(world, place, right, tally, rows):
    with small_shards(rows):
        assert score_again(world.artefact, world.inputs, place / "out") is None
    assert scores_of(place / "out") == right
    tally(28, 1)


@pytest.mark.parametrize("rows", [1_024, 2_048, 65_536])
@pytest.mark.parametrize("block", [16, 1_000])
def test_size_of_batches(world, place, right, tally, monkeypatch, rows, block):
    monkeypatch.setattr(batches, "BLOCK", block)
    real = batches.stream
    size = min(rows, block * (rows // 1_024))
    monkeypatch.setattr(engine, "stream", lambda *a, **k: real(*a, **{**k, "rows": size}))
    assert score_again(world.artefact, world.inputs, place / "out") is None
    assert scores_of(place / "out") == right
    tally(28, 1)


@pytest.mark.parametrize("group", [1, 7, 50, 399, 400])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_how_the_input_is_written(world, place, right, tally, monkeypatch, group, compression):
    """The same rows in other row groups and packed otherwise, in a folder of the same name."""
    inputs = place / "in"
    inputs.mkdir()
    for path in sorted(world.inputs.iterdir()):
        pq.write_table(
            pq.read_table(path),
            inputs / path.name,
            row_group_size=group,
            compression=compression,
            write_page_checksum=True,
        )
    assert score_again(world.artefact, inputs, place / "out") is None
    found = scores_of(place / "out")
    here, there = str(inputs), str(world.inputs)
    scores = [(row[0].replace(here, there), *row[1:]) for row in found[0]]
    aside = [(row[0].replace(here, there), *row[1:]) for row in found[1]]
    assert (scores, aside, *found[2:]) == right
    tally(28, 1)


@pytest.mark.parametrize("stops", [(1,), (2, 3), (12,), (5, 5, 5), (1, 1, 1, 1, 1)])
def test_how_often_it_is_resumed(world, place, right, tally, stops):
    out = place / "out"
    for stop in stops:
        with failing(f"part.temp:before:full:{stop}"):
            found = score_again(world.artefact, world.inputs, out)
            assert found is None or found.exit_code in (75, 99)
    found = score_again(world.artefact, world.inputs, out)
    assert found is None or found.exit_code == 99
    assert scores_of(out) == right
    tally(28, 1)


@pytest.mark.parametrize("threads", ["1", "2", "7"])
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_and_threads(world, place, right, tally, threads, workers):
    words = words_of(world.artefact, world.inputs, place / "out", "--workers", workers)
    code, _, err = run_alone(*words, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    assert code == 0, err
    assert scores_of(place / "out") == right
    tally(28, 1)


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2)])
def test_order_of_files(world, place, right, tally, order):
    """Scores stay; which of two rows of a key came first does not."""
    named = sorted(world.inputs.iterdir())
    found = score_again(
        world.artefact, [named[i] for i in order], place / "out", duplicates="report"
    )
    assert found is None
    come = dict((row[:2], row[-2]) for row in scores_of(place / "out")[0])
    wanted = dict((row[:2], row[-2]) for row in right[0])
    assert wanted.items() <= come.items()
    tally(28, 1)


@pytest.mark.parametrize("seed", range(3))
def test_rows_alone_and_among_others(world, place, tally, seed):
    frame = loans(200, seed=seed)
    write(frame, place / "all.parquet")
    assert score_again(world.artefact, place / "all.parquet", place / "all") is None
    of_all = {row[3]: row[-2] for row in truth(place / "all").scores}
    for first, last in ((0, 1), (199, 200), (63, 127)):
        path = write(frame[first:last], place / f"{first}.parquet")
        assert score_again(world.artefact, path, place / f"{first}") is None
        alone = {row[3]: row[-2] for row in truth(place / f"{first}").scores}
        assert alone == {key: of_all[key] for key in alone}
        assert len(alone) == last - first
    tally(28, 1)


@pytest.mark.parametrize("seed", range(scaled(1, 160)))
def test_everything_at_random(world, place, right, tally, monkeypatch, seed):
    """Shards, batches, row groups, packing, workers and stops, all of them drawn at once."""
    rng = random.Random(f"same {seed}")
    inputs, out = place / "in", place / "out"
    inputs.mkdir()
    for path in sorted(world.inputs.iterdir()):
        pq.write_table(
            pq.read_table(path),
            inputs / path.name,
            row_group_size=rng.randrange(1, 401),
            compression=rng.choice(["none", "snappy", "zstd", "gzip"]),
            use_dictionary=rng.random() < 0.5,
            data_page_version=rng.choice(["1.0", "2.0"]),
            write_page_checksum=True,
        )
    real, block = batches.stream, rng.randrange(1, 1_025)
    monkeypatch.setattr(batches, "BLOCK", block)
    size = block * rng.randrange(1, 9)
    monkeypatch.setattr(engine, "stream", lambda *a, **k: real(*a, **{**k, "rows": size}))
    workers = rng.choice([1] * 9 + [2]) if NIGHTLY else 1
    with small_shards(rng.randrange(20, 600)):
        for _ in range(rng.randrange(4)):
            point = rng.choice(["part.temp", "part.rename", "commit.link"])
            with failing(f"{point}:{rng.choice(['before', 'after'])}:full:{rng.randrange(1, 5)}"):
                found = score_again(world.artefact, inputs, out)
            assert found is None or found.exit_code in (75, 99), found
        found = score_again(world.artefact, inputs, out, workers=workers)
        assert found is None or found.exit_code == 99, found
    come = scores_of(out)
    here, there = str(inputs), str(world.inputs)
    scores, aside = ([(row[0].replace(here, there), *row[1:]) for row in rows] for rows in come[:2])
    assert (scores, aside, *come[2:]) == right
    tally(28, 1)


# ---- 24 -----------------------------------------------------------------------------------------


def test_in_a_thread_and_in_several(world, place, tally):
    found = []

    def score(name):
        found.append(score_again(world.artefact, world.inputs, place / name))

    threads = [threading.Thread(target=score, args=(name,), daemon=True) for name in "abc"]
    threads[0].start()
    threads[0].join(60)
    for thread in threads[1:]:
        thread.start()
    for thread in threads[1:]:
        thread.join(60)
    assert found == [None] * 3
    assert all(truth(place / name) == world.right for name in "abc")
    tally(24, 2)


MISUSE = """
import {first}
import multiprocessing, os, sys
from fintech_dl.scoring import planning
from fintech_dl.scoring.plan import cut_shards
planning.cut_shards = lambda sources: cut_shards(sources, 100)
from fintech_dl.scoring.jobs import score_files

def score(name):
    score_files(sys.argv[1], sys.argv[2], sys.argv[3] + name, as_of=sys.argv[4], {more})

if __name__ == "__main__":
    {before}
    {how}
"""
WAYS = {
    "a process after fork": (
        "numpy",
        "",
        "pid = os.fork(); score('c') if pid == 0 else os.waitpid(pid, 0)",
        "c",
    ),
    "a process after fork, when its parent has scored": (
        "numpy",
        "score('p')",
        "pid = os.fork(); (score('c'), os._exit(0)) if pid == 0 else os.waitpid(pid, 0)",
        "pc",
    ),
    "spawn": (
        "numpy",
        "",
        "p = multiprocessing.get_context('spawn').Process(target=score, args='c'); p.start(); "
        "p.join()",
        "c",
    ),
    "joblib": (
        "numpy",
        "",
        "import joblib; joblib.Parallel(n_jobs=2)(joblib.delayed(score)(n) for n in 'cd')",
        "cd",
    ),
    "when TensorFlow was imported before": ("keras", "", "score('c')", "c"),
}


@pytest.mark.parametrize("name", WAYS)
def test_start_methods(world, place, tally, name):
    first, before, how, made = WAYS[name]
    script = place / "script.py"
    more = "workers=2" if "TensorFlow" in name else ""
    script.write_text(MISUSE.format(first=first, before=before or "pass", how=how, more=more))
    words = [sys.executable, script, world.artefact, world.inputs, place / "out-", MOMENT]
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, env=environment(), timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for one in made:
        assert truth(place / f"out-{one}") == world.right
    tally(24, 1)


def test_in_a_daemon_of_a_pool(world, place, tally):
    """A pool's own processes may start none by multiprocessing: ours are started otherwise."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        waited = pool.apply_async(
            _score, (str(world.artefact), str(world.inputs), str(place / "out"))
        )
        waited.get(120)
    assert sum(truth(place / "out").scores.values()) == 1_195
    tally(24, 1)


def _score(artefact, inputs, out):
    with small_shards():
        score_files(artefact, inputs, out, as_of=MOMENT, workers=2)
