"""From the clean rows of a frame to their scores: features, model, decision."""

from __future__ import annotations

import pandas as pd

from fintech_dl import artefact
from fintech_dl.data.frames import Reading
from fintech_dl.evaluation.alerts import decide
from fintech_dl.fitting import score_columns
from fintech_dl.scoring.features import features_of
from fintech_dl.scoring.opened import Opened
from fintech_dl.scoring.reasons import teller
from fintech_dl.scoring.updates import interval_model, intervals_of


class Loaded:
    """An artefact whose model is at hand."""

    def __init__(self, opened: Opened, reasons: bool = False) -> None:
        self.opened = opened
        self.tell = teller(opened) if reasons else None
        self.model = interval_model(opened)
        self.scores_of = artefact.scorer(opened.files, opened.folder)

    def score(self, new: Reading, past: Reading | None) -> tuple[pd.DataFrame, Reading]:
        """Return the scores of clean rows, given the clean rows before them.

        Rows of which the features cannot be made (a bar is missing in their window) join those set
        aside: what was read comes back with them.
        """
        card = self.opened.pipeline
        rows = features_of(self.opened, new, past)
        found = rows.named
        for name, values in score_columns(card, self.scores_of(rows.X)).items():
            found[name] = values
        if self.model is not None:
            assert card.forecast is not None
            ends = intervals_of(self.model, card.forecast, card.history, rows.table, rows.at)
            found["low"], found["high"], learnt = ends
            found.attrs |= {} if learnt is None else {"intervals": learnt}
        if card.decision is not None:
            score = found["score"].to_numpy()
            found["alert"] = decide(card.decision, score, rows.amount, rows.when)
        if self.tell is not None:
            found.attrs["reasons"] = self.tell(rows.X, found)
        return found, rows.new
