"""How the teacher reads a month of headlines: stories about the business, one factor a topic, the weightiest topics first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmrl_lib.market.synthetic import Story
from llmrl_lib.strategy.records import Factor

MOST, FEWEST = 5, 2
WORDS = {
    ("guidance", 1): "outlook raised or growth seen speeding up",
    ("guidance", -1): "outlook lowered or growth seen slowing down",
    ("competition", 1): "market share gained from competitors",
    ("competition", -1): "market share lost to competitors",
    ("demand", 1): "demand and orders above plan",
    ("demand", -1): "demand and orders below plan",
    ("costs", 1): "costs ease and margins widen",
    ("costs", -1): "costs rise and margins narrow",
    ("customers", 1): "a large contract or customer won",
    ("customers", -1): "a large contract or customer lost",
    ("finance", 1): "debt reduced or credit cheaper",
    ("finance", -1): "credit drawn or dearer",
    ("product", 1): "products praised, early or passing trials",
    ("product", -1): "products faulted, late or recalled",
    ("supply", 1): "supplies and deliveries recover",
    ("supply", -1): "supplies short and deliveries late",
}
IMPACTS = {
    "guidance": 3,
    "competition": 3,
    "demand": 2,
    "costs": 2,
    "customers": 2,
    "finance": 2,
    "product": 1,
    "supply": 1,
}
NOTHING = (
    Factor("company", "nothing else of weight about the business", 0, 1),
    Factor("economy", "nothing of weight about the economy", 0, 1),
)


def told(stories: Iterable[Story]) -> tuple[Factor, ...]:
    """Two to five factors: for each topic of the business the side that its stories lean to, where they lean at all.

    Stories about other companies, chatter and trifles do not count.
    """
    lean = dict.fromkeys(IMPACTS, 0)
    for story in stories:
        if story.kind == "relevant":
            lean[story.topic] += story.tone
    found = [
        Factor("company", WORDS[topic, _sign(value)], _sign(value), IMPACTS[topic])
        for topic, value in lean.items()
        if value
    ][:MOST]
    return (*found, *NOTHING[: max(FEWEST - len(found), 0)])


def news_balance(factors: Sequence[Factor]) -> int:
    """Sentiment times impact, over all factors."""
    return sum(factor.sentiment * factor.impact for factor in factors)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
