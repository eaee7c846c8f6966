"""Whether a network of somebody's own keeps its promises, tried before it is trained."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from fintech_dl.errors import FintechError
from fintech_dl.networks.backend import keras
from fintech_dl.networks.base import Network
from fintech_dl.networks.parameters import shown

ROWS = 3
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def called(owner: Any, method: str, *inputs: Any) -> Any:
    """Return what a method of a network returns; ValueError names the one that failed.

    Examples
    --------
    >>> from fintech_dl import MLP
    >>> from fintech_dl.estimators.trial import called
    >>> called(MLP(), "decode", None, None)
    Traceback (most recent call last):
    ...
    ValueError: MLP.decode failed: AttributeError: 'NoneType' object has no attribute 'shape'
    """
    return _told(f"{type(owner).__name__}.{method}", getattr(owner, method), *inputs)


def same_shape(
    tensor: Any, expected: tuple[int, ...] | None, network: Network, method: str
) -> None:
    """Raise ValueError unless a network's method gave a tensor of floats, one entry per row.

    Parameters
    ----------
    tensor : object
        What it returned.
    expected : tuple of int or None
        Shape of a row; None for features, which may have any.
    network : Network
    method : str
    """
    wanted = "features" if expected is None else ", ".join(map(str, expected))
    k = keras()
    shape = tuple(getattr(tensor, "shape", ()))
    made = k.backend.is_keras_tensor(tensor) and shape[:1] == (None,)
    if made and expected is None:
        made = len(shape) > 1 and all(shape[1:])
    elif made and expected is not None:
        made = shape[1:] == expected
    if not made or not k.backend.is_float_dtype(k.backend.standardize_dtype(tensor.dtype)):
        raise ValueError(
            f"{type(network).__name__}.{method} returned {_came(tensor)}; expected a tensor of "
            f"floats of shape (rows, {wanted}) made from its input"
        )


def head(network: Network, features: Any, n_outputs: int) -> Any:
    """Return what a network's head makes of its features: one prediction per row, or several.

    Parameters
    ----------
    network : Network
    features : KerasTensor
    n_outputs : int

    Returns
    -------
    KerasTensor of shape (rows, n_outputs) or (rows, predictions, n_outputs)
    """
    outputs = called(network, "head", features, n_outputs)
    several = tuple(getattr(outputs, "shape", ()))[1:-1]
    same_shape(outputs, (*several[:1], n_outputs), network, "head")
    return outputs


def tried(estimator: Any, network: Network, model: Any) -> None:
    """Run a few rows through a network of somebody's own: each method gives one result per row.

    Raises
    ------
    ValueError
        Says what came, what is expected, and which method of which class it came from.
    """
    if type(network).__module__.startswith("fintech_dl."):
        return
    ops = keras().ops
    before = [ops.convert_to_numpy(variable) for variable in model.variables]
    x = ops.zeros((ROWS, len(estimator.columns_)), dtype="float32")
    name = type(network).__name__
    for part, result in _told(f"{name}.__call__", model, x).items():
        method = {"features": "__call__", "inputs": "encoding"}.get(part, "head or decode")
        _per_row(result, network, method, one=False)
    scores = hasattr(estimator, "anomaly_score")
    n = 1 if scores and network.learns_from_labels else estimator._shape()
    y = None if not n else ops.zeros((ROWS, 1 if is_classifier(estimator) else n))
    if is_classifier(estimator):
        y = ops.cast(y, "int32")
    given = (model, x, y, estimator._row_loss())
    _per_row(called(network, "objective", *given), network, "objective")
    if scores:
        _per_row(called(network, "anomaly_score", model, x), network, "anomaly_score")
    for variable, value in zip(model.variables, before, strict=True):  # seeds have moved on
        variable.assign(value)


def _per_row(result: Any, network: Network, method: str, one: bool = True) -> None:
    shape = tuple(getattr(result, "shape", ()))
    right = shape == (ROWS,) if one else shape[:1] == (ROWS,)
    if not right or isinstance(result, np.ndarray):
        wanted = f"({ROWS},), one number per row" if one else f"({ROWS}, ...), one entry per row"
        raise ValueError(
            f"{type(network).__name__}.{method} returned {_came(result)} for {ROWS} rows; "
            f"expected a tensor of shape {wanted}"
        )


def _told(name: str, function: Callable[..., Any], *inputs: Any) -> Any:
    try:
        return function(*inputs)
    except (FintechError, MemoryError):
        raise
    except Exception as error:
        text = COLOUR.sub("", str(error))
        raise ValueError(f"{name} failed: {type(error).__name__}: {text}") from error


def _came(value: Any) -> str:
    """Say what came: type, shape and dtype, never a page of numbers."""
    if not hasattr(value, "shape"):
        return shown(value)
    kind = "a NumPy array" if isinstance(value, np.ndarray) else "a tensor"
    shape = tuple("rows" if n is None else n for n in value.shape)
    told = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    return f"{kind} of shape {told} and type {getattr(value.dtype, 'name', value.dtype)}"
