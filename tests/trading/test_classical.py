"""Classical strategies against the reference's results, and by hand on short series."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading.accounting import simulate
from llmrl_lib.trading.backtest import performance, with_warm_up
from llmrl_lib.trading.classical import (
    best_windows,
    buy_and_hold,
    classical_strategies,
    mean_reversion,
    sell_and_hold,
    trend_following,
    window_pairs,
    window_sharpe_ratios,
)

GOLDEN = Path(__file__).parent.parent / "golden"
TICKERS = (
    "DIA", "SPY", "QQQ", "GOOGL", "AAPL", "META", "AMZN", "MSFT", "TWTR", "NOK", "SIE.DE", "0700.HK", "6758.T", "JPM",
    "XOM", "TSLA", "KO",
)  # fmt: skip
STRATEGIES = ("buy_and_hold", "sell_and_hold", "trend_following", "mean_reversion")


def bars_of(closes: np.ndarray) -> pd.DataFrame:
    """Bars whose other columns do not matter here."""
    dates = pd.bdate_range("2012-01-02", periods=len(closes), name="date")
    prices = dict.fromkeys(("open", "high", "low", "close"), closes)
    return pd.DataFrame({**prices, "volume": 1000.0}, index=dates)


def golden_bars(market: str, split: str) -> pd.DataFrame:
    return pd.read_csv(GOLDEN / market / f"bars_{split}.csv", index_col="date", parse_dates=True)


def random_walk(rows: int, seed: int) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, rows)))


@pytest.mark.parametrize("ticker", TICKERS)
def test_windows_and_results_equal_the_reference_on_real_prices(shared: Path, ticker: str) -> None:
    rows = json.loads((shared / "benchmark" / "reference_results.json").read_text())["rows"]
    assert {row["ticker"] for row in rows} == set(TICKERS)
    reference = next(row for row in rows if row["ticker"] == ticker)
    bars = pd.read_csv(shared / "market" / "bars" / f"{ticker}.csv", index_col="date", parse_dates=True)
    train, test = bars[bars.index < "2018-01-01"], bars[bars.index >= "2018-01-01"]
    results = classical_strategies(train, test)
    for name in STRATEGIES:
        figures = performance(results[name].test, test.index)
        assert figures["sharpe_ratio"] == pytest.approx(reference[f"{name}_sharpe"], abs=1e-6), name
        assert results[name].windows == (tuple(reference[f"{name}_windows"]) if "hold" not in name else None)
    figures = performance(results["buy_and_hold"].test, test.index)
    assert 100 * figures["benchmark_max_drawdown"] == pytest.approx(
        reference["buy_and_hold_max_drawdown_percent"], abs=1e-6
    )


@pytest.mark.parametrize("market", ["drift_up", "crash", "jumpy"])
def test_holding_equals_the_reference_on_invented_markets(market: str) -> None:
    """The reference's policies "long" and "short" are the two that hold."""
    train, test = golden_bars(market, "train"), golden_bars(market, "test")
    results = classical_strategies(train, test)
    references = pd.read_csv(GOLDEN / market / "metrics.csv").set_index(["split", "policy"])
    for name, policy in (("buy_and_hold", "long"), ("sell_and_hold", "short")):
        for split, bars in (("train", train), ("test", test)):
            figures = performance(getattr(results[name], split), bars.index)
            reference = references.loc[(split, policy)]
            assert figures["sharpe_ratio"] == pytest.approx(reference["sharpe_ratio"], rel=1e-9)
            assert figures["profit_and_loss"] == pytest.approx(reference["profit_and_loss"], rel=1e-9)
            annual = 100 * figures["benchmark_annual_return"]
            assert annual == pytest.approx(reference["annualized_return_percent"], rel=1e-9)
            assert 100 * figures["benchmark_max_drawdown"] == pytest.approx(reference["max_drawdown_percent"], rel=1e-9)


# The rules


def test_holding_never_changes_its_mind() -> None:
    closes = np.arange(1.0, 36.0)
    np.testing.assert_array_equal(buy_and_hold(closes), np.ones(5))
    np.testing.assert_array_equal(sell_and_hold(closes), np.zeros(5))


def test_crossings_see_closes_up_to_the_day_before() -> None:
    closes = np.array([10.0, 10.0, 10.0, 13.0, 7.0, 6.0])  # traded at rows 3, 4, 5
    # before row 3: 10, 10; before row 4: 13 against (10 + 10 + 13) / 3; before row 5: 7 against (10 + 13 + 7) / 3
    np.testing.assert_array_equal(trend_following(closes, 1, 3, first_row=3), [1, 1, 0])
    np.testing.assert_array_equal(mean_reversion(closes, 1, 3, first_row=3), [1, 0, 1])


def test_the_price_of_the_day_changes_no_action_before_the_next() -> None:
    closes = random_walk(60, seed=1)
    for row in range(30, 60):
        changed = closes.copy()
        changed[row:] *= 5
        for rule in (trend_following, mean_reversion):
            before, after = rule(closes, 3, 20), rule(changed, 3, 20)
            np.testing.assert_array_equal(before[: row - 30 + 1], after[: row - 30 + 1])


@pytest.mark.parametrize(("short", "long"), [(1, 2), (4, 16), (28, 29)])
def test_actions_equal_a_plain_loop(short: int, long: int) -> None:
    closes = np.random.default_rng(2).choice([10.1, 10.2, 10.3], 200)  # a coarse grid, on which means tie
    trend, reversion = trend_following(closes, short, long), mean_reversion(closes, short, long)
    for step, row in enumerate(range(30, 200)):
        seen = closes[row - 30 : row]
        quick, slow = np.mean(seen[-short:]), np.mean(seen[-long:])
        assert trend[step] == (quick >= slow)
        assert reversion[step] == (quick <= slow)


def test_a_rising_market_is_followed_and_a_falling_one_bought_by_reversion() -> None:
    rising = np.linspace(10, 20, 50)
    assert trend_following(rising, 5, 20).all()
    assert not mean_reversion(rising, 5, 20).any()
    assert not trend_following(rising[::-1], 5, 20).any()
    assert mean_reversion(rising[::-1], 5, 20).all()


@pytest.mark.parametrize("windows", [(0, 5), (5, 5), (6, 5), (5, 31)])
def test_windows_that_do_not_fit_are_refused(windows: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="1 <= short < long <= 30"):
        trend_following(np.ones(40), *windows)


# The search


def test_there_are_406_pairs_in_lexicographic_order() -> None:
    pairs = window_pairs()
    assert len(pairs) == 406
    assert pairs == sorted(pairs)
    assert (pairs[0], pairs[1], pairs[-1]) == ((1, 2), (1, 3), (28, 29))


@pytest.mark.parametrize("strategy", ["trend_following", "mean_reversion"])
def test_each_pair_scores_what_it_scores_alone(strategy: str) -> None:
    bars = bars_of(random_walk(150, seed=3))
    pairs = [(1, 2), (5, 17), (28, 29)]
    rule = {"trend_following": trend_following, "mean_reversion": mean_reversion}[strategy]
    ratios = window_sharpe_ratios(strategy, bars, pairs)
    for pair, ratio in zip(pairs, ratios, strict=True):
        trajectory = simulate(bars, rule(bars["close"].to_numpy(), *pair))
        assert ratio == pytest.approx(performance(trajectory, bars.index)["sharpe_ratio"], rel=1e-12)


def test_the_search_finds_the_best_pair() -> None:
    bars = bars_of(random_walk(300, seed=4))
    pairs = window_pairs()
    ratios = window_sharpe_ratios("trend_following", bars, pairs)
    best = best_windows("trend_following", bars)
    assert ratios[pairs.index(best)] == ratios.max()
    assert (ratios == ratios.max()).sum() == 1


def test_the_first_of_equally_good_pairs_wins() -> None:
    assert best_windows("trend_following", bars_of(np.linspace(10, 20, 80))) == (1, 2)  # every pair is long throughout


def test_windows_are_chosen_on_the_training_split_alone() -> None:
    train = bars_of(random_walk(120, seed=5))
    later = train.index[:90] + pd.Timedelta(days=3650)
    tests = [bars_of(random_walk(90, seed=seed)).set_axis(later) for seed in (6, 7)]
    first, second = (classical_strategies(train, test) for test in tests)
    for name in STRATEGIES:
        assert first[name].windows == second[name].windows
        pd.testing.assert_frame_equal(first[name].train, second[name].train)


def test_results_are_the_rules_traded_with_the_settings() -> None:
    train, test = golden_bars("jumpy", "train"), golden_bars("jumpy", "test")
    quirks = replace(Quirks(), shorts_sized_at_buying_cost=False)
    settings = TdqnSettings(cash=5000.0, cost_rate=0.01, short_margin=0.2, state_length=20, quirks=quirks)
    result = classical_strategies(train, test, settings)["mean_reversion"]
    assert result.windows is not None
    assert result.windows[1] <= 20
    actions = mean_reversion(test["close"].to_numpy(), *result.windows, first_row=20)
    expected = simulate(test, actions, 5000.0, 0.01, first_row=20, short_margin=0.2, quirks=quirks)
    pd.testing.assert_frame_equal(result.test, expected)


@pytest.mark.parametrize("shared_rows", [0, 2])
def test_a_warm_start_trades_the_first_test_row_with_the_training_tail_as_history(shared_rows: int) -> None:
    """Splits of some exchanges share their first days; those are no history."""
    train, test = golden_bars("jumpy", "train"), golden_bars("jumpy", "test")
    whole = train
    train = pd.concat([train, test.iloc[:shared_rows]])
    settings = TdqnSettings(quirks=replace(Quirks(), test_starts_cold=False))
    result = classical_strategies(train, test, settings)["trend_following"]
    assert list(result.test.index) == list(test.index)
    assert result.windows is not None
    path = pd.concat([whole.iloc[-30:], test])
    expected = simulate(path, trend_following(path["close"].to_numpy(), *result.windows))
    pd.testing.assert_frame_equal(result.test, expected, check_freq=False)


def test_a_split_that_only_warms_up_is_refused() -> None:
    whole = bars_of(random_walk(100, seed=8))
    with pytest.raises(ValueError, match="test bars have 30 rows"):
        classical_strategies(whole, whole.iloc[:30])


# From trajectory to metrics


def test_warm_up_rows_are_flat_and_in_front() -> None:
    bars = bars_of(random_walk(40, seed=9))
    trajectory = simulate(bars, np.ones(10), cash=700.0)
    path = with_warm_up(trajectory, bars.index, cash=700.0)
    assert list(path.index) == list(bars.index)
    flat = path.iloc[:30]
    assert (flat[["equity", "cash"]] == 700.0).all().all()
    assert (flat.drop(columns=["equity", "cash"]) == 0).all().all()
    pd.testing.assert_frame_equal(path.iloc[30:], trajectory[list(path)], check_freq=False)


def test_performance_counts_the_cost_of_the_first_trade() -> None:
    bars = bars_of(np.full(40, 10.0))
    figures = performance(simulate(bars, np.ones(10)), bars.index)
    assert figures["profit_and_loss"] == pytest.approx(-9990 * 10 * 0.001)  # 9990 shares at 10.01
    assert all(isinstance(value, float) for value in figures.values())


def test_performance_refuses_a_trajectory_of_other_bars() -> None:
    bars = bars_of(random_walk(40, seed=10))
    trajectory = simulate(bars, np.ones(10))
    with pytest.raises(ValueError, match="not the last ones of the 39 dates"):
        performance(trajectory, bars.index[:-1])
    with pytest.raises(ValueError, match="not the last ones of the 5 dates"):
        performance(trajectory, bars.index[-5:])
