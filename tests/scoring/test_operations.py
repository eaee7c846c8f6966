"""The operator's files: the job tries again what may pass, and every command of the page exists."""

import ast
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from fintech_dl.cli import app

ROOT = Path(__file__).parents[2]
FILES = ROOT / "examples" / "operations"
PAGE = (ROOT / "docs" / "nightly_job.rst").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^\.\. code-block:: sh\n\n((?:   .*\n|\n)+)", PAGE, re.MULTILINE)
TEXTS = [
    "".join(BLOCKS),
    (FILES / "nightly.sh").read_text(),
    (FILES / "airflow_dag.py").read_text(),
]
TEXTS += re.findall(r"``(fintech-dl [^`]+)``", PAGE)
COMMANDS = {
    re.split(r"\||>|;|2>>|\"", line)[0].strip()
    for text in TEXTS
    for line in re.findall(r"(?<![/\w.-])fintech-dl (?!\[|that|left)[a-z-].*", text)
}


def test_the_page_has_commands():
    verbs = {"score", "status", "verify", "monitor", "export", "resume", "gc", "run", "check"}
    assert verbs <= {word for line in COMMANDS for word in line.split()}


@pytest.mark.parametrize("line", sorted(COMMANDS))
def test_every_command_exists(line):
    words = shlex.split(
        line.replace("$(date +%F)", "DAY").replace("{{ ds }}", "DAY"), comments=True
    )
    words = words[1:]
    group = typer.main.get_command(app)
    with group.make_context("fintech-dl", list(words), resilient_parsing=False) as context:
        name, verb, rest = group.resolve_command(context, context._protected_args + context.args)
        if name == "data":
            name, verb, rest = verb.resolve_command(context, rest)
        known = {option for param in verb.params for option in param.opts}
        assert {word for word in rest if word.startswith("-")} <= known | {"--json"}


STUB = """#!/bin/sh
echo "$*" >> calls
case "$*" in *" score "*) ;; *" monitor "*) echo run-1; exit ${DRIFT:-0} ;;
  *) exit ${OTHERS:-0} ;; esac
read code < codes
sed -i 1d codes
exit $code
"""


@pytest.fixture
def night(tmp_path):
    """Return a function that runs the job with a program that ends with these exit codes."""
    (tmp_path / "fintech-dl").write_text(STUB)
    (tmp_path / "fintech-dl").chmod(0o755)

    def run(*codes, **settings):
        (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
        (tmp_path / "calls").unlink(missing_ok=True)
        path = f"{tmp_path}:{os.environ['PATH']}"
        told = {"PATH": path, "SCORING_HOME": str(tmp_path), "PAUSES": "0 0", **settings}
        done = subprocess.run(
            [FILES / "nightly.sh", "2026-11-22"], env={**os.environ, **told}, capture_output=True
        )
        run.printed = done.stdout.decode()
        calls = (tmp_path / "calls").read_text().splitlines()
        return done.returncode, [line.split()[2] for line in calls]

    return run


@pytest.mark.parametrize(
    ("codes", "code", "verbs"),
    [
        ([0], 0, ["score", "verify", "monitor"]),
        ([99], 99, ["score", "verify", "monitor"]),
        ([75, 0], 0, ["score", "score", "verify", "monitor"]),
        ([75, 75, 75], 75, ["score"] * 3),
        ([4, 0], 4, ["score"]),
        ([75, 143], 143, ["score", "score"]),
    ],
)
def test_the_job_tries_again_what_may_pass_and_says_what_went_wrong(night, codes, code, verbs):
    assert night(*codes) == (code, verbs)


def test_the_job_leaves_trying_again_to_a_scheduler_and_tells_a_damaged_file(night):
    assert night(75, 0, PAUSES="") == (75, ["score"])
    assert night(0, OTHERS="4") == (4, ["score", "verify"])


def test_drift_is_told_and_no_failure(night):
    assert night(99, DRIFT="3") == (99, ["score", "verify", "monitor"])
    assert night.printed == "drift: see monitor.html, or monitor.json, in run-1\n"
    assert night(0) == (0, ["score", "verify", "monitor"])
    assert night.printed == ""
    assert night(0, DRIFT="5")[0] == 5


def test_the_program_is_found_without_a_path(night, tmp_path):
    """As cron, systemd and Airflow call the job."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    shutil.move(tmp_path / "fintech-dl", tmp_path / "venv" / "bin" / "fintech-dl")
    assert night(0, PATH="/usr/bin:/bin") == (0, ["score", "verify", "monitor"])


def test_the_files_are_well_formed(tmp_path):
    ast.parse((FILES / "airflow_dag.py").read_text())
    assert os.access(FILES / "nightly.sh", os.X_OK)
    line = (FILES / "crontab").read_text().splitlines()[-1]
    assert (
        subprocess.run(["sh", "-n", "-c", line.split(None, 5)[5].replace(r"\%", "%")]).returncode
        == 0
    )
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd to check its files with")
    for name in ("service", "timer"):
        text = (FILES / f"fintech-dl-scoring.{name}").read_text()
        text = text.replace("/srv/scoring/nightly.sh", "/bin/true")
        (tmp_path / f"fintech-dl-scoring.{name}").write_text(text)
    files = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True)
    assert b"fintech-dl-scoring" not in done.stderr, done.stderr
