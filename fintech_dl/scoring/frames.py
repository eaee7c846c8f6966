"""The long way from rows to scores, open to every file and frame: contract, features, model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl import artefact
from fintech_dl.cards import duration
from fintech_dl.data.frames import Reading, read_file, write_csv, write_quarantine
from fintech_dl.data.gaps import put_back
from fintech_dl.errors import DataError
from fintech_dl.evaluation.alerts import decide
from fintech_dl.evaluation.online import with_forecasts
from fintech_dl.fitting import score_columns
from fintech_dl.pipelines import make_table
from fintech_dl.scoring.opened import NO_WINDOW, Done, Opened
from fintech_dl.scoring.reasons import teller
from fintech_dl.scoring.updates import intervals_of
from fintech_dl.table import Table


def score_at_length(
    opened: Opened,
    file: str | Path,
    history: str | Path | None,
    as_of: Any,
    reasons: bool = False,
) -> Done:
    """Read a file, and its history, by the contract; score its clean rows.

    Raises
    ------
    ArtefactError, DataError, UsageError
        As ``score``.
    """
    loaded = Loaded(opened, reasons)
    new = read_file(file, opened.dataset, as_of=as_of, scoring=True)
    past = (
        None if history is None else read_file(history, opened.dataset, as_of=as_of, scoring=True)
    )
    scores, new = loaded.score(new, past)
    told = scores.attrs.pop("reasons", None)
    intervals = scores.attrs.pop("intervals", None)
    return Done(
        rows=len(scores),
        alerts=int(scores["alert"].sum()) if "alert" in scores else None,
        facts=new.facts,
        history=None if past is None else past.facts,
        write=partial(_write, scores, new, told),
        reasons=None if told is None else len(told),
        intervals=intervals,
    )


class Loaded:
    """An artefact whose model is at hand."""

    def __init__(self, opened: Opened, reasons: bool = False) -> None:
        self.opened = opened
        self.tell = teller(opened) if reasons else None
        self.model = None  # asked for intervals around what a graph, if there is one, scores
        forecast = opened.pipeline.forecast
        whole = None
        if forecast is not None and forecast.intervals is not None:
            whole = artefact.to_model(opened.files, opened.folder)
        self.scores_of = artefact.scorer(opened.files, opened.folder, whole)
        if whole is not None:
            self.model = with_forecasts(whole, self.scores_of)

    def score(self, new: Reading, past: Reading | None) -> tuple[pd.DataFrame, Reading]:
        """Return the scores of clean rows, given the clean rows before them.

        Rows of which the features cannot be made (a bar is missing in their window) join those set
        aside: what was read comes back with them.
        """
        if self.opened.pipeline.history and past is None:
            raise self.opened.no_history()
        rows = new.frame if past is None else self._joined(new.frame, past.frame)
        gaps = [one.gaps for one in (past, new) if one is not None and one.gaps is not None]
        whole, origin = put_back(rows, pd.concat(gaps) if gaps else None)
        table = make_table(self.opened.pipeline.table, whole)
        if past is not None:
            self._check_labels(table)
        if len(table) < len(whole) and table.aside is not None:
            origin = origin[table.aside["row"].to_numpy()]
        first = len(rows) - len(new.frame)
        at = np.flatnonzero(origin >= first)
        kept = origin[at] - first
        features = table.X.iloc[at]
        found = pd.DataFrame(index=range(len(kept)))
        contract = self.opened.dataset.contract
        for name in (contract.key, contract.time, contract.asset):
            if name:
                found[name] = new.frame[name].to_numpy()[kept]
        for name, values in score_columns(self.opened.pipeline, self.scores_of(features)).items():
            found[name] = values
        if self.model is not None:
            card = self.opened.pipeline
            assert card.forecast is not None
            ends = intervals_of(self.model, card.forecast, card.history, table, at)
            found["low"], found["high"], learnt = ends
            found.attrs |= {} if learnt is None else {"intervals": learnt}
        decision = self.opened.pipeline.decision
        if decision is not None:
            aside = table.aside.iloc[at] if table.aside is not None else pd.DataFrame()
            amount = aside[decision.amount].to_numpy() if decision.amount else None
            when = None if table.when is None else table.when.iloc[at]
            found["alert"] = decide(decision, found["score"].to_numpy(), amount, when)
        if self.tell is not None:
            found.attrs["reasons"] = self.tell(features, found)
        return found, self._without(new, kept)

    def _without(self, new: Reading, kept: NDArray[np.int64]) -> Reading:
        """Return what was read with the rows that are not kept among those set aside."""
        left = np.setdiff1d(np.arange(len(new.frame)), kept)
        if not len(left) or new.rows is None:
            return new
        names = {name: rule.source or name for name, rule in self.opened.dataset.columns.items()}
        rows = new.frame.iloc[left].rename(columns=names)
        rows = rows.assign(source_row=new.rows[left], reason=NO_WINDOW)
        facts = new.facts
        return replace(
            new,
            frame=new.frame.iloc[kept].reset_index(drop=True),
            quarantined=pd.concat([new.quarantined, rows], ignore_index=True),
            facts={
                **facts,
                "rows_used": len(kept),
                "rows_quarantined": facts["rows_quarantined"] + len(left),
                "quarantine_reasons": {**facts["quarantine_reasons"], NO_WINDOW: len(left)},
            },
            rows=new.rows[kept],
        )

    def _joined(self, new: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
        """Return past and new rows as one frame, or say why they do not fit together."""
        key, time = self.opened.dataset.contract.key, self.opened.dataset.contract.time
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
        back = self.opened.pipeline.history
        needed = first - duration(back) if back else first
        if past[time].iloc[0] > needed:
            raise DataError(
                f"history: begins at {past[time].iloc[0]}, but pipeline "
                f"{self.opened.pipeline.name!r} looks back {back} and the "
                f"first row to score is of {first}; give rows from {needed} on"
            )
        return pd.concat([past, new], ignore_index=True)

    def _check_labels(self, table: Table) -> None:
        """Refuse to score without labels that were known by then: features may count them."""
        labels = self.opened.dataset.contract.labels
        if table.when is None or table.until is None or not labels:
            return
        y = pd.Series(np.nan, table.X.index) if table.y is None else table.main().y
        last = table.when.iloc[-1]
        lacking = ((table.until <= last) & y.isna()).to_numpy()
        if lacking.any():
            raise DataError(
                f"history: {int(lacking.sum())} rows lack a label that was known by {last}, the "
                f"last row to score; the first is of {table.when.iloc[int(lacking.argmax())]}. "
                f"Fill in {labels[0]}, 0 where nothing was confirmed, or "
                "score fewer days at once"
            )


def _write(scores: pd.DataFrame, new: Reading, told: pd.DataFrame | None, folder: Path) -> None:
    scores.to_parquet(folder / "scores.parquet", index=False)
    write_quarantine(new.quarantined, folder / "quarantine.csv")
    if told is not None:
        write_csv(told, folder / "reasons.csv")
