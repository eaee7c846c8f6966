"""The live Keras model of an estimator: built, leased, rebuilt from arrays, run in blocks."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from fintech_dl.estimators.columns import Columns, encode_columns, fit_columns, unmasked
from fintech_dl.estimators.live import Live, lease, structure
from fintech_dl.estimators.rows import in_blocks
from fintech_dl.estimators.settings import CHECKED
from fintech_dl.estimators.trial import called, same_shape, tried
from fintech_dl.networks.backend import keras
from fintech_dl.networks.base import Network
from fintech_dl.networks.parameters import check_parameters, shown


class ModelHolder(BaseEstimator):
    """Base that keeps a Keras model for an estimator; the fitted state is arrays, never the model.

    Expects the fields ``network``, ``categorical``, ``special_codes`` and ``min_frequency`` and the
    fitted attributes ``columns_``, ``weights_`` and ``members_``.
    """

    network: Network | None
    categorical: Any
    special_codes: Any
    min_frequency: Any
    columns_: Columns
    weights_: list[np.ndarray]
    members_: list[dict[str, Any]]

    embed: ClassVar[bool] = True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _rows(self, X: Any, reset: bool = False) -> np.ndarray:
        """Check ``X`` and return it as one float32 matrix; learn the columns if ``reset``."""
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise ValueError(f"X has 0 sample(s) (shape={X.shape}); at least 1 is required.")
        else:
            X = unmasked(X)
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False)
        if reset:
            self.columns_ = fit_columns(X, self.categorical, self.special_codes, self.min_frequency)
        return encode_columns(X, self.columns_)

    def _default_network(self) -> Network:
        """Return the network used when none is given."""
        raise NotImplementedError

    def _outputs(self, network: Network, features: Any, inputs: Any) -> Any:
        """Return the output tensor of the model: by default the inputs rebuilt."""
        k = keras()
        code = k.Input(features.shape[1:])
        rebuilt = called(network, "decode", code, inputs)
        same_shape(rebuilt, tuple(inputs.shape[1:]), network, "decode")
        return k.Model(code, rebuilt, name="decoder")(features)

    def _added(self, outputs: Any, rows: Any) -> Any:
        """Return the outputs plus what the estimator adds straight from raw rows: nothing."""
        return outputs

    def _trimming(self, network: Network) -> Any:
        """Return the layer that weighs the rows of a batch in training: none."""
        return None

    def _shape(self) -> int:
        """Return the number of outputs, if the kind of estimator has targets."""
        return 0

    def _structure(self) -> list[Any]:
        """Return all that the model depends on beside its network and columns."""
        return [self._shape()]

    def _network(self) -> Network:
        network = self.network if self.network is not None else self._default_network()
        if not isinstance(network, Network):
            raise ValueError(
                f"network={shown(network)}; allowed: an instance of a fintech_dl network, "
                "for example MLP(units=64)"
            )
        network.check()
        check_parameters(self, but=CHECKED)
        return network

    def _build(self, network: Network, seed: int = 0) -> Any:
        """Return a fresh Keras model: raw columns to encoded inputs, features and outputs."""
        k = keras()
        with _seeded(seed):
            x = k.Input((len(self.columns_),), dtype="float32")
            encoding = network.encoding(self.columns_, self.embed)
            encoding.name = "encoding"
            inputs = encoding(x)
            features = called(network, "__call__", inputs)
            same_shape(features, None, network, "__call__")
            outputs = self._added(self._outputs(network, features, inputs), x)
            parts = {"inputs": inputs, "features": features, "outputs": outputs}
            flat = {n: k.layers.Flatten()(t) if len(t.shape) > 2 else t for n, t in parts.items()}
            try:
                return k.Model(x, flat)
            except ValueError as error:
                raise ValueError(
                    f"{type(network).__name__}.__call__ returned features that are not made from "
                    "its input"
                ) from error

    def _leased(self, network: Network, seed: int = 0, used: Hashable = None) -> Live:
        """Lease a live model of this estimator's structure, freshly initialised from the seed."""
        columns = [{**column, "categories": len(column["categories"])} for column in self.columns_]
        try:
            key = (type(self), structure([network, columns, *self._structure()]))
        except TypeError:
            key = None
        self.__dict__["_lease"] = lease(key, lambda: self._build(network, seed), used)
        live = self._live()
        tried(self, network, live.model)
        return live

    def _live(self) -> Live:
        """Return the live model, rebuilt from the fitted arrays when it is not there."""
        if "_lease" not in self.__dict__:
            check_is_fitted(self, "weights_")
            self._leased(self._network()).model.set_weights(self._member_weights()[0])
        live: Live = self.__dict__["_lease"].live
        return live

    def _member_weights(self) -> list[list[np.ndarray]]:
        """Return the weights of each member."""
        if len(self.members_) == 1:
            return [self.weights_]
        return [[weights[j] for weights in self.weights_] for j in range(len(self.members_))]

    def _view(self, name: str, function: Callable[..., Any] | None = None) -> Any:
        """Return the compiled function ``name`` of rows: by default a part of the model."""
        views = self._live().views
        if name not in views:
            from fintech_dl.estimators.training import RowFunction

            part = function or (lambda model, x: model(x)[name])
            views[name] = RowFunction(self._live().model, part)
        return views[name]

    def _infer(self, view: Any, *arrays: np.ndarray) -> np.ndarray:
        """Run rows through a compiled function, block by block."""
        return in_blocks(view.infer, arrays, self._network().block_rows)

    def _infer_members(self, view: Any, *arrays: np.ndarray) -> np.ndarray:
        """Run rows through a compiled function with the weights of each member in turn."""
        model, found = self._live().model, []
        for weights in self._member_weights():
            if len(self.members_) > 1:
                model.set_weights(weights)
            found.append(self._infer(view, *arrays))
        return np.stack(found)

    def input_gradients(
        self, X: Any, reference: Any, steps: int = 4096
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what each column adds to a row's score, compared with a reference row.

        Integrated gradients of the log odds of ``classes_[1]``, of the target in its unit, of the
        logarithm of a variance, or of the anomaly score. ``fintech_dl.evaluation.reasons`` makes
        reasons of them.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
        reference : DataFrame or array-like of shape (1, n_columns)
            The row to compare with.
        steps : int, default=4096
            Points between reference and row at which to give up.

        Returns
        -------
        added : float64 array of shape (n_rows, n_columns)
            A row's sum is its score less that of the reference, within 1e-4 (of a regressor in
            standard deviations of the target, or of the logarithm as it is; of a detector's
            difference, where that is above 1).
        points : int array of shape (n_rows,)
            How many points each row took.

        Raises
        ------
        ValueError
            More classes than two, several targets, codes instead of a score, an average by rank,
            a reference of several rows, or too few steps.

        Notes
        -----
        Sundararajan, Taly and Yan, Axiomatic attribution for deep networks (2017), between encoded
        inputs: a category, a missing value and a special code count by what the network sees.
        """
        from fintech_dl.estimators.gradients import integrated_gradients

        check_is_fitted(self, "weights_")
        rows, base = self._rows(X), self._rows(reference)
        if len(base) != 1:
            raise ValueError(f"reference has {len(base)} rows; allowed: 1, to compare all X with")
        return integrated_gradients(self, rows, base, steps)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_lease", None)
        return state


@contextmanager
def _seeded(seed: int) -> Any:
    """Seed what Keras draws its layer seeds from, and put Python's generator back after."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
