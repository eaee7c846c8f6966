"""The wheel carries what it needs and runs away from the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
CARDS = [*(ROOT / "datasets").glob("*.toml"), *(ROOT / "pipelines").glob("*.toml")]


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
    } | {
        f"fintech_dl/_shipped/{path.relative_to(ROOT).as_posix()}"
        for path in [*CARDS, *(ROOT / "reports/templates").glob("*")]
    }
    assert "fintech_dl/py.typed" in wanted
    package = {name for name in inside if not name.split("/")[0].endswith(".dist-info")}
    assert package == wanted
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_its_command_line_finds_the_cards_far_from_the_checkout(wheel, tmp_path):
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = str(home / "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    output(*pip, str(wheel))

    # the libraries of this environment, without its editable install
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site,) = home.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text("\n".join(sorted(paths)), encoding="utf-8")

    empty = tmp_path / "empty"
    empty.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FINTECH_DL_", "PYTHON"))}
    there = {"cwd": empty, "env": clean}
    where = output(python, "-c", "import fintech_dl; print(fintech_dl.__file__)", **there)
    assert Path(where.strip()).is_relative_to(site)
    listed = output(str(home / "bin/fintech-dl"), "list", "--json", **there)
    json.loads(listed)
    assert CARDS
    assert [path.stem for path in CARDS if f'"{path.stem}"' not in listed] == []
    assert not list(empty.iterdir())
