"""What a strategist was asked: what it remembered, and its messages rendered again from the strategies that came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.language.chat import Message
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import feature_table
from llmrl_lib.strategy.anonymise import Names, names_of, without_known_names
from llmrl_lib.strategy.memory import Recalled, recall
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.rendering import LONGEST_MEMORY, render


def messages_of(
    dataset: Dataset, prompt: str | Path | Prompt, strategies: Sequence[Strategy], date: pd.Timestamp
) -> list[Message]:
    """What was asked at the close of `date`, word for word, rendered again from the strategies of one ticker and draw.

    They must hold the strategy of that date, whose news it takes, and those before it, which it remembers. Raises ValueError
    where there is none of that date.
    """
    chosen, ordered = load_prompt(prompt), sorted(strategies, key=lambda strategy: strategy.date)
    asked = next((strategy for strategy in ordered if strategy.date == date), None)
    if asked is None:
        raise ValueError(f"none of the {len(ordered)} strategies is of {date:%Y-%m-%d}; give a day of decision")
    bars = dataset.bars(asked.ticker)
    earlier = [strategy for strategy in ordered if strategy.date < date][-chosen.memory :] if chosen.memory else []
    *rows, row = bars.index.get_indexer(pd.Index([strategy.date for strategy in (*earlier, asked)])).tolist()
    known = names_of(dataset) if earlier else {}
    memory = remembered(chosen, earlier, rows, bars["close"].to_numpy("float64"), row, known)
    [known_then] = feature_table(dataset, asked.ticker, [date]).rows()
    return render(chosen, known_then, memory, asked.factors if chosen.shows_news else None)


def remembered(
    prompt: Prompt,
    earlier: Sequence[Strategy],
    rows: Sequence[int],
    closes: np.ndarray,
    row: int,
    known: Mapping[str, Names],
) -> list[Recalled] | None:
    """The earlier strategies as a prompt with memory shows them at the close of `row`; None for one without.

    A model that guessed who or when does not pass it on to its next decisions: names are taken out.
    """
    if not prompt.memory:
        return None
    told = []
    for strategy in earlier:
        [rationale] = without_known_names([strategy.rationale], strategy.ticker, known, LONGEST_MEMORY)
        told.append(replace(strategy, rationale=rationale))
    return recall(told, rows, closes[: row + 1], row)
