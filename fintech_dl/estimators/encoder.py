"""The neural encoder."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from fintech_dl.estimators.columns import unmasked
from fintech_dl.estimators.unsupervised import UnsupervisedEstimator
from fintech_dl.networks.base import hyperparameters


@hyperparameters
class NeuralEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, UnsupervisedEstimator):
    """Encoder around any network: rows to short codes, learned by rebuilding the rows.

    Use it before clustering, search for similar rows, or a simple model. Compare it with PCA of
    the same size, which is often as good on few columns.

    See Also
    --------
    NeuralEstimator : The parameters and fitted attributes.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import Autoencoder, NeuralEncoder
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> encoder = NeuralEncoder(network=Autoencoder(units=16, code=2), epochs=5, random_state=0)
    >>> encoder.fit_transform(X).shape
    (200, 2)
    """

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train one epoch on more rows, with the columns and scales of the first call."""
        return self._fit(X, None, sample_weight, resume=True, epochs=1)

    def transform(self, X: Any) -> np.ndarray:
        """Return codes of shape (n_rows, n_code), float32; of several members side by side."""
        check_is_fitted(self, "weights_")
        return np.hstack(list(self._infer_members(self._view("features"), self._rows(X))))

    def inverse_transform(self, X: Any) -> Any:
        """Return rows rebuilt from codes: an array, or a DataFrame if there are categories.

        Of several members, the mean of the rows that each rebuilds from its own codes.
        """
        codes = check_array(unmasked(X), dtype=np.float32)
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {codes.shape[1]} columns; expected codes of {self._n_features_out} columns"
            )
        view, model = self._view("decoder", _decode), self._live().model
        encoding, rebuilt, raws = model.get_layer("encoding"), [], []
        weights = self._member_weights()
        for own, code in zip(weights, np.hsplit(codes, len(weights)), strict=True):
            model.set_weights(own)
            rebuilt.append(self._infer(view, code))
            raws.append(encoding.decode(rebuilt[-1], len(self.columns_)))
        raw = np.mean(raws, axis=0) if len(raws) > 1 else raws[0]
        likeliest = encoding.decode(np.mean(rebuilt, axis=0), len(self.columns_))
        if all(column["kind"] == "number" for column in self.columns_):
            return raw
        frame = pd.DataFrame(raw, columns=[column["name"] for column in self.columns_])
        for i, column in enumerate(self.columns_):
            if column["kind"] == "category":
                values = np.array([None, *column["categories"]], dtype=object)
                frame[column["name"]] = values[likeliest[:, i].astype(int)]
        return frame

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self._live().model.output["features"].shape[-1]) * len(self.members_)


def _decode(model: Any, codes: Any) -> Any:
    return model.get_layer("decoder")(codes)
