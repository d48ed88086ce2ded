"""Prices that may be mixed with one another, and the market group: bars, weekly returns, indices, beta.

The format's ``close`` is adjusted for dividends and splits, open, high and low for splits only; they are brought to the
close's footing by ``close / raw_close``. A file without ``raw_close`` claims that its four prices are adjusted alike. A
bar whose close lies outside [low, high] refutes that: for the next 252 bars open, high, low and what is made of them
are not available.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmrl_lib.market.features.catalogue import BETA_MINIMUM, DAILY_AGE, WINDOW, YEAR
from llmrl_lib.market.features.columns import (
    Array,
    Column,
    as_of,
    before,
    calculated,
    rows_before,
    windows,
    without_infinite,
)
from llmrl_lib.market.validation import RAW_CLOSE_SLACK


@dataclass(frozen=True)
class Prices:
    """A ticker's bars on one footing; arrays of (n,), NaN where not available."""

    dates: Array  # datetime64[us]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    traded: Array  # the price that was paid, adjusted for splits only: what per-share figures are compared with


def scaled_prices(bars: pd.DataFrame) -> Prices:
    """Bars with open, high and low on the footing of the dividend-adjusted close."""
    dates = bars.index.to_numpy("datetime64[us]")
    price = {name: bars[name].to_numpy("float64") for name in ("open", "high", "low", "close", "volume")}
    close = price["close"]
    if "raw_close" in bars:
        traded = bars["raw_close"].to_numpy("float64")
    else:
        refuted = (close < price["low"] * (1 - RAW_CLOSE_SLACK)) | (close > price["high"] * (1 + RAW_CLOSE_SLACK))
        so_far = np.cumsum(refuted)
        recent = so_far - np.concatenate([np.zeros(min(YEAR, len(so_far)), dtype=so_far.dtype), so_far[:-YEAR]])
        traded = np.where(recent > 0, np.nan, close)
    factor = close / traded
    scaled = {name: price[name] * factor for name in ("open", "high", "low")}
    return Prices(dates, **scaled, close=close, volume=price["volume"], traded=traded)


def market_fields(prices: Prices, indices: pd.DataFrame) -> dict[str, Column]:
    """The fields of the market group."""
    today = ("open", "high", "low", "close", "volume")
    found = {name: without_infinite(Column(getattr(prices, name), prices.dates)) for name in today}
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = 100.0 * (prices.volume / windows(prices.volume, WINDOW).mean(axis=0) - 1.0)
    found["volume_relative"] = without_infinite(Column(relative, prices.dates))
    for week in range(1, 5):
        newer = before(prices.close, 5 * week - 5)
        values = 100.0 * (newer / before(prices.close, 5 * week) - 1.0)
        found[f"return_week_{week}"] = without_infinite(Column(values, prices.dates))
    days = indices.index.to_numpy("datetime64[us]")
    for name in ("spx", "ndx"):
        for span in (1, 5, 20):
            found[f"{name}_return_{span}d"] = _index_change(prices.dates, days, indices, f"{name}_close", span, True)
    found["vix"] = as_of(prices.dates, days, indices["vix_close"].to_numpy("float64"), DAILY_AGE)
    found["vix_change_20d"] = _index_change(prices.dates, days, indices, "vix_close", 20, False)
    found["beta"] = _beta(prices, as_of(prices.dates, days, indices["spx_close"].to_numpy("float64"), DAILY_AGE))
    return found


def historical_volatility(prices: Prices) -> Array:
    """Sample standard deviation of the daily log returns of ``WINDOW`` days, annual, in percent."""
    returns = np.log(prices.close / before(prices.close, 1))
    return 100.0 * np.sqrt(YEAR) * windows(returns, WINDOW).std(axis=0, ddof=1)


def _index_change(dates: Array, days: Array, indices: pd.DataFrame, column: str, span: int, relative: bool) -> Column:
    """The change of an index over ``span`` of its own rows, in percent or in points."""
    levels = indices[column].to_numpy("float64")
    there = ~np.isnan(levels)
    days, levels = days[there], levels[there]
    old = rows_before(days, levels, span)
    return as_of(dates, days, 100.0 * (levels / old - 1.0) if relative else levels - old, DAILY_AGE)


def _beta(prices: Prices, spx: Column) -> Column:
    """Covariance over variance of the last year's pairs of daily returns, both from one bar of the ticker to the next."""
    stock = windows(prices.close / before(prices.close, 1) - 1.0, YEAR)
    market = windows(spx.values / before(spx.values, 1) - 1.0, YEAR)
    both = ~(np.isnan(stock) | np.isnan(market))
    count = both.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        stock = np.where(both, stock - np.where(both, stock, 0.0).sum(axis=0) / count, 0.0)
        market = np.where(both, market - np.where(both, market, 0.0).sum(axis=0) / count, 0.0)
        beta = (stock * market).sum(axis=0) / (market * market).sum(axis=0)
    enough = np.where(count >= BETA_MINIMUM, beta, np.nan)
    return calculated(enough, Column(prices.close, prices.dates))
