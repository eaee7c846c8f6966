"""Calibration: exact where theory says so, the order kept, everything refused that cannot work."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags

from fintech_dl import load, save
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.calibration import (
    METHODS,
    BetaCalibration,
    CalibratedClassifier,
    prior_correction,
    shift_to_mean,
    shifted,
)
from fintech_dl.evaluation.metrics import log_loss

RNG = np.random.default_rng(0)
P = np.random.default_rng(1).beta(1, 5, 20_000)


def happened(p, seed=2):
    return (np.random.default_rng(seed).random(len(p)) < p).astype(int)


def beta_map(p, a, b, c):
    return expit(a * np.log(p) - b * np.log1p(-p) + c)


@pytest.mark.parametrize("abc", [(1, 1, 0), (0.5, 1.5, -0.3), (2, 0.4, 1.0)])
def test_beta_calibration_finds_the_map_that_made_the_data(abc):
    p = np.random.default_rng(3).uniform(0.01, 0.99, 100_000)
    found = BetaCalibration().fit(p, happened(beta_map(p, *abc)))
    assert (found.a_, found.b_, found.c_) == pytest.approx(abc, abs=0.06)
    np.testing.assert_allclose(found.predict(p), beta_map(p, *abc), atol=0.01)


def test_beta_calibration_is_the_best_of_its_family():
    y = happened(P**1.3)
    w = RNG.integers(0, 3, len(P)).astype(float)
    found = BetaCalibration().fit(P, y, w)

    def loss(t):
        return log_loss(y, beta_map(P, *t), weight=w)

    other = minimize(loss, (1, 1, 0), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14})
    own = loss((found.a_, found.b_, found.c_))
    assert own <= other.fun + 1e-10
    assert np.average(found.predict(P), weights=w) == pytest.approx(np.average(y, weights=w))
    np.testing.assert_allclose(found.predict(P), beta_map(P, *other.x), atol=1e-4)


@pytest.mark.parametrize("upside_down", [True, False])
def test_beta_calibration_never_turns_the_order(upside_down):
    y = happened(1 - P if upside_down else np.where(P < 0.1, 0.2 - P, P))
    found = BetaCalibration().fit(P, y)
    assert min(found.a_, found.b_) == 0
    grid = found.predict(np.linspace(0, 1, 500))
    assert (np.diff(grid) >= -1e-15).all()
    if upside_down:  # nothing is left but the share of positives
        np.testing.assert_allclose(grid[1:-1], y.mean(), atol=1e-6)


def test_beta_calibration_weights_are_repeated_rows_and_logits_are_probabilities():
    p, y = P[:2000], happened(P[:2000] ** 1.5)
    w = RNG.integers(0, 4, len(p))
    weighted = BetaCalibration().fit(p, y, w)
    at = np.repeat(np.arange(len(p)), w)
    repeated = BetaCalibration().fit(p[at], y[at])
    by_logit = BetaCalibration(logits=True).fit(logit(p), y, w)
    for other in (repeated.predict(p), by_logit.predict(logit(p))):
        np.testing.assert_allclose(other, weighted.predict(p), atol=1e-7)
    assert np.isfinite(by_logit.predict([-800.0, 800.0])).all()


def test_beta_calibration_is_an_estimator_with_a_plain_state():
    made = BetaCalibration(logits=True)
    again = clone(made.fit(logit(P), happened(P)))
    assert again.get_params() == {"logits": True}
    assert not hasattr(again, "a_")
    assert get_tags(made).input_tags.one_d_array
    assert {type(value) for key, value in vars(made).items() if key.endswith("_")} == {float}


@pytest.mark.parametrize("p", [np.full(100, 0.3), np.repeat([0.2, 0.7], 50), np.zeros(100)])
def test_beta_calibration_of_constant_or_parted_scores_stays_finite(p):
    y = np.repeat([0, 1], 50)
    found = BetaCalibration().fit(p, y)
    assert np.isfinite([found.a_, found.b_, found.c_]).all()
    assert found.predict(p).mean() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("p", "y", "kind", "text"),
    [
        ([0.1, 0.2], [0, 0], DataError, "(?s)0 positives and 2 negatives .*`fraction` of"),
        ([0.1, 0.2], [1, 1], DataError, "2 positives and 0 negatives"),
        ([0.1, 0.2], [0, 2], UsageError, "allowed: 0 and 1"),
        ([0.1, 1.2], [0, 1], UsageError, "needs probabilities"),
        ([0.1, np.nan], [0, 1], UsageError, "1 of 2 scores are no finite"),
    ],
)
def test_beta_calibration_refuses(p, y, kind, text):
    with pytest.raises(kind, match=text):
        BetaCalibration().fit(p, y)


# ---- another share of positives ---------------------------------------------------------------


def test_prior_correction_is_exact_after_undersampling():
    """Bayes: two normal classes, whose true log odds are known for every share of positives."""
    x = np.linspace(-4, 6, 50)
    density = np.exp(-((x - 2) ** 2) / 2), np.exp(-(x**2) / 2)

    def posterior(share):
        return share * density[0] / (share * density[0] + (1 - share) * density[1])

    found = prior_correction(posterior(0.4), from_prior=0.4, to_prior=0.02)
    np.testing.assert_allclose(found, posterior(0.02), rtol=1e-12)
    back = prior_correction(found, from_prior=0.02, to_prior=0.4)
    np.testing.assert_allclose(back, posterior(0.4), rtol=1e-10)


def test_prior_correction_undoes_class_weights():
    rng = np.random.default_rng(4)
    y = (rng.random(200_000) < 0.05).astype(int)
    X = (rng.normal(size=len(y)) + 1.5 * y)[:, None]  # logistic regression is the true model
    plain = LogisticRegression(C=1e6).fit(X, y).predict_proba(X)[:, 1]
    weighted = LogisticRegression(C=1e6, class_weight={0: 1, 1: 9}).fit(X, y)
    r = y.mean()
    found = prior_correction(weighted.predict_proba(X)[:, 1], 9 * r / (9 * r + 1 - r), r)
    assert np.abs(logit(found) - logit(plain)).max() < 0.15
    assert np.abs(logit(weighted.predict_proba(X)[:, 1]) - logit(plain)).min() > 1.5
    balanced = LogisticRegression(C=1e6, class_weight="balanced").fit(X, y).predict_proba(X)[:, 1]
    assert prior_correction(balanced, 0.5, r).mean() == pytest.approx(r, rel=0.01)


@pytest.mark.parametrize("prior", [1e-5, 0.02, 0.5, 0.999])
def test_the_mean_is_shifted_to_the_central_tendency(prior):
    w = RNG.random(len(P))
    delta = shift_to_mean(P, prior, weight=w)
    found = shifted(P, delta)
    assert np.average(found, weights=w) == pytest.approx(prior, rel=1e-9)
    np.testing.assert_allclose(logit(found) - logit(P), delta, atol=1e-6)


def test_shifts_that_cannot_be_are_refused():
    for prior in (0, 1, 5, float("nan")):
        with pytest.raises(UsageError, match="above 0, below 1"):
            shift_to_mean(P, prior)
    with pytest.raises(UsageError, match="from: got 0, allowed"):
        prior_correction(P, 0.0, 0.5)
    with pytest.raises(DataError, match=r"50\.0% one of 1, which no shift moves"):
        shift_to_mean([0.2, 1.0], 0.1)


# ---- around a classifier ----------------------------------------------------------------------


def world(n=3000, seed=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, happened(expit(1.5 * X[:, 0] - 2), seed + 1)


def fitted(model=None):
    X, y = world(seed=8)
    model = LogisticRegression(class_weight="balanced") if model is None else model
    return FrozenEstimator(model.fit(X, y))


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_the_methods_of_scikit_learn_are_those_of_scikit_learn(method):
    X, y = world()
    w = RNG.random(len(y))
    with pytest.warns(UserWarning, match="likely to be incorrect"):  # which it is not
        theirs = CalibratedClassifierCV(fitted(), method=method).fit(X, y, sample_weight=w)
    own = CalibratedClassifier(fitted(), method=method).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(own.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    assert own.shift_ == 0
    few = np.append(np.flatnonzero(y == 0)[:60], np.flatnonzero(y == 1)[:2])
    assert CalibratedClassifier(fitted(), method=method).fit(X[few], y[few]).shift_ == 0


@pytest.mark.parametrize("model", [None, RandomForestClassifier(30, max_depth=3, random_state=0)])
def test_beta_around_a_classifier_is_beta_calibration_of_its_scores(model):
    X, y = world()
    inner = fitted(model)
    found = CalibratedClassifier(inner, method="beta").fit(X, y)
    p = inner.predict_proba(X)[:, 1]
    own = BetaCalibration().fit(p, y).predict(p)
    np.testing.assert_allclose(found.predict_proba(X)[:, 1], own, atol=1e-7)
    assert log_loss(y, own) < log_loss(y, p)
    np.testing.assert_array_equal(found.predict(X), (own > 0.5).astype(int))
    np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_prior_makes_the_mean_and_keeps_the_order(method, tmp_path):
    X, y = world()
    w = RNG.random(len(y))
    plain = CalibratedClassifier(fitted(), method=method).fit(X, y, sample_weight=w)
    found = CalibratedClassifier(fitted(), method=method, prior=0.02).fit(X, y, sample_weight=w)
    p, before = found.predict_proba(X)[:, 1], plain.predict_proba(X)[:, 1]
    assert np.average(p, weights=w) == pytest.approx(0.02)
    assert (np.diff(p[np.argsort(before, kind="stable")]) >= 0).all()
    assert np.average(before, weights=w) > 0.1
    back = load(save(found, tmp_path / "artefact"))
    assert back.predict_proba(X).tobytes() == found.predict_proba(X).tobytes()


def test_names_of_classes_and_of_columns_are_kept():
    import pandas as pd

    X, y = world()
    frame, names = pd.DataFrame(X, columns=list("abc")), np.array(["good", "bad"])[y]
    inner = FrozenEstimator(LogisticRegression().fit(frame, names))
    found = CalibratedClassifier(inner, method="beta", prior=0.3).fit(frame, names)
    assert found.classes_.tolist() == ["bad", "good"]
    assert found.feature_names_in_.tolist() == list("abc")
    assert found.predict_proba(frame)[:, 1].mean() == pytest.approx(0.3)
    again = clone(found)
    assert (again.method, again.prior) == ("beta", 0.3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("only", [0, 1])
def test_rows_of_one_class_are_refused_with_a_word_on_what_to_do(method, only):
    X, _ = world(50)
    counts = f"{50 * only} positives and {50 - 50 * only} negatives among the 50 rows"
    with pytest.raises(DataError, match=f"{counts}.*train on a longer time"):
        CalibratedClassifier(fitted(), method=method).fit(X, np.full(50, only))
    y = np.arange(50) % 2
    with pytest.raises(DataError, match=r"among the 25 rows.*two of each"):
        CalibratedClassifier(fitted(), method=method).fit(X, y, (y == only).astype(float))


def test_more_than_two_classes():
    X, y = world()
    three = y + (X[:, 1] > 1)
    inner = FrozenEstimator(LogisticRegression().fit(X, three))
    found = CalibratedClassifier(inner, method="isotonic").fit(X, three)
    assert found.predict_proba(X).shape == (len(X), 3)
    for given in ({"method": "beta"}, {"method": "sigmoid", "prior": 0.1}):
        with pytest.raises(UsageError, match="3 classes came; beta and prior know two"):
            CalibratedClassifier(inner, **given).fit(X, three)
    with pytest.raises(ValueError, match="'bta'"):
        CalibratedClassifier(fitted(), method="bta").fit(X, y)
