"""Whether scored rows are still like those of a reference: from counts alone, honest about chance.

Something raises an alarm only if it is both beyond chance, all that is looked at counted, and large
enough to matter: of many rows every trifle is beyond chance, and of few rows chance alone looks
large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scipy.stats import false_discovery_control, hypergeom

from fintech_dl.errors import PlanError
from fintech_dl.evaluation.binning import MISSING, OTHER, bin_labels
from fintech_dl.evaluation.stability import LEVEL, WATCH, Shift, psi_of_counts

MORE_ASIDE = 0.01  # of the share set aside, above the reference's
ALERTS_MOVED, ALERTS_RATIO = 0.05, 2.0
SHOWN = 10  # parts of the input
TRACED = 5  # features that are looked at part by part


class Part(NamedTuple):
    """A part of the input, a file or a shard.

    Attributes
    ----------
    name : str
    rows, quarantined : int
        Rows read, and how many of them were set aside.
    counts : dict
        As ``scoring.counts.to_record``.
    """

    name: str
    rows: int
    quarantined: int
    counts: Mapping[str, Any]


def drift(
    reference: Mapping[str, Any],
    counts: Mapping[str, Any],
    totals: Mapping[str, Any],
    parts: Sequence[Part] = (),
) -> dict[str, Any]:
    """Return how far scored rows differ from a reference, and what of it is an alarm.

    Parameters
    ----------
    reference : dict
        See ``reference.reference_record``, or `as_reference`.
    counts : dict
        Of all scored rows, as ``scoring.counts.to_record``.
    totals : dict
        Of the run: ``rows``, ``scored``, ``quarantined``, ``quarantine_reasons`` and ``alerts``.
    parts : sequence of Part
        Of the input, to find those that differ most.

    Returns
    -------
    dict
        JSON-plain: ``features`` (the most changed first), ``score``, ``quarantine``, ``alerts``
        (None where none are counted), ``parts`` and ``alarms`` (names). Every check has
        ``p_value``, ``p_adjusted`` (Benjamini-Hochberg over all checks), ``beyond_chance`` and
        ``alarm``; those of bins also ``psi`` with ``expected_by_chance``, ``chance_95``,
        ``rule_of_thumb`` and the ``bins``.

    Raises
    ------
    PlanError
        The rows were counted in other bins.

    Examples
    --------
    >>> from fintech_dl.evaluation.monitoring import drift
    >>> age = {"name": "age", "kind": "number", "edges": [40.0], "counts": [500, 500], "missing": 0}
    >>> score = {"edges": [0.5], "counts": [900, 100], "effective_rows": 1000.0}
    >>> reference = {"features": [age], "score": score, "effective_rows": 1000.0}
    >>> new = {"age": {"counts": [90, 10], "missing": 0, "other": 0, "unseen": 0}}
    >>> counts = {"rows": 100, "features": new, "score": [85, 15], "rows_scored": 100}
    >>> drift(reference, counts, {"rows": 100, "quarantined": 0})["alarms"]
    ['age']
    """
    features = [
        _feature(one, counts["features"].get(one["name"]), reference, counts)
        for one in reference["features"]
    ]
    score = {"name": "score", **_shift(_score(reference["score"], counts["score"], counts))}
    quarantine = _quarantine(reference, totals)
    alerts = _alerts(reference, totals)
    checks = [*features, score, quarantine, *([alerts] if alerts else [])]
    adjusted = false_discovery_control([one["p_value"] for one in checks])
    for one, p in zip(checks, adjusted, strict=True):
        one["p_adjusted"] = float(p)
        one["beyond_chance"] = bool(p < LEVEL)
        one["alarm"] = one["beyond_chance"] and one.pop("matters")
    features.sort(key=lambda one: -one["psi"])
    return {
        "features": features,
        "score": score,
        "quarantine": quarantine,
        "alerts": alerts,
        "parts": _worst_parts(reference, features, parts),
        "alarms": [one["name"] for one in (score, quarantine, alerts) if one and one["alarm"]]
        + [one["name"] for one in features if one["alarm"]],
    }


def as_reference(
    reference: Mapping[str, Any], counts: Mapping[str, Any], totals: Mapping[str, Any]
) -> dict[str, Any]:
    """Return another run's counts as a reference: its rows take the place of the training rows.

    Parameters
    ----------
    reference : dict
        The artefact's, whose bins both were counted in.
    counts, totals : dict
        Of the other run, as for `drift`.

    Returns
    -------
    dict
        For `drift`.

    Raises
    ------
    PlanError
        The rows were counted in other bins.
    """
    rows = float(counts["rows"])
    features = []
    for one in reference["features"]:
        found = _counted(one, counts["features"].get(one["name"]))
        other = {"other": found["other"] + found["unseen"]} if "other" in one else {}
        new = {"counts": found["counts"], "missing": found["missing"], **other}
        features.append({**one, **new})
    if len(counts["score"]) != len(reference["score"]["counts"]):
        raise _other_bins("the score")
    alerts, scored = totals.get("alerts"), int(totals.get("scored") or 0)
    rated = reference.get("alert_rate") is not None and scored
    return {
        **reference,
        "rows": int(rows),
        "effective_rows": rows,
        "features": features,
        "score": {
            **reference["score"],
            "counts": counts["score"],
            "rows": counts["rows_scored"],
            "effective_rows": float(counts["rows_scored"]),
            "of": "another run",
        },
        "alert_rate": alerts / scored if rated and alerts is not None else None,
        "rows_read": totals["rows"],
        "quarantined_share": totals["quarantined"] / totals["rows"] if totals["rows"] else 0.0,
        "quarantine_reasons": totals.get("quarantine_reasons", {}),
    }


def _counted(one: Mapping[str, Any], found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if found is None or len(found["counts"]) != len(one["counts"]):
        raise _other_bins(repr(one["name"]))
    return found


def _other_bins(what: str) -> PlanError:
    return PlanError(
        f"{what} was counted in other bins than those of the artefact; compare runs of one "
        "artefact, and name with --artefact the one that scored them"
    )


def _feature(
    one: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    reference: Mapping[str, Any],
    counts: Mapping[str, Any],
) -> dict[str, Any]:
    found = _counted(one, found)
    sizes = (reference["effective_rows"], float(counts["rows"]))
    total, rows = sum(one["counts"]) + one.get("other", 0) + one["missing"], counts["rows"]
    category = one["kind"] == "category"
    unseen = category and one.get("others") is not None
    return {
        "name": one["name"],
        "kind": one["kind"],
        **_shift(psi_of_counts(*_bins(one, found), rows_expected=sizes[0], rows_actual=sizes[1])),
        "missing_expected": one["missing"] / total,
        "missing_actual": found["missing"] / rows,
        "unseen": found["unseen"] / rows if unseen else None,
    }


def _bins(
    one: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[list[str], list[float], list[float]]:
    """Return names of a feature's bins, and what both sides hold."""
    if one["kind"] == "number":
        labels = bin_labels(one["edges"])
        ends: list[tuple[str, float, float]] = []
    else:
        labels = list(one["categories"])
        ends = [(OTHER, one["other"], found["other"] + found["unseen"])]
    ends.append((MISSING, one["missing"], found["missing"]))
    names, old, new = zip(*ends, strict=True)
    return [*labels, *names], [*one["counts"], *old], [*found["counts"], *new]


def _score(score: Mapping[str, Any], found: Sequence[int], counts: Mapping[str, Any]) -> Shift:
    if len(found) != len(score["counts"]):
        raise _other_bins("the score")
    return psi_of_counts(
        bin_labels(score["edges"]),
        score["counts"],
        found,
        rows_expected=score["effective_rows"],
        rows_actual=float(counts["rows_scored"]),
    )


def _shift(found: Shift) -> dict[str, Any]:
    return {
        "psi": found.psi,
        "expected_by_chance": found.expected_by_chance,
        "chance_95": found.chance_95,
        "p_value": found.p_value,
        "rule_of_thumb": found.rule_of_thumb,
        "matters": found.psi >= WATCH,
        "empty": list(found.empty),
        "bins": {name: found.bins[name].tolist() for name in ("bin", "expected", "actual")},
    }


def _quarantine(reference: Mapping[str, Any], totals: Mapping[str, Any]) -> dict[str, Any]:
    rows, aside = int(totals["rows"]), int(totals["quarantined"])
    read = int(reference.get("rows_read") or 0)
    before = float(reference.get("quarantined_share") or 0.0)
    share = aside / rows if rows else 0.0
    old = reference.get("quarantine_reasons") or {}
    new = totals.get("quarantine_reasons") or {}
    return {
        "name": "quarantine",
        "expected": before if read else None,
        "actual": share,
        "p_value": _more(round(before * read), read, aside, rows) if read and rows else 1.0,
        "matters": bool(read) and share - before >= MORE_ASIDE,
        "reasons": [
            {
                "reason": code,
                "expected": old.get(code, 0) / read if read else None,
                "actual": new.get(code, 0) / rows if rows else 0.0,
                "rows": new.get(code, 0),
            }
            for code in dict.fromkeys([*new, *old])
        ],
    }


def _alerts(reference: Mapping[str, Any], totals: Mapping[str, Any]) -> dict[str, Any] | None:
    before, alerts, scored = (
        reference.get("alert_rate"),
        totals.get("alerts"),
        int(totals.get("scored") or 0),
    )
    if before is None or alerts is None or not scored:
        return None
    rows, rate = round(reference["score"]["effective_rows"]), alerts / scored
    old = (round(before * rows), rows)
    more, fewer = _more(*old, alerts, scored), _more(*_not(*old), *_not(alerts, scored))
    low, high = sorted((before, rate))
    return {
        "name": "alert rate",
        "expected": before,
        "actual": rate,
        "alerts": alerts,
        "p_value": min(1.0, 2 * min(more, fewer)),
        "matters": high - low >= ALERTS_MOVED or high >= ALERTS_RATIO * low,
    }


def _not(found: int, of: int) -> tuple[int, int]:
    return of - found, of


def _more(old: int, of_old: int, new: int, of_new: int) -> float:
    """Return Fisher's exact p-value of "the share has not risen"."""
    return float(hypergeom.sf(new - 1, of_old + of_new, old + new, of_new))


def _worst_parts(
    reference: Mapping[str, Any], features: Sequence[Mapping[str, Any]], parts: Sequence[Part]
) -> list[dict[str, Any]]:
    """Return the parts of the input that differ most from the reference, by the checks that do.

    Looked at are the score and the most changed features. A part differs by as much as its PSI is
    above what chance alone gives 95 times out of 100 for so few rows.
    """
    if len(parts) < 2:
        return []
    by_name = {one["name"]: one for one in reference["features"]}
    traced = [one["name"] for one in features[:TRACED]]
    found: list[dict[str, Any]] = []
    for part in parts:
        if not part.counts or not part.counts["rows"]:
            continue
        shifts = {"score": _score(reference["score"], part.counts["score"], part.counts)}
        for name in traced:
            bins = _bins(by_name[name], part.counts["features"][name])
            sizes = (reference["effective_rows"], float(part.counts["rows"]))
            shifts[name] = psi_of_counts(*bins, rows_expected=sizes[0], rows_actual=sizes[1])
        above = {name: shift.psi - shift.chance_95 for name, shift in shifts.items()}
        worst = max(above, key=lambda name: above[name])
        found.append(
            {
                "part": part.name,
                "rows": part.rows,
                "quarantined": part.quarantined / part.rows if part.rows else 0.0,
                "score_psi": shifts["score"].psi,
                "most_changed": worst,
                "psi": shifts[worst].psi,
                "chance_95": shifts[worst].chance_95,
                "above_chance": above[worst],
            }
        )
    found.sort(key=lambda one: -float(one["above_chance"]))
    return found[:SHOWN]
