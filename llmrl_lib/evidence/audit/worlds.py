"""The same dataset as it might have been: prices in another unit, a mirrored history, another name and another time.

Views of a dataset for counterfactual prompts; files are not touched. An invented market's truth is not handed out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta

import numpy as np
import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.dates import day_of
from llmrl_lib.market.reading import Reading
from llmrl_lib.market.tables import PRICES, TABLES
from llmrl_lib.strategy.anonymise import Names, names_of, variants

CALENDAR = timedelta(days=10_227)  # 28 years, after which weekdays and leap years come again (1901 to 2099)
PER_SHARE = ("reported_eps", "estimated_eps", "surprise")
LEVELS = ("spx_close", "ndx_close")

Alter = Callable[[pd.DataFrame, str, str | None], pd.DataFrame]  # frame, table, ticker


def rescaled(dataset: Dataset, factor: float) -> Dataset:
    """Every share split 1 to 1 / `factor`: prices and amounts per share times `factor`, volumes divided by it."""

    def alter(frame: pd.DataFrame, table: str, _: str | None) -> pd.DataFrame:
        if table == "bars":
            priced = [name for name in (*PRICES, "raw_close") if name in frame]
            return frame.assign(**{name: frame[name] * factor for name in priced}, volume=frame["volume"] / factor)
        return frame.assign(**{name: frame[name] * factor for name in PER_SHARE if name in frame})

    return _view(dataset, alter)


def mirrored(dataset: Dataset, ticker: str, date: str | pd.Timestamp) -> Dataset:
    """A past in which the share and both indices had every log return negated, with the prices of `date` as they are.

    A price p becomes p_date^2 / p, a day's high the mirrored low. Volume, volatility, rates, economy, reports, options and
    news stay.
    """
    day = day_of(date)
    bars = dataset.bars(ticker)
    close = float(bars["close"].loc[[day]].iloc[0])
    paid = float(bars["raw_close"].loc[[day]].iloc[0]) if "raw_close" in bars else close
    paid = paid if paid > 0 else close  # a blank

    def alter(frame: pd.DataFrame, table: str, owner: str | None) -> pd.DataFrame:
        if table == "bars" and owner == ticker:
            sides = {"open": "open", "high": "low", "low": "high", "raw_close": "raw_close"}
            turned = {name: paid**2 / frame[of] for name, of in sides.items() if of in frame}
            return frame.assign(**turned, close=close**2 / frame["close"])
        if table == "indices":
            return frame.assign(**{name: _first(frame[name]) ** 2 / frame[name] for name in LEVELS})
        return frame

    return _view(dataset, alter)


def swapped(dataset: Dataset, ticker: str, other: str) -> Dataset:
    """All that is known of `ticker` under the name of `other`, 28 years earlier, weekdays and leap years alike.

    Both companies' names change places in the headlines. Other tickers stay as they are, but for the time.
    """
    names = _exchanged(names_of(dataset), ticker, other)
    pattern = re.compile(
        "|".join(rf"(?<!\w){re.escape(name)}" for name in sorted(names, key=len, reverse=True)) or r"(?!)"
    )

    def alter(frame: pd.DataFrame, table: str, owner: str | None) -> pd.DataFrame:
        if TABLES[table].is_daily:
            frame = frame.set_axis(pd.DatetimeIndex(frame.index) - CALENDAR)
        else:
            frame = frame.assign(**{name: frame[name] - CALENDAR for name in TABLES[table].dates})
        if table == "news" and owner in (ticker, other):
            told = {
                name: frame[name].str.replace(pattern, lambda found: names[found[0]], regex=True) for name in _TEXTS
            }
            frame = frame.assign(**told)
        return frame

    early = dataset.closes_before_indices
    view = _view(dataset, alter, {other: ticker, ticker: other})
    return replace(view, closes_before_indices=tuple({ticker: other, other: ticker}.get(one, one) for one in early))


_TEXTS = ("headline", "summary")


@dataclass(frozen=True)
class _Altered(Dataset):
    whole: Dataset = field(kw_only=True, repr=False)
    alter: Alter = field(kw_only=True, repr=False)
    owners: Mapping[str, str] = field(kw_only=True, repr=False)  # whose tables a ticker shows, where not its own

    def read(self, table: str, ticker: str | None = None) -> Reading:
        if (table, ticker) not in self._readings:
            owner = self.owners.get(ticker, ticker) if ticker else ticker
            reading = self.whole.read(table, owner)
            self._readings[table, ticker] = replace(reading, frame=self.alter(reading.frame, table, owner))
        return self._readings[table, ticker]

    @property
    def has_truth(self) -> bool:
        return False


def _view(dataset: Dataset, alter: Alter, owners: Mapping[str, str] | None = None) -> Dataset:
    own = {entry.name: getattr(dataset, entry.name) for entry in fields(Dataset) if entry.name != "_readings"}
    return _Altered(**own, whole=dataset, alter=alter, owners=owners or {})


def _exchanged(known: Mapping[str, Names], ticker: str, other: str) -> dict[str, str]:
    """Each name of either company and what stands in its place: names, products and people in their order."""
    found: dict[str, str] = {}
    for one, two in ((known[ticker], known[other]), (known[other], known[ticker])):
        found |= {one.ticker: two.ticker}
        lists = ((one.names, two.names), (one.products, two.products), (one.people, two.people))
        for mine, theirs in (*lists, (variants(one.names), variants(two.names))):
            found |= {name: theirs[place % len(theirs)] for place, name in enumerate(mine) if theirs}
        surnames = ([part for person in who for part in person.split()[-1:]] for who in (one.people, two.people))
        mine, theirs = surnames
        found |= {name: theirs[place % len(theirs)] for place, name in enumerate(mine) if theirs}
    return found


def _first(levels: pd.Series) -> float:
    there = levels.dropna().to_numpy(np.float64)
    return float(there[0]) if len(there) else 1.0
