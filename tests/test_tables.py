"""Tables of a run: published numbers stand only beside what they can be compared with, and facts come from settings."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from llmrl_lib.experiments import Run, open_run, run_suite, tables
from llmrl_lib.settings import Profile, TdqnSettings
from llmrl_lib.trading.classical import best_windows

EMBEDDED = Path(__file__).resolve().parent.parent / "data" / "embedded"


def holding(folder: Path, split: str = "2018-01-01", settings: TdqnSettings | None = None) -> Run:
    """A run of buy and hold on the invented ORVN, once under its own name and once under that of a published stock."""
    data = folder / "data"
    (data / "bars").mkdir(parents=True)
    for name in ("ORVN", "AAPL"):
        shutil.copyfile(EMBEDDED / "bars" / "ORVN.csv", data / "bars" / f"{name}.csv")
    dates = f"train_start = 2012-01-01\nsplit = {split}\nend = 2020-01-01\n"
    (data / "dataset.toml").write_text(f'name = "named"\ntickers = ["ORVN", "AAPL"]\n[benchmark]\n{dates}')
    profile = Profile("test", (0,), settings or TdqnSettings(episodes=1))
    outcome = run_suite(data, None, profile, folder / "run", 1, arms=("buy_and_hold",), notebooks=False)
    assert not outcome.failures
    return open_run(folder / "run")


def test_a_published_name_on_other_dates_is_not_compared(tmp_path: Path) -> None:
    run = holding(tmp_path, split="2017-01-01")
    assert tables.published_by_source(run) == tables.published_sharpe(run, "AAPL") == {}
    assert tables.replication_table(run).empty
    assert tables.classical_table(run).empty
    assert list(tables.left_out(run)) == ["AAPL"]
    assert "AAPL, because split of the dataset is 2017-01-01" in tables.left_out_sentence(run)


def test_a_published_name_under_other_costs_is_not_compared(tmp_path: Path) -> None:
    run = holding(tmp_path, settings=TdqnSettings(episodes=1, cost_rate=0.0))
    assert tables.published_by_source(run) == {}
    assert "the setting cost_rate is not the benchmark's" in tables.left_out_sentence(run)


def test_a_published_name_on_other_prices_is_not_compared(tmp_path: Path) -> None:
    run = holding(tmp_path)
    assert tables.published_by_source(run) == {}
    why = "holding AAPL scores 0.47 here and 1.24 on the benchmark's bars"
    assert why in tables.left_out_sentence(run)
    assert tables.published_sentence(run) == tables.left_out_sentence(run)
    assert "nobody" not in tables.published_sentence(run).lower()
    told = tables.reference_sentence(run)
    assert told.startswith("The reference code was run on other data, or with other settings")
    assert why in told


def test_the_benchmarks_own_bars_are_compared(shared: Path, tmp_path: Path) -> None:
    profile = Profile("test", (0,), TdqnSettings(episodes=1))
    run_suite(shared / "market", ["AAPL"], profile, tmp_path / "run", 1, arms=("buy_and_hold",), notebooks=False)
    run = open_run(tmp_path / "run")
    assert tables.left_out_sentence(run) == ""
    assert tables.published_sentence(run) == "Beside published values stand: AAPL."
    assert tables.published_sharpe(run, "AAPL")["TDQN paper"] == 1.424
    shown = tables.classical_table(run).loc["AAPL", "buy and hold"]
    assert shown["ours"] == shown["reference"] == "1.239"


@pytest.mark.parametrize(("seeds", "shown"), [(1, "-"), (2, "-"), (3, "1.000")])
def test_a_p_value_needs_three_seeds(smoke_run: Path, monkeypatch: pytest.MonkeyPatch, seeds: int, shown: str) -> None:
    ours = pd.DataFrame({"ticker": "ORVN", "arm": "unguided", "sharpe_ratio": [1.0, 2.0, 1.5][:seeds]})
    monkeypatch.setattr(Run, "performance", lambda *_: ours)
    monkeypatch.setattr(tables, "published_by_source", lambda *_: {"a paper, 9 runs": {"ORVN": 1.5}})
    table = tables.replication_table(open_run(smoke_run))
    assert table.loc["ORVN", "p, a paper"] == shown


def test_the_facts_of_a_run_are_those_of_its_settings(tmp_path: Path) -> None:
    settings = TdqnSettings(
        episodes=3, state_length=10, layers=2, hidden=16, gamma=0.9, cost_rate=0.0005, learning_rate=0.002, batch_size=64,
        replay_capacity=5000, target_period=70, epsilon_start=0.5, epsilon_end=0.2, epsilon_decay=300.0, sticky=0.3,
    )  # fmt: skip
    facts = tables.run_table(holding(tmp_path, "2019-01-01", settings), "ORVN")["this run"]
    assert facts["numbers seen each day"] == "37"
    assert facts["hidden layers"] == "2 of 16 units"
    assert facts["discount"] == "0.9, looks about 10.0 days ahead"
    assert facts["cost of a trade"] == "0.05% of its value"
    assert facts["learning rate"] == "0.002 (Adam)"
    assert facts["experiences learned from at a time"] == "64"
    assert facts["experiences remembered"] == "5,000; a step gives two"
    assert facts["steps between copies of the network to the target"] == "70"
    assert facts["random actions"] == "50% at first, towards 20%"
    assert facts["time constant of their decline"] == "300 steps"
    assert facts["previous action repeated"] == "in 30% of all other steps"
    assert (
        facts.str.len().max() <= 50
    )  # the width of a column in pandas unless told otherwise: or the page would cut it
    assert facts["test years"] == "1.0"
    assert facts["standard error of an annual Sharpe ratio over them"] == "about 1.0"


def test_the_windows_of_the_classical_strategies_are_those_that_the_training_years_chose(smoke_run: Path) -> None:
    run = open_run(smoke_run)
    shown = tables.windows_table(run.arms("ORVN"))
    assert list(shown.index) == ["trend following", "mean reversion"]
    for label, rule in (("trend following", "trend_following"), ("mean reversion", "mean_reversion")):
        assert tuple(shown.loc[label]) == best_windows(rule, run.dataset.train_bars("ORVN"))


def test_a_run_without_a_published_name_says_so(smoke_run: Path) -> None:
    run = open_run(smoke_run)
    assert tables.published_sentence(run).startswith("Nobody has published results for a ticker of this run")
    assert tables.reference_sentence(run) == "The reference code was run on none of these tickers."


def test_a_sentence_stands_where_a_table_has_no_rows() -> None:
    full = pd.DataFrame({"a": [1]})
    assert tables.or_sentence(full, "none") is full
    assert tables.or_sentence(full.iloc[:0], "none").data == "none"
    assert tables.or_sentence(None, "no figure").data == "no figure"


def test_the_main_arms_are_those_that_figures_can_draw_side_by_side(smoke_run: Path) -> None:
    main = tables.main_arms(open_run(smoke_run).arms("ORVN"))
    learned = ["unguided", "guided", "llm_only"]
    assert list(main) == [*learned, "buy_and_hold", "sell_and_hold", "trend_following", "mean_reversion"]
