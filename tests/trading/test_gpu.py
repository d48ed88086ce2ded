"""The same numbers from a GPU: the lock-step group, its captured graph, and resumption. Skipped where there is none."""

import numpy as np
import pandas as pd
import pytest
import torch

from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.learner import BLOCK, Group
from llmrl_lib.trading.problem import Prepared, Problem, prepare
from llmrl_lib.trading.tdqn import train_tdqn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
SMALL = TdqnSettings(hidden=32, episodes=8, dropout=0.0)


@pytest.fixture(scope="module")
def bars(golden) -> list[pd.DataFrame]:
    folder = golden / "jumpy"
    return [
        pd.read_csv(folder / f"bars_{split}.csv", parse_dates=["date"], index_col="date") for split in ("train", "test")
    ]


@pytest.fixture(scope="module")
def prepared(bars) -> Prepared:
    return prepare(Problem(*bars), SMALL)


def advance(group: Group, steps: int) -> None:
    while group.step < steps:
        group.advance(limit=min(BLOCK, steps - group.step))


def test_gpu_equals_cpu_without_dropout(prepared) -> None:
    """In float64, where rounding does not grow; dropout bits come from the device and are left out."""
    groups = [Group((prepared,) * 3, [0, 1, 2], SMALL, device, dtype=torch.float64) for device in ("cpu", "cuda")]
    for group in groups:
        advance(group, BLOCK)
    cpu, gpu = groups
    assert torch.equal(cpu._replay_action, gpu._replay_action.cpu())
    torch.testing.assert_close(cpu._replay_reward, gpu._replay_reward.cpu(), rtol=1e-9, atol=1e-12)
    for name, value in cpu.network.parameters.items():
        torch.testing.assert_close(gpu.network.parameters[name].cpu(), value, rtol=0, atol=1e-7)


def test_the_captured_step_equals_the_plain_one(prepared) -> None:
    settings = TdqnSettings(hidden=32, episodes=8)
    captured, plain = (Group((prepared,) * 4, [0, 1, 2, 3], settings, "cuda") for _ in range(2))
    advance(captured, BLOCK + 300)
    assert captured._graph is not None
    advance(plain, BLOCK)
    plain._graph = None
    advance(plain, BLOCK + 300)
    assert torch.equal(captured._replay_action, plain._replay_action)
    for name, value in plain.network.parameters.items():
        torch.testing.assert_close(captured.network.parameters[name], value, rtol=0, atol=2e-3)


def test_eight_seeds_together_equal_the_same_alone(prepared) -> None:
    settings = TdqnSettings(hidden=32, episodes=8)
    together = Group((prepared,) * 8, list(range(8)), settings, "cuda", dtype=torch.float64)
    advance(together, 300)
    for place in range(8):
        alone = Group((prepared,), [place], settings, "cuda", dtype=torch.float64)
        advance(alone, 300)
        assert torch.equal(together._replay_action[place, :300], alone._replay_action[0, :300])
        for name, value in alone.network.parameters.items():
            torch.testing.assert_close(together.network.parameters[name][place], value[0], rtol=0, atol=1e-7)


def test_resumed_equals_unbroken(bars, tmp_path, monkeypatch) -> None:
    from llmrl_lib.trading import tasks

    settings = TdqnSettings(hidden=32, episodes=6)
    unbroken = train_tdqn(*bars, seeds=(0, 1), settings=settings, device="cuda")
    monkeypatch.setattr(tasks, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    seen = []

    def stop(progress) -> None:
        seen.append(progress)
        if len(seen) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("llmrl_lib.trading.learner.FIGURES_AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        train_tdqn(*bars, seeds=(0, 1), settings=settings, device="cuda", checkpoint=tmp_path, progress=stop)
    resumed = train_tdqn(*bars, seeds=(0, 1), settings=settings, device="cuda", checkpoint=tmp_path)
    np.testing.assert_allclose(resumed.episodes["test_sharpe"], unbroken.episodes["test_sharpe"], atol=0.2)
    assert (resumed.episodes["steps"] == unbroken.episodes["steps"]).all()
