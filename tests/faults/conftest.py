"""The world that faults befall, made once; and how many of each family a test has met."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.faults.tally import DRAWN, NAMES, TRIED
from tests.faults.world import MOMENT, Truth, make_files, make_model, small_shards, truth

NIGHTLY = os.environ.get("FINTECH_DL_FAULTS") == "nightly"


def scaled(ci: Any, nightly: Any) -> Any:
    """Return what is for a push, or what is for a night (``FINTECH_DL_FAULTS=nightly``)."""
    return nightly if NIGHTLY else ci


@dataclass(frozen=True)
class World:
    """A model, its input, and what an uninterrupted run gives.

    Attributes
    ----------
    artefact, other : Path
        Two models.
    inputs : Path
        A folder of three files.
    out : Path
        The scores of an uninterrupted run; not to be changed.
    right : Truth
    """

    artefact: Path
    other: Path
    inputs: Path
    out: Path
    right: Truth


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Make the world, once for all processes of a test run; none may change it."""
    from fintech_dl.scoring.jobs import score_files

    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    home = base / "world"
    made = World(home / "artefact", home / "other", home / "in", home / "out", None)  # type: ignore
    with (base / "world.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.out.exists():
            make_files(made.inputs)
            make_model(made.artefact)
            make_model(made.other, seed=1)
            with small_shards():
                score_files(made.artefact, made.inputs, made.out, as_of=MOMENT)
    return World(made.artefact, made.other, made.inputs, made.out, truth(made.out))


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    """Cut small shards in this process."""
    with small_shards():
        yield


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty folder, in memory if there is such: to bring bytes to a disk takes long."""
    fast = Path("/dev/shm")
    has_room = fast.is_dir() and shutil.disk_usage(fast).free > 2**28
    with TemporaryDirectory(prefix="faults-", dir=fast if has_room else None) as folder:
        yield Path(folder)


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Callable[[int, int], None]:
    """Tell how many faults of a family a test has met, for the last word."""

    def tell(family: int, times: int = 1) -> None:
        assert family in NAMES
        record_property(TRIED, (family, times, family in DRAWN))

    return tell
