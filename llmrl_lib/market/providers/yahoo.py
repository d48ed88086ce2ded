"""Yahoo Finance through yfinance: bars with raw and adjusted close, splits, and the levels of the indices and the VIX.

Yahoo adjusts all earlier prices for a later split, and its adjusted close for every later dividend too; whoever continues
an older file must therefore see whether the days both have still agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmrl_lib.market.providers.errors import Busy, SourceError, seconds_to_wait
from llmrl_lib.market.providers.patience import patiently
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted

if TYPE_CHECKING:
    from types import ModuleType

TITLE = "Yahoo Finance"
LEVELS = {"spx_close": "^GSPC", "ndx_close": "^NDX", "vix_close": "^VIX"}
TIMEOUT = 30.0  # seconds for one answer
REPORTS = pd.DateOffset(years=2)  # before the first day: reports from then on need to know of splits
_COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Adj Close": "close",
    "Volume": "volume",
    "Close": "raw_close",
}
_PRICES = ["open", "high", "low", "close", "raw_close"]


class _Yahoo:
    """``client`` is the module yfinance, ``session`` what carries its requests."""

    def __init__(self, client: ModuleType, session: Any) -> None:
        self.client = client
        self.session = session

    def fetch(self, wanted: Wanted) -> Part:
        return self._indices(wanted) if wanted.ticker is None else self._bars(wanted, wanted.ticker)

    def _bars(self, wanted: Wanted, ticker: str) -> Part:
        symbol = yahoo_symbol(ticker)
        longer = wanted if wanted.continued else replace(wanted, start=wanted.start - REPORTS)
        found = self._history(symbol, longer)
        bars = found.rename(columns=_COLUMNS)[list(_COLUMNS.values())].rename_axis("date").reset_index()
        bars = bars[bars["date"] >= wanted.start].reset_index(drop=True)
        if not len(bars):
            raise SourceError(_nothing(symbol, wanted))
        bars[_PRICES] = bars[_PRICES].round(6)
        whole = bars[_PRICES].notna().all(axis=1)
        notes = []
        if not whole.all():
            days = ", ".join(f"{day:%Y-%m-%d}" for day in bars.loc[~whole, "date"].head(3))
            notes.append(f"{int((~whole).sum())} days lack a price and are left out ({days})")
        ratios = found["Stock Splits"]
        splits = {pd.Timestamp(day): float(ratio) for day, ratio in ratios[ratios > 0.0].items()}  # type: ignore[arg-type]
        return Part(bars[whole].reset_index(drop=True), _query(symbol, longer), tuple(notes), splits)

    def _indices(self, wanted: Wanted) -> Part:
        levels = {name: self._history(symbol, wanted)["Close"].round(6) for name, symbol in LEVELS.items()}
        frame = pd.DataFrame(levels).rename_axis("date").dropna(how="all")
        lacking = {name: int(number) for name, number in frame.isna().sum().items() if number}
        notes = tuple(f"{name} is missing on {number} days that the others have" for name, number in lacking.items())
        return Part(frame.reset_index(), _query(" ".join(LEVELS.values()), wanted), notes)

    def _history(self, symbol: str, wanted: Wanted) -> pd.DataFrame:
        """Daily rows by the exchange's own date; SourceError when there is none."""
        from yfinance.data import YfData

        span = {"start": f"{wanted.start:%Y-%m-%d}", "end": f"{wanted.end + pd.Timedelta(days=1):%Y-%m-%d}"}

        def ask() -> pd.DataFrame:
            YfData.cache_get.cache_clear()  # else a failure, or prices from before a split, would be answered again
            try:
                ticker = self.client.Ticker(symbol, session=self.session)
                return ticker.history(**span, interval="1d", auto_adjust=False, actions=True, timeout=TIMEOUT)
            except self.client.exceptions.YFRateLimitError as error:
                raise Busy(f"{TITLE} is asked too often (429)", seconds_to_wait(self.session.said)) from error
            except Exception as error:
                if _is_unknown(error):
                    raise SourceError(_nothing(symbol, wanted)) from error
                if self.session.status >= 500:
                    wait = seconds_to_wait(self.session.said)
                    raise Busy(f"{TITLE} is in trouble ({self.session.status})", wait) from error
                raise

        found = patiently(ask, TITLE)
        if not len(found):
            raise SourceError(_nothing(symbol, wanted))
        by_exchange = pd.DatetimeIndex(found.index).tz_localize(None)  # its own clock, not ours
        days = by_exchange.normalize().astype("datetime64[us]")
        found = found.set_axis(days)
        found = found[(found.index >= wanted.start) & (found.index <= wanted.end)]
        return found[~found.index.duplicated()].replace([np.inf, -np.inf], np.nan)


def yahoo_symbol(ticker: str) -> str:
    """Yahoo's name of a ticker: a class of shares after a hyphen (BRK.B is BRK-B), exchanges after a dot (6758.T)."""
    return re.sub(r"^([A-Z]+)[. /]([ABC])$", r"\1-\2", ticker)


def _nothing(symbol: str, wanted: Wanted) -> str:
    span = f"from {wanted.start:%Y-%m-%d} to {wanted.end:%Y-%m-%d}"
    return f"{TITLE} has no prices of {symbol} {span}: unknown there, delisted, or not listed then"


def _is_unknown(error: BaseException) -> bool:
    name = type(error).__name__
    response = getattr(error, "response", None)
    return "MissingError" in name or getattr(response, "status_code", None) == 404


def _query(symbol: str, wanted: Wanted) -> dict[str, Any]:
    return {"symbol": symbol, "start": f"{wanted.start:%Y-%m-%d}", "end": f"{wanted.end:%Y-%m-%d}", "interval": "1d"}


@contextmanager
def _opened() -> Iterator[Session]:
    import yfinance
    from curl_cffi.requests import Session as Carrier

    class Attentive(Carrier):
        """Remembers status and headers of the last answer: yfinance reads a page of excuses as if it were data."""

        status = 0

        said: Mapping[str, Any] = MappingProxyType({})

        def request(self, *words: Any, **more: Any) -> Any:
            self.status, self.said = 0, MappingProxyType({})
            answer = super().request(*words, **more)
            self.status, self.said = answer.status_code, answer.headers
            return answer

    debug = yfinance.config.debug
    before = debug.hide_exceptions
    debug.hide_exceptions = False
    try:
        yield _Yahoo(yfinance, Attentive(impersonate="chrome"))
    finally:
        debug.hide_exceptions = before


YAHOO = Source(
    name="yahoo",
    title=TITLE,
    package="yfinance",
    module="yfinance",
    open=_opened,
    terms="personal use, no redistribution: https://legal.yahoo.com/us/en/yahoo/terms/otos/index.html",
    tables=("bars", "indices"),
)
