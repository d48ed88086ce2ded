"""The strategist: every 20 trading days a model decides, from what was known at that close, whether to be long or short.

Decided at the close of a date, effective from the next trading day. Chains of decisions, one per ticker and draw, go
forward side by side: prompts with memory date by date, because each decision looks back at those before it; prompts without
memory all at once. No request depends on anything later than its date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.language.chat import Chat, ChatError, Reply, Request, Sampling
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import Features, feature_table
from llmrl_lib.strategy.analyst import NO_NEWS, analyst_request, factors_from_reply
from llmrl_lib.strategy.anonymise import Names, names_of
from llmrl_lib.strategy.asked import remembered
from llmrl_lib.strategy.memory import EVERY
from llmrl_lib.strategy.records import Factor, Strategy, strategy_from_reply
from llmrl_lib.strategy.rendering import render

DRAWN_TEMPERATURE = 0.7  # of several draws; a single one is deterministic, at temperature 0
MAX_TOKENS = 2048  # of a reply
TOP_LOGPROBS = 5  # alternatives per token

Progress = Callable[[int, int], None]  # requests answered so far, and in all


@dataclass(frozen=True)
class Failure:
    """A strategy that was not made."""

    ticker: str
    date: pd.Timestamp
    draw: int
    error: ChatError


class StrategiesError(ChatError):
    """Some strategies were not made. Holds what was made and what failed; no failure is turned into a neutral advice."""

    def __init__(self, message: str, strategies: Sequence[Strategy], failures: Sequence[Failure]) -> None:
        super().__init__(message)
        self.strategies = tuple(strategies)
        self.failures = tuple(failures)


@dataclass(frozen=True)
class Ask:
    """How a strategist is asked, beside prompt and data."""

    every: int = EVERY  # trading days from one decision to the next
    temperature: float | None = None  # None: 0 for one draw, 0.7 for several
    seed: int = 0  # of the first draw; the n-th has seed + n
    max_tokens: int = MAX_TOKENS
    top_logprobs: int | None = TOP_LOGPROBS  # None for servers that give no log-probabilities: no uncertainty then
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    analyst_prompt: str | Path | Prompt = "analyst"

    def sampling(self, prompt: Prompt, draw: int, draws: int) -> Sampling:
        """The sampling settings of one draw of several."""
        usual = DRAWN_TEMPERATURE if draws > 1 else 0.0
        return Sampling(
            temperature=usual if self.temperature is None else self.temperature,
            seed=self.seed + draw,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            max_tokens=self.max_tokens,
            top_logprobs=self.top_logprobs,
            schema=prompt.schema,
            schema_name="strategy",
            draw=draw,
        )


def make_strategies(
    dataset: Dataset,
    ticker: str,
    prompt: str | Path | Prompt,
    chat: Chat,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    draws: int = 1,
    ask: Ask | None = None,
) -> list[Strategy]:
    """One strategy per draw on every 20th trading day of `ticker` with start <= date < end, the first one included.

    With one draw at temperature 0 and a fixed seed, with several at 0.7 and a seed each. Raises StrategiesError, after all
    other replies have come in, if some could not be made; ChatError for what ends every request (wrong key, unknown model,
    spent budget); PromptError, DatasetError and ValueError for a prompt, data or dates that cannot be used. Wrap the chat in
    a Replay to keep replies: the same call then asks only for what is missing.
    """
    return make_many_strategies(dataset, [ticker], prompt, chat, start, end, draws, ask)


def make_many_strategies(
    dataset: Dataset,
    tickers: Iterable[str],
    prompt: str | Path | Prompt,
    chat: Chat,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    draws: int = 1,
    ask: Ask | None = None,
    analyst: Chat | None = None,
    progress: Progress | None = None,
) -> list[Strategy]:
    """`make_strategies` for several tickers side by side, ordered by ticker (as given), date and draw.

    `analyst` reads the headlines where the prompt shows news, by default the same chat.
    """
    asked = ask or Ask()
    plans = {ticker: decisions(dataset, ticker, start, end, asked.every) for ticker in dict.fromkeys(tickers)}
    return make_planned_strategies(dataset, plans, prompt, chat, draws, asked, analyst, progress)


def make_planned_strategies(
    dataset: Dataset,
    plans: Mapping[str, Decisions],
    prompt: str | Path | Prompt,
    chat: Chat,
    draws: int = 1,
    ask: Ask | None = None,
    analyst: Chat | None = None,
    progress: Progress | None = None,
) -> list[Strategy]:
    """`make_many_strategies` on the decision dates of `plans`, by ticker, which may differ from ticker to ticker."""
    asked, chosen = ask or Ask(), load_prompt(prompt)
    if draws < 1:
        raise ValueError(f"draws is {draws}; ask for at least 1")
    total = sum(len(plan.features) for plan in plans.values()) * draws
    answered = _Counter(progress, total)
    news = _Newsroom(dataset, plans, analyst or chat, asked, answered) if chosen.shows_news else None
    known = names_of(dataset) if chosen.memory else {}
    chains = [_Chain(plan, draw, known) for plan in plans.values() for draw in range(draws)]
    failures: list[Failure] = []
    for batch in _batches(chains, chosen):
        _answer(batch, chosen, chat, asked, draws, news, failures, answered)
    order = {ticker: place for place, ticker in enumerate(plans)}
    made = [strategy for chain in chains for strategy in chain.made.values()]
    made.sort(key=lambda strategy: (order[strategy.ticker], strategy.date, strategy.draw))
    if failures:
        raise StrategiesError(_told(failures, len(made), total), made, failures)
    return made


@dataclass(frozen=True)
class Decisions:
    """The decision dates of a ticker and what was known at each."""

    ticker: str
    features: tuple[Features, ...]
    rows: tuple[int, ...]  # of the decision dates among all bars
    closes: np.ndarray  # of all bars; a decision may use those up to its row


def decisions(
    dataset: Dataset, ticker: str, start: str | pd.Timestamp, end: str | pd.Timestamp, every: int = EVERY
) -> Decisions:
    """Every `every`-th trading day with start <= date < end, from the first one on. Raises ValueError where there is none."""
    bars = dataset.bars(ticker)
    first, last = (int(bars.index.searchsorted(pd.Timestamp(date))) for date in (start, end))
    rows = tuple(range(first, last, every))
    if not rows:
        span = f"{bars.index[0]:%Y-%m-%d} to {bars.index[-1]:%Y-%m-%d}"
        wanted = f"from {pd.Timestamp(start):%Y-%m-%d} on and before {pd.Timestamp(end):%Y-%m-%d}"
        raise ValueError(f"{ticker} has no trading day {wanted}; its bars are of {span}")
    table = feature_table(dataset, ticker, [bars.index[row] for row in rows])
    return Decisions(ticker, tuple(table.rows()), rows, bars["close"].to_numpy("float64"))


@dataclass
class _Chain:
    """The decisions of one ticker and draw, as far as they have come."""

    plan: Decisions
    draw: int
    known: Mapping[str, Names]  # to take out of what it remembers
    made: dict[int, Strategy] = field(default_factory=dict)  # by place among the decision dates
    broken: bool = False

    def request(self, place: int, prompt: Prompt, asked: Ask, draws: int, factors: Sequence[Factor] | None) -> Request:
        earlier = sorted(self.made)[-prompt.memory :] if prompt.memory else []
        made, rows = [self.made[past] for past in earlier], [self.plan.rows[past] for past in earlier]
        memory = remembered(prompt, made, rows, self.plan.closes, self.plan.rows[place], self.known)
        messages = render(prompt, self.plan.features[place], memory, factors)
        return Request(tuple(messages), asked.sampling(prompt, self.draw, draws))


_Batch = list[tuple[_Chain, int]]


def _batches(chains: list[_Chain], prompt: Prompt) -> Iterable[_Batch]:
    """What can be asked at once: with memory one date of every chain, without it everything."""
    longest = max(len(chain.plan.rows) for chain in chains)
    by_date = ([(chain, place) for chain in chains if place < len(chain.plan.rows)] for place in range(longest))
    if prompt.memory:
        yield from by_date
    else:
        yield [item for batch in by_date for item in batch]


def _answer(
    batch: _Batch,
    prompt: Prompt,
    chat: Chat,
    asked: Ask,
    draws: int,
    news: _Newsroom | None,
    failures: list[Failure],
    answered: _Counter,
) -> None:
    """Asks for one batch and puts strategies into the chains; a chain with memory ends at its first failure."""
    requests, places, told = [], [], []
    for chain, place in batch:
        if chain.broken:
            answered.add()
            continue
        factors = news.factors(chain.plan.ticker, place) if news else None
        if isinstance(factors, ChatError):
            _fail(chain, place, factors, prompt, failures)
            answered.add()
            continue
        requests.append(chain.request(place, prompt, asked, draws, factors))
        places.append((chain, place))
        told.append(factors)
    for index, answer in chat.many(requests) if requests else ():
        chain, place = places[index]
        answered.add()
        try:
            if isinstance(answer, ChatError):
                raise answer
            date, temperature = chain.plan.features[place].date, requests[index].sampling.temperature
            chain.made[place] = strategy_from_reply(
                answer, prompt, chain.plan.ticker, date, chain.draw, temperature, told[index]
            )
        except ChatError as error:
            _fail(chain, place, error, prompt, failures)


def _fail(chain: _Chain, place: int, error: ChatError, prompt: Prompt, failures: list[Failure]) -> None:
    failures.append(Failure(chain.plan.ticker, chain.plan.features[place].date, chain.draw, error))
    chain.broken = prompt.memory > 0


class _Newsroom:
    """The analyst's factors of all tickers and dates. They depend on no decision, so all are asked for at once."""

    def __init__(
        self, dataset: Dataset, plans: Mapping[str, Decisions], analyst: Chat, asked: Ask, answered: _Counter
    ) -> None:
        known = names_of(dataset)
        self._factors: dict[tuple[str, int], tuple[Factor, ...] | ChatError] = {}
        requests, places = [], []
        for ticker, plan in plans.items():
            for place, features in enumerate(plan.features):
                request = analyst_request(features, known, asked.analyst_prompt, asked.seed)
                if request is None:
                    self._factors[ticker, place] = NO_NEWS
                else:
                    requests.append(request)
                    places.append((ticker, place))
        answered.total += len(requests)
        for index, answer in analyst.many(requests) if requests else ():
            self._factors[places[index]] = _factors(answer, places[index][0], known)
            answered.add()

    def factors(self, ticker: str, place: int) -> tuple[Factor, ...] | ChatError:
        return self._factors[ticker, place]


def _factors(answer: Reply | ChatError, ticker: str, known: Mapping[str, Names]) -> tuple[Factor, ...] | ChatError:
    if isinstance(answer, ChatError):
        return answer
    try:
        return factors_from_reply(answer, ticker, known)
    except ChatError as error:
        return error


@dataclass
class _Counter:
    progress: Progress | None
    total: int
    done: int = 0

    def add(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


def _told(failures: Sequence[Failure], made: int, total: int) -> str:
    """The one sentence: which failed, why, how many others were then not asked for, and what to do."""
    shown = [
        f"{item.ticker} {item.date:%Y-%m-%d} draw {item.draw} ({type(item.error).__name__})" for item in failures[:10]
    ]
    more = f" and {len(failures) - 10} more" if len(failures) > 10 else ""
    unasked = total - made - len(failures)
    behind = f"; {unasked} later ones, which would have remembered these, were not asked for" if unasked else ""
    return (
        f"{len(failures)} of {total} strategies failed: {', '.join(shown)}{more}{behind}; the first said: "
        f"{failures[0].error}; the other {made} are made, and with a store of replies the same call asks only for what is "
        "missing"
    )
