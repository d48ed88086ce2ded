"""What a trade does to an account: one pure function that every environment, backtest and imagined action calls.

Transcribes the accounting of the TDQN benchmark (Theate & Ernst 2021, public code): one instrument, whole shares,
always long or short after the first step, proportional costs, trades at the close, and a lower bound that buys shorts
back.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from llmrl_lib.settings import Quirks

Array = Any  # a NumPy array, a torch tensor or a number; all of one call must be of one kind

QUIRKS = Quirks()


class Account(NamedTuple):
    """An account after a close. Each field broadcasts: shape (...), money in the bars' currency."""

    cash: Array
    shares: Array  # non-negative count; the sign of the exposure is in `position`
    position: Array  # -1 short, 0 flat, +1 long
    equity: Array


class Step(NamedTuple):
    """What one step did. Shapes are those of the inputs, broadcast."""

    account: Account
    holdings: Array  # value of the shares, negative when short
    daily_return: Array  # simple
    reward: Array  # the daily return, or minus the price move where the short's lower bound binds
    trade_mark: Array  # +1 a long was opened, -1 a short was opened, 0 otherwise


def transition(
    account: Account,
    action: Array,
    price: Array,
    previous_price: Array,
    cost_rate: float = 0.001,
    short_margin: float = 0.1,
    imagined: Array = False,
    quirks: Quirks = QUIRKS,
) -> Step:
    """Trades at `price` so that the account is long (action 1) or short (action 0), and values it there.

    A change of side closes what is open and opens as many whole shares as cash pays for. A short that is kept must be
    able to bear an adverse move of `short_margin`; if it cannot, shares are bought back. `cost_rate` is a fraction of
    traded value. The return of the step is that of the side held before it, less the cost of the change. `imagined`
    marks the lanes that value the action not taken: there the reference keeps the old share count in a long-to-short
    flip.
    Works on NumPy arrays and torch tensors of any broadcastable shapes, in their own precision, and on Python numbers
    (`price` a float), which then give Python numbers.
    """
    xp = _library_of(price)
    cash, shares, position, equity = account
    buy, sell = price * (1 + cost_rate), price * (1 - cost_rate)
    go_long, go_short = action == 1, action != 1
    was_long, was_short = position == 1, position == -1
    keep_long, keep_short, flip_to_short = go_long & was_long, go_short & was_short, go_short & was_long

    closed = xp.where(go_long & was_short, cash - shares * buy, xp.where(flip_to_short, cash + shares * sell, cash))
    size_price = buy if quirks.shorts_sized_at_buying_cost else xp.where(go_long, buy, sell)
    opened = xp.floor(closed / size_price)
    opened_cash = xp.where(go_long, closed - opened * buy, closed + opened * sell)

    bound_price = previous_price if quirks.margin_from_previous_close else price
    need = -cash + shares * bound_price * (1 + short_margin) * (1 + cost_rate)
    called = keep_short & (need > 0)
    affordable = xp.floor(xp.divide(need, bound_price * short_margin * (1 + cost_rate)))
    bought_back = xp.minimum(affordable, shares)
    bought_back = xp.where(called, bought_back, 0.0 * shares)

    new_shares = xp.where(keep_long, shares, xp.where(keep_short, shares - bought_back, opened))
    new_cash = xp.where(keep_long, cash, xp.where(keep_short, cash - bought_back * buy, opened_cash))
    side = xp.where(go_long, 1.0 + 0 * price, -1.0 + 0 * price)
    valued = new_shares
    if quirks.imagined_flip_keeps_shares and imagined is not False:
        valued = xp.where(flip_to_short & imagined, shares, new_shares)
    holdings = side * valued * price
    new_equity = holdings + new_cash
    daily_return = xp.divide(new_equity - equity, equity)
    reward = daily_return
    if quirks.margin_reward:
        reward = xp.where(called, (previous_price - price) / previous_price, daily_return)
    trade_mark = xp.where(keep_long | keep_short, 0.0 * side, side)
    if not quirks.trades_beyond_bankruptcy:  # the ruined hold nothing, but keep the side that observations show
        ruined = equity <= 0
        nothing = 0.0 * new_equity
        new_cash, new_equity = xp.where(ruined, equity, new_cash), xp.where(ruined, equity, new_equity)
        new_shares, holdings = xp.where(ruined, nothing, new_shares), xp.where(ruined, nothing, holdings)
        daily_return = xp.where(ruined, nothing, daily_return)
        reward, trade_mark = xp.where(ruined, nothing, reward), xp.where(ruined, nothing, trade_mark)
    return Step(Account(new_cash, new_shares, side, new_equity), holdings, daily_return, reward, trade_mark)


def open_account(cash: float, like: Array) -> Account:
    """A flat account with `cash`, in the shape, precision and place of `like`."""
    zero = 0.0 * like
    return Account(cash + zero, zero, 0.0 * zero, cash + zero)  # no two fields share memory


def simulate(
    bars: pd.DataFrame,
    actions: np.ndarray,
    cash: float = 100_000.0,
    cost_rate: float = 0.001,
    first_row: int = 30,
    short_margin: float = 0.1,
    quirks: Quirks = QUIRKS,
) -> pd.DataFrame:
    """Trades `actions` (1 long, 0 short; one per row from `first_row` on) at the closes of `bars`.

    Returns one row per step, indexed by date: action, reward, other_reward (of the action not taken), equity, cash,
    holdings, shares, position, daily_return, trade_mark. Raises ValueError if there are not len(bars) - first_row
    actions or if one is neither 0 nor 1.
    """
    closes = bars["close"].to_numpy(np.float64)
    steps = len(closes) - first_row
    actions = np.asarray(actions)
    if steps < 1 or actions.shape != (steps,):
        raise ValueError(
            f"{len(closes)} bars traded from row {first_row} need {max(steps, 0)} actions, got {actions.shape}; "
            "give one action per row from first_row on, and more bars than first_row"
        )
    strange = (actions != 0) & (actions != 1)
    if strange.any():
        step = int(np.flatnonzero(strange)[0])
        raise ValueError(f"action {step} is {actions[step]}; an action is 1 (long) or 0 (short)")
    paths = simulate_paths(closes, actions[None], cash, cost_rate, first_row, short_margin, quirks, other=True)
    frame = pd.DataFrame({name: values[0] for name, values in paths.items()}, index=bars.index[first_row:])
    return frame.astype({"action": np.int64, "position": np.int64, "trade_mark": np.int64})


def simulate_paths(
    closes: np.ndarray,
    actions: np.ndarray,
    cash: float = 100_000.0,
    cost_rate: float = 0.001,
    first_row: int = 30,
    short_margin: float = 0.1,
    quirks: Quirks = QUIRKS,
    other: bool = False,
) -> dict[str, np.ndarray]:
    """`simulate` for many action paths over one price path: actions (lane, step) to columns of shape (lane, step)."""
    lanes, steps = actions.shape
    alone = lanes == 1  # one path goes through Python's own numbers
    prices = closes.tolist() if alone else closes
    moves = actions[0].tolist() if alone else actions.T
    account = open_account(cash, 0.0 if alone else np.zeros(lanes))
    history = []
    for price, previous, action in zip(prices[first_row:], prices[first_row - 1 :], moves, strict=False):
        taken = transition(account, action, price, previous, cost_rate, short_margin, False, quirks)
        imagined: tuple[Array, ...] = ()
        if other:
            flipped = transition(account, 1 - action, price, previous, cost_rate, short_margin, True, quirks)
            imagined = (flipped.reward,)
        account = taken.account
        values = (taken.reward, account.equity, account.cash, taken.holdings, account.shares, account.position)
        history.append((*values, taken.daily_return, taken.trade_mark, *imagined))
    names = ("reward", "equity", "cash", "holdings", "shares", "position", "daily_return", "trade_mark", "other_reward")
    columns = zip(*history, strict=True)
    return {
        "action": actions,
        **{
            name: np.array(values, np.float64).reshape(steps, lanes).T
            for name, values in zip(names, columns, strict=False)
        },
    }


class _Plain:
    """The few operations that `transition` needs, for Python's own numbers, where NumPy is slow."""

    @staticmethod
    def where(condition: bool, yes: float, no: float) -> float:
        return yes if condition else no

    @staticmethod
    def floor(value: float) -> float:
        return float(math.floor(value)) if math.isfinite(value) else value

    @staticmethod
    def minimum(a: float, b: float) -> float:
        return min(a, b)

    @staticmethod
    def divide(a: float, b: float) -> float:
        return a / b if b else math.copysign(math.inf, a) if a else math.nan


def _library_of(values: Array) -> Any:
    """What computes with `values`: torch, NumPy, or plain Python; torch is loaded only if its caller has."""
    if type(values) is float:
        return _Plain
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(values, torch.Tensor) else np
