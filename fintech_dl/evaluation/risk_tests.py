"""Back-tests of value at risk and expected shortfall.

A *hit* is a date on which the loss exceeded the value at risk; of one at 99 % there should be one
in a hundred, and knowing of one should tell nothing about the next.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy
from scipy.stats import binom, chi2

from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.forecasts import aligned
from fintech_dl.evaluation.newey_west import WaldTest

SURCHARGES = {  # by hits in 250 dates at 99 %, from 5; the base is 3 (1996) or 1.5 (MAR 33)
    "1996": (0.40, 0.50, 0.65, 0.75, 0.85, 1.00),
    "MAR 33": (0.20, 0.26, 0.33, 0.38, 0.42, 0.50),
}


class TrafficLight(NamedTuple):
    """Hits, their zone, the chance of at most so many if the model is right, and the surcharge.

    ``surcharge`` is added to the multiplier of the capital charge; None where the table of the
    Basel Committee, 250 dates at 99 %, does not apply.
    """

    hits: int
    zone: str
    cumulative: float
    surcharge: float | None


class ShortfallTest(NamedTuple):
    """A back-test of expected shortfall: statistic, one-sided p-value, number of hits."""

    statistic: float
    p_value: float
    hits: int


def kupiec(hits: ArrayLike, level: float) -> WaldTest:
    """Test whether there are as many hits as there should be (unconditional coverage).

    Parameters
    ----------
    hits : bool array of shape (n_dates,)
    level : float
        Chance of a hit if the model is right: 0.01 for a value at risk at 99 %.

    Returns
    -------
    WaldTest
        Likelihood ratio, chi-squared with 1 degree of freedom; too few hits count like too many.

    Raises
    ------
    UsageError
        A level that is not between 0 and 1.
    DataError
        No dates, or values other than true and false.

    Notes
    -----
    Kupiec, Techniques for verifying the accuracy of risk measurement models (1995).

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.risk_tests import kupiec
    >>> found = kupiec(np.arange(250) < 7, 0.01)
    >>> round(found.statistic, 4), round(found.p_value, 4)
    (5.497, 0.019)
    """
    x = _hits(hits)
    _check_level(level)
    n, number = len(x), int(x.sum())
    ratio = 2 * (_likelihood(number, n, number / n) - _likelihood(number, n, level))
    return _chi2(ratio, 1)


def christoffersen(hits: ArrayLike) -> WaldTest:
    """Test whether a hit makes another on the next date more, or less, likely (independence).

    Parameters
    ----------
    hits : bool array of shape (n_dates,)
        In time order.

    Returns
    -------
    WaldTest
        Likelihood ratio against a Markov chain, chi-squared with 1 degree of freedom; 0 where no
        date follows a hit, or none a date without.

    Raises
    ------
    DataError
        Fewer than 2 dates, or values other than true and false.

    Notes
    -----
    Christoffersen, Evaluating interval forecasts (1998). The first date only starts the chain.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.risk_tests import christoffersen
    >>> christoffersen(np.arange(250) < 7).p_value < 1e-6  # all in one week
    True
    """
    x = _hits(hits)
    if len(x) < 2:
        raise DataError(f"christoffersen: {len(x)} dates are too few; 2 or more are needed")
    before, after = x[:-1], x[1:]
    chain = 0.0
    for state in (False, True):
        n, number = int((before == state).sum()), int((after & (before == state)).sum())
        chain += _likelihood(number, n, number / max(n, 1))
    number, n = int(after.sum()), len(after)
    return _chi2(2 * (chain - _likelihood(number, n, number / n)), 1)


def conditional_coverage(hits: ArrayLike, level: float) -> WaldTest:
    """Test both: as many hits as there should be, and none that foretells another.

    Parameters
    ----------
    hits, level
        As in ``kupiec``.

    Returns
    -------
    WaldTest
        The sum of ``kupiec`` and ``christoffersen``, chi-squared with 2 degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.risk_tests import conditional_coverage
    >>> conditional_coverage(np.arange(250) % 100 == 50, 0.01).p_value > 0.5
    True
    """
    return _chi2(kupiec(hits, level).statistic + christoffersen(hits).statistic, 2)


def traffic_light(
    hits: ArrayLike, level: float = 0.01, scheme: Literal["1996", "MAR 33"] = "MAR 33"
) -> TrafficLight:
    """Return the zone of the Basel Committee's traffic light.

    Green is no proof: of 250 dates, a model whose true share of hits is 2 % instead of 1 % is green
    44 times out of 100.

    Parameters
    ----------
    hits : bool array of shape (n_dates,)
    level : float
        Chance of a hit if the model is right.
    scheme : str
        Which table of surcharges: of 1996 (on a multiplier of 3) or of MAR 33 (on 1.5).

    Returns
    -------
    TrafficLight
        ``green`` while the chance of at most so many hits is below 95 %, ``red`` from 99.99 %,
        ``yellow`` between; for 250 dates at 1 %: 0 to 4, 5 to 9, and 10 or more.

    Raises
    ------
    UsageError, DataError
        As ``kupiec``; a scheme that is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.evaluation.risk_tests import traffic_light
    >>> found = traffic_light(np.arange(250) < 5)
    >>> found.zone, found.surcharge
    ('yellow', 0.2)
    """
    x = _hits(hits)
    _check_level(level)
    if scheme not in SURCHARGES:
        raise UsageError(f"traffic_light: scheme: got {scheme!r}, allowed: {list(SURCHARGES)}")
    number = int(x.sum())
    up_to = float(binom.cdf(number, len(x), level))
    zone = "green" if up_to < 0.95 else "yellow" if up_to < 0.9999 else "red"
    surcharge = None
    if len(x) == 250 and level == 0.01:
        table = SURCHARGES[scheme]
        surcharge = 0.0 if number < 5 else table[min(number - 5, len(table) - 1)]
    return TrafficLight(number, zone, up_to, surcharge)


def acerbi_szekely(returns: ArrayLike, var: ArrayLike, shortfall: ArrayLike, level: float) -> float:
    """Return the second statistic of Acerbi and Szekely: 0 is right, below 0 too little risk.

    It sees hits that are too many as well as losses beyond them that are too large. At a level of
    2.5 % and 250 dates, values below -0.7 occur in about 5 of 100 cases if the model is right, for
    normal tails as for heavy ones; other settings need a simulation of the model.

    Parameters
    ----------
    returns : array of shape (n_dates,)
        Losses are negative.
    var, shortfall : array of shape (n_dates,)
        Value at risk and expected shortfall, losses above 0, shortfall no smaller than var.
    level : float
        Chance of a hit if the model is right, such as 0.025.

    Raises
    ------
    UsageError
        A level that is not between 0 and 1.
    DataError
        A shortfall that is not above 0, or below the value at risk.

    Notes
    -----
    Acerbi and Szekely, Backtesting expected shortfall (2014), test 2 (Z2).

    Examples
    --------
    >>> from fintech_dl.evaluation.risk_tests import acerbi_szekely
    >>> acerbi_szekely([-3.0, 1.0, 0.0, 0.5], var=[1.0] * 4, shortfall=[2.0] * 4, level=0.25)
    -0.5
    """
    _check_level(level)
    loss, value, tail = _losses("acerbi_szekely", returns, var, shortfall)
    return float(1 - (loss / tail)[loss > value].sum() / (len(loss) * level))


def mcneil_frey(
    returns: ArrayLike, var: ArrayLike, shortfall: ArrayLike, *, n: int = 10_000, seed: int = 0
) -> ShortfallTest:
    """Test whether losses beyond the value at risk are larger than the expected shortfall says.

    Only the dates of hits count, each in units of its shortfall, so that it says nothing about how
    many hits there are: look at ``kupiec`` beside it.

    Parameters
    ----------
    returns, var, shortfall : array of shape (n_dates,)
        As in ``acerbi_szekely``.
    n, seed : int
        Resamples.

    Returns
    -------
    ShortfallTest
        The t-value of the mean excess over the shortfall, above 0 for losses that are too large;
        ``p_value`` by bootstrap, one-sided. NaN below 5 hits.

    Notes
    -----
    McNeil and Frey, Estimation of tail-related risk measures for heteroscedastic financial time
    series (2000), s4.2; excesses are scaled by the shortfall instead of the standard deviation.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> from fintech_dl.evaluation.risk_tests import mcneil_frey
    >>> returns = np.random.default_rng(0).standard_t(4, 2000)
    >>> normal = norm.pdf(norm.ppf(0.025)) / 0.025  # a normal tail is too thin
    >>> mcneil_frey(returns, np.full(2000, 1.96), np.full(2000, normal)).p_value < 0.01
    True
    """
    loss, value, tail = _losses("mcneil_frey", returns, var, shortfall)
    excess = ((loss - tail) / tail)[loss > value]
    number = len(excess)
    if number < 5 or np.ptp(excess) == 0:
        return ShortfallTest(float("nan"), float("nan"), number)

    def t_value(x: NDArray[np.float64]) -> Any:
        spread = np.maximum(x.std(axis=-1, ddof=1), 1e-12)
        return x.mean(axis=-1) / spread * np.sqrt(number)

    rng = np.random.default_rng(seed)
    drawn = rng.choice(excess - excess.mean(), size=(n, number))
    found = float(t_value(excess))
    return ShortfallTest(found, float((1 + (t_value(drawn) >= found).sum()) / (n + 1)), number)


def _hits(hits: ArrayLike) -> NDArray[np.bool_]:
    found = np.asarray(hits)
    if found.ndim != 1 or len(found) == 0 or not np.isin(found, [0, 1]).all():
        raise DataError(f"hits of shape {found.shape}: one true or false per date is needed")
    return found.astype(bool)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(f"level: got {level}, allowed: above 0, below 1")


def _likelihood(number: int, n: int, chance: float) -> float:
    return float(xlogy(number, chance) + xlogy(n - number, 1 - chance))


def _chi2(statistic: float, df: int) -> WaldTest:
    value = max(statistic, 0.0)
    return WaldTest(value, df, float(chi2.sf(value, df)))


def _losses(where: str, returns: ArrayLike, var: ArrayLike, shortfall: ArrayLike) -> list[Any]:
    change, value, tail = aligned(where, returns=returns, var=var, shortfall=shortfall)
    if ((tail <= 0) | (tail < value)).any():
        raise DataError(
            f"{where}: {int((tail <= 0).sum())} shortfalls are not above 0 and "
            f"{int((tail < value).sum())} lie below the value at risk; both are losses above 0"
        )
    return [-change, value, tail]
