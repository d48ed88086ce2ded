"""The writer: drafts the next candidate, fields and instructions, from what is known so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmrl_lib.language.chat import Reply, Request
from llmrl_lib.language.fencing import clean, fenced
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt
from llmrl_lib.language.prompts.replies import CHOICES, FEWEST_FIELDS, candidate_schema
from llmrl_lib.strategy.refinement.asking import NONE, Tuning, object_of, off_schema, request_of
from llmrl_lib.strategy.refinement.errors import MeagreDraftError, UnknownFeatureError, UnknownInstructionError
from llmrl_lib.strategy.refinement.fields import named_in
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
    instructions: tuple[str, ...]  # those taken, then those of its own; none about a field that is not shown


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
    used = load_prompt(prompt)
    if used.reply != "candidate":
        raise PromptError(f"{used.name} replies with a {used.reply}; the writer's prompt must reply with a candidate")
    if not fields or not lines:
        raise PromptError("a writer needs fields and instructions to choose from; let the trainer rate exemplars first")
    values = {
        "scores": told_scores(scores),
        "features": told_fields(fields),
        "lines": told_lines(lines),
        "criticism": fenced([criticism], LONGEST_CRITICISM) if criticism else NONE,
    }
    return request_of(used, values, candidate_schema([one.name for one in fields], len(lines)), tuning)


def draft_from_reply(reply: Reply, fields: Sequence[KnownField], lines: Sequence[KnownLine]) -> Draft:
    """The draft in a writer's reply, without instructions about fields that it leaves out.

    Where none of those taken is left, those offered that speak of fields that it takes stand in, the faulted ones
    apart. Raises UnknownFeatureError and UnknownInstructionError for what was not offered, MeagreDraftError for fewer than 3
    fields or no instruction, OffSchemaError for a reply that is no draft.
    """
    found = object_of(reply, "writer")
    try:
        features = chosen(found["features"], "choice", CHOICES, "take")
        numbers = chosen(found["instructions"], "choice", CHOICES, "take")
        own = [clean(str(text), LONGEST_LINE) for text in found["new_instructions"]]
        plan = clean(str(found["plan"]), LONGEST_CRITICISM)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise off_schema("writer", error) from error
    check_features(found["features"], [one.name for one in fields], "writer")
    check_numbers(found["instructions"], len(lines), "writer")
    taken = [lines[int(number) - 1].text for number in numbers]
    instructions = _fitting(tuple(dict.fromkeys(text for text in (*taken, *own) if text)), features, lines)
    if len(features) < FEWEST_FIELDS or not instructions:
        raise MeagreDraftError(
            f"the writer takes {len(features)} fields and {len(instructions)} instructions that go with them; a prompt needs "
            f"{FEWEST_FIELDS} and 1, so ask again with another seed"
        )
    return Draft(plan, features, instructions)


def _fitting(wanted: Sequence[str], features: Sequence[str], lines: Sequence[KnownLine]) -> tuple[str, ...]:
    """Of the wanted instructions those that name no other field than `features`; if none does, offered ones about these."""
    kept = tuple(text for text in wanted if named_in(text) <= set(features))
    if kept or not wanted:
        return kept
    return tuple(line.text for line in lines if not line.marks.faulted and set() < named_in(line.text) <= set(features))


def chosen(items: Mapping[str, Mapping[str, str]], key: str, options: Sequence[str], wanted: str) -> tuple[str, ...]:
    """The names whose `key` is `wanted`. Raises KeyError, TypeError or ValueError where one is none of the `options`."""
    return tuple(name for name, item in items.items() if options[options.index(item[key])] == wanted)


def check_features(features: Iterable[str], offered: Sequence[str], role: str) -> None:
    """Raises UnknownFeatureError for a field that was not offered."""
    unknown = [name for name in features if name not in offered]
    if unknown:
        raise UnknownFeatureError(
            f"the {role} names {unknown[0]!r:.60}, which was not offered; ask again, or use a chat that holds to the schema"
        )


def check_numbers(numbers: Iterable[str], count: int, role: str) -> None:
    """Raises UnknownInstructionError for the number of an instruction that was not offered."""
    for number in numbers:
        if not (number.isdecimal() and 1 <= int(number) <= count):
            raise UnknownInstructionError(
                f"the {role} speaks of instruction {number!r:.20}; there are {count}, so ask again with another seed"
            )
