"""The neural anomaly detector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from fintech_dl.estimators.base import Rows
from fintech_dl.estimators.folds import Fold, member_folds
from fintech_dl.estimators.labels import known_labels
from fintech_dl.estimators.members import Share as MemberShare
from fintech_dl.estimators.members import turns_of
from fintech_dl.estimators.rarity import lowest_scores, rarity, rarity_of, usual_values
from fintech_dl.estimators.thresholds import (
    budget_threshold,
    false_alarm_threshold,
    fence_threshold,
    share_threshold,
)
from fintech_dl.estimators.unsupervised import UnsupervisedEstimator
from fintech_dl.networks.base import Network, hyperparameters
from fintech_dl.networks.multi_view import MultiView
from fintech_dl.networks.parameters import Share

TRIM = 0.2  # of each batch, where the training rows are said to hold anomalies
ROBUST = ("ellipsoid", "histograms")  # views that anomalies in training mislead least
SETTLED = 8192  # training rows that a network looks at once more when it has learned


@hyperparameters
class NeuralDetector(OutlierMixin, UnsupervisedEstimator):
    """Anomaly detector around any network, which brings its own score of how odd a row is.

    Use it where labels are missing, or few: some networks learn from the anomalies that are known
    (``y`` of `fit`). Where there are hundreds of labels, a classifier finds more. Scores and alerts
    are kept apart: `set_threshold` says where alerts begin, by a false-alarm rate or by what people
    can look at in a day, and can be called again without a new fit.

    Parameters
    ----------
    network : Network, optional
        None: `MultiView`; with ``contaminated`` its views ``"ellipsoid"`` and ``"histograms"``
        alone, as anomalies among the training rows mislead networks and neighbours more.
    contamination : float, "auto" or None, default="auto"
        Where ``predict`` draws the line until `set_threshold` is called; scores do not depend on
        it. A share of the training rows to flag, in (0, 0.5]; ``"auto"`` flags what lies beyond the
        bulk of the training scores (the fence of a boxplot), 0.2 to 2 % where there are no
        anomalies, so that nobody needs to know a share; None draws no line, and
        ``predict`` says that one is to be set. The default is a rule, as scikit-learn expects an
        answer of ``predict`` after ``fit`` and a made-up share would be wrong almost everywhere.
    contaminated : bool, default=False
        Whether the training rows are known to hold anomalies that nobody has marked. Training then
        leaves out what is worst of each batch.
    trim : float, optional
        Share of each batch that training leaves out, in [0, 1); None: 0.2 if ``contaminated``, else
        0. It grows from 0 over the first tenth of the steps. A known anomaly is never left out.
    average : {"rank", "mean"}, default="rank"
        What is averaged over the members: each row's rank among the training rows, which a member
        of a larger scale cannot dominate, or scores.
    cv : int or scikit-learn splitter, optional
        Each member learns from the training rows of one fold: one member per fold, or with
        ``n_members`` a multiple of that. All take the same number of steps, whatever their rows.

    Attributes
    ----------
    offset_ : float
        Threshold on ``score_samples``: rows below it are flagged. ``threshold_`` is the same on
        ``anomaly_score``: rows above it are.
    oof_ : ndarray of shape (n_rows,)
        With ``cv``: anomaly score of each training row by the members that have not learned from
        it; NaN where all have.
    usual_ : float32 array of shape (3, n_columns)
        Three usual values of each column, for `explain`.
    rarity_ : float64 array of shape (2, n_points)
        Scores of training rows, and the decimal logarithm of how rare rows that score as high are.

    See Also
    --------
    NeuralEstimator : All other parameters and fitted attributes.
    PyODAdapter : The same detector with the names and signs of PyOD.

    Notes
    -----
    ``anomaly_score`` is higher for worse rows; ``score_samples`` and ``decision_function`` follow
    scikit-learn, where lower is worse and ``predict`` gives -1 for anomalies.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import Autoencoder, NeuralDetector
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> X = np.column_stack([X, X[:, 0] + X[:, 1]])
    >>> model = NeuralDetector(network=Autoencoder(units=16, code=2), learning_rate=0.01,
    ...                        random_state=0).fit(X[:300]).set_threshold(X[300:], fpr=0.02)
    >>> model.predict([[1.0, 1.0, 2.0], [1.0, 1.0, -2.0]])
    array([ 1, -1])
    >>> str(model.explain([[0.5, 0.1, 4.0]]).loc[0].idxmax())
    'x2'
    """

    contamination: float | Literal["auto"] | None = "auto"
    contaminated: bool = False
    trim: Share | None = None
    average: str = "rank"
    cv: Any = None

    averages: ClassVar[tuple[str, ...]] = ("rank", "mean")

    # ---- learning -----------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on rows ``X``, and on the anomalies known among them if the network can.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,), optional
            Read only by networks that learn from labels, such as ``DevNet``: 1 for a known anomaly,
            0 for a row known as normal, -1 for one that nobody has looked at, as are all without
            ``y``. Other networks ignore it.
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
            A parameter out of range, infinity in ``X``, other labels, or anomalies only.
        """
        known = self._network().learns_from_labels
        y = known_labels(X, y) if known else None
        y_val = known_labels(X_val, y_val) if known and X_val is not None else None
        return self._fit(
            X, y, sample_weight, X_val, y_val, sample_weight_val, resume=self.warm_start
        )

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> np.ndarray:
        """Train on rows ``X`` and return -1 for those that are anomalies, 1 for the others."""
        return self.fit(X, y, **kwargs).predict(X)

    def set_threshold(
        self,
        X: Any,
        *,
        fpr: float | None = None,
        per_day: float | None = None,
        days: float | None = None,
    ) -> Self:
        """Set where alerts begin, by rows that the detector has not learned from.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            For ``fpr`` rows that are believed normal; anomalies among them make alerts rarer. For
            ``per_day`` all rows of some days, normal or not.
        fpr : float, optional
            False-alarm rate, above 0 and below 1: a new normal row raises an alert with at most
            this probability. Needs 1 / fpr - 1 rows or more.
        per_day, days : float, optional
            Alerts that people can look at in a day, and how many days ``X`` is of.

        Returns
        -------
        self
            With ``offset_`` and ``threshold_`` set; a new ``fit`` draws the line of
            ``contamination`` again.

        Raises
        ------
        ValueError
            No rows, fewer than the rate needs, a value out of range, or not exactly one of ``fpr``
            and ``per_day`` with ``days``.

        Examples
        --------
        >>> import numpy as np
        >>> from fintech_dl import Autoencoder, NeuralDetector
        >>> X = np.random.default_rng(0).normal(size=(600, 4))
        >>> model = NeuralDetector(network=Autoencoder(units=8, code=2), epochs=2).fit(X[:300])
        >>> model = model.set_threshold(X[300:], per_day=10, days=3)
        >>> int((model.predict(X[300:]) == -1).sum())
        29
        """
        check_is_fitted(self, "weights_")
        if (fpr is None) == (per_day is None) or (per_day is None) != (days is None):
            raise ValueError(
                f"fpr={fpr!r}, per_day={per_day!r}, days={days!r}; allowed: fpr alone, or per_day "
                "and days together"
            )
        if hasattr(X, "__len__") and not len(X):
            raise ValueError("set_threshold: X has 0 rows; give rows that fit has not seen")
        scores = self.anomaly_score(X)
        if fpr is not None:
            self.offset_ = -false_alarm_threshold(scores, fpr)
        else:
            assert per_day is not None
            assert days is not None
            self.offset_ = -budget_threshold(scores, per_day, days)
        return self

    def _folds(self, X: Any, y: Any) -> list[Fold]:
        return member_folds(self.cv, self.n_members, X, y, classifier=y is not None)

    def _learn_target(self, y: Any, weights: list[np.ndarray], classes: Any) -> None:
        if y is not None and (y == 1).all():
            raise ValueError(
                f"y calls all {len(y)} rows anomalies (1); a detector learns from rows that are "
                "normal (0) or that nobody has looked at (-1)"
            )

    def _target(self, y: Any, member: int) -> np.ndarray | None:
        return None if y is None else np.asarray(y, dtype=np.float32)[:, None]

    def _share(
        self, rows: np.ndarray, y: Any, target: np.ndarray | None, *rest: Any
    ) -> tuple[MemberShare, Rows | None]:
        share, held = super()._share(rows, y, target, *rest)
        if target is None:
            return share, held
        return replace(share, turns=turns_of(target[share.rows, 0] == 1)), held

    def _trimmed(self) -> float:
        if self.trim is None:
            return TRIM if self.contaminated else 0.0
        return float(self.trim)

    def _trimming(self, network: Network) -> Any:
        if not self._trimmed():
            return None
        from fintech_dl.estimators.trimming import Trimming

        teacher = self._build(network)
        return Trimming(self._live().model, teacher, network.anomaly_score, self._trimmed())

    def _loss_key(self) -> list[Any]:
        return [*super()._loss_key(), self._trimmed()]

    def _strata(self, y: Any) -> np.ndarray | None:
        return None if y is None else np.asarray(y)

    def _settle(self, rows: np.ndarray) -> None:
        """Let each member set what it learns from training rows when its steps are over."""
        network, model, found = self._network(), self._live().model, []
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), SETTLED)).astype(int)]
        for weights in self._member_weights():
            model.set_weights(weights)
            network.settle(model, some)
            found.append(model.get_weights())
        alone = len(found) == 1
        self.weights_ = found[0] if alone else [np.stack(w) for w in zip(*found, strict=True)]

    def _default_network(self) -> Network:
        return MultiView(views=ROBUST) if self.contaminated else MultiView()

    def _fitted(self, rows: np.ndarray, weight: np.ndarray, folds: list[Fold]) -> Any:
        if type(self._network()).settle is not Network.settle:
            self._settle(rows[weight > 0])
        outputs = super()._fitted(rows, weight, folds)
        outputs = self._raw(rows) if outputs is None else outputs
        kept = weight > 0
        scores, weight = self._finished(outputs)[kept], weight[kept]
        self.usual_ = usual_values(rows[kept], self.columns_)
        self.rarity_ = rarity_of(scores)
        self.__dict__.pop("offset_", None)
        if self.contamination == "auto":
            self.offset_ = -fence_threshold(scores, weight)
        elif self.contamination is not None:
            self.offset_ = -share_threshold(scores, weight, float(self.contamination))
        return outputs

    def _check(self) -> None:
        share = self.contamination
        if share not in (None, "auto") and not 0 < float(share) <= 0.5:
            raise ValueError(f"contamination={share!r}; allowed: (0, 0.5], 'auto' or None")

    # ---- scores and alerts --------------------------------------------------------------------

    def _raw(self, rows: np.ndarray) -> np.ndarray:
        view = self._view("anomaly", self._network().anomaly_score)
        return self._infer_members(view, rows)[:, :, None]

    def _finished(self, outputs: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        return self._averaged(outputs, members)[:, 0].astype(np.float64)

    @property
    def threshold_(self) -> float:
        """Anomaly score above which a row is flagged."""
        return -self.offset_

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return one score per row, higher = more anomalous."""
        check_is_fitted(self, "weights_")
        return self._finished(self._raw(self._rows(X)))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return one score per row, lower = more anomalous."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores shifted so that anomalies are negative."""
        scores = self.score_samples(X)
        check_is_fitted(
            self,
            "offset_",
            msg="contamination=None draws no line between normal rows and anomalies: call "
            "set_threshold(X, fpr=0.01) with rows believed normal, or use anomaly_score",
        )
        return scores - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for anomalies and 1 for other rows."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> pd.DataFrame:
        """Return how much of a row's rarity each of its columns answers for.

        Use it on alerts, to tell why they stand out: it scores each row anew for three usual values
        of every column. Columns that are odd only together each answer for the whole, so that a
        line of the table has no meaningful sum.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)

        Returns
        -------
        DataFrame of shape (n_rows, n_columns)
            0 or more, in quantiles of the training scores: 1 means that the row would be ten times
            less rare if the column alone took the best of its usual values (those at 10, 50 and
            90 % of the training rows, or the three most frequent categories). A row that scores
            higher than one in a thousand training rows has 3 to explain; beyond all of them rarity
            rises by the logarithm of the score. The index is that of ``X``.

        Raises
        ------
        ValueError
            Columns other than in training, infinity in ``X``.

        Examples
        --------
        >>> import numpy as np
        >>> from fintech_dl import Autoencoder, NeuralDetector
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> model = NeuralDetector(network=Autoencoder(units=8, code=2), epochs=2, random_state=0)
        >>> model.fit(X).explain([[0.0, 9.0, 0.0]]).idxmax(axis=1).tolist()
        ['x1']
        """
        check_is_fitted(self, "weights_")
        rows = self._rows(X)
        lowest = lowest_scores(lambda x: self._finished(self._raw(x)), rows, self.usual_)
        own = self._finished(self._raw(rows))[:, None]
        return pd.DataFrame(
            rarity(own, self.rarity_) - rarity(lowest, self.rarity_),
            index=X.index if isinstance(X, pd.DataFrame) else None,
            columns=[column["name"] for column in self.columns_],
        )
