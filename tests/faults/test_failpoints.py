"""Families 1 and 2: a run dies, raises or finds no room at each step; the same again is exact."""

import signal

import pytest

from fintech_dl.errors import DataError, DiskFullError, FintechError, NothingToDo, TemporaryError
from fintech_dl.scoring.jobs import resume_scores, score_files
from fintech_dl.scoring.reading import read_scores
from fintech_dl.scoring.store import FAILPOINT
from tests.faults.world import (
    MOMENT,
    ended,
    failing,
    go,
    process,
    reached,
    score_again,
    truth,
    words_of,
)

POINTS = [
    *(f"plan.{step}" for step in ("write", "fsync", "link")),
    *(f"part.{step}" for step in ("temp", "write", "fsync", "rename", "sync")),
    *(f"commit.{step}" for step in ("temp", "fsync", "link")),
    *("manifest", "success", "pointer"),
]
OF_SHARDS = ("part.", "commit.")
LAST = ("pointer", "after")


def spec(point, moment, action):
    """Return the failpoint: of shards the fifth, so that some are committed."""
    return f"{point}:{moment}:{action}:{5 if point.startswith(OF_SHARDS) else 1}"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_failpoint(world, place, tally, point, moment):
    out = place / "out"
    more = {FAILPOINT: spec(point, moment, "kill")}
    with process(*words_of(world.artefact, world.inputs, out), more=more) as started:
        go(started)
        code, _, err = ended(started)
    assert code == -signal.SIGKILL, err
    published = (point, moment) == LAST
    assert (out / "latest.json").exists() == published
    if not published:
        with pytest.raises(DataError, match="holds no finished scores"):
            read_scores(out)
    planned = any(out.glob("run-*/plan.json"))
    if planned and not published and moment == "after":
        resume_scores(out)
    else:
        found = score_again(world.artefact, world.inputs, out)
        assert isinstance(found, NothingToDo) == published, found
    assert truth(out) == world.right
    tally(1, 1)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("action", ["raise", "full"])
@pytest.mark.parametrize("point", POINTS)
def test_an_exception_at_a_failpoint(world, place, tally, point, action, moment):
    out = place / "out"
    found = None
    with failing(spec(point, moment, action)):
        try:
            score_files(world.artefact, world.inputs, out, as_of=MOMENT)
        except (FintechError, RuntimeError) as error:
            found = error
        assert reached(point) >= (5 if point.startswith(OF_SHARDS) else 1)
    if action == "full":
        assert isinstance(found, DiskFullError), found
        assert found.exit_code == 75
        assert "No space left on device" in str(found)
    elif point.startswith(OF_SHARDS):  # tried again, at once
        assert found is None
    else:
        assert isinstance(found, RuntimeError | TemporaryError)
    assert not list(out.rglob("*.tmp")), "an error leaves no temporary file"
    assert (out / "latest.json").exists() == (found is None or (point, moment) == LAST)
    if (point, moment, action) == ("commit.link", "after", "raise"):
        assert len(list(out.glob("run-*/parts/*"))) == 12, "a loser removes its own"
    again = score_again(world.artefact, world.inputs, out)
    assert again is None or isinstance(again, NothingToDo), again
    assert truth(out) == world.right
    tally(2, 1)
