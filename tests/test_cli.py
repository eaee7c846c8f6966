"""The command line: verbs, their text and their JSON, completion, progress, signals."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib

import pandas as pd
import pytest

import fintech_dl
from fintech_dl import MLP
from fintech_dl.cards import dataset_card, names, pipeline_card
from fintech_dl.cli import _Progress
from fintech_dl.folders import shipped

SMALL = "synthetic_card_transactions_small"


def process(*words, **options):
    """Run the command line in a process of its own."""
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def quick_card(tmp_path, quick_fraud):
    """Write the quick fraud card to a file, for verbs that read one."""
    text = (shipped("pipelines") / "fraud.toml").read_text()
    own = tomllib.loads(text)
    head = text[: text.index("[[baseline]]")]
    assert "[decision]" in head
    assert own["baseline"]
    path = tmp_path / "quick.toml"
    prior = '[[baseline]]\nuse = "sklearn.dummy.DummyClassifier"\ntitle = "The prior alone"\n'
    path.write_text(head + prior)
    return path


def test_version_and_help(command):
    assert command("--version") == (0, f"fintech-dl {fintech_dl.__version__}\n", "")
    for words in (["--help"], ["-h"], ["run", "--help"], ["score", "-h"]):
        code, out, err = command(*words)
        assert (code, err) == (0, "")
        assert "Usage: fintech-dl" in out
    said = command("--help").out
    assert all(re.search(rf"\b{verb} ", said) for verb in ("list", "show", "run", "score"))


def test_no_words_print_the_help(command):
    code, out, err = command()
    assert code == 2
    assert "Usage: fintech-dl" in out + err
    assert "fintech-dl: " not in err


@pytest.mark.parametrize(
    "start", [["-m", "fintech_dl"], ["-c", "import fintech_dl.cli as c; c.main()"]]
)
def test_it_runs_as_a_module(start):
    done = process(sys.executable, *start, "--version")
    assert (done.returncode, done.stdout) == (0, f"fintech-dl {fintech_dl.__version__}\n")


def test_list(command):
    found = json.loads(command("list", "--json").out)
    assert list(found) == ["pipelines", "datasets", "networks"]
    assert found["pipelines"] == {n: pipeline_card(n).question for n in names("pipelines")}
    assert found["datasets"] == {n: dataset_card(n).title for n in names("datasets")}
    assert set(found["networks"]) == {"MLP", "CNN", "RNN", "LSTM", "GRU", "Autoencoder"}
    code, out, err = command("list")
    assert (code, err) == (0, "")
    for kind, entries in found.items():
        assert re.search(rf"^{kind} \(", out, re.MULTILINE)
        for name, text in entries.items():
            assert re.search(rf"^  {re.escape(name)} +{re.escape(text)}$", out, re.MULTILINE)


def test_a_broken_card_does_not_hide_the_others(command, tmp_path, monkeypatch):
    (tmp_path / "broken.toml").write_text("title = ")
    (tmp_path / "mine.toml").write_text('title = "Mine"\nquestion = "Which?"\n')
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path))
    found = json.loads(command("list", "--json").out)
    assert found["pipelines"]["broken"].startswith("cannot be used: ")
    assert "not valid TOML" in found["datasets"]["broken"]
    assert "the key 'dataset' is missing" in found["pipelines"]["mine"]
    assert found["pipelines"]["fraud"] == pipeline_card("fraud").question


def test_show(command, tmp_path, quick_card):
    found = json.loads(command("show", "fraud", "--json").out)
    assert (found["kind"], found["name"], found["dataset"]) == (
        "pipeline", "fraud", "synthetic_card_transactions"
    )  # fmt: skip
    assert found["step"] == pipeline_card("fraud").step
    data = json.loads(command("show", SMALL, "--json").out)
    assert (data["kind"], data["columns"]["amount"]["unit"]) == ("dataset", "EUR")
    code, out, err = command("show", "fraud")
    assert (code, err) == (0, "")
    assert "question: Which of today's card transactions" in out
    assert "  kind: prequential" in out
    assert "None" not in out
    assert "EUR" in command("show", SMALL).out
    own = json.loads(command("show", quick_card, "--json").out)
    assert (own["kind"], own["name"], len(own["baseline"])) == ("pipeline", "quick", 1)
    card = tmp_path / "own.toml"
    card.write_text((shipped("datasets") / f"{SMALL}.toml").read_text())
    assert json.loads(command("show", card, "--json").out)["kind"] == "dataset"
    card.write_text("title = ")
    assert command("show", card).code == 2
    assert "not valid TOML" in command("show", card).err
    assert "cannot be read" in command("show", tmp_path / "none.toml").err


def test_run_and_score_print_where_the_results_are(command, quick_card, payments, tmp_path):
    out = tmp_path / "run"
    words = ["run", quick_card, "--dataset", SMALL, "--set", "model__epochs=1", "--out", out]
    code, text, err = command(*words)
    assert (code, err) == (0, "")
    record = json.loads((out / "metrics.json").read_text())
    assert record["question"] in text
    assert record["verdict"]["text"] in text
    for title in ("NeuralClassifier(MLP)", "The prior alone"):
        assert re.search(rf"^{re.escape(title)} +[.\d]+ \[", text, re.MULTILINE)
    for name in ("report.html", "artefact"):
        assert f"{out / name}\n" in text
        assert (out / name).exists()
    line = text.strip().splitlines()[-1].strip()
    assert line == f"fintech-dl score {out}/artefact FILE -o FOLDER --history PAST"
    told = {
        "FILE": payments / "new.csv",
        "FOLDER": tmp_path / "s",
        "PAST": payments / "history.csv",
    }
    code, text, err = command(*[told.get(word, word) for word in line.split()[1:]])
    assert (code, err) == (0, "")
    scores = pd.read_parquet(tmp_path / "s" / "scores.parquet")
    counts = f"1,977 rows read: 1,977 scored, {scores['alert'].sum():,} alerts, 0 quarantined"
    assert text == f"{counts}\nscores  {tmp_path / 's' / 'scores.parquet'}\n"


def test_run_in_json(command, quick_card, tmp_path):
    out = tmp_path / "run"
    words = ["run", quick_card, "--dataset", SMALL, "--out", out, "--seed", "3", "--json"]
    words += ["--set", "model__epochs=1", "--set", 'model__network={use="fintech_dl.MLP"}']
    words += ["--set", "split.gap=5d", "--set", "title=Own title"]
    code, text, err = command(*words)
    assert (code, err) == (0, "")
    found = json.loads(text)
    record = json.loads((out / "metrics.json").read_text())
    assert found["folder"] == str(out)
    assert found["pipeline"] == "quick"
    assert found["seed"] == record["seed"] == 3
    assert found["metrics"]["model"] == record["models"][0]["metrics"]
    assert found["verdict"] == record["verdict"]
    assert record["title"] == "Own title"
    assert "wait 5d" in record["protocol"]["text"]
    assert record["training"]["settings"]["network"] == repr(MLP())


def test_score_tells_what_was_set_aside(command, fraud_run, payments, tmp_path):
    for name in ("new", "history"):
        frame = pd.read_csv(payments / f"{name}.csv")
        frame.loc[5:6, "amount"] = -1
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    words = ["score", fraud_run.folder / "artefact", tmp_path / "new.csv", "-o", tmp_path / "s"]
    code, text, err = command(*words, "--history", tmp_path / "history.csv")
    assert (code, err) == (0, "")
    first, second, *rest = text.splitlines()
    assert first.endswith(", 2 quarantined")
    assert second == "2 rows of the history broke the contract: left out"
    assert rest == [
        f"scores  {tmp_path / 's' / 'scores.parquet'}",
        f"quarantine  {tmp_path / 's' / 'quarantine.csv'}",
    ]


@pytest.mark.parametrize(
    ("words", "complete"),
    [("fintech-dl ru", "run"), ("fintech-dl run --dat", "--dataset"), ("fintech-dl sco", "score")],
)
def test_words_are_completed(words, complete):
    env = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    env["_FINTECH_DL_COMPLETE"] = "complete_bash"
    done = process(sys.executable, "-m", "fintech_dl", env=env)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [complete], "")


def test_errors_have_their_code_and_a_trace_only_on_demand(command, monkeypatch):
    code, out, err = command("run", "frud")
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    code, out, err = command("--debug", "run", "frud")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("fintech-dl: unknown pipeline 'frud'")


def test_what_nobody_foresaw_is_said_to_be_so(command, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("one by none")

    monkeypatch.setattr("fintech_dl.cards.pipeline_card", fail)
    code, out, err = command("run", "fraud")
    assert (code, out) == (1, "")
    assert err == (
        "fintech-dl: ZeroDivisionError: one by none\nThis was not foreseen. Run it again as "
        "`fintech-dl --debug ...` to see where it happened\n"
    )
    assert "in fail" in command("--debug", "run", "fraud").err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stage", ["make_table", "write_report"])
def test_a_signal_stops_at_once_and_leaves_nothing(
    number, code, stage, command, quick_card, tmp_path, monkeypatch
):
    def stop(*args, **kwargs):
        os.kill(os.getpid(), number)

    monkeypatch.setattr(f"fintech_dl.runs.{stage}", stop)
    before = sorted(tmp_path.iterdir())
    words = ["--dataset", SMALL, "--set", "model__epochs=1", "--out", tmp_path / "run"]
    done = command("run", quick_card, *words)
    assert done == (code, "", "fintech-dl: stopped; nothing was left half-written\n")
    assert sorted(tmp_path.iterdir()) == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_only(command, quick_card, tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    words = ["--dataset", SMALL, "--set", "model__epochs=1", "--out", tmp_path / "run"]
    assert command("run", quick_card, *words).code == 0
    assert "fitting NeuralClassifier(MLP)" in terminal.getvalue()
    terminal.truncate(0)
    for kind, is_terminal in (("dumb", True), ("xterm", False)):
        monkeypatch.setenv("TERM", kind)
        monkeypatch.setattr(Terminal, "isatty", lambda self, told=is_terminal: told)
        with _Progress() as tell:
            tell("fitting", 0.5)
        assert terminal.getvalue() == ""


def test_threads_do_not_spin_while_they_wait(command, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    command("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    command("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
