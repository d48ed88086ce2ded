"""FLAG-Trader and its controls as arms of a run, and the tables that notebook 07 shows of them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from flag_models import SMALL, checkpoint

import llmrl_lib as ll
from llmrl_lib.evidence.published_flag_trader import SETTINGS
from llmrl_lib.experiments import run_suite
from llmrl_lib.experiments.arms import run_arm
from llmrl_lib.experiments.auditing import case_of
from llmrl_lib.experiments.flag_arms import FLAG_ARMS, flag_settings
from llmrl_lib.experiments.runs import Run, start_run
from llmrl_lib.language.chat import UnknownModelError
from llmrl_lib.settings import FlagTraderSettings, Profile, Quirks, TdqnSettings
from llmrl_lib.trading.flag_trader import text
from llmrl_lib.trading.flag_trader.files import files_hash

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


def marks_of(run: Run, paths: pd.DataFrame) -> dict[str, str]:
    """Marks of the checks, had the policy left these paths."""
    arm = replace(run.arms("ORVN")["flag_trader"])
    arm.__dict__["trajectories"] = paths
    other = SimpleNamespace(dataset_of=run.dataset_of, arms=lambda _: {"flag_trader": arm})
    return ll.flag_tables.checks_table(other, "ORVN")["mark"].to_dict()


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
        assert sorted(arm.performance["seed"].unique()) == seeds == arm.manifest["seeds"]
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
    assert changed.loc["steps"].tolist() == ["40", "13860", "13860"]
    assert changed.loc["backbone", "published"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert changed.loc["train_days"].tolist() == ["25", "0", ""]  # the paper leaves it open
    assert "gamma" not in changed.index
    state = tables.example_state(run, "ORVN")
    assert state.endswith("legal: hold, buy\naction:")
    assert "return_week_1: " in state


def test_what_a_sceptic_asks_is_answered_from_the_paths(run: Run) -> None:
    checks = ll.flag_tables.checks_table(run, "ORVN")
    sound = ["no text knows its own day or a later one", "the account follows from the orders"]
    assert checks.loc[[*sound, "illegal orders have probability 0"], "mark"].tolist() == ["pass"] * 3
    arm = run.arms("ORVN")["flag_trader"]
    dearer = arm.trajectories["equity"] * np.linspace(1.0, 1.1, len(arm.trajectories))
    forged = marks_of(run, arm.trajectories.assign(equity=dearer))
    assert forged["the account follows from the orders"] == "fail"


def test_an_order_that_cannot_be_carried_out_is_found_in_a_path(run: Run) -> None:
    paths = run.arms("ORVN")["flag_trader"].trajectories.copy()
    first = paths.index[(paths["split"] == "test") & (paths["seed"] == 1)][0]
    assert paths.loc[first, "p_sell"] == 0.0  # it holds nothing yet
    paths.loc[first, "p_sell"] = 1e-9
    assert marks_of(run, paths)["illegal orders have probability 0"] == "fail"


def test_a_text_that_knows_its_own_close_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = text.shown_numbers

    def leaking(bars: pd.DataFrame, settings: FlagTraderSettings) -> np.ndarray:
        known = shown(bars, settings)
        known[:, 0] = np.log(bars["close"].to_numpy())  # of its own day; a bar that is cut off takes its text along
        return known

    question = "no text knows its own day or a later one"
    paths = run.arms("ORVN")["flag_trader"].trajectories
    assert marks_of(run, paths)[question] == "pass"
    monkeypatch.setattr(text, "shown_numbers", leaking)
    assert marks_of(run, paths)[question] == "fail"


def test_the_accounts_of_a_run_are_those_of_its_other_arms(profile: Profile, tmp_path: Path) -> None:
    quirks = Quirks(margin_from_previous_close=False)
    tdqn = replace(TDQN, short_margin=0.3, quirks=quirks)
    settings = flag_settings("flag_trader", replace(profile, tdqn=tdqn))
    assert (settings.short_margin, settings.quirks, settings.cash) == (0.3, quirks, 50_000.0)
    warm = replace(profile, tdqn=replace(TDQN, quirks=Quirks(test_starts_cold=False)))
    with pytest.raises(ll.ExperimentError, match=r"test_starts_cold = false the other arms begin at the first"):
        flag_settings("flag_trader", warm)
    with pytest.raises(ll.ExperimentError, match="test_starts_cold = false"):
        run_suite(EMBEDDED, ["ORVN"], warm, tmp_path / "run", arms=["buy_and_hold", "ppo_numbers"])
    assert not (tmp_path / "run").exists()  # before any work


def test_a_folder_of_other_weights_is_refused(run: Run, profile: Profile) -> None:
    dataset, weights = ll.load_dataset(EMBEDDED), Path(profile.flag_trader.backbone) / "model.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[:-4] + b"\0\0\0\0")
        for arm in ("flag_trader", "flag_trader_untrained"):
            with pytest.raises(ll.ExperimentError, match="made with backbone_files = "):
                run_arm(dataset, "ORVN", arm, profile, run.path / "ORVN" / arm)
        run_arm(dataset, "ORVN", "ppo_numbers", profile, run.path / "ORVN" / "ppo_numbers")  # it reads no text
    finally:
        weights.write_bytes(kept)
    run_arm(dataset, "ORVN", "flag_trader", profile, run.path / "ORVN" / "flag_trader")


def test_a_checkpoint_is_named_by_its_files_or_by_the_commit_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "model"
    with pytest.raises(UnknownModelError, match="neither a folder nor a model"):
        files_hash(str(place))
    place.mkdir()
    with pytest.raises(UnknownModelError, match="holds no model"):
        files_hash(str(place))
    (place / "model.safetensors").write_bytes(b"weights")
    first = files_hash(str(place))
    (place / "tokenizer.json").write_text("{}")
    assert len({first, files_hash(str(place)), files_hash("nano")}) == 3
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda _, file: f"/cache/snapshots/0abc/{file}")
    assert files_hash("somebody/model") == "commit 0abc"


def test_training_figures_of_the_newest_days_are_not_diluted(run: Run) -> None:
    arm = run.arms("ORVN")["flag_trader"]
    logged = arm.episodes.set_index("seed")["train_sharpe"]
    written = arm.performance.query("split == 'train'").set_index("seed")["sharpe_ratio"]
    assert len(arm.trajectories.query("split == 'train' and seed == 0")) == 25
    np.testing.assert_allclose(written, logged)


def test_the_audit_of_the_dqn_leaves_other_orders_alone(run: Run) -> None:
    assert set(case_of(run, "ORVN").arms) == {"buy_and_hold"}


def test_published_figures_say_who_was_better() -> None:
    defaults = {name: getattr(FlagTraderSettings(), name) for name in SETTINGS}
    assert {name for name, value in SETTINGS.items() if defaults[name] != value} == {"backbone"}
    table = ll.flag_tables.published_table()
    assert table.index[table["better"] == "buy and hold"].tolist() == ["UVV"]
