"""Intervals by resampling: of Sharpe ratios along one price path, and of scores over seeds.

Days are resampled in blocks of random length (the stationary bootstrap of Politis & Romano 1994; mean length by Politis &
White 2004, as corrected by Patton, Politis & White 2009), so that calm and stormy weeks stay together. Intervals are
studentised and symmetric, as Ledoit & Wolf, "Robust performance hypothesis testing with the Sharpe ratio" (2008), advise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrl_lib.evidence.sharpe import checked_returns
from llmrl_lib.metrics import ROWS_PER_YEAR

DRAWS = 2000
LEAST = 30  # returns
AT_ONCE = 250  # draws of many accounts that are held in memory together


@dataclass(frozen=True)
class Interval:
    """An estimate, how far it may be off by chance, and how often chance alone would put it as far from zero."""

    estimate: float
    low: float
    high: float
    level: float  # of the interval, e.g. 0.95
    p_value: float  # two-sided, of zero; the smallest it can be is 1 / (draws + 1)
    block: float  # mean length of the resampled blocks, days


def sharpe_interval(
    returns: Sequence[float] | np.ndarray,
    level: float = 0.95,
    draws: int = DRAWS,
    block: float | None = None,
    seed: int = 0,
    periods_a_year: int = ROWS_PER_YEAR,
) -> Interval:
    """The annual Sharpe ratio of daily simple returns (n,) with its interval. `block` None: chosen from the returns.

    Raises ValueError for fewer than 30 returns, one that is not finite, or returns that are all equal.
    """
    values = checked_returns(returns, LEAST)
    length = block or block_length(values)
    resampled = values[_blocks(len(values), draws, length, seed)]
    estimate, error = _sharpe(values)
    drawn, errors = _sharpe(resampled)
    return _studentised(estimate, error, drawn, errors, level, length, math.sqrt(periods_a_year))


def sharpe_difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    level: float = 0.95,
    draws: int = DRAWS,
    block: float | None = None,
    seed: int = 0,
    periods_a_year: int = ROWS_PER_YEAR,
) -> Interval:
    """The first annual Sharpe ratio less the second, of two strategies on the same days: days are resampled in pairs.

    `block` None: the longer of what the two series ask for. Raises ValueError as `sharpe_interval`, for series of different
    length, and for two that are the same.
    """
    a, b = checked_returns(first, LEAST), checked_returns(second, LEAST)
    if np.array_equal(a, b):
        raise ValueError("the two series are the same; there is nothing to compare")
    return mean_sharpe_difference(a, b, level, draws, block, seed, periods_a_year)


class TooStillError(ValueError):
    """Returns other than 0 are so few that resampling mostly misses them."""


def mean_sharpe_difference(
    first: np.ndarray,
    second: np.ndarray,
    level: float = 0.95,
    draws: int = DRAWS,
    block: float | None = None,
    seed: int = 0,
    periods_a_year: int = ROWS_PER_YEAR,
) -> Interval:
    """The mean annual Sharpe ratio of several accounts (account, n) less that of others (account, n), on the same days.

    Days are resampled for all accounts at once, so the interval is about the days and not about which accounts there are
    (the seeds of an agent, say). One account each is `sharpe_difference`. `block` None: the longest of what the accounts'
    mean returns ask for. An account that never moved, all of whose returns are 0, has the ratio 0, whatever the days.
    Raises ValueError as `sharpe_difference`, and TooStillError where next to nothing moved in either.
    """
    a, b = (np.stack([_moved_or_idle(row) for row in np.atleast_2d(one)]) for one in (first, second))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the series have {a.shape[1]} and {b.shape[1]} returns; give those of the same days")
    estimate, error = _mean_difference(a, b)
    if error == 0.0:
        raise ValueError("the two sets of series are the same; there is nothing to compare")
    length = block or max(block_length(one.mean(0)) for one in (a, b))
    rows = _blocks(a.shape[1], draws, length, seed)
    parts = [_mean_difference(a[:, part], b[:, part]) for part in np.array_split(rows, max(1, draws // AT_ONCE))]
    drawn, errors = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    return _studentised(estimate, error, drawn, errors, level, length, math.sqrt(periods_a_year))


def same_accounts(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two sets of series, (account, n) each, hold the same ones in the same proportions, in any order."""
    sets = np.repeat(a, len(b), 0), np.repeat(b, len(a), 0)
    one, other = (rows[np.lexsort(rows.T)] for rows in sets)
    return np.array_equal(one, other)


def _moved_or_idle(returns: np.ndarray) -> np.ndarray:
    values = np.asarray(returns, dtype=np.float64)
    return values if len(values) >= LEAST and not values.any() else checked_returns(values, LEAST)


def interquartile_mean(scores: Mapping[str, Sequence[float]]) -> float:
    """The mean of the middle half of all scores (one per seed, by task): Agarwal et al. (2021), robust and still precise."""
    from scipy import stats

    return float(stats.trim_mean(np.concatenate([_scores(name, values) for name, values in scores.items()]), 0.25))


def interquartile_interval(
    scores: Mapping[str, Sequence[float]], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """`interquartile_mean` with its percentile interval: seeds are resampled within each task (stratified bootstrap).

    It speaks of the chance in training alone: all seeds of a task share one price path. Raises ValueError for no task and
    for a task with fewer than two seeds.
    """
    from scipy import stats

    generator = np.random.default_rng(seed)
    tasks = [_scores(name, values) for name, values in scores.items()]
    if not tasks:
        raise ValueError("no scores; give those of one task or more")
    drawn = np.concatenate([task[generator.integers(0, len(task), (draws, len(task)))] for task in tasks], axis=1)
    means = stats.trim_mean(drawn, 0.25, axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    below = float((means <= 0).mean())
    p_value = min(1.0, 2 * max(min(below, 1 - below), 1 / (draws + 1)))
    return Interval(interquartile_mean(scores), float(low), float(high), level, p_value, 1.0)


def block_length(returns: np.ndarray) -> float:
    """The mean block length for the stationary bootstrap of these returns, from 1 to a fifth of their number.

    The squares of returns would ask for longer blocks; with those, intervals held the truth less often
    (benchmarks/evidence_coverage.py).
    """
    from arch.bootstrap import optimal_block_length

    if not returns.any():
        return 1.0
    asked = float(optimal_block_length(returns)["stationary"].iloc[0])
    return min(max(1.0, asked), len(returns) / 5) if math.isfinite(asked) else 1.0


def _blocks(rows: int, draws: int, length: float, seed: int) -> np.ndarray:
    """Rows of resampled series, int64 (draws, rows): blocks of geometric length, wrapped around."""
    generator = np.random.default_rng(seed)
    begins = generator.random((draws, rows)) < 1.0 / length
    begins[:, 0] = True
    origin = np.where(begins, generator.integers(0, rows, (draws, rows)), 0)
    since = np.maximum.accumulate(np.where(begins, np.arange(rows), 0), axis=1)
    return (np.take_along_axis(origin, since, axis=1) + np.arange(rows) - since) % rows


def _sharpe(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratio per period and its standard error for independent days, over the last axis."""
    ratio, influence = _influence(returns)
    return ratio, influence.std(-1) / math.sqrt(returns.shape[-1])


def _mean_difference(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratios per period, means over the first axis (accounts), and the standard error of their difference for independent
    days, over the last; an axis between them may be draws."""
    (one, influence), (other, against) = _influence(first), _influence(second)
    return one.mean(0) - other.mean(0), (influence.mean(0) - against.mean(0)).std(-1) / math.sqrt(first.shape[-1])


def _influence(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ratio, and each day's influence on it: z - SR (z^2 - 1) / 2, z the standardised return; 0 where nothing moved."""
    mean, sd = returns.mean(-1, keepdims=True), returns.std(-1, keepdims=True)
    sd = np.where(returns.any(-1, keepdims=True), sd, 1.0)
    standard = (returns - mean) / sd
    ratio = mean / sd
    exact = ratio[..., 0] * math.sqrt((returns.shape[-1] - 1) / returns.shape[-1])  # standard deviation with ddof 1
    return exact, standard - ratio * (standard**2 - 1.0) / 2.0


def _studentised(
    estimate: np.ndarray,
    error: np.ndarray,
    drawn: np.ndarray,
    errors: np.ndarray,
    level: float,
    length: float,
    year: float,
) -> Interval:
    """The symmetric interval from how far drawn estimates lie from the real one, in units of their own errors."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a probability between 0 and 1, such as 0.95")
    still = errors == 0.0  # draws without a single day on which anything moved
    distance = np.where(still, np.inf, np.abs(drawn - estimate) / np.where(still, 1.0, errors))
    margin = float(np.quantile(distance, level, method="higher" if still.any() else "linear") * error)
    if not math.isfinite(margin):
        raise TooStillError(
            f"too little moved for an interval: in {still.mean():.0%} of the resampled series nothing did"
        )
    beyond = int((distance >= abs(float(estimate)) / float(error)).sum())
    centre = float(estimate)
    return Interval(
        centre * year,
        (centre - margin) * year,
        (centre + margin) * year,
        level,
        (1 + beyond) / (1 + len(drawn)),
        length,
    )


def _scores(name: str, values: Sequence[float]) -> np.ndarray:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
        raise ValueError(f"{name}: give the finite scores of at least two seeds, got {scores.tolist()[:5]}")
    return scores
