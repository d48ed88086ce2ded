"""Bars and indices: from returns to prices, with dividends, splits, intraday ranges and volume, as vendors give them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import Generator

from llmrl_lib.market.synthetic.companies import Company
from llmrl_lib.market.synthetic.days import Days, bond_holidays, month_begins
from llmrl_lib.market.synthetic.draws import normal

LARGEST_MOVE = 0.35  # of a day's return
JUMP = 2.5  # standard deviation of the jump after an announcement, in daily standard deviations of the company


@dataclass(frozen=True)
class Prices:
    """Bars of one company on the published days; prices as ``book/dataset_format.md`` says."""

    columns: dict[str, np.ndarray]
    splits: tuple[tuple[int, int], ...]  # position among the published days, new shares for an old one

    @property
    def split_factor(self) -> int:
        """Shares at the end for one at the beginning."""
        factor = 1
        for _, ratio in self.splits:
            factor *= ratio
        return factor


def company_bars(
    source: Generator, days: Days, company: Company, total: np.ndarray, expected_variance: np.ndarray
) -> Prices:
    """Bars from total returns; ``expected_variance`` of the company's own part sets the range of a day."""
    published = days.published
    total = np.round(np.clip(total, -LARGEST_MOVE, LARGEST_MOVE), 8)[days.start :]
    spread = np.sqrt(expected_variance)[days.start :]
    payout = np.where(ex_dividend(published), company.dividend_yield / 4.0, 0.0)  # share of the previous close
    raw_close, factors, splits = _paid_prices(company, total - payout, month_begins(published))
    previous = np.concatenate([[company.first_price / factors[0]], raw_close[:-1]]) * (1.0 - payout)
    gap, up, down, crowd = normal(source, 4, len(days))[:, days.start :]
    opening = np.round(previous * (1.0 + np.clip(0.3 * total + 0.3 * spread * gap, -0.3, 0.3)), 4)
    high = np.round(np.maximum(opening, raw_close) * (1.0 + 0.4 * spread * np.abs(up)), 4)
    low = np.round(np.minimum(opening, raw_close) * (1.0 - np.minimum(0.4 * spread * np.abs(down), 0.3)), 4)
    excitement = 1.0 + 0.08 * crowd + 3.0 * np.abs(total)
    traded = company.shares_traded * factors[0] / factors  # a split multiplies what trades: adjusted volume goes on
    paid_volume = np.round(traded * excitement**2 * excitement**2 / 100.0) * 100.0
    later = np.concatenate([np.cumprod((1.0 - payout)[::-1])[::-1][1:], [1.0]])  # dividends still to come
    columns = {"open": opening, "high": high, "low": low, "close": np.round(raw_close * later, 4)}
    return Prices({**columns, "volume": paid_volume * factors, "raw_close": raw_close}, splits)


def _paid_prices(
    company: Company, returns: np.ndarray, begins: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[tuple[int, int], ...]]:
    """Closes adjusted for splits, the factor by which each was divided, and the splits: decided at a month's end."""
    price, ratio, quoted, ratios, splits = company.first_price, 1, [], [], []
    for day, change in enumerate(returns.tolist()):
        if begins[day] and price > company.split_above:
            price, ratio = price / company.split_into, ratio * company.split_into
            splits.append((day, company.split_into))
        price = round(price * (1.0 + change), 4)
        quoted.append(price)
        ratios.append(ratio)
    factors = ratio / np.array(ratios, dtype=float)
    return np.round(np.array(quoted) / factors, 4), factors, tuple(splits)


def ex_dividend(dates: pd.DatetimeIndex) -> np.ndarray:
    """True on the first trading day of each February, May, August and November."""
    return month_begins(dates) & np.isin(dates.month.to_numpy(), (2, 5, 8, 11))


def index_columns(
    source: Generator, days: Days, market_returns: np.ndarray, expected_variance: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns of indices.csv on the published days, and the two-year yield on all of them under ``_dgs2``."""
    noise = normal(source, 4, len(days))
    broad = np.round(np.clip(market_returns, -LARGEST_MOVE, LARGEST_MOVE), 8)[days.start :]
    tech = np.clip(1.1 * market_returns + 0.003 * noise[0], -LARGEST_MOVE, LARGEST_MOVE)
    fear = np.sqrt(252.0 * expected_variance)  # volatility a year, as a share
    vix = 100.0 * fear * 1.1 * (1.0 + np.clip(0.04 * noise[1], -0.3, 0.3))
    short, long = _yields(noise[2], noise[3])
    closed = bond_holidays(days.all)
    later = slice(days.start, None)
    return {
        "spx_close": np.round(1280.0 * np.cumprod(1.0 + broad), 2),
        "ndx_close": np.round(2320.0 * np.cumprod(1.0 + np.round(tech, 8)[later]), 2),
        "vix_close": np.round(vix, 2)[later],
        "dgs10": np.where(closed, np.nan, long)[later],
        "dgs2": np.where(closed, np.nan, short)[later],
        "t10y2y": np.where(closed, np.nan, np.round(long - short, 2))[later],
        "_dgs2": short,
    }


def _yields(short_noise: np.ndarray, slope_noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two- and ten-year yields in percent: a level and a slope that are slowly drawn to 1.5 and 1.0."""
    short, slope, pairs = 0.6, 1.6, []
    for first, second in zip(short_noise.tolist(), slope_noise.tolist(), strict=True):
        short = max(0.05, short + 0.0008 * (1.5 - short) + 0.03 * first)
        slope = slope + 0.0015 * (1.0 - slope) + 0.03 * second
        pairs.append((short, short + slope))
    both = np.round(np.array(pairs), 2)
    return both[:, 0], both[:, 1]
