"""Which years refinement may look at: non-overlapping one-year windows of each ticker, from the training years alone.

The last windows are held out of everything, exemplars included; they are for the final judgement. What is held out begins
on the same day for all tickers, because shares of one market move together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.strategy.refinement.errors import RefinementError

YEAR = 250  # rows of a window: a little less than a year has, so that six years hold six


@dataclass(frozen=True)
class Window:
    """A year of one ticker: the first decision falls on its first row, the first trade on the row after."""

    ticker: str
    first: int  # row among all bars
    rows: int
    start: pd.Timestamp
    last: pd.Timestamp

    def of(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Its bars among all of the ticker's."""
        return bars.iloc[self.first : self.first + self.rows]


@dataclass(frozen=True)
class Years:
    """How the years of a dataset are divided."""

    sampled: Mapping[str, tuple[Window, ...]]  # windows by ticker, from which each repetition draws one
    held_out: Mapping[str, Window]  # by ticker, the held-out years in one
    unseen: Window | None  # all years of the ticker that refinement never saw; None where every ticker is refined on
    first_held_out: pd.Timestamp  # nothing from this day on is looked at before the final judgement
    tests: bool  # whether the test years are among all these

    @property
    def tickers(self) -> tuple[str, ...]:
        """Those that are refined on."""
        return tuple(self.sampled)


def divide(
    dataset: Dataset, tickers: Sequence[str], unseen: str = "", held_out: int = 2, test_years: bool = False
) -> Years:
    """The windows of `tickers`, the last `held_out` years of which are held out, and of the `unseen` ticker (blank: none).

    Windows are counted from the first row of the training years on; what is left over at their end belongs to none. With
    `test_years` they go on through the test years, and every result is to be marked. Raises RefinementError where a ticker
    has no window to sample from.
    """
    if held_out < 0:
        raise RefinementError(f"{held_out} years cannot be held out; give 0 or more")
    if not tickers or unseen in tickers:
        raise RefinementError(
            f"the ticker {unseen} is to stay unseen; name it not among those to refine on, and another"
        )
    end = dataset.end if test_years else dataset.split
    spans = {ticker: _span(dataset, ticker, end) for ticker in tickers}
    known = {ticker: dataset.bars(ticker).index for ticker in tickers}
    counts = {ticker: (last - first) // YEAR for ticker, (first, last) in spans.items()}
    kept = {ticker: spans[ticker][0] + YEAR * max(counts[ticker] - held_out, 0) for ticker in tickers}
    cuts = [known[ticker][kept[ticker]] for ticker in tickers if held_out and kept[ticker] < len(known[ticker])]
    cut = min(cuts, default=pd.Timestamp(end))
    sampled, later = {}, {}
    for ticker in tickers:
        days, (first, last) = known[ticker], spans[ticker]
        before = int(days.searchsorted(cut))
        sampled[ticker] = tuple(
            _window(ticker, days, row, YEAR) for row in range(first, min(before, last) - YEAR + 1, YEAR)
        )
        if not sampled[ticker]:
            raise RefinementError(
                f"{ticker} has {counts[ticker]} whole years from {dataset.train_start:%Y-%m-%d} on, of which those before "
                f"{cut:%Y-%m-%d} may be sampled: none; hold out fewer years (--held-out), or leave the ticker out (--tickers)"
            )
        rows = YEAR * ((last - before) // YEAR)
        if held_out and rows:
            later[ticker] = _window(ticker, days, before, rows)
    kept_back = None
    if unseen:
        first, last = _span(dataset, unseen, end)
        if last - first < 2:
            raise RefinementError(
                f"{unseen} has no training years, so nothing can be judged on it; name another (--unseen)"
            )
        kept_back = _window(unseen, dataset.bars(unseen).index, first, last - first)
    return Years(sampled, later, kept_back, pd.Timestamp(cut), test_years)


def sample(years: Years, repetition: int, seed: int) -> dict[str, Window]:
    """One window of each ticker, drawn for a repetition (counted from 1).

    A ticker's windows are gone through in a drawn order, so that none comes back before all have been taken.
    """
    found = {}
    for place, (ticker, windows) in enumerate(years.sampled.items()):
        turn, at = divmod(repetition - 1, len(windows))
        order = np.random.default_rng([seed, place, turn]).permutation(len(windows))
        found[ticker] = windows[int(order[at])]
    return found


def _span(dataset: Dataset, ticker: str, end: pd.Timestamp) -> tuple[int, int]:
    days = dataset.bars(ticker).index
    return int(days.searchsorted(dataset.train_start)), int(days.searchsorted(end))


def _window(ticker: str, days: pd.Index, first: int, rows: int) -> Window:
    return Window(ticker, first, rows, days[first], days[first + rows - 1])
