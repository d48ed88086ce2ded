"""The winner of a refinement as P1, and what the package's P2 to P4 add to theirs, added to it.

P2 adds memory, P3 goes group by group, P4 adds news: templates, reply and further instructions are those of the built-in
prompts; fields and instructions are the winner's.
"""

from __future__ import annotations

from dataclasses import replace

from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.strategy.refinement.errors import RefinementError

EXTENSIONS = ("p2", "p3", "p4")


def extensions(winner: Prompt) -> tuple[Prompt, ...]:
    """P2, P3 and P4 made of a refined P1, with its version and its meanings of fields.

    Raises RefinementError for a winner that remembers or goes by groups already.
    """
    base = load_prompt("p1")
    if winner.memory or winner.reply != base.reply:
        raise RefinementError(
            f"{winner.name} {winner.version} is no P1: it has memory or groups, so it is not extended"
        )
    found = []
    parent = winner
    for name in EXTENSIONS:
        built = load_prompt(name)
        own = tuple(
            line for line in built.instructions if line not in base.instructions and line not in winner.instructions
        )
        more = tuple(field for field in built.features if field not in base.features and field not in winner.features)
        found.append(
            replace(
                built,
                version=winner.version,
                parent=f"{parent.name} {parent.version}",
                features=(*winner.features, *more),
                instructions=(*winner.instructions, *own),
                meanings={**built.meanings, **winner.meanings},
            )
        )
        parent = found[-1]
    return tuple(found)
