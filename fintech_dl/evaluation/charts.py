"""The kinds of chart in the report: curves with bands, dots with intervals, bars in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fintech_dl.evaluation.svg import COLOURS, N_STYLES, dash, surface
from fintech_dl.evaluation.wording import clean, number

Array = npt.NDArray[np.float64]
Kind = Literal["share", "rare", "number", "count", "log", "day"]

_POINTS = 400  # most points drawn of one curve
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_RARE_TICKS = (0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)


class Line(NamedTuple):
    """One curve: x and y, the ends of its interval where known, and its style (0 = the model)."""

    x: Sequence[Any]
    y: Sequence[Any]
    low: Sequence[Any] | None = None
    high: Sequence[Any] | None = None
    style: int = 0
    points: bool = False


class Axis(NamedTuple):
    """An axis: its label, how its values are written, and its ends (None: from the data)."""

    label: str
    kind: Kind = "number"
    low: float | None = None
    high: float | None = None


class Guide(NamedTuple):
    """A thin line to compare with: ``diagonal``, ``level`` (across) or ``at`` (upright)."""

    kind: Literal["diagonal", "level", "at"]
    value: float = 0.0
    text: str = ""


def curves(lines: Sequence[Line], alt: str, x: Axis, y: Axis, guides: Sequence[Guide] = ()) -> str:
    """Return a chart of curves with bands: precision against recall, cost, loss, days.

    Parameters
    ----------
    lines : sequence of Line
        Curves in drawing order of importance: the first lies on top. None and NaN are gaps.
    alt : str
        What the chart shows, in words, for those who cannot see it.
    x, y : Axis
        Axes. ``rare`` is a share stretched near 0; ``count`` has ticks at whole numbers; ``day``
        takes ISO dates.
    guides : sequence of Guide
        Lines to compare with.

    Returns
    -------
    svg : str
        One ``<svg>`` element, safe to place in a page as it is.

    Raises
    ------
    NotInstalledError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fintech_dl.evaluation.charts import Axis, Line, curves
    >>> line = Line(x=[0, 1], y=[0.2, 0.8])
    >>> curves([line], "rising", Axis("recall", "share"), Axis("precision", "share"))[:4]
    '<svg'
    """

    def draw(ax: Any) -> None:
        for place, line in enumerate(lines):
            xs = _days(line.x) if x.kind == "day" else _floats(line.x)
            ys, low, high = (_floats(v, len(xs)) for v in (line.y, line.low, line.high))
            xs, ys, low, high = _thin(xs, ys, low, high)
            if x.kind == "day":
                xs, ys, low, high = _gaps(xs, ys, low, high)
            colour, top = COLOURS[f"s{line.style % N_STYLES}"], 20 - place
            if np.isfinite(low).any():
                alpha = 0.2 if line.style == 0 else 0.1
                ax.fill_between(
                    xs, low, high, color=colour, alpha=alpha, linewidth=0, zorder=top - 10
                )
            ax.plot(
                xs,
                ys,
                color=colour,
                linestyle=dash(line.style),
                linewidth=2.2 if line.style == 0 else 1.5,
                marker="o" if line.points else None,
                markersize=3.2,
                zorder=top,
            )
        for axis, spec in ((ax.xaxis, x), (ax.yaxis, y)):
            values = [v for ln in lines for v in (ln.x if spec is x else ln.y)]
            _scale(ax, axis, spec, values)
        for guide in guides:
            _guide(ax, guide)
        ax.grid(axis="y")

    return surface(draw, alt)


def dots(
    rows: Sequence[tuple[str, Any, Any, Any, int]],
    alt: str,
    label: str,
    *,
    from_zero: bool = False,
    at: float | None = None,
) -> str:
    """Return a chart of values with intervals, one row each: models, or features by importance.

    Parameters
    ----------
    rows : sequence of (name, value, low, high, style)
        From the top down. A missing interval leaves the dot alone.
    alt, label : str
        Description in words; label of the value axis.
    from_zero : bool
        Draw a bar from 0 to each value.
    at : float, optional
        Where to draw an upright line to compare with.

    Examples
    --------
    >>> from fintech_dl.evaluation.charts import dots
    >>> "amount" in dots([("amount", 0.2, 0.1, 0.3, 0)], "one feature", "drop in AP")
    True
    """

    def draw(ax: Any) -> None:
        for place, (_, value, low, high, style) in enumerate(rows):
            colour = COLOURS[f"s{style % N_STYLES}"]
            middle, left, right = _floats([value, low, high])
            if from_zero and np.isfinite(middle):
                ax.barh(place, middle, height=0.62, color=colour, alpha=0.55, linewidth=0, zorder=3)
            if np.isfinite(left) and np.isfinite(right):
                ax.plot(
                    [left, right],
                    [place, place],
                    color=COLOURS["ink"] if from_zero else colour,
                    linewidth=1.3 if from_zero else 2.2,
                    zorder=5,
                )
            if not from_zero:
                ax.plot([middle], [place], marker="o", markersize=6.5, color=colour, zorder=6)
        if from_zero:
            ax.axvline(0, color=COLOURS["soft"], linewidth=0.8)
        if at is not None:
            ax.axvline(at, color=COLOURS["mark"], linewidth=1.0)
        ax.set_yticks(range(len(rows)), [clean(name, 30) for name, *_ in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
        _scale(ax, ax.xaxis, Axis(label), [v for _, *three, _ in rows for v in three])
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x")

    return surface(draw, alt, height=62 + 21 * len(rows))


def bars(names: Sequence[str], values: Sequence[Any], alt: str, x: str, y: str) -> str:
    """Return a chart of upright bars from 0, side by side: one a month, or one a group.

    Parameters
    ----------
    names : sequence of str
        Below the bars; every so many where there is no room for all.
    values : sequence of float
        None and NaN leave a gap.
    alt, x, y : str
        Description in words; labels of the axes.

    Examples
    --------
    >>> from fintech_dl.evaluation.charts import bars
    >>> "Jan" in bars(["Jan", "Feb"], [0.02, -0.01], "two months", "", "rank IC")
    True
    """

    def draw(ax: Any) -> None:
        ax.bar(range(len(names)), _floats(values), width=0.76, color=COLOURS["s0"], linewidth=0)
        ax.axhline(0, color=COLOURS["soft"], linewidth=0.8)
        every = -(-len(names) * max(map(len, names), default=1) // 44) or 1
        shown = range(0, len(names), every)
        ax.set_xticks(shown, [clean(names[i], 20) for i in shown])
        ax.set_xlabel(clean(x, 80))
        _scale(ax, ax.yaxis, Axis(y), values)
        ax.grid(axis="y")

    return surface(draw, alt)


def timeline(folds: Sequence[dict[str, Any]], alt: str) -> str:
    """Return the picture of a split in time: train, gap and test of each fold, as bars.

    Parameters
    ----------
    folds : sequence of dict
        With ``name``, ``train_from``, ``train_to``, ``test_from``, ``test_to`` (ISO 8601).
        A fold without them has an empty row.
    alt : str
        Description in words.

    Examples
    --------
    >>> from fintech_dl.evaluation.charts import timeline
    >>> fold = {"name": "fold 1", "train_from": "2018-07-25", "train_to": "2018-08-01"}
    >>> fold |= {"test_from": "2018-08-08", "test_to": "2018-08-15"}
    >>> timeline([fold], "one fold").count("<svg")
    1
    """
    ends = ("train_from", "train_to", "test_from", "test_to")
    times = [_days([fold.get(end) for end in ends]) for fold in folds]

    def draw(ax: Any) -> None:
        for place, (start, stop, begin, end) in enumerate(times):
            for left, right, colour, thick in (
                (start, stop, "s0", 0.56),
                (stop, begin, "gap", 0.16),
                (begin, end, "s1", 0.56),
            ):
                if right > left:
                    code = COLOURS[colour]
                    ax.barh(place, right - left, left=left, height=thick, color=code, linewidth=0)
        ax.set_yticks(range(len(folds)), [clean(f.get("name"), 22) for f in folds])
        ax.set_ylim(len(folds) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
        known = [float(t) for fold in times for t in fold if np.isfinite(t)] or [1.0, 2.0]
        _scale(ax, ax.xaxis, Axis("", "day", min(known), max(known)), known)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x")

    return surface(draw, alt, height=44 + 26 * len(folds))


def is_day(value: Any) -> bool:
    """Return whether a value of the record is a time that the charts can place."""
    return bool(np.isfinite(_days([value])[0]))


def _floats(values: Sequence[Any] | None, n: int = 0) -> Array:
    """Numbers with NaN for whatever is none; all NaN where there are none."""
    if values is None or (n and len(values) != n):
        return np.full(n, np.nan)
    plain = [v if isinstance(v, int | float) else np.nan for v in values]
    numbers = np.asarray(plain, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _days(values: Sequence[Any]) -> Array:
    """ISO times as days since year 1, with fractions; numbers stay; others are NaN."""

    def one(value: Any) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            return float("nan")
        return at.toordinal() + (at.hour + at.minute / 60) / 24

    return np.asarray([one(v) for v in values], dtype=np.float64)


def _thin(x: Array, y: Array, low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Keep at most `_POINTS` points, evenly spaced along the curve as it is drawn."""
    if len(x) <= _POINTS:
        return x, y, low, high
    spans = [
        max(float(np.ptp(v[np.isfinite(v)])), 1e-300) if np.isfinite(v).any() else 1.0
        for v in (x, y)
    ]
    steps = np.nan_to_num(np.hypot(np.diff(x) / spans[0], np.diff(y) / spans[1]))
    along = np.concatenate([[0.0], np.cumsum(steps + 1e-9)])
    keep = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)).clip(0, len(x) - 1))
    return x[keep], y[keep], low[keep], high[keep]


def _gaps(x: Array, *rest: Array) -> tuple[Array, ...]:
    """Break a line of days where many are missing: between the tests of two folds.

    Many is more than four, and more than three times the usual step or weekend of the line.
    """
    steps = np.diff(x)
    usual = np.nanquantile(steps, 0.85, method="lower") if np.isfinite(steps).any() else 1.0
    holes = np.flatnonzero(steps > max(4.0, 3 * usual)) + 1
    return tuple(np.insert(v, holes, np.nan) for v in (x, *rest))


def _guide(ax: Any, guide: Guide) -> None:
    style = {"color": COLOURS["soft"], "linewidth": 1.0, "linestyle": (0, (2, 3)), "zorder": 2}
    if guide.kind == "diagonal":
        top = min(ax.get_xlim()[1], ax.get_ylim()[1])
        ax.plot(np.linspace(0, top, 30), np.linspace(0, top, 30), **style)
    elif guide.kind == "level":
        ax.axhline(guide.value, **style)
    else:
        ax.axvline(guide.value, **style | {"color": COLOURS["mark"], "linestyle": "-"})
        place = ax.transAxes.inverted().transform(ax.transData.transform((guide.value, 0)))[0]
        side = "right" if place > 0.55 else "left"
        ax.annotate(
            guide.text,
            (guide.value, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if side == "right" else 5, 0),
            textcoords="offset points",
            ha=side,
            va="top",
            color=COLOURS["mark"],
        )


def _scale(ax: Any, axis: Any, spec: Axis, values: Sequence[Any]) -> None:
    """Give an axis its scale, ends, ticks and the way its values are written."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    set_scale = getattr(ax, f"set_{axis.axis_name}scale")
    numbers = _days(values) if spec.kind == "day" else _floats(values)
    numbers = numbers[np.isfinite(numbers)]
    low, high = spec.low, spec.high
    days = np.unique(np.floor(numbers)) if spec.kind == "day" else np.empty(0)

    def write(value: float, _: Any) -> str:
        if spec.kind in ("share", "rare"):
            return f"{100 * value:.4g}%"
        if len(days):
            return _day(value, days[-1] - days[0])
        return _tick(value, [value] if spec.kind == "log" else axis.get_majorticklocs())

    if spec.kind == "log" and (numbers > 0).any():
        set_scale("log")
        axis.set_minor_locator(NullLocator())
    elif spec.kind == "rare":
        low, high = 0, high or max(numbers, default=1.0)
        set_scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
        axis.set_major_locator(FixedLocator(_spread(high)))
    elif len(days):
        span = days[-1] - days[0]
        step = 7 * -(-span // 28) if span > 14 else -(-span // 4) or 1
        axis.set_major_locator(FixedLocator(list(np.arange(days[0], days[-1] + 1, step))))
    else:
        whole = spec.kind == "count"
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=whole))
    axis.set_major_formatter(FuncFormatter(write))
    if low is not None or high is not None:
        getattr(ax, f"set_{axis.axis_name}lim")(low, high)
    axis.set_label_text(clean(spec.label, 80))


def _spread(top: float) -> list[float]:
    """Ticks of a stretched share, none closer than a ninth of the axis to the next."""
    chosen = [0.0]
    for tick in _RARE_TICKS:
        if tick <= top and np.sqrt(tick) - np.sqrt(chosen[-1]) >= np.sqrt(top) / 9:
            chosen.append(tick)
    return chosen


def _tick(value: float, ticks: Sequence[float]) -> str:
    """Write a tick with as many decimals as tell it from its neighbours."""
    step = min((abs(b - a) for a, b in pairwise(ticks)), default=abs(value))
    for size, unit in ((1e9, "bn"), (1e6, "m"), (1e4, "k")):
        if max(abs(t) for t in ticks) >= size:
            scale = 1e3 if unit == "k" else size
            return "0" if value == 0 else number(value / scale, _places(step / scale)) + unit
    return "0" if value == 0 else number(value, _places(step))


def _places(step: float) -> int:
    return next((p for p in range(9) if abs(step * 10**p - round(step * 10**p)) < 1e-6), 9)


def _day(value: float, span: float) -> str:
    at = date.fromordinal(max(1, int(value)))
    month = _MONTHS[3 * at.month - 3 : 3 * at.month]
    return f"{month} {at.year}" if span > 400 else f"{at.day} {month}"
