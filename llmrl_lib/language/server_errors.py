"""From the openai client's exceptions to named errors that say what to change, without any secret in their words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import openai

from llmrl_lib.language.chat import (
    BudgetError,
    ChatError,
    ContentFilterError,
    KeyRejectedError,
    LogprobsError,
    RequestRejectedError,
    ServerError,
    UnknownModelError,
    Usage,
)

LONGEST_QUOTE = 300  # characters of a server's own words
LONGEST_WAIT = 120  # seconds that the client waits when a server asks for it
NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_credits")  # codes
FILTERED = ("content_filter", "content_policy_violation")  # codes
_FILTERED = re.compile(r"content (management )?policy|content filter", re.IGNORECASE)
_TOO_LONG = re.compile(r"context[_ ](length|window|size)|too many tokens|prompt is too long", re.IGNORECASE)
_FORMAT = re.compile(r"response_format|json_schema|structured output|guided|grammar", re.IGNORECASE)
_NO_MODEL = re.compile(
    r"\bmodel\b.*(not exist|not found|unknown|invalid)|(unknown|invalid|no such) model", re.IGNORECASE
)
_UNKNOWN = re.compile(r"not support|unsupport|unknown|unrecogni|not permitted|extra (input|field)", re.IGNORECASE)
_KEYLIKE = re.compile(r"\b(sk|pk|key|Bearer)[-_ ][\w*.\-]{6,}")


@dataclass(frozen=True)
class Connection:
    """What an error's words need to know of a chat."""

    model: str
    server: str
    timeout: float
    max_retries: int
    key_name: str  # environment variable
    secrets: tuple[str, ...] = field(repr=False)  # that no error may repeat


def named_error(failure: openai.OpenAIError, connection: Connection, reached: bool) -> ChatError:
    """The error that `failure` means. `reached` says whether the server has ever answered."""
    if isinstance(failure, openai.APIStatusError):
        return _status_error(failure, connection, reached)
    tried = connection.max_retries + 1
    if isinstance(failure, openai.APITimeoutError):
        error = ServerError(
            f"{connection.server} gave no answer within {connection.timeout:g} s, {tried} times; "
            "allow more seconds (timeout) or fewer requests at once (concurrency)"
        )
    elif isinstance(failure, openai.APIConnectionError):
        cause = _quoted(str(failure.__cause__ or failure), connection)
        error = ServerError(
            f"{connection.server} could not be reached or broke off, {tried} times ({cause}); "
            "see whether the server runs, and whether base_url names its host, port and /v1"
        )
        error.fatal = not reached
    else:
        return ServerError(f"the openai client failed: {type(failure).__name__}: {_quoted(str(failure), connection)}")
    error.usage = Usage(0, 0, calls=0, retries=tried)
    return error


def no_key_error(key_name: str) -> ChatError:
    """What a chat with OpenAI ends in where the environment holds no key."""
    return KeyRejectedError(
        f"OpenAI needs a key and {key_name} is not set; set it in the environment, or give the base_url of another server"
    )


def server_words(failure: openai.OpenAIError, connection: Connection) -> str:
    """What the server said, shortened and without secrets."""
    return _quoted(_words(failure) if isinstance(failure, openai.APIStatusError) else str(failure), connection)


def rejected_setting(failure: openai.OpenAIError) -> str:
    """response_format, max_tokens or max_completion_tokens where the server rejects that part of a request, else ''."""
    if not isinstance(failure, openai.APIStatusError) or failure.status_code not in (400, 422, 501):
        return ""
    words = _words(failure)
    if failure.param == "response_format" or _FORMAT.search(words):
        return "response_format"
    for name in ("max_tokens", "max_completion_tokens"):
        if (failure.param == name or re.search(rf"\b{name}\b", words)) and _UNKNOWN.search(words):
            return name
    return ""


def _status_error(failure: openai.APIStatusError, connection: Connection, reached: bool) -> ChatError:
    status, words, server = failure.status_code, _words(failure), connection.server
    said = _quoted(words, connection)
    if status in (400, 403, 422) and re.search("log_?probs?", words, re.IGNORECASE):
        return LogprobsError(
            f"{server} gives {connection.model!r} no such log-probabilities: {said}; ask for fewer alternatives or none "
            "(top_logprobs), or choose another model"
        )
    if failure.code in FILTERED or (status in (400, 403) and _FILTERED.search(words)):
        return ContentFilterError(f"{server} filtered the prompt: {said}; reword it or choose another model")
    if status in (401, 403):
        return KeyRejectedError(
            f"{server} does not accept the key (status {status}); see whether {connection.key_name} holds the right one "
            "for this server and may use this model"
        )
    if status == 402 or failure.code in NO_CREDIT:
        return BudgetError(
            f"the account at {server} has no credit left; top it up and run again: nothing stored is lost"
        )
    if failure.code == "context_length_exceeded" or status == 413 or _TOO_LONG.search(words):
        return RequestRejectedError(
            f"the prompt and max_tokens exceed what {connection.model!r} takes: {said}; shorten the prompt, lower max_tokens "
            "or start the server with a longer context"
        )
    if failure.code == "model_not_found" or (status in (400, 404) and _NO_MODEL.search(words)):
        return UnknownModelError(
            f"{server} does not know the model {connection.model!r}: {said}; its names: GET {server}/models"
        )
    if status == 404:
        nowhere = ServerError(f"{server} has no chat completions (status 404); base_url usually ends in /v1")
        nowhere.fatal = not reached
        return nowhere
    if status in (408, 409, 429) or status >= 500:
        wait = _long_wait(failure)
        tried = 1 if wait else connection.max_retries + 1
        error = ServerError(
            f"{server} answered with status {status}, {tried} times{wait}: {said}; run again later, with fewer requests at "
            "once (concurrency) or more max_retries: nothing stored is lost"
        )
        error.usage = Usage(0, 0, calls=0, retries=tried)
        return error
    return RequestRejectedError(
        f"{server} rejects the request (status {status}): {said}; change the setting that it names"
    )


def _long_wait(failure: openai.APIStatusError) -> str:
    """The wait that the server asks for, in words, where it is longer than the client's longest."""
    try:
        seconds = float(failure.response.headers.get("retry-after", "0"))
    except ValueError:
        return ""
    return f" and asks to wait {seconds:.0f} s" if seconds > LONGEST_WAIT else ""


def _words(failure: openai.APIStatusError) -> str:
    """What the server says, without the client's frame around it."""
    body: Any = failure.body
    if isinstance(body, Mapping):
        message = body.get("message") or body.get("detail") or body.get("error")
        return str(message or dict(body))
    return str(body or failure.message)


def _quoted(words: str, connection: Connection) -> str:
    for secret in connection.secrets:
        words = words.replace(secret, "[removed]")
    words = " ".join(_KEYLIKE.sub("[removed]", words).split())
    return words if len(words) <= LONGEST_QUOTE else f"{words[: LONGEST_QUOTE - 4]} ..."
