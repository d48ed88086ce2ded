"""How often the intervals and tests of `llmrl_lib.evidence` are right where the truth is known.

    python benchmarks/evidence_coverage.py [--markets 1000] [--out benchmarks/evidence_coverage.json]

Markets have two years of days with volatility that clusters, GARCH(1, 1) with persistence 0.98, and heavy tails, Student's
t with 8 degrees of freedom; their true Sharpe ratio is known. Reported: the share of 95 % intervals that hold the truth,
for a ratio and for the difference of two strategies on one price path, with blocks chosen from returns, from squares too,
and of one day; and how often the best of 100 strategies without skill is declared skilled at 95 % by each test of it, in
quiet and in heavy-tailed markets; and the same tests' power when one of the 100 has an annual ratio of 2 over eight years.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.progress import track

from llmrl_lib.evidence.bootstrap import block_length, sharpe_difference, sharpe_interval
from llmrl_lib.evidence.sharpe import deflated_sharpe, luck_corrected, probabilistic_sharpe

ROOT = Path(__file__).resolve().parent.parent
DAYS, DAILY_RATIO, DRAWS, YEAR = 503, 0.06, 500, math.sqrt(252)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markets", type=int, default=1000, help="simulated markets for each figure")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "evidence_coverage.json")
    given = parser.parse_args()
    report = {
        "command": " ".join(["python", "benchmarks/evidence_coverage.py", *sys.argv[1:]]),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "markets": given.markets,
        "standard_error_of_a_share_near_95_percent": round(math.sqrt(0.95 * 0.05 / given.markets), 4),
        "coverage": coverage(given.markets),
        "best_of_100_declared_skilled": searches(given.markets),
    }
    print(json.dumps(report, indent=2))
    given.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def coverage(markets: int) -> dict[str, float]:
    """Share of intervals that hold the truth."""
    held: dict[str, list[bool]] = {}
    for number in track(range(markets), "coverage"):
        generator = np.random.default_rng(number)
        ours, other = (market(generator, DAYS, ratio) for ratio in (DAILY_RATIO, DAILY_RATIO / 2))
        mixed = 0.7 * ours + 0.3 * other
        truth = YEAR * DAILY_RATIO
        squares = block_length((ours - ours.mean()) ** 2)
        blocks = {"as chosen": None, "from squares too": max(block_length(ours), squares), "of one day": 1.0}
        for name, block in blocks.items():
            found = sharpe_interval(ours, draws=DRAWS, block=block, seed=number)
            held.setdefault(f"ratio, blocks {name}", []).append(found.low <= truth <= found.high)
        gap = truth - YEAR * (0.7 * DAILY_RATIO + 0.3 * DAILY_RATIO / 2) / math.hypot(0.7, 0.3)
        found = sharpe_difference(ours, mixed, draws=DRAWS, seed=number)
        held.setdefault("difference on one path", []).append(found.low <= gap <= found.high)
    return {name: round(float(np.mean(shares)), 3) for name, shares in held.items()}


def searches(markets: int) -> dict[str, dict[str, float]]:
    """Share of searches whose best strategy is declared skilled."""
    declared: dict[str, dict[str, list[bool]]] = {}
    for number in track(range(markets), "searches"):
        generator = np.random.default_rng(10**6 + number)
        cases = {
            "without skill, normal returns": generator.normal(0.0, 1.0, (100, DAYS)),
            "without skill, Student's t with 4": generator.standard_t(4, (100, DAYS)),
            "one with a ratio of 2 over 8 years": generator.normal(0.0, 1.0, (100, 4 * DAYS)),
        }
        cases["one with a ratio of 2 over 8 years"][0] += 2 / YEAR
        for case, tried in cases.items():
            ratios = YEAR * tried.mean(1) / tried.std(1, ddof=1)
            best = tried[ratios.argmax()]
            tests = {
                "as if it were the only one": probabilistic_sharpe(best),
                "deflated": deflated_sharpe(best, ratios),
                "luck corrected": luck_corrected(best, len(tried)),
            }
            for test, probability in tests.items():
                declared.setdefault(case, {}).setdefault(test, []).append(probability > 0.95)
    return {
        case: {test: round(float(np.mean(found)), 3) for test, found in tests.items()}
        for case, tests in declared.items()
    }


def market(generator: np.random.Generator, days: int, ratio: float) -> np.ndarray:
    """Daily returns with standard deviation 1 and mean `ratio`: GARCH(1, 1), innovations of Student's t with 8."""
    shocks = generator.standard_t(8, days + 300) / math.sqrt(8 / 6)
    returns, variance = np.empty_like(shocks), 1.0
    for day, shock in enumerate(shocks):
        returns[day] = math.sqrt(variance) * shock
        variance = 0.02 + 0.08 * returns[day] ** 2 + 0.90 * variance
    return returns[300:] + ratio


if __name__ == "__main__":
    main()
