"""Training tasks and where they run: in this process, or in worker processes that report through small files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from joblib import Parallel, delayed, parallel_config

from llmrl_lib.settings import TdqnSettings, to_table
from llmrl_lib.trading import checkpoint
from llmrl_lib.trading.learner import Group, RunResult
from llmrl_lib.trading.problem import Prepared

SECONDS_BETWEEN_CHECKPOINTS = 15.0
WORK_PER_SAVE = 20.0  # at least this many times the time that a save takes lies between two
LEARNING = 1  # raise it when a change of code changes the numbers of a run: older checkpoints are then refused


class Progress(NamedTuple):
    """An episode that ended."""

    problem: str  # its name in `train_runs`
    seed: int
    episode: int  # from 1
    episodes: int  # of the run
    steps: int  # taken so far by the run
    train_sharpe: float
    test_sharpe: float
    seconds: float  # since the call began


Listener = Callable[[Progress], None]


class Task(NamedTuple):
    """Runs that train as one group."""

    runs: tuple[tuple[str, int], ...]  # (problem, seed)
    prepared: tuple[Prepared, ...]  # of each run
    settings: TdqnSettings
    device: str

    @property
    def name(self) -> str:
        """A file name for it."""
        problem, seed = self.runs[0]
        if len(self.runs) == 1:
            return f"{problem}-seed-{seed:04d}".lstrip("-")
        return f"group-{self.fingerprint()[:12]}"

    def fingerprint(self) -> str:
        """A hash of everything its numbers depend on."""
        data = [prepared.fingerprint() for prepared in self.prepared]
        parts = [LEARNING, to_table(self.settings), self.runs, data, self.device]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_tasks(
    tasks: list[Task], workers: int, folder: Path | None, progress: Listener | None
) -> dict[tuple[str, int], RunResult]:
    """Trains all tasks and returns every run by (problem, seed). `folder` keeps checkpoints, None keeps none."""
    started = time.perf_counter()
    if workers <= 1 or len(tasks) == 1:
        with one_thread():
            results = [_train(task, folder, _teller(progress, task, started)) for task in tasks]
    else:
        with _reports(tasks, progress, started) as reports, parallel_config("loky", inner_max_num_threads=1):
            results = Parallel(n_jobs=workers)(delayed(_train_and_report)(task, folder, reports) for task in tasks)
    return {
        run: result
        for task, group in zip(tasks, results, strict=True)
        for run, result in zip(task.runs, group, strict=True)
    }


def _train(task: Task, folder: Path | None, tell: Callable[[int, dict[str, float]], None]) -> list[RunResult]:
    group = Group(task.prepared, [seed for _, seed in task.runs], task.settings, task.device)
    path = None if folder is None else folder / f"{task.name}.safetensors"
    advance_to_end(group, path, task.fingerprint(), tell)
    return group.results()


class Resumable(Protocol):
    """A group of runs that train side by side, can be stopped anywhere, and goes on from its state."""

    episodes: list[list[dict[str, float]]]  # of each run, what `tell` was given

    @property
    def finished(self) -> bool: ...

    def advance(self, listen: Callable[[int, dict[str, float]], None] | None = None) -> bool:
        """Trains a while; whether anything is left to train."""

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]: ...

    def restore(self, tensors: Any, record: Any) -> None: ...


def advance_to_end(
    group: Resumable, path: Path | None, fingerprint: str, tell: Callable[[int, dict[str, float]], None]
) -> None:
    """Trains a group from its checkpoint at `path`, if one of this fingerprint is there, to its end, and keeps it there."""
    if path is not None and (found := checkpoint.load(path, fingerprint)) is not None:
        group.restore(*found)
        for run, rows in enumerate(group.episodes):
            for row in rows:
                tell(run, row)
    due = time.perf_counter() + SECONDS_BETWEEN_CHECKPOINTS
    while not group.finished:
        more = group.advance(tell)
        began = time.perf_counter()
        if path is not None and (not more or began > due):
            tensors, record = group.state()
            checkpoint.save(path, tensors, {**record, "fingerprint": fingerprint})
            took = time.perf_counter() - began  # hundreds of runs on a GPU hold gigabytes: save them more rarely
            due = began + took + max(SECONDS_BETWEEN_CHECKPOINTS, WORK_PER_SAVE * took)


def _train_and_report(task: Task, folder: Path | None, reports: Path) -> list[RunResult]:
    """`_train` in a worker process: one thread, episodes reported as lines of a file."""
    torch.set_num_threads(1)
    with (reports / f"{task.name}.jsonl").open("a", encoding="utf-8", buffering=1) as file:
        return _train(task, folder, lambda run, row: print(json.dumps([run, row]), file=file))


def _teller(progress: Listener | None, task: Task, started: float) -> Callable[[int, dict[str, float]], None]:
    def tell(run: int, row: dict[str, float]) -> None:
        if progress is not None:
            problem, seed = task.runs[run]
            episode, steps = int(row["episode"]), int(row["steps"])
            seconds = time.perf_counter() - started
            figures = (row["train_sharpe"], row["test_sharpe"], seconds)
            progress(Progress(problem, seed, episode, task.settings.episodes, steps, *figures))

    return tell


@contextlib.contextmanager
def _reports(tasks: list[Task], progress: Listener | None, started: float) -> Iterator[Path]:
    """A folder that workers report into; a thread passes their lines on to `progress` in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder, over = Path(name), threading.Event()
        tellers = {task.name: _teller(progress, task, started) for task in tasks}
        read = dict.fromkeys(tellers, 0)

        def pass_on() -> None:
            for task, tell in tellers.items():
                path = folder / f"{task}.jsonl"
                lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
                for line in lines[read[task] :]:
                    tell(*json.loads(line))
                read[task] = len(lines)

        def watch() -> None:
            while not over.wait(0.5):
                pass_on()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield folder
        finally:
            over.set()
            thread.join()
            pass_on()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread: small products are many times slower when two threads share them with another busy process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
