"""Deleting everything later than a date changes no feature of the date, and the check that says so finds leaks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feature_worlds import whole_dataset
from small_datasets import MakeFolder

from llmrl_lib.market import Dataset, DatasetError, load_dataset
from llmrl_lib.market.features import (
    FIELDS,
    FeatureTable,
    LookAheadError,
    check_no_lookahead,
    columns,
    feature_table,
    features,
    macro,
    no_lookahead,
    truncated,
)

EMBEDDED = Path(__file__).parents[2] / "data" / "embedded"
PAIRS = 200


@pytest.fixture
def whole(make_folder: MakeFolder) -> Dataset:
    return load_dataset(make_folder(whole_dataset()))


def random_pairs(dataset: Dataset, seed: int) -> dict[str, list[pd.Timestamp]]:
    """``PAIRS`` random dates, by ticker; one in ten is among the first 60 days of its ticker."""
    random = np.random.default_rng(seed)
    found: dict[str, list[pd.Timestamp]] = {}
    for number in range(PAIRS):
        ticker = dataset.tickers[random.integers(len(dataset.tickers))]
        days = dataset.bars(ticker).index
        found.setdefault(ticker, []).append(days[random.integers(60 if number % 10 == 0 else len(days))])
    return found


def assert_no_lookahead(dataset: Dataset, seed: int) -> None:
    compared = 0
    for ticker, dates in random_pairs(dataset, seed).items():
        report = check_no_lookahead(dataset, ticker, dates)
        assert report["same"].all(), report[~report["same"]].assign(ticker=ticker).to_string()
        assert report["whole"].notna().mean() > 0.3
        compared += len(report)
    assert compared == PAIRS * (len(FIELDS) + 1)


@pytest.mark.slow
def test_200_random_features_of_the_real_dataset_know_no_future(shared: Path) -> None:
    assert_no_lookahead(load_dataset(shared / "market"), 1)


@pytest.mark.slow
def test_200_random_features_of_the_embedded_dataset_know_no_future() -> None:
    assert_no_lookahead(load_dataset(EMBEDDED), 2)


@pytest.mark.slow
def test_200_random_features_of_a_dataset_full_of_revisions_know_no_future(whole: Dataset) -> None:
    assert_no_lookahead(whole, 3)


def test_a_folder_cut_by_hand_gives_the_same_features(make_folder: MakeFolder) -> None:
    """The lines of the files themselves are cut, so that nothing can pass by ``truncated``."""
    files, date = whole_dataset(), "2021-03-17"
    before = features(load_dataset(make_folder(files)), "AAA", date)
    cut = {"dataset.toml": files["dataset.toml"].replace("2021-06-01", "2021-02-01")}  # type: ignore[union-attr]
    for name, lines in files.items():
        if isinstance(lines, list):
            head = lines[0].split(",")
            place = head.index("available_at" if "available_at" in head else "date")
            cut[name] = [lines[0], *(line for line in lines[1:] if line.split(",")[place] <= date)]
    after = features(load_dataset(make_folder(cut)), "AAA", date)
    assert sum(len(lines) for lines in cut.values()) < 0.8 * sum(len(lines) for lines in files.values())
    assert after == before


def test_truncation_leaves_what_may_be_used_at_that_close(whole: Dataset) -> None:
    cut, date = truncated(whole, "2021-03-17"), pd.Timestamp("2021-03-17")  # a Wednesday
    assert cut.bars("AAA").index[-1] == cut.indices.index[-1] == cut.options("AAA").index[-1] == date
    for frame in (cut.macro, cut.news("AAA"), cut.fundamentals("AAA")):
        assert len(frame) > 0
        assert (frame["available_at"] < date).all()
    assert (whole.macro["available_at"] >= date).any()
    assert len(cut.news("AAA")) < len(whole.news("AAA"))
    assert np.isnan(cut.indices.loc[date, "dgs10"])
    assert not np.isnan(whole.indices.loc[date, "dgs10"])
    assert cut.indices.loc[date, "spx_close"] == whole.indices.loc[date, "spx_close"]
    assert cut.tickers == whole.tickers
    assert len(whole.bars("AAA")) == len(pd.bdate_range("2020-01-01", "2021-12-31"))  # the whole one is untouched


def test_a_method_that_looks_at_the_truth_is_found() -> None:
    dataset = load_dataset(EMBEDDED)
    ticker, date = dataset.tickers[0], dataset.test_bars(dataset.tickers[0]).index[0]

    def told(dataset: Dataset, ticker: str, dates: Sequence[pd.Timestamp]) -> FeatureTable:
        table, truth = feature_table(dataset, ticker, dates), dataset.truth.query("ticker == @ticker")
        return replace(table, values=table.values.assign(beta=truth["state"].reindex(table.values.index)))

    assert not truncated(dataset, date).has_truth
    with pytest.raises(DatasetError, match=rf"truth\.csv: not handed out as of {date:%Y-%m-%d}; it is hindsight"):
        check_no_lookahead(dataset, ticker, [date], told)
    with pytest.raises(DatasetError, match=r"truth_ic\.csv: not handed out"):
        _ = truncated(dataset, date).truth_ic


def test_a_stock_that_closes_first_sees_the_indices_of_the_day_before(make_folder: MakeFolder) -> None:
    files, date = whole_dataset(), "2021-03-17"
    late = load_dataset(make_folder(files))
    about = str(files["dataset.toml"]).replace("[benchmark]", 'closes_before_indices = ["AAA"]\n\n[benchmark]')
    early = load_dataset(make_folder({**files, "dataset.toml": about}))
    now, then, before = (
        features(*case) for case in ((early, "AAA", date), (late, "AAA", date), (late, "AAA", "2021-03-16"))
    )
    for name in ("spx_return_1d", "ndx_return_5d", "vix", "vix_change_20d"):
        assert now[name].value == before[name].value != then[name].value
        assert now[name].known == pd.Timestamp(date)
    assert now["close"] == then["close"]
    assert features(early, "BBB", date) == features(late, "BBB", date)
    cut = truncated(early, date, "AAA")
    assert cut.indices.index[-1] == pd.Timestamp("2021-03-16")
    assert np.isnan(cut.indices.loc["2021-03-16", "dgs10"])
    assert truncated(early, date, "BBB").indices.index[-1] == pd.Timestamp(date)
    assert check_no_lookahead(early, "AAA", [date])["same"].all()

    def unaware(dataset: Dataset, ticker: str, dates: Sequence[pd.Timestamp]) -> FeatureTable:
        return feature_table(replace(dataset, closes_before_indices=()), ticker, dates)

    wrong = check_no_lookahead(early, "AAA", [date], unaware).query("not same")["field"].tolist()
    assert {"spx_return_1d", "vix", "beta"} <= set(wrong)


def test_truncation_can_be_repeated(whole: Dataset) -> None:
    twice = truncated(truncated(whole, "2021-03-17"), "2021-02-17")
    assert features(twice, "AAA", "2021-02-17") == features(whole, "AAA", "2021-02-17")


def back_filled(name: str) -> Callable[[Dataset, str, Sequence[pd.Timestamp]], FeatureTable]:
    def leaky(dataset: Dataset, ticker: str, dates: Sequence[pd.Timestamp]) -> FeatureTable:
        table = feature_table(dataset, ticker)
        filled = replace(
            table,
            values=table.values.assign(**{name: table.values[name].bfill()}),
            known=table.known.assign(**{name: table.known[name].bfill()}),
        )
        return FeatureTable(
            ticker, filled.values.loc[dates], filled.known.loc[dates], table.headlines, spans_on(filled, dates)
        )

    return leaky


def spans_on(table: FeatureTable, dates: Sequence[pd.Timestamp]) -> np.ndarray:
    return table.spans[table.values.index.get_indexer(pd.DatetimeIndex(dates))]


@pytest.mark.parametrize("name", ["beta", "sma_50"])
def test_a_back_filled_field_is_found(name: str) -> None:
    dataset = load_dataset(EMBEDDED)
    ticker = dataset.tickers[0]
    days = dataset.bars(ticker).index
    dates = [days[20], days[45], days[800]]
    report = check_no_lookahead(dataset, ticker, dates, back_filled(name))
    wrong = report[~report["same"]]
    assert wrong["field"].tolist() == [name, name]
    assert wrong["date"].tolist() == dates[:2]
    assert wrong["whole"].notna().all()
    assert wrong["truncated"].isna().all()
    with pytest.raises(LookAheadError, match=rf"2 of \d+ values knew the future: {name} on {dates[0]:%Y-%m-%d} \("):
        no_lookahead(report)
    assert check_no_lookahead(dataset, ticker, dates)["same"].all()


def test_a_check_without_a_finding_is_told_with_its_counts(whole: Dataset) -> None:
    report = check_no_lookahead(whole, "AAA", ["2020-01-01", "2021-03-17"])
    told = " ".join(no_lookahead(report).split())
    available = sum(
        field.value is not None for day in ("2020-01-01", "2021-03-17") for field in features(whole, "AAA", day).fields
    )
    assert f"2 dates from 2020-01-01 to 2021-03-17, {len(FIELDS)} fields and the headlines on each" in told
    assert f"{2 * (len(FIELDS) + 1)} comparisons, {available} of them of available values; none changed" in told
    with pytest.raises(ValueError, match="nothing was compared"):
        no_lookahead(report.iloc[:0])


def test_news_of_the_same_day_are_found(whole: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmrl_lib.market.features import table

    original = table._news_spans
    monkeypatch.setattr(table, "_news_spans", lambda dates, days: original(dates + np.timedelta64(1, "D"), days))
    days = whole.news("AAA")["available_at"]
    report = check_no_lookahead(whole, "AAA", [days[days > "2021-03-01"].iloc[0]])
    assert report[~report["same"]]["field"].tolist() == ["news_count", "news"]


def test_a_release_used_on_its_own_day_is_found(whole: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_its_day(dates: np.ndarray, *rest: object) -> dict[str, columns.Column]:
        return columns.as_of_events(dates + np.timedelta64(1, "D"), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(macro, "as_of_events", on_its_day)
    rows = whole.macro
    days = rows.loc[(rows["series"] == "GDP") & (rows["available_at"] > "2021-01-01"), "available_at"]
    released = [day for day in days if day in whole.bars("AAA").index]
    report = check_no_lookahead(whole, "AAA", released)
    assert "gdp_yoy" in report[~report["same"]]["field"].tolist()


def test_yields_of_the_same_day_are_found(whole: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macro, "yields_usable", lambda days: days)
    report = check_no_lookahead(whole, "AAA", ["2021-03-17", "2021-03-18"])
    assert {"yield_10y_qoq", "slope_10y_2y_yoy"} <= set(report[~report["same"]]["field"])


def test_a_check_of_no_dates_has_its_columns(whole: Dataset) -> None:
    report = check_no_lookahead(whole, "AAA", [])
    assert report.columns.tolist() == ["date", "field", "whole", "truncated", "same"]
    assert report["same"].all()
