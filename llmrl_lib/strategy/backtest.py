"""Trades strategies without an agent, with the same accounting and costs as every other arm."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from llmrl_lib.settings import TdqnSettings
from llmrl_lib.strategy.guidance import in_force
from llmrl_lib.strategy.memory import EVERY
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.trading.accounting import simulate

DEFAULTS = TdqnSettings()


def backtest(
    bars: pd.DataFrame,
    strategies: Iterable[Strategy],
    first_row: int = DEFAULTS.state_length,
    settings: TdqnSettings = DEFAULTS,
    every: int = EVERY,
) -> pd.DataFrame:
    """The trajectory of following the strategies of one ticker and draw over `bars`; columns as of `simulate`.

    On each row from `first_row` on, the account is put, at that row's close, on the side of the last strategy decided before
    the row: as late as an agent that sees the same advice. Cash, cost rate, short margin and quirks come from `settings`;
    `first_row` is the agents' first tradable row. Raises ValueError for strategies of several tickers or draws, and where on
    a row to be traded no strategy is in force yet, or the last one is older than `every` rows: no side is neutral.
    """
    actions = strategy_actions(strategies, pd.DatetimeIndex(bars.index), first_row, every)
    return simulate(bars, actions, settings.cash, settings.cost_rate, first_row, settings.short_margin, settings.quirks)


def strategy_actions(
    strategies: Iterable[Strategy], dates: pd.DatetimeIndex, first_row: int = 0, every: int = EVERY
) -> np.ndarray:
    """The action (1 long, 0 short) of each of `dates` from `first_row` on; see `backtest`."""
    ordered = sorted(strategies, key=lambda strategy: strategy.date)
    if not ordered:
        raise ValueError("no strategy was given; make some with make_strategies")
    for what, values in (("tickers", {one.ticker for one in ordered}), ("draws", {one.draw for one in ordered})):
        if len(values) > 1:
            listed = ", ".join(str(value) for value in sorted(values))
            raise ValueError(f"strategies of the {what} {listed}; an account follows one of them, so give those of one")
    decided = [strategy.date for strategy in ordered]
    if len(set(decided)) < len(decided):
        raise ValueError("two strategies have the same date; give those of one prompt and model")
    place = in_force(decided, dates, every)[first_row:]
    if (place < 0).any():
        first = dates[first_row]
        raise ValueError(
            f"no strategy is in force on {first:%Y-%m-%d}, the first row to be traded: the first one is of "
            f"{decided[0]:%Y-%m-%d} and counts from the next trading day; make strategies from an earlier date on"
        )
    return np.array([strategy.direction for strategy in ordered], np.int64)[place]
