"""Figures of bars: price, volume, and how daily returns behave."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from llmrl_lib.plots.style import STYLES, dates_on, legend_below, mark_split, panels, percent

INK = STYLES["unguided"].colour


def price_and_volume(bars: pd.DataFrame, ticker: str, split: pd.Timestamp | None = None) -> Figure:
    """Adjusted close and volume over time; `split` marks where training ends and testing begins."""
    with panels(3.0, 1.3) as (figure, (price, volume)):
        price.plot(bars.index, bars["close"], color=INK, linewidth=1.2)
        price.set(title=f"{ticker}: adjusted close", ylabel="currency per share")
        volume.fill_between(bars.index, bars["volume"] / 1e6, color="#8A8A8A", linewidth=0, step="mid")
        volume.set(ylabel="million shares")
        if split is not None:
            mark_split((price, volume), split, bars.index[-1])
        dates_on(volume)
    return figure


def daily_returns(bars: pd.DataFrame, ticker: str) -> Figure:
    """The distribution of daily returns beside a normal one of the same mean and standard deviation, log scale."""
    returns = bars["close"].pct_change().dropna()
    with panels(2.7) as (figure, (axes,)):
        reach = float(returns.abs().max()) or 0.01  # of a price that never moves
        edges = np.linspace(-reach, reach, 62)
        axes.hist(returns, list(edges), color=INK, alpha=0.75, label=ticker)
        middle = (edges[1:] + edges[:-1]) / 2
        scale = returns.std() or np.nan  # no curve without deviation
        z = (middle - returns.mean()) / scale
        normal = len(returns) * np.diff(edges) * np.exp(-(z**2) / 2) / (scale * np.sqrt(2 * np.pi))
        axes.plot(middle, normal, color="#222222", linestyle="--", label="normal, same mean and deviation")
        axes.set(title=f"{ticker}: daily returns", xlabel="return of one day", ylabel="days", yscale="log")
        axes.set_ylim(0.7)
        axes.xaxis.set_major_formatter(percent)
        legend_below(figure)
    return figure


def memory(bars: pd.DataFrame, ticker: str, longest: int = 60) -> Figure:
    """Autocorrelation of returns and of their size, by lag in trading days, with the 95% band of independent returns."""
    returns = bars["close"].pct_change().dropna()
    lags = np.arange(1, min(longest, len(returns) - 2) + 1)
    limit = 1.96 / np.sqrt(len(returns))
    with panels(2.7) as (figure, (axes,)):
        axes.axhspan(-limit, limit, color="#CCCCCC", alpha=0.6, linewidth=0, label="95% if independent")
        for series, label, colour, dash in (
            (returns, "returns", "#222222", ":"),
            (returns.abs(), "absolute returns", INK, "-"),
        ):
            axes.plot(lags, [series.autocorr(int(lag)) for lag in lags], dash, color=colour, label=label)
        axes.set(title=f"{ticker}: memory", xlabel="lag, trading days", ylabel="autocorrelation")
        legend_below(figure, 3)
    return figure
