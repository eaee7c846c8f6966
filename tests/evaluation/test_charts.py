import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fintech_dl.evaluation.charts import Axis, Guide, Line, bars, curves, dots, timeline
from fintech_dl.evaluation.svg import N_STYLES, swatch


def paths(svg, colour, width=None):
    """The points of each path drawn in a colour, in drawing order."""
    found = []
    for element in ElementTree.fromstring(svg).iter("path"):
        style = element.get("style", "")
        if f"var(--{colour})" in style and (width is None or f"stroke-width: {width}" in style):
            pairs = re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", element.get("d", ""))
            found.append(np.array(pairs, dtype=float).reshape(-1, 2))
    return [points for points in found if len(points)]


def texts(svg):
    return [e.text for e in ElementTree.fromstring(svg).iter("text")]


def dotted(svg):
    """The points of the first dotted line."""
    found = re.search(r'd="M (\S+) (\S+) L (\S+) (\S+)"[^>]*stroke-dasharray: 2,3', svg)
    return np.array(found.groups(), dtype=float).reshape(2, 2)


def slope(drawn, data):
    """The factor from data to drawing; all points must agree on it."""
    factors = np.diff(drawn) / np.diff(data)
    assert np.ptp(factors) < 1e-3 * abs(factors[0])
    return factors[0]


def test_a_curve_is_drawn_to_scale():
    x, y = [0.0, 0.1, 0.4, 1.0], [0.9, 0.5, 0.4, 0.05]
    svg = curves([Line(x, y)], "alt", Axis("x", "share", 0, 1), Axis("y", "share", 0, 1))
    (drawn,) = paths(svg, "s0", 2.2)
    assert len(drawn) == 4
    assert slope(drawn[:, 0], x) > 200
    assert slope(drawn[:, 1], y) < -150  # upwards in SVG is smaller


def test_a_band_reaches_from_low_to_high():
    x, y = np.linspace(0, 1, 5), np.linspace(0.2, 0.6, 5)
    line = Line(list(x), list(y), list(y - 0.1), list(y + 0.05))
    svg = curves([line], "alt", Axis("x", low=0, high=1), Axis("y", low=0, high=1))
    middle = paths(svg, "s0", 2.2)[0][:, 1]
    unit = slope(middle, y)
    shift = float(re.search(r'y="([\d.]+)" style="fill: var\(--s0\); fill-opacity', svg)[1])
    heights = [float(v) + shift for v in re.findall(r"[ML] \S+ (-[\d.]+)", svg)]
    assert max(heights) == pytest.approx(middle[0] - 0.1 * unit, abs=0.01)
    assert min(heights) == pytest.approx(middle[-1] + 0.05 * unit, abs=0.01)


def test_missing_values_break_a_curve_and_unequal_lengths_draw_none_of_it():
    x, y = [0, 1, 2, 3, 4], [0.1, 0.2, None, float("nan"), 0.5]
    svg = curves([Line(x, y)], "alt", Axis("x"), Axis("y"))
    assert sum(len(p) for p in paths(svg, "s0", 2.2)) == 3
    assert "nan" not in svg
    assert paths(curves([Line(x, y[:3])], "alt", Axis("x"), Axis("y")), "s0", 2.2) == []


def test_days_break_between_folds_and_are_written_as_days():
    days = [f"2018-08-{d:02}" for d in (8, 9, 10, 22, 23)]
    svg = curves([Line(days, [1, 2, 3, 2, 1])], "alt", Axis("", "day"), Axis("y"))
    (drawn,) = (e for e in ElementTree.fromstring(svg).iter("path") if "2.2" in e.get("style", ""))
    assert drawn.get("d").count("M") == 2
    assert {"8 Aug", "22 Aug"} <= set(texts(svg)) or "8 Aug" in texts(svg)


@pytest.mark.parametrize("step", [1, 7, 30])
def test_days_do_not_break_at_the_usual_step_nor_at_holidays(step):
    start = np.datetime64("2018-01-01")
    days = start + step * np.arange(60)
    if step == 1:
        days = np.array([d for d in days if np.is_busday(d) and str(d)[5:] != "01-15"])
    svg = curves(
        [Line([str(d) for d in days], [1.0] * len(days))], "alt", Axis("", "day"), Axis("")
    )
    (drawn,) = (e for e in ElementTree.fromstring(svg).iter("path") if "2.2" in e.get("style", ""))
    assert drawn.get("d").count("M") == 1


def test_many_days_are_thinned_and_still_break_between_folds():
    days = np.datetime64("1990-01-01") + np.r_[np.arange(9000), np.arange(11000, 14000)]
    noise = np.random.default_rng(0).normal(size=len(days))
    svg = curves([Line([str(d) for d in days], noise)], "alt", Axis("", "day"), Axis(""))
    (drawn,) = (e for e in ElementTree.fromstring(svg).iter("path") if "2.2" in e.get("style", ""))
    assert drawn.get("d").count("M") == 2
    assert len(svg) < 40_000


def test_bars_reach_from_zero_to_their_values_with_room_for_their_names():
    values = [0.1, -0.05, None, 0.2]
    svg = bars(["Jan 2016", "Feb 2016", "Mar 2016", "Apr 2016"], values, "alt", "month", "rank IC")
    drawn = [points[:, 1] for points in paths(svg, "s0")]
    heights = [points[0] - points[2] for points in drawn if len(points) >= 3]
    assert [h / heights[0] for h in heights] == pytest.approx([1, -0.5, 2])
    assert {"Jan 2016", "Apr 2016", "month", "rank IC"} <= set(texts(svg))
    months = [f"{m} {y}" for y in range(2010, 2020) for m in ("Jan", "Jul")]
    shown = set(texts(bars(months, [0.1] * 20, "alt", "", ""))) & set(months)
    assert 3 <= len(shown) <= 7


def test_dots_stand_beside_a_line_to_compare_with():
    rows = [("a", 80.0, 78.0, 82.0, 0), ("b", 90.0, 88.0, 92.0, 1)]
    svg = dots(rows, "alt", "%", at=90.0)
    (line,) = paths(svg, "mark")
    middle = paths(svg, "s1", 2.2)[0][:, 0].mean()
    assert line[:, 0] == pytest.approx([middle, middle], abs=0.01)
    assert paths(dots(rows, "alt", "%"), "mark") == []


def test_a_long_curve_is_thinned_but_keeps_ends_and_steps():
    n = 50_000
    x = np.linspace(0, 1, n)
    y = np.where(x < 0.001, 1.0, 0.2)  # a cliff that even spacing in x would blur
    svg = curves(
        [Line(list(x), list(y))], "alt", Axis("x", low=0, high=1), Axis("y", low=0, high=1)
    )
    (drawn,) = paths(svg, "s0", 2.2)
    assert len(drawn) <= 400
    unit = (drawn[-1, 0] - drawn[0, 0]) / 1
    cliff = drawn[np.argmax(np.diff(drawn[:, 1])), 0]
    assert abs(cliff - drawn[0, 0] - 0.001 * unit) < 0.5
    assert np.ptp(drawn[:, 1]) > 100


def test_an_axis_stretched_near_zero_places_square_roots():
    x = [0.0, 0.01, 0.04, 0.16]
    svg = curves([Line(x, x)], "alt", Axis("x", "rare", 0, 0.16), Axis("y", "rare", 0, 0.16))
    (drawn,) = paths(svg, "s0", 2.2)
    assert slope(drawn[:, 0], np.sqrt(x)) > 0
    assert {"0%", "2%", "10%"} <= set(texts(svg))


def test_a_logarithmic_axis_places_logarithms_and_writes_plain_numbers():
    x = [0.01, 0.1, 1.0, 100.0]
    svg = curves([Line(x, [1, 2, 3, 4])], "alt", Axis("alerts", "log"), Axis("y"))
    assert slope(paths(svg, "s0", 2.2)[0][:, 0], np.log10(x)) > 0
    assert {".01", "1", "100"} <= set(texts(svg))
    assert not any("$" in t or "10^" in t for t in texts(svg))


@pytest.mark.parametrize(
    ("top", "written"),
    [
        (0.2, ["0", ".05", ".10"]),
        (60, ["20", "40"]),
        (3000, ["1,000", "2,000"]),
        (80_000, ["0", "20k", "80k"]),
        (4e6, ["0", "1m", "4m"]),
    ],
)
def test_ticks_have_the_decimals_that_tell_them_apart(top, written):
    svg = curves([Line([0, 1], [0, top])], "alt", Axis("x"), Axis("y"))
    assert set(written) <= set(texts(svg))


def test_counts_have_whole_ticks():
    plain, whole = (
        texts(curves([Line([0, 12], [1, 1])], "alt", Axis("x", kind), Axis("y")))
        for kind in ("number", "count")
    )
    assert "2.5" in plain
    assert {"0", "5", "10"} <= set(whole)
    assert "2.5" not in whole


def test_guides_stand_where_they_should():
    lines = [Line([0.0, 1.0], [0.0, 1.0])]
    axes = Axis("x", low=0, high=1), Axis("y", low=0, high=1)
    svg = curves(lines, "alt", *axes, [Guide("level", 0.25), Guide("at", 0.75, "chosen")])
    (line,) = paths(svg, "s0", 2.2)
    width, height = line[1, 0] - line[0, 0], line[1, 1] - line[0, 1]
    (at,) = paths(svg, "mark")
    level = dotted(svg)
    assert at[0, 0] == pytest.approx(line[0, 0] + 0.75 * width, abs=0.01)
    assert level[0, 1] == pytest.approx(line[0, 1] + 0.25 * height, abs=0.01)
    assert "chosen" in texts(svg)


def test_dots_and_intervals_are_drawn_to_scale():
    rows = [("a", 0.5, 0.4, 0.8, 0), ("b", 0.2, None, None, 1), ("c", None, None, None, 2)]
    svg = dots(rows, "alt", "AP")
    (interval,) = (p for p in paths(svg, "s0", 2.2) if len(p) == 2)
    uses = {
        e.get("style").split("--")[1][:2]: float(e.get("x"))
        for e in ElementTree.fromstring(svg).iter("use")
        if "var(--s0)" in e.get("style", "") or "var(--s1)" in e.get("style", "")
    }
    unit = (interval[1, 0] - interval[0, 0]) / 0.4
    assert uses["s0"] == pytest.approx(interval[0, 0] + 0.1 * unit, abs=0.01)
    assert uses["s1"] == pytest.approx(interval[0, 0] - 0.2 * unit, abs=0.01)
    assert texts(svg)[-3:] == ["a", "b", "c"] or {"a", "b", "c"} <= set(texts(svg))


def test_bars_start_at_zero_also_below_it():
    svg = dots([("a", 0.4, None, None, 0), ("b", -0.1, None, None, 0)], "x", "drop", from_zero=True)
    first, second = (p for p in paths(svg, "s0") if len(p) == 4)
    zero = first[:, 0].min()
    assert second[:, 0].max() == pytest.approx(zero, abs=0.01)
    assert np.ptp(first[:, 0]) == pytest.approx(4 * np.ptp(second[:, 0]), rel=1e-3)


def test_the_timeline_is_drawn_to_scale():
    day = "2018-{}T00:00:00".format
    folds = [
        {"name": "one", "train_from": day("07-01"), "train_to": day("07-15"),
         "test_from": day("07-22"), "test_to": day("07-29")},
        {"name": "no dates"},
        {"name": "no gap", "train_from": day("07-08"), "train_to": day("07-22"),
         "test_from": day("07-22"), "test_to": day("07-29")},
    ]  # fmt: skip
    svg = timeline(folds, "alt")
    train, test, gap = ([p for p in paths(svg, c) if len(p) == 4] for c in ("s0", "s1", "gap"))
    assert (len(train), len(test), len(gap)) == (2, 2, 1)
    unit = np.ptp(train[0][:, 0]) / 14
    assert np.ptp(test[0][:, 0]) == pytest.approx(7 * unit, abs=0.01)
    assert np.ptp(gap[0][:, 0]) == pytest.approx(7 * unit, abs=0.01)
    assert train[1][0, 0] - train[0][0, 0] == pytest.approx(7 * unit, abs=0.01)
    assert test[0][:, 1].mean() < test[1][:, 1].mean()
    assert {"one", "no dates", "no gap"} <= set(texts(svg))


@pytest.mark.parametrize("name", [r"$\frac{1}{0}$", "<b>&amp;", "\u6c49\u5b57", "a" * 99])
def test_names_are_drawn_as_they_are_written(name):
    svg = dots([(name, 1.0, None, None, 0)], name, name)
    shown = name if len(name) <= 30 else name[:29] + "…"
    assert shown in texts(svg)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == root.find("title").text == name
    assert root.get("role") == "img"


def test_nothing_to_draw_is_an_empty_chart_not_an_error():
    empty = Line([], [])
    for kind in ("share", "rare", "number", "log", "day"):
        assert curves([empty], "alt", Axis("x", kind), Axis("y")).startswith("<svg")
    one = Line(["2018-08-08"], [0.0])
    assert curves([one], "alt", Axis("x", "day"), Axis("y")).startswith("<svg")
    assert dots([], "alt", "x").startswith("<svg")
    assert timeline([{"name": "undated"}], "alt").startswith("<svg")


def test_each_style_has_its_own_sample():
    assert len({swatch(style) for style in range(N_STYLES)}) == N_STYLES
    assert 'stroke-dasharray="none"' in swatch(0)
