"""Our methods of the credit benchmark, in one place: name -> function of the training rows.

A method is a function ``(X, y, seed, threads)``; it returns a fitted object with
``predict_proba``. Nothing is tuned on test rows of fold 0: the shipped settings, those of the
pipeline card that ``X.attrs["pipeline"]`` names, were chosen inside its training rows, and are then
used on every fold. The pipeline `credit`, which stands in for bank marketing, was not tuned on it.
"""

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

import pandas as pd
from credit_data import CARDS, recipe
from credit_monotone import DIRECTIONS, directions
from credit_rivals import blend, lightgbm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fintech_dl.cards import pipeline_card

# size and training, where the defaults are for smaller tables
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "MLP": (
        {"units": (256, 128), "activation": "gelu", "dropout": 0.3},
        {"optimizer": "adamw", "weight_decay": 0.05, "epochs": 20, "schedule": "cosine"},
    ),
    "RealMLP": ({"dropout": 0.3}, {"epochs": 16}),
    "FTTransformer": (
        {"blocks": 2, "units": 32, "heads": 4},
        {"learning_rate": 1e-3, "epochs": 10, "schedule": "cosine"},
    ),
    "Scorecard": ({}, {}),
}
# Members of the ensemble where the card ships one network, for a row of its own. Not on Give Me
# Some Credit, where each further member costs minutes a fold.
ENSEMBLE = {"credit-taiwan": 5, "credit": 5}


def members(pipeline: str) -> int:
    """Return of how many networks the ensemble is made; 1 where there is none."""
    own = int(pipeline_card(pipeline).step[-1].get("n_members", 1))
    return own if own > 1 else ENSEMBLE.get(pipeline, 1)


def ensemble(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit several of the pipeline card's networks and average them, without boosting."""
    number = members(X.attrs["pipeline"])
    return without_dropped(X, our_model(X, seed).set_params(n_members=number)).fit(X, y)


def shipped(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit the pipeline card's model."""
    return without_dropped(X, our_model(X, seed)).fit(X, y)


def one_tabm(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit a single one of the pipeline card's networks."""
    return without_dropped(X, our_model(X, seed).set_params(n_members=1)).fit(X, y)


def network(name: str, X: pd.DataFrame, y: pd.Series, seed: int, threads: int, **more: Any) -> Any:
    """Fit a single network of another kind, with settings of ours for tables of this size."""
    import fintech_dl

    size, settings = OTHERS[name]
    codes = our_model(X, seed).special_codes
    model = fintech_dl.NeuralClassifier(
        network=getattr(fintech_dl, name)(**size, **more), special_codes=codes, random_state=seed
    )
    return model.set_params(**settings).fit(X, y)


def monotone_scorecard(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit a scorecard whose declared columns keep their direction."""
    return network("Scorecard", X, y, seed, threads, monotone=directions(X))


def our_model(X: pd.DataFrame, seed: int) -> Any:
    from fintech_dl import build_pipeline

    return build_pipeline(X.attrs["pipeline"])[-1].set_params(random_state=seed)


def without_dropped(X: pd.DataFrame, model: Any) -> Any:
    """Return a model that does not see the columns that its pipeline card drops."""
    dropped = [
        name for name in pipeline_card(X.attrs["pipeline"]).table.get("drop", []) if name in X
    ]
    drop = FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": dropped})
    return make_pipeline(drop, model)


NETWORKS = {
    "MLP": "MLP",
    "RealMLP": "RealMLP",
    "FT-Transformer": "FTTransformer",
    "additive scorecard": "Scorecard",
}
OURS: dict[str, Callable[..., Any]] = {
    **{method: partial(network, name) for method, name in NETWORKS.items()},
    "monotone scorecard": monotone_scorecard,
    "TabM": one_tabm,
    "network ensemble": ensemble,
    "blend of both": partial(blend, {"network": shipped, "LightGBM": lightgbm}),
}


def settings(method: str, data: str) -> str | None:
    """Return a digest of what cards and this folder set for a method; None where nothing is set.

    A measurement holds for one of them: with other settings it has to be made again.
    """
    used = {"columns": recipe(data), "method": taken(method, CARDS[data][1])}
    if not any(used.values()):
        return None
    return sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()[:12]


def taken(method: str, pipeline: str) -> dict[str, Any]:
    """Return the settings of one of ours; nothing of a rival, whose settings are code."""
    if method not in OURS:
        return {}
    card = pipeline_card(pipeline)
    own = {"n_members": 1, **card.step[-1], "drop": card.table.get("drop", [])}
    if method in ("TabM", "network ensemble"):
        return {**own, "n_members": 1 if method == "TabM" else members(pipeline)}
    if method == "blend of both":
        return own
    size, training = OTHERS[NETWORKS.get(method, "Scorecard")]
    found = {"size": size, "training": training, "special_codes": own.get("special_codes")}
    return found | ({"monotone": DIRECTIONS[pipeline]} if method == "monotone scorecard" else {})
