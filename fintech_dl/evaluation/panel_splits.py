"""Splits of panels for scikit-learn: whole dates are tested, labels that reach into a test purged.

All count in bars: the dates that occur in ``groups``, whatever days lie between them. A row of date
number i has a label that is known at date i + ``horizon``, or at its own ``until``. With next-bar
execution count the bar of waiting too: a return over 5 bars, entered one bar later, has horizon 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from math import comb
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.cuts import Positions
from fintech_dl.evaluation.metrics import Floats
from fintech_dl.evaluation.purging import clear_of_test

NEVER = np.iinfo(np.intp).max // 2
Block = tuple[int, int]  # first date, and first date after it


class PanelSplitter(BaseCrossValidator):
    """What the splitters of this module share; use one of them."""

    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def split(
        self,
        X: Any = None,
        y: Any = None,
        groups: ArrayLike | None = None,
        *,
        until: ArrayLike | None = None,
    ) -> Iterator[tuple[Positions, Positions]]:
        """Yield the positions of training rows and of test rows.

        Parameters
        ----------
        X, y : object
            Ignored.
        groups : array of shape (n_rows,)
            The date of each row; rows may stand in any order.
        until : array of shape (n_rows,), optional
            When each label is known, instead of after ``horizon`` bars. A label that is never known
            (NaT) teaches nothing.

        Yields
        ------
        train, test : int arrays
            Increasing.

        Raises
        ------
        UsageError
            No ``groups``, or a parameter that means nothing.
        DataError
            Dates that are missing or too few, or a split without training rows.
        """
        bars = _bars(self, groups, until)
        for number, blocks in enumerate(self._tests(bars.n), 1):
            test, train = np.zeros(len(bars.when), bool), self._window(bars, blocks)
            for begin, end in blocks:
                inside = (bars.when >= begin) & (bars.when < end)
                test |= inside
                train &= self._clear(bars, inside, begin, end)
            train &= ~test & (bars.until < NEVER)
            if not train.any():
                raise DataError(
                    f"{self}: split {number} of {bars.n} dates leaves no row to train on; test on "
                    "fewer dates at a time, or shorten horizon or embargo"
                )
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Return the number of splits; walking forward needs ``groups`` to know it."""
        return len(self._tests(_bars(self, groups, None).n))

    def _tests(self, n_dates: int) -> list[list[Block]]:
        raise NotImplementedError

    def _window(self, bars: _Bars, blocks: Sequence[Block]) -> NDArray[np.bool_]:
        return np.ones(len(bars.when), bool)

    def _clear(
        self, bars: _Bars, inside: NDArray[np.bool_], begin: int, end: int
    ) -> NDArray[np.bool_]:
        until = bars.until[inside]
        known = max(int(until[until < NEVER].max(initial=end)), end)
        return clear_of_test(bars.when, bars.until, begin, known, self.embargo)


class PurgedWalkForward(PanelSplitter):
    """Train on the past, test on the dates after it, move on: as a model is used.

    Use it for the headline number, and with ``step = test`` to forecast every date once.

    Parameters
    ----------
    train : int
        Bars to train on; the first test begins after so many. Rows among them whose label is not
        known when the test begins are left out.
    test : int
        Bars to test on before the model is fitted again; the last test may be shorter.
    step : int, optional
        Bars to move on by; default: ``test``.
    expanding : bool
        Train on the whole past instead of the last ``train`` bars.
    horizon : int
        Bars until a label is known.
    embargo : int
        Bars to leave out between the last label that teaches and the test.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.panel_splits import PurgedWalkForward
    >>> dates = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]")
    >>> for train, test in PurgedWalkForward(4, 3, horizon=1).split(groups=dates):
    ...     print(train, test)
    [0 1 2 3] [4 5 6]
    [3 4 5 6] [7 8 9]
    """

    def __init__(
        self,
        train: int,
        test: int,
        step: int | None = None,
        expanding: bool = False,
        horizon: int = 0,
        embargo: int = 0,
    ) -> None:
        self.train = train
        self.test = test
        self.step = step
        self.expanding = expanding
        self.horizon = horizon
        self.embargo = embargo

    def _tests(self, n_dates: int) -> list[list[Block]]:
        step = self.test if self.step is None else self.step
        _whole(self, train=(self.train, 1), test=(self.test, 1), step=(step, 1))
        if n_dates <= self.train:
            raise DataError(f"{self}: only {n_dates} dates, none is left to test on")
        starts = range(self.train, n_dates, step)
        return [[(start, min(start + self.test, n_dates))] for start in starts]

    def _window(self, bars: _Bars, blocks: Sequence[Block]) -> NDArray[np.bool_]:
        first = 0 if self.expanding else blocks[0][0] - self.train
        return bars.when >= first

    def _clear(
        self, bars: _Bars, inside: NDArray[np.bool_], begin: int, end: int
    ) -> NDArray[np.bool_]:
        return clear_of_test(bars.when, bars.until, begin - self.embargo, NEVER)


class PurgedKFold(PanelSplitter):
    """Test each of ``n_splits`` blocks of dates in turn, train on what lies clear of the block.

    Use it to choose between models on short histories. Training also sees what came after the
    test, so the scores are no forecast of live use.

    Parameters
    ----------
    n_splits : int
    horizon : int
        Bars until a label is known.
    embargo : int
        Bars to leave out after the last label of the test is known.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.panel_splits import PurgedKFold
    >>> for train, test in PurgedKFold(3, horizon=2, embargo=1).split(groups=np.arange(9)):
    ...     print(train, test)
    [5 6 7 8] [0 1 2]
    [0 1 8] [3 4 5]
    [0 1 2 3 4] [6 7 8]
    """

    def __init__(self, n_splits: int = 5, horizon: int = 0, embargo: int = 0) -> None:
        self.n_splits = n_splits
        self.horizon = horizon
        self.embargo = embargo

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Return the number of splits."""
        return self.n_splits

    def _tests(self, n_dates: int) -> list[list[Block]]:
        _whole(self, n_splits=(self.n_splits, 2))
        return [[block] for block in _blocks(self, n_dates, self.n_splits)]


class CombinatorialPurgedCV(PanelSplitter):
    """Test every choice of ``n_test_groups`` out of ``n_groups`` blocks of dates.

    Each block is tested by many models, which makes several forecasts of the whole history: its
    paths. Use it to see how far a result depends on the history drawn; quote the number of
    ``PurgedWalkForward``.

    Parameters
    ----------
    n_groups, n_test_groups : int
        6 and 2 give 15 splits and 5 paths, 10 and 2 give 45 and 9.
    horizon : int
        Bars until a label is known.
    embargo : int
        Bars to leave out after the last label of each test block is known.

    Notes
    -----
    Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 12.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.panel_splits import CombinatorialPurgedCV
    >>> cv = CombinatorialPurgedCV(n_groups=4, n_test_groups=2)
    >>> cv.get_n_splits(), cv.n_paths
    (6, 3)
    >>> dates = np.arange(8)
    >>> models = [np.full(len(test), i) for i, (_, test) in enumerate(cv.split(groups=dates))]
    >>> cv.paths(models, groups=dates).T  # which of the six models tests which date
    array([[0., 0., 0., 0., 1., 1., 2., 2.],
           [1., 1., 3., 3., 3., 3., 4., 4.],
           [2., 2., 4., 4., 5., 5., 5., 5.]])
    """

    def __init__(
        self, n_groups: int = 6, n_test_groups: int = 2, horizon: int = 0, embargo: int = 0
    ) -> None:
        self.n_groups = n_groups
        self.n_test_groups = n_test_groups
        self.horizon = horizon
        self.embargo = embargo

    @property
    def n_paths(self) -> int:
        """How many forecasts of the whole history the splits make."""
        return comb(self.n_groups - 1, self.n_test_groups - 1)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Return the number of splits."""
        return comb(self.n_groups, self.n_test_groups)

    def paths(self, forecasts: Sequence[ArrayLike], groups: ArrayLike) -> Floats:
        """Return the forecasts of all splits as paths through the whole history.

        Parameters
        ----------
        forecasts : sequence of arrays
            One per split, of its test rows, in the order of ``split``.
        groups : array of shape (n_rows,)
            The same dates as for ``split``.

        Returns
        -------
        float64 array of shape (n_rows, n_paths)
            The first path takes of each block the first split that tests it, and so on.

        Raises
        ------
        UsageError
            Another number of forecasts than of splits, or of test rows.
        """
        bars = _bars(self, groups, None)
        chosen = self._tests(bars.n)
        if len(forecasts) != len(chosen):
            raise UsageError(f"{self}: {len(forecasts)} forecasts for {len(chosen)} splits")
        found = np.full((len(bars.when), self.n_paths), np.nan)
        path = dict.fromkeys(_blocks(self, bars.n, self.n_groups), 0)
        for number, (forecast, blocks) in enumerate(zip(forecasts, chosen, strict=True), 1):
            part = np.full(len(bars.when), np.nan)
            masks = [(bars.when >= begin) & (bars.when < end) for begin, end in blocks]
            rows = np.logical_or.reduce(masks)
            values = np.asarray(forecast, dtype=float)
            if values.shape != (int(rows.sum()),):
                raise UsageError(
                    f"{self}: forecast {number} has the shape {values.shape}; its split tests "
                    f"{int(rows.sum())} rows"
                )
            part[rows] = values
            for block, mask in zip(blocks, masks, strict=True):
                found[mask, path[block]] = part[mask]
                path[block] += 1
        return found

    def _tests(self, n_dates: int) -> list[list[Block]]:
        _whole(self, n_groups=(self.n_groups, 2), n_test_groups=(self.n_test_groups, 1))
        if self.n_test_groups >= self.n_groups:
            raise UsageError(
                f"{self}: n_test_groups: got {self.n_test_groups}, allowed: below n_groups, "
                f"{self.n_groups}"
            )
        blocks = _blocks(self, n_dates, self.n_groups)
        return [list(chosen) for chosen in combinations(blocks, self.n_test_groups)]


class _Bars(NamedTuple):
    """The date of each row and the date its label is known, as numbers; how many dates."""

    when: NDArray[np.intp]
    until: NDArray[np.intp]
    n: int


def _bars(splitter: Any, groups: ArrayLike | None, until: ArrayLike | None) -> _Bars:
    _whole(splitter, horizon=(splitter.horizon, 0), embargo=(splitter.embargo, 0))
    if groups is None:
        raise UsageError(f"{splitter}: give the date of each row as `groups`")
    given = np.asarray(groups)
    if given.ndim != 1 or (missing := int(pd.isna(given).sum())):
        what = f"the shape {given.shape}" if given.ndim != 1 else f"{missing} missing dates"
        raise DataError(f"{splitter}: groups have {what}; each row needs one date")
    dates, when = np.unique(given, return_inverse=True)
    if until is None:
        return _Bars(when, when + splitter.horizon, len(dates))
    ends = np.asarray(until)
    if ends.shape != given.shape:
        raise DataError(f"{splitter}: until has the shape {ends.shape}, groups {given.shape}")
    at = np.searchsorted(dates, ends, side="left").astype(np.intp)
    if (early := at < when).any():
        raise DataError(
            f"{splitter}: {int(early.sum())} labels are known before their row is decided"
        )
    return _Bars(when, np.where(pd.isna(ends), NEVER, at), len(dates))


def _blocks(splitter: Any, n_dates: int, n: int) -> list[Block]:
    """Return ``n`` blocks of nearly equally many dates."""
    if n_dates < n:
        raise DataError(f"{splitter}: {n_dates} dates cannot make {n} blocks")
    return list(pairwise([-(-i * n_dates // n) for i in range(n + 1)]))


def _whole(splitter: Any, **parameters: tuple[Any, int]) -> None:
    for name, (value, least) in parameters.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise UsageError(
                f"{type(splitter).__name__}: {name}: got {value!r}, allowed: a whole number of "
                f"{least} or more"
            )
