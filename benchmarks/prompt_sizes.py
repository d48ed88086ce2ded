"""How many tokens prompts P0 to P4 and the analyst's are, over all decisions of the test years, beside the paper's.

    python benchmarks/prompt_sizes.py [--dataset data/embedded] [--tickers A,B] [--tokenizer FOLDER] [--out FILE]

Without a tokenizer the sizes are estimates from words and signs (`language.counting`). With one they are counted too:
FOLDER is the unpacked npm package gpt-tokenizer (`npm pack gpt-tokenizer`), which holds the o200k vocabulary of the paper's
GPT-4o mini; Node is needed. Memory and news hold stand-ins of the usual length. The JSON schema that goes along is
counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import llmrl_lib as ll
from llmrl_lib.evidence.published import PROMPT_COST
from llmrl_lib.language.chat import Request
from llmrl_lib.language.counting import estimated_prompt, estimated_tokens
from llmrl_lib.language.prompts import STRATEGISTS
from llmrl_lib.language.replay import Replay
from llmrl_lib.strategy.rehearsal import Rehearsal
from llmrl_lib.strategy.strategist import make_many_strategies

ROOT = Path(__file__).resolve().parent.parent
COUNT = """
import {encode} from '%s/esm/encoding/o200k_base.js';
import fs from 'fs';
const texts = JSON.parse(fs.readFileSync(0, 'utf8'));
console.log(JSON.stringify(texts.map(text => encode(text).length)));
"""


class Nobody:
    """A chat that is never asked."""

    identity = {"model": "nobody"}  # noqa: RUF012


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=ROOT / "data" / "embedded")
    parser.add_argument("--tickers", default="")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "prompt_sizes.json")
    given = parser.parse_args()
    dataset = ll.load_dataset(given.dataset)
    tickers = [name for name in given.tickers.split(",") if name] or list(dataset.tickers)
    sizes: dict[str, Any] = {}
    for prompt in STRATEGISTS:
        nobody: Any = Nobody()
        strategist, analyst = (Rehearsal(Replay(given.out.parent / ".no_replies", nobody)) for _ in range(2))
        make_many_strategies(dataset, tickers, prompt, strategist, dataset.split, dataset.end, analyst=analyst)
        sizes[prompt] = {**measured(strategist.missing, given.tokenizer), "paper": PROMPT_COST.rows[prompt.upper()][0]}
        if analyst.missing:
            sizes["analyst"] = measured(analyst.missing, given.tokenizer)
    report = json.loads(given.out.read_text()) if given.out.is_file() else {}
    report[f"{dataset.name}: {','.join(tickers)}"] = {
        "mean_tokens": sizes,
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(sizes, indent=1))


def measured(requests: list[Request], tokenizer: Path | None) -> dict[str, int]:
    """Means over requests: estimated tokens of the messages and, with a tokenizer, counted ones, and those of the schema."""
    schema = json.dumps(requests[0].sampling.schema)
    found = {
        "requests": len(requests),
        "estimated": round(mean(estimated_prompt(request.messages) for request in requests)),
        "schema_estimated": estimated_tokens(schema),
    }
    if tokenizer:
        texts = ["\n".join(message.content for message in request.messages) for request in requests]
        code = COUNT % tokenizer.resolve()
        done = subprocess.run(
            ["node", "--input-type=module", "-e", code], input=json.dumps([*texts, schema]), capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        *counts, schema_count = json.loads(done.stdout)
        found |= {"counted": round(mean(counts)), "schema_counted": schema_count}
    return found


if __name__ == "__main__":
    main()
