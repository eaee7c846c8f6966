"""Search: choose parameters of a pipeline card's model before its run, away from every test row."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from joblib import effective_n_jobs
from scipy.stats import loguniform, uniform
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils.parallel import Parallel, delayed

from fintech_dl.cards import PipelineCard, Range, Search
from fintech_dl.data.frames import write_csv
from fintech_dl.errors import UsageError, require
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.cuts import random_cut
from fintech_dl.evaluation.decisions import decided
from fintech_dl.evaluation.earlier import earlier_folds
from fintech_dl.evaluation.facts import protocol_facts
from fintech_dl.evaluation.outcomes import evaluate, metric
from fintech_dl.evaluation.splits import Fold
from fintech_dl.fitting import fit, outcomes_of, seeded
from fintech_dl.pipelines import make
from fintech_dl.records import nearest
from fintech_dl.table import Table

Params = dict[str, Any]
Trial = dict[str, Any]
Attempt = Callable[..., list[Trial]]

KEPT = 3  # halving: one of so many stays, on so many times the rows
LONGEST_REASON = 500


def check_search(card: PipelineCard, model: Any, fixed: Mapping[str, Any]) -> Search:
    """Return the card's search, checked against its pipeline, before any data are read.

    Parameters
    ----------
    card : PipelineCard
    model : Pipeline
        The unfitted pipeline of the card.
    fixed : mapping
        Addresses that were set by hand: these are not searched.

    Returns
    -------
    Search
        Without the fixed addresses, and with its metric.

    Raises
    ------
    UsageError, CardError
        There is nothing to search; an address, a value or a metric that does not exist.
    NotInstalledError
        ``method = "optuna"`` without Optuna.
    """
    if card.search is None:
        raise UsageError(
            f"{card.name}: the card has no [search]; add one, for example\n[search]\n"
            "space = { model__learning_rate = [0.001, 0.01] }"
        )
    search, where = card.search, f"{card.name}: search"
    addresses = [address for address in model.get_params() if "__" in address]
    for address, values in search.space.items():
        if address not in addresses:
            raise UsageError(
                f"{where}.space: no parameter has the address {address!r}; "
                f"{nearest(address, addresses)}"
            )
        make([] if isinstance(values, Range) else values, f"{where}.space.{address}")
    space = {key: values for key, values in search.space.items() if key not in fixed}
    if not space:
        raise UsageError(f"{where}: every address of its space is set by hand; nothing is left")
    name = search.metric or (card.metrics[0] if card.metrics else "")
    metric(name)
    if name == "savings" and card.decision is None:
        raise UsageError(f"{where}.metric: savings needs a [decision], which the card lacks")
    if search.method == "optuna":
        require("optuna", "search")
    return replace(search, space=space, metric=name)


def search_parameters(
    card: PipelineCard,
    search: Search,
    model: Any,
    table: Table,
    parts: Sequence[Fold],
    *,
    seed: int = 0,
    tell: Callable[[str, float], None] = lambda text, share: None,
) -> dict[str, Any]:
    """Try parameters on rows from before every test, and say which were best.

    Every trial is fitted and scored as in the run: same weights, early stopping, calibration and
    definition of the metric; but on ``evaluation.earlier.earlier_folds``. The model as it stands is
    the first trial, and stays where nothing beats it. A trial that raises is logged with its
    reason.

    Parameters
    ----------
    card : PipelineCard
    search : Search
        From ``check_search``.
    model : Pipeline
        Unfitted, seeded.
    table : Table
    parts : sequence of Fold
        The folds of the run.
    seed : int
    tell : callable
        Called with a text and the share of the search that is done.

    Returns
    -------
    dict
        JSON-plain: ``method``, ``metric``, ``folds``, ``rows`` (used), ``planned`` and ``tried``
        trials, ``stopped`` (by the time limit), ``seconds``, ``log`` (a dict per trial),
        ``default`` and ``best`` (two of them) and ``improved``: whether these differ.

    Raises
    ------
    UsageError
        Every trial failed.
    UsageError, DataError
        As ``earlier_folds``.
    """
    started = time.perf_counter()
    inner = earlier_folds(
        table.main(), card.split, parts, search.folds, seed=seed, wait=search.wait
    )
    planned, candidates = _plan(search, seed)
    log: list[Trial] = []
    stopped: list[int] = []
    at_once = effective_n_jobs(search.n_jobs)
    limit = math.inf if search.time_limit is None else search.time_limit
    run = delayed(partial(_trial, model, card, table, inner, search.metric, seed))

    def attempt(several: Sequence[Params], share: float = 1.0) -> list[Trial]:
        """Run trials, so many at once, until none is left or time is up."""
        first = len(log)
        for i in range(0, len(several), at_once):
            if log and time.perf_counter() - started > limit:
                stopped.append(len(log))
                break
            what = f"trial {len(log)} of {planned}" if log else "the parameters as they are"
            tell(f"searching: {what}", len(log) / (planned + 1))
            batch = several[i : i + at_once]
            found = Parallel(n_jobs=min(at_once, len(batch)))(run(one, share) for one in batch)
            log.extend([{"trial": k} | trial for k, trial in enumerate(found, len(log))])
        return log[first:]

    default = attempt([{}])[0]
    own = model.get_params()
    default["params"] = {address: _plain(own[address]) for address in search.space}
    better = 1 if metric(search.metric).higher_is_better else -1
    if search.method == "optuna":
        _optuna(search, seed, attempt, at_once, better)
    elif search.method == "halving":
        _halving(candidates, attempt, better)
    else:
        attempt(candidates)
    if len(log) > 1 and not any(_succeeded(trial) for trial in log[1:]):
        raise UsageError(
            f"{card.name}: search: all {len(log) - 1} trials failed; the first, "
            f"{log[1]['params']}: {log[1]['reason']}"
        )
    whole = [trial for trial in log if _succeeded(trial) and trial["share"] == 1]
    best = max(whole, key=lambda trial: better * trial["mean"], default=default)
    rows = np.unique(np.concatenate([part for fold in inner for part in (fold.train, fold.test)]))
    return {
        "method": search.method,
        "metric": search.metric,
        "folds": protocol_facts(card.split, table.main(), inner)["folds"],
        "rows": len(rows),
        "planned": planned,
        "tried": len(log) - 1,
        "stopped": bool(stopped),
        "seconds": time.perf_counter() - started,
        "log": log,
        "default": default,
        "best": best,
        "improved": best is not default,
    }


def with_parameters(model: Any, params: Mapping[str, Any], seed: int) -> Any:
    """Return an unfitted copy of the model with parameters as a card writes them."""
    made = {address: make(value, address) for address, value in params.items()}
    return seeded(sklearn.clone(model).set_params(**made), seed)


def write_trials(record: Mapping[str, Any], path: Path) -> None:
    """Write every trial of a search as CSV: one column per address and per fold."""
    names = [fold["name"] for fold in record["folds"]]
    rows = [
        {
            "trial": trial["trial"],
            "what": "default" if trial["trial"] == 0 else "",
            **trial["params"],
            "share_of_rows": trial["share"],
            record["metric"]: trial["mean"],
            **dict(zip(names, trial["folds"], strict=False)),
            "seconds": trial["seconds"],
            "reason": trial["reason"],
        }
        for trial in record["log"]
    ]
    rows[record["best"]["trial"]]["what"] += ", best" if not record["improved"] else "best"
    write_csv(pd.DataFrame(rows), path)


def _plan(search: Search, seed: int) -> tuple[int, list[Params]]:
    """Return how many trials there will be, and what they try (Optuna decides as it goes)."""
    if search.method == "optuna":
        return search.n_iter, []
    space = {address: _choices(values) for address, values in search.space.items()}
    listed = not any(hasattr(values, "rvs") for values in space.values())
    if search.method == "grid" or (listed and len(ParameterGrid(space)) <= search.n_iter):
        found = list(ParameterGrid(space))
    else:
        found = list(ParameterSampler(space, search.n_iter, random_state=seed))
    planned = sum(_rungs(len(found))) if search.method == "halving" else len(found)
    return planned, [{key: _plain(value) for key, value in one.items()} for one in found]


def _choices(values: list[Any] | Range) -> Any:
    """Return the values to choose from: a sequence, or a distribution of SciPy."""
    if isinstance(values, list):
        return values
    low, high, step = values.low, _top(values), values.step
    if _whole(values) and not values.log:
        return range(int(low), int(high) + 1, int(step or 1))
    if _whole(values):
        return sorted({round(value) for value in np.geomspace(low, high, 200)})
    if step is not None:
        return [low + i * step for i in range(round((high - low) / step) + 1)]
    return loguniform(low, high) if values.log else uniform(low, high - low)


def _whole(values: Range) -> bool:
    """Tell whether a range is of whole numbers."""
    given = (values.low, values.high, 1 if values.step is None else values.step)
    return all(isinstance(value, int) for value in given)


def _top(values: Range) -> float:
    """Return the highest value of a range, which need not be a whole number of steps long."""
    if values.step is None:
        return values.high
    return values.low + math.floor((values.high - values.low) / values.step + 1e-9) * values.step


def _trial(
    model: Any,
    card: PipelineCard,
    table: Table,
    parts: Sequence[Fold],
    name: str,
    seed: int,
    params: Params,
    share: float,
) -> Trial:
    """Fit and score the model with these parameters on every fold, or say why it cannot be."""
    started = time.perf_counter()
    scores: list[float] = []
    reason, main = "", table.main()
    try:
        candidate = with_parameters(model, params, seed)
        for part in parts:
            few = share < 1
            train = random_cut(main, part.train, 1 - share, seed)[0] if few else part.train
            fitted = fit(sklearn.clone(candidate), card, table, train, own=True)
            score = score_rows(fitted, table.X.iloc[part.test])
            outcome = outcomes_of(card, table, part.test, score)[0]
            if name == "savings" and card.decision is not None:
                outcome = decided(outcome, card.decision)
            scores.append(evaluate(outcome, [name])[name])
    except Exception as error:  # whatever a library raises on a value it cannot use
        reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    return {
        "params": params,
        "share": share,
        "mean": None if reason else float(np.mean(scores)),
        "folds": scores,
        "seconds": time.perf_counter() - started,
        "reason": reason,
    }


def _halving(candidates: list[Params], attempt: Attempt, better: int) -> None:
    """Try all on few rows, then the best third on three times as many, up to all rows."""
    sizes = _rungs(len(candidates))
    for rung, size in enumerate(sizes):
        tried = attempt(candidates[:size], float(KEPT) ** (rung + 1 - len(sizes)))
        good = [trial for trial in tried if _succeeded(trial)]
        good.sort(key=lambda trial: -better * trial["mean"])
        candidates = [trial["params"] for trial in good]


def _rungs(n: int) -> list[int]:
    """Return how many candidates each rung of halving tries."""
    sizes = [n]
    while sizes[-1] >= KEPT:
        sizes.append(math.ceil(sizes[-1] / KEPT))
    return sizes


def _optuna(search: Search, seed: int, attempt: Attempt, at_once: int, better: int) -> None:
    """Let Optuna's sampler choose what is tried next from what was seen."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, Any] = {}
    for address, values in search.space.items():
        if isinstance(values, list):  # by place: Optuna takes no lists or tables as choices
            space[address] = CategoricalDistribution(range(len(values)))
        elif _whole(values):
            low, high, step = int(values.low), int(_top(values)), int(values.step or 1)
            space[address] = IntDistribution(low, high, log=values.log, step=step)
        else:
            space[address] = FloatDistribution(
                values.low, _top(values), log=values.log, step=values.step
            )
    first = min(10, math.ceil(search.n_iter / 3))  # so many are drawn at random
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    left = search.n_iter
    while left > 0:
        asked = [study.ask(space) for _ in range(min(at_once, left))]
        tried = attempt([_told(search, one.params) for one in asked])
        for one, trial in zip(asked, tried, strict=False):
            if _succeeded(trial):
                study.tell(one, better * trial["mean"])
            else:
                study.tell(one, state=optuna.trial.TrialState.FAIL)
        left = left - len(asked) if len(tried) == len(asked) else 0


def _told(search: Search, found: Mapping[str, Any]) -> Params:
    """Return Optuna's choices as parameters: places in lists become the values there."""
    return {
        address: values[found[address]] if isinstance(values, list) else found[address]
        for address, values in search.space.items()
    }


def _succeeded(trial: Trial) -> bool:
    return trial["mean"] is not None


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; an estimator as its text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, str | int | float) else repr(value)
