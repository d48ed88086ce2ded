"""How a prompt does on some windows, followed with the accounting and costs of every other arm, and what its readings did.

The Sharpe ratio of several windows is that of an investor who has, on each day, the same in each window that is open:
one series of daily returns, so that shares that moved together do not count as several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmrl_lib.language.chat import Chat, Usage
from llmrl_lib.language.prompts import Prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.metrics import sharpe_ratio
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.strategy.backtest import backtest
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.refinement.judge import Month, Tally
from llmrl_lib.strategy.refinement.windows import Window
from llmrl_lib.strategy.strategist import Ask, Decisions, decisions, make_planned_strategies
from llmrl_lib.trading.accounting import simulate

SETTINGS = TdqnSettings()
SHOWN_MONTHS = 2  # of those that went wrong, and as many of those that went right


@dataclass(frozen=True)
class Ground:
    """Windows with all that is needed to try prompts on them."""

    dataset: Dataset
    windows: Mapping[str, Window]
    plans: Mapping[str, Decisions]
    bars: Mapping[str, pd.DataFrame]  # of the windows
    market: pd.Series  # daily returns of holding
    every: int

    @property
    def market_sharpe(self) -> float:
        """The annual Sharpe ratio of holding."""
        return ratio(self.market)


@dataclass(frozen=True)
class Followed:
    """A prompt's strategies on a ground, and what following them earned."""

    strategies: tuple[Strategy, ...]
    returns: pd.Series  # daily, mean over the windows open on a day
    usage: Usage

    @property
    def sharpe(self) -> float:
        """Annual."""
        return ratio(self.returns)


def ground_of(dataset: Dataset, windows: Mapping[str, Window], every: int) -> Ground:
    """Decision dates, features and bars of the windows."""
    plans, bars, held = {}, {}, {}
    for ticker, window in windows.items():
        bars[ticker] = window.of(dataset.bars(ticker))
        plans[ticker] = decisions(dataset, ticker, window.start, window.last, every)
        path = simulate(bars[ticker], np.ones(window.rows - 1, np.int64), SETTINGS.cash, SETTINGS.cost_rate, 1)
        held[ticker] = path["daily_return"]
    return Ground(dataset, windows, plans, bars, _together(held), every)


def follow(ground: Ground, prompt: Prompt, chat: Chat, ask: Ask) -> Followed:
    """Makes the strategies of a prompt and follows them, window by window.

    Raises what `make_planned_strategies` raises: StrategiesError where some could not be made.
    """
    made = make_planned_strategies(ground.dataset, ground.plans, prompt, chat, ask=ask)
    paths = {}
    for ticker, bars in ground.bars.items():
        own = [one for one in made if one.ticker == ticker]
        paths[ticker] = backtest(bars, own, 1, SETTINGS, ground.every)["daily_return"]
    usage = sum((one.usage for one in made), Usage(0, 0, calls=0))
    return Followed(tuple(made), _together(paths), usage)


def tallies_of(ground: Ground, prompt: Prompt, strategies: tuple[Strategy, ...]) -> tuple[Tally, ...]:
    """How often the readings of each field of a prompt agreed with what came."""
    counts = {name: [0, 0, 0] for name in prompt.features}
    for strategy in strategies:
        rose = _earned(ground, strategy) > 0
        read = {item.feature: item.reading for item in strategy.evidence if item.feature in counts}
        for name, reading in read.items():
            counts[name][0] += 1
            if reading != "neutral":
                counts[name][1 if (reading == "bullish") == rose else 2] += 1
    return tuple(Tally(name, *count) for name, count in counts.items())


def telling_months(ground: Ground, strategies: tuple[Strategy, ...]) -> tuple[Month, ...]:
    """The decisions that cost most and those that gained most, by date."""
    months = [(one, Month(one.direction, _earned(ground, one), one.rationale)) for one in strategies]
    by_gain = sorted(months, key=lambda item: item[1].earned if item[1].direction else -item[1].earned)
    chosen = {id(one): (one, month) for one, month in (*by_gain[:SHOWN_MONTHS], *by_gain[-SHOWN_MONTHS:])}
    return tuple(month for _, month in sorted(chosen.values(), key=lambda item: (item[0].date, item[0].ticker)))


def ratio(returns: pd.Series) -> float:
    """The annual Sharpe ratio of daily returns; 0 where they do not move."""
    values = returns.to_numpy("float64")
    return float(sharpe_ratio(values)) if len(values) > 1 and values.std() > 0 else 0.0


def _earned(ground: Ground, strategy: Strategy) -> float:
    """The share's return over the days after a decision in which it counts, as far as the window goes."""
    bars = ground.bars[strategy.ticker]
    row = int(bars.index.searchsorted(strategy.date))
    closes = bars["close"].to_numpy("float64")
    return float(closes[min(row + ground.every, len(closes) - 1)] / closes[row] - 1.0)


def _together(paths: Mapping[str, pd.Series]) -> pd.Series:
    return pd.concat([pd.Series(path, dtype="float64") for path in paths.values()], axis=1).mean(axis=1).sort_index()
