"""Score new rows with an artefact: contract, features, model, decision.

What is heavy is imported where it is used: clean files need little of it.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fintech_dl import artefact
from fintech_dl.errors import DataError
from fintech_dl.publishing import alone, publishing
from fintech_dl.scoring.opened import NO_WINDOW, Opened, open_artefact
from fintech_dl.scoring.place import check_place

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Scores:
    """What scoring a file wrote: the folder, and counts for a night job's log."""

    folder: Path
    summary: dict[str, Any]


def score(
    folder: str | Path,
    frame: pd.DataFrame,
    history: pd.DataFrame | None = None,
    *,
    reasons: bool = False,
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


def score_file(
    folder: str | Path,
    file: str | Path,
    out: str | Path,
    *,
    history: str | Path | None = None,
    as_of: Any = None,
    reasons: bool = False,
) -> Scores:
    """Score a file with a run's artefact; write scores, quarantine and summary, or nothing.

    Parameters
    ----------
    folder : str or Path
        The folder ``artefact`` of a run.
    file : str or Path
        Parquet or CSV; every row is scored or quarantined with a reason.
    out : str or Path
        Folder to write, which must not exist yet, or be empty. What a killed process left beside
        it is removed.
    history : str or Path, optional
        File of earlier rows, as for ``score``.
    as_of : str, date or Timestamp, optional
        Rows after this moment are quarantined; default: now.
    reasons : bool
        Also write ``reasons.csv``, a line for each declined row, as ``score`` tells them.

    Returns
    -------
    Scores

    Raises
    ------
    ArtefactError, DataError, UsageError, OutputError
        As ``score``; nothing is left behind.
    NothingToDo
        ``out`` holds the scores of exactly these files, artefact and ``as_of``.
    PlanError
        ``out`` holds scores of other files, of another artefact or another ``as_of``.
    LockedError
        Another process is writing ``out`` now.
    """
    out = Path(out)
    check_place(out, folder, file, history, as_of, reasons)
    with alone(out, "-o"):
        check_place(out, folder, file, history, as_of, reasons)  # another process may have made it
        return _score_file(folder, file, out, history, as_of, reasons)


def _score_file(
    folder: str | Path,
    file: str | Path,
    out: Path,
    history: str | Path | None,
    as_of: Any,
    reasons: bool,
) -> Scores:
    opened = open_artefact(folder)
    if opened.pipeline.history and history is None:
        raise opened.no_history()
    done = None
    if history is None and not reasons:
        from fintech_dl.scoring.quick import score_quickly

        done = score_quickly(opened, file, as_of)
    if done is None:
        from fintech_dl.scoring.frames import score_at_length

        done = score_at_length(opened, file, history, as_of, reasons)
    summary = {
        "artefact": artefact.digest(folder),
        "pipeline": opened.pipeline.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "as_of": None if as_of is None else str(as_of),
        "input": done.facts,
        "history": done.history,
        "rows_read": done.facts["rows_read"],
        "rows_scored": done.rows,
        "rows_quarantined": done.facts["rows_quarantined"],
        "alerts": done.alerts,
        "reasons": done.reasons,
        "intervals": done.intervals,
    }
    if summary["rows_scored"] + summary["rows_quarantined"] != summary["rows_read"]:
        raise DataError(f"{file}: rows were lost between reading and scoring: {summary}")
    with publishing(out, "-o") as part:
        done.write(part)
        (part / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    return Scores(folder=out, summary=summary)


def _warn(rows: pd.DataFrame, of: pd.DataFrame, opened: Opened, what: str) -> None:
    if len(rows):
        short = " or lack a full window of bars" if (rows["reason"] == NO_WINDOW).any() else ""
        warnings.warn(
            f"{len(rows)} of {len(of)} rows break the contract of dataset "
            f"{opened.dataset.name!r}{short} and were {what}; the first: {rows['reason'].iloc[0]}",
            stacklevel=3,
        )
