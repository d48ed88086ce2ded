"""A faultless little dataset, for tests to break."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

DESCRIPTION = """\
name = "small"
tickers = ["AAA", "BBB"]

[benchmark]
train_start = 2020-01-01
split = 2020-06-01
end = 2021-01-01
"""
HEADER = "date,open,high,low,close,volume"

MakeFolder = Callable[..., Path]


def plain_bars(first: str = "2020-01-01", last: str = "2020-12-31") -> list[str]:
    """A header and a faultless bar for each weekday, the first on line 2; every fifteenth closes at 10.4, not 10.5."""
    days = enumerate(pd.bdate_range(first, last), start=1)
    return [HEADER, *(f"{day:%Y-%m-%d},10.0,11.0,9.0,{10.5 if number % 15 else 10.4},1000" for number, day in days)]
