"""Parts of the speed benchmark that start and score.

Nothing heavy is imported at the top: Linux counts the memory of a process into the peak of those it
starts.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from speed_rounds import fastest, in_turns, timed

COMMAND = str(Path(sys.executable).with_name("fintech-dl"))
BATCHES = (1024, 8192, 65_536, 1_000_000)
SOURCES = {"seconds": "Time", "amount": "Amount", "is_fraud": "Class"}
PRIOR = {"use": "sklearn.dummy.DummyClassifier", "title": "The prior alone"}
SCALER = {"name": "scale", "use": "sklearn.preprocessing.StandardScaler"}


def predict(quick: bool) -> dict[str, Any]:
    """Time one million rows through ours, bare Keras at its best batch size, and the ONNX graph."""
    import keras
    import numpy as np
    from keras import layers

    from fintech_dl import MLP, NeuralClassifier
    from fintech_dl.estimators.graph import describe, export
    from fintech_dl.estimators.scorer import open_session

    n = 20_000 if quick else 1_000_000
    X = np.random.default_rng(0).standard_normal((n, 30), dtype=np.float32)
    ours = NeuralClassifier(network=MLP(), epochs=1, random_state=0)
    ours.fit(X[:10_000], (X[:10_000, 0] > 0).astype(int))
    dense = [layers.Dense(units, activation="relu") for units in (128, 64)]
    bare = keras.Sequential([keras.Input((30,)), *dense, layers.Dense(1)])

    def in_batches(size: int) -> Any:
        parts = [bare.predict_on_batch(X[i : i + size]) for i in range(0, n, size)]
        return np.concatenate(parts)

    sizes = {str(size): partial(in_batches, size) for size in BATCHES if size <= n}
    tasks: dict[str, Any] = {"ours": partial(ours.decision_function, X)}
    onnx = export(ours)
    for threads in (1, 2):
        graph = open_session(onnx, describe(ours), threads=threads)
        tasks[f"onnx_{threads}"] = partial(graph.scores, X)
    for task in (*sizes.values(), *tasks.values()):
        task()
    best = fastest({name: partial(timed, task) for name, task in sizes.items()})
    tasks["keras"] = sizes[best]
    found = in_turns(
        {name: partial(timed, task) for name, task in tasks.items()}, 2 if quick else 5
    )
    return {"rows": n, "keras_batch": int(best), **found}


def start(quick: bool) -> dict[str, Any]:
    """Time commands that should answer at once, beside Python alone."""
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import fintech_dl"],
        "help": [COMMAND, "--help"],
        "list": [COMMAND, "list"],
    }
    run = partial(subprocess.run, stdout=subprocess.DEVNULL, check=True)
    tasks = {name: partial(timed, partial(run, words)) for name, words in commands.items()}
    return in_turns(tasks, 2 if quick else 5)


def artefacts(folder: str) -> None:
    """Make a pipeline of a network alone, one with a scaler before it, and a file to score."""
    from fintech_dl import load_frame, run_pipeline
    from fintech_dl.cards import pipeline_card

    card = pipeline_card("fraud-ulb")
    for name, steps in (("alone", []), ("steps", [SCALER])):
        changes = {"baseline": [PRIOR], "metrics": ["average_precision"]}
        changes["step"] = [*steps, *card.step]
        changed = pipeline_card("fraud-ulb", changes, dataset="synthetic_card_components")
        run_pipeline(changed, Path(folder) / name, set_params={"model__epochs": 1})
    frame = load_frame("synthetic_card_components").rename(columns=SOURCES)
    frame[:1000].to_parquet(Path(folder) / "new.parquet", index=False)


def score(quick: bool) -> dict[str, Any]:
    """Time the command that scores 1,000 rows, from start to end; peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        code = "import sys, speed_scoring; speed_scoring.artefacts(sys.argv[1])"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        words = [sys.executable, "-c", code, folder]
        subprocess.run(words, env=environment, stdout=sys.stderr, check=True)
        # PyTorch is there as a rival only; skops would import it, by way of scikit-learn
        Path(folder, "torch.py").write_text("raise ImportError('hidden')\n")
        environment["PYTHONPATH"] = folder
        peaks: dict[str, list[float]] = {"alone": [], "steps": []}

        def scored(name: str) -> float:
            out = f"{folder}/scores_{name}_{len(peaks[name])}"
            words = ["score", f"{folder}/{name}/artefact", f"{folder}/new.parquet", "-o", out, "-q"]
            started = time.perf_counter()
            process = subprocess.Popen(
                [COMMAND, *words], env=environment, stdout=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"fintech-dl {' '.join(words)} ended with {process.returncode}")
            peaks[name].append(usage.ru_maxrss * 1024 / 1e6)
            return seconds

        tasks = {name: partial(scored, name) for name in peaks}
        return {**in_turns(tasks, 2 if quick else 5), "peak_mb": peaks}
