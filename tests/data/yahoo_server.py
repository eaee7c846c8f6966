"""Answers as Yahoo's chart service gives them, from a server of this machine; no network."""

import json
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import requests
from requests.adapters import HTTPAdapter

NEW_YORK = "America/New_York"
HTML = "<!DOCTYPE html><html><body>Our engineers are working quickly</body></html>"
NOT_FOUND = {"code": "Not Found", "description": "No data found, symbol may be delisted"}


def days(start="2024-01-02", n=40):
    return pd.bdate_range(start, periods=n)


def chart(symbol, dates=None, **changes):
    """Return the answer for a ticker: opens at 09:30 of its exchange, closes 100, 101, ..."""
    dates = days() if dates is None else dates
    zone = changes.get("zone", NEW_YORK)
    stamps = [int((d + pd.Timedelta("9h30min")).tz_localize(zone).timestamp()) for d in dates]
    close = changes.get("close", [100.0 + i for i in range(len(dates))])
    first = changes.get("listed", pd.Timestamp("1980-12-12"))
    regular = changes.get("regular") or {"start": stamps[-1], "end": stamps[-1] + 23_400}
    meta = {
        "currency": "USD",
        "symbol": changes.get("named", symbol),
        "exchangeName": "NMS",
        "instrumentType": changes.get("kind", "EQUITY"),
        "firstTradeDate": None if first is None else int(first.timestamp()),
        "regularMarketTime": stamps[-1] + 23_400,
        "gmtoffset": -18_000,
        "timezone": "EST",
        "exchangeTimezoneName": zone,
        "priceHint": 2,
        "currentTradingPeriod": {"regular": {"timezone": "EST", "gmtoffset": -18_000, **regular}},
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "max"],
    }
    quote = {
        "open": [None if c is None else c - 0.5 for c in close],
        "high": [None if c is None else c + 1.0 for c in close],
        "low": [None if c is None else c - 1.0 for c in close],
        "close": close,
        "volume": changes.get("volume", [None if c is None else 1_000_000 for c in close]),
    }
    result = {"meta": meta, "timestamp": stamps, "indicators": {"quote": [quote]}}
    result["indicators"]["adjclose"] = [{"adjclose": list(changes.get("adjusted", close))}]
    if "events" in changes:
        result["events"] = changes["events"](stamps)
    return {"chart": {"result": [result], "error": None}}


def nothing(symbol):
    """Return the answer for a ticker that is known, but not on these days."""
    answer = chart(symbol)
    result = answer["chart"]["result"][0]
    del result["timestamp"]
    result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    return answer


class Yahoo:
    """What the server answers to each ticker: (code, document or text), or a list of them."""

    def __init__(self):
        self.answers, self.asked, self.bounds = {}, Counter(), []

    def answer(self, path, query):
        if path.endswith("getcrumb"):
            return 200, "crumb"
        if "/v8/finance/chart/" not in path:
            return 404, {"quoteSummary": {"result": None, "error": NOT_FOUND}}
        ticker = path.rsplit("/", 1)[1]
        told = self.answers.get(ticker, (404, {"chart": {"result": None, "error": NOT_FOUND}}))
        if "range" in query:  # yfinance asks for the time zone first
            first = told if isinstance(told, tuple) else told[-1]
            return first if first[0] == 200 else (200, chart(ticker, days(n=1)))
        self.asked[ticker] += 1
        self.bounds.append(tuple(int(query[name][0]) for name in ("period1", "period2")))
        if isinstance(told, list):
            told = told[min(self.asked[ticker], len(told)) - 1]
        return told


@contextmanager
def serving(yahoo):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = urlsplit(self.path)
            code, body = yahoo.answer(asked.path, parse_qs(asked.query))
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(code)
            kind = "text/html" if isinstance(body, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


class Rerouted(HTTPAdapter):
    """Send every request, whatever its host, to one server."""

    def __init__(self, server):
        self.server = server
        super().__init__()

    def send(self, request, **options):
        at = urlsplit(request.url)
        request.url = f"{self.server}{at.path}?{at.query}"
        if at.path.endswith("/SLOW") and "period1" in at.query:
            raise requests.exceptions.ReadTimeout("read timed out")
        return super().send(request, **options)


def session(server):
    made = requests.Session()
    made.trust_env = False
    for scheme in ("https://", "http://"):
        made.mount(scheme, Rerouted(server))
    return made
