"""Figures of what is known about a ticker: which data there are, and the indicators made from its prices."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from llmrl_lib.plots.style import Style, dates_on, legend_below, mark_split, panels

INK = "#222222"
SHARES = (  # from which share of cells on: how it is called and drawn
    (0.0, "under half of the cells", "#C6DBEF"),
    (0.5, "half and more", "#6BAED6"),
    (0.9, "nearly all", "#08519C"),
)
LEVELS = {  # field: its look beside the close
    "sma_20": Style("mean of 20 days", "#56B4E9"),
    "sma_50": Style("50 days", "#0072B2", (0, (6, 1))),
    "sma_100": Style("100 days", "#E69F00", (0, (4, 1, 1, 1))),
    "sma_200": Style("200 days", "#D55E00", (0, (2, 1))),
    "vwap_20": Style("VWAP of 20 days", "#CC79A7", (0, (1, 1))),
}
OVERBOUGHT, OVERSOLD = 70, 30  # the usual levels of the relative strength index (Wilder 1978)


def coverage(table: pd.DataFrame, title: str) -> Figure:
    """What there is in each month: a row per part of a table, the darker the more of its cells have a value.

    `table` as `monthly_coverage` makes it: share of cells, NaN in months without a row.
    """
    bounds = [least for least, *_ in SHARES]
    steps = np.digitize(table.to_numpy(), bounds).astype(float)
    steps[table.isna().to_numpy() | (table.to_numpy() == 0.0)] = np.nan
    months = pd.DatetimeIndex(table.columns)
    edges = [float(date2num(month)) for month in (*months, months[-1] + pd.DateOffset(months=1))]
    with panels(0.7 + 0.2 * len(table)) as (figure, (axes,)):
        colours = ListedColormap([colour for *_, colour in SHARES])
        axes.pcolormesh(edges, np.arange(len(table) + 1) - 0.5, steps, cmap=colours, vmin=0.5, vmax=len(SHARES) + 0.5)
        axes.set_yticks(range(len(table)), list(table.index), fontsize=8.5)
        for row in np.arange(1, len(table)) - 0.5:
            axes.axhline(row, color="white", linewidth=1.5)
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        for _, label, colour in SHARES:
            axes.plot([], [], "s", color=colour, label=label)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_title(title)
        dates_on(axes)
        legend_below(figure, 3)
    return figure


def indicators(values: pd.DataFrame, title: str, split: pd.Timestamp) -> Figure:
    """Close, moving averages and VWAP; relative strength index; MACD with signal and strength; average true range.

    `values` are those of a feature table, any stretch of its dates. The test time, from `split` on, is shaded.
    """
    with panels(2.6, 1.1, 1.3, 1.0) as (figure, drawn):
        price, strength, trend, span = drawn
        price.plot(values.index, values["close"], color=INK, linewidth=0.9, label="adjusted close")
        for name, style in LEVELS.items():
            price.plot(values.index, values[name], color=style.colour, linestyle=style.dash, lw=1.2, label=style.label)
        strength.plot(values.index, values["rsi_14"], color="#0072B2", linewidth=0.9)
        for level in (OVERSOLD, OVERBOUGHT):
            strength.axhline(level, color="#888888", linewidth=0.8, linestyle=":")
        strength.set_ylim(0, 100)
        _macd(trend, values)
        span.plot(values.index, values["atr_14_relative"], color="#0072B2", linewidth=0.9)
        for axes, label, name in (
            (price, "currency per share", "close"),
            (strength, "RSI, points", "rsi_14"),
            (trend, "MACD,\ncurrency", "macd"),
            (span, "ATR,\n% of close", "atr_14_relative"),
        ):
            axes.set_ylabel(label)
            if values[name].isna().all():
                axes.text(0.5, 0.5, "not available", transform=axes.transAxes, ha="center", va="center")
                axes.set_yticks([])
        price.set_title(title)
        if values.index[0] < split <= values.index[-1]:
            mark_split(drawn, split, values.index[-1])
        price.set_xlim(float(date2num(values.index[0])), float(date2num(values.index[-1])))
        dates_on(span)
        figure.align_ylabels()
        legend_below(figure, 2)
    return figure


def _macd(axes: Axes, values: pd.DataFrame) -> None:
    axes.fill_between(
        values.index, values["macd_strength"], color="#8A8A8A", alpha=0.6, linewidth=0, label="MACD strength"
    )
    axes.plot(values.index, values["macd"], color="#009E73", linewidth=1.0, label="MACD")
    axes.plot(values.index, values["macd_signal"], color="#D55E00", linewidth=1.0, linestyle="--", label="its signal")
