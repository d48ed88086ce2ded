"""Figures of guided agents: advice and trades on the price, and what advice is worth by how often it is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from llmrl_lib.plots.agents import MANY_TRADES, busiest
from llmrl_lib.plots.style import FEW, LONG_COLOUR, SHORT_COLOUR, dates_on, legend_below, panels

AVERAGES = {20: "#56B4E9", 50: "#0072B2", 200: "#B8860B"}  # rows: colour
SIDES = ((1, "^", LONG_COLOUR, "long"), (-1, "v", SHORT_COLOUR, "short"))
TICKERS = (  # colour, marker and dash of a ticker where lines are of tickers
    ("#0072B2", "o", "-"), ("#D55E00", "s", (0, (6, 1))), ("#009E73", "^", (0, (3, 1))), ("#7A3E9D", "D", (0, (1, 1))),
    ("#B8860B", "v", (0, (4, 1, 1, 1))), ("#222222", "P", (0, (2, 1, 1, 1, 1, 1))),
)  # fmt: skip
NEUTRAL = "#888888"


def advice_and_trades(
    bars: pd.DataFrame, path: pd.DataFrame, signal: pd.Series, title: str, history: pd.DataFrame | None = None
) -> Figure:
    """The price with moving averages, an agent's trades (hollow) and the monthly advice (filled), and the signal's strength.

    `bars` are those of the split and `path` one seed's trajectory on it (columns date, position, trade_mark). `signal` holds
    the interaction term in [-1, 1] by date of decision. `history` are the bars before, for the averages. Trades that are too
    many to be told apart are marked in a panel of the six months that have most.
    """
    made = int((path["trade_mark"] != 0).sum())
    many = made > MANY_TRADES
    decided = signal[(signal.index >= bars.index[0]) & (signal.index <= bars.index[-1])]
    every = bars if history is None else pd.concat([history, bars])
    with panels(*((2.6, 2.2, 1.2) if many else (2.9, 1.2)), share_x=False) as (figure, drawn):
        priced, strength = drawn[:-1], drawn[-1]
        for axes in priced:
            axes.plot(bars.index, bars["close"], color="#222222", linewidth=1.1, label="adjusted close")
            for rows, colour in AVERAGES.items():
                mean = every["close"].rolling(rows).mean().reindex(bars.index)
                axes.plot(mean.index, mean, color=colour, linewidth=0.9, label=f"mean of {rows} days")
            _mark_advice(axes, bars, decided)
            axes.set(ylabel="currency per share")
        _mark_trades(priced[-1], bars, path)
        if many:
            first, last, count = busiest(path)
            closes = bars.loc[first:last, "close"]
            room = 0.12 * float(closes.max() - closes.min())
            priced[-1].set_xlim(float(date2num(first)), float(date2num(last)))
            priced[-1].set_ylim(closes.min() - room, closes.max() + room)
            told = f"the busiest six months: {count} of the agent's {made} changes of side"
            priced[-1].set_title(told, fontweight="normal", fontsize="medium")
        _draw_signal(strength, bars, decided)
        drawn[0].set(title=title)
        strength.set_xlim(drawn[0].get_xlim())
        for axes in drawn:
            dates_on(axes)
        figure.align_ylabels()
        legend_below(figure)
    return figure


def value_of_advice(curve: pd.DataFrame, title: str) -> Figure:
    """Guided less unguided test Sharpe ratio by how often the adviser is right: a line per ticker (HINDSIGHT).

    `curve` as of `experiments.comparisons.value_of_advice`. Above the final policies, below each seed's mean over the later
    half of its training, which wanders less. Shaded: 95% interval over seeds of the mean difference. Whiskers: 95% interval
    over days, where it is known, which is what two years of one price path leave open.
    """
    tickers = list(dict.fromkeys(curve["ticker"]))
    later = bool(curve["later_difference"].notna().any())
    with panels(*((3.0, 2.4) if later else (3.4,))) as (figure, drawn):
        for number, ticker in enumerate(tickers):
            own = curve[curve["ticker"] == ticker].sort_values("hit_rate")
            colour, marker, dash = TICKERS[number % len(TICKERS)]
            rate = 100 * own["hit_rate"].to_numpy(np.float64)
            label = f"{ticker}, unguided {own['base_mean'].mean():.2f}"
            for axes, start in zip(drawn, ("", "later_"), strict=False):
                low, high, mean = (own[f"{start}{name}"] for name in ("low", "high", "difference"))
                axes.fill_between(rate, low, high, color=colour, alpha=0.2, linewidth=0)
                axes.plot(rate, mean, color=colour, marker=marker, markersize=5, linestyle=dash, label=label)
            apart = rate + 0.6 * (number - (len(tickers) - 1) / 2)
            drawn[0].vlines(apart, own["path_low"], own["path_high"], color=colour, linewidth=0.9, alpha=0.75)
        drawn[0].fill_between([], [], color=NEUTRAL, alpha=0.2, linewidth=0, label="95% over seeds")
        if curve["path_low"].notna().any():
            drawn[0].vlines([], [], [], color=NEUTRAL, linewidth=0.9, label="95% over days")
        for axes, what in zip(drawn, ("final policies", "later half of training"), strict=False):
            axes.axhline(0, color="#222222", linewidth=0.9)
            axes.axvline(50, color=NEUTRAL, linewidth=0.8, linestyle=(0, (1, 1)), label="a coin")
            axes.set_ylabel(f"guided less unguided,\n{what}")
        drawn[0].set(title=title)
        drawn[-1].set_xlabel("months in which the oracle is right, % (hindsight)")
        figure.align_ylabels()
        legend_below(figure)
    return figure


def differences(tables: Mapping[str, pd.DataFrame], title: str, xlabel: str = "difference of Sharpe ratios") -> Figure:
    """Differences of arms with their intervals, a row per label and ticker: thick over seeds (FEW or more), thin over days.

    `tables` holds by label rows of `experiments.comparisons.comparison_table`.
    """
    rows: list[tuple[str, Any]] = [
        (f"{label}, {one.ticker}", one) for label, table in tables.items() for one in table.itertuples(index=False)
    ]
    tickers = list(dict.fromkeys(one.ticker for _, one in rows))
    with panels(0.9 + 0.26 * len(rows)) as (figure, (axes,)):
        for number, (_, one) in enumerate(rows):
            height = len(rows) - 1 - number
            colour, marker, _ = TICKERS[tickers.index(one.ticker) % len(TICKERS)]
            axes.plot([one.path_low, one.path_high], [height] * 2, color=colour, linewidth=0.9, label="95% over days")
            if one.seeds >= FEW:
                axes.plot(
                    [one.low, one.high], [height] * 2, color=colour, linewidth=3.2, alpha=0.6, label="95% over seeds"
                )
            axes.plot(one.difference, height, marker, color=colour, markersize=6, label="mean difference")
        axes.axvline(0, color="#222222", linewidth=0.9)
        axes.set(title=title, xlabel=xlabel, yticks=range(len(rows)), yticklabels=[name for name, _ in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        legend_below(figure, 3)
    return figure


def _mark_advice(axes: Axes, bars: pd.DataFrame, signal: pd.Series) -> None:
    """A filled arrow at the close of each decision, a little away from the price: below for long, above for short."""
    room = 0.05 * float(bars["close"].max() - bars["close"].min())
    for side, marker, colour, label in SIDES:
        own = signal[np.where(signal >= 0, 1, -1) == side]
        heights = bars["close"].reindex(own.index) - side * room
        axes.plot(
            own.index,
            heights,
            marker,
            color=colour,
            markersize=6,
            markeredgewidth=0,
            zorder=4,
            label=f"advice: {label}",
        )


def _mark_trades(axes: Axes, bars: pd.DataFrame, path: pd.DataFrame) -> None:
    dates = pd.DatetimeIndex(path["date"])
    closes = bars["close"].loc[dates]
    for side, marker, colour, label in SIDES:
        made = (path["trade_mark"] == side).to_numpy()
        axes.plot(
            dates[made], closes[made], marker, markerfacecolor="none", markeredgecolor=colour, markersize=7,
            markeredgewidth=1.1, zorder=5, label=f"agent: to {label}",
        )  # fmt: skip


def _draw_signal(axes: Axes, bars: pd.DataFrame, signal: pd.Series) -> None:
    """A bar per decision, from it to the next one: as high as the advice is strong, on the side that it names."""
    starts = date2num(signal.index)
    ends = np.append(starts[1:], float(date2num(bars.index[-1])))
    colours = [LONG_COLOUR if value >= 0 else SHORT_COLOUR for value in signal]
    axes.bar(starts, signal, ends - starts, align="edge", color=colours, alpha=0.55, linewidth=0)
    axes.axhline(0, color=NEUTRAL, linewidth=0.8)
    axes.set(ylabel="signal I", ylim=(-1.05, 1.05))
