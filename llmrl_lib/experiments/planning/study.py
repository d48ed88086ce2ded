"""What a study would take: every stage of `suite.run_suite` counted, sized, timed at recorded speeds and scheduled.

Counts of calls and learning steps are exact where the prompts have no say in them; tokens, seconds and bytes are estimates,
and a plan says which are whose. Nothing is asked of a model, trained or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llmrl_lib.experiments.planning.calibration import calibrate
from llmrl_lib.experiments.planning.notes import budget_note, notes, told_speeds
from llmrl_lib.experiments.planning.opening import opened
from llmrl_lib.experiments.planning.plan import Plan
from llmrl_lib.experiments.planning.setting import Setting, Study
from llmrl_lib.experiments.planning.speeds import Speeds, load_speeds
from llmrl_lib.experiments.planning.stages import stages_of


def plan_study(study: Study, calibrated: bool = False, speeds: Speeds | None = None) -> Plan:
    """What a study takes; `calibrated`: by this machine's speed, for which some steps are trained, else as recorded.

    Raises what `opening.opened` raises.
    """
    return plan_studies(study, (study.count,), calibrated, speeds)[0]


def plan_studies(
    study: Study, counts: Sequence[int], calibrated: bool = False, speeds: Speeds | None = None
) -> list[Plan]:
    """A plan for each of `counts` of tickers, 0 being those there are; questions are made once. Raises as `plan_study`."""
    setting = opened(study, speeds or load_speeds())
    if calibrated:
        ticker = setting.planned[0][0]
        train, test = setting.dataset.train_bars(ticker), setting.dataset.test_bars(ticker)
        calibration = calibrate(train, test, study.profile.tdqn, setting.speeds)
        setting = replace(setting, calibration=calibration)
    return plans_of(setting, counts)


def plans_of(setting: Setting, counts: Sequence[int]) -> list[Plan]:
    """Plans of an opened study for so many tickers each."""
    return [_plan(setting.counting(count)) for count in counts]


def _plan(setting: Setting) -> Plan:
    stages, phases = stages_of(setting)
    asking = setting.asking
    plan = Plan(
        stages=tuple(stages),
        phases=tuple(phases),
        tickers=len(setting.planned),
        slots=setting.slots,
        model=str(asking.chat.identity.get("model", "")),
        price="" if asking.price is None else asking.price.source or "a row of the user's",
        counted=hasattr(asking.chat, "prompt_tokens"),
        speeds=told_speeds(setting),
        notes=(*setting.unusable, *notes(setting)),
        budget_usd=setting.study.adviser.budget_usd,
        spent_usd=asking.spent_usd,
    )
    return plan if plan.budget_usd is None else replace(plan, notes=(*plan.notes, budget_note(plan)))
