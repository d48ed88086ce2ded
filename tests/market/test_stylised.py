"""Stylised facts: each figure on series whose value is known, on invented markets and on real stocks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.market import load_dataset, simulate, stylised_facts
from llmrl_lib.market.stylised import beside_real_stocks, hill_index, real_facts


def bars(returns: np.ndarray) -> pd.DataFrame:
    dates = pd.bdate_range("2000-01-03", periods=len(returns) + 1)
    return pd.DataFrame({"close": 10.0 * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))}, index=dates)


@pytest.fixture(scope="module")
def invented() -> pd.DataFrame:
    """Facts of eight invented markets, a row per market and company."""
    return pd.concat([stylised_facts(simulate(seed).bars) for seed in range(8)])


def test_independent_returns_have_no_facts() -> None:
    draws = np.random.default_rng(1).standard_normal((2, 40_000)) * 0.01
    facts = stylised_facts({"A": bars(draws[0]), "B": bars(draws[1])})
    assert facts["volatility"].to_numpy() == pytest.approx(0.01 * 252**0.5, rel=0.02)
    assert (facts.drop(columns=["volatility", "tail_index"]).abs() < 0.015).all(axis=None)
    assert (facts["tail_index"] > 5).all()


def test_each_figure_finds_what_was_put_in() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal(40_001) * 0.01
    moving = noise[1:] + 0.5 * noise[:-1]  # lag 1: 0.5 / 1.25
    assert stylised_facts({"A": bars(moving)})["autocorrelation"].item() == pytest.approx(0.4, abs=0.02)
    waves = np.repeat(rng.choice([0.005, 0.02], 400), 100) * rng.standard_normal(40_000)
    clustered = stylised_facts({"A": bars(waves)}).iloc[0]
    assert clustered["absolute_1"] > clustered["absolute_20"] > clustered["absolute_60"] > 0.05
    feared = rng.standard_normal(40_000) * 0.01
    feared[1:] *= np.where(feared[:-1] < 0, 2.0, 1.0)
    assert stylised_facts({"A": bars(feared)})["leverage"].item() < -0.01
    half = stylised_facts({"A": bars(noise), "B": bars((noise + rng.standard_normal(40_001) * 0.01) / 2)})
    assert half["cross_correlation"].to_numpy() == pytest.approx(0.5**0.5, abs=0.02)
    assert np.isnan(stylised_facts({"A": bars(noise)})["cross_correlation"].item())


def test_hill_finds_the_index_of_a_pareto_tail_and_of_a_hand_made_one() -> None:
    draws = np.random.default_rng(3).pareto(4.0, 100_000) + 1.0
    assert hill_index(draws) == pytest.approx(4.0, rel=0.05)
    values = np.array([-8.0, 4.0, 2.0, *[1.0] * 37])  # the two largest of 40, against the third
    assert hill_index(values) == pytest.approx(2 / (np.log(4.0) + np.log(2.0)))


@pytest.mark.parametrize("values", [np.array([0.01, *[0.0] * 199]), np.full(200, 0.01)])
def test_there_is_no_tail_index_without_a_tail(values: np.ndarray) -> None:
    assert np.isnan(hill_index(values))


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # of what earlier tests left to be collected
def test_a_price_that_hardly_ever_moves_has_no_tail_index() -> None:
    for moves in ([0.01], [0.01, 0.01], [0.01, -0.01]):
        returns = np.zeros(200)
        returns[50 : 50 + len(moves)] = moves
        table = beside_real_stocks({"QUIET": bars(returns)}, "QUIET")["QUIET"]
        assert table["tail index (Hill)"] == "-"
        assert table["volatility, a year"] in ("0.01", "0.02")


@pytest.mark.parametrize("returns", [np.zeros(200), np.full(129, 0.01)])
def test_prices_without_facts_are_refused(returns: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"FLAT has \d+ daily returns; 130 that are not all equal"):
        stylised_facts({"FLAT": bars(returns)})


def test_invented_markets_have_the_facts_of_stocks(invented: pd.DataFrame) -> None:
    mean = invented.mean()
    assert abs(mean["autocorrelation"]) < 0.02
    assert 0.05 < mean["absolute_1"] < 0.20
    assert mean["absolute_1"] > mean["absolute_20"] > mean["absolute_60"] > 0.0
    assert 3.0 < mean["tail_index"] < 5.0
    assert -0.06 < mean["leverage"] < -0.005
    assert 0.15 < mean["cross_correlation"] < 0.45
    assert invented["volatility"].between(0.12, 0.70).all()
    assert invented["tail_index"].between(2.0, 5.5).all()


def test_real_stocks_lie_within_the_spread_of_invented_ones(invented: pd.DataFrame) -> None:
    """Each real mean lies within three standard deviations of single invented companies."""
    distance = (real_facts().mean() - invented.mean()) / invented.std()
    assert (distance.abs() < 3.0).all(), distance


def test_the_real_figures_are_those_of_the_real_data(shared: Path) -> None:
    dataset = load_dataset(shared / "market")
    facts = stylised_facts({ticker: dataset.bars(ticker) for ticker in real_facts().index})
    pd.testing.assert_frame_equal(facts, real_facts(), atol=0.0006, rtol=0.0)


def test_a_ticker_stands_beside_real_stocks() -> None:
    rng = np.random.default_rng(4)
    every = {
        "A": bars(rng.standard_normal(500) * 0.01),
        "B": bars(rng.standard_normal(500) * 0.01),
        "FLAT": bars(np.zeros(500)),
    }
    table = beside_real_stocks(every, "A")
    ours, real = stylised_facts({name: every[name] for name in "AB"}), real_facts()
    assert table.columns.tolist() == ["A", "mean of 2 tickers", "real stocks", "their range"]
    assert table.loc["volatility, a year"].tolist() == [
        f"{ours.loc['A', 'volatility']:.2f}",
        f"{ours['volatility'].mean():.2f}",
        f"{real['volatility'].mean():.2f}",
        f"{real['volatility'].min():.2f} to {real['volatility'].max():.2f}",
    ]
    assert len(table) == len(real.columns)
    assert not len(beside_real_stocks(every, "FLAT"))
    alone = beside_real_stocks({"A": every["A"]}, "A")
    assert alone.columns.tolist() == ["A", "real stocks", "their range"]
    assert alone.loc["correlation with other tickers", "A"] == "-"
    together = beside_real_stocks(every)
    assert together.columns.tolist() == ["mean of 2 tickers", "real stocks", "their range"]
    assert together["mean of 2 tickers"].tolist() == table["mean of 2 tickers"].tolist()
    assert beside_real_stocks({"A": every["A"]}).columns.tolist() == ["A", "real stocks", "their range"]
    assert not len(beside_real_stocks({"FLAT": every["FLAT"]}))
