"""Small markets and recorded arms whose truth is known, for tests of the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit import Case
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.accounting import simulate

TRAIN, TEST = 100, 300  # rows
WARM_UP = 30
STEPS = TEST - WARM_UP
SETTINGS = TdqnSettings(episodes=1)


@dataclass(frozen=True)
class Recorded:
    """An arm in memory."""

    name: str
    trajectories: pd.DataFrame
    learned: bool = True


def market(folder: Path, returns: np.ndarray, volume: np.ndarray | None = None, ticker: str = "AAA") -> Dataset:
    """A dataset of one ticker with flat training rows and test rows whose closes earn `returns` (TEST,)."""
    days = pd.bdate_range("2016-01-04", periods=TRAIN + TEST)
    wave = 100.0 * (1 + 0.01 * np.sin(np.arange(TRAIN)))
    closes = np.concatenate([wave, wave[-1] * np.cumprod(1 + returns)])
    traded = np.linspace(800.0, 1600.0, TRAIN + TEST)
    if volume is not None:
        traded[TRAIN:] = volume
    table = pd.DataFrame({"date": days, **dict.fromkeys(("open", "high", "low", "close"), closes), "volume": traded})
    (folder / "bars").mkdir(parents=True)
    table.to_csv(folder / "bars" / f"{ticker}.csv", index=False, date_format="%Y-%m-%d", float_format="%.10f")
    end = days[-1] + pd.Timedelta(days=1)
    dates = f"train_start = {days[0]:%Y-%m-%d}\nsplit = {days[TRAIN]:%Y-%m-%d}\nend = {end:%Y-%m-%d}\n"
    (folder / "dataset.toml").write_text(f'name = "known"\ntickers = ["{ticker}"]\n[benchmark]\n{dates}')
    return load_dataset(folder)


def recorded(dataset: Dataset, name: str, actions: Sequence[np.ndarray] | np.ndarray) -> pd.DataFrame:
    """Test trajectories of an arm whose seeds take these actions (seed, STEPS) at the default cost."""
    bars = dataset.test_bars(dataset.tickers[0])
    paths = [
        simulate(bars, path, cost_rate=SETTINGS.cost_rate)
        .rename_axis("date")
        .reset_index()
        .assign(seed=seed, split="test")
        for seed, path in enumerate(np.atleast_2d(actions))
    ]
    return pd.concat(paths, ignore_index=True).assign(arm=name)


def case(dataset: Dataset, arms: Mapping[str, Sequence[np.ndarray] | np.ndarray], **more: object) -> Case:
    """A case whose arms took these actions; buy and hold stands beside."""
    every = {"buy_and_hold": np.ones(STEPS, np.int64), **arms}
    found = {
        name: Recorded(name, recorded(dataset, name, actions), name != "buy_and_hold")
        for name, actions in every.items()
    }
    return Case(dataset.tickers[0], dataset, SETTINGS, found, **more)  # type: ignore[arg-type]


def noise(seed: int, size: int = TEST, scale: float = 0.01) -> np.ndarray:
    """Daily returns without any pattern."""
    return np.random.default_rng(seed).normal(0.0, scale, size)


def foresight(dataset: Dataset, hit_rate: float = 1.0, seed: int = 0) -> np.ndarray:
    """Actions on the side of the next close, or on the other one by chance: (STEPS,)."""
    closes = dataset.test_bars(dataset.tickers[0])["close"].to_numpy()
    ahead = np.append(np.diff(closes), 0.0)[WARM_UP:] >= 0
    wrong = np.random.default_rng(seed).random(STEPS) >= hit_rate
    return (ahead ^ wrong).astype(np.int64)


def by_chance(seed: int) -> np.ndarray:
    """Actions that know nothing: (STEPS,)."""
    return np.random.default_rng(1000 + seed).integers(0, 2, STEPS)
