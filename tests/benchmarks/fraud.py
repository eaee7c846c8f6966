"""Card fraud on real transactions, beside published figures and baselines on the same rows.

Run with FINTECH_DL_DATA set: ``python tests/benchmarks/fraud.py [PART ...]``; parts are
``holdout``, ``prequential``, ``unsupervised`` and ``ulb``, by default all. Every part writes its
dated result under ``reports/benchmarks/``.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import results
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from fintech_dl import CNN, GRU, LSTM, NeuralClassifier, build_pipeline
from fintech_dl.cards import PipelineCard, pipeline_card
from fintech_dl.data.frames import read_dataset
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.significance import bootstrap
from fintech_dl.evaluation.splits import Fold, folds
from fintech_dl.fitting import OF_BASELINE
from fintech_dl.pipelines import make, make_table
from fintech_dl.table import Table

METRICS = ["roc_auc", "average_precision", "card_precision_at_100"]
SHORT = {"roc_auc": "AUC", "average_precision": "AP", "card_precision_at_100": "CP@100"}
SEEDS = range(5)
PUBLISHED = {
    "holdout": {
        "logistic regression": (0.871, 0.606, 0.291),
        "random forest": (0.867, 0.658, 0.287),
        "XGBoost": (0.862, 0.639, 0.273),
        "MLP": (0.864, 0.653, 0.286),
    },
    "prequential": {
        "logistic regression": (0.868, 0.623, 0.297),
        "random forest": (0.870, 0.678, 0.299),
        "XGBoost": (0.869, 0.687, 0.303),
        "MLP": (0.876, 0.675, 0.303),
        "CNN": (0.872, 0.599, 0.288),
        "LSTM": (0.876, 0.665, 0.297),
    },
    "unsupervised": {
        "autoencoder": (0.836, 0.180, 0.217),
        "isolation forest, 10 trees": (0.808, 0.164, 0.190),
    },
}


def seeded(model: Any, seed: int) -> Any:
    names = [key for key in model.get_params() if key.endswith("random_state")]
    return clone(model).set_params(**dict.fromkeys(names, seed))


def baselines(card: PipelineCard) -> Iterator[tuple[str, Any]]:
    for spec in card.baseline:
        plain = {key: value for key, value in spec.items() if key not in OF_BASELINE}
        yield spec.get("title", spec["use"]), with_preprocessing(make(plain, card.name))


def measure(
    title: str,
    model: Any,
    table: Table,
    parts: Sequence[Fold],
    seeds: Sequence[int],
    metrics: Sequence[str] = METRICS,
) -> dict[str, Any]:
    """Fit per fold and seed; return the mean of each metric with its 95 % interval."""
    assert table.y is not None
    outcomes, fitting = [], 0.0
    for fold in parts:
        for seed in seeds:
            started = time.perf_counter()
            one = seeded(model, seed)
            extra = {}
            if table.weight is not None and not title.startswith("The prior"):
                last = one.steps[-1][0] if isinstance(one, Pipeline) else ""
                weight = table.weight.iloc[fold.train].to_numpy()
                extra = {f"{last}__sample_weight": weight}
            one.fit(table.X.iloc[fold.train], table.y.iloc[fold.train], **extra)
            fitting += time.perf_counter() - started
            rows = table.rows(fold.test)
            score = score_rows(one, rows.X)
            outcomes.append(
                Outcome(y=rows.y, score=score, weight=rows.weight, when=rows.when, who=rows.who)
            )
    found = bootstrap(outcomes, metrics, n=2000)
    line: dict[str, Any] = {"model": title}
    for name in metrics:
        value = found[name]
        line[SHORT.get(name, name)] = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
    line["seeds x folds"] = f"{len(seeds)} x {len(parts)}"
    line["fit s"] = round(fitting / len(outcomes), 1)
    print(line, flush=True)
    return line


def published(part: str) -> list[dict[str, Any]]:
    names = [SHORT[name] for name in METRICS]
    return [
        {"model": f"published: {who}", **dict(zip(names, map("{:.3f}".format, v), strict=True))}
        for who, v in PUBLISHED[part].items()
    ]


def handbook(name: str, start: str, n_folds: int, **table: Any) -> tuple[Any, Table, list[Fold]]:
    card = pipeline_card(name, dataset="handbook_transactions")
    card = replace(card, split=replace(card.split, start=start, folds=n_folds))
    frame = read_dataset(card.dataset).frame
    made = make_table({**card.table, **table}, frame)
    return card, made, folds(made, card.split)


def holdout() -> None:
    card, table, parts = handbook("fraud", "2018-07-25", 1)
    rows = published("holdout")
    rows.append(measure("fintech_dl MLP", build_pipeline(card), table, parts, SEEDS))
    rows += [measure(title, model, table, parts, [0]) for title, model in baselines(card)]
    notes = [
        "Fraud Detection Handbook, train 2018-07-25 to 07-31, gap 7 days, test 08-08 to 08-14, "
        "known compromised cards removed.",
        "Published rows use the book's 15 features; ours are the card's 21.",
        "Settings were chosen on the four weeks of test before 2018-08-01.",
    ]
    write("fraud_handbook_holdout", rows, notes, "holdout")


def prequential() -> None:
    card, table, parts = handbook("fraud", "2018-08-15", 4)
    rows = published("prequential")
    rows.append(measure("fintech_dl MLP", build_pipeline(card), table, parts, SEEDS[:3]))
    rows += [measure(title, model, table, parts, [0]) for title, model in baselines(card)]
    _, table, parts = handbook("fraud", "2018-08-15", 4, last=WINDOW)
    for title, network in SEQUENCES.items():
        model = NeuralClassifier(network=network, **SEQUENCE_TRAINING)
        rows.append(measure(f"fintech_dl {title}", model, table, parts, SEEDS[:2]))
    notes = [
        "Fraud Detection Handbook, four folds, trainings from 2018-07-25, 08-01, 08-08 and 08-15: "
        "7 days each, gap 7, test 7, known compromised cards removed.",
        f"CNN, LSTM and GRU read the last {WINDOW} transactions of the card.",
        "Settings were chosen on the four weeks of test before 2018-08-01.",
    ]
    write("fraud_handbook_prequential", rows, notes, "prequential")


def unsupervised() -> None:
    card, table, parts = handbook("fraud-unsupervised", "2018-07-11", 1)
    rows = published("unsupervised")
    rows.append(measure("fintech_dl Autoencoder", build_pipeline(card), table, parts, SEEDS))
    rows += [measure(title, model, table, parts, SEEDS) for title, model in baselines(card)]
    notes = [
        "Fraud Detection Handbook, validation week: train 2018-07-11 to 07-17 without labels, "
        "test 07-25 to 07-31, known compromised cards removed.",
        "Settings were chosen on the four weeks of test before 2018-07-25.",
    ]
    write("fraud_handbook_unsupervised", rows, notes, "unsupervised")


def ulb() -> None:
    card = pipeline_card("fraud-ulb")
    table = make_table(card.table, read_dataset(card.dataset).frame)
    parts = folds(table, card.split)
    metrics = ["roc_auc", "average_precision", "recall_at_fpr_0.1", "recall_at_fpr_1", "log_loss"]
    models: list[tuple[str, Any]] = [("fintech_dl MLP", build_pipeline(card)), *baselines(card)]
    rows = [measure(title, model, table, parts, SEEDS, metrics) for title, model in models]
    notes = [
        "ULB subset, real European card payments: train on the first day, test on the second, "
        "row weights respected; intervals resample rows.",
        "Settings were chosen on the first day alone.",
    ]
    write("fraud_ulb", rows, notes, "ulb")


def write(name: str, rows: list[dict[str, Any]], notes: list[str], part: str) -> None:
    results.write_result(name, rows, notes, f"python tests/benchmarks/fraud.py {part}")


WINDOW = 5
SEQUENCES = {
    "CNN": CNN(filters=128, kernel_size=2, hidden=128, activation="gelu", dropout=0.2),
    "LSTM": LSTM(units=128, hidden=128, activation="gelu", dropout=0.2),
    "GRU": GRU(units=128, hidden=128, activation="gelu", dropout=0.2),
}
SEQUENCE_TRAINING = {
    "epochs": 10,
    "batch_size": 1024,
    "learning_rate": 1e-3,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "schedule": "cosine",
}
PARTS: dict[str, Callable[[], None]] = {
    part.__name__: part for part in (holdout, prequential, unsupervised, ulb)
}

if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    for chosen in sys.argv[1:] or PARTS:
        PARTS[chosen]()
