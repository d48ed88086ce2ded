"""The one-sample t-test against scipy, a printed example, its coverage on known truth, and its refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from llmrl_lib.evidence.significance import one_sample_t, one_sample_t_from_summary, two_sample, welch_from_summary

REFERENCE_RUNS = [1.393, 1.023, 1.416, 1.471, 0.957, 1.099]  # test Sharpe ratios of the reference code on Apple


def test_the_reference_codes_runs_on_apple() -> None:
    result = one_sample_t(REFERENCE_RUNS, 1.424)
    assert result.n == 6
    assert result.mean == pytest.approx(1.2265, abs=1e-4)
    assert result.sd == pytest.approx(0.2253, abs=1e-4)
    assert result.statistic == pytest.approx((1.2265 - 1.424) / (0.2253 / math.sqrt(6)), abs=1e-3)
    assert result.low < result.mean < result.high


def test_it_is_scipys_test_and_interval() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.5, 25)
    result, theirs = one_sample_t(values, 0.1, level=0.9), stats.ttest_1samp(values, 0.1)
    interval = theirs.confidence_interval(0.9)
    assert (result.statistic, result.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_two_values_by_hand() -> None:
    """Mean 2, sd sqrt(2), error 1, one degree of freedom: t = 2 and p = 1 - 2 atan(2) / pi."""
    result = one_sample_t([1.0, 3.0], 0.0)
    assert result.statistic == pytest.approx(2.0)
    assert result.p_value == pytest.approx(1 - 2 * math.atan(2.0) / math.pi)


def test_a_summary_says_the_same_as_its_values() -> None:
    values = np.array(REFERENCE_RUNS)
    assert one_sample_t_from_summary(values.mean(), values.std(ddof=1), 6, 1.0) == one_sample_t(values, 1.0)


def test_the_interval_excludes_the_published_value_exactly_where_the_test_rejects() -> None:
    values = np.array(REFERENCE_RUNS)
    edge = one_sample_t(values, 1.0).high
    assert one_sample_t(values, edge).p_value == pytest.approx(0.05)
    assert one_sample_t(values, edge + 0.01).p_value < 0.05 < one_sample_t(values, edge - 0.01).p_value


def test_a_true_null_is_rejected_at_the_nominal_rate() -> None:
    draws = np.random.default_rng(2).normal(0.7, 0.4, (2000, 10))
    rejected = np.mean([one_sample_t(row, 0.7).p_value < 0.05 for row in draws])
    assert rejected == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 2000))


@pytest.mark.parametrize("published", [0.1, 0.5])
def test_runs_that_all_end_alike_say_nothing_about_chance(published: float) -> None:
    result = one_sample_t([0.1, 0.1, 0.1], published)
    assert math.isnan(result.statistic)
    assert math.isnan(result.p_value)
    assert result.sd == 0.0
    assert result.low == result.high == result.mean


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]]])
def test_fewer_than_two_values_are_refused(values: list) -> None:
    with pytest.raises(ValueError, match="at least two values"):
        one_sample_t(values, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_run_without_a_result_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="value 1 of 3 is"):
        one_sample_t([1.0, bad, 2.0], 1.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": 1}, "at least two values, got 1"),
        ({"sd": -0.1}, "sd not below 0"),
        ({"published": math.nan}, "must be finite"),
        ({"level": 95}, "level is 95"),
    ],
)
def test_a_summary_that_cannot_be_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one_sample_t_from_summary(**{"mean": 1.0, "sd": 0.1, "n": 5, "published": 1.0, **changed})


def test_welch_from_a_summary_is_welch_from_the_runs() -> None:
    own, theirs = [1.0, 2.0, 3.0, 5.0], [2.0, 4.0, 6.0]
    assert welch_from_summary(own, 4.0, 2.0, 3) == pytest.approx(two_sample(own, theirs).p_value, rel=1e-12)
    with pytest.raises(ValueError, match="two runs on either side"):
        welch_from_summary(own, 4.0, 2.0, 1)


def test_two_samples_by_hand() -> None:
    """Means 2 and 4, variances 1 and 4 over three values each: Welch's t = -2 / sqrt(1/3 + 4/3)."""
    result = two_sample([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    error = math.sqrt(1 / 3 + 4 / 3)
    freedom = (5 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    assert result.difference == pytest.approx(-2)
    assert result.p_value == pytest.approx(2 * stats.t.sf(2 / error, freedom))
    assert result.high - result.difference == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert result.distance == pytest.approx(2 / 3)
    assert result.spread_p_value == pytest.approx(stats.f.sf(0.8, 1, 4))  # distances from the medians: 1 0 1 and 2 0 2
    assert result.n == (3, 3)


def test_two_samples_reject_at_their_nominal_rate() -> None:
    """Of 400 pairs of equal normal groups about 5% are rejected; of shifted ones nearly all."""
    generator = np.random.default_rng(0)
    same = [two_sample(*generator.normal(size=(2, 20))).p_value < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(same) < 0.085
    shifted = [two_sample(generator.normal(size=20), generator.normal(2, 1, 20)).p_value < 0.05 for _ in range(50)]
    assert np.mean(shifted) > 0.95


@pytest.mark.parametrize(
    "groups", [([1.0], [1.0, 2.0]), ([1.0, np.nan], [1.0, 2.0]), ([3.0, 3.0], [3.0, 3.0]), ([[1.0, 2.0]], [1.0, 2.0])]
)
def test_two_samples_need_something_to_compare(groups) -> None:
    with pytest.raises(ValueError, match=r"two finite values|constant"):
        two_sample(*groups)
