"""The wheel carries what it needs and runs away from the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import pandas as pd
import pytest

from fintech_dl import __version__
from fintech_dl.scoring.reading import read_scores

ROOT = Path(__file__).parents[1]
SMALL = "synthetic_card_transactions_small"
CARDS = [*(ROOT / "datasets").glob("*.toml"), *(ROOT / "pipelines").glob("*.toml")]
BESIDE = [*(ROOT / "pipelines").glob("*.csv"), *(ROOT / "reports/templates").glob("*")]


def output(*words: str, **settings: Any) -> str:
    done = subprocess.run(words, capture_output=True, text=True, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    output(sys.executable, "-m", "build", "--wheel", "--no-isolation", f"-o{out}", cwd=ROOT)
    (path,) = out.glob("*.whl")
    return path


def test_it_carries_the_package_the_cards_and_the_templates(wheel):
    inside = set(ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "fintech_dl").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {f"fintech_dl/_shipped/{path.relative_to(ROOT).as_posix()}" for path in [*CARDS, *BESIDE]}
    assert "fintech_dl/py.typed" in wanted
    package = {name for name in inside if not name.split("/")[0].endswith(".dist-info")}
    assert package == wanted
    assert any(name.endswith("licenses/LICENSE") for name in inside)


class Away(NamedTuple):
    """An environment with the wheel alone, far from the checkout."""

    python: str
    command: str
    packages: Path
    settings: dict[str, str]


@pytest.fixture(scope="module")
def away(wheel, tmp_path_factory):
    home = tmp_path_factory.mktemp("away") / "venv"
    venv.create(home, with_pip=False)
    python = str(home / "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    output(*pip, str(wheel))

    # the libraries of this environment, without its editable install
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site,) = home.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text("\n".join(sorted(paths)), encoding="utf-8")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FINTECH_DL_", "PYTHON"))}
    return Away(python, str(home / "bin/fintech-dl"), site, clean)


def test_its_command_line_finds_the_cards_far_from_the_checkout(away, tmp_path):
    there: dict[str, Any] = {"cwd": tmp_path, "env": away.settings}
    where = output(away.python, "-c", "import fintech_dl; print(fintech_dl.__file__)", **there)
    assert Path(where.strip()).is_relative_to(away.packages)
    for words in ([away.command], [away.python, "-m", "fintech_dl"]):
        assert output(*words, "--version", **there) == f"fintech-dl {__version__}\n"
    listed = output(away.command, "list", "--json", **there)
    json.loads(listed)
    assert CARDS
    assert [path.stem for path in CARDS if f'"{path.stem}"' not in listed] == []
    shown = json.loads(output(away.command, "show", "fraud", "--json", **there))
    assert (shown["kind"], shown["history"]) == ("pipeline", "37d")
    assert not list(tmp_path.iterdir())


def test_it_runs_a_pipeline_and_scores_new_rows(away, payments, tmp_path):
    there: dict[str, Any] = {"cwd": tmp_path, "env": away.settings}
    quick = [
        "--set",
        "model__epochs=1",
        "--set",
        'baseline=[{use="sklearn.dummy.DummyClassifier"}]',
    ]
    quick += ["--set", 'metrics=["average_precision"]', "--dataset", SMALL]
    told = json.loads(output(away.command, "run", "fraud", *quick, "--json", **there))
    folder = tmp_path / told["folder"]
    assert folder.parent == tmp_path / "reports" / "runs"
    assert set(told["metrics"]) == {"model", "DummyClassifier"}
    made = {path.name for path in folder.iterdir()}
    assert {"report.html", "metrics.json", "predictions.parquet", "artefact"} <= made
    assert "<h1" in (folder / "report.html").read_text(encoding="utf-8")

    new = pd.read_csv(payments / "new.csv").drop(columns=["is_fraud", "fraud_scenario"])
    new.to_csv(tmp_path / "new.csv", index=False)
    words = [folder / "artefact", "new.csv", "-o", "scores", "--history", payments / "history.csv"]
    counts = json.loads(output(away.command, "score", *map(str, words), "--json", **there))
    assert (counts["rows"], counts["scored"]) == (len(new), len(new))
    scores = read_scores(tmp_path / "scores")
    assert list(scores["transaction_id"]) == list(new["transaction_id"])
    assert scores["score"].between(0, 1).all()
    assert scores["score"].nunique() > len(new) / 2
