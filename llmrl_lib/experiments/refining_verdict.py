"""The final judgement of a refinement: the winner, the baseline and the random critic on years and a ticker never looked at.

Intervals are over days (`evidence.bootstrap`). The winner was chosen as the best of all candidates, so that its Sharpe
ratio on the sampled windows is deflated by their number; on what was held out it is not, since it is judged there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from llmrl_lib.evidence.bootstrap import sharpe_difference, sharpe_interval
from llmrl_lib.evidence.sharpe import expected_best, luck_corrected, probabilistic_sharpe
from llmrl_lib.strategy.refinement.loop import LEVEL, Tried
from llmrl_lib.strategy.refinement.trials import ratio
from llmrl_lib.strategy.refinement.windows import Years

ENOUGH = 0.95
PAIRS = (("winner", "baseline"), ("winner", "holding"), ("winner", "random critic"))


def verdict_of(
    winner: Tried,
    tried: Sequence[Tried],
    returns: Mapping[str, Mapping[str, pd.Series]],
    years: Years,
    counted: int = 0,
) -> dict[str, Any]:
    """All figures of the final judgement, as JSON types.

    `returns` are daily, by place ("held-out years", "unseen ticker") and arm; `counted` is how many candidates a folder ever
    saw, where that is more than were `tried` now.
    """
    own = [one for one in tried if not one.control and one.returns is not None]
    excess = {one.name: _excess(one) for one in own}
    trials = [ratio(values) for values in excess.values()]
    count = max(counted, len(trials))
    moved = excess[winner.name].to_numpy("float64")
    level = [one for one in own if one.ended.startswith(LEVEL)]
    luck: dict[str, float | None] = {"deflated": None, "luck_corrected": None}
    if moved.std() > 0:
        best = expected_best(count, float(np.std(trials, ddof=1))) if count > 1 and len(trials) > 1 else 0.0
        luck = {"deflated": probabilistic_sharpe(moved, best), "luck_corrected": luck_corrected(moved, count)}
    return {
        "winner": winner.name,
        "looked_at_test_years": years.tests,
        "sampled": {
            "candidates": count,
            "above_start": sum(one.edge > 0 for one in own),
            "sharpe": winner.sharpe,
            "start": winner.start,
            "excess_sharpe": ratio(excess[winner.name]),
            **luck,
        },
        "level": {  # repetitions that ended with a candidate as good as their start, which no judge was asked about
            "repetitions": len(level),
            "of": len({one.repetition for one in tried}),
            "as_holding": sum(one.as_holding for one in level),
        },
        "critics": {
            "judge": [max(0.0, one.regret or 0.0) for one in _last(tried, False)],
            "random": [max(0.0, one.regret or 0.0) for one in _last(tried, True)],
        },
        "places": {where: _place(arms) for where, arms in returns.items()},
        "about": {
            "held-out years": {
                ticker: f"{one.start:%Y-%m-%d} to {one.last:%Y-%m-%d}" for ticker, one in years.held_out.items()
            },
            "unseen ticker": {years.unseen.ticker: f"{years.unseen.start:%Y-%m-%d} to {years.unseen.last:%Y-%m-%d}"}
            if years.unseen
            else {},
        },
    }


def verdict_sentences(verdict: Mapping[str, Any]) -> list[str]:
    """What the judgement says, in plain words."""
    sampled = verdict["sampled"]
    count = sampled["candidates"]
    found = []
    if verdict["looked_at_test_years"]:
        found.append("The test years were looked at, so that nothing here is out of sample.")
    best, score, start = verdict["winner"], sampled["sharpe"], sampled["start"]
    if sampled["above_start"]:
        found.append(
            f"Of {count} candidates {sampled['above_start']} had a higher Sharpe ratio on their windows than both the "
            f"baseline prompt and holding; the best is {best} with {score:.2f} against {start:.2f}."
        )
    else:
        found.append(
            f"None of {count} candidates did better on its windows than the better of the baseline prompt and holding. The "
            f"best of them, {best}, is kept ({score:.2f} against {start:.2f}), but there is no reason to prefer it."
        )
    found += _level(verdict.get("level", {"repetitions": 0}))
    chance = sampled["deflated"]
    if chance is None:
        found.append("On its windows the winner did what holding does, so there is no skill to look for.")
    else:
        word = "more than" if chance > ENOUGH else "no more than"
        found.append(
            f"What it earns there beyond holding is {word} luck explains: with {count} candidates tried, it is above "
            f"the best that luck alone would give with probability {chance:.2f} (deflated Sharpe ratio)."
        )
    if not verdict["places"]:
        found.append("Nothing was held out and no ticker kept apart, so that nothing is known out of sample.")
    for where, place in verdict["places"].items():
        for pair, figures in place["differences"].items():
            found.append(_compared(where, pair, figures, verdict["winner"]))
    return found


def worth_using(verdict: Mapping[str, Any]) -> bool:
    """Whether any candidate did better on its windows than baseline and holding: else nothing speaks for the winner."""
    return bool(verdict["sampled"]["above_start"])


def _level(level: Mapping[str, int]) -> list[str]:
    """What is to be said of repetitions that ended because regret was small, and not because anything was beaten."""
    if not level["repetitions"]:
        return []
    alike = f" ({level['as_holding']} of them does on every day what holding does)" if level["as_holding"] else ""
    return [
        f"{level['repetitions']} of {level['of']} repetitions ended with a candidate that equals the better of baseline "
        f"and holding, or nearly{alike}: the rule on regret ends the search there, and the judge is not asked about it. That "
        "is no success."
    ]


def _compared(where: str, pair: str, figures: Mapping[str, float] | None, winner: str) -> str:
    first, second = pair.split(" less ")
    if figures is None:
        why = (
            ": the winner is a first draft, which no critic had seen"
            if winner.endswith(".1") and "critic" in second
            else ""
        )
        return f"On the {where}, {first} and {second} decided alike{why}."
    clear = figures["low"] > 0 or figures["high"] < 0
    side = "higher" if figures["estimate"] > 0 else "lower"
    told = f"On the {where}, the Sharpe ratio of the {first} is {abs(figures['estimate']):.2f} {side} than that of "
    told += "holding" if second == "holding" else f"the {second}"
    interval = f"95% interval of the difference {figures['low']:.2f} to {figures['high']:.2f}"
    return f"{told} ({interval})" + ("." if clear else ", which is no difference that these days can show.")


def _place(arms: Mapping[str, pd.Series]) -> dict[str, Any]:
    together = pd.concat([series.rename(arm) for arm, series in arms.items()], axis=1)
    differences = {
        f"{first} less {second}": None
        if together[first].equals(together[second])
        else asdict(sharpe_difference(together[first].to_numpy(), together[second].to_numpy()))
        for first, second in PAIRS
        if {first, second} <= set(together.columns)
    }
    return {
        "days": len(together),
        "arms": {str(arm): asdict(sharpe_interval(values.to_numpy())) for arm, values in together.items()},
        "differences": differences,
    }


def _excess(one: Tried) -> pd.Series:
    """Daily returns beyond holding; 0 of one that was never followed."""
    return one.holding * 0.0 if one.returns is None else one.returns - one.holding


def _last(tried: Sequence[Tried], control: bool) -> list[Tried]:
    """The last candidate of each repetition that was followed."""
    found = {one.repetition: one for one in tried if one.control == control and one.sharpe is not None}
    return list(found.values())
