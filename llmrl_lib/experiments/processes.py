"""The processes of a run: one at a time in a folder, with workers that never outlive it.

A second process on the same folder is refused. A process that is gone, however it ended, no longer holds its folder, and
its workers end by themselves.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from joblib import Parallel
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker

from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.market.locking import held_file

LOCK = ".lock"  # in a run folder: process and host that work there, or did last
SECONDS_BETWEEN_LOOKS = 0.5
Result = TypeVar("Result")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a run folder, which is made if need be, until the block ends.

    The file LOCK in it then says who works there, and, in a second line, by what token workers on other machines know it.

    Raises ExperimentError, naming process and host, while another one is at work there. The system itself lets go of the
    lock when its process ends, so that the file which stays behind is never in the way. Where the block wrote nothing,
    neither the file nor a folder that was made for it stays.
    """
    made = list(itertools.takewhile(lambda place: not place.exists(), (folder, *folder.parents)))

    def busy(holder: str) -> ExperimentError:
        return ExperimentError(f"{holder} is at work in {folder}; wait for its end, or stop it")

    with held_file(folder / LOCK, busy) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n{uuid.uuid4().hex}\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # something is in it
                if [place.name for place in folder.iterdir()] == [LOCK]:
                    (folder / LOCK).unlink()
                for place in made:
                    place.rmdir()


def in_workers(calls: Iterable[tuple[Callable[..., Result], tuple, dict]], workers: int) -> Iterator[Result]:
    """The results of joblib's delayed `calls`, as they come, from up to `workers` processes; 1 means this one."""
    _start_quiet_tracker()
    # a worker that has grown by 300 MB, as one does that held a language model, is replaced when it has done its work
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor")
    parallel = Parallel(workers, return_as="generator_unordered", initializer=_end_with, initargs=(os.getpid(),))
    yield from parallel(calls)


def stop_workers() -> None:
    """Kills the workers of this process, and theirs."""
    get_reusable_executor(reuse=True, kill_workers=True).shutdown(kill_workers=True)


def _end_with(parent: int) -> None:
    """Called in a new worker: ends it when the process that started it is gone, because nobody waits for its results."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        stop_workers()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start_quiet_tracker() -> None:
    """Starts the process that tidies up shared memory after killed workers, without its warning that it had to."""
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker:UserWarning"
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}" if before else quiet
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
