"""Permutation importance finds what the model uses, original features at a time."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.linear_model import LogisticRegression

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.baselines import with_preprocessing
from fintech_dl.evaluation.explanation import feature_groups, permutation_importance
from fintech_dl.evaluation.outcomes import Outcome


def problem(n=600, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["strong", "weak", "none"])
    y = (2 * X["strong"] + 0.5 * X["weak"] + rng.normal(size=n) > 0).astype(int)
    return X, y, LogisticRegression().fit(X, y)


def test_agrees_with_scikit_learn():
    X, y, model = problem()
    mine = permutation_importance(model, X, Outcome(y, y), "roc_auc", n_repeats=15)
    theirs = sklearn_importance(model, X, y, scoring="roc_auc", n_repeats=15, random_state=0)
    assert [one["feature"] for one in mine] == ["strong", "weak", "none"]
    for one in mine:
        at = list(X).index(one["feature"])
        assert one["mean"] == pytest.approx(theirs.importances_mean[at], abs=0.02)
        assert one["low"] < one["mean"] < one["high"]


def test_less_is_better_counts_as_a_rise():
    X, y, model = problem()
    found = permutation_importance(model, X, Outcome(y, y), "brier")
    assert found[0]["feature"] == "strong"
    assert found[0]["mean"] > 0


def test_steps_of_a_window_are_shuffled_together():
    rng = np.random.default_rng(0)
    base = rng.normal(size=500)
    X = pd.DataFrame({"a@-1": base, "b@-1": rng.normal(size=500), "a@-0": base, "b@-0": 0.0})
    y = (base > 0).astype(int)
    model = LogisticRegression().fit(X, y)
    assert feature_groups(list(X)) == {"a": ["a@-1", "a@-0"], "b": ["b@-1", "b@-0"]}
    found = permutation_importance(model, X, Outcome(y, y), "roc_auc")
    assert [one["feature"] for one in found] == ["a", "b"]
    assert found[0]["mean"] > 0.4
    assert abs(found[1]["mean"]) < 0.02
    halves = {"first": ["a@-1"], "second": ["a@-0"]}
    apart = permutation_importance(model, X, Outcome(y, y), "roc_auc", groups=halves)
    assert max(one["mean"] for one in apart) < found[0]["mean"] - 0.1


class Stillness(BaseEstimator):
    """Scores high where a feature has not moved since the step before."""

    def predict(self, X):
        return X["b"] - 10 * (X["a@-0"] - X["a@-1"]).abs()


def test_steps_are_shuffled_by_the_same_order():
    rng = np.random.default_rng(0)
    base = rng.normal(size=300)
    X = pd.DataFrame({"a@-1": base, "a@-0": base, "b": rng.normal(size=300)})
    y = (X["b"] > 0).astype(int)
    found = permutation_importance(Stillness(), X, Outcome(y, y), "roc_auc")
    assert found[1] == {"feature": "a", "mean": 0.0, "low": 0.0, "high": 0.0}


def test_raw_frames_keep_their_types():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"country": rng.choice(["BE", "FR"], 400), "grade": pd.Categorical([1, 2] * 200)}
    )
    X.loc[::9, "country"] = None
    y = (X["country"] == "BE").astype(int)
    model = with_preprocessing(LogisticRegression()).fit(X, y)
    before = X.copy()
    found = permutation_importance(model, X, Outcome(y, y), "roc_auc")
    assert found[0]["feature"] == "country"
    pd.testing.assert_frame_equal(X, before)


def test_weights_and_days_count_and_rows_are_sampled():
    X, y, model = problem(2000)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(2000) // 400, unit="D")
    outcome = Outcome(y, y, weight=np.where(X["weak"] > 0, 1.0, 0.0), when=when)
    few = permutation_importance(model, X, outcome, "precision_at_20", max_rows=500, seed=1)
    assert few[0]["feature"] == "strong"
    again = permutation_importance(model, X, outcome, "precision_at_20", max_rows=500, seed=1)
    assert again == few
    assert permutation_importance(model, X, outcome, "precision_at_20", seed=1) != few
    flipped = Outcome(y, y, weight=np.where(X["weak"] > 0, 0.0, 1.0), when=when)
    assert permutation_importance(model, X, flipped, "precision_at_20", max_rows=500, seed=1) != few


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"n_repeats": 1}, "n_repeats: got 1"),
        ({"groups": {"strong": ["stronk"]}}, "'strong' names columns that X lacks"),
        ({"name": "savings"}, "belongs to a decision"),
        ({"name": "auc_roc"}, "unknown metric"),
        ({"outcome": Outcome([0, 1], [0, 1])}, "X has 600 rows, the outcome 2"),
    ],
)
def test_misuse_is_said(given, text):
    X, y, model = problem()
    arguments = {"outcome": Outcome(y, y), "name": "roc_auc"} | given
    with pytest.raises(UsageError, match=text):
        permutation_importance(model, X, **arguments)
