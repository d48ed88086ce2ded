"""How fast this machine trains beside the one whose speeds are recorded: a few dozen real steps of the published network."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import pandas as pd

from llmrl_lib.experiments.planning.speeds import Speeds
from llmrl_lib.experiments.planning.training import step_ms
from llmrl_lib.settings import TdqnSettings

WARM_UP, ROUNDS, STEPS = 40, 5, 20  # steps first, then so many times so many steps
EPSILON = 0.266  # mean share of random actions over a run of 50 episodes: a greedy one costs a forward pass more


@dataclass(frozen=True)
class Calibration:
    """What was measured here, and what was recorded for the same."""

    milliseconds: float  # of a step here, the median of the rounds
    recorded: float  # of a step

    @property
    def factor(self) -> float:
        """What recorded seconds of a processor are multiplied by for this machine."""
        return self.milliseconds / self.recorded


def calibrate(train: pd.DataFrame, test: pd.DataFrame, settings: TdqnSettings, speeds: Speeds) -> Calibration:
    """Trains the published network on these bars, in the precision of `settings`, for some hundred steps on one thread.

    Raises ValueError for bars of too few days.
    """
    import torch

    from llmrl_lib.experiments.guided import UNGUIDED
    from llmrl_lib.trading.learner import Group
    from llmrl_lib.trading.problem import Problem, prepare

    usual = TdqnSettings()
    published = replace(usual, precision=settings.precision, epsilon_start=EPSILON, epsilon_end=EPSILON)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        group = Group((prepare(Problem(train, test), published),), [0], published)
        if group.steps < WARM_UP + ROUNDS * STEPS:
            raise ValueError(f"{len(train)} training days are too few to calibrate on; leave out --calibrate")
        group.advance(limit=WARM_UP)
        rounds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            group.advance(limit=STEPS)
            rounds.append(1e3 * (time.perf_counter() - started) / STEPS)
    finally:
        torch.set_num_threads(before)
    return Calibration(statistics.median(rounds), step_ms(UNGUIDED, published, speeds))
