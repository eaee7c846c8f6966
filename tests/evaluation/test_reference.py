"""The frozen reference: the bins of PSI, all rows counted, no row kept."""

import json

import numpy as np
import pandas as pd
import pytest

from fintech_dl.cards import Decision
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.reference import describe_feature, measured, reference_record
from fintech_dl.evaluation.splits import Fold
from fintech_dl.evaluation.stability import psi, psi_of_counts
from fintech_dl.sealed import to_json
from fintech_dl.table import Table

rng = np.random.default_rng(0)
N = 3000
KINDS = {
    "float": rng.normal(size=N),
    "float32, some missing": np.where(rng.random(N) < 0.1, np.nan, rng.normal(size=N)).astype("f4"),
    "mostly zero": np.where(rng.random(N) < 0.7, 0.0, rng.lognormal(size=N)),
    "constant": np.full(N, 7.0),
    "whole": rng.integers(0, 5, N).astype("int16"),
    "truth": rng.random(N) < 0.3,
    "text": pd.Series(rng.choice(["own", "rent", "free", None], N), dtype=object),
    "category": pd.Series(rng.choice(list("abc"), N)).astype("category"),
    "numbers as categories": pd.Series(rng.integers(1, 4, N)).astype("category"),
    "many": pd.Series([f"shop {i}" for i in rng.integers(0, 200, N)]),
    "all missing": np.full(N, np.nan),
}


def counted(values: pd.Series, found: dict) -> np.ndarray:
    """Return new values in a reference's bins, missing last, the plain way."""
    if found["kind"] == "number":
        numbers = values.to_numpy(dtype=float)
        at = np.searchsorted(found["edges"], numbers, "left")
        at = np.where(np.isnan(numbers), len(found["edges"]) + 1, at)
        return np.bincount(at, minlength=len(found["edges"]) + 2)
    places = {label: i for i, label in enumerate(found["categories"])}
    n = len(places)
    at = [n + 1 if pd.isna(one) else places.get(str(one), n) for one in values]
    return np.bincount(at, minlength=n + 2)


@pytest.mark.parametrize("kind", KINDS)
def test_psi_from_frozen_bins_is_psi_from_the_rows(kind):
    values = pd.Series(KINDS[kind])
    old, new = values[:2000], values[1500:].reset_index(drop=True)
    found = json.loads(to_json(describe_feature("x", old)))
    expected = [*found["counts"], *([found["other"]] if "other" in found else []), found["missing"]]
    assert sum(expected) == 2000
    again = psi_of_counts(["bin"] * len(expected), expected, counted(new, found))
    whole = psi(old, new)
    assert again.psi == pytest.approx(whole.psi, abs=1e-12)
    assert again.p_value == pytest.approx(whole.p_value, abs=1e-12)
    assert again.chance_95 == whole.chance_95


def test_weights_count_and_the_effective_rows_are_kish():
    weight = rng.uniform(0.5, 2, N)
    table = Table(X=pd.DataFrame({"x": KINDS["float"]}), weight=pd.Series(weight))
    y = (rng.random(N) < 0.3).astype(int)
    outcome = Outcome(y=y[2000:], score=rng.random(1000))
    fold = Fold(name="all", train=np.arange(2000), test=np.arange(2000, N))
    found = reference_record(table, fold, Scored("model", "M", False, [outcome]), None, {})
    w = weight[:2000]
    assert sum(found["features"][0]["counts"]) == pytest.approx(w.sum())
    assert found["effective_rows"] == pytest.approx(w.sum() ** 2 / (w * w).sum())
    assert found["rows"] == 2000
    assert found["score"]["rows"] == 1000
    assert found["alert_rate"] is None


def test_record_tells_the_latest_test_and_the_reading():
    table = Table(X=pd.DataFrame({"x": KINDS["float"], "day": pd.Timestamp("2020-01-01")}))
    y, score = np.tile([0, 0, 0, 1], 250), np.linspace(0, 1, 1000)
    scored = Scored("model", "M", False, [Outcome(y=y, score=score)])
    fold = Fold(name="all", train=np.arange(2000), test=np.arange(2000, N))
    facts = {"rows_read": 4000, "rows_quarantined": 10, "quarantine_reasons": {"below_min:x": 10}}
    made_of = (table, fold, scored, Decision(rule="threshold", threshold=0.75), facts)
    found = reference_record(*made_of)
    assert found == reference_record(*made_of)
    assert [one["name"] for one in found["features"]] == ["x"]  # dates have no bins
    assert found["alert_rate"] == pytest.approx(0.25)
    assert found["quarantined_share"] == 0.0025
    assert found["test"]["observed"] == 0.25
    assert set(found["test"]["metrics"]) == {"roc_auc", "average_precision", "brier"}
    assert found["score"]["counts"] == [100] * 10
    assert reference_record(*made_of, labelled=False)["test"] is None
    to_json(found)


def test_what_labels_cannot_say_is_left_out():
    assert measured(Outcome(y=[0, 0], score=[0.1, 0.2]), True)["metrics"].keys() == {"brier"}
    numbers = measured(Outcome(y=[1.0, 2.0], score=[1.0, 3.0], numbers=True), False)
    assert numbers["metrics"]["mae"]["value"] == 0.5
    assert numbers["curve"] is None


def test_bounds_come_from_a_sample_and_counts_from_all_rows(monkeypatch):
    monkeypatch.setattr("fintech_dl.evaluation.reference.MOST_SORTED", 100)
    found = describe_feature("x", pd.Series(KINDS["float"]))
    assert sum(found["counts"]) == N
    assert len(found["edges"]) == 9


def test_names_beyond_the_frequent_are_known_so_that_unseen_ones_are_told(monkeypatch):
    found = describe_feature("shop", pd.Series(KINDS["many"]))
    assert len(found["categories"]) == 49
    assert len(found["others"]) == len(set(KINDS["many"])) - 49
    assert sum(found["counts"]) + found["other"] == N
    monkeypatch.setattr("fintech_dl.evaluation.reference.MOST_KNOWN", 10)
    assert describe_feature("shop", pd.Series(KINDS["many"]))["others"] is None
