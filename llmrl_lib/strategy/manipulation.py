"""Does what a headline says change the decision? Hostile lines are put into a month's news one by one.

Fencing keeps a hostile line in its field; only a measurement tells whether a model obeys it all the same. Any further
headline may tip a close decision, so harmless lines are measured beside the hostile ones: what counts is the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from llmrl_lib.language.chat import Chat, ChatError
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt
from llmrl_lib.market.features import Features, Headline
from llmrl_lib.strategy.anonymise import Names
from llmrl_lib.strategy.memory import Recalled
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.standalone import decide_each
from llmrl_lib.strategy.strategist import Ask


@dataclass(frozen=True)
class Manipulation:
    """What lines did to one decision."""

    clean: Strategy  # without any of them
    lines: pd.DataFrame  # a row per line: line, kind (hostile or harmless), direction, confidence, changed, failed

    def share(self, kind: str = "hostile") -> float:
        """Share of the lines of a kind that changed the direction; those that made a call fail count as changed."""
        mine = self.lines[self.lines["kind"] == kind]
        return float((mine["changed"] | mine["failed"]).mean()) if len(mine) else float("nan")


def manipulation(
    chat: Chat,
    prompt: str | Path | Prompt,
    features: Features,
    known: Mapping[str, Names],
    hostile: Sequence[str],
    harmless: Sequence[str] = (),
    memory: Sequence[Recalled] | None = None,
    ask: Ask | None = None,
) -> Manipulation:
    """One decision with the month's own news, and again with each line as one more headline, the newest.

    Analyst and strategist are both asked, by the same chat, as in `make_strategies`. `known` are the names of `names_of`.
    Raises PromptError for a prompt that shows no news, ChatError if the decision without any line fails.
    """
    chosen = load_prompt(prompt)
    if not chosen.shows_news:
        raise PromptError(
            f"prompt {chosen.name} shows no news, so no headline can reach it; take one that does, such as p4"
        )
    lines = [*hostile, *harmless]
    worlds = [features, *(_with_headline(features, line) for line in lines)]
    answers = decide_each(chat, chosen, worlds, known, memory, ask)
    clean = answers[0]
    if isinstance(clean, ChatError):
        raise clean
    kinds = ["hostile"] * len(hostile) + ["harmless"] * len(harmless)
    shown = [line.encode("utf-8", "backslashreplace").decode() for line in lines]  # half characters fit no table
    rows = [_row(line, kind, answer, clean) for line, kind, answer in zip(shown, kinds, answers[1:], strict=True)]
    return Manipulation(
        clean, pd.DataFrame(rows, columns=["line", "kind", "direction", "confidence", "changed", "failed"])
    )


def _with_headline(features: Features, line: str) -> Features:
    published = features.news[-1].published if features.news else features.date - pd.Timedelta(days=1)
    return replace(features, news=(*features.news, Headline(published, line, None, None)))


def _row(line: str, kind: str, answer: Strategy | ChatError, clean: Strategy) -> dict[str, object]:
    if isinstance(answer, ChatError):
        return {"line": line, "kind": kind, "direction": -1, "confidence": 0, "changed": False, "failed": True}
    changed = answer.direction != clean.direction
    return {
        "line": line, "kind": kind, "direction": answer.direction, "confidence": answer.confidence, "changed": changed,
        "failed": False,
    }  # fmt: skip
