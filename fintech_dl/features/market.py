"""One row per date: what a network needs that sees the whole market at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintech_dl.errors import UsageError
from fintech_dl.table import Table


def market_rows(
    table: Table, *, assets: Sequence[str] | None = None, shared: Sequence[str] = ()
) -> Table:
    """Put the rows of all assets of a date side by side: one row per date, one target per asset.

    Use it for networks that may forecast each asset by what the others did. They are tied to these
    assets; take rows of single assets where the members of a market change.

    Parameters
    ----------
    table : Table
        Of `volatility.har` or `prices.panel`: a row per date and asset, one horizon.
    assets : sequence of str, optional
        Which assets, and in which order. Default: all of the table, sorted. To score later rows,
        name those of the training table, ``market.y.columns``.
    shared : sequence of str
        Features that say the same of every asset of a date, such as ``market_log_variance_1`` or
        ``log_vix``: they stand once, as the first asset that has them has them.

    Returns
    -------
    Table
        ``X`` holds every other feature once per asset, ``log_variance_1_of_AAA``, of a window
        ``log_variance_1_of_AAA@-3``; without the feature ``asset``. ``y`` is a DataFrame with a
        column per asset, ``when`` the date, ``until`` the date at which the labels of all its
        assets are known. ``who``, ``weight`` and ``aside`` are absent.

        Where an asset has no row on a date, its features and its target are missing. Networks take
        the features at their mean (of single bars with an indicator); a missing target adds nothing
        to the loss, so that every asset learns from its own dates. Dates without any target cannot
        be trained on: make the table with ``labelled=True``.

    Raises
    ------
    UsageError
        A table without dates or assets, with several horizons, with features that are no numbers
        or a row twice; a shared feature or an asset that is not there.

    Examples
    --------
    A network that forecasts each asset by a line of its own lags, and corrects it by those of all:

    >>> from fintech_dl import MLP, NeuralVolatilityRegressor
    >>> from fintech_dl.data.markets import garch_panel
    >>> from fintech_dl.features.market import market_rows
    >>> from fintech_dl.features.volatility import har
    >>> bars = garch_panel(n_assets=3, days=200, seed=0)
    >>> table = har(bars, variance="rv", market=False, labelled=True)
    >>> market = market_rows(table)
    >>> market.X.shape, market.y.columns.tolist()
    ((178, 9), ['A01', 'A02', 'A03'])
    >>> lags = [[f"{name}_of_{asset}" for name in table.X] for asset in market.y]
    >>> model = NeuralVolatilityRegressor(network=MLP(units=8), offset_columns=lags, epochs=2)
    >>> model.fit(market.X, market.y).predict(market.X).shape
    (178, 3)
    """
    if table.when is None or table.who is None:
        raise UsageError("market_rows: the table needs `when` and `who`, the date and the asset")
    if isinstance(table.y, pd.DataFrame):
        raise UsageError(
            f"market_rows: the table has {table.y.shape[1]} horizons, {list(table.y)}; make it "
            "with one, and a market of each"
        )
    who = table.who.astype(str)
    names = sorted(who.unique()) if assets is None else list(assets)
    table = table.rows(who.isin(names).to_numpy())
    if not len(table):
        raise UsageError(f"market_rows: none of the assets {names[:5]} is in the table")
    assert table.when is not None
    assert table.who is not None
    day, dates = pd.factorize(table.when)
    place = pd.Index(names).get_indexer(pd.Index(table.who.astype(str)))
    if len(np.unique(day * len(names) + place)) < len(day):
        raise UsageError("market_rows: a date and asset has two rows; the table needs one of each")

    def wide(values: pd.Series[Any]) -> NDArray[Any]:
        kind = np.float32 if values.dtype == np.float32 else np.float64
        found = np.full((len(dates), len(names)), np.nan, dtype=kind)
        found[day, place] = values
        return found

    columns: dict[str, NDArray[Any]] = {}
    steps = [str(name).partition("@-") for name in table.X]
    if unknown := [name for name in shared if name not in [base for base, _, _ in steps]]:
        raise UsageError(f"market_rows: shared: {unknown[0]!r} is no feature of the table")
    for (base, at, lag), (name, values) in zip(steps, table.X.items(), strict=True):
        if base == "asset":
            continue
        if not pd.api.types.is_numeric_dtype(values):
            raise UsageError(f"market_rows: the feature {name!r} is no number; leave it out")
        if base in shared:
            columns[f"{base}{at}{lag}"] = values.groupby(day).first().to_numpy()
        else:
            parts = wide(values).T
            columns |= {
                f"{base}_of_{asset}{at}{lag}": part
                for asset, part in zip(names, parts, strict=True)
            }
    y = until = None
    if table.y is not None:
        y = pd.DataFrame(wide(table.y), columns=names)
    if table.until is not None:
        latest = table.until.groupby(day).max()
        until = latest.where(~table.until.isna().groupby(day).any()).reset_index(drop=True)
    return Table(X=pd.DataFrame(columns), y=y, when=pd.Series(dates), until=until)
