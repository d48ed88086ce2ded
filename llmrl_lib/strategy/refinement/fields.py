"""The fields that a refined prompt may show, and where they stand before months that turned out one way or the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from llmrl_lib.language.prompts import STRATEGISTS, load_prompt
from llmrl_lib.market.features import FIELDS
from llmrl_lib.strategy.rendering import NOT_SHOWN

FURTHEST = 30  # tenths of a standard deviation beyond which a field's standing is not told apart
FEWEST_MONTHS = 4  # of each side, below which nothing is said about them
_LEVELS = ("currency/share", *NOT_SHOWN)
_CHANGES = ("_qoq", "_yoy")


class Contrast(NamedTuple):
    """Mean standing before months in which LONG was right and in which SHORT was, tenths of a standard deviation."""

    longs: int
    shorts: int

    @property
    def apart(self) -> int:
        """LONG less SHORT: positive where a high value came before rises."""
        return self.longs - self.shorts


def candidate_fields() -> tuple[str, ...]:
    """Fields that a refined prompt may show, in the catalogue's order: all but news and levels of prices and of accounts.

    What levels of prices tell, other fields tell relative to each other; a writer may take those that the baseline shows,
    unrated, because prompts scale them so that today's close is 100. Levels of accounts would tell which company it is;
    those that P1 to P4 show are among the fields.
    """
    shown = {name for prompt in STRATEGISTS[1:] for name in load_prompt(prompt).features}
    return tuple(
        name
        for name, field in FIELDS.items()
        if field.group != "news"
        and field.unit not in _LEVELS
        and (field.group != "fundamental" or name.endswith(_CHANGES) or name in shown)
    )


def named_in(text: str) -> frozenset[str]:
    """The fields that an instruction speaks of. Levels that are plain words too, such as low and open, do not count."""
    return frozenset(re.findall(r"\w+", text)) & _names()


@cache
def _names() -> frozenset[str]:
    return frozenset({*candidate_fields(), *(name for name in FIELDS if "_" in name)})


def standings(values: pd.DataFrame) -> pd.DataFrame:
    """Each value's distance from the mean of its column in tenths of the column's standard deviation, held within 30.

    `values` has a row per date of one ticker and a column per field; NaN stays NaN, a column that does not move is 0.
    """
    spread = values.std(ddof=0)
    tenths = 10.0 * (values - values.mean()) / spread.where(spread > 0.0, np.inf)
    return tenths.clip(-FURTHEST, FURTHEST)


def contrasts(tenths: pd.DataFrame, rose: Sequence[bool] | np.ndarray, shrunk: bool = True) -> dict[str, Contrast]:
    """Where each field stood on average before the months that `rose`, and before the others; 0 of fields with few months.

    `tenths` are standings with a row per month, of one ticker or of several below each other. `shrunk` draws the means to 0
    by the share of their distance that chance explains: 1 - 1/t^2 of it is kept, t being the distance over its standard
    error.
    """
    table, sides = tenths.to_numpy("float64"), np.asarray(rose, bool)
    first, second = _moments(table[sides]), _moments(table[~sides])
    apart = first.mean - second.mean
    noise = first.variance / np.maximum(first.months, 1) + second.variance / np.maximum(second.months, 1)
    share = np.ones(len(apart))
    if shrunk:
        share = np.clip(1.0 - noise / np.where(apart == 0.0, np.inf, apart**2), 0.0, 1.0)
    share = np.where(np.minimum(first.months, second.months) < FEWEST_MONTHS, 0.0, share)
    return {
        str(name): Contrast(round(float(high)), round(float(low)))
        for name, high, low in zip(tenths.columns, share * first.mean, share * second.mean, strict=True)
    }


class _Moments(NamedTuple):
    months: np.ndarray  # with a value
    mean: np.ndarray
    variance: np.ndarray


def _moments(table: np.ndarray) -> _Moments:
    """Of each column, what is missing left out; 0 of a column without values."""
    known = ~np.isnan(table)
    count = known.sum(axis=0)
    mean = np.where(known, table, 0.0).sum(axis=0) / np.maximum(count, 1)
    variance = (np.where(known, table - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    return _Moments(count, mean, variance)


def standing_of(tenths: Mapping[str, float], name: str) -> int | None:
    """A field's standing as a whole number; None where it is not known."""
    value = tenths.get(name, np.nan)
    return None if value != value else round(value)
