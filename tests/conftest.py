"""What every test runs under: a quiet backend, its share of the cores, no settings of the user."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.tally import pytest_itemcollected as pytest_itemcollected
from tests.faults.tally import pytest_terminal_summary as pytest_terminal_summary

# Set here, before anything imports NumPy or a backend: later is too late.
SETTINGS = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"}
SETTINGS["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin while they wait starve each other
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    share = str(max(1, (os.cpu_count() or 1) // int(workers)))
    for pool in ("TF_NUM_INTRAOP", "TF_NUM_INTEROP", "OMP_NUM", "OPENBLAS_NUM"):
        SETTINGS[f"{pool}_THREADS"] = share
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither read the user's cards nor touch the user's cache; stderr is text."""
    os.environ.pop("FINTECH_DL_CARDS", None)
    os.environ["FINTECH_DL_LOG"] = "text"
    os.environ["FINTECH_DL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``needs_data("a.parquet")`` where FINTECH_DL_DATA lacks that file."""
    for mark in item.iter_markers("needs_data"):
        folder = os.environ.get("FINTECH_DL_DATA")
        if not folder or not (Path(folder) / mark.args[0]).exists():
            pytest.skip(f"{mark.args[0]} is not in FINTECH_DL_DATA ({folder or 'not set'})")


class Done(NamedTuple):
    """What the command line did: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process."""
    from fintech_dl.cli import main

    def run(*words: Any) -> Done:
        handler = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(sys, "argv", ["fintech-dl", *map(str, words)])
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as stop:
                main()
        finally:
            signal.signal(signal.SIGTERM, handler)
        return Done(stop.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def few_draws() -> Any:
    """Return a patch under which a run draws little: intervals and importances are not asked."""
    from fintech_dl.evaluation.explanation import permutation_importance

    def twice(*words: Any, **settings: Any) -> Any:
        return permutation_importance(*words, **{**settings, "n_repeats": 2})

    @contextmanager
    def patched(resamples: int) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fintech_dl.evaluation.evidence.RESAMPLES", resamples)
            patch.setattr("fintech_dl.runs.permutation_importance", twice)
            yield

    return patched


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs draw no reports: a third of the time of a small one, and not what is asked."""
    for name in ("run_files.write_report", "runs.write_validated"):
        monkeypatch.setattr(f"fintech_dl.{name}", lambda *words, **settings: None)


@pytest.fixture(scope="session")
def quick_fraud() -> Any:
    """Return the fraud card, changed as wanted, on few transactions and beside the prior alone."""
    from fintech_dl.cards import pipeline_card

    prior = {"use": "sklearn.dummy.DummyClassifier", "title": "The prior alone"}

    def card(changes: dict[str, Any] | None = None) -> Any:
        quick = {"baseline": [prior], "metrics": ["average_precision", "savings"]}
        few = "synthetic_card_transactions_small"
        return pipeline_card("fraud", {**quick, **(changes or {})}, dataset=few)

    return card


@pytest.fixture(scope="session")
def fraud_run(tmp_path_factory: pytest.TempPathFactory, quick_fraud: Any) -> Any:
    """One quick run that many tests read; none may change its folder."""
    from fintech_dl import run_pipeline

    folder = tmp_path_factory.mktemp("runs") / "fraud"
    return run_pipeline(quick_fraud(), folder, set_params={"model__epochs": 1})


@pytest.fixture(scope="session")
def credit_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One quick run with a model validation report; none may change its folder."""
    from fintech_dl import run_pipeline
    from fintech_dl.cards import pipeline_card

    rival = {"use": "sklearn.linear_model.LogisticRegression", "title": "Logistic regression"}
    quick = {"baseline": [rival], "metrics": ["roc_auc", "brier"]}
    card = pipeline_card("credit", quick, dataset="synthetic_credit_book_small")
    folder = tmp_path_factory.mktemp("runs") / "credit"
    with pytest.MonkeyPatch.context() as patch:  # intervals are not what is tested
        patch.setattr("fintech_dl.evaluation.evidence.RESAMPLES", 100)
        return run_pipeline(card, folder, set_params={"model__epochs": 3})


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Files of the run's test week (new) and of the 38 days before it (history)."""
    from fintech_dl import load_frame

    frame = load_frame("synthetic_card_transactions_small")
    day = frame["time"].dt.normalize()
    folder = tmp_path_factory.mktemp("payments")
    for name, first, last in (
        ("history", "2018-07-01", "2018-08-07"),
        ("new", "2018-08-08", "2018-08-14"),
    ):
        rows = frame[(day >= first) & (day <= last)]
        rows.to_csv(folder / f"{name}.csv", index=False)
        rows.to_parquet(folder / f"{name}.parquet", index=False)
    return folder
