"""Keeps the small part of a finished run under results/, so that the book can show it and a reader can check it.

    python benchmarks/record.py runs/NAME results/NAME

Copied for every arm: manifest.json, settings.toml, metrics.csv, performance.csv, and of the trajectories the test days'
actions and positions alone: prices and everything that follows from them stay behind. What needs them is made now:
comparisons.csv, with intervals over days, and audit.json for every ticker with a guided arm.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from llmrl_lib.evidence.audit import write_audit
from llmrl_lib.experiments import open_run
from llmrl_lib.experiments.auditing import audit
from llmrl_lib.experiments.comparisons import RECORDED, every_comparison
from llmrl_lib.experiments.flag_tables import compared
from llmrl_lib.experiments.folders import write_toml, write_whole

SMALL = ("manifest.json", "settings.toml", "metrics.csv", "performance.csv")
KEPT = ["seed", "date", "row", "action", "position"]


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    run, place = open_run(sys.argv[1]), Path(sys.argv[2])
    write_toml(place / "run.toml", {**run.about, "dataset": ""})  # where the data lay is nobody's business
    for ticker in run.tickers:
        for name, arm in run.arms(ticker).items():
            folder = place / ticker / name
            for file in SMALL:
                if (arm.folder / file).is_file():
                    copy(arm.folder / file, folder / file)
            paths = arm.trajectories
            decisions = paths.loc[paths["split"] == "test", KEPT]
            decisions.to_csv(folder / "decisions.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
            print(f"{ticker} {name}: kept in {folder}")
        if "guided" in run.arms(ticker):
            write_audit(audit(run, ticker), place / ticker / "audit.json")
            print(f"{ticker}: audited")
    tables = [table for table in (every_comparison(run), compared(run)) if len(table)]
    if tables:
        table = pd.concat(tables, ignore_index=True).drop_duplicates(["ticker", "arm", "base"])
        write_whole(place / RECORDED, lambda part: part.write_text(table.to_csv(index=False), "utf-8"))


def copy(source: Path, target: Path) -> None:
    write_whole(target, lambda part: part.write_bytes(source.read_bytes()))


if __name__ == "__main__":
    main()
