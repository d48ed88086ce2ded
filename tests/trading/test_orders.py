"""Sell, hold and buy: each against the accounting that every arm shares."""

import numpy as np
import pytest

from llmrl_lib.trading.accounting import Account, open_account, transition
from llmrl_lib.trading.orders import BUY, HOLD, SELL, legal_actions, order

PRICE, BEFORE = np.array([10.0]), np.array([9.5])


def one(action: int, account: Account, price: float = 10.0, **more) -> object:
    return order(account, np.array([action]), np.array([price]), BEFORE, **more)


def flat(cash: float = 1000.0) -> Account:
    return open_account(cash, np.zeros(1))


def test_buying_is_going_long() -> None:
    bought = one(BUY, flat())
    long = transition(flat(), np.array([1]), PRICE, BEFORE)
    assert all(np.array_equal(a, b) for a, b in zip(bought.account, long.account, strict=True))
    assert bought.account.shares[0] == 99  # 1000 / 10.01
    assert bought.trade_mark[0] == 1


def test_selling_turns_all_shares_into_cash_at_the_same_cost() -> None:
    held = one(BUY, flat()).account
    sold = one(SELL, held, 12.0)
    assert sold.account.cash[0] == pytest.approx(held.cash[0] + 99 * 12.0 * 0.999)
    assert (sold.account.shares[0], sold.account.position[0], sold.holdings[0]) == (0, 0, 0)
    assert sold.daily_return[0] == pytest.approx(sold.account.cash[0] / held.equity[0] - 1)
    assert sold.trade_mark[0] == -1


def test_holding_trades_nothing() -> None:
    assert one(HOLD, flat()).account == flat()
    held = one(BUY, flat()).account
    kept = one(HOLD, held, 11.0)
    assert (kept.account.cash, kept.account.shares) == (held.cash, held.shares)
    assert kept.daily_return[0] == pytest.approx(99 * 1.0 / held.equity[0])


def test_what_the_account_cannot_do_is_a_hold() -> None:
    assert one(SELL, flat()).account == flat()
    assert one(BUY, flat(5.0)).account == flat(5.0)  # less than one share
    held = one(BUY, flat()).account
    assert one(BUY, held).account.shares == held.shares


def test_legal_actions_follow_the_account() -> None:
    held = one(BUY, flat()).account
    assert legal_actions(flat(), PRICE, 0.001).tolist() == [[False, True, True]]
    assert legal_actions(held, PRICE, 0.001).tolist() == [[True, True, False]]
    assert legal_actions(flat(5.0), PRICE, 0.001).tolist() == [[False, True, False]]
    assert legal_actions(flat(), PRICE, 0.001, sells_short=True).tolist() == [[True, True, True]]


def test_with_short_selling_a_path_of_sides_is_that_of_every_other_arm() -> None:
    source = np.random.default_rng(1)
    prices = 20.0 * np.exp(0.02 * source.standard_normal(60).cumsum())
    ours = theirs = open_account(1000.0, np.zeros(1))
    side = 1
    for step in range(1, 60):
        price, before = prices[[step]], prices[[step - 1]]
        wanted = int(source.integers(2)) if step > 1 else 1
        action = HOLD if wanted == side and step > 1 else (BUY if wanted else SELL)
        side = wanted
        ours = order(ours, np.array([action]), price, before, sells_short=True).account
        theirs = transition(theirs, np.array([wanted]), price, before).account
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)), step
