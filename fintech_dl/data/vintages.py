"""Vintages: what a source of prices answered at one moment, kept as it was and never overwritten.

A source changes its history (splits, dividends, corrections), so that two downloads of the same
days differ. A model names the vintage it learned from. A vintage is a folder of the cache:
``prices.parquet`` as it came and ``status.json`` with the request, the moment, the state of each
ticker and the SHA-256 of the prices.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from fintech_dl.errors import DataError, OutputError
from fintech_dl.folders import cache
from fintech_dl.publishing import alone, publishing

PRICES, STATUS = "prices.parquet", "status.json"
OPTION = "FINTECH_DL_CACHE"


def folder(source: str) -> Path:
    """Return the folder of a source's vintages.

    Examples
    --------
    >>> from fintech_dl.data.vintages import folder
    >>> folder("yahoo").parts[-2:]
    ('prices', 'yahoo')
    """
    return cache() / "prices" / source


def names(source: str) -> list[str]:
    """Return the names of a source's vintages, the newest first.

    Examples
    --------
    >>> from fintech_dl.data.vintages import names
    >>> names("nowhere")
    []
    """
    place = folder(source)
    found = place.iterdir() if place.is_dir() else iter(())
    return sorted(
        (p.name for p in found if (p / STATUS).is_file() and p.name[0] != "."), reverse=True
    )


def keep(source: str, frame: pd.DataFrame, status: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Write a vintage, named by its moment; return the name and the status as written.

    Parameters
    ----------
    source : str
    frame : DataFrame
        As the source gave it.
    status : dict
        Plain JSON with ``fetched``, a moment in ISO 8601; rows and SHA-256 are added.

    Raises
    ------
    OutputError
        The cache cannot be written.
    """
    stem = pd.Timestamp(status["fetched"]).tz_convert("UTC").strftime("%Y%m%dT%H%M%SZ")
    for number in range(1, 100):  # several fetches within a second
        name = stem if number == 1 else f"{stem}-{number}"
        place = folder(source) / name
        with alone(place, OPTION):
            if place.exists():
                continue
            with publishing(place, OPTION) as part:
                frame.to_parquet(part / PRICES, index=False)
                digest = hashlib.sha256((part / PRICES).read_bytes()).hexdigest()
                status = {**status, "rows": len(frame), "sha256": digest}
                text = json.dumps(status, indent=1, ensure_ascii=False, allow_nan=False)
                (part / STATUS).write_text(text + "\n", encoding="utf-8")
            return name, status
    raise OutputError(f"{folder(source)}: holds a hundred vintages of {stem}; wait a second")


def status_of(source: str, name: str) -> dict[str, Any]:
    """Return the status of a vintage.

    Raises
    ------
    DataError
        There is none of this name, or it cannot be read.
    """
    path = folder(source) / name / STATUS
    if Path(name).name != name or not path.is_file():
        known = ", ".join(names(source)[:5]) or "none"
        raise DataError(f"{source}: no vintage {name!r} in {folder(source)}; the newest: {known}")
    try:
        status: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        status["request"]["tickers"], status["tickers"], status["sha256"], status["fetched"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path}: is no status of a vintage ({error!r}); delete it") from error
    return status


def statuses(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names and statuses of the vintages that can be read, the newest first.

    Examples
    --------
    >>> from fintech_dl.data.vintages import statuses
    >>> list(statuses("nowhere"))
    []
    """
    for name in names(source):
        try:
            yield name, status_of(source, name)
        except DataError:  # a broken one is no reason to read none
            continue


def read(source: str, name: str) -> pd.DataFrame:
    """Return the prices of a vintage, whose bytes are those that were written.

    Raises
    ------
    DataError
        There is none, or its bytes were changed.
    """
    status, path = status_of(source, name), folder(source) / name / PRICES
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); get the prices anew"
        ) from error
    if (digest := hashlib.sha256(data).hexdigest()) != status["sha256"]:
        raise DataError(
            f"{path}: changed since it was written: its SHA-256 is {digest}, expected "
            f"{status['sha256']}. Delete the folder {name} and get the prices anew"
        )
    frame = pd.read_parquet(path)
    return frame.assign(asset=frame["asset"].astype("str"))
