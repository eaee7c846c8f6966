"""Folders that appear whole or not at all, made by one process at a time."""

import fcntl
import multiprocessing
from pathlib import Path

import pytest

from fintech_dl.errors import DiskFullError, LockedError, OutputError
from fintech_dl.publishing import alone, publishing


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_at_once_and_whole(tmp_path):
    place = tmp_path / "new" / "scores"
    with alone(place, "-o"), publishing(place, "-o") as part:
        (part / "deep").mkdir()
        (part / "deep" / "a").write_text("whole")
        assert not place.exists()
        assert part.parent == place.parent  # the same disk
    assert (place / "deep" / "a").read_text() == "whole"
    assert left(place.parent) == ["scores"]
    (tmp_path / "empty").mkdir()
    with alone(tmp_path / "empty", "-o"), publishing(tmp_path / "empty", "-o") as part:
        (part / "a").write_text("x")
    assert left(tmp_path / "empty") == ["a"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, OSError(28, "No space left")])
def test_after_a_fault_nothing_is_left_not_even_the_folders_above(fault, tmp_path):
    place = tmp_path / "a" / "b" / "scores"
    kept = DiskFullError if isinstance(fault, OSError) else fault

    def write():
        with alone(place, "-o"), publishing(place, "-o") as part:
            (part / "a").write_text("half")
            raise fault

    with pytest.raises(kept):
        write()
    assert left(tmp_path) == []


def test_what_is_there_is_never_replaced(tmp_path):
    place = tmp_path / "scores"

    def write():
        with alone(place, "-o"), publishing(place, "-o") as part:
            (part / "a").write_text("new")
            place.mkdir()
            (place / "a").write_text("old")

    with pytest.raises(OutputError, match=r"scores: cannot be written .*another folder with -o"):
        write()
    assert (place / "a").read_text() == "old"
    assert left(tmp_path) == ["scores"]
    with pytest.raises(OutputError, match="cannot be written"), alone(place / "a" / "b", "-o"):
        pass


def test_one_at_a_time_for_each_place(tmp_path):
    with alone(tmp_path / "a", "-o"), alone(tmp_path / "b", "-o"):
        with pytest.raises(LockedError, match="is writing it now; wait until it is done, or"):
            alone(tmp_path / "a", "-o").__enter__()
        assert left(tmp_path) == [".a.part.lock", ".b.part.lock"]
    with alone(tmp_path / "a", "-o"):
        pass
    assert left(tmp_path) == []


def test_what_the_dead_left_is_removed_and_the_living_are_left_alone(tmp_path):
    for name in ("dead", "mine", "alive"):
        (tmp_path / f".{name}.part").mkdir()
        (tmp_path / f".{name}.part" / "a").write_text("half")
        (tmp_path / f".{name}.part.lock").touch()
    for name in (".cache.part", "other.part.lock"):  # nobody's lock, nobody's part
        (tmp_path / name).mkdir()
    with (tmp_path / ".alive.part.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with alone(tmp_path / "mine", "-o"), publishing(tmp_path / "mine", "-o") as part:
            assert left(part) == []
    theirs = [".alive.part", ".alive.part.lock"]
    assert left(tmp_path) == [*theirs, ".cache.part", "mine", "other.part.lock"]
    assert left(tmp_path / ".alive.part") == ["a"]


def make(place: Path, number: int) -> None:
    try:
        with alone(place, "-o"):
            if place.exists():
                raise SystemExit(2)
            with publishing(place, "-o") as part:
                for name in "abc":
                    (part / name).write_text(str(number))
    except LockedError:
        raise SystemExit(1) from None


def test_of_many_at_once_one_makes_it_and_no_neighbour_is_refused(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    same = [spawn.Process(target=make, args=(tmp_path / "same", i)) for i in range(4)]
    own = [spawn.Process(target=make, args=(tmp_path / f"own{i}", i)) for i in range(4)]
    for process in same + own:
        process.start()
    for process in same + own:
        process.join(60)
    codes = [process.exitcode for process in same]
    assert codes.count(0) == 1
    assert set(codes) <= {0, 1, 2}
    assert [process.exitcode for process in own] == [0] * 4
    assert len({(tmp_path / "same" / name).read_text() for name in "abc"}) == 1
    assert left(tmp_path) == [*(f"own{i}" for i in range(4)), "same"]
