"""Figures of an invented market's truth: hindsight, for a reader's eyes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from llmrl_lib.plots.style import dates_on, hollow, legend_below, mark_split, panels

INK = "#222222"


def hidden_drift(bars: pd.DataFrame, drift: pd.DataFrame, title: str, split: pd.Timestamp) -> Figure:
    """The price, and what could be expected of its next 20 trading days: given the hidden state, and given what was public.

    `drift` by date: `latent` and `best`, shares over the mean return.
    """
    with panels(2.2, 2.0) as (figure, (price, expected)):
        price.plot(bars.index, bars["close"], color=INK, linewidth=1.1)
        price.set(title=title, ylabel="adjusted close\n(log scale)", yscale="log")
        price.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        price.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "235" else "")
        expected.fill_between(
            drift.index, 100 * drift["latent"], color="#0072B2", alpha=0.35, linewidth=0, label="given the hidden state"
        )
        expected.plot(drift.index, 100 * drift["best"], color="#D55E00", linewidth=1.0, label="best forecast")
        expected.axhline(0, color="#888888", linewidth=0.8)
        expected.set(ylabel="next 20 days,\n% above the mean")
        mark_split((price, expected), split, bars.index[-1])
        dates_on(expected)
        figure.align_ylabels()
        legend_below(figure)
    return figure


def information_coefficients(table: pd.DataFrame, title: str) -> Figure:
    """Per forecaster the true information coefficient as a hollow marker, and the measured one with two standard errors.

    `table` as `ics_of` makes it: true, measured, standard_error by forecaster.
    """
    rows = np.arange(len(table))
    with panels(0.9 + 0.32 * len(table)) as (figure, (axes,)):
        axes.errorbar(
            table["measured"], rows, xerr=2 * table["standard_error"], fmt="o", color="#0072B2", capsize=3, lw=1.4,
            label="measured on this ticker, ±2 standard errors",
        )  # fmt: skip
        hollow(axes, table["true"], rows, 1, "true")
        axes.axvline(0, color="#888888", linewidth=0.8)
        axes.set_yticks(rows, list(table.index))
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set(title=title, xlabel="correlation with the return of the next 20 days")
        legend_below(figure, 1)
    return figure
