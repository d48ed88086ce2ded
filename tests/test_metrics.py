"""Metrics against the reference's numbers, hand-computed cases, plain slow definitions and documented edges."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llmrl_lib import metrics

GOLDEN = Path(__file__).parent / "golden"
MARKETS = ("drift_up", "crash", "jumpy")
POLICIES = ("long", "short", "alt", "rand0", "rand1", "sticky")
WARM_UP = 30
CASH = 100_000.0

SYNTHETIC_COLUMNS = {  # the reference's column: (ours, the reference's figure is ours times this)
    "profit_and_loss": ("profit_and_loss", 1),
    "annualized_return_percent": ("benchmark_annual_return", 100),
    "annualized_volatility_percent": ("annual_volatility", 100),
    "profitability_percent": ("profitability", 100),
    "average_profit_loss_ratio": ("profit_loss_ratio", 1),
    "sharpe_ratio": ("sharpe_ratio", 1),
    "sortino_ratio": ("benchmark_sortino_ratio", 1),
    "max_drawdown_percent": ("benchmark_max_drawdown", 100),
    "max_drawdown_duration_rows": ("benchmark_max_drawdown_rows", 1),
    "skewness": ("skewness", 1),
}
REAL_COLUMNS = dict(
    zip(
        (
            "PnL",
            "annualizedReturn",
            "annualizedVolatility",
            "profitability",
            "averageProfitLossRatio",
            "sharpeRatio",
            "sortinoRatio",
            "maxDD",
            "maxDDD",
            "skewness",
        ),
        SYNTHETIC_COLUMNS.values(),
        strict=True,
    )
)

paths = arrays(np.float64, st.integers(3, 40), elements=st.floats(-0.2, 0.25))


def ten_metrics(trajectory: pd.DataFrame, dates: pd.Series) -> dict[str, float]:
    """The ten of one recorded trajectory, with the flat rows that the reference counts."""
    days = (dates.iloc[-1] - dates.iloc[0]).days
    table = metrics.benchmark_metrics(
        metrics.prepend(trajectory["daily_return"], WARM_UP),
        metrics.prepend(trajectory["equity"], WARM_UP, CASH),
        metrics.prepend(trajectory["trade_mark"], WARM_UP),
        days,
    )
    return {name: float(value) for name, value in table.items()}


def assert_ten_equal(ours: dict[str, float], reference: pd.Series, columns: dict[str, tuple[str, int]]) -> None:
    assert set(ours) == {name for name, _ in columns.values()}
    for column, (name, factor) in columns.items():
        assert ours[name] * factor == pytest.approx(reference[column], rel=1e-9, abs=1e-12), column


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_ten_equal_the_reference_on_invented_markets(market: str, split: str) -> None:
    folder = GOLDEN / market
    dates = pd.read_csv(folder / f"bars_{split}.csv", parse_dates=["date"])["date"]
    trajectories = pd.read_csv(folder / "trajectories.csv.gz").query("split == @split").groupby("policy")
    references = pd.read_csv(folder / "metrics.csv").query("split == @split").set_index("policy")
    assert set(references.index) == set(POLICIES) == set(trajectories.groups)
    for policy, reference in references.iterrows():
        assert_ten_equal(ten_metrics(trajectories.get_group(policy), dates), reference, SYNTHETIC_COLUMNS)


@pytest.mark.parametrize("ticker", ["AAPL", "TSLA"])
def test_the_ten_equal_the_reference_on_real_prices(shared: Path, ticker: str) -> None:
    folder = shared / "benchmark" / "golden_real"
    trajectories = pd.read_csv(folder / f"{ticker}_trajectories.csv.gz").groupby(["split", "policy"])
    bars = pd.read_csv(shared / "market" / "bars" / f"{ticker}.csv", parse_dates=["date"])["date"]
    dates = {"train": bars[bars < "2018-01-01"], "test": bars[bars >= "2018-01-01"]}
    references = pd.read_csv(folder / f"{ticker}_metrics.csv")
    assert len(references) == 12
    for _, reference in references.iterrows():
        trajectory = trajectories.get_group((reference["split"], reference["policy"]))
        assert_ten_equal(ten_metrics(trajectory, dates[reference["split"]]), reference, REAL_COLUMNS)


# Hand-computed cases


def test_sharpe_ratio_of_three_days() -> None:
    # mean 0.01, deviations 0.01, -0.02, 0.01: variance 0.0006 / 2
    assert metrics.sharpe_ratio([0.02, -0.01, 0.02]) == pytest.approx(np.sqrt(252) * 0.01 / np.sqrt(0.0003))


def test_annual_volatility_of_three_days() -> None:
    assert metrics.annual_volatility([0.02, -0.01, 0.02]) == pytest.approx(np.sqrt(252 * 0.0003))


def test_sortino_ratio_counts_all_rows_in_the_downside() -> None:
    # mean 0.01, downside squares 0, 0.0004, 0, 0
    assert metrics.sortino_ratio([0.02, -0.02, 0.02, 0.02]) == pytest.approx(np.sqrt(252) * 0.01 / np.sqrt(0.0001))


def test_benchmark_sortino_ratio_measures_losses_about_their_own_mean() -> None:
    # losses -0.01, -0.03: mean -0.02, deviation 0.01; mean of all 0.01
    assert metrics.benchmark_sortino_ratio([0.08, -0.01, -0.03, 0.0]) == pytest.approx(np.sqrt(252))


def test_annual_return_compounds() -> None:
    assert metrics.annual_return(np.full(252, 0.001)) == pytest.approx(1.001**252 - 1)
    assert metrics.annual_return([0.5, -0.5]) == pytest.approx(0.75**126 - 1)


def test_benchmark_annual_return_adds_and_counts_calendar_days() -> None:
    assert metrics.benchmark_annual_return([0.5, -0.5], 365) == 0.0
    assert metrics.benchmark_annual_return([0.11, 0.10], 730) == pytest.approx(0.1)


def test_benchmark_annual_return_needs_a_duration() -> None:
    with pytest.raises(ValueError, match="calendar_days is 0"):
        metrics.benchmark_annual_return([0.1, 0.2], 0)


def test_drawdowns_are_relative_to_the_running_maximum() -> None:
    np.testing.assert_allclose(metrics.drawdowns([100, 120, 90, 150, 120]), [0, 0, 0.25, 0, 0.2])
    assert metrics.max_drawdown([100, 120, 90, 150, 120]) == pytest.approx(0.25)


def test_the_two_drawdowns_part_where_the_dearest_fall_is_not_the_deepest() -> None:
    equity = [100, 50, 400, 300, 500]  # 50 of 100 is deeper, 100 of 400 dearer
    assert metrics.max_drawdown(equity) == pytest.approx(0.5)
    depth, rows = metrics.benchmark_max_drawdown(equity)
    assert (depth, rows) == (pytest.approx(0.25), 1)


def test_benchmark_drawdown_takes_the_first_of_equal_peaks_and_troughs() -> None:
    depth, rows = metrics.benchmark_max_drawdown([100, 120, 120, 90, 120, 90, 90])
    assert (depth, rows) == (pytest.approx(0.25), 2)


def test_debt_makes_a_drawdown_larger_than_one() -> None:
    assert metrics.max_drawdown([100, -50]) == pytest.approx(1.5)
    assert metrics.benchmark_max_drawdown([100, -50])[0] == pytest.approx(1.5)


def test_calmar_ratio_sees_a_fall_on_the_first_day() -> None:
    returns = [-0.2, 0.5]
    assert metrics.calmar_ratio(returns) == pytest.approx(metrics.annual_return(returns) / 0.2)


def test_trades_run_from_mark_to_mark_and_the_last_ends_with_the_data() -> None:
    equity = [100, 99, 110, 105, 125, 124]
    marks = [0, 1, -1, 1, 0, 0]  # profits: 110 - 99, 105 - 110, 124 - 105
    profitability, ratio = metrics.benchmark_trades(equity, marks)
    assert profitability == pytest.approx(2 / 3)
    assert ratio == pytest.approx(((11 + 19) / 2) / 5)


def test_a_trade_opened_on_the_last_row_counts_as_one_that_did_not_lose() -> None:
    assert metrics.benchmark_trades([100, 90, 80], [1, 0, -1])[0] == pytest.approx(0.5)


def test_turnover_of_one_round_trip() -> None:
    # buys for 50 of 100, sells for 60 of 120: half the account twice in 4 days
    assert metrics.turnover([100, 50, 50, 110, 110], [100, 100, 120, 120, 120]) == pytest.approx(252 * (0.5 + 0.5) / 4)


def test_exposure_counts_shorts_as_much_as_longs_and_net_exposure_against_them() -> None:
    holdings, equity = [0, 50, -100, 100], [100, 100, 100, 200]
    assert metrics.exposure(holdings, equity) == pytest.approx((0 + 0.5 + 1 + 0.5) / 4)
    assert metrics.net_exposure(holdings, equity) == pytest.approx((0 + 0.5 - 1 + 0.5) / 4)


def test_profit_and_loss_is_the_change_in_equity() -> None:
    assert metrics.profit_and_loss([100.0, 90.0, 130.0]) == 30.0


def test_prepend_puts_flat_rows_in_front_of_every_path() -> None:
    np.testing.assert_array_equal(metrics.prepend([[1, 2], [3, 4]], 2, 9), [[9, 9, 1, 2], [9, 9, 3, 4]])


# Documented edges

ON_RETURNS = {
    "sharpe_ratio": metrics.sharpe_ratio,
    "sortino_ratio": metrics.sortino_ratio,
    "annual_volatility": metrics.annual_volatility,
    "annual_return": metrics.annual_return,
    "calmar_ratio": metrics.calmar_ratio,
    "skewness": metrics.skewness,
    "benchmark_sortino_ratio": metrics.benchmark_sortino_ratio,
    "benchmark_annual_return": lambda returns: metrics.benchmark_annual_return(returns, 365),
}
ON_EQUITY = {
    "max_drawdown": metrics.max_drawdown,
    "profit_and_loss": metrics.profit_and_loss,
    "benchmark_max_drawdown": lambda equity: metrics.benchmark_max_drawdown(equity)[0],
    "benchmark_max_drawdown_rows": lambda equity: metrics.benchmark_max_drawdown(equity)[1],
    "profitability": lambda equity: metrics.benchmark_trades(equity, np.ones_like(equity))[0],
    "profit_loss_ratio": lambda equity: metrics.benchmark_trades(equity, np.ones_like(equity))[1],
    "turnover": lambda equity: metrics.turnover(equity, equity),
    "exposure": lambda equity: metrics.exposure(equity, equity),
    "net_exposure": lambda equity: metrics.net_exposure(equity, equity),
}
ALL = {**ON_RETURNS, **ON_EQUITY}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_have_no_metrics(name: str, rows: int) -> None:
    assert np.isnan(ALL[name](np.ones(rows)))
    assert np.isnan(ALL[name](np.ones((3, rows)))).all()


def test_two_rows_have_no_skewness() -> None:
    assert np.isnan(metrics.skewness([0.1, 0.2]))


@pytest.mark.parametrize("name", ALL)
def test_a_missing_value_spoils_its_own_path_only(name: str) -> None:
    whole = np.array([1.0, 1.1, 0.9, 1.2, 0.8])
    for row in range(len(whole)):
        broken = whole.copy()
        broken[row] = np.nan
        values = ALL[name](np.stack([broken, whole]))
        assert np.isnan(values[0]), row
        assert not np.isnan(values[1])


@pytest.mark.parametrize("name", ALL)
def test_one_path_gives_a_number_and_several_give_an_array(name: str) -> None:
    path = np.array([1.0, 1.1, 0.9, 1.2, 0.8])
    assert isinstance(ALL[name](path), np.number)
    assert ALL[name](np.broadcast_to(path, (2, 3, 5))).shape == (2, 3)


def test_a_single_number_is_no_series() -> None:
    with pytest.raises(ValueError, match="need a series"):
        metrics.sharpe_ratio(0.1)


@pytest.mark.parametrize("constant", [0.0, 0.1, -0.1])
def test_constant_returns_have_no_risk_to_pay_for(constant: float) -> None:
    returns = np.full(7, constant)
    assert metrics.sharpe_ratio(returns) == 0.0
    assert metrics.skewness(returns) == 0.0
    assert metrics.benchmark_sortino_ratio(returns) == 0.0


def test_without_losses_ratios_to_loss_are_infinite() -> None:
    gains = [0.01, 0.0, 0.02]
    assert metrics.sortino_ratio(gains) == np.inf
    assert metrics.calmar_ratio(gains) == np.inf
    assert metrics.benchmark_trades([100, 101, 103], [1, 0, 0])[1] == np.inf
    assert metrics.benchmark_sortino_ratio(gains) == 0.0


def test_an_account_that_never_trades_scores_zero() -> None:
    flat, equity, cash = np.zeros(5), np.full(5, 100.0), np.full(5, 100.0)
    table = metrics.all_metrics(flat, equity, cash, flat, flat, 6)
    assert set(table.values()) == {0.0}


def test_ruin_loses_everything_and_has_no_relative_size() -> None:
    returns, equity = [0.0, -1.5, 0.1], [100.0, -50.0, -55.0]
    assert metrics.annual_return(returns) == -1.0
    assert metrics.annual_return([*returns, 0.1, 0.1]) == -1.0
    assert metrics.benchmark_annual_return(returns, 365) == -1.0
    assert np.isnan(metrics.turnover([100, 0, 0], equity))
    assert np.isnan(metrics.exposure([0, 50, 50], equity))


# Against plain definitions, for any path


@settings(deadline=None, max_examples=100)
@given(paths)
def test_skewness_is_that_of_pandas(returns: np.ndarray) -> None:
    if returns.std() < 1e-6:  # pandas calls tiny spreads none
        return
    assert metrics.skewness(returns) == pytest.approx(pd.Series(returns).skew(), rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(paths)
def test_benchmark_sortino_ratio_is_its_definition(returns: np.ndarray) -> None:
    losses = returns[returns < 0]
    if len(set(losses)) > 1 and losses.std() > 1e-12:
        expected = np.sqrt(252) * returns.mean() / losses.std()
        assert metrics.benchmark_sortino_ratio(returns) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(paths)
def test_benchmark_drawdown_is_its_definition(returns: np.ndarray) -> None:
    equity = 100 * np.cumprod(1 + returns)
    trough = int(np.argmax(np.maximum.accumulate(equity) - equity))
    expected = (0.0, 0)
    if trough > 0:
        peak = int(np.argmax(equity[:trough]))
        expected = ((equity[peak] - equity[trough]) / equity[peak], trough - peak)
    assert metrics.benchmark_max_drawdown(equity) == pytest.approx(expected)


def plain_trades(equity: np.ndarray, marks: np.ndarray) -> tuple[float, float]:
    rows = [row for row, mark in enumerate(marks) if mark != 0]
    if not rows:
        return 0.0, 0.0
    bounds = [*rows, len(equity) - 1]
    profits = [equity[end] - equity[start] for start, end in pairwise(bounds)]
    good, bad = [p for p in profits if p >= 0], [-p for p in profits if p < 0]
    mean_gain = sum(good) / len(good) if good else 0.0
    return len(good) / len(profits), mean_gain / (sum(bad) / len(bad)) if bad else np.inf


@settings(deadline=None, max_examples=200)
@given(paths, st.randoms(use_true_random=False))
def test_trades_are_their_definition(returns: np.ndarray, random: object) -> None:
    marks = np.array([random.choice([0, 0, 1, -1]) for _ in returns])  # type: ignore[attr-defined]
    equity = 100 * np.cumprod(1 + returns)
    assert metrics.benchmark_trades(equity, marks) == pytest.approx(plain_trades(equity, marks))


@settings(deadline=None, max_examples=50)
@given(paths, st.floats(0.1, 10))
def test_scaling_returns_scales_volatility_and_keeps_the_sharpe_ratio(returns: np.ndarray, factor: float) -> None:
    if returns.std() < 1e-6:
        return
    assert metrics.sharpe_ratio(factor * returns) == pytest.approx(metrics.sharpe_ratio(returns), rel=1e-6, abs=1e-9)
    assert metrics.annual_volatility(factor * returns) == pytest.approx(factor * metrics.annual_volatility(returns))


@settings(deadline=None, max_examples=50)
@given(paths)
def test_the_relative_drawdown_is_never_smaller_than_the_benchmarks(returns: np.ndarray) -> None:
    equity = 100 * np.cumprod(1 + returns)
    assert metrics.max_drawdown(equity) >= metrics.benchmark_max_drawdown(equity)[0] - 1e-12


@settings(deadline=None, max_examples=30)
@given(arrays(np.float64, (2, 3, 12), elements=st.floats(-0.2, 0.25)), st.randoms(use_true_random=False))
def test_many_paths_at_once_equal_each_alone(returns: np.ndarray, random: object) -> None:
    marks = np.array([random.choice([0, 1, -1]) for _ in range(returns.size)]).reshape(returns.shape)  # type: ignore[attr-defined]
    equity = 100 * np.cumprod(1 + returns, axis=-1)
    together = metrics.all_metrics(returns, equity, equity / 2, equity / 2, marks, 17)
    for place in np.ndindex(2, 3):
        half = equity[place] / 2
        alone = metrics.all_metrics(returns[place], equity[place], half, half, marks[place], 17)
        for name, value in alone.items():
            assert together[name][place] == pytest.approx(value, rel=1e-9, nan_ok=True), name


def test_the_standard_error_of_a_sharpe_ratio_is_that_of_drawn_returns() -> None:
    assert metrics.sharpe_standard_error(0.0, 504) == pytest.approx(0.5**0.5)
    assert metrics.sharpe_standard_error(1.0, 252) == pytest.approx((1 + 1 / 504) ** 0.5)
    daily = 3.0 / 252**0.5  # a large ratio, so that its second term shows
    drawn = metrics.sharpe_ratio(np.random.default_rng(0).normal(daily, 1.0, (20_000, 100)))
    assert np.std(drawn) == pytest.approx(float(metrics.sharpe_standard_error(3.0, 100)), rel=0.03)
