"""Training FLAG-Trader: frozen means frozen, killed and resumed equals unbroken, and the controls that stand beside it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from flag_models import SMALL, both, checkpoint

import llmrl_lib as ll
from llmrl_lib.metrics import prepend, sharpe_ratio
from llmrl_lib.settings import FlagTraderSettings, SettingsError
from llmrl_lib.trading import tasks
from llmrl_lib.trading.accounting import open_account
from llmrl_lib.trading.checkpoint import CheckpointError
from llmrl_lib.trading.flag_trader import training
from llmrl_lib.trading.flag_trader.backbone import Backbone
from llmrl_lib.trading.flag_trader.learner import Group
from llmrl_lib.trading.flag_trader.numbers import NumbersEnv, agent_of, among_legal, standardised, train_on_numbers
from llmrl_lib.trading.flag_trader.prompted import prompt_flag_trader
from llmrl_lib.trading.flag_trader.text import markets
from llmrl_lib.trading.flag_trader.training import FlagProblem, laid_out, policy_on, train_flag_runs
from llmrl_lib.trading.orders import order

PATHS = ["equity", "action", "p_sell", "p_hold", "p_buy"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> FlagTraderSettings:
    return replace(SMALL, backbone=checkpoint(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def trained(settings: FlagTraderSettings) -> training.FlagTraining:
    return ll.train_flag_trader(*both(), seeds=(0, 1), settings=settings, device="cpu")


def group_of(settings: FlagTraderSettings, seeds: tuple[int, ...] = (0, 1)) -> tuple[Group, Backbone]:
    runs, lanes, texts = laid_out({"": FlagProblem(*both())}, list(seeds), settings)
    backbone = Backbone(settings, torch.device("cpu"))
    return Group(lanes, [seed for _, seed in runs], settings, backbone, policy_on(backbone, texts, settings)), backbone


@pytest.mark.parametrize("train", [train_flag_runs, train_on_numbers, prompt_flag_trader])
def test_settings_of_another_learner_are_one_sentence(train: Callable[..., object]) -> None:
    problem = FlagProblem(*both())
    with pytest.raises(
        SettingsError, match=r"settings is of type TdqnSettings; give FlagTraderSettings\(...\), or None"
    ):
        train({"": problem} if train is train_flag_runs else problem, settings=ll.TdqnSettings())


@pytest.mark.parametrize("rank", [0, 4])
def test_frozen_parameters_do_not_change_by_one_bit_and_the_others_do(settings: FlagTraderSettings, rank: int) -> None:
    group, backbone = group_of(replace(settings, lora_rank=rank))
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    frozen = {name: value.clone() for name, value in group._frozen.items()}
    learning = {name: value.detach().clone() for name, value in group.weights.items()}
    while group.advance():
        pass
    assert all(torch.equal(before[name], value) for name, value in backbone.model.state_dict().items())
    assert all(torch.equal(frozen[name], value) for name, value in group._frozen.items())
    assert not any(torch.equal(learning[name], value) for name, value in group.weights.items())
    top = {name for name in group.weights if name.startswith("layers.")}
    assert all(name.startswith("layers.2.") for name in top)  # of three layers the last one
    assert bool(frozen) is bool(rank)


def test_killed_and_resumed_is_unbroken(
    settings: FlagTraderSettings, trained: training.FlagTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)  # after every rollout
    monkeypatch.setattr(tasks, "WORK_PER_SAVE", 0.0)
    advance, calls = Group.advance, []

    def killed(group: Group, listen: object = None) -> bool:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(group.rollout)
        return advance(group, listen)

    monkeypatch.setattr(Group, "advance", killed)
    with pytest.raises(KeyboardInterrupt):
        ll.train_flag_trader(*both(), seeds=(0, 1), settings=settings, device="cpu", checkpoint=tmp_path)
    monkeypatch.setattr(Group, "advance", advance)
    told: list[tuple[int, int]] = []
    again = ll.train_flag_trader(
        *both(), seeds=(0, 1), settings=settings, device="cpu", checkpoint=tmp_path,
        progress=lambda one: told.append((one.seed, one.episode)),
    )  # fmt: skip
    assert calls == [0, 1, 2]
    assert told == [(0, 1), (1, 1), (0, 2), (1, 2)]  # evaluations before the kill are told again
    pd.testing.assert_frame_equal(again.trajectories, trained.trajectories)
    pd.testing.assert_frame_equal(again.episodes, trained.episodes)
    assert all(np.array_equal(again.weights[name], value) for name, value in trained.weights.items())
    other = replace(settings, gamma=0.5)
    with pytest.raises(CheckpointError, match="made with other settings"):
        ll.train_flag_trader(*both(), seeds=(0, 1), settings=other, device="cpu", checkpoint=tmp_path)


def test_a_seed_learns_the_same_beside_others_and_alone(
    settings: FlagTraderSettings, trained: training.FlagTraining
) -> None:
    alone = ll.train_flag_trader(*both(), seeds=(1,), settings=settings, device="cpu")
    beside = trained.trajectories[trained.trajectories["seed"] == 1].reset_index(drop=True)
    np.testing.assert_allclose(alone.trajectories[PATHS], beside[PATHS], rtol=1e-4)
    assert not np.allclose(trained.weights["policy.weight"][0], trained.weights["policy.weight"][1])


def test_parts_of_a_minibatch_sum_to_the_whole(settings: FlagTraderSettings) -> None:
    found = []
    for parts in (1, 4):
        group, _ = group_of(replace(settings, accumulation=parts))
        group.advance()
        found.append({name: value.detach().clone() for name, value in group.weights.items()})
    assert all(torch.allclose(found[0][name], value, atol=2e-5) for name, value in found[1].items())


def test_without_the_cache_training_ends_in_the_same_weights(settings: FlagTraderSettings) -> None:
    problem, short = {"": FlagProblem(*both())}, replace(settings, steps=40, evaluations=1)
    fast, slow = (train_flag_runs(problem, (0, 1), short, "cpu", cached=cached)[""] for cached in (True, False))
    for name, value in fast.weights.items():
        np.testing.assert_allclose(value, slow.weights[name], atol=1e-5)


def test_paths_are_those_of_the_orders_and_illegal_ones_have_probability_0(trained: training.FlagTraining) -> None:
    closes = both()[1]["close"].to_numpy()
    for seed in (0, 1):
        path = trained.trajectories[(trained.trajectories["seed"] == seed) & (trained.trajectories["split"] == "test")]
        assert len(path) == 20
        account = open_account(100_000.0, np.zeros(1))
        for row, step in zip(path["row"], path.itertuples(), strict=True):
            held = account.position[0] == 1
            assert step.p_sell == 0.0 if not held else step.p_buy == 0.0
            assert step.p_sell + step.p_hold + step.p_buy == pytest.approx(1.0)
            account = order(account, np.array([step.action]), closes[[row]], closes[[row - 1]]).account
            assert step.equity == account.equity[0]
        last = trained.episodes[trained.episodes["seed"] == seed].iloc[-1]
        expected = sharpe_ratio(prepend(path["daily_return"].to_numpy()[None], 30))[0]
        assert last["test_sharpe"] == pytest.approx(expected)
        assert last["steps"] == 80


def test_each_seed_may_have_its_own_problem(settings: FlagTraderSettings) -> None:
    train, test = both()
    notes = pd.Series("it rises", train.index.append(test.index))
    problems = [FlagProblem(train, test, training.Told(notes=notes)), FlagProblem(train, test)]
    found = train_flag_runs({"mixed": problems, "plain": problems[1]}, (0, 1), replace(settings, evaluations=1), "cpu")
    a, b = (found[name].trajectories.query("seed == 1")[PATHS] for name in ("mixed", "plain"))
    np.testing.assert_allclose(a, b, rtol=1e-4)
    with pytest.raises(ValueError, match="mixed has 2 problems for 3 seeds"):
        train_flag_runs({"mixed": problems}, (0, 1, 2), settings, "cpu")
    for seeds, what in ((2, "give the seeds themselves"), ((1, 1), "each once"), ((), "at least one")):
        with pytest.raises(ValueError, match=what):
            train_flag_runs({"": problems[1]}, seeds, settings, "cpu")


def test_several_environments_walk_side_by_side(settings: FlagTraderSettings) -> None:
    group, _ = group_of(replace(settings, environments=3, steps=120))
    assert group.settings.rollouts == 2
    rollout = group._walk_on()
    assert rollout.texts.shape == (2, 60)
    assert len(np.unique(group.accounts.row)) > 1


def test_the_untrained_backbone_is_one_account(settings: FlagTraderSettings) -> None:
    prompted = prompt_flag_trader(FlagProblem(*both()), settings, "cpu")
    assert len(prompted.episodes) == 0
    assert prompted.seeds == (0,)
    again = prompt_flag_trader(FlagProblem(*both()), settings, "cpu")
    pd.testing.assert_frame_equal(prompted.trajectories, again.trajectories)


def test_numbers_alone_train_on_what_the_text_shows(settings: FlagTraderSettings) -> None:
    from stable_baselines3.common.env_checker import check_env

    train, test = markets(*both(), settings)
    tables = standardised(train, test)
    own = tables[0][train.first_row :]
    assert np.abs(own.mean(0)).max() < 1e-9
    changed = test._replace(numbers=test.numbers + 5.0)  # test days do not set the scale
    assert np.array_equal(standardised(train, changed)[0], tables[0])
    check_env(NumbersEnv(train, tables[0], settings))
    agent = agent_of(train, tables[0], 0, replace(settings, environments=3, minibatch=32, evaluations=1))
    assert (agent.batch_size, agent.vf_coef, agent.n_envs) == (32, 0.25, 3)
    found = train_on_numbers(FlagProblem(*both()), (0, 1), settings)
    paths = found.trajectories
    np.testing.assert_allclose(paths[["p_sell", "p_hold", "p_buy"]].sum(axis=1), 1.0)
    assert ((paths["p_sell"] == 0.0) | (paths["p_buy"] == 0.0)).all()
    assert found.episodes["steps"].tolist() == [80.0, 80.0]
    again = train_on_numbers(FlagProblem(*both()), (1,), settings)
    one = found.trajectories.query("seed == 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(one, again.trajectories)


def test_numbers_walk_in_several_environments(settings: FlagTraderSettings) -> None:
    several = replace(settings, environments=2, evaluations=1)
    found = train_on_numbers(FlagProblem(*both()), (0,), several)
    assert found.episodes["steps"].tolist() == [80.0]
    alone = train_on_numbers(FlagProblem(*both()), (0,), settings)
    assert not np.array_equal(found.weights["value_net.weight"], alone.weights["value_net.weight"])


def test_probabilities_are_those_among_the_legal_orders() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.2, 0.3], [0.5, 0.2, 0.3]]))
    found = among_legal(logits, np.array([[False, True, True], [True, True, True]]))
    np.testing.assert_allclose(found, [[0.0, 0.4, 0.6], [0.5, 0.2, 0.3]])


def test_a_run_that_becomes_no_number_says_which(settings: FlagTraderSettings) -> None:
    group, _ = group_of(settings, (3, 8))
    group.advance()
    with torch.no_grad():
        group.weights["value.weight"][1] = torch.nan
    with pytest.raises(FloatingPointError, match=r"seed 8 became no number in rollout 2 of 4"):
        group.advance()
    with torch.no_grad():
        group.weights["policy.weight"][1] = torch.nan
    with pytest.raises(FloatingPointError, match="run 1 are no finite numbers"):
        group.final()


def test_training_figures_are_not_diluted_by_days_that_were_left_out(settings: FlagTraderSettings) -> None:
    found = ll.train_flag_trader(*both(), settings=replace(settings, train_days=25, evaluations=1), device="cpu")
    path = found.trajectories.query("split == 'train'")
    assert len(path) == 25
    expected = sharpe_ratio(prepend(path["daily_return"].to_numpy()[None], 30))[0]  # as if those days were all
    assert found.episodes["train_sharpe"].tolist() == [pytest.approx(expected)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
def test_a_gpu_ends_close_to_the_cpu(settings: FlagTraderSettings, trained: training.FlagTraining) -> None:
    exact = replace(settings, precision="float32")
    found = ll.train_flag_trader(*both(), seeds=(0, 1), settings=exact, device="cuda")
    assert found.device == "cuda"
    np.testing.assert_allclose(found.weights["value.weight"], trained.weights["value.weight"], atol=1e-3)
