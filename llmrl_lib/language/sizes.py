"""How many tokens a text will be, without a tokenizer: an estimate, for costs before anything is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmrl_lib.language.chat import Message

PER_MESSAGE = 4  # tokens that a chat template puts around each message
_PIECES = re.compile(r"[^\W\d_]+|\d{1,3}|\s*\n+|[^\w\s]+|_")
_WORD = 7  # letters of a word that usually are one token; longer words are cut


def approximate_tokens(text: str) -> int:
    """About the number of tokens that current large models make of `text`.

    Words count one token for each `_WORD` letters begun, digits one for three, marks one for two, runs of line breaks one;
    a space belongs to what follows it.
    """
    total = 0
    for match in _PIECES.finditer(text):
        piece = match[0]
        total += -(-len(piece) // _WORD) if piece[0].isalpha() else 1 if piece.isspace() else -(-len(piece) // 3)
    return total


def approximate_prompt_tokens(messages: Iterable[Message]) -> int:
    """The same for whole messages, with what a chat template adds."""
    return sum(approximate_tokens(message.content) + PER_MESSAGE for message in messages)
