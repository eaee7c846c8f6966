"""What classifier and regressor share: they learn from rows with a target."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from fintech_dl.estimators.base import NeuralEstimator
from fintech_dl.estimators.folds import Fold, member_folds
from fintech_dl.estimators.rows import refuse_masked
from fintech_dl.networks.base import Network, hyperparameters
from fintech_dl.networks.dense import MLP


@hyperparameters
class SupervisedEstimator(NeuralEstimator):
    """Base of the estimators that learn a target."""

    cv: Any = None

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on rows ``X`` with targets ``y``.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,)
            Labels or numbers; for several numbers at once (n_rows, n_targets).
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each row, 0 or more; rows of weight 0 are left out.
        X_val, y_val, sample_weight_val : optional
            Rows for early stopping, instead of ``validation_fraction``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A parameter out of range, targets that are missing or of one class only, infinity in
            ``X``.
        """
        y = self._checked(X, y)
        y_val = None if y_val is None else self._checked(X_val, y_val)
        return self._fit(
            X, y, sample_weight, X_val, y_val, sample_weight_val, resume=self.warm_start
        )

    def predict_members(self, X: Any) -> np.ndarray:
        """Return what each member alone predicts, to see what its seed makes of it.

        Of shape (n_members, n_rows), or (n_members, n_rows, n_targets); of a classifier the
        probabilities, of shape (n_members, n_rows, n_classes).
        """
        check_is_fitted(self, "weights_")
        outputs = self._raw(self._rows(X))
        return np.stack([self._finished(outputs[[i]], [i]) for i in range(len(outputs))])

    def _folds(self, X: Any, y: Any) -> list[Fold]:
        return member_folds(self.cv, self.n_members, X, y, classifier=is_classifier(self))

    def _once(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Train one epoch on more rows."""
        if self.cv is not None:
            raise ValueError("partial_fit takes no cv: folds are of all rows at once; use fit")
        return self._fit(X, y, sample_weight, resume=True, epochs=1, classes=classes)

    def _checked(self, X: Any, y: Any) -> np.ndarray:
        """Return the targets as an array, one entry per row of ``X``."""
        raise NotImplementedError

    def _given(self, y: Any) -> Any:
        """Return ``y``, which must be there, for every row."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        refuse_masked(y, "y")
        return y

    def _default_network(self) -> Network:
        return MLP()
