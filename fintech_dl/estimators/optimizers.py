"""Optimizers and the course of their learning rate. Imports Keras."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fintech_dl.networks.backend import keras

keras()

import keras as k  # noqa: E402
from keras import ops  # noqa: E402

OPTIMIZERS = {
    "sgd": lambda **kw: k.optimizers.SGD(momentum=0.9, nesterov=True, **kw),
    "adam": k.optimizers.Adam,
    "adamw": k.optimizers.AdamW,
    "adagrad": k.optimizers.Adagrad,
    "rmsprop": k.optimizers.RMSprop,
}


def coslog4(t: Any) -> Any:
    """Return the share of the learning rate at ``t`` from 0 to 1: four cycles, each longer.

    Examples
    --------
    >>> from fintech_dl.estimators.optimizers import coslog4
    >>> [abs(round(float(coslog4(t)), 3)) for t in (0.0, 0.0276, 1 / 15, 0.1219)]
    [0.0, 1.0, 0.0, 1.0]
    """
    return 0.5 - 0.5 * ops.cos(2 * math.pi * ops.log2(1 + 15 * t))


class CosLog4(k.optimizers.schedules.LearningRateSchedule):
    """A rate over ``steps`` batches by `coslog4`, each batch at its middle; then it begins anew."""

    def __init__(self, rate: float, steps: int) -> None:
        self.rate, self.steps = rate, steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step."""
        at = ops.cast(step % self.steps, "float32")
        return self.rate * coslog4((at + 0.5) / self.steps)


SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, steps: rate,
    "cosine": lambda rate, steps: k.optimizers.schedules.CosineDecay(rate, steps),
    "linear": lambda rate, steps: k.optimizers.schedules.PolynomialDecay(rate, steps, rate / 100),
    "exponential": lambda rate, steps: k.optimizers.schedules.ExponentialDecay(rate, steps, 0.01),
    "coslog4": CosLog4,
}


def make_optimizer(settings: dict[str, Any], steps: int) -> Any:
    """Return the optimizer that ``settings`` name, its rate scheduled over ``steps`` batches."""
    name = settings["optimizer"]
    decays = settings["weight_decay"] or name == "adamw"
    rate = SCHEDULES[settings["schedule"]](settings["learning_rate"], max(steps, 1))
    own = {"beta_2": settings["beta_2"]} if "beta_2" in settings and "adam" in name else {}
    return OPTIMIZERS[name](
        learning_rate=rate,
        weight_decay=settings["weight_decay"] if decays else None,
        clipnorm=settings["clipnorm"],
        **own,
    )
