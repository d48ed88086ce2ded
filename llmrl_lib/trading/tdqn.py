"""The trading DQN of Theate & Ernst (2021), trained for many seeds, arms and tickers at once.

`train_tdqn` follows the reference's public code (double Q-learning, batch normalisation, dropout, sticky epsilon-greedy
exploration, the imagined outcome of the other action); `settings.Quirks` lists its quirks. What makes it fast changes no
number: replay stores rows and positions instead of observations, the target network is a table that is filled once per
copy, and states and next states share their matrix products. On CPU every run is a task of its own for a worker process
with one thread; on a GPU all runs go in lock-step through one captured graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from llmrl_lib.settings import TdqnSettings, settings_or_default
from llmrl_lib.trading.evaluation import trajectory, walk
from llmrl_lib.trading.learner import RunResult
from llmrl_lib.trading.problem import Prepared, Problem, prepare
from llmrl_lib.trading.tasks import Listener, Progress, Task, run_tasks

__all__ = ["Progress", "Training", "train_runs", "train_tdqn"]


@dataclass(frozen=True)
class Training:
    """What a training gave. All frames have one row per thing named; money in the bars' currency, returns simple."""

    seeds: tuple[int, ...]
    settings: TdqnSettings
    device: str
    seconds: float  # training time summed over runs
    # (seed, episode): steps so far, train_sharpe, test_sharpe, test_max_drawdown, mean q_short and q_long on the test
    episodes: pd.DataFrame
    # final policies, (seed, split, date): row of the split, `simulate`'s columns, q_short, q_long
    trajectories: pd.DataFrame
    weights: dict[str, np.ndarray]  # final networks by parameter name, leading axis seed


def train_tdqn(
    train_bars: pd.DataFrame,
    test_bars: pd.DataFrame,
    guidance: pd.Series | pd.DataFrame | None = None,
    seeds: Sequence[int] = (0,),
    settings: TdqnSettings | None = None,
    device: str = "auto",
    workers: int = 1,
    checkpoint: Path | None = None,
    progress: Listener | None = None,
) -> Training:
    """Trains one agent per seed on `train_bars` and judges it on both splits after every episode.

    Bars have columns open, high, low, close, volume and a date index. `guidance`, where given, is a series in [-1, 1] with a
    value for every trading day of both splits, known at the previous close; it joins the observation as its last number (a
    frame: one number per column).
    `device` is "cpu", "cuda" or "auto"; `workers` is the number of processes on CPU. With `checkpoint`, a folder, a killed
    call that is made again goes on where it was and ends in the same numbers. `progress` is called after every episode.

    Raises ValueError for unusable bars or guidance, CheckpointError for a checkpoint of another run, OSError where a
    checkpoint cannot be written (what was written before is kept).
    """
    problem = Problem(train_bars, test_bars, guidance)
    return train_runs({"": problem}, seeds, settings, device, workers, checkpoint, progress)[""]


def train_runs(
    problems: Mapping[str, Problem | Sequence[Problem]],
    seeds: Sequence[int] = (0,),
    settings: TdqnSettings | None = None,
    device: str = "auto",
    workers: int = 1,
    checkpoint: Path | None = None,
    progress: Listener | None = None,
) -> dict[str, Training]:
    """`train_tdqn` for several problems (tickers, arms) that share seeds and settings; all their runs train at once.

    A sequence of problems gives each seed its own; they must be on the same bars.
    """
    if isinstance(seeds, int):
        raise ValueError(f"seeds is {seeds}; give the seeds themselves, e.g. range({seeds})")
    settings, seeds = settings_or_default(settings, TdqnSettings), [int(seed) for seed in seeds]
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"seeds are {seeds}; give at least one, each once")
    place = device_of(device)
    prepared = {name: _prepared(name, problem, seeds, settings) for name, problem in problems.items()}
    tasks = _tasks(prepared, seeds, settings, place)
    folder = None if checkpoint is None else Path(checkpoint)
    results = run_tasks(tasks, workers if place.type == "cpu" else 1, folder, progress)
    return {
        name: _training([results[name, seed] for seed in seeds], tuple(seeds), prepared[name], settings, place.type)
        for name in problems
    }


def _prepared(
    name: str, problem: Problem | Sequence[Problem], seeds: list[int], settings: TdqnSettings
) -> tuple[Prepared, ...]:
    """The problem of each seed; one that is the same for all is laid out once."""
    if isinstance(problem, Problem):
        return (prepare(problem, settings),) * len(seeds)
    if len(problem) != len(seeds):
        raise ValueError(
            f"{name} has {len(problem)} problems for {len(seeds)} seeds; give one for each seed, or one for all"
        )
    return tuple(prepare(own, settings) for own in problem)


def _tasks(
    prepared: dict[str, tuple[Prepared, ...]], seeds: list[int], settings: TdqnSettings, device: torch.device
) -> list[Task]:
    """One task a run on CPU; on a GPU one for all."""
    runs = [((name, seed), own) for name, each in prepared.items() for seed, own in zip(seeds, each, strict=True)]
    if device.type == "cpu":
        return [Task((run,), (own,), settings, "cpu") for run, own in runs]
    return [Task(tuple(run for run, _ in runs), tuple(own for _, own in runs), settings, str(device))]


def _training(
    runs: list[RunResult],
    seeds: tuple[int, ...],
    problems: tuple[Prepared, ...],
    settings: TdqnSettings,
    device: str,
) -> Training:
    frames = []
    for seed, run, prepared in zip(seeds, runs, problems, strict=True):
        for split, segment, q in (("train", prepared.train, run.train_q), ("test", prepared.test, run.test_q)):
            frames.append(trajectory(seed, split, segment, walk(q), settings))
    return Training(
        seeds,
        settings,
        device,
        sum(run.seconds for run in runs),
        pd.DataFrame([{"seed": seed, **row} for seed, run in zip(seeds, runs, strict=True) for row in run.episodes]),
        pd.concat(frames, ignore_index=True),
        {name: np.stack([run.weights[name] for run in runs]) for name in runs[0].weights},
    )


def device_of(name: str) -> torch.device:
    """The device of this name, "auto" being a GPU where there is one. Raises ValueError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device is {name!r}; choose auto, cpu or cuda")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but torch sees no GPU; use device='cpu' or install a CUDA build of torch")
    return device
