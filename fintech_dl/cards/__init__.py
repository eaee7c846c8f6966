"""Cards: pages of TOML that say where data come from and which question a pipeline answers.

Standard library only, so that listing cards needs no heavy import.
"""

import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from fintech_dl.cards.credit import Points, Reasons
from fintech_dl.cards.datasets import Column, Contract, DatasetCard, Melt, Source, check_dataset
from fintech_dl.cards.forecast import Forecast, Intervals
from fintech_dl.cards.pipelines import (
    Calibration,
    Decision,
    PipelineCard,
    Range,
    Search,
    Test,
    check_pipeline,
    forecasts_numbers,
)
from fintech_dl.cards.splits import Split, duration
from fintech_dl.cards.validation import Validation
from fintech_dl.errors import CardError
from fintech_dl.folders import card_folders
from fintech_dl.records import build, nearest, read_toml

__all__ = [
    "Calibration",
    "Column",
    "Contract",
    "DatasetCard",
    "Decision",
    "Forecast",
    "Intervals",
    "Melt",
    "PipelineCard",
    "Points",
    "Range",
    "Reasons",
    "Search",
    "Source",
    "Split",
    "Test",
    "Validation",
    "dataset_card",
    "duration",
    "forecasts_numbers",
    "names",
    "nearest",
    "pipeline_card",
]


def names(kind: str) -> list[str]:
    """Return the names of all cards of a kind (``"datasets"`` or ``"pipelines"``), sorted."""
    paths = [path for folder in card_folders(kind) for path in folder.glob("*.toml")]
    return sorted({path.stem for path in paths if _is_kind(path, kind)})


def dataset_card(name: str | Path) -> DatasetCard:
    """Read a dataset card by its name or by the path of its file.

    Raises
    ------
    CardError
        Unknown name, broken TOML, or a key that is missing, misspelt or of the wrong type.

    Examples
    --------
    >>> from fintech_dl.cards import dataset_card
    >>> dataset_card("synthetic_card_transactions").source.kind
    'synthetic'
    """
    path = _find("datasets", name)
    raw = read_toml(path)
    if isinstance(like := raw.get("like"), str):
        other = read_toml(_find("datasets", like))
        raw = {key: other[key] for key in ("columns", "contract") if key in other} | raw
    card = build(DatasetCard, raw, str(path))
    check_dataset(card, str(path))
    return replace(card, name=path.stem, folder=path.parent)


def pipeline_card(
    name: str | Path, overrides: dict[str, Any] | None = None, dataset: str | None = None
) -> PipelineCard:
    """Read a pipeline card by its name or by the path of its file.

    Parameters
    ----------
    name : str or Path
    overrides : dict, optional
        Dotted key of the card to value, for example ``{"split.folds": 2}``.
    dataset : str, optional
        Dataset to use instead of the card's own.

    Raises
    ------
    CardError
        As ``dataset_card``.
    """
    path = _find("pipelines", name)
    raw = deepcopy(read_toml(path))
    changes = {**(overrides or {}), **({"dataset": dataset} if dataset else {})}
    if "dataset" in changes:
        raw["dataset"] = changes.pop("dataset")
    if isinstance(raw.get("dataset"), str) and isinstance(raw.get("split"), dict):
        raw["split"] = {**raw["split"], **dataset_card(raw["dataset"]).split}
    for key, value in changes.items():
        *parents, last = key.split(".")
        at: Any = raw
        for parent in parents:
            at = at.setdefault(parent, {}) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            tables = ", ".join(sorted(name for name in raw if isinstance(raw[name], dict)))
            raise CardError(
                f"{path}: {key!r} is no key of a table of this card; the tables are: {tables}"
            )
        at[last] = value
    card = build(PipelineCard, raw, str(path))
    check_pipeline(card, str(path))
    if card.history:
        _check_clock(dataset_card(card.dataset), str(path))
    return replace(card, name=path.stem, folder=path.parent)


def _check_clock(dataset: DatasetCard, where: str) -> None:
    """Refuse a length of history where rows have no moment in time to look back from."""
    time = dataset.contract.time
    if not time or dataset.columns[time].type != "datetime":
        raise CardError(
            f"{where}: history: rows of dataset {dataset.name!r} have no moments to look back "
            f"from; its contract.time is {time!r}, expected a column of type datetime. Remove "
            "history, or take another dataset"
        )


def _is_kind(path: Path, kind: str) -> bool:
    """Tell a pipeline card by its question; a card that cannot be read may be either."""
    try:
        return ("question" in read_toml(path)) == (kind == "pipelines")
    except CardError:
        return True


def _find(kind: str, name: str | Path) -> Path:
    if Path(name).suffix == ".toml":
        if not os.path.isfile(name):
            raise CardError(f"{name}: there is no such card file")
        return Path(name)
    for folder in card_folders(kind):
        path = folder / f"{name}.toml"
        if Path(name).name == str(name) and path.is_file() and _is_kind(path, kind):
            return path
    looked = ", ".join(map(str, card_folders(kind)))
    raise CardError(
        f"unknown {kind[:-1]} {str(name)!r}; {nearest(str(name), names(kind))} "
        f"(looked in {looked}; FINTECH_DL_CARDS names a folder of your own cards)"
    )
