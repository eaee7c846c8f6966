"""The rules of the house that a machine can check: floors, files, names."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fintech_dl"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def tracked() -> list[Path]:
    """Return the text files that git tracks or would track."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


def distribution(requirement: str) -> str:
    """Return the normalised name of a requirement like ``scikit-learn>=1.8``."""
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def test_every_import_goes_down():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import dump",
        "import joblib\njoblib.load",
        "import cloudpickle",
    ],
)
def test_the_linter_refuses_pickle_and_joblib_files(line):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", "fintech_dl/model.py", "-"],
        cwd=ROOT,
        input=line,
        capture_output=True,
        text=True,
    )
    assert "TID251" in done.stdout


def test_no_module_imports_pickle():
    banned = {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            else:
                continue
            assert not names & banned, f"{path}, line {node.lineno}"


@pytest.mark.parametrize("folder", ["datasets", "pipelines", "reports"])
def test_data_folders_hold_no_python(folder):
    assert (ROOT / folder).is_dir()
    assert not list((ROOT / folder).rglob("*.py"))


def test_no_file_outgrows_four_hundred_lines():
    long = {p.name: n for p in modules() if (n := len(p.read_text("utf-8").splitlines())) > 400}
    assert not long


def test_no_drawer_for_odds_and_ends():
    assert not [path for path in modules() if path.stem in {"utils", "util", "helpers", "misc"}]


def test_no_path_of_one_machine():
    own = re.compile(
        r"(?<![\w.])/(?:home|root|Users)/\w|[A-Z]:\\Users" + "|" + re.escape(f"{ROOT}/")
    )
    found = [
        f"{path.relative_to(ROOT)}, line {number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if own.search(line)
    ]
    assert not found


def test_no_package_registry_is_named():
    option = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host|PIP_\w*INDEX", re.I)
    for path in [ROOT / "Makefile", ROOT / "pyproject.toml", *(ROOT / ".ci").iterdir()]:
        assert not option.search(path.read_text(encoding="utf-8")), path


def test_constraints_pin_every_requirement_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    installed = [EXTRAS[name] for name in EXTRAS.keys() - {"bench"}]  # rivals, at will
    wanted = {distribution(r) for r in sum(installed, PROJECT["dependencies"])}
    assert wanted - {"fintech-dl"} <= {distribution(pin) for pin in pins}


def test_all_is_every_extra_for_users():
    (line,) = EXTRAS["all"]
    named = set(line.removeprefix("fintech-dl[").removesuffix("]").split(","))
    assert named == EXTRAS.keys() - {"all", "dev", "bench"}


def required() -> Iterator[tuple[str, str, str]]:
    """Yield place, library and extra of every call of ``errors.require``.

    The call names both as text, or looks the extra up in a table of the module: ``EXTRAS[name]``.
    """
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tables = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] != "require":
                continue
            where = f"{path.relative_to(ROOT)}, line {node.lineno}"
            library, extra = node.args
            if isinstance(extra, ast.Subscript):
                table = ast.literal_eval(tables[ast.unparse(extra.value)])
                yield from ((where, *pair) for pair in table.items())
            else:
                yield where, ast.literal_eval(library), ast.literal_eval(extra)


def test_a_missing_library_is_found_in_the_extra_that_the_error_names():
    calls = list(required())
    assert calls
    for where, library, extra in calls:
        assert extra in EXTRAS, where
        assert library in {distribution(r) for r in EXTRAS[extra]}, where


def test_every_extra_that_a_text_names_exists():
    for path in tracked():
        for words in re.findall(r"fintech-dl\[([a-z, ]+)\]", path.read_text(encoding="utf-8")):
            assert {word.strip() for word in words.split(",")} <= EXTRAS.keys(), path
