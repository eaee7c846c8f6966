"""What the benchmark of batch scoring scores: an artefact of 30 features, and millions of rows.

python batch_data.py rows FILE N
python batch_data.py artefact FOLDER alone|steps|uncounted
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N_FEATURES = 30
GROUP = 131_072  # rows of a row group
CHUNK = 1_048_576
DATASET = """
title = "Payments of the benchmark"
licence = "CC0-1.0"
[source]
kind = "file"
path = "{path}"
[contract]
key = "payment"
time = "time"
labels = ["fraud"]
[columns]
payment = {{ type = "integer", min = 0 }}
time = {{ type = "datetime" }}
"f*" = {{ type = "number", min = -100, max = 100 }}
fraud = {{ type = "integer", allowed = [0, 1] }}
"""
PIPELINE = """
title = "Benchmark"
question = "How fast?"
dataset = "{dataset}"
metrics = ["average_precision"]
[table]
use = "rows.as_they_are"
target = "fraud"
when = "time"
drop = ["payment"]
[split]
kind = "holdout"
train = "2d"
test = "1d"
{scaler}
[[step]]
name = "model"
use = "fintech_dl.NeuralClassifier"
network = {{ use = "fintech_dl.MLP", units = [128, 64] }}
epochs = 1
[decision]
rule = "cost"
false_alarm = 5.0
miss = 100.0
[[baseline]]
use = "sklearn.dummy.DummyClassifier"
title = "The prior alone"
strategy = "prior"
"""
SCALER = '[[step]]\nname = "scale"\nuse = "sklearn.preprocessing.StandardScaler"\n'


def table(first: int, n: int, total: int, labels: bool = False) -> pa.Table:
    """Return rows ``first`` to ``first + n`` of ``total``: an id, a time, 30 float32 features."""
    rng = np.random.default_rng(first)
    ids = np.arange(first, first + n, dtype=np.int64)
    start = np.datetime64("2026-01-01", "us").astype(np.int64)
    time = start + (ids * (3 * 86_400 * 10**6 / max(total, 1))).astype(np.int64)
    x = rng.standard_normal((N_FEATURES, n), dtype=np.float32)
    columns = {"payment": pa.array(ids), "time": pa.array(time).cast(pa.timestamp("us"))}
    columns |= {f"f{i}": pa.array(x[i]) for i in range(N_FEATURES)}
    if labels:
        p = 1 / (1 + np.exp(3 - x[:3].sum(axis=0)))
        columns["fraud"] = pa.array((rng.random(n) < p).astype(np.int64))
    return pa.table(columns)


def write_rows(path: Path, n: int) -> Path:
    """Write ``n`` rows to score."""
    first = table(0, min(n, CHUNK), n)
    with pq.ParquetWriter(path, first.schema, compression="snappy", use_dictionary=False) as writer:
        for start in range(0, n, CHUNK):
            part = table(start, min(CHUNK, n - start), n) if start else first
            writer.write_table(part, row_group_size=GROUP)
    return path


def make_artefact(folder: Path, name: str) -> None:
    """Make an artefact in ``folder / name``: an MLP 30-128-64-1.

    ``alone``; with ``steps``: a scaler before it; ``uncounted``: the first one, without the
    reference by which rows are counted.
    """
    from fintech_dl import run_pipeline, save
    from fintech_dl.artefact import read_files, read_record

    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    if name == "uncounted":
        source = folder / "alone/run/artefact"
        kept = ("model.skops", "model.onnx", "graph.json", "parity.json")
        model = {name: data for name, data in read_files(source).items() if name in kept}
        records = {"cards": read_record(source, "cards")}
        save(None, home / "run/artefact", files=model, records=records)
        return
    pq.write_table(table(0, 20_000, 20_000, labels=True), home / "rows.parquet")
    (home / "rows.toml").write_text(DATASET.format(path=home / "rows.parquet"))
    scaler = SCALER if name == "steps" else ""
    card = home / "pipeline.toml"
    card.write_text(PIPELINE.format(dataset=home / "rows.toml", scaler=scaler))
    run_pipeline(card, home / "run")


if __name__ == "__main__":
    if sys.argv[1] == "rows":
        write_rows(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        make_artefact(Path(sys.argv[2]), sys.argv[3])
