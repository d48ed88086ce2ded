"""Puts the groups together: the features of a ticker on all its trading days, and the record of one of them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.dates import days_of
from llmrl_lib.market.features.catalogue import DAILY_AGE, FIELDS, NEWS_DAYS
from llmrl_lib.market.features.columns import (
    Array,
    Column,
    as_of,
    before,
    calculated,
    rows_before,
    without_infinite,
)
from llmrl_lib.market.features.fundamentals import fundamental_fields
from llmrl_lib.market.features.macro import macro_fields
from llmrl_lib.market.features.prices import Prices, historical_volatility, market_fields, scaled_prices
from llmrl_lib.market.features.records import Features, FeatureTable, Headline
from llmrl_lib.market.features.technical import technical_fields
from llmrl_lib.market.tables import OPTIONS


def features(dataset: Dataset, ticker: str, date: str | pd.Timestamp) -> Features:
    """Everything known about ``ticker`` at the close of ``date``, a trading day of its.

    Prices of the date itself are known then; rows with an ``available_at`` count from the next trading day on. Raises
    ValueError for a date without a bar, DatasetError for an unknown ticker or a table that cannot be used.
    """
    return feature_table(dataset, ticker, [date]).row(date)


def feature_table(dataset: Dataset, ticker: str, dates: Iterable[str | pd.Timestamp] | None = None) -> FeatureTable:
    """The features of ``ticker`` on ``dates``, all its trading days if None: ``features`` is one row of this table.

    Raises ValueError for a date without a bar, DatasetError for an unknown ticker or a table that cannot be used.
    """
    bars = dataset.bars(ticker)
    chosen = bars.index if dates is None else _trading_days(ticker, bars.index, dates)
    prices, indices = scaled_prices(bars), dataset.indices_known_to(ticker)
    columns = {
        **market_fields(prices, indices),
        **technical_fields(prices),
        **fundamental_fields(prices, dataset.fundamentals(ticker)),
        **macro_fields(prices.dates, dataset.macro, indices),
        **_option_fields(prices, dataset.options(ticker)),
    }
    news = dataset.news(ticker)
    spans = _news_spans(prices.dates, news["available_at"].to_numpy("datetime64[us]"))
    columns["news_count"] = _news_count(spans, news)
    place = bars.index.get_indexer(chosen)
    values = np.column_stack([columns[name].values[place] for name in FIELDS])
    known = np.column_stack([columns[name].known[place] for name in FIELDS])
    headlines, spans = _headlines(news, spans[place])
    return FeatureTable(
        ticker,
        pd.DataFrame(values, index=chosen, columns=list(FIELDS)),
        pd.DataFrame(known, index=chosen, columns=list(FIELDS)),
        headlines,
        spans,
    )


def _trading_days(ticker: str, days: pd.Index, dates: Iterable[str | pd.Timestamp]) -> pd.Index:
    chosen = pd.DatetimeIndex(days_of(dates), name="date").as_unit("us").unique()
    for date in chosen[~chosen.isin(days)]:
        earlier = days[days < date]
        last = f"its last trading day before is {earlier[-1]:%Y-%m-%d}" if len(earlier) else "its bars begin later"
        raise ValueError(f"{ticker} has no bar on {date:%A} {date:%Y-%m-%d}; {last}")
    return chosen


def _option_fields(prices: Prices, options: pd.DataFrame) -> dict[str, Column]:
    days = options.index.to_numpy("datetime64[us]")
    found = {}
    for name in OPTIONS.numbers:
        given = options[name].to_numpy("float64")
        there = ~np.isnan(given)
        rows, values = days[there], given[there]
        found[name] = as_of(prices.dates, rows, values, DAILY_AGE)
        found[f"{name}_change_20d"] = as_of(prices.dates, rows, values - rows_before(rows, values, 20), DAILY_AGE)
    volatility = historical_volatility(prices)
    found["hv_20d"] = without_infinite(Column(volatility, prices.dates))
    found["hv_20d_change_20d"] = without_infinite(Column(volatility - before(volatility, 20), prices.dates))
    spread = found["iv_30d"].values - volatility
    found["iv_less_hv"] = calculated(spread, found["iv_30d"], found["hv_20d"])
    return found


def _news_spans(dates: Array, published: Array) -> Array:
    """(n, 2): the first headline of each date's window and the first after it, among the sorted publications.

    The window runs from the trading day ``NEWS_DAYS`` before the date to the day before the date. Where the bars do not
    reach back so far, weekdays are counted.
    """
    weekdays = np.busday_offset(dates.astype("datetime64[D]"), -NEWS_DAYS, roll="forward").astype("datetime64[us]")
    opening = np.concatenate([weekdays[:NEWS_DAYS], dates[:-NEWS_DAYS]])[: len(dates)]
    return np.column_stack([np.searchsorted(published, opening), np.searchsorted(published, dates)])


def _news_count(spans: Array, news: pd.DataFrame) -> Column:
    published = news["available_at"].to_numpy("datetime64[us]")
    count = np.diff(spans, axis=1)[:, 0].astype("float64")
    known = np.full(len(count), np.datetime64("NaT", "us"))
    known[count > 0] = published[spans[count > 0, 1] - 1]
    return Column(np.where(count > 0, count, np.nan), known)


def _headlines(news: pd.DataFrame, spans: Array) -> tuple[tuple[Headline, ...], Array]:
    """The headlines of all windows as records, and the windows counted from the first of these."""
    first, last = (int(spans[:, 0].min()), int(spans[:, 1].max())) if len(spans) else (0, 0)
    shown = news.iloc[first:last]
    texts = [[None if text != text else text for text in shown[name].tolist()] for name in ("summary", "source")]
    rows = zip(shown["available_at"].tolist(), shown["headline"].tolist(), *texts, strict=True)
    return tuple(Headline(*row) for row in rows), spans - first
