"""An example record of a run, as the report takes it: simulated scores, real curves.

Run as a script it prints the report: `python tests/evaluation/record_example.py > report.html`.
"""

import sys
from datetime import date, timedelta

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

N_FOLDS, ROWS = 4, 6000
FALSE_ALARM = 5.0
SKILL = {"model": 2.6, "logistic": 2.1, "boosting": 2.5, "prior": 0.0}
TITLES = {
    "model": "MLP [128, 64]",
    "logistic": "Logistic regression",
    "boosting": "HistGradientBoosting",
    "prior": "Share of fraud alone",
}


def example_record() -> dict:
    """Return a complete record with four folds, three baselines that ran and one that did not."""
    rng = np.random.default_rng(7)
    n = N_FOLDS * ROWS
    fold, day = np.repeat(np.arange(N_FOLDS), ROWS), np.arange(n) * 7 * N_FOLDS // n
    y = (rng.random(n) < 0.02).astype(int)
    amount = np.round(rng.gamma(1.6, 35.0, n) * (1 + y), 2)
    models = []
    for name, skill in SKILL.items():
        hard = rng.normal(size=n) + skill * y * (rng.random(n) < 0.85)
        score = np.full(n, 0.02) if name == "prior" else 1 / (1 + np.exp(-(1.8 * hard - 6.4)))
        models.append(_model(name, y, score, fold, day, rng))
        if name == "model":
            own = score
    models.append(
        {"name": "lightgbm", "title": "LightGBM", "is_baseline": True, "ran": False,
         "reason": "the library 'lightgbm' is not installed", "metrics": {}}
    )  # fmt: skip
    start = date(2018, 7, 25)
    folds = [_fold(i, start + timedelta(days=7 * i), y[fold == i]) for i in range(N_FOLDS)]
    names = ["amount", "is_weekend", "is_night", "seconds_since_last", "amount_over_own_mean"]
    names += [f"{who}_{what}_{d}d" for who, what in
              (("customer", "count"), ("customer", "mean_amount"), ("terminal", "count"),
               ("terminal", "risk")) for d in (1, 7, 30)]  # fmt: skip
    weight = np.sort(rng.gamma(0.35, 0.05, len(names)))[::-1]
    loss = 0.11 * np.exp(-np.arange(24) / 5) + 0.052
    ours, best = (m["metrics"]["average_precision"]["value"] for m in (models[0], models[2]))
    return {
        "format": 1,
        "title": "Card fraud",
        "question": "Which of today's card transactions will be confirmed as fraud?",
        "pipeline": "fraud",
        "created": "2025-03-04T09:30:00",
        "seed": 0,
        "words": {"row": "transaction", "rows": "transactions", "positive": "fraud",
                  "positives": "frauds"},
        "verdict": {
            "text": f"No better than HistGradientBoosting: average precision {ours:.3f} against "
            f"{best:.3f}, and the difference may be luck.",
            "outcome": "same", "metric": "average_precision", "rival": "boosting",
        },
        "data": {
            "name": "synthetic_card_transactions", "title": "Synthetic card transactions",
            "origin": "Our own seeded generator after the Fraud Detection Handbook: customers, "
            "terminals and three fraud scenarios.",
            "licence": "Apache-2.0", "file": "synthetic_card_transactions.parquet",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "rows_read": 312004, "rows_used": 311998, "rows_quarantined": 6,
            "quarantine_reasons": {"negative_amount": 4, "duplicate_transaction_id": 2},
            "time_from": "2018-06-01T00:00:31", "time_to": "2018-09-11T23:59:40",
            "positives": 2621, "positive_rate": 2621 / 311998,
            "columns": [
                {"name": "transaction_id", "type": "int", "unit": None, "missing_share": 0.0},
                {"name": "time", "type": "datetime", "unit": "UTC", "missing_share": 0.0},
                {"name": "customer_id", "type": "int", "unit": None, "missing_share": 0.0},
                {"name": "terminal_id", "type": "int", "unit": None, "missing_share": 0.0041},
                {"name": "amount", "type": "float", "unit": "EUR", "missing_share": 0.0},
                {"name": "is_fraud", "type": "label", "unit": None, "missing_share": 0.0},
            ],
            "limits": ["Generated, not observed: real fraud is rarer and changes faster."],
            "as_of": "2025-03-04",
        },
        "protocol": {
            "kind": "prequential",
            "text": "Four folds in time: train on 7 days, wait 7 days for labels, test on the next "
            "7 days. Cards already known as compromised are removed from the test.",
            "folds": folds,
        },
        "search": _search(folds),
        "features": names,
        "models": models,
        "comparison": [
            _difference(models[0], m, p)
            for m, p in zip(models[1:4], (0.0004, 0.31, 0.0001), strict=True)
        ],
        "decision": _decision(y, own, amount),
        "training": {
            "history": {"loss": loss.tolist(),
                        "validation_loss": (loss + 0.012 + np.arange(24) ** 2 / 2e4).tolist()},
            "epochs": 24, "best_epoch": 15, "parameters": 10881,
            "settings": {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 256,
                         "network": "MLP(units=[128, 64])", "patience": 10},
        },
        "importance": [
            {"feature": f, "mean": float(w), "low": float(w * 0.7 - 0.002),
             "high": float(w * 1.3 + 0.002)} for f, w in zip(names, weight, strict=True)
        ],
        "importance_metric": "average_precision",
        "limits": ["Labels are taken to be known 7 days after the transaction."],
        "environment": {"fintech-dl": "0.1.0", "python": "3.11.7", "keras": "3.15.1",
                        "backend": "tensorflow", "cores": 2},
        "commands": {
            "score": "fintech-dl score reports/runs/fraud/artefact NEW.parquet -o scores "
            "--history PAST.parquet",
            "rebuild": "fintech-dl run fraud --set split.folds=4",
        },
    }  # fmt: skip


def _fold(i: int, start: date, y: np.ndarray) -> dict:
    at = [(start + timedelta(days=7 * k)).isoformat() + "T00:00:00" for k in range(4)]
    return {
        "name": f"fold {i + 1}", "train_from": at[0], "train_to": at[1], "test_from": at[2],
        "test_to": at[3], "rows_train": 66800 + 31 * i, "rows_test": len(y),
        "positives_train": 551 + i, "positives_test": int(y.sum()), "removed_known": 5200 + 7 * i,
        "purged": 12 * i,
    }  # fmt: skip


def _model(name: str, y, score, fold, day, rng) -> dict:
    def each(measure) -> dict:
        folds = [float(measure(y[fold == i], score[fold == i])) for i in range(N_FOLDS)]
        half = 1.96 * np.std(folds) / np.sqrt(N_FOLDS) + 0.004
        return {"value": float(np.mean(folds)), "low": float(np.mean(folds) - half),
                "high": float(np.mean(folds) + half), "folds": folds}  # fmt: skip

    metrics = {
        "average_precision": each(average_precision_score),
        "roc_auc": each(roc_auc_score),
        "card_precision_at_100": each(lambda y, s: y[np.argsort(-s)[:100]].mean()),
        "recall_at_fpr_1": each(lambda y, s: (s[y == 1] > np.quantile(s[y == 0], 0.99)).mean()),
        "brier": each(lambda y, s: np.mean((y - s) ** 2)),
    }
    precision, recall, _ = precision_recall_curve(y, score)
    fpr, tpr, _ = roc_curve(y, score, drop_intermediate=False)
    bins = np.minimum(np.argsort(np.argsort(score)) * 10 // len(y), 9)
    predicted = [score[bins == b].mean() for b in range(10)]
    observed = np.array([y[bins == b].mean() for b in range(10)])
    half = 1.96 * np.sqrt(observed * (1 - observed) * 10 / len(y)) + 1e-4
    days = range(day.max() + 1)
    top = [np.argsort(-score[day == d])[:20] for d in days]
    flagged = score > 0.2
    return {
        "name": name, "title": TITLES[name], "is_baseline": name != "model", "ran": True,
        "reason": "", "metrics": metrics,
        "train_metrics": {k: min(1.0, m["value"] + 0.02 + 0.03 * rng.random())
                          for k, m in metrics.items() if k != "brier"},
        "fit_seconds": {"model": 41.3, "logistic": 0.62, "boosting": 6.1}.get(name, 0.0004),
        "rows_per_second": {"model": 182000.0, "boosting": 310000.0}.get(name, 2.4e6),
        "peak_memory_mb": {"model": 1240.0}.get(name, 610.0),
        "curves": {
            "precision_recall": _band("recall", recall, "precision", precision, 0.03),
            "roc": _band("fpr", fpr, "recall", tpr, 0.02),
            "calibration": {"predicted": [float(p) for p in predicted],
                            "observed": observed.tolist(),
                            "low": np.clip(observed - half, 0, 1).tolist(),
                            "high": (observed + half).tolist(), "rows": [len(y) // 10] * 10},
        },
        "by_day": {
            "day": [(date(2018, 8, 8) + timedelta(days=int(d))).isoformat() for d in days],
            "rows": [int((day == d).sum()) for d in days],
            "positives": [int(y[day == d].sum()) for d in days],
            "precision": [_share(y[(day == d) & flagged]) for d in days],
            "recall": [_share(flagged[(day == d) & (y == 1)]) for d in days],
            "card_precision": [
                float(y[day == d][t].mean()) for d, t in zip(days, top, strict=True)
            ],
        },
    }  # fmt: skip


def _search(folds) -> dict:
    def trial(i: int, rate: float, units: list, mean: float) -> dict:
        return {"trial": i, "params": {"model__learning_rate": rate,
                                       "model__network__units": units},
                "share": 1.0, "mean": mean, "folds": [mean - 0.02, mean, mean + 0.02],
                "seconds": 31.0 + i, "reason": ""}  # fmt: skip

    log = [trial(i, 0.001 * (i + 1), [32 * (i % 3 + 1), 32], 0.6 + 0.013 * (i * 5 % 12))
           for i in range(13)]  # fmt: skip
    log[4] |= {"mean": None, "folds": [], "reason": "ValueError: units must be positive"}
    return {"method": "random", "metric": "average_precision", "folds": folds[:2], "rows": 91000,
            "planned": 20, "tried": 12, "stopped": True, "seconds": 431.0, "log": log,
            "default": log[0], "best": log[7], "improved": True}  # fmt: skip


def _share(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _band(x_name: str, x, y_name: str, y, half: float) -> dict:
    few = np.unique(np.linspace(0, len(x) - 1, 600).astype(int))
    x, y = x[few], y[few]
    return {x_name: x.tolist(), y_name: y.tolist(), "low": np.clip(y - half, 0, 1).tolist(),
            "high": np.clip(y + half, 0, 1).tolist()}  # fmt: skip


def _difference(model: dict, rival: dict, p: float) -> dict:
    ours, theirs = (m["metrics"]["average_precision"]["value"] for m in (model, rival))
    half = 0.09 if p > 0.05 else abs(ours - theirs) * 0.6
    return {"rival": rival["name"], "metric": "average_precision", "difference": ours - theirs,
            "low": ours - theirs - half, "high": ours - theirs + half, "p_value": p,
            "test": "paired bootstrap over days"}  # fmt: skip


def _decision(y, score, amount) -> dict:
    thresholds = np.geomspace(1e-3, 0.99, 60)
    alerts = [score >= t for t in thresholds]
    cost = [float(amount[(y == 1) & ~a].sum() + FALSE_ALARM * (a & (y == 0)).sum()) for a in alerts]
    trivial = float(min(amount[y == 1].sum(), FALSE_ALARM * (y == 0).sum()))
    at = int(np.argmin(cost)) - 1
    right = int((alerts[at] & (y == 1)).sum())
    raised, days = int(alerts[at].sum()), 7 * N_FOLDS
    saved = 1 - cost[at] / trivial
    return {
        "rule": "cost",
        "text": "Alert when the expected loss is larger than the cost of looking: the threshold is "
        "the one with the least cost on the latest training days.",
        "threshold": float(thresholds[at]), "false_alarm": FALSE_ALARM, "unit": "EUR",
        "alerts": raised, "alerts_per_day": raised / days, "true_alerts": right,
        "precision": right / raised, "recall": right / int(y.sum()), "cost": cost[at],
        "cost_of_best_trivial": trivial,
        "savings": {"value": saved, "low": saved - 0.06, "high": saved + 0.05},
        "curve": {"threshold": thresholds.tolist(), "cost": cost,
                  "alerts_per_day": [float(a.sum()) / days for a in alerts]},
    }  # fmt: skip


if __name__ == "__main__":
    from fintech_dl.evaluation.report import render

    sys.stdout.write(render(example_record()))
