"""Candidate prompts: made of a parent and a draft, and what every one of them must keep."""

from __future__ import annotations

import re
from dataclasses import replace

from llmrl_lib.language.prompts import Prompt, PromptError
from llmrl_lib.strategy.refinement.errors import DroppedReplyError, DroppedVariableError
from llmrl_lib.strategy.refinement.writer import Draft


def candidate(parent: Prompt, draft: Draft, name: str, version: str) -> Prompt:
    """The prompt of a draft: the parent's templates with the draft's fields and instructions.

    Raises PromptError for a parent without a place for instructions, DroppedVariableError and DroppedReplyError as
    `check_candidate` does.
    """
    if "instructions" not in parent.variables:
        raise PromptError(
            f"{parent.name} has no {{{{instructions}}}}; refine with a parent that shows some, such as p1"
        )
    made = replace(
        parent,
        name=name,
        version=version,
        parent=f"{parent.name} {parent.version}",
        features=draft.features,
        instructions=draft.instructions,
    )
    check_candidate(made, parent)
    return made


def check_candidate(made: Prompt, parent: Prompt) -> None:
    """What a candidate must keep of its parent, whoever wrote it: variables, the kind of reply, and every key of the reply.

    Raises DroppedVariableError for a variable that no template shows any more, DroppedReplyError for another kind of reply
    or a key of it that the templates no longer ask for, and PromptError for a field without meaning.
    """
    dropped = sorted(parent.variables - made.variables)
    if dropped:
        raise DroppedVariableError(
            f"candidate {made.name} {made.version} drops {{{{{dropped[0]}}}}}; write it into system or user again"
        )
    if made.reply != parent.reply:
        raise DroppedReplyError(
            f"candidate {made.name} {made.version} replies with {made.reply}, its parent with {parent.reply}; keep the latter"
        )
    text = f"{made.system}\n{made.user}"
    missing = [key for key in made.schema["properties"] if not re.search(rf"\b{key}\b", text)]
    if missing:
        raise DroppedReplyError(
            f"candidate {made.name} {made.version} no longer asks for {missing[0]!r} in its reply; describe it again"
        )
    for feature in made.features:
        made.meaning(feature)
