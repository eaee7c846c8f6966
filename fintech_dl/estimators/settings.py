"""Training settings: the network's advice under what the user gave, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fintech_dl.networks.parameters import shown

CHOICES = {
    "optimizer": ("sgd", "adam", "adamw", "adagrad", "rmsprop"),
    "schedule": ("constant", "cosine", "linear", "exponential", "coslog4"),
}
ALLOWED = {"loss": "losses", "monitor": "monitors", "average": "averages"}
ADAMW_DECAY = 0.004  # Keras' own
AT_LEAST: dict[str, tuple[int, type]] = {
    "epochs": (1, int),
    "batch_size": (1, int),
    "patience": (1, int),
    "learning_rate": (0, float),
    "weight_decay": (0, float),
    "clipnorm": (0, float),
}
CHECKED = (*CHOICES, *AT_LEAST, *ALLOWED, "n_members")  # here; the rest by its annotation


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
    if not 0 <= settings.get("beta_2", 0) < 1:
        raise ValueError(f"the network advises beta_2={settings['beta_2']!r}; allowed: [0, 1)")
    for name in ("loss", "monitor", "average"):
        if (value := getattr(estimator, name, None)) is not None:
            check_choice(name, value, getattr(estimator, ALLOWED[name]))
    _number("n_members", estimator.n_members, 1, int)
    if not 0 <= estimator.validation_fraction < 1:
        raise ValueError(f"validation_fraction={estimator.validation_fraction!r}; allowed: [0, 1)")
    seed = estimator.random_state
    if isinstance(seed, int | np.integer) and not 0 <= seed < 2**32:
        raise ValueError(f"random_state={seed!r}; allowed: int from 0 to 2**32 - 1")
    _check_cv(getattr(estimator, "cv", None))
    weights = getattr(estimator, "class_weight", None)
    for key, value in weights.items() if isinstance(weights, dict) else ():
        _number(f"class_weight[{key!r}]", value, 0, float)
    return settings


def optimizer_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that an optimizer is made of; a constant rate can be set later."""
    names = ["optimizer", "schedule", "weight_decay", "clipnorm"]
    names += ["learning_rate"] * (settings["schedule"] != "constant")
    names += ["beta_2"] * ("beta_2" in settings)
    return {name: settings[name] for name in names}


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise ValueError unless ``value`` is one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}={shown(value)}; allowed: {', '.join(map(repr, allowed))}")


def _check_cv(cv: Any) -> None:
    """Raise ValueError unless folds can be made of it; what a splitter does is its own matter."""
    if isinstance(cv, list | tuple):
        fits = bool(cv) and all(isinstance(fold, list | tuple) and len(fold) == 2 for fold in cv)
    elif isinstance(cv, int | np.integer):
        fits = bool(cv >= 2)
    else:
        splits = hasattr(cv, "split") or hasattr(cv, "__next__")
        fits = cv is None or (splits and not isinstance(cv, str | type))
    if not fits:
        raise ValueError(
            f"cv={shown(cv)}; allowed: None, int of at least 2, a scikit-learn splitter, or pairs "
            "of training and held-out positions"
        )


def _number(name: str, value: Any, least: int, kind: type) -> Any:
    numbers = (int, np.integer) if kind is int else (int, float, np.number)
    wrong = isinstance(value, bool) or not isinstance(value, numbers)
    if wrong or not math.isfinite(value) or value < least:
        raise ValueError(f"{name}={shown(value)}; allowed: {kind.__name__} of at least {least}")
    return kind(value)
