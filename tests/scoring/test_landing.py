"""CSV and odd Parquet, landed whole and as they are, or a sentence that names the row."""

import gzip
import os
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.data.frames import _read_csv
from fintech_dl.errors import DataError, DiskFullError, PlanError
from fintech_dl.scoring import landing
from fintech_dl.scoring.inputs import find_inputs
from fintech_dl.scoring.landing import land_csv, land_parquet, parquet_source

HEADER = b"a,b\n"
ROWS = b"".join(b"%d,x\n" % i for i in range(1000))


@pytest.fixture(params=["csv", "csv.gz"])
def land(request, tmp_path):
    """Land these bytes as a CSV file, plain or compressed."""

    def land(data):
        path = tmp_path / f"new.{request.param}"
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        (original,) = find_inputs([path])
        return land_csv(original, tmp_path, "00000.parquet")

    yield land
    left = list(tmp_path.glob("landed/*"))
    assert [path.name for path in left] in ([], ["00000.parquet"])


def cells(folder):
    return pq.read_table(folder / "landed/00000.parquet").to_pylist()


@pytest.mark.parametrize(
    ("data", "last"),
    [
        (b'1,"a\nb"\n2,"c\r\nd"', ["2", "c\r\nd"]),
        (b"1,\n", ["1", None]),
        (b'"1","x""y"\n', ["1", 'x"y']),
        (b"1,2\r\n3, 4 \r\n", ["3", " 4 "]),
        (b"1,2\r3,4\r", ["3", "4"]),
        ("1,é€\n".encode(), ["1", "é€"]),
        (b"NA,nan\n", ["NA", "nan"]),
        (b"007,1e5\n\n", ["007", "1e5"]),
    ],
)
def test_cells_come_as_they_are(land, tmp_path, data, last):
    header = HEADER.replace(b"\n", b"\r") if b"\r3" in data else HEADER
    source = land(b"\xef\xbb\xbf" + header + data)
    assert list(cells(tmp_path)[-1].values()) == last
    assert source.text
    assert source.bytes == (tmp_path / source.path).stat().st_size


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (HEADER + ROWS + b"1\n" + ROWS, "data row 1001: expected 2 columns, got 1: 1; is a comma"),
        (HEADER + ROWS + b"1,2,3\n", "data row 1001: expected 2 columns, got 3: 1,2,3;"),
        (HEADER + ROWS + b"1,\xff\n" + ROWS, "data row 1001: bytes that are no UTF-8"),
        (HEADER + ROWS + b"1,a\0b\n" + ROWS, "data row 1001: column 'b': a NUL byte"),
        (HEADER + ROWS + b'1,"a\n' + ROWS, "data row 1001: a quote is opened and never closed"),
        (HEADER + ROWS + b'1,"a', "data row 1001: a quote is opened and never closed"),
        (HEADER + ROWS + b'"1,a\n', 'data row 1001: expected 2 columns, got 1: "1,a'),
        (b"", "the file is empty; expected a header"),
        (b"a,a\n1,2\n", "several columns named a"),
        (b"a\xff,b\n1,2\n", "bytes in the header that are no UTF-8"),
        (b"a\0,b\n1,2\n", "a NUL byte in the header"),
    ],
)
def test_broken_files_are_told_with_their_row(land, tmp_path, data, text):
    with pytest.raises(DataError, match=r"new.csv") as raised:
        land(data)
    assert text in str(raised.value)
    assert not cells_there(tmp_path)


def cells_there(folder):
    return list(folder.glob("landed/*"))


def test_a_file_without_rows_is_landed_empty(land):
    assert land(HEADER).row_groups == []
    assert land(b"a,b").row_groups == []


def test_memory_is_bounded_by_row_groups(land, tmp_path, monkeypatch):
    monkeypatch.setattr(landing, "BLOCK", 1000)
    assert land(HEADER + ROWS * 2).row_groups == [2000]
    monkeypatch.setattr(landing, "GROUP_BYTES", 2000)
    groups = land(HEADER + ROWS * 2).row_groups
    assert sum(groups) == 2000
    assert len(groups) > 5
    monkeypatch.undo()
    monkeypatch.setattr(
        landing.land, "__kwdefaults__", {**landing.land.__kwdefaults__, "group_rows": 300}
    )
    assert land(HEADER + ROWS).row_groups == [300, 300, 300, 100]
    assert [row["a"] for row in cells(tmp_path)] == [str(i) for i in range(1000)]


def test_a_row_beyond_the_block_is_told(land, monkeypatch):
    monkeypatch.setattr(landing, "BLOCK", 4000)
    with pytest.raises(DataError, match=r"after data row .*: a row of more than 0 MB; is a quote"):
        land(HEADER + ROWS + b'1,"' + b"x" * 9000 + b'"\n')


def test_the_same_cells_as_the_reading_of_a_whole_file(tmp_path):
    path = tmp_path / "new.csv"
    path.write_bytes(HEADER + ROWS + b'1.5,"x,y"\n,\n"",z\n')
    (original,) = find_inputs([path])
    land_csv(original, tmp_path, "00000.parquet", sync=False)
    with path.open("rb") as stream:
        whole = _read_csv(stream, path)
    pd.testing.assert_frame_equal(
        pq.read_table(tmp_path / "landed/00000.parquet").to_pandas(), whole
    )


@pytest.mark.parametrize(
    "change", [lambda d: d[:-20], lambda d: d[:-6] + b"xxxxxx", lambda d: b"a" + d]
)
def test_a_broken_archive_is_told(tmp_path, change):
    path = tmp_path / "new.csv.gz"
    path.write_bytes(change(gzip.compress(HEADER + ROWS)))
    (original,) = find_inputs([path])
    with pytest.raises(DataError, match=r"new.csv.gz: cannot be read"):
        land_csv(original, tmp_path, "00000.parquet")
    assert not cells_there(tmp_path)


def test_a_file_replaced_since_it_was_hashed_is_refused(tmp_path):
    path = tmp_path / "new.csv"
    path.write_bytes(HEADER + ROWS)
    (original,) = find_inputs([path])
    path.write_bytes(HEADER + ROWS.replace(b"x", b"y"))
    with pytest.raises(PlanError, match="was replaced just now"):
        land_csv(original, tmp_path, "00000.parquet")
    assert not cells_there(tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "new.csv"
    path.write_bytes(HEADER + ROWS)
    (original,) = find_inputs([path])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(DiskFullError, match="No space left"):
        land_csv(original, tmp_path, "00000.parquet")
    assert not cells_there(tmp_path)


def test_pages_have_checksums(tmp_path):
    path = tmp_path / "new.csv"
    path.write_bytes(HEADER + ROWS)
    land_csv(find_inputs([path])[0], tmp_path, "00000.parquet")
    landed = tmp_path / "landed/00000.parquet"
    data = bytearray(landed.read_bytes())
    data[100] ^= 1
    landed.write_bytes(data)
    with pytest.raises(OSError, match="checksum"):
        pq.ParquetFile(landed, page_checksum_verification=True).read()


def test_an_index_that_is_a_column_in_name_only_becomes_one(tmp_path):
    path = tmp_path / "new.parquet"
    frame = pd.DataFrame({"b": range(7)}, index=pd.RangeIndex(10, 24, 2, name="a"))
    frame.to_parquet(path, row_group_size=3)
    (original,) = find_inputs([path])
    assert parquet_source(original)[0].row_groups == [3, 3, 1]
    source = land_parquet(original, tmp_path, "00000.parquet")
    assert sum(source.row_groups) == 7
    assert [row["a"] for row in cells(tmp_path)] == list(range(10, 24, 2))


def test_broken_parquet_is_told(tmp_path):
    path = tmp_path / "new.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    os.truncate(path, 50)
    (original,) = find_inputs([path])
    with pytest.raises(
        DataError, match=r"new.parquet: cannot be read: .*; the file is broken or of"
    ):
        parquet_source(replace(original, bytes=50))
