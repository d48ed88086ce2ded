"""Joins what a source gives with what a table holds: a part belongs to the source that filled it first, old rows stay.

Parts are columns in tables of daily figures, series in macro.csv, and the whole of every other table. Two sources define
the same quantity differently, so mixing them in one column would make a jump that no market made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.market.providers.errors import SourceError
from llmrl_lib.market.providers.source import WHOLE_TABLE
from llmrl_lib.market.reading import read_table
from llmrl_lib.market.tables import TABLES, Table

OWN = "your own file"  # owner of what was there before the first fetch
SAME = 1e-6  # relative difference of a price below which two fetches agree
_ROUNDING = 1e-6  # and the absolute one, because prices are rounded
_COMMON = 0.1  # share of a change by which two days may differ and still have one factor: a source may round to cents
_BY_COLUMN = ("indices", "options")


def held_rows(folder: Path, table: str, ticker: str | None) -> pd.DataFrame | None:
    """What a table holds, dates as columns, only the columns that its file has; None without a file.

    Raises SourceError when the file cannot be used as it is.
    """
    reading = read_table(folder, TABLES[table], ticker)
    if reading.refused:
        raise SourceError(f"{reading.refused[0]}; mend or delete the file, then fetch again")
    if not reading.file:
        return None
    frame = reading.frame.reset_index() if TABLES[table].is_daily else reading.frame
    return frame[[name for name in frame.columns if name in reading.columns]]


def parts_of(table: str, frame: pd.DataFrame) -> list[str]:
    """The parts of a table that ``frame`` has anything of."""
    if table in _BY_COLUMN:
        return [name for name in TABLES[table].numbers if name in frame and frame[name].notna().any()]
    if table == "macro":
        return sorted(frame["series"].unique()) if len(frame) else []
    return [WHOLE_TABLE]


def only_parts(table: str, frame: pd.DataFrame, parts: list[str]) -> pd.DataFrame:
    """The rows and columns of ``frame`` that belong to ``parts``."""
    if table in _BY_COLUMN:
        return frame[["date", *parts]]
    return frame[frame["series"].isin(parts)] if table == "macro" else frame


def extended(table: str, old: pd.DataFrame | None, new: pd.DataFrame, parts: list[str], whole: bool) -> pd.DataFrame:
    """``old`` with ``new`` rows added: what stands stays, blanks and new days are filled.

    With ``whole``, the ``parts`` of the old table are replaced by the new rows.
    """
    form = TABLES[table]
    if old is None or not len(old):
        return _ordered(form, new)
    if table in _BY_COLUMN:
        before, after = old.set_index("date"), new.set_index("date")
        joined = after.combine_first(before) if whole else before.combine_first(after)
        return _ordered(form, joined.reset_index())
    if whole:
        kept = old[~old["series"].isin(parts)] if table == "macro" else old.iloc[:0]
        return _ordered(form, pd.concat([kept, new], ignore_index=True) if len(kept) else new)
    both = pd.concat([old, new], ignore_index=True)
    key = list(form.key) or ["available_at", "headline"]
    return _ordered(form, both.drop_duplicates(key, keep="first"))


def rebased(
    old: pd.DataFrame, new: pd.DataFrame, splits: Mapping[pd.Timestamp, float] | None, since: pd.Timestamp
) -> str | None:
    """What changed the prices of days that both frames of bars have; None where they agree.

    A "split" is one that the source tells of, after the day ``since``. A "dividend" changes all adjusted closes by one
    factor, and no raw close. A "rescaling" changes all raw closes by one factor at a source that tells no splits.
    All else is a "correction".
    """
    both = old.merge(new, on="date", suffixes=("_old", "_new"))
    raw, adjusted = (_change(both, column) for column in ("raw_close", "close"))
    if raw is None and adjusted is None:
        return None
    if any(day > since for day in splits or ()):
        return "split"
    if raw is None:
        return "dividend" if adjusted == "common" else "correction"
    return "rescaling" if raw == "common" and splits is None else "correction"


def _change(both: pd.DataFrame, column: str) -> str | None:
    """Whether a column changed: "common" by one factor on all of several days, "single" otherwise, None not at all."""
    if f"{column}_old" not in both or f"{column}_new" not in both:
        return None
    prices = both[[f"{column}_old", f"{column}_new"]].dropna()
    old, new = (prices[name].to_numpy("float64") for name in prices)
    if (np.abs(new - old) <= SAME * old + _ROUNDING).all():
        return None
    factor = float(np.median(new / old))
    one = np.abs(new - factor * old) <= _COMMON * abs(factor - 1.0) * old + _ROUNDING
    return "common" if len(old) > 1 and one.all() else "single"


def _ordered(form: Table, frame: pd.DataFrame) -> pd.DataFrame:
    columns = [name for name in form.columns if name in frame]
    order = [form.group] if form.group else []
    return frame[columns].sort_values([*order, *form.dates], kind="stable", ignore_index=True)
