"""Quarterly reports and earnings announcements of an invented company, consistent from revenue to ratios.

Growth of revenue over the same quarter a year before shows the company's channel as it stood at the quarter's last close:
``revenue_yoy = growth + 0.05 y``. Margins and ratios follow the same value with noise of their own. The earnings
surprise shows another channel at the day of announcement, with noise n that the price jumps by on the next day::

    surprise_pct = 3 + 5 (y + 0.5 n),     jump = 2.5 sd_e n
"""

import datetime
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from llmrl_lib.market.synthetic.companies import Company
from llmrl_lib.market.synthetic.days import Days, month_ends
from llmrl_lib.market.synthetic.draws import normal, uniform
from llmrl_lib.market.synthetic.world import SURPRISE_NOISE

GROWTH_SLOPE = 0.05  # of revenue_yoy, per unit of the channel
SURPRISE_MEAN, SURPRISE_SLOPE = 3.0, 5.0  # percent; per unit of channel and noise
_LEAST_SURPRISE = -60.0
_SHARES_PER_TRADED = 130.0
_PRICE_TO_EARNINGS = 20.0  # at the beginning
_TAX = 0.21


@dataclass(frozen=True)
class Announcements:
    """When a company's quarters end and are announced, and the surprise beyond what the channel says."""

    ends: tuple[datetime.date, ...]
    positions: np.ndarray  # trading days of the announcements, made after the close
    noise: np.ndarray  # n

    def jumps(self, days: Days) -> np.ndarray:
        """n on the day after each announcement, 0 on all others; shape (days,)."""
        jumps = np.zeros(len(days))
        reacting = self.positions + 1
        jumps[reacting[reacting < len(days)]] = self.noise[reacting < len(days)]
        return jumps


def announcements_of(source: Generator, days: Days) -> Announcements:
    """Announcements three to seven weeks after calendar quarters, later after the fourth."""
    ends = month_ends(days.dates[0], days.dates[-1], months=3)
    usual, *more = uniform(source, 1 + len(ends)).tolist()
    delays = [
        21 + int(18 * usual) + int(5 * draw) + 7 * (end.month == 12) for end, draw in zip(ends, more, strict=True)
    ]
    positions = [
        days.on_or_after(end + datetime.timedelta(days=delay)) for end, delay in zip(ends, delays, strict=True)
    ]
    noise = normal(source, len(ends))
    made = [number for number, position in enumerate(positions) if position < len(days)]
    return Announcements(tuple(ends[number] for number in made), np.array([positions[n] for n in made]), noise[made])


def report_columns(
    source: Generator, days: Days, company: Company, split_factor: int, made: Announcements, channel: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns of fundamentals.csv but for the dates, a row per announcement; ``channel`` has shape (days,)."""
    shown = channel[[days.at(end) for end in made.ends]]
    character = uniform(source, 5).tolist()
    noise = normal(source, 8, len(shown) + 4)
    quarters = np.concatenate([np.zeros(4), shown])  # a year before the first report, without news
    gross = np.clip(0.30 + 0.35 * character[0] + 0.008 * quarters + 0.010 * noise[0], 0.10, 0.90)
    operating = np.clip(gross * (0.35 + 0.2 * character[1]) + 0.008 * noise[1], 0.02, 0.60)
    shares = company.shares_traded * _SHARES_PER_TRADED
    yearly_income = company.first_price * shares / _PRICE_TO_EARNINGS
    season = 1.0 + 0.15 * (character[2] - 0.5) * np.array([-1.0, 0.0, -0.5, 1.5])
    base = season * yearly_income / 4.0 / ((1.0 - _TAX) * float(np.mean(operating[:4])))
    growth = np.maximum(-0.4, company.growth + GROWTH_SLOPE * shown)
    revenue = np.concatenate([np.round(base / 1e3) * 1e3, np.zeros(len(shown))])
    for number, change in enumerate(growth.tolist()):
        revenue[number + 4] = np.round(revenue[number] * (1.0 + change) / 1e3) * 1e3
    income = np.round(revenue * operating * (1.0 - _TAX) / 1e3) * 1e3
    equity = np.round((yearly_income * (3.0 + 4.0 * character[3]) + 0.6 * np.cumsum(income)) / 1e3) * 1e3
    burden = np.clip(0.6 + 1.6 * character[4] - 0.02 * quarters + 0.05 * noise[2], 0.2, 4.0)
    liabilities = np.round(equity * burden / 1e3) * 1e3
    debt = np.clip(0.35 * burden + 0.02 * noise[3], 0.02, None)
    current = np.clip(1.7 + 0.06 * quarters + 0.12 * noise[4], 0.6, None)
    interest = 0.011 * debt * equity
    columns = {
        "revenue": revenue,
        "net_income": income,
        "reported_eps": np.round(income / (shares * split_factor), 4),
        "ebitda": np.round(revenue * (operating + 0.04) / 1e3) * 1e3,
        "assets": equity + liabilities,
        "liabilities": liabilities,
        "equity": equity,
        "current_ratio": current,
        "quick_ratio": current * np.clip(0.8 + 0.03 * noise[5], 0.4, 0.98),
        "lt_debt_to_equity": debt,
        "liabilities_to_equity": liabilities / equity,
        "gross_margin": gross,
        "operating_margin": operating,
        "net_margin": income / revenue,
        "interest_coverage": np.clip(revenue * operating / interest, -1e4, 1e4),
        "roe_ttm": _last_four(income) / equity,
        "roa_ttm": _last_four(income) / (equity + liabilities),
        "revenue_yoy": _over_year(revenue),
        "net_income_yoy": _over_year(income),
    }
    return {name: np.round(values[4:], decimals_of(name)) for name, values in columns.items()}


def earnings_columns(reported_eps: np.ndarray, made: Announcements, channel: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of earnings.csv but for the dates, a row per announcement; ``channel`` has shape (days,)."""
    meant = SURPRISE_MEAN + SURPRISE_SLOPE * (channel[made.positions] + SURPRISE_NOISE * made.noise)
    estimated = np.round(reported_eps / (1.0 + np.maximum(meant, _LEAST_SURPRISE) / 100.0), 4)
    surprise = np.round(reported_eps - estimated, 4)
    return {
        "reported_eps": reported_eps,
        "estimated_eps": estimated,
        "surprise": surprise,
        "surprise_pct": np.round(100.0 * surprise / estimated, 4),
    }


def decimals_of(metric: str) -> int:
    """Decimal places in which a metric is published."""
    whole = ("revenue", "net_income", "ebitda", "assets", "liabilities", "equity")
    return 0 if metric in whole else 4 if metric == "reported_eps" else 6


def _last_four(quarters: np.ndarray) -> np.ndarray:
    """Sums over four quarters, from the first quarter that has three before it; nan before."""
    sums = quarters[3:] + quarters[2:-1] + quarters[1:-2] + quarters[:-3]
    return np.concatenate([np.full(3, np.nan), sums])


def _over_year(quarters: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full(4, np.nan), quarters[4:] / quarters[:-4] - 1.0])
