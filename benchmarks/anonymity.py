"""How often attackers tell a company from one month's headlines, before and after its names were taken out.

    python benchmarks/anonymity.py [--dataset data/embedded] [--tickers A,B] [--every 20] [--out benchmarks/anonymity.json]

Months end on every 20th trading day. `names` is an attacker with all names that the dataset and the package know, who
searches for them; `reader` has read the months of the years before the split, anonymised and with their tickers, and goes by
the words; both are judged on the months after the split. Chance is one over the number of tickers. The result is added to
the file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import llmrl_lib as ll
from llmrl_lib.strategy.anonymise import anonymise, names_of
from llmrl_lib.strategy.reidentification import name_list_attacker, reidentification_rate, trained_attacker

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=ROOT / "data" / "embedded")
    parser.add_argument("--tickers", default="")
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "anonymity.json")
    given = parser.parse_args()
    dataset = ll.load_dataset(given.dataset)
    tickers = [name for name in given.tickers.split(",") if name] or list(dataset.tickers)
    known = names_of(dataset)
    before, after = [], []
    for ticker in tickers:
        rows = ll.feature_table(dataset, ticker, dataset.bars(ticker).index[:: given.every]).rows()
        for row in rows:
            if row.news:
                (after if row.date >= dataset.split else before).append((ticker, [item.headline for item in row.news]))
    hidden = {
        name: [(t, anonymise(x, t, known)) for t, x in part] for name, part in (("read", before), ("judged", after))
    }
    names, reader = name_list_attacker(known), trained_attacker(hidden["read"])
    found = {
        "months_read": len(before),
        "months_judged": len(after),
        "chance": round(1 / len(tickers), 3),
        "names_before": round(reidentification_rate(after, names), 3),
        "names_after": round(reidentification_rate(hidden["judged"], names), 3),
        "reader_before": round(reidentification_rate(after, trained_attacker(before)), 3),
        "reader_after": round(reidentification_rate(hidden["judged"], reader), 3),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    report = json.loads(given.out.read_text()) if given.out.is_file() else {}
    report[f"{dataset.name}: {','.join(tickers)}"] = found
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
