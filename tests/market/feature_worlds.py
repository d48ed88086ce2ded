"""Small datasets with every table, for tests of features."""

import numpy as np
import pandas as pd

FIRST, LAST = "2020-01-01", "2021-12-31"
DESCRIPTION = """\
name = "whole"
tickers = ["AAA", "BBB"]

[benchmark]
train_start = 2020-01-01
split = 2021-06-01
end = 2022-01-01
"""
METRICS = "revenue,net_income,reported_eps,ebitda,equity,current_ratio,lt_debt_to_equity,gross_margin"

Lines = list[str]


def bar_lines(
    closes: np.ndarray, days: pd.DatetimeIndex, volume: float = 1000.0, raw: np.ndarray | None = None
) -> Lines:
    """Bars whose high and low lie one unit around the traded close; ``raw`` adds the column raw_close."""
    traded = closes if raw is None else raw
    head = "date,open,high,low,close,volume" + ("" if raw is None else ",raw_close")
    rows = []
    for day, close, paid in zip(days, closes.tolist(), traded.tolist(), strict=True):
        row = f"{day:%Y-%m-%d},{paid!r},{paid + 1.0!r},{paid - 1.0!r},{close!r},{volume!r}"
        rows.append(row if raw is None else f"{row},{paid!r}")
    return [head, *rows]


def whole_dataset(seed: int = 0) -> dict[str, str | Lines]:
    """Random files of a dataset with all tables for AAA, revisions and gaps included; BBB has bars alone, from 2020-09 on."""
    random = np.random.default_rng(seed)
    days = pd.bdate_range(FIRST, LAST)
    raw = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.02, len(days)))).round(6)
    later = days[days >= "2020-09-01"]
    return {
        "dataset.toml": DESCRIPTION,
        "bars/AAA.csv": bar_lines((raw * np.linspace(0.9, 0.99, len(days))).round(6), days, raw=raw),
        "bars/BBB.csv": bar_lines(50.0 + random.normal(0.0, 0.5, len(later)).cumsum().round(6), later),
        "indices.csv": _indices(random, pd.bdate_range("2019-01-01", LAST)),
        "macro.csv": _macro(random),
        "fundamentals/AAA.csv": _filings(random),
        "news/AAA.csv": _news(random, days),
        "options/AAA.csv": ["date,iv_30d", *(f"{day:%Y-%m-%d},{20 + 5 * random.random():.3f}" for day in days)],
    }


def _indices(random: np.random.Generator, days: pd.DatetimeIndex) -> Lines:
    spx = 3000.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, len(days))))
    lines = ["date,spx_close,ndx_close,vix_close,dgs10,dgs2,t10y2y"]
    for day, level in zip(days, spx.tolist(), strict=True):
        long, short = 2.0 + random.random(), 1.0 + random.random()
        yields = f"{long:.2f},{short:.2f},{long - short:.2f}" if random.random() < 0.97 else ",,"
        lines.append(f"{day:%Y-%m-%d},{level:.2f},{2.5 * level:.2f},{15 + 5 * random.random():.2f},{yields}")
    return lines


def _macro(random: np.random.Generator) -> Lines:
    """Every value is published some weeks after its period and revised some weeks later."""
    rows = []
    for series, frequency, step in (("GDP", "Q", 3), ("ISM_PMI", "M", 1), ("PPIFIS", "M", 1), ("UMCSENT", "M", 1)):
        for period in pd.date_range("2018-01-01", LAST, freq=f"{step}MS"):
            value = 100.0 + 10.0 * random.random()
            published = period + pd.DateOffset(months=step) + pd.Timedelta(days=int(random.integers(3, 20)))
            for revision in range(2):
                available = published + pd.Timedelta(days=revision * int(random.integers(25, 60)))
                rows.append((series, available, f"{frequency},{period:%Y-%m-%d}", value + revision * random.random()))
    rows.sort(key=lambda row: row[:2])
    head = "series,frequency,period,available_at,value"
    return [head, *(f"{series},{period},{day:%Y-%m-%d},{value:.4f}" for series, day, period, value in rows)]


def _filings(random: np.random.Generator) -> Lines:
    rows = []
    for end in pd.date_range("2017-12-31", LAST, freq="QE"):
        published = end + pd.Timedelta(days=int(random.integers(20, 45)))
        income = 1e9 * (1.0 + random.random())
        eps, debt = income / 5e8, random.random()
        cells = [f"{10 * income:.0f}", f"{income:.0f}", f"{eps:.4f}", f"{2 * income:.0f}", f"{8 * income:.0f}"]
        cells += [f"{1 + random.random():.4f}", f"{debt:.4f}", f"{0.3 + 0.1 * random.random():.4f}"]
        rows.append((published, f"{end:%Y-%m-%d}", cells))
        if random.random() < 0.4:  # restated, and what is not restated is blank
            again = published + pd.Timedelta(days=int(random.integers(30, 100)))
            rows.append((again, f"{end:%Y-%m-%d}", [f"{11 * income:.0f}", *[""] * 7]))
    rows.sort(key=lambda row: row[0])
    return [
        f"period_end,available_at,{METRICS}",
        *(f"{end},{day:%Y-%m-%d},{','.join(cells)}" for day, end, cells in rows),
    ]


def _news(random: np.random.Generator, days: pd.DatetimeIndex) -> Lines:
    lines = ["available_at,headline,summary,source"]
    for day in days:
        if day.month != 6:  # an empty month
            lines += [f"{day:%Y-%m-%d},Headline {i} of {day:%d %B},,wire" for i in range(int(random.integers(0, 3)))]
    return lines
