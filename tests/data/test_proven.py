"""Columns proven clean: what is accepted, the full reading accepts with equal values."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from fintech_dl import load_frame
from fintech_dl.cards import Column, Contract, DatasetCard, Source, dataset_card
from fintech_dl.data.contract import check_rows
from fintech_dl.data.frames import from_arrow
from fintech_dl.data.proven import Doubt, Labels, prove_columns
from fintech_dl.data.rules import find_columns
from fintech_dl.errors import DataError

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
    "future": lambda t: changed(t, "time", one(t["time"], datetime(2999, 1, 1), at=-1)),
    "text for number": lambda t: changed(t, "Amount", t["Amount"].cast(pa.string())),
    "float for integer": lambda t: changed(t, "age", t["age"].cast(pa.float64())),
    "number for boolean": lambda t: changed(t, "known", t["known"].cast(pa.int8())),
}
DOUBTED = {  # clean, but only the full reading can tell
    "decimal": lambda t: changed(t, "Amount", t["Amount"].cast(pa.decimal128(12, 2))),
    "time zone": lambda t: changed(
        t, "time", t["time"].cast(pa.timestamp("us", tz="Europe/Brussels"))
    ),
    "whole floats": lambda t: changed(t, "visits", t["visits"].cast(pa.float64())),
}


def proven(table, card=CARD, latest="2998-01-01"):
    """Return what is proven of a table, None in doubt."""
    cells = {name: table[name].combine_chunks() for name in table.column_names}
    rules = find_columns(table.column_names, card, True, "x")
    time = card.contract.time
    is_moment = bool(time) and card.columns[time].type == "datetime"
    latest = {time: np.datetime64(latest)} if is_moment else None
    try:
        return prove_columns(cells, rules, latest)
    except Doubt:
        return None


def read(table, card=CARD):
    return check_rows(from_arrow(table), card, scoring=True, as_of="2998-01-01")


def same(columns, frame):
    """Every column has the values and the missing cells that the full reading gives."""
    assert list(columns) == list(frame.columns)
    for name, values in columns.items():
        series = frame[name]
        if isinstance(values, Labels):
            own = series.astype(object).where(series.notna(), None).tolist()
            assert values.objects().tolist() == own, name
        else:
            np.testing.assert_array_equal(values, series.to_numpy(), err_msg=name)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_proven_clean_is_clean_and_equal(seed):
    table = clean(np.random.default_rng(seed))
    checked = read(table)
    assert len(checked.quarantined) == 0
    same(proven(table), checked.clean)


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("seed", range(3))
def test_no_broken_cell_is_proven(name, seed):
    table = clean(np.random.default_rng(seed))
    assert proven(table) is not None
    assert proven(BREAKS[name](table)) is None


@pytest.mark.parametrize("name", DOUBTED)
def test_what_is_stored_in_another_way_is_left_to_the_full_reading(name):
    table = DOUBTED[name](clean(np.random.default_rng(0)))
    assert proven(table) is None
    assert len(read(table).clean) == N


def test_moments_in_utc_are_proven_where_the_card_keeps_utc():
    time = pa.array([np.datetime64("2024-03-31T01:30", "us")]).cast(pa.timestamp("us", tz="UTC"))
    card = DatasetCard(
        title="",
        licence="",
        source=CARD.source,
        contract=Contract(time="time"),
        columns={"time": Column(type="datetime")},
    )
    same(proven(pa.table({"time": time}), card), read(pa.table({"time": time}), card).clean)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_change_is_never_accepted_wrongly(seed):
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
    if (columns := proven(table)) is None:
        return
    order = table.sort_by("time")  # order and repeated keys are no matter of single rows
    try:
        checked = read(order)
    except DataError:
        pytest.fail("proven, and the full reading refuses it")
    assert set(checked.reasons) <= {"duplicate_key:id"}
    if not checked.reasons and order.equals(table):
        same(columns, checked.clean)


@pytest.mark.parametrize("name", ["synthetic_card_components", "synthetic_card_transactions_small"])
def test_the_shipped_datasets_are_proven(name):
    card = dataset_card(name)
    frame = load_frame(name)
    source = {own: rule.source for own, rule in card.columns.items() if rule.source}
    table = pa.Table.from_pandas(frame.rename(columns=source), preserve_index=False)
    columns = proven(table, card)
    assert columns is not None
    same(columns, frame)


def test_numbers_that_mean_empty_are_left_to_the_full_reading():
    rule = Column(type="number", nullable=True, empty=[-9.0])
    for values, clear in (([1.0, 2.0], True), ([1.0, -9.0], False)):
        cells = {"a": pa.array(values)}
        if clear:
            assert prove_columns(cells, {"a": ("a", rule)})["a"].tolist() == values
        else:
            with pytest.raises(Doubt):
                prove_columns(cells, {"a": ("a", rule)})
