"""What a reader must know of a plan's figures: whose seconds they are, what is not in them, whether a budget holds."""

from __future__ import annotations

from collections.abc import Iterator

from llmrl_lib.experiments.flag_arms import FLAG_ARMS
from llmrl_lib.experiments.guided import LEARNED
from llmrl_lib.experiments.planning.asking import unknown_seconds
from llmrl_lib.experiments.planning.plan import Plan
from llmrl_lib.experiments.planning.setting import Setting
from llmrl_lib.experiments.suite import has_gpu
from llmrl_lib.settings import TdqnSettings


def told_speeds(setting: Setting) -> str:
    """Where the seconds are from."""
    figures = setting.speeds.figures["tdqn_fixed_ms"]
    told = f"recorded on {figures.machine}, {setting.speeds.dates}"
    if calibration := setting.calibration:
        told += (
            f", times {calibration.factor:.2f}: {calibration.milliseconds:.2f} ms a learning step were measured here, "
            f"{calibration.recorded:.2f} are recorded"
        )
    for kind, factor in setting.done.factors.items():
        told += f"; {kind} as in the run's finished arms, {factor:.2f} times the recorded"
    return told


def notes(setting: Setting) -> Iterator[str]:
    """Sentences on what the figures hold and leave out."""
    learned = setting.left(arm for arm in setting.arms if arm in LEARNED)
    if setting.study.gpu:
        yield _gpu_note(setting, len(learned))
        yield from _other_network(setting)
    elif learned and has_gpu():
        yield "This machine has a GPU, and a run trains its learned TDQN arms there; these are hours on processors: --gpu."
    if setting.asking.tasks:
        yield from _asking_notes(setting)
    if setting.profile.flag_trader.backbone != "nano" and any(arm in FLAG_ARMS for arm in setting.arms):
        yield "FLAG-Trader's hours and bytes are those of Nano as its backbone; a larger one takes more."


def budget_note(plan: Plan) -> str:
    """Whether a plan's budget holds: for certain, as is expected, or not."""
    if plan.budget_usd is None:
        return "There is no budget."
    told = f"The budget of {plan.budget_usd:,.2f} USD"
    if plan.usd is None or plan.most_usd is None or plan.spent_usd is None:
        return f"{told} cannot be kept, because no price of this model is known: nothing would be asked of it."
    spent = f" after {plan.spent_usd:,.2f} spent" if plan.spent_usd else ""
    figures = (
        f"{plan.usd:,.2f} USD are expected{spent}, and {plan.most_usd:,.2f} are the most that these calls can cost"
    )
    if plan.spent_usd + plan.most_usd <= plan.budget_usd:
        return f"{told} holds: {figures}."
    if plan.spent_usd + plan.usd <= plan.budget_usd:
        return f"{told} will probably hold, but that is not certain: {figures}."
    return f"{told} does not hold: {figures}. The run would stop before it is exceeded, and keep what was answered."


def _gpu_note(setting: Setting, learned: int) -> str:
    """How much memory one group of all learned runs needs, and what to do where no GPU has it."""
    runs = learned * len(setting.profile.seeds)
    memory = runs * setting.speeds["gpu_run_mib"] / 1024
    device = setting.speeds.figures["gpu_run_mib"].machine.split(";")[0]
    told = f"GPU time is that of one {device}; FLAG-Trader's arms are counted on processors all the same."
    told += f" The group of {runs:,} runs needs about {memory:,.0f} GiB of its memory"
    if memory <= setting.speeds["gpu_memory_gib"]:
        return f"{told}."
    each = memory / max(1, len(setting.planned))
    fitting = int(setting.speeds["gpu_memory_gib"] / each)
    advice = f"give at most {fitting} tickers a command (--tickers)" if fitting else "take fewer seeds or arms"
    return f"{told}, which is more than it has: {advice}."


def _other_network(setting: Setting) -> Iterator[str]:
    """That the speeds of a GPU are those of one network, where the settings name another."""
    own, published = setting.profile.tdqn, TdqnSettings()
    told = [
        f"{name.replace('_', ' ')} {getattr(own, name)} instead of {getattr(published, name)}"
        for name in ("hidden", "layers", "batch_size", "precision")
        if getattr(own, name) != getattr(published, name)
    ]
    if told:
        yield f"Time and memory of the GPU are those of the published network; another is asked for: {', '.join(told)}."


def _asking_notes(setting: Setting) -> Iterator[str]:
    asking = setting.asking
    if hasattr(asking.chat, "prompt_tokens"):
        yield "Prompts are counted by the model's own tokenizer, with stand-ins for what it will remember."
    else:
        yield "Tokens are estimates of a large general vocabulary; servers that charge for the schema of replies count more."
    if asking.price is None:
        yield "No price of this model is known: dollars unknown; give one with --prices, or say --free."
    elif asking.price.source and not asking.is_local:
        yield f"Prices: {asking.price.source}."
    if unknown := unknown_seconds(setting):
        who = "this model" if asking.is_local else "the server"
        yield f"How long {who} takes to answer is not known, and not in the hours, of: {', '.join(unknown)}."
    if len({ticker for ticker, _ in setting.planned}) > len(asking.sampled):
        yield f"Questions were made for {len(asking.sampled)} tickers; the others are taken to be asked alike."
