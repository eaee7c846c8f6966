"""Detectors under the names and signs of PyOD, for code that was written for it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import erf
from scipy.stats import beta, binom
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import column_or_1d, get_tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from fintech_dl.estimators.detector import NeuralDetector
from fintech_dl.networks.parameters import shown


class PyODAdapter(MetaEstimatorMixin, OutlierMixin, BaseEstimator):
    """A detector with PyOD's attributes and signs: higher scores are worse, anomalies are 1.

    Use it where code expects a detector of PyOD, which need not be installed. Elsewhere use the
    detector itself, whose thresholds need no share of anomalies.

    Parameters
    ----------
    detector : estimator, optional
        One with ``anomaly_score``, or with scikit-learn's ``score_samples``; a
        :class:`~fintech_dl.NeuralDetector` if not given. It is cloned, never fitted itself.
    contamination : float, default=0.1
        Share of the training rows that count as anomalies, in (0, 0.5].

    Attributes
    ----------
    detector_ : estimator
        The fitted detector.
    decision_scores_ : ndarray of shape (n_rows,)
        Scores of the training rows, higher = more anomalous.
    threshold_ : float
        Rows that score above it are anomalies.
    labels_ : int array of shape (n_rows,)
        1 for the training rows that are anomalies, else 0.
    n_features_in_ : int
        Columns seen in ``fit``.

    Raises
    ------
    ValueError
        In ``fit``: a share out of range, or a detector without scores.

    See Also
    --------
    NeuralDetector : Thresholds by false-alarm rate or by alerts a day; reasons of an alert.

    Notes
    -----
    Zhao, Nasrullah & Li, PyOD: a Python toolbox for scalable outlier detection (2019). Unifying
    scores: Kriegel et al. (2011); confidence: Perini, Vercruyssen & Davis (2020); rejection: Perini
    & Davis (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from fintech_dl import PyODAdapter
    >>> X = np.append(np.random.default_rng(0).normal(size=(99, 2)), [[9.0, 9.0]], axis=0)
    >>> model = PyODAdapter(IsolationForest(random_state=0), contamination=0.01).fit(X)
    >>> int(model.labels_.sum()), model.predict([[0.0, 0.0], [9.0, -9.0]]).tolist()
    (1, [0, 1])
    >>> model.predict_proba([[9.0, 9.0]]).round(2)
    array([[0., 1.]])
    """

    def __init__(self, detector: Any = None, *, contamination: float = 0.1) -> None:
        self.detector = detector
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a clone of the detector; ``y`` is handed on to it."""
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination={self.contamination!r}; allowed: (0, 0.5]")
        detector = NeuralDetector() if self.detector is None else self.detector
        if not hasattr(detector, "anomaly_score") and not hasattr(detector, "score_samples"):
            raise ValueError(
                f"detector={shown(detector)}; allowed: an estimator with anomaly_score or "
                "score_samples"
            )
        self.detector_ = clone(detector).fit(X, y)
        self.n_features_in_ = self.detector_.n_features_in_
        self.decision_scores_ = self._scores(X)
        self.threshold_ = float(np.quantile(self.decision_scores_, 1 - self.contamination))
        self.labels_ = self._labels(self.decision_scores_)
        self._mu, self._sigma = self.decision_scores_.mean(), self.decision_scores_.std()
        self._classes = 2
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return one score per row, higher = more anomalous."""
        check_is_fitted(self, "decision_scores_")
        return self._scores(X)

    def predict(self, X: Any, return_confidence: bool = False) -> Any:
        """Return 1 for anomalies and 0 for other rows; if asked, also how sure each is."""
        scores = self.decision_function(X)
        labels = self._labels(scores)
        return (labels, self._confidence(scores)) if return_confidence else labels

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and return the labels of the training rows."""
        return self.fit(X, y).labels_

    def fit_predict_score(self, X: Any, y: Any, scoring: str = "roc_auc_score") -> float:
        """Fit without labels, and return how well the scores of the same rows find ``y``.

        ``scoring`` is ``"roc_auc_score"``, or ``"prc_n_score"``: the precision among as many of the
        highest scores as there are anomalies.
        """
        measures = {"roc_auc_score": roc_auc_score, "prc_n_score": _precision_at_n}
        if scoring not in measures:
            raise NotImplementedError(f"scoring={scoring!r}; allowed: {', '.join(measures)}")
        truth = column_or_1d(y)
        return float(measures[scoring](truth, self.fit(X).decision_scores_))

    def predict_proba(self, X: Any, method: str = "linear", return_confidence: bool = False) -> Any:
        """Return chances of being normal and anomalous, of shape (n_rows, 2); no calibrated ones.

        ``"linear"`` puts the scores between the lowest and the highest of the training rows,
        ``"unify"`` takes the error function of the score in their standard deviations.
        """
        scores = self.decision_function(X)
        known = self.decision_scores_
        if method == "linear":
            p = (scores - known.min()) / (np.ptp(known) or 1.0)
        elif method == "unify":
            p = erf((scores - self._mu) / ((self._sigma or 1.0) * np.sqrt(2)))
        else:
            raise ValueError(f"method={method!r}; allowed: 'linear', 'unify'")
        p = np.clip(p, 0, 1)
        both = np.column_stack([1 - p, p])
        return (both, self._confidence(scores)) if return_confidence else both

    def predict_confidence(self, X: Any) -> np.ndarray:
        """Return how often, 0 to 1, the label would be the same had other training rows come."""
        return self._confidence(self.decision_function(X))

    def predict_with_rejection(
        self,
        X: Any,
        T: float = 32,
        return_stats: bool = False,
        delta: float = 0.1,
        c_fp: float = 1,
        c_fn: float = 1,
        c_r: float = -1,
    ) -> Any:
        """Return labels with -2 where they are too unsure; a higher ``T`` rejects more rows.

        With ``return_stats`` also a list: the expected share of rejected rows, its upper bound that
        holds with a chance of ``1 - delta``, and the upper bound of the mean cost of a row, where a
        false alarm costs ``c_fp``, a missed anomaly ``c_fn`` and a rejected row ``c_r`` (below 0:
        ``contamination``).
        """
        if not 0 < delta < 1 or not T > 0:
            raise ValueError(f"T={T!r}, delta={delta!r}; allowed: T above 0, delta in (0, 1)")
        labels, confidence = self.predict(X, return_confidence=True)
        self.rejection_threshold_ = 1 - 2 * np.exp(-T)
        labels[2 * np.abs(confidence - 0.5) <= self.rejection_threshold_] = -2
        if not return_stats:
            return labels
        return labels, self._rejection_stats(T, delta, c_fp, c_fn, c_r)

    def _scores(self, X: Any) -> np.ndarray:
        if hasattr(self.detector_, "anomaly_score"):
            return np.asarray(self.detector_.anomaly_score(X), dtype=np.float64)
        return -np.asarray(self.detector_.score_samples(X), dtype=np.float64)

    def _labels(self, scores: np.ndarray) -> np.ndarray:
        return (scores > self.threshold_).astype(int)

    def _confidence(self, scores: np.ndarray) -> np.ndarray:
        n = len(self.decision_scores_)
        below = np.searchsorted(np.sort(self.decision_scores_), scores, side="right")
        anomalous = binom.sf(n - int(n * self.contamination), n, (1 + below) / (2 + n))
        return np.where(self._labels(scores) == 1, anomalous, 1 - anomalous)

    def _rejection_stats(
        self, T: float, delta: float, c_fp: float, c_fn: float, c_r: float
    ) -> list[float]:
        n, share = len(self.decision_scores_), self.contamination
        cost = share if c_r < 0 else c_r
        flagged = max(int(n * share), 1)
        low, high = beta.ppf([np.exp(-T), -np.expm1(-T)], flagged, n - flagged + 1)
        right = (n + 1 - share * (n + 2)) / n + T * (n + 2) / np.sqrt(2 * n**3 * T)
        inner = 2 * n * (4 * share - 3 * share**2 - 2 * n * (1 - share) ** 2 - 3)
        root = np.sqrt(max(0.5 * float(n) ** 5 * (inner + T * (n + 2) ** 2 - 8), 0.0))
        left = (2 + n * (1 - share) * (n + 1)) / n**2 - root / float(n) ** 4
        most = min(1.0, right) - max(0.0, left) + 2 * np.sqrt(np.log(2 / delta) / (2 * n))
        loss = min(share, low) * c_fp + min(1 - high, share) * c_fn + (high - low) * cost
        return [float(high - low), float(min(most, 1.0)), float(loss)]

    def _predict_rank(self, X: Any, normalized: bool = False) -> np.ndarray:
        """Return how many training rows score lower, or what share of the most that is."""
        scores = self.decision_function(X)
        ranks = np.searchsorted(np.sort(self.decision_scores_), scores)
        return ranks / max(ranks.max(), 1) if normalized else ranks

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.detector is None or hasattr(self.detector, "__sklearn_tags__"):
            inside = get_tags(NeuralDetector() if self.detector is None else self.detector)
            tags.input_tags.allow_nan = inside.input_tags.allow_nan
        return tags


def _precision_at_n(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of anomalies among as many of the highest scores as there are."""
    check_consistent_length(truth, scores)
    n = int(truth.sum())
    if n < 1:
        raise ValueError("y holds no anomaly (1); the precision among none of the rows is unknown")
    return float(truth[np.argsort(-scores, kind="stable")[:n]].mean())
