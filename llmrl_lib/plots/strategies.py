"""Figures of a language model's advice: decisions on the price, accounts that follow them, prompts beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from llmrl_lib.plots.style import (
    LONG_COLOUR,
    SHORT_COLOUR,
    Style,
    dates_on,
    hollow,
    legend_below,
    mark_split,
    panels,
    style_of,
    thousands,
)
from llmrl_lib.strategy.records import prompt_label

OTHER_DASHES = ((0, (1, 1)), (0, (3, 1, 1, 1)), (0, (5, 1)), (0, (7, 2)), (0, (2, 2)))
AVERAGES = {20: "#56B4E9", 50: "#0072B2", 200: "#B8860B"}  # rows: colour
SIDES = ((1, "^", LONG_COLOUR, "LONG"), (0, "v", SHORT_COLOUR, "SHORT"))
SIZES = {1: 4.0, 2: 6.5, 3: 9.0}  # points, by confidence


def prompt_styles(prompts: Sequence[str], guide: str) -> dict[str, Style]:
    """How prompts are drawn: the guiding one is the arm that follows the model alone, the others are grey, by dash."""
    others = [prompt for prompt in prompts if prompt != guide]
    looks = {
        prompt: Style(prompt_label(prompt), "#777777", OTHER_DASHES[number % len(OTHER_DASHES)])
        for number, prompt in enumerate(others)
    }
    arm = style_of("llm_only")
    return {
        prompt: looks.get(prompt, Style(f"{prompt_label(prompt)}, which guides", arm.colour, arm.dash))
        for prompt in prompts
    }


def decisions_on_price(bars: pd.DataFrame, decisions: pd.DataFrame, title: str, every: int = 20) -> Figure:
    """The price with moving averages and a marker at every decision, and below the signal that agents see.

    `bars` by date; `decisions` have date, direction (1 LONG, 0 SHORT), confidence (1 to 3) and signal (in [-1, 1]), one per
    date. Averages are of all rows of `bars`; drawn is from the first decision on. A signal acts from the row after its
    decision for `every` rows.
    """
    first = bars.index.searchsorted(decisions["date"].min())
    shown = bars.iloc[first:]
    with panels(2.9, 1.3) as (figure, (price, signal)):
        price.plot(shown.index, shown["close"], color="#222222", linewidth=1.1, label="adjusted close")
        for rows, colour in AVERAGES.items():
            mean = bars["close"].rolling(rows).mean().iloc[first:]
            price.plot(mean.index, mean, color=colour, linewidth=0.9, alpha=0.8, label=f"mean of {rows} days")
        _mark_decisions(price, shown["close"], decisions)
        for side, _, colour, _ in SIDES:
            own = decisions[decisions["direction"] == side]
            _act(signal, pd.DatetimeIndex(bars.index), own, colour, every)
        signal.axhline(0, color="#888888", linewidth=0.8)
        price.set(title=title, ylabel="currency per share")
        signal.set(ylabel="signal I", ylim=(-1.05, 1.05))
        dates_on(signal)
        figure.align_ylabels()
        legend_below(figure)
    return figure


def prompt_accounts(paths: Mapping[str, pd.DataFrame], holding: pd.DataFrame, guide: str, title: str) -> Figure:
    """Equity of following each prompt over the test years, and of holding. Tables have date and equity."""
    with panels(3.2) as (figure, (axes,)):
        ends = {}
        for prompt, look in prompt_styles(list(paths), guide).items():
            path = paths[prompt]
            width = 1.8 if prompt == guide else 1.1
            axes.plot(path["date"], path["equity"], color=look.colour, linestyle=look.dash, lw=width, label=look.label)
            ends[prompt_label(prompt)] = float(path["equity"].iloc[-1])
        market = style_of("buy_and_hold")
        axes.plot(
            holding["date"], holding["equity"], color=market.colour, linestyle=market.dash, lw=1.3, label=market.label
        )
        axes.set(title=title, ylabel="equity, currency")
        thousands(axes)
        dates_on(axes)
        _name_ends(axes, holding["date"].iloc[-1], ends)
        legend_below(figure)
    return figure


def prompt_sharpes(sharpes: pd.DataFrame, published: Mapping[str, float], label: str, guide: str, title: str) -> Figure:
    """The test Sharpe ratio of each prompt with its interval, that of holding as a line, published values hollow.

    `sharpes` by prompt: sharpe, low, high; a last row "market". `published` by prompt, "benchmark" for the market; `label`
    says whose.
    """
    prompts = [str(name) for name in sharpes.index if name != "market"]
    rows = {prompt: len(prompts) - 1 - number for number, prompt in enumerate(prompts)}
    with panels(1.0 + 0.42 * len(prompts)) as (figure, (axes,)):
        if "market" in sharpes.index:
            look = style_of("buy_and_hold")
            axes.axvline(
                float(sharpes["sharpe"]["market"]),
                color=look.colour,
                linestyle=look.dash,
                linewidth=1.3,
                label=look.label,
            )
        for prompt, look in prompt_styles(prompts, guide).items():
            one = sharpes.loc[prompt]
            axes.plot(
                [one["low"], one["high"]], [rows[prompt]] * 2, color=look.colour, lw=2.2, label=_interval(prompt, guide)
            )
            axes.plot(one["sharpe"], rows[prompt], "o", color=look.colour, markersize=8, label=_dot(prompt, guide))
        known = [prompt for prompt in prompts if prompt in published]
        hollow(
            axes,
            [published[name] for name in known],
            [rows[name] - 0.22 for name in known],
            0,
            label if known else None,
        )
        axes.axvline(0, color="#888888", linewidth=0.8)
        axes.set(title=title, xlabel="annual Sharpe ratio, test", yticks=list(rows.values()))
        axes.set_yticklabels([prompt_label(prompt) for prompt in rows])
        axes.set_ylim(-0.6, len(prompts) - 0.4)
        legend_below(figure, 1)
    return figure


def signal_over_time(decisions: pd.DataFrame, split: pd.Timestamp, title: str) -> Figure:
    """The strength of each decision and what it is made of: confidence, and certainty from the reply's entropy.

    `decisions` of one prompt and draw: date, direction, confidence, strength, entropy (normalised; NaN where unknown).
    """
    table = decisions.sort_values("date")
    dates = table["date"]
    with panels(1.9, 1.7) as (figure, (strength, made)):
        for side, marker, colour, label in SIDES:
            own = table[table["direction"] == side]
            strength.vlines(own["date"], 0, own["strength"], color=colour, linewidth=1.4, alpha=0.7)
            strength.plot(own["date"], own["strength"], marker, color=colour, markersize=5, label=label)
        made.step(dates, table["confidence"] / 3, where="post", color="#CC79A7", lw=1.3, label="confidence / 3")
        if table["entropy"].notna().any():
            made.plot(dates, 1 - table["entropy"], color="#0072B2", lw=1.2, label="certainty (1 - normalised entropy)")
        strength.set(title=title, ylabel="strength S", ylim=(0, 1.05))
        made.set(ylabel="parts of S", ylim=(0, 1.05))
        if (dates < split).any():
            mark_split((strength, made), split, dates.iloc[-1])
            strength.set_ylim(0, 1.2)
        dates_on(made)
        figure.align_ylabels()
        legend_below(figure)
    return figure


def _name_ends(axes: Axes, last: pd.Timestamp, ends: Mapping[str, float]) -> None:
    """Names lines at their right ends, lowest first, each at least a line of text above the one before."""
    low, high = axes.get_ylim()
    apart, free = 0.06 * (high - low), low
    for name, end in sorted(ends.items(), key=lambda item: item[1]):
        free = max(end, free)
        axes.annotate(name, (float(date2num(last)), free), (4, 0), textcoords="offset points", va="center", fontsize=8)
        free += apart


def _mark_decisions(axes: Axes, closes: pd.Series, decisions: pd.DataFrame) -> None:
    room = 0.05 * (closes.max() - closes.min())
    for side, marker, colour, label in SIDES:
        for confidence, size in SIZES.items():
            own = decisions[(decisions["direction"] == side) & (decisions["confidence"] == confidence)]
            place = closes.loc[pd.DatetimeIndex(own["date"])] + (-room if side else room)
            named = f"{label}, confidence {confidence}" if len(own) else "_"
            axes.plot(own["date"], place, marker, color=colour, markersize=size, mew=0, zorder=5, label=named)


def _act(axes: Axes, dates: pd.DatetimeIndex, decisions: pd.DataFrame, colour: str, every: int) -> None:
    """A bar for every decision over the rows on which it is in force."""
    days = date2num(dates)
    for date, value in zip(decisions["date"], decisions["signal"], strict=True):
        start = int(dates.searchsorted(date)) + 1
        if start < len(days):
            end = min(start + every, len(days) - 1)
            axes.fill_between([days[start], days[end]], 0, value, color=colour, alpha=0.55, linewidth=0)


def _interval(prompt: str, guide: str) -> str:
    return "95% interval" if prompt == guide else "_"


def _dot(prompt: str, guide: str) -> str:
    return f"{prompt_label(prompt)}, which guides" if prompt == guide else "_"
