"""The model validation report of a run: one self-contained HTML page, and the JSON behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fintech_dl.cards.validation import STATEMENTS
from fintech_dl.evaluation.reading import Record
from fintech_dl.evaluation.report import filled, write_page
from fintech_dl.evaluation.validation_sections import sections
from fintech_dl.evaluation.wording import interval, number, percent

FILE, PAGE = "validation.json", "validation.html"
KEPT = (
    *("format", "title", "question", "pipeline", "created", "seed", "data", "protocol", "search"),
    *("words", "features", "models", "comparison", "verdict", "training", "importance"),
    *("importance_metric", "limits", "environment"),
)


def validation_record(
    record: Mapping[str, Any], found: Mapping[str, Any], statements: Mapping[str, str]
) -> Record:
    """Return everything that a model validation report is made of.

    Parameters
    ----------
    record : dict
        Of the run.
    found : dict
        What was measured: see ``validation.validate``.
    statements : dict of str to str
        What people say, by the keys of ``cards.validation.STATEMENTS``.

    Returns
    -------
    dict
        The parts of the run's record that the page shows, and ``validation``: what was measured,
        ``statements``, ``blank`` (keys of those that are missing) and ``status``: ``"DRAFT"`` while
        one is missing, else ``"COMPLETE"``.
    """
    said = {key: text for key, text in statements.items() if text.strip()}
    blank = [key for key in STATEMENTS if key not in said]
    status = "DRAFT" if blank else "COMPLETE"
    return {
        **{key: record[key] for key in KEPT if key in record},
        "validation": {**found, "statements": said, "blank": blank, "status": status},
    }


def render_validation(record: Record) -> str:
    """Return the model validation report as one HTML page, escaped and without scripts.

    Parameters
    ----------
    record : dict
        Of ``validation_record``.

    Raises
    ------
    NotInstalledError
        If matplotlib or jinja2 is not installed.
    """
    given, parts = record["validation"], sections(record)
    return filled(
        "validation.html",
        record=record,
        sections=parts,
        status=given["status"],
        blank=[key.replace("_", " ") for key in given["blank"]],
        asked=len(STATEMENTS),
        without=_without(given, parts),
        facts=_facts(given),
    )


def write_validation(record: Record, folder: str | os.PathLike[str]) -> Path:
    """Write the report to ``folder/validation.html``, whole or not at all; returns its path.

    Raises
    ------
    OutputError
        If the folder cannot be written; nothing is left behind.
    NotInstalledError
        If matplotlib or jinja2 is not installed.
    """
    return write_page(render_validation(record), Path(folder) / PAGE)


def _without(given: Record, parts: list[Record]) -> list[str]:
    """Return the sections for which the run has nothing."""
    lacking = {
        "fairness": not given.get("fairness"),
        "reasons": "reason" in (given.get("reasons") or {"reason": ""}),
        "parity": not given.get("parity"),
        "security": not given.get("artefact"),
    }
    return [f"{s['number']} {s['title']}" for s in parts if lacking.get(s["id"])]


def _facts(given: Record) -> list[tuple[str, str, str]]:
    """Return the four numbers that a reader in a hurry takes along."""
    own, cut = given["discrimination"]["models"][0], given["cutoff"]["chosen"][0]
    whole, score = given["calibration"]["portfolio"][0], given["stability"]["score"]
    gini = own["gini"]
    chance = "beyond chance" if score["beyond_chance"] else "within chance"
    return [
        ("Gini", number(gini["value"], 3), interval(gini["low"], gini["high"], 2)),
        (
            "Default rate",
            percent(whole["observed"]),
            f"predicted {percent(whole['mean_pd'])}",
        ),
        (
            "Bad rate, approved",
            percent(cut["bad_rate_approved"]),
            f"{percent(cut['approval_rate'])} approved",
        ),
        ("PSI of the score", number(score["psi"], 3), chance),
    ]
