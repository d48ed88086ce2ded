"""Does the model decide by what it is shown? The same decisions in worlds that differ in what must, or must not, matter.

The unit of prices, names and dates must not matter: prediction consistency and confidence invariance should be 1 there. The
past must: input dependence should not be 0 where it is mirrored. The three measures are those of Li, Zeng, Xing, Xu & Xu,
"Profit mirage: revisiting information leakage in LLM-based financial agents" (2025, arXiv 2510.07920), who read high
consistency under a changed past as memory. Decisions are made one by one, without memory of earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.cases import Case
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding
from llmrl_lib.evidence.audit.lookahead import decision_dates, sampled
from llmrl_lib.evidence.audit.worlds import CALENDAR, mirrored, rescaled, swapped
from llmrl_lib.language.chat import Chat, ChatError, Message, Reply, Request, Sampling, request_key
from llmrl_lib.language.prompts import load_prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import Features, feature_table
from llmrl_lib.strategy.anonymise import names_of
from llmrl_lib.strategy.records import Strategy, strategy_frame
from llmrl_lib.strategy.standalone import decide_each

DECISIONS = 12  # in the test years
FACTORS = (0.1, 7.0)  # of prices
ALIKE = 0.95  # share of decisions that must stay where nothing that matters has changed
TURNED = 0.10  # share of directions that change where the past is another: so many show that it matters,
RELATED = 0.9  # or a correlation of log-odds below this
LEAST = 5  # pairs of decisions that must have come in


def counterfactuals(case: Case, chat: Chat | None, decisions: int = DECISIONS) -> list[Finding]:
    """Prices rescaled, names and dates swapped, history mirrored, on `decisions` dates of the test years."""
    reason = "No chat was given to ask again" if chat is None else f"No model was asked about {case.ticker}"
    if chat is None or not case.prompts:
        return [Finding(check, case.ticker, "", MISSING, f"{reason}.") for check in ("rescaled", "swapped", "mirrored")]
    decided = decision_dates(case)
    days = sampled(decided[decided >= case.dataset.split], decisions)
    asker = _Asker(case, chat)
    original = asker.decide(_seen(case.dataset, case.ticker, days))
    other = next((one for one in case.dataset.sound_tickers() if one != case.ticker), case.ticker)
    unit = [_seen(rescaled(case.dataset, factor), case.ticker, days) for factor in FACTORS]
    elsewhere = _seen(swapped(case.dataset, case.ticker, other), other, [day - CALENDAR for day in days])
    turned = [one for day in days for one in _seen(mirrored(case.dataset, case.ticker, day), case.ticker, [day])]
    return [
        _invariance(case, "rescaled", original, [asker.decide(world) for world in unit]),
        _invariance(case, "swapped", original, [asker.decide(elsewhere)]),
        _dependence(case, original, asker.decide(turned)),
    ]


@dataclass(frozen=True)
class _Decided:
    """Decisions of one world, and how many of its requests had been asked in another world before, word for word."""

    answers: list[Strategy | ChatError]
    requests: int
    asked_before: int


class _Asker:
    """Asks the guiding prompt; what is asked again in the same words is not asked twice: it is the same decision."""

    def __init__(self, case: Case, chat: Chat) -> None:
        self._case, self._once = case, _Once(chat)
        self._prompt, self._known = load_prompt(case.prompts[0]), names_of(case.dataset)

    def decide(self, worlds: Sequence[Features]) -> _Decided:
        once = self._once
        requests, repeated = once.requests, once.repeated
        answers = decide_each(once, self._prompt, worlds, self._known, ask=self._case.ask)
        return _Decided(answers, once.requests - requests, once.repeated - repeated)


class _Once:
    """A chat that answers the same request with the same reply, and counts."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._answers: dict[str, Reply | ChatError] = {}
        self.requests, self.repeated = 0, 0

    @property
    def identity(self) -> Mapping[str, str]:
        """The chat's."""
        return self._chat.identity

    def __call__(self, messages: Sequence[Message], sampling: Sampling = Sampling()) -> Reply:  # noqa: B008
        [(_, answer)] = self.many([Request(tuple(messages), sampling)])
        if isinstance(answer, ChatError):
            raise answer
        return answer

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        """All of them; those not seen before are asked."""
        listed = list(requests)
        keys = [request_key(self.identity, request) for request in listed]
        self.requests += len(keys)
        self.repeated += sum(key in self._answers for key in keys)
        fresh = {key: request for key, request in zip(keys, listed, strict=True) if key not in self._answers}
        order = list(fresh)
        for index, answer in self._chat.many(list(fresh.values())):
            self._answers[order[index]] = answer
        yield from ((index, self._answers[key]) for index, key in enumerate(keys))


def _seen(dataset: Dataset, ticker: str, days: Sequence[pd.Timestamp]) -> list[Features]:
    return feature_table(dataset, ticker, days).rows()


def _invariance(case: Case, check: str, original: _Decided, worlds: Sequence[_Decided]) -> Finding:
    first = original.answers * len(worlds)
    table = _pairs(first, [answer for world in worlds for answer in world.answers])
    if few := _too_few(case, check, table, len(first)):
        return few
    consistency, invariance = float(table["same_direction"].mean()), float(table["same_confidence"].mean())
    unchanged = sum(world.asked_before for world in worlds) / sum(world.requests for world in worlds)
    figures = {
        "decisions": float(len(table)), "prediction consistency": consistency, "confidence invariance": invariance,
        "requests unchanged": unchanged,
    }  # fmt: skip
    if unchanged == 1.0:
        sentence = "Not a character of any request changes, so no decision can."
    else:
        sentence = f"{consistency:.0%} of directions and {invariance:.0%} of confidences stay as they are."
    mark = PASS if min(consistency, invariance) >= ALIKE else FAIL
    return Finding(check, case.ticker, "", mark, sentence, figures, table)


def _dependence(case: Case, original: _Decided, turned: _Decided) -> Finding:
    table = _pairs(original.answers, turned.answers)
    if few := _too_few(case, "mirrored", table, len(original.answers)):
        return few
    changed = float((~table["same_direction"]).mean())
    odds = table[["log_odds", "altered_log_odds"]].dropna()
    related = _correlation(odds)
    figures = {"decisions": float(len(table)), "input dependence": changed, "correlation of log-odds": related}
    if len(odds):
        figures["mean change of log-odds"] = float((odds["altered_log_odds"] - odds["log_odds"]).abs().mean())
    told = "" if np.isnan(related) else f", and log-odds correlate by {related:+.2f} with the original ones"
    sentence = f"With a mirrored past {changed:.0%} of directions change{told}."
    mark = PASS if changed >= TURNED or related < RELATED else FAIL
    return Finding("mirrored", case.ticker, "", mark, sentence, figures, table)


def _pairs(first: Sequence[Strategy | ChatError], second: Sequence[Strategy | ChatError]) -> pd.DataFrame:
    """A row per pair of decisions that both came in: date, same_direction, same_confidence, both log-odds."""
    both = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if isinstance(one, Strategy) and isinstance(other, Strategy)
    ]
    one, other = (strategy_frame([pair[side] for pair in both]) for side in (0, 1))
    return pd.DataFrame(
        {
            "date": one["date"],
            "same_direction": one["direction"] == other["direction"],
            "same_confidence": one["confidence"] == other["confidence"],
            "log_odds": one["log_odds"].astype("float64"),
            "altered_log_odds": other["log_odds"].astype("float64"),
        }
    )


def _too_few(case: Case, check: str, table: pd.DataFrame, asked: int) -> Finding | None:
    if len(table) >= LEAST:
        return None
    sentence = f"Of {asked} pairs of decisions {len(table)} came in; {LEAST} are needed."
    return Finding(check, case.ticker, "", MISSING, sentence, {"decisions": float(len(table))}, table)


def _correlation(odds: pd.DataFrame) -> float:
    """Pearson's, NaN for fewer than LEAST pairs; 1 where nothing moves, because nothing is answered differently."""
    if len(odds) < LEAST:
        return float("nan")
    if (odds["log_odds"] == odds["altered_log_odds"]).all():
        return 1.0
    if odds["log_odds"].std() == 0 or odds["altered_log_odds"].std() == 0:
        return 0.0
    return float(odds["log_odds"].corr(odds["altered_log_odds"]))
