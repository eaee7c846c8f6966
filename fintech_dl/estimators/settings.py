"""Training settings: the network's advice under what the user gave, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

CHOICES = {
    "optimizer": ("sgd", "adam", "adamw", "adagrad", "rmsprop"),
    "schedule": ("constant", "cosine", "linear", "exponential"),
}
ADAMW_DECAY = 0.004  # Keras' own
AT_LEAST: dict[str, tuple[int, type]] = {
    "epochs": (1, int),
    "batch_size": (1, int),
    "patience": (1, int),
    "learning_rate": (0, float),
    "weight_decay": (0, float),
    "clipnorm": (0, float),
}


def training_settings(estimator: Any, advice: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a fit; raise ValueError that names what is out of range."""
    names = (*CHOICES, *AT_LEAST)
    given = {name: getattr(estimator, name) for name in names}
    settings = {**advice, **{name: v for name, v in given.items() if v is not None}}
    if settings["optimizer"] == "adamw" and given["weight_decay"] is None:
        settings["weight_decay"] = advice["weight_decay"] or ADAMW_DECAY
    for name, allowed in CHOICES.items():
        check_choice(name, settings[name], allowed)
    for name, (least, kind) in AT_LEAST.items():
        if settings[name] is not None or name != "clipnorm":
            settings[name] = _number(name, settings[name], least, kind)
    check_choice("loss", estimator.loss or estimator.losses[0], estimator.losses)
    check_choice("monitor", estimator.monitor or "loss", estimator.monitors)
    check_choice("average", estimator._how(), estimator.averages)
    _number("n_members", estimator.n_members, 1, int)
    if not 0 <= estimator.validation_fraction < 1:
        raise ValueError(f"validation_fraction={estimator.validation_fraction!r}; allowed: [0, 1)")
    return settings


def optimizer_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that an optimizer is made of."""
    names = ("optimizer", "learning_rate", "schedule", "weight_decay", "clipnorm")
    return {name: settings[name] for name in names}


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise ValueError unless ``value`` is one of the allowed words."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}; allowed: {', '.join(map(repr, allowed))}")


def _number(name: str, value: Any, least: int, kind: type) -> Any:
    numbers = (int, np.integer) if kind is int else (int, float, np.number)
    wrong = isinstance(value, bool) or not isinstance(value, numbers)
    if wrong or not math.isfinite(value) or value < least:
        raise ValueError(f"{name}={value!r}; allowed: {kind.__name__} of at least {least}")
    return kind(value)
