"""Streams of batches, and the files that are made of them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.cards import Column, Contract, DatasetCard
from fintech_dl.cards import Source as From
from fintech_dl.data.proven import Labels
from fintech_dl.errors import DataError
from fintech_dl.scoring import batches
from fintech_dl.scoring.batches import BATCH, Typed, divide, stream
from fintech_dl.scoring.inputs import find_inputs
from fintech_dl.scoring.landing import parquet_source
from fintech_dl.scoring.parts import GROUP, arrow, set_aside, unite, where_columns, writing
from fintech_dl.scoring.plan import Piece, cut_shards

CARD = DatasetCard(
    title="",
    licence="",
    source=From(kind="file", path="a.parquet"),
    columns={"a": Column(type="number", min=0), "b": Column(type="integer")},
    contract=Contract(key="b"),
)
NONE = np.zeros(0, dtype=np.int64)


def table(n):
    return pa.table({"c": ["x"] * n, "b": np.arange(n), "a": np.arange(n, dtype=np.float64)})


def source_of(path, given, **named):
    pq.write_table(given, path, **named)
    return parquet_source(find_inputs([path])[0])[0]


@pytest.mark.parametrize("card", [CARD, None])
def test_a_stream_gives_every_row_once_in_order_with_its_row_group(tmp_path, monkeypatch, card):
    monkeypatch.setattr(batches, "CELLS", 3 * 2048)
    source = source_of(tmp_path / "a.parquet", table(10_000), row_group_size=3_000)
    (shard, last) = cut_shards([source], 9_000)
    found = [*stream(tmp_path / "a.parquet", source, shard[0], card)]
    found += stream(tmp_path / "a.parquet", source, last[0], card)
    rows = np.concatenate([one.table["b"].to_numpy() for one in found])
    assert rows.tolist() == list(range(10_000))
    assert [one.first_row for one in found] == [1 + one.table["b"][0].as_py() for one in found]
    groups = np.concatenate([one.row_groups for one in found])
    assert groups.tolist() == [row // 3_000 for row in range(10_000)]
    assert max(len(one.table) for one in found) == (2048 if card is None else 3072)
    wanted = ["b", "a"] if card else ["c", "b", "a"]
    assert found[0].table.column_names == wanted


def test_memory_holds_one_batch_of_a_giant_row_group(tmp_path):
    given = pa.table({f"f{i}": np.random.default_rng(i).normal(size=1_000_000) for i in range(4)})
    source = source_of(tmp_path / "a.parquet", given, row_group_size=1_000_000)
    del given
    before = pa.total_allocated_bytes()
    peak = 0
    for one in stream(tmp_path / "a.parquet", source, cut_shards([source])[0][0], None):
        assert len(one.table) <= BATCH
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 20_000_000  # all of it are 32 MB


def test_what_is_proven_and_what_is_looked_at_are_the_same(tmp_path):
    source = source_of(tmp_path / "a.parquet", table(100))
    (batch,) = stream(tmp_path / "a.parquet", source, cut_shards([source])[0][0], CARD)
    quick, slow = (divide(batch, source, CARD, "", NONE, Typed(), plainly=p) for p in (True, False))
    assert isinstance(quick.columns, dict)
    assert isinstance(slow.columns, pd.DataFrame)
    for name in CARD.columns:
        assert quick.columns[name].tolist() == slow.columns[name].tolist()
    again = divide(batch, source, CARD, "", np.array([7, 200]), Typed())
    assert again.aside.tolist() == [6]
    assert again.examples == {"duplicate_key:b": f"{source.name}, row 7: b is '6'"}


def test_a_column_that_is_missing_or_a_file_that_is_cut_short_is_told(tmp_path):
    path = tmp_path / "a.parquet"
    source = source_of(path, table(100).drop_columns(["a"]))
    with pytest.raises(DataError, match=r"a\.parquet: missing column 'a'"):
        list(stream(path, source, cut_shards([source])[0][0], CARD))
    source = source_of(path, table(100))
    with pytest.raises(DataError, match=r"from row 101 on: 100 rows instead of 99"):
        list(stream(path, source, Piece(source=0, row_groups=[0], first_row=1, rows=99), CARD))


def test_a_bit_that_flipped_is_told_where_pages_have_checksums(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(5000), path, write_page_checksum=True, compression="none")
    data = bytearray(path.read_bytes())
    data[data.index(np.float64(4000.0).tobytes())] ^= 1
    path.write_bytes(data)
    source = parquet_source(find_inputs([path])[0])[0]
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read from row 1 on: .*CRC"):
        list(stream(path, source, cut_shards([source])[0][0], CARD))


def test_arrays_become_arrow_of_the_type_that_is_written():
    some = Labels(np.array([1, 2, 0]), ["a", "é", None])
    assert arrow(some, pa.string()).to_pylist() == ["é", None, "a"]
    whole = Labels(np.array([1, 0]), [3, 7, None])
    assert arrow(whole, pa.int64()).to_pylist() == [7, 3]
    assert arrow(np.array([1, 2], np.int8), pa.int64()).to_pylist() == [1, 2]
    times = np.array(["2026-01-01T00:00"], "datetime64[s]")
    assert str(arrow(times, pa.timestamp("us"))[0]) == "2026-01-01 00:00:00"
    assert arrow(np.array([True, False] * 9), pa.bool_()).to_pylist() == [True, False] * 9
    assert arrow(pd.Series(["x", None], dtype="str"), pa.string()).to_pylist() == ["x", None]
    assert arrow(pd.Series([1, 2], dtype="Int64"), pa.int64()).to_pylist() == [1, 2]
    assert arrow(pd.Series(pd.Categorical(["x"])), pa.string()).to_pylist() == ["x"]


def test_rows_set_aside_keep_columns_that_are_called_as_ours(tmp_path):
    given = pa.table({"reason": ["r"], "source_row": [5]})
    names = pa.array(["f.csv"])
    where = where_columns(names, np.zeros(1, np.int32), np.array([9]))
    found = unite([set_aside(given, where, np.array(["missing:a"], dtype=object))])
    assert found.to_pylist() == [
        {
            "reason_as_read": "r",
            "source_row_as_read": 5,
            "source_file": "f.csv",
            "source_row_group": 0,
            "source_row": 9,
            "reason": "missing:a",
        }
    ]


def test_parts_have_row_groups_of_full_size_whatever_they_are_added_in(tmp_path):
    given = pa.table({"a": np.arange(1000)})
    with writing(tmp_path / "part.parquet", given.schema) as add:
        for _ in range(400):
            add(given)
    found = pq.ParquetFile(tmp_path / "part.parquet").metadata
    sizes = [found.row_group(i).num_rows for i in range(found.num_row_groups)]
    assert sizes == [GROUP, 400_000 - GROUP]
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "b.parquet", given.schema):
        1 / 0  # noqa: B018
    assert [path.name for path in tmp_path.iterdir()] == ["part.parquet"]
