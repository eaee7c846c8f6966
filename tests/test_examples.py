"""The examples run as they stand, in an empty folder, and print a result that can be read."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# what a reader must find in the output
TOLD = {
    "credit_risk": [
        r"^NeuralClassifier\(TabM\) .*area under the ROC curve",
        r"^For the validator: \S+validation\.html$",
        r"^Approved below 0\.\d+: \d+% of \d+ applications",
        r"^ +1 +Your .* speaks against it",
        r"^Scores by the table alone, from \d+ to \d+:$",
        r"^highest quarter +\d+\.\d% default$",
    ],
    "card_fraud": [
        r"^NeuralClassifier\(MLP\) .*average precision",
        r"^  Logistic regression +AP 0\.\d{3} \[",
        r"^The whole evidence: \S+report\.html$",
        r"^\d+ new transactions, \d+ alerts",
        r"^Confirmed later: \d+ frauds, \d+ of them among the alerts\.$",
    ],
    "custom_network": [
        r"^  classifier, learned from labels +0\.[1-9]\d*$",
        r"^  isolation forest, saw no label +0\.\d+$",
        r"^saved and loaded: the same scores, bit for bit$",
    ],
    "customer_segments": [
        r"^encoder +silhouette 0\.\d{3}, \d+\.\d% of the variance lost$",
        r"^PCA +silhouette",
        r"^segment +$",
        r"^3 +\d+ +\d+\.\d+ +\d+\.\d+",
    ],
    "markets": [
        r"^volatility: .* (best|only) baseline.*Diebold-Mariano t = [+-]\d",
        r"^stock-ranking: .*Newey-West t = [+-]\d",
        r"^Best tenth less worst tenth: Sharpe -?\d+\.\d\d, after 5 bp -?\d+\.\d\d$",
        r"^Of the outcomes \d+\.\d% lie in intervals for 90%:$",
        r"^Log price in five days over that of \d{4}-\d\d-\d\d, and its interval:$",
        r"^ *\S+ +[+-]0\.\d{4} -0\.\d{4} \+0\.\d{4}$",
    ],
    "nightly_scoring": [
        r"^killed: exit code -9$",
        r"^300,000 rows read: 299,998 scored, [\d,]+ alerts, 2 quarantined$",
        r"^300,000 rows = 299,998 scored \+ 2 set aside$",
        r"^ +8 +150007 +-1\.0 below_min:income$",
        r"^table: 299,998 rows, [\d,]+ of them declined$",
        r"^(Changed beyond chance|No change)",
    ],
    "sklearn_pipeline_and_search": [
        r"^best of 4: \{.*model__network__units",
        r"^  calibrated +AP 0\.\d{3}, Brier score 0\.0\d+$",
        r"^  logistic +AP",
        r"^  at 0\.5 +\d+ alerts, recall 0\.\d{3}$",
    ],
}


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.stem)
def ran(request, tmp_path_factory):
    """Run an example once, in an empty folder, without any setting of this machine's owner."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("FINTECH_DL_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-W", "error::UserWarning", request.param],
        cwd=tmp_path_factory.mktemp(request.param.stem),
        env=settings,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return request.param, done


def test_it_says_what_it_promises(ran):
    path, done = ran
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for pattern in TOLD[path.stem]:
        assert re.search(pattern, done.stdout, re.MULTILINE), f"{pattern}\n{done.stdout}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_short_and_says_its_question_and_how_to_run_it(path):
    text = path.read_text(encoding="utf-8")
    about = ast.get_docstring(ast.parse(text)) or ""
    assert about.splitlines()[0].endswith("?")
    assert f"python {path.name}" in about
    assert len(text.splitlines()) < 60


def test_the_readme_names_every_example_and_every_output_is_checked():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"examples/(\w+)\.py", readme)) == TOLD.keys()
    assert {path.stem for path in EXAMPLES} == TOLD.keys()
