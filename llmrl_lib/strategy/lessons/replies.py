"""The teacher's replies: evidence read out, its points added up one by one, then weights, direction and confidence.

The sum is written down step by step because a small model adds better on paper than in its head, and because a reader can
check it. Nothing in a reply comes from anywhere but the prompt, except which side the direction is drawn to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmrl_lib.language.prompts import Prompt
from llmrl_lib.language.prompts.replies import GROUPS, LARGEST_WEIGHT
from llmrl_lib.market.features import FIELDS, Features
from llmrl_lib.market.features.records import NOT_AVAILABLE
from llmrl_lib.strategy.lessons.stories import news_balance
from llmrl_lib.strategy.lessons.teacher import NEWS, Teacher, view_of
from llmrl_lib.strategy.memory import Recalled
from llmrl_lib.strategy.records import Factor
from llmrl_lib.strategy.rendering import values_shown

LEANS = 2  # points from which a figure is bullish or bearish
CLEAR, SURE = 0.6, 2.0 / 3.0  # chance of being right from which confidence is 2, and 3
FEWEST_EVIDENCE, MOST_EVIDENCE = 3, 8
GROUP_ORDER = (*GROUPS, NEWS)  # of evidence where a prompt asks for groups


@dataclass(frozen=True)
class Item:
    """A figure that the teacher reads out."""

    feature: str
    group: str
    value: str  # as shown; of news the weightiest factor
    points: int
    parts: str = ""  # of news: sentiment times impact of each factor, as shown

    @property
    def reading(self) -> str:
        """bullish, neutral or bearish."""
        return reading(self.points)


def strategy_items(
    teacher: Teacher,
    prompt: Prompt,
    features: Features,
    news: Sequence[Factor] | None = None,
    fewest: int = FEWEST_EVIDENCE,
) -> list[Item]:
    """What the teacher reads out of a rendered prompt: the telling figures that it shows, and others up to `fewest`."""
    shown = dict(values_shown(prompt, features))
    slopes = teacher.views[view_of(prompt)]
    found = []
    for name, slope in slopes.items():
        if name == NEWS and news is not None:
            found.append(Item(NEWS, NEWS, news[0].factor, slope.of(news_balance(news)), _balance_of(news)))
        elif name in shown:
            found.append(Item(name, FIELDS[name].group, shown[name], slope.of(float(shown[name]))))
    read = {item.feature for item in found}
    others = [
        Item(name, FIELDS[name].group, shown.get(name, NOT_AVAILABLE), 0)
        for name in sorted(prompt.features, key=lambda name: name not in shown)
        if name not in read
    ]
    items = (found + others[: max(fewest - len(found), 0)])[:MOST_EVIDENCE]
    return sorted(items, key=lambda item: GROUP_ORDER.index(item.group)) if prompt.reply != "strategy" else items


def strategy_reply(
    teacher: Teacher, prompt: Prompt, items: Sequence[Item], memory: Sequence[Recalled], rises: bool
) -> dict[str, Any]:
    """The reply to a strategist's prompt, its direction given. Confidence follows the chance of being right."""
    balance = sum(item.points for item in items)
    chance = teacher.chance(view_of(prompt), balance)
    reply: dict[str, Any] = {
        "evidence": [{"feature": item.feature, "value": item.value, "reading": item.reading} for item in items]
    }
    if prompt.reply == "strategy":
        steps = [(item.feature, item.points) for item in items]
    else:
        groups = (*GROUPS, NEWS) if prompt.reply.endswith("news") else GROUPS
        reply["groups"] = [_group(name, [item for item in items if item.group == name], memory) for name in groups]
        sums = {name: sum(item.points for item in items if item.group == name) for name in groups}
        steps = [(name, points) for name, points in sums.items() if name != "reflection"]
    reply["rationale"] = rationale(steps)
    telling = [item for item in items if item.points] or items[:1]
    reply["weights"] = [
        {"feature": item.feature, "weight": max(1, min(abs(item.points), LARGEST_WEIGHT))} for item in telling
    ]
    reply["direction"] = "LONG" if rises else "SHORT"
    reply["confidence"] = confidence(chance if rises else 1.0 - chance)
    return reply


def rationale(steps: Sequence[tuple[str, int]]) -> str:
    """The sum, step by step, and what decides and what speaks against it."""
    balance, told = 0, []
    for name, points in steps:
        balance += points
        told.append(f"{name} {_signed(points)} makes {_signed(balance)}")
    lead = max(steps, key=lambda step: step[1] * (1 if balance >= 0 else -1))[0]
    against = [name for name, points in steps if points * balance < 0]
    text = f"Points for a rise: {', '.join(told)}. {lead} decides"
    return f"{text}; {against[0]} speaks against it." if against else f"{text}; nothing speaks against it."


def confidence(chance: float) -> int:
    """1 to 3 from the chance of being right."""
    return 3 if chance >= SURE else 2 if chance >= CLEAR else 1


def reading(points: int) -> str:
    """bullish, neutral or bearish."""
    return "bullish" if points >= LEANS else "bearish" if points <= -LEANS else "neutral"


def factors_reply(factors: Sequence[Factor]) -> dict[str, Any]:
    """The reply to an analyst's prompt."""
    names = ("scope", "factor", "sentiment", "impact")
    return {"factors": [{name: getattr(factor, name) for name in names} for factor in factors]}


def written(reply: Mapping[str, Any]) -> str:
    """A reply as the model writes it."""
    return json.dumps(reply, ensure_ascii=False)


def _group(name: str, items: Sequence[Item], memory: Sequence[Recalled]) -> dict[str, Any]:
    if name == "reflection":
        return {"group": name, "finding": _reflection(memory), "reading": "neutral"}
    points = sum(item.points for item in items)
    told = ", ".join(f"{item.feature} {item.parts and f'{item.parts} makes '}{_signed(item.points)}" for item in items)
    finding = f"{told}: {_signed(points)} points" if items else "nothing telling is shown: 0 points"
    return {"group": name, "finding": finding, "reading": reading(points)}


def _reflection(memory: Sequence[Recalled]) -> str:
    ended = [one for one in memory if not one.is_open]
    if not ended:
        return "no earlier strategy has ended"
    gained = sum((one.share_return > 0) == bool(one.strategy.direction) for one in ended)
    return f"{gained} of {len(ended)} that ended gained; too few to tell luck from skill"


def _balance_of(news: Sequence[Factor]) -> str:
    return " ".join(_signed(one.sentiment * one.impact) for one in news)


def _signed(points: int) -> str:
    return f"{points:+d}" if points else "0"
