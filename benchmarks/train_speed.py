"""Milliseconds per training step and batched environment steps per second, against the slow reference.

    python benchmarks/train_speed.py [--seconds 8] [--out benchmarks/train_speed.json]

Everything is measured side by side in one run, in alternating rounds, so that ratios hold on a noisy machine; the figure of
a case is its median round, the fastest round stands beside it. A run-step is one environment step of one run with its
learning step. What comes once an episode (evaluation on both splits, accounts included) and once in 1000 steps (the copy to
the target) is left out of the rounds, measured by itself, and added to every fast case in proportion: an episode has 754.7
steps on average. The slow reference is timed without evaluation. Random actions, which cost no forward pass, have their mean
share of a run of 50 episodes throughout. The price series is invented.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch

from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.environment import BatchedTrading
from llmrl_lib.trading.learner import Group
from llmrl_lib.trading.problem import Prepared, Problem, prepare

ROOT = Path(__file__).resolve().parent.parent
WARM_UP, ROUNDS = 100, 5
STEPS_PER_EPISODE = 754.7  # the mean over uniformly drawn starts of 1509 rows
EPSILON = 0.266  # the mean of 0.01 + 0.99 exp(-step / 10,000) over 50 such episodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each case and round")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "train_speed.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    prepared = invented_problem()
    rows = []
    for name, step in cases(prepared).items():
        rows.append({"case": name, "step": step, "rounds": []})
    seldom = seldom_costs(prepared)
    extra = (
        seldom["evaluation, ms"] / STEPS_PER_EPISODE + seldom["copy to the target, ms"] / TdqnSettings().target_period
    )
    for turn in range(ROUNDS):
        for row in rows:
            steps, seconds = timed(row["step"], given.seconds)
            row["rounds"].append(1e3 * seconds / steps)
            print(f"round {turn + 1}/{ROUNDS}  {row['case']:<44} {row['rounds'][-1]:8.3f} ms a run-step", flush=True)
    figures = {}
    for row in rows:
        added = 0.0 if row["case"].startswith("slow") else extra
        median, fastest = statistics.median(row["rounds"]) + added, min(row["rounds"]) + added
        figures[row["case"]] = {"median": round(median, 3), "fastest": round(fastest, 3)}
    for name, each in two_processes(given.seconds).items():
        figures[name] = {"mean": round(each + extra, 3)}
    report = {
        "command": " ".join(["python", "benchmarks/train_speed.py", *sys.argv[1:]]),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "processor": processor()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "milliseconds_per_run_step_and_core": figures,
        "seldom": {name: round(value, 2) for name, value in seldom.items()},
        "environment_steps_per_second": environment_speed(prepared, given.seconds),
        "memory_of_25_runs_in_one_process_mib": round(memory_of(25), 0),
    }
    print(json.dumps(report, indent=2))
    given.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def cases(prepared: Prepared) -> dict[str, Callable[[], int]]:
    """What is timed: each function takes some steps and returns how many run-steps they were."""
    return {
        "slow reference, 1 run, 1 thread": slow_stepper(prepared),
        "float32, 1 run, 1 thread": stepper(prepared, 1),
        "float32, 5 runs in lock-step, 1 thread": stepper(prepared, 5),
        "float32, 25 runs in lock-step, 1 thread": stepper(prepared, 25),
        "float32, 25 runs one after the other, 1 thread": sequence(prepared, 25),
        "float32, 25 runs in stacked products, 1 thread": stepper(prepared, 25, stacked=True),
        "bfloat16, 1 run, 1 thread": stepper(prepared, 1, precision="bfloat16"),
        "bfloat16, 25 runs one after the other, 1 thread": sequence(prepared, 25, precision="bfloat16"),
        "float32, 1 run, 2 threads": with_threads(stepper(prepared, 1), 2),
    }


def stepper(prepared: Prepared, runs: int, precision: str = "float32", stacked: bool = False) -> Callable[[], int]:
    """Steps of one lock-step group, warmed up beyond the first learning steps."""
    settings = TdqnSettings(precision=precision, target_period=10**9, epsilon_start=EPSILON, epsilon_end=EPSILON)
    group = Group((prepared,) * runs, list(range(runs)), settings, stacked=stacked)
    block = max(5, 100 // runs)
    group._ends.clear()  # evaluations are timed by themselves
    group.advance(limit=min(WARM_UP, 20 * block))

    def step() -> int:
        group.advance(limit=block)
        return block * runs

    return step


def sequence(prepared: Prepared, runs: int, precision: str = "float32") -> Callable[[], int]:
    """The product's way on CPU: groups of one, here in turns of 100 steps so that all of them take part."""
    steppers = [stepper(prepared, 1, precision) for _ in range(runs)]
    turn = iter(range(10**9))
    return lambda: steppers[next(turn) % runs]()


def slow_stepper(prepared: Prepared) -> Callable[[], int]:
    """The plain transcription of the benchmark that the tests hold the fast path against."""
    spec = importlib.util.spec_from_file_location("slow_reference", ROOT / "tests" / "trading" / "slow_reference.py")
    assert spec is not None
    assert spec.loader is not None
    slow = importlib.util.module_from_spec(spec)
    sys.modules["slow_reference"] = slow
    spec.loader.exec_module(slow)
    settings = TdqnSettings(epsilon_start=EPSILON, epsilon_end=EPSILON)
    agent = slow.SlowAgent(prepared.training.table.shape[-1], settings)
    slow.train_slowly(agent, prepared, 0, WARM_UP, None)

    def step() -> int:
        slow.train_slowly(agent, prepared, 0, 50, None)
        return 50

    return step


def seldom_costs(prepared: Prepared) -> dict[str, float]:
    """Median milliseconds of an evaluation (both splits, accounts included) and of a copy to the target, for one run."""
    group = Group((prepared,), [0], TdqnSettings())
    group.advance(limit=WARM_UP)
    group._walks[0].ends[:] = 0

    def evaluate() -> None:
        group.episodes[0].clear()
        group._evaluate(0)
        group._log(None)

    found = {}
    for name, call in (("evaluation, ms", evaluate), ("copy to the target, ms", group._renew_targets)):
        times = []
        for _ in range(15):
            began = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - began))
        found[name] = statistics.median(times)
    return found


def with_threads(step: Callable[[], int], threads: int) -> Callable[[], int]:
    def timed_step() -> int:
        torch.set_num_threads(threads)
        try:
            return step()
        finally:
            torch.set_num_threads(1)

    return timed_step


def two_processes(seconds: float) -> dict[str, float]:
    """Two worker processes at once, one thread each: what a run-step costs each of them."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        figures = list(pool.map(_worker, [("float32", seconds)] * 2))
        narrow = list(pool.map(_worker, [("bfloat16", seconds)] * 2))
    return {
        "float32, 2 processes, each": statistics.mean(figures),
        "bfloat16, 2 processes, each": statistics.mean(narrow),
    }


def _worker(what: tuple[str, float]) -> float:
    torch.set_num_threads(1)
    step = stepper(invented_problem(), 1, what[0])
    steps, seconds = timed(step, what[1])
    return 1e3 * seconds / steps


def environment_speed(prepared: Prepared, seconds: float, accounts: int = 4096) -> int:
    """Batched environment steps per second, observations, rewards and imagined rewards included."""
    segment = prepared.train
    env = BatchedTrading(segment.table, segment.closes, accounts, TdqnSettings())
    generator = np.random.default_rng(0)
    actions = generator.integers(0, 2, (64, accounts))
    turn = iter(range(10**9))

    def step() -> int:
        env.observe()
        env.step(actions[next(turn) % 64])
        return accounts

    steps, took = timed(step, seconds)
    return round(steps / took)


def memory_of(runs: int) -> float:
    """Peak resident MiB of a fresh process that trains `runs` runs in one lock-step group."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, runs).result()


def _peak(runs: int) -> float:
    torch.set_num_threads(1)
    stepper(invented_problem(), runs)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(step: Callable[[], int], seconds: float) -> tuple[int, float]:
    steps, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        steps += step()
    return steps, took


def invented_problem() -> Prepared:
    """A random walk as long as the benchmark's splits: 1509 and 503 rows."""
    generator = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(generator.normal(0.0004, 0.015, 2012)))
    spread = close * generator.uniform(0.002, 0.03, 2012)
    volume = generator.lognormal(15, 0.5, 2012)
    columns = {"open": close, "high": close + spread, "low": close - spread, "close": close, "volume": volume}
    bars = pd.DataFrame(columns, index=pd.bdate_range("2012-01-03", periods=2012, name="date"))
    return prepare(Problem(bars.iloc[:1509], bars.iloc[1509:]), TdqnSettings())


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
