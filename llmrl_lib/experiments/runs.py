"""A run folder as an object: what notebooks open to read arms, tables and the dataset that they were made from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.experiments.adviser import FOLDER as STRATEGIES
from llmrl_lib.experiments.adviser import Adviser, finished_prompts, name_of, strategies_of
from llmrl_lib.experiments.arms import ARMS, MANIFEST, RUN, Arm, load_arm
from llmrl_lib.experiments.folders import ExperimentError, read_toml, refuse_other_settings, write_toml
from llmrl_lib.experiments.processes import LOCK
from llmrl_lib.market.dataset import Dataset, load_dataset, open_dataset
from llmrl_lib.market.defects import DatasetError
from llmrl_lib.settings import Profile, TdqnSettings, tdqn_settings, to_table
from llmrl_lib.strategy.records import Strategy

KEYS = ("dataset", "profile", "tickers", "dataset_name", "seeds", "tdqn")


def open_run(path: str | Path) -> Run:
    """The run in folder `path`; ExperimentError where it is damaged and, with the command that makes one, where it is not."""
    folder = Path(path)
    if not (folder / RUN).is_file():
        command = f"llmrl run --dataset data/embedded --profile quick --out runs/{folder.name}"
        raise ExperimentError(f"there is no run in {folder}; make it with: {command}")
    return Run(folder, _read(folder))


def refuse_foreign(folder: Path) -> None:
    """Raises ExperimentError for a folder that holds something else than a run."""
    if not folder.exists() or (folder / RUN).is_file():
        return
    if not folder.is_dir() or any(path.name != LOCK for path in folder.iterdir()):
        raise ExperimentError(f"{folder} is not empty and holds no run; give another folder with --out")


def start_run(
    folder: Path, dataset: Dataset, profile: Profile, tickers: Iterable[str], adviser: Adviser | None = None
) -> Run:
    """Writes `run.toml`, or adds tickers to the one that is there. No other process may do so at the same time.

    Raises ExperimentError for a folder that holds a run of another dataset, profile, seeds, guide or model, or a damaged one.
    """
    advised = adviser is not None and bool(profile.guide or profile.prompts)
    if advised:
        _refuse_namesakes(profile)  # before a model is loaded
    identity = adviser.chat().identity if adviser is not None and advised else None
    asked = refuse_other_run(folder, dataset, profile, identity)
    known: list[str] = _read(folder)["tickers"] if (folder / RUN).is_file() else []
    listed = [*known, *(ticker for ticker in tickers if ticker not in known)]
    where = Path(os.path.relpath(dataset.path.resolve(), folder.resolve())).as_posix()
    write_toml(folder / RUN, {"dataset": where, "profile": profile.name, "tickers": listed, **asked})
    return open_run(folder)


def refuse_other_run(
    folder: Path, dataset: Dataset, profile: Profile, identity: Mapping[str, str] | None
) -> dict[str, Any]:
    """What `run.toml` is to say of these settings and a chat of this identity; ExperimentError where it says otherwise."""
    asked: dict[str, Any] = {"dataset_name": dataset.name, "seeds": len(profile.seeds), "tdqn": to_table(profile.tdqn)}
    if identity is not None:
        _refuse_namesakes(profile)
        asked |= {"guide": name_of(profile.guide), "chat": dict(identity)}
    if (folder / RUN).is_file():
        made = _read(folder)
        refuse_other_settings(folder, {name: made.get(name) for name in asked}, asked)
    return asked


def _refuse_namesakes(profile: Profile) -> None:
    """Raises ExperimentError for two prompts of one name, such as p1 and a refined p1: a run keeps strategies by name."""
    given = dict.fromkeys([*([profile.guide] if profile.guide else []), *profile.prompts])
    by_name: dict[str, str] = {}
    for prompt in given:
        other = by_name.setdefault(name_of(prompt), prompt)
        if other != prompt:
            raise ExperimentError(
                f"profile {profile.name} names {other} and {prompt}, which are both called {name_of(prompt)}; take one "
                "of them, or change `name` in the file"
            )


@dataclass(frozen=True)
class Run:
    """One run folder. Only finished arms are seen."""

    path: Path
    about: dict[str, Any]  # the content of run.toml

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def profile(self) -> str:
        return str(self.about["profile"])

    @property
    def recorded(self) -> bool:
        """Whether this is what was kept of a run under results/: no prices, and no dataset to open."""
        return not self.about["dataset"]

    @property
    def settings(self) -> TdqnSettings:
        return tdqn_settings(self.about["tdqn"], str(self.path / RUN))

    @property
    def tickers(self) -> tuple[str, ...]:
        """The tickers with at least one finished arm, in the order in which they were asked for."""
        return tuple(ticker for ticker in self.about["tickers"] if self._finished(ticker))

    @property
    def guide(self) -> str:
        """The prompt whose strategies the guided arms hear; blank where there is none."""
        return str(self.about.get("guide", ""))

    @property
    def chat(self) -> dict[str, str]:
        """What wrote the strategies, as the chat names itself; empty where nothing did."""
        return dict(self.about.get("chat", {}))

    @property
    def strategies_folder(self) -> Path:
        """Strategies by prompt and ticker, and the replies that they were made of."""
        return self.path / STRATEGIES

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts that have strategies, by name."""
        return finished_prompts(self.strategies_folder)

    def strategies(self, ticker: str, prompt: str) -> list[Strategy]:
        """A prompt's strategies of a ticker by date: the guide's over both splits, others over the test years.

        ExperimentError where there are none.
        """
        return strategies_of(self.strategies_folder, prompt, ticker)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The tickers that were asked for and have no finished arm."""
        return tuple(ticker for ticker in self.about["tickers"] if not self._finished(ticker))

    @property
    def dataset_path(self) -> Path:
        """The folder of the dataset; run.toml names it from where the run folder really is, links followed."""
        return Path(os.path.normpath(self.path.resolve() / self.about["dataset"]))

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset of the run; DatasetError if its files are gone.

        ExperimentError if the files of a finished ticker, or the dates of the splits, have changed since.
        """
        dataset = load_dataset(self.dataset_path)
        for ticker in self.tickers:
            self._refuse_changed(dataset, ticker)
        return dataset

    @cached_property
    def described(self) -> Dataset:
        """The dataset of the run for its name, dates and tickers; no table is looked at. DatasetError if it is gone."""
        return open_dataset(self.dataset_path)

    def dataset_of(self, ticker: str) -> Dataset:
        """`dataset`, to read what concerns one ticker: what other tickers' files have become is no matter."""
        dataset = self.described
        if missing := [one for one in dataset.missing_bars() if one.file == f"bars/{ticker}.csv"]:
            raise DatasetError(missing)
        self._refuse_changed(dataset, ticker)
        return dataset

    def _refuse_changed(self, dataset: Dataset, ticker: str) -> None:
        now = dataset.content_hash(ticker)
        if any(arm.manifest["dataset_hash"] != now for arm in self.arms(ticker).values()):
            what = f"the dataset {dataset.name} has changed for {ticker} since {self.path} was made from it"
            raise ExperimentError(f"{what}; bring the old files back, or run again into another folder")

    def arms(self, ticker: str) -> dict[str, Arm]:
        """The finished arms of a ticker by name, learned ones first; ExperimentError if there are none."""
        names = self._finished(ticker)
        if not names:
            command = f"llmrl run --dataset DATASET --tickers {ticker} --profile {self.profile} --out {self.path}"
            raise ExperimentError(f"{self.path} has nothing finished for {ticker}; make it with: {command}")
        return {name: load_arm(self.path / ticker / name) for name in names}

    def performance(self, split: str = "test") -> pd.DataFrame:
        """All metrics of every finished arm on `split` (train or test): columns ticker, arm, seed, then the metrics."""
        tables = [
            arm.performance[arm.performance["split"] == split].drop(columns="split").assign(ticker=ticker, arm=name)
            for ticker in self.tickers
            for name, arm in self.arms(ticker).items()
        ]
        if not tables:
            raise ExperimentError(f"{self.path} has no finished arm; give its llmrl run command again")
        table = pd.concat(tables, ignore_index=True)
        return table[["ticker", "arm", *(name for name in table if name not in ("ticker", "arm"))]]

    def _finished(self, ticker: str) -> list[str]:
        return [name for name in ARMS if (self.path / ticker / name / MANIFEST).is_file()]


def _read(folder: Path) -> dict[str, Any]:
    """The content of `run.toml`."""
    about = read_toml(folder / RUN)
    lacking = [name for name in KEYS if name not in about]
    if not lacking and not isinstance(about["tickers"], list):
        lacking = ["a list of tickers"]
    if lacking:
        raise ExperimentError(f"{folder / RUN} is damaged (it lacks {lacking[0]}); delete {folder} and run again")
    return about
