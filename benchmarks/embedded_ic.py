"""Information coefficients on simulated markets against the true ones, and the time it takes to make a market.

    python benchmarks/embedded_ic.py [--markets 40] [--first-seed 1000] [--out benchmarks/embedded_ic.json]

`measured` is the coefficient of the forecasts in truth.csv; `fitted` that of a plain linear fit to each category's tables,
judged on markets it was not fitted on. Both are to lie within two standard errors of `true`, which is computed from the
equations. In the silent market the drift is as strong as it can be and nothing shows it: nothing is to be found.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd

from llmrl_lib.market.synthetic import EMBEDDED_SEED, measured_ics, simulate, synthesise

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markets", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "embedded_ic.json")
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.markets)
    fitted_ics = plain_readings().fitted_ics
    markets = [simulate(seed) for seed in seeds]
    table = measured_ics(markets).set_index("forecaster")
    fits = fitted_ics(markets).set_index("category")
    table["z"] = (table["measured"] - table["true"]) / table["standard_error"]
    table["fitted"], table["fitted_error"] = fits["fitted"], fits["standard_error"]
    table["fitted_z"] = (table["fitted"] - table["true"]) / table["fitted_error"]
    silent = fitted_ics([simulate(seed, strength=2.0, carriers=()) for seed in seeds]).set_index("category")
    silent["z"] = silent["fitted"] / silent["standard_error"]
    print(table.round(4).to_string(), silent.round(4).to_string(), sep="\n\n")
    report = {
        "command": f"python benchmarks/embedded_ic.py --markets {given.markets} --first-seed {given.first_seed}",
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "information_coefficients": records(table),
        "silent_market": records(silent),
        "seconds": seconds(),
    }
    given.out.write_text(json.dumps(report, indent=1) + "\n")


def seconds() -> dict[str, float]:
    """Wall time of one market in memory, with its truth, and of writing the embedded one."""
    start = time.perf_counter()
    market = simulate(EMBEDDED_SEED)
    simulated = time.perf_counter()
    _ = market.truth
    known = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        synthesise(EMBEDDED_SEED, out=Path(folder) / "market")
    written = time.perf_counter()
    times = {"simulate": simulated - start, "truth": known - simulated, "synthesise": written - known}
    return {name: round(value, 2) for name, value in times.items()}


def records(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Rows by name, rounded, without the cells that are blank."""
    return {str(name): row.dropna().round(4).to_dict() for name, row in table.iterrows()}


def plain_readings() -> ModuleType:
    """The plain reader that the tests use."""
    place = ROOT / "tests" / "market" / "plain_readings.py"
    spec = importlib.util.spec_from_file_location("plain_readings", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
