"""The conventions of PyOD's own public tests: attributes, shapes, ranges, signs."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.base import clone, is_outlier_detector
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from fintech_dl import Autoencoder, NeuralDetector, PyODAdapter

OURS = NeuralDetector(network=Autoencoder(units=8, code=1), epochs=20, random_state=0)
FOREST = IsolationForest(n_estimators=50, random_state=0)
N_TRAIN, N_TEST = 200, 100


def data(n, seed):
    """Return rows around one point, the last tenth of them spread over a wide box, and labels."""
    rng = np.random.default_rng(seed)
    odd = n // 10
    rows = np.vstack([rng.normal(2, 1, size=(n - odd, 2)), rng.uniform(-6, 6, size=(odd, 2))])
    return rows, (np.arange(n) >= n - odd).astype(int)


X, Y = data(N_TRAIN, 0)
X_TEST, Y_TEST = data(N_TEST, 1)


@pytest.fixture(scope="module", params=[OURS, FOREST], ids=["ours", "scikit-learn's"])
def model(request):
    return PyODAdapter(request.param, contamination=0.1).fit(X)


def test_attributes(model):
    assert model.decision_scores_.shape == (N_TRAIN,)
    assert np.array_equal(model.decision_function(X), model.decision_scores_)
    assert np.array_equal(model.labels_, (model.decision_scores_ > model.threshold_).astype(int))
    assert model.labels_.sum() == N_TRAIN // 10
    assert model.threshold_ == np.percentile(model.decision_scores_, 90)
    assert model._mu == model.decision_scores_.mean()
    assert model._sigma == model.decision_scores_.std()
    assert is_outlier_detector(model)


def test_higher_scores_are_worse_and_labels_are_0_and_1(model):
    scores, labels = model.decision_function(X_TEST), model.predict(X_TEST)
    assert scores.shape == labels.shape == (N_TEST,)
    assert roc_auc_score(Y_TEST, scores) > 0.8
    assert set(labels) == {0, 1}
    assert np.array_equal(labels == 1, scores > model.threshold_)


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities(model, method):
    p = model.predict_proba(X_TEST, method=method)
    assert p.shape == (N_TEST, 2)
    assert np.allclose(p.sum(axis=1), 1)
    assert 0 <= p.min() <= p.max() <= 1
    order = np.argsort(model.decision_function(X_TEST))
    assert (np.diff(p[order, 1]) >= 0).all()
    again, confidence = model.predict_proba(X_TEST, method=method, return_confidence=True)
    assert np.array_equal(p, again)
    assert np.array_equal(confidence, model.predict_confidence(X_TEST))


def test_linear_probabilities_span_the_training_scores(model):
    p = model.predict_proba(X)[:, 1]
    assert p[model.decision_scores_.argmin()] == 0
    assert p[model.decision_scores_.argmax()] == 1


def test_confidence_is_low_near_the_threshold_only(model):
    labels, confidence = model.predict(X_TEST, return_confidence=True)
    assert np.array_equal(labels, model.predict(X_TEST))
    assert confidence.shape == (N_TEST,)
    assert 0 <= confidence.min() <= confidence.max() <= 1
    scores = model.decision_function(X_TEST)
    far = (scores > np.quantile(model.decision_scores_, 0.99)) | (
        scores < np.quantile(model.decision_scores_, 0.5)
    )
    assert confidence[far].min() > 0.99
    assert confidence.min() < 0.9


def test_rejection(model):
    labels, kept = model.predict_with_rejection(X_TEST), model.predict(X_TEST)
    rejected = labels == -2
    assert labels.shape == (N_TEST,)
    assert 0 < rejected.sum() < N_TEST
    assert np.array_equal(labels[~rejected], kept[~rejected])
    fewer = model.predict_with_rejection(X_TEST, T=2) == -2
    assert fewer.sum() < rejected.sum()
    assert rejected[fewer].all()
    again, (expected, most, cost) = model.predict_with_rejection(X_TEST, return_stats=True)
    assert np.array_equal(again, labels)
    assert 0 <= expected <= most <= 1
    assert abs(expected - rejected.mean()) < 0.2
    assert cost >= 0
    dearer = model.predict_with_rejection(X_TEST, return_stats=True, c_r=5)[1][2]
    assert dearer > cost


def test_fit_predict_and_its_score(model):
    assert np.array_equal(clone(model).fit_predict(X), model.labels_)
    auc = clone(model).fit_predict_score(X, Y)
    assert auc == roc_auc_score(Y, model.decision_scores_)
    top = np.argsort(-model.decision_scores_)[: Y.sum()]
    assert clone(model).fit_predict_score(X, Y, scoring="prc_n_score") == Y[top].mean()
    with pytest.raises(NotImplementedError, match="scoring='something'; allowed: roc_auc_score"):
        model.fit_predict_score(X, Y, scoring="something")


def test_ranks(model):
    scores, ranks = model.decision_function(X_TEST), model._predict_rank(X_TEST)
    np.testing.assert_allclose(rankdata(ranks), rankdata(scores), atol=5)
    assert 0 <= ranks.min() <= ranks.max() <= N_TRAIN
    normalised = model._predict_rank(X_TEST, normalized=True)
    assert 0 <= normalised.min() <= normalised.max() == 1


def test_parameters_and_clones():
    model = PyODAdapter(FOREST, contamination=0.2)
    assert model.get_params(deep=False) == {"detector": FOREST, "contamination": 0.2}
    assert clone(model).set_params(detector__n_estimators=9).detector.n_estimators == 9
    assert FOREST.n_estimators == 50
    for share in (0, -0.5, 0.51):
        with pytest.raises(ValueError, match=r"contamination=.*; allowed"):
            PyODAdapter(FOREST, contamination=share).fit(X)
    with pytest.raises(ValueError, match="allowed: an estimator with anomaly_score or score_sam"):
        PyODAdapter("forest").fit(X)
    with pytest.raises(ValueError, match="method='something'; allowed: 'linear', 'unify'"):
        PyODAdapter(FOREST).fit(X).predict_proba(X, method="something")
    with pytest.raises(ValueError, match="delta=2; allowed"):
        PyODAdapter(FOREST).fit(X).predict_with_rejection(X, delta=2)
    with pytest.raises(NotFittedError):
        PyODAdapter(FOREST).predict(X)


def test_scores_that_are_all_equal_have_probabilities_too():
    model = PyODAdapter(FOREST).fit(np.ones((30, 2)))
    for method in ("linear", "unify"):
        assert np.isfinite(model.predict_proba(np.ones((3, 2)), method=method)).all()
    assert model.labels_.sum() == 0
