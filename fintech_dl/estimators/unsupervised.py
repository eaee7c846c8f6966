"""What detector and encoder share: they learn by rebuilding rows, without a target."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from fintech_dl.estimators.base import NeuralEstimator
from fintech_dl.networks.autoencoder import Autoencoder
from fintech_dl.networks.base import Network, hyperparameters


@hyperparameters
class UnsupervisedEstimator(NeuralEstimator):
    """Base of the estimators that learn from rows alone."""

    embed: ClassVar[bool] = False

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on rows ``X``; ``y`` is ignored.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
        y : ignored
        sample_weight : array-like of shape (n_rows,), optional
            Weight of each row, 0 or more; rows of weight 0 are left out.
        X_val, sample_weight_val : optional
            Rows for early stopping, instead of ``validation_fraction``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A parameter out of range, infinity in ``X``.
        """
        return self._fit(
            X, None, sample_weight, X_val, None, sample_weight_val, resume=self.warm_start
        )

    def _default_network(self) -> Network:
        return Autoencoder()
