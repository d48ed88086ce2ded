"""Requests whose replies must also make sense: asked again with another draw where they do not, and what went wrong told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from llmrl_lib.language.chat import (
    Chat,
    ChatError,
    ContentFilterError,
    OffSchemaError,
    RefusedError,
    Reply,
    Request,
    TruncatedError,
    Usage,
)
from llmrl_lib.language.prompts import PromptError
from llmrl_lib.strategy.refinement.asking import Tuning

ATTEMPTS = 3
RECOVERABLE = (OffSchemaError, RefusedError, TruncatedError, ContentFilterError, PromptError)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Question(Generic[Value]):
    """A request that depends on how it is drawn, and how its reply is read."""

    request: Callable[[Tuning], Request]
    read: Callable[[Reply], Value]  # raises one of RECOVERABLE for a reply that makes no sense


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """What came of a question; `value` is None where no attempt made sense."""

    value: Value | None
    troubles: tuple[str, ...]  # of each attempt that failed
    usage: Usage


def ask(
    chat: Chat, questions: Sequence[Question[Value]], tuning: Tuning, attempts: int = ATTEMPTS
) -> list[Answer[Value]]:
    """Asks all questions side by side, and those whose reply makes no sense again, each time as another draw.

    Raises ChatError where the server or the network fails, the key, the model or the budget: the same call then goes on.
    """
    found: list[Answer[Value]] = [Answer(None, (), Usage(0, 0, calls=0)) for _ in questions]
    open_places = list(range(len(questions)))
    for attempt in range(attempts):
        drawn = replace(tuning, seed=tuning.seed + attempt, draw=tuning.draw + attempt)
        requests = [questions[place].request(drawn) for place in open_places]
        for index, reply in chat.many(requests) if requests else ():
            place = open_places[index]
            found[place] = _answered(found[place], questions[place], reply)
        open_places = [place for place in open_places if found[place].value is None]
    return found


def _answered(before: Answer[Value], question: Question[Value], reply: Reply | ChatError) -> Answer[Value]:
    usage = before.usage + reply.usage
    try:
        if isinstance(reply, ChatError):
            raise reply
        return Answer(question.read(reply), before.troubles, usage)
    except RECOVERABLE as error:
        return Answer(None, (*before.troubles, f"{type(error).__name__}: {error}"), usage)
