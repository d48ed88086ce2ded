"""The writer: drafts the next candidate, fields and instructions, from what is known so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llmrl_lib.language.chat import Reply, Request
from llmrl_lib.language.fencing import clean, fenced
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt
from llmrl_lib.strategy.refinement.asking import NONE, Tuning, object_of, off_schema, request_of
from llmrl_lib.strategy.refinement.errors import UnknownFeatureError, UnknownInstructionError
from llmrl_lib.strategy.refinement.knowledge import (
    LONGEST_LINE,
    KnownField,
    KnownLine,
    Scores,
    told_fields,
    told_lines,
    told_scores,
)

LONGEST_CRITICISM = 600  # characters that are shown


@dataclass(frozen=True)
class Draft:
    """What a writer wants the next candidate to be."""

    plan: str
    features: tuple[str, ...]  # each once
    instructions: tuple[str, ...]  # those taken, then those of its own


def writer_request(
    fields: Sequence[KnownField],
    lines: Sequence[KnownLine],
    scores: Scores,
    criticism: str,
    tuning: Tuning,
    prompt: str | Path | Prompt = "writer",
) -> Request:
    """What the writer is asked: `criticism` is what the judge said last, empty before it said anything.

    Raises PromptError for a prompt that does not reply with a candidate, and where there are no fields or no instructions.
    """
    chosen = load_prompt(prompt)
    if chosen.reply != "candidate":
        raise PromptError(
            f"{chosen.name} replies with a {chosen.reply}; the writer's prompt must reply with a candidate"
        )
    if not fields or not lines:
        raise PromptError("a writer needs fields and instructions to choose from; let the trainer rate exemplars first")
    values = {
        "scores": told_scores(scores),
        "features": told_fields(fields),
        "lines": told_lines(lines),
        "criticism": fenced([criticism], LONGEST_CRITICISM) if criticism else NONE,
    }
    return request_of(replace(chosen, features=tuple(one.name for one in fields)), values, tuning, "candidate")


def draft_from_reply(reply: Reply, fields: Sequence[KnownField], lines: Sequence[KnownLine]) -> Draft:
    """The draft in a writer's reply; a field or an instruction that it names twice counts once.

    Raises UnknownFeatureError and UnknownInstructionError for what was not offered, OffSchemaError for a reply that is no
    draft.
    """
    found = object_of(reply, "writer")
    try:
        features = tuple(dict.fromkeys(str(name) for name in found["features"]))
        numbers = list(dict.fromkeys(int(number) for number in found["instructions"]))
        own = [clean(str(text), LONGEST_LINE) for text in found["new_instructions"]]
        plan = clean(str(found["plan"]), LONGEST_CRITICISM)
    except (KeyError, TypeError, ValueError) as error:
        raise off_schema("writer", error) from error
    check_features(features, [one.name for one in fields], "writer")
    taken = [lines[number - 1].text for number in checked_numbers(numbers, len(lines), "writer")]
    instructions = tuple(dict.fromkeys(text for text in (*taken, *own) if text))
    if not features or not instructions:
        raise off_schema("writer", ValueError("no field or no instruction"))
    return Draft(plan, features, instructions)


def check_features(features: Sequence[str], offered: Sequence[str], role: str) -> None:
    """Raises UnknownFeatureError for a field that was not offered."""
    unknown = [name for name in features if name not in offered]
    if unknown:
        raise UnknownFeatureError(
            f"the {role} names {unknown[0]!r:.60}, which was not offered; ask again, or use a chat that holds to the schema"
        )


def checked_numbers(numbers: Sequence[int], count: int, role: str) -> Sequence[int]:
    """The numbers of instructions. Raises UnknownInstructionError for one that was not offered."""
    for number in numbers:
        if not 1 <= number <= count:
            raise UnknownInstructionError(
                f"the {role} takes instruction {number}; there are {count}, so ask again with another seed"
            )
    return numbers
