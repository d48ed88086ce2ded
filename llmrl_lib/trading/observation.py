"""What the agent sees: the benchmark's cleaning, low-pass filter, scales and 117-number observation.

Transcribes Theate & Ernst (2021) and its public code. An observation for row t uses rows t-30 .. t-1 only; row t, at whose
close the action is executed, is not visible. It depends on nothing but the row, the position and the guidance, so all
observations of a price series fit in one table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

FIELDS = ["open", "high", "low", "close", "volume"]


class Scales(NamedTuple):
    """What divides each block of the observation; taken from training bars alone."""

    largest_return: float  # largest absolute one-row return of close
    largest_range: float  # largest high - low, price units
    lowest_volume: float
    highest_volume: float


def observation_table(
    bars: pd.DataFrame, scales: Scales, guidance: pd.Series | pd.DataFrame | None = None, state_length: int = 30
) -> np.ndarray:
    """Observations of every (row, position), as float32 of shape (len(bars) + 1, 3, features).

    The first axis is the row about to be traded, 0 .. len(bars); rows below `state_length` have no history and are zero; the
    last one is seen after the last trade. The second axis is the position, -1, 0, +1. Features, oldest to newest within a
    block of `state_length` - 1 rows each: returns of close, high - low, place of close between low and high, volume; then
    the position; then, where `guidance` is given, its value at the row, or one per column (known at the previous close; the
    last row's values are repeated once for the row after it, whose observation only ends an episode).
    """
    rows, window = len(bars), state_length - 1
    blocks = _row_features(bars, scales)  # (4, row)
    own = 4 * window + 1
    known = None if guidance is None else guidance_at(bars, guidance).reshape(rows, -1)
    table = np.zeros((rows + 1, 3, own + (0 if known is None else known.shape[1])), np.float32)
    if rows >= state_length:
        views = np.lib.stride_tricks.sliding_window_view(blocks[:, 1:], window, axis=1)  # (4, rows - window, window)
        table[state_length:, :, : 4 * window] = np.concatenate(views, axis=1)[:, None, :]
    table[:, :, 4 * window] = (-1.0, 0.0, 1.0)
    if known is not None:
        table[:, :, own:] = np.append(known, known[-1:], 0)[:, None]
    return table


def guidance_at(bars: pd.DataFrame, guidance: pd.Series | pd.DataFrame) -> np.ndarray:
    """The guidance of each bar's date, shape (row,), or (row, column) for a frame.

    Raises ValueError where a date is missing or a value leaves [-1, 1].
    """
    if isinstance(guidance, pd.DataFrame):
        return np.stack([guidance_at(bars, guidance[name]) for name in guidance.columns], 1)
    if not isinstance(guidance, pd.Series):
        raise ValueError(f"guidance is a {type(guidance).__name__}; give a pandas Series indexed by date")
    if guidance.index.has_duplicates:
        date = guidance.index[guidance.index.duplicated()][0]
        raise ValueError(f"the guidance series has two values for {date:%Y-%m-%d}; keep one value a trading day")
    values = guidance.reindex(bars.index)
    if values.isna().any():
        date = values.index[values.isna()][0]
        raise ValueError(
            f"the guidance series has no value for {int(values.isna().sum())} of {len(values)} trading days, first "
            f"{date:%Y-%m-%d}; give one value in [-1, 1] for every day (0 means no advice)"
        )
    if (values.abs() > 1).any():
        date = values.index[values.abs() > 1][0]
        raise ValueError(f"the guidance of {date:%Y-%m-%d} is {values[date]:g}; it must lie in [-1, 1]")
    return values.to_numpy(np.float64)


def scales_of(bars: pd.DataFrame) -> Scales:
    """The scales of a training series (the reference takes the low-passed one)."""
    returns = bars["close"].pct_change().abs()
    spread = (bars["high"] - bars["low"]).abs()
    return Scales(float(returns.max()), float(spread.max()), float(bars["volume"].min()), float(bars["volume"].max()))


def low_pass(bars: pd.DataFrame, rows: int = 5) -> pd.DataFrame:
    """A trailing mean over `rows` rows of close, low, high and volume; the first `rows` rows stay as they are.

    Open becomes the previous filtered close. Causal: a row uses itself and earlier rows only.
    """
    smooth = bars.copy()
    for name in ("close", "low", "high", "volume"):
        mean = bars[name].rolling(rows).mean()
        smooth[name] = mean.where(np.arange(len(bars)) >= rows, bars[name])
    smooth["open"] = smooth["close"].shift(1).fillna(bars["open"])
    return smooth


def clean(bars: pd.DataFrame, interpolate: bool = True) -> pd.DataFrame:
    """The reference's cleaning: zeros count as missing; gaps of up to five rows are interpolated by row number.

    What is left is filled forward, then backward, then with 0. Interpolation and the backward fill look at later rows (in
    the benchmark's data: zero volumes only); with `interpolate` False gaps are only filled forward, leading ones with 0.
    """
    cleaned = bars[FIELDS].replace(0.0, np.nan)
    if interpolate:
        cleaned = cleaned.interpolate(method="linear", limit=5, limit_area="inside")
    filled = cleaned.ffill()
    if interpolate:
        filled = filled.fillna(cleaned.apply(_first_known))
    return filled.fillna(0.0)


def match_range_to_close(bars: pd.DataFrame) -> pd.DataFrame:
    """Scales open, high and low by close / raw_close where close is dividend-adjusted.

    Without raw_close they stay as they are; raises ValueError if close then leaves the day's range, so that it must have
    been adjusted.
    """
    if "raw_close" not in bars:
        outside = (bars["close"] > bars["high"] * (1 + 1e-6)) | (bars["close"] < bars["low"] * (1 - 1e-6))
        if outside.any():
            raise ValueError(
                f"close lies outside [low, high] on {int(outside.sum())} rows, first {bars.index[outside][0]:%Y-%m-%d}, "
                "and there is no column raw_close to scale by; add it, or keep the quirk adjusted_close_in_raw_range"
            )
        return bars
    factor = bars["close"] / bars["raw_close"]
    return bars.assign(**{name: bars[name] * factor for name in ("open", "high", "low")})


def _row_features(bars: pd.DataFrame, scales: Scales) -> np.ndarray:
    """Scaled return, range, place of close and volume of each row, shape (4, row); a scale of no width gives zeros."""
    close, low, high, volume = (bars[name].to_numpy(np.float64) for name in ("close", "low", "high", "volume"))
    features = np.zeros((4, len(close)))
    if scales.largest_return > 0:
        features[0, 1:] = (close[1:] - close[:-1]) / close[:-1] / scales.largest_return
    spread = np.abs(high - low)
    if scales.largest_range > 0:
        features[1] = spread / scales.largest_range
    features[2] = np.divide(np.abs(close - low), spread, out=np.full_like(close, 0.5), where=spread != 0)
    if scales.highest_volume > scales.lowest_volume:
        features[3] = (volume - scales.lowest_volume) / (scales.highest_volume - scales.lowest_volume)
    return features


def _first_known(column: pd.Series) -> float:
    known = column.dropna()
    return float(known.iloc[0]) if len(known) else np.nan
