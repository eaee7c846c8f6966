"""Classic detectors of windows, which learn little or nothing: the rivals of a network."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted, validate_data

from fintech_dl.networks.base import hyperparameters
from fintech_dl.networks.parameters import Width, check_parameters

TINY = 1e-12
EXTRA_STEPS = 5  # guessed behind the last one, so that it is no end: an end has a jump of its own
LOCAL_STEPS = 21
EXTREME = 1e6  # standard deviations


class WindowScores(OutlierMixin, BaseEstimator):
    """Base of detectors that score each window by plain arithmetic; ``_scores`` is the method."""

    reads_frames: ClassVar[bool] = True

    def _checked(self, X: Any, reset: bool) -> np.ndarray:
        return np.asarray(validate_data(self, X, reset=reset, dtype=np.float64))

    def _scores(self, X: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return one score per window, higher = more anomalous."""
        check_is_fitted(self, "n_features_in_")
        return self._scores(self._checked(X, reset=False))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return one score per window, lower = more anomalous."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores shifted so that anomalies are negative."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for anomalies and 1 for other windows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _fitted(self, X: np.ndarray, contamination: float) -> Self:
        if not 0 < contamination <= 0.5:
            raise ValueError(f"contamination={contamination!r}; allowed: (0, 0.5]")
        self.offset_ = float(np.quantile(-self._scores(X), contamination))
        return self


@hyperparameters
class SubPCA(WindowScores):
    """Principal components of windows: a simple rival that most networks do not beat on shapes.

    Each step of the window is standardised; a window's score is the sum of its distances to all
    components, each divided by the share of the variance that the component explains, so that
    movement in directions which hardly ever move weighs most.

    Parameters
    ----------
    contamination : float, default=0.1
        Share of the training windows that ``predict`` flags, in (0, 0.5].

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_columns)
    shares_ : ndarray of shape (n_components,)
        Explained share of the variance.
    mean_, scale_ : ndarray of shape (n_columns,)
    offset_ : float

    Notes
    -----
    Aggarwal, Outlier Analysis (2017), ch. 3; the best method of TSB-AD's univariate series (2024),
    where it is fitted on the series that it scores, and a window's score stands at its middle.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import SubPCA
    >>> angle = np.random.default_rng(0).uniform(0, 6, size=(200, 1))
    >>> X = np.sin(angle + np.arange(12))
    >>> odd = X[:1].copy()
    >>> odd[0, 6] += 3
    >>> model = SubPCA().fit(X)
    >>> bool(model.anomaly_score(odd)[0] > model.anomaly_score(X).max())
    True
    """

    contamination: float = 0.1

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the components of windows ``X`` of shape (n_windows, n_columns); no ``y``."""
        rows = self._checked(X, reset=True)
        self.mean_, scale = rows.mean(axis=0), rows.std(axis=0)
        self.scale_ = np.where(scale > TINY * np.abs(self.mean_), scale, 1.0)
        z = self._standardised(rows)
        if len(z) > 1 and z.any():
            found = PCA(svd_solver="full").fit(z)
            told = found.explained_variance_ratio_ > TINY
            self.components_ = found.components_[told]
            self.shares_ = found.explained_variance_ratio_[told]
        else:  # no direction moves more than another
            self.components_, self.shares_ = np.eye(1, z.shape[1]), np.ones(1)
        return self._fitted(rows, self.contamination)

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        return np.clip((X - self.mean_) / self.scale_, -EXTREME, EXTREME)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        distance = cdist(self._standardised(X), self.components_)  # row by row: the same bits
        return np.asarray((distance / self.shares_).sum(axis=1))


@hyperparameters
class SpectralResidual(WindowScores):
    """Spectral residual: what stands out of a window's spectrum. It learns nothing.

    Use it for single odd values in series that repeat themselves, and for prices, where it is hard
    to beat. On windows the last step is scored, by what came before it alone; ``saliency`` takes a
    whole series, which sees the future and scores better for it.

    Parameters
    ----------
    smooth : int, default=3
        Frequencies over which the logarithm of the amplitude is averaged: 3 in the paper, 100 for
        whole series in TSB-AD.
    contamination : float, default=0.1
        Share of the training windows that ``predict`` flags, in (0, 0.5].
    channels : int, optional
        Columns that make a step; by default read from column names ``channel@-lag``, else 1. The
        most salient channel counts.

    Attributes
    ----------
    n_channels_ : int
    offset_ : float

    Notes
    -----
    Ren et al., Time-Series Anomaly Detection Service at Microsoft (2019), without its network.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import SpectralResidual
    >>> series = np.sin(np.arange(400) / 5)
    >>> series[300] += 1
    >>> int(SpectralResidual().saliency(series).argmax())
    300
    """

    smooth: Width = 3
    contamination: float = 0.1
    channels: Width | None = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the shape of windows ``X`` of shape (n_windows, steps x channels); no ``y``."""
        check_parameters(self)
        rows = self._checked(X, reset=True)
        names = [str(name).rpartition("@-") for name in getattr(self, "feature_names_in_", [])]
        named = len({channel for channel, mark, _ in names if mark})
        self.n_channels_ = n = self.channels or named or 1
        if rows.shape[1] % n:
            raise ValueError(f"channels={n} does not divide the {rows.shape[1]} columns into steps")
        return self._fitted(rows, self.contamination)

    def saliency(self, values: Any) -> np.ndarray:
        """Return the modulus of the spectral residual, of the shape of ``values``.

        Parameters
        ----------
        values : array-like of shape (..., n_steps)
            Whole series, along the last dimension.
        """
        x = np.asarray(values, dtype=float)
        low, high = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
        spectrum = np.fft.fft((x - low) / np.where(high > low, high - low, 1.0))
        amplitude = np.abs(spectrum)
        told = amplitude > 1e-8
        log = np.log(np.where(told, amplitude, 1.0))
        residual = np.where(told, np.exp(log - _trailing_mean(log, self.smooth)), 0.0)
        turned = spectrum / np.where(told, amplitude, 1.0)
        return np.asarray(np.abs(np.fft.ifft(turned * residual)))

    def _scores(self, X: np.ndarray) -> np.ndarray:
        windows = X.reshape(len(X), -1, self.n_channels_).swapaxes(1, 2)
        steps = windows.shape[-1]
        if steps < 3:  # no spectrum to speak of: the size of the last move
            return np.asarray(np.abs(windows[..., -1] - windows[..., 0]).max(axis=1))
        back = min(EXTRA_STEPS, steps - 2)
        apart = np.arange(1, back + 1)
        slopes = (windows[..., -2:-1] - windows[..., -2 - apart]) / apart  # of the steps before
        slope = slopes.mean(axis=-1, keepdims=True)
        guess = windows[..., -1 - back : -back] + slope * back
        salient = self.saliency(
            np.concatenate([windows, np.repeat(guess, EXTRA_STEPS, axis=-1)], axis=-1)
        )[..., :steps]
        usual = salient[..., -LOCAL_STEPS:].mean(axis=-1)
        score = (salient[..., -1] - usual) / np.maximum(usual, TINY)
        return np.asarray(score.max(axis=1))


def _trailing_mean(values: np.ndarray, size: int) -> np.ndarray:
    """Return the mean of each value and the ``size - 1`` before it, of fewer at the beginning."""
    sums = np.cumsum(values, axis=-1)
    n = values.shape[-1]
    size = min(size, n)
    sums[..., size:] = sums[..., size:] - sums[..., :-size]
    return np.asarray(sums / np.minimum(np.arange(1, n + 1), size))
