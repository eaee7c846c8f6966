"""One file of a run: all of its rows, bit for bit, and no formula in a CSV file."""

import csv
import gzip
import resource
from io import StringIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.data.frames import write_csv
from fintech_dl.errors import DataError, OutputError, UsageError
from fintech_dl.scoring import export
from fintech_dl.scoring.export import export_scores
from tests.scoring.finished import finished


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("finished"), quarantined=3)[0]


def read(path):
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_every_score_is_there_bit_for_bit(run, tmp_path, ending):
    path = tmp_path / f"scores.{ending}"
    told = export_scores(run.parent, path)
    assert told == {"path": str(path), "run": run.name, "what": "scores", "rows": 120}
    parts = sorted((run / "parts").iterdir())
    expected = pa.concat_tables(map(pq.read_table, parts)).to_pandas()
    if ending == "parquet":
        found = pq.read_table(path, page_checksum_verification=True).to_pandas()
        found["source_file"] = found["source_file"].astype("category")
        pd.testing.assert_frame_equal(found, expected, check_exact=True, check_categorical=False)
    else:
        head, *rows = read(path)
        assert head == list(expected.columns)
        score = head.index("score")
        bits = np.array([float(row[score]) for row in rows]).view(np.int64)
        assert (bits == expected["score"].to_numpy().view(np.int64)).all()
        assert [row[head.index("source_row")] for row in rows] == [
            str(n) for n in expected["source_row"]
        ]
        assert rows[5][head.index("who")] == "line\nend"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    for ending in ("csv", "csv.gz", "parquet"):
        files = [tmp_path / f"{name}.{ending}" for name in "ab"]
        assert len({export_scores(run, file) and file.read_bytes() for file in files}) == 1


def test_texts_are_as_harmless_as_other_csv_files_of_ours():
    texts = [
        "=1+1",
        "+1",
        "-1.5e3",
        "-1.5e",
        "@x",
        "\tx",
        "\rx",
        "\nx",
        "x",
        "",
        "'",
        "-",
        "+",
        None,
    ]
    texts += ["-1\n", "=\n1", "1=2", "=" + "x" * 300]
    found = export._harmless(pa.array(texts)).to_pylist()
    assert found[:4] == ["'=1+1", "+1", "-1.5e3", "'-1.5e"]
    columns = pd.DataFrame({"a": pd.array(texts, dtype=object)})
    written = StringIO(newline="")
    write_csv(columns, written)
    rows = list(csv.reader(StringIO(written.getvalue(), newline="")))[1:]
    assert [text or "" for text in found] == [row[0] if row else "" for row in rows]


def test_names_of_columns_are_harmless_too(tmp_path, monkeypatch):
    import tests.scoring.finished as maker

    made = maker.scores
    monkeypatch.setattr(
        maker,
        "scores",
        lambda *a: made(*a).rename_columns(
            ["=who" if n == "who" else n for n in made(*a).column_names]
        ),
    )
    run, _ = finished(tmp_path / "r")
    export_scores(run, tmp_path / "s.csv")
    assert "'=who" in read(tmp_path / "s.csv")[0]


def test_rows_set_aside_come_as_they_were_read(run, tmp_path):
    told = export_scores(run.parent, tmp_path / "q.csv", what="quarantine")
    assert told["rows"] == 9
    head, *rows = read(tmp_path / "q.csv")
    assert head == ["who", "reason", "source_row"]
    assert rows[0] == ["'=cmd", "below_min:amount", "41"]
    export_scores(run.parent, tmp_path / "q.parquet", what="quarantine")
    assert pq.read_table(tmp_path / "q.parquet")["who"].to_pylist() == ["=cmd"] * 9


def test_files_of_different_columns_become_one():
    schemas = [
        pa.schema([("a", pa.int32()), ("b", pa.string())]),
        pa.schema([("a", pa.float64()), ("c", pa.dictionary(pa.int8(), pa.string()))]),
        pa.schema([("b", pa.int64()), ("a", pa.int64())]),
    ]
    united = export._united(schemas)
    assert united == pa.schema([("a", pa.float64()), ("b", pa.string()), ("c", pa.string())])


def test_no_rows_are_a_file_with_a_head(tmp_path):
    run, _ = finished(tmp_path / "r", rows=0, quarantined=1)
    export_scores(run, tmp_path / "s.csv")
    ((*head,),) = read(tmp_path / "s.csv")
    assert head[0] == "source_file"
    whole, _ = finished(tmp_path / "w")
    assert export_scores(whole, tmp_path / "q.csv", what="quarantine")["rows"] == 0


def test_what_cannot_be_written(run, tmp_path):
    with pytest.raises(UsageError, match=r"expected a file \.csv, \.csv\.gz, \.parquet"):
        export_scores(run, tmp_path / "scores.xlsx")
    with pytest.raises(UsageError, match="got 'parts', allowed: scores, quarantine, reasons"):
        export_scores(run, tmp_path / "s.csv", what="parts")
    with pytest.raises(UsageError, match="was scored without --reasons"):
        export_scores(run, tmp_path / "s.csv", what="reasons")
    with pytest.raises(DataError, match="holds no finished scores"):
        export_scores(tmp_path, tmp_path / "s.csv")
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"exists already; name a new file, or .* --overwrite"):
        export_scores(run, tmp_path / "there.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"
    export_scores(run, tmp_path / "there.csv", overwrite=True)
    assert len(read(tmp_path / "there.csv")) == 121


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_file_too_large_leaves_the_old_one(run, tmp_path, ending):
    path = tmp_path / f"s.{ending}"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written \\(File too large\\)"):
            export_scores(run, path, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(path.name, "old")]


def test_a_damaged_part_is_not_exported(tmp_path):
    run, manifest = finished(tmp_path / "r")
    part = run / "parts" / manifest["shards"][1]["commit"]["part"]["name"]
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="SHA-256 differs"):
        export_scores(run, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_the_command_line_exports(run, tmp_path, command):
    done = command("export", run.parent, tmp_path / "s.csv")
    assert (done.code, done.out) == (0, f"{tmp_path}/s.csv: 120 rows of {run.name}\n")
    done = command("export", run.parent, tmp_path / "q.csv", "--quarantine", "--json")
    assert '"rows": 9' in done.out
    assert command("export", run.parent, tmp_path / "s.csv").code == 2
    assert command("export", run.parent, tmp_path / "s.csv", "--overwrite", "-q").code == 0
    assert command("export", run, tmp_path / "r.csv", "--quarantine", "--reasons").code == 2
    assert command("export", tmp_path, tmp_path / "r.csv").code == 4
