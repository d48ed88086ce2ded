"""A chat for tests: answers every request from a function, in a scrambled order, and keeps what it was asked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from llmrl_lib.language.chat import ChatError, Message, Reply, Request, Sampling, Token, Usage

Answer = Callable[[Request], dict[str, Any] | ChatError]


class Scripted:
    """Any function from a request to a JSON object as a chat, with invented tokens and log-probabilities."""

    def __init__(self, answer: Answer, logprobs: bool = True) -> None:
        self.answer, self.logprobs = answer, logprobs
        self.requests: list[Request] = []
        self.widths: list[int] = []

    @property
    def identity(self) -> Mapping[str, str]:
        return {"model": "scripted"}

    def __call__(self, messages: Sequence[Message], sampling: Sampling = Sampling()) -> Reply:  # noqa: B008
        answer = self._reply(Request(tuple(messages), sampling))
        if isinstance(answer, ChatError):
            raise answer
        return answer

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        listed = list(requests)
        self.widths.append(len(listed))
        for index in sorted(range(len(listed)), key=lambda number: (number * 7919) % 101):
            yield index, self._reply(listed[index])

    def _reply(self, request: Request) -> Reply | ChatError:
        self.requests.append(request)
        found = self.answer(request)
        if isinstance(found, ChatError):
            return found
        text = json.dumps(found)
        asked = request.sampling.top_logprobs is not None and self.logprobs
        tokens = tokens_of(text) if asked else ()
        size = sum(len(message.content) for message in request.messages) // 4
        return Reply(text, found, tokens, Usage(size, len(text) // 4), "scripted-1", "stop", 0.01)


def tokens_of(text: str) -> tuple[Token, ...]:
    """The text cut into pieces of one to three characters, each with two alternatives."""
    pieces = re.findall(r".{1,3}", text, re.DOTALL)
    return tuple(Token(piece, -0.1, ((piece, -0.1), ("?", -2.5))) for piece in pieces)


def thoughtful(request: Request) -> dict[str, Any]:
    """A valid reply to any of the built-in prompts; the decision depends on every byte of what was asked."""
    properties = request.sampling.schema["properties"]  # type: ignore[index]
    if "factors" in properties:
        factor = {"scope": "company", "factor": "orders run ahead of plan", "sentiment": 1, "impact": 2}
        return {"factors": [factor, {**factor, "factor": "costs rise", "sentiment": -1}]}
    seed = int(hashlib.sha256(repr(request).encode()).hexdigest(), 16)
    names = properties["weights"]["items"]["properties"]["feature"]["enum"]
    cited = [names[(seed + step) % len(names)] for step in range(3)]
    found: dict[str, Any] = {"evidence": [{"feature": name, "value": "1", "reading": "bullish"} for name in cited]}
    if "groups" in properties:
        groups = properties["groups"]["items"]["properties"]["group"]["enum"]
        found["groups"] = [{"group": name, "finding": "little", "reading": "neutral"} for name in groups]
    return {
        **found,
        "rationale": f'Said "direction": "SHORT" before; now {seed % 97}.',
        "weights": [{"feature": name, "weight": 1 + seed % 10} for name in cited],
        "direction": ("LONG", "SHORT")[seed % 2],
        "confidence": 1 + seed % 3,
    }
