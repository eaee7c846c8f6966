"""Start-up is light: nothing heavy is imported before it is used."""

import os
import re
import resource
import subprocess
import sys

import pytest

import fintech_dl

HEAVY = {
    "jax",
    "keras",
    "lightgbm",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "skops",
    "tensorflow",
}
COMMAND_LINE = "from fintech_dl.cli import main; main()"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def imported(*words: str) -> set[str]:
    """Return the top-level names of every module that Python imports to run ``words``."""
    log = run("-X", "importtime", *words).stderr
    return {name.split(".")[0] for name in re.findall(r"^import time:.*\| +(\S+)$", log, re.M)}


def test_importtime_sees_what_is_imported():
    assert {"json", "numpy"} <= imported("-c", "import json.decoder, numpy")


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "import fintech_dl"],
        ["-c", "import fintech_dl.cards; fintech_dl.cards.names('pipelines')"],
        ["-c", "import fintech_dl.errors, fintech_dl.folders"],
        ["-c", COMMAND_LINE, "--help"],
        ["-c", COMMAND_LINE, "list"],
        ["-c", COMMAND_LINE, "list", "--json"],
        ["-c", COMMAND_LINE, "data", "list"],
    ],
    ids=["package", "cards", "errors and folders", "--help", "list", "list --json", "data list"],
)
def test_nothing_heavy_is_imported(words):
    assert not imported(*words) & HEAVY


@pytest.mark.parametrize("word", ["--help", "list"])
def test_the_command_line_answers_at_once(word):
    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run("-c", COMMAND_LINE, word)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    # the least of three: a busy machine makes any single one look slow
    assert min(cpu_seconds() for _ in range(3)) < 0.5


def test_loading_networks_leaves_the_random_state_alone():
    run(
        "-c",
        "import numpy as np; np.random.seed(3); state = np.random.get_state()\n"
        "from fintech_dl.networks.backend import keras\n"
        "keras()\n"
        "assert str(np.random.get_state()) == str(state)",
    )


@pytest.mark.parametrize("name", fintech_dl.__all__)
def test_every_public_name_resolves(name):
    assert getattr(fintech_dl, name) is not None
    assert name in dir(fintech_dl)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Oracle'"):
        _ = fintech_dl.Oracle
