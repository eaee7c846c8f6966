"""Pipeline cards to tables and plain scikit-learn pipelines."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from fintech_dl import features
from fintech_dl.cards import PipelineCard, duration, pipeline_card
from fintech_dl.data.frames import read_dataset
from fintech_dl.errors import CardError, NotInstalledError, require, told_as
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
    frame = read_dataset(card.dataset, as_of=as_of).whole()
    return make_table(card.table, frame, labelled=True)


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
    quiet = {"verbose": -1} if name.startswith("lightgbm.") else {}  # else it prints while it fits
    with told_as(CardError, f"{where}: {name}"):
        return found(**quiet, **values)


def make_table(spec: Mapping[str, Any], frame: pd.DataFrame, *, labelled: bool = False) -> Table:
    """Call the feature function that a card's ``[table]`` names on a clean frame.

    ``labelled`` asks functions that know it for rows with a label only: to learn from, and to test.
    """
    known = "labelled" in inspect.signature(table_function(spec)).parameters
    function = table_function({"labelled": labelled, **spec} if known else spec)
    with told_as(CardError, f"[table]: {spec['use']}"):
        table: Table = function(frame)
    return table


def table_function(spec: Mapping[str, Any]) -> Callable[[pd.DataFrame], Table]:
    """Return the feature function that a card's ``[table]`` names, its parameters filled in.

    Raises
    ------
    CardError
        No function of that name makes a table, or it has no such parameter.
    """
    use = str(spec.get("use", ""))
    functions = _table_functions()
    if use not in functions:
        raise CardError(f"[table] use = {use!r}: makes no table; {nearest(use, list(functions))}")
    values = {key: value for key, value in spec.items() if key != "use"}
    allowed = list(inspect.signature(functions[use]).parameters)[1:]
    for key in values:
        if key not in allowed:
            raise CardError(f"[table]: {use} has no parameter {key!r}; {nearest(key, allowed)}")
    return partial(functions[use], **values)


def parameter_of(spec: Mapping[str, Any], name: str) -> Any:
    """Return what a card's ``[table]`` gives its function under a name; None if it knows none such.

    Examples
    --------
    >>> from fintech_dl.pipelines import parameter_of
    >>> parameter_of({"use": "volatility.har", "variance": "rv"}, "horizon")
    1
    """
    known = inspect.signature(table_function(spec)).parameters
    return known[name].default if name in known else None


def check_history(card: PipelineCard) -> None:
    """Refuse a card that declares less history than its features look back.

    A feature function ``x`` says so by a function ``x_days`` beside it.

    Raises
    ------
    CardError
        ``history`` is too short; rows scored with it would differ from those of the run.
    """
    module, _, name = str(card.table.get("use", "")).rpartition(".")
    if f"{module}.{name}" not in _table_functions():
        return
    days = getattr(import_module(f"fintech_dl.features.{module}"), f"{name}_days", None)
    if days is None:
        return
    known = inspect.signature(days).parameters
    needed = days(**{key: value for key, value in card.table.items() if key in known})
    if not card.history or duration(card.history).total_seconds() < needed * 86_400:
        raise CardError(
            f"{card.name}: history = {card.history!r}, but {name} with these parameters looks back "
            f'{needed:g} days; set history = "{math.ceil(needed)}d"'
        )


def _card(pipeline: str | Path | PipelineCard) -> PipelineCard:
    return pipeline if isinstance(pipeline, PipelineCard) else pipeline_card(pipeline)


def _table_functions() -> dict[str, Any]:
    """Return the functions of ``fintech_dl.features`` from frame to table, as cards name them."""
    return {
        f"{module.name}.{name}": value
        for module in iter_modules(features.__path__)
        for name, value in vars(import_module(f"fintech_dl.features.{module.name}")).items()
        if inspect.isfunction(value)
        and value.__annotations__.get("return") == "Table"
        and value.__annotations__.get("frame") == "pd.DataFrame"
    }


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
        home = import_module(module)
        found = getattr(home, last, None)
    except NotInstalledError:
        raise
    except ImportError as error:
        raise CardError(f"{where}: use = {name!r}: {error}") from error
    except OSError as error:  # a library of a library: LightGBM without libgomp
        raise NotInstalledError(f"{where}: {root!r} is installed but fails: {error}") from error
    is_estimator = isinstance(found, type) and hasattr(found, "get_params")
    if not is_estimator and last != "make_column_selector":
        classes = [public for public in dir(home) if public[:1].isupper()]
        raise CardError(f"{where}: use = {name!r} is no estimator class; {nearest(last, classes)}")
    return found
