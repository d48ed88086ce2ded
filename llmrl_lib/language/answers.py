"""Reads what a server of the OpenAI chat protocol sent: the text and how it ended, its tokens, and what was charged.

Servers that speak the protocol differ in its details; every difference that is read past is named in the answer's warnings,
and everything that cannot be read is an UnreadableAnswer with the field that was wrong.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, isnan
from typing import Any

from llmrl_lib.language.chat import UNMEASURED, LogprobsError, Token, Usage
from llmrl_lib.language.counting import estimated_tokens

COVERED = 0.999  # fewer alternatives than asked are all there are where they hold this much probability
ROUNDING = 1e-3  # log-probabilities up to this much above zero are taken for zero


class UnreadableAnswer(ValueError):
    """A body that is not an answer of the protocol."""


@dataclass(frozen=True)
class Answer:
    """One answer of a server, charged for in `usage`."""

    text: str
    refusal: str
    finish_reason: str
    model: str
    usage: Usage
    entries: Sequence[Mapping[str, Any]] | None  # log-probabilities as sent, one per token
    warnings: tuple[str, ...] = ()


def read_answer(body: str, estimated_prompt: int) -> Answer:
    """Reads the body of a chat completion; `estimated_prompt` tokens are assumed where the server reports no usage.

    Raises UnreadableAnswer.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableAnswer("its body is not JSON") from None
    if not isinstance(data, dict):
        raise UnreadableAnswer("its body is not a JSON object")
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnreadableAnswer("it has no choices")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UnreadableAnswer("its choice has no message")
    text = _text(message.get("content"))
    answer = Answer(
        text=text,
        refusal=_text(message.get("refusal")),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        model=str(data.get("model") or ""),
        usage=Usage(0, 0),
        entries=_entries(choice.get("logprobs")),
    )
    usage = _usage(data.get("usage"))
    if usage is None:
        guess = Usage(estimated_prompt, len(answer.entries or ()) or estimated_tokens(text))
        return replace(answer, usage=guess, warnings=("the server reported no usage: its tokens are estimated",))
    return replace(answer, usage=usage)


def read_tokens(answer: Answer, alternatives: int) -> tuple[tuple[Token, ...], tuple[str, ...]]:
    """The tokens of an answer with their alternatives, likeliest first, and what was odd about them.

    A character that several tokens share belongs to the last of them, so that the texts of all tokens joined are the
    text of the answer. Raises LogprobsError where there are none, where they end before the text does, or where a token has
    fewer than `alternatives` although those it has leave probability over.
    """
    if not answer.entries:
        if not answer.text:
            return (), ()
        raise LogprobsError(
            "the server sent no log-probabilities; choose a server and model that give them, "
            "or ask for none (top_logprobs=None), which leaves perplexity and entropy out"
        )
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    tokens = tuple(_token(entry, decoder, alternatives) for entry in answer.entries)
    joined = "".join(token.text for token in tokens)
    warnings = []
    if joined != answer.text:
        if len(joined.strip()) < len(answer.text.strip()) and answer.text.startswith(joined.strip()):
            raise LogprobsError(
                f"the log-probabilities end after {len(joined)} of the reply's {len(answer.text)} characters; "
                "choose another server or version, or ask for none (top_logprobs=None)"
            )
        warnings.append("the tokens joined are not the text of the reply")
    if unmeasured := sum(token.logprob == UNMEASURED for token in tokens):
        warnings.append(f"{unmeasured} of {len(tokens)} tokens came without a measured log-probability")
    return tokens, tuple(warnings)


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # parts, as in a prompt
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    raise UnreadableAnswer("the content of its message is no text")


def _entries(logprobs: Any) -> Sequence[Mapping[str, Any]] | None:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if content is None:
        return None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise UnreadableAnswer("its log-probabilities are no list of tokens")
    return content


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int) or prompt < 0 or completion < 0:
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(prompt, completion, min(cached, prompt) if isinstance(cached, int) and cached > 0 else 0)


def _token(entry: Mapping[str, Any], decoder: codecs.IncrementalDecoder, alternatives: int) -> Token:
    text, raw = _spelling(entry)
    logprob = _logprob(entry, text)
    sent = entry.get("top_logprobs") or []
    if not isinstance(sent, list) or not all(isinstance(other, dict) for other in sent):
        raise _odd(f"no list as alternatives to token {text!r}")
    top = sorted(
        ((name, value) for other in sent if (value := _logprob(other, name := _name(other))) != UNMEASURED),
        key=lambda pair: -pair[1],
    )[:alternatives]
    if len(sent) < alternatives and sum(exp(value) for _, value in top) < COVERED:
        raise LogprobsError(
            f"the server sent {len(sent)} alternatives to token {text!r}, {alternatives} were asked for; "
            f"ask for {len(sent)} (top_logprobs), or let the server give more (vLLM: --max-logprobs)"
        )
    return Token(text if raw is None else decoder.decode(raw), logprob, tuple(top))


def _spelling(entry: Mapping[str, Any]) -> tuple[str, bytes | None]:
    """A token as text, and as bytes where the server gives them."""
    text = entry.get("token")
    if not isinstance(text, str):
        raise _odd("a token without text")
    spelled = entry.get("bytes")
    if not isinstance(spelled, list):
        return text, None
    try:
        return text, bytes(spelled)
    except (TypeError, ValueError):
        raise _odd(f"{spelled!r:.40} as bytes of token {text!r}") from None


def _name(entry: Mapping[str, Any]) -> str:
    """An alternative's text; bytes that are no character stay apart from each other, as in \\xe2."""
    text, raw = _spelling(entry)
    return text if raw is None else raw.decode("utf-8", "backslashreplace")


def _logprob(entry: Mapping[str, Any], text: str) -> float:
    value = entry.get("logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or isnan(value) or value > ROUNDING:
        raise _odd(f"{value!r:.40} as log-probability of token {text!r}")
    if value <= UNMEASURED:  # OpenAI and vLLM send -9999, llama.cpp the lowest float, others minus infinity
        return UNMEASURED
    return min(float(value), 0.0)


def _odd(what: str) -> LogprobsError:
    return LogprobsError(
        f"the server's log-probabilities cannot be read: it sent {what}; choose another server or version, "
        "or ask for none (top_logprobs=None)"
    )
