"""Where in a reply its uncertainty lies: which part of the JSON object each token belongs to, and how uncertain it was."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from llmrl_lib.language.chat import Token
from llmrl_lib.language.uncertainty import alternatives_of, alternatives_used, entropy

_KEY = re.compile(r'\s*,?\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_DECODER = json.JSONDecoder()


def token_entropies(tokens: Sequence[Token]) -> pd.DataFrame:
    """A row per token: text, part (the outermost key in whose entry it begins; blank outside the object), entropy (nats).

    Of a reply whose tokens do not spell a JSON object, every part is blank. Raises ValueError for tokens without
    alternatives.
    """
    used = alternatives_used(tokens)
    spans = parts("".join(token.text for token in tokens))
    rows, place = [], 0
    for token, alternatives in zip(tokens, alternatives_of(tokens), strict=True):
        part = next((key for key, (first, last) in spans.items() if first <= place < last), "")
        rows.append((token.text, part, entropy([alternatives], used)))
        place += len(token.text)
    return pd.DataFrame(rows, columns=["text", "part", "entropy"])


def parts(text: str) -> dict[str, tuple[int, int]]:
    """First and one-past-last character of each entry of the last JSON object in `text`, by its key, in order.

    An entry reaches from its key, the first one from the opening brace, to the next one. Text around the object, such as
    thoughts, is allowed. Empty where there is no whole object.
    """
    found: dict[str, tuple[int, int]] = {}
    place = text.find("{")
    while place >= 0:
        spans, after = _entries(text, place)
        found = spans or found
        place = text.find("{", after)
    return found


def _entries(text: str, opened: int) -> tuple[dict[str, tuple[int, int]], int]:
    """The entries of the object that opens at `opened`, and where to look for the next object."""
    spans: dict[str, tuple[int, int]] = {}
    place = opened + 1
    while match := _KEY.match(text, place):
        try:
            _, after = _DECODER.raw_decode(text, match.end())
        except ValueError:
            return {}, opened + 1
        spans[json.loads(match[1])] = (match.start(1), after)
        place = after
    if not text[place:].lstrip().startswith("}"):
        return {}, opened + 1
    end = text.index("}", place) + 1
    starts = [opened, *(first for first, _ in list(spans.values())[1:]), end]
    return dict(zip(spans, pairwise(starts), strict=True)) if spans else {}, end
