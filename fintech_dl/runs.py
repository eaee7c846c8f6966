"""Runs: one execution of a pipeline card, from raw rows to report and artefact."""

from __future__ import annotations

import inspect
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from fintech_dl.artefact import installed_versions, save, to_bytes
from fintech_dl.cards import DatasetCard, PipelineCard, dataset_card, nearest, pipeline_card
from fintech_dl.data.frames import read_dataset, write_quarantine
from fintech_dl.errors import (
    CardError,
    DataError,
    NotInstalledError,
    OutputError,
    UsageError,
    require,
    told_as,
)
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
from fintech_dl.evaluation.cuts import validation_cut
from fintech_dl.evaluation.evidence import Scored, evidence
from fintech_dl.evaluation.explanation import permutation_importance
from fintech_dl.evaluation.facts import data_facts, protocol_facts, training_facts
from fintech_dl.evaluation.memory import peak_memory
from fintech_dl.evaluation.outcomes import Outcome, metric
from fintech_dl.evaluation.report import write_report
from fintech_dl.evaluation.splits import Fold, folds
from fintech_dl.folders import replacing
from fintech_dl.pipelines import build_pipeline, check_history, make, make_table
from fintech_dl.table import Table

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Run:
    """What one execution of a pipeline card produced.

    Attributes
    ----------
    folder : Path
        Holds ``report.html``, ``metrics.json``, ``predictions.parquet``, ``artefact/`` and, if
        rows were set aside, ``quarantine.csv``.
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
    folder = _new_folder(card, out, started)
    source = dataset_card(card.dataset)
    check_history(card)
    candidates = _candidates(card, set_params or {}, seed)
    for name in card.metrics:
        metric(name)
    require("matplotlib", "report")
    require("jinja2", "report")
    tell(f"reading {card.dataset}", 0.0)
    reading = read_dataset(source, as_of=as_of)
    tell("making features", 0.05)
    table = make_table(card.table, reading.frame)
    if table.y is None:
        raise DataError(f"dataset {card.dataset}: holds no labels to learn from")
    if table.y.nunique() < 2:
        raise DataError(
            f"dataset {card.dataset}: all {len(table):,} rows have the label {table.y.iloc[0]}; "
            "there is nothing to tell apart. Check the label column, or take a longer time"
        )
    amount = card.decision.amount if card.decision else ""
    beside = [] if table.aside is None else [str(name) for name in table.aside]
    if amount and amount not in beside:
        raise CardError(
            f"{card.name}: [decision] amount = {amount!r} is no column that [table] sets aside; "
            f"{nearest(amount, beside)}"
        )
    parts = folds(table, card.split)
    scored, fitted = [], None
    for i, (name, title, estimator, reason) in enumerate(candidates):
        tell(f"fitting {title}", 0.1 + 0.7 * i / len(candidates))
        if estimator is None:
            scored.append(Scored(name=name, title=title, is_baseline=True, reason=reason))
            continue
        result, model = _fit_and_score(name, title, estimator, card, table, parts)
        scored.append(result)
        if name == "model":
            fitted = model
            to_bytes(model)  # what cannot be saved is refused before hours of baselines
    tell("evaluating", 0.8)
    record = {
        "format": 1,
        "title": card.title,
        "question": card.question,
        "pipeline": card.name,
        "created": started.isoformat(timespec="seconds"),
        "seed": seed,
        "data": data_facts(reading.facts, table),
        "protocol": protocol_facts(card.split, table, parts),
        "words": card.words,
        "features": [str(name) for name in table.X.columns],
        **evidence(scored, card.metrics, card.decision, seed=seed),
        "training": training_facts(fitted),
        "limits": [*card.limits, *source.limits],
        "environment": _environment(),
    }
    if card.decision is not None and (column := source.columns.get(card.decision.amount)):
        record["decision"]["unit"] = column.unit
    tell("measuring which features matter", 0.85)
    latest = parts[0]
    record["importance_metric"] = card.metrics[0]
    record["importance"] = permutation_importance(
        fitted, table.X.iloc[latest.test], scored[0].outcomes[0], card.metrics[0], seed=seed
    )
    home = folder.parent / f".{folder.name}.{os.getpid()}.part"
    tell("writing report and artefact", 0.95)
    try:
        home.mkdir(parents=True)
        _write(home, folder, card, source, table, latest, scored[0], reading, fitted, record)
        os.replace(home, folder)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "choose another folder with --out"
        ) from error
    finally:
        shutil.rmtree(home, ignore_errors=True)
    tell("done", 1.0)
    return Run(folder=folder, record=record, model=fitted)


def _candidates(
    card: PipelineCard, set_params: Mapping[str, Any], seed: int
) -> list[tuple[str, str, Any, str]]:
    """Return name, title, unfitted estimator and reason of absence: the model, then baselines."""
    model = build_pipeline(card)
    for key, value in set_params.items():
        addresses = [address for address in model.get_params() if "__" in address]
        if key not in addresses:
            raise UsageError(f"no parameter has the address {key!r}; {nearest(key, addresses)}")
        model.set_params(**{key: make(value, key)})
    found = [("model", _title(model), _seeded(model, seed), "")]
    for i, spec in enumerate(card.baseline):
        title = str(spec["use"]).rpartition(".")[2]
        plain = {key: value for key, value in spec.items() if key not in ("name", "title")}
        name = str(spec.get("name", title))
        try:
            estimator = with_preprocessing(make(plain, f"{card.name}: baseline {i + 1}"))
            found.append((name, spec.get("title", title), _seeded(estimator, seed), ""))
        except NotInstalledError as error:
            found.append((name, spec.get("title", title), None, str(error)))
    for words in ([one[0] for one in found], [one[1] for one in found]):
        if twice := [word for word in words if words.count(word) > 1]:
            raise CardError(
                f"{card.name}: two models are called {twice[0]!r}; give each [[baseline]] a "
                "`name` and a `title` of its own"
            )
    return found


def _title(model: Pipeline) -> str:
    last = model.steps[-1][1]
    network = getattr(last, "network", None)
    inner = type(network).__name__ if network is not None else ""
    return f"{type(last).__name__}({inner})" if inner else type(last).__name__


def _seeded(model: Any, seed: int) -> Any:
    """Return the model with the seed wherever it names none of its own."""
    values = model.get_params().items()
    names = [key for key, value in values if key.endswith("random_state") and value is None]
    return model.set_params(**dict.fromkeys(names, seed))


def _fit_and_score(
    name: str, title: str, estimator: Any, card: PipelineCard, table: Table, parts: Sequence[Fold]
) -> tuple[Scored, Any]:
    """Fit on every fold's training rows and score its test rows; keep the latest fold's model."""
    outcomes, seconds, rate, memory, kept, train = [], 0.0, 0.0, 0.0, None, None
    for fold in parts:
        started = time.perf_counter()
        with told_as(UsageError, f"{title} cannot be fitted"), peak_memory() as peak:
            model = _fit(sklearn.clone(estimator), card, table, fold.train, own=name == "model")
        seconds += time.perf_counter() - started
        memory = max(memory, peak[0])
        started = time.perf_counter()
        score = score_rows(model, table.X.iloc[fold.test])
        rate += len(fold.test) / max(time.perf_counter() - started, 1e-9)
        outcomes.append(_outcome(card, table, fold.test, score))
        if kept is None:
            kept = model
            train = _outcome(card, table, fold.train, score_rows(model, table.X.iloc[fold.train]))
    scored = Scored(
        name=name,
        title=title,
        is_baseline=name != "model",
        outcomes=outcomes,
        train=train,
        fit_seconds=seconds / len(parts),
        rows_per_second=rate / len(parts),
        peak_memory_mb=memory,
        probabilities=hasattr(kept, "predict_proba"),
    )
    return scored, kept


def _fit(model: Any, card: PipelineCard, table: Table, train: Any, own: bool) -> Any:
    """Fit one model on training rows; early stopping and calibration see the latest of them."""
    assert table.y is not None
    calibration = card.calibration if own else None
    if calibration is not None:
        train, late = validation_cut(table, train, calibration.fraction, purge=False)
    head, last = model[:-1], model.steps[-1][1]
    taken = inspect.signature(last.fit).parameters
    share = card.split.validation_fraction if own and "X_val" in taken else 0
    held = train[:0]
    if share:
        train, held = validation_cut(table, train, share, purge=False)
    fit, validation = table.rows(train), table.rows(held)
    X, X_val = fit.X, validation.X
    if len(head):  # step by step, because validation rows have to pass the same steps
        X = head.fit_transform(X, fit.y)
        X_val = head.transform(X_val) if share else X_val
    extra: dict[str, Any] = {"sample_weight": fit.weight}
    if share:
        extra |= {"X_val": X_val, "y_val": validation.y, "sample_weight_val": validation.weight}
    last.fit(X, fit.y, **{k: v for k, v in extra.items() if k in taken and v is not None})
    if calibration is not None:
        rows = table.rows(late)
        calibrated = CalibratedClassifierCV(FrozenEstimator(model), method=calibration.method)
        return calibrated.fit(rows.X, rows.y, sample_weight=rows.weight)
    return model


def _outcome(card: PipelineCard, table: Table, at: Any, score: Any) -> Outcome:
    rows = table.rows(at)
    column = card.decision.amount if card.decision else ""
    amount = rows.aside[column] if column and rows.aside is not None else None
    return Outcome(
        y=rows.y, score=score, weight=rows.weight, when=rows.when, who=rows.who, amount=amount
    )


def _new_folder(card: PipelineCard, out: str | Path | None, started: datetime) -> Path:
    """Return the run's folder, not yet there, or say why it cannot be."""
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


def _environment() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **installed_versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def _write(
    home: Path,
    folder: Path,
    card: PipelineCard,
    source: DatasetCard,
    table: Table,
    latest: Fold,
    scored: Scored,
    reading: Any,
    model: Any,
    record: dict[str, Any],
) -> None:
    """Write everything of a run into ``home``."""
    cards = {"pipeline": card_record(card), "dataset": card_record(source)}
    save(model, home / "artefact", records={"cards": cards, "metrics": record})
    history = " --history PAST" if card.history else ""
    record["commands"] = {
        "score": f"fintech-dl score {folder / 'artefact'} FILE -o FOLDER{history}"
    }
    rows = table.rows(latest.test)
    predictions = pd.DataFrame({"row": latest.test, "score": scored.outcomes[0].score})
    for name, column in (("when", rows.when), ("who", rows.who), ("y", rows.y)):
        if column is not None:
            predictions[name] = column
    if rows.aside is not None:
        twice = {name: f"{name}_aside" for name in predictions if name in rows.aside}
        predictions = predictions.join(rows.aside.rename(columns=twice))
    predictions.to_parquet(home / "predictions.parquet", index=False)
    write_quarantine(reading.quarantined, home / "quarantine.csv")
    with replacing(home / "metrics.json") as part:
        part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_report(record, home)


def card_record(card: PipelineCard | DatasetCard) -> dict[str, Any]:
    """Return a card as JSON can hold it: ``name`` and ``card``, the keys of its page of TOML."""
    keys = {k: v for k, v in asdict(card).items() if k not in ("name", "folder")}
    return {"name": card.name, "card": _plain(keys)}


def _plain(value: Any) -> Any:
    """Return nested values without those that are None, which TOML does not have either."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
