"""Speed and memory beside their rivals: training, members, scoring, start-up.

Run in the repository, on a machine that does nothing else:

    python tests/benchmarks/speed.py

Every part is measured in a process of its own; what is measured is kept in the cache folder, so
that a second start goes on where the first was stopped (``--again`` measures everything anew).
``--readme`` puts the newest results into the README and measures nothing; ``--quick [PART ...]``
tries the parts with tiny sizes and writes no result. The rows of PyTorch need the extra ``bench``.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from results import hardware, versions, write_result
from speed_table import BACKENDS, README, put, readme_table, rows

from fintech_dl.folders import cache, replacing

ROOT = Path(__file__).parents[2]
ON_BACKENDS = {
    "mlp": "speed_training",
    "lstm": "speed_training",
    "members": "speed_training",
    "members_cold": "speed_training",
    "predict": "speed_scoring",
    "overhead": "speed_training",
    "memory": "speed_training",
}
ONCE = {
    "torch_mlp": "speed_training",
    "torch_lstm": "speed_training",
    "start": "speed_scoring",
    "score": "speed_scoring",
}
TASKS = [(part, backend) for part in ON_BACKENDS for backend in BACKENDS]
TASKS += [(part, "") for part in ONCE]
BUSY = 0.5
NOTES = [
    "Rows per second of training: of an epoch once everything is compiled, (fit of 6 epochs - fit "
    "of 2) / 4, measured so for every side.",
    "Times as fast: ratio of the medians of five rounds (compiling included: three) run in turns "
    "in one process; in brackets the least and most of a round. PyTorch has a process of its own, "
    "there of any two rounds.",
    "Bare Keras: the same network without our encoding, with the fastest of steps_per_execution 1 "
    "and 32, and on TensorFlow jit_compile auto and False. PyTorch: the better of fused and plain "
    "Adam, batches by index, no DataLoader.",
    "ONNX is compared with bare Keras on the backend where that is faster.",
    "First and second fit: batches of 256, 5 epochs, another fit came before; bare Keras is "
    "compile and fit of a new model. Medians of five.",
    "Commands: best of five; fintech-dl score: median of five, largest peak of five, with PyTorch "
    "hidden: where it is installed, reading scikit-learn steps (skops) imports it.",
]


def label(part: str, backend: str) -> str:
    return f"{part}-{backend}" if backend else part


def key() -> str:
    """Return what a measurement holds for: this code, these libraries, this machine."""
    paths = [*(ROOT / "fintech_dl").rglob("*.py")]
    paths += [Path(__file__).with_name(f"speed_{n}.py") for n in ("rounds", "training", "scoring")]
    digest = sha256(json.dumps([versions(), hardware()]).encode())
    for path in sorted(paths):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def measure(part: str, backend: str, quick: bool = False) -> dict[str, Any]:
    """Measure a part in a fresh process."""
    words = [sys.executable, __file__, "--part", part]
    words += ["--backend", backend] if backend else []
    words += ["--quick"] if quick else []
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{label(part, backend)} failed; what was measured before is kept")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_here(part: str, backend: str, quick: bool) -> None:
    """Measure a part in this process, and print it."""
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module = importlib.import_module({**ON_BACKENDS, **ONCE}[part])
    print(json.dumps(getattr(module, part)(quick)))


def gather(
    folder: Path, again: bool, take: Callable[[str, str], Mapping[str, Any]] = measure
) -> dict[str, dict[str, Any]]:
    """Return ``raw`` numbers, ``seconds`` and ``load`` of each part, measured or kept."""
    load, found = os.getloadavg()[0], {}
    for i, (part, backend) in enumerate(TASKS, 1):
        name = label(part, backend)
        path = folder / f"{name}.json"
        print(f"[{i}/{len(TASKS)}] {name}: ", end="", flush=True)
        if path.exists() and not again:
            found[name] = json.loads(path.read_text(encoding="utf-8"))
            print("kept from before", flush=True)
            continue
        started = time.perf_counter()
        raw = take(part, backend)
        took = round(time.perf_counter() - started, 1)
        found[name] = {"raw": raw, "seconds": took, "load": load}
        with replacing(path) as new:
            new.write_text(json.dumps(found[name]), encoding="utf-8")
        print(f"{took} s, load average now {os.getloadavg()[0]:.2f}", flush=True)
    return found


def try_out(names: list[str]) -> None:
    """Measure parts with tiny sizes, and print the table if all are there."""
    found = {}
    for part, backend in TASKS:
        if not names or {part, label(part, backend)} & set(names):
            found[label(part, backend)] = measure(part, backend, quick=True)
            print(label(part, backend), json.dumps(found[label(part, backend)])[:300], flush=True)
    if len(found) == len(TASKS):
        for row in rows(found):
            print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=[*ON_BACKENDS, *ONCE], help="this one, in this process")
    parser.add_argument("--backend", choices=list(BACKENDS), default="")
    parser.add_argument("--again", action="store_true", help="measure everything anew")
    parser.add_argument("--readme", action="store_true", help="newest results into the README")
    parser.add_argument("--quick", nargs="*", metavar="PART", help="tiny sizes, no result")
    given = parser.parse_args()
    if given.readme:
        README.write_text(put(README.read_text("utf-8"), readme_table()), "utf-8")
    elif given.part:
        if (given.part in ON_BACKENDS) != bool(given.backend):
            parser.error(
                f"--part {given.part} {'needs' if given.part in ON_BACKENDS else 'takes no'} "
                "--backend"
            )
        measure_here(given.part, given.backend, given.quick is not None)
    elif given.quick is not None:
        try_out(given.quick)
    else:
        run(given.again)


def run(again: bool) -> None:
    """Measure what is not measured yet, and write the result."""
    started, load = time.perf_counter(), os.getloadavg()[0]
    print(f"load average {load:.2f}" + ("" if load <= BUSY else ": this machine is busy; wait"))
    found = gather(cache() / "benchmarks" / f"speed_{key()}", again)
    raw = {name: part["raw"] for name, part in found.items()}
    load = max(part["load"] for part in found.values())
    notes = [*NOTES, f"Load average before measuring: {load:.2f} (largest of all starts)."]
    if "absent" in raw["torch_mlp"]:
        notes.append("PyTorch was not installed: its rows are left out.")
    command = "python tests/benchmarks/speed.py"
    took = sum(part["seconds"] for part in found.values())
    print(write_result("speed", rows(raw), notes, command, raw=raw, seconds=took))
    print(f"total {time.perf_counter() - started:.0f} s; now: {Path(__file__).name} --readme")


if __name__ == "__main__":
    main()
