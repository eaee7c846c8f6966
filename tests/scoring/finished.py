"""A finished run without a model: a plan, parts, commits and a manifest of made-up scores."""

from hashlib import sha256

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fintech_dl.scoring import store
from fintech_dl.scoring.commits import FOLDERS, Commit, made, part_path, write_commit
from fintech_dl.scoring.manifest import finish
from fintech_dl.scoring.plan import PLAN, Original, Plan, Source, cut_shards, to_bytes

TEXTS = ["plain", "=1+1", "-1.5", "", 'quo"te, comma', "line\nend", "\\N", "\\.", "ümläut €", None]
FLOATS = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 0.0, 2**53 + 1.0, 1e-7, 0.30000000000000004]


def scores(file, first, rows, seed=0):
    """Return made-up scores of rows of a file, hard to carry over bit for bit."""
    rng = np.random.default_rng([seed, first])
    values = rng.random(rows)
    values[: len(FLOATS)] = FLOATS[:rows]
    when = pd.date_range("1969-12-31 23:59:58.123456", periods=rows, freq="6h")
    codes = pa.array(np.zeros(rows, dtype=np.int32))
    return pa.table(
        {
            "source_file": pa.DictionaryArray.from_arrays(codes, [file]),
            "source_row_group": pa.array(np.zeros(rows), pa.int32()),
            "source_row": pa.array(np.arange(first, first + rows), pa.int64()),
            "id": pa.array(2**62 + np.arange(first, first + rows), pa.int64()),
            "time": pa.array(when, pa.timestamp("us")),
            "who": pa.array([TEXTS[i % len(TEXTS)] for i in range(rows)], pa.string()),
            "score": pa.array(values),
            "alert": pa.array(values > 0.9),
        }
    )


def finished(folder, shards=3, rows=40, file="/data/new.parquet", seed=0, quarantined=0):
    """Make ``folder/run-...``, finished; return the run's folder and its manifest."""
    rows_in = [rows + quarantined] * shards
    key = sha256(f"{file}{seed}{shards}{rows}".encode()).hexdigest()
    run = folder / f"run-{key[:12]}"
    for name in FOLDERS:
        (run / name).mkdir(parents=True, exist_ok=True)
    named = Original(name=file, bytes=1, sha256=key, mtime_ns=0)
    source = Source(path=file, bytes=1, sha256=key, mtime_ns=0, row_groups=rows_in, name=file)
    cut = cut_shards([source], max(rows_in))
    about = dict.fromkeys(("history", "as_of_given", "repeated", "landed_quarantine"))
    plan = Plan(
        **about,
        key=key,
        artefact="5ea1" * 16,
        artefact_path="/models/fraud",
        pipeline="fraud",
        dataset="transactions",
        originals=[named],
        sources=[source],
        shards=cut,
        stage="rows",
        as_of="2026-11-22T00:00:00",
        duplicates="report",
        reasons=False,
        sink={},
        versions={},
        schema_sha256=key,
    )
    store.create(run / PLAN, to_bytes(plan))
    for k, (piece,) in enumerate(cut):
        part = part_path(run, "parts", k, store.attempt())
        table = scores(file, piece.first_row, rows, seed)
        pq.write_table(table, part, write_page_checksum=True)
        aside = None
        if quarantined:
            aside = part_path(run, "quarantine", k, store.attempt())
            bad = {"who": ["=cmd"] * quarantined, "reason": ["below_min:amount"] * quarantined}
            bad["source_row"] = [piece.first_row + rows + i for i in range(quarantined)]
            pq.write_table(pa.table(bad), aside, write_page_checksum=True)
        write_commit(
            run,
            Commit(
                key=key,
                shard=k,
                part=made(part),
                quarantine=made(aside) if aside else None,
                reasons=None,
                rows_in=piece.rows,
                scored=rows,
                quarantined=quarantined,
                alerts=int(np.sum(table["alert"].to_numpy())),
            ),
        )
    return run, finish(run, plan)
