"""The days on which invented shares trade: New York's weekdays and holidays, by rule."""

import datetime
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Days:
    """The trading days of a market, three years of hidden past before the published ones."""

    all: pd.DatetimeIndex
    start: int  # position of the first published day

    @property
    def published(self) -> pd.DatetimeIndex:
        """The days on which bars, indices and options are published."""
        return self.all[self.start :]

    @cached_property
    def dates(self) -> tuple[datetime.date, ...]:
        """The trading days as dates."""
        return tuple(moment.date() for moment in self.all)

    @cached_property
    def _ordinals(self) -> tuple[int, ...]:
        return tuple(date.toordinal() for date in self.dates)

    def __len__(self) -> int:
        return len(self.all)

    def at(self, day: datetime.date) -> int:
        """Position of the last trading day up to and including ``day``; -1 if there is none."""
        return bisect_right(self._ordinals, day.toordinal()) - 1

    def on_or_after(self, day: datetime.date) -> int:
        """Position of the first trading day from ``day`` on; ``len(self)`` if there is none."""
        return bisect_left(self._ordinals, day.toordinal())


def days_of(first: datetime.date, last: datetime.date) -> Days:
    """The trading days from ``first`` to ``last``, and those of the three calendar years before."""
    every = trading_days(datetime.date(first.year - 3, 1, 1), last)
    return Days(every, int(np.searchsorted(every.to_numpy(), np.datetime64(first, "us"))))


def trading_days(first: datetime.date, last: datetime.date) -> pd.DatetimeIndex:
    """Weekdays from ``first`` to ``last``, both included, less New York's regular holidays."""
    holidays = {day for year in range(first.year, last.year + 1) for day in _holidays(year)}
    every = [first + datetime.timedelta(days=number) for number in range((last - first).days + 1)]
    open_days = [day for day in every if day.weekday() < 5 and day not in holidays]
    return pd.DatetimeIndex(np.array(open_days, dtype="datetime64[us]"), name="date")


def bond_holidays(dates: pd.DatetimeIndex) -> np.ndarray:
    """True on the two days a year on which shares trade and bonds do not."""
    years = range(dates[0].year, dates[-1].year + 1)
    days = [day for year in years for day in (_weekday_of_month(year, 10, 0, 2), datetime.date(year, 11, 11))]
    return np.isin(dates.to_numpy(), np.array(days, dtype="datetime64[us]"))


def month_begins(dates: pd.DatetimeIndex) -> np.ndarray:
    """True on the first trading day of each month but the one in which ``dates`` begin."""
    month = dates.month.to_numpy()
    return np.concatenate([[False], month[1:] != month[:-1]])


def month_ends(first: datetime.date, last: datetime.date, months: int = 1) -> list[datetime.date]:
    """The last calendar days of all months (or quarters: ``months=3``) that end from ``first`` to ``last``."""
    ends = []
    for year in range(first.year, last.year + 1):
        for month in range(months, 13, months):
            end = datetime.date(year + month // 12, month % 12 + 1, 1) - datetime.timedelta(days=1)
            if first <= end <= last:
                ends.append(end)
    return ends


def _holidays(year: int) -> list[datetime.date]:
    fixed = [datetime.date(year, month, day) for month, day in ((1, 1), (7, 4), (12, 25))]
    observed = [day + datetime.timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0)) for day in fixed]
    last_of_may = datetime.date(year, 5, 31)
    memorial = last_of_may - datetime.timedelta(days=last_of_may.weekday())
    mondays = [_weekday_of_month(year, month, 0, number) for month, number in ((1, 3), (2, 3), (9, 1))]
    good_friday = _easter(year) - datetime.timedelta(days=2)
    return [*observed, good_friday, memorial, *mondays, _weekday_of_month(year, 11, 3, 4)]


def _weekday_of_month(year: int, month: int, weekday: int, number: int) -> datetime.date:
    """The ``number``-th such weekday (0 is Monday) of a month."""
    first = datetime.date(year, month, 1)
    return first + datetime.timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _easter(year: int) -> datetime.date:
    """Easter Sunday by the anonymous Gregorian algorithm (Meeus 1991, chapter 8)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    h = (19 * a + b - d - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    i, k = divmod(c, 4)
    rest = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * rest) // 451
    month, day = divmod(h + rest - 7 * m + 114, 31)
    return datetime.date(year, month, day + 1)
