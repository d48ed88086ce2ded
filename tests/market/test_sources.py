"""Every source end to end through its real client: what is fetched is what the services have, when it was public."""

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fetching_world import FIRST, LAST, TICKERS, FetchInto
from gateway_double import GatewayDouble
from source_server import CIKS, FRED_NAMES, KEYS, NEW_YORK, SourceServer, in_new_shares, items_of, recast

import llmrl_lib as ll
from llmrl_lib.market import check_dataset
from llmrl_lib.market.features import FIELDS
from llmrl_lib.market.features.lookahead import check_no_lookahead, no_lookahead
from llmrl_lib.market.providers import SOURCES, SourceError, last_day_over
from llmrl_lib.market.providers.merging import rebased
from llmrl_lib.market.providers.reports import Fact, reports
from llmrl_lib.market.synthetic.market import Market
from llmrl_lib.market.tables import METRICS

MIDDLE = pd.Timestamp("2017-06-30")


def read(folder: Path, file: str) -> pd.DataFrame:
    """A table as it lies on the disk, dates as dates."""
    frame = pd.read_csv(folder / "market" / file)
    for name in ("date", "available_at", "period", "period_end"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name])
    return frame


def same(found: pd.Series, expected: pd.Series, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(found.to_numpy("float64"), expected.to_numpy("float64"), rtol=rtol, atol=1e-9)


def test_yahoo_gives_bars_with_raw_and_adjusted_close(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    done = fetch_into("yahoo")
    assert not done.failures
    for ticker in TICKERS:
        bars, truth = read(tmp_path, f"bars/{ticker}.csv"), source_server.bars[ticker]
        assert list(bars["date"]) == list(truth.index)
        for column in ("open", "high", "low", "close", "volume", "raw_close"):
            same(bars[column], truth[column])
    bars = source_server.bars["ORVN"]
    assert (bars["close"] != bars["raw_close"]).any()  # it pays dividends


def test_yahoo_gives_index_and_vix_levels(source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path) -> None:
    fetch_into("yahoo")
    indices = read(tmp_path, "indices.csv")
    for column in ("spx_close", "ndx_close", "vix_close"):
        same(indices[column], source_server.indices[column])
    assert "dgs10" not in indices


def test_fred_gives_every_vintage_on_its_own_day(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    done = fetch_into("fred", [])
    macro = read(tmp_path, "macro.csv")
    truth = source_server.macro
    truth = truth[
        truth["series"].isin(FRED_NAMES)
        & (truth["period"] >= FIRST - pd.DateOffset(years=2))
        & (truth["available_at"] <= LAST)
    ].sort_values(["series", "available_at", "period"])
    keys = ["series", "available_at", "period", "frequency"]
    assert macro[keys].to_numpy().tolist() == truth[keys].to_numpy().tolist()
    same(macro["value"], truth["value"])
    assert any("ISM_PMI is left out" in note for note in done.notes)


def test_first_release_gdp_is_the_vintage_and_not_the_revision(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into("yahoo")
    fetch_into("fred", [])
    gdp = source_server.macro[source_server.macro["series"] == "GDP"]
    of_period = gdp[gdp["period"] == "2017-01-01"]
    first, revised = of_period.iloc[0], of_period.iloc[1]
    assert first["value"] != revised["value"]
    before = gdp[(gdp["period"] == "2016-10-01") & (gdp["available_at"] <= first["available_at"])].iloc[-1]
    dataset = ll.load_dataset(tmp_path / "market")
    days = dataset.bars("ORVN").index
    next_day, later = (days[days > one["available_at"]][0] for one in (first, revised))
    assert later > next_day
    for day, value in ((next_day, first["value"]), (later, revised["value"])):
        known = {field.name: field.value for field in ll.features(dataset, "ORVN", day).fields}
        assert known["gdp_qoq"] == pytest.approx(100 * (value / before["value"] - 1), rel=1e-9)


def test_fred_gives_yields_and_their_blanks(source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path) -> None:
    fetch_into("fred", [])
    indices = read(tmp_path, "indices.csv").set_index("date")
    truth = source_server.indices.reindex(indices.index)
    for column in ("dgs10", "dgs2", "t10y2y"):
        same(indices[column], truth[column].round(2))


@pytest.mark.usefixtures("source_server")
def test_sec_gives_every_ratio_from_reported_items(fetch_into: FetchInto, invented: Market, tmp_path: Path) -> None:
    fetch_into("yahoo")
    done = fetch_into("sec")
    assert not done.failures
    assert not [note for note in done.notes if "reported_eps" in note]
    for ticker in TICKERS:
        found, truth = read(tmp_path, f"fundamentals/{ticker}.csv"), invented.fundamentals[ticker]
        truth = truth[(truth["period_end"] >= FIRST - pd.DateOffset(years=2)) & (truth["available_at"] <= LAST)]
        assert list(found["available_at"]) == list(truth["available_at"])
        assert list(found["period_end"]) == list(truth["period_end"])
        assert (truth["period_end"].dt.month == 12).sum() >= 2  # fourth quarters, which no filing gives by themselves
        yearly = ("roe_ttm", "roa_ttm", "revenue_yoy", "net_income_yoy")
        for metric in METRICS:
            if metric not in yearly:
                same(found[metric], truth[metric], 1e-5)
        every = invented.fundamentals[ticker]
        year = every["net_income"].rolling(4).sum()[truth.index]
        same(found["roe_ttm"], year / truth["equity"], 1e-5)
        same(found["roa_ttm"], year / truth["assets"], 1e-5)
        same(found["revenue_yoy"], every["revenue"].pct_change(4)[truth.index], 1e-5)
        old = every["net_income"].shift(4)[truth.index]
        same(found["net_income_yoy"], (truth["net_income"] - old) / old.abs(), 1e-5)


def test_a_restatement_is_a_new_row_with_its_own_day(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    filings = source_server.facts["ORVN"]
    number = next(one for one in range(8, len(filings)) if filings[one]["form"] == "10-Q")
    earlier, later, a_year_on = filings[number], filings[number + 1], filings[number + 4]
    revenue = next(fact for fact in earlier["facts"] if fact[0].startswith("Revenue"))
    later["facts"].append((*revenue[:3], revenue[3] * 0.9))
    recast([a_year_on], revenue[0], 0.9)
    fetch_into("sec")
    found = read(tmp_path, "fundamentals/ORVN.csv")
    of_quarter = found[found["period_end"] == earlier["end"]]
    assert list(of_quarter["available_at"].dt.date) == [earlier["accepted"].date(), later["accepted"].date()]
    same(of_quarter["revenue"], pd.Series([revenue[3], revenue[3] * 0.9]))


def test_a_restatement_under_another_name_counts(
    source_server: SourceServer, fetch_into: FetchInto, invented: Market, tmp_path: Path
) -> None:
    filings = source_server.facts["ORVN"]
    number = next(one for one in range(8, len(filings)) if filings[one]["end"].month == 3)
    name = next(fact[0] for fact in filings[0]["facts"] if fact[0].startswith("Revenue"))
    recast(filings[:number], name, 1.0, "Revenues")  # the name that is preferred as long as it is used
    recast(filings[number : number + 4], name, 0.9)
    day, end = pd.Timestamp(filings[number]["accepted"].date()), filings[number]["end"]
    before = filings[number - 4]["end"]
    fetch_into("sec")
    found = read(tmp_path, "fundamentals/ORVN.csv")
    truth = invented.fundamentals["ORVN"].set_index("period_end")["revenue"]
    now = found[(found["period_end"] == end) & (found["available_at"] == day)]
    same(now["revenue_yoy"], pd.Series([truth[end] / (0.9 * truth[before]) - 1.0]), 1e-5)
    same(now["revenue"], pd.Series([truth[end]]))
    again = found[(found["period_end"] == before) & (found["available_at"] == day)]
    same(again["revenue"], pd.Series([0.9 * truth[before]]))
    fourth = found[(found["period_end"] == filings[number - 1]["end"])].sort_values("available_at")
    assert fourth["revenue"].notna().all()  # its year is not recast before the next annual report
    same(fourth["revenue"].tail(1), 0.9 * truth[[filings[number - 1]["end"]]], 1e-5)


Q1_2017, Q1_2018 = (pd.Timestamp(f"{year}-03-31") for year in (2017, 2018))
MAY_2017, MAY_2018 = pd.Timestamp("2017-05-02"), pd.Timestamp("2018-05-02")


def over_quarter(rank: int, end: pd.Timestamp, public: pd.Timestamp, value: float) -> Fact:
    return Fact("revenue", rank, end - pd.offsets.MonthBegin(3), end, public, value)


def test_growth_is_against_the_recast_quarter() -> None:
    filed = [over_quarter(0, Q1_2017, MAY_2017, 100.0)]
    recast_later = [over_quarter(1, Q1_2017, MAY_2018, 90.0), over_quarter(1, Q1_2018, MAY_2018, 99.0)]
    found = reports(filed + recast_later)
    last = found[found["period_end"] == Q1_2018].iloc[-1]
    assert last["revenue_yoy"] == pytest.approx(0.1)
    assert found.loc[found["period_end"] == Q1_2017, "revenue"].tolist() == [100.0, 90.0]


def test_a_name_told_beside_the_preferred_one_restates_nothing() -> None:
    def equity(rank: int, end: pd.Timestamp, public: pd.Timestamp, value: float) -> Fact:
        return Fact("equity", rank, None, end, public, value)

    filed = [over_quarter(0, Q1_2017, MAY_2017, 100.0), equity(0, Q1_2017, MAY_2017, 50.0)]
    later = [over_quarter(0, Q1_2018, MAY_2018, 99.0), equity(0, Q1_2018, MAY_2018, 55.0)]
    beside = [equity(1, Q1_2017, MAY_2018, 52.0), equity(1, Q1_2018, MAY_2018, 57.0)]  # with the minority's share
    found = reports(filed + later + beside)
    assert found["period_end"].tolist() == [Q1_2017, Q1_2018]
    assert found["equity"].tolist() == [50.0, 55.0]


def test_what_is_accepted_after_the_office_closes_is_public_on_the_next_business_day(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    filing = source_server.facts["ORVN"][-2]
    friday = filing["accepted"].date() + timedelta(days=4 - filing["accepted"].weekday())
    filing["accepted"] = datetime.combine(friday, filing["accepted"].time(), NEW_YORK).replace(hour=20)
    fetch_into("sec")
    found = read(tmp_path, "fundamentals/ORVN.csv")
    day = found.loc[found["period_end"] == filing["end"], "available_at"].iloc[0]
    assert day.date() == friday + timedelta(days=3)


def test_alpaca_gives_headlines_on_their_day_in_new_york(
    source_server: SourceServer, fetch_into: FetchInto, invented: Market, tmp_path: Path
) -> None:
    done = fetch_into("alpaca")
    for ticker in TICKERS:
        found, truth = read(tmp_path, f"news/{ticker}.csv"), invented.news[ticker]
        truth = truth[(truth["available_at"] >= FIRST) & (truth["available_at"] <= LAST)]
        truth = truth.drop_duplicates(["available_at", "headline"])
        rows = [(row.available_at, row.headline) for row in found.itertuples()]
        assert sorted(rows) == sorted((row.available_at, row.headline) for row in truth.itertuples())
        assert len(rows) > 3 * source_server.page_size
    assert done.rows["news/ORVN.csv"] == len(read(tmp_path, "news/ORVN.csv"))


def test_a_headline_that_was_changed_counts_from_the_change_on(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    article = next(one for one in source_server.articles["ORVN"] if one["created_at"] > "2017-03-01")
    article |= {"headline": "ORVN: corrected", "updated_at": "2018-03-05T15:00:00Z"}
    fetch_into("alpaca")
    found = read(tmp_path, "news/ORVN.csv")
    assert found.loc[found["headline"] == "ORVN: corrected", "available_at"].tolist() == [pd.Timestamp("2018-03-05")]


@pytest.mark.usefixtures("source_server")
def test_ivolatility_gives_volatilities_and_skew(fetch_into: FetchInto, invented: Market, tmp_path: Path) -> None:
    assert not fetch_into("ivolatility").failures
    for ticker in TICKERS:
        found, truth = read(tmp_path, f"options/{ticker}.csv"), invented.options[ticker]
        assert list(found["date"]) == list(truth.index)
        for column in ("iv_30d", "hv_30d", "skew_30d"):
            np.testing.assert_allclose(found[column], truth[column], atol=2e-4)


def test_interactive_brokers_gives_bars_and_volatilities(
    gateway: GatewayDouble, fetch_into: FetchInto, invented: Market, tmp_path: Path
) -> None:
    assert not fetch_into("ibkr").failures
    for ticker in TICKERS:
        bars, options = read(tmp_path, f"bars/{ticker}.csv"), read(tmp_path, f"options/{ticker}.csv")
        for column in ("open", "high", "low", "close", "volume", "raw_close"):
            same(bars[column], invented.bars[ticker][column])
        for column in ("iv_30d", "hv_30d"):
            same(options[column], invented.options[ticker][column])
    assert {what for _, what, _ in gateway.asked} == {
        *("TRADES", "ADJUSTED_LAST", "OPTION_IMPLIED_VOLATILITY", "HISTORICAL_VOLATILITY")
    }


def test_six_sources_make_one_dataset_that_gives_every_feature_its_tables_can(assembled: Path) -> None:
    found = check_dataset(assembled)
    assert found.ok, found.defects
    dataset = ll.load_dataset(assembled)
    day = dataset.bars("ORVN").index[-3]
    for ticker in TICKERS:
        record = ll.features(dataset, ticker, day)
        absent = {field.name for field in record.fields if field.value is None}
        assert absent == {"pmi_qoq", "pmi_yoy"}  # FRED has no PMI
        assert len(record.fields) == len(FIELDS)
        assert record.news


def test_the_three_free_sources_give_as_many_fields_as_the_book_says(assembled: Path, tmp_path: Path) -> None:
    for place in ("dataset.toml", "indices.csv", "macro.csv", "bars", "fundamentals"):
        copy = shutil.copytree if (assembled / place).is_dir() else shutil.copy
        copy(assembled / place, tmp_path / place)
    dataset = ll.load_dataset(tmp_path)
    record = ll.features(dataset, "ORVN", dataset.bars("ORVN").index[-3])
    available = sum(field.value is not None for field in record.fields)
    page = (Path(__file__).parents[2] / "book" / "sources.md").read_text()
    assert f"give {available} of the {len(FIELDS)} [fields]" in page


def test_the_assembled_dataset_passes_the_truncation_test(assembled: Path) -> None:
    dataset = ll.load_dataset(assembled)
    days = dataset.bars("KSTV").index[300::60]
    assert "none changed" in no_lookahead(check_no_lookahead(dataset, "KSTV", days))


def test_a_source_leaves_alone_what_another_one_filled(assembled: Path) -> None:
    record = json.loads((assembled / "sources.json").read_text())["files"]
    assert record["bars/ORVN.csv"]["filled"] == {"*": "yahoo"}
    assert record["options/ORVN.csv"]["filled"] == {"iv_30d": "ibkr", "hv_30d": "ibkr", "skew_30d": "ivolatility"}
    assert record["indices.csv"]["filled"] == {
        **dict.fromkeys(("spx_close", "ndx_close", "vix_close"), "yahoo"),
        **dict.fromkeys(("dgs10", "dgs2", "t10y2y"), "fred"),
    }


def test_the_record_tells_source_query_time_and_terms_and_no_key(assembled: Path) -> None:
    fetches = json.loads((assembled / "sources.json").read_text())["files"]["macro.csv"]["fetches"]
    bars = json.loads((assembled / "sources.json").read_text())["files"]["bars/ORVN.csv"]["fetches"]
    assert bars[0]["query"]["start"] == "2014-09-01"  # for the splits that reports need to know of
    assert fetches[0]["source"] == "fred"
    assert fetches[0]["client"].startswith("fredapi ")
    assert fetches[0]["retrieved"] == "2018-07-02T15:00:00Z"
    assert "https://fred.stlouisfed.org" in fetches[0]["terms"]
    assert "GDP" in fetches[0]["query"]["series"]
    for file in assembled.rglob("*"):
        if file.is_file():
            content = file.read_text()
            assert not [key for key in KEYS.values() if key in content], file


@pytest.mark.usefixtures("source_server")
def test_no_key_reaches_a_log(fetch_into: FetchInto, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for source in ("fred", "sec", "alpaca", "ivolatility"):
        fetch_into(source, ["ORVN"])
    secret = {name: value for name, value in KEYS.items() if name != "EDGAR_IDENTITY"}  # a name, meant to be shown
    for value in secret.values():
        assert value not in caplog.text
        assert value[:12] not in caplog.text


@pytest.mark.parametrize("source", ["yahoo", "fred", "alpaca", "ivolatility"])
def test_a_second_fetch_goes_on_where_the_first_one_stopped(
    source: str, source_server: SourceServer, fetch_into: FetchInto
) -> None:
    fetch_into(source, ["ORVN"], end=MIDDLE)
    source_server.asked.clear()
    fetch_into(source, ["ORVN"])
    names = ("period1", "from", "start", "observation_start")
    asked = [query[name] for _, query in source_server.asked for name in names if name in query]
    assert asked
    days = [pd.Timestamp(int(one), unit="s") if one.isdigit() else pd.Timestamp(one[:10]) for one in asked]
    assert all(day >= MIDDLE - pd.Timedelta(days=11) for day in days)


@pytest.mark.usefixtures("source_server")
@pytest.mark.parametrize("source", ["yahoo", "fred", "sec", "alpaca", "ivolatility"])
def test_two_fetches_give_what_one_gives(source: str, fetch_into: FetchInto, tmp_path: Path) -> None:
    fetch_into(source, ["ORVN"], end=MIDDLE)
    fetch_into(source, ["ORVN"])
    parts = {file: file.read_bytes() for file in sorted((tmp_path / "market").rglob("*.csv"))}
    for file in parts:
        file.unlink()
    fetch_into(source, ["ORVN"])
    assert {file: file.read_bytes() for file in sorted((tmp_path / "market").rglob("*.csv"))} == parts


def test_a_third_fetch_of_the_same_days_asks_nothing(source_server: SourceServer, fetch_into: FetchInto) -> None:
    fetch_into("yahoo")
    source_server.asked.clear()
    done = fetch_into("yahoo")
    assert set(done.rows.values()) == {0}
    assert not source_server.asked


def test_an_earlier_start_brings_the_days_before(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into("yahoo", ["ORVN"], start=MIDDLE)
    fetch_into("yahoo", ["ORVN"])
    assert read(tmp_path, "bars/ORVN.csv")["date"].tolist() == source_server.bars["ORVN"].index.tolist()


def split_later(server: SourceServer, ticker: str, day: pd.Timestamp, ratio: int) -> None:
    """What is shown after a split on ``day``: all earlier prices, volumes and earnings per share changed."""
    bars = server.bars[ticker]
    before = bars.index < day
    for column in ("open", "high", "low", "close", "raw_close"):
        bars[column] = bars[column].where(~before, bars[column] / ratio)
    bars["volume"] = bars["volume"].where(~before, bars["volume"] * ratio)
    server.splits[ticker][day] = (ratio, 1)
    in_new_shares(server.facts[ticker], server.market.fundamentals[ticker], day, ratio)


def test_a_split_between_two_fetches_rebases_all_prices_and_says_so(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into("yahoo", end=MIDDLE)
    fetch_into("sec", end=MIDDLE)
    earnings = read(tmp_path, "fundamentals/ORVN.csv")["reported_eps"]
    day = source_server.bars["ORVN"].index[source_server.bars["ORVN"].index > MIDDLE][5]
    split_later(source_server, "ORVN", day, 4)
    done = fetch_into("yahoo")
    assert [note for note in done.notes if "bars/ORVN.csv: a split since 2017-06-30" in note and "sec again" in note]
    assert not [note for note in done.notes if "KSTV.csv: a split" in note]
    bars = read(tmp_path, "bars/ORVN.csv")
    same(bars["raw_close"], source_server.bars["ORVN"]["raw_close"])
    same(bars["close"], source_server.bars["ORVN"]["close"])
    fetch_into("sec")
    after = read(tmp_path, "fundamentals/ORVN.csv")
    filed_before = after["available_at"] < day
    same(after.loc[filed_before, "reported_eps"].head(len(earnings)), earnings.head(int(filed_before.sum())) / 4, 1e-9)


def test_reports_of_the_same_days_follow_the_splits_that_bars_tell(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into("yahoo", ["ORVN"], end=MIDDLE)
    fetch_into("sec", ["ORVN"])
    earnings = read(tmp_path, "fundamentals/ORVN.csv").set_index("available_at")["reported_eps"]
    day = source_server.bars["ORVN"].index[source_server.bars["ORVN"].index > MIDDLE][5]
    split_later(source_server, "ORVN", day, 4)
    fetch_into("yahoo", ["ORVN"])
    assert "fundamentals/ORVN.csv" in fetch_into("sec", ["ORVN"]).rows
    after = read(tmp_path, "fundamentals/ORVN.csv").set_index("available_at")["reported_eps"]
    assert 0 < (after.index < day).sum() < len(after)
    same(after, earnings.where(earnings.index >= day, earnings / 4), 1e-5)
    source_server.asked.clear()
    fetch_into("sec", ["ORVN"])
    assert not source_server.asked


def test_reports_from_before_the_bars_are_fetched_again_after_them(
    source_server: SourceServer, fetch_into: FetchInto, invented: Market, tmp_path: Path
) -> None:
    day = source_server.bars["ORVN"].index[100]
    split_later(source_server, "ORVN", day, 4)
    done = fetch_into("sec", ["ORVN"])
    assert any("fetch bars from yahoo first, then this again" in note for note in done.notes)
    fetch_into("yahoo", ["ORVN"])
    done = fetch_into("sec", ["ORVN"])
    assert not [note for note in done.notes if "as filed" in note]
    after = read(tmp_path, "fundamentals/ORVN.csv").set_index("available_at")["reported_eps"]
    earnings = invented.fundamentals["ORVN"].set_index("available_at")["reported_eps"][after.index]
    same(after, earnings.where(earnings.index >= day, earnings / 4), 1e-5)


def test_reports_know_of_a_split_before_the_first_bar(
    source_server: SourceServer, fetch_into: FetchInto, invented: Market, tmp_path: Path
) -> None:
    day = source_server.bars["ORVN"].index[100]
    split_later(source_server, "ORVN", day, 4)
    fetch_into("yahoo", start=MIDDLE)
    fetch_into("sec", start=MIDDLE)
    assert read(tmp_path, "bars/ORVN.csv")["date"].min() == MIDDLE
    found = read(tmp_path, "fundamentals/ORVN.csv").set_index("available_at")["reported_eps"]
    truth = invented.fundamentals["ORVN"].set_index("available_at")["reported_eps"][found.index]
    before = found.index < day
    assert before.sum() > 3
    same(found[before], truth[before] / 4, 1e-5)


def test_a_dividend_between_two_fetches_rebases_the_adjusted_close(
    source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into("yahoo", end=MIDDLE)
    bars = source_server.bars["KSTV"]
    bars["close"] = bars["close"].where(bars.index > MIDDLE, bars["close"] * 0.995)
    done = fetch_into("yahoo")
    assert [note for note in done.notes if "bars/KSTV.csv: a dividend since 2017-06-30" in note]
    same(read(tmp_path, "bars/KSTV.csv")["close"], bars["close"])


@pytest.mark.parametrize(
    ("days", "factor", "said"),
    [(1, 1.0003, "a correction"), (3, 0.98, "a correction"), (1000, 0.99995, "a dividend"), (1000, 1 - 1e-7, "")],
    ids=["of the last close", "of three closes", "half a basis point on all days", "what a float may lose"],
)
def test_what_changed_earlier_prices_is_named(
    days: int, factor: float, said: str, source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    fetch_into("yahoo", ["KSTV"], end=MIDDLE)
    bars = source_server.bars["KSTV"]
    changed = bars.index[bars.index <= MIDDLE][-days:]
    bars.loc[changed, "close"] *= factor
    if said == "a correction":
        bars.loc[changed, "raw_close"] = (bars.loc[changed, "raw_close"] * factor).clip(
            bars.loc[changed, "low"], bars.loc[changed, "high"]
        )
    done = fetch_into("yahoo", ["KSTV"])
    assert not done.failures
    notes = [note for note in done.notes if "since 2017-06-30" in note]
    assert [note.partition(" since ")[0] for note in notes] == ([f"bars/KSTV.csv: {said}"] if said else [])
    assert not [note for note in notes if "sec again" in note]
    same(read(tmp_path, "bars/KSTV.csv")["close"], bars["close"], 1e-6)


def test_a_change_of_all_raw_prices_is_no_dividend() -> None:
    days = pd.date_range("2024-01-02", periods=5)
    old = pd.DataFrame(
        {"date": days, "raw_close": [40.0, 41.0, 39.5, 40.2, 40.9], "close": [39.0, 40.0, 38.5, 39.2, 39.9]}
    )
    new = old.assign(raw_close=(old["raw_close"] / 4).round(2), close=(old["close"] / 4).round(2))
    assert rebased(old, new, None, days[-1]) == "rescaling"  # a source that tells no splits
    assert rebased(old, new, {}, days[-1]) == "correction"
    assert rebased(old, new, {days[-1]: 4.0}, days[-1]) == "correction"  # known at the last fetch already
    assert rebased(old, new, {days[-1] + pd.Timedelta(days=1): 4.0}, days[-1]) == "split"
    assert rebased(old, old, {days[-1] + pd.Timedelta(days=1): 4.0}, days[-1]) is None
    assert rebased(old.tail(1), old.tail(1).assign(close=39.0), {}, days[-1]) == "correction"  # one day shows no factor


@pytest.mark.usefixtures("source_server", "gateway")
def test_the_clock_and_the_zone_of_this_machine_change_nothing(
    fetch_into: FetchInto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[dict[str, bytes]] = []
    try:
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            for source in SOURCES:
                assert not fetch_into(source, ["ORVN"]).failures
            files = sorted((tmp_path / "market").rglob("*.csv"))
            written.append({file.name + file.parent.name: file.read_bytes() for file in files})
            for file in files:
                file.unlink()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert len(written[0]) == 6
    assert written[0] == written[1]


def test_a_day_that_is_not_over_everywhere_is_left_out() -> None:
    assert last_day_over(datetime(2018, 7, 3, 11, 59, tzinfo=UTC)) == pd.Timestamp("2018-07-01")
    assert last_day_over(datetime(2018, 7, 3, 12, 0, tzinfo=UTC)) == pd.Timestamp("2018-07-02")
    late = datetime(2018, 7, 3, 12, 0, tzinfo=UTC).astimezone(NEW_YORK)
    assert last_day_over(late) == pd.Timestamp("2018-07-02")


@pytest.mark.usefixtures("source_server")
def test_the_running_day_is_not_fetched(fetch_into: FetchInto, tmp_path: Path) -> None:
    day = pd.Timestamp("2018-06-27")
    now = datetime(2018, 6, 27, 21, 0, tzinfo=UTC)
    fetch_into("yahoo", ["ORVN"], end=LAST, now=now)
    assert read(tmp_path, "bars/ORVN.csv")["date"].max() == day - pd.Timedelta(days=1)


@pytest.mark.usefixtures("source_server")
def test_a_new_folder_is_described_and_an_old_one_keeps_its_words(fetch_into: FetchInto, tmp_path: Path) -> None:
    done = fetch_into("yahoo", ["ORVN"], end=MIDDLE, split=pd.Timestamp("2017-01-03"))
    assert done.check is not None
    assert done.check.ok
    path = tmp_path / "market" / "dataset.toml"
    assert "split = 2017-01-03" in path.read_text()
    path.write_text(path.read_text() + "# mine\n")
    done = fetch_into("yahoo", ["KSTV"])
    dataset = ll.load_dataset(tmp_path / "market")
    assert dataset.tickers == ("ORVN", "KSTV")
    assert dataset.split == pd.Timestamp("2017-01-03")
    assert path.read_text().endswith("# mine\n")
    assert any("move end under [benchmark]" in note for note in done.notes)
    done = fetch_into("yahoo", ["KSTV"], split=pd.Timestamp("2017-03-01"))
    assert any("testing begins on 2017-01-03 as before, not on 2017-03-01" in note for note in done.notes)
    done = fetch_into("yahoo", ["KSTV"], split=pd.Timestamp("2017-01-03"))
    assert not [note for note in done.notes if "testing begins" in note]


@pytest.mark.usefixtures("source_server")
def test_a_new_folder_is_described_with_its_first_bars(fetch_into: FetchInto, tmp_path: Path) -> None:
    split = pd.Timestamp("2018-01-02")
    done = fetch_into("fred", ["KSTV"], split=split)
    assert any("written with the first bars; give --split again" in note for note in done.notes)
    assert not (tmp_path / "market" / "dataset.toml").exists()
    done = fetch_into("yahoo", ["ORVN"], split=split)
    assert done.check is not None
    assert done.check.ok
    dataset = ll.load_dataset(tmp_path / "market")
    assert dataset.tickers == ("ORVN",)
    assert dataset.split == split


@pytest.mark.parametrize("split", [FIRST, FIRST - pd.Timedelta(days=400), LAST + pd.Timedelta(days=1)])
def test_a_split_outside_the_days_is_refused(
    split: pd.Timestamp, source_server: SourceServer, fetch_into: FetchInto, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="must lie after 2016-09-01 and not after 2018-06-29"):
        fetch_into("yahoo", ["ORVN"], split=split)
    assert not source_server.asked
    assert not (tmp_path / "market").exists()


@pytest.mark.usefixtures("source_server")
def test_your_own_file_is_left_as_it_is(fetch_into: FetchInto, tmp_path: Path) -> None:
    fetch_into("yahoo", ["KSTV"])
    mine = (tmp_path / "market" / "bars" / "KSTV.csv").read_text().replace("KSTV", "ORVN")
    (tmp_path / "market" / "bars" / "ORVN.csv").write_text(mine)
    done = fetch_into("yahoo", ["ORVN"])
    assert any("bars/ORVN.csv is left as it is: it was filled by your own file" in note for note in done.notes)
    assert (tmp_path / "market" / "bars" / "ORVN.csv").read_text() == mine


def test_the_services_of_the_tests_say_what_the_market_says(invented: Market) -> None:
    row: dict[str, Any] = invented.fundamentals["ORVN"].iloc[-1].to_dict()
    items = items_of(row)
    assert items["flows"]["NetIncomeLoss"] == row["net_income"]
    assert set(CIKS) == set(TICKERS)


LIVE: dict[str, tuple[str, ...]] = {name: tuple(source.keys) for name, source in SOURCES.items()} | {
    "ibkr": ("IBKR_PORT",)
}


@pytest.mark.live
@pytest.mark.parametrize("source", list(SOURCES))
def test_the_real_service_gives_the_same_tables(source: str, fetch_into: FetchInto, tmp_path: Path) -> None:
    if not os.environ.get("LLMRL_LIVE"):
        pytest.skip("asks a real service: set LLMRL_LIVE=1 to allow it")
    if lacking := [key for key in LIVE[source] if not os.environ.get(key)]:
        pytest.skip(f"no key: {', '.join(lacking)}")
    start, end, now = pd.Timestamp("2019-01-02"), pd.Timestamp("2021-03-31"), datetime.now(UTC)
    done = fetch_into(source, ["AAPL"], start=start, end=end, now=now)
    assert not done.failures
    for table in SOURCES[source].tables:
        file = f"{table}.csv" if table in ("indices", "macro") else f"{table}/AAPL.csv"
        found = read(tmp_path, file)
        assert len(found) > 5
        if table == "bars":
            assert found["date"].between(start, end).all()
            assert len(found) == 566  # trading days of the New York exchange
            split = found.set_index("date").loc["2020-08-28":"2020-08-31", "raw_close"]  # 4 for 1: no jump
            assert float(split.iloc[1] / split.iloc[0]) == pytest.approx(1.034, abs=0.002)
        if table == "macro":
            gdp = found[(found["series"] == "GDP") & (found["period"] == "2020-01-01")]
            assert gdp.iloc[0]["available_at"] == pd.Timestamp("2020-04-29")
            assert gdp.iloc[0]["value"] == pytest.approx(21537.94, abs=0.1)
        if table == "fundamentals":
            quarter = found[found["period_end"] == "2020-12-26"].iloc[0]
            assert quarter["available_at"] == pd.Timestamp("2021-01-28")
            assert quarter["revenue"] == pytest.approx(111_439e6)
