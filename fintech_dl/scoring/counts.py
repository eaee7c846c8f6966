"""Rows counted in a reference's bins while they are scored: exact, and added up in any order.

Drift is told from these counts alone, so that it is the same whatever the batches, shards, workers
and restarts. NumPy only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import floor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintech_dl.errors import ArtefactError

FORMAT = 1
BLOCK = 65_536  # rows compared at once: few calls, and still in the cache

Counts = NDArray[np.int64]


class Coded(NamedTuple):
    """A column of categories as codes into labels, -1 where missing: counted far faster than text.

    Attributes
    ----------
    codes : integer array of shape (n_rows,)
    labels : sequence
        What each code means.
    """

    codes: NDArray[Any]
    labels: Sequence[Any]


class Bins(NamedTuple):
    """The bins of one feature, or of the score.

    Attributes
    ----------
    name : str
    edges : tuple of float or None
        Of numbers.
    places : dict of str to int or None
        Of categories: the bin of each that training has seen.
    size : int
        Bins, those for missing, other and unseen values not counted.
    start : int
        Where the counts begin.
    """

    name: str
    edges: tuple[float, ...] | None
    places: dict[str, int] | None
    size: int
    start: int


class Compiled(NamedTuple):
    """A reference made ready to count by: the bins of all features, those of the score, the width.

    Attributes
    ----------
    features : tuple of Bins
    score : Bins
    others_known : frozenset of str
        Features of which every category that training has seen is known by name, so that others
        are unseen.
    width : int
        Of the array of counts.
    """

    features: tuple[Bins, ...]
    score: Bins
    others_known: frozenset[str]
    width: int


EXTRA = 3  # after the bins of a feature: missing, other, unseen
MISSING, OTHER, UNSEEN = range(EXTRA)
ROWS, SCORED = 0, 1  # where the array of counts says how many rows


def compile_reference(record: Mapping[str, Any], where: str = "the artefact") -> Compiled:
    """Return the record ``reference`` of an artefact ready to count by.

    Parameters
    ----------
    record : dict
        See ``evaluation.reference.reference_record``.
    where : str
        Begins an error text.

    Raises
    ------
    ArtefactError
        The record is of another format, or its parts do not fit together.

    Examples
    --------
    >>> from fintech_dl.scoring.counts import compile_reference
    >>> score = {"edges": [0.5], "counts": [8, 2]}
    >>> found = compile_reference({"format": 1, "features": [], "score": score})
    >>> found.score.edges
    (0.5,)
    """
    try:
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}, this version reads {FORMAT}")
        start, features, known = 2, [], set()
        for one in [*record["features"], {**record["score"], "name": "", "kind": "number"}]:
            size, edges, places = len(one["counts"]), None, None
            if one["kind"] == "number":
                edges = tuple(float(edge) for edge in one["edges"])
                if size != len(edges) + 1 or list(edges) != sorted(set(edges)):
                    raise ValueError(f"the edges of {one['name']!r}")
            else:
                places = {str(label): i for i, label in enumerate(one["categories"])}
                if size != len(places):
                    raise ValueError(f"the categories of {one['name']!r}")
                if one["others"] is not None:
                    known.add(one["name"])
                    places |= dict.fromkeys(map(str, one["others"]), size + OTHER)
            features.append(Bins(str(one["name"]), edges, places, size, start))
            start += size + EXTRA
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{where}: its reference.json cannot be used ({error!s}); use the version of "
            "fintech_dl that saved it, or retrain"
        ) from error
    return Compiled(tuple(features[:-1]), features[-1], frozenset(known), start)


def no_counts(compiled: Compiled) -> Counts:
    """Return the counts of no rows: what counts are added to."""
    return np.zeros(compiled.width, dtype=np.int64)


def count(
    compiled: Compiled, columns: Mapping[str, Any], score: NDArray[np.floating[Any]]
) -> Counts:
    """Return the counts of a batch of rows; add them up with ``+``.

    Parameters
    ----------
    compiled : Compiled
    columns : mapping of str to array or Coded, of shape (n_rows,)
        The features of the table, before any step. Numbers of any dtype, NaN where missing, best
        contiguous; categories as `Coded`, or objects with None where missing. Further columns
        are left alone.
    score : float array of shape (n_rows,) or (n_rows, n_targets)
        Of several targets the first counts.

    Returns
    -------
    int64 array of shape (compiled.width,)
        For ``to_record``.

    Raises
    ------
    KeyError
        A feature is not among the columns.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.scoring.counts import compile_reference, count, to_record
    >>> age = {"name": "age", "kind": "number", "edges": [40.0], "counts": [5, 5], "missing": 0}
    >>> score = {"edges": [0.5], "counts": [8, 2]}
    >>> compiled = compile_reference({"format": 1, "features": [age], "score": score})
    >>> found = count(compiled, {"age": np.array([18.0, 40.0, 65.0])}, np.array([0.1, 0.2, 0.9]))
    >>> to_record(compiled, found)["features"]["age"]["counts"]
    [2, 1]
    """
    found = no_counts(compiled)
    score = score if score.ndim == 1 else score[:, 0]
    found[ROWS] = found[SCORED] = len(score)
    for bins in compiled.features:
        into = found[bins.start : bins.start + bins.size + EXTRA]
        values = columns[bins.name]
        if bins.edges is not None:
            _count_numbers(np.asarray(values), bins.edges, into)
        else:
            assert bins.places is not None
            rest = bins.size + (UNSEEN if bins.name in compiled.others_known else OTHER)
            _count_categories(values, bins.places, rest, bins.size + MISSING, into)
    into = found[compiled.score.start :]
    assert compiled.score.edges is not None
    _count_numbers(score, compiled.score.edges, into)
    return found


def to_record(compiled: Compiled, counts: Counts) -> dict[str, Any]:
    """Return counts as a commit keeps them, JSON-plain; ``manifest.added`` sums those of shards.

    Returns
    -------
    dict
        ``rows``; ``features``: by name ``counts``, ``missing``, ``other`` (categories that are not
        among the frequent ones) and ``unseen`` (that training has not seen); ``score``;
        ``rows_scored``.
    """
    found = {}
    for bins in compiled.features:
        inside = counts[bins.start : bins.start + bins.size].tolist()
        after = counts[bins.start + bins.size :][:EXTRA].tolist()
        names = ("missing", "other", "unseen")
        found[bins.name] = {"counts": inside, **dict(zip(names, after, strict=True))}
    score = compiled.score
    return {
        "rows": int(counts[ROWS]),
        "features": found,
        "score": counts[score.start : score.start + score.size].tolist(),
        "rows_scored": int(counts[SCORED]),
    }


def from_frame(frame: Any) -> dict[str, Any]:
    """Return the columns of a DataFrame as `count` takes them: categories by their codes."""
    return {str(name): _column(frame[name]) for name in frame}


def _column(values: Any) -> Any:
    kind = getattr(values.dtype, "kind", "O")
    if hasattr(values, "cat"):
        return Coded(values.cat.codes.to_numpy(), values.cat.categories.tolist())
    if isinstance(values.dtype, np.dtype):
        return values.to_numpy()
    if kind in "iuf":  # pandas' own numbers, empty cells in a mask
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return values.to_numpy(dtype=object, na_value=None)


def _count_numbers(values: NDArray[Any], edges: tuple[float, ...], into: Counts) -> None:
    """Count values above each edge: exact in the values' own dtype, and faster than any search."""
    if values.dtype.kind not in "fiu" or values.dtype == np.float16:
        values = values.astype(np.float64)
    bounds = [_below(edge, values.dtype) for edge in edges]
    size, n = len(bounds) + 1, len(values)
    above = [n, *(0 for _ in bounds)]
    missing = 0
    mask = np.empty(min(BLOCK, n), dtype=bool)
    for at in range(0, n, BLOCK):
        block = np.ascontiguousarray(values[at : at + BLOCK])
        told = mask[: len(block)]
        if values.dtype.kind == "f":
            missing += int(np.count_nonzero(np.not_equal(block, block, out=told)))
        for i, bound in enumerate(bounds, 1):
            above[i] += int(np.count_nonzero(np.greater(block, bound, out=told)))
    above[0] -= missing
    into[:size] += np.array(above) - np.array([*above[1:], 0])
    into[size + MISSING] += missing


@lru_cache(maxsize=65_536)
def _below(edge: float, dtype: np.dtype[Any]) -> Any:
    """Return the largest number of a dtype that is not above an edge: x > both or neither."""
    if dtype.kind in "iu":
        lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        return dtype.type(min(floor(edge), highest)) if edge >= lowest else -np.inf
    with np.errstate(over="ignore"):
        found = dtype.type(edge)
    return found if float(found) <= edge else np.nextafter(found, dtype.type(-np.inf))


def _count_categories(
    values: Any, places: Mapping[str, int], rest: int, missing: int, into: Counts
) -> None:
    if isinstance(values, tuple):  # `Coded`, or what `data.proven` gives, which is alike
        coded = Coded(*values)
        mass = np.bincount(np.asarray(coded.codes, dtype=np.int64) + 1)
        into[missing] += mass[0] if len(mass) else 0
        pairs = [(coded.labels[i], n) for i, n in enumerate(mass[1:].tolist()) if n]
    else:
        pairs = list(Counter(np.asarray(values).tolist()).items())
    for label, n in pairs:
        empty = label is None or label != label
        into[missing if empty else places.get(str(label), rest)] += n
