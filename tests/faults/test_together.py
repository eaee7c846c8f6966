"""Families 6, 7 and 17: several runs at once, of one key and of several; input that changes."""

import json
import os
import random
import select
import shutil
import subprocess
import sys
from contextlib import ExitStack
from itertools import product

import pyarrow.parquet as pq
import pytest

from fintech_dl.errors import NothingToDo, PlanError
from fintech_dl.scoring import engine
from fintech_dl.scoring.jobs import plan_scores, resume_scores
from tests.faults.conftest import NIGHTLY, scaled
from tests.faults.world import (
    MOMENT,
    SHARD,
    environment,
    failing,
    loans,
    score_again,
    tried,
    truth,
    write,
)

# Stays: it scores whenever a line says so, and answers with the exit code of the command line.
RESIDENT = f"""
import json, sys, time
from fintech_dl.errors import FintechError
from fintech_dl.scoring import engine, jobs, lock, planning, preparing
from fintech_dl.scoring.plan import cut_shards
planning.cut_shards = lambda sources: cut_shards(sources, {SHARD})
flock = lock.fcntl.flock
def none(*_):
    raise OSError("this file system knows no locks")
for line in sys.stdin:
    told = json.loads(line)
    lock.fcntl.flock = none if told["unlocked"] else flock
    try:
        time.sleep(told.get("later", 0.0))
        more = {{"as_of": "{MOMENT}", **told.get("more", {{}})}}
        jobs.score_files(told["artefact"], told["inputs"], told["out"], **more)
        answer = [0, ""]
    except FintechError as error:
        answer = [error.exit_code, str(error)]
    print(json.dumps(answer), flush=True)
"""
FOUR = 4


@pytest.fixture(scope="module")
def crew():
    """Start four processes that score on demand, all at once."""
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        line = [sys.executable, "-c", RESIDENT]
        members = [
            stack.enter_context(
                subprocess.Popen(line, env=environment(), stdin=pipe, stdout=pipe, text=True)
            )
            for _ in range(FOUR)
        ]
        yield members
        for member in members:
            member.kill()


def at_once(crew, *told):
    """Let processes score these at the same time; return how each ended."""
    for member, one in zip(crew, told, strict=False):
        member.stdin.write(json.dumps(one) + "\n")
    for member, _ in zip(crew, told, strict=False):
        member.stdin.flush()
    return [answer(member) for member, _ in zip(crew, told, strict=False)]


def answer(member):
    assert select.select([member.stdout], [], [], 60)[0], "waited in vain"
    return json.loads(member.stdout.readline())


def test_runs_of_one_key(world, crew, place, tally):
    rng = random.Random("one key")
    times = scaled(20, 400)
    for number in range(times):
        out, unlocked = place / f"out{number}", number % 2 == 1
        told = {
            "artefact": str(world.artefact),
            "inputs": str(world.inputs),
            "out": str(out),
            "unlocked": unlocked,
        }
        found = at_once(crew, *[told] * rng.randrange(2, FOUR + 1))
        codes = sorted(code for code, _ in found)
        assert set(codes) <= {0, 7, 99} - ({7} if unlocked else set()), found
        assert 0 in codes, found
        assert truth(out) == world.right, number
        assert isinstance(score_again(world.artefact, world.inputs, out), NothingToDo)
        commits = [path.name for path in out.glob("run-*/commits/*")]
        parts = [path.name for path in out.glob("run-*/parts/*")]
        assert sorted(commits) == [f"{k:05d}.json" for k in range(12)]
        assert len(parts) == 12, "a loser removes its own"
        assert len(list(out.glob("run-*"))) == 1
        shutil.rmtree(out)
    tally(6, times)


OTHER = [{}, {"as_of": "2024-05-01"}, {"duplicates": "report"}]  # settings, beside another model


def test_runs_of_several_keys(world, crew, place, tally):
    """Of two models or settings in one folder one wins; the other is told, and adds its own."""
    rng = random.Random("several keys")
    for number in range(scaled(8, 48)):
        out = place / f"out{number}"
        mine = {"inputs": str(world.inputs), "out": str(out), "unlocked": number % 2 == 1}
        more = rng.choice(OTHER) if NIGHTLY else {}
        another = str(world.artefact if more else world.other)
        told = [
            {**mine, "artefact": str(world.artefact)},
            {**mine, "artefact": another, "more": more, "later": rng.random() * 0.3 * NIGHTLY},
        ]
        codes = [code for code, _ in at_once(crew, *told)]
        assert set(codes) <= {0, 6, 7}, codes
        assert 0 in codes
        runs = list(out.glob("run-*/MANIFEST.json"))
        assert len(runs) == codes.count(0)
        if codes == [0, 6] or codes == [0, 7]:
            assert truth(out) == world.right
        tally(7, 1)
        shutil.rmtree(out)
    out = place / "out"
    assert score_again(world.artefact, world.inputs, out) is None
    for more in ({"as_of": None}, {"duplicates": "report"}):
        given = {"as_of": MOMENT, **more}
        from fintech_dl.scoring.jobs import score_files

        found = tried(score_files, world.artefact, world.inputs, out, **given)
        assert isinstance(found, PlanError)
        assert found.exit_code == 6
        tally(7, 1)
    assert score_again(world.other, world.inputs, out, new_run=True) is None
    assert truth(out).scores != world.right.scores
    assert len(list(out.glob("run-*/MANIFEST.json"))) == 2


# ---- 17 -----------------------------------------------------------------------------------------


def appended(path):
    with path.open("ab") as stream:
        stream.write(b"more")


def other_rows(path):
    write(loans(400, seed=77), path)


def same_size(path):
    """Change a cell, and let size and time of change be what they were."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def renamed_into_place(path):
    new = path.with_suffix(".new")
    write(loans(400, seed=78), new)
    os.replace(new, path)


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_link_to_another(path):
    path.unlink()
    path.symlink_to(write(loans(400, seed=79), path.with_suffix(".other")))


def deleted(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


CHANGES = [
    appended,
    other_rows,
    same_size,
    renamed_into_place,
    a_folder,
    a_link_to_another,
    deleted,
    emptied,
]


@pytest.mark.parametrize("change", CHANGES)
def test_input_that_changes_after_the_plan(world, place, tally, change):
    shutil.copytree(world.inputs, place / "in")
    out = place / "out"
    plan_scores(world.artefact, place / "in", out, as_of=MOMENT)
    change(place / "in" / "day1.parquet")
    found = tried(resume_scores, out)
    assert isinstance(found, PlanError), found
    assert found.exit_code == 6
    assert "day1.parquet" in str(found)
    assert not (out / "latest.json").exists()
    tally(17, 1)


@pytest.mark.parametrize("change", CHANGES[:5])
def test_input_that_changes_while_it_is_read(world, place, tally, change, monkeypatch):
    """The scores of a piece that was touched while it was read are not committed."""
    changed_while_read(world, place, monkeypatch, change, "day1.parquet", 1)
    tally(17, 1)


def changed_while_read(world, place, monkeypatch, change, name, read):
    """Change a file when so many pieces of it have been read; put it back and go on."""
    shutil.copytree(world.inputs, place / "in")
    out, path = place / "out", place / "in" / name
    real, pieces = engine.stream, []

    def stream(where, source, piece, *more):
        for number, batch in enumerate(real(where, source, piece, *more)):
            yield batch
            if where == path and number == 0:
                pieces.append(piece)
                if len(pieces) == read:
                    change(path)

    monkeypatch.setattr(engine, "stream", stream)
    found = score_again(world.artefact, place / "in", out)
    assert len(pieces) == read
    assert isinstance(found, PlanError), found
    assert not (out / "latest.json").exists()
    monkeypatch.setattr(engine, "stream", real)
    put_back(world.inputs / name, path)
    assert tried(resume_scores, out) is None
    assert sum(truth(out).scores.values()) == sum(world.right.scores.values())


def put_back(sound, path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    shutil.copy(sound, path)
    os.utime(path, ns=(0, 0))


DAYS = [f"day{n}.parquet" for n in range(3)]
PLACES = [  # at night: a change, of which file, after how many shards, or pieces of it being read
    *product(CHANGES, DAYS, ["shards"], range(1, 12)),
    *product(CHANGES, DAYS, ["read"], range(2, 5)),
]


@pytest.mark.parametrize(
    ("change", "name", "moment", "number"), random.Random("changes").sample(PLACES, scaled(1, 87))
)
def test_input_that_changes_anywhere(
    world, place, tally, monkeypatch, change, name, moment, number
):
    if moment == "read":
        changed_while_read(world, place, monkeypatch, change, name, number)
    else:
        shutil.copytree(world.inputs, place / "in")
        out, path = place / "out", place / "in" / name
        with failing(f"part.temp:before:full:{number + 1}"):
            assert score_again(world.artefact, place / "in", out).exit_code == 75
        change(path)
        found = tried(resume_scores, out)
        if number < 4 * (DAYS.index(name) + 1):
            assert isinstance(found, PlanError), found
            assert name in str(found)
            assert not (out / "latest.json").exists()
            put_back(world.inputs / name, path)
            found = tried(resume_scores, out)
        assert found is None, "all of the file was scored before it changed: it is not read again"
        assert truth(out).totals == world.right.totals
        assert truth(out).counts == world.right.counts
    tally(17, 1)


def test_input_that_is_touched_is_the_same(world, place):
    shutil.copytree(world.inputs, place / "in")
    plan_scores(world.artefact, place / "in", place / "out", as_of=MOMENT)
    for path in (place / "in").iterdir():
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(10**18, 10**18))
        assert pq.read_metadata(path).num_rows
    assert tried(resume_scores, place / "out") is None
    assert truth(place / "out").counts == world.right.counts
