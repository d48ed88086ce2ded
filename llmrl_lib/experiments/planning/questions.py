"""What a run asks its model: the run's own requests, made with stand-ins for replies, sized and counted; nothing is asked.

The analyst reads a month of a ticker once, for whichever prompt comes first; a reply that the run's store holds is not asked
for again. Sizes are counted by the model's own tokenizer where it is here, and estimated where it is behind a server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llmrl_lib.evidence.audit import Case
from llmrl_lib.evidence.audit.counterfactuals import counterfactuals
from llmrl_lib.evidence.audit.recall import WINDOWS, recall_table
from llmrl_lib.experiments.adviser import Adviser, order_of
from llmrl_lib.experiments.auditing import ASKED, NANO
from llmrl_lib.experiments.planning.speeds import Speeds
from llmrl_lib.experiments.strategies import rehearse
from llmrl_lib.language.chat import Chat, Request, Usage, request_key, request_to_record
from llmrl_lib.language.counting import largest_usage, prompt_counter, text_counter
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.language.replay import Replay
from llmrl_lib.language.store import open_store
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.settings import Profile
from llmrl_lib.strategy.rehearsal import RATIONALE, Rehearsal, stand_in

NOTEBOOK_DECISIONS = 6  # that notebooks 05 and 06 audit on each ticker
AUDIT, RECALL = "audit", "recall"
RECALLED = ("recall", "guess")  # schemas of who and when this was
OWN_WORDS = (
    20  # of a rationale that Nano remembers: its replies are short, and its tokenizer was made for its own words
)


class Sized(NamedTuple):
    """One request that is to be asked."""

    prompt: int  # tokens
    reply: float  # tokens, expected
    size: int  # bytes of the request in the store
    largest: Usage  # what it can be charged for at most


@dataclass(frozen=True)
class Questions:
    """The requests of one label (a prompt and its version), by ticker and in the order of their dates."""

    label: str
    memory: bool  # each date waits for the one before it
    shared: int  # tokens that all of them begin with
    by_ticker: Mapping[str, tuple[Sized, ...]]
    strategies: bool = True  # whether its replies are strategies, with log-probabilities
    stored: int = 0  # further ones that the store holds
    seconds: float | None = None  # of a reply, where the store tells; of a local model, a reply's share of its batch

    @property
    def calls(self) -> int:
        return sum(map(len, self.by_ticker.values()))


@dataclass(frozen=True)
class Task:
    """What one task of a run asks: a prompt's strategies, or a notebook's questions."""

    title: str
    parts: tuple[Questions, ...]


def tasks_of(
    dataset: Dataset,
    tickers: Sequence[str],
    profile: Profile,
    adviser: Adviser,
    chat: Chat,
    folder: Path,
    speeds: Speeds,
) -> list[Task]:
    """A task per prompt as the run makes them, the guiding one first. Raises PromptError for a prompt that is none."""
    sizer = _Sizer(chat, folder, speeds)
    tasks = []
    for prompt in dict.fromkeys([*([profile.guide] if profile.guide else []), *profile.prompts]):
        asked: dict[str, list[Request]] = {}
        news: dict[str, list[Request]] = {}
        stored = [0, 0]
        for ticker in tickers:
            wanted = order_of(dataset, [ticker], prompt, prompt == profile.guide, adviser)
            strategist, analyst = rehearse(wanted, sizer.replay, sizer.words)
            asked[ticker], news[ticker] = sizer.new(strategist.missing), sizer.new(analyst.missing)
            stored = [stored[0] + strategist.stored, stored[1] + analyst.stored]
        chosen = load_prompt(prompt)
        parts = [sizer.sized(_label(chosen), asked, stored[0], memory=chosen.memory > 0)]
        if chosen.shows_news:
            parts.insert(0, sizer.sized(_label(wanted.analyst), news, stored[1], strategies=False))
        tasks.append(Task(f"strategies {chosen.name}", tuple(parts)))
    return tasks


def audit_task(
    dataset: Dataset, ticker: str, profile: Profile, adviser: Adviser, chat: Chat, folder: Path, speeds: Speeds
) -> tuple[Task, Task] | None:
    """What notebook 05 asks again about a ticker, and the questions of recall that are asked once for all tickers.

    None where notebooks ask nothing: they do so of Nano alone, because only there asking again costs nothing.
    """
    prompts = [*([profile.guide] if profile.guide else []), *profile.prompts]
    if chat.identity.get("model") != NANO or "server" in chat.identity or not prompts:
        return None
    sizer, found = _Sizer(chat, folder.parent / ASKED, speeds), []
    case = Case(ticker, dataset, profile.tdqn, {}, (load_prompt(prompts[0]),), ask=adviser.ask)
    for title, ask in (
        (AUDIT, lambda chat: counterfactuals(case, chat, NOTEBOOK_DECISIONS)),
        (RECALL, lambda chat: recall_table(dataset, chat, WINDOWS)),
    ):
        rehearsal = Rehearsal(sizer.replay, sizer.words)
        ask(rehearsal)
        asked = {ticker: sizer.new(rehearsal.missing)}
        label = _label(load_prompt(prompts[0]))
        found.append(Task(title, (sizer.sized(label, asked, rehearsal.stored, strategies=title == AUDIT),)))
    return found[0], found[1]


class _Sizer:
    """Sizes the requests to one chat, each of them once."""

    def __init__(self, chat: Chat, folder: Path, speeds: Speeds) -> None:
        self.replay, self._speeds, self._count = Replay(folder, chat), speeds, prompt_counter(chat)
        self._nano = chat.identity.get("model") == NANO and "server" not in chat.identity
        self.words = OWN_WORDS if self._nano else RATIONALE  # of a rationale that is remembered
        self._seen: set[str] = set()
        self._known: dict[str, list[tuple[int, float]]] = {}  # tokens and seconds of each stored reply
        for one in open_store(folder).paid:
            if not one.failure:
                self._known.setdefault(one.purpose, []).append((one.usage.completion, one.seconds))

    def new(self, requests: Sequence[Request]) -> list[Request]:
        """Those that no earlier task asks."""
        found = []
        for request in requests:
            key = request_key(self.replay.identity, request)
            if key not in self._seen:
                self._seen.add(key)
                found.append(request)
        return found

    def sized(
        self, label: str, asked: Mapping[str, list[Request]], stored: int, memory: bool = False, strategies: bool = True
    ) -> Questions:
        reply = self._reply(label)
        by_ticker = {
            ticker: tuple(
                Sized(
                    self._count(request.messages),
                    reply(request),
                    len(json.dumps(request_to_record(request))),
                    largest_usage(request),
                )
                for request in requests
            )
            for ticker, requests in asked.items()
        }
        return Questions(label, memory, self._shared(asked), by_ticker, strategies, stored, self._seconds(label))

    def _seconds(self, label: str) -> float | None:
        """Of a reply, by the store; all replies of a local model's batch are kept with the seconds of the whole batch."""
        if label not in self._known:
            return None
        took = [seconds for _, seconds in self._known[label]]
        local = "server" not in self.replay.identity
        return sum(dict.fromkeys(took) if local else took) / len(took)

    def _reply(self, label: str) -> Callable[[Request], float]:
        """How long a reply will be: as in the store on average, as Nano's were recorded, or as a stand-in's."""
        stored = [tokens for tokens, _ in self._known.get(label, ())]
        known = sum(stored) / len(stored) if stored else None
        if known is None and self._nano:
            known = self._speeds.reply_tokens(label.split(" ")[0])
        length_of = text_counter(self.replay.chat)

        def length(request: Request) -> float:
            usual, sampling = known, request.sampling
            if usual is None or sampling.schema_name in RECALLED:
                usual = float(length_of(json.dumps(stand_in(sampling.schema or {"type": "string"}))))
            return min(usual, sampling.max_tokens)

        return length

    def _shared(self, asked: Mapping[str, list[Request]]) -> int:
        """Tokens that all requests begin with, which a local model reads once for a batch."""
        read = getattr(self.replay.chat, "prompt_tokens", None)
        few = [requests[place] for requests in asked.values() for place in {0, -1} if requests]
        if read is None or len(few) < 2:
            return 0
        tokens = [read(request.messages) for request in few]
        first, last = min(tokens), max(tokens)
        most = min(map(len, tokens)) - 1
        return next((place for place in range(most) if first[place] != last[place]), most)


def _label(prompt: Prompt) -> str:
    return f"{prompt.name} {prompt.version}"
