"""A Dask scheduler and its workers as processes of their own on this machine, so that one can be killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent

# what the workers do besides: write down which seed they begin and with what, save at every step, see no folder that
# is hidden from them, die of a poisoned arm
PRELOADED = """
import os, sys
from pathlib import Path
from llmrl_lib.experiments import arm_tasks
from llmrl_lib.experiments.arms import train_seed
from llmrl_lib.trading import tasks

tasks.SECONDS_BETWEEN_CHECKPOINTS = tasks.WORK_PER_SAVE = 0
told = Path(os.environ["TOLD"])

def train(dataset, ticker, arm, profile, folder, seed, *others):
    if arm == os.environ.get("POISON"):
        os._exit(1)
    saved = (folder / "checkpoints" / f"seed-{seed:04d}.safetensors").is_file()
    with told.open("a") as file:
        file.write(f"{os.getpid()} {arm} {seed} {saved}\\n")
    train_seed(dataset, ticker, arm, profile, folder, seed, *others)

def refuse(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        if os.fspath(arguments[0]).startswith(os.environ["HIDDEN"]):
            raise FileNotFoundError(2, "No such file or directory", os.fspath(arguments[0]))

arm_tasks.train_seed = train
if os.environ.get("HIDDEN") and not hasattr(tasks, "hidden"):
    tasks.hidden = True
    sys.addaudithook(refuse)
"""


class DaskProcesses:
    """`with DaskProcesses(folder) as dask`: a scheduler at `dask.address`, and workers as they are started."""

    def __init__(self, folder: Path, allowed_failures: int = 3) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.told = folder, folder / "told"
        self._allowed = str(allowed_failures)
        self._processes: list[subprocess.Popen] = []
        (folder / "preloaded.py").write_text(PRELOADED)
        self.told.touch()

    def __enter__(self) -> Self:
        file = self.folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        self.address = json.loads(_content(file))["address"]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def start_workers(self, number: int, *options: str, **environment: str) -> list[subprocess.Popen]:
        """Workers of one process and thread each that do what is PRELOADED, unless `options` say otherwise."""
        usual = options or ("--nthreads", "1", "--preload", str(self.folder / "preloaded.py"))
        place = ("--local-directory", str(self.folder / "scratch"))
        return [
            self._start("worker", self.address, "--no-nanny", "--no-dashboard", *place, *usual, **environment)
            for _ in range(number)
        ]

    def kill_scheduler(self) -> None:
        self._processes[0].kill()

    def begun(self) -> list[tuple[str, ...]]:
        """Process, arm, seed and whether there was a checkpoint, of each training that a worker began."""
        return [tuple(line.split()) for line in self.told.read_text().splitlines()]

    def _start(self, *words: str, **environment: str) -> subprocess.Popen:
        ours = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TOLD": str(self.told)}
        ours["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = self._allowed
        elsewhere = self.folder / "elsewhere"  # workers begin in another folder than the run
        elsewhere.mkdir(exist_ok=True)
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                env={**os.environ, **ours, **environment},
                cwd=elsewhere,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process


def _content(file: Path) -> str:
    deadline = time.monotonic() + 30
    while not (file.is_file() and file.read_text().rstrip().endswith("}")):
        assert time.monotonic() < deadline, f"{file} was not written"
        time.sleep(0.02)
    return file.read_text()
