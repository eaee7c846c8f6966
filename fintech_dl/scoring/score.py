"""Score new rows with an artefact: contract, features, model, decision."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from fintech_dl import artefact
from fintech_dl.cards import DatasetCard, PipelineCard, duration
from fintech_dl.data.contract import apply_contract
from fintech_dl.data.frames import Reading, read_file, write_quarantine
from fintech_dl.errors import ArtefactError, CardError, DataError, OutputError, UsageError
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.decisions import decide
from fintech_dl.pipelines import make_table
from fintech_dl.records import build
from fintech_dl.table import Table

Card = TypeVar("Card", PipelineCard, DatasetCard)


@dataclass(frozen=True)
class Scores:
    """What scoring a file wrote: the folder, and counts for a night job's log."""

    folder: Path
    summary: dict[str, Any]


def score(
    folder: str | Path, frame: pd.DataFrame, history: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Score the rows of a frame with a run's artefact.

    For notebooks and services; ``fintech-dl score`` does the same from file to file.

    Parameters
    ----------
    folder : str or Path
        The folder ``artefact`` of a run.
    frame : DataFrame
        New rows, with the columns of the pipeline's dataset as its source names them; labels may
        be absent.
    history : DataFrame, optional
        Earlier rows, with every label known by the last new row; needed where the pipeline
        card declares a ``history``.

    Returns
    -------
    DataFrame
        One line per row that keeps the contract, in time order: key, time, ``score`` (higher = more
        likely positive) and, if the card has a decision, ``alert``. Rows that break the contract
        are in ``attrs["quarantined"]``, with their reasons, and a warning counts them.

    Raises
    ------
    ArtefactError
        The artefact is incomplete, changed or not trusted.
    DataError
        A column is missing, rows break the contract, or the history is too short.
    UsageError
        The history is missing.

    Examples
    --------
    >>> import tempfile
    >>> from fintech_dl import load_frame, run_pipeline, score
    >>> from fintech_dl.cards import pipeline_card
    >>> card = pipeline_card("fraud", dataset="synthetic_card_transactions_small")
    >>> frame = load_frame(card.dataset)
    >>> past, new = frame[frame["time"] < "2018-08-23"], frame[frame["time"] >= "2018-08-23"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = run_pipeline(card, f"{folder}/run", set_params={"model__epochs": 1})
    ...     scores = score(run.folder / "artefact", new, past)
    >>> list(scores.columns)
    ['transaction_id', 'time', 'score', 'alert']
    """
    loaded = _Loaded(folder)
    now = pd.Timestamp.now("UTC")
    past = None
    if history is not None:
        past, left_out = apply_contract(history, loaded.dataset, as_of=now, scoring=True)
        _warn(left_out, history, loaded, "left out of the history")
    clean, quarantined = apply_contract(frame, loaded.dataset, as_of=now, scoring=True)
    scores = loaded.score(clean, past)
    if len(quarantined):
        scores.attrs["quarantined"] = quarantined
        _warn(quarantined, frame, loaded, "not scored, and are in .attrs['quarantined']")
    return scores


def score_file(
    folder: str | Path,
    file: str | Path,
    out: str | Path,
    *,
    history: str | Path | None = None,
    as_of: Any = None,
) -> Scores:
    """Score a file with a run's artefact; write scores, quarantine and summary, or nothing.

    Parameters
    ----------
    folder : str or Path
        The folder ``artefact`` of a run.
    file : str or Path
        Parquet or CSV; every row is scored or quarantined with a reason.
    out : str or Path
        Folder to write, which must not exist yet, or be empty.
    history : str or Path, optional
        File of earlier rows, as for ``score``.
    as_of : str, date or Timestamp, optional
        Rows after this moment are quarantined; default: now.

    Returns
    -------
    Scores

    Raises
    ------
    ArtefactError, DataError, UsageError, OutputError
        As ``score``; nothing is left behind.
    """
    out = Path(out)
    _check_place(out)
    loaded = _Loaded(folder)
    if loaded.pipeline.history and history is None:
        raise loaded.no_history()
    new = read_file(file, loaded.dataset, as_of=as_of, scoring=True)
    past = (
        None if history is None else read_file(history, loaded.dataset, as_of=as_of, scoring=True)
    )
    scores = loaded.score(new.frame, None if past is None else past.frame)
    summary = {
        "artefact": artefact.digest(folder),
        "pipeline": loaded.pipeline.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "input": new.facts,
        "history": None if past is None else past.facts,
        "rows_read": new.facts["rows_read"],
        "rows_scored": len(scores),
        "rows_quarantined": new.facts["rows_quarantined"],
        "alerts": int(scores["alert"].sum()) if "alert" in scores else None,
    }
    if summary["rows_scored"] + summary["rows_quarantined"] != summary["rows_read"]:
        raise DataError(f"{file}: rows were lost between reading and scoring: {summary}")
    _publish(out, scores, new, summary)
    return Scores(folder=out, summary=summary)


class _Loaded:
    """An artefact's model with the cards that say how rows reach it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder
        files = artefact.read_files(folder)  # once: what was checked is what is used
        cards = artefact.to_record(files, folder, "cards")
        self.pipeline = _read_card(PipelineCard, cards, "pipeline", folder)
        self.dataset = _read_card(DatasetCard, cards, "dataset", folder)
        self.model = artefact.to_model(files, folder)

    def no_history(self) -> UsageError:
        """Return the error of a missing history."""
        return UsageError(
            f"pipeline {self.pipeline.name!r} looks back {self.pipeline.history}: give the earlier "
            f"rows with --history FILE (in Python: history=), known labels included, reaching back "
            f"at least {self.pipeline.history} before the first row to score"
        )

    def score(self, new: pd.DataFrame, past: pd.DataFrame | None) -> pd.DataFrame:
        """Return the scores of clean rows, given the clean rows before them."""
        if self.pipeline.history and past is None:
            raise self.no_history()
        rows = new if past is None else self._joined(new, past)
        at = np.arange(len(rows) - len(new), len(rows))
        table = make_table(self.pipeline.table, rows)
        if past is not None:
            self._check_labels(table)
        features = table.X.iloc[at]
        found = pd.DataFrame(index=range(len(new)))
        contract = self.dataset.contract
        for name in (contract.key, contract.time):
            if name:
                found[name] = new[name].to_numpy()
        found["score"] = score_rows(self.model, features)
        decision = self.pipeline.decision
        if decision is not None:
            aside = table.aside.iloc[at] if table.aside is not None else pd.DataFrame()
            amount = aside[decision.amount].to_numpy() if decision.amount else None
            when = None if table.when is None else table.when.iloc[at]
            found["alert"] = decide(decision, found["score"].to_numpy(), amount, when)
        return found

    def _joined(self, new: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
        """Return past and new rows as one frame, or say why they do not fit together."""
        key, time = self.dataset.contract.key, self.dataset.contract.time
        first = new[time].iloc[0]
        if past[time].iloc[-1] > first:
            late = int((past[time] > first).sum())
            raise DataError(
                f"history: {late} rows are later than the first row to score ({first}); "
                "the history must end where the new rows begin"
            )
        if key and (both := np.intersect1d(past[key], new[key])).size:
            raise DataError(
                f"history: {both.size} rows are also among the rows to score, the first with "
                f"{key} = {both[0]}; remove them from one of the files"
            )
        needed = first - duration(self.pipeline.history) if self.pipeline.history else first
        if past[time].iloc[0] > needed:
            raise DataError(
                f"history: begins at {past[time].iloc[0]}, but pipeline {self.pipeline.name!r} "
                f"looks back {self.pipeline.history} and the first row to score is of {first}; "
                f"give rows from {needed} on"
            )
        return pd.concat([past, new], ignore_index=True)

    def _check_labels(self, table: Table) -> None:
        """Refuse to score without labels that were known by then: features may count them."""
        if table.when is None or table.until is None or not self.dataset.contract.labels:
            return
        y = pd.Series(np.nan, table.X.index) if table.y is None else table.y
        last = table.when.iloc[-1]
        lacking = ((table.until <= last) & y.isna()).to_numpy()
        if lacking.any():
            raise DataError(
                f"history: {int(lacking.sum())} rows lack a label that was known by {last}, the "
                f"last row to score; the first is of {table.when.iloc[int(lacking.argmax())]}. "
                f"Fill in {self.dataset.contract.labels[0]}, 0 where nothing was confirmed, or "
                "score fewer days at once"
            )


def _read_card(kind: type[Card], cards: Mapping[str, Any], name: str, folder: str | Path) -> Card:
    try:
        card = build(kind, cards[name]["card"], name)
        return replace(card, name=str(cards[name]["name"]))
    except (CardError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"{folder}: its {name} card cannot be used ({error}); use the version of fintech_dl "
            "that saved it, or retrain"
        ) from error


def _warn(rows: pd.DataFrame, of: pd.DataFrame, loaded: _Loaded, what: str) -> None:
    if len(rows):
        warnings.warn(
            f"{len(rows)} of {len(of)} rows break the contract of dataset "
            f"{loaded.dataset.name!r} and were {what}; the first: {rows['reason'].iloc[0]}",
            stacklevel=3,
        )


def _check_place(out: Path) -> None:
    """Refuse, before any work, a folder that cannot be made."""
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out}: exists already; name a new folder with -o")
    above = next(parent for parent in out.absolute().parents if os.path.exists(parent))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: you may not write to {above}; choose another folder with -o")


def _publish(out: Path, scores: pd.DataFrame, new: Reading, summary: dict[str, Any]) -> None:
    """Write the result folder beside its place and move it there at once."""
    part = out.absolute().with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        scores.to_parquet(part / "scores.parquet", index=False)
        write_quarantine(new.quarantined, part / "quarantine.csv")
        (part / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        if out.exists():
            out.rmdir()
        os.replace(part, out)
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror or error}); choose another folder with -o"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
