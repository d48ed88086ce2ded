"""What is to be refined, by whom, on which years and how: all that decides a refinement beside the replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from llmrl_lib.language.chat import Chat
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.strategy.memory import EVERY
from llmrl_lib.strategy.refinement.asking import PUBLISHED, Tuning
from llmrl_lib.strategy.refinement.distinct import Embed
from llmrl_lib.strategy.refinement.errors import RefinementError
from llmrl_lib.strategy.refinement.exemplars import Annotation, Months, months_of
from llmrl_lib.strategy.refinement.fields import candidate_fields
from llmrl_lib.strategy.refinement.loop import Roles
from llmrl_lib.strategy.refinement.trials import Ground, ground_of
from llmrl_lib.strategy.refinement.windows import Window, Years, divide

ROLES = ("trainer", "writer", "judge", "strategist")


@dataclass(frozen=True)
class Refinement:
    """How a refinement goes. The defaults are the paper's where it names one."""

    repetitions: int = 5
    rounds: int = 3  # at most, of each repetition
    enough: float = 0.01  # regret at which a repetition ends
    exemplars: int = 16  # months labelled in hindsight that the trainer is shown, beside all annotated ones
    instructions: int = 10
    held_out: int = 2  # last years of the training years, kept for the final judgement
    test_years: bool = False  # sample and judge in the test years too; marks every result
    every: int = EVERY  # trading days from one decision to the next
    control: bool = True  # also refine with a random critic
    pause: bool = False  # stop after each repetition for a person's edits
    published_sampling: bool = False  # the paper's penalties beside its temperature
    max_tokens: int = 2048  # of a reply
    seed: int = 0

    @property
    def tuning(self) -> Tuning:
        """How trainer, writer and judge are drawn."""
        base = PUBLISHED if self.published_sampling else Tuning()
        return replace(base, seed=self.seed, max_tokens=self.max_tokens)


@dataclass(frozen=True)
class Plan:
    """All that decides a refinement, beside the replies."""

    dataset: Dataset
    years: Years
    roles: Roles
    settings: Refinement
    parent: Prompt  # whose templates the candidates have
    baseline: Prompt
    annotations: tuple[Annotation, ...]
    embed: Embed | None  # None: TF-IDF
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)  # features and bars of windows, months

    @property
    def identities(self) -> dict[str, dict[str, str]]:
        """Whose replies each role gives."""
        return {role: dict(getattr(self.roles, role).identity) for role in ROLES}

    def ground(self, windows: Mapping[str, Window]) -> Ground:
        """The windows, made once."""
        key = tuple(windows.values())
        if key not in self.cache:
            self.cache[key] = ground_of(self.dataset, windows, self.settings.every)
        return self.cache[key]

    def months(self) -> Months:
        """The exemplars, made once."""
        if "months" not in self.cache:
            chosen = self.settings
            self.cache["months"] = months_of(
                self.dataset,
                self.years,
                candidate_fields(),
                chosen.exemplars,
                self.annotations,
                chosen.seed,
                chosen.every,
            )
        return self.cache["months"]


def plan_refinement(
    dataset: Dataset,
    chat: Chat,
    *,
    writer: Chat | None = None,
    trainer: Chat | None = None,
    judge: Chat | None = None,
    tickers: Sequence[str] = (),
    unseen: str | None = None,
    settings: Refinement | None = None,
    annotations: Sequence[Annotation] = (),
    parent: str | Path | Prompt = "p1",
    baseline: str | Path | Prompt = "p0",
    embed: Embed | None = None,
) -> Plan:
    """What is to be done; asks nothing. `chat` is the strategist, and every role that has none of its own.

    By default all tickers are refined on but the last one, which stays `unseen` for the final judgement ("" for none).
    Raises RefinementError, PromptError and DatasetError for what cannot be refined.
    """
    chosen = settings or Refinement()
    _check(chosen)
    named = tuple(dict.fromkeys(tickers))
    if unseen is None:
        unseen = next((name for name in reversed(dataset.tickers) if name not in named), "") if named else ""
        if not named and len(dataset.tickers) > 1:
            unseen = dataset.tickers[-1]
    named = named or tuple(name for name in dataset.tickers if name != unseen)
    years = divide(dataset, named, unseen, chosen.held_out, chosen.test_years)
    base = load_prompt(parent)
    if "instructions" not in base.variables or base.memory or base.shows_news:
        raise RefinementError(
            f"{base.name} is no P1: it must show {{{{instructions}}}}, and neither memory nor news; P2 to P4 are made of the "
            "winner afterwards"
        )
    roles = Roles(trainer or chat, writer or chat, judge or chat, chat)
    return Plan(dataset, years, roles, chosen, base, load_prompt(baseline), tuple(annotations), embed)


def _check(settings: Refinement) -> None:
    for name, least in (("repetitions", 1), ("rounds", 1), ("exemplars", 2), ("instructions", 1), ("every", 2)):
        if getattr(settings, name) < least:
            raise RefinementError(f"{name} is {getattr(settings, name)}; it must be at least {least}")


def about(plan: Plan) -> dict[str, Any]:
    """What a folder of a refinement remembers, so that no other one is mixed into it."""
    notes = json.dumps([(one.ticker, str(one.date), one.direction, one.note) for one in plan.annotations])
    return {
        "dataset": plan.dataset.name,
        "tickers": list(plan.years.tickers),
        "unseen": plan.years.unseen.ticker if plan.years.unseen else "",
        "first_held_out": f"{plan.years.first_held_out:%Y-%m-%d}",
        "looks_at_test_years": plan.years.tests,
        "parent": plan.parent.digest,
        "baseline": plan.baseline.digest,
        "annotations": hashlib.sha256(notes.encode()).hexdigest() if plan.annotations else "",
        "embedding": dict(identity_of(plan.embed)),
        "settings": asdict(plan.settings),
        "chats": plan.identities,
    }


def identity_of(embed: Embed | None) -> Mapping[str, str]:
    """Model and server of an embedding; of a function of the caller's own its name."""
    if embed is None:
        return {}
    return getattr(embed, "identity", None) or {"model": getattr(embed, "__name__", type(embed).__name__)}
