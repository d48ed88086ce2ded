"""One profile on one ticker, by processes of this machine and by as many Dask workers: seconds, and whether bytes differ.

    python benchmarks/clusters.py [--profile quick] [--ticker ORVN] [--workers 2] [--note TEXT] [--out FILE]

Both runs train every arm of the profile from nothing, without notebooks, one after the other. The workers are processes of
their own with one thread each; their start, and that of the scheduler, is timed apart. A third run has one of its workers
killed, halfway through the time that the second one took; another takes its place. Compared are all files but the lock and
the store of replies, of manifests all but seconds, of trials their keys.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from llmrl_lib.experiments import Cluster, run_suite
from llmrl_lib.settings import load_profile

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--ticker", default="ORVN")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "clusters.json")
    parser.add_argument("--note", default="", help="what a reader of the figures should know")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = measure(Path(place), given.profile, given.ticker, given.workers)
    about = {
        "command": " ".join(["python benchmarks/clusters.py", *sys.argv[1:]]),
        "run": f"profile {given.profile}, {given.ticker}, {given.workers} processes or workers",
        "machine": f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}",
        "commit": subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+"], capture_output=True, text=True
        ).stdout.strip(),
        "note": given.note,
        "runs": rows,
    }
    given.out.write_text(json.dumps(about, indent=2) + "\n")
    print(json.dumps(about, indent=2))


def measure(place: Path, profile: str, ticker: str, workers: int) -> list[dict[str, object]]:
    """A row per run: what computed, seconds, files compared, and those that differ from the first run's."""

    def run(name: str, cluster: Cluster) -> float:
        began = time.perf_counter()
        outcome = run_suite(
            ROOT / "data" / "embedded", [ticker], load_profile(profile), place / name, workers, notebooks=False,
            cluster=cluster,
        )  # fmt: skip
        assert not outcome.failures, outcome.failures[0].details
        seconds = round(time.perf_counter() - began, 1)
        print(f"{name}: {seconds} s", flush=True)
        return seconds

    rows: list[dict[str, object]] = [{"run": "loky", "seconds": run("loky", Cluster())}]
    began = time.perf_counter()
    scheduler, address = start_scheduler(place)
    started = [start_worker(address, place) for _ in range(workers)]
    try:
        await_workers(address, workers)
        rows.append({"run": "start of scheduler and workers", "seconds": round(time.perf_counter() - began, 1)})
        seconds = run("dask", Cluster("dask", address))
        rows.append({"run": "dask", "seconds": seconds, **compared(place / "dask", place / "loky")})

        def kill() -> None:
            started[0].kill()
            started.append(start_worker(address, place))

        timer = threading.Timer(seconds / 2, kill)
        timer.start()
        killed = run("killed", Cluster("dask", address))
        rows.append({"run": "dask, one worker killed", "seconds": killed, **compared(place / "killed", place / "loky")})
    finally:
        for process in [*started, scheduler]:
            process.kill()
            process.wait()
    return rows


def start_scheduler(place: Path) -> tuple[subprocess.Popen, str]:
    file = place / "scheduler.json"
    process = _start(
        place, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    )
    while not (file.is_file() and file.read_text().rstrip().endswith("}")):
        time.sleep(0.05)
    return process, json.loads(file.read_text())["address"]


def start_worker(address: str, place: Path) -> subprocess.Popen:
    return _start(place, "worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard")


def _start(place: Path, *words: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (place / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words], env=environment, cwd=place, stdout=log, stderr=log
        )


def await_workers(address: str, number: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(number, timeout=120)


def compared(run: Path, other: Path) -> dict[str, object]:
    """How many files a run holds, and which are not the other's."""
    ours, theirs = contents(run), contents(other)
    differ = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    return {"files": len(ours), "that differ": differ}


def contents(run: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for file in sorted(one for one in run.rglob("*") if one.is_file()):
        name, content = file.relative_to(run).as_posix(), file.read_bytes()
        if file.name == "manifest.json":
            found[name] = {key: value for key, value in json.loads(content).items() if key != "seconds"}
        elif file.name == "trials.jsonl":
            found[name] = sorted(json.loads(line)["key"] for line in content.split(b"\n") if line)
        elif not file.name.startswith((".lock", "replies")):
            found[name] = content
    return found


if __name__ == "__main__":
    main()
