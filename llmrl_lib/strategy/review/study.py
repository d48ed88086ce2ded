"""A study: the cases that reviewers see, chosen from a model's strategies of one year, and the order in which they see them.

A case is a decision of the model, or a control that looks like one: a rationale that was written for another month
(shuffled), or by a person (human). Some cases come twice, to see whether a reviewer agrees with themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import feature_table
from llmrl_lib.strategy.anonymise import names_of
from llmrl_lib.strategy.memory import recall
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.review.donors import controls_with_donors
from llmrl_lib.strategy.review.showing import PARTS, also_read, what_was_known, what_was_said

MODEL, SHUFFLED, HUMAN = "model", "shuffled", "human"
TICKERS = 3  # of the paper
_TRIES = 400  # orders that are drawn to find one in which repeated cases lie apart


class ReviewError(ValueError):
    """A study that cannot be made or read, or answers that cannot be taken; the message says why and what to do."""


@dataclass(frozen=True)
class ReviewPlan:
    """How many cases of which kind a reviewer sees."""

    cases: int = 12  # in all
    repeats: int = 1  # of these, model's cases that are shown a second time
    shuffled: int = 2  # of these, controls whose rationale was written for another month
    seed: int = 0


@dataclass(frozen=True)
class Case:
    """One case; `id` tells nothing of what is behind it."""

    id: str
    ticker: str
    date: pd.Timestamp  # decided at its close
    kind: str  # MODEL, SHUFFLED or HUMAN
    side: str  # LONG or SHORT, as shown
    confidence: int
    outcome: float | None  # of the share from the close of t + 1 to that of t + 21; None where not known yet
    shown: Mapping[str, Any] = field(repr=False)  # before the prediction
    said: Mapping[str, Any] = field(repr=False)  # after it
    repeats: str = ""  # the case that it is a second showing of
    donor: str = ""  # of a shuffled rationale: ticker and date of the decision that it was written for

    @property
    def right_side(self) -> str | None:
        """The side on which the outcome lies; a return of 0 counts as up."""
        return None if self.outcome is None else "LONG" if self.outcome >= 0 else "SHORT"


@dataclass(frozen=True)
class Sent:
    """What was sent to a reviewer. Answers are held against this record: another version may draw another order."""

    reviewer: str
    order: tuple[str, ...]  # ids of cases
    digest: str  # of the packet


@dataclass(frozen=True)
class Study:
    """All that is known of a study. Reviewers are shown only what `packet` takes of it."""

    dataset: str
    prompt: str
    model: str
    split: pd.Timestamp  # first test day of the dataset
    seed: int
    cases: tuple[Case, ...]
    sent: tuple[Sent, ...] = ()

    @cached_property
    def id(self) -> str:
        """The first twelve digits of the SHA-256 of everything but what was sent."""
        return _digest(study_to_record(replace(self, sent=())))[:12]

    @cached_property
    def secret(self) -> str:
        """What the curtains of its packets are drawn with; not in any packet."""
        return _digest({"study": study_to_record(replace(self, sent=())), "for": "curtain"})

    def case(self, name: str) -> Case:
        """The case of that id; KeyError if there is none."""
        return next(one for one in self.cases if one.id == name)

    @property
    def reviewers(self) -> tuple[str, ...]:
        """The labels of those who were sent a packet."""
        return tuple(one.reviewer for one in self.sent)

    @property
    def tickers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.ticker for one in self.cases))


def make_study(
    dataset: Dataset,
    strategies: Mapping[str, Sequence[Strategy]],
    year: int | None = None,
    plan: ReviewPlan | None = None,
    human: Sequence[Strategy] = (),
) -> Study:
    """A study of the strategies by ticker that were decided in `year`, by default the first test year that has some.

    `human` are rationales by people, as strategies (`model` "human"); with some, every case shows only the parts that
    these have, so that none stands out. Raises ReviewError for a rationale of another year, and where a year has too few
    decisions for the plan, DatasetError for data that cannot be read.
    """
    plan = plan or ReviewPlan()
    chosen_year = _year(strategies, dataset.split, year)
    for one in human:
        if one.date.year != chosen_year:
            raise ReviewError(
                f"a rationale by a person is of {one.ticker} on {one.date:%Y-%m-%d}, and the study of {chosen_year}; "
                "leave it out, or give its --year"
            )
    made = {
        ticker: sorted((one for one in own if one.date.year == chosen_year), key=lambda one: one.date)
        for ticker, own in strategies.items()
    }
    taken = {(one.ticker, one.date) for one in human}
    free = {ticker: [one for one in own if (ticker, one.date) not in taken] for ticker, own in made.items()}
    source = np.random.default_rng([plan.seed, chosen_year])
    models = _models(free, plan, len(human), chosen_year)
    left = [one for ticker, own in free.items() for one in own if one not in models[ticker]]
    every = [one for own in made.values() for one in own]
    controls = controls_with_donors(left, plan.shuffled, source)
    if len(controls) < plan.shuffled:
        raise ReviewError(
            f"the decisions that are left give only {len(controls)} of {plan.shuffled} shuffled rationales, each of which "
            "takes two of the same side, of one share the words of an earlier month; give fewer --shuffled or --cases"
        )
    listed = [(MODEL, one, one) for own in models.values() for one in own]
    listed += [(SHUFFLED, one, donor) for one, donor in controls]
    listed += [(HUMAN, one, one) for one in human]
    parts = tuple(part for part in PARTS if all(getattr(one, part) for one in human))
    cases = _cases(dataset, listed, also_read(every), parts, source)
    cases += _again(cases, plan.repeats, source)
    first = every[0]
    return Study(dataset.name, f"{first.prompt} {first.prompt_version}", first.model, dataset.split, plan.seed, cases)


def order_of(study: Study, reviewer: str) -> tuple[str, ...]:
    """The ids of the cases in the order in which a reviewer sees them: drawn at random, the same for the same reviewer.

    Of one share an earlier month always comes before a later one: the later one's prices tell what became of the earlier.
    A second showing lies at least a third of the packet behind the first, where that can be.
    """
    seed = int(hashlib.sha256(f"{study.id}\n{reviewer}".encode()).hexdigest()[:16], 16)
    source = np.random.default_rng(seed)
    queues = [
        [one.id for one in sorted(study.cases, key=lambda one: (one.date, bool(one.repeats))) if one.ticker == ticker]
        for ticker in study.tickers
    ]
    slots = [number for number, queue in enumerate(queues) for _ in queue]
    best: tuple[int, tuple[str, ...]] = (-1, ())
    for _ in range(_TRIES):
        waiting = [iter(queue) for queue in queues]
        order = tuple(next(waiting[number]) for number in source.permutation(slots))
        apart = [order.index(one.id) - order.index(one.repeats) for one in study.cases if one.repeats]
        if min(apart, default=len(order)) > best[0]:
            best = (min(apart, default=len(order)), order)
        if best[0] >= len(order) // 3:
            break
    return best[1]


def study_to_record(study: Study) -> dict[str, Any]:
    """A dict of JSON types that `study_from_record` reads back without loss."""
    cases = [{**asdict(one), "date": f"{one.date:%Y-%m-%d}"} for one in study.cases]
    about = {name: getattr(study, name) for name in ("dataset", "prompt", "model", "seed")}
    sent = [{**asdict(one), "order": list(one.order)} for one in study.sent]
    return {**about, "split": f"{study.split:%Y-%m-%d}", "cases": cases, "sent": sent}


def study_from_record(record: Mapping[str, Any]) -> Study:
    """Inverse of `study_to_record`. Raises KeyError, TypeError or ValueError for another record."""
    cases = tuple(Case(**{**one, "date": pd.Timestamp(one["date"]).as_unit("us")}) for one in record["cases"])
    sent = tuple(Sent(**{**one, "order": tuple(one["order"])}) for one in record["sent"])
    for one in sent:
        if sorted(one.order) != sorted(case.id for case in cases):
            raise ValueError(f"what {one.reviewer} was sent has other cases than the study")
    given = {"split": pd.Timestamp(record["split"]).as_unit("us"), "cases": cases, "sent": sent}
    return Study(**{**record, **given})


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _year(strategies: Mapping[str, Sequence[Strategy]], split: pd.Timestamp, year: int | None) -> int:
    years = sorted({one.date.year for own in strategies.values() for one in own})
    if not years:
        raise ReviewError("there are no strategies to review; make some with llmrl run or llmrl strategies")
    if year is None:
        return next((one for one in years if one >= split.year), years[-1])
    if year not in years:
        raise ReviewError(f"no strategy was decided in {year}; there are some of {years[0]} to {years[-1]}")
    return year


def _models(
    free: Mapping[str, Sequence[Strategy]], plan: ReviewPlan, human: int, year: int
) -> dict[str, list[Strategy]]:
    """The model's cases by ticker: as even as can be in number, and over the year, whose last decision is always one."""
    count = plan.cases - plan.repeats - plan.shuffled - human
    if plan.repeats < 0 or plan.shuffled < 0 or count < max(plan.repeats, len(free), 1):
        raise ReviewError(
            f"{plan.cases} cases, of which {plan.repeats} repeated, {plan.shuffled} shuffled and {human} by people, leave "
            f"{count} for the model; give more --cases, at least one to a ticker and to a repeated one"
        )
    found = {}
    for number, (ticker, own) in enumerate(free.items()):
        wanted = count // len(free) + (number < count % len(free))
        if len(own) < wanted:
            raise ReviewError(
                f"{ticker} has {len(own)} decisions in {year}, and {wanted} are wanted; give fewer --cases"
            )
        places = np.unique(np.linspace(len(own) - 1, 0, wanted).round().astype(int))
        found[ticker] = [own[place] for place in places]
    return found


def _cases(
    dataset: Dataset,
    listed: Sequence[tuple[str, Strategy, Strategy]],
    others: Sequence[str],
    parts: Sequence[str],
    source: np.random.Generator,
) -> tuple[Case, ...]:
    """Cases of kind, decision and the strategy whose words are shown."""
    found: list[Case] = []
    names = names_of(dataset)
    for kind, one, words in listed:
        bars = dataset.bars(one.ticker)
        row = int(bars.index.get_indexer(pd.Index([one.date]))[0])
        if row < 1:
            raise ReviewError(f"{one.date:%Y-%m-%d} is no trading day of {one.ticker} with one before it")
        [known] = feature_table(dataset, one.ticker, [one.date]).rows()
        said = {**what_was_said(words, names, parts), "side": one.side, "confidence": one.confidence}
        shown = what_was_known(known, bars["close"].iloc[: row + 1], others, names)
        outcome = _outcome(one, bars["close"].to_numpy("float64"), row)
        behind = (_token(source), one.ticker, one.date, kind, one.side, one.confidence, outcome, shown, said)
        donor = f"{words.ticker} {words.date:%Y-%m-%d}" if kind == SHUFFLED else ""
        found.append(Case(*behind, donor=donor))
    return tuple(found)


def _again(cases: Sequence[Case], count: int, source: np.random.Generator) -> tuple[Case, ...]:
    """Second showings, of each share's last case first, which no later case of the share gives away."""
    models = sorted((one for one in cases if one.kind == MODEL), key=lambda one: one.date)
    last = {one.ticker: one for one in models}
    first = [list(last.values())[place] for place in source.permutation(len(last)).tolist()]
    rest = [one for one in reversed(models) if one not in first]
    return tuple(replace(one, id=_token(source), repeats=one.id) for one in [*first, *rest][:count])


def _outcome(strategy: Strategy, closes: np.ndarray, row: int) -> float | None:
    if row >= len(closes) - 1:
        return None
    [seen] = recall([strategy], [row], closes, len(closes) - 1)
    return None if seen.is_open else seen.share_return


def _token(source: np.random.Generator) -> str:
    return source.bytes(5).hex()
