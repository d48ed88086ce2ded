"""What a run of strategies would ask, before anything is spent: the same chains, answered from the store or by stand-ins.

What is stored is replayed; for the rest a stand-in of the schema's shape and about the usual length takes the reply's
place, so that later requests with memory have about the size that they will have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llmrl_lib.language.chat import ChatError, Message, Reply, Request, Sampling
from llmrl_lib.language.replay import Replay

_USUAL = Sampling()
RATIONALE = 80  # words of a rationale that later requests remember
_WORDS = "the figures of this group lean to neither side by much and so they weigh little in what follows from here on "


class Rehearsal:
    """A chat that asks nothing: stored replies where there are any, stand-ins elsewhere, which it counts in `missing`."""

    def __init__(self, replay: Replay, rationale: int = RATIONALE) -> None:
        """`rationale` is how many words of reasons a stand-in gives; a small model gives fewer."""
        self._replay, self._rationale = replay, rationale
        self.missing: list[Request] = []
        self.stored = 0

    @property
    def identity(self) -> Mapping[str, str]:
        """The one of the chat that is rehearsed."""
        return self._replay.identity

    def __call__(self, messages: Sequence[Message], sampling: Sampling = _USUAL) -> Reply:
        """The stored reply, or a stand-in."""
        request = Request(tuple(messages), sampling)
        if self._replay.missing([request]):
            self.missing.append(request)
            return Reply(
                "", stand_in(sampling.schema or {"type": "string"}, rationale=self._rationale), model="rehearsal"
            )
        self.stored += 1
        return self._replay(messages, sampling)

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        """All of them, in order."""
        for index, request in enumerate(requests):
            yield index, self(request.messages, request.sampling)


def stand_in(schema: Mapping[str, Any], words: int = 20, rationale: int = RATIONALE) -> Any:
    """A value of a schema of `language.prompts`: first choices, lists between their shortest and longest, plain words."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {
            name: stand_in(part, rationale if name == "rationale" else words, rationale)
            for name, part in schema["properties"].items()
        }
    if schema["type"] == "array":
        size = (schema["minItems"] + schema["maxItems"] + 1) // 2
        return [stand_in(schema["items"], words, rationale) for _ in range(size)]
    return " ".join((_WORDS.split() * 5)[:words])
