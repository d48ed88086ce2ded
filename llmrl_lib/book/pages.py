"""Pages that the code or the run writes itself: settings, quirks, the API, overviews of tickers, the table of contents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from llmrl_lib.book.front import answer, command, summary
from llmrl_lib.book.markdown import table
from llmrl_lib.book.plan_accuracy import accuracy_page, comparisons_file
from llmrl_lib.book.planning import planning_page, speeds_page
from llmrl_lib.book.recorded import recorded_page
from llmrl_lib.book.reference import field_comments, reference_page
from llmrl_lib.evidence.published import INCONSISTENCIES
from llmrl_lib.experiments import Run
from llmrl_lib.experiments.recorded import result_folder
from llmrl_lib.experiments.tables import performance_table
from llmrl_lib.market.features import FIELDS, GROUPS
from llmrl_lib.settings import FlagTraderSettings, Quirks, TdqnSettings

LANGUAGE = (
    "language",
    "prompts",
    "prompt_examples",
    "strategies",
    "refinement",
    "expert_review",
    "uncertainty",
    "nano",
)
METHOD = ("features", *LANGUAGE, "benchmark", "training", "flag_trader", "metrics", "embedded_market", "hindsight")
RECORDED = "recorded"
USE = ("dataset_format", "sources", "profiles", "scale", "plan", "command_line", "api")


def generated_pages(run: Run) -> dict[str, str]:
    """Pages and parts of pages by file name; parts, under _generated, are included by the written pages."""
    pages = {
        "_generated/features.md": features_tables(),
        "_generated/quirks.md": settings_table(Quirks),
        "_generated/plan.md": planning_page(run),
        "_generated/speeds.md": speeds_page(),
        "_generated/plan_accuracy.md": accuracy_page(comparisons_file()),
        "_generated/settings.md": settings_table(TdqnSettings),
        "_generated/flag_trader_settings.md": settings_table(FlagTraderSettings),
        "_generated/summary.md": summary(run),
        "_generated/answer.md": answer(run),
        "_generated/command.md": command(run),
        "_generated/inconsistencies.md": "\n".join(f"- {line}" for line in INCONSISTENCIES) + "\n",
        "api.md": reference_page(),
    }
    if folder := result_folder():
        pages[f"{RECORDED}.md"] = recorded_page(folder)
    for ticker in run.tickers:
        pages[f"{ticker}/overview.md"] = _ticker_page(run, ticker)
    return pages


def contents(run: Run, notebooks: Sequence[Path]) -> str:
    """The book's table of contents; `notebooks` are relative to the book. JSON, which is YAML too."""
    tickers = [
        {
            "file": f"{ticker}/overview",
            "sections": [{"file": _page(notebook)} for notebook in notebooks if notebook.parent.name == ticker],
        }
        for ticker in run.tickers
    ]
    results = [{"file": _page(notebook)} for notebook in notebooks if len(notebook.parts) == 1]
    if result_folder():
        results.append({"file": RECORDED})
    parts = [
        {"caption": "Method", "chapters": [{"file": page} for page in METHOD]},
        {"caption": "Tickers", "chapters": tickers},
        {"caption": "Results", "chapters": results},
        {"caption": "Use it", "chapters": [{"file": page} for page in USE]},
    ]
    return json.dumps(
        {"format": "jb-book", "root": "index", "parts": [part for part in parts if part["chapters"]]}, indent=1
    )


def settings_table(kind: type) -> str:
    """A dataclass of settings as a table: name, default, and the comment that stands beside it in the code."""
    comments = field_comments(kind)
    rows = [
        (f"`{entry.name}`", f"`{getattr(kind(), entry.name)!r}`", comments.get(entry.name, ""))
        for entry in fields(kind)
        if entry.name != "quirks"
    ]
    return table(("setting", "default", "meaning"), rows)


def features_tables() -> str:
    """Every field of a features record, a table per group, as the code defines them."""
    head = ("field", "unit", "how it is made", "source", "not available after")
    parts = []
    for group in GROUPS:
        rows = [
            (f"`{field.name}`", field.unit, field.formula, field.source, field.stale)
            for field in FIELDS.values()
            if field.group == group
        ]
        parts.append(f"### {group.capitalize()}\n\n{table(head, rows)}")
    return "\n".join(parts)


def _ticker_page(run: Run, ticker: str) -> str:
    performance = run.performance("test").query("ticker == @ticker")
    shown = performance_table(performance)
    head = f"# {ticker}\n\nTest years, after costs; mean over seeds, standard deviation in brackets.\n\n"
    rows = [(name, *(str(value) for value in row)) for name, row in zip(shown.index, shown.to_numpy(), strict=True)]
    listed = "\n\nThe pages of this ticker, in order:\n\n```{tableofcontents}\n```\n"
    return head + table(("", *shown.columns), rows, numbers=True) + listed


def _page(notebook: Path) -> str:
    return notebook.with_suffix("").as_posix()
