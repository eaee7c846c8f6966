"""The hybrid detector: false alarms as promised, attacks seen and unseen, and what is refused."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression

from fintech_dl import HybridDetector, load, save

PARTS = [
    ("known", LogisticRegression()),
    ("unknown", IsolationForest(n_estimators=20)),
]


def rows(n, seed=0, shift=(4.0, 0.0), share=0.2):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, 2)), (rng.random(n) < share).astype(int)
    X[y == 1] += shift
    return X, y


@pytest.fixture(scope="module")
def model():
    return HybridDetector(PARTS, fpr=0.05, random_state=0).fit(*rows(4_000))


def test_normal_rows_are_flagged_at_the_promised_rate():
    rates = []
    for seed in range(10):
        X, y = rows(3_000, seed)
        parts = [("known", LogisticRegression()), ("kernel", LogisticRegression(C=0.01))]
        found = HybridDetector(parts, fpr=0.1, random_state=seed).fit(X, y)
        new, label = rows(5_000, seed + 100)
        rates.append((found.predict(new[label == 0]) == -1).mean())
    assert np.mean(rates) == pytest.approx(0.1, abs=0.015)


def test_known_and_unknown_attacks_are_found(model):
    known, label = rows(2_000, 5)
    unknown, other = rows(2_000, 6, shift=(0.0, -6.0))
    assert (model.predict(known[label == 1]) == -1).mean() > 0.8
    assert (model.predict(unknown[other == 1]) == -1).mean() > 0.9
    alone = HybridDetector(PARTS[:1], fpr=0.05, random_state=0).fit(*rows(4_000))
    assert (alone.predict(unknown[other == 1]) == -1).mean() < 0.2


def test_scores_signs_and_order(model):
    X, _ = rows(500, 9)
    score = model.anomaly_score(X)
    assert ((score >= 0) & (score <= 1)).all()
    assert np.array_equal(model.score_samples(X), -score)
    assert np.array_equal(model.predict(X) == -1, model.decision_function(X) < 0)
    assert np.array_equal(model.anomaly_score(X[::-1])[::-1], score)
    assert model.anomaly_score(X[7:8])[0] == score[7]


def test_detectors_never_see_attacks():
    X, y = rows(1_000)
    found = HybridDetector(PARTS, fpr=0.1, random_state=0).fit(X, y)
    moved = X.copy()
    moved[y == 1] += 100
    other = HybridDetector(PARTS, fpr=0.1, random_state=0).fit(moved, y)
    one, two = (m.estimators_[1].score_samples(X) for m in (found, other))
    assert np.array_equal(one, two)


def test_the_seed_decides_everything(model):
    X, y = rows(4_000)
    again = clone(model).fit(X, y)
    assert np.array_equal(again.anomaly_score(X), model.anomaly_score(X))
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.anomaly_score(X), model.anomaly_score(X))


def test_parameters_of_the_parts_have_addresses(model):
    assert model.get_params()["unknown__n_estimators"] == 20
    changed = clone(model).set_params(unknown__n_estimators=7, fpr=0.2)
    assert (changed.estimators[1][1].n_estimators, changed.fpr) == (7, 0.2)
    assert model.estimators[1][1].n_estimators == 20


def test_a_saved_detector_scores_the_same(model, tmp_path):
    X, _ = rows(50, 3)
    again = load(save(model, tmp_path / "artefact"))
    assert np.array_equal(again.anomaly_score(X), model.anomaly_score(X))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fpr": 0.0}, r"fpr=0\.0; allowed: above 0 and below 1"),
        ({"fraction": 1.0}, r"fraction=1\.0; allowed"),
        ({"estimators": []}, "name one classifier or detector at least"),
        ({"fpr": 0.001}, "needs 1000 held out"),
        ({"estimators": [("a", LogisticRegression()), ("a", LogisticRegression())]}, "not unique"),
    ],
)
def test_parameters_out_of_range(changes, told):
    X, y = rows(300)
    with pytest.raises(ValueError, match=told):
        HybridDetector(**{"estimators": PARTS, "fpr": 0.1, **changes}).fit(X, y)


def test_labels_are_0_and_1():
    X, y = rows(300)
    with pytest.raises(ValueError, match=r"y holds \[-1\.0\]; allowed: 1 for an attack"):
        HybridDetector(PARTS, fpr=0.1).fit(X, np.where(y == 1, -1, 0))
    with pytest.raises(ValueError, match="0 normal rows"):
        HybridDetector(PARTS, fpr=0.1).fit(X, np.ones(300))
