"""Files that appear whole, once, or not at all."""

import errno
import json
import os
import subprocess
import sys
import threading

import pytest

from fintech_dl.errors import LockedError, OutputError
from fintech_dl.scoring import store
from fintech_dl.scoring.lock import LOCK, is_locked, locked

POINTS = [
    *(f"plan.{step}" for step in ("write", "fsync", "link")),
    *(f"part.{step}" for step in ("temp", "write", "fsync", "rename", "sync")),
    *(f"commit.{step}" for step in ("temp", "fsync", "link")),
    *("manifest", "success", "pointer"),
]


def do(folder, point):
    """Make the file that the failpoint is about, and return its path."""
    kind = point.split(".")[0]
    path = folder / kind
    if kind == "part":
        with store.placing(path, kind) as temp:
            temp.write_bytes(b"whole")
    elif kind == "pointer":
        store.replace(path, b"whole", kind)
    else:
        store.create(path, b"whole", kind)
    return path


@pytest.mark.parametrize("point", POINTS)
def test_every_step_can_fail_and_leaves_all_or_nothing(tmp_path, monkeypatch, point):
    for moment in ("before", "after"):
        for action, error in (("raise", RuntimeError), ("full", OSError)):
            folder = tmp_path / f"{moment}-{action}"
            folder.mkdir()
            store._reached.clear()
            monkeypatch.setenv(store.FAILPOINT, f"{point}:{moment}:{action}")
            with pytest.raises(error) as told:
                do(folder, point)
            assert action == "raise" or told.value.errno == errno.ENOSPC
            left = list(folder.iterdir())
            assert all(path.read_bytes() == b"whole" for path in left)
            assert len(left) <= 1
            assert do(folder, point).read_bytes() == b"whole"  # reached once: it acts no more
            assert len(list(folder.iterdir())) == 1


def test_a_failpoint_waits_for_its_time(tmp_path, monkeypatch):
    store._reached.clear()
    monkeypatch.setenv(store.FAILPOINT, "commit.link:before:raise:3")
    assert store.create(tmp_path / "1", b"", "commit")
    assert store.create(tmp_path / "2", b"", "commit")
    assert store.create(tmp_path / "other", b"", "plan")
    with pytest.raises(RuntimeError, match=r"failpoint commit\.link"):
        store.create(tmp_path / "3", b"", "commit")
    assert store.create(tmp_path / "4", b"", "commit")


def test_a_kill_leaves_a_temporary_file_and_nothing_by_the_name(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fintech_dl.scoring import store\n"
        "store.create(Path(sys.argv[1]) / 'plan.json', b'x' * 99, 'plan')"
    )
    env = {**os.environ, store.FAILPOINT: "plan.link:before:kill"}
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env=env)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".plan.json.")
    assert left.suffix == ".tmp"


def test_of_many_that_create_one_wins_and_its_bytes_stay(tmp_path):
    path, won = tmp_path / "00000.json", []
    start = threading.Barrier(8)

    def race(i):
        start.wait()
        if store.create(path, str(i).encode() * 1000):
            won.append(i)

    threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert path.read_bytes() == str(won[0]).encode() * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_an_answer_that_was_lost_is_not_taken_for_another_writer(tmp_path, monkeypatch):
    link = os.link

    def lost(source, target):
        link(source, target)
        raise FileExistsError(errno.EEXIST, "as NFS says when it was asked twice")

    monkeypatch.setattr(os, "link", lost)
    assert store.create(tmp_path / "commit", b"mine")


def test_records_are_sealed():
    data = store.sealed({"rows": 3, "score": 0.1, "name": "\udcff é"})
    assert store.unsealed(data) == {"rows": 3, "score": 0.1, "name": "\udcff é"}
    for at in range(0, len(data), 3):
        spoilt = bytearray(data)
        spoilt[at] ^= 1
        with pytest.raises(ValueError, match=r".") as told:
            store.unsealed(bytes(spoilt))
        assert not isinstance(told.value, KeyError)
    for other in (b"", b"[]", b"{}", b"[" * 100_000, json.dumps({"rows": 3}).encode()):
        with pytest.raises(ValueError, match=r"."):
            store.unsealed(other)
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.sealed({"score": float("nan")})


def test_a_folder_that_makes_files_twice_is_refused(tmp_path, monkeypatch):
    store.probe(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lambda source, target: None)  # the second succeeds as well
        with pytest.raises(OutputError, match=r"could be made there twice.*--single-writer"):
            store.probe(tmp_path)
        store.probe(tmp_path, single_writer=True)

    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(OutputError, match=r"hard links do not work there.*local disk or NFS 4"):
        store.probe(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert store.create(tmp_path / "plan.json", b"mine")  # with --single-writer only
    assert not store.create(tmp_path / "plan.json", b"yours")
    assert (tmp_path / "plan.json").read_bytes() == b"mine"


def test_a_lock_is_held_by_one_and_freed_by_the_kernel(tmp_path):
    folder = tmp_path / "new" / "scores"
    with locked(folder) as is_held:
        assert is_held
        assert is_locked(folder)
        with pytest.raises(LockedError, match="another process is writing it now"), locked(folder):
            pass
        (folder / "run").write_text("kept")
    assert not is_locked(folder)
    assert sorted(path.name for path in folder.iterdir()) == [LOCK, "run"]
    code = (
        "import os, sys; from pathlib import Path; from fintech_dl.scoring.lock import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, folder]).returncode == -9
    with locked(folder):
        pass


def test_a_folder_in_which_nothing_came_to_be_is_removed(tmp_path):
    with locked(tmp_path / "new" / "scores"):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine"):
        pass
    assert list((tmp_path / "mine").iterdir()) == []
