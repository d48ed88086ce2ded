"""Figures of agents: learning, values, equity, drawdown and trades. Tables are those of a run's arms."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmrl_lib.plots.style import (
    BAND,
    LONG_COLOUR,
    SHORT_COLOUR,
    Style,
    band,
    by_seed,
    dates_on,
    hollow,
    legend_below,
    panels,
    share_axis,
    style_of,
    thousands,
    whole_numbers_on,
)

MANY_TRADES = 60  # from here on markers shrink


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
        axes.set(title=title, xlabel=f"training episode (band: {BAND})", ylabel="annual Sharpe ratio, test")
        whole_numbers_on(axes)
        legend_below(figure, axes)
    return figure


def q_values(episodes: pd.DataFrame, title: str) -> Figure:
    """The mean value that the network gives to long and to short over the test days, after each training episode."""
    with panels(2.8) as (figure, (axes,)):
        for column, label, colour, dash in (
            ("q_long", "long", LONG_COLOUR, "-"),
            ("q_short", "short", SHORT_COLOUR, (0, (5, 2))),
        ):
            values = by_seed(episodes, "episode", column)
            band(axes, values.index, values, Style(f"Q of {label}", colour, dash))
        axes.set(title=title, xlabel=f"training episode (band: {BAND})", ylabel="discounted clipped reward")
        whole_numbers_on(axes)
        legend_below(figure, axes)
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
        legend_below(figure, axes)
    return figure


def drawdowns(paths: Mapping[str, pd.DataFrame], title: str, split: str = "test") -> Figure:
    """How far equity stands below its highest value so far, as a fraction, drawn downward."""
    falls = {}
    for arm, table in paths.items():
        top = table.groupby(["seed", "split"])["equity"].cummax()
        falls[arm] = table.assign(drawdown=table["equity"] / top - 1)
    with panels(2.8) as (figure, (axes,)):
        _lines(axes, falls, split, "drawdown")
        axes.set(title=title, ylabel="below the highest so far")
        share_axis(axes)
        dates_on(axes)
        legend_below(figure, axes)
    return figure


def trades(bars: pd.DataFrame, path: pd.DataFrame, title: str) -> Figure:
    """The price with one agent's positions shaded and its changes of side marked.

    `path` is one seed's trajectory on one split (columns date, position, trade_mark); `bars` are that split's.
    """
    dates = pd.DatetimeIndex(path["date"])
    size = 6 if (path["trade_mark"] != 0).sum() <= MANY_TRADES else 3  # points
    closes = bars["close"].loc[dates]
    with panels(3.2) as (figure, (axes,)):
        axes.plot(bars.index, bars["close"], color="#222222", linewidth=1.1, label="adjusted close")
        for side, colour, label in ((1, LONG_COLOUR, "held long"), (-1, SHORT_COLOUR, "held short")):
            held = (path["position"] == side).to_numpy()
            axes.fill_between(
                dates, 0, 1, where=held, transform=axes.get_xaxis_transform(), color=colour, alpha=0.14, linewidth=0,
                label=label, step="post",
            )  # fmt: skip
        for mark, marker, colour, label in ((1, "^", LONG_COLOUR, "to long"), (-1, "v", SHORT_COLOUR, "to short")):
            made = (path["trade_mark"] == mark).to_numpy()
            axes.plot(dates[made], closes[made], marker, color=colour, markersize=size, markeredgewidth=0, label=label)
        axes.set(title=title, ylabel="currency per share")
        dates_on(axes)
        legend_below(figure, axes, 3)
    return figure


def _lines(axes: Axes, paths: Mapping[str, pd.DataFrame], split: str, column: str) -> None:
    for arm, table in paths.items():
        style, values = style_of(arm), by_seed(table[table["split"] == split], "date", column)
        if values.shape[1] > 1:
            axes.plot(values.index, values, color=style.colour, alpha=0.25, linewidth=0.7)
            label = f"{style.label}, mean of {values.shape[1]} seeds"
        else:
            label = style.label
        axes.plot(values.index, values.mean(axis=1), color=style.colour, linestyle=style.dash, label=label)
