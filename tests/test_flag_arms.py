"""FLAG-Trader and its controls as arms of a run, and the tables that notebook 07 shows of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flag_models import SMALL, checkpoint

import llmrl_lib as ll
from llmrl_lib.experiments.arms import run_arm
from llmrl_lib.experiments.auditing import case_of
from llmrl_lib.experiments.flag_arms import FLAG_ARMS
from llmrl_lib.experiments.runs import Run, start_run
from llmrl_lib.settings import FlagTraderSettings, Profile, TdqnSettings

EMBEDDED = Path(__file__).resolve().parent.parent / "data" / "embedded"
TDQN = TdqnSettings(cash=50_000.0, cost_rate=0.002)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    place = checkpoint(tmp_path_factory.mktemp("models"))
    flag_trader = replace(SMALL, backbone=place, steps=40, evaluations=1, train_days=25)
    return Profile("test", (0, 1), TDQN, FLAG_ARMS, flag_trader=flag_trader)


@pytest.fixture(scope="module")
def run(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, dataset = tmp_path_factory.mktemp("runs") / "flags", ll.load_dataset(EMBEDDED)
    run = start_run(folder, dataset, profile, ["ORVN"])
    for arm in (*FLAG_ARMS, "buy_and_hold"):
        run_arm(dataset, "ORVN", arm, profile, folder / "ORVN" / arm)
    return run


def test_every_arm_is_whole_and_pays_the_costs_of_the_run(run: Run) -> None:
    arms = run.arms("ORVN")
    assert set(arms) == {*FLAG_ARMS, "buy_and_hold"}
    for name in FLAG_ARMS:
        arm, settings = arms[name], ll.flag_tables.flag_settings_of(arms[name])
        assert (settings.cash, settings.cost_rate, settings.random_weights) == (
            50_000.0,
            0.002,
            name == "flag_trader_random",
        )
        dates = arm.trajectories.query("split == 'test' and seed == 0")["date"]
        assert dates.tolist() == arms["buy_and_hold"].trajectories.query("split == 'test'")["date"].tolist()
        assert np.isfinite(arm.performance["sharpe_ratio"]).all()
        assert not arm.learned  # it has no values of long and short
        seeds = [0] if name == "flag_trader_untrained" else [0, 1]
        assert sorted(arm.performance["seed"].unique()) == seeds
        if name != "flag_trader_untrained":
            assert arm.weights()
            assert len(arm.episodes) == 2
        assert not (arm.folder / "checkpoints").exists()


def test_a_finished_arm_is_read_and_one_of_other_settings_refused(run: Run, profile: Profile) -> None:
    dataset, folder = ll.load_dataset(EMBEDDED), run.path / "ORVN" / "flag_trader"
    written = (folder / "manifest.json").read_bytes()
    run_arm(dataset, "ORVN", "flag_trader", profile, folder)
    assert (folder / "manifest.json").read_bytes() == written
    other = replace(profile, flag_trader=replace(profile.flag_trader, gamma=0.5))
    with pytest.raises(ll.ExperimentError, match=r"made with flag_trader.gamma = 0.95, and 0.5 is asked for"):
        run_arm(dataset, "ORVN", "flag_trader", other, folder)


def test_the_tables_of_the_notebook(run: Run) -> None:
    tables = ll.flag_tables
    assert tables.flag_tickers(run) == ["ORVN"]
    table = tables.flag_table(run)
    assert ("ORVN", "FLAG-Trader") in table.index
    assert table.loc[("ORVN", "FLAG-Trader, untrained"), "seeds"] == "1"
    compared = tables.compared(run)
    assert compared["base"].tolist() == ["flag_trader_untrained", "flag_trader_random", "ppo_numbers", "buy_and_hold"]
    own = run.arms("ORVN")["flag_trader"].performance.query("split == 'test'")["sharpe_ratio"].mean()
    assert compared["mean"].tolist() == pytest.approx([own] * 4)
    said = compared.dropna(subset=["p_value"])
    assert (said["corrected"] >= said["p_value"]).all()
    changed = tables.settings_table(run.arms("ORVN")["flag_trader"])
    assert changed.loc["steps"].tolist() == ["40", str(FlagTraderSettings().steps)]
    assert "gamma" not in changed.index
    state = tables.example_state(run, "ORVN")
    assert state.endswith("legal: hold, buy\naction:")
    assert "return_week_1: " in state


def test_what_a_sceptic_asks_is_answered_from_the_paths(run: Run) -> None:
    checks = ll.flag_tables.checks_table(run, "ORVN")
    sound = ["no text knows its own day or a later one", "the account follows from the orders"]
    assert checks.loc[[*sound, "illegal orders have probability 0"], "mark"].tolist() == ["pass"] * 3
    arm = run.arms("ORVN")["flag_trader"]
    forged = arm.trajectories.copy()
    forged["equity"] *= np.linspace(1.0, 1.1, len(forged))
    again = replace(arm, folder=arm.folder)
    again.__dict__["trajectories"] = forged
    fake = type("Fake", (), {"dataset_of": run.dataset_of, "arms": lambda _, __: {"flag_trader": again}})()
    assert ll.flag_tables.checks_table(fake, "ORVN").loc["the account follows from the orders", "mark"] == "fail"


def test_the_audit_of_the_dqn_leaves_other_orders_alone(run: Run) -> None:
    assert set(case_of(run, "ORVN").arms) == {"buy_and_hold"}


def test_published_figures_say_who_was_better() -> None:
    table = ll.flag_tables.published_table()
    assert table.index[table["better"] == "buy and hold"].tolist() == ["UVV"]
