"""Markdown tables of the book's generated pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Iterable[str], rows: Iterable[Sequence[Any]], numbers: bool = False) -> str:
    """A Markdown table; bars inside cells are escaped. With `numbers`, all columns but the first stand to the right."""
    titles = list(head)
    rule = ["---", *["---:" if numbers else "---"] * (len(titles) - 1)]
    lines = [titles, rule, *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
