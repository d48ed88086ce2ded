"""How much a Sharpe ratio says: its standard error, and the chance that there is skill behind it.

All from one series of daily returns. What they know of is chance along this one price path under stationarity; neither
another path nor a change of regime is in them. Ratios are per day inside the formulas and annual at the edges.

Sources: Lo, "The statistics of Sharpe ratios" (2002); Mertens, "Comments on variance of the IID estimator in Lo" (2002);
Bailey & Lopez de Prado, "The Sharpe ratio efficient frontier" (2012) for the probabilistic ratio and the minimum track
record, and "The deflated Sharpe ratio" (2014) for many trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from llmrl_lib.metrics import ROWS_PER_YEAR

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Record:
    """What the formulas need of a series of returns; `ratio` is per period, not annual."""

    periods: int
    ratio: float  # mean over standard deviation (ddof 1)
    skewness: float  # 0 for a normal distribution
    kurtosis: float  # 3 for a normal distribution

    @property
    def error(self) -> float:
        """Standard error of `ratio` (Mertens 2002): exact to first order for independent returns of any distribution."""
        return math.sqrt(self.spread / (self.periods - 1))

    @property
    def spread(self) -> float:
        """1 - skewness SR + (kurtosis - 1) / 4 SR^2."""
        return 1.0 - self.skewness * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio**2


def record_of(returns: Sequence[float] | np.ndarray) -> Record:
    """The moments of simple returns, one per period.

    Raises ValueError for fewer than three returns, one that is not finite, or returns that are all equal.
    """
    from scipy import stats

    values = checked_returns(returns, 3)
    ratio = float(values.mean() / values.std(ddof=1))
    return Record(len(values), ratio, float(stats.skew(values)), float(stats.kurtosis(values, fisher=False)))


def checked_returns(returns: Sequence[float] | np.ndarray, least: int) -> np.ndarray:
    """The returns as float64 (n,), or a ValueError: fewer than `least`, one not finite, or all equal."""
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(f"a Sharpe ratio's error needs a row of at least {least} returns, got shape {values.shape}")
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"return {place} of {len(values)} is {values[place]}; give the returns of traded days only")
    if values.max() == values.min():
        raise ValueError("all returns are equal, so that there is no risk to divide by; was anything held?")
    return values


def sharpe_error(returns: Sequence[float] | np.ndarray, periods_a_year: int = ROWS_PER_YEAR) -> float:
    """Standard error of the annual Sharpe ratio, by Lo's and Mertens's formula; about 0.7 for two years of daily returns."""
    return record_of(returns).error * math.sqrt(periods_a_year)


def probabilistic_sharpe(
    returns: Sequence[float] | np.ndarray, benchmark: float = 0.0, periods_a_year: int = ROWS_PER_YEAR
) -> float:
    """The probability that the true annual Sharpe ratio exceeds `benchmark` (Bailey & Lopez de Prado 2012, equation 11)."""
    return probability_above(record_of(returns), benchmark / math.sqrt(periods_a_year))


def probability_above(record: Record, benchmark: float) -> float:
    """`probabilistic_sharpe` from moments; `benchmark` per period, like `record.ratio`."""
    return _NORMAL.cdf((record.ratio - benchmark) / record.error)


def deflated_sharpe(
    returns: Sequence[float] | np.ndarray, trials: Sequence[float] | np.ndarray, periods_a_year: int = ROWS_PER_YEAR
) -> float:
    """The probability that the best of many tried configurations has skill: above what luck gives the best of so many.

    `trials` are the annual Sharpe ratios of every configuration tried, the chosen one included (Bailey & Lopez de Prado
    2014). Trials count as independent; correlated ones make the figure too strict. Raises ValueError for fewer than two
    trials: one is judged by `probabilistic_sharpe`. Stricter than its level says, because it gives the best of many the
    scatter of a single trial: see `luck_corrected` for a test that rejects at its level.
    """
    tried = np.asarray(trials, dtype=np.float64)
    if tried.ndim != 1 or len(tried) < 2 or not np.isfinite(tried).all():
        raise ValueError(f"give the finite Sharpe ratios of at least two trials, got {tried.tolist()[:5]}")
    luck = expected_best(len(tried), float(tried.std(ddof=1)))
    return probabilistic_sharpe(returns, luck, periods_a_year)


def luck_corrected(returns: Sequence[float] | np.ndarray, trials: int, periods_a_year: int = ROWS_PER_YEAR) -> float:
    """The probability that the best of `trials` independent configurations without skill would have a lower Sharpe ratio.

    The probabilistic ratio to the power of `trials` (Sidak 1967): above 0.95 in one of twenty such searches.
    """
    if trials < 1:
        raise ValueError(f"trials is {trials}; count every configuration tried, at least 1")
    return probabilistic_sharpe(returns, 0.0, periods_a_year) ** trials


def expected_best(trials: int, sd: float) -> float:
    """The largest of `trials` Sharpe ratios without skill that scatter with `sd`, on average (equation 6 of 2014)."""
    if trials < 2 or not sd >= 0:
        raise ValueError(
            f"{trials} trials with standard deviation {sd}; there must be at least two, and sd not below 0"
        )
    quantiles = _NORMAL.inv_cdf(1.0 - 1.0 / trials), _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return sd * ((1.0 - np.euler_gamma) * quantiles[0] + np.euler_gamma * quantiles[1])


def minimum_track_record(
    returns: Sequence[float] | np.ndarray,
    benchmark: float = 0.0,
    level: float = 0.95,
    periods_a_year: int = ROWS_PER_YEAR,
) -> float:
    """Years that must be seen before the ratio is above `benchmark` (annual) at this level; infinite where it is not above.

    Bailey & Lopez de Prado (2012), equation 13.
    """
    return periods_needed(record_of(returns), benchmark / math.sqrt(periods_a_year), level) / periods_a_year


def periods_needed(record: Record, benchmark: float, level: float = 0.95) -> float:
    """`minimum_track_record` from moments, in periods; `benchmark` per period."""
    if not 0.5 < level < 1.0:
        raise ValueError(f"level is {level}; it is a probability between 0.5 and 1, such as 0.95")
    if record.ratio <= benchmark:
        return math.inf
    return 1.0 + record.spread * (_NORMAL.inv_cdf(level) / (record.ratio - benchmark)) ** 2
