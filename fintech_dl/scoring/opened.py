"""An artefact with the cards that say how rows reach its model. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fintech_dl import artefact
from fintech_dl.cards import DatasetCard, PipelineCard
from fintech_dl.errors import ArtefactError, CardError, UsageError
from fintech_dl.records import build

NO_WINDOW = "window:not_full"  # reason: a bar that the features need is missing or faulty

Card = TypeVar("Card", PipelineCard, DatasetCard)


@dataclass(frozen=True)
class Opened:
    """The checked files of an artefact, and its cards.

    Attributes
    ----------
    folder : str or Path
    files : mapping of str to bytes
        Read once: what was checked is what is used.
    pipeline : PipelineCard
    dataset : DatasetCard
    seal : str
        The digest that names the artefact.
    """

    folder: str | Path
    files: Mapping[str, bytes]
    pipeline: PipelineCard
    dataset: DatasetCard
    seal: str = ""

    def no_history(self) -> UsageError:
        """Return the error of a missing history."""
        return UsageError(
            f"pipeline {self.pipeline.name!r} looks back {self.pipeline.history}: give the earlier "
            f"rows with --history FILE (in Python: history=), known labels included, reaching back "
            f"at least {self.pipeline.history} before the first row to score"
        )


def open_artefact(folder: str | Path) -> Opened:
    """Read and check an artefact's files and cards.

    Raises
    ------
    ArtefactError
        The artefact is incomplete or changed, or was saved without a pipeline.
    """
    seal = artefact.digest(folder)
    files = artefact.read_files(folder)
    cards = artefact.to_record(files, folder, "cards")
    return Opened(
        folder=folder,
        files=files,
        pipeline=_card(PipelineCard, cards, "pipeline", folder),
        dataset=_card(DatasetCard, cards, "dataset", folder),
        seal=seal,
    )


def _card(kind: type[Card], cards: Mapping[str, Any], name: str, folder: str | Path) -> Card:
    try:
        card = build(kind, cards[name]["card"], name)
        return replace(card, name=str(cards[name]["name"]))
    except (CardError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{folder}: its {name} card cannot be used ({error}); use the version of fintech_dl "
            "that saved it, or retrain"
        ) from error
