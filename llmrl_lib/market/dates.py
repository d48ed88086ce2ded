"""Dates as callers give them: read in one way only, because 01/05/2018 is another day in another country."""

import datetime
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def day_of(date: str | datetime.date | pd.Timestamp) -> pd.Timestamp:
    """The trading day that ``date`` names; ValueError for a text that is not YYYY-MM-DD, a time, a zone or no date."""
    try:
        day = pd.Timestamp(date) if not isinstance(date, str) or _ISO.fullmatch(date) else pd.NaT
    except ValueError:  # such as 2018-02-30
        day = pd.NaT
    if pd.isna(day) or day.tzinfo is not None or day != day.normalize():
        shown = repr(date) if isinstance(date, str) else date
        raise ValueError(f"{shown} is no trading day; give a date without time and zone, for example 2018-06-01")
    return day


def days_of(dates: Iterable[str | datetime.date | pd.Timestamp]) -> list[pd.Timestamp]:
    """The trading days that ``dates`` name, in their order; ValueError for a single date, and as ``day_of``."""
    if isinstance(dates, (str, datetime.date, np.datetime64)):
        raise ValueError(f"dates is {dates!r}, a single one; give a list of dates, for example ['2018-06-01']")
    return [day_of(date) for date in dates]
