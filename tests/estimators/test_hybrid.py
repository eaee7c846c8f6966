"""The hybrid detector: false alarms as promised, attacks seen and unseen, reasons, refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from fintech_dl import HybridDetector, load, save
from fintech_dl.evaluation.detection_record import contributions

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
    assert again.explain(X).equals(model.explain(X))


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


# ---- reasons ----------------------------------------------------------------------------------


def frame_of(n, seed=0):
    """Rows with a column of each kind; attacks have a large amount."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "amount": rng.normal(10, 1, n),
            "count": rng.integers(0, 5, n),
            "place": rng.choice(["home", "shop"], n, p=[0.6, 0.4]),
            "kind": pd.Categorical(rng.choice([1, 2], n)),
            "night": rng.random(n) < 0.3,
            "at": pd.date_range("2024-01-01", periods=n),
        }
    )
    y = (rng.random(n) < 0.1).astype(int)
    X.loc[y == 1, "amount"] += 6
    X.loc[::20, "place"] = None
    return X, y


def of_frames(last):
    """A part that reads every column but the times."""
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = [("texts", texts, ["place", "kind"]), ("same", "passthrough", NUMBERS)]
    return make_pipeline(ColumnTransformer(columns), last)


NUMBERS = ["amount", "count", "night"]


@pytest.fixture(scope="module")
def framed():
    known, unknown = LogisticRegression(), IsolationForest(n_estimators=30)
    parts = [("known", of_frames(known)), ("unknown", of_frames(unknown))]
    return HybridDetector(parts, fpr=0.05, random_state=0).fit(*frame_of(2_000))


def test_the_odd_column_is_named_first(model, framed):
    found = model.explain([[5.0, 0.0], [0.0, -6.0], [0.0, 6.0]])
    assert found.idxmax(axis=1).tolist() == ["x0", "x1", "x1"]
    X, _ = frame_of(20, 1)
    X["amount"] = 16.0
    assert (framed.explain(X).idxmax(axis=1) == "amount").all()
    X["amount"], X["count"] = 10.0, 60
    assert (framed.explain(X).idxmax(axis=1) == "count").all()
    assert (framed.explain(X)["at"] == 0).all()


def test_an_odd_category_is_a_reason_where_it_is_rare():
    X, y = frame_of(2_000)
    X.loc[y == 1, "place"] = "abroad"
    model = HybridDetector([("known", of_frames(LogisticRegression()))], fpr=0.05, random_state=0)
    model.fit(X[["place", *NUMBERS, "kind"]].assign(amount=10.0), y)
    row = X[["place", *NUMBERS, "kind"]].assign(amount=10.0, place="abroad").head(3)
    assert (model.explain(row).idxmax(axis=1) == "place").all()
    assert (model.explain(row.astype({"place": "category"}))["place"] > 1).all()


def test_reasons_are_told_in_quantiles_of_normal_rows_held_out():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 1)), np.arange(20_000) % 20 == 0
    X[y] += 5
    model = HybridDetector([("known", LogisticRegression())], random_state=0).fit(X, y)
    usual = -np.log10(0.9)  # the lowest of the usual values still has its rarity
    for at, rarity in ((1.2816, 1.0), (2.3263, 2.0)):
        assert model.explain([[at]]).iloc[0, 0] == pytest.approx(rarity - usual, abs=0.1)
    far = model.explain([[4.5], [5.5], [12.0]])["x0"]
    assert 3 < far[0] < far[0] + 0.05 < far[1] < far[2] < 6  # where probabilities are all but 1
    assert model.explain([[-5.0]]).iloc[0, 0] == 0


def test_reasons_are_those_of_the_part_that_finds_the_row_rarest(model):
    X = np.array([[4.0, 0.3], [5.0, -0.2], [0.1, -6.0], [0.2, 6.0]])
    alone = [HybridDetector([part], fpr=0.05, random_state=0).fit(*rows(4_000)) for part in PARTS]
    found, known = model.explain(X), alone[0].explain(X)
    assert found[:2].equals(known[:2])
    assert not found[2:].equals(known[2:])
    assert known["x1"][2:].max() < 0.5 < found["x1"][2:].min()


def test_reasons_are_in_order_and_the_same_for_a_row_alone(framed):
    X, _ = frame_of(60, 3)
    X.loc[5, ["place", "amount"]] = ["unheard of", 1e6]
    X.index = [f"row {i}" for i in range(60)]
    found = framed.explain(X)
    assert found.index.equals(X.index)
    assert list(found.columns) == list(X.columns)
    assert np.isfinite(found).all(axis=None)
    assert (found >= 0).all(axis=None)
    pd.testing.assert_frame_equal(framed.explain(X[::-1])[::-1], found, rtol=1e-9)
    pd.testing.assert_frame_equal(framed.explain(X.iloc[[5]]), found.iloc[[5]], rtol=1e-9)


def test_reasons_need_no_numbers_of_the_kind_of_training(model):
    X = np.array([[5.0, 0.0], [0.0, -6.0]])
    found = model.explain(X)
    assert found.equals(model.explain(X.astype(int)))
    assert found.equals(model.explain(csr_array(X)))
    with pytest.raises(ValueError, match="3 features"):
        model.explain(np.zeros((1, 3)))
    with pytest.raises(NotFittedError):
        HybridDetector(PARTS).explain(X)


def test_alerts_have_the_reasons_of_a_hybrid_detector(framed):
    X, _ = frame_of(5, 4)
    told = contributions(make_pipeline("passthrough", framed), X)
    assert told.equals(framed.explain(X).reset_index(drop=True))
