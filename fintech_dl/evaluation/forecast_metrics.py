"""The metrics of forecasts that a pipeline card may name, as sums over rows or days.

The losses themselves are the plain functions of ``forecasts`` and ``ranks``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from fintech_dl.errors import UsageError
from fintech_dl.evaluation.forecasts import absolute_error, qlike, squared_error
from fintech_dl.evaluation.metrics import Floats, row_log_loss
from fintech_dl.evaluation.ranks import information_coefficient
from fintech_dl.evaluation.sums import Blocks, day_sums, ratio, row_sums, sparse

if TYPE_CHECKING:
    from fintech_dl.evaluation.outcomes import Outcome

# the loss of each row of the metrics that are means of losses
LOSSES: dict[str, Callable[..., Floats]] = {
    "qlike": qlike,
    "mse": squared_error,
    "mae": absolute_error,
    "brier": squared_error,
    "log_loss": row_log_loss,
}
ORDERS = ("rank_ic", "ic")  # means over dates of how well scores order the assets of a date


def by_date(outcome: Outcome, name: str) -> pd.Series[Any]:
    """Return the metric of each date: the mean loss of its rows, or the order of its assets.

    Parameters
    ----------
    outcome : Outcome
        With times.
    name : str
        Of ``LOSSES`` or ``ORDERS``.

    Returns
    -------
    Series
        By date, in time order. Of ``ORDERS`` only dates of 5 assets or more; 0 where a date's
        scores are all alike and so order nothing.

    Raises
    ------
    UsageError
        An outcome without times.
    DataError
        ``ORDERS``: no date has 5 assets; else as the losses.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.forecast_metrics import by_date
    >>> from fintech_dl.evaluation.outcomes import Outcome
    >>> when = pd.to_datetime(["2024-05-02", "2024-05-02", "2024-05-03"])
    >>> outcome = Outcome(y=[1.0, 2.0, 3.0], score=[1.0, 4.0, 2.0], when=when, numbers=True)
    >>> by_date(outcome, "mae").tolist()
    [1.0, 1.0]
    """
    if name in ORDERS:
        y = outcome.y if outcome.returns is None else outcome.returns
        found = information_coefficient(y, outcome.score, outcome.days, rank=name == "rank_ic")
        return found.fillna(0.0)
    losses = pd.Series(LOSSES[name](outcome.y, outcome.score))
    return losses.groupby(outcome.days).mean()


def loss_sums(outcome: Outcome, block: Blocks, n_blocks: int, name: str) -> csr_array:
    """Sum the losses of rows."""
    return row_sums(outcome, LOSSES[name](outcome.y, outcome.score), block, n_blocks)


def bias_sums(outcome: Outcome, block: Blocks, n_blocks: int) -> csr_array:
    """Sum by how much forecasts are too high."""
    return row_sums(outcome, outcome.score - outcome.y, block, n_blocks)


def order_sums(outcome: Outcome, block: Blocks, n_blocks: int, name: str) -> csr_array:
    """Sum the information coefficients of days; days of too few assets do not count."""
    if outcome.when is None:
        raise UsageError(f"{name} needs the date of each row (`when`), and the table has none")
    return day_sums(outcome, by_date(outcome, name), block, n_blocks)


def r2_sums(outcome: Outcome, block: Blocks, n_blocks: int) -> csr_array:
    """Sum squared errors, and those of a forecast of 0."""
    w = outcome.weights
    values = np.concatenate([w * (outcome.y - outcome.score) ** 2, w * outcome.y**2])
    column = np.repeat([0, 1], len(outcome))
    return sparse(np.tile(block, 2), column, values, n_blocks, 2)


def r2(sums: Floats) -> Floats:
    """Return the share of the squared errors of a forecast of 0 that is saved."""
    return 1 - ratio(sums[:, 0], sums[:, 1])


def direction_sums(outcome: Outcome, block: Blocks, n_blocks: int) -> csr_array:
    """Sum weights by what was said (a probability of a half or more: up) and what came."""
    place = 2 * (outcome.score >= 0.5) + outcome.y.astype(int)
    return sparse(block, place, outcome.weights, n_blocks, 4)


def mcc(sums: Floats) -> Floats:
    """Return the Matthews correlation coefficient; 0 where only one direction is said or came."""
    down_right, missed, false, up_right = sums.T
    said, came = false + up_right, missed + up_right
    total = sums.sum(axis=1)
    spread = np.sqrt(said * (total - said) * came * (total - came))
    gain = up_right * down_right - false * missed
    return np.divide(gain, spread, out=np.zeros(len(sums)), where=spread > 0)


loss_sums_of = {name: partial(loss_sums, name=name) for name in ("qlike", "mse", "mae")}
order_sums_of = {name: partial(order_sums, name=name) for name in ORDERS}
