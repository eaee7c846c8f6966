"""Boosted trees tuned with Optuna's TPE on training rows alone, one round of trials per fold.

Each trial learns from 80 % of the training rows and stops early on the log loss of the other 20 %;
the best parameters with their number of trees are then fitted on all training rows.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from sklearn.metrics import log_loss

TRIALS = 30
MOST_ROUNDS = 2000
PATIENCE = 50
Trial = dict[str, Any]
Rows = tuple[pd.DataFrame, pd.Series]


class Space(NamedTuple):
    """Bounds of what is tuned: (low, high), or (low, high, "log"); and where tuning starts."""

    bounds: Mapping[str, tuple[Any, ...]]
    start: Mapping[str, Any]


SPACES = {
    "LightGBM tuned": Space(
        {
            "learning_rate": (0.01, 0.1, "log"),
            "num_leaves": (4, 128, "log"),
            "min_child_samples": (5, 300, "log"),
            "subsample": (0.5, 1.0),
            "colsample_bytree": (0.3, 1.0),
            "reg_lambda": (0.001, 20.0, "log"),
            "cat_smooth": (1.0, 200.0, "log"),
        },
        {
            "learning_rate": 0.02,
            "num_leaves": 15,
            "min_child_samples": 50,
            "subsample": 0.8,
            "colsample_bytree": 0.5,
            "reg_lambda": 0.001,
            "cat_smooth": 10.0,
        },
    ),
    "XGBoost tuned": Space(
        {
            "learning_rate": (0.01, 0.1, "log"),
            "max_depth": (2, 9),
            "min_child_weight": (0.1, 100.0, "log"),
            "subsample": (0.5, 1.0),
            "colsample_bytree": (0.3, 1.0),
            "reg_lambda": (0.01, 20.0, "log"),
            "reg_alpha": (0.001, 5.0, "log"),
        },
        {
            "learning_rate": 0.03,
            "max_depth": 4,
            "min_child_weight": 10.0,
            "subsample": 0.8,
            "colsample_bytree": 0.5,
            "reg_lambda": 1.0,
            "reg_alpha": 0.001,
        },
    ),
    "CatBoost tuned": Space(
        {
            "learning_rate": (0.02, 0.15, "log"),
            "depth": (4, 8),
            "l2_leaf_reg": (0.5, 20.0, "log"),
            "subsample": (0.5, 1.0),
            "rsm": (0.3, 1.0),
            "random_strength": (0.1, 5.0, "log"),
        },
        {
            "learning_rate": 0.05,
            "depth": 6,
            "l2_leaf_reg": 3.0,
            "subsample": 0.8,
            "rsm": 1.0,
            "random_strength": 1.0,
        },
    ),
}


def make(name: str, X: pd.DataFrame, params: Trial, rounds: int, seed: int, threads: int) -> Any:
    """Return a booster that is not fitted yet."""
    if name == "LightGBM tuned":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(
            **params,
            n_estimators=rounds,
            subsample_freq=1,
            random_state=seed,
            n_jobs=threads,
            verbose=-1,
        )
    if name == "XGBoost tuned":
        from xgboost import XGBClassifier

        return XGBClassifier(
            **params,
            n_estimators=rounds,
            enable_categorical=True,
            eval_metric="logloss",
            random_state=seed,
            n_jobs=threads,
        )
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        **params,
        iterations=rounds,
        bootstrap_type="Bernoulli",
        cat_features=list(X.select_dtypes("category")),
        random_seed=seed,
        thread_count=threads,
        allow_writing_files=False,
        verbose=0,
    )


def stopped_early(name: str, params: Trial, learn: Rows, hold: Rows, threads: int) -> Trial:
    """Return the best number of trees, and the log loss that they reach on the held-out rows."""
    model = make(name, learn[0], params, MOST_ROUNDS, 0, threads)
    if name == "LightGBM tuned":
        from lightgbm import early_stopping

        stop = early_stopping(PATIENCE, verbose=False)
        model.fit(*learn, eval_X=hold[0], eval_y=hold[1], callbacks=[stop])
        rounds = model.best_iteration_
    elif name == "XGBoost tuned":
        model.set_params(early_stopping_rounds=PATIENCE)
        model.fit(*learn, eval_set=[hold], verbose=False)
        rounds = model.best_iteration + 1
    else:
        model.fit(*learn, eval_set=hold, early_stopping_rounds=PATIENCE)
        rounds = model.tree_count_
    return {"rounds": int(rounds), "loss": float(log_loss(hold[1], model.predict_proba(hold[0])))}


def trials(
    name: str,
    learn: Rows,
    hold: Rows,
    threads: int,
    done: Sequence[Trial] = (),
    n: int = TRIALS,
) -> Iterator[Trial]:
    """Yield the trials that are not done yet, each as a plain dict.

    The sampler is seeded by the number of the trial: tuning that was stopped goes on as if it had
    not been.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {key: _distribution(*bounds) for key, bounds in SPACES[name].bounds.items()}
    study = optuna.create_study(direction="minimize")
    for old in done:
        told = {"params": old["params"], "distributions": space, "value": old["loss"]}
        study.add_trial(optuna.trial.create_trial(**told))
    if not done:
        study.enqueue_trial(dict(SPACES[name].start))
    for number in range(len(done), n):
        started = time.perf_counter()
        study.sampler = optuna.samplers.TPESampler(seed=number)
        trial = study.ask(space)
        found = stopped_early(name, trial.params, learn, hold, threads)
        study.tell(trial, found["loss"])
        took = round(time.perf_counter() - started, 2)
        yield {"trial": number, "params": trial.params, **found, "seconds": took}


def best(done: Sequence[Trial]) -> Trial:
    """Return the trial with the smallest loss, the earliest of equals."""
    return min(done, key=lambda trial: trial["loss"])


def fit(name: str, chosen: Trial, X: pd.DataFrame, y: pd.Series, seed: int, threads: int) -> Any:
    """Return a booster with the chosen parameters, fitted on all training rows."""
    return make(name, X, chosen["params"], chosen["rounds"], seed, threads).fit(X, y)


def _distribution(low: Any, high: Any, scale: str = "") -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    kind = IntDistribution if isinstance(low, int) else FloatDistribution
    return kind(low, high, log=scale == "log")
