"""How large a packet of expert review is, and how long it takes to make, from strategies that are there already.

    python benchmarks/review.py --run runs/embedded [--cases 12] [--out benchmarks/review.json]

`study` is reading the dataset and the strategies and choosing the cases, `packet` is one packet with its file, both from a
cold start in this process; `report` is every table on ten simulated reviewers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import llmrl_lib as ll
from llmrl_lib.experiments import review_report, reviewing
from llmrl_lib.strategy.review.study import ReviewPlan

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "review.json")
    given = parser.parse_args()
    started = time.perf_counter()
    run = ll.open_run(given.run)
    study = reviewing.study_of_run(run, plan=ReviewPlan(given.cases))
    if study is None:
        raise SystemExit(f"{given.run} has no strategies")
    chosen = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        (place,) = reviewing.make_review(study, ["R01"], Path(folder))
        made, size = time.perf_counter(), place.stat().st_size
    answers = reviewing.simulated_answers(study, reviewing.SIMULATED)
    answered = time.perf_counter()
    review_report.report_html(reviewing.Review(study, answers, True))
    found = {
        "cases": len(study.cases),
        "shares": len(study.tickers),
        "packet_bytes": size,
        "study_seconds": round(chosen - started, 2),
        "packet_seconds": round(made - chosen, 2),
        "report_seconds": round(time.perf_counter() - answered, 2),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    report = json.loads(given.out.read_text()) if given.out.is_file() else {}
    report[f"{run.dataset.name}: prompt {study.prompt}"] = found
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
