"""Intervals by resampling: coverage where the truth is known, and what they cannot be asked."""

import math

import numpy as np
import pytest
from scipy import stats

from llmrl_lib.evidence.bootstrap import (
    TooStillError,
    _blocks,
    block_length,
    interquartile_interval,
    interquartile_mean,
    mean_sharpe_difference,
    sharpe_difference,
    sharpe_interval,
)
from llmrl_lib.evidence.sharpe import sharpe_error
from llmrl_lib.metrics import sharpe_ratio

YEAR = math.sqrt(252)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """300 markets of heavy-tailed days with a true ratio; 1,000 with clustering are in benchmarks/evidence_coverage.json."""
    held, compared = [], []
    for number in range(300):
        generator = np.random.default_rng(number)
        ours, other = generator.standard_t(6, (2, 400)) / math.sqrt(1.5) + np.array([[0.08], [0.02]])
        found = sharpe_interval(ours, draws=300, seed=number)
        held.append(found.low <= YEAR * 0.08 <= found.high)
        both = sharpe_difference(ours, other, draws=300, seed=number)
        compared.append(both.low <= YEAR * 0.06 <= both.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)
    assert np.mean(compared) == pytest.approx(0.95, abs=0.035)


def test_a_common_path_makes_the_difference_sharper_than_two_intervals() -> None:
    generator = np.random.default_rng(0)
    market = generator.normal(0.0, 0.01, 500)
    ours, other = (market + generator.normal(drift, 0.002, 500) for drift in (0.0005, 0.0))
    paired = sharpe_difference(ours, other)
    assert paired.estimate == pytest.approx(sharpe_ratio(ours) - sharpe_ratio(other))
    assert paired.high - paired.low < 0.6 * (sharpe_interval(ours).high - sharpe_interval(ours).low)
    assert sharpe_difference(other, ours).estimate == pytest.approx(-paired.estimate)


def test_the_interval_of_quiet_days_is_that_of_the_formula() -> None:
    returns = np.random.default_rng(1).normal(0.0005, 0.01, 1000)
    found = sharpe_interval(returns, draws=4000)
    assert found.estimate == pytest.approx(sharpe_ratio(returns))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * sharpe_error(returns), rel=0.06)
    assert sharpe_interval(returns) == sharpe_interval(returns)
    assert sharpe_interval(returns, seed=1) != sharpe_interval(returns)


def test_p_values_of_no_difference_are_uniform() -> None:
    found = []
    for number in range(200):
        pair = np.random.default_rng(number).normal(0.0, 0.01, (2, 200))
        found.append(sharpe_difference(*pair, draws=199, seed=number).p_value)
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_blocks_are_runs_of_days_of_the_mean_length_asked_for() -> None:
    rows = _blocks(200, 500, 8.0, 0)
    follows = (np.diff(rows, axis=1) - 1) % 200 == 0
    assert 1 / (1 - follows.mean()) == pytest.approx(8.0, rel=0.05)
    assert np.bincount(rows.ravel(), minlength=200).std() < 0.2 * 500


def test_blocks_grow_with_memory() -> None:
    shocks = np.random.default_rng(2).normal(size=2000)
    slow = np.array(shocks)
    for day in range(1, len(slow)):
        slow[day] += 0.8 * slow[day - 1]
    assert block_length(shocks) < 3 < 10 < block_length(slow)


def test_the_interquartile_mean_by_hand() -> None:
    scores = {"a": [0.0, 1.0, 2.0, 100.0], "b": [3.0, 4.0, -50.0, 5.0]}
    assert interquartile_mean(scores) == pytest.approx((1 + 2 + 3 + 4) / 4)
    found = interquartile_interval(scores)
    assert found.low <= found.estimate <= found.high


def test_the_interquartile_interval_holds_the_truth() -> None:
    held = []
    for number in range(200):
        seeds = np.random.default_rng(number).normal([[1.0], [3.0]], 1.0, (2, 25))
        found = interquartile_interval({"a": seeds[0], "b": seeds[1]}, draws=400, seed=number)
        held.append(found.low <= 2.0 <= found.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ([[0.1] * 40, [0.2] * 40], "no risk"),
        ([np.arange(40.0), np.arange(41.0)], "40 and 41 returns"),
        ([np.arange(40.0), np.arange(40.0)], "the two series are the same"),
        ([[0.1] * 5, [0.1] * 5], "at least 30 returns"),
        ([[float("nan")] * 40, [0.1] * 40], "return 0 of 40 is nan"),
    ],
)
def test_series_that_cannot_be_compared_are_named(series: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sharpe_difference(*series)


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="AAA: give the finite scores of at least two seeds"):
        interquartile_interval({"AAA": [1.0]})
    with pytest.raises(ValueError, match="no scores"):
        interquartile_interval({})


def test_the_mean_of_one_account_is_that_account() -> None:
    source = np.random.default_rng(5)
    first, second = source.normal(0.001, 0.01, (2, 400))
    assert mean_sharpe_difference(first, second) == sharpe_difference(first, second)
    many = mean_sharpe_difference(np.stack([first] * 3), np.stack([second] * 2))
    single = sharpe_difference(first, second)
    assert (many.low, many.high) == pytest.approx((single.low, single.high))


def test_accounts_are_averaged_as_ratios_and_not_as_money() -> None:
    """Two accounts that hedge each other have no common ratio, yet each has its own."""
    source = np.random.default_rng(6)
    noise, base = source.normal(0, 0.01, (2, 400))
    pair = np.stack([0.0005 + noise, 0.0005 - noise])
    found = mean_sharpe_difference(pair, base)
    own = np.mean([sharpe_difference(row, base).estimate for row in pair])
    assert found.estimate == pytest.approx(own)
    assert found.estimate < sharpe_difference(pair.mean(0) + 1e-6 * noise, base).estimate
    with pytest.raises(ValueError, match="the same"):
        mean_sharpe_difference(pair, pair)


def test_an_account_that_never_moved_counts_as_nothing_earned() -> None:
    source = np.random.default_rng(8)
    moved, base = source.normal(0.001, 0.01, (2, 400))
    idle = np.zeros(400)
    half = mean_sharpe_difference(np.stack([moved, idle]), base)
    assert half.estimate == pytest.approx(float(sharpe_ratio(moved)) / 2 - float(sharpe_ratio(base)))
    nothing = mean_sharpe_difference(idle, base)
    assert nothing.estimate == pytest.approx(-float(sharpe_ratio(base)))
    alone = sharpe_interval(base)
    assert (nothing.low, nothing.high) == pytest.approx((-alone.high, -alone.low), abs=0.15)
    with pytest.raises(ValueError, match="the same"):
        mean_sharpe_difference(idle, np.stack([idle, idle]))
    with pytest.raises(ValueError, match="all returns are equal"):
        mean_sharpe_difference(np.full(400, 0.001), base)


@pytest.mark.parametrize("moved", [1, 3, 5, 40])
def test_too_few_days_give_no_interval_instead_of_a_wrong_one(moved) -> None:
    few = np.zeros(400)
    few[10 : 10 + moved] = np.random.default_rng(3).normal(0.001, 0.01, moved)
    if moved < 4:  # more than a twentieth of resampled series miss them
        with pytest.raises(TooStillError, match="too little moved for an interval"):
            mean_sharpe_difference(few, np.zeros(400), block=1.0)
    else:
        found = mean_sharpe_difference(few, np.zeros(400), block=1.0)
        assert found.low < found.estimate < found.high
