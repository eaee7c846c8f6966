"""The command line: verbs, their text and their JSON, completion, progress, signals."""

import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from datetime import datetime, timedelta
from hashlib import sha256

import pandas as pd
import pytest

import fintech_dl
from fintech_dl import MLP, load_frame
from fintech_dl.cards import dataset_card, names, pipeline_card
from fintech_dl.console import start, working
from fintech_dl.data.frames import read_file
from fintech_dl.folders import shipped
from fintech_dl.scoring.reading import read_quarantine, read_scores

SMALL = "synthetic_card_transactions_small"
VERBS = ("list", "show", "run", "score", "report", "data", "check", "plan", "resume", "status")
VERBS += ("verify", "gc", "monitor", "export")


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
    assert all(re.search(rf"\b{verb} ", said) for verb in VERBS)


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
    tables = {"MLP", "TabM", "RealMLP", "FTTransformer", "Scorecard"}
    windows = {"CNN", "RNN", "LSTM", "GRU", "TCN", "Transformer", "NLinear", "NHiTS", "TSMixer"}
    detectors = {"DiffusionAutoencoder", "DiffusionTime", "MultiView", "ScoreMatching"}
    detectors |= {"DeepSVDD", "DeepSAD", "DevNet", "AER"}
    codes = {"Autoencoder", "DenoisingAutoencoder", "VAE"}
    assert set(found["networks"]) == tables | windows | codes | detectors
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
    alerts = read_scores(tmp_path / "s")["alert"].sum()
    counts = f"1,977 rows read: 1,977 scored, {alerts:,} alerts, 0 quarantined"
    assert text == f"scores  {tmp_path / 's'}\n{counts}\n"


def test_run_in_json(command, quick_card, tmp_path):
    out = tmp_path / "run"
    words = ["run", quick_card, "--dataset", SMALL, "-o", out, "--seed", "3", "--json"]
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


def test_the_search_of_a_card_is_set_by_hand(command, quick_card, tmp_path):
    out = tmp_path / "run"
    words = ["run", quick_card, "--dataset", SMALL, "--out", out, "--search", "--json"]
    words += ["--set", 'search={method="random", space={model__epochs=[1, 2]}}']
    words += ["--set", "split.folds=2", "--set", "search.folds=1", "--set", "search.n_iter=1"]
    words += ["--set", 'model__network={use="fintech_dl.MLP"}', "--set", "model__epochs=1"]
    words += ["--set", "search.space.model__batch_size=[64]"]
    code, _, err = command(*words)
    assert (code, err) == (0, "")
    record = json.loads((out / "metrics.json").read_text())
    assert record["search"]["log"][1]["params"] == {"model__batch_size": 64}
    assert len(record["protocol"]["folds"]) == 2


def test_score_tells_what_was_set_aside(command, fraud_run, payments, tmp_path):
    for name in ("new", "history"):
        frame = pd.read_csv(payments / f"{name}.csv")
        frame.loc[5:6, "amount"] = -1
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    words = ["score", fraud_run.folder / "artefact", tmp_path / "new.csv", "-o", tmp_path / "s"]
    code, text, err = command(*words, "--history", tmp_path / "history.csv")
    assert (code, err) == (0, "")
    first, second, third, last = text.splitlines()
    assert first == "2 rows of the history broke the contract: left out"
    assert second.startswith("quarantined  below_min:amount: 2 rows; ")
    assert "row 6: " in second
    assert third == f"scores  {tmp_path / 's'}"
    assert last.endswith(", 2 quarantined")
    assert read_quarantine(tmp_path / "s")["source_row"].tolist() == [6, 7]


@pytest.mark.parametrize(
    ("words", "complete"),
    [
        ("fintech-dl ru", ["run"]),
        ("fintech-dl run --dat", ["--dataset"]),
        ("fintech-dl sco", ["score"]),
        ("fintech-dl run fraud-u", ["fraud-ulb", "fraud-unsupervised"]),
        ("fintech-dl run fraud --dataset synthetic_card_transactions_", [SMALL]),
        ("fintech-dl show ulb", ["ulb_creditcard_subset"]),
        ("fintech-dl data sh", ["show"]),
        ("fintech-dl data get hand", ["handbook_transactions"]),
    ],
)
def test_words_are_completed(words, complete):
    env = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    env["_FINTECH_DL_COMPLETE"] = "complete_bash"
    code = "import sys; from fintech_dl.cli import main\ntry: main()\nfinally: "
    code += "print(*({'numpy', 'pandas', 'keras'} & set(sys.modules)))"
    done = process(sys.executable, "-c", code, env=env)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, complete, "")


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
@pytest.mark.parametrize("stage", ["runs.make_table", "run_files.write_report"])
def test_a_signal_stops_at_once_and_leaves_nothing(
    number, code, stage, command, quick_card, tmp_path, monkeypatch
):
    def stop(*args, **kwargs):
        os.kill(os.getpid(), number)

    monkeypatch.setattr(f"fintech_dl.{stage}", stop)
    before = sorted(tmp_path.iterdir())
    words = ["--dataset", SMALL, "--set", "model__epochs=1", "--out", tmp_path / "run"]
    done = command("run", quick_card, *words)
    assert done == (code, "", "fintech-dl: stopped; nothing was left half-written\n")
    assert sorted(tmp_path.iterdir()) == before


def test_quiet_prints_where_the_result_is(command, quick_card, payments, tmp_path):
    out = tmp_path / "run"
    words = ["--dataset", SMALL, "--set", "model__epochs=1", "--out", out]
    assert command("run", quick_card, *words, "--quiet") == (0, f"{out}\n", "")
    words = ["score", out / "artefact", payments / "new.csv", "-o", tmp_path / "s"]
    words += ["--history", payments / "history.csv", "-q", "--log", "json"]
    assert command(*words) == (0, f"{tmp_path / 's'}\n", "")
    assert command("report", out, "-q").out == f"{out / 'report.html'}\n"
    assert command("data", "get", SMALL, "-q", "-o", tmp_path / "a.csv").out.endswith("/a.csv\n")


def lines(text):
    """Return JSON lines, each checked for what all hold."""
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        assert datetime.fromisoformat(one["ts"]).utcoffset() == timedelta(0)
        assert one["level"] in ("info", "warning", "error")
        assert one["event"]
    return found


def test_where_there_is_no_terminal_stderr_is_json_lines(quick_card, tmp_path):
    env = {
        k: v for k, v in os.environ.items() if k not in ("FINTECH_DL_LOG", "TF_CPP_MIN_LOG_LEVEL")
    }
    out = tmp_path / "run"
    words = ["--dataset", SMALL, "--set", "model__epochs=1", "--out", out]
    start = [sys.executable, "-m", "fintech_dl"]
    done = process(*start, "run", str(quick_card), *map(str, words), env=env)
    assert done.returncode == 0
    told = lines(done.stderr)
    assert {one["run"] for one in told} == {str(out)}
    shares = [one["share"] for one in told if one["level"] == "info"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert any("fitting NeuralClassifier(MLP)" in one["event"] for one in told)
    words = ["data", "get", "none.toml", "-o", "s.csv"]
    failed = process(*start, *words, env=env)
    (last,) = lines(failed.stderr)
    assert (failed.returncode, last["code"], last["level"], last["out"]) == (2, 2, "error", "s.csv")
    assert "none.toml: there is no such card file" in last["message"]
    text = process(*start, *words, env={**env, "FINTECH_DL_LOG": "text"})
    assert text.stderr == f"fintech-dl: {last['message']}\n"
    over = process(*start, *words, "--log=json", env={**env, "FINTECH_DL_LOG": "text"})
    assert lines(over.stderr)[0]["message"] == last["message"]


def test_errors_in_json_hold_the_whole_text_and_the_trace_on_demand(command, monkeypatch):
    (one,) = lines(command("--log", "json", "run", "frud").err)
    assert (one["event"], one["code"], one["run"]) == ("failed", 2, "frud")
    assert one["message"].startswith("unknown pipeline 'frud'; did you mean 'fraud'?")
    assert "trace" not in one
    (one,) = lines(command("run", "frud", "--log", "json", "--debug").err)
    assert "Traceback" in one["trace"]
    (one,) = lines(command("rnu", "--log=json").err)
    assert "Did you mean 'run'" in one["message"]
    assert command("list", "--log", "loud") == (
        2, "", "fintech-dl: --log: got 'loud', allowed: auto, text, json\n"
    )  # fmt: skip
    monkeypatch.setenv("FINTECH_DL_LOG", "loud")
    assert command("list").code == 2


def test_warnings_become_lines_without_passwords(capsys, monkeypatch):
    def warn():
        warnings.warn("\x1b[1mhttp://me:hidden@host/a?api_key=hidden&b=1 is slow", stacklevel=2)
        logging.getLogger("a.library").warning("low on %s", "memory")

    for log, quiet, n in (("json", False, 2), ("text", False, 2), ("json", True, 0)):
        start(log)
        with warnings.catch_warnings(), working(quiet, out="s"):
            warnings.simplefilter("always")
            warn()
        err = capsys.readouterr().err
        assert len(err.splitlines()) == n
        assert "hidden" not in err
        assert "1mhttp" not in err
        if log == "text":
            assert err.splitlines()[1] == "fintech-dl: warning: low on memory"
        for one in lines(err) if log == "json" else []:
            assert (one["level"], one["out"]) == ("warning", "s")
    assert warnings.showwarning.__module__ != "fintech_dl.console"


def test_report_is_made_again_from_its_numbers_alone(command, fraud_run, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(fraud_run.folder / "metrics.json", run)
    page = (fraud_run.folder / "report.html").read_bytes()
    for before in ("absent", "same", "different"):
        if before == "different":
            (run / "report.html").write_text("changed")
        found = json.loads(command("report", run, "--json").out)
        assert (run / "report.html").read_bytes() == page
        assert found == {
            "report": str(run / "report.html"),
            "sha256": sha256(page).hexdigest(),
            "before": before,
        }
    text = command("report", run).out
    assert text == f"report  {run / 'report.html'}\nsha256  {found['sha256']}\nbefore  same\n"
    assert sorted(path.name for path in run.iterdir()) == ["metrics.json", "report.html"]


def test_the_validation_report_is_made_again_too(command, credit_run, tmp_path):
    for name in ("metrics.json", "validation.json"):
        shutil.copy(credit_run.folder / name, tmp_path)
    text = command("report", tmp_path).out
    page = (credit_run.folder / "validation.html").read_bytes()
    assert (tmp_path / "validation.html").read_bytes() == page
    assert f"report  {tmp_path / 'validation.html'}\nsha256  {sha256(page).hexdigest()}\n" in text
    found = json.loads(command("report", tmp_path, "--json").out)
    assert [found["before"], found["validation"]["before"]] == ["same", "same"]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, 2, "is no folder of a run .there is no metrics.json.; name the folder"),
        ('{"format": 1, "ti', 4, "metrics.json: is damaged .*run the pipeline again"),
        ("[1]", 4, "is damaged .it holds no title"),
        ('{"format": 7, "title": "x"}', 4, "of format 7, this version of fintech_dl reads 1"),
        ('{"format": 1, "title": "x", "models": [3]}', 4, "is damaged .[A-Za-z]+Error: "),
    ],
)
def test_a_record_that_cannot_be_reported(content, code, says, command, tmp_path):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    done = command("report", tmp_path)
    assert (done.code, done.out) == (code, "")
    assert re.search(says, done.err)
    assert not (tmp_path / "report.html").exists()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A dataset card of the user: a file with two good rows and one bad one."""
    folder = tmp_path / "cards"
    folder.mkdir()
    path = folder / "payments.csv"
    path.write_text("No,When,Sum\n1,2020-01-01,5.5\n2,2020-01-02,\n3,2020-01-03,-7\n")
    digest = sha256(path.read_bytes()).hexdigest()
    (folder / "mine.toml").write_text(
        'title = "Mine"\nlicence = "own"\n[source]\nkind = "file"\npath = "payments.csv"\n'
        f'sha256 = "{digest}"\n[contract]\nkey = "id"\ntime = "time"\nmax_quarantined = 0.5\n'
        '[columns]\nid = { source = "No", type = "integer" }\n'
        'time = { source = "When", type = "datetime" }\n'
        'amount = { source = "Sum", type = "number", unit = "EUR", min = 0, nullable = true }\n'
    )
    monkeypatch.setenv("FINTECH_DL_CARDS", str(folder))
    monkeypatch.delenv("FINTECH_DL_DATA", raising=False)
    return path


def test_data_list(command, own):
    found = {one["name"]: one for one in json.loads(command("data", "list", "--json").out)}
    assert list(found) == names("datasets")
    assert found["mine"] == {
        "name": "mine", "title": "Mine", "source": "file", "present": True, "path": str(own),
        "bytes": own.stat().st_size, "licence": "own",
    }  # fmt: skip
    absent = found["handbook_transactions"]
    assert (absent["present"], absent["path"]) == (False, None)
    assert found[SMALL]["present"]
    (own.parent / "broken.toml").write_text("title = ")
    text = command("data", "list").out
    assert re.search(rf"^mine +file +{re.escape(str(own))} +0.0 MB +own$", text, re.MULTILINE)
    assert re.search(r"^handbook_transactions +file +absent", text, re.MULTILINE)
    assert re.search(rf"^{SMALL} +synthetic +made on the spot", text, re.MULTILINE)
    assert re.search(r"^broken +broken card", text, re.MULTILINE)


def test_data_show(command, own):
    found = json.loads(command("data", "show", "mine", "--json", "--rows", "1").out)
    assert (found["rows_read"], found["rows_used"], found["rows_quarantined"]) == (3, 2, 1)
    assert found["quarantine_reasons"] == {"below_min:amount": 1}
    time, amount = found["columns"][1:]
    assert (time["min"], time["max"]) == ("2020-01-01T00:00:00", "2020-01-02T00:00:00")
    assert (amount["in_file"], amount["unit"], amount["min"], amount["max"]) == (
        "Sum", "EUR", 5.5, 5.5
    )  # fmt: skip
    assert (amount["missing_share"], amount["values"]) == (0.5, 1)
    assert found["first_rows"] == [{"id": 1, "time": "2020-01-01T00:00:00.000", "amount": 5.5}]
    text = command("data", "show", "mine").out
    assert "Mine: 3 rows, 2 used" in text
    assert re.search(r"^amount +Sum +number +EUR +5.5 +5.5 +1 +0.5$", text, re.MULTILINE)
    assert "1 rows quarantined\n  below_min:amount: 1\n" in text
    assert command("data", "show", "non").code == 2


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
@pytest.mark.parametrize("name", ["mine", "synthetic_card_components"])
def test_data_get_writes_what_the_card_can_read_again(name, ending, command, own, tmp_path):
    out = tmp_path / f"rows.{ending}"
    code, text, err = command("data", "get", name, "-o", out, "--json")
    assert (code, err) == (0, "")
    found = json.loads(text)
    again, clean = read_file(out, name), load_frame(name)
    pd.testing.assert_frame_equal(again.frame, clean)
    assert len(again.quarantined) == 0
    assert (found["out"], found["rows"], found["licence"]) == (
        str(out), len(clean), dataset_card(name).licence
    )  # fmt: skip
    before = out.read_bytes()
    assert command("data", "get", name, "-o", out).code == 2  # nothing is overwritten
    assert out.read_bytes() == before


def test_data_get_verifies_the_file(command, own, tmp_path):
    found = json.loads(command("data", "get", "mine", "--json").out)
    assert (found["path"], found["bytes"]) == (str(own), own.stat().st_size)
    assert found["sha256"] == dataset_card("mine").source.sha256
    assert command("data", "get", "mine", "-q").out == f"{own}\n"
    assert "made on the spot; write it to a file with -o" in command("data", "get", SMALL).out
    assert command("data", "get", "mine", "-o", tmp_path / "rows.xls").code == 2
    own.write_text("changed")
    done = command("data", "get", "mine")
    assert done.code == 4
    assert "not the file of the dataset card" in done.err
    assert command("data", "get", "handbook_transactions").code == 4


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """Return a part that a killed download left two days ago, beside what is not to be touched."""
    cache = tmp_path / "downloads"
    cache.mkdir()
    monkeypatch.setenv("FINTECH_DL_CACHE", str(cache))
    for name, hours in ((".a.csv.77.part", 48), (".b.csv.78.part", 2), ("c.part", 48), ("d", 48)):
        (cache / name).write_bytes(bytes(1_500_000))
        os.utime(cache / name, (time.time() - 3600 * hours,) * 2)
    (cache / ".e.csv.79.part").symlink_to(cache / "d")
    os.utime(cache / ".e.csv.79.part", (0, 0), follow_symlinks=False)
    return cache / ".a.csv.77.part"


@pytest.mark.parametrize("name", ["mine", SMALL])
def test_what_killed_downloads_left_is_told_and_removed(command, own, killed, name):
    others = sorted(path.name for path in killed.parent.iterdir() if path != killed)
    told = "left by downloads that were killed; the next fintech-dl data get removes it"
    assert f"{told}\n  {killed}: 1.5 MB\n" in command("data", "show", name).out
    found = json.loads(command("data", "show", name, "--json").out)
    assert found["leftovers"] == {str(killed): 1_500_000}
    assert json.loads(command("data", "get", name, "--json").out)["removed"] == [str(killed)]
    assert sorted(path.name for path in killed.parent.iterdir()) == others
    assert "removed" not in json.loads(command("data", "get", name, "--json").out)
    assert told not in command("data", "show", name).out


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
        start()
        with working() as tell:
            tell("fitting", 0.5)
        assert terminal.getvalue() == ""


def test_threads_do_not_spin_while_they_wait(command, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    command("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    command("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
