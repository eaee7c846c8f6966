"""Alpha158-like features: shapes of the last bar, and 29 statistics of the last 5 to 60 bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fintech_dl.features.windows import (
    Features,
    Floats,
    correlations,
    deviations,
    highest,
    lagged,
    lowest,
    quantiles,
    ranks,
    sums,
    trends,
)

WINDOWS = (5, 10, 20, 30, 60)
NEEDS = ("open", "high", "low", "close", "volume")


def alphas(columns: Mapping[str, Floats], windows: Sequence[int] = WINDOWS) -> Features:
    """Yield name and values of each feature: 9 of the bar, 4 prices, 29 per window.

    The set that Qlib calls Alpha158, for rankings of many stocks. All are ratios, so that assets
    may be pooled. No value lets the future in; each looks at most ``max(windows) + 1`` bars back.

    Parameters
    ----------
    columns : mapping of str to float array of shape (n_bars,)
        ``open``, ``high``, ``low``, ``close`` above 0 and ``volume``, one asset's bars in a row.
    windows : sequence of int, default (5, 10, 20, 30, 60)

    Yields
    ------
    name : str
    values : float array of shape (n_bars,)
        NaN where the window is not full or the value is not defined: volumes of 0 below the line,
        correlations with a constant. 0 where nothing moved.

    Notes
    -----
    O, H, L, C, V are the bar's numbers, C-1 is the close before; over the last d bars:

    =========================  =====================================================================
    KMID KLEN KSFT             (C - O) / O, (H - L) / O, (2 C - H - L) / O
    KUP KLOW                   (H - max(O, C)) / O, (min(O, C) - L) / O
    KMID2 KUP2 KLOW2 KSFT2     the same numerators / (H - L)
    OPEN0 HIGH0 LOW0 TYP0      O, H, L, and the typical price (H + L + C) / 3 (for VWAP), over C
    ROC MA STD                 C of d bars ago, mean of C, its standard deviation (n - 1), over C
    BETA RSQR RESI             line through C: slope / C, R2, newest residual / C
    MAX MIN QTLU QTLD          highest H, lowest L, 80 % and 20 % quantile of C, over C
    RANK RSV                   rank of C (0 to 1, ties share); (C - min L) / (max H - min L)
    IMAX IMIN IMXD             place of the highest H and of the lowest L (oldest 1 / d, newest 1;
                               the oldest of ties), and the difference
    CORR CORD                  correlation of C with ln(V + 1); of C / C-1 with ln(V / V-1 + 1)
    CNTP CNTN CNTD             share of bars that rose, that fell, and the difference
    SUMP SUMN SUMD             sum of rises, of falls over the sum of both, and the difference
    VMA VSTD                   mean of V and its standard deviation, over V
    WVMA                       standard deviation of abs(C / C-1 - 1) V over its mean
    VSUMP VSUMN VSUMD          as SUMP, of V
    =========================  =====================================================================

    Yang, Liu, Zhou, Bian and Liu (2020), Qlib: An AI-oriented Quantitative Investment Platform.
    There a tiny number is added to denominators, and VWAP stands where TYP0 does.

    Examples
    --------
    >>> import numpy as np
    >>> from fintech_dl.features.alphas import alphas
    >>> close = np.arange(10.0, 20.0)
    >>> columns = {"open": close, "high": close + 1, "low": close - 1, "close": close,
    ...            "volume": np.full(10, 100.0)}
    >>> found = dict(alphas(columns, windows=[5]))
    >>> len(found), round(found["RSQR5"][-1].item(), 6), found["CNTP5"][-1].item()
    (42, 1.0, 1.0)
    """
    close, volume = columns["close"], columns["volume"]
    yield from _bar(columns)
    yield from _levels(columns, windows)
    yield from _with_volume(close, volume, windows)
    yield from _moves(close, windows, "CNT", "SUM")
    yield from _of_volume(close, volume, windows)


def _bar(columns: Mapping[str, Floats]) -> Features:
    start, top, bottom, end = (columns[name] for name in ("open", "high", "low", "close"))
    reach = top - bottom
    parts = {
        "KMID": end - start,
        "KUP": top - np.maximum(start, end),
        "KLOW": np.minimum(start, end) - bottom,
        "KSFT": 2 * end - top - bottom,
    }
    yield "KLEN", reach / start
    for name, part in parts.items():
        yield name, part / start
        yield f"{name}2", _or_0(part, reach)
    typical = (top + bottom + end) / 3
    for name, price in {"OPEN0": start, "HIGH0": top, "LOW0": bottom, "TYP0": typical}.items():
        yield name, price / end


def _levels(columns: Mapping[str, Floats], windows: Sequence[int]) -> Features:
    close = columns["close"]
    mean, spread = deviations(close, windows)
    slope, r2, residual = trends(close, windows)
    top, top_ago = highest(columns["high"], windows)
    bottom, bottom_ago = lowest(columns["low"], windows)
    high, low = quantiles(close, windows, [0.8, 0.2])
    rank = ranks(close, windows)
    for d in windows:
        yield f"ROC{d}", lagged(close, d) / close
        for name, values in {"MA": mean, "STD": spread, "BETA": slope, "RESI": residual}.items():
            yield f"{name}{d}", values[d] / close
        yield f"RSQR{d}", r2[d]
        for name, values in {"MAX": top, "MIN": bottom, "QTLU": high, "QTLD": low}.items():
            yield f"{name}{d}", values[d] / close
        yield f"RANK{d}", rank[d]
        yield f"RSV{d}", _or_0(close - bottom[d], top[d] - bottom[d])
        yield f"IMAX{d}", (d - top_ago[d]) / d
        yield f"IMIN{d}", (d - bottom_ago[d]) / d
        yield f"IMXD{d}", (bottom_ago[d] - top_ago[d]) / d


def _with_volume(close: Floats, volume: Floats, windows: Sequence[int]) -> Features:
    level = correlations(close, np.log(volume + 1), windows)
    grown = _ratio(volume, lagged(volume, 1))
    change = correlations(close / lagged(close, 1), np.log(grown + 1), windows)
    for d in windows:
        yield f"CORR{d}", level[d]
        yield f"CORD{d}", change[d]


def _of_volume(close: Floats, volume: Floats, windows: Sequence[int]) -> Features:
    mean, spread = deviations(volume, windows)
    paced = np.abs(close / lagged(close, 1) - 1) * volume
    paced_mean, paced_spread = deviations(paced, windows)
    for d in windows:
        yield f"VMA{d}", _ratio(mean[d], volume)
        yield f"VSTD{d}", _ratio(spread[d], volume)
        yield f"WVMA{d}", _or_0(paced_spread[d], paced_mean[d])
    yield from _moves(volume, windows, "", "VSUM")


def _moves(values: Floats, windows: Sequence[int], count: str, total: str) -> Features:
    """Yield what rises and falls are of all moves: by their number, by their size."""
    change = values - lagged(values, 1)
    if count:
        # a change that is not known counts neither as rise nor as fall
        unknown = np.where(np.isnan(change), np.nan, 0.0)
        rose, fell = (sums(unknown + side, windows) for side in (change > 0, change < 0))
        for d in windows:
            yield f"{count}P{d}", rose[d] / d
            yield f"{count}N{d}", fell[d] / d
            yield f"{count}D{d}", (rose[d] - fell[d]) / d
    up, down = (sums(np.maximum(side, 0), windows) for side in (change, -change))
    for d in windows:
        moved = up[d] + down[d]
        yield f"{total}P{d}", _or_0(up[d], moved)
        yield f"{total}N{d}", _or_0(down[d], moved)
        yield f"{total}D{d}", _or_0(up[d] - down[d], moved)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return part / np.where(whole > 0, whole, np.nan)


def _or_0(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, 0 where the whole is 0: nothing moved."""
    return np.asarray(part / np.where(whole == 0, 1, whole) * (whole != 0), dtype=np.float64)
