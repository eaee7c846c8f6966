"""Frozen dataclasses made of TOML tables; a misspelt key is told the nearest right one.

Standard library only.
"""

import tomllib
from copy import deepcopy
from dataclasses import MISSING, fields
from datetime import date
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from fintech_dl.errors import CardError

T = TypeVar("T")


def nearest(word: str, allowed: list[str]) -> str:
    """Return the end of an error text: the nearest allowed word, then all of them."""
    close = get_close_matches(word, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(sorted(allowed))}"


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file, which nobody may change; CardError names a broken one."""
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error


@lru_cache(maxsize=256)
def _parsed(text: str) -> dict[str, Any]:
    """Parse one text once: listing all cards comes by every file five times."""
    return tomllib.loads(text)


def build(cls: type[T], raw: Any, where: str) -> T:
    """Make the dataclass ``cls`` of a TOML table; ``name`` and ``folder`` are no keys of cards.

    Parameters
    ----------
    cls : type
        A dataclass; the type of a field decides what its key may hold.
    raw : dict
        The table.
    where : str
        Begins the error text: the file, and the table inside it.

    Raises
    ------
    CardError
        A key that is unknown, missing or of the wrong type.

    Examples
    --------
    >>> from fintech_dl.cards import Search
    >>> from fintech_dl.records import build
    >>> build(Search, {"n_iter": 5}, "mine.toml").n_iter
    5
    """
    if not isinstance(raw, dict):
        raise CardError(f"{where}: must be a table, got {raw!r}")
    hints = _hints(cls)  # type: ignore[arg-type]
    for key in raw:
        if key not in hints:
            raise CardError(f"{where}: unknown key {key!r}; {nearest(key, list(hints))}")
    for f in fields(cls):  # type: ignore[arg-type]
        if f.default is MISSING and f.default_factory is MISSING and f.name not in raw:
            raise CardError(f"{where}: the key {f.name!r} is missing")
    return cls(**{k: _value(hints[k], v, f"{where}: {k}") for k, v in raw.items()})


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    of_its_file = ("name", "folder") if "folder" in hints else ()
    return {k: hint for k, hint in hints.items() if k not in of_its_file}


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check one value against a field's type; build nested tables."""
    union = isinstance(hint, UnionType)
    if union and value is None and type(None) in get_args(hint):  # of JSON: TOML knows no null
        return None
    options = [h for h in get_args(hint) if h is not type(None)] if union else [hint]
    for option in options:
        origin, args = get_origin(option), get_args(option)
        if isinstance(option, type) and hasattr(option, "__dataclass_fields__"):
            return build(option, value, where)
        if origin is Literal:
            if value in args:
                return value
            raise CardError(f"{where}: got {value!r}; {nearest(str(value), list(args))}")
        if origin is list and isinstance(value, list):
            return [_value(args[0], v, where) for v in value]
        if origin is dict and isinstance(value, dict):
            return {k: _value(args[1], v, f"{where}.{k}") for k, v in value.items()}
        if option is Any:
            return deepcopy(value)
        if option is str and isinstance(value, date):  # TOML writes dates without quotes
            return value.isoformat()
        if isinstance(value, bool) and option is not bool:
            continue
        if option is float and isinstance(value, int):
            return float(value)
        if isinstance(option, type) and isinstance(value, option):
            return value
    wanted = " or ".join(getattr(o, "__name__", str(o)) for o in options)
    raise CardError(f"{where}: got {value!r}, expected {wanted}")
