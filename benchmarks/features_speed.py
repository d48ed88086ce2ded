"""What features cost: all fields of all trading days, reading the files included.

    python benchmarks/features_speed.py [--dataset FOLDER ...]

Times the embedded market, an invented market of thirty companies and every dataset named. For each: seconds to read its
tables and make the feature tables of all tickers, seconds more to hand out every day as a record, and seconds for one
date of one ticker. And seconds to make and write the embedded market anew. The load is that of the machine beforehand, over
1, 5 and 15 minutes: what other processes took.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from llmrl_lib.market import load_dataset, synthesise
from llmrl_lib.market.features import feature_table, features
from llmrl_lib.market.synthetic.writing import EMBEDDED_SEED

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, action="append", default=[], help="a dataset to time as well")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "features_speed.json")
    given = parser.parse_args()
    load = [round(value, 2) for value in os.getloadavg()]
    with tempfile.TemporaryDirectory() as work:
        large = synthesise(1, 30, out=Path(work) / "thirty")
        figures = {name: timed(path) for name, path in cases(large, given.dataset).items()}
        writing = statistics.median(_seconds_to_write(Path(work) / str(number)) for number in range(ROUNDS))
    report = {
        "command": "python benchmarks/features_speed.py",
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "load_before": load},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("pandas", "TA-Lib")}},
        "median_of": ROUNDS,
        "figures": figures,
        "seconds_to_write_the_embedded_market": round(writing, 3),
    }
    print(json.dumps(report, indent=2))
    given.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def cases(large: Path, more: list[Path]) -> dict[str, Path]:
    """The datasets by the names under which they are reported."""
    named = {f"{load_dataset(path).name}": path for path in more}
    return {"embedded": ROOT / "data" / "embedded", "thirty invented companies": large, **named}


def timed(path: Path) -> dict[str, float | int]:
    """The median figures of one dataset; it is opened anew in each round, so that nothing is kept."""
    rounds = [_round(path) for _ in range(ROUNDS)]
    return {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}


def _seconds_to_write(folder: Path) -> float:
    began = time.perf_counter()
    synthesise(EMBEDDED_SEED, 6, out=folder, split=datetime.date(2018, 1, 1))
    return time.perf_counter() - began


def _round(path: Path) -> dict[str, float | int]:
    began = time.perf_counter()
    dataset = load_dataset(path)
    tables = [feature_table(dataset, ticker) for ticker in dataset.tickers]
    made = time.perf_counter()
    records = sum(len(table.rows()) for table in tables)
    handed_out = time.perf_counter()
    last = tables[0].values.index[-1]
    features(dataset, dataset.tickers[0], last)
    return {
        "tickers": len(tables),
        "dates": records,
        "seconds_tables": made - began,
        "seconds_records": handed_out - made,
        "seconds_one_date": time.perf_counter() - handed_out,
    }


if __name__ == "__main__":
    main()
