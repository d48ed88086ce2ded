"""Figures of how sure a language model was: spreads, entropy along the reply, and whether its probabilities came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from llmrl_lib.language.parts import token_entropies
from llmrl_lib.plots.strategies import prompt_styles
from llmrl_lib.plots.style import legend_below, panels, percent
from llmrl_lib.strategy.records import Strategy

COLUMNS = 90  # of the map of entropy
LEAST_COLUMNS = 9  # of a part of the reply
RAMP = "cividis"  # from dark to light, the same to every colour vision
INK = "#222222"


def uncertainty_spreads(decisions: pd.DataFrame, measures: Mapping[str, str], guide: str, title: str) -> Figure:
    """A dot for every reply and a stroke at the mean, a column per prompt and a panel per measure.

    `decisions` have prompt, date and the measures' columns; `measures` names them for the axes.
    """
    prompts = list(dict.fromkeys(decisions["prompt"]))
    styles = prompt_styles(prompts, guide)
    with panels(*(1.9 for _ in measures)) as (figure, drawn):
        for axes, (column, name) in zip(drawn, measures.items(), strict=True):
            for place, prompt in enumerate(prompts):
                values = decisions.loc[decisions["prompt"] == prompt, column].dropna().to_numpy()
                shifts = 0.5 * (np.argsort(np.argsort(values, kind="stable")) * 0.618034 % 1.0 - 0.5)
                colour = styles[prompt].colour
                axes.plot(
                    place + shifts,
                    values,
                    "o",
                    color=colour,
                    alpha=0.5,
                    ms=4,
                    mew=0,
                    label="one reply" if not place else "_",
                )
                if len(values):
                    axes.plot(
                        [place - 0.32, place + 0.32],
                        [values.mean()] * 2,
                        color=INK,
                        lw=2,
                        label="mean" if not place else "_",
                    )
            axes.set(ylabel=name)
        drawn[0].set_title(title)
        drawn[-1].set_xticks(range(len(prompts)), [style.label.split(",")[0] for style in styles.values()])
        drawn[-1].set_xlim(-0.6, len(prompts) - 0.4)
        figure.align_ylabels()
        legend_below(figure)
    return figure


def entropy_map(strategies: Sequence[Strategy], title: str) -> Figure:
    """Entropy along the tokens of each reply, a row per decision in order of time, its parts side by side.

    Every part of the reply has as many columns as its share of tokens, but enough to be seen; its tokens are spread over them
    evenly, so that a column is the same place in every row. Replies that are no JSON object are left out. Raises ValueError
    where none is left.
    """
    replies = [
        table for one in strategies if one.tokens for table in [token_entropies(one.tokens)] if table["part"].any()
    ]
    if not replies:
        raise ValueError("no reply has log-probabilities and is a JSON object; there is no entropy to map")
    names = list(dict.fromkeys(part for table in replies for part in table["part"] if part))
    shares = {name: np.mean([(table["part"] == name).mean() for table in replies]) for name in names}
    widths = {name: max(LEAST_COLUMNS, round(COLUMNS * share)) for name, share in shares.items()}
    image = np.hstack([np.vstack([_spread(table, name, width) for table in replies]) for name, width in widths.items()])
    edges = np.cumsum([0, *widths.values()])
    with panels(1.5 + 0.05 * max(len(replies), 26)) as (figure, (axes,)):
        drawn = axes.imshow(image, aspect="auto", cmap=RAMP, vmin=0.0, interpolation="nearest")
        for edge in edges[1:-1]:
            axes.axvline(edge - 0.5, color="white", linewidth=1.4)
        axes.grid(False)
        axes.set_xticks((edges[1:] + edges[:-1]) / 2 - 0.5, names, rotation=35, ha="right", rotation_mode="anchor")
        rows = np.unique(np.linspace(0, len(replies) - 1, 5).round().astype(int))
        shown = [one for one in strategies if one.tokens]
        axes.set_yticks(rows, [f"{shown[row].date:%Y-%m}" for row in rows])
        axes.set(title=title, xlabel="part of the reply, in the order in which it was written")
        bar = figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.02)
        bar.set_label("entropy of a token, nats")
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    return figure


def reliability(table: pd.DataFrame, forecasts: pd.DataFrame, title: str) -> Figure:
    """How often the share rose where the model gave it such a probability, and below which probabilities it gave.

    `table` as of `reliability_table`: forecast, observed, and the limits low and high that a calibrated model keeps;
    `forecasts` have probability and rose (bool), a row per decision.
    """
    with panels(3.0, 1.1) as (figure, (axes, stated)):
        forecast = table["forecast"].to_numpy(float)
        values, rose = forecasts["probability"].to_numpy(float), forecasts["rose"].to_numpy(bool)
        low, high = min(values.min() - 0.02, 0.4), max(values.max() + 0.02, 0.6)
        axes.plot([low, high], [low, high], color="#888888", linewidth=1.0, label="as stated")
        axes.vlines(
            forecast, table["low"], table["high"], color="#BBBBBB", linewidth=7, alpha=0.8,
            label="where 95% of calibrated models of as many decisions lie",
        )  # fmt: skip
        axes.plot(forecast, table["observed"], "o", color="#009E73", markersize=8, label="observed")
        edges = np.linspace(low, high, 31).tolist()
        stated.hist([values[rose], values[~rose]], edges, stacked=True, color=["#8A8A8A", "white"], edgecolor="#666666",
                    linewidth=0.6, label=["months in which it rose", "in which it fell"])  # fmt: skip
        axes.set(title=title, ylabel="share of months\nin which it rose", ylim=(-0.03, 1.03), xlim=(low, high))
        stated.set(xlabel="stated probability of LONG", ylabel="months")
        stated.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        for side in (axes.yaxis, axes.xaxis, stated.xaxis):
            side.set_major_formatter(percent)
        figure.align_ylabels()
        legend_below(figure, 1)
    return figure


def hits_by_confidence(hits: pd.DataFrame, guide: str, title: str) -> Figure:
    """The share of directions that were right by stated confidence, for each prompt, with 95% intervals.

    `hits` as of `hits_table`. A short stroke marks the share of the same months in which the share rose.
    """
    prompts = list(dict.fromkeys(hits["prompt"]))
    styles = prompt_styles(prompts, guide)
    shifts = np.linspace(-0.3, 0.3, len(prompts)) if len(prompts) > 1 else np.zeros(1)
    with panels(2.9) as (figure, (axes,)):
        for prompt, shift in zip(prompts, shifts, strict=True):
            own, look = hits[(hits["prompt"] == prompt) & (hits["confidence"] > 0)], styles[prompt]
            x = own["confidence"] + shift
            axes.vlines(x, own["low"], own["high"], color=look.colour, linestyle=look.dash, linewidth=1.6)
            marker = "o" if prompt == guide else ("s", "D", "^", "v", "P")[prompts.index(prompt) % 5]
            axes.plot(x, own["right"], marker, color=look.colour, markersize=7, label=look.label)
        some = hits[hits["confidence"] > 0]
        place = some["confidence"] + some["prompt"].map(dict(zip(prompts, shifts, strict=True)))
        axes.hlines(some["rose"], place - 0.06, place + 0.06, color=INK, lw=1.6, label="LONG throughout, same months")
        axes.axhline(0.5, color="#888888", linewidth=0.8)
        axes.set(title=title, xlabel="stated confidence", ylabel="share right", ylim=(-0.03, 1.03), xlim=(0.5, 3.5))
        axes.set_xticks([1, 2, 3], ["1, low", "2, medium", "3, high"])
        axes.yaxis.set_major_formatter(percent)
        legend_below(figure)
    return figure


def _spread(table: pd.DataFrame, part: str, width: int) -> np.ndarray:
    """The entropies of a part's tokens over `width` columns, (width,): tokens that share one are averaged."""
    values = table.loc[table["part"] == part, "entropy"].to_numpy(float)
    if not len(values):
        return np.full(width, np.nan)
    first = np.floor(np.arange(width) * len(values) / width).astype(int)
    last = np.maximum(np.ceil((np.arange(width) + 1) * len(values) / width).astype(int), first + 1)
    return np.array([values[start:end].mean() for start, end in zip(first, last, strict=True)])
