"""What the user names becomes files and queries, or a sentence."""

import gzip
import hashlib
import os

import pytest

from fintech_dl.errors import CardError, DataError, FintechError, TemporaryError, UsageError
from fintech_dl.scoring import inputs
from fintech_dl.scoring.inputs import find_history, find_inputs, query_of

QUERY = """
title = "Prices"
licence = "own"
source = { kind = "sql", url_variable = "PRICES_DATABASE", query = "SELECT 1 AS a" }
columns = { a = { type = "integer" } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("in/b.csv", "in/a.parquet", "in/deep/c.csv.gz", "in/D.CSV", "in/note.txt"):
        (tmp_path / name).write_bytes(name.encode())
    for name in ("in/_SUCCESS.csv", "in/.hidden.csv", "in/_logs", "in/.git"):
        path = tmp_path / name
        (path / "x.csv" if not path.suffix else path).parent.mkdir(exist_ok=True)
        (path / "x.csv" if not path.suffix else path).write_bytes(b"a")
    return tmp_path


def names(found, folder):
    return [os.path.relpath(one.name, folder) for one in found]


ALL = ["in/D.CSV", "in/a.parquet", "in/b.csv", "in/deep/c.csv.gz"]


def test_files_folders_and_patterns(folder):
    assert names(find_inputs(["in"]), folder) == ALL
    assert names(find_inputs("in/b.csv"), folder) == ["in/b.csv"]
    assert names(find_inputs(["in/*.csv", folder / "in/a.parquet"]), folder) == [
        "in/b.csv",
        "in/a.parquet",
    ]
    assert names(find_inputs(["in/**/*.gz"]), folder) == ["in/deep/c.csv.gz"]
    assert names(find_inputs(["in/d*"]), folder) == ["in/deep/c.csv.gz"]
    assert names(find_inputs(["in/**"]), folder) == ALL
    assert names(find_inputs(["in/_logs/*"]), folder) == ["in/_logs/x.csv"]
    (found,) = find_inputs(["in/a.parquet"])
    data = b"in/a.parquet"
    assert (found.bytes, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert found.mtime_ns == (folder / "in/a.parquet").stat().st_mtime_ns
    assert find_history("in/a.parquet") == found


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    (folder / "a[1].csv").write_bytes(b"a")
    assert names(find_inputs(["a[1].csv"]), folder) == ["a[1].csv"]


def test_links_lead_to_files_and_never_round_in_circles(folder):
    (folder / "in/deep/up").symlink_to(folder / "in")
    (folder / "in/link.csv").symlink_to(folder / "in/note.txt")
    assert len(find_inputs(["in"])) == 5


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ([], UsageError, "name what to score"),
        (["in/gone.csv"], DataError, "there is no such file"),
        (["in/note.txt"], DataError, "expected a file .parquet, .csv, .csv.gz, or a folder"),
        (["in/*.json"], DataError, "no file .parquet, .csv, .csv.gz matches"),
        (["empty"], DataError, "the folder holds no file .parquet"),
        (["nowhere.csv"], DataError, "is a link to nothing, where there is no file"),
        (["pipe.csv"], DataError, "is no regular file"),
        (["in/b.csv", "in"], UsageError, "b.csv: is named twice"),
        (["in/b.csv", "twin.csv"], UsageError, r"twin.csv: is named twice \(as .*b.csv\)"),
        (["credit"], CardError, "no such file, folder or dataset card; did you mean"),
        (["synthetic_credit_book"], UsageError, "card of kind 'synthetic'; to score, name the"),
        (["query.toml", "query.toml"], UsageError, "is named twice"),
        (["gone.toml"], CardError, "there is no such card file"),
        ([b"in/\xff.csv".decode(errors="surrogateescape")], DataError, "its name is not UTF-8"),
    ],
)
def test_what_cannot_be_scored_is_told(given, kind, text, folder):
    (folder / "empty").mkdir()
    (folder / "nowhere.csv").symlink_to("nothing")
    os.mkfifo(folder / "pipe.csv")
    os.link(folder / "in/b.csv", folder / "twin.csv")
    (folder / "query.toml").write_text(QUERY)
    with pytest.raises(kind, match=text):
        find_inputs(given)


def test_what_may_not_be_read_is_told(folder, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(inputs.os, "scandir", denied)
    with pytest.raises(DataError, match=r"in: you may not read it \(Permission denied\)"):
        find_inputs(["in"])
    monkeypatch.setattr(type(folder), "open", denied)
    with pytest.raises(DataError, match=r"b.csv: you may not read it"):
        find_inputs(["in/b.csv"])


def test_a_file_that_grows_while_it_is_hashed_is_told(folder, monkeypatch):
    path, real = folder / "in/b.csv", inputs.hashlib.sha256

    def growing():
        path.write_bytes(b"longer than it was before")
        return real()

    monkeypatch.setattr(inputs.hashlib, "sha256", growing)
    with pytest.raises(TemporaryError, match="is being written"):
        find_inputs([path])


def test_queries_are_known_by_their_text(folder, monkeypatch):
    (folder / "query.toml").write_text(QUERY)
    found, file = find_inputs(["query.toml", "in/b.csv"])
    assert found.name == str(folder / "query.toml")
    assert found.sha256 == hashlib.sha256(b"SELECT 1 AS a").hexdigest()
    assert (found.query, found.bytes, file.query) == ("PRICES_DATABASE", 0, "")
    assert query_of(found).source.query == "SELECT 1 AS a"
    monkeypatch.setenv("FINTECH_DL_CARDS", str(folder))
    assert find_inputs(["query"])[0].name == "query"
    (folder / "query.toml").write_text(QUERY.replace("SELECT 1", "SELECT 2"))
    with pytest.raises(FintechError, match="its query was changed just now"):
        query_of(found)


def test_a_history_is_one_file(folder):
    with pytest.raises(DataError, match="expected a file"):
        find_history(folder / "in")
    (folder / "h.csv.gz").write_bytes(gzip.compress(b"a"))
    assert find_history("h.csv.gz").name == str(folder / "h.csv.gz")
