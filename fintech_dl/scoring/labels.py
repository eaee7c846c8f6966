"""Labels that came after the scores: which rows they are of, and what they say of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from fintech_dl.cards import PipelineCard, forecasts_numbers
from fintech_dl.errors import DataError
from fintech_dl.evaluation.curves import jeffreys
from fintech_dl.evaluation.outcomes import Outcome
from fintech_dl.evaluation.outcomes import metric as metric_of
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.reference import measured
from fintech_dl.evaluation.stability import LEVEL, WATCH, psi
from fintech_dl.evaluation.wording import count, moment, number, percent
from fintech_dl.scoring.opened import Opened
from fintech_dl.scoring.reading import read_scores

LABEL = "label"
PLACE = ["source_file", "source_row"]
DAYS = 14
LOST, SHARE, RATIO = 0.02, 0.10, 1.25  # what matters: of AUC, of other metrics, of probabilities
CALIBRATION = "observed by predicted"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Scored rows with their labels.

    Attributes
    ----------
    rows : DataFrame
        All scored rows, with ``label``, NaN where none has come.
    time : str
        Column of their time; empty if they have none.
    unmatched : int
        Labels of rows that were not scored.
    column, keys : str, list of str
        Where the labels stand, and which columns say whose they are.
    """

    rows: pd.DataFrame
    time: str
    unmatched: int
    column: str
    keys: list[str]


def read_labels(run: Path, opened: Opened, file: str | Path) -> Labelled:
    """Join a file of labels to the scores of a published run.

    Parameters
    ----------
    run : Path
        Its folder.
    opened : Opened
        The artefact that scored.
    file : str or Path
        Parquet or CSV with the key of the rows (else their time and asset, or ``source_file`` and
        ``source_row``) and their label: named as the dataset names it, or ``label``. Empty where
        it is not known yet.

    Raises
    ------
    DataError
        The file cannot be read, a column is missing, two labels are of one row, a label cannot be
        used, or no label is of a scored row.
    """
    given = _read(Path(file))
    contract, columns = opened.dataset.contract, opened.dataset.columns
    named = {rule.source or name: name for name, rule in columns.items()}
    given = given.rename(columns={old: named[old] for old in given if old in named})
    choices = [[contract.key]] if contract.key else []
    choices += [[contract.time, contract.asset]] if contract.time and contract.asset else []
    choices.append(PLACE)
    keys = next((keys for keys in choices if set(keys) <= set(given)), None)
    target = str(opened.pipeline.table.get("target") or "")
    names = dict.fromkeys([target, *contract.labels[:1], LABEL])
    column = next((name for name in names if name and name in given), None)
    if keys is None or column is None:
        whose = " or ".join(" and ".join(one) for one in choices)
        what = ", ".join(name for name in names if name)
        raise DataError(
            f"{file}: holds the columns {', '.join(map(str, given))}; needed are {whose}, to say "
            f"whose each label is, and the label itself, as one of: {what}"
        )
    time = contract.time if contract.time in columns else ""
    scores = read_scores(run, list(dict.fromkeys([*keys, "score", *([time] if time else [])])))
    label = _labels(given[column], opened.pipeline, f"{file}: {column}")
    found = pd.DataFrame({name: _like(given[name], scores[name], file) for name in keys})
    found[LABEL] = label
    found = found[found[LABEL].notna()]
    if (twice := found.duplicated(keys)).any():
        first = found[keys].iloc[int(twice.to_numpy().argmax())].tolist()
        raise DataError(
            f"{file}: {int(twice.sum())} rows have a label that came before, the first is of "
            f"{' and '.join(keys)} {', '.join(map(str, first))}; keep one of each"
        )
    rows = scores.merge(found, on=keys, how="left", validate="m:1")
    if not rows[LABEL].notna().any():
        raise DataError(
            f"{file}: none of its {len(found):,} labels is of a scored row; look whether "
            f"{' and '.join(keys)} mean the same here and in the scores"
        )
    known = pd.MultiIndex.from_frame(scores[keys].astype(object))
    ours = pd.MultiIndex.from_frame(found[keys].astype(object)).isin(known)
    return Labelled(rows, time, int((~ours).sum()), column, keys)


def judge(
    labelled: Labelled, card: PipelineCard, test: Mapping[str, Any] | None, *, seed: int = 0
) -> dict[str, Any]:
    """Return how good the scores of labelled rows were, against the run's own test.

    Parameters
    ----------
    labelled : Labelled
    card : PipelineCard
    test : dict or None
        Of the artefact's reference, see ``reference.measured``.
    seed : int
        Of the resamples.

    Returns
    -------
    dict
        JSON-plain: ``rows_scored``, ``rows_labelled``, ``coverage``, ``unmatched``, ``texts``,
        ``checks`` (a metric each: ``value``, ``low``, ``high``, ``test``, ``p_value``,
        ``p_adjusted``, ``worse``, ``alarm``), ``curve``, ``test_curve``, ``by_day``, ``alarms``.
    """
    rows, time = labelled.rows, labelled.time
    here = rows[LABEL].notna().to_numpy()
    part = rows[here]
    numbers = forecasts_numbers(card)
    score = part["score"].to_numpy()
    inside = bool(((score >= 0) & (score <= 1)).all())
    probabilities = inside and (test is None or test.get("curve") is not None)
    outcome = Outcome(
        y=part[LABEL].to_numpy(),
        score=score,
        when=part[time] if time and pd.api.types.is_datetime64_any_dtype(part[time]) else None,
        numbers=numbers,
    )
    found = measured(outcome, probabilities, seed=seed)
    checks = _checks(found, test or {})
    if probabilities and not numbers:
        checks.append(_in_the_large(found, outcome, test or {}))
    adjusted = false_discovery_control([one["p_value"] for one in checks]) if checks else []
    for one, p in zip(checks, adjusted, strict=True):
        one["p_adjusted"] = float(p)
        one["worse"] = bool(p < LEVEL) and one.pop("is_worse")
        one["alarm"] = one["worse"] and one.pop("matters")
        one.pop("matters", None)
    by_day = _by_day(rows, time, here)
    return plain(
        {
            "rows_scored": len(rows),
            "rows_labelled": len(part),
            "coverage": len(part) / len(rows),
            "unmatched": labelled.unmatched,
            "column": labelled.column,
            "joined_by": labelled.keys,
            "delay_days": card.table.get("delay_days"),
            **{key: found[key] for key in ("observed", "predicted", "positives", "curve")},
            "test_curve": (test or {}).get("curve"),
            "checks": checks,
            "by_day": by_day,
            "texts": _texts(labelled, card, found, test or {}, here),
            "alarms": [one["name"] for one in checks if one["alarm"]],
        }
    )


def _checks(found: Mapping[str, Any], test: Mapping[str, Any]) -> list[dict[str, Any]]:
    checks = []
    for name, now in found["metrics"].items():
        before = (test.get("metrics") or {}).get(name) or {}
        p, worse, matters = 1.0, False, False
        if before.get("value") is not None and now["value"] is not None:
            gap = now["value"] - before["value"]
            better = metric_of(name).higher_is_better
            worse = abs(now["value"]) > abs(before["value"]) if name == "bias" else gap < 0
            worse = worse if better or name == "bias" else gap > 0
            allowed = LOST if name == "roc_auc" else SHARE * abs(before["value"])
            matters = abs(gap) >= allowed
            spread = float(np.hypot(_error(now), _error(before)))
            p = float(2 * norm.sf(abs(gap) / spread)) if spread > 0 else 1.0
        checks.append(
            {
                "name": name,
                **now,
                "test": {key: before.get(key) for key in ("value", "low", "high")},
                "p_value": p,
                "is_worse": worse,
                "matters": matters,
            }
        )
    return checks


def _error(one: Mapping[str, Any]) -> float:
    """Return the standard error that an interval means, 0 without one."""
    if one.get("low") is None or one.get("high") is None:
        return 0.0
    return float(one["high"] - one["low"]) / (2 * 1.96)


def _in_the_large(
    found: Mapping[str, Any], outcome: Outcome, test: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the positives that came by those that were foretold, with Jeffreys' interval."""
    p, rows = outcome.score, np.array([float(len(outcome))])
    foretold = float(p.sum())
    came = float(outcome.y.sum())
    low, high = jeffreys(np.array([came]), rows)
    spread = float(np.sqrt((p * (1 - p)).sum()))
    ratio = came / foretold if foretold > 0 else None
    before = test["observed"] / test["predicted"] if test.get("predicted") else None
    share = max(found["predicted"], np.finfo(float).tiny)
    return {
        "name": CALIBRATION,
        "value": ratio,
        "low": float(low[0]) / share,
        "high": float(high[0]) / share,
        "test": {"value": before, "low": None, "high": None},
        "p_value": float(2 * norm.sf(abs(came - foretold) / spread)) if spread > 0 else 1.0,
        "is_worse": _off(ratio) > _off(before) if before else True,
        "matters": ratio is None or not 1 / RATIO < ratio < RATIO,
    }


def _off(ratio: float | None) -> float:
    """Return how far a ratio is from 1, up or down alike."""
    return abs(float(np.log(ratio))) if ratio else np.inf


def _by_day(rows: pd.DataFrame, time: str, here: Any) -> list[dict[str, Any]]:
    if not time or not pd.api.types.is_datetime64_any_dtype(rows[time]):
        return []
    days = rows[time].dt.strftime("%Y-%m-%d")
    found = pd.DataFrame({"day": days, "here": here}).groupby("day")["here"].agg(["size", "mean"])
    return [
        {"day": day, "scored": int(n), "share": float(share)}
        for day, n, share in found.tail(DAYS).itertuples()
    ]


def _texts(
    labelled: Labelled,
    card: PipelineCard,
    found: Mapping[str, Any],
    test: Mapping[str, Any],
    here: Any,
) -> list[str]:
    rows, time = labelled.rows, labelled.time
    told = [
        f"Labels came for {count(int(here.sum()))} of {count(len(rows))} scored rows "
        f"({percent(float(here.mean()))})"
        + (
            f"; {count(labelled.unmatched)} are of rows that were not scored."
            * (labelled.unmatched > 0)
            or "."
        )
    ]
    delay = card.table.get("delay_days")
    if delay is not None:
        told.append(f"By the card a label is known {number(delay, 0)} days after its row.")
    if time and pd.api.types.is_datetime64_any_dtype(rows[time]):
        ends = [str(moment(one.max().isoformat())) for one in (rows[time][here], rows[time])]
        told.append(f"The latest row with a label is of {ends[0]}, the latest scored of {ends[1]}.")
        young = (rows[time] > rows[time].max() - pd.Timedelta(days=float(delay or 0))).to_numpy()
        if delay and 0 < here[young].mean() < 1:
            told.append(
                f"Of the rows of the last {number(delay, 0)} days {percent(here[young].mean())} "
                "have a label already: if positives are told sooner than negatives, these make "
                "the share of positives look high."
            )
    if not here.all():
        alike = psi(rows["score"], rows["score"][here])
        unlike = alike.psi >= WATCH and alike.beyond_chance
        told.append(
            f"The scores of labelled rows are {'not ' if unlike else ''}spread like those of all "
            f"(PSI {number(alike.psi, 3)})"
            + (": what follows speaks of labelled rows only." if unlike else ".")
        )
    if test.get("observed") is not None and not forecasts_numbers(card):
        told.append(
            f"Positives: {percent(found['observed'])} of the labelled rows, "
            f"{percent(test['observed'])} in the test of the run. Average precision and the Brier "
            "score move with this share, the area under the ROC curve does not."
        )
    return told


def _read(file: Path) -> pd.DataFrame:
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        if file.name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(file, dtype=str)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    raise DataError(f"{file}: labels come as .parquet, .csv or .csv.gz")


def _labels(values: pd.Series[Any], card: PipelineCard, where: str) -> pd.Series[Any]:
    """Return labels as numbers, 1 for a positive, NaN where not known yet."""
    positive = str(card.table.get("positive") or "")
    if positive and (values.dropna().astype(str) == positive).any():
        return (values.astype(str) == positive).astype(float).where(values.notna())
    found = pd.to_numeric(values, errors="coerce").astype(float)
    odd = values.notna() & ~np.isfinite(found)
    if not forecasts_numbers(card):
        odd |= values.notna() & ~found.isin([0.0, 1.0])
    if odd.any():
        allowed = "numbers" if forecasts_numbers(card) else "0 and 1"
        allowed += f", or the text {positive!r} for positives" if positive else ""
        raise DataError(
            f"{where}: row {int(np.flatnonzero(odd)[0]) + 1} holds {values[odd].iloc[0]!r}; "
            f"allowed: {allowed}, empty where it is not known yet"
        )
    return found


def _like(values: pd.Series[Any], scores: pd.Series[Any], file: str | Path) -> Any:
    """Return key values of the type that they have in the scores."""
    try:
        if pd.api.types.is_numeric_dtype(scores):
            return pd.to_numeric(values).astype(scores.dtype)
        if pd.api.types.is_datetime64_any_dtype(scores):
            return pd.to_datetime(values).astype(scores.dtype)
    except (ValueError, TypeError) as error:
        raise DataError(f"{file}: column {values.name!r}: {error}") from error
    return values.astype(str)
