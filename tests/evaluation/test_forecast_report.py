"""The report of runs that forecast: what each part of the record shows, and what its lack hides."""

import copy
import itertools
import re

import pytest

from fintech_dl.evaluation import charts, forecast_tables, order_tables
from fintech_dl.evaluation.leak_cases import CHECKS
from fintech_dl.evaluation.report import render, results_table
from tests.evaluation.forecast_record import KINDS, forecast_record
from tests.evaluation.test_report import HOSTILE, Page, _replace

DASH, MINUS, SPACE = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
RECORDS = {kind: forecast_record(kind) for kind in KINDS}
SECTIONS = {  # of the parts of the forecast
    "over-time": (
        *("by_year", "calibration_line", "loss_difference", "confidence_set", "direction"),
        *("nested", "members"),
    ),
    "intervals": ("intervals", "fan"),
    "ranking": ("ranking",),
    "trading": ("trading",),
    "leaks": ("leaks",),
}


@pytest.fixture
def undrawn(monkeypatch):
    """Charts that are not drawn, for tests of what surrounds them."""
    monkeypatch.setattr(charts, "surface", lambda draw, alt, height=0: "<svg></svg>")


@pytest.fixture(scope="module")
def pages():
    return {kind: render(record) for kind, record in RECORDS.items()}


def text_of(html):
    return " ".join(" ".join(Page(html).texts).split()).replace(SPACE, " ")


def table_of(html, first):
    return next(table for table in Page(html).tables if table[0][0] == first)


def changed(kind, **parts):
    record = copy.deepcopy(RECORDS[kind])
    record["forecast"] |= parts
    return record


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_the_same_each_time_and_asks_for_nothing(pages, kind, undrawn):
    html = pages[kind]
    record = copy.deepcopy(RECORDS[kind])
    assert render(record) == render(RECORDS[kind])
    assert record == RECORDS[kind]
    for forbidden in ("<script", "http:", "https:", "//", "@import", "javascript:", "<iframe"):
        assert forbidden not in html.lower().replace("<!doctype html>", ""), forbidden
    assert len(html.encode()) < 1_000_000


def test_a_drawn_page_is_the_same_each_time(pages):
    assert render(RECORDS["volatility"]) == pages["volatility"]


@pytest.mark.parametrize("kind", KINDS)
def test_sections_charts_and_links_of_a_kind(pages, kind):
    page = Page(pages[kind])
    wanted = {i for i, keys in SECTIONS.items() if set(keys) & set(RECORDS[kind]["forecast"])}
    assert page.ids & set(SECTIONS) == wanted
    assert set(re.findall(r'href="#([\w-]+)"', pages[kind])) <= page.ids
    labels = [chart["aria-label"] for chart in page.figures]
    assert len(set(labels)) == len(labels) == {"ranking": 8, "direction": 8}.get(kind, 6)
    assert "positive" not in text_of(pages[kind]).lower()


def test_the_results_hold_losses_intervals_skill_and_test(pages):
    rows = table_of(pages["volatility"], "model")
    assert rows[0] == ["model", "QLIKE", "MSE", "MAE", "Bias", "Skill", "DM", "p-value"]
    assert rows[1][1:] == [
        ".203[.19, .22]",
        "1.92[1.8, 2.0]",
        ".611[.57, .65]",
        f"{MINUS}.0210[{MINUS}.024, {MINUS}.018]",
        "7.0%",
        "2.46",
        ".014",
    ]
    assert rows[2][5:] == ["0%", DASH, DASH]
    assert rows[4][5:] == [f"{MINUS}42%", f"{MINUS}6.30", "< .001"]
    assert rows[5] == ["LightGBM", "not run: the library 'lightgbm' is not installed"]
    said = text_of(pages["volatility"])
    assert "share of the QLIKE of the best baseline that is saved" in said
    assert "forecasts and their errors are in %²" in said


def test_the_bias_nearest_to_zero_is_bold_and_models_are_told_apart(pages):
    body = pages["volatility"].split("<tbody>")[1].split("</tbody>")[0]
    assert re.findall(r"<b>([^<]*)</b>", body) == [".203", "1.92", ".611", ".0020"]
    assert [row[1][:5] for row in table_of(pages["price"], "model")[1:4]] == [
        "1.128",
        "1.127",
        "1.131",
    ]


def test_losses_alone_make_the_results(undrawn):
    losses = RECORDS["volatility"]["forecast"]["losses"]
    record = {"title": "t", "forecast": {"kind": "volatility", "horizon": 1, "losses": losses}}
    rows = table_of(render(record), "model")
    assert [row[1] for row in rows[1:]] == [".203", ".219", ".230", ".311"]
    lines = results_table(record, width=200).splitlines()
    assert lines[0].split() == ["model", "QLIKE", "MSE", "MAE", "Bias", "Skill", "DM", "p-value"]
    assert lines[1].endswith("7.0%   2.46   .014")


@pytest.mark.parametrize("kind", KINDS)
def test_the_terminal_shows_every_model(kind):
    lines = results_table(RECORDS[kind]).splitlines()
    assert max(map(len, lines)) <= 100
    for model in RECORDS[kind]["models"]:
        assert any(line.startswith(model["title"]) for line in lines)


def test_facts_say_what_it_is_worth(pages):
    said = text_of(pages["volatility"])
    for fact in (
        "Loss saved 7.0% against log-HAR + market, p = .014",
        "Held by the 90% interval 89.7% of 24,648 outcomes",
        "Horizon 1 bar 24 assets, 1,643 dates",
    ):
        assert fact in said
    said = text_of(pages["ranking"])
    assert f"Sharpe ratio after cost .74 [{MINUS}.04, 1.53]; before cost 1.31" in said
    assert "Break-even cost 11.7 bp a side; charged 5 bp" in said


def test_a_price_forecast_first_says_whether_it_beats_the_last_price(pages):
    assert '<h1 class="same">The forecast does not beat the last price: ' in pages["price"]
    assert ">No better than the last price</p>" in pages["price"]
    below = re.search(r'<p class="numbers">(.*?)</p>', pages["price"])[1]
    assert below.startswith("P = 0.757. NHiTS is no better than the best baseline, Last price,")


@pytest.mark.parametrize(
    ("beats", "outcome", "shown"),
    [
        (True, "beats", "beats"),
        (True, "same", "beats"),
        (False, "worse", "worse"),
        (False, "beats", "same"),
        (None, "beats", "beats"),
    ],
)
def test_the_colour_of_a_price_forecast_is_that_of_its_first_line(beats, outcome, shown, undrawn):
    record = changed("price", naive={"beats": beats, "text": "First."})
    record["verdict"]["outcome"] = outcome
    html = render(record)
    assert f'<h1 class="{shown}">' in html
    assert ("First." in html) == (beats is not None)


def test_warnings_stand_above_the_verdict(undrawn):
    html = render(changed("ranking", warnings=["rank IC .131 is <too> good", None]))
    assert html.count('class="banner"') == 1
    assert "Rank IC .131 is &lt;too&gt; good." in html
    assert html.index('class="banner"') < html.index("<h1")
    assert 'class="banner"' not in render(RECORDS["ranking"])


def test_each_year_stands_beside_its_rival(pages):
    years = RECORDS["volatility"]["forecast"]["by_year"]
    rows = table_of(pages["volatility"], "year")
    assert rows[0] == ["year", "forecasts", "model", "log-HAR + market", "saved"]
    assert [row[0] for row in rows[1:]] == [str(y["year"]) for y in years]
    for row, y in zip(rows[1:], years, strict=True):
        saved = 100 * (1 - y["model"] / y["rival"])
        assert row[2:4] == [f"{y[k]:.3f}".removeprefix("0") for k in ("model", "rival")]
        assert float(row[4].rstrip("%").replace(MINUS, "-")) == pytest.approx(saved, abs=0.51)


def test_years_of_an_order_gain_and_rivals_may_change(undrawn):
    years = [
        {"year": 2016, "n": 9, "model": 0.03, "rival": 0.01, "rival_title": "Ridge"},
        {"year": 2017, "n": 9, "model": 0.02, "rival": 0.025, "rival_title": "Momentum"},
    ]
    rows = table_of(render(changed("ranking", by_year=years)), "year")
    assert rows[0] == ["year", "forecasts", "model", "best rival", "gained", "rival"]
    assert [row[4:] for row in rows[1:]] == [["+.0200", "Ridge"], [f"{MINUS}.0050", "Momentum"]]


@pytest.mark.parametrize(
    ("slope", "p", "said"),
    [
        (0.7, 0.001, "p = .001, so the forecasts are biased: by the slope, high forecasts are too"),
        (
            1.3,
            0.0001,
            "p < .001, so the forecasts are biased: by the slope, high forecasts are not",
        ),
        (0.7, 0.05, "p = .050, so the test finds no bias"),
    ],
)
def test_the_line_of_calibration_is_put_into_words(slope, p, said, undrawn):
    line = {"intercept": -0.02, "slope": slope, "p_value": p}
    text = text_of(render(changed("volatility", calibration_line=line)))
    assert f"outcome = {MINUS}.0200 + {slope:.2f}".replace("0.7", ".7") in text
    assert said in text


def test_the_fan_shows_forecast_outcome_naive_and_bands(pages):
    figure = pages["price"].split("<figure>")
    fan = next(part for part in figure if "SPX: the last 120 forecasts" in part)
    for name in ("forecast", "what came", "naive forecast", "50% interval", "90% interval"):
        assert f"{name}</li>" in fan
    assert ">EUR</text>" in fan
    assert "5 bars ahead" in fan
    assert fan.count("fill-opacity: 0.2") == 2


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.85, 0.88, "too narrow"),
        (0.91, 0.95, "too wide"),
        (0.88, 0.92, "as promised"),
        (None, None, DASH),
    ],
)
def test_coverage_is_put_into_words(low, high, said, undrawn):
    group = {"group": "high", "n": 500, "share": 0.9, "low": low, "high": high}
    part = {"coverage": 0.9, "share": 0.9, "n": 900, "by_volatility": [group]}
    rows = table_of(render(changed("price", intervals=part)), "group")
    assert rows[2][0] == "volatility that came: high"
    assert rows[2][4] == said


def test_the_promise_of_an_interval_is_not_rounded(undrawn):
    part = {"coverage": 0.975, "share": 0.97, "risk": {"level": 0.025, "hits": 3, "n": 100}}
    text = text_of(render(changed("price", intervals=part)))
    assert "Held by the 97.5% interval" in text
    assert "Value at risk at 2.5%: 3 of 100 outcomes were worse; 2.5 were to be expected." in text


def test_tests_of_risk_are_put_into_words(pages):
    text = text_of(pages["volatility"])
    assert "1,291 of 24,648 outcomes were worse; 1,232.4 were to be expected." in text
    assert "Kupiec: p = .088, the number is as promised." in text
    assert "Christoffersen: p < .001, they come in clusters" in text
    assert "Shortfall: p = .310, the losses beyond are as large as forecast." in text
    assert "Basel traffic light: yellow." in text


def test_the_order_of_assets_stands_beside_its_rivals(pages):
    html = pages["ranking"]
    rows = table_of(html, "of the dates")
    assert rows[1] == ["Rank IC", ".0262", "[.0063, .0461]", ".132", ".198", "2.61", "57%"]
    rival = next(
        row
        for table in Page(html).tables
        for row in table
        if row[0] == "Ridge" and len(row) == 5 and "+" in row[3]
    )
    assert rival == ["Ridge", ".0225", "[.0045, .0405]", "+.0037", f"[{MINUS}.0123, +.0197]"]
    months = RECORDS["ranking"]["forecast"]["ranking"]["by_month"]["rank_ic"]
    assert f"{sum(v > 0 for v in months)} of 20 months are above 0" in text_of(html)
    assert ">Jul 2016</text>" in html
    assert "(rank correlation .93; 1 is every step up)" in text_of(html)


def test_trading_shows_every_cost_and_equal_weight(pages):
    html = pages["ranking"]
    assert table_of(html, "book")[1:] == [
        ["before cost", "10.1%", "1.31[.51, 2.11]", "9.2%"],
        ["after 5 bp a side", "5.8%", f".74[{MINUS}.04, 1.53]", "13.1%"],
        ["equal weight", "8.1%", f".61[{MINUS}.17, 1.39]", "33.9%"],
    ]
    costs = table_of(html, "cost a side")
    assert [row[0] for row in costs[1:]] == ["0 bp", "1 bp", "2.5 bp", "5 bp", "10 bp", "20 bp"]
    assert [row[1] for row in costs[1:3]] == ["1.31", "1.20"]
    text = text_of(html)
    assert "Break-even cost 11.7 bp a side" in text
    assert "Replaced each time 42%" in text
    assert "the 10% at either end of the order" in text


@pytest.mark.parametrize(
    ("luck", "said"),
    [
        ({}, "71.3% sure to be above 0 after cost, the best of 21 settings tried"),
        ({"tried": 1}, "71.3% sure to be above 0 after cost, one setting tried"),
        ({}, "Track record needed 5.2 years to be 95% sure; here are 6.3"),
        ({"years_needed": None}, "needed no time is enough: the 6.3 years here ended with a loss"),
    ],
)
def test_how_sure_a_book_is(luck, said, undrawn):
    book = RECORDS["ranking"]["forecast"]["trading"]
    text = text_of(render(changed("ranking", trading=book | {"luck": book["luck"] | luck})))
    assert said in text


def test_a_better_order_that_loses_is_told_in_the_first_line(undrawn):
    text = "MLP orders better than Ridge, but trading on it loses money (p = 0.01; Sharpe -0.4)."
    given = {"text": text, "outcome": "same", "metric": "rank_ic", "rival": "best"}
    record = copy.deepcopy(RECORDS["ranking"])
    for unpaid, words in (
        (True, ">Better forecasts, but a loss after cost</p>"),
        (None, ">No better than the best simple rival</p>"),
    ):
        html = render(record | {"verdict": given | {"unpaid": unpaid}})
        assert words in html
        assert '<h1 class="same">MLP orders better than Ridge, but trading on it loses' in html
        assert "Sharpe -0.4" in html


def test_models_that_may_be_the_best_are_named(pages, undrawn):
    said = "(model confidence set, 90%): NHiTS, Last price. The others are worse by more than luck"
    assert said in text_of(pages["price"])
    every = [m["title"] for m in RECORDS["price"]["models"] if m["ran"]]
    html = render(changed("price", confidence_set={"level": 0.95, "titles": every}))
    assert f"set, 95%): {', '.join(every)}. None can be ruled out." in text_of(html)


def test_members_are_told_beside_the_whole(pages):
    said = (
        "each of the 3 networks whose forecasts are averaged has QLIKE .197 to .212 on the latest"
    )
    assert f"By itself, {said} test, the median .205; together they have .203." in (
        text_of(pages["volatility"])
    )


def test_what_is_added_to_the_last_price_is_told(pages, undrawn):
    said = "Clark-West, which forgives the forecast what its parameters cost in squared errors:"
    text = text_of(pages["price"])
    assert f"{said} p = .312, it adds nothing that luck does not explain to the last" in text
    text = text_of(render(changed("price", nested={"t": 2.9, "p_value": 0.002})))
    assert f"{said} p = .002, it adds something to the last price." in text


def test_directions_are_put_into_words(pages):
    text = text_of(pages["direction"])
    assert "51.2% of the directions were right" in text
    assert "would get 50.1%. Pesaran-Timmermann: p = .034, more than luck explains." in text


def test_checks_for_leaks_say_whether_they_passed(undrawn):
    leaks = [
        {"name": "future", "passed": True, "what": "nothing changed", "number": 0.0},
        {"name": "noise", "passed": False, "what": "3 of 5 found", "number": 0.6},
        {"name": "follower", "passed": None, "what": None, "number": None},
    ]
    html = render(changed("price", leaks=leaks))
    assert table_of(html, "check")[1:] == [
        ["future", "passed", "nothing changed", "0"],
        ["noise", "FAILED", "3 of 5 found", "0.6"],
        ["follower", "not run", DASH, DASH],
    ]
    assert "<b>FAILED</b>" in html
    left = "Not made in a run: shuffled labels, planted signal, truncated history, asset constants,"
    assert f"{left} label ends, implausible, bars. To make them: fintech-dl check stock-price" in (
        text_of(html)
    )
    every = [{"name": name, "passed": True, "what": "", "number": None} for name in CHECKS]
    assert "Not made" not in text_of(render(changed("price", leaks=every)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_cannot_say_stands_among_the_limits(pages, kind):
    text = text_of(pages[kind])
    wanted = {
        "volatility": "not which way",
        "ranking": "not whether the market rises",
        "direction": "need not pay",
        "price": "only the difference to the last price",
    }
    for other, words in wanted.items():
        assert (words in text) == (other == kind)
    assert "how many other models were tried" in text
    assert "Twenty-four indices only." in text


def test_rows_that_make_no_forecast_are_counted(pages):
    assert "too few bars (528); unlabelled (24)." in text_of(pages["price"])


@pytest.mark.parametrize("empty", ["absent", None, "empty"])
@pytest.mark.parametrize("kind", ["volatility", "direction"])
@pytest.mark.parametrize("section", SECTIONS)
def test_a_part_that_is_missing_leaves_no_heading(section, kind, empty, undrawn):
    record = copy.deepcopy(RECORDS[kind])
    given = record["forecast"]
    for key in set(SECTIONS[section]) & set(given):
        if empty == "absent":
            del given[key]
        else:
            given[key] = type(given[key])() if empty else None
    html = render(record)
    assert section not in Page(html).ids
    assert f'href="#{section}"' not in html
    assert "None" not in html


def fewer(part):
    """Yield each field of a part of a record while it is gone; lists stand for their first item."""
    for key in list(part):
        value = part.pop(key)
        yield key
        part[key] = value
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict):
            yield from fewer(inner)


def test_every_field_of_a_part_may_be_missing(undrawn):
    order, price = (copy.deepcopy(RECORDS[kind]) for kind in ("direction", "price"))
    record = price | {"forecast": order["forecast"] | price["forecast"]}
    whole = copy.deepcopy(record["forecast"])
    fields = []
    for key in fewer(record["forecast"]):
        fields.append(key)
        assert "None" not in render(record), key
        assert results_table(record), key
    assert len(fields) > 100
    assert record["forecast"] == whole


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_kind_and_a_horizon_are_a_page(kind):
    page = Page(render({"title": "t", "forecast": {"kind": kind, "horizon": 5}}))
    assert page.tables == page.figures == []
    assert page.ids == {"limits"}
    assert "5 bars" in page.texts


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_do_not_exist_are_dashes(kind):
    record = copy.deepcopy(RECORDS[kind])
    for part in (record["forecast"], record["models"]):
        _replace(part, lambda v: None if type(v) in (int, float) else v)
    html = render(record)
    assert "None" not in html
    assert "nan" not in html.lower().split()
    assert table_of(html, "model")[1][1] == DASH
    assert table_of(html, "year")[1] == [DASH] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_texts_stay_texts(pages, kind):
    record = copy.deepcopy(RECORDS[kind])
    turn = itertools.cycle(HOSTILE)
    given = record["forecast"]
    _replace(given, lambda v: next(turn) if isinstance(v, str) and not v[:4].isdigit() else v)
    given |= {"kind": kind, "warnings": HOSTILE, "task_loss": HOSTILE[0]}
    given["losses"] = [{"name": "model", HOSTILE[0]: 0.5, "skill": 0.1}]
    record["data"]["left_out"] = dict.fromkeys(HOSTILE, 3)
    for model, word in zip(record["models"], HOSTILE, strict=False):
        model["title"] = word
    html = render(record)
    page, safe = Page(html), Page(pages[kind])
    assert page.tags <= safe.tags
    assert page.attributes <= safe.attributes
    assert page.classes <= safe.classes | {"banner"}
    text = "".join(page.texts)
    for word in HOSTILE:
        assert text.count(word) > 2, word


def test_a_break_in_the_market_is_a_limit_of_intervals_only(undrawn):
    said = "after a break in the market"
    assert said in text_of(render(RECORDS["price"]))
    assert said not in text_of(render(RECORDS["ranking"]))


def test_nothing_is_said_of_a_run_that_forecasts_nothing():
    record = {"title": "Card fraud", "models": RECORDS["price"]["models"]}
    for part in (
        forecast_tables.over_time,
        forecast_tables.intervals,
        order_tables.ranking,
        order_tables.trading,
        forecast_tables.leaks,
    ):
        assert not part(record)
