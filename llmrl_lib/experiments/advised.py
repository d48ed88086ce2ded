"""What a language model advised on one ticker of a run, and what came of it: a row per decision, a path per prompt.

The outcome of a decision at the close of t is the share's return from the close of t + 1 to that of t + 21, before costs:
what is earned by whoever follows it as soon as they can. A direction is right where the outcome lies on its side; a return
of exactly 0 counts as up. It is the definition by which the oracle arms are right or wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from llmrl_lib.experiments.adviser import has_strategies
from llmrl_lib.experiments.runs import Run
from llmrl_lib.language.uncertainty import alternatives_used
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.strategy.backtest import backtest
from llmrl_lib.strategy.guidance import strength
from llmrl_lib.strategy.memory import recall
from llmrl_lib.strategy.records import Strategy, strategy_frame
from llmrl_lib.trading.accounting import simulate
from llmrl_lib.trading.backtest import with_warm_up


def advised(run: Run, ticker: str) -> Advised:
    """The strategies of a run on one ticker. A ticker or run without any gives an empty record, which says so.

    Raises ValueError for a damaged file of strategies, DatasetError and ExperimentError as `Run.dataset_of`.
    """
    named = [prompt for prompt in run.prompts if has_strategies(run.strategies_folder, prompt, ticker)]
    made = {prompt: tuple(run.strategies(ticker, prompt)) for prompt in named}
    return Advised(ticker, run.guide if run.guide in made else "", made, run.dataset_of(ticker), run.settings)


@dataclass(frozen=True)
class Advised:
    """The strategies on one ticker by prompt, in the prompts' order."""

    ticker: str
    guide: str  # the prompt that guides the agent; blank where it made none
    strategies: Mapping[str, Sequence[Strategy]]
    dataset: Dataset
    settings: TdqnSettings

    def __bool__(self) -> bool:
        return bool(self.strategies)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts that have strategies."""
        return tuple(self.strategies)

    @property
    def main(self) -> str:
        """The prompt that is looked at closely: the guiding one, the last one where none guides; blank without any."""
        return self.guide or next(reversed(self.prompts), "")

    @property
    def main_strategies(self) -> tuple[Strategy, ...]:
        """Those of the main prompt and its first draw, by date."""
        made = self.strategies.get(self.main, ())
        first = min((one.draw for one in made), default=0)
        return tuple(sorted((one for one in made if one.draw == first), key=lambda one: one.date))

    @property
    def absent(self) -> str:
        """Why there is nothing to show, as a sentence in italics; also where something is there."""
        return (
            f"*No strategies: no language model has advised on {self.ticker} in this run; its profile may name no prompt. "
            'Add `prompts = ["p0"]` and `guide = "p4"` to the profile, and give the `llmrl run` command again.*'
        )

    @property
    def unmeasured(self) -> str:
        """Why nothing can be said of uncertainty, as a sentence in italics; also where something can."""
        if not self:
            return self.absent
        return (
            "*No log-probabilities: the server that wrote these strategies gave none, so that neither perplexity nor entropy "
            "nor a probability of LONG is known. Guidance then takes the stated confidence alone.*"
        )

    @property
    def measured(self) -> bool:
        """Whether any strategy has log-probabilities."""
        return bool(self.decisions["entropy"].notna().any())

    @cached_property
    def bars(self) -> pd.DataFrame:
        """All bars of the ticker."""
        return self.dataset.bars(self.ticker)

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """A row per prompt, date and draw: the columns of `strategy_frame`, and

        split (train or test), strength (equation 8, from confidence alone without log-probabilities), signal (equation 5),
        nats (entropy of the reply, not normalised), probability (of LONG, at the token that decides; NaN where unknown),
        outcome (NaN while unknown), rose and right (missing while unknown).
        """
        every = [one for strategies in self.strategies.values() for one in strategies]
        table = strategy_frame(every)
        table["split"] = np.where(table["date"] < self.dataset.split, "train", "test")
        table["strength"] = [strength(one, "geometric" if one.tokens else "confidence") for one in every]
        table["signal"] = table["strength"] * (2 * table["direction"] - 1)
        table["nats"] = table["entropy"] * [math.log(alternatives_used(one.tokens) + 1) for one in every]
        table["probability"] = 1.0 / (1.0 + np.exp(-table["log_odds"].astype("float64")))
        table["outcome"] = outcomes(every, self.bars)
        known = table["outcome"].notna()
        table["rose"] = (table["outcome"] >= 0).astype("boolean").where(known)
        table["right"] = (table["rose"] == (table["direction"] == 1)).where(known)
        return table

    @property
    def followed(self) -> pd.DataFrame:
        """The rows of `decisions` of each prompt's first draw, which `paths` follow: one per prompt and date."""
        table = self.decisions
        return table[table["draw"] == table.groupby("prompt")["draw"].transform("min")]

    @cached_property
    def paths(self) -> dict[str, pd.DataFrame]:
        """The account that follows each prompt over the test years, after costs; of several draws the first is followed.

        Columns seed (the draw), split, date, and those of `with_warm_up`: the rows before the first trade are part of it.
        """
        test = self.dataset.test_bars(self.ticker)
        first = {
            prompt: [one for one in made if one.draw == min(other.draw for other in made)]
            for prompt, made in self.strategies.items()
        }
        settings = self.settings
        return {
            prompt: self._whole(backtest(test, made, settings.state_length, settings), first[prompt][0].draw)
            for prompt, made in first.items()
        }

    @cached_property
    def holding(self) -> pd.DataFrame:
        """The account that buys at the first row that can be traded and holds: the market, as `paths`."""
        settings, test = self.settings, self.dataset.test_bars(self.ticker)
        actions = np.ones(len(test) - settings.state_length, np.int64)
        account = (settings.cash, settings.cost_rate, settings.state_length, settings.short_margin, settings.quirks)
        return self._whole(simulate(test, actions, *account), 0)

    def in_force(self, date: pd.Timestamp) -> dict[str, Strategy]:
        """The last decision of each prompt on or before `date`, of the first draw; prompts without one are left out."""
        found = {}
        for prompt, made in self.strategies.items():
            earlier = [one for one in made if one.date <= date]
            if earlier:
                found[prompt] = max(earlier, key=lambda one: (one.date, -one.draw))
        return found

    def _whole(self, path: pd.DataFrame, draw: int) -> pd.DataFrame:
        test = self.dataset.test_bars(self.ticker)
        whole = with_warm_up(path, pd.DatetimeIndex(test.index), self.settings.cash).rename_axis("date").reset_index()
        return whole.assign(seed=draw, split="test")


def outcomes(strategies: Sequence[Strategy], bars: pd.DataFrame) -> np.ndarray:
    """The return of the share from the close of t + 1 to that of t + 21 for decisions at t, float64; NaN where not known yet.

    `bars` are all bars of the ticker (by date, with close).
    """
    closes, last = bars["close"].to_numpy(np.float64), len(bars) - 1
    rows = bars.index.get_indexer(pd.DatetimeIndex([one.date for one in strategies])).tolist()
    found = np.full(len(strategies), np.nan)
    for number, (one, row) in enumerate(zip(strategies, rows, strict=True)):
        if row < 0:
            raise ValueError(f"the strategy of {one.ticker} on {one.date:%Y-%m-%d} is of no day with a bar")
        if row < last:
            [seen] = recall([one], [row], closes, last)
            found[number] = np.nan if seen.is_open else seen.share_return
    return found
