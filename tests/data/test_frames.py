import gzip
import hashlib
import json
import os
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fintech_dl
from fintech_dl.cards import dataset_card
from fintech_dl.data.frames import load_frame, read_dataset, read_file, write_quarantine
from fintech_dl.errors import CardError, DataError, OutputError

CARD = """
title = "Payments"
licence = "own"
origin = "the till"
limits = ["few"]
[source]
kind = "file"
path = "payments.{suffix}"
sha256 = "{sha256}"
[contract]
key = "id"
time = "time"
labels = ["is_fraud"]
max_quarantined = 0.5
[columns]
id = {{ source = "ID", type = "integer", min = 0 }}
time = {{ type = "datetime", timezone = "Europe/Brussels" }}
amount = {{ type = "number", unit = "EUR", min = 0, nullable = true }}
is_fraud = {{ type = "integer", allowed = [0, 1] }}
"""


def rows():
    return pd.DataFrame(
        {
            "ID": [1, 2, 3, 4],
            "time": pd.date_range("2018-07-25", periods=4, freq="h"),
            "amount": [1.5, np.nan, -3.0, 4.25],
            "is_fraud": [0, 1, 0, 0],
            "note": ["a", "b", "=c", "d"],
        }
    )


def write(frame, path):
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of data and cards; the cache lies in it too."""
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("FINTECH_DL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FINTECH_DL_DATA", raising=False)
    (tmp_path / "cards").mkdir()
    return tmp_path


def card(folder, suffix="parquet", sha256="", source=""):
    text = CARD.format(suffix=suffix, sha256=sha256)
    (folder / "cards" / "payments.toml").write_text(text)
    return dataset_card("payments")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_the_same_rows_come_from_every_kind_of_file(folder, suffix):
    path = folder / "cards" / f"payments.{suffix}"
    digest = write(rows(), path)
    card(folder, suffix, digest)
    reading = read_dataset("payments")
    assert reading.frame["id"].tolist() == [1, 2, 4]
    assert [str(d) for d in reading.frame.dtypes] == ["int32", "datetime64[us]", "float64", "int8"]
    assert reading.frame["time"].tolist() == rows()["time"].iloc[[0, 1, 3]].tolist()
    assert reading.frame["amount"].fillna(0).tolist() == [1.5, 0.0, 4.25]
    assert reading.quarantined["source_row"].tolist() == [3]
    pd.testing.assert_frame_equal(load_frame("payments"), reading.frame)
    pd.testing.assert_frame_equal(fintech_dl.load_frame(dataset_card("payments")), reading.frame)
    assert reading.facts["sha256"] == digest
    assert reading.facts["path"] == f"payments.{suffix}"


def test_facts_for_the_record_are_plain_and_name_no_folder(folder):
    digest = write(rows(), folder / "cards" / "payments.parquet")
    facts = read_dataset(card(folder, sha256=digest), as_of="2018-07-26").facts
    assert json.loads(json.dumps(facts)) == facts
    assert str(folder) not in json.dumps(facts)
    assert facts == {
        "name": "payments",
        "title": "Payments",
        "origin": "the till",
        "licence": "own",
        "limits": ["few"],
        "path": "payments.parquet",
        "generator": None,
        "sha256": digest,
        "rows_read": 4,
        "rows_used": 3,
        "rows_quarantined": 1,
        "quarantine_reasons": {"below_min:amount": 1},
        "quarantine_examples": {"below_min:amount": "row 3: amount is '-3.0'"},
        "ignored_columns": ["note"],
        "as_of": "2018-07-26T00:00:00",
        "columns": [
            {"name": "id", "type": "integer", "unit": "", "missing_share": 0.0},
            {"name": "time", "type": "datetime", "unit": "", "missing_share": 0.0},
            {"name": "amount", "type": "number", "unit": "EUR", "missing_share": 1 / 3},
            {"name": "is_fraud", "type": "integer", "unit": "", "missing_share": 0.0},
        ],
    }


def test_facts_of_a_synthetic_dataset_name_the_generator():
    facts = read_dataset("synthetic_card_transactions_small").facts
    assert facts["generator"].startswith("card_transactions(n_customers=140, n_terminals=300")
    assert (facts["path"], facts["sha256"]) == (None, None)
    assert facts["as_of"] == "2018-08-24T00:00:00"


def test_the_moment_of_the_data_is_now_unless_it_is_given(folder):
    now = pd.Timestamp.now("Europe/Brussels").tz_localize(None)
    late = rows().assign(time=[*rows()["time"][:3], now + pd.Timedelta(days=1)])
    write(late, folder / "cards" / "payments.parquet")
    payments = card(folder)
    reading = read_dataset(payments)
    assert reading.quarantined["reason"].tolist() == ["below_min:amount", "future_time:time"]
    used = pd.Timestamp(reading.facts["as_of"])
    assert now <= used <= pd.Timestamp.now("Europe/Brussels").tz_localize(None)
    assert len(read_dataset(payments, as_of=now + pd.Timedelta(days=2)).quarantined) == 1
    own = replace(payments, contract=replace(payments.contract, as_of="2018-07-25T01:30"))
    assert read_dataset(own).quarantined["source_row"].tolist() == [3, 4]
    # the card's moment is that of its own file, not of new rows
    path = folder / "cards" / "payments.parquet"
    assert read_file(path, own).facts["as_of"] > "2026"


def test_folders_are_searched_in_order(folder, monkeypatch):
    payments = card(folder)
    with pytest.raises(DataError, match=r"payments\.parquet was not found in .*cache, .*cards\. "):
        read_dataset(payments)
    for place in ("cards", "cache", "data"):
        (folder / place).mkdir(exist_ok=True)
        write(rows().assign(ID=len(place)).head(1), folder / place / "payments.parquet")
        monkeypatch.setenv("FINTECH_DL_DATA", str(folder / "data"))
        assert load_frame(payments)["id"].tolist() == [len(place)]


def test_a_file_that_is_not_the_one_of_the_card(folder):
    path = folder / "cards" / "payments.parquet"
    write(rows(), path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    told = f"payments.parquet: not the file of the .* is {found}, expected {'0' * 64}. Delete it"
    with pytest.raises(DataError, match=told):
        read_dataset(card(folder, sha256="0" * 64))


def test_a_hidden_index_of_a_parquet_file_is_a_column(folder):
    rows().set_index("ID").to_parquet(folder / "cards" / "payments.parquet")
    assert load_frame(card(folder))["id"].tolist() == [1, 2, 4]


def test_parquet_types_are_kept_exact(folder):
    table = pa.table(
        {
            "ID": pa.array([2**60 + 1, None, 2**60 + 2], pa.int64()),
            "time": pa.array(["2018-07-25", "2018-07-26", "2018-07-27"]).cast(pa.date32()),
            "amount": pa.array(["1.10", "2.20", "3.30"]).cast(pa.decimal128(10, 2)),
            "is_fraud": pa.array([0, 0, 1], pa.int8()),
        }
    )
    pq.write_table(table, folder / "cards" / "payments.parquet")
    reading = read_dataset(card(folder))
    assert reading.frame["id"].tolist() == [2**60 + 1, 2**60 + 2]
    assert reading.frame["amount"].tolist() == [1.1, 3.3]
    assert reading.frame["time"].tolist() == [
        pd.Timestamp("2018-07-25"),
        pd.Timestamp("2018-07-27"),
    ]
    assert reading.quarantined["reason"].tolist() == ["missing:id"]


@pytest.mark.parametrize(
    ("suffix", "content", "told"),
    [
        ("parquet", b"", "cannot be read"),
        ("parquet", b"not parquet at all", "cannot be read"),
        ("csv", b"", "cannot be read"),
        ("csv", b"ID,time,amount,is_fraud\n", "there are no rows"),
        ("csv", b"ID,time,amount,is_fraud\n1,2018-07-25,1\n", "Expected 4 columns, got 3"),
        ("csv", b"ID,time,amount,is_fraud\n1,2018-07-25,\xff,0\n", "UTF8"),
        ("csv", b"ID;time;amount;is_fraud\n1;2018-07-25;1;0\n", "missing column 'ID'"),
        ("csv", b"ID,ID,time,amount,is_fraud\n1,1,2018-07-25,1,0\n", "several columns named ID"),
        ("csv", b"ID,time,amount,is_fraud\n1,2018-07-25,ten,0\n", "'amount': expected number"),
        ("csv.gz", b"ID,time\n", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(folder, suffix, content, told):
    path = folder / "cards" / f"payments.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        read_dataset(card(folder, suffix))
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_damaged_file_is_refused_or_reads_as_a_frame(folder):
    """Every kind of damage ends in a DataError, never in another exception."""
    path = folder / "cards" / "payments.parquet"
    write(rows(), path)
    whole = path.read_bytes()
    payments, rng, refused = card(folder), np.random.default_rng(0), 0
    damages = [whole[:n] for n in range(0, len(whole), 97)]
    for at in rng.integers(0, len(whole), 150):
        damages.append(whole[:at] + bytes([whole[at] ^ (1 << rng.integers(8))]) + whole[at + 1 :])
    for damage in damages:
        path.write_bytes(damage)
        try:
            read_dataset(payments)
        except DataError:
            refused += 1
    assert refused > len(damages) / 3
    path.write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(DataError, match="no such file"):
        read_file(folder / "none.csv", payments)
    path.rename(folder / "broken.csv.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_file(folder / "broken.csv.gz", payments)


def test_files_of_other_kinds(folder):
    (folder / "new.xlsx").write_text("")
    with pytest.raises(DataError, match=r"new\.xlsx: expected a file \.parquet, \.csv"):
        read_file(folder / "new.xlsx", card(folder))
    (folder / "new.csv").mkdir()
    with pytest.raises(DataError, match=r"new\.csv: cannot be read"):
        read_file(folder / "new.csv", card(folder))


def test_cells_of_csv_files(folder):
    path = folder / "new.csv"
    path.write_bytes(
        "\ufeffID,amount,time,is_fraud,note\r\n"
        '1," 1.5 ",2018-07-25T10:00:00Z,0,"two\nlines, and a comma"\r\n'
        '"2",,2018-07-25T11:00:00Z,,\r\n'
        "3,1.2.3,2018-07-25T12:00:00Z,1,x\r\n".encode()
    )
    reading = read_file(path, card(folder), scoring=True)
    assert reading.frame["id"].tolist() == [1, 2]
    assert reading.frame["time"].tolist() == [
        pd.Timestamp("2018-07-25 12:00"),
        pd.Timestamp("2018-07-25 13:00"),
    ]
    assert reading.frame["is_fraud"].isna().tolist() == [False, True]
    assert reading.facts["quarantine_examples"] == {"wrong_type:amount": "row 3: amount is '1.2.3'"}
    assert reading.quarantined["note"].tolist() == ["x"]


def test_a_file_to_score_needs_no_labels_and_no_checksum(folder):
    payments = card(folder, sha256="0" * 64)
    path = folder / "new.parquet"
    write(rows().drop(columns="is_fraud"), path)
    reading = read_file(path, payments, scoring=True)
    assert list(reading.frame.columns) == ["id", "time", "amount"]
    with pytest.raises(DataError, match="missing column 'is_fraud'"):
        read_file(path, "payments")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def server(folder):
    (folder / "served").mkdir()
    handler = partial(Quiet, directory=str(folder / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def online(folder, url, sha256):
    payments = card(folder)
    source = replace(payments.source, kind="url", url=url, path="", sha256=sha256)
    return replace(payments, source=source)


def test_a_download_is_verified_kept_and_used_again(folder, server):
    digest = write(rows(), folder / "served" / "payments.parquet")
    payments = online(folder, f"{server}/payments.parquet", digest)
    assert load_frame(payments)["id"].tolist() == [1, 2, 4]
    assert [p.name for p in (folder / "cache").iterdir()] == ["payments.parquet"]
    (folder / "served" / "payments.parquet").unlink()
    assert load_frame(payments)["id"].tolist() == [1, 2, 4]


def test_a_download_of_other_bytes_is_not_put_in_place(folder, server):
    write(rows(), folder / "served" / "payments.parquet")
    payments = online(folder, f"{server}/payments.parquet", "0" * 64)
    with pytest.raises(DataError, match=r"http.*: not the file of the dataset card"):
        read_dataset(payments)
    assert list((folder / "cache").iterdir()) == []


def test_a_download_that_fails(folder, server, monkeypatch):
    payments = online(folder, f"{server}/none.parquet", "0" * 64)
    with pytest.raises(DataError, match=r"none\.parquet cannot be downloaded: .*404.*FINTECH_DL"):
        read_dataset(payments)
    nobody = online(folder, "http://127.0.0.1:9/x.parquet", "0" * 64)
    with pytest.raises(DataError, match="cannot be downloaded"):
        read_dataset(nobody)
    assert list((folder / "cache").iterdir()) == []
    (folder / "file").write_text("")
    monkeypatch.setenv("FINTECH_DL_CACHE", str(folder / "file" / "cache"))
    with pytest.raises(OutputError, match="set FINTECH_DL_CACHE"):
        read_dataset(payments)


def test_quarantined_rows_are_written_safe_for_spreadsheets(folder):
    cells = ["=1+1", "+cmd", "-x", "@sum", "\tt", "-5.5", "+3", "plain", None]
    quarantined = pd.DataFrame(
        {
            "=col": pd.Series(cells, dtype="str"),
            "category": pd.Categorical(["=a"] * len(cells)),
            "number": -1.5,
            "time": pd.Timestamp("2018-07-25"),
            "source_row": range(1, 10),
            "reason": "missing:x",
        }
    )
    path = write_quarantine(quarantined, folder / "new" / "quarantine.csv")
    again = pd.read_csv(path, dtype=str)
    assert list(again.columns)[:2] == ["'=col", "category"]
    assert again["'=col"].tolist()[:8] == [
        "'=1+1",
        "'+cmd",
        "'-x",
        "'@sum",
        "'\tt",
        "-5.5",
        "+3",
        "plain",
    ]
    assert again["category"].unique().tolist() == ["'=a"]
    assert again["number"].unique().tolist() == ["-1.5"]
    assert again["time"].unique().tolist() == ["2018-07-25"]
    assert [p.name for p in path.parent.iterdir()] == ["quarantine.csv"]


def test_no_quarantined_rows_no_file(folder):
    assert write_quarantine(pd.DataFrame({"reason": []}), folder / "quarantine.csv") is None
    assert not (folder / "quarantine.csv").exists()


def test_a_quarantine_that_cannot_be_written(folder):
    (folder / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_quarantine(pd.DataFrame({"reason": ["x"]}), folder / "file" / "quarantine.csv")


def test_an_unknown_dataset():
    with pytest.raises(CardError, match="did you mean 'synthetic_card_transactions'"):
        load_frame("synthetic_card_transaction")


@pytest.mark.needs_data("handbook_transactions.parquet")
def test_the_handbook_s_data_keep_their_contract():
    reading = read_dataset("handbook_transactions")
    assert (len(reading.frame), len(reading.quarantined)) == (1_754_155, 0)
    assert reading.frame["fraud_scenario"].value_counts().to_dict() == {
        0: 1_739_474,
        1: 973,
        2: 9_077,
        3: 4_631,
    }
    assert list(reading.frame.columns) == list(
        load_frame("synthetic_card_transactions_small").columns
    )
    assert os.environ["FINTECH_DL_DATA"] not in json.dumps(reading.facts)


@pytest.mark.needs_data("ulb_creditcard_subset.parquet")
def test_the_ulb_data_keep_their_contract():
    frame = load_frame("ulb_creditcard_subset")
    assert frame.shape == (41_065, 33)
    assert list(frame.columns[1:29]) == [f"V{i}" for i in range(1, 29)]
    assert frame["is_fraud"].sum() == 492
    share = (frame["is_fraud"] * frame["weight"]).sum() / frame["weight"].sum()
    assert abs(share - 492 / 284_807) < 1e-5
