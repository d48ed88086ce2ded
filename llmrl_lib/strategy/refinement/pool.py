"""What a writer may choose from: what the trainer left, and what a person changed between two repetitions."""

from __future__ import annotations

from dataclasses import replace

from llmrl_lib.language.prompts import Prompt
from llmrl_lib.strategy.refinement.candidate import check_candidate
from llmrl_lib.strategy.refinement.knowledge import KnownField, KnownLine, Marks
from llmrl_lib.strategy.refinement.loop import Pool
from llmrl_lib.strategy.refinement.training import Training


def first_pool(training: Training, baseline: Prompt, parent: Prompt) -> Pool:
    """Survivors and the baseline's fields; beside them the next best rated; the rules, or the parent's own."""
    survivors = [KnownField(one.feature, one.rated) for one in training.scores if one.survives]
    names = {one.name for one in survivors}
    unrated = [KnownField(name, None) for name in baseline.features if name not in names]
    taken = names | set(baseline.features)
    further = [
        KnownField(one.feature, one.rated)
        for one in training.scores
        if one.feature not in taken and one.rated is not None
    ]
    lines = training.lines or tuple(KnownLine(text) for text in parent.instructions)
    return Pool((*survivors, *unrated), tuple(further), lines)


def after_edit(edited: Prompt, before: Prompt, base: Prompt, pool: Pool, number: int) -> tuple[Prompt, Pool]:
    """The parent and the pool of the next repetition: what a person brought in is asked for, what they took out faulted."""
    if edited == before:
        return base, pool
    check_candidate(edited, base)
    added = [name for name in edited.features if name not in before.features]
    gone = [name for name in before.features if name not in edited.features]
    known = {one.name: one for one in (*pool.fields, *pool.further)}
    fields = [one.name for one in pool.fields] + [
        name for name in added if name not in {one.name for one in pool.fields}
    ]
    new = [text for text in edited.instructions if text not in before.instructions]
    dropped = [text for text in before.instructions if text not in edited.instructions]
    lines = [*pool.lines, *(KnownLine(text) for text in new if text not in {line.text for line in pool.lines})]
    return (
        replace(edited, name=base.name, version=f"e{number}", parent=f"{before.name} {before.version}"),
        Pool(
            tuple(
                replace(known.get(name, KnownField(name, None)), marks=Marks(asked=name in added, faulted=name in gone))
                for name in fields
            ),
            tuple(one for one in pool.further if one.name not in added),
            tuple(replace(line, marks=Marks(asked=line.text in new, faulted=line.text in dropped)) for line in lines),
        ),
    )
