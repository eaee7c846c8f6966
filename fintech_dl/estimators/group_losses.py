"""Losses of a ranking: each row bears the loss of its group, whose other rows it depends on.

Imports Keras: import it in methods only. Weights have the shape (groups, rows of a group), 0 where
a place is free; targets and outputs have their rows in the same order, group after group. A group
in which the target does not differ has no order to learn: its loss is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fintech_dl.networks.backend import keras

keras()

from keras import ops  # noqa: E402

NOISE = 1e-8  # variance of scores below which their correlation fades to 0
SMALLEST = 1e-30


def by_group(network: Any, loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return a network's objective as a function of rows that lie group by group.

    It takes the model, rows (groups, rows of a group, columns), targets and weights in that shape.
    """

    def objective(model: Any, x: Any, y: Any, weights: Any = None) -> Any:
        if weights is None:
            return network.objective(model, x, y, loss)
        x, y = (ops.reshape(a, (-1, a.shape[-1])) for a in (x, y))
        losses = network.objective(model, x, y, partial(loss, weights=weights))
        return ops.reshape(losses, ops.shape(weights))

    return objective


def correlation(target: Any, output: Any, weights: Any = None) -> Any:
    """Return 1 less the correlation of score and target within the group (Pearson)."""
    y, score, share = _parts(target, output, weights)
    score = score - _sum(share * score)
    both, spread = _sum(share * y * score), _sum(share * ops.square(score))
    # the target varies by 1; scores that do not vary at all have a slope of 0, not of NaN
    return _per_row(1.0 - both / ops.sqrt(spread + NOISE), y, share, output)


def pairwise(target: Any, output: Any, weights: Any = None) -> Any:
    """Return the mean over pairs of log(1 + exp(-difference of scores, higher target first))."""
    y, score, share = _parts(target, output, weights)

    def differences(values: Any) -> Any:
        return ops.expand_dims(values, 2) - ops.expand_dims(values, 1)

    # as given: what a compiler makes of standardised ties need not be equal
    order = ops.sign(differences(ops.reshape(target, ops.shape(score))[:, :, :1]))
    pairs = ops.expand_dims(share, 2) * ops.expand_dims(share, 1) * ops.abs(order)
    losses = ops.sum(pairs * ops.softplus(-order * differences(score)), axis=(1, 2))
    many = ops.maximum(ops.sum(pairs, axis=(1, 2)), SMALLEST)
    return _per_row(ops.expand_dims(losses / many, 1), y, share, output)


def listwise(target: Any, output: Any, weights: Any = None) -> Any:
    """Return the cross-entropy of target and scores as shares of the group (ListNet).

    Less the log of the group's size, so that scores that are all alike lose 0 in every group.
    """
    y, score, share = _parts(target, output, weights)
    wanted = share * ops.exp(y - ops.max(y, axis=1, keepdims=True))
    wanted = wanted / ops.maximum(_sum(wanted), SMALLEST)
    score = score - ops.max(score, axis=1, keepdims=True)
    total = ops.log(ops.maximum(_sum(share * ops.exp(score)), SMALLEST))
    return _per_row(total - _sum(wanted * score), y, share, output)


GROUP_LOSSES = {"ic": correlation, "pairwise": pairwise, "listwise": listwise}


def _parts(target: Any, output: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Return target (standardised), score and share of each row, as (groups, rows, predictions)."""
    if weights is None:
        weights = ops.ones_like(output[:, 0])[None]
    shape = (*ops.shape(weights), -1)
    total = ops.maximum(ops.sum(weights, axis=1, keepdims=True), SMALLEST)
    share = ops.expand_dims(weights / total, 2)
    y = ops.reshape(target, shape)[:, :, :1]  # predictions of one row have one target
    y = y - _sum(share * y)
    spread = _sum(share * ops.square(y))
    known = spread > NOISE
    y = ops.where(known, y / ops.sqrt(ops.where(known, spread, 1.0)), 0.0)
    return y, ops.reshape(output, shape), share


def _sum(values: Any) -> Any:
    return ops.sum(values, axis=1, keepdims=True)


def _per_row(losses: Any, y: Any, share: Any, output: Any) -> Any:
    """Return the loss of each group once per row, 0 where the target does not differ."""
    known = _sum(share * ops.square(y)) > 0
    losses = ops.where(known, losses, 0.0) * ops.ones_like(share)
    return ops.reshape(losses, ops.shape(output)[:1])
