"""Keys that came before: exact over files, whatever the way."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.cards import Column, Contract, DatasetCard, Source
from fintech_dl.data.contract import check_rows
from fintech_dl.errors import DataError
from fintech_dl.scoring import repeats
from fintech_dl.scoring.inputs import find_inputs
from fintech_dl.scoring.landing import land_csv, parquet_source
from fintech_dl.scoring.repeats import find_repeated, land_repeated

FILE = Source(kind="file", path="a")


def card(kind, **rule):
    columns = {"id": Column(type=kind, **rule)}
    contract = Contract(key="id", max_quarantined=1.0)
    return DatasetCard(title="", licence="", source=FILE, columns=columns, contract=contract)


@pytest.fixture
def sources(tmp_path):
    """Write columns of keys as files, and return them as sources."""

    def sources(*columns, text=False):
        found = []
        for i, cells in enumerate(columns):
            path = tmp_path / f"{i}.{'csv' if text else 'parquet'}"
            frame = pd.DataFrame({"id": cells})
            frame.assign(x=1).to_csv(path, index=False) if text else frame.to_parquet(path)
            (original,) = find_inputs([path])
            land = land_csv(original, tmp_path, f"{i}.parquet") if text else None
            found.append(land or parquet_source(original)[0])
        return found

    return sources


def both(tmp_path, sources, card, monkeypatch):
    """Find them in memory and by DuckDB: the same."""
    found = find_repeated(tmp_path, sources, card)
    with monkeypatch.context() as patch:
        patch.setattr(repeats, "IN_MEMORY", 0)
        patch.setattr(repeats, "_in_memory", None)
        other = find_repeated(tmp_path, sources, card)
    pairs = list(zip(found.source.tolist(), found.row.tolist(), strict=True))
    assert pairs == list(zip(other.source.tolist(), other.row.tolist(), strict=True))
    assert not list(tmp_path.glob("landed/.keys"))
    return pairs


def test_the_first_in_order_of_files_and_rows_is_kept(tmp_path, sources, monkeypatch):
    given = sources([5, 3, 5], [9, 3, 3], [5, 1, 2])
    assert both(tmp_path, given, card("integer"), monkeypatch) == [(0, 3), (1, 2), (1, 3), (2, 1)]
    given = sources([7, 8, 9], [9, 1])
    assert both(tmp_path, given, card("integer"), monkeypatch) == [(1, 1)]


def test_empty_keys_repeat_none(tmp_path, sources, monkeypatch):
    given = sources(pd.array([2, None, None, 2, -1, -1], dtype="Int32"))
    assert both(tmp_path, given, card("integer"), monkeypatch) == [(0, 4), (0, 6)]
    empty = card("integer", empty=[-1.0], nullable=True)
    assert both(tmp_path, given, empty, monkeypatch) == [(0, 4)]


@pytest.mark.parametrize(
    ("kind", "cells", "pairs"),
    [
        ("integer", ["7", "07", " 7.0", "x", "x", "", ""], [(0, 2), (0, 3)]),
        ("text", ["7", "07", "7", "7 ", "x", "x"], [(0, 3), (0, 6)]),
        ("datetime", ["2024-01-01", "2024-01-01 00:00:00", "x", "x"], [(0, 2)]),
        ("number", ["1", "1.0", "1e0", "2", "nan", "nan"], [(0, 2), (0, 3)]),
        ("category", ["b", "a", "b"], [(0, 3)]),
    ],
)
def test_text_is_compared_as_what_it_means(kind, cells, pairs, tmp_path, sources, monkeypatch):
    given = sources(cells, text=True)
    assert both(tmp_path, given, card(kind), monkeypatch) == pairs
    frame = pd.DataFrame({"id": [cell or None for cell in cells]}, dtype="str")
    checked = check_rows(frame, card(kind), text=True)
    again = checked.quarantined
    told = again.loc[again["reason"].str.contains("duplicate_key"), "source_row"]
    assert [(0, row) for row in told] == pairs


@pytest.mark.parametrize("cells", [[1.0, 2.0, 2.0], ["b", "a", "a"]])
def test_other_types_of_cells_and_categories(cells, tmp_path, sources, monkeypatch):
    kind = "integer" if isinstance(cells[0], float) else "text"
    for column in (cells, pd.Categorical(cells)):
        assert both(tmp_path, sources(column), card(kind), monkeypatch) == [(0, 3)]


def test_keys_that_only_rise_need_no_memory(tmp_path, sources, monkeypatch):
    monkeypatch.setattr(repeats, "_in_memory", None)
    monkeypatch.setattr(repeats, "_by_duckdb", None)
    monkeypatch.setattr(repeats, "IN_MEMORY", 3)
    monkeypatch.setattr(repeats, "BATCH", 2)
    assert not len(find_repeated(tmp_path, sources([1, 2, 3], [4, 9, 10]), card("integer")).row)
    for first in ([1, 2, 3], [2, 2, 1], [4, 4, 5]):
        with pytest.raises(TypeError):
            find_repeated(tmp_path, sources(first, [3, 9, 10]), card("integer"))
    monkeypatch.undo()
    monkeypatch.setattr(repeats, "BATCH", 2)
    assert both(tmp_path, sources([2, 2, 3, 4]), card("integer"), monkeypatch) == [(0, 2)]


def test_many_keys_are_exact_in_bounded_memory(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 400_000, 300_000)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": keys}), path)
    source, _ = parquet_source(find_inputs([path])[0])
    monkeypatch.setattr(repeats, "MEMORY", "32MB")
    found = both(tmp_path, [source], card("integer"), monkeypatch)
    again = np.flatnonzero(pd.Series(keys).duplicated()) + 1
    assert [row for _, row in found] == again.tolist()


def test_a_file_that_breaks_while_duckdb_reads_is_told_as_ever(tmp_path, sources, monkeypatch):
    given = sources([3, 2, 2], [5, 4, 4])
    real = repeats._usable

    def broken(cells, rule, source):
        if source is given[1]:
            raise OSError("checksum does not match")
        return real(cells, rule, source)

    monkeypatch.setattr(repeats, "IN_MEMORY", 0)
    monkeypatch.setattr(repeats, "_usable", broken)
    with pytest.raises(DataError, match=r"1.parquet: cannot be read: checksum does not match"):
        find_repeated(tmp_path, given, card("integer"))


def test_policies(tmp_path, sources):
    given = sources([5, 3, 5], [9, 3, 3])
    for policy in ("report", "quarantine"):
        landed = land_repeated(tmp_path, given, card("integer"), policy)
        rows = pq.read_table(tmp_path / landed.path)
        assert rows.to_pydict() == {"source": [0, 1, 1], "row": [3, 2, 3]}
        assert (landed.rows, landed.reasons) == (3, {"duplicate_key:id": 3})
    told = r"3 rows repeat a key of column 'id'.*\n  5 in .*0.parquet, row 1; .*0.parquet, row 3\n"
    with pytest.raises(DataError, match=told + "  3 in .*0.parquet, row 2; .*1.parquet, row 2;"):
        land_repeated(tmp_path, given, card("integer"), "fail")
    assert land_repeated(tmp_path, sources([2, 1]), card("integer"), "fail") is None
