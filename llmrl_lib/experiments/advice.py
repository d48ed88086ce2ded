"""Advice of known worth: an oracle that is right as often as stated, and placebos made of real advice.

HINDSIGHT: the oracle looks at later prices. Whatever it makes is labelled so wherever it appears, and nothing that is meant
to trade may import this module. Everything here is a daily series in [-1, 1] like `strategy.guidance.guidance`: the value
of a date was decided at a close before it, every 20 trading days, and first influences the return from that date's close to
the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmrl_lib.strategy.guidance import in_force
from llmrl_lib.strategy.memory import EVERY

LEVELS = (1, 2, 3)  # confidence, as a strategist states it
SPREAD = 0.1  # how much more often the highest level is right than the middle one, where there is room


@dataclass(frozen=True)
class Oracle:
    """What an oracle said, a row per decision, and the daily series that agents see."""

    decisions: pd.DataFrame  # by date: direction (-1, 1), confidence (1..3), right (bool)
    guidance: pd.Series


def oracle(closes: pd.Series, hit_rate: float, seed: int, every: int = EVERY) -> Oracle:
    """Long or short every `every` rows of `closes` (positive, by date), right with probability `hit_rate`; equation 5.

    Right means the side of the return from the close of the row after the decision to the close `every` rows later: what
    an agent earns that follows it at once. Confidence is calibrated: its levels are equally frequent, the middle one is
    right with the hit rate, the others with up to 0.1 more and less, as far as that stays on the hit rate's side of one half.
    The strength is confidence / 3 (equation 6, a certainty of 1). Decisions too late for their outcome to be known are
    drawn at random, so that the last month holds no foresight and no gap; `right` is then missing. A return of exactly 0
    counts as up.

    Raises ValueError for a hit rate outside [0, 1], prices that are not positive, or fewer than `every` + 2 of them.
    """
    prices = closes.to_numpy(np.float64)
    if not 0.0 <= hit_rate <= 1.0:
        raise ValueError(f"hit_rate is {hit_rate}; it is a probability")
    if len(prices) < every + 2 or not (np.isfinite(prices) & (prices > 0)).all():
        raise ValueError(f"an oracle needs {every + 2} positive prices or more, got {len(prices)}")
    rows = np.arange(0, len(prices), every)
    generator = np.random.default_rng([seed, round(1e6 * hit_rate)])
    confidence = generator.integers(LEVELS[0], LEVELS[-1] + 1, len(rows))
    chance = hit_rates(hit_rate)[confidence - LEVELS[0]]
    right = generator.random(len(rows)) < chance
    known = rows + 1 + every < len(prices)
    truth = np.where(generator.random(len(rows)) < 0.5, 1, -1)
    truth[known] = np.where(prices[rows[known] + 1 + every] >= prices[rows[known] + 1], 1, -1)
    direction = np.where(right, truth, -truth)
    table = pd.DataFrame(
        {"direction": direction, "confidence": confidence, "right": pd.array(right, "boolean")}, closes.index[rows]
    )
    table.loc[~known, "right"] = pd.NA
    return Oracle(table, held(table["direction"] * table["confidence"] / LEVELS[-1], closes.index, every))


def hit_rates(hit_rate: float) -> np.ndarray:
    """How often each level of confidence is right, lowest first; their mean is `hit_rate`."""
    spread = min(SPREAD, 1.0 - hit_rate, hit_rate, abs(hit_rate - 0.5))
    return hit_rate + spread * np.array([-1.0, 0.0, 1.0])


def held(decided: pd.Series, dates: pd.Index, every: int = EVERY) -> pd.Series:
    """Values decided at the closes of their dates as a daily series: each from the next date on, until the next takes over.

    0 up to and including the first decision. Raises ValueError where a value would be older than `every` dates.
    """
    days = pd.DatetimeIndex(dates)
    place = in_force(list(decided.index), days, every)
    values = np.where(place >= 0, decided.to_numpy(np.float64)[np.maximum(place, 0)], 0.0)
    return pd.Series(values, index=days, name="guidance")


def flipped(decided: pd.Series) -> pd.Series:
    """Placebo: every decision the other way round."""
    return -decided


def permuted(decided: pd.Series, seed: int, split: pd.Timestamp) -> pd.Series:
    """Placebo: the same decisions in another order, those before `split` among themselves and those from it on.

    Same values, same dates, no knowledge of either; directions change about as often as chance has it.
    """
    generator = np.random.default_rng(seed)
    values = decided.to_numpy(np.float64).copy()
    for part in (decided.index < split, decided.index >= split):
        values[part] = generator.permutation(values[part])
    return pd.Series(values, decided.index, name=decided.name)


def random_like(decided: pd.Series, seed: int) -> pd.Series:
    """Placebo: random decisions that change sides as often as the given ones, with strengths drawn from theirs.

    A two-state chain with the flip rate of `decided`, started at random: same turnover, no knowledge. Zeros count as long.
    """
    values = decided.to_numpy(np.float64)
    generator = np.random.default_rng(seed)
    sides = np.where(values >= 0, 1.0, -1.0)
    rate = float((sides[1:] != sides[:-1]).mean()) if len(sides) > 1 else 0.5
    flips = generator.random(len(values)) < rate
    flips[0] = generator.random() < 0.5
    strengths = generator.choice(np.abs(values), len(values))
    return pd.Series(np.where(flips.cumsum() % 2, -1.0, 1.0) * strengths, decided.index, name=decided.name)


def shifted(guidance: pd.Series, days: int) -> pd.Series:
    """Placebo: a daily series that arrives `days` trading days late, 0 before. Raises ValueError for less than 1 day."""
    if days < 1:
        raise ValueError(f"days is {days}; advice can be shifted later only, or it would know the future")
    return guidance.shift(days, fill_value=0.0)
