"""Bars of any dataset with errors planted among them, as feeds of prices have them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from fintech_dl.bars import PRICES, check_bars
from fintech_dl.errors import DataError, UsageError

KINDS = ("spike", "split", "stale", "fat_finger")
FIRST = 70  # bars of an asset that stay as they are, so that detectors see what is usual
APART = 40  # bars from one case of an asset to the next, about
USUAL_BARS = 60
LEAST_MOVE = 0.002  # of a bar, where an asset hardly moves
SPLITS = (2.0, 3.0, 4.0, 5.0, 0.1)
SLIPS = (10.0, 0.1, 2.0, 0.5)


def planted(
    *, dataset: str, rate: float = 0.003, start: str | date = "", seed: int = 0
) -> pd.DataFrame:
    """Read the bars of another dataset and plant errors among them.

    Parameters
    ----------
    dataset : str
        Name of a dataset card of long bars: a file or simulated ones.
    rate, seed
        As `plant_errors`.
    start : str or date
        Bars before this day are left out. Default: none.

    Returns
    -------
    DataFrame
        As `plant_errors`.

    Raises
    ------
    DataError
        The file is not there, or its rows are no bars.
    UsageError
        A parameter out of range.

    Examples
    --------
    >>> from fintech_dl.data.planted import planted
    >>> frame = planted(dataset="synthetic_stocks_small", rate=0.01)
    >>> frame["is_planted"].sum() > 40
    np.True_
    """
    from fintech_dl.data.frames import load_frame  # which imports the generators

    bars = load_frame(dataset)
    if start and "date" in bars:
        bars = bars[bars["date"] >= pd.Timestamp(start)].reset_index(drop=True)
    return plant_errors(bars, rate=rate, seed=seed)


def plant_errors(bars: pd.DataFrame, *, rate: float = 0.003, seed: int = 0) -> pd.DataFrame:
    """Plant four kinds of errors among long bars.

    To measure what finds wrong prices; nothing in a file of prices says which bars are wrong. The
    bars themselves are taken for right, so that a true error among them counts as a false alarm.

    1. ``spike``: the close 6 to 12 usual moves off for one bar, high or low with it.
    2. ``split``: from this bar on all prices divided by 2, 3, 4, 5 or 0.1 and volumes multiplied,
       as where a split was not worked in; the first bar alone is labelled.
    3. ``stale``: two to five bars that repeat the one before, half of them without volume; all are
       labelled.
    4. ``fat_finger``: one price of a bar at ten times, a tenth, twice or half, or its volume at a
       thousand times.

    Parameters
    ----------
    bars : DataFrame
        Long bars, see `fintech_dl.bars.check_bars`.
    rate : float
        Cases over bars, from 0 to 0.02. An asset has at most one in 40 bars, and none in its first
        70.
    seed : int
        The same seed and bars give the same frame.

    Returns
    -------
    DataFrame
        The bars with ``is_planted`` (0 or 1) and ``kind`` (``"none"`` or one of the four).

    Raises
    ------
    DataError
        The frame is not in the format of long bars, or no asset has bars enough.
    UsageError
        A rate out of range.

    Examples
    --------
    >>> from fintech_dl.data.markets import stock_panel
    >>> from fintech_dl.data.planted import plant_errors
    >>> bars = plant_errors(stock_panel(n_assets=5, days=200), rate=0.01)
    >>> sorted(bars["kind"].unique())
    ['fat_finger', 'none', 'spike', 'split', 'stale']
    """
    check_bars(bars)
    if not 0 <= rate <= 0.02:
        raise UsageError(f"plant_errors: rate={rate}; allowed: 0 to 0.02")
    rng = np.random.default_rng(seed)
    names = [name for name in (*PRICES, "volume") if name in bars]
    order = np.lexsort((bars["date"].to_numpy(), pd.factorize(bars["asset"], sort=True)[0]))
    own = bars.iloc[order]
    cells = {name: own[name].to_numpy(np.float64, na_value=np.nan).copy() for name in names}
    asset = pd.factorize(own["asset"])[0]
    kinds = np.full(len(own), "none", dtype=object)
    usual = _usual_moves(np.log(cells["close"]), asset)
    places = _places(rng, asset, round(rate * len(own)))
    for at, kind in zip(places, np.resize(KINDS, len(places)), strict=True):
        end = int(np.searchsorted(asset, asset[at], side="right"))
        kinds[at : at + _plant(rng, cells, kind, int(at), end, usual[at])] = kind
    back = np.argsort(order)
    found = bars.assign(**{name: values[back] for name, values in cells.items()})
    kinds = kinds[back]
    return found.assign(
        is_planted=(kinds != "none").astype(np.int8), kind=pd.array(kinds, dtype="str")
    )


def _plant(
    rng: np.random.Generator,
    cells: dict[str, np.ndarray],
    kind: str,
    at: int,
    end: int,
    usual: float,
) -> int:
    """Change the cells at a place whose asset ends at ``end``; return how many bars are wrong."""
    prices = [name for name in PRICES if name in cells and cells[name][at] > 0]
    if kind == "spike":
        close = cells["close"][at] * np.exp(rng.choice([-1, 1]) * rng.uniform(6, 12) * usual)
        cells["close"][at] = close
        for name, extreme in (("high", np.fmax), ("low", np.fmin)):
            if name in cells:
                cells[name][at] = extreme(cells[name][at], close)
        return 1
    if kind == "split":
        factor = rng.choice(SPLITS)
        for name, values in cells.items():
            values[at:end] *= factor if name == "volume" else 1 / factor
        return 1
    if kind == "stale":
        many = min(int(rng.integers(2, 6)), end - at)
        quiet = rng.random() < 0.5
        for name, values in cells.items():
            values[at : at + many] = 0.0 if quiet and name == "volume" else values[at - 1]
        return many
    volume = "volume" in cells and cells["volume"][at] > 0
    name = rng.choice([*prices, *(["volume"] if volume else [])])
    cells[name][at] *= 1000.0 if name == "volume" else rng.choice(SLIPS)
    return 1


def _usual_moves(logs: np.ndarray, asset: np.ndarray) -> np.ndarray:
    """Return the usual move of a bar: the deviation of the returns of the bars before."""
    moves = pd.Series(logs).groupby(asset).diff()
    spread = moves.groupby(asset).rolling(USUAL_BARS, min_periods=20).std()
    before = spread.droplevel(0).groupby(asset).shift(1)
    return np.asarray(np.fmax(before.to_numpy(), LEAST_MOVE))


def _places(rng: np.random.Generator, asset: np.ndarray, number: int) -> np.ndarray:
    """Return places of cases, far enough from each other and from the beginning of the asset."""
    begin = np.searchsorted(asset, asset)
    since = np.arange(len(asset)) - begin - FIRST
    phase = rng.integers(0, APART, len(asset))[begin]  # else all assets had their cases at once
    free = np.flatnonzero((since >= 0) & (since % APART == phase))
    if not len(free):
        raise DataError(f"plant_errors: no asset has more than {FIRST} bars; take a longer time")
    last = np.searchsorted(asset, asset[free], side="right") - 1
    chosen = rng.permutation(len(free))[:number]
    places = free[chosen] + rng.integers(0, APART // 2, len(chosen))
    return np.asarray(np.minimum(places, last[chosen]))
