"""The invented market is the same everywhere, complete, and consistent from table to table."""

import datetime
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.market import Dataset, DatasetError, check_dataset, load_dataset, simulate, synthesise
from llmrl_lib.market.features import truncated
from llmrl_lib.market.synthetic import CATEGORIES, EMBEDDED_SEED, Market, trading_days
from llmrl_lib.market.synthetic.bars import JUMP, company_bars
from llmrl_lib.market.synthetic.companies import companies_of
from llmrl_lib.market.synthetic.days import days_of
from llmrl_lib.market.synthetic.draws import normal

EMBEDDED = Path(__file__).resolve().parents[2] / "data" / "embedded"


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".gitattributes"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def same_tables(one: Dataset, other: Dataset, tickers: tuple[str, ...]) -> None:
    for table, ticker in one.places():
        if ticker is None or ticker in tickers:
            left, right = one.read(table, ticker).frame, other.read(table, ticker).frame
            pd.testing.assert_frame_equal(left, right, check_exact=True, obj=f"{table} of {ticker}")


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(EMBEDDED_SEED)


@pytest.fixture(scope="module")
def embedded() -> Dataset:
    return load_dataset(EMBEDDED)


def test_the_embedded_market_is_what_the_generator_writes_in_less_than_ten_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    folder = synthesise(EMBEDDED_SEED, out=tmp_path / "again")
    assert time.process_time() - start < 10.0
    assert contents(folder) == contents(EMBEDDED)


def test_the_embedded_market_is_small_and_without_defects() -> None:
    assert sum(map(len, contents(EMBEDDED).values())) <= 4_000_000
    check = check_dataset(EMBEDDED)
    assert check.ok
    assert set(check.defects["kind"]) == {"close outside [low, high]"}
    assert sorted(check.defects["file"]) == ["bars/BLMR.csv", "bars/ORVN.csv"]  # the two that pay dividends
    assert (check.coverage["rows"] > 0).all()
    assert (check.coverage["missing"] <= 0.02).all()  # yields on bond holidays, growth before there is a year


def test_frames_in_memory_are_those_that_are_read_from_the_folder(market: Market, embedded: Dataset) -> None:
    memory = market.dataset()
    same_tables(memory, embedded, embedded.tickers)
    assert (memory.name, memory.title, memory.tickers) == (embedded.name, embedded.title, embedded.tickers)
    assert (memory.train_start, memory.split, memory.end) == (embedded.train_start, embedded.split, embedded.end)
    pd.testing.assert_frame_equal(memory.test_bars("HDRN"), embedded.test_bars("HDRN"))
    pd.testing.assert_frame_equal(embedded.truth, market.truth)
    assert memory.has_truth
    pd.testing.assert_frame_equal(memory.truth, embedded.truth)
    pd.testing.assert_frame_equal(memory.truth_ic, embedded.truth_ic)
    with pytest.raises(DatasetError, match="it is hindsight"):
        _ = truncated(memory, "2018-06-01").truth
    pd.testing.assert_frame_equal(embedded.truth_ic, market.truth_ic)


def test_another_seed_is_another_market(tmp_path: Path) -> None:
    one, other = synthesise(1, 1, out=tmp_path / "1"), synthesise(2, 1, out=tmp_path / "2")
    before, after = contents(one), contents(other)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before if name != "truth_ic.csv")


def test_a_large_market_holds_the_small_one(tmp_path: Path) -> None:
    small, large = simulate(3, 2), simulate(3, 30)
    assert len(large.bars) == 30
    same_tables(small.dataset(), large.dataset(), tuple(small.bars))
    names = [word for company in large.companies for word in (company.name, *company.products, *company.executives)]
    assert len(set(names)) == len(names)
    assert check_dataset(synthesise(3, 9, out=tmp_path / "large")).ok


def test_noise_does_not_depend_on_the_strength() -> None:
    silent, loud = simulate(4, 1, strength=0.0, carriers=()), simulate(4, 1, strength=2.0, carriers=())
    for table in ("options", "fundamentals", "earnings", "news"):
        one, other = getattr(silent, table)["ORVN"], getattr(loud, table)["ORVN"]
        kept = [name for name in one if name not in ("iv_30d", "hv_30d")]
        pd.testing.assert_frame_equal(one[kept], other[kept])
    assert not silent.bars["ORVN"].equals(loud.bars["ORVN"])


def test_other_dates_make_other_splits(tmp_path: Path) -> None:
    first, last = datetime.date(2015, 3, 2), datetime.date(2016, 3, 1)
    folder = synthesise(5, 2, out=tmp_path / "short", first=first, last=last, carriers=("news", "options"))
    dataset = load_dataset(folder)
    assert dataset.bars("ORVN").index[[0, -1]].tolist() == [pd.Timestamp(first), pd.Timestamp(last)]
    assert dataset.split == pd.Timestamp("2015-12-01")
    assert dataset.name == "synthetic-5-2-options+news"
    assert len(dataset.train_bars("KSTV")) + len(dataset.test_bars("KSTV")) == len(dataset.bars("KSTV"))
    named = simulate(5, 1, first=first, last=last, split=datetime.date(2015, 9, 1)).dataset()
    assert named.split == pd.Timestamp("2015-09-01")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="is not empty"):
        synthesise(1, out=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": -1}, "seed -1 is below 0"),
        ({"tickers": 0}, "0 tickers; an invented market has 1 to 200"),
        ({"tickers": 201}, "201 tickers"),
        ({"strength": -0.1}, r"strength -0.1 lies outside 0 \(no signal\) to 2.0"),
        ({"strength": 2.01}, "strength 2.01 lies outside"),
        ({"strength": float("nan")}, "strength nan lies outside"),
        ({"carriers": ("news", "tweets")}, "carriers: 'tweets' is no list of categories; choose from prices, options"),
        ({"carriers": "news"}, "carriers: 'news' is no list of categories"),
        ({"first": datetime.date(2019, 12, 2)}, "has .* trading days, 31 are needed; move first 2019-12-02"),
        ({"first": datetime.date(2020, 1, 2)}, "lie in 1950..2100, and first before last"),
        ({"last": datetime.date(2101, 1, 2)}, "last 2101-01-02; both lie in 1950..2100"),
        ({"split": datetime.date(2019, 12, 2)}, "testing has 21 trading days, 31 are needed"),
        ({"split": datetime.date(2012, 1, 31)}, "training has 19 trading days, 31 are needed"),
        ({"split": datetime.date(2030, 1, 31)}, "testing has 0 trading days"),
    ],
)
def test_impossible_markets_are_refused(tmp_path: Path, changed: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        synthesise(**{"seed": 1, "out": tmp_path / "market", **changed})
    assert not (tmp_path / "market").exists()


def test_shares_trade_on_weekdays_that_are_no_holidays() -> None:
    days = set(trading_days(datetime.date(2018, 1, 1), datetime.date(2018, 12, 31)))
    holidays = ["01-01", "01-15", "02-19", "03-30", "05-28", "07-04", "09-03", "11-22", "12-25"]
    assert not days & {pd.Timestamp(f"2018-{day}") for day in holidays}
    assert len(days) == 261 - len(holidays)
    good_fridays = pd.to_datetime(["2012-04-06", "2013-03-29", "2014-04-18", "2016-03-25", "2019-04-19", "2038-04-23"])
    assert not set(trading_days(datetime.date(2012, 1, 1), datetime.date(2038, 12, 31))) & set(good_fridays)


def test_positions_of_days_around_a_weekend() -> None:
    days = days_of(datetime.date(2018, 1, 2), datetime.date(2018, 12, 31))
    friday, monday = days.at(datetime.date(2018, 6, 8)), days.on_or_after(datetime.date(2018, 6, 9))
    assert days.dates[friday] == datetime.date(2018, 6, 8)
    assert monday == friday + 1 == days.at(datetime.date(2018, 6, 10)) + 1 == days.at(datetime.date(2018, 6, 11))
    assert days.dates[0] == datetime.date(2015, 1, 2)
    assert days.dates[days.start] == datetime.date(2018, 1, 2)
    assert days.on_or_after(datetime.date(2019, 1, 1)) == len(days)


def test_dividends_lower_the_price_and_not_the_total_return(market: Market) -> None:
    bars = market.bars["ORVN"]
    raw, total = bars["raw_close"].pct_change(), bars["close"].pct_change()
    paid = (total - raw)[1:] > 0.001
    assert set(bars.index[1:][paid].month) == {2, 5, 8, 11}
    assert paid.sum() == 32
    quarterly = 0.018 / 4
    np.testing.assert_allclose((1 + total[1:][paid]) * (1 - quarterly), 1 + raw[1:][paid], atol=2e-5)
    assert bars["close"].iloc[-1] == bars["raw_close"].iloc[-1]


def test_a_split_leaves_returns_and_turnover_smooth(market: Market) -> None:
    orvane, bars = market.companies[0], market.bars["ORVN"]
    factor = round(orvane.first_price / bars["raw_close"].iloc[0])
    assert factor == orvane.split_into == 4  # its shares were split once
    assert bars["raw_close"].pct_change().abs().max() < 0.36
    whole = (bars["raw_close"] * factor).iloc[:250]
    assert 0.9 < whole.max() / orvane.split_above < 1.1  # decided at the end of a month
    dollars = bars["close"] * bars["volume"] / bars["close"].iloc[0]
    assert dollars.iloc[-250:].mean() / dollars.iloc[:250].mean() < 4.0
    unsplit = market.bars["BLMR"]["raw_close"].iloc[0]
    assert unsplit == pytest.approx(market.companies[4].first_price, rel=0.05)


def test_more_shares_trade_after_a_split_so_that_the_adjusted_volume_goes_on() -> None:
    source, days = np.random.default_rng(0), days_of(datetime.date(2012, 1, 3), datetime.date(2019, 12, 31))
    seen = 0
    for company in companies_of(EMBEDDED_SEED, 6):
        total = company.daily_sd * normal(source, len(days)) + 0.002  # rises, so that shares are split
        prices = company_bars(source, days, company, total, np.full(len(days), company.daily_sd**2))
        volume = prices.columns["volume"]
        for day, ratio in prices.splits:
            seen += 1
            assert np.median(volume[day : day + 60]) / np.median(volume[day - 60 : day]) == pytest.approx(1.0, abs=0.25)
            assert ratio > 1
    assert seen >= 6


def test_bars_contain_their_open_and_raw_close() -> None:
    for bars in simulate(5).bars.values():
        assert (bars["low"] <= bars[["open", "raw_close"]].min(axis=1)).all()
        assert (bars["high"] >= bars[["open", "raw_close"]].max(axis=1)).all()


def test_yields_fit_together_and_are_blank_on_bond_holidays(market: Market) -> None:
    indices = market.indices
    assert (indices[["dgs10", "dgs2", "t10y2y"]].isna().sum() == indices["dgs10"].isna().sum()).all()
    assert 8 <= indices["dgs10"].isna().sum() <= 16
    np.testing.assert_allclose(indices["dgs10"] - indices["dgs2"], indices["t10y2y"], atol=1e-9)


def test_prices_jump_on_the_day_after_an_announcement() -> None:
    moves, ratios = [], []
    for seed in range(4):
        market = simulate(seed)
        for company in market.companies:
            returns = market.bars[company.ticker]["close"].pct_change()
            days = market.days.published.searchsorted(market.earnings[company.ticker]["available_at"], side="right")
            days = days[(days > 0) & (days < len(returns))]
            ratios.append(returns.iloc[days].std() / returns.drop(returns.index[days]).std())
            surprise = market.earnings[company.ticker].set_index("available_at")["surprise_pct"]
            known = surprise[surprise.index >= market.days.published[0]].iloc[: len(days)]
            moves.append(np.corrcoef(known.to_numpy()[: len(days)], returns.iloc[days].to_numpy()[: len(known)])[0, 1])
    assert 1.3 < np.mean(ratios) < JUMP + 0.5
    assert 0.1 < np.mean(moves) < 0.6  # surprises hold more than what moves the price


def test_categories_are_the_ones_that_truth_names(embedded: Dataset) -> None:
    assert list(embedded.truth) == ["ticker", "state", "latent", "best", *CATEGORIES]
