"""FLAG-Trader and what it is compared with, as arms of a run: trained, prompted, random weights, and numbers without text.

All of them trade through the run's account (cash, costs, margin and its quirks) from its first tradable row. They hear
no strategist: what their policy reads is prices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.settings import FlagTraderSettings, Profile

if TYPE_CHECKING:
    from llmrl_lib.trading.flag_trader.training import FlagTraining
    from llmrl_lib.trading.tasks import Progress

FLAG_TRADER, UNTRAINED, RANDOM, NUMBERS = "flag_trader", "flag_trader_untrained", "flag_trader_random", "ppo_numbers"
FLAG_ARMS = (FLAG_TRADER, UNTRAINED, RANDOM, NUMBERS)


def flag_settings(arm: str, profile: Profile) -> FlagTraderSettings:
    """The settings of an arm: the profile's, with the account of the run's other arms.

    Raises ExperimentError where the run's other arms begin to trade on another test day than these can.
    """
    tdqn = profile.tdqn
    if not tdqn.quirks.test_starts_cold:
        raise ExperimentError(
            f"the arm {arm} begins its test at row {tdqn.state_length}, and with tdqn.quirks.test_starts_cold = false the "
            "other arms begin at the first: their days would differ; keep that quirk, or leave out the arms "
            f"{', '.join(FLAG_ARMS)}"
        )
    return replace(
        profile.flag_trader,
        random_weights=arm == RANDOM,
        cash=tdqn.cash,
        cost_rate=tdqn.cost_rate,
        short_margin=tdqn.short_margin,
        first_row=tdqn.state_length,
        quirks=tdqn.quirks,
    )


def first_training_row(profile: Profile, rows: int) -> int:
    """Where the training days of FLAG_ARMS begin, of so many: `train_days` and the rows before a first trade count."""
    days = profile.flag_trader.train_days
    return max(0, rows - days - profile.tdqn.state_length) if days else 0


def backbone_files(settings: FlagTraderSettings) -> str:
    """A hash of the checkpoint that an arm reads with, so that a folder made with another one is told from it."""
    from llmrl_lib.trading.flag_trader.files import files_hash

    return files_hash(settings.backbone)


def train_flag_arm(
    arm: str,
    train: pd.DataFrame,
    test: pd.DataFrame,
    profile: Profile,
    checkpoint: Path,
    progress: Callable[[Progress], None] | None,
) -> FlagTraining:
    """Trains, or prompts, one of FLAG_ARMS. Raises what `train_flag_trader` raises."""
    from llmrl_lib.trading.flag_trader.training import FlagProblem, train_flag_runs

    settings, problem = flag_settings(arm, profile), FlagProblem(train, test)
    if arm == UNTRAINED:
        from llmrl_lib.trading.flag_trader.prompted import prompt_flag_trader

        return prompt_flag_trader(problem, settings)
    if arm == NUMBERS:
        from llmrl_lib.trading.flag_trader.numbers import train_on_numbers

        return train_on_numbers(problem, profile.seeds, settings, progress)
    return train_flag_runs({"": problem}, profile.seeds, settings, checkpoint=checkpoint, progress=progress)[""]
