"""Reasons for the declined among new rows, told as the run told them: by its artefact alone."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from fintech_dl import artefact
from fintech_dl.errors import ArtefactError, FintechError, UsageError
from fintech_dl.evaluation.declines import RECORD, decline_table
from fintech_dl.scoring.opened import Opened


def teller(opened: Opened) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    """Return the function of features and scores to a line for each declined row.

    It needs the model itself, and with it a backend: a graph has no gradients.

    Raises
    ------
    UsageError
        The artefact was made without reasons.
    ArtefactError
        What it keeps of them cannot be used; raised when rows are told.
    """
    check_reasons(opened)
    record = artefact.to_record(opened.files, opened.folder, RECORD)
    model = artefact.to_model(opened.files, opened.folder)
    key = opened.dataset.contract.key

    def tell(X: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
        ids = scores[[key]] if key else pd.DataFrame({"row": range(len(scores))})
        score, declined = scores["score"].to_numpy(), scores["alert"].to_numpy()
        try:
            return decline_table(record, model, X, ids, score, declined)
        except FintechError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ArtefactError(
                f"{opened.folder}: {RECORD}.json cannot be used ({error!r}); use the version of "
                "fintech_dl that saved it, or retrain"
            ) from error

    return tell


def check_reasons(opened: Opened) -> None:
    """Refuse an artefact that can tell no reasons.

    Raises
    ------
    UsageError
        It was made without.
    """
    if opened.pipeline.reasons is None or f"{RECORD}.json" not in opened.files:
        lacks = (
            "its card has no [reasons]; add them"
            if opened.pipeline.reasons is None
            else "the run could not tell any, and said why; mend that"
        )
        raise UsageError(
            f"{opened.folder}: no reasons can be told with this artefact of pipeline "
            f"{opened.pipeline.name!r}: {lacks} and run it again, or score without --reasons"
        )
