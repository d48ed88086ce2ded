"""How many tokens a text is: counted where the model is at hand, else an estimate, and a bound that no byte-level vocabulary
exceeds.

Counts and estimates are for plans; the bound is for budgets. The ledger shows how far the estimate was off, as soon as a
server has counted. The estimate is that of a large general vocabulary. A small model's own can be far from it on its own
subject: Nano's was made from these prompts, holds whole phrases of them, and needs a third of the estimated tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llmrl_lib.language.chat import ChatError, Message, Request, Usage

PER_MESSAGE = 4  # tokens that mark a message's role and end, in the estimate
TEMPLATE = 128  # tokens that a server's chat template may add to a request, in the bound
PER_MESSAGE_BOUND = 16  # and to each message
REPAIR = 2048  # tokens of the message that asks for a repair, in the bound
_PIECE = re.compile(r"(?P<letters>[^\W\d_]+)|(?P<digits>\d+)|(?P<space>\s+)|(?P<signs>(?:[^\w\s]|_)+)")


def estimated_tokens(text: str) -> int:
    """About how many tokens `text` is for a byte-pair vocabulary of 100,000 entries or more.

    A word is a token per begun six letters (per begun two bytes where it is not ASCII), a number one per begun three
    digits, a run of signs one per begun two. A single space belongs to what follows; any other run of white space is one.
    """
    return sum(_piece_tokens(match.lastgroup or "", match[0]) for match in _PIECE.finditer(text))


def estimated_prompt(messages: Iterable[Message]) -> int:
    """About how many tokens a server will count for `messages`."""
    return sum(PER_MESSAGE + estimated_tokens(message.content) for message in messages)


def prompt_counter(chat: object) -> Callable[[Sequence[Message]], int]:
    """Tokens of messages by the tokenizer of a chat that has one (`LocalChat`), else estimated.

    A prompt that such a chat would refuse is estimated, too.
    """
    read = getattr(chat, "prompt_tokens", None)
    if read is None:
        return estimated_prompt

    def count(messages: Sequence[Message]) -> int:
        try:
            return len(read(messages))
        except ChatError:
            return estimated_prompt(messages)

    return count


def text_counter(chat: object) -> Callable[[str], int]:
    """Tokens of a text by the tokenizer of a chat that has one, else estimated."""
    tokenizer = getattr(chat, "tokenizer", None)
    if tokenizer is None:
        return estimated_tokens
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def largest_usage(request: Request) -> Usage:
    """What a request can be charged for at most, a repair round included.

    A byte-level vocabulary has no token shorter than a byte, so a prompt is at most as many tokens as bytes, beside what a
    chat template adds. A server with a longer template of its own, or that thinks beyond max_tokens, can exceed this.
    """
    schema = _schema_bytes(request.sampling.schema)
    prompt = TEMPLATE + schema + sum(PER_MESSAGE_BOUND + _size(message.content) for message in request.messages)
    reply = request.sampling.max_tokens
    if request.sampling.schema is None:
        return Usage(prompt, reply)
    return Usage(2 * prompt + schema + 2 * reply + REPAIR, 2 * reply, calls=2)


def _piece_tokens(kind: str, piece: str) -> int:
    if kind == "space":
        return 0 if piece == " " else 1
    if kind == "digits":
        return -(-len(piece) // 3)
    if not piece.isascii():
        return -(-_size(piece) // 2)
    return -(-len(piece) // (6 if kind == "letters" else 2))


def _schema_bytes(schema: Mapping[str, Any] | None) -> int:
    return 0 if schema is None else _size(json.dumps(dict(schema)))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
