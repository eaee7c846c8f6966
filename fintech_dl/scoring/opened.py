"""An artefact with the cards that say how rows reach its model. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fintech_dl import artefact
from fintech_dl.cards import DatasetCard, PipelineCard
from fintech_dl.errors import ArtefactError, CardError, PlanError, UsageError
from fintech_dl.records import build
from fintech_dl.scoring.plan import Plan

NO_WINDOW = "window:not_full"  # reason: a bar that the features need is missing or faulty
RETRAIN = "use the version of fintech_dl that saved it, or retrain"

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

    def reference(self) -> dict[str, Any] | None:
        """Return what `evaluation.reference` noted, None where the artefact has no such record.

        Raises
        ------
        ArtefactError
            It is no record.
        """
        if "reference.json" not in self.files:
            return None
        record: Any = artefact.to_record(self.files, self.folder, "reference")
        if not isinstance(record, dict):
            raise ArtefactError(
                f"{self.folder}: its reference.json cannot be used (it is no record); {RETRAIN}"
            )
        return record


def open_artefact(folder: str | Path) -> Opened:
    """Read and check an artefact's files and cards.

    Raises
    ------
    ArtefactError
        The artefact is incomplete or changed, or was saved without a pipeline.
    """
    seal, files = artefact.read_sealed(folder)
    cards = artefact.to_record(files, folder, "cards")
    return Opened(
        folder=folder,
        files=files,
        pipeline=_card(PipelineCard, cards, "pipeline", folder),
        dataset=_card(DatasetCard, cards, "dataset", folder),
        seal=seal,
    )


def open_planned(plan: Plan, other: str, where: str | Path = "") -> Opened:
    """Open the artefact of a plan as `open_artefact` does, and refuse any other.

    Parameters
    ----------
    plan : Plan
    other : str
        What is said of another artefact, after the name of its folder.
    where : str or Path, optional
        Where it lies now; default: where it lay when the plan was made.

    Raises
    ------
    ArtefactError
        As `open_artefact`.
    PlanError
        It is sound, and not the artefact of the plan.
    """
    folder = where or plan.artefact_path
    opened = open_artefact(folder)
    if opened.seal != plan.artefact:
        raise PlanError(f"{folder}: {other}")
    return opened


def _card(kind: type[Card], cards: Mapping[str, Any], name: str, folder: str | Path) -> Card:
    try:
        card = build(kind, cards[name]["card"], name)
        return replace(card, name=str(cards[name]["name"]))
    except (CardError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{folder}: its {name} card cannot be used ({error}); {RETRAIN}"
        ) from error
