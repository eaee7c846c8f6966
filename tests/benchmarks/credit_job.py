"""One job of the credit benchmark, in a process of its own: JSON in on stdin, JSON lines out."""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import credit_data
import credit_tuning
import numpy as np
from credit_monotone import checked
from credit_ours import OURS, settings
from credit_rivals import RIVALS, Method
from credit_state import Job, scores_path
from results import hardware
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from fintech_dl.evaluation.metrics import ks
from fintech_dl.folders import replacing

PACKAGE = Path(__file__).parents[2] / "fintech_dl"
LIBRARIES = {
    "logistic regression": ("scikit-learn",),
    "logistic regression on WOE": ("scikit-learn",),
    "LightGBM": ("lightgbm",),
    "LightGBM default": ("lightgbm",),
    "LightGBM tuned": ("lightgbm", "optuna"),
    "XGBoost tuned": ("xgboost", "optuna"),
    "CatBoost default": ("catboost",),
    "blend of boosters": ("catboost", "lightgbm"),
    "CatBoost tuned": ("catboost", "optuna"),
}
MODULES = {"scikit-learn": "sklearn"}


def libraries(method: str) -> tuple[str, ...]:
    """Return the libraries that a method needs, the first one doing the work."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    boosting = ("lightgbm",) if method.startswith("blend") else ()
    return LIBRARIES.get(method, ("keras", backend, *boosting))


def module(library: str) -> str:
    return MODULES.get(library, library)


def measures(y: Any, p: Any) -> dict[str, float]:
    """Return AUC, log loss, Brier score and the Kolmogorov-Smirnov distance."""
    return {
        "auc": float(roc_auc_score(y, p)),
        "log_loss": float(log_loss(y, p)),
        "brier": float(brier_score_loss(y, p)),
        "ks": float(ks(y, p).value),
    }


def measure(data: credit_data.Data, fold: credit_data.Fold, method: Method, seed: int) -> Any:
    """Fit on the training rows of a fold; return what was measured, and the scores of its test."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    started = time.perf_counter()
    model = method(data.X.iloc[fold.train], data.y.iloc[fold.train], seed, threads)
    fitted = time.perf_counter()
    p = np.asarray(model.predict_proba(data.X.iloc[fold.test]), dtype=float)[:, 1]
    predicted = time.perf_counter()
    line: dict[str, Any] = measures(data.y.iloc[fold.test], p)
    if len(fold.apart):
        late = np.asarray(model.predict_proba(data.X.iloc[fold.apart]), dtype=float)[:, 1]
        line["apart"] = {"rows": len(late), **measures(data.y.iloc[fold.apart], late)}
    line |= {
        "train_rows": len(fold.train),
        "test_rows": len(fold.test),
        "fit_seconds": round(fitted - started, 3),
        "predict_seconds": round(predicted - fitted, 4),
    }
    if getattr(getattr(model, "network", None), "monotone", None):
        line["monotone"] = checked(model, data.X.iloc[fold.train])
    return line, p


def circumstances(method: str) -> dict[str, Any]:
    """Return what a measurement holds for: libraries, our code, machine, day."""
    machine = hardware()
    made: dict[str, Any] = {
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "libraries": ", ".join(f"{name} {version(name)}" for name in libraries(method)),
        "machine": f"{machine['cpu']}, {machine['cores']} cores",
        "date": date.today().isoformat(),
    }
    return made | ({"code": code()} if method in OURS else {})


def code() -> str:
    """Return a digest of what our methods are made of; that of their settings stands beside it."""
    digest = sha256((Path(__file__).with_name("credit_ours.py")).read_bytes())
    for floor in ("networks", "estimators"):
        for path in sorted((PACKAGE / floor).rglob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def run(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a job: one result, or the trials of a tuning."""
    job = Job(**asked["job"])
    known = settings(job.method, job.data)
    for library in libraries(job.method):  # its import is no part of the time to fit
        import_module(module(library))
    data = credit_data.load(job.data)
    fold = data.folds[job.fold]
    if job.seed is None:
        learn, hold = (
            (data.X.iloc[rows], data.y.iloc[rows]) for rows in credit_data.inner_split(data, fold)
        )
        threads = int(os.environ["OMP_NUM_THREADS"])
        for trial in credit_tuning.trials(
            job.method, learn, hold, threads, asked["done"], asked["trials"]
        ):
            yield {**trial, **circumstances(job.method)}
        return
    method = {**RIVALS, **OURS}.get(job.method)
    if method is None:
        chosen = credit_tuning.best(asked["done"])

        def method(X: Any, y: Any, seed: int, threads: int) -> Any:
            return credit_tuning.fit(job.method, chosen, X, y, seed, threads)

    line, p = measure(data, fold, method, job.seed)
    with replacing(scores_path(job, Path(asked["predictions"]))) as path, path.open("wb") as file:
        np.save(file, p.astype(np.float32))
    yield {**line, **circumstances(job.method), **({"settings": known} if known else {})}


if __name__ == "__main__":
    for line in run(json.load(sys.stdin)):
        print(json.dumps(line), flush=True)
