"""The reasons of a pipeline card: settled once, kept as plain data, told of every declined row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.cards import Reasons
from fintech_dl.errors import CardError, DataError, UsageError
from fintech_dl.evaluation.attribution import best_profile, last_step, reference_profile
from fintech_dl.evaluation.explanation import feature_groups
from fintech_dl.evaluation.plain import plain
from fintech_dl.evaluation.reasons import DIGITS, check_texts, reason_codes, reason_texts

RECORD = "reasons"  # of an artefact: what they are told with
FORMAT = 1


def settle(
    reasons: Reasons, X: pd.DataFrame, protected: Sequence[str], where: str, folder: Path = Path()
) -> dict[str, Any]:
    """Return what reasons are told with, or refuse a card that leaves a feature without a text.

    Before anything is fitted: hours of training must not end at a missing text.

    Parameters
    ----------
    reasons : cards.Reasons
    X : DataFrame
        Rows, or none, with the columns that the model will see.
    protected : sequence of str
        Protected attributes, whether columns of ``X`` or not.
    where : str
        Begins an error text.
    folder : Path
        Of the card: where the file of texts lies.

    Returns
    -------
    dict
        JSON-plain: ``texts``, ``groups`` (every column is in one), ``excluded``, ``protected``,
        ``most`` and ``reference``, its kind.

    Raises
    ------
    CardError
        A feature without a text, a file of texts that cannot be read, names that are no columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Reasons
    >>> from fintech_dl.evaluation.declines import settle
    >>> asked = Reasons(texts={"debts": "Debts are high"}, groups={"debts": ["loans", "cards"]})
    >>> settle(asked, pd.DataFrame({"loans": [9.0], "cards": [5.0]}), [], "my card")["groups"]
    {'debts': ['loans', 'cards']}
    """
    joined = {column for columns in reasons.groups.values() for column in columns}
    groups = {**reasons.groups, **feature_groups([c for c in X.columns if c not in joined])}
    try:
        if isinstance(reasons.texts, str):
            texts = reason_texts(folder / reasons.texts)
        else:
            lines = list(reasons.texts.items())
            texts = reason_texts(pd.DataFrame(lines, columns=["feature", "text"]))
        check_texts(texts, groups, X.columns, X, reasons.excluded, protected)
    except UsageError as error:
        raise CardError(f"{where}: {error}") from error
    return {
        "format": FORMAT,
        "method": "integrated_gradients",
        "texts": texts.to_dict("records"),
        "groups": groups,
        "excluded": reasons.excluded,
        "protected": list(dict.fromkeys(protected)),
        "most": reasons.most,
        "reference": reasons.reference,
    }


def reference_row(
    kind: str, model: Any, X: pd.DataFrame, declined: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return the row that declined ones are compared with.

    Parameters
    ----------
    kind : {"approved", "all", "best"}
        The usual row of those not declined, that of all, or the row of best points.
    model : fitted estimator or Pipeline
        Its last step says which columns are categories, and which numbers are special codes.
    X : DataFrame of shape (n_rows, n_columns)
    declined : array of bool of shape (n_rows,)

    Returns
    -------
    DataFrame of shape (1, n_columns)

    Raises
    ------
    DataError
        Nobody is left to compare with.
    """
    population = X if kind == "all" else X[~declined]
    if not len(population):
        raise DataError(
            f"reasons: all {len(X)} rows are declined, so that there are no approved ones to "
            'compare with; check [decision], or set reference = "all"'
        )
    last = last_step(model)
    codes = getattr(last, "special_codes", None)
    categorical = getattr(last, "categorical", None) or ()
    if kind == "best":
        return best_profile(model, population, categorical=categorical, special_codes=codes)
    return reference_profile(population, categorical=categorical, special_codes=codes)


def with_reference(
    settled: Mapping[str, Any], model: Any, X: pd.DataFrame, declined: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what reasons are told with and the reference row in it: all that an artefact keeps.

    The arguments are those of ``settle``'s result and of ``reference_row``.
    """
    row = reference_row(settled["reference"], model, X, declined)
    return {**settled, "row": {str(name): plain(row[name].iloc[0]) for name in row}}


def decline_table(
    record: Mapping[str, Any],
    model: Any,
    X: pd.DataFrame,
    ids: pd.DataFrame,
    score: NDArray[np.float64],
    declined: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return one line per declined row: who it is, its score, the decision and the reasons.

    Parameters
    ----------
    record, model, X
        As for ``told``, but of all rows.
    ids : DataFrame of shape (n_rows, n_ids)
        By which a row is known.
    score : array of shape (n_rows,)
    declined : array of bool of shape (n_rows,)

    Returns
    -------
    DataFrame
        The columns of ``ids``, ``score``, ``decision`` and those of ``told``. Write it with
        ``data.frames.write_csv``, which leaves no formula in it.
    """
    found = ids[declined].reset_index(drop=True)
    found = found.assign(score=score[declined], decision="declined")
    return found.join(told(record, model, X[declined].reset_index(drop=True)))


def told(record: Mapping[str, Any], model: Any, X: pd.DataFrame) -> pd.DataFrame:
    """Return the reasons for declining rows, one line per row.

    Parameters
    ----------
    record : mapping
        Of ``with_reference``.
    model : fitted estimator or Pipeline
    X : DataFrame of shape (n_rows, n_columns)
        The declined rows.

    Returns
    -------
    DataFrame of shape (n_rows, 3 * most)
        Index as in ``X``; ``feature_1``, ``text_1``, ``contribution_1`` (in log odds) and so on,
        the strongest first; empty where a row has fewer. A row without any is for a person to look
        at.

    Raises
    ------
    UsageError
        As ``reasons.reason_codes``.
    """
    names = ("feature", "text", "contribution")
    kinds = {f"{name}_{i + 1}": name for i in range(record["most"]) for name in names}
    lines: dict[str, list[Any]] = {
        key: [np.nan if name == "contribution" else ""] * len(X) for key, name in kinds.items()
    }
    if len(X):
        rows = X.reset_index(drop=True)
        found = reason_codes(
            model,
            rows,
            restored(record, X),
            pd.DataFrame(record["texts"]),
            excluded=record["excluded"],
            protected=record["protected"],
            groups=record["groups"],
            top=record["most"],
        )
        found["contribution"] = found["contribution"].round(DIGITS)
        for line in found[found["rank"] > 0].to_dict("records"):
            for name in names:
                lines[f"{name}_{line['rank']}"][line["row"]] = line[name]
    return pd.DataFrame(lines, index=X.index)


def restored(record: Mapping[str, Any], X: pd.DataFrame) -> pd.DataFrame:
    """Return the reference row of a record, with the columns of ``X`` as numbers and texts."""
    cells = {}
    for name in X.columns:
        value = record["row"][str(name)]
        lacking = value is None and pd.api.types.is_numeric_dtype(X[name])
        cells[name] = pd.Series([np.nan if lacking else value])
    return pd.DataFrame(cells).set_axis(["reference"])
