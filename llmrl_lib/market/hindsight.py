"""Trades in hindsight: labels made from future returns, after the paper's appendix C, and exemplars for prompts.

Everything here knows the future on purpose. Only the refinement of prompts, the oracle arms of experiments and notebooks
may import it; the import contract in ``pyproject.toml`` enforces that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from llmrl_lib.market.dates import days_of

Risk = Literal["high", "low"]
HORIZONS = (1, 3, 20)  # trading days
WEIGHTS: dict[Risk, tuple[float, float, float]] = {"high": (0.1, 0.9, 0.0), "low": (0.0, 0.6, 0.4)}  # of the horizons
VOLATILITY_DAYS = 20  # returns up to the entry from which an exemplar's target and stop are set
STOP_SHARE = 0.5  # the stop's distance over the target's


def hindsight_labels(bars: pd.DataFrame, risk: Risk) -> pd.DataFrame:
    """What should have been done at each close: LONG if the weighted future return is positive, else SHORT.

    A row per date of ``bars`` (by ``date``, with ``close``) for which every weighted horizon lies within the bars: the last 3
    dates of high risk and the last 20 of low risk have no row, and nothing is NaN. Columns: ``score``, the weighted sum
    of the simple returns over the next 1, 3 and 20 trading days (fraction), and ``direction``, 1 for LONG and 0 for SHORT.
    """
    close = bars["close"].to_numpy("float64")
    rows = max(len(close) - _longest(risk), 0)
    score = np.zeros(rows)
    for days, weight in zip(HORIZONS, WEIGHTS[risk], strict=True):
        if weight:
            score += weight * (close[days : days + rows] / close[:rows] - 1.0)
    return pd.DataFrame({"score": score, "direction": (score > 0.0).astype("int64")}, index=bars.index[:rows])


@dataclass(frozen=True)
class Exemplar:
    """A trade that a well-informed trader might have made, and what became of it."""

    date: pd.Timestamp  # entered at its close
    action: Literal["LONG", "SHORT"]  # the label, so known only in hindsight
    entry: float  # the close at which it began, currency per share
    target: float  # the close at which it is taken off with a gain
    stop: float  # the close at which it is taken off with a loss
    exit_date: pd.Timestamp  # left at its close
    outcome: Literal["target", "stop", "time"]  # what ended it; time: the longest weighted horizon had passed
    profit: float  # in the direction of the action, fraction of the entry, before costs
    known: pd.Timestamp  # the close from which on the action can be told, never before exit_date: show it from then on


def exemplars(
    bars: pd.DataFrame, risk: Risk, dates: Iterable[str | pd.Timestamp] | None = None
) -> tuple[Exemplar, ...]:
    """The labelled trades on ``dates``, every twentieth date of ``bars`` if None, with how they ended.

    The target is one standard deviation of the return over the longest weighted horizon (3 or 20 trading days) away from the
    entry, from the 20 daily log returns up to it, the stop half of that: both could be set at the entry. Dates whose trade
    reaches beyond the bars, which have fewer than 20 returns before them or no movement in these are left out.
    An exemplar shows its label, which is known later than a trade that is over early: tell it from ``known`` on.
    Raises KeyError for a date without a bar, ValueError for a single date in the place of a list.
    """
    labels = hindsight_labels(bars, risk)
    chosen = bars.index[::20] if dates is None else days_of(dates)
    found = []
    for date in chosen:
        row = int(bars.index.get_indexer(pd.Index([date]))[0])
        if row < 0:
            raise KeyError(f"no bar on {date:%Y-%m-%d}")
        if VOLATILITY_DAYS <= row < len(labels):
            trade = _trade(bars["close"], row, int(labels["direction"].iloc[row]), _longest(risk))
            found += [trade] if trade else []
    return tuple(found)


def _trade(closes: pd.Series, row: int, direction: int, days: int) -> Exemplar | None:
    close = closes.to_numpy("float64")
    sign = 1.0 if direction else -1.0
    daily = np.diff(np.log(close[row - VOLATILITY_DAYS : row + 1])).std(ddof=1)
    reach = float(daily * np.sqrt(days))
    if reach < 1e-9:
        return None
    profits = sign * (close[row + 1 : row + days + 1] / close[row] - 1.0)
    ended = np.flatnonzero((profits >= reach) | (profits <= -STOP_SHARE * reach))
    held = int(ended[0]) if len(ended) else days - 1
    profit = float(profits[held])
    outcome: Literal["target", "stop", "time"] = "time"
    if len(ended):
        outcome = "target" if profit > 0.0 else "stop"
    entry = float(close[row])
    return Exemplar(
        closes.index[row],
        "LONG" if direction else "SHORT",
        entry,
        entry * (1.0 + sign * reach),
        entry * (1.0 - sign * STOP_SHARE * reach),
        closes.index[row + 1 + held],
        outcome,
        profit,
        closes.index[row + days],
    )


def _longest(risk: Risk) -> int:
    """The longest horizon that a risk profile weighs; ValueError for an unknown profile."""
    if risk not in WEIGHTS:
        raise ValueError(f"no risk profile {risk!r}; choose from {', '.join(WEIGHTS)}")
    return max(days for days, weight in zip(HORIZONS, WEIGHTS[risk], strict=True) if weight)
