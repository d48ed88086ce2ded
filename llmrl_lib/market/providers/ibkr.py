"""Interactive Brokers through ib_async: bars, and implied and historical volatility, from a TWS or IB Gateway that runs.

``TRADES`` bars are adjusted for splits, ``ADJUSTED_LAST`` for dividends too; the latter can only be asked for up to now, so
bars are asked for whole each time. Volatilities come as shares of 1 a year and are written in percent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any

import pandas as pd

from llmrl_lib.market.providers.errors import Busy, SourceError
from llmrl_lib.market.providers.patience import patiently
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted

if TYPE_CHECKING:
    from ib_async import IB

TITLE = "Interactive Brokers"
HOST, PORT, CLIENT_ID = "127.0.0.1", 7497, 17  # unless IBKR_HOST, IBKR_PORT and IBKR_CLIENT_ID say otherwise
TIMEOUT = 120.0  # seconds for one answer
CONNECTING = 10.0  # seconds
VOLATILITIES = {"iv_30d": "OPTION_IMPLIED_VOLATILITY", "hv_30d": "HISTORICAL_VOLATILITY"}
NO_CONTRACT, HISTORY, NO_PERMISSION = 200, 162, (354, 420, 10089, 10090, 10168, 10186, 10197)  # codes of errors


class _Ibkr:
    def __init__(self, client: IB) -> None:
        self.client = client

    def fetch(self, wanted: Wanted) -> Part:
        return self._options(wanted) if wanted.table == "options" else self._bars(wanted)

    def _bars(self, wanted: Wanted) -> Part:
        traded, adjusted = self._daily(wanted, "TRADES"), self._daily(wanted, "ADJUSTED_LAST")
        days = traded.index.intersection(adjusted.index)
        lacking = traded.index.symmetric_difference(adjusted.index)
        frame = traded.loc[days].rename(columns={"close": "raw_close"}).assign(close=adjusted.loc[days, "close"])
        notes = _one_sided(lacking, "TRADES and ADJUSTED_LAST", "left out")
        return Part(frame.rename_axis("date").reset_index(), _query(wanted, "TRADES ADJUSTED_LAST"), notes)

    def _options(self, wanted: Wanted) -> Part:
        columns = {name: self._daily(wanted, what)["close"] * 100.0 for name, what in VOLATILITIES.items()}
        frame = pd.DataFrame(columns)
        frame = frame.where(frame > 0.0).dropna(how="all").round(4)
        lacking = frame.index[frame.isna().any(axis=1)]
        notes = _one_sided(lacking, " and ".join(VOLATILITIES.values()), "blank there")
        return Part(frame.rename_axis("date").reset_index(), _query(wanted, " ".join(VOLATILITIES.values())), notes)

    def _daily(self, wanted: Wanted, what: str) -> pd.DataFrame:
        """Daily rows of one kind by date: open, high, low, close, volume."""
        from ib_async import Stock

        contract = Stock(re.sub(r"[.-]([ABC])$", r" \1", wanted.ticker or ""), "SMART", "USD")
        bars = patiently(lambda: self._history(contract, what, _duration(wanted.start), wanted), TITLE)
        rows = [(bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars]
        frame = pd.DataFrame(rows, columns=["date", "open", "high", "low", "close", "volume"]).set_index("date")
        frame.index = pd.DatetimeIndex(frame.index).astype("datetime64[us]")
        frame = frame[(frame.index >= wanted.start) & (frame.index <= wanted.end)]
        frame = frame[~frame.index.duplicated()]
        return frame.assign(volume=frame["volume"].where(frame["volume"] >= 0.0))

    def _history(self, contract: Any, what: str, duration: str, wanted: Wanted) -> Any:
        from ib_async.wrapper import RequestError

        try:
            bars = self.client.reqHistoricalData(contract, "", duration, "1 day", what, True, timeout=TIMEOUT)
        except RequestError as error:
            said = re.sub(r"^.*API error: \d+: ", "", " ".join(str(error).split()))
            if error.code == HISTORY and "pacing violation" in said.lower():
                raise Busy(f"{TITLE} is asked too often ({said})", wait=60.0) from error
            if error.code == NO_CONTRACT or "no data" in said.lower():
                why = "unknown there, delisted, or not subscribed to"
                raise SourceError(f"{TITLE} has no {what} of {wanted.ticker}: {why} ({said})") from None
            if error.code in NO_PERMISSION or "permission" in said.lower():
                raise SourceError(f"{TITLE} does not let this account see {wanted.ticker} ({said})") from None
            raise SourceError(f"{TITLE} failed: {said} ({error.code})") from None
        if not bars:
            raise SourceError(
                f"{TITLE} gave no {what} of {wanted.ticker} within {TIMEOUT:.0f} seconds; try again later"
            )
        return bars


def _one_sided(days: pd.Index, both: str, what: str) -> tuple[str, ...]:
    """What to say of days that only one of two answers has."""
    return (f"{len(days)} days are in only one of {both}, and are {what} ({days[0]:%Y-%m-%d})",) if len(days) else ()


def _query(wanted: Wanted, what: str) -> dict[str, Any]:
    span = {"start": f"{wanted.start:%Y-%m-%d}", "end": f"{wanted.end:%Y-%m-%d}"}
    return {"symbol": wanted.ticker, **span, "whatToShow": what}


def _duration(start: pd.Timestamp) -> str:
    """From ``start`` up to now, in days where they are fewer than a year, as the service wants it."""
    days = (datetime.now(UTC).date() - start.date()).days + 2
    return f"{days} D" if days <= 365 else f"{ceil(days / 365)} Y"


@contextmanager
def _opened() -> Iterator[Session]:
    from ib_async import IB, StartupFetchNONE

    host = os.environ.get("IBKR_HOST", HOST)
    try:
        port, number = int(os.environ.get("IBKR_PORT", PORT)), int(os.environ.get("IBKR_CLIENT_ID", CLIENT_ID))
    except ValueError as error:
        raise SourceError("IBKR_PORT and IBKR_CLIENT_ID must be whole numbers, such as 7497 and 17", True) from error
    client = IB()
    client.RaiseRequestErrors = True
    try:
        client.connect(host, port, number, timeout=CONNECTING, readonly=True, fetchFields=StartupFetchNONE)
    except (TimeoutError, OSError) as error:
        what = f"no TWS or IB Gateway answers at {host}:{port}"
        remedy = "start it, log in and allow API connections; IBKR_HOST, IBKR_PORT and IBKR_CLIENT_ID say where"
        raise SourceError(f"{what}; {remedy}", fatal=True) from error
    try:
        yield _Ibkr(client)
    finally:
        client.disconnect()


IBKR = Source(
    name="ibkr",
    title=TITLE,
    package="ib_async",
    module="ib_async",
    open=_opened,
    terms="your own use under your market data subscriptions: https://www.interactivebrokers.com/en/index.php?f=14193",
    tables=("bars", "options"),
    whole=("bars",),
)
