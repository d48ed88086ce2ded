"""Figures of an expert review: scores with their intervals, and what bends them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmrl_lib.plots.style import hollow, legend_below, panels, spread

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "D", "^")


def review_scores(
    tables: Mapping[str, pd.DataFrame], published: Mapping[str, float], names: Mapping[str, str], title: str
) -> Figure:
    """Scores with 95% intervals, a row per dimension and a colour per table; published values hollow.

    `tables` by what they are of, each with score, low and high by dimension; `names` are the dimensions' titles, in order.
    """
    with panels(0.55 * len(names) + 0.35 * len(tables) + 0.4) as (figure, [axes]):
        offsets = spread(len(tables))
        for number, (label, table) in enumerate(tables.items()):
            _dots(axes, table.loc[list(names)], "score", offsets[number], number, label)
        hollow(axes, [published[title] for title in names.values()], range(len(names)), 0, "published")
        _rows(axes, list(names.values()))
        axes.set(xlim=(0.95, 3.05), xticks=(1, 2, 3), title=title)
        axes.set_xticklabels(["1\npoor", "2\naverage", "3\ngood"])
        legend_below(figure)
    return figure


def review_effect(effect: pd.DataFrame, names: Mapping[str, str], title: str, built_in: float | None = None) -> Figure:
    """By how much ratings are higher where the model agreed with the first guess, with 95% intervals; 0 is no effect.

    `built_in` is the effect that simulated reviewers were given.
    """
    with panels(0.45 * len(names) + 0.7) as (figure, [axes]):
        _dots(axes, effect.loc[list(names)], "effect", 0.0, 0, "estimate, 95% interval")
        axes.axvline(0.0, color="#222222", linewidth=1)
        if built_in is not None:
            axes.axvline(built_in, color="#D55E00", linestyle=(0, (4, 2)), label="built into the simulated reviewers")
        _rows(axes, list(names.values()))
        axes.set(title=title, xlabel="points of 1 to 3")
        legend_below(figure)
    return figure


def _dots(axes: Axes, table: pd.DataFrame, column: str, offset: float, number: int, label: str) -> None:
    places = [place + offset for place in range(len(table))]
    colour = COLOURS[number % len(COLOURS)]
    axes.hlines(places, table["low"], table["high"], linewidth=2, color=colour)
    axes.plot(table[column], places, MARKERS[number % len(MARKERS)], markersize=6, label=label, color=colour)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
