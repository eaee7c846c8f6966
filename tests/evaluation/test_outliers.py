"""Classic detectors: their published definitions, scikit-learn's contract, defined answers."""

import warnings

import numpy as np
import pytest
from scipy.stats import skew
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fintech_dl import (
    EmpiricalTailDetector,
    HistogramDetector,
    NearestNeighboursDetector,
    RobustCovarianceDetector,
    load,
    save,
)
from fintech_dl.evaluation import outliers

DETECTORS = [
    NearestNeighboursDetector(),
    HistogramDetector(),
    EmpiricalTailDetector(),
    RobustCovarianceDetector(random_state=0),
]
each = pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)


@parametrize_with_checks(DETECTORS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_contract_of_scikit_learn_holds(estimator, check):
    check(estimator)


def rows(n=400, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * np.arange(1, d + 1) + 10 * np.arange(d)


@each
@pytest.mark.filterwarnings("error")
def test_far_rows_score_worst_and_scores_do_not_depend_on_neighbours(detector, tmp_path):
    X, new = rows(), rows(100, seed=1)
    new[:20] += 12
    model = detector.fit(X)
    score = model.score_samples(new)
    assert roc_auc_score(np.arange(100) < 20, -score) > 0.99
    assert model.score_samples(new[::-1])[::-1] == pytest.approx(score, abs=1e-9)
    assert [model.score_samples(row[None])[0] for row in new[:9]] == pytest.approx(score[:9])
    assert (model.predict(new) == np.where(score < model.offset_, -1, 1)).all()
    assert (model.predict(X) == -1).mean() == pytest.approx(0.1, abs=0.005)
    assert load(save(model, tmp_path / "artefact")).score_samples(new) == pytest.approx(score)


@each
@pytest.mark.filterwarnings("error")
def test_odd_tables_have_a_defined_answer(detector):
    constant = np.column_stack([rows(60, 2), np.full(60, 3.0)])
    tables = {
        "equal rows": np.ones((20, 3)),
        "one column": rows(30, 1),
        "two rows": np.array([[0.0], [1.0]]),
        "more columns than rows": rows(8, 20),
        "a constant column": constant,
        "half of the rows equal": np.vstack([np.zeros((40, 2)), rows(20, 2)]),
        "a column twice": constant[:, [0, 0, 1]],
        "float32's extremes": np.array([[0.0], [3e38], [-3e38], [1e-38]] * 5),
    }
    for name, X in tables.items():
        score = detector.fit(X).score_samples(np.vstack([X, X[:1] + 1]))
        assert np.isfinite(score).all(), name
        assert set(detector.predict(X)) <= {-1, 1}
    with pytest.raises(ValueError, match=r"contamination=0.6; allowed: above 0, up to 0.5"):
        type(detector)(contamination=0.6).fit(constant)
    for wrong in (np.full((5, 2), np.inf), constant[:1]):
        with pytest.raises(ValueError, match=r"infinity|minimum of 2"):
            detector.fit(wrong)


@each
def test_a_value_never_seen_in_a_constant_column_is_no_better(detector):
    X = np.column_stack([rows(200, 2), np.full(200, 3.0)])
    model = detector.fit(X)
    changed = X[:5] + np.array([0.0, 0.0, 2.0])
    assert (model.score_samples(changed) <= model.score_samples(X[:5]) + 1e-9).all()


def test_nearest_neighbours_are_other_rows():
    X = rows(60, 3)
    apart = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    others = np.sort(apart, axis=1)[:, 1:6]  # the first is the row itself
    for distance, wanted in (("largest", others[:, -1]), ("mean", others.mean(axis=1))):
        model = NearestNeighboursDetector(distance=distance).fit(X)
        assert -model.score_samples(X) == pytest.approx(wanted)
    wide = np.hstack([X] * 8)  # where scikit-learn takes another way to a distance
    model = NearestNeighboursDetector().fit(wide)
    assert -model.score_samples(wide) == pytest.approx(others[:, -1] * np.sqrt(8))
    new = X[:4] + 0.01
    model = NearestNeighboursDetector(n_neighbors=1).fit(X)
    assert -model.score_samples(new) == pytest.approx(np.full(4, 0.01 * np.sqrt(3)))
    assert len(model.rows_) == 60
    few = NearestNeighboursDetector(n_neighbors=50).fit(X[:3])
    assert -few.score_samples(X[:1]) == pytest.approx([apart[0, :3].max()])


def test_copies_are_neighbours_of_each_other():
    X = np.array([[0.0], [0.0], [0.0], [5.0]])
    score = NearestNeighboursDetector(n_neighbors=2).fit(X).score_samples(X)
    assert score == pytest.approx([0.0, 0.0, 0.0, -5.0])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"n_neighbors": 0}, "n_neighbors=0; allowed: 1 or more"), ({"distance": "least"}, "largest")],
)
def test_parameters_of_neighbours_are_checked(wrong, told):
    with pytest.raises(ValueError, match=told):
        NearestNeighboursDetector(**wrong).fit(rows())


def hbos(X, new, bins=10):
    """The score as PyOD's documentation defines it, row by row."""
    total = np.zeros(len(new))
    for j in range(X.shape[1]):
        density, edges = np.histogram(X[:, j], bins, density=True)
        worth = -np.log2(density + 0.1)
        half = (edges[1] - edges[0]) / 2
        for i, x in enumerate(new[:, j]):
            if x < edges[0]:
                total[i] += worth[0] if edges[0] - x <= half else worth.max()
            elif x >= edges[-1]:
                total[i] += worth[-1] if x - edges[-1] <= half else worth.max()
            else:
                total[i] += worth[np.digitize(x, edges) - 1]
    return total


def test_histogram_scores_are_those_of_the_definition_in_any_unit():
    scaler = StandardScaler().fit(rows())
    X, new = scaler.transform(rows()), scaler.transform(rows(50, seed=3) * 1.6)
    model = HistogramDetector().fit(X)
    assert -model.score_samples(new) == pytest.approx(hbos(X, new))
    cents = HistogramDetector().fit(X * 100 + 7)
    assert cents.score_samples(new * 100 + 7) == pytest.approx(model.score_samples(new))
    with pytest.raises(ValueError, match="n_bins=1; allowed: 2 or more"):
        HistogramDetector(n_bins=1).fit(X)


def ecod(X, new):
    """The score as PyOD defines it, of each row alone beside the training rows."""
    found = []
    for row in new:
        both = np.vstack([X, row])
        n, s = len(both), np.sign(skew(X, axis=0))
        left = -np.log((both <= row).sum(axis=0) / n)
        right = -np.log((both >= row).sum(axis=0) / n)
        skewed = -left * np.sign(s - 1) + right * np.sign(s + 1)
        found.append(np.maximum(skewed, (left + right) / 2).sum())
    return np.array(found)


def test_tail_scores_are_those_of_the_definition():
    X, new = np.exp(rows(200, 3) / 20), np.exp(rows(40, 3, seed=5) / 15)
    X[:, 1] *= -1
    new[:, 1] *= -1
    model = EmpiricalTailDetector().fit(X)
    assert -model.score_samples(new) == pytest.approx(ecod(X, new))
    assert -model.score_samples(X[:30]) == pytest.approx(ecod(X, X[:30]))


def test_tails_read_missing_values():
    X, new = rows(200, 3), rows(5, 3, seed=2)
    holes = X.copy()
    holes[::3, 1] = np.nan
    model = EmpiricalTailDetector().fit(holes)
    without = new.copy()
    without[:, 1] = np.nan
    alone = EmpiricalTailDetector().fit(X[:, [0, 2]])
    assert model.score_samples(without) == pytest.approx(alone.score_samples(new[:, [0, 2]]))
    assert (model.score_samples(new) < model.score_samples(without)).all()
    empty = np.column_stack([X, np.full(200, np.nan)])
    score = EmpiricalTailDetector().fit(empty).score_samples(np.full((1, 4), np.nan))
    assert score.tolist() == [0.0]
    constant = np.column_stack([X, np.full(200, 3.0)])
    both = EmpiricalTailDetector().fit(constant).score_samples(constant)
    assert both == pytest.approx(EmpiricalTailDetector().fit(X).score_samples(X))


def test_robust_covariance_is_not_moved_by_a_fifth_of_wild_rows():
    X = rows(500, 3)
    wild = X.copy()
    wild[:100] += 60
    model = RobustCovarianceDetector(random_state=0).fit(wild)
    assert model.location_ == pytest.approx(X[100:].mean(axis=0), abs=0.5)
    assert (model.score_samples(wild)[:100] < model.score_samples(wild)[100:].min()).all()
    turned = X @ np.array([[1.0, 2, 0], [0, 1, 1], [3, 0, 1]])
    same = RobustCovarianceDetector(random_state=0).fit(turned).score_samples(turned)
    own = RobustCovarianceDetector(random_state=0).fit(X).score_samples(X)
    assert np.corrcoef(same, own)[0, 1] > 0.99


def test_robust_covariance_searches_among_a_sample_of_many_rows(monkeypatch):
    monkeypatch.setattr(outliers, "MOST_ROWS", 300)
    X = rows(2000, 3)
    model = RobustCovarianceDetector(random_state=0).fit(X)
    again = RobustCovarianceDetector(random_state=0).fit(X)
    assert (model.precision_ == again.precision_).all()
    assert model.score_samples(X).shape == (2000,)
    monkeypatch.setattr(outliers, "MOST_ROWS", 2000)
    whole = RobustCovarianceDetector(random_state=0).fit(X)
    assert not (whole.precision_ == model.precision_).all()
    assert np.corrcoef(whole.score_samples(X), model.score_samples(X))[0, 1] > 0.97


@pytest.mark.filterwarnings("error")
def test_robust_covariance_of_wide_tables_starts_from_the_medians(monkeypatch):
    X = rows(900, 110)
    wild = X.copy()
    wild[:200] += 500
    model = RobustCovarianceDetector().fit(wild)
    score = model.score_samples(wild)
    assert (score[:200] < score[200:].min()).all()
    assert model.location_ == pytest.approx(X[200:].mean(axis=0), abs=12)
    few = X[:, :4] @ np.array([[2.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 3]])
    searched = RobustCovarianceDetector(random_state=0).fit(few).score_samples(few)
    monkeypatch.setattr(outliers, "MOST_COLUMNS", 3)
    assert (
        np.corrcoef(searched, RobustCovarianceDetector().fit(few).score_samples(few))[0, 1] > 0.99
    )
    constant = np.hstack([X, np.full((900, 1), 3.0)])
    monkeypatch.undo()
    both = (RobustCovarianceDetector().fit(table).score_samples(table) for table in (X, constant))
    first, second = both
    assert np.corrcoef(first, second)[0, 1] > 0.99


def test_nothing_is_said_on_the_way():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RobustCovarianceDetector(random_state=0).fit(np.hstack([rows(), rows()]))
