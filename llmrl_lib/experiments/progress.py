"""Shows on a terminal how far the work of a run has come: episodes done, Sharpe ratio so far, time left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

FILE = "progress.json"  # in the folder of an arm at work: episodes finished, mean test_sharpe of the seeds
SEED_FILES = "checkpoints/progress-*.json"  # there, too: the same of seeds that train by themselves
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Work:
    """One line of the display."""

    title: str
    folder: Path | None  # where FILE is looked for
    episodes: int


class Display:
    """The progress of one set of tasks after another. A console of None shows nothing."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._lines: list[TaskID] = []
        self._work: list[Work] = []
        self._total: TaskID | None = None
        self._over: set[int] = set()  # numbers of tasks that have ended

    @contextmanager
    def showing(self, work: Sequence[Work]) -> Iterator[None]:
        """Shows `work` and follows the files in which arms report, until the block ends."""
        if self._console is None:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(compact=True),
        )
        stop = threading.Event()
        with Progress(*columns, console=self._console) as self._progress:
            self._work, self._over = list(work), set()
            self._total = self._progress.add_task("all", total=sum(max(1, one.episodes) for one in work), said="")
            self._lines = [
                self._progress.add_task(one.title, total=max(1, one.episodes), said="", visible=False) for one in work
            ]
            watcher = threading.Thread(target=self._watch, args=(stop,), daemon=True)
            watcher.start()
            try:
                yield
            finally:
                stop.set()
                watcher.join()
        self._progress = None

    def ended(self, number: int, well: bool) -> None:
        """Marks the task with this number in the list shown as finished, or as failed."""
        if self._progress is None or self._console is None:
            return
        self._over.add(number)
        work, line = self._work[number], self._lines[number]
        said = "done" if well else "failed"
        self._progress.update(line, completed=max(1, work.episodes), said=said, visible=not well)
        self._sum_up()
        if not self._console.is_terminal:
            self._console.print(f"{work.title}: {said}")

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(SECONDS_BETWEEN_LOOKS):
            for number, (work, line) in enumerate(zip(self._work, self._lines, strict=True)):
                said = None if number in self._over else _read(work)
                if said is not None and self._progress is not None:
                    episodes, sharpe = said
                    self._progress.update(line, completed=episodes, said=f"test Sharpe {sharpe:.2f}", visible=True)
            self._sum_up()

    def _sum_up(self) -> None:
        if self._progress is not None and self._total is not None:
            shown = {task.id: task for task in self._progress.tasks}
            self._progress.update(self._total, completed=sum(shown[line].completed for line in self._lines))


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
