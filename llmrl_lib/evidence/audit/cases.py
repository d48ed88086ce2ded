"""What is audited: one ticker of a run, its arms as they were recorded, and what its advice was made of.

Nothing here reads a run folder: whoever has one hands over a `Case` (see `experiments.auditing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd

from llmrl_lib.language.chat import Chat
from llmrl_lib.language.prompts import Prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.metrics import prepend, sharpe_ratio
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.strategy.guidance import guidance
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.strategist import Ask
from llmrl_lib.trading.accounting import simulate_paths
from llmrl_lib.trading.problem import checked, with_history

HOLDING = "buy_and_hold"
PAIRS = (("guided", "unguided"), ("guided", HOLDING), ("llm_only", HOLDING), ("unguided", HOLDING))
NEVER: Literal["never"] = "never"  # cutoff of a model that has never seen anything real
Guide = Callable[[Sequence[Strategy], pd.DatetimeIndex], pd.Series]
Cutoff = pd.Timestamp | Literal["never"] | None


class AuditError(ValueError):
    """A run that cannot be audited as it is; the message says what does not fit."""


class AuditedArm(Protocol):
    """What an audit needs of an arm; `experiments.Arm` is one."""

    @property
    def name(self) -> str:
        """The arm's folder name."""
        ...

    @property
    def learned(self) -> bool:
        """Whether it was trained, so that its seeds differ."""
        ...

    @property
    def trajectories(self) -> pd.DataFrame:
        """A row per seed, split and step: seed, split, date, action, equity, daily_return, position, ..."""
        ...


class Paths(NamedTuple):
    """The test paths of one arm; arrays are (seed, step)."""

    seeds: tuple[int, ...]
    actions: np.ndarray  # int64, 1 long, 0 short
    returns: np.ndarray  # simple
    equity: np.ndarray


@dataclass(frozen=True)
class Stored:
    """Where a run's strategies came from, so that they can be made again."""

    prompt: str | Path | Prompt
    replies: Chat  # a Replay without a chat
    start: pd.Timestamp  # of the order
    ask: Ask


@dataclass(frozen=True)
class Case:
    """One ticker of a run."""

    ticker: str
    dataset: Dataset
    settings: TdqnSettings
    arms: Mapping[str, AuditedArm]
    prompts: tuple[str | Path | Prompt, ...] = ()  # that were asked
    strategies: tuple[Strategy, ...] = ()  # that guided
    guide: Guide = field(default=lambda given, dates: guidance(given, dates, may_begin_late=True))
    stored: Stored | None = None
    ask: Ask = field(default_factory=Ask)
    cutoff: Cutoff = None  # the last day that the model can have read about
    trials: int | None = None  # configurations ever started; None: nobody counted

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The comparisons of PAIRS whose arms are both there; the first one always."""
        return [pair for pair in PAIRS if pair == PAIRS[0] or not self.lacking(*pair)]

    def lacking(self, *arms: str) -> list[str]:
        """Those of `arms` that the case does not have."""
        return [arm for arm in arms if arm not in self.arms]

    @cached_property
    def closes(self) -> np.ndarray:
        """The closes that test trades are executed at, borrowed rows of a warm start in front."""
        return self._traded[0]["close"].to_numpy(np.float64)

    @property
    def first_row(self) -> int:
        """The first tradable row of `closes`."""
        return self._traded[1]

    @cached_property
    def dates(self) -> pd.DatetimeIndex:
        """The test days that are traded, one per step."""
        return pd.DatetimeIndex(self._traded[0].index[self.first_row :])

    @property
    def warm_up(self) -> int:
        """Test rows before the first trade; they count in every Sharpe ratio, with a return of 0."""
        return len(self._test) - len(self.dates)

    @cached_property
    def paths(self) -> dict[str, Paths]:
        """The recorded test paths of all arms. Raises AuditError for an arm that was traded on other days."""
        return {name: self._paths(name, arm.trajectories) for name, arm in self.arms.items()}

    def returns(self, arm: str) -> np.ndarray:
        """The recorded daily returns (seed, day) on `dates`, 0 before the arm's first trade."""
        path = self.paths[arm]
        return prepend(path.returns, len(self.dates) - path.returns.shape[1])

    def sharpe(self, arm: str, within: np.ndarray | None = None) -> np.ndarray:
        """The recorded annual test Sharpe ratio of each seed (seed,), as the run's tables have it; or of some of `dates`."""
        returns = self.returns(arm)
        return np.atleast_1d(sharpe_ratio(prepend(returns, self.warm_up) if within is None else returns[:, within]))

    def difference(self, first: str, second: str, within: np.ndarray | None = None) -> float:
        """Mean over seeds of the first arm's test Sharpe ratio less that of the second."""
        return float(self.sharpe(first, within).mean() - self.sharpe(second, within).mean())

    def traded(self, cost_rate: float, delay: int = 0, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """The test Sharpe ratio of each seed (seed,) of every arm, or `only` some, when recorded actions are traded again.

        At another cost, or `delay` bars later: nothing is held until then. The policy stays the one that was trained.
        """
        every = self.warm_up + len(self.dates)
        return {
            arm: np.atleast_1d(sharpe_ratio(prepend(path["daily_return"], every - path["daily_return"].shape[1])))
            for arm, path in self.traded_again(cost_rate, delay, only).items()
        }

    def traded_again(
        self, cost_rate: float, delay: int = 0, only: Collection[str] | None = None
    ) -> dict[str, dict[str, np.ndarray]]:
        """The columns of `simulate_paths` of every arm, each (seed, step). Arms with equally many steps go together."""
        found = {}
        asked = {arm: path for arm, path in self.paths.items() if only is None or arm in only}
        for steps in {path.actions.shape[1] for path in asked.values()}:
            arms = [arm for arm, path in asked.items() if path.actions.shape[1] == steps]
            actions = np.concatenate([self.paths[arm].actions for arm in arms])[:, : steps - delay]
            first, settings = len(self.closes) - steps + delay, self.settings
            columns = simulate_paths(
                self.closes, actions, settings.cash, cost_rate, first, settings.short_margin, settings.quirks
            )
            ends = np.cumsum([len(self.paths[arm].seeds) for arm in arms])
            for arm, end in zip(arms, ends.tolist(), strict=True):
                own = slice(end - len(self.paths[arm].seeds), end)
                found[arm] = {name: values[own] for name, values in columns.items()}
        return found

    @cached_property
    def _train(self) -> pd.DataFrame:
        bars = self.dataset.train_bars(self.ticker)
        return checked(bars, "training", self.settings.state_length, self.settings.quirks)

    @cached_property
    def _test(self) -> pd.DataFrame:
        bars = self.dataset.test_bars(self.ticker)
        return checked(bars, "test", self.settings.state_length, self.settings.quirks)

    @cached_property
    def _traded(self) -> tuple[pd.DataFrame, int]:
        return with_history(self._train, self._test, self.settings)

    def _paths(self, name: str, table: pd.DataFrame) -> Paths:
        test = table[table["split"] == "test"]
        wide = {column: test.pivot(index="seed", columns="date", values=column) for column in _COLUMNS}
        days = pd.DatetimeIndex(wide["action"].columns)
        if not len(days) or not days.equals(self.dates[-len(days) :]):
            what = (
                f"{self.ticker} {name} was traded on {len(days)} test days that are not the last ones of the dataset's"
            )
            raise AuditError(f"{what} {len(self.dates)}; audit it with the dataset and settings that it was made with")
        action, returns, equity = (wide[column].to_numpy() for column in _COLUMNS)
        return Paths(tuple(int(seed) for seed in wide["action"].index), action.astype(np.int64), returns, equity)


_COLUMNS = ("action", "daily_return", "equity")
