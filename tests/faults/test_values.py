"""Families 13, 14 and 15: cells, keys and sizes that nobody expects; other rows keep their bits."""

import random
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fintech_dl.errors import DataError
from fintech_dl.scoring.jobs import plan_scores, score_files
from fintech_dl.scoring.reading import read_scores
from tests.faults.conftest import NIGHTLY, scaled
from tests.faults.world import MOMENT, loans, score_again, small_shards, truth, write

ROWS = 120
SCORED = ""  # a value that is fine, however odd it looks
MEGABYTE = "x" * 2**20

# ---- 13 -----------------------------------------------------------------------------------------

NUMBERS = {  # of a column from 0 to 1e9: the value and what becomes of the row
    "NaN": (np.nan, "missing"),
    "infinity": (np.inf, "infinite"),
    "minus infinity": (-np.inf, "infinite"),
    "minus zero": (-0.0, SCORED),
    "denormal": (5e-324, SCORED),
    "just below zero": (-5e-324, "below_min"),
    "minus one": (-1.0, "below_min"),
    "above": (np.nextafter(1e9, np.inf), "above_max"),
    "at the limit": (1e9, SCORED),
    "1e38": (1e38, "above_max"),
    "1e308": (1e308, "above_max"),
}
FREE = {  # of a number without limits that may be empty
    "NaN": (np.nan, SCORED),
    "infinity": (np.inf, "infinite"),
    "minus infinity": (-np.inf, "infinite"),
    "minus zero": (-0.0, SCORED),
    "denormal": (5e-324, SCORED),
    "1e38": (1e38, SCORED),
    "above float32": (1e39, "too_large"),
    "below float32": (-1e308, "too_large"),
}
WHOLE = {
    "at the limit": (99, SCORED),
    "above": (100, "above_max"),
    "below": (-10, "below_min"),
    "largest": (2**63 - 1, "above_max"),
    "smallest": (-(2**63), "below_min"),
    "above float64": (2**53 + 1, "above_max"),
}
TEXTS = {
    "empty": "",
    "blank": "   ",
    "null byte": "a\0b",
    "emoji": "🏦💸",
    "right to left": "\u202eabc",
    "formula": "=cmd|' /C calc'!A0",
    "words for nothing": "NaN",
    "null": "null",
    "megabyte": MEGABYTE,
    "line end": "a\nb\r\nc",
    "quote": '"',
    "half a pair": "\ufffd",
    "not unlike": "\u043ewn",  # its first letter is Cyrillic
    "long": "ß" * 1_000,
}
TIMES = {
    "1969": ("1969-12-31 23:59:59.999999", SCORED),
    "1970": ("1970-01-01", SCORED),
    "1900": ("1900-02-28", SCORED),
    "leap day": ("2024-02-29 23:59:59", SCORED),
    "future": ("2024-06-01 00:00:00.000001", "future_time"),
    "at the moment": ("2024-06-01", SCORED),
    "2038": ("2038-01-19 03:14:08", "future_time"),
    "2262": ("2262-04-11 23:47:16", "future_time"),
    "9999": ("9999-12-31", "future_time"),
    "empty": (None, "missing"),
}


def cases():
    """Yield column, name, value and the reason that it gives: ``""`` where the row is scored."""
    for column, values in (("amount", NUMBERS), ("income", FREE), ("late", WHOLE)):
        for name, (value, reason) in values.items():
            yield column, name, value, reason
    for name, text in TEXTS.items():
        yield "home", name, text, "not_allowed"
        yield "region", name, text, SCORED
        yield "note", name, text, SCORED
    for name, (value, reason) in TIMES.items():
        yield "at", name, None if value is None else pd.Timestamp(value), reason
    for column, reason in (("home", "missing"), ("region", SCORED), ("note", SCORED)):
        yield column, "none", None, reason


CASES = list(cases())


def changed(frame, column, row, value):
    """Return the rows as Arrow, with one other cell."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    cells = table.column(column).to_pylist()
    cells[row] = value
    if column == "at":
        cells = [None if v is None else pd.Timestamp(v).to_pydatetime() for v in cells]
    kind = table.schema.field(column).type
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, pa.array(cells, kind))


@pytest.fixture(scope="module")
def sound(world, tmp_path_factory):
    """Return rows, and the bits of their scores by row."""
    folder = tmp_path_factory.mktemp("sound")
    frame = loans(ROWS, seed=13)
    write(frame, folder / "new.parquet")
    score_files(world.artefact, folder / "new.parquet", folder / "out", as_of=MOMENT)
    return frame, scores_of(folder / "out")


def scores_of(out):
    frame = read_scores(out)
    return dict(zip(frame["source_row"], frame["score"].to_numpy().view(np.int64), strict=True))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_odd_values(world, sound, place, tally, kind):
    frame, right = sound
    rng = random.Random(kind)
    of = [case for case in CASES if kind == "parquet" or csv_can_hold(*case[:3])]
    wanted = scaled(100, 1_000)
    met = 0
    while met < wanted:
        column, name, value, reason = of[met % len(of)]
        row = rng.randrange(ROWS)
        table = changed(frame, column, row, value)
        if kind == "parquet":
            path = write(table, place / f"{met}.parquet")
        else:
            path = place / f"{met}.csv"
            table.to_pandas().to_csv(path, index=False)
        where = (kind, column, name, row)
        out = place / f"out{met}"
        found = score_again(world.artefact, path, out)
        assert found is None, (where, found)
        come = truth(out)
        scores = scores_of(out)
        if reason:
            ((file, at, codes),) = come.aside
            assert (file, at) == (str(path), row + 1), where
            if kind == "parquet":  # text of a CSV may be no number at all, or an empty cell
                assert f"{reason}:{column}" in codes.split(";"), (where, codes)
            assert {code.partition(":")[2] for code in codes.split(";")} == {column}, where
            assert row + 1 not in scores, where
        else:
            assert not come.aside, (where, come.aside)
            assert np.isfinite(np.int64(scores.pop(row + 1)).view(np.float64)), where
        others = {key: bits for key, bits in right.items() if key != row + 1}
        assert scores == others, where
        met += 1
        shutil.rmtree(out)
        path.unlink()
    tally(13, met)


def csv_can_hold(column, name, value):
    return name not in ("null byte", "NaN", "none", "above float64") and not (
        column == "amount" and name in ("denormal", "just below zero")
    )


# ---- 14 -----------------------------------------------------------------------------------------

REPEATS = {  # the keys of a second file, and how many of the rows of both have come before
    "another": (np.arange(ROWS, 2 * ROWS), 0),
    "the same file again": (np.arange(ROWS), ROWS),
    "half of them": (np.arange(ROWS // 2, ROWS // 2 + ROWS), ROWS // 2),
    "one key": (np.full(ROWS, 7), ROWS),
    "one new key": (np.full(ROWS, 1_000), ROWS - 1),
    "int32": (np.arange(ROWS).astype(np.int32), ROWS),
    "as floats": (np.arange(ROWS).astype(np.float64), ROWS),
    "with empty ones": (pd.array([None, *range(ROWS, 2 * ROWS - 2), None], dtype="Int64"), 0),
}


@pytest.mark.parametrize("policy", ["report", "quarantine", "fail"])
@pytest.mark.parametrize("name", REPEATS)
def test_repeated_keys(world, place, tally, name, policy):
    keys, repeated = REPEATS[name]
    write(loans(ROWS, seed=1), place / "in" / "a.parquet")
    write(loans(ROWS, seed=2).assign(loan=keys), place / "in" / "b.parquet")
    empty = 2 if name == "with empty ones" else 0
    found = score_again(world.artefact, place / "in", place / "out", duplicates=policy)
    if policy == "fail" and repeated:
        assert isinstance(found, DataError)
        assert "b.parquet" in str(found)
        assert not list((place / "out").glob("latest.json"))
    else:
        assert found is None, found
        come = truth(place / "out")
        aside = (repeated if policy == "quarantine" else 0) + empty
        assert come.totals["rows"] == 2 * ROWS
        assert come.totals["quarantined"] == sum(come.aside.values()) == aside
        assert sum(come.scores.values()) == 2 * ROWS - aside
        reasons = {reason for _, _, reason in come.aside}
        assert reasons <= {"duplicate_key:loan", "missing:loan"}
        repeats = [row for row in come.aside if row[2] == "duplicate_key:loan"]
        assert all(file.endswith("b.parquet") for file, _, _ in repeats)
    tally(14, 1)


KINDS = ["int64", "int32", "uint32", "int16", "float64", "Int64"]  # as which keys are written


@pytest.mark.parametrize("seed", range(scaled(1, 176)))
def test_keys_at_random(world, place, tally, seed):
    """Of two to four files of keys that come again and are empty, the first of each key counts."""
    rng = np.random.default_rng([14, seed])
    policy, seen = ["report", "quarantine", "fail"][seed % 3], set()
    empty, repeated = Counter(), Counter()
    for number in range(rng.integers(2, 5)):
        n, kind = rng.integers(1, ROWS), rng.choice(KINDS)
        keys = pd.Series(rng.integers(0, rng.choice([20, 300, 30_000]), n)).astype(kind)
        if kind in ("float64", "Int64"):
            keys[rng.random(n) < 0.1] = None
        frame = loans(n, seed=number).assign(loan=keys)
        path = place / "in" / f"{number}.{'csv' if rng.random() < 0.3 else 'parquet'}"
        write(frame, path, group=int(rng.integers(1, 60)))
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        for row, key in enumerate(keys, 1):
            if pd.isna(key):
                empty[str(path), row, "missing:loan"] += 1
            elif key in seen:
                repeated[str(path), row, "duplicate_key:loan"] += 1
            seen.add(None if pd.isna(key) else key)
    found = score_again(world.artefact, place / "in", place / "out", duplicates=policy)
    if policy == "fail" and repeated:
        assert isinstance(found, DataError)
        assert not list((place / "out").glob("latest.json"))
    elif not seen - {None}:
        assert found is None or isinstance(found, DataError), found
    else:
        assert found is None, found
        come = truth(place / "out")
        assert come.aside == (empty + repeated if policy == "quarantine" else empty)
        assert come.totals["rows"] == come.totals["scored"] + sum(come.aside.values())
    tally(14, 1)


# ---- 15 -----------------------------------------------------------------------------------------


def test_no_rows_at_all(world, place, tally):
    path = write(loans(10).head(0), place / "new.parquet")
    (place / "new.csv").write_text(",".join(loans(1).columns) + "\n")
    (place / "nothing.csv").write_text("")
    (place / "nothing.parquet").write_bytes(b"")
    (place / "folder").mkdir()
    for name in ("new.parquet", "new.csv", "nothing.csv", "nothing.parquet", "folder"):
        found = score_again(world.artefact, place / name, place / "out")
        assert isinstance(found, DataError), (name, found)
        assert str(place / name) in str(found)
        assert not (place / "out").exists()
        tally(15, 1)
    write(loans(30), place / "more.parquet")
    assert score_again(world.artefact, [path, place / "more.parquet"], place / "out") is None
    assert truth(place / "out").totals["scored"] == 30
    tally(15, 1)


def test_one_row_and_rows_that_are_all_bad(world, place, tally, caplog):
    path = write(loans(1), place / "one.parquet")
    assert score_again(world.artefact, path, place / "one") is None
    assert truth(place / "one").totals["scored"] == 1
    path = write(loans(300).assign(amount=-1.0), place / "bad.parquet")
    assert score_again(world.artefact, path, place / "bad") is None
    assert "300 of 300 rows (100.0%) break the contract" in caplog.text
    come = truth(place / "bad")
    assert come.totals["scored"] == 0
    assert come.totals["quarantined"] == sum(come.aside.values()) == 300
    assert read_scores(place / "bad").empty
    tally(15, 2)


def test_one_giant_row_group_is_read_batch_by_batch(world, place, tally, monkeypatch):
    """A row group of many times a batch gives the same as many small ones; no batch is larger."""
    from fintech_dl.scoring import batches

    frame = loans(scaled(40_000, 1_000_000), seed=5)
    small = write(frame, place / "a" / "new.parquet", 2_000)
    giant = write(frame, place / "b" / "new.parquet", len(frame))
    largest = []
    real = batches.stream

    def stream(*given, **more):
        for batch in real(*given, rows=4_096, **more):
            largest.append(len(batch.table))
            yield batch

    monkeypatch.setattr("fintech_dl.scoring.engine.stream", stream)
    found = []
    for path in (small, giant):
        out = place / path.parent.name / "out"
        assert score_again(world.artefact, path, out) is None
        found.append(scores_of(out))
    assert found[0] == found[1]
    assert len(found[0]) == len(frame)
    assert max(largest) <= 4_096
    tally(15, 2)


def test_many_tiny_files(world, place, tally):
    """Ten thousand files are planned; some hundreds of rows each from a file are scored."""
    folder = place / "in"
    source = write(loans(1), place / "one.parquet")
    data = source.read_bytes()
    folder.mkdir()
    for i in range(10_000):
        (folder / f"{i:05d}.parquet").write_bytes(data)
    _, plan = plan_scores(
        world.artefact, folder, place / "out", as_of=MOMENT, duplicates="report", dry_run=True
    )
    assert plan.rows() == 10_000
    assert len(plan.shards) == 100
    few = scaled(300, 10_000)
    for i in range(few, 10_000):
        (folder / f"{i:05d}.parquet").unlink()
    assert score_again(world.artefact, folder, place / "out", duplicates="report") is None
    come = truth(place / "out")
    assert come.totals["scored"] == few
    assert len({row[-2] for row in come.scores}) == 1, "the same row has the same score"
    assert len(come.files()) == few
    tally(15, 2)
    assert NIGHTLY or few == 300


EDGES = [1, 2, 49, 50, 51, 99, 100, 101, 255, 256, 257, 8_191, 8_192, 8_193]  # of groups and blocks


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """Return many rows and the score of each key."""
    folder = tmp_path_factory.mktemp("whole")
    frame = loans(3 * max(EDGES), seed=15)
    write(frame, folder / "new.parquet", 5_000)
    assert score_again(world.artefact, folder / "new.parquet", folder / "out") is None
    return frame, read_scores(folder / "out").set_index("loan")["score"]


@pytest.mark.parametrize("seed", range(scaled(1, 12)))
def test_sizes_at_the_edges(world, whole, place, tally, seed):
    """One to three files whose rows, row groups and shards are of sizes at the edges of blocks."""
    frame, right = whole
    rng = np.random.default_rng([15, seed])
    last = 0
    sizes = rng.choice(EDGES, rng.integers(1, 4)) if NIGHTLY else [101, 257]
    for number, size in enumerate(sizes):
        first, last = last, last + int(size)
        write(frame[first:last], place / "in" / f"{number}.parquet", int(rng.choice(EDGES)))
    with small_shards(int(rng.choice(EDGES[3:])) if NIGHTLY else 50):
        assert score_again(world.artefact, place / "in", place / "out") is None
    found = read_scores(place / "out").set_index("loan")["score"]
    assert found.sort_index().equals(right[:last])
    tally(15, 1)
