"""Writer-Trainer: which fields stood behind what was right, and ten rules for reading them.

Every exemplar is gone through in sheets of a few fields; the trainer rates each field low, medium or high and gives a rule.
Fields whose mean rating is in the top quartile (the paper's section II-B3) and above low survive; the rules about these
are clustered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmrl_lib.language.chat import Chat, Usage
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.language.prompts.replies import RATINGS
from llmrl_lib.strategy.refinement.asking import Tuning
from llmrl_lib.strategy.refinement.asking_again import Question, ask
from llmrl_lib.strategy.refinement.distinct import Embed, distinct
from llmrl_lib.strategy.refinement.errors import RefinementError
from llmrl_lib.strategy.refinement.exemplars import Months
from llmrl_lib.strategy.refinement.fields import Contrast, named_in
from llmrl_lib.strategy.refinement.knowledge import KnownLine
from llmrl_lib.strategy.refinement.trainer import SHEET, Exemplar, Ratings, ratings_from_reply, trainer_request

SURVIVORS = 0.25  # share of the fields
POINTS = {word: 50 * place for place, word in enumerate(RATINGS)}  # low 0, medium 50, high 100
MOST_FAILED = 0.5  # share of the sheets
_NONE = re.compile(r"\s*(no|none|nothing|neither)\b", re.IGNORECASE)  # how one begins to say that no field mattered


@dataclass(frozen=True)
class Scored:
    """What the trainer made of a field."""

    feature: str
    rated: int | None  # mean rating, 0 to 100; None where no sheet with it was rated
    months: int  # in which it was rated
    highs: int  # of these, in which it was rated high
    contrast: Contrast
    rank: int  # 1 is the highest mean rating
    survives: bool


@dataclass(frozen=True)
class Training:
    """All that the trainer left."""

    scores: tuple[Scored, ...]  # by rank
    lines: tuple[KnownLine, ...]  # the most distinct rules, most often said first
    rationales: int  # rules from which these were chosen
    sheets: int
    troubles: tuple[str, ...]  # of sheets that were asked again or left out
    usage: Usage

    @property
    def survivors(self) -> tuple[str, ...]:
        """The fields of the top quartile that anybody rated above low, best first."""
        return tuple(one.feature for one in self.scores if one.survives)


def train(
    months: Months,
    fields: Sequence[str],
    chat: Chat,
    tuning: Tuning,
    lines: int = 10,
    embed: Embed | None = None,
    prompt: str | Path | Prompt = "trainer",
) -> Training:
    """Rates `fields` on every exemplar and chooses `lines` rules.

    The order of fields is drawn anew for each exemplar, so that a field meets others. Rules count where the best field of
    their sheet was rated medium or high and survives, and where they name no field that does not.
    Raises RefinementError where more than half of the sheets came to nothing, ChatError as `asking_again.ask`.
    """
    used = load_prompt(prompt)
    sheets = _sheets(months.exemplars, fields, tuning.seed)
    answers = ask(chat, [_question(months, one, sheet, used) for one, sheet in sheets], tuning)
    rated = [answer.value for answer in answers if answer.value is not None]
    troubles = tuple(told for answer in answers for told in answer.troubles)
    if len(rated) < MOST_FAILED * len(answers):
        raise RefinementError(
            f"{len(answers) - len(rated)} of {len(answers)} sheets of the trainer came to nothing, the first: {troubles[0]}; "
            "use another model for --trainer"
        )
    scores = _scores(rated, fields, months)
    said = _rationales(rated, {one.feature for one in scores if one.survives})
    usage = sum((answer.usage for answer in answers), Usage(0, 0, calls=0))
    return Training(scores, distinct(said, lines, embed), len(said), len(answers), troubles, usage)


def _sheets(exemplars: Sequence[Exemplar], fields: Sequence[str], seed: int) -> list[tuple[Exemplar, tuple[str, ...]]]:
    """Every exemplar with every field, in sheets of about equal size."""
    source = np.random.default_rng([seed, 2])
    count = math.ceil(len(fields) / SHEET)
    found = []
    for exemplar in exemplars:
        order = [fields[int(place)] for place in source.permutation(len(fields))]
        found += [(exemplar, tuple(order[number::count])) for number in range(count)]
    return found


def _question(months: Months, exemplar: Exemplar, sheet: tuple[str, ...], prompt: Prompt) -> Question[Ratings]:
    return Question(
        lambda drawn: trainer_request(exemplar, sheet, months.contrasts, months.counts, drawn, prompt),
        lambda reply: ratings_from_reply(reply, sheet),
    )


def _scores(rated: Sequence[Ratings], fields: Sequence[str], months: Months) -> tuple[Scored, ...]:
    """By falling mean rating; of equals the one more often rated high first, then as in `fields`."""
    given: dict[str, list[int]] = {name: [] for name in fields}
    for sheet in rated:
        for one in sheet.ratings:
            given[one.feature].append(POINTS[one.rating])
    means = {name: sum(points) / len(points) if points else -1.0 for name, points in given.items()}
    highs = {name: points.count(POINTS["high"]) for name, points in given.items()}
    order = sorted(fields, key=lambda name: (-means[name], -highs[name]))
    kept = math.ceil(SURVIVORS * len(fields))
    return tuple(
        Scored(
            name,
            round(means[name]) if given[name] else None,
            len(given[name]),
            highs[name],
            months.contrasts[name],
            place + 1,
            place < kept and any(given[name]),
        )
        for place, name in enumerate(order)
    )


def _rationales(rated: Sequence[Ratings], survivors: set[str]) -> list[str]:
    """The rules that speak of a surviving field; all of them where there are none. That no field mattered is no rule."""
    every, kept = [], []
    for sheet in rated:
        named = named_in(sheet.rationale)
        if not any(letter.isalnum() for letter in sheet.rationale) or (not named and _NONE.match(sheet.rationale)):
            continue
        every.append(sheet.rationale)
        best = max(sheet.ratings, key=lambda one: POINTS[one.rating])
        if POINTS[best.rating] and best.feature in survivors and named <= survivors:
            kept.append(sheet.rationale)
    return kept or every
