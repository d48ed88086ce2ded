"""What refinement finds where there is something to find, and what it claims where there is nothing.

    python benchmarks/refinement.py speed [--quick]       # Nano on the embedded market: seconds, winner, baseline, critic
    python benchmarks/refinement.py signal [--quick]      # one group of fields carries all: does it survive?
    python benchmarks/refinement.py nothing [--quick]     # no signal at all: how often is the winner's ratio significant?

Each adds a section to benchmarks/refinement.json. `--chat rules` takes, instead of Nano, the tests' chat that follows the
prompts' rules to the letter (tests/strategy/ruled.py); `--model FOLDER` another local model. `--quick` is a trial: fewer
seeds, repetitions and exemplars; it prints and writes nothing.

signal: invented markets of `--tickers` companies in which options alone carry the signal, through the skew (seeds from
1,000 on, strength 2). A seed counts where the skew is in the surviving quarter of the fields; that some field of the group
is there would be no news, since chance alone leaves one in nine of ten.
nothing: markets of strength 0 (seeds from 1,100 on); a seed counts where the winner's deflated Sharpe ratio is above 0.95.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import llmrl_lib as ll
from llmrl_lib.experiments.refining_verdict import verdict_sentences
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import FIELDS
from llmrl_lib.market.synthetic import simulate
from llmrl_lib.strategy.refinement.exemplars import months_of
from llmrl_lib.strategy.refinement.fields import candidate_fields
from llmrl_lib.strategy.refinement.training import train
from llmrl_lib.strategy.refinement.windows import divide

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "refinement.json"
FIRST_SEED, STRONG, GROUP, CARRIER, LEVEL = 1_000, 2.0, "options", "skew_30d", 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["speed", "signal", "nothing"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--chat", choices=["nano", "rules"], default="nano")
    parser.add_argument("--model", type=Path, default=None, help="folder of a local model, instead of Nano")
    parser.add_argument("--seeds", type=int, default=0, help="number of markets; 10 for signal, 20 for nothing")
    parser.add_argument("--tickers", type=int, default=6, help="companies of each invented market")
    given = parser.parse_args()
    found = {"speed": speed, "signal": signal, "nothing": nothing}[given.part](given)
    found |= {"chat": given.chat if given.model is None else given.model.name, "load": round(os.getloadavg()[0], 1)}
    found |= {"commit": _commit()}
    print(json.dumps(found, indent=1))
    if not given.quick:
        report = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {}
        OUT.write_text(
            json.dumps(report | {f"{given.part}, {found['chat']}": found}, indent=1) + "\n", encoding="utf-8"
        )


def speed(given: argparse.Namespace) -> dict[str, Any]:
    """A whole refinement on the embedded market, and what came of it."""
    market = ll.load_dataset(ROOT / "data" / "embedded")
    settings = ll.Refinement(repetitions=1, exemplars=2) if given.quick else ll.Refinement()
    chat = _chat(given, market)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        refined = ll.refine(market, folder, chat, settings=settings, told=_say)
        seconds = time.perf_counter() - start
        verdict = refined.verdict or {}
        return {
            "seconds": round(seconds),
            "repetitions": settings.repetitions,
            "candidates": len(refined.candidates),
            "troubles": int(refined.candidates["troubles"].map(len).sum()),
            "places": verdict["places"],
            "sampled": verdict["sampled"],
            "said": verdict_sentences(verdict),
        }


def signal(given: argparse.Namespace) -> dict[str, Any]:
    """The trainer alone, on markets in which one group carries all the signal."""
    names = candidate_fields()
    group = {name for name in names if FIELDS[name].group == GROUP}
    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + (given.seeds or (1 if given.quick else 10))):
        market = simulate(seed, given.tickers, strength=STRONG, carriers=(GROUP,)).dataset()
        years = divide(market, market.tickers)
        settings = ll.Refinement(seed=seed, exemplars=2 if given.quick else 16)
        months = months_of(market, years, names, settings.exemplars, (), seed)
        training = train(months, names, _chat(given, market), settings.tuning)
        kept = set(training.survivors)
        share = len(kept & group) / max(1, len(kept))
        best = [one.feature for one in training.scores[:3]]
        rank = next(one.rank for one in training.scores if one.feature == CARRIER)
        row = {"seed": seed, "rank": rank, "share": round(share, 3), "best": best, "contained": CARRIER in kept}
        _say(json.dumps(row))
        rows.append(row)
    base = round(len(group) / len(names), 3)
    return {
        "contained": sum(row["contained"] for row in rows),
        "of": len(rows),
        "share of all fields": base,
        "seeds": rows,
    }


def nothing(given: argparse.Namespace) -> dict[str, Any]:
    """Whole refinements on markets in which nothing can be forecast."""
    rows = []
    for seed in range(FIRST_SEED + 100, FIRST_SEED + 100 + (given.seeds or (1 if given.quick else 20))):
        market = simulate(seed, given.tickers, strength=0.0, carriers=()).dataset()
        settings = ll.Refinement(seed=seed, control=False, exemplars=8)
        if given.quick:
            settings = replace(settings, repetitions=1, rounds=2, exemplars=2)
        with tempfile.TemporaryDirectory() as folder:
            refined = ll.refine(market, folder, _chat(given, market), settings=settings)
            sampled = (refined.verdict or {})["sampled"]
        row = {"seed": seed, **{name: sampled[name] for name in ("candidates", "deflated", "luck_corrected")}}
        row["significant"] = sampled["deflated"] is not None and sampled["deflated"] > LEVEL
        _say(json.dumps(row))
        rows.append(row)
    return {"not significant": sum(not row["significant"] for row in rows), "of": len(rows), "seeds": rows}


def _chat(given: argparse.Namespace, market: Dataset) -> Any:
    if given.chat == "rules":
        sys.path.insert(0, str(ROOT / "tests" / "strategy"))
        from ruled import ruled, usual_of

        return ruled(usual_of(market))
    if given.model is not None:
        return ll.LocalChat(given.model, batch=32)
    return ll.Nano()


def _say(line: str) -> None:
    print(line, flush=True)


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
