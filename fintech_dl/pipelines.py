"""Pipeline cards to tables and plain scikit-learn pipelines."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from fintech_dl.cards import PipelineCard, pipeline_card
from fintech_dl.data.frames import read_dataset
from fintech_dl.errors import CardError, NotInstalledError, require
from fintech_dl.records import nearest
from fintech_dl.table import Table

ALLOWED = ("fintech_dl", "sklearn", "lightgbm", "xgboost", "catboost")


def load_table(pipeline: str | Path | PipelineCard, *, as_of: Any = None) -> Table:
    """Read a pipeline's dataset and make its table: features, target, times.

    For work of your own on the very rows that a run sees.

    Parameters
    ----------
    pipeline : str, Path or PipelineCard
        Name of a pipeline card, path of a card's file, or a card.
    as_of : str, date or Timestamp, optional
        The moment of the data; later rows are quarantined. Default: the dataset card's, else now.

    Returns
    -------
    Table

    Raises
    ------
    CardError, DataError
        A card that is wrong, or data that break their contract.

    Examples
    --------
    >>> from fintech_dl import load_table
    >>> from fintech_dl.cards import pipeline_card
    >>> table = load_table(pipeline_card("fraud", dataset="synthetic_card_transactions_small"))
    >>> bool(0.002 < table.y.mean() < 0.05)
    True
    """
    card = _card(pipeline)
    return make_table(card.table, read_dataset(card.dataset, as_of=as_of).frame)


def build_pipeline(pipeline: str | Path | PipelineCard) -> Pipeline:
    """Build the unfitted scikit-learn Pipeline of a pipeline card.

    For search, cross-validation or a fit of your own with scikit-learn's tools.

    Parameters
    ----------
    pipeline : str, Path or PipelineCard

    Returns
    -------
    sklearn.pipeline.Pipeline
        Plain: clone, search, calibration and ``set_params`` work as always.

    Raises
    ------
    CardError
        A class that may not be used, or a parameter that it does not have.
    NotInstalledError
        A class of a library that is not installed.

    Examples
    --------
    >>> from fintech_dl import build_pipeline
    >>> build_pipeline("fraud").set_params(model__network__units=128).steps[-1][0]
    'model'
    """
    card = _card(pipeline)
    steps = []
    for i, step in enumerate(card.step):
        spec = {key: value for key, value in step.items() if key != "name"}
        steps.append((step.get("name", f"step{i}"), make(spec, f"{card.name}: step {i + 1}")))
    return Pipeline(steps)


def make(spec: Any, where: str) -> Any:
    """Build what a card's ``{use = ..., parameter = ...}`` describes; other values stay as given.

    Raises
    ------
    CardError
        The class is unknown or not allowed, or has no such parameter.
    NotInstalledError
        The class is of a library that is not installed.
    """
    if isinstance(spec, list):
        return [make(item, where) for item in spec]
    if not isinstance(spec, dict):
        return spec
    values = {key: make(value, where) for key, value in spec.items() if key != "use"}
    if "use" not in spec:
        return values
    name = str(spec["use"])
    found = _resolve(name, where)
    allowed = list(inspect.signature(found).parameters)
    for key in values:
        if key not in allowed:
            raise CardError(f"{where}: {name} has no parameter {key!r}; {nearest(key, allowed)}")
    return found(**values)


def make_table(spec: Mapping[str, Any], frame: pd.DataFrame, **extra: Any) -> Table:
    """Call the feature function that a card's ``[table]`` names on a clean frame."""
    use = str(spec.get("use", ""))
    module, _, name = use.rpartition(".")
    try:
        function = getattr(import_module(f"fintech_dl.features.{module}"), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CardError(
            f"[table] use = {use!r}: there is no such function in fintech_dl.features"
        ) from error
    values = {key: value for key, value in spec.items() if key != "use"}
    allowed = list(inspect.signature(function).parameters)[1:]
    for key in values:
        if key not in allowed:
            raise CardError(f"[table]: {use} has no parameter {key!r}; {nearest(key, allowed)}")
    table: Table = function(frame, **values, **extra)
    return table


def _card(pipeline: str | Path | PipelineCard) -> PipelineCard:
    return pipeline if isinstance(pipeline, PipelineCard) else pipeline_card(pipeline)


def _resolve(name: str, where: str) -> Any:
    """Return the estimator class, or column selector, that a card names."""
    root = name.split(".", maxsplit=1)[0]
    if root not in ALLOWED or "." not in name:
        raise CardError(
            f"{where}: use = {name!r} is not allowed; name an estimator class of "
            f'{", ".join(ALLOWED)}, for example "fintech_dl.NeuralClassifier"'
        )
    if root == "lightgbm":
        require("lightgbm", "baselines")
    if find_spec(root) is None:
        raise NotInstalledError(
            f"{where}: {name} needs the library {root!r}; install it with: pip install {root}"
        )
    module, _, last = name.rpartition(".")
    try:
        found = getattr(import_module(module), last)
    except (ImportError, AttributeError) as error:
        if isinstance(error, NotInstalledError):
            raise
        names = [n for n in dir(import_module(root)) if n[:1].isupper()] if module == root else []
        hint = f"; {nearest(last, names)}" if names else ""
        raise CardError(f"{where}: use = {name!r}: there is no such class{hint}") from error
    if not (isinstance(found, type) and hasattr(found, "get_params")) and last != (
        "make_column_selector"
    ):
        raise CardError(f"{where}: use = {name!r} is no estimator class")
    return found
