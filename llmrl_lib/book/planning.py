"""What studies of several sizes would take, as tables of the book: planned as it is built, on the run's own dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from llmrl_lib.book.markdown import table
from llmrl_lib.experiments import Run
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.planning import Figure, Plan, Study, load_speeds, opened, plan_studies, plans_of
from llmrl_lib.experiments.planning.report import UNKNOWN, amount, duration, plan_table
from llmrl_lib.settings import load_profile

SIZES = (6, 30, 500)
LIKE = 2  # tickers of the run whose shape the planned ones have
PAID = "gpt-4o-mini"  # the paper's model


def planning_page(run: Run) -> str:
    """Tables for SIZES: the quick profile with Nano, the published protocol with the paper's model; Markdown."""
    return _tables(run.dataset_path, run.tickers[:LIKE])


def speeds_page() -> str:
    """Every recorded figure, below the machine, date and command of its recording; Markdown."""
    recordings: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in load_speeds().figures.values():
        recordings.setdefault((figure.machine, figure.date, figure.command), []).append(figure)
    parts = []
    for (machine, date, command), figures in recordings.items():
        rows = [(f"`{one.name}`", f"{one.value:,g}", one.unit, one.what) for one in figures]
        parts.append(f"{machine}, {date}: `{command}`\n\n{table(('figure', 'value', 'unit', 'what'), rows)}")
    return "\n".join(parts)


@cache
def _tables(dataset: Path, tickers: tuple[str, ...]) -> str:
    quick = Study(dataset, tickers, load_profile("quick"), 2)
    paper = Study(dataset, tickers, load_profile("paper"), 16, Adviser(PAID))
    small = plan_studies(quick, SIZES)
    setting = opened(paper, load_speeds())  # its questions are the same on a GPU
    large = plans_of(setting, SIZES)
    on_gpu = plans_of(replace(setting, study=replace(paper, gpu=True)), SIZES)
    shape = f"Tickers have as many days, headlines and reports as those of this book's run ({', '.join(tickers)})."
    parts = [
        f"{shape} Speeds were {large[0].speeds}.",
        "## A first look: profile quick, advice by Nano, two processes",
        sizes_table(small),
        f"Stage by stage, for {SIZES[0]} tickers:",
        _stages(small[0]),
        f"## The published protocol: profile paper, advice by {PAID}, 16 processes",
        sizes_table(large),
        "The same with its learned TDQN arms on one NVIDIA H200, in one group (FLAG-Trader's arms stay on the processors):",
        sizes_table(on_gpu),
        " ".join(on_gpu[-1].notes),
        f"Stage by stage, for {SIZES[0]} tickers on processors:",
        _stages(large[0]),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def sizes_table(plans: Sequence[Plan]) -> str:
    """A row per plan."""
    head = ["tickers", "calls", "tokens in", "tokens out", "USD", "CPU time", "GPU time"]
    head += ["disk", "at most meanwhile", "until it is over"]
    rows = [
        (
            f"{plan.tickers:,}",
            f"{plan.calls:,}",
            f"{sum(stage.prompt_tokens for stage in plan.stages):,}",
            f"{sum(stage.completion_tokens for stage in plan.stages):,}",
            UNKNOWN if plan.usd is None else f"{plan.usd:,.2f}",
            duration(plan.cpu_seconds),
            duration(plan.gpu_seconds) if plan.gpu_seconds else "",
            amount(plan.bytes),
            amount(plan.most_bytes),
            duration(plan.wall_seconds),
        )
        for plan in plans
    ]
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    return table([head[place] for place in kept], [[row[place] for place in kept] for row in rows], numbers=True)


def _stages(plan: Plan) -> str:
    shown = plan_table(plan)
    return table(shown.columns, shown.to_numpy().tolist())
