"""The rivals of the credit benchmark that need no tuning, and blends: functions of training rows.

A method is a function ``(X, y, seed, threads)`` of a frame, 0/1 labels, a seed and the number of
threads; it returns a fitted object with ``predict_proba``.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from fintech_dl.evaluation.baselines import with_preprocessing

Method = Callable[[pd.DataFrame, pd.Series, int, int], Any]


class WeightOfEvidence(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace each value by ln(share of the good / share of the bad) of its bin.

    Numbers are cut by a small tree, categories of fewer than 1 % of the rows are one bin, missing
    values are a bin of their own. What no training row has gets 0.
    """

    def __init__(self, max_bins: int = 8, min_share: float = 0.05) -> None:
        self.max_bins = max_bins
        self.min_share = min_share

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        y = np.asarray(y)
        self.edges_: dict[str, Any] = {}
        self.common_: dict[str, Any] = {}
        self.woe_: dict[str, pd.Series] = {}
        for name in X:
            column = X[name]
            if column.dtype == "category":
                share = column.value_counts(normalize=True)
                self.common_[name] = share.index[share >= 0.01]
            else:
                self.edges_[name] = self._cut(column, y)
            bins = self._bins(column, name)
            bad = pd.Series(y).groupby(bins).agg(["sum", "size"])
            good = bad["size"] - bad["sum"]
            self.woe_[name] = np.log((good + 0.5) / (len(y) - y.sum())) - np.log(
                (bad["sum"] + 0.5) / y.sum()
            )
        return self

    def transform(self, X: pd.DataFrame) -> Any:
        columns = [pd.Series(self._bins(X[name], name)).map(self.woe_[name]) for name in X]
        return np.column_stack([column.fillna(0.0) for column in columns])

    def _cut(self, column: pd.Series, y: Any) -> Any:
        known = column.notna().to_numpy()
        if not known.any():
            return np.empty(0)
        tree = DecisionTreeClassifier(
            max_leaf_nodes=self.max_bins, min_samples_leaf=self.min_share, random_state=0
        )
        tree.fit(column[known].to_numpy()[:, None], y[known])
        return np.sort(tree.tree_.threshold[tree.tree_.feature >= 0])

    def _bins(self, column: pd.Series, name: str) -> Any:
        if name in self.common_:
            text = column.astype(object)
            return text.where(text.isin(self.common_[name]), "(rare)").to_numpy()
        bins = np.searchsorted(self.edges_[name], column.to_numpy(float))
        return np.where(column.isna(), -1, bins)


def logistic(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """One column per category, medians for what is missing with an indicator beside, scaled."""
    return with_preprocessing(LogisticRegression(max_iter=2000)).fit(X, y)


def logistic_on_woe(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    return make_pipeline(WeightOfEvidence(), LogisticRegression(max_iter=2000)).fit(X, y)


def lightgbm(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=400,
        learning_rate=0.02,
        num_leaves=15,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.5,
        random_state=seed,
        n_jobs=threads,
        verbose=-1,
    ).fit(X, y)


def lightgbm_default(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=seed, n_jobs=threads, verbose=-1).fit(X, y)


def catboost_default(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        cat_features=list(X.select_dtypes("category")),
        random_seed=seed,
        thread_count=threads,
        allow_writing_files=False,
        verbose=0,
    ).fit(X, y)


class Blend:
    """Weighted average of fitted models; the weights are in ``weights``."""

    def __init__(self, models: Mapping[str, Any], weights: Mapping[str, float]) -> None:
        self.models = models
        self.weights = weights

    def predict_proba(self, X: pd.DataFrame) -> Any:
        return sum(
            weight * np.asarray(self.models[name].predict_proba(X))
            for name, weight in self.weights.items()
        )


def blend(
    parts: Mapping[str, Method], X: pd.DataFrame, y: pd.Series, seed: int, threads: int
) -> Blend:
    """Fit parts on all training rows and weigh them by out-of-fold probabilities of these rows.

    The weights are those of least log loss, 0 or more and 1 together.
    """
    models = {name: method(X, y, seed, threads) for name, method in parts.items()}
    held = [out_of_fold(method, X, y, seed, threads) for method in parts.values()]
    p = np.column_stack(held)
    found = minimize(
        lambda w: log_loss(y, np.clip(p @ w, 0, 1)),
        np.full(len(parts), 1 / len(parts)),
        bounds=[(0, 1)] * len(parts),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
    )
    weights = np.clip(found.x, 0, 1) / np.clip(found.x, 0, 1).sum()
    return Blend(models, dict(zip(parts, weights.tolist(), strict=True)))


def out_of_fold(method: Method, X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Return the probability of each training row by a model of the other four fifths."""
    p = np.empty(len(X))
    for rows, held in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
        model = method(X.iloc[rows], y.iloc[rows], seed, threads)
        p[held] = model.predict_proba(X.iloc[held])[:, 1]
    return p


RIVALS: dict[str, Method] = {
    "logistic regression": logistic,
    "logistic regression on WOE": logistic_on_woe,
    "LightGBM": lightgbm,
    "LightGBM default": lightgbm_default,
    "CatBoost default": catboost_default,
    "blend of boosters": partial(blend, {"LightGBM": lightgbm, "CatBoost": catboost_default}),
}
# another seed changes nothing
ONE_SEED = {"logistic regression", "logistic regression on WOE", "LightGBM default"}
