"""Every exit code of the command line, provoked in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pandas as pd
import pytest

from fintech_dl.errors import DataError
from fintech_dl.folders import shipped
from fintech_dl.scoring.reading import read_quarantine, read_scores

SMALL = "synthetic_card_transactions_small"
WAIT = 120
# Stand-ins for a faulty disk, a fault of ours and a kill, each at one certain place.
NO_ROOM = "def fault(*a, **k): raise OSError(28, 'No space left on device')"
KILLED = "def fault(*a, **k): os.kill(os.getpid(), signal.SIGKILL)"
HELD = "def fault(*a, **k): import time; time.sleep(99)"
BUG = "def fault(*a, **k): return 1 / 0"


def start(*words, fault="", at=""):
    """Start the command line; ``fault`` takes the place of the function at ``at``."""
    code = "import os, signal, sys\nfrom importlib import import_module\n"
    if fault:
        module, _, name = at.rpartition(".")
        code += f"{fault}\nsetattr(import_module('fintech_dl.{module}'), '{name}', fault)\n"
    code += "from fintech_dl.cli import main; main()"
    line = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(line, stdout=-1, stderr=-1, text=True)


def end(process):
    """Return exit code, stdout and stderr."""
    out, err = process.communicate(timeout=WAIT)
    assert "Traceback" not in err
    return process.returncode, out, err


def command(*words, **how):
    return end(start(*words, **how))


@pytest.fixture
def scoring(fraud_run, payments, tmp_path):
    """Words that score a few rows into tmp_path/s; the inputs are copies that tests may change."""
    (tmp_path / "in").mkdir()
    new = pd.read_csv(payments / "new.csv").head(200)
    new.to_csv(tmp_path / "in" / "new.csv", index=False)
    shutil.copy(payments / "history.csv", tmp_path / "in")
    shutil.copytree(fraud_run.folder / "artefact", tmp_path / "in" / "artefact")
    words = ["score", tmp_path / "in" / "artefact", tmp_path / "in" / "new.csv"]
    return [*words, "-o", tmp_path / "s", "--history", tmp_path / "in" / "history.csv"]


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "in")


def spoil(path, **cells):
    """Make the last row of a file break its contract."""
    frame = pd.read_csv(path, dtype=str)
    frame.loc[len(frame) - 1, list(cells)] = list(cells.values())
    frame.to_csv(path, index=False)


def test_0_99_and_6_of_score(scoring, tmp_path):
    code, out, _ = command(*scoring, "--json")
    assert code == 0
    first = read_scores(tmp_path / "s")
    assert json.loads(out)["scored"] == len(first) == 200
    code, out, err = command(*scoring)
    assert (code, out) == (99, "")
    assert "holds the scores of exactly these inputs, this artefact" in err
    assert "--as-of" not in scoring
    others = {"as_of": [*scoring, "--as-of", "2030-01-01"]}
    for name, file in (("input", "new"), ("history", "history")):
        other = tmp_path / "in" / f"other_{file}.csv"
        shutil.copy(tmp_path / "in" / f"{file}.csv", other)
        spoil(other, amount="3.33")
        others[name] = [str(word).replace(f"{file}.csv", other.name) for word in scoring]
    for name, words in others.items():
        code, _, err = command(*words)
        assert code == 6, name
        assert f"not of the same: {name if name == 'as_of' else f'the {name}'} differs" in err
    assert read_scores(tmp_path / "s").equals(first)
    assert left(tmp_path) == ["s"]
    next(tmp_path.glob("s/run-*/parts/*")).unlink()  # a result that was damaged since
    assert command(*scoring)[0] == 4
    assert command("verify", tmp_path / "s")[0] == 4


def test_1_a_fault_of_ours(tmp_path):
    code, _, err = command("list", fault=BUG, at="cards.names")
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "This was not foreseen" in err


def test_2_usage_and_cards(tmp_path):
    assert command("run")[0] == 2
    assert command("run", "frud")[0] == 2
    assert command("score", "a", "b", "-o", shipped("datasets"))[0] == 2


def test_3_only_if_asked_for(scoring, fraud_run, tmp_path):
    spoil(tmp_path / "in" / "new.csv", amount="-1")
    assert command(*scoring)[0] == 0
    shutil.rmtree(tmp_path / "s")
    code, out, err = command(*scoring, "--strict")
    assert code == 3
    assert "finished, but 1 rows were quarantined" in err
    assert "199 scored" in out
    assert read_quarantine(tmp_path / "s")["source_row"].tolist() == [200]


def test_4_the_contract(scoring, tmp_path):
    frame = pd.read_csv(tmp_path / "in" / "new.csv").drop(columns="amount")
    frame.to_csv(tmp_path / "in" / "new.csv", index=False)
    code, _, err = command(*scoring)
    assert code == 4
    assert "missing column 'amount'" in err
    assert left(tmp_path) == []


def test_5_the_artefact(scoring, tmp_path):
    path = tmp_path / "in" / "artefact" / "cards.json"
    path.write_bytes(path.read_bytes().replace(b"fraud", b"froud"))
    code, _, err = command(*scoring)
    assert code == 5
    assert "cards.json: changed since it was saved" in err
    assert left(tmp_path) == []


def test_7_another_process_is_writing(scoring, tmp_path):
    """The first is held where it makes its plan; killed, it keeps nobody from going on."""
    first = start(*scoring, fault=HELD, at="scoring.planning.cut_shards")
    wait_for(tmp_path / "s" / ".lock")
    code, _, err = command(*scoring)
    assert code == 7
    assert "another process is writing it now" in err
    first.kill()
    first.communicate()
    assert command(*scoring)[0] == 0
    assert left(tmp_path) == ["s"]
    assert sorted(path.name[:4] for path in (tmp_path / "s").iterdir()) == [".loc", "late", "run-"]


def wait_for(path: Path) -> None:
    until = time.monotonic() + WAIT
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_killed_process_leaves_nothing_finished_and_the_next_goes_on(scoring, tmp_path):
    killed = start(*scoring, fault=KILLED, at="scoring.completing.finish")
    killed.communicate(timeout=WAIT)
    assert killed.returncode == -signal.SIGKILL
    assert left(tmp_path) == ["s"]
    with pytest.raises(DataError, match="holds no finished scores"):
        read_scores(tmp_path / "s")
    assert command("resume", tmp_path / "s")[0] == 0
    assert len(read_scores(tmp_path / "s")) == 200


def test_a_killed_run_leaves_nothing_75_and_3_of_the_next(tmp_path):
    card = tmp_path / "own.toml"
    text = (shipped("pipelines") / "fraud.toml").read_text()
    card.write_text(text[: text.index("[[baseline]]")])
    words = ["run", card, "--dataset", SMALL, "--set", "model__epochs=1", "--out", tmp_path / "r"]
    killed = start(*words, fault=KILLED, at="evaluation.report.render")
    killed.communicate(timeout=WAIT)
    assert killed.returncode == -signal.SIGKILL
    assert left(tmp_path) == [".r.part", ".r.part.lock", "own.toml"]
    full = command(*words, fault=NO_ROOM, at="evaluation.report.render")
    assert full[0] == 75
    assert "r: cannot be written (No space left on device); choose another" in full[2]
    assert left(tmp_path) == ["own.toml"]
    code, out, err = command(*words, "--as-of", "2018-08-23", "--strict", "-q")
    assert (code, out) == (3, f"{tmp_path / 'r'}\n")
    assert "rows were quarantined (--strict)" in err
    assert (tmp_path / "r" / "report.html").is_file()
    assert left(tmp_path) == ["own.toml", "r"]


@pytest.mark.parametrize("place", ["scoring.planning.cut_shards", "scoring.store._sync"])
def test_75_no_room_on_the_disk(place, scoring, tmp_path):
    code, _, err = command(*scoring, fault=NO_ROOM, at=place)
    assert code == 75, err
    assert "No space left on device" in err
    assert "or make room and run it again" in err
    assert left(tmp_path) == []


def test_75_no_room_for_what_is_printed():
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "fintech_dl", "list"]
        done = subprocess.run(line, stdout=full, stderr=-1, text=True)
    assert done.returncode == 75
    assert done.stderr == "fintech-dl: No space left on device: make room and run it again\n"


@contextmanager
def server(answer) -> Iterator[str]:
    """Serve one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/rows.csv"
        finally:
            running.shutdown()


def status(code):
    return lambda request: request.send_error(code)


def body(text, missing=0):
    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(text) + missing))
        request.end_headers()
        request.wfile.write(text)

    return answer


@pytest.fixture
def online(tmp_path, monkeypatch):
    """Return words that get a dataset from an address, and the cache."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("FINTECH_DL_CACHE", str(cache))
    monkeypatch.delenv("FINTECH_DL_DATA", raising=False)

    def words(url, content=b"x\n1\n"):
        (tmp_path / "online.toml").write_text(
            f'title = "T"\nlicence = "L"\n[source]\nkind = "url"\nurl = "{url}"\n'
            f'sha256 = "{sha256(content).hexdigest()}"\n[columns]\nx = {{ type = "number" }}\n'
        )
        return ["data", "get", tmp_path / "online.toml"]

    return words, cache


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (status(503), 75),
        (status(429), 75),
        (body(b"x\n1", missing=1), 75),
        (status(404), 4),
        (status(403), 4),
        (body(b"x\n2\n"), 4),
        (body(b"x\n1\n"), 0),
    ],
    ids=["503", "429", "cut off", "404", "403", "other bytes", "right"],
)
def test_75_where_the_network_failed_and_4_where_waiting_does_not_help(answer, code, online):
    words, cache = online
    with server(answer) as url:
        done = command(*words(url), "--json")
    assert done[0] == code, done
    assert left(cache) == (["rows.csv"] if code == 0 else [])
    if code == 75:
        assert "cannot be downloaded: " in done[2]
        assert "Try again later" in done[2]
    if code == 0:
        assert json.loads(done[1])["path"] == str(cache / "rows.csv")


def test_75_where_nobody_answers(online):
    words, cache = online
    assert command(*words("http://127.0.0.1:9/rows.csv"))[0] == 75
    assert left(cache) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_in_a_download(number, code, online):
    words, cache = online
    sent, over = Event(), Event()

    def stall(request):
        body(b"x\n", missing=2)(request)
        sent.set()
        over.wait(WAIT)

    with server(stall) as url:
        process = start(*words(url))
        assert sent.wait(WAIT)
        until = time.monotonic() + WAIT
        while not left(cache):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        done = end(process)
        over.set()
    assert done == (code, "", "fintech-dl: stopped; nothing was left half-written\n")
    assert left(cache) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_of_score(number, code, scoring, tmp_path):
    process = start(*scoring, fault=HELD, at="scoring.planning.cut_shards")
    wait_for(tmp_path / "s" / ".lock")
    time.sleep(0.2)
    process.send_signal(number)
    assert end(process)[::2] == (code, "fintech-dl: stopped; nothing was left half-written\n")
    assert left(tmp_path) == []
