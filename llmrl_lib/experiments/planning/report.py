"""A plan in words: a table by stage, a sentence with the totals and what dominates, and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from llmrl_lib.experiments.planning.plan import Plan, Stage

UNKNOWN = "unknown"


def plan_table(plan: Plan) -> pd.DataFrame:
    """A row per stage and one of totals, as texts: what it is, calls, tokens, dollars, hours, disk."""
    rows = [_row(stage, plan) for stage in plan.stages]
    total = Stage(
        "all",
        f"{plan.tickers:,} ticker{'s' * (plan.tickers != 1)}",
        plan.calls,
        sum(stage.prompt_tokens for stage in plan.stages),
        sum(stage.completion_tokens for stage in plan.stages),
        usd=plan.usd,
        cpu_seconds=plan.cpu_seconds,
        gpu_seconds=plan.gpu_seconds,
        bytes=plan.bytes,
    )
    table = pd.DataFrame([*rows, _row(total, plan)])
    return table if plan.gpu_seconds else table.drop(columns="GPU time")


def plan_sentence(plan: Plan) -> str:
    """The totals, and what takes most of the time."""
    tokens = sum(stage.prompt_tokens + stage.completion_tokens for stage in plan.stages)
    asked = f"{plan.calls:,} calls of {plan.model} ({_about(tokens)} tokens, {dollars(plan.usd)})"
    gpu = f", {duration(plan.gpu_seconds)} of a GPU" if plan.gpu_seconds else ""
    longest = max(plan.stages, key=lambda stage: stage.cpu_seconds + stage.gpu_seconds)
    share = (longest.cpu_seconds + longest.gpu_seconds) / ((plan.cpu_seconds + plan.gpu_seconds) or 1.0)
    return (
        f"In all {asked if plan.calls else 'nothing to ask'}, {duration(plan.cpu_seconds)} of processors{gpu}, "
        f"{amount(plan.bytes)} on disk ({amount(plan.most_bytes)} at most meanwhile): about {duration(plan.wall_seconds)} "
        f"with {plan.slots} process{'es' * (plan.slots != 1)}; most time goes into {longest.name} ({share:.0%})."
    )


def plan_record(plan: Plan) -> dict[str, Any]:
    """All of a plan as JSON types: seconds, bytes, dollars (null where unknown)."""
    totals = {
        "calls": plan.calls,
        "prompt_tokens": sum(stage.prompt_tokens for stage in plan.stages),
        "completion_tokens": sum(stage.completion_tokens for stage in plan.stages),
        "steps": sum(stage.steps for stage in plan.stages),
        "usd": plan.usd,
        "most_usd": plan.most_usd,
        "cpu_seconds": round(plan.cpu_seconds, 1),
        "gpu_seconds": round(plan.gpu_seconds, 1),
        "wall_seconds": round(plan.wall_seconds, 1),
        "bytes": round(plan.bytes),
        "most_bytes": round(plan.most_bytes),
    }
    return {
        "tickers": plan.tickers,
        "processes": plan.slots,
        "model": plan.model,
        "price": plan.price or UNKNOWN,
        "budget_usd": plan.budget_usd,
        "spent_usd": plan.spent_usd,
        "prompts_counted": plan.counted,
        "speeds": plan.speeds,
        "totals": totals,
        "stages": [_plain(stage.__dict__) for stage in plan.stages],
        "phases": [_plain(phase.__dict__) for phase in plan.phases],
        "notes": list(plan.notes),
    }


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 100 * 3600 else f"{seconds / 3600:,.0f} h"


def dollars(usd: float | None) -> str:
    """An amount, or that it is unknown."""
    if usd is None:
        return "dollars unknown: --prices"
    return "free" if usd == 0 else f"{usd:,.2f} USD"


def _row(stage: Stage, plan: Plan) -> dict[str, str]:
    asked = stage.calls > 0
    return {
        "stage": stage.name,
        "how much": stage.what,
        "calls": f"{stage.calls:,}" if asked else "",
        "tokens in": f"{stage.prompt_tokens:,}" if asked else "",
        "tokens out": f"{stage.completion_tokens:,}" if asked else "",
        "USD": ("" if not asked else UNKNOWN if stage.usd is None else f"{stage.usd:,.2f}") if plan.calls else "",
        "CPU time": duration(stage.cpu_seconds) if stage.cpu_seconds else "",
        "GPU time": duration(stage.gpu_seconds) if stage.gpu_seconds else "",
        "disk": amount(stage.bytes) if stage.bytes else "",
    }


def amount(count: float) -> str:
    """Bytes in the unit that suits them."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _about(tokens: int) -> str:
    return f"{tokens / 1e6:,.1f} million" if tokens >= 1e6 else f"{tokens:,}"


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in record.items()}
