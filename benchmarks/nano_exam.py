"""What Nano is worth on invented markets that it was not trained on, against what could be known there.

    python benchmarks/nano_exam.py [--model FOLDER] [--prompts p0,p1,p2,p3,p4] [--strengths 1.0] [--markets 1]
        [--first 0] [--tickers 6] [--out benchmarks/nano_exam.json]
    python benchmarks/nano_exam.py --roles analyst,trainer,writer,judge [--replies 500] [--teacher FILE]

For each prompt and strength: the marks of `strategy.lessons.examination` over all strategies of these markets (their
companies, every 20 trading days of seven years), mean entropy of reply and decision, and seconds per strategy, the
analyst's replies included. A reply off its schema ends the benchmark. With --roles: how many replies are valid, and how
much of them is what the teacher would have said; the teacher is the one of training (teacher.json in its work folder), or
fitted anew. Cases of the same weights that are in the file already are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from llmrl_lib.language.local import LocalChat
from llmrl_lib.language.nano import Nano
from llmrl_lib.strategy.lessons.examination import examine, examine_role, marks
from llmrl_lib.strategy.lessons.teacher import fit_teacher, load_teacher

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=None, help="folder of a model; the shipped one by default")
    parser.add_argument("--prompts", default="p0,p1,p2,p3,p4")
    parser.add_argument("--strengths", default="1.0")
    parser.add_argument("--markets", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first market")
    parser.add_argument("--tickers", type=int, default=6, help="companies of each market")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "nano_exam.json")
    parser.add_argument("--roles", default="", help="examine these roles instead of prompts")
    parser.add_argument("--replies", type=int, default=500, help="of each role")
    parser.add_argument("--teacher", type=Path, default=ROOT / "runs" / "nano" / "teacher.json")
    given = parser.parse_args()
    chat = LocalChat(given.model, batch=32) if given.model else Nano()
    report = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {"cases": []}
    weights = chat.identity["weights"]
    report["cases"] = [case for case in report["cases"] if case["weights"] == weights]
    if given.roles:
        teacher = load_teacher(given.teacher) if given.teacher.is_file() else fit_teacher()
        for role in given.roles.split(","):
            found = examine_role(chat, teacher, role, given.replies)
            case = {
                "weights": weights,
                "role": role,
                "replies": len(found),
                "valid": int(found["valid"].sum()),
                "agreement": round(float(found["agreement"].mean()), 4),
                "errors": sorted(set(found["error"]) - {""})[:3],
                "commit": _commit(),
            }
            _keep(report, case, given.out)
        return
    for strength in map(float, given.strengths.split(",")):
        for prompt in given.prompts.split(","):
            start = time.perf_counter()
            found = examine(
                chat, prompt, range(given.first, given.first + given.markets), strength, tickers=given.tickers
            )
            seconds = (time.perf_counter() - start) / len(found)
            entropies = found[["entropy", "decision_entropy", "perplexity"]].mean()
            case = {
                "weights": weights,
                "prompt": prompt,
                "strength": strength,
                "markets": [given.first, given.first + given.markets - 1],
                "tickers": given.tickers,
                **{name: round(value, 4) for name, value in marks(found)._asdict().items()},
                **{name: round(float(value), 4) for name, value in entropies.items()},
                "seconds_per_strategy": round(seconds, 3),
                "load": round(os.getloadavg()[0], 1),
                "commit": _commit(),
            }
            _keep(report, case, given.out)


def _keep(report: dict, case: dict, out: Path) -> None:
    print(json.dumps(case), flush=True)
    report["cases"].append(case)
    report["versions"] = {name: version(name) for name in ("torch", "transformers", "llguidance")}
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
