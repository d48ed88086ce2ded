"""A whole run: strategies, every arm of every ticker, then the notebooks that tell it, in parallel processes, resumable.

What needs no advice goes first, beside the making of the strategies; then what hears them; then the notebooks. Workers
share nothing but the run folder: each leaves finished arms there, and a small file that says how far the arm it works on has
come. One run at a time works in a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from joblib import delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from llmrl_lib.experiments.adviser import FOLDER as STRATEGIES
from llmrl_lib.experiments.adviser import Adviser, advise, has_strategies, strategies_of
from llmrl_lib.experiments.arms import ARMS, CHECKPOINTS, CLASSICAL, MANIFEST, run_arm, run_arms
from llmrl_lib.experiments.execution import execute_notebook, notebook_folder
from llmrl_lib.experiments.flag_arms import FLAG_ARMS, FLAG_TRADER, RANDOM, flag_settings
from llmrl_lib.experiments.folders import ExperimentError, explain, write_text
from llmrl_lib.experiments.guided import LEARNED, LLM_ONLY, hears_strategies
from llmrl_lib.experiments.processes import alone_in, in_workers, stop_workers
from llmrl_lib.experiments.progress import FILE as PROGRESS
from llmrl_lib.experiments.progress import Display, Work
from llmrl_lib.experiments.reviewing import FOLDER as REVIEW
from llmrl_lib.experiments.runs import open_run, refuse_foreign, start_run
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.market.defects import DatasetError
from llmrl_lib.settings import Profile

if TYPE_CHECKING:
    from llmrl_lib.trading.tdqn import Progress

TICKER_NOTEBOOKS = ("01_data", "02_prompting", "03_uncertainty", "05_guided_ddqn")
RUN_NOTEBOOKS = ("06_results", "07_flag_trader", "04_expert_review")  # the longest first
MAKING = "strategies "  # a prompt: what a task is called that makes its strategies
TOGETHER = "learned arms"  # of all tickers, on a GPU


@dataclass(frozen=True)
class Failure:
    """What could not be finished, why in one sentence, and the traceback for who wants to look deeper."""

    ticker: str  # blank where it concerns the whole run
    what: str  # the arm or the notebook
    why: str
    details: str

    def __str__(self) -> str:
        return f"{self.ticker} {self.what}: {self.why}".strip()


@dataclass(frozen=True)
class Outcome:
    """How a run ended: finished tickers, and what failed."""

    finished: tuple[str, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Task:
    """One piece of work for one process: `call` takes no arguments and can be sent to another process."""

    ticker: str
    what: str
    call: Callable[[], object]
    folder: Path | None = None  # where an arm reports its progress
    episodes: int = 0


def run_suite(
    dataset_path: str | Path,
    tickers: Sequence[str] | None,
    profile: Profile,
    out: str | Path,
    jobs: int = 0,
    arms: Sequence[str] | None = None,
    display: Display | None = None,
    notebooks: bool = True,
    adviser: Adviser | None = None,
) -> Outcome:
    """Trains every arm of every ticker into the run folder `out` and executes the notebooks on what came out.

    `tickers` None means all of the dataset's; `jobs` is the number of processes, 0 one per processor; `arms` None means the
    profile's learned arms, the classical ones, and, where the profile has a guide, the account that follows it. `adviser`
    says which language model writes the strategies of the profile's prompts, by default the one that comes along. What is
    finished and made with the same settings is kept, what is unfinished is continued. A failure spares the other tickers; a
    ticker with a failed arm gets no notebooks. Raises DatasetError and ExperimentError for what is wrong before any work
    begins, another run at work in `out` included.
    """
    folder, jobs = Path(out), jobs or os.cpu_count() or 1
    dataset = load_dataset(dataset_path)
    if tickers is not None and not tickers:
        raise ExperimentError(
            f"no ticker is asked for; name some of {', '.join(dataset.tickers)}, or leave it out for all"
        )
    tickers = tuple(dict.fromkeys(dataset.tickers if tickers is None else tickers))
    for ticker in tickers:
        if ticker not in dataset.tickers:
            raise ExperimentError(f"{dataset.name} has no ticker {ticker!r}; it has {', '.join(dataset.tickers)}")
    if arms is None:
        arms = (*profile.arms, *([LLM_ONLY] if profile.guide else []), *CLASSICAL)
    _refuse_unknown(arms, profile)
    refuse_foreign(folder)
    adviser = adviser or Adviser()
    with alone_in(folder):
        start_run(folder, dataset, profile, tickers, adviser)
        display = display or Display(None)
        failures = _unusable(dataset, tickers)
        sound = [ticker for ticker in tickers if ticker not in {failure.ticker for failure in failures}]
        alone, told = ([arm for arm in arms if hears_strategies(arm) is told] for told in (False, True))
        together = [arm for arm in arms if arm in LEARNED] if _has_gpu() else []
        alone, told = ([arm for arm in part if arm not in together] for part in (alone, told))
        first = _strategy_tasks(dataset, sound, profile, folder, adviser)
        first += _arm_tasks(dataset.path, sound, alone, profile, folder, jobs)
        failures += _by_ticker(_work_off(first, jobs, display), sound, folder)
        advised = [ticker for ticker in sound if has_strategies(folder / STRATEGIES, profile.guide, ticker)]
        failures += _work_off(_arm_tasks(dataset.path, advised, told, profile, folder, jobs), jobs, display)
        if together:
            task = _gpu_task(dataset.path, sound, advised, together, profile, folder)
            failures += _by_ticker(_work_off([task], 1, display), sound, folder, together)
        if notebooks:
            failures += _tell(folder, sound, failures, jobs, display)
    failed = {failure.ticker for failure in failures}
    return Outcome(tuple(ticker for ticker in tickers if ticker not in failed), tuple(failures))


def _tell(
    folder: Path, tickers: Sequence[str], failures: Sequence[Failure], jobs: int, display: Display
) -> list[Failure]:
    """Executes the notebooks over all finished tickers and those of the tickers without a failure, the longest first."""
    failed = {failure.ticker for failure in failures}
    whole = [ticker for ticker in tickers if ticker not in failed]
    wanted = [(name, ticker) for ticker in whole for name in TICKER_NOTEBOOKS]
    if open_run(folder).tickers:
        wanted = [(name, "") for name in RUN_NOTEBOOKS] + wanted
    return list(_work_off([_notebook_task(folder, name, ticker) for name, ticker in wanted], jobs, display))


def _unusable(dataset: Dataset, tickers: Sequence[str]) -> list[Failure]:
    """The tickers whose bars cannot be trained or tested on."""
    failures = []
    for ticker in tickers:
        try:
            dataset.train_bars(ticker)
            dataset.test_bars(ticker)
        except DatasetError as error:
            failures.append(Failure(ticker, "bars", explain(error), traceback.format_exc()))
    return failures


def _refuse_unknown(arms: Sequence[str], profile: Profile) -> None:
    """Raises ExperimentError for an arm that there is not, that needs a guide, or that cannot stand beside the others."""
    for arm in arms:
        if arm not in ARMS:
            raise ExperimentError(f"there is no arm {arm!r}; choose from {', '.join(ARMS)}")
        if hears_strategies(arm) and not profile.guide:
            raise ExperimentError(
                f'the arm {arm} hears a strategist, and profile {profile.name} names none; add guide = "p4"'
            )
        if arm in FLAG_ARMS:
            flag_settings(arm, profile)


def _strategy_tasks(
    dataset: Dataset, tickers: Sequence[str], profile: Profile, folder: Path, adviser: Adviser
) -> list[Task]:
    """A task per prompt, the guiding one first: it takes longest."""
    prompts = dict.fromkeys([*([profile.guide] if profile.guide else []), *profile.prompts])
    if not tickers:
        return []
    return [
        Task(
            "",
            f"{MAKING}{prompt}",
            _StrategyCall(dataset.path, tuple(tickers), prompt, profile.guide, folder, adviser),
        )
        for prompt in prompts
    ]


def _by_ticker(
    failures: Iterable[Failure], tickers: Sequence[str], folder: Path, together: Sequence[str] = ()
) -> Iterator[Failure]:
    """A failure of several tickers' work, as one of each ticker that lacks what was to be made; others as they are."""
    for failure in failures:
        prompt = failure.what.removeprefix(MAKING)
        for ticker in tickers:
            if failure.what == TOGETHER:
                lacks = any(not (folder / ticker / arm / MANIFEST).is_file() for arm in together)
            else:
                lacks = prompt != failure.what and not has_strategies(folder / STRATEGIES, prompt, ticker)
            if lacks:
                yield replace(failure, ticker=ticker)
        if failure.ticker:
            yield failure


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _gpu_task(
    data: Path, tickers: Sequence[str], advised: Sequence[str], arms: Sequence[str], profile: Profile, folder: Path
) -> Task:
    """All learned arms of all tickers in one group: a GPU is hardly slower for hundreds of runs than for one."""
    wanted = {
        (ticker, arm): folder / ticker / arm
        for arm in arms
        for ticker in (advised if hears_strategies(arm) else tickers)
    }
    left = sum(not (place / MANIFEST).is_file() for place in wanted.values())
    call = _GpuCall(data, wanted, profile, folder)
    return Task("", TOGETHER, call, folder, left * profile.tdqn.episodes * len(profile.seeds))


@dataclass(frozen=True)
class _GpuCall:
    data: Path
    wanted: Mapping[tuple[str, str], Path]
    profile: Profile
    folder: Path

    def __call__(self) -> None:
        dataset, checkpoints = load_dataset(self.data), self.folder / CHECKPOINTS
        told = {ticker for ticker, arm in self.wanted if hears_strategies(arm)}
        strategies = {ticker: strategies_of(self.folder / STRATEGIES, self.profile.guide, ticker) for ticker in told}
        tell = _Teller(self.folder)
        run_arms(dataset, self.wanted, self.profile, strategies, tell, checkpoint=checkpoints)
        (self.folder / PROGRESS).unlink(missing_ok=True)
        shutil.rmtree(checkpoints, ignore_errors=True)


@dataclass(frozen=True)
class _StrategyCall:
    """Makes the strategies of one prompt."""

    data: Path
    tickers: tuple[str, ...]
    prompt: str
    guide: str
    folder: Path
    adviser: Adviser

    def __call__(self) -> None:
        dataset = load_dataset(self.data)
        advise(dataset, self.tickers, self.prompt, self.prompt == self.guide, self.adviser, self.folder / STRATEGIES)


def _arm_tasks(
    data: Path, tickers: Sequence[str], arms: Sequence[str], profile: Profile, folder: Path, jobs: int
) -> list[Task]:
    """A task per arm and ticker, learned arms first; those that are still to train share the processes."""
    places = {(ticker, arm): folder / ticker / arm for arm in arms for ticker in tickers}
    to_train = [arm in LEARNED and not (place / MANIFEST).is_file() for (_, arm), place in places.items()]
    workers = max(1, jobs // max(1, sum(to_train)))
    tasks = []
    for (ticker, arm), place in sorted(places.items(), key=lambda entry: entry[0][1] not in LEARNED):
        episodes = profile.tdqn.episodes * len(profile.seeds) if arm in LEARNED else 1
        if arm in (FLAG_TRADER, RANDOM):
            episodes = profile.flag_trader.evaluations * len(profile.seeds)
        tasks.append(Task(ticker, arm, _ArmCall(data, ticker, arm, profile, place, workers), place, episodes))
    return tasks


@dataclass(frozen=True)
class _ArmCall:
    """Runs one arm in whatever process calls it; the dataset is read there."""

    data: Path
    ticker: str
    arm: str
    profile: Profile
    folder: Path
    workers: int

    def __call__(self) -> None:
        tell = _Teller(self.folder)
        dataset, strategies = load_dataset(self.data), []
        if hears_strategies(self.arm):
            strategies = strategies_of(self.folder.parents[1] / STRATEGIES, self.profile.guide, self.ticker)
        run_arm(dataset, self.ticker, self.arm, self.profile, self.folder, self.workers, tell, strategies)
        (self.folder / PROGRESS).unlink(missing_ok=True)


class _Teller:
    """Writes how far the runs of an arm, or of many, have come."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / PROGRESS
        self._sharpe: dict[tuple[str, int], float] = {}
        self._done: dict[tuple[str, int], int] = {}

    def __call__(self, progress: Progress) -> None:
        run = (progress.problem, progress.seed)
        self._sharpe[run], self._done[run] = progress.test_sharpe, progress.episode
        said = {
            "episodes": sum(self._done.values()),
            "test_sharpe": sum(self._sharpe.values()) / len(self._sharpe),
        }
        write_text(self._place, json.dumps(said))


def _notebook_task(folder: Path, name: str, ticker: str) -> Task:
    """Executes a notebook of one ticker, or of the whole run where `ticker` is blank."""
    return Task(ticker, f"notebook {name}", _NotebookCall(folder, name, ticker))


@dataclass(frozen=True)
class _NotebookCall:
    folder: Path
    name: str
    ticker: str

    def __call__(self) -> None:
        place = self.folder / "notebooks" / self.ticker
        parameters = {"run_folder": Path(os.path.relpath(self.folder, place)).as_posix()}
        if self.ticker:
            parameters["ticker"] = self.ticker
        source = notebook_folder() / f"{self.name}.ipynb"
        places = {self.folder: "[run]", open_run(self.folder).dataset_path: "[dataset]"}
        execute_notebook(source, place / source.name, parameters, _inputs(self.folder, self.ticker), places)


def _inputs(folder: Path, ticker: str) -> Iterator[bytes]:
    """What the notebooks of a ticker, or of the whole run, are made from: the run and its finished arms."""
    yield (folder / "run.toml").read_bytes() if not ticker else b""
    for made in sorted(folder.glob(f"{STRATEGIES}/*/{ticker or '*'}.jsonl")):
        yield made.relative_to(folder).as_posix().encode()
        yield hashlib.sha256(made.read_bytes()).digest()
    for file in sorted((folder / REVIEW).glob("**/*.json*")) if not ticker else ():
        yield hashlib.sha256(file.read_bytes()).digest()
    for manifest in sorted(folder.glob(f"{ticker or '*'}/*/{MANIFEST}")):
        yield manifest.relative_to(folder).as_posix().encode()
        yield hashlib.sha256(manifest.read_bytes()).digest()


def _work_off(tasks: Sequence[Task], jobs: int, display: Display) -> Iterator[Failure]:
    """Calls all tasks in up to `jobs` processes; yields the failures once all have ended."""
    if not tasks:
        return
    failures: list[Failure] = []
    left = dict(enumerate(tasks))
    work = [Work(f"{task.ticker} {task.what}".strip(), task.folder, task.episodes) for task in tasks]
    with display.showing(work):
        try:
            calls = (delayed(_attempt)(number, task) for number, task in left.copy().items())
            for number, failure in in_workers(calls, min(jobs, len(tasks))):
                del left[number]
                display.ended(number, failure is None)
                if failure:
                    failures.append(failure)
        except KeyboardInterrupt:
            stop_workers()
            raise
        except TerminatedWorkerError:
            why = "a process was killed, perhaps for want of memory; give the same command again, with fewer --jobs"
            failures += [Failure(task.ticker, task.what, why, traceback.format_exc()) for task in left.values()]
    yield from failures


def _attempt(number: int, task: Task) -> tuple[int, Failure | None]:
    try:
        task.call()
    except Exception as error:  # whatever stopped this task must not stop the others; it is reported as its failure
        return number, Failure(task.ticker, task.what, explain(error), traceback.format_exc())
    return number, None
