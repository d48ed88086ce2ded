"""What FLAG-Trader reads: nothing of its own day or a later one, and an account in words that fits what is legal."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from flag_models import SMALL, bars, both

from llmrl_lib.settings import FlagTraderSettings, Quirks, SettingsError, flag_trader_settings, load_profile, to_table
from llmrl_lib.trading.accounting import Account
from llmrl_lib.trading.flag_trader.accounts import Accounts
from llmrl_lib.trading.flag_trader.text import Told, account_words, markets, messages
from llmrl_lib.trading.orders import ACTIONS

FULL = replace(SMALL, fields=FlagTraderSettings().fields)


def test_a_state_is_the_same_when_it_and_all_later_rows_are_unknown() -> None:
    train, test = both()
    whole_train, whole_test = markets(train, test, FULL)
    for row in (30, 41, 49):
        shown = whole_test.texts[row]
        changed = test.copy()
        changed.iloc[row:] = changed.iloc[row:] * 3.0  # the day itself and what follows
        assert markets(train, changed, FULL)[1].texts[row] == shown
        if row > 30:
            assert markets(train, test.iloc[:row], FULL)[1].texts == whole_test.texts[:row]
    cut = markets(train.iloc[:80], test, FULL)[0]
    assert cut.texts == whole_train.texts[:80]
    changed = train.copy()
    changed.iloc[60:] *= 3.0
    assert markets(changed, test, FULL)[0].texts[:61] == whole_train.texts[:61]
    assert markets(changed, test, FULL)[0].texts[62] != whole_train.texts[62]


def test_the_text_tells_the_figures_of_the_day_before() -> None:
    train, test = both()
    text = markets(train, test, FULL)[1].texts[40]
    closes = pd.concat([train, test])["close"].to_numpy()
    at = len(train) + 39
    assert text.splitlines()[0] == f"return_week_1: {100 * (closes[at] / closes[at - 5] - 1):+.2f} %"
    assert len(text.splitlines()) == len(FULL.fields.split())
    first = markets(train, test, FULL)[0]
    assert first.texts[:30] == ("",) * 30
    assert "sma_50_gap: n/a" in first.texts[30]


def test_what_is_told_is_shown_on_its_day() -> None:
    train, test = both()
    every = train.index.append(test.index)
    guidance = pd.Series(np.linspace(-1, 1, 150), every)
    notes = pd.Series({test.index[35]: "earnings: better than expected"})
    market = markets(train, test, SMALL, Told(guidance, notes))[1]
    assert market.texts[35].endswith(f"guidance: {guidance.iloc[135]:+.2f}\nearnings: better than expected")
    assert "earnings" not in market.texts[36]
    with pytest.raises(ValueError, match=r"guidance series has no value for 1 of 50"):
        markets(train, test, SMALL, Told(guidance.drop(test.index[3])))
    saturday = pd.Series({test.index[35]: "", pd.Timestamp("2020-07-04"): "a holiday"})
    for wrong, what in (
        (saturday, "the note of 2020-07-04 would never be shown"), (pd.Series({35: "x"}), "index them by date"),
        (pd.Series({test.index[35]: np.nan}), "is nan; give a text"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=what):
            markets(train, test, SMALL, Told(None, wrong))
    twice = pd.concat([notes, notes])
    with pytest.raises(ValueError, match="notes is a dict; give a pandas Series of texts indexed by date"):
        markets(train, test, SMALL, Told(guidance, notes.to_dict()))
    with pytest.raises(ValueError, match="the notes have two texts for"):
        markets(train, test, SMALL, Told(None, twice))
    with pytest.raises(SettingsError, match="fields names 'pe_ratio'; of bars alone there are"):
        markets(train, test, replace(SMALL, fields="pe_ratio"))
    with pytest.raises(ValueError, match="not before"):
        markets(test, train, SMALL)


def test_only_the_newest_training_days_count_where_so_asked() -> None:
    train, test = both()
    market, _ = markets(train, test, replace(SMALL, train_days=20))
    whole, _ = markets(train, test, SMALL)
    assert market.first_row == 80
    assert market.texts[80:] == whole.texts[80:]


@pytest.mark.parametrize("sell", ["flat", "short"])
def test_the_words_name_what_is_legal(sell: str) -> None:
    settings = replace(SMALL, sell=sell)
    words, seen = account_words(settings), set()
    closes = bars(400, 3)["close"].to_numpy()
    accounts = Accounts([closes], settings)
    accounts.begin(np.ones(1, bool), np.array([1]))
    source = np.random.default_rng(0)
    for _ in range(398):
        now = accounts.seen()
        seen.add(int(now.word[0]))
        legal = [name for name, can in zip(ACTIONS, now.legal[0], strict=True) if can]
        assert words[now.word[0]].endswith(f"legal: {', '.join(legal)}")
        accounts.step(np.array([source.choice(np.flatnonzero(now.legal[0]))]))
    assert seen == set(range(len(words))) - (
        {1} if sell == "short" else set()
    )  # who sells short has no cash aside again
    assert "go short" in messages("", words[0], settings)[0].content or sell == "flat"


def test_rewards_are_changes_of_the_running_ratio_or_returns() -> None:
    closes = bars(60, 4)["close"].to_numpy()
    totals = {}
    for reward in ("sharpe", "return"):
        accounts = Accounts([closes], replace(SMALL, reward=reward))
        accounts.begin(np.ones(1, bool), np.array([1]))
        pairs = [accounts.step(np.array([2 if day == 0 else 1])) for day in range(50)]
        totals[reward] = sum(float(one[0]) for _, one in pairs)
        returns = np.array([float(done.daily_return[0]) for done, _ in pairs])
    assert totals["sharpe"] == pytest.approx(returns.mean() / max(returns.std(ddof=1), 0.01))
    assert totals["return"] == pytest.approx(100 * returns.sum())


def test_accounts_begin_again_by_lane() -> None:
    closes = bars(60, 4)["close"].to_numpy()
    accounts = Accounts([closes, closes], SMALL)
    accounts.begin(np.ones(2, bool), np.array([5, 9]))
    accounts.step(np.array([2, 2]))
    accounts.begin(np.array([True, False]), np.array([20, 20]))
    assert accounts.row.tolist() == [20, 10]
    assert accounts.account.position.tolist() == [0, 1]
    assert accounts.seen().word.tolist()[0] == 0
    assert isinstance(accounts.account, Account)


def test_settings_are_checked_and_read_back() -> None:
    usual = FlagTraderSettings()
    assert usual.rollouts == 346
    assert flag_trader_settings(to_table(usual)) == usual
    for name, value, what in (
        ("minibatch", 30, "cannot be cut into 8 equal parts"), ("reward", "profit", "choose sharpe or return"),
        ("steps", 20, "one rollout of all environments takes 40"), ("gamma", 1.5, "must lie in"), ("clip", "x", "a number"),
        ("evaluations", 347, "take at most 346"), ("fields", " ", "name at least one feature"),
        ("train_days", 64, "train_days is 64, and an episode takes 65 trading days"),
        ("quirks", Quirks(test_starts_cold=False), "always begins at first_row"), ("short_margin", 0.0, "positive number"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=what):
            replace(usual, **{name: value})
    assert load_profile("paper").flag_trader == usual
    other = replace(usual, quirks=Quirks(margin_reward=False), short_margin=0.2)
    assert flag_trader_settings(to_table(other)) == other


def test_a_short_account_has_the_margin_and_the_quirks_of_the_settings() -> None:
    """A call buys back what the margin asks for, tested at the close before or at the present one."""
    closes = np.array([10.0, 10.0, 10.0, 18.5])

    def shares(**changed: object) -> list[float]:
        accounts = Accounts([closes], replace(SMALL, sell="short", cost_rate=0.0, **changed))
        accounts.begin(np.ones(1, bool), np.array([1]))
        return [float(accounts.step(np.array([0 if row == 1 else 1]))[0].account.shares[0]) for row in range(1, 4)]

    assert shares() == [10_000.0] * 3  # at 18.5 too: the close before was 10
    assert shares(quirks=Quirks(margin_from_previous_close=False))[2] < 10_000.0
    assert shares(short_margin=1.5)[1] < 10_000.0
