"""Live Keras models, handed from fit to fit: one structure is compiled once, not at every fit.

A search of a hundred fits thereby compiles each network once, and memory stays flat: TensorFlow
never gives back what a compiled function took.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

MOST_IDLE = 8

_idle: deque[tuple[Hashable, Live]] = deque(maxlen=MOST_IDLE)


class Live:
    """A Keras model with what was compiled for it; belongs to one estimator at a time."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.views: dict[str, Any] = {}
        self.trainer: Any = None
        self.used: Hashable = None  # loss and optimizer that the trainer was made of
        self.ends = 0  # step at which its schedule ends, 0 if it has none


class Lease:
    """Holds a live model for one estimator; when the lease is gone, the model is idle again."""

    def __init__(self, key: Hashable, live: Live) -> None:
        self.live = live
        if key is not None:
            weakref.finalize(self, _idle.append, (key, live))


def lease(key: Hashable, build: Callable[[], Any], used: Hashable = None) -> Lease:
    """Return a freshly initialised model: an idle one of the same structure, or the one built.

    Parameters
    ----------
    key : hashable or None
        Equal for equal structures; None for a model that nobody else may have later.
    build : callable
        Returns a new Keras model, its random weights drawn.
    used : hashable, optional
        Loss and optimizer to come: of several idle models one that was trained so is taken.
    """
    fresh = build()
    found = [entry for entry in tuple(_idle) if entry[0] == key and key is not None]
    if not found:
        return Lease(key, Live(fresh))
    entry = next((one for one in found if one[1].used == used), found[0])
    with suppress(ValueError):  # a model that went idle just now may have pushed it out
        _idle.remove(entry)
    live = entry[1]
    renew(live, fresh)
    if live.trainer is not None:
        live.trainer.restart()
    return Lease(key, live)


def renew(live: Live, fresh: Any) -> None:
    """Give a live model the values of a freshly built one, its random weights included."""
    for old, new in zip(live.model.variables, fresh.variables, strict=True):
        old.assign(new)


def structure(value: Any) -> Hashable:
    """Return a key of a network, equal only if the same class has equal parameters.

    Raises
    ------
    TypeError
        A parameter that cannot be compared.
    """
    if isinstance(value, BaseEstimator):
        parameters = value.get_params(deep=False)
        return (type(value), *((name, structure(parameters[name])) for name in sorted(parameters)))
    if isinstance(value, dict):
        return ("dict", *((key, structure(value[key])) for key in sorted(value)))
    if isinstance(value, list | tuple):
        return ("list", *map(structure, value))
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes())
    hash(value)
    return (type(value), value)
