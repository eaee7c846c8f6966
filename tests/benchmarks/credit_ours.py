"""Our methods of the credit benchmark, in one place: name -> function of the training rows.

A method is a function ``(X, y, seed, threads)``; it returns a fitted object with
``predict_proba``. Nothing is tuned on test rows: the shipped settings, those of the pipeline card
that ``X.attrs["pipeline"]`` names, were chosen on the training rows of fold 0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
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


def shipped(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit the network ensemble of the pipeline card, without boosting."""
    return without_dropped(X, our_model(X, seed)).fit(X, y)


def one_tabm(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit a single one of the networks that the pipeline's ensemble averages."""
    return without_dropped(X, our_model(X, seed).set_params(n_members=1)).fit(X, y)


def network(name: str, X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit a single network of another kind, with settings of ours for tables of this size."""
    import fintech_dl

    size, settings = OTHERS[name]
    codes = our_model(X, seed).special_codes
    model = fintech_dl.NeuralClassifier(
        network=getattr(fintech_dl, name)(**size), special_codes=codes, random_state=seed
    )
    return model.set_params(**settings).fit(X, y)


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


OURS: dict[str, Callable[..., Any]] = {
    "MLP": partial(network, "MLP"),
    "RealMLP": partial(network, "RealMLP"),
    "FT-Transformer": partial(network, "FTTransformer"),
    "monotone scorecard": partial(network, "Scorecard"),
    "TabM": one_tabm,
    "network ensemble": shipped,
    "blend of both": partial(blend, {"network ensemble": shipped, "LightGBM": lightgbm}),
}
