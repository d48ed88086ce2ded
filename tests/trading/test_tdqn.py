"""`train_tdqn` as its callers see it: results, progress, worker processes, resumption after a kill, bad input."""

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from slow_reference import SlowAgent, evaluate_slowly

from llmrl_lib import metrics
from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading import checkpoint
from llmrl_lib.trading.accounting import simulate
from llmrl_lib.trading.checkpoint import CheckpointError
from llmrl_lib.trading.learner import Group
from llmrl_lib.trading.problem import Problem, prepare
from llmrl_lib.trading.tdqn import train_runs, train_tdqn

SMALL = TdqnSettings(hidden=16, episodes=2, target_period=30)


@pytest.fixture(scope="module")
def bars(golden) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = golden / "drift_up"
    train, test = (
        pd.read_csv(folder / f"bars_{split}.csv", parse_dates=["date"], index_col="date") for split in ("train", "test")
    )
    return train.iloc[:150], test.iloc[:80]


@pytest.fixture(scope="module")
def training(bars):
    return train_tdqn(*bars, seeds=(0, 3), settings=SMALL, device="cpu")


def assert_same(a, b) -> None:
    pd.testing.assert_frame_equal(a.episodes, b.episodes)
    pd.testing.assert_frame_equal(a.trajectories, b.trajectories)
    for name, value in a.weights.items():
        assert np.array_equal(value, b.weights[name]), name


def test_a_training_has_a_row_for_each_episode_and_each_step(training) -> None:
    assert training.episodes[["seed", "episode"]].values.tolist() == [[0, 1], [0, 2], [3, 1], [3, 2]]
    counts = training.trajectories.groupby(["seed", "split"]).size()
    assert counts.to_dict() == {(s, k): n for s in (0, 3) for k, n in (("train", 120), ("test", 50))}
    assert training.weights["fc1.weight"].shape == (2, 16, 117)
    assert set(training.weights) >= {"bn4.running_var", "fc5.bias"}


def test_the_last_episode_is_the_final_policy(training, bars) -> None:
    """Its Sharpe ratio follows from the trajectory, and the trajectory from trading its actions at raw closes."""
    for seed in (0, 3):
        paths, episodes = training.trajectories, training.episodes
        mine = paths[(paths["seed"] == seed) & (paths["split"] == "test")]
        traded = simulate(bars[1], mine["action"].to_numpy())
        np.testing.assert_allclose(traded["equity"], mine["equity"], rtol=1e-12)
        last = episodes[episodes["seed"] == seed].iloc[-1]
        assert last["test_sharpe"] == pytest.approx(metrics.sharpe_ratio(metrics.prepend(mine["daily_return"], 30)))
        wanted = np.where(mine["q_long"] > mine["q_short"], 1, 0)
        assert (wanted == mine["action"]).all()


def test_final_policies_equal_the_slow_evaluation(training, bars) -> None:
    """Row by row with the final weights: observations and accounts made anew from the bars, on both splits."""
    for place, seed in enumerate(training.seeds):
        agent = SlowAgent(117, SMALL)
        agent.load({name: torch.from_numpy(value[place]) for name, value in training.weights.items()})
        for split, frame in zip(("train", "test"), bars, strict=True):
            paths = training.trajectories
            mine = paths[(paths["seed"] == seed) & (paths["split"] == split)]
            slow = evaluate_slowly(agent, frame, bars[0], SMALL)
            assert mine["action"].tolist() == slow["action"], (seed, split)
            np.testing.assert_allclose(mine["equity"], slow["equity"], rtol=1e-12)
            assert mine["row"].tolist() == list(range(30, len(frame)))
            assert mine["date"].tolist() == frame.index[30:].tolist()


def test_worker_processes_change_no_number_and_report_every_episode(training, bars) -> None:
    seen = []
    again = train_tdqn(*bars, seeds=(0, 3), settings=SMALL, device="cpu", workers=2, progress=seen.append)
    assert_same(training, again)
    assert sorted((entry.seed, entry.episode) for entry in seen) == [(0, 1), (0, 2), (3, 1), (3, 2)]
    assert all(entry.episodes == 2 for entry in seen)


def test_several_problems_train_as_they_do_alone(training, bars) -> None:
    guidance = pd.Series(0.5, index=bars[0].index.append(bars[1].index))
    both = train_runs({"plain": Problem(*bars), "guided": Problem(*bars, guidance)}, (0, 3), SMALL, "cpu")
    assert_same(both["plain"], training)
    assert both["guided"].weights["fc1.weight"].shape == (2, 16, 118)


def test_a_seed_may_have_a_problem_of_its_own(bars) -> None:
    dates = bars[0].index.append(bars[1].index)
    each = [Problem(*bars, pd.Series(value, index=dates)) for value in (0.5, -0.5)]
    both = train_runs({"own": each}, (0, 3), SMALL, "cpu")["own"]
    alone = train_runs({"": each[1]}, (3,), SMALL, "cpu")[""]
    assert np.array_equal(both.weights["fc1.weight"][1], alone.weights["fc1.weight"][0])
    with pytest.raises(ValueError, match="own has 2 problems for 1 seeds"):
        train_runs({"own": each}, (0,), SMALL, "cpu")
    with pytest.raises(ValueError, match="no series of guidance"):
        prepare(Problem(*bars, shaping=0.1), SMALL)


def test_a_finished_checkpoint_is_loaded_not_trained(training, bars, tmp_path, monkeypatch) -> None:
    first = train_tdqn(*bars, seeds=(0, 3), settings=SMALL, device="cpu", checkpoint=tmp_path)
    assert_same(first, training)
    with monkeypatch.context() as patch:
        patch.setattr(Group, "advance", None)  # training again would fail
        again = train_tdqn(*bars, seeds=(0, 3), settings=SMALL, device="cpu", checkpoint=tmp_path)
    assert_same(again, training)


KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading import checkpoint, learner, tasks
from llmrl_lib.trading.tdqn import train_tdqn

learner.BLOCK, tasks.SECONDS_BETWEEN_CHECKPOINTS, tasks.WORK_PER_SAVE = 20, 0.0, 0.0
save, saves = checkpoint.save, []

def save_and_die(*what):
    save(*what)
    saves.append(what)
    if len(saves) == 2:  # in mid-run, after a copy to the target
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = save_and_die
bars = [pd.read_csv(name, parse_dates=["date"], index_col="date") for name in sys.argv[2:]]
settings = TdqnSettings(hidden=16, episodes=2, target_period=30)
train_tdqn(*bars, seeds=(0, 3), settings=settings, device="cpu", checkpoint=Path(sys.argv[1]))
"""


def test_killed_and_resumed_equals_unbroken(training, bars, tmp_path) -> None:
    """A process that saves after every 20 steps dies by SIGKILL in mid-run; the call is then made again."""
    files = []
    for name, frame in zip(("train", "test"), bars, strict=True):
        files.append(str(tmp_path / f"{name}.csv"))
        frame.to_csv(files[-1], float_format="%.17g")
    folder = tmp_path / "checkpoints"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), *files], check=False)
    assert done.returncode == -signal.SIGKILL
    with safe_open(folder / "seed-0000.safetensors", "pt") as file:
        assert json.loads(file.metadata()["record"])["step"] == 40 < training.episodes["steps"].iloc[1]
    resumed = train_tdqn(*bars, seeds=(0, 3), settings=SMALL, device="cpu", checkpoint=folder)
    assert_same(resumed, training)


def test_a_checkpoint_of_other_settings_is_refused(bars, tmp_path) -> None:
    train_tdqn(*bars, settings=SMALL, device="cpu", checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="other settings"):
        train_tdqn(*bars, settings=TdqnSettings(hidden=8, episodes=2), device="cpu", checkpoint=tmp_path)


def test_a_damaged_checkpoint_is_named(bars, tmp_path) -> None:
    train_tdqn(*bars, settings=SMALL, device="cpu", checkpoint=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=f"{file.name} is damaged"):
        train_tdqn(*bars, settings=SMALL, device="cpu", checkpoint=tmp_path)


def test_a_disk_that_fills_up_is_named_and_what_was_saved_is_kept(bars, tmp_path, monkeypatch) -> None:
    train_tdqn(*bars, settings=SMALL, device="cpu", checkpoint=tmp_path)
    (saved,) = tmp_path.glob("*.safetensors")
    before = saved.read_bytes()

    def full(_path, _content) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save(saved, {}, {})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(saved))
    assert saved.read_bytes() == before
    assert not list(tmp_path.glob("*.writing"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda train, test: (train.iloc[:30], test), "30 rows.*give 31 or more"),
        (lambda train, test: (train, test.iloc[:1]), "test bars have 1 rows"),
        (lambda train, test: (train.drop(columns="volume"), test), "lack the column 'volume'"),
        (lambda train, test: (train.assign(close=-train["close"]), test), "prices must be positive"),
        (lambda train, test: (train.iloc[::-1], test), "not strictly increasing"),
        (
            lambda train, test: (train, pd.concat([train.iloc[-1:], test])),
            r"begin on (\S+) and the training bars end on \1, not before; .*judged on",
        ),
    ],
)
def test_unusable_bars_are_named(bars, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        train_tdqn(*change(*bars), settings=SMALL, device="cpu")


def test_unusable_guidance_is_named(bars) -> None:
    dates = bars[0].index.append(bars[1].index)
    with pytest.raises(ValueError, match=r"no value for 1 of 150 trading days, first 20\d\d-"):
        train_tdqn(*bars, guidance=pd.Series(0.0, index=dates.delete(7)), settings=SMALL, device="cpu")
    with pytest.raises(ValueError, match=r"is 1.5; it must lie in \[-1, 1\]"):
        train_tdqn(*bars, guidance=pd.Series(1.5, index=dates), settings=SMALL, device="cpu")
    twice = pd.Series(0.0, index=dates.append(dates[:1]))
    with pytest.raises(ValueError, match="two values"):
        train_tdqn(*bars, guidance=twice, settings=SMALL, device="cpu")


def test_seeds_must_be_distinct(bars) -> None:
    with pytest.raises(ValueError, match="each once"):
        train_tdqn(*bars, seeds=(1, 1), settings=SMALL, device="cpu")


def test_a_missing_gpu_is_named(bars) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="no GPU"):
        train_tdqn(*bars, settings=SMALL, device="cuda")


def test_guidance_is_the_observations_last_number(bars) -> None:
    dates = bars[0].index.append(bars[1].index)
    guidance = pd.Series(np.linspace(-1, 1, len(dates)), index=dates)
    prepared = prepare(Problem(*bars, guidance), SMALL)
    assert prepared.test.table[40, 1, -1] == pytest.approx(guidance[bars[1].index[40]])
    assert (prepared.training.table[-1, :, -1] == prepared.training.table[-2, :, -1]).all()


def test_a_warm_start_reads_the_training_tail(bars) -> None:
    """With the cold-start quirk off the first test row is tradable and its window is the training tail."""
    train, test = bars
    settings = TdqnSettings(hidden=16, episodes=1, quirks=Quirks(test_starts_cold=False))
    prepared = prepare(Problem(train, test), settings)
    assert len(prepared.test.closes) - prepared.test.first_row == len(test)
    assert (prepared.test.warm_up, prepared.train.warm_up) == (0, 30)
    assert prepared.test.dates[prepared.test.first_row] == test.index[0]
    trained = train_tdqn(train, test, settings=settings, device="cpu")
    tested = trained.trajectories.query("split == 'test'")
    assert tested["row"].tolist() == list(range(len(test)))


def test_a_warm_start_needs_history_and_guides_test_days_only(bars) -> None:
    train, test = bars
    settings = TdqnSettings(hidden=16, episodes=1, quirks=Quirks(test_starts_cold=False))
    with pytest.raises(ValueError, match=r"a warm start needs 35 training rows before .*there are 34"):
        prepare(Problem(train.iloc[-34:], test), settings)
    dates = train.index.append(test.index)
    guidance = pd.Series(0.5, index=dates)
    prepared = prepare(Problem(train, test, guidance), settings)
    assert (prepared.test.table[:35, :, -1] == 0).all()
    assert (prepared.test.table[35:, :, -1] == 0.5).all()
    with pytest.raises(ValueError, match="no value for 10 of 150"):
        prepare(Problem(train, test, guidance.drop(train.index[-10:])), settings)


def test_integer_like_seeds_are_seeds(training, bars) -> None:
    again = train_tdqn(*bars, seeds=np.array([0, 3]), settings=SMALL, device="cpu")
    assert_same(training, again)


def test_arguments_of_the_wrong_kind_are_named(bars) -> None:
    train, test = bars
    with pytest.raises(ValueError, match=r"seeds is 3; give the seeds themselves, e.g. range\(3\)"):
        train_tdqn(train, test, seeds=3, settings=SMALL)
    with pytest.raises(ValueError, match="device is 'gpu'; choose auto, cpu or cuda"):
        train_tdqn(train, test, settings=SMALL, device="gpu")
    with pytest.raises(ValueError, match="guidance is a ndarray; give a pandas Series"):
        train_tdqn(train, test, guidance=np.zeros(230), settings=SMALL, device="cpu")
    with pytest.raises(ValueError, match="indexed by RangeIndex; index them by date"):
        train_tdqn(train.reset_index(), test, settings=SMALL, device="cpu")
