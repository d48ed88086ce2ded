"""The page of recorded results, from a made-up recorded run whose figures are known."""

import json

import numpy as np
import pandas as pd
import tomlkit

from llmrl_lib.book.recorded import recorded_page
from llmrl_lib.settings import FlagTraderSettings, TdqnSettings, to_table

SEEDS = 4


def record(folder, sharpe, precision="float32", positions=None) -> None:
    """A recorded run of one ticker with the given test Sharpe ratios, one a seed."""
    tdqn = to_table(TdqnSettings(precision=precision))
    about = {"dataset": "x", "profile": "paper", "tickers": ["AAPL"], "dataset_name": "x"}
    arms = {"unguided": sharpe, "buy_and_hold": [1.239]}
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(tomlkit.dumps({**about, "seeds": len(sharpe), "tdqn": tdqn}), "utf-8")
    for arm, values in arms.items():
        place = folder / "AAPL" / arm
        place.mkdir(parents=True)
        rows = {"seed": range(len(values)), "split": "test", "sharpe_ratio": values, "benchmark_max_drawdown": 0.25}
        rows |= {"max_drawdown": 0.25}
        pd.DataFrame(rows).to_csv(place / "performance.csv", index=False)
        episodes = [
            {"seed": seed, "episode": episode, "test_sharpe": value + (episode > 25)}
            for seed, value in enumerate(values)
            for episode in range(1, 51)
        ]
        pd.DataFrame(episodes).to_csv(place / "metrics.csv", index=False)
        manifest = {
            "ticker": "AAPL",
            "arm": arm,
            "device": "cpu",
            "seconds": 7200.0,
            "commit": "c" * 40,
            "dataset_hash": "h",
        }
        (place / "manifest.json").write_text(json.dumps({**manifest, "versions": {"torch": "2.13.0"}}), "utf-8")
        held = np.ones((len(values), 100), int) if positions is None else positions
        decisions = [{"seed": seed, "position": side} for seed, path in enumerate(held) for side in path]
        pd.DataFrame(decisions).to_csv(place / "decisions.csv.gz", index=False)


def test_ours_stands_beside_every_published_figure(tmp_path) -> None:
    positions = np.ones((SEEDS, 100), int)
    positions[0, :4] = -1  # nearly constant
    positions[1, :50] = -1
    record(tmp_path / "study", [1.0, 1.2, 1.4, 1.6], positions=positions)
    page = recorded_page(tmp_path)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    rows = {row[0]: row[1:] for row in cells}
    assert rows["this suite"][:3] == ["4", "1.30 (0.26)", "0.25 (0.00)"]
    assert rows["the reference code"][:2] == ["6", "1.23 (0.23)"]
    assert rows["the reference code"][3].startswith("difference +0.07 [")
    assert rows["TDQN paper"][1] == "1.424"
    assert rows["its replication, appendix E"][1] == "1.19 (0.55)"
    assert rows["buy and hold"][1] == "1.239"
    assert "50% of the runs were long on every test day, 0% short on every day, and 75% held one side" in page
    assert "2.0 hours of training, summed over runs" in page
    assert rows["buy and hold"][3] == "one-sample t, p 0.67"  # t = 0.061 / (0.258 / 2), three degrees of freedom


def test_precisions_are_compared_where_nothing_else_differs(tmp_path) -> None:
    record(tmp_path / "exact", [1.0, 1.2, 1.4, 1.6])
    record(tmp_path / "narrow", [1.1, 1.3, 1.5, 1.7], precision="bfloat16")
    page = recorded_page(tmp_path)
    assert "## Products in bfloat16" in page
    assert "| AAPL, final policies | 1.30 (0.26), n 4 | 1.40 (0.26), n 4 | -0.10 [" in page
    assert "| AAPL, mean of the later half of episodes | 2.30 (0.26), n 4 | 2.40 (0.26), n 4 | -0.10 [" in page
    assert page.count("## AAPL") == 1


def test_the_published_tables_part_on_several_stocks(tmp_path) -> None:
    """Google's replication (-0.54, sd 0.59, 25 runs) cannot have the paper's mean of 0.227: t = -6.5."""
    record(tmp_path / "study", [1.0, 1.2])
    page = recorded_page(tmp_path)
    part = page[page.index("## Where the published tables part") :]
    assert "| GOOGL | 0.227 | -0.54 (0.59) | under 0.001 | 0.00 |" in part
    assert "| SPY |" not in part


def test_without_records_there_is_only_what_was_published(tmp_path) -> None:
    page = recorded_page(tmp_path)
    assert "## AAPL" not in page
    assert "Where the published tables part" in page


def test_the_page_names_no_path_of_this_machine(tmp_path) -> None:
    record(tmp_path / "study", [1.0, 1.2])
    assert str(tmp_path) not in recorded_page(tmp_path)


def record_flag(folder, arms: dict[str, list[float]], bars: str = "h") -> None:
    """A recorded run of FLAG-Trader and what stands beside it, by arm: the test Sharpe ratios of its seeds."""
    about = {"dataset": "", "profile": "flag", "tickers": ["AAPL"], "dataset_name": "x", "seeds": SEEDS}
    settings = {"flag_trader": to_table(FlagTraderSettings(backbone="a/b/tiny-model"))}
    for arm, values in arms.items():
        place = folder / "AAPL" / arm
        place.mkdir(parents=True)
        (folder / "run.toml").write_text(tomlkit.dumps({**about, "tdqn": to_table(TdqnSettings())}), "utf-8")
        (place / "settings.toml").write_text(tomlkit.dumps(settings), "utf-8")
        rows = {"seed": range(len(values)), "split": "test", "sharpe_ratio": values, "max_drawdown": 0.25}
        table = pd.DataFrame(rows).assign(profit_and_loss=50_000.0, annual_volatility=0.2)
        table.to_csv(place / "performance.csv", index=False)
        manifest = {"ticker": "AAPL", "arm": arm, "device": "cpu", "commit": "d" * 40 + "+", "dataset_hash": bars}
        (place / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def test_a_flag_trader_run_stands_beside_its_controls_and_agents_of_the_same_bars(tmp_path) -> None:
    record(tmp_path / "agents", [1.0, 1.2])
    record_flag(tmp_path / "flag", {"flag_trader": [1.0, 2.0, 3.0, 4.0], "buy_and_hold": [1.0]})
    page = recorded_page(tmp_path)
    part = page[page.index("## FLAG-Trader: AAPL") : page.index("## Where the published tables part")]
    assert "on the backbone tiny-model" in part
    assert "commit `dddddddddddd+`" in part
    assert "| AAPL | FLAG-Trader | 4 | 50.0% (0.0%) | 2.50 (1.29) |" in part
    assert (
        "| AAPL | buy and hold | +1.50 [-0.55, 3.55] | 0.1 |  |" in part
    )  # t = 1.5 / (1.29 / 2), three degrees of freedom
    assert "| AAPL | TDQN, unguided (agents) | 2 | 1.10 (0.14) |" in part
    assert page.count("## AAPL") == 1  # the agents' own section alone


def test_agents_of_other_bars_do_not_stand_beside_flag_trader(tmp_path) -> None:
    record(tmp_path / "agents", [1.0, 1.2])
    record_flag(tmp_path / "flag", {"flag_trader": [1.0, 2.0]}, bars="other")
    assert "Agents of other recorded runs" not in recorded_page(tmp_path)
