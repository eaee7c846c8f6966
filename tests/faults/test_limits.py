"""Family 23: too little memory, files, room or rights: a message, a code, and it goes on."""

import shutil
import subprocess

import pytest

from fintech_dl.errors import NothingToDo
from fintech_dl.scoring.jobs import plan_scores
from tests.faults.conftest import scaled
from tests.faults.world import (
    DRIVER,
    MOMENT,
    SHARD,
    ended,
    failing,
    go,
    loans,
    process,
    score_again,
    truth,
    words_of,
    write,
)

# Scores once, so that all is imported; then under the limit, or as a user who owns nothing.
LIMITED = f"""
import os, resource, sys, tempfile
from fintech_dl.scoring import planning
from fintech_dl.scoring.plan import cut_shards
planning.cut_shards = lambda sources: cut_shards(sources, {SHARD})
from fintech_dl import cli
artefact, inputs, kind, value, *words = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    sys.argv[1:] = ["score", artefact, inputs, "-o", folder + "/out", "--as-of", "{MOMENT}"]
    for wanted in (0, 99):
        try:
            cli.main()
        except SystemExit as stop:
            assert (stop.code or 0) == wanted, stop.code
value = int(value)
if kind == "AS":
    pages = int(open("/proc/self/statm").read().split()[0])
    value = pages * resource.getpagesize() + value
if kind == "USER":
    if os.getuid() == 0:
        os.setgroups([]), os.setgid(value), os.setuid(value)
else:
    number = getattr(resource, "RLIMIT_" + kind)
    resource.setrlimit(number, (value, resource.getrlimit(number)[1]))
sys.argv[1:] = words
cli.main()
"""
KIB = 1024


def limited(world, kind, value, *words):
    with process(world.artefact, world.inputs, kind, value, *words, code=LIMITED) as started:
        code, _, err = ended(started, 120)
    assert "Traceback" not in err
    return code, err


@pytest.mark.parametrize(
    "size", [100, 1_000, 2_500, 5_000, 8_000, *scaled((), (37, 512, 1_731, 3_600, 6_789))]
)
def test_files_above_a_limit(world, place, tally, size):
    out = place / "out"
    code, err = limited(world, "FSIZE", size, *words_of(world.artefact, world.inputs, out))
    assert code == 75, err
    assert "cannot be written (File too large)" in err
    assert not list(place.rglob("*.tmp"))
    found = score_again(world.artefact, world.inputs, out)
    assert found is None or isinstance(found, NothingToDo), found
    assert truth(out) == world.right
    tally(23, 1)


@pytest.mark.parametrize("number", [8, 12, 16, *scaled((), (9, 10, 14, 20, 28))])
def test_few_open_files(world, place, tally, number):
    out = place / "out"
    code, err = limited(world, "NOFILE", number, *words_of(world.artefact, world.inputs, out))
    assert code in (0, 2, 4, 5, 75), err
    assert code == 0 or "Too many open files" in err
    found = score_again(world.artefact, world.inputs, out)
    assert found is None or isinstance(found, NothingToDo), found
    assert truth(out) == world.right
    tally(23, 1)


@pytest.fixture(scope="module")
def wide(world, tmp_path_factory):
    """Return a file of a megabyte, of which one batch takes 400."""
    folder = tmp_path_factory.mktemp("wide")
    return write(loans(10_000, seed=4).assign(note="n" * 40_000), folder / "new.parquet", 10_000)


@pytest.mark.parametrize("megabytes", [1, 64, 256, *scaled((), (16, 128, 192))])
def test_little_memory(world, wide, place, tally, megabytes):
    out = place / "out"
    code, err = limited(world, "AS", megabytes * KIB**2, *words_of(world.artefact, wide, out))
    assert code == 75, err
    assert "there is not enough memory" in err
    assert not (out / "latest.json").exists()
    found = score_again(world.artefact, wide, out)
    assert found is None or isinstance(found, NothingToDo), found
    assert sum(truth(out).scores.values()) == 10_000
    tally(23, 1)


@pytest.fixture
def tiny(tmp_path):
    """Return a folder that is a disk of its own, and a function that says how large it is."""

    def resized(size, *options):
        about = ",".join([*options, f"size={size}"])
        words = ["mount", "-t", "tmpfs", "-o", about, "tmpfs", str(tmp_path)]
        return subprocess.run(words, capture_output=True).returncode == 0

    if not shutil.which("mount") or not resized(64 * KIB):
        pytest.skip("no disk can be mounted here")
    yield tmp_path, resized
    subprocess.run(["umount", str(tmp_path)], check=True)


SIZES = [(4, 40, 80, 120, 160), *scaled((), ((8, 24, 48, 100, 200), (12, 20, 28, 60, 90, 130)))]


@pytest.mark.parametrize("sizes", SIZES)
def test_a_disk_that_fills_up_and_gets_room(world, tiny, tally, sizes):
    disk, resized = tiny
    codes = []
    for size in sizes:
        assert resized(size * KIB, "remount")
        found = score_again(world.artefact, world.inputs, disk / "out")
        codes.append(found.exit_code if found is not None else 0)
        assert not list(disk.rglob("*.tmp"))
    assert codes[:2] == [75, 75]
    assert set(codes) <= {75, 0, 99}, codes
    assert resized(8 * KIB**2, "remount")
    found = score_again(world.artefact, world.inputs, disk / "out")
    assert found is None or isinstance(found, NothingToDo)
    assert truth(disk / "out") == world.right
    tally(23, 2)


@pytest.fixture
def mine(world, place):
    """Return a folder of files that others may read, with a run that was interrupted in it."""
    place.chmod(0o755)
    shutil.copytree(world.artefact, place / "artefact")
    shutil.copytree(world.inputs, place / "in")
    (place / "out").mkdir()
    plan_scores(place / "artefact", place / "in", place / "out", as_of=MOMENT)
    with failing("part.temp:before:full:6"):
        assert score_again(place / "artefact", place / "in", place / "out").exit_code == 75
    for path in place.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    yield place
    for path in sorted(place.rglob("*")):
        path.chmod(0o777)


RIGHTS = {  # what may not be used: its mode, the code, and what is said
    "in/day1.parquet": (0, 4, "day1.parquet: you may not read it"),
    "in": (0, 4, "you may not read it"),
    "artefact/model.onnx": (0, 5, "model.onnx: cannot be read"),
    "artefact": (0, 5, "cannot be read"),
    "out/run-*/plan.json": (0, 4, "plan.json: cannot be read"),
    "out/run-*/parts": (0o555, 2, "Permission denied"),
    "out/run-*/commits": (0o555, 2, "Permission denied"),
    "out": (0o555, 2, "cannot be written (Permission denied)"),
}


@pytest.mark.parametrize("name", RIGHTS)
def test_what_may_not_be_read_or_written(world, mine, tally, name):
    mode, expected, told = RIGHTS[name]
    (path,) = mine.glob(name)
    before = path.stat().st_mode
    path.chmod(mode)
    words = words_of(mine / "artefact", mine / "in", mine / "out")
    code, err = limited(world, "USER", 65534, *words)
    assert code == expected, err
    assert told in err
    path.chmod(before)
    assert score_again(mine / "artefact", mine / "in", mine / "out") is None
    come = truth(mine / "out")
    assert come.totals == world.right.totals
    assert come.counts == world.right.counts
    tally(23, 1)


@pytest.mark.parametrize("out", ["/proc/scores", "/dev/null", "/dev/full/scores"])
def test_places_that_are_no_folders(world, tally, out):
    code = None
    with process(*words_of(world.artefact, world.inputs, out), code=DRIVER) as started:
        go(started)
        code, _, err = ended(started)
    assert code == 2, err
    assert out in err
    tally(23, 1)
