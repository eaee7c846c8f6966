"""Scores in a table of a database: all of a run or nothing, once, whatever happens on the way."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.errors import DataError, OutputError, TemporaryError, UsageError
from fintech_dl.scoring import sql_sink, store
from fintech_dl.scoring.sinks import check_sink, deliver, make_sink
from tests.scoring.finished import finished
from tests.scoring.postgres import PASSWORD, postgres  # noqa: F401

sql = pytest.importorskip("sqlalchemy")
SINK = make_sink("sql", "SCORES_DATABASE", "fraud_scores")
DATABASES = ("sqlite", "duckdb", "postgresql")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return three finished runs: two of the same file, one of another."""
    folder = tmp_path_factory.mktemp("finished")
    return [finished(folder, seed=seed, file=file) for seed, file in ((0, "a"), (1, "a"), (2, "b"))]


@pytest.fixture(scope="module")
def bank(request):
    """Return a PostgreSQL server and the name of a database in it."""
    host = request.getfixturevalue("postgres")
    return host, host.database().rpartition("/")[2]


@pytest.fixture
def server(bank, monkeypatch):
    """Return a PostgreSQL server and the name of a database, which is empty."""
    host, name = bank
    new = "CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO public"
    host.ask(f"DROP SCHEMA public CASCADE; {new}", name)
    monkeypatch.setenv("SCORES_DATABASE", host.address(name))
    return bank


@pytest.fixture(params=DATABASES)
def database(request, tmp_path, monkeypatch):
    """Return the address of an empty database, as the environment variable has it."""
    kind = request.param
    if kind == "postgresql":
        host, name = request.getfixturevalue("server")
        return host.address(name)
    monkeypatch.setenv("SCORES_DATABASE", f"{kind}:///{tmp_path}/scores.{kind}")
    return f"{kind}:///{tmp_path}/scores.{kind}"


def ask(address, query):
    """Return the rows of a query, by a connection of its own."""
    engine = sql.create_engine(address, poolclass=sql.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sql.text(query))]


def tables(address):
    engine = sql.create_engine(address, poolclass=sql.NullPool)
    about = sql.inspect(engine)
    return sorted([*about.get_table_names(), *about.get_view_names()])


def count(address):
    return ask(address, "SELECT count(*) FROM fraud_scores")[0][0]


def plain(table, address):
    """Return rows as the database must give them."""
    if address.startswith("sqlite"):  # which knows neither moments nor truth
        times = [
            None if t is None else f"{t:%Y-%m-%d %H:%M:%S.%f}" for t in table["time"].to_pylist()
        ]
        table = table.set_column(4, "time", pa.array(times))
        table = table.set_column(7, "alert", table["alert"].cast(pa.int8()))
    return [tuple(row.values()) for row in table.to_pylist()]


def check_exact(address, *delivered):
    """Check that the table holds these runs, bit for bit, and nothing is left beside it."""
    columns = "source_file, source_row_group, source_row, id, time, who, score, alert"
    for run, manifest in delivered:
        found = ask(
            address,
            f"SELECT {columns} FROM fraud_scores WHERE run = '{run.name}' ORDER BY source_row",
        )
        parts = [s["commit"]["part"]["name"] for s in manifest["shards"]]
        read = pa.concat_tables(pq.read_table(run / "parts" / part) for part in parts)
        expected = plain(read, address)
        assert len(found) == manifest["totals"]["scored"] == 120
        assert [repr(row) for row in found] == [repr(row) for row in expected]
    numbers = [row[0] for row in ask(address, "SELECT run FROM fraud_scores_runs ORDER BY number")]
    assert numbers == [run.name for run, _ in delivered]
    assert count(address) == 120 * len(delivered)
    if not address.startswith("duckdb"):
        assert tables(address) == ["fraud_scores", "fraud_scores_latest", "fraud_scores_runs"]


@contextmanager
def at(monkeypatch, point, moment, act, times=1):
    """Do something before or after the N-th commit of a kind."""
    left = [times]

    @contextmanager
    def failpoint(name):
        left[0] -= name == point
        acts = name == point and left[0] == 0
        if acts and moment == "before":
            act()
        yield
        if acts and moment == "after":
            act()

    with monkeypatch.context() as patch:
        patch.setattr(sql_sink, "failpoint", failpoint)
        yield
        assert left[0] <= 0


def test_each_run_arrives_bit_for_bit_once_and_the_view_shows_the_last(database, runs):
    check_sink(SINK)
    for number, (run, manifest) in enumerate(runs):
        assert deliver(run, manifest, SINK) == {
            "table": "fraud_scores",
            "rows": 120,
            "delivered": True,
        }
        latest = ask(database, "SELECT DISTINCT run FROM fraud_scores_latest")
        assert latest == [(run.name,)]
        again, first = runs[0]
        assert not deliver(again, first, SINK)["delivered"]
        assert count(database) == 120 * (number + 1)
    check_exact(database, *runs)
    told = "SELECT key, scored, rows_in, quarantined, alerts, pipeline FROM fraud_scores_runs"
    alerts = [manifest["totals"]["alerts"] for _, manifest in runs]
    assert {row[4] for row in ask(database, told)} == set(alerts)
    check_sink(SINK)


def test_a_check_leaves_nothing(database):
    check_sink(SINK)
    if database.startswith("duckdb"):
        assert ask(database, "SELECT * FROM information_schema.tables") == []
    else:
        assert tables(database) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("point", "times"), [("sink.stage", 2), ("sink.publish", 1)])
def test_a_failure_at_any_commit_is_made_good(database, runs, monkeypatch, point, moment, times):
    deliver(*runs[0], SINK)

    def fails():
        raise RuntimeError("of a test")

    with at(monkeypatch, point, moment, fails, times), pytest.raises(RuntimeError):
        deliver(*runs[1], SINK)
    seen = (point, moment) == ("sink.publish", "after")
    assert count(database) == 120 * (1 + seen)
    assert deliver(*runs[1], SINK)["delivered"] != seen
    check_exact(database, *runs[:2])


def test_a_kill_is_made_good(database, runs):
    run, manifest = runs[0]
    code = (
        "import sys; from pathlib import Path; from fintech_dl.scoring import manifest, sinks\n"
        f"sink = {SINK!r}\nrun = Path(sys.argv[1])\n"
        "sinks.deliver(run, manifest.read_manifest(run)[0], sink)"
    )
    settings = {**os.environ, store.FAILPOINT: "sink.publish:before:kill"}
    done = subprocess.run([sys.executable, "-c", code, str(run)], env=settings)
    assert done.returncode == -signal.SIGKILL
    assert count(database) == 0
    deliver(run, manifest, SINK)
    check_exact(database, runs[0])


def test_shards_that_were_staged_are_not_loaded_again(database, runs, monkeypatch):
    def fails():
        raise RuntimeError("of a test")

    with at(monkeypatch, "sink.publish", "before", fails), pytest.raises(RuntimeError):
        deliver(*runs[0], SINK)
    with monkeypatch.context() as patch:
        patch.delattr(sql_sink, "insert_batches")
        deliver(*runs[0], SINK)
    check_exact(database, runs[0])


def test_a_reader_never_sees_half_a_run(database, runs, monkeypatch):
    deliver(*runs[0], SINK)
    seen = []

    def look():
        query = "SELECT (SELECT count(*) FROM fraud_scores), count(*) FROM fraud_scores_latest"
        seen.append(ask(database, query)[0])

    for point, moment in (("sink.stage", "after"), ("sink.publish", "before")):
        with at(monkeypatch, point, moment, look), monkeypatch.context() as patch:
            if point == "sink.stage":
                patch.setattr(sql_sink, "_publish", lambda *_: False)
            deliver(*runs[1], SINK)
    look()
    assert seen == [(120, 120), (120, 120), (240, 120)]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("trial", range(2))
def test_of_rivals_one_delivers(database, runs, trial):
    start = Barrier(3)

    def one(which):
        start.wait()
        return deliver(*runs[which], SINK)["delivered"]

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(one, (0, 0, 1)))
    assert done[2]
    assert any(done[:2])
    order = ask(database, "SELECT run FROM fraud_scores_runs ORDER BY number")
    known = {run.name: (run, manifest) for run, manifest in runs}
    check_exact(database, *(known[name] for (name,) in order))


@pytest.mark.parametrize("point", ["sink.stage", "sink.publish"])
@pytest.mark.parametrize("break_it", ["cut", "crash"])
def test_a_cut_connection_or_a_crash_of_the_server_is_made_good(
    server, runs, monkeypatch, caplog, point, break_it
):
    host, name = server
    times = 2 if point == "sink.stage" else 1
    with (
        at(monkeypatch, point, "before", getattr(host, break_it), times),
        pytest.raises(TemporaryError, match="Nothing of the run is seen in the table"),
    ):
        deliver(*runs[0], SINK)
    assert not caplog.records
    assert host.ask("SELECT count(*) FROM fraud_scores", name) == [(0,)]
    assert deliver(*runs[0], SINK)["delivered"]
    check_exact(host.address(name), runs[0])


def test_a_lost_answer_to_the_commit_is_found_out(server, runs, monkeypatch):
    def lost():
        raise sql.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))

    with at(monkeypatch, "sink.publish", "after", lost):
        assert deliver(*runs[0], SINK)["delivered"]
    check_exact(server[0].address(server[1]), runs[0])


@pytest.mark.parametrize("state", ["40001", "40P01", "53100", "53300"])
def test_what_passes_by_itself_is_told_so(server, runs, state):
    host, name = server
    deliver(*runs[0], SINK)
    told = f"RAISE EXCEPTION 'no {PASSWORD} today' USING ERRCODE = '{state}'"
    host.ask(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {told}; END $$; CREATE TRIGGER refuse BEFORE INSERT ON fraud_scores_runs "
        "FOR EACH ROW EXECUTE FUNCTION refuse()",
        name,
    )
    with pytest.raises(TemporaryError, match=r"no \*\*\* today. Nothing of the run is seen"):
        deliver(*runs[1], SINK)
    host.ask("DROP TRIGGER refuse ON fraud_scores_runs", name)
    deliver(*runs[1], SINK)
    check_exact(host.address(name), *runs[:2])


def test_a_locked_database_is_a_matter_of_time(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("SCORES_DATABASE", f"sqlite:///{tmp_path}/s.db")
    monkeypatch.setattr(sql_sink, "PATIENCE", 0.05)
    holder = sqlite3.connect(tmp_path / "s.db")
    holder.execute("BEGIN EXCLUSIVE")
    for work in (lambda: check_sink(SINK), lambda: deliver(*runs[0], SINK)):
        with pytest.raises(TemporaryError, match="database is locked"):
            work()
    holder.close()
    deliver(*runs[0], SINK)
    check_exact(f"sqlite:///{tmp_path}/s.db", runs[0])


def test_a_locked_table_is_a_matter_of_time(server, runs, monkeypatch):
    import psycopg

    host, name = server
    deliver(*runs[0], SINK)
    monkeypatch.setattr(sql_sink, "PATIENCE", 0.05)
    address = host.address(name).replace("+psycopg", "")
    with psycopg.connect(address) as holder:
        holder.execute("LOCK TABLE fraud_scores_runs")
        with pytest.raises(TemporaryError, match="lock timeout"):
            deliver(*runs[1], SINK)
    deliver(*runs[1], SINK)
    check_exact(host.address(name), *runs[:2])


def test_a_damaged_part_is_never_delivered(database, tmp_path):
    run, manifest = finished(tmp_path)
    part = run / "parts" / manifest["shards"][2]["commit"]["part"]["name"]
    good = part.read_bytes()
    part.write_bytes(good[:900] + bytes([good[900] ^ 1]) + good[901:])
    with pytest.raises(DataError, match="SHA-256 differs"):
        deliver(run, manifest, SINK)
    assert count(database) == 0
    part.write_bytes(good)
    deliver(run, manifest, SINK)
    check_exact(database, (run, manifest))


def test_a_staging_table_changed_from_outside_is_made_anew(database, runs, monkeypatch):
    def spoil():
        engine = sql.create_engine(database, poolclass=sql.NullPool)
        with engine.begin() as connection:
            staging = f"fraud_scores_staging_{runs[0][0].name[4:]}"
            connection.execute(sql.text(f'DELETE FROM "{staging}" WHERE source_row = 3'))

    with (
        at(monkeypatch, "sink.stage", "after", spoil, 3),
        pytest.raises(TemporaryError, match="119 rows instead of 120"),
    ):
        deliver(*runs[0], SINK)
    deliver(*runs[0], SINK)
    check_exact(database, runs[0])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("id INTEGER", "has not the columns run, source_file, source_row"),
        ("run TEXT, source_file TEXT, source_row BIGINT", "score is missing"),
        (
            "run TEXT, source_file TEXT, source_row_group INTEGER, source_row BIGINT, id BIGINT, "
            "time TIMESTAMP, who VARCHAR, score REAL, alert BOOLEAN",
            "score is (real|float), not ",
        ),
    ],
)
def test_a_table_of_other_columns_is_refused(database, runs, columns, told):
    engine = sql.create_engine(database, poolclass=sql.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE fraud_scores ({columns})")
    early = "has not" in told
    with pytest.raises(OutputError, match=told) as raised:
        check_sink(SINK) if early else deliver(*runs[0], SINK)
    assert "another table with --table" in str(raised.value)
    assert count(database) == 0
    if not database.startswith("duckdb"):
        assert tables(database) == ["fraud_scores"]


def test_names_of_columns_are_no_sql(database, tmp_path, monkeypatch):
    import tests.scoring.finished as maker

    hostile = {"who": 'a"; DROP TABLE x; --', "id": "per %s cent", "time": "co:lon ' (x)"}
    made = maker.scores
    renamed = lambda *a: made(*a).rename_columns([hostile.get(n, n) for n in made(*a).column_names])  # noqa: E731
    monkeypatch.setattr(maker, "scores", renamed)
    run, manifest = finished(tmp_path)
    deliver(run, manifest, SINK)
    engine = sql.create_engine(database, poolclass=sql.NullPool)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT * FROM fraud_scores")
        assert set(hostile.values()) <= set(found.keys())
        assert len(found.fetchall()) == 120


def test_a_run_of_which_every_row_was_set_aside_is_delivered(database, tmp_path):
    run, manifest = finished(tmp_path, rows=0, quarantined=3)
    assert deliver(run, manifest, SINK) == {"table": "fraud_scores", "rows": 0, "delivered": True}
    assert ask(database, "SELECT scored, quarantined FROM fraud_scores_runs") == [(0, 9)]


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("", UsageError, "SCORES_DATABASE is not set"),
        ("sqlite://", UsageError, "files of SQLite and DuckDB"),
        ("duckdb:///:memory:", UsageError, "files of SQLite and DuckDB"),
        (
            f"mysql://me:{PASSWORD}@db.internal/x",
            UsageError,
            "table fraud_scores of SCORES_DATABASE",
        ),
        (f"sqlite:////nowhere/{PASSWORD}/s.db", OutputError, "unable to open database file"),
        (f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:9/x", TemporaryError, "onnection"),
    ],
)
def test_no_error_shows_the_address(monkeypatch, runs, address, error, told):
    monkeypatch.setenv("SCORES_DATABASE", address)
    for work in (lambda: check_sink(SINK), lambda: deliver(*runs[0], SINK)):
        with pytest.raises(error, match=told) as raised:
            work()
        for secret in (PASSWORD, "db.internal", "127.0.0.1"):
            assert secret not in str(raised.value)


def test_rights_are_checked_before_any_work(server, monkeypatch):
    host, name = server
    host.ask("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN", name)
    monkeypatch.setenv("SCORES_DATABASE", host.address(name, "guest"))
    with pytest.raises(OutputError, match="permission denied for schema public; mend that"):
        check_sink(SINK)
    monkeypatch.setenv("SCORES_DATABASE", host.address("absent"))
    with pytest.raises(OutputError, match="does not exist"):
        check_sink(SINK)
    host.ask("CREATE SCHEMA guest AUTHORIZATION guest", name)
    monkeypatch.setenv("SCORES_DATABASE", host.address(name, "guest"))
    check_sink(make_sink("sql", "SCORES_DATABASE", "guest.scores"))
