"""Scores to probabilities that come true: beta calibration, and shifts to another share of bads.

Whether they do come true is told by ``reliability``, ``curves`` and ``grades``.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, log_expit
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier
from sklearn.model_selection import KFold
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.alerts import probabilities
from fintech_dl.evaluation.metrics import TINY, Floats

METHODS = ("temperature", "sigmoid", "isotonic", "beta")
MOST = 50.0  # log odds; beyond it a probability is 0 or 1 for all that money can tell


class BetaCalibration(RegressorMixin, BaseEstimator):  # as scikit-learn's own calibrators
    """Map scores to probabilities by log odds = a ln(p) - b ln(1 - p) + c, with a, b >= 0.

    Use it where a sigmoid bends the wrong way: it can pull both ends in or out, each by its own
    strength, and leaves probabilities alone that are right already (a = b = 1, c = 0). The order of
    the rows stays. With few positives (under about 50) ``"temperature"`` or ``"sigmoid"`` is safer.

    Parameters
    ----------
    logits : bool, default=False
        Whether the scores are log odds, which are exact near 0 and 1, rather than probabilities.

    Attributes
    ----------
    a_, b_, c_ : float
        ``a_`` bends low probabilities, ``b_`` high ones, ``c_`` shifts the log odds.

    Notes
    -----
    Kull, Silva Filho and Flach, Beta calibration (2017). All three by maximum likelihood under the
    bounds, so that the mean probability equals the share of positives of the rows it was fitted on.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.calibration import BetaCalibration
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0.01, 0.5, 5000)
    >>> y = rng.random(5000) < p / 2  # half as many as foretold
    >>> BetaCalibration().fit(p, y).predict([0.2, 0.4]).round(1)
    array([0.1, 0.2])
    """

    def __init__(self, logits: bool = False) -> None:
        self.logits = logits

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit on scores of shape (n_rows,) and labels, 1 for a positive, 0 for a negative.

        Raises
        ------
        DataError
            Fewer than two rows of a class.
        UsageError
            Labels other than 0 and 1, or probabilities outside 0 to 1.
        """
        parts = self._parts(X)
        truth = column_or_1d(y).astype(float)
        check_consistent_length(parts, truth)
        if not np.isin(truth, (0, 1)).all():
            raise UsageError(f"calibration: labels hold {np.unique(truth)[:5]}, allowed: 0 and 1")
        weight = _check_sample_weight(sample_weight, parts, dtype=np.float64)
        _both_classes(truth == 1, weight)
        used = weight > 0
        parts, truth, weight = parts[used], truth[used], weight[used] / weight.sum()
        middle, scale = weight @ parts, parts.std(axis=0)
        scale[scale < 1e-12] = 1.0
        z = np.column_stack([(parts - middle) / scale, np.ones(len(parts))])

        def loss(theta: Floats) -> tuple[float, Floats]:
            x = z @ theta
            value = -(weight * log_expit(np.where(truth == 1, x, -x))).sum()
            return float(value), z.T @ (weight * (expit(x) - truth))

        rate = weight @ truth
        start = np.array([*scale, np.log(rate / (1 - rate))])
        bounds = [(0, None), (0, None), (None, None)]
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 0, "gtol": 1e-10, "maxiter": 1000},
        )
        a, b = found.x[:2] / scale
        self.a_, self.b_ = float(a), float(b)
        self.c_ = float(found.x[2] - middle @ [a, b])
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Return a probability for each score, of shape (n_rows,)."""
        check_is_fitted(self, "c_")
        return np.asarray(expit(self._parts(X) @ [self.a_, self.b_] + self.c_))

    def _parts(self, X: ArrayLike) -> Floats:
        """Return ln(p) and -ln(1 - p) of each score, none of them infinite."""
        x = column_or_1d(np.asarray(X, dtype=np.float64))
        if not np.isfinite(x).all():
            raise UsageError(
                f"calibration: {(~np.isfinite(x)).sum()} of {len(x)} scores are no finite numbers"
            )
        if self.logits:
            return np.column_stack([log_expit(x), -log_expit(-x)])
        p = np.clip(probabilities(x), TINY, 1 - TINY)
        return np.column_stack([np.log(p), -np.log1p(-p)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, False
        return tags


class CalibratedClassifier(CalibratedClassifierCV):
    """Calibrate a fitted classifier by one of four methods, then shift it to a central tendency.

    What a pipeline card's ``[calibration]`` makes. Beside scikit-learn's class it knows
    ``"beta"`` and ``prior``, and refuses rows of one class with a word on what to do.

    Parameters
    ----------
    estimator : FrozenEstimator
        Around a fitted classifier.
    method : {"temperature", "sigmoid", "isotonic", "beta"}, default="beta"
        Only the first three know more than two classes.
    prior : float, optional
        Central tendency, above 0 and below 1: a shift of all log odds makes the mean probability of
        the calibration rows equal to it. Two classes only.

    Attributes
    ----------
    shift_ : float
        What is added to all log odds; 0 without ``prior``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl.evaluation.calibration import CalibratedClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 2))
    >>> y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
    >>> model = LogisticRegression().fit(X[:200], y[:200])
    >>> found = CalibratedClassifier(FrozenEstimator(model), prior=0.1).fit(X[200:], y[200:])
    >>> float(found.predict_proba(X[200:])[:, 1].mean().round(6))
    0.1
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": "no_validation",
        "method": [StrOptions(set(METHODS))],
        "prior": "no_validation",
    }
    cv, n_jobs, ensemble = KFold(2), None, "auto"  # what is frozen scores all rows alike

    def __init__(
        self, estimator: Any = None, *, method: str = "beta", prior: float | None = None
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.prior = prior

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit on rows that the classifier has not learned from.

        Raises
        ------
        DataError
            Fewer than two rows of a class, or a ``prior`` that no shift reaches.
        UsageError
            More than two classes with ``"beta"`` or ``prior``.
        """
        labels = column_or_1d(y)
        classes = np.unique(labels)
        known = getattr(self.estimator, "classes_", classes)
        if len(known) == 2:
            _both_classes(labels == known[1], sample_weight)
        elif self.method == "beta" or self.prior is not None:
            raise UsageError(
                f"calibration: {len(known)} classes came; beta and prior know two, the methods "
                "temperature, sigmoid and isotonic know more"
            )
        self.shift_ = 0.0
        if self.method == "beta":
            self._fit_beta(X, labels, classes, sample_weight)
        else:
            with warnings.catch_warnings():  # scikit-learn warns that weights do not reach `fit`,
                warnings.filterwarnings("ignore", "Since FrozenEstimator")  # which does nothing
                fitted = super().fit(X, y, sample_weight=sample_weight)
            if self.prior is None:
                return fitted
        if self.prior is not None:
            p = super().predict_proba(X)[:, 1]
            self.shift_ = shift_to_mean(p, self.prior, weight=sample_weight)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities of shape (n_rows, n_classes), in the order of ``classes_``."""
        found = super().predict_proba(X)
        if self.shift_ == 0:
            return found
        p = shifted(found[:, 1], self.shift_)
        return np.column_stack([1 - p, p])

    def _fit_beta(self, X: Any, y: NDArray[Any], classes: NDArray[Any], weight: Any) -> None:
        logits = hasattr(self.estimator, "decision_function")
        scores = (
            self.estimator.decision_function(X) if logits else self.estimator.predict_proba(X)[:, 1]
        )
        calibrator = BetaCalibration(logits=logits).fit(scores, y == classes[1], weight)
        self.classes_ = classes
        # "sigmoid" stands for any calibrator of the second class's score
        fitted = _CalibratedClassifier(
            self.estimator, [calibrator], classes=classes, method="sigmoid"
        )
        self.calibrated_classifiers_ = [fitted]
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator, name):
                setattr(self, name, getattr(self.estimator, name))


def prior_correction(p: ArrayLike, from_prior: float, to_prior: float) -> Floats:
    """Return probabilities of a world with another share of positives than that of training.

    Use it after training on a sample that was made richer in positives (under-sampling of
    negatives, ``class_weight``), or to carry a model to a portfolio with another rate of default.
    It adds one number to all log odds, so the order of the rows stays. Where only the share of
    positives differs, and not how positives and negatives look, it is exact, as it is for a
    cross-entropy with class weights.

    Parameters
    ----------
    p : array of shape (n_rows,)
        Probabilities.
    from_prior : float
        Share of positives, weights counted, that the model was trained on. With a weight of
        ``w`` for positives and 1 for negatives and a true share of ``r`` that is
        ``w * r / (w * r + 1 - r)``; with ``class_weight="balanced"`` it is 0.5.
    to_prior : float
        Share of positives where the probabilities are used.

    Returns
    -------
    array of shape (n_rows,)

    Raises
    ------
    UsageError
        Scores outside 0 to 1, or a share that is not above 0 and below 1.

    Examples
    --------
    >>> from fintech_dl.evaluation.calibration import prior_correction
    >>> prior_correction([0.5, 0.9], from_prior=0.5, to_prior=0.02).round(4)
    array([0.02  , 0.1552])
    """
    odds = [_share(value, name) for value, name in ((from_prior, "from"), (to_prior, "to"))]
    return shifted(probabilities(p), float(np.log(odds[1] / odds[0])))


def shift_to_mean(p: ArrayLike, prior: float, *, weight: ArrayLike | None = None) -> float:
    """Return the number to add to all log odds so that the mean probability is ``prior``.

    Calibration-in-the-large to a central tendency, such as the long-run rate of default, which may
    differ from that of the years at hand. Unlike ``prior_correction`` it makes the mean exact, and
    says nothing about why the rate differs.

    Parameters
    ----------
    p : array of shape (n_rows,)
        Probabilities.
    prior : float
        The central tendency, above 0 and below 1.
    weight : array of shape (n_rows,), optional

    Returns
    -------
    float
        For ``shifted``.

    Raises
    ------
    UsageError
        Scores outside 0 to 1, or a prior that is not above 0 and below 1.
    DataError
        So many probabilities are exactly 0 or 1 that no shift reaches the prior.

    Examples
    --------
    >>> from fintech_dl.evaluation.calibration import shift_to_mean, shifted
    >>> p = [0.01, 0.02, 0.30]
    >>> float(shifted(p, shift_to_mean(p, 0.05)).mean().round(9))
    0.05
    """
    _share(prior, "calibration: prior")
    values = probabilities(p)
    w = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=float)

    def gap(shift: float) -> float:
        return float(np.average(shifted(values, shift), weights=w)) - prior

    if not gap(-MOST) < 0 < gap(MOST):
        raise DataError(
            f"calibration: no shift makes the mean probability {prior:g}: "
            f"{np.average(values == 0, weights=w):.1%} of the rows have a probability of 0 and "
            f"{np.average(values == 1, weights=w):.1%} one of 1, which no shift moves; take "
            'method = "beta" or "temperature", or more rows'
        )
    return float(brentq(gap, -MOST, MOST, xtol=1e-14))


def shifted(p: ArrayLike, shift: float) -> Floats:
    """Return probabilities whose log odds are higher by ``shift``; 0 and 1 stay.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.calibration import shifted
    >>> shifted([0.0, 0.5, 1.0], np.log(4)).tolist()
    [0.0, 0.8, 1.0]
    """
    values = np.asarray(p, dtype=np.float64)
    raised = values * np.exp(shift)
    return np.asarray(raised / (1 - values + raised))


def _both_classes(positive: NDArray[np.bool_], weight: ArrayLike | None) -> None:
    used = positive if weight is None else positive[np.asarray(weight) > 0]
    if min(used.sum(), (~used).sum()) < 2:
        raise DataError(
            f"calibration: {used.sum()} positives and {(~used).sum()} negatives among the "
            f"{len(used)} rows to calibrate on; two of each are needed at least. Take more of the "
            "latest rows (`fraction` of [calibration]), train on a longer time, or leave "
            "[calibration] out"
        )


def _share(value: float, name: str) -> float:
    """Return the odds of a share, or raise UsageError if it is none."""
    if not 0 < value < 1:
        raise UsageError(f"{name}: got {value:g}, allowed: above 0, below 1")
    return value / (1 - value)
