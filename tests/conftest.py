"""What every test runs under: a quiet backend, its share of the cores, no settings of the user."""

import os
from pathlib import Path

import pytest

# Set here, before anything imports NumPy or a backend: later is too late.
SETTINGS = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"}
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    share = str(max(1, (os.cpu_count() or 1) // int(workers)))
    for pool in ("TF_NUM_INTRAOP", "TF_NUM_INTEROP", "OMP_NUM", "OPENBLAS_NUM"):
        SETTINGS[f"{pool}_THREADS"] = share
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither read the user's cards nor touch the user's cache."""
    os.environ.pop("FINTECH_DL_CARDS", None)
    os.environ["FINTECH_DL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``needs_data("a.parquet")`` where FINTECH_DL_DATA lacks that file."""
    for mark in item.iter_markers("needs_data"):
        folder = os.environ.get("FINTECH_DL_DATA")
        if not folder or not (Path(folder) / mark.args[0]).exists():
            pytest.skip(f"{mark.args[0]} is not in FINTECH_DL_DATA ({folder or 'not set'})")
