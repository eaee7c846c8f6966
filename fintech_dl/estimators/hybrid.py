"""Known and unknown attacks in one score: a classifier and detectors, each by its false alarms."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import OutlierMixin, clone, is_outlier_detector
from sklearn.utils import _safe_indexing, check_random_state, column_or_1d
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from fintech_dl.estimators.rarity import MOST_ROWS, QUANTILES, rarity, rarity_of
from fintech_dl.tails import tail_share

CERTAIN = 1e-9  # a probability no nearer to 0 or 1 than this has log odds that can be told apart


class HybridDetector(OutlierMixin, _BaseComposition):
    """Detector made of a classifier, which knows attacks, and detectors, which know what is normal.

    Use it where labels are many but attacks change: the classifier finds what it has seen, the
    detectors what it has not. A classifier learns from all rows, a detector from the normal ones
    alone. What each says becomes the share of normal rows, held out of training, that look worse
    (a conformal p-value); a row is as suspicious as the most suspicious of its p-values.

    Where labels are few, take one network that learns from both kinds of rows; where the attacks of
    tomorrow are those of today, a classifier alone is better.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Classifiers of labels 0 and 1, and outlier detectors.
    fpr : float, default=0.01
        Share of normal rows that ``predict`` may flag, in (0, 1).
    fraction : float, default=0.2
        Share of the normal training rows held out to measure false alarms, in (0, 1).
    random_state : int, optional
        Of the choice of these rows, and of parts that name no seed of their own.

    Attributes
    ----------
    estimators_ : list of fitted estimators
    reference_ : ndarray of shape (n_held_out, n_estimators)
        Scores of the rows held out, each column rising.
    combined_ : ndarray of shape (n_held_out,)
        Their smallest p-values, negative and rising.
    offset_ : float
        Threshold on ``score_samples``: rows below it are flagged.
    usual_ : list of lists
        At most three usual values of each column among the normal rows, for `explain`.

    Notes
    -----
    ``anomaly_score`` is 1 less the p-value, from 0 to 1. That a share ``fpr`` of normal rows is
    flagged holds for rows like those of training; where traffic has changed, more are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl import HybridDetector
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(1000, 2)), np.arange(1000) % 10 == 0
    >>> X[y, 0] += 6
    >>> parts = [("known", LogisticRegression()), ("unknown", IsolationForest(random_state=0))]
    >>> model = HybridDetector(parts, fpr=0.05, random_state=0).fit(X, y)
    >>> model.predict([[6.0, 0.0], [0.0, 0.0], [0.0, -9.0]]).tolist()
    [-1, 1, -1]
    """

    def __init__(
        self,
        estimators: Any,
        *,
        fpr: float = 0.01,
        fraction: float = 0.2,
        random_state: int | None = None,
    ) -> None:
        self.estimators = estimators
        self.fpr = fpr
        self.fraction = fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows ``X`` with labels ``y``: 1 for an attack, 0 for a normal row.

        Raises
        ------
        ValueError
            Labels other than 0 and 1, too few normal rows for ``fpr``, or a parameter out of range.
        """
        label = column_or_1d(y).astype(float)
        check_consistent_length(X, label)
        self._check(label)
        random = check_random_state(self.random_state)
        normal = np.flatnonzero(label == 0)
        held = np.zeros(len(label), dtype=bool)
        held[random.choice(normal, self._held_out(len(normal)), replace=False)] = True
        self.estimators_ = []
        for _, part in self.estimators:
            model = clone(part)
            for name, value in model.get_params().items():
                if name.endswith("random_state") and value is None:
                    model.set_params(**{name: int(random.randint(2**31 - 1))})
            rows = ~held & (label == 0) if is_outlier_detector(model) else ~held
            at = np.flatnonzero(rows)
            labels = () if is_outlier_detector(model) else (label[at].astype(int),)
            self.estimators_.append(model.fit(_safe_indexing(X, at), *labels))
        scores = self._scores(_safe_indexing(X, np.flatnonzero(held)))
        self.reference_ = np.sort(scores, axis=0)
        self.combined_ = np.sort(-self._smallest(scores))
        self.offset_ = -(1 - float(self.fpr))
        some = np.unique(np.linspace(0, len(normal) - 1, MOST_ROWS).astype(int))
        frame = _framed(_safe_indexing(X, normal[some]))
        self.usual_ = [_usual(column) for _, column in frame.items()]
        return self

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return one score per row from 0 to 1, higher = more suspicious."""
        check_is_fitted(self, "combined_")
        return 1 - tail_share(self.combined_, -self._smallest(self._scores(X)))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return one score per row, lower = more suspicious."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores shifted so that flagged rows are negative."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for flagged rows and 1 for other rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> pd.DataFrame:
        """Return how much of a row's rarity each of its columns answers for.

        What is explained is one part alone: the one to which the row looks rarest, since a row is
        as suspicious as the most suspicious of its p-values. Use it on alerts, to tell why they
        stand out. Columns that are odd only together each answer for the whole, so that a line of
        the table has no meaningful sum.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)

        Returns
        -------
        DataFrame of shape (n_rows, n_columns)
            0 or more, in quantiles of the part's scores of normal rows held out, the unit of
            `NeuralDetector.explain`: 1 means that the row would look ten times less rare to that
            part if the column alone took the best of its usual values (those at 10, 50 and 90 % of
            the normal training rows, or the three most frequent categories). Beyond all normal rows
            rarity rises by the logarithm of the score, of a classifier by that of its log odds. 0
            for a column of neither numbers nor text. The index is that of ``X``.

        Raises
        ------
        ValueError
            What the parts refuse to score.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import IsolationForest
        >>> from sklearn.linear_model import LogisticRegression
        >>> from fintech_dl import HybridDetector
        >>> rng = np.random.default_rng(0)
        >>> X, y = rng.normal(size=(1000, 2)), np.arange(1000) % 10 == 0
        >>> X[y, 0] += 6
        >>> forest = IsolationForest(n_estimators=20)
        >>> parts = [("known", LogisticRegression()), ("unknown", forest)]
        >>> model = HybridDetector(parts, fpr=0.05, random_state=0).fit(X, y)
        >>> model.explain([[6.0, 0.0], [0.0, -9.0]]).idxmax(axis=1).tolist()
        ['x0', 'x1']
        """
        check_is_fitted(self, "usual_")
        scores, frame = self._scores(X), _framed(X)
        parts = list(zip(self.estimators_, self.reference_.T, scores.T, strict=True))
        known = [rarity_of(_unbounded(model, usual)) for model, usual, _ in parts]
        own = [
            rarity(_unbounded(model, score), table)
            for (model, _, score), table in zip(parts, known, strict=True)
        ]
        rarest, told = np.argmax(own, axis=0), np.zeros(frame.shape)
        for number, (model, _, score) in enumerate(parts):
            rows = np.flatnonzero(rarest == number)
            if len(rows):
                named = isinstance(X, pd.DataFrame)
                lowest = _lowest(model, frame.iloc[rows], self.usual_, score[rows], named)
                less = rarity(_unbounded(model, lowest), known[number])
                told[rows] = own[number][rows, None] - less
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(told, index=index, columns=[str(name) for name in frame])

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the parts as ``name__parameter``."""
        return dict(self._get_params("estimators", deep=deep))

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of the parts as ``name__parameter``."""
        self._set_params("estimators", **params)
        return self

    def _check(self, label: np.ndarray) -> None:
        for name in ("fpr", "fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}; allowed: above 0 and below 1")
        if not self.estimators:
            raise ValueError("estimators=[]; name one classifier or detector at least")
        self._validate_names([name for name, _ in self.estimators])
        if odd := sorted(set(label.tolist()) - {0.0, 1.0}):
            raise ValueError(f"y holds {odd[:5]}; allowed: 1 for an attack, 0 for a normal row")
        needed = int(np.ceil(1 / self.fpr))
        normal = int((label == 0).sum())
        if self._held_out(normal) < needed or normal == self._held_out(normal):
            raise ValueError(
                f"{normal} normal rows, {self._held_out(normal)} of them held out; fpr={self.fpr} "
                f"needs {needed} held out. Take more normal rows, or a larger fpr or fraction"
            )

    def _held_out(self, normal: int) -> int:
        return int(np.ceil(self.fraction * normal))

    def _scores(self, X: Any) -> np.ndarray:
        """Return what each part says of each row, higher = worse."""
        return np.column_stack([_score(model, X) for model in self.estimators_])

    def _smallest(self, scores: np.ndarray) -> np.ndarray:
        """Return the smallest p-value of each row."""
        columns = zip(self.reference_.T, scores.T, strict=True)
        return np.asarray(np.min([tail_share(usual, own) for usual, own in columns], axis=0))


def _score(model: Any, X: Any) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X)[:, 1], dtype=float)
    return -np.asarray(model.score_samples(X), dtype=float)


def _unbounded(model: Any, score: np.ndarray) -> np.ndarray:
    """Return scores in the same order that go on where probabilities near 1 look alike."""
    if hasattr(model, "predict_proba"):
        return np.asarray(logit(np.clip(score, CERTAIN, 1 - CERTAIN)))
    return score


def _framed(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    frame = pd.DataFrame(X.toarray() if hasattr(X, "toarray") else X)
    return frame.set_axis([f"x{i}" for i in range(frame.shape[1])], axis=1)


def _usual(column: pd.Series[Any]) -> list[Any]:
    """Return at most three usual values of a column; none of what is neither number nor text."""
    known = column.dropna()
    kind = known.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        found = known.quantile(list(QUANTILES), interpolation="nearest") if len(known) else known
        return list(dict.fromkeys(found.tolist()))
    plain = [value for value in known.tolist() if isinstance(value, str | bool | int | float)]
    return list(pd.Series(plain, dtype=object).value_counts().index[: len(QUANTILES)])


def _lowest(
    model: Any, X: pd.DataFrame, usual: list[list[Any]], own: np.ndarray, named: bool
) -> np.ndarray:
    """Return the lowest score that each row has with a usual value in one of its columns."""
    found = np.repeat(own[:, None], X.shape[1], axis=1)
    for i, values in enumerate(usual):
        if values:
            moved = pd.concat([X] * len(values), ignore_index=True)
            cells = np.repeat(pd.Series(values).to_numpy(), len(X))
            moved.isetitem(i, _filled(X.iloc[:, i].dtype, cells).array)
            scores = _score(model, moved if named else moved.to_numpy())
            np.minimum(own, scores.reshape(len(values), -1).min(axis=0), out=found[:, i])
    return found


def _filled(kind: Any, values: np.ndarray) -> pd.Series[Any]:
    """Return values as a column of a kind that holds categories, of numbers as they are."""
    if isinstance(kind, pd.CategoricalDtype):
        known = kind.categories.union(pd.Index(pd.unique(values)), sort=False)
        return pd.Series(pd.Categorical(values, known))
    filled = pd.Series(values)
    return filled if values.dtype.kind in "iuf" else filled.astype(kind)
