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


def shipped(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit the network ensemble of the pipeline card, without boosting."""
    return our_model(X, seed).fit(X, y)


def one_tabm(X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit a single one of the networks that the pipeline's ensemble averages."""
    return our_model(X, seed).set_params(n_members=1).fit(X, y)


def network(name: str, X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Fit another network with its own defaults."""
    import fintech_dl

    network = getattr(fintech_dl, name)()
    codes = our_model(X, seed).special_codes
    model = fintech_dl.NeuralClassifier(network=network, special_codes=codes, random_state=seed)
    return model.fit(X, y)


def our_model(X: pd.DataFrame, seed: int) -> Any:
    from fintech_dl import build_pipeline

    return build_pipeline(X.attrs["pipeline"])[-1].set_params(random_state=seed)


OURS: dict[str, Callable[..., Any]] = {
    "MLP": partial(network, "MLP"),
    "RealMLP": partial(network, "RealMLP"),
    "FT-Transformer": partial(network, "FTTransformer"),
    "monotone scorecard": partial(network, "Scorecard"),
    "TabM": one_tabm,
    "network ensemble": shipped,
    "blend of both": partial(blend, {"network ensemble": shipped, "LightGBM": lightgbm}),
}
