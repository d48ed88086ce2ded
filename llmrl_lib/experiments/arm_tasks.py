"""Arms as tasks: whole, for one process, or seed by seed, for the workers of a cluster.

A seed trained by itself ends in its checkpoint, and an arm whose seeds all have theirs is written without training. On a CPU
every seed trains by itself wherever it trains (`trading.tasks`), so that both ways give the same bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llmrl_lib.experiments.adviser import FOLDER as STRATEGIES
from llmrl_lib.experiments.adviser import name_of, newest_strategies, strategies_of
from llmrl_lib.experiments.arms import CHECKPOINTS, MANIFEST, begin_arm, run_arm, train_seed
from llmrl_lib.experiments.clusters import name_of_this_worker
from llmrl_lib.experiments.folders import ExperimentError, write_text
from llmrl_lib.experiments.guided import LEARNED, hears_strategies
from llmrl_lib.experiments.progress import FILE as PROGRESS
from llmrl_lib.experiments.progress import SEED_FILES
from llmrl_lib.experiments.work import NoLongerWantedError, is_wanted
from llmrl_lib.market.dataset import Dataset, open_dataset
from llmrl_lib.settings import Profile
from llmrl_lib.strategy.records import Strategy

if TYPE_CHECKING:
    from llmrl_lib.trading.tdqn import Progress

SECONDS_TO_APPEAR = 60.0  # of a file that another machine has written, until shared storage must show it here


@dataclass(frozen=True)
class ArmCall:
    """Runs one arm in whatever process calls it; the dataset is read there."""

    data: Path
    ticker: str
    arm: str
    profile: Profile
    folder: Path
    workers: int = 1

    def __call__(self) -> None:
        for left in self.folder.glob(SEED_FILES):
            left.unlink(missing_ok=True)
        tell = Teller(self.folder / PROGRESS)
        dataset = open_dataset(self.data)
        run_arm(
            dataset, self.ticker, self.arm, self.profile, self.folder, self.workers, tell, self.strategies()
        )  # fmt: skip
        (self.folder / PROGRESS).unlink(missing_ok=True)

    def strategies(self) -> list[Strategy]:
        """What the arm hears; nothing where it does not listen."""
        if not hears_strategies(self.arm):
            return []
        return strategies_of(self.folder.parents[1] / STRATEGIES, self.profile.guide, self.ticker)

    def parts(self) -> Sequence[ArmCall | SeedCall]:
        """What other workers can do of it: each seed, or the whole; nothing where the arm is finished.

        Raises what `run_arm` raises for a folder of other settings, before anything is sent anywhere. A guide that is a file
        goes out by its name: only this machine need have the file.
        """
        dataset = open_dataset(self.data)
        if begin_arm(dataset, self.ticker, self.arm, self.profile, self.folder, self.strategies()) is not None:
            return []
        (self.folder / PROGRESS).unlink(missing_ok=True)
        sent = replace(self, profile=replace(self.profile, guide=name_of(self.profile.guide)))
        if self.arm not in LEARNED:
            return [sent]
        content = dataset.content_hash(self.ticker)
        return [SeedCall(sent, seed, content) for seed in self.profile.seeds]

    def finish(self) -> None:
        """Writes the arm of its trained seeds, or sees that it is there; trains nothing.

        Raises ExperimentError where what the workers wrote does not show.
        """
        if self.arm in LEARNED:
            wanted = [SeedCall(self, seed).checkpoint for seed in self.profile.seeds]
        else:
            wanted = [self.folder / MANIFEST]
        _await([place for place in wanted if not (self.folder / MANIFEST).is_file()])
        replace(self, workers=1)()  # the processes of this machine are those that do what stays here

    def moved(self, data: Path, folder: Path) -> ArmCall:
        """The same on another machine's copy of the data, in the folder of a run there."""
        return replace(self, data=data, folder=folder / self.ticker / self.arm)

    def needs(self) -> list[Mapping[str, Path]]:
        """Files by their names in the dataset, and in the run, that it reads; what is alike is sent once."""
        data = dataset_files(open_dataset(self.data), self.ticker)
        told = {}
        if hears_strategies(self.arm):
            run = self.folder.parents[1]
            place = newest_strategies(run / STRATEGIES, self.profile.guide, self.ticker)
            told[place.relative_to(run).as_posix()] = place
        return [data, told]

    def kept(self) -> list[Path]:
        """Files of an earlier attempt that it goes on from."""
        return sorted(place for place in (self.folder / CHECKPOINTS).glob("*") if place.is_file())

    def made(self) -> list[Path]:
        """The files that it leaves, the manifest last."""
        files = [place for place in self.folder.iterdir() if place.is_file() and place.name != PROGRESS]
        return sorted(files, key=lambda place: (place.name == MANIFEST, place.name))


@dataclass(frozen=True)
class SeedCall:
    """Trains one seed of a learned arm into its checkpoint; one that is there already is left as it is."""

    whole: ArmCall
    seed: int
    content: str = ""  # the ticker's hash where the arm is put together; blank: not compared

    def __call__(self) -> None:
        arm = self.whole
        dataset, tell = open_dataset(arm.data), Teller(self.progress)
        if self.content and dataset.content_hash(arm.ticker) != self.content:
            raise ExperimentError(
                f"the worker {name_of_this_worker()} sees other data of {arm.ticker} in {arm.data} than the machine that the "
                "run was started on; copy the dataset anew, or say --storage return"
            )
        train_seed(
            dataset, arm.ticker, arm.arm, arm.profile, arm.folder, self.seed, tell, arm.strategies()
        )  # fmt: skip

    @property
    def folder(self) -> Path:
        return self.whole.folder

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINTS / f"seed-{self.seed:04d}.safetensors"

    @property
    def progress(self) -> Path:
        return self.folder / SEED_FILES.replace("*", f"{self.seed:04d}")

    def moved(self, data: Path, folder: Path) -> SeedCall:
        return replace(self, whole=self.whole.moved(data, folder))

    def needs(self) -> list[Mapping[str, Path]]:
        return self.whole.needs()

    def kept(self) -> list[Path]:
        return [self.checkpoint] if self.checkpoint.is_file() else []

    def made(self) -> list[Path]:
        return [place for place in (self.progress, self.checkpoint) if place.is_file()]


class Teller:
    """Writes how far the runs of an arm, or of many, have come; raises NoLongerWantedError once nobody waits for them."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._sharpe: dict[tuple[str, int], float] = {}
        self._done: dict[tuple[str, int], int] = {}

    def __call__(self, progress: Progress) -> None:
        if not is_wanted.get()():
            raise NoLongerWantedError("the run that this was for was stopped")
        run = (progress.problem, progress.seed)
        self._sharpe[run], self._done[run] = progress.test_sharpe, progress.episode
        said = {
            "episodes": sum(self._done.values()),
            "test_sharpe": sum(self._sharpe.values()) / len(self._sharpe),
        }
        write_text(self._place, json.dumps(said))


def dataset_files(dataset: Dataset, ticker: str) -> dict[str, Path]:
    """The files of a dataset that one ticker's arms are made from, by their names there."""
    return {place.relative_to(dataset.path).as_posix(): place for place in dataset.files(ticker)}


def _await(places: Sequence[Path]) -> None:
    """Waits for files of other machines to show; ExperimentError for one that does not."""
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    for place in places:
        while not place.is_file():
            if time.monotonic() > deadline:
                raise ExperimentError(
                    f"a worker has written {place}, and after {SECONDS_TO_APPEAR:.0f} s it does not show here; is the run "
                    "folder on storage that all machines share? If not, say --storage return"
                )
            time.sleep(0.2)
