"""Family 26: from a query to a table, cut anywhere: delivered once, whole.

Cuts within the reading of a query and within the delivery, crashes of the server, serialization
failures and duplicate deliveries are in tests/scoring/test_landing_queries.py and test_sql_sink.py.
"""

import random
import sqlite3
from contextlib import suppress

import pytest

from fintech_dl.errors import NothingToDo
from fintech_dl.scoring.jobs import resume_scores
from fintech_dl.scoring.reading import read_scores
from fintech_dl.scoring.sinks import make_sink
from tests.faults.conftest import scaled
from tests.faults.world import DATASET, failing, loans, reached, score_again, small_shards, tried

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("duckdb_engine")
ROWS = 500
POINTS = [
    *((point, "full") for point in ("plan.write", "part.rename", "manifest", "pointer")),
    *((point, action) for point in ("sink.stage", "sink.publish") for action in ("raise", "full")),
]


@pytest.fixture
def bank(place, monkeypatch):
    """Return a card that asks a database for loans, and a sink in another."""
    return bank_of(loans(ROWS, seed=26), place, monkeypatch, "sqlite")


def bank_of(frame, place, monkeypatch, kind):
    with duckdb.connect(str(place / "loans.db")) as connection:
        connection.register("frame", frame)
        connection.execute("CREATE TABLE loans AS SELECT * FROM frame")
    monkeypatch.setenv("LOANS", f"duckdb:///{place}/loans.db")
    monkeypatch.setenv("SCORES", f"{kind}:///{place}/scores.db")
    card = place / "loans.toml"
    source = 'kind = "sql"\nurl_variable = "LOANS"\nquery = "SELECT * FROM loans ORDER BY loan"'
    card.write_text(DATASET.replace('kind = "file"\npath = "train.parquet"', source))
    return card, make_sink("sql", "SCORES", "scores")


def delivered(place, kind="sqlite"):
    """Return what a reader of the table sees, by row."""
    if not (place / "scores.db").exists():
        return {}
    connect = {"sqlite": sqlite3, "duckdb": duckdb}[kind].connect
    with connect(str(place / "scores.db")) as connection:
        known = connection.execute("SELECT name FROM sqlite_master WHERE name = 'scores'")
        if not known.fetchall():
            return {}
        rows = connection.execute("SELECT source_row, score FROM scores").fetchall()
    assert len(rows) == len(dict(rows))
    return dict(rows)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("point", "action"), POINTS)
def test_a_query_scored_into_a_table(world, bank, place, tally, point, action, moment):
    card, sink = bank
    out = place / "out"
    with failing(f"{point}:{moment}:{action}"):
        with suppress(RuntimeError):
            score_again(world.artefact, card, out, sink=sink)
        assert reached(point) == 1
    seen = delivered(place)
    assert len(seen) in (0, ROWS), "never half of it"
    if any(out.glob("run-*/plan.json")):
        found = tried(resume_scores, out)
    else:
        found = score_again(world.artefact, card, out, sink=sink)
    assert found is None or isinstance(found, NothingToDo), found
    scores = read_scores(out)
    wanted = dict(zip(scores["source_row"].tolist(), scores["score"].tolist(), strict=True))
    assert delivered(place) == wanted
    assert len(wanted) == ROWS
    assert isinstance(tried(resume_scores, out), NothingToDo)
    assert delivered(place) == wanted
    tally(26, 1)


SHARDS = [f"part.{step}" for step in ("temp", "write", "fsync", "rename", "sync")]
SHARDS += [f"commit.{step}" for step in ("temp", "fsync", "link")]
ONCE = [*dict.fromkeys(point for point, _ in POINTS), "plan.fsync", "plan.link", "success"]


@pytest.mark.parametrize("seed", range(scaled(1, 144)))
def test_a_query_cut_again_and_again(world, place, tally, monkeypatch, seed):
    """One to three cuts at points drawn at random, of shards and databases drawn at random."""
    rng = random.Random(f"databases {seed}")
    rows, kind = rng.randrange(1, 900), rng.choice(["sqlite", "duckdb"])
    card, sink = bank_of(loans(rows, seed=seed), place, monkeypatch, kind)
    out = place / "out"
    with small_shards(rng.randrange(40, 400)):
        for _ in range(rng.randrange(1, 4)):
            point = rng.choice([*SHARDS, *ONCE])
            times = rng.randrange(1, 4) if point in SHARDS else 1
            action = rng.choice(["raise", "full"])
            moment = rng.choice(["before", "after"])
            with failing(f"{point}:{moment}:{action}:{times}"), suppress(RuntimeError):
                score_again(world.artefact, card, out, sink=sink)
            assert len(delivered(place, kind)) in (0, rows), "never half of it"
        found = score_again(world.artefact, card, out, sink=sink)
    assert found is None or isinstance(found, NothingToDo), found
    scores = read_scores(out)
    wanted = dict(zip(scores["source_row"].tolist(), scores["score"].tolist(), strict=True))
    assert delivered(place, kind) == wanted
    assert len(wanted) == rows
    assert isinstance(tried(resume_scores, out), NothingToDo)
    assert delivered(place, kind) == wanted
    tally(26, 1)
