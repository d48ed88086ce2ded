"""Ratios, growth and valuation equal the arithmetic of the filings' rows; restatements count from their own day on."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feature_worlds import bar_lines
from small_datasets import MakeFolder

from llmrl_lib.market import load_dataset
from llmrl_lib.market.features import features

DAYS = pd.bdate_range("2020-01-01", "2021-12-31")
ENDS = ("2019-03-31", "2019-06-30", "2019-09-30", "2019-12-31", "2020-03-31")
HEAD = "period_end,available_at,revenue,net_income,reported_eps,equity,current_ratio,lt_debt_to_equity"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def value(make_folder: MakeFolder, filings: list[str], date: str, name: str) -> float | None:
    files = {"bars/AAA.csv": bar_lines(np.full(len(DAYS), 50.0), DAYS), "fundamentals/AAA.csv": [HEAD, *filings]}
    return features(load_dataset(make_folder(files)), "AAA", date)[name].value


def filing(end: str, revenue: float = 100.0, income: float = 20.0, eps: float = 2.0, lag: int = 30) -> str:
    available = pd.Timestamp(end) + pd.Timedelta(days=lag)
    return f"{end},{available:%Y-%m-%d},{revenue},{income},{eps},80,1.5,0.25"


FILINGS = [filing(end) for end in ENDS]


def test_a_real_quarter_of_apple_by_hand(shared: Path) -> None:
    market = shared / "market"
    known = [row for row in rows_of(market / "fundamentals/AAPL.csv") if row["available_at"] < "2018-02-05"]
    bar = next(row for row in rows_of(market / "bars/AAPL.csv") if row["date"] == "2018-02-05")
    last, a_year_ago = known[-1], known[-5]
    assert (last["period_end"], last["available_at"], a_year_ago["period_end"]) == (
        "2017-12-30",
        "2018-02-01",
        "2016-12-31",
    )
    price, equity = float(bar["raw_close"]), float(last["equity"])
    eps = sum(float(row["reported_eps"]) for row in known[-4:])
    shares = float(last["net_income"]) / float(last["reported_eps"])
    enterprise = price * shares + float(last["lt_debt_to_equity"]) * equity
    ebitda = sum(float(row["ebitda"]) for row in known[-4:])
    expected = {
        "price_to_earnings": price / eps,
        "price_to_book": price * shares / equity,
        "enterprise_value": enterprise,
        "ebitda_ttm": ebitda,
        "ev_to_ebitda": enterprise / ebitda,
        "ebitda_yoy": 100 * (float(last["ebitda"]) / float(a_year_ago["ebitda"]) - 1),
        "gross_margin": 100 * float(last["gross_margin"]),
        "gross_margin_yoy": 100 * (float(last["gross_margin"]) - float(a_year_ago["gross_margin"])),
        "roe_qoq": 100 * (float(last["roe_ttm"]) - float(known[-2]["roe_ttm"])),
        "current_ratio_qoq": 100 * (float(last["current_ratio"]) / float(known[-2]["current_ratio"]) - 1),
    }
    record = features(load_dataset(market), "AAPL", "2018-02-05")
    for name, number in expected.items():
        assert record[name].value == pytest.approx(number, rel=1e-12), name
    growth = 100 * (float(last["revenue"]) / float(a_year_ago["revenue"]) - 1)
    assert record["revenue_growth_yoy"].value == pytest.approx(growth, abs=1e-4)  # as filed, to six digits
    earnings = 100 * (float(last["net_income"]) / float(a_year_ago["net_income"]) - 1)
    assert record["earnings_growth_yoy"].value == pytest.approx(earnings, abs=1e-4)
    assert record["gross_margin"].known == pd.Timestamp("2018-02-01")
    assert 15 < expected["price_to_earnings"] < 18  # what was quoted at the time
    assert 0.85e12 < enterprise < 0.95e12


def test_the_day_of_announcement_still_shows_the_quarter_before(shared: Path) -> None:
    dataset = load_dataset(shared / "market")
    assert features(dataset, "AAPL", "2018-02-01")["roe"].known == pd.Timestamp("2017-11-02")
    assert features(dataset, "AAPL", "2018-02-02")["roe"].known == pd.Timestamp("2018-02-01")


def test_valuation_by_hand(make_folder: MakeFolder) -> None:
    """Ten shares at 50 are worth 500; equity 80, debt 20, earnings per share 8 a year."""
    expected = {"price_to_earnings": 50 / 8, "price_to_book": 500 / 80, "enterprise_value": 520.0}
    for name, number in expected.items():
        assert value(make_folder, FILINGS, "2020-06-01", name) == pytest.approx(number)
    assert value(make_folder, FILINGS, "2020-06-01", "ev_to_ebitda") is None  # no EBITDA in the table


def test_growth_is_computed_where_the_filing_does_not_say(make_folder: MakeFolder) -> None:
    grown = [*FILINGS[:-1], filing(ENDS[-1], revenue=130.0, income=5.0)]
    assert value(make_folder, grown, "2020-06-01", "revenue_growth_yoy") == pytest.approx(30.0)
    from_loss = [filing(ENDS[0], income=-20.0), *grown[1:]]
    assert value(make_folder, from_loss, "2020-06-01", "earnings_growth_yoy") == pytest.approx(125.0)
    assert value(make_folder, grown[1:], "2020-06-01", "revenue_growth_yoy") is None


def test_a_restatement_counts_from_its_own_publication(make_folder: MakeFolder) -> None:
    restated = [*FILINGS, f"{ENDS[0]},2020-06-10,50,,,,,"]  # last year's revenue was half of what had been said
    assert value(make_folder, restated, "2020-06-10", "revenue_growth_yoy") == pytest.approx(0.0)
    assert value(make_folder, restated, "2020-06-11", "revenue_growth_yoy") == pytest.approx(100.0)
    assert value(make_folder, restated, "2020-06-11", "earnings_growth_yoy") == pytest.approx(
        0.0
    )  # blank: left standing
    assert value(make_folder, restated, "2020-06-11", "current_ratio") == 1.5  # the newest quarter is still the newest


def test_two_rows_of_a_day_count_together(make_folder: MakeFolder) -> None:
    late = [*FILINGS[:-2], filing(ENDS[3], lag=121), filing(ENDS[4], revenue=120.0)]
    assert late[-2].split(",")[1] == late[-1].split(",")[1]
    assert value(make_folder, late, "2020-05-01", "revenue_growth_yoy") == pytest.approx(20.0)


def test_a_missing_quarter_is_not_bridged(make_folder: MakeFolder) -> None:
    gap = [FILINGS[0], FILINGS[1], *FILINGS[3:]]
    assert value(make_folder, gap, "2020-06-01", "price_to_earnings") is None
    assert value(make_folder, gap, "2020-06-01", "revenue_growth_yoy") == pytest.approx(0.0)
    assert value(make_folder, FILINGS[:2] + FILINGS[3:4], "2020-02-03", "current_ratio_qoq") is None


def test_quarters_that_end_on_a_weekday_count_as_their_month(make_folder: MakeFolder) -> None:
    fiscal = ["2019-03-30", "2019-06-29", "2019-09-28", "2019-12-28", "2020-04-04"]
    rows = [filing(end) for end in fiscal]
    assert value(make_folder, rows, "2020-06-01", "price_to_earnings") == pytest.approx(50 / 8)


def test_a_company_that_stops_reporting_falls_silent(make_folder: MakeFolder) -> None:
    assert value(make_folder, FILINGS, "2020-09-17", "current_ratio") == 1.5  # 140 days after 2020-04-30
    assert value(make_folder, FILINGS, "2020-09-18", "current_ratio") is None
    assert value(make_folder, FILINGS, "2020-09-18", "price_to_earnings") is None


def test_losses_have_no_price_earnings_ratio(make_folder: MakeFolder) -> None:
    losses = [filing(end, income=-20.0, eps=-2.0) for end in ENDS]
    assert value(make_folder, losses, "2020-06-01", "price_to_earnings") is None
    assert value(make_folder, losses, "2020-06-01", "price_to_book") == pytest.approx(
        500 / 80
    )  # ten shares all the same


def test_quarters_vote_on_the_number_of_shares(make_folder: MakeFolder) -> None:
    one_off = [*FILINGS[:-1], filing(ENDS[-1], income=200.0)]  # 100 shares? four of five quarters say ten
    assert value(make_folder, one_off, "2020-06-01", "price_to_book") == pytest.approx(500 / 80)
    quarrel = [*FILINGS[:-2], filing(ENDS[3], income=40.0), filing(ENDS[4], income=200.0)]
    assert value(make_folder, quarrel, "2020-06-01", "price_to_book") is None
    assert value(make_folder, quarrel, "2020-06-01", "enterprise_value") is None
    assert value(make_folder, FILINGS[2:], "2020-06-01", "price_to_book") is None  # three quarters are too few
    opposite = [*FILINGS[:-1], filing(ENDS[-1], income=-200.0)]  # of no use, the other four decide
    assert value(make_folder, opposite, "2020-06-01", "price_to_book") == pytest.approx(500 / 80)


def test_dividing_by_nothing_is_not_available(make_folder: MakeFolder) -> None:
    idle = [filing(end, revenue=0.0 if end == ENDS[0] else 100.0, eps=0.0) for end in ENDS]
    assert value(make_folder, idle, "2020-06-01", "revenue_growth_yoy") is None
    assert value(make_folder, idle, "2020-06-01", "price_to_book") is None
    assert value(make_folder, idle, "2020-06-01", "price_to_earnings") is None
