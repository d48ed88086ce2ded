"""Writes book/prompt_examples.md, one rendered prompt per version, from the embedded market.

    python tests/refresh_prompt_examples.py

A test fails when the page no longer shows what the code renders.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import llmrl_lib as ll
from llmrl_lib.language.chat import Message, Usage
from llmrl_lib.language.counting import estimated_prompt
from llmrl_lib.language.prompts import STRATEGISTS, load_prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.strategy.analyst import analyst_request
from llmrl_lib.strategy.anonymise import names_of
from llmrl_lib.strategy.memory import EVERY, Recalled, recall
from llmrl_lib.strategy.records import Factor, Strategy
from llmrl_lib.strategy.rendering import render

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "prompt_examples.md"
TICKER, DATE = "ORVN", "2018-12-03"
HEAD = """# Six prompts as a model reads them

All are of one decision: ORVN, a company of the [embedded market](embedded_market.md), at the close of 2018-12-03. Neither
stands in the text. The features and headlines are those of the market; the earlier strategies and the analyst's factors are
made up for this page, to show their form. Written by `python tests/refresh_prompt_examples.py`.
"""
TITLES = {
    "p0": "P0: prices and four indicators",
    "p1": "P1: selected features and instructions",
    "p2": "P2: with memory",
    "p3": "P3: six groups, step by step",
    "p4": "P4: with news and the economy in words",
    "analyst": "The analyst",
}
FACTORS = (
    Factor("company", "outlook for the coming months lowered", -1, 3),
    Factor("company", "large contract won in a main market", 1, 2),
    Factor("sector", "a rival undercuts prices abroad", -1, 2),
)
EARLIER = (
    (1, 2, (("sma_200_gap", 8), ("macd_strength_zscore", 5)), "Rising regime and momentum outweigh a stretched RSI."),
    (1, 1, (("earnings_growth_yoy", 6), ("vix_change_20d", 4)), "Earnings grow, but volatility rises: a close call."),
    (
        0,
        2,
        (("sma_50_gap", 7), ("skew_30d_change_20d", 6)),
        "The close is below its 50-day mean; insurance grew dearer.",
    ),
)


def main() -> None:
    PAGE.write_text(page(), "utf-8")
    print(PAGE.relative_to(ROOT))


def page() -> str:
    """The whole page."""
    dataset = ll.load_dataset(ROOT / "data" / "embedded")
    features = ll.features(dataset, TICKER, DATE)
    parts = [HEAD]
    for name in STRATEGISTS:
        prompt = load_prompt(name)
        memory = earlier(dataset, features.date) if prompt.memory else None
        parts.append(example(name, render(prompt, features, memory, FACTORS if prompt.shows_news else None)))
    request = analyst_request(features, names_of(dataset))
    assert request is not None
    return "\n".join([*parts, example("analyst", list(request.messages))])


def earlier(dataset: Dataset, date: pd.Timestamp) -> list[Recalled]:
    """Three made-up strategies before the date, with the outcome that the market gave them."""
    bars = dataset.bars(TICKER)
    row = int(bars.index.get_indexer(pd.Index([date]))[0])
    rows = [row - EVERY * (len(EARLIER) - place) for place in range(len(EARLIER))]
    made = [
        Strategy(
            bars.index[place], TICKER, direction, confidence, weights, rationale, (), (), None, (), Usage(0, 0), "example",
            "1", "", "", 0, 0.0,
        )
        for place, (direction, confidence, weights, rationale) in zip(rows, EARLIER, strict=True)
    ]  # fmt: skip
    return recall(made, rows, bars["close"].to_numpy("float64"), row)


def example(name: str, messages: list[Message]) -> str:
    """A section with both messages."""
    blocks = "\n".join(f"**{message.role}**\n\n````text\n{message.content}\n````\n" for message in messages)
    return f"## {TITLES[name]}\n\nAbout {estimated_prompt(messages):,} tokens.\n\n{blocks}"


if __name__ == "__main__":
    sys.exit(main())
