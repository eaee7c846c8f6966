"""A small world to break: a model, three files of loans in twelve shards, and what is right."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fintech_dl.errors import FintechError
from fintech_dl.scoring import planning, store
from fintech_dl.scoring.plan import cut_shards

SHARD = 100  # rows: 12 shards of 1,200 rows
ROWS, GROUP, FILES = 1_200, 50, 3
MOMENT = "2024-06-01"
HOME = Path(__file__).parents[2]
REGIONS = ["north", "east", "south", "west"]

DATASET = """
title = "Loans"
licence = "CC0-1.0"
[source]
kind = "file"
path = "train.parquet"
[contract]
key = "loan"
time = "at"
as_of = "2024-06-01"
labels = ["defaulted"]
max_quarantined = 1.0
[columns]
loan = { type = "integer", min = 0 }
at = { type = "datetime" }
amount = { type = "number", min = 0, max = 1e9 }
income = { type = "number", nullable = true }
late = { type = "integer", min = -9, max = 99 }
home = { type = "category", allowed = ["rent", "own", "other"] }
region = { type = "category", nullable = true }
staff = { type = "boolean" }
note = { type = "text", nullable = true }
defaulted = { type = "integer", allowed = [0, 1] }
"""
PIPELINE = """
title = "Loans"
question = "Which of these loans would default?"
dataset = "loans"
metrics = ["roc_auc"]
[table]
use = "rows.as_they_are"
target = "defaulted"
when = "at"
drop = ["loan", "note"]
[split]
kind = "holdout"
train = "30d"
test = "30d"
[[step]]
name = "model"
use = "fintech_dl.NeuralClassifier"
network = { use = "fintech_dl.MLP", units = [8] }
[decision]
rule = "threshold"
threshold = 0.5
[[baseline]]
use = "sklearn.linear_model.LogisticRegression"
"""


def loans(rows: int, seed: int = 0, first: int = 0) -> pd.DataFrame:
    """Return rows that keep the contract."""
    rng = np.random.default_rng(seed)
    income = rng.lognormal(10, 0.5, rows)
    income[rng.random(rows) < 0.1] = np.nan
    region = rng.choice(REGIONS, rows).astype(object)
    region[rng.random(rows) < 0.05] = None
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(first, first + rows), "min")
    return pd.DataFrame(
        {
            "loan": np.arange(first, first + rows, dtype=np.int64),
            "at": at.astype("datetime64[us]"),
            "amount": rng.lognormal(8, 1, rows).round(2),
            "income": income,
            "late": rng.integers(-9, 20, rows),
            "home": rng.choice(["rent", "own", "other"], rows),
            "region": region,
            "staff": rng.random(rows) < 0.1,
            "note": [f"no {i}" for i in range(rows)],
        }
    )


def write(frame: pd.DataFrame | pa.Table, path: Path, group: int = GROUP) -> Path:
    """Write a Parquet file in small row groups, with page checksums."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = frame
    if isinstance(frame, pd.DataFrame):
        table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, path, row_group_size=group, write_page_checksum=True)
    return path


def make_files(folder: Path, seed: int = 1) -> Path:
    """Write three files, with faulty rows and repeated keys among them."""
    folder.mkdir(parents=True, exist_ok=True)
    each = ROWS // FILES
    for n in range(FILES):
        frame = loans(each, seed + n, first=1 + n * each)
        if n == 0:
            frame.loc[7, "amount"] = -1.0
            frame.loc[[120, 121], "home"] = "boat"
        else:
            frame.loc[200, "loan"] = 5
        write(frame, folder / f"day{n}.parquet")
    return folder


@contextmanager
def cards(folder: Path) -> Iterator[None]:
    """Let card names be found here for a while."""
    before = os.environ.get("FINTECH_DL_CARDS")
    os.environ["FINTECH_DL_CARDS"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FINTECH_DL_CARDS"]
        else:
            os.environ["FINTECH_DL_CARDS"] = before


def make_model(folder: Path, seed: int = 0, home: Path | None = None) -> Path:
    """Save a model of loans; ``home`` is where its cards are written."""
    from fintech_dl.cards import pipeline_card
    from tests.faults.models import artefact

    home = home or folder.parent / "cards"
    for kind, text in (("datasets", DATASET), ("pipelines", PIPELINE)):
        (home / kind).mkdir(parents=True, exist_ok=True)
        (home / kind / "loans.toml").write_text(text)
    with cards(home):
        card = pipeline_card("loans")
        frame = loans(2_000, seed=99).assign(defaulted=0)
        return artefact(folder, card, frame.assign(home=frame["home"].astype("category")), seed)


@contextmanager
def small_shards(rows: int = SHARD) -> Iterator[None]:
    """Cut shards of so few rows while it lasts."""
    before = planning.cut_shards
    planning.cut_shards = lambda sources: cut_shards(sources, rows)
    try:
        yield
    finally:
        planning.cut_shards = before


@contextmanager
def failing(point: str) -> Iterator[None]:
    """Let this process fail at a point, as ``NAME:before|after:raise|full[:N]``."""
    store._reached.clear()
    os.environ[store.FAILPOINT] = point
    try:
        yield
    finally:
        del os.environ[store.FAILPOINT]
        store._reached.clear()


def reached(name: str) -> int:
    """Return how often this process came by a failpoint since `failing` began."""
    return store._reached[name]


# ---- the oracle --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """All that may be read of a run, in an order of its own.

    Attributes
    ----------
    scores : Counter
        How often each (file, row, bits of all other columns) comes.
    aside : Counter
        The same of rows that are set aside: (file, row, reason).
    totals, counts : dict
        Of the manifest.
    """

    scores: Counter
    aside: Counter
    totals: dict[str, Any]
    counts: dict[str, Any]

    def files(self) -> set[str]:
        return {key[0] for key in self.scores}


def truth(out: Path) -> Truth:
    """Read a finished run by its manifest only."""
    from fintech_dl.scoring.manifest import read_latest
    from fintech_dl.scoring.reading import files_of_run, read_scores

    run, manifest, _ = read_latest(out)
    frame = read_scores(out)
    aside: Counter = Counter()
    for path in files_of_run(run, manifest, "quarantine"):
        found = pq.read_table(path, columns=["source_file", "source_row", "reason"])
        aside.update(zip(*(column.to_pylist() for column in found.columns), strict=True))
    totals = {k: v for k, v in manifest["totals"].items() if k != "quarantine_examples"}
    return Truth(bits(frame), aside, totals, manifest["counts"])


def bits(frame: pd.DataFrame) -> Counter:
    """Return how often each row comes, its numbers to the last bit."""
    columns = []
    for name in frame:
        values = frame[name]
        if values.dtype == np.float64:
            values = pd.Series(values.to_numpy().view(np.int64))
        columns.append(values.astype(object).tolist())
    return Counter(zip(*columns, strict=True))


# ---- runs in processes of their own ------------------------------------------------------------

DRIVER = f"""
import os, sys
from fintech_dl.scoring import batches, engine, jobs, parts, planning, preparing, repeats
from fintech_dl.scoring.plan import cut_shards
import onnxruntime, pyarrow.parquet
rows = int(os.environ.get("FAULTS_SHARD", "{SHARD}"))
planning.cut_shards = lambda sources: cut_shards(sources, rows)
from fintech_dl import cli
print("ready", flush=True)
sys.stdin.readline()
cli.main()
"""


def environment(**more: str) -> dict[str, str]:
    home = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(part for part in (str(HOME), home) if part)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


@contextmanager
def process(
    *words: Any, more: dict[str, str] | None = None, code: str = DRIVER, **given: Any
) -> Iterator[subprocess.Popen[str]]:
    """Start the command line, ready to begin; it does at the first line that it reads."""
    pipe = subprocess.PIPE
    line = [sys.executable, "-c", code, *map(str, words)]
    started = subprocess.Popen(
        line,
        env=environment(**(more or {})),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        **given,
    )
    try:
        assert started.stdout is not None
        if code is DRIVER:
            assert started.stdout.readline() == "ready\n", started.communicate(timeout=60)[1]
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate(timeout=60)


def go(started: subprocess.Popen[str]) -> None:
    """Let a process begin."""
    assert started.stdin is not None
    with suppress(BrokenPipeError):
        started.stdin.write("\n")
        started.stdin.flush()


def ended(started: subprocess.Popen[str], seconds: float = 60.0) -> tuple[int, str, str]:
    """Return how a process ended, what it printed and what it told."""
    out, err = started.communicate(timeout=seconds)
    return started.returncode, out, err


def run_alone(*words: Any, **more: str) -> tuple[int, str, str]:
    """Run the command line in a process of its own."""
    with process(*words, more=more) as started:
        go(started)
        return ended(started)


def wait_for(what: Any, seconds: float = 20.0) -> None:
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def tried(call: Any, *given: Any, **more: Any) -> FintechError | None:
    """Return the error of ours that a call raises, None if it does not; any other is a fault."""
    try:
        call(*given, **more)
    except FintechError as error:
        return error
    return None


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def fresh(folder: Path) -> Path:
    """Return a path where nothing is."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def kill(started: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        started.send_signal(number)


def score_again(artefact: Path, inputs: Any, out: Path, **more: Any) -> FintechError | None:
    """Score in this process; return the error of ours, if any."""
    from fintech_dl.scoring.jobs import score_files

    return tried(score_files, artefact, inputs, out, as_of=MOMENT, **more)


def words_of(artefact: Path, inputs: Sequence[Path] | Path, out: Path, *more: Any) -> list[Any]:
    """Return the command's words."""
    named = [inputs] if isinstance(inputs, Path) else list(inputs)
    return ["score", artefact, *named, "-o", out, "--as-of", MOMENT, *more]
