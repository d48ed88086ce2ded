"""One arm of a run on one ticker: trained or simulated once, written to its folder, read back from there.

Learned arms are those of `guided`, all TDQN; those of `flag_arms` are FLAG-Trader and its controls; the others follow a rule
(the benchmark's classical ones) or a strategist's advice.

Folder of an arm: settings.toml (what was asked for), metrics.csv (a row per seed and episode), performance.csv (all metrics
of the final policy, a row per seed and split), trajectories.csv.gz, weights.safetensors (learned arms), manifest.json. The
manifest is written last: a folder without one is unfinished and is continued from its checkpoints, or, where an arm has
none (rules, the account that follows advice, the untrained backbone, PPO on numbers), made from the beginning.
"""

from __future__ import annotations

import gzip
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from llmrl_lib import __version__
from llmrl_lib.experiments.flag_arms import (
    FLAG_ARMS,
    NUMBERS,
    UNTRAINED,
    backbone_files,
    first_training_row,
    flag_settings,
    train_flag_arm,
)
from llmrl_lib.experiments.folders import (
    ExperimentError,
    read_toml,
    refuse_other_settings,
    write_text,
    write_toml,
    write_whole,
)
from llmrl_lib.experiments.guided import LEARNED, LLM_ONLY, described, hears_strategies, problems_of
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.settings import Profile, to_table
from llmrl_lib.strategy.backtest import backtest
from llmrl_lib.strategy.records import Strategy

if TYPE_CHECKING:
    from llmrl_lib.trading.flag_trader.training import FlagTraining
    from llmrl_lib.trading.tdqn import Progress, Training

CLASSICAL = ("buy_and_hold", "sell_and_hold", "trend_following", "mean_reversion")
ARMS = (*LEARNED, LLM_ONLY, *FLAG_ARMS, *CLASSICAL)
RUN, MANIFEST, SETTINGS, CHECKPOINTS = "run.toml", "manifest.json", "settings.toml", "checkpoints"
NAMED_BY = (
    "ticker",
    "arm",
    "dataset",
    "tdqn",
    "flag_trader",
    "backbone_files",
    "advice",
)  # what makes two trials of one run different
PACKAGES = ("torch", "numpy", "pandas")


def run_arm(
    dataset: Dataset,
    ticker: str,
    arm: str,
    profile: Profile,
    folder: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
    strategies: Sequence[Strategy] = (),
) -> Arm:
    """The finished arm in `folder`: read if it is there, else trained (or simulated) and written.

    `workers` is the number of processes that a learned arm may train in; `progress` hears of its finished episodes.
    `strategies` are the ticker's, over both splits, for the arms that hear advice. An unfinished folder is continued. Raises
    ExperimentError for an unknown arm, for one that lacks its strategies, and for a folder made with other settings, seeds,
    strategies, data or checkpoint; DatasetError for bars and UnknownModelError for a checkpoint that cannot be used; OSError
    if the folder cannot be written.
    """
    request, found = _begun(dataset, ticker, arm, profile, folder, strategies)
    if found is not None:
        return found
    train, test = dataset.train_bars(ticker), dataset.test_bars(ticker)
    if arm in LEARNED:
        from llmrl_lib.trading.tdqn import train_runs

        problems = {"": problems_of(ticker, arm, train, test, strategies, profile.seeds)}
        checkpoints = folder / CHECKPOINTS
        training = train_runs(
            problems, profile.seeds, profile.tdqn, workers=workers, checkpoint=checkpoints, progress=progress
        )[""]
        about = _write_training(folder, training)
    elif arm in FLAG_ARMS:
        trained = train_flag_arm(arm, train, test, profile, folder / CHECKPOINTS, progress)
        about = {**_write_training(folder, trained), "backbone": trained.backbone}
    elif arm == LLM_ONLY:
        about = _follow(strategies, train, test, profile, folder)
    else:
        about = _simulate_classical(arm, train, test, profile, folder)
    return _ended(folder, train, test, profile, request, about)


def run_arms(
    dataset: Dataset,
    wanted: Mapping[tuple[str, str], Path],
    profile: Profile,
    strategies: Mapping[str, Sequence[Strategy]],
    progress: Callable[[Progress], None] | None = None,
    device: str = "auto",
    workers: int = 1,
    checkpoint: Path | None = None,
) -> dict[tuple[str, str], Arm]:
    """Learned arms by (ticker, arm), each in its folder, trained side by side: on a GPU all runs go in one group.

    `strategies` are by ticker; `progress` hears of problems named `ticker/arm`. Finished arms are read; the others are
    written when all have ended. Raises what `run_arm` raises.
    """
    from llmrl_lib.trading.tdqn import train_runs

    arms: dict[tuple[str, str], Arm] = {}
    left = {}
    for (ticker, arm), folder in wanted.items():
        told = strategies.get(ticker, ())
        request, found = _begun(dataset, ticker, arm, profile, folder, told)
        if found is not None:
            arms[ticker, arm] = found
            continue
        train, test = dataset.train_bars(ticker), dataset.test_bars(ticker)
        problems = problems_of(ticker, arm, train, test, told, profile.seeds)
        left[f"{ticker}/{arm}"] = (ticker, arm, folder, request, train, test, problems)
    if left:
        problems_by_name = {name: entry[-1] for name, entry in left.items()}
        trained = train_runs(problems_by_name, profile.seeds, profile.tdqn, device, workers, checkpoint, progress)
        for name, (ticker, arm, folder, request, train, test, _) in left.items():
            arms[ticker, arm] = _ended(folder, train, test, profile, request, _write_training(folder, trained[name]))
    return arms


def begin_arm(
    dataset: Dataset, ticker: str, arm: str, profile: Profile, folder: Path, strategies: Sequence[Strategy] = ()
) -> Arm | None:
    """Writes down what is asked for in `folder`, as `run_arm` does before it trains; the arm if it is finished there.

    Raises what `run_arm` raises before it trains.
    """
    return _begun(dataset, ticker, arm, profile, folder, strategies)[1]


def train_seed(
    dataset: Dataset,
    ticker: str,
    arm: str,
    profile: Profile,
    folder: Path,
    seed: int,
    progress: Callable[[Progress], None] | None = None,
    strategies: Sequence[Strategy] = (),
) -> None:
    """Trains one of the profile's seeds of a learned arm on the CPU, into the checkpoint from which `run_arm` takes it.

    Raises what `run_arm` raises while it trains.
    """
    from llmrl_lib.trading.tdqn import train_runs

    train, test = dataset.train_bars(ticker), dataset.test_bars(ticker)
    problems = problems_of(ticker, arm, train, test, strategies, [seed])
    train_runs({"": problems}, [seed], profile.tdqn, "cpu", checkpoint=folder / CHECKPOINTS, progress=progress)


def _begun(
    dataset: Dataset, ticker: str, arm: str, profile: Profile, folder: Path, strategies: Sequence[Strategy]
) -> tuple[dict[str, Any], Arm | None]:
    """What is asked for, written to the folder as its settings, and the arm if it is there already."""
    if arm not in ARMS:
        raise ExperimentError(f"there is no arm {arm!r}; choose from {', '.join(ARMS)}")
    if hears_strategies(arm) and not strategies:
        raise ExperimentError(
            f"the arm {arm} needs strategies of {ticker}; name a guide in the profile, or leave it out"
        )
    request = {
        "ticker": ticker,
        "arm": arm,
        "dataset": dataset.name,
        "dataset_hash": dataset.content_hash(ticker),
        "seeds": list(profile.seeds),
        "tdqn": to_table(profile.tdqn),
    }
    if arm in FLAG_ARMS:
        settings = flag_settings(arm, profile)
        request["flag_trader"] = to_table(settings)
        if arm == UNTRAINED:
            request["seeds"] = [0]  # one account, whatever seeds the others have
        if arm != NUMBERS:
            request["backbone_files"] = backbone_files(settings)
    if advice := described(arm, strategies):
        request["advice"] = advice
    begun = (folder / SETTINGS).is_file()
    if begun:
        refuse_other_settings(folder, read_toml(folder / SETTINGS), request)
    _count(folder, request)
    if begun and (folder / MANIFEST).is_file():
        return request, _without_checkpoints(folder)
    write_toml(folder / SETTINGS, request)
    return request, None


def _count(folder: Path, request: Mapping[str, Any]) -> None:
    """Writes down in the run that this configuration is tried; an arm outside of a run is nobody's trial."""
    from llmrl_lib.evidence.audit import record_trial

    run = folder.absolute().parent.parent
    if (run / RUN).is_file():
        record_trial(run, {name: request[name] for name in NAMED_BY if name in request})


def _ended(
    folder: Path,
    train: pd.DataFrame,
    test: pd.DataFrame,
    profile: Profile,
    request: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Arm:
    """Writes what follows from the trajectories, and the manifest last."""
    begin = first_training_row(profile, len(train)) if request["arm"] in FLAG_ARMS else 0
    _write_performance(folder, train.iloc[begin:], test, profile.tdqn.cash)
    names = ("ticker", "arm", "dataset", "dataset_hash", "seeds", "advice")
    manifest = {name: request[name] for name in names if name in request}
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
        """Whether the arm is a trained TDQN, with episodes, weights and values of long and short."""
        return self.name in LEARNED

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """A row per seed and training episode: steps, train_sharpe, test_sharpe, test_max_drawdown, q_short, q_long."""
        return self._table("metrics.csv")

    @cached_property
    def performance(self) -> pd.DataFrame:
        """A row per seed and split (train, test): every metric of the final policy, as fractions and ratios.

        Those of FLAG-Trader and its controls on the training split speak of its newest `train_days` alone, where the
        settings name some; other arms' then speak of other days.
        """
        return self._table("performance.csv")

    @cached_property
    def trajectories(self) -> pd.DataFrame:
        """A row per seed, split and trading step of the final policy."""
        return self._table("trajectories.csv.gz", parse_dates=["date"])

    def _table(self, name: str, **options: Any) -> pd.DataFrame:
        """A table of the arm's folder. Raises ExperimentError where it was lost after the arm was finished."""
        try:
            return pd.read_csv(self.folder / name, **options)
        except FileNotFoundError:
            remedy = f"delete {self.folder} and give the llmrl run command again"
            raise ExperimentError(f"{self.folder / name} is gone from a finished arm; {remedy}") from None

    def weights(self) -> dict[str, np.ndarray]:
        """The trained weights by name, the leading axis being the seed."""
        from safetensors.numpy import load_file

        return load_file(self.folder / "weights.safetensors")


def _without_checkpoints(folder: Path) -> Arm:
    """Reads a finished arm, whose checkpoints are of no more use."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return load_arm(folder)


def _write_training(folder: Path, training: Training | FlagTraining) -> dict[str, Any]:
    """Writes a trained arm's tables and weights; returns what the manifest says. One only prompted has paths alone."""
    from safetensors.numpy import save

    _write_csv(folder / "trajectories.csv.gz", training.trajectories)
    if len(training.episodes):
        _write_csv(folder / "metrics.csv", training.episodes)
        weights = {name: np.ascontiguousarray(values) for name, values in training.weights.items()}
        content = save(weights)
        write_whole(folder / "weights.safetensors", lambda part: part.write_bytes(content))
    return {"device": training.device, "seconds": round(training.seconds, 3)}


def _follow(
    strategies: Sequence[Strategy], train: pd.DataFrame, test: pd.DataFrame, profile: Profile, folder: Path
) -> dict[str, Any]:
    """The account that does what the strategist says; each draw of several is an account of its own, its seed."""
    started = time.perf_counter()
    first, paths = profile.tdqn.state_length, []
    for draw in sorted({one.draw for one in strategies}):
        own = [one for one in strategies if one.draw == draw]
        for split, bars in (("train", train), ("test", test)):
            path = backtest(bars, own, _first_advised(own, bars, first), profile.tdqn)
            paths.append(_numbered(path, draw, split, bars))
    _write_csv(folder / "trajectories.csv.gz", pd.concat(paths, ignore_index=True))
    return {"device": "cpu", "seconds": round(time.perf_counter() - started, 3)}


def _first_advised(strategies: Sequence[Strategy], bars: pd.DataFrame, first_row: int) -> int:
    """The agents' first tradable row, or the first one after a decision where that comes later."""
    return max(first_row, int(bars.index.searchsorted(min(one.date for one in strategies), side="right")))


def _numbered(path: pd.DataFrame, seed: int, split: str, bars: pd.DataFrame) -> pd.DataFrame:
    """A simulated path as rows of trajectories.csv.gz."""
    table = path.assign(seed=seed, split=split, row=bars.index.get_indexer(path.index))
    table = table.rename_axis("date").reset_index()
    order = ["seed", "split", "date", "row"]
    return table[[*order, *(name for name in table if name not in order)]]


def _simulate_classical(
    arm: str, train: pd.DataFrame, test: pd.DataFrame, profile: Profile, folder: Path
) -> dict[str, Any]:
    from llmrl_lib.trading.classical import classical_strategies

    started = time.perf_counter()
    result = classical_strategies(train, test, profile.tdqn, (arm,))[arm]
    paths = [
        _numbered(path, 0, split, bars)
        for split, bars, path in (("train", train, result.train), ("test", test, result.test))
    ]
    _write_csv(folder / "trajectories.csv.gz", pd.concat(paths, ignore_index=True))
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
