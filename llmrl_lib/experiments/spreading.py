"""The tasks of a run on a cluster: cut into parts that workers do, put together again where the run was started.

A learned arm goes out seed by seed, because a cluster's worker has one processor and no children; any other arm, and the
strategies of a local model, go out whole. When the last part of an arm has come in it is written here, so that results
land as they finish. Tasks that stay here (a chat behind a server, whose key and budget stay here too) are done
meanwhile.

With shared storage workers work in the run folder itself: a part that another worker takes over goes on from its last
checkpoint. Two workers can then be at one part for a moment, when one was given up that still lives. Nothing guards
against that but this: files are only ever put in place whole, under names of their own until then, and both compute the
same bytes. A worker whose task was taken back, or whose run another process has taken over, stops at its next episode.

A worker that comes late and cannot take part gives back what it is handed, and that goes out again when the rest is done.
It keeps each ticket twice as long as the one before, so that it draws few away from the others.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from llmrl_lib.experiments.carrying import Parcel, carry_out, kept_of, packed, put_in_place
from llmrl_lib.experiments.clusters import Cluster, Standard, defect_here, joined, name_of_this_worker
from llmrl_lib.experiments.joblib_backends import ClusterBackend, Lost
from llmrl_lib.experiments.processes import LOCK, in_workers
from llmrl_lib.experiments.work import Failure, Task, attempt, failure_of, is_wanted, unfit

HANDED_OUT = 4  # times that a ticket goes out, if unfit workers give it back
SECONDS_KEPT = 1.0  # of the first ticket that an unfit worker gives back
MOST_SECONDS_KEPT = 600.0
_given_back = itertools.count()  # tickets, by this process
Ended = tuple[int, Failure | None]  # the number of a task, and what stopped it


class Parted(Protocol):
    """A task's call that a cluster can do in parts."""

    def parts(self) -> Sequence[Callable[[], None]]:
        """What is left to do, for as many workers; empty where it is done."""

    def finish(self) -> None:
        """Ends the task when all its parts are done."""


@dataclass(frozen=True)
class Ticket:
    """A part of a task on its way to a worker."""

    number: int  # of the task
    task: Task  # without its call
    part: Any
    standard: Standard
    folder: Path  # where relative paths begin, with shared storage
    needs: tuple[str, ...] = ()  # digests; without shared storage
    kept: Parcel = field(default_factory=dict)
    seconds_kept: float = SECONDS_KEPT

    @property
    def title(self) -> str:
        seed = getattr(self.part, "seed", None)
        return self.task.title if seed is None else f"{self.task.title} seed {seed}"


@dataclass(frozen=True)
class Returned:
    """What a worker gives back."""

    number: int
    failure: Failure | None
    files: Parcel = field(default_factory=dict)
    unfit: str = ""  # the worker, and what keeps it from taking part; its ticket is as it was
    title: str = ""  # of that ticket


class Far:
    """A cluster that works for one run."""

    def __init__(self, backend: ClusterBackend, standard: Standard, jobs: int) -> None:
        self._backend, self._standard, self._jobs = backend, standard, jobs

    @property
    def shares(self) -> bool:
        return self._standard.marker is not None

    def work_off(self, tasks: Sequence[Task], jobs_here: int) -> Iterator[Ended]:
        """Does all tasks; numbers of those that ended, as they end. Those that stay here take up to `jobs_here` processes."""
        numbered = list(enumerate(tasks))
        here = [(number, task) for number, task in numbered if task.here]
        sources = [self._spread([(number, task) for number, task in numbered if not task.here])]
        yield from _merged([*sources, *([work_off_here(here, jobs_here)] if here else [])])

    def stop(self) -> None:
        """Takes back what waits; workers at work stop at the end of an episode."""
        self._backend.abort_everything()

    def _spread(self, tasks: Sequence[tuple[int, Task]]) -> Iterator[Ended]:
        """Cuts tasks into parts as workers get to them, and ends each with its last part."""
        by_number, left, early = dict(tasks), dict[int, int](), deque[Ended]()

        def tickets() -> Iterator[Ticket]:
            for number, task in tasks:
                try:
                    found = [self._ticket(number, task, part) for part in task.call.parts()]  # type: ignore[attr-defined]
                except Exception as error:  # as in `attempt`: it stops this task alone
                    early.append((number, failure_of(task, error)))
                    continue
                if found:
                    left[number] = len(found)
                    yield from found
                else:
                    early.append((number, None))

        try:
            for came in self._results(tickets(), by_number):
                while early:
                    yield early.popleft()
                number, failure, task = came.number, came.failure, by_number[came.number]
                if failure is None and came.files:
                    folder = task.call.folder  # type: ignore[attr-defined]  # whatever the worker may say of it
                    _, failure = attempt(number, task, partial(put_in_place, folder, came.files))
                if number not in left:
                    continue  # it has failed already
                left[number] -= 1
                if failure is None and left[number] == 0:
                    _, failure = attempt(number, task, task.call.finish)  # type: ignore[attr-defined]
                if failure is not None or left[number] == 0:
                    del left[number]
                    yield number, failure
            yield from early
        finally:
            self._backend.forget_parcels()

    def _ticket(self, number: int, task: Task, part: Any) -> Ticket:
        bare = Task(task.ticker, task.what, _nothing)
        if self.shares:
            return Ticket(number, bare, part, self._standard, Path.cwd(), seconds_kept=SECONDS_KEPT)
        digests = []
        for files in part.needs():
            digest, parcel = packed(files)
            self._backend.parcels.setdefault(digest, parcel)
            digests.append(digest)
        return Ticket(number, bare, part, self._standard, Path(), tuple(digests), kept_of(part))

    def _results(self, tickets: Iterable[Ticket], tasks: Mapping[int, Task]) -> Iterator[Returned]:
        """What workers give back; a ticket that an unfit one has given back goes out again when the others are done."""
        named = set[str]()
        for left in reversed(range(HANDED_OUT)):
            out, again = dict[tuple[int, str], Ticket](), list[Ticket]()
            for came in self._once(_noted(tickets, out), tasks):
                ticket = out.pop((came.number, came.title), None)
                if came.unfit and came.unfit not in named:
                    named.add(came.unfit)
                    warnings.warn(came.unfit, stacklevel=2)
                if came.unfit and left and ticket:
                    again.append(ticket)
                else:
                    yield came
            if not again:
                return
            tickets = again

    def _once(self, tickets: Iterable[Ticket], tasks: Mapping[int, Task]) -> Iterator[Returned]:
        calls: Iterator[Any] = ((perform, (ticket,), {}) for ticket in tickets)  # the backend adds how to fetch files
        parallel = Parallel(
            n_jobs=-1,
            backend=self._backend,
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=self._jobs or "all",
        )
        for result in parallel(calls):
            if isinstance(result, Lost):
                task = tasks[result.number]
                yield Returned(result.number, Failure(task.ticker, task.what, result.why, result.why))
            else:
                yield result


@contextmanager
def at_work(cluster: Cluster, folder: Path, data: Path, jobs: int) -> Iterator[Far | None]:
    """The cluster that works for the run in `folder`, which this process holds; None for loky.

    `jobs` is the number of calls under way at once, 0 as many as the cluster can make. Raises what `clusters.joined` raises.
    """
    if cluster.backend == "loky":
        yield None
        return
    standard = Standard.of_this_machine()
    if cluster.storage == "shared":
        standard = standard.sharing(folder.absolute() / LOCK, data.absolute())
    with joined(cluster, standard) as backend:
        yield Far(backend, standard, jobs)


def perform(ticket: Ticket, fetch: Callable[[str], Parcel]) -> Returned:
    """Does a part of a task in the process of a worker; `fetch` gives the files that it needs by their digest."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU would give other numbers than the workers without one
    number, task, part = ticket.number, ticket.task, ticket.part
    if defect := unfit.get() or defect_here(ticket.standard):
        why = f"the worker {name_of_this_worker()} cannot take part: {defect}"
        _keep(ticket.seconds_kept)
        return Returned(number, Failure(task.ticker, task.what, why, why), unfit=why, title=ticket.title)
    if ticket.standard.marker is None:
        files: dict[str, bytes] = {}
        _, failure = attempt(number, task, lambda: files.update(carry_out(part, ticket.kept, ticket.needs, fetch)))
        return Returned(number, failure, files, title=ticket.title)
    with contextlib.chdir(ticket.folder if ticket.folder.is_dir() else "."), _while_held(ticket.standard):
        return Returned(*attempt(number, task, part), title=ticket.title)


def _keep(seconds: float) -> None:
    """Waits before an unfit worker gives a ticket back, twice as long each time, or until nobody waits for it."""
    until = time.monotonic() + min(MOST_SECONDS_KEPT, seconds * 2.0 ** min(next(_given_back), 20))
    while time.monotonic() < until and is_wanted.get()():
        time.sleep(0.1)


def _noted(tickets: Iterable[Ticket], out: dict[tuple[int, str], Ticket]) -> Iterator[Ticket]:
    """The tickets, each written into `out` by its number and title as it goes."""
    for ticket in tickets:
        out[ticket.number, ticket.title] = ticket
        yield ticket


@contextmanager
def _while_held(standard: Standard) -> Iterator[None]:
    """Work in this block is wanted as long as the run is held by the process that it was begun for."""
    others = is_wanted.get()

    def wanted() -> bool:
        try:
            held = standard.marker is None or standard.marker.read_text("utf-8") == standard.token
        except OSError:
            held = False
        return held and others()

    before = is_wanted.set(wanted)
    try:
        yield
    finally:
        is_wanted.reset(before)


def work_off_here(tasks: Sequence[tuple[int, Task]], jobs: int) -> Iterator[Ended]:
    """Calls numbered tasks in up to `jobs` processes of this machine; numbers of those that ended, as they end."""
    left = dict(tasks)
    calls = (delayed(attempt)(number, task) for number, task in tasks)
    try:
        for number, failure in in_workers(calls, min(jobs, len(tasks))):
            del left[number]
            yield number, failure
    except TerminatedWorkerError as error:
        why = "a process was killed, perhaps for want of memory; give the same command again, with fewer --jobs"
        for number, task in left.items():
            yield number, Failure(task.ticker, task.what, why, failure_of(task, error).details)


def _merged(sources: Sequence[Iterable[Ended]]) -> Iterator[Ended]:
    """What all sources give, as it comes, each read by a thread of its own where there are several."""
    if len(sources) == 1:
        yield from sources[0]
        return
    came: queue.Queue[Ended | BaseException | None] = queue.Queue()

    def read(source: Iterable[Ended]) -> None:
        try:
            for one in source:
                came.put(one)
            came.put(None)
        except BaseException as error:  # raised where the results are wanted
            came.put(error)

    for source in sources:
        threading.Thread(target=read, args=(source,), daemon=True).start()
    open_sources = len(sources)
    while open_sources:
        one = came.get()
        if isinstance(one, BaseException):
            raise one
        if one is None:
            open_sources -= 1
        else:
            yield one


def _nothing() -> None:
    pass
