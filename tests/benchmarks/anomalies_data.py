"""The sets of the anomaly benchmark, and the ways of cutting them into training and test.

A set is a file ``*.npz`` with numbers ``X`` and labels ``y`` (1 = anomaly), as ADBench has them.
``clean-published`` and ``contaminated-published`` draw rows as the public code behind the published
tables does (DTE, Livernoche et al. 2024, after ADBench). It fills small sets with copies, so that
the same rows are learned from and tested, and takes the first normal rows of a file for training:
good for checking methods against those tables, not for saying how good a method is.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from fintech_dl.folders import data_folders

MOST_ROWS = 50_000
SMALL = 5_500  # rows below which every method is measured
FILLED = 1_000  # rows to which the published tables fill smaller sets with copies
SEEDS, SEEDS_SMALL = 5, 3
LABELLED, LEAST_LABELLED, LEAST_ANOMALIES = 0.01, 5, 50


class Cut(NamedTuple):
    """Training rows with what is known of them (1 anomaly, -1 nothing), and test rows."""

    X: Any
    known: Any
    X_test: Any
    y_test: Any


def folder() -> Path:
    """Return where ADBench's sets are: ``adbench`` in FINTECH_DL_DATA or in the cache."""
    found = [path / "adbench" for path in data_folders() if (path / "adbench").is_dir()]
    if not found:
        raise FileNotFoundError("no folder adbench with *.npz in FINTECH_DL_DATA")
    return found[0]


@cache
def labels(path: Path) -> Any:
    with np.load(path) as data:
        return data["y"].astype(int)


def sets(where: Path) -> dict[str, Path]:
    """Return the sets in a folder, those of few rows first."""
    paths = sorted(where.glob("*.npz"))
    return {path.stem: path for path in sorted(paths, key=lambda path: len(labels(path)))}


def read(path: Path, rng: np.random.RandomState) -> tuple[Any, Any]:
    """Return rows and labels, of large sets a random part."""
    with np.load(path) as data:
        X, y = data["X"].astype(np.float64), data["y"].astype(int)
    if len(y) > MOST_ROWS:
        at = rng.choice(len(y), MOST_ROWS, replace=False)
        X, y = X[at], y[at]
    return X, y


def clean(path: Path, seed: int) -> Cut:
    """Train on a random half of the normal rows; test on the other half and all anomalies."""
    rng = np.random.RandomState(seed)
    X, y = read(path, rng)
    normal = rng.permutation(np.flatnonzero(y == 0))
    learn, late = np.split(normal, [round(len(normal) / 2)])
    test = np.concatenate([late, np.flatnonzero(y == 1)])
    return Cut(X[learn], None, X[test], y[test])


def contaminated(path: Path, seed: int) -> Cut:
    """Train on as many rows as there are, drawn with replacement; test on all of them."""
    rng = np.random.RandomState(seed)
    X, y = read(path, rng)
    return Cut(X[rng.choice(len(y), len(y), replace=True)], None, X, y)


def few_labels(path: Path, seed: int) -> Cut:
    """Train on 70 % of the rows, of which few anomalies are labelled; test on the rest."""
    rng = np.random.RandomState(seed)
    X, y = read(path, rng)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=rng)
    bad = np.flatnonzero(y == 1)
    known = np.full(len(y), -1)
    known[rng.choice(bad, max(round(LABELLED * len(bad)), LEAST_LABELLED), replace=False)] = 1
    return Cut(X, known, X_test, y_test)


def drawn_as_published(path: Path, seed: int) -> tuple[Any, Any, np.random.RandomState]:
    """Return rows and labels, small sets filled with copies, and the state of the generator."""
    with np.load(path) as data:
        X, y = data["X"].astype(np.float64), data["y"].astype(int)
    rng = np.random.RandomState(seed)
    if len(y) < FILLED or len(y) > MOST_ROWS:
        few = len(y) < FILLED
        at = rng.choice(len(y), FILLED if few else MOST_ROWS, replace=few)
        X, y = X[at], y[at]
    return X, y, rng


def clean_as_published(path: Path, seed: int) -> Cut:
    """Train on the first half of the normal rows; test on the other half and all anomalies."""
    X, y, _ = drawn_as_published(path, seed)
    normal = np.flatnonzero(y == 0)
    learn, late = np.split(normal, [round(len(normal) / 2)])
    test = np.concatenate([late, np.flatnonzero(y == 1)])
    return Cut(X[learn], None, X[test], y[test])


def contaminated_as_published(path: Path, seed: int) -> Cut:
    """Train on as many rows as there are, drawn with replacement; test on all of them."""
    X, y, rng = drawn_as_published(path, seed)
    rng.choice(np.flatnonzero(y == 1), 0, replace=False)  # the labelled anomalies, of which none
    return Cut(X[rng.choice(len(y), len(y), replace=True)], None, X, y)


PROTOCOLS: dict[str, Callable[[Path, int], Cut]] = {
    "clean": clean,
    "contaminated": contaminated,
    "few-labels": few_labels,
    "clean-published": clean_as_published,
    "contaminated-published": contaminated_as_published,
}
AS_PUBLISHED = ("clean-published", "contaminated-published")  # checks of methods, not comparisons


def takes_part(protocol: str, path: Path) -> bool:
    """Tell whether a set has what a protocol needs."""
    y = labels(path)
    share = min(1.0, MOST_ROWS / len(y))
    return protocol != "few-labels" or 0.7 * share * (y == 1).sum() >= LEAST_ANOMALIES
