"""How far a measured difference is from chance.

Each test takes one number per run and returns a frozen record; its docstring names the source and what its p-value does not
cover. Runs that share one price path differ by their seeds alone, so that a test over runs speaks of the training's
randomness, never of the market's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OneSample:
    """A two-sided test of a mean against one published value."""

    n: int  # runs
    mean: float
    sd: float  # standard deviation with ddof 1
    published: float
    statistic: float  # Student's t, n - 1 degrees of freedom
    p_value: float
    low: float  # interval of the mean
    high: float
    level: float  # of the interval, e.g. 0.95


def one_sample_t(values: Sequence[float] | np.ndarray, published: float, level: float = 0.95) -> OneSample:
    """Tests whether runs' mean differs from a published value: Student (1908), two-sided, with an interval of the mean.

    This is the replication test of the guided-trading paper (appendix E): failing to reject is read as a successful
    replication, although it also happens where runs are few or scatter widely; the interval shows which. The published
    value is taken as exact. Where all values are equal (runs that all collapsed to one position) statistic and p-value
    are NaN, because the runs say nothing about chance. Raises ValueError for fewer than two values, or one not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2:
        raise ValueError(f"a t-test needs at least two values in a row, got shape {numbers.shape}; run more seeds")
    if not np.isfinite(numbers).all():
        place = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise ValueError(
            f"value {place} of {len(numbers)} is {numbers[place]}; leave out runs without a result by name"
        )
    sd = 0.0 if numbers.max() == numbers.min() else float(numbers.std(ddof=1))
    return one_sample_t_from_summary(float(numbers.mean()), sd, len(numbers), published, level)


def one_sample_t_from_summary(mean: float, sd: float, n: int, published: float, level: float = 0.95) -> OneSample:
    """`one_sample_t` from a reported mean and standard deviation (ddof 1) over `n` runs, to check a reported p-value.

    A standard deviation of 0 gives a NaN statistic and p-value. Raises ValueError for n below 2, a negative or unknown
    standard deviation, or a level outside (0, 1).
    """
    from scipy import stats  # half a second, and only here

    if n < 2:
        raise ValueError(f"a t-test needs at least two values, got {n}; run more seeds")
    if not (math.isfinite(mean) and math.isfinite(published) and math.isfinite(sd) and sd >= 0):
        raise ValueError(f"mean {mean}, sd {sd} and published {published} must be finite numbers, sd not below 0")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a probability between 0 and 1, such as 0.95")
    error = sd / math.sqrt(n)
    statistic = (mean - published) / error if error > 0 else math.nan
    p_value = float(2 * stats.t.sf(abs(statistic), n - 1))
    margin = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return OneSample(n, mean, sd, published, statistic, p_value, mean - margin, mean + margin, level)


@dataclass(frozen=True)
class TwoSample:
    """Two groups of runs compared: means by Welch's test, spreads by Brown and Forsythe's, distributions by Kolmogorov's."""

    n: tuple[int, int]
    difference: float  # mean of the first less mean of the second
    low: float  # interval of the difference
    high: float
    level: float
    p_value: float  # Welch (1947), two-sided
    spread_p_value: float  # Brown & Forsythe (1974): distances from each group's median; holds for heavy tails too
    distance: float  # Kolmogorov-Smirnov, largest gap between the two distribution functions
    distance_p_value: float  # exact, two-sided


def two_sample(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, level: float = 0.95
) -> TwoSample:
    """Compares independent runs made in two ways, e.g. ours and the reference's, or two precisions.

    A large p-value is no proof of sameness: the interval says how large a difference the runs leave open. Raises ValueError
    for a group of fewer than two values, one that is not finite, or two groups that are constant and equal.
    """
    from scipy import stats

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    for values in (a, b):
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ValueError(f"each group needs at least two finite values in a row, got {values.tolist()[:5]}")
    if a.std() == 0 and b.std() == 0:
        raise ValueError("both groups are constant: there is no chance to test against; compare the two numbers")
    welch = stats.ttest_ind(a, b, equal_var=False)
    spread = stats.levene(a, b, center="median")
    interval = welch.confidence_interval(level)
    gap = stats.ks_2samp(a, b)
    return TwoSample(
        (len(a), len(b)), float(a.mean() - b.mean()), float(interval.low), float(interval.high), level,
        float(welch.pvalue), float(spread.pvalue), float(gap.statistic), float(gap.pvalue),
    )  # fmt: skip


def welch_from_summary(values: Sequence[float] | np.ndarray, mean: float, sd: float, n: int) -> float:
    """Two-sided p-value of Welch (1947) for runs against a published mean and standard deviation (ddof 1) over `n` runs.

    Unlike `one_sample_t` it does not take the published mean as exact. Raises ValueError for fewer than two values or runs.
    """
    from scipy import stats

    own = np.asarray(values, dtype=np.float64)
    if own.ndim != 1 or len(own) < 2 or n < 2:
        raise ValueError(f"Welch's test needs two runs on either side, got {own.shape} and {n}")
    return float(stats.ttest_ind_from_stats(own.mean(), own.std(ddof=1), len(own), mean, sd, n, False).pvalue)
