"""Controls of a study: decisions that are given the words of another one, the donor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmrl_lib.strategy.records import Strategy

_TRIES = 400  # orders that are drawn to find one in which all controls have a donor


def controls_with_donors(
    left: Sequence[Strategy], count: int, source: np.random.Generator
) -> list[tuple[Strategy, Strategy]]:
    """`count` pairs of a control and its donor, of the same side, or as many as there can be. `left` are decisions of one
    year that are no case.

    No decision is taken twice: nobody reads the same words of two months. A donor is of another month of another share if
    possible, else of an earlier month of the same one: a later month's words would tell what became of it.
    """
    wanted = (count, count if len({one.ticker for one in left}) > 1 else 0)  # pairs, and those of two shares
    found: list[tuple[Strategy, Strategy]] = []
    best = (0, 0)
    for _ in range(_TRIES):
        if best == wanted:
            break
        drawn = _pairs([left[place] for place in source.permutation(len(left)).tolist()], count)
        reached = (len(drawn), sum(one.ticker != donor.ticker for one, donor in drawn))
        if reached > best:
            best, found = reached, drawn
    return found


def _pairs(drawn: Sequence[Strategy], count: int) -> list[tuple[Strategy, Strategy]]:
    """At most `count` pairs of control and donor, no decision in two of them, taken as they come."""
    found: list[tuple[Strategy, Strategy]] = []
    waiting = list(drawn)
    while waiting and len(found) < count:
        one = waiting.pop(0)
        fit = [other for other in waiting if other.direction == one.direction and other.rationale != one.rationale]
        others = [other for other in fit if other.ticker != one.ticker and other.date.month != one.date.month]
        others = others or [other for other in fit if other.ticker == one.ticker and other.date.month < one.date.month]
        if others:
            found.append((one, others[0]))
            waiting.remove(others[0])
    return found
