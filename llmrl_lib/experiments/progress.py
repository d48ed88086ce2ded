"""Shows how far the work of a run has come: on a terminal as it goes, in a file as a line now and then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

FILE = "progress.json"  # in the folder of an arm at work: episodes finished, mean test_sharpe of the seeds
SEED_FILES = "checkpoints/progress-*.json"  # there, too: the same of seeds that train by themselves
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_LINES = 60.0  # where there is no terminal
_SAID = 60  # characters of a reason beside a bar; the whole of it is told at the end
_NAMED = 6  # tasks that a line names; of more it says how many


@dataclass(frozen=True)
class Work:
    """One line of the display."""

    title: str
    folder: Path | None  # where FILE is looked for
    episodes: int
    before: bool = False  # whether an earlier run left it done, so that little is to do


class Display:
    """The progress of one set of tasks after another. A console of None shows nothing.

    On a terminal bars that move; else lines: what there is to do, what began to report, what ended, and once a minute what
    is under way.
    """

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._shown: _Bars | _Lines | None = None

    @contextmanager
    def showing(self, work: Sequence[Work]) -> Iterator[None]:
        """Shows `work` and follows the files in which arms report, until the block ends."""
        if self._console is None:
            yield
            return
        with (_bars if self._console.is_terminal else _lines)(self._console, work) as self._shown:
            stop = threading.Event()
            watcher = threading.Thread(target=_watch, args=(stop, self._shown.look), daemon=True)
            watcher.start()
            try:
                yield
            finally:
                stop.set()
                watcher.join()
        self._shown = None

    def say(self, sentence: str) -> None:
        """Tells something that no task tells."""
        if self._console is not None:
            self._console.print(sentence, soft_wrap=True, markup=False, highlight=False)

    def ended(self, number: int, well: bool, why: str = "") -> None:
        """Marks the task with this number in the list shown as finished, or as failed and why."""
        if self._shown is not None:
            self._shown.ended(number, "done" if well else f"failed: {' '.join(why.split())}" if why else "failed")


class _Bars:
    """A bar for each task that reports, and one for all."""

    def __init__(self, progress: Progress, work: Sequence[Work]) -> None:
        self._progress, self._work = progress, work
        self._over: set[int] = set()  # numbers of tasks that have ended
        self._lock = threading.Lock()
        self._total = progress.add_task("all", total=sum(max(1, one.episodes) for one in work), said="")
        self._bars: list[TaskID] = [
            progress.add_task(one.title, total=max(1, one.episodes), said="", visible=False) for one in work
        ]

    def ended(self, number: int, said: str) -> None:
        episodes = max(1, self._work[number].episodes)
        with self._lock:
            self._over.add(number)
            self._progress.update(
                self._bars[number], completed=episodes, said=shorten(said, _SAID), visible=said != "done"
            )
            self._sum_up()

    def look(self) -> None:
        with self._lock:
            for number, (work, bar) in enumerate(zip(self._work, self._bars, strict=True)):
                if number not in self._over and (said := _read(work)) is not None:
                    episodes, sharpe = said
                    self._progress.update(bar, completed=episodes, said=f"test Sharpe {sharpe:.2f}", visible=True)
            self._sum_up()

    def _sum_up(self) -> None:
        shown = {task.id: task for task in self._progress.tasks}
        self._progress.update(self._total, completed=sum(shown[bar].completed for bar in self._bars))


class _Lines:
    """A line for whatever happens, and one a minute while nothing does."""

    def __init__(self, console: Console, work: Sequence[Work]) -> None:
        self._console, self._work = console, work
        self._left = dict(enumerate(work))
        self._before = {number: _read(one) for number, one in enumerate(work)}  # what an earlier run left
        self._begun: set[int] = set()
        self._since = self._last = time.monotonic()
        self._lock = threading.Lock()
        self._say(_to_do(work))

    def ended(self, number: int, said: str) -> None:
        with self._lock:
            del self._left[number]
            self._say(f"{self._work[number].title}: {said}")

    def look(self) -> None:
        with self._lock:
            found = {number: _read(one) for number, one in self._left.items()}
            reports = {number: said for number, said in found.items() if said and said != self._before[number]}
            for number in sorted(reports.keys() - self._begun):
                self._say(_how_far(self._work[number], reports[number]))
            self._begun |= reports.keys()
            if self._left and time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
                self._say(self._under_way(reports))

    def _under_way(self, reports: dict[int, tuple[int, float]]) -> str:
        minutes = (time.monotonic() - self._since) / 60
        ended = len(self._work) - len(self._left)
        told = [_how_far(self._work[number], said) for number, said in reports.items()]
        silent = [one.title for number, one in self._left.items() if number not in reports]
        parts = [", ".join(told)] if told else []
        if silent:
            parts.append(f"{'also ' if told else ''}under way or waiting: {_named(silent)}")
        return f"after {minutes:.0f} min {ended} of {_counted(len(self._work))} ended; {'; '.join(parts)}"

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._last = time.monotonic()


@contextmanager
def _bars(console: Console, work: Sequence[Work]) -> Iterator[_Bars]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress, work)


@contextmanager
def _lines(console: Console, work: Sequence[Work]) -> Iterator[_Lines]:
    yield _Lines(console, work)


def _watch(stop: threading.Event, look: Callable[[], None]) -> None:
    while not stop.wait(SECONDS_BETWEEN_LOOKS):
        look()


def _to_do(work: Sequence[Work]) -> str:
    """What there is to do, those apart that an earlier run left done."""
    left = [one.title for one in work if not one.before]
    if len(left) == len(work):
        return f"{_counted(len(work))} to do: {_named(left)}"
    done = f"{_counted(len(work))}, {len(work) - len(left)} of them done before"
    return f"{done}; to do: {_named(left)}" if left else done


def _how_far(work: Work, said: tuple[int, float]) -> str:
    episodes, sharpe = said
    return f"{work.title}: {episodes} of {max(1, work.episodes)} episodes, test Sharpe {sharpe:.2f}"


def _named(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - _NAMED} more" if len(titles) > _NAMED else ""
    return ", ".join(titles[:_NAMED]) + more


def _counted(tasks: int) -> str:
    return f"{tasks} task{'s' * (tasks != 1)}"


def _read(work: Work) -> tuple[int, float] | None:
    """Episodes done and mean Sharpe ratio of an arm, from its own file or from those of its seeds."""
    if work.folder is None:
        return None
    seeds = [said for place in work.folder.glob(SEED_FILES) if (said := _said(place)) is not None]
    if not seeds:
        return _said(work.folder / FILE)
    return sum(episodes for episodes, _ in seeds), sum(sharpe for _, sharpe in seeds) / len(seeds)


def _said(place: Path) -> tuple[int, float] | None:
    try:
        said = json.loads(place.read_text("utf-8"))
        return int(said["episodes"]), float(said["test_sharpe"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
