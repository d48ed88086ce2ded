"""How far plans were from what runs then took: `benchmarks/plan.json` as tables of the book."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

from llmrl_lib.book.markdown import table

FILE = "plan.json"
COUNTED = ("steps", "calls", "prompt tokens")  # ends of figures that rest on no recorded one
ABSENT = "*The comparisons (`benchmarks/plan.json`) did not come along with this installation.*\n"


def comparisons_file() -> Path | None:
    """Where the comparisons are: in the checkout, or inside an installed package; None where there are none."""
    package = Path(str(resources.files("llmrl_lib")))
    places = (package.parent / "benchmarks" / FILE, package / "share" / "benchmarks" / FILE)
    return next((place for place in places if place.is_file()), None)


def accuracy_page(file: Path | None) -> str:
    """A sentence over the figures of all runs, and a table per run: planned, taken, how far the plan was off; Markdown."""
    if file is None:
        return ABSENT
    runs: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return "\n".join([_summary(runs), *(_run(name, run) for name, run in runs.items())])


def _summary(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Counts, figures in sample and figures out of sample apart."""
    found: dict[str, list[float]] = {"counted": [], "in sample": [], "elsewhere": []}
    for run in runs.values():
        for name, row in run["figures"].items():
            kind = "counted" if name.endswith(COUNTED) else "in sample" if _in_sample(run, name) else "elsewhere"
            found[kind].append(float(row["off"]))
    told = {
        "counted": "Steps, calls and prompt tokens, which rest on no recorded speed,",
        "in sample": "Seconds, bytes and replies' tokens on the dataset and profile of the recordings (*in sample*)",
        "elsewhere": "Those of other runs",
    }
    parts = [f"{told[kind]} were off by {_spread(values)}" for kind, values in found.items() if values]
    return "; ".join([parts[0], *(part[0].lower() + part[1:] for part in parts[1:])]) + ".\n" if parts else ""


def _spread(values: list[float]) -> str:
    least, most = min(values), max(values)
    return f"{least:+.1%} to {most:+.1%} (half of {len(values)} figures by no more than {median(map(abs, values)):.1%})"


def _run(name: str, run: Mapping[str, Any]) -> str:
    tickers = f"{run['tickers']} ticker{'s' * (run['tickers'] != 1)}"
    processes = f"{run['processes']} process{'es' * (run['processes'] != 1)}"
    about = f"**{name}**: {tickers} of {run['dataset']}, profile {run['profile']}, {processes}"
    note = f" How it was made: {run['note']}." if run.get("note") else ""
    shown = table(("figure", "planned", "taken", "off", "in sample"), _rows(run))
    return f"{about}; planned at {run['commit'][:7]}.{note}\n\n{shown}"


def _rows(run: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, row in run["figures"].items():
        marked = "" if name.endswith(COUNTED) else "yes" if _in_sample(run, name) else "no"
        yield name, f"{row['planned']:,.0f}", f"{row['taken']:,.0f}", f"{row['off']:+.1%}", marked


def _in_sample(run: Mapping[str, Any], name: str) -> bool:
    """Whether a figure rests on speeds or sizes that were recorded on the same dataset with the same profile."""
    return bool(run["in_sample"]) and not name.endswith(COUNTED)
