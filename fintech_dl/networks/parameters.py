"""What a parameter may be is said by its annotation; the check of it, which ``fit`` makes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np

SHOWN = 100


class Within(NamedTuple):
    """Bounds of a number: from ``least`` on, and below ``below``."""

    least: float
    below: float = math.inf


ACTIVATION = "activation"

Width = Annotated[int, Within(1)]
Widths = Annotated[int | Sequence[int], Within(1)]
Share = Annotated[float, Within(0, 1)]
Amount = Annotated[float, Within(0)]
Activation = Annotated[str, ACTIVATION]


def check_parameters(owner: Any, but: Collection[str] = ()) -> None:
    """Raise ValueError for the first parameter that its annotation does not allow.

    Numbers must be finite. What has no annotation that says more than Python's own types is
    checked for the type alone.

    Parameters
    ----------
    owner : object
        Of a class made by :func:`~fintech_dl.hyperparameters`.
    but : collection of str
        Parameters that something else checks.

    Raises
    ------
    ValueError
        Names the parameter, its value and what is allowed.

    Examples
    --------
    >>> from fintech_dl import MLP
    >>> from fintech_dl.networks.parameters import check_parameters
    >>> check_parameters(MLP(dropout=1.5))
    Traceback (most recent call last):
    ...
    ValueError: dropout=1.5; allowed: float of at least 0 and below 1
    """
    for name, hint in _hints(owner.__class__).items():
        value = getattr(owner, name)
        if name not in but and not _fits(hint, value):
            raise ValueError(f"{name}={shown(value)}; allowed: {_told(hint)}")


def shown(value: Any) -> str:
    """Return a value as an error text shows it: in one piece, and not for pages.

    Examples
    --------
    >>> from fintech_dl.networks.parameters import shown
    >>> shown("focl"), len(shown("a" * 10**6))
    ("'focl'", 103)
    """
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the annotation of each field; none where one names what cannot be found."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}
    return {name: hints[name] for name in getattr(cls, "__dataclass_fields__", {}) if name in hints}


def _fits(hint: Any, value: Any, marks: tuple[Any, ...] = ()) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Annotated:
        return _fits(args[0], value, args[1:])
    if origin in (UnionType, Union):
        return any(_fits(option, value, marks) for option in args)
    if origin is Literal:
        return any(isinstance(value, type(word)) and value == word for word in args)
    if origin is Sequence or hint is Sequence:
        many = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        if not many or isinstance(value, str | bytes | Mapping):
            return False
        return all(_fits(args[0] if args else Any, each, marks) for each in value)
    if hint in (int, float):
        kind = Integral if hint is int else Real
        number = isinstance(value, kind) and not isinstance(value, bool | np.bool_)
        return number and math.isfinite(value) and _inside(value, marks)
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is str:
        return isinstance(value, str) and (ACTIVATION not in marks or _is_activation(value))
    plain = NoneType if hint is None else origin or hint
    return isinstance(value, plain) if isinstance(plain, type) else True


def _inside(value: Any, marks: tuple[Any, ...]) -> bool:
    return all(mark.least <= value < mark.below for mark in marks if isinstance(mark, Within))


def _is_activation(name: str) -> bool:
    from fintech_dl.networks.backend import keras

    try:
        keras().activations.get(name)
    except (ValueError, TypeError):
        return False
    return bool(name)


def _told(hint: Any, marks: tuple[Any, ...] = ()) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _told(args[0], args[1:])
    if origin in (UnionType, Union):
        return " or ".join(_told(option, marks) for option in args)
    if origin is Literal:
        return ", ".join(map(repr, args))
    if origin is Sequence or hint is Sequence:
        return "a sequence of " + (_told(args[0], marks) if args and args[0] is not Any else "them")
    if hint in (NoneType, None):
        return "None"
    if hint is bool:
        return "True or False"
    if hint is str and ACTIVATION in marks:
        return "the name of a Keras activation, such as 'relu', 'gelu' or 'tanh'"
    text = str(getattr(origin or hint, "__name__", hint))
    for mark in marks:
        if isinstance(mark, Within):
            text += f" of at least {mark.least:g}"
            text += f" and below {mark.below:g}" if math.isfinite(mark.below) else ""
    return text
