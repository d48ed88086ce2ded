"""Small runs in the format of a run folder whose figures are chosen: for tests of tables, claims and verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tomlkit

from llmrl_lib.experiments import Run, open_run
from llmrl_lib.metrics import sharpe_ratio
from llmrl_lib.settings import TdqnSettings, to_table

DATES = pd.bdate_range("2018-01-02", periods=400, name="date")
COMMON = np.random.default_rng(7).normal(0, 0.01, (6, 400))  # what the arms of a pair share, by seed


def run_of(
    folder: Path,
    drifts: Mapping[str, Mapping[str, float]],
    dataset: str = "",
    settings: TdqnSettings | None = None,
    seeds: int = 6,
    paths: bool = True,
    asked: Sequence[str] = (),
) -> Run:
    """A run whose arms (by ticker) earn what all share plus a drift a day; classical arms and llm_only are one account.

    With a blank `dataset` it is a recorded run, which keeps decisions and no prices.
    """
    about = {"dataset": dataset, "profile": "paper", "tickers": [*drifts, *asked], "dataset_name": "x", "seeds": seeds}
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(tomlkit.dumps({**about, "tdqn": to_table(settings or TdqnSettings())}), "utf-8")
    for ticker, arms in drifts.items():
        for name, drift in arms.items():
            alone = name == "llm_only" or name.endswith(("hold", "following", "reversion"))
            write_arm(folder / ticker / name, ticker, name, drift, 1 if alone else seeds, paths)
    return open_run(folder)


def write_arm(folder: Path, ticker: str, name: str, drift: float, seeds: int, paths: bool = True) -> None:
    """A finished arm; `sharpe` is that of its paths."""
    folder.mkdir(parents=True)
    returns = (COMMON[:seeds] if seeds > 1 else COMMON.mean(0, keepdims=True)) + drift
    sharpe = [float(sharpe_ratio(row)) for row in returns]
    rows = {"seed": range(seeds), "split": "test", "sharpe_ratio": sharpe, "benchmark_max_drawdown": 0.25}
    pd.DataFrame(rows).to_csv(folder / "performance.csv", index=False)
    episodes = [
        {"seed": seed, "episode": episode, "test_sharpe": value}
        for seed, value in enumerate(sharpe)
        for episode in (1, 2)
    ]
    pd.DataFrame(episodes).to_csv(folder / "metrics.csv", index=False)
    table = pd.concat(
        pd.DataFrame({"seed": seed, "split": "test", "date": DATES, "daily_return": row, "position": 1})
        for seed, row in enumerate(returns)
    )
    if paths:
        table.to_csv(folder / "trajectories.csv.gz", index=False)
    table[["seed", "date", "position"]].to_csv(folder / "decisions.csv.gz", index=False)
    manifest = {"ticker": ticker, "arm": name, "dataset_hash": "x", "device": "cpu", "seconds": 1.0, "commit": None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
