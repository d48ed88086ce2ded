"""What the agent of each learned arm is told: nothing, the strategist's advice, a placebo made of it, or foresight.

An arm's name says it. Guided arms differ in what of the advice they see; placebos keep its look and lose its knowledge, all
but the flipped one, which says the same with the other sign; oracles (HINDSIGHT) are right as often as their name says, in
per cent. Every seed of a random placebo and of an oracle hears draws of its own on every ticker, so that a mean over seeds or
tickers is one over advisers, too. Arms with the same seeds explore and replay alike; initial weights are the same only for
agents that observe as many numbers.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from llmrl_lib.experiments.advice import flipped, held, oracle, permuted, random_like, shifted
from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.strategy.guidance import Variant, guidance, interaction
from llmrl_lib.strategy.records import Strategy, strategy_to_record
from llmrl_lib.trading.problem import Problem

UNGUIDED, LLM_ONLY = "unguided", "llm_only"
VARIANT_OF: Mapping[str, Variant] = {
    "guided": "geometric",
    "guided_direction": "direction",
    "guided_confidence": "confidence",
    "guided_product": "product",
    "guided_window": "geometric",
    "guided_shaped": "geometric",
}
SHIFTS = (1, 5, 20)  # trading days
PLACEBOS = ("placebo_random", "placebo_permuted", "placebo_flipped", *(f"placebo_shifted_{days}" for days in SHIFTS))
HIT_RATES = (0.40, 0.50, 0.55, 0.60, 0.70, 0.80, 1.00)  # of the value-of-advice curve
ORACLES = tuple(f"oracle_{round(100 * rate):03d}" for rate in HIT_RATES)
LEARNED = (UNGUIDED, *VARIANT_OF, *PLACEBOS, *ORACLES)

WINDOW = 20  # days of advice that guided_window sees: it can tell how old a decision is, and what the one before it was
SHAPING = (
    0.002  # of guided_shaped: reward for a day on the advised side at full strength, against daily returns of 0.01
)

Guidance = pd.Series | pd.DataFrame
_Placebo = Callable[[pd.Series, int, pd.Timestamp], pd.Series]
_DECIDED: Mapping[str, _Placebo] = {
    "placebo_random": lambda decided, seed, _: random_like(decided, seed),
    "placebo_permuted": lambda decided, seed, split: permuted(decided, seed, split),
    "placebo_flipped": lambda decided, _, __: flipped(decided),
}
_BY_SEED = ("placebo_random", "placebo_permuted")
DRAWS = "by seed and ticker"  # what the draws of placebos and oracles depend on; once it was the seed alone


def hit_rate_of(arm: str) -> float | None:
    """The hit rate in an oracle's name; None for any other arm."""
    return int(arm.removeprefix("oracle_")) / 100 if arm.startswith("oracle_") else None


def hears_strategies(arm: str) -> bool:
    """Whether the arm is made of a strategist's advice."""
    return arm in VARIANT_OF or arm in PLACEBOS or arm == LLM_ONLY


def guidance_of(
    arm: str, closes: pd.Series, split: pd.Timestamp, strategies: Sequence[Strategy], seed: int
) -> Guidance | None:
    """The guidance of one seed of a learned arm, for every date of `closes` (both splits, adjusted closes by date).

    Oracles read `closes` ahead; nothing else does. Raises ExperimentError for an arm that needs strategies and has none,
    ValueError for strategies that do not cover the dates (see `strategy.guidance`).
    """
    if arm == UNGUIDED:
        return None
    dates = pd.DatetimeIndex(closes.index)
    if (rate := hit_rate_of(arm)) is not None:
        return oracle(closes, rate, seed).guidance
    if not strategies:
        raise ExperimentError(f"the arm {arm} needs strategies; run with a profile that names a guide, or leave it out")
    if arm in _DECIDED:
        return held(_DECIDED[arm](_decided(strategies), seed, split), dates)
    told = guidance(strategies, dates, VARIANT_OF.get(arm, "geometric"), may_begin_late=True)
    if arm.startswith("placebo_shifted_"):
        return shifted(told, int(arm.removeprefix("placebo_shifted_")))
    if arm == "guided_window":
        return pd.DataFrame({f"{lag} days ago": told.shift(lag, fill_value=0.0) for lag in range(WINDOW)})
    return told


def problems_of(
    ticker: str,
    arm: str,
    train: pd.DataFrame,
    test: pd.DataFrame,
    strategies: Sequence[Strategy],
    seeds: Sequence[int],
) -> Problem | list[Problem]:
    """The training problem of a learned arm, or one for each seed where each hears something else."""
    closes = pd.concat([train["close"], test["close"]])
    each = seeds if arm in _BY_SEED or hit_rate_of(arm) is not None else seeds[:1]
    shaping = SHAPING if arm == "guided_shaped" else 0.0
    split = test.index[0]
    found = [
        Problem(train, test, guidance_of(arm, closes, split, strategies, drawn_by(seed, ticker)), shaping)
        for seed in each
    ]
    return found[0] if each is not seeds else found


def drawn_by(seed: int, ticker: str) -> int:
    """The seed of a placebo's or an oracle's draws for an agent's seed, another one on every ticker."""
    return int(np.random.SeedSequence([seed, zlib.crc32(ticker.encode())]).generate_state(1, np.uint64)[0])


def described(arm: str, strategies: Sequence[Strategy]) -> dict[str, Any]:
    """What an arm's settings file says about the advice: enough to tell that it was another."""
    if (rate := hit_rate_of(arm)) is not None:
        return {"hit_rate": rate, "foresight": True, "draws": DRAWS}
    if not hears_strategies(arm):
        return {}
    lines = "\n".join(json.dumps(strategy_to_record(one), sort_keys=True) for one in strategies)
    about: dict[str, Any] = {
        "prompts": sorted({f"{one.prompt} {one.prompt_version}" for one in strategies}),
        "strategies": hashlib.sha256(lines.encode()).hexdigest(),
    }
    if arm != LLM_ONLY:
        about["strength"] = VARIANT_OF.get(arm, "geometric")
    if arm in _BY_SEED:
        about["draws"] = DRAWS
    if arm == "guided_window":
        about["window"] = WINDOW
    if arm == "guided_shaped":
        about["shaping"] = SHAPING
    return about


def _decided(strategies: Sequence[Strategy]) -> pd.Series:
    """The interaction term by date of decision, a mean over draws."""
    values = pd.Series([interaction(one) for one in strategies], pd.DatetimeIndex([one.date for one in strategies]))
    return values.groupby(level=0).mean().sort_index()
