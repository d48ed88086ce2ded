"""What a chat is: a callable from messages and sampling settings to a reply, and the errors that it may end in.

Every chat of this package (an OpenAI-compatible server, a local model, a replay of stored replies) keeps to these records,
so that whatever comes after cannot tell them apart. Errors of the network belong to the client library, which retries
them; errors of meaning are named here, and each says what to change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Protocol

UNMEASURED = -9999.0  # log-probability of a token that the server calls too unlikely to measure


@dataclass(frozen=True)
class Message:
    """One turn of a conversation. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn. Two requests with equal messages, model and sampling are the same request."""

    temperature: float = 0.0  # 0 takes the likeliest token
    seed: int | None = 0  # of the server's generator, where it has one
    frequency_penalty: float = 0.0  # in [-2, 2], per earlier use of a token
    presence_penalty: float = 0.0  # in [-2, 2], for any earlier use
    max_tokens: int = 2048  # of the reply
    top_logprobs: int | None = 5  # alternatives per token, at most 20; None asks for no log-probabilities
    schema: Mapping[str, Any] | None = None  # JSON schema that the reply must satisfy; None for free text
    schema_name: str = "reply"
    draw: int = 0  # index of an independent draw of the same request; never sent, part of the request's key


@dataclass(frozen=True)
class Request:
    """What is asked of a chat."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()


@dataclass(frozen=True)
class Token:
    """One token of a reply: its log-probability (natural), and those of the likeliest tokens at its place.

    `logprob` is UNMEASURED where the server does not give it; `top` has the likeliest first and leaves such tokens out.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Usage:
    """Tokens that a reply was charged for, repair rounds included."""

    prompt: int
    completion: int
    cached: int = 0  # of the prompt's, those that the server read from its cache
    calls: int = 1  # answers of the server that were paid for
    retries: int = 0  # attempts that ended without an answer; a server may charge for some, and does not say so

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Reply:
    """What came back. `parsed` is the JSON object where a schema was given; `tokens` is empty where none were asked for."""

    text: str
    parsed: Any = None
    tokens: tuple[Token, ...] = ()
    usage: Usage = Usage(0, 0)
    model: str = ""  # as the server names it
    finish_reason: str = "stop"
    seconds: float = 0.0  # from sending to the whole reply, repair rounds included
    warnings: tuple[str, ...] = field(default=())  # what was worth telling, such as an ignored setting


class Chat(Protocol):
    """A callable that answers requests, one at a time or many at once."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides a reply besides the request: model and server. Part of the request's key; holds no secret."""
        ...

    def __call__(self, messages: Sequence[Message], sampling: Sampling = ...) -> Reply:
        """Answers, or raises a ChatError."""
        ...

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        """Answers side by side, yielding (index, answer) as each is finished. An error of one request is yielded, not raised;
        those that would end every request (fatal: wrong key, unknown model, spent budget) are raised, after the requests
        in flight have been answered and yielded.
        """
        ...


class ChatError(RuntimeError):
    """A request that did not end in a usable reply. The message says what came and what to change."""

    usage: Usage = Usage(0, 0, calls=0)  # what the failed attempt was charged for
    fatal: bool = False  # whether every other request would end the same way


class RefusedError(ChatError):
    """The model declined to answer."""


class TruncatedError(ChatError):
    """The reply reached max_tokens before its end."""


class ContentFilterError(ChatError):
    """The server's filter withheld the reply or rejected the prompt."""


class OffSchemaError(ChatError):
    """The reply is not JSON, or not of the schema, after the repair round too."""


class LogprobsError(ChatError):
    """The server sent no log-probabilities, or fewer alternatives than were asked for."""


class UnknownModelError(ChatError):
    """The server does not know the model."""

    fatal = True


class KeyRejectedError(ChatError):
    """No key was found, or the server does not accept it."""

    fatal = True


class BudgetError(ChatError):
    """The next request could cost more than what is left of the budget, or the account at the server is empty."""

    fatal = True


class RequestRejectedError(ChatError):
    """The server does not take the request: the prompt is too long for the model, or a setting is unknown to it."""


class MissingReplyError(ChatError):
    """A reply that is not in the store was asked for, and there is no chat to ask."""


class ServerError(ChatError):
    """The server could not be reached, kept failing, or answered outside its protocol, after every retry."""


def request_key(identity: Mapping[str, str], request: Request) -> str:
    """SHA-256 of the exact request (messages, sampling, draw) and of the chat's identity, in hexadecimal.

    The order of a schema's keys is part of it: it is sent as it is, and a model writes its reply in that order.
    """
    exact = {"identity": dict(sorted(identity.items())), "request": request_to_record(request)}
    return hashlib.sha256(json.dumps(exact, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def request_to_record(request: Request) -> dict[str, Any]:
    """A dict of JSON types; equal requests give equal records, whether a temperature is written 0 or 0.0."""
    record = asdict(request)
    for name in ("temperature", "frequency_penalty", "presence_penalty"):
        record["sampling"][name] = float(record["sampling"][name])
    return record


def reply_to_record(reply: Reply) -> dict[str, Any]:
    """A dict of JSON types that `reply_from_record` reads back without loss."""
    return asdict(reply)


def reply_from_record(record: Mapping[str, Any]) -> Reply:
    """Inverse of `reply_to_record`, from JSON's lists too. Raises KeyError or TypeError for another record."""
    tokens = tuple(
        Token(token["text"], token["logprob"], tuple((text, logprob) for text, logprob in token["top"]))
        for token in record["tokens"]
    )
    plain = {**record, "tokens": tokens, "usage": Usage(**record["usage"]), "warnings": tuple(record["warnings"])}
    return Reply(**plain)
