"""Checks across the rows and columns of one table: order, repetition, signs, prices that contradict one another.

What the TDQN benchmark was run on is tolerated and counted (zero volume, a dividend-adjusted close outside
[low, high]); what no market can have produced is refused.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from llmrl_lib.market.defects import Defect
from llmrl_lib.market.doubts import bars_doubts, late_publications, share_doubts, tolerated
from llmrl_lib.market.tables import BARS, FUNDAMENTALS, MACRO, Table

RAW_CLOSE_SLACK = 0.001  # share of the price: raw_close and the day's range come from sources that round differently


def row_defects(frame: pd.DataFrame, lines: Sequence[int], file: str, table: Table) -> list[Defect]:
    """All defects of a parsed table, of which row ``i`` began on ``lines[i]`` of ``file``."""
    found = [*_order(frame, lines, file, table), *_signs(frame, lines, file, table)]
    if "period_end" in table.dates or "period" in table.dates:
        found += _availability(frame, lines, file, table)
        found += late_publications(frame, lines, file, table)
    if table.is_daily:
        found += _weekends(frame, lines, file)
    if table is BARS:
        found += [*_bars(frame, lines, file), *bars_doubts(frame, lines, file)]
    if table is FUNDAMENTALS:
        found += share_doubts(frame, lines, file)
    if table is MACRO:
        found += _early_releases(frame, lines, file)
    return found


def _order(frame: pd.DataFrame, lines: Sequence[int], file: str, table: Table) -> Iterator[Defect]:
    date = frame[table.dates[0]]
    before = date.dropna()
    before = before.groupby(frame[table.group]).shift() if table.group else before.shift()
    for row in _rows(date < before.reindex(date.index)):
        what = f"{table.dates[0]} {_day(date[row])} comes after {_day(before[row])}"
        within = f" within each {table.group}" if table.group else ""
        yield Defect(file, lines[row], "unsorted dates", what, f"sort the rows by date, oldest first{within}")
    key = list(table.key)
    if not key:
        return
    whole = frame[key].notna().all(axis=1)
    first: dict[tuple[object, ...], int] = {}
    for row in _rows(whole & frame.duplicated(key, keep=False)):
        values = tuple(frame.loc[row, key])
        if values not in first:
            first[values] = row
            continue
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in zip(key, values, strict=True))
        what = f"{shown} stands already on line {lines[first[values]]}"
        yield Defect(file, lines[row], "duplicate dates", what, "keep one of the two rows")


def _signs(frame: pd.DataFrame, lines: Sequence[int], file: str, table: Table) -> Iterator[Defect]:
    for column in table.positive:
        if column in frame:
            for row in _rows(frame[column] <= 0.0):
                what = f"{column} {frame[column][row]:.10g} is not above zero"
                yield Defect(file, lines[row], "non-positive value", what, "correct the value or delete the row")


def _availability(frame: pd.DataFrame, lines: Sequence[int], file: str, table: Table) -> Iterator[Defect]:
    period = table.dates[1]
    for row in _rows(frame["available_at"] < frame[period]):
        what = f"available_at {_day(frame['available_at'][row])} lies before {period} {_day(frame[period][row])}"
        yield Defect(file, lines[row], "available too early", what, "give the date of publication")


def _early_releases(frame: pd.DataFrame, lines: Sequence[int], file: str) -> list[Defect]:
    """Macro values published inside the period they describe: right for some surveys, a leak for anything else."""
    ends = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us]")
    for frequency, months in (("M", 1), ("Q", 3)):
        chosen = frame["frequency"] == frequency
        ends[chosen] = frame["period"][chosen] + pd.DateOffset(months=months)
    early = (frame["available_at"] < ends - pd.Timedelta(days=1)) & (frame["available_at"] >= frame["period"])
    return tolerated(
        early,
        lines,
        file,
        "available inside its period",
        lambda row: (
            f"{frame['series'][row]} of {_day(frame['period'][row])} is available on {_day(frame['available_at'][row])}"
        ),
        "right only for surveys that are published before their period ends",
    )


def _weekends(frame: pd.DataFrame, lines: Sequence[int], file: str) -> list[Defect]:
    date = frame["date"]
    return tolerated(
        date.dt.day_of_week >= 5,
        lines,
        file,
        "weekend",
        lambda row: f"{_day(date[row])} is a {date[row].day_name()}",
        "right only for assets that trade at weekends",
    )


def _bars(frame: pd.DataFrame, lines: Sequence[int], file: str) -> list[Defect]:
    high, low, volume = frame["high"], frame["low"], frame["volume"]
    found = []
    for row in _rows(high < low):
        what = f"high {high[row]:.10g} below low {low[row]:.10g}"
        found.append(Defect(file, lines[row], "high below low", what, "swap or correct the two values"))
    for row in _rows(volume < 0.0):
        what = f"volume {volume[row]:.10g} is negative"
        found.append(Defect(file, lines[row], "negative volume", what, "correct the value or leave it blank"))
    filler = "a filler row for a holiday? cleaning interpolates it"
    found += tolerated(volume == 0.0, lines, file, "zero volume", lambda _: "volume is 0", filler)
    blank = "cleaning interpolates it"
    found += tolerated(volume.isna(), lines, file, "missing volume", lambda _: "volume is missing", blank)
    adjusted = "scale open, high and low by close / raw_close before mixing them with close"
    for column, slack, remedy in (
        ("open", 0.0, "check the row against its source"),
        ("close", 0.0, f"normal when close is dividend-adjusted: {adjusted}"),
        ("raw_close", RAW_CLOSE_SLACK, "raw_close should be adjusted for splits exactly as low and high are"),
    ):
        if column in frame:
            found += _outside(frame, column, slack, lines, file, remedy)
    return found


def _outside(
    frame: pd.DataFrame, column: str, slack: float, lines: Sequence[int], file: str, remedy: str
) -> list[Defect]:
    price, low, high = frame[column], frame["low"], frame["high"]
    return tolerated(
        (low <= high) & ((price < low * (1.0 - slack)) | (price > high * (1.0 + slack))),
        lines,
        file,
        f"{column} outside [low, high]",
        lambda row: f"{column} {price[row]:.10g} outside [{low[row]:.10g}, {high[row]:.10g}]",
        remedy,
    )


def _rows(mask: pd.Series) -> list[int]:
    return np.flatnonzero(mask).tolist()


def _day(date: pd.Timestamp) -> str:
    return f"{date:%Y-%m-%d}"


def _shown(value: object) -> str:
    return _day(value) if isinstance(value, pd.Timestamp) else str(value)
