"""The contract of a dataset: rows that keep it, and rows set aside with the reasons.

Checked with one vectorised mask per rule. Faults of a whole file are errors at once; faults of a
row set the row aside (quarantine): it is never repaired, dropped or scored.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.bars import NUMBERS, bar_faults, check_days
from fintech_dl.cards import Column, DatasetCard
from fintech_dl.data.casting import Cast, Mask, finish
from fintech_dl.data.faults import Fault, any_fault, check_cells, example, set_aside
from fintech_dl.data.faults import Moment as Moment
from fintech_dl.data.faults import moment as moment
from fintech_dl.data.rules import find_columns
from fintech_dl.errors import DataError


class Checked(NamedTuple):
    """What the contract makes of a frame.

    Attributes
    ----------
    clean : DataFrame
        Rows that keep the contract: the declared columns under their names, in their types.
    quarantined : DataFrame
        The other rows as read, with ``source_row`` (data row of the file, the first is 1) and
        ``reason`` (codes such as ``missing:amount``, joined by ``;``).
    reasons : dict of str to int
        Rows per code. A row with two codes counts in both.
    examples : dict of str to str
        The first offending cell per code.
    ignored : list of str
        Columns that the card does not declare.
    rules : dict of str to Column
        The rule of each column of ``clean``.
    gaps : DataFrame or None
        Where the contract names assets: day and asset of the rows set aside, as in ``clean``, but
        for days to come.
    rows : int array
        The data row of the file of each row of ``clean``, the first is 1.
    """

    clean: pd.DataFrame
    quarantined: pd.DataFrame
    reasons: dict[str, int]
    examples: dict[str, str]
    ignored: list[str]
    rules: dict[str, Column]
    gaps: pd.DataFrame | None
    rows: NDArray[np.intp]


def apply_contract(
    frame: pd.DataFrame, card: DatasetCard, *, as_of: Moment | None = None, scoring: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide a frame into rows that keep the card's contract and rows that do not.

    For what was found in numbers, use `check_rows`.

    Parameters
    ----------
    frame : DataFrame
        As read; columns under the names of the file.
    card : DatasetCard
    as_of : str, date or Timestamp, optional
        The moment of the data: rows after it are quarantined; a day means its first moment.
        Default: the card's ``as_of``; where that is empty too, no row is in the future.
    scoring : bool
        Labels may be absent or empty.

    Returns
    -------
    clean : DataFrame
    quarantined : DataFrame

    Raises
    ------
    DataError
        A missing column, a column of a wrong type, no rows, times out of order, several time zones
        in one column, too many rows or all rows to quarantine. Where the contract names assets: two
        rows of one asset and day, days with hours, or a single day (it will do for scoring).

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Column, Contract, DatasetCard, Source
    >>> from fintech_dl.data.contract import apply_contract
    >>> card = DatasetCard(
    ...     title="Payments", licence="own", source=Source(kind="file", path="payments.csv"),
    ...     columns={"amount": Column(type="number", min=0)}, contract=Contract(max_quarantined=0.5)
    ... )
    >>> clean, quarantined = apply_contract(pd.DataFrame({"amount": [5.0, -1.0]}), card)
    >>> quarantined.to_dict("records")
    [{'amount': -1.0, 'source_row': 2, 'reason': 'below_min:amount'}]
    """
    checked = check_rows(frame, card, as_of=as_of, scoring=scoring)
    return checked.clean, checked.quarantined


def check_rows(
    frame: pd.DataFrame,
    card: DatasetCard,
    *,
    as_of: Moment | None = None,
    scoring: bool = False,
    text: bool = False,
    where: str = "",
) -> Checked:
    """Return the rows that keep the contract and those that do not, with the reasons counted.

    As `apply_contract`, and:

    Parameters
    ----------
    frame, card, as_of, scoring
        As in `apply_contract`.
    text : bool
        All cells were read as text (CSV) and are parsed; a cell that cannot be is quarantined.
    where : str
        Name of the file in error texts; default: the card's name.
    """
    where = where or f"dataset {card.name!r}"
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    rules = find_columns(list(frame.columns), card, scoring, where)
    if not len(frame):
        raise DataError(f"{where}: there are no rows; check how the file was made")

    at = as_of or card.contract.as_of
    casts, faults = check_cells(frame, rules, card, as_of=at, text=text, where=where)
    faults = _by_policy(faults, frame, card, where)
    if card.contract.asset:
        own = _of_assets(casts, rules, card, at, scoring, where)
        told = {fault.code for fault in faults}
        faults += [fault for fault in own if fault.code not in told]

    bad = any_fault(len(frame), faults)
    examples = {f.code: example(frame, f) for f in faults}
    _limit(bad, faults, examples, card, where)

    keep = np.flatnonzero(~bad) if bad.any() else None
    if card.contract.time:
        source, _ = rules[card.contract.time]
        keep = _in_order(casts, keep, card, f"{where}: column {source!r}")
    gaps = _gaps(casts, rules, bad, faults, card)
    columns = {name: finish(casts.pop(name), rule, keep) for name, (_, rule) in rules.items()}
    used = {source for source, _ in rules.values()}
    return Checked(
        clean=pd.DataFrame(columns, copy=False),
        quarantined=set_aside(frame, bad, faults),
        reasons={f.code: len(f.rows) for f in faults},
        examples=examples,
        ignored=[column for column in frame.columns if column not in used],
        rules={name: rule for name, (_, rule) in rules.items()},
        gaps=gaps,
        rows=np.arange(1, len(frame) + 1) if keep is None else keep + 1,
    )


def _by_policy(
    faults: list[Fault], frame: pd.DataFrame, card: DatasetCard, where: str
) -> list[Fault]:
    """Return the faults, without repeated keys where the card lets them be."""
    repeated = [fault for fault in faults if fault.code.startswith("duplicate_key:")]
    if not repeated or card.contract.duplicates == "quarantine":
        return faults
    if card.contract.duplicates == "fail":
        raise DataError(
            f"{where}: {len(repeated[0].rows):,} rows have a key that came before, first "
            f"{example(frame, repeated[0])}; the contract of dataset {card.name!r} has "
            'duplicates = "fail": correct the file'
        )
    return [fault for fault in faults if not fault.code.startswith("duplicate_key:")]


def _gaps(
    casts: dict[str, Cast],
    rules: dict[str, tuple[str, Column]],
    bad: Mask,
    faults: list[Fault],
    card: DatasetCard,
) -> pd.DataFrame | None:
    """Return day and asset of the rows set aside that lie among the others."""
    if not card.contract.asset:
        return None
    keys = (card.contract.time, card.contract.asset)
    among = bad.copy()
    for fault in faults:
        if fault.code.startswith(("future_time", "unfinished_day")):
            among[fault.rows] = False
    for name in keys:
        among &= ~(casts[name].missing | casts[name].wrong)
    rows = np.flatnonzero(among)
    return pd.DataFrame({name: finish(casts[name], rules[name][1], rows) for name in keys})


def _of_assets(
    casts: dict[str, Cast],
    rules: dict[str, tuple[str, Column]],
    card: DatasetCard,
    as_of: Moment,
    scoring: bool,
    where: str,
) -> list[Fault]:
    """Check days and assets, and the bars beside each other; return what single rows break."""
    time, asset = card.contract.time, card.contract.asset
    bad = [casts[name].missing | casts[name].wrong for name in (time, asset)]
    rows = np.flatnonzero(~(bad[0] | bad[1]))
    bars = pd.DataFrame({"date": casts[time].values[rows], "asset": casts[asset].values[rows]})
    dates, assets = bars["date"].to_numpy(), bars["asset"].to_numpy()
    check_days(dates, assets, where, ordered=card.contract.sorted, few=scoring)
    found: dict[str, Mask] = {}
    if as_of:
        at = moment(as_of, rules[time][1].timezone).to_datetime64()
        found[f"unfinished_day:{time}"] = (dates <= at) & (dates + np.timedelta64(1, "D") > at)
    if "close" in casts:
        for name in [name for name in NUMBERS if name in casts and rules[name][1].type == "number"]:
            cast = casts[name]
            bars[name] = np.where(cast.missing | cast.wrong, np.nan, cast.values)[rows]
        found |= bar_faults(bars, nullable=NUMBERS)
    return [
        Fault(code, rules[code.split(":")[1]][0], rows[np.flatnonzero(mask)])
        for code, mask in found.items()
        if mask.any()
    ]


def _limit(
    bad: Mask, faults: list[Fault], examples: dict[str, str], card: DatasetCard, where: str
) -> None:
    n, total, limit = int(bad.sum()), len(bad), card.contract.max_quarantined
    if n <= limit * total and n < total:
        return
    share = f"all {total:,} rows" if n == total else f"{n:,} of {total:,} rows ({n / total:.1%})"
    lines = [f"  {f.code} in {len(f.rows):,} of them, first {examples[f.code]}" for f in faults]
    raise DataError(
        f"{where}: {share} break the contract of dataset {card.name!r}, which allows {limit:.1%}:\n"
        + "\n".join(lines)
        + "\nCorrect the file; if such rows are to be expected, change the rule of the column or "
        "max_quarantined in the dataset card"
    )


def _in_order(
    casts: dict[str, Cast], keep: NDArray[np.intp] | None, card: DatasetCard, where: str
) -> NDArray[np.intp] | None:
    """Return the kept rows in time order; rows out of order are an error unless the card sorts.

    Moments are compared, not wall clocks: in the hour that a clock change repeats, rows in order
    of time are put in order of the wall clock. Rows of one day are in order of their asset.
    """
    cast = casts[card.contract.time]
    rows = np.arange(len(cast.values)) if keep is None else keep
    clock = cast.values[rows]
    times = clock if cast.order is None else cast.order[rows]
    back = np.flatnonzero(times[1:] < times[:-1])
    if len(back) and card.contract.sorted:
        (one, early), (two, late) = [
            (int(row) + 1, _clock(cast.values[row])) for row in rows[back[0] : back[0] + 2]
        ]
        raise DataError(
            f"{where}: rows are not in order: row {two} ({late}) comes after row {one} ({early}); "
            "sort the file by this column, or set sorted = false in [contract] of the dataset card"
        )
    if card.contract.asset:
        if card.contract.sorted:
            return keep
        assets = pd.factorize(casts[card.contract.asset].values[rows], sort=True)[0]
        by_asset: NDArray[np.intp] = rows[np.lexsort((assets, clock))]
        return by_asset
    if (clock[1:] >= clock[:-1]).all():
        return keep
    ordered: NDArray[np.intp] = rows[np.argsort(clock, kind="stable")]
    return ordered


def _clock(value: Any) -> str:
    return str(pd.Timestamp(value)) if isinstance(value, np.datetime64) else f"{value:g}"
