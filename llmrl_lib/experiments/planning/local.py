"""How long a local model takes for its requests: read in batches of about the same length, written token by token.

Seconds of a batch grow with the tokens that it reads, what all rows share once; with the tokens of its longest reply; with
all tokens written; and with how much each of these looks back on. The four rates were fitted to Nano's stored batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llmrl_lib.experiments.planning.questions import Questions, Sized, Task
from llmrl_lib.experiments.planning.speeds import Speeds

SHORTEST_PREFIX = 16  # see `language.local`


def task_seconds(task: Task, tickers: Sequence[str], batch: int, speeds: Speeds) -> float:
    """Seconds of Nano for a task over `tickers`, which may repeat: a repetition is another ticker that looks the same."""
    asked = sum(part_seconds(part, tickers, batch, speeds) for part in task.parts)
    return asked + 1e-3 * speeds["reply_keep_ms"] * sum(calls_of(part, tickers) for part in task.parts)


def part_seconds(part: Questions, tickers: Sequence[str], batch: int, speeds: Speeds) -> float:
    """Seconds of Nano for the requests of one label."""
    return sum(_batch_seconds(rows, part.shared, speeds) for rows in _batches(part, tickers, batch))


def calls_of(part: Questions, tickers: Sequence[str]) -> int:
    """Calls over tickers, repetitions included."""
    return sum(len(part.by_ticker.get(ticker, ())) for ticker in tickers)


def _batches(part: Questions, tickers: Sequence[str], batch: int) -> Iterator[list[Sized]]:
    """What is answered at once: with memory a date of all tickers, without it everything, sorted by length."""
    own = [part.by_ticker.get(ticker, ()) for ticker in tickers]
    if part.memory:
        turns = [[requests[place] for requests in own if place < len(requests)] for place in range(max(map(len, own)))]
    else:
        turns = [[request for requests in own for request in requests]]
    for turn in turns:
        turn.sort(key=lambda request: request.prompt)
        for first in range(0, len(turn), batch):
            yield turn[first : first + batch]


def _batch_seconds(rows: Sequence[Sized], shared: int, speeds: Speeds) -> float:
    prompts = np.array([row.prompt for row in rows], float)
    replies = np.array([row.reply for row in rows], float)
    once = shared if len(rows) > 1 and shared >= SHORTEST_PREFIX else 0
    read = prompts.sum() - once * (len(rows) - 1)
    return float(
        1e-6 * speeds["nano_read_us"] * read
        + 1e-3 * speeds["nano_turn_ms"] * replies.max()
        + 1e-3 * speeds["nano_token_ms"] * replies.sum()
        + 1e-6 * speeds["nano_back_ns"] * 1e-3 * (prompts * replies).sum()
    )
