"""Does guidance help where its worth is known? Repeated invented markets with a signal and without one.

    python benchmarks/guidance_power.py [--repetitions 20] [--seeds 5] [--episodes 50] [--hidden 512] [--strength 2]
        [--arms guided,placebo_permuted,oracle_080,oracle_100] [--device auto] [--workers 2] [--work runs/power]
        [--out benchmarks/guidance_power.json]

Each repetition is a market of its own with one company, once with a signal of this strength and once without any. Arms, on
the same seeds: unguided, guided by Nano's P1 advice, the same advice permuted, and two oracles (HINDSIGHT: right in 80 % and
in all months). For each arm and kind of market: the mean difference of the test Sharpe ratio (later half of training) from
the unguided agents, tested over markets; and how often a test over the seeds of one market alone, and one over its days,
would have said that guidance helps or harms. Where there is no signal, shares of claimed gains by guided and permuted advice
are false-positive rates; oracles know the future there, too, and one more input can truly harm. Beside them, what the advice
is worth without an agent: the share of its test months that were right, and the Sharpe ratio of following it less that of
holding. What is finished in --work is not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from llmrl_lib.evidence.bootstrap import mean_sharpe_difference
from llmrl_lib.evidence.paired import holm, paired_test
from llmrl_lib.experiments.advised import outcomes
from llmrl_lib.experiments.guided import problems_of
from llmrl_lib.language.nano import Nano
from llmrl_lib.language.replay import Replay
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.market.synthetic import synthesise
from llmrl_lib.metrics import sharpe_ratio
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.strategy.backtest import backtest
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.strategist import make_strategies
from llmrl_lib.trading.tdqn import Training, train_runs

ROOT = Path(__file__).resolve().parent.parent
FIRST = 1500  # seed of the first market
BASE, ARMS = "unguided", ("guided", "placebo_permuted", "oracle_080", "oracle_100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--strength", type=float, default=2.0)
    parser.add_argument("--arms", default=",".join(ARMS), help="Beside the unguided one.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "power")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "guidance_power.json")
    given = parser.parse_args()
    settings = TdqnSettings(episodes=given.episodes, hidden=given.hidden)
    seeds, arms = tuple(range(given.seeds)), tuple(given.arms.split(","))
    problems = {}
    alone: dict[str, list[tuple[float, float]]] = {}
    for repetition in range(given.repetitions):
        for strength in (given.strength, 0.0):
            dataset, ticker = market(given.work, repetition, strength)
            train, test = dataset.train_bars(ticker), dataset.test_bars(ticker)
            chat = Replay(given.work / "replies", Nano())
            made = make_strategies(dataset, ticker, "p1", chat, dataset.train_start, dataset.end)
            alone.setdefault(f"{strength:g}", []).append(worth(made, dataset.bars(ticker), test))
            for arm in (BASE, *arms):
                problems[f"{strength:g}-{repetition}-{arm}"] = problems_of(
                    f"{strength:g}-{repetition}", arm, train, test, made, seeds
                )
            print(f"market {repetition} at strength {strength:g}: {len(made)} strategies", flush=True)
    done: set[tuple[str, int]] = set()

    def tell(progress) -> None:
        if progress.episode == progress.episodes:
            done.add((progress.problem, progress.seed))
            print(f"{len(done)} of {len(problems) * given.seeds} runs", flush=True)

    checkpoints = given.work / f"checkpoints-{given.episodes}-{given.hidden}"
    trained = train_runs(problems, seeds, settings, given.device, given.workers, checkpoints, tell)
    kinds = {
        f"{strength:g}": {
            "advice_alone": told(alone[f"{strength:g}"]),
            **summary(trained, arms, strength, given.repetitions),
        }
        for strength in (given.strength, 0.0)
    }
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    report = {
        "repetitions": given.repetitions,
        "seeds": given.seeds,
        "episodes": given.episodes,
        "hidden": given.hidden,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "commit": commit,
        "by_strength": kinds,
    }
    print(json.dumps(report, indent=1))
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def market(work: Path, repetition: int, strength: float) -> tuple[Dataset, str]:
    """One company's market, written once."""
    place = work / f"market-{repetition}-{strength:g}"
    if not (place / "dataset.toml").is_file():
        synthesise(FIRST + repetition, 1, out=place, strength=strength)
    dataset = load_dataset(place)
    return dataset, dataset.tickers[0]


def worth(made: list[Strategy], bars: pd.DataFrame, test: pd.DataFrame) -> tuple[float, float]:
    """Of the advice on one market in its test years: the share of months that were right, and its ratio less holding's."""
    months = [one for one in made if one.date >= test.index[0]]
    outcome = outcomes(months, bars)
    right = (outcome >= 0) == (np.array([one.direction for one in months]) == 1)
    followed, held = backtest(test, made), backtest(test, [replace(one, direction=1) for one in made])
    ratios = [float(sharpe_ratio(path["daily_return"])) for path in (followed, held)]
    return float(right[~np.isnan(outcome)].mean()), ratios[0] - ratios[1]


def told(markets: list[tuple[float, float]]) -> dict[str, float]:
    """The means over markets of `worth`, with a test of the second."""
    right, gains = (list(values) for values in zip(*markets, strict=True))
    over = paired_test(gains, np.zeros(len(gains)))
    return {
        "right": float(np.mean(right)),
        "less_holding": over.difference,
        "low": over.low,
        "high": over.high,
        "p_value": over.t_p_value,
    }


def summary(
    trained: dict[str, Training], arms: tuple[str, ...], strength: float, repetitions: int
) -> dict[str, dict[str, Any]]:
    """A row per arm: difference from unguided over markets, and how often single markets would have claimed one."""
    rows: dict[str, dict[str, Any]] = {}
    p_values = {}
    for arm in arms:
        pairs = [
            tuple(trained[f"{strength:g}-{repetition}-{name}"] for name in (arm, BASE))
            for repetition in range(repetitions)
        ]
        scores = [(later(one), later(base)) for one, base in pairs]
        gains = [float(one.mean() - base.mean()) for one, base in scores]
        seeds = [paired_test(*both) for both in scores if len(both[0]) > 1]  # one seed tells nothing of its chance
        days = [over_days(one, base) for one, base in pairs]
        over = paired_test(gains, np.zeros(len(gains)))
        p_values[arm] = over.t_p_value
        rows[arm] = {
            "difference": over.difference,
            "low": over.low,
            "high": over.high,
            "p_value": over.t_p_value,
            "claims_gain_by_seeds": share(one.t_p_value < 0.05 and one.difference > 0 for one in seeds),
            "claims_harm_by_seeds": share(one.t_p_value < 0.05 and one.difference < 0 for one in seeds),
            "claims_gain_by_days": share(p < 0.05 and gain > 0 for gain, p in days),
            "claims_harm_by_days": share(p < 0.05 and gain < 0 for gain, p in days),
            "differences": [round(gain, 3) for gain in gains],
        }
    for arm, corrected in holm(p_values)["corrected"].items():
        rows[str(arm)]["corrected"] = float(corrected)
    return rows


def later(training: Training) -> np.ndarray:
    """Test Sharpe ratio by seed, mean over the later half of episodes."""
    table = training.episodes
    return table[table["episode"] > table["episode"].max() // 2].groupby("seed")["test_sharpe"].mean().to_numpy()


def over_days(one: Training, base: Training) -> tuple[float, float]:
    """Difference of the seeds' mean Sharpe ratios, and its p-value over days: the test that a run's comparisons make."""
    first, second = (daily(training) for training in (one, base))
    if np.array_equal(first, second):
        return 0.0, math.nan
    found = mean_sharpe_difference(first, second)
    return found.estimate, found.p_value


def daily(training: Training) -> np.ndarray:
    """Daily returns of the test days, float64 (seed, day)."""
    table: pd.DataFrame = training.trajectories
    return table[table["split"] == "test"].pivot(index="seed", columns="date", values="daily_return").to_numpy()


def share(claims) -> float | None:
    found = list(claims)
    return sum(found) / len(found) if found else None


if __name__ == "__main__":
    main()
