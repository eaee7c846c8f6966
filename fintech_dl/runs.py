"""Runs: one execution of a pipeline card, from raw rows to report and artefact."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fintech_dl.artefact import installed_versions
from fintech_dl.cards import (
    DatasetCard,
    PipelineCard,
    dataset_card,
    forecasts_numbers,
    pipeline_card,
)
from fintech_dl.credit import check_told, tell_lender
from fintech_dl.data.frames import read_dataset
from fintech_dl.errors import UsageError, require
from fintech_dl.evaluation.detection_labels import (
    check_table,
    is_detector,
    unlabelled,
    without_labels,
)
from fintech_dl.evaluation.detection_record import detection_record
from fintech_dl.evaluation.evidence import Scored, check_metrics, evidence
from fintech_dl.evaluation.explanation import permutation_importance
from fintech_dl.evaluation.facts import data_facts, protocol_facts, training_facts
from fintech_dl.evaluation.forecast_leaks import deep_leaks, run_leaks
from fintech_dl.evaluation.forecast_record import forecast_record, members_record, told
from fintech_dl.evaluation.groups import check_columns
from fintech_dl.evaluation.reference import reference_record
from fintech_dl.evaluation.splits import Fold, folds
from fintech_dl.evaluation.validation import validate
from fintech_dl.fitting import candidates, fit_and_score, title_of
from fintech_dl.pipelines import check_history, make_table, parameter_of
from fintech_dl.publishing import alone, publishing
from fintech_dl.run_files import new_folder, write_run, write_validated
from fintech_dl.search import check_search, search_parameters, with_parameters
from fintech_dl.table import Table

MANY_COLUMNS = 100  # from here on, each is shuffled less often, and on fewer rows

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Run:
    """What one execution of a pipeline card produced.

    Attributes
    ----------
    folder : Path
        Holds ``report.html``, ``metrics.json``, ``predictions.parquet``, ``artefact/`` and, if
        rows were set aside, ``quarantine.csv``; after a search ``search.csv``, a line per trial;
        with ``[validation]`` in the card ``validation.html`` and ``validation.json``, with
        ``[reasons]`` ``reasons.csv``, with ``[points]`` ``points.csv``, of a detector
        ``alerts.csv``.
    record : dict
        Every number of the report, JSON-plain.
    model : fitted Pipeline
        The model of the latest fold, calibrated if the card says so.
    """

    folder: Path
    record: dict[str, Any]
    model: Any


def run_pipeline(
    pipeline: str | Path | PipelineCard,
    out: str | Path | None = None,
    *,
    set_params: Mapping[str, Any] | None = None,
    seed: int = 0,
    as_of: Any = None,
    search: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Run a pipeline card: read, split, fit model and baselines, evaluate, report, save.

    The whole evidence for one question in one call; the same as ``fintech-dl run``.

    Parameters
    ----------
    pipeline : str, Path or PipelineCard
        Name of a pipeline card, path of a card's file, or a card (``cards.pipeline_card`` takes
        overrides and another dataset).
    out : str or Path, optional
        Folder of the run, which must not exist yet; by default a new one in ``reports/runs``.
    set_params : mapping, optional
        scikit-learn addresses to values, for example ``{"model__epochs": 5}``.
    seed : int, default=0
        Seed of everything random.
    as_of : str, date or Timestamp, optional
        The moment of the data; later rows are quarantined. Default: the dataset card's, else now.
    search : bool, default=False
        First try the parameters of the card's ``[search]`` on rows from before every test, and run
        with the best. What ``set_params`` sets is not searched.
    progress : callable, optional
        Called with a text and the share of the work that is done.

    Returns
    -------
    Run

    Raises
    ------
    CardError, UsageError, DataError, OutputError
        What is wrong, and what to do; no folder is left behind.

    Examples
    --------
    >>> import tempfile
    >>> from fintech_dl import run_pipeline
    >>> from fintech_dl.cards import pipeline_card
    >>> card = pipeline_card("fraud", dataset="synthetic_card_transactions_small")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = run_pipeline(card, f"{folder}/run", set_params={"model__epochs": 1})
    ...     print(run.record["models"][0]["name"])
    model
    """
    card = pipeline if isinstance(pipeline, PipelineCard) else pipeline_card(pipeline)
    tell = progress or (lambda text, share: None)
    started = datetime.now(UTC)
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed: got {seed}, allowed: a whole number from 0 to {2**32 - 1}")
    folder = new_folder(card, out, started)
    source = dataset_card(card.dataset)
    check_history(card)
    models = candidates(card, set_params or {}, seed)
    wanted = check_search(card, models[0][2], set_params or {}) if search else None
    numbers = forecasts_numbers(card)
    check_metrics(card.metrics, numbers)
    require("matplotlib", "report")
    require("jinja2", "report")
    tell(f"reading {card.dataset}", 0.0)
    reading = read_dataset(source, as_of=as_of)
    tell("making features", 0.05)
    frame = reading.whole()
    whole = make_table(card.table, frame, labelled=True)
    table = whole.main()
    detects = is_detector(models[0][2])
    check_table(card, table, numbers=numbers, detects=detects, searched=search)
    known, split = table, card.split
    if table.y is None:  # a detector needs none
        split, whole = replace(split, remove_known=False), unlabelled(table)
        table = whole
    parts = folds(known, split)
    if card.validation:
        tested = np.concatenate([part.test for part in parts])
        check_columns(card.validation, table, tested, f"{card.name}: [validation]")
    settled = check_told(card, models[0][2], table.X)
    scored: list[Scored] = []
    searched: dict[str, Any] = {}
    done, fitted = 0.1, None
    if wanted is not None:
        searched = search_parameters(
            card,
            wanted,
            models[0][2],
            whole,
            parts,
            seed=seed,
            tell=lambda text, share: tell(text, 0.1 + 0.4 * share),
        )
        done = 0.5
        if searched["improved"]:
            best = with_parameters(models[0][2], searched["best"]["params"], seed)
            models[0] = ("model", title_of(best), best, "")
    for i, (name, title, estimator, reason) in enumerate(models):
        tell(f"fitting {title}", done + (0.8 - done) * i / len(models))
        if estimator is None:
            scored.append(Scored(name=name, title=title, is_baseline=True, reason=reason))
            continue
        result, made = fit_and_score(name, title, estimator, card, whole, parts)
        scored.append(result)
        if name == "model":
            fitted = made
    assert fitted is not None
    tell("evaluating", 0.8)
    forecast = None
    if card.forecast is not None:
        both, tried = (models[0][2], fitted.model), 1 + searched.get("tried", 0)
        forecast = _forecast(card, source, scored, both, table, parts, frame, tried, seed)
    record = {
        "format": 1,
        "title": card.title,
        "question": card.question,
        "pipeline": card.name,
        "created": started.isoformat(timespec="seconds"),
        "seed": seed,
        "data": data_facts(reading.facts, known),
        "protocol": protocol_facts(split, known, parts),
        **({"search": searched} if searched else {}),
        "words": card.words,
        "features": [str(name) for name in table.X.columns],
        **(
            without_labels(scored, card.decision)
            if known.y is None
            else evidence(scored, card.metrics, card.decision, forecast=forecast, seed=seed)
        ),
        "training": training_facts(fitted.model),
        "limits": [*card.limits, *source.limits],
        "environment": _environment(),
    }
    if card.decision is not None and (column := source.columns.get(card.decision.amount)):
        record["decision"]["unit"] = column.unit
    if forecast:
        record["forecast"] = forecast
    tell("measuring which features matter", 0.85)
    latest = parts[0]
    if known.y is not None:
        record["importance_metric"] = card.metrics[0]
        record["importance"] = permutation_importance(
            fitted.scores,
            table.X.iloc[latest.test],
            scored[0].outcomes[0],
            card.metrics[0],
            n_repeats=3 if table.X.shape[1] > MANY_COLUMNS else 5,
            max_rows=5_000 if table.X.shape[1] > MANY_COLUMNS else 20_000,
            seed=seed,
        )
    tell("telling reasons and points", 0.88)
    outcome, key = scored[0].outcomes[0], source.contract.key
    told_lender = tell_lender(card, settled, fitted.model, table, latest.test, outcome, key)
    record |= told_lender.record
    if detects:
        made_of = (card, scored, fitted.model, known, parts, key)
        record["detection"], alerts = detection_record(*made_of)
        told_lender.tables["alerts.csv"] = alerts
    told_lender.kept["reference"] = reference_record(
        table,
        latest,
        scored[0],
        card.decision,
        reading.facts,
        labelled=known.y is not None,
        seed=seed,
    )
    found: dict[str, Any] = {}
    if card.validation:
        tell("validating", 0.9)
        told_with = told_lender.kept.get("reasons")
        found = validate(
            card.validation, scored, fitted.model, table, parts, record, told=told_with, seed=seed
        )
    tell("writing report and artefact", 0.95)
    with alone(folder, "--out"), publishing(folder, "--out") as home:
        write_run(
            home,
            folder,
            card,
            source,
            rows=known.rows(latest.test),
            latest=latest,
            scored=scored[0],
            fitted=fitted,
            told=told_lender,
            quarantined=reading.quarantined,
            record=record,
        )
        if card.validation:
            write_validated(home, card, record, found)
    tell("done", 1.0)
    return Run(folder=folder, record=record, model=fitted.model)


def _forecast(
    card: PipelineCard,
    source: DatasetCard,
    scored: list[Scored],
    models: tuple[Any, Any],
    table: Table,
    parts: list[Fold],
    frame: pd.DataFrame,
    tried: int,
    seed: int,
) -> dict[str, Any]:
    """Return the part of the record that is about forecasts; of the model as asked and fitted."""
    assert card.forecast is not None
    own = scored[0].outcomes[0]
    leaks = run_leaks(card.forecast, scored[0], table, parts[0])
    if card.forecast.leak_checks:
        build, variance = partial(make_table, card.table), str(card.table.get("variance", ""))
        leaks += deep_leaks(card.forecast, build, models[0], frame, variance=variance, seed=seed)
    units = {name: column.unit for name, column in source.columns.items()}
    return forecast_record(
        card.forecast,
        told(scored, table, parts, card.metrics[0]),
        leaks,
        lag=parameter_of(card.table, "lag") if card.forecast.kind != "price" else None,
        unit=units.get(str(card.table.get("variance")), ""),
        price_unit=units.get("close", ""),
        tried=tried,
        members=members_record(models[1], table.X.iloc[parts[0].test], own, card.metrics[0]),
        seed=seed,
    )


def _environment() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **installed_versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
