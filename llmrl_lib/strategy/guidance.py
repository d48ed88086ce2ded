"""From strategies to the daily number that an agent sees: the paper's equations 5 to 8.

    I = d' * S              (5)   d' = +1 for LONG, -1 for SHORT
    confidence = C / 3      (6)
    certainty  = eps + (1 - eps) (1 - H_norm)   (7)
    S = sqrt(confidence * certainty), or confidence * certainty   (8)

A strategy decided at the close of t is in force from the first date after t until the next one takes over. The value of a
date was therefore known at the close before it. The agent sees the value of row t + 1 in the observation for row t + 1,
trades at that row's close, and earns the return from that close to the next: the first return that a strategy of t can
influence is that from the close of t + 1 to the close of t + 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from llmrl_lib.strategy.memory import EVERY
from llmrl_lib.strategy.records import Strategy

Variant = Literal["geometric", "product", "confidence", "direction"]
Source = Literal["reply", "decision"]
VARIANTS: tuple[Variant, ...] = ("geometric", "product", "confidence", "direction")
EPSILON = 1e-4
FURTHER_DAYS = (
    10  # of the calendar, beyond two for each trading day, that advice can be old: the longest closures of exchanges
)


def guidance(
    strategies: Iterable[Strategy],
    dates: pd.Index | Sequence[pd.Timestamp],
    variant: Variant = "geometric",
    entropy: Source = "reply",
    every: int = EVERY,
    may_begin_late: bool = False,
) -> pd.Series:
    """The interaction term of each of `dates` (trading days, ascending), in [-1, 1], from one ticker's strategies.

    `variant` is the strength: the geometric mean of confidence and certainty (default), their product, confidence alone, or
    none (direction only, I = +-1). `entropy` is taken over the whole reply or over the tokens of the decision. Where a date
    of decision has several draws, the value is the mean of theirs: draws that disagree cancel. Days up to and including the
    first decision are 0, which means no advice.

    Raises ValueError for strategies of several tickers, for twice the same draw of a date, for a strategy without
    log-probabilities where `variant` needs them, and for a date that lies more than `every` of `dates` after the decision in
    force: stale advice is neither repeated nor turned into a neutral one. Likewise where more than `every` dates lie before
    the first decision, unless `may_begin_late`: an agent trained on years without advice learns to pay no heed to it.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}; it must be one of {', '.join(VARIANTS)}")
    days = pd.DatetimeIndex(list(dates))
    if not days.is_monotonic_increasing or days.has_duplicates:
        raise ValueError("the dates are not strictly increasing; give the trading days in order, each once")
    by_date = _by_date(strategies)
    values = np.array(
        [
            math.fsum(interaction(strategy, variant, entropy) for strategy in group) / len(group)
            for group in by_date.values()
        ]
    )
    place = in_force(list(by_date), days, every)
    silent = int((place < 0).sum())
    if silent > every + 1 and not may_begin_late:
        raise ValueError(
            f"the first of {len(by_date)} decisions is of {min(by_date):%Y-%m-%d}, so {silent} of {len(days)} dates from "
            f"{days[0]:%Y-%m-%d} on would be without advice; make strategies from there on (llmrl strategies --start "
            f"{days[0]:%Y-%m-%d}), or say may_begin_late=True"
        )
    known = np.where(place >= 0, values[np.maximum(place, 0)], 0.0)
    return pd.Series(known, index=days, name="guidance")


def interaction(strategy: Strategy, variant: Variant = "geometric", entropy: Source = "reply") -> float:
    """Equation 5 for one strategy: in [-1, 1], its sign the direction."""
    sign = 1.0 if strategy.direction else -1.0
    return sign * strength(strategy, variant, entropy)


def strength(strategy: Strategy, variant: Variant = "geometric", entropy: Source = "reply") -> float:
    """Equation 8 for one strategy, in [0, 1]; 1 for direction only."""
    if variant == "direction":
        return 1.0
    confidence = strategy.confidence / 3.0
    if variant == "confidence":
        return confidence
    sure = certainty(_entropy(strategy, entropy))
    return math.sqrt(confidence * sure) if variant == "geometric" else confidence * sure


def certainty(normalised: float) -> float:
    """Equation 7, from normalised entropy: in [eps, 1]."""
    return EPSILON + (1.0 - EPSILON) * (1.0 - normalised)


def in_force(decided: Sequence[pd.Timestamp], dates: pd.DatetimeIndex, every: int = EVERY) -> np.ndarray:
    """For each date the place of the strategy in force, the last one decided before it; -1 where there is none yet.

    Raises ValueError where it was decided more than `every` dates ago, or, where `dates` have a gap after it, more than twice
    as many days ago: more than weekends and holidays account for.
    """
    stamps = pd.DatetimeIndex(list(decided))
    place = stamps.searchsorted(dates, side="left") - 1
    longest = pd.Timedelta(days=2 * every + FURTHER_DAYS)
    for number in np.unique(place[place >= 0]).tolist():
        covered = np.flatnonzero(place == number)
        old = covered[np.flatnonzero(dates[covered] - stamps[number] > longest)]
        if len(covered) > every or len(old):
            stale = dates[min([*covered[every:], *old])]
            raise ValueError(
                f"no strategy is in force on {stale:%Y-%m-%d}: the last one is of {stamps[number]:%Y-%m-%d} and lasts "
                f"{every} trading days; make the missing strategies, or give fewer dates"
            )
    return place


def _by_date(strategies: Iterable[Strategy]) -> dict[pd.Timestamp, list[Strategy]]:
    found: dict[pd.Timestamp, list[Strategy]] = {}
    every = sorted(strategies, key=lambda strategy: (strategy.date, strategy.draw))
    if not every:
        raise ValueError("no strategy was given; make some with make_strategies")
    tickers = sorted({strategy.ticker for strategy in every})
    if len(tickers) > 1:
        raise ValueError(f"strategies of {', '.join(tickers)}; give those of one ticker")
    for strategy in every:
        group = found.setdefault(strategy.date, [])
        if group and group[-1].draw == strategy.draw:
            what = f"two strategies of {strategy.ticker} on {strategy.date:%Y-%m-%d} have draw {strategy.draw}"
            raise ValueError(f"{what}; give those of one prompt and model")
        group.append(strategy)
    return found


def _entropy(strategy: Strategy, source: Source) -> float:
    if source not in ("reply", "decision"):
        raise ValueError(f"entropy is {source!r}; it must be reply or decision")
    if not strategy.tokens:
        raise ValueError(
            f"the strategy of {strategy.ticker} on {strategy.date:%Y-%m-%d} has no log-probabilities; take the variant "
            "'confidence' or 'direction', or a model that gives them"
        )
    return strategy.entropy_of_reply if source == "reply" else strategy.entropy_of_decision
