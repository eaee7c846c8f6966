"""From a pipeline card to fitted models: the candidates, their fits and their scores, by fold."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from fintech_dl.artefact import scorer, to_files
from fintech_dl.cards import PipelineCard, forecasts_numbers
from fintech_dl.errors import CardError, NotInstalledError, UsageError, told_as
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
from fintech_dl.evaluation.calibration import CalibratedClassifier
from fintech_dl.evaluation.cuts import validation_cut
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.interval_record import INNER, RISK, Bands
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.memory import peak_memory
from fintech_dl.evaluation.online import online_intervals
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.splits import Fold
from fintech_dl.pipelines import build_pipeline, make, parameter_of
from fintech_dl.records import nearest
from fintech_dl.table import Table


def candidates(
    card: PipelineCard, set_params: Mapping[str, Any], seed: int
) -> list[tuple[str, str, Any, str]]:
    """Return name, title, unfitted estimator and reason of absence: the model, then baselines."""
    model = build_pipeline(card)
    for key, value in set_params.items():
        addresses = [address for address in model.get_params() if "__" in address]
        if key not in addresses:
            raise UsageError(f"no parameter has the address {key!r}; {nearest(key, addresses)}")
        model.set_params(**{key: make(value, key)})
    found = [("model", title_of(model), seeded(model, seed), "")]
    for i, spec in enumerate(card.baseline):
        title = str(spec["use"]).rpartition(".")[2]
        plain = {key: value for key, value in spec.items() if key not in ("name", "title")}
        name = str(spec.get("name", title))
        try:
            estimator = with_preprocessing(make(plain, f"{card.name}: baseline {i + 1}"))
            found.append((name, spec.get("title", title), seeded(estimator, seed), ""))
        except NotInstalledError as error:
            found.append((name, spec.get("title", title), None, str(error)))
    for words in ([one[0] for one in found], [one[1] for one in found]):
        if twice := [word for word in words if words.count(word) > 1]:
            raise CardError(
                f"{card.name}: two models are called {twice[0]!r}; give each [[baseline]] a "
                "`name` and a `title` of its own"
            )
    return found


def title_of(model: Pipeline) -> str:
    """Return what the report calls a pipeline: its last step, and the network in it."""
    last = model.steps[-1][1]
    network = getattr(last, "network", None)
    inner = type(network).__name__ if network is not None else ""
    return f"{type(last).__name__}({inner})" if inner else type(last).__name__


def seeded(model: Any, seed: int) -> Any:
    """Return the model with the seed wherever it names none of its own."""
    values = model.get_params().items()
    names = [key for key, value in values if key.endswith("random_state") and value is None]
    return model.set_params(**dict.fromkeys(names, seed))


def fit_and_score(
    name: str, title: str, estimator: Any, card: PipelineCard, table: Table, parts: Sequence[Fold]
) -> tuple[Scored, Any, dict[str, bytes]]:
    """Fit on every fold's training rows and score its test rows; keep the latest fold's model.

    Of the model in question, not of a baseline, also the files of its artefact: the latest fold is
    scored with these very files, as new rows will be.
    """
    outcomes, seconds, rate, memory, kept, train = [], 0.0, 0.0, 0.0, None, None
    bands: list[Bands | None] = []
    files: dict[str, bytes] = {}
    for fold in parts:
        started = time.perf_counter()
        with told_as(UsageError, f"{title} cannot be fitted"), peak_memory() as peak:
            model = fit(sklearn.clone(estimator), card, table, fold.train, own=name == "model")
        seconds += time.perf_counter() - started
        memory = max(memory, peak[0])
        scores: Callable[[Any], Any] = partial(score_rows, model)
        if kept is None and name == "model":
            files = to_files(model)  # what cannot be saved is refused before hours of baselines
            scores = scorer(files, title, model)
        started = time.perf_counter()
        score = scores(table.X.iloc[fold.test])
        rate += len(fold.test) / max(time.perf_counter() - started, 1e-9)
        outcomes.append(outcome_of(card, table, fold.test, score))
        bands.append(_bands(model, card, table, fold.test))
        if kept is None:
            kept = model
            train = outcome_of(card, table, fold.train, scores(table.X.iloc[fold.train]))
    scored = Scored(
        name=name,
        title=title,
        is_baseline=name != "model",
        outcomes=outcomes,
        bands=[one for one in bands if one is not None],
        train=train,
        fit_seconds=seconds / len(parts),
        rows_per_second=rate / len(parts),
        peak_memory_mb=memory,
        probabilities=hasattr(kept, "predict_proba"),
    )
    return scored, kept, files


def fit(model: Any, card: PipelineCard, table: Table, train: Any, own: bool) -> Any:
    """Fit one model on training rows; early stopping and calibration see the latest of them."""
    assert table.y is not None
    calibration = card.calibration if own else None
    intervals = card.forecast.intervals if own and card.forecast else None
    purge = card.forecast is not None  # elsewhere `until` is a mere delay of the label
    if calibration is not None:
        train, late = validation_cut(table, train, calibration.fraction, purge=purge)
    if intervals is not None:
        train, late = validation_cut(table, train, intervals.fraction, purge=purge)
    head, last = model[:-1], model.steps[-1][1]
    taken = inspect.signature(last.fit).parameters
    share = card.split.validation_fraction if own and "X_val" in taken else 0
    held = train[:0]
    if share:
        train, held = validation_cut(table, train, share, purge=purge)
    rows, validation = table.rows(train), table.rows(held)
    X, X_val = rows.X, validation.X
    if len(head):  # step by step, because validation rows have to pass the same steps
        X = head.fit_transform(X, rows.y)
        X_val = head.transform(X_val) if share else X_val
    extra: dict[str, Any] = {"sample_weight": rows.weight, "groups": rows.when}
    if share:
        extra |= {"X_val": X_val, "y_val": validation.y, "sample_weight_val": validation.weight}
        extra["groups_val"] = validation.when
    last.fit(X, rows.y, **{k: v for k, v in extra.items() if k in taken and v is not None})
    if calibration is not None:
        latest = table.rows(late)
        calibrated = CalibratedClassifier(
            FrozenEstimator(model), method=calibration.method, prior=calibration.prior
        )
        return calibrated.fit(latest.X, latest.y, sample_weight=latest.weight)
    if intervals is not None:
        return _with_intervals(model, card, table.rows(late))
    return model


def _with_intervals(model: Any, card: PipelineCard, latest: Table) -> ConformalRegressor:
    """Put intervals around a fitted model, calibrated on rows that it has not seen."""
    assert card.forecast is not None
    assert card.forecast.intervals is not None
    asked = card.forecast.intervals
    found = ConformalRegressor(
        FrozenEstimator(model),
        coverage=[card.forecast.coverage, INNER],
        method=asked.method,
        scale=asked.scale or None,
        adapt=asked.adapt,
        window=None,
        horizon=parameter_of(card.table, "horizon") or 1,
    )
    assert latest.y is not None
    return found.fit(latest.X, latest.y).calibrate(latest.X, latest.y, latest.when)


def _bands(model: Any, card: PipelineCard, table: Table, at: Any) -> Bands | None:
    """Return the intervals of test rows, each of what was known at the time."""
    if not isinstance(model, ConformalRegressor):
        return None
    rows = table.rows(at)
    assert rows.y is not None
    assert rows.when is not None
    ends = {
        coverage: online_intervals(model, rows.X, rows.y, rows.when, rows.until, coverage=coverage)
        if model.adapt
        else model.predict_interval(rows.X, coverage)
        for coverage in np.atleast_1d(model.coverage).tolist()
    }
    return Bands(ends, *model.predict_risk(rows.X, RISK))


def outcome_of(card: PipelineCard, table: Table, at: Any, score: Any) -> Outcome:
    """Return the scores of the rows at positions ``at`` with what happened to these rows."""
    rows = table.rows(at)
    column = card.decision.amount if card.decision else ""
    aside: Any = {} if rows.aside is None else rows.aside
    return Outcome(
        y=rows.y,
        score=score,
        weight=rows.weight,
        when=rows.when,
        who=rows.who,
        amount=aside[column] if column and column in aside else None,
        numbers=forecasts_numbers(card),
        returns=aside.get("forward_return") if card.forecast else None,
        horizon=parameter_of(card.table, "horizon") or 1 if card.forecast else None,
    )
