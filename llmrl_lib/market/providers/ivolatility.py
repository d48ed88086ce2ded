"""iVolatility through its own client: implied and historical volatility over 30 days, and the skew of the 30-day surface.

Implied volatility is the IV index ("30d IV Mean"), historical volatility "30d HV". The skew is the implied volatility of the
put with a delta of -0.25 less that of the call with 0.25, each interpolated between the neighbouring points of the surface.
All come as shares of 1 and are written in percent.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmrl_lib.market.providers.errors import SourceError, no_data
from llmrl_lib.market.providers.patience import patiently
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted

if TYPE_CHECKING:
    from types import ModuleType

TITLE = "iVolatility"
KEY = "IVOL_API_KEY"
TIMEOUT = 120.0  # seconds for one answer
DELTA = 0.25  # of the put and the call whose volatilities are compared
TENOR = 30  # days
WIDEST = 40  # percent out of the money: no 30-day option with a delta of 0.25 lies beyond
_DAILY = {"/equities/eod/ivx": ("30d IV Mean", "iv_30d"), "/equities/eod/hv": ("30d HV", "hv_30d")}
_SURFACE = "/equities/eod/ivs"


class _Ivolatility:
    def __init__(self, client: ModuleType) -> None:
        self.client = client

    def fetch(self, wanted: Wanted) -> Part:
        columns = {}
        for endpoint, (theirs, ours) in _DAILY.items():
            found = self._asked(endpoint, wanted, theirs)
            columns[ours] = _by_day(found)[theirs].astype("float64") * 100.0
        columns["skew_30d"] = skew(self._surface(wanted)) * 100.0
        frame = pd.DataFrame(columns).rename_axis("date").round(4)
        frame = frame[(frame.index >= wanted.start) & (frame.index <= wanted.end)].dropna(how="all")
        frame["iv_30d"] = frame["iv_30d"].where(frame["iv_30d"] > 0.0)
        lacking = {name: int(number) for name, number in frame.isna().sum().items() if number}
        notes = tuple(f"{name} is missing on {number} days" for name, number in lacking.items())
        query = {"symbol": wanted.ticker, "from": f"{wanted.start:%Y-%m-%d}", "to": f"{wanted.end:%Y-%m-%d}"}
        return Part(frame.reset_index(), {**query, "endpoints": " ".join([*_DAILY, _SURFACE])}, notes)

    def _surface(self, wanted: Wanted) -> pd.DataFrame:
        """The points of the 30-day surface, asked for a year at a time: each day has two dozen."""
        years = pd.period_range(wanted.start, wanted.end, freq="Y")
        spans = [(max(wanted.start, year.start_time), min(wanted.end, year.end_time.normalize())) for year in years]
        points = {"OTMFrom": -WIDEST, "OTMTo": WIDEST, "periodFrom": TENOR, "periodTo": TENOR}
        frames = [
            self._asked(_SURFACE, Wanted(wanted.table, wanted.ticker, *span), "IV", optional=True, **points)
            for span in spans
        ]
        return pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)

    def _asked(self, endpoint: str, wanted: Wanted, column: str, optional: bool = False, **more: Any) -> pd.DataFrame:
        """The rows of an endpoint, which must have ``column``; SourceError when there is none."""
        span = {"from_": f"{wanted.start:%Y-%m-%d}", "to": f"{wanted.end:%Y-%m-%d}"}
        ask = self.client.setMethod(endpoint)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.client.EmptyResultWarning)  # said below, in our own words
            found = patiently(lambda: _answer(ask, symbol=wanted.ticker, **span, **more), TITLE, (KEY,))
        if not len(found) and not optional:
            said = found.attrs.get("status", {})
            why = said.get("message") or said.get("reason") or "unknown there, delisted, or without options then"
            raise SourceError(f"{TITLE} has nothing of {wanted.ticker} from {span['from_']} to {span['to']}: {why}")
        if len(found) and not {"date", column} <= set(found.columns):
            names = ", ".join(map(str, found.columns[:8]))
            raise SourceError(f"{TITLE} answered {endpoint} without {column!r} ({names}); has its format changed?")
        return found


def _answer(ask: Callable[..., pd.DataFrame], **query: Any) -> pd.DataFrame:
    try:
        return ask(**query)
    except NotImplementedError as error:  # a kind of content that the client does not know, such as a page
        raise no_data(TITLE) from error


def skew(surface: pd.DataFrame) -> pd.Series:
    """Volatility of the 25-delta put less that of the 25-delta call, by day, in the surface's own unit.

    ``surface`` has date, Call/Put (C or P), delta and IV. Days on which the points do not reach on both sides of the delta
    have none: nothing is extrapolated.
    """
    if not len(surface):
        return pd.Series(dtype="float64", index=pd.DatetimeIndex([], dtype="datetime64[us]"))
    points = surface.assign(
        date=pd.to_datetime(surface["date"]).astype("datetime64[us]"), size=surface["delta"].astype("float64").abs()
    ).dropna(subset=["size", "IV"])
    sides = {
        side: pd.Series({day: _at_delta(rows) for day, rows in points[points["Call/Put"] == side].groupby("date")})
        for side in ("P", "C")
    }
    return (sides["P"] - sides["C"]).dropna().astype("float64")


def _at_delta(rows: pd.DataFrame) -> float:
    ordered = rows.sort_values("size")
    sizes, volatilities = ordered["size"].to_numpy("float64"), ordered["IV"].to_numpy("float64")
    if not sizes[0] <= DELTA <= sizes[-1]:
        return float("nan")
    return float(np.interp(DELTA, sizes, volatilities))


def _by_day(found: pd.DataFrame) -> pd.DataFrame:
    days = pd.DatetimeIndex(pd.to_datetime(found["date"])).astype("datetime64[us]")
    return found.set_axis(days)[~days.duplicated()].sort_index()


@contextmanager
def _opened() -> Iterator[Session]:
    import ivolatility
    from requests.adapters import HTTPAdapter

    client = ivolatility.ivolatility
    logging.getLogger(client.__name__).setLevel(logging.WARNING)  # below that it tells the first part of the key
    plain = HTTPAdapter(max_retries=0)  # its own retries obey any Retry-After, be it a day
    for scheme in ("http://", "https://"):
        client._session.mount(scheme, plain)
    client.setLoginParams(apiKey=os.environ[KEY])
    client.setRequestTimeout(TIMEOUT)
    client.setFileDownloadTimeout(TIMEOUT)
    try:
        yield _Ivolatility(client)
    finally:
        client.setLoginParams()


IVOLATILITY = Source(
    name="ivolatility",
    title=TITLE,
    package="ivolatility",
    module="ivolatility",
    open=_opened,
    terms="as in your contract, no redistribution: https://www.ivolatility.com/api-terms",
    tables=("options",),
    keys={KEY: "the key of a paid plan that has IVX and IVS, see https://www.ivolatility.com/data-cloud-api"},
)
