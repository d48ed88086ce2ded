"""The published tables are whole, add up where they do in print, and are as inconsistent as the module says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from llmrl_lib.evidence import published
from llmrl_lib.evidence.significance import one_sample_t_from_summary

TABLES = {name: value for name, value in vars(published).items() if isinstance(value, published.Table)}
WITH_MEAN = ("PROMPT_SHARPE", "PROMPT_PERPLEXITY", "PROMPT_ENTROPY", "GUIDED_SHARPE", "GUIDED_DRAWDOWN")


@pytest.mark.parametrize("name", TABLES)
def test_every_row_fills_every_column(name: str) -> None:
    table = TABLES[name]
    frame = table.frame()
    assert frame.shape == (len(table.rows), len(table.columns))
    assert frame.index.name == table.label
    missing = frame.index[frame.isna().any(axis=1)]
    assert set(missing) <= {"Mean"}
    assert table.title
    assert table.source


@pytest.mark.parametrize("name", WITH_MEAN)
def test_printed_means_are_the_means_of_the_six(name: str) -> None:
    frame = TABLES[name].frame()
    printed = frame.loc["Mean"].dropna()
    assert tuple(frame.index[:-1]) == published.PAPER_TICKERS
    for column in printed.index:
        assert frame[column].iloc[:-1].mean() == pytest.approx(printed[column], abs=0.0051), column


def test_every_ticker_has_a_name() -> None:
    tickers = {label for table in TABLES.values() if table.label == "ticker" for label in table.rows} - {"Mean"}
    assert tickers <= set(published.INSTRUMENTS)
    assert set(published.INSTRUMENTS) - set(published.REPLICATION.rows) == {"TWTR"}
    assert len(set(published.INSTRUMENTS.values())) == len(published.INSTRUMENTS) == 30


def test_the_six_reference_runs_have_the_mean_and_spread_that_the_note_says() -> None:
    sharpe = published.REFERENCE_AAPL_RUNS.frame()["sharpe"]
    mean, sd = re.findall(r"\d\.\d+", published.REFERENCE_AAPL_RUNS.note)[:2]
    assert (f"{sharpe.mean():.3f}", f"{sharpe.std():.3f}") == (mean, sd)


def test_reference_results_are_those_recorded(shared: Path) -> None:
    recorded = json.loads((shared / "benchmark" / "reference_results.json").read_text())
    classical, windows = published.REFERENCE_CLASSICAL.rows, published.REFERENCE_WINDOWS.rows
    assert list(classical) == list(windows) == [row["ticker"] for row in recorded["rows"]]
    for row in recorded["rows"]:
        names = ("buy_and_hold", "sell_and_hold", "trend_following", "mean_reversion")
        expected = [*(row[f"{name}_sharpe"] for name in names), row["buy_and_hold_max_drawdown_percent"] / 100]
        assert classical[row["ticker"]] == pytest.approx(expected, abs=1e-9)
        assert windows[row["ticker"]] == (*row["trend_following_windows"], *row["mean_reversion_windows"])
    runs = published.REFERENCE_AAPL_RUNS.frame()
    np.testing.assert_allclose(runs["sharpe"], recorded["tdqn_AAPL_runs"]["test_sharpe"], atol=5.1e-5)
    np.testing.assert_allclose(100 * runs["max_drawdown"], recorded["tdqn_AAPL_runs"]["test_max_drawdown_percent"])


def test_tables_are_those_of_the_papers_text(shared: Path) -> None:
    text = (shared / "paper" / "llm-guided-rl-in-quant-trading.txt").read_text()
    numbers = re.findall(r"-?\d[\d,]*\.?\d*", text.replace("$", ""))
    printed = " ".join(number.replace(",", "") for number in numbers)
    for name, table in TABLES.items():
        if table.source == published.REFERENCE:
            continue
        for label, row in table.rows.items():
            wanted = [number for number in row if not np.isnan(number)]
            pattern = (
                r"(?<![\d.])" + " ".join(rf"{re.escape(f'{number:g}')}0*\.?0*" for number in wanted) + r"(?![\d.])"
            )
            assert re.search(pattern, printed), f"{name} {label}"


# The inconsistencies that the module names are there


def implied_p(ticker: str) -> float:
    tdqn, mean, sd, *_ = published.REPLICATION.rows[ticker]
    return one_sample_t_from_summary(mean, sd, published.RUNS, tdqn).p_value


def test_the_unguided_means_of_table_nine_are_the_published_values_of_others() -> None:
    guided, replicated = published.GUIDED_SHARPE.frame(), published.REPLICATION.frame()
    for ticker in published.PAPER_TICKERS:
        assert guided.loc[ticker, "unguided_mean"] == pytest.approx(replicated.loc[ticker, "tdqn_sharpe"], abs=0.0051)
        assert abs(guided.loc[ticker, "unguided_mean"] - replicated.loc[ticker, "sharpe_mean"]) > 0.02


@pytest.mark.parametrize(("ticker", "implied"), [("AAPL", 0.04), ("TSLA", 0.10), ("MSFT", 0.16), ("KO", 0.99)])
def test_some_printed_p_values_do_not_follow_from_their_means(ticker: str, implied: float) -> None:
    assert implied_p(ticker) == pytest.approx(implied, abs=0.0051)
    assert abs(published.REPLICATION.rows[ticker][3] - implied) > 0.1


def test_twelve_of_twenty_nine_printed_p_values_reject() -> None:
    p_values = published.REPLICATION.frame()["p_value"]
    assert (len(p_values), (p_values < 0.05).sum()) == (29, 12)


def test_guided_means_are_higher_on_all_six() -> None:
    frame = published.GUIDED_SHARPE.frame()
    assert (frame["guided_mean"] > frame["unguided_mean"]).all()


def test_the_language_model_alone_has_two_figures_on_tesla() -> None:
    only, fourth = published.GUIDED_SHARPE.frame()["llm_only"], published.PROMPT_SHARPE.frame()["P4"]
    assert list(only.index[(only - fourth).abs() > 0.02]) == ["TSLA"]


def test_entropy_and_cost_contradict_the_text() -> None:
    entropy = published.PROMPT_ENTROPY.frame().loc["Mean"]
    assert entropy.idxmax() == "P3"
    assert entropy["P0"] == entropy["P4"] == entropy.min()
    assert published.PROMPT_COST.frame()["total_cost_usd"].sum() == pytest.approx(43.64)


def test_published_index_funds_are_buy_and_hold() -> None:
    tdqn, held = published.REPLICATION.frame()["tdqn_sharpe"], published.REFERENCE_CLASSICAL.frame()["buy_and_hold"]
    for ticker in ("DIA", "SPY", "QQQ"):
        assert tdqn[ticker] == pytest.approx(held[ticker], abs=0.00051)
