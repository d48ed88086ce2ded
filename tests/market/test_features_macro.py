"""Macro changes use the values known on the date: revisions from their publication on, and no value for ever."""

import numpy as np
import pandas as pd
import pytest
from feature_worlds import bar_lines
from small_datasets import MakeFolder

from llmrl_lib.market import load_dataset
from llmrl_lib.market.features import Field, features

DAYS = pd.bdate_range("2020-01-01", "2021-12-31")
HEAD = "series,frequency,period,available_at,value"


def field(make_folder: MakeFolder, rows: list[str], date: str, name: str, head: str = HEAD) -> Field:
    files = {"bars/AAA.csv": bar_lines(np.full(len(DAYS), 50.0), DAYS), "macro.csv": [head, *rows]}
    return features(load_dataset(make_folder(files)), "AAA", date)[name]


def monthly(series: str, values: dict[str, float]) -> list[str]:
    """Each month's value, published on the 15th of the next month."""
    periods = [pd.Timestamp(month) for month in values]
    days = [period + pd.DateOffset(months=1, days=14) for period in periods]
    rows = zip(periods, days, values.values(), strict=True)
    return [f"{series},M,{period:%Y-%m-%d},{day:%Y-%m-%d},{value}" for period, day, value in rows]


GDP = [
    "GDP,Q,2019-01-01,2019-04-28,100",
    "GDP,Q,2019-10-01,2020-01-30,110",
    "GDP,Q,2020-01-01,2020-04-29,99",
]


def test_changes_over_a_quarter_and_a_year(make_folder: MakeFolder) -> None:
    assert field(make_folder, GDP, "2020-05-04", "gdp_qoq").value == pytest.approx(-10.0)
    assert field(make_folder, GDP, "2020-05-04", "gdp_yoy").value == pytest.approx(-1.0)
    prices = monthly("PPIFIS", {"2019-05": 100.0, "2020-02": 110.0, "2020-05": 121.0})
    assert field(make_folder, prices, "2020-06-30", "ppi_qoq").value == pytest.approx(10.0)
    assert field(make_folder, prices, "2020-06-30", "ppi_yoy").value == pytest.approx(21.0)
    assert field(make_folder, prices, "2020-05-04", "ppi_qoq").value is None  # no value of 2019-11
    orders = monthly("ISM_PMI", {"2020-02": 51.0, "2020-05": 48.5})
    found = field(make_folder, orders, "2020-06-30", "pmi_qoq")
    assert (found.value, found.unit) == (-2.5, "points")


def test_a_release_is_used_from_the_next_trading_day(make_folder: MakeFolder) -> None:
    assert field(make_folder, GDP, "2020-04-29", "gdp_yoy").value is None  # of 2019-10 there is no year before
    found = field(make_folder, GDP, "2020-04-30", "gdp_yoy")
    assert found.value == pytest.approx(-1.0)
    assert found.known == pd.Timestamp("2020-04-29")


def test_revisions_of_either_end_count_from_their_publication(make_folder: MakeFolder) -> None:
    newer = "GDP,Q,2020-01-01,2020-05-28,104"
    older = "GDP,Q,2019-01-01,2020-06-25,80"
    rows = [*GDP, newer, older]
    for date, expected, known in (
        ("2020-05-28", -1.0, "2020-04-29"),
        ("2020-05-29", 4.0, "2020-05-28"),
        ("2020-06-25", 4.0, "2020-05-28"),
        ("2020-06-26", 30.0, "2020-06-25"),
    ):
        found = field(make_folder, rows, date, "gdp_yoy")
        assert found.value == pytest.approx(expected), date
        assert found.known == pd.Timestamp(known), date


@pytest.mark.parametrize(("name", "last"), [("gdp_yoy", "2020-11-13"), ("ppi_yoy", "2020-08-28")])
def test_a_series_that_stops_is_not_available_in_the_end(make_folder: MakeFolder, name: str, last: str) -> None:
    """200 days after 2020-04-29 is Sunday 2020-11-15; 75 days after 2020-06-15 is Saturday 2020-08-29."""
    rows = GDP if name == "gdp_yoy" else monthly("PPIFIS", {"2019-05": 100.0, "2020-05": 121.0})
    following = pd.Timestamp(last) + pd.Timedelta(days=3)
    assert field(make_folder, rows, last, name).value is not None
    assert field(make_folder, rows, f"{following:%Y-%m-%d}", name).value is None


def test_a_revision_does_not_make_an_old_period_fresh(make_folder: MakeFolder) -> None:
    rows = [*GDP, "GDP,Q,2020-01-01,2020-11-10,104"]
    assert field(make_folder, rows, "2020-11-13", "gdp_yoy").value == pytest.approx(4.0)
    assert field(make_folder, rows, "2020-11-16", "gdp_yoy").value is None


def test_the_files_own_frequency_says_when_a_series_has_stopped(make_folder: MakeFolder) -> None:
    orders = monthly("ISM_PMI", {"2020-02": 51.0, "2020-05": 48.5})
    assert field(make_folder, orders, "2020-10-01", "pmi_qoq").value is None
    quarterly = [row.replace(",M,", ",Q,") for row in orders]
    assert field(make_folder, quarterly, "2020-10-01", "pmi_qoq").value == -2.5
    late = [orders[0].replace(",M,", ",,"), *quarterly[1:]]  # the first row decides, lest a later one change the past
    assert field(make_folder, late, "2020-10-01", "pmi_qoq").value is None
    plain = [row.replace(",M,", ",") for row in orders]
    head = HEAD.replace("frequency,", "")
    assert field(make_folder, plain, "2020-07-01", "pmi_qoq", head).value == -2.5
    assert field(make_folder, plain, "2020-10-01", "pmi_qoq", head).value is None


def test_yields_are_known_on_the_next_business_day(make_folder: MakeFolder) -> None:
    days = pd.bdate_range("2019-01-01", "2020-12-31")
    rows = [f"{day:%Y-%m-%d},{place / 100:.2f},{place / 200:.3f}," for place, day in enumerate(days)]
    monday = days.get_loc(pd.Timestamp("2020-06-15"))
    rows[monday - 1] = rows[monday - 1].replace(f"{(monday - 1) / 100:.2f}", "9.99")  # a leap on Friday
    files = {
        "bars/AAA.csv": bar_lines(np.full(len(DAYS), 50.0), DAYS),
        "indices.csv": ["date,dgs10,dgs2,t10y2y", *rows],
    }
    dataset = load_dataset(make_folder(files))
    friday, after = (features(dataset, "AAA", date) for date in ("2020-06-12", "2020-06-15"))
    assert friday["yield_10y_qoq"].value == pytest.approx(0.63)
    assert friday["yield_10y_qoq"].known == pd.Timestamp("2020-06-12")  # Thursday's yield
    assert after["yield_10y_qoq"].value == pytest.approx(9.99 - (monday - 64) / 100)
    assert after["yield_10y_yoy"].value == pytest.approx(9.99 - (monday - 253) / 100)
    # the table's t10y2y is blank: dgs10 - dgs2
    assert friday["slope_10y_2y_yoy"].value == pytest.approx(2.52 - 1.26)
