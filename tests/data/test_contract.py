import math
import time

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import Column, Contract, DatasetCard, Source
from fintech_dl.data.contract import apply_contract, check_rows, moment
from fintech_dl.data.frames import write_quarantine
from fintech_dl.errors import DataError, UsageError


def card(columns=None, **contract):
    columns = columns or {
        "id": Column(type="integer", min=0),
        "at": Column(type="datetime"),
        "amount": Column(type="number", source="AMT", min=0, max=100),
        "kind": Column(type="category", allowed=["card", "cash"], nullable=True),
        "fraud": Column(type="integer", allowed=[0, 1]),
    }
    rules = {"max_quarantined": 0.9, **contract}
    if "id" in columns:
        rules = {"key": "id", "time": "at", "labels": ["fraud"], **rules}
    return DatasetCard(
        title="Payments",
        licence="own",
        source=Source(kind="file", path="x.csv"),
        columns=columns,
        contract=Contract(**rules),
        name="payments",
    )


def frame(**changes):
    columns = {
        "fraud": [0, 1, 0, 0],
        "id": [1, 2, 3, 4],
        "at": pd.to_datetime(["2018-01-01", "2018-01-02", "2018-01-02", "2018-01-05"]),
        "AMT": [1.5, 2.0, 0.0, 100.0],
        "kind": ["card", None, "cash", "card"],
        "note": ["a", "b", "c", "d"],
    }
    return pd.DataFrame({**columns, **changes})


def text_frame(**changes):
    return frame(**changes).astype("str")


def one_number(values, **rule):
    columns = {"x": Column(type="number", **rule)}
    return apply_contract(pd.DataFrame({"x": values}), card(columns))


def test_clean_rows_come_out_in_the_declared_columns_names_and_types():
    checked = check_rows(frame(), card())
    assert list(checked.clean.columns) == ["id", "at", "amount", "kind", "fraud"]
    assert [str(d) for d in checked.clean.dtypes] == [
        "int32",
        "datetime64[us]",
        "float64",
        "category",
        "int8",
    ]
    assert list(checked.clean["kind"].cat.categories) == ["card", "cash"]
    assert checked.clean.index.equals(pd.RangeIndex(4))
    assert checked.ignored == ["note"]
    assert (checked.reasons, checked.examples) == ({}, {})
    assert checked.quarantined.empty
    assert list(checked.quarantined.columns) == [*frame().columns, "source_row", "reason"]


def test_the_given_frame_is_left_as_it_is():
    given = frame()
    apply_contract(given, card())
    pd.testing.assert_frame_equal(given, frame())


@pytest.mark.parametrize(
    ("changes", "reason", "row", "example"),
    [
        ({"AMT": [1.5, np.nan, 0, 1]}, "missing:amount", 2, "row 2: AMT is empty"),
        ({"AMT": [1.5, 2, np.inf, 1]}, "infinite:amount", 3, "row 3: AMT is 'inf'"),
        ({"AMT": [1.5, 2, -np.inf, 1]}, "infinite:amount", 3, "row 3: AMT is '-inf'"),
        ({"AMT": [-0.01, 2, 3, 1]}, "below_min:amount", 1, "row 1: AMT is '-0.01'"),
        ({"AMT": [1.5, 2, 3, 100.01]}, "above_max:amount", 4, "row 4: AMT is '100.01'"),
        ({"kind": ["card", "gold", None, None]}, "not_allowed:kind", 2, "row 2: kind is 'gold'"),
        ({"fraud": [0, 1, 2, 0]}, "not_allowed:fraud", 3, "row 3: fraud is '2'"),
        ({"id": [1, 2, 2, 4]}, "duplicate_key:id", 3, "row 3: id is '2'"),
        ({"id": [1, 2, -3, 4]}, "below_min:id", 3, "row 3: id is '-3'"),
        ({"id": [1, 2.5, 3, 4]}, "wrong_type:id", 2, "row 2: id is '2.5'"),
        ({"id": [1, np.nan, 3, 4]}, "missing:id", 2, "row 2: id is empty"),
    ],
)
def test_a_broken_row_is_set_aside_with_its_reason(changes, reason, row, example):
    checked = check_rows(frame(**changes), card())
    assert checked.quarantined["source_row"].tolist() == [row]
    assert checked.quarantined["reason"].tolist() == [reason]
    assert checked.reasons == {reason: 1}
    assert checked.examples == {reason: example}
    kept = [i for i in range(4) if i != row - 1]
    assert checked.clean["amount"].tolist() == frame(**changes)["AMT"].iloc[kept].tolist()
    as_read = checked.quarantined.drop(columns=["source_row", "reason"])
    pd.testing.assert_frame_equal(
        as_read, frame(**changes).iloc[[row - 1]].reset_index(drop=True), check_dtype=False
    )


def test_a_row_may_have_several_reasons_and_counts_once():
    bad = frame(AMT=[1.5, -1, np.nan, 1], kind=["card", "gold", "card", "x"], id=[1, 1, 1, 4])
    checked = check_rows(bad, card())
    assert checked.quarantined["reason"].tolist() == [
        "duplicate_key:id;below_min:amount;not_allowed:kind",
        "duplicate_key:id;missing:amount",
        "not_allowed:kind",
    ]
    assert checked.reasons == {
        "duplicate_key:id": 2,
        "missing:amount": 1,
        "below_min:amount": 1,
        "not_allowed:kind": 2,
    }
    assert len(checked.clean) + len(checked.quarantined) == 4


def test_the_first_row_of_a_key_stays_and_empty_keys_are_no_duplicates():
    ids = pd.array([7, None, 7, None, 0, 7], dtype="Int64")
    columns = {"id": Column(type="integer"), "at": Column(type="number")}
    given = pd.DataFrame({"id": ids, "at": range(6)})
    checked = check_rows(given, card(columns, labels=[]))
    assert checked.clean["at"].tolist() == [0, 4]
    assert checked.quarantined["reason"].tolist() == [
        "missing:id",
        "duplicate_key:id",
        "missing:id",
        "duplicate_key:id",
    ]


def test_keys_of_text():
    columns = {"id": Column(type="text"), "at": Column(type="number")}
    given = pd.DataFrame({"id": ["a", None, "A", "a"], "at": range(4)})
    checked = check_rows(given, card(columns, labels=[]))
    assert checked.clean["id"].tolist() == ["a", "A"]
    assert checked.reasons == {"missing:id": 1, "duplicate_key:id": 1}


def test_long_ids_beside_an_empty_cell_keep_every_digit():
    ids = pd.array([2**60, 2**60 + 1, None], dtype="Int64")
    columns = {"id": Column(type="integer"), "at": Column(type="number")}
    checked = check_rows(pd.DataFrame({"id": ids, "at": range(3)}), card(columns, labels=[]))
    assert checked.clean["id"].tolist() == [2**60, 2**60 + 1]
    assert checked.clean["id"].dtype == np.int64


@pytest.mark.parametrize(
    ("as_of", "late"),
    [
        (None, []),
        ("2018-01-05", []),
        ("2018-01-04", [4]),
        (pd.Timestamp("2018-01-01 12:00"), [2, 3, 4]),
        ("2018-01-02T00:00:00+01:00", [2, 3, 4]),
        ("2018-01-01T23:00:00-01:00", [4]),
    ],
)
def test_rows_after_the_moment_of_the_data_are_set_aside(as_of, late):
    _, quarantined = apply_contract(frame(), card(), as_of=as_of)
    assert quarantined["source_row"].tolist() == late
    assert set(quarantined["reason"]) <= {"future_time:at"}


def test_the_card_s_own_moment_is_the_default():
    _, quarantined = apply_contract(frame(), card(as_of="2018-01-02"))
    assert quarantined["source_row"].tolist() == [4]
    _, quarantined = apply_contract(frame(), card(as_of="2018-01-02"), as_of="2018-02-01")
    assert quarantined.empty


def test_a_moment_that_is_none():
    assert moment("2018-07-01T00:00Z", "Europe/Brussels") == pd.Timestamp("2018-07-01 02:00")
    with pytest.raises(UsageError, match="as_of: 'soon' is no time"):
        apply_contract(frame(), card(), as_of="soon")


def test_a_missing_column_names_the_nearest():
    with pytest.raises(DataError, match=r"x: missing column 'AMT' \(did you mean 'AMTS'\?\); the"):
        check_rows(frame().rename(columns={"AMT": "AMTS"}), card(), where="x")
    with pytest.raises(DataError, match=r"missing column 'id' .*, 'at'; the file has: AMT, kind"):
        check_rows(frame().drop(columns=["id", "at", "fraud"]), card(), scoring=True)


def test_labels_may_be_absent_or_empty_only_when_scoring():
    new = frame().drop(columns="fraud")
    with pytest.raises(DataError, match="missing column 'fraud'"):
        apply_contract(new, card())
    clean, _ = apply_contract(new, card(), scoring=True)
    assert list(clean.columns) == ["id", "at", "amount", "kind"]
    unknown = frame(fraud=[0, np.nan, 1, np.nan])
    clean, quarantined = apply_contract(unknown, card(), scoring=True)
    assert clean["fraud"].isna().tolist() == [False, True, False, True]
    assert quarantined.empty
    assert len(apply_contract(unknown, card())[1]) == 2
    _, quarantined = apply_contract(frame(fraud=[0, 5, 1, 0]), card(), scoring=True)
    assert quarantined["reason"].tolist() == ["not_allowed:fraud"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"AMT": ["1.5", "2", "3", "4"]},
            r"column 'AMT': expected number, the file has text .*'1.5'",
        ),
        ({"AMT": [True, False, True, True]}, "column 'AMT': expected number, the file has bool"),
        ({"AMT": [1, "a", 2, 3]}, "column 'AMT': expected number, the file has mixed"),
        ({"at": [1, 2, 3, 4]}, "column 'at': expected datetime, the file has int64 .*'1'"),
        ({"id": [1.5, 2.5, 3.5, 4.5]}, "column 'id': expected integer, the file has float64"),
        ({"kind": [0.5, 1.5, 2.5, 3.5]}, "column 'kind': expected category, the file has float64"),
    ],
)
def test_a_column_of_a_wrong_type_is_an_error_at_once(changes, told):
    with pytest.raises(DataError, match=told) as caught:
        apply_contract(frame(**changes), card())
    assert caught.value.exit_code == 4


def test_no_rows():
    with pytest.raises(DataError, match="dataset 'payments': there are no rows"):
        apply_contract(frame().iloc[:0], card())


def test_two_columns_of_one_name():
    twice = frame().rename(columns={"note": "id"})
    with pytest.raises(DataError, match="several columns named id"):
        apply_contract(twice, card())


def test_rows_out_of_order_name_the_first_and_both_values():
    late = frame(at=pd.to_datetime(["2018-01-03", "2018-01-04", "2018-01-02", "2018-01-01"]))
    told = (
        r"column 'at': rows are not in order: row 3 \(2018-01-02 00:00:00\) comes after row 2 "
        r"\(2018-01-04 00:00:00\); sort the file by this column, or set sorted = false"
    )
    with pytest.raises(DataError, match=told):
        apply_contract(late, card())
    clean, _ = apply_contract(late, card(sorted=False))
    assert clean["id"].tolist() == [4, 3, 1, 2]


def test_rows_are_sorted_stably_and_after_broken_rows_are_gone():
    at = pd.to_datetime(["2018-01-02", "2018-01-01", "2018-01-02", "2018-01-01"])
    clean, _ = apply_contract(frame(at=at, AMT=[-1, 1, 2, 3]), card(sorted=False))
    assert clean["id"].tolist() == [2, 4, 3]
    clean, _ = apply_contract(frame(at=at, AMT=[-1, 1, -2, 3]), card())
    assert clean["id"].tolist() == [2, 4]


def test_order_by_a_number():
    columns = {"id": Column(type="integer"), "at": Column(type="number")}
    given = pd.DataFrame({"id": [0, 1], "at": [2.0, 1.0]})
    with pytest.raises(DataError, match=r"row 2 \(1\) comes after row 1 \(2\)"):
        apply_contract(given, card(columns, labels=[]))


def test_the_hour_that_a_clock_change_repeats_is_no_disorder():
    zone = "Europe/Brussels"
    columns = {"at": Column(type="datetime", timezone=zone), "x": Column(type="integer")}
    rules = card({"id": Column(type="integer"), **columns}, labels=[])
    moments = pd.date_range("2018-10-28 00:30", periods=4, freq="30min", tz="UTC")
    given = pd.DataFrame({"id": range(4), "at": moments.tz_convert(zone), "x": range(4)})
    clean, _ = apply_contract(given, rules)
    assert clean["x"].tolist() == [1, 0, 2, 3]
    assert clean["at"].is_monotonic_increasing
    with pytest.raises(DataError, match="not in order"):
        apply_contract(given.iloc[[1, 0, 2, 3]], rules)


def test_a_time_beyond_all_calendars_can_be_set_aside_and_written(tmp_path):
    at = np.array(["2018-01-01", "14259-01-01", "2018-01-02", "2018-01-03"], dtype="datetime64[s]")
    checked = check_rows(frame(at=at), card())
    assert checked.examples == {"wrong_type:at": "row 2: at is '14259-01-01 00:00:00'"}
    assert "14259-01-01" in write_quarantine(checked.quarantined, tmp_path / "q.csv").read_text()


def test_a_future_row_does_not_make_the_others_unsorted():
    at = pd.to_datetime(["2018-01-01", "2099-01-01", "2018-01-02", "2018-01-03"])
    clean, quarantined = apply_contract(frame(at=at), card(), as_of="2018-02-01")
    assert clean["id"].tolist() == [1, 3, 4]
    assert quarantined["reason"].tolist() == ["future_time:at"]


def test_too_many_broken_rows_fail_the_whole_with_counts_and_examples():
    bad = frame(AMT=[-1.0, np.nan, -3.0, 4.0])
    with pytest.raises(DataError) as caught:
        check_rows(bad, card(max_quarantined=0.5), where="new.csv")
    told = str(caught.value)
    assert told.startswith("new.csv: 3 of 4 rows (75.0%) break the contract of dataset 'payments'")
    assert "which allows 50.0%" in told
    assert "  below_min:amount in 2 of them, first row 1: AMT is '-1.0'" in told
    assert "  missing:amount in 1 of them, first row 2: AMT is empty" in told
    assert "max_quarantined" in told.splitlines()[-1]
    _, quarantined = apply_contract(bad, card(max_quarantined=0.75))
    assert len(quarantined) == 3


def test_all_rows_broken_is_an_error_whatever_is_allowed():
    with pytest.raises(DataError, match="all 4 rows break the contract"):
        apply_contract(frame(AMT=[-1.0] * 4), card(max_quarantined=1.0))


def test_patterns_take_the_columns_that_no_name_takes_in_natural_order():
    columns = {
        "V2": Column(type="integer"),
        "V*": Column(type="number", max=1),
    }
    given = pd.DataFrame({"V10": [1.0, 9.0], "V1": [0.0, 0.0], "V2": [5, 5], "W": [0, 0]})
    checked = check_rows(given, card(columns))
    assert list(checked.clean.columns) == ["V2", "V1", "V10"]
    assert checked.rules["V10"].max == 1
    assert checked.reasons == {"above_max:V10": 1}
    assert checked.ignored == ["W"]
    with pytest.raises(DataError, match=r"missing column 'V\*'"):
        check_rows(given[["V2", "W"]], card(columns))


def test_a_column_of_the_file_may_have_our_own_name():
    given = frame(AMT=[-1.0, 1, 2, 3], reason=["r1", "r2", "r3", "r4"], source_row=[9, 9, 9, 9])
    _, quarantined = apply_contract(given, card())
    assert quarantined["reason_as_read"].tolist() == ["r1"]
    assert quarantined["source_row_as_read"].tolist() == [9]
    assert quarantined["source_row"].tolist() == [1]


def test_the_index_and_column_labels_of_the_frame_do_not_matter():
    given = pd.DataFrame({0: [1.0, -1.0, 2.0]}, index=[5, 5, 5])
    clean, quarantined = apply_contract(given, card({"0": Column(type="number", min=0)}))
    assert clean["0"].tolist() == [1.0, 2.0]
    assert quarantined["source_row"].tolist() == [2]


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e38, 100.0])
def test_numbers_at_the_edges_pass_unchanged(value):
    clean, quarantined = one_number([value, 1.0], min=0, max=1e38)
    assert math.copysign(1, clean["x"][0]) == math.copysign(1, value)
    assert clean["x"][0] == value
    assert quarantined.empty


def naive_check(cells):
    """Judge each row of text by itself, the slow and obvious way."""
    reasons, seen = [], set()
    for i in range(len(cells)):
        told = []
        key, amount, kind = (cells[name].iloc[i] for name in ("id", "AMT", "kind"))
        if key is np.nan or pd.isna(key):
            told.append("missing:id")
        elif not key.lstrip("-").isdigit():
            told.append("wrong_type:id")
        else:
            told += ["below_min:id"] if int(key) < 0 else []
            told += ["duplicate_key:id"] if int(key) in seen else []
            seen.add(int(key))
        if pd.isna(amount):
            told.append("missing:amount")
        else:
            try:
                number = float(amount)
                if math.isinf(number):
                    told.append("infinite:amount")
                elif number < 0:
                    told.append("below_min:amount")
                elif number > 100:
                    told.append("above_max:amount")
            except ValueError:
                told.append("wrong_type:amount")
        if not pd.isna(kind) and kind not in ("card", "cash"):
            told.append("not_allowed:kind")
        reasons.append(";".join(told))
    return reasons


def test_masks_agree_with_a_check_row_by_row():
    rng = np.random.default_rng(0)
    n = 3_000
    cells = pd.DataFrame(
        {
            "id": rng.choice(["-1", "x", None, *map(str, range(2 * n))], n),
            "at": "2018-01-01",
            "AMT": rng.choice(["1", "12.5", "-3", "1e9", "inf", "ten", None, "1,5"], n),
            "kind": rng.choice(["card", "cash", "gold", None], n),
            "fraud": "0",
        }
    ).astype("str")
    cells = cells.mask(cells == "None")
    checked = check_rows(cells, card(), text=True)
    expected = naive_check(cells)
    bad = [i for i, told in enumerate(expected) if told]
    assert checked.quarantined["source_row"].tolist() == [i + 1 for i in bad]
    assert checked.quarantined["reason"].tolist() == [expected[i] for i in bad]
    codes = [code for told in expected for code in told.split(";") if code]
    assert checked.reasons == {code: codes.count(code) for code in checked.reasons}
    assert set(checked.reasons) == set(codes)
    good = [i for i, told in enumerate(expected) if not told]
    assert checked.clean["amount"].tolist() == [float(cells["AMT"].iloc[i]) for i in good]


def test_two_million_cells_are_checked_within_a_second():
    n = 300_000
    rng = np.random.default_rng(0)
    given = pd.DataFrame(
        {
            "id": np.arange(n),
            "at": pd.date_range("2018-01-01", periods=n, freq="s"),
            "AMT": rng.uniform(0, 100, n),
            "kind": pd.Categorical.from_codes(rng.integers(0, 2, n), ["card", "cash"]),
            "fraud": rng.integers(0, 2, n),
            "a": 0,
            "b": 0,
        }
    )
    begin = time.process_time()
    clean, _ = apply_contract(given, card(), as_of="2030-01-01")
    assert time.process_time() - begin < 1
    assert len(clean) == n


def test_repeated_keys_follow_the_contract():
    columns = {"id": Column(type="integer"), "x": Column(type="number")}
    frame = pd.DataFrame({"id": [1, 2, 1], "x": [0.5, 1.5, 2.5]})

    def check(policy):
        contract = Contract(key="id", duplicates=policy, max_quarantined=0.5)
        source = Source(kind="file", path="a.csv")
        card = DatasetCard(
            title="", licence="", source=source, columns=columns, contract=contract, name="pairs"
        )
        return check_rows(frame, card)

    assert check("quarantine").reasons == {"duplicate_key:id": 1}
    assert check("report").clean["x"].tolist() == [0.5, 1.5, 2.5]
    assert check("report").reasons == {}
    told = r'1 rows have a key that came before, first row 3: id is .1.; .*duplicates = "fail"'
    with pytest.raises(DataError, match=told):
        check("fail")
