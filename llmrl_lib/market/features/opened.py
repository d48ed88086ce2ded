"""A features record opened up to be read: a row per quantity, with the day since when it is known and its age."""

from __future__ import annotations

import pandas as pd

from llmrl_lib.market.features.catalogue import GROUPS
from llmrl_lib.market.features.records import NOT_AVAILABLE, Features, Field

VALUE, KNOWN, AGE = "value", "known since", "days old"
DERIVED = {  # ending of a field's name: its column beside the value
    "_gap": "close above it",
    "_relative": "share of close",
    "_change_20d": "change in 20 days",
    "_slope": "slope",
    "_zscore": "z-score",
    "_qoq": "change in a quarter",
    "_yoy": "change in a year",
}


def opened(record: Features, group: str) -> pd.DataFrame:
    """The fields of one group as text: a row per quantity, its value, its age, and what is derived from it side by side.

    Cells hold value and unit (ratios have none), "not available", or nothing where there is no such field. ``known since`` is
    the day the last input became public and ``days old`` the calendar days from then to the decision date; where the values
    of a row became known on several days, it names them all. A group in which nothing is available has no rows.
    Raises ValueError for an unknown group.
    """
    if group not in GROUPS:
        raise ValueError(f"no group {group!r}; there are {', '.join(GROUPS)}")
    fields = [field for field in record.fields if field.group == group]
    if all(field.value is None for field in fields):
        return pd.DataFrame(columns=[VALUE, KNOWN, AGE])
    quantities: dict[str, dict[str, Field]] = {}
    for field in fields:
        name, column = _place(field.name)
        quantities.setdefault(name, {})[column] = field
    used = {column for columns in quantities.values() for column in columns}
    derived = [column for column in DERIVED.values() if column in used]
    rows = {}
    for name, columns in quantities.items():
        days = sorted({field.known for field in columns.values() if field.known is not None})
        cells = {column: _cell(columns[column]) if column in columns else "" for column in (VALUE, *derived)}
        rows[name.replace("_", " ")] = {
            VALUE: cells[VALUE],
            KNOWN: ", ".join(f"{day:%Y-%m-%d}" for day in days),
            AGE: ", ".join(str((record.date - day).days) for day in days),
            **cells,
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table if VALUE in used else table.drop(columns=VALUE)


def _place(name: str) -> tuple[str, str]:
    """The quantity that a field belongs to, and its column there."""
    for ending, column in DERIVED.items():
        if name.endswith(ending):
            return name.removesuffix(ending), column
    return name, VALUE


def _cell(field: Field) -> str:
    if field.value is None:
        return NOT_AVAILABLE
    unit = "" if field.unit == "ratio" else f" {field.unit}"
    return _number(field.value, whole=field.unit in ("shares", "headlines")) + unit


def _number(value: float, whole: bool) -> str:
    """Large numbers in billions or millions, small ones with two digits that count."""
    size = abs(value)
    for least, word in ((1e9, " bn"), (1e6, " m")):
        if size >= least:
            return f"{value / least:,.1f}{word}"
    if whole or size >= 1e3:
        return f"{value:,.0f}"
    return f"{value:.2f}" if size >= 0.1 or value == 0.0 else f"{value:.2g}"
