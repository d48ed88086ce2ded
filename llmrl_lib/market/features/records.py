"""The records that features are handed out as: a field, a headline, all of a decision date, all dates of a ticker."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from llmrl_lib.market.dates import day_of
from llmrl_lib.market.features.catalogue import FIELDS

NOT_AVAILABLE = "not available"


class Field(NamedTuple):
    """One value at a decision date; ``FIELDS[name]`` says how it is made.

    ``value`` and ``known``, the day on which its last input became public, are both None where it is not available.
    """

    name: str
    group: str  # market, technical, fundamental, macro, options or news
    unit: str
    value: float | None  # None: not available
    known: pd.Timestamp | None  # the day its last input became public; None if not available

    def __str__(self) -> str:
        if self.value is None or self.known is None:
            return f"{self.name}: {NOT_AVAILABLE}"
        return f"{self.name}: {self.value:.6g} {self.unit} (known {self.known:%Y-%m-%d})"


@dataclass(frozen=True, slots=True)
class Headline:
    """One news item; usable from the trading day after its publication."""

    published: pd.Timestamp
    headline: str
    summary: str | None
    source: str | None


@dataclass(frozen=True)
class Features:
    """Everything known about a ticker at the close of a decision date."""

    ticker: str
    date: pd.Timestamp
    fields: tuple[Field, ...]  # all of FIELDS, in that order, available or not
    news: tuple[Headline, ...]  # of the last 20 trading days, oldest first

    def __getitem__(self, name: str) -> Field:
        """The field of that name; KeyError naming the nearest names if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            near = [known for known in self._by_name if name.split("_")[0] in known] or list(self._by_name)
            raise KeyError(f"no field {name!r}; there are {', '.join(near)}") from None

    def group(
        self, name: Literal["market", "technical", "fundamental", "macro", "options", "news"]
    ) -> tuple[Field, ...]:
        """The fields of one group."""
        return tuple(field for field in self.fields if field.group == name)

    def frame(self) -> pd.DataFrame:
        """A row per field: name (index), group, unit, value (NaN: not available), known (NaT: not available)."""
        rows = [(field.name, field.group, field.unit, field.value, field.known) for field in self.fields]
        frame = pd.DataFrame(rows, columns=["name", "group", "unit", "value", "known"]).set_index("name")
        return frame.astype({"value": "float64", "known": "datetime64[us]"})

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of a ticker on many dates, as frames with a row per date and a column per field."""

    ticker: str
    values: pd.DataFrame  # float64; NaN: not available
    known: pd.DataFrame  # the day the value's last input became public; NaT: not available
    headlines: tuple[Headline, ...]  # all that the windows of these dates hold, oldest first
    spans: np.ndarray  # (dates, 2): first headline of the date's window and the first after it

    def row(self, date: str | pd.Timestamp) -> Features:
        """The record of one of the dates; KeyError for any other date, ValueError for what is no date."""
        day = day_of(date)
        place = int(self.values.index.get_indexer(pd.Index([day]))[0])
        if place < 0:
            raise KeyError(f"this table of {self.ticker} has no {day:%Y-%m-%d}")
        return self._record(place)

    def rows(self) -> list[Features]:
        """The records of all dates."""
        return [self._record(place) for place in range(len(self.values))]

    def _record(self, place: int) -> Features:
        values, known = (column[place].tolist() for column in self._cells)
        fields = tuple(map(Field, *_DEFINED, values, known))
        first, last = self.spans[place].tolist()
        return Features(self.ticker, self.values.index[place], fields, self.headlines[first:last])

    @cached_property
    def _cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and days as arrays of (dates, fields): numbers and timestamps, None where not available."""
        days, place = np.unique(self.known.to_numpy(), return_inverse=True)
        stamps = np.array([None if np.isnat(day) else pd.Timestamp(day) for day in days], dtype=object)
        known = stamps[place].reshape(self.known.shape)
        values = self.values.to_numpy().astype(object)
        values[self.known.isna().to_numpy()] = None
        return values, known


_DEFINED = tuple(zip(*((field.name, field.group, field.unit) for field in FIELDS.values()), strict=True))
