"""Whole files proven clean: what is accepted, the full reading accepts with equal values."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl import load_frame
from fintech_dl.cards import Column, Contract, DatasetCard, Source, dataset_card
from fintech_dl.data.frames import read_file
from fintech_dl.data.proven import read_proven

CARD = DatasetCard(
    title="Payments",
    licence="own",
    source=Source(kind="file", path="payments.parquet"),
    contract=Contract(key="id", time="time", labels=["fraud"], max_quarantined=0.9),
    columns={
        "id": Column(type="integer"),
        "time": Column(type="datetime", timezone="Europe/Brussels"),
        "amount": Column(type="number", source="Amount", min=0, max=1e6),
        "score": Column(type="number", nullable=True),
        "age": Column(type="integer", min=18, max=120),
        "visits": Column(type="integer", nullable=True),
        "country": Column(type="category", allowed=["BE", "FR", ""]),
        "shop": Column(type="category", nullable=True),
        "kind": Column(type="category", allowed=[1, 2, 3]),
        "note": Column(type="text", nullable=True),
        "known": Column(type="boolean"),
        "V*": Column(type="number"),
        "fraud": Column(type="integer", allowed=[0, 1]),
    },
)
N = 50


def clean(rng, n=N):
    """Return an Arrow table that keeps the contract, in one of many storages."""
    start = np.datetime64("2024-03-30T20:00", "us")
    time = start + np.sort(rng.integers(0, 10**11, n)).astype("timedelta64[us]")
    unit = rng.choice(["s", "ms", "us", "ns"])
    some = rng.random(n) < 0.2
    text = rng.choice(["a", "é", "", "shop \U0001f600"], n).astype(object)
    columns = {
        "V10": pa.array(rng.normal(size=n).astype(rng.choice(["float32", "float64"]))),
        "id": pa.array(rng.permutation(10**6)[:n], type=rng.choice([pa.int32(), pa.int64()])),
        "time": pa.array(time.astype(f"M8[{unit}]")),
        "Amount": pa.array(rng.integers(0, 99, n).astype(rng.choice(["float64", "int16"]))),
        "score": pa.array(np.where(some, np.nan, rng.normal(size=n)), from_pandas=rng.random() < 1),
        "age": pa.array(rng.integers(18, 121, n), type=pa.uint8()),
        "visits": pa.array(rng.integers(-5, 10**9, n), mask=some & (rng.random() < 0.5)),
        "country": pa.array(rng.choice(["BE", "FR", ""], n)),
        "shop": pa.array(text, mask=some),
        "kind": pa.array(rng.integers(1, 4, n), type=pa.int8()),
        "note": pa.array(text, type=pa.large_string(), mask=some),
        "known": pa.array(rng.random(n) < 0.5),
        "V9": pa.array(rng.normal(size=n)),
        "ignored": pa.array(text),
        "fraud": pa.array(rng.integers(0, 2, n), mask=some),
    }
    if rng.random() < 0.3:
        columns["shop"] = columns["shop"].dictionary_encode()
    if rng.random() < 0.3:
        del columns["fraud"]
    return pa.table(columns)


def changed(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, values)


def one(values, new, at=7):
    """Return an Arrow column with one other value."""
    cells = values.to_pylist()
    cells[at] = new
    return pa.array(cells, type=values.type if new is None else None)


BREAKS = {
    "missing": lambda t: changed(t, "age", one(t["age"], None)),
    "below": lambda t: changed(t, "age", one(t["age"], 17)),
    "above": lambda t: changed(t, "Amount", one(t["Amount"], 10**6 + 1)),
    "infinite": lambda t: changed(t, "score", one(t["score"], np.inf)),
    "infinite feature": lambda t: changed(t, "V9", one(t["V9"], -np.inf)),
    "NaN where none may be": lambda t: changed(t, "V9", one(t["V9"], np.nan)),
    "not allowed": lambda t: changed(t, "country", one(t["country"], "XX")),
    "not allowed number": lambda t: changed(t, "kind", one(t["kind"], 4)),
    "label": lambda t: changed(t, "V9", one(t["V9"], None)),
    "duplicate key": lambda t: changed(t, "id", one(t["id"], t["id"][0].as_py())),
    "out of order": lambda t: changed(t, "time", one(t["time"], datetime(2020, 1, 1))),
    "future": lambda t: changed(t, "time", one(t["time"], datetime(2999, 1, 1), at=-1)),
    "text for number": lambda t: changed(t, "Amount", t["Amount"].cast(pa.string())),
    "float for integer": lambda t: changed(t, "age", t["age"].cast(pa.float64())),
    "number for boolean": lambda t: changed(t, "known", t["known"].cast(pa.int8())),
    "no column": lambda t: t.drop_columns(["Amount"]),
    "no rows": lambda t: t.slice(0, 0),
    "two of a name": lambda t: t.append_column("id", t["id"]),
}
DOUBTED = {  # clean, but only the full reading can tell
    "decimal": lambda t: changed(t, "Amount", t["Amount"].cast(pa.decimal128(12, 2))),
    "time zone": lambda t: changed(t, "time", t["time"].cast(pa.timestamp("us", tz="UTC"))),
    "whole floats": lambda t: changed(t, "visits", t["visits"].cast(pa.float64())),
}


def write(table, path, rng):
    pq.write_table(table, path, row_group_size=int(rng.integers(5, 60)))
    return path


def same(proven, reading):
    """Every column has the values, missing cells and smallness that the full reading gives."""
    assert list(proven.columns) == list(reading.frame.columns)
    for name, values in proven.columns.items():
        series = reading.frame[name]
        rule = CARD.columns.get(name)
        if rule is not None and rule.type in ("category", "text"):
            own = series.astype(object).where(series.notna(), None).tolist()
            assert values.tolist() == own, name
        else:
            np.testing.assert_array_equal(values, series.to_numpy(), err_msg=name)
            assert values.dtype == series.to_numpy().dtype, name
    assert {**proven.facts, "as_of": None} == {**reading.facts, "as_of": None}


@pytest.mark.parametrize("seed", range(30))
def test_what_is_proven_clean_is_clean_and_equal(seed, tmp_path):
    rng = np.random.default_rng(seed)
    path = write(clean(rng), tmp_path / "payments.parquet", rng)
    proven = read_proven(path, CARD)
    reading = read_file(path, CARD, scoring=True)
    assert len(reading.quarantined) == 0
    same(proven, reading)
    assert proven.facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("seed", range(3))
def test_no_file_with_a_broken_row_is_proven(name, seed, tmp_path):
    rng = np.random.default_rng(seed)
    table = clean(rng)
    assert read_proven(write(table, tmp_path / "clean.parquet", rng), CARD) is not None
    path = write(BREAKS[name](table), tmp_path / "payments.parquet", rng)
    assert read_proven(path, CARD) is None


@pytest.mark.parametrize("name", DOUBTED)
def test_what_is_stored_in_another_way_is_left_to_the_full_reading(name, tmp_path):
    rng = np.random.default_rng(0)
    path = write(DOUBTED[name](clean(rng)), tmp_path / "payments.parquet", rng)
    assert read_proven(path, CARD) is None
    assert len(read_file(path, CARD, scoring=True).frame) == N


@pytest.mark.parametrize("seed", range(40))
def test_a_random_change_is_never_accepted_wrongly(seed, tmp_path):
    rng = np.random.default_rng(100 + seed)
    table = clean(rng)
    name = str(rng.choice(table.column_names))
    odd = rng.choice(np.array([0, -1, 17, 1e9, np.nan, None, "x", "", True], dtype=object))
    cells = table[name].to_pylist()
    for at in rng.integers(0, N, rng.integers(1, 4)):
        cells[at] = odd
    try:
        table = changed(table, name, pa.array(cells))
    except (pa.ArrowException, TypeError, OverflowError):
        table = changed(table, name, pa.array([None if c is None else str(c) for c in cells]))
    path = write(table, tmp_path / "payments.parquet", rng)
    proven = read_proven(path, CARD)
    if proven is not None:
        reading = read_file(path, CARD, scoring=True)
        assert len(reading.quarantined) == 0
        same(proven, reading)


@pytest.mark.parametrize("name", ["synthetic_card_components", "synthetic_card_transactions_small"])
def test_the_shipped_datasets_are_proven(name, tmp_path):
    card = dataset_card(name)
    frame = load_frame(name)
    source = {own: rule.source for own, rule in card.columns.items() if rule.source}
    path = tmp_path / "new.parquet"
    frame.rename(columns=source).to_parquet(path, index=False)
    proven = read_proven(path, card)
    assert proven is not None
    reading = read_file(path, card, scoring=True)
    assert proven.facts["rows_used"] == len(frame)
    assert {**proven.facts, "as_of": None} == {**reading.facts, "as_of": None}


@pytest.mark.parametrize("as_of", [None, "2024-04-01", "2024-04-01 12:30", "2024-04-01T12:30:15"])
def test_the_moment_of_the_data_is_that_of_the_full_reading(as_of, tmp_path):
    rng = np.random.default_rng(0)
    path = write(clean(rng), tmp_path / "payments.parquet", rng)
    proven, reading = (
        read_proven(path, CARD, as_of=as_of),
        read_file(path, CARD, as_of=as_of, scoring=True),
    )
    if as_of is not None:
        assert proven.facts["as_of"] == reading.facts["as_of"]
    else:
        here = datetime.fromisoformat(proven.facts["as_of"])
        there = datetime.fromisoformat(reading.facts["as_of"])
        assert abs(here - there) < timedelta(minutes=1)
        assert abs(here - datetime.now(UTC).replace(tzinfo=None)) > timedelta(minutes=30)
    assert read_proven(path, CARD, as_of="2024-03-31") is None  # rows after it
    for odd in ("yesterday", "01/04/2024", pd.Timestamp("2024-04-02")):
        assert read_proven(path, CARD, as_of=odd) is None


def test_files_that_cannot_be_read_are_left_to_the_full_reading(tmp_path):
    rng = np.random.default_rng(0)
    path = write(clean(rng), tmp_path / "payments.parquet", rng)
    data = path.read_bytes()
    for broken in (b"", data[:-9], data[:40] + b"\0" * 40 + data[80:]):
        path.write_bytes(broken)
        assert read_proven(path, CARD) is None
    assert read_proven(tmp_path / "absent.parquet", CARD) is None
    assert read_proven(tmp_path, CARD) is None
    (tmp_path / "payments.csv").write_text("id\n1\n")
    assert read_proven(tmp_path / "payments.csv", CARD) is None


def test_a_named_index_that_pandas_kept_aside_is_left_to_the_full_reading(tmp_path):
    card = replace(CARD, contract=Contract(), columns={"amount": Column(type="number")})
    frame = pd.DataFrame({"amount": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_proven(tmp_path / "a.parquet", card) is not None
    frame.index.name = "amount2"
    frame.to_parquet(tmp_path / "b.parquet")
    assert read_proven(tmp_path / "b.parquet", card) is None
