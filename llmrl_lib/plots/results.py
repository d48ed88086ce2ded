"""Figures across tickers: ours beside the published."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from llmrl_lib.plots.style import SINGLE, hollow, legend_below, panels, spread, style_of


def replication(
    sharpe: pd.DataFrame, published: Mapping[str, Mapping[str, float]], title: str, arm: str = "unguided"
) -> Figure:
    """Test Sharpe ratio per ticker: every seed, their mean, buy and hold, and published values as hollow markers.

    `sharpe` has columns ticker, arm, seed, sharpe_ratio; `published` maps a label to values by ticker.
    """
    tickers = list(dict.fromkeys(sharpe["ticker"]))
    rows = {ticker: len(tickers) - 1 - number for number, ticker in enumerate(tickers)}
    with panels(0.8 + 0.6 * len(tickers)) as (figure, (axes,)):
        style = style_of(arm)
        ours = sharpe[sharpe["arm"] == arm]
        heights = ours["ticker"].map(rows).to_numpy(float)
        axes.plot(
            ours["sharpe_ratio"], heights, "|", color=style.colour, markersize=13, mew=1.6, alpha=0.8, label=SINGLE
        )
        means = ours.groupby("ticker", sort=False)["sharpe_ratio"].mean()
        axes.plot(means, means.index.map(rows), "o", color=style.colour, markersize=8, label=f"{style.label}, mean")
        held = sharpe[sharpe["arm"] == "buy_and_hold"].set_index("ticker")["sharpe_ratio"]
        if len(held):
            look = style_of("buy_and_hold")
            axes.plot(
                held, held.index.map(rows), "x", color=look.colour, markersize=8, mew=2, zorder=6, label=look.label
            )
        shifts = spread(len(published))
        for number, (label, values) in enumerate(published.items()):
            known = [ticker for ticker in tickers if ticker in values]
            places = np.array([rows[ticker] for ticker in known], float) + shifts[number]
            hollow(axes, [values[ticker] for ticker in known], places, number, label if known else None)
        axes.axvline(0, color="#888888", linewidth=0.8)
        axes.set(title=title, xlabel="annual Sharpe ratio, test", yticks=list(rows.values()), yticklabels=list(rows))
        axes.set_ylim(-0.6, len(tickers) - 0.4)
        legend_below(figure)
    return figure


def sharpe_by_arm(sharpe: pd.DataFrame, title: str) -> Figure:
    """Test Sharpe ratio of every arm on every ticker: a row of markers per arm, and the mean over tickers as a line."""
    arms = list(dict.fromkeys(sharpe["arm"]))
    with panels(1.0 + 0.5 * len(arms)) as (figure, (axes,)):
        for number, arm in enumerate(arms):
            style, height = style_of(arm), len(arms) - 1 - number
            means = sharpe[sharpe["arm"] == arm].groupby("ticker", sort=False)["sharpe_ratio"].mean()
            axes.plot(means, np.full(len(means), height), "o", color=style.colour, alpha=0.6, label="one ticker")
            axes.plot([means.mean()], [height], "|", color=style.colour, markersize=26, mew=3)
        axes.axvline(0, color="#888888", linewidth=0.8)
        labels = [style_of(arm).label for arm in reversed(arms)]
        axes.set(title=title, xlabel="annual Sharpe ratio, test", yticks=range(len(arms)), yticklabels=labels)
        axes.set_ylim(-0.6, len(arms) - 0.4)
    return figure
