"""Ours beside the published, cell by cell: a difference only where the same stock is compared."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_runs import run_of

import llmrl_lib as ll
from llmrl_lib.evidence.published import GUIDED_DRAWDOWN, GUIDED_SHARPE, PROMPT_ENTROPY, PROMPT_SHARPE, RUNS
from llmrl_lib.evidence.significance import welch_from_summary
from llmrl_lib.experiments.comparisons import comparison_table, every_comparison, placebo_table, told_arms
from llmrl_lib.experiments.results_tables import (
    OTHERS,
    appendix_e_table,
    beside,
    compared_tickers,
    curve_table,
    guided_table,
    interquartile_table,
    p_text,
    prompts_table,
    readable,
)
from llmrl_lib.settings import TdqnSettings

ARMS = {"unguided": 0.0, "guided": 1e-3, "llm_only": 5e-4}


def test_a_published_stock_stands_beside_its_own_figures_with_the_difference(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"AAPL": ARMS, "ZZZ": ARMS})
    table = guided_table(run)
    ours = run.performance("test").query("ticker == 'AAPL' and arm == 'guided'")["sharpe_ratio"].to_numpy()
    assert table.loc[("AAPL", "ours"), "TDQN, guided"] == f"{ours.mean():.2f} ({ours.std(ddof=1):.2f})"
    assert table.loc[("AAPL", "published"), "TDQN, guided"] == "1.70 (0.43)"
    p_value = welch_from_summary(ours, 1.70, 0.43, RUNS)
    shown = "<0.001" if p_value < 0.001 else f"{p_value:.3f}"
    assert table.loc[("AAPL", "difference"), "TDQN, guided"] == f"{ours.mean() - 1.70:+.2f} (p {shown})"
    assert table.loc[("AAPL", "published"), "LLM only"] == "2.09"
    assert ("ZZZ", "published") not in table.index
    assert ("ZZZ", "ours") in table.index
    assert table.loc[("mean", "published"), "TDQN, guided"] == "1.70"  # of the compared ticker alone, as is ours
    assert table.loc[("mean", "ours"), "TDQN, guided"] == f"{ours.mean():.2f}"


def test_without_a_published_stock_only_the_published_mean_is_told(tmp_path: Path) -> None:
    table = guided_table(run_of(tmp_path / "r", {"ZZZ": ARMS}))
    assert list(table.index) == [("ZZZ", "ours"), ("mean", "ours"), (OTHERS, "published")]
    assert table.loc[(OTHERS, "published")].tolist() == ["1.10", "0.64", "1.03"]
    drawdown = guided_table(run_of(tmp_path / "s", {"ZZZ": ARMS}), GUIDED_DRAWDOWN)
    assert drawdown.loc[("ZZZ", "ours"), "TDQN, guided"] == "0.25 (0.00)"
    assert drawdown.loc[(OTHERS, "published")].tolist() == ["0.31", "0.36", "0.35"]


def test_other_settings_or_prices_are_not_compared(tmp_path: Path) -> None:
    free = run_of(tmp_path / "free", {"AAPL": ARMS}, settings=TdqnSettings(cost_rate=0.0))
    assert compared_tickers(free, GUIDED_SHARPE) == ()
    held = run_of(tmp_path / "held", {"AAPL": {**ARMS, "buy_and_hold": 0.0}})
    assert compared_tickers(held, GUIDED_SHARPE) == ()
    assert appendix_e_table(held).empty
    assert compared_tickers(run_of(tmp_path / "same", {"AAPL": ARMS}), GUIDED_SHARPE) == ("AAPL",)


def test_appendix_e_stands_beside_both_of_its_columns(tmp_path: Path) -> None:
    table = appendix_e_table(run_of(tmp_path / "r", {"AAPL": ARMS, "ZZZ": ARMS}))
    assert table.loc[("AAPL", "published")].tolist() == ["1.19 (0.55)", "0.29 (0.09)"]
    assert table.loc[("mean", "published")].tolist() == ["1.19", "0.29"]
    assert "ZZZ" not in table.index.get_level_values(0)


def test_single_numbers_are_compared_without_a_test() -> None:
    ours = pd.DataFrame({"P0": [1.0, np.nan], "P4": [2.0, 3.0]}, index=["AAPL", "MSFT"])
    table = beside(ours, PROMPT_SHARPE, ["AAPL"])
    assert table.loc[("AAPL", "difference")].tolist() == ["-0.13", "-0.09"]
    assert table.loc[("MSFT", "ours")].tolist() == ["-", "3.00"]
    assert ("MSFT", "published") not in table.index
    assert table.loc[("mean", "ours"), "P4"] == "2.00"


def test_prompts_stand_with_what_following_them_earned(smoke_run: Path, tmp_path: Path) -> None:
    run = ll.open_run(smoke_run)
    table = prompts_table(run)
    performance = run.performance("test").set_index(["arm", "ticker"])["sharpe_ratio"]
    for ticker in run.tickers:
        shown = table.loc[(ticker, "ours")]
        assert shown["P1"] == f"{performance['llm_only', ticker]:.2f}"  # P1 guides the smoke profile
        assert shown["benchmark"] == f"{performance['buy_and_hold', ticker]:.2f}"
    assert table.loc[(OTHERS, "published"), "P0"] == "0.55"
    entropy = prompts_table(run, PROMPT_ENTROPY)
    told = ll.advised(run, "KSTV").decisions.query("split == 'test' and prompt == 'p0'")["nats"]
    assert entropy.loc[("KSTV", "ours"), "P0"] == f"{told.mean():.2f}"
    assert prompts_table(run_of(tmp_path / "recorded", {"AAPL": ARMS})).empty


@pytest.fixture
def compared(tmp_path: Path) -> ll.open_run:
    arms = {**ARMS, "placebo_random": -1e-3, "placebo_flipped": 1e-3, "guided_direction": 2e-3, "oracle_100": 4e-3}
    return run_of(tmp_path / "c", {"AAA": {**arms, "buy_and_hold": 0.0}, "BBB": {**arms, "buy_and_hold": 0.0}})


def test_the_middle_half_of_seeds_and_tickers_is_summed_up_per_arm(compared, tmp_path: Path) -> None:
    table = interquartile_table(compared)
    assert "llm_only" not in table.index
    scores = compared.performance("test").query("arm == 'guided'")["sharpe_ratio"].sort_values().to_numpy()
    middle = scores[3:9].mean()  # of twelve, two tickers with six seeds
    row = table.loc["TDQN, guided"]
    assert row[["tickers", "seeds"]].tolist() == ["2", "12"]
    shown, low, high = map(float, re.findall(r"-?[0-9.]+", row["interquartile mean"]))
    assert shown == pytest.approx(middle, abs=0.006)
    assert low < shown < high
    single = interquartile_table(run_of(tmp_path / "one", {"AAA": ARMS}, seeds=1))
    assert single.loc["TDQN, guided", "interquartile mean"] == "-"


def test_guided_is_compared_with_each_placebo_and_all_are_paid_for(compared) -> None:
    table = placebo_table(compared)
    assert table[["ticker", "base"]].to_numpy().tolist() == [
        [ticker, base] for ticker in ("AAA", "BBB") for base in ("placebo_random", "placebo_flipped")
    ]
    above = table[table["base"] == "placebo_random"]
    assert (above["difference"] > 0).all()
    np.testing.assert_allclose(
        above["corrected"], 2 * above["p_value"], rtol=1e-9
    )  # two rows say something, two are equal
    assert table[table["base"] == "placebo_flipped"]["p_value"].isna().all()
    assert placebo_table(compared, ["BBB"])["ticker"].unique().tolist() == ["BBB"]


def test_holm_counts_the_rows_of_all_placebos(tmp_path: Path) -> None:
    table = placebo_table(run_of(tmp_path / "r", {"AAA": {**ARMS, "placebo_random": -1e-3, "placebo_permuted": 0.0}}))
    least = table["p_value"].idxmin()
    assert table["corrected"][least] == pytest.approx(2 * table["p_value"][least])


def test_what_was_told_leaves_oracles_out(compared) -> None:
    assert set(told_arms(compared)["arm"]) == {"guided", "guided_direction", "placebo_random", "placebo_flipped"}
    assert set(comparison_table(compared, tickers=["AAA"])["ticker"]) == {"AAA"}


def test_two_accounts_are_compared_over_days_alone(compared) -> None:
    row = comparison_table(compared, "buy_and_hold", ["llm_only"]).iloc[0]
    assert row["seeds"] == 1
    assert math.isnan(row["p_value"])
    assert math.isnan(row["corrected"])
    assert row["path_difference"] == pytest.approx(row["difference"])
    assert row["path_low"] < row["path_high"]


def test_every_comparison_of_the_results_is_kept_for_a_recorded_run(compared) -> None:
    table = every_comparison(compared)
    bases = {"unguided", "buy_and_hold", "placebo_random", "placebo_flipped"}
    assert set(table["base"]) == bases
    table.to_csv(compared.path / "comparisons.csv", index=False)
    full = placebo_table(compared)
    for place in compared.path.glob("*/*/trajectories.csv.gz"):
        place.unlink()
    again = ll.open_run(compared.path)
    pd.testing.assert_frame_equal(placebo_table(again), full)
    assert comparison_table(again, "buy_and_hold", ["llm_only"])["path_low"].notna().all()


def test_a_single_seed_gives_differences_and_no_test(tmp_path: Path) -> None:
    table = comparison_table(run_of(tmp_path / "one", {"AAA": ARMS}, seeds=1))
    assert table["difference"].notna().all()
    assert table[["p_value", "corrected", "low", "later_low"]].isna().all(axis=None)
    assert readable(table).loc[("AAA", "TDQN, guided"), "p, Holm"] == "-"


def test_an_interval_without_width_says_that_nothing_varies(compared) -> None:
    table = placebo_table(compared).assign(low=0.25, high=0.25 + 1e-12, path_low=float("nan"))
    shown = readable(table, against=True).iloc[0]
    assert (shown["95% over seeds"], shown["95% over days (p, Holm)"]) == ("nothing varies", "-")
    assert readable(table.assign(high=0.26), against=True).iloc[0]["95% over seeds"] == "+0.25 to +0.26"


def test_comparisons_can_be_read(compared) -> None:
    table = readable(placebo_table(compared), against=True)
    assert list(table.index) == [
        (ticker, base) for ticker in ("AAA", "BBB") for base in ("placebo random", "placebo flipped")
    ]
    row = placebo_table(compared).iloc[0]
    shown = table.iloc[0]
    assert shown["difference"] == f"{row['difference']:+.2f}"
    days = shown["95% over days (p, Holm)"]
    assert days == f"{row['path_low']:+.2f} to {row['path_high']:+.2f} ({p_text(row['path_corrected'])})"
    assert readable(placebo_table(compared).iloc[:0]).empty
    curve = curve_table(ll.value_of_advice(compared))
    assert list(curve.index) == [("AAA", "right in 100% (hindsight)"), ("BBB", "right in 100% (hindsight)")]
