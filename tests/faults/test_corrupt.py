"""Families 10 and 11: files that rot, of the input and of our own, are found or harmless."""

import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from fintech_dl.errors import DataError, NothingToDo, PlanError
from fintech_dl.scoring.audit import verify
from fintech_dl.scoring.jobs import resume_scores, score_files
from fintech_dl.scoring.reading import read_scores
from fintech_dl.scoring.status import status
from tests.faults.conftest import scaled
from tests.faults.world import MOMENT, failing, loans, score_again, tried, truth, write

LARGE = 6_000  # rows, so that most bytes of a file are cells
PARTS = 3  # of a family, so that several processes share them


def damage(path: Path, rng: random.Random) -> str:
    """Spoil a file in one of the ways in which files rot; return which."""
    data = bytearray(path.read_bytes())
    how = rng.choice(["bit"] * 6 + ["cut", "zeros", "head", "foot", "swapped", "longer"])
    at = rng.randrange(len(data))
    if how == "bit":
        data[at] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[at:]
    elif how == "zeros":
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    elif how == "head":
        data[0] ^= 0xFF
    elif how == "foot":
        data[-1 - rng.randrange(min(8, len(data)))] ^= 0xFF
    elif how == "swapped":
        data[at : at + 64] = bytes(reversed(data[at : at + 64]))
    else:
        data += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 64)))
    same = bytes(data) == path.read_bytes()
    path.write_bytes(bytes(data))
    return f"{how} at {at} of {len(data)}" if not same else ""


# ---- 10 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(world, tmp_path_factory):
    """Return a file of many rows, and what is right."""
    folder = tmp_path_factory.mktemp("large")
    write(loans(LARGE), folder / "new.parquet", LARGE // 4)
    score_files(world.artefact, folder / "new.parquet", folder / "out", as_of=MOMENT)
    return folder / "new.parquet", truth(folder / "out")


@pytest.mark.parametrize("part", range(PARTS))
def test_input_that_rots(world, large, place, tally, part):
    rng = random.Random(f"input {part}")
    sound, right = large
    of = {(row[0], row[2]): row for row in right.scores}
    met = refused = 0
    while met < scaled(150, 1_500) // PARTS:
        path = Path(shutil.copy(sound, place / "new.parquet"))
        if not (how := damage(path, rng)):
            continue
        met += 1
        out = place / f"out{met}"
        found = score_again(world.artefact, path, out, duplicates="report")
        if found is not None:
            assert isinstance(found, DataError), (how, found)
            assert str(path) in str(found), (how, found)
            refused += 1
            shutil.rmtree(out, ignore_errors=True)
            continue
        come = truth(out)
        assert come.totals["rows"] == LARGE, how
        wrong = [
            row for row in come.scores if (str(sound), *row[1:]) != of.get((str(sound), row[2]))
        ]
        assert not wrong, (how, wrong[:3])
        assert sum(come.aside.values()) + sum(come.scores.values()) == LARGE, how
        shutil.rmtree(out)
    assert refused > met // 2
    tally(10, met)


@pytest.mark.parametrize(
    "about", [b'{"index', b"[]", b"\xff", b'{"index_columns": [{}]}', b"[" * 9_999]
)
def test_what_pandas_wrote_into_the_file_is_broken(world, place, about):
    table = pa.Table.from_pandas(loans(10), preserve_index=False)
    path = write(table.replace_schema_metadata({b"pandas": about}), place / "new.parquet")
    found = score_again(world.artefact, path, place / "out")
    assert isinstance(found, DataError), found
    assert str(path) in str(found)
    assert not (place / "out").exists()


# ---- 11 -----------------------------------------------------------------------------------------


def own_files(out: Path) -> list[Path]:
    found = [path for path in out.rglob("*") if path.is_file() and path.stat().st_size]
    return sorted(found)


def is_read(path: Path) -> bool:
    """Return whether readers of scores need a file: those of rows set aside they do not."""
    return path.parent.name == "parts" or path.name in ("MANIFEST.json", "latest.json")


@pytest.mark.parametrize("part", range(PARTS))
def test_published_files_that_rot(world, place, tally, part):
    rng = random.Random(f"published {part}")
    right = read_scores(world.out)
    met = 0
    out = place / "out"
    while met < scaled(75, 750) // PARTS:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(world.out, out)
        path = rng.choice(own_files(out))
        if rng.random() < 0.1:
            path.unlink()
            how = "gone"
        elif not (how := damage(path, rng)):
            continue
        met += 1
        where = (path.name, how)
        status(out)
        found = verify(out)["faults"]
        gone = how == "gone" and path.name == "latest.json"
        assert found or gone, where
        assert any(path.name in text for text in found) or gone, (where, found)
        come = tried(read_scores, out)
        if come is None:
            assert not is_read(path), where
            assert read_scores(out).equals(right), where
        else:
            assert isinstance(come, DataError), (where, come)
        again = score_again(world.artefact, world.inputs, out)
        if again is None or isinstance(again, NothingToDo):
            assert read_scores(out).equals(right), where
            if not verify(out)["faults"]:
                continue
            assert path.parent.name not in ("parts", "commits"), where
        else:
            assert again.exit_code in (4, 6), (where, again)
    tally(11, met)


@pytest.fixture(scope="module")
def half(world, tmp_path_factory):
    """Return a run that was interrupted after seven shards."""
    out = tmp_path_factory.mktemp("half") / "out"
    from tests.faults.world import small_shards

    with small_shards(), failing("part.temp:before:full:8"):
        assert score_again(world.artefact, world.inputs, out).exit_code == 75
    return out


@pytest.mark.parametrize("part", range(PARTS))
def test_files_that_rot_before_the_end(world, half, place, tally, part):
    rng = random.Random(f"unpublished {part}")
    met = 0
    out = place / "out"
    while met < scaled(75, 750) // PARTS:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(half, out)
        path = rng.choice(own_files(out))
        if rng.random() < 0.1:
            path.unlink()
            how = "gone"
        elif not (how := damage(path, rng)):
            continue
        met += 1
        where = (path.name, how)
        planned = any(out.glob("run-*/plan.json"))
        gone = how == "gone" and (not planned or path.parent.name == "commits")
        assert verify(out)["faults"] or gone, where
        again = (
            tried(resume_scores, out) if planned else score_again(world.artefact, world.inputs, out)
        )
        if again is None:
            assert truth(out) == world.right, where
            assert verify(out)["faults"] == [], where
            broken = list(out.rglob("broken-*"))
            assert broken or how == "gone", "what is broken is kept"
        else:
            assert isinstance(again, DataError | PlanError), (where, again)
            assert path.parent.name not in ("parts", "commits", "quarantine"), (where, again)
            assert not (out / "latest.json").exists(), where
    tally(11, met)
