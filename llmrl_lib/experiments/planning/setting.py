"""A study and, once it is opened, what its stages are made from: its questions, what its run folder holds, its tickers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import cycle
from pathlib import Path

from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.guided import UNGUIDED
from llmrl_lib.experiments.planning.calibration import Calibration
from llmrl_lib.experiments.planning.questions import Task
from llmrl_lib.experiments.planning.speeds import Speeds
from llmrl_lib.experiments.planning.training import Rows, kind_of
from llmrl_lib.language.chat import Chat
from llmrl_lib.language.prices import Price
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.settings import Profile


@dataclass(frozen=True)
class Study:
    """What is to be planned; the first five are arguments of `run_suite`, and `out` its run folder."""

    dataset: Path
    tickers: Sequence[str] | None
    profile: Profile
    jobs: int = 0  # processes at once on a machine, each on a processor of its own; 0: one per processor here
    adviser: Adviser = field(default_factory=Adviser)
    out: Path | None = None  # a run folder: what is finished there is not counted
    count: int = 0  # so many tickers, shaped like the dataset's in turn; 0: those there are
    machines: int = 1  # like this one, that share the tasks
    gpu: bool = False  # learned arms in one group on a GPU


@dataclass(frozen=True)
class Asking:
    """What a study asks, and of whom."""

    chat: Chat
    tasks: tuple[Task, ...]
    audits: tuple[Task, Task] | None  # of a ticker, and of all of them once
    sampled: tuple[str, ...]  # tickers whose questions were made
    price: Price | None
    spent_usd: float | None = None  # by the run's store, where there is a budget

    @property
    def is_local(self) -> bool:
        """Whether the model computes here."""
        return "server" not in self.chat.identity


@dataclass(frozen=True)
class Done:
    """What a run folder holds already."""

    arms: frozenset[tuple[str, str]] = frozenset()  # ticker and arm
    told: frozenset[str] = frozenset()  # tickers whose notebooks are done
    run_told: bool = False  # whether those of the run are
    agents: frozenset[str] = frozenset()  # tickers with unguided agents
    factors: Mapping[str, float] = field(default_factory=dict)  # by kind of arm: its seconds, of the recorded ones


@dataclass(frozen=True)
class Setting:
    """A study, opened: what the stages are made from."""

    study: Study
    dataset: Dataset
    planned: tuple[tuple[str, int], ...]  # ticker, and which repetition of it
    rows: Mapping[str, Rows]
    arms: tuple[str, ...]
    asking: Asking
    done: Done
    speeds: Speeds
    unusable: tuple[str, ...] = ()  # a sentence for each ticker that is left out
    calibration: Calibration | None = None

    @property
    def profile(self) -> Profile:
        return self.study.profile

    @property
    def scale(self) -> float:
        """Of all seconds of a processor that the run folder does not tell."""
        return self.calibration.factor if self.calibration else 1.0

    @property
    def jobs(self) -> int:
        return self.study.jobs or os.cpu_count() or 1

    @property
    def slots(self) -> int:
        return self.jobs * self.study.machines

    @property
    def cores(self) -> int:
        return max(self.jobs, os.cpu_count() or 1) * self.study.machines

    @cached_property
    def asked_like(self) -> list[str]:
        """For each planned ticker one whose questions were made: itself, or one of these in turn."""
        sampled, others = set(self.asking.sampled), cycle(self.asking.sampled)
        return [ticker if ticker in sampled else next(others) for ticker, _ in self.planned]

    @property
    def agents(self) -> frozenset[str]:
        """The tickers that will have unguided agents."""
        return frozenset(self.rows) if UNGUIDED in self.arms else self.done.agents

    def counting(self, count: int) -> Setting:
        """The same with so many tickers, shaped like these in turn; 0: these."""
        tickers = list(self.rows)
        places = range(count or len(tickers))
        return replace(self, planned=tuple((tickers[place % len(tickers)], place // len(tickers)) for place in places))

    def left(self, arms: Iterable[str]) -> list[tuple[str, str]]:
        """Of these arms each that is still to be made, with the ticker whose shape it has, arm by arm."""
        return [
            (arm, ticker)
            for arm in arms
            for ticker, copy in self.planned
            if copy > 0 or (ticker, arm) not in self.done.arms
        ]

    def arm_scale(self, arm: str) -> float:
        return self.done.factors.get(kind_of(arm), self.scale)
