"""Many accounts walking through markets day by day: positions, words for the text, running Sharpe ratios, rewards.

On the CPU in float64 whatever the policy computes on: a few numbers a step. One lane is one environment of one seed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.accounting import Account, Step
from llmrl_lib.trading.flag_trader.text import account_state
from llmrl_lib.trading.orders import HOLD, legal_actions, order


class Seen(NamedTuple):
    """What a decision depends on, by lane."""

    row: np.ndarray  # int64, of the lane's market
    word: np.ndarray  # int64, of `account_words`
    legal: np.ndarray  # bool (lane, 3)


class Accounts:
    """Lanes on one price path each, of the same or of different markets."""

    def __init__(self, closes: list[np.ndarray], settings: FlagTraderSettings) -> None:
        """`closes` of each lane's market; call `begin` before the first `seen`."""
        width = max(len(path) for path in closes)
        self._closes = np.stack([np.pad(path, (0, width - len(path)), mode="edge") for path in closes])
        self._settings, lanes = settings, len(closes)
        self._lane = np.arange(lanes)
        self.row = np.zeros(lanes, np.int64)
        zero = np.zeros(lanes)
        self.account = Account(zero + settings.cash, zero.copy(), zero.copy(), zero + settings.cash)
        self.traded, self.entry = np.zeros(lanes, bool), zero.copy()
        self.days, self.total, self.squares, self.ratio = (zero.copy() for _ in range(4))

    def begin(self, which: np.ndarray, rows: np.ndarray) -> None:
        """Opens flat accounts in the lanes `which` (bool), at `rows`."""
        self.row = np.where(which, rows, self.row)
        cash, zero = self._settings.cash, np.zeros(len(which))
        fresh = Account(zero + cash, zero, zero, zero + cash)
        self.account = Account(*(np.where(which, new, old) for new, old in zip(fresh, self.account, strict=True)))
        self.traded = self.traded & ~which
        for name in ("entry", "days", "total", "squares", "ratio"):
            setattr(self, name, np.where(which, 0.0, getattr(self, name)))

    def seen(self) -> Seen:
        """What each lane's policy is shown now: nothing of the row itself, at whose close it will trade."""
        previous = self._closes[self._lane, self.row - 1]
        word = account_state(self.account, self.traded, self.entry, previous)
        legal = legal_actions(self.account, previous, self._settings.cost_rate, self._settings.sell == "short")
        return Seen(self.row.copy(), word, legal)

    def step(self, action: np.ndarray) -> tuple[Step, np.ndarray]:
        """Trades each lane's row and moves on by one; returns what happened and the rewards (lane,)."""
        settings = self._settings
        price, previous = self._closes[self._lane, self.row], self._closes[self._lane, self.row - 1]
        done = order(
            self.account, action, price, previous, settings.cost_rate, settings.sell == "short", settings.short_margin,
            settings.quirks,
        )  # fmt: skip
        changed = done.account.position != self.account.position
        self.traded = self.traded | (changed & (action != HOLD))
        self.entry = np.where(changed, price, self.entry)
        self.account = done.account
        reward = self._reward(done.daily_return)
        self.row = self.row + 1
        return done, reward

    def _reward(self, daily_return: np.ndarray) -> np.ndarray:
        if self._settings.reward == "return":
            return 100.0 * daily_return
        self.days, self.total = self.days + 1, self.total + daily_return
        self.squares = self.squares + daily_return**2
        before, self.ratio = (
            self.ratio,
            running_sharpe(self.days, self.total, self.squares, self._settings.sharpe_floor),
        )
        return self.ratio - before

    def state(self) -> dict[str, torch.Tensor]:
        """Everything, as tensors."""
        named = {name: getattr(self, name) for name in ("row", "traded", "entry", "days", "total", "squares", "ratio")}
        named |= {f"account.{name}": value for name, value in self.account._asdict().items()}
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in named.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Goes on from a state."""
        values = {name: tensor.numpy().copy() for name, tensor in state.items()}
        self.account = Account(*(values.pop(f"account.{name}") for name in Account._fields))
        for name, value in values.items():
            setattr(self, name, value)


def running_sharpe(days: np.ndarray, total: np.ndarray, squares: np.ndarray, floor: float) -> np.ndarray:
    """Mean over standard deviation of the daily returns so far, from their number, sum and sum of squares; not annual.

    The deviation is the sample's, and never less than `floor`.
    """
    count = np.maximum(days, 1.0)
    mean = total / count
    variance = np.maximum(squares - count * mean**2, 0.0) / np.maximum(count - 1.0, 1.0)
    return mean / np.maximum(np.sqrt(variance), floor)
