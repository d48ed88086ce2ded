"""FLAG-Trader among the recorded results: beside its controls, and beside TDQN agents recorded on the same bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.experiments import Run
from llmrl_lib.experiments.flag_arms import FLAG_TRADER
from llmrl_lib.experiments.flag_tables import compared, flag_settings_of, flag_table, flag_tickers
from llmrl_lib.experiments.tables import arm_label

BESIDE = ("unguided", "guided")


def flag_section(run: Run, others: Sequence[Run]) -> str:
    """Markdown: a recorded run's test years with FLAG-Trader, its differences, and agents of `others` on the same bars."""
    arm = run.arms(flag_tickers(run)[0])[FLAG_TRADER]
    first, backbone = arm.manifest, Path(flag_settings_of(arm).backbone).name
    parts = [
        f"## FLAG-Trader: {', '.join(flag_tickers(run))}",
        f"The published length and numbers where the paper gives them, on the backbone {backbone} (how it was made: "
        f"`results/{run.name}/README.md`); commit `{short_commit(first)}`, on {first['device']}. Test years, "
        "after costs; mean, and standard deviation over seeds in brackets.",
        _markdown(flag_table(run)),
        "FLAG-Trader less each of the others, test Sharpe ratio: over seeds, p corrected over all rows (Holm), and over the "
        "days that all seeds share; intervals of 95 %.",
        _differences(compared(run)),
    ]
    if len(table := _agents(run, others)):
        parts += ["Agents of other recorded runs on the same bars and test days:", _markdown(table)]
    return "\n\n".join(parts)


def short_commit(manifest: Mapping[str, Any]) -> str:
    """Twelve digits of the commit that a recorded arm was made with; "+" where files differed from it."""
    commit = manifest["commit"] or "unknown"
    return commit[:12] + ("+" if commit.endswith("+") else "")


def _differences(table: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "over seeds": [_interval(*row) for row in table[["difference", "low", "high"]].to_numpy()],
            "p": ["" if pd.isna(p_value) else f"{p_value:.2g}" for p_value in table["corrected"]],
            "over days": [_interval(*row) for row in table[["path_difference", "path_low", "path_high"]].to_numpy()],
        },
        index=pd.MultiIndex.from_arrays([table["ticker"], [arm_label(base) for base in table["base"]]]),
    )
    return _markdown(shown)


def _interval(middle: float, low: float, high: float) -> str:
    return "" if pd.isna(middle) else f"{middle:+.2f} [{low:.2f}, {high:.2f}]"


def _agents(run: Run, others: Sequence[Run]) -> pd.DataFrame:
    """Trained agents of other runs, made from the very bars: seeds, test Sharpe ratio, drawdown."""
    rows = {}
    for other in others:
        for ticker in (name for name in flag_tickers(run) if name in other.tickers and other is not run):
            bars = run.arms(ticker)[FLAG_TRADER].manifest["dataset_hash"]
            for name in BESIDE:
                arm = other.arms(ticker).get(name)
                if arm is None or arm.manifest["dataset_hash"] != bars:
                    continue
                table = arm.performance[arm.performance["split"] == "test"]
                rows[ticker, f"{arm_label(name)} ({other.name})"] = {
                    "seeds": str(len(table)),
                    "Sharpe": f"{table['sharpe_ratio'].mean():.2f} ({table['sharpe_ratio'].std():.2f})",
                    "drawdown": f"{table['max_drawdown'].mean():.1%} ({table['max_drawdown'].std():.1%})",
                }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["seeds", "Sharpe", "drawdown"]).sort_index()


def _markdown(table: pd.DataFrame) -> str:
    """A table whose rows have two names."""
    lines = [["", "", *table.columns], ["---"] * (2 + table.shape[1])]
    lines += [[*map(str, name), *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
