"""`train_tdqn` as its callers see it: results, progress, worker processes, resumption after a kill, bad input."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmrl_lib import metrics
from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading import checkpoint
from llmrl_lib.trading.accounting import simulate
from llmrl_lib.trading.checkpoint import CheckpointError
from llmrl_lib.trading.problem import Problem, prepare
from llmrl_lib.trading.tdqn import train_runs, train_tdqn

SMALL = TdqnSettings(hidden=16, episodes=2)


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


def test_a_finished_checkpoint_is_loaded_not_trained(training, bars, tmp_path) -> None:
    first = train_tdqn(*bars, seeds=(0, 3), settings=SMALL, device="cpu", checkpoint=tmp_path)
    assert_same(first, training)
    began = time.perf_counter()
    again = train_tdqn(*bars, seeds=(0, 3), settings=SMALL, device="cpu", checkpoint=tmp_path)
    assert time.perf_counter() - began < first.seconds
    assert_same(again, training)


def test_killed_and_resumed_equals_unbroken(training, bars, tmp_path) -> None:
    """A process that saves after every block is killed with SIGKILL once it has saved, then the call is made again."""
    program = textwrap.dedent(
        f"""
        import sys
        import pandas as pd
        from llmrl_lib.settings import TdqnSettings
        from llmrl_lib.trading import learner, tasks
        from llmrl_lib.trading.tdqn import train_tdqn
        learner.BLOCK, tasks.SECONDS_BETWEEN_CHECKPOINTS = 20, 0.0
        bars = [pd.read_csv(name, parse_dates=["date"], index_col="date") for name in sys.argv[2:]]
        settings = TdqnSettings(hidden={SMALL.hidden}, episodes={SMALL.episodes})
        train_tdqn(*bars, seeds=(0, 3), settings=settings, device="cpu", checkpoint=__import__("pathlib").Path(sys.argv[1]))
        """
    )
    files = []
    for name, frame in zip(("train", "test"), bars, strict=True):
        files.append(str(tmp_path / f"{name}.csv"))
        frame.to_csv(files[-1], float_format="%.17g")
    folder = tmp_path / "checkpoints"
    process = subprocess.Popen([sys.executable, "-c", program, str(folder), *files], env={**os.environ})
    deadline = time.monotonic() + 60
    while not list(folder.glob("*.safetensors")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob("*.safetensors")), "it was to be killed after its first checkpoint"
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
    import torch

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
    assert prepared.test.dates[prepared.test.first_row] == test.index[0]
    trained = train_tdqn(train, test, settings=settings, device="cpu")
    tested = trained.trajectories.query("split == 'test'")
    assert tested["row"].tolist() == list(range(len(test)))
