"""Months of which it is known what would have been right: labelled in hindsight, and a smaller set annotated by people.

After the paper's appendix C. Only the years that refinement may look at are labelled, and no label reaches beyond them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.language.uncertainty import SIDES
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.dates import day_of
from llmrl_lib.market.features import feature_table
from llmrl_lib.market.hindsight import HORIZONS, Risk, hindsight_labels
from llmrl_lib.strategy.memory import EVERY
from llmrl_lib.strategy.refinement.errors import RefinementError
from llmrl_lib.strategy.refinement.fields import Contrast, contrasts, standings
from llmrl_lib.strategy.refinement.trainer import Exemplar
from llmrl_lib.strategy.refinement.windows import Years

RISK: Risk = "low"  # the profile of labels that looks as far ahead as a strategy counts
AHEAD = HORIZONS[-1]  # trading days


@dataclass(frozen=True)
class Annotation:
    """What a person says of a month."""

    ticker: str
    date: pd.Timestamp
    direction: int  # 1 LONG, 0 SHORT: what they hold to have been right
    note: str
    where: str  # file and line, for errors


@dataclass(frozen=True)
class Months:
    """What the trainer is shown: exemplars, and where fields stood before all months of either kind."""

    exemplars: tuple[Exemplar, ...]
    annotated: int  # of the exemplars, those by people; they come first
    contrasts: Mapping[str, Contrast]
    counts: tuple[int, int]  # months labelled LONG, and SHORT


def months_of(
    dataset: Dataset,
    years: Years,
    fields: Sequence[str],
    count: int,
    annotations: Sequence[Annotation] = (),
    seed: int = 0,
    every: int = EVERY,
) -> Months:
    """All annotated months, and `count` labelled ones, half of them LONG as far as there are so many.

    Labels are those of the cautious profile on every 20th row of the years that may be sampled. A labelled month is an
    exemplar only where its return over 20 trading days has the label's side: the others are not clear enough to learn
    from. Raises RefinementError for an annotation outside those years, and where no month is clear.
    """
    tables, labels, pool, noted = [], [], [], []
    for ticker in years.tickers:
        own = [one for one in annotations if one.ticker == ticker]
        found = _of_ticker(dataset, years, ticker, fields, own, every)
        tables.append(found.tenths)
        labels.append(found.longs)
        pool += found.clear
        noted += found.annotated
    strangers = [one for one in annotations if one.ticker not in years.tickers]
    if strangers:
        raise RefinementError(
            f"{strangers[0].where}: {strangers[0].ticker} is not refined on; its tickers are {', '.join(years.tickers)}"
        )
    rose = np.concatenate(labels)
    chosen = _balanced(pool, count, seed)
    if not chosen and not noted:
        raise RefinementError("no month before the held-out years is clear enough to learn from; give longer bars")
    known = contrasts(pd.concat(tables), rose)
    return Months((*noted, *chosen), len(noted), known, (int(rose.sum()), int((~rose).sum())))


def read_annotations(path: str | Path) -> list[Annotation]:
    """Annotated months from a CSV file: ticker, date (YYYY-MM-DD), direction (LONG or SHORT) and, if wanted, note.

    Raises RefinementError naming file and line for anything else.
    """
    place = Path(path)
    try:
        text = place.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RefinementError(f"{path}: the annotations cannot be read ({error}); give a CSV file in UTF-8") from None
    rows = csv.DictReader(text.splitlines())
    missing = [name for name in ("ticker", "date", "direction") if name not in (rows.fieldnames or ())]
    if missing:
        raise RefinementError(f"{path} has no column {missing[0]!r}; its first line must be ticker,date,direction,note")
    return [_annotation(row, f"{path} line {rows.line_num}") for row in rows]


def _annotation(row: Mapping[str, str | None], where: str) -> Annotation:
    side = (row["direction"] or "").strip().upper()
    if side not in SIDES:
        raise RefinementError(f"{where}: direction is {row['direction']!r}; write LONG or SHORT")
    try:
        date = day_of((row["date"] or "").strip())
    except ValueError as error:
        raise RefinementError(f"{where}: {error}") from None
    return Annotation(
        (row["ticker"] or "").strip(), date, 1 - SIDES.index(side), (row.get("note") or "").strip(), where
    )


@dataclass(frozen=True)
class _Found:
    tenths: pd.DataFrame  # standings of the labelled months
    longs: np.ndarray  # their labels
    clear: list[Exemplar]
    annotated: list[Exemplar]


def _of_ticker(
    dataset: Dataset, years: Years, ticker: str, fields: Sequence[str], notes: Sequence[Annotation], every: int
) -> _Found:
    whole = dataset.bars(ticker)
    bars = whole[whole.index < years.first_held_out]
    first = years.sampled[ticker][0].first
    labels = hindsight_labels(bars, RISK)
    rows = list(range(first, len(labels), every))
    own = [_row_of(one, bars, first) for one in notes]
    extra = sorted(set(own) - set(rows))
    every_row = sorted({*rows, *extra})
    table = feature_table(dataset, ticker, bars.index[every_row])
    values = table.values.loc[:, list(fields)]
    tenths = standings(values)
    records = dict(zip(every_row, table.rows(), strict=True))
    closes = bars["close"].to_numpy("float64")

    def exemplar(row: int, direction: int, note: str = "") -> Exemplar:
        end = min(row + AHEAD, len(closes) - 1)
        standing = {str(name): float(value) for name, value in tenths.loc[bars.index[row]].items()}
        return Exemplar(records[row], direction, float(closes[end] / closes[row] - 1.0), standing, note)

    sides = labels["direction"].to_numpy()[rows]
    made = [exemplar(row, int(side)) for row, side in zip(rows, sides, strict=True)]
    clear = [one for one in made if (one.earned > 0) == bool(one.direction)]
    noted = [exemplar(row, one.direction, one.note) for row, one in zip(own, notes, strict=True)]
    return _Found(tenths.iloc[np.isin(every_row, rows)], sides.astype(bool), clear, noted)


def _row_of(note: Annotation, bars: pd.DataFrame, first: int) -> int:
    row = int(bars.index.get_indexer(pd.Index([note.date]))[0])
    if row < first or row + 1 >= len(bars):
        span = f"{bars.index[first]:%Y-%m-%d} to {bars.index[-2]:%Y-%m-%d}"
        raise RefinementError(
            f"{note.where}: {note.date:%Y-%m-%d} is no trading day of {note.ticker} that may be looked at, {span}"
        )
    return row


def _balanced(pool: Sequence[Exemplar], count: int, seed: int) -> list[Exemplar]:
    """A drawn choice, half of each side as far as there are so many, in the order of `pool`."""
    source = np.random.default_rng([seed, 1])
    sides = [[place for place, one in enumerate(pool) if one.direction == side] for side in (1, 0)]
    halves = [min(len(sides[0]), count - min(count // 2, len(sides[1]))), min(len(sides[1]), count // 2)]
    places: list[int] = []
    for side, half in zip(sides, halves, strict=True):
        places += source.permutation(side)[:half].astype(int).tolist()
    return [pool[place] for place in sorted(places)]
