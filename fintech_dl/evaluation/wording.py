"""How the report writes metrics, numbers and names: the words of a reader, not of a library."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeGuard

MISSING = "–"  # noqa: RUF001  a dash, as printed tables have it


class Metric(NamedTuple):
    """Names of a metric, one line on how to read it, and which direction is good.

    None is no direction: the nearer to 0 the better.
    """

    short: str
    title: str
    text: str
    higher_is_better: bool | None = True


_METRICS = {
    "average_precision": Metric(
        "AP",
        "average precision",
        "precision averaged over all levels of recall; 1 is perfect, "
        "guessing gives the share of positives",
    ),
    "roc_auc": Metric(
        "AUC",
        "area under the ROC curve",
        "chance that a random positive scores above a random negative; 1 is perfect, .5 guessing",
    ),
    "gini": Metric(
        "Gini",
        "Gini coefficient",
        "2 AUC - 1, also called accuracy ratio; 1 is perfect, 0 guessing",
    ),
    "ks": Metric(
        "KS",
        "Kolmogorov-Smirnov distance",
        "the most by which the share of positives at or above a score exceeds that of negatives; "
        "1 is perfect, 0 guessing",
    ),
    "precision": Metric("Precision", "precision", "share of the alerts that are right"),
    "recall": Metric("Recall", "recall", "share of the positives that are caught"),
    "f1": Metric("F1", "F1 score", "harmonic mean of precision and recall; 1 is perfect"),
    "savings": Metric(
        "Savings",
        "savings",
        "share of the cost saved, against the cheaper of alerting on nothing and on everything; "
        "1 is perfect, 0 is no gain, below 0 is a loss",
    ),
    "cost": Metric(
        "Cost", "cost", "missed positives and false alarms, in money; less is better", False
    ),
    "brier": Metric(
        "Brier",
        "Brier score",
        "mean squared distance between the predicted probability and what happened; 0 is perfect",
        False,
    ),
    "log_loss": Metric(
        "Log loss",
        "log loss",
        "penalty for confident wrong probabilities; 0 is perfect, less is better",
        False,
    ),
    "ece": Metric(
        "ECE",
        "expected calibration error",
        "mean gap between predicted and observed frequency; 0 is perfect",
        False,
    ),
    "mae": Metric("MAE", "mean absolute error", "mean size of the error; less is better", False),
    "mse": Metric("MSE", "mean squared error", "mean squared error; less is better", False),
    "rmse": Metric(
        "RMSE", "root mean squared error", "typical size of the error; less is better", False
    ),
    "r2": Metric(
        "R²",
        "R squared",
        "share of the squared error that a forecast of 0 makes and this one avoids; 1 is perfect, "
        "below 0 is worse than saying 0",
    ),
    "qlike": Metric(
        "QLIKE",
        "QLIKE loss",
        "quasi-likelihood of a variance: r - ln r - 1 with r what came by what was forecast; 0 is "
        "perfect, and too low a forecast costs more than one too high",
        False,
    ),
    "bias": Metric(
        "Bias",
        "mean error",
        "forecast minus what came, on average; the nearer to 0 the better",
        None,
    ),
    "ic": Metric(
        "IC",
        "information coefficient",
        "correlation of score and return across the assets of a date, averaged over dates; 0 is "
        "guessing, and .02 to .05 a day is already much",
    ),
    "rank_ic": Metric(
        "Rank IC",
        "rank information coefficient",
        "correlation of the rank by score with the rank by return across the assets of a date, "
        "averaged over dates; 0 is guessing, and .02 to .05 a day is already much",
    ),
    "vus_pr": Metric(
        "VUS-PR",
        "volume under the surface of precision and recall",
        "precision averaged over the recall of events, and over buffers of up to 100 rows around "
        "them; mean over the series with an event. 1 is perfect, guessing gives about the share of "
        "positives",
    ),
    "mcc": Metric(
        "MCC",
        "Matthews correlation coefficient",
        "correlation of the direction said with the direction that came; 1 is perfect, 0 guessing",
    ),
}
_ALIASES = {
    "absolute_error": "mae",
    "squared_error": "mse",
    "ap": "average_precision",
    "auc": "roc_auc",
    "brier_score": "brier",
    "expected_calibration_error": "ece",
}


def metric(name: str) -> Metric:
    """Return how a metric is written in tables and explained below them.

    Parameters
    ----------
    name : str
        The metric's name in the record, e.g. ``"average_precision"`` or
        ``"card_precision_at_100"``. A name not known here is written as it stands.

    Examples
    --------
    >>> from fintech_dl.evaluation.wording import metric
    >>> metric("average_precision").short
    'AP'
    >>> metric("card_precision_at_100").short
    'CP@100'
    >>> metric("recall_at_fpr_1").title
    'recall at 1% false alarms'
    """
    known = _METRICS.get(_ALIASES.get(name, name))
    if known:
        return known
    if found := re.fullmatch(r"(card_)?precision_at_(\d+)", name):
        k = found[2]
        if found[1]:
            return Metric(
                f"CP@{k}",
                f"card precision at {k}",
                f"of the {k} cards with the highest scores each day, the share truly "
                "compromised; mean over days",
            )
        return Metric(
            f"P@{k}",
            f"precision at {k}",
            f"of the {k} rows with the highest scores, each day where rows have times, the share "
            "that is right",
        )
    if found := re.fullmatch(r"vus_pr_(\d+)", name):
        usual = _METRICS["vus_pr"]
        return usual._replace(text=usual.text.replace("up to 100 rows", f"up to {found[1]} rows"))
    if found := re.fullmatch(r"recall_at_fpr_(\d+(?:[._]\d+)?)(?:_?percent)?", name):
        rate = found[1].replace("_", ".")
        return Metric(
            f"R@{rate}%",
            f"recall at {rate}% false alarms",
            f"share of the positives caught when {rate}% of the negatives raise an alert",
        )
    plain = clean(name.replace("_", " "), 40)
    return Metric(plain, plain, "as defined by the pipeline card")


def clean(value: Any, limit: int = 300) -> str:
    r"""Return text fit for one line: control and direction characters shown as �, then cut.

    Column names and categories come from files of strangers; a terminal escape sequence or a
    right-to-left mark in one of them must not rearrange a report.

    Examples
    --------
    >>> from fintech_dl.evaluation.wording import clean
    >>> clean("fee\x1b[31m"), clean("one\ntwo"), clean("abcdef", 4)
    ('fee�[31m', 'one two', 'abc…')
    """
    text = " ".join(str("" if value is None else value).split())
    bad = {"Cc", "Cf", "Cs", "Cn", "Co"}
    text = "".join("\ufffd" if unicodedata.category(c) in bad else c for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def upper_first(text: str) -> str:
    """Return the text with its first letter raised, the rest as it is: ``ROC`` stays ``ROC``."""
    return text[:1].upper() + text[1:]


def sentence(text: Any) -> str:
    """Return the text as a sentence: first letter raised, a full stop at the end.

    Examples
    --------
    >>> from fintech_dl.evaluation.wording import sentence
    >>> sentence("alert on the 100 highest scores")
    'Alert on the 100 highest scores.'
    """
    plain = upper_first(clean(text, 2000))
    return plain + "." if plain and plain[-1] not in ".!?…" else plain


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value of the record is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def decimals(values: Iterable[Any]) -> int:
    """Return how many decimals a column of numbers needs: 3 for shares, fewer for large numbers.

    Examples
    --------
    >>> from fintech_dl.evaluation.wording import decimals
    >>> decimals([0.653, 1.0]), decimals([0.0042, 0.0039]), decimals([1234.5])
    (3, 5, 0)
    """
    largest = max((abs(v) for v in values if is_number(v)), default=0.0)
    for floor, places in ((100, 0), (10, 1), (1.0000001, 2)):
        if largest >= floor:
            return places
    return next((n for n in range(3, 9) if largest >= 95 * 10.0**-n), 9) if largest else 3


def number(value: Any, places: int, sign: bool = False) -> str:
    """Return a number as journals print it: ``.653``, ``1.25``, ``1,234``, a dash if missing.

    Parameters
    ----------
    value : float or None
        What to write; None and NaN give a dash.
    places : int
        Digits after the point.
    sign : bool
        Whether to write ``+`` before a positive number.

    Examples
    --------
    >>> from fintech_dl.evaluation.wording import number
    >>> number(0.6534, 3), number(1234.5, 0), number(0.02, 3, sign=True), number(None, 3)
    ('.653', '1,234', '+.020', '–')
    """
    if not is_number(value):
        return MISSING
    text = f"{abs(value):,.{places}f}"
    zero = not text.strip("0.,")
    if text.startswith("0."):
        text = text[1:]
    mark = "" if zero else "−" if value < 0 else "+" if sign else ""  # noqa: RUF001
    return mark + text


def p_value(value: Any) -> str:
    """Return a p-value as journals print it: ``.031``, ``< .001``, a dash if missing."""
    return "< .001" if is_number(value) and value < 0.001 else number(value, 3)


def interval(low: Any, high: Any, places: int, sign: bool = False) -> str:
    """Return ``[.62, .68]``, or an empty text where either end is missing."""
    if not (is_number(low) and is_number(high)):
        return ""
    return f"[{number(low, places, sign)}, {number(high, places, sign)}]"


def interval_decimals(entries: Iterable[dict[str, Any]], places: int) -> int:
    """Return the decimals for the intervals of a column: one fewer where most are wide."""
    widths = [
        e["high"] - e["low"]
        for e in entries
        if is_number(e.get("low")) and is_number(e.get("high"))
    ]
    wide = widths and sorted(widths)[len(widths) // 2] >= 20 * 10.0**-places
    return max(places - 1, 0) if wide else places


def percent(share: Any, places: int | None = None) -> str:
    """Return a share as a percentage with two digits that count.

    Examples
    --------
    >>> from fintech_dl.evaluation.wording import percent
    >>> percent(0.0084), percent(0.42), percent(1)
    ('0.84%', '42%', '100%')
    """
    if not is_number(share):
        return MISSING
    size = abs(share) * 100
    if places is None:
        places = 0 if size >= 9.5 or size == 0 else 1 if size >= 0.95 else 2 if size >= 0.095 else 3
    text = f"{size:,.{places}f}%"
    return ("−" if share < 0 and text.strip("0.,%") else "") + text  # noqa: RUF001


def count(value: Any) -> str:
    """Return a whole number with thousands separated."""
    return f"{value:,.0f}" if is_number(value) else MISSING


def general(value: Any) -> str:
    """Return any plain value for a table of settings: numbers short, lists joined, text cleaned."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return MISSING
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:,.6g}" if math.isfinite(value) else MISSING
    if isinstance(value, list | tuple):
        return ", ".join(general(v) for v in value[:50])
    if isinstance(value, dict):
        return ", ".join(f"{clean(k)} {general(v)}" for k, v in list(value.items())[:50])
    return clean(value)


def moment(value: Any) -> str:
    """Return a time of the record (ISO 8601) as a day, or to the minute where it has one.

    Examples
    --------
    >>> from fintech_dl.evaluation.wording import moment
    >>> moment("2018-07-25T00:00:00"), moment("2018-07-25T08:30:00")
    ('2018-07-25', '2018-07-25 08:30')
    """
    text = clean(value, 40)
    if not text:
        return MISSING
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::\d\d(?:\.\d+)?)?)?(.*)", text)
    if not found:
        return text
    day, clock, rest = found.groups()
    zone = " UTC" if rest in ("Z", "+00:00") else rest
    return day + (f" {clock}{zone}" if clock and clock != "00:00" else "")


def seconds(value: Any) -> str:
    """Return a duration: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if not is_number(value):
        return MISSING
    if value < 10:
        return f"{value:.2g} s" if value >= 0.1 else f"{value * 1000:.2g} ms"
    whole = round(value)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
