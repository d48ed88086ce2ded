"""Whether stated probabilities come true: Brier's score and its parts, reliability by bins, and what chance would show.

A forecaster is calibrated when, of all months that it gives a probability of 0.6, six in ten turn out so. Few forecasts never
look like that, however calibrated they are: every figure here therefore comes with what a forecaster would show by chance
whose probabilities are right.

Sources: Brier (1950); Murphy (1973) for the parts of the score; Naeini, Cooper & Hauskrecht (2015) for the calibration error;
Broecker & Smith (2007) for consistency resampling, here with the forecasts held fixed; Wilson (1927) for shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

PER_BIN = 12  # forecasts that a bin holds at least, so that its share says something
MOST_BINS = 10
DRAWS = 2000

Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Calibration:
    """How well probabilities fitted what happened. brier = reliability - resolution + uncertainty + within."""

    forecasts: int
    frequency: float  # share of forecasts whose event happened
    brier: float  # mean of (probability - outcome)^2: 0 is perfect, 0.25 is what a probability of one half earns
    reliability: float  # what is lost by probabilities that miss their bin's frequency
    resolution: float  # what is gained by bins whose frequencies differ
    uncertainty: float  # frequency (1 - frequency): the score of one who always states the frequency
    within: float  # what differences inside of bins leave over
    skill: (
        float  # 1 - brier / uncertainty: above 0 is better than always stating the frequency; NaN where all were alike
    )
    calibration_error: float  # mean over forecasts of how far their bin's probability lies from its frequency
    chance_error: float  # the mean calibration error of so many outcomes drawn from these very probabilities
    p_value: float  # how often that is at least as large


def calibration(
    probabilities: Numbers, outcomes: Numbers, bins: int | None = None, draws: int = DRAWS, seed: int = 0
) -> Calibration:
    """The scores of `probabilities` (n,) of an event, given `outcomes` (n,), 1 or True where it happened.

    Bins hold about equally many forecasts each, equal probabilities together; `bins` None takes one per 12 forecasts, 1 to
    10. Raises ValueError for no forecast, sequences of different length, a probability outside [0, 1], or an outcome that
    is neither 0 nor 1.
    """
    stated, happened = _checked(probabilities, outcomes)
    member = _members(stated, bins)  # (n, bin)
    counts = member.sum(0)
    forecast, observed = stated @ member / counts, happened @ member / counts
    frequency = float(happened.mean())
    brier = float(((stated - happened) ** 2).mean())
    share = counts / len(stated)
    reliability = float(share @ (forecast - observed) ** 2)
    resolution = float(share @ (observed - frequency) ** 2)
    uncertainty = frequency * (1.0 - frequency)
    error = float(share @ np.abs(forecast - observed))
    drawn = np.abs(forecast - _drawn(stated, draws, seed) @ member / counts) @ share  # (draw,)
    return Calibration(
        forecasts=len(stated),
        frequency=frequency,
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=brier - (reliability - resolution + uncertainty),
        skill=1.0 - brier / uncertainty if uncertainty > 0 else math.nan,
        calibration_error=error,
        chance_error=float(drawn.mean()),
        p_value=float((1 + (drawn >= error - 1e-12).sum()) / (1 + draws)),
    )


def reliability_table(
    probabilities: Numbers,
    outcomes: Numbers,
    bins: int | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """A row per bin, lowest probabilities first: count, forecast (their mean), observed (share that happened), low, high.

    Between `low` and `high` lies the observed share of a calibrated forecaster in `level` of all samples of this size.
    Raises ValueError as `calibration`.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a probability between 0 and 1, such as 0.95")
    stated, happened = _checked(probabilities, outcomes)
    member = _members(stated, bins)
    counts = member.sum(0)
    shares = _drawn(stated, draws, seed) @ member / counts
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return pd.DataFrame(
        {
            "count": counts.astype(int),
            "forecast": stated @ member / counts,
            "observed": happened @ member / counts,
            "low": low,
            "high": high,
        }
    )


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of a share by Wilson's score: within [0, 1], and of use for few trials.

    Trials count as independent. Raises ValueError for no trial, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials; there must be at least one trial")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _members(stated: np.ndarray, bins: int | None) -> np.ndarray:
    """Which bin each forecast is in, float64 (n, bin): 1 in its own. Equal probabilities share a bin; none is empty."""
    wanted = min(max(len(stated) // PER_BIN, 1), MOST_BINS) if bins is None else bins
    if wanted < 1:
        raise ValueError(f"bins is {bins}; there must be at least 1")
    _, which, times = np.unique(stated, return_inverse=True, return_counts=True)
    middle = (times.cumsum() - times / 2) / len(stated)  # of each value among all forecasts, in (0, 1)
    used, bin_of = np.unique(np.floor(middle * wanted), return_inverse=True)
    place = bin_of[which]
    return (place[:, None] == np.arange(len(used))).astype(np.float64)


def _drawn(stated: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Outcomes of a forecaster whose probabilities are right, float64 (draw, n)."""
    return (np.random.default_rng(seed).random((draws, len(stated))) < stated).astype(np.float64)


def _checked(probabilities: Numbers, outcomes: Numbers) -> tuple[np.ndarray, np.ndarray]:
    stated, happened = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if stated.ndim != 1 or stated.shape != happened.shape or not len(stated):
        raise ValueError(f"a probability for each outcome is needed, got shapes {stated.shape} and {happened.shape}")
    if not ((stated >= 0) & (stated <= 1)).all():
        place = int(np.flatnonzero(~((stated >= 0) & (stated <= 1)))[0])
        raise ValueError(f"forecast {place} is {stated[place]}; a probability lies between 0 and 1")
    if not np.isin(happened, (0.0, 1.0)).all():
        place = int(np.flatnonzero(~np.isin(happened, (0.0, 1.0)))[0])
        raise ValueError(f"outcome {place} is {happened[place]}; leave out forecasts whose outcome is not known yet")
    return stated, happened
