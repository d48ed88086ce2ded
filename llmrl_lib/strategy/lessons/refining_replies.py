"""What a trainer, a writer and a judge reply in lessons: labels that follow from what their prompts show.

They follow by the rules that the prompts give, so that a small model can learn them by copying, comparing and adding. A
writer's and a judge's thresholds are drawn, so that a model that is asked again at a temperature proposes something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from llmrl_lib.language.prompts.replies import FEWEST_FIELDS
from llmrl_lib.market.features.records import NOT_AVAILABLE
from llmrl_lib.strategy.lessons.variations import rule_of
from llmrl_lib.strategy.refinement.fields import Contrast, candidate_fields, standing_of
from llmrl_lib.strategy.refinement.judge import Tally, Trial, by_reads
from llmrl_lib.strategy.refinement.knowledge import KnownField, KnownLine, Marks, known_of_field, known_of_line, rated
from llmrl_lib.strategy.refinement.trainer import Exemplar, signed, value_of

CLEAR, HIGH, MEDIUM = 3, 4, 2  # tenths: from its usual, and between LONG and SHORT for a rating
MOST_ADDED = 4  # fields that a judge asks for at once
THRESHOLDS, TIMES = (10, 20, 30, 40, 50, 60, 70, 80), (1, 2, 3, 4, 5)  # of ratings, and of an instruction's times
_CANDIDATES = frozenset(candidate_fields())
_NOTHING = "No field of these stood behind it."


def ratings_reply(exemplar: Exemplar, fields: Sequence[str], known: Mapping[str, Contrast]) -> dict[str, Any]:
    """The trainer's reply: field by field the value, the sum, the reading and the rating that follow, then a rule."""
    ratings: dict[str, dict[str, str]] = {}
    for name in fields:
        value, now = value_of(exemplar, name), standing_of(exemplar.standings, name)
        if now is None or value == NOT_AVAILABLE:
            ratings[name] = _rating(NOT_AVAILABLE, "nothing is known", "neutral", "low")
            continue
        one = known[name]
        where = f"LONG {signed(one.longs)} less SHORT {signed(one.shorts)} makes {signed(one.apart)}, now {signed(now)}"
        side = int(np.sign(one.apart) * np.sign(now)) if abs(now) >= CLEAR else 0
        level = int(levels(np.array([now]), np.array([one.apart]), exemplar.direction)[0])
        word = {1: "bullish", 0: "neutral", -1: "bearish"}[side]
        ratings[name] = _rating(value, where, word, ("low", "medium", "high")[level])
    best = next((name for word in ("high", "medium") for name in fields if ratings[name]["rating"] == word), None)
    return {"ratings": ratings, "rationale": rule_of(best, known[best].apart > 0) if best else _NOTHING}


def candidate_reply(
    fields: Sequence[KnownField], lines: Sequence[KnownLine], source: Generator
) -> dict[str, Any] | None:
    """The writer's reply: a plan with two thresholds, drawn among those that leave enough, and what follows from it.

    None where no threshold leaves enough fields and instructions.
    """
    reached = {limit: [_taken(one.marks, _reaches(one, limit)) for one in fields] for limit in THRESHOLDS}
    said = {times: [_taken(one.marks, one.said >= times) for one in lines] for times in TIMES}
    limits = [limit for limit, taken in reached.items() if sum(taken) >= FEWEST_FIELDS]
    times = [count for count, taken in said.items() if any(taken)]
    if not limits or not times:
        return None
    limit, count = int(source.choice(limits)), int(source.choice(times))
    return {
        "plan": f"Fields rated {limit} or more and instructions said {count} times or more, what is in the best prompt "
        "and what is asked for; nothing that is faulted, or in the worst prompt alone.",
        "features": {
            one.name: _choice(known_of_field(one), taken) for one, taken in zip(fields, reached[limit], strict=True)
        },
        "instructions": {
            str(place + 1): _choice(known_of_line(one), taken)
            for place, (one, taken) in enumerate(zip(lines, said[count], strict=True))
        },
        "new_instructions": [],
    }


def criticism_reply(
    trial: Trial, others: Sequence[KnownField], lines: Sequence[KnownLine], source: Generator
) -> dict[str, Any]:
    """The judge's reply: records copied, verdicts that follow from them, and what to add, by a threshold that is drawn."""
    shown = by_reads(trial.tallies)
    limits = [limit for limit in THRESHOLDS if 1 <= sum(_reaches(one, limit) for one in others) <= MOST_ADDED]
    limit = int(source.choice(limits or THRESHOLDS[-1:]))
    verdicts = {one.feature: "drop" if one.wrong > one.right else "keep" for one in shown}
    additions = {one.name: "add" if _reaches(one, limit) else "leave" for one in others}
    instructions = {}
    for place, line in enumerate(lines):
        given = line.text in trial.lines
        about = _about(line.text)
        verdict = (verdicts if given else additions).get(about, "keep" if given else "leave")
        instructions[str(place + 1)] = {"about": about, "verdict": verdict}
    return {
        "findings": {one.feature: {"record": one.record, "verdict": verdicts[one.feature]} for one in shown},
        "criticism": f"{criticism_text(shown)} Fields rated {limit} or more may tell what it overlooked.",
        "others": {one.name: {"known": rated(one), "verdict": additions[one.name]} for one in others},
        "instructions": instructions,
        "new_instructions": [],
    }


def criticism_text(shown: Sequence[Tally]) -> str:
    """At most two fields that misled, with their records."""
    wrong = [
        f"{one.feature} was wrong {one.wrong} times and right {one.right}" for one in shown if one.wrong > one.right
    ]
    if not wrong:
        return "No field was wrong more often than right."
    return f"{', '.join(wrong[:2])}; the rationale leaned on what misled."


def _about(text: str) -> str:
    """The field that a rule is about."""
    return next((word for word in re.findall(r"\w+", text) if word in _CANDIDATES), "several")


def _choice(known: str, taken: bool) -> dict[str, str]:
    return {"known": known, "choice": "take" if taken else "leave"}


def _reaches(field: KnownField, limit: int) -> bool:
    return field.rated is not None and field.rated >= limit


def _rating(value: str, reason: str, reading: str, rating: str) -> dict[str, str]:
    return {"value": value, "reason": reason, "reading": reading, "rating": rating}


def levels(now: np.ndarray, apart: np.ndarray, direction: int) -> np.ndarray:
    """0 low, 1 medium, 2 high, by standing and contrast."""
    agrees = (np.sign(now) * np.sign(apart) == 2 * direction - 1) & (np.abs(now) >= CLEAR)
    return np.where(agrees, (np.abs(apart) >= MEDIUM).astype(int) + (np.abs(apart) >= HIGH), 0)


def _taken(marks: Marks, enough: bool) -> bool:
    if marks.asked:
        return True
    return not marks.faulted and (marks.best or (enough and not marks.worst))
