"""How figures look: one palette and dash per arm, sizes that a phone and a desk can read, published values hollow.

Colours are those of Okabe and Ito (2008), told apart with every common colour vision; dashes and labels tell arms apart
without colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

WIDTH = 6.2  # inches; with 11 point letters readable at 360 pixels and not coarse at 700
LOW, HIGH = 0.1, 0.9  # quantiles over seeds that shaded bands show
BAND = "10% to 90% of seeds"
LONG_COLOUR, SHORT_COLOUR = "#009E73", "#D55E00"


@dataclass(frozen=True)
class Style:
    """How one arm is drawn everywhere."""

    label: str
    colour: str
    dash: Any = "-"


STYLES = {
    "unguided": Style("TDQN", "#0072B2"),
    "guided": Style("guided TDQN", "#D55E00"),
    "llm_only": Style("LLM only", "#009E73", (0, (6, 1))),
    "flag_trader": Style("FLAG-Trader", "#CC79A7", (0, (3, 1))),
    "placebo": Style("placebo", "#E69F00", (0, (1, 1))),
    "buy_and_hold": Style("buy and hold", "#222222", (0, (5, 2))),
    "sell_and_hold": Style("sell and hold", "#8A8A8A", (0, (1, 1.5))),
    "trend_following": Style("trend following", "#56B4E9", (0, (4, 1, 1, 1))),
    "mean_reversion": Style("mean reversion", "#B8860B", (0, (2, 1, 1, 1, 1, 1))),
}
PUBLISHED_MARKERS = ("o", "s", "D", "^")

_RC: dict[Any, Any] = {
    "figure.dpi": 160,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
}


def style_of(arm: str) -> Style:
    """The look of an arm; arms of a family (placebo_random, ...) share that of its first word, with their own label."""
    if arm in STYLES:
        return STYLES[arm]
    family = STYLES.get(arm.split("_")[0])
    label = arm.replace("_", " ")
    return Style(label, family.colour, family.dash) if family else Style(label, "#666666")


@contextmanager
def panels(*heights: float, share_x: bool = True) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of stacked panels with these heights in inches, drawn in the project's style and not shown twice."""
    with mpl.rc_context(_RC):
        figure, axes = plt.subplots(
            len(heights),
            1,
            figsize=(WIDTH, sum(heights)),
            sharex=share_x,
            squeeze=False,
            height_ratios=heights,
            layout="constrained",
        )
        yield figure, list(axes[:, 0])
        figure.draw_without_rendering()  # what is made on first drawing takes its style from here, too
        plt.close(figure)


def band(axes: Axes, x: Any, table: pd.DataFrame, style: Style, label: str | None = None) -> None:
    """The mean over the columns (seeds) of `table` as a line, and a band from the 10% to the 90% quantile."""
    axes.plot(x, table.mean(axis=1), color=style.colour, linestyle=style.dash, label=label or style.label)
    if table.shape[1] > 1:
        low, high = table.quantile(LOW, axis=1), table.quantile(HIGH, axis=1)
        axes.fill_between(x, low, high, color=style.colour, alpha=0.2, linewidth=0)


def hollow(axes: Axes, x: Any, y: Any, number: int, label: str | None) -> None:
    """Published values: hollow markers, their shape given by `number`."""
    marker = PUBLISHED_MARKERS[number % len(PUBLISHED_MARKERS)]
    axes.plot(x, y, marker, markerfacecolor="white", markeredgecolor="black", markersize=8, label=label, zorder=5)


def legend_below(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """One legend under the figure, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.22 * -(-len(unique) // columns))
    figure.legend(list(unique.values()), list(unique), loc="outside lower center", ncols=columns)


def dates_on(axes: Axes) -> None:
    """Few, short dates along the bottom."""
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def whole_numbers_on(axes: Axes) -> None:
    """Only whole numbers along the bottom."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def by_seed(table: pd.DataFrame, index: str, column: str) -> pd.DataFrame:
    """`column` as a table with a row per `index` and a column per seed."""
    return table.pivot(index=index, columns="seed", values=column)


def share_axis(axes: Axes) -> None:
    """Fractions as percentages along the side."""
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def thousands(axes: Axes) -> None:
    """Money in thousands along the side."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")


def spread(count: int) -> np.ndarray:
    """Small vertical offsets for `count` markers of one row, centred on 0."""
    return np.linspace(-0.27, 0.27, count) if count > 1 else np.zeros(count)
