"""A small artefact without a network, and files of rows for it: nothing here needs Keras."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from fintech_dl import save

DATASET = {
    "title": "Payments",
    "licence": "none",
    "source": {"kind": "file", "path": "payments.parquet"},
    "columns": {
        "id": {"type": "integer"},
        "time": {"type": "datetime"},
        "amount": {"type": "number", "min": 0.0},
        "age": {"type": "number", "min": 0.0},
        "fraud": {"type": "integer", "nullable": True},
    },
    "contract": {"key": "id", "time": "time", "sorted": False, "labels": ["fraud"]},
}
PIPELINE = {
    "title": "Payments",
    "question": "Which of today's payments will be confirmed as fraud?",
    "dataset": "payments",
    "table": {
        "use": "rows.as_they_are",
        "target": "fraud",
        "drop": ["id", "time"],
        "aside": ["amount"],
    },
    "split": {"kind": "holdout", "test_fraction": 0.3},
    "step": [{"name": "model", "use": "sklearn.linear_model.LogisticRegression"}],
    "decision": {"rule": "threshold", "threshold": 0.5},
    "metrics": ["roc_auc"],
}
REFERENCE = None


def payments(rows=1000, first=0, seed=0):
    """Return rows of payments, each a minute after the other."""
    rng = np.random.default_rng([seed, first])
    start = pd.Timestamp("2026-01-01") + pd.Timedelta(minutes=first)
    return pd.DataFrame(
        {
            "id": np.arange(first, first + rows),
            "time": pd.date_range(start, periods=rows, freq="min").astype("datetime64[us]"),
            "amount": rng.gamma(2.0, 50.0, rows),
            "age": rng.uniform(0, 90, rows),
        }
    )


def make_artefact(folder, seed=0, contract=None, **pipeline):
    """Save a logistic regression with cards of its own."""
    rows = payments(500, seed=seed)
    y = (rows["amount"] + 10 * np.random.default_rng(seed).normal(size=500) > 120).astype(int)
    model = LogisticRegression().fit(rows[["amount", "age"]], y)
    dataset = {**DATASET, "contract": {**DATASET["contract"], **(contract or {})}}
    cards = {
        "pipeline": {"name": "payments", "card": {**PIPELINE, **pipeline}},
        "dataset": {"name": "payments", "card": dataset},
    }
    return save(model, folder, records={"cards": cards})


def write(frame, path, row_group_size=200):
    frame.to_parquet(path, index=False, row_group_size=row_group_size)
    return path
