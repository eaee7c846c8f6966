"""README: its Python runs, and its command lines are ones that exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from fintech_dl.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
PIECES = [text for kind, text in BLOCKS if kind != "python"] + re.findall(r"`([^`\n]+)`", README)
COMMANDS = [
    line.strip()
    for text in PIECES
    for line in text.splitlines()
    if re.match(r"(\w+=\S+ )*fintech-dl ", line.strip())
]
MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text()


def test_the_readme_has_examples():
    assert len(PYTHON) >= 2
    assert len(COMMANDS) >= 4
    assert {"run", "list", "show", "score"} <= {shlex.split(line)[1] for line in COMMANDS}


@pytest.mark.parametrize("text", PYTHON, ids=[f"block {i + 1}" for i in range(len(PYTHON))])
def test_python_examples_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102


@pytest.mark.parametrize("line", COMMANDS)
def test_command_lines_exist(line):
    words = shlex.split(line, comments=True)
    words = words[words.index("fintech-dl") + 1 :]
    group = typer.main.get_command(app)
    with group.make_context("fintech-dl", list(words), resilient_parsing=False) as context:
        name, verb, rest = group.resolve_command(context, words)
        if name == "data":  # a verb of verbs
            name, verb, rest = verb.resolve_command(context, rest)
        with verb.make_context(name, list(rest), parent=context) as inner:
            assert not inner.args


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?\bmake (\w+)", README))))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) or f" {target} " in MAKEFILE
