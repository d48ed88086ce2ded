"""Figures of agents: learning, values, equity, drawdown and trades. Tables are those of a run's arms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from llmrl_lib.plots.style import (
    LONG_COLOUR,
    SHORT_COLOUR,
    band,
    by_seed,
    dates_on,
    hollow,
    legend_below,
    panels,
    share_axis,
    single_seeds,
    style_of,
    thousands,
    whole_numbers_on,
)

MANY_TRADES = 40  # more markers than these cannot be told apart over a whole split
DETAIL = pd.DateOffset(months=6)  # what a second panel shows then


def learning_curve(
    episodes: Mapping[str, pd.DataFrame],
    levels: Mapping[str, float],
    published: Mapping[str, float],
    title: str,
) -> Figure:
    """Test Sharpe ratio after each training episode.

    `episodes` holds a table per learned arm (columns seed, episode, test_sharpe), `levels` the Sharpe ratio of arms that do
    not learn, `published` values by label, drawn as hollow markers after the last episode.
    """
    with panels(3.2) as (figure, (axes,)):
        last = 1
        for arm, table in episodes.items():
            sharpe = by_seed(table, "episode", "test_sharpe")
            band(axes, sharpe.index, sharpe, style_of(arm))
            last = max(last, int(sharpe.index[-1]))
        for arm, level in levels.items():
            style = style_of(arm)
            axes.axhline(level, color=style.colour, linestyle=style.dash, label=style.label, linewidth=1.4)
        for number, (label, value) in enumerate(published.items()):
            hollow(axes, last * (1.03 + 0.04 * number), value, number, label)
        axes.set(title=title, xlabel="training episode", ylabel="annual Sharpe ratio, test")
        whole_numbers_on(axes)
        legend_below(figure)
    return figure


def q_values(episodes: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """What each arm's networks give to long and to short, mean over the test days, after each training episode.

    `episodes` holds a table per learned arm (columns seed, episode, q_long, q_short). The two panels of values share an
    axis that is cut to the later half of the episodes, where values have settled; the lowest shows each seed's own
    difference, which decides.
    """
    with panels(1.9, 1.9, 1.9) as (figure, (long, short, difference)):
        settled = []
        for arm, table in episodes.items():
            wide = {column: by_seed(table, "episode", column) for column in ("q_long", "q_short")}
            for axes, column in ((long, "q_long"), (short, "q_short")):
                band(axes, wide[column].index, wide[column], style_of(arm))
                settled.append(wide[column].iloc[len(wide[column]) // 2 :].to_numpy())
            band(difference, wide["q_long"].index, wide["q_long"] - wide["q_short"], style_of(arm))
        if settled:
            low, high = min(values.min() for values in settled), max(values.max() for values in settled)
            room = 0.08 * (high - low) or 0.001
            for axes in (long, short):
                axes.set_ylim(low - room, high + room)
        difference.axhline(0, color="#888888", linewidth=0.8)
        long.set(title=title, ylabel="Q of long")
        short.set(ylabel="Q of short")
        difference.set(xlabel="training episode", ylabel="long minus short")
        whole_numbers_on(difference)
        figure.align_ylabels()
        legend_below(figure)
    return figure


def equity_curves(paths: Mapping[str, pd.DataFrame], title: str, split: str = "test") -> Figure:
    """Equity over time: every seed thin and their mean bold for learned arms, one line for the others.

    `paths` holds trajectories by arm (columns seed, split, date, equity).
    """
    with panels(3.2) as (figure, (axes,)):
        _lines(axes, paths, split, "equity")
        axes.set(title=title, ylabel="equity, currency")
        thousands(axes)
        dates_on(axes)
        legend_below(figure)
    return figure


def drawdowns(paths: Mapping[str, pd.DataFrame], title: str, split: str = "test") -> Figure:
    """How far equity stands below its highest value so far, as a fraction, drawn downward.

    The bold line of an arm with several seeds is the mean of their drawdowns, not the drawdown of their mean equity.
    The cash before the first trade counts as a value, as it does in the metrics: the entry cost is a fall.
    """
    falls = {}
    for arm, table in paths.items():
        before = table.assign(equity=table["equity"] / (1 + table["daily_return"]))  # the day before
        cash = before.groupby(["seed", "split"])["equity"].transform("first")
        top = np.maximum(table.groupby(["seed", "split"])["equity"].cummax(), cash)
        falls[arm] = table.assign(drawdown=table["equity"] / top - 1)
    with panels(2.8) as (figure, (axes,)):
        _lines(axes, falls, split, "drawdown")
        axes.set(title=title, ylabel="below the highest so far")
        share_axis(axes)
        dates_on(axes)
        legend_below(figure)
    return figure


def trades(bars: pd.DataFrame, path: pd.DataFrame, title: str) -> Figure:
    """The price with one agent's positions shaded and its changes of side marked.

    `path` is one seed's trajectory on one split (columns date, position, trade_mark); `bars` are that split's. Where there
    are too many changes to be told apart, only a second panel marks them, over the months that have most.
    """
    made = int((path["trade_mark"] != 0).sum())
    many = made > MANY_TRADES
    with panels(*((2.4, 2.4) if many else (3.0,)), share_x=False) as (figure, drawn):
        for axes in drawn:
            axes.plot(bars.index, bars["close"], color="#222222", linewidth=1.1, label="adjusted close")
            _shade_positions(axes, path)
            axes.set(ylabel="currency per share")
            dates_on(axes)
        drawn[0].set(title=title)
        _mark_changes(drawn[-1], bars, path)
        if many:
            first, last, count = busiest(path)
            closes = bars.loc[first:last, "close"]
            room = 0.08 * (closes.max() - closes.min())
            drawn[1].set_xlim(float(date2num(first)), float(date2num(last)))
            drawn[1].set_ylim(closes.min() - room, closes.max() + room)
            told = f"the busiest six months: {count} of {made} changes of side"
            drawn[1].set_title(told, fontweight="normal", fontsize="medium")
        legend_below(figure, 3)
    return figure


def busiest(path: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp, int]:
    """First and last day of the months (DETAIL) with most changes of side, and their number.

    They do not reach beyond the path where it is as long.
    """
    days = pd.Series(pd.to_datetime(path["date"]).to_numpy())
    changes = pd.DatetimeIndex(days[(path["trade_mark"] != 0).to_numpy()])
    ends = days[days >= days.iloc[0] + DETAIL].to_list() or [days.iloc[-1]]
    counts = [int(((changes > end - DETAIL) & (changes <= end)).sum()) for end in ends]
    most = int(np.argmax(counts))
    return ends[most] - DETAIL, ends[most], counts[most]


def _shade_positions(axes: Axes, path: pd.DataFrame) -> None:
    """A span for every day's holding: from its close, at which it was taken, to the next row's."""
    start = date2num(pd.DatetimeIndex(path["date"]))
    length = np.append(np.diff(start), 1.0)
    for side, colour, label in ((1, LONG_COLOUR, "held long"), (-1, SHORT_COLOUR, "held short")):
        held = (path["position"] == side).to_numpy()
        axes.broken_barh(
            list(zip(start[held], length[held], strict=True)), (0, 1), transform=axes.get_xaxis_transform(),
            color=colour, alpha=0.22, linewidth=0, antialiased=False, label=label, zorder=0.5,
        )  # fmt: skip


def _mark_changes(axes: Axes, bars: pd.DataFrame, path: pd.DataFrame) -> None:
    dates = pd.DatetimeIndex(path["date"])
    closes = bars["close"].loc[dates]
    for mark, marker, colour, label in ((1, "^", LONG_COLOUR, "to long"), (-1, "v", SHORT_COLOUR, "to short")):
        made = (path["trade_mark"] == mark).to_numpy()
        axes.plot(dates[made], closes[made], marker, color=colour, markersize=6, markeredgewidth=0, label=label)


def _lines(axes: Axes, paths: Mapping[str, pd.DataFrame], split: str, column: str) -> None:
    for arm, table in paths.items():
        style, values = style_of(arm), by_seed(table[table["split"] == split], "date", column)
        seeds = values.shape[1]
        single_seeds(axes, values.index, values, style)
        label = style.label if seeds == 1 else f"{style.label}, mean of {seeds}"
        axes.plot(values.index, values.mean(axis=1), color=style.colour, linestyle=style.dash, label=label)
