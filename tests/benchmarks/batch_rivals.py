"""Rivals of batch scoring, each a loop in one process: Parquet in, a model, Parquet out.

python batch_rivals.py onnx ARTEFACT FILE OUT BATCH THREADED
python batch_rivals.py lightgbm MODEL FILE OUT THREADS
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

READ = 65_536  # rows read at once, as ours
FEATURES = [f"f{i}" for i in range(30)]
SCHEMA = pa.schema([("payment", pa.int64()), ("score", pa.float64())])


def loop(file: str, out: str, score: Callable[[Any], Any], threaded: bool) -> None:
    """Score a file batch by batch, with nothing checked, counted or committed."""
    columns = ["payment", *FEATURES]
    rows = pq.ParquetFile(file)
    with pq.ParquetWriter(out, SCHEMA) as writer:
        for batch in rows.iter_batches(READ, columns=columns, use_threads=threaded):
            x = np.stack([batch.column(name).to_numpy() for name in FEATURES], axis=1)
            scores = pa.array(np.asarray(score(x), dtype=np.float64))
            table = pa.record_batch([batch.column("payment"), scores], schema=SCHEMA)
            writer.write_batch(table, row_group_size=262_144)


def onnx(artefact: str, file: str, out: str, size: str, threaded: str) -> None:
    """Score with the artefact's own graph, ``size`` rows at once, in one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = (Path(artefact) / "model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name, step = session.get_inputs()[0].name, int(size)

    def score(x: Any) -> Any:
        parts = [
            session.run(None, {name: x[i : i + step]})[0].reshape(-1)
            for i in range(0, len(x), step)
        ]
        return 1.0 / (1.0 + np.exp(-np.concatenate(parts)))

    loop(file, out, score, threaded == "1")


def lightgbm(model: str, file: str, out: str, threads: str) -> None:
    """Score with gradient boosted trees."""
    from lightgbm import Booster

    booster = Booster(model_file=model)
    loop(file, out, lambda x: booster.predict(x, num_threads=int(threads)), threads != "1")


def fit_lightgbm(file: str, model: str) -> None:
    """Train 300 trees of 31 leaves on the rows of the artefact."""
    from lightgbm import LGBMClassifier

    table = pq.read_table(file)
    X = np.stack([table[name].to_numpy() for name in FEATURES], axis=1)
    trees = LGBMClassifier(n_estimators=300, num_leaves=31, verbose=-1)
    trees.fit(X, table["fraud"].to_numpy()).booster_.save_model(model)


if __name__ == "__main__":
    dict(onnx=onnx, lightgbm=lightgbm, fit_lightgbm=fit_lightgbm)[sys.argv[1]](*sys.argv[2:])
