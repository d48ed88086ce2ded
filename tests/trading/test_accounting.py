"""The account against the reference's trajectories, by hand for each rule, and what must hold whatever happens."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrl_lib.settings import Quirks
from llmrl_lib.trading.accounting import Account, Step, open_account, simulate, simulate_paths, transition

GOLDEN = Path(__file__).parent.parent / "golden"
MARKETS = ("drift_up", "crash", "jumpy")
ACCOUNT = ("equity", "cash", "holdings", "shares", "position", "daily_return", "trade_mark", "reward", "other_reward")
LONG, SHORT = 1, 0


def assert_trajectories_equal(recorded: pd.DataFrame, bars: pd.DataFrame) -> None:
    """Every policy of one split, replayed from its actions alone."""
    for policy, reference in recorded.groupby("policy"):
        ours = simulate(bars, reference["action"].to_numpy())
        assert list(ours.index) == list(pd.to_datetime(reference["date"])), policy
        for column in ACCOUNT:
            scale = 1e-9 if column in ("equity", "cash", "holdings") else 1e-14  # of numbers that cancel to about 0
            np.testing.assert_allclose(
                ours[column], reference[column], rtol=1e-9, atol=scale, err_msg=f"{policy} {column}"
            )


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_trajectories_equal_the_reference_on_invented_markets(market: str, split: str) -> None:
    bars = pd.read_csv(GOLDEN / market / f"bars_{split}.csv", index_col="date", parse_dates=True)
    recorded = pd.read_csv(GOLDEN / market / "trajectories.csv.gz").query("split == @split")
    assert recorded["policy"].nunique() == 6
    assert_trajectories_equal(recorded, bars)


@pytest.mark.parametrize("ticker", ["AAPL", "TSLA"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_trajectories_equal_the_reference_on_real_prices(shared: Path, ticker: str, split: str) -> None:
    bars = pd.read_csv(shared / "market" / "bars" / f"{ticker}.csv", index_col="date", parse_dates=True)
    bars = bars[bars.index < "2018-01-01"] if split == "train" else bars[bars.index >= "2018-01-01"]
    path = shared / "benchmark" / "golden_real" / f"{ticker}_trajectories.csv.gz"
    recorded = pd.read_csv(path).query("split == @split")
    assert recorded["policy"].nunique() == 6
    assert_trajectories_equal(recorded, bars)


# The six rules, by hand: 1 % costs and round prices


def step(account: Account, action: int, price: float, previous: float, **options: object) -> Step:
    return transition(account, action, np.float64(price), np.float64(previous), cost_rate=0.01, **options)


def an_account(cash: float, shares: float, position: float, price: float) -> Account:
    """An account as it stands after a close at `price`."""
    return Account(*(np.float64(value) for value in (cash, shares, position, cash + position * shares * price)))


FLAT = an_account(1000.0, 0, 0, 10.0)
IN_LONG = an_account(5.0, 100, 1, 10.0)  # equity 1005
IN_SHORT = an_account(1500.0, 100, -1, 10.0)  # equity 500; margin 1500 - 100 * 10 * 1.1 * 1.01 = 389 to spare


def test_from_flat_a_long_buys_what_cash_pays_for() -> None:
    taken = step(FLAT, LONG, 10, 9)  # 99 shares at 10.1 cost 999.9
    assert taken.account.shares == 99
    assert taken.account.cash == pytest.approx(0.1)
    assert taken.holdings == pytest.approx(990)
    assert taken.account.equity == pytest.approx(990.1)
    assert taken.daily_return == pytest.approx(-0.0099)
    assert (taken.account.position, taken.trade_mark) == (1, 1)


def test_from_flat_a_short_is_sized_at_the_buying_price_and_earns_the_selling_price() -> None:
    taken = step(FLAT, SHORT, 10, 9)  # 99 shares earn 9.9 each
    assert taken.account.shares == 99
    assert taken.account.cash == pytest.approx(1000 + 980.1)
    assert taken.holdings == pytest.approx(-990)
    assert taken.account.equity == pytest.approx(990.1)
    assert (taken.account.position, taken.trade_mark) == (-1, -1)


def test_a_long_that_is_kept_only_changes_in_value() -> None:
    taken = step(IN_LONG, LONG, 11, 10)
    assert (taken.account.cash, taken.account.shares, taken.trade_mark) == (5, 100, 0)
    assert taken.daily_return == pytest.approx(100 / 1005)
    assert taken.reward == taken.daily_return


def test_a_long_flips_to_short_by_selling_twice() -> None:
    taken = step(IN_LONG, SHORT, 10, 10)  # 5 + 990 = 995 pays for 98 at 10.1; 98 more sold at 9.9
    assert taken.account.shares == 98
    assert taken.account.cash == pytest.approx(995 + 98 * 9.9)
    assert taken.holdings == pytest.approx(-980)
    assert (taken.account.position, taken.trade_mark) == (-1, -1)


def test_a_short_flips_to_long_by_buying_twice() -> None:
    taken = step(IN_SHORT, LONG, 10, 10)  # 1500 - 1010 = 490 pays for 48 at 10.1
    assert taken.account.shares == 48
    assert taken.account.cash == pytest.approx(490 - 48 * 10.1)
    assert taken.holdings == pytest.approx(480)
    assert (taken.account.position, taken.trade_mark) == (1, 1)


def test_a_short_that_can_bear_its_margin_is_kept() -> None:
    taken = step(IN_SHORT, SHORT, 11, 10)
    assert (taken.account.cash, taken.account.shares, taken.trade_mark) == (1500, 100, 0)
    assert taken.daily_return == pytest.approx(-100 / 500)
    assert taken.reward == taken.daily_return


NEARLY = an_account(1080.0, 100, -1, 10.0)  # needs 1111, lacks 31: 31 / (10 * 0.1 * 1.01) = 30.7 shares


def test_a_short_beyond_its_lower_bound_buys_shares_back_and_is_rewarded_with_the_price_move() -> None:
    taken = step(NEARLY, SHORT, 11, 10)  # the bound is yesterday's, the 30 shares cost today's 11.11 each
    assert taken.account.shares == 70
    assert taken.account.cash == pytest.approx(1080 - 30 * 11.11)
    assert taken.holdings == pytest.approx(-770)
    assert taken.trade_mark == 0
    assert taken.reward == pytest.approx((10 - 11) / 10)
    assert taken.daily_return == pytest.approx((1080 - 333.3 - 770) / 80 - 1)


def test_a_short_exactly_at_its_lower_bound_is_kept() -> None:
    exact = an_account(1500.0, 100, -1, 10.0)  # 100 * 10 * 1.5 with no costs
    taken = transition(exact, SHORT, np.float64(11), np.float64(10), cost_rate=0.0, short_margin=0.5)
    assert taken.reward == taken.daily_return == pytest.approx(-0.2)


def test_a_lower_bound_that_asks_for_less_than_one_share_still_changes_the_reward() -> None:
    barely = an_account(1110.5, 100, -1, 10.0)  # lacks 0.5
    taken = step(barely, SHORT, 11, 10)
    assert (taken.account.shares, taken.account.cash) == (100, 1110.5)
    assert taken.reward == pytest.approx(-0.1)
    assert taken.daily_return == pytest.approx(-100 / 110.5)


def test_a_short_never_buys_back_more_than_it_owes() -> None:
    sunk = an_account(500.0, 100, -1, 10.0)
    taken = step(sunk, SHORT, 10, 10)
    assert taken.account.shares == 0
    assert taken.account.equity == pytest.approx(500 - 1010)


def test_negative_cash_opens_a_negative_count_of_shares() -> None:
    taken = step(an_account(-95.0, 0, -1, 10.0), LONG, 10, 10)  # floor(-95 / 10.1) = -10
    assert taken.account.shares == -10
    assert taken.account.cash == pytest.approx(-95 + 101)


# The action not taken


def test_an_imagined_flip_to_short_is_valued_with_the_longs_shares() -> None:
    real, imagined = step(IN_LONG, SHORT, 10, 10), step(IN_LONG, SHORT, 10, 10, imagined=True)
    assert imagined.account.cash == real.account.cash
    assert imagined.holdings == pytest.approx(-1000)  # 100 shares, not 98
    assert imagined.reward < real.reward


def test_without_that_quirk_imagining_a_flip_is_the_flip() -> None:
    plain = replace(Quirks(), imagined_flip_keeps_shares=False)
    assert step(IN_LONG, SHORT, 10, 10, imagined=True, quirks=plain) == step(IN_LONG, SHORT, 10, 10)


@pytest.mark.parametrize(
    ("account", "action"),
    [(FLAT, LONG), (FLAT, SHORT), (IN_LONG, LONG), (IN_SHORT, LONG), (IN_SHORT, SHORT), (NEARLY, SHORT)],
)
def test_other_imagined_actions_are_as_if_taken(account: Account, action: int) -> None:
    assert step(account, action, 11, 10, imagined=True) == step(account, action, 11, 10)


# Each accounting quirk, switched off: what it changes, and that it changes nothing else

RUINED = an_account(-50.0, 20, 1, 2.0)  # equity -10
CASES = {
    "flat to long": (FLAT, LONG, False),
    "flat to short": (FLAT, SHORT, False),
    "long kept": (IN_LONG, LONG, False),
    "long to short": (IN_LONG, SHORT, False),
    "long to short, imagined": (IN_LONG, SHORT, True),
    "short kept": (IN_SHORT, SHORT, False),
    "short to long": (IN_SHORT, LONG, False),
    "short called": (NEARLY, SHORT, False),
    "ruined": (RUINED, LONG, False),
}
CHANGED = {  # quirk: the cases that it changes
    "shorts_sized_at_buying_cost": {"flat to short", "long to short", "long to short, imagined"},
    "margin_from_previous_close": {"short called"},
    "margin_reward": {"short called"},
    "trades_beyond_bankruptcy": {"ruined"},
    "imagined_flip_keeps_shares": {"long to short, imagined"},
}


@pytest.mark.parametrize("quirk", [entry.name for entry in fields(Quirks)])
def test_each_quirk_changes_what_it_says_and_nothing_else(quirk: str) -> None:
    default = getattr(Quirks(), quirk)
    other = replace(Quirks(), **{quirk: not default})
    changed = {
        name
        for name, (account, action, imagined) in CASES.items()
        if step(account, action, 10.5, 10, imagined=imagined)
        != step(account, action, 10.5, 10, imagined=imagined, quirks=other)
    }
    assert changed == CHANGED.get(quirk, set())


def test_shorts_can_be_sized_at_what_they_earn() -> None:
    taken = step(FLAT, SHORT, 10, 10, quirks=replace(Quirks(), shorts_sized_at_buying_cost=False))
    assert taken.account.shares == 101  # floor(1000 / 9.9)


def test_the_margin_can_be_tested_at_todays_price() -> None:
    taken = step(NEARLY, SHORT, 11, 10, quirks=replace(Quirks(), margin_from_previous_close=False))
    assert taken.account.shares == 100 - 100  # lacks 142.1: 127.9 shares, all 100


def test_margin_steps_can_be_rewarded_with_the_return() -> None:
    taken = step(NEARLY, SHORT, 11, 10, quirks=replace(Quirks(), margin_reward=False))
    assert taken.reward == taken.daily_return
    assert taken.account == step(NEARLY, SHORT, 11, 10).account


@pytest.mark.parametrize("action", [LONG, SHORT])
@pytest.mark.parametrize("account", [RUINED, an_account(-50.0, 20, -1, 2.0)])
def test_the_ruined_can_be_stopped(account: Account, action: int) -> None:
    taken = step(account, action, 3, 2, quirks=replace(Quirks(), trades_beyond_bankruptcy=False))
    assert taken.account.equity == taken.account.cash == account.equity
    assert (taken.account.shares, taken.holdings, taken.daily_return, taken.reward, taken.trade_mark) == (0, 0, 0, 0, 0)


# Whatever happens

prices = st.lists(st.floats(0.5, 500), min_size=2, max_size=30)


@st.composite
def walks(draw: st.DrawFn, lanes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Closes of shape (row,) and actions of shape (lane, row - 1)."""
    closes = np.array(draw(prices))
    bits = st.lists(st.integers(0, 1), min_size=lanes * (len(closes) - 1), max_size=lanes * (len(closes) - 1))
    return closes, np.array(draw(bits)).reshape(lanes, -1)


@settings(deadline=None, max_examples=100)
@given(walks())
def test_equity_is_cash_and_holdings_and_holdings_are_shares_at_the_close(walk: tuple[np.ndarray, np.ndarray]) -> None:
    closes, actions = walk
    paths = simulate_paths(closes, actions, first_row=1)
    np.testing.assert_array_equal(paths["equity"], paths["holdings"] + paths["cash"])
    np.testing.assert_array_equal(paths["holdings"], paths["position"] * paths["shares"] * closes[1:])
    np.testing.assert_array_equal(paths["position"], 2 * actions - 1)


@settings(deadline=None, max_examples=100)
@given(walks())
def test_trading_for_nothing_moves_no_value(walk: tuple[np.ndarray, np.ndarray]) -> None:
    """Without costs the change of equity is the price move of what was held, whatever is traded."""
    closes, actions = walk
    paths = simulate_paths(closes, actions, cost_rate=0.0, first_row=1)
    equity = np.pad(paths["equity"], ((0, 0), (1, 0)), constant_values=100_000.0)
    held = np.pad(paths["position"] * paths["shares"], ((0, 0), (1, 0)))[:, :-1]
    scale = np.abs(equity).max() + np.abs(paths["cash"]).max()
    np.testing.assert_allclose(np.diff(equity), held * np.diff(closes), rtol=0, atol=1e-10 * scale)


@settings(deadline=None, max_examples=100)
@given(walks(), st.floats(0.0001, 0.05))
def test_costs_are_the_rate_times_what_changes_hands(walk: tuple[np.ndarray, np.ndarray], rate: float) -> None:
    closes, actions = walk
    paths = simulate_paths(closes, actions, cost_rate=rate, first_row=1)
    equity = np.pad(paths["equity"], ((0, 0), (1, 0)), constant_values=100_000.0)
    signed = np.pad(paths["position"] * paths["shares"], ((0, 0), (1, 0)))
    paid = signed[:, :-1] * np.diff(closes) - np.diff(equity)
    owned = np.pad(paths["shares"], ((0, 0), (1, 0)))
    usual = (owned[:, :-1] >= 0) & (owned[:, 1:] >= 0)  # a debt can open a negative count, whose cost is negative
    assert usual[:, 0].all()
    expected = rate * np.abs(np.diff(signed)) * closes[1:]
    scale = np.abs(equity).max() + np.abs(paths["cash"]).max()
    np.testing.assert_allclose(paid[usual], expected[usual], rtol=1e-9, atol=1e-10 * scale)


@settings(deadline=None, max_examples=100)
@given(walks(lanes=1))
def test_trade_marks_stand_where_the_side_changes(walk: tuple[np.ndarray, np.ndarray]) -> None:
    closes, actions = walk
    paths = simulate_paths(closes, actions, first_row=1)
    side = np.concatenate([[0], paths["position"][0]])
    np.testing.assert_array_equal(paths["trade_mark"][0], np.where(np.diff(side) != 0, side[1:], 0))


account_values = st.tuples(
    st.floats(-2e5, 2e5), st.integers(0, 3000), st.sampled_from([-1, 0, 1]), st.integers(0, 1), st.floats(1, 200),
    st.floats(1, 200), st.booleans(),
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(st.lists(account_values, min_size=1, max_size=6))
def test_numbers_arrays_and_tensors_give_the_same(rows: list[tuple]) -> None:
    cash, shares, position, action, price, previous, imagined = (np.array(column) for column in zip(*rows, strict=True))
    shares, position = shares * 1.0, position * 1.0
    equity = cash + position * shares * previous
    equity = np.where(np.abs(equity) < 1e-3, 1.0, equity)
    arrays = transition(Account(cash, shares, position, equity), action, price, previous, imagined=imagined)
    tensors = transition(
        Account(*(torch.from_numpy(value) for value in (cash, shares, position, equity))),
        torch.from_numpy(action),
        torch.from_numpy(price),
        torch.from_numpy(previous),
        imagined=torch.from_numpy(imagined),
    )
    flat_arrays, flat_tensors = [*arrays.account, *arrays[1:]], [*tensors.account, *tensors[1:]]
    for ours, theirs in zip(flat_arrays, flat_tensors, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-9)
    for lane in range(len(rows)):
        lone = Account(float(cash[lane]), float(shares[lane]), float(position[lane]), float(equity[lane]))
        alone = transition(
            lone, int(action[lane]), float(price[lane]), float(previous[lane]), imagined=bool(imagined[lane])
        )
        for ours, theirs in zip([*alone.account, *alone[1:]], flat_arrays, strict=True):
            np.testing.assert_array_equal(ours, theirs[lane])


def test_open_account_is_flat_and_takes_the_shape_of_its_model() -> None:
    account = open_account(500.0, np.zeros((2, 3)))
    assert all(field.shape == (2, 3) for field in account)
    assert (account.cash == 500).all()
    assert (account.equity == 500).all()
    assert not account.shares.any()
    assert not account.position.any()


# The public backtest


def some_bars(closes: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"close": closes}, index=pd.bdate_range("2020-01-01", periods=len(closes), name="date"))


def test_simulate_gives_a_row_per_traded_bar() -> None:
    bars = some_bars([10, 11, 12, 13])
    frame = simulate(bars, np.array([1, 0, 1]), cash=1000, first_row=1)
    assert list(frame.index) == list(bars.index[1:])
    assert set(frame) == {"action", *ACCOUNT}
    assert frame["action"].tolist() == [1, 0, 1]
    assert frame["trade_mark"].tolist() == [1, -1, 1]


def test_simulate_is_one_lane_of_simulate_paths() -> None:
    bars, actions = some_bars([10, 11, 9, 13, 12]), np.array([[1, 0, 0, 1], [0, 0, 1, 1]])
    paths = simulate_paths(bars["close"].to_numpy(), actions, first_row=1, other=True)
    for lane in range(2):
        frame = simulate(bars, actions[lane], first_row=1)
        for name in frame:
            np.testing.assert_array_equal(frame[name], paths[name][lane])


def test_a_later_price_changes_no_earlier_row() -> None:
    bars, actions = some_bars([10, 11, 9, 13, 12]), np.array([1, 0, 0, 1])
    changed = bars.assign(close=[10, 11, 9, 13, 99])
    before, after = simulate(bars, actions, first_row=1), simulate(changed, actions, first_row=1)
    pd.testing.assert_frame_equal(before[:-1], after[:-1])
    assert before["equity"].iloc[-1] != after["equity"].iloc[-1]


@pytest.mark.parametrize("count", [0, 2, 4])
def test_simulate_refuses_a_wrong_number_of_actions(count: int) -> None:
    with pytest.raises(ValueError, match="need 3 actions"):
        simulate(some_bars([10, 11, 12, 13]), np.ones(count), first_row=1)


def test_simulate_refuses_bars_that_only_warm_up() -> None:
    with pytest.raises(ValueError, match="more bars than first_row"):
        simulate(some_bars([10.0] * 30), np.ones(0))


@pytest.mark.parametrize("action", [-1, 0.5, 2, np.nan])
def test_simulate_refuses_an_action_that_is_neither_long_nor_short(action: float) -> None:
    with pytest.raises(ValueError, match=r"action 1 is .* an action is 1 \(long\) or 0 \(short\)"):
        simulate(some_bars([10, 11, 12]), np.array([1, action]), first_row=1)
