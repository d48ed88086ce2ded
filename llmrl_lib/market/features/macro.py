"""The macro group: changes of GDP, PMI, PPI, consumer confidence, the 10-year yield and the yield curve's slope.

Both ends of a change are the values known on the decision date: a revision counts from its own publication on, and a
later one never does. Series stand in ``macro.csv`` under FRED's names; yields come from ``indices.csv``, where a day's
yield is published on the next business day.
"""

import numpy as np
import pandas as pd

from llmrl_lib.market.features.catalogue import (
    DAILY_AGE,
    MACRO_SERIES,
    MONTHLY_AGE,
    QUARTER,
    QUARTERLY_AGE,
    YEAR,
)
from llmrl_lib.market.features.columns import (
    Array,
    Cell,
    Column,
    Event,
    Known,
    as_of,
    as_of_events,
    combined,
    relative_change,
    replay,
    rows_before,
)


def macro_fields(dates: Array, macro: pd.DataFrame, indices: pd.DataFrame) -> dict[str, Column]:
    """The fields of the macro group."""
    found = {}
    for name, series in MACRO_SERIES.items():
        for label, column in _series_changes(dates, macro[macro["series"] == series], name).items():
            found[f"{name}_{label}"] = column
    slope = indices["t10y2y"].fillna(indices["dgs10"] - indices["dgs2"])
    for name, level in (("yield_10y", indices["dgs10"]), ("slope_10y_2y", slope)):
        quoted = level.dropna()
        days, values = quoted.index.to_numpy("datetime64[us]"), quoted.to_numpy("float64")
        for label, rows in (("qoq", QUARTER), ("yoy", YEAR)):
            change = values - rows_before(days, values, rows)
            found[f"{name}_{label}"] = as_of(dates, days, change, DAILY_AGE, usable=yields_usable(days))
    return found


def yields_usable(days: Array) -> Array:
    """The next business day of each day, on which its yields are published."""
    following = np.busday_offset(days.astype("datetime64[D]"), 1, roll="backward")
    return following.astype("datetime64[us]")


def _series_changes(dates: Array, rows: pd.DataFrame, name: str) -> dict[str, Column]:
    """The changes over 3 and 12 months of one series."""
    months = rows["period"].to_numpy("datetime64[M]").astype(np.int64)
    points = name == "pmi"  # a diffusion index: the difference says what it means
    events = [Event(day, fresh, _changes(known, points)) for day, fresh, known in replay(rows, months, ["value"])]
    first = rows["frequency"].iloc[0] if len(rows) else None  # a later row must not change how old a value may be
    frequency = first if first in ("M", "Q") else "Q" if name == "gdp" else "M"
    age = QUARTERLY_AGE if frequency == "Q" else MONTHLY_AGE
    return as_of_events(dates, events, ["qoq", "yoy"], age)


def _changes(known: Known, points: bool) -> dict[str, Cell]:
    newest = max(known)
    change = (lambda new, old: new - old) if points else relative_change
    cells = {
        label: combined(change, known[newest].get("value"), known.get(newest - months, {}).get("value"))
        for label, months in (("qoq", 3), ("yoy", 12))
    }
    return {label: cell for label, cell in cells.items() if cell is not None}
