"""Sell, hold and buy on the account that every arm trades through: orders in terms of `accounting.transition`.

Buy puts all cash into whole shares at the close, at the same cost as a long of any other arm; hold keeps what there is; sell
turns all shares into cash (`flat`), or goes short as the other arms do (`short`). An account may stand aside here, which
the two-sided arms never do after their first step; no new accounting is made for it: selling to cash is the first half of
the transition that turns a long into a short.
"""

from __future__ import annotations

import numpy as np

from llmrl_lib.settings import Quirks
from llmrl_lib.trading.accounting import QUIRKS, Account, Step, transition

SELL, HOLD, BUY = 0, 1, 2
ACTIONS = ("sell", "hold", "buy")
LONG, SHORT = 1, 0  # the actions of `transition`


def order(
    account: Account,
    action: np.ndarray,
    price: np.ndarray,
    previous_price: np.ndarray,
    cost_rate: float = 0.001,
    sells_short: bool = False,
    short_margin: float = 0.1,
    quirks: Quirks = QUIRKS,
) -> Step:
    """Carries out `action` (0 sell, 1 hold, 2 buy) at `price` on accounts of shape (n,); all arrays float64 but the action.

    An order that the account cannot carry out is a hold. The step's fields are those of `transition`; a sale to cash has
    the trade mark -1 and position 0.
    """
    legal = legal_actions(account, price, cost_rate, sells_short)[np.arange(len(price)), action]
    action = np.where(legal, action, HOLD)
    held = account.position
    goes_long = (action == BUY) | ((action == HOLD) & (held == 1))
    goes_short = ((action == SELL) & sells_short) | ((action == HOLD) & (held == -1))
    sided = transition(
        account, np.where(goes_long, LONG, SHORT), price, previous_price, cost_rate, short_margin, False, quirks
    )
    aside = ~(goes_long | goes_short)
    shares = np.where(held == 1, account.shares, 0.0)
    cash = account.cash + shares * price * (1 - cost_rate)
    daily_return = (cash - account.equity) / account.equity
    flat = Step(
        Account(cash, 0.0 * cash, 0.0 * cash, cash), 0.0 * cash, daily_return, daily_return,
        np.where(shares > 0, -1.0, 0.0),
    )  # fmt: skip
    fields = [np.where(aside, a, b) for a, b in zip(flat.account, sided.account, strict=True)]
    rest = [np.where(aside, a, b) for a, b in zip(flat[1:], sided[1:], strict=True)]
    return Step(Account(*fields), *rest)


def legal_actions(account: Account, price: np.ndarray, cost_rate: float, sells_short: bool = False) -> np.ndarray:
    """What the account can do: bool (n, 3). Holding always; selling what is held; buying what cash pays for.

    A long has no cash to buy with but what was left below one share, so buying more is not an order. With `sells_short` an
    account that is not short may sell, and one that is may buy.
    """
    held = account.position
    long = held == 1
    can_sell = (held != -1) & (account.equity > 0) if sells_short else long & (account.shares > 0)
    worth = np.where(held == -1, account.equity, account.cash)
    can_buy = ~long & (worth >= price * (1 + cost_rate))
    return np.stack([can_sell, np.ones_like(can_sell), can_buy], -1)
