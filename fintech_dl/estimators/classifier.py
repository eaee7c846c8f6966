"""The neural classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from fintech_dl.estimators.supervised import SupervisedEstimator
from fintech_dl.estimators.trial import head
from fintech_dl.networks.base import Network, hyperparameters


@hyperparameters
class NeuralClassifier(ClassifierMixin, SupervisedEstimator):
    """Classifier around any network: two or more classes, probabilities, weights.

    A DataFrame goes straight in: missing values, text categories, categories unseen in training
    and constant columns included. Training starts at the log odds of the classes, so that rare
    classes (fraud, default) need no resampling.

    Parameters
    ----------
    network : Network, optional
        Turns columns into features; :class:`~fintech_dl.MLP` if not given.
    loss : {"cross_entropy", "focal"}, optional
        ``"focal"`` weights easy rows down by ``(1 - p) ** focal_gamma``.
    monitor : {"loss", "average_precision", "roc_auc", "accuracy"}, optional
        What early stopping watches on the validation rows, computed exactly.
    class_weight : dict or "balanced", optional
        Weight of each class, multiplied with ``sample_weight``. Shifts the probabilities.
    focal_gamma : float, default=2.0
        Strength of the focal loss.
    average : {"probability", "logit", "rank"}, default="probability"
        What is averaged over the members: probabilities, log odds, or each row's rank among the
        training rows, which a member that is too sure of itself cannot dominate.
    cv : int or scikit-learn splitter, optional
        Each member learns from the training rows of one fold: one member per fold, or with
        ``n_members`` a multiple of that. All take the same number of steps, whatever their rows.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    oof_ : ndarray of shape (n_rows, n_classes)
        With ``cv``: probabilities of each training row by the members that have not learned from
        it; NaN where all have.

    See Also
    --------
    NeuralEstimator : All other parameters and fitted attributes.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import MLP, NeuralClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = NeuralClassifier(network=MLP(units=16), epochs=20, learning_rate=0.03,
    ...                          random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    class_weight: dict[Any, float] | str | None = None
    focal_gamma: float = 2.0
    average: str = "probability"

    averages: ClassVar[tuple[str, ...]] = ("probability", "logit", "rank")
    losses: ClassVar[tuple[str, ...]] = ("cross_entropy", "focal")
    monitors: ClassVar[tuple[str, ...]] = ("loss", "average_precision", "roc_auc", "accuracy")

    def partial_fit(
        self, X: Any, y: Any, classes: Sequence[Any] | None = None, sample_weight: Any = None
    ) -> Self:
        """Train one epoch on more rows; ``classes`` lists all classes at the first call.

        Columns, categories and scales stay those of the first call. After loading from a file the
        optimizer starts afresh.
        """
        labels = self._checked(X, y)
        return self._once(X, labels, sample_weight, classes)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return logits: shape (n_rows,) for two classes, else (n_rows, n_classes)."""
        check_is_fitted(self, "weights_")
        logits = self._averaged(self._raw(self._rows(X)))
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities of shape (n_rows, n_classes), in the order of ``classes_``."""
        check_is_fitted(self, "weights_")
        return self._finished(self._raw(self._rows(X)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row."""
        logits = self.decision_function(X)
        at = (logits > 0).astype(int) if logits.ndim == 1 else logits.argmax(axis=1)
        return np.asarray(self.classes_[at])

    def single_members(self) -> list[Self]:
        """Return each member as a fitted classifier of its own, to compare seeds with."""
        check_is_fitted(self, "weights_")
        found = []
        for member, weights in zip(self.members_, self._member_weights(), strict=True):
            one = copy(self).set_params(n_members=1, cv=None)
            one.members_, one.weights_ = [member], weights
            found.append(one)
        return found

    def _finished(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        logits = self._averaged(outputs, members).astype(np.float64)
        if len(self.classes_) == 2:
            p = expit(logits[:, 0])
            return np.column_stack([1 - p, p])
        return np.asarray(softmax(logits, axis=1))

    def _checked(self, X: Any, y: Any) -> np.ndarray:
        labels = column_or_1d(self._given(y), warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        check_consistent_length(X, labels)
        return np.asarray(labels)

    def _shape(self) -> int:
        return len(self.classes_)

    def _loss_key(self) -> list[Any]:
        return [*super()._loss_key(), self.focal_gamma]

    def _outputs(self, network: Network, features: Any, inputs: Any) -> Any:
        from fintech_dl.estimators.outputs import Average, Offset

        n_outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        logits = Offset(name="log_odds")(head(network, features, n_outputs))
        return Average(logits=True)(logits) if len(logits.shape) == 3 else logits

    def _learn_target(self, y: Any, weights: list[np.ndarray], classes: Any) -> None:
        self.classes_ = np.unique(y if classes is None else classes)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class only ({self.classes_[0]!r}); a classifier needs rows of at "
                "least 2 classes. Widen the training period, or check the label column"
            )

    def _target(self, y: Any, member: int = 0) -> np.ndarray:
        at = np.searchsorted(self.classes_, y)
        found = self.classes_[np.minimum(at, len(self.classes_) - 1)]
        if (found != y).any():
            new = np.unique(np.asarray(y)[found != y]).tolist()
            raise ValueError(f"y holds classes {new} that the first fit did not: {self.classes_}")
        return at.astype(np.int32)[:, None]

    def _weighted(self, y: Any, sample_weight: np.ndarray) -> np.ndarray:
        if self.class_weight is None:
            return sample_weight
        return np.asarray(sample_weight * compute_sample_weight(self.class_weight, y))

    def _adapt(
        self, model: Any, rows: np.ndarray, target: np.ndarray | None, weight: np.ndarray
    ) -> None:
        assert target is not None
        share = np.bincount(target[:, 0], weights=weight, minlength=len(self.classes_)) + 1e-3
        log_share = np.log(share / share.sum())
        log_odds = log_share[1:] - log_share[0] if len(share) == 2 else log_share
        model.get_layer("log_odds").offset.assign(log_odds.astype(np.float32))

    def _row_loss(self) -> Callable[[Any, Any], Any]:
        if self.loss != "focal":
            return super()._row_loss()
        from fintech_dl.estimators.outputs import focal

        if not self.focal_gamma >= 0:
            raise ValueError(f"focal_gamma={self.focal_gamma!r}; allowed: 0 or more")
        return partial(focal, gamma=float(self.focal_gamma))

    def _strata(self, y: Any) -> np.ndarray:
        return np.asarray(y)

    def _monitored(
        self, X: np.ndarray, y: Any, weight: np.ndarray, loss: float, member: int
    ) -> float:
        if self.monitor in (None, "loss"):
            return -loss
        logits = self._infer(self._view("outputs"), X)
        binary = len(self.classes_) == 2
        if self.monitor == "accuracy":
            at = (logits[:, 0] > 0).astype(int) if binary else logits.argmax(axis=1)
            return float(accuracy_score(y, self.classes_[at], sample_weight=weight))
        target = self._target(y)[:, 0]
        scores = logits[:, 0] if binary else softmax(logits.astype(np.float64), axis=1)
        if self.monitor == "roc_auc":
            return float(roc_auc_score(target, scores, sample_weight=weight, multi_class="ovr"))
        hits = target if binary else np.eye(len(self.classes_))[target]
        return float(average_precision_score(hits, scores, sample_weight=weight))
