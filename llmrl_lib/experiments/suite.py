"""A whole run: strategies, every arm of every ticker, then the notebooks that tell it, in parallel processes, resumable.

What needs no advice goes first, beside the making of the strategies; then what hears them; then the notebooks. Workers
share nothing but the run folder: each leaves finished arms there, and a small file that says how far the arm it works on has
come. One run at a time works in a folder. On a cluster (`spreading`) the same tasks go to its workers; notebooks, and what a
GPU of this machine trains, stay here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import traceback
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from llmrl_lib.experiments.adviser import FOLDER as STRATEGIES
from llmrl_lib.experiments.adviser import Adviser, advise, has_strategies, strategies_of
from llmrl_lib.experiments.arm_tasks import ArmCall, Teller
from llmrl_lib.experiments.arms import ARMS, CHECKPOINTS, CLASSICAL, MANIFEST, run_arms
from llmrl_lib.experiments.clusters import Cluster, name_of_this_worker
from llmrl_lib.experiments.execution import execute_notebook, is_kept, notebook_folder
from llmrl_lib.experiments.flag_arms import FLAG_ARMS, FLAG_TRADER, RANDOM, flag_settings
from llmrl_lib.experiments.folders import ExperimentError, explain
from llmrl_lib.experiments.guided import LEARNED, LLM_ONLY, UNGUIDED, hears_strategies
from llmrl_lib.experiments.processes import alone_in, stop_workers
from llmrl_lib.experiments.progress import FILE as PROGRESS
from llmrl_lib.experiments.progress import Display, Work
from llmrl_lib.experiments.reviewing import FOLDER as REVIEW
from llmrl_lib.experiments.runs import open_run, refuse_foreign, start_run
from llmrl_lib.experiments.spreading import Far, at_work, work_off_here
from llmrl_lib.experiments.work import Failure, Task
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.market.defects import DatasetError
from llmrl_lib.settings import Profile

AGENTS = "05_guided_ddqn"  # tells of TDQN agents, so there is none where only others were trained
TICKER_NOTEBOOKS = ("01_data", "02_prompting", "03_uncertainty", AGENTS)
RUN_NOTEBOOKS = ("06_results", "07_flag_trader", "04_expert_review")  # the longest first
MAKING = "strategies "  # a prompt: what a task is called that makes its strategies
TOGETHER = "learned arms"  # of all tickers, on a GPU
TICKERS_TOGETHER = 16  # that a local model makes strategies of in one task: with memory, its batch is a date of each


@dataclass(frozen=True)
class Outcome:
    """How a run ended: finished tickers, and what failed."""

    finished: tuple[str, ...]
    failures: tuple[Failure, ...]


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
    cluster: Cluster | None = None,
) -> Outcome:
    """Trains every arm of every ticker into the run folder `out` and executes the notebooks on what came out.

    `tickers` None means all of the dataset's; `jobs` is the number of processes, 0 one per processor; `cluster` says whose
    workers compute, by default processes of this machine; `arms` None means the
    profile's learned arms, the classical ones, and, where the profile has a guide, the account that follows it. `adviser`
    says which language model writes the strategies of the profile's prompts, by default the one that comes along. What is
    finished and made with the same settings is kept, what is unfinished is continued. A failure spares the other tickers; a
    ticker with a failed arm gets no notebooks. Raises DatasetError and ExperimentError for what is wrong before any work
    begins, another run at work in `out` included, and what `Adviser.check` raises of a model that cannot be asked.
    """
    folder, asked, jobs = Path(out), jobs, jobs or os.cpu_count() or 1
    cluster = cluster or Cluster()
    if cluster.backend != "loky":  # workers are somewhere else
        folder, dataset_path = folder.absolute(), Path(dataset_path).absolute()
    dataset = load_dataset(dataset_path)
    tickers = chosen_tickers(dataset, tickers)
    arms = usual_arms(profile) if arms is None else arms
    refuse_unknown_arms(arms, profile)
    refuse_foreign(folder)
    adviser = adviser or Adviser()
    _check_adviser(adviser, profile, tickers, folder / STRATEGIES)
    with alone_in(folder), at_work(cluster, folder, dataset.path, asked) as far:
        start_run(folder, dataset, profile, tickers, adviser)
        display = display or Display(None)
        failures = _unusable(dataset, tickers)
        for failure in failures:
            display.say(f"left out: {failure}")
        sound = [ticker for ticker in tickers if ticker not in {failure.ticker for failure in failures}]
        alone, told = ([arm for arm in arms if hears_strategies(arm) is told] for told in (False, True))
        together = [arm for arm in arms if arm in LEARNED] if has_gpu() else []
        alone, told = ([arm for arm in part if arm not in together] for part in (alone, told))
        first = _strategy_tasks(dataset, sound, profile, folder, adviser, far)
        first += _arm_tasks(dataset.path, sound, alone, profile, folder, jobs)
        failures += _by_ticker(_work_off(first, jobs, display, far), sound, folder)
        advised = [ticker for ticker in sound if has_strategies(folder / STRATEGIES, profile.guide, ticker)]
        failures += _work_off(_arm_tasks(dataset.path, advised, told, profile, folder, jobs), jobs, display, far)
        if together:
            task = _gpu_task(dataset.path, sound, advised, together, profile, folder)
            failures += _by_ticker(_work_off([task], 1, display), sound, folder, together)
        if notebooks:
            failures += _tell(folder, sound, failures, jobs, display)
    failed = {failure.ticker for failure in failures}
    return Outcome(tuple(ticker for ticker in tickers if ticker not in failed), tuple(failures))


def chosen_tickers(dataset: Dataset, tickers: Sequence[str] | None) -> tuple[str, ...]:
    """The tickers of a run, None being all of the dataset's; ExperimentError for none and for unknown ones."""
    if tickers is not None and not tickers:
        raise ExperimentError(
            f"no ticker is asked for; name some of {', '.join(dataset.tickers)}, or leave it out for all"
        )
    chosen = tuple(dict.fromkeys(dataset.tickers if tickers is None else tickers))
    for ticker in chosen:
        if ticker not in dataset.tickers:
            raise ExperimentError(f"{dataset.name} has no ticker {ticker!r}; it has {', '.join(dataset.tickers)}")
    return chosen


def usual_arms(profile: Profile) -> tuple[str, ...]:
    """The profile's learned arms, the account that follows its guide where it has one, and the classical ones."""
    return (*profile.arms, *([LLM_ONLY] if profile.guide else []), *CLASSICAL)


def notebooks_of(tickers: Iterable[str], agents: Container[str]) -> list[tuple[str, str]]:
    """The notebooks that tell a run, each with its ticker, in the order in which they are begun; those of the run, whose
    ticker is blank, first.

    `tickers` are those that are to be told, `agents` those of which TDQN agents were trained: only they have AGENTS.
    """
    own = [(name, ticker) for ticker in tickers for name in TICKER_NOTEBOOKS if name != AGENTS or ticker in agents]
    return [*((name, "") for name in RUN_NOTEBOOKS), *own]


def _tell(
    folder: Path, tickers: Sequence[str], failures: Sequence[Failure], jobs: int, display: Display
) -> list[Failure]:
    """Executes the notebooks over all finished tickers and those of the tickers without a failure, the longest first."""
    failed = {failure.ticker for failure in failures}
    whole = [ticker for ticker in tickers if ticker not in failed]
    begun = bool(open_run(folder).tickers)  # else there is nothing to tell of the whole run
    wanted = [pair for pair in notebooks_of(whole, agents_in(folder, whole)) if pair[1] or begun]
    return list(_work_off([_notebook_task(folder, name, ticker) for name, ticker in wanted], jobs, display))


def agents_in(folder: Path, tickers: Iterable[str]) -> frozenset[str]:
    """The tickers of which a run folder holds agents that AGENTS can tell of: the unguided ones."""
    return frozenset(ticker for ticker in tickers if (folder / ticker / UNGUIDED / MANIFEST).is_file())


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


def refuse_unknown_arms(arms: Sequence[str], profile: Profile) -> None:
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


def _check_adviser(adviser: Adviser, profile: Profile, tickers: Sequence[str], strategies: Path) -> None:
    """Raises what is known beforehand to keep a model from advising, where strategies are wanted; those that are there need
    no key."""
    prompts = _prompts(profile)
    if prompts:
        there = all(has_strategies(strategies, prompt, ticker) for prompt in prompts for ticker in tickers)
        adviser.check(asks=not there)


def _prompts(profile: Profile) -> list[str]:
    """The prompts of a run, the guiding one first."""
    return list(dict.fromkeys([*([profile.guide] if profile.guide else []), *profile.prompts]))


def _strategy_tasks(
    dataset: Dataset,
    tickers: Sequence[str],
    profile: Profile,
    folder: Path,
    adviser: Adviser,
    far: Far | None = None,
) -> list[Task]:
    """A task per prompt, the guiding one first, which takes longest; of a local model one per prompt and group of tickers.

    A local model answers in batches over tickers, whose make-up shows in the last digits of what it says: groups are the same
    wherever the work is done. A server answers one by one, and is asked from here, where its key and its budget are.
    """
    prompts = _prompts(profile)
    size = TICKERS_TOGETHER if adviser.is_local else max(1, len(tickers))
    here = not (far and far.shares and adviser.is_local) or (adviser.model != "nano" and has_gpu())
    groups = [tuple(tickers[first : first + size]) for first in range(0, len(tickers), size)]
    return [
        Task(
            "",
            f"{MAKING}{prompt}",
            _StrategyCall(dataset.path, group, prompt, profile.guide, folder, adviser),
            here=here,
        )
        for prompt in prompts
        for group in groups
    ]


def _by_ticker(
    failures: Iterable[Failure], tickers: Sequence[str], folder: Path, together: Sequence[str] = ()
) -> Iterator[Failure]:
    """A failure of several tickers' work, as one of each ticker that lacks what was to be made; others as they are."""
    told = set()
    for failure in failures:
        prompt = failure.what.removeprefix(MAKING)
        for ticker in tickers:
            if failure.what == TOGETHER:
                lacks = any(not (folder / ticker / arm / MANIFEST).is_file() for arm in together)
            else:
                lacks = prompt != failure.what and not has_strategies(folder / STRATEGIES, prompt, ticker)
            if lacks and (ticker, failure.what) not in told:
                told.add((ticker, failure.what))
                yield replace(failure, ticker=ticker)
        if failure.ticker:
            yield failure


def has_gpu() -> bool:
    """Whether this machine has a GPU, on which a run trains all learned arms."""
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
        tell = Teller(self.folder / PROGRESS)
        run_arms(dataset, self.wanted, self.profile, strategies, tell, checkpoint=checkpoints)
        (self.folder / PROGRESS).unlink(missing_ok=True)
        shutil.rmtree(checkpoints, ignore_errors=True)


@dataclass(frozen=True)
class _StrategyCall:
    """Makes the strategies of one prompt for some tickers."""

    data: Path
    tickers: tuple[str, ...]
    prompt: str
    guide: str
    folder: Path
    adviser: Adviser
    text: Prompt | None = None  # read where the run was started
    local: bool = False  # whether the model was local there

    def __call__(self) -> None:
        if self.local and not self.adviser.is_local:  # it would be taken for a server's
            raise ExperimentError(
                f"{name_of_this_worker()} does not see the folder of the model {self.adviser.model}; put the model where all "
                "machines see it, or say --storage return"
            )
        dataset, guides = load_dataset(self.data), self.prompt == self.guide
        with _as_everywhere(self.adviser):
            advise(dataset, self.tickers, self.text or self.prompt, guides, self.adviser, self.folder / STRATEGIES)

    def parts(self) -> Sequence[Callable[[], None]]:
        """The whole, with what only this machine need see: a prompt that is a file. Raises PromptError for a bad one."""
        return [replace(self, text=load_prompt(self.prompt), local=self.adviser.is_local)]

    def finish(self) -> None:
        pass


def _as_everywhere(adviser: Adviser) -> AbstractContextManager[None]:
    """A local model's last digits depend on the number of threads; with one they are the same in every process."""
    if not adviser.is_local:
        return nullcontext()
    from llmrl_lib.trading.tasks import one_thread

    return one_thread()


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
        call = ArmCall(data, ticker, arm, profile, place, workers)
        tasks.append(Task(ticker, arm, call, place, episodes, here=arm in FLAG_ARMS and has_gpu()))
    return tasks


def _notebook_task(folder: Path, name: str, ticker: str) -> Task:
    """Executes a notebook of one ticker, or of the whole run where `ticker` is blank."""
    return Task(ticker, f"notebook {name}", _NotebookCall(folder, name, ticker))


@dataclass(frozen=True)
class _NotebookCall:
    folder: Path
    name: str
    ticker: str

    def __call__(self) -> None:
        source, output, parameters = self._asked()
        places = {self.folder: "[run]", open_run(self.folder).dataset_path: "[dataset]"}
        execute_notebook(source, output, parameters, _inputs(self.folder, self.ticker), places)

    def done(self) -> bool:
        return is_kept(*self._asked(), _inputs(self.folder, self.ticker))

    def _asked(self) -> tuple[Path, Path, dict[str, str]]:
        place = self.folder / "notebooks" / self.ticker
        parameters = {"run_folder": Path(os.path.relpath(self.folder, place)).as_posix()}
        if self.ticker:
            parameters["ticker"] = self.ticker
        source = notebook_folder() / f"{self.name}.ipynb"
        return source, place / source.name, parameters


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


def _done_before(task: Task) -> bool:
    """Whether an earlier run left all that a task makes, so that making it again only finds it."""
    call = task.call
    if isinstance(call, _StrategyCall):
        return all(has_strategies(call.folder / STRATEGIES, call.prompt, ticker) for ticker in call.tickers)
    if isinstance(call, _GpuCall):
        return all((place / MANIFEST).is_file() for place in call.wanted.values())
    if isinstance(call, _NotebookCall):
        return call.done()
    return task.folder is not None and (task.folder / MANIFEST).is_file()


def _work_off(tasks: Sequence[Task], jobs: int, display: Display, far: Far | None = None) -> Iterator[Failure]:
    """Calls all tasks, in up to `jobs` processes or on a cluster; yields the failures once all have ended."""
    if not tasks:
        return
    failures: list[Failure] = []
    work = [Work(task.title, task.folder, task.episodes, _done_before(task)) for task in tasks]
    with display.showing(work):
        try:
            ended = far.work_off(tasks, jobs) if far else work_off_here(list(enumerate(tasks)), jobs)
            for number, failure in ended:
                display.ended(number, failure is None, failure.why if failure else "")
                if failure:
                    failures.append(failure)
        except KeyboardInterrupt:
            stop_workers()
            if far:
                far.stop()
            raise
    yield from failures
