"""Greedy walks through both splits, the figures that are logged of them, and trajectories like every other arm's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from llmrl_lib.metrics import benchmark_max_drawdown, prepend, sharpe_ratio
from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.flag_trader.accounts import Accounts
from llmrl_lib.trading.flag_trader.text import Market
from llmrl_lib.trading.orders import ACTIONS, HOLD

COLUMNS = ("reward", "equity", "cash", "holdings", "shares", "position", "daily_return", "trade_mark")
# texts, words (S, n) and legal actions (S, n, 3) to probabilities (S, n, 3)
Decide = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class HasMarkets(Protocol):
    """Two markets, and the text index of each of their rows."""

    @property
    def train(self) -> Market: ...
    @property
    def test(self) -> Market: ...
    @property
    def train_texts(self) -> np.ndarray: ...
    @property
    def test_texts(self) -> np.ndarray: ...


class Walk(NamedTuple):
    """One path through one market; arrays have its tradable rows as their axis."""

    actions: np.ndarray  # int64: 0 sell, 1 hold, 2 buy
    chances: np.ndarray  # (row, 3)
    columns: dict[str, np.ndarray]  # those of `simulate`


def walk(decide: Decide, lanes: Sequence[HasMarkets], settings: FlagTraderSettings) -> list[tuple[Walk, Walk]]:
    """Follows the likeliest legal action from the first tradable row to the last, on both splits of every run at once.

    Raises FloatingPointError where a probability is no number: its largest would be an order all the same.
    """
    pairs = [(lane.train, lane.train_texts, lane.test, lane.test_texts) for lane in lanes]
    markets = [market for train, _, test, _ in pairs for market in (train, test)]
    texts = [index for _, train, _, test in pairs for index in (train, test)]
    accounts = Accounts([market.closes for market in markets], settings)
    lane_count = len(markets)
    first = np.array([market.first_row for market in markets])
    length = np.array([market.rows for market in markets])
    accounts.begin(np.ones(lane_count, bool), first)
    history: list[tuple[np.ndarray, ...]] = []
    for _ in range(int((length - first).max())):
        running = accounts.row < length
        accounts.row = np.minimum(accounts.row, length - 1)  # a shorter market's last day again; it is cut off below
        seen = accounts.seen()
        index = np.array([own[row] for own, row in zip(texts, seen.row, strict=True)])
        shape = (len(lanes), 2)
        chances = decide(index.reshape(shape), seen.word.reshape(shape), seen.legal.reshape(*shape, 3)).reshape(-1, 3)
        if not np.isfinite(chances).all():
            lane = int(np.flatnonzero(~np.isfinite(chances).all(-1))[0]) // 2
            raise FloatingPointError(
                f"the probabilities of run {lane} are no finite numbers, so that no order is the likeliest"
            )
        actions = np.where(running, chances.argmax(-1), HOLD)
        done, reward = accounts.step(actions)
        account = done.account
        history.append(
            (actions, chances, reward, account.equity, account.cash, done.holdings, account.shares, account.position,
             done.daily_return, done.trade_mark)
        )  # fmt: skip
    actions, chances, *values = (np.stack(part, 1) for part in zip(*history, strict=True))  # (lane, step, ...)
    found = []
    for lane in range(lane_count):
        steps = slice(0, int(length[lane] - first[lane]))
        columns = {name: value[lane, steps] for name, value in zip(COLUMNS, values, strict=True)}
        found.append(Walk(actions[lane, steps], chances[lane, steps], columns))
    return list(zip(found[::2], found[1::2], strict=True))


def figures(train: Walk, test: Walk, settings: FlagTraderSettings) -> dict[str, float]:
    """What is logged at an evaluation, on the rows that every arm is judged on: Sharpe ratios, and the test's drawdown.

    With `train_days` the training figure is that of those days and of `first_row` flat ones before them, as on any split.
    """
    found, warm_up = {}, settings.first_row
    for name, path in (("train", train), ("test", test)):
        found[f"{name}_sharpe"] = float(sharpe_ratio(prepend(path.columns["daily_return"][None], warm_up))[0])
    drawdown, _ = benchmark_max_drawdown(prepend(test.columns["equity"][None], warm_up, settings.cash))
    return {
        **found,
        "test_max_drawdown": float(drawdown[0]),
        "test_long": float((test.columns["position"] == 1).mean()),
    }


def trajectory(seed: int, split: str, market: Market, path: Walk) -> pd.DataFrame:
    """A walk as a frame: seed, split, date, row, action (0 sell, 1 hold, 2 buy), `simulate`'s columns, probabilities."""
    rows = np.arange(market.first_row, market.rows)
    frame = pd.DataFrame(
        {"seed": seed, "split": split, "date": market.dates[rows], "row": rows, "action": path.actions, **path.columns}
    ).assign(**{f"p_{name}": path.chances[:, place] for place, name in enumerate(ACTIONS)})
    return frame.astype({"position": np.int64, "trade_mark": np.int64})
