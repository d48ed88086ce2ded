"""How long hundreds of runs take on a GPU: the paper's protocol in lock-step, on an invented price series.

    python benchmarks/gpu_speed.py [--runs 300] [--episodes 50] [--precision float32] [--out benchmarks/gpu_speed.json]

Prints seconds, milliseconds per lock-step, run-steps per second and peak memory, and writes them beside the machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
from train_speed import ROOT, invented_problem

from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.learner import Group


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "gpu_speed.json")
    given = parser.parse_args()
    settings = TdqnSettings(episodes=given.episodes, precision=given.precision)
    prepared = invented_problem()
    began = time.perf_counter()
    group = Group((prepared,) * given.runs, list(range(given.runs)), settings, given.device)
    while group.advance():
        if group.step % 5000 == 0:
            print(f"step {group.step} of {group.steps}, {time.perf_counter() - began:.0f} s", flush=True)
    results = group.results()
    seconds = time.perf_counter() - began
    run_steps = sum(int(result.episodes[-1]["steps"]) for result in results)
    cuda = given.device.startswith("cuda")
    report = {
        "command": " ".join(["python", "benchmarks/gpu_speed.py", *sys.argv[1:]]),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor(),
        "torch": torch.__version__,
        "seconds": round(seconds, 1),
        "milliseconds_per_lock_step": round(1e3 * seconds / group.steps, 3),
        "run_steps_per_second": round(run_steps / seconds),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if cuda else None,
        "mean_test_sharpe": sum(result.episodes[-1]["test_sharpe"] for result in results) / given.runs,
    }
    print(json.dumps(report, indent=2))
    given.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
