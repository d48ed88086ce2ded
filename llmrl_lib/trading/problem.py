"""What a training run is given: bars of two splits and optional guidance, turned into tables of observations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading.observation import (
    FIELDS,
    clean,
    guidance_at,
    low_pass,
    match_range_to_close,
    observation_table,
    scales_of,
)


@dataclass(frozen=True)
class Problem:
    """Bars to train and to test on, and dated guidance or None.

    Bars are indexed by date and have columns open, high, low, close, volume; raw_close too where close is adjusted and the
    quirk adjusted_close_in_raw_range is off. Guidance is a series, or a frame of several that join the observation together.
    `shaping` adds to the reward of each training step so many times its guidance where the action is long, and takes as much
    away where it is short; evaluation stays without it.
    """

    train_bars: pd.DataFrame
    test_bars: pd.DataFrame
    guidance: pd.Series | pd.DataFrame | None = None
    shaping: float = 0.0


class Segment(NamedTuple):
    """A price path with the observation of every (row, position)."""

    table: np.ndarray  # float32 (row + 1, 3, feature), see `observation_table`
    closes: np.ndarray  # float64 (row,), what trades are executed and valued at
    first_row: int  # first tradable row
    dates: pd.DatetimeIndex  # of all rows
    warm_up: int  # rows of the split before trading; history borrowed from another split is not of the split


class Prepared(NamedTuple):
    """A problem ready for training."""

    training: Segment  # low-passed prices, unless that quirk is off
    train: Segment  # the training split as it is evaluated: same observations, raw closes
    test: Segment
    bonus: np.ndarray | None = None  # float64 (row,) of training: what shaping adds to the reward of being long

    @property
    def features(self) -> int:
        """Numbers in an observation."""
        return int(self.training.table.shape[-1])

    def price_path(self) -> bytes:
        """The same for problems that differ in guidance alone."""
        return b"".join(segment.closes.tobytes() for segment in (self.train, self.test))

    def fingerprint(self) -> str:
        """A hash of every number in it."""
        digest = hashlib.sha256()
        for segment in (self.training, self.train, self.test):
            digest.update(np.ascontiguousarray(segment.table).tobytes())
            digest.update(segment.closes.tobytes())
            digest.update(str(segment.first_row).encode())
        if self.bonus is not None:
            digest.update(self.bonus.tobytes())
        return digest.hexdigest()


def prepare(problem: Problem, settings: TdqnSettings) -> Prepared:
    """Cleans, filters and scales both splits and lays out their observations.

    Raises ValueError for bars without the needed columns, with closes that are not positive numbers, with too few rows,
    for test bars that do not begin after the last training bar, for guidance that lacks a date or leaves [-1, 1], or for
    shaping without a series of guidance.
    """
    quirks, first = settings.quirks, settings.state_length
    train, test = (
        checked(bars, name, first, quirks)
        for bars, name in ((problem.train_bars, "training"), (problem.test_bars, "test"))
    )
    if test.index[0] <= train.index[-1]:
        raise ValueError(
            f"the test bars begin on {test.index[0]:%Y-%m-%d} and the training bars end on {train.index[-1]:%Y-%m-%d}, not "
            f"before; an agent must not be judged on days that it was trained on"
        )
    test_dates = test.index
    test, test_first = with_history(train, test, settings)

    def seen(bars: pd.DataFrame) -> pd.DataFrame:
        return low_pass(bars, settings.low_pass) if quirks.train_on_low_passed_prices else bars

    scale_bars = low_pass(train, settings.low_pass) if quirks.scales_from_low_passed_prices else train
    scales = scales_of(scale_bars)
    guidance = test_guidance = problem.guidance
    if guidance is not None and len(test) > len(
        test_dates
    ):  # borrowed rows fill the window, their guidance is not seen
        guidance_at(pd.DataFrame(index=test_dates), guidance)  # refuses what lacks a date
        test_guidance = guidance.reindex(test_dates).reindex(test.index, fill_value=0.0)
    train_table = observation_table(seen(train), scales, guidance, first)
    test_table = observation_table(seen(test), scales, test_guidance, first)
    dates, closes = pd.DatetimeIndex(train.index), train["close"].to_numpy(np.float64)
    test_closes, warm_up = test["close"].to_numpy(np.float64), first if quirks.test_starts_cold else 0
    bonus = None
    if problem.shaping:
        if not isinstance(guidance, pd.Series):
            raise ValueError(
                f"shaping is {problem.shaping:g}, but there is no series of guidance to shape the reward by"
            )
        bonus = problem.shaping * guidance_at(train, guidance)
    return Prepared(
        Segment(train_table, seen(train)["close"].to_numpy(np.float64), first, dates, first),
        Segment(train_table, closes, first, dates, first),
        Segment(test_table, test_closes, test_first, pd.DatetimeIndex(test.index), warm_up),
        bonus,
    )


def with_history(train: pd.DataFrame, test: pd.DataFrame, settings: TdqnSettings) -> tuple[pd.DataFrame, int]:
    """The bars that the test trades on and the first tradable row; a warm start has the training tail in front.

    Days that both splits hold are no history: `prepare` refuses them, `classical_strategies` admits them, because the
    reference's files for Tokyo and Hong Kong share a day or two. Raises ValueError where a warm start finds too few training
    rows before the test's first date.
    """
    if settings.quirks.test_starts_cold:
        return test, settings.state_length
    needed = settings.state_length + settings.low_pass
    history = train[train.index < test.index[0]].iloc[-needed:]
    if len(history) < needed:
        raise ValueError(
            f"a warm start needs {needed} training rows before the test begins on {test.index[0]:%Y-%m-%d}, there are "
            f"{len(history)}; give earlier training bars, or keep the quirk test_starts_cold"
        )
    return pd.concat([history, test]), needed


def checked(bars: pd.DataFrame, name: str, first_row: int, quirks: Quirks) -> pd.DataFrame:
    """The bars cleaned, or a ValueError that says what is wrong with them."""
    if not isinstance(bars.index, pd.DatetimeIndex):
        raise ValueError(
            f"the {name} bars are indexed by {type(bars.index).__name__}; index them by date (DatetimeIndex)"
        )
    missing = [column for column in FIELDS if column not in bars]
    if missing:
        raise ValueError(f"the {name} bars lack the column {missing[0]!r}; they need {', '.join(FIELDS)}")
    if len(bars) <= first_row:
        raise ValueError(
            f"the {name} bars have {len(bars)} rows; an observation needs {first_row} and trading at least one more: "
            f"give {first_row + 1} or more"
        )
    closes = bars["close"].to_numpy(np.float64)
    if not (np.isfinite(closes) & (closes > 0)).all():
        row = int(np.flatnonzero(~(np.isfinite(closes) & (closes > 0)))[0])
        raise ValueError(f"the {name} bars' close on {bars.index[row]} is {closes[row]:g}; prices must be positive")
    if not bars.index.is_monotonic_increasing or bars.index.has_duplicates:
        raise ValueError(f"the {name} bars' dates are not strictly increasing; sort them and drop duplicates")
    if not quirks.adjusted_close_in_raw_range:
        bars = match_range_to_close(bars)
    return clean(bars, interpolate=quirks.gaps_filled_from_later_rows)
