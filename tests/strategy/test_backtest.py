"""Strategies trade through the accounting that the agents trade through."""

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.settings import TdqnSettings
from llmrl_lib.strategy.backtest import backtest
from llmrl_lib.trading.accounting import simulate

DAYS = pd.bdate_range("2018-01-01", periods=60, name="date").as_unit("us")
CLOSES = 100.0 + 5.0 * np.sin(np.arange(60) / 7.0)
BARS = pd.DataFrame({**dict.fromkeys(("open", "high", "low", "close"), CLOSES), "volume": 1000.0}, index=DAYS)


def test_it_is_simulate_with_the_side_in_force(strategy):
    made = [strategy(DAYS[row], row // 20 % 2) for row in (15, 35, 55)]
    found = backtest(BARS, made)
    actions = np.array([0] * 6 + [1] * 20 + [0] * 4)  # rows 30..35, 36..55, 56..59
    assert found.equals(simulate(BARS, actions))


def test_costs_and_first_row_come_from_the_settings(strategy):
    made = [strategy(DAYS[row]) for row in (0, 20, 40)]
    dear = TdqnSettings(cost_rate=0.01)
    found = backtest(BARS, made, first_row=1, settings=dear)
    assert found.equals(simulate(BARS, np.ones(59, int), cost_rate=0.01, first_row=1))
    assert found["equity"].iloc[-1] < backtest(BARS, made, first_row=1)["equity"].iloc[-1]


def test_a_row_without_advice_in_force_is_refused(strategy):
    with pytest.raises(ValueError, match=f"no strategy is in force on {DAYS[30]:%Y-%m-%d}, the first row to be traded"):
        backtest(BARS, [strategy(DAYS[30]), strategy(DAYS[50])])
    with pytest.raises(ValueError, match="no strategy is in force on"):
        backtest(BARS, [strategy(DAYS[20])])


@pytest.mark.parametrize(
    ("other", "message"),
    [({"ticker": "BBB"}, "tickers AAA, BBB"), ({"draw": 1}, "draws 0, 1"), ({}, "the same date")],
)
def test_an_account_follows_one_chain(strategy, other, message):
    with pytest.raises(ValueError, match=message):
        backtest(BARS, [strategy(DAYS[20]), strategy(DAYS[20], **other)])
