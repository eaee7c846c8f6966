"""Score the rows of a frame with an artefact: contract, features, model, decision."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from fintech_dl.scoring.opened import NO_WINDOW, Opened, open_artefact

if TYPE_CHECKING:
    import pandas as pd


def score(
    folder: str | Path,
    frame: pd.DataFrame,
    history: pd.DataFrame | None = None,
    *,
    reasons: bool = False,
) -> pd.DataFrame:
    """Score the rows of a frame with a run's artefact.

    For notebooks and services; ``fintech-dl score`` gives files the same scores.

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
    reasons : bool
        Also tell why rows are declined, if the card has ``[reasons]``: a line for each in
        ``attrs["reasons"]``. This needs Keras and a backend.

    Returns
    -------
    DataFrame
        One line per row that keeps the contract, in time order: key, time, asset, ``score`` (higher
        = more likely positive; of a forecast the number itself), if the card asks for intervals
        ``low`` and ``high``, and if it has a decision ``alert``. Where intervals learn as days
        come, ``attrs["intervals"]`` says what they learnt of the history. Rows that break the
        contract, or whose window of bars is not full, are in ``attrs["quarantined"]``, with their
        reasons, and a warning counts them.

    Raises
    ------
    ArtefactError
        The artefact is incomplete, changed or not trusted.
    DataError
        A column is missing, rows break the contract, or the history is too short.
    UsageError
        The history is missing, or the artefact was made without reasons.

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
    import pandas as pd

    from fintech_dl.data.frames import read_rows
    from fintech_dl.scoring.frames import Loaded

    opened = open_artefact(folder)
    loaded = Loaded(opened, reasons)
    now = pd.Timestamp.now("UTC")
    past = None
    if history is not None:
        past = read_rows(history, opened.dataset, as_of=now)
        _warn(past.quarantined, history, opened, "left out of the history")
    scores, new = loaded.score(read_rows(frame, opened.dataset, as_of=now), past)
    if len(new.quarantined):
        scores.attrs["quarantined"] = new.quarantined
        _warn(new.quarantined, frame, opened, "not scored, and are in .attrs['quarantined']")
    return scores


def _warn(rows: pd.DataFrame, of: pd.DataFrame, opened: Opened, what: str) -> None:
    if len(rows):
        short = " or lack a full window of bars" if (rows["reason"] == NO_WINDOW).any() else ""
        warnings.warn(
            f"{len(rows)} of {len(of)} rows break the contract of dataset "
            f"{opened.dataset.name!r}{short} and were {what}; the first: {rows['reason'].iloc[0]}",
            stacklevel=3,
        )
