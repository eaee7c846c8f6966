"""The neural anomaly detector."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from fintech_dl.estimators.folds import Fold, member_folds
from fintech_dl.estimators.unsupervised import UnsupervisedEstimator
from fintech_dl.networks.base import hyperparameters


@hyperparameters
class NeuralDetector(OutlierMixin, UnsupervisedEstimator):
    """Anomaly detector around any network: rows that the network cannot rebuild are anomalous.

    Use it where labels are missing; where there are hundreds of labels, a classifier finds more.

    Parameters
    ----------
    contamination : float, default=0.1
        Share of the training rows that ``predict`` flags, in (0, 0.5]. Scores do not depend on it.
    average : {"mean", "rank"}, default="mean"
        What is averaged over the members: scores, or each row's rank among the training rows,
        which a member of a larger scale cannot dominate.
    cv : int or scikit-learn splitter, optional
        Each member learns from the training rows of one fold: one member per fold, or with
        ``n_members`` a multiple of that. All take the same number of steps, whatever their rows.

    Attributes
    ----------
    offset_ : float
        Threshold on ``score_samples``: rows below it are flagged.
    oof_ : ndarray of shape (n_rows,)
        With ``cv``: anomaly score of each training row by the members that have not learned from
        it; NaN where all have.

    See Also
    --------
    NeuralEstimator : All other parameters and fitted attributes.

    Notes
    -----
    ``anomaly_score`` is higher for worse rows; ``score_samples`` and ``decision_function`` follow
    scikit-learn, where lower is worse and ``predict`` gives -1 for anomalies.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import Autoencoder, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> X = np.column_stack([X, X[:, 0] + X[:, 1]])
    >>> model = NeuralDetector(network=Autoencoder(units=16, code=2), learning_rate=0.01,
    ...                        random_state=0).fit(X)
    >>> score = model.anomaly_score([[1.0, 1.0, 2.0], [1.0, 1.0, -2.0]])
    >>> bool(score[1] > score[0])
    True
    """

    contamination: float = 0.1
    average: str = "mean"
    cv: Any = None

    averages: ClassVar[tuple[str, ...]] = ("mean", "rank")

    def _folds(self, X: Any, y: Any) -> list[Fold]:
        return member_folds(self.cv, self.n_members, X, None, classifier=False)

    def _fitted(self, rows: np.ndarray, weight: np.ndarray, folds: list[Fold]) -> Any:
        outputs = super()._fitted(rows, weight, folds)
        outputs = self._raw(rows) if outputs is None else outputs
        scores = -self._finished(outputs)
        self.offset_ = _threshold(scores[weight > 0], weight[weight > 0], self.contamination)
        return outputs

    def _check(self) -> None:
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination={self.contamination!r}; allowed: (0, 0.5]")

    def _raw(self, rows: np.ndarray) -> np.ndarray:
        view = self._view("anomaly", self._network().anomaly_score)
        return self._infer_members(view, rows)[:, :, None]

    def _finished(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        return self._averaged(outputs, members)[:, 0].astype(np.float64)

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return one score per row, higher = more anomalous."""
        check_is_fitted(self, "weights_")
        return self._finished(self._raw(self._rows(X)))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return one score per row, lower = more anomalous."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores shifted so that anomalies are negative."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for anomalies and 1 for other rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)


def _threshold(scores: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Return the score below which ``share`` of the weight lies, between two rows' scores."""
    ranked, at = np.unique(scores, return_inverse=True)
    below = np.cumsum(np.bincount(at, weights=weight)) <= share * weight.sum() * (1 + 1e-9)
    n = int(below.sum())
    return float(ranked[0] if n == 0 else (ranked[n - 1] + ranked[min(n, len(ranked) - 1)]) / 2)
