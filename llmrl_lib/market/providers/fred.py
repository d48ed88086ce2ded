"""The St. Louis Fed's FRED through fredapi: macro series with every vintage since the first release, and yields.

A value is available on the day of its vintage (``realtime_start``), so a revision counts from its own release on and never
earlier. All vintages are asked for each time: asking from a later day would date older ones on that day.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from llmrl_lib.market.providers.errors import SourceError, no_data, status_of
from llmrl_lib.market.providers.patience import patiently
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted

if TYPE_CHECKING:
    from fredapi import Fred

TITLE = "FRED"
KEY = "FRED_API_KEY"
SERIES = {  # name in macro.csv: FRED's; the last one has not been there since the ISM withdrew its data in 2016
    "GDP": "GDP",
    "PPIFIS": "PPIFIS",
    "UMCSENT": "UMCSENT",
    "CPIAUCSL": "CPIAUCSL",
    "UNRATE": "UNRATE",
    "ISM_PMI": "NAPM",
}
YIELDS = {"dgs10": "DGS10", "dgs2": "DGS2", "t10y2y": "T10Y2Y"}
HISTORY = pd.DateOffset(years=2)  # before the first day: changes over a year need it
TIMEOUT = 60.0  # seconds without a byte
_ABOUT = ("frequency_short", "units", "seasonal_adjustment_short")
Answer = TypeVar("Answer")


class _Absent(SourceError):
    """A series that FRED does not have."""


class _Fred:
    def __init__(self, client: Fred) -> None:
        self.client = client

    def fetch(self, wanted: Wanted) -> Part:
        return self._yields(wanted) if wanted.table == "indices" else self._macro(wanted)

    def _macro(self, wanted: Wanted) -> Part:
        frames, notes = [], []
        for name, series in SERIES.items():
            try:
                frames.append(self._vintages(name, series, wanted))
            except _Absent:
                notes.append(f"{name} is left out: {TITLE} has no series {series}; bring it yourself, or do without")
        frame = pd.concat(frames, ignore_index=True)
        query = {"series": " ".join(SERIES.values()), "vintages": "all", "end": f"{wanted.end:%Y-%m-%d}"}
        return Part(frame, query, tuple(notes))

    def _vintages(self, name: str, series: str, wanted: Wanted) -> pd.DataFrame:
        """Every release of every period, a row each, up to the last day."""
        about = self._asked(series, lambda: dict(self.client.get_series_info(series)[list(_ABOUT)]))
        found = self._asked(series, lambda: self.client.get_series_all_releases(series))
        frame = pd.DataFrame(
            {
                "series": name,
                "available_at": pd.to_datetime(found["realtime_start"]).astype("datetime64[us]"),
                "period": pd.to_datetime(found["date"]).astype("datetime64[us]"),
                "frequency": about["frequency_short"],
                "unit": f"{about['units']}, {about['seasonal_adjustment_short']}",
                "value": found["value"].astype("float64"),
            }
        )
        wide = (frame["period"] >= wanted.start - HISTORY) & (frame["available_at"] <= wanted.end)
        return frame[wide & frame["value"].notna() & (frame["available_at"] >= frame["period"])]

    def _yields(self, wanted: Wanted) -> Part:
        first, last = f"{wanted.start:%Y-%m-%d}", f"{wanted.end:%Y-%m-%d}"
        found = {
            name: self._asked(series, partial(self.client.get_series, series, first, last))
            for name, series in YIELDS.items()
        }
        frame = pd.DataFrame(found).rename_axis("date").dropna(how="all")
        frame.index = pd.DatetimeIndex(frame.index).astype("datetime64[us]")
        query = {"series": " ".join(YIELDS.values()), "start": first, "end": last}
        return Part(frame.reset_index(), query)

    def _asked(self, series: str, ask: Callable[[], Answer]) -> Answer:
        def attempt() -> Answer:
            try:
                return ask()
            except ValueError as error:
                if "does not exist" in str(error):
                    raise _Absent(f"{TITLE} has no series {series}") from error
                if "api_key" in str(error):
                    raise SourceError(f"{TITLE} refuses the key (400); check {KEY}", fatal=True) from error
                if status_of(error) is None and "No data exists" in str(error):
                    raise SourceError(f"{TITLE} has nothing of {series}") from error
                raise
            except (KeyError, TypeError) as error:  # a page that happens to be well-formed
                raise no_data(TITLE) from error

        return patiently(attempt, TITLE, (KEY,))


@contextmanager
def _opened() -> Iterator[Session]:
    from fredapi import Fred

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # fredapi takes none and would wait for ever
    try:
        yield _Fred(Fred(api_key=os.environ[KEY]))
    finally:
        socket.setdefaulttimeout(before)


FRED = Source(
    name="fred",
    title=TITLE,
    package="fredapi",
    module="fredapi",
    open=_opened,
    terms="free, some series belong to others: https://fred.stlouisfed.org/docs/api/terms_of_use.html",
    tables=("macro", "indices"),
    keys={KEY: "a free key from https://fredaccount.stlouisfed.org/apikeys"},
    whole=("macro",),
)
