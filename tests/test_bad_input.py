"""Every bad input: one clear message, the right exit code, nothing half-written."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from fintech_dl.folders import shipped
from fintech_dl.scoring.manifest import latest, read_manifest
from fintech_dl.scoring.reading import read_quarantine, read_scores

SMALL = "synthetic_card_transactions_small"
DONE, USAGE, DATA, ARTEFACT, STOPPED = 0, 2, 4, 5, 130

# ---- arrangements: each is a function of the place that prepares files and returns a command ----


@dataclass
class Place:
    """Where a case prepares its files: ``out`` does not exist yet."""

    folder: Path
    payments: Path
    artefact: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def out(self):
        return self.folder / "out" / "result"

    def run(self, *words, pipeline="fraud", dataset=SMALL):
        return ["run", pipeline, "--dataset", dataset, "--out", self.out, *words]

    def score(self, *words, artefact="", new="", history=""):
        new, past = new or self.payments / "new.csv", history or self.payments / "history.csv"
        words = words or ("--history", past)
        return ["score", artefact or self.artefact, new, "-o", self.out, *words]


def words(*told):
    return lambda place: told


def run(*told, **named):
    return lambda place: place.run(*told, **named)


def put(*values):
    return run(*(word for value in values for word in ("--set", value)))


def score(*told):
    return lambda place: place.score(*told)


def card(old, new, kind="pipelines", name="fraud"):
    """Run the fraud card, or a dataset card, with a few words changed."""

    def arrange(place):
        text = (shipped(kind) / f"{name}.toml").read_text()
        assert old in text
        path = place.folder / "mine.toml"
        path.write_text(text.replace(old, new, 1))
        return place.run(**{kind[:-1]: path})

    return arrange


def columns(old, new):
    return card(old, new, "datasets", SMALL)


def dataset(write, suffix="csv", sha256=""):
    """Run on a file of one's own, read through a card of one's own."""

    def arrange(place):
        text = (shipped("datasets") / f"{SMALL}.toml").read_text()
        begin, end = text.index("[source]"), text.index("[contract]")
        source = f'[source]\nkind = "file"\npath = "own.{suffix}"\nsha256 = "{sha256}"\n'
        (place.folder / "own.toml").write_text(text[:begin] + source + text[end:])
        shutil.copy(place.payments / f"history.{suffix}", place.folder / f"own.{suffix}")
        write(place.folder / f"own.{suffix}")
        return place.run("--set", "split.start=2018-07-05", dataset=place.folder / "own.toml")

    return arrange


def rows(change):
    """Rewrite a file of rows."""

    def write(path):
        parquet = path.suffix == ".parquet"
        frame = change(pd.read_parquet(path) if parquet else pd.read_csv(path, dtype=str))
        frame.to_parquet(path) if parquet else frame.to_csv(path, index=False)

    return write


def cell(name, value, where=slice(None)):
    """Rewrite cells of one column."""

    def change(frame):
        column = frame[name].astype(object)
        column[where] = value
        return frame.assign(**{name: column})

    return rows(change)


def changed(kind, write, suffix="csv"):
    """Score, with the file of new rows or of the history changed."""

    def arrange(place):
        path = place.folder / f"{kind}.{suffix}"
        shutil.copy(place.payments / path.name, path)
        write(path)
        return place.score(**{kind: path})

    return arrange


def new(write, suffix="csv"):
    return changed("new", write, suffix)


def last(**cells):
    """Score with cells of the last row changed."""

    def change(frame):
        frame.loc[frame.index[-1], list(cells)] = list(cells.values())
        return frame

    return new(rows(change))


def history(write, suffix="csv"):
    return changed("history", write, suffix)


def artefact(change, *told):
    """Score with a copy of the artefact that is changed."""

    def arrange(place):
        copy = place.folder / "artefact"
        shutil.copytree(place.artefact, copy)
        change(copy)
        return [*place.score(artefact=copy), *told]

    return arrange


def byte(name, share):
    """Score with one bit of an artefact's file turned over."""

    def change(folder):
        data = bytearray((folder / name).read_bytes())
        data[int(share * (len(data) - 1))] ^= 1
        (folder / name).write_bytes(data)

    return artefact(change)


def foreign_type(folder):
    """Put in place a model that would run a shell command, with digests that fit."""
    data = skops.io.dumps(FunctionTransformer(os.system))
    (folder / "model.skops").write_bytes(data)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["files"]["model.skops"] = entry
    for name in ("model.onnx", "graph.json", "parity.json"):  # with a graph, no model is read
        if manifest["files"].pop(name, None):
            (folder / name).unlink()
    del manifest["seal"]
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    manifest["seal"] = hashlib.sha256(text.encode()).hexdigest()
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    (folder / "MANIFEST.json").write_text(text)


def first(change, arrange):
    """Do something in the place before the arrangement."""

    def both(place):
        change(place)
        return arrange(place)

    return both


def without(library, arrange):
    """Hide a library, as if it were not installed."""
    return first(lambda place: place.monkeypatch.setitem(sys.modules, library, None), arrange)


def occupied(arrange):
    return first(lambda place: (place.out.mkdir(), (place.out / "kept").touch()), arrange)


def locked(arrange):
    return first(lambda place: place.out.parent.chmod(0o555), arrange)


def truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


# ---- ways to run a command other than in this process ----


def unprivileged(told):
    """Run as a user who owns nothing; whatever is needed is imported before."""
    code = (
        "import os, fintech_dl.runs, fintech_dl.scoring.jobs; from fintech_dl.cli import main\n"
        "from fintech_dl.scoring import engine, feature_stage, landing, preparing, workers\n"
        "fintech_dl.runs.pipeline_card('fraud')\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "main()"
    )
    line = [sys.executable, "-c", code, *map(str, told)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def interrupted(told):
    """Press Ctrl-C in the second epoch."""
    line = [sys.executable, "-m", "fintech_dl", *map(str, told)]
    process = subprocess.Popen(line, stdout=-1, stderr=-1, text=True)
    next(text for text in process.stdout if "epoch 2/" in text)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    return process.returncode, "", err


BAD: dict[str, tuple[Any, ...]] = {
    # name: arrangement, exit code, what the message says, and how it is run
    "unknown pipeline": (words("run", "frud"), USAGE, "pipeline 'frud'; did you mean 'fraud'?"),
    "unknown dataset": (run(dataset=SMALL[:-1]), USAGE, f"did you mean '{SMALL}'?"),
    "unknown name": (words("show", "frad"), USAGE, "'frad'; did you mean 'fraud'?"),
    "no such card file": (run(pipeline="a.toml"), USAGE, "a.toml: there is no such card file"),
    "card is no TOML": (card("[split]", "[split"), USAGE, "mine.toml: not valid TOML: "),
    "misspelt key": (card("history", "histroy"), USAGE, "'histroy'; did you mean 'history'?"),
    "misspelt key of [split]": (card("train =", "trian ="), USAGE, "did you mean 'train'?"),
    "misspelt key of [table]": (card("delay_days", "delay_day"), USAGE, "mean 'delay_days'?"),
    "misspelt key of [decision]": (card("false_a", "flase_a"), USAGE, "mean 'false_alarm'?"),
    "misspelt key of [[step]]": (card("network", "netwrok"), USAGE, "did you mean 'network'?"),
    "misspelt key of a network": (card("units", "unist"), USAGE, "MLP has no .* mean 'units'?"),
    "misspelt key of [[baseline]]": (card("max_iter", "max_itr"), USAGE, "mean 'max_iter'?"),
    "misspelt key of [test]": (card("[test]", "[test]\nepoch = 1"), USAGE, "mean 'epochs'?"),
    "misspelt class": (card("NeuralC", "NeurlC"), USAGE, "did you mean 'NeuralClassifier'?"),
    "misspelt metric": (card('"savings"', '"savngs"'), USAGE, "'savngs'.*'?savings'?"),
    "misspelt column of amounts": (card('"amount"', '"amont"'), USAGE, "did you mean 'amount'?"),
    "misspelt kind of split": (card("prequential", "prequantial"), USAGE, "mean 'prequential'?"),
    "misspelt key of a dataset": (columns("licence", "license"), USAGE, "mean 'licence'?"),
    "misspelt key of a column": (columns("allowed", "alowed"), USAGE, "is_fraud: .* 'allowed'?"),
    "misspelt key of [contract]": (columns("labels", "lables"), USAGE, "contract: .* 'labels'?"),
    "misspelt generator": (columns('use = "card', 'use = "crad'), USAGE, "'card_transactions'"),
    "a class that may not be used": (card("fintech_dl.N", "os.N"), USAGE, "is not allowed; name"),
    "a rival's parameter": (card("max_iter = ", "max_iter = -"), USAGE, "be fitted: .*'max_iter'"),
    "--set without =": (put("model__epochs"), USAGE, "expected KEY=VALUE, for example"),
    "--set of no parameter": (put("model__epoch=1"), USAGE, "did you mean 'model__epochs'?"),
    "--set below it": (put("model__network__unit=3"), USAGE, "mean 'model__network__units'?"),
    "--set of no step": (put("modle__epochs=3"), USAGE, "did you mean 'model__epochs'?"),
    "--set of a key that is none": (put("seed=1"), USAGE, "unknown key 'seed'"),
    "--set of an unknown key": (put("split.fold=2"), USAGE, "'fold'; did you mean 'folds'?"),
    "--set of no key": (put("title.x=2"), USAGE, "'title.x' is no .*tables are: decision, se"),
    "--set of a list": (put("step.name=2"), USAGE, "'step.name' is no key of a table of this card"),
    "--set of no table": (put("serch.n_iter=2"), USAGE, "unknown key 'serch'.*mean 'search'"),
    "--set of a search of nothing": (
        put("search.space.model__epochs=[]"),
        USAGE,
        "search.space.model__epochs: an empty list; name at least one value",
    ),
    "no epochs": (put("model__epochs=0"), USAGE, "MLP. cannot be fitted: epochs=0; allowed: int"),
    "epochs of text": (put("model__epochs=few"), USAGE, "epochs='few'; allowed: int of at least 1"),
    "no units": (put("model__network__units=0"), USAGE, "cannot be fitted: .*units.*=0"),
    "unknown loss": (put("model__loss=focl"), USAGE, "loss='focl'; allowed: 'cross_entropy', 'f"),
    "network of text": (put("model__network=LSTM"), USAGE, "network='LSTM'; allowed: an instance"),
    "no folds": (put("split.folds=0"), USAGE, "split.folds: got 0, expected 1 or more"),
    "a length of no unit": (put("split.train=7"), USAGE, "split: train: got 7, expected str"),
    "a length that is none": (put("split.gap=week"), USAGE, "split.gap: 'week' is no length of"),
    "more days than there are": (put("split.train=90d"), DATA, "the data run .* shorter lengths"),
    "negative seed": (run("--seed", "-1"), USAGE, "seed: got -1, allowed: a whole number from 0"),
    "seed of text": (run("--seed", "x"), USAGE, "'--seed'.* See fintech-dl run --help"),
    "moment that is none": (run("--as-of", "soon"), USAGE, "as_of: 'soon' is no time; write it"),
    "unknown verb": (words("rnu"), USAGE, "Did you mean 'run'. See fintech-dl --help"),
    "unknown option": (run("--sed", "1"), USAGE, "--sed .*--seed.* See fintech-dl run --help"),
    "no pipeline": (words("run"), USAGE, "argument 'pipeline'. See fintech-dl run --help"),
    "no output folder": (words("score", "a", "b"), USAGE, "'--out'. See fintech-dl score --help"),
    "the run's folder exists": (occupied(run()), USAGE, "exists already; name a new folder with"),
    "the scores' folder exists": (occupied(score()), USAGE, "holds other files .*; name a"),
    "a file in the way": (run("--out", "/dev/null/x"), USAGE, "/dev/null is a file; choose"),
    "no write permission": (locked(run()), USAGE, "you may not write to", unprivileged),
    "no write permission to score": (
        locked(score()), USAGE, "Permission denied|may not write", unprivileged,
    ),
    "no right to read": (
        artefact(lambda folder: folder.chmod(0), "-o", "/tmp/fintech_dl_none"), ARTEFACT,
        "Permission denied.; let the account", unprivileged,
    ),
    "Ctrl-C": (put("model__epochs=1000000", "model__verbose=1"), STOPPED, "stopped", interrupted),
    "report extra missing": (without("jinja2", run()), USAGE, 'install "fintech-dl.report."'),
    "backend missing": (without("keras", run()), USAGE, 'install "fintech-dl.tensorflow."'),
    "baselines extra missing": (
        without("lightgbm", card("fintech_dl.NeuralClassifier", "lightgbm.LGBMClassifier")),
        USAGE, "no parameter 'network'|'lightgbm', which is not installed; .*dl.baselines.",
    ),
    # data
    "missing column": (
        new(rows(lambda f: f.rename(columns={"amount": "amont"}))), DATA,
        r"new.csv: missing column 'amount' .did you mean 'amont'\?",
    ),
    "missing label in a run": (dataset(rows(lambda f: f.drop(columns="is_fraud"))), DATA, "'is_f"),
    "wrong type": (new(cell("amount", "much"), "parquet"), DATA, "expected number, .* 'much'"),
    "wrong type in CSV": (new(cell("amount", "much")), DATA, "'amount': expected number, the"),
    "NaN": (new(cell("amount", np.nan)), DATA, "missing:amount.* first row 1: amount is empty"),
    "infinity": (new(cell("amount", "inf")), DATA, "infinite:amount .*amount is 'inf'"),
    "negative amount": (new(cell("amount", "-5")), DATA, "below_min:amount .* is '-5'"),
    "duplicate transaction": (new(cell("transaction_id", "7")), DATA, "duplicate_key:trans"),
    "all rows quarantined": (dataset(cell("amount", "-1")), DATA, "all 10,686 rows break the con"),
    "unsorted times": (new(rows(lambda f: f[::-1])), DATA, "not in order: row 2 .*; sort the file"),
    "mixed time zones": (
        new(cell("time", "2018-08-08 10:00+02:00", slice(5))), DATA, "mixed time zones: .02:00, no"
    ),
    "times in the future": (
        lambda place: [*place.score(), "--as-of", "2018-08-08"], DATA,
        "future_time:time .*2018-08-08 0",
    ),
    "no rows": (new(rows(lambda f: f[:0])), DATA, "new.csv: there are no rows; check how"),
    "no rows in Parquet": (new(rows(lambda f: f[:0]), "parquet"), DATA, "there are no rows"),
    "empty file": (new(lambda path: path.write_bytes(b"")), DATA, "new.csv: the file is empty"),
    "no file": (new(Path.unlink), DATA, "new.csv: there is no such file"),
    "unknown kind of file": (words("score", "a", "b.xls", "-o", "c"), ARTEFACT, "a: is no artef"),
    "corrupt Parquet": (new(truncate, "parquet"), DATA, "new.parquet: cannot be read: .* broken"),
    "corrupt Parquet in a run": (dataset(truncate, "parquet"), DATA, "own.parquet: cannot be read"),
    "checksum mismatch": (dataset(id, sha256="0" * 64), DATA, "expected 0000.* Delete it and get"),
    "one class only": (dataset(cell("is_fraud", "0")), DATA, "all 10,686 rows have the label 0"),
    "one class in training": (
        dataset(cell("is_fraud", "0", slice(8000))), DATA, "have the label 0.*both classes are need"
    ),
    # history
    "missing history": (score("--as-of", "2030-01-01"), USAGE, "looks back 37d: .*--history FILE"),
    "too short history": (history(rows(lambda f: f[5000:])), DATA, "begins at .* give rows from"),
    "history of later rows": (
        lambda place: place.score(
            new=place.payments / "history.csv", history=place.payments / "new.csv"
        ), DATA, "1977 rows are later than the first row to score .2018-07-01",
    ),
    "history without labels": (
        history(rows(lambda f: f.drop(columns="is_fraud"))), DATA, "Fill in is_fraud, 0 where"
    ),
    "corrupt history": (history(truncate, "parquet"), DATA, "history.parquet: cannot be read"),
    # artefact
    "no artefact": (words("score", "nowhere", "b", "-o", "c"), ARTEFACT, "nowhere: is no artefact"),
    "changed manifest": (byte("MANIFEST.json", 0.5), ARTEFACT, "MANIFEST.json: changed since it"),
    "changed first byte": (byte("model.skops", 0), ARTEFACT, "model.skops: changed .* Do not use"),
    "changed byte": (byte("model.skops", 0.6), ARTEFACT, "model.skops: changed since it was saved"),
    "changed last byte": (byte("model.skops", 1), ARTEFACT, "model.skops: changed since"),
    "changed card": (byte("cards.json", 0.3), ARTEFACT, "cards.json: changed since it was saved"),
    "changed metrics": (byte("metrics.json", 0.9), ARTEFACT, "metrics.json: changed since it was"),
    "missing file": (
        artefact(lambda folder: (folder / "cards.json").unlink()), ARTEFACT, "missing: 'cards.json'"
    ),
    "foreign file": (
        artefact(lambda folder: (folder / "x.py").touch()), ARTEFACT, "not of this artefact: 'x.py'"
    ),
    "foreign type": (artefact(foreign_type), ARTEFACT, "not trusted: .*system. Do not use it"),
    # single rows, which are set aside
    "row of a wrong type": (last(amount="much"), DONE, "wrong_type:amount"),
    "row at no time": (last(time="noon"), DONE, "wrong_type:time"),
    "row without amount": (last(amount=""), DONE, "missing:amount"),
    "row of NaN": (last(amount="NaN"), DONE, "missing:amount"),
    "row of infinity": (last(amount="-inf"), DONE, "infinite:amount"),
    "row of a negative amount": (last(amount="-0.01"), DONE, "below_min:amount"),
    "row of an unknown label": (last(is_fraud="2"), DONE, "not_allowed:is_fraud"),
    "row again": (last(transaction_id="16609"), DONE, "duplicate_key:transaction_id"),
    "row in the future": (last(time="2101-01-01 00:00:00"), DONE, "future_time:time"),
    "row of two faults": (
        last(amount="-1", customer_id=""), DONE, "missing:customer_id;below_min:amount"
    ),
}  # fmt: skip


@pytest.fixture
def place(tmp_path, payments, fraud_run, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    yield Place(tmp_path, payments, fraud_run.folder / "artefact", monkeypatch)
    (tmp_path / "out").chmod(0o755)


def files(folder):
    """Return every file with its bytes, folders and hidden ones included."""
    return {p: p.is_file() and os.access(p, os.R_OK) and p.read_bytes() for p in folder.rglob("*")}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, place, command):
    arrange, exit_code, says, *how = BAD[name]
    told = arrange(place)
    before = files(place.folder)
    code, out, err = (how[0] if how else lambda told: command(*told))(told)
    assert code == exit_code, err
    if exit_code == DONE:
        check_set_aside(place, says, err)
        return
    assert err.startswith("fintech-dl: ")
    assert err.count("fintech-dl: ") == 1
    assert re.search(says, err, re.DOTALL), err
    assert not re.search("Traceback|not foreseen|Warning|[a-z]Error", err)
    assert out == ""
    assert files(place.folder) == before


def check_set_aside(place, reason, err):
    """One row is in quarantine, for the right reason; all others have the scores of the run."""
    assert err == ""
    aside = read_quarantine(place.out)
    given = pd.read_csv(place.folder / "new.csv", dtype=str, keep_default_na=False)
    assert aside["reason"].tolist() == [reason]
    assert aside["source_row"].tolist() == [len(given)]
    shown = aside[given.columns].astype(object).iloc[0].fillna("")
    pd.testing.assert_series_equal(shown, given.iloc[-1].astype(object), check_names=False)
    scores = read_scores(place.out).set_index("transaction_id")["score"]
    assert scores.index.tolist() == given["transaction_id"][:-1].astype(int).tolist()
    own = pd.read_parquet(place.artefact.parent / "predictions.parquet")
    own = own.set_index("transaction_id")["score"]
    own = own[own.index.isin(scores.index)]
    assert len(own) > 1000
    assert scores[own.index].tolist() == own.tolist()
    totals = read_manifest(latest(place.out))[0]["totals"]
    counts = [totals[what] for what in ("rows", "scored", "quarantined")]
    assert counts == [len(given), len(given) - 1, 1]
    assert totals["quarantine_reasons"] == dict.fromkeys(reason.split(";"), 1)
