"""Holds a reply to its JSON schema token by token: which tokens of a vocabulary can go on to a valid reply (llguidance).

Replies have one space after commas and colons and no other white space between values, so that no model can lose itself in
blanks; and free text is held to the number of words that its description allows, at seven characters a word, so that a small
model that has lost itself in a sentence still comes to the end of its reply.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

LETTERS_A_WORD, LONGEST_TEXT = 7, 1000  # characters, the latter where a description names no number of words
_WORDS = re.compile(r"at most (\d+) words")

_FORM: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Vocabulary:
    """The tokens of a model as bytes. `size` counts the scores that the model gives; the tokenizer may have fewer tokens."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        self.size = size
        self._tokens = from_tokenizer(tokenizer, n_vocab=size)
        self._grammars: dict[str, str] = {}

    def constraint(self, schema: Mapping[str, Any]) -> Constraint:
        """A fresh constraint of a schema. Raises ValueError for a schema that cannot be held."""
        text = json.dumps(bounded(schema), ensure_ascii=False)
        if text not in self._grammars:
            grammar = LLMatcher.grammar_from_json_schema(text, overrides=_FORM)
            if defect := LLMatcher.validate_grammar(grammar, self._tokens):
                raise ValueError(defect)
            self._grammars[text] = grammar
        return Constraint(LLMatcher(self._tokens, self._grammars[text]), self.size)

    def text(self, token: int) -> str:
        """One token as text; bytes that are no whole character become the replacement character."""
        return self._tokens.decode_bytes([token]).decode("utf-8", "replace")

    def texts(self, tokens: Sequence[int]) -> list[str]:
        """The tokens as texts that make up the whole; a character shared by several belongs to the last of them."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        found = [decoder.decode(self._tokens.decode_bytes([token])) for token in tokens]
        if found:
            found[-1] += decoder.decode(b"", final=True)
        return found


def bounded(schema: Any) -> Any:
    """The schema with a largest length for every text that it leaves free."""
    if isinstance(schema, list):
        return [bounded(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {name: bounded(value) for name, value in schema.items()}
    if found.get("type") == "string" and not {"enum", "const", "pattern", "format", "maxLength"} & set(found):
        words = _WORDS.search(str(found.get("description", "")))
        found["maxLength"] = LETTERS_A_WORD * int(words[1]) if words else LONGEST_TEXT
    return found


class Constraint:
    """Where one reply stands in its schema."""

    def __init__(self, matcher: LLMatcher, size: int) -> None:
        self._matcher = matcher
        self._bits = np.zeros((size + 31) // 32, dtype=np.int32)
        self._size = size

    @property
    def complete(self) -> bool:
        """Whether the reply is whole and nothing can follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self, ends: frozenset[int]) -> torch.Tensor:
        """Which tokens may come next, (vocabulary,) bool; the ends among them where the reply may end here."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")[: self._size]
        found = torch.from_numpy(bits.astype(bool))
        found[list(ends)] = bool(self._matcher.is_accepting())
        return found

    def take(self, token: int) -> None:
        """Goes on by a token that was allowed."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RuntimeError(f"the schema's automaton failed: {self._matcher.get_error()}")
