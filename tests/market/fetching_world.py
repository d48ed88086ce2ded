"""The loopback services and how the real clients are led to them: `source_server`, `gateway` and `fetch_into`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from gateway_double import GatewayDouble
from source_server import KEYS, SourceServer

from llmrl_lib.market.providers import SOURCES, Fetched, fetch, patience
from llmrl_lib.market.synthetic import simulate
from llmrl_lib.market.synthetic.market import Market

FIRST, LAST = pd.Timestamp("2016-01-04"), pd.Timestamp("2018-06-29")
NOW = datetime.datetime(2018, 7, 2, 15, 0, tzinfo=UTC)  # a Monday: the newest day that is over everywhere is the Sunday
TICKERS = ["ORVN", "KSTV"]
FetchInto = Callable[..., Fetched]


@pytest.fixture(scope="session")
def invented() -> Market:
    """The market that the services serve."""
    return simulate(7, 2, first=FIRST.date(), last=LAST.date())


@pytest.fixture
def source_server(
    invented: Market, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SourceServer]:
    """The services, with every client led to them and a key for each in the environment."""
    for package in ("yfinance", "fredapi", "edgar", "alpaca", "ivolatility"):
        pytest.importorskip(package)
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with SourceServer(invented) as server:
        _lead_yfinance(server.url, monkeypatch, tmp_path_factory)
        monkeypatch.setattr("fredapi.Fred.root_url", f"{server.url}/fred")
        _lead_edgar(server.url, monkeypatch, tmp_path_factory)
        monkeypatch.setattr("alpaca.data.historical.news.BaseURL", SimpleNamespace(DATA=server.url))
        monkeypatch.setattr("ivolatility.ivolatility.restApiURL", server.url)
        yield server


def _lead_yfinance(loopback: str, monkeypatch: pytest.MonkeyPatch, folders: pytest.TempPathFactory) -> None:
    """yfinance has its addresses written in several places, so its session is led away from all of them."""
    import yfinance
    from curl_cffi.requests import Session
    from yfinance import cache
    from yfinance.data import YfData

    asked = Session.request

    def led(self: Any, method: str, url: str, **more: Any) -> Any:
        return asked(self, method, f"{loopback}{urlsplit(url).path or '/'}", **more)

    monkeypatch.setattr(Session, "request", led)
    monkeypatch.setattr(cache._TzCacheManager, "_tz_cache", None)
    monkeypatch.setattr(cache._CookieCacheManager, "_Cookie_cache", None)
    yfinance.set_tz_cache_location(str(folders.mktemp("yfinance")))
    data = YfData()
    data._cookie = data._crumb = None


def _lead_edgar(url: str, monkeypatch: pytest.MonkeyPatch, folders: pytest.TempPathFactory) -> None:
    from edgar.reference import tickers

    monkeypatch.setattr("edgar.urls.SEC_DATA_URL", url)
    monkeypatch.setattr("edgar.urls.SEC_BASE_URL", url)
    monkeypatch.setenv("EDGAR_LOCAL_DATA_DIR", str(folders.mktemp("edgar")))
    tickers._get_live_company_cik_lookup.cache_clear()


@pytest.fixture
def gateway(invented: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayDouble]:
    """A gateway that ib_async finds through the environment."""
    pytest.importorskip("ib_async")
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    with GatewayDouble(invented) as double:
        monkeypatch.setenv("IBKR_PORT", str(double.port))
        yield double


@pytest.fixture
def fetch_into(tmp_path: Path) -> FetchInto:
    """`fetch_into(source, tickers, start, end)` fills the folder `market` of the test."""

    def call(
        source: str,
        tickers: list[str] | None = None,
        start: pd.Timestamp = FIRST,
        end: pd.Timestamp = LAST,
        now: datetime.datetime = NOW,
        **more: Any,
    ) -> Fetched:
        given = TICKERS if tickers is None else tickers
        return fetch(SOURCES[source], given, start, end, tmp_path / "market", now=now, **more)

    return call
