"""Prompts as they may come: fields dropped, reordered and reworded, instructions cut and shuffled.

A refined prompt is a file like P0 to P4 with other fields, words and rules; a model that only knew these five by heart would
be lost in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from numpy.random import Generator

from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.market.features import Features, Field
from llmrl_lib.strategy.refinement.fields import candidate_fields

UNTOUCHED = 0.5  # share of lessons whose prompt is the package's own
SHORT = 0.5  # share of the varied prompts that are short
MOST_IN_SHORT = 12  # fields
REFINED = (
    0.3  # share of varied prompts that give rules like a trainer's, and show fields that only refined prompts show
)
_REWORDED = (
    ("Once a month you decide", "Every month you choose"),
    ("the desk is long or short", "to be long or short"),
    ("Reply with the JSON object only.", "Answer with JSON alone."),
    ("Decide for the next 20 trading days.", "What is your position for the next 20 trading days?"),
    ("Think through the groups in order, then decide", "Go through all groups, then choose"),
    ("You are the strategist of an equity desk.", "You advise a fund on one share."),
    ("You are the news analyst of an equity desk.", "You read the news for a fund."),
)


def varied(name: str, source: Generator, untouched: float = UNTOUCHED, short: float = SHORT) -> Prompt:
    """A built-in prompt, or one made of it by chance; a `short` share of these has a dozen fields and rules at most."""
    prompt = load_prompt(name)
    if source.random() < untouched:
        return prompt
    features = prompt.features
    brief = source.random() < short
    if features and (brief or source.random() < 0.8):
        kept = round(min(len(features), MOST_IN_SHORT if brief else 99) * source.uniform(0.2, 1.0))
        kept = max(3, kept)
        features = tuple(features[place] for place in sorted(source.choice(len(features), kept, replace=False)))
    refined = bool(features and prompt.instructions) and source.random() < REFINED
    if refined:
        others = [one for one in candidate_fields() if one not in prompt.features]
        features += tuple(str(one) for one in source.choice(others, int(source.integers(1, 5)), replace=False))
    if features and source.random() < 0.4:
        features = tuple(features[place] for place in source.permutation(len(features)))
    instructions = prompt.instructions
    if instructions:
        count = int(source.integers(1, (3 if brief else len(instructions)) + 1))
        instructions = tuple(instructions[place] for place in source.permutation(len(instructions))[:count])
    if refined:
        named = source.choice(features, min(len(features), int(source.integers(1, 6))), replace=False)
        rules = tuple(rule_of(str(one), bool(source.random() < 0.5)) for one in named)
        instructions = rules if source.random() < 0.5 else rules + instructions
    system, user = prompt.system, prompt.user
    if brief or source.random() < 0.7:
        system = _cut(system, 0.0 if brief else float(source.choice((0.0, 0.5, 0.8))), source)
    for before, after in _REWORDED:
        if source.random() < 0.3:
            system, user = system.replace(before, after), user.replace(before, after)
    if prompt.instructions and "{{instructions}}" not in system:
        system += "\n{{instructions}}\n"
    meanings = _reworded(prompt, features, source) if source.random() < 0.3 else prompt.meanings
    return replace(
        prompt,
        version="varied",
        features=features,
        instructions=instructions,
        system=system,
        user=user,
        meanings=meanings,
    )


def rule_of(feature: str, rising: bool) -> str:
    """How to read a field, as an instruction: `rising` where high values come before rises."""
    high, low = ("bullish", "bearish") if rising else ("bearish", "bullish")
    return f"High {feature} is {high}, low {feature} is {low}."


def drill(name: str, telling: Sequence[str], source: Generator) -> Prompt:
    """A built-in prompt cut to its first paragraph and three to eight fields in any order, about half of them `telling`."""
    prompt = load_prompt(name)
    count = int(source.integers(3, 9))
    first = [one for one in telling if one in prompt.features and source.random() < 0.7]
    others = [str(one) for one in source.permutation([one for one in prompt.features if one not in first])]
    chosen = (first + others[: max(count - len(first), 0)])[:8]
    return replace(
        prompt,
        version="drill",
        features=tuple(chosen[place] for place in source.permutation(len(chosen))),
        instructions=(),
        system=prompt.system.split("\n\n")[0],
    )


def with_gaps(features: Features, source: Generator, share: float = 0.15) -> Features:
    """The features with one or two groups or single fields not available, in a share of cases."""
    if source.random() >= share:
        return features
    gone: Callable[[Field], bool]
    if source.random() < 0.5:
        groups = set(source.choice(("fundamental", "macro", "options"), int(source.integers(1, 3)), replace=False))
        gone = lambda field: field.group in groups  # noqa: E731
    else:
        names = {field.name for field in features.fields if field.name != "close" and source.random() < 0.2}
        gone = lambda field: field.name in names  # noqa: E731
    fields = tuple(field._replace(value=None, known=None) if gone(field) else field for field in features.fields)
    return replace(features, fields=fields)


def _cut(system: str, share: float, source: Generator) -> str:
    """The system prompt with its first paragraph and about that share of the others."""
    parts = system.split("\n\n")
    kept = [part for place, part in enumerate(parts) if not place or "{{" in part or source.random() < share]
    return "\n\n".join(kept)


def _reworded(prompt: Prompt, features: tuple[str, ...], source: Generator) -> dict[str, str]:
    """Shorter meanings, or the name spelt out, for some of the fields."""
    meanings = dict(prompt.meanings)
    for name in features:
        if source.random() < 0.5:
            own = prompt.meaning(name)
            meanings[name] = own.split(":")[0].split(" of ")[0] if source.random() < 0.5 else name.replace("_", " ")
    return meanings
