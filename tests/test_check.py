"""`fintech-dl check`: one line for each thing, and the exit code that follows from them."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement

from fintech_dl import check, sealed
from fintech_dl.artefact import read_sealed
from fintech_dl.cards import names
from fintech_dl.estimators.ranker import LONGEST
from fintech_dl.evaluation.leak_cases import CHECKS
from fintech_dl.folders import shipped

TRIED = [(name, ("ok", "on it")) for name in names("pipelines")]


def status(found, part, name):
    (one,) = [one for one in found if (one["part"], one["name"]) == (part, name)]
    return one["status"], one["text"]


@pytest.fixture
def quick(monkeypatch):
    """Replace the processes, which take seconds each, by what they would answer."""

    def answer(code, *words, **environment):
        return 0, json.dumps(dict(TRIED)) if code == check.TRY_CARDS else "", ""

    monkeypatch.setattr(check, "_process", answer)


def test_all_is_well_here(command):
    """Nothing is replaced: both backends train and every shipped card is tried."""
    done = command("check", "--json")
    assert done.code == 0, done.out
    found = json.loads(done.out)
    assert found["counts"]["failed"] == 0
    assert sum(found["counts"].values()) == len(found["checks"])
    for backend in ("tensorflow", "jax"):
        assert status(found["checks"], "backend", backend) == ("ok", "trains a small network")
    for name in names("pipelines"):
        assert status(found["checks"], "pipeline", name)[0] == "ok"
    assert status(found["checks"], "installation", "numpy") == ("ok", version("numpy"))
    for name in names("datasets"):
        assert status(found["checks"], "dataset", name)[0] in ("ok", "warning")


def test_keras_stays_out_of_its_own_process(fraud_run):
    code = (
        "import sys; from fintech_dl import check\n"
        "check._process = lambda *a, **k: (1, '', 'left out')\n"
        f"print([one['status'] for one in check.findings([{str(fraud_run.folder)!r}])][-1])\n"
        "print(*({'keras', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["ok"], done.stderr


def test_one_line_each_and_what_is_not_in_order_alone(command, quick, monkeypatch):
    def absent(name):
        if name in ("lightgbm", "skops"):
            raise PackageNotFoundError(name)
        return "1.0" if name == "numpy" else version(name)

    monkeypatch.delenv("FINTECH_DL_DATA", raising=False)
    monkeypatch.setattr(check, "version", absent)
    code, out, err = command("check")
    lines = out.splitlines()
    assert code == 2
    assert err.startswith("fintech-dl: 2 of ")
    assert "checks failed: installation numpy, installation skops\n" in err
    needed = {(r := Requirement(line)).name: r.specifier for line in check.requires("fintech-dl")}
    text = f'1.0 does not fit {needed["numpy"]}; use: pip install "numpy{needed["numpy"]}"'
    assert f"failed   installation numpy: {text}" in lines
    assert 'failed   installation skops: is not installed; use: pip install "skops>=0.13"' in lines
    [extra] = [line for line in lines if line.startswith("warning  installation extra baselines: ")]
    assert extra.endswith('lightgbm is not installed; use: pip install "fintech-dl[baselines]"')
    assert any(line.startswith("warning  dataset handbook_transactions: ") for line in lines)
    counts = [sum(line.startswith(f"{s} ") for line in lines) for s in ("ok", "warning", "failed")]
    several = "" if counts[1] == 1 else "s"
    assert lines[-1] == f"{counts[0]} ok, {counts[1]} warning{several}, {counts[2]} failed"
    assert counts[2] == 2
    quiet = command("check", "--quiet").out.splitlines()
    assert quiet == [line for line in lines[:-1] if not line.startswith("ok")]


def test_what_killed_downloads_left_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("FINTECH_DL_CACHE", str(tmp_path))
    assert not [one for one in check._datasets() if one["name"] == "(cache)"]
    (tmp_path / ".rows.csv.7.part").write_bytes(bytes(2_000_000))
    assert not [one for one in check._datasets() if one["name"] == "(cache)"]
    os.utime(tmp_path / ".rows.csv.7.part", (0, 0))
    state, text = status(list(check._datasets()), "dataset", "(cache)")
    assert state == "warning"
    assert text.startswith(f"2.0 MB in {tmp_path} left by downloads that were killed; the next")


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["ok", "warning", "ok"], "2 ok, 1 warning, 0 failed"),
        (["warning", "warning"], "0 ok, 2 warnings, 0 failed"),
        (["ok"], "1 ok, 0 warnings, 0 failed"),
    ],
)
def test_the_last_line_counts_in_good_english(command, monkeypatch, states, said):
    found = [check._finding("dataset", "d", state, "text") for state in states]
    monkeypatch.setattr(check, "findings", lambda artefacts: iter(found))
    assert command("check").out.splitlines()[-1] == said


def test_strict_makes_warnings_count(command, quick, monkeypatch):
    monkeypatch.delenv("FINTECH_DL_DATA", raising=False)
    assert command("check").code == 0
    code, out, err = command("check", "--strict")
    assert code == 3
    assert "checks ended with a warning" in err
    assert "FINTECH_DL_DATA" in out


def test_a_backend_that_fails_or_hangs(monkeypatch):
    monkeypatch.setattr(check, "TRAIN", "raise SystemExit('no driver')")
    found = check._backend("jax")
    assert found["status"] == "failed"
    assert 'no driver; use: pip install "fintech-dl[jax]"' in found["text"]
    monkeypatch.setattr(check, "TRAIN", "import time; time.sleep(60)")
    monkeypatch.setattr(check, "SECONDS", 1)
    assert "not done after 1 s" in check._backend("jax")["text"]
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    found = check._backend("jax")
    assert (found["status"], found["text"]) == ("skipped", "not installed")


GOOD = """
title = "Mine"
question = "Which?"
dataset = "synthetic_card_transactions_small"
metrics = ["average_precision"]
history = "37d"
[table]
use = "transactions.card_history"
[split]
kind = "prequential"
train = "7d"
test = "7d"
[[step]]
name = "model"
use = "sklearn.linear_model.LogisticRegression"
[[baseline]]
use = "sklearn.dummy.DummyClassifier"
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("", "", ""),
        ('"synthetic_card', '"synthetc_card', "did you mean 'synthetic_card_transactions_small'"),
        ("card_history", "card_histroy", "did you mean 'transactions.card_history'"),
        ('history"\n', 'history"\ndelay_day = 3\n', "no parameter 'delay_day'"),
        ('"37d"', '"3d"', "looks back"),
        ("average_", "averge_", "'averge_precision'"),
        ("LogisticR", "LogistcR", "did you mean 'LogisticRegression'"),
        ("DummyC", "DumyC", "did you mean 'DummyClassifier'"),
        ("question", "qestion", "'qestion'; did you mean 'question'"),
    ],
)
def test_a_card_is_tried_to_the_last_name_in_it(old, new, says, tmp_path, monkeypatch):
    assert old in GOOD
    (tmp_path / "mine.toml").write_text(GOOD.replace(old, new, 1) if old else GOOD)
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path))
    state, text = check.try_card(tmp_path / "mine.toml")
    assert state == ("failed" if says else "ok"), text
    assert says in text


def test_a_card_whose_library_is_absent_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("sklearn.dummy.DummyClassifier", "lightgbm.LGBMClassifier"))
    state, text = check.try_card(path)
    assert state == "warning"
    assert "fintech-dl[baselines]" in text


def test_broken_cards_are_found_among_the_others(command, quick, tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mine.toml").write_text("title = ")
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path))
    code, out, _ = command("check", "--json")
    assert code == 2
    found = json.loads(out)["checks"]
    assert "not valid TOML" in status(found, "dataset", "mine")[1]
    assert status(found, "dataset", "synthetic_card_transactions")[0] == "ok"


def test_artefacts(command, quick, fraud_run, tmp_path):
    good = fraud_run.folder / "artefact"
    changed = shutil.copytree(good, tmp_path / "changed")
    (changed / "cards.json").write_text("{}")
    code, out, _ = command("check", fraud_run.folder, good, "--json")
    assert code == 0
    told = [(one["part"], one["name"]) for one in json.loads(out)["checks"]]
    assert {part for part, _ in told} == {"installation", "artefact"}  # what scoring needs, alone
    assert not [name for _, name in told if name.startswith("extra ")]
    for text in [one["text"] for one in json.loads(out)["checks"][-2:]]:
        assert text.startswith(f"digest {read_sealed(good).seal[:12]}, ")
        assert "records cards, " in text
    code, out, err = command("check", good, changed, tmp_path, "--json")
    assert code == 5
    assert "2 of " in err
    one, two, three = json.loads(out)["checks"][-3:]
    assert [x["status"] for x in (one, two, three)] == ["ok", "failed", "failed"]
    assert "cards.json: changed since it was saved" in two["text"]
    assert "is no artefact" in three["text"]


def test_a_graph_needs_its_proof(fraud_run, tmp_path):
    files = sealed.read_files(fraud_run.folder / "artefact")
    records = {"cards.json": files["cards.json"], "metrics.json": files["metrics.json"]}
    model = {"model.skops": files["model.skops"]}
    parity = json.loads(files["parity.json"])
    failed = json.dumps({**parity, "passed": False, "reason": "too far off"}).encode()
    graph = {"model.onnx": files["model.onnx"], "graph.json": files["graph.json"]}
    for name, held, state, says in (
        ("proven", files, "ok", rf"model.onnx within \S+ on {parity['rows']:,} rows"),
        ("plain", {**model, **records}, "ok", "records cards, metrics$"),
        ("absent", {**model, **records, **graph}, "failed", "holds no parity.json"),
        ("failed", {**model, **graph, "parity.json": failed}, "failed", "does not say that"),
        ("left out", {**model, "parity.json": failed}, "warning", "needs Keras: too far off"),
    ):
        sealed.write_files(tmp_path / name, held)
        found = check._artefact(tmp_path / name)
        assert found["status"] == state, found
        assert re.search(says, found["text"]), found


QUICK = """
title = "Volatility"
question = "How large will it be?"
dataset = "synthetic_garch_panel_small"
history = "160d"
metrics = ["qlike"]
forecast = { kind = "volatility" }
table = { use = "volatility.har", variance = "close_to_close", forms = ["log"] }
split = { kind = "holdout" }
[[step]]
name = "model"
use = "fintech_dl.evaluation.volatility_baselines.LogHAR"
"""


def test_a_pipeline_of_forecasts_is_checked_for_leaks(tmp_path, monkeypatch):
    monkeypatch.setattr("fintech_dl.evaluation.forecast_leaks.MARKETS", 1)
    (tmp_path / "mine.toml").write_text(QUICK)
    found = {name: passed for name, passed, _ in check.try_leaks(str(tmp_path / "mine.toml"))}
    assert len(found) == 10
    assert found["future"] is found["truncated history"] is found["label ends"] is True
    assert found["noise"] is not None
    given = QUICK.replace("close_to_close", "rv")  # which random prices alone leave as it is
    (tmp_path / "given.toml").write_text(given)
    found = {name: text for name, _, text in check.try_leaks(str(tmp_path / "given.toml"))}
    assert found["noise"].startswith("0 of 1 random walks were forecast")
    assert found["planted signal"].startswith("a planted drift and volatility are found with t = ")
    assert check.try_leaks("fraud") == [
        ("card", None, "no [forecast]: its leaks are not looked for")
    ]
    (name, passed, text) = check.try_leaks(str(tmp_path / "none.toml"))[0]
    assert (name, passed) == ("card", False)
    assert "there is no such card file" in text


def test_a_shipped_ranker_is_checked_with_its_own_model(command, tmp_path, monkeypatch):
    """On fewer stocks and in fewer epochs; groups of more than a date would be refused."""

    def answer(code, *words, **options):
        found = check.try_leaks(*words) if code == check.TRY_LEAKS else dict(TRIED)
        return 0, json.dumps(found), ""

    monkeypatch.setattr(check, "_process", answer)
    monkeypatch.setattr("fintech_dl.evaluation.forecast_leaks.MARKETS", 1)
    monkeypatch.setitem(LONGEST, "ic", 8)
    card = (shipped("pipelines") / "stock-ranking.toml").read_text()
    for old, new in (
        ('"synthetic_stocks"', '"synthetic_stocks_small"'),
        ("horizon = 5", "horizon = 5\nwindows = [5]"),
        ("epochs = 30", "epochs = 2"),
        ("n_members = 3", "n_members = 1"),
    ):
        assert card.count(old) == 1
        card = card.replace(old, new)
    (tmp_path / "small.toml").write_text(card)
    found = json.loads(command("check", tmp_path / "small.toml", "--json").out)
    leaks = {
        one["name"].rpartition(": ")[2]: one for one in found["checks"] if one["part"] == "leak"
    }
    assert list(leaks) == list(CHECKS)
    told = {name: one["status"] for name, one in leaks.items()}
    assert told.pop("follower") == "skipped"
    for luck in ("planted signal", "implausible"):  # of two epochs on a year of eight stocks
        assert told.pop(luck) in ("ok", "failed")
    assert set(told.values()) == {"ok"}
    assert leaks["follower"]["text"].startswith("scores that only order assets have no scale")
    assert found["counts"]["skipped"] >= 1


def test_a_leak_fails_the_check_and_what_was_not_run_is_skipped(command, monkeypatch):
    answers = json.dumps([["future", False, "tomorrow is known"], ["noise", None, "no long bars"]])
    monkeypatch.setattr(check, "_process", lambda *words, **options: (0, f"noise\n{answers}", ""))
    found = list(check._leaks("volatility"))
    assert [(one["part"], one["name"], one["status"]) for one in found] == [
        ("leak", "volatility: future", "failed"),
        ("leak", "volatility: noise", "skipped"),
    ]
    monkeypatch.setattr(check, "findings", lambda artefacts: iter(found))
    lines = command("check").out.splitlines()
    assert lines[-2:] == [
        "skipped  leak volatility: noise: no long bars",
        "0 ok, 1 skipped, 0 warnings, 1 failed",
    ]
    assert "skipped" not in command("check", "--quiet").out
    monkeypatch.setattr(check, "_process", lambda *words, **options: (1, "", "Killed"))
    assert next(iter(check._leaks("volatility")))["text"] == "the checks broke off: Killed"
