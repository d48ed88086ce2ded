"""The technical group: TA-Lib's indicators, and for each its slope and z-score over 20 days.

TA-Lib gives a NaN for ever after one missing input; here every unbroken run of inputs starts afresh instead.
"""

from collections.abc import Callable

import numpy as np
import talib

from llmrl_lib.market.features.catalogue import INDICATORS, LEVELS, WINDOW
from llmrl_lib.market.features.columns import Array, Column, before, windows, without_infinite
from llmrl_lib.market.features.prices import Prices

_STILL = 1e-9  # of the scale: a deviation below this is rounding, not movement


def technical_fields(prices: Prices) -> dict[str, Column]:
    """The fields of the technical group."""
    found = {}
    for name, values in indicators(prices).items():
        priced = INDICATORS[name][0] != "points"
        found[name] = values
        if name in LEVELS:
            found[f"{name}_gap"] = 100.0 * (prices.close / values - 1.0)
        elif priced:
            found[f"{name}_relative"] = 100.0 * values / prices.close
        recent = windows(values, WINDOW)
        found[f"{name}_slope"] = _slope(recent) * (100.0 / prices.close if priced else 1.0)
        found[f"{name}_zscore"] = _zscore(recent, prices.close if priced else np.full(len(values), 100.0))
    return {name: without_infinite(Column(values, prices.dates)) for name, values in found.items()}


def indicators(prices: Prices) -> dict[str, Array]:
    """The indicators themselves, by name; NaN where not available."""
    close = prices.close
    found = {f"sma_{days}": _by_run(lambda x, days=days: talib.SMA(x, days), close) for days in (20, 50, 100, 200)}
    moved = np.cumsum(np.abs(close - before(close, 1)) > 0.0) > 0
    found["rsi_14"] = np.where(moved, _by_run(lambda x: talib.RSI(x, 14), close), np.nan)  # TA-Lib says 0 for 0 / 0
    found["atr_14"] = _by_run(lambda high, low, close: talib.ATR(high, low, close, 14), prices.high, prices.low, close)
    for place, name in enumerate(("macd", "macd_signal", "macd_strength")):
        found[name] = _by_run(lambda x, place=place: talib.MACD(x, 12, 26, 9)[place], close)
    found["vwap_20"] = _vwap(prices)
    return found


def _by_run(indicator: Callable[..., Array], *inputs: Array) -> Array:
    """The indicator on every unbroken run of rows in which no input is NaN."""
    there = ~np.isnan(np.sum(inputs, axis=0))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    found = np.full(len(there), np.nan)
    for first, last in edges.reshape(-1, 2).tolist():
        found[first:last] = indicator(*(np.ascontiguousarray(values[first:last]) for values in inputs))
    return found


def _vwap(prices: Prices) -> Array:
    typical = windows((prices.high + prices.low + prices.close) / 3.0, WINDOW)
    volume = windows(np.where(np.isnan(prices.volume), 0.0, prices.volume), WINDOW)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (typical * volume).sum(axis=0) / volume.sum(axis=0)


def _slope(recent: Array) -> Array:
    """Least squares slope per row of windows (days, n)."""
    place = np.arange(len(recent)) - (len(recent) - 1) / 2.0
    return (place[:, None] * recent).sum(axis=0) / (place * place).sum()


def _zscore(recent: Array, scale: Array) -> Array:
    mean, deviation = recent.mean(axis=0), recent.std(axis=0, ddof=1)
    return (recent[-1] - mean) / np.where(deviation > _STILL * scale, deviation, np.nan)
