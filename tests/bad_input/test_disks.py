"""Disks that are full, folders that may not be written or read, processes that are killed.

Nothing is half-written, what was there before stays as it was, and the next attempt works.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from fintech_dl import run_pipeline
from fintech_dl.errors import DiskFullError, OutputError
from fintech_dl.folders import shipped
from fintech_dl.scoring.jobs import score_files
from fintech_dl.scoring.reading import read_scores

SMALL = "synthetic_card_transactions_small"
SIZE = 4 * 1024**2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return a folder that is a disk of its own, of 4 MiB."""
    folder = tmp_path_factory.mktemp("disk")
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def room(folder, kilobytes):
    """Leave so much room on the disk."""
    about = os.statvfs(folder)
    taken = about.f_bavail * about.f_frsize - kilobytes * 1024
    (folder / "filler").write_bytes(bytes(max(taken, 0)))
    try:
        yield
    finally:
        (folder / "filler").unlink()


def contents(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def few(payments, tmp_path_factory):
    """Return files of a few rows to score, half of them broken, and of those before them."""
    folder = tmp_path_factory.mktemp("few")
    new = pd.read_csv(payments / "new.csv").head(400)
    new.loc[350:, "amount"] = -1
    new.to_csv(folder / "new.csv", index=False)
    card = (shipped("datasets") / f"{SMALL}.toml").read_text()
    assert "max_quarantined" not in card or "max_quarantined = 0" in card
    shutil.copy(payments / "history.csv", folder)
    new[:350].to_csv(folder / "clean.csv", index=False)
    new[330:352].to_csv(folder / "some.csv", index=False)
    return folder


def test_scores_on_a_full_disk(tiny, fraud_run, few, command):
    def words(name):
        told = ["score", fraud_run.folder / "artefact", few / "clean.csv", "-o", tiny / name]
        return [*told, "--history", few / "history.csv"]

    assert command(*words("kept")).code == 0
    before, codes = contents(tiny), []
    for kilobytes in (0, 4, 8, 12, 24, 48, 96, 200, 400):
        with room(tiny, kilobytes):
            done = command(*words("s"))
        codes.append(done.code)
        if done.code == 75:
            assert "cannot be written (No space left on device)" in done.err
            assert "or make room and run it again" in done.err
            assert {path: now for path, now in contents(tiny).items() if path in before} == before
            assert not list(tiny.glob("s/**/*.tmp"))
            assert not list(tiny.glob("s/latest.json"))
    assert codes[0] == codes[1] == 75
    assert codes[-1] in (0, 99)
    assert set(codes) <= {0, 75, 99}
    assert codes.count(0) == 1
    with room(tiny, 4), pytest.raises(DiskFullError, match="No space left on device"):
        score_files(
            fraud_run.folder / "artefact",
            few / "clean.csv",
            tiny / "t",
            history=few / "history.csv",
        )
    assert not (tiny / "t").exists()
    kept, again = read_scores(tiny / "kept"), read_scores(tiny / "s")
    assert again["score"].to_numpy().tobytes() == kept["score"].to_numpy().tobytes()
    assert command(*words("kept")).code == 99
    shutil.rmtree(tiny / "s")
    shutil.rmtree(tiny / "kept")


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
def test_rows_of_a_dataset_on_a_full_disk(tiny, ending, command):
    (tiny / "kept.txt").write_text("kept")
    before = contents(tiny)
    with room(tiny, 32):
        done = command("data", "get", SMALL, "-o", tiny / f"rows.{ending}")
    assert done.code == 75, done.err
    assert f"rows.{ending}: cannot be written (No space left on device)" in done.err
    assert contents(tiny) == before
    (tiny / "kept.txt").unlink()


def test_a_run_and_its_report_on_a_full_disk(tiny, quick_fraud, command):
    changes = {"model__epochs": 1, "model__network__units": 4}
    (tiny / "kept.txt").write_text("kept")
    before = contents(tiny)
    for kilobytes in (0, 300):
        with (
            room(tiny, kilobytes),
            pytest.raises(DiskFullError, match=r"/r(/artefact)?: cannot"),
        ):
            run_pipeline(quick_fraud(), tiny / "r", set_params=changes)
        assert contents(tiny) == before
    run = run_pipeline(quick_fraud(), tiny / "r", set_params=changes)
    page = (run.folder / "report.html").read_bytes()
    with room(tiny, 8):
        done = command("report", run.folder)
    assert done.code == 75, done.err
    assert (run.folder / "report.html").read_bytes() == page
    assert sorted(p.name for p in tiny.iterdir()) == ["kept.txt", "r"]
    assert not [p for p in run.folder.iterdir() if p.name.endswith(".part")]
    shutil.rmtree(tiny / "r")


def limited(*words, most):
    """Run the command line with a limit on the size of a file."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    line = [sys.executable, "-m", "fintech_dl", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, preexec_fn=limit)


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
def test_files_above_a_limit(tmp_path, ending):
    done = limited("data", "get", SMALL, "-o", tmp_path / f"rows.{ending}", most=10_000)
    assert done.returncode == 75, done.stderr
    assert f"rows.{ending}: cannot be written (File too large); choose another" in done.stderr
    assert "or make room and run it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_scores_above_a_limit(fraud_run, few, tmp_path):
    words = ["score", fraud_run.folder / "artefact", few / "clean.csv", "-o", tmp_path / "s"]
    done = limited(*words, "--history", few / "history.csv", most=3_000)
    assert done.returncode == 75, done.stderr
    assert "cannot be written (File too large)" in done.stderr
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("latest.json"))


def test_what_is_printed_above_a_limit(tmp_path):
    with (tmp_path / "list.json").open("w") as out:
        code = "from fintech_dl.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "list", "--json"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        )
    assert done.returncode == 75, done.stderr
    assert done.stderr == "fintech-dl: File too large: make room and run it again\n"


def unprivileged(*words):
    """Run as a user who owns nothing; what is needed is imported before."""
    code = (
        "import encodings.utf_8_sig, os, fintech_dl.runs, fintech_dl.scoring.jobs\n"
        "from fintech_dl.scoring import engine, feature_stage, landing, preparing, workers\n"
        "from fintech_dl.cli import main\n"
        "fintech_dl.runs.pipeline_card('fraud')\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "main()"
    )
    line = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def mine(fraud_run, few):
    """Return a folder of files that others may read, and where they may write into ``out``."""
    tmp_path = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    tmp_path.chmod(0o755)
    shutil.copytree(fraud_run.folder / "artefact", tmp_path / "artefact")
    for name in ("clean.csv", "history.csv"):
        shutil.copy(few / name, tmp_path)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    yield tmp_path
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(tmp_path)


def words_of(folder):
    told = ["score", folder / "artefact", folder / "clean.csv", "-o", folder / "out" / "s"]
    return [*told, "--history", folder / "history.csv"]


@pytest.mark.parametrize(
    ("path", "mode", "code", "told"),
    [
        ("clean.csv", 0, 4, r"clean.csv: you may not read it (Permission denied); let the account"),
        ("history.csv", 0, 4, "history.csv: you may not read it (Permission denied); let the"),
        ("artefact/model.skops", 0, 5, "model.skops: cannot be read (Permission denied); let the"),
        ("artefact", 0, 5, "cannot be read (Permission denied); let the account"),
        ("out", 0o555, 2, "you may not write to"),
    ],
)
def test_what_may_not_be_read_or_written(mine, path, mode, code, told):
    (mine / path).chmod(mode)
    done = unprivileged(*words_of(mine))
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    (mine / "out").chmod(0o777)
    assert list((mine / "out").iterdir()) == []


def test_a_dataset_and_a_card_that_may_not_be_read(mine):
    text = (shipped("datasets") / f"{SMALL}.toml").read_text()
    begin, end = text.index("[source]"), text.index("[contract]")
    source = '[source]\nkind = "file"\npath = "history.csv"\n'
    (mine / "own.toml").write_text(text[:begin] + source + text[end:])
    (mine / "own.toml").chmod(0o644)
    (mine / "history.csv").chmod(0)
    for words in (
        ["data", "get", mine / "own.toml"],
        ["data", "show", mine / "own.toml"],
        ["run", "fraud", "--dataset", mine / "own.toml", "--out", mine / "out" / "r"],
    ):
        done = unprivileged(*words)
        assert done.returncode == 4, done.stderr
        assert "history.csv: you may not read it (Permission denied)" in done.stderr
    (mine / "own.toml").chmod(0)
    done = unprivileged("data", "show", mine / "own.toml")
    assert done.returncode == 2, done.stderr
    assert "own.toml: cannot be read: Permission denied" in done.stderr
    assert list((mine / "out").iterdir()) == []


def test_a_folder_in_place_of_a_file(fraud_run, payments, tmp_path, command):
    (tmp_path / "new.csv").mkdir()
    words = ["score", fraud_run.folder / "artefact", tmp_path / "new.csv", "-o", tmp_path / "s"]
    done = command(*words, "--history", payments / "history.csv")
    assert done.code == 4
    assert "new.csv: the folder holds no file .parquet, .csv, .csv.gz" in done.err


KILL = """
import os, signal
from importlib import import_module
def fault(*a, **k): os.kill(os.getpid(), signal.SIGKILL)
module, _, name = "{at}".rpartition(".")
setattr(import_module("fintech_dl." + module), name, fault)
from fintech_dl.cli import main; main()
"""


@pytest.mark.parametrize("at", ["estimators.training.Trainer", "run_files.write_quarantine"])
def test_a_run_that_is_killed(at, tmp_path, command):
    card = tmp_path / "own.toml"
    text = (shipped("pipelines") / "fraud.toml").read_text()
    card.write_text(text[: text.index("[[baseline]]")])
    words = ["run", card, "--dataset", SMALL, "--set", "model__epochs=1", "--out", tmp_path / "r"]
    line = [sys.executable, "-c", KILL.format(at=at), *map(str, words)]
    done = subprocess.run(line, capture_output=True, timeout=180)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "r").exists()
    done = command(*words)
    assert done.code == 0, done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own.toml", "r"]
    assert (tmp_path / "r" / "report.html").is_file()


def test_the_error_is_one_of_writing(tmp_path):
    assert issubclass(DiskFullError, OutputError)
    assert DiskFullError("x").exit_code == 75
