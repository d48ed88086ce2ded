"""Columns of values with the dates on which they became known, and the backward joins that bring them to trading days.

A column never uses a later row: its value on a date is the newest one usable then, or NaN when that is too old.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from llmrl_lib.market.features.catalogue import DAILY_AGE

Array = np.ndarray
DAY = np.timedelta64(1, "D")
NEVER = np.datetime64("NaT", "us")


class Column(NamedTuple):
    """A field on all dates: its values (NaN: not available) and, for each, the day its last input became public."""

    values: Array  # float64
    known: Array  # datetime64[us]


class Cell(NamedTuple):
    """One value of a table and the day it became public."""

    value: float
    known: np.datetime64


class Event(NamedTuple):
    """What a table with ``available_at`` said after one day of publications."""

    available: np.datetime64  # usable from the day after
    fresh: np.datetime64  # when the newest period was first published
    cells: Mapping[str, Cell]


def as_of(dates: Array, known: Array, values: Array, days: int, usable: Array | None = None) -> Column:
    """The newest value, of those that are not NaN, that is usable on each date and at most ``days`` calendar days old.

    ``known`` are the days of the values, ascending; ``usable`` are the first dates on which they may be used and are
    said to be known, the same days if not given.
    """
    there = ~np.isnan(values)
    age_from, values = known[there], values[there]
    first = age_from if usable is None else usable[there]
    row = np.searchsorted(first, dates, side="right") - 1
    found = _picked(row, values, first)
    return _without(found, dates - _taken(row, age_from, NEVER) > days * DAY)


def as_of_events(dates: Array, events: list[Event], names: list[str], days: int) -> dict[str, Column]:
    """The cells of the newest event published before each date, unless its newest period came out ``days`` before."""
    available = np.array([event.available for event in events], dtype="datetime64[us]")
    fresh = np.array([event.fresh for event in events], dtype="datetime64[us]")
    row = np.searchsorted(available, dates, side="left") - 1  # a row may be used from the next trading day on
    old = dates - _taken(row, fresh, NEVER) > days * DAY
    missing = Cell(np.nan, NEVER)
    found = {}
    for name in names:
        cells = [event.cells.get(name, missing) for event in events]
        values = np.array([cell.value for cell in cells], dtype="float64")
        known = np.array([cell.known for cell in cells], dtype="datetime64[us]")
        found[name] = _without(_picked(row, values, known), old)
    return found


def replay(frame: pd.DataFrame, months: Array, names: list[str]) -> list[tuple[np.datetime64, np.datetime64, "Known"]]:
    """The table as it stood after each day of publications: (that day, first publication of the newest period, values).

    ``months`` numbers each row's period. A later row of the same period replaces what it gives and leaves what it leaves
    blank: revisions count from their own publication on.
    """
    order = np.argsort(frame["available_at"].to_numpy(), kind="stable")
    available = frame["available_at"].to_numpy("datetime64[us]")[order]
    rows = frame[names].to_numpy("float64")[order].tolist()
    numbers = months[order].tolist()
    known: dict[int, dict[str, Cell]] = {}
    first: dict[int, np.datetime64] = {}
    found: list[tuple[np.datetime64, np.datetime64, Known]] = []
    for place, (day, month, row) in enumerate(zip(available, numbers, rows, strict=True)):
        given = {name: Cell(value, day) for name, value in zip(names, row, strict=True) if value == value}
        known = {**known, month: {**known.get(month, {}), **given}}
        first.setdefault(month, day)
        if place + 1 == len(rows) or available[place + 1] != day:
            found.append((day, first[max(known)], known))
    return found


Known = Mapping[int, Mapping[str, Cell]]  # what is known of each period, by its month and the value's name


def combined(formula: Callable[..., float], *cells: Cell | None) -> Cell | None:
    """``formula`` of the cells' values, known when the last of them was; None if one is missing or no number comes out."""
    given = [cell for cell in cells if cell is not None]
    if not given or len(given) < len(cells):
        return None
    try:
        value = formula(*(cell.value for cell in given))
    except ZeroDivisionError:
        return None
    return Cell(value, max(cell.known for cell in given)) if np.isfinite(value) else None


def relative_change(new: float, old: float) -> float:
    """(new - old) / abs(old) in percent; ZeroDivisionError at old = 0."""
    return 100.0 * (new - old) / abs(old)


def calculated(values: Array, *inputs: Column) -> Column:
    """A column of ``values`` that are known when the last of ``inputs`` is."""
    known = inputs[0].known
    for column in inputs[1:]:
        known = np.maximum(known, column.known)  # NaT wins
    return without_infinite(Column(values, known))


def without_infinite(column: Column) -> Column:
    """Infinite values are not available, and what is not available is not known."""
    return _without(column, ~np.isfinite(column.values))


def before(values: Array, rows: int) -> Array:
    """Each row's value ``rows`` rows earlier; NaN where there is none."""
    found = np.full(len(values), np.nan)
    if rows < len(values):
        found[rows:] = values[: len(values) - rows]
    return found


def rows_before(days: Array, values: Array, rows: int) -> Array:
    """Each row's value ``rows`` rows earlier; NaN where there is none, or where a hole in the table lies between.

    The earlier row may be 1.5 calendar days a row and ``DAILY_AGE`` days older: no weekends and holidays make it more.
    """
    found = before(values, rows)
    if rows < len(values):
        found[rows:][days[rows:] - days[:-rows] > (3 * rows // 2 + DAILY_AGE) * DAY] = np.nan
    return found


def windows(values: Array, rows: int) -> Array:
    """The last ``rows`` values of every row: (rows, n), oldest first, NaN before the beginning."""
    padded = np.concatenate([np.full(rows - 1, np.nan), values])
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, rows).T)


def _picked(row: Array, values: Array, known: Array) -> Column:
    return _without(Column(_taken(row, values, np.nan), _taken(row, known, NEVER)), row < 0)


def _taken(row: Array, values: Array, missing: float | np.datetime64) -> Array:
    if not len(values):
        return np.full(len(row), missing)
    return np.where(row < 0, missing, values[np.maximum(row, 0)])


def _without(column: Column, rows: Array) -> Column:
    values = np.where(rows, np.nan, column.values)
    return Column(values, np.where(np.isnan(values), NEVER, column.known))
