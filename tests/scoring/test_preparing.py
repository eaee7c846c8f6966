"""From inputs to a plan's sources: columns, stage, moment, features."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.cards import Column, DatasetCard, Melt, PipelineCard
from fintech_dl.data.frames import Reading
from fintech_dl.errors import DataError, PlanError, UsageError
from fintech_dl.records import build
from fintech_dl.scoring import schema
from fintech_dl.scoring.feature_stage import Places
from fintech_dl.scoring.features import _without
from fintech_dl.scoring.inputs import find_history, find_inputs
from fintech_dl.scoring.opened import Opened
from fintech_dl.scoring.plan import Source, cut_shards
from fintech_dl.scoring.preparing import moment_used, prepare, stage_of
from fintech_dl.scoring.snapshot import CARRIED, unpack
from tests.scoring.artefacts import DATASET, PIPELINE, payments, write


def opened(contract=None, columns=None, **pipeline):
    dataset = {**DATASET, "contract": {**DATASET["contract"], **(contract or {})}}
    dataset["columns"] = {**DATASET["columns"], **(columns or {})}
    return Opened(
        folder="none",
        files={},
        pipeline=build(PipelineCard, {**PIPELINE, **pipeline}, "pipeline"),
        dataset=build(DatasetCard, dataset, "dataset"),
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "run").mkdir()
    return tmp_path


def prepared(folder, card=None, **options):
    return prepare(card or opened(), folder / "run", find_inputs([folder / "in"]), **options)


def test_parquet_is_read_where_it_is_and_csv_is_landed(folder):
    payments(500).assign(note="x").to_csv(folder / "in/a.csv", index=False)
    write(payments(500, 500), folder / "in/b.parquet")
    found = prepared(folder, as_of="2027-01-01")
    csv, parquet = found.sources
    assert (found.stage, found.as_of) == ("rows", "2027-01-01T00:00:00")
    assert (csv.path, csv.text, csv.row_groups) == ("landed/00000.parquet", True, [500])
    assert (parquet.path, parquet.text) == (str(folder / "in/b.parquet"), False)
    assert parquet.row_groups == [200, 200, 100]
    assert csv.name == str(folder / "in/a.csv")
    assert found.ignored_columns == ["note"]
    assert found.repeated is found.landed_quarantine is None
    assert len(cut_shards(found.sources)) == 1
    other = prepared(folder, as_of="2027-01-01")
    assert other.schema_sha256 == found.schema_sha256
    assert replace(other, sources=[]) == replace(found, sources=[])


def test_all_files_are_looked_at_before_anything_is_scored(folder):
    rows = payments(5)
    for i in range(14):
        write(rows.drop(columns="age") if i else rows, folder / f"in/{i:02d}.parquet")
    write(rows.assign(amount="x"), folder / "in/99.parquet")
    with pytest.raises(DataError) as raised:
        prepared(folder)
    lines = str(raised.value).splitlines()
    assert len(lines) == 11
    assert lines[0].startswith(f"{folder}/in/01.parquet: missing column 'age'")
    assert lines[-1] == "and 4 files more"
    for i in range(14):
        os.remove(folder / f"in/{i:02d}.parquet")
    with pytest.raises(DataError, match=r"99.parquet: column 'amount': expected number, the file"):
        prepared(folder)


ARROW = {
    "text": [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())],
    "number": [pa.float32(), pa.int8(), pa.uint64(), pa.decimal128(9, 2), pa.float16()],
    "integer": [pa.int64(), pa.float64(), pa.decimal128(9, 2)],
    "boolean": [pa.bool_()],
    "datetime": [pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.date32(), pa.date64()],
    "category": [pa.string(), pa.int32(), pa.dictionary(pa.int8(), pa.string()), pa.float64()],
}


@pytest.mark.parametrize("kind", list(ARROW))
def test_types_are_judged_as_the_contract_judges_them(kind, folder):
    """A column fits at sight exactly if its cells, some of which are there, are cast."""
    types = {str(one): one for many in ARROW.values() for one in many}
    for one in [*types.values(), pa.dictionary(pa.int8(), pa.float64()), pa.time32("s")]:
        rule = Column(type=kind)
        inner = one.value_type if pa.types.is_dictionary(one) else one
        cells = pa.array([next(v for v in (1, True, "a") if _holds(inner, v))], inner)
        if pa.types.is_dictionary(one):
            cells = pa.DictionaryArray.from_arrays(pa.array([0], one.index_type), cells)
        pq.write_table(pa.table({"x": cells}), folder / "x.parquet")
        try:
            schema._look(folder / "x.parquet", "x", rule, "x", False)
            cast = True
        except DataError:
            cast = False
        found = pq.read_schema(folder / "x.parquet").field("x").type
        assert schema.fits(found, rule) == cast, (kind, one)
    assert schema.fits(pa.null(), rule)


def _holds(kind, value):
    try:
        pa.array([value], kind)
    except (pa.ArrowException, TypeError):
        return False
    return True


def test_a_column_without_cells_is_of_every_type(folder):
    rows = payments(5).assign(fraud=np.array([np.nan] * 5, dtype="object"))
    write(rows.assign(fraud=pa.array([None] * 5, pa.string()).to_pandas()), folder / "in/a.parquet")
    assert prepared(folder).stage == "rows"


def test_no_rows_at_all(folder):
    write(payments(5)[:0], folder / "in/a.parquet")
    with pytest.raises(
        DataError, match=r"a.parquet: there are no rows; check how the file was made"
    ):
        prepared(folder)
    payments(5)[:0].to_csv(folder / "in/b.csv", index=False)
    with pytest.raises(DataError, match=r"2 files from .*a.parquet on hold no rows"):
        prepared(folder)
    write(payments(5), folder / "in/c.parquet")
    assert [sum(one.row_groups) for one in prepared(folder).sources] == [0, 0, 5]


def test_policies_of_repeated_keys(folder):
    write(pd.concat([payments(5), payments(2)]), folder / "in/a.parquet")
    assert prepared(folder).repeated.rows == 2
    assert prepared(folder, duplicates="report").repeated.rows == 2
    with pytest.raises(DataError, match="2 rows repeat a key of column 'id'"):
        prepared(folder, duplicates="fail")
    assert prepared(folder, opened({"key": ""})).repeated is None


def test_the_moment_is_on_the_clock_of_the_contract(folder):
    card = opened().dataset
    assert moment_used("2026-03-01", card) == "2026-03-01T00:00:00"
    assert moment_used("2026-03-01T12:00:00+01:00", card) == "2026-03-01T11:00:00"
    there = replace(card.columns["time"], timezone="Europe/Brussels")
    brussels = replace(card, columns={**card.columns, "time": there})
    assert moment_used("2026-07-01T12:00:00Z", brussels) == "2026-07-01T14:00:00"
    now = datetime.fromisoformat(moment_used(None, card))
    assert abs(datetime.now(UTC).replace(tzinfo=None) - now) < timedelta(seconds=60)
    assert moment_used(None, opened({"time": ""}).dataset) == ""
    with pytest.raises(UsageError, match="is no time"):
        moment_used("soon", card)


def test_rows_alone_or_features_of_all(folder):
    write(payments(5), folder / "past.parquet")
    past = find_history(folder / "past.parquet")
    assert stage_of(opened(), None) == "rows"
    assert stage_of(opened(), past) == "features"
    assert stage_of(opened(table={"use": "transactions.card_history"}), None) == "features"
    assert stage_of(opened({"asset": "id"}), None) == "features"
    with pytest.raises(UsageError, match="looks back 3d: give the earlier rows with --history"):
        prepare(opened(history="3d"), folder / "run", [])


@pytest.fixture
def halves(folder):
    """Two files of new rows, three of them faulty, and the rows before them."""
    rows = payments(300)
    write(rows[:100], folder / "past.parquet")
    new = rows[100:].copy()
    new.loc[150, "amount"] = -1.0
    new.loc[299, "amount"] = np.nan
    new.loc[250, "id"] = 100
    write(new[:90], folder / "in/a.parquet", row_group_size=40)
    write(new[90:], folder / "in/b.parquet", row_group_size=40)
    return folder


def rows_of(folder, found):
    with pq.ParquetFile(folder / "run" / found.sources[0].path) as file:
        return unpack(file.read())


def test_features_carry_where_their_row_came_from(halves):
    card = opened(decision={"rule": "cost", "false_alarm": 5.0, "amount": "amount"})
    past = find_history(halves / "past.parquet")
    found = prepared(halves, card, history=past)
    assert (found.stage, len(found.sources), found.repeated) == ("features", 1, None)
    frame = rows_of(halves, found)
    assert list(frame.columns) == [
        "amount", "age", "carried@id", "carried@time", "carried@amount",
        "carried@source_file", "carried@source_row_group", "carried@source_row",
    ]  # fmt: skip
    assert len(frame) == sum(found.sources[0].row_groups) == 197
    for i in (0, 60, 120, 190):
        one = frame.iloc[i]
        file = pq.ParquetFile(one["carried@source_file"])
        group, row = one["carried@source_row_group"], one["carried@source_row"]
        whole = file.read().to_pandas().iloc[row - 1]
        assert whole["id"] == one["carried@id"]
        assert whole["amount"] == one["amount"] == one["carried@amount"]
        assert whole["id"] in file.read_row_group(group).to_pandas()["id"].tolist()
    aside = found.landed_quarantine
    assert aside.rows == 3
    assert aside.reasons == {"duplicate_key:id": 1, "below_min:amount": 1, "missing:amount": 1}
    assert aside.examples["below_min:amount"] == f"{halves}/in/a.parquet, row 51: amount is '-1.0'"
    assert aside.examples["missing:amount"] == f"{halves}/in/b.parquet, row 110: amount is empty"
    rows = pq.read_table(halves / "run" / aside.path).to_pylist()
    assert [(row["source_row"], row["source_row_group"], row["reason"]) for row in rows] == [
        (51, 1, "below_min:amount"),
        (61, 1, "duplicate_key:id"),
        (110, 2, "missing:amount"),
    ]
    assert rows[0]["amount"] == -1.0
    assert found.facts["history"]["rows_read"] == 100
    assert found.facts["intervals"] is None


def test_repeated_keys_of_the_feature_stage_follow_the_policy(halves):
    past = find_history(halves / "past.parquet")
    found = prepared(halves, history=past, duplicates="report")
    assert len(rows_of(halves, found)) == 198
    assert (found.repeated.rows, found.landed_quarantine.rows) == (1, 2)
    with pytest.raises(DataError, match=r"row 1; .*b.parquet, row 61"):
        prepared(halves, history=past, duplicates="fail")


def test_text_gives_the_same_features(halves):
    past = find_history(halves / "past.parquet")
    typed = rows_of(halves, prepared(halves, history=past))
    for name in ("a", "b"):
        pd.read_parquet(halves / f"in/{name}.parquet").to_csv(
            halves / f"in/{name}.csv", index=False
        )
        os.remove(halves / f"in/{name}.parquet")
    text = rows_of(halves, prepared(halves, history=past))
    own = [name for name in typed if "source" in name]
    pd.testing.assert_frame_equal(text.drop(columns=own), typed.drop(columns=own))
    assert text[f"{CARRIED}source_row"].tolist() == typed[f"{CARRIED}source_row"].tolist()


def test_faults_of_all_rows_are_told_with_their_file(halves):
    past = find_history(halves / "past.parquet")
    card = opened({"max_quarantined": 0.0})
    told = r"3 of 200 rows.*\n  duplicate_key:id in 1 of them, first .*/in/b.parquet, row 61: id is"
    with pytest.raises(DataError, match=told):
        prepared(halves, card, history=past)
    os.rename(halves / "in/a.parquet", halves / "in/c.parquet")
    told = r"order: .*/in/c.parquet, row 2 \(.*\) comes after .*/in/b.parquet, row 109 \(2026"
    with pytest.raises(DataError, match=told):
        prepared(halves, opened({"sorted": True}), history=past)


def test_a_wide_table_is_made_long_first(folder):
    days = pd.date_range("2026-01-05", periods=3)
    wide = pd.DataFrame({"date": days, "A": [1.0, np.nan, 3.0], "B": [4.0, 5.0, -6.0]})
    wide.to_csv(folder / "in/wide.csv", index=False)
    card = opened(
        {"key": "", "time": "date", "asset": "asset", "labels": [], "max_quarantined": 0.5},
        table={"use": "rows.as_they_are", "target": "none", "drop": ["date", "asset"]},
        decision=None,
    )
    columns = {"date": Column(type="datetime"), "asset": Column(type="text")}
    columns["close"] = Column(type="number", min=0)
    source = replace(card.dataset.source, melt=Melt(value="close"))
    long = replace(card, dataset=replace(card.dataset, source=source, columns=columns))
    found = prepared(folder, long, as_of="2027-01-01")
    frame = rows_of(folder, found)
    assert frame["carried@asset"].tolist() == ["A", "B", "B", "A"]
    assert frame["close"].tolist() == [1.0, 4.0, 5.0, 3.0]
    assert frame["carried@source_row"].tolist() == [1, 2, 3, 4]
    assert found.landed_quarantine.rows == 1
    assert sorted(os.listdir(folder / "run/landed")) == ["features.parquet", "quarantine.parquet"]


def test_rows_put_in_another_order_keep_their_numbers():
    frame = pd.DataFrame({"x": [5.0, 6.0, 7.0]})
    read = Reading(frame, frame[:0], {"quarantine_reasons": {}}, rows=np.array([4, 1, 2]))
    found = _without(opened(), read, np.array([2, 0, 1]))
    assert found.rows.tolist() == [2, 4, 1]
    assert found.frame["x"].tolist() == [7.0, 5.0, 6.0]


def test_kinds_of_files_are_not_mixed_where_rows_are_read_together(halves):
    pd.read_parquet(halves / "in/a.parquet").to_csv(halves / "in/0.csv", index=False)
    past = find_history(halves / "past.parquet")
    with pytest.raises(UsageError, match=r"0.csv is CSV and .*a.parquet is not; .* of one kind"):
        prepared(halves, history=past)


def test_files_replaced_before_they_are_read_are_refused(halves):
    past, inputs = find_history(halves / "past.parquet"), find_inputs([halves / "in"])
    write(payments(110, 190), halves / "in/b.parquet")
    with pytest.raises(PlanError, match=r"b.parquet: changed since the plan was made"):
        prepare(opened(), halves / "run", inputs, history=past)
    write(payments(99), halves / "past.parquet")
    with pytest.raises(PlanError, match=r"past.parquet: was replaced just now"):
        prepare(opened(), halves / "run", find_inputs([halves / "in"]), history=past)


def test_rows_of_a_wide_table_count_as_long():
    source = Source(path="a", bytes=1, sha256="", mtime_ns=0, row_groups=[2, 2], name="a")
    places = Places([source, replace(source, name="b")], [6, 4])
    files, group, row = places.of(np.array([1, 6, 7, 9, 10]))
    assert files.to_pylist() == ["a", "a", "b", "b", "b"]
    assert row.tolist() == [1, 6, 1, 3, 4]
    assert group.tolist() == [0, 0, 0, 1, 1]
    assert places.told("row 8: x is 'row 3'") == "b, row 2: x is 'row 3'"
    assert places.told("its window is not full") == "its window is not full"
