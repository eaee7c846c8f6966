"""Sums over each entity's recent rows: exact, without a loop over rows, in O(n log n).

Sorted by entity and, within it, by time, the rows of one entity in a window of time stand side by
side, so that a window's sum is the difference of two running sums. Values are integers: a sum is
exact and does not depend on where the history starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

PART_ROWS = 2**15  # one part's keys fit into the processor's cache
LARGEST_KEY = 2**62
LOG_UNIT = 1e-4  # logs of amounts are counted in this unit, so that their sums are exact
LEAST_LOG_SPREAD = 0.1  # about 10 % of the amount


@dataclass(frozen=True, eq=False)
class EntityOrder:
    """Rows rearranged entity by entity, in time order within each; make it with ``by_entity``.

    A *row* is a position in the data as they came, a *place* a position in this order.

    Attributes
    ----------
    row : int array of shape (n_rows,)
        The row at each place.
    place : int array of shape (n_rows,)
        The place of each row.
    parts : list of int
        The places at which parts begin, then n_rows. A part is some entities with all their rows.
    key : int array of shape (n_rows,)
        Entity and time at each place in one number, ascending within each part.
    reach : int
        A length of time that is longer than the whole data.
    """

    row: Integers
    place: Integers
    parts: list[int]
    key: Integers
    reach: int

    def since(self, back: int) -> Integers:
        """Return for each place the entity's first one that is less than ``back`` older.

        A window of length w ends before the place's successor and starts at ``since(w)``.
        """
        back = min(back, self.reach)
        out = np.empty(len(self.key), dtype=np.int64)
        for first, end in pairwise(self.parts):
            key = self.key[first:end]
            out[first:end] = np.searchsorted(key, key - back, side="right")
            out[first:end] += first
        return out

    @cached_property
    def same_time(self) -> Integers:
        """For each place the entity's first one of the same time; earlier rows stand before it."""
        out = np.arange(len(self.key))
        for first, end in pairwise(self.parts):
            key, place = self.key[first:end], out[first:end]
            place[1:][key[1:] == key[:-1]] = first
            np.maximum.accumulate(place, out=place)
        return out

    def to_rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values given place by place in the order of the rows."""
        return values.take(self.place)


def by_entity(entity: Integers, time: Integers) -> EntityOrder:
    """Order rows entity by entity; rows of one entity and time keep their order.

    Parameters
    ----------
    entity : int array of shape (n_rows,)
        Number of each row's entity: 0, 1, ... (as from ``pandas.factorize``).
    time : int array of shape (n_rows,)
        Ascending times, any unit.

    Returns
    -------
    EntityOrder

    Examples
    --------
    What each customer spent in the last 2 hours before each transaction:

    >>> import numpy as np
    >>> from fintech_dl.features.rolling import by_entity, running_sum
    >>> time, customer, amount = np.array([[1, 2, 2, 3, 4], [0, 1, 0, 0, 0], [5, 7, 9, 11, 13]])
    >>> order = by_entity(customer, time)
    >>> total = running_sum(amount[order.row])
    >>> order.to_rows(total[order.same_time] - total[order.since(2)]).tolist()
    [0, 0, 5, 9, 11]
    """
    row = _stable_order(entity)
    place = np.empty_like(row)
    place[row] = np.arange(len(row))
    reach = int(time[-1] - time[0]) + 1 if len(row) else 1

    # twice the reach lies between two entities: looking back from one never ends in another
    most_entities = max(LARGEST_KEY // (2 * reach), 1)
    entities = np.arange(int(entity.max(initial=0)) + 1)
    entity = entity[row]
    starts = np.searchsorted(entity, entities)
    new_part = (np.diff(starts // PART_ROWS) > 0) | (np.diff(entities // most_entities) > 0)
    first_entity = np.append(0, np.flatnonzero(new_part) + 1)
    parts = np.append(starts[first_entity], len(row))
    key = entity - np.repeat(first_entity, np.diff(parts))
    key *= 2 * reach
    key += (time - time[:1])[row]
    return EntityOrder(row=row, place=place, parts=parts.tolist(), key=key, reach=reach)


def running_sum(values: Integers) -> Integers:
    """Return the sums of the first 0, 1, ... n values: ``s[b] - s[a]`` sums ``values[a:b]``.

    Integers wrap around on overflow, so a difference is exact wherever its own value fits.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.rolling import running_sum
    >>> running_sum(np.array([5, 7, 9])).tolist()
    [0, 5, 12, 21]
    """
    out = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=out[1:])
    return out


def zscores(order: EntityOrder, amount: Floats, start: Integers) -> Floats:
    """Return for each place how unusual its amount is among the entity's strictly earlier rows.

    Parameters
    ----------
    order : EntityOrder
    amount : float array of shape (n_rows,)
        0 or more, in the order of the rows.
    start : int array of shape (n_rows,)
        Place at which each place's window begins, from ``EntityOrder.since``.

    Returns
    -------
    float array of shape (n_rows,)
        How many standard deviations (at least 0.1) log(1 + amount) lies above the mean of the
        window's earlier rows; 0 if they are fewer than two.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.rolling import by_entity, zscores
    >>> order = by_entity(np.zeros(3, dtype=np.int64), np.array([1, 2, 3]))
    >>> zscores(order, np.array([9.0, 9.0, 99.0]), order.since(10)).round(1)
    array([ 0.,  0., 23.])
    """
    end = order.same_time
    count = end - start
    log = np.rint(np.log1p(amount) / LOG_UNIT).astype(np.int64)[order.row]
    sums, squares = running_sum(log), running_sum(log * log)
    n = np.maximum(count, 1).astype(float)
    mean = (sums[end] - sums[start]) / n
    scatter = np.maximum((squares[end] - squares[start]) - n * mean * mean, 0)
    spread = np.sqrt(scatter / np.maximum(n - 1, 1))
    z = (log - mean) / np.maximum(spread, LEAST_LOG_SPREAD / LOG_UNIT)
    return np.where(count > 1, z, 0.0)


def _stable_order(entity: Integers) -> Integers:
    """Return the stable sorting order, 16 bits at a time: NumPy sorts those in linear time."""
    row = np.argsort(entity.astype(np.uint16), kind="stable")  # the last 16 bits
    for shift in range(16, int(entity.max(initial=0)).bit_length(), 16):
        digit = (entity >> shift).astype(np.uint16)
        row = row[np.argsort(digit[row], kind="stable")]
    return row
