"""The files of a run: where they go, and what is written into them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from fintech_dl.artefact import save
from fintech_dl.cards import DatasetCard, PipelineCard
from fintech_dl.credit import Told
from fintech_dl.data.frames import write_csv, write_quarantine
from fintech_dl.errors import OutputError
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.report import write_report
from fintech_dl.evaluation.splits import Fold
from fintech_dl.evaluation.validation_report import FILE, validation_record, write_validation
from fintech_dl.fitting import Fitted
from fintech_dl.folders import replacing
from fintech_dl.sealed import MANIFEST, PARITY
from fintech_dl.search import write_trials
from fintech_dl.table import Table


def new_folder(card: PipelineCard, out: str | Path | None, started: datetime) -> Path:
    """Return a run's folder, not yet there.

    Parameters
    ----------
    card : PipelineCard
    out : str or Path, optional
        Default: a new one in ``reports/runs``.
    started : datetime

    Raises
    ------
    OutputError
        It is there already, or nothing can be written there.
    """
    key = json.dumps([asdict(card), started.isoformat()], default=str, sort_keys=True)
    name = f"{card.name}-{started:%Y%m%d-%H%M%S}-{sha256(key.encode()).hexdigest()[:6]}"
    folder = Path(out) if out is not None else Path("reports", "runs", name)
    if os.path.lexists(folder):
        raise OutputError(f"{folder}: exists already; name a new folder with --out, or remove it")
    above = next(parent for parent in folder.absolute().parents if os.path.exists(parent))
    if not above.is_dir():
        raise OutputError(f"{folder}: {above} is a file; choose another folder with --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: you may not write to {above}; choose another folder with --out"
        )
    return folder


def write_run(
    home: Path,
    folder: Path,
    card: PipelineCard,
    source: DatasetCard,
    rows: Table,
    latest: Fold,
    scored: Scored,
    fitted: Fitted,
    told: Told,
    quarantined: pd.DataFrame,
    record: dict[str, Any],
) -> None:
    """Write all that a run made.

    Parameters
    ----------
    home : Path
        Where to write now.
    folder : Path
        What ``home`` will be called in the end.
    card : PipelineCard
    source : DatasetCard
    rows : Table
        Of the latest test.
    latest : Fold
    scored : Scored
        The model.
    fitted : Fitted
        The model of the latest fold.
    told : Told
        What the card asks to be told beside the scores.
    quarantined : DataFrame
    record : dict
        Every number of the run; it gets ``commands``.
    """
    cards = {"pipeline": card_record(card), "dataset": card_record(source)}
    records = {"cards": cards, "metrics": record, **told.kept}
    save(fitted.model, home / "artefact", records=records, files=fitted.files)
    for name, lines in told.tables.items():
        write_csv(lines, home / name)
    history = " --history PAST" if card.history else ""
    record["commands"] = {
        "score": f"fintech-dl score {folder / 'artefact'} FILE -o FOLDER{history}"
    }
    scores = {f"score_next_{one.horizon}": one.score for one in scored.further[0]}
    predictions = pd.DataFrame({"row": latest.test, "score": scored.outcomes[0].score, **scores})
    for band in scored.bands[:1]:
        predictions["low"], predictions["high"] = next(iter(band.ends.values()))
    for name, column in (("when", rows.when), ("who", rows.who), ("y", rows.y)):
        if column is not None:
            predictions[name] = column
    if rows.aside is not None:
        twice = {name: f"{name}_aside" for name in predictions if name in rows.aside}
        predictions = predictions.join(rows.aside.rename(columns=twice))
    predictions.to_parquet(home / "predictions.parquet", index=False)
    write_quarantine(quarantined, home / "quarantine.csv")
    if "search" in record:
        write_trials(record["search"], home / "search.csv")
    with replacing(home / "metrics.json") as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_report(record, home)


def write_validated(
    home: Path, card: PipelineCard, record: dict[str, Any], found: dict[str, Any]
) -> None:
    """Write the model validation report beside that of the run, with the artefact's digests.

    Parameters
    ----------
    home : Path
        Where `write_run` wrote.
    card : PipelineCard
        With ``[validation]``.
    record : dict
        Of the run.
    found : dict
        Of ``validation.validate``.
    """
    assert card.validation is not None
    artefact = home / "artefact"
    manifest = json.loads((artefact / MANIFEST).read_bytes())
    proof = artefact / PARITY
    kept = {
        **found,
        "table": card.table,
        "parity": json.loads(proof.read_bytes()) if proof.exists() else None,
        "artefact": manifest["files"],
    }
    page = validation_record(record, kept, card.validation.statements)
    with replacing(home / FILE) as part:
        part.write_text(json.dumps(page, indent=1, allow_nan=False) + "\n")
    write_validation(page, home)


def card_record(card: PipelineCard | DatasetCard) -> dict[str, Any]:
    """Return a card as JSON can hold it: ``name`` and ``card``, the keys of its page of TOML."""
    keys = {k: v for k, v in asdict(card).items() if k not in ("name", "folder")}
    return {"name": card.name, "card": _plain(keys)}


def _plain(value: Any) -> Any:
    """Return nested values without those that are None, which TOML does not have either."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
