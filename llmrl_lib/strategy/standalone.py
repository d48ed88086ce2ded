"""Single decisions, each on its own: what a model would decide about states of the world that need not have happened.

Analyst and strategist are both asked, as in `make_strategies`; no decision remembers another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llmrl_lib.language.chat import Chat, ChatError, Reply, Request
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.market.features import Features
from llmrl_lib.strategy.analyst import NO_NEWS, analyst_request, factors_from_reply
from llmrl_lib.strategy.anonymise import Names
from llmrl_lib.strategy.memory import Recalled
from llmrl_lib.strategy.records import Factor, Strategy, strategy_from_reply
from llmrl_lib.strategy.rendering import render
from llmrl_lib.strategy.strategist import Ask


def decide_each(
    chat: Chat,
    prompt: str | Path | Prompt,
    worlds: Sequence[Features],
    known: Mapping[str, Names],
    memory: Sequence[Recalled] | None = None,
    ask: Ask | None = None,
) -> list[Strategy | ChatError]:
    """One decision for each of `worlds`, all with the same `memory` (by default none); an error where a call failed.

    `known` are the names of `names_of`. Raises PromptError for a prompt that cannot be used, and fatal ChatErrors.
    """
    chosen, asked = load_prompt(prompt), ask or Ask()
    factors: list[tuple[Factor, ...] | ChatError | None] = [None for _ in worlds]
    if chosen.shows_news:
        factors = [*_factors(chat, worlds, known, asked)]
    memory = [] if memory is None and chosen.memory else memory
    sampling = asked.sampling(chosen, 0, 1)
    answers: list[Strategy | ChatError] = [
        found if isinstance(found, ChatError) else ChatError("no answer came") for found in factors
    ]
    wanted, requests = [], []
    for place, found in enumerate(factors):
        if not isinstance(found, ChatError):
            wanted.append(place)
            requests.append(Request(tuple(render(chosen, worlds[place], memory, found)), sampling))
    for index, answer in chat.many(requests):
        place = wanted[index]
        answers[place] = _strategy(answer, chosen, worlds[place], factors[place], sampling.temperature)
    return answers


def _factors(
    chat: Chat, worlds: Sequence[Features], known: Mapping[str, Names], asked: Ask
) -> list[tuple[Factor, ...] | ChatError]:
    requests = [analyst_request(world, known, asked.analyst_prompt, asked.seed) for world in worlds]
    found: list[tuple[Factor, ...] | ChatError] = [NO_NEWS for _ in worlds]
    places = [place for place, request in enumerate(requests) if request is not None]
    for index, answer in chat.many([request for request in requests if request is not None]):
        try:
            found[places[index]] = (
                answer
                if isinstance(answer, ChatError)
                else factors_from_reply(answer, worlds[places[index]].ticker, known)
            )
        except ChatError as error:
            found[places[index]] = error
    return found


def _strategy(
    answer: Reply | ChatError, prompt: Prompt, features: Features, factors: object, temperature: float
) -> Strategy | ChatError:
    if isinstance(answer, ChatError):
        return answer
    try:
        return strategy_from_reply(answer, prompt, features.ticker, features.date, 0, temperature, factors)
    except ChatError as error:
        return error
