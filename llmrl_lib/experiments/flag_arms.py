"""FLAG-Trader and what it is compared with, as arms of a run: trained, prompted, random weights, and numbers without text.

All of them trade at the run's costs and from its first tradable row. They hear no strategist: what their policy reads
is prices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from llmrl_lib.settings import FlagTraderSettings, Profile

if TYPE_CHECKING:
    from llmrl_lib.trading.flag_trader.training import FlagTraining
    from llmrl_lib.trading.tasks import Progress

FLAG_TRADER, UNTRAINED, RANDOM, NUMBERS = "flag_trader", "flag_trader_untrained", "flag_trader_random", "ppo_numbers"
FLAG_ARMS = (FLAG_TRADER, UNTRAINED, RANDOM, NUMBERS)


def flag_settings(arm: str, profile: Profile) -> FlagTraderSettings:
    """The settings of an arm: the profile's, with the account of the run's other arms."""
    tdqn = profile.tdqn
    return replace(
        profile.flag_trader,
        random_weights=arm == RANDOM,
        cash=tdqn.cash,
        cost_rate=tdqn.cost_rate,
        first_row=tdqn.state_length,
    )


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
