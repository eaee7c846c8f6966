"""Column names, categories, titles and file names that are code, formulas or terminal commands."""

import csv
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import dataset_card, pipeline_card
from fintech_dl.console import CONTROL
from fintech_dl.errors import CardError
from fintech_dl.scoring.reading import read_scores

NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}{% raw %}",
    "</svg></style></title>",
    "=cmd|' /C calc'!A0",
    'it\'s "quoted", twice',
    "two\nlines\r\nof it",
    "nul\x00 bell\x07",
    "\x1b[2J\x1b[31mred\x9b0m",
    "\u202egpj.exe\u2066",
    "smile 😀",
    "long " + "x" * 20_000,
]
VALUES = [*NAMES[:6], "@sum(A1)", "+1+1", "\tcmd", "../../etc/passwd", "y" * 10**6]
EVIL = NAMES[0] + NAMES[1] + NAMES[2] + NAMES[8] + NAMES[9]
N = 600


def toml(value):
    """TOML's basic strings are JSON's, but for what JSON leaves as it is."""
    return (
        json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f").replace("\x9b", "\\u009b")
    )


def rows():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({name: random.normal(size=N) for name in NAMES})
    frame["id"] = [f"=id {i}" for i in range(N)]
    frame["seconds"] = np.arange(N) * 288.0  # two days
    frame["shop"] = random.choice(VALUES, N)
    frame["amount"] = random.lognormal(size=N)
    frame["is_fraud"] = (random.random(N) < 0.3).astype(int)
    return frame


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """Return a folder with a dataset card, its file, and a pipeline card, all of hostile texts."""
    folder = tmp_path_factory.mktemp("cards")
    rows().to_parquet(folder / "own.parquet", index=False)
    columns = [f"{toml(name)} = {{ type = 'number', unit = {toml(EVIL)} }}" for name in NAMES]
    (folder / "own.toml").write_text(
        f"title = {toml(EVIL)}\nlicence = {toml(EVIL)}\norigin = {toml(EVIL)}\n"
        f"description = {toml(EVIL)}\nlimits = [{toml(EVIL)}]\n"
        '[source]\nkind = "file"\npath = "own.parquet"\n'
        '[contract]\nkey = "id"\ntime = "seconds"\nlabels = ["is_fraud"]\nmax_quarantined = 0.5\n'
        '[columns]\nid = { type = "text" }\nseconds = { type = "number" }\n'
        'shop = { type = "category" }\namount = { type = "number", min = 0 }\n'
        'is_fraud = { type = "integer", allowed = [0, 1] }\n' + "\n".join(columns) + "\n"
    )
    (folder / "ask.toml").write_text(
        f"title = {toml(EVIL)}\nquestion = {toml(EVIL)}\n"
        f"dataset = {toml(str(folder / 'own.toml'))}\n"
        f'metrics = ["average_precision", "savings"]\nlimits = [{toml(EVIL)}]\n'
        f"[words]\nrow = {toml(NAMES[0])}\nrows = {toml(NAMES[1])}\n"
        '[table]\nuse = "rows.as_they_are"\ntarget = "is_fraud"\nwhen = "seconds"\n'
        'drop = ["id", "amount"]\naside = ["amount"]\n'
        '[split]\nkind = "holdout"\ntrain = "1d"\ntest = "1d"\n'
        '[[step]]\nname = "model"\nuse = "fintech_dl.NeuralClassifier"\nepochs = 1\n'
        'network = { use = "fintech_dl.MLP", units = 4 }\n'
        '[decision]\nrule = "cost"\nfalse_alarm = 5.0\namount = "amount"\n'
        f'[[baseline]]\nuse = "sklearn.dummy.DummyClassifier"\ntitle = {toml(EVIL)}\n'
    )
    return folder


@pytest.fixture(scope="module")
def ran(cards, tmp_path_factory):
    """Return a run of the hostile cards and what the command line printed of it."""
    out = tmp_path_factory.mktemp("hostile") / "run"
    words = [sys.executable, "-m", "fintech_dl", "run", str(cards / "ask.toml"), "--out", str(out)]
    env = {**os.environ, "FINTECH_DL_LOG": "json"}
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    return out, done


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.fault(29, times=len(NAMES))
def test_a_report_of_hostile_texts_has_no_other_elements(ran, fraud_run):
    html = (ran[0] / "report.html").read_text()
    page, plain = Elements(html), Elements((fraud_run.folder / "report.html").read_text())
    assert page.tags <= plain.tags
    assert page.attributes <= plain.attributes
    assert not re.search(r"<script|<img|<iframe", html)
    assert not CONTROL.search(html)
    text = "".join(page.texts)
    for name in NAMES[:6]:
        assert name in text
    assert "{{7*7}}" in text
    assert len(html) < 2_000_000


@pytest.mark.fault(29, times=len(NAMES))
def test_the_record_and_the_log_are_json_and_the_terminal_is_left_alone(ran):
    folder, done = ran
    record = json.loads((folder / "metrics.json").read_text())
    assert set(NAMES) <= set(record["features"])
    assert not CONTROL.search(done.stdout)
    assert "\\x1b" in done.stdout
    lines = done.stderr.splitlines()  # also at U+0085 and U+2028, where some readers break lines
    assert lines == done.stderr.split("\n")[:-1]
    for line in lines:
        assert json.loads(line)["ts"]
        assert not CONTROL.search(line)


@pytest.mark.fault(29, times=len(NAMES))
def test_hostile_rows_are_scored_and_set_aside_safe_for_a_spreadsheet(ran, tmp_path, command):
    frame = rows().drop(columns="is_fraud")
    frame.loc[::2, "amount"] = -1.0
    frame["shop"] = frame["shop"].where(frame["shop"] != VALUES[3], '=HYPERLINK("http://x")')
    frame.loc[4, "shop"] = None
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    done = command("score", ran[0] / "artefact", tmp_path / "new.parquet", "-o", tmp_path / "s")
    assert done.code in (0, 4), done.err
    csv.field_size_limit(10**8)
    if done.code == 4:
        assert "shop" in done.err
        frame.loc[4, "shop"] = "new"
        frame.to_parquet(tmp_path / "new.parquet", index=False)
        done = command("score", ran[0] / "artefact", tmp_path / "new.parquet", "-o", tmp_path / "s")
    assert done.code == 0, done.err
    assert not CONTROL.search(done.out + done.err)
    assert command("export", tmp_path / "s", tmp_path / "aside.csv", "--quarantine").code == 0
    with (tmp_path / "aside.csv").open(newline="") as file:
        head, *aside = list(csv.reader(file))
    assert len(aside) >= N // 2
    assert {len(row) for row in aside} == {len(head)}
    for name in head:
        assert name[:1] not in "=+-@\t\r\n"
    for row in aside:
        for cell in row:
            assert cell[:1] not in tuple("=+@\t\r\n") or re.fullmatch(r"[+-]?[\d.e+-]+", cell), cell
    scores = read_scores(tmp_path / "s")
    assert len(scores) + len(aside) == N
    assert set(scores["id"]) | {row[head.index("id")].lstrip("'") for row in aside} == set(
        frame["id"]
    )


@pytest.mark.fault(29)
def test_show_and_data_print_nothing_that_commands_a_terminal(cards, command):
    for words in (
        ["show", cards / "ask.toml"],
        ["show", cards / "own.toml"],
        ["data", "show", cards / "own.toml"],
        ["data", "get", cards / "own.toml"],
    ):
        for json_too in ([], ["--json"]):
            done = command(*words, *json_too)
            assert done.code == 0, (words, done.err)
            assert not CONTROL.search(done.out + done.err), words
            if json_too:
                assert json.loads(done.out)


@pytest.mark.fault(29)
@pytest.mark.parametrize("name", [n for n in NAMES if "\x00" not in n and len(n) < 200])
def test_hostile_names_in_messages(name, ran, tmp_path, command, monkeypatch):
    missing = tmp_path / f"{name.replace('/', '-')}.csv"
    frame = rows()[:3].rename(columns={name: f"{name} "})
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    cases = {
        ("score", ran[0] / "artefact", missing, "-o", tmp_path / "s"): 4,
        ("score", ran[0] / "artefact", tmp_path / "new.parquet", "-o", tmp_path / "s"): 4,
        ("run", name): 2,
        ("show", f"{name}.toml"): 2,
        ("run", "fraud", "--set", f"model__{name}=1"): 2,
        ("run", "fraud", "--set", f"title={name}", "--set", "split.folds=0"): 2,
        ("score", tmp_path / name.replace("/", "-"), "x.csv", "-o", tmp_path / "s"): 5,
        (name,): 2,
    }
    for words, code in cases.items():
        monkeypatch.setenv("FINTECH_DL_LOG", "text")
        done = command(*words)
        assert done.code == code, (words, done.err)
        assert done.out == ""
        assert not CONTROL.search(done.err)
        assert "not foreseen" not in done.err
        monkeypatch.setenv("FINTECH_DL_LOG", "json")
        lines = command(*words).err.splitlines()
        assert json.loads(lines[-1])["code"] == code
        assert all(json.loads(line)["ts"] and not CONTROL.search(line) for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.parquet"]


@pytest.mark.fault(29)
def test_a_column_that_is_a_megabyte_of_text_does_not_fill_the_terminal(ran, tmp_path, command):
    frame = rows()[:3].assign(amount="z" * 10**6)
    frame.to_parquet(tmp_path / "new.parquet", index=False)
    done = command("score", ran[0] / "artefact", tmp_path / "new.parquet", "-o", tmp_path / "s")
    assert done.code == 4
    assert len(done.err) < 2000


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    "name", ["../secret", "../../etc/passwd", "/etc/passwd", "..", ".", "a/../b"]
)
def test_names_of_cards_lead_nowhere_else(name, tmp_path, monkeypatch, command):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path / "own"))
    (tmp_path / "secret.toml").write_text('title = "T"\nquestion = "Q"\ndataset = "D"\n')
    with pytest.raises(CardError, match="unknown dataset"):
        dataset_card(name)
    with pytest.raises(CardError, match="unknown pipeline"):
        pipeline_card(name)
    with pytest.raises(CardError, match="unknown dataset"):
        pipeline_card("fraud", dataset=name)
    assert command("run", name).code == 2
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('url = "https://example.com/rows.csv"\npath = "../../.bashrc"', "'../../.bashrc'"),
        ('url = "https://example.com/rows.csv"\npath = "/etc/cron.d/x"', "'/etc/cron.d/x'"),
        ('url = "https://example.com/.."', "'..'"),
        ('url = "https://example.com/"', "stored as ''"),
    ],
)
def test_a_download_is_stored_nowhere_but_in_the_cache(keys, told, tmp_path, command):
    card = tmp_path / "own.toml"
    card.write_text(
        f'title = "T"\nlicence = "L"\n[source]\nkind = "url"\nsha256 = "{"0" * 64}"\n{keys}\n'
        "[columns]\nx = { type = 'number' }\n"
    )
    with pytest.raises(CardError, match="a download would be .*" + re.escape(told)):
        dataset_card(card)
    assert command("data", "get", card).code == 2


@pytest.mark.parametrize("time", ["", 'time = "seconds"'])
def test_history_needs_moments(time, tmp_path, command):
    """Where rows have no moment, nothing can be so many days back."""
    (tmp_path / "own.toml").write_text(
        f'title = "T"\nlicence = "L"\n[source]\nkind = "file"\npath = "x.csv"\n[contract]\n{time}\n'
        "[columns]\nseconds = { type = 'number' }\nis_fraud = { type = 'integer' }\n"
    )
    (tmp_path / "ask.toml").write_text(
        f'title = "T"\nquestion = "Q"\nhistory = "3d"\ndataset = "{tmp_path}/own.toml"\n'
        '[table]\nuse = "rows.as_they_are"\ntarget = "is_fraud"\n[split]\nkind = "purged_kfold"\n'
        '[[step]]\nname = "model"\nuse = "fintech_dl.NeuralClassifier"\n'
    )
    told = "history: rows of dataset 'own' have no moments to look back from; its contract.time is"
    with pytest.raises(CardError, match=told):
        pipeline_card(tmp_path / "ask.toml")
    done = command("show", tmp_path / "ask.toml")
    assert done.code == 2
    assert told in done.err
