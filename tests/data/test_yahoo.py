"""Prices through the installed yfinance, from recorded answers: data, or an error by name."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from fintech_dl import load_prices
from fintech_dl.bars import bar_faults
from fintech_dl.cards import dataset_card
from fintech_dl.data import vintages, yahoo
from fintech_dl.data.frames import load_frame, read_dataset
from fintech_dl.data.prices import read_prices
from fintech_dl.errors import CardError, DataError, DownloadError, UsageError
from tests.data.yahoo_server import HTML, Yahoo, chart, days, nothing, serving, session

pytest.importorskip("yfinance")
SPAN = ("2024-01-02", "2024-02-26")


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Yahoo as the tests want it; the cache is empty and nobody waits."""
    from yfinance.data import SingletonMeta

    monkeypatch.setenv("FINTECH_DL_CACHE", str(tmp_path / "cache"))
    answers = Yahoo()
    answers.waits = []
    monkeypatch.setattr(yahoo, "sleep", answers.waits.append)
    monkeypatch.setattr(SingletonMeta, "_instances", {})  # it keeps a session and a crumb
    with serving(answers) as server:
        monkeypatch.setattr("yfinance._http.new_session", lambda: session(server))
        monkeypatch.setattr("yfinance.ticker.Ticker._get_ticker_tz", _zone)
        yield answers


def _zone(ticker, timeout):
    """Ask for the time zone, but neither read nor write the file that yfinance keeps of them."""
    return ticker._fetch_ticker_tz(timeout)


def test_good_answers_become_long_bars(service):
    service.answers = {"AAA": (200, chart("AAA")), "BBB": (200, chart("BBB"))}
    bars = load_prices(["bbb", "AAA"], *SPAN)
    assert list(bars) == ["date", "asset", "open", "high", "low", "close", "volume"]
    assert len(bars) == 80
    assert bars["asset"].tolist()[:3] == ["AAA", "BBB", "AAA"]
    assert bars["date"].iloc[0] == pd.Timestamp("2024-01-02")
    assert bars["date"].iloc[-1] == pd.Timestamp("2024-02-26")
    assert bars["date"].dt.tz is None
    assert bars["close"].tolist()[:4] == [100, 100, 101, 101]
    assert bar_faults(bars) == {}


def test_the_last_day_is_asked_for_too(service):
    service.answers = {"AAA": (200, chart("AAA"))}
    load_prices("AAA", *SPAN)
    begin, end = (pd.Timestamp(at, unit="s", tz="UTC") for at in service.bounds[0])
    assert begin.tz_convert("America/New_York") == pd.Timestamp("2024-01-02", tz="America/New_York")
    assert end.tz_convert("America/New_York") == pd.Timestamp("2024-02-27", tz="America/New_York")


def test_dividends_and_splits_are_kept_and_prices_adjusted(service):
    close = [100.0] * 20 + [98.0] * 20
    adjusted = [98.0] * 40

    def events(stamps):
        return {"dividends": {str(stamps[20]): {"amount": 2.0, "date": stamps[20]}}}

    answer = chart("AAA", close=close, adjusted=adjusted, events=events)
    service.answers = {"AAA": (200, answer)}
    bars = load_prices("AAA", *SPAN)
    assert bars["close"].tolist() == adjusted
    assert bars["open"].iloc[0] == pytest.approx(99.5 * 0.98)
    raw = load_prices("AAA", *SPAN, adjusted=False)
    assert raw["close"].tolist() == close
    assert raw["adj_factor"].iloc[[0, -1]].tolist() == [0.98, 1.0]
    assert service.asked["AAA"] == 1
    stored = vintages.read("yahoo", vintages.names("yahoo")[0])
    assert stored["dividends"].tolist() == [0.0] * 20 + [2.0] + [0.0] * 19
    assert stored["close"].tolist() == close


def split(stamps):
    one = {"date": stamps[20], "numerator": 4.0, "denominator": 1.0, "splitRatio": "4:1"}
    return {"splits": {str(stamps[20]): one}}


def test_a_split_that_is_worked_in(service):
    service.answers = {"AAA": (200, chart("AAA", events=split))}
    assert len(load_prices("AAA", *SPAN)) == 40


UNUSABLE = {
    "unknown": ((404, {"chart": {"result": None, "error": {"code": "Not Found", "description":
                "No data found, symbol may be delisted"}}}), DataError, "No data found"),
    "empty": ((200, nothing("BAD")), DataError, "BAD: empty"),
    "rate_limited": ((429, "Too Many Requests"), DownloadError, "try again later"),
    "not_data": ((200, HTML), DownloadError, "try again later"),
    "split_not_applied": ((200, chart("BAD", close=[400.0] * 20 + [100.0] * 20, events=split)),
                          DataError, "a split of 4 on 2024-01-30"),
    "shifted": ((200, chart("BAD", pd.date_range("2024-01-02", periods=56))), DataError, "weekend"),
    "renamed": ((200, chart("BAD", named="META")), DataError, "Yahoo answers for META"),
}  # fmt: skip


def lacking(begin, stop, *, rows=False, **changes):
    """Return an answer of 40 days without some of them, or with rows of NaN in their place."""
    if not rows:
        return chart("BAD", days().delete(range(begin, stop)), **changes)
    close = [None if begin <= at < stop else 100.0 + at for at in range(40)]
    return chart("BAD", close=close, **changes)


NINE = "no price on 9 days: "
PARTIAL = {
    "head": (0, 9, "short", "2024-01-02 to 2024-01-12", "ask for 2024-01-15 to 2024-02-26"),
    "hole": (15, 24, "gaps", "2024-01-23 to 2024-02-02", "ask again later, or leave it out"),
    "tail": (31, 40, "ended", "2024-02-14 to 2024-02-26", "ask for 2024-01-02 to 2024-02-13"),
}


@pytest.mark.parametrize("state", UNUSABLE)
def test_what_is_no_series_is_an_error_that_names_the_ticker(service, state):
    answer, error, text = UNUSABLE[state]
    service.answers = {"AAA": (200, chart("AAA")), "BAD": answer}
    with pytest.raises(error, match=f"(?s)1 of 2 tickers.*BAD: {state}.*allow_missing") as raised:
        load_prices("AAA,BAD", *SPAN)
    assert type(raised.value) is error
    assert text in str(raised.value)
    with pytest.warns(UserWarning, match=f"BAD \\({state}"):
        bars = load_prices("AAA,BAD", *SPAN, allow_missing=True)
    assert bars["asset"].unique().tolist() == ["AAA"]
    assert len(bars) == 40


@pytest.mark.parametrize("peers", [(), ("AAA",), ("AAA", "CCC", "DDD")])
@pytest.mark.parametrize("rows", [False, True], ids=["no rows", "rows of NaN"])
@pytest.mark.parametrize("case", PARTIAL)
def test_a_part_of_a_series_is_an_error_unless_allowed(service, case, rows, peers):
    begin, stop, state, missing, advice = PARTIAL[case]
    service.answers = {"BAD": (200, lacking(begin, stop, rows=rows))}
    service.answers |= {peer: (200, chart(peer)) for peer in peers}
    tickers = ["BAD", *peers]
    beside = f" .compared with {', '.join(peers)}." if peers else ""
    text = f"{state}: no price on 9 days: {missing}{beside};.* {advice}"
    with pytest.raises(DataError, match=f"(?s)1 of {len(tickers)} .*BAD: {text}\n.*allow_missing"):
        load_prices(tickers, *SPAN)
    with pytest.warns(UserWarning, match=text):
        bars = load_prices(tickers, *SPAN, allow_missing=True)
    assert len(bars) == 40 * len(tickers) - (0 if rows else 9)
    assert bars["close"].notna().sum() == 40 * len(tickers) - 9


@pytest.mark.parametrize(
    ("begin", "stop", "state", "text"),
    [
        (0, 1, "short", "no price on 1 day: 2024-01-02 "),
        (15, 17, "gaps", "no price on 2 days: 2024-01-23 to 2024-01-24 "),
        (39, 40, "ended", "no price on 1 day: 2024-02-26 "),
    ],
)
def test_peers_show_what_might_be_a_holiday(service, begin, stop, state, text):
    service.answers = {"BAD": (200, lacking(begin, stop))}
    assert len(load_prices("BAD", *SPAN)) == 40 - (stop - begin)
    service.answers["AAA"] = (200, chart("AAA"))
    with pytest.raises(DataError, match=f"BAD: {state}: {text}"):
        load_prices("BAD,AAA", *SPAN)


@pytest.mark.parametrize("changes", [{"zone": "Europe/London"}, {"kind": "CRYPTOCURRENCY"}])
def test_only_shares_of_the_same_time_zone_are_peers(service, changes):
    service.answers = {"BAD": (200, lacking(15, 17, **changes)), "AAA": (200, chart("AAA"))}
    assert len(load_prices("BAD,AAA", *SPAN)) == 78


def test_a_day_on_which_few_trade_is_none_that_the_others_lack(service):
    """As a bar of one share on a holiday."""
    holiday = days().delete(15)
    service.answers = {name: (200, chart(name, holiday)) for name in ("BBB", "CCC", "DDD")}
    service.answers["AAA"] = (200, chart("AAA"))
    assert len(load_prices("AAA,BBB,CCC,DDD", *SPAN)) == 40 + 3 * 39


def test_a_hole_in_all_answers_is_longer_than_a_holiday(service):
    service.answers = {name: (200, lacking(15, 24, named=name)) for name in ("AAA", "BBB")}
    with pytest.raises(DataError, match=r"(?s)2 of 2.*AAA: gaps: .*2024-01-23.*BBB: gaps"):
        load_prices("AAA,BBB", *SPAN)


def test_a_tail_without_adjusted_closes_is_missing(service):
    close = [100.0 + at for at in range(40)]
    service.answers = {"BAD": (200, chart("BAD", close=close, adjusted=[*close[:37], *[None] * 3]))}
    with pytest.raises(DataError, match=r"BAD: ended: no price on 3 days: 2024-02-22 to"):
        load_prices("BAD", *SPAN)


@pytest.mark.parametrize("begin", [0, 39])
def test_a_first_or_last_day_without_a_price_is_missing(service, begin):
    service.answers = {"BAD": (200, lacking(begin, begin + 1, rows=True))}
    with pytest.raises(DataError, match=r"BAD: (short|ended): no price on 1 day: 2024-0"):
        load_prices("BAD", *SPAN)


def test_a_share_listed_later_is_whole_from_its_first_day(service):
    late = chart("NEW", days("2024-01-22", 26), listed=pd.Timestamp("2024-01-22"))
    service.answers = {"NEW": (200, late)}
    service.answers["AAA"] = (200, chart("AAA"))
    bars = load_prices("NEW,AAA", *SPAN)
    assert bars.loc[bars["asset"] == "NEW", "date"].min() == pd.Timestamp("2024-01-22")


def test_the_day_of_the_listing_is_that_of_the_exchange(service):
    opened = pd.Timestamp("2024-01-21 23:00")  # in London; ten o'clock on Monday in Sydney
    late = chart("NEW", days("2024-01-22", 26), zone="Australia/Sydney", listed=opened)
    service.answers = {"NEW": (200, late), "AAA": (200, chart("AAA", zone="Australia/Sydney"))}
    load_prices("NEW,AAA", *SPAN)
    found = vintages.status_of("yahoo", vintages.names("yahoo")[0])["tickers"]["NEW"]
    assert (found["listed"], found["status"]) == ("2024-01-22", "ok")


def test_a_day_that_is_not_over_is_not_expected_of_anybody():
    two = pd.DataFrame({"date": days(n=2), "close": 1.0, "adj_close": 1.0})
    facts = {"status": "ok", "kind": "EQUITY", "timezone": "Europe/Paris", "listed": None}
    frames = {"AAA": two, "BBB": two[:1]}

    def lacking(unfinished):
        status = {"AAA": {**facts, "unfinished": None}, "BBB": {**facts, "unfinished": unfinished}}
        return yahoo._not_whole(frames, status, *two["date"])

    assert lacking("2024-01-03") == {}
    assert lacking(None)["BBB"]["status"] == "ended"


def swapped(answer, first, second):
    """Change the places of two rows."""
    result = answer["chart"]["result"][0]
    rows = [result["timestamp"], *result["indicators"]["quote"][0].values()]
    for cells in [*rows, result["indicators"]["adjclose"][0]["adjclose"]]:
        cells[first], cells[second] = cells[second], cells[first]
    return answer


def test_rows_in_another_order_are_put_in_order(service):
    service.answers = {"AAA": (200, swapped(chart("AAA"), 3, 30))}
    assert load_prices("AAA", *SPAN)["close"].tolist() == [100.0 + i for i in range(40)]


def test_a_day_that_comes_twice_is_one_bar(service):
    dates = days()
    answer = chart("AAA", dates.append(dates[-1:] + pd.Timedelta("2h")), close=[100.0] * 40 + [101])
    service.answers = {"AAA": (200, answer)}
    bars = load_prices("AAA", *SPAN)
    assert len(bars) == 40
    assert bars["close"].iloc[-1] == 101


@pytest.mark.parametrize(
    ("code", "body", "state", "error"),
    [
        (401, {"finance": {"result": None, "error": {"code": "Unauthorized"}}}, "empty", DataError),
        (500, HTML, "not_data", DownloadError),
        (200, "Will be right back", "not_data", DownloadError),
        (200, {"chart": {"result": [], "error": None}}, "failed", DataError),
        (200, {"chart": None}, "failed", DataError),
        (200, [], "failed", DataError),
    ],
)
def test_odd_answers_are_named_errors(service, code, body, state, error):
    service.answers = {"AAA": (code, body)}
    with pytest.raises(error, match=f"AAA: {state}"):
        load_prices("AAA", *SPAN)


def test_a_server_that_is_not_there(service, monkeypatch):
    monkeypatch.setattr("yfinance._http.new_session", lambda: session("http://127.0.0.1:9"))
    with pytest.raises(DownloadError, match="AAA: unreachable"):
        load_prices("AAA", *SPAN)


def test_a_time_out_is_told_as_one(service):
    service.answers = {"SLOW": (200, chart("SLOW"))}
    with pytest.raises(DownloadError, match="SLOW: timeout"):
        load_prices("SLOW", *SPAN)


def test_it_waits_longer_each_time_and_asks_again_only_for_what_failed(service):
    limited = (429, "Too Many Requests")
    service.answers = {"AAA": (200, chart("AAA")), "BBB": [limited] * 4 + [(200, chart("BBB"))]}
    assert len(load_prices("AAA,BBB", *SPAN)) == 80
    assert service.asked["AAA"] == 1
    assert len(service.waits) >= 2
    usual = [yahoo.FIRST_WAIT * 2**i for i in range(len(service.waits))]
    assert all(0.5 * w <= got <= 1.5 * w for w, got in zip(usual, service.waits, strict=True))
    status = vintages.status_of("yahoo", vintages.names("yahoo")[0])
    assert status["tickers"]["BBB"]["attempts"] == len(service.waits) + 1


def test_a_page_instead_of_data_is_asked_for_again(service):
    service.answers = {"AAA": [(200, HTML), (200, chart("AAA"))]}
    assert len(load_prices("AAA", *SPAN)) == 40
    assert service.asked["AAA"] == 2


def test_it_stops_asking_others_while_the_rate_is_limited(service):
    limited = (429, "Too Many Requests")
    service.answers = {"AAA": limited, "BBB": (200, chart("BBB"))}
    with pytest.raises(DownloadError, match=r"(?s)2 of 2.*AAA: rate_limited.*BBB: rate_limited"):
        load_prices("AAA,BBB", *SPAN)
    assert service.asked["BBB"] == 0


def test_days_without_prices_stay_as_empty_bars(service):
    close = [100.0 + i for i in range(40)]
    close[7] = None
    service.answers = {"AAA": (200, chart("AAA", close=close))}
    found = read_prices("AAA", *SPAN)
    assert len(found.bars) == 40
    assert np.flatnonzero(found.bars["close"].isna()).tolist() == [7]
    assert found.status["tickers"]["AAA"]["empty_rows"] == 1


def test_the_bar_of_a_day_that_is_not_over_is_left_out(service):
    now = pd.Timestamp.now("America/New_York")
    dates = pd.bdate_range(end=now.date(), periods=10)
    last = int(dates[-1].tz_localize("America/New_York").timestamp())
    ends = {"start": last, "end": int(now.timestamp()) + 3_600}
    if dates[-1] != now.tz_localize(None).normalize():
        ends["end"] = last + 86_399  # of a weekend: as if Friday's trading were over
    service.answers = {"AAA": (200, chart("AAA", dates, regular=ends))}
    found = read_prices("AAA", dates[0], dates[-1])
    unfinished = dates[-1] == now.tz_localize(None).normalize()
    assert len(found.bars) == 10 - unfinished
    told = found.status["tickers"]["AAA"]["unfinished"]
    assert told == (str(dates[-1].date()) if unfinished else None)


def test_whether_a_day_is_over_is_told_by_the_end_of_its_trading():
    day, zone = pd.Timestamp("2024-02-26"), "America/New_York"
    over = {"currentTradingPeriod": {"regular": {"end": 1_708_981_200}}}  # 16:00 in New York
    assert not yahoo._unfinished(day, over, zone)
    later = {"currentTradingPeriod": {"regular": {"end": pd.Timestamp("2999-02-26").timestamp()}}}
    assert yahoo._unfinished(pd.Timestamp("2999-02-25"), later, zone)
    assert not yahoo._unfinished(day, {}, zone)
    assert yahoo._unfinished(pd.Timestamp.now(zone).tz_localize(None).normalize(), {}, zone)


def test_another_time_zone_gives_its_own_days(service):
    tokyo = chart("7203.T", zone="Asia/Tokyo")
    service.answers = {"7203.T": (200, tokyo)}
    assert load_prices("7203.T", *SPAN)["date"].iloc[0] == pd.Timestamp("2024-01-02")


def test_a_vintage_is_used_again_named_and_never_overwritten(service):
    service.answers = {"AAA": (200, chart("AAA"))}
    one = read_prices("AAA", *SPAN)
    assert read_prices("AAA", "2024-01-10", "2024-02-01").vintage == one.vintage
    assert service.asked["AAA"] == 1
    service.answers = {"AAA": (200, chart("AAA", close=[50.0 + i for i in range(40)]))}
    two = read_prices("AAA", *SPAN, max_age="0d")
    assert two.vintage != one.vintage
    assert service.asked["AAA"] == 2
    again = read_prices("AAA", *SPAN, vintage=one.vintage)
    pd.testing.assert_frame_equal(again.bars, one.bars)
    assert again.bars["close"].iloc[0] == 100
    assert read_prices("AAA", *SPAN).bars["close"].iloc[0] == 50
    assert sorted(vintages.names("yahoo")) == sorted([one.vintage, two.vintage])


@pytest.mark.parametrize(
    ("tickers", "end", "text"),
    [("AAA,BBB", "2024-02-26", "does not hold BBB"), ("AAA", "2024-03-01", "days outside")],
)
def test_a_named_vintage_that_does_not_hold_it(service, tickers, end, text):
    service.answers = {"AAA": (200, chart("AAA"))}
    name = read_prices("AAA", *SPAN).vintage
    with pytest.raises(DataError, match=text):
        load_prices(tickers, "2024-01-02", end, vintage=name)
    with pytest.raises(DataError, match=f"no vintage 'x'.*{name}"):
        load_prices(tickers, *SPAN, vintage="x")


def test_a_vintage_that_was_changed_is_refused(service):
    service.answers = {"AAA": (200, chart("AAA"))}
    name = read_prices("AAA", *SPAN).vintage
    path = vintages.folder("yahoo") / name / "prices.parquet"
    frame = pd.read_parquet(path)
    frame.assign(close=1.0).to_parquet(path)
    with pytest.raises(DataError, match="changed since it was written"):
        load_prices("AAA", *SPAN)


def test_the_status_of_a_vintage_is_plain_and_whole(service):
    service.answers = {"AAA": (200, chart("AAA")), "BAD": (200, HTML)}
    with pytest.raises(DataError):
        load_prices("AAA,BAD", *SPAN)
    name = vintages.names("yahoo")[0]
    status = json.loads((vintages.folder("yahoo") / name / "status.json").read_text())
    assert status["request"] == {"tickers": ["AAA", "BAD"], "start": SPAN[0], "end": SPAN[1]}
    assert status["library"].startswith("yfinance ")
    assert status["tickers"]["AAA"] | {"text": ""} == {
        "kind": "EQUITY",
        "currency": "USD",
        "timezone": "America/New_York",
        "listed": "1980-12-11",
        "unfinished": None,
        "rows": 40,
        "empty_rows": 0,
        "first": SPAN[0],
        "last": SPAN[1],
        "status": "ok",
        "text": "",
        "attempts": 1,
    }
    assert status["tickers"]["BAD"]["attempts"] == yahoo.ATTEMPTS


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (("", *SPAN), UsageError, "no ticker"),
        (("AAA", "2024-02-30", "2024-03-01"), UsageError, "is no day"),
        (("AAA", "2024-02-26 10:00", "2024-03-01"), UsageError, "without hours"),
        (("AAA", SPAN[1], SPAN[0]), UsageError, "is before start"),
    ],
)
def test_what_cannot_be_asked_for(words, error, text):
    with pytest.raises(error, match=text):
        load_prices(*words)
    with pytest.raises(UsageError, match="did you mean 'yahoo'"):
        load_prices("AAA", *SPAN, source="yaho")


CARD = """
title = "Mine"
licence = "Yahoo: personal use"
contract = { time = "date", asset = "asset", max_quarantined = 0.1 }
[source]
kind = "yahoo"
parameters = { tickers = ["AAA", "BBB"], start = "2024-01-02", end = "2024-02-26" }
[columns]
date = { type = "datetime" }
asset = { type = "text" }
close = { type = "number", min = 0 }
volume = { type = "number", min = 0 }
"""


def test_a_card_can_name_yahoo_as_its_source(service, tmp_path):
    close = [100.0 + i for i in range(40)]
    close[7] = None
    service.answers = {"AAA": (200, chart("AAA", close=close)), "BBB": (200, chart("BBB"))}
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    reading = read_dataset(path)
    assert len(reading.frame) == 79
    assert reading.facts["quarantine_reasons"] == {"missing:close": 1}
    assert (
        reading.facts["sha256"] == vintages.status_of("yahoo", vintages.names("yahoo")[0])["sha256"]
    )
    assert len(load_frame(dataset_card(path))) == 79
    path.write_text(CARD.replace("end =", "ends ="))
    with pytest.raises(CardError, match="has no 'ends'; did you mean 'end'"):
        load_frame(path)


def test_data_get_prices(service, command, tmp_path):
    service.answers = {"AAA": (200, chart("AAA")), "BAD": (200, chart("BAD", days(n=20)))}
    out = tmp_path / "prices.parquet"
    span = ("--start", SPAN[0], "--end", SPAN[1])
    code, said, _ = command("data", "get", "prices", "--tickers", "AAA", *span, "-o", out, "--json")
    found = json.loads(said)
    assert (code, found["rows"], found["tickers"][0]["status"]) == (0, 40, "ok")
    written = pd.read_parquet(out)
    assert written["close"].tolist() == [100.0 + i for i in range(40)]
    asked = service.asked.copy()
    new = ("data", "get", "prices", "--tickers", "AAA", *span, "--max-age", "0d", "-o")
    for taken, told in ((out, "exists already"), (tmp_path / "p.txt", "expected a file")):
        code, _, err = command(*new, taken)
        assert code == 2
        assert told in err
    assert service.asked == asked  # the file is checked before anything is asked for
    code, said, _ = command(
        "data", "get", "prices", "--tickers", "AAA", *span, "--vintage", found["vintage"], "--quiet"
    )
    assert (code, said.strip()) == (0, found["path"])
    code, _, err = command("data", "get", "prices", "--tickers", "AAA,BAD", *span)
    assert code == 4
    assert "BAD: ended" in err
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        code, said, err = command(
            "data", "get", "prices", "--tickers", "AAA,BAD", *span, "--allow-missing"
        )
    assert code == 0
    assert "BAD" in said
    assert "missing or not whole: BAD" in err
    assert command("data", "get", "prices", "--tickers", "AAA").code == 2
    assert command("data", "get", "synthetic_random_walk_small", "--tickers", "AAA").code == 2


def test_the_session_that_yfinance_makes_itself(service, monkeypatch):
    """The usual session (curl_cffi) against the same server, its addresses changed."""
    from yfinance.data import YfData

    curl = pytest.importorskip("curl_cffi")
    service.answers = {"AAA": (200, chart("AAA"))}
    with serving(service) as server:
        made = curl.requests.Session(impersonate="chrome", trust_env=False)
        monkeypatch.setattr("yfinance._http.new_session", lambda: made)
        monkeypatch.setattr("yfinance.base._BASE_URL_", server)
        monkeypatch.setattr("yfinance.scrapers.history._BASE_URL_", server)
        monkeypatch.setattr(
            YfData, "_get_cookie_and_crumb", lambda self, timeout=30: (None, "basic")
        )
        assert len(load_prices("AAA", *SPAN)) == 40
