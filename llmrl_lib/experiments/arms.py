"""One arm of a run on one ticker: trained or simulated once, written to its folder, read back from there.

Folder of an arm: settings.toml (what was asked for), metrics.csv (a row per seed and episode), performance.csv (all metrics
of the final policy, a row per seed and split), trajectories.csv.gz, weights.safetensors (learned arms), manifest.json. The
manifest is written last: a folder without one is unfinished and is continued from its checkpoints.
"""

from __future__ import annotations

import gzip
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmrl_lib import __version__
from llmrl_lib.experiments.folders import (
    ExperimentError,
    read_toml,
    refuse_other_settings,
    write_text,
    write_toml,
    write_whole,
)
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.settings import Profile, to_table

if TYPE_CHECKING:
    from llmrl_lib.trading.tdqn import Progress

LEARNED = ("unguided",)
CLASSICAL = ("buy_and_hold", "sell_and_hold", "trend_following", "mean_reversion")
ARMS = (*LEARNED, *CLASSICAL)
MANIFEST, SETTINGS, CHECKPOINTS = "manifest.json", "settings.toml", "checkpoints"
PACKAGES = ("torch", "numpy", "pandas")


def run_arm(
    dataset: Dataset,
    ticker: str,
    arm: str,
    profile: Profile,
    folder: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> Arm:
    """The finished arm in `folder`: read if it is there, else trained (or simulated) and written.

    `workers` is the number of processes that a learned arm may train in; `progress` hears of its finished episodes. An
    unfinished folder is continued. Raises ExperimentError for an unknown arm and for a folder made with other settings,
    seeds or data; DatasetError for bars that cannot be used; OSError if the folder cannot be written.
    """
    if arm not in ARMS:
        raise ExperimentError(f"there is no arm {arm!r}; choose from {', '.join(ARMS)}")
    request = {
        "ticker": ticker,
        "arm": arm,
        "dataset": dataset.name,
        "dataset_hash": dataset.content_hash(ticker),
        "seeds": list(profile.seeds),
        "tdqn": to_table(profile.tdqn),
    }
    if (folder / SETTINGS).is_file():
        refuse_other_settings(folder, read_toml(folder / SETTINGS), request)
        if (folder / MANIFEST).is_file():
            return _without_checkpoints(folder)
    train, test = dataset.train_bars(ticker), dataset.test_bars(ticker)
    write_toml(folder / SETTINGS, request)
    if arm in CLASSICAL:
        about = _simulate_classical(arm, train, test, profile, folder)
    else:
        about = _train(train, test, profile, folder, workers, progress)
    _write_performance(folder, train, test, profile.tdqn.cash)
    manifest = {name: request[name] for name in ("ticker", "arm", "dataset", "dataset_hash", "seeds")}
    _write_manifest(folder, {**manifest, "profile": profile.name, **about})
    return _without_checkpoints(folder)


def load_arm(folder: Path) -> Arm:
    """Reads a finished arm; ExperimentError where there is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        lacking = [name for name in ("ticker", "arm") if not isinstance(manifest, dict) or name not in manifest]
        if lacking:
            raise ValueError(f"it lacks {lacking[0]}")
    except FileNotFoundError:
        raise ExperimentError(
            f"{folder} holds no finished arm; give its llmrl run command (again) to make it"
        ) from None
    except ValueError as error:
        raise ExperimentError(f"{folder / MANIFEST} is damaged ({error}); delete {folder} and run again") from error
    return Arm(folder, manifest["ticker"], manifest["arm"], manifest)


@dataclass(frozen=True)
class Arm:
    """A finished arm. Its tables are read when first asked for."""

    folder: Path
    ticker: str
    name: str
    manifest: dict[str, Any]  # commit, dataset, dataset_hash, versions, device, seconds, seeds, ...

    @property
    def learned(self) -> bool:
        """Whether the arm was trained, so that it has episodes and weights."""
        return self.name in LEARNED

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """A row per seed and training episode: steps, train_sharpe, test_sharpe, test_max_drawdown, q_short, q_long."""
        return pd.read_csv(self.folder / "metrics.csv")

    @cached_property
    def performance(self) -> pd.DataFrame:
        """A row per seed and split (train, test): every metric of the final policy, as fractions and ratios."""
        return pd.read_csv(self.folder / "performance.csv")

    @cached_property
    def trajectories(self) -> pd.DataFrame:
        """A row per seed, split and trading step of the final policy."""
        return pd.read_csv(self.folder / "trajectories.csv.gz", parse_dates=["date"])

    def weights(self) -> dict[str, np.ndarray]:
        """The trained weights by name, the leading axis being the seed."""
        from safetensors.numpy import load_file

        return load_file(self.folder / "weights.safetensors")


def _without_checkpoints(folder: Path) -> Arm:
    """Reads a finished arm, whose checkpoints are of no more use."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return load_arm(folder)


def _train(
    train: pd.DataFrame,
    test: pd.DataFrame,
    profile: Profile,
    folder: Path,
    workers: int,
    progress: Callable[[Progress], None] | None,
) -> dict[str, Any]:
    """Trains the learned arm and writes its tables; returns what the manifest says about it."""
    from safetensors.numpy import save

    from llmrl_lib.trading.tdqn import train_tdqn

    training = train_tdqn(
        train,
        test,
        seeds=profile.seeds,
        settings=profile.tdqn,
        workers=workers,
        checkpoint=folder / CHECKPOINTS,
        progress=progress,
    )
    _write_csv(folder / "metrics.csv", training.episodes)
    _write_csv(folder / "trajectories.csv.gz", training.trajectories)
    weights = {name: np.ascontiguousarray(values) for name, values in training.weights.items()}
    content = save(weights)
    write_whole(folder / "weights.safetensors", lambda part: part.write_bytes(content))
    return {"device": training.device, "seconds": round(training.seconds, 3)}


def _simulate_classical(
    arm: str, train: pd.DataFrame, test: pd.DataFrame, profile: Profile, folder: Path
) -> dict[str, Any]:
    from llmrl_lib.trading.classical import classical_strategies

    started = time.perf_counter()
    result = classical_strategies(train, test, profile.tdqn, (arm,))[arm]
    paths = []
    for split, bars, path in (("train", train, result.train), ("test", test, result.test)):
        numbered = path.assign(seed=0, split=split, row=bars.index.get_indexer(path.index))
        paths.append(numbered.rename_axis("date").reset_index())
    order = ["seed", "split", "date", "row"]
    table = pd.concat(paths, ignore_index=True)
    _write_csv(folder / "trajectories.csv.gz", table[[*order, *(name for name in table if name not in order)]])
    return {
        "device": "cpu",
        "seconds": round(time.perf_counter() - started, 3),
        "windows": None if result.windows is None else [int(window) for window in result.windows],
    }


def _write_performance(folder: Path, train: pd.DataFrame, test: pd.DataFrame, cash: float) -> None:
    from llmrl_lib.trading.backtest import performance

    table = pd.read_csv(folder / "trajectories.csv.gz", parse_dates=["date"])
    rows = [
        {"seed": seed, "split": split, **performance(path.set_index("date"), pd.DatetimeIndex(bars.index), cash)}
        for split, bars in (("train", train), ("test", test))
        for seed, path in table[table["split"] == split].groupby("seed")
    ]
    _write_csv(folder / "performance.csv", pd.DataFrame(rows))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    """The same table gives the same bytes: a packed file names neither its time nor its temporary name."""
    content = table.to_csv(index=False).encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, 6, mtime=0)
    write_whole(path, lambda part: part.write_bytes(content))


def _write_manifest(folder: Path, about: dict[str, Any]) -> None:
    versions = {"llmrl": __version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in PACKAGES}
    text = json.dumps({**about, "commit": _commit(), "versions": versions}, indent=2)
    write_text(folder / MANIFEST, text + "\n")


def _commit() -> str | None:
    """The commit of the checkout that the package stands in, "+" added where files differ from it; None outside one."""
    checkout = Path(__file__).parents[2]
    if not (checkout / "pyproject.toml").is_file():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
