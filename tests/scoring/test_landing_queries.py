"""Queries landed: every row of one moment, in the types of the database, or a sentence."""

import datetime as dt
import json
import os
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.cards import dataset_card
from fintech_dl.data import sql
from fintech_dl.data.frames import from_arrow, read_rows
from fintech_dl.errors import CardError, DataError, TemporaryError
from fintech_dl.scoring.inputs import find_inputs, query_of
from fintech_dl.scoring.landing_queries import has_order, land_query
from tests.scoring.postgres import postgres  # noqa: F401

sqlalchemy = pytest.importorskip("sqlalchemy")
pytest.importorskip("duckdb_engine")

CARD = """
title = "Values"
licence = "own"
[source]
kind = "sql"
url_variable = "VALUES_DATABASE"
query = "SELECT * FROM many ORDER BY id"
[contract]
key = "id"
[columns]
id = { type = "integer" }
"""
# 30 values: type, SQL, what comes back
UTC, clock, ZONED = dt.UTC, dt.datetime, "TIMESTAMP WITH TIME ZONE"
EXACT = "12345678901234567890.0123456789"
TYPED = {
    "small": ("SMALLINT", "-32768", -32768),
    "integer": ("INTEGER", "2147483647", 2147483647),
    "big": ("BIGINT", "9223372036854775807", 2**63 - 1),
    "least": ("BIGINT", "-9223372036854775808", -(2**63)),
    "odd": ("BIGINT", "9007199254740993", 2**53 + 1),
    "tenth": ("DOUBLE PRECISION", "0.1", 0.1),
    "tiny": ("DOUBLE PRECISION", "5e-324", 5e-324),
    "huge": ("DOUBLE PRECISION", "-1.7976931348623157e308", -1.7976931348623157e308),
    "minus": ("DOUBLE PRECISION", "'-0.0'", -0.0),
    "cents": ("NUMERIC(12,2)", "1234567890.05", Decimal("1234567890.05")),
    "exact": ("NUMERIC(30,10)", EXACT, Decimal(EXACT)),
    "third": ("NUMERIC(5,4)", "-0.3333", Decimal("-0.3333")),
    "zero": ("NUMERIC(5,2)", "0.00", Decimal("0.00")),
    "true": ("BOOLEAN", "TRUE", True),
    "false": ("BOOLEAN", "FALSE", False),
    "text": ("TEXT", "'x'", "x"),
    "empty": ("TEXT", "''", ""),
    "lines": ("TEXT", "'a\nb'", "a\nb"),
    "quote": ("TEXT", "'it''s'", "it's"),
    "accents": ("TEXT", "'é€😀'", "é€😀"),
    "digits": ("TEXT", "'007'", "007"),
    "day": ("DATE", "'2024-02-29'", dt.date(2024, 2, 29)),
    "old": ("DATE", "'1901-02-03'", dt.date(1901, 2, 3)),
    "far": ("DATE", "'9999-12-31'", dt.date(9999, 12, 31)),
    "moment": ("TIMESTAMP", "'2024-01-02 03:04:05.678901'", clock(2024, 1, 2, 3, 4, 5, 678901)),
    "early": ("TIMESTAMP", "'1965-01-02 03:04:05.5'", clock(1965, 1, 2, 3, 4, 5, 500000)),
    "zoned": (ZONED, "'2024-07-01 12:00:00+02:00'", clock(2024, 7, 1, 10, tzinfo=UTC)),
    "half": (ZONED, "'1969-12-31 23:30:00+05:30'", clock(1969, 12, 31, 18, tzinfo=UTC)),
    "winter": (ZONED, "'2024-10-27 02:30:00+01:00'", clock(2024, 10, 27, 1, 30, tzinfo=UTC)),
    "nothing": ("DOUBLE PRECISION", "NULL", None),
}  # fmt: skip


@pytest.fixture
def card(tmp_path, monkeypatch):
    path = tmp_path / "values.toml"
    path.write_text(CARD)

    def at(address):
        monkeypatch.setenv("VALUES_DATABASE", address)
        return sqlalchemy.create_engine(address)

    return path, at


def land(path, run):
    (original,) = find_inputs([path])
    source = land_query(original, query_of(original), dataset_card(path), run, "00000.parquet")
    return source, pq.read_table(run / source.path)


def fill(engine, rows=3):
    with engine.begin() as connection:
        columns = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in TYPED.items())
        connection.exec_driver_sql(f"CREATE TABLE many (id INTEGER, {columns})")
        cells = ", ".join(value for _, value, _ in TYPED.values())
        nulls = ", ".join("NULL" for _ in TYPED)
        for i in range(
            rows
        ):  # the last row alone has values, so that the first parts have no types
            values = cells if i == rows - 1 else nulls
            connection.execute(sqlalchemy.text(f"INSERT INTO many VALUES ({i}, {values})"))
    engine.dispose()


def check_types(path, run, monkeypatch):
    monkeypatch.setattr(sql, "CHUNK", 1)
    source, table = land(path, run)
    assert len(table) == sum(source.row_groups) == 3
    assert not source.text
    assert [row["id"] for row in table.to_pylist()] == [0, 1, 2]
    first, _, last = table.to_pylist()
    assert set(first.values()) == {0, None}
    wrong = {
        name: (last[name], wanted)
        for name, (_, _, wanted) in TYPED.items()
        if repr(last[name]) != repr(wanted)
        and not (isinstance(wanted, dt.datetime) and last[name] == wanted)
        and not (isinstance(wanted, Decimal) and last[name] == wanted)
    }
    assert wrong == {}
    exact = pa.types.is_decimal(table.schema.field("exact").type)
    assert exact
    assert [path.name for path in (run / "landed").iterdir()] == ["00000.parquet"]


def test_thirty_values_come_back_from_duckdb(card, tmp_path, monkeypatch):
    path, at = card
    fill(at(f"duckdb:///{tmp_path}/values.duckdb"))
    check_types(path, tmp_path, monkeypatch)


def test_thirty_values_come_back_from_postgresql(card, tmp_path, monkeypatch, postgres):  # noqa: F811
    path, at = card
    fill(at(postgres.database()))
    check_types(path, tmp_path, monkeypatch)


def test_thirty_values_come_back_from_sqlite(card, tmp_path):
    """SQLite has no dates, decimals or truth: they come as text and numbers, for the contract."""
    path, at = card
    fill(at(f"sqlite:///{tmp_path}/values.db"))
    kinds = {
        dt.date: "datetime", dt.datetime: "datetime", bool: "integer", float: "number",
        Decimal: "number", int: "integer", str: "text",
    }  # fmt: skip
    rules = "".join(
        f'{name} = {{ type = "{kinds.get(type(value), "number")}", nullable = true }}\n'
        for name, (_, _, value) in TYPED.items()
    )
    path.write_text(CARD + rules)
    source, table = land(path, tmp_path)
    assert source.text
    frame = read_rows(from_arrow(table), dataset_card(path), text=True).frame
    wrong = {}
    for name, (_, _, value) in TYPED.items():
        found, wanted = frame[name].iloc[-1], value
        if isinstance(value, dt.date):
            found = found.to_pydatetime()
            naive = isinstance(value, dt.datetime) and value.replace(tzinfo=None)
            wanted = naive or dt.datetime.combine(value, dt.time())
        elif isinstance(value, Decimal):
            wanted = float(value)
        if value is not None and found != wanted:
            wrong[name] = (found, wanted)
    assert wrong == {}


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("SELECT a FROM t order\n by a LIMIT 5", True),
        ("SELECT a FROM t", False),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a) AS s", False),
        ("SELECT sum(a) OVER (PARTITION BY (b) ORDER BY a) FROM t", False),
        ("SELECT a FROM t -- ORDER BY a", False),
        ("SELECT a /* ORDER BY a */ FROM t", False),
        ("SELECT 'ORDER BY ('' a' FROM t", False),
        ("WITH s AS (SELECT a FROM t) SELECT a FROM s ORDER BY (a)", True),
    ],
)
def test_an_order_is_that_of_all_rows(query, ordered):
    assert has_order(query) is ordered


def test_rows_of_a_key_need_an_order(card, tmp_path):
    path, at = card
    fill(at(f"sqlite:///{tmp_path}/values.db"))
    path.write_text(CARD.replace(" ORDER BY id", ""))
    with pytest.raises(CardError, match="its rows come in no order; end it with ORDER BY id,"):
        land(path, tmp_path)
    path.write_text(CARD.replace(" ORDER BY id", "").replace('key = "id"', ""))
    assert land(path, tmp_path)[0].row_groups == [3]


def test_the_database_counts_too(card, tmp_path, monkeypatch):
    path, at = card
    fill(at(f"sqlite:///{tmp_path}/values.db"))
    monkeypatch.setattr(sql, "CHUNK", 1)
    real = sqlalchemy.engine.CursorResult.fetchmany

    def shorter(self, size):
        rows = real(self, size)
        return [] if rows and rows[0][0] == 2 else rows

    monkeypatch.setattr(sqlalchemy.engine.CursorResult, "fetchmany", shorter)
    with pytest.raises(TemporaryError, match="the database counts 3 rows and sent 2; run the same"):
        land(path, tmp_path)
    assert not list(tmp_path.glob("landed/*"))


def test_columns_of_several_types_are_told(card, tmp_path, monkeypatch):
    path, at = card
    with at(f"sqlite:///{tmp_path}/values.db").begin() as connection:
        connection.exec_driver_sql("CREATE TABLE many (id, a)")
        connection.exec_driver_sql("INSERT INTO many VALUES (1, 'x'), (2, 5)")
    for chunk in (50_000, 1):
        monkeypatch.setattr(sql, "CHUNK", chunk)
        with pytest.raises(DataError, match="a column of the query holds values of several types"):
            land(path, tmp_path)
    assert not list(tmp_path.glob("landed/*"))


def test_a_connection_cut_anywhere_never_shortens(card, tmp_path, monkeypatch, postgres):  # noqa: F811
    path, at = card
    with at(postgres.database()).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE many AS SELECT generate_series(1, 500) AS id")
    monkeypatch.setattr(sql, "CHUNK", 100)
    real, asked = sql._array, []

    def cutting(*given):
        asked.append(given)
        if len(asked) == cut:
            postgres.cut()
        return real(*given)

    monkeypatch.setattr(sql, "_array", cutting)
    for cut in (1, 3):  # noqa: B007
        asked.clear()
        with pytest.raises(TemporaryError, match="could not answer to the end") as raised:
            land(path, tmp_path)
        assert "s3cret" not in str(raised.value)
        assert not list(tmp_path.glob("landed/*"))
    cut = 0
    assert land(path, tmp_path)[0].row_groups == [500]


def test_all_rows_are_of_one_moment(card, tmp_path, monkeypatch, postgres):  # noqa: F811
    path, at = card
    engine = at(postgres.database())
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE many AS SELECT generate_series(1, 500) AS id")
    monkeypatch.setattr(sql, "CHUNK", 100)
    real, asked = (sqlalchemy.text, sql._array), []

    def write():
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM many WHERE mod(id, 2) = 0")
            connection.exec_driver_sql("INSERT INTO many SELECT generate_series(501, 600)")

    def text(query):
        asked.append(query)
        if len(asked) == 2:  # the rows were counted, and are asked for now
            write()
        return real[0](query)

    def array(*given):
        write()
        return real[1](*given)

    monkeypatch.setattr(sqlalchemy, "text", text)
    monkeypatch.setattr(sql, "_array", array)
    _, table = land(path, tmp_path)
    assert table["id"].to_pylist() == list(range(1, 501))
    assert len(asked) == 2


def test_a_query_that_writes_is_refused_by_the_transaction(card, tmp_path, postgres):  # noqa: F811
    path, at = card
    with at(postgres.database()).begin() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE numbers")
    query = "SELECT nextval('numbers') AS id ORDER BY id"
    path.write_text(CARD.replace("SELECT * FROM many ORDER BY id", query))
    with pytest.raises(DataError, match=r"refused: cannot execute nextval.* in a read-only trans"):
        land(path, tmp_path)


def test_a_database_that_is_down_is_worth_a_second_try(card, tmp_path):
    path, at = card
    at("postgresql+psycopg://reader:s3cret@127.0.0.1:9/values")
    with pytest.raises(TemporaryError, match="could not answer to the end") as raised:
        land(path, tmp_path)
    assert "s3cret" not in str(raised.value)


def test_lists_and_names_of_odd_types_come_as_text(card, tmp_path):
    path, at = card
    with at(f"duckdb:///{tmp_path}/values.duckdb").begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE many AS SELECT 1 AS id, [1, 2] AS a, {'x': 1} AS b, "
            "'6f1c1a8e-0000-4000-8000-000000000001'::UUID AS c"
        )
    row = land(path, tmp_path)[1].to_pylist()[0]
    assert json.loads(row["a"]) == [1, 2]
    assert json.loads(row["b"]) == {"x": 1}
    assert row["c"] == "6f1c1a8e-0000-4000-8000-000000000001"
    assert os.listdir(tmp_path / "landed") == ["00000.parquet"]
