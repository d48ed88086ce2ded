"""What a run does, cut into tasks: each can be sent to another process, and what stops one does not stop the rest."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from llmrl_lib.experiments.folders import explain

# whether anybody waits for the work of this thread, and where it may lay temporary files; whoever sends work may say so
is_wanted: ContextVar[Callable[[], bool]] = ContextVar("is_wanted", default=lambda: True)
scratch: ContextVar[str | None] = ContextVar("scratch", default=None)
unfit: ContextVar[str] = ContextVar("unfit", default="")  # what keeps whoever works in this thread from taking part


class NoLongerWantedError(Exception):
    """Raised in work that nobody waits for any more."""


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
class Task:
    """One piece of work for one process: `call` takes no arguments and can be sent to another process."""

    ticker: str
    what: str
    call: Callable[[], object]
    folder: Path | None = None  # where an arm reports its progress
    episodes: int = 0
    here: bool = False  # for this machine, whatever does the rest

    @property
    def title(self) -> str:
        return f"{self.ticker} {self.what}".strip()


def attempt(number: int, task: Task, call: Callable[[], object] | None = None) -> tuple[int, Failure | None]:
    """Makes a task's call, or another one in its name, and tells what stopped it."""
    try:
        (call or task.call)()
    except Exception as error:  # whatever stopped this task must not stop the others; it is reported as its failure
        return number, failure_of(task, error)
    return number, None


def failure_of(task: Task, error: BaseException) -> Failure:
    """What an error of a task says; call it while the error is handled."""
    return Failure(task.ticker, task.what, explain(error), traceback.format_exc())
