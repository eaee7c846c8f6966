"""The table of the benchmark of batch scoring, from made-up measurements."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HERE = Path(__file__).parent


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return import_module("batch_scoring")


def took(*seconds, mb=200.0):
    return [{"seconds": s, "processor": s, "mb": mb} for s in seconds]


def found():
    return {
        "throughput": {
            "rows": 1000,
            "batch": 4096,
            "bare": took(1.0, 1.2, 1.1),
            "one": took(1.3, 1.4, 1.2),
            "two": took(0.7, 0.8, 0.7),
            "uncounted": took(1.2, 1.3, 1.15),
            "bare_threaded": took(0.9, 0.9, 0.9),
        },
        "trees": {"one": took(1.0), "all": took(1.0), "trees_1": took(5.0), "trees_all": took(2.0)},
        "start": {"alone": took(1.0, 1.1), "steps": took(2.0, 2.1, mb=500.0)},
        "memory": {
            "rows": 1000,
            **{f"times_{n}{two}": took(1.0)[0] for n in (1, 5) for two in ("", "_two")},
        },
        "ray": {"local": took(1.0), "joined": took(1.1), "own": took(6.0)},
    }


def test_every_bar_is_in_the_table_and_a_missed_one_is_said(bench):
    table = {line["what"]: line for line in bench.rows_of(found())}
    assert table["speed of one process / bare loop"]["measured"] == "0.85 (0.77 to 0.92)"
    assert table["two workers / one"]["met"] == "yes"
    assert table["all cores / LightGBM, all threads"]["met"] == "NO"
    assert table["start to the scores of 1,000 rows, with a scaler before it"]["met"] == "NO"
    assert (
        table["Ray, 2 actors on a running cluster, beside 2 local workers"]["measured"] == "+10.0%"
    )
    assert sum(line["met"] != "" for line in table.values()) == 11
    assert list(bench.rows_of({"ray": found()["ray"]})[0]) == ["what", "measured", "bar", "met"]


def test_rows_are_the_same_however_many_are_made_at_once(bench, tmp_path):
    data, rivals = import_module("batch_data"), import_module("batch_rivals")
    file = data.write_rows(tmp_path / "rows.parquet", 1000)
    table = pq.read_table(file)
    assert len(table.column_names) == 2 + data.N_FEATURES
    assert table["f0"].type == pa.float32()
    out = tmp_path / "out.parquet"
    rivals.loop(str(file), str(out), lambda x: x[:, 3], threaded=False)
    scores = pq.read_table(out)["score"].to_numpy()
    np.testing.assert_array_equal(scores, table["f3"].to_numpy().astype(np.float64))
