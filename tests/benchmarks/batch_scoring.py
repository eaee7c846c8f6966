"""Batch scoring beside bare loops: speed, memory, start-up, monitoring, Ray.

Run in the repository, on a machine that does nothing else (20 GB of disk; about an hour):

    python tests/benchmarks/batch_scoring.py

Every measurement is a process of its own, rivals in turns. What is measured is kept in the cache
folder, so that a second start goes on where the first was stopped. ``--only PART ...`` measures
these parts and writes a result once all are there; ``--again`` measures them anew; ``--rows N``
and ``--rounds N`` change the size, ``--quick`` tries tiny sizes and writes no result.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from statistics import median
from typing import Any

from results import hardware, versions, write_result
from speed_rounds import in_turns

from fintech_dl.folders import cache, replacing
from fintech_dl.scoring.clusters import QUIET, STORE_BYTES

ROOT = Path(__file__).parents[2]
RIVALS = Path(__file__).with_name("batch_rivals.py")
DATA = Path(__file__).with_name("batch_data.py")
AS_OF = "2027-01-01"
SIZES = (1024, 4096, 16_384)  # rows that the bare loop gives the graph at once: the best counts
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3"}
ENVIRONMENT |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(16)}  # of our own cluster
CLUSTER = f"""
import sys, ray
found = ray.init(
    address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
    object_store_memory={STORE_BYTES},
)
print(found.address_info["address"], flush=True)
sys.stdin.read()
"""
Numbers = dict[str, Any]


def measured(words: list[str], environment: Mapping[str, str] = ENVIRONMENT) -> dict[str, float]:
    """Run a command; return its seconds, its processor's seconds and its peak memory in MB.

    Processor time and memory are of the process and of those it waited for; memory of the largest.
    A process begins with the memory of the one that starts it, so this one stays small: it makes
    nothing itself.
    """
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=dict(environment))
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return {
        "seconds": seconds,
        "processor": usage.ru_utime + usage.ru_stime,
        "mb": usage.ru_maxrss * 1024 / 1e6,
    }


class Bench:
    """Files and folders of one start, made when they are first needed."""

    def __init__(self, folder: Path, rows: int, rounds: int) -> None:
        self.folder, self.rows, self.rounds = folder, rows, rounds

    def artefact(self, name: str = "alone") -> Path:
        """Return an artefact: ``alone``, with ``steps`` before it, ``uncounted``: no reference."""
        found = self.folder / name / "run/artefact"
        if not found.exists():
            if name == "uncounted":
                self.artefact()
            shutil.rmtree(self.folder / name, ignore_errors=True)
            measured([sys.executable, str(DATA), "artefact", str(self.folder), name])
        return found

    def file(self, rows: int = 0) -> Path:
        """Return a file of so many rows, by default those of the benchmark, read once before."""
        n = rows or self.rows
        path = self.folder / f"rows_{n}.parquet"
        if not path.exists():
            with replacing(path) as part:
                measured([sys.executable, str(DATA), "rows", str(part), str(n)])
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass
        return path

    def score(
        self, file: Path, *words: str, name: str = "alone", ray: str = ""
    ) -> dict[str, float]:
        """Score a file by the command, from start to end; ``ray``: on the cluster there."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            command = [sys.executable, "-m", "fintech_dl", "score", str(self.artefact(name))]
            command += [str(file), "-o", f"{out}/scores", "--as-of", AS_OF, "-q", *words]
            command += ["--executor", "ray"] if ray else []
            return measured(command, {**ENVIRONMENT, "RAY_ADDRESS": ray})

    def rival(self, *words: str) -> dict[str, float]:
        """Run a loop of ``batch_rivals``; its output goes to a file that is removed."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            given = [f"{out}/scores.parquet" if word == "OUT" else word for word in words]
            return measured([sys.executable, str(RIVALS), *given])

    def bare(self, file: Path, size: int, threaded: bool = False) -> dict[str, float]:
        """Run the bare loop: Parquet, graph, Parquet."""
        words = ("onnx", str(self.artefact()), str(file), "OUT", str(size), str(int(threaded)))
        return self.rival(*words)

    def turns(self, tasks: Mapping[str, Callable[[], Any]]) -> Numbers:
        """Return what each task gave in each round, the rows and the load beside."""
        return {"rows": self.rows, **in_turns(tasks, self.rounds)}


def throughput(bench: Bench) -> Numbers:
    """Whole commands beside the bare loop; two workers; without counts."""
    bench.artefact("uncounted")
    file, few = bench.file(), bench.file(min(bench.rows, 1_000_000))
    tries = in_turns({size: partial(bench.bare, few, size) for size in SIZES}, 2)  # type: ignore[misc]
    best = min(tries, key=lambda size: min(one["processor"] for one in tries[size]))
    tasks = {
        "bare": partial(bench.bare, file, int(best)),
        "one": partial(bench.score, file, "--workers", "1"),
        "two": partial(bench.score, file, "--workers", "2"),
        "uncounted": partial(bench.score, file, "--workers", "1", name="uncounted"),
        "bare_threaded": partial(bench.bare, file, int(best), True),
    }
    return {"batch": int(best), **bench.turns(tasks)}


def trees(bench: Bench) -> Numbers:
    """The same rows by LightGBM, 300 trees of 31 leaves, in one thread and in all."""
    model, file = bench.folder / "trees.txt", bench.file()
    bench.artefact()
    if not model.exists():
        words = ["fit_lightgbm", str(bench.folder / "alone/rows.parquet"), str(model)]
        measured([sys.executable, str(RIVALS), *words])
    tasks = {
        "one": partial(bench.score, file, "--workers", "1"),
        "all": partial(bench.score, file),
        "trees_1": partial(bench.rival, "lightgbm", str(model), str(file), "OUT", "1"),
        "trees_all": partial(bench.rival, "lightgbm", str(model), str(file), "OUT", "0"),
    }
    rounds = bench.rounds if bench.rows < 10**6 else min(bench.rounds, 3)
    return {"rows": bench.rows, **in_turns(tasks, rounds)}


def start(bench: Bench) -> Numbers:
    """From nothing to the scores of 1,000 rows: a graph alone, and one with a scaler before it."""
    file = bench.file(1000)
    names = ("alone", "steps")
    for name in names:
        bench.artefact(name)
    return bench.turns({name: partial(bench.score, file, name=name) for name in names})


def memory(bench: Bench) -> Numbers:
    """Peak memory of the largest process: the rows of the benchmark, and five times as many."""
    found: Numbers = {"rows": bench.rows}
    for times in (1, 5):
        file = bench.file(times * bench.rows)
        found[f"times_{times}"] = bench.score(file, "--workers", "1")
        found[f"times_{times}_two"] = bench.score(file, "--workers", "2")
    bench.file(5 * bench.rows).unlink()
    return found


@contextmanager
def running_cluster() -> Iterator[str]:
    """Start a Ray cluster of two processors on this machine; yield its address."""
    words = [sys.executable, "-c", CLUSTER]
    environment = {**ENVIRONMENT, **QUIET}
    with subprocess.Popen(words, env=environment, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()  # it ends with its input


def ray(bench: Bench) -> Numbers:
    """Two actors of Ray beside two local workers: on a cluster that runs, and on one of its own."""
    file = bench.file()
    with running_cluster() as address:
        tasks = {
            "local": partial(bench.score, file, "--workers", "2"),
            "joined": partial(bench.score, file, "--workers", "2", ray=address),
            "own": partial(bench.score, file, "--workers", "2", ray="local"),
        }
        return bench.turns(tasks)


PARTS: dict[str, Callable[[Bench], Numbers]] = {
    "throughput": throughput,
    "trees": trees,
    "start": start,
    "memory": memory,
    "ray": ray,
}


def rows_of(found: Mapping[str, Numbers]) -> list[dict[str, str]]:
    """Return the table: what was measured, and the bar it is held against."""
    table: list[dict[str, str]] = []

    def put(what: str, is_: str, bar: str, holds: bool | None = None) -> None:
        met = {True: "yes", False: "NO", None: ""}[holds]
        table.append({"what": what, "measured": is_, "bar": bar, "met": met})

    if raw := found.get("throughput"):
        one, two, bare = (of(raw, name) for name in ("one", "two", "bare"))
        n = raw["rows"]
        put(f"{n:,} rows, one process", f"{n / median(one):,.0f} rows/s", "")
        put(f"bare loop (batches of {raw['batch']:,})", f"{n / median(bare):,.0f} rows/s", "")
        threaded = median(of(raw, "bare_threaded"))
        put("bare loop that reads with all cores", f"{n / threaded:,.0f} rows/s", "")
        put("speed of one process / bare loop", *ratio(bare, one, 0.7))
        used = {name: of(raw, name, "processor") for name in ("bare", "one", "uncounted")}
        put("the same by processor time", *ratio(used["bare"], used["one"], 0.7))
        put("two workers / one", *ratio(one, two, 1.6))
        cost = [1 - b / a for a, b in zip(used["one"], used["uncounted"], strict=True)]
        put(
            "monitoring, share of processor time",
            f"{median(cost):.1%}",
            "< 10%",
            median(cost) < 0.1,
        )
    if raw := found.get("trees"):
        one, everything = of(raw, "one"), of(raw, "all")
        put("one process / LightGBM, one thread", *ratio(of(raw, "trees_1"), one, 3.0))
        put("all cores / LightGBM, all threads", *ratio(of(raw, "trees_all"), everything, 3.0))
    if raw := found.get("start"):
        for name, what, seconds, mb in (
            ("alone", "graph", 1.5, 250),
            ("steps", "with a scaler before it", 4.0, 400),
        ):
            took, peak = median(of(raw, name)), max(of(raw, name, "mb"))
            told = f"{took:.2f} s, {peak:.0f} MB"
            met = took < seconds and peak < mb
            put(f"start to the scores of 1,000 rows, {what}", told, f"{seconds} s, {mb} MB", met)
    if raw := found.get("memory"):
        for times in (1, 5):
            peaks = [raw[f"times_{times}"]["mb"], raw[f"times_{times}_two"]["mb"]]
            what = f"memory of a worker, {times * raw['rows']:,} rows (1 and 2 workers)"
            put(what, " and ".join(f"{mb:.0f} MB" for mb in peaks), "600 MB", max(peaks) < 600)
    if raw := found.get("ray"):
        local = of(raw, "local")
        over = median(b / a - 1 for a, b in zip(local, of(raw, "joined"), strict=True))
        own = median(b - a for a, b in zip(local, of(raw, "own"), strict=True))
        what = "beside 2 local workers"
        put(f"Ray, 2 actors on a running cluster, {what}", f"{over:+.1%}", "< 20%", over < 0.2)
        put(f"Ray, a cluster of its own started and ended, {what}", f"{own:+.1f} s", "")
    return table


def of(raw: Numbers, name: str, what: str = "seconds") -> list[float]:
    return [one[what] for one in raw[name]]


def ratio(rival: list[float], ours: list[float], least: float) -> tuple[str, str, bool]:
    """Return how many times as fast ours is, by the rounds, and whether that is enough."""
    found = [a / b for a, b in zip(rival, ours, strict=True)]
    middle = median(rival) / median(ours)
    return f"{middle:.2f} ({min(found):.2f} to {max(found):.2f})", f">= {least}", middle >= least


NOTES = [
    "An MLP 30-128-64-1 in float32; rows: an id, a time, 30 float32 columns, Parquet with snappy. "
    "Ours is the whole command from start to end: plan with SHA-256 of the input, unique ids, "
    "contract, scores, counts for drift, alerts, commits, manifest.",
    "The bare loop has the same graph, onnxruntime settings and rows read at once, and one thread; "
    "of three batch sizes the fastest. It checks, counts and commits nothing.",
    "Ratios are of the medians; in brackets the least and most of a round. Rivals run in turns.",
    "Memory: largest process, of five times the rows once.",
]


def key(rows: int, rounds: int) -> str:
    """Return what a measurement holds for: code, libraries, machine and sizes."""
    told = json.dumps([versions(), hardware(), rows, rounds])
    digest = sha256(told.encode())
    paths = [*(ROOT / "fintech_dl").rglob("*.py"), *Path(__file__).parent.glob("batch_*.py")]
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--again", action="store_true", help="measure anew what was kept")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, no result")
    given = parser.parse_args()
    rows, rounds = (20_000, 2) if given.quick else (given.rows, given.rounds)
    home = cache() / "benchmarks" / "batch_scoring"
    kept = home / key(rows, rounds)
    kept.mkdir(parents=True, exist_ok=True)
    bench = Bench(home, rows, rounds)
    found: dict[str, Any] = {}
    for name, part in PARTS.items():
        path = kept / f"{name}.json"
        if not path.exists() or (given.again and name in given.only):
            if name not in given.only:
                continue
            load, started = os.getloadavg()[0], time.perf_counter()
            print(f"{name}: load average {load:.2f}", end=" ", flush=True)
            raw = part(bench)
            took = round(time.perf_counter() - started, 1)
            with replacing(path) as new:
                new.write_text(json.dumps({"raw": raw, "seconds": took, "load": load}))
            print(f"{took} s", flush=True)
        found[name] = json.loads(path.read_text())
    table = rows_of({name: one["raw"] for name, one in found.items()})
    for line in table:
        print(" | ".join(line.values()))
    if given.quick or len(found) < len(PARTS):
        return
    load = max(one["load"] for one in found.values())
    took = sum(one["seconds"] for one in found.values())
    notes = [*NOTES, f"Load average before measuring: {load:.2f} (largest of all parts)."]
    raw = {name: one["raw"] for name, one in found.items()}
    command = f"python tests/benchmarks/batch_scoring.py --rows {rows} --rounds {rounds}"
    print(write_result("batch_scoring", table, notes, command, raw=raw, seconds=took))


if __name__ == "__main__":
    main()
