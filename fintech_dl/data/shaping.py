"""What a card declares to be done with the frame of its source before its contract is kept."""

from typing import Any

import numpy as np
import pandas as pd

from fintech_dl.cards import DatasetCard
from fintech_dl.errors import DataError


def shape(frame: pd.DataFrame, card: DatasetCard, where: str) -> pd.DataFrame:
    """Make a wide frame long, as the card's ``melt`` says, and add its ``constants``.

    Parameters
    ----------
    frame : DataFrame
        As read.
    card : DatasetCard
    where : str
        Begins the error text.

    Returns
    -------
    DataFrame
        The frame itself where the card says nothing.

    Raises
    ------
    DataError
        A wide frame without its column of dates, or with a column that holds no numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from fintech_dl.cards import Column, Contract, DatasetCard, Melt, Source
    >>> from fintech_dl.data.shaping import shape
    >>> source = Source(kind="file", path="rates.csv", melt=Melt(value="close"))
    >>> columns = {"date": Column(type="datetime"), "asset": Column(type="text")}
    >>> columns["close"] = Column(type="number")
    >>> card = DatasetCard(title="Rates", licence="own", source=source, columns=columns,
    ...                    contract=Contract(time="date", asset="asset"))
    >>> wide = pd.DataFrame({"date": ["2024-01-02"], "EUR": [1.09], "GBP": [1.26]})
    >>> shape(wide, card, "rates.csv").to_dict("list")
    {'date': ['2024-01-02', '2024-01-02'], 'asset': ['EUR', 'GBP'], 'close': [1.09, 1.26]}
    """
    if card.source.melt is not None:
        frame = _melted(frame, card, where)
    absent = {n: v for n, v in card.source.constants.items() if n not in frame.columns}
    return frame.assign(**absent) if absent else frame


def _melted(frame: pd.DataFrame, card: DatasetCard, where: str) -> pd.DataFrame:
    melt = card.source.melt
    assert melt is not None
    time, asset, value = (
        card.columns[name].source or name
        for name in (card.contract.time, card.contract.asset, melt.value)
    )
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if {asset, value} <= set(frame.columns):
        return frame
    if melt.first_day and time not in frame.columns:
        days = pd.bdate_range(melt.first_day, periods=len(frame)).as_unit("us")
        frame = frame.assign(**{time: days})
    if time not in frame.columns:
        raise DataError(
            f"{where}: missing column {time!r} of dates; the file has: "
            f"{', '.join(frame.columns[:30])}. Name it as 'source' of the column in the card, or "
            "set source.melt.first_day where the order of the rows is all there is"
        )
    names = sorted(set(frame.columns) - {time})
    try:
        cells = np.column_stack(
            [frame[name].to_numpy("float64", na_value=np.nan) for name in names]
        )
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{where}: expected numbers in every column but {time!r}, a column per asset: {error}"
        ) from error
    if melt.power != 1 or melt.scale != 1:
        cells = melt.scale * cells**melt.power
    if melt.floor is not None:
        cells = np.maximum(cells, melt.floor)  # NaN stays NaN
    row, column = np.nonzero(~np.isnan(cells))  # an empty cell of a wide table is no row
    long: dict[str, Any] = {
        time: frame[time].to_numpy()[row],
        asset: pd.array(np.array(names, dtype=object)[column], dtype="str"),
        value: cells[row, column],
    }
    return pd.DataFrame(long)
