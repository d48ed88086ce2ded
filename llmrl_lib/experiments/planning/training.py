"""How much each arm trains, exactly, and how many seconds that takes at recorded speeds.

A TDQN's episodes begin at rows that its seed draws ahead, so the steps of a run are known before it starts. Its seconds are
steps, an evaluation after each episode, and a copy to the target every so many steps; each of these grows with the number
of weights. FLAG-Trader reads every distinct day's text once, then walks and learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from llmrl_lib.experiments.flag_arms import FLAG_ARMS, NUMBERS, UNTRAINED, first_training_row
from llmrl_lib.experiments.guided import LEARNED, UNGUIDED, WINDOW
from llmrl_lib.experiments.planning.speeds import Speeds
from llmrl_lib.settings import FlagTraderSettings, Profile, TdqnSettings
from llmrl_lib.trading.streams import schedule

SERIES = 4  # of prices and volumes in an observation
RECORDED_ROWS = 2015  # of both splits, when an evaluation was timed
RECORDED_TRAINING = 1511  # of the training split, when a copy to the target was timed


class Rows(NamedTuple):
    """Trading days of a ticker's splits."""

    train: int
    test: int


class Training(NamedTuple):
    """What one arm of one ticker does."""

    steps: int  # learning steps of a TDQN, decisions of FLAG-Trader; over all seeds
    longest: int  # of one seed
    seconds: float  # of one processor
    overhead: float  # of these, what comes once and not for each seed


@cache
def steps_of(rows: int, seeds: tuple[int, ...], settings: TdqnSettings) -> tuple[int, ...]:
    """Environment steps of each seed over all its episodes on `rows` training days."""
    return tuple(len(schedule(seed, rows, settings.state_length, settings).rows) for seed in seeds)


def features_of(arm: str, settings: TdqnSettings) -> int:
    """Numbers in an observation of an arm: see `trading.observation`; and what it is told."""
    advice = 0 if arm == UNGUIDED else WINDOW if arm == "guided_window" else 1
    return SERIES * (settings.state_length - 1) + 1 + advice


def weights_of(arm: str, settings: TdqnSettings) -> tuple[int, int]:
    """Numbers that learn in one network of an arm, and those of its running statistics."""
    widths = [features_of(arm, settings), *[settings.hidden] * settings.layers, 2]
    products = sum(wide * narrow + narrow for wide, narrow in pairwise(widths))
    normal = 2 * settings.hidden * settings.layers
    return products + normal, normal


def step_ms(arm: str, settings: TdqnSettings, speeds: Speeds) -> float:
    """Milliseconds of a learning step on one processor: what a step, a layer and a weight (Adam, products) cost."""
    weights, _ = weights_of(arm, settings)
    each = speeds["tdqn_adam_ns"] + speeds["tdqn_product_ns"] * settings.batch_size
    half = speeds["tdqn_bfloat16_factor"] if settings.precision == "bfloat16" else 1.0
    return half * (speeds["tdqn_fixed_ms"] + speeds["tdqn_layer_ms"] * settings.layers + 1e-6 * each * weights)


def training_of(arm: str, rows: Rows, profile: Profile, speeds: Speeds) -> Training:
    """What an arm of a run does on a ticker with so many days."""
    if arm in LEARNED:
        return _tdqn(arm, rows, profile.seeds, profile.tdqn, speeds)
    if arm in FLAG_ARMS:
        return _flag(arm, rows, profile, speeds)
    return Training(0, 0, speeds["rule_arm_s"], speeds["rule_arm_s"])


def kind_of(arm: str) -> str:
    """Arms of a kind take time alike, so that what was measured of one tells of the others."""
    return "TDQN" if arm in LEARNED else "FLAG-Trader" if arm in FLAG_ARMS else "rules"


def trained_seconds(arm: str, rows: Rows, profile: Profile, speeds: Speeds) -> float:
    """The part of an arm's seconds that its manifest will tell: without start, final accounts and files."""
    made = training_of(arm, rows, profile, speeds)
    if arm in LEARNED:
        return made.seconds - made.overhead
    return made.seconds - _final_walk(arm, rows, profile, speeds) - speeds["learned_arm_s"]


def _tdqn(arm: str, rows: Rows, seeds: Sequence[int], settings: TdqnSettings, speeds: Speeds) -> Training:
    each = steps_of(rows.train, tuple(seeds), settings)
    steps, (weights, _) = sum(each), weights_of(arm, settings)
    evaluation = speeds["tdqn_evaluation_fixed_ms"] + 1e-6 * speeds["tdqn_evaluation_ns"] * weights
    copy = speeds["tdqn_copy_fixed_ms"] + 1e-6 * speeds["tdqn_copy_ns"] * weights
    ms = steps * step_ms(arm, settings, speeds)
    ms += settings.episodes * len(seeds) * evaluation * sum(rows) / RECORDED_ROWS
    ms += steps / settings.target_period * copy * rows.train / RECORDED_TRAINING
    overhead = speeds["learned_arm_s"]
    return Training(steps, max(each), 1e-3 * ms + overhead, overhead)


def flag_rows(rows: Rows, profile: Profile) -> Rows:
    """Days of both splits that FLAG-Trader's arms trade on, each with a text of its own."""
    first = profile.tdqn.state_length
    begin = first_training_row(profile, rows.train)
    return Rows(rows.train - begin - first, rows.test - first)


def _flag(arm: str, rows: Rows, profile: Profile, speeds: Speeds) -> Training:
    settings, seeds = profile.flag_trader, 1 if arm == UNTRAINED else len(profile.seeds)
    decisions = 0 if arm == UNTRAINED else settings.rollouts * settings.rollout * settings.environments
    final, fields = _final_walk(arm, rows, profile, speeds), len(settings.fields.split())
    files = speeds["learned_arm_s"]
    if arm == NUMBERS:
        seconds = speeds["ppo_start_s"] + 1e-3 * speeds["ppo_decision_ms"] * decisions * seeds + final
        return Training(decisions * seeds, decisions, seconds + files, seconds + files)
    days = sum(flag_rows(rows, profile))
    reading = speeds["flag_start_s"] + 1e-3 * days * _by_fields("flag_text", fields, speeds)
    learning = 1e-3 * decisions * seeds * settings.epochs * _by_fields("flag_decision", fields, speeds)
    judged = 0 if arm == UNTRAINED else settings.evaluations
    seconds = reading + learning + judged * final + final + files
    return Training(decisions * seeds, decisions, seconds, seconds)


def _final_walk(arm: str, rows: Rows, profile: Profile, speeds: Speeds) -> float:
    """Seconds of the greedy policies' way through both splits."""
    settings: FlagTraderSettings = profile.flag_trader
    seeds = 1 if arm == UNTRAINED else len(profile.seeds)
    each = speeds["ppo_walk_ms"] if arm == NUMBERS else _by_fields("flag_walk", len(settings.fields.split()), speeds)
    return 1e-3 * each * seeds * sum(flag_rows(rows, profile))


def _by_fields(name: str, fields: int, speeds: Speeds) -> float:
    """Milliseconds of something that grows with the fields that a text shows."""
    return speeds[f"{name}_ms"] + speeds[f"{name}_field_ms"] * fields
