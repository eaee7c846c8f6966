"""From a pipeline card to fitted models: the candidates, their fits and their scores, by fold."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline

from fintech_dl.artefact import TRUSTED, scorer, to_files
from fintech_dl.cards import PipelineCard, forecasts_numbers
from fintech_dl.errors import CardError, NotInstalledError, UsageError, told_as
from fintech_dl.evaluation.baselines import fit_rows, score_rows, with_preprocessing
from fintech_dl.evaluation.calibration import CalibratedClassifier
from fintech_dl.evaluation.cuts import validation_cut
from fintech_dl.evaluation.evidence import Scored
from fintech_dl.evaluation.interval_record import INNER, RISK, Bands
from fintech_dl.evaluation.intervals import ConformalRegressor
from fintech_dl.evaluation.memory import peak_memory
from fintech_dl.evaluation.online import of_main, online_bands, with_forecasts
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.splits import Fold
from fintech_dl.pipelines import ALLOWED, build_pipeline, make, parameter_of
from fintech_dl.records import nearest
from fintech_dl.table import Table

SAVED = {name.partition(".")[0] for name in TRUSTED}  # libraries whose models can be loaded
OF_BASELINE = ("name", "title", "max_rows")  # keys beside the parameters of its class
RIVALS_ONLY = tuple(library for library in ALLOWED if library not in SAVED)


def candidates(
    card: PipelineCard, set_params: Mapping[str, Any], seed: int
) -> list[tuple[str, str, Any, str]]:
    """Return name, title, unfitted estimator and reason of absence: the model, then baselines.

    Of several horizons each baseline is fitted to each.
    """
    several = len(horizons(card)) > 1
    model = build_pipeline(card)
    for key, value in set_params.items():
        addresses = [address for address in model.get_params() if "__" in address]
        if key not in addresses:
            raise UsageError(f"no parameter has the address {key!r}; {nearest(key, addresses)}")
        model.set_params(**{key: make(value, key)})
    _refuse_unsaved(model, card)
    found = [("model", title_of(model), seeded(model, seed), "")]
    for i, spec in enumerate(card.baseline):
        name = _name(spec)
        title = str(spec.get("title", str(spec["use"]).rpartition(".")[2]))
        plain = {key: value for key, value in spec.items() if key not in OF_BASELINE}
        _check_most(spec.get("max_rows"), f"{card.name}: baseline {i + 1}")
        try:
            estimator = with_preprocessing(make(plain, f"{card.name}: baseline {i + 1}"))
            if several:
                estimator = Pipeline([("model", MultiOutputRegressor(estimator))])
            found.append((name, title, seeded(estimator, seed), ""))
        except NotInstalledError as error:
            found.append((name, title, None, str(error)))
    for words in ([one[0] for one in found], [one[1] for one in found]):
        if twice := [word for word in words if words.count(word) > 1]:
            raise CardError(
                f"{card.name}: two models are called {twice[0]!r}; give each [[baseline]] a "
                "`name` and a `title` of its own"
            )
    return found


def _name(spec: Mapping[str, Any]) -> str:
    return str(spec.get("name", str(spec["use"]).rpartition(".")[2]))


def _check_most(rows: Any, where: str) -> None:
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 2):
        raise CardError(f"{where}: max_rows = {rows!r}; allowed: a whole number of 2 or more")


def horizons(card: PipelineCard) -> list[int]:
    """Return how many bars ahead a card forecasts, the main horizon first; 1 if it says nothing.

    Raises
    ------
    CardError
        Several horizons where there can be one only.
    """
    given = parameter_of(card.table, "horizon") or 1
    if not isinstance(given, list | tuple):
        with told_as(CardError, f"{card.name}: [table] horizon"):
            return [int(given)]
    where = f"{card.name}: [table] horizon = {list(given)}"
    if card.forecast is None or card.forecast.kind not in ("volatility", "price"):
        raise CardError(
            f"{where}: forecasts of volatility and of prices may have several horizons; give one"
        )
    return list(given)


def _refuse_unsaved(model: Pipeline, card: PipelineCard) -> None:
    """Refuse models that `load` would not trust, before anything is read."""
    for address, part in model.get_params().items():
        library = type(part).__module__.partition(".")[0]
        if library in RIVALS_ONLY:
            raise CardError(
                f"{card.name}: {address} is of {library}; {' and '.join(RIVALS_ONLY)} serve as "
                "[[baseline]] only, because an artefact does not trust their binary state. In a "
                "model take lightgbm, or scikit-learn's HistGradientBoostingClassifier"
            )


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


class Fitted(NamedTuple):
    """The model of the latest fold, and what gives its scores.

    Of the model in question, not of a baseline, also the files of its artefact: rows are scored
    with these very files, as new rows will be.
    """

    model: Any
    files: dict[str, bytes]
    scores: Callable[[Any], Any]


def fit_and_score(
    name: str, title: str, estimator: Any, card: PipelineCard, table: Table, parts: Sequence[Fold]
) -> tuple[Scored, Fitted]:
    """Fit on every fold's training rows and score its test rows; keep the latest fold's model.

    A baseline with ``max_rows`` learns from so
    many training rows, drawn at random, and its title says so.
    """
    most = {_name(one): one.get("max_rows") for one in card.baseline}.get(name)
    seconds, rate, memory = 0.0, 0.0, 0.0
    kept: Fitted | None = None
    train: Outcome | None = None
    apart: Outcome | None = None
    outcomes: list[Outcome] = []
    further: list[list[Outcome]] = []
    bands: list[Bands | None] = []
    of = ""
    for fold in parts:
        learned = fold.train
        if most is not None and len(learned) > most:
            learned = np.sort(np.random.default_rng(0).choice(learned, most, replace=False))
            of = f", {most:,} training rows"
        started = time.perf_counter()
        with told_as(UsageError, f"{title} cannot be fitted"), peak_memory() as peak:
            model = fit(sklearn.clone(estimator), card, table, learned, own=name == "model")
        seconds += time.perf_counter() - started
        memory = max(memory, peak[0])
        scores: Callable[[Any], Any] = partial(score_rows, model)
        files: dict[str, bytes] = {}
        if kept is None and name == "model":
            files = to_files(model)  # what cannot be saved is refused before hours of baselines
            scores = scorer(files, title, model)
        started = time.perf_counter()
        score = scores(table.X.iloc[fold.test])
        rate += len(fold.test) / max(time.perf_counter() - started, 1e-9)
        outcome, *others = outcomes_of(card, table, fold.test, score)
        outcomes.append(outcome)
        further.append(others)
        bands.append(_bands(model, card, table, fold.test, scores))
        if kept is None:
            kept = Fitted(model, files, scores)
            train = outcomes_of(card, table, learned, scores(table.X.iloc[learned]))[0]
            if len(fold.apart):
                apart = outcomes_of(card, table, fold.apart, scores(table.X.iloc[fold.apart]))[0]
    assert kept is not None
    scored = Scored(
        name=name,
        title=f"{title}{of}",
        is_baseline=name != "model",
        outcomes=outcomes,
        further=further,
        bands=[one for one in bands if one is not None],
        train=train,
        apart=apart,
        fit_seconds=seconds / len(parts),
        rows_per_second=rate / len(parts),
        peak_memory_mb=memory,
        probabilities=hasattr(kept.model, "predict_proba"),
    )
    return scored, kept


def fit(model: Any, card: PipelineCard, table: Table, train: Any, own: bool) -> Any:
    """Fit one model on training rows; early stopping and calibration see the latest of them."""
    assert table.y is not None
    calibration = card.calibration if own else None
    intervals = card.forecast.intervals if own and card.forecast else None
    purge = card.forecast is not None  # elsewhere `until` is a mere delay of the label
    everything = train
    if calibration is not None:
        train, late = validation_cut(table, train, calibration.fraction, purge=purge)
    if intervals is not None:
        train, late = validation_cut(table, train, intervals.fraction, purge=purge)
    taken = inspect.signature(model.steps[-1][1].fit).parameters
    share = card.split.validation_fraction if own and "X_val" in taken else 0
    held = None
    if share:
        train, stop = validation_cut(table, train, share, purge=purge)
        held = table.rows(stop)
    rows = table.rows(train)
    fit_rows(model, rows, held)
    if calibration is not None:
        latest, prior = table.rows(late), calibration.prior
        if isinstance(prior, str):  # "training": sets right what `class_weight` tilts
            whole = table.rows(everything)
            prior = float(np.average(whole.y, weights=whole.weight))
        calibrated = CalibratedClassifier(
            FrozenEstimator(model), method=calibration.method, prior=prior
        )
        return calibrated.fit(latest.X, latest.y, sample_weight=latest.weight)
    if intervals is not None:
        return _with_intervals(model, card, rows, table.rows(late))
    return model


def _with_intervals(
    model: Any, card: PipelineCard, rows: Table, latest: Table
) -> ConformalRegressor:
    """Put intervals around a model fitted on rows, calibrated on the latest, which it never saw."""
    assert card.forecast is not None
    assert card.forecast.intervals is not None
    asked = card.forecast.intervals
    found = ConformalRegressor(
        FrozenEstimator(model),
        coverage=[card.forecast.coverage, INNER],
        method=asked.method,
        scale=asked.scale or None,
        symmetric=asked.symmetric,
        adapt=asked.adapt,
        window=asked.window or None,
        horizon=horizons(card)[0],
        logs=asked.logs,
    )
    assert latest.y is not None
    return found.fit(rows.X, rows.y).calibrate(latest.X, latest.y, latest.when)


def _bands(
    model: Any, card: PipelineCard, table: Table, at: Any, scores: Callable[[Any], Any]
) -> Bands | None:
    """Return the intervals of test rows, each of what was known at the time."""
    if not isinstance(model, ConformalRegressor):
        return None
    assert card.forecast is not None
    assert card.forecast.intervals is not None
    model = with_forecasts(model, scores)
    if card.forecast.intervals.updated:
        return online_bands(model, table, at)
    X = table.X.iloc[at]
    coverages = np.atleast_1d(model.coverage).tolist()
    ends = {coverage: of_main(model.predict_interval(X, coverage)) for coverage in coverages}
    return Bands(ends) if model.logs else Bands(ends, *of_main(model.predict_risk(X, RISK)))


def outcomes_of(card: PipelineCard, table: Table, at: Any, score: Any) -> list[Outcome]:
    """Return the outcome of rows at positions ``at`` of each horizon, the main one first."""
    found, targets = score_columns(card, score), pd.DataFrame(table.y)
    return [
        outcome_of(card, replace(table, y=targets.iloc[:, i]), at, one, i)
        for i, one in enumerate(found.values())
    ]


def score_columns(card: PipelineCard, score: Any) -> dict[str, Any]:
    """Return what a model says as the columns of a file: of several horizons one each."""
    if np.ndim(score) == 1:
        return {"score": score}
    ahead = horizons(card)
    names = ["score", *(f"score_next_{bars}" for bars in ahead[1:])]
    return dict(zip(names, score.T, strict=True))


def outcome_of(card: PipelineCard, table: Table, at: Any, score: Any, which: int = 0) -> Outcome:
    """Return the scores of the rows at positions ``at`` with what happened to these rows.

    ``which`` of the card's horizons they are about.
    """
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
        horizon=horizons(card)[which] if card.forecast else None,
    )
