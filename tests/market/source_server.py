"""Yahoo's charts, FRED, SEC EDGAR, Alpaca's news and iVolatility on one loopback socket, in their documented shapes.

They serve an invented market, so that what was fetched can be compared with what there was. Tests change the market between
two fetches, and set faults, which the next requests for data meet in order.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

import pandas as pd

from llmrl_lib.market.synthetic.market import Market

NEW_YORK = ZoneInfo("America/New_York")
CIKS = {"ORVN": 9900001, "KSTV": 9900002}
KEYS = {
    "FRED_API_KEY": "fred-0123456789abcdef0123456789ab",
    "EDGAR_IDENTITY": "Ada Byron ada@example.org",
    "APCA_API_KEY_ID": "alpaca-id-0123456789",
    "APCA_API_SECRET_KEY": "alpaca-secret-0123456789",
    "IVOL_API_KEY": "ivol-key-0123456789",
}
FRED_NAMES = ("GDP", "PPIFIS", "UMCSENT", "CPIAUCSL", "UNRATE")
PAGE_HTML = b"<!DOCTYPE html><html><body><h1>We will be right back</h1></body></html>"
LEVELS = {"^GSPC": "spx_close", "^NDX": "ndx_close", "^VIX": "vix_close"}
STALLED = 60.0  # seconds for which an answer that does not end is held open, or until the server closes
Answer = tuple[int, str, bytes]


class SourceServer:
    """Serves until its ``with`` block ends; ``asked`` has the path and query of every request for data."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.bars: dict[str, pd.DataFrame] = {name: frame.copy() for name, frame in market.bars.items()}
        self.splits: dict[str, dict[pd.Timestamp, tuple[int, int]]] = {name: {} for name in market.bars}
        self.indices = market.indices.copy()
        self.macro = market.macro.copy()
        self.facts: dict[str, list[dict[str, Any]]] = {name: facts_of(market, name) for name in CIKS}
        self.articles = {name: articles_of(market, name) for name in CIKS}
        self.page_size = 50
        self.next_token: Callable[[int, bool], str | None] = lambda page, more: str(page + 1) if more else None
        self.faults: list[str] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.wrong_keys = False
        self._end = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> SourceServer:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        place = urlsplit(handler.path)
        path = unquote(place.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        if path.endswith("getcrumb"):
            return _send(handler, 200, "text/plain", b"crumb")
        if path in ("/", "/consent"):
            return _send(handler, 404, "text/html", PAGE_HTML)
        with self._lock:
            if not path.startswith("/files/") and not query.get("range"):  # not: names, and the zone of a symbol
                self.asked.append((path, query))
                fault = self.faults.pop(0) if self.faults else ""
            else:
                fault = ""
        if fault == "stall":
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            handler.wfile.write(b"{")
            handler.wfile.flush()
            self._end.wait(STALLED)
            handler.close_connection = True
            return None
        if fault:
            status, headers, body = _fault(fault)
            return _send(handler, status, "text/html" if body is PAGE_HTML else "application/json", body, headers)
        status, kind, body = self._data(path, query, handler.headers)
        return _send(handler, status, kind, body)

    def _data(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        if path.startswith("/v8/finance/chart/"):
            return _json(*self._chart(path.rsplit("/", 1)[1], query))
        if path.startswith("/fred/"):
            return self._fred(path, query)
        if path == "/files/company_tickers.json":
            rows = [{"cik_str": cik, "ticker": name, "title": f"{name} Inc."} for name, cik in CIKS.items()]
            return _json(200, {str(number): row for number, row in enumerate(rows)})
        if path == "/files/company_tickers_mf.json":
            return _json(200, {"fields": ["cik", "seriesId", "classId", "symbol"], "data": []})
        if path.startswith(("/submissions/CIK", "/api/xbrl/companyfacts/CIK")):
            return self._edgar(path, headers)
        if path == "/v1beta1/news":
            return self._news(query, headers)
        if path.startswith("/equities/eod/"):
            return self._ivolatility(path, query, headers)
        return _json(404, {"message": "Not Found"})

    def _chart(self, symbol: str, query: Mapping[str, str]) -> tuple[int, Any]:
        if symbol in LEVELS:
            level = self.indices[LEVELS[symbol]].dropna()
            frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "raw_close"), level)).assign(volume=0)
        elif symbol in self.bars:
            frame = self.bars[symbol]
        else:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, {"chart": {"result": None, "error": error}}
        seconds = [int(datetime.combine(day, time(9, 30), NEW_YORK).timestamp()) for day in frame.index]
        if "period1" in query:
            chosen = [int(query["period1"]) <= one < int(query["period2"]) for one in seconds]
            frame, seconds = frame[chosen], [one for one, keep in zip(seconds, chosen, strict=True) if keep]
        else:
            frame, seconds = frame.tail(1), seconds[-1:]
        if not seconds:
            error = {"code": "Bad Request", "description": "Data doesn't exist for startDate"}
            return 400, {"chart": {"result": None, "error": error}}
        told = {
            str(int(datetime.combine(day, time(9, 30), NEW_YORK).timestamp())): {"numerator": new, "denominator": old}
            for day, (new, old) in self.splits.get(symbol, {}).items()
        }
        events = {"splits": {at: {"date": int(at), **ratio} for at, ratio in told.items() if int(at) in seconds}}
        ranges = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]
        meta = {
            **{"symbol": symbol, "currency": "USD", "instrumentType": "INDEX" if symbol in LEVELS else "EQUITY"},
            **{"exchangeTimezoneName": "America/New_York", "timezone": "EST", "gmtoffset": -18000, "priceHint": 2},
            **{"dataGranularity": "1d", "range": "", "validRanges": ranges, "firstTradeDate": seconds[0]},
        }
        quote = {name: _cells(frame[name]) for name in ("open", "high", "low", "volume")}
        quote["close"] = _cells(frame.get("raw_close", frame["close"]))
        indicators = {"quote": [quote], "adjclose": [{"adjclose": _cells(frame["close"])}]}
        one = {"meta": meta, "timestamp": seconds, "events": events, "indicators": indicators}
        return 200, {"chart": {"result": [one], "error": None}}

    def _fred(self, path: str, query: Mapping[str, str]) -> Answer:
        if query["api_key"] != KEYS["FRED_API_KEY"] or self.wrong_keys:
            return _fred_error(400, "Bad Request.  The value for variable api_key is not registered.")
        name = query["series_id"]
        daily = name.lower() in self.indices
        rows = self.macro[self.macro["series"] == name]
        if not daily and (name not in FRED_NAMES or not len(rows)):
            return _fred_error(400, "Bad Request.  The series does not exist.")
        if path == "/fred/series":
            about = {"id": name, "frequency_short": "D" if daily else rows["frequency"].iloc[0]}
            units = "Percent" if daily else rows["unit"].iloc[0]
            about |= {"units": units, "seasonal_adjustment_short": "SA"}
            told = " ".join(f"{key}={quoteattr(value)}" for key, value in about.items())
            return 200, "text/xml; charset=utf-8", f"<seriess><series {told}/></seriess>".encode()
        if daily:
            level = self.indices[name.lower()]
            level = level[(level.index >= query["observation_start"]) & (level.index <= query["observation_end"])]
            told = [
                (f"{day:%Y-%m-%d}",) * 2 + ("." if value != value else f"{value:.2f}",) for day, value in level.items()
            ]
        else:
            order = rows.sort_values(["period", "available_at"])
            days = zip(order["available_at"], order["period"], order["value"], strict=True)
            told = [(f"{at:%Y-%m-%d}", f"{period:%Y-%m-%d}", str(value)) for at, period, value in days]
        lines = [
            f'<observation realtime_start="{at}" realtime_end="9999-12-31" date="{period}" value="{value}"/>'
            for at, period, value in told
        ]
        return 200, "text/xml; charset=utf-8", f"<observations>{''.join(lines)}</observations>".encode()

    def _edgar(self, path: str, headers: Mapping[str, str]) -> Answer:
        if "@" not in headers.get("User-Agent", "") or self.wrong_keys:
            return (
                403,
                "text/html",
                b"<html><body>Your Request Originates from an Undeclared Automated Tool</body></html>",
            )
        name = {cik: name for name, cik in CIKS.items()}.get(int(path.rsplit("CIK", 1)[1].removesuffix(".json")))
        if name is None:
            return _json(404, {"message": "Not Found"})
        if path.startswith("/api"):
            return _json(200, company_facts(name, self.facts[name]))
        return _json(200, submissions(name, self.facts[name]))

    def _news(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        given = (headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY"))
        if given != (KEYS["APCA_API_KEY_ID"], KEYS["APCA_API_SECRET_KEY"]) or self.wrong_keys:
            return _json(401, {"message": "unauthorized."})
        start, end = (pd.Timestamp(query[name]) for name in ("start", "end"))
        start, end = (one.tz_localize("UTC") if one.tzinfo is None else one for one in (start, end))
        every = [
            one for one in self.articles.get(query["symbols"], []) if start <= pd.Timestamp(one["updated_at"]) <= end
        ]
        page = int(query.get("page_token") or 0)
        size = min(int(query.get("limit", 10)), self.page_size)
        chosen = every[page * size : (page + 1) * size]
        token = self.next_token(page, (page + 1) * size < len(every))
        return _json(200, {"news": chosen, "next_page_token": token})

    def _ivolatility(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        if headers.get("apiKey") != KEYS["IVOL_API_KEY"] or self.wrong_keys:
            return _json(403, {"message": "Access denied: unknown API key"})
        name = query["symbol"]
        if name not in self.market.options:
            status = {"code": "COMPLETE", "reason": "SYMBOL_NOT_FOUND", "message": f"Symbol {name} is not found"}
            return _json(200, {"status": status, "data": []})
        table = self.market.options[name]
        table = table[(table.index >= query["from"]) & (table.index <= query["to"])]
        data: list[dict[str, Any]] = []
        for day, row in table.iterrows():
            head = {"symbol": name, "exchange": "NYSE", "date": f"{day:%Y-%m-%d}"}
            if path.endswith("/ivx"):
                data.append({**head, "30d IV Call": row["iv_30d"] / 100, "30d IV Mean": row["iv_30d"] / 100})
            elif path.endswith("/hv"):
                data.append({**head, "20d HV": 0.2, "30d HV": row["hv_30d"] / 100})
            else:
                data += surface_of(head, row["iv_30d"], row["skew_30d"], query)
        return _json(200, {"status": {"code": "COMPLETE"}, "data": data})


def surface_of(head: Mapping[str, Any], iv: float, skew: float, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Points of a 30-day surface whose 25-delta put lies ``skew`` percentage points above the call, linearly in delta."""
    points = []
    for away, delta in ((0, 0.5), (5, 0.35), (10, 0.15), (20, 0.05)):
        for side, sign in (("C", -0.5), ("P", 0.5)):
            volatility = (iv + sign * skew * (0.5 - delta) / 0.25) / 100
            if int(query["OTMFrom"]) <= away <= int(query["OTMTo"]):
                size = delta if side == "C" else -delta
                point = {"period": 30, "strike": 100 + away, "out-of-the-money %": away, "Call/Put": side}
                points.append({**head, **point, "IV": volatility, "delta": size})
    return points


def facts_of(market: Market, name: str) -> list[dict[str, Any]]:
    """What each quarterly report says in items of US GAAP: accession, form, dates, and values of its own quarter.

    Annual reports give no fourth quarter by itself, and depreciation is always told from the beginning of the year. After
    its own values each report repeats those of a year before.
    """
    filings: list[dict[str, Any]] = []
    spans: dict[int, dict[str, float]] = {}
    for number, row in enumerate(market.fundamentals[name].to_dict("records")):
        end = row["period_end"]
        values = items_of(row)
        year = spans.setdefault(end.year, dict.fromkeys(values["flows"], 0.0))
        for item, value in values["flows"].items():
            year[item] += value
        fourth = end.month == 12
        begins = end - pd.offsets.MonthBegin(3)
        facts = [(item, None, end, value) for item, value in values["stocks"].items()]
        for item, value in values["flows"].items():
            whole = (item, pd.Timestamp(end.year, 1, 1), end, round(year[item], 6))
            if fourth or item == "DepreciationDepletionAndAmortization":
                facts.append(whole)
            else:
                facts.append((item, begins, end, value))
                if end.month > 3:
                    facts.append(whole)
        own = len(facts)
        if number >= 4:
            facts += filings[number - 4]["facts"][: filings[number - 4]["own"]]
        at = datetime.combine(row["available_at"].date(), time(16, 31, 5), NEW_YORK)
        accession = f"{CIKS[name]:010d}-{row['available_at']:%y}-{number:06d}"
        form = "10-K" if fourth else "10-Q"
        filings.append({"accn": accession, "form": form, "accepted": at, "end": end, "own": own, "facts": facts})
    return filings


def recast(filings: list[dict[str, Any]], item: str, factor: float, name: str | None = None) -> None:
    """Multiply the values of ``item`` that these filings repeat from a year before, and call it ``name`` in them."""
    for filing in filings:
        filing["facts"] = [
            (name or one[0], *one[1:3], one[3] if number < filing["own"] else one[3] * factor)
            if one[0] == item
            else one
            for number, one in enumerate(filing["facts"])
        ]


def in_new_shares(filings: list[dict[str, Any]], reports: pd.DataFrame, day: pd.Timestamp, ratio: int) -> None:
    """Have the filings from ``day`` on tell in new shares what was earned per share in quarters told before."""
    old = reports[reports["available_at"] < day]
    for filing in filings:
        if filing["accepted"].date() < day.date():
            continue
        told = []
        for item, start, end, value in filing["facts"]:
            if item.startswith("EarningsPerShare"):
                within = old[(old["period_end"] > start) & (old["period_end"] <= end)]["reported_eps"]
                every = end in set(old["period_end"])  # else the last quarters of the span are in new shares already
                value = value / ratio if every else value - within.sum() * (1 - 1 / ratio)
            told.append((item, start, end, value))
        filing["facts"] = told


def items_of(row: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Reported items from which the metrics of a report follow."""
    owed = 1e9
    operating = row["operating_margin"] * row["revenue"]
    stocks = {
        "Assets": row["assets"],
        "Liabilities": row["liabilities"],
        "StockholdersEquity": row["equity"],
        "AssetsCurrent": row["current_ratio"] * owed,
        "LiabilitiesCurrent": owed,
        "InventoryNet": (row["current_ratio"] - row["quick_ratio"]) * owed,
        "LongTermDebtNoncurrent": row["lt_debt_to_equity"] * row["equity"],
    }
    flows = {
        "RevenueFromContractWithCustomerExcludingAssessedTax": row["revenue"],
        "NetIncomeLoss": row["net_income"],
        "EarningsPerShareDiluted": row["reported_eps"],
        "OperatingIncomeLoss": operating,
        "GrossProfit": row["gross_margin"] * row["revenue"],
        "InterestExpense": operating / row["interest_coverage"],
        "DepreciationDepletionAndAmortization": row["ebitda"] - operating,
    }
    return {"stocks": stocks, "flows": flows}


def company_facts(name: str, filings: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer of the companyfacts endpoint."""
    concepts: dict[str, Any] = {}
    for filing in filings:
        filed = filed_on(filing["accepted"])
        for item, start, end, value in filing["facts"]:
            unit = "USD/shares" if item.startswith("EarningsPerShare") else "USD"
            units = concepts.setdefault(item, {"label": item, "description": item, "units": {}})["units"]
            fact = {"end": f"{end:%Y-%m-%d}", "val": value, "accn": filing["accn"], "form": filing["form"]}
            fact |= {"fy": filing["end"].year, "fp": "FY" if filing["form"] == "10-K" else "Q1", "filed": f"{filed}"}
            units.setdefault(unit, []).append(fact if start is None else {"start": f"{start:%Y-%m-%d}", **fact})
    shares = {"label": "Shares", "description": "", "units": {"shares": []}}
    facts = {"dei": {"EntityCommonStockSharesOutstanding": shares}, "us-gaap": concepts}
    return {"cik": CIKS[name], "entityName": f"{name} Inc.", "facts": facts}


def submissions(name: str, filings: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer of the submissions endpoint, the newest filing first."""
    newest = list(reversed(filings))
    recent = {
        "accessionNumber": [one["accn"] for one in newest],
        "filingDate": [f"{filed_on(one['accepted'])}" for one in newest],
        "reportDate": [f"{one['end']:%Y-%m-%d}" for one in newest],
        "acceptanceDateTime": [f"{one['accepted'].astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}" for one in newest],
        "form": [one["form"] for one in newest],
    }
    for key, value in {
        "act": "34",
        "fileNumber": "001-00001",
        "filmNumber": "1",
        "items": "",
        "core_type": "10-Q",
    }.items():
        recent[key] = [value] * len(newest)
    for key, number in {"size": 1000, "isXBRL": 1, "isInlineXBRL": 1}.items():
        recent[key] = [number] * len(newest)  # type: ignore[list-item]
    recent["primaryDocument"] = [f"{one['accn']}.htm" for one in newest]
    recent["primaryDocDescription"] = list(recent["form"])
    address = {"street1": "1 Main St", "street2": None, "city": "Town", "stateOrCountry": "NY"}
    address |= {"zipCode": "10001", "stateOrCountryDescription": "NY"}
    return {
        **{"cik": f"{CIKS[name]:010d}", "entityType": "operating", "sic": "7372", "sicDescription": "Software"},
        **{"name": f"{name} Inc.", "tickers": [name], "exchanges": ["NYSE"], "ein": "000000000", "category": ""},
        **{"description": "", "website": "", "investorWebsite": "", "fiscalYearEnd": "1231", "phone": "", "flags": ""},
        **{"stateOfIncorporation": "DE", "stateOfIncorporationDescription": "DE", "formerNames": []},
        **{"insiderTransactionForOwnerExists": 0, "insiderTransactionForIssuerExists": 0},
        **{"ownerOrg": "", "lei": None, "addresses": {"mailing": address, "business": address}},
        "filings": {"recent": recent, "files": []},
    }


def filed_on(accepted: datetime) -> date:
    """The filing date of an acceptance: after 17:30 in New York, the next business day."""
    late = accepted.time() > time(17, 30)
    return (pd.Timestamp(accepted.date()) + pd.offsets.BDay(1)).date() if late else accepted.date()


def articles_of(market: Market, name: str) -> list[dict[str, Any]]:
    """A ticker's headlines as Alpaca tells them; every third one after the close, when it is the next day in Greenwich."""
    found = []
    for number, row in enumerate(market.news[name].to_dict("records")):
        at = datetime.combine(row["available_at"].date(), time(20 if number % 3 == 0 else 10, 15), NEW_YORK)
        stamp = f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        headline = str(row["headline"]).replace("&", "&amp;").replace("'", "&#39;")
        texts = {"headline": headline, "summary": "", "author": "staff", "content": "", "source": row["source"]}
        times = {"created_at": stamp, "updated_at": stamp}
        found.append({"id": number, **texts, **times, "url": None, "symbols": [name], "images": []})
    return found


def _cells(values: pd.Series) -> list[float | None]:
    return [None if value != value else float(value) for value in values]


def _json(status: int, content: Any) -> Answer:
    return status, "application/json", json.dumps(content).encode()


def _fred_error(status: int, message: str) -> Answer:
    return status, "text/xml; charset=utf-8", f'<error code="{status}" message="{message}"/>'.encode()


def _fault(fault: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a fault by name."""
    message = b'{"message": "Too Many Requests"}'
    return {
        "429": (429, {"Retry-After": "0"}, message),
        "429_bare": (429, {}, message),
        "429_for_long": (429, {"Retry-After": "86400"}, message),
        "429_xml": (429, {}, b'<error code="429" message="Too Many Requests.  Exceeded Rate Limit"/>'),
        "429_xml_for_long": (429, {"Retry-After": "86400"}, b'<error code="429" message="Too Many Requests."/>'),
        "html": (200, {}, PAGE_HTML),
        "503": (503, {"Retry-After": "0"}, PAGE_HTML),
    }[fault]


def _send(
    handler: BaseHTTPRequestHandler, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
