"""The invented market is the same everywhere and behaves like a market."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.market import check_dataset, load_dataset, synthesise
from llmrl_lib.market.synthetic import EMBEDDED_SEED, simulate, trading_days

EMBEDDED = Path(__file__).resolve().parents[2] / "data" / "embedded"


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".gitattributes"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def returns() -> dict[int, pd.DataFrame]:
    """Daily returns of eight markets, by seed."""
    markets = {seed: simulate(seed) for seed in range(8)}
    return {
        seed: pd.DataFrame({ticker: bars["close"].pct_change() for ticker, bars in market.bars.items()}).dropna()
        for seed, market in markets.items()
    }


def test_the_embedded_market_is_what_the_generator_writes(tmp_path: Path) -> None:
    assert contents(synthesise(EMBEDDED_SEED, out=tmp_path / "again")) == contents(EMBEDDED)


def test_the_embedded_market_is_small_and_without_defects() -> None:
    assert sum(map(len, contents(EMBEDDED).values())) <= 4_000_000
    check = check_dataset(EMBEDDED)
    assert check.ok
    assert set(check.defects["kind"]) == {"close outside [low, high]"}
    assert sorted(check.defects["file"]) == ["bars/BLMR.csv", "bars/ORVN.csv"]  # the two that pay dividends


def test_another_seed_is_another_market(tmp_path: Path) -> None:
    one, other = synthesise(1, 1, out=tmp_path / "1"), synthesise(2, 1, out=tmp_path / "2")
    assert load_dataset(one).content_hash() != load_dataset(other).content_hash()


def test_a_large_market_holds_the_small_one(tmp_path: Path) -> None:
    small, large = simulate(3, 2), simulate(3, 30)
    assert len(large.bars) == 30
    pd.testing.assert_frame_equal(small.indices, large.indices)
    for ticker, bars in small.bars.items():
        pd.testing.assert_frame_equal(bars, large.bars[ticker])
    assert check_dataset(synthesise(3, 30, out=tmp_path / "large")).ok


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="is not empty"):
        synthesise(1, out=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("seed", "tickers"), [(-1, 6), (0, 0), (0, 201)])
def test_impossible_markets_are_refused(tmp_path: Path, seed: int, tickers: int) -> None:
    with pytest.raises(ValueError, match=f"seed {seed} and {tickers} tickers"):
        synthesise(seed, tickers, out=tmp_path / "market")
    assert not (tmp_path / "market").exists()


def test_shares_trade_on_weekdays_that_are_no_holidays() -> None:
    days = set(trading_days(pd.Timestamp("2018-01-01").date(), pd.Timestamp("2018-12-31").date()))
    holidays = ["01-01", "01-15", "02-19", "05-28", "07-04", "09-03", "11-22", "12-25"]
    assert not days & {pd.Timestamp(f"2018-{day}") for day in holidays}
    assert len(days) == 261 - len(holidays)


def test_dividends_lower_the_price_and_not_the_total_return() -> None:
    bars = simulate(EMBEDDED_SEED).bars["ORVN"]
    raw, total = bars["raw_close"].pct_change(), bars["close"].pct_change()
    paid = (total - raw)[1:] > 0.001
    assert set(bars.index[1:][paid].month) == {2, 5, 8, 11}
    assert paid.sum() == 32
    quarterly = 0.018 / 4
    np.testing.assert_allclose((1 + total[1:][paid]) * (1 - quarterly), 1 + raw[1:][paid], atol=1e-5)
    assert bars["close"].iloc[-1] == bars["raw_close"].iloc[-1]


def test_bars_contain_their_open_and_raw_close() -> None:
    for bars in simulate(5).bars.values():
        assert (bars["low"] <= bars[["open", "raw_close"]].min(axis=1)).all()
        assert (bars["high"] >= bars[["open", "raw_close"]].max(axis=1)).all()


def test_yields_fit_together_and_are_blank_on_bond_holidays() -> None:
    indices = simulate(1).indices
    assert (indices[["dgs10", "dgs2", "t10y2y"]].isna().sum() == indices["dgs10"].isna().sum()).all()
    assert 8 <= indices["dgs10"].isna().sum() <= 16
    np.testing.assert_allclose(indices["dgs10"] - indices["dgs2"], indices["t10y2y"], atol=1e-9)


def test_returns_are_hardly_correlated_but_their_size_is(returns: dict[int, pd.DataFrame]) -> None:
    plain = [frame[name].autocorr(1) for frame in returns.values() for name in frame]
    size = [frame[name].abs().autocorr(lag) for frame in returns.values() for name in frame for lag in range(1, 11)]
    assert abs(np.mean(plain)) < 0.02
    assert 0.04 < np.mean(size) < 0.25


def test_tails_are_heavy(returns: dict[int, pd.DataFrame]) -> None:
    kurtosis = [frame[name].kurt() for frame in returns.values() for name in frame]
    assert min(kurtosis) > 0.5
    assert np.median(kurtosis) > 2.0


def test_losses_raise_volatility(returns: dict[int, pd.DataFrame]) -> None:
    leverage = [frame[name].corr(frame[name].shift(-1) ** 2) for frame in returns.values() for name in frame]
    assert np.mean(leverage) < -0.01


def test_companies_share_one_factor(returns: dict[int, pd.DataFrame]) -> None:
    for frame in returns.values():
        correlations = frame.corr().to_numpy()[np.triu_indices(6, 1)]
        assert correlations.min() > 0.1
        assert 0.2 < correlations.mean() < 0.7


def test_yearly_volatility_is_that_of_stocks(returns: dict[int, pd.DataFrame]) -> None:
    volatility = pd.concat([frame.std() for frame in returns.values()]) * np.sqrt(252)
    assert volatility.between(0.12, 0.65).all()
