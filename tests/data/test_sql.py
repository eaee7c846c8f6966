"""Datasets that are queries of a database."""

import traceback

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import dataset_card
from fintech_dl.data import sql
from fintech_dl.data.frames import load_frame, read_dataset
from fintech_dl.errors import CardError, DataError, UsageError

sqlalchemy = pytest.importorskip("sqlalchemy")

CARD = """
title = "Prices"
licence = "own"
contract = { time = "date", asset = "asset" }
[source]
kind = "sql"
url_variable = "PRICES_DATABASE"
query = "SELECT day AS date, asset, close, volume FROM prices ORDER BY day, asset"
[columns]
date = { type = "datetime" }
asset = { type = "text" }
close = { type = "number", min = 0 }
volume = { type = "integer", min = 0, nullable = true }
"""


@pytest.fixture
def database(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/prices.db"
    days = pd.bdate_range("2024-01-01", periods=30).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"day": np.repeat(days, 2), "asset": ["A", "B"] * 30, "close": 1.5})
    frame["volume"] = pd.array([None, *range(59)], dtype="Int64")
    with sqlalchemy.create_engine(url).begin() as connection:
        frame.to_sql("prices", connection, index=False)
    monkeypatch.setenv("PRICES_DATABASE", url)
    (tmp_path / "prices.toml").write_text(CARD)
    return tmp_path / "prices.toml"


def test_rows_come_through_the_contract(database):
    reading = read_dataset(database)
    assert reading.frame.shape == (60, 4)
    assert reading.frame["date"].iloc[-1] == pd.Timestamp("2024-02-09")
    assert reading.frame["volume"].tolist()[1:] == list(range(59))
    assert reading.facts["generator"].startswith("sql(SHA-256 of the query: ")


def test_parts_are_put_together(database, monkeypatch):
    whole = load_frame(database)
    monkeypatch.setattr(sql, "CHUNK", 7)
    pd.testing.assert_frame_equal(load_frame(database), whole)


def change(card, old, new):
    assert old in CARD
    card.write_text(CARD.replace(old, new))


def test_the_query_must_read_and_find_something(database):
    change(database, "SELECT day", "DELETE FROM prices; SELECT day")
    with pytest.raises(CardError, match="begins with SELECT or WITH"):
        load_frame(database)
    change(database, "FROM prices", "FROM prices WHERE close > 9")
    with pytest.raises(DataError, match="found no rows"):
        load_frame(database)
    change(database, "FROM prices", "FROM quotes")
    with pytest.raises(DataError, match="no such table: quotes"):
        load_frame(database)
    change(database, 'url_variable = "PRICES_DATABASE"', "")
    with pytest.raises(CardError, match="needs the key 'url_variable'"):
        dataset_card(database)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+nothing://reader:s3cret@host.internal/prices",
        "s3cret is no address",
        "sqlite:////nowhere/s3cret/prices.db",
    ],
)
def test_no_error_shows_the_address(database, monkeypatch, address):
    monkeypatch.setenv("PRICES_DATABASE", address)
    with pytest.raises((DataError, UsageError)) as raised:
        load_frame(database)
    shown = "".join(traceback.format_exception(raised.value))
    assert "s3cret" not in shown
    assert "host.internal" not in shown


def test_the_variable_must_be_set(database, monkeypatch):
    monkeypatch.delenv("PRICES_DATABASE")
    with pytest.raises(UsageError, match="PRICES_DATABASE is not set"):
        load_frame(database)
