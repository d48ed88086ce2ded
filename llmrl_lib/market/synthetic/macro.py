"""Macro-economic series as they were published: first releases, revisions, and a survey that shows the market's state.

The index of purchasing managers shows the market's channel as it stood at the month's last close; it is published first
and never revised. Every other series is driven by the same monthly value with noise of its own, so it agrees with the
survey and adds nothing to it. Yields and the policy rate carry nothing.
"""

import datetime
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import Generator

from llmrl_lib.market.synthetic.days import Days, month_ends
from llmrl_lib.market.synthetic.draws import normal

PMI_MEAN, PMI_SLOPE = 52.0, 3.0  # points; per unit of the channel
PMI = "ISM_PMI"


@dataclass(frozen=True)
class _Series:
    name: str
    unit: str
    decimals: int
    delay: int  # calendar days from the period's end to the first release
    revisions: tuple[float, ...] = ()  # sd of the error of each release before the last, as a share of the value
    gap: int = 30  # calendar days between releases
    quarterly: bool = False


_SERIES = (
    _Series("CPIAUCSL", "index 1982-84=100 SA", 3, 14),
    _Series("CPILFESL", "index SA", 3, 14),
    _Series("FEDFUNDS", "percent", 2, 3),
    _Series("GDP", "bn USD SAAR", 3, 28, (0.002, 0.001), 30, True),
    _Series("GDPC1", "bn chained 2017 USD SAAR", 3, 28, (0.002, 0.001), 30, True),
    _Series("INDPRO", "index SA", 4, 16, (0.002,)),
    _Series(PMI, "diffusion index", 1, 1),
    _Series("PAYEMS", "thousands SA", 1, 5, (0.0004, 0.0002), 28),
    _Series("PPIFIS", "PPI final demand index SA", 1, 13, (0.001,), 120),
    _Series("UMCSENT", "index 1966Q1=100", 1, 3),
    _Series("UNRATE", "percent SA", 1, 5),
)


def macro_columns(source: Generator, days: Days, channel: np.ndarray, dgs2: np.ndarray) -> dict[str, list]:
    """Columns of macro.csv, series by series, each in the order of publication.

    ``channel`` is the market's, (days,); ``dgs2`` the two-year yield, (days,), which the policy rate follows.
    """
    first, last = days.dates[0], days.dates[-1]
    months = month_ends(first, last)
    month_channel = channel[[days.at(end) for end in months]]
    values = _monthly_values(source, month_channel, dgs2[[days.at(end) for end in months]])
    names = ("series", "available_at", "period", "frequency", "unit", "value")
    columns: dict[str, list] = {name: [] for name in names}
    for series in _SERIES:
        errors = normal(source, len(months), max(1, len(series.revisions)))
        rows = []
        for number, end in enumerate(months):
            if series.quarterly and end.month % 3:
                continue
            for release, error in enumerate([*series.revisions, 0.0]):
                available = _release_day(days, end, series.delay + release * series.gap)
                wrong = 1.0 + error * errors[number, min(release, errors.shape[1] - 1)]
                if available is not None:
                    rows.append((available, _period(end, series.quarterly), values[series.name][number] * wrong))
        rows.sort(key=lambda row: row[:2])
        columns["series"] += [series.name] * len(rows)
        columns["frequency"] += ["Q" if series.quarterly else "M"] * len(rows)
        columns["unit"] += [series.unit] * len(rows)
        columns["available_at"] += [row[0] for row in rows]
        columns["period"] += [row[1] for row in rows]
        columns["value"] += [float(np.round(row[2], series.decimals)) for row in rows]
    return columns


def decimals_of(series: str) -> int:
    """Decimal places in which a series is published."""
    return next(one.decimals for one in _SERIES if one.name == series)


def pmi_channel(values: pd.Series) -> np.ndarray:
    """The channel that published values of the purchasing managers' index show."""
    return (values.to_numpy() - PMI_MEAN) / PMI_SLOPE


def _monthly_values(source: Generator, channel: np.ndarray, dgs2: np.ndarray) -> dict[str, np.ndarray]:
    noise = normal(source, 10, len(channel))
    busy = 0.6 * channel + 0.8 * noise[0]  # activity: most series share it
    real, nominal = 0.0018 + 0.0009 * busy, 0.0033 + 0.0010 * busy + 0.0004 * noise[1]
    prices = 0.0015 + 0.0002 * channel
    unemployment, unemployed = 7.5, []
    for push in (-0.03 - 0.05 * busy + 0.06 * noise[2]).tolist():
        unemployment = min(11.0, max(3.2, unemployment + 0.01 * (5.5 - unemployment) + push))
        unemployed.append(unemployment)
    return {
        "CPIAUCSL": 212.0 * np.cumprod(1.0 + prices + 0.0012 * noise[3]),
        "CPILFESL": 217.0 * np.cumprod(1.0 + prices + 0.0004 * noise[4]),
        "FEDFUNDS": np.maximum(0.05, 0.8 * dgs2 - 0.2 + 0.02 * noise[5]),
        "GDP": 14400.0 * np.cumprod(1.0 + nominal),
        "GDPC1": 16300.0 * np.cumprod(1.0 + real),
        "INDPRO": 89.0 * np.cumprod(1.001 + 0.0015 * busy + 0.003 * noise[6]),
        PMI: PMI_MEAN + PMI_SLOPE * channel,
        "PAYEMS": 131000.0 * np.cumprod(1.0012 + 0.0004 * busy + 0.0004 * noise[7]),
        "PPIFIS": 100.0 * np.cumprod(1.0013 + 0.0003 * channel + 0.002 * noise[8]),
        "UMCSENT": np.maximum(40.0, 84.0 + 4.0 * channel + 4.0 * noise[9]),
        "UNRATE": np.array(unemployed),
    }


def _release_day(days: Days, end: datetime.date, delay: int) -> datetime.date | None:
    """The first trading day ``delay`` days after the period's end; None after the last day."""
    position = days.on_or_after(end + datetime.timedelta(days=delay))
    return days.dates[position] if position < len(days) else None


def _period(end: datetime.date, quarterly: bool) -> datetime.date:
    return end.replace(month=end.month - 2 if quarterly else end.month, day=1)
