"""The benchmark's trading environment, for any library that speaks Gymnasium, and a fast one for many accounts at once.

Both see the observations of `observation_table` and trade through `accounting.transition`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pandas as pd

from llmrl_lib.settings import TdqnSettings, settings_or_default
from llmrl_lib.trading.accounting import Account, open_account, transition
from llmrl_lib.trading.observation import Scales, low_pass, observation_table, scales_of
from llmrl_lib.trading.problem import checked


class TradingEnv(gymnasium.Env):
    """One instrument, one account. Action 1 is long, 0 short; the reward is that of `accounting.transition`.

    An episode ends (terminated) on the step that trades the last bar. `info` holds date, row, equity, cash, shares,
    position, daily_return and what the reference calls the other action's experience: other_reward and
    other_observation, the imagined outcome of the action not taken. Observations are unbounded float32 vectors of length
    117, or 118 with guidance.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self,
        bars: pd.DataFrame,
        guidance: pd.Series | pd.DataFrame | None = None,
        settings: TdqnSettings | None = None,
        scales: Scales | None = None,
        random_start: bool = False,
        low_passed_trades: bool = False,
    ) -> None:
        """An environment over bars (columns open, high, low, close, volume; indexed by date), cleaned and filtered here.

        `scales` are `scales_of` the training bars; without them `bars` count as the training bars. With `random_start` an
        episode begins at a uniformly drawn row, without at the first tradable one. With `low_passed_trades` it trades at
        low-passed closes; the reference trains with both and evaluates with neither. Guidance is a value in [-1, 1], or
        one per column, for every date. Raises ValueError for unusable bars or guidance.
        """
        self.settings = settings_or_default(settings, TdqnSettings)
        first, quirks = self.settings.state_length, self.settings.quirks
        bars = checked(bars, "environment's", first, quirks)
        smooth = low_pass(bars, self.settings.low_pass)
        if scales is None:
            scales = scales_of(smooth if quirks.scales_from_low_passed_prices else bars)
        seen = smooth if quirks.train_on_low_passed_prices else bars
        self._table = observation_table(seen, scales, guidance, first)
        self._closes: list[float] = (smooth if low_passed_trades else bars)["close"].tolist()
        self._dates, self._first, self._random_start = bars.index, first, random_start
        features = self._table.shape[-1]
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (features,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._row = first
        self._account = open_account(self.settings.cash, 0.0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode with a flat account. `options={"row": n}` begins at row n (clipped to tradable rows)."""
        super().reset(seed=seed)
        rows = len(self._closes)
        row = int(self.np_random.integers(rows)) if self._random_start else self._first
        row = int((options or {}).get("row", row))
        self._row = min(max(row, self._first), rows - 1)
        self._account = open_account(self.settings.cash, 0.0)
        return self._observe(self._account), {"date": self._dates[self._row], "row": self._row}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Trades the current row's close. Raises ValueError for an action other than 0 and 1, or after the episode's end."""
        if action not in (0, 1):
            raise ValueError(f"the action is {action!r}; 1 is long, 0 is short")
        if self._row >= len(self._closes):
            raise ValueError("the episode has ended; call reset")
        taken, other = self._trade(int(action), False), self._trade(1 - int(action), True)
        date, row = self._dates[self._row], self._row
        self._row += 1
        self._account = Account(*(float(value) for value in taken.account))
        info = {
            "date": date,
            "row": row,
            **self._account._asdict(),
            "daily_return": float(taken.daily_return),
            "other_reward": float(other.reward),
            "other_observation": self._observe(other.account),
        }
        return self._observe(self._account), float(taken.reward), self._row == len(self._closes), False, info

    def _trade(self, action: int, imagined: bool) -> Any:
        settings, row = self.settings, self._row
        return transition(
            self._account, action, self._closes[row], self._closes[row - 1], settings.cost_rate, settings.short_margin,
            imagined, settings.quirks,
        )  # fmt: skip

    def _observe(self, account: Account) -> np.ndarray:
        return self._table[self._row, int(account.position) + 1].copy()


class BatchedTrading:
    """Many accounts on one price path, stepped together; for vectorised learners and for measuring."""

    def __init__(self, table: np.ndarray, closes: np.ndarray, accounts: int, settings: TdqnSettings) -> None:
        """`table` and `closes` as in `problem.Segment`; every account starts flat at the first tradable row."""
        self._states, self._closes, self._settings = table.reshape(-1, table.shape[-1]), closes, settings
        self._rows = np.full(accounts, settings.state_length)
        self._account = open_account(settings.cash, np.zeros(accounts))

    def observe(self) -> np.ndarray:
        """Observations of all accounts, float32 (account, feature)."""
        return self._states[3 * self._rows + self._account.position.astype(np.int64) + 1]

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Trades actions (account,); returns rewards and the other actions' rewards (account,), and who has ended.

        An account that has ended starts again, flat, at the first tradable row.
        """
        settings = self._settings
        taken, other = (
            transition(
                self._account, choice, self._closes[self._rows], self._closes[self._rows - 1], settings.cost_rate,
                settings.short_margin, imagined, settings.quirks,
            )
            for choice, imagined in ((actions, False), (1 - actions, np.bool_(True)))
        )  # fmt: skip
        self._rows = self._rows + 1
        ended = self._rows == len(self._closes)
        fresh = open_account(settings.cash, np.zeros(len(actions)))
        self._account = Account(*(np.where(ended, new, old) for new, old in zip(fresh, taken.account, strict=True)))
        self._rows = np.where(ended, settings.state_length, self._rows)
        return taken.reward, other.reward, ended
