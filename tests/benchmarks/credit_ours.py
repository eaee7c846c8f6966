"""Our methods of the credit benchmark, in one place: name -> function of the training rows.

A method is a function ``(X, y, seed, threads)``; it returns a fitted object with
``predict_proba``. One that has ``oof_``, the probabilities of each training row by models that
have not learned from it (as ``NeuralClassifier`` with ``cv``), saves a blend the work of finding
them. Nothing is tuned on test rows, but for settings chosen on fold 0, which results tell apart.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from credit_rivals import Method, lightgbm
from scipy.optimize import minimize
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold


def mlp(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    from fintech_dl import MLP, NeuralClassifier

    return NeuralClassifier(network=MLP(), random_state=seed).fit(X, y)


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
    held = [
        model.oof_[:, 1]
        if hasattr(model, "oof_")
        else out_of_fold(parts[name], X, y, seed, threads)
        for name, model in models.items()
    ]
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


def mlp_and_lightgbm(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Blend:
    return blend({"MLP": mlp, "LightGBM": lightgbm}, X, y, seed, threads)


OURS: dict[str, Callable[..., Any]] = {
    "MLP": mlp,
    "blend": mlp_and_lightgbm,
}
