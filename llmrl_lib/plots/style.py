"""How figures look: one palette and dash per arm, sizes that a phone and a desk can read, published values hollow.

Colours are those of Okabe and Ito (2008), told apart with every common colour vision; dashes and labels tell arms apart
without colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import MONTHLY, SECONDLY, AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 5.0  # inches; 10 point letters are 9 pixels high on a phone, where a figure is about 330 pixels wide
LOW, HIGH = 0.1, 0.9  # quantiles over seeds that shaded bands show
FEW = 5  # fewer seeds than these have no quantiles: they are drawn one by one
SINGLE = "single seeds"
LONG_COLOUR, SHORT_COLOUR = "#009E73", "#D55E00"


@dataclass(frozen=True)
class Style:
    """How one arm is drawn everywhere."""

    label: str
    colour: str
    dash: Any = "-"


STYLES = {
    "unguided": Style("TDQN, unguided", "#0072B2"),
    "guided": Style("TDQN, guided", "#D55E00"),
    "llm_only": Style("LLM only", "#009E73", (0, (6, 1))),
    "flag_trader": Style("FLAG-Trader", "#CC79A7", (0, (3, 1))),
    "flag_trader_untrained": Style("FLAG-Trader, untrained", "#8C2D5B", (0, (1, 1))),
    "flag_trader_random": Style("FLAG-Trader, random weights", "#E7A8CF", (0, (5, 1, 1, 1))),
    "ppo_numbers": Style("PPO on numbers", "#4B6A88", (0, (3, 1, 1, 1))),
    "placebo": Style("placebo", "#E69F00", (0, (1, 1))),
    "oracle": Style("oracle (hindsight)", "#7A3E9D", (0, (2, 1))),
    "buy_and_hold": Style("buy and hold", "#222222", (0, (5, 2))),
    "sell_and_hold": Style("sell and hold", "#8A8A8A", (0, (1, 1.5))),
    "trend_following": Style("trend following", "#56B4E9", (0, (4, 1, 1, 1))),
    "mean_reversion": Style("mean reversion", "#B8860B", (0, (2, 1, 1, 1, 1, 1))),
}
PUBLISHED_MARKERS = ("o", "s", "D", "^")

_RC: dict[Any, Any] = {
    "figure.dpi": 200,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 1.8,
}


def style_of(arm: str) -> Style:
    """The look of an arm; arms of a family (placebo_random, ...) share that of its first word, with their own label."""
    if arm in STYLES:
        return STYLES[arm]
    first, _, rest = arm.partition("_")
    family = STYLES.get(first)
    label = arm.replace("_", " ")
    if first == "oracle" and rest.isdigit():
        label = f"oracle, right {int(rest)}% (hindsight)"
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


def band(axes: Axes, x: Any, table: pd.DataFrame, style: Style) -> None:
    """The mean over the columns (seeds) of `table` as a line, with a band from the 10% to the 90% quantile.

    Fewer than FEW seeds are drawn one by one instead: quantiles of so few would be made up between them.
    """
    if table.shape[1] >= FEW:
        low, high = table.quantile(LOW, axis=1), table.quantile(HIGH, axis=1)
        axes.fill_between(x, low, high, color=style.colour, alpha=0.2, linewidth=0, label="10% to 90% of seeds")
    else:
        single_seeds(axes, x, table, style)
    axes.plot(x, table.mean(axis=1), color=style.colour, linestyle=style.dash, label=style.label)


def single_seeds(axes: Axes, x: Any, table: pd.DataFrame, style: Style) -> None:
    """Each column (seed) of `table` as a thin line; a single one is left to the line of the mean."""
    if table.shape[1] > 1:
        lines = axes.plot(x, table, color=style.colour, alpha=0.55, linewidth=0.9)
        lines[0].set_label(SINGLE)


def hollow(axes: Axes, x: Any, y: Any, number: int, label: str | None) -> None:
    """Published values: hollow markers, their shape given by `number`."""
    marker = PUBLISHED_MARKERS[number % len(PUBLISHED_MARKERS)]
    axes.plot(x, y, marker, markerfacecolor="white", markeredgecolor="black", markersize=8, label=label, zorder=5)


def legend_below(figure: Figure, columns: int = 2) -> None:
    """One legend for all panels under the figure, where it covers nothing; what is named alike is named once."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.22 * -(-len(named) // columns))
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns)


def dates_on(axes: Axes) -> None:
    """Few, short dates along the bottom; the first one tells its year."""
    locator = AutoDateLocator(
        minticks=3, maxticks={**dict.fromkeys(range(SECONDLY + 1), 6), MONTHLY: 7}
    )  # 31 to 35 months
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_Dates(locator))


def mark_split(drawn: Sequence[Axes], split: pd.Timestamp, last: pd.Timestamp) -> None:
    """Shade the test time, from `split` to `last`, in panels with dates along the bottom; name both sides in the first."""
    first = float(date2num(split))
    for axes in drawn:
        axes.axvspan(first, float(date2num(last)), color=LONG_COLOUR, alpha=0.12, linewidth=0)
    drawn[0].margins(y=0.13)  # room for the names
    for text, side in ((" test", "left"), ("training ", "right")):
        drawn[0].text(first, 0.98, text, transform=drawn[0].get_xaxis_transform(), va="top", ha=side)


def whole_numbers_on(axes: Axes) -> None:
    """Only whole numbers along the bottom."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def by_seed(table: pd.DataFrame, index: str, column: str) -> pd.DataFrame:
    """`column` as a table with a row per `index` and a column per seed."""
    return table.pivot(index=index, columns="seed", values=column)


def share_axis(axes: Axes) -> None:
    """Fractions as percentages along the side."""
    axes.yaxis.set_major_formatter(percent)


def percent(value: float, _: object = None) -> str:
    """A fraction as a percentage with as many digits as it needs: a tick at 2.5% says so."""
    return f"{round(100 * value, 6) + 0.0:g}%"


def thousands(axes: Axes) -> None:
    """Money in thousands along the side, with as many digits as a tick needs."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{round(value / 1000, 6):,.6g}k" if value else "0")


def spread(count: int) -> np.ndarray:
    """Small vertical offsets for `count` markers of one row, centred on 0."""
    return np.linspace(-0.27, 0.27, count) if count > 1 else np.zeros(count)


class _Dates(ConciseDateFormatter):
    """Short dates whose first label in view names its year, which matplotlib leaves out."""

    def __init__(self, locator: AutoDateLocator) -> None:
        plain: Any = super()
        plain.__init__(locator, show_offset=False)

    def format_ticks(self, values: Any) -> list[str]:
        plain: Any = super()
        labels: list[str] = plain.format_ticks(values)
        low, high = sorted(self.axis.get_view_interval()) if self.axis is not None else (-np.inf, np.inf)
        seen = [number for number, value in enumerate(values) if low <= value <= high]
        if seen:
            year = f"{num2date(values[seen[0]]):%Y}"
            if labels[seen[0]] != year:
                labels[seen[0]] += f"\n{year}"
        return labels
