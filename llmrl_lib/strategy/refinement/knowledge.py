"""What writer and judge are told: fields and instructions with what is known of them, and the Sharpe ratios so far.

The paper's knowledge base keeps the extremes, the best and the worst prompt. They are told as marks on fields and
instructions, which says the same in fewer words than two more lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmrl_lib.language.fencing import fenced
from llmrl_lib.language.prompts import PromptError
from llmrl_lib.language.prompts.replies import MOST_NUMBERED

LONGEST_LINE = 400  # characters of an instruction


@dataclass(frozen=True)
class Marks:
    """What is known of a field or an instruction from prompts that were tried."""

    best: bool = False  # in the best prompt so far
    worst: bool = False  # in the worst
    asked: bool = False  # the judge asked for it last
    faulted: bool = False  # the judge wanted it dropped last

    def words(self) -> list[str]:
        """The marks that are set, in words."""
        told = {"in the best": self.best, "in the worst": self.worst, "asked for": self.asked, "faulted": self.faulted}
        return [word for word, holds in told.items() if holds]


@dataclass(frozen=True)
class KnownField:
    """A field that a candidate may show."""

    name: str
    rated: int | None  # mean rating of the trainer, 0 low to 100 high; None where it was not rated
    marks: Marks = Marks()


@dataclass(frozen=True)
class KnownLine:
    """An instruction that a candidate may give."""

    text: str
    said: int = 1  # rationales of the trainer that say it; 1 for a judge's, a writer's or a person's own
    marks: Marks = Marks()


@dataclass(frozen=True)
class Scores:
    """Sharpe ratios a year on the sampled windows; best and worst None before a candidate was tried."""

    market: float
    baseline: float
    best: float | None = None
    worst: float | None = None


def told_fields(fields: Sequence[KnownField]) -> str:
    """A line per field."""
    return "\n".join(f"- {one.name}: {known_of_field(one)}" for one in fields)


def told_lines(lines: Sequence[KnownLine], given: Sequence[bool] | None = None) -> str:
    """A numbered line per instruction: with how often it was said and its marks, or with whether it was `given`.

    Raises PromptError for more than 30.
    """
    if len(lines) > MOST_NUMBERED:
        raise PromptError(f"{len(lines)} instructions are too many to choose from; give at most {MOST_NUMBERED}")
    told = []
    for place, line in enumerate(lines):
        known = known_of_line(line) if given is None else "given" if given[place] else "not given"
        told.append(f"- {place + 1}: {known}: {fenced([line.text], LONGEST_LINE)}")
    return "\n".join(told) or "none"


def known_of_field(field: KnownField) -> str:
    """Its rating and marks."""
    return ", ".join([rated(field), *field.marks.words()])


def known_of_line(line: KnownLine) -> str:
    """How often it was said, and its marks."""
    return ", ".join([f"said {line.said}", *line.marks.words()])


def told_scores(scores: Scores) -> str:
    """One line."""
    known = {
        "market": scores.market,
        "baseline": scores.baseline,
        "best prompt": scores.best,
        "worst prompt": scores.worst,
    }
    return ", ".join(f"{name} {value:.2f}" for name, value in known.items() if value is not None)


def rated(field: KnownField) -> str:
    """A field's rating in words."""
    return "not rated" if field.rated is None else f"rated {field.rated}"
