"""A features record holds what was known at a close, no more, and says so where nothing was known."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feature_worlds import bar_lines, whole_dataset
from small_datasets import MakeFolder

import llmrl_lib as ll
from llmrl_lib.book.pages import features_tables
from llmrl_lib.market import Dataset, DatasetError, load_dataset
from llmrl_lib.market.features import FIELDS, GROUPS, Headline, check_no_lookahead, feature_table, features, truncated
from llmrl_lib.market.tables import OPTIONS

DAYS = pd.bdate_range("2020-01-01", "2020-12-31")


@pytest.fixture
def whole(make_folder: MakeFolder) -> Dataset:
    return load_dataset(make_folder(whole_dataset()))


def test_a_record_is_the_row_of_the_table(whole: Dataset) -> None:
    table = feature_table(whole, "AAA")
    assert list(table.values) == list(table.known) == list(FIELDS)
    for date in table.values.index[[0, 30, 260, 400, -1]]:
        one = features(whole, "AAA", date)
        assert one == table.row(date)
        assert [field.value for field in one.fields] == [
            None if np.isnan(value) else value for value in table.values.loc[date].tolist()
        ]
    assert table.rows()[400] == table.row(table.values.index[400])


def test_chosen_dates_are_rows_of_the_whole_table(whole: Dataset) -> None:
    every = feature_table(whole, "AAA")
    some = feature_table(whole, "AAA", ["2021-03-01", "2020-05-04", "2021-03-01"])
    assert some.values.index.tolist() == [pd.Timestamp("2021-03-01"), pd.Timestamp("2020-05-04")]
    pd.testing.assert_frame_equal(some.values, every.values.loc[some.values.index], check_exact=True)
    assert some.row("2020-05-04") == every.row("2020-05-04")
    assert feature_table(whole, "AAA", []).rows() == []


def test_every_field_of_the_whole_dataset_is_available_late_in_it(whole: Dataset) -> None:
    record = features(whole, "AAA", "2021-12-01")
    absent = {"hv_30d", "hv_30d_change_20d", "skew_30d", "skew_30d_change_20d"}
    absent |= {"quick_ratio", "quick_ratio_qoq", "liabilities_to_equity"}
    absent |= {"liabilities_to_equity_qoq", "interest_coverage", "interest_coverage_qoq"}
    absent |= {"operating_margin", "operating_margin_yoy", "net_margin", "net_margin_yoy"}
    absent |= {"roe", "roe_qoq", "roa", "roa_qoq"}
    assert {field.name for field in record.fields if field.value is None} == absent


def test_what_is_available_was_known_on_the_date_and_has_a_day(whole: Dataset) -> None:
    table = feature_table(whole, "AAA")
    known, dates = table.known.to_numpy(), table.values.index.to_numpy()[:, None]
    assert (np.isnat(known) == np.isnan(table.values.to_numpy())).all()
    assert (known <= dates)[~np.isnat(known)].all()
    published = [f.name for f in FIELDS.values() if f.source.split()[0] in ("macro", "fundamentals", "news")]
    days = table.known[published].to_numpy()
    assert (days < dates)[~np.isnat(days)].all()


def test_every_column_of_the_option_table_is_a_field(make_folder: MakeFolder) -> None:
    rows = [f"{day:%Y-%m-%d},{20 + place},{18 + 2 * place},{3 - place}" for place, day in enumerate(DAYS[:40])]
    files = {"options/AAA.csv": [f"date,{','.join(OPTIONS.numbers)}", *rows]}
    files["bars/AAA.csv"] = bar_lines(np.full(len(DAYS), 10.5), DAYS)
    record = features(load_dataset(make_folder(files)), "AAA", DAYS[30])
    assert [record[name].value for name in OPTIONS.numbers] == [50.0, 78.0, -27.0]
    assert [record[f"{name}_change_20d"].value for name in OPTIONS.numbers] == [20.0, 40.0, -20.0]
    assert record["iv_less_hv"].value == 50.0  # less the volatility of the bars, which stand still


def test_no_field_of_the_embedded_market_lacks_its_input() -> None:
    dataset = load_dataset(Path(__file__).parents[2] / "data" / "embedded")
    for ticker in dataset.tickers:
        late = feature_table(dataset, ticker).values.loc["2013-02-01":]
        shares = late.notna().mean()
        assert shares.min() > 0.97, (ticker, shares[shares <= 0.97])


def test_a_record_cannot_be_changed(whole: Dataset) -> None:
    record = features(whole, "AAA", "2021-12-01")
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.news = ()  # type: ignore[misc]
    with pytest.raises(AttributeError, match="can't set attribute"):
        record["beta"].value = 1.0  # type: ignore[misc]


def test_a_record_is_asked_by_name_group_and_frame(whole: Dataset) -> None:
    record = ll.features(whole, "AAA", "2021-12-01")
    assert record["vix"].unit == "points"
    assert [group for group in GROUPS if record.group(group)] == list(GROUPS)
    assert sum(len(record.group(group)) for group in GROUPS) == len(record.fields) == len(FIELDS)
    assert record.frame().loc["vix", "value"] == record["vix"].value
    assert str(record["vix"]).endswith("points (known 2021-12-01)")
    assert str(record["skew_30d"]) == "skew_30d: not available"
    with pytest.raises(KeyError, match=r"no field 'sma_21'; there are sma_20, sma_20_gap"):
        record["sma_21"]


def test_a_date_without_a_bar_names_the_last_trading_day(whole: Dataset) -> None:
    with pytest.raises(
        ValueError, match=r"AAA has no bar on Saturday 2020-05-09; its last trading day before is 2020-05-08"
    ):
        features(whole, "AAA", "2020-05-09")
    with pytest.raises(ValueError, match=r"BBB has no bar on Monday 2020-08-31; its bars begin later"):
        features(whole, "BBB", "2020-08-31")
    with pytest.raises(DatasetError, match="no ticker 'CCC'"):
        features(whole, "CCC", "2020-05-08")


@pytest.mark.parametrize(
    "date",
    [
        "2020-05-08 15:30",
        "08/05/2020",
        "8 May 2020",
        "20200508",
        "2020-02-30",
        pd.Timestamp("2020-05-08", tz="UTC"),
        pd.NaT,
    ],
)
def test_a_date_with_a_time_or_a_zone_is_named(whole: Dataset, date: str | pd.Timestamp) -> None:
    with pytest.raises(ValueError, match="is no trading day; give a date without time and zone"):
        features(whole, "AAA", date)


def test_a_single_date_in_the_place_of_a_list_is_named(whole: Dataset) -> None:
    for wrong in ("2020-05-08", pd.Timestamp("2020-05-08")):
        for made in (feature_table, check_no_lookahead):
            with pytest.raises(ValueError, match="a single one; give a list of dates"):
                made(whole, "AAA", wrong)
    with pytest.raises(ValueError, match="'08/05/2020' is no trading day"):
        truncated(whole, "08/05/2020")
    with pytest.raises(ValueError, match="'08/05/2020' is no trading day"):
        feature_table(whole, "AAA", ["2020-05-08"]).row("08/05/2020")


def test_a_ticker_listed_in_the_middle_has_no_past(whole: Dataset) -> None:
    first = features(whole, "BBB", "2020-09-01")
    assert first["close"].value is not None
    assert first["spx_return_20d"].value is not None  # the index was there before
    assert first["gdp_yoy"].value is not None
    for name in ("return_week_1", "beta", "sma_20", "rsi_14", "atr_14", "macd", "hv_20d", "sma_200_zscore"):
        assert first[name].value is None, name
    table = feature_table(whole, "BBB").values
    assert table["return_week_1"].first_valid_index() == table.index[5]
    assert table["sma_200"].first_valid_index() == table.index[199]
    assert table["beta"].first_valid_index() == table.index[126]


def test_bars_alone_are_enough(make_folder: MakeFolder) -> None:
    random = np.random.default_rng(1)
    files = {"bars/AAA.csv": bar_lines(50.0 + random.normal(0, 0.5, len(DAYS)).cumsum().round(6), DAYS)}
    record = features(load_dataset(make_folder(files)), "AAA", "2020-12-31")
    from_bars = {field.name for field in FIELDS.values() if field.source.startswith("bars")}
    needs_more = {name for name in from_bars if "," in FIELDS[name].source and "TA-Lib" not in FIELDS[name].source}
    available = {field.name for field in record.fields if field.value is not None}
    assert available == from_bars - needs_more
    assert record.news == ()


def test_constant_prices_have_no_strength_and_no_deviation(make_folder: MakeFolder) -> None:
    bars = {"bars/AAA.csv": bar_lines(np.full(len(DAYS), 10.5), DAYS)}
    record = features(load_dataset(make_folder(bars)), "AAA", "2020-12-31")
    for name in ("rsi_14", "sma_20_zscore", "macd_zscore", "atr_14_zscore", "vwap_20_zscore", "rsi_14_slope", "beta"):
        assert record[name].value is None, name
    assert record["sma_200"].value == pytest.approx(10.5)
    assert record["sma_20_gap"].value == pytest.approx(0.0, abs=1e-9)
    assert record["sma_20_slope"].value == pytest.approx(0.0, abs=1e-9)
    assert record["atr_14"].value == pytest.approx(2.0)
    assert record["return_week_1"].value == record["hv_20d"].value == 0.0


def test_a_weekend_row_is_a_trading_day_that_knows_fridays_index(make_folder: MakeFolder) -> None:
    indices = [f"{day:%Y-%m-%d},{1000 + place},1.5" for place, day in enumerate(DAYS)]
    bars = bar_lines(50.0 + np.arange(len(DAYS)) % 2, DAYS)
    saturday = bars[-1].replace("2020-12-31", "2021-01-02")
    files = {
        "indices.csv": ["date,spx_close,dgs10", *indices],
        "bars/AAA.csv": [*bars, "2021-01-01" + saturday[10:], saturday],
    }
    dataset = load_dataset(make_folder(files))
    assert [defect.kind for defect in dataset.defects] == ["weekend"]
    record = features(dataset, "AAA", "2021-01-02")
    assert record["spx_return_1d"].value == pytest.approx(100 * (1261 / 1260 - 1))
    assert record["spx_return_1d"].known == pd.Timestamp("2020-12-31")
    assert record["yield_10y_qoq"].known == pd.Timestamp("2021-01-01")  # Thursday's yield, published on Friday


def test_an_index_or_option_that_stops_is_not_available_after_a_week(make_folder: MakeFolder) -> None:
    rows = [f"{day:%Y-%m-%d},{20 + place % 3}" for place, day in enumerate(DAYS[DAYS <= "2020-06-10"])]
    files = {"indices.csv": ["date,vix_close", *rows], "options/AAA.csv": ["date,iv_30d", *rows]}
    table = feature_table(load_dataset(make_folder(files)), "AAA").values
    for name in ("vix", "iv_30d", "iv_30d_change_20d"):
        assert table[name].last_valid_index() == pd.Timestamp("2020-06-17"), name


def test_a_change_across_a_hole_in_a_daily_table_is_not_available(make_folder: MakeFolder) -> None:
    kept = [place for place in range(len(DAYS)) if not 100 <= place < 115]  # three weeks are missing
    rows = [f"{DAYS[place]:%Y-%m-%d},{1000 + place},{1 + place / 100}" for place in kept]
    options = [f"{DAYS[place]:%Y-%m-%d},{20 + place}" for place in kept]
    files = {
        "bars/AAA.csv": bar_lines(np.full(len(DAYS), 50.0), DAYS),
        "indices.csv": ["date,spx_close,dgs10", *rows],
        "options/AAA.csv": ["date,iv_30d", *options],
    }
    table = feature_table(load_dataset(make_folder(files)), "AAA").values
    for name, rows_back, first in (
        ("spx_return_1d", 1, 115),
        ("spx_return_20d", 20, 115),
        ("iv_30d_change_20d", 20, 115),
    ):
        assert table[name].iloc[first : first + rows_back].isna().all(), name
        assert table[name].iloc[first + rows_back :].notna().all(), name
    assert table["yield_10y_qoq"].iloc[116 : 115 + 63].isna().all()
    assert table["iv_30d"].iloc[115] == 135.0


def test_blank_cells_of_a_daily_table_are_bridged_by_the_value_before_them(make_folder: MakeFolder) -> None:
    files = {"options/AAA.csv": ["date,iv_30d", "2020-03-02,30", "2020-03-03,", "2020-03-04,33"]}
    dataset = load_dataset(make_folder(files))
    field = features(dataset, "AAA", "2020-03-03")["iv_30d"]
    assert (field.value, field.known) == (30.0, pd.Timestamp("2020-03-02"))
    assert features(dataset, "AAA", "2020-03-04")["iv_30d"].value == 33.0


def test_an_announcement_before_its_quarter_ends_fails_with_the_line(make_folder: MakeFolder) -> None:
    lines = ["period_end,available_at,revenue", "2019-12-31,2020-01-25,5", "2020-03-31,2020-03-01,5"]
    dataset = load_dataset(make_folder({"fundamentals/AAA.csv": lines}))
    with pytest.raises(
        DatasetError, match=r"fundamentals/AAA.csv line 3: available_at 2020-03-01 lies before period_end"
    ):
        features(dataset, "AAA", "2020-06-01")


def test_a_macro_value_before_its_period_fails_with_the_line(make_folder: MakeFolder) -> None:
    lines = ["series,period,available_at,value", "GDP,2020-04-01,2020-03-01,5"]
    dataset = load_dataset(make_folder({"macro.csv": lines}))
    with pytest.raises(DatasetError, match=r"macro.csv line 2: available_at 2020-03-01 lies before period 2020-04-01"):
        features(dataset, "AAA", "2020-06-01")


def test_news_are_of_the_twenty_trading_days_before_the_date(make_folder: MakeFolder) -> None:
    date, opening = DAYS[100], DAYS[80]
    lines = [
        f"{opening - pd.Timedelta(days=1):%Y-%m-%d},too old,,",
        f"{opening:%Y-%m-%d},oldest,a summary,a source",
        f"{opening:%Y-%m-%d},oldest,a summary,a source",
        f"{date - pd.Timedelta(days=1):%Y-%m-%d},newest,,",
        f"{date:%Y-%m-%d},of the date itself,,",
    ]
    dataset = load_dataset(make_folder({"news/AAA.csv": ["available_at,headline,summary,source", *lines]}))
    record = features(dataset, "AAA", date)
    assert [item.headline for item in record.news] == ["oldest", "oldest", "newest"]
    assert record.news[0] == Headline(opening, "oldest", "a summary", "a source")
    assert record.news[2].summary is record.news[2].source is None
    assert (record["news_count"].value, record["news_count"].known) == (3.0, record.news[2].published)
    assert features(dataset, "AAA", DAYS[101]).news[-1].headline == "of the date itself"


def test_a_month_without_headlines_is_not_available(whole: Dataset) -> None:
    record = features(whole, "AAA", "2021-06-30")
    assert record.news == ()
    assert record["news_count"].value is None


def test_news_before_the_first_bar_are_known_on_it(make_folder: MakeFolder) -> None:
    lines = ["available_at,headline", "2019-12-03,too old", "2019-12-04,old enough", "2019-12-31,new"]
    record = features(load_dataset(make_folder({"news/AAA.csv": lines})), "AAA", "2020-01-01")
    assert [item.headline for item in record.news] == ["old enough", "new"]


def test_the_book_lists_every_field() -> None:
    page = features_tables()
    for definition in FIELDS.values():
        assert f"| `{definition.name}` | {definition.unit} |" in page
    assert "{include} _generated/features.md" in (Path(__file__).parents[2] / "book" / "features.md").read_text("utf-8")


def test_real_tickers_have_features_through_all_years(shared: Path) -> None:
    dataset = load_dataset(shared / "market")
    shares = feature_table(dataset, "AAPL").values.notna().mean()
    assert shares[["price_to_earnings", "enterprise_value", "gdp_yoy", "iv_30d", "roe"]].min() == 1.0
    assert shares["news_count"] < 0.9  # months without a headline
    payer = feature_table(dataset, "KO").values  # dividend-adjusted without raw_close
    assert payer[["open", "atr_14", "vwap_20", "price_to_earnings"]].isna().all(axis=None)
    assert payer["rsi_14"].notna().mean() > 0.99
    assert feature_table(dataset, "TWTR").values["atr_14"].notna().mean() > 0.98


def test_six_tickers_and_eight_years_take_seconds() -> None:
    dataset = load_dataset(Path(__file__).parents[2] / "data" / "embedded")
    began = time.process_time()
    rows = sum(len(feature_table(dataset, ticker).values) for ticker in dataset.tickers)
    assert rows > 12_000
    assert time.process_time() - began < 5.0
