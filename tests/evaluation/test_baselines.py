"""Every baseline takes a raw frame; scores point the same way; no warning is given."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.svm import LinearSVC

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing

ESTIMATORS = [
    LogisticRegression(),
    KNeighborsClassifier(),
    LinearSVC(),
    Ridge(),
    HistGradientBoostingClassifier(max_iter=5),
    RandomForestClassifier(20, random_state=0),
]
DETECTORS = [IsolationForest(random_state=0), LocalOutlierFactor(novelty=True)]


def frame(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "amount": rng.lognormal(size=n),
            "age": pd.array(rng.integers(18, 90, n), dtype="Int64"),
            "online": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "night": rng.random(n) < 0.2,
            "constant": 1.0,
            "empty": np.nan,
            "nothing": pd.Series([None] * n, dtype=object),
            "country": rng.choice(["BE", "FR", "DE"], n),
            "mixed": rng.choice(np.array([1, "a", None, 2.5], dtype=object), n),
            "grade": pd.Categorical(rng.choice([3, 4, 5], n)),
        }
    )
    y = ((X["amount"] > 1.5) ^ (X["country"] == "BE")).astype(int)
    X.loc[X.index % 7 == 0, ["amount", "country", "grade"]] = None
    X.loc[X.index % 5 == 0, ["age", "online"]] = pd.NA
    return X, y


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
@pytest.mark.filterwarnings("error")
def test_a_raw_frame_goes_straight_in(estimator):
    X, y = frame()
    model = with_preprocessing(estimator).fit(X, y)
    unseen, truth = frame(seed=1)
    assert roc_auc_score(truth, score_rows(model, unseen)) > 0.6
    unseen["country"], unseen["grade"] = "Atlantis", pd.Categorical(["new"] * len(unseen))
    unseen["night"] = np.nan
    unseen["constant"] = 2.0
    scores = score_rows(model, unseen)
    assert scores.shape == (300,)
    assert np.isfinite(scores).all()
    assert np.array_equal(score_rows(clone(model).fit(X, y), unseen), scores)


@pytest.mark.parametrize("estimator", DETECTORS, ids=lambda e: type(e).__name__)
@pytest.mark.filterwarnings("error")
def test_detectors_score_the_odd_row_highest(estimator):
    X, _ = frame()
    model = with_preprocessing(estimator).fit(X)
    odd = X.copy()
    odd.loc[11, "amount"] = 1e4
    scores = score_rows(model, odd)
    assert scores.argmax() == 11 or scores[11] > score_rows(model, X)[11]


def test_trees_get_missing_values_and_codes_as_they_are():
    X, y = frame()
    model = with_preprocessing(HistGradientBoostingClassifier(max_iter=2)).fit(X, y)
    seen = pd.DataFrame(model["columns"].transform(X))
    assert seen.shape[1] == 8
    assert np.isnan(seen[0]).sum() == X["amount"].isna().sum()
    assert set(seen[5].dropna()) == {0, 1, 2}
    X["country"] = "Atlantis"
    assert np.isnan(model["columns"].transform(X)[:, 5].astype(float)).all()


def test_linear_models_get_medians_indicators_and_one_column_per_category():
    X, y = frame()
    model = with_preprocessing(LogisticRegression()).fit(X, y)
    seen = model["columns"].transform(X)
    assert np.isfinite(seen).all()
    indicators, categories = 3, 4 + 4 + 4
    assert seen.shape[1] == 5 + indicators + categories
    assert np.allclose(seen[:, :4].mean(axis=0), 0)
    assert np.allclose(seen[:, :4].std(axis=0), 1)


def test_isolation_forests_get_no_missing_values():
    X, _ = frame()
    model = with_preprocessing(IsolationForest(random_state=0)).fit(X)
    assert np.isfinite(model["columns"].transform(X)).all()


def test_many_categories_stay_few_columns():
    X = pd.DataFrame({"merchant": [f"m{i % 400}" for i in range(2000)]})
    y = np.arange(2000) % 2
    model = with_preprocessing(LogisticRegression()).fit(X, y)
    assert model["columns"].transform(X).shape[1] == 100


def test_the_estimator_is_left_as_it_is():
    X, y = frame()
    own = LogisticRegression(C=3.0)
    model = with_preprocessing(own).fit(X, y)
    assert not hasattr(own, "coef_")
    assert model["model"].C == 3.0


def test_lightgbm_is_quiet(capfd):
    lightgbm = pytest.importorskip("lightgbm")
    X, y = frame()
    model = with_preprocessing(lightgbm.LGBMClassifier(n_estimators=5)).fit(X, y)
    assert roc_auc_score(y, score_rows(model, X)) > 0.8
    assert capfd.readouterr().out == ""
    loud = with_preprocessing(lightgbm.LGBMClassifier(verbose=1))
    assert loud["model"].get_params()["verbose"] == 1


def test_weights_reach_the_model():
    X, y = frame()
    weight = np.where(y == 1, 50.0, 1.0)
    plain = with_preprocessing(LogisticRegression()).fit(X, y)
    weighted = with_preprocessing(LogisticRegression()).fit(X, y, model__sample_weight=weight)
    assert score_rows(weighted, X).mean() > score_rows(plain, X).mean() + 0.2


class AnomalyModel(BaseEstimator):
    def anomaly_score(self, X):
        return X["a"].to_numpy() * 2

    def score_samples(self, X):
        raise AssertionError


class Ranker(BaseEstimator):
    def predict(self, X):
        return X[["a"]].to_numpy()


def test_scores_by_kind_of_model():
    X = pd.DataFrame({"a": [1.0, 2.0, 9.0, 4.0]})
    assert score_rows(AnomalyModel(), X).tolist() == [2, 4, 18, 8]
    assert score_rows(Ranker(), X).tolist() == [1, 2, 9, 4]
    prior = with_preprocessing(DummyClassifier(strategy="prior")).fit(X, [0, 0, 0, 1])
    assert score_rows(prior, X).tolist() == [0.25] * 4


@pytest.mark.parametrize("y", [[0, 0, 0], [0, 1, 2]])
def test_other_than_two_classes_is_an_error(y):
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    model = DummyClassifier(strategy="prior").fit(X, y)
    with pytest.raises(UsageError, match="two classes are needed"):
        score_rows(model, X)


def test_a_date_column_is_named():
    X = pd.DataFrame({"a": [1.0, 2.0], "opened": pd.date_range("2024-01-01", periods=2)})
    with pytest.raises(DataError, match="column 'opened' is of type datetime64"):
        with_preprocessing(LogisticRegression()).fit(X, [0, 1])
