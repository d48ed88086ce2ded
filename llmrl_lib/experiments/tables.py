"""Tables of a run for notebooks: metrics per arm, and how many agents stopped deciding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from llmrl_lib.experiments.arms import Arm

SHOWN = {  # metric: column title and format
    "sharpe_ratio": ("Sharpe ratio", "{:.2f}"),
    "sortino_ratio": ("Sortino ratio", "{:.2f}"),
    "annual_return": ("annual return", "{:.1%}"),
    "annual_volatility": ("annual volatility", "{:.1%}"),
    "max_drawdown": ("largest drawdown", "{:.1%}"),
    "turnover": ("turnover a year", "{:.1f}"),
    "exposure": ("exposure", "{:.0%}"),
}
NEARLY = 0.95  # share of days on one side from which an agent counts as nearly constant


def performance_table(performance: pd.DataFrame) -> pd.DataFrame:
    """Mean and, where an arm has several seeds, standard deviation over seeds of the main metrics; a row per arm.

    `performance` is that of one ticker and split, as `Run.performance` returns it. Cells are text.
    """
    groups = performance.groupby("arm", sort=False)
    table = pd.DataFrame({"runs": groups.size()})
    for metric, (title, form) in SHOWN.items():
        mean, deviation = groups[metric].mean(), groups[metric].std()
        table[title] = [
            form.format(mean[arm]) + (f" ({form.format(deviation[arm])})" if table["runs"][arm] > 1 else "")
            for arm in table.index
        ]
    return table.rename(index=lambda arm: arm.replace("_", " "))


def constant_positions(arms: Mapping[str, Arm], split: str = "test") -> pd.DataFrame:
    """How many runs of each learned arm held one side all the time, or nearly: shares of its seeds.

    Columns: runs, always long, always short, nearly constant (at least 95% of the days on one side, the constant ones
    included).
    """
    rows = {}
    for name, arm in arms.items():
        if not arm.learned:
            continue
        path = arm.trajectories[arm.trajectories["split"] == split]
        long_share = (path["position"] == 1).groupby(path["seed"]).mean()
        most = np.maximum(long_share, 1 - long_share)
        rows[name.replace("_", " ")] = {
            "runs": len(long_share),
            "always long": (long_share == 1).mean(),
            "always short": (long_share == 0).mean(),
            "nearly constant": (most >= NEARLY).mean(),
        }
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["runs", "always long", "always short", "nearly constant"]
    )
