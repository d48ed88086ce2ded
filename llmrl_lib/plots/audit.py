"""Figures of the audit: what trading costs do to every arm."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from llmrl_lib.plots.style import STYLES, legend_below, panels, style_of

NEUTRAL = "#888888"


def cost_sweep(
    sweep: pd.DataFrame,
    charged: float,
    title: str,
    arms: Sequence[str] | None = None,
    break_even: float | None = None,
    difference: str = "difference",
) -> Figure:
    """Test Sharpe ratio of each arm by trading cost, and below, where there is one, the difference of two.

    `sweep` has a row per cost in basis points and a column per arm, and perhaps `difference`, as `evidence.audit` makes it
    (`Audit.tables("costs")`); `charged` is the cost that the agents were trained with, `break_even` where the difference
    ends, both in basis points. `arms` are those to draw, by default those with a look of their own (no placebos, ablations or
    oracles). `difference` says what it is of.
    """
    drawn = [arm for arm in sweep if arm in STYLES] if arms is None else list(arms)
    heights = (2.6, 1.3) if "difference" in sweep else (2.6,)
    with panels(*heights) as (figure, axes):
        for arm in drawn:
            style = style_of(str(arm))
            axes[0].plot(sweep.index, sweep[arm], color=style.colour, linestyle=style.dash, label=style.label)
        for one in axes:
            one.axhline(0, color=NEUTRAL, linewidth=0.8)
            one.axvline(charged, color=NEUTRAL, linewidth=1.2, linestyle=(0, (1, 1)), label=f"charged: {charged:g}")
        if "difference" in sweep:
            axes[1].plot(
                sweep.index, sweep["difference"], color="#222222", marker="o", markersize=3.5, label=difference
            )
            axes[1].set_ylabel("difference")
            if break_even is not None and 0 <= break_even <= sweep.index.max():
                axes[1].plot([break_even], [0], "D", color="#D55E00", label=f"break-even: {break_even:.1f}")
        axes[0].set(title=title, ylabel="annual Sharpe ratio, test")
        axes[-1].set_xlabel("cost, basis points of traded value (policies not retrained)")
        legend_below(figure)
    return figure
