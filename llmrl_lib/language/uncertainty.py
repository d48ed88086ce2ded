"""How sure a model was of what it wrote: perplexity (the paper's equation 3), entropy (4) and the odds of its decision.

All from the log-probabilities that came with the tokens, natural logarithms throughout. Entropy takes the K likeliest
tokens at each place and puts everything else into one more outcome, q = 1 - sum p; with K + 1 outcomes it is at most
ln(K + 1), by which the normalised form divides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llmrl_lib.language.chat import Token

ALTERNATIVES = 5  # K of equation 4
SIDES = ("LONG", "SHORT")
_ROUNDING = 1e-4  # how far above 0 a log-probability, or above 1 a sum, may lie because it was rounded on its way
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def perplexity(logprobs: Iterable[float]) -> float:
    """exp(-mean ln p) over tokens (equation 3): 1 for a model that was certain, V for one that was lost among V tokens.

    Not clipped; infinite where it exceeds what a float holds. Raises ValueError for no token, or for what is not a
    log-probability (above 0, or NaN).
    """
    values = [_checked(value) for value in logprobs]
    if not values:
        raise ValueError("perplexity of no token; ask the chat for log-probabilities (top_logprobs of Sampling)")
    mean = math.fsum(values) / len(values)
    return math.exp(-mean) if -mean < 700.0 else math.inf


def entropy(top_logprobs: Iterable[Sequence[float]], alternatives: int = ALTERNATIVES) -> float:
    """Mean over tokens of -sum p ln p - q ln q, in nats (equation 4).

    `top_logprobs` holds, for each token, the log-probabilities of the likeliest tokens at its place, in any order; the first
    `alternatives` of them count, and q is the rest. Between 0 and ln(alternatives + 1). Raises ValueError for no token, for
    one without alternatives, or for alternatives that are more than certain together.
    """
    values = [_entropy_at(place, alternatives) for place in top_logprobs]
    if not values:
        raise ValueError("entropy of no token; ask the chat for log-probabilities (top_logprobs of Sampling)")
    return math.fsum(values) / len(values)


def normalised_entropy(top_logprobs: Iterable[Sequence[float]], alternatives: int = ALTERNATIVES) -> float:
    """`entropy` over the largest that it can be, ln(alternatives + 1): in [0, 1]."""
    return min(entropy(top_logprobs, alternatives) / math.log(alternatives + 1), 1.0)


def alternatives_of(tokens: Iterable[Token]) -> list[list[float]]:
    """The log-probabilities of the alternatives at each token, as `entropy` takes them."""
    return [[logprob for _, logprob in token.top] for token in tokens]


def reply_entropy(tokens: Sequence[Token], among: Sequence[Token] | None = None) -> float:
    """The normalised entropy of a reply's tokens, or of those `among` it that are asked for, in [0, 1].

    K is 5, or what the server gave at most where that is less, so that both ends of the scale are reached either way.
    """
    return normalised_entropy(alternatives_of(tokens if among is None else among), alternatives_used(tokens))


def alternatives_used(tokens: Sequence[Token]) -> int:
    """K for a reply: 5, or what the server gave at most where that is less, and at least 1."""
    return max(1, min(ALTERNATIVES, max((len(token.top) for token in tokens), default=0)))


class Decision(NamedTuple):
    """Where a reply says LONG or SHORT."""

    side: str
    tokens: tuple[Token, ...]  # those that hold a letter of it
    lead: str  # what the first of them holds before the first letter: a quote, a space, nothing


def decision(tokens: Sequence[Token], key: str = "direction") -> Decision:
    """The tokens of the value of the reply's outermost `key`, however the tokens cut it.

    A direction named inside a rationale is not taken for it. Raises ValueError where the reply has no such value.
    """
    text = "".join(token.text for token in tokens)
    first, last = value_span(text, key)
    side = text[first:last]
    if side not in SIDES:
        raise ValueError(f"the reply's {key} is {side!r}; it must be LONG or SHORT")
    found: list[Token] = []
    lead, start = "", 0
    for token in tokens:
        end = start + len(token.text)
        if start < last and end > first:
            if not found:
                lead = text[start:first]
            found.append(token)
        start = end
    return Decision(side, tuple(found), lead)


def log_odds(decided: Decision) -> float | None:
    """ln P(LONG) - ln P(SHORT) at the token that begins the decision; None where the alternatives do not show both sides.

    Alternatives that continue to the same side (L, LO, LONG) are added up, with or without white space before the quote. An
    alternative with another beginning than the token itself, such as a bare quote where the token is a quote with a letter,
    says nothing about the side and is left out.
    """
    mass = dict.fromkeys(SIDES, 0.0)
    lead = decided.lead.lstrip()
    for text, logprob in decided.tokens[0].top:
        spelled = text.lstrip() if lead else text
        rest = spelled[len(lead) :]
        if rest and spelled.startswith(lead):
            for side in SIDES:
                if side.startswith(rest) or rest.startswith(side):
                    mass[side] += math.exp(min(logprob, 0.0))
    if not (mass["LONG"] > 0.0 and mass["SHORT"] > 0.0):
        return None
    return math.log(mass["LONG"]) - math.log(mass["SHORT"])


def value_span(text: str, key: str) -> tuple[int, int]:
    """First and one-past-last character of the string value of `key` in an outermost JSON object of `text`, without quotes.

    Text around the object, such as a code fence or thoughts, is allowed; of several objects the last one with the key counts.
    Raises ValueError where there is none.
    """
    found, place = None, text.find("{")
    while place >= 0:
        span, after = _span_in_object(text, place, key)
        found = span or found
        place = text.find("{", after)
    if found is None:
        raise ValueError(f"the reply {text[:60]!r} holds no value of {key!r}; ask for it with a JSON schema")
    return found


def _span_in_object(text: str, first: int, key: str) -> tuple[tuple[int, int] | None, int]:
    """The span of the key's value in the object that opens at `first`, and where to look for the next object."""
    depth, place, named, found = 0, first, None, None
    while place < len(text):
        character = text[place]
        if character == '"':
            match = _STRING.match(text, place)
            if match is None:
                break
            after = match.end()
            if depth == 1 and named is None:
                named = match[0][1:-1]
            elif depth == 1 and named == key:
                found = (place + 1, after - 1)
            place = after
            continue
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(character, 0)
        if depth == 1 and character == ",":
            named = None
        place += 1
        if depth == 0:
            return found, place
    return found, first + 1  # never closed: an object may still begin inside of it


def _entropy_at(place: Sequence[float], alternatives: int) -> float:
    if not len(place):
        raise ValueError("a token has no alternatives; ask the chat for them (top_logprobs of Sampling)")
    likeliest = sorted((_checked(value) for value in place), reverse=True)[:alternatives]
    masses = [math.exp(value) for value in likeliest]
    total = math.fsum(masses)
    if total > 1.0 + _ROUNDING * len(masses):
        raise ValueError(f"alternatives add up to a probability of {total:.4f}; give each token once, in natural logs")
    rest = max(1.0 - total, 0.0)
    found = -math.fsum(mass * math.log(mass) for mass in (*masses, rest) if mass > 0.0)
    return min(max(found, 0.0), math.log(alternatives + 1))


def _checked(logprob: float) -> float:
    if not logprob <= _ROUNDING:
        raise ValueError(f"{logprob!r} is not a log-probability; those are at most 0")
    return min(float(logprob), 0.0)
