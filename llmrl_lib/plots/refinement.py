"""Figures of a refinement: the tree of candidates, regret by round, and the fields that the trainer rated highest."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from llmrl_lib.plots.style import LONG_COLOUR, SHORT_COLOUR, legend_below, panels, style_of

JUDGE, CRITIC = style_of("llm_only"), style_of("placebo")


def candidate_tree(candidates: pd.DataFrame, title: str) -> Figure:
    """Candidates as points, Sharpe ratio by round, joined to what they were made of; a branch per repetition.

    `candidates` as in a refinement's record: name, repetition, round, control, sharpe, start. A repetition's start, the
    better of baseline and market, is its point at round 0; a hollow point beats it.
    """
    known = candidates[candidates["sharpe"].notna()]
    with panels(3.4) as (figure, (axes,)):
        for (number, control), own in known.groupby(["repetition", "control"]):
            look = CRITIC if control else JUDGE
            rounds = [0, *own["round"].tolist()]
            heights = [float(own["start"].iloc[0]), *own["sharpe"].tolist()]
            label = "random critic" if control else "writer and judge"
            axes.plot(rounds, heights, color=look.colour, linestyle=look.dash, lw=1.2, alpha=0.9, label=label)
            beats = own["sharpe"] > own["start"]
            for group, fill in ((own[~beats], look.colour), (own[beats], "white")):
                axes.plot(group["round"], group["sharpe"], "o", color=look.colour, mfc=fill, markersize=6, zorder=4)
            axes.plot(0, heights[0], "s", color="#222222", markersize=5, label="start: better of baseline and holding")
            if not control:
                axes.annotate(
                    str(number), (rounds[-1], heights[-1]), (6, 0), textcoords="offset points", va="center", fontsize=9
                )
        axes.plot([], [], "o", color=JUDGE.colour, mfc="white", label="beats its start")
        axes.set(title=title, xlabel="round", ylabel="annual Sharpe ratio, sampled windows")
        axes.set_xticks(range(int(known["round"].max()) + 1 if len(known) else 1))
        axes.axhline(0, color="#888888", linewidth=0.8)
        legend_below(figure)
    return figure


def regret_by_round(candidates: pd.DataFrame, title: str, enough: float = 0.01) -> Figure:
    """Regret of each candidate by round, judge and random critic side by side, with the mean of each round.

    Below 0 a candidate beats the best before it; repetitions that ended have no later rounds.
    """
    known = candidates[candidates["regret"].notna()]
    with panels(2.9) as (figure, (axes,)):
        for control, look, label, shift in (
            (False, JUDGE, "writer and judge", -0.08),
            (True, CRITIC, "random critic", 0.08),
        ):
            own = known[known["control"] == control]
            if len(own):
                axes.plot(own["round"] + shift, own["regret"], "o", color=look.colour, alpha=0.55, markersize=5)
                means = own.groupby("round")["regret"].mean()
                axes.plot(
                    means.index + shift,
                    means,
                    "D",
                    color=look.colour,
                    linestyle=look.dash,
                    lw=1.5,
                    label=f"{label}, mean",
                )
        axes.axhline(enough, color="#888888", linewidth=0.9, linestyle=(0, (4, 2)), label=f"enough: {enough:g}")
        axes.set(title=title, xlabel="round", ylabel="regret SR* - SR")
        axes.set_xticks(sorted(known["round"].unique()))
        legend_below(figure)
    return figure


def field_ratings(fields: pd.DataFrame, title: str, most: int = 25) -> Figure:
    """The trainer's mean rating of the fields that it rated highest; colour says whether high values came before LONG.

    `fields` as in a refinement's record: field, rated, long, short, survives.
    """
    shown = fields.dropna(subset=["rated"]).head(most).iloc[::-1]
    with panels(0.9 + 0.24 * max(len(shown), 1)) as (figure, (axes,)):
        for survives, alpha in ((True, 1.0), (False, 0.35)):
            for rises, colour, label in (
                (True, LONG_COLOUR, "high values came before LONG"),
                (False, SHORT_COLOUR, "high values came before SHORT, or neither"),
            ):
                own = shown[(shown["survives"] == survives) & ((shown["long"] > shown["short"]) == rises)]
                places = [list(shown["field"]).index(name) for name in own["field"]]
                if len(own):
                    axes.barh(
                        places,
                        own["rated"],
                        color=colour,
                        alpha=alpha,
                        label=label if survives else f"{label}; dropped",
                    )
        axes.set(title=title, xlabel="mean rating (0 low, 50 medium, 100 high)", xlim=(0, 100))
        axes.set_yticks(range(len(shown)), list(shown["field"]), fontsize=8.5)
        axes.grid(visible=False, axis="y")
        legend_below(figure, 1)
    return figure
