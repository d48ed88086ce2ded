"""What there is over time: whole months, gaps, blank cells, tables that are not there."""

import numpy as np
import pandas as pd
from small_datasets import MakeFolder

from llmrl_lib.market import load_dataset, monthly_coverage

DAYS = pd.bdate_range("2020-01-01", "2020-12-31")


def test_a_dataset_of_bars_alone_has_bars_and_nothing_else(make_folder: MakeFolder) -> None:
    table = monthly_coverage(load_dataset(make_folder()), "AAA")
    assert table.columns.tolist() == pd.date_range("2020-01-01", "2020-12-01", freq="MS").tolist()
    assert (table.loc["bars"] == 1.0).all()
    assert table.drop(index="bars").isna().all(axis=None)
    absent = {"indices dgs10", "options skew_30d", "macro GDP", "fundamentals", "earnings", "news"}
    assert absent <= set(table.index)


def test_months_are_whole_partly_filled_or_empty(make_folder: MakeFolder) -> None:
    first_half = DAYS[DAYS < "2020-07-01"]
    indices = [f"{day:%Y-%m-%d},{20 if day.month != 3 else ''}" for day in first_half]
    options = [f"{day:%Y-%m-%d},30" for day in DAYS[DAYS.month != 5][::2]]
    macro = [f"{name},2019-12-01,{day},5" for name, day in (("GDP", "2020-02-03"), ("RAIN", "2020-04-01"))]
    filings = ["2019-12-31,2020-01-20,5,", "2020-03-31,2020-04-20,5,6"]
    files = {
        "indices.csv": ["date,vix_close", *indices],
        "options/AAA.csv": ["date,iv_30d", *options],
        "macro.csv": ["series,period,available_at,value", *macro],
        "earnings/AAA.csv": ["period_end,available_at,reported_eps,surprise", *filings],
        "news/AAA.csv": ["available_at,headline", "2020-06-06,a headline on a Saturday"],
    }
    table = monthly_coverage(load_dataset(make_folder(files)), "AAA")
    vix = table.loc["indices vix_close"].to_numpy()
    assert vix[:6].tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    assert np.isnan(vix[6:]).all()
    volatility = table.loc["options iv_30d"].to_numpy()
    assert np.isnan(volatility[4])
    assert (abs(np.delete(volatility, 4) - 0.5) < 0.05).all()  # every other day
    there = {name: table.columns[table.loc[name].notna()].month.tolist() for name in table.index}
    assert (there["macro GDP"], there["macro RAIN"], there["macro ISM_PMI"]) == ([2], [4], [])
    assert (there["earnings"], there["news"]) == ([1, 4], [6])
    assert table.loc["earnings"].dropna().tolist() == [0.5, 1.0]  # of the two columns that the file has
    assert list(table.index).index("macro GDP") < list(table.index).index("macro RAIN")


def test_a_ticker_listed_in_the_middle_has_no_bars_before(make_folder: MakeFolder) -> None:
    later = [f"{day:%Y-%m-%d},10.0,11.0,9.0,10.5,1000" for day in DAYS[DAYS >= "2020-03-16"]]
    levels = [f"{day:%Y-%m-%d},20" for day in DAYS]
    files = {"bars/AAA.csv": ["date,open,high,low,close,volume", *later], "indices.csv": ["date,vix_close", *levels]}
    table = monthly_coverage(load_dataset(make_folder(files)), "AAA")
    assert table.loc["bars"].isna().tolist() == [True] * 2 + [False] * 10
    assert table.loc["bars"].iloc[2] == 12 / 22
    assert (table.loc["indices vix_close"] == 1.0).all()
