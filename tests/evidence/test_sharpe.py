"""Standard errors and probabilities of Sharpe ratios, against the sources' own examples and against simulation."""

import math

import numpy as np
import pytest

from llmrl_lib.evidence.sharpe import (
    Record,
    deflated_sharpe,
    expected_best,
    luck_corrected,
    minimum_track_record,
    periods_needed,
    probabilistic_sharpe,
    probability_above,
    record_of,
    sharpe_error,
)


def test_the_hedge_fund_of_2012() -> None:
    """Two years of months, monthly ratio 0.458, skewness -2.448, kurtosis 10.164: 0.982 if normal, 0.913 as it is."""
    assert probability_above(Record(24, 0.458, 0.0, 3.0), 0.0) == pytest.approx(0.982, abs=5e-4)
    assert probability_above(Record(24, 0.458, -2.448, 10.164), 0.0) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(("a_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_track_record_that_tells_two_from_one(a_year: int, years: float) -> None:
    """An annual ratio of 2 against 1 at 95 %, normal returns, seen daily, weekly and monthly (2012)."""
    record = Record(1000, 2 / math.sqrt(a_year), 0.0, 3.0)
    assert periods_needed(record, 1 / math.sqrt(a_year)) / a_year == pytest.approx(years, abs=5e-3)
    assert periods_needed(record, 3 / math.sqrt(a_year)) == math.inf


def test_the_strategist_of_2014() -> None:
    """Ratio 2.5 over 1250 days, skewness -3, kurtosis 10, best of 100 whose variance is 1/2: luck 0.1132 a day, 0.9004."""
    luck = expected_best(100, math.sqrt(0.5 / 250))
    assert luck == pytest.approx(0.1132, abs=5e-5)
    assert probability_above(Record(1250, 2.5 / math.sqrt(250), -3.0, 10.0), luck) == pytest.approx(0.9004, abs=5e-5)


def test_two_years_leave_an_error_of_seven_tenths() -> None:
    returns = np.random.default_rng(0).normal(0.0004, 0.01, 504)
    assert sharpe_error(returns) == pytest.approx(math.sqrt(252 / 503), rel=0.02)


def test_the_error_is_the_scatter_of_the_estimate_for_skewed_returns() -> None:
    """2,000 histories of 500 skewed days (exponential, mean 0.1 sd): sd of the ratio against the formula's mean."""
    generator = np.random.default_rng(1)
    histories = generator.exponential(1.0, (2000, 500)) - 0.9
    ratios = histories.mean(1) / histories.std(1, ddof=1)
    told = np.mean([record_of(history).error for history in histories[:200]])
    assert told == pytest.approx(ratios.std(), rel=0.05)
    assert abs(told * math.sqrt(499) - 1.0) > 0.05  # Lo's formula for normal returns would be off


def test_no_skill_is_found_at_the_nominal_rate() -> None:
    generator = np.random.default_rng(2)
    found = [probabilistic_sharpe(generator.standard_t(5, 500)) > 0.95 for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.02)


def test_the_best_of_many_without_skill_is_deflated() -> None:
    """Best of 100 random strategies: as a single trial it nearly always looks skilled; corrected, one in twenty does."""
    generator = np.random.default_rng(3)
    naive, deflated, corrected = [], [], []
    for _ in range(400):
        tried = generator.normal(0.0, 0.01, (100, 500))
        ratios = tried.mean(1) / tried.std(1, ddof=1) * math.sqrt(252)
        best = tried[ratios.argmax()]
        naive.append(probabilistic_sharpe(best) > 0.95)
        deflated.append(deflated_sharpe(best, ratios) > 0.95)
        corrected.append(luck_corrected(best, 100) > 0.95)
    assert np.mean(naive) > 0.9
    assert np.mean(deflated) < 0.05
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.035)
    assert np.mean(deflated) <= np.mean(corrected)


def test_the_record_in_years_grows_as_the_ratio_falls() -> None:
    returns = np.random.default_rng(4).normal(0.0006, 0.01, 2000)
    assert minimum_track_record(returns) < minimum_track_record(returns - 0.0002)
    assert minimum_track_record(-returns) == math.inf


@pytest.mark.parametrize(
    ("returns", "said"),
    [([0.1, 0.2], "at least 3 returns"), ([0.1, float("nan"), 0.2], "return 1 of 3 is nan"), ([0.1] * 5, "no risk")],
)
def test_returns_that_say_nothing_are_named(returns: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        record_of(returns)
    with pytest.raises(ValueError, match="at least two trials"):
        deflated_sharpe([0.1, 0.2, 0.3], [1.0])
