"""What a dataset holds about a ticker over time: for every month, the share of cells that have a value."""

from collections.abc import Iterator

import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features.catalogue import MACRO_SERIES
from llmrl_lib.market.tables import INDICES, OPTIONS, TABLES


def monthly_coverage(dataset: Dataset, ticker: str) -> pd.DataFrame:
    """A row per part of a table, a column per month (its first day): share of cells with a value, NaN without any row.

    Indices and options have a row per column, macro one per series (those that features use, whether they are there or
    not, and all others in the file); the other tables have one. In a daily table a month is whole with as many rows as
    the fullest daily table of the ticker has in it. Elsewhere a month counts the rows that were published in it, so a
    quarterly table fills four months a year. Headlines count as there or not. As in ``Dataset.coverage``, columns that a
    file lacks do not count.
    """
    rows = {label: values.groupby(values.index).agg(["sum", "size"]) for label, values in _parts(dataset, ticker)}
    daily = [label for label in rows if label.split()[0] in _DAILY]
    days = pd.concat([rows[label]["size"] for label in daily], axis=1).max(axis=1)
    shares = {
        label: counts["sum"] / (days.reindex(counts.index) if label in daily else counts["size"])
        for label, counts in rows.items()
    }
    held = [counts.index for counts in rows.values() if len(counts)]
    first, last = min(months[0] for months in held), max(months[-1] for months in held)
    months = pd.period_range(first, last, freq="M")
    table = pd.DataFrame({label: values.reindex(months) for label, values in shares.items()}).T
    return table.set_axis(months.to_timestamp().as_unit("us"), axis=1).astype("float64")


_DAILY = tuple(name for name, table in TABLES.items() if table.is_daily)


def _parts(dataset: Dataset, ticker: str) -> Iterator[tuple[str, pd.Series]]:
    """Parts of tables by name: for each of their rows, indexed by its month, the share of cells that have a value."""
    bars = dataset.bars(ticker)
    yield "bars", _filled(dataset.read("bars", ticker).cells(TABLES["bars"]), bars.index)
    for table, frame in ((INDICES, dataset.indices), (OPTIONS, dataset.options(ticker))):
        yield from ((f"{table.name} {name}", _filled(frame[[name]], frame.index)) for name in table.numbers)
    macro = dataset.macro
    for series in dict.fromkeys([*MACRO_SERIES.values(), *sorted(macro["series"].unique())]):
        rows = macro[macro["series"] == series]
        yield f"macro {series}", _filled(rows[["value"]], pd.DatetimeIndex(rows["available_at"]))
    for name, frame in (
        ("fundamentals", dataset.fundamentals(ticker)),
        ("earnings", dataset.earnings(ticker)),
        ("news", dataset.news(ticker)),
    ):
        yield name, _filled(dataset.read(name, ticker).cells(TABLES[name]), pd.DatetimeIndex(frame["available_at"]))


def _filled(cells: pd.DataFrame, dates: pd.Index) -> pd.Series:
    """The share of cells with a value per row, indexed by the month of its date."""
    shares = cells.notna().mean(axis=1)
    return pd.Series(shares.to_numpy("float64"), index=pd.DatetimeIndex(dates).to_period("M"))
