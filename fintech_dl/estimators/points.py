"""A fitted scorecard as a table of points: the whole model on a page."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from fintech_dl.errors import UsageError

if TYPE_CHECKING:
    from fintech_dl.estimators.classifier import NeuralClassifier

FIELDS = ["feature", "rule", "from", "to", "value", "points_from", "points_to"]
RULES = ("base", "range", "whole", "code", "category", "missing", "other")
BASE = "(base)"


def points_table(
    model: NeuralClassifier,
    *,
    pdo: float = 20.0,
    base_score: float = 600.0,
    base_odds: float = 50.0,
    round_to: float | None = None,
) -> pd.DataFrame:
    """Write a fitted :class:`~fintech_dl.Scorecard` as a table of points.

    Use it to show a credit officer or a validator the whole model, or to score where there is no
    Python. The score is the points of the base plus those of each column; more points mean less
    risk: ``base_score`` at ``base_odds`` good to bad, and twice the odds with ``pdo`` points more.

    Parameters
    ----------
    model : NeuralClassifier
        Fitted, of two classes, ``classes_[1]`` the bad; its network a Scorecard.
    pdo : float, default=20
        Points that double the odds.
    base_score : float, default=600
        Score at ``base_odds``.
    base_odds : float, default=50
        Good to bad.
    round_to : float, optional
        Round the points to multiples of this, 1 for whole points: a number's straight pieces
        become ranges of constant points, which moves a column's points by half of it at most. A
        column whose training values are all whole gets ranges of whole numbers.

    Returns
    -------
    DataFrame
        A line per rule of each ``feature``: ``rule`` is ``"base"``; ``"range"`` of numbers, those
        ``from`` on and below ``to``, with ``points_from`` and ``points_to`` at its ends and
        straight between them; ``"whole"``, whole numbers from ``from`` to ``to``, both included (a
        fraction counts as the whole number below it); ``"code"``, a special code, and
        ``"category"``, with their ``value`` as JSON; ``"missing"``; ``"other"`` for categories that
        are missing, rare or unseen. Points of a column are 0 for the average of the training rows.

    Raises
    ------
    UsageError
        The model is no sum of curves (another network or estimator, members that are not averaged
        by logit, more than two classes), or a parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl import NeuralClassifier, Scorecard, points_table
    >>> X, y = np.array([[20.0], [30.0], [40.0], [50.0]] * 50), np.array([1, 1, 0, 0] * 50)
    >>> network = Scorecard(monotone={"x0": "decreasing"})
    >>> model = NeuralClassifier(network=network, epochs=2, random_state=0).fit(X, y)
    >>> points_table(model, round_to=1)["rule"].unique().tolist()
    ['base', 'whole', 'missing']
    """
    factor, offset = scale(pdo, base_score, base_odds)
    if round_to is not None and not (math.isfinite(round_to) and round_to >= 0.01):
        raise UsageError(f"round_to={round_to!r}; allowed: None, or a number of at least 0.01")
    members, bias = _curves(model)
    base = _rounded(offset - factor * bias, round_to)
    lines: list[list[Any]] = [[BASE, "base", None, None, None, base, base]]
    for i, column in enumerate(model.columns_):
        own = [curves[i] for curves in members]
        points = _mean_points(own, factor)
        missing = _rounded(points.pop("missing"), round_to)
        name = column["name"]
        if column["kind"] == "category":
            for value, p in zip(column["categories"], points["heights"], strict=True):
                p = _rounded(p, round_to)
                lines.append([name, "category", None, None, _as_json(name, value), p, p])
            lines.append([name, "other", None, None, None, missing, missing])
            continue
        rule = "whole" if column.get("whole") and round_to is not None else "range"
        for start, stop, *ends in _ranges(points["edges"], points["heights"], round_to, rule):
            lines.append([name, rule, start, stop, None, *ends])
        for code, p in points["codes"].items():
            p = _rounded(p, round_to)
            lines.append([name, "code", None, None, f"{code:.17g}", p, p])
        lines.append([name, "missing", None, None, None, missing, missing])
    table = pd.DataFrame(lines, columns=FIELDS)
    numbers = ["from", "to", "points_from", "points_to"]
    return table.astype(dict.fromkeys(numbers, float))


def scale(pdo: float, base_score: float, base_odds: float) -> tuple[float, float]:
    """Return what to multiply the log odds of good by, and what to add."""
    given = {"pdo": pdo, "base_odds": base_odds}
    if wrong := [name for name, n in given.items() if not (math.isfinite(n) and n > 0)]:
        raise UsageError(f"{wrong[0]}={given[wrong[0]]!r}; allowed: a number above 0")
    if not math.isfinite(base_score):
        raise UsageError(f"base_score={base_score!r}; allowed: a number")
    factor = pdo / math.log(2)
    return factor, base_score - factor * math.log(base_odds)


def check_scorecard(model: Any) -> None:
    """Raise UsageError unless points can be made of an estimator, once it is fitted."""
    from fintech_dl.estimators.classifier import NeuralClassifier
    from fintech_dl.networks.scorecard import Scorecard

    network = getattr(model, "network", None)
    if not isinstance(model, NeuralClassifier) or not isinstance(network, Scorecard):
        inner = "" if network is None else f" (its network is {type(network).__name__})"
        raise UsageError(
            f"{type(model).__name__} is no scorecard{inner}: a table of points can be made of "
            "NeuralClassifier(network=Scorecard(...)) alone, without steps before it"
        )
    n = len(model.members_) if hasattr(model, "members_") else model.n_members
    if (n > 1 or model.cv is not None) and model.average != "logit":
        members = f"{n} members" if n > 1 else "a member per fold"
        raise UsageError(
            f"average={model.average!r} of {members} is no sum of curves; set "
            'average="logit" (no new fit is needed), or n_members=1'
        )


def _curves(model: Any) -> tuple[list[list[dict[str, Any]]], float]:
    """Return the curves of each member, and the log odds of bad of the average row."""
    from fintech_dl.estimators.graph import rebuilt

    check_scorecard(model)
    check_is_fitted(model, "weights_")
    if len(model.classes_) != 2:
        raise UsageError(
            f"the model has {len(model.classes_)} classes; a table of points needs two, good and "
            "bad: fit it to such a target"
        )
    from fintech_dl.networks.curves import curves

    members, bias = [], []
    for member in range(len(model.members_)):
        built = rebuilt(model, member)
        members.append(curves(built, model.columns_))
        offsets = built.get_layer("head").bias, built.get_layer("log_odds").offset
        bias.append(sum(float(np.asarray(part)[0]) for part in offsets))
    return members, float(np.mean(bias))


def _mean_points(own: list[dict[str, Any]], factor: float) -> dict[str, Any]:
    """Return the points of a column: those of its members' curves, averaged."""
    points = {"missing": -factor * float(np.mean([curve["missing"] for curve in own]))}
    if "edges" not in own[0]:
        heights = np.mean([curve["heights"] for curve in own], axis=0)
        return {**points, "heights": -factor * heights}
    edges = np.unique(np.concatenate([curve["edges"] for curve in own]))
    heights = np.mean([np.interp(edges, c["edges"], c["heights"]) for c in own], axis=0)
    codes = {c: -factor * float(np.mean([o["codes"][c] for o in own])) for c in own[0]["codes"]}
    return {**points, "edges": edges, "heights": -factor * heights, "codes": codes}


def _ranges(
    edges: np.ndarray, points: np.ndarray, round_to: float | None, rule: str
) -> list[tuple[float, float, float, float]]:
    """Return lines of a number: from, to, and the points at both ends."""
    if round_to is not None:
        whole = rule == "whole"
        at, values = _stairs(edges, points, round_to, whole)
        bounds = [-math.inf, *at[1:], math.inf]
        return [(a, b - whole, p, p) for (a, b), p in zip(pairwise(bounds), values, strict=True)]
    x = [_short(edge) for edge in edges]
    inner = [
        (a, b, p, q)
        for (a, b), (p, q) in zip(pairwise(x), pairwise(map(float, points)))  # noqa: B905
    ]
    first, last = float(points[0]), float(points[-1])
    return [(-math.inf, x[0], first, first), *inner, (x[-1], math.inf, last, last)]


def _stairs(
    edges: np.ndarray, points: np.ndarray, round_to: float, whole: bool
) -> tuple[list[float], list[float]]:
    """Return where the rounded curve has a new value, or the next whole number; and the values."""
    at, values = [float(edges[0])], [_rounded(points[0], round_to)]
    for (a, b), (p, q) in zip(pairwise(edges), pairwise(points), strict=True):
        way, end = math.copysign(round_to, q - p), _rounded(q, round_to)
        while values[-1] != end:
            x = a + (values[-1] + way / 2 - p) / (q - p) * (b - a)
            new = _rounded(values[-1] + way, round_to)
            x = _short(min(max(x, a), b))
            x = float(math.ceil(x)) if whole else x
            if x <= at[-1] and len(at) > 1:
                values[-1] = new
            else:
                at.append(x)
                values.append(new)
    return at, values


def _rounded(points: float, round_to: float | None) -> float:
    """Return the nearest multiple, if asked for; never a negative zero."""
    if round_to is not None:
        points = np.floor(points / round_to + 0.5) * round_to
    return float(points) + 0.0


def _short(number: float) -> float:
    """Return the shortest number that is the same in float32, as networks see it."""
    return float(str(np.float32(number)))


def _as_json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"column {name!r}: category {value!r} is no plain text or number; turn it into text"
        ) from error
