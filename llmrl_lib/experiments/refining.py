"""The paper's way from the baseline prompt to P1, on any data with any models: trainer, writer, judge, and a final judgement.

Everything is decided by the settings and by the replies in the store, so that the same command goes on where it was
stopped and ends in the same files. What it will ask and cost is found out first, by going through it with stand-ins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.experiments.folders import read_toml, refuse_other_settings, write_toml
from llmrl_lib.experiments.refining_files import REFINEMENT, Kept, Refined, read_refinement
from llmrl_lib.experiments.refining_plan import ROLES, Plan, Refinement, about, identity_of, plan_refinement
from llmrl_lib.experiments.refining_verdict import verdict_of
from llmrl_lib.language import ledger
from llmrl_lib.language.budget import Budget
from llmrl_lib.language.chat import BudgetError, Chat, Request, Usage
from llmrl_lib.language.prices import Prices
from llmrl_lib.language.prompts import Prompt
from llmrl_lib.language.replay import Replay
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.strategy.refinement.distinct import Embed
from llmrl_lib.strategy.refinement.errors import RefinementError
from llmrl_lib.strategy.refinement.exemplars import Annotation
from llmrl_lib.strategy.refinement.extensions import extensions
from llmrl_lib.strategy.refinement.fields import candidate_fields
from llmrl_lib.strategy.refinement.loop import Roles, Rules, Tried, repetition
from llmrl_lib.strategy.refinement.pool import after_edit, first_pool
from llmrl_lib.strategy.refinement.training import train
from llmrl_lib.strategy.refinement.trials import follow
from llmrl_lib.strategy.refinement.windows import sample
from llmrl_lib.strategy.rehearsal import Rehearsal
from llmrl_lib.strategy.strategist import Ask

TESTS = ".tests"  # what is added to every version where the test years were looked at

Told = Callable[[str], None]


def refine(
    dataset: Dataset,
    out: str | Path,
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
    budget_usd: float | None = None,
    prices: Prices | None = None,
    told: Told | None = None,
) -> Refined:
    """Refines a prompt into folder `out`. The same call goes on where it was stopped, and ends in the same files.

    `chat` is the strategist, and every role that has no model of its own. `embed` turns texts into vectors, for the
    clusters of rules; without it words are compared. `told` hears how far it is. With `settings.pause` it returns after
    each repetition, and `waiting` of what it returns names the file that a person may change. For the rest see
    `plan_refinement`.

    Raises ExperimentError for a folder of another refinement, BudgetError before more than `budget_usd` is spent, and what
    `plan_refinement` and the roles raise.
    """
    plan = plan_refinement(
        dataset, chat, writer=writer, trainer=trainer, judge=judge, tickers=tickers, unseen=unseen, settings=settings,
        annotations=annotations, parent=parent, baseline=baseline, embed=embed,
    )  # fmt: skip
    return carry_out(plan, Path(out), budget_usd, prices, told)


def carry_out(
    plan: Plan, out: Path, budget_usd: float | None = None, prices: Prices | None = None, told: Told | None = None
) -> Refined:
    """Does what is planned."""
    wanted = about(plan)
    if (out / REFINEMENT).is_file():
        refuse_other_settings(out, read_toml(out / REFINEMENT), wanted)
    budget = None if budget_usd is None else Budget(budget_usd, prices)
    replays = {role: Replay(out, getattr(plan.roles, role), purpose=role, budget=budget) for role in ROLES}
    write_toml(out / REFINEMENT, wanted)
    kept = Kept(out, plan.years.tests, plan.identities, prices)
    embed = _within(plan.embed, kept.remembering(plan.embed), budget)
    _go_through(replace(plan, embed=embed), Roles(**replays), kept, told or (lambda _: None))
    return read_refinement(out)


def cost_of(plan: Plan, out: Path, prices: Prices | None = None) -> pd.DataFrame:
    """What a refinement would still ask and cost, a row per role, if no repetition ended before its last round.

    Columns as of `strategies.cost_of`, and model. What later rounds ask depends on replies that are yet to come; stand-ins
    take their place, so these are estimates.
    """
    replays = {role: Replay(out, getattr(plan.roles, role), purpose=role) for role in ROLES}
    rehearsals = {role: Rehearsal(replay) for role, replay in replays.items()}
    kept = Kept(out, plan.years.tests, plan.identities, prices, reading=True)
    plan = replace(plan, embed=kept.remembering(plan.embed))
    _go_through(
        plan, Roles(**rehearsals), kept, lambda _: None, lambda: any(one.missing for one in rehearsals.values())
    )
    rows = []
    for role in ROLES:
        missing = _apart(rehearsals[role].missing)
        found = ledger.plan(replays[role], missing, prices)
        rows.append(
            {
                "role": role,
                "model": replays[role].identity.get("model", ""),
                **found.row(rehearsals[role].stored),
            }
        )
    return pd.DataFrame(rows).astype({"usd": "float64", "most_usd": "float64"})


def _apart(requests: Sequence[Request]) -> list[Request]:
    """The requests as so many different ones: stand-ins are alike, but the replies that they stand for need not be."""
    return [
        replace(one, sampling=replace(one.sampling, draw=1_000_000 + number)) for number, one in enumerate(requests)
    ]


def _go_through(
    plan: Plan, roles: Roles, kept: Kept, told: Told, to_the_end: Callable[[], bool] = lambda: False
) -> None:
    """All of it, in order. In a rehearsal `to_the_end` says whether a reply was missing already."""
    chosen = plan.settings
    told("the trainer rates fields")
    training = train(
        plan.months(), candidate_fields(), roles.trainer, chosen.tuning, chosen.instructions,
        plan.embed,
    )  # fmt: skip
    kept.training(training, plan.months())
    pool = first_pool(training, plan.baseline, plan.parent)
    rules = Rules(
        chosen.rounds, chosen.enough, chosen.tuning, Ask(every=chosen.every, top_logprobs=None, max_tokens=chosen.max_tokens),
        to_the_end, TESTS if plan.years.tests else "",
    )  # fmt: skip
    parent, tried = plan.parent, list[Tried]()
    for number in range(1, chosen.repetitions + 1):
        ground = plan.ground(sample(plan.years, number, chosen.seed))
        told(f"repetition {number} of {chosen.repetitions}: the baseline")
        baseline = follow(ground, plan.baseline, roles.strategist, rules.ask)
        kept.repetition(number, ground, baseline)
        for control in (False, True)[: 1 + chosen.control]:
            told(f"repetition {number} of {chosen.repetitions}: {'random critic' if control else 'writer and judge'}")
            made = repetition(number, ground, baseline, parent, pool, roles, rules, control)
            for place, one in enumerate(made):
                kept.candidate(one, parent if not place else made[place - 1].prompt or parent)
            tried += made
        if chosen.pause and number < chosen.repetitions:
            edited = kept.edit(number, _best(tried, False) or parent, parent)
            if edited is None:
                return
            parent, pool = after_edit(edited, _best(tried, False) or parent, parent, pool, number)
    _finish(plan, roles, rules, kept, tried, told)


def _finish(plan: Plan, roles: Roles, rules: Rules, kept: Kept, tried: Sequence[Tried], told: Told) -> None:
    """The winner, what is made of it, and the final judgement, once."""
    winner = max((one for one in tried if not one.control and one.prompt), key=lambda one: one.edge, default=None)
    if winner is None or winner.prompt is None or winner.sharpe is None:
        first = next((told for one in tried for told in one.troubles), "no reason is known")
        raise RefinementError(
            f"no candidate could be made and followed, so there is no winner ({first}); use other models for the roles"
        )
    kept.winner(winner.prompt, extensions(winner.prompt))
    told("the final judgement")
    prompts = {"winner": winner.prompt, "baseline": plan.baseline}
    if (chance := _best(tried, True)) is not None:
        prompts["random critic"] = chance
    grounds = {}
    if plan.years.held_out:
        grounds["held-out years"] = plan.ground(plan.years.held_out)
    if plan.years.unseen is not None:
        grounds["unseen ticker"] = plan.ground({plan.years.unseen.ticker: plan.years.unseen})
    returns = {
        where: {"holding": ground.market}
        | {arm: follow(ground, prompt, roles.strategist, rules.ask).returns for arm, prompt in prompts.items()}
        for where, ground in grounds.items()
    }
    kept.verdict(lambda: verdict_of(winner, tried, returns, plan.years, kept.trials()))


def _best(tried: Sequence[Tried], control: bool) -> Prompt | None:
    own = [one for one in tried if one.control == control and one.prompt is not None and one.sharpe is not None]
    return max(own, key=lambda one: one.edge).prompt if own else None


def _within(embed: Embed | None, kept: Embed | None, budget: Budget | None) -> Embed | None:
    """The embedding, what it can cost at most being taken from the budget first, whether it is `kept` already or not."""
    identity = identity_of(embed)
    if kept is None or budget is None or "server" not in identity:
        return kept

    def paid(texts: Sequence[str]) -> np.ndarray:
        price = budget.prices.find(identity["model"], identity["server"], datetime.now(UTC).date())
        if price is None:
            raise BudgetError(
                f"no price is known for the embedding model {identity['model']!r}, so no budget can be kept; add it to a "
                "file of prices, or use TF-IDF"
            )
        budget.usd -= price.largest_cost(Usage(sum(len(text.encode()) for text in texts), 0))
        if budget.usd < budget.spent():
            raise BudgetError("what is left of the budget does not pay for the embeddings; raise --budget-usd")
        return kept(texts)

    return paid


def _identities(plan: Plan) -> dict[str, dict[str, str]]:
    return {role: dict(getattr(plan.roles, role).identity) for role in ROLES}
