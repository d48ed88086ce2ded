"""What a strategist remembers: its latest strategies and what became of them, as far as it was known at a close.

A strategy decided at the close of row j is in force from row j + 1: whoever follows it trades at that row's close and is in
it for `EVERY` rows, until the close of row j + 1 + `EVERY`. Its outcome is complete from that close on; before, it is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmrl_lib.strategy.records import Strategy

EVERY = 20  # trading days from one decision to the next, and that a strategy is in force


@dataclass(frozen=True)
class Recalled:
    """An earlier strategy as it is seen at a later close."""

    strategy: Strategy
    days_ago: int  # trading days since it was decided
    days: int  # trading days of `share_return`
    share_return: float  # simple, of the share, since the close at which it could be followed; 0 on that close
    is_open: bool  # whether it is still in force


def recall(strategies: Sequence[Strategy], rows: Sequence[int], closes: np.ndarray, row: int) -> list[Recalled]:
    """`strategies`, decided at the closes of `rows`, as they are seen at the close of `row`. Uses closes[: row + 1] only."""
    seen = []
    for strategy, decided in zip(strategies, rows, strict=True):
        entry = decided + 1
        last = min(row, entry + EVERY)
        if decided >= row:
            raise ValueError(f"the strategy of {strategy.date:%Y-%m-%d} is not earlier than the close that recalls it")
        earned = float(closes[last] / closes[entry] - 1.0)
        seen.append(Recalled(strategy, row - decided, last - entry, earned, last < entry + EVERY))
    return seen


def recollection(recalled: Recalled) -> str:
    """One line that tells an earlier strategy and its outcome, before costs."""
    strategy = recalled.strategy
    gain = recalled.share_return if strategy.direction else -recalled.share_return
    weights = ", ".join(f"{feature} {weight}" for feature, weight in strategy.weights)
    moved = f"the share returned {100 * recalled.share_return:+.1f} % over {recalled.days} trading days"
    if recalled.is_open:
        outcome = f"still open, so far {moved}"
    else:
        outcome = f"ended: {moved}, so the strategy {'gained' if gain > 0 else 'lost' if gain < 0 else 'broke even'}"
    return (
        f"{recalled.days_ago} trading days ago: {strategy.side}, confidence {strategy.confidence}. {outcome}. "
        f"Weights: {weights}. Rationale: {strategy.rationale}"
    )
