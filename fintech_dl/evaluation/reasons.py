"""Reasons for a decline, in the words of the lender, and whether they stay the same."""

from __future__ import annotations

import tomllib
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fintech_dl.cards.credit import MOST
from fintech_dl.errors import DataError, UsageError
from fintech_dl.evaluation.attribution import (
    Groups,
    Method,
    attributions,
    before_network,
    check_groups,
)
from fintech_dl.evaluation.baselines import score_rows
from fintech_dl.evaluation.explanation import feature_groups

COLUMNS = ["row", "rank", "feature", "text", "contribution", "value", "reference"]
DIGITS = 4  # of a contribution: what is below is rounding
MEASURES = ["overlap", "jaccard", "rank_biased", "same_first"]
PERSISTENCE = 0.9  # of rank-biased overlap: the weight of each rank compared with the one before


def reason_texts(source: pd.DataFrame | str | Path) -> pd.DataFrame:
    """Return the table of texts that reasons are told with.

    Parameters
    ----------
    source : DataFrame, or path of a CSV or TOML file
        Columns ``feature`` and ``text``, and optionally ``condition``: empty for the text that
        always serves, ``missing``, or a value (a special code, a category) that has a text of its
        own. In TOML each line is a ``[[reason]]``.

    Returns
    -------
    DataFrame
        ``feature``, ``condition`` and ``text``, all of them text.

    Raises
    ------
    UsageError
        Another kind of file, columns that lack or are unknown, an empty feature or text, or two
        texts for the same.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.reasons import reason_texts
    >>> lines = [("income", "", "Income is too low"), ("income", "missing", "Income is not known")]
    >>> table = reason_texts(pd.DataFrame(lines, columns=["feature", "condition", "text"]))
    >>> table["condition"].tolist()
    ['', 'missing']
    """
    table = source if isinstance(source, pd.DataFrame) else _read(Path(source))
    allowed = ["feature", "condition", "text"]
    lacking = [name for name in ("feature", "text") if name not in table.columns]
    unknown = [name for name in table.columns if name not in allowed]
    if lacking or unknown:
        raise UsageError(
            f"texts: lacking columns: {lacking}, unknown: {unknown}; allowed: feature, text, and "
            "optionally condition"
        )
    table = table.reindex(columns=allowed).astype(object).reset_index(drop=True)
    table = table.where(table.notna(), "").map(lambda cell: str(cell).strip())
    empty = (table["feature"] == "") | (table["text"] == "")
    twice = table.duplicated(["feature", "condition"])
    for wrong, what in ((empty, "has no feature or no text"), (twice, "says again what another")):
        if wrong.any():
            at = int(np.argmax(wrong))
            line = ", ".join(table.iloc[at].tolist())
            raise UsageError(
                f"texts: line {at + 1} ({line}) {what}; needed: one text for each feature and "
                "condition"
            )
    return table


def reason_codes(
    model: Any,
    X: pd.DataFrame,
    reference: pd.DataFrame,
    texts: pd.DataFrame | str | Path,
    *,
    excluded: Sequence[Hashable] = (),
    protected: Sequence[Hashable] = (),
    top: int = MOST,
    threshold: float | None = None,
    declined: ArrayLike | None = None,
    groups: Groups | None = None,
    method: Method = "integrated_gradients",
    steps: int = 4096,
) -> pd.DataFrame:
    """Return the main reasons for each declined row: what pushed it most towards the decline.

    Only features that the model scored and that pushed towards a higher score than that of the
    reference are named, the strongest first; features that push alike (to 4 digits) stand in the
    order of the columns. A text is told once per row. This is evidence of what the model did, not
    a statement that a notice made of it meets any law.

    Parameters
    ----------
    model : fitted estimator or Pipeline
        A higher score is worse: the probability of the second class is that of default.
    X : DataFrame of shape (n_rows, n_columns)
        Each row with an index of its own.
    reference : DataFrame of shape (1, n_columns)
        What is compared with: ``attribution.reference_profile`` of the approved, or
        ``attribution.best_profile``.
    texts : DataFrame, or path of a CSV or TOML file
        See ``reason_texts``.
    excluded : sequence of names
        Features, or columns, that cannot be a reason.
    protected : sequence of names
        Protected attributes; never named. They may be no columns of ``X``, as they should.
    top : int
        Most reasons per row, 1 to 4.
    threshold : float, optional
        Rows whose score (``baselines.score_rows``: a probability) reaches it are declined.
    declined : array of bool of shape (n_rows,), optional
        Which rows are, instead. Without either, all are.
    groups : dict of str to list of columns, optional
        Columns that are one feature, under whose name they have texts. Default: all steps
        ``name@-lag`` of a window together, every other column alone.
    method, steps : optional
        As in ``attribution.attributions``.

    Returns
    -------
    DataFrame
        One line per reason: ``row`` (index in ``X``), ``rank`` from 1, ``feature``, ``text``,
        ``contribution`` (log odds, or the unit of the score), ``value`` and that of the
        ``reference``, both as text. A declined row for which nothing can be named has one line of
        rank 0 without feature and text: a person must look at it. ``attrs`` are those of
        ``attributions``, and ``withheld``: for how many rows an excluded or protected feature would
        have been among the reasons. Write it with ``data.frames.write_csv``, which leaves no
        formula in it.

    Raises
    ------
    UsageError
        Before anything is scored: a feature without a text, unknown or mixed groups, names that
        are no columns, ``top`` out of range. Later: as ``attributions``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fintech_dl.evaluation.attribution import reference_profile
    >>> from fintech_dl.evaluation.reasons import reason_codes
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["debt", "age"])
    >>> model = LogisticRegression().fit(X, X["debt"] + 0.5 * X["age"] > 0.5)
    >>> approved = X[model.predict(X) == 0]
    >>> texts = pd.DataFrame({"feature": ["debt"], "text": ["Debts are too high"]})
    >>> found = reason_codes(model, X, reference_profile(approved), texts, protected=["age"],
    ...                      threshold=0.5, method="exact")
    >>> found.query("rank == 1")["text"].unique().tolist(), found.attrs["withheld"] > 0
    (['Debts are too high'], True)
    """
    table = reason_texts(texts)
    if not isinstance(X, pd.DataFrame) or not X.index.is_unique:
        raise UsageError("X: allowed: a DataFrame whose rows have an index of their own each")
    if not isinstance(top, int) or not 1 <= top <= MOST:
        raise UsageError(f"top={top!r}; allowed: 1 to {MOST}")
    if threshold is not None and declined is not None:
        raise UsageError("threshold and declined: give one of them")
    _, seen, base, of = before_network(model, X, reference, method)
    features = feature_groups(list(seen.columns)) if groups is None else dict(groups)
    withheld = check_texts(table, features, seen.columns, X, excluded, protected, of)
    lines_of = table.sort_values("condition", key=lambda c: c == "", kind="stable")
    wording = {name: own.values.tolist() for name, own in lines_of.groupby("feature")}
    chosen = _declined(model, X, threshold, declined)
    if not chosen.any():
        return pd.DataFrame(columns=COLUMNS)
    found = attributions(model, X[chosen], reference, method, groups=features, steps=steps)
    added = np.round(found.to_numpy(), DIGITS)
    seen, lines, hidden = seen[chosen], [], 0
    order = np.argsort(-added, axis=1, kind="stable")  # of equal ones the earlier column first
    for at, row in enumerate(found.index):
        told: list[str] = []
        pushing = [list(features)[i] for i in order[at] if added[at, i] > 0]
        hidden += any(name in withheld for name in pushing[:top])
        for name in pushing:
            cells = [seen[column].iloc[at] for column in features[name]]
            if name in withheld or (text := _worded(wording[name], cells)) in told:
                continue
            told.append(text)
            usual = [base[column].iloc[0] for column in features[name]]
            shown = [_shown(features[name], values) for values in (cells, usual)]
            lines.append([row, len(told), name, text, found[name].iloc[at], *shown])
            if len(told) == top:
                break
        if not told:
            lines.append([row, 0, "", "", np.nan, "", ""])
    reasons = pd.DataFrame(lines, columns=COLUMNS)
    reasons.attrs = {**found.attrs, "withheld": hidden}
    return reasons


def reason_stability(reasons: Mapping[Any, pd.DataFrame]) -> pd.DataFrame:
    """Return how far reasons agree between seeds, models or references.

    Reasons that change with the seed are reasons of the seed. Compare on the same declined rows.

    Parameters
    ----------
    reasons : dict of name to DataFrame
        Two or more results of ``reason_codes``, by seed, model or reference.

    Returns
    -------
    DataFrame
        One line per pair, and a last one, ``all``, of their means: ``first``, ``second``, ``rows``
        (declined in both), ``overlap`` (features in both lists, of those in the longer one),
        ``jaccard`` (of those in either), ``rank_biased`` (overlap of both lists cut at each rank,
        weighted by 0.9 per rank: the first reason counts most) and ``same_first`` (share of rows
        with the same first reason). All are 1 where the lists are the same.

    Raises
    ------
    UsageError
        Fewer than two, or a pair without a common row.

    Notes
    -----
    Rank-biased overlap of Webber, Moffat and Zobel, A similarity measure for indefinite rankings
    (2010), of the ranks there are, divided by its largest value.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.evaluation.reasons import reason_stability
    >>> a = pd.DataFrame({"row": [0, 0], "rank": [1, 2], "feature": ["debt", "income"]})
    >>> b = a.assign(feature=["debt", "age"])
    >>> reason_stability({"seed 0": a, "seed 1": b})["jaccard"].round(2).tolist()
    [0.33, 0.33]
    """
    if len(reasons) < 2:
        raise UsageError(f"reasons: got {len(reasons)}; allowed: two or more to compare")
    ranked = {name: _lists(frame) for name, frame in reasons.items()}
    lines = []
    for (first, a), (second, b) in combinations(ranked.items(), 2):
        both = [row for row in a if row in b]
        if not both:
            raise UsageError(f"reasons of {first!r} and {second!r} have no row in common")
        measured = [_agreement(a[row], b[row]) for row in both]
        lines.append([str(first), str(second), len(both), *np.mean(measured, axis=0)])
    names = ["first", "second", "rows", *MEASURES]
    found = pd.DataFrame(lines, columns=names)
    total = ["all", "all", int(found["rows"].sum()), *found[names[3:]].mean()]
    return pd.concat([found, pd.DataFrame([total], columns=names)], ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        if path.suffix == ".toml":
            page = tomllib.loads(path.read_text(encoding="utf-8"))
            return pd.DataFrame(page["reason"])
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"texts: {path}: {error!r}; needed: a CSV or TOML file") from error
    raise UsageError(f"texts: {path} is of another kind; allowed: .csv and .toml")


def check_texts(
    texts: pd.DataFrame,
    features: Groups,
    columns: Sequence[Hashable] | pd.Index[Any],
    X: pd.DataFrame,
    excluded: Sequence[Hashable] = (),
    protected: Sequence[Hashable] = (),
    of: str = "X",
) -> set[str]:
    """Return the features that cannot be named; UsageError unless each other one has a text.

    The arguments are those of ``reason_codes``; ``columns`` are what the model sees, ``of`` "X" if
    these are the columns of ``X``.
    """
    check_groups(features, columns)
    withheld = _withheld(features, X, excluded, protected, of)
    known = set(texts.loc[texts["condition"] == "", "feature"])
    if untold := [name for name in features if name not in known | withheld]:
        raise UsageError(
            f"texts: no text (with an empty condition) for {untold[:10]}; add one for each, or "
            "name it in `excluded` if it cannot be a reason"
        )
    return withheld


def _withheld(
    features: Groups,
    X: pd.DataFrame,
    excluded: Sequence[Hashable],
    protected: Sequence[Hashable],
    of: str,
) -> set[str]:
    """Return the features that cannot be named, or say which names cannot be followed."""
    for name, given in (("excluded", excluded), ("protected", protected)):
        if isinstance(given, str):
            raise UsageError(f"{name}={given!r}; allowed: a sequence of names, such as [{given!r}]")
    names = {*excluded, *protected}
    columns = {column for group in features.values() for column in group}
    if unknown := [c for c in excluded if c not in columns and c not in features]:
        raise UsageError(f"excluded: {unknown[:5]} are neither features nor columns of the model")
    original = {*X.columns, *feature_groups(list(X.columns))}
    if of == "network" and (
        lost := [c for c in names & original if c not in columns | set(features)]
    ):
        raise UsageError(
            f"earlier steps make other columns of {lost[:5]}, which cannot be followed there; name "
            'the columns that they make instead, or use method="exact", which judges those of X'
        )
    found = set()
    for name, group in features.items():
        own = [column for column in group if column in names]
        if name in names or len(own) == len(group):
            found.add(name)
        elif own:
            raise UsageError(
                f"groups: {name!r} holds {own[0]!r}, which cannot be a reason, and others that "
                "can; put it into a group of its own"
            )
    return found


def _declined(
    model: Any, X: pd.DataFrame, threshold: float | None, declined: ArrayLike | None
) -> NDArray[np.bool_]:
    if threshold is not None:
        return np.asarray(score_rows(model, X) >= threshold)
    mask = np.ones(len(X), dtype=bool) if declined is None else np.asarray(declined)
    if mask.shape != (len(X),) or mask.dtype != bool:
        raise DataError(
            f"declined is of type {mask.dtype} and shape {mask.shape}; allowed: True or False for "
            f"each of {len(X)} rows"
        )
    return mask


def _worded(lines: list[list[str]], cells: list[Any]) -> str:
    """Return the text of the first line whose condition holds; the last line has none."""
    held = (text for _, condition, text in lines if any(_holds(condition, c) for c in cells))
    return next(held, lines[-1][2])


def _holds(condition: str, cell: Any) -> bool:
    if pd.isna(cell):
        return condition == "missing"
    if str(cell) == condition:
        return True
    try:
        return not isinstance(cell, str) and float(condition) == float(cell)
    except (TypeError, ValueError):
        return False


def _shown(columns: Sequence[Hashable], cells: list[Any]) -> str:
    """Return a feature's values as text: of many columns the first three."""
    texts = [
        "missing" if pd.isna(c) else f"{c:.6g}" if isinstance(c, float | np.floating) else str(c)
        for c in cells
    ]
    if len(texts) == 1:
        return texts[0]
    pairs = [f"{column}={text}" for column, text in zip(columns, texts, strict=True)]
    return "; ".join(pairs[:3]) + ("; ..." if len(pairs) > 3 else "")


def _lists(frame: pd.DataFrame) -> dict[Any, list[str]]:
    """Return each row's features, first reason first."""
    ordered = frame.sort_values("rank", kind="stable")
    named = {row: list(part) for row, part in ordered.groupby("row", sort=False)["feature"]}
    return {row: [name for name in names if name] for row, names in named.items()}


def _agreement(a: list[str], b: list[str]) -> tuple[float, ...]:
    """Return overlap, Jaccard's index, rank-biased overlap, and whether the first is the same."""
    if not a or not b:
        return (float(a == b),) * len(MEASURES)
    depths = range(1, max(len(a), len(b)) + 1)
    weight = np.array([PERSISTENCE ** (d - 1) for d in depths])
    overlap = [len({*a[:d]} & {*b[:d]}) / max(len(a[:d]), len(b[:d])) for d in depths]
    jaccard = len({*a} & {*b}) / len({*a} | {*b})
    return overlap[-1], jaccard, float(weight @ overlap / weight.sum()), float(a[0] == b[0])
