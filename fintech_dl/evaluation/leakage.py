"""Signs that the test knows what it should not: features that tell too much, rows seen before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.evaluation.metrics import roc_auc
from fintech_dl.evaluation.splits import Fold
from fintech_dl.table import Table

SUSPICIOUS = 0.9  # AUC of one feature alone


def leakage(table: Table, fold: Fold, protected: list[str]) -> dict[str, Any]:
    """Return what looks like a leak between the training rows and the test rows of a fold.

    No proof of innocence: a leak through several features, or through how data were collected,
    stays unseen.

    Parameters
    ----------
    table : Table
        With labels.
    fold : Fold
    protected : list of str
        Attributes that no model may see.

    Returns
    -------
    dict
        ``trained_before`` (whether every training row was decided before the first test row; None
        without times), ``labels_known`` (whether every training label was known by then; None if
        labels have no dates), ``repeated`` (share of the test rows whose features all equal those
        of a training row), ``protected`` (protected attributes among the features: none) and
        ``alone``, one dict per feature with its ``auc`` alone on the test rows (0.5 to 1), the
        highest first, ``suspicious`` from 0.9.

    Notes
    -----
    A category stands for its share of positives among the training rows.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from fintech_dl.evaluation.leakage import leakage
    >>> from fintech_dl.evaluation.splits import random_holdout
    >>> from fintech_dl.table import Table
    >>> rng = np.random.default_rng(0)
    >>> y = pd.Series(rng.integers(0, 2, 400))
    >>> X = pd.DataFrame({"noise": rng.normal(size=400), "late_fee": y * rng.random(400)})
    >>> table = Table(X=X, y=y)
    >>> leakage(table, random_holdout(table), ["sex"])["alone"][0]
    {'feature': 'late_fee', 'auc': 1.0, 'suspicious': True}
    """
    train, test = table.rows(fold.train), table.rows(fold.test)
    assert train.y is not None
    assert test.y is not None
    before = known = None
    if train.when is not None and test.when is not None:
        before = bool(train.when.max() < test.when.min())
        if train.until is not None:
            known = bool(train.until.max() <= test.when.min())
    alone = []
    for place, name in enumerate(table.X.columns):
        values = _numbers(train.X.iloc[:, place], train.y, test.X.iloc[:, place])
        area = roc_auc(test.y, values, weight=test.weight)
        auc = max(area, 1 - area)
        alone.append({"feature": str(name), "auc": auc, "suspicious": auc >= SUSPICIOUS})
    seen = _hashes(test.X)
    return {
        "trained_before": before,
        "labels_known": known,
        "repeated": float(np.isin(seen, _hashes(train.X)).mean()),
        "protected": [name for name in protected if name in table.X.columns],
        "alone": sorted(alone, key=lambda one: -one["auc"]),
    }


def _numbers(known: Any, y: Any, new: Any) -> NDArray[np.float64]:
    """Return a feature as numbers without gaps: categories by their training share of positives."""
    if not pd.api.types.is_numeric_dtype(new):
        rates = y.astype(float).groupby(known.astype(str)).mean()
        new = new.astype(str).map(rates).astype(float)
    values = new.to_numpy(dtype=np.float64, na_value=np.nan)
    middle = np.nanmedian(values) if not np.isnan(values).all() else 0.0
    return np.asarray(np.where(np.isnan(values), middle, values))


def _hashes(X: pd.DataFrame) -> NDArray[np.uint64]:
    plain = X.astype({name: str for name in X if not pd.api.types.is_numeric_dtype(X[name])})
    return np.asarray(pd.util.hash_pandas_object(plain, index=False).to_numpy())
