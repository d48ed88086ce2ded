"""The loopback services and how the real clients are led to them: `source_server`, `gateway` and `fetch_into`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

FIRST, LAST = pd.Timestamp("2016-09-01"), pd.Timestamp("2018-06-29")
NOW = datetime.datetime(2018, 7, 2, 15, 0, tzinfo=UTC)  # a Monday: the newest day that is over everywhere is the Sunday
TICKERS = ["ORVN", "KSTV"]
FetchInto = Callable[..., Fetched]


@pytest.fixture(scope="session")
def invented() -> Market:
    """The market that the services serve."""
    return simulate(7, 2, first=FIRST.date(), last=LAST.date())


@contextmanager
def services(market: Market, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SourceServer]:
    """The services, with every client led to them and a key for each in the environment; caches go into `folder`."""
    for package in ("yfinance", "fredapi", "edgar", "alpaca", "ivolatility"):
        pytest.importorskip(package)
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with SourceServer(market) as server:
        _lead_yfinance(server.url, monkeypatch, folder)
        monkeypatch.setattr("fredapi.Fred.root_url", f"{server.url}/fred")
        _lead_edgar(server.url, monkeypatch, folder)
        monkeypatch.setattr("alpaca.data.historical.news.BaseURL", SimpleNamespace(DATA=server.url))
        monkeypatch.setattr("ivolatility.ivolatility.restApiURL", server.url)
        yield server


@pytest.fixture
def source_server(
    invented: Market, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SourceServer]:
    """The services of one test."""
    with services(invented, tmp_path_factory.mktemp("caches"), monkeypatch) as server:
        yield server


def _lead_yfinance(loopback: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
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
    yfinance.set_tz_cache_location(str(folder))
    data = YfData()
    data._cookie = data._crumb = None


def _lead_edgar(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    from edgar.reference import tickers

    monkeypatch.setattr("edgar.urls.SEC_DATA_URL", url)
    monkeypatch.setattr("edgar.urls.SEC_BASE_URL", url)
    monkeypatch.setenv("EDGAR_LOCAL_DATA_DIR", str(folder))
    tickers._get_live_company_cik_lookup.cache_clear()


@contextmanager
def gateway_of(market: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayDouble]:
    """A gateway that ib_async finds through the environment."""
    pytest.importorskip("ib_async")
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    with GatewayDouble(market) as double:
        monkeypatch.setenv("IBKR_PORT", str(double.port))
        yield double


@pytest.fixture
def gateway(invented: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayDouble]:
    """The gateway of one test."""
    with gateway_of(invented, monkeypatch) as double:
        yield double


@pytest.fixture(scope="session")
def assembled(invented: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder filled from all six sources, one after the other. Read it, do not write to it."""
    folder = tmp_path_factory.mktemp("assembled")
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        services(invented, folder / "caches", monkeypatch),
        gateway_of(invented, monkeypatch),
    ):
        for source in ("yahoo", "fred", "sec", "alpaca", "ibkr", "ivolatility"):
            done = fetch(SOURCES[source], TICKERS, FIRST, LAST, folder / "market", now=NOW)
            assert not done.failures, done.failures
    return folder / "market"


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
