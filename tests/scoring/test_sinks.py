"""Sinks are named whole, without passwords, before any work."""

import pytest

from fintech_dl.errors import UsageError
from fintech_dl.scoring.sinks import check_sink, deliver, make_sink
from tests.scoring.postgres import PASSWORD


def test_the_folder_alone_is_no_sink():
    assert make_sink() == {}
    check_sink({})
    assert deliver(None, {}, {}) == {}


@pytest.mark.parametrize(
    ("kind", "database", "table", "told"),
    [
        ("kafka", "", "", "got 'kafka', allowed: parquet, sql"),
        ("sql", "", "scores", "--database: got '', expected the name of an environment variable"),
        ("sql", f"postgresql://me:{PASSWORD}@host/db", "scores", "--database: got something else"),
        ("sql", "DB", "", "--table: got ''"),
        ("sql", "DB", "scores; DROP TABLE x", "expected a name of up to 40 letters"),
        ("sql", "DB", 'a"b', "expected a name of up to 40 letters"),
        ("sql", "DB", "x" * 41, "expected a name of up to 40 letters"),
        ("parquet", "DB", "", "are for --sink sql"),
    ],
)
def test_a_sink_is_named_whole(kind, database, table, told):
    with pytest.raises(UsageError, match=told) as raised:
        make_sink(kind, database, table)
    assert PASSWORD not in str(raised.value)


def test_the_command_line_refuses_an_unknown_sink(tmp_path, command):
    done = command("score", "artefact", "rows.parquet", "-o", tmp_path / "s", "--sink", "kafka")
    assert (done.code, "got 'kafka', allowed: parquet, sql" in done.err) == (2, True)
    assert not (tmp_path / "s").exists()
