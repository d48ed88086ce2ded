"""Intervals for means over reviewers and cases, both of which were drawn and both of which repeat.

Ratings of one reviewer go together, and so do ratings of one case. Reviewers and cases are therefore both resampled, each
independently with replacement, and a rating counts as often as its reviewer times its case (the pigeonhole bootstrap of Owen,
"The pigeonhole bootstrap", Annals of Applied Statistics 2007). Resampling ratings one by one would make intervals too narrow
by far; resampling reviewers alone would speak of these cases only. The method errs towards intervals that are too wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; NaN where the data do not say."""

    value: float
    low: float
    high: float
    count: int  # of ratings, or whatever the figure is a mean of


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"), 0)


def mean_interval(values: np.ndarray, draws: int = DRAWS, level: float = LEVEL, seed: int = 0) -> Estimate:
    """The mean of `values` (reviewers, cases), NaN where there is none, with its interval over reviewers and cases.

    With a single reviewer or case the interval is over the other alone; with a single value there is none (NaN).
    """
    there = ~np.isnan(values)
    if not there.any():
        return UNKNOWN
    rows, columns = counts(values.shape, draws, seed)
    filled, present = np.where(there, values, 0.0), there.astype(float)
    sums = np.einsum("bi,ij,bj->b", rows, filled, columns, optimize=True)
    weights = np.einsum("bi,ij,bj->b", rows, present, columns, optimize=True)
    drawn = sums[weights > 0] / weights[weights > 0]
    return _estimate(float(values[there].mean()), drawn, int(there.sum()), level)


def counts(shape: tuple[int, int], draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each reviewer (draws, reviewers) and each case (draws, cases) is drawn."""
    source = np.random.default_rng([seed, 17])
    rows, columns = (
        source.multinomial(size, np.full(size, 1.0 / size), draws).astype(float) if size > 1 else np.ones((draws, 1))
        for size in shape
    )
    return rows, columns


def _estimate(value: float, drawn: np.ndarray, count: int, level: float) -> Estimate:
    if count < 2 or np.isnan(value) or len(drawn) < 20:
        return Estimate(value, float("nan"), float("nan"), count)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), count)
