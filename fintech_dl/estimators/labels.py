"""Labels of a few rows, for detectors that learn from the anomalies that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

from fintech_dl.estimators.rows import refuse_masked

LABELS = (-1, 0, 1)


def known_labels(X: Any, y: Any) -> np.ndarray:
    """Return one whole number per row: 1 known anomaly, 0 normal, -1 where nobody has looked.

    Without ``y`` nobody has looked at any row.

    Raises
    ------
    ValueError
        Other labels, missing ones, or not one per row.

    Examples
    --------
    >>> from fintech_dl.estimators.labels import known_labels
    >>> known_labels([[1.0], [2.0]], [True, False]).tolist()
    [1, 0]
    >>> known_labels([[1.0], [2.0]], None).tolist()
    [-1, -1]
    """
    if y is None:
        return np.full(X.shape[0] if hasattr(X, "shape") else len(X), -1)
    refuse_masked(y, "y")
    labels = np.asarray(column_or_1d(y, warn=True))
    check_consistent_length(X, labels)
    distinct = pd.unique(labels).tolist()
    if wrong := [v for v in distinct if not isinstance(v, int | float) or v not in LABELS]:
        told = ", ".join(map(repr, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
        raise ValueError(
            f"y holds {told}; allowed: 1 (known anomaly), 0 (normal) and -1 (nobody has looked)"
        )
    return labels.astype(np.int64)
