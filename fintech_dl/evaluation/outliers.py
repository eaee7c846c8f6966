"""Classic outlier detectors that scikit-learn lacks: what a neural detector has to beat.

Isolation forest and local outlier factor (``novelty=True``) are scikit-learn's own.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from scipy.stats import chi2, skew
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.covariance import EmpiricalCovariance, MinCovDet
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fintech_dl.evaluation.metrics import Floats

FLOOR = 0.1  # of a density, as in PyOD: what an empty bin counts as
BEYOND = 0.5  # of a bin's width: so far outside a row still lies in the first or last bin
ROWS_PER_COLUMN = 5  # below this the half of the rows that lie closest together says too little
MOST_ROWS = 10_000  # of the search for that half
MOST_COLUMNS = 100  # of scikit-learn's search, whose guesses hold 150 rows
MOST_OF_TREES = 8  # columns; of more, a tree is slower than all distances
STEPS = 30  # never more are needed, says the paper


class _Detector(OutlierMixin, BaseEstimator):
    """What the detectors share: rows in, scores out, a threshold on those of the training rows."""

    reads_missing = False

    def __init__(self, *, contamination: float = 0.1) -> None:
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows; ``y`` is ignored.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A parameter out of range, fewer than two rows, infinity, NaN where it cannot be read.
        """
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination={self.contamination!r}; allowed: above 0, up to 0.5")
        rows = self._rows(X, reset=True)
        self._learn(rows)
        self.offset_ = float(np.quantile(-self._anomaly(rows), self.contamination))
        return self

    def score_samples(self, X: Any) -> Floats:
        """Return one score per row, lower = more anomalous."""
        check_is_fitted(self, "offset_")
        return -self._anomaly(self._rows(X, reset=False))

    def decision_function(self, X: Any) -> Floats:
        """Return scores shifted so that anomalies are negative."""
        return np.asarray(self.score_samples(X) - self.offset_)

    def predict(self, X: Any) -> Any:
        """Return -1 for anomalies and 1 for other rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.reads_missing
        return tags

    def _rows(self, X: Any, reset: bool) -> Floats:
        options: dict[str, Any] = {"reset": reset, "ensure_min_samples": 2 if reset else 1}
        options["ensure_all_finite"] = "allow-nan" if self.reads_missing else True
        return np.asarray(validate_data(self, X, dtype=np.float64, **options))

    def _learn(self, rows: Floats) -> None:
        raise NotImplementedError

    def _anomaly(self, rows: Floats) -> Floats:
        """Return one score per row, higher = more anomalous."""
        raise NotImplementedError


class NearestNeighboursDetector(_Detector):
    """Distance to the nearest training rows (kNN): rows with no others near them are anomalous.

    The bar for a detector of any kind: hard to beat where training rows are clean and columns are
    few. Not for training rows that hold anomalies in dense groups (each then has near neighbours),
    nor for columns of different units: put a ``StandardScaler`` before it, as reports do.

    Parameters
    ----------
    n_neighbors : int, default=5
        Fewer where there are fewer other rows.
    distance : {"largest", "mean"}, default="largest"
        Distance to the last of the neighbours, or mean distance to all of them.
    contamination : float, default=0.1
        Share of the training rows that ``predict`` flags, in (0, 0.5]. Scores do not depend on it.

    Attributes
    ----------
    rows_ : float64 array of shape (n_rows, n_columns)
        The training rows, all of them.
    offset_ : float
        Threshold on ``score_samples``: rows below it are flagged.

    Raises
    ------
    ValueError
        From ``fit``: a parameter out of range, fewer than two rows, NaN or infinity.

    Notes
    -----
    Ramaswamy, Rastogi and Shim (2000); Angiulli and Pizzuti (2002) for the mean. A training row is
    no neighbour of itself: one training row that equals the row to score is taken for the row
    itself, so a row scores the same whether it was among the training rows or not.

    Examples
    --------
    >>> from fintech_dl import NearestNeighboursDetector
    >>> model = NearestNeighboursDetector(n_neighbors=1).fit([[0.0], [1.0], [2.0]])
    >>> model.score_samples([[1.0], [5.0]])
    array([-1., -3.])
    """

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        distance: Literal["largest", "mean"] = "largest",
        contamination: float = 0.1,
    ) -> None:
        super().__init__(contamination=contamination)
        self.n_neighbors = n_neighbors
        self.distance = distance

    def _learn(self, rows: Floats) -> None:
        if self.n_neighbors < 1:
            raise ValueError(f"n_neighbors={self.n_neighbors!r}; allowed: 1 or more")
        if self.distance not in ("largest", "mean"):
            raise ValueError(f'distance={self.distance!r}; allowed: "largest", "mean"')
        self.rows_ = rows

    def _anomaly(self, rows: Floats) -> Floats:
        k = min(self.n_neighbors, len(self.rows_) - 1)
        way = "auto" if rows.shape[1] <= MOST_OF_TREES else "brute"
        found, at = (
            NearestNeighbors(n_neighbors=k + 1, algorithm=way).fit(self.rows_).kneighbors(rows)
        )
        same = np.column_stack([(self.rows_[near] == rows).all(axis=1) for near in at.T])
        found[same] = 0.0  # what a fast way to a distance leaves of it
        left_out = np.where(same.any(axis=1), same.argmax(axis=1), k)
        found = found[np.arange(k + 1) != left_out[:, None]].reshape(len(rows), k)
        return np.asarray(found.max(axis=1) if self.distance == "largest" else found.mean(axis=1))


class HistogramDetector(_Detector):
    """Histogram-based outlier score (HBOS): rows whose values are rare, column by column.

    The fastest rival, for wide tables; blind to combinations of values that are rare while each of
    them is common.

    Parameters
    ----------
    n_bins : int, default=10
        Bins of equal width per column.
    contamination : float, default=0.1
        Share of the training rows that ``predict`` flags, in (0, 0.5]. Scores do not depend on it.

    Attributes
    ----------
    mean_, spread_ : float64 array of shape (n_columns,)
        By which columns are put on one scale.
    edges_ : float64 array of shape (n_columns, n_bins + 1)
        Bounds of the bins.
    worth_ : float64 array of shape (n_columns, n_bins)
        What a value in a bin adds to the score of its row.
    offset_ : float
        Threshold on ``score_samples``: rows below it are flagged.

    Raises
    ------
    ValueError
        From ``fit``: a parameter out of range, fewer than two rows, NaN or infinity.

    Notes
    -----
    Goldstein and Dengel (2012), as PyOD defines it on standardised columns: the sum over columns of
    -log2(density + 0.1); beyond the first and last bin by more than half a bin, the rarest bin of
    the column. Here the columns are standardised inside, so units do not matter.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import HistogramDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> score = HistogramDetector().fit(X).score_samples([[0.0, 0.0], [0.0, 4.0]])
    >>> bool(score[1] < score[0])
    True
    """

    def __init__(self, *, n_bins: int = 10, contamination: float = 0.1) -> None:
        super().__init__(contamination=contamination)
        self.n_bins = n_bins

    def _learn(self, rows: Floats) -> None:
        if self.n_bins < 2:
            raise ValueError(f"n_bins={self.n_bins!r}; allowed: 2 or more")
        self.mean_, spread = rows.mean(axis=0), rows.std(axis=0)
        constant = np.ptp(rows, axis=0) == 0  # the spread of equal numbers may be rounding
        self.spread_ = np.where(constant | (spread == 0), 1.0, spread)
        made = [np.histogram(z, self.n_bins, density=True) for z in self._scaled(rows).T]
        self.edges_ = np.array([edges for _, edges in made])
        self.worth_ = -np.log2(np.array([density for density, _ in made]) + FLOOR)

    def _anomaly(self, rows: Floats) -> Floats:
        total = np.zeros(len(rows))
        for z, edges, worth in zip(self._scaled(rows).T, self.edges_, self.worth_, strict=True):
            at = np.searchsorted(edges, z, "right") - 1
            reach = BEYOND * (edges[1] - edges[0])
            outside = (z < edges[0] - reach) | (z > edges[-1] + reach)
            total += np.where(outside, worth.max(), worth[at.clip(0, self.n_bins - 1)])
        return total

    def _scaled(self, rows: Floats) -> Floats:
        return np.asarray((rows - self.mean_) / self.spread_)


class EmpiricalTailDetector(_Detector):
    """Empirical tail probabilities (ECOD): rows with values far out in the tails of their columns.

    Nothing to set, reads missing values, and each column's part can be told; blind to values that
    lie between two groups, and to rare combinations of common values.

    Parameters
    ----------
    contamination : float, default=0.1
        Share of the training rows that ``predict`` flags, in (0, 0.5]. Scores do not depend on it.

    Attributes
    ----------
    sorted_ : float64 array of shape (n_columns, n_rows)
        Each column's training values in order, missing ones last.
    known_ : int64 array of shape (n_columns,)
        How many of them are not missing.
    skew_ : float64 array of shape (n_columns,)
        Sign of each column's skewness.
    offset_ : float
        Threshold on ``score_samples``: rows below it are flagged.

    Raises
    ------
    ValueError
        From ``fit``: a parameter out of range, fewer than two rows, infinity.

    Notes
    -----
    Li, Zhao, Botta, Ionescu and Hu (2022), as PyOD defines it: per column the larger of -log of the
    tail on the side of the longer tail, and the mean of both tails; the sum over columns. A row is
    counted with the training rows, as PyOD does of one row alone, so a tail is never 0 and a score
    does not depend on the other rows that are scored. A missing value adds nothing, nor does the
    one value of a constant column; any other value there adds much.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import EmpiricalTailDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> score = EmpiricalTailDetector().fit(X).score_samples([[0.0, np.nan], [0.0, 4.0]])
    >>> bool(score[1] < score[0])
    True
    """

    reads_missing = True

    def _learn(self, rows: Floats) -> None:
        self.sorted_ = np.sort(rows.T, axis=1)
        self.known_ = np.isfinite(rows).sum(axis=0)
        columns = [values[:n] for values, n in zip(self.sorted_, self.known_, strict=True)]
        self.skew_ = np.array([_skew_sign(column) for column in columns])

    def _anomaly(self, rows: Floats) -> Floats:
        total = np.zeros(len(rows))
        for j, column in enumerate(np.ascontiguousarray(rows.T)):
            values = self.sorted_[j, : self.known_[j]]
            n, there = len(values), np.isfinite(column)
            given = column[there]
            left = -np.log((np.searchsorted(values, given, "right") + 1) / (n + 1))
            right = -np.log((n - np.searchsorted(values, given, "left") + 1) / (n + 1))
            long = left * (self.skew_[j] <= 0) + right * (self.skew_[j] >= 0)
            total[there] += np.maximum(long, (left + right) / 2)
        return total


class RobustCovarianceDetector(_Detector):
    """Mahalanobis distance by the minimum covariance determinant (MCD), robust to its own rows.

    The rival to beat where training rows hold anomalies: location and covariance come from the half
    of the rows that lie closest together. For one cloud of rows; several groups make one wide
    ellipse.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
    contamination : float, default=0.1
        Share of the training rows that ``predict`` flags, in (0, 0.5]. Scores do not depend on it.

    Attributes
    ----------
    location_ : float64 array of shape (n_columns,)
    precision_ : float64 array of shape (n_columns, n_columns)
        Inverse of the covariance; of a singular one the pseudo-inverse, which leaves out directions
        in which these rows do not vary.
    offset_ : float
        Threshold on ``score_samples``: rows below it are flagged.

    Raises
    ------
    ValueError
        From ``fit``: a parameter out of range, fewer than two rows, NaN or infinity.

    Notes
    -----
    Rousseeuw and Van Driessen (1999), by ``sklearn.covariance.MinCovDet``, on at most 10,000 rows
    drawn by ``random_state``. Of more than 100 columns its first guesses, from 300 rows each, say
    little and take minutes: there the search starts from the medians, as in the deterministic MCD
    (Hubert, Rousseeuw and Verdonck 2012). With fewer than five rows per column, and where half of
    the rows are equal, the covariance is that of all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import RobustCovarianceDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 1)) + [[0.0, 10.0]]
    >>> score = RobustCovarianceDetector(random_state=0).fit(X).score_samples([[1, 11], [4, 14]])
    >>> bool(score[1] < score[0])
    True
    """

    def __init__(self, *, random_state: Any = None, contamination: float = 0.1) -> None:
        super().__init__(contamination=contamination)
        self.random_state = random_state

    def _learn(self, rows: Floats) -> None:
        rng = check_random_state(self.random_state)
        if len(rows) > MOST_ROWS:
            rows = rows[np.sort(rng.choice(len(rows), MOST_ROWS, replace=False))]
        n_columns = rows.shape[1]
        found: Any = EmpiricalCovariance()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of singular covariances, whose answer is defined
            if len(rows) < ROWS_PER_COLUMN * n_columns:
                found.fit(rows)
            elif n_columns > MOST_COLUMNS:
                found.fit(rows[_inside(rows)])
            else:
                try:
                    found = MinCovDet(random_state=rng).fit(rows)
                except ValueError:  # the half that lies closest together is one point
                    found.fit(rows)
        self.location_, self.precision_ = found.location_, found.get_precision()

    def _anomaly(self, rows: Floats) -> Floats:
        away = rows - self.location_
        return np.asarray(np.maximum((away @ self.precision_ * away).sum(axis=1), 0.0))


def _inside(rows: Floats) -> Any:
    """Return which rows the minimum covariance determinant takes in, searched from the medians."""
    n_rows, n_columns = rows.shape
    half, last = (n_rows + n_columns + 1) // 2, None
    middle = np.median(rows, axis=0)
    spread = np.median(np.abs(rows - middle), axis=0)
    distance = (((rows - middle) / np.where(spread > 0, spread, 1.0)) ** 2).sum(axis=1)
    for _ in range(STEPS):
        closest = np.sort(np.argsort(distance, kind="stable")[:half])
        if last is not None and (closest == last).all():
            break
        distance, last = EmpiricalCovariance().fit(rows[closest]).mahalanobis(rows), closest
    usual = np.median(distance) / chi2.ppf(0.5, n_columns)
    return distance <= usual * chi2.ppf(0.975, n_columns)


def _skew_sign(values: Floats) -> float:
    """Return the sign of the skewness; 0 of equal values, and of none."""
    if not len(values) or values[0] == values[-1]:
        return 0.0
    return float(np.sign(skew(values / np.abs(values).max())))
